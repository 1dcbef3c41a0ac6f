//! Graph to graph passes: from what an importer makes of a model to what a backend lowers.
//!
//! [`run`] is the whole pipeline of language models, [`run_function`] that of models without state. Each pass is one file and one function; after each of them the graph is verified.
//! Nothing here knows of ONNX or of instruction encodings; the chip comes in as a [`CostModel`] and a number of
//! cores.

pub mod bind;
pub mod cost;
pub mod dequantise;
pub mod differ;
pub mod egraph;
mod elapsed;
mod error;
pub mod every_row;
pub mod fold;
pub mod last_row;
mod list;
pub mod promote_state;
pub mod quantise;
pub mod reduce;
pub mod roll;
pub mod shard;
pub mod specialise;
pub mod stored;
pub mod tables;
pub mod unpack;
pub mod unstack;

use llmc_ir::{Graph, Module, Stage, VerifyError, verify, verify_module};

pub use cost::{BytesAndMacs, CostModel, Work};
pub use egraph::EqsatReport;
pub use elapsed::{Elapsed, Steps};
pub use error::{Cause, PassError};
pub use fold::FoldReport;
pub use list::Pass;
pub use quantise::Quant;
pub use roll::{Omitted, RollReport};
pub use specialise::Sizes;

/// What is compiled for.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Most tokens of one prefill launch.
    pub prefill: usize,
    /// Most tokens of a sequence: the capacity of the KV states.
    pub max_context: usize,
    /// Cores that share the work.
    pub cores: usize,
    /// How weights are held.
    pub quant: Quant,
    /// Whether repeated layers become one [`llmc_ir::Op::Repeat`]; otherwise each is compiled by itself.
    pub roll: bool,
    /// Layers that the graph leaves out.
    pub omitted: Option<&'a Omitted>,
    /// Costs of the chip, for extraction.
    pub costs: &'a dyn CostModel,
}

/// What the passes did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Folding, over all entries.
    pub fold: FoldReport,
    /// Parts that packed products were taken apart into.
    pub unpacked: usize,
    /// KV states.
    pub states: usize,
    /// Layers.
    pub roll: RollReport,
    /// Saturation, by entry.
    pub eqsat: Vec<(String, EqsatReport)>,
    /// Weights that were quantised.
    pub quantised: usize,
    /// Gathers, by entry.
    pub gathers: Vec<(String, usize)>,
    /// Time of each stage, verification included.
    pub times: Vec<(&'static str, Elapsed)>,
}

/// Stages after which an observer sees the module, in order.
pub const STAGES: [&str; 8] = [
    "imported",
    "stateful",
    "rolled",
    "folded",
    "specialised",
    "fused",
    "quantised",
    "sharded",
];

/// Runs all passes.
///
/// # Errors
/// The first pass that fails, with everything it found. See [`Cause`] for whose fault it is.
pub fn run(graph: &Graph, options: &Options) -> Result<(Module, PassReport), PassError> {
    run_observed(graph, options, &mut |_, _| true)
}

/// Runs all passes, shows the module to `observer` after each of [`STAGES`], and stops early when it returns false.
///
/// # Errors
/// As [`run`].
pub fn run_observed(
    graph: &Graph,
    options: &Options,
    observer: &mut dyn FnMut(&'static str, &Module) -> bool,
) -> Result<(Module, PassReport), PassError> {
    let sizes = Sizes {
        prefill: options.prefill,
        max_context: options.max_context,
    };
    let mut pipeline = Pipeline {
        observer,
        costs: options.costs,
        report: PassReport::default(),
        steps: Steps::begin(),
        stopped: false,
    };
    let mut module = Module::new(vec![graph.clone()]);

    pipeline.stage("imported", Stage::Imported, &mut module, |_, _| Ok(()))?;
    pipeline.stage(
        "stateful",
        Stage::Specialised,
        &mut module,
        |module, report| {
            each_entry(module, |graph| {
                report.fold.identities = fold::drop_identities(graph);
                stored::round_new_tokens(graph)?;
                report.states = promote_state::promote_state(graph, sizes.max_context)?;
                stored::store_rounded(graph)?;
                Ok(())
            })
        },
    )?;
    pipeline.stage(
        "rolled",
        Stage::Specialised,
        &mut module,
        |module, report| {
            if options.roll {
                each_entry(module, |graph| {
                    (*graph, report.roll) = roll::roll(graph)?;
                    if let Some(omitted) = options.omitted {
                        report.roll.extend(graph, omitted)?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        },
    )?;
    pipeline.stage(
        "folded",
        Stage::Specialised,
        &mut module,
        |module, report| {
            each_entry(module, |graph| {
                dequantise::absorb(graph)?;
                unstack::unstack(graph)?;
                Ok(())
            })?;
            report.fold += fold::fold(module).map_err(at_entry)?;
            report.unpacked = unpack::unpack(module).map_err(at_entry)?;
            Ok(())
        },
    )?;
    pipeline.stage(
        "specialised",
        Stage::Specialised,
        &mut module,
        |module, report| {
            if let [graph] = &module.entries[..] {
                *module = specialise::specialise(graph, sizes).map_err(|cause| (None, cause))?;
            }
            // Sizes that are known now make more constant.
            report.fold += fold::fold(module).map_err(at_entry)?;
            Ok(())
        },
    )?;
    pipeline.stage("fused", Stage::Fused, &mut module, |module, report| {
        let rules = egraph::rules::all();
        each_entry(module, |graph| {
            let (fused, eqsat) = egraph::saturate(graph, &rules, options.costs)?;
            *graph = fused;
            last_row::sink_last_row(graph)?;
            tables::narrow(graph, sizes.max_context)?;
            graph.remove_unused_tables();
            report.eqsat.push((graph.name.clone(), eqsat));
            Ok(())
        })
    })?;
    pipeline.stage("quantised", Stage::Fused, &mut module, |module, report| {
        report.quantised =
            quantise::quantise(module, options.quant).map_err(|cause| (None, cause))?;
        Ok(())
    })?;
    pipeline.stage("sharded", Stage::Sharded, &mut module, |module, report| {
        let gathers = shard::shard(module, options.cores).map_err(at_entry)?;
        report.gathers = module
            .entries
            .iter()
            .map(|entry| entry.name.clone())
            .zip(gathers)
            .collect();
        Ok(())
    })?;
    Ok((module, pipeline.done()))
}

/// Runs the passes of a model without state, whose symbolic dims have the values `dims`; shows the module to `observer` after the
/// stages `imported`, `folded` and `specialised`, and stops early when it returns false.
///
/// # Errors
/// As [`run`].
pub fn run_function(
    graph: &Graph,
    dims: &[(String, u64)],
    observer: &mut dyn FnMut(&'static str, &Module) -> bool,
) -> Result<(Module, PassReport), PassError> {
    let mut pipeline = Pipeline {
        observer,
        costs: &BytesAndMacs::default(),
        report: PassReport::default(),
        steps: Steps::begin(),
        stopped: false,
    };
    let mut module = Module::new(vec![graph.clone()]);
    pipeline.stage("imported", Stage::Imported, &mut module, |_, _| Ok(()))?;
    pipeline.stage("folded", Stage::Imported, &mut module, |module, report| {
        each_entry(module, dequantise::write_out)?;
        report.fold = fold::fold(module).map_err(at_entry)?;
        Ok(())
    })?;
    pipeline.stage(
        "specialised",
        Stage::Specialised,
        &mut module,
        |module, report| {
            if let [graph] = &module.entries[..] {
                let bound = bind::bind(graph, dims).map_err(|cause| (None, cause))?;
                *module = Module::new(vec![bound]);
            }
            // Sizes that are known now make more constant.
            report.fold += fold::fold(module).map_err(at_entry)?;
            Ok(())
        },
    )?;
    Ok((module, pipeline.done()))
}

/// Why a pass failed, and on which entry if on one.
type Failure = (Option<String>, Cause);

fn at_entry((entry, cause): (String, Cause)) -> Failure {
    (Some(entry), cause)
}

/// Runs a pass on every entry.
fn each_entry(
    module: &mut Module,
    mut pass: impl FnMut(&mut Graph) -> Result<(), Cause>,
) -> Result<(), Failure> {
    for graph in &mut module.entries {
        pass(graph).map_err(|cause| (Some(graph.name.clone()), cause))?;
    }
    Ok(())
}

/// Whose fault a failed verification is. If only the ops are not legal after fusion, it is the model's, and the first
/// such entry says it all: entries are made from one graph.
fn broken(
    pass: &'static str,
    legal: Stage,
    module: &Module,
    errors: Vec<VerifyError>,
    costs: &dyn CostModel,
) -> PassError {
    let well_formed = verify_module(module, Stage::Specialised).is_ok();
    if pass == "fused" && legal == Stage::Fused && well_formed {
        for entry in &module.entries {
            if let Err(nodes) = verify(entry, legal) {
                let found = egraph::near_misses(entry, &egraph::rules::all(), costs);
                let near_misses = found.unwrap_or_default();
                return Cause::NotFused { nodes, near_misses }.in_pass(pass, &entry.name);
            }
        }
    }
    PassError {
        pass,
        entry: None,
        cause: Cause::Broken(errors),
    }
}

/// Runs stages: pass, verify, show.
struct Pipeline<'a> {
    observer: &'a mut dyn FnMut(&'static str, &Module) -> bool,
    costs: &'a dyn CostModel,
    report: PassReport,
    steps: Steps,
    stopped: bool,
}

impl Pipeline<'_> {
    /// The report, with the times.
    fn done(self) -> PassReport {
        PassReport {
            times: self.steps.taken(),
            ..self.report
        }
    }

    fn stage(
        &mut self,
        name: &'static str,
        legal: Stage,
        module: &mut Module,
        pass: impl FnOnce(&mut Module, &mut PassReport) -> Result<(), Failure>,
    ) -> Result<(), PassError> {
        if self.stopped {
            return Ok(());
        }
        pass(module, &mut self.report).map_err(|(entry, cause)| PassError {
            pass: name,
            entry,
            cause,
        })?;
        verify_module(module, legal)
            .map_err(|errors| broken(name, legal, module, errors, self.costs))?;
        self.stopped = !(self.observer)(name, module);
        self.steps.end(name);
        Ok(())
    }
}
