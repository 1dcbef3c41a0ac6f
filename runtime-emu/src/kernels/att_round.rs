//! `att.round`: one block of keys and values of attention that rounds its scores and weights to codes and back.

use super::att::{Visible, score};
use llmc_isa::numerics;

/// Operands of one block, all shapes in elements.
pub struct AttRound<'a> {
    /// `[rows][heads][d]` queries, dense.
    pub q: &'a [f32],
    /// `[kv][d]` keys, dense.
    pub k: &'a [f32],
    /// `[kv][d]` values, dense, to be weighed; `None` while maxima and sums are found.
    pub v: Option<&'a [f32]>,
    /// `[rows][heads][2 + d]`: maximum, sum, accumulators; read and written.
    pub state: &'a mut [f32],
    /// Query heads that share these keys and values.
    pub heads: usize,
    /// Head size, not 0.
    pub d: usize,
    /// Which block rows a query row sees.
    pub visible: Visible,
    /// `[scale, softcap, codes of scores[4], codes of weights[4]]`, codes as in [`round`].
    pub by: &'a [f32],
}

/// Through codes `[step, zero, low, high]` and back; a step of 0 leaves numbers as they are.
fn round(x: f32, codes: [f32; 4]) -> f32 {
    let [step, zero, low, high] = codes;
    if step == 0.0 {
        return x;
    }
    let code = (x / step).round_ties_even() + zero;
    (numerics::min(numerics::max(code, low), high) - zero) * step
}

impl AttRound<'_> {
    /// Works on all rows and heads.
    pub fn run(&mut self) {
        let &[scale, softcap, s0, s1, s2, s3, w0, w1, w2, w3] = self.by else {
            return;
        };
        let (of_scores, of_weights) = ([s0, s1, s2, s3], [w0, w1, w2, w3]);
        let (d, kv) = (self.d, self.k.len() / self.d);
        let queries = self.q.chunks_exact(d);
        let states = self.state.chunks_exact_mut(d + 2);
        for (i, (q, state)) in queries.zip(states).enumerate() {
            let (first, end) = self.visible.range(i / self.heads, kv);
            let keys = self.k.chunks_exact(d).take(end).skip(first);
            let scores =
                keys.map(|k| round(score(numerics::dot8(q, k), scale, softcap), of_scores));
            let [m, l, acc @ ..] = state else { continue };
            match self.v {
                None => {
                    let scores: Vec<f32> = scores.collect();
                    if scores.is_empty() {
                        continue;
                    }
                    let most = scores.iter().fold(*m, |m, s| numerics::max(m, *s));
                    *l *= numerics::exp(*m - most);
                    *m = most;
                    *l = scores.iter().fold(*l, |l, s| l + numerics::exp(s - most));
                }
                Some(values) => {
                    let values = values.chunks_exact(d).skip(first);
                    for (score, v) in scores.zip(values) {
                        let weight = round(numerics::exp(score - *m) / *l, of_weights);
                        for (a, v) in acc.iter_mut().zip(v) {
                            *a = weight.mul_add(*v, *a);
                        }
                    }
                }
            }
        }
    }
}
