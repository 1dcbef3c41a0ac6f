//! Every table gives the bits of the scalar definitions, whatever the shape.

use super::*;
use llmc_isa::numerics::{self, convert};
use proptest::prelude::*;

/// A repeatable stream of f32: mostly ordinary, some zeros, tiny, huge.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let bits = (self.0 >> 33) as u32;
        let unit = (bits as f32) / (u32::MAX >> 1) as f32 * 2.0 - 1.0;
        match bits % 37 {
            0 => 0.0,
            1 => -0.0,
            2 => unit * 1e-39,
            3 => unit * 1e12,
            _ => unit * 3.0,
        }
    }

    fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }

    fn bf16(&mut self, n: usize) -> Vec<u16> {
        (0..n).map(|_| numerics::to_bf16(self.next())).collect()
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn mm(seed: u64, m in 0_usize..15, k in 0_usize..70, panels in 1_usize..9, gap in 0_usize..3) {
        let mut noise = Noise(seed);
        let stride = k * PANEL + gap * 16;
        let (a, c) = (noise.vec(m * k), noise.vec(m * panels * PANEL));
        let b = noise.vec(panels * stride);
        let h = noise.bf16(panels * stride);
        let (mut expected, mut expected_h) = (c.clone(), c.clone());
        mm_scalar(&mut Mm { a: &a, b: &b, stride, c: &mut expected, m, k, panels }, |x| x);
        mm_scalar(&mut Mm { a: &a, b: &h, stride, c: &mut expected_h, m, k, panels }, numerics::from_bf16);
        for kernels in Kernels::available() {
            let (mut f, mut g) = (c.clone(), c.clone());
            kernels.mm_f32(&mut Mm { a: &a, b: &b, stride, c: &mut f, m, k, panels });
            kernels.mm_bf16(&mut Mm { a: &a, b: &h, stride, c: &mut g, m, k, panels });
            prop_assert_eq!(bits(&f), bits(&expected), "{:?}", kernels);
            prop_assert_eq!(bits(&g), bits(&expected_h), "{:?}", kernels);
        }
    }

    #[test]
    fn quantised(
        seed: u64,
        m in 1_usize..6,
        groups in 1_usize..4,
        quads in 4_usize..20,
        panels in 1_usize..4,
        gap in 0_usize..2,
        b_type in prop::sample::select(vec![DType::I8, DType::I4, DType::I2, DType::F8E4M3, DType::F8E5M2]),
        ints: bool,
        zeros: bool,
    ) {
        let mut noise = Noise(seed);
        let (group, int) = (quads * 4, ints && b_type.is_int());
        let panel_bytes = b_type.size_of((groups * group * PANEL) as u64) as usize;
        let stride = panel_bytes + gap * 64;
        // No infinities and NaNs of fp8, whose sums may be any NaN.
        let b: Vec<u8> = (0..panels * stride).map(|i| match b_type {
            DType::F8E4M3 | DType::F8E5M2 => [i as u8, (noise.next() * 40.0) as i8 as u8][i % 2] & 0xf7 & 0xbf,
            _ => (noise.next() * 90.0) as i32 as u8,
        }).collect();
        let codes: Vec<i16> = (0..m * groups * group).map(|_| (noise.next() * 60.0) as i8 as i16).collect();
        let (rows, a_scale) = (noise.vec(m * groups * group), noise.vec(m));
        let scales = noise.vec(panels * groups * PANEL);
        let points: Vec<i8> = match zeros && b_type.is_int() {
            true => (0..scales.len()).map(|_| (noise.next() * 60.0) as i8).collect(),
            false => Vec::new(),
        };
        let start = noise.vec(m * panels * PANEL);
        let run = |c: &mut [f32], f: &dyn Fn(&mut Mmq<'_>)| f(&mut Mmq {
            a: if int { Left::Int(&codes, &a_scale) } else { Left::Float(&rows) },
            b: &b, stride, b_type, scales: &scales, zeros: &points, c, m, group, groups, panels,
        });
        let mut expected = start.clone();
        run(&mut expected, &|g| mmq_scalar(g));
        for kernels in Kernels::available() {
            let mut found = start.clone();
            run(&mut found, &|g| kernels.mmq(g));
            prop_assert!(same(&found, &expected), "{:?} {:?}", kernels, b_type);
        }
    }

    #[test]
    fn conversions(seed: u64, n in 0_usize..70) {
        let mut noise = Noise(seed);
        let x: Vec<f32> = (0..n).map(|i| noise.next() * [1.0, 60.0, 1e9, 1e-3][i % 4]).collect();
        for kernels in Kernels::available() {
            for &dtype in DType::ALL {
                let bytes = dtype.size_of(n as u64) as usize;
                let (mut found, mut expected) = (vec![0xaa; bytes + 3], vec![0xaa; bytes + 3]);
                kernels.write_run(dtype, &x, &mut found[..bytes]);
                convert::write_run(dtype, &x, &mut expected[..bytes]);
                prop_assert_eq!(&found, &expected, "{:?} {:?}", kernels, dtype);
                let (mut wide, mut want) = (vec![0.0; n], vec![0.0; n]);
                kernels.read_run(dtype, &found, &mut wide);
                convert::read_run(dtype, &found, &mut want);
                prop_assert_eq!(bits(&wide), bits(&want), "{:?} {:?}", kernels, dtype);
            }
        }
    }

    #[test]
    fn integers(a in prop::collection::vec(any::<i32>(), 0..40), shift in 0_i32..40, zero in 0_usize..40) {
        let mut b: Vec<i32> = a.iter().rev().map(|x| x >> shift.min(31)).collect();
        b.iter_mut().skip(zero).step_by(5).for_each(|b| *b = 0);
        for kernels in Kernels::available() {
            for &op in IntFn::ALL {
                let mut x = a.clone();
                kernels.integer(op, &mut x, &b);
                let expected: Vec<i32> = a.iter().zip(&b).map(|(&a, &b)| op.apply([a, b])).collect();
                prop_assert_eq!(x, expected, "{:?} {:?}", kernels, op);
            }
        }
    }

    #[test]
    fn codes_and_activations(seed: u64, n in 0_usize..70, biased: bool, scale in prop::option::of(0.1_f32..9.0)) {
        let mut noise = Noise(seed);
        let (a, s, z) = (noise.vec(n), noise.vec(n), noise.vec(n));
        for kernels in Kernels::available() {
            for &op in QuantFn::ALL {
                let mut x = a.clone();
                kernels.quantise(op, &mut x, &s, &z);
                let expected: Vec<f32> = (0..n).map(|i| op.apply([a[i], s[i], z[i]])).collect();
                prop_assert!(same(&x, &expected), "{:?} {:?}", kernels, op);
            }
            for &act in ActFn::ALL {
                let mut x = a.clone();
                kernels.drain(act, &mut x, biased.then_some(s.as_slice()), scale);
                let one = |i: usize| {
                    let y = act.apply([if biased { a[i] + s[i] } else { a[i] }]);
                    scale.map_or(y, |scale| y / scale)
                };
                let expected: Vec<f32> = (0..n).map(one).collect();
                prop_assert!(same(&x, &expected), "{:?} {:?}", kernels, act);
            }
            prop_assert_eq!(kernels.argmax(&a), numerics::argmax(&a));
            let mut gaps = a.clone();
            gaps.iter_mut().step_by(3).for_each(|x| *x = f32::NAN);
            prop_assert_eq!(kernels.argmax(&gaps), numerics::argmax(&gaps));
            prop_assert_eq!(kernels.argmin(&a), numerics::argmin(&a));
            prop_assert_eq!(kernels.argmin(&gaps), numerics::argmin(&gaps));
        }
    }

    #[test]
    fn attention(
        seed: u64,
        rows in 1_usize..4,
        heads in 1_usize..3,
        d in 1_usize..75,
        kv in 1_usize..21,
        q_pos in 0_i64..30,
        kv_pos in 0_i64..20,
        causal: bool,
        window in 0_u32..12,
        kv_first in 0_i64..25,
        softcap in prop::sample::select(vec![0.0_f32, 2.5]),
    ) {
        let mut noise = Noise(seed);
        let mut small = |n: usize| -> Vec<f32> { (0..n).map(|_| noise.next().clamp(-3.0, 3.0)).collect() };
        let (k_stride, v_stride) = (d + 3, d);
        let (q, k, v) = (small(rows * heads * d), small(kv * k_stride), small(kv * v_stride));
        let kh: Vec<u16> = k.iter().map(|&x| numerics::to_bf16(x)).collect();
        let vh: Vec<u16> = v.iter().map(|&x| numerics::to_bf16(x)).collect();
        let mut state = small(rows * heads * (d + 2));
        if seed % 2 == 0 {
            for one in state.chunks_exact_mut(d + 2) {
                one.fill(0.0);
                one[0] = f32::NEG_INFINITY;
            }
        }
        let visible = Visible { q_pos, kv_pos, causal, window, kv_first };
        let scale = 0.25;
        macro_rules! step {
            ($k:expr, $v:expr, $state:expr, $scores:expr) => {
                AttStep {
                    q: &q, k: $k, k_stride, v: $v, v_stride, state: $state, rows, heads, d, kv, visible, scale, softcap,
                    scores: $scores,
                }
            };
        }
        let mut scores = vec![0.0; kv];
        let (mut expected, mut expected_h) = (state.clone(), state.clone());
        step_scalar(&mut step!(&k, &v, &mut expected, &mut scores), |x: f32| x);
        step_scalar(&mut step!(&kh, &vh, &mut expected_h, &mut scores), numerics::from_bf16);
        for kernels in Kernels::available() {
            let (mut f, mut g) = (state.clone(), state.clone());
            kernels.att_f32(&mut step!(&k, &v, &mut f, &mut scores));
            kernels.att_bf16(&mut step!(&kh, &vh, &mut g, &mut scores));
            prop_assert_eq!(bits(&f), bits(&expected), "{:?}", kernels);
            prop_assert_eq!(bits(&g), bits(&expected_h), "{:?}", kernels);
        }
    }

    #[test]
    fn vectors(seed: u64, n in 0_usize..70, scale in -2.0_f32..2.0, bias in -2.0_f32..2.0) {
        let mut noise = Noise(seed);
        let (a, b) = (noise.vec(n), noise.vec(n));
        for kernels in Kernels::available() {
            for &op in UnaryFn::ALL {
                let mut x = a.clone();
                kernels.unary(op, &mut x, scale, bias);
                let expected: Vec<f32> = a.iter().map(|a| op.apply([a.mul_add(scale, bias)])).collect();
                prop_assert!(same(&x, &expected), "{:?} {:?}", kernels, op);
            }
            for &op in BinaryFn::ALL {
                let mut x = a.clone();
                kernels.binary(op, &mut x, &b);
                let expected: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| op.apply([a, b])).collect();
                prop_assert!(same(&x, &expected), "{:?} {:?}", kernels, op);
            }
            for &op in ReduceFn::ALL {
                let (x, y) = (kernels.reduce(op, &a), numerics::reduce8(op, &a));
                prop_assert!(same(&[x], &[y]), "{:?} {:?}", kernels, op);
            }
            let mut narrow = vec![0; n];
            kernels.narrow(&a, &mut narrow);
            prop_assert_eq!(&narrow, &a.iter().map(|&x| numerics::to_bf16(x)).collect::<Vec<_>>());
            let mut wide = vec![0.0; n];
            kernels.widen(&narrow, &mut wide);
            prop_assert_eq!(bits(&wide), bits(&narrow.iter().map(|&x| numerics::from_bf16(x)).collect::<Vec<_>>()));
        }
    }
}

/// Equal bits; NaNs are equal whatever their payload, which IEEE leaves open.
fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
}

#[test]
fn visible_ranges() {
    let v = Visible {
        q_pos: 10,
        kv_pos: 8,
        causal: true,
        window: 0,
        kv_first: 0,
    };
    assert_eq!(v.range(0, 16), (0, 3));
    assert_eq!(v.range(5, 4), (0, 4));
    assert_eq!(Visible { kv_pos: 11, ..v }.range(0, 16), (0, 0));
    assert_eq!(Visible { window: 2, ..v }.range(0, 16), (1, 3));
    assert_eq!(
        Visible {
            causal: false,
            window: 2,
            ..v
        }
        .range(0, 16),
        (1, 16)
    );
    assert_eq!(
        Visible {
            q_pos: 100,
            window: 4,
            ..v
        }
        .range(0, 16),
        (16, 16)
    );
    assert_eq!(Visible { kv_first: 10, ..v }.range(0, 16), (2, 3));
    assert_eq!(Visible { kv_first: 50, ..v }.range(0, 16), (3, 3));
}
