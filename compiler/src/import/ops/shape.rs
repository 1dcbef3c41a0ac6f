//! Operators that move elements without computing: reshape, transpose, slice, gather and relatives.
//!
//! Extents are [`Dim`] polynomials throughout; `-1`, `0`, negative starts and huge ends are resolved here, so that the
//! graph holds final shapes only.

use llmc_ir::{Dim, Op};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::{Val, at_least, axis_of};
use super::cache;

type Out = Result<Vec<Val>, OpError>;

fn one(value: Val) -> Out {
    Ok(vec![value])
}

/// Product of extents.
pub fn product<'a>(dims: impl IntoIterator<Item = &'a Dim>) -> Dim {
    dims.into_iter().fold(Dim::from(1), |n, d| &n * d)
}

fn shown(dims: &[Dim]) -> String {
    let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// Final shape of `Reshape`: `0` copies the extent of the operand (unless `allow_zero`), one `-1` takes the rest.
pub fn resolve_reshape(
    from: &[Dim],
    wanted: &[Dim],
    allow_zero: bool,
) -> Result<Vec<Dim>, OpError> {
    let mut shape = wanted.to_vec();
    let mut open = None;
    for (axis, dim) in shape.iter_mut().enumerate() {
        match dim.as_const() {
            Some(0) if !allow_zero => {
                *dim = from.get(axis).cloned().ok_or_else(|| {
                    OpError::input(format!(
                        "shape {} copies axis {axis} of {}, which has no such axis",
                        shown(wanted),
                        shown(from)
                    ))
                })?;
            }
            Some(-1) if open.is_some() => {
                return Err(OpError::input(format!(
                    "shape {} holds two -1",
                    shown(wanted)
                )));
            }
            Some(-1) => open = Some(axis),
            Some(n) if n < 0 => {
                return Err(OpError::input(format!("shape {} holds {n}", shown(wanted))));
            }
            _ => {}
        }
    }
    let total = product(from);
    if let Some(axis) = open {
        let others = product(
            shape
                .iter()
                .enumerate()
                .filter(|(a, _)| *a != axis)
                .map(|(_, d)| d),
        );
        let rest = if others == total {
            Some(Dim::from(1))
        } else {
            total.exact_div(&others)
        };
        shape[axis] = rest.ok_or_else(|| {
            OpError::input(format!(
                "{} elements of {} do not divide into shape {}",
                total,
                shown(from),
                shown(wanted)
            ))
        })?;
    }
    if product(&shape) != total {
        return Err(OpError::input(format!(
            "{} has {total} elements, shape {} has {}",
            shown(from),
            shown(&shape),
            product(&shape)
        )));
    }
    Ok(shape)
}

/// `Reshape` (opset 5: shape is an operand).
pub fn reshape(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let wanted = cx.ints(call.input(1)?)?;
    let shape = resolve_reshape(
        &cx.ty(data)?.shape,
        &wanted,
        call.attributes().flag_or("allowzero", false)?,
    )?;
    one(cx.reshape(data, shape)?)
}

/// `Flatten`.
pub fn flatten(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let shape = cx.ty(data)?.shape.clone();
    let axis = call.attributes().int_or("axis", 1)?;
    let rank = shape.len() as i64;
    let axis = if axis < 0 { axis + rank } else { axis };
    let axis = usize::try_from(axis).ok().filter(|a| *a <= shape.len());
    let axis =
        axis.ok_or_else(|| OpError::input(format!("axis is out of range for {}", shown(&shape))))?;
    let (outer, inner) = shape.split_at(axis);
    one(cx.reshape(data, vec![product(outer), product(inner)])?)
}

/// Axes of `Squeeze`, `Unsqueeze` and reductions: attribute in old opsets, operand in new ones.
pub fn axes(cx: &mut Lower, call: &Call, operand: usize) -> Result<Option<Vec<i64>>, OpError> {
    if let Some(axes) = call.attributes().ints("axes")? {
        return Ok(Some(axes.to_vec()));
    }
    call.optional(operand)
        .map(|axes| cx.fixed_ints(axes))
        .transpose()
}

/// `Unsqueeze`.
pub fn unsqueeze(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let mut shape = cx.ty(data)?.shape.clone();
    let axes = axes(cx, call, 1)?.ok_or_else(|| OpError::input("axes are missing"))?;
    let rank = shape.len() + axes.len();
    let mut axes = axes
        .iter()
        .map(|&a| axis_of(a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    for axis in axes {
        shape.insert(axis.min(shape.len()), Dim::from(1));
    }
    one(cx.reshape(data, shape)?)
}

/// `Squeeze`; without axes, every extent that is 1 goes.
pub fn squeeze(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let shape = cx.ty(data)?.shape.clone();
    let gone = match axes(cx, call, 1)? {
        Some(axes) => axes
            .iter()
            .map(|&a| axis_of(a, shape.len()))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..shape.len())
            .filter(|&a| shape[a].as_const() == Some(1))
            .collect(),
    };
    if let Some(&axis) = gone.iter().find(|&&a| shape[a].as_const() != Some(1)) {
        return Err(OpError::input(format!(
            "axis {axis} of {} is not 1 and cannot be squeezed",
            shown(&shape)
        )));
    }
    let rest = shape
        .into_iter()
        .enumerate()
        .filter(|(a, _)| !gone.contains(a))
        .map(|(_, d)| d)
        .collect();
    one(cx.reshape(data, rest)?)
}

/// `Transpose`; without `perm`, the axes are reversed.
pub fn transpose(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let rank = cx.ty(data)?.shape.len();
    let perm = match call.attributes().ints("perm")? {
        Some(perm) => perm
            .iter()
            .map(|&p| axis_of(p, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..rank) {
        return Err(OpError::input(format!(
            "perm {perm:?} is not a permutation of {rank} axes"
        )));
    }
    if perm.iter().copied().eq(0..rank) {
        return one(data.clone());
    }
    one(cx.apply(Op::Transpose { perm }, &[data])?)
}

/// `Concat`.
pub fn concat(cx: &mut Lower, call: &Call) -> Out {
    let axis = call.attributes().int_required("axis")?;
    let parts = call.all()?;
    let axis = axis_of(axis, cx.ty(parts[0])?.shape.len())?;
    match parts[..] {
        [single] => one(single.clone()),
        [past, new] if past.is_data() && cx.ty(past)?.rank() == cx.ty(new)?.rank() => {
            let past = cache::told(cx, past, new, axis)?;
            one(cx.apply(Op::Concat { axis }, &[&past, new])?)
        }
        _ => one(cx.apply(Op::Concat { axis }, &parts)?),
    }
}

/// `Expand`: two-way broadcasting with a shape operand.
pub fn expand(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let wanted = cx.ints(call.input(1)?)?;
    let from = cx.ty(data)?.shape.clone();
    let rank = from.len().max(wanted.len());
    let padded = |dims: &[Dim], i: usize| {
        (i + dims.len())
            .checked_sub(rank)
            .map_or(Dim::from(1), |a| dims[a].clone())
    };
    let mut shape = Vec::with_capacity(rank);
    for axis in 0..rank {
        let (a, b) = (padded(&from, axis), padded(&wanted, axis));
        shape.push(match (a.as_const(), b.as_const()) {
            _ if a == b => a,
            (_, Some(1)) => a,
            (Some(1), _) => b,
            _ => {
                let reason = format!(
                    "{} does not broadcast to {} on axis {axis}",
                    shown(&from),
                    shown(&wanted)
                );
                return Err(match (a.as_const(), b.as_const()) {
                    (Some(_), Some(_)) => OpError::input(reason),
                    _ => OpError::unsupported(reason, "export with equal names for equal dims"),
                });
            }
        });
    }
    if shape == from {
        return one(data.clone());
    }
    one(cx.apply(Op::Expand { shape }, &[data])?)
}

/// `Tile` with known repeats: concatenation along each axis.
pub fn tile(cx: &mut Lower, call: &Call) -> Out {
    let mut value = call.input(0)?.clone();
    let repeats = cx.fixed_ints(call.input(1)?)?;
    for (axis, &n) in repeats.iter().enumerate() {
        match usize::try_from(n) {
            Ok(1) => {}
            Ok(n @ 2..=4096) => {
                let copies = vec![&value; n];
                value = cx.apply(Op::Concat { axis }, &copies)?;
            }
            _ => {
                return Err(OpError::unsupported(
                    format!("{n} repeats along axis {axis}"),
                    "",
                ));
            }
        }
    }
    one(value)
}

/// Where a start or end of a slice lands in an axis of `extent`: negative counts from the end, beyond is clamped.
fn bound(value: &Dim, extent: &Dim) -> Result<Dim, OpError> {
    const HUGE: i64 = i32::MAX as i64;
    match (value.as_const(), extent.as_const()) {
        (Some(v), Some(n)) => Ok(Dim::from(if v < 0 {
            v.saturating_add(n).max(0)
        } else {
            v.min(n)
        })),
        (Some(v), None) if v >= HUGE => Ok(extent.clone()),
        (Some(v), None) if v <= -HUGE => Ok(Dim::from(0)),
        _ => {
            let negative = at_least(&(Dim::from(-1) - value.clone()), 0);
            let value = if negative {
                extent.clone() + value.clone()
            } else {
                value.clone()
            };
            if at_least(&value, 0) && at_least(&(extent.clone() - value.clone()), 0) {
                Ok(value)
            } else if at_least(&(value.clone() - extent.clone()), 0) {
                Ok(extent.clone())
            } else if at_least(&(Dim::from(0) - value.clone()), 0) {
                Ok(Dim::from(0))
            } else {
                Err(OpError::unsupported(
                    format!(
                        "the slice bound {value} may lie inside or outside an axis of {extent}"
                    ),
                    "export the model with fewer symbolic dims",
                ))
            }
        }
    }
}

/// `Slice`: starts, ends, axes and steps as operands (opset 10) or attributes (opset 1).
pub fn slice(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let attributes = call.attributes();
    let consts = |list: &[i64]| list.iter().map(|&v| Dim::from(v)).collect::<Vec<_>>();
    let (starts, ends, axes, steps) = if call.version() < 10 {
        let list = |name: &str| {
            attributes
                .ints(name)?
                .map(consts)
                .ok_or_else(|| OpError::input(format!("`{name}` is missing")))
        };
        (
            list("starts")?,
            list("ends")?,
            attributes.ints("axes")?.map(<[i64]>::to_vec),
            None,
        )
    } else {
        let axes = call.optional(3).map(|v| cx.fixed_ints(v)).transpose()?;
        let steps = call.optional(4).map(|v| cx.fixed_ints(v)).transpose()?;
        (
            cx.ints(call.input(1)?)?,
            cx.ints(call.input(2)?)?,
            axes,
            steps,
        )
    };
    let n = starts.len();
    let axes = axes.unwrap_or_else(|| (0..n as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; n]);
    if ends.len() != n || axes.len() != n || steps.len() != n {
        return Err(OpError::input(format!(
            "{n} starts, {} ends, {} axes, {} steps",
            ends.len(),
            axes.len(),
            steps.len()
        )));
    }
    let mut value = data.clone();
    for (((start, end), axis), step) in starts.iter().zip(&ends).zip(axes).zip(steps) {
        let shape = cx.ty(&value)?.shape.clone();
        let axis = axis_of(axis, shape.len())?;
        let extent = &shape[axis];
        if step < 1 {
            value = backward(cx, &value, axis, start, end, step)?;
            continue;
        }
        let (start, end) = (bound(start, extent)?, bound(end, extent)?);
        if start.as_const() == Some(0) && end == *extent && step == 1 {
            continue;
        }
        // An empty slice ends where it starts.
        let end = if at_least(&(start.clone() - end.clone()), 0) {
            start.clone()
        } else {
            end
        };
        value = cx.apply(
            Op::Slice {
                axis,
                start,
                end,
                step,
            },
            &[&value],
        )?;
    }
    one(value)
}

/// A slice with a negative step, of known bounds.
fn backward(
    cx: &mut Lower,
    value: &Val,
    axis: usize,
    start: &Dim,
    end: &Dim,
    step: i64,
) -> Result<Val, OpError> {
    let known = (
        start.as_const(),
        end.as_const(),
        cx.ty(value)?.shape[axis].as_const(),
    );
    let (Some(start), Some(end), Some(n), true) = (known.0, known.1, known.2, step < 0) else {
        return Err(OpError::unsupported(
            format!("step {step} along a symbolic axis"),
            "",
        ));
    };
    let wrap = |v: i64, low: i64| {
        (if v < 0 { v.saturating_add(n) } else { v })
            .max(low)
            .min(n - 1)
    };
    let (start, end) = (wrap(start, 0), wrap(end, -1));
    cx.apply(
        Op::Slice {
            axis,
            start: Dim::from(start),
            end: Dim::from(end),
            step,
        },
        &[value],
    )
}

/// `Split`: sizes as operand (opset 13) or attribute, or equal parts.
pub fn split(cx: &mut Lower, call: &Call) -> Out {
    let data = call.input(0)?;
    let shape = cx.ty(data)?.shape.clone();
    let axis = axis_of(call.attributes().int_or("axis", 0)?, shape.len())?;
    let sizes = match (call.attributes().ints("split")?, call.optional(1)) {
        (Some(sizes), _) => sizes.to_vec(),
        (None, Some(sizes)) => cx.fixed_ints(sizes)?,
        (None, None) => {
            let parts = call
                .attributes()
                .int_or("num_outputs", call.results() as i64)?;
            if parts < 1 || parts != call.results() as i64 {
                let results = call.results();
                return Err(OpError::input(format!(
                    "`num_outputs` is {parts}, and it names {results} results"
                )));
            }
            let n = shape[axis].as_const().ok_or_else(|| {
                OpError::unsupported(
                    format!("equal parts of the symbolic extent {}", shape[axis]),
                    "",
                )
            })?;
            let each = n / parts + i64::from(n % parts != 0);
            (0..parts).map(|i| each.min(n - each * i).max(0)).collect()
        }
    };
    let total: i64 = sizes.iter().fold(0, |sum, n| n.saturating_add(sum));
    if shape[axis].as_const().is_some_and(|n| n != total) || sizes.iter().any(|&n| n < 0) {
        return Err(OpError::input(format!(
            "parts {sizes:?} do not add up to the extent {}",
            shape[axis]
        )));
    }
    let mut start = 0;
    let mut parts = Vec::new();
    for size in sizes {
        let end = start + size;
        let op = Op::Slice {
            axis,
            start: Dim::from(start),
            end: Dim::from(end),
            step: 1,
        };
        parts.push(cx.apply(op, &[data])?);
        start = end;
    }
    Ok(parts)
}

/// `Gather`: whole slices along an axis by index.
pub fn gather(cx: &mut Lower, call: &Call) -> Out {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    let shape = cx.ty(data)?.shape.clone();
    let axis = axis_of(call.attributes().int_or("axis", 0)?, shape.len())?;
    // One known index of a computed value is a slice: later passes see through it.
    if data.is_data()
        && let Ok(known) = cx.fixed_ints(indices)
        && let [index] = known[..]
    {
        let index = Dim::from(index);
        let index = if index.as_const().is_some_and(|i| i < 0) {
            shape[axis].clone() + index
        } else {
            index
        };
        let end = index.clone() + Dim::from(1);
        let row = cx.apply(
            Op::Slice {
                axis,
                start: index,
                end,
                step: 1,
            },
            &[data],
        )?;
        let mut out = shape;
        out.splice(axis..=axis, cx.ty(indices)?.shape.clone());
        return one(cx.reshape(&row, out)?);
    }
    one(cx.apply(Op::Gather { axis }, &[data, indices])?)
}

/// `Shape` with `start` and `end` (opset 15).
pub fn shape(cx: &mut Lower, call: &Call) -> Out {
    let dims = cx.ty(call.input(0)?)?.shape.clone();
    let rank = dims.len() as i64;
    let clamp = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
    let start = clamp(call.attributes().int_or("start", 0)?);
    let end = clamp(call.attributes().int_or("end", rank)?);
    let part = dims.get(start..end.max(start)).unwrap_or_default().to_vec();
    one(cx.ints_value(vec![part.len()], part)?)
}

/// `Size`.
pub fn size(cx: &mut Lower, call: &Call) -> Out {
    let dims = &cx.ty(call.input(0)?)?.shape;
    let total = product(dims);
    one(cx.ints_value(Vec::new(), vec![total])?)
}
