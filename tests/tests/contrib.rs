//! ONNX Runtime's own operators: each file of `tests/cases/contrib` compiled, with much SRAM and with little, run on the emulator, and compared
//! with what ONNX Runtime computes. `tests/ort/contrib_cases.py` makes the files.

use llmc_tensor::{Tensor, compare, npz};
use llmc_tests::{llmc, root};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use tempfile::TempDir;

/// Largest error, as a part of the range of a result.
const TOLERANCE: f64 = 1e-5;

fn run(args: &[&str]) -> Result<(), String> {
    let ran = llmc(args);
    match ran.code {
        0 => Ok(()),
        _ => Err(ran.err),
    }
}

/// Compiles and runs a case on a chip; what differs from the expected results.
fn check(model: &Path, arrays: &[(String, Tensor)], sram_kib: u32) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (binary, inputs, outputs) = (path("m.llmc"), path("in.npz"), path("out.npz"));
    let arrays = arrays.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let (expected, given): (Vec<_>, Vec<_>) = arrays.partition(|(name, _)| name.starts_with('y'));
    npz::write_npz(&inputs, &given).unwrap();
    let sram = format!("core.sram_kib={sram_kib}");
    let model = model.to_str().unwrap();
    run(&[
        "compile", model, "-o", &binary, "--chip", "edge", "--set", &sram,
    ])?;
    run(&["run", &binary, "--inputs", &inputs, "--outputs", &outputs])?;
    let found: BTreeMap<String, Tensor> = npz::read_npz(&outputs).unwrap().into_iter().collect();
    for (name, wanted) in expected {
        let error = compare(&found[name], wanted, TOLERANCE).map_err(|e| e.to_string())?;
        if !error.is_match() {
            return Err(format!("{name}: {error:?}"));
        }
    }
    Ok(())
}

#[test]
fn results_are_those_of_onnx_runtime() {
    let mut cases: Vec<_> = std::fs::read_dir(root().join("tests/cases/contrib"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "onnx"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut failed = String::new();
    for model in &cases {
        let arrays = npz::read_npz(model.with_extension("npz")).unwrap();
        for sram_kib in [1024, 64] {
            if let Err(reason) = check(model, &arrays, sram_kib) {
                writeln!(failed, "{} in {sram_kib} KiB: {reason}", model.display()).unwrap();
            }
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}
