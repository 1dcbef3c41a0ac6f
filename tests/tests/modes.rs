//! What must not change what a compiled example computes: the kernels of the host, and whether values are carried at all.

use llmc_runtime_emu::kernels::Kernels;
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
    let options = Options {
        mode,
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
    // Rows enough that products are large enough to be split.
    let text: Vec<u32> = (0..64).map(|i| 40 + i % 20).collect();
    let run = |threads: usize| {
        let options = Options {
            threads,
            ..Options::default()
        };
        let mut session = Session::open(&binary, None, options).unwrap();
        let scored = session.score(&text).unwrap();
        bits((scored.values, vec![scored.stats]))
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(
            run(threads) == one,
            "{threads} threads give other bits or cycles"
        );
    }
}

/// Not a test of its own: prints the kernels in use and the bits of all logits of the binary that the environment names.
#[test]
fn child() {
    if let Some(binary) = std::env::var_os(CHILD) {
        let (values, _) = logits(Path::new(&binary), Mode::Function);
        let bits: Vec<String> = values
            .iter()
            .map(|v| format!("{:x}", v.to_bits()))
            .collect();
        println!("logits {} {}", Kernels::get().name(), bits.join(" "));
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
        let start = format!("logits {kernels} ");
        let at = out
            .find(&start)
            .unwrap_or_else(|| panic!("{kernels}: {out}"));
        let bits = out[at + start.len()..].lines().next();
        bits.unwrap_or_default().to_string()
    };
    let portable = run("portable");
    assert!(portable.len() > 10_000);
    let host: Vec<&str> = Kernels::available().iter().map(|k| k.name()).collect();
    for kernels in ["avx2", "avx512"] {
        if host.contains(&kernels) {
            assert!(portable == run(kernels), "{kernels} gives other bits");
        } else {
            eprintln!("not compared: this host cannot run the kernels {kernels}");
        }
    }
}
