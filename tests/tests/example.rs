//! The example model from ONNX to text, and what must hold of everything in between. Needs no network and no other models.

use llmc_compiler::Stage;
use llmc_tests::onnx::externalise;
use llmc_tests::{greedy_cases, ids, llmc, shakespeare};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn model() -> PathBuf {
    shakespeare().join("model.onnx")
}

fn compile(model: &Path, out: &Path, args: &[&str]) {
    let mut all = vec!["compile", text(model), "-o", text(out)];
    all.extend(args);
    let ran = llmc(&all);
    assert_eq!(ran.code, 0, "llmc {all:?}\n{}", ran.err);
}

/// The example for both chips, compiled once for all tests of this file.
fn compiled(chip: &str) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        for chip in ["ideal", "edge"] {
            compile(&model(), &folder.path().join(chip), &["--chip", chip]);
        }
        folder
    });
    folder.path().join(chip)
}

fn generate(binary: &Path, prompt: &str, args: &[&str]) -> Value {
    let mut all = vec!["generate", text(binary), "--prompt", prompt, "--json"];
    all.extend(args);
    llmc(&all).json()
}

fn greedy_equals_onnx_runtime(chip: &str) {
    let binary = compiled(chip);
    for case in greedy_cases() {
        let found = generate(
            &binary,
            &case.prompt,
            &["--max-tokens", &case.token_ids.len().to_string()],
        );
        assert_eq!(
            ids(&found["prompt_token_ids"]),
            case.prompt_token_ids,
            "{:?}",
            case.prompt
        );
        let (got, expected) = (ids(&found["token_ids"]), &case.token_ids);
        let at = got.iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!(
            at, None,
            "{:?} on {chip}: first other token\n{got:?}\n{expected:?}",
            case.prompt
        );
        assert_eq!(got.len(), expected.len());
    }
}

#[test]
fn greedy_equals_onnx_runtime_on_ideal() {
    greedy_equals_onnx_runtime("ideal");
}

#[test]
fn greedy_equals_onnx_runtime_on_edge() {
    greedy_equals_onnx_runtime("edge");
}

#[test]
fn text_streams_and_statistics_follow() {
    let binary = compiled("ideal");
    let object = generate(&binary, "ROMEO:", &["--max-tokens", "20"]);
    let ran = llmc([
        "generate",
        text(&binary),
        "--prompt",
        "ROMEO:",
        "--max-tokens",
        "20",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out,
        format!("ROMEO:{}\n", object["text"].as_str().unwrap())
    );
    for part in [
        "tokens/s",
        "to the first token",
        "cycles/token",
        "emulated tokens/s",
    ] {
        assert!(ran.err.contains(part), "no `{part}` in {}", ran.err);
    }
    let statistics = &object["statistics"];
    assert_eq!(statistics["new_tokens"], 20);
    assert_eq!(statistics["prompt_tokens"], 3);
    assert!(statistics["chip_tokens_per_s"].as_f64().unwrap() > 0.0);
    assert!(statistics["emulated_tokens_per_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn sampling_follows_the_seed() {
    let binary = compiled("ideal");
    let sample = |seed: &str| {
        let args = [
            "--max-tokens",
            "30",
            "--temperature",
            "0.9",
            "--top-k",
            "50",
            "--top-p",
            "0.95",
            "--seed",
            seed,
        ];
        generate(&binary, "ROMEO:", &args)["token_ids"].clone()
    };
    assert_eq!(sample("1"), sample("1"));
    assert_ne!(sample("1"), sample("2"));
}

#[test]
fn an_onnx_file_is_compiled_on_the_way() {
    let args = [
        "--max-tokens",
        "12",
        "--chip",
        "edge",
        "--max-context",
        "64",
        "--prefill",
        "4",
    ];
    let on_the_way = generate(&model(), "To be, or not to be", &args);
    let case = greedy_cases()
        .into_iter()
        .find(|c| c.prompt == "To be, or not to be")
        .unwrap();
    assert_eq!(ids(&on_the_way["token_ids"]), case.token_ids[..12]);
    assert!(on_the_way["statistics"]["compile_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn external_weights_are_the_same_weights() {
    let folder = TempDir::new().unwrap();
    let (external, data) = externalise(&fs::read(model()).unwrap(), "weights.bin");
    let path = folder.path().join("model.onnx");
    fs::write(&path, external).unwrap();
    fs::write(folder.path().join("weights.bin"), data).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(shakespeare().join(name), folder.path().join(name)).unwrap();
    }
    let out = folder.path().join("out.llmc");
    compile(&path, &out, &["--chip", "edge"]);
    assert!(
        fs::read(&out).unwrap() == fs::read(compiled("edge")).unwrap(),
        "the binaries differ"
    );
}

#[test]
fn compiling_is_deterministic() {
    let folder = TempDir::new().unwrap();
    let again = folder.path().join("again.llmc");
    for chip in ["ideal", "edge"] {
        let first = fs::read(compiled(chip)).unwrap();
        for threads in ["1", "3"] {
            compile(&model(), &again, &["--chip", chip, "--threads", threads]);
            assert!(
                fs::read(&again).unwrap() == first,
                "{chip} with {threads} threads gives other bytes"
            );
        }
    }
}

#[test]
fn running_does_not_depend_on_threads() {
    let folder = TempDir::new().unwrap();
    let tokens = folder.path().join("ids.npy");
    let prompt: Vec<i64> = greedy_cases()[0].token_ids[..40].to_vec();
    llmc_tensor::npy::write_npy(
        &tokens,
        &llmc_tensor::Tensor::from_slice([1, 40], &prompt).unwrap(),
    )
    .unwrap();
    let eval = |threads: &str| {
        let (logits, state) = (
            folder.path().join("logits.npy"),
            folder.path().join("state.npz"),
        );
        let binary = compiled("edge");
        let mut args = vec!["eval", text(&binary), "--tokens", text(&tokens), "--json"];
        args.extend([
            "--logits",
            text(&logits),
            "--state",
            text(&state),
            "--threads",
            threads,
        ]);
        let cycles = llmc(&args).json()["cycles"].clone();
        (
            fs::read(&logits).unwrap(),
            fs::read(&state).unwrap(),
            cycles,
        )
    };
    let first = eval("1");
    assert!(
        first == eval("2"),
        "another number of threads gives another result"
    );
    assert!(first == eval("1"), "a second run gives another result");
}

#[test]
fn assembly_is_lossless() {
    let folder = TempDir::new().unwrap();
    let (source, same) = (folder.path().join("a.s"), folder.path().join("same.llmc"));
    for chip in ["ideal", "edge"] {
        let binary = compiled(chip);
        for args in [vec![], vec!["--plain"]] {
            let mut all = vec!["disasm", text(&binary), "-o", text(&source)];
            all.extend(args);
            assert_eq!(llmc(&all).code, 0);
            let ran = llmc([
                "asm",
                text(&source),
                "--into",
                text(&binary),
                "-o",
                text(&same),
            ]);
            assert_eq!(ran.code, 0, "{}", ran.err);
            assert!(
                fs::read(&same).unwrap() == fs::read(&binary).unwrap(),
                "{chip}: asm(disasm(bin)) differs"
            );
        }
    }
}

#[test]
fn disassembly_names_onnx_nodes() {
    let ran = llmc(["disasm", text(&compiled("edge")), "--entry", "decode"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("mxu.mm") && ran.out.contains("node_"),
        "{}",
        &ran.out[..2000.min(ran.out.len())]
    );
}

#[test]
fn inspection_tells_entries_and_memory() {
    let report = llmc(["inspect", text(&compiled("edge")), "--json"]).json();
    let entries: Vec<_> = report["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].as_str().unwrap())
        .collect();
    for entry in ["prefill", "score", "decode"] {
        assert!(entries.contains(&entry), "{entries:?}");
    }
    assert_eq!(report["model"]["vocab"], 1024);
    assert_eq!(report["model"]["max_context"], 512);
    let sections: Vec<_> = report["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    for section in [
        ".text",
        ".weights",
        ".llmc.manifest",
        ".llmc.debug",
        ".llmc.chip",
        ".llmc.tokenizer",
        ".symtab",
    ] {
        assert!(sections.contains(&section), "{sections:?}");
    }
    assert_eq!(llmc(["inspect", text(&compiled("edge"))]).code, 0);
}

/// Decode reads the context that is there, not the context that could be.
#[test]
fn a_longer_context_costs_its_bytes() {
    let folder = TempDir::new().unwrap();
    let binary = compiled("edge");
    let tokens = folder.path().join("ids.npy");
    let cycles = |n: usize, via: &str| {
        let ids: Vec<i64> = (0..n as i64).map(|i| i % 1000 + 2).collect();
        llmc_tensor::npy::write_npy(
            &tokens,
            &llmc_tensor::Tensor::from_slice([1, n], &ids).unwrap(),
        )
        .unwrap();
        let found = llmc([
            "eval",
            text(&binary),
            "--tokens",
            text(&tokens),
            "--via",
            via,
            "--json",
        ])
        .json();
        found["cycles"].as_u64().unwrap()
    };
    let at_4 = cycles(5, "decode") - cycles(4, "decode");
    let at_400 = cycles(401, "decode") - cycles(400, "decode");
    assert!(at_400 > at_4, "{at_4} cycles at context 4, {at_400} at 400");

    let chip = llmc(["chip", "show", "edge", "--json"]).json();
    let number = |name: &str| chip[name].as_f64().unwrap();
    // 4 layers x (keys, values) x 2 heads x 32 x f32, for 396 more positions.
    let extra_bytes = (4 * 2 * 2 * 32 * 4 * 396) as f64;
    let expected = extra_bytes / number("dram_bytes_per_s") * number("clock_hz");
    let extra = (at_400 - at_4) as f64;
    eprintln!(
        "decode: {at_4} cycles at context 4, {at_400} at 400; the extra bytes alone take {expected:.0}"
    );
    assert!(
        extra > 0.5 * expected && extra < 3.0 * expected,
        "{extra} cycles for {expected} cycles of bytes"
    );
}

#[test]
fn every_stage_prints_and_names_onnx_nodes() {
    for stage in Stage::ALL {
        let ran = llmc(["dump", text(&model()), "--stage", stage.name()]);
        assert_eq!(ran.code, 0, "{stage}: {}", ran.err);
        assert!(ran.out.lines().count() > 20, "{stage}: {}", ran.out);
        assert!(ran.out.contains("node_"), "{stage} names no ONNX node");
    }
}

#[test]
fn one_entry_can_be_dumped() {
    let ran = llmc([
        "dump",
        text(&model()),
        "--stage",
        "fused",
        "--entry",
        "decode",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for op in ["attention", "rms_norm", "rope", "silu_mul", "append"] {
        assert!(ran.out.contains(op), "no {op} in\n{}", ran.out);
    }
    let ran = llmc([
        "dump",
        text(&model()),
        "--stage",
        "fused",
        "--entry",
        "nonsense",
    ]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("nonsense") && ran.err.contains("prefill"),
        "{}",
        ran.err
    );
}

#[test]
fn texts_read_back() {
    llmc_tests::texts::read_back(&model(), "ideal");
    llmc_tests::texts::read_back(&model(), "edge");
}

#[test]
fn stages_are_emitted_beside_the_binary() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.llmc");
    let dir = folder.path().join("stages");
    compile(&model(), &out, &["--emit", "all", "--emit-dir", text(&dir)]);
    let count = fs::read_dir(&dir).unwrap().count();
    assert!(count > 2 * Stage::ALL.len(), "{count} files");
}

#[test]
fn a_single_launch_through_run() {
    let folder = TempDir::new().unwrap();
    let (inputs, outputs) = (folder.path().join("in.npz"), folder.path().join("out.npz"));
    let case = &greedy_cases()[0];
    let prompt =
        llmc_tensor::Tensor::from_slice([case.prompt_token_ids.len()], &case.prompt_token_ids)
            .unwrap();
    llmc_tensor::npz::write_npz(&inputs, &[("input_ids", &prompt)]).unwrap();
    let binary = compiled("ideal");
    let args = [
        "run",
        text(&binary),
        "--entry",
        "prefill",
        "--inputs",
        text(&inputs),
        "--outputs",
        text(&outputs),
    ];
    let ran = llmc(args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let found = llmc_tensor::npz::read_npz(&outputs).unwrap();
    let logits = &found.iter().find(|(name, _)| name == "logits").unwrap().1;
    let best = llmc::sampler::best(&logits.to_f32_vec()).unwrap();
    assert_eq!(i64::from(best), case.token_ids[0]);
}

/// ONNX Runtime's logits of the same windows give these numbers.
#[test]
fn perplexity_equals_onnx_runtime() {
    let folder = TempDir::new().unwrap();
    let (path, small) = (folder.path().join("text"), folder.path().join("small.llmc"));
    let words = "But, soft! what light through yonder window breaks?\nIt is the east, and Juliet is the sun.\n";
    fs::write(&path, words).unwrap();
    compile(&model(), &small, &["--max-context", "16"]);
    for (binary, bits) in [(compiled("ideal"), 4.239142570), (small, 4.626569965)] {
        let found = llmc(["eval", text(&binary), "--text", text(&path), "--json"]).json();
        let (per_token, tokens) = (
            found["bits_per_token"].as_f64().unwrap(),
            found["tokens"].as_f64().unwrap(),
        );
        assert!((per_token - bits).abs() < 1e-5, "{found}, expected {bits}");
        let per_byte = found["bits_per_byte"].as_f64().unwrap();
        assert!((per_byte * words.len() as f64 - per_token * tokens).abs() < 1e-9);
    }
}

/// Takes one wait out of the code: the emulator must stop, and say where.
#[test]
fn a_deleted_wait_is_a_fault() {
    let folder = TempDir::new().unwrap();
    let (source, broken) = (folder.path().join("a.s"), folder.path().join("broken.llmc"));
    let binary = compiled("edge");
    let disassembled = llmc(["disasm", "--plain", text(&binary)]);
    assert_eq!(disassembled.code, 0, "{}", disassembled.err);
    let lines: Vec<&str> = disassembled.out.lines().collect();
    let decode = lines.iter().position(|l| *l == ".entry decode").unwrap();
    let waits: Vec<usize> = (decode..lines.len())
        .filter(|&i| lines[i].contains("sem.wait"))
        .collect();
    assert!(waits.len() > 50);
    for &wait in waits.iter().step_by(waits.len() / 12) {
        let without: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != wait)
            .map(|(_, l)| *l)
            .collect();
        fs::write(&source, without.join("\n")).unwrap();
        let ran = llmc([
            "asm",
            text(&source),
            "--into",
            text(&binary),
            "-o",
            text(&broken),
        ]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let tokens = folder.path().join("ids.npy");
        llmc_tensor::npy::write_npy(
            &tokens,
            &llmc_tensor::Tensor::from_slice([1, 2], &[0i64, 7]).unwrap(),
        )
        .unwrap();
        let ran = llmc([
            "eval",
            text(&broken),
            "--tokens",
            text(&tokens),
            "--via",
            "decode",
        ]);
        assert_eq!(
            ran.code,
            1,
            "without `{}` nothing happens",
            lines[wait].trim()
        );
        assert!(
            ran.err.contains("program fault") && ran.err.contains("core "),
            "{}",
            ran.err
        );
    }
}

/// Contexts that are shorter than a chunk, no multiple of it, or odd.
#[test]
fn any_context_and_chunk_compile() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.llmc");
    let expected = &greedy_cases()[0].token_ids;
    for (context, chunk) in [
        ("16", "16"),
        ("16", "3"),
        ("100", "64"),
        ("65", "64"),
        ("33", "1"),
        ("509", "200"),
    ] {
        for chip in ["ideal", "edge"] {
            compile(
                &model(),
                &out,
                &["--chip", chip, "--max-context", context, "--prefill", chunk],
            );
            let found = generate(&out, "ROMEO:", &["--max-tokens", "14"]);
            assert_eq!(
                ids(&found["token_ids"]),
                expected[..14],
                "context {context}, chunk {chunk}, {chip}"
            );
        }
    }
}
