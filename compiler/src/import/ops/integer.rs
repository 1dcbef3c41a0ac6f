//! Products of quantised integers: what lies above the zero points is multiplied and summed in i32.

use llmc_ir::{Dim, UnaryOp};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::Made;

/// x - its zero point in i32. A zero point per element of `axis` (default: the last but one) is a vector.
pub fn shifted(cx: &mut Lower, x: &Val, zero: Option<&Val>, axis: Option<usize>) -> Made {
    let rank = cx.rank(x)?;
    let x = cx.cast(x, DType::I32)?;
    let Some(zero) = zero else {
        return Ok(x);
    };
    let zero = cx.cast(zero, DType::I32)?;
    let zero = along(cx, &zero, rank, axis.unwrap_or(rank.saturating_sub(2)))?;
    cx.sub(&x, &zero)
}

/// A vector as one that broadcasts along an axis of `rank` axes; a scalar stays.
pub fn along(cx: &mut Lower, x: &Val, rank: usize, axis: usize) -> Made {
    let shape = cx.shape(x)?;
    match shape.as_slice() {
        [n] if n.is(1) => cx.reshape(x, Vec::new()),
        [n] if axis < rank => {
            let mut wide = vec![Dim::one(); rank - axis];
            wide[0] = n.clone();
            cx.reshape(x, wide)
        }
        _ => Ok(x.clone()),
    }
}

/// The nearest integer of a float, ties to even, above a zero point and within the range of an integer type.
pub fn rounded(cx: &mut Lower, y: &Val, zero: &Val, to: DType) -> Made {
    if !to.is_int() {
        return Err(OpError::unsupported(format!("quantisation to {to}"), ""));
    }
    let bits = to.bits() as i32;
    let (low, high) = match to.is_signed_int() {
        true => (-(2f64.powi(bits - 1)), 2f64.powi(bits - 1) - 1.0),
        false => (0.0, 2f64.powi(bits) - 1.0),
    };
    let y = cx.map(UnaryOp::Round, y)?;
    let zero = cx.cast(zero, y.dtype()?)?;
    let y = cx.sum(&y, &zero)?;
    let y = cx.clamp(&y, low, high)?;
    cx.cast(&y, to)
}

/// `QLinearMatMul`: a, its scale and zero point, b, its own, those of y.
pub fn qlinear_matmul(cx: &mut Lower, call: &Call) -> Out {
    let (a, b) = (call.input(0)?, call.input(3)?);
    let x = shifted(cx, a, call.optional(2), None)?;
    let last = cx.rank(b)?.saturating_sub(1);
    let w = shifted(cx, b, call.optional(5), Some(last))?;
    let sums = cx.matmul(&x, &w)?;
    let sums = cx.cast(&sums, DType::F32)?;
    let rank = cx.rank(&sums)?;
    let a_scale = cx.cast(call.input(1)?, DType::F32)?;
    let b_scale = cx.cast(call.input(4)?, DType::F32)?;
    let y_scale = cx.cast(call.input(6)?, DType::F32)?;
    let a_scale = along(cx, &a_scale, rank, rank.saturating_sub(2))?;
    let b_scale = along(cx, &b_scale, rank, rank.saturating_sub(1))?;
    let scale = cx.mul(&a_scale, &b_scale)?;
    let scale = cx.div(&scale, &y_scale)?;
    let y = cx.mul(&sums, &scale)?;
    let zero = call.input(7)?;
    Ok(vec![rounded(cx, &y, zero, zero.dtype()?)?])
}
