//! Functions of elements: arithmetic, comparison, selection, conversion.

use llmc_ir::{BinaryOp, CmpOp, UnaryOp};
use llmc_isa::DType;
use llmc_tensor::DType as TensorType;

use super::narrow::{Wrap, chip_type, wrap};
use super::slab::Slab;
use super::tiles::Tile;
use super::{Function, Reason};
use crate::tile::functions::{float_binary, float_unary, int_binary};
use crate::tile::{BinaryFn, IntFn, Operand, UnaryFn};

/// x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).
fn gelu_tanh(t: &mut Tile) {
    let (x, dst) = (t.args[0].clone(), t.dst.clone());
    let y = t.temp(DType::F32);
    t.binary(BinaryFn::Mul, &y, &x, &x);
    t.scaled(UnaryFn::Copy, &y, &y, 0.044_715, 1.0);
    t.binary(BinaryFn::Mul, &y, &y, &x);
    t.scaled(UnaryFn::Tanh, &y, &y, 0.797_884_6, 0.0);
    t.scaled(UnaryFn::Copy, &y, &y, 0.5, 0.5);
    t.binary(BinaryFn::Mul, &dst, &y, &x);
}

/// A function of integers, exact in 32 bits.
fn int_unary(t: &mut Tile, op: UnaryOp, dst: &Operand) {
    let x = t.args[0].clone();
    let zero = t.integer(0);
    match op {
        UnaryOp::Neg => t.int(IntFn::Isub, dst, &zero, &x),
        UnaryOp::Abs => {
            let minus = t.temp(DType::I32);
            t.int(IntFn::Isub, &minus, &zero, &x);
            t.int(IntFn::Imax, dst, &x, &minus);
        }
        UnaryOp::Sign => {
            let below = t.temp(DType::I32);
            t.int(IntFn::Ilt, &below, &x, &zero);
            let above = t.temp(DType::I32);
            t.int(IntFn::Ilt, &above, &zero, &x);
            t.int(IntFn::Isub, dst, &above, &below);
        }
        UnaryOp::Not => {
            let ones = t.integer(-1);
            t.int(IntFn::Ixor, dst, &x, &ones);
        }
        _ => t.int(IntFn::Imax, dst, &x, &zero), // relu; the graph has no other function of integers
    }
}

/// The powers of integers by integers: by squaring, for the 5 bits of an exponent that can matter. With an exponent below 0, what
/// is left of 1 / a^-b: 1, -1, or 0.
fn int_power(t: &mut Tile, dst: &Operand) {
    let (a, b) = (t.args[0].clone(), t.args[1].clone());
    let (one, zero) = (t.integer(1), t.integer(0));
    let [base, result, left, odd] = [0; 4].map(|_| t.temp(DType::I32));
    t.int(IntFn::Ior, &base, &a, &a);
    t.int(IntFn::Ior, &result, &one, &one);
    t.int(IntFn::Ior, &left, &b, &b);
    for bit in 0..EXPONENT_BITS {
        t.int(IntFn::Iand, &odd, &left, &one);
        // result * (odd ? base : 1)
        t.int(IntFn::Imul, &odd, &odd, &base);
        let skip = t.temp(DType::I32);
        t.int(IntFn::Iand, &skip, &left, &one);
        t.select(&odd, &skip, &odd, &one);
        t.int(IntFn::Imul, &result, &result, &odd);
        if bit + 1 < EXPONENT_BITS {
            t.int(IntFn::Imul, &base, &base, &base);
            t.int(IntFn::Ishr, &left, &left, &one);
        }
    }
    let below = t.temp(DType::I32);
    t.int(IntFn::Ilt, &below, &b, &zero);
    t.int(IntFn::Iquo, &odd, &one, &a);
    t.select(dst, &below, &odd, &result);
}

/// Bits of an exponent: a larger one than 31 overflows, or takes a base of 0, 1 or -1, for which its lowest bit decides.
const EXPONENT_BITS: u32 = 6;

/// Copies 32-bit integers to the result, wrapped into its type.
fn wrapped(t: &mut Tile, from: &Operand, how: Wrap) {
    let dst = t.dst.clone();
    match how {
        Wrap::None => t.int(IntFn::Ior, &dst, from, from),
        Wrap::Mask(mask) => {
            let mask = t.integer(mask);
            t.int(IntFn::Iand, &dst, from, &mask);
        }
        Wrap::Shift(bits) => {
            let (bits, y) = (t.integer(bits), t.temp(DType::I32));
            t.int(IntFn::Ishl, &y, from, &bits);
            t.int(IntFn::Ishr, &dst, &y, &bits);
        }
    }
}

/// Runs `f` on the result itself, or on 32-bit integers that are wrapped into the result's type.
fn in_range(t: &mut Tile, how: Wrap, f: impl FnOnce(&mut Tile, &Operand)) {
    if how == Wrap::None {
        let dst = t.dst.clone();
        return f(t, &dst);
    }
    let wide = t.temp(DType::I32);
    f(t, &wide);
    wrapped(t, &wide, how);
}

impl Function<'_> {
    /// A new value `f(ins)` of a shape; the operands are broadcast to it.
    pub(super) fn elementwise(
        &mut self,
        ins: &[&Slab],
        shape: &[u64],
        dtype: DType,
        f: &dyn Fn(&mut Tile),
    ) -> Result<Slab, Reason> {
        let out = self.scratch(dtype, shape);
        let ins: Vec<Slab> = ins.iter().map(|s| s.expand(shape)).collect();
        self.map(&out, &ins, Some(f))?;
        Ok(out)
    }

    pub(super) fn unary(
        &mut self,
        op: UnaryOp,
        x: &Slab,
        dtype: TensorType,
        from: TensorType,
    ) -> Result<Slab, Reason> {
        let (shape, to) = (x.shape(), chip_type(dtype));
        if from.is_int() {
            let how = wrap(dtype);
            let f = move |t: &mut Tile| in_range(t, how, |t, dst| int_unary(t, op, dst));
            return self.elementwise(&[x], &shape, to, &f);
        }
        self.elementwise(&[x], &shape, to, &move |t| {
            let (a, dst) = (t.args[0].clone(), t.dst.clone());
            match float_unary(op) {
                Some(op) => t.unary(op, &dst, &a),
                None => gelu_tanh(t),
            }
        })
    }

    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        a: &Slab,
        b: &Slab,
        shape: &[u64],
        dtype: TensorType,
        exponent: TensorType,
    ) -> Result<Slab, Reason> {
        let to = chip_type(dtype);
        if dtype.is_int() && !(op == BinaryOp::Pow && exponent.is_float()) {
            let how = match op {
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Shl | BinaryOp::Pow => {
                    wrap(dtype)
                }
                _ => Wrap::None,
            };
            let exact = match op {
                BinaryOp::Shr if dtype.is_signed_int() => Some(IntFn::Ishr),
                _ => int_binary(op),
            };
            return match exact {
                Some(op) => self.elementwise(&[a, b], shape, to, &move |t| {
                    in_range(t, how, |t, dst| {
                        let (a, b) = (t.args[0].clone(), t.args[1].clone());
                        t.int(op, dst, &a, &b);
                    })
                }),
                None => self.elementwise(&[a, b], shape, to, &|t| in_range(t, how, int_power)),
            };
        }
        let Some(op) = float_binary(op) else {
            return Err(format!("bug: `{op}` of {dtype}"));
        };
        if dtype.is_int() {
            // An integer to the power of a float, towards zero.
            return self.elementwise(&[a, b], shape, to, &move |t| {
                let (a, b, dst) = (t.args[0].clone(), t.args[1].clone(), t.dst.clone());
                let y = t.temp(DType::F32);
                t.binary(op, &y, &a, &b);
                t.unary(UnaryFn::Trunc, &dst, &y);
            });
        }
        self.float(op, a, b, shape, to)
    }

    /// `a op b` in floats.
    pub(super) fn float(
        &mut self,
        op: BinaryFn,
        a: &Slab,
        b: &Slab,
        shape: &[u64],
        to: DType,
    ) -> Result<Slab, Reason> {
        self.elementwise(&[a, b], shape, to, &move |t| {
            let (a, b, dst) = (t.args[0].clone(), t.args[1].clone(), t.dst.clone());
            t.binary(op, &dst, &a, &b);
        })
    }

    pub(super) fn compare(
        &mut self,
        op: CmpOp,
        a: &Slab,
        b: &Slab,
        shape: &[u64],
        dtype: TensorType,
    ) -> Result<Slab, Reason> {
        let (a, b) = match op {
            CmpOp::Gt | CmpOp::Ge => (b, a),
            CmpOp::Eq | CmpOp::Ne | CmpOp::Lt | CmpOp::Le => (a, b),
        };
        if !dtype.is_int() {
            let op = match op {
                CmpOp::Eq => BinaryFn::Eq,
                CmpOp::Ne => BinaryFn::Ne,
                CmpOp::Lt | CmpOp::Gt => BinaryFn::Lt,
                CmpOp::Le | CmpOp::Ge => BinaryFn::Le,
            };
            return self.float(op, a, b, shape, DType::U8);
        }
        self.elementwise(&[a, b], shape, DType::U8, &move |t| {
            let (a, b, dst) = (t.args[0].clone(), t.args[1].clone(), t.dst.clone());
            match op {
                CmpOp::Eq => t.int(IntFn::Ieq, &dst, &a, &b),
                CmpOp::Lt | CmpOp::Gt => t.int(IntFn::Ilt, &dst, &a, &b),
                CmpOp::Ne => {
                    t.int(IntFn::Ieq, &dst, &a, &b);
                    t.unary(UnaryFn::Not, &dst, &dst);
                }
                CmpOp::Le | CmpOp::Ge => {
                    t.int(IntFn::Ilt, &dst, &b, &a);
                    t.unary(UnaryFn::Not, &dst, &dst);
                }
            }
        })
    }

    pub(super) fn select(
        &mut self,
        mask: &Slab,
        a: &Slab,
        b: &Slab,
        shape: &[u64],
        dtype: TensorType,
    ) -> Result<Slab, Reason> {
        self.elementwise(&[mask, a, b], shape, chip_type(dtype), &|t| {
            let [mask, a, b] = [0, 1, 2].map(|i| t.args[i].clone());
            let dst = t.dst.clone();
            t.select(&dst, &mask, &a, &b);
        })
    }

    /// Converts elements: to bool, whether they are not 0; to integers towards zero, wrapping around.
    pub(super) fn cast(
        &mut self,
        x: &Slab,
        from: TensorType,
        to: TensorType,
    ) -> Result<Slab, Reason> {
        let (shape, dtype) = (x.shape(), chip_type(to));
        if from != to && to.is_mini_float() && dtype == DType::F32 {
            return Err(format!("the chip does not round to {to}"));
        }
        let exact = from.is_int() || from == TensorType::Bool;
        let widens = to.bits() >= 32 || from == TensorType::Bool;
        if x.dtype == dtype && (from.is_float() || widens && to.is_int() || from == to) {
            return Ok(x.clone());
        }
        let how = wrap(to);
        self.elementwise(&[x], &shape, dtype, &move |t| {
            let (a, dst) = (t.args[0].clone(), t.dst.clone());
            if to == TensorType::Bool {
                let zero = t.number(0.0, DType::F32);
                t.binary(BinaryFn::Ne, &dst, &a, &zero);
            } else if to.is_float() {
                t.unary(UnaryFn::Copy, &dst, &a);
            } else if exact {
                wrapped(t, &a, how);
            } else {
                in_range(t, how, |t, dst| t.unary(UnaryFn::Trunc, dst, &a));
            }
        })
    }
}
