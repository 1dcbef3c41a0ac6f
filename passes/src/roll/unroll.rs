//! Repeats written out.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmc_ir::{Const, Graph, Op, State, ValueId, regions};

/// The graph with every turn of its repeats as nodes of its own: the inverse of [`super::roll`], up to ids and to
/// constants of equal value.
///
/// # Errors
/// If a repeat makes no sense, with what is wrong.
pub fn unroll(graph: &Graph) -> Result<Graph, String> {
    unroll_turns(graph, usize::MAX)
}

/// As [`unroll`], with so many turns of each repeat at most.
///
/// # Errors
/// As [`unroll`].
pub fn unroll_turns(graph: &Graph, most: usize) -> Result<Graph, String> {
    let regions = regions(graph).map_err(|problems| {
        let all: Vec<String> = problems
            .into_iter()
            .map(|(v, m)| format!("{v} {m}"))
            .collect();
        all.join("; ")
    })?;
    let mut new = Graph::new(graph.name.clone());
    new.bounds = graph.bounds.clone();
    *new.tables_mut() = graph.tables().clone();
    let mut values: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for (name, id) in graph.inputs() {
        values.insert(*id, new.add_input(name.clone(), graph.ty(*id).clone()));
    }
    let mut member = vec![false; graph.ids().last().map_or(0, |v| v.index() + 1)];
    for id in regions.iter().flat_map(|r| &r.members) {
        member[id.index()] = true;
    }
    for id in graph.topological() {
        if member[id.index()] || *graph.op(id) == Op::Input {
            continue;
        }
        let Some(region) = regions.iter().find(|r| r.repeat == id) else {
            copy(graph, &mut new, &mut values, id, 0)?;
            continue;
        };
        let missing = || format!("{id} has no value to begin with");
        let init = graph.operands(region.carry).first().ok_or_else(missing)?;
        let mut carried = *values.get(init).ok_or_else(missing)?;
        for turn in 0..region.count.min(most) {
            values.insert(region.carry, carried);
            for inner in region.members.iter().filter(|v| **v != region.carry) {
                copy(graph, &mut new, &mut values, *inner, turn)?;
            }
            carried = *values.get(&region.next).ok_or_else(missing)?;
        }
        values.insert(id, carried);
    }
    for (name, id) in &graph.outputs {
        let value = values
            .get(id)
            .ok_or_else(|| format!("output `{name}` is lost"))?;
        new.add_output(name.clone(), *value);
    }
    new.remove_dead();
    new.remove_unused_tables();
    Ok(new)
}

/// The constant of a turn of a stack without bytes.
fn described(stack: &Const, turn: usize) -> Arc<Const> {
    let (dtype, shape) = (stack.dtype(), stack.shape().to_vec());
    let name = format!("{} [{turn}]", stack.name());
    Arc::new(Const::opaque(name, dtype, shape, stack.digest()))
}

/// A node as it is in a turn.
fn copy(
    graph: &Graph,
    new: &mut Graph,
    values: &mut BTreeMap<ValueId, ValueId>,
    id: ValueId,
    turn: usize,
) -> Result<(), String> {
    let node = graph.node(id);
    let op = match &node.op {
        Op::Const(c) => match graph.tables().constant(*c).filter(|c| c.turns().is_some()) {
            Some(stack) => {
                let of_turn = stack.each_turn().get(turn).cloned();
                Op::Const(new.add_const(of_turn.unwrap_or_else(|| described(stack, turn))))
            }
            None => node.op.clone(),
        },
        Op::Append { state } => {
            match graph.tables().state(*state).filter(|s| !s.turns.is_empty()) {
                Some(stack) => {
                    let name = stack.turns.get(turn);
                    let name = name.ok_or_else(|| format!("{state} has no turn {turn}"))?;
                    let of_turn = State {
                        name: name.clone(),
                        turns: Vec::new(),
                        ..stack.clone()
                    };
                    Op::Append {
                        state: new.add_state(of_turn),
                    }
                }
                None => node.op.clone(),
            }
        }
        op => op.clone(),
    };
    let operands: Option<Vec<ValueId>> = node
        .operands
        .iter()
        .map(|v| values.get(v).copied())
        .collect();
    let operands = operands.ok_or_else(|| format!("an operand of {id} is missing"))?;
    let copied = new.add_typed(op, &operands, node.ty.clone(), node.origin.clone());
    values.insert(id, copied);
    Ok(())
}
