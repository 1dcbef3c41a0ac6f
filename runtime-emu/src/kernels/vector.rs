//! Elementwise functions and reductions: the scalar definitions of `isa::numerics` in loops over rows, compiled once per
//! instruction set. The loops have no dependences between elements (reductions: between lanes), so they become vector code.

use llmc_isa::numerics::{self, convert};
use llmc_isa::{ActFn, BinaryFn, DType, IntFn, QuantFn, ReduceFn, UnaryFn};

#[inline(always)]
fn unary(op: UnaryFn, x: &mut [f32], scale: f32, bias: f32) {
    op.each(x.iter_mut().map(|x| {
        let y = x.mul_add(scale, bias);
        (x, [y])
    }));
}

#[inline(always)]
fn binary(op: BinaryFn, a: &mut [f32], b: &[f32]) {
    op.each(a.iter_mut().zip(b).map(|(a, &b)| {
        let x = *a;
        (a, [x, b])
    }));
}

#[inline(always)]
fn integer(op: IntFn, a: &mut [i32], b: &[i32]) {
    op.each(a.iter_mut().zip(b).map(|(a, &b)| {
        let x = *a;
        (a, [x, b])
    }));
}

#[inline(always)]
fn quantise(op: QuantFn, a: &mut [f32], scale: &[f32], zero: &[f32]) {
    op.each(
        a.iter_mut()
            .zip(scale)
            .zip(zero)
            .map(|((a, &scale), &zero)| {
                let x = *a;
                (a, [x, scale, zero])
            }),
    );
}

/// `x = act(x + bias) / scale`.
#[inline(always)]
fn drain(act: ActFn, x: &mut [f32], bias: Option<&[f32]>, scale: Option<f32>) {
    if let Some(bias) = bias {
        for (x, b) in x.iter_mut().zip(bias) {
            *x += b;
        }
    }
    act.each(x.iter_mut().map(|x| {
        let y = *x;
        (x, [y])
    }));
    if let Some(scale) = scale {
        for x in x.iter_mut() {
            *x /= scale;
        }
    }
}

/// Reads a packed run.
#[inline(always)]
fn read_run(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    macro_rules! each {
        ($size:literal, $value:expr) => {
            for (o, b) in out.iter_mut().zip(bytes.chunks_exact($size)) {
                *o = $value(b);
            }
        };
    }
    // `per` elements to a byte, the first in the lowest bits.
    macro_rules! packed {
        ($per:literal) => {
            for (o, &b) in out.chunks_mut($per).zip(bytes) {
                for (i, o) in o.iter_mut().enumerate() {
                    let width = 8 / $per;
                    let top = b << (8 - width * (i as u32 + 1));
                    *o = f32::from(top as i8 >> (8 - width));
                }
            }
        };
    }
    match dtype {
        DType::F32 => each!(4, |b| f32::from_bits(word(b))),
        DType::I32 => each!(4, |b| word(b) as i32 as f32),
        DType::Bf16 => each!(2, |b| numerics::from_bf16(half(b))),
        DType::F16 => each!(2, |b| convert::from_f16(half(b))),
        DType::F8E4M3 => each!(1, |b: &[u8]| convert::from_f8e4m3(b[0])),
        DType::F8E5M2 => each!(1, |b: &[u8]| convert::from_f8e5m2(b[0])),
        DType::I8 => each!(1, |b: &[u8]| f32::from(b[0] as i8)),
        DType::U8 => each!(1, |b: &[u8]| f32::from(b[0])),
        DType::I4 => packed!(2),
        DType::I2 => packed!(4),
    }
}

/// Writes a packed run.
#[inline(always)]
fn write_run(dtype: DType, values: &[f32], bytes: &mut [u8]) {
    macro_rules! each {
        ($size:literal, $value:expr) => {
            for (b, &x) in bytes.chunks_exact_mut($size).zip(values) {
                b.copy_from_slice(&$value(x).to_le_bytes());
            }
        };
    }
    macro_rules! packed {
        ($per:literal, $lo:literal, $hi:literal) => {
            for (b, values) in bytes.iter_mut().zip(values.chunks($per)) {
                let mut byte = 0;
                for (i, &x) in values.iter().enumerate() {
                    let width = 8 / $per;
                    let code = convert::to_int(x, $lo, $hi) & ((1 << width) - 1);
                    byte |= code << (i * width);
                }
                *b = byte as u8;
            }
        };
    }
    match dtype {
        DType::F32 => each!(4, |x: f32| x),
        DType::I32 => each!(4, |x| convert::to_int(x, i32::MIN, i32::MAX)),
        DType::Bf16 => each!(2, numerics::to_bf16),
        DType::F16 => each!(2, convert::to_f16),
        DType::F8E4M3 => each!(1, convert::to_f8e4m3),
        DType::F8E5M2 => each!(1, convert::to_f8e5m2),
        DType::I8 => each!(1, |x| convert::to_int(x, -128, 127) as u8),
        DType::U8 => each!(1, |x| convert::to_int(x, 0, 255) as u8),
        DType::I4 => packed!(2, -8, 7),
        DType::I2 => packed!(4, -1, 1),
    }
}

/// The index of the first minimum.
#[inline(always)]
fn argmin(x: &[f32]) -> u32 {
    let smaller = |l, x| numerics::min(x, l);
    let least = lanes(x, f32::INFINITY, smaller, smaller);
    if least == f32::INFINITY {
        return 0;
    }
    x.iter().position(|&x| x == least).unwrap_or(0) as u32
}

/// The index of the first maximum.
#[inline(always)]
fn argmax(x: &[f32]) -> u32 {
    let larger = |l, x| numerics::max(x, l);
    let most = lanes(x, f32::NEG_INFINITY, larger, larger);
    if most == f32::NEG_INFINITY {
        return 0;
    }
    x.iter().position(|&x| x == most).unwrap_or(0) as u32
}

#[inline(always)]
fn lanes(
    x: &[f32],
    init: f32,
    mut take: impl FnMut(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [init; 8];
    let mut chunks = x.chunks_exact(8);
    for chunk in &mut chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = take(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = take(*lane, x);
    }
    numerics::combine8(lanes, join)
}

#[inline(always)]
fn reduce(op: ReduceFn, x: &[f32]) -> f32 {
    match op {
        ReduceFn::Sum => lanes(x, 0.0, |l, x| l + x, |a, b| a + b),
        ReduceFn::Sumsq => lanes(x, 0.0, |l, x| x.mul_add(x, l), |a, b| a + b),
        ReduceFn::Maxr => lanes(x, f32::NEG_INFINITY, numerics::max, numerics::max),
        ReduceFn::Minr => lanes(x, f32::INFINITY, numerics::min, numerics::min),
        ReduceFn::Absmax => lanes(x, 0.0, |l, x| numerics::max(x.abs(), l), numerics::max),
        ReduceFn::Argmax => argmax(x) as f32,
        ReduceFn::Prod => lanes(x, 1.0, |l, x| l * x, |a, b| a * b),
        ReduceFn::Argmin => argmin(x) as f32,
    }
}

#[inline(always)]
fn widen(from: &[u16], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = numerics::from_bf16(from);
    }
}

#[inline(always)]
fn narrow(from: &[f32], to: &mut [u16]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = numerics::to_bf16(from);
    }
}

/// The loops above under one set of target features.
macro_rules! compiled {
    ($module:ident $(, #[$feature:meta])?) => {
        pub(super) mod $module {
            use llmc_isa::{ActFn, BinaryFn, DType, IntFn, QuantFn, ReduceFn, UnaryFn};

            $(#[$feature])?
            pub(in crate::kernels) fn unary(op: UnaryFn, x: &mut [f32], scale: f32, bias: f32) {
                super::unary(op, x, scale, bias);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn binary(op: BinaryFn, a: &mut [f32], b: &[f32]) {
                super::binary(op, a, b);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn integer(op: IntFn, a: &mut [i32], b: &[i32]) {
                super::integer(op, a, b);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn quantise(
                op: QuantFn,
                a: &mut [f32],
                scale: &[f32],
                zero: &[f32],
            ) {
                super::quantise(op, a, scale, zero);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn drain(
                act: ActFn,
                x: &mut [f32],
                bias: Option<&[f32]>,
                scale: Option<f32>,
            ) {
                super::drain(act, x, bias, scale);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn read_run(dtype: DType, bytes: &[u8], out: &mut [f32]) {
                super::read_run(dtype, bytes, out);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn write_run(dtype: DType, values: &[f32], bytes: &mut [u8]) {
                super::write_run(dtype, values, bytes);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn argmax(x: &[f32]) -> u32 {
                super::argmax(x)
            }
            $(#[$feature])?
            pub(in crate::kernels) fn argmin(x: &[f32]) -> u32 {
                super::argmin(x)
            }
            $(#[$feature])?
            pub(in crate::kernels) fn reduce(op: ReduceFn, x: &[f32]) -> f32 {
                super::reduce(op, x)
            }
            $(#[$feature])?
            pub(in crate::kernels) fn widen(from: &[u16], to: &mut [f32]) {
                super::widen(from, to);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn narrow(from: &[f32], to: &mut [u16]) {
                super::narrow(from, to);
            }
        }
    };
}

compiled!(portable);
#[cfg(target_arch = "x86_64")]
compiled!(avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
compiled!(avx512, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]);
