//! `llmc reduce`: a small graph that shows what a large one does.

use crate::compile::CompileArgs;
use crate::pass::{passes, read};
use crate::{Context, Error, Io};
use llmc_compiler::passes::{Graph, Module, Pass, differ, reduce};
use llmc_compiler::{CompileOptions, Stage};
use std::path::{Path, PathBuf};

/// Difference of outputs, relative to the largest number, from which a pass counts as wrong.
const WRONG: f64 = 1e-4;

/// Options of `llmc reduce`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Drops outputs, puts inputs in place of nodes, takes nodes out and shortens dims for as long as the predicate holds for the graph and
the pass; prints what is left. An ONNX model is imported and run up to the pass first.

Examples:
  llmc reduce model.onnx --entry decode --pass fuse --keeps softmax
  llmc reduce graph.txt --pass fuse --differs"
)]
pub struct Options {
    /// An ONNX model, or the text of a graph (`-`: standard input)
    input: PathBuf,
    /// The pass that does what is looked for
    #[arg(long, value_name = "NAME", value_parser = passes())]
    pass: Pass,
    /// Which entry of several [default: decode, or the first]
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// What must stay true; without one: the pass fails
    #[command(flatten)]
    predicate: Predicate,
    #[command(flatten)]
    compile: CompileArgs,
}

/// What is looked for.
#[derive(clap::Args, Debug)]
#[group(multiple = false)]
struct Predicate {
    /// The pass fails with a message that contains this
    #[arg(long, value_name = "TEXT")]
    fails: Option<String>,
    /// The result of the pass has this op
    #[arg(long, value_name = "OP")]
    keeps: Option<String>,
    /// The result of the pass computes something else
    #[arg(long)]
    differs: bool,
}

impl Predicate {
    /// Whether it holds for a graph.
    fn holds(&self, graph: &Graph, pass: Pass, settings: &CompileOptions) -> bool {
        let mut module = Module::new(vec![graph.clone()]);
        let done = llmc_compiler::passes::run_pass(pass, &mut module, settings);
        let after = done.map(|()| module.entries);
        match (&self.keeps, self.differs, after) {
            (Some(op), _, Ok(entries)) => entries
                .iter()
                .any(|graph| graph.iter().any(|(_, node)| node.op.name() == op)),
            (None, true, Ok(entries)) => entries.iter().any(|after| {
                differ(graph, after, WRONG).is_ok_and(|difference| difference.is_some())
            }),
            (None, false, Err(error)) => {
                let text = self.fails.as_deref().unwrap_or("");
                format!("{error:?} {error}").contains(text)
            }
            _ => false,
        }
    }
}

/// Runs `llmc reduce`.
///
/// # Errors
/// If the input cannot be read, or the predicate does not hold for it.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let settings = options.compile.settings()?;
    let module = if options.input.extension().is_some_and(|ext| ext == "onnx") {
        let stage = before(options.pass);
        llmc_compiler::passes::graphs(&options.input, &settings, stage)
            .context(|| format!("cannot import `{}`", options.input.display()))?
    } else {
        read(&options.input)?
    };
    let graph = entry(&module, options.entry.as_deref(), &options.input)?;
    let mut holds = |graph: &Graph| options.predicate.holds(graph, options.pass, &settings);
    if !holds(graph) {
        return Err(Error::failed(format!(
            "pass `{}` does not do that to entry `{}` of `{}`: there is nothing to reduce",
            options.pass.name(),
            graph.name,
            options.input.display()
        )));
    }
    let shown = io.progress("reducing");
    let small = reduce(graph, &mut holds);
    drop(shown);
    io.print(&small)?;
    io.note(format_args!(
        "{} nodes of {} are left",
        small.len(),
        graph.len()
    ));
    Ok(())
}

/// The stage that a pass starts from.
fn before(pass: Pass) -> Stage {
    match pass {
        Pass::PromoteState => Stage::Imported,
        Pass::Roll => Stage::Stateful,
        Pass::Fold => Stage::Rolled,
        Pass::Specialise => Stage::Folded,
        Pass::Fuse | Pass::LastRow => Stage::Specialised,
        Pass::Quantise => Stage::Fused,
        Pass::Shard => Stage::Quantised,
    }
}

fn entry<'a>(module: &'a Module, name: Option<&str>, input: &Path) -> Result<&'a Graph, Error> {
    let found = match name {
        Some(name) => module.entry(name),
        None => module.entry("decode").or(module.entries.first()),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = module.entries.iter().map(|g| g.name.as_str()).collect();
        Error::failed(format!(
            "`{}` has no entry `{}`; it has {}",
            input.display(),
            name.unwrap_or(""),
            names.join(", ")
        ))
    })
}
