//! Where sliding windows lie: padding and extents of convolutions and poolings, and `Pad` itself.

use llmc_ir::{Dim, Op};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::{Val, axis_of};
use super::Out;
use super::build::{MAX_TABLE, Made};

/// Windows over the spatial axes.
#[derive(Debug)]
pub struct Spatial {
    /// Extents of a window.
    pub kernel: Vec<usize>,
    /// Distances of neighbouring windows.
    pub strides: Vec<usize>,
    /// Distances of neighbouring elements of a window.
    pub dilations: Vec<usize>,
    /// Padding before the first element.
    pub before: Vec<usize>,
    /// Padding after the last element.
    pub after: Vec<usize>,
    /// More padding at the end, for a last window that `ceil_mode` asks for; its elements never count.
    pub extra: Vec<usize>,
}

/// A list of numbers that are not negative, one for each of `n` axes.
pub fn sizes(call: &Call, name: &str, n: usize, default: usize) -> Result<Vec<usize>, OpError> {
    let Some(values) = call.attributes().ints(name)? else {
        return Ok(vec![default; n]);
    };
    let values: Option<Vec<usize>> = values.iter().map(|&v| usize::try_from(v).ok()).collect();
    values
        .filter(|v| v.len() == n && v.iter().all(|&v| v <= 1 << 24))
        .ok_or_else(|| OpError::input(format!("`{name}` must hold {n} sizes")))
}

impl Spatial {
    /// Reads `strides`, `dilations`, `pads`, `auto_pad` and `ceil_mode` for these extents.
    ///
    /// # Errors
    /// Lists of wrong length, negative numbers, a window larger than what it slides over.
    pub fn of(call: &Call, extents: &[usize], kernel: Vec<usize>) -> Result<Spatial, OpError> {
        let n = extents.len();
        if kernel.len() != n {
            return Err(OpError::input(format!(
                "windows of {} axes over {n} axes",
                kernel.len()
            )));
        }
        if kernel.iter().chain(extents).any(|k| *k > 1 << 32) {
            return Err(OpError::unsupported(
                format!("windows {kernel:?} over {extents:?}"),
                "",
            ));
        }
        let strides = sizes(call, "strides", n, 1)?;
        let dilations = sizes(call, "dilations", n, 1)?;
        let mut pads = sizes(call, "pads", 2 * n, 0)?;
        if [&kernel, &strides, &dilations]
            .iter()
            .any(|list| list.contains(&0))
        {
            return Err(OpError::input("windows of no extent, stride or dilation"));
        }
        let reach = |i: usize| {
            (kernel[i] - 1)
                .saturating_mul(dilations[i])
                .saturating_add(1)
        };
        let same = match call.attributes().text_or("auto_pad", "NOTSET")? {
            "NOTSET" => None,
            "VALID" => {
                pads = vec![0; 2 * n];
                None
            }
            "SAME_UPPER" => Some(0),
            "SAME_LOWER" => Some(1),
            other => return Err(OpError::input(format!("auto_pad=`{other}` is unknown"))),
        };
        let ceil = call.attributes().flag_or("ceil_mode", false)?;
        let mut extra = vec![0; n];
        for i in 0..n {
            if let Some(first) = same {
                let windows = extents[i].div_ceil(strides[i]);
                let total = (windows.max(1) - 1) * strides[i] + reach(i);
                let total = total.saturating_sub(extents[i]);
                pads[i] = (total + first) / 2;
                pads[i + n] = total - pads[i];
            }
            let whole = extents[i] + pads[i] + pads[i + n];
            let free = whole.checked_sub(reach(i)).ok_or_else(|| {
                OpError::input(format!("a window over {} of {whole} elements", reach(i)))
            })?;
            if ceil {
                let mut last = free.div_ceil(strides[i]);
                // a window must start within the operand or the padding before it
                if last * strides[i] >= extents[i] + pads[i] {
                    last = last.saturating_sub(1);
                }
                extra[i] = (last * strides[i] + reach(i)).saturating_sub(whole);
            }
        }
        Ok(Spatial {
            kernel,
            strides,
            dilations,
            before: pads[..n].to_vec(),
            after: pads[n..].to_vec(),
            extra,
        })
    }

    /// Numbers of windows along the axes.
    pub fn positions(&self, extents: &[usize]) -> Vec<usize> {
        let along = |i: usize| {
            let whole = extents[i] + self.before[i] + self.after[i] + self.extra[i];
            (whole - (self.kernel[i] - 1) * self.dilations[i] - 1) / self.strides[i] + 1
        };
        (0..extents.len()).map(along).collect()
    }

    /// The place in the operand of element `k` of window `o` along axis `i`; `None` in the padding.
    pub fn place(&self, i: usize, o: usize, k: usize, extent: usize) -> Option<usize> {
        let at = o * self.strides[i] + k * self.dilations[i];
        at.checked_sub(self.before[i]).filter(|at| *at < extent)
    }

    /// The windows `[.., positions.., kernel..]` of x, padded with `value`.
    pub fn windows(&self, cx: &mut Lower, x: &Val, value: f64) -> Made {
        let lead = cx.rank(x)? - self.kernel.len();
        let after: Vec<usize> = self
            .after
            .iter()
            .zip(&self.extra)
            .map(|(a, e)| a + e)
            .collect();
        let x = padded(cx, x, lead, &self.before, &after, value)?;
        let op = Op::Windows {
            kernel: self.kernel.clone(),
            strides: self.strides.clone(),
            dilations: self.dilations.clone(),
        };
        cx.apply(op, &[&x])
    }
}

/// Padding with a number on the axes from `lead` on.
pub fn padded(
    cx: &mut Lower,
    x: &Val,
    lead: usize,
    before: &[usize],
    after: &[usize],
    value: f64,
) -> Made {
    if before.iter().chain(after).all(|p| *p == 0) {
        return Ok(x.clone());
    }
    let all = |list: &[usize]| [vec![0; lead], list.to_vec()].concat();
    let value = cx.number(x, value)?;
    let op = Op::Pad {
        before: all(before),
        after: all(after),
    };
    cx.apply(op, &[x, &value])
}

/// `Pad`: sizes as attribute (before opset 11) or operand; negative sizes cut off.
pub fn pad(cx: &mut Lower, call: &Call) -> Out {
    let mut x = call.input(0)?.clone();
    let rank = cx.rank(&x)?;
    let pads = match call.version() {
        ..11 => call.attributes().ints("pads")?.unwrap_or(&[]).to_vec(),
        _ => cx.fixed_ints(call.input(1)?)?,
    };
    let axes = match call.optional(3) {
        Some(axes) => cx
            .fixed_ints(axes)?
            .into_iter()
            .map(|a| axis_of(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() || pads.iter().any(|p| p.unsigned_abs() > 1 << 40) {
        return Err(OpError::input(format!(
            "pads {pads:?} for {} axes",
            axes.len()
        )));
    }
    let (mut before, mut after) = (vec![0i64; rank], vec![0i64; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        (before[axis], after[axis]) = (pads[i], pads[i + axes.len()]);
    }
    let mode = call.attributes().text_or("mode", "constant")?;
    if mode != "constant" {
        for axis in axes {
            x = mirrored(cx, &x, axis, before[axis], after[axis], mode)?;
        }
        return Ok(vec![x]);
    }
    let value = match (call.optional(2), call.version()) {
        (Some(value), _) => cx.reshape(value, Vec::new())?,
        (None, ..11) => cx.number(&x, f64::from(call.attributes().float_or("value", 0.0)?))?,
        (None, _) => cx.number(&x, 0.0)?,
    };
    for axis in 0..rank {
        let n = cx.shape(&x)?[axis].clone();
        let (cut, rest) = (before[axis].min(0), after[axis].min(0));
        if cut < 0 || rest < 0 {
            x = cx.part(&x, axis, Dim::from(-cut), n + Dim::from(rest))?;
        }
    }
    let sizes = |list: &[i64]| {
        list.iter()
            .map(|p| (*p).max(0) as usize)
            .collect::<Vec<_>>()
    };
    let (before, after) = (sizes(&before), sizes(&after));
    if before.iter().chain(&after).all(|p| *p == 0) {
        return Ok(vec![x]);
    }
    Ok(vec![cx.apply(Op::Pad { before, after }, &[&x, &value])?])
}

/// Padding with elements of x itself: the nearest, those of its mirror image, or those of its repetition.
fn mirrored(cx: &mut Lower, x: &Val, axis: usize, before: i64, after: i64, mode: &str) -> Made {
    if before == 0 && after == 0 {
        return Ok(x.clone());
    }
    let n = cx.extents(x)?[axis] as i64;
    let last = (n - 1).max(0);
    if n.saturating_add(before).saturating_add(after) > MAX_TABLE as i64 {
        return Err(OpError::unsupported("padding this wide", ""));
    }
    let source = |i: i64| match mode {
        "edge" => Ok(i.clamp(0, last)),
        "wrap" => Ok(i.rem_euclid(n.max(1))),
        "reflect" if n <= 1 => Ok(0),
        "reflect" => {
            let within = i.rem_euclid(2 * last);
            Ok(within.min(2 * last - within))
        }
        other => Err(OpError::input(format!("mode=`{other}` is unknown"))),
    };
    let places = (-before..n + after)
        .map(source)
        .collect::<Result<Vec<_>, _>>()?;
    if n == 0 && !places.is_empty() {
        return Err(OpError::input("an empty axis has no elements to repeat"));
    }
    let places = cx.int_constant(vec![places.len()], &places)?;
    cx.apply(Op::Gather { axis }, &[x, &places])
}

/// `DepthToSpace`: blocks of channels become squares of pixels.
pub fn depth_to_space(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let block = block_size(call)?;
    let [n, c, h, w] = four(cx, x)?;
    let depth = exact(&c, &(&block * &block))?;
    let (split, perm) = match call.attributes().text_or("mode", "DCR")? {
        "DCR" => ([&block, &block, &depth], vec![0, 3, 4, 1, 5, 2]),
        "CRD" => ([&depth, &block, &block], vec![0, 1, 4, 2, 5, 3]),
        other => return Err(OpError::input(format!("mode=`{other}` is unknown"))),
    };
    let [a, b, d] = split.map(Dim::clone);
    let open = cx.reshape(x, vec![n.clone(), a, b, d, h.clone(), w.clone()])?;
    let open = cx.permute(&open, perm)?;
    Ok(vec![cx.reshape(
        &open,
        vec![n, depth, &h * &block, &w * &block],
    )?])
}

/// `SpaceToDepth`: squares of pixels become blocks of channels.
pub fn space_to_depth(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let block = block_size(call)?;
    let [n, c, h, w] = four(cx, x)?;
    let (rows, columns) = (exact(&h, &block)?, exact(&w, &block)?);
    let (split, perm) = match call.attributes().text_or("mode", "DCR")? {
        "DCR" => (block.clone(), vec![0, 3, 5, 1, 2, 4]),
        "CRD" => (block.clone(), vec![0, 1, 3, 5, 2, 4]),
        other => return Err(OpError::input(format!("mode=`{other}` is unknown"))),
    };
    let shape = vec![
        n.clone(),
        c.clone(),
        rows.clone(),
        split,
        columns.clone(),
        block.clone(),
    ];
    let open = cx.reshape(x, shape)?;
    let open = cx.permute(&open, perm)?;
    let depth = &(&c * &block) * &block;
    Ok(vec![cx.reshape(&open, vec![n, depth, rows, columns])?])
}

fn block_size(call: &Call) -> Result<Dim, OpError> {
    match call.attributes().int_required("blocksize")? {
        n @ 1..=65536 => Ok(Dim::from(n)),
        n => Err(OpError::input(format!("blocksize={n}"))),
    }
}

fn exact(dim: &Dim, by: &Dim) -> Result<Dim, OpError> {
    dim.exact_div(by)
        .ok_or_else(|| OpError::input(format!("{by} does not divide {dim}")))
}

fn four(cx: &Lower, x: &Val) -> Result<[Dim; 4], OpError> {
    let shape = cx.shape(x)?;
    shape
        .try_into()
        .map_err(|_| OpError::input("the operand must have four axes"))
}

/// The smallest value of an element type, which no maximum is below.
pub fn lowest(dtype: DType) -> f64 {
    match dtype {
        d if d.is_float() => f64::NEG_INFINITY,
        d if d.is_signed_int() => -(2f64.powi(d.bits() as i32 - 1)),
        _ => 0.0,
    }
}
