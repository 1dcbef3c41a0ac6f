//! Writing a container.

use super::manifest::{DebugMap, Manifest};
use super::read::ContainerError;
use crate::Chip;
use crate::inst::Inst;
use std::io::{self, Write};
use std::path::Path;

/// Gives the bytes of the weights image when they are needed, so that they need not all be in memory.
pub trait WeightSource {
    /// Size of the image in bytes.
    fn bytes(&self) -> u64;
    /// Writes exactly that many bytes.
    fn write_to(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

impl WeightSource for &[u8] {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
    fn write_to(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self)
    }
}

/// Everything a container holds except the weights.
#[derive(Clone, Debug)]
pub struct BinaryBuilder {
    /// The manifest; chip name, chip fingerprint, weights size and hash are filled in on writing.
    pub manifest: Manifest,
    /// Sources of the instructions.
    pub debug: DebugMap,
    /// The chip the program is for.
    pub chip: Chip,
    /// Instructions of all entries.
    pub code: Vec<Inst>,
    /// `tokenizer.json`; empty for none.
    pub tokenizer: Vec<u8>,
}

impl BinaryBuilder {
    /// Writes the file at once or not at all (temporary file in the same folder, then rename).
    pub fn write(&self, _path: &Path, _weights: &mut dyn WeightSource) -> Result<(), ContainerError> {
        todo!()
    }
    /// The bytes of the file.
    pub fn to_bytes(&self, _weights: &mut dyn WeightSource) -> Result<Vec<u8>, ContainerError> {
        todo!()
    }
}
