//! `llmc pass`: one graph pass on the text of a graph.

use crate::compile::CompileArgs;
use crate::{Context, Error, Io};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use llmc_compiler::passes::{Module, Pass, parse_module, problems};
use std::io::Read;
use std::path::Path;

/// Options of `llmc pass`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The text is that of `llmc dump --stage` up to `sharded`; of a large constant it has the shape and a digest only, and passes leave
such constants as they are.

Examples:
  llmc pass --list
  llmc dump model.onnx --stage specialised --entry decode | llmc pass fuse"
)]
pub struct Options {
    /// Which pass
    #[arg(value_name = "NAME", value_parser = passes(), required_unless_present = "list")]
    name: Option<Pass>,
    /// List the passes in their order
    #[arg(long, visible_alias = "passes")]
    list: bool,
    #[command(flatten)]
    compile: CompileArgs,
}

/// The names of passes, for clap.
pub(crate) fn passes() -> impl TypedValueParser<Value = Pass> {
    let values = Pass::ALL.map(|pass| PossibleValue::new(pass.name()).help(pass.doc()));
    PossibleValuesParser::new(values)
        .try_map(|name| Pass::of(&name).ok_or_else(|| format!("there is no pass `{name}`")))
}

/// Runs `llmc pass` on standard input.
///
/// # Errors
/// If the text is no graph, or the pass fails.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let pass = match options.name {
        Some(pass) if !options.list => pass,
        _ => {
            for pass in Pass::ALL {
                io.line(format_args!("{:14} {}", pass.name(), pass.doc()))?;
            }
            return Ok(());
        }
    };
    let mut module = read(Path::new("-"))?;
    llmc_compiler::passes::run_pass(pass, &mut module, &options.compile.settings()?)
        .context(|| format!("pass `{}` failed", pass.name()))?;
    io.print(module)
}

/// The graphs of a text; `-` is standard input.
///
/// # Errors
/// If it cannot be read or is no graph, with every place.
pub(crate) fn read(path: &Path) -> Result<Module, Error> {
    let mut text = String::new();
    let cannot = || format!("cannot read `{}`", path.display());
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context(cannot)?;
    } else {
        text = std::fs::read_to_string(path).context(cannot)?;
    }
    let module = parse_module(&text).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("\n  {error}")).collect();
        Error::failed(format!(
            "`{}` is not the text of a graph:{}",
            path.display(),
            lines.concat()
        ))
    })?;
    if module.entries.is_empty() {
        return Err(Error::failed(format!("`{}` has no graph", path.display())));
    }
    let problems = problems(&module);
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(|p| format!("\n  {p}")).collect();
        return Err(Error::failed(format!(
            "`{}` is a graph that is not well formed:{}",
            path.display(),
            lines.concat()
        )));
    }
    Ok(module)
}
