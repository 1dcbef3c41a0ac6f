//! Tensors of a model as bytes in DRAM, and back: where the chip holds an element type as another one, the host converts.

use llmc_isa::container::IoTensor;
use llmc_tensor::{DType, Tensor};
use thiserror::Error;

/// A tensor does not fit the input or output of a program.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    /// Another element type than the model's.
    #[error("input `{name}` is {given}, the model takes {expected}")]
    DType {
        /// The input.
        name: String,
        /// Its element type.
        given: DType,
        /// The model's.
        expected: String,
    },
    /// Another shape.
    #[error("input `{name}` has shape {given:?}, the program takes {expected:?}")]
    Shape {
        /// The input.
        name: String,
        /// Its shape.
        given: Vec<usize>,
        /// That of the program.
        expected: Vec<u64>,
    },
    /// A value that the chip's type cannot hold.
    #[error("input `{name}`: element {index} is {value}, the chip holds {from} as {to}: {range}")]
    Range {
        /// The input.
        name: String,
        /// Position in row-major order.
        index: usize,
        /// The value.
        value: String,
        /// The model's type.
        from: DType,
        /// The chip's type.
        to: String,
        /// What it can hold.
        range: &'static str,
    },
    /// The manifest names a type that this host does not know, or the number of bytes is wrong.
    #[error("tensor `{name}`: {problem}")]
    Broken {
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// The element type of a tensor as the model has it.
fn model_dtype(tensor: &IoTensor) -> Result<DType, ValueError> {
    let name = match tensor.model_dtype.as_str() {
        "" => tensor.dtype.as_str(),
        name => name,
    };
    known(tensor, name)
}

fn known(tensor: &IoTensor, name: &str) -> Result<DType, ValueError> {
    name.parse().map_err(|problem| broken(tensor, problem))
}

fn broken(tensor: &IoTensor, problem: impl ToString) -> ValueError {
    ValueError::Broken {
        name: tensor.name.clone(),
        problem: problem.to_string(),
    }
}

/// The bytes of an input in DRAM.
///
/// # Errors
/// If type or shape are not those of the model, or a value is outside of what the chip's type holds.
pub fn to_chip(tensor: &IoTensor, given: &Tensor) -> Result<Vec<u8>, ValueError> {
    let expected = model_dtype(tensor)?;
    if given.dtype() != expected {
        return Err(ValueError::DType {
            name: tensor.name.clone(),
            given: given.dtype(),
            expected: expected.to_string(),
        });
    }
    let same = given
        .shape()
        .iter()
        .map(|d| *d as u64)
        .eq(tensor.dims.iter().copied());
    if !same {
        return Err(ValueError::Shape {
            name: tensor.name.clone(),
            given: given.shape().to_vec(),
            expected: tensor.dims.clone(),
        });
    }
    let to = known(tensor, &tensor.dtype)?;
    if to == expected {
        return Ok(given.bytes().to_vec());
    }
    let outside = |index: usize, value: String, range| ValueError::Range {
        name: tensor.name.clone(),
        index,
        value,
        from: expected,
        to: to.to_string(),
        range,
    };
    let shape = given.shape().to_vec();
    let narrow = if expected.is_float() {
        let values = given.to_f64_vec();
        let lost = |v: &f64| v.is_finite() && !(*v as f32).is_finite();
        if let Some(i) = values.iter().position(lost) {
            return Err(outside(i, values[i].to_string(), "-3.4e38 to 3.4e38"));
        }
        Tensor::from_f64(to, shape, &values)
    } else {
        let values = given.to_i64_vec().map_err(|e| broken(tensor, e))?;
        let wide = expected == DType::U64;
        let lost = |v: &i64| i32::try_from(*v).is_err() || wide && *v < 0;
        if let Some(i) = values.iter().position(lost) {
            let value = if wide {
                (values[i] as u64).to_string()
            } else {
                values[i].to_string()
            };
            return Err(outside(i, value, "-2147483648 to 2147483647"));
        }
        Tensor::from_i64(to, shape, &values)
    };
    Ok(narrow.map_err(|e| broken(tensor, e))?.bytes().to_vec())
}

/// An output as the model has it, from its bytes in DRAM. Integers are widened with their sign; of unsigned types, that gives the
/// bits that the model would have.
///
/// # Errors
/// If the manifest contradicts itself.
pub fn from_chip(tensor: &IoTensor, bytes: Vec<u8>) -> Result<Tensor, ValueError> {
    let (chip, model) = (known(tensor, &tensor.dtype)?, model_dtype(tensor)?);
    let shape: Vec<usize> = tensor.dims.iter().map(|&d| d as usize).collect();
    let held = Tensor::new(chip, shape.clone(), bytes).map_err(|e| broken(tensor, e))?;
    if chip == model {
        return Ok(held);
    }
    let wide = if chip.is_float() {
        Tensor::from_f64(model, shape, &held.to_f64_vec())
    } else {
        let values = held.to_i64_vec().map_err(|e| broken(tensor, e))?;
        Tensor::from_i64(model, shape, &values)
    };
    wide.map_err(|e| broken(tensor, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(chip: &str, model: &str, dims: &[u64]) -> IoTensor {
        IoTensor {
            name: "x".into(),
            dtype: chip.into(),
            model_dtype: model.into(),
            dims: dims.to_vec(),
            ..IoTensor::default()
        }
    }

    #[test]
    fn wide_integers_are_narrowed_and_widened() {
        let io = tensor("i32", "i64", &[3]);
        let given = Tensor::from_vec(vec![3], vec![-1i64, 0, 1 << 30]).unwrap();
        let bytes = to_chip(&io, &given).unwrap();
        assert_eq!(bytes.len(), 12);
        assert_eq!(from_chip(&io, bytes).unwrap(), given);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let given = Tensor::from_vec(vec![2], vec![0i64, 1 << 40]).unwrap();
        let text = to_chip(&tensor("i32", "i64", &[2]), &given)
            .unwrap_err()
            .to_string();
        assert_eq!(
            text,
            "input `x`: element 1 is 1099511627776, the chip holds i64 as i32: -2147483648 to 2147483647"
        );
        let text = to_chip(&tensor("f32", "", &[2]), &given)
            .unwrap_err()
            .to_string();
        assert_eq!(text, "input `x` is i64, the model takes f32");
        let text = to_chip(&tensor("i32", "i64", &[3]), &given)
            .unwrap_err()
            .to_string();
        assert_eq!(text, "input `x` has shape [2], the program takes [3]");
        let given = Tensor::from_vec(vec![1], vec![1e300]).unwrap();
        assert!(to_chip(&tensor("f32", "f64", &[1]), &given).is_err());
    }
}
