//! `llmc check`: can a model be compiled, and if not, everything that is in the way.

use crate::compile::CompileArgs;
use crate::{Context, Error, Io};
use llmc_compiler::survey::{Survey, survey};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Options of `llmc check`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The model goes through the whole compiler, and nothing is written. Exit code 1 if something does not work.

Examples:
  llmc check model.onnx
  llmc check model.onnx --chip edge --json"
)]
pub struct Options {
    /// An ONNX model
    model: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compile: CompileArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    producer: Option<String>,
    dialect: String,
    family: String,
    opsets: BTreeMap<String, i64>,
    entries: Vec<String>,
    operators: BTreeMap<String, Operator>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Operator {
    nodes: usize,
    problems: usize,
}

#[derive(Debug, Serialize)]
struct Problem {
    category: String,
    node: String,
    operator: String,
    reason: String,
    remedy: String,
}

/// Runs `llmc check`.
///
/// # Errors
/// If the model cannot be read, or something in it does not work.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let settings = options.compile.settings()?;
    let shown = io.progress("checking");
    let name = options.model.display();
    let found = survey(&options.model, &settings).context(|| format!("cannot check `{name}`"))?;
    drop(shown);
    if options.json {
        io.json(&report(&found))?;
    } else {
        print(&found, io)?;
    }
    match found.problems.len() {
        0 => Ok(()),
        1 => Err(Error::failed(format!("`{name}` has 1 problem"))),
        n => Err(Error::failed(format!("`{name}` has {n} problems"))),
    }
}

fn print(found: &Survey, io: &mut Io) -> Result<(), Error> {
    let producer = found.producer.as_deref().unwrap_or("not named");
    io.line(format_args!(
        "exporter: {} (producer: {producer})",
        found.dialect
    ))?;
    io.line(format_args!("model:    {}", found.family))?;
    let entries = found.entries.join(", ");
    let nodes: usize = found.operators.values().map(|o| o.nodes).sum();
    let kinds = found.operators.len();
    match found.problems.is_empty() {
        true => io.line(format_args!(
            "compiles: {nodes} nodes of {kinds} operators, to the entries {entries}"
        ))?,
        false => io.line(format_args!(
            "does not compile: {nodes} nodes of {kinds} operators; without these problems it would have the entries {entries}"
        ))?,
    }
    for problem in &found.problems {
        io.line(format_args!("\n{problem}"))?;
    }
    let concerned: Vec<String> = found
        .operators
        .iter()
        .filter(|(_, count)| count.problems > 0)
        .map(|(name, count)| format!("{name} {} of {}", count.problems, count.nodes))
        .collect();
    if !concerned.is_empty() {
        io.line(format_args!(
            "\nnodes with problems: {}",
            concerned.join(", ")
        ))?;
    }
    for warning in &found.warnings {
        io.note(format!("warning: {warning}"));
    }
    Ok(())
}

fn report(found: &Survey) -> Report {
    let operator = |(name, count): (&String, &llmc_compiler::survey::OperatorCount)| {
        let operator = Operator {
            nodes: count.nodes,
            problems: count.problems,
        };
        (name.clone(), operator)
    };
    let problem = |p: &llmc_compiler::import::Problem| Problem {
        category: p.category.to_string(),
        node: p.node.clone(),
        operator: p.operator.clone(),
        reason: p.reason.clone(),
        remedy: p.remedy.clone(),
    };
    Report {
        ok: found.problems.is_empty(),
        producer: found.producer.clone(),
        dialect: found.dialect.clone(),
        family: found.family.clone(),
        opsets: found.opsets.clone(),
        entries: found.entries.clone(),
        operators: found.operators.iter().map(operator).collect(),
        problems: found.problems.iter().map(problem).collect(),
        warnings: found.warnings.clone(),
    }
}
