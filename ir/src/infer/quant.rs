//! Types of quantised values.

use super::{Rule, check, equal, float};
use crate::dim::Dim;
use crate::op::Codes;
use crate::types::Type;
use llmc_tensor::DType;

/// Codes of integers; a scale and a zero point with an axis for each of theirs: 1, as many, or one per block.
pub(super) fn dequantize(
    axis: usize,
    block: usize,
    [codes, scale, zero]: [&Type; 3],
) -> Rule<Type> {
    check(codes.dtype.is_int(), || {
        format!("codes must be integers, are {}", codes.dtype)
    })?;
    float(scale)?;
    check(zero.dtype.is_int(), || {
        format!("zero points must be integers, are {}", zero.dtype)
    })?;
    check(axis < codes.rank() && block > 0, || {
        format!("axis {axis} in blocks of {block} of {} axes", codes.rank())
    })?;
    for (what, by) in [("scale", scale), ("zero point", zero)] {
        check(by.rank() == codes.rank(), || {
            format!(
                "the {what} has {} axes, the codes have {}",
                by.rank(),
                codes.rank()
            )
        })?;
        for (i, (n, of)) in by.shape.iter().zip(&codes.shape).enumerate() {
            let blocks = match of.as_const() {
                Some(of) if i == axis => Dim::from((of as usize).div_ceil(block)),
                _ => of.clone(),
            };
            check(n.is(1) || *n == blocks, || {
                format!("axis {i} of the {what} is {n}, expected 1 or {blocks}")
            })?;
        }
    }
    Ok(Type::new(scale.dtype, codes.shape.clone()))
}

/// `x [.., k]` times dequantised codes.
pub(super) fn matmul(x: &Type, block: usize, transposed: bool, weight: [&Type; 3]) -> Rule<Type> {
    float(x)?;
    let [codes, ..] = weight;
    check(codes.rank() == 2 && x.rank() > 0, || {
        "the codes must be a matrix, the left operand needs a dim".into()
    })?;
    let along = usize::from(transposed);
    dequantize(along, block, weight)?;
    let mut shape = x.shape.clone();
    let k = shape.pop().unwrap_or_default();
    equal("the dims that are summed over", &k, &codes.shape[along])?;
    shape.push(codes.shape[1 - along].clone());
    Ok(Type::new(x.dtype, shape))
}

/// Codes that numbers can go through.
pub(super) fn codes<'a>(all: impl Iterator<Item = &'a Codes>) -> Rule<()> {
    for codes in all {
        let (low, high) = codes.range();
        check(codes.dtype.is_int() && codes.dtype.bits() <= 16, || {
            format!("{} is no type of codes", codes.dtype)
        })?;
        check((low..=high).contains(&(codes.zero as f32)), || {
            format!("zero point {} is not a code of {}", codes.zero, codes.dtype)
        })?;
        let scale = codes.scale.get();
        check(scale.is_finite() && scale != 0.0, || {
            format!("the scale of codes is {scale}")
        })?;
    }
    Ok(())
}

/// Floats through codes and back.
pub(super) fn round_trip(codes: DType, [x, scale, zero]: [&Type; 3]) -> Rule<Type> {
    float(x)?;
    check(codes.is_int() && zero.dtype.is_int(), || {
        "codes and zero points must be integers".into()
    })?;
    check(scale.dtype == x.dtype, || {
        format!("the scale is {}, the operand {}", scale.dtype, x.dtype)
    })?;
    for by in [scale, zero] {
        let one = by.elements().is(1);
        check(
            one || by.rank() == 1 && by.shape.last() == x.shape.last(),
            || "scale and zero point have one element, or one per column".into(),
        )?;
    }
    Ok(Type::new(x.dtype, x.shape.clone()))
}
