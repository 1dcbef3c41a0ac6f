//! Matrix products, reductions and what else computes over axes.

use llmc_ir::{BinaryOp, Dim, Op, ReduceOp, UnaryOp};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::{Val, axis_of};
use super::{Out, shape};

/// Attributes of the reductions.
pub const REDUCE: &[&str] = &["axes", "keepdims", "noop_with_empty_axes"];

/// `MatMul`.
pub fn matmul(cx: &mut Lower, call: &Call) -> Out {
    Ok(vec![
        cx.apply(Op::MatMul, &[call.input(0)?, call.input(1)?])?,
    ])
}

/// `Gemm`: alpha * A' B' + beta * C.
pub fn gemm(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let turned =
        |cx: &mut Lower, operand: &Val, flag: &str| match attributes.flag_or(flag, false)? {
            true => cx.apply(Op::Transpose { perm: vec![1, 0] }, &[operand]),
            false => Ok(operand.clone()),
        };
    let a = turned(cx, call.input(0)?, "transA")?;
    let b = turned(cx, call.input(1)?, "transB")?;
    let product = cx.apply(Op::MatMul, &[&a, &b])?;
    let product = scaled(cx, &product, attributes.float_or("alpha", 1.0)?)?;
    match call.optional(2) {
        None => Ok(vec![product]),
        Some(c) => {
            let c = scaled(cx, c, attributes.float_or("beta", 1.0)?)?;
            Ok(vec![cx.apply(Op::Binary(BinaryOp::Add), &[&product, &c])?])
        }
    }
}

/// A value times a number; nothing if that is 1.
pub fn scaled(cx: &mut Lower, value: &Val, factor: f32) -> Result<Val, OpError> {
    if factor == 1.0 {
        return Ok(value.clone());
    }
    let factor = cx.scalar_of(value.dtype()?, f64::from(factor))?;
    cx.apply(Op::Binary(BinaryOp::Mul), &[value, &factor])
}

fn reduce(cx: &mut Lower, call: &Call, op: ReduceOp) -> Result<Val, OpError> {
    let data = call.input(0)?;
    let rank = cx.ty(data)?.rank();
    let attributes = call.attributes();
    let mut axes = match shape::axes(cx, call, 1)? {
        Some(axes) if !axes.is_empty() => axes
            .iter()
            .map(|&a| axis_of(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        _ if attributes.flag_or("noop_with_empty_axes", false)? => return Ok(data.clone()),
        _ => (0..rank).collect(),
    };
    axes.sort_unstable();
    axes.dedup();
    let keepdims = attributes.flag_or("keepdims", true)?;
    cx.apply(Op::Reduce { op, axes, keepdims }, &[data])
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident = $op:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(cx: &mut Lower, call: &Call) -> Out {
            Ok(vec![reduce(cx, call, ReduceOp::$op)?])
        }
    )*};
}

reductions! {
    /// `ReduceMax`.
    reduce_max = Max,
    /// `ReduceMean`.
    reduce_mean = Mean,
    /// `ReduceMin`.
    reduce_min = Min,
    /// `ReduceProd`.
    reduce_prod = Prod,
    /// `ReduceSum`.
    reduce_sum = Sum,
    /// `ReduceSumSquare`.
    reduce_sum_square = SumSquare,
}

/// `ReduceL2`.
pub fn reduce_l2(cx: &mut Lower, call: &Call) -> Out {
    let squares = reduce(cx, call, ReduceOp::SumSquare)?;
    Ok(vec![cx.apply(Op::Unary(UnaryOp::Sqrt), &[&squares])?])
}

/// `Softmax`; before opset 13 over all axes from `axis` on.
pub fn softmax(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let shape = cx.ty(data)?.shape.clone();
    let old = call.version() < 13;
    let axis = axis_of(
        call.attributes().int_or("axis", if old { 1 } else { -1 })?,
        shape.len(),
    )?;
    if !old || axis + 1 == shape.len() {
        return Ok(vec![cx.apply(Op::Softmax { axis }, &[data])?]);
    }
    let (outer, inner) = shape.split_at(axis);
    let flat = cx.reshape(data, vec![shape::product(outer), shape::product(inner)])?;
    let flat = cx.apply(Op::Softmax { axis: 1 }, &[&flat])?;
    Ok(vec![cx.reshape(&flat, shape)?])
}

/// `CumSum`.
pub fn cumsum(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let rank = cx.ty(data)?.rank();
    let axis = cx.fixed_ints(call.input(1)?)?;
    let axis = axis_of(axis.first().copied().unwrap_or(0), rank)?;
    let exclusive = call.attributes().flag_or("exclusive", false)?;
    let reverse = call.attributes().flag_or("reverse", false)?;
    Ok(vec![cx.apply(
        Op::CumSum {
            axis,
            exclusive,
            reverse,
        },
        &[data],
    )?])
}

/// `GatherND`.
pub fn gather_nd(cx: &mut Lower, call: &Call) -> Out {
    let batch_dims = call.attributes().int_or("batch_dims", 0)?;
    let batch_dims =
        usize::try_from(batch_dims).map_err(|_| OpError::input("batch_dims is negative"))?;
    Ok(vec![cx.apply(
        Op::GatherNd { batch_dims },
        &[call.input(0)?, call.input(1)?],
    )?])
}

/// `Trilu`.
pub fn trilu(cx: &mut Lower, call: &Call) -> Out {
    let upper = call.attributes().flag_or("upper", true)?;
    let k = match call.optional(1) {
        None => Dim::zero(),
        Some(k) => cx.ints(k)?.first().cloned().unwrap_or_default(),
    };
    Ok(vec![cx.apply(Op::Trilu { upper, k }, &[call.input(0)?])?])
}
