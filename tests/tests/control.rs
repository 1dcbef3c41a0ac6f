//! `llmc explain`, `pass`, `reduce`, `--stop-after` and `--print-after` on the example model.

use llmc_ir::parse_module;
use llmc_tests::llmc;
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
    let missing = llmc([
        "explain",
        &model(),
        "--max-context",
        "64",
        "--node",
        "nowhere",
    ]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.err.contains("no fused op of entry `decode`"),
        "{}",
        missing.err
    );
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
    let nothing = llmc(["reduce", &path, "--pass", "fuse", "--keeps", "erf"]);
    assert_eq!(nothing.code, 1);
    assert!(
        nothing.err.contains("there is nothing to reduce"),
        "{}",
        nothing.err
    );
}
