//! The graph passes for tools that look inside: the graphs at a stage, one pass alone, proofs of what was fused.

use crate::cost::ChipCosts;
use crate::{
    CompileError, CompileOptions, DEFAULT_PREFILL, Stage, imported, pass_options, to_usize,
};
use llmc_ir::verify_module;
use llmc_passes::egraph;
use llmc_passes::{Cause, PassError, run_observed};
use std::path::Path;

pub use llmc_ir::{Graph, Module, ParseError, parse_module};
pub use llmc_passes::Pass;
pub use llmc_passes::differ::differ;
pub use llmc_passes::egraph::{Explained, NearMiss, Proof};
pub use llmc_passes::reduce::reduce;

/// The graphs of a model with state at a stage of the passes.
///
/// # Errors
/// As [`crate::compile`]; [`CompileError::Options`] if the stage has no graphs.
pub fn graphs(
    model: &Path,
    options: &CompileOptions,
    stage: Stage,
) -> Result<Module, CompileError> {
    imported(model, options, Some(stage), |imported| {
        let costs = ChipCosts::new(&options.chip);
        let pass_options = pass_options(&imported, options, &costs)?;
        let mut found = None;
        run_observed(&imported.graph, &pass_options, &mut |name, module| {
            if name == stage.name() {
                found = Some(module.clone());
            }
            found.is_none()
        })?;
        found.ok_or_else(|| CompileError::Options(format!("stage `{stage}` has no graphs")))
    })
}

/// What keeps graphs from being well formed at any stage: what the stage that they fit best says.
pub fn problems(module: &Module) -> Vec<String> {
    use llmc_ir::Stage::{Fused, Imported, Sharded, Specialised};
    let stages = [Imported, Specialised, Fused, Sharded];
    let errors = stages.map(|stage| verify_module(module, stage).err().unwrap_or_default());
    let fewest = errors.iter().min_by_key(|errors| errors.len());
    fewest
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}

/// Runs one pass on graphs. Without a model, sizes that are not given are [`DEFAULT_PREFILL`].
///
/// # Errors
/// What the pass says.
pub fn run_pass(
    pass: Pass,
    module: &mut Module,
    options: &CompileOptions,
) -> Result<(), CompileError> {
    let costs = ChipCosts::new(&options.chip);
    let max_context = options.max_context.unwrap_or(DEFAULT_PREFILL);
    let pass_options = llmc_passes::Options {
        prefill: to_usize(options.prefill.unwrap_or(max_context))?,
        max_context: to_usize(max_context)?,
        cores: options.chip.cores() as usize,
        quant: options.quant,
        roll: options.roll,
        omitted: None,
        costs: &costs,
    };
    Ok(pass.apply(module, &pass_options)?)
}

/// Proofs of what is fused in an entry, and what is not fused but looks as if it could be. Without a name, of `decode`, or of the
/// only entry.
///
/// # Errors
/// As [`crate::compile`]; [`CompileError::Options`] if there is no such entry.
pub fn explain(
    model: &Path,
    options: &CompileOptions,
    entry: Option<&str>,
) -> Result<Explained, CompileError> {
    let module = graphs(model, options, Stage::Specialised)?;
    let found = match entry {
        Some(name) => module.entry(name),
        None => module.entry("decode").or(module.entries.first()),
    };
    let graph = found.ok_or_else(|| {
        let names: Vec<&str> = module.entries.iter().map(|g| g.name.as_str()).collect();
        let names = names.join(", ");
        CompileError::Options(format!(
            "there is no entry `{}`; there are {names}",
            entry.unwrap_or("")
        ))
    })?;
    let costs = ChipCosts::new(&options.chip);
    let explained = egraph::explain(graph, &egraph::rules::all(), &costs);
    Ok(explained.map_err(|error| PassError {
        pass: "explain",
        entry: Some(graph.name.clone()),
        cause: Cause::Eqsat(error),
    })?)
}
