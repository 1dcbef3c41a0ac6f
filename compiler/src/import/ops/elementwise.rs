//! Operators that work element by element.

use llmc_ir::{BinaryOp, CmpOp, Op, UnaryOp};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::{Category, OpError};
use super::super::lower::Lower;
use super::super::source::dtype_of;
use super::super::value::Val;
use super::Out;

fn unary(cx: &mut Lower, call: &Call, op: UnaryOp) -> Out {
    Ok(vec![cx.apply(Op::Unary(op), &[call.input(0)?])?])
}

fn binary(cx: &mut Lower, call: &Call, op: BinaryOp) -> Out {
    Ok(vec![cx.apply(
        Op::Binary(op),
        &[call.input(0)?, call.input(1)?],
    )?])
}

fn compare(cx: &mut Lower, call: &Call, op: CmpOp) -> Out {
    Ok(vec![cx.apply(
        Op::Compare(op),
        &[call.input(0)?, call.input(1)?],
    )?])
}

/// One or more operands, folded from the left.
fn variadic(cx: &mut Lower, call: &Call, op: BinaryOp) -> Out {
    let operands = call.all()?;
    let mut value = operands[0].clone();
    for operand in &operands[1..] {
        value = cx.apply(Op::Binary(op), &[&value, operand])?;
    }
    Ok(vec![value])
}

macro_rules! functions {
    ($($kind:ident: $($(#[$doc:meta])* $name:ident = $op:expr),+;)*) => {$($(
        $(#[$doc])*
        pub fn $name(cx: &mut Lower, call: &Call) -> Out {
            $kind(cx, call, $op)
        }
    )+)*};
}

functions! {
    unary:
        /// `Abs`.
        abs = UnaryOp::Abs,
        /// `Ceil`.
        ceil = UnaryOp::Ceil,
        /// `Cos`.
        cos = UnaryOp::Cos,
        /// `Erf`.
        erf = UnaryOp::Erf,
        /// `Exp`.
        exp = UnaryOp::Exp,
        /// `Floor`.
        floor = UnaryOp::Floor,
        /// `IsNaN`.
        is_nan = UnaryOp::IsNan,
        /// `Log`.
        log = UnaryOp::Log,
        /// `Neg`.
        neg = UnaryOp::Neg,
        /// `Not`.
        not = UnaryOp::Not,
        /// `Reciprocal`.
        reciprocal = UnaryOp::Recip,
        /// `Relu`.
        relu = UnaryOp::Relu,
        /// `Round`.
        round = UnaryOp::Round,
        /// `Sigmoid`.
        sigmoid = UnaryOp::Sigmoid,
        /// `Sign`.
        sign = UnaryOp::Sign,
        /// `Sin`.
        sin = UnaryOp::Sin,
        /// `Sqrt`.
        sqrt = UnaryOp::Sqrt,
        /// `Tanh`.
        tanh = UnaryOp::Tanh;
    binary:
        /// `Add`.
        add = BinaryOp::Add,
        /// `And`.
        and = BinaryOp::And,
        /// `Div`; integers truncate towards zero.
        div = BinaryOp::Div,
        /// `Mul`.
        mul = BinaryOp::Mul,
        /// `Or`.
        or = BinaryOp::Or,
        /// `Pow`.
        pow = BinaryOp::Pow,
        /// `Sub`.
        sub = BinaryOp::Sub,
        /// `Xor`.
        xor = BinaryOp::Xor;
    compare:
        /// `Equal`.
        equal = CmpOp::Eq,
        /// `Greater`.
        greater = CmpOp::Gt,
        /// `GreaterOrEqual`.
        greater_or_equal = CmpOp::Ge,
        /// `Less`.
        less = CmpOp::Lt,
        /// `LessOrEqual`.
        less_or_equal = CmpOp::Le;
    variadic:
        /// `Max`.
        max = BinaryOp::Max,
        /// `Min`.
        min = BinaryOp::Min,
        /// `Sum`.
        sum = BinaryOp::Add;
}

/// `Mod`; `fmod=1` takes the sign of the dividend.
pub fn modulo(cx: &mut Lower, call: &Call) -> Out {
    match call.attributes().flag_or("fmod", false)? {
        true => binary(cx, call, BinaryOp::Rem),
        false => binary(cx, call, BinaryOp::Mod),
    }
}

/// `Where`.
pub fn select(cx: &mut Lower, call: &Call) -> Out {
    Ok(vec![cx.apply(
        Op::Where,
        &[call.input(0)?, call.input(1)?, call.input(2)?],
    )?])
}

/// A cast, which is nothing at all if the operand has the type already.
pub fn cast_to(cx: &mut Lower, value: &Val, to: DType) -> Result<Val, OpError> {
    if value.dtype().ok() == Some(to) {
        return Ok(value.clone());
    }
    cx.apply(Op::Cast(to), &[value])
}

/// The element type of an ONNX type code in an attribute.
///
/// # Errors
/// An unknown code, or a type that llmc does not have.
pub fn dtype_at(code: i64) -> Result<DType, OpError> {
    let known = i32::try_from(code).map_err(|_| (Category::Input, format!("type code {code}")));
    known
        .and_then(dtype_of)
        .map_err(|(category, reason)| OpError {
            category,
            reason: format!("target: {reason}"),
            remedy: String::new(),
        })
}

/// The element type that the attribute `to` names.
///
/// # Errors
/// As [`dtype_at`], or if there is no such attribute.
pub fn target(call: &Call) -> Result<DType, OpError> {
    dtype_at(call.attributes().int_required("to")?)
}

/// `Clip`; absent bounds do not bind. Before opset 11 they are attributes.
pub fn clip(cx: &mut Lower, call: &Call) -> Out {
    let mut value = call.input(0)?.clone();
    let sides = [(1, "min", BinaryOp::Max), (2, "max", BinaryOp::Min)];
    for (operand, name, op) in sides {
        let bound = match (call.version(), call.attributes().float(name)?) {
            (..11, Some(bound)) => Some(cx.number(&value, f64::from(bound))?),
            (..11, None) => None,
            _ => call.optional(operand).cloned(),
        };
        if let Some(bound) = bound {
            value = cx.apply(Op::Binary(op), &[&value, &bound])?;
        }
    }
    Ok(vec![value])
}

/// `Mean`: the sum of all operands over their number.
pub fn mean(cx: &mut Lower, call: &Call) -> Out {
    let sum = variadic(cx, call, BinaryOp::Add)?;
    let count = call.inputs.len().max(1) as f64;
    sum.iter().map(|s| cx.times(s, 1.0 / count)).collect()
}

/// `Gelu`.
pub fn gelu(cx: &mut Lower, call: &Call) -> Out {
    match call.attributes().text_or("approximate", "none")? {
        "none" => unary(cx, call, UnaryOp::Gelu),
        "tanh" => unary(cx, call, UnaryOp::GeluTanh),
        other => Err(OpError::input(format!(
            "approximate=`{other}` is neither `none` nor `tanh`"
        ))),
    }
}

/// `Swish`: x * sigmoid(alpha * x).
pub fn swish(cx: &mut Lower, call: &Call) -> Out {
    let alpha = call.attributes().float_or("alpha", 1.0)?;
    Ok(vec![swish_of(cx, call.input(0)?, alpha)?])
}

/// x * sigmoid(alpha * x).
///
/// # Errors
/// As [`Lower::apply`].
pub fn swish_of(cx: &mut Lower, x: &Val, alpha: f32) -> Result<Val, OpError> {
    if alpha == 1.0 {
        return cx.apply(Op::Unary(UnaryOp::Silu), &[x]);
    }
    let alpha = cx.scalar_of(x.dtype()?, f64::from(alpha))?;
    let scaled = cx.apply(Op::Binary(BinaryOp::Mul), &[x, &alpha])?;
    let gate = cx.apply(Op::Unary(UnaryOp::Sigmoid), &[&scaled])?;
    cx.apply(Op::Binary(BinaryOp::Mul), &[x, &gate])
}
