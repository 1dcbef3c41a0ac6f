//! The compiler: ONNX bytes to a binary for the chip.

pub mod alloc;
pub mod check;
pub mod emit;
pub mod import;
pub mod schedule;
pub mod sync;
pub mod tile;
mod uses;

#[cfg(test)]
mod testing;
