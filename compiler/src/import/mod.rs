//! ONNX file to [`Graph`]: symbolic `batch`, `seq` and `past`, caches as inputs and outputs.
//!
//! ```text
//! file --load--> ModelProto --resolve--> Model --roles--> Roles --lower, node by node--> Graph
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`proto`], [`source`] | the protobuf messages; memory-mapped files and constants |
//! | [`model`], [`flatten`], `order` | names resolved, functions written out, live nodes only, operands first |
//! | [`shorten`], [`outline`], `omitted` | layers like those before them left out; nodes that are not decoded; what is in them |
//! | [`roles`] | tokens, mask, positions, caches; canonical symbols |
//! | [`lower`], [`ops`] | one function per operator; folding, polynomials, graph nodes |
//! | `control` | `If`, `Loop` and `Scan` written out |
//! | [`symbolic`] | small integer tensors of polynomials (shape subgraphs) |
//! | [`structural`], [`recognise`] | what depends only on shapes, positions and masks: computed, not pattern-matched |
//! | `selected`, `coordinates` | elements that a mask selects, as many as there are at run time: computed for all |
//! | [`widen`] | half-precision models: arithmetic in f32 |
//! | [`info`] | `config.json`, `genai_config.json`, `tokenizer.json` |
//! | [`error`] | wrong input, not supported, bug in llmc |
//!
//! Initializers are never copied: constants of the graph are slices of the memory maps.

pub mod attributes;
pub mod call;
mod control;
mod coordinates;
pub mod error;
pub mod flatten;
pub mod info;
pub mod lower;
pub mod model;
mod omitted;
pub mod ops;
mod order;
pub mod outline;
pub mod proto;
pub mod recognise;
pub mod roles;
mod selected;
pub mod shorten;
pub mod source;
pub mod structural;
pub mod symbolic;
pub mod value;
pub mod widen;

use std::path::Path;

use llmc_ir::{Graph, Op, RangeOf, Stage, VerifyError, verify};
use llmc_passes::{Elapsed, Omitted, Steps};

pub use error::{Category, ImportError, Problem};
pub use info::ModelInfo;
use lower::Lower;
use model::Model;
use proto::ModelProto;
pub use roles::is_cache_name;
use roles::{Role, Roles};
use shorten::{Shortened, shortened};

/// Longest context of a model that does not say.
pub const DEFAULT_MAX_POSITIONS: u64 = 2048;

/// What the caller can choose.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Longest context in tokens, for which position tables are made; by default what `config.json` says, else 2048.
    pub max_positions: Option<u64>,
    /// Whether layers may be left out that are like those before them; [`Imported::omitted`] has what differs in them.
    pub shorten: bool,
    /// What dynamic quantisation of activations takes its range of.
    pub dynamic_range: RangeOf,
    /// Values of symbolic dims of the inputs. With all of them, what depends on shapes alone is constant; only models without
    /// caches may have any.
    pub dims: Vec<(String, u64)>,
}

/// A cache that comes in and goes out again, one tensor longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Name of the graph input with the past.
    pub past: String,
    /// Name of the graph output that continues it.
    pub present: String,
}

/// An imported model.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Inputs are the tokens and the pasts, outputs as in the file. Shapes use `batch`, `seq` and `past`.
    pub graph: Graph,
    /// What the neighbours of the file say.
    pub info: ModelInfo,
    /// Layers that are not in the graph.
    pub omitted: Option<Omitted>,
    /// Caches in file order.
    pub caches: Vec<Cache>,
    /// Symbolic dims that got the values of [`ImportOptions::dims`].
    pub bound: Vec<String>,
    /// Name of the input with token ids; `None` for a program that has none.
    pub tokens: Option<String>,
    /// Context length that position tables cover, in tokens.
    pub max_positions: u64,
    /// What the user should know although the import went well.
    pub warnings: Vec<String>,
    /// How long reading the file, resolving its names and importing it took.
    pub times: Vec<(&'static str, Elapsed)>,
}

/// Imports an ONNX file and what lies beside it.
///
/// # Errors
/// The file or its external data cannot be read, or is not valid; or everything about its operators and inputs that is
/// not supported, in one [`ImportError::Problems`].
pub fn import(path: &Path, options: &ImportOptions) -> Result<Imported, ImportError> {
    let mut steps = Steps::begin();
    let file = source::map_file(path)?;
    let info = ModelInfo::beside(path)?;
    steps.end("read file");
    let outline = options.shorten.then(|| outline::outline(&file)).flatten();
    steps.end("outline file");
    let short = outline.and_then(|(proto, graph)| shortened(proto, graph));
    steps.end("find layers");
    let (proto, shortened) = match short {
        Some((proto, shortened)) => (proto, Some(shortened)),
        None => (source::decode(file, path)?, None),
    };
    steps.end("decode file");
    import_timed(proto, shortened, path, info, options, steps)
}

/// Imports all of a decoded file; external data is looked up beside `path`.
///
/// # Errors
/// As [`import`].
pub fn import_model(
    proto: ModelProto,
    path: &Path,
    info: ModelInfo,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    import_timed(proto, None, path, info, options, Steps::begin())
}

fn import_timed(
    proto: ModelProto,
    shortened: Option<Shortened>,
    path: &Path,
    mut info: ModelInfo,
    options: &ImportOptions,
    mut steps: Steps,
) -> Result<Imported, ImportError> {
    let producer = format!("{} {}", proto.producer_name, proto.producer_version)
        .trim()
        .to_string();
    info.producer = Some(producer).filter(|p| !p.is_empty());
    let mut model = Model::resolve(proto, path)?;
    let bound = model.bind(&options.dims);
    steps.end("resolve names");
    let mut warnings = Vec::new();
    if let Some(node) = model
        .nodes
        .iter()
        .find(|n| n.domain.is_empty() && n.version > ops::NEWEST_OPSET)
    {
        let (version, newest) = (node.version, ops::NEWEST_OPSET);
        warnings.push(format!(
            "the model uses operator set {version}; this llmc knows up to {newest}"
        ));
    }
    let max_positions = options
        .max_positions
        .or(info.max_positions)
        .or(Roles::shortest_table(&model))
        .unwrap_or(DEFAULT_MAX_POSITIONS)
        .max(1);
    if options.max_positions.or(info.max_positions).is_none() {
        warnings.push(format!(
            "nothing says how long the context may be: {max_positions} tokens are assumed"
        ));
    }
    let mut problems = model.problems.clone();
    problems.extend(ops::check(&model));
    let roles = match Roles::of(&model) {
        Ok(roles) => roles,
        Err(found) => {
            problems.extend(found);
            return Err(ImportError::Problems(problems));
        }
    };
    let space = roles.space(usize::try_from(max_positions).unwrap_or(usize::MAX));
    let hidden = shortened.as_ref().map(|s| &s.hidden);
    let mut lower = Lower::new(&model, &roles, space, hidden);
    lower.dynamic_range = options.dynamic_range;
    let mut found = lower.run();
    if problems.is_empty() && found.is_empty() {
        found.extend(lower.outputs());
    }
    // What a shape decides cannot be told without it: this may be why.
    let hint = found.first().map(|first| first.category);
    problems.extend(found);
    let unbound = roles.unbound();
    if let Some(category) = hint.filter(|_| !unbound.is_empty()) {
        problems.push(shapeless(category, &unbound));
    }
    if !problems.is_empty() {
        return Err(ImportError::Problems(problems));
    }
    if let Some(problem) = shortened.as_ref().and_then(|s| lower.unlike(&s.carried)) {
        return Err(ImportError::Problems(vec![problem]));
    }
    let shown = shortened.as_ref().map(|s| lower.shown(s));
    warnings.extend(std::mem::take(&mut lower.notes));
    let mut graph = lower.graph;
    if !model.name.is_empty() {
        graph.name.clone_from(&model.name);
    }
    graph.remove_dead();
    graph.remove_unused_tables();
    let tokens = roles
        .inputs
        .iter()
        .find(|(_, i)| i.role == Role::Tokens)
        .map(|(name, _)| name.clone());
    // The types of a function's inputs and results are its own; a language model's caches and logits are ours.
    if roles.inputs.iter().any(|(_, i)| i.role == Role::Past) {
        match widen::widened(&graph) {
            Ok(wide) => graph = wide.unwrap_or(graph),
            Err(e) => {
                return Err(ImportError::Problems(vec![Problem {
                    category: Category::Bug,
                    operator: e.op.clone(),
                    node: String::new(),
                    reason: e.to_string(),
                    remedy: String::from("please report this model"),
                }]));
            }
        }
    }
    let mut caches = caches(&graph, &roles, &mut warnings);
    if let Err(errors) = verify(&graph, Stage::Imported) {
        return Err(ImportError::Problems(
            errors.into_iter().map(broken).collect(),
        ));
    }
    if let Some(n) = graph
        .output("logits")
        .and_then(|id| graph.ty(id).shape.last()?.as_const())
    {
        info.vocab = u64::try_from(n).ok();
    }
    let mut omitted = None;
    if let Some((shortened, shown)) = shortened.zip(shown) {
        omitted = Some(shortened.omitted(&graph, &shown, path)?);
        caches.extend(shortened.caches(&caches));
    }
    steps.end("import");
    Ok(Imported {
        graph,
        info,
        omitted,
        caches,
        bound,
        tokens,
        max_positions,
        warnings,
        times: steps.taken(),
    })
}

/// A model without caches may not be understood before its dims have values.
fn shapeless(category: Category, unbound: &[String]) -> Problem {
    let examples: Vec<String> = unbound.iter().map(|n| format!("--dim {n}=1")).collect();
    Problem {
        category,
        operator: String::new(),
        node: String::new(),
        reason: format!(
            "the model has no cache, so it is compiled for fixed shapes, but its inputs have the symbolic dims {}",
            unbound.join(", ")
        ),
        remedy: format!("give each a value, e.g. {}", examples.join(" ")),
    }
}

/// The graph we made breaks its own rules.
fn broken(error: VerifyError) -> Problem {
    Problem {
        category: Category::Bug,
        operator: String::new(),
        node: error.at.clone(),
        reason: error.to_string(),
        remedy: String::from("please report this model"),
    }
}

/// Pairs each past with the output that is its concatenation with something new.
fn caches(graph: &Graph, roles: &Roles, warnings: &mut Vec<String>) -> Vec<Cache> {
    let mut caches = Vec::new();
    for (past, _) in roles
        .inputs
        .iter()
        .filter(|(_, input)| input.role == Role::Past)
    {
        let continues = |id: llmc_ir::ValueId| {
            matches!(graph.op(id), Op::Concat { .. })
                && graph.operands(id).first().copied() == graph.input(past)
        };
        match graph.outputs.iter().find(|(_, id)| continues(*id)) {
            Some((present, _)) => caches.push(Cache {
                past: past.clone(),
                present: present.clone(),
            }),
            None => warnings.push(format!("no graph output continues the cache `{past}`")),
        }
    }
    caches
}
