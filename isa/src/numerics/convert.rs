//! Element types: what each pattern of bits means, and how numbers are rounded to it.
//!
//! | to | rounding | beyond the range | NaN |
//! |---|---|---|---|
//! | f32 | exact (i32: to nearest, ties to even) | | |
//! | bf16, f16 | to nearest, ties to even | infinity | NaN |
//! | f8e4m3, f8e5m2 | to nearest, ties to even | largest finite, infinities too | NaN (0x7f, 0x7e, with the sign) |
//! | i32, i8, u8, i4 | to nearest, ties to even | nearest of the range | 0 |
//! | i2 | to nearest, ties to even | -1 or 1: written codes are ternary | 0 |
//!
//! Every type reads all its patterns; i2 also reads -2.

use super::{from_bf16, to_bf16};
use crate::operand::DType;

/// A float of fewer bits: `MANT` mantissa bits, exponent bias `BIAS`, largest finite pattern `MAX`; beyond it `OVER`.
/// `TINY` is the f32 whose last bit weighs as much as the last bit of a subnormal; adding it rounds to that.
#[inline(always)]
fn narrow<const MANT: u32, const BIAS: u32, const MAX: u32, const OVER: u32, const NAN: u32>(
    x: f32,
    tiny: f32,
) -> (u32, u32) {
    let sign = x.to_bits() >> 31;
    let a = x.to_bits() & 0x7fff_ffff;
    let shift = 23 - MANT;
    let rounded = a.wrapping_add((1 << (shift - 1)) - 1 + ((a >> shift) & 1)) >> shift;
    let normal = rounded.wrapping_sub((127 - BIAS) << MANT);
    let small = (f32::from_bits(a) + tiny)
        .to_bits()
        .wrapping_sub(tiny.to_bits());
    let code = if a < (128 - BIAS) << 23 {
        small
    } else {
        normal
    };
    let code = if code > MAX { OVER } else { code };
    (sign, if a > 0x7f80_0000 { NAN } else { code })
}

/// IEEE binary16 bits of `x`, to nearest, ties to even; a NaN becomes 0x7e00 with its sign.
#[inline(always)]
pub fn to_f16(x: f32) -> u16 {
    let (sign, code) = narrow::<10, 15, 0x7bff, 0x7c00, 0x7e00>(x, 0.5);
    (sign << 15 | code) as u16
}

/// The f32 with the value of these IEEE binary16 bits; exact.
#[inline(always)]
pub fn from_f16(bits: u16) -> f32 {
    let (sign, a) = (u32::from(bits) & 0x8000, u32::from(bits) & 0x7fff);
    let normal = (a << 13).wrapping_add(112 << 23);
    let small = (a as f32 * 5.960_464_5e-8).to_bits(); // 2^-24
    let special = 0x7f80_0000 | a << 13;
    let value = if a < 0x400 { small } else { normal };
    let value = if a >= 0x7c00 { special } else { value };
    f32::from_bits(sign << 16 | value)
}

/// E4M3 bits of `x`, to nearest, ties to even; saturates at 448.
#[inline(always)]
pub fn to_f8e4m3(x: f32) -> u8 {
    let (sign, code) = narrow::<3, 7, 0x7e, 0x7e, 0x7f>(x, 16384.0);
    (sign << 7 | code) as u8
}

/// The f32 with the value of these E4M3 bits; exact.
#[inline(always)]
pub fn from_f8e4m3(bits: u8) -> f32 {
    let (sign, a) = (u32::from(bits) & 0x80, u32::from(bits) & 0x7f);
    let normal = (a << 20).wrapping_add(120 << 23);
    let small = (a as f32 * 0.001_953_125).to_bits(); // 2^-9
    let value = if a < 8 { small } else { normal };
    let value = if a == 0x7f { 0x7fc0_0000 } else { value };
    f32::from_bits(sign << 24 | value)
}

/// E5M2 bits of `x`, to nearest, ties to even; saturates at 57344.
#[inline(always)]
pub fn to_f8e5m2(x: f32) -> u8 {
    let (sign, code) = narrow::<2, 15, 0x7b, 0x7b, 0x7e>(x, 128.0);
    (sign << 7 | code) as u8
}

/// The f32 with the value of these E5M2 bits, the upper half of a binary16; exact.
#[inline(always)]
pub fn from_f8e5m2(bits: u8) -> f32 {
    from_f16(u16::from(bits) << 8)
}

/// `x` as an integer between `lo` and `hi`, to nearest, ties to even; 0 if NaN.
#[inline(always)]
pub fn to_int(x: f32, lo: i32, hi: i32) -> i32 {
    // The conversion saturates, and takes NaN to 0.
    let whole = x.round_ties_even() as i32;
    let whole = if whole < lo { lo } else { whole };
    if whole > hi { hi } else { whole }
}

/// Smallest and largest value that is written to an integer type; the whole i32 for floats.
#[inline(always)]
pub const fn int_range(dtype: DType) -> (i32, i32) {
    match dtype {
        DType::I8 => (-128, 127),
        DType::U8 => (0, 255),
        DType::I4 => (-8, 7),
        DType::I2 => (-1, 1),
        DType::F32 | DType::Bf16 | DType::F16 | DType::F8E4M3 | DType::F8E5M2 | DType::I32 => {
            (i32::MIN, i32::MAX)
        }
    }
}

/// The bits of element `index` of a packed run; 0 beyond its end.
#[inline(always)]
fn bits_at(dtype: DType, bytes: &[u8], index: usize) -> u32 {
    match dtype.bits() {
        32 => bytes
            .get(index * 4..index * 4 + 4)
            .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        16 => bytes
            .get(index * 2..index * 2 + 2)
            .map_or(0, |b| u16::from_le_bytes([b[0], b[1]]).into()),
        width => {
            let per = 8 / width as usize;
            let byte = bytes.get(index / per).copied().unwrap_or(0);
            let low = byte >> (index % per * width as usize);
            u32::from(low) & ((1 << width) - 1)
        }
    }
}

/// Element `index` of a packed run of integers; 0 beyond its end, and for floats.
#[inline(always)]
pub fn read_int(dtype: DType, bytes: &[u8], index: usize) -> i32 {
    let bits = bits_at(dtype, bytes, index) as i32;
    match dtype {
        DType::I32 => bits,
        DType::U8 => bits,
        DType::I8 => bits << 24 >> 24,
        DType::I4 => bits << 28 >> 28,
        DType::I2 => bits << 30 >> 30,
        DType::F32 | DType::Bf16 | DType::F16 | DType::F8E4M3 | DType::F8E5M2 => 0,
    }
}

/// Element `index` of a packed run as f32; 0 beyond its end.
#[inline(always)]
pub fn read(dtype: DType, bytes: &[u8], index: usize) -> f32 {
    let bits = bits_at(dtype, bytes, index);
    match dtype {
        DType::F32 => f32::from_bits(bits),
        DType::Bf16 => from_bf16(bits as u16),
        DType::F16 => from_f16(bits as u16),
        DType::F8E4M3 => from_f8e4m3(bits as u8),
        DType::F8E5M2 => from_f8e5m2(bits as u8),
        DType::I32 | DType::I8 | DType::U8 | DType::I4 | DType::I2 => {
            read_int(dtype, bytes, index) as f32
        }
    }
}

/// The bits of `x` in `dtype`.
#[inline(always)]
pub fn code(dtype: DType, x: f32) -> u32 {
    match dtype {
        DType::F32 => x.to_bits(),
        DType::Bf16 => to_bf16(x).into(),
        DType::F16 => to_f16(x).into(),
        DType::F8E4M3 => to_f8e4m3(x).into(),
        DType::F8E5M2 => to_f8e5m2(x).into(),
        DType::I32 | DType::I8 | DType::U8 | DType::I4 | DType::I2 => {
            let (lo, hi) = int_range(dtype);
            int_code(dtype, to_int(x, lo, hi))
        }
    }
}

/// The bits of the integer `x` in the integer type `dtype`, the nearest of its range.
#[inline(always)]
pub fn int_code(dtype: DType, x: i32) -> u32 {
    let (lo, hi) = int_range(dtype);
    let clamped = if x < lo { lo } else { x };
    let clamped = if clamped > hi { hi } else { clamped } as u32;
    match dtype.bits() {
        32 => clamped,
        width => clamped & ((1 << width) - 1),
    }
}

/// Writes a run from the bits of its elements; surplus bits of the last byte become 0, `bytes` beyond the run stay.
#[inline(always)]
fn pack(dtype: DType, codes: impl ExactSizeIterator<Item = u32>, bytes: &mut [u8]) {
    match dtype.bits() {
        32 => bytes
            .chunks_exact_mut(4)
            .zip(codes)
            .for_each(|(b, c)| b.copy_from_slice(&c.to_le_bytes())),
        16 => bytes
            .chunks_exact_mut(2)
            .zip(codes)
            .for_each(|(b, c)| b.copy_from_slice(&(c as u16).to_le_bytes())),
        8 => bytes.iter_mut().zip(codes).for_each(|(b, c)| *b = c as u8),
        width => {
            let per = 8 / width as usize;
            for (i, c) in codes.enumerate() {
                if let Some(byte) = bytes.get_mut(i / per) {
                    if i % per == 0 {
                        *byte = 0;
                    }
                    *byte |= (c << (i % per * width as usize)) as u8;
                }
            }
        }
    }
}

/// Reads a packed run, one element for each of `out`.
#[inline(always)]
pub fn read_run(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    out.iter_mut()
        .enumerate()
        .for_each(|(i, x)| *x = read(dtype, bytes, i));
}

/// Writes a packed run.
#[inline(always)]
pub fn write_run(dtype: DType, values: &[f32], bytes: &mut [u8]) {
    pack(dtype, values.iter().map(|&x| code(dtype, x)), bytes);
}

/// Writes a packed run of integers; `dtype` is an integer type.
#[inline(always)]
pub fn write_int_run(dtype: DType, values: &[i32], bytes: &mut [u8]) {
    pack(dtype, values.iter().map(|&x| int_code(dtype, x)), bytes);
}

#[cfg(test)]
mod tests;
