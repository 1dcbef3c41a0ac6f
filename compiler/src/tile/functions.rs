//! The vector unit's functions for those of the graph language.

use llmc_ir::{BinaryOp, UnaryOp};

use super::{BinaryFn, IntFn, UnaryFn};

/// What a function of floats is on the vector unit; `None` for what takes several ops.
pub(super) fn float_unary(op: UnaryOp) -> Option<UnaryFn> {
    Some(match op {
        UnaryOp::Neg => UnaryFn::Neg,
        UnaryOp::Abs => UnaryFn::Abs,
        UnaryOp::Sign => UnaryFn::Sign,
        UnaryOp::Exp => UnaryFn::Exp,
        UnaryOp::Log => UnaryFn::Log,
        UnaryOp::Sqrt => UnaryFn::Sqrt,
        UnaryOp::Rsqrt => UnaryFn::Rsqrt,
        UnaryOp::Recip => UnaryFn::Recip,
        UnaryOp::Sigmoid => UnaryFn::Sigmoid,
        UnaryOp::Tanh => UnaryFn::Tanh,
        UnaryOp::Erf => UnaryFn::Erf,
        UnaryOp::Relu => UnaryFn::Relu,
        UnaryOp::Silu => UnaryFn::Silu,
        UnaryOp::Gelu => UnaryFn::Gelu,
        UnaryOp::Cos => UnaryFn::Cos,
        UnaryOp::Sin => UnaryFn::Sin,
        UnaryOp::Floor => UnaryFn::Floor,
        UnaryOp::Ceil => UnaryFn::Ceil,
        UnaryOp::Round => UnaryFn::Round,
        UnaryOp::IsNan => UnaryFn::IsNan,
        UnaryOp::Not => UnaryFn::Not,
        UnaryOp::Atan => UnaryFn::Atan,
        UnaryOp::IsInf => UnaryFn::IsInf,
        UnaryOp::GeluTanh => return None,
    })
}

/// The function of floats, or of bools, that needs one op.
pub(super) fn float_binary(op: BinaryOp) -> Option<BinaryFn> {
    Some(match op {
        BinaryOp::Add => BinaryFn::Add,
        BinaryOp::Sub => BinaryFn::Sub,
        BinaryOp::Mul => BinaryFn::Mul,
        BinaryOp::Div => BinaryFn::Div,
        BinaryOp::Min => BinaryFn::Min,
        BinaryOp::Max => BinaryFn::Max,
        BinaryOp::And => BinaryFn::And,
        BinaryOp::Or => BinaryFn::Or,
        BinaryOp::Xor => BinaryFn::Xor,
        BinaryOp::Pow => BinaryFn::Pow,
        BinaryOp::Mod => BinaryFn::Mod,
        BinaryOp::Rem => BinaryFn::Rem,
        BinaryOp::Shl | BinaryOp::Shr => return None,
    })
}

/// The function of integers that needs one op.
pub(super) fn int_binary(op: BinaryOp) -> Option<IntFn> {
    Some(match op {
        BinaryOp::Add => IntFn::Iadd,
        BinaryOp::Sub => IntFn::Isub,
        BinaryOp::Mul => IntFn::Imul,
        BinaryOp::Min => IntFn::Imin,
        BinaryOp::Max => IntFn::Imax,
        BinaryOp::Mod => IntFn::Imod,
        BinaryOp::And => IntFn::Iand,
        BinaryOp::Or => IntFn::Ior,
        BinaryOp::Xor => IntFn::Ixor,
        BinaryOp::Shl => IntFn::Ishl,
        BinaryOp::Shr => IntFn::Ilshr,
        BinaryOp::Div => IntFn::Iquo,
        BinaryOp::Rem => IntFn::Irem,
        BinaryOp::Pow => return None,
    })
}
