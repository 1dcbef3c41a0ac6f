//! `llmc disasm`: the instructions of a binary as text.

use crate::{Context, Error, Io, file};
use llmc_isa::asm::{Program, disassemble};
use llmc_isa::container::{Binary, Entry};
use llmc_isa::{Inst, WORD_BYTES, Word, decode};
use std::path::{Path, PathBuf};

/// Options of `llmc disasm`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  llmc disasm model.llmc --entry decode | less
  llmc disasm model.llmc --plain -o model.s && llmc asm model.s --into model.llmc -o same.llmc")]
pub struct Options {
    /// A compiled program, or a file of bare instruction words
    file: PathBuf,
    /// Only this entry
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// Leave out the comments that say where instructions come from
    #[arg(long)]
    plain: bool,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs `llmc disasm`.
///
/// # Errors
/// If the file is no program, or has no such entry.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let text = if file::is_elf(&options.file)? {
        program(options)?
    } else {
        words(&options.file)?
    };
    match &options.output {
        Some(path) => file::write(path, text.as_bytes()),
        None => io.print(text),
    }
}

fn program(options: &Options) -> Result<String, Error> {
    let binary = file::binary(&options.file)?;
    let debug = (!options.plain).then(|| binary.debug());
    match &options.entry {
        None => Ok(disassemble(&program_of(&binary), debug)),
        Some(name) => {
            let entry = file::entry(&binary, name)?;
            let program = Program {
                entries: vec![(name.clone(), binary.entry_code(entry).to_vec())],
            };
            // The debug map counts through all entries; shift it to this one.
            let debug = debug.map(|debug| {
                let mut debug = debug.clone();
                let skip = usize::try_from(entry.code_offset)
                    .unwrap_or(usize::MAX)
                    .min(debug.inst_op.len());
                debug.inst_op.drain(..skip);
                debug
            });
            Ok(disassemble(&program, debug.as_ref()))
        }
    }
}

/// All entries of a binary, in the order of their code.
pub(crate) fn program_of(binary: &Binary) -> Program {
    let mut entries: Vec<&Entry> = binary.manifest().entries.iter().collect();
    entries.sort_by_key(|e| e.code_offset);
    Program {
        entries: entries
            .iter()
            .map(|e| (e.name.clone(), binary.entry_code(e).to_vec()))
            .collect(),
    }
}

fn words(path: &Path) -> Result<String, Error> {
    let bytes =
        llmc_tensor::map_file(path).context(|| format!("cannot read `{}`", path.display()))?;
    let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
    if !rest.is_empty() || words.is_empty() {
        return Err(Error::failed(format!(
            "`{}` is neither a compiled program nor a whole number of {WORD_BYTES}-byte instruction words",
            path.display()
        )));
    }
    let decoded: Result<Vec<Inst>, _> = words
        .iter()
        .enumerate()
        .map(|(i, word): (usize, &Word)| decode(word, (i * WORD_BYTES) as u64))
        .collect();
    let code = decoded.context(|| format!("`{}` is not a program", path.display()))?;
    Ok(disassemble(
        &Program {
            entries: vec![("code".into(), code)],
        },
        None,
    ))
}
