//! Comparisons, choices, conversions and integers: what routers of experts and masks of rows are made of.
//!
//! Bools and integers are rows of i32; a bool is 0 or 1.

use llmc_ir::{BinaryOp, CmpOp, Node, ValueId};
use llmc_isa::{DType, Queue};
use llmc_tensor::DType as TensorType;

use super::{Lower, Reason, Sram, Value};
use crate::tile::functions::int_binary;
use crate::tile::{BinaryFn, IntFn, OpKind, UnaryFn};

impl Lower<'_> {
    pub(super) fn compare(&mut self, id: ValueId, node: &Node, op: CmpOp) -> Result<Value, Reason> {
        let (out, dims, target) = self.target(id, node)?;
        let [a, b] = [0, 1].map(|index| self.broadcast(node, index, dims.len()));
        let (a, b) = (a?, b?);
        let of_floats = node
            .operands
            .first()
            .is_some_and(|v| self.graph.ty(*v).dtype.is_float());
        if of_floats {
            let (op, args) = match op {
                CmpOp::Eq => (BinaryFn::Eq, [target, a, b]),
                CmpOp::Ne => (BinaryFn::Ne, [target, a, b]),
                CmpOp::Lt => (BinaryFn::Lt, [target, a, b]),
                CmpOp::Le => (BinaryFn::Le, [target, a, b]),
                CmpOp::Gt => (BinaryFn::Lt, [target, b, a]),
                CmpOp::Ge => (BinaryFn::Le, [target, b, a]),
            };
            self.binary_nest(dims, args.to_vec(), op)?;
            return Ok(Value::Sram(out));
        }
        let (op, args, negate) = match op {
            CmpOp::Eq => (IntFn::Ieq, [target, a, b], false),
            CmpOp::Ne => (IntFn::Ieq, [target, a, b], true),
            CmpOp::Lt => (IntFn::Ilt, [target, a, b], false),
            CmpOp::Ge => (IntFn::Ilt, [target, a, b], true),
            CmpOp::Gt => (IntFn::Ilt, [target, b, a], false),
            CmpOp::Le => (IntFn::Ilt, [target, b, a], true),
        };
        self.int_nest(dims, args.to_vec(), op)?;
        if negate {
            self.apply(UnaryFn::Not, out, out);
        }
        Ok(Value::Sram(out))
    }

    /// a where the condition holds, else b.
    pub(super) fn choose(&mut self, id: ValueId, node: &Node) -> Result<Value, Reason> {
        let (out, dims, target) = self.target(id, node)?;
        let mut args = vec![target];
        for index in 0..node.operands.len() {
            args.push(self.broadcast(node, index, dims.len())?);
        }
        self.elementwise_nest(dims, args, |o, n| OpKind::Select {
            dst: o[0].clone(),
            a: o[2].clone(),
            b: o[3].clone(),
            mask: o[1].clone(),
            n,
        })?;
        Ok(Value::Sram(out))
    }

    /// Conversions: to bool is "not zero", to integers truncates, wider integers than the chip's keep their value.
    pub(super) fn cast(
        &mut self,
        id: ValueId,
        node: &Node,
        to: TensorType,
    ) -> Result<Value, Reason> {
        let from = self.sram(node, 0)?;
        // Rows are f32, whatever narrower type they came from.
        if to == TensorType::F32 && from.dtype != DType::I32 {
            return Ok(Value::Sram(from));
        }
        let was = node.operands.first().map(|v| self.graph.ty(*v).dtype);
        if was == Some(to) || (from.dtype == DType::I32 && to.is_int()) {
            return Ok(Value::Sram(from));
        }
        let out = Sram {
            columns: from.columns,
            ..self.result(id, node)?
        };
        match to {
            TensorType::F32 => self.apply(UnaryFn::Copy, from, out),
            TensorType::Bool => {
                self.apply(UnaryFn::Not, from, out);
                self.apply(UnaryFn::Not, out, out);
            }
            _ => self.apply(UnaryFn::Trunc, from, out),
        }
        Ok(Value::Sram(out))
    }

    /// Functions of integers and bools, exact in 32 bits.
    pub(super) fn binary_of_integers(
        &mut self,
        id: ValueId,
        node: &Node,
        op: BinaryOp,
    ) -> Result<Value, Reason> {
        let op = match op {
            BinaryOp::Shr => Some(IntFn::Ishr),
            op => int_binary(op),
        };
        let op = op.ok_or("powers of integers are not supported yet")?;
        let (out, dims, target) = self.target(id, node)?;
        let mut args = vec![target];
        for index in 0..2 {
            args.push(self.broadcast(node, index, dims.len())?);
        }
        self.int_nest(dims, args, op)?;
        Ok(Value::Sram(out))
    }

    /// A function of each element, between rows of equal columns.
    pub(super) fn apply(&mut self, op: UnaryFn, from: Sram, to: Sram) {
        let kind = OpKind::Unary {
            op,
            dst: to.operand(),
            a: from.operand(),
            n: self.extents(from.columns),
            scale: 1.0,
            bias: 0.0,
        };
        self.build.op(Queue::Vpu, kind);
    }
}
