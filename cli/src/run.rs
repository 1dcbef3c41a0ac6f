//! `llmc run`: one launch of one entry.

use crate::{Context, Error, Io, file, show};
use llmc_isa::Queue;
use llmc_isa::container::{Entry, IoTensor, Manifest};
use llmc_runtime_emu::values::{from_chip, to_chip};
use llmc_runtime_emu::{LaunchStats, Mode, Options as Emulation, Session};
use llmc_tensor::{DType, Tensor, npz};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// Options of `llmc run`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Inputs and outputs are arrays named as those of the model, bf16 as uint16. A program of a model without state takes and
gives them in the model's types and shapes. Of language models an input may be shorter than the space for it, and state
begins empty. The launch register `tokens` is the number of tokens in `input_ids` unless --launch says otherwise; all
others are 0.

Examples:
  llmc run model.llmc --entry prefill --inputs in.npz --outputs out.npz
  llmc run model.llmc --entry decode --mode timing --launch past=400 --launch tokens=1"
)]
pub struct Options {
    /// A compiled program
    file: PathBuf,
    /// Which entry [default: the only one]
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// Input arrays
    #[arg(long, value_name = "FILE.npz")]
    inputs: Option<PathBuf>,
    /// Where the output arrays go
    #[arg(long, value_name = "FILE.npz")]
    outputs: Option<PathBuf>,
    /// Sets a launch register; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::compile::pair::<i64>)]
    launch: Vec<(String, i64)>,
    /// What to compute
    #[arg(long, value_enum, default_value_t = How::Full)]
    mode: How,
    /// Threads of this host; the values do not depend on it
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum How {
    /// Values and cycles
    Full,
    /// Values only
    Function,
    /// Cycles only; needs no inputs
    Timing,
}

/// What a launch took.
#[derive(Debug, Serialize)]
struct Report {
    entry: String,
    cycles: u64,
    chip_s: f64,
    instructions: u64,
    dram_bytes: u64,
    noc_bytes: u64,
    dram_busy_cycles: u64,
    engines: Vec<EngineReport>,
}

/// One kind of engine, summed over all cores.
#[derive(Debug, Serialize)]
struct EngineReport {
    engine: String,
    instructions: u64,
    busy_cycles: u64,
    waiting_cycles: u64,
}

/// Runs `llmc run`.
///
/// # Errors
/// If the program, the entry or the inputs do not go together, or the program is stopped.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let mode = match options.mode {
        How::Full => Mode::Full,
        How::Function => Mode::Function,
        How::Timing => Mode::Timing,
    };
    if mode == Mode::Timing && options.outputs.is_some() {
        return Err(Error::Usage(
            "--mode timing computes no values: --outputs cannot be written".into(),
        ));
    }
    let binary = Arc::new(file::binary(&options.file)?);
    let entry = entry_of(binary.manifest(), options.entry.as_deref())?;
    let given = match &options.inputs {
        Some(path) => {
            npz::read_npz(path).context(|| format!("cannot read `{}`", path.display()))?
        }
        None => Vec::new(),
    };
    let inputs = inputs(&entry, &given, mode == Mode::Timing)?;
    let registers = registers(&entry, &options.launch, &given)?;

    let cannot = || format!("cannot run `{}`", options.file.display());
    let emulation = Emulation {
        mode,
        threads: options.threads,
        ..Emulation::default()
    };
    let mut session = Session::new(binary, None, emulation).context(cannot)?;
    let borrowed: Vec<(&str, &[u8])> = inputs
        .iter()
        .map(|(name, t)| (name.as_str(), t.bytes()))
        .collect();
    let shown = io.progress("running");
    let values: Vec<i64> = registers.iter().map(|(_, value)| *value).collect();
    let stats = session
        .launch(&entry.name, &values, &borrowed)
        .context(cannot)?;
    drop(shown);

    if let Some(path) = &options.outputs {
        let mut found = Vec::new();
        for tensor in &entry.outputs {
            found.push((
                tensor.name.clone(),
                output(&mut session, &entry, tensor, &registers)?,
            ));
        }
        let arrays: Vec<_> = found.iter().map(|(name, tensor)| (name, tensor)).collect();
        npz::write_npz(path, &arrays).context(|| format!("cannot write `{}`", path.display()))?;
    }
    let report = report(&entry.name, &stats, session.chip().clock_hz());
    if options.json {
        io.json(&report)
    } else {
        print(&report, mode, io)
    }
}

fn entry_of(manifest: &Manifest, name: Option<&str>) -> Result<Entry, Error> {
    let names = || {
        manifest
            .entries
            .iter()
            .map(|e| e.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (name, manifest.entries.as_slice()) {
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Error::Usage(format!(
            "--entry is needed: one of {}",
            names()
        ))),
        (Some(name), _) => manifest.entry(name).cloned().ok_or_else(|| {
            Error::failed(format!(
                "the program has no entry `{name}`; it has {}",
                names()
            ))
        }),
    }
}

/// The given arrays in the types of the entry's inputs.
fn inputs(
    entry: &Entry,
    given: &[(String, Tensor)],
    timing: bool,
) -> Result<Vec<(String, Tensor)>, Error> {
    if let Some((name, _)) = given
        .iter()
        .find(|(name, _)| entry.inputs.iter().all(|t| t.name != *name))
    {
        let names: Vec<&str> = entry.inputs.iter().map(|t| t.name.as_str()).collect();
        return Err(Error::failed(format!(
            "entry `{}` has no input `{name}`; it has {}",
            entry.name,
            names.join(", ")
        )));
    }
    let mut found = Vec::new();
    for tensor in &entry.inputs {
        let wanted = dtype(tensor)?;
        match given.iter().find(|(name, _)| *name == tensor.name) {
            Some((name, array)) if entry.launch.is_empty() => {
                let cannot = || format!("entry `{}` cannot take the inputs", entry.name);
                let array = retyped(array, DType::U16, DType::Bf16, tensor).context(cannot)?;
                let bytes = to_chip(tensor, &array).context(cannot)?;
                let held = Tensor::new(wanted, array.shape(), bytes);
                found.push((name.clone(), held.context(cannot)?));
            }
            Some((name, array)) => found.push((name.clone(), convert(array, wanted, name)?)),
            None if timing => {
                let nothing =
                    Tensor::zeros(wanted, [0]).context(|| format!("input `{}`", tensor.name))?;
                found.push((tensor.name.clone(), nothing));
            }
            None => {
                return Err(Error::failed(format!(
                    "entry `{}` needs the input `{}`",
                    entry.name, tensor.name
                )));
            }
        }
    }
    Ok(found)
}

/// The bits of a bf16 tensor as NumPy files hold them, or back; any other array as it is.
fn retyped(
    array: &Tensor,
    from: DType,
    to: DType,
    tensor: &IoTensor,
) -> Result<Tensor, llmc_tensor::TensorError> {
    if tensor.dtype == DType::Bf16.name() && array.dtype() == from {
        return Tensor::new(to, array.shape(), array.data().clone());
    }
    Ok(array.clone())
}

/// Integers fit any integer type that holds them; everything else must be what it should be.
fn convert(array: &Tensor, wanted: DType, name: &str) -> Result<Tensor, Error> {
    let wrong = || {
        format!(
            "input `{name}` is {}, the program takes {wanted}",
            array.dtype()
        )
    };
    match (array.dtype(), wanted) {
        (a, b) if a == b => Ok(array.clone()),
        (DType::I32 | DType::I64, DType::I32 | DType::I64) => {
            let cast = array.cast(wanted).context(wrong)?;
            let same = cast.to_i64_vec().context(wrong)? == array.to_i64_vec().context(wrong)?;
            if same {
                Ok(cast)
            } else {
                Err(Error::failed(format!("{}: a value does not fit", wrong())))
            }
        }
        _ => Err(Error::failed(wrong())),
    }
}

fn dtype(tensor: &IoTensor) -> Result<DType, Error> {
    match tensor.dtype.as_str() {
        "f32" => Ok(DType::F32),
        "bf16" => Ok(DType::U16), // as NumPy files hold it
        other => other.parse().map_err(|_| {
            Error::failed(format!(
                "tensor `{}` has the unknown type {other}",
                tensor.name
            ))
        }),
    }
}

fn registers(
    entry: &Entry,
    set: &[(String, i64)],
    given: &[(String, Tensor)],
) -> Result<Vec<(String, i64)>, Error> {
    if let Some((name, _)) = set
        .iter()
        .find(|(name, _)| entry.launch.iter().all(|r| r.name != *name))
    {
        let names: Vec<&str> = entry.launch.iter().map(|r| r.name.as_str()).collect();
        let have = if names.is_empty() {
            "none".into()
        } else {
            names.join(", ")
        };
        return Err(Error::failed(format!(
            "entry `{}` has no launch register `{name}`; it has {have}",
            entry.name
        )));
    }
    let tokens = given
        .iter()
        .find(|(name, _)| name == "input_ids")
        .map_or(0, |(_, t)| t.elements() as i64);
    let value = |name: &str| match set.iter().rev().find(|(n, _)| n == name) {
        Some((_, value)) => *value,
        None if name == "tokens" => tokens,
        None => 0,
    };
    Ok(entry
        .launch
        .iter()
        .map(|r| (r.name.clone(), value(&r.name)))
        .collect())
}

/// An output; of one that has a row per token, the rows of the tokens that were given.
fn output(
    session: &mut Session,
    entry: &Entry,
    tensor: &IoTensor,
    registers: &[(String, i64)],
) -> Result<Tensor, Error> {
    let cannot = || format!("cannot read the output `{}`", tensor.name);
    let most = entry
        .launch
        .iter()
        .find(|r| r.name == "tokens")
        .map(|r| r.max);
    let tokens = registers
        .iter()
        .find(|(name, _)| name == "tokens")
        .map(|(_, value)| *value as u64);
    let rows = tokens
        .filter(|_| most.is_some_and(|most| most > 1) && tensor.dims.first().copied() == most);
    let bytes = session
        .output(&entry.name, &tensor.name, rows)
        .context(cannot)?;
    if entry.launch.is_empty() {
        let array = from_chip(tensor, bytes).context(cannot)?;
        return retyped(&array, DType::Bf16, DType::U16, tensor).context(cannot);
    }
    let mut shape: Vec<usize> = tensor.dims.iter().map(|&d| d as usize).collect();
    if let (Some(first), Some(rows)) = (shape.first_mut(), rows) {
        *first = rows as usize;
    }
    Tensor::new(dtype(tensor)?, shape, bytes).context(cannot)
}

fn report(entry: &str, stats: &LaunchStats, clock_hz: u64) -> Report {
    let engine = |queue: Queue| {
        let of = |f: fn(&llmc_runtime_emu::stats::EngineStats) -> u64| {
            stats.cores.iter().map(|c| f(c.engine(queue))).sum()
        };
        EngineReport {
            engine: queue.name().to_string(),
            instructions: of(|e| e.instructions),
            busy_cycles: of(|e| e.busy),
            waiting_cycles: of(|e| e.waiting),
        }
    };
    Report {
        entry: entry.to_string(),
        cycles: stats.cycles,
        chip_s: stats.cycles as f64 / clock_hz as f64,
        instructions: stats.instructions,
        dram_bytes: stats.totals.dram_bytes,
        noc_bytes: stats.totals.noc_bytes,
        dram_busy_cycles: stats.dram_busy,
        engines: Queue::ALL.iter().map(|&queue| engine(queue)).collect(),
    }
}

fn print(report: &Report, mode: Mode, io: &mut Io) -> Result<(), Error> {
    let Report {
        entry,
        cycles,
        chip_s,
        instructions,
        dram_bytes,
        noc_bytes,
        dram_busy_cycles,
        engines,
    } = report;
    let instructions = show::count(*instructions);
    if mode == Mode::Function {
        return io.line(format_args!("{entry}: {instructions} instructions"));
    }
    let (count, time) = (show::count(*cycles), show::seconds(*chip_s));
    io.line(format_args!(
        "{entry}: {count} cycles ({time}), {instructions} instructions"
    ))?;
    let share = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
    let (dram, noc) = (show::bytes(*dram_bytes), show::bytes(*noc_bytes));
    let busy = share(*dram_busy_cycles, *cycles);
    io.line(format_args!(
        "DRAM {dram}, busy {busy:.1} % of the time; NoC {noc}"
    ))?;
    for EngineReport {
        engine,
        instructions,
        busy_cycles,
        waiting_cycles,
    } in engines
    {
        let (n, busy, waiting) = (
            show::count(*instructions),
            show::count(*busy_cycles),
            show::count(*waiting_cycles),
        );
        io.line(format_args!(
            "  {engine:<5} {n:>12} instructions, busy {busy:>14}, waiting {waiting:>14} cycles"
        ))?;
    }
    Ok(())
}
