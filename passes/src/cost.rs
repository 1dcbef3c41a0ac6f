//! What an op costs: the work it is, and the trait through which the chip prices it for extraction.

use llmc_ir::{BinaryOp, Bindings, Op, Type, UnaryOp};

/// Prices work, in a unit of the implementor's choice (cycles, say). Only the order of sums matters. Must depend on
/// nothing but the work, so that the same graph gets the same result everywhere.
pub trait CostModel {
    /// The cost of one op's work.
    fn price(&self, work: &Work) -> u64;

    /// Lengths at which symbolic dims are taken.
    fn lengths(&self) -> &Bindings;

    /// The cost of `op` on operands of these types with a result of this type. Constants and inputs are free.
    fn cost(&self, op: &Op, operands: &[&Type], result: &Type) -> u64 {
        match op {
            Op::Input | Op::Const(_) => 0,
            op => self.price(&Work::of(op, operands, result, self.lengths())),
        }
    }
}

/// The work of one op.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of the operands and of the result.
    pub bytes: u64,
    /// Multiply-accumulates of the matrix unit.
    pub macs: u64,
    /// Multiply-accumulates of the attention unit.
    pub attention_macs: u64,
    /// Vector steps of one cycle per element: sums, products, comparisons.
    pub simple: u64,
    /// Divisions and roots.
    pub divisions: u64,
    /// Exponentials, logarithms, and what is built on them.
    pub transcendentals: u64,
}

impl Work {
    /// The work of `op` at these lengths. A length without a value counts as 1.
    pub fn of(op: &Op, operands: &[&Type], result: &Type, at: &Bindings) -> Work {
        let all = elements(result, at);
        let rows = all / last(result, at).max(1);
        let depth = operands.first().map_or(1, |a| last(a, at));
        let moved = operands.iter().map(|ty| bytes(ty, at));
        let moving = Work {
            bytes: moved.fold(bytes(result, at), u64::saturating_add),
            ..Work::default()
        };
        let simple = |per_element: u64| Work {
            simple: all.saturating_mul(per_element),
            ..moving
        };
        match op {
            Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Expand { .. }
            | Op::Concat { .. }
            | Op::Slice { .. }
            | Op::Gather { .. }
            | Op::PositionRows { .. }
            | Op::Append { .. }
            | Op::LastRow { .. }
            | Op::AllGather
            | Op::Mask { .. } => moving,
            Op::Unary(UnaryOp::Sqrt | UnaryOp::Rsqrt | UnaryOp::Recip)
            | Op::Binary(BinaryOp::Div | BinaryOp::Mod) => Work {
                divisions: all,
                ..moving
            },
            Op::Unary(
                UnaryOp::Exp
                | UnaryOp::Log
                | UnaryOp::Sigmoid
                | UnaryOp::Tanh
                | UnaryOp::Erf
                | UnaryOp::Silu
                | UnaryOp::Gelu
                | UnaryOp::GeluTanh
                | UnaryOp::Cos
                | UnaryOp::Sin,
            ) => Work {
                transcendentals: all,
                ..moving
            },
            // No unit of the chip does it: any other form is better.
            Op::Binary(BinaryOp::Pow) => Work {
                transcendentals: all.saturating_mul(1 << 10),
                ..moving
            },
            Op::SiluMul => Work {
                transcendentals: all,
                ..simple(1)
            },
            Op::MatMul => Work {
                macs: all.saturating_mul(depth),
                ..moving
            },
            Op::Reduce { .. } => Work {
                simple: operands.first().map_or(all, |x| elements(x, at)),
                ..moving
            },
            Op::Softmax { .. } => Work {
                divisions: all,
                transcendentals: all,
                ..simple(2)
            },
            Op::RmsNorm { .. } => Work {
                divisions: rows,
                ..simple(3)
            },
            Op::LayerNorm { .. } => Work {
                divisions: rows,
                ..simple(5)
            },
            Op::Rope { .. } => simple(3),
            Op::Attention { head_dim, .. } => {
                let keys = operands.get(1).and_then(|k| k.shape.get(2));
                let keys = keys.and_then(|t| t.eval_len(at).ok()).unwrap_or(1) as u64;
                let scores = (all / (*head_dim as u64).max(1)).saturating_mul(keys);
                Work {
                    attention_macs: all.saturating_mul(2).saturating_mul(keys),
                    transcendentals: scores,
                    ..moving
                }
            }
            _ => simple(1),
        }
    }
}

/// Length of the last axis.
fn last(ty: &Type, at: &Bindings) -> u64 {
    let dim = ty.shape.last();
    dim.and_then(|dim| dim.eval_len(at).ok()).unwrap_or(1) as u64
}

fn elements(ty: &Type, at: &Bindings) -> u64 {
    ty.shape.iter().fold(1, |product: u64, dim| {
        product.saturating_mul(dim.eval_len(at).unwrap_or(1) as u64)
    })
}

fn bytes(ty: &Type, at: &Bindings) -> u64 {
    elements(ty, at)
        .saturating_mul(ty.dtype.bits() as u64)
        .div_ceil(8)
}

/// Lengths of a short prompt on a filled cache.
pub fn typical_lengths() -> Bindings {
    Bindings::new()
        .with("batch", 1)
        .with("seq", 16)
        .with("past", 256)
}

/// Bytes moved and products done, without a chip: enough to prefer what is fused.
#[derive(Clone, Debug)]
pub struct BytesAndMacs {
    /// Lengths at which symbolic dims are taken.
    pub at: Bindings,
    /// Cost of any op that runs.
    pub per_op: u64,
    /// Bytes read or written per unit of cost.
    pub bytes: u64,
    /// Multiply-adds per unit of cost.
    pub macs: u64,
}

impl Default for BytesAndMacs {
    fn default() -> BytesAndMacs {
        BytesAndMacs {
            at: typical_lengths(),
            per_op: 64,
            bytes: 16,
            macs: 256,
        }
    }
}

impl CostModel for BytesAndMacs {
    fn price(&self, work: &Work) -> u64 {
        let macs = work.macs.saturating_add(work.attention_macs);
        self.per_op + work.bytes / self.bytes + macs / self.macs
    }

    fn lengths(&self) -> &Bindings {
        &self.at
    }
}
