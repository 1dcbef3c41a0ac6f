//! The two vector shapes the kernels are written in, and their three implementations.
//!
//! * [`Simd::Row`]: 16 f32, one row of a weight panel.
//! * [`Simd::Oct`]: 8 f32, the eight lanes of the specified reduction order.
//!
//! Every operation is an IEEE operation per element, so the implementations cannot differ in bits. All methods are
//! `inline(always)`: they become vector code only inside the `#[target_feature]` wrappers of the sibling modules.

/// Operations on 16-wide rows and 8-wide lane groups.
///
/// # Safety
/// The pointer methods read or write exactly 16 (`row_*`) or 8 (`oct_*`) elements at any alignment of at least the
/// element's own (none for the `_bf16` loads). The vector implementations may only run on a host that has the
/// features they are named after.
pub(crate) trait Simd: Copy {
    /// 16 f32.
    type Row: Copy;
    /// 8 f32.
    type Oct: Copy;

    unsafe fn row_load(p: *const f32) -> Self::Row;
    unsafe fn row_load_bf16(p: *const u16) -> Self::Row;
    unsafe fn row_store(p: *mut f32, v: Self::Row);
    /// `acc + a * b` with one rounding, per element.
    unsafe fn row_fma(a: f32, b: Self::Row, acc: Self::Row) -> Self::Row;

    unsafe fn oct_splat(x: f32) -> Self::Oct;
    unsafe fn oct_load(p: *const f32) -> Self::Oct;
    unsafe fn oct_load_bf16(p: *const u16) -> Self::Oct;
    unsafe fn oct_store(p: *mut f32, v: Self::Oct);
    unsafe fn oct_mul(a: Self::Oct, b: Self::Oct) -> Self::Oct;
    /// `acc + a * b` with one rounding, per element.
    unsafe fn oct_fma(a: Self::Oct, b: Self::Oct, acc: Self::Oct) -> Self::Oct;
}

/// An element type a panel or a KV row may hold; loading widens to f32 exactly.
pub(crate) trait Elem: Copy {
    /// Loads 16 elements.
    ///
    /// # Safety
    /// As [`Simd`].
    unsafe fn row<S: Simd>(p: *const Self) -> S::Row;
    /// Loads 8 elements.
    ///
    /// # Safety
    /// As [`Simd`].
    unsafe fn oct<S: Simd>(p: *const Self) -> S::Oct;
    /// Widens one element.
    fn wide(self) -> f32;
}

impl Elem for f32 {
    #[inline(always)]
    unsafe fn row<S: Simd>(p: *const f32) -> S::Row {
        // SAFETY: forwarded to the caller.
        unsafe { S::row_load(p) }
    }
    #[inline(always)]
    unsafe fn oct<S: Simd>(p: *const f32) -> S::Oct {
        // SAFETY: forwarded to the caller.
        unsafe { S::oct_load(p) }
    }
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

/// bf16 bits.
impl Elem for u16 {
    #[inline(always)]
    unsafe fn row<S: Simd>(p: *const u16) -> S::Row {
        // SAFETY: forwarded to the caller.
        unsafe { S::row_load_bf16(p) }
    }
    #[inline(always)]
    unsafe fn oct<S: Simd>(p: *const u16) -> S::Oct {
        // SAFETY: forwarded to the caller.
        unsafe { S::oct_load_bf16(p) }
    }
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }
}

/// Plain Rust; `f32::mul_add` is exact on every host.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type Row = [f32; 16];
    type Oct = [f32; 8];

    #[inline(always)]
    unsafe fn row_load(p: *const f32) -> [f32; 16] {
        // SAFETY: 16 readable elements by contract.
        unsafe { p.cast::<[f32; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn row_load_bf16(p: *const u16) -> [f32; 16] {
        // SAFETY: 16 readable elements by contract.
        unsafe { p.cast::<[u16; 16]>().read_unaligned() }.map(Elem::wide)
    }
    #[inline(always)]
    unsafe fn row_store(p: *mut f32, v: [f32; 16]) {
        // SAFETY: 16 writable elements by contract.
        unsafe { p.cast::<[f32; 16]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn row_fma(a: f32, b: [f32; 16], mut acc: [f32; 16]) -> [f32; 16] {
        for i in 0..16 {
            acc[i] = a.mul_add(b[i], acc[i]);
        }
        acc
    }
    #[inline(always)]
    unsafe fn oct_splat(x: f32) -> [f32; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn oct_load(p: *const f32) -> [f32; 8] {
        // SAFETY: 8 readable elements by contract.
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn oct_load_bf16(p: *const u16) -> [f32; 8] {
        // SAFETY: 8 readable elements by contract.
        unsafe { p.cast::<[u16; 8]>().read_unaligned() }.map(Elem::wide)
    }
    #[inline(always)]
    unsafe fn oct_store(p: *mut f32, v: [f32; 8]) {
        // SAFETY: 8 writable elements by contract.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn oct_mul(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn oct_fma(a: [f32; 8], b: [f32; 8], acc: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i].mul_add(b[i], acc[i]))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// AVX2 + FMA: a row is two 256-bit registers.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2;

    impl Simd for Avx2 {
        type Row = [__m256; 2];
        type Oct = __m256;

        #[inline(always)]
        unsafe fn row_load(p: *const f32) -> Self::Row {
            // SAFETY: 16 readable elements and AVX by contract.
            unsafe { [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))] }
        }
        #[inline(always)]
        unsafe fn row_load_bf16(p: *const u16) -> Self::Row {
            // SAFETY: 16 readable elements and AVX2 by contract.
            unsafe { [Self::oct_load_bf16(p), Self::oct_load_bf16(p.add(8))] }
        }
        #[inline(always)]
        unsafe fn row_store(p: *mut f32, v: Self::Row) {
            // SAFETY: 16 writable elements and AVX by contract.
            unsafe {
                _mm256_storeu_ps(p, v[0]);
                _mm256_storeu_ps(p.add(8), v[1]);
            }
        }
        #[inline(always)]
        unsafe fn row_fma(a: f32, b: Self::Row, acc: Self::Row) -> Self::Row {
            // SAFETY: FMA by contract.
            unsafe {
                let a = _mm256_set1_ps(a);
                [
                    _mm256_fmadd_ps(a, b[0], acc[0]),
                    _mm256_fmadd_ps(a, b[1], acc[1]),
                ]
            }
        }
        #[inline(always)]
        unsafe fn oct_splat(x: f32) -> __m256 {
            // SAFETY: AVX by contract.
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn oct_load(p: *const f32) -> __m256 {
            // SAFETY: 8 readable elements and AVX by contract.
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn oct_load_bf16(p: *const u16) -> __m256 {
            // SAFETY: 8 readable elements and AVX2 by contract.
            unsafe {
                let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
            }
        }
        #[inline(always)]
        unsafe fn oct_store(p: *mut f32, v: __m256) {
            // SAFETY: 8 writable elements and AVX by contract.
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn oct_mul(a: __m256, b: __m256) -> __m256 {
            // SAFETY: AVX by contract.
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn oct_fma(a: __m256, b: __m256, acc: __m256) -> __m256 {
            // SAFETY: FMA by contract.
            unsafe { _mm256_fmadd_ps(a, b, acc) }
        }
    }

    /// AVX-512F: a row is one 512-bit register; lane groups stay 256 bits wide, as the reduction order asks.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512;

    impl Simd for Avx512 {
        type Row = __m512;
        type Oct = __m256;

        #[inline(always)]
        unsafe fn row_load(p: *const f32) -> __m512 {
            // SAFETY: 16 readable elements and AVX-512F by contract.
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn row_load_bf16(p: *const u16) -> __m512 {
            // SAFETY: 16 readable elements and AVX-512F by contract.
            unsafe {
                let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
            }
        }
        #[inline(always)]
        unsafe fn row_store(p: *mut f32, v: __m512) {
            // SAFETY: 16 writable elements and AVX-512F by contract.
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn row_fma(a: f32, b: __m512, acc: __m512) -> __m512 {
            // SAFETY: AVX-512F by contract.
            unsafe { _mm512_fmadd_ps(_mm512_set1_ps(a), b, acc) }
        }
        #[inline(always)]
        unsafe fn oct_splat(x: f32) -> __m256 {
            // SAFETY: forwarded; AVX-512 hosts have AVX2 and FMA.
            unsafe { Avx2::oct_splat(x) }
        }
        #[inline(always)]
        unsafe fn oct_load(p: *const f32) -> __m256 {
            // SAFETY: forwarded; AVX-512 hosts have AVX2 and FMA.
            unsafe { Avx2::oct_load(p) }
        }
        #[inline(always)]
        unsafe fn oct_load_bf16(p: *const u16) -> __m256 {
            // SAFETY: forwarded; AVX-512 hosts have AVX2 and FMA.
            unsafe { Avx2::oct_load_bf16(p) }
        }
        #[inline(always)]
        unsafe fn oct_store(p: *mut f32, v: __m256) {
            // SAFETY: forwarded; AVX-512 hosts have AVX2 and FMA.
            unsafe { Avx2::oct_store(p, v) }
        }
        #[inline(always)]
        unsafe fn oct_mul(a: __m256, b: __m256) -> __m256 {
            // SAFETY: forwarded; AVX-512 hosts have AVX2 and FMA.
            unsafe { Avx2::oct_mul(a, b) }
        }
        #[inline(always)]
        unsafe fn oct_fma(a: __m256, b: __m256, acc: __m256) -> __m256 {
            // SAFETY: forwarded; AVX-512 hosts have AVX2 and FMA.
            unsafe { Avx2::oct_fma(a, b, acc) }
        }
    }
}
