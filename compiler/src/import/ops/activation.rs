//! Activations and functions that are compositions of simpler ones.

use llmc_ir::UnaryOp;

use super::super::call::Call;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::Made;

/// ln(1 + x), exact for small x too: x * ln(u) / (u - 1) with u = 1 + x rounded (Kahan).
pub fn log1p(cx: &mut Lower, x: &Val) -> Made {
    let u = cx.plus(x, 1.0)?;
    let one = cx.number(x, 1.0)?;
    let small = cx.equal(&u, &one)?;
    let rest = cx.plus(&u, -1.0)?;
    let divisor = cx.pick(&small, &one, &rest)?;
    let log = cx.map(UnaryOp::Log, &u)?;
    // ln(u) / (u - 1) is near 1 and keeps the error of u out; at infinity the quotient has no value
    let ratio = cx.div(x, &divisor)?;
    let exact = cx.mul(&log, &ratio)?;
    let infinite = cx.map(UnaryOp::IsInf, x)?;
    let large = cx.pick(&infinite, x, &exact)?;
    cx.pick(&small, x, &large)
}

/// e^x - 1, exact for small x too: tanh(x/2) * (e^x + 1).
pub fn expm1(cx: &mut Lower, x: &Val) -> Made {
    let half = cx.times(x, 0.5)?;
    let tanh = cx.map(UnaryOp::Tanh, &half)?;
    let exp = cx.map(UnaryOp::Exp, x)?;
    let sum = cx.plus(&exp, 1.0)?;
    cx.mul(&tanh, &sum)
}

/// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|).
pub fn soft_plus(cx: &mut Lower, x: &Val) -> Made {
    let size = cx.map(UnaryOp::Abs, x)?;
    let minus = cx.map(UnaryOp::Neg, &size)?;
    let exp = cx.map(UnaryOp::Exp, &minus)?;
    let log = log1p(cx, &exp)?;
    let relu = cx.map(UnaryOp::Relu, x)?;
    cx.sum(&relu, &log)
}

/// `Softplus`.
pub fn softplus(cx: &mut Lower, call: &Call) -> Out {
    Ok(vec![soft_plus(cx, call.input(0)?)?])
}

/// `Softsign`: x / (1 + |x|).
pub fn softsign(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let size = cx.map(UnaryOp::Abs, x)?;
    let sum = cx.plus(&size, 1.0)?;
    Ok(vec![cx.div(x, &sum)?])
}

/// `Mish`: x * tanh(softplus(x)).
pub fn mish(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let soft = soft_plus(cx, x)?;
    let gate = cx.map(UnaryOp::Tanh, &soft)?;
    Ok(vec![cx.mul(x, &gate)?])
}

/// `above` where x > 0, else `below`.
///
/// # Errors
/// As [`Lower::apply`].
pub fn unless_positive(cx: &mut Lower, x: &Val, above: &Val, below: &Val) -> Made {
    let zero = cx.number(x, 0.0)?;
    let positive = cx.greater(x, &zero)?;
    cx.pick(&positive, above, below)
}

/// `Elu`: alpha * (e^x - 1) below 0.
pub fn elu(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let alpha = f64::from(call.attributes().float_or("alpha", 1.0)?);
    let curve = expm1(cx, x)?;
    let below = cx.times(&curve, alpha)?;
    Ok(vec![unless_positive(cx, x, x, &below)?])
}

/// `Selu`: gamma * elu(x).
pub fn selu(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let alpha = call.attributes().float_or("alpha", 1.673_263_2)?;
    let gamma = f64::from(call.attributes().float_or("gamma", 1.050_701)?);
    let curve = expm1(cx, x)?;
    let below = cx.times(&curve, f64::from(alpha))?;
    let value = unless_positive(cx, x, x, &below)?;
    Ok(vec![cx.times(&value, gamma)?])
}

/// `Celu`: max(0, x) + min(0, alpha * (e^(x/alpha) - 1)).
pub fn celu(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let alpha = f64::from(call.attributes().float_or("alpha", 1.0)?);
    let scaled = cx.times(x, 1.0 / alpha)?;
    let curve = expm1(cx, &scaled)?;
    let below = cx.times(&curve, alpha)?;
    Ok(vec![unless_positive(cx, x, x, &below)?])
}

/// `LeakyRelu`: alpha * x below 0.
pub fn leaky_relu(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let alpha = f64::from(call.attributes().float_or("alpha", 0.01)?);
    let below = cx.times(x, alpha)?;
    Ok(vec![unless_positive(cx, x, x, &below)?])
}

/// `PRelu`: slope * x below 0.
pub fn prelu(cx: &mut Lower, call: &Call) -> Out {
    let (x, slope) = (call.input(0)?, call.input(1)?);
    let below = cx.mul(x, slope)?;
    Ok(vec![unless_positive(cx, x, x, &below)?])
}

/// `ThresholdedRelu`: 0 up to alpha.
pub fn thresholded_relu(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let alpha = cx.number(x, f64::from(call.attributes().float_or("alpha", 1.0)?))?;
    let above = cx.greater(x, &alpha)?;
    let zero = cx.number(x, 0.0)?;
    Ok(vec![cx.pick(&above, x, &zero)?])
}

fn hard(cx: &mut Lower, x: &Val, alpha: f64, beta: f64) -> Made {
    let line = cx.times(x, alpha)?;
    let line = cx.plus(&line, beta)?;
    cx.clamp(&line, 0.0, 1.0)
}

/// `HardSigmoid`: alpha * x + beta between 0 and 1.
pub fn hard_sigmoid(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let (alpha, beta) = (
        attributes.float_or("alpha", 0.2)?,
        attributes.float_or("beta", 0.5)?,
    );
    Ok(vec![hard(
        cx,
        call.input(0)?,
        f64::from(alpha),
        f64::from(beta),
    )?])
}

/// `HardSwish`: x * hard_sigmoid(x) with slope 1/6.
pub fn hard_swish(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let gate = hard(cx, x, 1.0 / 6.0, 0.5)?;
    Ok(vec![cx.mul(x, &gate)?])
}

/// `Shrink`: 0 within lambd of 0, elsewhere bias closer to it.
pub fn shrink(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let bias = f64::from(call.attributes().float_or("bias", 0.0)?);
    let lambda = f64::from(call.attributes().float_or("lambd", 0.5)?);
    let (low, high) = (cx.number(x, -lambda)?, cx.number(x, lambda)?);
    let (below, above) = (cx.less(x, &low)?, cx.greater(x, &high)?);
    let (left, right) = (cx.plus(x, bias)?, cx.plus(x, -bias)?);
    let zero = cx.number(x, 0.0)?;
    let rest = cx.pick(&above, &right, &zero)?;
    Ok(vec![cx.pick(&below, &left, &rest)?])
}

/// `SwiGLU`: swish(a) * b.
pub fn swiglu(cx: &mut Lower, call: &Call) -> Out {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let alpha = f64::from(call.attributes().float_or("alpha", 1.0)?);
    let scaled = cx.times(a, alpha)?;
    let gate = cx.map(UnaryOp::Sigmoid, &scaled)?;
    let swish = cx.mul(a, &gate)?;
    Ok(vec![cx.mul(&swish, b)?])
}
