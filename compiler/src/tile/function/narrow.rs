//! Element types that the chip lacks, and what it holds instead.
//!
//! | model | chip | |
//! |---|---|---|
//! | i64, u64, u32 | i32 | values outside of its range are errors: constants here, inputs when the host writes them |
//! | i16, u16 | i32 | results wrap around as in the model's type |
//! | i4, i2, u4, u2 | i8, u8 | the same |
//! | other floats of 8 and 4 bits | f32 | moved and read only |
//! | f64 | f32 | finite values outside of its range are errors |
//! | bool | u8 | 0 or 1 |

use std::sync::Arc;

use llmc_ir::Const;
use llmc_isa::DType;
use llmc_tensor::{DType as TensorType, Tensor};

use super::Reason;

/// The chip's type for elements of a type of the model.
pub fn chip_type(dtype: TensorType) -> DType {
    match dtype {
        TensorType::F32 | TensorType::F64 => DType::F32,
        TensorType::F8E4m3 => DType::F8E4M3,
        TensorType::F8E5m2 => DType::F8E5M2,
        // Held exactly; nothing is rounded to them, see `Function::cast`.
        TensorType::F8E4m3Fnuz
        | TensorType::F8E5m2Fnuz
        | TensorType::F8E8m0
        | TensorType::F4E2m1 => DType::F32,
        TensorType::F16 => DType::F16,
        TensorType::Bf16 => DType::Bf16,
        TensorType::I64
        | TensorType::U64
        | TensorType::I32
        | TensorType::U32
        | TensorType::I16
        | TensorType::U16 => DType::I32,
        TensorType::I8 | TensorType::I4 | TensorType::I2 => DType::I8,
        TensorType::U8 | TensorType::U4 | TensorType::U2 | TensorType::Bool => DType::U8,
    }
}

/// The type of a tensor file that has the chip's type.
fn stored(dtype: DType) -> TensorType {
    match dtype {
        DType::F16 => TensorType::F16,
        DType::Bf16 => TensorType::Bf16,
        DType::I32 => TensorType::I32,
        DType::I8 => TensorType::I8,
        DType::U8 => TensorType::U8,
        DType::F8E4M3 => TensorType::F8E4m3,
        DType::F8E5M2 => TensorType::F8E5m2,
        _ => TensorType::F32,
    }
}

/// The constant in the chip's type; the same one if it has it already.
///
/// # Errors
/// If a value does not fit, with its name, place and value.
pub(in crate::tile) fn constant(constant: &Arc<Const>) -> Result<Arc<Const>, Reason> {
    let to = stored(chip_type(constant.dtype()));
    if constant.dtype() == to {
        return Ok(constant.clone());
    }
    let name = constant.name();
    let tensor = constant
        .tensor()
        .ok_or_else(|| format!("constant `{name}` has no bytes"))?;
    let outside = |index: usize, value: String| {
        let from = constant.dtype();
        format!(
            "constant `{name}` of {from}: element {index} is {value}, which the chip's {to} cannot hold"
        )
    };
    let shape = tensor.shape().to_vec();
    let narrow = if tensor.dtype().is_float() {
        let values = tensor.to_f64_vec();
        let lost = |v: &f64| v.is_finite() && !(*v as f32).is_finite();
        if let Some(i) = values.iter().position(lost) {
            return Err(outside(i, values[i].to_string()));
        }
        Tensor::from_f64(to, shape, &values)
    } else {
        let values = tensor.to_i64_vec().map_err(|e| e.to_string())?;
        let wide = tensor.dtype() == TensorType::U64;
        let lost =
            |v: &i64| to == TensorType::I32 && (i32::try_from(*v).is_err() || wide && *v < 0);
        if let Some(i) = values.iter().position(lost) {
            return Err(outside(i, values[i].to_string()));
        }
        Tensor::from_i64(to, shape, &values)
    };
    let narrow = narrow.map_err(|e| e.to_string())?;
    Ok(Arc::new(Const::new(format!("{name} as {to}"), narrow)))
}

/// How integers of a type are kept in its range after arithmetic in 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrap {
    /// 32 bits are enough.
    None,
    /// The low bits, unsigned.
    Mask(i32),
    /// The low bits, sign-extended: shifted left and back by this.
    Shift(i32),
}

/// The wrap of a type.
pub(super) fn wrap(dtype: TensorType) -> Wrap {
    let bits = dtype.bits() as i32;
    match dtype {
        _ if dtype.is_float() || dtype == TensorType::Bool || bits >= 32 => Wrap::None,
        _ if dtype.is_signed_int() => Wrap::Shift(32 - bits),
        _ => Wrap::Mask((1 << bits) - 1),
    }
}
