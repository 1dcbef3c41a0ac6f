//! Running sums, and triangles.

use llmc_isa::{DType, Queue};
use llmc_tensor::DType as TensorType;

use super::narrow::chip_type;
use super::slab::Slab;
use super::tiles::{Cut, Space, offset, transfer};
use super::{Function, Reason};
use crate::tile::{BinaryFn, Expr, IntFn, OpKind};

impl Function<'_> {
    /// Running sum along an axis, one row after the other.
    pub(super) fn cumsum(
        &mut self,
        x: &Slab,
        axis: usize,
        exclusive: bool,
        reverse: bool,
        dtype: TensorType,
    ) -> Result<Slab, Reason> {
        let int = !dtype.is_float();
        let x = self.converted(x, if int { DType::I32 } else { DType::F32 })?;
        let out = self.scratch(x.dtype, &x.shape());
        if out.elements() == 0 {
            return Ok(out);
        }
        self.barrier();
        let length = x.dim(axis).n;
        let turned = |s: &Slab| match reverse {
            true => s.slice(axis, length as i64 - 1, -1, length),
            false => s.clone(),
        };
        let (from, to) = (turned(&x), turned(&out));
        let others: Vec<usize> = (0..x.dims.len()).filter(|i| *i != axis).collect();
        let space = Space::of(&[&to.transpose(&others), &from.transpose(&others)]);
        let most = self.tile_elements(8, 2 * 64, x.elements() / length)?;
        let backwards = |dim: usize| space.strides.iter().any(|s| s[dim] < 0);
        let cut = Cut::new(&space.n, most, 3, backwards);

        let index = cut.begin(self);
        let n = cut.extents(&index);
        let sum = self.held("sum", cut.shape(), [true; 3], x.dtype);
        let row = self.held("x", cut.shape(), [true; 3], x.dtype);
        self.build.op(
            Queue::Vpu,
            OpKind::Fill {
                dst: sum.operand(),
                n: n.clone(),
                value: 0.0,
            },
        );
        let at_row = self.begin("l", Expr::Const(length as i64), length);
        let first =
            offset(from.base, &index, &space.strides[1]) + at_row.clone() * from.dim(axis).stride;
        let far = cut.strides(&space.strides[1]);
        let load = transfer(&row, from.buffer, first, far, &n, false)?;
        self.build.op(Queue::Dma0, load);
        let first = offset(to.base, &index, &space.strides[0]) + at_row * to.dim(axis).stride;
        let far = cut.strides(&space.strides[0]);
        let store = transfer(&sum, to.buffer, first, far, &n, true)?;
        let (dst, a, b) = (sum.operand(), sum.operand(), row.operand());
        let add = if int {
            let op = IntFn::Iadd;
            OpKind::Int { op, dst, a, b, n }
        } else {
            let op = BinaryFn::Add;
            OpKind::Binary { op, dst, a, b, n }
        };
        if exclusive {
            self.build.op(Queue::Dma1, store);
            self.build.op(Queue::Vpu, add);
        } else {
            self.build.op(Queue::Vpu, add);
            self.build.op(Queue::Dma1, store);
        }
        self.build.end();
        self.build.end();
        self.converted(&out, chip_type(dtype))
    }

    /// Column minus row of the last two dims, for every element of a shape.
    pub(super) fn diagonals(&mut self, rows: u64, columns: u64) -> Result<[Slab; 2], Reason> {
        let down = self.iota(rows, 1)?;
        let down = down.reshape(&[rows, 1]).ok_or("bug: an iota is dense")?;
        Ok([down, self.iota(columns, 1)?])
    }

    /// Zeros below (`upper`) or above the diagonal `k`.
    pub(super) fn trilu(
        &mut self,
        x: &Slab,
        upper: bool,
        k: i64,
        dtype: TensorType,
    ) -> Result<Slab, Reason> {
        let shape = x.shape();
        let rank = shape.len();
        let [rows, columns] = self.diagonals(shape[rank - 2], shape[rank - 1])?;
        let k = k.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        let to = chip_type(dtype);
        self.elementwise(&[x, &rows, &columns], &shape, to, &move |t| {
            let [x, row, column] = [0, 1, 2].map(|i| t.args[i].clone());
            let dst = t.dst.clone();
            let (k, zero) = (t.integer(k), t.number(0.0, to));
            let away = t.temp(DType::I32);
            t.int(IntFn::Isub, &away, &column, &row);
            if upper {
                t.int(IntFn::Ilt, &away, &away, &k);
            } else {
                t.int(IntFn::Ilt, &away, &k, &away);
            }
            t.select(&dst, &away, &zero, &x);
        })
    }
}
