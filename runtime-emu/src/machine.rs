//! The chip with one program loaded. DRAM keeps its content from launch to launch.

use crate::engines::Scratch;
use crate::fault::{Fault, FaultKind};
use crate::launch::{Launch, Request};
use crate::memory::{Access, Conflict, Dram, DramError, Memory, Place};
use crate::stats::LaunchStats;
use crate::threads::Threads;
use llmc_isa::Chip;
use llmc_isa::container::{Binary, Entry};
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;

/// What a launch computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Values and cycles.
    #[default]
    Full,
    /// Values only; all cycles are 0.
    Function,
    /// Cycles only: memory carries no data, weights are not touched, uninitialised reads and races go unnoticed, and index
    /// lists are not read. The cycles are those of [`Mode::Full`].
    Timing,
}

/// How to emulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What to compute.
    pub mode: Mode,
    /// Look for accesses that no semaphore orders.
    pub races: bool,
    /// A launch that executes more instructions than this is stopped.
    pub max_instructions: u64,
    /// Threads of this host that compute matrix products; the results do not depend on it.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            mode: Mode::Full,
            races: true,
            max_instructions: 1_000_000_000,
            threads: 1,
        }
    }
}

/// Why a program cannot be loaded into a machine.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The program was compiled for another chip, and needs what this one lacks.
    #[error(
        "not supported by this chip: the program was compiled for chip `{compiled}` and does not run on `{chip}`: {reason}"
    )]
    Unsupported {
        /// Chip the program was compiled for.
        compiled: String,
        /// Chip it was to run on.
        chip: String,
        /// What differs.
        reason: String,
    },
    /// The memory cannot be set up.
    #[error(transparent)]
    Memory(#[from] DramError),
    /// The host does not give as many threads.
    #[error("cannot start {count} threads: {reason}")]
    Threads {
        /// How many were asked for.
        count: usize,
        /// What the host says.
        reason: String,
    },
}

/// A read or write by the host that is not possible.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HostAccess {
    /// The range leaves the memory.
    #[error("DRAM {start:#x}..{end:#x} is not inside the program's memory")]
    Range {
        /// First address.
        start: u64,
        /// One past the last address.
        end: u64,
    },
    /// The bytes were never written.
    #[error("DRAM byte {0:#x} was never written")]
    Uninit(u64),
}

/// The weights of a binary as shared bytes.
struct Image(Arc<Binary>);

impl AsRef<[u8]> for Image {
    fn as_ref(&self) -> &[u8] {
        self.0.weights()
    }
}

/// The chip with one program loaded.
pub struct Machine {
    binary: Arc<Binary>,
    chip: Chip,
    options: Options,
    memory: Memory,
    scratch: Scratch,
    threads: Threads,
}

impl Machine {
    /// Loads a program into `chip`, or into the chip it was compiled for. Another chip may differ in speed, but must have
    /// the same cores and at least the same memories and semaphores.
    ///
    /// # Errors
    /// If the chip lacks something, or the host cannot provide the memory.
    pub fn new(
        binary: Arc<Binary>,
        chip: Option<Chip>,
        options: Options,
    ) -> Result<Machine, SetupError> {
        let chip = chip.unwrap_or_else(|| binary.chip().clone());
        let manifest = binary.manifest();
        let unsupported = |reason: String| SetupError::Unsupported {
            compiled: manifest.chip_name.clone(),
            chip: chip.name().to_string(),
            reason,
        };
        let own = binary.chip();
        if (own.cores_x(), own.cores_y()) != (chip.cores_x(), chip.cores_y()) {
            let grid = |c: &Chip| format!("{} x {} cores", c.cores_x(), c.cores_y());
            return Err(unsupported(format!(
                "it needs {}, the chip has {}",
                grid(own),
                grid(&chip)
            )));
        }
        let least = [
            (
                "bytes of SRAM per core",
                own.sram_bytes(),
                chip.sram_bytes(),
            ),
            (
                "semaphores per core",
                own.semaphores().into(),
                chip.semaphores().into(),
            ),
            ("bytes of DRAM", manifest.dram_bytes, chip.dram_bytes()),
        ];
        for (what, needed, there) in least {
            if there < needed {
                return Err(unsupported(format!(
                    "it needs {needed} {what}, the chip has {there}"
                )));
            }
        }
        let count = options.threads;
        let threads =
            Threads::new(count).map_err(|reason| SetupError::Threads { count, reason })?;
        let data = options.mode != Mode::Timing;
        let w = &manifest.weights;
        let weights = w.dram_addr..w.dram_addr.saturating_add(w.bytes);
        let image = Arc::new(Image(binary.clone()));
        let dram = Dram::new(manifest.dram_bytes, weights, Some(image), data)?;
        let memory = Memory::new(chip.cores(), chip.sram_bytes(), dram, data)?;
        Ok(Machine {
            binary,
            chip,
            options,
            memory,
            scratch: Scratch::default(),
            threads,
        })
    }

    /// The program.
    pub fn binary(&self) -> &Arc<Binary> {
        &self.binary
    }

    /// The chip.
    pub fn chip(&self) -> &Chip {
        &self.chip
    }

    /// How it is emulated.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Launches an entry of the binary with these launch registers. Unless no values are computed, the first launch of a
    /// binary checks the hash of its weights.
    ///
    /// # Errors
    /// The fault that stopped it. DRAM is then as the program left it.
    pub fn launch(&mut self, entry: &Entry, regs: &[i64]) -> Result<LaunchStats, Box<Fault>> {
        if self.options.mode != Mode::Timing
            && let Err(damaged) = self.binary.verify_weights()
        {
            return Err(Box::new(Fault {
                kind: FaultKind::WeightHash(damaged.to_string()),
                site: None,
                entry: entry.name.clone(),
                cycle: 0,
                buffer: None,
            }));
        }
        let request = Request {
            entry: &entry.name,
            code: self.binary.entry_code(entry),
            code_offset: entry.code_offset as usize,
            debug: self.binary.debug(),
            manifest: self.binary.manifest(),
            regs,
            chip: &self.chip,
            timed: self.options.mode != Mode::Function,
            races: self.options.races && self.options.mode != Mode::Timing,
            max_instructions: self.options.max_instructions,
            threads: &self.threads,
        };
        Launch::run(request, &mut self.memory, &mut self.scratch)
    }

    /// Whether launches compute values.
    pub fn has_values(&self) -> bool {
        self.options.mode != Mode::Timing
    }

    fn ram(&self, addr: u64, len: u64) -> Result<Range<u64>, HostAccess> {
        let range = addr..addr.saturating_add(len);
        match self.memory.dram.place(&range) {
            Some(Place::Ram) => Ok(range),
            _ => Err(HostAccess::Range {
                start: range.start,
                end: range.end,
            }),
        }
    }

    /// Writes DRAM outside the weights.
    ///
    /// # Errors
    /// If the range leaves the memory.
    pub fn write_dram(&mut self, addr: u64, bytes: &[u8]) -> Result<(), HostAccess> {
        let range = self.ram(addr, bytes.len() as u64)?;
        if self.options.mode == Mode::Timing {
            return Ok(());
        }
        let uninit = |_: Conflict| HostAccess::Range {
            start: range.start,
            end: range.end,
        };
        self.memory
            .dram
            .shadow()
            .write(addr, bytes.len() as u64, &Access::UNORDERED)
            .map_err(uninit)?;
        if let Some(to) = self.memory.dram.bytes_mut(range) {
            to.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// Reads DRAM outside the weights; empty in [`Mode::Timing`].
    ///
    /// # Errors
    /// If the range leaves the memory, or a byte of it was never written.
    pub fn read_dram(&mut self, addr: u64, len: u64) -> Result<&[u8], HostAccess> {
        let range = self.ram(addr, len)?;
        if self.options.mode == Mode::Timing {
            return Ok(&[]);
        }
        if let Err(Conflict::Uninit { at } | Conflict::Race { at, .. }) = self
            .memory
            .dram
            .shadow()
            .read(addr, len, &Access::UNORDERED)
        {
            return Err(HostAccess::Uninit(at));
        }
        Ok(self.memory.dram.bytes(range).unwrap_or(&[]))
    }

    /// Marks DRAM outside the weights as never written.
    ///
    /// # Errors
    /// If the range leaves the memory.
    pub fn forget_dram(&mut self, addr: u64, len: u64) -> Result<(), HostAccess> {
        self.ram(addr, len)?;
        self.memory.dram.shadow().forget(addr, len);
        Ok(())
    }
}
