//! What a launch did and took.

pub use llmc_isa::energy::Energy;

use llmc_isa::energy::{self, Counts};
use llmc_isa::timing::Cost;
use llmc_isa::{Chip, Queue};

/// Work of one engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Instructions executed, semaphore instructions included.
    pub instructions: u64,
    /// Cycles the engine was occupied.
    pub busy: u64,
    /// Cycles the head of its queue waited for a semaphore.
    pub waiting: u64,
}

/// Work of one core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreStats {
    /// Instructions the controller executed or dispatched.
    pub ctl_instructions: u64,
    /// Cycles the controller waited for a full queue.
    pub ctl_stall: u64,
    /// Engines in the order of [`Queue::ALL`].
    pub engines: [EngineStats; 5],
}

impl CoreStats {
    /// Work of one engine.
    pub fn engine(&self, queue: Queue) -> &EngineStats {
        &self.engines[queue as usize]
    }
}

/// Sums over all instructions of a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes moved between DRAM and the chip.
    pub dram_bytes: u64,
    /// Bytes sent into the network on chip.
    pub noc_bytes: u64,
    /// What has a price in energy.
    pub work: Counts,
}

impl Totals {
    /// Adds an instruction whose data cross `links` links of the mesh.
    pub(crate) fn charge(&mut self, cost: &Cost, links: u64) {
        self.dram_bytes += cost.dram_bytes;
        self.noc_bytes += cost.noc_bytes;
        self.work += Counts::of(cost, links);
    }

    fn add(&mut self, other: &Totals) {
        self.dram_bytes += other.dram_bytes;
        self.noc_bytes += other.noc_bytes;
        self.work += other.work;
    }
}

/// What a launch did and took. Without timing, all cycles and totals are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchStats {
    /// Cycles from the start until the last result is visible.
    pub cycles: u64,
    /// Instructions of all controllers; an engine instruction counts once.
    pub instructions: u64,
    /// Cycles the DRAM transferred data, on average over its channels.
    pub dram_busy: u64,
    /// Sums over all instructions.
    pub totals: Totals,
    /// Work of each core.
    pub cores: Vec<CoreStats>,
}

impl LaunchStats {
    /// Busy cycles of one kind of engine, summed over all cores.
    pub fn busy(&self, queue: Queue) -> u64 {
        self.cores.iter().map(|c| c.engine(queue).busy).sum()
    }

    /// Energy on `chip`, from the energies in its file.
    pub fn energy(&self, chip: &Chip) -> Energy {
        energy::energy(&self.totals.work, self.cycles, chip)
    }

    /// Adds another launch: cycles, instructions and work add up.
    pub fn add(&mut self, other: &LaunchStats) {
        self.cycles += other.cycles;
        self.instructions += other.instructions;
        self.dram_busy += other.dram_busy;
        self.totals.add(&other.totals);
        self.cores.resize(
            self.cores.len().max(other.cores.len()),
            CoreStats::default(),
        );
        for (c, o) in self.cores.iter_mut().zip(&other.cores) {
            c.ctl_instructions += o.ctl_instructions;
            c.ctl_stall += o.ctl_stall;
            for (e, o) in c.engines.iter_mut().zip(&o.engines) {
                e.instructions += o.instructions;
                e.busy += o.busy;
                e.waiting += o.waiting;
            }
        }
    }
}
