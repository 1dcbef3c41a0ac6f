//! The types of instruction fields. How each is packed and written as text is in [`crate::field`].

pub use crate::function::{ActFn, BinaryFn, IntFn, Pace, QuantFn, UnaryFn};
use std::ops::Index;

/// Number of `ctl` registers; register 0 always reads 0.
pub const REGISTERS: usize = 64;

/// A `ctl` register, `r0` to `r63`. `r0` always reads 0 and ignores writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(pub u8);

impl Reg {
    /// The register that always reads 0; as base or clamp it means "none".
    pub const ZERO: Reg = Reg(0);
}

/// The values of the 64 `ctl` registers of one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regs([i64; REGISTERS]);

impl Default for Regs {
    fn default() -> Self {
        Regs([0; REGISTERS])
    }
}

impl Regs {
    /// The value of `reg`. Numbers over 63, which no decoded instruction has, read 0.
    #[inline]
    pub fn get(&self, reg: Reg) -> i64 {
        self.0.get(usize::from(reg.0)).copied().unwrap_or(0)
    }

    /// Sets `reg`; writes to `r0` are ignored.
    #[inline]
    pub fn set(&mut self, reg: Reg, value: i64) {
        if reg.0 != 0
            && let Some(slot) = self.0.get_mut(usize::from(reg.0))
        {
            *slot = value;
        }
    }
}

impl Index<Reg> for Regs {
    type Output = i64;
    fn index(&self, reg: Reg) -> &i64 {
        self.0.get(usize::from(reg.0)).unwrap_or(&0)
    }
}

/// A scalar: `regs[base] + off`. Encodable range of `off`: -2^25 .. 2^25.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Val {
    /// Register added to the offset; `r0` adds nothing.
    pub base: Reg,
    /// Constant part.
    pub off: i32,
}

impl Val {
    /// A constant.
    pub const fn imm(off: i32) -> Val {
        Val {
            base: Reg::ZERO,
            off,
        }
    }
}

/// A byte address in the SRAM of a core: `regs[base] + off`. Encodable range of `off`: below 2^26.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SAddr {
    /// Register added to the offset; `r0` adds nothing.
    pub base: Reg,
    /// Constant part, in bytes.
    pub off: u32,
}

impl SAddr {
    /// A constant address.
    pub const fn at(off: u32) -> SAddr {
        SAddr {
            base: Reg::ZERO,
            off,
        }
    }
}

/// A byte address in DRAM: `regs[base] + off`. Encodable range of `off`: below 2^48.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DAddr {
    /// Register added to the offset; `r0` adds nothing.
    pub base: Reg,
    /// Constant part, in bytes.
    pub off: u64,
}

impl DAddr {
    /// A constant address.
    pub const fn at(off: u64) -> DAddr {
        DAddr {
            base: Reg::ZERO,
            off,
        }
    }
}

/// A size: `n` if `clamp` is `r0`, else `clamp(regs[clamp], 0, n)`; so `n` is always an upper bound.
/// An instruction with an effective extent of 0 does nothing. Encodable range of `n`: below 2^26.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ext {
    /// The size, or its upper bound if `clamp` is set.
    pub n: u32,
    /// Register with the run-time size; `r0` means the size is `n`.
    pub clamp: Reg,
}

impl Ext {
    /// A constant size.
    pub const fn of(n: u32) -> Ext {
        Ext {
            n,
            clamp: Reg::ZERO,
        }
    }

    /// The size with these register values, between 0 and `n`.
    #[inline]
    pub fn effective(&self, regs: &Regs) -> u32 {
        if self.clamp == Reg::ZERO {
            return self.n;
        }
        u32::try_from(regs.get(self.clamp).clamp(0, i64::from(self.n))).unwrap_or(self.n)
    }
}

/// The number of a counting semaphore of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sem(pub u8);

/// Declares a closed set of values, each written as a byte in the encoding and as a word in text.
macro_rules! value_set {
    ($(#[$doc:meta])* $name:ident { $(#[doc = $vdoc:literal] $variant:ident = $value:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = $vdoc] $variant = $value,)*
        }

        impl $name {
            /// All members, in the order of their encodings.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word that stands for this member in assembly text.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }

            /// What this member means, for the manual.
            pub const fn doc(self) -> &'static str {
                match self { $($name::$variant => $vdoc),* }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $name::ALL[0]
            }
        }
    };
}

pub(crate) use value_set;

value_set! {
    /// An engine of a core; each has an in-order instruction queue.
    Queue {
        /// First DMA engine: DRAM to SRAM loads, by convention.
        Dma0 = 0 "dma0",
        /// Second DMA engine: stores and transfers between cores, by convention.
        Dma1 = 1 "dma1",
        /// Matrix unit.
        Mxu = 2 "mxu",
        /// Vector unit.
        Vpu = 3 "vpu",
        /// Attention unit.
        Att = 4 "att",
    }
}

value_set! {
    /// An element type in memory. Elements narrower than a byte are packed, the first in the lowest bits; a run of them begins
    /// at a byte, and the surplus bits of its last byte are written as 0. Conversions: [`crate::numerics::convert`].
    DType {
        /// IEEE binary32, little endian.
        F32 = 0 "f32",
        /// bfloat16: the upper half of a binary32, little endian.
        Bf16 = 1 "bf16",
        /// IEEE binary16, little endian.
        F16 = 2 "f16",
        /// 8-bit float, 4 exponent and 3 mantissa bits, largest 448, no infinities, NaN 0x7f and 0xff (OCP E4M3).
        F8E4M3 = 3 "f8e4m3",
        /// 8-bit float, 5 exponent and 2 mantissa bits, largest finite 57344 (OCP E5M2).
        F8E5M2 = 4 "f8e5m2",
        /// Signed 32-bit integer, two's complement, little endian.
        I32 = 5 "i32",
        /// Signed 8-bit integer, two's complement.
        I8 = 6 "i8",
        /// Unsigned 8-bit integer.
        U8 = 7 "u8",
        /// Signed 4-bit integer, two's complement, two to a byte.
        I4 = 8 "i4",
        /// Signed 2-bit integer, two's complement, four to a byte; written values are ternary: -1, 0, 1.
        I2 = 9 "i2",
    }
}

impl DType {
    /// Size of one element in bits.
    pub const fn bits(self) -> u32 {
        match self {
            DType::F32 | DType::I32 => 32,
            DType::Bf16 | DType::F16 => 16,
            DType::F8E4M3 | DType::F8E5M2 | DType::I8 | DType::U8 => 8,
            DType::I4 => 4,
            DType::I2 => 2,
        }
    }

    /// Size of one element in whole bytes, which is also its alignment: 1 for types narrower than a byte. The size of
    /// several elements is [`DType::size_of`].
    pub const fn bytes(self) -> u32 {
        self.bits().div_ceil(8)
    }

    /// Bytes of a run of `n` elements; the last byte may be partly used.
    pub const fn size_of(self, n: u64) -> u64 {
        (n as u128 * self.bits() as u128).div_ceil(8) as u64
    }

    /// True for integers.
    pub const fn is_int(self) -> bool {
        matches!(
            self,
            DType::I32 | DType::I8 | DType::U8 | DType::I4 | DType::I2
        )
    }
}

value_set! {
    /// The element type of an index list in SRAM.
    IndexType {
        /// Signed 32-bit integers.
        I32 = 0 "i32",
        /// Signed 64-bit integers.
        I64 = 1 "i64",
    }
}

impl IndexType {
    /// Size of one index in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            IndexType::I32 => 4,
            IndexType::I64 => 8,
        }
    }
}

value_set! {
    /// Which cores a post or a push reaches.
    Scope {
        /// This core.
        Local = 0 "local",
        /// Every core, this one included.
        All = 1 "all",
        /// The one core named by the `core` field.
        Core = 2 "core",
    }
}

value_set! {
    /// Reductions over the innermost extent, in the order given in [`crate::numerics::reduce8`].
    ReduceFn {
        /// Sum of the elements.
        Sum = 0 "sum",
        /// Maximum of the elements.
        Maxr = 1 "maxr",
        /// Sum of the squares of the elements.
        Sumsq = 2 "sumsq",
        /// Minimum of the elements.
        Minr = 3 "minr",
        /// Maximum of the magnitudes of the elements.
        Absmax = 4 "absmax",
        /// Index of the first maximum.
        Argmax = 5 "argmax",
        /// Product of the elements.
        Prod = 6 "prod",
        /// Index of the first minimum.
        Argmin = 7 "argmin",
    }
}

/// A vector operand: up to three strided dimensions of elements in SRAM. The innermost is contiguous, or is one element
/// read again and again if `bcast` is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VOp {
    /// Address of element (0, 0, 0).
    pub addr: SAddr,
    /// Bytes between neighbours along the outermost dimension.
    pub s0: u32,
    /// Bytes between neighbours along the middle dimension.
    pub s1: u32,
    /// Element type in memory; arithmetic is f32, but for integer functions.
    pub dtype: DType,
    /// Innermost stride 0: one element for the whole innermost dimension. Not allowed on a destination.
    pub bcast: bool,
}
