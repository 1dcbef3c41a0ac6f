//! Trigonometric and hyperbolic functions, from sin, cos, atan, exp, tanh and log.

use llmc_ir::UnaryOp;

use super::super::call::Call;
use super::super::lower::Lower;
use super::Out;
use super::activation::log1p;

/// `Tan`: sin / cos.
pub fn tan(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let (sin, cos) = (cx.map(UnaryOp::Sin, x)?, cx.map(UnaryOp::Cos, x)?);
    Ok(vec![cx.div(&sin, &cos)?])
}

/// `Atan`.
pub fn atan(cx: &mut Lower, call: &Call) -> Out {
    Ok(vec![cx.map(UnaryOp::Atan, call.input(0)?)?])
}

/// `Asin`: atan(x / sqrt((1 - x)(1 + x))).
pub fn asin(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let minus = cx.map(UnaryOp::Neg, x)?;
    let (a, b) = (cx.plus(&minus, 1.0)?, cx.plus(x, 1.0)?);
    let square = cx.mul(&a, &b)?;
    let root = cx.map(UnaryOp::Sqrt, &square)?;
    let slope = cx.div(x, &root)?;
    Ok(vec![cx.map(UnaryOp::Atan, &slope)?])
}

/// `Acos`: 2 atan(sqrt((1 - x) / (1 + x))).
pub fn acos(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let minus = cx.map(UnaryOp::Neg, x)?;
    let (a, b) = (cx.plus(&minus, 1.0)?, cx.plus(x, 1.0)?);
    let square = cx.div(&a, &b)?;
    let root = cx.map(UnaryOp::Sqrt, &square)?;
    let half = cx.map(UnaryOp::Atan, &root)?;
    Ok(vec![cx.times(&half, 2.0)?])
}

/// `Cosh`: (e^x + e^-x) / 2.
pub fn cosh(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let minus = cx.map(UnaryOp::Neg, x)?;
    let (up, down) = (cx.map(UnaryOp::Exp, x)?, cx.map(UnaryOp::Exp, &minus)?);
    let sum = cx.sum(&up, &down)?;
    Ok(vec![cx.times(&sum, 0.5)?])
}

/// `Sinh`: tanh * cosh, which has no difference of near numbers.
pub fn sinh(cx: &mut Lower, call: &Call) -> Out {
    let cosh = cosh(cx, call)?;
    let tanh = cx.map(UnaryOp::Tanh, call.input(0)?)?;
    let cosh = cosh.into_iter().map(|c| cx.mul(&tanh, &c));
    cosh.collect()
}

/// `Asinh`: sign(x) * ln(1 + |x| + x^2 / (1 + sqrt(x^2 + 1))).
pub fn asinh(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let (size, sign) = (cx.map(UnaryOp::Abs, x)?, cx.map(UnaryOp::Sign, x)?);
    let square = cx.mul(x, x)?;
    let sum = cx.plus(&square, 1.0)?;
    let root = cx.map(UnaryOp::Sqrt, &sum)?;
    let divisor = cx.plus(&root, 1.0)?;
    let extra = cx.div(&square, &divisor)?;
    let inner = cx.sum(&size, &extra)?;
    let log = log1p(cx, &inner)?;
    Ok(vec![cx.mul(&sign, &log)?])
}

/// `Acosh`: ln(x + sqrt((x - 1)(x + 1))), as ln(1 + (x - 1) + ..).
pub fn acosh(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let (a, b) = (cx.plus(x, -1.0)?, cx.plus(x, 1.0)?);
    let square = cx.mul(&a, &b)?;
    let root = cx.map(UnaryOp::Sqrt, &square)?;
    let inner = cx.sum(&a, &root)?;
    Ok(vec![log1p(cx, &inner)?])
}

/// `Atanh`: ln(1 + 2x / (1 - x)) / 2.
pub fn atanh(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let minus = cx.map(UnaryOp::Neg, x)?;
    let rest = cx.plus(&minus, 1.0)?;
    let twice = cx.times(x, 2.0)?;
    let inner = cx.div(&twice, &rest)?;
    let log = log1p(cx, &inner)?;
    Ok(vec![cx.times(&log, 0.5)?])
}
