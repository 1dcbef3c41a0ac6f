//! What ONNX Runtime's optimiser and the model builders write for several standard operators at once.

use llmc_ir::{BinaryOp, Op, Real, ReduceOp, UnaryOp};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::build::Made;
use super::cache::inverse_rms;
use super::compute::scaled;
use super::{Out, activation, compute, convolution, elementwise};

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

/// Attributes of `FusedGemm`.
pub const GEMM: &[&str] = &[
    "activation",
    "activation_alpha",
    "activation_beta",
    "activation_gamma",
    "alpha",
    "beta",
    "transA",
    "transB",
];

/// Attributes of `FusedConv`.
pub const CONV: &[&str] = &[
    "activation",
    "activation_params",
    "auto_pad",
    "dilations",
    "group",
    "kernel_shape",
    "pads",
    "strides",
];

/// The activation that a fused operator ends with, with its parameters.
fn activated(cx: &mut Lower, call: &Call, x: &Val, [alpha, beta]: [Option<f32>; 2]) -> Made {
    let parameter = |given: Option<f32>, default: f32| f64::from(given.unwrap_or(default));
    match call.attributes().text_or("activation", "")? {
        "" => Ok(x.clone()),
        "Relu" => cx.map(UnaryOp::Relu, x),
        "Tanh" => cx.map(UnaryOp::Tanh, x),
        "Sigmoid" => cx.map(UnaryOp::Sigmoid, x),
        "LeakyRelu" => {
            let below = cx.times(x, parameter(alpha, 0.01))?;
            activation::unless_positive(cx, x, x, &below)
        }
        "HardSigmoid" => {
            let line = cx.times(x, parameter(alpha, 0.2))?;
            let line = cx.plus(&line, parameter(beta, 0.5))?;
            cx.clamp(&line, 0.0, 1.0)
        }
        "Clip" => cx.clamp(x, parameter(alpha, f32::MIN), parameter(beta, f32::MAX)),
        other => Err(OpError::unsupported(
            format!("the activation `{other}` is not supported"),
            "export without ONNX Runtime's extended optimisations",
        )),
    }
}

/// `FusedGemm`: `Gemm` and an activation.
pub fn gemm(cx: &mut Lower, call: &Call) -> Out {
    let product = compute::gemm(cx, call)?;
    let attributes = call.attributes();
    let parameters = [
        attributes.float("activation_alpha")?,
        attributes.float("activation_beta")?,
    ];
    Ok(vec![activated(cx, call, &product[0], parameters)?])
}

/// `FusedConv`: `Conv`, a further summand, and an activation.
pub fn conv(cx: &mut Lower, call: &Call) -> Out {
    let mut sum = convolution::conv(cx, call)?.remove(0);
    if let Some(more) = call.optional(3) {
        sum = cx.sum(&sum, more)?;
    }
    let given = call
        .attributes()
        .floats("activation_params")?
        .unwrap_or(&[]);
    let parameters = [given.first().copied(), given.get(1).copied()];
    Ok(vec![activated(cx, call, &sum, parameters)?])
}
