//! `llmc explain`: why each fused op is equal to what was imported, and what nearly was.

use crate::compile::CompileArgs;
use crate::{Context, Error, Io};
use llmc_compiler::passes::{Explained, NearMiss, Proof};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Options of `llmc explain`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Each fused op is derived from the imported nodes by the rules of the e-graph, one at a time. Ops of other layers that follow by the
same rules are listed only. What looks like an attention, a norm or a rotation and was not fused is shown with the condition that
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
    let settings = options.compile.settings()?;
    let shown = io.progress("explaining");
    let explained =
        llmc_compiler::passes::explain(&options.model, &settings, options.entry.as_deref());
    drop(shown);
    let mut explained =
        explained.context(|| format!("cannot explain `{}`", options.model.display()))?;
    if let Some(node) = &options.node {
        keep(&mut explained, node);
        if explained.proofs.is_empty() && explained.near_misses.is_empty() {
            return Err(Error::failed(format!(
                "no fused op of entry `{}` stands for a node named `{node}`, and nothing near it could have been fused",
                explained.entry
            )));
        }
    }
    if options.json {
        io.json(&as_json(&explained))
    } else {
        io.print(&explained)
    }
}

/// Leaves what is about nodes of this name.
fn keep(explained: &mut Explained, node: &str) {
    let named = |proof: &Proof| proof.origin.iter().any(|name| name.contains(node));
    explained.proofs.retain(named);
    explained.near_misses.retain(|miss| miss.at.contains(node));
}

fn as_json(explained: &Explained) -> Value {
    let proofs: Vec<Value> = explained.proofs.iter().map(proof_as_json).collect();
    let misses: Vec<Value> = explained.near_misses.iter().map(miss_as_json).collect();
    json!({ "entry": explained.entry, "proofs": proofs, "near_misses": misses })
}

fn proof_as_json(proof: &Proof) -> Value {
    let steps = proof.steps.iter().map(|step| {
        json!({
            "rule": step.rule,
            "meaning": step.meaning,
            "backwards": step.backwards,
            "before": step.before,
            "after": step.after,
        })
    });
    json!({
        "op": proof.op,
        "origin": proof.origin,
        "given": proof.given,
        "steps": steps.collect::<Vec<_>>(),
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
    let known = miss
        .known
        .iter()
        .map(|(rule, lhs)| json!({ "rule": rule, "left": lhs }));
    json!({
        "looks_like": miss.looks_like,
        "at": miss.at,
        "reached": miss.reached,
        "missing": miss.missing,
        "failed": failed.collect::<Vec<_>>(),
        "known": known.collect::<Vec<_>>(),
        "around": miss.around,
    })
}
