//! The largest elements of rows.

use std::sync::Arc;

use llmc_ir::{Const, Node, ReduceOp, ValueId};
use llmc_isa::{DType, Queue};
use llmc_tensor::Tensor;

use super::layout::Columns;
use super::rowwise::{Arg, Source, rows, strides};
use super::{Lower, Reason, Sram, Value};
use crate::tile::{BinaryFn, Extent, OpKind, UnaryFn};

impl Lower<'_> {
    /// Indices of the `k` largest or smallest elements along an axis, best first, of equal ones the first first. In k
    /// rounds: the best value that is left, its first place, which is taken out. NaN counts as the infinity above all.
    pub(super) fn top_k(
        &mut self,
        id: ValueId,
        node: &Node,
        axis: usize,
        k: usize,
        largest: bool,
    ) -> Result<Value, Reason> {
        let x = self.whole(node, 0)?;
        let ty = node.operands.first().map(|v| self.graph.ty(*v));
        if ty.and_then(|ty| self.row_axis(ty)) == Some(axis) {
            return Err("orders rows".into());
        }
        if x.dtype != DType::F32 {
            return Err("orders integers, expected floats".into());
        }
        let dims = self.operand_dims(node, 0)?;
        let (_, all, to) = self.target(id, node)?;
        let n = dims[axis];
        let mut kept = dims.clone();
        kept[axis] = 1;
        let name = |part: &str| format!("v{}_{part}", id.0);
        let columns = Columns::all(dims.iter().product());
        let [left, place, hit] =
            ["left", "place", "hit"].map(|part| self.scratch(&name(part), columns));
        let of = |s: Sram| rows(s, &dims);

        // What is left to take; what is taken is below all, and its place is past the end.
        let sign = if largest { UnaryFn::Copy } else { UnaryFn::Neg };
        self.apply(sign, x, left);
        self.apply(UnaryFn::IsNan, x, hit);
        let above = if largest {
            f32::INFINITY
        } else {
            f32::NEG_INFINITY
        };
        let above = self.same_number(&name("above"), above, dims.len());
        self.select_nest(&dims, [of(left), of(hit), above, of(left)])?;
        let below = self.same_number(&name("below"), f32::NEG_INFINITY, dims.len());
        let end = self.same_number(&name("end"), n as f32, dims.len());
        let places = self.places(n, axis, &dims)?;
        self.copy_nest(dims.clone(), of(place), places)?;

        let step = strides(&all)[axis];
        for round in 0..k as u32 {
            let best = self.reduce_axis(id, left, &dims, axis, ReduceOp::Max)?;
            let args = vec![of(hit), of(left), rows(best, &kept)];
            self.binary_nest(dims.clone(), args, BinaryFn::Eq)?;
            self.select_nest(&dims, [of(hit), of(hit), of(place), end.clone()])?;
            let first = self.reduce_axis(id, hit, &dims, axis, ReduceOp::Min)?;
            let found = Arg {
                first: round * step,
                ..to.clone()
            };
            self.copy_nest(kept.clone(), found, rows(first, &kept))?;
            if round as usize + 1 < k {
                let args = vec![of(hit), of(place), rows(first, &kept)];
                self.binary_nest(dims.clone(), args, BinaryFn::Eq)?;
                self.select_nest(&dims, [of(left), of(hit), below.clone(), of(left)])?;
                self.select_nest(&dims, [of(place), of(hit), end.clone(), of(place)])?;
            }
        }
        match to.source {
            Source::Rows(out) => Ok(Value::Sram(out)),
            Source::Constant(_) => Err("bug: a result is a constant".into()),
        }
    }

    /// `result = mask ? a : b` for `[result, mask, a, b]`.
    pub(super) fn select_nest(&mut self, dims: &[u32], args: [Arg; 4]) -> Result<(), Reason> {
        self.elementwise_nest(dims.to_vec(), args.to_vec(), |o, n| OpKind::Select {
            dst: o[0].clone(),
            a: o[2].clone(),
            b: o[3].clone(),
            mask: o[1].clone(),
            n,
        })
    }

    /// One number for all elements of rows of `rank` dims.
    pub(super) fn same_number(&mut self, name: &str, value: f32, rank: usize) -> Arg {
        let one = self.scratch(name, Columns::all(1));
        let n = [Extent::from(1), self.rows.extent(), Extent::from(1)];
        let dst = one.operand();
        self.build.op(Queue::Vpu, OpKind::Fill { dst, n, value });
        Arg {
            source: Source::Rows(one),
            first: 0,
            strides: vec![0; rank],
        }
    }

    /// The indices `0 .. n` along an axis of `dims`, as f32.
    pub(super) fn places(&mut self, n: u32, axis: usize, dims: &[u32]) -> Result<Arg, Reason> {
        let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let tensor = Tensor::from_vec(vec![n as usize], values).map_err(|e| e.to_string())?;
        let mut strides = vec![0; dims.len()];
        strides[axis] = u32::from(n != 1);
        Ok(Arg {
            source: Source::Constant(Arc::new(Const::new(format!("places {n}"), tensor))),
            first: 0,
            strides,
        })
    }
}
