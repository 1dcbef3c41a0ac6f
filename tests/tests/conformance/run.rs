//! The ways in which a case is run.

use crate::case::{Case, DataSet};
use llmc_compiler::import::{Category, ImportError, ImportOptions, import};
use llmc_compiler::{CompileError, CompileOptions, compile};
use llmc_ir::eval::bind_inputs;
use llmc_ir::eval_graph;
use llmc_isa::Chip;
use llmc_isa::container::Binary;
use llmc_runtime_emu::values::ValueError;
use llmc_runtime_emu::{Options, RunError, Session};
use llmc_tensor::Tensor;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tempfile::TempDir;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Right in all ways, with these inputs as constants of the model.
    Pass(Vec<String>),
    /// Refused as something that llmc does not do.
    Unsupported(String),
    /// A wrong value, a valid file called wrong, a contradiction or a panic.
    Wrong(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Pass(bound) if bound.is_empty() => f.write_str("pass"),
            Outcome::Pass(bound) => write!(f, "pass with constant {}", bound.join(", ")),
            Outcome::Unsupported(reason) => write!(f, "unsupported {reason}"),
            Outcome::Wrong(reason) => write!(f, "wrong {reason}"),
        }
    }
}

/// Why a case does not pass.
type Stop = Outcome;
type Values = BTreeMap<String, Tensor>;

/// Runs `f`; a panic is a wrong case, not the end of the run.
pub fn guarded(f: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let payload: &dyn Any = payload.as_ref();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        wrong(format!("panic: {}", text.unwrap_or("")))
    })
}

/// Runs a case in every way; the first that fails decides.
pub fn all_modes(case: &Case) -> Outcome {
    match with_inputs(case) {
        Outcome::Pass(bound) => constant(case).err().unwrap_or(Outcome::Pass(bound)),
        other => other,
    }
}

/// Runs a case with its inputs as inputs.
///
/// An input that decides a shape (axes, sizes, a trip count) must be known at compile time. Where that is what fails, the
/// small integer inputs become constants of the model, and the outcome says which.
fn with_inputs(case: &Case) -> Outcome {
    let first = modes(case);
    let Err(Outcome::Unsupported(reason)) = &first else {
        return first.err().unwrap_or(Outcome::Pass(Vec::new()));
    };
    let bound = case.shape_inputs();
    if bound.is_empty() {
        return Outcome::Unsupported(reason.clone());
    }
    let folder = TempDir::new().unwrap();
    match modes(&case.with_constants(&bound, folder.path())) {
        Ok(()) => Outcome::Pass(bound),
        Err(Outcome::Unsupported(_)) => Outcome::Unsupported(reason.clone()),
        Err(stop) => stop,
    }
}

fn modes(case: &Case) -> Result<(), Stop> {
    evaluate(case)?;
    for sram in SRAM_BYTES {
        emulate(case, &chip(sram))?;
    }
    Ok(())
}

fn chip(sram_bytes: u64) -> Chip {
    let edge = Chip::load("edge").unwrap();
    edge.with_sram_bytes(sram_bytes).unwrap()
}

/// All inputs as constants of the model: what the compiler folds is what the chip would have computed.
fn constant(case: &Case) -> Result<(), Stop> {
    let folder = TempDir::new().unwrap();
    let names: Vec<String> = case.sets[0].inputs.iter().map(|(n, _)| n.clone()).collect();
    let case = case.with_constants(&names, folder.path());
    emulate(&case, &chip(SRAM_BYTES[0])).map_err(|stop| match stop {
        Outcome::Pass(inputs) => Outcome::Pass(inputs),
        Outcome::Unsupported(reason) | Outcome::Wrong(reason) => {
            wrong(format!("all inputs constant: {reason}"))
        }
    })
}

/// SRAM of a core of the chips that cases run on: as the preset has it, and so little that every op takes several tiles.
const SRAM_BYTES: [u64; 2] = [512 << 10, 16 << 10];

/// Compiles the case and runs the binary.
fn emulate(case: &Case, chip: &Chip) -> Result<(), Stop> {
    let mut options = CompileOptions::new(chip.clone());
    options.threads = 1;
    let compiled = compile(&case.path, &options).map_err(|e| not_compiled(&e))?;
    let bytes = compiled
        .to_bytes()
        .map_err(|e| wrong(format!("bug: {e}")))?;
    let binary = Binary::from_bytes(bytes, "case").map_err(|e| wrong(format!("bug: {e}")))?;
    let session = Session::new(Arc::new(binary), None, Options::default());
    let mut session = session.map_err(|e| wrong(format!("emulator: {e}")))?;
    for set in &case.sets {
        let inputs = inputs(set)?;
        let given: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let called = session.call("main", &given).map_err(|e| match e {
            RunError::Value(ValueError::Range { .. }) => {
                Outcome::Unsupported(one_line(&format!("narrowing: {e}")))
            }
            e => wrong(format!("emulator: {e}")),
        });
        let (outputs, _) = called?;
        check(case, set, &outputs.into_iter().collect())?;
    }
    Ok(())
}

/// What a compile error means for a file that is known to be valid.
fn not_compiled(error: &CompileError) -> Outcome {
    let text = format!("compile: {error}");
    match (error, error.category()) {
        (CompileError::Import(error), _) => refused(error),
        (_, Category::Unsupported) => Outcome::Unsupported(one_line(&text)),
        (_, Category::Input) => wrong(format!("called invalid: {text}")),
        (_, Category::Bug) => wrong(text),
    }
}

/// Imports the case, and lets the reference evaluator compute it.
fn evaluate(case: &Case) -> Result<(), Stop> {
    let imported = import(&case.path, &ImportOptions::default()).map_err(|e| refused(&e))?;
    for set in &case.sets {
        let inputs = inputs(set)?;
        let bound = bind_inputs(&imported.graph, &inputs);
        let found = bound.and_then(|bindings| {
            eval_graph(&imported.graph, &bindings, &inputs, &mut BTreeMap::new())
        });
        check(
            case,
            set,
            &found.map_err(|e| wrong(format!("evaluator: {e}")))?,
        )?;
    }
    Ok(())
}

fn inputs(set: &DataSet) -> Result<Values, Stop> {
    let tensor = |(name, value): &(String, Result<Tensor, String>)| match value {
        Ok(tensor) => Ok((name.clone(), tensor.clone())),
        Err(e) => Err(Outcome::Unsupported(format!("input: {}", one_line(e)))),
    };
    set.inputs.iter().map(tensor).collect()
}

fn check(case: &Case, set: &DataSet, found: &Values) -> Result<(), Stop> {
    for (name, expected) in &set.outputs {
        let expected = expected.as_ref();
        let expected =
            expected.map_err(|e| Outcome::Unsupported(format!("output: {}", one_line(e))))?;
        let got = found.get(name);
        let got = got.ok_or_else(|| wrong(format!("no output `{name}`")))?;
        if let Some(difference) = case.difference(got, expected) {
            return Err(wrong(format!("value: `{name}` {difference}")));
        }
    }
    Ok(())
}

/// What an import error means for a file that is known to be valid: the first problem of the gravest category.
fn refused(error: &ImportError) -> Outcome {
    let category = error.category();
    let text = match error {
        ImportError::Problems(problems) => {
            let first = problems.iter().find(|p| p.category == category);
            first.map_or_else(String::new, |p| match p.operator.as_str() {
                "" => p.reason.clone(),
                operator => format!("{operator}: {}", p.reason),
            })
        }
        other => other.to_string(),
    };
    match category {
        Category::Unsupported => Outcome::Unsupported(one_line(&text)),
        Category::Input => wrong(format!("called invalid: {text}")),
        Category::Bug => wrong(format!("bug: {text}")),
    }
}

fn wrong(reason: String) -> Outcome {
    Outcome::Wrong(one_line(&reason))
}

/// Reasons are single lines of a list that people read.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 160;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
