//! Norms of rows and of heads, on the vector unit.

use llmc_ir::{Node, ValueId};
use llmc_isa::Queue;

use super::layout::Columns;
use super::{Lower, Reason, Sram, Value};
use crate::tile::{BinaryFn, Extent, OpKind, Operand, ReduceFn, UnaryFn};

/// A norm at work: the runs of `d` elements that it takes, one factor for each of them.
struct Norm {
    x: Sram,
    out: Sram,
    d: u32,
    runs: Columns,
    factor: Sram,
    n: [Extent; 3],
}

impl Norm {
    /// The runs of some rows.
    fn of(&self, rows: Sram) -> Operand {
        match self.runs.total {
            1 => rows.operand(),
            _ => Operand {
                s0: rows.row(),
                s1: self.d * 4,
                ..rows.operand()
            },
        }
    }

    /// One factor per run.
    fn factors(&self) -> Operand {
        match self.runs.total {
            1 => self.factor.operand(),
            _ => Operand {
                s0: self.factor.row(),
                s1: 4,
                ..self.factor.operand()
            },
        }
    }

    fn reduce(&self, op: ReduceFn, from: Sram) -> OpKind {
        OpKind::Reduce {
            op,
            dst: self.factors(),
            a: self.of(from),
            n: self.n.clone(),
        }
    }

    /// Each run with its factor.
    fn apply(&self, op: BinaryFn, from: Sram) -> OpKind {
        OpKind::Binary {
            op,
            dst: self.of(self.out),
            a: self.of(from),
            b: Operand {
                bcast: true,
                ..self.factors()
            },
            n: self.n.clone(),
        }
    }
}

impl Lower<'_> {
    /// x * rsqrt(sumsq(x) / d + eps) * w.
    pub(super) fn rms_norm(&mut self, id: ValueId, node: &Node, eps: f32) -> Result<Value, Reason> {
        let norm = self.norm(id, node)?;
        self.build
            .op(Queue::Vpu, norm.reduce(ReduceFn::Sumsq, norm.x));
        self.factor(&norm, UnaryFn::Rsqrt, eps);
        self.build.op(Queue::Vpu, norm.apply(BinaryFn::Mul, norm.x));
        self.with_weight(node, 1, BinaryFn::Mul, &norm)?;
        Ok(Value::Sram(norm.out))
    }

    /// (x - mean) * rsqrt(sumsq(x - mean) / d + eps) * w + b.
    pub(super) fn layer_norm(
        &mut self,
        id: ValueId,
        node: &Node,
        eps: f32,
    ) -> Result<Value, Reason> {
        let norm = self.norm(id, node)?;
        self.build
            .op(Queue::Vpu, norm.reduce(ReduceFn::Sum, norm.x));
        self.factor(&norm, UnaryFn::Copy, 0.0);
        self.build.op(Queue::Vpu, norm.apply(BinaryFn::Sub, norm.x));
        self.build
            .op(Queue::Vpu, norm.reduce(ReduceFn::Sumsq, norm.out));
        self.factor(&norm, UnaryFn::Rsqrt, eps);
        self.build
            .op(Queue::Vpu, norm.apply(BinaryFn::Mul, norm.out));
        self.with_weight(node, 1, BinaryFn::Mul, &norm)?;
        self.with_weight(node, 2, BinaryFn::Add, &norm)?;
        Ok(Value::Sram(norm.out))
    }

    /// Operand 0 in runs as long as the weight, operand 1.
    fn norm(&mut self, id: ValueId, node: &Node) -> Result<Norm, Reason> {
        let x = self.sram(node, 0)?;
        let d = self
            .constant(node, 1)?
            .shape()
            .last()
            .map_or(0, |d| *d as u32);
        let out = self.result(id, node)?;
        let runs = x.columns.groups(d).filter(|_| x.columns == out.columns);
        let runs = runs.ok_or("what is normalised is not whole on a core")?;
        let factor = self.scratch(&format!("v{}_factor", id.0), runs);
        let n = match runs.total {
            1 => self.extents(x.columns),
            _ => [self.rows.extent(), runs.extent(), Extent::from(d)],
        };
        Ok(Norm {
            x,
            out,
            d,
            runs,
            factor,
            n,
        })
    }

    /// Sums of d elements become factors: `f(sum / d + bias)`.
    fn factor(&mut self, norm: &Norm, op: UnaryFn, bias: f32) {
        let (x, n) = match norm.runs.total {
            // One per row: rows are the inner dim, which is the fast one.
            1 => {
                let column = Operand {
                    s1: 0,
                    ..norm.factor.operand()
                };
                (column, [1.into(), 1.into(), self.rows.extent()])
            }
            _ => (norm.factor.operand(), self.extents(norm.runs)),
        };
        let kind = OpKind::Unary {
            op,
            dst: x.clone(),
            a: x,
            n,
            scale: 1.0 / norm.d as f32,
            bias,
        };
        self.build.op(Queue::Vpu, kind);
    }

    /// The result with a weight, the same for all runs.
    fn with_weight(
        &mut self,
        node: &Node,
        index: usize,
        op: BinaryFn,
        norm: &Norm,
    ) -> Result<(), Reason> {
        let weight = self.constant(node, index)?;
        let (dst, a, n) = (norm.of(norm.out), norm.of(norm.out), norm.n.clone());
        self.with_constant(&weight, |b| OpKind::Binary { op, dst, a, b, n })
    }
}
