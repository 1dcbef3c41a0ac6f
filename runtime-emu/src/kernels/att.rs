//! `att.step`: one block of keys and values folded into a running softmax.
//!
//! Per row and head, with the visible block rows j ascending:
//! `s_j = scale * dot(q, k_j)`, soft-capped; `m' = max(m, s..)`; `c = exp(m - m')`; `p_j = exp(s_j - m')`;
//! `l = l * c`, then `l += p_j`; `acc = acc * c`, then `acc = fma(p_j, v_j, acc)`. `dot` has the order of eight lanes.
//! Nothing depends on which rows share an instruction, so results do not depend on how a prompt is cut into chunks.

use super::simd::{Elem, Portable, Simd};
use llmc_isa::numerics;

/// Operands of one attention step, all shapes in elements.
pub struct AttStep<'a, E> {
    /// `[rows][heads][d]` queries, dense.
    pub q: &'a [f32],
    /// `[kv][d]` keys; rows `k_stride` elements apart.
    pub k: &'a [E],
    /// Distance of key rows in elements.
    pub k_stride: usize,
    /// `[kv][d]` values; rows `v_stride` elements apart.
    pub v: &'a [E],
    /// Distance of value rows in elements.
    pub v_stride: usize,
    /// `[rows][heads][2 + d]`: running maximum, running sum, accumulators; read and written.
    pub state: &'a mut [f32],
    /// Query rows.
    pub rows: usize,
    /// Query heads that share these keys and values.
    pub heads: usize,
    /// Head size.
    pub d: usize,
    /// Valid rows of the block.
    pub kv: usize,
    /// Visible block rows of query row r: `first(r)..end(r)`.
    pub visible: Visible,
    /// Factor on the dot products.
    pub scale: f32,
    /// Soft cap on the scores; 0 for none.
    pub softcap: f32,
    /// Room for `kv` scores.
    pub scores: &'a mut [f32],
}

/// Which keys a query row sees.
#[derive(Clone, Copy, Debug)]
pub struct Visible {
    /// Absolute position of query row 0.
    pub q_pos: i64,
    /// Absolute position of block row 0.
    pub kv_pos: i64,
    /// Keys after the query are hidden.
    pub causal: bool,
    /// Keys at or before `query - window` are hidden; 0 for no window.
    pub window: u32,
    /// Keys before this absolute position are hidden.
    pub kv_first: i64,
}

impl Visible {
    /// Block rows `first..end` that query row `row` sees, of `kv` valid ones.
    pub fn range(&self, row: usize, kv: usize) -> (usize, usize) {
        let kv = kv as i64;
        let own = self
            .q_pos
            .saturating_add(row as i64)
            .saturating_sub(self.kv_pos);
        let end = if self.causal {
            own.saturating_add(1).clamp(0, kv)
        } else {
            kv
        };
        let first = match self.window {
            0 => 0,
            w => own
                .saturating_sub(i64::from(w))
                .saturating_add(1)
                .clamp(0, end),
        };
        let shown = self.kv_first.saturating_sub(self.kv_pos).clamp(0, end);
        (first.max(shown) as usize, end as usize)
    }
}

impl<E> AttStep<'_, E> {
    fn in_bounds(&self) -> bool {
        let rows = |n: usize, stride: usize| if n == 0 { 0 } else { (n - 1) * stride + self.d };
        let heads = self.rows * self.heads;
        self.q.len() >= heads * self.d
            && self.state.len() >= heads * (self.d + 2)
            && self.k.len() >= rows(self.kv, self.k_stride)
            && self.v.len() >= rows(self.kv, self.v_stride)
            && self.scores.len() >= self.kv
    }
}

/// The score of a dot product.
#[inline(always)]
pub(super) fn score(dot: f32, scale: f32, softcap: f32) -> f32 {
    let s = scale * dot;
    if softcap == 0.0 {
        s
    } else {
        softcap * numerics::tanh(s / softcap)
    }
}

/// `N` dot products with one query.
#[inline(always)]
unsafe fn dots<S: Simd, E: Elem, const N: usize>(
    q: *const f32,
    k: *const E,
    stride: usize,
    d: usize,
) -> [f32; N] {
    // SAFETY: `step` checked that N key rows and the query hold d elements.
    unsafe {
        let mut acc = [S::oct_splat(0.0); N];
        let full = d / 8 * 8;
        let mut i = 0;
        while i < full {
            let x = S::oct_load(q.add(i));
            for (n, acc) in acc.iter_mut().enumerate() {
                *acc = S::oct_fma(x, E::oct::<S>(k.add(n * stride + i)), *acc);
            }
            i += 8;
        }
        std::array::from_fn(|n| {
            let mut lanes = [0.0_f32; 8];
            S::oct_store(lanes.as_mut_ptr(), acc[n]);
            for i in full..d {
                lanes[i - full] =
                    (*q.add(i)).mul_add((*k.add(n * stride + i)).wide(), lanes[i - full]);
            }
            numerics::combine8(lanes, |a, b| a + b)
        })
    }
}

/// `N * 8` accumulators: `acc = acc * c`, then one fma per key.
#[inline(always)]
unsafe fn accumulate<S: Simd, E: Elem, const N: usize>(
    acc: *mut f32,
    c: f32,
    p: &[f32],
    v: *const E,
    stride: usize,
) {
    // SAFETY: `step` checked that p.len() value rows and the accumulators hold N * 8 elements here.
    unsafe {
        let scale = S::oct_splat(c);
        let mut sums: [S::Oct; N] =
            std::array::from_fn(|n| S::oct_mul(S::oct_load(acc.add(n * 8)), scale));
        for (j, &p) in p.iter().enumerate() {
            let p = S::oct_splat(p);
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = S::oct_fma(p, E::oct::<S>(v.add(j * stride + n * 8)), *sum);
            }
        }
        for (n, &sum) in sums.iter().enumerate() {
            S::oct_store(acc.add(n * 8), sum);
        }
    }
}

#[inline(always)]
unsafe fn step<S: Simd, E: Elem>(g: &mut AttStep<'_, E>) {
    assert!(
        g.in_bounds(),
        "attention operands are shorter than their shape"
    );
    let d = g.d;
    for row in 0..g.rows {
        let (first, end) = g.visible.range(row, g.kv);
        if first >= end {
            continue;
        }
        let scores = &mut g.scores[first..end];
        for head in row * g.heads..(row + 1) * g.heads {
            // SAFETY: extents asserted above; head < rows * heads and first + scores.len() <= kv.
            unsafe {
                let q = g.q.as_ptr().add(head * d);
                let k = g.k.as_ptr().add(first * g.k_stride);
                let v = g.v.as_ptr().add(first * g.v_stride);
                let mut chunks = scores.chunks_exact_mut(4);
                let mut j = 0;
                for chunk in &mut chunks {
                    chunk.copy_from_slice(&dots::<S, E, 4>(
                        q,
                        k.add(j * g.k_stride),
                        g.k_stride,
                        d,
                    ));
                    j += 4;
                }
                for s in chunks.into_remainder() {
                    *s = dots::<S, E, 1>(q, k.add(j * g.k_stride), g.k_stride, d)[0];
                    j += 1;
                }
                for s in scores.iter_mut() {
                    *s = score(*s, g.scale, g.softcap);
                }
                let state = &mut g.state[head * (d + 2)..(head + 1) * (d + 2)];
                let m = scores.iter().fold(state[0], |m, &s| numerics::max(m, s));
                let c = numerics::exp(state[0] - m);
                for s in scores.iter_mut() {
                    *s = numerics::exp(*s - m);
                }
                state[0] = m;
                state[1] = scores.iter().fold(state[1] * c, |l, &p| l + p);
                let acc = state.as_mut_ptr().add(2);
                let mut i = 0;
                while i + 32 <= d {
                    accumulate::<S, E, 4>(acc.add(i), c, scores, v.add(i), g.v_stride);
                    i += 32;
                }
                while i + 8 <= d {
                    accumulate::<S, E, 1>(acc.add(i), c, scores, v.add(i), g.v_stride);
                    i += 8;
                }
                for i in i..d {
                    let mut a = *acc.add(i) * c;
                    for (j, &p) in scores.iter().enumerate() {
                        a = p.mul_add((*v.add(j * g.v_stride + i)).wide(), a);
                    }
                    *acc.add(i) = a;
                }
            }
        }
    }
}

/// The scalar definition, used by tests as the oracle.
pub fn step_scalar<E: Copy>(g: &mut AttStep<'_, E>, wide: impl Fn(E) -> f32) {
    for row in 0..g.rows {
        let (first, end) = g.visible.range(row, g.kv);
        if first >= end {
            continue;
        }
        for head in row * g.heads..(row + 1) * g.heads {
            let q = &g.q[head * g.d..(head + 1) * g.d];
            let state = &mut g.state[head * (g.d + 2)..(head + 1) * (g.d + 2)];
            let scores: Vec<f32> = (first..end)
                .map(|j| {
                    let k: Vec<f32> = (0..g.d).map(|i| wide(g.k[j * g.k_stride + i])).collect();
                    score(numerics::dot8(q, &k), g.scale, g.softcap)
                })
                .collect();
            let m = scores.iter().fold(state[0], |m, &s| numerics::max(m, s));
            let c = numerics::exp(state[0] - m);
            state[0] = m;
            state[1] *= c;
            for a in &mut state[2..] {
                *a *= c;
            }
            for (j, s) in (first..end).zip(scores) {
                let p = numerics::exp(s - m);
                state[1] += p;
                for (i, a) in state[2..].iter_mut().enumerate() {
                    *a = p.mul_add(wide(g.v[j * g.v_stride + i]), *a);
                }
            }
        }
    }
}

/// Portable, f32 keys and values.
pub(super) fn f32_portable(g: &mut AttStep<'_, f32>) {
    // SAFETY: the portable implementation needs no host feature.
    unsafe { step::<Portable, f32>(g) }
}

/// Portable, bf16 keys and values.
pub(super) fn bf16_portable(g: &mut AttStep<'_, u16>) {
    // SAFETY: the portable implementation needs no host feature.
    unsafe { step::<Portable, u16>(g) }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{AttStep, step};
    use crate::kernels::simd::Avx2;

    #[target_feature(enable = "avx2,fma")]
    pub(in crate::kernels) fn f32_avx2(g: &mut AttStep<'_, f32>) {
        // SAFETY: AVX2 and FMA are enabled here.
        unsafe { step::<Avx2, f32>(g) }
    }
    #[target_feature(enable = "avx2,fma")]
    pub(in crate::kernels) fn bf16_avx2(g: &mut AttStep<'_, u16>) {
        // SAFETY: AVX2 and FMA are enabled here.
        unsafe { step::<Avx2, u16>(g) }
    }
}
