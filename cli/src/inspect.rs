//! `llmc inspect`: what is in a compiled program.

use crate::{Context, Error, Io, file, show};
use llmc_isa::WORD_BYTES;
use llmc_isa::container::{Binary, Entry, IoTensor, Manifest};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `llmc inspect`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// A compiled program
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    compiler_version: String,
    chip: String,
    chip_fingerprint: String,
    model: Model,
    file_bytes: u64,
    sections: Vec<Section>,
    entries: Vec<EntryReport>,
    dram_bytes: u64,
    dram: Vec<Region>,
}

#[derive(Debug, Serialize)]
struct Model {
    vocab: u64,
    max_context: u64,
    prefill: u64,
    bos: Option<i64>,
    eos: Vec<i64>,
    tokenizer: bool,
}

#[derive(Debug, Serialize)]
struct Section {
    name: String,
    offset: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct EntryReport {
    name: String,
    instructions: u64,
    launch: Vec<(String, u64)>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

/// A range of DRAM and what is there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Region {
    address: u64,
    bytes: u64,
    what: String,
}

/// Runs `llmc inspect`.
///
/// # Errors
/// If the file is no compiled program.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let cannot = || format!("cannot read `{}`", options.file.display());
    let binary = file::binary(&options.file)?;
    let bytes = llmc_tensor::map_file(&options.file).context(cannot)?;
    let report = report(&binary, &bytes);
    if options.json {
        io.json(&report)
    } else {
        print(&report, io)
    }
}

fn report(binary: &Binary, bytes: &[u8]) -> Report {
    let manifest = binary.manifest();
    let model = &manifest.model;
    Report {
        compiler_version: manifest.compiler_version.clone(),
        chip: manifest.chip_name.clone(),
        chip_fingerprint: manifest.chip_fingerprint.clone(),
        model: Model {
            vocab: model.vocab,
            max_context: model.max_context,
            prefill: model.prefill,
            bos: model.bos,
            eos: model.eos.clone(),
            tokenizer: binary.tokenizer().is_some(),
        },
        file_bytes: bytes.len() as u64,
        sections: sections(bytes).unwrap_or_default(),
        entries: manifest.entries.iter().map(entry).collect(),
        dram_bytes: manifest.dram_bytes,
        dram: regions(manifest),
    }
}

fn entry(entry: &Entry) -> EntryReport {
    let names = |tensors: &[IoTensor]| tensors.iter().map(tensor).collect();
    EntryReport {
        name: entry.name.clone(),
        instructions: entry.code_len,
        launch: entry
            .launch
            .iter()
            .map(|l| (l.name.clone(), l.max))
            .collect(),
        inputs: names(&entry.inputs),
        outputs: names(&entry.outputs),
    }
}

fn tensor(t: &IoTensor) -> String {
    let dims: Vec<String> = t.dims.iter().map(u64::to_string).collect();
    format!("{}: {}[{}]", t.name, t.dtype, dims.join(", "))
}

/// Everything that has an address, in order; entries share most of it.
fn regions(manifest: &Manifest) -> Vec<Region> {
    let mut found = Vec::new();
    let weights = &manifest.weights;
    if weights.bytes > 0 {
        found.push(Region {
            address: weights.dram_addr,
            bytes: weights.bytes,
            what: "weights".into(),
        });
    }
    for s in &manifest.states {
        let dims: Vec<String> = s.dims.iter().map(u64::to_string).collect();
        let what = format!("state {}: {}[{}]", s.name, s.dtype, dims.join(", "));
        found.push(Region {
            address: s.dram_addr,
            bytes: s.bytes,
            what,
        });
    }
    for e in &manifest.entries {
        for (kind, tensors) in [("input", &e.inputs), ("output", &e.outputs)] {
            for t in tensors {
                let what = format!("{kind} of {}: {}", e.name, tensor(t));
                found.push(Region {
                    address: t.dram_addr,
                    bytes: t.bytes,
                    what,
                });
            }
        }
    }
    found.sort();
    found
}

/// The section table of an ELF64 little-endian file; `None` if it is damaged.
fn sections(elf: &[u8]) -> Option<Vec<Section>> {
    let number = |at: usize, bytes: usize| {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(elf.get(at..at.checked_add(bytes)?)?);
        Some(u64::from_le_bytes(word))
    };
    let table = usize::try_from(number(0x28, 8)?).ok()?;
    let (size, count, names) = (
        number(0x3a, 2)? as usize,
        number(0x3c, 2)?,
        number(0x3e, 2)? as usize,
    );
    let header = |i: usize| table.checked_add(i.checked_mul(size)?);
    let strings = usize::try_from(number(header(names)? + 0x18, 8)?).ok()?;
    let mut found = Vec::new();
    for i in 1..count as usize {
        let at = header(i)?;
        let name = elf
            .get(strings.checked_add(number(at, 4)? as usize)?..)?
            .split(|b| *b == 0)
            .next()?;
        found.push(Section {
            name: String::from_utf8_lossy(name).into_owned(),
            offset: number(at + 0x18, 8)?,
            bytes: number(at + 0x20, 8)?,
        });
    }
    Some(found)
}

fn print(report: &Report, io: &mut Io) -> Result<(), Error> {
    io.line(format_args!(
        "compiled by llmc {} for chip {}",
        report.compiler_version, report.chip
    ))?;
    io.line(format_args!("chip fingerprint {}", report.chip_fingerprint))?;
    let Model {
        vocab,
        max_context,
        prefill,
        bos,
        eos,
        tokenizer,
    } = &report.model;
    if *vocab > 0 {
        io.line(format_args!(
            "language model: {vocab} tokens, context {max_context}, prefill chunks of {prefill}"
        ))?;
        let bos = bos.map_or("none".to_string(), |id| id.to_string());
        let tokenizer = if *tokenizer { "inside" } else { "none" };
        io.line(format_args!(
            "start token {bos}, end tokens {eos:?}, tokenizer {tokenizer}"
        ))?;
    }

    io.line(format_args!("\nfile: {}", show::bytes(report.file_bytes)))?;
    for s in &report.sections {
        io.line(format_args!(
            "  {:<18} at {:>#12x} {:>12}",
            s.name,
            s.offset,
            show::bytes(s.bytes)
        ))?;
    }

    io.line("\nentries")?;
    for e in &report.entries {
        let code = show::bytes(e.instructions * WORD_BYTES as u64);
        io.line(format_args!(
            "  {}: {} instructions, {code}",
            e.name,
            show::count(e.instructions)
        ))?;
        for (name, max) in &e.launch {
            io.line(format_args!("    launch {name} <= {max}"))?;
        }
        for (kind, tensors) in [("in ", &e.inputs), ("out", &e.outputs)] {
            for t in tensors {
                io.line(format_args!("    {kind} {t}"))?;
            }
        }
    }

    io.line(format_args!(
        "\nDRAM: {} used",
        show::bytes(report.dram_bytes)
    ))?;
    for r in &report.dram {
        io.line(format_args!(
            "  {:>#12x} {:>12}  {}",
            r.address,
            show::bytes(r.bytes),
            r.what
        ))?;
    }
    Ok(())
}
