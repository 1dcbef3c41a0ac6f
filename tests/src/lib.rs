//! Helpers of the whole-chain tests: where things are, the case files, running the command line inside the process.

pub mod onnx;
pub mod texts;

use serde_json::Value;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// The folder of the example model.
pub fn shakespeare() -> PathBuf {
    root().join("examples/shakespeare")
}

/// The folder of models that are too many for the repository: `$LLMC_SHARED`, or `../shared` beside the repository.
/// `None` (and a printed note) where there is none; the calling test then has nothing to check.
pub fn shared_models() -> Option<PathBuf> {
    let folder = match std::env::var_os("LLMC_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("../shared"),
    };
    let models = folder.join("models");
    if models.is_dir() {
        return Some(models);
    }
    eprintln!(
        "skipped: no folder `{}` (set LLMC_SHARED to the folder that holds `models`)",
        models.display()
    );
    None
}

/// One prompt of `cases/greedy.json` and what ONNX Runtime makes of it.
#[derive(Clone, Debug)]
pub struct GreedyCase {
    /// The text.
    pub prompt: String,
    /// Its tokens, with the start token.
    pub prompt_token_ids: Vec<i64>,
    /// The tokens that follow when the best one is taken always.
    pub token_ids: Vec<i64>,
}

/// The cases of `cases/greedy.json`.
///
/// # Panics
/// If the file is not what it should be: this is a test helper.
pub fn greedy_cases() -> Vec<GreedyCase> {
    let text =
        std::fs::read_to_string(root().join("tests/cases/greedy.json")).expect("greedy.json");
    let file: Value = serde_json::from_str(&text).expect("greedy.json is JSON");
    let cases = file["cases"].as_array().expect("cases").iter();
    cases
        .map(|case| GreedyCase {
            prompt: case["prompt"].as_str().expect("prompt").to_string(),
            prompt_token_ids: ids(&case["prompt_token_ids"]),
            token_ids: ids(&case["token_ids"]),
        })
        .collect()
}

/// The integers of a JSON array.
///
/// # Panics
/// If it is none: this is a test helper.
pub fn ids(value: &Value) -> Vec<i64> {
    value
        .as_array()
        .expect("an array")
        .iter()
        .map(|id| id.as_i64().expect("an integer"))
        .collect()
}

/// What a run of the command line left behind.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code.
    pub code: u8,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is none: this is a test helper.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e} in {}", self.out))
    }
}

/// Runs the command line inside this process, e.g. `llmc(["chip", "list"])`.
pub fn llmc<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = args.into_iter().map(|a| a.as_ref().to_os_string());
    let code = llmc::run_with(args, &mut out, &mut err);
    Ran {
        code,
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
    }
}
