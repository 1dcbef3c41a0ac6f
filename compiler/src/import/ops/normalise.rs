//! Normalisation operators.

use llmc_ir::{Dim, Op, Real, ReduceOp, UnaryOp};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::build::Made;
use super::{Out, shape};

/// Attributes of `LayerNormalization` and `RMSNormalization`.
pub const NORM: &[&str] = &["axis", "epsilon", "stash_type"];

/// x as [.., d] with the axes from `axis` on as one, and its shape before.
fn flattened(cx: &mut Lower, x: &Val, axis: usize) -> Result<(Val, Vec<Dim>), OpError> {
    let whole = cx.shape(x)?;
    if axis + 1 == whole.len() {
        return Ok((x.clone(), whole));
    }
    let mut flat = whole[..axis].to_vec();
    flat.push(shape::product(&whole[axis..]));
    Ok((cx.reshape(x, flat)?, whole))
}

/// A weight that broadcasts to the shape of the normalised axes, as a vector.
fn vector(cx: &mut Lower, w: &Val, normalised: &[Dim]) -> Made {
    let given = cx.shape(w)?;
    let w = match given.len() > normalised.len() {
        true => cx.reshape(w, given[given.len() - normalised.len()..].to_vec())?,
        false => w.clone(),
    };
    let w = cx.spread(&w, normalised.to_vec())?;
    cx.reshape(&w, vec![shape::product(normalised)])
}

fn epsilon(call: &Call) -> Result<Real, OpError> {
    Ok(Real::new(call.attributes().float_or("epsilon", 1e-5)?))
}

/// The mean of squares, and 1 / sqrt of it + epsilon, over axes that stay as 1.
fn inverse_deviation(cx: &mut Lower, x: &Val, axes: &[usize], eps: Real) -> Made {
    let squares = cx.mul(x, x)?;
    let mean = cx.reduce(ReduceOp::Mean, &squares, axes, true)?;
    let sum = cx.plus(&mean, f64::from(eps.get()))?;
    cx.map(UnaryOp::Rsqrt, &sum)
}

/// `RMSNormalization` and ONNX Runtime's `SimplifiedLayerNormalization`.
pub fn rms_norm(cx: &mut Lower, call: &Call) -> Out {
    let (x, eps) = (call.input(0)?, epsilon(call)?);
    let axis = cx.axis(call, x, -1)?;
    let (flat, whole) = flattened(cx, x, axis)?;
    let weight = vector(cx, call.input(1)?, &whole[axis..])?;
    let flat = cx.apply(Op::RmsNorm { eps }, &[&flat, &weight])?;
    let mut results = vec![cx.reshape(&flat, whole.clone())?];
    if call.wants(1) {
        let axes: Vec<usize> = (axis..whole.len()).collect();
        results.push(inverse_deviation(cx, x, &axes, eps)?);
    }
    Ok(results)
}

/// `LayerNormalization`; an absent bias is a bias of zeros.
pub fn layer_norm(cx: &mut Lower, call: &Call) -> Out {
    let (x, eps) = (call.input(0)?, epsilon(call)?);
    let axis = cx.axis(call, x, -1)?;
    let (flat, whole) = flattened(cx, x, axis)?;
    let weight = vector(cx, call.input(1)?, &whole[axis..])?;
    let bias = match call.optional(2) {
        Some(bias) => vector(cx, bias, &whole[axis..])?,
        None => {
            let zero = cx.number(&weight, 0.0)?;
            let width = cx.shape(&weight)?;
            cx.spread(&zero, width)?
        }
    };
    let flat = cx.apply(Op::LayerNorm { eps }, &[&flat, &weight, &bias])?;
    let mut results = vec![cx.reshape(&flat, whole.clone())?];
    if call.wants(1) || call.wants(2) {
        let axes: Vec<usize> = (axis..whole.len()).collect();
        let mean = cx.reduce(ReduceOp::Mean, x, &axes, true)?;
        let rest = cx.sub(x, &mean)?;
        let inverse = inverse_deviation(cx, &rest, &axes, eps)?;
        results.extend([mean, inverse]);
    }
    Ok(results)
}

/// (x - mean) / sqrt(variance + eps) over axes.
fn standardised(cx: &mut Lower, x: &Val, axes: &[usize], eps: Real) -> Made {
    let mean = cx.reduce(ReduceOp::Mean, x, axes, true)?;
    let rest = cx.sub(x, &mean)?;
    let inverse = inverse_deviation(cx, &rest, axes, eps)?;
    cx.mul(&rest, &inverse)
}

/// A value per channel as one that broadcasts along axis 1 of `rank` axes.
fn per_channel(cx: &mut Lower, w: &Val, rank: usize) -> Made {
    let mut shape = cx.shape(w)?;
    shape.resize(rank.saturating_sub(1), Dim::one());
    cx.reshape(w, shape)
}

/// x * scale + bias, each per channel.
fn affine(cx: &mut Lower, x: &Val, scale: &Val, bias: &Val) -> Made {
    let rank = cx.rank(x)?;
    let (scale, bias) = (per_channel(cx, scale, rank)?, per_channel(cx, bias, rank)?);
    let scaled = cx.mul(x, &scale)?;
    cx.sum(&scaled, &bias)
}

/// `InstanceNormalization`.
pub fn instance_norm(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let axes: Vec<usize> = (2..cx.rank(x)?).collect();
    let value = standardised(cx, x, &axes, epsilon(call)?)?;
    Ok(vec![affine(cx, &value, call.input(1)?, call.input(2)?)?])
}

/// `GroupNormalization`: scale and bias per group (opset 18) or per channel (opset 21).
pub fn group_norm(cx: &mut Lower, call: &Call) -> Out {
    let (x, eps) = (call.input(0)?, epsilon(call)?);
    let whole = cx.shape(x)?;
    if whole.len() < 2 {
        return Err(OpError::input("the operand has no channels"));
    }
    let groups = Dim::from(call.attributes().int_required("num_groups")?.max(1));
    let [n, c] = [&whole[0], &whole[1]].map(Dim::clone);
    let each = c.exact_div(&groups);
    let each = each.ok_or_else(|| OpError::input(format!("{groups} groups of {c} channels")))?;
    let inner = &each * &shape::product(&whole[2..]);
    let split = cx.reshape(x, vec![n, groups, inner])?;
    let value = standardised(cx, &split, &[2], eps)?;
    if call.version() < 21 {
        let value = affine(cx, &value, call.input(1)?, call.input(2)?)?;
        return Ok(vec![cx.reshape(&value, whole)?]);
    }
    let value = cx.reshape(&value, whole)?;
    Ok(vec![affine(cx, &value, call.input(1)?, call.input(2)?)?])
}

/// `MeanVarianceNormalization`: x - mean over the deviation.
pub fn mean_variance(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let rank = cx.rank(x)?;
    let axes = call.attributes().ints("axes")?.unwrap_or(&[0, 2, 3]);
    let axes = axes
        .iter()
        .map(|a| super::super::value::axis_of(*a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    let mean = cx.reduce(ReduceOp::Mean, x, &axes, true)?;
    let rest = cx.sub(x, &mean)?;
    let squares = cx.mul(&rest, &rest)?;
    let variance = cx.reduce(ReduceOp::Mean, &squares, &axes, true)?;
    let deviation = cx.map(UnaryOp::Sqrt, &variance)?;
    let divisor = cx.plus(&deviation, 1e-9)?;
    Ok(vec![cx.div(&rest, &divisor)?])
}

/// `BatchNormalization`; in training mode by the statistics of x, which also move the running ones.
pub fn batch_norm(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let eps = f64::from(epsilon(call)?.get());
    let rank = cx.rank(x)?;
    let training = call.attributes().flag_or("training_mode", false)?;
    let (mean, variance) = match training {
        false => (call.input(3)?.clone(), call.input(4)?.clone()),
        true => {
            let axes: Vec<usize> = (0..rank).filter(|a| *a != 1).collect();
            let mean = cx.reduce(ReduceOp::Mean, x, &axes, false)?;
            let wide = per_channel(cx, &mean, rank)?;
            let rest = cx.sub(x, &wide)?;
            let squares = cx.mul(&rest, &rest)?;
            (mean, cx.reduce(ReduceOp::Mean, &squares, &axes, false)?)
        }
    };
    let wide = per_channel(cx, &mean, rank)?;
    let rest = cx.sub(x, &wide)?;
    let sum = cx.plus(&variance, eps)?;
    let inverse = cx.map(UnaryOp::Rsqrt, &sum)?;
    let scale = cx.mul(call.input(1)?, &inverse)?;
    let mut results = vec![affine(cx, &rest, &scale, call.input(2)?)?];
    if training {
        let momentum = f64::from(call.attributes().float_or("momentum", 0.9)?);
        for (i, now) in [(3, &mean), (4, &variance)] {
            let old = cx.times(call.input(i)?, momentum)?;
            let new = cx.times(now, 1.0 - momentum)?;
            results.push(cx.sum(&old, &new)?);
        }
    }
    Ok(results)
}
