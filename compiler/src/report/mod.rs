//! What a compile made: sizes, and bounds on the cycles of sample launches.
//!
//! Cycle numbers are static sums of `isa::timing` over the instructions that each core dispatches: how long every engine is busy
//! if it never waits. The largest of them, or the DRAM server's, is a bound that no schedule can beat; the emulator says how
//! close the program comes.

mod passes;
mod walk;

pub use passes::{PassesReport, SaturationReport, StepReport};
pub use walk::{WalkError, walk};

use crate::alloc::{DramMap, SramUse};
use crate::emit::Code;
use crate::sync::SyncStats;
use crate::tile::{Program, Space, TileParams};
use llmc_isa::timing::{Cost, cost, dram_cycles};
use llmc_isa::{Chip, Inst, Queue};
use serde::Serialize;
use std::fmt;

/// Instructions of one sample launch above which only the first core is walked, and stands for all.
const WALK_BUDGET: u64 = 4_000_000;

/// The report of a compile.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The chip.
    pub chip: String,
    /// What the graph passes did.
    pub passes: PassesReport,
    /// DRAM of the program.
    pub dram: DramReport,
    /// One report per entry.
    pub entries: Vec<EntryReport>,
    /// What the user should know although the compile went well.
    pub warnings: Vec<String>,
}

/// Bytes of DRAM by use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DramReport {
    /// The weight image.
    pub weights: u64,
    /// States.
    pub states: u64,
    /// Inputs and outputs.
    pub io: u64,
    /// Values between ops of function programs.
    pub scratch: u64,
    /// All of it, with alignment.
    pub total: u64,
}

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EntryReport {
    /// Its name.
    pub name: String,
    /// Instructions in the binary.
    pub instructions: usize,
    /// Controller registers in use at a time, at most.
    pub registers: usize,
    /// Rows of a row block; 0 for functions, whose kernels have tile sizes of their own.
    pub rows: u32,
    /// Bytes of a page of weights.
    pub weight_page: u32,
    /// Positions of a KV block.
    pub kv_block: u32,
    /// SRAM of a core.
    pub sram: SramReport,
    /// Synchronisation.
    pub sync: SyncStats,
    /// Sample launches.
    pub launches: Vec<LaunchReport>,
}

/// SRAM of a core, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SramReport {
    /// What a core has.
    pub available: u64,
    /// What the entry takes: rings and the peak of the buffers.
    pub peak: u64,
    /// All rings.
    pub rings: u64,
    /// Peak of the buffers that live at one time.
    pub buffers: u64,
    /// Each ring: name, pages, bytes of a page.
    pub ring_pages: Vec<(String, u32, u64)>,
    /// The largest buffers.
    pub largest: Vec<(String, u64)>,
}

/// A sample launch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LaunchReport {
    /// Launch registers: name and value.
    pub launch: Vec<(String, u64)>,
    /// Instructions that all cores execute.
    pub executed: u64,
    /// Bytes moved to or from DRAM: weights.
    pub dram_weights: u64,
    /// States.
    pub dram_states: u64,
    /// Inputs and outputs, and scratch.
    pub dram_io: u64,
    /// Bytes sent between cores.
    pub noc_bytes: u64,
    /// Multiply-accumulates of the matrix units.
    pub mxu_macs: u64,
    /// Multiply-accumulates of the attention units.
    pub att_macs: u64,
    /// Busy cycles of each engine on the core where it is busiest, and of the controller and the DRAM server.
    pub busy: Vec<(String, u64)>,
    /// Cycles that the DRAM bytes take at full bandwidth.
    pub memory_cycles: u64,
    /// Cycles that the multiply-accumulates take at full rate on all cores.
    pub compute_cycles: u64,
    /// The larger of the two: the roofline.
    pub roofline_cycles: u64,
    /// The largest of `busy`: no schedule of these instructions is faster.
    pub bound_cycles: u64,
    /// Which of `busy` that is.
    pub bottleneck: String,
}

impl DramReport {
    /// Sums up a map.
    pub fn of(map: &DramMap) -> DramReport {
        let states = map.states.values().map(|r| r.bytes).sum();
        DramReport {
            weights: map.image.1,
            states,
            io: map.io_bytes(),
            scratch: map.scratch_bytes,
            total: map.bytes,
        }
    }
}

impl SramReport {
    /// Describes the SRAM of a placed program.
    pub fn of(program: &Program, used: SramUse, available: u64) -> SramReport {
        /// How many buffers are listed.
        const SHOWN: usize = 6;
        let sram = program.buffers.iter().filter(|b| b.space == Space::Sram);
        let mut largest: Vec<(String, u64)> = sram.map(|b| (b.name.clone(), b.bytes)).collect();
        largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        largest.truncate(SHOWN);
        let ring_pages = program
            .rings
            .iter()
            .map(|r| (r.name.clone(), r.slots, r.page))
            .collect();
        SramReport {
            available,
            peak: used.total(),
            rings: used.rings,
            buffers: used.buffers,
            ring_pages,
            largest,
        }
    }
}

impl EntryReport {
    /// The static part of the report.
    pub fn new(
        program: &Program,
        params: Option<&TileParams>,
        sram: SramReport,
        sync: SyncStats,
    ) -> EntryReport {
        EntryReport {
            name: program.name.clone(),
            rows: params.map_or(0, |p| p.mt),
            weight_page: params.map_or(0, |p| p.weight_page),
            kv_block: params.map_or(0, |p| p.kv_block),
            sram,
            sync,
            ..EntryReport::default()
        }
    }
}

/// Which part of DRAM an instruction moves bytes of.
enum Part {
    Weights,
    States,
    Io,
}

/// By the DRAM address of the first byte.
fn dram_part(inst: &Inst, map: &DramMap) -> Part {
    let addr = match inst {
        Inst::DmaLoad(i) => i.src.off,
        Inst::DmaStore(i) => i.dst.off,
        Inst::DmaGather(i) => i.table.off,
        Inst::DmaScatter(i) => i.table.off,
        _ => 0,
    };
    let inside = |start: u64, bytes: u64| addr >= start && addr < start + bytes;
    if inside(map.image.0, map.image.1) {
        Part::Weights
    } else if map.states.values().any(|r| inside(r.addr, r.bytes)) {
        Part::States
    } else {
        Part::Io
    }
}

/// Sums up a sample launch of an entry's code.
///
/// # Errors
/// [`WalkError`] if the controller cannot run it.
pub fn launch_report(
    code: &Code,
    program: &Program,
    launch: &[i64],
    map: &DramMap,
    chip: &Chip,
) -> Result<LaunchReport, WalkError> {
    let values = program.launch.iter().zip(launch);
    let launch_values = values.map(|(l, v)| (l.name.clone(), v.unsigned_abs()));
    let mut report = LaunchReport {
        launch: launch_values.collect(),
        ..LaunchReport::default()
    };
    let mut busiest = [0_u64; Queue::ALL.len() + 1];
    let mut walked: u64 = 0;
    for core in 0..program.cores {
        let mut busy = [0_u64; Queue::ALL.len() + 1];
        let mut visit = |times: u64, inst: &Inst| {
            let cost = cost(inst, chip);
            if let Some(queue) = inst.queue() {
                busy[queue as usize] += cost.busy * times;
                report.add(inst, queue, &cost, times, map);
            }
        };
        let core = i64::from(core);
        let executed = walk(&code.insts, core, launch, &code.alike, &mut visit)?;
        busy[Queue::ALL.len()] = executed * chip.ctl_issue_cycles();
        busiest
            .iter_mut()
            .zip(busy)
            .for_each(|(most, b)| *most = (*most).max(b));
        report.executed += executed;
        walked += 1;
        if executed.saturating_mul(u64::from(program.cores)) > WALK_BUDGET {
            break;
        }
    }
    report.scale(u64::from(program.cores), walked.max(1));
    let dram_bytes = report.dram_weights + report.dram_states + report.dram_io;
    report.memory_cycles = dram_cycles(dram_bytes, chip);
    let cores = u64::from(program.cores.max(1));
    let mxu_rate = chip.mxu_rows() * chip.mxu_cols() * cores;
    let compute = (report.mxu_macs.div_ceil(mxu_rate.max(1))).max(
        report
            .att_macs
            .div_ceil((chip.att_macs_per_cycle() * cores).max(1)),
    );
    report.compute_cycles = compute;
    report.roofline_cycles = report.memory_cycles.max(compute);
    let names = Queue::ALL.iter().map(|q| q.name()).chain(["ctl"]);
    report.busy = names
        .zip(busiest)
        .map(|(n, b)| (n.to_string(), b))
        .collect();
    report.busy.push(("dram".to_string(), report.memory_cycles));
    let most = report
        .busy
        .iter()
        .max_by_key(|(_, b)| *b)
        .cloned()
        .unwrap_or_default();
    (report.bottleneck, report.bound_cycles) = most;
    Ok(report)
}

impl LaunchReport {
    /// Counts an instruction that is executed so many times.
    fn add(&mut self, inst: &Inst, queue: Queue, cost: &Cost, times: u64, map: &DramMap) {
        if cost.dram_bytes > 0 {
            let bytes = cost.dram_bytes * times;
            match dram_part(inst, map) {
                Part::Weights => self.dram_weights += bytes,
                Part::States => self.dram_states += bytes,
                Part::Io => self.dram_io += bytes,
            }
        }
        self.noc_bytes += cost.noc_bytes * times;
        let macs = (cost.macs_f32 + cost.macs_bf16) * times;
        match queue {
            Queue::Mxu => self.mxu_macs += macs,
            Queue::Att => self.att_macs += macs,
            Queue::Dma0 | Queue::Dma1 | Queue::Vpu => {}
        }
    }

    /// From the cores walked to all cores.
    fn scale(&mut self, cores: u64, walked: u64) {
        let sums = [
            &mut self.executed,
            &mut self.dram_weights,
            &mut self.dram_states,
            &mut self.dram_io,
        ];
        for sum in
            sums.into_iter()
                .chain([&mut self.noc_bytes, &mut self.mxu_macs, &mut self.att_macs])
        {
            *sum = *sum * cores / walked;
        }
    }
}

/// Launches to report on: an entry of one token per launch with an empty, half full and full context; one of many tokens full.
pub fn sample_launches(program: &Program) -> Vec<Vec<i64>> {
    let max = |name: &str| {
        program
            .launch
            .iter()
            .find(|l| l.name == name)
            .map(|l| i64::try_from(l.max).unwrap_or(i64::MAX))
    };
    let (tokens, past) = (max("tokens").unwrap_or(1), max("past").unwrap_or(0));
    // The largest past leaves room for one token.
    let full = (past + 1 - tokens).max(0);
    let pasts = if tokens > 1 {
        vec![0, full]
    } else {
        vec![0, full / 2, full]
    };
    let mut launches: Vec<Vec<i64>> = pasts
        .into_iter()
        .map(|p| {
            let value = |name: &str| match name {
                "tokens" => tokens,
                "past" => p,
                _ => 0,
            };
            program.launch.iter().map(|l| value(&l.name)).collect()
        })
        .collect();
    launches.dedup();
    launches
}

/// `1536` as `1.5 KiB`.
fn kib(bytes: u64) -> String {
    match bytes {
        0..=9999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &self.dram;
        writeln!(
            f,
            "chip {}: DRAM {} (weights {}, states {}, io {}, scratch {})",
            self.chip,
            kib(d.total),
            kib(d.weights),
            kib(d.states),
            kib(d.io),
            kib(d.scratch)
        )?;
        write!(f, "{}", self.passes)?;
        self.entries.iter().try_for_each(|e| write!(f, "{e}"))?;
        self.warnings
            .iter()
            .try_for_each(|w| writeln!(f, "warning: {w}"))
    }
}

impl fmt::Display for EntryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, y) = (&self.sram, &self.sync);
        writeln!(
            f,
            "\n{}: {} instructions, {} registers, {} semaphores, {} dependences ({} implied by others)",
            self.name, self.instructions, self.registers, y.semaphores, y.dependences, y.implied
        )?;
        let tiles = match self.rows {
            0 => "chosen by each kernel".to_string(),
            rows => {
                let page = kib(self.weight_page.into());
                let block = self.kv_block;
                format!("{rows} rows, weight pages of {page}, KV blocks of {block}")
            }
        };
        writeln!(
            f,
            "  tiles: {tiles}; SRAM {} of {} per core (rings {}, buffers {})",
            kib(s.peak),
            kib(s.available),
            kib(s.rings),
            kib(s.buffers)
        )?;
        self.launches.iter().try_for_each(|l| write!(f, "{l}"))
    }
}

impl fmt::Display for LaunchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let launch: Vec<String> = self
            .launch
            .iter()
            .map(|(n, v)| format!("{n} = {v}"))
            .collect();
        writeln!(
            f,
            "  {}: at least {} cycles ({}), roofline {} (memory {}, compute {})",
            if launch.is_empty() {
                "a launch".to_string()
            } else {
                launch.join(", ")
            },
            self.bound_cycles,
            self.bottleneck,
            self.roofline_cycles,
            self.memory_cycles,
            self.compute_cycles
        )?;
        let busy: Vec<String> = self
            .busy
            .iter()
            .filter(|(_, b)| *b > 0)
            .map(|(n, b)| format!("{n} {b}"))
            .collect();
        writeln!(
            f,
            "    DRAM: weights {}, states {}, io and scratch {}; NoC {}; {} MACs; busy {}",
            kib(self.dram_weights),
            kib(self.dram_states),
            kib(self.dram_io),
            kib(self.noc_bytes),
            self.mxu_macs + self.att_macs,
            busy.join(", ")
        )
    }
}
