//! What a launch did and took.

use llmc_isa::Queue;
use llmc_isa::timing::Cost;

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
    /// Bytes read and written in scratchpads.
    pub sram_bytes: u64,
    /// Multiply-accumulates of f32 operands.
    pub macs_f32: u64,
    /// Multiply-accumulates of bf16 operands.
    pub macs_bf16: u64,
    /// Elementwise operations.
    pub vpu_ops: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, cost: &Cost) {
        self.dram_bytes += cost.dram_bytes;
        self.noc_bytes += cost.noc_bytes;
        self.sram_bytes += cost.sram_bytes;
        self.macs_f32 += cost.macs_f32;
        self.macs_bf16 += cost.macs_bf16;
        self.vpu_ops += cost.vpu_ops;
    }
}

/// What a launch did and took. Without timing, all cycles and totals are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchStats {
    /// Cycles from the start until the last result is visible.
    pub cycles: u64,
    /// Instructions of all controllers; an engine instruction counts once.
    pub instructions: u64,
    /// Cycles the DRAM transferred data.
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

    /// Adds another launch: cycles, instructions and work add up.
    pub fn add(&mut self, other: &LaunchStats) {
        self.cycles += other.cycles;
        self.instructions += other.instructions;
        self.dram_busy += other.dram_busy;
        let (t, o) = (&mut self.totals, &other.totals);
        t.dram_bytes += o.dram_bytes;
        t.noc_bytes += o.noc_bytes;
        t.sram_bytes += o.sram_bytes;
        t.macs_f32 += o.macs_f32;
        t.macs_bf16 += o.macs_bf16;
        t.vpu_ops += o.vpu_ops;
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
