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
//! What differs between layers in an attribute or a number (a window, a scale) makes the period longer, or stays
//! unrolled. So nothing is decided by names, and nothing has to be known of models.

mod chain;
mod number;
mod product;
mod unroll;

use llmc_ir::{Graph, VerifyError};

use crate::error::Cause;
use chain::{Chain, Run};

pub use unroll::unroll;

/// What rolling did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollReport {
    /// Turns of each repeat, and nodes of its body.
    pub repeats: Vec<(usize, usize)>,
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
