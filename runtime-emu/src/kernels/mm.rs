//! `mxu.mm`: products of a row-major A with B in panels of 16 columns.
//!
//! The order is part of the instruction: every output element is one chain `acc = fma(a[k], b[k], acc)`, k ascending.
//! Speed comes only from running many such chains side by side: the 16 columns of a panel, several panels when there
//! are few rows, several rows when there are many.

use super::simd::{Elem, Portable, Simd};

/// Columns of a weight panel.
pub const PANEL: usize = 16;

/// Operands of one matrix product, all shapes in elements.
///
/// `a` is `[m][k]` dense, already rounded as the array's operand rule says; `panels[p]` starts the `[k][16]` panel p;
/// `c` is `[m][panels * 16]` dense and holds the initial accumulators.
pub struct Mm<'a, B> {
    /// `[m][k]`.
    pub a: &'a [f32],
    /// All panels; panel p begins at element `p * stride`.
    pub b: &'a [B],
    /// Distance of panels in elements of B; at least `k * 16` unless there is one panel.
    pub stride: usize,
    /// `[m][panels * 16]`, read and written.
    pub c: &'a mut [f32],
    /// Rows.
    pub m: usize,
    /// Length of the chains.
    pub k: usize,
    /// Number of panels, at least 1.
    pub panels: usize,
}

impl<B> Mm<'_, B> {
    /// True if every access of the kernels stays inside the slices.
    fn in_bounds(&self) -> bool {
        self.panels > 0
            && self.a.len() >= self.m * self.k
            && self.c.len() >= self.m * self.panels * PANEL
            && self.b.len() >= (self.panels - 1) * self.stride + self.k * PANEL
    }
}

/// The scalar definition, used by tests as the oracle.
pub fn mm_scalar<B: Copy>(g: &mut Mm<'_, B>, wide: impl Fn(B) -> f32) {
    for r in 0..g.m {
        for n in 0..g.panels * PANEL {
            let at = r * g.panels * PANEL + n;
            let mut acc = g.c[at];
            for k in 0..g.k {
                let b = wide(g.b[n / PANEL * g.stride + k * PANEL + n % PANEL]);
                acc = g.a[r * g.k + k].mul_add(b, acc);
            }
            g.c[at] = acc;
        }
    }
}

/// `R` rows times `P` panels: R * P * 16 chains side by side.
#[inline(always)]
unsafe fn tile<S: Simd, B: Elem, const R: usize, const P: usize>(
    a: *const f32,
    k: usize,
    b: *const B,
    stride: usize,
    c: *mut f32,
    c_stride: usize,
) {
    // SAFETY: `body` checked the operands' extents and hands over in-range tiles.
    unsafe {
        let mut acc: [[S::Row; P]; R] = std::array::from_fn(|r| {
            std::array::from_fn(|p| S::row_load(c.add(r * c_stride + p * PANEL)))
        });
        for i in 0..k {
            let row: [S::Row; P] =
                std::array::from_fn(|p| B::row::<S>(b.add(p * stride + i * PANEL)));
            for (r, acc) in acc.iter_mut().enumerate() {
                let x = *a.add(r * k + i);
                for p in 0..P {
                    acc[p] = S::row_fma(x, row[p], acc[p]);
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (p, &v) in acc.iter().enumerate() {
                S::row_store(c.add(r * c_stride + p * PANEL), v);
            }
        }
    }
}

/// All panels for `R` rows, `P` panels at a time.
#[inline(always)]
unsafe fn rows<S: Simd, B: Elem, const R: usize, const P: usize>(g: &mut Mm<'_, B>, r: usize) {
    let c_stride = g.panels * PANEL;
    let mut p = 0;
    // SAFETY: `body` checked that all rows and panels are inside the slices; r + R <= m and p + P <= panels.
    unsafe {
        let a = g.a.as_ptr().add(r * g.k);
        let c = g.c.as_mut_ptr().add(r * c_stride);
        while p + P <= g.panels {
            tile::<S, B, R, P>(
                a,
                g.k,
                g.b.as_ptr().add(p * g.stride),
                g.stride,
                c.add(p * PANEL),
                c_stride,
            );
            p += P;
        }
        while p < g.panels {
            tile::<S, B, R, 1>(
                a,
                g.k,
                g.b.as_ptr().add(p * g.stride),
                g.stride,
                c.add(p * PANEL),
                c_stride,
            );
            p += 1;
        }
    }
}

/// The product, tiled for registers: the tile sizes keep at least 8 chains of one register in flight.
#[inline(always)]
pub(super) unsafe fn body<S: Simd, B: Elem>(g: &mut Mm<'_, B>) {
    assert!(g.in_bounds(), "mm operands are shorter than their shape");
    let mut r = 0;
    // SAFETY: extents asserted above.
    unsafe {
        while r + 6 <= g.m {
            rows::<S, B, 6, 1>(g, r);
            r += 6;
        }
        match g.m - r {
            0 => {}
            1 => rows::<S, B, 1, 6>(g, r),
            2 => rows::<S, B, 2, 3>(g, r),
            3 => rows::<S, B, 3, 2>(g, r),
            4 => rows::<S, B, 4, 1>(g, r),
            _ => rows::<S, B, 5, 1>(g, r),
        }
    }
}

/// Portable f32 x f32.
pub(super) fn f32_portable(g: &mut Mm<'_, f32>) {
    // SAFETY: the portable implementation needs no host feature.
    unsafe { body::<Portable, f32>(g) }
}

/// Portable f32 x bf16.
pub(super) fn bf16_portable(g: &mut Mm<'_, u16>) {
    // SAFETY: the portable implementation needs no host feature.
    unsafe { body::<Portable, u16>(g) }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Mm, body};
    use crate::kernels::simd::{Avx2, Avx512};

    #[target_feature(enable = "avx2,fma")]
    pub(in crate::kernels) fn f32_avx2(g: &mut Mm<'_, f32>) {
        // SAFETY: AVX2 and FMA are enabled here.
        unsafe { body::<Avx2, f32>(g) }
    }
    #[target_feature(enable = "avx2,fma")]
    pub(in crate::kernels) fn bf16_avx2(g: &mut Mm<'_, u16>) {
        // SAFETY: AVX2 and FMA are enabled here.
        unsafe { body::<Avx2, u16>(g) }
    }
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(in crate::kernels) fn f32_avx512(g: &mut Mm<'_, f32>) {
        // SAFETY: AVX-512F is enabled here.
        unsafe { body::<Avx512, f32>(g) }
    }
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(in crate::kernels) fn bf16_avx512(g: &mut Mm<'_, u16>) {
        // SAFETY: AVX-512F is enabled here.
        unsafe { body::<Avx512, u16>(g) }
    }
}
