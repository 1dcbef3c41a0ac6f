//! Reading and validating a container. Nothing in a file is trusted: every offset, length, text and number is checked.

use super::manifest::{DebugMap, Entry, Manifest};
use super::validate::validate;
use super::{ELF_MACHINE, WEIGHTS_ALIGN, sections};
use crate::Chip;
use crate::inst::{Inst, WORD_BYTES, Word, decode};
use memmap2::Mmap;
use object::LittleEndian;
use object::elf::{FileHeader64, SHT_NOBITS};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use prost::Message;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

/// Why a file is not a valid program, or cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct ContainerError {
    /// Name of the file.
    pub file: String,
    /// What is wrong and where.
    pub reason: String,
}

impl ContainerError {
    pub(super) fn new(file: &str, reason: String) -> ContainerError {
        ContainerError {
            file: file.to_string(),
            reason,
        }
    }
}

/// A program read from a container: validated, with its code decoded and its weights mapped.
#[derive(Debug)]
pub struct Binary {
    file: String,
    data: Data,
    sections: [Range<usize>; sections::COUNT],
    manifest: Manifest,
    debug: DebugMap,
    chip: Chip,
    code: Vec<Inst>,
    /// The hash of the weights, once it has been computed.
    hash: OnceLock<blake3::Hash>,
}

/// The bytes of the file.
#[derive(Debug)]
enum Data {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Data {
    fn bytes(&self) -> &[u8] {
        match self {
            Data::Mapped(map) => map,
            Data::Owned(bytes) => bytes,
        }
    }
}

impl Binary {
    /// Maps and validates a file. The weights are not read: [`Binary::verify_weights`] does that, before the first launch.
    pub fn read(path: &Path) -> Result<Binary, ContainerError> {
        let name = path.display().to_string();
        let fail =
            |e: std::io::Error| ContainerError::new(&name, format!("cannot read the file: {e}"));
        let file = std::fs::File::open(path).map_err(fail)?;
        if file.metadata().map_err(fail)?.len() == 0 {
            return Err(ContainerError::new(&name, "the file is empty".to_string()));
        }
        // SAFETY: the map is only read. Another process that changes the file while it is mapped can change the weights, as
        // with any mapped file; all that is validated is copied out first.
        let map = unsafe { Mmap::map(&file) }.map_err(fail)?;
        Binary::from_data(Data::Mapped(map), &name)
    }

    /// Validates a file in memory; `name` names it in messages.
    pub fn from_bytes(bytes: Vec<u8>, name: &str) -> Result<Binary, ContainerError> {
        Binary::from_data(Data::Owned(bytes), name)
    }

    fn from_data(data: Data, name: &str) -> Result<Binary, ContainerError> {
        let fail = |reason: String| ContainerError::new(name, reason);
        let bytes = data.bytes();
        let found = find_sections(bytes).map_err(fail)?;
        let section = |index: usize| &bytes[found[index].clone()];

        let code = decode_code(section(sections::TEXT)).map_err(fail)?;
        let manifest = Manifest::decode(section(sections::MANIFEST))
            .map_err(|e| fail(proto("manifest", &e)))?;
        let debug =
            DebugMap::decode(section(sections::DEBUG)).map_err(|e| fail(proto("debug", &e)))?;
        let chip = std::str::from_utf8(section(sections::CHIP))
            .map_err(|e| fail(format!("section `.llmc.chip` is no UTF-8 text: {e}")))?;
        let chip = Chip::from_toml(chip, ".llmc.chip").map_err(|e| fail(e.to_string()))?;
        let size = found[sections::WEIGHTS].len() as u64;
        if manifest.weights.bytes != size {
            let promised = manifest.weights.bytes;
            return Err(fail(format!(
                "section `.weights` has {size} bytes, the manifest says {promised}"
            )));
        }
        validate(&manifest, &debug, &chip, code.len() as u64).map_err(fail)?;
        Ok(Binary {
            file: name.to_string(),
            sections: found,
            manifest,
            debug,
            chip,
            code,
            data,
            hash: OnceLock::new(),
        })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Sources of the instructions.
    pub fn debug(&self) -> &DebugMap {
        &self.debug
    }

    /// The chip the program was compiled for.
    pub fn chip(&self) -> &Chip {
        &self.chip
    }

    /// All instructions of `.text`.
    pub fn code(&self) -> &[Inst] {
        &self.code
    }

    /// The instructions of an entry of this program's manifest.
    pub fn entry_code(&self, entry: &Entry) -> &[Inst] {
        let start = usize::try_from(entry.code_offset).unwrap_or(usize::MAX);
        let length = usize::try_from(entry.code_len).unwrap_or(usize::MAX);
        self.code
            .get(start..start.saturating_add(length))
            .unwrap_or(&[])
    }

    /// The program as assembly text can express it: each entry with its instructions.
    pub fn program(&self) -> crate::asm::Program {
        let entries = self.manifest.entries.iter();
        crate::asm::Program {
            entries: entries
                .map(|e| (e.name.clone(), self.entry_code(e).to_vec()))
                .collect(),
        }
    }

    /// The image of the weights.
    pub fn weights(&self) -> &[u8] {
        self.section(sections::WEIGHTS)
    }

    /// The text of `tokenizer.json`, if the program has one.
    pub fn tokenizer(&self) -> Option<&[u8]> {
        Some(self.section(sections::TOKENIZER)).filter(|bytes| !bytes.is_empty())
    }

    /// Name and size in bytes of each section with content, in file order.
    pub fn section_sizes(&self) -> Vec<(&'static str, u64)> {
        sections::NAMES
            .iter()
            .zip(&self.sections)
            .map(|(name, range)| (*name, range.len() as u64))
            .collect()
    }

    /// Compares the hash of the weights with the manifest's. The first call reads all weights; the others are free.
    pub fn verify_weights(&self) -> Result<(), ContainerError> {
        let hash = self.hash.get_or_init(|| blake3::hash(self.weights()));
        if hash.as_bytes().as_slice() == self.manifest.weights.blake3 {
            return Ok(());
        }
        let reason = format!(
            "the weights are damaged: their BLAKE3 hash is {hash}, not the one in the manifest"
        );
        Err(ContainerError::new(&self.file, reason))
    }

    fn section(&self, index: usize) -> &[u8] {
        self.data
            .bytes()
            .get(self.sections[index].clone())
            .unwrap_or(&[])
    }
}

fn proto(section: &str, error: &prost::DecodeError) -> String {
    format!("section `.llmc.{section}`: {error}")
}

/// The place of each section with content in the file.
fn find_sections(bytes: &[u8]) -> Result<[Range<usize>; sections::COUNT], String> {
    let elf = |e: object::read::Error| format!("this is no llmc program: {e}");
    let header = FileHeader64::<LittleEndian>::parse(bytes).map_err(elf)?;
    let endian = header.endian().map_err(elf)?;
    let machine = header.e_machine.get(endian).0;
    if machine != ELF_MACHINE {
        return Err(format!(
            "this is no llmc program: ELF machine {machine:#x}, not {ELF_MACHINE:#x}"
        ));
    }
    let table = header.sections(endian, bytes).map_err(elf)?;
    let mut found: [Option<Range<usize>>; sections::COUNT] = Default::default();
    for section in table.iter() {
        let name = table.section_name(endian, section).map_err(elf)?;
        let Some(index) = sections::NAMES.iter().position(|n| n.as_bytes() == name) else {
            continue;
        };
        let name = sections::NAMES[index];
        let (offset, size) = (section.sh_offset.get(endian), section.sh_size.get(endian));
        let outside = || {
            format!(
                "section `{name}` has {size} bytes at {offset:#x}, the file has {} bytes",
                bytes.len()
            )
        };
        if section.sh_type(endian) == SHT_NOBITS {
            return Err(format!("section `{name}` has no content"));
        }
        let start = usize::try_from(offset).map_err(|_| outside())?;
        let end = usize::try_from(size)
            .ok()
            .and_then(|size| start.checked_add(size));
        let end = end.filter(|end| *end <= bytes.len()).ok_or_else(outside)?;
        if found[index].replace(start..end).is_some() {
            return Err(format!("there are two sections `{name}`"));
        }
    }
    let mut ranges: [Range<usize>; sections::COUNT] = Default::default();
    for ((range, found), name) in ranges.iter_mut().zip(found).zip(sections::NAMES) {
        *range = found.ok_or_else(|| format!("there is no section `{name}`"))?;
    }
    let weights = ranges[sections::WEIGHTS].start as u64;
    if !weights.is_multiple_of(WEIGHTS_ALIGN) {
        return Err(format!(
            "section `.weights` is at {weights:#x}, no multiple of {WEIGHTS_ALIGN}"
        ));
    }
    Ok(ranges)
}

fn decode_code(text: &[u8]) -> Result<Vec<Inst>, String> {
    let (words, rest) = text.as_chunks::<WORD_BYTES>();
    if !rest.is_empty() {
        return Err(format!(
            "section `.text` has {} bytes, no multiple of {WORD_BYTES}",
            text.len()
        ));
    }
    let decoded = words
        .iter()
        .enumerate()
        .map(|(i, word): (usize, &Word)| decode(word, (i * WORD_BYTES) as u64));
    decoded
        .collect::<Result<_, _>>()
        .map_err(|e| format!("section `.text`: {e}"))
}
