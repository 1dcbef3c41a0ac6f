//! Ops that work on each row by itself, whatever the shape of a row: elementwise with broadcasting, movement, reductions.
//!
//! A value `[.., seq, ..]` lies in SRAM as rows of its other dims, in their order, wherever `seq` stands among them. So a
//! transpose that only moves `seq` moves nothing, and a reshape on one side of it neither. What remains is a nest of
//! loops over the dims of a row: three of them fit an instruction, the others are loops around it.

use std::sync::Arc;

use llmc_ir::{Const, Node, ReduceOp, Type, ValueId};
use llmc_isa::{DType, Queue};

use super::build::{at, page};
use super::layout::Columns;
use super::memory::copy;
use super::vector::one_of_stack;
use super::{Lower, Reason, Sram, Value};
use crate::tile::function::narrow_constant;
use crate::tile::{BinaryFn, Expr, Extent, IntFn, OpKind, Operand, Packing, ReduceFn, UnaryFn};

/// Bytes of an element of a row in SRAM: f32, or i32.
const SIZE: u32 = 4;

/// Alignment of constants that share a page of the ring, in bytes.
const ALIGN: u32 = 64;

/// Where an operand's elements are.
#[derive(Clone)]
pub(super) enum Source {
    /// In rows.
    Rows(Sram),
    /// In a constant, the same for all rows.
    Constant(Arc<Const>),
}

/// An operand of a nest: its first element and, for each dim of the nest, the elements from one to the next.
#[derive(Clone)]
pub(super) struct Arg {
    pub(super) source: Source,
    pub(super) first: u32,
    pub(super) strides: Vec<u32>,
}

impl Arg {
    /// True for 32-bit integers in rows.
    fn is_int(&self) -> bool {
        matches!(&self.source, Source::Rows(s) if s.dtype == DType::I32)
    }
}

/// Loops over the dims of a row; operand 0 is the result.
struct Nest {
    dims: Vec<u32>,
    args: Vec<Arg>,
    /// The last dim is the instruction's inner one, whole, because it is reduced over.
    inner_is_reduced: bool,
}

/// A dim of a nest with the strides of all operands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Axis {
    n: u32,
    strides: Vec<u32>,
}

impl Axis {
    /// Elements lie side by side in the result, and side by side or in one place in the operands.
    fn is_contiguous(&self) -> bool {
        self.strides.iter().all(|s| *s <= 1)
    }
}

impl Nest {
    /// The inner dim and the others, neighbours merged where all operands allow it.
    fn axes(&self) -> (Axis, Vec<Axis>) {
        let mut axes: Vec<Axis> = Vec::new();
        let count = self.dims.len();
        for (i, n) in self.dims.iter().enumerate().rev() {
            let strides: Vec<u32> = self.args.iter().map(|arg| arg.strides[i]).collect();
            let reduced = self.inner_is_reduced && i + 1 == count;
            if *n == 1 && !reduced {
                continue;
            }
            let mergeable = !(self.inner_is_reduced && axes.len() == 1);
            match axes.last_mut() {
                Some(inner) if mergeable && follows(&strides, inner) => inner.n *= n,
                _ => axes.push(Axis { n: *n, strides }),
            }
        }
        let one = || Axis {
            n: 1,
            strides: vec![0; self.args.len()],
        };
        let inner = match axes.first() {
            Some(first)
                if self.inner_is_reduced || (first.is_contiguous() && first.strides[0] == 1) =>
            {
                axes.remove(0)
            }
            _ => one(),
        };
        (inner, axes)
    }
}

/// An outer dim of these strides goes on where `inner` ends.
fn follows(strides: &[u32], inner: &Axis) -> bool {
    let mut pairs = strides.iter().zip(&inner.strides);
    pairs.all(|(outer, stride)| *outer == stride * inner.n)
}

/// Elements from one to the next along each dim, in row-major order; 0 along dims of 1.
pub(super) fn strides(dims: &[u32]) -> Vec<u32> {
    let mut strides = vec![0; dims.len()];
    let mut step = 1;
    for (stride, n) in strides.iter_mut().zip(dims).rev() {
        if *n != 1 {
            *stride = step;
        }
        step *= n;
    }
    strides
}

impl Lower<'_> {
    /// True if operand `index` lies like the result of these dims, or is one element per row, or is a constant row or
    /// number: then no dim of a row needs strides of its own.
    pub(super) fn is_flat(&self, node: &Node, index: usize) -> Result<bool, Reason> {
        let all: u32 = self.row_dims(&node.ty)?.iter().product();
        Ok(match self.value(node, index)? {
            Value::Const(c) => {
                let own = c.shape().iter().product::<usize>();
                own == 1 || (own == all as usize && c.shape().last() == Some(&own))
            }
            _ => {
                let own: u32 = self.operand_dims(node, index)?.iter().product();
                own == 1 || own == all
            }
        })
    }

    /// Rows of inputs and outputs are apart from each other: no dim of theirs is outside of `seq`.
    pub(super) fn check_rows_first(&self, ty: &Type) -> Result<(), Reason> {
        let axis = self.row_axis(ty).unwrap_or(0);
        match self.row_dims(ty)?[..axis].iter().all(|n| *n == 1) {
            true => Ok(()),
            false => Err(format!("{ty} has other dims outside of its rows")),
        }
    }

    /// The dims of a row of a value, `seq` being 1 among them.
    pub(super) fn row_dims(&self, ty: &Type) -> Result<Vec<u32>, Reason> {
        let rows = self.row_axis(ty);
        let of = |(axis, dim): (usize, &llmc_ir::Dim)| match dim.as_const() {
            _ if Some(axis) == rows => Ok(1),
            Some(n) => u32::try_from(n).map_err(|_| format!("has a dim of {n}")),
            None => Err(format!(
                "has a dim `{dim}` next to rows of `{}`, expected numbers",
                self.tokens.dim
            )),
        };
        ty.shape.iter().enumerate().map(of).collect()
    }

    /// The axis of the launch's rows.
    pub(super) fn row_axis(&self, ty: &Type) -> Option<usize> {
        let dim = &self.tokens.dim;
        ty.shape.iter().position(|d| d == dim && !dim.is(1))
    }

    /// Dims of a row of the type of operand `index`.
    pub(super) fn operand_dims(&self, node: &Node, index: usize) -> Result<Vec<u32>, Reason> {
        let id = node.operands.get(index);
        let id = id.ok_or_else(|| format!("has no operand {index}"))?;
        self.row_dims(self.graph.ty(*id))
    }

    /// An operand, and its strides along the dims of a result of `rank` dims to which it broadcasts.
    pub(super) fn broadcast(&self, node: &Node, index: usize, rank: usize) -> Result<Arg, Reason> {
        let (source, dims) = match self.value(node, index)? {
            Value::Sram(s) => (Source::Rows(s), self.operand_dims(node, index)?),
            Value::Const(c) => {
                let dims = c.shape().iter().map(|n| *n as u32).collect();
                (Source::Constant(narrow_constant(&c)?), dims)
            }
            other => return Err(format!("operand {index} is {}", other.kind())),
        };
        if let Source::Rows(s) = &source
            && s.columns.split
        {
            return Err(format!("operand {index} is split between the cores"));
        }
        let mut all = vec![0; rank.saturating_sub(dims.len())];
        all.extend(strides(&dims));
        Ok(Arg {
            source,
            first: 0,
            strides: all,
        })
    }

    /// A new value for a node, as operand 0 of a nest over its dims.
    pub(super) fn target(
        &mut self,
        id: ValueId,
        node: &Node,
    ) -> Result<(Sram, Vec<u32>, Arg), Reason> {
        let out = self.result(id, node)?;
        if out.columns.split {
            return Err("an op that broadcasts within rows has a split result".into());
        }
        let dims = self.row_dims(&node.ty)?;
        let arg = rows(out, &dims);
        Ok((out, dims, arg))
    }

    /// Emits an op for every place of a nest.
    fn nest(
        &mut self,
        nest: &Nest,
        op: impl Fn(&[Operand], [Extent; 3]) -> OpKind,
    ) -> Result<(), Reason> {
        let (inner, mut outer) = nest.axes();
        outer.sort_by_key(|axis| std::cmp::Reverse(axis.n));
        let mut outer = outer.into_iter();
        let none = || Axis {
            n: 1,
            strides: vec![0; nest.args.len()],
        };
        // A single row leaves its dim of the instruction to the row's dims.
        let single = self.rows.count.as_const() == Some(1);
        let n0 = single.then(|| outer.next().unwrap_or_else(none));
        let n1 = outer.next().unwrap_or_else(none);
        let loops: Vec<Axis> = outer.collect();
        let indices: Vec<Expr> = loops
            .iter()
            .map(|axis| {
                self.build
                    .begin("turn", Expr::from(i64::from(axis.n)), u64::from(axis.n))
            })
            .collect();

        let constants = self.constants(nest)?;
        let operand = |(i, arg): (usize, &Arg)| {
            let (place, size, dtype, row) = match &arg.source {
                Source::Rows(s) => (s.at(0), SIZE, s.dtype, s.row()),
                Source::Constant(_) => {
                    let (view, dtype) = constants.views[i].clone();
                    (view, dtype.bytes(), dtype, 0)
                }
            };
            let turns = loops.iter().zip(&indices);
            let offset = turns.fold(Expr::from(i64::from(arg.first)), |sum, (axis, index)| {
                sum + index.clone() * i64::from(axis.strides[i])
            });
            let mut view = place;
            view.offset = view.offset + offset * i64::from(size);
            Operand {
                view,
                s0: n0.as_ref().map_or(row, |axis| axis.strides[i] * size),
                s1: n1.strides[i] * size,
                dtype,
                bcast: i > 0 && inner.n > 1 && inner.strides[i] == 0,
            }
        };
        let operands: Vec<Operand> = nest.args.iter().enumerate().map(operand).collect();
        let first = n0.as_ref().map_or(self.rows.extent(), |axis| axis.n.into());
        let kind = op(&operands, [first, n1.n.into(), inner.n.into()]);
        match constants.ring {
            Some(ring) => self.build.stream(ring, constants.loads, vec![kind]),
            None => self.build.op(Queue::Vpu, kind),
        }
        for _ in &loops {
            self.build.end();
        }
        Ok(())
    }

    /// The constants of a nest, side by side in a page of a ring.
    fn constants(&mut self, nest: &Nest) -> Result<Constants, Reason> {
        let mut items = Vec::new();
        let mut bytes = 0;
        for arg in &nest.args {
            items.push(match &arg.source {
                Source::Rows(_) => None,
                Source::Constant(constant) => {
                    let packing = match constant.dtype().is_float() {
                        true => Packing::Rows,
                        false => Packing::Plain,
                    };
                    let (from, item) = self.weight(constant, packing)?;
                    let size = one_of_stack(constant, &item)?;
                    let first = bytes;
                    bytes += size.next_multiple_of(ALIGN);
                    Some((from, item.dtype, first, size))
                }
            });
        }
        let ring = (bytes > 0).then(|| self.build.ring("vectors", Queue::Vpu, u64::from(bytes)));
        let mut constants = Constants {
            ring,
            loads: Vec::new(),
            views: Vec::new(),
        };
        for (arg, item) in nest.args.iter().zip(items) {
            let Some((from, dtype, first, size)) = item else {
                // Not looked at: the operand is in rows.
                let Source::Rows(s) = &arg.source else {
                    continue;
                };
                constants.views.push((s.at(0), s.dtype));
                continue;
            };
            let Some(ring) = ring else { continue };
            let to = page(ring, i64::from(first));
            constants.loads.push(OpKind::Load(copy(
                (to.clone(), 0),
                (at(from, 0), 0),
                Extent::from(1),
                Extent::from(size),
            )));
            constants.views.push((to, dtype));
        }
        Ok(constants)
    }

    /// An elementwise op whose operands broadcast within rows.
    pub(super) fn broadcast_binary(
        &mut self,
        id: ValueId,
        node: &Node,
        op: BinaryFn,
    ) -> Result<Value, Reason> {
        let (out, dims, target) = self.target(id, node)?;
        let args = vec![
            target,
            self.broadcast(node, 0, dims.len())?,
            self.broadcast(node, 1, dims.len())?,
        ];
        self.binary_nest(dims, args, op)?;
        Ok(Value::Sram(out))
    }

    /// An op for each place of these dims; operand 0 is the result.
    pub(super) fn elementwise_nest(
        &mut self,
        dims: Vec<u32>,
        args: Vec<Arg>,
        op: impl Fn(&[Operand], [Extent; 3]) -> OpKind,
    ) -> Result<(), Reason> {
        let nest = Nest {
            dims,
            args,
            inner_is_reduced: false,
        };
        self.nest(&nest, op)
    }

    pub(super) fn binary_nest(
        &mut self,
        dims: Vec<u32>,
        args: Vec<Arg>,
        op: BinaryFn,
    ) -> Result<(), Reason> {
        self.elementwise_nest(dims, args, |o, n| OpKind::Binary {
            op,
            dst: o[0].clone(),
            a: o[1].clone(),
            b: o[2].clone(),
            n,
        })
    }

    pub(super) fn int_nest(
        &mut self,
        dims: Vec<u32>,
        args: Vec<Arg>,
        op: IntFn,
    ) -> Result<(), Reason> {
        self.elementwise_nest(dims, args, |o, n| OpKind::Int {
            op,
            dst: o[0].clone(),
            a: o[1].clone(),
            b: o[2].clone(),
            n,
        })
    }

    /// Copies elements: `dims` and strides are those of the result. Between integers it is exact.
    pub(super) fn copy_nest(&mut self, dims: Vec<u32>, to: Arg, from: Arg) -> Result<(), Reason> {
        if to.is_int() && from.is_int() {
            return self.int_nest(dims, vec![to, from.clone(), from], IntFn::Ior);
        }
        self.elementwise_nest(dims, vec![to, from], |o, n| OpKind::Unary {
            op: UnaryFn::Copy,
            dst: o[0].clone(),
            a: o[1].clone(),
            n,
            scale: 1.0,
            bias: 0.0,
        })
    }

    /// The same rows under another shape, if no element changes its row.
    pub(super) fn reshape(&mut self, node: &Node) -> Result<Value, Reason> {
        let from = self.whole(node, 0)?;
        let old = node.operands.first().map(|id| self.graph.ty(*id));
        let old = old.ok_or("has no operand")?;
        let before = |ty: &Type| -> Result<Option<u32>, Reason> {
            let dims = self.row_dims(ty)?;
            Ok(self
                .row_axis(ty)
                .map(|axis| dims[..axis].iter().product::<u32>()))
        };
        if before(old)? != before(&node.ty)? {
            return Err(format!("elements change rows from {old} to {}", node.ty));
        }
        Ok(Value::Sram(from))
    }

    /// Broadcast to more elements per row.
    pub(super) fn expand(&mut self, id: ValueId, node: &Node) -> Result<Value, Reason> {
        let rank = node.ty.rank();
        let same = self.operand_dims(node, 0)?.iter().product::<u32>()
            == self.row_dims(&node.ty)?.iter().product::<u32>();
        if same && matches!(self.value(node, 0)?, Value::Sram(_)) {
            return self.whole(node, 0).map(Value::Sram);
        }
        let (out, dims, to) = self.target(id, node)?;
        let from = self.broadcast(node, 0, rank)?;
        self.copy_nest(dims, to, from)?;
        Ok(Value::Sram(out))
    }

    /// Permutes the dims of rows.
    pub(super) fn transpose(
        &mut self,
        id: ValueId,
        node: &Node,
        perm: &[usize],
    ) -> Result<Value, Reason> {
        let from = self.whole(node, 0)?;
        let old = self.operand_dims(node, 0)?;
        let moved: Vec<usize> = perm
            .iter()
            .copied()
            .filter(|axis| old[*axis] != 1)
            .collect();
        if moved.is_sorted() {
            return Ok(Value::Sram(from));
        }
        let (out, dims, to) = self.target(id, node)?;
        let along = strides(&old);
        let from = Arg {
            strides: perm.iter().map(|axis| along[*axis]).collect(),
            ..rows(from, &old)
        };
        self.copy_nest(dims, to, from)?;
        Ok(Value::Sram(out))
    }

    /// Every `step`th element of an axis of rows, from `start` on.
    pub(super) fn slice(
        &mut self,
        id: ValueId,
        node: &Node,
        axis: usize,
        start: &llmc_ir::Dim,
        step: i64,
    ) -> Result<Value, Reason> {
        let from = self.whole(node, 0)?;
        let old = self.operand_dims(node, 0)?;
        if self.row_axis(&node.ty) == Some(axis) {
            let all = start.is(0) && step == 1;
            return match all {
                true => Ok(Value::Sram(from)),
                false => Err("takes some of the rows".into()),
            };
        }
        let start = start.as_const().and_then(|n| u32::try_from(n).ok());
        let (Some(start), Ok(step)) = (start, u32::try_from(step)) else {
            return Err("elements of rows are taken backwards, or from no fixed place on".into());
        };
        let (out, dims, to) = self.target(id, node)?;
        let mut from = rows(from, &old);
        from.first = start * from.strides[axis];
        from.strides[axis] *= step;
        self.copy_nest(dims, to, from)?;
        Ok(Value::Sram(out))
    }

    /// Joins rows along one of their axes.
    pub(super) fn concat(
        &mut self,
        id: ValueId,
        node: &Node,
        axis: usize,
    ) -> Result<Value, Reason> {
        if self.row_axis(&node.ty) == Some(axis) {
            return Err("joins rows".into());
        }
        let (out, _, to) = self.target(id, node)?;
        let along = strides(&self.row_dims(&node.ty)?);
        let mut first = 0;
        for index in 0..node.operands.len() {
            let dims = match self.value(node, index)? {
                Value::Const(c) => c.shape().iter().map(|n| *n as u32).collect(),
                _ => self.operand_dims(node, index)?,
            };
            let from = self.broadcast(node, index, dims.len())?;
            let part = Arg {
                first,
                ..to.clone()
            };
            first += dims[axis] * along[axis];
            self.copy_nest(dims, part, from)?;
        }
        Ok(Value::Sram(out))
    }

    /// A reduction over axes of rows, one after the other from the last.
    pub(super) fn reduce(
        &mut self,
        id: ValueId,
        node: &Node,
        op: ReduceOp,
        axes: &[usize],
    ) -> Result<Value, Reason> {
        let ty = node.operands.first().map(|id| self.graph.ty(*id));
        let rows_axis = ty.and_then(|ty| self.row_axis(ty));
        if axes.iter().any(|axis| Some(*axis) == rows_axis) {
            return Err("reduces over rows".into());
        }
        let mut from = self.whole(node, 0)?;
        let mut dims = self.operand_dims(node, 0)?;
        if axes.is_empty() {
            return Err("reduces over no axis".into());
        }
        if from.dtype == DType::I32 && matches!(op, ReduceOp::SumSquare | ReduceOp::Mean) {
            return Err(format!("`{}` of integers is not supported yet", op.name()));
        }
        if op == ReduceOp::SumSquare {
            let square = self.scratch(&format!("v{}_square", id.0), from.columns);
            let args = [square, from, from].map(|s| rows(s, &dims)).to_vec();
            self.binary_nest(dims.clone(), args, BinaryFn::Mul)?;
            from = square;
        }
        let count: u32 = axes.iter().map(|axis| dims[*axis]).product();
        for axis in axes.iter().rev() {
            from = self.reduce_axis(id, from, &dims, *axis, op)?;
            dims[*axis] = 1;
        }
        if op == ReduceOp::Mean {
            let n = self.extents(from.columns);
            let (dst, a) = (from.operand(), from.operand());
            self.build.op(
                Queue::Vpu,
                OpKind::Unary {
                    op: UnaryFn::Copy,
                    dst,
                    a,
                    n,
                    scale: 1.0 / count as f32,
                    bias: 0.0,
                },
            );
        }
        Ok(Value::Sram(from))
    }

    /// Reduces `dims[axis]` to 1.
    pub(super) fn reduce_axis(
        &mut self,
        id: ValueId,
        from: Sram,
        dims: &[u32],
        axis: usize,
        op: ReduceOp,
    ) -> Result<Sram, Reason> {
        let mut kept = dims.to_vec();
        kept[axis] = 1;
        let out = Sram {
            dtype: from.dtype,
            ..self.scratch(
                &format!("v{}_{}", id.0, op.name()),
                Columns::all(kept.iter().product()),
            )
        };
        let (to, from) = (rows(out, &kept), rows(from, dims));
        // The reductions of the vector unit are of floats.
        let last = !to.is_int() && dims[axis + 1..].iter().all(|n| *n == 1);
        let (reduce, combine) = match op {
            ReduceOp::Sum | ReduceOp::Mean | ReduceOp::SumSquare => {
                (Some(ReduceFn::Sum), BinaryFn::Add)
            }
            ReduceOp::Max => (Some(ReduceFn::Maxr), BinaryFn::Max),
            ReduceOp::Min => (Some(ReduceFn::Minr), BinaryFn::Min),
            ReduceOp::Prod => (None, BinaryFn::Mul),
        };
        if let (true, Some(op)) = (last, reduce) {
            let mut nest = Nest {
                dims: kept,
                args: vec![to, from],
                inner_is_reduced: true,
            };
            nest.dims.push(dims[axis]);
            nest.args[0].strides.push(0);
            nest.args[1].strides.push(1);
            self.nest(&nest, |o, n| OpKind::Reduce {
                op,
                dst: o[0].clone(),
                a: o[1].clone(),
                n,
            })?;
            return Ok(out);
        }
        // Element by element of the axis onto the result.
        let along = strides(dims)[axis];
        self.copy_nest(kept.clone(), to.clone(), from.clone())?;
        for index in 1..dims[axis] {
            let next = Arg {
                first: index * along,
                ..from.clone()
            };
            let args = vec![to.clone(), to.clone(), next];
            match to.is_int() {
                true => self.int_nest(kept.clone(), args, of_integers(combine))?,
                false => self.binary_nest(kept.clone(), args, combine)?,
            }
        }
        Ok(out)
    }

    /// e^(x - max) / sum of the same, along an axis of rows.
    pub(super) fn softmax(
        &mut self,
        id: ValueId,
        node: &Node,
        axis: usize,
    ) -> Result<Value, Reason> {
        if self.row_axis(&node.ty) == Some(axis) {
            return Err("is a softmax over rows".into());
        }
        let from = self.whole(node, 0)?;
        let (out, dims, to) = self.target(id, node)?;
        let mut kept = dims.clone();
        kept[axis] = 1;
        let max = self.reduce_axis(id, from, &dims, axis, ReduceOp::Max)?;
        let args = vec![to.clone(), rows(from, &dims), rows(max, &kept)];
        self.binary_nest(dims.clone(), args, BinaryFn::Sub)?;
        let (dst, a, n) = (out.operand(), out.operand(), self.extents(out.columns));
        self.build.op(
            Queue::Vpu,
            OpKind::Unary {
                op: UnaryFn::Exp,
                dst,
                a,
                n,
                scale: 1.0,
                bias: 0.0,
            },
        );
        let sum = self.reduce_axis(id, out, &dims, axis, ReduceOp::Sum)?;
        let args = vec![to.clone(), to, rows(sum, &kept)];
        self.binary_nest(dims, args, BinaryFn::Div)?;
        Ok(Value::Sram(out))
    }
}

/// Constants in a page of a ring.
struct Constants {
    ring: Option<crate::tile::RingId>,
    loads: Vec<OpKind>,
    /// First byte and element type of each operand that is a constant.
    views: Vec<(crate::tile::View, llmc_isa::DType)>,
}

/// The function of integers that combines as this one does floats.
fn of_integers(op: BinaryFn) -> IntFn {
    match op {
        BinaryFn::Max => IntFn::Imax,
        BinaryFn::Min => IntFn::Imin,
        BinaryFn::Mul => IntFn::Imul,
        _ => IntFn::Iadd,
    }
}

/// Rows with these dims, all of them in order.
pub(super) fn rows(s: Sram, dims: &[u32]) -> Arg {
    Arg {
        source: Source::Rows(s),
        first: 0,
        strides: strides(dims),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest(dims: &[u32], strides: &[&[u32]], inner_is_reduced: bool) -> Nest {
        let buffer = crate::tile::BufferId(0);
        let sram = Sram::new(buffer, Columns::all(1), llmc_isa::DType::F32);
        let arg = |strides: &&[u32]| Arg {
            source: Source::Rows(sram),
            first: 0,
            strides: strides.to_vec(),
        };
        Nest {
            dims: dims.to_vec(),
            args: strides.iter().map(arg).collect(),
            inner_is_reduced,
        }
    }

    fn axis(n: u32, strides: &[u32]) -> Axis {
        Axis {
            n,
            strides: strides.to_vec(),
        }
    }

    #[test]
    fn strides_skip_dims_of_one() {
        assert_eq!(strides(&[2, 1, 3]), [3, 0, 1]);
        assert_eq!(strides(&[1, 1]), [0, 0]);
    }

    #[test]
    fn neighbours_merge_where_all_operands_go_on() {
        let whole = nest(&[6, 1, 16], &[&[16, 0, 1], &[16, 0, 1]], false);
        assert_eq!(whole.axes(), (axis(96, &[1, 1]), vec![]));
        let table = nest(&[6, 1, 16], &[&[16, 0, 1], &[16, 0, 1], &[0, 0, 1]], false);
        assert_eq!(
            table.axes(),
            (axis(16, &[1, 1, 1]), vec![axis(6, &[16, 16, 0])])
        );
    }

    #[test]
    fn a_stride_of_the_last_dim_leaves_the_inner_dim_to_one() {
        let swapped = nest(&[3, 4], &[&[4, 1], &[1, 3]], false);
        let (inner, outer) = swapped.axes();
        assert_eq!(inner, axis(1, &[0, 0]));
        assert_eq!(outer, [axis(4, &[1, 3]), axis(3, &[4, 1])]);
    }

    #[test]
    fn a_reduced_dim_stays_alone() {
        let sum = nest(&[3, 1, 4], &[&[1, 0, 0], &[4, 0, 1]], true);
        assert_eq!(sum.axes(), (axis(4, &[0, 1]), vec![axis(3, &[1, 4])]));
    }
}
