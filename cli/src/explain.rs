//! `llmc explain`: why each fused op is equal to what was imported, and what nearly was.

use crate::compile::CompileArgs;
use crate::{Context, Error, Io};
use llmc_compiler::passes::{Explained, NearMiss, Proof, differ, graphs};
use llmc_compiler::{CompileOptions, Stage};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Difference of outputs, relative to the largest number, up to which two graphs compute the same.
const CLOSE: f64 = 1e-4;

/// Options of `llmc explain`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Each fused op is derived from the imported nodes by the rules of the e-graph, one at a time: it `reads` these values, `given` are the
imported nodes, `by` the rules, each with the part that it finds and what it puts in place. `(2)` is the result of proof 2. Ops of
other layers that follow by the same rules are listed only; the layers of a repeat are one. What looks like an attention, a norm or
a rotation and was not fused is shown with the condition that failed and the values it saw.

Examples:
  llmc explain model.onnx
  llmc explain model.onnx --node /model/layers.0/input_layernorm
  llmc explain model.onnx --evaluate --entry prefill"
)]
pub struct Options {
    /// An ONNX model
    model: PathBuf,
    /// Only what stands for ONNX nodes whose name contains this
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// This entry [default: decode]
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// Also evaluate the imported and the fused graph of every entry on random inputs, and say whether they agree
    #[arg(long)]
    evaluate: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compile: CompileArgs,
}

/// Runs `llmc explain`.
///
/// # Errors
/// If the model cannot be imported, has no such entry, or nothing stands for such a node.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let mut settings = options.compile.settings()?;
    let shown = io.progress("explaining");
    let mut explained = explain(options, &settings)?;
    if let Some(node) = &options.node
        && !keep(&mut explained, node)
    {
        // Names of repeated layers are those of the first.
        settings.roll = false;
        explained = explain(options, &settings)?;
        if !keep(&mut explained, node) {
            return Err(Error::failed(format!(
                "entry `{}` has no node whose name contains `{node}`: either the model has none, or it was evaluated on import, \
                 as shapes, positions and masks are, or it cancelled out",
                explained.entry
            )));
        }
    }
    let agree = match options.evaluate {
        true => Some(evaluate(&options.model, &settings)?),
        false => None,
    };
    drop(shown);
    if options.json {
        return io.json(&as_json(&explained, agree.as_deref()));
    }
    io.print(&explained)?;
    if options.node.is_some() {
        io.print(kept(&explained))?;
    }
    for (entry, difference) in agree.into_iter().flatten() {
        match difference {
            None => io.line(format_args!(
                "\nentry {entry}: the imported and the fused graph compute the same on random inputs"
            ))?,
            Some(where_) => io.line(format_args!(
                "\nentry {entry}: bug in llmc, the fused graph computes something else: {where_}"
            ))?,
        }
    }
    Ok(())
}

/// Where the fused graph of each entry computes something else than the imported one, if it does.
fn evaluate(
    model: &Path,
    settings: &CompileOptions,
) -> Result<Vec<(String, Option<String>)>, Error> {
    let at = |stage: Stage| {
        graphs(model, settings, stage).context(|| format!("cannot explain `{}`", model.display()))
    };
    let (imported, fused) = (at(Stage::Specialised)?, at(Stage::Fused)?);
    let pairs = imported.entries.iter().zip(&fused.entries);
    let each = pairs.map(|(before, after)| {
        let found = differ(before, after, CLOSE)
            .context(|| format!("entry `{}` cannot be evaluated", before.name))?;
        Ok((before.name.clone(), found))
    });
    each.collect()
}

fn explain(options: &Options, settings: &CompileOptions) -> Result<Explained, Error> {
    let entry = options.entry.as_deref();
    llmc_compiler::passes::explain(&options.model, settings, entry)
        .context(|| format!("cannot explain `{}`", options.model.display()))
}

/// Leaves what is about nodes of this name. False if nothing is.
fn keep(explained: &mut Explained, node: &str) -> bool {
    let named = |origin: &[String]| origin.iter().any(|name| name.contains(node));
    explained.proofs.retain(|proof| named(&proof.origin));
    explained.near_misses.retain(|miss| named(&miss.origin));
    explained.kept.retain(|kept| named(&kept.origin));
    !(explained.proofs.is_empty() && explained.near_misses.is_empty() && explained.kept.is_empty())
}

/// The nodes that are no part of a fused op, as text.
fn kept(explained: &Explained) -> String {
    let lines = explained
        .kept
        .iter()
        .map(|kept| format!("  {}\n", kept.text));
    match explained.kept.is_empty() {
        true => String::new(),
        false => format!("\nleft as it was:\n{}", lines.collect::<String>()),
    }
}

fn as_json(explained: &Explained, agree: Option<&[(String, Option<String>)]>) -> Value {
    let proofs: Vec<Value> = explained.proofs.iter().map(proof_as_json).collect();
    let misses: Vec<Value> = explained.near_misses.iter().map(miss_as_json).collect();
    let kept = explained
        .kept
        .iter()
        .map(|kept| json!({ "node": kept.text, "origin": kept.origin }));
    let kept: Vec<Value> = kept.collect();
    let evaluated = agree.map(|all| {
        let each = all
            .iter()
            .map(|(entry, found)| (entry.clone(), json!(found)));
        Value::Object(each.collect())
    });
    json!({
        "entry": explained.entry,
        "proofs": proofs,
        "near_misses": misses,
        "kept": kept,
        "differences": evaluated,
    })
}

fn proof_as_json(proof: &Proof) -> Value {
    let steps = proof.steps.iter().map(|step| {
        json!({
            "rule": step.rule,
            "meaning": step.meaning,
            "backwards": step.backwards,
            "value": step.value,
            "before": step.before,
            "after": step.after,
        })
    });
    json!({
        "op": proof.op,
        "origin": proof.origin,
        "turns": proof.turns,
        "reads": proof.reads,
        "given": proof.given,
        "steps": steps.collect::<Vec<_>>(),
        "value": proof.value,
        "goal": proof.goal,
    })
}

fn miss_as_json(miss: &NearMiss) -> Value {
    let failed = miss.failed.iter().map(|failed| {
        let saw = failed
            .saw
            .iter()
            .map(|(var, value)| (var.clone(), json!(value)));
        json!({
            "rule": failed.rule,
            "meaning": failed.meaning,
            "reason": failed.reason,
            "saw": Value::Object(saw.collect()),
        })
    });
    let closest = miss.closest.iter().map(|closest| {
        json!({
            "rule": closest.rule,
            "meaning": closest.meaning,
            "form": closest.form,
            "wants": closest.wants,
            "found": closest.found,
        })
    });
    json!({
        "looks_like": miss.looks_like,
        "at": miss.at,
        "origin": miss.origin,
        "reached": miss.reached,
        "missing": miss.missing,
        "failed": failed.collect::<Vec<_>>(),
        "closest": closest.collect::<Vec<_>>(),
        "form": miss.form,
    })
}
