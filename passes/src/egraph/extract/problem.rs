//! What is to be chosen from, with classes as small numbers.

use std::collections::{BTreeMap, BTreeSet};

use egg::{Analysis, EGraph, Id, Language};

/// One way to compute a class.
#[derive(Clone, Debug)]
pub struct Candidate<L> {
    /// The node, children canonical.
    pub node: L,
    /// Its own cost.
    pub cost: u64,
    /// Classes of its operands, without repetition, ascending.
    pub operands: Vec<usize>,
}

/// Classes in an order with operands before users (but where classes need each other), and their candidates.
#[derive(Clone, Debug)]
pub struct Problem<L> {
    /// Ids of the classes.
    pub ids: Vec<Id>,
    /// Candidates of each class; those that another makes superfluous are left out.
    pub candidates: Vec<Vec<Candidate<L>>>,
    /// Classes that are wanted.
    pub roots: Vec<usize>,
}

impl<L: Language> Problem<L> {
    /// The part of an e-graph that `roots` can need.
    pub fn new<N: Analysis<L>>(
        egraph: &EGraph<L, N>,
        roots: &[Id],
        cost: impl Fn(Id, &L) -> Option<u64>,
    ) -> Problem<L> {
        let mut found: BTreeMap<Id, Vec<(L, u64)>> = BTreeMap::new();
        let mut todo: Vec<Id> = roots.iter().map(|id| egraph.find(*id)).collect();
        while let Some(class) = todo.pop() {
            if found.contains_key(&class) {
                continue;
            }
            let mut nodes = Vec::new();
            for node in &egraph[class].nodes {
                let Some(own) = cost(class, node) else {
                    continue;
                };
                let own = if node.is_leaf() { own } else { own.max(1) };
                let node = node.clone().map_children(|child| egraph.find(child));
                todo.extend(node.children().iter().copied());
                nodes.push((node, own));
            }
            found.insert(class, nodes);
        }
        let ids = operands_first(&found);
        let number: BTreeMap<Id, usize> = ids.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        let candidates = ids
            .iter()
            .enumerate()
            .map(|(class, id)| {
                let nodes = found.get(id).into_iter().flatten();
                let all = nodes.map(|(node, cost)| {
                    let operands: BTreeSet<usize> =
                        node.children().iter().map(|child| number[child]).collect();
                    Candidate {
                        node: node.clone(),
                        cost: *cost,
                        operands: operands.into_iter().collect(),
                    }
                });
                useful(all.filter(|c| !c.operands.contains(&class)).collect())
            })
            .collect();
        let roots = roots.iter().map(|id| number[&egraph.find(*id)]).collect();
        Problem {
            ids,
            candidates,
            roots,
        }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Without candidates that cost no less than another one which needs no class they do not need. Cheapest first; among
/// equals by node, so that the order of the e-graph does not matter.
fn useful<L: Language>(mut all: Vec<Candidate<L>>) -> Vec<Candidate<L>> {
    all.sort_by(|a, b| (a.cost, &a.node).cmp(&(b.cost, &b.node)));
    let mut kept: Vec<Candidate<L>> = Vec::new();
    for candidate in all {
        let has = |operand: &usize| candidate.operands.binary_search(operand).is_ok();
        if !kept.iter().any(|better| better.operands.iter().all(has)) {
            kept.push(candidate);
        }
    }
    kept
}

/// Classes with operands before users, except where classes need each other.
fn operands_first<L: Language>(found: &BTreeMap<Id, Vec<(L, u64)>>) -> Vec<Id> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    let mut stack: Vec<(Id, bool)> = found.keys().rev().map(|class| (*class, false)).collect();
    while let Some((class, operands_done)) = stack.pop() {
        if operands_done {
            order.push(class);
        } else if seen.insert(class) {
            stack.push((class, true));
            for (node, _) in found.get(&class).into_iter().flatten() {
                stack.extend(node.children().iter().map(|child| (*child, false)));
            }
        }
    }
    order
}
