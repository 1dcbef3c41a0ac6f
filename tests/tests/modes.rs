//! What must not change what a compiled example computes: the kernels of the host, and whether values are carried at all.

use llmc_runtime_emu::{LaunchStats, Mode, Options, Session};
use llmc_tests::{greedy_cases, llmc, shakespeare};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const CHIPS: &[&str] = &["ideal", "edge"];

/// Names the binary for a child process of this test.
const CHILD: &str = "LLMC_TEST_BINARY";

fn compile(folder: &Path, chip: &str) -> PathBuf {
    let out = folder.join(chip);
    let model = shakespeare().join("model.onnx");
    let args = [
        "compile",
        model.to_str().unwrap(),
        "--chip",
        chip,
        "-o",
        out.to_str().unwrap(),
    ];
    let ran = llmc(args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    out
}

/// A prompt, a few decoded tokens and a scored text: all logits and what each took.
fn logits(binary: &Path, mode: Mode) -> (Vec<f32>, Vec<LaunchStats>) {
    with_threads(binary, mode, 1)
}

fn with_threads(binary: &Path, mode: Mode, threads: usize) -> (Vec<f32>, Vec<LaunchStats>) {
    let options = Options {
        mode,
        threads,
        ..Options::default()
    };
    let case = &greedy_cases()[0];
    let tokens: Vec<u32> = case.token_ids[..12].iter().map(|&t| t as u32).collect();
    let mut session = Session::open(binary, None, options).unwrap();
    let mut all = vec![session.prefill(&tokens[..5]).unwrap()];
    for &token in &tokens[5..] {
        all.push(session.decode(token).unwrap());
    }
    all.push(session.score(&tokens).unwrap());
    let stats = all.iter().map(|l| l.stats.clone()).collect();
    (all.into_iter().flat_map(|l| l.values).collect(), stats)
}

#[test]
fn timing_mode_takes_the_same_cycles() {
    let folder = TempDir::new().unwrap();
    for chip in CHIPS {
        let binary = compile(folder.path(), chip);
        let (values, full) = logits(&binary, Mode::Full);
        let (none, timing) = logits(&binary, Mode::Timing);
        assert!(none.is_empty() && !values.is_empty());
        assert!(full.iter().all(|s| s.cycles > 0));
        assert_eq!(full, timing, "{chip}");
        let (same, _) = logits(&binary, Mode::Function);
        assert!(values == same, "{chip}: values depend on keeping time");
    }
}

#[test]
fn threads_give_the_same_bits_and_cycles() {
    let folder = TempDir::new().unwrap();
    let binary = compile(folder.path(), "edge");
    let bits = |(values, stats): (Vec<f32>, Vec<LaunchStats>)| {
        let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
        (bits, stats)
    };
    let one = bits(with_threads(&binary, Mode::Full, 1));
    for threads in [2, 3] {
        let found = bits(with_threads(&binary, Mode::Full, threads));
        assert!(found == one, "{threads} threads give other bits or cycles");
    }
}

/// Not a test of its own: prints the bits of all logits of the binary that the environment names.
#[test]
fn child() {
    if let Some(binary) = std::env::var_os(CHILD) {
        let (values, _) = logits(Path::new(&binary), Mode::Function);
        let bits: Vec<String> = values
            .iter()
            .map(|v| format!("{:x}", v.to_bits()))
            .collect();
        println!("logits {}", bits.join(" "));
    }
}

#[test]
fn all_kernels_give_the_same_bits() {
    let folder = TempDir::new().unwrap();
    let binary = compile(folder.path(), "edge");
    // The kernels are chosen once for a process.
    let run = |kernels: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "--exact", "--nocapture"]);
        command.env(CHILD, &binary).env("LLMC_KERNELS", kernels);
        let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let at = out
            .find("logits ")
            .unwrap_or_else(|| panic!("{kernels}: {out}"));
        out[at..].lines().next().unwrap_or_default().to_string()
    };
    let portable = run("portable");
    assert!(portable.len() > 10_000);
    for kernels in ["avx2", "avx512"] {
        assert!(portable == run(kernels), "{kernels} gives other bits");
    }
}
