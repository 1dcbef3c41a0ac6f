//! Shrinks a graph for as long as something about it stays true: delta debugging.
//!
//! Every attempt is a well-formed graph; an attempt is kept if `interesting` still says yes. Tried, until none of it
//! helps: one turn of repeats, another node as the only output, fewer outputs, an input in place of a node, an operand in
//! place of a node, shorter dims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llmc_ir::{Const, Dim, Graph, Op, Stage, Symbol, Type, ValueId, verify};

use crate::roll::unroll_turns;

/// Attempts in all, so that it ends in minutes on any model.
const MOST_ATTEMPTS: usize = 20_000;

/// The smallest graph found for which `interesting` is true. `graph` itself if it is not true for that.
pub fn reduce(graph: &Graph, interesting: &mut dyn FnMut(&Graph) -> bool) -> Graph {
    let mut reducer = Reducer {
        best: compact(graph).unwrap_or_else(|| graph.clone()),
        interesting,
        attempts: MOST_ATTEMPTS,
    };
    reducer.one_turn();
    let mut size = None;
    while size != Some(reducer.size()) {
        size = Some(reducer.size());
        reducer.one_output();
        reducer.fewer_outputs();
        reducer.inputs_for_nodes();
        reducer.operands_for_nodes();
        reducer.shorter_dims();
    }
    reducer.best
}

struct Reducer<'a> {
    best: Graph,
    interesting: &'a mut dyn FnMut(&Graph) -> bool,
    attempts: usize,
}

impl Reducer<'_> {
    /// Nodes, outputs, and the sum of the dims of inputs: what shrinks.
    fn size(&self) -> (usize, usize, i64) {
        let inputs = self.best.inputs().iter();
        let dims = inputs.flat_map(|(_, id)| &self.best.ty(*id).shape);
        let lengths = dims.map(|dim| dim.as_const().unwrap_or(1_000));
        (self.best.len(), self.best.outputs.len(), lengths.sum())
    }

    /// Keeps an attempt if it is a graph and interesting.
    fn attempt(&mut self, graph: Option<Graph>) -> bool {
        let Some(graph) = graph.and_then(|graph| compact(&graph)) else {
            return false;
        };
        if self.attempts == 0 || verify(&graph, Stage::Specialised).is_err() {
            return false;
        }
        self.attempts -= 1;
        let kept = (self.interesting)(&graph);
        if kept {
            self.best = graph;
        }
        kept
    }

    /// One turn of each repeat, or two, written out.
    fn one_turn(&mut self) {
        let repeats = self.best.iter().any(|(_, n)| n.op == Op::Carry);
        for turns in [1, 2] {
            if repeats && self.attempt(unroll_turns(&self.best, turns).ok()) {
                return;
            }
        }
    }

    /// The first node in order that is enough of an output.
    fn one_output(&mut self) {
        for value in self.best.topological() {
            if matches!(self.best.op(value), Op::Const(_) | Op::Input) {
                continue;
            }
            let mut graph = self.best.clone();
            graph.outputs = vec![("output".to_string(), value)];
            if graph.outputs != self.best.outputs && self.attempt(Some(graph)) {
                return;
            }
        }
    }

    fn fewer_outputs(&mut self) {
        let mut i = 0;
        while i < self.best.outputs.len() && self.best.outputs.len() > 1 {
            let mut graph = self.best.clone();
            graph.outputs.remove(i);
            if !self.attempt(Some(graph)) {
                i += 1;
            }
        }
    }

    /// Tries a change at each node, users first; ids change whenever one is kept.
    fn at_each_node(&mut self, change: impl Fn(&Graph, ValueId) -> Vec<Graph>) {
        let mut left = self.best.len();
        while left > 0 {
            let order = self.best.topological();
            left = left.min(order.len());
            let Some(value) = left.checked_sub(1).and_then(|i| order.get(i)) else {
                break;
            };
            for graph in change(&self.best, *value) {
                if self.attempt(Some(graph)) {
                    break;
                }
            }
            left -= 1;
        }
    }

    fn inputs_for_nodes(&mut self) {
        self.at_each_node(|graph, value| {
            let small = graph.ty(value).shape.is_empty();
            if matches!(graph.op(value), Op::Input) || (small && graph.as_const(value).is_some()) {
                return Vec::new();
            }
            let mut graph = graph.clone();
            let name = (0..)
                .map(|n| format!("x{n}"))
                .find(|name| graph.input(name).is_none());
            let ty = graph.ty(value).clone();
            let input = graph.add_input(name.unwrap_or_default(), ty);
            graph.replace_all_uses(value, input);
            // One with an effect would stay.
            graph.remove_node(value);
            vec![graph]
        });
    }

    fn operands_for_nodes(&mut self) {
        self.at_each_node(|graph, value| {
            let fits = |operand: &&ValueId| graph.ty(**operand) == graph.ty(value);
            let operands = graph.operands(value).iter().filter(fits);
            let replaced = operands.map(|operand| {
                let mut graph = graph.clone();
                graph.replace_all_uses(value, *operand);
                graph
            });
            replaced.collect()
        });
    }

    /// Symbols become numbers, numbers smaller ones; with the numbers that are multiples of them, if that is needed.
    fn shorter_dims(&mut self) {
        for symbol in symbols(&self.best) {
            let by = BTreeMap::from([(symbol, Dim::one())]);
            let mut graph = self.best.clone();
            let fits = graph.substitute(&by).is_ok();
            self.attempt(fits.then_some(graph));
        }
        for length in lengths(&self.best) {
            for shorter in [1, 2, length / 2] {
                if shorter >= length || shorter < 1 {
                    continue;
                }
                let exact = |n: i64| if n == length { shorter } else { n };
                let multiples = |n: i64| {
                    if n % length == 0 {
                        n / length * shorter
                    } else {
                        n
                    }
                };
                if self.attempt(with_lengths(&self.best, &exact))
                    || self.attempt(with_lengths(&self.best, &multiples))
                {
                    break;
                }
            }
        }
    }
}

/// Symbols of the inputs.
fn symbols(graph: &Graph) -> BTreeSet<Symbol> {
    let inputs = graph.inputs().iter();
    let dims = inputs.flat_map(|(_, id)| &graph.ty(*id).shape);
    dims.flat_map(Dim::symbols).collect()
}

/// Numbers above 1 among the dims of inputs, constants and ops, largest first.
fn lengths(graph: &Graph) -> Vec<i64> {
    let mut found = BTreeSet::new();
    for (_, node) in graph.iter() {
        let dims = node.ty.shape.iter().chain(node.op.dims());
        found.extend(dims.filter_map(Dim::as_const).filter(|n| *n > 1));
    }
    found.into_iter().rev().collect()
}

/// The graph with other numbers as dims; `None` if its ops do not fit any more, or a constant with known bytes would
/// change its shape.
fn with_lengths(graph: &Graph, length: &dyn Fn(i64) -> i64) -> Option<Graph> {
    let map = |dim: &mut Dim| {
        if let Some(n) = dim.as_const() {
            *dim = Dim::from(length(n));
        }
    };
    let mut new = Graph::new(graph.name.clone());
    new.bounds = graph.bounds.clone();
    *new.tables_mut() = graph.tables().clone();
    for constant in &mut new.tables_mut().consts {
        let to = |n: &usize| usize::try_from(length(*n as i64)).ok();
        let shape: Vec<usize> = constant.shape().iter().map(to).collect::<Option<_>>()?;
        if shape == constant.shape() {
            continue;
        }
        if constant.tensor().is_some() {
            return None;
        }
        let same = Const::opaque(constant.name(), constant.dtype(), shape, constant.digest());
        *constant = Arc::new(same);
    }
    for state in &mut new.tables_mut().states {
        state.shape.iter_mut().for_each(map);
    }
    rebuild(
        graph,
        new,
        |op| op.map_dims(map),
        |ty| {
            let mut ty = ty.clone();
            ty.shape.iter_mut().for_each(map);
            ty
        },
    )
}

/// The graph without dead nodes, unused inputs and tables, its values numbered in order.
fn compact(graph: &Graph) -> Option<Graph> {
    let mut graph = graph.clone();
    graph.remove_dead();
    let names: Vec<String> = graph
        .inputs()
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    for name in names {
        graph.remove_input(&name);
    }
    graph.remove_unused_tables();
    let mut new = Graph::new(graph.name.clone());
    new.bounds = graph.bounds.clone();
    *new.tables_mut() = graph.tables().clone();
    rebuild(&graph, new, Op::clone, Type::clone)
}

/// Adds all nodes of `old` to `new` with changed ops, and inputs with changed types.
fn rebuild(
    old: &Graph,
    mut new: Graph,
    op: impl Fn(&Op) -> Op,
    ty: impl Fn(&Type) -> Type,
) -> Option<Graph> {
    let mut values: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for (name, id) in old.inputs() {
        values.insert(*id, new.add_input(name.clone(), ty(old.ty(*id))));
    }
    for id in old.topological() {
        let node = old.node(id);
        if node.op == Op::Input {
            continue;
        }
        let operands = node
            .operands
            .iter()
            .map(|operand| values.get(operand).copied());
        let operands: Vec<ValueId> = operands.collect::<Option<_>>()?;
        let value = new
            .add_node(op(&node.op), &operands, node.origin.clone())
            .ok()?;
        values.insert(id, value);
    }
    for (name, id) in &old.outputs {
        let value = *values.get(id)?;
        new.add_output(name.clone(), value);
    }
    Some(new)
}
