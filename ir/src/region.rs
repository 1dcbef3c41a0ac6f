//! What repeats: the nodes between an [`Op::Carry`] and its [`Op::Repeat`].
//!
//! A graph with a repeat is still one acyclic graph. A value *varies* if it may differ from turn to turn: a carry, a
//! stack of constants, a view of a stack of states, and whatever depends on one of them. The varying nodes that a repeat
//! needs are its *members* and run once per turn; everything else runs once. So passes that know nothing of repeats
//! rewrite a body as they rewrite any graph, as long as they keep what [`regions`] checks.

use crate::graph::{Graph, Node};
use crate::op::Op;
use crate::types::ValueId;
use std::collections::{BTreeMap, BTreeSet};

/// One repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The [`Op::Repeat`].
    pub repeat: ValueId,
    /// Number of turns.
    pub count: usize,
    /// What a turn begins with.
    pub carry: ValueId,
    /// What a turn ends with.
    pub next: ValueId,
    /// Every node that runs once per turn, `carry` first, operands before users, `next` last.
    pub members: Vec<ValueId>,
}

/// The repeats of a graph, in topological order.
///
/// # Errors
/// Every node that keeps a varying value from belonging to exactly one repeat, and why.
pub fn regions(graph: &Graph) -> Result<Vec<Region>, Vec<(ValueId, String)>> {
    let repeats = |op: &Op| matches!(op, Op::Carry | Op::Repeat { .. });
    let stacks = graph.consts().iter().any(|c| c.turns().is_some())
        || graph.states().iter().any(|s| !s.turns.is_empty());
    if !stacks && !graph.iter().any(|(_, n)| repeats(&n.op)) {
        return Ok(Vec::new());
    }
    let order = graph.topological();
    let mut finder = Finder {
        graph,
        varying: varying(graph, &order),
        owner: BTreeMap::new(),
        problems: Vec::new(),
    };
    let found: Vec<Region> = order
        .iter()
        .filter_map(|id| finder.region(*id, &order))
        .collect();
    finder.leaks(&found);
    if finder.problems.is_empty() {
        Ok(found)
    } else {
        Err(finder.problems)
    }
}

/// Nodes whose value may differ from turn to turn.
fn varying(graph: &Graph, order: &[ValueId]) -> BTreeSet<ValueId> {
    let mut varying = BTreeSet::new();
    for id in order {
        let node = graph.node(*id);
        let varies = match &node.op {
            Op::Carry => true,
            Op::Repeat { .. } => false,
            op => {
                stack_turns(graph, op).is_some()
                    || node.operands.iter().any(|v| varying.contains(v))
            }
        };
        if varies {
            varying.insert(*id);
        }
    }
    varying
}

/// Turns of the stack that an op reads or writes, if it does.
fn stack_turns(graph: &Graph, op: &Op) -> Option<usize> {
    match op {
        Op::Const(id) => graph.tables().constant(*id)?.turns(),
        Op::Append { state } => {
            let turns = graph.tables().state(*state)?.turns.len();
            (turns > 0).then_some(turns)
        }
        _ => None,
    }
}

struct Finder<'a> {
    graph: &'a Graph,
    varying: BTreeSet<ValueId>,
    /// The repeat of each member.
    owner: BTreeMap<ValueId, ValueId>,
    problems: Vec<(ValueId, String)>,
}

impl Finder<'_> {
    fn problem(&mut self, id: ValueId, message: impl Into<String>) {
        self.problems.push((id, message.into()));
    }

    /// The region of a repeat; `None` for other nodes and for one that makes no sense.
    fn region(&mut self, repeat: ValueId, order: &[ValueId]) -> Option<Region> {
        let graph = self.graph;
        let Node { op, operands, .. } = graph.node(repeat);
        let (&Op::Repeat { count }, &[carry, next]) = (op, operands.as_slice()) else {
            return None;
        };
        if graph.get(carry).is_none_or(|n| n.op != Op::Carry) {
            self.problem(repeat, format!("its first operand {carry} is no carry"));
            return None;
        }
        let mut inside = BTreeSet::from([carry]);
        let mut todo = vec![next];
        while let Some(id) = todo.pop() {
            if self.varying.contains(&id) && inside.insert(id) {
                todo.extend(graph.operands(id));
            }
        }
        for id in &inside {
            if let Some(other) = self.owner.insert(*id, repeat) {
                self.problem(*id, format!("belongs to {other} and to {repeat}"));
            }
            if let Some(turns) = stack_turns(graph, graph.op(*id)).filter(|t| *t != count) {
                self.problem(*id, format!("is of {turns} turns, {repeat} has {count}"));
            }
        }
        if !inside.contains(&next) || next == carry {
            self.problem(repeat, "every turn ends with the same value");
        }
        inside.remove(&carry);
        inside.remove(&next);
        let between = order.iter().filter(|v| inside.contains(v));
        let members = [carry].into_iter().chain(between.copied()).chain([next]);
        Some(Region {
            repeat,
            count,
            carry,
            next,
            members: members.collect(),
        })
    }

    /// Varying values outside of a repeat, or used there.
    fn leaks(&mut self, found: &[Region]) {
        let graph = self.graph;
        for id in self.varying.clone() {
            let Some(repeat) = self.owner.get(&id).copied() else {
                self.problem(id, "varies from turn to turn, but is in no repeat");
                continue;
            };
            let ends = |user: &ValueId| *user == repeat;
            let leak = graph
                .users(id)
                .iter()
                .find(|user| !ends(user) && self.owner.get(user) != Some(&repeat));
            if let Some(user) = leak.copied() {
                self.problem(
                    id,
                    format!("varies in {repeat}, but is used by {user} outside"),
                );
            } else if graph.is_output(id) {
                self.problem(id, format!("varies in {repeat}, but is an output"));
            }
        }
        // The carry and `next` are the only values that leave, and `next` only to the repeat.
        for region in found {
            let init = graph.operands(region.carry).first();
            if let Some(init) = init.filter(|v| self.varying.contains(v)) {
                self.problem(
                    *init,
                    format!("varies, but {} begins with it", region.repeat),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_graph;

    fn problems(body: &str) -> Vec<String> {
        let text = format!(
            "graph \"g\" {{\n  const c0 \"w\" f32[4] * 3 #0\n  const c1 \"v\" f32[4] #0\n  input %0 \"x\" f32[4]\n{body}}}\n"
        );
        let graph = parse_graph(&text).unwrap_or_else(|e| panic!("{e:?}"));
        match regions(&graph) {
            Ok(found) => found.iter().map(|r| format!("{:?}", r.members)).collect(),
            Err(problems) => problems
                .into_iter()
                .map(|(v, m)| format!("{v}: {m}"))
                .collect(),
        }
    }

    #[test]
    fn members_vary_and_nothing_else() {
        let found = problems(
            "  %1 : f32[4] = const c0\n  %2 : f32[4] = const c1\n  %3 : f32[4] = carry %0\n  %4 : f32[4] = neg %2\n  \
             %5 : f32[4] = add %3, %1\n  %6 : f32[4] = add %5, %4\n  %7 : f32[4] = repeat %3, %6 {count=3}\n  output \"o\" %7\n",
        );
        assert_eq!(found, ["[ValueId(3), ValueId(1), ValueId(5), ValueId(6)]"]);
    }

    #[test]
    fn what_varies_stays_inside() {
        let found = problems(
            "  %1 : f32[4] = const c0\n  %3 : f32[4] = carry %0\n  %5 : f32[4] = add %3, %1\n  \
             %7 : f32[4] = repeat %3, %5 {count=2}\n  %8 : f32[4] = add %7, %5\n  output \"o\" %8\n",
        );
        let varies = |id: u32, why: &str| format!("%{id}: varies in %7, but is {why}");
        assert_eq!(
            found,
            [
                "%1: is of 3 turns, %7 has 2".to_string(),
                varies(5, "used by %8 outside"),
                "%8: varies from turn to turn, but is in no repeat".into()
            ]
        );
        let found =
            problems("  %1 : f32[4] = const c0\n  %2 : f32[4] = add %0, %1\n  output \"o\" %2\n");
        assert_eq!(
            found[0],
            "%1: varies from turn to turn, but is in no repeat"
        );
    }
}
