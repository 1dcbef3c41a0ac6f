//! Data types, shapes and byte-backed tensors of llmc.
//!
//! A [`Tensor`] is a dtype, a shape and little-endian bytes. The bytes are reference counted
//! ([`bytes::Bytes`]) and may be a slice of a memory-mapped file, at any alignment: weights are never
//! copied when a model is read. Typed reads go byte by byte and so are safe at any address.
//!
//! | module | holds |
//! |---|---|
//! | [`dtype`] | element types and their sizes in bits |
//! | [`element`] | Rust types that are elements |
//! | [`tensor`] | [`Tensor`], construction, typed reads, casts |
//! | [`mod@compare`] | comparison with a first mismatch and an error relative to the range |
//! | [`mod@file`] | memory maps, atomic writes |
//! | [`npy`], [`npz`] | NumPy files |
//!
//! Nothing here knows of graphs, chips or ONNX.

pub mod compare;
pub mod dtype;
pub mod element;
pub mod error;
pub mod file;
mod inflate;
mod minifloat;
pub mod npy;
pub mod npz;
pub mod tensor;

pub use bytes::Bytes;
pub use compare::{Comparison, Mismatch, compare};
pub use dtype::DType;
pub use element::Element;
pub use error::TensorError;
pub use file::{map_file, spill, write_atomic};
pub use half::{bf16, f16};
pub use tensor::Tensor;
