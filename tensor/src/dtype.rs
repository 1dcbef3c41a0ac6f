//! Element types and their sizes.

use std::fmt;
use std::str::FromStr;

/// The type of a tensor's elements. Bytes are little endian.
///
/// Types narrower than a byte are packed, the first element in the lowest bits of the first byte.
/// `Bool` takes one byte, 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it all
pub enum DType {
    F32,
    F16,
    Bf16,
    F64,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Bool,
    I4,
    U4,
    I2,
    U2,
    F8E4m3,
    F8E4m3Fnuz,
    F8E5m2,
    F8E5m2Fnuz,
    F8E8m0,
    F4E2m1,
}

impl DType {
    /// Every element type, in declaration order.
    pub const ALL: [DType; 23] = [
        DType::F32,
        DType::F16,
        DType::Bf16,
        DType::F64,
        DType::I8,
        DType::U8,
        DType::I16,
        DType::U16,
        DType::I32,
        DType::U32,
        DType::I64,
        DType::U64,
        DType::Bool,
        DType::I4,
        DType::U4,
        DType::I2,
        DType::U2,
        DType::F8E4m3,
        DType::F8E4m3Fnuz,
        DType::F8E5m2,
        DType::F8E5m2Fnuz,
        DType::F8E8m0,
        DType::F4E2m1,
    ];

    /// Size of one element in bits.
    pub const fn bits(self) -> usize {
        match self {
            DType::F64 | DType::I64 | DType::U64 => 64,
            DType::F32 | DType::I32 | DType::U32 => 32,
            DType::F16 | DType::Bf16 | DType::I16 | DType::U16 => 16,
            DType::I8 | DType::U8 | DType::Bool => 8,
            DType::F8E4m3
            | DType::F8E4m3Fnuz
            | DType::F8E5m2
            | DType::F8E5m2Fnuz
            | DType::F8E8m0 => 8,
            DType::I4 | DType::U4 | DType::F4E2m1 => 4,
            DType::I2 | DType::U2 => 2,
        }
    }

    /// Size of one element in bytes, or `None` if elements are packed several to a byte.
    pub const fn bytes(self) -> Option<usize> {
        if self.bits() < 8 {
            None
        } else {
            Some(self.bits() / 8)
        }
    }

    /// Bytes that `elements` elements take, rounded up to a whole byte; `None` on overflow.
    pub fn bytes_for(self, elements: usize) -> Option<usize> {
        match self.bytes() {
            Some(b) => elements.checked_mul(b),
            None => Some(elements.div_ceil(8 / self.bits())),
        }
    }

    /// True for floating point.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::Bf16 | DType::F64) || self.is_mini_float()
    }

    /// True for floating point of 8 bits and less.
    pub const fn is_mini_float(self) -> bool {
        matches!(
            self,
            DType::F8E4m3
                | DType::F8E4m3Fnuz
                | DType::F8E5m2
                | DType::F8E5m2Fnuz
                | DType::F8E8m0
                | DType::F4E2m1
        )
    }

    /// True for signed and unsigned integers; `Bool` is not one.
    pub const fn is_int(self) -> bool {
        !self.is_float() && !matches!(self, DType::Bool)
    }

    /// True for integers that hold negative values.
    pub const fn is_signed_int(self) -> bool {
        matches!(
            self,
            DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::I4 | DType::I2
        )
    }

    /// The name in all text forms: `f32`, `bf16`, `i64`, `bool`, ...
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
            DType::F64 => "f64",
            DType::I8 => "i8",
            DType::U8 => "u8",
            DType::I16 => "i16",
            DType::U16 => "u16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::I64 => "i64",
            DType::U64 => "u64",
            DType::Bool => "bool",
            DType::I4 => "i4",
            DType::U4 => "u4",
            DType::I2 => "i2",
            DType::U2 => "u2",
            DType::F8E4m3 => "f8e4m3",
            DType::F8E4m3Fnuz => "f8e4m3fnuz",
            DType::F8E5m2 => "f8e5m2",
            DType::F8E5m2Fnuz => "f8e5m2fnuz",
            DType::F8E8m0 => "f8e8m0",
            DType::F4E2m1 => "f4e2m1",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DType {
    type Err = String;

    fn from_str(s: &str) -> Result<DType, String> {
        DType::ALL
            .into_iter()
            .find(|d| d.name() == s)
            .ok_or_else(|| {
                let known: Vec<_> = DType::ALL.iter().map(|d| d.name()).collect();
                format!(
                    "`{s}` is not an element type; known are {}",
                    known.join(", ")
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for d in DType::ALL {
            assert_eq!(d.name().parse::<DType>(), Ok(d));
        }
        assert!("f8".parse::<DType>().is_err());
    }

    #[test]
    fn packed_sizes_round_up() {
        assert_eq!(DType::I4.bytes_for(3), Some(2));
        assert_eq!(DType::I2.bytes_for(5), Some(2));
        assert_eq!(DType::F32.bytes_for(3), Some(12));
        assert_eq!(DType::F64.bytes_for(usize::MAX), None);
    }
}
