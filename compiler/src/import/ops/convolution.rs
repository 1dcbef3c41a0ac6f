//! Convolutions: windows times weights. The weights are the left operand `[groups, out, in * kernel]`, the windows the
//! right one `[batch, groups, in * kernel, positions]`, so that neither the weights nor the result are transposed.

use llmc_ir::{Dim, Op};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::{MAX_TABLE, Made};
use super::integer::{rounded, shifted};
use super::window::{Spatial, padded, sizes};

/// Attributes of `Conv` and its quantised relatives.
pub const CONV: &[&str] = &[
    "auto_pad",
    "dilations",
    "group",
    "kernel_shape",
    "pads",
    "strides",
];

/// Attributes of `ConvTranspose`.
pub const TRANSPOSED: &[&str] = &[
    "auto_pad",
    "dilations",
    "group",
    "kernel_shape",
    "output_padding",
    "output_shape",
    "pads",
    "strides",
];

fn groups(call: &Call) -> Result<usize, OpError> {
    let groups = call.attributes().int_or("group", 1)?;
    usize::try_from(groups)
        .ok()
        .filter(|g| *g > 0)
        .ok_or_else(|| OpError::input(format!("group={groups}")))
}

fn dims(list: &[usize]) -> Vec<Dim> {
    list.iter().map(|n| Dim::from(*n)).collect()
}

/// Windows `[n, c, positions.., kernel..]` times weights `[groups * out, c / groups, kernel..]`.
fn product(cx: &mut Lower, windows: &Val, weights: &Val, groups: usize) -> Made {
    let (shape, kernel) = (cx.shape(windows)?, cx.extents(weights)?);
    let spatial = kernel.len() - 2;
    let [n, c] = [shape[0].clone(), shape[1].clone()];
    let positions = shape[2..2 + spatial].to_vec();
    let inner: usize = kernel[1..].iter().product();
    if c.as_const() != i64::try_from(kernel[1] * groups).ok() || !kernel[0].is_multiple_of(groups) {
        return Err(OpError::input(format!(
            "{c} channels and weights {kernel:?} in {groups} groups"
        )));
    }
    let perm = [
        vec![0, 1],
        (2 + spatial..2 + 2 * spatial).collect(),
        (2..2 + spatial).collect(),
    ];
    let columns = cx.permute(windows, perm.concat())?;
    let count = positions.iter().fold(Dim::one(), |a, b| &a * b);
    let g = Dim::from(groups);
    let columns = cx.reshape(
        &columns,
        vec![n.clone(), g.clone(), Dim::from(inner), count.clone()],
    )?;
    let out = kernel[0] / groups;
    let rows = cx.reshape(weights, vec![g, Dim::from(out), Dim::from(inner)])?;
    let product = cx.matmul(&rows, &columns)?;
    cx.reshape(
        &product,
        [vec![n, Dim::from(kernel[0])], positions].concat(),
    )
}

/// The extents after batch and channels.
fn spatial_extents(cx: &Lower, x: &Val) -> Result<Vec<usize>, OpError> {
    let shape = cx.shape(x)?;
    let rest = shape.get(2..).unwrap_or_default().iter();
    let fixed = |d: &Dim| d.as_const().and_then(|n| usize::try_from(n).ok());
    let all: Option<Vec<usize>> = rest.map(fixed).collect();
    all.filter(|all| !all.is_empty()).ok_or_else(|| {
        OpError::unsupported(
            format!("windows over the extents {shape:?}"),
            "export with fixed spatial extents, or bind the dims with --dim",
        )
    })
}

/// A convolution without bias.
fn convolution(cx: &mut Lower, call: &Call, x: &Val, w: &Val) -> Made {
    let extents = spatial_extents(cx, x)?;
    let kernel = cx.extents(w)?.get(2..).unwrap_or_default().to_vec();
    let spatial = Spatial::of(call, &extents, kernel)?;
    let windows = spatial.windows(cx, x, 0.0)?;
    product(cx, &windows, w, groups(call)?)
}

/// Adds a bias `[channels]`, if there is one.
fn biased(cx: &mut Lower, y: &Val, bias: Option<&Val>) -> Made {
    let Some(bias) = bias else {
        return Ok(y.clone());
    };
    let mut shape = cx.shape(bias)?;
    shape.resize(cx.rank(y)?.saturating_sub(1), Dim::one());
    let bias = cx.reshape(bias, shape)?;
    cx.sum(y, &bias)
}

/// `Conv`.
pub fn conv(cx: &mut Lower, call: &Call) -> Out {
    let y = convolution(cx, call, call.input(0)?, call.input(1)?)?;
    Ok(vec![biased(cx, &y, call.optional(2))?])
}

/// `ConvInteger`: i32 sums of products of what lies above the zero points.
pub fn conv_integer(cx: &mut Lower, call: &Call) -> Out {
    let x = shifted(cx, call.input(0)?, call.optional(2), None)?;
    let w = shifted(cx, call.input(1)?, call.optional(3), Some(0))?;
    Ok(vec![convolution(cx, call, &x, &w)?])
}

/// `QLinearConv`: x, its scale and zero point, w, its own, those of y, bias in units of both scales.
pub fn qlinear_conv(cx: &mut Lower, call: &Call) -> Out {
    let x = shifted(cx, call.input(0)?, call.optional(2), None)?;
    let w = shifted(cx, call.input(3)?, call.optional(5), Some(0))?;
    let sums = convolution(cx, call, &x, &w)?;
    let sums = biased(cx, &sums, call.optional(8))?;
    let sums = cx.cast(&sums, DType::F32)?;
    let mut w_scale = call.input(4)?.clone();
    if cx.rank(&w_scale)? == 1 {
        let mut shape = cx.shape(&w_scale)?;
        shape.resize(cx.rank(&sums)? - 1, Dim::one());
        w_scale = cx.reshape(&w_scale, shape)?;
    }
    let scale = cx.mul(call.input(1)?, &w_scale)?;
    let scale = cx.div(&scale, call.input(6)?)?;
    let y = cx.mul(&sums, &scale)?;
    let zero = call.input(7)?;
    Ok(vec![rounded(cx, &y, zero, zero.dtype()?)?])
}

/// Zeros between the elements of an axis, so that they lie `stride` apart.
pub fn stretched(cx: &mut Lower, x: &Val, axis: usize, stride: usize) -> Made {
    let n = cx.extents(x)?[axis];
    if stride == 1 || n == 0 {
        return Ok(x.clone());
    }
    let opened = cx.open(x, axis + 1)?;
    let rank = cx.rank(&opened)?;
    let mut after = vec![0; rank - axis - 1];
    after[0] = stride - 1;
    let before = vec![0; after.len()];
    let wide = padded(cx, &opened, axis + 1, &before, &after, 0.0)?;
    let mut shape = cx.shape(x)?;
    shape[axis] = Dim::from(n * stride);
    let flat = cx.reshape(&wide, shape)?;
    cx.part(&flat, axis, 0, (n - 1) * stride + 1)
}

/// `ConvTranspose`: a convolution of the stretched operand with the weights turned around.
pub fn conv_transpose(cx: &mut Lower, call: &Call) -> Out {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let extents = spatial_extents(cx, x)?;
    let weights = cx.extents(w)?;
    let n = extents.len();
    if weights.len() != n + 2 {
        return Err(OpError::input(format!(
            "weights {weights:?} for {n} spatial axes"
        )));
    }
    let kernel = weights[2..].to_vec();
    let groups = groups(call)?;
    let (strides, dilations) = (
        sizes(call, "strides", n, 1)?,
        sizes(call, "dilations", n, 1)?,
    );
    let more = sizes(call, "output_padding", n, 0)?;
    let mut pads = sizes(call, "pads", 2 * n, 0)?;
    let auto = call.attributes().text_or("auto_pad", "NOTSET")?;
    let wanted = match call.attributes().ints("output_shape")? {
        Some(_) => Some(sizes(call, "output_shape", n, 0)?),
        None if auto.starts_with("SAME") => {
            Some(extents.iter().zip(&strides).map(|(d, s)| d * s).collect())
        }
        None => None,
    };
    let mut value = x.clone();
    for i in 0..n {
        if kernel[i] > MAX_TABLE {
            return Err(OpError::unsupported(format!("a kernel {kernel:?}"), ""));
        }
        if kernel[i] == 0 || strides[i] == 0 || dilations[i] == 0 || extents[i] == 0 {
            return Err(OpError::input("an extent, stride or dilation of 0"));
        }
        let reach = (kernel[i] - 1) * dilations[i];
        let whole = strides[i] * (extents[i] - 1) + more[i] + reach + 1;
        if let Some(wanted) = &wanted {
            let total = whole.saturating_sub(wanted[i]);
            let half = total / 2;
            let first = if auto == "SAME_UPPER" {
                half
            } else {
                total - half
            };
            (pads[i], pads[i + n]) = (first, total - first);
        }
        value = stretched(cx, &value, i + 2, strides[i])?;
        let beyond = wanted.as_ref().map_or(0, |w| w[i].saturating_sub(whole));
        let (front, back) = (reach, reach + more[i] + beyond);
        let mut before = vec![0; n];
        let mut after = vec![0; n];
        before[i] = front.saturating_sub(pads[i]);
        after[i] = back.saturating_sub(pads[i + n]);
        value = padded(cx, &value, 2, &before, &after, 0.0)?;
        let (cut, rest) = (
            pads[i].saturating_sub(front),
            pads[i + n].saturating_sub(back),
        );
        let len = cx.extents(&value)?[i + 2];
        value = cx.part(&value, i + 2, cut, len.saturating_sub(rest))?;
    }
    let op = Op::Windows {
        kernel: kernel.clone(),
        strides: vec![1; n],
        dilations,
    };
    let windows = cx.apply(op, &[&value])?;
    let turned = turned(cx, w, &weights, groups)?;
    let y = product(cx, &windows, &turned, groups)?;
    Ok(vec![biased(cx, &y, call.optional(2))?])
}

/// Weights `[in, out / groups, kernel..]` as `[out, in / groups, kernel..]` with the kernel in reverse.
fn turned(cx: &mut Lower, w: &Val, shape: &[usize], groups: usize) -> Made {
    let mut w = w.clone();
    for (axis, extent) in shape.iter().enumerate().skip(2) {
        let op = Op::Slice {
            axis,
            start: Dim::from(extent - 1),
            end: Dim::from(-1),
            step: -1,
        };
        w = cx.apply(op, &[&w])?;
    }
    if !shape[0].is_multiple_of(groups) {
        return Err(OpError::input(format!(
            "{} channels in {groups} groups",
            shape[0]
        )));
    }
    let inner = shape[0] / groups;
    let split = [vec![groups, inner, shape[1]], shape[2..].to_vec()].concat();
    let w = cx.reshape(&w, dims(&split))?;
    let mut perm: Vec<usize> = (0..split.len()).collect();
    perm.swap(1, 2);
    let w = cx.permute(&w, perm)?;
    let merged = [vec![groups * shape[1], inner], shape[2..].to_vec()].concat();
    cx.reshape(&w, dims(&merged))
}

/// `Col2Im`: columns of blocks laid over each other and added.
pub fn col2im(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let list = |cx: &Lower, i: usize| -> Result<Vec<usize>, OpError> {
        let values = cx.fixed_ints(call.input(i)?)?;
        let values: Option<Vec<usize>> = values.iter().map(|&v| usize::try_from(v).ok()).collect();
        values.ok_or_else(|| OpError::input("a negative extent"))
    };
    let (image, block) = (list(cx, 1)?, list(cx, 2)?);
    let spatial = Spatial::of(call, &image, block.clone())?;
    let positions = spatial.positions(&image);
    let count: usize = block.iter().product();
    if count > 1024 {
        return Err(OpError::unsupported(
            format!("blocks of {count} elements"),
            "",
        ));
    }
    let shape = cx.extents(x)?;
    let [batch, channels, _] = shape[..] else {
        return Err(OpError::input("the operand must have three axes"));
    };
    let opened = [
        vec![batch, channels / count.max(1), count],
        positions.clone(),
    ]
    .concat();
    let x = cx.reshape(x, dims(&opened))?;
    let mut sum: Option<Val> = None;
    for element in 0..count {
        let offset = llmc_tensor::compare::unravel(element, &block);
        let slice = cx.part(&x, 2, element, element + 1)?;
        let mut slice = cx.close(&slice, 2)?;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for i in 0..image.len() {
            slice = stretched(cx, &slice, i + 2, spatial.strides[i])?;
            let whole = image[i] + spatial.before[i] + spatial.after[i];
            let first = offset[i] * spatial.dilations[i];
            before.push(first);
            after.push(whole - first - ((positions[i] - 1) * spatial.strides[i] + 1));
        }
        let placed = padded(cx, &slice, 2, &before, &after, 0.0)?;
        sum = Some(match sum {
            None => placed,
            Some(sum) => cx.sum(&sum, &placed)?,
        });
    }
    let mut out = sum.ok_or_else(|| OpError::input("blocks of no elements"))?;
    for (i, extent) in image.iter().enumerate() {
        out = cx.part(&out, i + 2, spatial.before[i], spatial.before[i] + extent)?;
    }
    Ok(vec![out])
}
