//! `llmc dump`: the program at a stage of the compiler, as text.

use crate::compile::CompileArgs;
use crate::{Context, Error, Io};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use llmc_compiler::Stage;
use std::path::PathBuf;

/// Options of `llmc dump`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The text of a graph or a tile program can be read back; names in quotes are those of the ONNX nodes.

Examples:
  llmc dump model.onnx --stage fused --entry decode
  llmc dump model.onnx --stage synchronised --chip edge"
)]
pub struct Options {
    /// An ONNX model
    model: PathBuf,
    /// Which stage
    #[arg(long, visible_alias = "stop-after", value_name = "STAGE|PASS", value_parser = stages())]
    stage: Stage,
    /// Only this entry
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    #[command(flatten)]
    compile: CompileArgs,
}

/// The names of stages, and of the passes that they are left by.
pub(crate) fn stages() -> impl TypedValueParser<Value = Stage> {
    let values = Stage::ALL.iter().map(|s| {
        PossibleValue::new(s.name())
            .alias(s.pass())
            .help(s.doc().trim())
    });
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Stage>())
}

/// Runs `llmc dump`.
///
/// # Errors
/// If the model cannot be compiled up to that stage, or has no such entry.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let settings = options.compile.settings()?;
    let shown = io.progress("compiling");
    let texts = llmc_compiler::dump(
        &options.model,
        &settings,
        options.stage,
        options.entry.as_deref(),
    );
    drop(shown);
    for text in texts.context(|| format!("cannot compile `{}`", options.model.display()))? {
        io.print(text.text)?;
    }
    Ok(())
}
