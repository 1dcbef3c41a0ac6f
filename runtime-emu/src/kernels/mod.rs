//! Arithmetic of the engines, fast. Each kernel has one scalar definition and one generic body; the body is compiled for
//! several instruction sets, and the table that fits the host is chosen at run time. All tables give the same bits.
//!
//! `LLMC_KERNELS=portable|avx2|avx512` overrides the choice (ignored if the host lacks the instruction set).

mod att;
mod att_round;
mod mm;
mod mmq;
mod simd;
mod vector;

pub use att::{AttStep, Visible, step_scalar};
pub use att_round::AttRound;
pub use mm::{Mm, PANEL, mm_scalar};
pub use mmq::{Left, Mmq, mmq_scalar};

use llmc_isa::{ActFn, BinaryFn, DType, IntFn, QuantFn, ReduceFn, UnaryFn};
use std::sync::OnceLock;

/// Activation, elements, bias, scale of the result.
type Drain = unsafe fn(ActFn, &mut [f32], Option<&[f32]>, Option<f32>);

/// The kernels for one instruction set. Only tables that the host can run are handed out.
pub struct Kernels {
    name: &'static str,
    mm_f32: unsafe fn(&mut Mm<'_, f32>),
    mm_bf16: unsafe fn(&mut Mm<'_, u16>),
    mmq: unsafe fn(&mut Mmq<'_>),
    att_f32: unsafe fn(&mut AttStep<'_, f32>),
    att_bf16: unsafe fn(&mut AttStep<'_, u16>),
    unary: unsafe fn(UnaryFn, &mut [f32], f32, f32),
    binary: unsafe fn(BinaryFn, &mut [f32], &[f32]),
    integer: unsafe fn(IntFn, &mut [i32], &[i32]),
    quantise: unsafe fn(QuantFn, &mut [f32], &[f32], &[f32]),
    drain: Drain,
    reduce: unsafe fn(ReduceFn, &[f32]) -> f32,
    argmax: unsafe fn(&[f32]) -> u32,
    argmin: unsafe fn(&[f32]) -> u32,
    read_run: unsafe fn(DType, &[u8], &mut [f32]),
    write_run: unsafe fn(DType, &[f32], &mut [u8]),
    widen: unsafe fn(&[u16], &mut [f32]),
    narrow: unsafe fn(&[f32], &mut [u16]),
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernels({})", self.name)
    }
}

static PORTABLE: Kernels = Kernels {
    name: "portable",
    mm_f32: mm::f32_portable,
    mm_bf16: mm::bf16_portable,
    mmq: mmq::portable,
    att_f32: att::f32_portable,
    att_bf16: att::bf16_portable,
    unary: vector::portable::unary,
    binary: vector::portable::binary,
    integer: vector::portable::integer,
    quantise: vector::portable::quantise,
    drain: vector::portable::drain,
    reduce: vector::portable::reduce,
    argmax: vector::portable::argmax,
    argmin: vector::portable::argmin,
    read_run: vector::portable::read_run,
    write_run: vector::portable::write_run,
    widen: vector::portable::widen,
    narrow: vector::portable::narrow,
};

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = Kernels {
    name: "avx2",
    mm_f32: mm::x86::f32_avx2,
    mm_bf16: mm::x86::bf16_avx2,
    mmq: mmq::x86::avx2,
    att_f32: att::x86::f32_avx2,
    att_bf16: att::x86::bf16_avx2,
    unary: vector::avx2::unary,
    binary: vector::avx2::binary,
    integer: vector::avx2::integer,
    quantise: vector::avx2::quantise,
    drain: vector::avx2::drain,
    reduce: vector::avx2::reduce,
    argmax: vector::avx2::argmax,
    argmin: vector::avx2::argmin,
    read_run: vector::avx2::read_run,
    write_run: vector::avx2::write_run,
    widen: vector::avx2::widen,
    narrow: vector::avx2::narrow,
};

#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels {
    name: "avx512",
    mm_f32: mm::x86::f32_avx512,
    mm_bf16: mm::x86::bf16_avx512,
    mmq: mmq::x86::avx2,
    // Dot products have eight lanes: 512-bit registers would not help.
    att_f32: att::x86::f32_avx2,
    att_bf16: att::x86::bf16_avx2,
    unary: vector::avx512::unary,
    binary: vector::avx512::binary,
    integer: vector::avx512::integer,
    quantise: vector::avx512::quantise,
    drain: vector::avx512::drain,
    reduce: vector::avx512::reduce,
    argmax: vector::avx512::argmax,
    argmin: vector::avx512::argmin,
    read_run: vector::avx512::read_run,
    write_run: vector::avx512::write_run,
    widen: vector::avx512::widen,
    narrow: vector::avx512::narrow,
};

impl Kernels {
    /// The tables this host can run, slowest first.
    pub fn available() -> Vec<&'static Kernels> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut all = vec![&PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 {
                all.push(&AVX2);
            }
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                all.push(&AVX512);
            }
        }
        all
    }

    /// The table for this process: the one named by `LLMC_KERNELS`, else the fastest.
    pub fn get() -> &'static Kernels {
        static CHOICE: OnceLock<&'static Kernels> = OnceLock::new();
        CHOICE.get_or_init(|| {
            let all = Kernels::available();
            let wanted = std::env::var("LLMC_KERNELS").ok();
            let named = all.iter().find(|k| Some(k.name) == wanted.as_deref());
            named.or(all.last()).copied().unwrap_or(&PORTABLE)
        })
    }

    /// `portable`, `avx2` or `avx512`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Matrix product with f32 panels.
    ///
    /// # Panics
    /// If a slice is shorter than the shape says.
    pub fn mm_f32(&self, g: &mut Mm<'_, f32>) {
        // SAFETY: `available` found the table's instruction set on this host.
        unsafe { (self.mm_f32)(g) }
    }

    /// Matrix product with bf16 panels.
    ///
    /// # Panics
    /// If a slice is shorter than the shape says.
    pub fn mm_bf16(&self, g: &mut Mm<'_, u16>) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.mm_bf16)(g) }
    }

    /// Matrix product with quantised panels.
    ///
    /// # Panics
    /// If a slice is shorter than the shape says.
    pub fn mmq(&self, g: &mut Mmq<'_>) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.mmq)(g) }
    }

    /// Attention step with f32 keys and values.
    ///
    /// # Panics
    /// If a slice is shorter than the shape says.
    pub fn att_f32(&self, g: &mut AttStep<'_, f32>) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.att_f32)(g) }
    }

    /// Attention step with bf16 keys and values.
    ///
    /// # Panics
    /// If a slice is shorter than the shape says.
    pub fn att_bf16(&self, g: &mut AttStep<'_, u16>) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.att_bf16)(g) }
    }

    /// `x = op(fma(x, scale, bias))` for each element.
    pub fn unary(&self, op: UnaryFn, x: &mut [f32], scale: f32, bias: f32) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.unary)(op, x, scale, bias) }
    }

    /// `a = op(a, b)` for each element of both.
    pub fn binary(&self, op: BinaryFn, a: &mut [f32], b: &[f32]) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.binary)(op, a, b) }
    }

    /// `a = op(a, b)` for each element of both.
    pub fn integer(&self, op: IntFn, a: &mut [i32], b: &[i32]) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.integer)(op, a, b) }
    }

    /// `a = op(a, scale, zero)` for each element of all.
    pub fn quantise(&self, op: QuantFn, a: &mut [f32], scale: &[f32], zero: &[f32]) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.quantise)(op, a, scale, zero) }
    }

    /// `x = act(x + bias) / scale` for each element.
    pub fn drain(&self, act: ActFn, x: &mut [f32], bias: Option<&[f32]>, scale: Option<f32>) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.drain)(act, x, bias, scale) }
    }

    /// The index of the first maximum.
    pub fn argmax(&self, x: &[f32]) -> u32 {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.argmax)(x) }
    }

    /// The index of the first minimum.
    pub fn argmin(&self, x: &[f32]) -> u32 {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.argmin)(x) }
    }

    /// Reads a packed run, one element for each of `out`.
    pub fn read_run(&self, dtype: DType, bytes: &[u8], out: &mut [f32]) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.read_run)(dtype, bytes, out) }
    }

    /// Writes a packed run.
    pub fn write_run(&self, dtype: DType, values: &[f32], bytes: &mut [u8]) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.write_run)(dtype, values, bytes) }
    }

    /// The eight-lane reduction.
    pub fn reduce(&self, op: ReduceFn, x: &[f32]) -> f32 {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.reduce)(op, x) }
    }

    /// bf16 bits to f32, for each element of both.
    pub fn widen(&self, from: &[u16], to: &mut [f32]) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.widen)(from, to) }
    }

    /// f32 to bf16 bits, for each element of both.
    pub fn narrow(&self, from: &[f32], to: &mut [u16]) {
        // SAFETY: as in `mm_f32`.
        unsafe { (self.narrow)(from, to) }
    }
}

#[cfg(test)]
mod tests;
