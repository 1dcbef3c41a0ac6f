//! What a resolved instruction costs on a chip: the one timing model of compiler and emulator.
//!
//! All times are whole cycles of the chip clock, in integer arithmetic. An engine is occupied `busy` cycles; its results are
//! visible `latency` cycles later. The channels of the DRAM are servers that all cores share ([`Dram`]), in the order the requests
//! arrive. A message between cores takes [`noc_latency`] after it has left; [`Noc`] has the links as servers.
//!
//! What the manual says of each instruction's time, energy and faults is in [`describe`](fn@describe).

mod describe;
mod dram;
mod noc;

pub use describe::{Description, FAULTS, describe};
pub use dram::Dram;
pub use noc::{Noc, Sent};

pub(crate) use describe::DOC;

use crate::access::{Access, Space, accesses};
use crate::chip::{Chip, Dataflow};
use crate::energy::MacClass;
use crate::inst::{Inst, MxuDrain};
use crate::operand::{DType, IndexType};

/// Costs of one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Cycles its engine is occupied; at least 1.
    pub busy: u64,
    /// Further cycles until its results are visible; the engine is free by then.
    pub latency: u64,
    /// Bytes moved to or from DRAM in whole bursts, which also occupy its channels ([`Dram`]).
    pub dram_bytes: u64,
    /// Bytes sent into the NoC, once for a multicast.
    pub noc_bytes: u64,
    /// Bytes read from and written to the SRAM of the executing core.
    pub sram_bytes: u64,
    /// Multiply-accumulates of f32 operands.
    pub macs_f32: u64,
    /// Multiply-accumulates of bf16 and f16 operands.
    pub macs_bf16: u64,
    /// Multiply-accumulates of 8-bit floats.
    pub macs_fp8: u64,
    /// Multiply-accumulates of int8 operands.
    pub macs_int8: u64,
    /// Multiply-accumulates of int8 and int4 operands.
    pub macs_int4: u64,
    /// Multiply-accumulates of int8 and int2 operands.
    pub macs_int2: u64,
    /// Elementwise operations of the vector unit, exponentials of the attention unit.
    pub vpu_ops: u64,
}

impl Cost {
    /// Multiply-accumulates by class, in the order of [`MacClass::ALL`].
    pub const fn macs(&self) -> [u64; 6] {
        [
            self.macs_f32,
            self.macs_bf16,
            self.macs_fp8,
            self.macs_int8,
            self.macs_int4,
            self.macs_int2,
        ]
    }

    /// Adds multiply-accumulates of a class.
    fn add_macs(&mut self, class: MacClass, macs: u64) {
        let sum = match class {
            MacClass::F32 => &mut self.macs_f32,
            MacClass::Bf16 => &mut self.macs_bf16,
            MacClass::Fp8 => &mut self.macs_fp8,
            MacClass::Int8 => &mut self.macs_int8,
            MacClass::Int4 => &mut self.macs_int4,
            MacClass::Int2 => &mut self.macs_int2,
        };
        *sum = sum.saturating_add(macs);
    }
}

/// The cost of a resolved instruction. An engine instruction with an extent of 0 costs one busy cycle.
pub fn cost(inst: &Inst, chip: &Chip) -> Cost {
    let touched = accesses(inst);
    let sram = touched.iter().filter(|a| a.space == Space::Sram);
    let sram_bytes = sram.map(Access::total).fold(0, u64::saturating_add);
    let idle = Cost {
        busy: 1,
        ..Cost::default()
    };
    let cost = match inst {
        Inst::CtlLi(_)
        | Inst::CtlAddi(_)
        | Inst::CtlMadd(_)
        | Inst::CtlAdd(_)
        | Inst::CtlSub(_)
        | Inst::CtlMul(_)
        | Inst::CtlMin(_)
        | Inst::CtlMax(_)
        | Inst::CtlDiv(_)
        | Inst::CtlMod(_)
        | Inst::CtlLaunch(_)
        | Inst::CtlCore(_)
        | Inst::CtlLoop(_)
        | Inst::CtlHalt(_) => {
            return Cost {
                busy: chip.ctl_issue_cycles(),
                ..Cost::default()
            };
        }
        Inst::SemWait(_) | Inst::SemPost(_) => return idle,
        _ if touched.is_empty() => return idle,
        Inst::DmaLoad(_) | Inst::DmaStore(_) | Inst::DmaPush(_) => transfer(&touched, chip),
        Inst::DmaGather(i) => by_index(i.count.n, i.bytes, i.index_type, chip),
        Inst::DmaScatter(i) => by_index(i.count.n, i.bytes, i.index_type, chip),
        // An f32 A is rounded to the type of B on the way to the array.
        Inst::MxuMm(i) => matmul(
            [i.m.n, i.n.n, i.k.n],
            MacClass::of(i.b_type, i.b_type),
            chip,
        ),
        // Codes widen to a float A on the way to the array; with an integer A they stay codes.
        Inst::MxuMmq(i) => matmul([i.m.n, i.n.n, i.k], MacClass::of(i.a_type, i.b_type), chip),
        Inst::MxuDrain(i) => drain(i, chip),
        Inst::VpuUnary(i) => vector(
            volume([i.n0.n, i.n1.n, i.n2.n]),
            i.op.pace().cycles(chip),
            chip,
        ),
        Inst::VpuBinary(i) => vector(
            volume([i.n0.n, i.n1.n, i.n2.n]),
            i.op.pace().cycles(chip),
            chip,
        ),
        Inst::VpuReduce(i) => vector(volume([i.n0.n, i.n1.n, i.n2.n]), 1, chip),
        Inst::VpuInt(i) => vector(
            volume([i.n0.n, i.n1.n, i.n2.n]),
            i.op.pace().cycles(chip),
            chip,
        ),
        Inst::VpuSelect(i) => vector(volume([i.n0.n, i.n1.n, i.n2.n]), 1, chip),
        Inst::VpuQuant(i) => vector(
            volume([i.n0.n, i.n1.n, i.n2.n]),
            i.op.pace().cycles(chip),
            chip,
        ),
        Inst::VpuFill(i) => vector(volume([i.n0.n, i.n1.n, i.n2.n]), 1, chip),
        Inst::AttInit(i) => att_pass(volume([i.rows.n, i.heads.into(), u32::from(i.d) + 2]), chip),
        Inst::AttStep(i) => {
            let n = [i.rows.n, i.heads.into(), i.kv.n];
            att_block(n, i.d, i.kv_type, 2, chip)
        }
        Inst::AttRound(i) => {
            let n = [i.rows.n, i.heads.into(), i.kv.n];
            att_block(n, i.d, i.kv_type, 1 + u64::from(i.weigh), chip)
        }
        Inst::AttFin(i) => att_pass(volume([i.rows.n, i.heads.into(), i.d.into()]), chip),
    };
    Cost {
        busy: cost.busy.max(1),
        sram_bytes,
        ..cost
    }
}

/// Product of extents; saturates.
fn volume<const N: usize>(n: [u32; N]) -> u64 {
    n.iter()
        .fold(1_u64, |all, n| all.saturating_mul(u64::from(*n)))
}

// --- shared resources ------------------------------------------------------------------------------------------------

/// Cycles that all channels of the DRAM together take for `bytes`: `ceil(bytes / bandwidth * clock)`. A transfer alone takes no fewer.
pub fn dram_cycles(bytes: u64, chip: &Chip) -> u64 {
    let cycles = u128::from(bytes) * u128::from(chip.chip_clock_mhz());
    u64::try_from(cycles.div_ceil(u128::from(chip.dram_bandwidth_mb_per_s()))).unwrap_or(u64::MAX)
}

/// Cycles between a request reaching DRAM and its first byte: `ceil(latency * clock)`.
pub fn dram_latency(chip: &Chip) -> u64 {
    (chip.dram_latency_ns() * chip.chip_clock_mhz()).div_ceil(1000)
}

/// Mesh hops between two cores: rows plus columns, core c being at (c mod columns, c / columns).
pub fn hops(from: u32, to: u32, chip: &Chip) -> u64 {
    let columns = chip.cores_x();
    let (x, y) = (
        (from % columns).abs_diff(to % columns),
        (from / columns).abs_diff(to / columns),
    );
    u64::from(x) + u64::from(y)
}

/// Cycles a message takes from one core to another, after it has left.
pub fn noc_latency(from: u32, to: u32, chip: &Chip) -> u64 {
    hops(from, to, chip).saturating_mul(chip.noc_hop_cycles())
}

/// Cycles until a message from core `from` has reached all cores.
pub fn noc_broadcast_latency(from: u32, chip: &Chip) -> u64 {
    (0..chip.cores())
        .map(|to| noc_latency(from, to, chip))
        .max()
        .unwrap_or(0)
}

// --- dma -------------------------------------------------------------------------------------------------------------

/// Cycles for `blocks` contiguous blocks of `bytes` at `rate` bytes per cycle; a block takes whole cycles.
fn block_cycles(blocks: u64, bytes: u64, rate: u64) -> u64 {
    blocks.saturating_mul(bytes.div_ceil(rate))
}

/// `dma.load`, `dma.store`, `dma.push`: `setup + max over source and destination of blocks * ceil(bytes / rate)`.
fn transfer(touched: &[Access], chip: &Chip) -> Cost {
    let mut cost = Cost::default();
    for access in touched {
        let run = access.packed();
        let blocks = run
            .counts
            .iter()
            .fold(1_u64, |all, n| all.saturating_mul(*n));
        let mut rate = chip.dma_bytes_per_cycle();
        match access.space {
            Space::Sram => {}
            Space::Dram => {
                let bursts = run.bytes.div_ceil(chip.dram_burst_bytes());
                cost.dram_bytes = blocks
                    .saturating_mul(bursts)
                    .saturating_mul(chip.dram_burst_bytes());
                cost.latency = dram_latency(chip);
            }
            Space::Remote { .. } => {
                cost.noc_bytes = run.total();
                rate = rate.min(chip.noc_bytes_per_cycle());
            }
        }
        cost.busy = cost.busy.max(block_cycles(blocks, run.bytes, rate));
    }
    cost.busy = cost.busy.saturating_add(chip.dma_setup_cycles());
    cost
}

/// `dma.gather`, `dma.scatter`: `setup + ceil(index bytes / rate) + count * ceil(bytes / rate)`.
fn by_index(count: u32, bytes: u32, index_type: IndexType, chip: &Chip) -> Cost {
    let (count, bytes, rate) = (
        u64::from(count),
        u64::from(bytes),
        chip.dma_bytes_per_cycle(),
    );
    let indices = block_cycles(1, count * u64::from(index_type.bytes()), rate);
    let burst = chip.dram_burst_bytes();
    Cost {
        busy: chip.dma_setup_cycles() + indices + block_cycles(count, bytes, rate),
        latency: dram_latency(chip),
        dram_bytes: count * bytes.div_ceil(burst) * burst,
        ..Cost::default()
    }
}

// --- mxu -------------------------------------------------------------------------------------------------------------

/// Output-stationary array of `r` x `c`: cycles of an `m` x `n` x `k` product, `ceil(m/r) ceil(n/c) (k + r + c - 2) - 1`.
pub fn mxu_os(m: u64, n: u64, k: u64, r: u64, c: u64) -> u64 {
    array(m.div_ceil(r), n.div_ceil(c), k + r + c - 2)
}

/// Weight-stationary array of `r` x `c`: cycles of an `m` x `n` x `k` product, `ceil(k/r) ceil(n/c) (m + 2r + c - 2) - 1`.
pub fn mxu_ws(m: u64, n: u64, k: u64, r: u64, c: u64) -> u64 {
    array(k.div_ceil(r), n.div_ceil(c), m + 2 * r + c - 2)
}

/// Input-stationary array of `r` x `c`: cycles of an `m` x `n` x `k` product, `ceil(k/r) ceil(m/c) (n + 2r + c - 2) - 1`.
pub fn mxu_is(m: u64, n: u64, k: u64, r: u64, c: u64) -> u64 {
    array(k.div_ceil(r), m.div_ceil(c), n + 2 * r + c - 2)
}

fn array(tiles0: u64, tiles1: u64, steps: u64) -> u64 {
    tiles0
        .saturating_mul(tiles1)
        .saturating_mul(steps)
        .saturating_sub(1)
}

/// `startup + array cycles(m, n, k / products per step) * cycles per step`, products per step and cycles by class.
fn matmul([m, n, k]: [u32; 3], class: MacClass, chip: &Chip) -> Cost {
    let macs = volume([m, n, k]);
    let (m, n, k) = (u64::from(m), u64::from(n), class.steps(k.into(), chip));
    let (r, c) = (chip.mxu_rows(), chip.mxu_cols());
    let array = match chip.mxu_dataflow() {
        Dataflow::OutputStationary => mxu_os(m, n, k, r, c),
        Dataflow::WeightStationary => mxu_ws(m, n, k, r, c),
        Dataflow::InputStationary => mxu_is(m, n, k, r, c),
    };
    let busy = array
        .saturating_mul(class.cycles_per_step(chip))
        .saturating_add(chip.mxu_startup_cycles());
    let mut cost = Cost {
        busy,
        ..Cost::default()
    };
    cost.add_macs(class, macs);
    cost
}

/// `mxu.drain`: `startup + ceil(elements / columns) * (transcendental cycles if the activation is one)`.
fn drain(i: &MxuDrain, chip: &Chip) -> Cost {
    let elements = volume([i.m.n, i.n.n]);
    let cycles = i.act.pace().cycles(chip);
    let steps = elements.div_ceil(chip.mxu_cols());
    Cost {
        busy: steps
            .saturating_mul(cycles)
            .saturating_add(chip.mxu_startup_cycles()),
        vpu_ops: elements,
        ..Cost::default()
    }
}

// --- vpu -------------------------------------------------------------------------------------------------------------

/// `startup + ceil(elements / lanes) * cycles`.
fn vector(elements: u64, cycles: u64, chip: &Chip) -> Cost {
    let steps = elements.div_ceil(chip.vpu_lanes());
    let busy = steps
        .saturating_mul(cycles)
        .saturating_add(chip.vpu_startup_cycles());
    Cost {
        busy,
        vpu_ops: elements,
        ..Cost::default()
    }
}

// --- att -------------------------------------------------------------------------------------------------------------

/// `startup + ceil(operands rows heads kv d / macs_per_cycle) + ceil(rows heads kv / exps_per_cycle)`, hidden rows included; `n` is
/// rows, heads and rows of the block, `operands` 2 for keys and values or 1 for keys alone.
fn att_block(n: [u32; 3], d: u16, kv_type: DType, operands: u64, chip: &Chip) -> Cost {
    let scores = volume(n);
    let macs = scores.saturating_mul(operands * u64::from(d));
    let products = macs.div_ceil(chip.att_macs_per_cycle());
    let exponentials = scores.div_ceil(chip.att_exps_per_cycle());
    let busy = chip
        .att_startup_cycles()
        .saturating_add(products)
        .saturating_add(exponentials);
    // Codes are widened and scaled once each on the way in, ahead of the array: that takes energy, but no time.
    let widened = match kv_type.is_int() {
        true => operands * volume([n[2], d.into()]),
        false => 0,
    };
    let mut cost = Cost {
        busy,
        vpu_ops: scores.saturating_add(widened),
        ..Cost::default()
    };
    // So the products are never narrower than bf16.
    let class = match kv_type {
        DType::F32 => MacClass::F32,
        _ => MacClass::Bf16,
    };
    cost.add_macs(class, macs);
    cost
}

/// `att.init`, `att.fin`: `startup + ceil(elements / macs_per_cycle)`.
fn att_pass(elements: u64, chip: &Chip) -> Cost {
    let busy = chip
        .att_startup_cycles()
        .saturating_add(elements.div_ceil(chip.att_macs_per_cycle()));
    Cost {
        busy,
        vpu_ops: elements,
        ..Cost::default()
    }
}

#[cfg(test)]
mod tests;
