//! Operators that make values rather than transform them: constants, ranges, and what exists at compile time only.

use llmc_ir::{Dim, Type};
use llmc_tensor::{DType, Tensor};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::selected;
use super::super::source::inline_tensor;
use super::super::value::{Val, at_least, unknown_type};
use super::Out;

/// Attributes of `Constant`.
pub const CONSTANT_ATTRIBUTES: &[&str] = &[
    "value",
    "value_float",
    "value_floats",
    "value_int",
    "value_ints",
];

fn made<E: ToString>(tensor: Result<Tensor, E>) -> Out {
    tensor
        .map(|t| vec![Val::constant(t)])
        .map_err(|e| OpError::input(e.to_string()))
}

/// `Constant`.
pub fn constant(_: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    if let Some(tensor) = attributes.tensor("value")? {
        return made(inline_tensor(tensor));
    }
    if let Some(value) = attributes.float("value_float")? {
        return made::<String>(Ok(Tensor::scalar(value)));
    }
    if let Some(values) = attributes.floats("value_floats")? {
        return made(Tensor::from_slice([values.len()], values));
    }
    if let Some(value) = attributes.int("value_int")? {
        return made::<String>(Ok(Tensor::scalar(value)));
    }
    if let Some(values) = attributes.ints("value_ints")? {
        return made(Tensor::from_slice([values.len()], values));
    }
    Err(OpError::input("no attribute holds a value"))
}

/// `Identity`.
pub fn identity(_: &mut Lower, call: &Call) -> Out {
    Ok(vec![call.input(0)?.clone()])
}

/// `Dropout`, which does nothing at inference: the mask is all ones.
pub fn dropout(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let training = match call.optional(2) {
        Some(mode) => cx.known_floats(mode)?.first() == Some(&1.0),
        None => false,
    };
    let ratio = match call.optional(1) {
        Some(ratio) if training => cx.known_floats(ratio)?.first().copied().unwrap_or(0.5),
        _ if training => 0.5,
        _ => 0.0,
    };
    if ratio != 0.0 {
        return Err(OpError::unsupported(
            "dropout in training mode is random",
            "export the model for inference (model.eval())",
        ));
    }
    let mut results = vec![x.clone()];
    if call.wants(1) {
        let kept = match call.version() {
            ..10 => cx.number(x, 1.0)?,
            _ => Val::constant(Tensor::scalar(true)),
        };
        let shape = cx.shape(x)?;
        results.push(cx.spread(&kept, shape)?);
    }
    Ok(results)
}

/// `ConstantOfShape`; f32 zeros by default.
pub fn constant_of_shape(cx: &mut Lower, call: &Call) -> Out {
    let shape = call.input(0)?;
    let value = match call.attributes().tensor("value")? {
        Some(tensor) => inline_tensor(tensor).map_err(|e| OpError::input(e.to_string()))?,
        None => Tensor::scalar(0.0f32),
    };
    let scalar = value
        .reshape(Vec::<usize>::new())
        .map_err(|_| OpError::input("`value` must hold one element"))?;
    let dims = cx.ints(shape);
    // The shape operand is a vector even when it is empty: a scalar results.
    let ty = dims.map(|dims| Type::new(value.dtype(), dims));
    let filled = cx.local(&[shape], ty, |operands| {
        let dims = operands
            .first()
            .and_then(|t| t.to_i64_vec().ok())
            .unwrap_or_default();
        let lens = dims
            .iter()
            .map(|&d| usize::try_from(d))
            .collect::<Result<Vec<_>, _>>();
        let lens =
            lens.map_err(|_| OpError::input(format!("shape {dims:?} holds a negative extent")))?;
        let count = llmc_tensor::tensor::elements(&lens).unwrap_or(usize::MAX);
        let filled = match scalar.dtype() {
            d if d.is_float() => Tensor::from_f64(
                d,
                lens,
                &vec![scalar.to_f64_vec().first().copied().unwrap_or(0.0); count],
            ),
            d => {
                let one = scalar
                    .to_i64_vec()
                    .ok()
                    .and_then(|v| v.first().copied())
                    .unwrap_or(0);
                Tensor::from_i64(d, lens, &vec![one; count])
            }
        };
        filled.map_err(|e| OpError::input(e.to_string()))
    })?;
    // Small integer tensors of known shape are constants already; nothing is left to do for polynomials.
    Ok(vec![filled])
}

/// `Range`.
pub fn range(cx: &mut Lower, call: &Call) -> Out {
    let (start, limit, step) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let ty = range_type(cx, start, limit, step);
    let value = cx.local(&[start, limit, step], ty, |operands| {
        let [start, limit, step] = operands else {
            return Err(unknown_type());
        };
        let dtype = start.dtype();
        let tensor = if dtype.is_float() {
            let one = |t: &Tensor| t.to_f64_vec().first().copied().unwrap_or(0.0);
            let (start, limit, step) = (one(start), one(limit), one(step));
            let count = ((limit - start) / step).ceil().max(0.0);
            if !count.is_finite() || count > (1u64 << 25) as f64 {
                return Err(OpError::input(format!(
                    "a range from {start} to {limit} by {step} has no end"
                )));
            }
            let values: Vec<f64> = (0..count as u64).map(|i| start + i as f64 * step).collect();
            Tensor::from_f64(dtype, [values.len()], &values)
        } else {
            let one = |t: &Tensor| {
                t.to_i64_vec()
                    .ok()
                    .and_then(|v| v.first().copied())
                    .unwrap_or(0)
            };
            let (start, limit, step) = (one(start), one(limit), one(step));
            let count = range_len(start, limit, step)?;
            let values: Vec<i64> = (0..count).map(|i| start + i * step).collect();
            Tensor::from_i64(dtype, [values.len()], &values)
        };
        tensor.map_err(|e| OpError::bug(e.to_string()))
    })?;
    Ok(vec![value])
}

fn range_len(start: i64, limit: i64, step: i64) -> Result<i64, OpError> {
    let (start, limit, step) = (i128::from(start), i128::from(limit), i128::from(step));
    let count = match step {
        0 => return Err(OpError::input("the step of the range is 0")),
        s if s > 0 => (limit - start + s - 1).div_euclid(s).max(0),
        s => (start - limit - s - 1).div_euclid(-s).max(0),
    };
    match i64::try_from(count) {
        Ok(count) if count <= 1 << 30 => Ok(count),
        _ => Err(OpError::input(format!("a range of {count} elements"))),
    }
}

fn range_type(cx: &Lower, start: &Val, limit: &Val, step: &Val) -> Result<Type, OpError> {
    let dtype = start.dtype()?;
    if dtype.is_float() {
        // The number of elements is known only once the operands are; then it is computed anyway.
        return Err(unknown_type());
    }
    let scalar = |v: &Val| cx.ints(v)?.first().cloned().ok_or_else(unknown_type);
    let (start, limit, step) = (scalar(start)?, scalar(limit)?, scalar(step)?);
    let count = match (start.as_const(), limit.as_const(), step.as_const()) {
        (Some(start), Some(limit), Some(step)) => Dim::from(range_len(start, limit, step)?),
        (_, _, Some(1)) if at_least(&(&limit - &start), 0) => &limit - &start,
        (_, _, Some(-1)) if at_least(&(&start - &limit), 0) => &start - &limit,
        _ => return Err(unknown_type()),
    };
    Ok(Type::new(dtype, [count]))
}

/// `NonZero`: coordinates of the elements that are not zero, `[rank, count]`.
pub fn non_zero(cx: &mut Lower, call: &Call) -> Out {
    if call.input(0)?.is_data() {
        return Ok(vec![selected::non_zero(cx, call.input(0)?)?]);
    }
    let value = cx.local(&[call.input(0)?], Err(unknown_type()), |operands| {
        let [x] = operands else {
            return Err(unknown_type());
        };
        let hits: Vec<usize> = x
            .to_bool_vec()
            .iter()
            .enumerate()
            .filter(|(_, v)| **v)
            .map(|(i, _)| i)
            .collect();
        let rank = x.rank().max(1);
        let shape = if x.rank() == 0 {
            vec![1]
        } else {
            x.shape().to_vec()
        };
        let coordinates: Vec<Vec<usize>> = hits
            .iter()
            .map(|&i| llmc_tensor::compare::unravel(i, &shape))
            .collect();
        let values: Vec<i64> = (0..rank)
            .flat_map(|axis| coordinates.iter().map(move |c| c[axis] as i64))
            .collect();
        Tensor::from_i64(DType::I64, [rank, hits.len()], &values)
            .map_err(|e| OpError::bug(e.to_string()))
    })?;
    Ok(vec![value])
}
