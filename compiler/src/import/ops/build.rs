//! Short names for graph ops, so that a composition reads like its formula.

use llmc_ir::{BinaryOp, CmpOp, Dim, Op, ReduceOp, UnaryOp};
use llmc_tensor::{DType, Tensor};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::{Val, axis_of};
use super::elementwise::cast_to;

/// Operands with more elements are refused where their extents are computed with.
const MAX_ELEMENTS: usize = 1 << 36;

/// Tables made on import have no more elements.
pub const MAX_TABLE: usize = 1 << 24;

/// A value, or why there is none.
pub type Made = Result<Val, OpError>;

macro_rules! binaries {
    ($($(#[$doc:meta])* $name:ident = $op:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, a: &Val, b: &Val) -> Made {
            self.apply(Op::Binary(BinaryOp::$op), &[a, b])
        }
    )*};
}

macro_rules! compares {
    ($($(#[$doc:meta])* $name:ident = $op:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, a: &Val, b: &Val) -> Made {
            self.apply(Op::Compare(CmpOp::$op), &[a, b])
        }
    )*};
}

/// All of these fail as [`Lower::apply`] does.
impl Lower<'_> {
    binaries! {
        /// a + b
        sum = Add,
        /// a - b
        sub = Sub,
        /// a * b
        mul = Mul,
        /// a / b
        div = Div,
        /// a ^ b
        pow = Pow,
        /// The larger.
        max = Max,
        /// The smaller.
        min = Min,
        /// Logical or bitwise and.
        and = And,
        /// Logical or bitwise or.
        or = Or,
    }

    compares! {
        /// a == b
        equal = Eq,
        /// a < b
        less = Lt,
        /// a <= b
        less_or_equal = Le,
        /// a > b
        greater = Gt,
        /// a >= b
        greater_or_equal = Ge,
    }

    /// A function of each element.
    pub fn map(&mut self, op: UnaryOp, x: &Val) -> Made {
        self.apply(Op::Unary(op), &[x])
    }

    /// A scalar of the element type of `like`.
    pub fn number(&self, like: &Val, value: f64) -> Made {
        self.scalar_of(like.dtype()?, value)
    }

    /// A known tensor of the element type `dtype`.
    pub fn known(&self, dtype: DType, shape: Vec<usize>, values: &[f64]) -> Made {
        let tensor = Tensor::from_f64(dtype, shape, values);
        tensor
            .map(Val::constant)
            .map_err(|e| OpError::bug(e.to_string()))
    }

    /// x + a number.
    pub fn plus(&mut self, x: &Val, value: f64) -> Made {
        let value = self.number(x, value)?;
        self.sum(x, &value)
    }

    /// x * a number; nothing if that is 1.
    pub fn times(&mut self, x: &Val, factor: f64) -> Made {
        if factor == 1.0 {
            return Ok(x.clone());
        }
        let factor = self.number(x, factor)?;
        self.mul(x, &factor)
    }

    /// A number / x.
    pub fn over(&mut self, value: f64, x: &Val) -> Made {
        let value = self.number(x, value)?;
        self.div(&value, x)
    }

    /// x, but not below `low` and not above `high`.
    pub fn clamp(&mut self, x: &Val, low: f64, high: f64) -> Made {
        let (low, high) = (self.number(x, low)?, self.number(x, high)?);
        let x = self.max(x, &low)?;
        self.min(&x, &high)
    }

    /// a where the condition holds, else b.
    pub fn pick(&mut self, condition: &Val, a: &Val, b: &Val) -> Made {
        self.apply(Op::Where, &[condition, a, b])
    }

    /// x as another element type.
    pub fn cast(&mut self, x: &Val, to: DType) -> Made {
        cast_to(self, x, to)
    }

    /// Matrix product.
    pub fn matmul(&mut self, a: &Val, b: &Val) -> Made {
        self.apply(Op::MatMul, &[a, b])
    }

    /// A reduction over axes counted from the front.
    pub fn reduce(&mut self, op: ReduceOp, x: &Val, axes: &[usize], keepdims: bool) -> Made {
        if axes.is_empty() {
            return Ok(x.clone());
        }
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        axes.dedup();
        self.apply(Op::Reduce { op, axes, keepdims }, &[x])
    }

    /// Elements start .. end of an axis.
    pub fn part(
        &mut self,
        x: &Val,
        axis: usize,
        start: impl Into<Dim>,
        end: impl Into<Dim>,
    ) -> Made {
        let (start, end) = (start.into(), end.into());
        if start.is(0) && self.shape(x)?.get(axis) == Some(&end) {
            return Ok(x.clone());
        }
        let op = Op::Slice {
            axis,
            start,
            end,
            step: 1,
        };
        self.apply(op, &[x])
    }

    /// Axes in another order.
    pub fn permute(&mut self, x: &Val, perm: Vec<usize>) -> Made {
        match perm.iter().copied().eq(0..perm.len()) {
            true => Ok(x.clone()),
            false => self.apply(Op::Transpose { perm }, &[x]),
        }
    }

    /// Joined along an axis.
    pub fn joined(&mut self, parts: &[&Val], axis: usize) -> Made {
        match parts {
            [single] => Ok((*single).clone()),
            _ => self.apply(Op::Concat { axis }, parts),
        }
    }

    /// Broadcast to a shape.
    pub fn spread(&mut self, x: &Val, shape: Vec<Dim>) -> Made {
        match self.shape(x)? == shape {
            true => Ok(x.clone()),
            false => self.apply(Op::Expand { shape }, &[x]),
        }
    }

    /// With an axis of extent 1 before the axis `at`.
    pub fn open(&mut self, x: &Val, at: usize) -> Made {
        let mut shape = self.shape(x)?;
        shape.insert(at.min(shape.len()), Dim::one());
        self.reshape(x, shape)
    }

    /// Without the axis `at`, whose extent is 1.
    pub fn close(&mut self, x: &Val, at: usize) -> Made {
        let mut shape = self.shape(x)?;
        if at < shape.len() {
            shape.remove(at);
        }
        self.reshape(x, shape)
    }

    /// The shape.
    pub fn shape(&self, x: &Val) -> Result<Vec<Dim>, OpError> {
        Ok(self.ty(x)?.shape.clone())
    }

    /// Number of axes.
    pub fn rank(&self, x: &Val) -> Result<usize, OpError> {
        Ok(self.ty(x)?.rank())
    }

    /// The shape in numbers.
    pub fn extents(&self, x: &Val) -> Result<Vec<usize>, OpError> {
        let ty = self.ty(x)?;
        let shape = ty.const_shape().ok_or_else(|| {
            OpError::unsupported(
                format!("it needs fixed extents, the operand is {ty}"),
                "export with fixed shapes, or bind the dims with --dim",
            )
        })?;
        // an extent of 0 must not hide others whose products overflow
        let others: Vec<usize> = shape.iter().copied().filter(|n| *n > 0).collect();
        match llmc_tensor::tensor::elements(&others) {
            Some(n) if n <= MAX_ELEMENTS => Ok(shape),
            _ => Err(OpError::unsupported(
                format!("an operand of {ty} is too large"),
                "",
            )),
        }
    }

    /// The axis that an attribute names, counted from the front.
    pub fn axis(&self, call: &Call, x: &Val, default: i64) -> Result<usize, OpError> {
        axis_of(call.attributes().int_or("axis", default)?, self.rank(x)?)
    }

    /// Elements of a small known operand.
    pub fn known_floats(&self, x: &Val) -> Result<Vec<f64>, OpError> {
        match x.as_const() {
            Some(tensor) => Ok(tensor.to_f64_vec()),
            None => Err(OpError::unsupported(
                "an operand must be known at compile time",
                "export it as a constant",
            )),
        }
    }

    /// x as f32 if it is a narrower float, to compute in; with its own element type, for the result.
    pub fn widened(&mut self, x: &Val) -> Result<(Val, DType), OpError> {
        let own = x.dtype()?;
        let narrow = own.is_float() && own.bits() < 32;
        let x = match narrow {
            true => self.cast(x, DType::F32)?,
            false => x.clone(),
        };
        Ok((x, own))
    }
}

/// Row-major indices 0.. of a shape as a tensor, shape [n].
pub fn iota(cx: &Lower, dtype: DType, n: usize) -> Made {
    if n > MAX_TABLE {
        return Err(OpError::unsupported(format!("an axis of {n} elements"), ""));
    }
    let values: Vec<f64> = (0..n).map(|i| i as f64).collect();
    cx.known(dtype, vec![n], &values)
}
