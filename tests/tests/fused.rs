//! What is fused in the models of the shared folder, if there is one: the counts of fused ops, that dialects of one model become one
//! graph, and that fused graphs compute what was imported.

use llmc_compiler::passes::{Graph, differ, graphs};
use llmc_compiler::{CompileOptions, Stage};
use llmc_ir::{BinaryOp, Op, ValueId};
use llmc_isa::Chip;
use llmc_tests::shared_models;
use std::collections::BTreeMap;
use std::path::Path;

/// Models: folder, layers.
const MODELS: [(&str, usize); 3] = [("llama-tiny", 2), ("shakespeare", 4), ("stories260K", 5)];

/// Files that must get this far: exports of floats by torch, with and without its newer ops.
const MUST: [&str; 9] = [
    "llama-tiny/torch_dyn_eager_18",
    "llama-tiny/torch_dyn_eager_23",
    "llama-tiny/torch_dyn_sdpa_18",
    "llama-tiny/torch_dyn_sdpa_23",
    "llama-tiny/torch_dyn_sdpa_24",
    "llama-tiny/torch_ts_eager",
    "llama-tiny/torch_ts_sdpa",
    "shakespeare/dynamo18",
    "shakespeare/optimum",
];

fn options(roll: bool) -> CompileOptions {
    let mut options = CompileOptions::new(Chip::load("ideal").unwrap());
    options.max_context = Some(128);
    options.roll = roll;
    options
}

/// Names of the model files in a folder, as `folder/name`.
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

/// The decode entry at a stage; `None` if the file is not supported yet, which is printed.
fn decode(models: &Path, file: &str, stage: Stage, roll: bool) -> Option<Graph> {
    let path = models.join(file).join("model.onnx");
    match graphs(&path, &options(roll), stage) {
        Ok(module) => module.entry("decode").cloned(),
        Err(error) => {
            assert!(!MUST.contains(&file), "{file}: {error}");
            println!("{file}: {error}");
            None
        }
    }
}

#[test]
fn counts_are_layers_times_the_ops_of_a_layer() {
    let Some(models) = shared_models() else {
        return;
    };
    for (folder, layers) in MODELS {
        for file in files(&models, folder) {
            let Some(graph) = decode(&models, &file, Stage::Fused, false) else {
                continue;
            };
            let count = |name: &str| graph.iter().filter(|(_, n)| n.op.name() == name).count();
            let ops = ["attention", "rms_norm", "rope", "silu_mul"];
            let want = [layers, 2 * layers + 1, 2 * layers, layers];
            assert_eq!(ops.map(count), want, "{file}: {ops:?}\n{graph}");
            println!("{file}: {ops:?} {want:?}");
        }
    }
}

/// A number for what a value is computed from: equal where two graphs do the same to constants of the same shapes.
fn meaning(graph: &Graph, id: ValueId, done: &mut BTreeMap<ValueId, u64>) -> u64 {
    if let Some(known) = done.get(&id) {
        return *known;
    }
    let node = graph.node(id);
    let op = match &node.op {
        Op::Const(_) => format!("const {}", node.ty),
        Op::Input => format!("input {}", node.ty),
        // The root of a scale is rounded by some exporters.
        Op::Attention {
            heads,
            kv_heads,
            head_dim,
            scale,
            mask,
            softcap,
            ..
        } => {
            format!(
                "{heads} {kv_heads} {head_dim} {:.5} {mask:?} {softcap:?}",
                scale.get()
            )
        }
        op => op.to_string(),
    };
    let operands = node
        .operands
        .iter()
        .map(|operand| meaning(graph, *operand, done));
    let mut operands: Vec<u64> = operands.collect();
    if matches!(node.op, Op::Binary(BinaryOp::Add | BinaryOp::Mul)) {
        operands.sort_unstable();
    }
    let text = format!("{op}{operands:?}");
    let known = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    done.insert(id, known);
    known
}

#[test]
fn float_dialects_of_a_model_become_one_graph() {
    let Some(models) = shared_models() else {
        return;
    };
    let mut first: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    for file in MUST {
        let Some(graph) = decode(&models, file, Stage::Fused, false) else {
            continue;
        };
        let logits = graph.output("logits").unwrap();
        let found = meaning(&graph, logits, &mut BTreeMap::new());
        let folder = file.split('/').next().unwrap();
        let (other, want) = first.entry(folder).or_insert((file, found));
        assert_eq!(*want, found, "{file} differs from {other}:\n{graph}");
    }
}

#[test]
fn fused_graphs_compute_what_was_imported() {
    let Some(models) = shared_models() else {
        return;
    };
    for file in files(&models, "llama-tiny") {
        let before = decode(&models, &file, Stage::Specialised, true);
        let after = decode(&models, &file, Stage::Fused, true);
        let (Some(before), Some(after)) = (before, after) else {
            continue;
        };
        let found = differ(&before, &after, 1e-4).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(found, None, "{file}");
    }
}
