//! `Resize` and `Upsample`: along each axis every element of the result is a weighted sum of a few of the operand, which
//! is a product with a matrix known on import; where each is one element, it is a gather.

use llmc_ir::Op;
use llmc_tensor::{DType, Tensor};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::{Val, axis_of};
use super::Out;
use super::build::Made;

/// Attributes of `Resize`.
pub const RESIZE: &[&str] = &[
    "antialias",
    "axes",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "extrapolation_value",
    "keep_aspect_ratio_policy",
    "mode",
    "nearest_mode",
];

/// Larger matrices are refused.
const MAX_MATRIX: usize = 1 << 24;

/// How elements between those of the operand are found.
struct Method<'a> {
    mode: &'a str,
    nearest: &'a str,
    transform: &'a str,
    cubic: f64,
    antialias: bool,
    exclude_outside: bool,
}

/// One axis: from `input` elements to `output`, `scale` as many, of the part `roi` of the operand.
struct Axis {
    input: usize,
    output: usize,
    scale: f64,
    roi: (f64, f64),
}

/// A weighted sum: place and weight of each element; `None` outside of the operand.
type Sum = Option<Vec<(usize, f64)>>;

impl Axis {
    /// The place in the operand of element `i` of the result.
    fn place(&self, method: &Method, i: usize) -> Result<Option<f64>, OpError> {
        let (i, input) = (i as f64, self.input as f64);
        let width = self.scale * input;
        let half = (i + 0.5) / self.scale - 0.5;
        Ok(Some(match method.transform {
            "align_corners" if width == 1.0 => 0.0,
            "align_corners" => i * (input - 1.0) / (width - 1.0),
            "asymmetric" => i / self.scale,
            "half_pixel" => half,
            "pytorch_half_pixel" if width == 1.0 => -0.5,
            "pytorch_half_pixel" => half,
            "half_pixel_symmetric" => half + input / 2.0 * (1.0 - self.output as f64 / width),
            "tf_crop_and_resize" => {
                let span = (self.roi.1 - self.roi.0) * (input - 1.0);
                let at = match width == 1.0 {
                    true => span / 2.0,
                    false => i * span / (width - 1.0),
                } + self.roi.0 * (input - 1.0);
                return Ok((0.0..=input - 1.0).contains(&at).then_some(at));
            }
            other => {
                return Err(OpError::unsupported(
                    format!("coordinate_transformation_mode=`{other}`"),
                    "",
                ));
            }
        }))
    }

    /// The weighted sums of all elements of the result.
    fn sums(&self, method: &Method) -> Result<Vec<Sum>, OpError> {
        (0..self.output)
            .map(|i| match self.place(method, i)? {
                None => Ok(None),
                Some(at) => Ok(Some(self.sum(method, at)?)),
            })
            .collect()
    }

    fn sum(&self, method: &Method, at: f64) -> Result<Vec<(usize, f64)>, OpError> {
        // an element itself counts as the right end of the step before it
        let whole = at == at.floor();
        let ratio = if whole { 1.0 } else { at - at.floor() };
        let mut weights = weights(method, ratio, self.scale)?;
        let n = weights.len() as i64;
        let below = at.floor() as i64;
        let start = match (n % 2, whole, ratio <= 0.5) {
            (0, true, _) => below - n / 2,
            (0, false, _) => below - n / 2 + 1,
            (_, true, _) | (_, false, true) => below - (n - 1) / 2,
            (_, false, false) => below - (n - 1) / 2 + 1,
        };
        let last = self.input as i64 - 1;
        if method.exclude_outside {
            for (k, weight) in weights.iter_mut().enumerate() {
                if !(0..=last).contains(&(start + k as i64)) {
                    *weight = 0.0;
                }
            }
            let sum: f64 = weights.iter().sum();
            weights
                .iter_mut()
                .for_each(|w| *w /= if sum == 0.0 { 1.0 } else { sum });
        }
        let places = (0..n).map(|k| (start + k).clamp(0, last.max(0)) as usize);
        Ok(places.zip(weights).filter(|(_, w)| *w != 0.0).collect())
    }
}

/// Weights of the neighbours of a place `ratio` beyond the element before it.
fn weights(method: &Method, ratio: f64, scale: f64) -> Result<Vec<f64>, OpError> {
    let bool = |b: bool| vec![f64::from(u8::from(!b)), f64::from(u8::from(b))];
    let shrink = scale.min(1.0);
    let spread = |reach: f64, kernel: &dyn Fn(f64) -> f64| {
        let start = (-reach / shrink).floor() as i64 + 1;
        let count = 2 - 2 * start;
        let all: Vec<f64> = (start..start + count)
            .map(|i| kernel((i as f64 - ratio) * shrink))
            .collect();
        let sum: f64 = all.iter().sum();
        all.into_iter().map(|w| w / sum).collect::<Vec<f64>>()
    };
    let a = method.cubic;
    let cubic = |x: f64| {
        let x = x.abs();
        match x {
            x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            x if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
            _ => 0.0,
        }
    };
    Ok(match (method.mode, method.antialias) {
        ("nearest", _) if ratio == 1.0 => bool(true),
        ("nearest", _) => match method.nearest {
            "round_prefer_floor" => bool(ratio > 0.5),
            "round_prefer_ceil" => bool(ratio >= 0.5),
            "floor" => bool(false),
            "ceil" => bool(true),
            other => return Err(OpError::input(format!("nearest_mode=`{other}` is unknown"))),
        },
        ("linear" | "bilinear", false) => vec![1.0 - ratio, ratio],
        ("linear" | "bilinear", true) => spread(1.0, &|x| (1.0 - x.abs()).clamp(0.0, 1.0)),
        ("cubic", false) => [ratio + 1.0, ratio, 1.0 - ratio, 2.0 - ratio]
            .map(cubic)
            .to_vec(),
        ("cubic", true) => spread(2.0, &cubic),
        (other, _) => return Err(OpError::input(format!("mode=`{other}` is unknown"))),
    })
}

/// Resizes one axis; elements outside of the operand become `outside`.
fn resized(cx: &mut Lower, x: &Val, axis: usize, sums: &[Sum], input: usize, outside: f64) -> Made {
    let single = |s: &Sum| {
        s.as_ref()
            .is_none_or(|s| matches!(s[..], [(_, w)] if w == 1.0))
    };
    let value = if sums.iter().all(single) {
        let first = |s: &Sum| {
            s.as_ref()
                .and_then(|s| s.first())
                .map_or(0, |(i, _)| *i as i64)
        };
        let places: Vec<i64> = sums.iter().map(first).collect();
        let places = cx.int_constant(vec![places.len()], &places)?;
        cx.apply(Op::Gather { axis }, &[x, &places])?
    } else {
        let count = input.checked_mul(sums.len()).filter(|n| *n <= MAX_MATRIX);
        let count = count.ok_or_else(|| OpError::unsupported("an axis this long", ""))?;
        let mut matrix = vec![0.0; count];
        for (column, sum) in sums.iter().enumerate() {
            for (row, weight) in sum.iter().flatten() {
                matrix[row * sums.len() + column] += weight;
            }
        }
        let (wide, own) = cx.widened(x)?;
        let wide = match own.is_float() {
            true => wide,
            false => cx.cast(&wide, DType::F32)?,
        };
        let matrix = cx.known(wide.dtype()?, vec![input, sums.len()], &matrix)?;
        let rank = cx.rank(x)?;
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(axis, rank - 1);
        let lines = cx.permute(&wide, perm.clone())?;
        let lines = cx.matmul(&lines, &matrix)?;
        let value = cx.permute(&lines, perm)?;
        cx.cast(&value, own)?
    };
    if sums.iter().all(Option::is_some) {
        return Ok(value);
    }
    let inside: Vec<bool> = sums.iter().map(Option::is_some).collect();
    let mut shape = vec![1; cx.rank(x)? - axis];
    shape[0] = inside.len();
    let inside = Tensor::from_vec(shape, inside).map_err(|e| OpError::bug(e.to_string()))?;
    let outside = cx.number(&value, outside)?;
    cx.pick(&Val::constant(inside), &value, &outside)
}

fn floats(cx: &Lower, call: &Call, operand: usize) -> Result<Option<Vec<f64>>, OpError> {
    let values = call
        .optional(operand)
        .map(|v| cx.known_floats(v))
        .transpose()?;
    Ok(values.filter(|v| !v.is_empty()))
}

/// `Resize`.
pub fn resize(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let attributes = call.attributes();
    let extents = cx.extents(x)?;
    let rank = extents.len();
    let old = call.version() < 11;
    let transform = match old {
        true => "asymmetric",
        false => attributes.text_or("coordinate_transformation_mode", "half_pixel")?,
    };
    let method = Method {
        mode: attributes.text_or("mode", "nearest")?,
        nearest: match old {
            true => "floor",
            false => attributes.text_or("nearest_mode", "round_prefer_floor")?,
        },
        transform,
        cubic: f64::from(attributes.float_or("cubic_coeff_a", -0.75)?),
        antialias: attributes.flag_or("antialias", false)?,
        exclude_outside: attributes.flag_or("exclude_outside", false)?,
    };
    let axes = match attributes.ints("axes")? {
        Some(axes) => axes
            .iter()
            .map(|a| axis_of(*a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    let n = axes.len();
    let (scales, sizes) = match old {
        true => (floats(cx, call, 1)?, None),
        false => (floats(cx, call, 2)?, floats(cx, call, 3)?),
    };
    let (scales, sizes) = match (scales, sizes) {
        (_, Some(sizes)) => {
            let each = |(a, s): (&usize, &f64)| s / extents[*a].max(1) as f64;
            let scales: Vec<f64> = axes.iter().zip(&sizes).map(each).collect();
            let fold = |f: fn(f64, f64) -> f64| scales.iter().copied().reduce(f);
            match attributes.text_or("keep_aspect_ratio_policy", "stretch")? {
                "stretch" => (scales, sizes),
                policy => {
                    let scale = match policy {
                        "not_larger" => fold(f64::min),
                        "not_smaller" => fold(f64::max),
                        _ => return Err(OpError::input(format!("policy `{policy}` is unknown"))),
                    };
                    let scale = scale.unwrap_or(1.0);
                    let size = |a: &usize| (scale * extents[*a] as f64 + 0.5).floor();
                    (vec![scale; n], axes.iter().map(size).collect())
                }
            }
        }
        (Some(scales), None) => {
            let size = |(a, s): (&usize, &f64)| (s * extents[*a] as f64).floor();
            let sizes = axes.iter().zip(&scales).map(size).collect();
            (scales, sizes)
        }
        (None, None) => return Err(OpError::input("neither scales nor sizes are given")),
    };
    let good = |v: &f64| v.is_finite() && *v >= 0.0 && *v <= MAX_MATRIX as f64;
    if scales.len() != n || sizes.len() != n || !sizes.iter().chain(&scales).all(good) {
        return Err(OpError::input(format!(
            "scales {scales:?}, sizes {sizes:?} for {n} axes"
        )));
    }
    let roi = match transform {
        "tf_crop_and_resize" => floats(cx, call, 1)?.filter(|r| r.len() == 2 * n),
        _ => None,
    };
    let outside = f64::from(attributes.float_or("extrapolation_value", 0.0)?);
    let mut value = x.clone();
    for (i, &axis) in axes.iter().enumerate() {
        let along = Axis {
            input: extents[axis],
            output: sizes[i] as usize,
            scale: scales[i],
            roi: roi.as_ref().map_or((0.0, 1.0), |r| (r[i], r[i + n])),
        };
        if along.input == along.output
            && (along.scale - 1.0).abs() < 1e-9
            && along.roi == (0.0, 1.0)
        {
            continue;
        }
        let sums = along.sums(&method)?;
        value = resized(cx, &value, axis, &sums, along.input, outside)?;
    }
    Ok(vec![value])
}

/// `Upsample`: scales as operand (opset 9) or attribute (opset 7).
pub fn upsample(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let extents = cx.extents(x)?;
    let scales = match call.attributes().floats("scales")? {
        Some(scales) => scales.iter().map(|s| f64::from(*s)).collect(),
        None => floats(cx, call, 1)?.unwrap_or_default(),
    };
    if scales.len() != extents.len() || scales.iter().any(|s| !(1.0..1e6).contains(s)) {
        return Err(OpError::input(format!("scales {scales:?}")));
    }
    let method = Method {
        mode: call.attributes().text_or("mode", "nearest")?,
        nearest: "floor",
        transform: "asymmetric",
        cubic: -0.75,
        antialias: false,
        exclude_outside: false,
    };
    let mut value = x.clone();
    for (axis, scale) in scales.into_iter().enumerate().filter(|(_, s)| *s != 1.0) {
        let along = Axis {
            input: extents[axis],
            output: (extents[axis] as f64 * scale).floor() as usize,
            scale,
            roi: (0.0, 1.0),
        };
        let sums = along.sums(&method)?;
        value = resized(cx, &value, axis, &sums, along.input, 0.0)?;
    }
    Ok(vec![value])
}
