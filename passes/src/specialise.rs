//! One symbolic graph becomes the entries of a program.
//!
//! | entry | tokens per launch | logits |
//! |---|---|---|
//! | `prefill` | `seq` <= prefill | of the last token |
//! | `score` | `seq` <= prefill | of every token |
//! | `decode` | 1 | of that token |
//!
//! `batch` is bound to 1 in all of them; the axis stays in the types. `past` stays a symbol: it is a launch
//! register, bounded by the context.

use std::collections::BTreeMap;

use llmc_ir::{Dim, Graph, Module, Op, Symbol, ValueId};

use crate::error::Cause;
use crate::every_row;

/// Axis of the tokens in `[batch, seq, ..]`.
const SEQ_AXIS: usize = 1;

/// The sizes that entries are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Most tokens of one prefill or score launch.
    pub prefill: usize,
    /// Most tokens that a sequence can have.
    pub max_context: usize,
}

impl Sizes {
    fn check(&self) -> Result<(), Cause> {
        if self.prefill == 0 || self.max_context == 0 {
            return Err(Cause::Options(
                "prefill and maximal context must be at least 1".into(),
            ));
        }
        if self.prefill > self.max_context {
            let Sizes {
                prefill,
                max_context,
            } = self;
            return Err(Cause::Options(format!(
                "a prefill of {prefill} tokens is more than the maximal context of {max_context}"
            )));
        }
        Ok(())
    }
}

/// Makes the three entries. Inputs that nothing uses are dropped.
///
/// # Errors
/// If the sizes make no sense, a table of positions has fewer rows than the context, or there are no logits.
pub fn specialise(graph: &Graph, sizes: Sizes) -> Result<Module, Cause> {
    sizes.check()?;
    check_tables(graph, sizes.max_context)?;
    let whole = every_row::restored(graph);
    let graph = whole.as_ref().unwrap_or(graph);
    let logits = logits(graph)?;

    let mut prefill = entry(graph, "prefill", sizes, None)?;
    for name in &logits {
        if let Some(value) = prefill.output(name) {
            let last = prefill.add_node(Op::LastRow { axis: SEQ_AXIS }, &[value], Vec::new())?;
            set_output(&mut prefill, name, last);
        }
    }
    let score = entry(graph, "score", sizes, None)?;
    let decode = entry(graph, "decode", sizes, Some(1))?;
    Ok(Module::new(vec![prefill, score, decode]))
}

/// The graph with `batch` = 1 and, if given, `seq` bound.
fn entry(graph: &Graph, name: &str, sizes: Sizes, seq: Option<i64>) -> Result<Graph, Cause> {
    let mut entry = graph.clone();
    entry.name = name.to_string();
    let mut bound = BTreeMap::from([(Symbol::new(Symbol::BATCH), Dim::one())]);
    if let Some(seq) = seq {
        bound.insert(Symbol::new(Symbol::SEQ), Dim::from(seq));
    }
    entry.substitute(&bound)?;
    let longest = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    if seq.is_none() {
        entry
            .bounds
            .insert(Symbol::new(Symbol::SEQ), longest(sizes.prefill));
    }
    entry
        .bounds
        .insert(Symbol::new(Symbol::PAST), longest(sizes.max_context) - 1);
    entry.remove_dead();
    let inputs: Vec<String> = entry
        .inputs()
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    for input in inputs {
        entry.remove_input(&input);
    }
    Ok(entry)
}

/// Names of the outputs `[batch, seq, n]`.
fn logits(graph: &Graph) -> Result<Vec<String>, Cause> {
    let is_logits = |value: ValueId| {
        let shape = &graph.ty(value).shape;
        shape.len() == 3 && shape[SEQ_AXIS] == Dim::seq()
    };
    let found: Vec<String> = graph
        .outputs
        .iter()
        .filter(|(_, value)| is_logits(*value))
        .map(|(name, _)| name.clone())
        .collect();
    if found.is_empty() {
        let have: Vec<String> = graph
            .outputs
            .iter()
            .map(|(name, value)| format!("`{name}` {}", graph.ty(*value)))
            .collect();
        return Err(Cause::Unsupported(vec![format!(
            "no output has the shape [batch, seq, vocabulary]; outputs are {}",
            have.join(", ")
        )]));
    }
    Ok(found)
}

/// Tables of positions must reach as far as the context.
fn check_tables(graph: &Graph, max_context: usize) -> Result<(), Cause> {
    let mut short = Vec::new();
    for (id, node) in graph.iter() {
        let Op::PositionRows { short: before, .. } = node.op else {
            continue;
        };
        let rows = node
            .operands
            .first()
            .and_then(|table| graph.ty(*table).shape.first()?.as_const());
        // The table for longer contexts comes after that for short ones.
        let rows = rows.map(|n| n - i64::try_from(before).unwrap_or(0));
        if rows.is_some_and(|rows| rows < i64::try_from(max_context).unwrap_or(i64::MAX)) {
            let rows = rows.unwrap_or_default();
            short.push(format!(
                "{id} ({}): the table has {rows} positions, the maximal context is {max_context}",
                node.origin.join(", ")
            ));
        }
    }
    if short.is_empty() {
        Ok(())
    } else {
        Err(Cause::Unsupported(short))
    }
}

/// Makes an output another value.
fn set_output(graph: &mut Graph, name: &str, value: ValueId) {
    for (_, output) in graph
        .outputs
        .iter_mut()
        .filter(|(output, _)| output == name)
    {
        *output = value;
    }
}
