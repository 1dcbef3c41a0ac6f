//! The memories of the chip: storage, and the record of what was written and read by whom.

mod bytes;
mod dram;
mod paged;
mod shadow;
mod strided;

pub use bytes::AlignedBytes;
pub use dram::{Dram, DramError, Place, WeightBytes};
pub use shadow::{Access, Conflict, Epoch, Shadow};
pub use strided::Strided;

use crate::fault::{FaultKind, Space};

/// Most bytes an operand in SRAM may name. Only one that names the same bytes again and again gets this far; the limit keeps
/// a single instruction from running for hours.
const MAX_OPERAND: u64 = 1 << 28;

/// Why an access is refused, before the earlier access of a race has been looked up.
#[derive(Debug)]
pub(crate) enum Trap {
    /// A fault as it stands.
    Fault(FaultKind),
    /// Uninitialised or not ordered.
    Conflict {
        operand: &'static str,
        space: Space,
        range: (u64, u64),
        writes: bool,
        conflict: Conflict,
    },
}

impl From<FaultKind> for Trap {
    fn from(kind: FaultKind) -> Trap {
        Trap::Fault(kind)
    }
}

/// The scratchpad of one core.
struct Sram {
    bytes: Option<AlignedBytes>,
    shadow: Shadow,
}

/// All memories of a chip. Accesses are first *claimed*, which checks and records them; then the bytes may be used.
pub(crate) struct Memory {
    srams: Vec<Sram>,
    sram_len: u64,
    pub(crate) dram: Dram,
    /// Look for uninitialised reads (and races, if the accesses carry clocks).
    record: bool,
}

impl Memory {
    /// `cores` scratchpads of `sram_len` bytes each, and the DRAM. Without `data`, nothing is stored or recorded.
    pub(crate) fn new(
        cores: u32,
        sram_len: u64,
        dram: Dram,
        data: bool,
    ) -> Result<Memory, DramError> {
        let sram = || {
            let bytes = match data {
                true => {
                    Some(AlignedBytes::zeroed(sram_len as usize).ok_or(DramError::Host(sram_len))?)
                }
                false => None,
            };
            Ok(Sram {
                bytes,
                shadow: Shadow::new(sram_len),
            })
        };
        let srams = (0..cores)
            .map(|_| sram())
            .collect::<Result<Vec<_>, DramError>>()?;
        Ok(Memory {
            srams,
            sram_len,
            dram,
            record: data,
        })
    }

    /// True if the memories carry data.
    pub(crate) fn has_data(&self) -> bool {
        self.record
    }

    /// Start of a launch: scratchpads lose their content, DRAM keeps it.
    pub(crate) fn begin_launch(&mut self) {
        for sram in &mut self.srams {
            sram.shadow.clear();
        }
        self.dram.shadow().settle();
    }

    /// What of `range` was written in this launch nearest to byte `at`, which was not: where, and by whom.
    pub(crate) fn neighbour(
        &mut self,
        space: Space,
        range: (u64, u64),
        at: u64,
    ) -> Option<(u64, u64, Epoch)> {
        let shadow = match space {
            Space::Sram(core) => &mut self.srams.get_mut(core as usize)?.shadow,
            Space::Dram => self.dram.shadow(),
        };
        shadow.neighbour(range, at)
    }

    /// Claims a read of SRAM by operand `operand`, whose elements have `align` bytes.
    #[inline]
    pub(crate) fn sram_read(
        &mut self,
        who: &Access<'_>,
        core: u32,
        operand: &'static str,
        s: &Strided,
        align: u64,
    ) -> Result<(), Trap> {
        self.sram_claim(who, core, operand, s, align, false)
    }

    /// Claims a write of SRAM by operand `operand`, whose elements have `align` bytes.
    #[inline]
    pub(crate) fn sram_write(
        &mut self,
        who: &Access<'_>,
        core: u32,
        operand: &'static str,
        s: &Strided,
        align: u64,
    ) -> Result<(), Trap> {
        self.sram_claim(who, core, operand, s, align, true)
    }

    fn sram_claim(
        &mut self,
        who: &Access<'_>,
        core: u32,
        operand: &'static str,
        s: &Strided,
        align: u64,
        writes: bool,
    ) -> Result<(), Trap> {
        let space = Space::Sram(core);
        aligned(operand, space, s, align)?;
        if s.end() > self.sram_len {
            let (start, end) = (s.base, s.end());
            return Err(FaultKind::OutOfBounds {
                operand,
                space,
                start,
                end,
                limit: self.sram_len,
            }
            .into());
        }
        if s.total() > MAX_OPERAND {
            return Err(FaultKind::TooLarge {
                operand,
                bytes: s.total(),
                limit: MAX_OPERAND,
            }
            .into());
        }
        let Some(sram) = self.srams.get_mut(core as usize) else {
            return Err(FaultKind::Internal(format!(
                "access to core {core}, which does not exist"
            ))
            .into());
        };
        if !self.record {
            return Ok(());
        }
        let s = s.merged();
        let result = s.each(|at| match writes {
            true => sram.shadow.write(at, s.bytes, who),
            false => sram.shadow.read(at, s.bytes, who),
        });
        result.map_err(|conflict| Trap::Conflict {
            operand,
            space,
            range: (s.base, s.end()),
            writes,
            conflict,
        })
    }

    /// Claims a read of DRAM by operand `operand`.
    #[inline]
    pub(crate) fn dram_read(
        &mut self,
        who: &Access<'_>,
        operand: &'static str,
        s: &Strided,
    ) -> Result<(), Trap> {
        self.dram_claim(who, operand, s, false)
    }

    /// Claims a write of DRAM by operand `operand`.
    #[inline]
    pub(crate) fn dram_write(
        &mut self,
        who: &Access<'_>,
        operand: &'static str,
        s: &Strided,
    ) -> Result<(), Trap> {
        self.dram_claim(who, operand, s, true)
    }

    fn dram_claim(
        &mut self,
        who: &Access<'_>,
        operand: &'static str,
        s: &Strided,
        writes: bool,
    ) -> Result<(), Trap> {
        let (start, end) = (s.base, s.end());
        if end > self.dram.len() {
            let limit = self.dram.len();
            return Err(FaultKind::OutOfBounds {
                operand,
                space: Space::Dram,
                start,
                end,
                limit,
            }
            .into());
        }
        match self.dram.place(&(start..end)) {
            Some(Place::Weights) if writes => {
                return Err(FaultKind::WeightWrite {
                    operand,
                    start,
                    end,
                }
                .into());
            }
            Some(Place::Weights) => return Ok(()),
            Some(Place::Ram) => {}
            None => {
                let w = self.dram.weights();
                return Err(FaultKind::Straddle {
                    operand,
                    start,
                    end,
                    weights: (w.start, w.end),
                }
                .into());
            }
        }
        if !self.record {
            return Ok(());
        }
        let s = s.merged();
        let shadow = self.dram.shadow();
        let result = s.each(|at| match writes {
            true => shadow.write(at, s.bytes, who),
            false => shadow.read(at, s.bytes, who),
        });
        result.map_err(|conflict| Trap::Conflict {
            operand,
            space: Space::Dram,
            range: (start, end),
            writes,
            conflict,
        })
    }

    /// The scratchpad of `core`; empty if no data is carried.
    #[inline]
    pub(crate) fn sram(&self, core: u32) -> &[u8] {
        self.srams
            .get(core as usize)
            .and_then(|s| s.bytes.as_deref())
            .unwrap_or(&[])
    }

    /// The scratchpad of `core` for writing; empty if no data is carried.
    #[inline]
    pub(crate) fn sram_mut(&mut self, core: u32) -> &mut [u8] {
        self.srams
            .get_mut(core as usize)
            .and_then(|s| s.bytes.as_deref_mut())
            .unwrap_or(&mut [])
    }

    /// Copies claimed runs from DRAM into the scratchpad of `core`.
    pub(crate) fn load(&mut self, core: u32, dst: &Strided, src: &Strided) -> Result<(), Trap> {
        let Some(sram) = self
            .srams
            .get_mut(core as usize)
            .and_then(|s| s.bytes.as_deref_mut())
        else {
            return Ok(());
        };
        let dram = &self.dram;
        Strided::pairs(dst, src, |d, s, len| {
            let from = dram.bytes(s..s + len).ok_or_else(|| unclaimed("DRAM", s))?;
            slice_mut(sram, d, len)?.copy_from_slice(from);
            Ok(())
        })
    }

    /// Copies claimed runs from the scratchpad of `core` into DRAM.
    pub(crate) fn store(&mut self, core: u32, dst: &Strided, src: &Strided) -> Result<(), Trap> {
        let Some(sram) = self
            .srams
            .get(core as usize)
            .and_then(|s| s.bytes.as_deref())
        else {
            return Ok(());
        };
        let dram = &mut self.dram;
        Strided::pairs(dst, src, |d, s, len| {
            let from = slice(sram, s, len)?;
            dram.bytes_mut(d..d + len)
                .ok_or_else(|| unclaimed("DRAM", d))?
                .copy_from_slice(from);
            Ok(())
        })
    }
}

/// A claimed range of a scratchpad.
#[inline]
pub(crate) fn slice(bytes: &[u8], at: u64, len: u64) -> Result<&[u8], Trap> {
    bytes
        .get(at as usize..(at + len) as usize)
        .ok_or_else(|| unclaimed("SRAM", at))
}

/// A claimed range of a scratchpad, for writing.
#[inline]
pub(crate) fn slice_mut(bytes: &mut [u8], at: u64, len: u64) -> Result<&mut [u8], Trap> {
    bytes
        .get_mut(at as usize..(at + len) as usize)
        .ok_or_else(|| unclaimed("SRAM", at))
}

#[cold]
fn unclaimed(what: &str, at: u64) -> Trap {
    FaultKind::Internal(format!(
        "{what} at {at:#x} is used without having been claimed"
    ))
    .into()
}

fn aligned(operand: &'static str, space: Space, s: &Strided, size: u64) -> Result<(), Trap> {
    let bad = |value, stride| {
        Err(FaultKind::Misaligned {
            operand,
            space,
            value,
            stride,
            size,
        }
        .into())
    };
    if !s.base.is_multiple_of(size) {
        return bad(s.base, false);
    }
    for (&n, &stride) in s.n.iter().zip(&s.s) {
        if n > 1 && !stride.is_multiple_of(size) {
            return bad(stride, true);
        }
    }
    Ok(())
}
