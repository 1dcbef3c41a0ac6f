//! What each engine instruction does to memory, one file per engine.
//!
//! The operands of an instruction have been resolved: every extent and address is a constant. An instruction with an
//! extent of 0 does nothing at all. Each instruction claims all of its sources, then its destination, and reads all
//! sources before it writes, so that operands may overlap.

mod att;
mod dma;
mod mxu;
mod vpu;

use crate::fault::FaultKind;
use crate::kernels::Kernels;
use crate::memory::{Access, Memory, Trap};
use crate::threads::Threads;
use llmc_isa::{Scope, Val};
use std::ops::Range;

/// Buffers that live from instruction to instruction.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) a: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) c: Vec<f32>,
    pub(crate) bytes: Vec<u8>,
}

/// Everything an engine instruction may touch.
pub(crate) struct Effect<'a> {
    pub(crate) memory: &'a mut Memory,
    pub(crate) who: Access<'a>,
    /// The executing core.
    pub(crate) core: u32,
    /// Cores of the chip.
    pub(crate) cores: u32,
    pub(crate) kernels: &'static Kernels,
    pub(crate) threads: &'a Threads,
    pub(crate) scratch: &'a mut Scratch,
}

/// The cores that a post or a push reaches.
pub(crate) fn targets(
    scope: Scope,
    core: Val,
    own: u32,
    cores: u32,
) -> Result<Range<u32>, FaultKind> {
    Ok(match scope {
        Scope::Local => own..own + 1,
        Scope::All => 0..cores,
        Scope::Core => match u32::try_from(core.off) {
            Ok(target) if target < cores => target..target + 1,
            _ => {
                return Err(FaultKind::CoreRange {
                    core: i64::from(core.off),
                    cores,
                });
            }
        },
    })
}

/// `len` f32 of a scratch buffer, all zero.
fn zeroed(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.clear();
    buffer.resize(len, 0.0);
    buffer
}

/// Appends little-endian f32 elements.
#[inline]
fn push_f32(out: &mut Vec<f32>, bytes: &[u8]) {
    out.extend(
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
    );
}

/// Writes f32 elements, little endian; `bytes` has four bytes per element.
#[inline]
fn put_f32(bytes: &mut [u8], values: &[f32]) {
    for (b, v) in bytes.chunks_exact_mut(4).zip(values) {
        b.copy_from_slice(&v.to_le_bytes());
    }
}

/// Views claimed bytes as elements; they are aligned because storage and addresses are.
fn elements<T: Plain>(bytes: &[u8]) -> Result<&[T], Trap> {
    // SAFETY: T is a plain number type, for which all bit patterns are values.
    let (before, all, after) = unsafe { bytes.align_to::<T>() };
    if before.is_empty() && after.is_empty() {
        Ok(all)
    } else {
        Err(FaultKind::Internal("operand storage is not aligned".to_string()).into())
    }
}

/// Number types of which every bit pattern is a value.
trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for u16 {}

#[cfg(test)]
mod tests;
