//! Small integer tensors whose elements are polynomials of the symbols: what shape subgraphs compute.

use llmc_ir::{BinaryOp, Bindings, CmpOp, Dim, Op, ReduceOp, Type, UnaryOp, eval_op};
use llmc_tensor::{DType, Tensor};

use super::error::OpError;
use super::value::{Content, Val, at_least};

/// Larger tensors are no shapes; they are computed on samples.
const MAX_ELEMENTS: usize = 1024;

/// A value of polynomials; a constant if no symbol is in them.
///
/// # Errors
/// If the number of elements is not that of the shape (a bug).
pub fn value(dtype: DType, shape: Vec<usize>, dims: Vec<Dim>) -> Result<Val, OpError> {
    if let Some(known) = dims.iter().map(Dim::as_const).collect::<Option<Vec<i64>>>() {
        let tensor = Tensor::from_i64(dtype, shape, &known);
        return tensor
            .map(Val::constant)
            .map_err(|e| OpError::bug(e.to_string()));
    }
    if shape.iter().product::<usize>() != dims.len() {
        return Err(OpError::bug(format!(
            "{} polynomials for shape {shape:?}",
            dims.len()
        )));
    }
    let shape: Vec<Dim> = shape.into_iter().map(Dim::from).collect();
    Ok(Val {
        content: Content::Ints(dims),
        ty: Some(Type::new(dtype, shape)),
        source: None,
    })
}

/// Applies an op to polynomials; `None` if it leaves the realm of polynomials. `ty` is the result's type.
pub fn apply(op: &Op, operands: &[&Val], ty: &Type) -> Option<Val> {
    let shape = ty.const_shape()?;
    if shape.iter().product::<usize>() > MAX_ELEMENTS {
        return None;
    }
    match op {
        Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Expand { .. }
        | Op::Concat { .. }
        | Op::Slice { .. } => moved(op, operands, &[], ty.dtype),
        Op::Gather { .. } | Op::GatherNd { .. } => {
            moved(op, &operands[..1], &operands[1..], ty.dtype)
        }
        Op::Where => select(operands, ty.dtype, &shape),
        Op::Cast(to) if to.is_int() => value(*to, shape, operands.first()?.as_dims()?).ok(),
        Op::Unary(UnaryOp::Neg) => {
            let dims = operands.first()?.as_dims()?.iter().map(|d| -d).collect();
            value(ty.dtype, shape, dims).ok()
        }
        Op::Binary(binary) => {
            let dims = zip(operands, &shape)?
                .into_iter()
                .map(|(a, b)| arithmetic(*binary, &a, &b))
                .collect::<Option<_>>()?;
            value(ty.dtype, shape, dims).ok()
        }
        Op::Compare(cmp) => {
            let truths = zip(operands, &shape)?
                .into_iter()
                .map(|(a, b)| compare(*cmp, &a, &b))
                .collect::<Option<Vec<_>>>()?;
            Tensor::from_vec(shape, truths).ok().map(Val::constant)
        }
        Op::Reduce { op, axes, .. } => {
            let operand = operands.first()?;
            let dims = operand.as_dims()?;
            let all = axes.len() == operand.ty.as_ref()?.rank();
            let folded = match op {
                ReduceOp::Sum if all => dims.iter().fold(Dim::zero(), |a, b| &a + b),
                ReduceOp::Prod if all => dims.iter().fold(Dim::one(), |a, b| &a * b),
                _ => return None,
            };
            value(ty.dtype, shape, vec![folded]).ok()
        }
        _ => None,
    }
}

/// Ops that only move elements run on indices into a list of polynomials.
fn moved(op: &Op, data: &[&Val], indices: &[&Val], dtype: DType) -> Option<Val> {
    let mut all = Vec::new();
    let mut tensors = Vec::new();
    for val in data {
        let dims = val.as_dims()?;
        let start = all.len() as i64;
        let ids: Vec<i64> = (start..start + dims.len() as i64).collect();
        tensors.push(Tensor::from_i64(DType::I64, val.ty.as_ref()?.const_shape()?, &ids).ok()?);
        all.extend(dims);
    }
    for val in indices {
        tensors.push(val.as_const()?.clone());
    }
    let operands: Vec<&Tensor> = tensors.iter().collect();
    let result = eval_op(op, &operands, &Bindings::new()).ok()?;
    let picked = result
        .to_i64_vec()
        .ok()?
        .into_iter()
        .map(|i| all.get(usize::try_from(i).ok()?).cloned());
    value(
        dtype,
        result.shape().to_vec(),
        picked.collect::<Option<_>>()?,
    )
    .ok()
}

/// Elements of an operand, broadcast to a shape.
fn spread(val: &Val, shape: &[usize]) -> Option<Vec<Dim>> {
    let dims = val.as_dims()?;
    if dims.len() == 1 {
        return Some(vec![dims[0].clone(); shape.iter().product()]);
    }
    let wide = Op::Expand {
        shape: shape.iter().map(|&n| Dim::from(n)).collect(),
    };
    moved(&wide, &[val], &[], DType::I64)?.as_dims()
}

fn zip(operands: &[&Val], shape: &[usize]) -> Option<Vec<(Dim, Dim)>> {
    let (a, b) = (
        spread(operands.first()?, shape)?,
        spread(operands.get(1)?, shape)?,
    );
    Some(a.into_iter().zip(b).collect())
}

fn select(operands: &[&Val], dtype: DType, shape: &[usize]) -> Option<Val> {
    operands.first()?.as_const()?;
    let chosen = spread(operands.first()?, shape)?;
    let sides = zip(&operands[1..], shape)?;
    let pick = |(c, (a, b)): (Dim, (Dim, Dim))| if c.is(0) { b } else { a };
    value(
        dtype,
        shape.to_vec(),
        chosen.into_iter().zip(sides).map(pick).collect(),
    )
    .ok()
}

fn arithmetic(op: BinaryOp, a: &Dim, b: &Dim) -> Option<Dim> {
    match op {
        BinaryOp::Add => Some(a + b),
        BinaryOp::Sub => Some(a - b),
        BinaryOp::Mul if is_simple(a) && is_simple(b) => Some(a * b),
        BinaryOp::Div if a == b && at_least(a, 1) => Some(Dim::one()),
        BinaryOp::Div => match (a.as_const(), b.as_const()) {
            (Some(x), Some(y)) => x.checked_div(y).map(Dim::from),
            _ => a.exact_div(b),
        },
        BinaryOp::Max if at_least(&(a - b), 0) => Some(a.clone()),
        BinaryOp::Max if at_least(&(b - a), 0) => Some(b.clone()),
        BinaryOp::Min if at_least(&(a - b), 0) => Some(b.clone()),
        BinaryOp::Min if at_least(&(b - a), 0) => Some(a.clone()),
        _ => None,
    }
}

/// Extents are short polynomials; repeated squaring of long ones would take all memory.
fn is_simple(dim: &Dim) -> bool {
    dim.as_const().is_some() || dim.as_symbol().is_some() || dim.to_string().len() <= 200
}

/// A comparison that holds, or fails, for all lengths.
fn compare(op: CmpOp, a: &Dim, b: &Dim) -> Option<bool> {
    let (more, less) = (a - b, b - a);
    let (is_more, is_less) = (at_least(&more, 1), at_least(&less, 1));
    let (not_less, not_more) = (at_least(&more, 0), at_least(&less, 0));
    let decide = |yes: bool, no: bool| {
        if yes {
            Some(true)
        } else if no {
            Some(false)
        } else {
            None
        }
    };
    match op {
        CmpOp::Eq => decide(a == b, is_more || is_less),
        CmpOp::Ne => decide(is_more || is_less, a == b),
        CmpOp::Gt => decide(is_more, not_more),
        CmpOp::Lt => decide(is_less, not_less),
        CmpOp::Ge => decide(not_less, is_less),
        CmpOp::Le => decide(not_more, is_more),
    }
}
