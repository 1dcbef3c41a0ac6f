//! Extraction that counts shared nodes once, exact where it can be.
//!
//! egg's own `Extractor` costs *trees*: with shared operands its costs double at every layer until all
//! alternatives look alike, and fusions are lost. Here a shared operand is paid for once.
//!
//! 1. [`greedy`] takes for each class the node whose *set* of needed classes is cheapest. It is exact where
//!    alternatives do not compete for shared operands; it does not take a rewrite that pays only for two classes
//!    together.
//! 2. [`exact`] starts from that and searches all choices, with what every choice needs for sure as its bound. It ends
//!    with the optimum, or after [`STEPS`] with the best so far; [`Extraction::bound`] says how far that can be from
//!    the optimum.

mod exact;
mod greedy;
mod problem;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use egg::{Analysis, EGraph, Id, Language};

use problem::Problem;

/// Choices that the exact search tries at most. A layer of a language model takes a few hundred.
pub const STEPS: usize = 20_000;

/// The chosen node of every e-class that the roots need.
#[derive(Clone, Debug)]
pub struct Extraction<L> {
    nodes: BTreeMap<Id, L>,
    cost: u64,
    bound: u64,
}

impl<L: Language> Extraction<L> {
    /// Chooses one node for each class that `roots` need. `cost` gives the cost of a node, or `None` if it must not be
    /// extracted; inner nodes cost 1 at least.
    pub fn new<N: Analysis<L>>(
        egraph: &EGraph<L, N>,
        roots: &[Id],
        cost: impl Fn(Id, &L) -> Option<u64>,
    ) -> Extraction<L> {
        let problem = Problem::new(egraph, roots, cost);
        let first = greedy::choose(&problem);
        exact::improve(&problem, first, STEPS).named(&problem)
    }

    /// The chosen node of a (canonical) class, children canonical; `None` if the class is not needed or cannot be
    /// extracted.
    pub fn node(&self, class: Id) -> Option<&L> {
        self.nodes.get(&class)
    }

    /// All chosen nodes, by class.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &L)> {
        self.nodes.iter().map(|(class, node)| (*class, node))
    }

    /// Cost of everything the roots need, shared classes counted once.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// No extraction is cheaper than this. Equal to the cost if the search ended, 0 if nothing is known.
    pub fn bound(&self) -> u64 {
        self.bound
    }
}
