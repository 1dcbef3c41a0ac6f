//! Comparison of two tensors with a clear first mismatch.

use crate::error::TensorError;
use crate::tensor::Tensor;
use std::fmt;

/// One element that differs by more than the limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Index of the element, outermost dimension first.
    pub index: Vec<usize>,
    /// The value under test.
    pub got: f64,
    /// The value it should have.
    pub expected: f64,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Number of elements compared.
    pub elements: usize,
    /// Largest absolute difference; infinite if a NaN or an infinity stands on one side only.
    pub max_abs_error: f64,
    /// Where the largest difference is; empty if there is none.
    pub worst: Vec<usize>,
    /// Largest minus smallest finite expected value.
    pub range: f64,
    /// Largest allowed absolute difference.
    pub limit: f64,
    /// Number of elements over the limit.
    pub mismatches: usize,
    /// The first of them in row-major order.
    pub first: Option<Mismatch>,
}

impl Comparison {
    /// True if no element is over the limit.
    pub fn is_match(&self) -> bool {
        self.mismatches == 0
    }

    /// Largest absolute difference divided by the range of the expected values (by 1 if that is 0).
    pub fn relative_error(&self) -> f64 {
        self.max_abs_error / if self.range > 0.0 { self.range } else { 1.0 }
    }
}

/// Compares elementwise; an element matches if `|got - expected| <= tolerance * range`, where the range is
/// largest minus smallest expected value (1 if that is 0). Tolerance 0 asks for equality. NaN matches NaN.
/// Integers and bools are compared as f64; dtypes may differ.
///
/// # Errors
/// If the shapes differ.
pub fn compare(got: &Tensor, expected: &Tensor, tolerance: f64) -> Result<Comparison, TensorError> {
    if got.shape() != expected.shape() {
        return Err(TensorError::Shape {
            what: "tensors to compare have different shapes (got, expected)",
            left: got.shape().to_vec(),
            right: expected.shape().to_vec(),
        });
    }
    let (a, b) = (got.to_f64_vec(), expected.to_f64_vec());
    let finite = b.iter().copied().filter(|v| v.is_finite());
    let (lo, hi) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
        (lo.min(v), hi.max(v))
    });
    let range = if hi > lo { hi - lo } else { 0.0 };
    let limit = tolerance * if range > 0.0 { range } else { 1.0 };
    let mut result = Comparison {
        elements: a.len(),
        max_abs_error: 0.0,
        worst: Vec::new(),
        range,
        limit,
        mismatches: 0,
        first: None,
    };
    for (i, (&x, &y)) in a.iter().zip(&b).enumerate() {
        let error = match (x - y).abs() {
            _ if x == y || x.is_nan() && y.is_nan() => 0.0,
            e if e.is_nan() => f64::INFINITY,
            e => e,
        };
        if error > result.max_abs_error {
            result.max_abs_error = error;
            result.worst = unravel(i, got.shape());
        }
        if error > limit {
            result.mismatches += 1;
            let mismatch = || Mismatch {
                index: unravel(i, got.shape()),
                got: x,
                expected: y,
            };
            result.first.get_or_insert_with(mismatch);
        }
    }
    Ok(result)
}

/// The index of the `flat`-th element in row-major order.
pub fn unravel(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, d) in index.iter_mut().zip(shape).rev() {
        *i = flat % (*d).max(1);
        flat /= (*d).max(1);
    }
    index
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.first {
            None => write!(
                f,
                "{} elements match: max abs error {:.3e}, {:.3e} of the range {:.6}",
                self.elements,
                self.max_abs_error,
                self.relative_error(),
                self.range
            ),
            Some(m) => write!(
                f,
                "{} of {} elements differ by more than {:.3e}: first at {:?}, got {}, expected {}; \
                 max abs error {:.3e} at {:?}, {:.3e} of the range {:.6}",
                self.mismatches,
                self.elements,
                self.limit,
                m.index,
                m.got,
                m.expected,
                self.max_abs_error,
                self.worst,
                self.relative_error(),
                self.range
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(shape: &[usize], v: &[f32]) -> Tensor {
        Tensor::from_slice(shape, v).unwrap()
    }

    #[test]
    fn first_mismatch_has_its_index() {
        let want = f32s(&[2, 2], &[0.0, 1.0, 2.0, 10.0]);
        let got = f32s(&[2, 2], &[0.0, 1.0, 2.5, 10.0]);
        let c = compare(&got, &want, 0.01).unwrap();
        assert!(!c.is_match());
        assert_eq!(
            c.to_string(),
            "1 of 4 elements differ by more than 1.000e-1: first at [1, 0], got 2.5, expected 2; \
             max abs error 5.000e-1 at [1, 0], 5.000e-2 of the range 10.000000"
        );
        assert!(compare(&got, &want, 0.1).unwrap().is_match());
    }

    #[test]
    fn nan_and_infinity() {
        let want = f32s(&[3], &[f32::NAN, f32::NEG_INFINITY, 1.0]);
        assert!(compare(&want, &want, 0.0).unwrap().is_match());
        let got = f32s(&[3], &[f32::NAN, 0.0, f32::NAN]);
        let c = compare(&got, &want, 1.0).unwrap();
        assert_eq!((c.mismatches, c.max_abs_error), (2, f64::INFINITY));
        assert!(compare(&got, &f32s(&[1], &[0.0]), 0.0).is_err());
    }
}
