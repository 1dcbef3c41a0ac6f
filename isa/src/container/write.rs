//! Writing a container.

use super::manifest::{DebugMap, Entry, Manifest};
use super::read::ContainerError;
use super::validate::validate;
use super::{ELF_MACHINE, TEXT_ALIGN, WEIGHTS_ALIGN, sections};
use crate::Chip;
use crate::inst::{Inst, WORD_BYTES, encode};
use object::elf;
use object::write::StreamingBuffer;
use object::write::StringId;
use object::write::elf::{FileHeader, SectionHeader, SectionIndex, Sym, Writer};
use prost::Message;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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
    /// Instructions of all entries, one entry after the other.
    pub code: Vec<Inst>,
    /// `tokenizer.json`; empty for none.
    pub tokenizer: Vec<u8>,
}

impl BinaryBuilder {
    /// Writes the file at once or not at all: into a temporary file in the same folder, which is then renamed.
    pub fn write(&self, path: &Path, weights: &mut dyn WeightSource) -> Result<(), ContainerError> {
        let fail = |what: &str, e: io::Error| {
            ContainerError::new(&path.display().to_string(), format!("{what}: {e}"))
        };
        let (temporary, file) =
            create_beside(path).map_err(|e| fail("cannot create the file", e))?;
        let done = self
            .write_to(BufWriter::new(file), weights, &path.display().to_string())
            .and_then(|()| {
                std::fs::rename(&temporary, path)
                    .map_err(|e| fail("cannot rename the finished file", e))
            });
        if done.is_err() {
            // The first error is the one to report.
            let _ = std::fs::remove_file(&temporary);
        }
        done
    }

    /// The bytes of the file.
    pub fn to_bytes(&self, weights: &mut dyn WeightSource) -> Result<Vec<u8>, ContainerError> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes, weights, "the program")?;
        Ok(bytes)
    }

    /// Writes all sections in order. The manifest comes after the weights, whose hash it holds.
    fn write_to(
        &self,
        out: impl Write,
        weights: &mut dyn WeightSource,
        name: &str,
    ) -> Result<(), ContainerError> {
        let fail = |reason: String| ContainerError::new(name, reason);
        let text = self.encode_code().map_err(fail)?;
        let mut manifest = self.manifest.clone();
        manifest.chip_name = self.chip.name().to_string();
        manifest.chip_fingerprint = self.chip.fingerprint();
        manifest.weights.bytes = weights.bytes();
        manifest.weights.blake3 = vec![0; blake3::OUT_LEN];
        validate(&manifest, &self.debug, &self.chip, self.code.len() as u64).map_err(fail)?;
        let debug = self.debug.encode_to_vec();
        let sizes = [
            text.len() as u64,
            weights.bytes(),
            manifest.encoded_len() as u64,
            debug.len() as u64,
            self.chip.text().len() as u64,
            self.tokenizer.len() as u64,
        ];

        let mut buffer = StreamingBuffer::new(out);
        let mut layout = Layout::new(&mut buffer, &self.manifest.entries, sizes).map_err(fail)?;
        layout.section(sections::TEXT, &text);
        let hash = layout.weights(sections::WEIGHTS, weights).map_err(fail)?;
        manifest.weights.blake3 = hash.as_bytes().to_vec();
        layout.section(sections::MANIFEST, &manifest.encode_to_vec());
        layout.section(sections::DEBUG, &debug);
        layout.section(sections::CHIP, self.chip.text().as_bytes());
        layout.section(sections::TOKENIZER, &self.tokenizer);
        layout.finish(&self.manifest.entries);
        buffer
            .flush()
            .map_err(|e| fail(format!("cannot write: {e}")))
    }

    fn encode_code(&self) -> Result<Vec<u8>, String> {
        let mut text = Vec::with_capacity(self.code.len() * WORD_BYTES);
        for (index, inst) in self.code.iter().enumerate() {
            text.extend(encode(inst).map_err(|e| format!("instruction {index}: {e}"))?);
        }
        Ok(text)
    }
}

/// A new file in the folder of `path`, and its name.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("the path names no file"))?;
    let mut attempt = 0_u32;
    loop {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}.tmp", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
        {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
            result => return result.map(|file| (temporary, file)),
        }
    }
}

/// The ELF file with all places reserved.
struct Layout<'a> {
    writer: Writer<'a>,
    names: Vec<StringId>,
    offsets: Vec<u64>,
    sizes: [u64; sections::COUNT],
    text: SectionIndex,
    symbols: Vec<StringId>,
}

impl<'a> Layout<'a> {
    fn new(
        buffer: &'a mut (impl object::write::WritableBuffer + 'a),
        entries: &'a [Entry],
        sizes: [u64; sections::COUNT],
    ) -> Result<Layout<'a>, String> {
        let mut writer = Writer::new(object::Endianness::Little, true, buffer);
        writer.reserve_null_section_index();
        let names = sections::NAMES.map(|name| writer.add_section_name(name.as_bytes()));
        let indices = sections::NAMES.map(|_| writer.reserve_section_index());
        let text = indices[0];
        writer.reserve_null_symbol_index();
        let mut symbols = Vec::new();
        for entry in entries {
            symbols.push(writer.add_string(entry.name.as_bytes()));
            writer.reserve_symbol_index(Some(text));
        }
        writer.reserve_symtab_section_index();
        writer.reserve_strtab_section_index();
        writer.reserve_shstrtab_section_index();
        writer.reserve_file_header();
        let offsets = sections::ALIGNS
            .iter()
            .zip(sizes)
            .map(|(align, size)| writer.reserve(size, *align))
            .collect();
        let overflow = |e: object::write::Error| format!("the file has too many names: {e}");
        writer.reserve_symtab();
        writer.reserve_strtab().map_err(overflow)?;
        writer.reserve_shstrtab().map_err(overflow)?;
        writer.reserve_section_headers();
        let header = FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_EXEC,
            e_machine: elf::Machine(ELF_MACHINE),
            e_entry: 0,
            e_flags: elf::FileFlags(0),
        };
        writer
            .write_file_header(&header)
            .map_err(|e| e.to_string())?;
        Ok(Layout {
            writer,
            names: names.to_vec(),
            offsets,
            sizes,
            text,
            symbols,
        })
    }

    fn section(&mut self, index: usize, data: &[u8]) {
        self.writer.pad_until(self.offsets[index]);
        self.writer.write(data);
    }

    /// Streams the weights; gives their hash.
    fn weights(
        &mut self,
        index: usize,
        weights: &mut dyn WeightSource,
    ) -> Result<blake3::Hash, String> {
        self.writer.pad_until(self.offsets[index]);
        let mut sink = Sink {
            writer: &mut self.writer,
            hasher: blake3::Hasher::new(),
            left: self.sizes[index],
        };
        weights
            .write_to(&mut sink)
            .map_err(|e| format!("cannot write the weights: {e}"))?;
        match sink.left {
            0 => Ok(sink.hasher.finalize()),
            left => Err(format!("the weights end {left} bytes early")),
        }
    }

    fn finish(mut self, entries: &[Entry]) {
        let writer = &mut self.writer;
        writer.write_null_symbol();
        for (entry, name) in entries.iter().zip(&self.symbols) {
            writer.write_symbol(&Sym {
                section: Some(self.text.0),
                st_name: writer.string_offset(Some(*name)),
                st_info: elf::SymbolInfo::new(elf::STB_GLOBAL, elf::STT_FUNC),
                st_other: elf::SymbolOther(0),
                st_shndx: elf::SymbolSection(0),
                st_value: entry.code_offset.saturating_mul(WORD_BYTES as u64),
                st_size: entry.code_len.saturating_mul(WORD_BYTES as u64),
            });
        }
        writer.write_strtab();
        writer.write_shstrtab();
        writer.write_null_section_header();
        for index in 0..sections::COUNT {
            writer.write_section_header(&SectionHeader {
                sh_name: writer.section_name_offset(Some(self.names[index])),
                sh_type: elf::SHT_PROGBITS,
                sh_flags: sections::flags(index),
                sh_addr: 0,
                sh_offset: self.offsets[index],
                sh_size: self.sizes[index],
                sh_link: 0,
                sh_info: 0,
                sh_addralign: sections::ALIGNS[index],
                sh_entsize: 0,
            });
        }
        writer.write_symtab_section_header(1);
        writer.write_strtab_section_header();
        writer.write_shstrtab_section_header();
    }
}

/// Passes bytes on to the file, counts and hashes them.
struct Sink<'w, 'a> {
    writer: &'w mut Writer<'a>,
    hasher: blake3::Hasher,
    left: u64,
}

impl Write for Sink<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let rest = self.left.checked_sub(bytes.len() as u64);
        self.left =
            rest.ok_or_else(|| io::Error::other("the weights are longer than announced"))?;
        self.hasher.update(bytes);
        self.writer.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const _: () = assert!(TEXT_ALIGN == WORD_BYTES as u64 && WEIGHTS_ALIGN.is_power_of_two());
