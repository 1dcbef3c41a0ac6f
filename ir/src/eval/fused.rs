//! Ops of language models: masks, norms, rotary embedding, attention.

use super::{Eval, text};
use crate::op::{Codes, MaskForm, MaskKind};
use llmc_tensor::Tensor;

pub(super) fn mask(kind: MaskKind, form: MaskForm, shape: Vec<usize>) -> Eval<Tensor> {
    let (rows, cols) = (shape[2] as i64, shape[3] as i64);
    let sees = (0..rows).flat_map(|i| (0..cols).map(move |j| kind.sees(cols - rows + i, j)));
    match form {
        MaskForm::Bool => Tensor::from_vec(shape, sees.collect()),
        MaskForm::Additive(hidden) => Tensor::from_vec(
            shape,
            sees.map(|s| if s { 0.0 } else { hidden.get() }).collect(),
        ),
    }
    .map_err(text)
}

pub(super) fn rms_norm(x: &Tensor, w: &Tensor, eps: f32) -> Eval<Tensor> {
    let (mut v, weights) = (x.to_f64_vec(), w.to_f64_vec());
    for row in v.chunks_exact_mut(weights.len().max(1)) {
        let mean_square = row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
        let factor = 1.0 / (mean_square + f64::from(eps)).sqrt();
        row.iter_mut()
            .zip(&weights)
            .for_each(|(v, w)| *v *= factor * w);
    }
    Tensor::from_f64(x.dtype(), x.shape(), &v).map_err(text)
}

pub(super) fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f32) -> Eval<Tensor> {
    let (mut v, weights, bias) = (x.to_f64_vec(), w.to_f64_vec(), b.to_f64_vec());
    for row in v.chunks_exact_mut(weights.len().max(1)) {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / row.len() as f64;
        let factor = 1.0 / (variance + f64::from(eps)).sqrt();
        for ((v, w), b) in row.iter_mut().zip(&weights).zip(&bias) {
            *v = (*v - mean) * factor * w + b;
        }
    }
    Tensor::from_f64(x.dtype(), x.shape(), &v).map_err(text)
}

pub(super) fn rope(
    [heads, head_dim, rotary_dim]: [usize; 3],
    interleaved: bool,
    [x, cos, sin]: [&Tensor; 3],
) -> Eval<Tensor> {
    let (v, cos_v, sin_v) = (x.to_f64_vec(), cos.to_f64_vec(), sin.to_f64_vec());
    let (seq, columns) = (x.shape()[1], cos.shape()[1]);
    let half = rotary_dim / 2;
    let mut out = v.clone();
    for row in 0..x.shape()[0] * seq {
        let table = row % seq * columns;
        for head in 0..heads {
            let base = (row * heads + head) * head_dim;
            for pair in 0..half {
                let (i, j) = if interleaved {
                    (2 * pair, 2 * pair + 1)
                } else {
                    (pair, pair + half)
                };
                // a table of half the columns has one for the pair, a full one has one for each element
                let (ci, cj) = if columns == half {
                    (pair, pair)
                } else {
                    (i, j)
                };
                let (a, b) = (v[base + i], v[base + j]);
                out[base + i] = a * cos_v[table + ci] - b * sin_v[table + ci];
                out[base + j] = b * cos_v[table + cj] + a * sin_v[table + cj];
            }
        }
    }
    Tensor::from_f64(x.dtype(), x.shape(), &out).map_err(text)
}

/// A number rounded to codes and back, if there are any.
fn rounded(codes: Option<Codes>, x: f64) -> f64 {
    codes.map_or(x, |codes| codes.round_trip(x as f32).into())
}

/// The attributes of attention, in f64.
pub(super) struct Attention {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) scale: f64,
    pub(super) mask: MaskKind,
    pub(super) softcap: Option<f64>,
    pub(super) scores: Option<Codes>,
    pub(super) weights: Option<Codes>,
}

impl Attention {
    pub(super) fn eval(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        sinks: Option<&Tensor>,
    ) -> Eval<Tensor> {
        let (batch, seq, total) = (q.shape()[0], q.shape()[1], k.shape()[2]);
        let (qv, kv, vv) = (q.to_f64_vec(), k.to_f64_vec(), v.to_f64_vec());
        let (d, width) = (self.head_dim, self.heads * self.head_dim);
        let sinks = sinks.map(|s| s.to_f64_vec());
        let mut out = vec![0.0; batch * seq * width];
        for b in 0..batch {
            for row in 0..seq {
                let position = total as i64 - seq as i64 + row as i64;
                for head in 0..self.heads {
                    let at = (b * seq + row) * width + head * d;
                    let block = (b * self.kv_heads + head * self.kv_heads / self.heads) * total * d;
                    let (keys, values) = (&kv[block..][..total * d], &vv[block..][..total * d]);
                    self.row(
                        &qv[at..at + d],
                        keys,
                        values,
                        position,
                        sinks.as_ref().map(|s| s[head]),
                        &mut out[at..at + d],
                    );
                }
            }
        }
        Tensor::from_f64(q.dtype(), q.shape(), &out).map_err(text)
    }

    /// One query row of one head against all keys and values, and a sink.
    fn row(
        &self,
        query: &[f64],
        keys: &[f64],
        values: &[f64],
        position: i64,
        sink: Option<f64>,
        out: &mut [f64],
    ) {
        let d = self.head_dim.max(1);
        let seen = keys
            .chunks_exact(d)
            .enumerate()
            .filter(|(j, _)| self.mask.sees(position, *j as i64));
        let scores: Vec<(usize, f64)> = seen
            .map(|(j, key)| {
                let score = self.scale * query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
                let score = self.softcap.map_or(score, |c| c * (score / c).tanh());
                (j, rounded(self.scores, score))
            })
            .collect();
        let max = scores
            .iter()
            .map(|(_, s)| *s)
            .chain(sink)
            .fold(f64::NEG_INFINITY, f64::max);
        let all = scores.iter().map(|(_, s)| *s).chain(sink);
        let sum: f64 = all.map(|s| (s - max).exp()).sum();
        for (j, score) in scores {
            let p = rounded(self.weights, (score - max).exp() / sum);
            out.iter_mut()
                .zip(&values[j * d..])
                .for_each(|(o, v)| *o += p * v);
        }
    }
}
