//! Error bounds against f64 references, measured over all bf16 and f16 inputs and a dense sample of f32.

use super::*;
use crate::operand::{BinaryFn, IntFn, QuantFn, UnaryFn};

/// Distance of `got` from `want` in units in the last place of f32 at `want`.
fn ulps(got: f32, want: f64) -> f64 {
    if got.is_nan() && want.is_nan()
        || f64::from(got) == want
        || (want as f32) == got && got.is_infinite()
    {
        return 0.0;
    }
    let exponent =
        (want.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor() as i32).clamp(-126, 127);
    (f64::from(got) - want).abs() / 2_f64.powi(exponent - 23)
}

/// All bf16 and f16 values and every 4099th f32.
fn inputs() -> impl Iterator<Item = f32> {
    let bf16 = (0..=u16::MAX).map(from_bf16);
    let f16 = (0..=u16::MAX).map(|b| half::f16::from_bits(b).to_f32());
    let sample = (0..=u32::MAX / 4099).map(|i| f32::from_bits(i * 4099));
    bf16.chain(f16).chain(sample).filter(|x| !x.is_nan())
}

/// Asserts that the worst error over the inputs with `lo <= x <= hi` is at most `bound`.
#[track_caller]
fn check(
    (lo, hi): (f32, f32),
    bound: f64,
    f: impl Fn(f32) -> f32,
    exact: impl Fn(f64) -> f64,
    error: impl Fn(f32, f64) -> f64,
) {
    let mut worst = (0.0, 0.0);
    for x in inputs().filter(|x| (lo..=hi).contains(x)) {
        let e = error(f(x), exact(f64::from(x)));
        assert!(
            !e.is_nan(),
            "f({x:?}) = {:?}, exactly {:?}",
            f(x),
            exact(f64::from(x))
        );
        if e > worst.0 {
            worst = (e, x);
        }
    }
    eprintln!(
        "worst error {:.3e} at {:?}, bound {bound}",
        worst.0, worst.1
    );
    assert!(
        worst.0 <= bound,
        "error {} at {:?} exceeds {bound}",
        worst.0,
        worst.1
    );
}

/// erf by its Taylor series, or the continued fraction of erfc.
fn erf64(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 2.5 {
        let mut term = a;
        let mut sum = a;
        for n in 1..80 {
            term *= -a * a / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let tail = (1..80).rev().fold(a, |t, k| a + f64::from(k) / 2.0 / t);
        1.0 - (-a * a).exp() / (tail * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

const ALL: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

#[test]
fn exp_error() {
    check(ALL, 0.9, exp, f64::exp, ulps);
}

#[test]
fn log_error() {
    check(ALL, 0.75, log, f64::ln, ulps);
}

#[test]
fn rsqrt_error() {
    check((0.0, f32::INFINITY), 1.5, rsqrt, |x| 1.0 / x.sqrt(), ulps);
}

#[test]
fn sigmoid_error() {
    check(
        (-88.0, f32::INFINITY),
        2.0,
        sigmoid,
        |x| 1.0 / (1.0 + (-x).exp()),
        ulps,
    );
    assert_eq!(sigmoid(-100.0), 0.0);
}

#[test]
fn silu_error() {
    check(
        (-88.0, f32::INFINITY),
        2.0,
        silu,
        |x| x / (1.0 + (-x).exp()),
        ulps,
    );
    assert_eq!(silu(-100.0).to_bits(), (-0.0_f32).to_bits());
    assert!(silu(f32::NEG_INFINITY).is_nan());
}

#[test]
fn tanh_error() {
    check(ALL, 1.25, tanh, f64::tanh, ulps);
}

#[test]
fn erf_error() {
    check(ALL, 1.0, erf, erf64, ulps);
}

#[test]
fn gelu_error() {
    let exact = |x: f64| {
        if x == f64::NEG_INFINITY {
            f64::NAN
        } else {
            0.5 * x * (1.0 + erf64(x / 2_f64.sqrt()))
        }
    };
    let relative = |got: f32, want: f64| {
        if got.is_nan() == want.is_nan() && (want.is_nan() || f64::from(got) == want) {
            return 0.0;
        }
        (f64::from(got) - want).abs() / want.abs().max(1.0)
    };
    check((-1000.0, 1e30), 1.25e-7, gelu, exact, relative);
}

#[test]
fn sin_and_cos_error() {
    let absolute = |got: f32, want: f64| (f64::from(got) - want).abs();
    check((-SINCOS_MAX, SINCOS_MAX), 1e-7, sin, f64::sin, absolute);
    check((-SINCOS_MAX, SINCOS_MAX), 1e-7, cos, f64::cos, absolute);
    assert!(sin(2e6).is_nan() && cos(f32::INFINITY).is_nan());
}

#[test]
fn nan_goes_through() {
    use UnaryFn::*;
    for op in UnaryFn::ALL {
        let found = op.apply([f32::NAN]);
        match op {
            Relu | Not | IsInf => assert_eq!(found, 0.0),
            IsNan => assert_eq!(found, 1.0),
            other => assert!(found.is_nan(), "{}", other.name()),
        }
    }
}

#[test]
fn tan_and_inverses_error() {
    check((-1e4, 1e4), 4.0, tan, f64::tan, ulps);
    check((-1.0, 1.0), 2.5, asin, f64::asin, ulps);
    check(ALL, 3.0, atan, f64::atan, ulps);
    assert!(asin(1.1).is_nan() && tan(2e6).is_nan());
}

#[test]
fn expm1_and_log1p_error() {
    check(ALL, 2.0, expm1, f64::exp_m1, ulps);
    check((-1.0, f32::INFINITY), 2.0, log1p, f64::ln_1p, ulps);
    assert!(log1p(-1.1).is_nan() && log1p(-1.0) == f32::NEG_INFINITY);
    assert_eq!(expm1(-0.0).to_bits(), (-0.0_f32).to_bits());
}

/// Over every bf16 base with exponents of all sizes.
#[test]
fn pow_error() {
    for b in [
        2.0, 3.0, 0.5, -1.0, -0.5, 1.7, 0.001, -7.3, 31.0, 1e-20, 100.0,
    ] {
        check(
            (0.0, f32::INFINITY),
            0.51,
            |a| pow(a, b),
            |a| a.powf(f64::from(b)),
            ulps,
        );
    }
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let corners = [
        0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, inf, -inf, nan,
    ];
    for a in corners {
        for b in corners {
            let (found, want) = (pow(a, b), f64::from(a).powf(f64::from(b)) as f32);
            let same = found.to_bits() == want.to_bits() || found.is_nan() && want.is_nan();
            assert!(same, "{a}^{b} = {found}, exactly {want}");
        }
    }
}

#[test]
fn remainders() {
    let cases = [
        (BinaryFn::Rem, -7.5, 2.0, -1.5),
        (BinaryFn::Rem, 7.5, -2.0, 1.5),
        (BinaryFn::Mod, -7.5, 2.0, 0.5),
        (BinaryFn::Mod, 7.5, -2.0, -0.5),
        (BinaryFn::Mod, 6.0, -2.0, 0.0),
        (BinaryFn::Mod, 1e30, 7.0, 1e30 % 7.0),
    ];
    for (op, a, b, want) in cases {
        assert_eq!(op.apply([a, b]), want, "{} {a} {b}", op.name());
    }
    assert!(BinaryFn::Mod.apply([1.0, 0.0]).is_nan());
}

#[test]
fn special_values() {
    assert_eq!(
        (exp(0.0), exp(f32::NEG_INFINITY), exp(f32::INFINITY)),
        (1.0, 0.0, f32::INFINITY)
    );
    assert_eq!((exp(-1e30), exp(1e30)), (0.0, f32::INFINITY));
    assert_eq!(
        (log(1.0), log(0.0), log(f32::INFINITY)),
        (0.0, f32::NEG_INFINITY, f32::INFINITY)
    );
    assert!(log(-1.0).is_nan());
    assert_eq!(
        (tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(0.0)),
        (1.0, -1.0, 0.0)
    );
    assert_eq!((erf(f32::INFINITY), erf(f32::NEG_INFINITY)), (1.0, -1.0));
    assert_eq!(
        (
            sigmoid(f32::INFINITY),
            sigmoid(f32::NEG_INFINITY),
            sigmoid(0.0)
        ),
        (1.0, 0.0, 0.5)
    );
}

#[test]
fn bf16_agrees_with_half() {
    for x in (0..=u32::MAX / 997)
        .map(|i| f32::from_bits(i * 997))
        .chain(inputs())
    {
        assert_eq!(to_bf16(x), half::bf16::from_f32(x).to_bits(), "{x:?}");
    }
    assert_eq!(round_bf16(1.003_906_3), 1.0, "ties to even");
}

#[test]
fn reductions_follow_the_specified_order() {
    let x: Vec<f32> = (0..37).map(|i| 1.0 / (i as f32 + 0.7)).collect();
    let y: Vec<f32> = (0..37).map(|i| (i as f32).sqrt() - 2.0).collect();
    let mut sum = [0.0_f32; 8];
    let mut dot = [0.0_f32; 8];
    for i in 0..37 {
        sum[i % 8] += x[i];
        dot[i % 8] = x[i].mul_add(y[i], dot[i % 8]);
    }
    let tree = |l: [f32; 8]| ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
    assert_eq!(reduce8(ReduceFn::Sum, &x).to_bits(), tree(sum).to_bits());
    assert_eq!(dot8(&x, &y).to_bits(), tree(dot).to_bits());
    assert_eq!(dot8(&x, &x), reduce8(ReduceFn::Sumsq, &x));
    assert_eq!(reduce8(ReduceFn::Maxr, &y), 4.0);
    assert_eq!(
        (reduce8(ReduceFn::Sum, &[]), reduce8(ReduceFn::Maxr, &[])),
        (0.0, f32::NEG_INFINITY)
    );
}

#[test]
fn integers_wrap() {
    use IntFn::*;
    let cases = [
        (Iadd, i32::MAX, 1, i32::MIN),
        (Isub, i32::MIN, 1, i32::MAX),
        (Imul, 1 << 20, 1 << 12, 0),
        (Imin, -3, 2, -3),
        (Imax, -3, 2, 2),
        (Ishl, 3, 4, 48),
        (Ishl, 3, 32, 0),
        (Ishl, 3, -1, 0),
        (Ishr, -5, 1, -3),
        (Ishr, -5, 40, -1),
        (Iand, 6, 3, 2),
        (Ior, 6, 3, 7),
        (Ixor, 6, 3, 5),
        (Ieq, 4, 4, 1),
        (Ilt, 4, 4, 0),
        (Idiv, -7, 2, -4),
        (Idiv, 7, -2, -4),
        (Idiv, 7, 0, 0),
        (Idiv, i32::MIN, -1, i32::MIN),
        (Imod, -7, 2, 1),
        (Imod, 7, -2, -1),
        (Imod, 7, 0, 7),
        (Imod, i32::MIN, -1, 0),
        (Iquo, -7, 2, -3),
        (Iquo, 7, 0, 0),
        (Iquo, i32::MIN, -1, i32::MIN),
        (Irem, -7, 2, -1),
        (Irem, 7, 0, 7),
        (Ilshr, -1, 28, 15),
        (Ilshr, -1, 32, 0),
    ];
    for (op, a, b, want) in cases {
        assert_eq!(op.apply([a, b]), want, "{} {a} {b}", op.name());
    }
    assert!(IntFn::ALL.iter().all(|op| cases.iter().any(|c| c.0 == *op)));
}

#[test]
fn comparisons_and_selections() {
    let nan = f32::NAN;
    assert_eq!([-2.0, 0.0, -0.0, 3.0].map(sign), [-1.0, 0.0, -0.0, 1.0]);
    let all = |a, b| {
        BinaryFn::ALL[6..13]
            .iter()
            .map(|op| op.apply([a, b]))
            .collect::<Vec<_>>()
    };
    assert_eq!(all(1.0, 2.0), [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    assert_eq!(all(0.0, -0.0), [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(all(nan, 0.0), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    assert_eq!(reduce8(ReduceFn::Minr, &[3.0, -1.0, nan, 2.0]), -1.0);
    assert_eq!(reduce8(ReduceFn::Absmax, &[3.0, -7.0, nan]), 7.0);
    assert_eq!(argmax(&[nan, 1.0, 3.0, 3.0]), 2);
    assert_eq!(argmin(&[nan, 1.0, -3.0, -3.0]), 2);
    assert_eq!(reduce8(ReduceFn::Prod, &[3.0, -1.0, 2.0]), -6.0);
    assert_eq!((argmax(&[]), argmax(&[f32::NEG_INFINITY; 3])), (0, 0));
    assert_eq!(QuantFn::Quantz.apply([5.0, 2.0, 10.0]), 12.0);
    assert_eq!(QuantFn::Dequantz.apply([12.0, 2.0, 10.0]), 4.0);
    assert!(QuantFn::Quant.apply([0.0, 0.0, 0.0]).is_nan());
}
