//! What a launch did and took.

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
    /// The same times the mesh links they cross; a multicast crosses one link per receiving core.
    pub noc_byte_hops: u64,
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
    /// Adds an instruction whose data cross `links` links of the mesh.
    pub(crate) fn charge(&mut self, cost: &Cost, links: u64) {
        self.dram_bytes += cost.dram_bytes;
        self.noc_bytes += cost.noc_bytes;
        self.noc_byte_hops += cost.noc_bytes * links;
        self.sram_bytes += cost.sram_bytes;
        self.macs_f32 += cost.macs_f32;
        self.macs_bf16 += cost.macs_bf16;
        self.vpu_ops += cost.vpu_ops;
    }
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.dram_bytes += other.dram_bytes;
        self.noc_bytes += other.noc_bytes;
        self.noc_byte_hops += other.noc_byte_hops;
        self.sram_bytes += other.sram_bytes;
        self.macs_f32 += other.macs_f32;
        self.macs_bf16 += other.macs_bf16;
        self.vpu_ops += other.vpu_ops;
    }
}

/// Energy by class, in joules.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energy {
    /// Multiply-accumulates.
    pub macs: f64,
    /// Elementwise operations.
    pub vpu: f64,
    /// Scratchpad accesses.
    pub sram: f64,
    /// DRAM accesses.
    pub dram: f64,
    /// Data crossing the mesh.
    pub noc: f64,
    /// What the chip draws whatever it does, over the cycles of the launch.
    pub idle: f64,
}

impl Energy {
    /// Sum of all classes, in joules.
    pub fn total(&self) -> f64 {
        self.macs + self.vpu + self.sram + self.dram + self.noc + self.idle
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

    /// Energy on `chip`, from the energies in its file.
    pub fn energy(&self, chip: &Chip) -> Energy {
        let t = &self.totals;
        let joules = |count: u64, pj: f64| count as f64 * pj * 1e-12;
        Energy {
            macs: joules(t.macs_f32, chip.energy_mac_f32_pj())
                + joules(t.macs_bf16, chip.energy_mac_bf16_pj()),
            vpu: joules(t.vpu_ops, chip.energy_vpu_op_pj()),
            sram: joules(t.sram_bytes, chip.energy_sram_pj_per_byte()),
            dram: joules(t.dram_bytes, chip.energy_dram_pj_per_byte()),
            noc: joules(t.noc_byte_hops, chip.energy_noc_pj_per_byte_hop()),
            idle: self.cycles as f64 / chip.clock_hz() as f64 * chip.static_watts(),
        }
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
