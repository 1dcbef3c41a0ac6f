//! Sine, cosine and tangent, and their inverses.

use super::{ROUND, fma, horner};

/// Largest magnitude that [`sin`] and [`cos`] accept.
pub const SINCOS_MAX: f32 = 1_048_576.0;

/// `x` minus a multiple of pi/2 that leaves at most about pi/4 (pi/2 in three parts), and the multiple modulo 4.
#[inline(always)]
fn quadrant(x: f32) -> (f32, u32) {
    let shifted = fma(x, std::f32::consts::FRAC_2_PI, ROUND);
    let n = shifted - ROUND;
    let r = fma(n, -std::f32::consts::FRAC_PI_2, x);
    let r = fma(n, 4.371_139e-8, r);
    let r = fma(n, 1.715_124_5e-15, r);
    (r, shifted.to_bits() & 3)
}

/// Sine and cosine of a reduced argument.
#[inline(always)]
fn reduced(r: f32) -> (f32, f32) {
    let s = r * r;
    let sine = fma(
        r * s,
        horner(
            s,
            [2.723_757_7e-6, -1.983_999e-4, 8.333_332e-3, -1.666_666_7e-1],
        ),
        r,
    );
    let cosine_tail = horner(
        s,
        [
            -2.729_065_3e-7,
            2.480_052e-5,
            -1.388_888_8e-3,
            4.166_666_8e-2,
        ],
    );
    (sine, fma(s * s, cosine_tail, fma(-0.5, s, 1.0)))
}

/// `value` if `x` is small enough to be reduced.
#[inline(always)]
fn reducible(x: f32, value: f32) -> f32 {
    if x.abs() <= SINCOS_MAX {
        value
    } else {
        f32::NAN
    }
}

/// Sine (`turn` 0) or cosine (`turn` 1) of `x`.
#[inline(always)]
fn sincos(x: f32, turn: u32) -> f32 {
    let (r, q) = quadrant(x);
    let (sine, cosine) = reduced(r);
    let q = q.wrapping_add(turn);
    let value = if q & 1 == 0 { sine } else { cosine };
    reducible(x, if q & 2 == 0 { value } else { -value })
}

/// Sine. Absolute error at most 1e-7 up to [`SINCOS_MAX`]; NaN beyond.
#[inline(always)]
pub fn sin(x: f32) -> f32 {
    sincos(x, 0)
}

/// Cosine. Absolute error at most 1e-7 up to [`SINCOS_MAX`]; NaN beyond.
#[inline(always)]
pub fn cos(x: f32) -> f32 {
    sincos(x, 1)
}

/// Tangent. Error at most 4 ULP up to 10000, NaN beyond [`SINCOS_MAX`].
///
/// sine over cosine of the reduced argument, or minus the inverse.
#[inline(always)]
pub fn tan(x: f32) -> f32 {
    let (r, q) = quadrant(x);
    let (sine, cosine) = reduced(r);
    let odd = q & 1 == 1;
    let (top, bottom) = if odd { (-cosine, sine) } else { (sine, cosine) };
    reducible(x, top / bottom)
}

/// Arc sine. Error at most 2.5 ULP; NaN outside -1 to 1.
///
/// `x + x^3 q(x^2)` up to 0.5, q of degree 4; above, `pi/2 - 2 asin(sqrt((1 - |x|) / 2))` with the sign of x.
#[inline(always)]
pub fn asin(x: f32) -> f32 {
    let a = x.abs();
    let large = a > 0.5;
    let z = if large { 0.5 * (1.0 - a) } else { a * a };
    let y = if large { z.sqrt() } else { a };
    let q = horner(
        z,
        [
            4.216_32e-2,
            2.418_131e-2,
            4.547_002_6e-2,
            7.495_303e-2,
            1.666_675_2e-1,
        ],
    );
    let value = fma(y * z, q, y);
    let turned = fma(-2.0, value, std::f32::consts::FRAC_PI_2);
    (if large { turned } else { value }).copysign(x)
}

/// Arc tangent. Error at most 3 ULP.
///
/// `x + x^3 q(x^2)` up to tan(pi/8), q of degree 3; above, `pi/4 + atan((x - 1) / (x + 1))`; above tan(3 pi/8), `pi/2 - atan(1 / x)`;
/// with the sign of x.
#[inline(always)]
pub fn atan(x: f32) -> f32 {
    use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};
    let a = x.abs();
    let (middle, large) = (a > 0.414_213_57, a > 2.414_213_7);
    let turned = if large {
        -1.0 / a
    } else {
        (a - 1.0) / (a + 1.0)
    };
    let y = if middle { turned } else { a };
    let base = if large { FRAC_PI_2 } else { FRAC_PI_4 };
    let base = if middle { base } else { 0.0 };
    let z = y * y;
    let q = horner(
        z,
        [
            8.053_744_6e-2,
            -1.387_768_6e-1,
            1.997_771_1e-1,
            -3.333_295e-1,
        ],
    );
    (base + fma(y * z, q, y)).copysign(x)
}
