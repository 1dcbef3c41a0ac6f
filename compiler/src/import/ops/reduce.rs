//! Reductions, what normalises by them, and running sums.

use llmc_ir::{Dim, Op, ReduceOp, UnaryOp};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::{Val, axis_of};
use super::build::{Made, iota};
use super::{Out, shape};

/// Attributes of the reductions.
pub const REDUCE: &[&str] = &["axes", "keepdims", "noop_with_empty_axes"];

/// Attributes of `ArgMax` and `ArgMin`.
pub const ARG: &[&str] = &["axis", "keepdims", "select_last_index"];

/// Axes that a reduction names; `None` if it reduces nothing.
fn axes_of(cx: &mut Lower, call: &Call) -> Result<Option<Vec<usize>>, OpError> {
    let rank = cx.rank(call.input(0)?)?;
    let none = call.attributes().flag_or("noop_with_empty_axes", false)?;
    let mut axes = match shape::axes(cx, call, 1)? {
        Some(axes) if !axes.is_empty() => axes
            .iter()
            .map(|&a| axis_of(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        _ if none => return Ok(None),
        _ => (0..rank).collect(),
    };
    axes.sort_unstable();
    axes.dedup();
    Ok(Some(axes))
}

/// Reduces `data` as the attributes of the node say.
fn reduced(cx: &mut Lower, call: &Call, op: ReduceOp, data: &Val) -> Made {
    let keepdims = call.attributes().flag_or("keepdims", true)?;
    match axes_of(cx, call)? {
        None => Ok(data.clone()),
        Some(axes) => cx.apply(Op::Reduce { op, axes, keepdims }, &[data]),
    }
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident = $op:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(cx: &mut Lower, call: &Call) -> Out {
            Ok(vec![reduced(cx, call, ReduceOp::$op, call.input(0)?)?])
        }
    )*};
}

reductions! {
    /// `ReduceMean`.
    reduce_mean = Mean,
    /// `ReduceProd`.
    reduce_prod = Prod,
    /// `ReduceSum`.
    reduce_sum = Sum,
    /// `ReduceSumSquare`.
    reduce_sum_square = SumSquare,
}

/// A bool counts as a number; without elements, the largest is false and the smallest true, as the limits of a byte are.
fn extreme(cx: &mut Lower, call: &Call, op: ReduceOp) -> Out {
    let x = call.input(0)?;
    if x.dtype()? != DType::Bool {
        return Ok(vec![reduced(cx, call, op, x)?]);
    }
    let number = cx.cast(x, DType::U8)?;
    let value = reduced(cx, call, op, &number)?;
    Ok(vec![cx.cast(&value, DType::Bool)?])
}

/// `ReduceMax`.
pub fn reduce_max(cx: &mut Lower, call: &Call) -> Out {
    extreme(cx, call, ReduceOp::Max)
}

/// `ReduceMin`.
pub fn reduce_min(cx: &mut Lower, call: &Call) -> Out {
    extreme(cx, call, ReduceOp::Min)
}

/// `ReduceL1`.
pub fn reduce_l1(cx: &mut Lower, call: &Call) -> Out {
    let size = cx.map(UnaryOp::Abs, call.input(0)?)?;
    Ok(vec![reduced(cx, call, ReduceOp::Sum, &size)?])
}

/// `ReduceL2`.
pub fn reduce_l2(cx: &mut Lower, call: &Call) -> Out {
    let squares = reduced(cx, call, ReduceOp::SumSquare, call.input(0)?)?;
    Ok(vec![cx.map(UnaryOp::Sqrt, &squares)?])
}

/// `ReduceLogSum`.
pub fn reduce_log_sum(cx: &mut Lower, call: &Call) -> Out {
    let sum = reduced(cx, call, ReduceOp::Sum, call.input(0)?)?;
    Ok(vec![cx.map(UnaryOp::Log, &sum)?])
}

/// `ReduceLogSumExp`: the largest element is taken out of the exponentials.
pub fn reduce_log_sum_exp(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let Some(axes) = axes_of(cx, call)? else {
        return Ok(vec![x.clone()]);
    };
    let keepdims = call.attributes().flag_or("keepdims", true)?;
    let (value, largest) = log_sum_exp(cx, x, &axes)?;
    let value = cx.sum(&value, &largest)?;
    if keepdims {
        return Ok(vec![value]);
    }
    let shape = cx.shape(&value)?;
    let rest = shape.into_iter().enumerate();
    let rest = rest.filter(|(a, _)| !axes.contains(a)).map(|(_, d)| d);
    Ok(vec![cx.reshape(&value, rest.collect())?])
}

/// ln(sum of e^(x - m)) and m, the largest finite element; both with the axes as 1.
fn log_sum_exp(cx: &mut Lower, x: &Val, axes: &[usize]) -> Result<(Val, Val), OpError> {
    let largest = cx.reduce(ReduceOp::Max, x, axes, true)?;
    let infinite = cx.map(UnaryOp::IsInf, &largest)?;
    let zero = cx.number(x, 0.0)?;
    let largest = cx.pick(&infinite, &zero, &largest)?;
    let rest = cx.sub(x, &largest)?;
    let exp = cx.map(UnaryOp::Exp, &rest)?;
    let sum = cx.reduce(ReduceOp::Sum, &exp, axes, true)?;
    Ok((cx.map(UnaryOp::Log, &sum)?, largest))
}

/// x - ln(sum of e^x) along an axis.
pub fn log_softmax_of(cx: &mut Lower, x: &Val, axis: usize) -> Made {
    let (log, largest) = log_sum_exp(cx, x, &[axis])?;
    let rest = cx.sub(x, &largest)?;
    cx.sub(&rest, &log)
}

/// A function along an axis; before opset 13 along all axes from `axis` on.
fn along_axis(cx: &mut Lower, call: &Call, f: fn(&mut Lower, &Val, usize) -> Made) -> Out {
    let x = call.input(0)?;
    let shape = cx.shape(x)?;
    let old = call.version() < 13;
    let axis = cx.axis(call, x, if old { 1 } else { -1 })?;
    if !old || axis + 1 == shape.len() {
        return Ok(vec![f(cx, x, axis)?]);
    }
    let (outer, inner) = shape.split_at(axis);
    let flat = cx.reshape(x, vec![shape::product(outer), shape::product(inner)])?;
    let flat = f(cx, &flat, 1)?;
    Ok(vec![cx.reshape(&flat, shape)?])
}

/// `Softmax`.
pub fn softmax(cx: &mut Lower, call: &Call) -> Out {
    along_axis(cx, call, |cx, x, axis| cx.apply(Op::Softmax { axis }, &[x]))
}

/// `LogSoftmax`.
pub fn log_softmax(cx: &mut Lower, call: &Call) -> Out {
    along_axis(cx, call, log_softmax_of)
}

/// `Hardmax`: 1 at the first largest element, 0 elsewhere.
pub fn hardmax(cx: &mut Lower, call: &Call) -> Out {
    along_axis(cx, call, |cx, x, axis| {
        let best = cx.apply(
            Op::TopK {
                axis,
                k: 1,
                largest: true,
            },
            &[x],
        )?;
        let n = cx.extents(x)?[axis];
        let places = iota(cx, DType::I64, n)?;
        let mut shape = vec![Dim::one(); cx.rank(x)?];
        shape[axis] = Dim::from(n);
        let places = cx.reshape(&places, shape)?;
        let hit = cx.equal(&places, &best)?;
        cx.cast(&hit, x.dtype()?)
    })
}

fn arg(cx: &mut Lower, call: &Call, largest: bool) -> Out {
    let x = call.input(0)?;
    let axis = cx.axis(call, x, 0)?;
    let last = call.attributes().flag_or("select_last_index", false)?;
    let pick = Op::TopK {
        axis,
        k: 1,
        largest,
    };
    let mut found = match last {
        false => cx.apply(pick, &[x])?,
        true => {
            let n = cx.shape(x)?[axis].clone();
            let reversed = cx.apply(
                Op::Slice {
                    axis,
                    start: &n - &Dim::one(),
                    end: Dim::from(-1),
                    step: -1,
                },
                &[x],
            )?;
            let from_end = cx.apply(pick, &[&reversed])?;
            let end = cx.ints_value(Vec::new(), vec![n - Dim::one()])?;
            cx.sub(&end, &from_end)?
        }
    };
    if !call.attributes().flag_or("keepdims", true)? {
        found = cx.close(&found, axis)?;
    }
    Ok(vec![found])
}

/// `ArgMax`.
pub fn arg_max(cx: &mut Lower, call: &Call) -> Out {
    arg(cx, call, true)
}

/// `ArgMin`.
pub fn arg_min(cx: &mut Lower, call: &Call) -> Out {
    arg(cx, call, false)
}

/// `LpNormalization`: x / its norm along an axis; 0 where the norm is.
pub fn lp_normalization(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let axis = cx.axis(call, x, -1)?;
    let norm = match call.attributes().int_or("p", 2)? {
        1 => {
            let size = cx.map(UnaryOp::Abs, x)?;
            cx.reduce(ReduceOp::Sum, &size, &[axis], true)?
        }
        2 => {
            let squares = cx.reduce(ReduceOp::SumSquare, x, &[axis], true)?;
            cx.map(UnaryOp::Sqrt, &squares)?
        }
        p => return Err(OpError::input(format!("p={p} is neither 1 nor 2"))),
    };
    let zero = cx.number(x, 0.0)?;
    let empty = cx.equal(&norm, &zero)?;
    let scaled = cx.div(x, &norm)?;
    Ok(vec![cx.pick(&empty, &zero, &scaled)?])
}

fn running_axis(cx: &mut Lower, call: &Call) -> Result<usize, OpError> {
    let axis = cx.fixed_ints(call.input(1)?)?;
    axis_of(axis.first().copied().unwrap_or(0), cx.rank(call.input(0)?)?)
}

/// `CumSum`.
pub fn cumsum(cx: &mut Lower, call: &Call) -> Out {
    let op = Op::CumSum {
        axis: running_axis(cx, call)?,
        exclusive: call.attributes().flag_or("exclusive", false)?,
        reverse: call.attributes().flag_or("reverse", false)?,
    };
    Ok(vec![cx.apply(op, &[call.input(0)?])?])
}

/// `CumProd`: log2(n) steps, each multiplies by the products that end 1, 2, 4, .. elements earlier.
pub fn cumprod(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let axis = running_axis(cx, call)?;
    let reverse = call.attributes().flag_or("reverse", false)?;
    let n = cx.extents(x)?[axis];
    let mut value = x.clone();
    if call.attributes().flag_or("exclusive", false)? {
        value = shifted(cx, &value, axis, 1.min(n), reverse)?;
    }
    let mut distance = 1;
    while distance < n {
        let earlier = shifted(cx, &value, axis, distance, reverse)?;
        value = cx.mul(&value, &earlier)?;
        distance *= 2;
    }
    Ok(vec![value])
}

/// Elements moved along an axis, away from its start (or end), with ones in their place.
fn shifted(cx: &mut Lower, x: &Val, axis: usize, by: usize, reverse: bool) -> Made {
    let n = cx.extents(x)?[axis];
    let kept = match reverse {
        false => cx.part(x, axis, 0, n - by)?,
        true => cx.part(x, axis, by, n)?,
    };
    let (mut before, mut after) = (vec![0; cx.rank(x)?], vec![0; cx.rank(x)?]);
    match reverse {
        false => before[axis] = by,
        true => after[axis] = by,
    }
    let one = cx.number(x, 1.0)?;
    cx.apply(Op::Pad { before, after }, &[&kept, &one])
}
