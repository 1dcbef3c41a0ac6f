//! Every table gives the bits of the scalar definitions, whatever the shape.

use super::*;
use llmc_isa::numerics;
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
        let visible = Visible { q_pos, kv_pos, causal, window };
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
                let expected: Vec<f32> = a.iter().map(|a| numerics::unary(op, a.mul_add(scale, bias))).collect();
                prop_assert!(same(&x, &expected), "{:?} {:?}", kernels, op);
            }
            for &op in BinaryFn::ALL {
                let mut x = a.clone();
                kernels.binary(op, &mut x, &b);
                let expected: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| numerics::binary(op, a, b)).collect();
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
}
