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
mod write;

pub use manifest::{DebugMap, DebugOp, Entry, IoTensor, LaunchRegister, Manifest, ModelInfo, StateTensor, WeightsImage};
pub use read::{Binary, ContainerError};
pub use write::{BinaryBuilder, WeightSource};

/// ELF machine number of the chip, from the range without registrations.
pub const ELF_MACHINE: u16 = 0x4c4d;

/// Alignment of the weights in the file and of mapped reads, in bytes.
pub const WEIGHTS_ALIGN: u64 = 4096;
