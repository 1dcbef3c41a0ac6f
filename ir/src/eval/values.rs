//! Elements as f64, i64 or bool, and indices of broadcast operands.

use super::{Eval, text};
use llmc_tensor::{DType, Tensor};

/// The elements of a tensor in the type they are computed in.
pub(super) enum Values {
    /// All floats.
    F(Vec<f64>),
    /// All integers.
    I(Vec<i64>),
    /// bool.
    B(Vec<bool>),
}

impl Values {
    pub(super) fn of(t: &Tensor) -> Values {
        match t.dtype() {
            DType::Bool => Values::B(t.to_bool_vec()),
            d if d.is_float() => Values::F(t.to_f64_vec()),
            _ => Values::I(t.to_i64_vec().unwrap_or_default()), // is not a float
        }
    }

    /// A tensor of `dtype`, rounded.
    pub(super) fn into_tensor(self, dtype: DType, shape: Vec<usize>) -> Eval<Tensor> {
        match self {
            Values::F(v) => Tensor::from_f64(dtype, shape, &v),
            Values::I(v) => Tensor::from_i64(dtype, shape, &v),
            Values::B(v) => Tensor::from_vec(shape, v),
        }
        .map_err(text)
    }
}

/// Number of elements before, in and after an axis: the axis' stride is the last.
pub(super) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    let product = |s: &[usize]| s.iter().product::<usize>();
    (
        product(&shape[..axis]),
        shape[axis],
        product(&shape[axis + 1..]),
    )
}

/// Row-major strides in elements.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// For each element of `shape` in row-major order the flat index under other strides.
pub(super) fn walk(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut flat = vec![0];
    for (dim, stride) in shape.iter().zip(strides) {
        flat = flat
            .iter()
            .flat_map(|base| (0..*dim).map(move |i| base + i * stride))
            .collect();
    }
    flat
}

/// For each element of the result the flat index into an operand that broadcasts to it.
pub(super) fn broadcast(operand: &[usize], result: &[usize]) -> Vec<usize> {
    let own = strides(operand);
    let mut all = vec![0; result.len() - operand.len()];
    all.extend(
        operand
            .iter()
            .zip(own)
            .map(|(d, s)| if *d == 1 { 0 } else { s }),
    );
    walk(result, &all)
}
