//! Ops that move elements and do not compute: they work on bytes, for every dtype of whole bytes.

use super::values::{around, broadcast, strides, walk};
use super::{Eval, text};
use llmc_tensor::{DType, Tensor};

/// A tensor of elements picked from other tensors of the same dtype.
pub(super) fn take<'a>(
    dtype: DType,
    shape: Vec<usize>,
    picks: impl Iterator<Item = (&'a Tensor, usize)>,
) -> Eval<Tensor> {
    let size = dtype
        .bytes()
        .ok_or_else(|| format!("elements of {dtype} are packed"))?;
    let mut out = Vec::with_capacity(shape.iter().product::<usize>().saturating_mul(size));
    for (t, i) in picks {
        out.extend_from_slice(&t.bytes()[i * size..(i + 1) * size]);
    }
    Tensor::new(dtype, shape, out).map_err(text)
}

/// A tensor of the elements of `x` at flat indices.
fn pick(x: &Tensor, shape: Vec<usize>, indices: impl IntoIterator<Item = usize>) -> Eval<Tensor> {
    take(x.dtype(), shape, indices.into_iter().map(|i| (x, i)))
}

pub(super) fn transpose(x: &Tensor, perm: &[usize], shape: Vec<usize>) -> Eval<Tensor> {
    if let ([1, 0], &[rows, cols], Some(size)) = (perm, x.shape(), x.dtype().bytes()) {
        let bytes = transpose_matrix(x.bytes(), rows, cols, size);
        return Tensor::new(x.dtype(), shape, bytes).map_err(|e| e.to_string());
    }
    let own = strides(x.shape());
    let permuted: Vec<usize> = perm.iter().map(|p| own[*p]).collect();
    let indices = walk(&shape, &permuted);
    pick(x, shape, indices)
}

/// In blocks that fit the cache of the host: weights of hundreds of megabytes come through here.
fn transpose_matrix(from: &[u8], rows: usize, cols: usize, size: usize) -> Vec<u8> {
    const BLOCK: usize = 32;
    let mut to = vec![0; from.len()];
    for row in (0..rows).step_by(BLOCK) {
        for col in (0..cols).step_by(BLOCK) {
            for r in row..(row + BLOCK).min(rows) {
                for c in col..(col + BLOCK).min(cols) {
                    let (a, b) = ((r * cols + c) * size, (c * rows + r) * size);
                    to[b..b + size].copy_from_slice(&from[a..a + size]);
                }
            }
        }
    }
    to
}

pub(super) fn expand(x: &Tensor, shape: Vec<usize>) -> Eval<Tensor> {
    let indices = broadcast(x.shape(), &shape);
    pick(x, shape, indices)
}

pub(super) fn concat(parts: &[&Tensor], axis: usize, shape: Vec<usize>) -> Eval<Tensor> {
    let (outer, _, _) = around(&shape, axis);
    let dtype = parts.first().map_or(DType::F32, |p| p.dtype());
    let picks = (0..outer).flat_map(|o| {
        parts.iter().flat_map(move |p| {
            let (_, dim, inner) = around(p.shape(), axis);
            (o * dim * inner..(o + 1) * dim * inner).map(move |i| (*p, i))
        })
    });
    take(dtype, shape, picks)
}

pub(super) fn slice(
    x: &Tensor,
    axis: usize,
    start: i64,
    step: i64,
    shape: Vec<usize>,
) -> Eval<Tensor> {
    let (outer, dim, inner) = around(x.shape(), axis);
    let rows: Vec<usize> = (0..shape[axis] as i64)
        .map(|i| {
            let row = i.checked_mul(step).and_then(|d| start.checked_add(d));
            let row = row
                .and_then(|r| usize::try_from(r).ok())
                .filter(|r| *r < dim);
            row.ok_or_else(|| format!("element {i} of the slice is outside of the dim {dim}"))
        })
        .collect::<Eval<_>>()?;
    let indices = (0..outer).flat_map(|o| {
        rows.iter()
            .flat_map(move |r| (0..inner).map(move |i| (o * dim + r) * inner + i))
    });
    pick(x, shape, indices)
}

/// An index that may count from the end.
fn wrap(index: i64, dim: usize) -> Eval<usize> {
    let from_start = if index < 0 {
        index.saturating_add(dim as i64)
    } else {
        index
    };
    let found = usize::try_from(from_start).ok().filter(|i| *i < dim);
    found.ok_or_else(|| format!("index {index} is outside of the dim {dim}"))
}

pub(super) fn gather(
    data: &Tensor,
    indices: &Tensor,
    axis: usize,
    shape: Vec<usize>,
) -> Eval<Tensor> {
    let (outer, dim, inner) = around(data.shape(), axis);
    let rows = indices.to_i64_vec().map_err(text)?;
    let rows: Vec<usize> = rows
        .into_iter()
        .map(|i| wrap(i, dim))
        .collect::<Eval<_>>()?;
    let flat = (0..outer).flat_map(|o| {
        rows.iter()
            .flat_map(move |r| (0..inner).map(move |i| (o * dim + r) * inner + i))
    });
    pick(data, shape, flat)
}

/// For each index tuple the flat index of the first element of its slice, and the length of the slices.
pub(super) fn flat_tuples(
    data: &Tensor,
    indices: &Tensor,
    batch_dims: usize,
) -> Eval<(Vec<usize>, usize)> {
    let tuple = indices.shape().last().copied().unwrap_or(0);
    let (index_dims, strides) = (
        &data.shape()[batch_dims..batch_dims + tuple],
        strides(data.shape()),
    );
    let product = |s: &[usize]| s.iter().product::<usize>();
    let slice_len = product(&data.shape()[batch_dims + tuple..]);
    let batch_len = product(&data.shape()[batch_dims..]);
    let lead = &indices.shape()[..indices.rank() - 1];
    let per_batch = product(&lead[batch_dims..]).max(1);
    let values = indices.to_i64_vec().map_err(text)?;
    let mut starts = Vec::with_capacity(product(lead));
    for row in 0..product(lead) {
        let mut at = row / per_batch * batch_len;
        for (i, dim) in index_dims.iter().enumerate() {
            at += wrap(values[row * tuple + i], *dim)? * strides[batch_dims + i];
        }
        starts.push(at);
    }
    Ok((starts, slice_len))
}

pub(super) fn gather_nd(
    data: &Tensor,
    indices: &Tensor,
    batch_dims: usize,
    shape: Vec<usize>,
) -> Eval<Tensor> {
    let (starts, len) = flat_tuples(data, indices, batch_dims)?;
    pick(data, shape, starts.into_iter().flat_map(|at| at..at + len))
}

pub(super) fn trilu(x: &Tensor, upper: bool, k: i64) -> Eval<Tensor> {
    let shape = x.shape().to_vec();
    let (rows, columns) = (shape[shape.len() - 2].max(1), shape[shape.len() - 1].max(1));
    let zero = Tensor::zeros(x.dtype(), [1]).map_err(text)?;
    let picks = (0..x.elements()).map(|i| {
        let diagonal = (i % columns) as i64 - (i / columns % rows) as i64;
        let keep = if upper { diagonal >= k } else { diagonal <= k };
        if keep { (x, i) } else { (&zero, 0) }
    });
    take(x.dtype(), shape, picks)
}
