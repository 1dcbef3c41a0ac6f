//! The closed list of operations.
//!
//! An op is plain data: equality, order and hash are structural, so ops can be keys (an e-graph's leaves).
//! What each op means is written once, in [`crate::eval`]; its result type in [`mod@crate::infer`]; the stages
//! it is legal in, in [`crate::verify::Stage`].

use crate::dim::{Dim, Symbol};
use crate::types::{ConstId, StateId};
use llmc_tensor::DType;
use std::collections::BTreeMap;
use std::fmt;

/// An f32 attribute, equal and ordered by its bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Real(u32);

impl Real {
    /// The attribute of this value.
    pub fn new(value: f32) -> Real {
        Real(value.to_bits())
    }

    /// The value.
    pub fn get(self) -> f32 {
        f32::from_bits(self.0)
    }
}

impl From<f32> for Real {
    fn from(value: f32) -> Real {
        Real::new(value)
    }
}

impl fmt::Display for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f) // Debug of f32 is the shortest text that reads back exactly
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! word_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            /// Every variant, in declaration order.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word that stands for it in text.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }

            /// The variant of this word.
            pub fn from_name(name: &str) -> Option<$name> {
                Self::ALL.iter().copied().find(|v| v.name() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

word_enum! {
    /// Elementwise functions of one operand. The result has the operand's type, but for `IsNan`, `IsInf`
    /// (bool). Floats only, but for `Neg`, `Abs`, `Sign`, `Relu` (also integers) and `Not` (bool).
    UnaryOp {
        /// -x
        Neg = "neg",
        /// |x|
        Abs = "abs",
        /// -1, 0 or 1
        Sign = "sign",
        /// e^x
        Exp = "exp",
        /// natural logarithm
        Log = "log",
        /// square root
        Sqrt = "sqrt",
        /// 1 / sqrt(x)
        Rsqrt = "rsqrt",
        /// 1 / x
        Recip = "recip",
        /// 1 / (1 + e^-x)
        Sigmoid = "sigmoid",
        /// hyperbolic tangent
        Tanh = "tanh",
        /// error function
        Erf = "erf",
        /// max(x, 0)
        Relu = "relu",
        /// x * sigmoid(x)
        Silu = "silu",
        /// x/2 * (1 + erf(x / sqrt 2))
        Gelu = "gelu",
        /// x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
        GeluTanh = "gelu_tanh",
        /// cosine
        Cos = "cos",
        /// sine
        Sin = "sin",
        /// inverse tangent
        Atan = "atan",
        /// largest integer <= x
        Floor = "floor",
        /// smallest integer >= x
        Ceil = "ceil",
        /// nearest integer, ties to even
        Round = "round",
        /// true for NaN
        IsNan = "is_nan",
        /// true for infinities
        IsInf = "is_inf",
        /// logical not, of bool
        Not = "not",
    }
}

word_enum! {
    /// Elementwise functions of two operands of one dtype, broadcast as in NumPy.
    BinaryOp {
        /// a + b
        Add = "add",
        /// a - b
        Sub = "sub",
        /// a * b
        Mul = "mul",
        /// a / b; integers truncate towards zero
        Div = "div",
        /// a ^ b; the exponent may have another dtype than the base, whose dtype the result has
        Pow = "pow",
        /// the smaller; NaN if either is
        Min = "min",
        /// the larger; NaN if either is
        Max = "max",
        /// the rest of a / b, with the sign of b
        Mod = "mod",
        /// the rest of a / b, with the sign of a; exact
        Rem = "rem",
        /// logical and of bool, bitwise and of integers
        And = "and",
        /// logical or of bool, bitwise or of integers
        Or = "or",
        /// logical exclusive or of bool, bitwise exclusive or of integers
        Xor = "xor",
        /// a shifted left by b bits, of integers; 0 if b is negative or not less than their number
        Shl = "shl",
        /// a shifted right by b bits, of integers, the sign bit (or 0) coming after; a b that is negative or not less
        /// than the number of bits leaves nothing else
        Shr = "shr",
    }
}

word_enum! {
    /// Elementwise comparisons with a bool result, broadcast as in NumPy. Only `Eq` and `Ne` take bools.
    CmpOp {
        /// a == b
        Eq = "eq",
        /// a != b
        Ne = "ne",
        /// a < b
        Lt = "lt",
        /// a <= b
        Le = "le",
        /// a > b
        Gt = "gt",
        /// a >= b
        Ge = "ge",
    }
}

word_enum! {
    /// Reductions over axes. Of no elements: 0, NaN, -inf, inf, 1, 0.
    ReduceOp {
        /// sum
        Sum = "reduce_sum",
        /// arithmetic mean; floats only
        Mean = "reduce_mean",
        /// largest
        Max = "reduce_max",
        /// smallest
        Min = "reduce_min",
        /// product
        Prod = "reduce_prod",
        /// sum of squares
        SumSquare = "reduce_sum_square",
    }
}

word_enum! {
    /// What [`Op::ScatterNd`] does with an element and its update.
    ScatterOp {
        /// the update; of several for one element the last in row-major order
        Assign = "assign",
        /// element + update
        Add = "add",
        /// element * update
        Mul = "mul",
        /// the larger; NaN if either is
        Max = "max",
        /// the smaller; NaN if either is
        Min = "min",
    }
}

word_enum! {
    /// What a dynamic quantisation takes its range of.
    RangeOf {
        /// each row of the last axis
        Row = "row",
        /// all elements, as ONNX's `DynamicQuantizeLinear`
        All = "all",
    }
}

impl Default for RangeOf {
    /// As ONNX says.
    fn default() -> RangeOf {
        RangeOf::All
    }
}

/// Codes of an integer type, with one scale and zero point: `saturate(round(x / scale) + zero)`, ties to even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Codes {
    /// Type of the codes: an integer of at most 16 bits.
    pub dtype: DType,
    /// What a code is a multiple of; not 0.
    pub scale: Real,
    /// The code of 0, one of the type's.
    pub zero: i32,
}

impl Codes {
    /// The least and the largest code.
    pub fn range(self) -> (f32, f32) {
        let all = 2f32.powi(self.dtype.bits().min(16) as i32);
        match self.dtype.is_signed_int() {
            true => (-all / 2.0, all / 2.0 - 1.0),
            false => (0.0, all - 1.0),
        }
    }

    /// A number rounded to a code and back.
    pub fn round_trip(self, x: f32) -> f32 {
        let (scale, zero, (low, high)) = (self.scale.get(), self.zero as f32, self.range());
        (((x / scale).round_ties_even() + zero).clamp(low, high) - zero) * scale
    }
}

/// `u8:0.5:128`: type, scale and zero point.
impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.dtype, self.scale, self.zero)
    }
}

impl std::str::FromStr for Codes {
    type Err = String;

    fn from_str(text: &str) -> Result<Codes, String> {
        let [dtype, scale, zero] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(format!("`{text}` is not a type, a scale and a zero point"));
        };
        let part = |part: &str| format!("`{part}` in `{text}`");
        Ok(Codes {
            dtype: dtype.parse().map_err(|_| part(dtype))?,
            scale: Real::new(scale.parse().map_err(|_| part(scale))?),
            zero: zero.parse().map_err(|_| part(zero))?,
        })
    }
}

/// Which columns a row of attention sees. Row at absolute position p sees column j if
/// (not `causal` or j <= p) and (no `window` or j > p - window).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MaskKind {
    /// Rows do not see later columns.
    pub causal: bool,
    /// Number of columns seen, the row's own included.
    pub window: Option<u32>,
}

impl MaskKind {
    /// Everything is seen.
    pub const FULL: MaskKind = MaskKind {
        causal: false,
        window: None,
    };
    /// The row's own and all earlier columns are seen.
    pub const CAUSAL: MaskKind = MaskKind {
        causal: true,
        window: None,
    };

    /// True if the row at absolute position `p` sees column `j`.
    pub fn sees(self, p: i64, j: i64) -> bool {
        (!self.causal || j <= p) && self.window.is_none_or(|w| j > p - i64::from(w))
    }
}

/// What a mask tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MaskForm {
    /// bool: true where the column is seen.
    Bool,
    /// f32: 0 where the column is seen, this value (-inf, -3.4e38, ...) where it is hidden.
    Additive(Real),
}

/// One operation. Operands are named in each variant's comment, in order; b, s, t stand for the dims `batch`,
/// `seq` and `past + seq`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// () A graph input; its name is in [`crate::Graph::inputs`], its type is given.
    Input,
    /// () A constant of the graph's table.
    Const(ConstId),
    /// (x) Elementwise.
    Unary(UnaryOp),
    /// (a, b) Elementwise with broadcasting.
    Binary(BinaryOp),
    /// (a, b) Elementwise with broadcasting; bool result.
    Compare(CmpOp),
    /// (condition, a, b) a where the condition is true, else b; all three broadcast.
    Where,
    /// (x) Conversion: to integers truncates, to bool is "not zero", to narrower floats rounds to even. To floats of 8
    /// bits and less, what is too large becomes the largest finite value, NaN stays NaN if the type has one.
    Cast(DType),
    /// (x) The same bits as another element type of the same width.
    BitCast(DType),
    /// (x) The same elements in row-major order under another shape.
    Reshape {
        /// The new shape; nothing in it is left to infer.
        shape: Vec<Dim>,
    },
    /// (x) Result dim i is operand dim `perm[i]`.
    Transpose {
        /// A permutation of the axes.
        perm: Vec<usize>,
    },
    /// (x) Broadcast to `shape`; operand dims are 1, or equal to it, aligned at the last axis.
    Expand {
        /// The shape of the result.
        shape: Vec<Dim>,
    },
    /// (x, ...) Joined along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// (x) Elements start, start + step, .. before `end` of one axis (after `end` for a negative step).
    /// Indices are not negative and not clamped.
    Slice {
        /// The axis.
        axis: usize,
        /// First index.
        start: Dim,
        /// Index before which to stop; -1 with a negative step stops after index 0.
        end: Dim,
        /// Distance; not 0.
        step: i64,
    },
    /// (data, indices) The dim `axis` of data replaced by the dims of indices; negative indices count from
    /// the end.
    Gather {
        /// Axis of data.
        axis: usize,
    },
    /// (data, indices [.., k]) As in ONNX: index tuples of the last dim pick slices of data.
    GatherNd {
        /// Leading dims that data and indices share.
        batch_dims: usize,
    },
    /// (data, indices [.., t], updates) data with the slices that the index tuples of the last dim pick combined with
    /// the slices of updates, in row-major order of the tuples; the counterpart of `GatherNd`. The leading `batch_dims`
    /// dims are common to all operands. updates has the shape that `GatherNd` would give. Negative indices count from
    /// the end.
    ScatterNd {
        /// Leading dims that all operands share.
        batch_dims: usize,
        /// How an update is combined with what is there.
        op: ScatterOp,
    },
    /// (x, value []) x with copies of the value before and after the elements of each axis.
    Pad {
        /// Number of copies before the first element, by axis.
        before: Vec<usize>,
        /// Number of copies after the last element, by axis.
        after: Vec<usize>,
    },
    /// (x) Sliding windows over the last n axes, n the length of the attributes:
    /// result[.., o1, .., on, k1, .., kn] = x[.., o1 * strides1 + k1 * dilations1, ..], with as many positions oi as fit:
    /// (di - dilationsi * (kerneli - 1) - 1) / stridesi + 1, rounded down. What convolutions and poolings are made of.
    Windows {
        /// Extents of a window; not 0.
        kernel: Vec<usize>,
        /// Distances of neighbouring windows; not 0.
        strides: Vec<usize>,
        /// Distances of neighbouring elements of a window; not 0.
        dilations: Vec<usize>,
    },
    /// (x) The i64 indices of the k largest (or smallest) elements along an axis, best first; of equal elements the one
    /// with the smaller index first. NaN counts as larger than everything. With k = 1 this is argmax and argmin.
    TopK {
        /// The axis, whose extent becomes k.
        axis: usize,
        /// Number of indices.
        k: usize,
        /// The largest, else the smallest.
        largest: bool,
    },
    /// (x) Reduction over axes.
    Reduce {
        /// The function.
        op: ReduceOp,
        /// Sorted axes.
        axes: Vec<usize>,
        /// Reduced dims stay as 1.
        keepdims: bool,
    },
    /// (x) e^(x - max) / sum of the same, along an axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// (x) Running sum along an axis.
    CumSum {
        /// The axis.
        axis: usize,
        /// Leaves out the element itself.
        exclusive: bool,
        /// Runs from the end.
        reverse: bool,
    },
    /// (x) Of the last two dims, keeps the upper (column - row >= k) or lower (<= k) triangle, zeros the rest.
    Trilu {
        /// Upper, else lower.
        upper: bool,
        /// The diagonal.
        k: Dim,
    },
    /// (a, b) Matrix product with NumPy's rules for rank. Of f32 with bf16 or f16, a is rounded to b's type first,
    /// as a matrix unit does; the result is f32.
    MatMul,
    /// (codes, scale, zero) (codes - zero) * scale, in the type of scale. Scale and zero have the rank of codes; an axis of
    /// theirs is 1, as long as that of the codes, or, for `axis`, one per `block` elements of it.
    Dequantize {
        /// The axis that is cut into blocks.
        axis: usize,
        /// Elements of a block; the last may have fewer.
        block: usize,
    },
    /// (x [.., k], codes [k, n], scale, zero) x times the dequantised codes, whose first axis is cut into blocks. All
    /// three are turned, [n, k], if `transposed`. In the type of x.
    MatMulDequantized {
        /// Elements of k that share a scale.
        block: usize,
        /// The codes are [n, k].
        transposed: bool,
    },
    /// (x, scale, zero) x rounded to codes of a type and back: (saturate(round(x / scale) + zero) - zero) * scale, ties
    /// to even. Scale and zero have one element, or one per column.
    RoundTrip(DType),
    /// (x) Rounded to 256 codes over its range, which includes 0, and back.
    DynamicRoundTrip(RangeOf),
    /// (table [n, d]) Rows `start .. start + rows`: what a subgraph of positions alone becomes.
    PositionRows {
        /// First row; `past`.
        start: Dim,
        /// Number of rows; `seq`.
        rows: Dim,
        /// So many rows serve contexts of at most so many tokens, new ones included; the table for longer ones follows them. 0 for one table.
        short: usize,
    },
    /// () The attention mask [1, 1, rows, cols]; row i has position cols - rows + i.
    Mask {
        /// What is seen.
        kind: MaskKind,
        /// Bool or additive.
        form: MaskForm,
        /// Queries; `seq`.
        rows: Dim,
        /// Keys; `past + seq`.
        cols: Dim,
    },
    /// (new [b, s, kv_heads * head_dim]) Writes rows past .. past + s of the state, whose view
    /// [b, kv_heads, past + s, head_dim] is the result.
    Append {
        /// The state.
        state: StateId,
    },
    /// `(x [.., n * d], w [d])` x / sqrt(mean(x^2) + eps) * w over each run of d elements of the last dim: over all of
    /// it if n is 1, else over each head.
    RmsNorm {
        /// Added to the mean square.
        eps: Real,
    },
    /// `(x [.., d], w [d], b [d])` (x - mean) / sqrt(variance + eps) * w + b over the last dim.
    LayerNorm {
        /// Added to the variance.
        eps: Real,
    },
    /// (x [b, s, heads * head_dim], cos [s, c], sin [s, c]) Rotates pairs of the first `rotary_dim` elements of
    /// each head: (i, i + rotary_dim/2), or (2i, 2i + 1) if interleaved. c is rotary_dim/2, or rotary_dim with
    /// each element of the pair having its own column.
    Rope {
        /// Heads in x.
        heads: usize,
        /// Elements per head.
        head_dim: usize,
        /// Elements that are rotated; even; the rest is copied.
        rotary_dim: usize,
        /// Pairs are neighbours.
        interleaved: bool,
    },
    /// (q [b, s, heads * head_dim], k [b, kv_heads, t, head_dim], v [b, kv_heads, t, head_dim])
    /// softmax(mask(softcap(scale * q k^T))) v per head -> [b, s, heads * head_dim]. Query row i has position
    /// t - s + i; query head h uses kv head h / (heads / kv_heads). Rows that see nothing give 0.
    /// A fourth operand of `heads` elements has a sink for each head: a further score of every row, which is always seen,
    /// not scaled and not capped, and has no value.
    Attention {
        /// Query heads.
        heads: usize,
        /// Key and value heads; divides `heads`.
        kv_heads: usize,
        /// Elements per head.
        head_dim: usize,
        /// Factor of the scores.
        scale: Real,
        /// What is seen.
        mask: MaskKind,
        /// Scores become c * tanh(score / c).
        softcap: Option<Real>,
        /// Scores are rounded to these codes and back before they are masked.
        scores: Option<Codes>,
        /// What softmax makes of them is rounded to these codes and back.
        weights: Option<Codes>,
    },
    /// (g, u) silu(g) * u, elementwise, equal shapes.
    SiluMul,
    /// (x) The last valid row of an axis, kept as a dim of 1.
    LastRow {
        /// The axis; usually that of `seq`.
        axis: usize,
    },
    /// (x) The whole value on every core; undoes a split layout.
    AllGather,
    /// (x) In the first turn of its [`Op::Repeat`] x, in each later one the `next` of the turn before.
    Carry,
    /// (carry, next) The last `next` after `count` turns. What a turn computes is every node between: those that
    /// depend on `carry`, on a stack of constants or on a stack of states. See [`crate::region`].
    Repeat {
        /// Number of turns; at least 2.
        count: usize,
    },
}

impl Op {
    /// Rows `past .. past + seq` of a table.
    pub fn position_rows() -> Op {
        Op::PositionRows {
            start: Dim::past(),
            rows: Dim::seq(),
            short: 0,
        }
    }

    /// A mask of `seq` rows and `past + seq` columns.
    pub fn mask(kind: MaskKind, form: MaskForm) -> Op {
        Op::Mask {
            kind,
            form,
            rows: Dim::seq(),
            cols: Dim::past() + Dim::seq(),
        }
    }

    /// The word that names the op in text, without its attributes.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Const(_) => "const",
            Op::Unary(op) => op.name(),
            Op::Binary(op) => op.name(),
            Op::Compare(op) => op.name(),
            Op::Where => "where",
            Op::Cast(_) => "cast",
            Op::BitCast(_) => "bit_cast",
            Op::Reshape { .. } => "reshape",
            Op::Transpose { .. } => "transpose",
            Op::Expand { .. } => "expand",
            Op::Concat { .. } => "concat",
            Op::Slice { .. } => "slice",
            Op::Gather { .. } => "gather",
            Op::GatherNd { .. } => "gather_nd",
            Op::ScatterNd { .. } => "scatter_nd",
            Op::Pad { .. } => "pad",
            Op::Windows { .. } => "windows",
            Op::TopK { .. } => "top_k",
            Op::Reduce { op, .. } => op.name(),
            Op::Softmax { .. } => "softmax",
            Op::CumSum { .. } => "cumsum",
            Op::Trilu { .. } => "trilu",
            Op::MatMul => "matmul",
            Op::Dequantize { .. } => "dequantize",
            Op::MatMulDequantized { .. } => "matmul_dequantized",
            Op::RoundTrip(_) => "round_trip",
            Op::DynamicRoundTrip(_) => "dynamic_round_trip",
            Op::PositionRows { .. } => "position_rows",
            Op::Mask { .. } => "mask",
            Op::Append { .. } => "append",
            Op::RmsNorm { .. } => "rms_norm",
            Op::LayerNorm { .. } => "layer_norm",
            Op::Rope { .. } => "rope",
            Op::Attention { .. } => "attention",
            Op::SiluMul => "silu_mul",
            Op::LastRow { .. } => "last_row",
            Op::AllGather => "all_gather",
            Op::Carry => "carry",
            Op::Repeat { .. } => "repeat",
        }
    }

    /// Number of operands; `None` for one or more ([`Op::Concat`]; [`Op::Attention`] takes three or four).
    pub fn arity(&self) -> Option<usize> {
        match self {
            Op::Input | Op::Const(_) | Op::Mask { .. } => Some(0),
            Op::Unary(_)
            | Op::Cast(_)
            | Op::BitCast(_)
            | Op::Windows { .. }
            | Op::TopK { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Expand { .. }
            | Op::Slice { .. }
            | Op::Reduce { .. }
            | Op::Softmax { .. }
            | Op::CumSum { .. }
            | Op::Trilu { .. }
            | Op::DynamicRoundTrip(_)
            | Op::PositionRows { .. }
            | Op::Append { .. }
            | Op::LastRow { .. }
            | Op::AllGather
            | Op::Carry => Some(1),
            Op::Binary(_)
            | Op::Compare(_)
            | Op::Gather { .. }
            | Op::GatherNd { .. }
            | Op::Pad { .. }
            | Op::MatMul
            | Op::RmsNorm { .. }
            | Op::SiluMul
            | Op::Repeat { .. } => Some(2),
            Op::Where
            | Op::ScatterNd { .. }
            | Op::Dequantize { .. }
            | Op::RoundTrip(_)
            | Op::LayerNorm { .. }
            | Op::Rope { .. } => Some(3),
            Op::MatMulDequantized { .. } => Some(4),
            Op::Concat { .. } | Op::Attention { .. } => None,
        }
    }

    /// True if the op does more than compute its result, and so is kept even if nothing uses it.
    pub fn has_effect(&self) -> bool {
        matches!(self, Op::Append { .. })
    }

    /// The dims among the attributes.
    pub fn dims(&self) -> Vec<&Dim> {
        match self {
            Op::Reshape { shape } | Op::Expand { shape } => shape.iter().collect(),
            Op::Slice { start, end, .. } => vec![start, end],
            Op::Trilu { k, .. } => vec![k],
            Op::PositionRows { start, rows, .. } => vec![start, rows],
            Op::Mask { rows, cols, .. } => vec![rows, cols],
            _ => Vec::new(),
        }
    }

    /// The op with symbols in its attributes replaced.
    pub fn substitute(&self, by: &BTreeMap<Symbol, Dim>) -> Op {
        self.map_dims(|d: &mut Dim| *d = d.substitute_all(by))
    }

    /// The op with each dim of its attributes changed.
    pub fn map_dims(&self, each: impl FnMut(&mut Dim)) -> Op {
        let mut op = self.clone();
        match &mut op {
            Op::Reshape { shape } | Op::Expand { shape } => shape.iter_mut().for_each(each),
            Op::Slice { start, end, .. } => [start, end].into_iter().for_each(each),
            Op::Trilu { k, .. } => [k].into_iter().for_each(each),
            Op::PositionRows { start, rows, .. } => [start, rows].into_iter().for_each(each),
            Op::Mask { rows, cols, .. } => [rows, cols].into_iter().for_each(each),
            _ => {}
        }
        op
    }
}
