//! `llmc chip`: presets, chip files, their checks.

use crate::{Context, Error, Io, show};
use llmc_isa::Chip;
use llmc_isa::chip::{ChipError, Problem, Value};
use serde::Serialize;
use std::path::PathBuf;

/// What to do with chips.
#[derive(clap::Subcommand, Debug)]
pub enum Options {
    /// List the chips that come with llmc
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the chip file of a preset (or of a file, after checking it)
    ///
    /// A chip of your own begins as a copy: `llmc chip show edge > mine.toml`, then `--chip mine.toml`.
    Show {
        /// Name of a preset, or a chip file
        chip: String,
        /// Print the derived numbers as JSON instead of the file
        #[arg(long)]
        json: bool,
    },
    /// Check a chip file; prints every problem with its line
    Check {
        /// The chip file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// The numbers of a chip that a reader wants to see at once.
#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    description: String,
    cores: u32,
    mesh: [u32; 2],
    clock_hz: u64,
    sram_bytes_per_core: u64,
    sram_bytes: u64,
    dram_bytes: u64,
    dram_bytes_per_s: u64,
    mxu: [u64; 2],
    vpu_lanes: u64,
    queue_depth: u32,
    semaphores: u32,
    fingerprint: String,
}

impl Summary {
    fn of(chip: &Chip) -> Summary {
        Summary {
            name: chip.name().to_string(),
            description: chip.description().to_string(),
            cores: chip.cores(),
            mesh: [chip.cores_x(), chip.cores_y()],
            clock_hz: chip.clock_hz(),
            sram_bytes_per_core: chip.sram_bytes(),
            sram_bytes: chip.sram_bytes() * u64::from(chip.cores()),
            dram_bytes: chip.dram_bytes(),
            dram_bytes_per_s: chip.dram_bytes_per_s(),
            mxu: [chip.mxu_rows(), chip.mxu_cols()],
            vpu_lanes: chip.vpu_lanes(),
            queue_depth: chip.queue_depth(),
            semaphores: chip.semaphores(),
            fingerprint: chip.fingerprint(),
        }
    }
}

/// A problem of a chip file, for `--json`.
#[derive(Debug, Serialize)]
struct Found {
    line: usize,
    column: usize,
    width: usize,
    key: String,
    message: String,
}

/// Runs `llmc chip`.
///
/// # Errors
/// If a chip is unknown, unreadable or inconsistent.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    match options {
        Options::List { json } => list(*json, io),
        Options::Show { chip, json } => {
            let chip = load(chip)?;
            if *json {
                io.json(&Summary::of(&chip))
            } else {
                io.print(chip.text())
            }
        }
        Options::Check { file, json } => check(&file.to_string_lossy(), *json, io),
    }
}

fn list(json: bool, io: &mut Io) -> Result<(), Error> {
    let mut chips = Vec::new();
    for name in Chip::presets() {
        chips.push(Summary::of(&load(name)?));
    }
    if json {
        return io.json(&chips);
    }
    let head = ["chip", "cores", "SRAM", "DRAM", "bandwidth", "clock"];
    let [name, cores, sram, dram, bandwidth, clock] = head;
    io.line(format_args!(
        "{name:<26} {cores:>5} {sram:>12} {dram:>12} {bandwidth:>12} {clock:>9}"
    ))?;
    for chip in chips {
        io.line(format_args!(
            "{:<26} {:>5} {:>12} {:>12} {:>7.1} GB/s {:>5.2} GHz  {}",
            chip.name,
            chip.cores,
            show::bytes(chip.sram_bytes),
            show::bytes(chip.dram_bytes),
            chip.dram_bytes_per_s as f64 / 1e9,
            chip.clock_hz as f64 / 1e9,
            chip.description,
        ))?;
    }
    Ok(())
}

fn check(file: &str, json: bool, io: &mut Io) -> Result<(), Error> {
    let text = std::fs::read_to_string(file).context(|| format!("cannot read `{file}`"))?;
    let problems = match Chip::from_toml(&text, file) {
        Ok(_) => Vec::new(),
        Err(ChipError { problems }) => problems,
    };
    if json {
        let found = |p: &Problem| Found {
            line: p.line,
            column: p.column,
            width: p.width,
            key: p.key.clone(),
            message: p.message.clone(),
        };
        io.json(&problems.iter().map(found).collect::<Vec<_>>())?;
    } else if problems.is_empty() {
        io.line(format_args!("{file}: no problems"))?;
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::failed(list_of(file, &problems)))
    }
}

fn list_of(name: &str, problems: &[Problem]) -> String {
    let mut text = match problems {
        [_] => format!("chip `{name}` has a problem"),
        _ => format!("chip `{name}` has {} problems", problems.len()),
    };
    for problem in problems {
        for line in problem.report().lines() {
            text.push_str("\n  ");
            text.push_str(line);
        }
    }
    text
}

/// The chip of `--chip`: a preset, or a checked chip file.
///
/// # Errors
/// If there is no such chip, or if it has problems; all of them are named.
pub fn load(name: &str) -> Result<Chip, Error> {
    load_with(name, &[])
}

/// As [`load`], with some numbers changed first (`--set`).
///
/// # Errors
/// As [`load`], and if a key does not exist.
pub fn load_with(name: &str, set: &[(String, Value)]) -> Result<Chip, Error> {
    let problem = |e: ChipError| Error::failed(list_of(name, &e.problems));
    let mut chip = Chip::load(name).map_err(problem)?;
    for (key, value) in set {
        chip.set(key, value.clone()).map_err(problem)?;
    }
    Ok(chip)
}

/// The value of `--set KEY=VALUE`: an integer, a number or a word.
pub fn value(text: &str) -> Value {
    if let Ok(value) = text.parse::<i64>() {
        return Value::Int(value);
    }
    text.parse::<f64>()
        .map_or_else(|_| Value::Text(text.to_string()), Value::Float)
}
