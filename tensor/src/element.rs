//! Rust types that are elements of a tensor.

use crate::dtype::DType;
use half::{bf16, f16};

/// A Rust type with a [`DType`] of whole bytes.
pub trait Element: Copy + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    /// The element type it stands for.
    const DTYPE: DType;
    /// Reads one element from the first bytes of `bytes`, little endian. Short input reads as zero bytes.
    fn read(bytes: &[u8]) -> Self;
    /// Appends the element to `out`, little endian.
    fn write(self, out: &mut Vec<u8>);
}

macro_rules! element {
    ($($t:ty = $d:ident),* $(,)?) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;

            fn read(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$t>()];
                let n = raw.len().min(bytes.len());
                raw[..n].copy_from_slice(&bytes[..n]);
                <$t>::from_le_bytes(raw)
            }

            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

element! {
    f32 = F32, f64 = F64, f16 = F16, bf16 = Bf16, i8 = I8, u8 = U8, i16 = I16, u16 = U16,
    i32 = I32, u32 = U32, i64 = I64, u64 = U64,
}

impl Element for bool {
    const DTYPE: DType = DType::Bool;

    fn read(bytes: &[u8]) -> Self {
        bytes.first().is_some_and(|b| *b != 0)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.push(self as u8);
    }
}
