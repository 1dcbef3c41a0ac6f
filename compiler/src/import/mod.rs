//! ONNX file to [`Graph`]: symbolic `batch`, `seq` and `past`, caches as inputs and outputs.
//!
//! ```text
//! file --load--> ModelProto --resolve--> Model --roles--> Roles --lower, node by node--> Graph
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`proto`], [`source`] | the protobuf messages; memory-mapped files and constants |
//! | [`model`], [`flatten`] | names resolved, functions written out, live nodes only |
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
pub mod ops;
pub mod proto;
pub mod recognise;
pub mod roles;
mod selected;
pub mod source;
pub mod structural;
pub mod symbolic;
pub mod value;
pub mod widen;

use std::path::Path;

use llmc_ir::{Graph, Op, Stage, VerifyError, verify};

pub use error::{Category, ImportError, Problem};
pub use info::ModelInfo;
use lower::Lower;
use model::Model;
use proto::ModelProto;
pub use roles::is_cache_name;
use roles::{Role, Roles};

/// Longest context of a model that does not say.
pub const DEFAULT_MAX_POSITIONS: u64 = 2048;

/// What the caller can choose.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Longest context in tokens, for which position tables are made; by default what `config.json` says, else 2048.
    pub max_positions: Option<u64>,
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
    /// Caches in file order.
    pub caches: Vec<Cache>,
    /// Name of the input with token ids; `None` for a program that has none.
    pub tokens: Option<String>,
    /// Context length that position tables cover, in tokens.
    pub max_positions: u64,
    /// What the user should know although the import went well.
    pub warnings: Vec<String>,
}

/// Imports an ONNX file and what lies beside it.
///
/// # Errors
/// The file or its external data cannot be read, or is not valid; or everything about its operators and inputs that is
/// not supported, in one [`ImportError::Problems`].
pub fn import(path: &Path, options: &ImportOptions) -> Result<Imported, ImportError> {
    let proto = source::load_model(path)?;
    let info = ModelInfo::beside(path)?;
    import_model(proto, path, info, options)
}

/// Imports a decoded file; external data is looked up beside `path`.
///
/// # Errors
/// As [`import`].
pub fn import_model(
    proto: ModelProto,
    path: &Path,
    mut info: ModelInfo,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    let producer = format!("{} {}", proto.producer_name, proto.producer_version)
        .trim()
        .to_string();
    info.producer = Some(producer).filter(|p| !p.is_empty());
    let model = Model::resolve(proto, path)?;
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
    let mut lower = Lower::new(&model, &roles, space);
    problems.extend(lower.run());
    if problems.is_empty() {
        problems.extend(lower.outputs());
    }
    if !problems.is_empty() {
        return Err(ImportError::Problems(problems));
    }
    warnings.extend(std::mem::take(&mut lower.notes));
    let mut graph = lower.graph;
    if !model.name.is_empty() {
        graph.name.clone_from(&model.name);
    }
    graph.remove_dead();
    graph.remove_unused_tables();
    let caches = caches(&graph, &roles, &mut warnings);
    let tokens = roles
        .inputs
        .iter()
        .find(|(_, i)| i.role == Role::Tokens)
        .map(|(name, _)| name.clone());
    // The types of a function's inputs and results are its own; a language model's caches and logits are ours.
    if tokens.is_some() && !caches.is_empty() {
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
    Ok(Imported {
        graph,
        info,
        caches,
        tokens,
        max_positions,
        warnings,
    })
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
