//! What ONNX Runtime's optimiser and the model builders write for several standard operators at once.

use llmc_ir::{BinaryOp, Op, Real, ReduceOp, UnaryOp};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::cache::inverse_rms;
use super::compute::scaled;
use super::{Out, elementwise};

/// Attributes of `FusedMatMul`.
pub const MATMUL: &[&str] = &["alpha", "transA", "transB", "transBatchA", "transBatchB"];

/// The sum of the first operand, the second and, if it is there, operand `bias`.
fn residual(cx: &mut Lower, call: &Call, bias: usize) -> Result<Val, OpError> {
    let mut sum = cx.apply(Op::Binary(BinaryOp::Add), &[call.input(0)?, call.input(1)?])?;
    if let Some(bias) = call.optional(bias) {
        sum = cx.apply(Op::Binary(BinaryOp::Add), &[&sum, bias])?;
    }
    Ok(sum)
}

fn mean(cx: &mut Lower, x: &Val) -> Result<Val, OpError> {
    let op = Op::Reduce {
        op: ReduceOp::Mean,
        axes: vec![cx.ty(x)?.rank() - 1],
        keepdims: true,
    };
    cx.apply(op, &[x])
}

/// `SkipSimplifiedLayerNormalization`: an RMS norm of a sum, and the sum.
pub fn skip_rms_norm(cx: &mut Lower, call: &Call) -> Out {
    let sum = residual(cx, call, 3)?;
    let eps = call.attributes().float_or("epsilon", 1e-5)?;
    let op = Op::RmsNorm {
        eps: Real::new(eps),
    };
    let mut results = vec![cx.apply(op, &[&sum, call.input(2)?])?];
    if call.results() > 1 {
        results.push(mean(cx, &sum)?);
        results.push(inverse_rms(cx, &sum, eps)?);
        results.push(sum);
    }
    Ok(results)
}

/// `SkipLayerNormalization`: a layer norm of a sum, and the sum.
pub fn skip_layer_norm(cx: &mut Lower, call: &Call) -> Out {
    let sum = residual(cx, call, 4)?;
    let eps = call.attributes().float_or("epsilon", 1e-5)?;
    let weight = call.input(2)?;
    let bias = match call.optional(3) {
        Some(bias) => bias.clone(),
        None => {
            let (zero, width) = (cx.number(weight, 0.0)?, cx.shape(weight)?);
            cx.spread(&zero, width)?
        }
    };
    let norm = Op::LayerNorm {
        eps: Real::new(eps),
    };
    let out = cx.apply(norm, &[&sum, weight, &bias])?;
    let mut results = vec![out];
    if call.results() > 1 {
        let average = mean(cx, &sum)?;
        let centred = cx.apply(Op::Binary(BinaryOp::Sub), &[&sum, &average])?;
        results.push(average);
        results.push(inverse_rms(cx, &centred, eps)?);
        results.push(sum);
    }
    Ok(results)
}

/// `FusedMatMul`: alpha * A' B'.
pub fn matmul(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    if attributes.flag_or("transBatchA", false)? || attributes.flag_or("transBatchB", false)? {
        return Err(OpError::unsupported(
            "transBatchA and transBatchB are not supported",
            "",
        ));
    }
    let turned =
        |cx: &mut Lower, operand: &Val, flag: &str| match attributes.flag_or(flag, false)? {
            false => Ok(operand.clone()),
            true => {
                let rank = cx.ty(operand)?.rank();
                let mut perm: Vec<usize> = (0..rank).collect();
                if rank >= 2 {
                    perm.swap(rank - 2, rank - 1);
                }
                cx.apply(Op::Transpose { perm }, &[operand])
            }
        };
    let a = turned(cx, call.input(0)?, "transA")?;
    let b = turned(cx, call.input(1)?, "transB")?;
    let product = cx.apply(Op::MatMul, &[&a, &b])?;
    Ok(vec![scaled(
        cx,
        &product,
        attributes.float_or("alpha", 1.0)?,
    )?])
}

/// `QuickGelu`: x * sigmoid(alpha * x).
pub fn quick_gelu(cx: &mut Lower, call: &Call) -> Out {
    let alpha = call.attributes().float_or("alpha", 1.702)?;
    Ok(vec![elementwise::swish_of(cx, call.input(0)?, alpha)?])
}

/// A gelu after an optional bias.
fn biased(cx: &mut Lower, call: &Call, gelu: UnaryOp) -> Out {
    let mut x = call.input(0)?.clone();
    if let Some(bias) = call.optional(1) {
        x = cx.apply(Op::Binary(BinaryOp::Add), &[&x, bias])?;
    }
    Ok(vec![cx.apply(Op::Unary(gelu), &[&x])?])
}

/// `FastGelu`: the tanh form.
pub fn fast_gelu(cx: &mut Lower, call: &Call) -> Out {
    biased(cx, call, UnaryOp::GeluTanh)
}

/// `BiasGelu`, and ONNX Runtime's `Gelu`: the erf form.
pub fn bias_gelu(cx: &mut Lower, call: &Call) -> Out {
    biased(cx, call, UnaryOp::Gelu)
}
