//! Sampling of images at places that are computed: `GridSample`, `AffineGrid`; and `CenterCropPad`.

use llmc_ir::{Dim, Op, UnaryOp};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::{Val, axis_of};
use super::Out;
use super::build::Made;
use super::window::padded;

/// Attributes of `GridSample`.
pub const SAMPLE: &[&str] = &["align_corners", "mode", "padding_mode"];

/// What lies beyond the image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    Zeros,
    Border,
    Reflection,
}

/// One axis of the image.
struct Axis {
    extent: usize,
    /// First and last place that counts as inside.
    low: f64,
    high: f64,
    beyond: Beyond,
}

/// A neighbour along an axis: its index, as a float that is an integer inside of the image, and its weight.
type Tap = (Val, Val);

impl Axis {
    /// Mirrored at the ends until it is inside.
    fn reflected(&self, cx: &mut Lower, x: &Val) -> Made {
        let range = self.high - self.low;
        if range <= 0.0 {
            return cx.number(x, 0.0);
        }
        let start = cx.plus(x, -self.low)?;
        let distance = cx.map(UnaryOp::Abs, &start)?;
        let turns = cx.times(&distance, 1.0 / range)?;
        let turns = cx.map(UnaryOp::Floor, &turns)?;
        let whole = cx.times(&turns, range)?;
        let rest = cx.sub(&distance, &whole)?;
        let half = cx.times(&turns, 0.5)?;
        let pairs = cx.map(UnaryOp::Floor, &half)?;
        let even = cx.equal(&half, &pairs)?;
        let forward = cx.plus(&rest, self.low)?;
        let minus = cx.map(UnaryOp::Neg, &rest)?;
        let backward = cx.plus(&minus, self.high)?;
        cx.pick(&even, &forward, &backward)
    }

    /// A place, moved inside if that is what lies beyond.
    fn moved(&self, cx: &mut Lower, x: &Val) -> Made {
        match self.beyond {
            Beyond::Zeros => Ok(x.clone()),
            Beyond::Border => cx.clamp(x, 0.0, self.extent as f64 - 1.0),
            Beyond::Reflection => self.reflected(cx, x),
        }
    }

    /// The neighbour at an integer place.
    fn tap(&self, cx: &mut Lower, at: &Val, weight: &Val) -> Result<Tap, OpError> {
        let last = self.extent as f64 - 1.0;
        let inside = cx.clamp(at, 0.0, last)?;
        Ok(match self.beyond {
            Beyond::Border => (inside, weight.clone()),
            Beyond::Zeros => {
                let same = cx.equal(&inside, at)?;
                let zero = cx.number(weight, 0.0)?;
                (inside, cx.pick(&same, weight, &zero)?)
            }
            Beyond::Reflection => {
                let at = self.reflected(cx, at)?;
                let at = cx.map(UnaryOp::Round, &at)?;
                (cx.clamp(&at, 0.0, last)?, weight.clone())
            }
        })
    }

    /// The neighbours of a place and their weights.
    fn taps(&self, cx: &mut Lower, at: &Val, mode: &str) -> Result<Vec<Tap>, OpError> {
        let one = cx.number(at, 1.0)?;
        if mode == "nearest" {
            let at = cx.map(UnaryOp::Round, at)?;
            let at = self.moved(cx, &at)?;
            let at = cx.map(UnaryOp::Round, &at)?;
            return Ok(vec![self.tap(cx, &at, &one)?]);
        }
        let at = self.moved(cx, at)?;
        let below = cx.map(UnaryOp::Floor, &at)?;
        let ratio = cx.sub(&at, &below)?;
        let minus = cx.map(UnaryOp::Neg, &ratio)?;
        let rest = cx.plus(&minus, 1.0)?;
        let weights = match mode {
            "linear" | "bilinear" => vec![(0.0, rest), (1.0, ratio)],
            "cubic" | "bicubic" => {
                let (far, further) = (cx.plus(&ratio, 1.0)?, cx.plus(&rest, 1.0)?);
                vec![
                    (-1.0, outer(cx, &far)?),
                    (0.0, inner(cx, &ratio)?),
                    (1.0, inner(cx, &rest)?),
                    (2.0, outer(cx, &further)?),
                ]
            }
            other => return Err(OpError::input(format!("mode=`{other}` is unknown"))),
        };
        weights
            .iter()
            .map(|(step, weight)| {
                let at = cx.plus(&below, *step)?;
                self.tap(cx, &at, weight)
            })
            .collect()
    }
}

/// The cubic kernel up to a distance of 1: (5/4 x - 9/4) x^2 + 1.
fn inner(cx: &mut Lower, x: &Val) -> Made {
    let line = cx.times(x, 1.25)?;
    let line = cx.plus(&line, -2.25)?;
    let square = cx.mul(x, x)?;
    let value = cx.mul(&line, &square)?;
    cx.plus(&value, 1.0)
}

/// The cubic kernel from a distance of 1 to 2: -3/4 (((x - 5) x + 8) x - 4).
fn outer(cx: &mut Lower, x: &Val) -> Made {
    let value = cx.plus(x, -5.0)?;
    let value = cx.mul(&value, x)?;
    let value = cx.plus(&value, 8.0)?;
    let value = cx.mul(&value, x)?;
    let value = cx.plus(&value, -4.0)?;
    cx.times(&value, -0.75)
}

/// `GridSample`: weighted sums of the neighbours of each place of the grid, whose numbers run from -1 to 1.
pub fn grid_sample(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let (x, grid) = (call.input(0)?, call.input(1)?);
    let (shape, places) = (cx.extents(x)?, cx.extents(grid)?);
    let n = shape.len().saturating_sub(2);
    if n == 0 || places.len() != shape.len() || places.last() != Some(&n) || shape.contains(&0) {
        return Err(OpError::input(format!(
            "an image {shape:?} and a grid {places:?}"
        )));
    }
    let beyond = match attributes.text_or("padding_mode", "zeros")? {
        "zeros" => Beyond::Zeros,
        "border" => Beyond::Border,
        "reflection" => Beyond::Reflection,
        other => return Err(OpError::input(format!("padding_mode=`{other}` is unknown"))),
    };
    let corners = attributes.flag_or("align_corners", false)?;
    let mode = attributes.text_or("mode", "linear")?;
    let (wide, own) = cx.widened(x)?;
    let count: usize = places[1..=n].iter().product();
    let flat = [places[0], count, n].map(Dim::from).to_vec();
    let grid = cx.cast(grid, wide.dtype()?)?;
    let grid = cx.reshape(&grid, flat)?;
    // all neighbours so far: the flat index and the product of weights, [batch, places, 1]
    let mut all: Vec<Tap> = Vec::new();
    for (i, &extent) in shape[2..].iter().enumerate() {
        let size = extent as f64;
        let at = cx.part(&grid, 2, n - 1 - i, n - i)?;
        let at = cx.plus(&at, 1.0)?;
        let axis = match corners {
            true => (size - 1.0, 0.0, 0.0, size - 1.0),
            false => (size, -0.5, -0.5, size - 0.5),
        };
        let (scale, shift, low, high) = axis;
        let at = cx.times(&at, scale / 2.0)?;
        let at = cx.plus(&at, shift)?;
        let axis = Axis {
            extent,
            low,
            high,
            beyond,
        };
        let taps = axis.taps(cx, &at, mode)?;
        if i == 0 {
            all = taps;
            continue;
        }
        let mut more = Vec::new();
        for (index, weight) in &all {
            let start = cx.times(index, size)?;
            for (step, factor) in &taps {
                more.push((cx.sum(&start, step)?, cx.mul(weight, factor)?));
            }
        }
        all = more;
    }
    let pixels: usize = shape[2..].iter().product();
    let lines = [shape[0], shape[1], pixels].map(Dim::from).to_vec();
    let lines = cx.reshape(&wide, lines)?;
    let lines = cx.permute(&lines, vec![0, 2, 1])?;
    let mut sum: Option<Val> = None;
    for (index, weight) in &all {
        let tuples = cx.cast(index, DType::I64)?;
        let picked = cx.apply(Op::GatherNd { batch_dims: 1 }, &[&lines, &tuples])?;
        let term = cx.mul(&picked, weight)?;
        sum = Some(match sum {
            None => term,
            Some(sum) => cx.sum(&sum, &term)?,
        });
    }
    let sum = sum.ok_or_else(|| OpError::bug("a place without neighbours"))?;
    let out = cx.permute(&sum, vec![0, 2, 1])?;
    let shape = [&shape[..2], &places[1..=n]].concat();
    let out = cx.reshape(&out, shape.into_iter().map(Dim::from).collect())?;
    Ok(vec![cx.cast(&out, own)?])
}

/// `AffineGrid`: places of an image under linear maps.
pub fn affine_grid(cx: &mut Lower, call: &Call) -> Out {
    let theta = call.input(0)?;
    let size = cx.fixed_ints(call.input(1)?)?;
    let corners = call.attributes().flag_or("align_corners", false)?;
    let extents: Option<Vec<usize>> = size
        .iter()
        .skip(2)
        .map(|d| usize::try_from(*d).ok())
        .collect();
    let extents = extents.unwrap_or_default();
    let n = extents.len();
    let count = llmc_tensor::tensor::elements(&extents).filter(|c| *c <= 1 << 24 && n > 0);
    let count = count.ok_or_else(|| OpError::input(format!("an image of {size:?}")))?;
    let place = |i: usize, extent: usize| match (corners, extent as f64) {
        (true, size) => -1.0 + 2.0 * i as f64 / (size - 1.0).max(1.0),
        (false, size) => (2.0 * i as f64 + 1.0) / size - 1.0,
    };
    let mut values = Vec::with_capacity(count * (n + 1));
    for i in 0..count {
        let at = llmc_tensor::compare::unravel(i, &extents);
        values.extend((0..n).rev().map(|a| place(at[a], extents[a])));
        values.push(1.0);
    }
    let base = cx.known(theta.dtype()?, vec![count, n + 1], &values)?;
    let turned = cx.permute(theta, vec![0, 2, 1])?;
    let grid = cx.matmul(&base, &turned)?;
    let batch = cx.shape(theta)?[0].clone();
    let shape = extents.into_iter().chain([n]).map(Dim::from);
    Ok(vec![cx.reshape(
        &grid,
        std::iter::once(batch).chain(shape).collect(),
    )?])
}

/// `CenterCropPad`: each axis cut or filled with zeros on both sides.
pub fn center_crop_pad(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let rank = cx.rank(x)?;
    let wanted = cx.fixed_ints(call.input(1)?)?;
    let axes = match call.attributes().ints("axes")? {
        Some(axes) => axes
            .iter()
            .map(|a| axis_of(*a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if axes.len() != wanted.len() {
        return Err(OpError::input(format!(
            "{} extents for {} axes",
            wanted.len(),
            axes.len()
        )));
    }
    let extents = cx.extents(x)?;
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    let mut value = x.clone();
    for (&axis, &wanted) in axes.iter().zip(&wanted) {
        let have = extents[axis];
        let want =
            usize::try_from(wanted).map_err(|_| OpError::input(format!("extent {wanted}")))?;
        if want <= have {
            let start = (have - want) / 2;
            value = cx.part(&value, axis, start, start + want)?;
        } else {
            before[axis] = (want - have) / 2;
            after[axis] = want - have - before[axis];
        }
    }
    Ok(vec![padded(cx, &value, 0, &before, &after, 0.0)?])
}
