//! The instruction table: one row per instruction.
//!
//! A row gives documentation, struct name, method of [`Execute`], opcode, mnemonic, engine, and the fields with their
//! types and byte ranges in the word. Everything else in this crate that knows instructions comes from the rows, except
//! what an instruction touches ([`crate::access`]) and costs ([`crate::timing`]).
//!
//! An instruction word has [`WORD_BYTES`] bytes, little endian. Byte 0 is the opcode; bytes of no field are zero. A mnemonic
//! that ends in a dot is a family: the name of the field `op` completes it (`vpu.` + `exp`).
//!
//! Adding an instruction: a row here, its accesses, its cost, and one method in each implementor of [`Execute`]; the
//! compiler names the places.

mod check;
mod codec;
mod rows;

#[cfg(test)]
mod tests;

pub use codec::{
    DecodeError, EncodeError, FieldInfo, ResolveError, Row, RowInfo, WORD_BYTES, Word, decode,
    encode,
};
pub use rows::*;
