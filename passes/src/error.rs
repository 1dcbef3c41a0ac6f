//! What can go wrong in a pass.

use std::fmt;

use llmc_ir::{EvalError, TypeError, ValueId, VerifyError};

use crate::egraph::{EqsatError, NearMiss};

/// A pass failed: which, on which entry, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pass}{}: {cause}", entry.as_deref().map_or(String::new(), |entry| format!(" ({entry})")))]
pub struct PassError {
    /// Name of the pass.
    pub pass: &'static str,
    /// The entry it worked on, if on one.
    pub entry: Option<String>,
    /// Why.
    pub cause: Cause,
}

/// Why a pass failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The model is well formed, but something in it is not supported. Everything that was found.
    #[error("{}", lines(.0))]
    Unsupported(Vec<String>),
    /// Options that make no sense together, or not for this model.
    #[error("{0}")]
    Options(String),
    /// Ops that no rule could turn into fused ones, and what was nearly recognised in them.
    #[error("{}{} node(s) could not be fused into ops of the chip: {}", reasons(near_misses), nodes.len(), lines(nodes))]
    NotFused {
        /// The nodes that are left over.
        nodes: Vec<VerifyError>,
        /// Why, as far as rules can tell.
        near_misses: Vec<NearMiss>,
    },
    /// Bug in llmc: a pass left a broken graph.
    #[error("bug in llmc, the graph is broken after this pass: {}", lines(.0))]
    Broken(Vec<VerifyError>),
    /// Bug in llmc: operands do not fit after a change.
    #[error("bug in llmc, {}", lines(&.0.iter().map(|(at, error)| format!("{at}: {error}")).collect::<Vec<_>>()))]
    Types(Vec<(ValueId, TypeError)>),
    /// Bug in llmc: a rewrite rule is wrong.
    #[error("bug in llmc: {0}")]
    Eqsat(#[from] EqsatError),
    /// A constant expression has no value.
    #[error("a constant expression cannot be evaluated: {0}")]
    Eval(#[from] EvalError),
}

impl Cause {
    /// True if the model cannot be blamed.
    pub fn is_bug(&self) -> bool {
        matches!(self, Cause::Broken(_) | Cause::Types(_) | Cause::Eqsat(_))
    }

    /// This cause in a pass on an entry.
    pub fn in_pass(self, pass: &'static str, entry: &str) -> PassError {
        PassError {
            pass,
            entry: Some(entry.to_string()),
            cause: self,
        }
    }
}

impl From<TypeError> for Cause {
    fn from(error: TypeError) -> Cause {
        Cause::Types(vec![(ValueId(0), error)])
    }
}

impl From<Vec<(ValueId, TypeError)>> for Cause {
    fn from(errors: Vec<(ValueId, TypeError)>) -> Cause {
        Cause::Types(errors)
    }
}

/// Near misses on their own lines, before what they lead to.
fn reasons(near_misses: &[NearMiss]) -> String {
    let lines = near_misses
        .iter()
        .map(|miss| format!("\n  {}", miss.summary()));
    match near_misses.is_empty() {
        true => String::new(),
        false => format!(
            "{}\n  (`llmc explain` says more)\n",
            lines.collect::<String>()
        ),
    }
}

/// One problem on this line, several on their own lines.
fn lines<T: fmt::Display>(problems: &[T]) -> String {
    match problems {
        [one] => one.to_string(),
        many => many
            .iter()
            .map(|problem| format!("\n  {problem}"))
            .collect(),
    }
}
