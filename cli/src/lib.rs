//! The `llmc` command line. One file per subcommand, each with its `Options` and a `run`.
//!
//! Exit codes: 0 fine, 1 a problem in the input, 2 wrong usage. Results go to standard output, remarks, progress and errors to
//! standard error. Output files are written whole or not at all.

mod asm;
mod check;
mod chip;
mod compile;
mod disasm;
mod dump;
mod energy;
mod engine;
mod error;
mod eval;
mod explain;
mod file;
mod generate;
mod inspect;
mod io;
mod pass;
mod perplexity;
mod reduce;
mod run;
pub mod sampler;
mod show;
pub mod text;

pub use error::{Context, Error};
pub use io::{Io, Progress};

use clap::Parser;
use std::ffi::OsString;
use std::io::{BufWriter, IsTerminal, Write};
use std::process::ExitCode;

/// Compiles language models from ONNX to microcode for an LLM-inference chip, and runs them on an emulator of it.
#[derive(Parser, Debug)]
#[command(
    name = "llmc",
    version,
    max_term_width = 110,
    arg_required_else_help = true
)]
#[command(after_help = "Start here:
  llmc generate examples/shakespeare/model.onnx --prompt \"ROMEO:\"

Exit codes: 0 fine, 1 a problem in the input, 2 wrong usage.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Compile a model to a binary and print the report
    Compile(compile::Options),
    /// Can a model be compiled? Every problem at once
    Check(check::Options),
    /// Print the program at a stage of the compiler
    Dump(dump::Options),
    /// Why each fused op is equal to what was imported, and what nearly was
    Explain(explain::Options),
    /// Run one graph pass on text
    Pass(pass::Options),
    /// Shrink a graph for as long as a pass does something to it
    Reduce(reduce::Options),
    /// Launch one entry of a binary
    Run(run::Options),
    /// Logits of given tokens, or perplexity of a text
    Eval(eval::Options),
    /// Continue a text
    Generate(generate::Options),
    /// Assembly text to a binary
    Asm(asm::Options),
    /// A binary to assembly text
    Disasm(disasm::Options),
    /// Sections, entries, memory map and sizes of a binary
    Inspect(inspect::Options),
    /// Chips: presets and chip files
    #[command(subcommand)]
    Chip(chip::Options),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut err = std::io::stderr();
    let progress = err.is_terminal();
    ExitCode::from(run_on(
        std::env::args_os().collect(),
        &mut out,
        &mut err,
        progress,
    ))
}

/// Runs a command line (without the name of the program) on the given streams and returns the exit code.
pub fn run_with(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let args = std::iter::once("llmc".into()).chain(args).collect();
    run_on(args, out, err, false)
}

fn run_on(args: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write, progress: bool) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            let text = e.render();
            let _ = if !e.use_stderr() {
                write!(out, "{text}").and_then(|()| out.flush())
            } else if progress {
                write!(err, "{}", text.ansi())
            } else {
                write!(err, "{text}")
            };
            return u8::try_from(e.exit_code()).unwrap_or(2);
        }
    };
    let mut io = Io::new(out, err).with_progress(progress);
    let done = match &cli.command {
        Command::Compile(options) => compile::run(options, &mut io),
        Command::Check(options) => check::run(options, &mut io),
        Command::Dump(options) => dump::run(options, &mut io),
        Command::Explain(options) => explain::run(options, &mut io),
        Command::Pass(options) => pass::run(options, &mut io),
        Command::Reduce(options) => reduce::run(options, &mut io),
        Command::Run(options) => run::run(options, &mut io),
        Command::Eval(options) => eval::run(options, &mut io),
        Command::Generate(options) => generate::run(options, &mut io),
        Command::Asm(options) => asm::run(options, &mut io),
        Command::Disasm(options) => disasm::run(options, &mut io),
        Command::Inspect(options) => inspect::run(options, &mut io),
        Command::Chip(options) => chip::run(options, &mut io),
    };
    // What was printed before an error belongs to the reader too.
    match done.and(io.flush()) {
        Ok(()) => 0,
        Err(Error::Pipe) => Error::Pipe.exit_code(),
        Err(e) => {
            let _ = io.flush();
            io.note(e.report().trim_end());
            e.exit_code()
        }
    }
}
