//! What is fused in the models of the shared folder, if there is one: every op of every file is counted and expected, and fused graphs
//! compute what was imported. `docs/FUSED.md` is what was found; `LLMC_BLESS=1 cargo test -p llmc-tests --test fused` writes it anew.

use llmc_compiler::passes::{Graph, Module, differ, graphs};
use llmc_compiler::{CompileOptions, Stage};
use llmc_ir::{Op, ValueId, regions};
use llmc_isa::Chip;
use llmc_tests::{root, shared_models};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Ops by name.
type Counts = BTreeMap<String, usize>;

/// What all dialects of a model must become.
struct Model {
    /// Folder, with a folder for each dialect.
    folder: &'static str,
    layers: usize,
    /// Ops of a layer.
    layer: &'static [(&'static str, usize)],
    /// Ops before and after the layers.
    once: &'static [(&'static str, usize)],
}

/// Norms before attention and before the gated layer; q, k, v, o, gate, up, down; two residual sums.
const LLAMA: &[(&str, usize)] = &[
    ("attention", 1),
    ("rms_norm", 2),
    ("rope", 2),
    ("silu_mul", 1),
    ("matmul", 7),
    ("add", 2),
    ("append", 2),
];

/// Embedding, rows of the rotation's tables, last norm, logits.
const DECODER: &[(&str, usize)] = &[
    ("gather", 1),
    ("position_rows", 2),
    ("rms_norm", 1),
    ("matmul", 1),
];

/// The same with biases of q, k and v.
const QWEN2: &[(&str, usize)] = &[
    ("attention", 1),
    ("rms_norm", 2),
    ("rope", 2),
    ("silu_mul", 1),
    ("matmul", 7),
    ("add", 2 + 3),
    ("append", 2),
];

/// Norms before and after both parts; GELU times up.
const GEMMA2: &[(&str, usize)] = &[
    ("attention", 1),
    ("rms_norm", 4),
    ("rope", 2),
    ("gelu_tanh", 1),
    ("mul", 1),
    ("matmul", 7),
    ("add", 2),
    ("append", 2),
];

/// With a scaled embedding and capped logits.
const GEMMA2_ONCE: &[(&str, usize)] = &[
    ("gather", 1),
    ("position_rows", 2),
    ("rms_norm", 1),
    ("matmul", 1),
    ("mul", 2),
    ("div", 1),
    ("tanh", 1),
];

/// One norm, attention and feed-forward side by side, a bias for each of q, k, v, dense, fc1, fc2.
const PHI: &[(&str, usize)] = &[
    ("attention", 1),
    ("layer_norm", 1),
    ("rope", 2),
    ("gelu_tanh", 1),
    ("matmul", 6),
    ("add", 2 + 6),
    ("append", 2),
];

/// With a bias of the logits.
const PHI_ONCE: &[(&str, usize)] = &[
    ("gather", 1),
    ("position_rows", 2),
    ("layer_norm", 1),
    ("matmul", 1),
    ("add", 1),
];

/// A model of this folder.
const fn model(
    folder: &'static str,
    layers: usize,
    layer: &'static [(&'static str, usize)],
    once: &'static [(&'static str, usize)],
) -> Model {
    Model {
        folder,
        layers,
        layer,
        once,
    }
}

/// All of the shared folder.
const MODELS: &[Model] = &[
    model("llama-tiny", 2, LLAMA, DECODER),
    model("shakespeare", 4, LLAMA, DECODER),
    model("stories260K", 5, LLAMA, DECODER),
    model("families/qwen2", 3, QWEN2, DECODER),
    model("families/gemma2", 3, GEMMA2, GEMMA2_ONCE),
    model("families/phi", 3, PHI, PHI_ONCE),
    model("deep/llama-2", 2, LLAMA, DECODER),
    model("deep/llama-80", 80, LLAMA, DECODER),
];

impl Model {
    fn expected(&self) -> Counts {
        let mut counts = Counts::new();
        for (op, times) in self.layer {
            *counts.entry(op.to_string()).or_default() += times * self.layers;
        }
        for (op, times) in self.once {
            *counts.entry(op.to_string()).or_default() += times;
        }
        counts
    }
}

/// Names of the model files of a folder, as `folder/name`.
fn files(models: &Path, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(models.join(folder)).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| models.join(folder).join(name).join("model.onnx").exists())
        .map(|name| format!("{folder}/{name}"))
        .collect();
    names.sort();
    names
}

/// The entries of a file at a stage.
fn module(models: &Path, file: &str, stage: Stage) -> Module {
    let mut options = CompileOptions::new(Chip::load("ideal").unwrap());
    options.max_context = Some(128);
    let path = models.join(file).join("model.onnx");
    graphs(&path, &options, stage).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// How often each op runs, those of a repeat once per turn. Products are products whatever their weights are; what only
/// says how a quantised model rounds is left out.
fn counts(graph: &Graph) -> Counts {
    let regions = regions(graph).unwrap();
    let turns = |id: ValueId| {
        let mut inside = regions.iter().filter(|r| r.members.contains(&id));
        inside.next().map_or(1, |region| region.count)
    };
    let mut counts = Counts::new();
    for (id, node) in graph.iter() {
        let name = match &node.op {
            Op::Input | Op::Const(_) | Op::Carry | Op::Repeat { .. } => continue,
            Op::RoundTrip(_) | Op::DynamicRoundTrip(_) => continue,
            Op::MatMulDequantized { .. } => "matmul",
            // Only the last row of a prompt has logits.
            Op::LastRow { .. } if graph.name == "prefill" => continue,
            op => op.name(),
        };
        *counts.entry(name.to_string()).or_default() += turns(id);
    }
    counts
}

#[test]
fn counts_are_layers_times_the_ops_of_a_layer() {
    let Some(models) = shared_models() else {
        return;
    };
    let mut rows = String::new();
    for model in MODELS {
        let files = files(&models, model.folder);
        assert!(!files.is_empty(), "no files in {}", model.folder);
        let want = model.expected();
        for file in files {
            let mut want = want.clone();
            // Queries and keys are scaled, then rounded to codes: the factor cannot go into attention.
            if file.ends_with("/qdq8") {
                want.insert("mul".to_string(), 2 * model.layers);
            }
            for graph in &module(&models, &file, Stage::Fused).entries {
                assert_eq!(counts(graph), want, "{file}, {}\n{graph}", graph.name);
            }
            write!(rows, "| `{file}` | {} |", model.layers).unwrap();
            let columns: [&[&str]; 6] = [
                &["attention"],
                &["rms_norm", "layer_norm"],
                &["rope"],
                &["silu_mul", "gelu_tanh"],
                &["matmul"],
                &["add", "mul", "div", "tanh"],
            ];
            for column in columns {
                let all = column.iter().filter_map(|op| want.get(*op));
                write!(rows, " {} |", all.sum::<usize>()).unwrap();
            }
            rows.push('\n');
        }
    }
    let have = format!(
        "# What is fused\n\n\
         Ops of an entry of each model file after fusion, those of repeated layers once per layer. Beside them there are only the gather of the\n\
         embedding, the rows of the rotation's tables and the appends to the caches. Written by `tests/tests/fused.rs`, which expects exactly these\n\
         counts for every entry; `llmc explain` proves them one by one.\n\n\
         | file | layers | attention | norms | ropes | activations | products | sums and other arithmetic |\n\
         |---|---|---|---|---|---|---|---|\n{rows}"
    );
    let path = root().join("docs/FUSED.md");
    if std::env::var_os("LLMC_BLESS").is_some() {
        std::fs::write(&path, &have).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == have,
        "docs/FUSED.md (LLMC_BLESS=1 accepts):\n{have}"
    );
}

#[test]
fn fused_graphs_compute_what_was_imported() {
    let Some(models) = shared_models() else {
        return;
    };
    for file in MODELS.iter().flat_map(|model| files(&models, model.folder)) {
        let before = module(&models, &file, Stage::Specialised);
        let after = module(&models, &file, Stage::Fused);
        for before in &before.entries {
            let after = after.entry(&before.name).unwrap();
            let found = differ(before, after, 1e-4)
                .unwrap_or_else(|error| panic!("{file}, {}: {error}", before.name));
            assert_eq!(found, None, "{file}, {}", before.name);
        }
    }
}
