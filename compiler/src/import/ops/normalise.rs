//! Normalisation operators.

use llmc_ir::{Op, Real};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::{Val, axis_of};
use super::Out;

/// The norms of the graph language work over the last axis.
fn last_axis(cx: &Lower, call: &Call, x: &Val) -> Result<(), OpError> {
    let rank = cx.ty(x)?.rank();
    let axis = axis_of(call.attributes().int_or("axis", -1)?, rank)?;
    match axis + 1 == rank {
        true => Ok(()),
        false => Err(OpError::unsupported(
            format!("normalisation over axes {axis}..{rank}, not the last alone"),
            "",
        )),
    }
}

/// `RMSNormalization` and ONNX Runtime's `SimplifiedLayerNormalization`.
pub fn rms_norm(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    last_axis(cx, call, x)?;
    if call.wants(1) {
        return Err(OpError::unsupported(
            "the second result (inverse deviation) is not supported",
            "",
        ));
    }
    let eps = Real::new(call.attributes().float_or("epsilon", 1e-5)?);
    Ok(vec![cx.apply(Op::RmsNorm { eps }, &[x, call.input(1)?])?])
}

/// `LayerNormalization`; an absent bias is a bias of zeros.
pub fn layer_norm(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    last_axis(cx, call, x)?;
    if call.wants(1) || call.wants(2) {
        return Err(OpError::unsupported(
            "the results mean and inverse deviation are not supported",
            "",
        ));
    }
    let eps = Real::new(call.attributes().float_or("epsilon", 1e-5)?);
    let weight = call.input(1)?;
    let bias = match call.optional(2) {
        Some(bias) => bias.clone(),
        None => {
            let ty = cx.ty(weight)?;
            let shape = ty
                .const_shape()
                .ok_or_else(|| OpError::unsupported("a weight of symbolic shape", ""))?;
            let zeros = llmc_tensor::Tensor::zeros(ty.dtype, shape);
            Val::constant(zeros.map_err(|e| OpError::bug(e.to_string()))?)
        }
    };
    Ok(vec![cx.apply(Op::LayerNorm { eps }, &[x, weight, &bias])?])
}
