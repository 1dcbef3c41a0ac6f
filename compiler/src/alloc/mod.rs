//! Addresses: SRAM from live ranges, DRAM from one map that all entries share.
//!
//! SRAM is placed by first fit: rings at the bottom, because they live from the first to the last instruction; then each
//! buffer at the lowest address where no buffer that lives at the same time lies. Two orders are tried, program order and
//! largest first, and the one with the lower peak is taken. The result is not trusted: `check` proves it.

mod dram;
mod live;
mod sram;

pub use dram::{DramMap, EntryIo, Region};
pub use live::{LiveRange, live_ranges};
pub use sram::{SramUse, fit_scratch, place_sram, sram_use};

/// Bytes that every SRAM buffer, ring, state and io tensor starts at a multiple of.
pub const ALIGN: u64 = 64;

/// Bytes that the weight image starts at a multiple of, so that it can be mapped from the file.
pub const WEIGHT_ALIGN: u64 = 4096;

/// Rounds `bytes` up to a multiple of `align`.
pub fn align_up(bytes: u64, align: u64) -> u64 {
    bytes.div_ceil(align) * align
}

/// A memory does not hold what the program needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocError {
    /// The buffers that live at one time need more SRAM than a core has.
    #[error(
        "entry `{entry}`: tile `{tile}` ({needs} bytes) does not fit: a core has {available} bytes of SRAM, the program needs \
         {peak}, {missing} bytes are missing; largest at that time: {}", list(.residents)
    )]
    Sram {
        /// The entry.
        entry: String,
        /// The first buffer or ring that ends outside SRAM.
        tile: String,
        /// Its size in bytes.
        needs: u64,
        /// SRAM of a core in bytes.
        available: u64,
        /// SRAM in bytes with which the program would fit.
        peak: u64,
        /// `peak - available`.
        missing: u64,
        /// The largest buffers and rings that live at the same time, with their sizes in bytes.
        residents: Vec<(String, u64)>,
    },
    /// Weights, state and io need more DRAM than the chip has.
    #[error("the program needs {needs} bytes of DRAM, the chip has {available}: {missing} bytes are missing ({})", list(.parts))]
    Dram {
        /// Bytes needed.
        needs: u64,
        /// Bytes the chip has.
        available: u64,
        /// `needs - available`.
        missing: u64,
        /// Bytes of weights, state and io.
        parts: Vec<(String, u64)>,
    },
    /// A program names a weight or state that the map does not have, or one larger than there: a bug.
    #[error("entry `{entry}`: buffer `{buffer}` is `{name}` in DRAM ({bytes} bytes), {problem}")]
    Region {
        /// The entry.
        entry: String,
        /// The buffer.
        buffer: String,
        /// The weight, state or tensor.
        name: String,
        /// Size of the buffer.
        bytes: u64,
        /// What is wrong.
        problem: String,
    },
}

fn list(items: &[(String, u64)]) -> String {
    items
        .iter()
        .map(|(name, bytes)| format!("{name} {bytes}"))
        .collect::<Vec<_>>()
        .join(", ")
}
