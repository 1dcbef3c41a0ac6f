//! `llmc explain`: why each fused op is equal to what was imported, and what nearly was.

use crate::compile::CompileArgs;
use crate::{Context, Error, Io};
use llmc_compiler::CompileOptions;
use llmc_compiler::passes::{Explained, NearMiss, Proof};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Options of `llmc explain`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Each fused op is derived from the imported nodes by the rules of the e-graph, one at a time: `of` is what it reads, `given` the
imported nodes, `by` the rules, each with the part that it finds and what it puts in place. `(2)` is the result of proof 2. Ops of
other layers that follow by the same rules are listed only; the layers of a repeat are one. What looks like an attention, a norm or a rotation and was not fused is shown with the condition that
failed and the values it saw.

Examples:
  llmc explain model.onnx
  llmc explain model.onnx --node /model/layers.0/input_layernorm"
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
    drop(shown);
    if options.json {
        io.json(&as_json(&explained))
    } else {
        io.print(&explained)?;
        match &options.node {
            Some(_) => io.print(kept(&explained)),
            None => Ok(()),
        }
    }
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
    !(explained.proofs.is_empty()
        && explained.near_misses.is_empty()
        && explained.kept.is_empty())
}

/// The nodes that are no part of a fused op, as text.
fn kept(explained: &Explained) -> String {
    let lines = explained.kept.iter().map(|kept| format!("  {}\n", kept.text));
    match explained.kept.is_empty() {
        true => String::new(),
        false => format!("\nleft as it was:\n{}", lines.collect::<String>()),
    }
}

fn as_json(explained: &Explained) -> Value {
    let proofs: Vec<Value> = explained.proofs.iter().map(proof_as_json).collect();
    let misses: Vec<Value> = explained.near_misses.iter().map(miss_as_json).collect();
    let kept = explained
        .kept
        .iter()
        .map(|kept| json!({ "node": kept.text, "origin": kept.origin }));
    let kept: Vec<Value> = kept.collect();
    json!({ "entry": explained.entry, "proofs": proofs, "near_misses": misses, "kept": kept })
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
    })
}
