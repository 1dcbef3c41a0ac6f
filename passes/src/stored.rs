//! What attention does to every element of a cache is done before it is stored.
//!
//! ```text
//! round_trip(scale * expand(append(state, rows)))    =>    expand(append(state, round_trip(scale * rows)))
//! ```
//!
//! Files that quantise attention round keys and values as they come out of the cache, all of them for each token. An element that is
//! rounded is worth no more than its rounding, so that is what the state holds.

use llmc_ir::{Graph, Op, ValueId};

use crate::error::Cause;

/// Where a cache goes out rounded, `round_trip(concat(past, new))`, rounds the new tokens alone: the past was rounded when it went
/// out, and what is rounded stays as it is. Returns how many caches were changed.
///
/// # Errors
/// Only on a bug: if the new tokens cannot be rounded as the cache is.
pub fn round_new_tokens(graph: &mut Graph) -> Result<usize, Cause> {
    let mut changed = 0;
    let inputs: Vec<ValueId> = graph.inputs().iter().map(|(_, id)| *id).collect();
    for input in inputs {
        let (&[concat], false) = (graph.users(input), graph.is_output(input)) else {
            continue;
        };
        let (&Op::Concat { axis: 2 }, &[past, new]) = (graph.op(concat), graph.operands(concat))
        else {
            continue;
        };
        let (&[rounding], false) = (graph.users(concat), graph.is_output(concat)) else {
            continue;
        };
        let node = graph.node(rounding).clone();
        let (&Op::RoundTrip(_), &[_, scale, zero]) = (&node.op, &node.operands[..]) else {
            continue;
        };
        let one = |value| {
            let known = graph.as_const(value);
            known.is_some_and(|c| c.shape().iter().all(|n| *n == 1))
        };
        if past != input || !graph.is_output(rounding) || !one(scale) || !one(zero) {
            continue;
        }
        let rounded = graph.add_node(node.op, &[new, scale, zero], node.origin)?;
        graph.set_operand(concat, 1, rounded);
        graph.replace_all_uses(rounding, concat);
        changed += 1;
    }
    graph.remove_dead();
    Ok(changed)
}

/// Moves what is done to elements up to the last rounding before each append. Returns how many appends were changed.
///
/// # Errors
/// Only on a bug: if an op has another type on rows than on the cache.
pub fn store_rounded(graph: &mut Graph) -> Result<usize, Cause> {
    let mut changed = 0;
    for append in graph.topological() {
        if !matches!(graph.op(append), Op::Append { .. }) {
            continue;
        }
        let mut users = only_users(graph, append);
        let rounding = |id: &ValueId| matches!(graph.op(*id), Op::RoundTrip(_));
        let Some(last) = users.iter().rposition(rounding) else {
            continue;
        };
        users.truncate(last + 1);
        let rows = graph.operands(append)[0];
        let (mut stored, mut from) = (rows, append);
        for id in users {
            let node = graph.node(id).clone();
            if is_move(&node.op) {
                from = id;
                continue;
            }
            let on = |value: ValueId| -> Vec<ValueId> {
                let operands = node.operands.iter();
                operands
                    .map(|v| match graph.as_const(*v) {
                        Some(_) => *v,
                        None => value,
                    })
                    .collect()
            };
            let operands = on(stored);
            stored = graph.add_node(node.op, &operands, node.origin)?;
            graph.replace_all_uses(id, from);
        }
        graph.set_operand(append, 0, stored);
        changed += 1;
    }
    graph.remove_dead();
    Ok(changed)
}

/// The chain of moves and of ops by constant numbers that a value goes through, each the only use of the one before.
fn only_users(graph: &Graph, mut value: ValueId) -> Vec<ValueId> {
    let mut chain = Vec::new();
    while let (&[user], false) = (graph.users(value), graph.is_output(value)) {
        let by_numbers = || {
            let constants = graph.operands(user).iter().filter(|v| **v != value);
            constants
                .map(|v| graph.as_const(*v))
                .all(|c| c.is_some_and(|c| c.shape().iter().all(|n| *n == 1)))
        };
        let elementwise = matches!(graph.op(user), Op::Binary(_) | Op::RoundTrip(_));
        let followed = is_move(graph.op(user)) || elementwise && by_numbers();
        if !followed {
            break;
        }
        chain.push(user);
        value = user;
    }
    chain
}

fn is_move(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Expand { .. }
    )
}
