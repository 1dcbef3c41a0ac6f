//! The tensor type.

use crate::dtype::DType;
use crate::element::Element;
use crate::error::TensorError;
use crate::minifloat::MiniFloat;
use bytes::Bytes;
use half::{bf16, f16};
use std::fmt;

/// A dense row-major tensor: element type, shape, little-endian bytes. Cloning is cheap.
///
/// Invariant: `data.len()` is exactly what dtype and shape ask for.
#[derive(Clone, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Bytes,
}

/// Number of elements of a shape, `None` on overflow. A scalar (`[]`) has one.
pub fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}

impl Tensor {
    /// A tensor over existing bytes, which are not copied and may have any alignment.
    ///
    /// # Errors
    /// If the number of bytes is not what dtype and shape ask for.
    pub fn new(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        data: impl Into<Bytes>,
    ) -> Result<Tensor, TensorError> {
        let (shape, data) = (shape.into(), data.into());
        let expected = byte_len(dtype, &shape)?;
        if data.len() != expected {
            return Err(TensorError::Size {
                dtype,
                shape,
                expected,
                found: data.len(),
            });
        }
        Ok(Tensor { dtype, shape, data })
    }

    /// A tensor from elements in row-major order.
    ///
    /// # Errors
    /// If the number of elements is not what the shape asks for.
    pub fn from_vec<T: Element>(
        shape: impl Into<Vec<usize>>,
        values: Vec<T>,
    ) -> Result<Tensor, TensorError> {
        Tensor::from_slice(shape, &values)
    }

    /// As [`Tensor::from_vec`], from a borrowed slice.
    ///
    /// # Errors
    /// If the number of elements is not what the shape asks for.
    pub fn from_slice<T: Element>(
        shape: impl Into<Vec<usize>>,
        values: &[T],
    ) -> Result<Tensor, TensorError> {
        let mut data = Vec::with_capacity(size_of_val(values));
        for v in values {
            v.write(&mut data);
        }
        Tensor::new(T::DTYPE, shape, data)
    }

    /// A tensor of shape `[]`.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        let mut data = Vec::new();
        value.write(&mut data);
        Tensor {
            dtype: T::DTYPE,
            shape: Vec::new(),
            data: data.into(),
        }
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// If the shape is larger than the address space.
    pub fn zeros(dtype: DType, shape: impl Into<Vec<usize>>) -> Result<Tensor, TensorError> {
        let shape = shape.into();
        let bytes = byte_len(dtype, &shape)?;
        Ok(Tensor {
            dtype,
            shape,
            data: vec![0; bytes].into(),
        })
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The shape, outermost dimension first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.elements() == 0
    }

    /// The bytes, little endian, row major.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The bytes, little endian, row major.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// The same tensor with its bytes in a mapped file without a name, see [`crate::spill`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn spilled(&self) -> Result<Tensor, TensorError> {
        Tensor::new(
            self.dtype(),
            self.shape(),
            crate::file::spill(self.bytes())?,
        )
    }

    /// The same bytes under another shape with as many elements.
    ///
    /// # Errors
    /// If the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Result<Tensor, TensorError> {
        let shape = shape.into();
        if elements(&shape) != Some(self.elements()) {
            return Err(TensorError::Shape {
                what: "reshape keeps the number of elements",
                left: self.shape.clone(),
                right: shape,
            });
        }
        Ok(Tensor {
            dtype: self.dtype,
            shape,
            data: self.data.clone(),
        })
    }

    /// The part at an index of the first axis, without that axis. Shares the bytes.
    ///
    /// # Errors
    /// If the index is out of range, or the part does not begin and end at a byte.
    pub fn at(&self, index: usize) -> Result<Tensor, TensorError> {
        let (n, shape) = match self.shape.split_first() {
            Some((n, rest)) => (*n, rest.to_vec()),
            None => (0, Vec::new()),
        };
        let bytes = byte_len(self.dtype, &shape)?;
        if index >= n || bytes * n != self.data.len() {
            return Err(TensorError::Shape {
                what: "a part of the first axis",
                left: self.shape.clone(),
                right: vec![index],
            });
        }
        let data = self.data.slice(index * bytes..(index + 1) * bytes);
        Tensor::new(self.dtype, shape, data)
    }

    /// The elements, if they are of type `T`.
    ///
    /// # Errors
    /// If they are of another type.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>, TensorError> {
        if self.dtype != T::DTYPE {
            return Err(TensorError::DType {
                expected: T::DTYPE.to_string(),
                found: self.dtype,
            });
        }
        Ok(self.typed())
    }

    /// The elements as f32, rounded to nearest even where f32 is narrower.
    pub fn to_f32_vec(&self) -> Vec<f32> {
        match self.dtype {
            DType::F32 => self.typed(),
            DType::F16 => self.typed::<f16>().into_iter().map(f32::from).collect(),
            DType::Bf16 => self.typed::<bf16>().into_iter().map(f32::from).collect(),
            DType::F64 => self.typed::<f64>().into_iter().map(|v| v as f32).collect(),
            DType::U64 => self.typed::<u64>().into_iter().map(|v| v as f32).collect(),
            d if d.is_mini_float() => self.to_f64_vec().into_iter().map(|v| v as f32).collect(),
            _ => self.ints().into_iter().map(|v| v as f32).collect(),
        }
    }

    /// The elements as f64; exact but for 64-bit integers, which round to nearest even.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        match self.dtype {
            DType::F64 => self.typed(),
            DType::F32 | DType::F16 | DType::Bf16 => {
                self.to_f32_vec().into_iter().map(f64::from).collect()
            }
            DType::U64 => self.typed::<u64>().into_iter().map(|v| v as f64).collect(),
            d => match MiniFloat::of(d) {
                Some(format) => self.codes().map(|code| format.decode(code)).collect(),
                None => self.ints().into_iter().map(|v| v as f64).collect(),
            },
        }
    }

    /// The elements of an integer or bool tensor as i64; u64 wraps.
    ///
    /// # Errors
    /// If the tensor is of floats.
    pub fn to_i64_vec(&self) -> Result<Vec<i64>, TensorError> {
        if self.dtype.is_float() {
            return Err(TensorError::DType {
                expected: "integers or bool".into(),
                found: self.dtype,
            });
        }
        Ok(self.ints())
    }

    /// The elements as bool: everything but zero is true.
    pub fn to_bool_vec(&self) -> Vec<bool> {
        match self.dtype {
            d if d.is_float() => self.to_f64_vec().into_iter().map(|v| v != 0.0).collect(),
            _ => self.ints().into_iter().map(|v| v != 0).collect(),
        }
    }

    /// A tensor of `dtype` from f64 values, rounded to nearest even; integers truncate towards zero and
    /// saturate (those of less than 8 bits wrap, as in ONNX); bool is "not zero".
    ///
    /// # Errors
    /// If the number of values is not what the shape asks for.
    pub fn from_f64(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        values: &[f64],
    ) -> Result<Tensor, TensorError> {
        let mut out = Vec::with_capacity(dtype.bytes_for(values.len()).unwrap_or(0));
        match dtype {
            DType::F64 => values.iter().for_each(|v| v.write(&mut out)),
            DType::F32 => values.iter().for_each(|v| (*v as f32).write(&mut out)),
            DType::F16 => values
                .iter()
                .for_each(|v| f16::from_f64(*v).write(&mut out)),
            DType::Bf16 => values
                .iter()
                .for_each(|v| bf16::from_f64(*v).write(&mut out)),
            DType::Bool => values.iter().for_each(|v| (*v != 0.0).write(&mut out)),
            DType::U64 => values.iter().for_each(|v| (*v as u64).write(&mut out)),
            d if d.is_mini_float() => {
                return Tensor::from_mini(dtype, shape.into(), values.iter().copied());
            }
            _ => {
                let (lo, hi) = int_range(dtype);
                let packed = dtype.bits() < 8; // these wrap, as from integers
                let within = |v: i64| if packed { v } else { v.clamp(lo, hi) };
                let ints: Vec<i64> = values.iter().map(|v| within(*v as i64)).collect();
                return Tensor::from_i64(dtype, shape, &ints);
            }
        }
        Tensor::new(dtype, shape, out)
    }

    /// A tensor of `dtype` from i64 values; narrower integers wrap, floats round, bool is "not zero".
    ///
    /// # Errors
    /// If the number of values is not what the shape asks for.
    pub fn from_i64(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        values: &[i64],
    ) -> Result<Tensor, TensorError> {
        let mut out = Vec::with_capacity(dtype.bytes_for(values.len()).unwrap_or(0));
        match dtype {
            DType::F64 => values.iter().for_each(|v| (*v as f64).write(&mut out)),
            DType::F32 => values.iter().for_each(|v| (*v as f32).write(&mut out)),
            DType::F16 => values
                .iter()
                .for_each(|v| f16::from_f64(*v as f64).write(&mut out)),
            DType::Bf16 => values
                .iter()
                .for_each(|v| bf16::from_f64(*v as f64).write(&mut out)),
            DType::I8 | DType::U8 => values.iter().for_each(|v| (*v as u8).write(&mut out)),
            DType::I16 | DType::U16 => values.iter().for_each(|v| (*v as u16).write(&mut out)),
            DType::I32 | DType::U32 => values.iter().for_each(|v| (*v as u32).write(&mut out)),
            DType::I64 | DType::U64 => values.iter().for_each(|v| v.write(&mut out)),
            DType::Bool => values.iter().for_each(|v| (*v != 0).write(&mut out)),
            DType::I4 | DType::U4 | DType::I2 | DType::U2 => {
                let bits = dtype.bits();
                let mask = (1u8 << bits) - 1;
                out.extend(values.chunks(8 / bits).map(|byte| {
                    byte.iter()
                        .enumerate()
                        .fold(0, |b, (i, v)| b | ((*v as u8 & mask) << (i * bits)))
                }));
            }
            DType::F8E4m3
            | DType::F8E4m3Fnuz
            | DType::F8E5m2
            | DType::F8E5m2Fnuz
            | DType::F8E8m0
            | DType::F4E2m1 => {
                return Tensor::from_mini(dtype, shape.into(), values.iter().map(|v| *v as f64));
            }
        }
        Tensor::new(dtype, shape, out)
    }

    /// The same values as another type; see [`Tensor::from_f64`] and [`Tensor::from_i64`] for the rounding.
    ///
    /// # Errors
    /// If the result is larger than the address space.
    pub fn cast(&self, dtype: DType) -> Result<Tensor, TensorError> {
        if dtype == self.dtype {
            return Ok(self.clone());
        }
        let shape = self.shape.clone();
        match self.dtype {
            // through f32 alone: f64 -> f32 -> bf16 would round twice
            d if d.is_float() || d == DType::U64 && dtype.is_float() => {
                Tensor::from_f64(dtype, shape, &self.to_f64_vec())
            }
            _ => Tensor::from_i64(dtype, shape, &self.ints()),
        }
    }

    /// A tensor of floats of 8 bits or less.
    fn from_mini(
        dtype: DType,
        shape: Vec<usize>,
        values: impl Iterator<Item = f64>,
    ) -> Result<Tensor, TensorError> {
        let format = MiniFloat::of(dtype).ok_or_else(|| TensorError::DType {
            expected: "floats of 8 bits or less".into(),
            found: dtype,
        })?;
        let codes: Vec<u8> = values.map(|v| format.encode(v)).collect();
        let bytes = match dtype.bits() {
            8 => codes,
            _ => codes
                .chunks(2)
                .map(|pair| pair[0] | pair.get(1).map_or(0, |high| high << 4))
                .collect(),
        };
        Tensor::new(dtype, shape, bytes)
    }

    /// The bits of the elements of a type of 4 or 8 bits.
    fn codes(&self) -> impl Iterator<Item = u8> {
        let wide = self.dtype.bits() == 8;
        (0..self.elements()).map(move |i| match wide {
            true => self.data[i],
            false => self.data[i / 2] >> (i % 2 * 4) & 15,
        })
    }

    fn typed<T: Element>(&self) -> Vec<T> {
        self.data
            .chunks_exact(size_of::<T>())
            .map(T::read)
            .collect()
    }

    fn ints(&self) -> Vec<i64> {
        match self.dtype {
            DType::I8 => self.typed::<i8>().into_iter().map(i64::from).collect(),
            DType::U8 => self.typed::<u8>().into_iter().map(i64::from).collect(),
            DType::I16 => self.typed::<i16>().into_iter().map(i64::from).collect(),
            DType::U16 => self.typed::<u16>().into_iter().map(i64::from).collect(),
            DType::I32 => self.typed::<i32>().into_iter().map(i64::from).collect(),
            DType::U32 => self.typed::<u32>().into_iter().map(i64::from).collect(),
            DType::I64 => self.typed(),
            DType::U64 => self.typed::<u64>().into_iter().map(|v| v as i64).collect(),
            DType::Bool => self.typed::<bool>().into_iter().map(i64::from).collect(),
            DType::I4 | DType::U4 | DType::I2 | DType::U2 => {
                let bits = self.dtype.bits();
                let per_byte = 8 / bits;
                let sign = if self.dtype.is_signed_int() {
                    64 - bits
                } else {
                    0
                };
                let value = |i: usize| {
                    let raw =
                        (self.data[i / per_byte] >> (i % per_byte * bits)) & ((1 << bits) - 1);
                    (i64::from(raw) << sign) >> sign
                };
                (0..self.elements()).map(value).collect()
            }
            DType::F32
            | DType::F16
            | DType::Bf16
            | DType::F64
            | DType::F8E4m3
            | DType::F8E4m3Fnuz
            | DType::F8E5m2
            | DType::F8E5m2Fnuz
            | DType::F8E8m0
            | DType::F4E2m1 => self.to_f64_vec().into_iter().map(|v| v as i64).collect(),
        }
    }
}

/// Smallest and largest value of an integer type, as i64 (`U64` ends at `i64::MAX` here).
fn int_range(dtype: DType) -> (i64, i64) {
    let bits = dtype.bits().min(64) as u32;
    match (dtype.is_signed_int(), bits) {
        (true, 64) => (i64::MIN, i64::MAX),
        (true, b) => (-(1 << (b - 1)), (1 << (b - 1)) - 1),
        (false, 64) => (0, i64::MAX),
        (false, b) => (0, (1 << b) - 1),
    }
}

fn byte_len(dtype: DType, shape: &[usize]) -> Result<usize, TensorError> {
    elements(shape)
        .and_then(|n| dtype.bytes_for(n))
        .filter(|n| isize::try_from(*n).is_ok())
        .ok_or_else(|| TensorError::TooLarge {
            dtype,
            shape: shape.to_vec(),
        })
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)?;
        if self.elements() <= 16 {
            match self.dtype.is_float() {
                true => write!(f, " {:?}", self.to_f64_vec()),
                false => write!(f, " {:?}", self.ints()),
            }
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn size_is_checked() {
        let e = Tensor::new(DType::F32, [2, 2], vec![0; 15]).unwrap_err();
        assert_eq!(
            e.to_string(),
            "a f32 tensor of shape [2, 2] takes 16 bytes, found 15"
        );
        assert!(Tensor::zeros(DType::F32, [usize::MAX, 2]).is_err());
    }

    #[test]
    fn unaligned_slices_are_read() {
        let mut raw = vec![7u8];
        for v in [1.5f32, -2.0] {
            v.write(&mut raw);
        }
        let t = Tensor::new(DType::F32, [2], Bytes::from(raw).slice(1..)).unwrap();
        assert_eq!(t.to_f32_vec(), [1.5, -2.0]);
    }

    #[test]
    fn packed_ints() {
        let t = Tensor::from_i64(DType::I4, [3], &[-8, 7, -1]).unwrap();
        assert_eq!(t.bytes(), [0x78, 0x0f]);
        assert_eq!(t.to_i64_vec().unwrap(), [-8, 7, -1]);
        let t = Tensor::from_i64(DType::I2, [5], &[-2, -1, 0, 1, 1]).unwrap();
        assert_eq!(t.to_i64_vec().unwrap(), [-2, -1, 0, 1, 1]);
        let t = Tensor::from_i64(DType::U4, [2], &[15, 9]).unwrap();
        assert_eq!(t.to_i64_vec().unwrap(), [15, 9]);
    }

    #[test]
    fn bf16_rounds_to_even() {
        // 1 + 2^-8 lies halfway between 1 and 1 + 2^-7: ties go to even
        let t = Tensor::from_vec([2], vec![1.0 + 1.0 / 256.0, 1.0f32 + 3.0 / 256.0]).unwrap();
        let b = t.cast(DType::Bf16).unwrap();
        assert_eq!(b.to_f32_vec(), [1.0, 1.0 + 4.0 / 256.0]);
    }

    #[test]
    fn casts_saturate_and_truncate() {
        let t = Tensor::from_vec([4], vec![-1.9f32, 300.0, f32::NAN, 2.5]).unwrap();
        assert_eq!(
            t.cast(DType::U8).unwrap().to_i64_vec().unwrap(),
            [0, 255, 0, 2]
        );
        assert_eq!(t.cast(DType::Bool).unwrap().to_bool_vec(), [true; 4]);
        let i = Tensor::from_vec([1], vec![-1i64]).unwrap();
        assert_eq!(i.cast(DType::F32).unwrap().to_f32_vec(), [-1.0]);
        assert!(t.to_i64_vec().is_err());
    }

    proptest! {
        #[test]
        fn ints_round_trip(values in proptest::collection::vec(any::<i64>(), 0..20)) {
            for d in DType::ALL.into_iter().filter(|d| d.is_int() || *d == DType::Bool) {
                let t = Tensor::from_i64(d, [values.len()], &values).unwrap();
                let back = Tensor::from_i64(d, [values.len()], &t.to_i64_vec().unwrap()).unwrap();
                prop_assert_eq!(t, back);
            }
        }
    }
}
