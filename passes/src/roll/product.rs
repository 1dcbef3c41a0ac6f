//! Layers walked side by side: a column of values, one per turn, becomes one value of the body.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llmc_ir::{Const, Graph, Op, ValueId};

use super::chain::{Chain, Run};
use super::number::is_data;

/// A rolled graph.
pub struct Rolled {
    /// The graph.
    pub graph: Graph,
    /// Turns and nodes of the body of each repeat.
    pub repeats: Vec<(usize, usize)>,
}

/// Rolls the runs of a chain.
///
/// # Errors
/// The first run whose turns are not alike after all.
pub fn build(old: &Graph, chain: &Chain, runs: &[Run]) -> Result<Rolled, Run> {
    let inside = |v: &ValueId| {
        let segment = chain.segment.get(v)?;
        runs.iter().find(|r| (r.start..r.end()).contains(segment))
    };
    let mut new = Graph::new(old.name.clone());
    new.bounds = old.bounds.clone();
    *new.tables_mut() = old.tables().clone();
    let mut builder = Builder {
        old,
        new,
        outside: BTreeMap::new(),
    };
    let mut repeats = Vec::new();
    for (name, id) in old.inputs() {
        let input = builder.new.add_input(name.clone(), old.ty(*id).clone());
        builder.outside.insert(*id, input);
    }
    for id in old.topological() {
        if *old.op(id) == Op::Input {
            continue;
        }
        match inside(&id) {
            None => builder.copy(id).ok_or_else(|| runs[0])?,
            Some(run) if chain.cuts[run.end()] == id => {
                let nodes = builder.repeat(chain, run).ok_or(*run)?;
                repeats.push((run.count, nodes));
            }
            Some(_) => {}
        }
    }
    let Builder {
        mut new, outside, ..
    } = builder;
    for (name, id) in &old.outputs {
        new.add_output(name.clone(), *outside.get(id).ok_or(runs[0])?);
    }
    new.remove_dead();
    new.remove_unused_tables();
    Ok(Rolled {
        graph: new,
        repeats,
    })
}

struct Builder<'a> {
    old: &'a Graph,
    new: Graph,
    /// New values of old ones that are in no repeat, or the result of one.
    outside: BTreeMap<ValueId, ValueId>,
}

impl Builder<'_> {
    /// Copies a node that is in no run.
    fn copy(&mut self, id: ValueId) -> Option<()> {
        let node = self.old.node(id);
        let operands: Option<Vec<ValueId>> = node
            .operands
            .iter()
            .map(|v| self.outside.get(v).copied())
            .collect();
        let new = self.new.add_typed(
            node.op.clone(),
            &operands?,
            node.ty.clone(),
            node.origin.clone(),
        );
        self.outside.insert(id, new);
        Some(())
    }

    /// Rolls a run; returns the number of nodes of the body, or `None` if its turns are not alike.
    fn repeat(&mut self, chain: &Chain, run: &Run) -> Option<usize> {
        let cut = |turn: usize| chain.cuts[run.start + turn * run.period];
        let begins: Vec<ValueId> = (0..run.count).map(cut).collect();
        let ends: Vec<ValueId> = (1..=run.count).map(cut).collect();
        let (first, ty) = (begins[0], self.old.ty(begins[0]));
        if begins.iter().chain(&ends).any(|v| self.old.ty(*v) != ty) {
            return None;
        }
        let init = *self.outside.get(&first)?;
        let carry = self
            .new
            .add_typed(Op::Carry, &[init], ty.clone(), Vec::new());
        let before = self.new.len();
        let mut body = Body {
            new: BTreeMap::from([(begins, carry)]),
            appended: BTreeSet::new(),
        };
        let next = self.column(&ends, &mut body)?;
        let nodes = self.new.len() - before;
        let (count, ty) = (run.count, ty.clone());
        let repeat = self
            .new
            .add_typed(Op::Repeat { count }, &[carry, next], ty, Vec::new());
        self.outside.insert(*ends.last()?, repeat);
        // Appends that nothing in the layer reads would be lost.
        let appends = chain
            .segment
            .iter()
            .filter(|(v, s)| (run.start..run.end()).contains(*s) && self.old.op(**v).has_effect());
        appends
            .map(|(v, _)| *v)
            .all(|v| body.appended.contains(&v))
            .then_some(nodes)
    }

    /// The value of the new graph that is `column[i]` in turn i.
    fn column(&mut self, column: &[ValueId], body: &mut Body) -> Option<ValueId> {
        if let Some(known) = body.new.get(column) {
            return Some(*known);
        }
        let first = *column.first()?;
        let new = if column.iter().all(|v| *v == first) {
            *self.outside.get(&first)?
        } else {
            self.node(column, body)?
        };
        body.new.insert(column.to_vec(), new);
        Some(new)
    }

    fn node(&mut self, column: &[ValueId], body: &mut Body) -> Option<ValueId> {
        let old = self.old;
        let first = old.node(*column.first()?);
        let alike = |v: &ValueId| {
            let node = old.node(*v);
            node.ty == first.ty && node.operands.len() == first.operands.len()
        };
        if !column.iter().all(alike) {
            return None;
        }
        let op = match &first.op {
            Op::Const(_) => return self.constants(column),
            Op::Append { .. } => {
                body.appended.extend(column);
                self.states(column)?
            }
            op if column.iter().all(|v| old.op(*v) == op) => op.clone(),
            _ => return None,
        };
        let mut operands = Vec::with_capacity(first.operands.len());
        for i in 0..first.operands.len() {
            let each: Vec<ValueId> = column.iter().map(|v| old.operands(*v)[i]).collect();
            operands.push(self.column(&each, body)?);
        }
        // The same computed in every layer, from the same: what the first one computes does for all.
        let outside: Option<Vec<ValueId>> = first
            .operands
            .iter()
            .map(|v| self.outside.get(v).copied())
            .collect();
        if outside.as_ref() == Some(&operands)
            && let Some(new) = self.outside.get(column.first()?)
        {
            return Some(*new);
        }
        Some(
            self.new
                .add_typed(op, &operands, first.ty.clone(), first.origin.clone()),
        )
    }

    /// One constant if all are equal, else a stack.
    fn constants(&mut self, column: &[ValueId]) -> Option<ValueId> {
        let each: Option<Vec<Arc<Const>>> = column
            .iter()
            .map(|v| self.old.as_const(*v).cloned())
            .collect();
        let each = each?;
        let first = each.first()?.clone();
        if each.iter().all(|c| equal(&first, c)) {
            return self.outside.get(column.first()?).copied();
        }
        if !column.iter().all(|v| is_data(self.old, *v)) {
            return None;
        }
        let stack = self.new.add_const(Arc::new(Const::stack(each)?));
        self.new.const_node(stack).ok()
    }

    /// The append to a stack of states.
    fn states(&mut self, column: &[ValueId]) -> Option<Op> {
        let states: Option<Vec<_>> = column
            .iter()
            .map(|v| match self.old.op(*v) {
                Op::Append { state } => self.old.tables().state(*state),
                _ => None,
            })
            .collect();
        let states = states?;
        let first = (*states.first()?).clone();
        if states
            .iter()
            .any(|s| s.ty() != first.ty() || !s.turns.is_empty())
        {
            return None;
        }
        let names = states.iter().map(|s| s.name.clone()).collect();
        let state = self.new.add_state(first.stack(names));
        Some(Op::Append { state })
    }
}

/// The body as far as it is built.
struct Body {
    /// New values by column.
    new: BTreeMap<Vec<ValueId>, ValueId>,
    /// Appends of all turns that have been met.
    appended: BTreeSet<ValueId>,
}

/// Whether two constants hold the same bytes.
pub fn equal(a: &Const, b: &Const) -> bool {
    let described = |c: &Const| (c.dtype(), c.shape().to_vec(), c.digest(), c.turns());
    if described(a) != described(b) {
        return false;
    }
    match (a.tensor(), b.tensor()) {
        (Some(a), Some(b)) => a.bytes() == b.bytes(),
        _ => a.name() == b.name(),
    }
}
