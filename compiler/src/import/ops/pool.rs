//! Poolings: reductions of sliding windows.

use llmc_ir::{Dim, Op, ReduceOp, UnaryOp};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::{MAX_TABLE, Made};
use super::scatter::gather_elements_of;
use super::window::{Spatial, lowest, sizes};

/// Attributes of all poolings together.
pub const POOL: &[&str] = &[
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "dilations",
    "kernel_shape",
    "p",
    "pads",
    "storage_order",
    "strides",
];

fn spatial(cx: &Lower, call: &Call) -> Result<(Spatial, Vec<usize>), OpError> {
    let extents = cx.extents(call.input(0)?)?;
    let extents = extents.get(2..).unwrap_or_default().to_vec();
    if !call.attributes().has("kernel_shape") || extents.is_empty() {
        return Err(OpError::input("kernel_shape or spatial axes are missing"));
    }
    let kernel = sizes(call, "kernel_shape", extents.len(), 1)?;
    let spatial = Spatial::of(call, &extents, kernel)?;
    // tables hold a number for each window and element
    let sizes = [spatial.positions(&extents), spatial.kernel.clone()].concat();
    match llmc_tensor::tensor::elements(&sizes) {
        Some(n) if n <= MAX_TABLE => Ok((spatial, extents)),
        _ => Err(OpError::unsupported(format!("windows {sizes:?}"), "")),
    }
}

/// The axes of the kernel in windows.
fn kernel_axes(cx: &Lower, windows: &Val, n: usize) -> Result<Vec<usize>, OpError> {
    let rank = cx.rank(windows)?;
    Ok((rank - n..rank).collect())
}

/// `AveragePool`: the sum divided by the number of elements that count.
pub fn average_pool(cx: &mut Lower, call: &Call) -> Out {
    let (spatial, extents) = spatial(cx, call)?;
    let x = call.input(0)?;
    let windows = spatial.windows(cx, x, 0.0)?;
    let axes = kernel_axes(cx, &windows, extents.len())?;
    let sum = cx.reduce(ReduceOp::Sum, &windows, &axes, false)?;
    let padding = call.attributes().flag_or("count_include_pad", false)?;
    let positions = spatial.positions(&extents);
    let along = |i: usize, o: usize| {
        let counts = |k: &usize| {
            let at = o * spatial.strides[i] + k * spatial.dilations[i];
            let whole = spatial.before[i] + extents[i] + spatial.after[i];
            match padding {
                true => at < whole,
                false => spatial.place(i, o, *k, extents[i]).is_some(),
            }
        };
        (0..spatial.kernel[i]).filter(counts).count()
    };
    let mut counts = vec![1.0];
    for (i, n) in positions.iter().enumerate() {
        counts = counts
            .iter()
            .flat_map(|c| (0..*n).map(move |o| (c, o)))
            .map(|(c, o): (&f64, usize)| c * along(i, o) as f64)
            .collect();
    }
    let counts = cx.known(x.dtype()?, positions, &counts)?;
    Ok(vec![cx.div(&sum, &counts)?])
}

/// `MaxPool`; the second result says where in the operand each maximum is.
pub fn max_pool(cx: &mut Lower, call: &Call) -> Out {
    let (spatial, extents) = spatial(cx, call)?;
    let x = call.input(0)?;
    let windows = spatial.windows(cx, x, lowest(x.dtype()?))?;
    let axes = kernel_axes(cx, &windows, extents.len())?;
    let largest = cx.reduce(ReduceOp::Max, &windows, &axes, false)?;
    if !call.wants(1) {
        return Ok(vec![largest]);
    }
    let shape = cx.extents(&windows)?;
    let count: usize = spatial.kernel.iter().product();
    let (lead, _) = shape.split_at(axes[0]);
    let lines: Vec<Dim> = lead.iter().chain([&count]).map(|n| Dim::from(*n)).collect();
    let flat = cx.reshape(&windows, lines.clone())?;
    let axis = lines.len() - 1;
    let best = cx.apply(
        Op::TopK {
            axis,
            k: 1,
            largest: true,
        },
        &[&flat],
    )?;
    let columns = call.attributes().flag_or("storage_order", false)?;
    let table = places(cx, &spatial, &extents, columns)?;
    let table = cx.spread(&table, lines)?;
    let place = gather_elements_of(cx, &table, &best, axis)?;
    let place = cx.close(&place, axis)?;
    let image: usize = extents.iter().product();
    if lead[0] * lead[1] > MAX_TABLE {
        return Err(OpError::unsupported(
            format!("{} images", lead[0] * lead[1]),
            "",
        ));
    }
    let images: Vec<i64> = (0..lead[0] * lead[1]).map(|i| (i * image) as i64).collect();
    let mut start = vec![1; lead.len()];
    start[..2].copy_from_slice(&lead[..2]);
    let start = cx.int_constant(start, &images)?;
    Ok(vec![largest, cx.sum(&start, &place)?])
}

/// For each window and element its flat place in an image, `[positions.., elements]`; 0 in the padding.
fn places(cx: &Lower, spatial: &Spatial, extents: &[usize], columns: bool) -> Made {
    let positions = spatial.positions(extents);
    let count: usize = spatial.kernel.iter().product();
    let windows: usize = positions.iter().product();
    let mut strides = vec![1; extents.len()];
    for i in 1..extents.len() {
        match columns {
            true => strides[i] = strides[i - 1] * extents[i - 1],
            false => {
                let at = extents.len() - 1 - i;
                strides[at] = strides[at + 1] * extents[at + 1];
            }
        }
    }
    let mut values = Vec::with_capacity(windows * count);
    for window in 0..windows {
        let o = llmc_tensor::compare::unravel(window, &positions);
        for element in 0..count {
            let k = llmc_tensor::compare::unravel(element, &spatial.kernel);
            let along = |i: usize| Some(spatial.place(i, o[i], k[i], extents[i])? * strides[i]);
            let place: Option<usize> = (0..extents.len()).map(along).sum();
            values.push(place.unwrap_or(0) as i64);
        }
    }
    cx.int_constant([positions, vec![count]].concat(), &values)
}

fn power_mean(cx: &mut Lower, x: &Val, axes: &[usize], p: i64, keepdims: bool) -> Made {
    let size = cx.map(UnaryOp::Abs, x)?;
    let exponent = cx.number(x, p as f64)?;
    let powers = cx.pow(&size, &exponent)?;
    let sum = cx.reduce(ReduceOp::Sum, &powers, axes, keepdims)?;
    let root = cx.number(x, 1.0 / p as f64)?;
    cx.pow(&sum, &root)
}

/// `LpPool`: the p-th root of the sum of p-th powers.
pub fn lp_pool(cx: &mut Lower, call: &Call) -> Out {
    let (spatial, extents) = spatial(cx, call)?;
    let windows = spatial.windows(cx, call.input(0)?, 0.0)?;
    let axes = kernel_axes(cx, &windows, extents.len())?;
    let p = call.attributes().int_or("p", 2)?.max(1);
    Ok(vec![power_mean(cx, &windows, &axes, p, false)?])
}

fn spatial_axes(cx: &Lower, x: &Val) -> Result<Vec<usize>, OpError> {
    Ok((2..cx.rank(x)?).collect())
}

/// `GlobalAveragePool`.
pub fn global_average_pool(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let axes = spatial_axes(cx, x)?;
    Ok(vec![cx.reduce(ReduceOp::Mean, x, &axes, true)?])
}

/// `GlobalMaxPool`.
pub fn global_max_pool(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let axes = spatial_axes(cx, x)?;
    Ok(vec![cx.reduce(ReduceOp::Max, x, &axes, true)?])
}

/// `GlobalLpPool`.
pub fn global_lp_pool(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let axes = spatial_axes(cx, x)?;
    let p = call.attributes().int_or("p", 2)?.max(1);
    Ok(vec![power_mean(cx, x, &axes, p, true)?])
}

/// `MaxUnpool`: elements at the places that `MaxPool` named, zeros elsewhere.
pub fn max_unpool(cx: &mut Lower, call: &Call) -> Out {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let shape = cx.extents(x)?;
    let n = shape.len().saturating_sub(2);
    let kernel = sizes(call, "kernel_shape", n, 1)?;
    let (strides, pads) = (
        sizes(call, "strides", n, 1)?,
        sizes(call, "pads", 2 * n, 0)?,
    );
    let mut full = shape.clone();
    for i in 0..n {
        let whole = (shape[i + 2].max(1) - 1) * strides[i] + kernel[i];
        full[i + 2] = whole.saturating_sub(pads[i] + pads[i + n]);
    }
    let count = llmc_tensor::tensor::elements(&full).filter(|n| *n <= 1 << 28);
    let count = count.ok_or_else(|| OpError::unsupported(format!("a result of {full:?}"), ""))?;
    let elements = Dim::from(shape.iter().product::<usize>());
    let zero = cx.number(x, 0.0)?;
    let zeros = cx.spread(&zero, vec![Dim::from(count)])?;
    let tuples = cx.reshape(indices, vec![elements.clone(), Dim::one()])?;
    let updates = cx.reshape(x, vec![elements])?;
    let op = Op::ScatterNd {
        batch_dims: 0,
        op: llmc_ir::ScatterOp::Assign,
    };
    let flat = cx.apply(op, &[&zeros, &tuples, &updates])?;
    let out = cx.reshape(&flat, full.iter().map(|n| Dim::from(*n)).collect())?;
    let Some(wanted) = call.optional(2) else {
        return Ok(vec![out]);
    };
    let wanted = cx.fixed_ints(wanted)?;
    let grown = |(have, want): (&usize, &i64)| usize::try_from(*want).ok()?.checked_sub(*have);
    let after: Option<Vec<usize>> = full.iter().zip(&wanted).map(grown).collect();
    let after = after.filter(|a| a.len() == full.len());
    let after = after.ok_or_else(|| OpError::input(format!("{full:?} does not fit {wanted:?}")))?;
    let before = vec![0; full.len()];
    Ok(vec![cx.apply(Op::Pad { before, after }, &[&out, &zero])?])
}

/// `LRN`: x / (bias + alpha / size * sum of squares of neighbouring channels) ^ beta.
pub fn lrn(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let attributes = call.attributes();
    let size = attributes.int_required("size")?;
    let size = usize::try_from(size)
        .ok()
        .filter(|s| (1..1 << 20).contains(s));
    let size = size.ok_or_else(|| OpError::input("`size` must be positive"))?;
    let rank = cx.rank(x)?;
    if rank < 2 {
        return Err(OpError::input("the operand has no channels"));
    }
    let squares = cx.mul(x, x)?;
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(1, rank - 1);
    let lines = cx.permute(&squares, perm.clone())?;
    let spatial = Spatial {
        kernel: vec![size],
        strides: vec![1],
        dilations: vec![1],
        before: vec![(size - 1) / 2],
        after: vec![size / 2],
        extra: vec![0],
    };
    let windows = spatial.windows(cx, &lines, 0.0)?;
    let sums = cx.reduce(ReduceOp::Sum, &windows, &[rank], false)?;
    let sums = cx.permute(&sums, perm)?;
    let alpha = f64::from(attributes.float_or("alpha", 1e-4)?) / size as f64;
    let scaled = cx.times(&sums, alpha)?;
    let base = cx.plus(&scaled, f64::from(attributes.float_or("bias", 1.0)?))?;
    let beta = cx.number(x, f64::from(attributes.float_or("beta", 0.75)?))?;
    let divisor = cx.pow(&base, &beta)?;
    Ok(vec![cx.div(x, &divisor)?])
}
