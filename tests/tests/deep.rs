//! Depth: repeated layers are one loop, so that what is made of a model does not grow with its layers, and computes the same
//! as with each layer by itself.

use llmc_compiler::{CompileOptions, Compiled, compile};
use llmc_isa::Chip;
use llmc_tensor::{Tensor, compare, npy, npz};
use llmc_tests::{llmc, shakespeare, shared_models};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Largest error of a logit, as a part of the range of the expected logits.
const TOLERANCE: f64 = 1e-3;

fn compiled(model: &Path, chip: &str, roll: bool) -> (Compiled, Duration) {
    let options = CompileOptions {
        roll,
        max_context: Some(128),
        ..CompileOptions::new(Chip::load(chip).unwrap())
    };
    let start = Instant::now();
    let done = compile(model, &options);
    let done = done.unwrap_or_else(|e| panic!("{}: {e}", model.display()));
    (done, start.elapsed())
}

/// Logits of the tokens through prefill and through decode, and the cycles of both.
fn eval(compiled: &Compiled, folder: &Path, tokens: &Path) -> Vec<(Tensor, u64)> {
    let [binary, logits] = ["model.llmc", "logits.npy"].map(|name| folder.join(name));
    compiled.write(&binary).unwrap();
    let [binary, logits, tokens] = [&binary, &logits, tokens].map(|p| p.to_str().unwrap());
    let run = |via: &str| {
        let ran = llmc([
            "eval", binary, "--tokens", tokens, "--logits", logits, "--via", via, "--json",
        ]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let cycles = ran.json()["cycles"].as_u64().expect("cycles");
        (npy::read_npy(logits).unwrap(), cycles)
    };
    vec![run("prefill"), run("decode")]
}

/// Instructions of the largest entry.
fn instructions(compiled: &Compiled) -> usize {
    let entries = compiled.report.entries.iter();
    entries.map(|e| e.instructions).max().unwrap()
}

#[test]
fn rolled_layers_compute_the_same_bits() {
    let model = shakespeare().join("model.onnx");
    let folder = TempDir::new().unwrap();
    let tokens = folder.path().join("ids.npy");
    let ids: Vec<i64> = (0..40).map(|i| (i * 37 + 5) % 1000).collect();
    npy::write_npy(&tokens, &Tensor::from_vec(vec![1, 40], ids).unwrap()).unwrap();
    for chip in ["edge", "ideal"] {
        let (rolled, _) = compiled(&model, chip, true);
        let (flat, _) = compiled(&model, chip, false);
        assert!(
            instructions(&rolled) * 2 < instructions(&flat),
            "{} of {} instructions on {chip}",
            instructions(&rolled),
            instructions(&flat)
        );
        let with = eval(&rolled, folder.path(), &tokens);
        let without = eval(&flat, folder.path(), &tokens);
        for ((found, cycles), (want, before)) in with.iter().zip(&without) {
            assert!(found.bytes() == want.bytes(), "other logits on {chip}");
            // Turns end with a gather that the last layer by itself does not need, and engines meet between turns.
            let slower = *cycles as f64 / *before as f64;
            assert!(
                slower < 1.04,
                "{cycles} cycles instead of {before} on {chip}"
            );
        }
    }
}

#[test]
fn what_is_made_of_eighty_layers_is_as_small_as_of_two() {
    let Some(models) = shared_models() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let tokens = folder.path().join("ids.npy");
    for dialect in ["dynamo18", "optimum"] {
        let source = |layers: u32| models.join(format!("deep/llama-{layers}/{dialect}"));
        let ((two, short), (eighty, long)) = (
            compiled(&source(2).join("model.onnx"), "edge", true),
            compiled(&source(80).join("model.onnx"), "edge", true),
        );
        eprintln!(
            "{dialect}: 2 layers in {short:?}, 80 layers in {long:?}, {} and {} instructions",
            instructions(&two),
            instructions(&eighty)
        );
        assert!(
            instructions(&eighty) * 10 <= instructions(&two) * 12,
            "{dialect}"
        );
        let nodes = |c: &Compiled| -> Vec<usize> {
            c.report.passes.entries.iter().map(|e| e.nodes).collect()
        };
        assert_eq!(
            nodes(&two),
            nodes(&eighty),
            "{dialect}: nodes of the e-graphs"
        );

        let expected = npz::read_npz(source(80).join("expected.npz")).unwrap();
        let find = |name: &str| &expected.iter().find(|(n, _)| n == name).unwrap().1;
        npy::write_npy(&tokens, find("tokens")).unwrap();
        for (logits, _) in eval(&eighty, folder.path(), &tokens) {
            let found = compare(&logits, find("logits"), TOLERANCE).unwrap();
            assert!(found.is_match(), "{dialect}: {found:?}");
        }
    }
}
