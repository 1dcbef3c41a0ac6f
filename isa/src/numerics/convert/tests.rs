//! Conversions against their meaning: exhaustive over the narrow types, dense over f32.

use super::*;

/// Every 997th f32 pattern and its neighbours around all narrow values.
fn inputs() -> impl Iterator<Item = f32> {
    let dense = (0..=u32::MAX / 997).map(|i| f32::from_bits(i * 997));
    let near = (0..=u16::MAX).flat_map(|b| {
        let bits = from_f16(b).to_bits();
        (0..5).map(move |d| f32::from_bits(bits.wrapping_add(d).wrapping_sub(2)))
    });
    dense.chain(near)
}

#[test]
fn f16_agrees_with_half() {
    for b in 0..=u16::MAX {
        let (ours, theirs) = (from_f16(b), half::f16::from_bits(b).to_f32());
        assert!(
            ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(),
            "{b:#x}"
        );
        if !ours.is_nan() {
            assert_eq!(to_f16(ours), b);
        }
    }
    for x in inputs() {
        let (ours, theirs) = (to_f16(x), half::f16::from_f32(x));
        assert!(
            ours == theirs.to_bits() || x.is_nan() && from_f16(ours).is_nan(),
            "{x:?}"
        );
    }
}

/// The value of a float pattern by the textbook.
fn meaning(code: u8, mant: u32, bias: i32) -> f64 {
    let (e, m) = (
        i32::from(code & 0x7f) >> mant,
        i32::from(code) & ((1 << mant) - 1),
    );
    let one = 2_f64.powi(mant as i32);
    let size = match e {
        0 => f64::from(m) / one * 2_f64.powi(1 - bias),
        e => (1.0 + f64::from(m) / one) * 2_f64.powi(e - bias),
    };
    if code & 0x80 == 0 { size } else { -size }
}

/// The pattern in `0..=max` nearest to |x|, ties to even, found by looking at all.
fn nearest(x: f32, max: u8, mant: u32, bias: i32) -> u8 {
    let a = f64::from(x.abs()).min(1e6);
    let distance = |c: u8| (meaning(c, mant, bias) - a).abs();
    let best = (0..=max)
        .min_by(|&p, &q| {
            distance(p)
                .total_cmp(&distance(q))
                .then((p % 2).cmp(&(q % 2)))
        })
        .unwrap();
    best | (x.is_sign_negative() as u8) << 7
}

#[test]
fn fp8_is_the_nearest_pattern() {
    for b in 0..=u8::MAX {
        let (e4m3, e5m2) = (from_f8e4m3(b), from_f8e5m2(b));
        match b & 0x7f {
            0x7f => assert!(e4m3.is_nan()),
            _ => {
                assert_eq!(f64::from(e4m3), meaning(b, 3, 7), "{b:#x}");
                assert_eq!(to_f8e4m3(e4m3), b);
            }
        }
        match b & 0x7f {
            0x7d.. => assert!(e5m2.is_nan()),
            0x7c => assert!(e5m2.is_infinite() && to_f8e5m2(e5m2) == b - 1),
            _ => {
                assert_eq!(f64::from(e5m2), meaning(b, 2, 15), "{b:#x}");
                assert_eq!(to_f8e5m2(e5m2), b);
            }
        }
    }
    for x in inputs().step_by(7) {
        let sign = (x.is_sign_negative() as u8) << 7;
        if x.is_nan() {
            assert_eq!((to_f8e4m3(x), to_f8e5m2(x)), (0x7f | sign, 0x7e | sign));
        } else {
            assert_eq!(to_f8e4m3(x), nearest(x, 0x7e, 3, 7), "{x:?}");
            assert_eq!(to_f8e5m2(x), nearest(x, 0x7b, 2, 15), "{x:?}");
        }
    }
}

#[test]
fn integers_round_half_to_even_and_saturate() {
    let to = |dtype, x| {
        let mut bytes = [0xff; 4];
        write_run(dtype, &[x], &mut bytes);
        read_int(dtype, &bytes, 0)
    };
    for (x, i8s, u8s, i4s, i2s) in [
        (0.5, 0, 0, 0, 0),
        (1.5, 2, 2, 2, 1),
        (-0.5, 0, 0, 0, 0),
        (-1.5, -2, 0, -2, -1),
        (2.5, 2, 2, 2, 1),
        (126.5, 126, 126, 7, 1),
        (127.5, 127, 128, 7, 1),
        (-1e9, -128, 0, -8, -1),
        (f32::INFINITY, 127, 255, 7, 1),
        (f32::NAN, 0, 0, 0, 0),
    ] {
        let found = [DType::I8, DType::U8, DType::I4, DType::I2].map(|t| to(t, x));
        assert_eq!(found, [i8s, u8s, i4s, i2s], "{x}");
    }
    assert_eq!(to(DType::I32, 2_147_483_648.0), i32::MAX);
    assert_eq!(to(DType::I32, -1e20), i32::MIN);
    assert_eq!(
        read(DType::I32, &i32::MAX.to_le_bytes(), 0),
        2_147_483_648.0
    );
    assert_eq!(int_code(DType::I8, 1000), 127);
    assert_eq!(int_code(DType::I2, -2), 3);
}

#[test]
fn the_first_of_packed_elements_is_in_the_lowest_bits() {
    let mut bytes = [0xff; 3];
    write_run(DType::I4, &[1.0, -1.0, 7.0], &mut bytes);
    assert_eq!(bytes, [0xf1, 0x07, 0xff]);
    write_run(DType::I2, &[1.0, -1.0, 0.0, 1.0, -1.0], &mut bytes);
    assert_eq!(bytes, [0b01_00_11_01, 0b11, 0xff]);
    let mut back = [0.0; 5];
    read_run(DType::I2, &bytes, &mut back);
    assert_eq!(back, [1.0, -1.0, 0.0, 1.0, -1.0]);
    assert_eq!(read_int(DType::I2, &[0b10], 0), -2);
    assert_eq!(read(DType::I4, &[], 3), 0.0);
    assert_eq!(
        (
            DType::I2.size_of(5),
            DType::I4.size_of(3),
            DType::F16.size_of(3)
        ),
        (2, 2, 6)
    );
}

/// All patterns of all types survive reading and writing, but for -2 as i2 and infinities as fp8.
#[test]
fn patterns_survive() {
    for &dtype in DType::ALL {
        for bits in 0..1_u32 << dtype.bits().min(16) {
            let bytes = bits.to_le_bytes();
            let x = read(dtype, &bytes, 0);
            let kept = match dtype {
                DType::I2 => bits != 2,
                DType::F8E5M2 => x.is_finite(),
                _ => !x.is_nan(),
            };
            if kept {
                assert_eq!(code(dtype, x), bits, "{dtype:?}");
            }
        }
    }
}
