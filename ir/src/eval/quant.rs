//! Quantised values.

use super::values::walk;
use super::{Eval, text};
use crate::op::{Codes, RangeOf, Real};
use llmc_tensor::{DType, Tensor};

/// `(codes - zero) * scale`.
pub(super) fn dequantize(
    axis: usize,
    block: usize,
    [codes, scale, zero]: [&Tensor; 3],
) -> Eval<Tensor> {
    let values = codes.to_i64_vec().map_err(text)?;
    let zeros = zero.to_i64_vec().map_err(text)?;
    let scales = scale.to_f64_vec();
    let at = |by: &Tensor| positions(codes.shape(), by.shape(), axis, block);
    let out: Vec<f64> = values
        .iter()
        .zip(at(scale))
        .zip(at(zero))
        .map(|((c, s), z)| (c - zeros[z]) as f64 * scales[s])
        .collect();
    Tensor::from_f64(scale.dtype(), codes.shape(), &out).map_err(text)
}

/// For each element of `shape`, the element of a tensor of shape `by` that belongs to it.
fn positions(shape: &[usize], by: &[usize], axis: usize, block: usize) -> Vec<usize> {
    let mut strides = vec![1; by.len()];
    for i in (1..by.len()).rev() {
        strides[i - 1] = strides[i] * by[i];
    }
    let own = |i: usize| if by[i] == 1 { 0 } else { strides[i] };
    if by[axis] == 1 || block == 1 {
        return walk(shape, &(0..shape.len()).map(own).collect::<Vec<_>>());
    }
    // The axis as two: blocks, and elements of a block; what the last block lacks is left out.
    let (before, after) = (&shape[..axis], &shape[axis + 1..]);
    let own_of = |range: std::ops::Range<usize>| range.map(own).collect::<Vec<_>>();
    let outer = walk(before, &own_of(0..axis));
    let inner = walk(after, &own_of(axis + 1..shape.len()));
    let mut all = Vec::new();
    for o in &outer {
        for i in 0..shape[axis] {
            let base = o + i / block * strides[axis];
            all.extend(inner.iter().map(|n| base + n));
        }
    }
    all
}

/// `x` rounded to codes of `dtype` and back: ties to even, saturating.
pub(super) fn round_trip(dtype: DType, [x, scale, zero]: [&Tensor; 3]) -> Eval<Tensor> {
    if !dtype.is_int() || dtype.bits() > 16 {
        return Err(format!("{dtype} is no type of codes"));
    }
    let (scales, zeros) = (scale.to_f32_vec(), zero.to_i64_vec().map_err(text)?);
    let values = x.to_f32_vec();
    let out = values.iter().enumerate().map(|(i, v)| {
        let codes = Codes {
            dtype,
            scale: Real::new(scales[i % scales.len()]),
            zero: zeros[i % zeros.len()] as i32,
        };
        f64::from(codes.round_trip(*v))
    });
    Tensor::from_f64(x.dtype(), x.shape(), &out.collect::<Vec<_>>()).map_err(text)
}

/// Each row, or all of it, rounded to 256 codes over its range, 0 included, and back, as ONNX's `DynamicQuantizeLinear` does.
pub(super) fn dynamic_round_trip(of: RangeOf, x: &Tensor) -> Eval<Tensor> {
    let mut values = x.to_f32_vec();
    let run = match of {
        RangeOf::Row => x.shape().last().copied().unwrap_or(1),
        RangeOf::All => values.len(),
    };
    for row in values.chunks_mut(run.max(1)) {
        let low = row.iter().copied().fold(0.0, f32::min);
        let high = row.iter().copied().fold(0.0, f32::max);
        let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
        let zero = (0.0 - low / scale).round_ties_even().clamp(0.0, 255.0);
        let codes = Codes {
            dtype: DType::U8,
            scale: Real::new(scale),
            zero: zero as i32,
        };
        for v in row {
            *v = codes.round_trip(*v);
        }
    }
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    Tensor::from_f64(x.dtype(), x.shape(), &values).map_err(text)
}
