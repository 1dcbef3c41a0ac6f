//! Layers become one repeat.
//!
//! ```text
//! embed -> layer 0 -> layer 1 -> .. -> layer 79 -> head      embed -> carry -> layer -> repeat {count=80} -> head
//! ```
//!
//! 1. [`chain`]: the values that everything from the token ids to the logits passes through cut the model into
//!    segments; the shape of each is hashed, and the longest periodic run of segments is proposed as layers.
//! 2. [`product`]: the layers are walked side by side. What is the same node in all of them stays outside; constants and
//!    states that differ become stacks; anything else that differs refutes the proposal.
//! 3. [`unroll`]: the result, written out again, must be the graph it came from.
//!
//! Layers that an importer left out, because they are like those before them, are added to the repeat at the end ([`extend`]).
//!
//! What differs between layers in an attribute (a window) or in a number that may become one (the scale of scores) makes the period
//! longer, or stays unrolled; numbers that are only multiplied with are data. So nothing is decided by names, and nothing has to be known of models.

mod chain;
mod extend;
mod number;
mod product;
mod unroll;

use llmc_ir::{Graph, Op, VerifyError};

use crate::error::Cause;
use chain::{Chain, Run};

pub use extend::{Omitted, Sequence, extend};
pub use unroll::{unroll, unroll_turns};

/// What rolling did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollReport {
    /// Turns of each repeat, and nodes of its body.
    pub repeats: Vec<(usize, usize)>,
}

impl RollReport {
    /// Adds layers that a graph leaves out to its repeat.
    ///
    /// # Errors
    /// If its repeats are not those layers.
    pub fn extend(&mut self, graph: &mut Graph, omitted: &Omitted) -> Result<(), Cause> {
        extend(graph, omitted)
            .map_err(|why| Cause::Unsupported(vec![format!("layers were left out, but {why}")]))?;
        let turns: Vec<usize> = graph
            .topological()
            .into_iter()
            .filter_map(|id| match graph.op(id) {
                Op::Repeat { count } => Some(*count),
                _ => None,
            })
            .collect();
        for ((count, _), turns) in self.repeats.iter_mut().zip(turns) {
            *count = turns;
        }
        Ok(())
    }
}

/// Rolls the layers of a graph with states.
///
/// # Errors
/// Only on a bug: if the rolled graph is not the graph it came from.
pub fn roll(graph: &Graph) -> Result<(Graph, RollReport), Cause> {
    let mut report = RollReport::default();
    let Some(chain) = Chain::of(graph) else {
        return Ok((graph.clone(), report));
    };
    let mut refuted: Vec<Run> = Vec::new();
    loop {
        let runs = chain.runs(&refuted);
        if runs.is_empty() {
            return Ok((graph.clone(), report));
        }
        match product::build(graph, &chain, &runs) {
            Err(run) => refuted.push(run),
            Ok(rolled) => {
                check(graph, &rolled.graph)?;
                report.repeats = rolled.repeats;
                return Ok((rolled.graph, report));
            }
        }
    }
}

/// The rolled graph, unrolled, is the graph.
fn check(graph: &Graph, rolled: &Graph) -> Result<(), Cause> {
    let broken = |message: String| {
        let at = format!("graph \"{}\"", graph.name);
        Cause::Broken(vec![VerifyError {
            invariant: 12,
            at,
            message,
        }])
    };
    let unrolled = unroll(rolled).map_err(broken)?;
    match number::same(graph, &unrolled) {
        true => Ok(()),
        false => Err(broken(
            "the rolled layers are not those of the model".into(),
        )),
    }
}
