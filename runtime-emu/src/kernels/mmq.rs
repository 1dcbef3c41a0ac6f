//! `mxu.mmq`: products with quantised panels.
//!
//! Every output element is one chain over the groups of k: `c = fma(f32(s) * a_scale, scale, c)` with `s` an exact integer, or
//! `c = fma(s, scale, c)` with `s` a chain of `mxu.mm`. Integer sums may be taken in any order.

use super::mm::{Mm, PANEL, body};
use super::simd::{Portable, Simd};
use llmc_isa::DType;
use llmc_isa::numerics::convert;

/// Operands of one quantised product, all shapes in elements.
pub struct Mmq<'a> {
    /// A by groups: `[groups][m][group]`.
    pub a: Left<'a>,
    /// Packed codes of all panels; panel p begins at byte `p * stride` and holds `[k/4][16][4]` codes.
    pub b: &'a [u8],
    /// Distance of panels in bytes.
    pub stride: usize,
    /// Type of the codes.
    pub b_type: DType,
    /// `[panels][groups][16]` scales.
    pub scales: &'a [f32],
    /// `[panels][groups][16]` zero points; empty for none.
    pub zeros: &'a [i8],
    /// `[m][panels * 16]`, read and written.
    pub c: &'a mut [f32],
    /// Rows.
    pub m: usize,
    /// Length of a group, a multiple of 4.
    pub group: usize,
    /// Number of groups.
    pub groups: usize,
    /// Number of panels, at least 1.
    pub panels: usize,
}

/// The left operand.
#[derive(Clone, Copy)]
pub enum Left<'a> {
    /// Integers in the range of i8, and the scale of each row.
    Int(&'a [i16], &'a [f32]),
    /// Floats, widened.
    Float(&'a [f32]),
}

/// The scalar definition, used by tests as the oracle.
pub fn mmq_scalar(g: &mut Mmq<'_>) {
    for (r, n) in (0..g.m).flat_map(|r| (0..g.panels * PANEL).map(move |n| (r, n))) {
        let (panel, col) = (n / PANEL, n % PANEL);
        let codes = &g.b[panel * g.stride..];
        for t in 0..g.groups {
            let at = (panel * g.groups + t) * PANEL + col;
            let zero = g.zeros.get(at).map_or(0, |&z| i32::from(z));
            let index = |i: usize| {
                let k = t * g.group + i;
                (k / 4 * PANEL + col) * 4 + k % 4
            };
            let first = (t * g.m + r) * g.group;
            let c = &mut g.c[r * g.panels * PANEL + n];
            let (sum, scale) = match g.a {
                Left::Int(a, a_scale) => {
                    let product = |i: usize| {
                        let b = convert::read_int(g.b_type, codes, index(i)) - zero;
                        i32::from(a[first + i]).wrapping_mul(b)
                    };
                    let sum = (0..g.group).fold(0_i32, |s, i| s.wrapping_add(product(i)));
                    (sum as f32 * a_scale[r], g.scales[at])
                }
                Left::Float(a) => {
                    let b = |i: usize| convert::read(g.b_type, codes, index(i)) - zero as f32;
                    let sum = (0..g.group).fold(0.0_f32, |s, i| a[first + i].mul_add(b(i), s));
                    (sum, g.scales[at])
                }
            };
            *c = sum.mul_add(scale, *c);
        }
    }
}

/// What depends on the instruction set: sums of products of 16-bit integers, and unpacking.
pub(crate) trait Dot {
    /// `sums[r][n] = sum over i of a[r][i] * b[i / 4][n][i % 4]` for `R` rows, wrapping around.
    ///
    /// # Safety
    /// `a` has `R * g` elements, `b` `g * 16`, `sums` `R * 16`; g is a multiple of 4. The host has the instruction set.
    unsafe fn dot<const R: usize>(a: *const i16, b: *const i16, g: usize, sums: *mut i32);

    /// Four codes of `BITS` bits of each of 16 columns, `[16][4]` in `BYTES` bytes, minus the zero point of the column, as
    /// `[4][16]` f32.
    ///
    /// # Safety
    /// The host has the instruction set.
    unsafe fn turn<const BITS: u32, const BYTES: usize>(
        codes: &[u8; BYTES],
        zero: &[i32; PANEL],
        out: &mut [f32; 4 * PANEL],
    );
}

impl Dot for Portable {
    #[inline(always)]
    unsafe fn dot<const R: usize>(a: *const i16, b: *const i16, g: usize, sums: *mut i32) {
        // SAFETY: lengths by contract.
        let (a, b, sums) = unsafe {
            (
                std::slice::from_raw_parts(a, R * g),
                std::slice::from_raw_parts(b, g * PANEL),
                std::slice::from_raw_parts_mut(sums, R * PANEL),
            )
        };
        for r in 0..R {
            let mut acc = [0_i32; PANEL];
            let row = a[r * g..(r + 1) * g].chunks_exact(4);
            for (a, b) in row.zip(b.chunks_exact(4 * PANEL)) {
                for (acc, b) in acc.iter_mut().zip(b.chunks_exact(4)) {
                    for (a, b) in a.iter().zip(b) {
                        *acc = acc.wrapping_add(i32::from(*a) * i32::from(*b));
                    }
                }
            }
            sums[r * PANEL..(r + 1) * PANEL].copy_from_slice(&acc);
        }
    }

    #[inline(always)]
    unsafe fn turn<const BITS: u32, const BYTES: usize>(
        codes: &[u8; BYTES],
        zero: &[i32; PANEL],
        out: &mut [f32; 4 * PANEL],
    ) {
        let per = 8 / BITS as usize;
        for (at, o) in out.iter_mut().enumerate() {
            let (n, index) = (at % PANEL, at % PANEL * 4 + at / PANEL);
            let low = u32::from(codes[index / per]) >> (index % per * BITS as usize);
            let code = (low << (32 - BITS)) as i32 >> (32 - BITS);
            *o = (code - zero[n]) as f32;
        }
    }
}

/// The codes of one group of a panel as integers minus their zero points, in their order.
#[inline(always)]
fn unpack(dtype: DType, bytes: &[u8], zeros: Option<&[i8]>, out: &mut [i16]) {
    match dtype {
        DType::I8 => {
            for (o, b) in out.iter_mut().zip(bytes) {
                *o = i16::from(*b as i8);
            }
        }
        DType::I4 => {
            for (o, b) in out.chunks_exact_mut(2).zip(bytes) {
                o[0] = i16::from((*b << 4) as i8 >> 4);
                o[1] = i16::from(*b as i8 >> 4);
            }
        }
        DType::I2 => {
            for (o, b) in out.chunks_exact_mut(4).zip(bytes) {
                o[0] = i16::from((*b << 6) as i8 >> 6);
                o[1] = i16::from((*b << 4) as i8 >> 6);
                o[2] = i16::from((*b << 2) as i8 >> 6);
                o[3] = i16::from(*b as i8 >> 6);
            }
        }
        other => {
            for (i, o) in out.iter_mut().enumerate() {
                *o = convert::read_int(other, bytes, i) as i16;
            }
        }
    }
    if let Some(zeros) = zeros {
        let mut four = [0_i16; 4 * PANEL];
        for (four, z) in four.chunks_exact_mut(4).zip(zeros) {
            four.fill(i16::from(*z));
        }
        for quad in out.chunks_exact_mut(4 * PANEL) {
            for (o, z) in quad.iter_mut().zip(&four) {
                *o -= z;
            }
        }
    }
}

/// The codes of one group of a panel as f32 minus their zero points, turned to `[g][16]`. Float codes are looked up.
#[inline(always)]
unsafe fn widen<D: Dot>(
    dtype: DType,
    bytes: &[u8],
    zeros: Option<&[i8]>,
    floats: &[f32; 256],
    out: &mut [f32],
) {
    let mut zero = [0_i32; PANEL];
    for (zero, z) in zero.iter_mut().zip(zeros.unwrap_or(&[])) {
        *zero = i32::from(*z);
    }
    macro_rules! integers {
        ($bits:literal) => {
            let (quads, _) = bytes.as_chunks::<{ $bits / 2 * PANEL }>();
            for (quads, rows) in quads.iter().zip(out.as_chunks_mut().0) {
                // SAFETY: the instruction set is the caller's.
                unsafe { D::turn::<$bits, { $bits / 2 * PANEL }>(quads, &zero, rows) }
            }
        };
    }
    match dtype {
        DType::I8 => {
            integers!(8);
        }
        DType::I4 => {
            integers!(4);
        }
        DType::I2 => {
            integers!(2);
        }
        _ => {
            let (quads, _) = bytes.as_chunks::<{ 4 * PANEL }>();
            for (quads, rows) in quads.iter().zip(out.as_chunks_mut::<{ 4 * PANEL }>().0) {
                for (i, row) in rows.chunks_exact_mut(PANEL).enumerate() {
                    for (n, o) in row.iter_mut().enumerate() {
                        *o = floats[usize::from(quads[n * 4 + i])];
                    }
                }
            }
        }
    }
}

/// Panels that are widened at a time, so that a single row has enough chains to keep the host busy.
const ABREAST: usize = 6;

#[inline(always)]
unsafe fn mmq<S: Simd, D: Dot>(g: &mut Mmq<'_>) {
    let (m, group, row) = (g.m, g.group, g.panels * PANEL);
    let (a_len, scales) = match g.a {
        Left::Int(a, scales) => (a.len(), scales.len()),
        Left::Float(a) => (a.len(), m),
    };
    assert!(
        a_len >= g.groups * m * group
            && scales >= m
            && g.c.len() >= m * row
            && group.is_multiple_of(4),
        "mmq operands are shorter than their shape"
    );
    let abreast = ABREAST.min(g.panels);
    let group_bytes = g.b_type.size_of((group * PANEL) as u64) as usize;
    let (ints, floats) = match g.a {
        Left::Int(..) => (group * PANEL, 0),
        Left::Float(_) => (0, abreast * group * PANEL),
    };
    let values: [f32; 256] = match g.b_type.is_int() {
        true => [0.0; 256],
        false => std::array::from_fn(|code| convert::read(g.b_type, &[code as u8], 0)),
    };
    let mut codes = vec![0_i16; ints];
    let mut wide = vec![0.0_f32; floats];
    let mut sums = vec![0_i32; m * PANEL];
    let mut parts = vec![0.0_f32; m * abreast * PANEL];
    for first in (0..g.panels).step_by(abreast) {
        let count = abreast.min(g.panels - first);
        let width = count * PANEL;
        for t in 0..g.groups {
            let at = |p: usize| ((first + p) * g.groups + t) * PANEL;
            let bytes = |p: usize| &g.b[(first + p) * g.stride + t * group_bytes..][..group_bytes];
            let zeros = |p: usize| (!g.zeros.is_empty()).then(|| &g.zeros[at(p)..][..PANEL]);
            let parts = &mut parts[..m * width];
            match g.a {
                Left::Int(a, a_scale) => {
                    let a = &a[t * m * group..(t + 1) * m * group];
                    for p in 0..count {
                        unpack(g.b_type, bytes(p), zeros(p), &mut codes);
                        let mut r = 0;
                        // SAFETY: a has m rows of `group` elements, codes `group * 16`, sums m * 16.
                        unsafe {
                            while r + 2 <= m {
                                let sums = sums.as_mut_ptr().add(r * PANEL);
                                D::dot::<2>(a.as_ptr().add(r * group), codes.as_ptr(), group, sums);
                                r += 2;
                            }
                            if r < m {
                                let sums = sums.as_mut_ptr().add(r * PANEL);
                                D::dot::<1>(a.as_ptr().add(r * group), codes.as_ptr(), group, sums);
                            }
                        }
                        let rows = parts.chunks_exact_mut(width).zip(sums.chunks_exact(PANEL));
                        for ((parts, sums), a_scale) in rows.zip(a_scale) {
                            let parts = &mut parts[p * PANEL..(p + 1) * PANEL];
                            for (part, sum) in parts.iter_mut().zip(sums) {
                                *part = *sum as f32 * a_scale;
                            }
                        }
                    }
                }
                Left::Float(a) => {
                    for (p, wide) in wide.chunks_exact_mut(group * PANEL).enumerate().take(count) {
                        // SAFETY: the instruction set is the caller's.
                        unsafe { widen::<D>(g.b_type, bytes(p), zeros(p), &values, wide) };
                    }
                    parts.fill(0.0);
                    // SAFETY: the instruction set is the caller's.
                    unsafe {
                        body::<S, f32>(&mut Mm {
                            a: &a[t * m * group..(t + 1) * m * group],
                            b: &wide,
                            stride: group * PANEL,
                            c: parts,
                            m,
                            k: group,
                            panels: count,
                        });
                    }
                }
            }
            for p in 0..count {
                let scale = &g.scales[at(p)..][..PANEL];
                let rows = g.c.chunks_exact_mut(row).zip(parts.chunks_exact(width));
                for (c, parts) in rows {
                    let c = &mut c[(first + p) * PANEL..(first + p + 1) * PANEL];
                    let parts = &parts[p * PANEL..(p + 1) * PANEL];
                    for ((c, part), scale) in c.iter_mut().zip(parts).zip(scale) {
                        *c = part.mul_add(*scale, *c);
                    }
                }
            }
        }
    }
}

/// Portable.
pub(super) fn portable(g: &mut Mmq<'_>) {
    // SAFETY: the portable implementation needs no host feature.
    unsafe { mmq::<Portable, Portable>(g) }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Dot, Mmq, PANEL, mmq};
    use crate::kernels::simd::Avx2;
    use std::arch::x86_64::*;

    impl Dot for Avx2 {
        #[inline(always)]
        unsafe fn dot<const R: usize>(a: *const i16, b: *const i16, g: usize, sums: *mut i32) {
            // SAFETY: lengths and AVX2 by contract.
            unsafe {
                // acc[r][j]: columns 4j to 4j + 3, two partial sums each.
                let mut acc = [[_mm256_setzero_si256(); 4]; R];
                for q in 0..g / 4 {
                    let b: [__m256i; 4] =
                        std::array::from_fn(|j| _mm256_loadu_si256(b.add(q * 64 + j * 16).cast()));
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let quad = a.add(r * g + q * 4).cast::<i64>().read_unaligned();
                        let a = _mm256_set1_epi64x(quad);
                        for (acc, b) in acc.iter_mut().zip(b) {
                            *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(a, b));
                        }
                    }
                }
                for (r, acc) in acc.iter().enumerate() {
                    for half in 0..2 {
                        let pairs = _mm256_hadd_epi32(acc[half * 2], acc[half * 2 + 1]);
                        let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
                        _mm256_storeu_si256(sums.add(r * 16 + half * 8).cast(), ordered);
                    }
                }
            }
        }

        #[inline(always)]
        unsafe fn turn<const BITS: u32, const BYTES: usize>(
            codes: &[u8; BYTES],
            zero: &[i32; PANEL],
            out: &mut [f32; 4 * PANEL],
        ) {
            // SAFETY: AVX2 by contract; half a quad of columns has BYTES / 2 = 32, 16 or 8 bytes.
            unsafe {
                for half in 0..2 {
                    let from = codes.as_ptr().add(half * BYTES / 2);
                    let words = match BITS {
                        8 => _mm256_loadu_si256(from.cast()),
                        4 => _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())),
                        _ => _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())),
                    };
                    let zero = _mm256_loadu_si256(zero.as_ptr().add(half * 8).cast());
                    let down = _mm_cvtsi32_si128(32 - BITS as i32);
                    for i in 0..4 {
                        let up = _mm_cvtsi32_si128(32 - BITS as i32 * (i as i32 + 1));
                        let code = _mm256_sra_epi32(_mm256_sll_epi32(words, up), down);
                        let value = _mm256_cvtepi32_ps(_mm256_sub_epi32(code, zero));
                        _mm256_storeu_ps(out.as_mut_ptr().add(i * PANEL + half * 8), value);
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(in crate::kernels) fn avx2(g: &mut Mmq<'_>) {
        // SAFETY: AVX2 and FMA are enabled here.
        unsafe { mmq::<Avx2, Avx2>(g) }
    }
}
