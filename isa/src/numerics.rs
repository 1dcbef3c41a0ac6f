//! Chip arithmetic, to the bit.
//!
//! Each function here *is* the definition of what the chip computes; faster versions must equal it bit for bit. Only IEEE
//! `+ - * / sqrt fma`, comparisons, selections and bit operations are used, on binary32 (binary64 inside [`pow`]), all
//! rounding to nearest even, so that every host gives the same bits. Which function a mnemonic names is in [`crate::function`]. Which NaN a NaN result is, is not defined.
//!
//! Error bounds are stated per function, in ULP of the f32 result against exact values, and are asserted by the tests over all
//! bf16 and f16 inputs and a dense sample of f32 inputs.
//!
//! The functions are branch-free selections, and `inline(always)`, so that loops over them vectorise; `mul_add` is only fast
//! where the caller is compiled with the `fma` target feature, but gives the same bits everywhere.

pub mod convert;
mod power;
mod trig;

pub use power::{expm1, log1p, pow};
pub use trig::{SINCOS_MAX, asin, atan, cos, sin, tan};

use crate::operand::ReduceFn;

/// Lanes of reductions and dot products.
pub const LANES: usize = 8;

/// Adding and subtracting this rounds a float of magnitude below 2^22 to an integer, which is then in the low bits.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// `fma(a, b, c)`: one rounding.
#[inline(always)]
fn fma(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

/// Evaluates a polynomial by Horner's rule with fma; the coefficient of the highest power comes first.
#[inline(always)]
fn horner<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for c in &coefficients[1..] {
        sum = fma(sum, x, *c);
    }
    sum
}

/// bf16 bits of `x`, to nearest, ties to even; NaN stays NaN.
#[inline(always)]
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    (if x.is_nan() { quiet } else { rounded }) as u16
}

/// The f32 with these bf16 bits; exact.
#[inline(always)]
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// `x` rounded to the nearest bf16, ties to even.
#[inline(always)]
pub fn round_bf16(x: f32) -> f32 {
    from_bf16(to_bf16(x))
}

/// `2^n * x` for -150 <= n <= 128, with one rounding where the result is subnormal.
#[inline(always)]
fn scale2(x: f32, n: i32) -> f32 {
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    x * power(half) * power(n.wrapping_sub(half))
}

/// e to the x. Error at most 0.9 ULP, subnormal results included.
///
/// `n = round(x / ln 2); r = x - n ln 2` with ln 2 in two parts; `e^x = 2^n (1 + r + r^2 q(r))`, q of degree 4.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these the result is 0 or infinity anyway; NaN passes both comparisons.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = fma(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma(n, -std::f32::consts::LN_2, x);
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
    let p = fma(fma(r, q, 1.0), r, 1.0);
    scale2(
        p,
        (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32),
    )
}

/// Natural logarithm. Error at most 0.75 ULP; -inf at 0, NaN below.
///
/// `x = 2^n (1 + f)` with `1 + f` in [sqrt(1/2), sqrt(2)); `ln x = n ln 2 + f - f^2/2 + f^3 q(f)`, q of degree 8.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let y = if subnormal { x * 8_388_608.0 } else { x };
    // Moving sqrt(1/2) to a power of two makes the exponent field count from there.
    let offset = y.to_bits().wrapping_sub(0x3f35_04f3);
    let n = (offset as i32) >> 23;
    let f = f32::from_bits((offset & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    let n = (if subnormal { n - 23 } else { n }) as f32;
    let q = horner(
        f,
        [
            6.971_612e-2,
            -1.147_973_4e-1,
            1.168_542e-1,
            -1.242_568_7e-1,
            1.424_905_8e-1,
            -1.666_780_3e-1,
            2.000_071_6e-1,
            -2.499_999_7e-1,
            3.333_333e-1,
        ],
    );
    let square = f * f;
    let tail = fma(f * square, q, n * 1.428_606_8e-6);
    let low = fma(-0.5, square, tail);
    let result = fma(n, 0.693_145_75, f + low);
    let result = if x == 0.0 { f32::NEG_INFINITY } else { result };
    let result = if x < 0.0 { f32::NAN } else { result };
    if x == f32::INFINITY || x.is_nan() {
        x
    } else {
        result
    }
}

/// `1 / x`. Correctly rounded.
#[inline(always)]
pub fn recip(x: f32) -> f32 {
    1.0 / x
}

/// `1 / sqrt(x)`: two roundings, error at most 1.5 ULP.
#[inline(always)]
pub fn rsqrt(x: f32) -> f32 {
    1.0 / x.sqrt()
}

/// `1 / (1 + exp(-x))`. Error at most 2 ULP for x > -88; 0 below -88.73, where `exp` overflows.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x / (1 + exp(-x))`. Error at most 2 ULP for x > -88; -0 below -88.73 down to the largest finite, NaN at -inf.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// Hyperbolic tangent. Error at most 1.25 ULP.
///
/// `x + x^3 q(x^2)` below 0.625, q of degree 4; above, `sign(x) (1 - 2 / (1 + exp(2|x|)))`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let s = x * x;
    let q = horner(
        s,
        [
            -6.096_714e-3,
            2.099_717_7e-2,
            -5.385_090_8e-2,
            1.333_277e-1,
            -3.333_332_8e-1,
        ],
    );
    let small = fma(x * s, q, x);
    let large = (1.0 - 2.0 / (1.0 + exp(2.0 * a))).copysign(x);
    if a < 0.625 { small } else { large }
}

/// `max(x, 0)`; NaN becomes 0.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    max(x, 0.0)
}

/// Error function. Error at most 1 ULP.
///
/// `x + x q(x^2)` up to 0.927734375, q of degree 5; above, `sign(x) (1 - exp(p(|x|)))`, p of degree 8 being `ln erfc`.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let s = x * x;
    let q = horner(
        s,
        [
            -5.977_572e-4,
            4.990_903_7e-3,
            -2.676_534e-2,
            1.128_179_06e-1,
            -3.761_249_2e-1,
            1.283_791_5e-1,
        ],
    );
    let small = fma(x, q, x);
    let a4 = if a > 4.0 { 4.0 } else { a };
    let p = horner(
        a4,
        [
            1.643_569_7e-6,
            -4.617_791_3e-5,
            5.977_435e-4,
            -4.763_575_3e-3,
            2.643_101_8e-2,
            -1.100_944_8e-1,
            -6.318_145_4e-1,
            -1.130_237_6,
            3.204_415_3e-4,
        ],
    );
    let large = (1.0 - exp(p)).copysign(x);
    if a <= 0.927_734_4 { small } else { large }
}

/// `0.5 x (1 + erf(x / sqrt 2))`. Absolute error at most 1.25e-7 times max(1, |x|); no relative bound for x < -1.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `a < b ? a : b`; so b if either is NaN.
#[inline(always)]
pub fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// `a > b ? a : b`; so b if either is NaN.
#[inline(always)]
pub fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// 1 or 0.
#[inline(always)]
pub(crate) fn flag(yes: bool) -> f32 {
    if yes { 1.0 } else { 0.0 }
}

/// The remainder of `a / b` with the sign of `b`; that with the sign of `a` is exact, and `b` is added where the signs differ.
#[inline(always)]
pub fn modulo(a: f32, b: f32) -> f32 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
        rest + b
    } else {
        rest
    }
}

/// -1, 1, or `x` itself if it is zero or NaN.
#[inline(always)]
pub fn sign(x: f32) -> f32 {
    let positive = if x > 0.0 { 1.0 } else { x };
    if x < 0.0 { -1.0 } else { positive }
}

/// `floor(a / b)`, wrapping; 0 if b is 0.
#[inline(always)]
pub(crate) fn floor_div(a: i32, b: i32) -> i32 {
    if b == 0 {
        return 0;
    }
    let quotient = a.wrapping_div(b);
    let above = a.wrapping_rem(b) != 0 && (a < 0) != (b < 0);
    quotient.wrapping_sub(i32::from(above))
}

/// Combines eight lanes: `((l0 f l4) f (l2 f l6)) f ((l1 f l5) f (l3 f l7))`.
#[inline(always)]
pub fn combine8(l: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    f(
        f(f(l[0], l[4]), f(l[2], l[6])),
        f(f(l[1], l[5]), f(l[3], l[7])),
    )
}

/// The lanes of a reduction: lane j takes the elements j, j+8, .. in ascending order.
#[inline(always)]
fn lanes(x: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut lanes = [start; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for j in 0..LANES {
            lanes[j] = f(lanes[j], chunk[j]);
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane = f(*lane, *v);
    }
    lanes
}

/// The reduction `vpu.{op}` of `x`. Lanes start at 0 (`maxr`: -inf, `minr`: inf) and are combined by [`combine8`] with `+`
/// (`maxr`, `absmax`: [`max`]; `minr`: [`min`]; `prod`: from 1, with `*`). [`argmax`] and [`argmin`] have no lanes.
#[inline(always)]
pub fn reduce8(op: ReduceFn, x: &[f32]) -> f32 {
    match op {
        ReduceFn::Sum => combine8(lanes(x, 0.0, |lane, v| lane + v), |a, b| a + b),
        ReduceFn::Maxr => combine8(lanes(x, f32::NEG_INFINITY, max), max),
        ReduceFn::Sumsq => combine8(lanes(x, 0.0, |lane, v| fma(v, v, lane)), |a, b| a + b),
        ReduceFn::Minr => combine8(lanes(x, f32::INFINITY, min), min),
        ReduceFn::Absmax => combine8(lanes(x, 0.0, |lane, v| max(v.abs(), lane)), max),
        ReduceFn::Argmax => argmax(x) as f32,
        ReduceFn::Prod => combine8(lanes(x, 1.0, |lane, v| lane * v), |a, b| a * b),
        ReduceFn::Argmin => argmin(x) as f32,
    }
}

/// The index of the first element that is larger than all before it and -inf; 0 if there is none. NaN is never larger.
pub fn argmax(x: &[f32]) -> u32 {
    let mut best = (f32::NEG_INFINITY, 0);
    for (i, &v) in x.iter().enumerate() {
        if v > best.0 {
            best = (v, i as u32);
        }
    }
    best.1
}

/// The index of the first element that is smaller than all before it and inf; 0 if there is none. NaN is never smaller.
pub fn argmin(x: &[f32]) -> u32 {
    let mut best = (f32::INFINITY, 0);
    for (i, &v) in x.iter().enumerate() {
        if v < best.0 {
            best = (v, i as u32);
        }
    }
    best.1
}

/// The dot product of `att.step`: lanes as in [`reduce8`] with `lane = fma(a, b, lane)`. The shorter slice counts.
#[inline(always)]
pub fn dot8(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let length = a.len().min(b.len());
    let (a, a_rest) = a[..length].as_chunks::<LANES>();
    let (b, b_rest) = b[..length].as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for j in 0..LANES {
            lanes[j] = fma(a[j], b[j], lanes[j]);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = fma(*a, *b, *lane);
    }
    combine8(lanes, |a, b| a + b)
}

#[cfg(test)]
mod tests;
