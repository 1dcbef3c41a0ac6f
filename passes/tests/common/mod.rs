//! Shared by the tests of passes.
#![allow(dead_code)] // each test crate uses a part

pub mod llama;

use llmc_ir::{Bindings, Graph, Type};
use llmc_tensor::{DType, Tensor};

/// Small deterministic random numbers (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Between -1 and 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// A tensor of numbers between -scale and scale.
    pub fn tensor(&mut self, shape: &[usize], scale: f32) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| self.unit() * scale)
            .collect();
        Tensor::from_vec(shape.to_vec(), values).expect("shape fits")
    }

    /// A random value of a type; integers are small indices.
    pub fn of_type(&mut self, ty: &Type, at: &Bindings) -> Tensor {
        let shape: Vec<usize> = ty
            .shape
            .iter()
            .map(|dim| dim.eval_len(at).expect("bound"))
            .collect();
        let count: usize = shape.iter().product();
        match ty.dtype {
            DType::F32 => self.tensor(&shape, 1.0),
            DType::Bool => {
                let values: Vec<f64> = (0..count).map(|_| (self.next() >> 63) as f64).collect();
                Tensor::from_f64(DType::Bool, shape, &values).expect("shape fits")
            }
            dtype => {
                let values: Vec<i64> = (0..count).map(|_| (self.next() >> 61) as i64).collect();
                Tensor::from_i64(dtype, shape, &values).expect("shape fits")
            }
        }
    }
}

/// Fails unless the tensors are equal up to `tolerance` of the largest number.
pub fn assert_close(what: &str, have: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(have.shape(), want.shape(), "{what}: shapes");
    let (have, want) = (have.to_f64_vec(), want.to_f64_vec());
    let scale = want
        .iter()
        .filter(|v| v.is_finite())
        .fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (h, w)) in have.iter().zip(&want).enumerate() {
        let same = h == w || (h.is_nan() && w.is_nan()) || (h - w).abs() <= tolerance * scale;
        assert!(
            same,
            "{what}: element {i} is {h}, should be {w} (within {tolerance} of {scale})"
        );
    }
}

/// How many nodes of each op there are, as `name count`, sorted by name; constants and inputs left out.
pub fn op_counts(graph: &Graph) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::new();
    for (_, node) in graph.iter() {
        *counts.entry(node.op.name()).or_insert(0usize) += 1;
    }
    counts.remove("const");
    counts.remove("input");
    counts
        .into_iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect()
}
