//! Import of the real models in the folder `LLMC_SHARED` (default: `../shared` beside the repository), compared with what
//! ONNX Runtime computes. Skipped, with a note, where the folder is missing.

mod import_build;

use import_build::run::pieces;
use llmc_compiler::import::{ImportOptions, import};
use llmc_ir::{Op, UnaryOp, parse_graph};
use llmc_tensor::compare::compare;
use llmc_tensor::npz::read_npz;
use std::path::PathBuf;

/// Largest error, as a part of the range of the expected logits.
const TOLERANCE: f64 = 1e-3;

fn models() -> Option<PathBuf> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("LLMC_SHARED")
        .map_or(default, PathBuf::from)
        .join("models");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

fn check(name: &str) {
    let Some(folder) = models() else { return };
    let folder = folder.join(name);
    let start = std::time::Instant::now();
    let model = import(&folder.join("model.onnx"), &ImportOptions::default())
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let took = start.elapsed();
    let graph = &model.graph;
    // Nothing of shapes and positions is left: no trigonometry, and no integers but the tokens.
    for (id, node) in graph.iter() {
        let trigonometry = matches!(node.op, Op::Unary(UnaryOp::Cos | UnaryOp::Sin));
        let integers = node.ty.dtype.is_int() && node.op != Op::Input;
        assert!(
            !trigonometry && !integers,
            "{name}: {}",
            graph.node_text(id)
        );
    }
    let parsed = parse_graph(&graph.to_string()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    assert!(parsed == *graph, "{name}: the text form differs");
    assert_eq!(graph.inputs().len(), 1 + model.caches.len(), "{name}");
    let count = |f: &dyn Fn(&Op) -> bool| graph.iter().filter(|(_, n)| f(&n.op)).count();
    let (masks, tables) = (
        count(&|op| matches!(op, Op::Mask { .. })),
        count(&|op| matches!(op, Op::PositionRows { .. })),
    );

    let arrays = read_npz(folder.join("expected.npz")).unwrap();
    let array = |name: &str| {
        arrays
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, t)| t.clone())
            .unwrap()
    };
    let tokens = array("tokens").to_i64_vec().unwrap();
    let expected = array("logits");
    let n = tokens.len();
    let whole = compare(&pieces(&model, &tokens, &[n]), &expected, TOLERANCE).unwrap();
    let split = compare(
        &pieces(&model, &tokens, &[n / 3, n - n / 3 - 1, 1]),
        &expected,
        TOLERANCE,
    )
    .unwrap();
    println!(
        "{name}: {} nodes, {masks} masks, {tables} tables, {} caches, imported in {took:.1?}; error {:.1e} whole, {:.1e} in pieces",
        graph.len(),
        model.caches.len(),
        whole.relative_error(),
        split.relative_error()
    );
    assert!(whole.is_match(), "{name}, whole: {whole}");
    assert!(split.is_match(), "{name}, in pieces: {split}");
}

macro_rules! models {
    ($($test:ident $path:literal)*) => {$(
        #[test]
        fn $test() {
            check($path);
        }
    )*};
}

models! {
    shakespeare_dynamo18 "shakespeare/dynamo18"
    shakespeare_optimum "shakespeare/optimum"
    stories_dynamo18 "stories260K/dynamo18"
    stories_optimum "stories260K/optimum"
    tiny_dynamo_eager_18 "llama-tiny/torch_dyn_eager_18"
    tiny_dynamo_sdpa_18 "llama-tiny/torch_dyn_sdpa_18"
    tiny_dynamo_sdpa_20 "llama-tiny/torch_dyn_sdpa_None"
    tiny_torchscript_eager "llama-tiny/torch_ts_eager"
    tiny_torchscript_sdpa "llama-tiny/torch_ts_sdpa"
    shakespeare_dynamo23 "shakespeare/dynamo23"
    stories_dynamo23 "stories260K/dynamo23"
    tiny_dynamo_eager_23 "llama-tiny/torch_dyn_eager_23"
    tiny_dynamo_sdpa_23 "llama-tiny/torch_dyn_sdpa_23"
    tiny_dynamo_sdpa_24 "llama-tiny/torch_dyn_sdpa_24"
    gemma2_dynamo23 "families/gemma2/dynamo23"
    gemma2_optimum "families/gemma2/optimum"
    phi_dynamo18 "families/phi/dynamo18"
    phi_optimum "families/phi/optimum"
    qwen2_dynamo18 "families/qwen2/dynamo18"
    qwen2_dynamo23 "families/qwen2/dynamo23"
    qwen2_optimum "families/qwen2/optimum"
    deep_dynamo18 "deep/llama-80/dynamo18"
    deep_optimum "deep/llama-80/optimum"
}
