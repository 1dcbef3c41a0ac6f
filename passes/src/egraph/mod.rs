//! Equality saturation: all rewrites at once, then the cheapest graph.
//!
//! ```text
//! Graph -> convert::to_egraph -> rules to saturation (LIMITS) -> Extraction -> convert::to_graph -> Graph
//! ```
//!
//! A repeat's body is part of the graph like anything else, so a layer that is repeated is saturated once. `README.md` is the
//! law of rule writing.

mod analysis;
mod convert;
mod draw;
mod explain;
mod extract;
mod lang;
mod matched;
mod rule;
pub mod rules;
#[cfg(test)]
mod soundness;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use egg::{EGraph, Id, Runner, SimpleScheduler, StopReason};
use llmc_ir::{Graph, ValueId};

pub use analysis::TypeAnalysis;
pub use draw::{Bound, Draw, Values};
pub use explain::{Closest, Explained, Failed, Kept, NearMiss, Proof, Step, explain, near_misses};
pub use extract::Extraction;
pub use lang::{Attr, Factor, Heads, Lang, Probs, Rotation, Scores};
pub use matched::{Match, Miss};
pub use rule::{Condition, Rule};

use crate::cost::CostModel;
use crate::elapsed::Elapsed;

/// Bounds of saturation. There is no wall-clock bound: the same input gives the same graph on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rounds of all rules. A layer's longest chain of rules (attention) takes about 10.
    pub iterations: usize,
    /// Nodes of the e-graph. A Llama layer has about 150 when saturated.
    pub nodes: usize,
}

/// The bounds in force.
pub const LIMITS: Limits = Limits {
    iterations: 40,
    nodes: 200_000,
};

/// What saturation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EqsatReport {
    /// Why it stopped: `saturated`, or the bound that was hit.
    pub stop: String,
    /// Rounds.
    pub iterations: usize,
    /// Nodes of the e-graph at the end.
    pub nodes: usize,
    /// Classes of the e-graph at the end.
    pub classes: usize,
    /// How long it took, extraction included.
    pub time: Elapsed,
    /// Cost of the extracted graph, in the cost model's unit.
    pub cost: u64,
    /// No equal graph in the e-graph costs less; equal to `cost` if that is known to be the cheapest.
    pub bound: u64,
    /// How often each rule changed something, by name.
    pub applied: BTreeMap<String, usize>,
    /// How often a rule's left side matched but its condition failed: (rule, reason).
    pub misses: BTreeMap<(&'static str, &'static str), usize>,
}

/// Why a graph could not be saturated. All are bugs of rules, not of the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EqsatError {
    /// A row of the rule tables is not a rule.
    #[error("{0}")]
    Rule(String),
    /// Rules joined values of different types.
    #[error("unsound rewriting: {}", .0.join("; "))]
    Unsound(Vec<String>),
    /// A value has no real op, or the chosen ops do not fit together.
    #[error("extraction failed: {0}")]
    Extract(String),
}

/// Rewrites a graph to the cheapest equal one under `costs`.
///
/// # Errors
/// Only on bugs of the rules; see [`EqsatError`].
pub fn saturate(
    graph: &Graph,
    rules: &[Rule],
    costs: &dyn CostModel,
) -> Result<(Graph, EqsatReport), EqsatError> {
    let start = Instant::now();
    let Explored {
        egraph,
        classes,
        mut report,
    } = explore(graph, rules)?;
    let roots = convert::roots(graph, &classes);
    let extraction = Extraction::new(&egraph, &roots, |class, node| {
        convert::cost(&egraph, class, node, costs)
    });
    let new = convert::to_graph(graph, &egraph, &classes, &extraction)?;
    report.cost = extraction.cost();
    report.bound = extraction.bound();
    report.time = Elapsed::since(start);
    Ok((new, report))
}

/// A saturated e-graph.
pub(crate) struct Explored {
    /// The e-graph.
    pub egraph: EGraph<Lang, TypeAnalysis>,
    /// The class of each node of the graph; not canonical.
    pub classes: BTreeMap<ValueId, Id>,
    /// What was done, without the cost.
    pub report: EqsatReport,
}

/// Applies all rules until nothing changes or a limit is hit.
pub(crate) fn explore(graph: &Graph, rules: &[Rule]) -> Result<Explored, EqsatError> {
    saturated(convert::to_egraph(graph), rules)
}

/// The same with a record of why things are equal, which takes several times as long.
pub(crate) fn explore_explained(graph: &Graph, rules: &[Rule]) -> Result<Explored, EqsatError> {
    saturated(convert::to_explained_egraph(graph), rules)
}

fn saturated(imported: convert::Imported, rules: &[Rule]) -> Result<Explored, EqsatError> {
    let rewrites: Result<Vec<_>, String> = rules.iter().map(Rule::compile).collect();
    let rewrites = rewrites.map_err(EqsatError::Rule)?;
    let runner = Runner::<Lang, TypeAnalysis, ()>::new(TypeAnalysis::default())
        .with_egraph(imported.egraph)
        .with_scheduler(SimpleScheduler)
        .with_iter_limit(LIMITS.iterations)
        .with_node_limit(LIMITS.nodes)
        .with_time_limit(Duration::MAX)
        .run(&rewrites);
    let egraph = runner.egraph;
    if !egraph.analysis.unsound.is_empty() {
        return Err(EqsatError::Unsound(egraph.analysis.unsound));
    }
    let mut applied = BTreeMap::new();
    for iteration in &runner.iterations {
        for (rule, times) in &iteration.applied {
            *applied.entry(rule.to_string()).or_insert(0) += times;
        }
    }
    let report = EqsatReport {
        stop: match runner.stop_reason {
            Some(StopReason::Saturated) => "saturated".into(),
            Some(StopReason::IterationLimit(n)) => format!("iteration limit {n}"),
            Some(StopReason::NodeLimit(n)) => format!("node limit {n}"),
            other => format!("{other:?}"),
        },
        iterations: runner.iterations.len(),
        nodes: egraph.total_number_of_nodes(),
        classes: egraph.number_of_classes(),
        time: Elapsed::default(),
        cost: 0,
        bound: 0,
        applied,
        misses: egraph.analysis.misses.clone(),
    };
    Ok(Explored {
        egraph,
        classes: imported.classes,
        report,
    })
}
