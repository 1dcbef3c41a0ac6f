//! What an op costs: the trait through which the chip reaches extraction, and a stand-in.

use llmc_ir::{Bindings, Op, Type};

/// Cost of ops, in a unit of the implementor's choice (cycles, picoseconds). Only the order of sums matters.
pub trait CostModel {
    /// The cost of `op` on operands of these types with a result of this type. Constants and inputs are free.
    /// Must depend on nothing else, so that the same graph gets the same result everywhere.
    fn cost(&self, op: &Op, operands: &[&Type], result: &Type) -> u64;
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
            at: Bindings::new()
                .with("batch", 1)
                .with("seq", 16)
                .with("past", 256),
            per_op: 64,
            bytes: 16,
            macs: 256,
        }
    }
}

impl BytesAndMacs {
    /// Elements of a type; a length without a value counts as 1.
    fn elements(&self, ty: &Type) -> u64 {
        ty.shape.iter().fold(1, |product: u64, dim| {
            let length = dim.eval_len(&self.at).unwrap_or(1);
            product.saturating_mul(length as u64)
        })
    }

    fn bytes_of(&self, ty: &Type) -> u64 {
        (self.elements(ty).saturating_mul(ty.dtype.bits() as u64)).div_ceil(8)
    }
}

impl CostModel for BytesAndMacs {
    fn cost(&self, op: &Op, operands: &[&Type], result: &Type) -> u64 {
        if matches!(op, Op::Input | Op::Const(_)) {
            return 0;
        }
        let moved: u64 = operands
            .iter()
            .map(|ty| self.bytes_of(ty))
            .fold(self.bytes_of(result), u64::saturating_add);
        let macs = match (op, operands) {
            (Op::MatMul, [a, _]) => {
                let depth = a
                    .shape
                    .last()
                    .and_then(|k| k.eval_len(&self.at).ok())
                    .unwrap_or(1);
                self.elements(result).saturating_mul(depth as u64)
            }
            (
                Op::Attention {
                    head_dim, heads, ..
                },
                [q, k, _],
            ) => {
                let keys = self.elements(k) / (*head_dim as u64).max(1);
                self.elements(q).saturating_mul(2).saturating_mul(keys) / (*heads as u64).max(1)
            }
            _ => 0,
        };
        self.per_op + moved / self.bytes + macs / self.macs
    }
}
