//! The compiler: ONNX bytes to a binary for the chip.
//!
//! [`compile`] is the whole of it, in order. Each step is one module and one type:
//!
//! | module | makes |
//! |---|---|
//! | [`import`] | ONNX -> graph |
//! | `llmc_passes` | graph -> graphs of the entries, fused, quantised, split over cores |
//! | [`tile`] | graph -> tile program (with [`tile::lower`]) |
//! | [`schedule`] | pages of the rings |
//! | [`alloc`] | addresses |
//! | [`sync`] | semaphores |
//! | [`check`] | nothing: proves that what was made is safe |
//! | [`emit`] | instructions |
//! | [`link`] | the binary |
//! | [`report`] | sizes and bounds |
//!
//! [`survey`] tries all of it on a model and collects what is in the way.

pub mod alloc;
pub mod check;
mod cost;
pub mod emit;
pub mod error;
pub mod fuzzing;
pub mod import;
pub mod link;
pub mod options;
pub mod passes;
pub mod report;
pub mod schedule;
pub mod survey;
pub mod sync;
pub mod tile;
mod uses;

mod backend;
#[cfg(test)]
mod testing;

pub use error::CompileError;
pub use import::Category;
pub use llmc_ir::RangeOf;
pub use llmc_passes::Quant;
pub use options::{CompileOptions, DEFAULT_PREFILL, Stage};
pub use report::Report;

use alloc::DramMap;
use backend::{Finished, Tiled, finish, tile_entries, tile_functions};
use cost::ChipCosts;
use import::{ImportOptions, Imported, ModelInfo, import};
use link::{Image, Linked, image_layout, link};
use llmc_ir::{Graph, Module};
use llmc_isa::container::BinaryBuilder;
use llmc_passes::{PassReport, Steps, run_function, run_observed};
use report::{DramReport, PassesReport};
use std::path::Path;
use tile::WeightPlan;

/// A compiled model.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Everything of the binary but the weights.
    pub builder: BinaryBuilder,
    /// The weights.
    pub weights: WeightPlan,
    /// Sizes and bounds.
    pub report: Report,
    /// Texts of the stages in [`CompileOptions::emit`].
    pub texts: Vec<StageText>,
}

/// The text of one entry at one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageText {
    /// The stage.
    pub stage: Stage,
    /// The entry; the graph's name where there are no entries yet.
    pub entry: String,
    /// The text.
    pub text: String,
}

impl Compiled {
    /// Writes the binary, at once or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CompileError> {
        Ok(self.builder.write(path, &mut Image(&self.weights))?)
    }

    /// The bytes of the binary.
    ///
    /// # Errors
    /// If the weights cannot be packed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CompileError> {
        Ok(self.builder.to_bytes(&mut Image(&self.weights))?)
    }
}

/// Compiles an ONNX model.
///
/// # Errors
/// [`CompileError`]; its [`CompileError::category`] says whether the input is wrong, something is not supported yet, or llmc has a
/// bug.
pub fn compile(model: &Path, options: &CompileOptions) -> Result<Compiled, CompileError> {
    with_threads(options.threads, || {
        imported(model, options, None, |imported| whole(imported, options))
    })
}

/// Compiles a graph without state, whose symbolic dims [`CompileOptions::dims`] bind.
///
/// # Errors
/// As [`compile`].
pub fn compile_graph(graph: Graph, options: &CompileOptions) -> Result<Compiled, CompileError> {
    let imported = Imported {
        graph,
        info: ModelInfo::default(),
        omitted: None,
        caches: Vec::new(),
        bound: Vec::new(),
        tokens: None,
        max_positions: 0,
        warnings: Vec::new(),
        times: Vec::new(),
    };
    with_threads(options.threads, || whole(imported, options))
}

fn whole(imported: Imported, options: &CompileOptions) -> Result<Compiled, CompileError> {
    match build(imported, options, &mut Stages::of(&options.emit, false))? {
        Built::Done(compiled) => Ok(*compiled),
        Built::Stopped => Err(CompileError::Bug(
            "the compile stopped by itself".to_string(),
        )),
    }
}

/// The text of a stage, for one entry or for all of them. Later stages are not run.
///
/// # Errors
/// As [`compile`]; and [`CompileError::Options`] if there is no such entry.
pub fn dump(
    model: &Path,
    options: &CompileOptions,
    stage: Stage,
    entry: Option<&str>,
) -> Result<Vec<StageText>, CompileError> {
    let mut texts = with_threads(options.threads, || {
        imported(model, options, Some(stage), |imported| {
            let mut stages = Stages::of(&[stage], true);
            Ok(match build(imported, options, &mut stages)? {
                Built::Done(compiled) => compiled.texts,
                Built::Stopped => stages.texts,
            })
        })
    })?;
    let names: Vec<String> = texts.iter().map(|t| t.entry.clone()).collect();
    if names.is_empty() {
        return Err(CompileError::Options(format!(
            "a model without state does not pass through the stage `{stage}`"
        )));
    }
    texts.retain(|t| entry.is_none_or(|e| e == t.entry));
    if texts.is_empty() {
        let problem = format!(
            "stage `{stage}` has no entry `{}`; it has {}",
            entry.unwrap_or(""),
            names.join(", ")
        );
        return Err(CompileError::Options(problem));
    }
    Ok(texts)
}

/// Imports a model and goes on with it: first without the layers that are like others, and if anything is in the way of that, with
/// all of them. So, too, for a look at a stage before layers are rolled.
fn imported<T>(
    model: &Path,
    options: &CompileOptions,
    first: Option<Stage>,
    mut go: impl FnMut(Imported) -> Result<T, CompileError>,
) -> Result<T, CompileError> {
    let whole = import_options(options)?;
    let shown = options.emit.iter().copied().chain(first).min();
    if options.roll && shown.is_none_or(|stage| stage >= Stage::Rolled) {
        let shorten = ImportOptions {
            shorten: true,
            ..whole.clone()
        };
        if let Ok(imported) = import(model, &shorten) {
            let complete = imported.omitted.is_none();
            let done = go(imported);
            if complete || done.is_ok() {
                return done;
            }
        }
    }
    go(import(model, &whole)?)
}

enum Built {
    Done(Box<Compiled>),
    Stopped,
}

/// Passes, tiles, addresses, semaphores, checks, instructions, binary, report.
fn build(
    imported: Imported,
    options: &CompileOptions,
    stages: &mut Stages,
) -> Result<Built, CompileError> {
    let chip = &options.chip;
    let Passed {
        module,
        report: passes,
        sizes,
    } = pass(&imported, options, stages)?;
    if stages.stopped {
        return Ok(Built::Stopped);
    }
    let mut steps = Steps::begin();
    let mut weights = WeightPlan::new(options.quant != Quant::Bf16);
    let tiled: Vec<Tiled> = match sizes {
        None => tile_functions(&module, chip, &mut weights)?,
        Some(_) => tile_entries(&module, chip, &mut weights)?,
    };
    if stages.programs(&tiled) {
        return Ok(Built::Stopped);
    }
    steps.end("lower");
    let (regions, image_bytes) = image_layout(&weights);
    let programs: Vec<_> = tiled.iter().map(|t| &t.placed).collect();
    let map = DramMap::build(
        image_bytes,
        &regions,
        &backend::states(&programs),
        &programs,
        chip.dram_bytes(),
    )?;
    steps.end("alloc");
    let finished: Vec<Finished> = finish(tiled, &map, chip, &mut steps)?;
    if stages.finished(&finished) {
        return Ok(Built::Stopped);
    }
    let linked = finished.iter().filter_map(|f| {
        let graph = module.entry(&f.program.name)?;
        Some(Linked {
            graph,
            program: &f.program,
            code: &f.code,
        })
    });
    let linked: Vec<Linked> = linked.collect();
    let builder = link(
        &linked,
        &module,
        &map,
        &imported,
        sizes.unwrap_or((0, 0)),
        options,
    )?;
    steps.end("link");
    let times = [&imported.times[..], &passes.times, &steps.taken()].concat();
    let report = Report {
        chip: chip.name().to_string(),
        passes: PassesReport::new(&passes, &times),
        dram: DramReport::of(&map),
        entries: finished.into_iter().map(|f| f.report).collect(),
        // Those of import are about the context of language models.
        warnings: sizes.map_or(Vec::new(), |_| imported.warnings),
    };
    let texts = std::mem::take(&mut stages.texts);
    Ok(Built::Done(Box::new(Compiled {
        builder,
        weights,
        report,
        texts,
    })))
}

/// What the passes make of a model.
struct Passed {
    module: Module,
    report: PassReport,
    /// Capacity of the states and of a prefill launch, in tokens; none of a model without state.
    sizes: Option<(u64, u64)>,
}

/// The entries of a language model, or the one of a model without state.
fn pass(
    imported: &Imported,
    options: &CompileOptions,
    stages: &mut Stages,
) -> Result<Passed, CompileError> {
    let mut observer = |name: &'static str, module: &Module| stages.graphs(name, module);
    if is_function(imported) {
        let left = |(name, _): &&(String, u64)| !imported.bound.contains(name);
        let dims: Vec<_> = options.dims.iter().filter(left).cloned().collect();
        let (module, report) = run_function(&imported.graph, &dims, &mut observer)?;
        return Ok(Passed {
            module,
            report,
            sizes: None,
        });
    }
    if let Some((name, _)) = options.dims.first() {
        return Err(CompileError::Options(format!(
            "--dim {name}: only dims of models without state are bound; a language model takes --max-context and --prefill"
        )));
    }
    let costs = ChipCosts::new(&options.chip);
    let pass_options = pass_options(imported, options, &costs)?;
    let (module, report) = run_observed(&imported.graph, &pass_options, &mut observer)?;
    Ok(Passed {
        module,
        report,
        sizes: Some(sizes(imported, options)),
    })
}

/// What the passes are told of a language model.
fn pass_options<'a>(
    imported: &'a Imported,
    options: &CompileOptions,
    costs: &'a ChipCosts<'_>,
) -> Result<llmc_passes::Options<'a>, CompileError> {
    let (max_context, prefill) = sizes(imported, options);
    Ok(llmc_passes::Options {
        prefill: to_usize(prefill)?,
        max_context: to_usize(max_context)?,
        cores: options.chip.cores() as usize,
        quant: options.quant,
        roll: options.roll,
        omitted: imported.omitted.as_ref(),
        costs,
    })
}

fn import_options(options: &CompileOptions) -> Result<ImportOptions, CompileError> {
    if options.batch != 1 {
        return Err(CompileError::Unsupported(format!(
            "a batch of {}; only 1 is",
            options.batch
        )));
    }
    Ok(ImportOptions {
        max_positions: options.max_context,
        shorten: false,
        dynamic_range: options.dynamic_range,
        dims: options.dims.clone(),
    })
}

/// Whether the model has no state: no input is as long as the tokens that came before.
fn is_function(imported: &Imported) -> bool {
    let graph = &imported.graph;
    let past = llmc_ir::Symbol::new(llmc_ir::Symbol::PAST);
    let mut dims = graph
        .inputs()
        .iter()
        .flat_map(|(_, id)| &graph.ty(*id).shape);
    imported.caches.is_empty()
        && graph.states().is_empty()
        && !dims.any(|d| d.symbols().contains(&past))
}

/// Capacity of the states and of a prefill launch, in tokens.
fn sizes(imported: &Imported, options: &CompileOptions) -> (u64, u64) {
    let max_context = options.max_context.unwrap_or(imported.max_positions);
    (
        max_context,
        options.prefill.unwrap_or(DEFAULT_PREFILL.min(max_context)),
    )
}

fn to_usize(n: u64) -> Result<usize, CompileError> {
    usize::try_from(n).map_err(|_| CompileError::Options(format!("{n} is too large")))
}

fn with_threads<T: Send>(
    threads: usize,
    f: impl FnOnce() -> Result<T, CompileError> + Send,
) -> Result<T, CompileError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| CompileError::Options(format!("{threads} threads cannot be started: {e}")))?
        .install(f)
}

/// Collects the texts of stages.
struct Stages {
    wanted: Vec<Stage>,
    /// Stop after the last wanted stage.
    stop: bool,
    stopped: bool,
    texts: Vec<StageText>,
}

impl Stages {
    fn of(wanted: &[Stage], stop: bool) -> Stages {
        Stages {
            wanted: wanted.to_vec(),
            stop,
            stopped: false,
            texts: Vec::new(),
        }
    }

    fn add(&mut self, stage: Stage, entry: &str, text: impl FnOnce() -> String) {
        if self.wanted.contains(&stage) {
            self.texts.push(StageText {
                stage,
                entry: entry.to_string(),
                text: text(),
            });
        }
    }

    /// Whether nothing after `stage` is wanted.
    fn ends(&mut self, stage: Stage) -> bool {
        self.stopped |= self.stop && self.wanted.iter().all(|s| *s <= stage);
        self.stopped
    }

    /// Takes the graphs of a stage; false to stop.
    fn graphs(&mut self, name: &str, module: &Module) -> bool {
        let Some(stage) = Stage::of(name) else {
            return true;
        };
        for graph in &module.entries {
            self.add(stage, &graph.name, || graph.to_string());
        }
        !self.ends(stage)
    }

    fn programs(&mut self, tiled: &[Tiled]) -> bool {
        for t in tiled {
            self.add(Stage::Lowered, &t.placed.name, || t.lowered.to_string());
            self.add(Stage::Scheduled, &t.placed.name, || t.scheduled.to_string());
        }
        self.ends(Stage::Scheduled)
    }

    fn finished(&mut self, finished: &[Finished]) -> bool {
        for f in finished {
            self.add(Stage::Placed, &f.program.name, || f.placed.to_string());
            self.add(Stage::Synchronised, &f.program.name, || {
                f.program.to_string()
            });
            self.add(Stage::Asm, &f.program.name, || f.asm());
        }
        self.ends(Stage::Asm)
    }
}
