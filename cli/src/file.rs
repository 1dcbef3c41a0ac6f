//! Files that subcommands read and write.

use crate::{Context, Error};
use llmc_isa::container::{Binary, Entry};
use std::io::Read;
use std::path::Path;

/// Whether a file begins like an ELF file.
///
/// # Errors
/// If it cannot be read.
pub fn is_elf(path: &Path) -> Result<bool, Error> {
    let cannot = || format!("cannot read `{}`", path.display());
    let mut magic = Vec::new();
    std::fs::File::open(path)
        .context(cannot)?
        .take(4)
        .read_to_end(&mut magic)
        .context(cannot)?;
    Ok(magic == b"\x7fELF")
}

/// Reads a compiled program.
///
/// # Errors
/// If it cannot be read or is no valid program.
pub fn binary(path: &Path) -> Result<Binary, Error> {
    if !is_elf(path)? {
        return Err(Error::failed(format!(
            "`{}` is not a compiled program (`llmc compile` makes them)",
            path.display()
        )));
    }
    Binary::read(path).context(|| format!("`{}` is not a valid program", path.display()))
}

/// The entry of this name.
///
/// # Errors
/// If there is none; names those there are.
pub fn entry<'b>(binary: &'b Binary, name: &str) -> Result<&'b Entry, Error> {
    binary.manifest().entry(name).ok_or_else(|| {
        let names: Vec<&str> = binary
            .manifest()
            .entries
            .iter()
            .map(|e| e.name.as_str())
            .collect();
        Error::failed(format!(
            "the program has no entry `{name}`; it has {}",
            names.join(", ")
        ))
    })
}

/// Writes a whole file or nothing.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, data: &[u8]) -> Result<(), Error> {
    llmc_tensor::write_atomic(path, data).context(|| format!("cannot write `{}`", path.display()))
}
