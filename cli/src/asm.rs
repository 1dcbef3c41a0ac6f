//! `llmc asm`: text to instructions.

use crate::disasm::program_of;
use crate::{Context, Error, Io, chip, file, show};
use llmc_isa::asm::{AsmError, Program, assemble};
use llmc_isa::container::{BinaryBuilder, DebugMap, Entry, Manifest};
use llmc_isa::encode;
use std::path::{Path, PathBuf};

/// Options of `llmc asm`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Without --into or --raw the result is a program of its own: no weights, no tensors, no launch registers.

Examples:
  llmc asm model.s --into model.llmc -o patched.llmc
  llmc asm loop.s --chip edge -o loop.llmc && llmc run loop.llmc"
)]
pub struct Options {
    /// Assembly text
    file: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A compiled program whose code is replaced; everything else is taken from it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["raw", "chip"])]
    into: Option<PathBuf>,
    /// Write bare instruction words
    #[arg(long, conflicts_with = "chip")]
    raw: bool,
    /// The chip of a program of its own: a preset or a chip file
    #[arg(long, value_name = "NAME|FILE", default_value = "ideal")]
    chip: String,
}

/// Runs `llmc asm`.
///
/// # Errors
/// Every error of the text, with line and column; or what keeps the result from being written.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let text = crate::text::read_text(&options.file)?;
    let program = assemble(&text).map_err(|errors| syntax(&options.file, &errors))?;
    if options.raw {
        let mut words = Vec::new();
        for inst in program.entries.iter().flat_map(|(_, code)| code) {
            words.extend(encode(inst).context(|| "an instruction cannot be encoded".into())?);
        }
        file::write(&options.output, &words)?;
    } else if let Some(base) = &options.into {
        replace(base, &program)?.write(&options.output, base)?;
    } else {
        let parts = Parts::own(&program, &options.chip)?;
        let written = parts.builder.write(&options.output, &mut &[][..]);
        written.context(|| format!("cannot write `{}`", options.output.display()))?;
    }
    let instructions: usize = program.entries.iter().map(|(_, code)| code.len()).sum();
    io.note(format_args!(
        "{}: {} instructions, {}",
        options.output.display(),
        show::count(instructions as u64),
        match program.entries.len() {
            1 => "1 entry".to_string(),
            n => format!("{n} entries"),
        }
    ));
    Ok(())
}

fn syntax(path: &Path, errors: &[AsmError]) -> Error {
    let lines: Vec<String> = errors
        .iter()
        .map(|e| format!("{}:{e}", path.display()))
        .collect();
    let count = if errors.len() == 1 {
        "an error".to_string()
    } else {
        format!("{} errors", errors.len())
    };
    Error::failed(format!("{count} in the text\n{}", lines.join("\n")))
}

/// Everything of a new program but the weights.
struct Parts {
    builder: BinaryBuilder,
}

impl Parts {
    fn own(program: &Program, chip: &str) -> Result<Parts, Error> {
        let mut manifest = Manifest {
            compiler_version: env!("CARGO_PKG_VERSION").into(),
            ..Manifest::default()
        };
        for (name, _) in &program.entries {
            manifest.entries.push(Entry {
                name: name.clone(),
                ..Entry::default()
            });
        }
        place(&mut manifest, program)?;
        let chip = chip::load(chip)?;
        let code = program
            .entries
            .iter()
            .flat_map(|(_, code)| code.clone())
            .collect();
        Ok(Parts {
            builder: BinaryBuilder {
                manifest,
                debug: DebugMap::default(),
                chip,
                code,
                tokenizer: Vec::new(),
            },
        })
    }

    fn write(&self, path: &Path, base: &Path) -> Result<(), Error> {
        let base = file::binary(base)?;
        self.builder
            .write(path, &mut base.weights())
            .context(|| format!("cannot write `{}`", path.display()))
    }
}

/// `base` with the code of `program`. The sources of instructions stay known if every entry kept its length.
fn replace(base: &Path, program: &Program) -> Result<Parts, Error> {
    let binary = file::binary(base)?;
    let mut manifest = binary.manifest().clone();
    let before = program_of(&binary);
    let names = |p: &Program| {
        p.entries
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    let lengths = |p: &Program| {
        p.entries
            .iter()
            .map(|(_, code)| code.len())
            .collect::<Vec<_>>()
    };
    if names(&before) != names(program) {
        return Err(Error::failed(format!(
            "`{}` has the entries {}, the text has {}",
            base.display(),
            names(&before).join(", "),
            names(program).join(", ")
        )));
    }
    place(&mut manifest, program)?;
    let debug = if lengths(&before) == lengths(program) {
        binary.debug().clone()
    } else {
        DebugMap::default()
    };
    Ok(Parts {
        builder: BinaryBuilder {
            manifest,
            debug,
            chip: binary.chip().clone(),
            code: program
                .entries
                .iter()
                .flat_map(|(_, code)| code.clone())
                .collect(),
            tokenizer: binary.tokenizer().map(<[u8]>::to_vec).unwrap_or_default(),
        },
    })
}

/// Puts the entries one after the other.
fn place(manifest: &mut Manifest, program: &Program) -> Result<(), Error> {
    let mut offset = 0;
    for (name, code) in &program.entries {
        let entry = manifest.entries.iter_mut().find(|e| e.name == *name);
        let entry = entry.ok_or_else(|| Error::failed(format!("no entry `{name}`")))?;
        (entry.code_offset, entry.code_len) = (offset, code.len() as u64);
        offset += code.len() as u64;
    }
    Ok(())
}
