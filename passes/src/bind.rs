//! A model without state becomes one entry, `main`, with all dims bound to numbers.

use std::collections::{BTreeMap, BTreeSet};

use llmc_ir::{Dim, Graph, Symbol};

use crate::error::Cause;

/// Name of the entry.
pub const ENTRY: &str = "main";

/// The graph with each symbol of its inputs replaced by its value.
///
/// # Errors
/// If a symbol has no value, or a value no symbol.
pub fn bind(graph: &Graph, dims: &[(String, u64)]) -> Result<Graph, Cause> {
    let mut symbols: BTreeSet<Symbol> = BTreeSet::new();
    let inputs = graph.inputs().iter().map(|(_, id)| graph.ty(*id));
    for dim in inputs.flat_map(|ty| &ty.shape) {
        symbols.extend(dim.symbols());
    }
    let names: Vec<&str> = symbols.iter().map(Symbol::name).collect();
    if let Some((name, _)) = dims.iter().find(|(n, _)| !names.contains(&n.as_str())) {
        let have = match names.as_slice() {
            [] => "it has none without a value".to_string(),
            names => format!("it has {}", names.join(", ")),
        };
        return Err(Cause::Options(format!(
            "the model has no symbolic dim `{name}`; {have}"
        )));
    }
    let value = |name: &str| dims.iter().rev().find(|(n, _)| n == name).map(|(_, v)| *v);
    let missing: Vec<&str> = names
        .iter()
        .copied()
        .filter(|n| value(n).is_none())
        .collect();
    if !missing.is_empty() {
        let example: Vec<String> = missing.iter().map(|n| format!("--dim {n}=1")).collect();
        return Err(Cause::Options(format!(
            "the model's inputs have the symbolic dims {}: give each a value, e.g. {}",
            missing.join(", "),
            example.join(" ")
        )));
    }
    let by: BTreeMap<Symbol, Dim> = symbols
        .iter()
        .filter_map(|s| {
            let value = i64::try_from(value(s.name())?).ok()?;
            Some((s.clone(), Dim::from(value)))
        })
        .collect();
    let mut bound = graph.clone();
    bound.name = ENTRY.to_string();
    bound.substitute(&by)?;
    Ok(bound)
}
