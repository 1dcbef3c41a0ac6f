//! Sums over a stack of products with constants are taken apart: one product for each matrix of the stack.
//!
//! ```text
//! y = reduce_sum(matmul(expand(x), w [n, k, m]) * share [n, ..], axis of n)
//!   =>  y = matmul(x, w[0]) * share[0] + matmul(x, w[1]) * share[1] + ..
//! ```
//!
//! Exporters that compute all experts at once stack their matrices. Then a token's row is as wide as all experts together; taken
//! apart, each expert is a product like any other, streamed and split over the cores. The parts are found from the sum
//! backwards; where an op is not known to work on each part by itself, its value is sliced.

use std::collections::{BTreeMap, BTreeSet};

use llmc_ir::{BinaryOp, Dim, Graph, Op, ReduceOp, ValueId};

use crate::error::Cause;

/// Takes apart every sum over a stack of products. Returns how many there were.
///
/// # Errors
/// Only on a bug: if a part does not have the type it should have.
pub fn unstack(graph: &mut Graph) -> Result<usize, Cause> {
    let mut done = 0;
    for id in graph.topological() {
        let (
            Op::Reduce {
                op: ReduceOp::Sum,
                axes,
                ..
            },
            &[from],
        ) = (graph.op(id), graph.operands(id))
        else {
            continue;
        };
        let &[axis] = &axes[..] else { continue };
        let Some(parts) = extent(graph, from, axis).filter(|n| *n > 1) else {
            continue;
        };
        if !is_stack_of_products(graph, from, axis, &mut BTreeSet::new()) {
            continue;
        }
        let (shape, origin) = (graph.ty(id).shape.clone(), graph.origin(id).to_vec());
        let mut sum: Option<ValueId> = None;
        for part in 0..parts {
            let mut taken = Taken {
                graph,
                part,
                done: BTreeMap::new(),
            };
            let own = taken.of(from, axis)?;
            sum = Some(match sum {
                None => own,
                Some(sum) => {
                    graph.add_node(Op::Binary(BinaryOp::Add), &[sum, own], origin.clone())?
                }
            });
        }
        if let Some(sum) = sum {
            let sum = graph.add_node(Op::Reshape { shape }, &[sum], origin)?;
            graph.replace_all_uses(id, sum);
            done += 1;
        }
    }
    if done > 0 {
        graph.remove_dead();
    }
    Ok(done)
}

/// The extent of an axis, if it is a number.
fn extent(graph: &Graph, value: ValueId, axis: usize) -> Option<i64> {
    graph.ty(value).shape.get(axis)?.as_const()
}

/// The operands that have an axis of a value too, and which of their axes it is.
fn along(graph: &Graph, value: ValueId, axis: usize) -> Vec<(ValueId, usize)> {
    let (ty, operands) = (graph.ty(value), graph.operands(value));
    let aligned = |operand: &ValueId| {
        let own = (axis + graph.ty(*operand).rank()).checked_sub(ty.rank())?;
        Some((*operand, own))
    };
    match graph.op(value) {
        Op::Unary(_) | Op::Cast(_) | Op::Binary(_) | Op::Compare(_) | Op::Where => {
            operands.iter().filter_map(aligned).collect()
        }
        Op::MatMul if axis + 2 < ty.rank() => operands.iter().filter_map(aligned).collect(),
        Op::MatMul if axis + 2 == ty.rank() => {
            operands.iter().take(1).filter_map(aligned).collect()
        }
        Op::Expand { .. } => operands.iter().filter_map(aligned).collect(),
        Op::Transpose { perm } => operands.iter().map(|x| (*x, perm[axis])).collect(),
        Op::Slice { axis: cut, .. } if *cut != axis => {
            operands.iter().filter_map(aligned).collect()
        }
        Op::Softmax { axis: over } if *over != axis => {
            operands.iter().filter_map(aligned).collect()
        }
        Op::Reshape { .. } => {
            let base = unshaped(graph, value);
            let own = same_axis(&ty.shape, axis, &graph.ty(base).shape);
            own.map(|own| (base, own)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// What a value was before it was reshaped.
fn unshaped(graph: &Graph, value: ValueId) -> ValueId {
    let mut base = value;
    while let (Op::Reshape { .. }, &[from]) = (graph.op(base), graph.operands(base)) {
        base = from;
    }
    base
}

/// The axis of `from` that an axis of its reshape `to` is.
fn same_axis(to: &[Dim], axis: usize, from: &[Dim]) -> Option<usize> {
    let size = |dims: &[Dim]| dims.iter().fold(Dim::one(), |n, d| &n * d);
    let outside = size(&to[..axis]);
    (0..from.len()).find(|own| from[*own] == to[axis] && size(&from[..*own]) == outside)
}

/// True if a product with a stack of constant matrices along this axis is among what a value is computed from.
fn is_stack_of_products(
    graph: &Graph,
    value: ValueId,
    axis: usize,
    seen: &mut BTreeSet<(ValueId, usize)>,
) -> bool {
    if extent(graph, value, axis).is_none_or(|n| n <= 1) || !seen.insert((value, axis)) {
        return false;
    }
    let operands = along(graph, value, axis);
    if let (Op::MatMul, &[_, weights]) = (graph.op(value), graph.operands(value)) {
        let stacked = operands
            .iter()
            .any(|(v, own)| *v == weights && extent(graph, *v, *own).is_some_and(|n| n > 1));
        if stacked && graph.depends_on_constants(weights) {
            return true;
        }
    }
    operands
        .into_iter()
        .any(|(v, own)| is_stack_of_products(graph, v, own, seen))
}

/// Parts of values at one index of an axis, which stays as 1.
struct Taken<'g> {
    graph: &'g mut Graph,
    part: i64,
    done: BTreeMap<(ValueId, usize), ValueId>,
}

impl Taken<'_> {
    fn of(&mut self, value: ValueId, axis: usize) -> Result<ValueId, Cause> {
        if self.graph.ty(value).shape.get(axis).is_none_or(|n| n.is(1)) {
            return Ok(value);
        }
        if let Some(found) = self.done.get(&(value, axis)) {
            return Ok(*found);
        }
        let made = self.make(value, axis)?;
        self.done.insert((value, axis), made);
        Ok(made)
    }

    fn make(&mut self, value: ValueId, axis: usize) -> Result<ValueId, Cause> {
        let (op, origin) = (
            self.graph.op(value).clone(),
            self.graph.origin(value).to_vec(),
        );
        let operands = along(self.graph, value, axis);
        let mut shape = self.graph.ty(value).shape.clone();
        shape[axis] = Dim::one();
        if let Some(own) = self.joined(value, axis) {
            return Ok(self.graph.add_node(Op::Reshape { shape }, &[own], origin)?);
        }
        if operands.is_empty() {
            let slice = Op::Slice {
                axis,
                start: self.part.into(),
                end: (self.part + 1).into(),
                step: 1,
            };
            return Ok(self.graph.add_node(slice, &[value], origin)?);
        }
        if let Op::Reshape { .. } = op {
            let (base, own) = operands[0];
            let base = self.of(base, own)?;
            return Ok(self
                .graph
                .add_node(Op::Reshape { shape }, &[base], origin)?);
        }
        let mut parts = self.graph.operands(value).to_vec();
        for part in &mut parts {
            if let Some((from, own)) = operands.iter().find(|(v, _)| v == part) {
                *part = self.of(*from, *own)?;
            }
        }
        if let (Op::MatMul, [_, weights]) = (&op, &mut parts[..]) {
            *weights = self.matrix(*weights)?;
        }
        let op = match op {
            Op::Expand { .. } => Op::Expand { shape },
            op => op,
        };
        Ok(self.graph.add_node(op, &parts, origin)?)
    }

    /// The part of a value that was joined of as many equal ones along this axis, as `Tile` does.
    fn joined(&self, value: ValueId, axis: usize) -> Option<ValueId> {
        let graph = &*self.graph;
        let base = unshaped(graph, value);
        let (Op::Concat { axis: own }, operands) = (graph.op(base), graph.operands(base)) else {
            return None;
        };
        let size = |dims: &[Dim]| dims.iter().fold(Dim::one(), |n, d| &n * d);
        let whole = &graph.ty(value).shape;
        let each = &graph.ty(*operands.first()?).shape;
        let fits = extent(graph, value, axis) == i64::try_from(operands.len()).ok()
            && operands.iter().all(|v| graph.ty(*v).shape == *each)
            && size(&whole[..axis]) == size(&each[..*own])
            && size(&whole[axis + 1..]) == size(&each[*own..]);
        let part = usize::try_from(self.part).ok()?;
        operands.get(part).copied().filter(|_| fits)
    }

    /// A stack of one constant matrix as the matrix.
    fn matrix(&mut self, weights: ValueId) -> Result<ValueId, Cause> {
        let shape = self.graph.ty(weights).shape.clone();
        let first = shape.len().saturating_sub(2);
        if first == 0 || !shape[..first].iter().all(|n| n.is(1)) {
            return Ok(weights);
        }
        let shape = shape[first..].to_vec();
        Ok(self
            .graph
            .add_node(Op::Reshape { shape }, &[weights], Vec::new())?)
    }
}
