//! Powers, and exponential and logarithm near 0 and 1.

use super::{exp, fma, horner, log, scale2};

/// `exp(x) - 1`. Error at most 2 ULP.
///
/// `2^n (e^r - 1) + (2^n - 1)` with n and r as in [`exp`].
#[inline(always)]
pub fn expm1(x: f32) -> f32 {
    // Below, the result is -1; NaN passes.
    let y = if x < -20.0 { -20.0 } else { x };
    let y = if y > 88.0 { 88.0 } else { y };
    let shifted = fma(y, std::f32::consts::LOG2_E, super::ROUND);
    let n = shifted - super::ROUND;
    let r = fma(n, -std::f32::consts::LN_2, y);
    let r = fma(n, 1.904_654_2e-9, r);
    let q = horner(
        r,
        [
            1.392_617_6e-3,
            8.363_173e-3,
            4.166_655_6e-2,
            1.666_657_8e-1,
            0.5,
        ],
    );
    let p = fma(r * r, q, r);
    let n = (shifted.to_bits() as i32).wrapping_sub(super::ROUND.to_bits() as i32);
    let power = scale2(1.0, n);
    let value = fma(power, p, power - 1.0);
    // exp overflows where it should, and so far above 1 that the 1 is lost.
    let value = if x > 88.0 { exp(x) } else { value };
    // Keeps the sign of a zero, and NaN.
    if x == 0.0 || x.is_nan() { x } else { value }
}

/// `ln(1 + x)`. Error at most 2 ULP; -inf at -1, NaN below.
///
/// `ln u + (x - (u - 1)) / u` with `u = 1 + x` as rounded.
#[inline(always)]
pub fn log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let lost = (x - (u - 1.0)) / u;
    // Nothing is lost, or nothing matters, where u is infinite, 0 or NaN.
    let value = log(u) + if lost.is_nan() { 0.0 } else { lost };
    if x == 0.0 { x } else { value }
}

/// `a` to the power `b`, as IEEE 754 has it. Error at most 0.51 ULP.
///
/// `sign * e^(b ln |a|)` in binary64: `ln |a| = n ln 2 + 2 (s + s^3/3 + ..)`, `s = (m - 1) / (m + 1)`, m in [sqrt(1/2), sqrt(2));
/// the exponential is `2^k` times a polynomial of degree 12.
#[inline(always)]
pub fn pow(a: f32, b: f32) -> f32 {
    let whole = b.trunc() == b;
    // Half of an odd number is no whole number; floats above 2^24 are all even.
    let odd = whole && (b * 0.5).trunc() != b * 0.5;
    let magnitude = power64(a.abs(), b);
    let zero = if b < 0.0 { f32::INFINITY } else { 0.0 };
    let infinite = if b < 0.0 { 0.0 } else { f32::INFINITY };
    let value = if a == 0.0 { zero } else { magnitude };
    let value = if a.abs() == f32::INFINITY {
        infinite
    } else {
        value
    };
    // An infinite exponent decides by which side of 1 the base is.
    let grows = (a.abs() > 1.0) == (b > 0.0);
    let limit = if grows { f32::INFINITY } else { 0.0 };
    let limit = if a.abs() == 1.0 { 1.0 } else { limit };
    let value = if b.abs() == f32::INFINITY {
        limit
    } else {
        value
    };
    let negative = a.is_sign_negative();
    let value = if negative && odd { -value } else { value };
    let undefined = a < 0.0 && a != f32::NEG_INFINITY && !whole && b.abs() != f32::INFINITY;
    let value = if undefined || a.is_nan() || b.is_nan() {
        f32::NAN
    } else {
        value
    };
    if b == 0.0 || a == 1.0 { 1.0 } else { value }
}

/// `a^b` for finite a above 0 and finite b.
#[inline(always)]
fn power64(a: f32, b: f32) -> f32 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const ONE: f64 = 1.0;
    // Moving sqrt(1/2) to a power of two makes the exponent field count from there.
    let offset = f64::from(a).to_bits().wrapping_sub(SQRT_HALF);
    let n = ((offset as i64) >> 52) as f64;
    let m = f64::from_bits((offset & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut series = ONE / 19.0;
    for k in [17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series.mul_add(z, ONE / k);
    }
    let ln = n.mul_add(std::f64::consts::LN_2, 2.0 * s * series);
    let t = f64::from(b) * ln;
    let t = if t > 100.0 { 100.0 } else { t };
    let t = if t < -110.0 { -110.0 } else { t };
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    let shifted = t.mul_add(std::f64::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-std::f64::consts::LN_2, t);
    let mut e = ONE / 479_001_600.0;
    for factorial in [
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5_040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0,
        1.0,
    ] {
        e = e.mul_add(r, ONE / factorial);
    }
    let k = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let scale = f64::from_bits(((i64::from(k) + 1023) as u64) << 52);
    (e * scale) as f32
}
