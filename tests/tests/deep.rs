//! Depth: repeated layers are one loop, so that what is made of a model does not grow with its layers, and computes the same
//! as with each layer by itself.

use llmc_compiler::{CompileOptions, Compiled, Stage, compile};
use llmc_isa::Chip;
use llmc_tensor::{Tensor, compare, npy, npz};
use llmc_tests::{llmc, shakespeare, shared_models};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Largest error of a logit, as a part of the range of the expected logits.
const TOLERANCE: f64 = 1e-3;

/// The dialects of the deep models.
const DIALECTS: [&str; 3] = ["dynamo18", "optimum", "genai-fp32"];

/// Compiles of each model, of which the fastest counts.
const RUNS: usize = 7;

fn options(chip: &str) -> CompileOptions {
    CompileOptions {
        max_context: Some(128),
        ..CompileOptions::new(Chip::load(chip).unwrap())
    }
}

fn compiled(model: &Path, options: &CompileOptions) -> Compiled {
    compile(model, options).unwrap_or_else(|e| panic!("{}: {e}", model.display()))
}

/// Time of a compile apart from reading the file.
fn time(compiled: &Compiled) -> Duration {
    let steps = compiled.report.passes.steps.iter();
    let own = steps.filter(|s| !["read file", "outline file", "decode file"].contains(&s.step));
    own.map(|s| s.time.0).sum()
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
        let rolled = compiled(&model, &options(chip));
        let flat = CompileOptions {
            roll: false,
            ..options(chip)
        };
        let flat = compiled(&model, &flat);
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
    for dialect in DIALECTS {
        let source = |layers: u32| models.join(format!("deep/llama-{layers}/{dialect}"));
        let [two, eighty] =
            [2, 80].map(|n| compiled(&source(n).join("model.onnx"), &options("edge")));
        assert!(
            eighty.builder.code.len() * 10 <= two.builder.code.len() * 12,
            "{dialect}: {} instructions of 80 layers, {} of 2",
            eighty.builder.code.len(),
            two.builder.code.len()
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

/// The fastest of several compiles of models, taken in turns so that what else the machine does meets all of them.
fn fastest<const N: usize>(models: [&Path; N]) -> [Compiled; N] {
    let run = |model: &Path| compiled(model, &options("edge"));
    let mut best = models.map(run);
    for _ in 1..RUNS {
        for (best, model) in best.iter_mut().zip(models) {
            let next = run(model);
            if time(&next) < time(best) {
                *best = next;
            }
        }
    }
    best
}

#[test]
fn eighty_layers_compile_about_as_fast_as_two() {
    let Some(models) = shared_models() else {
        return;
    };
    // On a quiet machine it is 1.1 to 1.3; what else the machine does must not fail the test.
    let bound = 2.0;
    let mut slow = Vec::new();
    for dialect in DIALECTS {
        let [two, eighty] =
            [2, 80].map(|n| models.join(format!("deep/llama-{n}/{dialect}/model.onnx")));
        let [two, eighty] = fastest([&two, &eighty]);
        let ratio = time(&eighty).as_secs_f64() / time(&two).as_secs_f64();
        eprintln!(
            "{dialect}: 2 layers in {:.1?}, 80 layers in {:.1?} apart from reading the file: {ratio:.2} times",
            time(&two),
            time(&eighty)
        );
        let steps = two
            .report
            .passes
            .steps
            .iter()
            .zip(&eighty.report.passes.steps);
        for (two, eighty) in steps {
            eprintln!(
                "  {:16} {:>10} {:>10}",
                two.step,
                two.time.to_string(),
                eighty.time.to_string()
            );
        }
        if ratio > bound {
            slow.push(format!("{dialect}: {ratio:.2}"));
        }
    }
    assert!(slow.is_empty(), "{slow:?} times the time of 2 layers");
}

/// Models of several layers: few of them left out, many, or none.
const LAYERED: [&str; 12] = [
    "shakespeare/dynamo18",
    "shakespeare/dynamo23",
    "shakespeare/optimum",
    "shakespeare/genai-fp32",
    "shakespeare/genai-int4",
    "shakespeare/dynq8",
    "stories260K/dynamo23",
    "stories260K/genai-int4",
    "families/gemma2/optimum",
    "deep/llama-80/dynamo18",
    "deep/llama-80/optimum",
    "deep/llama-80/genai-fp32",
];

#[test]
fn layers_left_out_on_import_are_all_there_in_the_end() {
    let Some(models) = shared_models() else {
        return;
    };
    for name in LAYERED {
        let model = models.join(name).join("model.onnx");
        // A look at the imported graph imports all of it.
        let all = CompileOptions {
            emit: vec![Stage::Imported],
            ..options("edge")
        };
        let (short, whole) = (compiled(&model, &options("edge")), compiled(&model, &all));
        assert!(
            short.builder.code == whole.builder.code,
            "{name}: other code"
        );
        assert_eq!(
            short.builder.manifest.states, whole.builder.manifest.states,
            "{name}"
        );
        let weights = |c: &Compiled| {
            let bytes = c.to_bytes().unwrap();
            llmc_isa::container::Binary::from_bytes(bytes, "model")
                .unwrap()
                .weights()
                .to_vec()
        };
        assert!(weights(&short) == weights(&whole), "{name}: other weights");
    }
}
