//! What a value that depends only on shapes, positions and the attention mask stands for.
//!
//! Such a value is not read off its operators: it is computed on samples (a number of new tokens after a number of past
//! ones, batch 1) and compared with three families:
//!
//! | family | meaning |
//! |---|---|
//! | constant | the same on all samples |
//! | position rows | row `i` along one axis depends only on the absolute position `past + i` (RoPE tables, learned positions) |
//! | mask | `[.., seq, past + seq]` of two values: full, causal or causal with a window, as bool or additive float |
//!
//! A fit is made on a few samples and then checked on others, one of them as long as the longest context.

use std::collections::BTreeMap;

use llmc_tensor::{DType, Tensor};

use super::error::OpError;

/// Lengths that a value is computed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// New tokens.
    pub seq: usize,
    /// Tokens before them.
    pub past: usize,
}

impl Sample {
    /// `past + seq`.
    pub fn total(self) -> usize {
        self.past + self.seq
    }
}

/// Which lengths a model can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct SampleSpace {
    /// Set if the number of new tokens is a number in the file.
    pub fixed_seq: Option<usize>,
    /// Set if the number of past tokens is a number in the file (0 for a model without cache).
    pub fixed_past: Option<usize>,
    /// Longest context in tokens.
    pub max_positions: usize,
}

/// Samples that fits are made on. Sequence lengths are distinct, so that an axis shows itself; positions overlap.
const FIT: [(usize, usize); 4] = [(5, 0), (3, 4), (6, 2), (7, 11)];
/// Samples that fits are checked on.
const CHECK: [(usize, usize); 5] = [(1, 0), (1, 9), (2, 17), (4, 1), (6, 30)];
/// Samples of whole prompts and of single tokens, for files that take nothing else.
const WHOLE: [(usize, usize); 4] = [(4, 0), (7, 0), (1, 4), (1, 11)];

impl SampleSpace {
    fn all(&self, pairs: &[(usize, usize)]) -> Vec<Sample> {
        let mut samples: Vec<Sample> = Vec::new();
        for &(seq, past) in pairs {
            let sample = Sample {
                seq: self.fixed_seq.unwrap_or(seq),
                past: self.fixed_past.unwrap_or(past),
            };
            let fits = sample.total() <= self.max_positions
                || (self.fixed_seq.is_some() && self.fixed_past.is_some());
            if fits && sample.seq > 0 && !samples.contains(&sample) {
                samples.push(sample);
            }
        }
        samples
    }

    /// Samples that fits are made on.
    pub fn fit(&self) -> Vec<Sample> {
        self.all(&FIT)
    }

    /// Samples that fits are checked on, without the long one.
    pub fn check(&self) -> Vec<Sample> {
        self.all(&CHECK)
    }

    /// A sample of few new tokens in a context of `total`; `None` if the model has no such lengths.
    pub fn long(&self, total: usize) -> Option<Sample> {
        match (self.fixed_seq, self.fixed_past) {
            (Some(_), Some(_)) => None,
            (None, Some(past)) => total.checked_sub(past).map(|seq| Sample { seq, past }),
            (fixed, None) => {
                let seq = fixed.unwrap_or(2);
                total.checked_sub(seq).map(|past| Sample { seq, past })
            }
        }
        .filter(|s| s.seq > 0)
    }

    /// The sample of one new token that ends a context of `total`; `None` if the model has no such lengths.
    pub fn single(&self, total: usize) -> Option<Sample> {
        let past = total.checked_sub(1)?;
        let fits =
            self.fixed_seq.is_none_or(|s| s == 1) && self.fixed_past.is_none_or(|p| p == past);
        fits.then_some(Sample { seq: 1, past })
    }

    /// The sample whose new tokens are all positions `0..max_positions`.
    pub fn every_position(&self) -> Sample {
        Sample {
            seq: self.fixed_seq.unwrap_or(self.max_positions),
            past: self.fixed_past.unwrap_or(0),
        }
    }
}

/// What masks add to hide is below this, and biases are above.
const HIDDEN: f32 = -1.0e9;

/// The values that a mask takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaskValues {
    /// true = visible.
    Visible,
    /// true = hidden.
    Hidden,
    /// 0 = visible, this value = hidden.
    Additive(f32),
}

/// What a value stands for.
#[derive(Clone, Debug)]
pub enum Family {
    /// The same everywhere.
    Constant(Tensor),
    /// `axis` runs over the new tokens; `table` has the shape of the value with that axis moved to the front and
    /// `short + max_positions` long.
    Rows {
        /// The axis of the new tokens.
        axis: usize,
        /// Number of entries that serve contexts of at most so many tokens, before those for longer ones; 0 if all have the same.
        short: usize,
        /// One entry per position.
        table: Tensor,
    },
    /// A mask `[.., seq, past + seq]`.
    Mask {
        /// Extents before the last two axes; each holds the same again.
        outer: Vec<usize>,
        /// Row `i` sees no position after `past + i`.
        causal: bool,
        /// Row `i` sees only the last so many positions, its own included.
        window: Option<u32>,
        /// How visible and hidden are written.
        values: MaskValues,
    },
}

/// Computes a value for a sample; `Ok(None)` if the sample is too large to be computed.
pub type Evaluate<'a> = dyn FnMut(Sample) -> Result<Option<Tensor>, OpError> + 'a;

/// Finds the family of a value.
///
/// # Errors
/// If it fits none (the message shows sampled values), or if it cannot be computed.
pub fn recognise(space: &SampleSpace, evaluate: &mut Evaluate) -> Result<Family, OpError> {
    let mut fit = Vec::new();
    for sample in space.fit() {
        if let Some(value) = evaluate(sample)? {
            fit.push((sample, value));
        }
    }
    if fit.len() < space.fit().len() {
        for sample in space.all(&WHOLE) {
            if let Some(value) = evaluate(sample)? {
                fit.push((sample, value));
            }
        }
    }
    let Some((first_sample, first)) = fit.first().cloned() else {
        return Err(OpError::unsupported(
            "the context length is too short to sample this value",
            "raise the longest context",
        ));
    };
    if fit.iter().all(|(_, value)| *value == first) {
        for sample in space
            .check()
            .into_iter()
            .chain(space.long(space.max_positions))
        {
            if let Some(value) = evaluate(sample)?
                && value != first
            {
                return Err(no_family(&[(first_sample, first), (sample, value)]));
            }
        }
        return Ok(Family::Constant(first));
    }
    if let Some(axis) = row_axis(&fit) {
        return rows(space, axis, &fit, evaluate);
    }
    if let Some(values) = mask_values(&fit) {
        return mask(space, values, fit, evaluate);
    }
    Err(no_family(&fit))
}

/// True for `[.., heads, rows, past + seq]` where what is not hidden grows by the same step from each column to the next, by
/// another one in each head.
fn is_linear_bias(sample: Sample, value: &Tensor) -> bool {
    let [.., heads, rows, columns] = value.shape()[..] else {
        return false;
    };
    if !value.dtype().is_float() || columns != sample.total() || columns < 3 || rows == 0 {
        return false;
    }
    let values = value.to_f32_vec();
    let step_of = |row: &[f32]| {
        let shown: Vec<f32> = row.iter().copied().filter(|v| *v > HIDDEN).collect();
        let steps: Vec<f32> = shown.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let first = *steps.first()?;
        let even = |step: &f32| (step - first).abs() <= 1e-4 * first.abs().max(1e-6);
        (steps.len() > 1 && first != 0.0 && steps.iter().all(even)).then_some(first)
    };
    // The last row of each head sees the most.
    let last =
        |head: usize| values.get(((head + 1) * rows - 1) * columns..(head + 1) * rows * columns);
    (0..heads).all(|head| last(head).and_then(step_of).is_some())
}

fn no_family(samples: &[(Sample, Tensor)]) -> OpError {
    let longest = samples.iter().max_by_key(|(sample, _)| sample.total());
    if longest.is_some_and(|(sample, value)| is_linear_bias(*sample, value)) {
        return OpError::unsupported(
            "the scores get a bias that grows linearly with the position, by another slope in each head (ALiBi): attention has none yet",
            "use a model with rotary or learned positions",
        );
    }
    let mut reason = String::from(
        "this value depends on shapes, positions or the attention mask, but fits no known family (constant, one row per position, full, causal or windowed mask). Sampled:",
    );
    for (sample, value) in samples.iter().take(3) {
        let values = value.to_f64_vec();
        let shown: Vec<String> = values.iter().take(8).map(|v| format!("{v}")).collect();
        let more = if values.len() > 8 { ", .." } else { "" };
        let Sample { seq, past } = sample;
        reason.push_str(&format!(
            " seq={seq} past={past}: {}{:?} [{}{more}]",
            value.dtype(),
            value.shape(),
            shown.join(", ")
        ));
    }
    OpError::unsupported(
        reason,
        "export the model without custom masks or position schemes",
    )
}

/// The axis that is `seq` long in all samples while all others stay the same.
fn row_axis(fit: &[(Sample, Tensor)]) -> Option<usize> {
    let (_, first) = fit.first()?;
    (0..first.rank()).find(|&axis| {
        fit.iter().all(|(sample, value)| {
            value.rank() == first.rank()
                && value.dtype().bytes().is_some()
                && value
                    .shape()
                    .iter()
                    .zip(first.shape())
                    .enumerate()
                    .all(|(a, (&n, &m))| if a == axis { n == sample.seq } else { n == m })
        })
    })
}

/// The values along one axis as rows of bytes, the axis moved to the front.
fn axis_rows(value: &Tensor, axis: usize) -> Vec<Vec<u8>> {
    let width = value.dtype().bytes().unwrap_or(1);
    let (outer, n): (usize, usize) = (value.shape()[..axis].iter().product(), value.shape()[axis]);
    let inner = value.shape()[axis + 1..].iter().product::<usize>() * width;
    let bytes = value.bytes();
    (0..n)
        .map(|row| {
            let part = |o: usize| bytes[(o * n + row) * inner..][..inner].iter().copied();
            (0..outer).flat_map(part).collect()
        })
        .collect()
}

fn rows(
    space: &SampleSpace,
    axis: usize,
    fit: &[(Sample, Tensor)],
    evaluate: &mut Evaluate,
) -> Result<Family, OpError> {
    let mut known: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    for (sample, value) in fit {
        for (i, row) in axis_rows(value, axis).into_iter().enumerate() {
            if *known.entry(sample.past + i).or_insert_with(|| row.clone()) != row {
                return Err(no_family(fit));
            }
        }
    }
    let every = space.every_position();
    let Some(full) = evaluate(every)? else {
        return Err(OpError::unsupported(
            format!(
                "the table of all {} positions is too large",
                space.max_positions
            ),
            "compile for a shorter context",
        ));
    };
    if row_axis(&[(every, full.clone())]) != Some(axis)
        && full.shape().get(axis) != Some(&every.seq)
    {
        return Err(no_family(&[(every, full)]));
    }
    let long = axis_rows(&full, axis);
    let of = |sample: Sample| sample.past - every.past..sample.total() - every.past;
    let is_long = |sample: Sample, value: &Tensor| {
        long.get(of(sample)) == Some(axis_rows(value, axis).as_slice())
    };
    let mut checked = [space.fit(), space.check()].concat();
    checked.extend(space.long(space.max_positions));
    let mut table = Vec::new();
    if every.past == 0 && space.fixed_seq.is_none() && !fit.iter().all(|(s, v)| is_long(*s, v)) {
        // Contexts up to a number of tokens have a table of their own: which number?
        let mut shorter = fit.iter().map(|(s, _)| s.total()).min().unwrap_or(1);
        let mut longer = space.max_positions;
        while longer - shorter > 1 {
            let middle = shorter + (longer - shorter) / 2;
            let Some(sample) = space.single(middle) else {
                break;
            };
            match evaluate(sample)? {
                Some(value) if is_long(sample, &value) => longer = middle,
                _ => shorter = middle,
            }
        }
        let all = Sample {
            seq: shorter,
            past: 0,
        };
        if let Some(value) = evaluate(all)? {
            table = axis_rows(&value, axis);
        }
        checked.extend([
            all,
            Sample {
                seq: 1,
                past: shorter,
            },
        ]);
    }
    let short = table.len();
    for sample in checked {
        let Some(value) = evaluate(sample)? else {
            continue;
        };
        let wanted = match sample.total() <= short {
            true => table.get(of(sample)),
            false => long.get(of(sample)),
        };
        let same_rank = value.rank() == full.rank() && value.shape()[axis] == sample.seq;
        if !same_rank || wanted != Some(axis_rows(&value, axis).as_slice()) {
            return Err(no_family(&[(sample, value)]));
        }
    }
    table.extend(long);
    let mut shape = full.shape().to_vec();
    shape.remove(axis);
    shape.insert(0, table.len());
    let table = Tensor::new(full.dtype(), shape, table.concat())
        .map_err(|e| OpError::bug(e.to_string()))?;
    Ok(Family::Rows { axis, short, table })
}

/// True if the value is `[.., seq or 1, past + seq]`, the same throughout the axes before.
fn is_mask_shape(sample: Sample, value: &Tensor) -> bool {
    match value.shape() {
        [outer @ .., rows, columns] => {
            let copies: usize = outer.iter().product();
            let one = value.bytes().len() / copies.max(1);
            let mut each = value.bytes().chunks_exact(one.max(1));
            let first = each.next();
            copies > 0
                && each.all(|copy| Some(copy) == first)
                && (*rows == sample.seq || *rows == 1)
                && *columns == sample.total()
        }
        _ => false,
    }
}

/// How a mask writes visible and hidden. Every row of a language model's mask sees its own position, which tells the two
/// bool conventions apart.
fn mask_values(fit: &[(Sample, Tensor)]) -> Option<MaskValues> {
    if !fit
        .iter()
        .all(|(sample, value)| is_mask_shape(*sample, value))
    {
        return None;
    }
    let (sample, first) = fit.first()?;
    match first.dtype() {
        DType::Bool => {
            let own = *first.to_bool_vec().get(sample.past)?;
            Some(if own {
                MaskValues::Visible
            } else {
                MaskValues::Hidden
            })
        }
        d if d.is_float() => {
            let hidden = fit
                .iter()
                .flat_map(|(_, v)| v.to_f32_vec())
                .fold(0.0, f32::min);
            Some(MaskValues::Additive(hidden))
        }
        _ => None,
    }
}

/// Which positions a mask shows, row major; `None` if it holds a third value.
fn visible(value: &Tensor, values: MaskValues) -> Option<Vec<bool>> {
    let cells: usize = value.shape().iter().rev().take(2).product();
    let mut shown: Vec<bool> = match values {
        MaskValues::Visible => value.to_bool_vec(),
        MaskValues::Hidden => value
            .to_bool_vec()
            .into_iter()
            .map(|hidden| !hidden)
            .collect(),
        MaskValues::Additive(hidden) => value
            .to_f32_vec()
            .into_iter()
            .map(|v| match v {
                0.0 => Some(true),
                v if v == hidden => Some(false),
                _ => None,
            })
            .collect::<Option<Vec<bool>>>()?,
    };
    shown.truncate(cells);
    Some(shown)
}

fn mask(
    space: &SampleSpace,
    values: MaskValues,
    fit: Vec<(Sample, Tensor)>,
    evaluate: &mut Evaluate,
) -> Result<Family, OpError> {
    let mut samples = fit;
    let outer_of = |value: &Tensor| value.shape()[..value.rank().saturating_sub(2)].to_vec();
    let outer = samples
        .first()
        .map_or(Vec::new(), |(_, value)| outer_of(value));
    // The long sample comes first: a window longer than the short samples shows only there.
    let long = [
        space.max_positions,
        space.max_positions.min(8192),
        space.max_positions.min(1024),
    ];
    'long: for total in long {
        for sample in [space.long(total), space.single(total)]
            .into_iter()
            .flatten()
        {
            if let Some(value) = evaluate(sample)? {
                samples.push((sample, value));
                break 'long;
            }
        }
    }
    for sample in space.check() {
        if let Some(value) = evaluate(sample)? {
            samples.push((sample, value));
        }
    }
    let (mut causal, mut window) = (false, None::<usize>);
    let mut grids = Vec::new();
    for (sample, value) in &samples {
        let grid = visible(value, values)
            .filter(|_| is_mask_shape(*sample, value) && outer_of(value) == outer);
        let grid = grid.ok_or_else(|| no_family(&[(*sample, value.clone())]))?;
        for (i, row) in grid.chunks(sample.total()).enumerate() {
            let own = sample.past + i;
            let Some(first) = row.iter().position(|&v| v) else {
                return Err(no_family(&[(*sample, value.clone())]));
            };
            causal |= row.iter().skip(own + 1).any(|&v| !v);
            if first > 0 {
                let width = (own + 1).saturating_sub(first);
                window = Some(window.map_or(width, |w| w.min(width)));
            }
        }
        grids.push((*sample, grid));
    }
    for ((sample, grid), (_, value)) in grids.iter().zip(&samples) {
        let one_row = grid.len() == sample.total() && sample.seq > 1;
        if one_row && (causal || window.is_some()) {
            return Err(no_family(&[(*sample, value.clone())]));
        }
        for (i, row) in grid.chunks(sample.total()).enumerate() {
            let own = sample.past + i;
            let shown = |j: usize| (!causal || j <= own) && window.is_none_or(|w| j + w > own);
            if row.iter().enumerate().any(|(j, &v)| v != shown(j)) {
                return Err(no_family(&[(*sample, value.clone())]));
            }
        }
    }
    let window = window
        .map(|w| u32::try_from(w).map_err(|_| OpError::bug("window over 2^32")))
        .transpose()?;
    Ok(Family::Mask {
        outer,
        causal,
        window,
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(max_positions: usize) -> SampleSpace {
        SampleSpace {
            fixed_seq: None,
            fixed_past: None,
            max_positions,
        }
    }

    fn mask_of(
        show: impl Fn(usize, usize) -> bool + Copy,
        hidden: f32,
    ) -> impl FnMut(Sample) -> Result<Option<Tensor>, OpError> {
        move |s: Sample| {
            let cells = (0..s.seq).flat_map(|i| (0..s.total()).map(move |j| (s.past + i, j)));
            let values: Vec<f32> = cells
                .map(|(p, j)| if show(p, j) { 0.0 } else { hidden })
                .collect();
            Ok(Tensor::from_vec([1, 1, s.seq, s.total()], values).ok())
        }
    }

    fn fitted(
        max: usize,
        show: impl Fn(usize, usize) -> bool + Copy,
    ) -> Option<(bool, Option<u32>)> {
        match recognise(&space(max), &mut mask_of(show, f32::NEG_INFINITY)) {
            Ok(Family::Mask {
                causal,
                window,
                values: MaskValues::Additive(f32::NEG_INFINITY),
                outer,
            }) if outer == [1, 1] => Some((causal, window)),
            _ => None,
        }
    }

    #[test]
    fn mask_families() {
        assert_eq!(fitted(512, |p, j| j <= p), Some((true, None)));
        assert_eq!(
            fitted(512, |p, j| j <= p && j + 4 > p),
            Some((true, Some(4)))
        );
        // Longer than all short samples.
        assert_eq!(
            fitted(512, |p, j| j <= p && j + 300 > p),
            Some((true, Some(300)))
        );
        // A hole in the window, a prefix that all rows see: no family.
        assert_eq!(fitted(512, |p, j| j <= p && (j + 4 > p || j == 0)), None);
        assert_eq!(fitted(512, |p, j| j <= p && j + 2 != p), None);
    }

    #[test]
    fn a_mask_may_be_repeated_for_each_head() {
        let of_heads = |differ: bool| {
            move |s: Sample| {
                let cells = (0..2 * s.seq).flat_map(|r| (0..s.total()).map(move |j| (r, j)));
                let seen = |(r, j): (usize, usize)| {
                    let bound = s.past + r % s.seq + usize::from(differ && r >= s.seq);
                    i64::from(j <= bound)
                };
                let values: Vec<i64> = cells.map(seen).collect();
                Ok(Tensor::from_i64(DType::Bool, [1, 2, s.seq, s.total()], &values).ok())
            }
        };
        match recognise(&space(64), &mut of_heads(false)) {
            Ok(Family::Mask {
                outer,
                causal: true,
                window: None,
                values: MaskValues::Visible,
            }) => assert_eq!(outer, [1, 2]),
            other => panic!("{other:?}"),
        }
        assert!(recognise(&space(64), &mut of_heads(true)).is_err());
    }

    #[test]
    fn rows_are_checked_against_other_pasts() {
        let by_position = |s: Sample| {
            let values: Vec<f32> = (s.past..s.total())
                .flat_map(|p| [p as f32, 2.0 * p as f32])
                .collect();
            Ok(Tensor::from_vec([1, s.seq, 2], values).ok())
        };
        match recognise(&space(40), &mut { by_position }) {
            Ok(Family::Rows {
                axis: 1,
                short: 0,
                table,
            }) => {
                assert_eq!(table.shape(), [40, 1, 2]);
                assert_eq!(table.to_f32_vec()[78..], [39.0, 78.0]);
            }
            other => panic!("{other:?}"),
        }
        // Another table for contexts of more than 23 tokens.
        let by_length = |s: Sample| {
            let factor = if s.total() > 23 { 3.0 } else { 1.0 };
            let values: Vec<f32> = (s.past..s.total())
                .map(|p| factor * (p + 1) as f32)
                .collect();
            Ok(Tensor::from_vec([s.seq, 1], values).ok())
        };
        match recognise(&space(40), &mut { by_length }) {
            Ok(Family::Rows {
                axis: 0,
                short: 23,
                table,
            }) => {
                assert_eq!(table.shape(), [63, 1]);
                assert_eq!(table.to_f32_vec()[21..25], [22.0, 23.0, 3.0, 6.0]);
            }
            other => panic!("{other:?}"),
        }
        // Depends on the index within the call, not on the position.
        let by_index =
            |s: Sample| Ok(Tensor::from_vec([s.seq], (0..s.seq).map(|i| i as f32).collect()).ok());
        let error = recognise(&space(40), &mut { by_index }).unwrap_err();
        assert!(
            error.reason.contains("fits no known family"),
            "{}",
            error.reason
        );
        assert!(
            error
                .reason
                .contains("seq=5 past=0: f32[5] [0, 1, 2, 3, 4]"),
            "{}",
            error.reason
        );
    }

    #[test]
    fn linear_biases_are_named() {
        let biased = |masked: bool| {
            move |s: Sample| {
                let cells = (0..2).flat_map(|head| {
                    let columns = move |i| (0..s.total()).map(move |j| (head, s.past + i, j));
                    (0..s.seq).flat_map(columns)
                });
                let values: Vec<f32> = cells
                    .map(|(head, p, j)| match masked && j > p {
                        true => f32::MIN,
                        false => [0.25, 0.0625][head] * j as f32,
                    })
                    .collect();
                Ok(Tensor::from_vec([1, 2, s.seq, s.total()], values).ok())
            }
        };
        for masked in [false, true] {
            let error = recognise(&space(40), &mut biased(masked)).unwrap_err();
            assert!(error.reason.contains("(ALiBi)"), "{}", error.reason);
        }
        // A hole in a causal mask is no bias.
        let error = recognise(
            &space(40),
            &mut mask_of(|p, j| j <= p && j + 2 != p, f32::NEG_INFINITY),
        )
        .unwrap_err();
        assert!(!error.reason.contains("(ALiBi)"), "{}", error.reason);
    }

    #[test]
    fn constants_and_what_is_none() {
        let constant = |_: Sample| Ok(Some(Tensor::scalar(3.0f32)));
        assert!(matches!(
            recognise(&space(40), &mut { constant }),
            Ok(Family::Constant(_))
        ));
        let length = |s: Sample| Ok(Some(Tensor::scalar(s.seq as i64)));
        assert!(recognise(&space(40), &mut { length }).is_err());
    }
}
