//! `llmc compile`, and the compiler options that other subcommands share.

use crate::{Error, Io};
use std::path::PathBuf;

/// Options that decide what is compiled, and for what.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Compiler")]
pub struct CompileArgs {
    /// The chip: a preset (see `llmc chip list`) or a chip file
    #[arg(long, value_name = "NAME|FILE", default_value = "ideal")]
    pub chip: String,
    /// Changes a number of the chip file, e.g. `core.sram_kib=256`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair::<f64>)]
    pub set: Vec<(String, f64)>,
    /// How weights are stored and multiplied
    #[arg(long, value_enum, default_value_t = Quant::None)]
    pub quant: Quant,
    /// Positions the state holds [default: the model's limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_context: Option<u32>,
    /// Tokens of a prompt chunk
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub prefill: u32,
    /// Sequences at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Binds a symbolic dimension of a model without state; may be repeated
    #[arg(long = "dim", value_name = "NAME=VALUE", value_parser = pair::<u64>)]
    pub dims: Vec<(String, u64)>,
    /// Threads of compiler and emulator; 0: one per processor. Changes no result
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
}

/// How weights are stored and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Quant {
    /// As in the model: float stays f32
    None,
    /// Matrices in bf16, sums in f32
    Bf16,
}

fn pair<T: std::str::FromStr>(text: &str) -> Result<(String, T), String>
where
    T::Err: std::fmt::Display,
{
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = value.parse().map_err(|e| format!("`{value}`: {e}"))?;
    Ok((name.to_string(), value))
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
