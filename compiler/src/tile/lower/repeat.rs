//! Repeats: the nodes of a turn once, in a loop. What a turn hands to the next stays in one SRAM buffer; constants and states
//! that are stacks are addressed by the turn ([`super::build::Build::stack`]). Streams run across turns as they do across ops.

use llmc_ir::{Node, Op, Region, UnaryOp, ValueId};
use llmc_isa::Queue;

use super::layout::Columns;
use super::{BufferId, Lower, Reason, Sram, Value};
use crate::tile::{OpKind, UnaryFn};

impl Lower<'_> {
    /// The loop over the turns of a repeat.
    pub(super) fn turns(&mut self, region: &Region) {
        self.lower_node(region.carry);
        let carry = match self.values.get(&region.carry) {
            Some(Value::Sram(carry)) => Some(*carry),
            _ => None,
        };
        self.target = carry.map(|carry| (region.next, carry));
        self.build.begin_turns(region.count as u64);
        for id in region.members.iter().filter(|v| **v != region.carry) {
            self.lower_node(*id);
        }
        if let (Some(carry), Some(Value::Sram(next))) = (carry, self.values.get(&region.next))
            && next.buffer != carry.buffer
        {
            self.convert(*next, carry);
        }
        self.build.end_turns();
        self.target = None;
    }

    /// The rows that the first turn begins with; every turn overwrites them with those of the next.
    pub(super) fn carry(&mut self, id: ValueId, node: &Node) -> Result<Value, Reason> {
        let init = self.sram(node, 0)?;
        let shared = self
            .values
            .values()
            .filter(|v| v.is_in(init.buffer))
            .count()
            > 1;
        let used = node.operands.iter().any(|v| self.graph.use_count(*v) > 1);
        if !shared && !used && init.columns == self.columns(&node.ty)? {
            return Ok(Value::Sram(init));
        }
        let own = self.result(id, node)?;
        let from = super::vector::part(init, own.columns)?;
        let copy = OpKind::Unary {
            op: UnaryFn::Copy,
            dst: own.operand(),
            a: from,
            n: self.extents(own.columns),
            scale: 1.0,
            bias: 0.0,
        };
        self.build.op(Queue::Vpu, copy);
        Ok(Value::Sram(own))
    }

    /// The rows of the carry as the place for the result of the node that ends the turn, if it can write there: an
    /// elementwise op may read what it overwrites, others may not.
    pub(super) fn carried(&self, id: ValueId, node: &Node, columns: Columns) -> Option<Sram> {
        let (_, carry) = self
            .target
            .filter(|(next, carry)| *next == id && carry.columns == columns)?;
        let reads = |v: &ValueId| self.values.get(v).is_some_and(|v| v.is_in(carry.buffer));
        // Of several steps, the first of which overwrites what later ones read.
        let in_steps = node.op == Op::Unary(UnaryOp::GeluTanh);
        let elementwise = matches!(node.op, Op::Binary(_) | Op::Unary(_)) && !in_steps;
        (elementwise || !node.operands.iter().any(reads)).then_some(carry)
    }
}

impl Value {
    fn is_in(&self, buffer: BufferId) -> bool {
        matches!(self, Value::Sram(s) if s.buffer == buffer)
    }
}
