//! `llmc explain`, `pass`, `reduce`, `--stop-after` and `--print-after` on the example model.

use llmc_ir::parse_module;
use llmc_tests::{Ran, llmc};
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

fn model() -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join("examples/shakespeare/model.onnx")
        .display()
        .to_string()
}

#[test]
fn explain_proves_every_fused_op_of_the_example() {
    let ran = llmc(["explain", &model(), "--max-context", "64", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let explained: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(explained["near_misses"], Value::Array(vec![]));
    let proofs = explained["proofs"].as_array().unwrap();
    for op in ["attention", "rms_norm", "rope", "silu_mul"] {
        let proved = proofs
            .iter()
            .any(|proof| proof["op"].as_str().unwrap().starts_with(op));
        assert!(proved, "no proof of {op}");
    }
}

/// `llmc explain` of the example with more arguments.
fn explain(more: &[&str]) -> Ran {
    llmc([&["explain", &model(), "--max-context", "64"], more].concat())
}

#[test]
fn explain_says_once_what_repeats() {
    let all = explain(&["--evaluate"]);
    assert_eq!(all.code, 0, "{}", all.err);
    assert_eq!(
        all.out.matches("In each of layers 0..3").count(),
        1,
        "{}",
        all.out
    );
    for entry in ["prefill", "score", "decode"] {
        let same = format!("entry {entry}: the imported and the fused graph compute the same");
        assert!(all.out.contains(&same), "{}", all.out);
    }
    // The rotation of the queries is proved by itself, and not once more as part of the attention.
    let attention = all.out.split("\n\n").find(|p| p.contains(". attention {"));
    let attention = attention.expect("a proof of attention");
    assert!(attention.contains("= heads of ("), "{attention}");
    assert!(!attention.contains("rotate-half"), "{attention}");
    let longest = all.out.lines().map(|line| line.chars().count()).max();
    assert!(longest < Some(250), "{longest:?}");
}

#[test]
fn a_node_is_explained_whatever_became_of_it() {
    // Names of the first layer, of a later one, of what stays, of nothing.
    let first = explain(&["--node", "node_mean_1"]);
    assert!(first.out.contains("rms_norm"), "{}{}", first.out, first.err);
    let later = explain(&["--node", "node_mean_5"]);
    assert!(later.out.contains("rms_norm"), "{}{}", later.out, later.err);
    let kept = explain(&["--node", "node_embedding"]);
    assert!(
        kept.out.contains("left as it was:\n  %"),
        "{}{}",
        kept.out,
        kept.err
    );
    let missing = explain(&["--node", "nowhere"]);
    assert_eq!(missing.code, 1);
    let message = "entry `decode` has no node whose name contains `nowhere`";
    assert!(missing.err.contains(message), "{}", missing.err);
}

#[test]
fn a_mask_altered_by_hand_is_a_near_miss_for_explain_and_compile() {
    let folder = TempDir::new().unwrap();
    let [weak, out] = ["weak.onnx", "weak.llmc"].map(|name| folder.path().join(name));
    let [weak, out] = [&weak, &out].map(|path| path.to_str().unwrap());
    let mut bytes = std::fs::read(model()).unwrap();
    // The one number that hides what is masked.
    let lowest = f32::MIN.to_le_bytes();
    let at = bytes.windows(4).position(|four| four == lowest).unwrap();
    bytes[at..at + 4].copy_from_slice(&(-3.0f32).to_le_bytes());
    std::fs::write(weak, bytes).unwrap();
    let explained = llmc(["explain", weak, "--max-context", "64"]);
    assert_eq!(explained.code, 0, "{}", explained.err);
    for said in [
        "not fused, but looks like an attention",
        "fails: the mask adds too little to hide anything",
        "?m is mask {causal=true, hidden=-3.0",
    ] {
        assert!(explained.out.contains(said), "{said}\n{}", explained.out);
    }
    let compiled = llmc(["compile", weak, "-o", out, "--max-context", "64"]);
    assert_eq!(compiled.code, 1);
    let said = "looks like an attention, but the mask adds too little to hide anything";
    assert!(compiled.err.contains(said), "{}", compiled.err);
}

#[test]
fn a_compile_stops_after_a_pass_and_prints_after_another() {
    let args = ["compile", &model(), "--max-context", "64"];
    let stopped = llmc(
        [
            &args[..],
            &["--stop-after", "fuse", "--print-after", "fold"],
        ]
        .concat(),
    );
    assert_eq!(stopped.code, 0, "{}", stopped.err);
    let fused = parse_module(&stopped.out).unwrap();
    assert!(fused.entry("decode").is_some());
    assert!(stopped.err.contains("after fold"), "{}", stopped.err);
    let listed = llmc(["compile", "--passes"]);
    assert!(
        listed.out.starts_with("import "),
        "{}{}",
        listed.out,
        listed.err
    );
    assert!(
        listed.out.contains("\nfuse           fused "),
        "{}",
        listed.out
    );
    let without = llmc(args);
    assert_eq!(without.code, 2, "an output is needed: {}", without.err);
}

#[test]
fn passes_are_listed_and_graphs_reduced() {
    let list = llmc(["pass", "--list"]);
    let names: Vec<String> = list
        .out
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(String::from))
        .collect();
    assert_eq!(names.first().map(String::as_str), Some("promote_state"));
    assert!(names.contains(&"fuse".to_string()));

    let folder = TempDir::new().unwrap();
    let text = folder.path().join("graph.txt");
    let dumped = llmc([
        "dump",
        &model(),
        "--max-context",
        "64",
        "--stage",
        "specialised",
        "--entry",
        "decode",
    ]);
    std::fs::write(&text, dumped.out).unwrap();
    let path = text.display().to_string();
    let reduced = llmc(["reduce", &path, "--pass", "fuse", "--keeps", "silu_mul"]);
    assert_eq!(reduced.code, 0, "{}", reduced.err);
    let small = parse_module(&reduced.out).unwrap();
    assert!(small.entries[0].len() <= 8, "{}", reduced.out);
    let broken = std::fs::read_to_string(&text)
        .unwrap()
        .replace("rows=1", "rows=x");
    std::fs::write(folder.path().join("broken.txt"), broken).unwrap();
    let broken = folder.path().join("broken.txt").display().to_string();
    let refused = llmc(["reduce", &broken, "--pass", "fuse"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("not well formed"), "{}", refused.err);
    let nothing = llmc(["reduce", &path, "--pass", "fuse", "--keeps", "erf"]);
    assert_eq!(nothing.code, 1);
    assert!(
        nothing.err.contains("there is nothing to reduce"),
        "{}",
        nothing.err
    );
}
