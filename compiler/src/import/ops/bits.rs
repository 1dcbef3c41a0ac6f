//! Bits of integers, and conversions between element types with their choices of rounding.

use llmc_ir::{BinaryOp, Op, UnaryOp};
use llmc_tensor::{DType, Tensor};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::Made;
use super::elementwise::target;

/// `BitwiseAnd`.
pub fn bitwise_and(cx: &mut Lower, call: &Call) -> Out {
    Ok(vec![cx.and(call.input(0)?, call.input(1)?)?])
}

/// `BitwiseOr`.
pub fn bitwise_or(cx: &mut Lower, call: &Call) -> Out {
    Ok(vec![cx.or(call.input(0)?, call.input(1)?)?])
}

/// `BitwiseXor`.
pub fn bitwise_xor(cx: &mut Lower, call: &Call) -> Out {
    let op = Op::Binary(BinaryOp::Xor);
    Ok(vec![cx.apply(op, &[call.input(0)?, call.input(1)?])?])
}

/// `BitwiseNot`: exclusive or with ones.
pub fn bitwise_not(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let ones = Tensor::from_i64(x.dtype()?, Vec::new(), &[-1]);
    let ones = ones.map_err(|e| OpError::bug(e.to_string()))?;
    let op = Op::Binary(BinaryOp::Xor);
    Ok(vec![cx.apply(op, &[x, &Val::constant(ones)])?])
}

/// `BitShift`.
pub fn bit_shift(cx: &mut Lower, call: &Call) -> Out {
    let op = match call.attributes().text_or("direction", "")? {
        "LEFT" => BinaryOp::Shl,
        "RIGHT" => BinaryOp::Shr,
        other => {
            return Err(OpError::input(format!(
                "direction=`{other}` is neither `LEFT` nor `RIGHT`"
            )));
        }
    };
    Ok(vec![cx.apply(
        Op::Binary(op),
        &[call.input(0)?, call.input(1)?],
    )?])
}

/// `BitCast`. Between integers of the same width it is the conversion that wraps around.
pub fn bit_cast(cx: &mut Lower, call: &Call) -> Out {
    let (x, to) = (call.input(0)?, target(call)?);
    let from = x.dtype()?;
    let op = match from.bits() == to.bits() && from.is_int() && to.is_int() {
        true => Op::Cast(to),
        false => Op::BitCast(to),
    };
    Ok(vec![cx.apply(op, &[x])?])
}

/// `Cast`.
pub fn cast(cx: &mut Lower, call: &Call) -> Out {
    let to = target(call)?;
    Ok(vec![converted(cx, call, to)?])
}

/// `CastLike`.
pub fn cast_like(cx: &mut Lower, call: &Call) -> Out {
    let to = call.input(1)?.dtype()?;
    Ok(vec![converted(cx, call, to)?])
}

fn converted(cx: &mut Lower, call: &Call, to: DType) -> Made {
    let x = call.input(0)?;
    let attributes = call.attributes();
    if to == DType::F8E8m0 {
        return power_of_two(cx, x, attributes.text_or("round_mode", "up")?);
    }
    match attributes.flag_or("saturate", true)? {
        true => cx.cast(x, to),
        false => overflowing(cx, x, to),
    }
}

/// Rounds to a power of two in the bits of an f32: what an e8m0 holds.
fn power_of_two(cx: &mut Lower, x: &Val, mode: &str) -> Made {
    let add: u32 = match mode {
        "up" => 0x7f_ffff,
        "nearest" => 0x40_0000,
        "down" => 0,
        other => {
            return Err(OpError::input(format!(
                "round_mode=`{other}` is none of `up`, `down`, `nearest`"
            )));
        }
    };
    let x = cx.cast(x, DType::F32)?;
    let bits = cx.apply(Op::BitCast(DType::U32), &[&x])?;
    let raised = cx.sum(&bits, &Val::constant(Tensor::scalar(add)))?;
    let exponent = cx.and(&raised, &Val::constant(Tensor::scalar(0x7f80_0000u32)))?;
    let rounded = cx.apply(Op::BitCast(DType::F32), &[&exponent])?;
    let nan = cx.map(UnaryOp::IsNan, &x)?;
    let rounded = cx.pick(&nan, &x, &rounded)?;
    cx.cast(&rounded, DType::F8E8m0)
}

/// A conversion to 8 bits where what is too large becomes infinity, or NaN in a type without it.
fn overflowing(cx: &mut Lower, x: &Val, to: DType) -> Made {
    // the first magnitude that rounds beyond the largest finite value; code of what it becomes
    let (limit, code) = match to {
        DType::F8E4m3 => (464.0f32.next_up(), 0x7f),
        DType::F8E4m3Fnuz => (248.0, 0x80),
        DType::F8E5m2 => (61440.0, 0x7c),
        DType::F8E5m2Fnuz => (61440.0, 0x80),
        _ => return cx.cast(x, to),
    };
    // Codes are chosen as bytes: as a number, infinity would be made the largest finite value.
    let value = |code: u8| Val::constant(Tensor::scalar(code));
    let within = cx.cast(x, to)?;
    let within = cx.apply(Op::BitCast(DType::U8), &[&within])?;
    let x = cx.cast(x, DType::F32)?;
    let size = cx.map(UnaryOp::Abs, &x)?;
    let limit = cx.number(&size, f64::from(limit))?;
    let over = cx.greater_or_equal(&size, &limit)?;
    let beyond = match to {
        DType::F8E5m2 => {
            let zero = cx.number(&x, 0.0)?;
            let negative = cx.less(&x, &zero)?;
            cx.pick(&negative, &value(code | 0x80), &value(code))?
        }
        _ => value(code),
    };
    let codes = cx.pick(&over, &beyond, &within)?;
    cx.apply(Op::BitCast(to), &[&codes])
}
