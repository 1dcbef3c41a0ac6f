//! The elementwise functions: one row per function, with everything there is to know about it.
//!
//! A row gives the encoding and the mnemonic, how long it takes ([`Pace`]), what it means, and the definition to the bit. The
//! field types, the manual, the timing and the loops of the emulator come from the rows.

use crate::chip::Chip;
use crate::numerics::*;
use crate::operand::value_set;

/// How many cycles the vector unit needs for a step of its lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One.
    Step,
    /// `vpu.divide_cycles`.
    Divide,
    /// `vpu.transcendental_cycles`.
    Transcendental,
}

impl Pace {
    /// Cycles per step on `chip`.
    pub fn cycles(self, chip: &Chip) -> u64 {
        match self {
            Pace::Step => 1,
            Pace::Divide => chip.vpu_divide_cycles(),
            Pace::Transcendental => chip.vpu_transcendental_cycles(),
        }
    }

    /// Name of the chip parameter with the cycles, for the manual.
    pub const fn name(self) -> &'static str {
        match self {
            Pace::Step => "1",
            Pace::Divide => "`vpu.divide_cycles`",
            Pace::Transcendental => "`vpu.transcendental_cycles`",
        }
    }
}

/// Declares a set of functions: `value_set!` with a pace and a definition per row.
macro_rules! functions {
    ($(#[$doc:meta])* $name:ident($args:tt: [$lane:ident; $n:literal]) {
        $(#[doc = $vdoc:literal] $variant:ident = $value:literal $text:literal $pace:ident: $body:expr,)*
    }) => {
        value_set! {
            $(#[$doc])*
            $name { $(#[doc = $vdoc] $variant = $value $text,)* }
        }

        impl $name {
            /// How long a step takes.
            pub const fn pace(self) -> Pace {
                match self { $($name::$variant => Pace::$pace),* }
            }

            /// The definition: a result from one element of each operand.
            #[inline(always)]
            pub fn apply(self, $args: [$lane; $n]) -> $lane {
                match self { $($name::$variant => $body),* }
            }

            /// Writes the results for `items`, each a place with its operands. One loop per function, branch-free inside.
            #[inline(always)]
            pub fn each<'a>(self, items: impl Iterator<Item = (&'a mut $lane, [$lane; $n])>) {
                match self {
                    $($name::$variant => items.for_each(|(place, $args)| *place = $body),)*
                }
            }
        }
    };
}

functions! {
    /// Elementwise functions of one operand, computed as `f(fma(a, scale, bias))`.
    UnaryFn([x]: [f32; 1]) {
        /// x
        Copy = 0 "copy" Step: x,
        /// -x
        Neg = 1 "neg" Step: -x,
        /// |x|
        Abs = 2 "abs" Step: x.abs(),
        /// e to the x
        Exp = 3 "exp" Transcendental: exp(x),
        /// natural logarithm
        Log = 4 "log" Transcendental: log(x),
        /// square root
        Sqrt = 5 "sqrt" Divide: x.sqrt(),
        /// 1 / sqrt(x)
        Rsqrt = 6 "rsqrt" Divide: rsqrt(x),
        /// 1 / x
        Recip = 7 "recip" Divide: recip(x),
        /// 1 / (1 + exp(-x))
        Sigmoid = 8 "sigmoid" Transcendental: sigmoid(x),
        /// hyperbolic tangent
        Tanh = 9 "tanh" Transcendental: tanh(x),
        /// x * sigmoid(x)
        Silu = 10 "silu" Transcendental: silu(x),
        /// max(x, 0)
        Relu = 11 "relu" Step: relu(x),
        /// 0.5 * x * (1 + erf(x / sqrt(2)))
        Gelu = 12 "gelu" Transcendental: gelu(x),
        /// error function
        Erf = 13 "erf" Transcendental: erf(x),
        /// sine
        Sin = 14 "sin" Transcendental: sin(x),
        /// cosine
        Cos = 15 "cos" Transcendental: cos(x),
        /// nearest integer, ties to even
        Round = 16 "round" Step: x.round_ties_even(),
        /// largest integer not above x
        Floor = 17 "floor" Step: x.floor(),
        /// smallest integer not below x
        Ceil = 18 "ceil" Step: x.ceil(),
        /// x without its fraction
        Trunc = 19 "trunc" Step: x.trunc(),
        /// x < 0 ? -1 : x > 0 ? 1 : x; so NaN for NaN
        Sign = 20 "sign" Step: sign(x),
        /// x == 0 ? 1 : 0
        Not = 21 "not" Step: flag(x == 0.0),
        /// x != x ? 1 : 0
        IsNan = 22 "isnan" Step: flag(x.is_nan()),
        /// |x| is infinite ? 1 : 0
        IsInf = 23 "isinf" Step: flag(x.abs() == f32::INFINITY),
        /// tangent
        Tan = 24 "tan" Transcendental: tan(x),
        /// arc sine
        Asin = 25 "asin" Transcendental: asin(x),
        /// arc tangent
        Atan = 26 "atan" Transcendental: atan(x),
        /// exp(x) - 1, accurate near 0
        Expm1 = 27 "expm1" Transcendental: expm1(x),
        /// log(1 + x), accurate near 0
        Log1p = 28 "log1p" Transcendental: log1p(x),
    }
}

functions! {
    /// Elementwise functions of two operands.
    BinaryFn([a, b]: [f32; 2]) {
        /// a + b
        Add = 0 "add" Step: a + b,
        /// a - b
        Sub = 1 "sub" Step: a - b,
        /// a * b
        Mul = 2 "mul" Step: a * b,
        /// a / b
        Div = 3 "div" Divide: a / b,
        /// a < b ? a : b
        Min = 4 "min" Step: min(a, b),
        /// a > b ? a : b
        Max = 5 "max" Step: max(a, b),
        /// a == b ? 1 : 0
        Eq = 6 "eq" Step: flag(a == b),
        /// a == b ? 0 : 1
        Ne = 7 "ne" Step: flag(a != b),
        /// a < b ? 1 : 0
        Lt = 8 "lt" Step: flag(a < b),
        /// a <= b ? 1 : 0
        Le = 9 "le" Step: flag(a <= b),
        /// a != 0 and b != 0 ? 1 : 0
        And = 10 "and" Step: flag((a != 0.0) & (b != 0.0)),
        /// a != 0 or b != 0 ? 1 : 0
        Or = 11 "or" Step: flag((a != 0.0) | (b != 0.0)),
        /// (a != 0) differs from (b != 0) ? 1 : 0
        Xor = 12 "xor" Step: flag((a != 0.0) ^ (b != 0.0)),
        /// a to the power b
        Pow = 13 "pow" Transcendental: pow(a, b),
        /// a - trunc(a / b) * b, exact: the remainder with the sign of a, as C's fmod
        Rem = 14 "rem" Divide: a % b,
        /// a - floor(a / b) * b: the remainder with the sign of b, as Python's %
        Mod = 15 "mod" Divide: modulo(a, b),
    }
}

functions! {
    /// Elementwise functions of two integers: exact, in 32-bit two's complement that wraps around.
    IntFn([a, b]: [i32; 2]) {
        /// a + b
        Iadd = 0 "iadd" Step: a.wrapping_add(b),
        /// a - b
        Isub = 1 "isub" Step: a.wrapping_sub(b),
        /// a * b
        Imul = 2 "imul" Step: a.wrapping_mul(b),
        /// smaller of a and b
        Imin = 3 "imin" Step: a.min(b),
        /// larger of a and b
        Imax = 4 "imax" Step: a.max(b),
        /// a shifted left by b; 0 if b is not 0 to 31
        Ishl = 5 "ishl" Step: if shiftable(b) { a << (b & 31) } else { 0 },
        /// a shifted right by b, filled with its sign; all sign if b is not 0 to 31
        Ishr = 6 "ishr" Step: a >> if shiftable(b) { b & 31 } else { 31 },
        /// bitwise and
        Iand = 7 "iand" Step: a & b,
        /// bitwise or
        Ior = 8 "ior" Step: a | b,
        /// bitwise exclusive or
        Ixor = 9 "ixor" Step: a ^ b,
        /// a == b ? 1 : 0
        Ieq = 10 "ieq" Step: i32::from(a == b),
        /// a < b ? 1 : 0
        Ilt = 11 "ilt" Step: i32::from(a < b),
        /// floor(a / b); 0 if b is 0
        Idiv = 12 "idiv" Divide: floor_div(a, b),
        /// a - floor(a / b) * b; a if b is 0
        Imod = 13 "imod" Divide: a.wrapping_sub(floor_div(a, b).wrapping_mul(b)),
        /// a / b rounded toward 0; 0 if b is 0
        Iquo = 14 "iquo" Divide: if b == 0 { 0 } else { a.wrapping_div(b) },
        /// a - iquo(a, b) * b, with the sign of a; a if b is 0
        Irem = 15 "irem" Divide: if b == 0 { a } else { a.wrapping_rem(b) },
        /// a as an unsigned number shifted right by b, filled with 0; 0 if b is not 0 to 31
        Ilshr = 16 "ilshr" Step: if shiftable(b) { ((a as u32) >> (b & 31)) as i32 } else { 0 },
    }
}

/// True for the distances by which a 32-bit number can be shifted.
#[inline(always)]
fn shiftable(b: i32) -> bool {
    (0..32).contains(&b)
}

functions! {
    /// Between numbers and integer codes. The functions that end in z take zero points, the others do not look at them. A
    /// quantised code still has to be rounded into the range of its type.
    QuantFn([a, scale, zero]: [f32; 3]) {
        /// round(a / scale)
        Quant = 0 "quant" Divide: { let _ = zero; (a / scale).round_ties_even() },
        /// round(a / scale) + zero
        Quantz = 1 "quantz" Divide: (a / scale).round_ties_even() + zero,
        /// a * scale
        Dequant = 2 "dequant" Step: { let _ = zero; a * scale },
        /// (a - zero) * scale
        Dequantz = 3 "dequantz" Step: (a - zero) * scale,
    }
}

impl QuantFn {
    /// True if the function takes zero points.
    pub const fn has_zero(self) -> bool {
        matches!(self, QuantFn::Quantz | QuantFn::Dequantz)
    }
}

functions! {
    /// Activations on the way out of the matrix unit.
    ActFn([x]: [f32; 1]) {
        /// x
        None = 0 "none" Step: x,
        /// max(x, 0)
        Relu = 1 "relu" Step: relu(x),
        /// x * sigmoid(x)
        Silu = 2 "silu" Transcendental: silu(x),
        /// 0.5 * x * (1 + erf(x / sqrt(2)))
        Gelu = 3 "gelu" Transcendental: gelu(x),
    }
}
