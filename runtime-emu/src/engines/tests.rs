//! What the engines claim is what `isa::access` says an instruction touches, byte for byte: compiler and emulator must not
//! have different ideas of that.

use super::*;
use crate::memory::{Dram, Epoch};
use llmc_isa::access::{Space, accesses};
use llmc_isa::inst::ROWS;
use llmc_isa::{Inst, encode};
use proptest::prelude::*;
use std::collections::BTreeSet;

const SRAM: u64 = 2048;
const DRAM: u64 = 2048;

fn roll(state: &mut u64, sides: u64) -> u64 {
    *state = state
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    (*state >> 33) % sides
}

/// An element type for a field; mostly one that the row takes there.
fn random_type(s: &mut u64, row: &str, field: &str) -> &'static str {
    use llmc_isa::DType::{self, *};
    let all: &[DType] = match (row, field) {
        ("MxuMmq", "a_type") => &[I8, Bf16, F32],
        ("MxuMmq", "b_type") => &[I8, I4, I2, F8E4M3],
        ("MxuMmq", "scale_type") => &[F32, Bf16, F16],
        ("VpuInt", _) => &[I32, I8, U8, I4, I2],
        _ => DType::ALL,
    };
    let sides = [2, all.len() as u64][roll(s, 2) as usize];
    all[roll(s, sides) as usize].name()
}

/// A resolved engine instruction with small, aligned operands.
fn random_inst(s: &mut u64) -> Option<Inst> {
    let row = ROWS[roll(s, ROWS.len() as u64) as usize];
    let mut inst = Inst::zeroed(row.opcode)?;
    for f in row.fields {
        let text = match (f.ty, f.name) {
            ("Queue", _) if row.name.starts_with("Dma") => "dma1".to_string(),
            ("SAddr", _) => format!("[{}]", roll(s, 64) * 16),
            ("DAddr", _) => format!("{{{}}}", roll(s, 64) * 16),
            ("Ext", "bytes") => format!("{}", roll(s, 40)),
            ("Ext", _) => format!("{}", roll(s, 5)),
            ("VOp", _) => {
                let dtype = random_type(s, row.name, f.name);
                let bcast = ["", ":bcast"][roll(s, 2) as usize];
                format!(
                    "{dtype}[{}:{}:{}{bcast}]",
                    roll(s, 64) * 16,
                    roll(s, 9) * 8,
                    roll(s, 9) * 4
                )
            }
            ("bool", _) => ["true", "false"][roll(s, 2) as usize].to_string(),
            ("DType", _) => random_type(s, row.name, f.name).to_string(),
            ("IntFn", _) => llmc_isa::IntFn::ALL[roll(s, 14) as usize]
                .name()
                .to_string(),
            ("QuantFn", _) => llmc_isa::QuantFn::ALL[roll(s, 4) as usize]
                .name()
                .to_string(),
            (_, "k") => ["0", "64", "128"][roll(s, 3) as usize].to_string(),
            (_, "group") => ["0", "16", "64"][roll(s, 3) as usize].to_string(),
            ("IndexType", _) => ["i32", "i64"][roll(s, 2) as usize].to_string(),
            ("Scope", _) => ["local", "all", "core"][roll(s, 3) as usize].to_string(),
            ("Val", _) => format!("{}", roll(s, 2)),
            (_, "heads" | "d") => format!("{}", roll(s, 5)),
            (_, "rows") => "1".to_string(),
            ("f32", _) => "1.0".to_string(),
            ("u32", _) => format!("{}", roll(s, 9) * 16),
            _ => continue,
        };
        let _ = inst.set(f.name, &text);
    }
    (inst.queue().is_some() && encode(&inst).is_ok()).then_some(inst)
}

fn execute(e: &mut Effect<'_>, inst: &Inst) -> Option<Result<(), Trap>> {
    Some(match inst {
        Inst::DmaLoad(i) => e.dma_load(i),
        Inst::DmaStore(i) => e.dma_store(i),
        Inst::DmaPush(i) => e.dma_push(i),
        Inst::DmaGather(i) => e.dma_gather(i),
        Inst::DmaScatter(i) => e.dma_scatter(i),
        Inst::MxuMm(i) => e.mxu_mm(i),
        Inst::MxuMmq(i) => e.mxu_mmq(i),
        Inst::MxuDrain(i) => e.mxu_drain(i),
        Inst::VpuInt(i) => e.vpu_int(i),
        Inst::VpuSelect(i) => e.vpu_select(i),
        Inst::VpuQuant(i) => e.vpu_quant(i),
        Inst::VpuUnary(i) => e.vpu_unary(i),
        Inst::VpuBinary(i) => e.vpu_binary(i),
        Inst::VpuFill(i) => e.vpu_fill(i),
        Inst::VpuReduce(i) => e.vpu_reduce(i),
        Inst::AttInit(i) => e.att_init(i),
        Inst::AttStep(i) => e.att_step(i),
        Inst::AttRound(i) => e.att_round(i),
        Inst::AttFin(i) => e.att_fin(i),
        Inst::SemWait(_) | Inst::SemPost(_) => return None,
        _ if inst.queue().is_none() => return None,
        _ => panic!("`{}` is not compared with its accesses", inst.row().name),
    })
}

/// Bytes as (memory, address): memories 0 and 1 are the scratchpads, 2 is DRAM.
type Bytes = BTreeSet<(u32, u64)>;

/// What the instruction touches according to `isa::access`, run on core 0 of 2: read or written, and written.
fn said(inst: &Inst) -> (Bytes, Bytes) {
    let (mut touched, mut written) = (Bytes::new(), Bytes::new());
    for a in accesses(inst) {
        let memories = match a.space {
            Space::Sram => vec![0],
            Space::Dram => vec![2],
            Space::Remote {
                scope: Scope::All, ..
            } => vec![0, 1],
            Space::Remote {
                scope: Scope::Local,
                ..
            } => vec![0],
            Space::Remote {
                scope: Scope::Core,
                core,
            } => vec![core as u32],
        };
        for memory in memories {
            for at in a.ranges().flat_map(|(start, len)| start..start + len) {
                touched.insert((memory, at));
                if a.write {
                    written.insert((memory, at));
                }
            }
        }
    }
    (touched, written)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn claims_are_what_isa_says(mut seed: u64) {
        let mut next = || random_inst(&mut seed).filter(|inst| !accesses(inst).is_empty());
        let Some(inst) = (0..10_000).find_map(|_| next()) else { return Ok(()) };
        let mut memory = Memory::new(2, SRAM, Dram::new(DRAM, 0..0, None, true).unwrap(), true).unwrap();
        let host = Access::UNORDERED;
        for core in 0..2 {
            memory.sram_write(&host, core, "all", &crate::memory::Strided::run(0, SRAM), 1).unwrap();
        }
        memory.dram_write(&host, "all", &crate::memory::Strided::run(0, DRAM)).unwrap();
        let clock = [1, 0];
        let mut scratch = Scratch::default();
        let mut effect = Effect {
            memory: &mut memory,
            who: Access { epoch: Epoch { actor: 0, clock: 1 }, clock: &clock },
            core: 0,
            cores: 2,
            kernels: Kernels::get(),
 threads: &crate::threads::Threads::default(),
            scratch: &mut scratch,
        };
        match execute(&mut effect, &inst) {
            Some(Ok(())) => {}
            // Out of bounds or misaligned: nothing to compare.
            _ => return Ok(()),
        }
        let (mut touched, written) = said(&inst);
        if let Inst::DmaGather(i) = inst && i.count.n > 0 && i.bytes > 0 {
            // All indices are 0 in a fresh memory.
            touched.extend((i.table.off..i.table.off + u64::from(i.bytes)).map(|at| (2, at)));
        }
        let mut written = written;
        if let Inst::DmaScatter(i) = inst && i.count.n > 0 && i.bytes > 0 {
            let row = (i.table.off..i.table.off + u64::from(i.bytes)).map(|at| (2, at));
            touched.extend(row.clone());
            written.extend(row);
        }
        // An unordered read collides with writes, an unordered write with all accesses.
        let other_clock = [0, 1];
        let other = Access { epoch: Epoch { actor: 1, clock: 1 }, clock: &other_clock };
        let (mut found, mut found_written) = (Bytes::new(), Bytes::new());
        for m in 0..3 {
            for at in 0..SRAM {
                let byte = crate::memory::Strided::run(at, 1);
                let (read, write) = if m < 2 {
                    (memory.sram_read(&other, m, "x", &byte, 1).is_err(), memory.sram_write(&other, m, "x", &byte, 1).is_err())
                } else {
                    (memory.dram_read(&other, "x", &byte).is_err(), memory.dram_write(&other, "x", &byte).is_err())
                };
                if read {
                    found_written.insert((m, at));
                }
                if write {
                    found.insert((m, at));
                }
            }
        }
        prop_assert_eq!(found, touched, "{:?}", inst);
        prop_assert_eq!(found_written, written, "{:?}", inst);
    }
}
