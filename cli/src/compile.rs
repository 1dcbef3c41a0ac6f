//! `llmc compile`, and the compiler options that other subcommands share.

use crate::{Error, Io, chip};
use llmc_isa::chip::Value;
use llmc_isa::container::Binary;
use std::path::{Path, PathBuf};

/// Options that decide what is compiled, and for what.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Compiler")]
pub struct CompileArgs {
    /// The chip: a preset (see `llmc chip list`) or a chip file [default: ideal]
    #[arg(long, value_name = "NAME|FILE")]
    pub chip: Option<String>,
    /// Changes a number of the chip file, e.g. `core.sram_kib=256`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, Value)>,
    /// How weights are stored and multiplied [default: none]
    #[arg(long, value_enum)]
    pub quant: Option<Quant>,
    /// Positions the state holds [default: the model's limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_context: Option<u32>,
    /// Most tokens of one launch of the prompt [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub prefill: Option<u32>,
    /// Sequences at once [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    /// Binds a symbolic dimension of a model without state; may be repeated
    #[arg(long = "dim", value_name = "NAME=VALUE", value_parser = pair::<u64>)]
    pub dims: Vec<(String, u64)>,
    /// Threads of the compiler, 0: one per processor; changes no result [default: 0]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// How weights are stored and multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Quant {
    /// As in the model: float stays f32
    #[default]
    None,
    /// Matrices in bf16, sums in f32
    Bf16,
}

impl CompileArgs {
    /// What `--chip` says, or its default.
    pub fn chip_name(&self) -> &str {
        self.chip.as_deref().unwrap_or("ideal")
    }

    /// Fails if an option is given that means nothing for a program that is compiled already.
    ///
    /// # Errors
    /// Names the option.
    pub fn only_chip(&self) -> Result<(), Error> {
        let given = [
            ("--quant", self.quant.is_some()),
            ("--max-context", self.max_context.is_some()),
            ("--prefill", self.prefill.is_some()),
            ("--batch", self.batch.is_some()),
            ("--dim", !self.dims.is_empty()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(Error::Usage(format!(
                "{option}: the program is compiled already"
            ))),
            None => Ok(()),
        }
    }
}

/// The parser of `NAME=VALUE`.
pub(crate) fn pair<T: std::str::FromStr>(text: &str) -> Result<(String, T), String>
where
    T::Err: std::fmt::Display,
{
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = value.parse().map_err(|e| format!("`{value}`: {e}"))?;
    Ok((name.to_string(), value))
}

fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_string(), chip::value(value)))
}
/// tmp
#[derive(clap::Args, Debug)]
pub struct Options {
    /// m
    model: PathBuf,
    #[command(flatten)]
    compile: CompileArgs,
}
/// r
pub fn run(_options: &Options, _io: &mut Io) -> Result<(), Error> {
    Ok(())
}
/// r
pub fn in_memory(_: &Path, _: &CompileArgs, _: &mut Io) -> Result<Binary, Error> {
    Err(Error::Pipe)
}
