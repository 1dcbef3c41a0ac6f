//! Elements of rows by index, read and written: each place along an axis is compared with the index.

use llmc_ir::{Const, Node, Op, ReduceOp, ScatterOp, ValueId};

use super::layout::Columns;
use super::rowwise::{Arg, rows};
use super::{Lower, Reason, Value};
use crate::tile::{BinaryFn, OpKind, UnaryFn};

/// Most elements that are written to one row.
const MAX_WRITTEN: u32 = 1024;

impl Lower<'_> {
    /// result[b.., i.., rest..] = data[b.., indices[b.., i.., 0], rest..]: of the elements along the axis, those that are not
    /// meant become 0 and the sum is taken.
    pub(super) fn pick(&mut self, id: ValueId, node: &Node, batch: usize) -> Result<Value, Reason> {
        self.indexed(node, batch)?;
        let data = self.operand_dims(node, 0)?;
        let indices = self.operand_dims(node, 1)?;
        let (n, rest) = (data[batch], &data[batch + 1..]);
        let chosen = &indices[batch..indices.len() - 1];
        // [b.., i.., n, rest..]
        let axis = batch + chosen.len();
        let dims = [&data[..batch], chosen, &[n], rest].concat();
        let mut short = dims.clone();
        short[axis + 1..].fill(1);

        let index = self.index_of(node, &short)?;
        let hit = self.scratch(
            &format!("v{}_hit", id.0),
            Columns::all(short.iter().product()),
        );
        self.compare_places(id, node, rows(hit, &short), index, axis, &short)?;
        let kept = self.scratch(
            &format!("v{}_kept", id.0),
            Columns::all(dims.iter().product()),
        );
        let mut from = self.broadcast(node, 0, data.len())?;
        from.strides.splice(batch..batch, vec![0; chosen.len()]);
        let zero = self.same_number(&format!("v{}_zero", id.0), 0.0, dims.len());
        self.select_nest(&dims, [rows(kept, &dims), rows(hit, &short), from, zero])?;
        let sum = self.reduce_axis(id, kept, &dims, axis, ReduceOp::Sum)?;
        let (out, dims, to) = self.target(id, node)?;
        let sum = rows(sum, &dims);
        self.copy_nest(dims, to, sum)?;
        Ok(Value::Sram(out))
    }

    /// Elements of an axis of rows, by known indices.
    pub(super) fn gather_elements(
        &mut self,
        id: ValueId,
        node: &Node,
        axis: usize,
        which: &Const,
    ) -> Result<Value, Reason> {
        let from = self.whole(node, 0)?;
        let old = self.operand_dims(node, 0)?;
        if node
            .operands
            .first()
            .and_then(|v| self.row_axis(self.graph.ty(*v)))
            == Some(axis)
        {
            return Err("takes some of the rows".into());
        }
        let which = which.tensor().and_then(|t| t.to_i64_vec().ok());
        let which = which.ok_or("the indices have no values")?;
        let (out, _, _) = self.target(id, node)?;
        // [outside, indices, inside], both of the operand and of the result.
        let (outside, inside) = (&old[..axis], &old[axis + 1..]);
        let size = |dims: &[u32]| dims.iter().product::<u32>();
        let flat = |n: u32| [size(outside), n, size(inside)];
        let (to, from) = (
            rows(out, &flat(which.len() as u32)),
            rows(from, &flat(old[axis])),
        );
        for (place, index) in which.into_iter().enumerate() {
            let index = if index < 0 {
                index + i64::from(old[axis])
            } else {
                index
            };
            let index = u32::try_from(index).ok().filter(|i| *i < old[axis]);
            let index = index.ok_or("an index is out of range")?;
            let part = |arg: &Arg, index: u32| Arg {
                first: index * size(inside),
                ..arg.clone()
            };
            self.copy_nest(
                flat(1).to_vec(),
                part(&to, place as u32),
                part(&from, index),
            )?;
        }
        Ok(Value::Sram(out))
    }

    /// data with the elements at the indices combined with the updates, in their order.
    pub(super) fn place(
        &mut self,
        id: ValueId,
        node: &Node,
        batch: usize,
        op: ScatterOp,
    ) -> Result<Value, Reason> {
        self.indexed(node, batch)?;
        let indices = self.operand_dims(node, 1)?;
        let count: u32 = indices[batch..].iter().product();
        if count > MAX_WRITTEN {
            return Err(format!(
                "writes {count} elements of a row by index, expected at most {MAX_WRITTEN}"
            ));
        }
        let (out, dims, to) = self.target(id, node)?;
        let from = self.broadcast(node, 0, dims.len())?;
        self.copy_nest(dims.clone(), to.clone(), from)?;
        let mut short = dims.clone();
        short[batch + 1..].fill(1);
        let hit = self.scratch(
            &format!("v{}_hit", id.0),
            Columns::all(short.iter().product()),
        );
        let update = self.broadcast(node, 2, self.operand_dims(node, 2)?.len())?;
        let index = self.broadcast(node, 1, indices.len())?;
        // Updates: [b.., i.., rest..]; the indices of their places: [b.., i.., 1].
        let inner: u32 = dims[batch + 1..].iter().product();
        let written = self.scratch(
            &format!("v{}_new", id.0),
            Columns::all(dims.iter().product()),
        );
        let neutral = match op {
            ScatterOp::Mul => 1.0,
            _ => 0.0,
        };
        let neutral = self.same_number(&format!("v{}_neutral", id.0), neutral, dims.len());
        for turn in 0..count {
            let own = |arg: &Arg, first: u32, tail: usize| {
                let tail = arg.strides[arg.strides.len() - tail..].to_vec();
                Arg {
                    first: arg.first + first,
                    strides: [&arg.strides[..batch], &[0], &tail[..]].concat(),
                    ..arg.clone()
                }
            };
            let mut one = own(&index, turn, 0);
            one.strides.resize(dims.len(), 0);
            let new = own(&update, turn * inner, dims.len() - batch - 1);
            self.compare_places(id, node, rows(hit, &short), one, batch, &short)?;
            let hit = rows(hit, &short);
            let (base, combine) = match op {
                ScatterOp::Assign => {
                    self.select_nest(&dims, [to.clone(), hit, new, to.clone()])?;
                    continue;
                }
                ScatterOp::Add => (neutral.clone(), BinaryFn::Add),
                ScatterOp::Mul => (neutral.clone(), BinaryFn::Mul),
                ScatterOp::Max => (to.clone(), BinaryFn::Max),
                ScatterOp::Min => (to.clone(), BinaryFn::Min),
            };
            self.select_nest(&dims, [rows(written, &dims), hit, new, base])?;
            let args = vec![to.clone(), to.clone(), rows(written, &dims)];
            self.binary_nest(dims.clone(), args, combine)?;
        }
        Ok(Value::Sram(out))
    }

    /// Index tuples of one index each, within rows of floats.
    fn indexed(&self, node: &Node, batch: usize) -> Result<(), Reason> {
        let (Some(&data), Some(&indices)) = (node.operands.first(), node.operands.get(1)) else {
            return Err("has no operands".into());
        };
        let (data, indices) = (self.graph.ty(data), self.graph.ty(indices));
        if !indices.shape.last().is_some_and(|n| n.is(1)) || !data.dtype.is_float() {
            return Err("elements of rows are found by one index, and are floats".into());
        }
        match self.row_axis(&node.ty) {
            Some(axis) if axis >= batch => Err("elements of other rows are indexed".into()),
            _ => Ok(()),
        }
    }

    /// The index of each place of `short`, [b.., i.., n, 1..], the same for all n.
    fn index_of(&self, node: &Node, short: &[u32]) -> Result<Arg, Reason> {
        let rank = self.operand_dims(node, 1)?.len();
        let mut index = self.broadcast(node, 1, rank)?;
        index.strides.truncate(rank - 1);
        index.strides.resize(short.len(), 0);
        Ok(index)
    }

    /// 1 where the index is that of the place along an axis, else 0. Indices below 0 count from the end.
    fn compare_places(
        &mut self,
        id: ValueId,
        node: &Node,
        hit: Arg,
        index: Arg,
        axis: usize,
        dims: &[u32],
    ) -> Result<(), Reason> {
        let places = self.places(dims[axis], axis, dims)?;
        let args = vec![hit.clone(), index.clone(), places.clone()];
        self.binary_nest(dims.to_vec(), args, BinaryFn::Eq)?;
        let counted = |v: &ValueId| matches!(self.graph.op(*v), Op::TopK { .. });
        let from = node.operands.get(1).map(|v| (v, self.graph.operands(*v)));
        if from.is_some_and(|(v, before)| counted(v) || before.first().is_some_and(counted)) {
            return Ok(());
        }
        let columns = Columns::all(dims.iter().product());
        let other = self.scratch(&format!("v{}_behind", id.0), columns);
        let behind = rows(other, dims);
        let from_end = -(dims[axis] as f32);
        self.elementwise_nest(dims.to_vec(), vec![behind.clone(), places], |o, n| {
            OpKind::Unary {
                op: UnaryFn::Copy,
                dst: o[0].clone(),
                a: o[1].clone(),
                n,
                scale: 1.0,
                bias: from_end,
            }
        })?;
        let args = vec![behind.clone(), index, behind.clone()];
        self.binary_nest(dims.to_vec(), args, BinaryFn::Eq)?;
        let args = vec![hit.clone(), hit, behind];
        self.binary_nest(dims.to_vec(), args, BinaryFn::Max)
    }
}
