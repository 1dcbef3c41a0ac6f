//! Reading and validating a container.

use super::manifest::{DebugMap, Entry, Manifest};
use crate::Chip;
use crate::inst::Inst;
use std::path::Path;

/// Why a file is not a valid program.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct ContainerError {
    /// Name of the file.
    pub file: String,
    /// What is wrong and where.
    pub reason: String,
}

/// A program read from a container: validated, code decoded, weights mapped.
#[derive(Debug)]
pub struct Binary {}

#[allow(missing_docs)]
impl Binary {
    pub fn read(_path: &Path) -> Result<Binary, ContainerError> {
        todo!()
    }
    pub fn from_bytes(_bytes: Vec<u8>, _name: &str) -> Result<Binary, ContainerError> {
        todo!()
    }
    pub fn manifest(&self) -> &Manifest {
        todo!()
    }
    pub fn debug(&self) -> &DebugMap {
        todo!()
    }
    /// The chip of the `.llmc.chip` section (its fingerprint equals the manifest's).
    pub fn chip(&self) -> &Chip {
        todo!()
    }
    /// All instructions of `.text`.
    pub fn code(&self) -> &[Inst] {
        todo!()
    }
    /// Instructions of one entry.
    pub fn entry_code(&self, _entry: &Entry) -> &[Inst] {
        todo!()
    }
    pub fn weights(&self) -> &[u8] {
        todo!()
    }
    /// Recomputes the hash of the weights.
    pub fn verify_weights(&self) -> Result<(), ContainerError> {
        todo!()
    }
    pub fn tokenizer(&self) -> Option<&[u8]> {
        todo!()
    }
}
