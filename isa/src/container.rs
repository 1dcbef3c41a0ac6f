//! The container of a compiled program: one ELF64 little-endian file.
//!
//! | section | holds |
//! |---|---|
//! | `.text` | instruction words of all entries, one after the other |
//! | `.weights` | image of the read-only start of DRAM, aligned to 4096 bytes so that it can be mapped |
//! | `.llmc.manifest` | [`Manifest`] as protobuf: entries, tensors, state, checksums |
//! | `.llmc.debug` | [`DebugMap`] as protobuf: instruction -> tile op -> graph node -> ONNX nodes |
//! | `.llmc.chip` | the chip file the program was compiled for, as text |
//! | `.llmc.tokenizer` | `tokenizer.json`, or nothing |
//! | `.symtab` | one symbol per entry |

mod manifest;
mod read;
mod validate;
mod write;

pub use manifest::{
    DebugBuffer, DebugMap, DebugOp, Entry, IoTensor, LaunchRegister, Manifest, ModelInfo,
    StateTensor, WeightsImage,
};
pub use read::{Binary, ContainerError};
pub use validate::dtype_bytes;
pub use write::{BinaryBuilder, WeightSource};

/// ELF machine number of the chip; it is not registered.
pub const ELF_MACHINE: u16 = 0x4c4d;

/// Alignment of the weights in the file, in bytes.
pub const WEIGHTS_ALIGN: u64 = 4096;

/// Alignment of the code in the file, in bytes.
pub const TEXT_ALIGN: u64 = 64;

/// The sections with content, in file order; symbol and string tables follow.
mod sections {
    use super::{TEXT_ALIGN, WEIGHTS_ALIGN};
    use object::elf::{SHF_ALLOC, SHF_EXECINSTR, SectionFlags};

    pub(super) const TEXT: usize = 0;
    pub(super) const WEIGHTS: usize = 1;
    pub(super) const MANIFEST: usize = 2;
    pub(super) const DEBUG: usize = 3;
    pub(super) const CHIP: usize = 4;
    pub(super) const TOKENIZER: usize = 5;
    pub(super) const COUNT: usize = 6;

    pub(super) const NAMES: [&str; COUNT] = [
        ".text",
        ".weights",
        ".llmc.manifest",
        ".llmc.debug",
        ".llmc.chip",
        ".llmc.tokenizer",
    ];
    pub(super) const ALIGNS: [u64; COUNT] = [TEXT_ALIGN, WEIGHTS_ALIGN, 8, 8, 1, 1];

    pub(super) fn flags(index: usize) -> SectionFlags {
        match index {
            TEXT => SectionFlags(SHF_ALLOC.0 | SHF_EXECINSTR.0),
            WEIGHTS => SHF_ALLOC,
            _ => SectionFlags(0),
        }
    }
}

#[cfg(test)]
mod tests;
