//! The hardware contract of llmc: what a program for the chip is, and what the chip is.
//!
//! | module | holds |
//! |---|---|
//! | [`inst`] | the instruction rows; from them come [`Inst`], encoder, decoder, text form, [`Execute`], the manual |
//! | [`operand`] | the types of instruction fields |
//! | [`function`] | the rows of the elementwise functions: meaning, pace, definition |
//! | [`field`] | how a field type is packed, checked, printed, parsed and resolved |
//! | [`asm`] | whole programs as text: assembler and disassembler |
//! | [`access`] | which bytes a resolved instruction reads and writes |
//! | [`timing`] | what a resolved instruction costs on a chip |
//! | [`energy`] | what work costs in joules |
//! | [`numerics`] | chip arithmetic, to the bit |
//! | [`chip`] | chip files: presets, loader, checks |
//! | [`container`] | the ELF container of compiled programs |
//! | [`manual`] | generates `MANUAL.md` |
//!
//! This crate knows nothing of graphs, compilers or emulators.

pub mod access;
pub mod asm;
pub mod chip;
pub mod container;
pub mod energy;
pub mod field;
pub mod function;
pub mod inst;
pub mod manual;
pub mod numerics;
pub mod operand;
pub mod timing;

pub use chip::Chip;
pub use inst::{
    DecodeError, EncodeError, Execute, Inst, ResolveError, WORD_BYTES, Word, decode, encode,
};
pub use operand::{
    ActFn, BinaryFn, DAddr, DType, Ext, IndexType, IntFn, QuantFn, Queue, REGISTERS, ReduceFn, Reg,
    Regs, SAddr, Scope, Sem, UnaryFn, VOp, Val,
};
