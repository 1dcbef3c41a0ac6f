//! Reductions: tiles with the reduced dims innermost, one after the other into an accumulator.

use llmc_ir::ReduceOp;
use llmc_isa::{DType, Queue};
use llmc_tensor::DType as TensorType;

use super::narrow::chip_type;
use super::slab::Slab;
use super::tiles::{Cut, Held, MIN_TILE, Space, offset, transfer};
use super::{Function, Reason};
use crate::alloc::ALIGN;
use crate::tile::lower::build::at;
use crate::tile::{BinaryFn, Extent, IntFn, OpKind, Operand, ReduceFn, UnaryFn, View};

/// Elements that are reduced at a time at most.
const LONGEST: u64 = 4096;

/// How two partial results become one, and where to start.
#[derive(Clone, Copy, Debug)]
struct Fold {
    float: BinaryFn,
    int: IntFn,
    /// The vector unit's reduction of floats, if it has one.
    whole: Option<ReduceFn>,
    start: f32,
}

impl Fold {
    fn of(op: ReduceOp) -> Fold {
        let (float, int, whole, start) = match op {
            ReduceOp::Sum | ReduceOp::Mean => {
                (BinaryFn::Add, IntFn::Iadd, Some(ReduceFn::Sum), 0.0)
            }
            ReduceOp::SumSquare => (BinaryFn::Add, IntFn::Iadd, Some(ReduceFn::Sum), 0.0),
            ReduceOp::Max => (
                BinaryFn::Max,
                IntFn::Imax,
                Some(ReduceFn::Maxr),
                f32::NEG_INFINITY,
            ),
            ReduceOp::Min => (
                BinaryFn::Min,
                IntFn::Imin,
                Some(ReduceFn::Minr),
                f32::INFINITY,
            ),
            ReduceOp::Prod => (BinaryFn::Mul, IntFn::Imul, None, 1.0),
        };
        Fold {
            float,
            int,
            whole,
            start,
        }
    }

    fn op(&self, int: bool, dst: Operand, a: Operand, b: Operand, n: [Extent; 3]) -> OpKind {
        if int {
            let op = self.int;
            OpKind::Int { op, dst, a, b, n }
        } else {
            let op = self.float;
            OpKind::Binary { op, dst, a, b, n }
        }
    }
}

impl Function<'_> {
    /// The reduction over `axes`, dense, without the reduced dims.
    pub(super) fn reduce(
        &mut self,
        op: ReduceOp,
        x: &Slab,
        axes: &[usize],
        dtype: TensorType,
    ) -> Result<Slab, Reason> {
        let int = !dtype.is_float();
        let work = if int { DType::I32 } else { DType::F32 };
        let mut x = self.converted(x, work)?;
        if op == ReduceOp::SumSquare {
            let shape = x.shape();
            x = self.elementwise(&[&x], &shape, work, &move |t| {
                let (a, dst) = (t.args[0].clone(), t.dst.clone());
                if int {
                    t.int(IntFn::Imul, &dst, &a, &a);
                } else {
                    t.binary(BinaryFn::Mul, &dst, &a, &a);
                }
            })?;
        }
        let mut out = self.folded(Fold::of(op), &x, axes, int)?;
        if op == ReduceOp::Mean {
            let count: u64 = axes.iter().map(|a| x.dim(*a).n).product();
            out = self.scaled(UnaryFn::Copy, &out, 1.0 / count as f32, 0.0)?;
        }
        self.converted(&out, chip_type(dtype))
    }

    /// `op(x * scale + bias)` of floats.
    pub(super) fn scaled(
        &mut self,
        op: UnaryFn,
        x: &Slab,
        scale: f32,
        bias: f32,
    ) -> Result<Slab, Reason> {
        self.elementwise(&[x], &x.shape(), x.dtype, &move |t| {
            let (a, dst) = (t.args[0].clone(), t.dst.clone());
            t.scaled(op, &dst, &a, scale, bias);
        })
    }

    /// The value in another of the chip's types, if it is not in that already.
    pub(super) fn converted(&mut self, x: &Slab, to: DType) -> Result<Slab, Reason> {
        if x.dtype == to {
            return Ok(x.clone());
        }
        let int = x.dtype.is_int() && to.is_int();
        self.elementwise(&[x], &x.shape(), to, &move |t| {
            let (a, dst) = (t.args[0].clone(), t.dst.clone());
            if int {
                t.int(IntFn::Ior, &dst, &a, &a);
            } else {
                t.unary(UnaryFn::Copy, &dst, &a);
            }
        })
    }

    fn folded(&mut self, fold: Fold, x: &Slab, axes: &[usize], int: bool) -> Result<Slab, Reason> {
        let kept: Vec<usize> = (0..x.dims.len()).filter(|i| !axes.contains(i)).collect();
        let (mut over, along) = (x.transpose(&kept), x.transpose(axes));
        let out = self.scratch(x.dtype, &over.shape());
        if out.elements() == 0 {
            return Ok(out);
        }
        self.barrier();
        over.dtype = x.dtype;
        let (outer, inner) = (Space::of(&[&out, &over]), Space::of(&[&along]));
        // How sums are grouped depends on SRAM alone, not on the number of cores: accumulator, partial result and one row fit.
        let fits = self.fitting_elements(4, 4 * ALIGN)?;
        let backwards = |dim: usize| inner.strides[0][dim] < 0;
        let chunk = Cut::new(
            &inner.n,
            fits.saturating_sub(2).clamp(1, LONGEST),
            1,
            backwards,
        );
        let run = chunk.shape()[2];
        let row = u64::from(run) + 2;
        let share = out.elements().div_ceil(u64::from(self.cores));
        let rows = (fits / row).min(share.max(MIN_TILE / row));
        let backwards = |dim: usize| outer.strides.iter().any(|s| s[dim] < 0);
        let rows = Cut::new(&outer.n, rows, 2, backwards);
        let [_, n0, n1] = rows.shape();

        let index = rows.begin(self);
        let [_, e0, e1] = rows.extents(&index);
        let n_out = [e0.clone(), e1.clone(), 1.into()];
        let acc = self.held("acc", [1, n0, n1], [true; 3], x.dtype);
        let part = self.held("part", [1, n0, n1], [true; 3], x.dtype);
        let tile = self.held("x", [n0, n1, run], [true; 3], x.dtype);
        let column = |held: &Held| Operand {
            view: at(held.buffer, 0),
            s0: held.strides[1],
            s1: held.strides[2],
            dtype: held.dtype,
            bcast: false,
        };
        let (dst, n) = (column(&acc), n_out.clone());
        let value = fold.start;
        self.build.op(Queue::Vpu, OpKind::Fill { dst, n, value });
        if along.elements() > 0 {
            let at_inner = chunk.begin_all(self);
            let [_, _, e2] = chunk.extents(&at_inner);
            let n = [e0.clone(), e1.clone(), e2.clone()];
            let partial = e2.clamp.is_some();
            let whole = fold.whole.filter(|_| !int);
            if whole.is_none() && partial {
                let dst = tile.operand();
                let n = [e0.clone(), e1.clone(), run.into()];
                self.build.op(Queue::Vpu, OpKind::Fill { dst, n, value });
            }
            let [_, f0, f1] = rows.strides(&outer.strides[1]);
            let [_, _, f2] = chunk.strides(&inner.strides[0]);
            let first = offset(over.base, &index, &outer.strides[1])
                + offset(0, &at_inner, &inner.strides[0]);
            let load = transfer(&tile, x.buffer, first, [f0, f1, f2], &n, false)?;
            self.build.op(Queue::Dma0, load);
            let from = match whole {
                Some(op) => {
                    let (dst, a) = (column(&part), tile.operand());
                    self.build.op(Queue::Vpu, OpKind::Reduce { op, dst, a, n });
                    column(&part)
                }
                None => self.halved(fold, &tile, run, [e0, e1], int),
            };
            let (dst, a) = (column(&acc), column(&acc));
            self.build.op(Queue::Vpu, fold.op(int, dst, a, from, n_out));
            self.build.end();
        }
        let far = rows.strides(&outer.strides[0]);
        let first = offset(out.base, &index, &outer.strides[0]);
        let n = rows.extents(&index);
        let store = transfer(&acc, out.buffer, first, far, &n, true)?;
        self.build.op(Queue::Dma1, store);
        self.build.end();
        Ok(out)
    }

    /// Folds the upper half of each row onto the lower one until one element is left, which is the result.
    fn halved(
        &mut self,
        fold: Fold,
        tile: &Held,
        run: u32,
        [e0, e1]: [Extent; 2],
        int: bool,
    ) -> Operand {
        let mut left = run;
        while left > 1 {
            let half = left / 2;
            let (low, mut high) = (tile.operand(), tile.operand());
            high.view = View {
                offset: (i64::from(left - half) * 4).into(),
                ..high.view
            };
            let n = [e0.clone(), e1.clone(), half.into()];
            let op = fold.op(int, low.clone(), low, high, n);
            self.build.op(Queue::Vpu, op);
            left -= half;
        }
        tile.operand()
    }
}
