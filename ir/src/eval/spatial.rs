//! Padding, sliding windows, selection of the largest, scattering.

use super::movement::{flat_tuples, take};
use super::values::{Values, around, strides as strides_of, walk};
use super::{Eval, text};
use crate::op::ScatterOp;
use llmc_tensor::Tensor;
use std::cmp::Ordering;

pub(super) fn pad(x: &Tensor, value: &Tensor, before: &[usize], shape: Vec<usize>) -> Eval<Tensor> {
    let own = strides_of(x.shape());
    let mut flat: Vec<Option<usize>> = vec![Some(0)];
    for (axis, extent) in shape.iter().enumerate() {
        let inside = |i: usize| i.checked_sub(before[axis]).filter(|i| *i < x.shape()[axis]);
        flat = flat
            .iter()
            .flat_map(|base| (0..*extent).map(move |i| (base, inside(i))))
            .map(|(base, i)| Some((*base)? + i? * own[axis]))
            .collect();
    }
    let picks = flat.into_iter().map(|i| i.map_or((value, 0), |i| (x, i)));
    take(x.dtype(), shape, picks)
}

pub(super) fn windows(
    x: &Tensor,
    strides: &[usize],
    dilations: &[usize],
    shape: Vec<usize>,
) -> Eval<Tensor> {
    let own = strides_of(x.shape());
    let lead = x.rank() - strides.len();
    let scaled =
        |by: &[usize]| -> Vec<usize> { own[lead..].iter().zip(by).map(|(s, b)| s * b).collect() };
    let all = [own[..lead].to_vec(), scaled(strides), scaled(dilations)].concat();
    let flat = walk(&shape, &all);
    take(x.dtype(), shape, flat.into_iter().map(|i| (x, i)))
}

/// Order of numbers with NaN above everything and zeros equal.
fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

pub(super) fn top_k(x: &Tensor, axis: usize, k: usize, largest: bool) -> Eval<Tensor> {
    let (outer, dim, inner) = around(x.shape(), axis);
    if k > dim {
        return Err(format!("{k} of {dim} elements cannot be selected"));
    }
    let values = Values::of(x);
    let compare = |i: usize, j: usize| match &values {
        Values::F(v) => order(v[i], v[j]),
        Values::I(v) => v[i].cmp(&v[j]),
        Values::B(v) => v[i].cmp(&v[j]),
    };
    let mut out = vec![0i64; outer * k * inner];
    for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
        let at = |d: usize| (o * dim + d) * inner + i;
        let mut line: Vec<usize> = (0..dim).collect();
        // sorting is stable: of equals the smaller index stays first
        line.sort_by(|a, b| match largest {
            true => compare(at(*b), at(*a)),
            false => compare(at(*a), at(*b)),
        });
        for (r, d) in line.into_iter().take(k).enumerate() {
            out[(o * k + r) * inner + i] = d as i64;
        }
    }
    let mut shape = x.shape().to_vec();
    shape[axis] = k;
    Tensor::from_vec(shape, out).map_err(text)
}

pub(super) fn scatter_nd(op: ScatterOp, batch_dims: usize, operands: [&Tensor; 3]) -> Eval<Tensor> {
    let [data, indices, updates] = operands;
    let (starts, len) = flat_tuples(data, indices, batch_dims)?;
    let places = starts.into_iter().flat_map(|at| at..at + len).enumerate();
    if op == ScatterOp::Assign {
        let mut source: Vec<Option<usize>> = vec![None; data.elements()];
        places.for_each(|(update, at)| source[at] = Some(update));
        let picks = source
            .into_iter()
            .enumerate()
            .map(|(i, update)| update.map_or((data, i), |u| (updates, u)));
        return take(data.dtype(), data.shape().to_vec(), picks);
    }
    let values = match (Values::of(data), Values::of(updates)) {
        (Values::F(mut d), Values::F(u)) => {
            places.for_each(|(i, at)| d[at] = combine_float(op, d[at], u[i]));
            Values::F(d)
        }
        (Values::I(mut d), Values::I(u)) => {
            places.for_each(|(i, at)| d[at] = combine_int(op, d[at], u[i]));
            Values::I(d)
        }
        _ => return Err("bools can only be assigned".into()),
    };
    values.into_tensor(data.dtype(), data.shape().to_vec())
}

fn combine_float(op: ScatterOp, a: f64, b: f64) -> f64 {
    match op {
        ScatterOp::Assign => b,
        ScatterOp::Add => a + b,
        ScatterOp::Mul => a * b,
        ScatterOp::Max | ScatterOp::Min if a.is_nan() || b.is_nan() => f64::NAN,
        ScatterOp::Max => a.max(b),
        ScatterOp::Min => a.min(b),
    }
}

fn combine_int(op: ScatterOp, a: i64, b: i64) -> i64 {
    match op {
        ScatterOp::Assign => b,
        ScatterOp::Add => a.wrapping_add(b),
        ScatterOp::Mul => a.wrapping_mul(b),
        ScatterOp::Max => a.max(b),
        ScatterOp::Min => a.min(b),
    }
}
