//! A small random generator and random tensors, shared by the tests.

#![allow(dead_code)] // no test uses all of it

use llmc_ir::{Bindings, Type};
use llmc_tensor::{DType, Tensor};

/// SplitMix64.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 .. n
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// -1 .. 1
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// Floats in -1 .. 1, integers in 0 .. 3, bools.
pub fn random_tensor(rng: &mut Rng, ty: &Type, bindings: &Bindings) -> Tensor {
    let shape: Vec<usize> = ty
        .shape
        .iter()
        .map(|d| d.eval_len(bindings).unwrap())
        .collect();
    let n: usize = shape.iter().product();
    match ty.dtype {
        d if d.is_float() => {
            Tensor::from_f64(d, shape, &(0..n).map(|_| rng.unit()).collect::<Vec<_>>())
        }
        DType::Bool => Tensor::from_vec(shape, (0..n).map(|_| rng.below(2) == 1).collect()),
        d => Tensor::from_i64(
            d,
            shape,
            &(0..n).map(|_| rng.below(3) as i64).collect::<Vec<_>>(),
        ),
    }
    .unwrap()
}
