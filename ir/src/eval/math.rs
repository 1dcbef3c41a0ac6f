//! Reductions, softmax, running sums and matrix products.

use super::values::{Values, around, broadcast, strides, walk};
use super::{Eval, text};
use crate::op::ReduceOp;
use llmc_tensor::Tensor;

pub(super) fn reduce(op: ReduceOp, x: &Tensor, axes: &[usize], shape: Vec<usize>) -> Eval<Tensor> {
    let own = strides(x.shape());
    let part = |keep: bool| {
        let of = |v: &[usize]| -> Vec<usize> {
            v.iter()
                .enumerate()
                .filter(|(i, _)| axes.contains(i) != keep)
                .map(|(_, d)| *d)
                .collect()
        };
        walk(&of(x.shape()), &of(&own))
    };
    let (bases, offsets) = (part(true), part(false));
    let values = match Values::of(x) {
        Values::F(v) => Values::F(
            bases
                .iter()
                .map(|b| reduce_float(op, offsets.iter().map(|o| v[b + o]), offsets.len()))
                .collect(),
        ),
        Values::I(v) => Values::I(
            bases
                .iter()
                .map(|b| reduce_int(op, offsets.iter().map(|o| v[b + o])))
                .collect(),
        ),
        Values::B(_) => return Err("needs numbers, found bool".into()),
    };
    values.into_tensor(x.dtype(), shape)
}

fn reduce_float(op: ReduceOp, values: impl Iterator<Item = f64>, count: usize) -> f64 {
    let nan_or = |pick: fn(f64, f64) -> f64| {
        move |a: f64, b: f64| {
            if a.is_nan() || b.is_nan() {
                f64::NAN
            } else {
                pick(a, b)
            }
        }
    };
    match op {
        ReduceOp::Sum => values.sum(),
        ReduceOp::Mean if count == 0 => 0.0,
        ReduceOp::Mean => values.sum::<f64>() / count as f64,
        ReduceOp::Max => values.fold(f64::NEG_INFINITY, nan_or(f64::max)),
        ReduceOp::Min => values.fold(f64::INFINITY, nan_or(f64::min)),
        ReduceOp::Prod => values.product(),
        ReduceOp::SumSquare => values.map(|v| v * v).sum(),
    }
}

fn reduce_int(op: ReduceOp, values: impl Iterator<Item = i64>) -> i64 {
    match op {
        ReduceOp::Sum | ReduceOp::Mean => values.fold(0, i64::wrapping_add), // no Mean of integers, by inference
        ReduceOp::Max => values.max().unwrap_or(i64::MIN),
        ReduceOp::Min => values.min().unwrap_or(i64::MAX),
        ReduceOp::Prod => values.fold(1, i64::wrapping_mul),
        ReduceOp::SumSquare => values.fold(0, |s, v| s.wrapping_add(v.wrapping_mul(v))),
    }
}

/// Flat indices of each line along an axis.
fn lines(shape: &[usize], axis: usize) -> impl Iterator<Item = Vec<usize>> {
    let (outer, dim, inner) = around(shape, axis);
    (0..outer).flat_map(move |o| {
        (0..inner).map(move |i| (0..dim).map(|d| (o * dim + d) * inner + i).collect())
    })
}

pub(super) fn softmax(x: &Tensor, axis: usize) -> Eval<Tensor> {
    let mut v = x.to_f64_vec();
    for line in lines(x.shape(), axis) {
        let max = line.iter().map(|i| v[*i]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = line.iter().map(|i| (v[*i] - max).exp()).sum();
        for i in line {
            v[i] = (v[i] - max).exp() / sum;
        }
    }
    Tensor::from_f64(x.dtype(), x.shape(), &v).map_err(text)
}

pub(super) fn cumsum(x: &Tensor, axis: usize, exclusive: bool, reverse: bool) -> Eval<Tensor> {
    fn run<T: Copy + Default>(v: &mut [T], line: &[usize], exclusive: bool, add: fn(T, T) -> T) {
        let mut sum = T::default();
        for i in line {
            let next = add(sum, v[*i]);
            v[*i] = if exclusive { sum } else { next };
            sum = next;
        }
    }
    let mut values = Values::of(x);
    for mut line in lines(x.shape(), axis) {
        if reverse {
            line.reverse();
        }
        match &mut values {
            Values::F(v) => run(v, &line, exclusive, |a, b| a + b),
            Values::I(v) => run(v, &line, exclusive, i64::wrapping_add),
            Values::B(_) => return Err("needs numbers, found bool".into()),
        }
    }
    values.into_tensor(x.dtype(), x.shape().to_vec())
}

pub(super) fn matmul(a: &Tensor, b: &Tensor, shape: Vec<usize>) -> Eval<Tensor> {
    // f32 times bf16 (f16) rounds the left operand first, as a bf16 matrix unit does
    let narrowed = if a.dtype() != b.dtype() {
        a.cast(b.dtype()).map_err(text)?
    } else {
        a.clone()
    };
    let (mut left, mut right) = (a.shape().to_vec(), b.shape().to_vec());
    if left.len() == 1 {
        left.insert(0, 1);
    }
    if right.len() == 1 {
        right.push(1);
    }
    let (batch_a, mk) = left.split_at(left.len() - 2);
    let (batch_b, kn) = right.split_at(right.len() - 2);
    let (m, k, n) = (mk[0], mk[1], kn[1]);
    let rank = batch_a.len().max(batch_b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    let dim = |i: usize| match (at(batch_a, i), at(batch_b, i)) {
        (1, d) => d,
        (d, _) => d,
    };
    let batch: Vec<usize> = (0..rank).map(dim).collect();
    let blocks = broadcast(batch_a, &batch)
        .into_iter()
        .zip(broadcast(batch_b, &batch));
    let values = match (Values::of(&narrowed), Values::of(b)) {
        (Values::F(x), Values::F(y)) => {
            Values::F(products(&x, &y, blocks, [m, k, n], |s, a, b| *s += a * b))
        }
        (Values::I(x), Values::I(y)) => {
            let add = |s: &mut i64, a: i64, b| *s = s.wrapping_add(a.wrapping_mul(b));
            Values::I(products(&x, &y, blocks, [m, k, n], add))
        }
        _ => return Err("needs numbers of one kind".into()),
    };
    values.into_tensor(a.dtype(), shape)
}

/// Matrix products [m, k] x [k, n] of pairs of blocks, one after the other; each sum runs over ascending k.
fn products<T: Copy + Default>(
    x: &[T],
    y: &[T],
    blocks: impl Iterator<Item = (usize, usize)>,
    [m, k, n]: [usize; 3],
    add: impl Fn(&mut T, T, T),
) -> Vec<T> {
    let mut out = Vec::new();
    for (i, j) in blocks {
        let (left, right) = (&x[i * m * k..][..m * k], &y[j * k * n..][..k * n]);
        let start = out.len();
        out.resize(start + m * n, T::default());
        if k == 0 || n == 0 {
            continue;
        }
        for (row, sums) in left.chunks_exact(k).zip(out[start..].chunks_exact_mut(n)) {
            for (a, line) in row.iter().zip(right.chunks_exact(n)) {
                for (s, b) in sums.iter_mut().zip(line) {
                    add(s, *a, *b);
                }
            }
        }
    }
    out
}
