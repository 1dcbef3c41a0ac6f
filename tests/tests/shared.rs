//! Models that are too many for the repository, against what ONNX Runtime says they compute. See
//! [`llmc_tests::shared_models`]; without that folder these tests pass without checking anything, and say so.

use llmc_isa::Chip;
use llmc_tensor::{Tensor, compare, npy, npz};
use llmc_tests::texts::read_back;
use llmc_tests::{llmc, shared_models};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Largest error of a logit, as a part of the range of the expected logits.
const TOLERANCE: f64 = 1e-3;

/// A model, the tokens to feed and the logits to find.
struct Case {
    model: PathBuf,
    tokens: PathBuf,
    logits: Tensor,
    folder: TempDir,
}

impl Case {
    fn new(name: &str) -> Option<Case> {
        let source = shared_models()?.join(name);
        let expected = npz::read_npz(source.join("expected.npz")).unwrap();
        let find = |name: &str| expected.iter().find(|(n, _)| n == name).unwrap().1.clone();
        let folder = TempDir::new().unwrap();
        let tokens = folder.path().join("ids.npy");
        npy::write_npy(&tokens, &find("tokens")).unwrap();
        Some(Case {
            model: source.join("model.onnx"),
            tokens,
            logits: find("logits"),
            folder,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn compile(&self, name: &str, args: &[&str]) -> PathBuf {
        let out = self.path(name);
        let mut all = vec![
            "compile",
            text(&self.model),
            "-o",
            text(&out),
            "--max-context",
            "512",
        ];
        all.extend(args);
        let ran = llmc(&all);
        assert_eq!(ran.code, 0, "llmc {all:?}\n{}", ran.err);
        out
    }

    /// Feeds the tokens, checks the logits, and returns the state's arrays.
    fn eval(&self, binary: &Path, what: &str, args: &[&str]) -> BTreeMap<String, Tensor> {
        let (logits, state) = (self.path("logits.npy"), self.path("state.npz"));
        let mut all = vec!["eval", text(binary), "--tokens", text(&self.tokens)];
        all.extend(["--logits", text(&logits), "--state", text(&state)]);
        all.extend(args);
        let ran = llmc(&all);
        assert_eq!(ran.code, 0, "{what}: llmc {all:?}\n{}", ran.err);
        let found = compare(&npy::read_npy(&logits).unwrap(), &self.logits, TOLERANCE).unwrap();
        assert!(found.is_match(), "{what}: {found:?}");
        eprintln!(
            "{what}: largest error {:.2e} of the range",
            found.relative_error()
        );
        npz::read_npz(&state).unwrap().into_iter().collect()
    }

    /// All chunk sizes and decode on one binary, whose states must be equal to `state` bit for bit.
    fn all_ways(&self, binary: &Path, what: &str, state: &mut Option<BTreeMap<String, Tensor>>) {
        let mut ways = vec![vec!["--via", "decode"]];
        ways.extend(["1", "7", "16", "64"].map(|chunk| vec!["--via", "prefill", "--chunk", chunk]));
        for way in ways {
            let what = format!("{what}, {}", way[1..].join(" "));
            self.same(self.eval(binary, &what, &way), &what, state);
        }
    }

    fn same(
        &self,
        found: BTreeMap<String, Tensor>,
        what: &str,
        state: &mut Option<BTreeMap<String, Tensor>>,
    ) {
        assert!(!found.is_empty(), "{what}: no state");
        let Some(first) = state else {
            *state = Some(found);
            return;
        };
        assert!(first.keys().eq(found.keys()), "{what}: other states");
        for (name, tensor) in &found {
            assert_eq!(tensor.shape(), first[name].shape(), "{what}: {name}");
            assert!(
                tensor.bytes() == first[name].bytes(),
                "{what}: the bytes of {name} differ"
            );
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `edge`, and three more with half the SRAM each, as chip files in `folder`.
fn small_chips(folder: &Path) -> Vec<(String, PathBuf)> {
    let edge = Chip::load("edge").unwrap();
    let chip = |halvings: u32| {
        let bytes = edge.sram_bytes() >> halvings;
        let path = folder.join(format!("edge{halvings}.toml"));
        fs::write(&path, edge.with_sram_bytes(bytes).unwrap().text()).unwrap();
        (format!("edge with {} KiB per core", bytes / 1024), path)
    };
    (0..=3).map(chip).collect()
}

fn check(name: &str) {
    let Some(case) = Case::new(name) else { return };
    let folder = case.folder.path();
    let mut chips = vec![("ideal".to_string(), PathBuf::from("ideal"))];
    chips.extend(small_chips(folder));
    for (chip, path) in chips {
        let what = format!("{name} on {chip}");
        // Another chip may cut the context into other blocks, and so round sums of attention in another way.
        let mut state = None;
        let binary = case.compile("all.llmc", &["--chip", text(&path), "--prefill", "64"]);
        case.all_ways(&binary, &what, &mut state);
        // The size of a chunk as a choice of the compiler instead of the caller.
        for prefill in ["1", "7", "16"] {
            let binary = case.compile("one.llmc", &["--chip", text(&path), "--prefill", prefill]);
            let what = format!("{what}, compiled for chunks of {prefill}");
            case.same(case.eval(&binary, &what, &[]), &what, &mut state);
        }
    }
    perplexity(&case, name);
    read_back(&case.model, "edge");
}

fn shakespeare_text(name: &str) -> Option<PathBuf> {
    shared_models()
        .map(|m| m.join("shakespeare/heldout.txt"))
        .filter(|_| name.starts_with("shakespeare/"))
}

/// The model knows its author: far better than chance on text it never saw.
fn perplexity(case: &Case, name: &str) {
    let Some(path) = shakespeare_text(name) else {
        return;
    };
    let whole = fs::read_to_string(path).unwrap();
    let part = case.path("heldout.txt");
    fs::write(&part, &whole[..2000]).unwrap();
    let binary = case.compile("text.llmc", &["--chip", "ideal"]);
    let found = llmc(["eval", text(&binary), "--text", text(&part), "--json"]).json();
    let bits = found["bits_per_byte"].as_f64().unwrap();
    let tokens = found["tokens"].as_f64().unwrap();
    eprintln!("{name}: {bits:.4} bits per byte of held-out text");
    assert!((1.0..3.0).contains(&bits), "{found}");
    let per_token = found["bits_per_token"].as_f64().unwrap();
    assert!(
        (per_token * tokens - bits * 2000.0).abs() < 1e-6 * bits * 2000.0,
        "{found}"
    );
    assert!(
        (found["perplexity"].as_f64().unwrap().log2() - per_token).abs() < 1e-9,
        "{found}"
    );
}

#[test]
fn shakespeare_dynamo18() {
    check("shakespeare/dynamo18");
}

#[test]
fn shakespeare_optimum() {
    check("shakespeare/optimum");
}

#[test]
fn stories260k_dynamo18() {
    check("stories260K/dynamo18");
}

#[test]
fn stories260k_optimum() {
    check("stories260K/optimum");
}

/// All dialects of one model generate the same text.
#[test]
fn dialects_agree() {
    let Some(models) = shared_models() else {
        return;
    };
    let generate = |dialect: &str| {
        let model = models.join("shakespeare").join(dialect).join("model.onnx");
        let args = [
            "generate",
            text(&model),
            "--prompt",
            "ROMEO:",
            "--max-tokens",
            "40",
            "--json",
        ];
        llmc(args).json()["token_ids"].clone()
    };
    assert_eq!(generate("dynamo18"), generate("optimum"));
}

/// The tokenizer that puts spaces back.
#[test]
fn stories_read_like_stories() {
    let Some(models) = shared_models() else {
        return;
    };
    let model = models.join("stories260K/optimum/model.onnx");
    let args = [
        "generate",
        text(&model),
        "--prompt",
        "Once upon a time",
        "--max-tokens",
        "60",
    ];
    let ran = llmc(args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.starts_with("Once upon a time, there was a"),
        "{}",
        ran.out
    );
}
