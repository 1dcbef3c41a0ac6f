//! The backend of one entry: from its graph to its instructions.

use crate::alloc::{AllocError, DramMap, SramUse, place_sram};
use crate::check::{alloc_check, schedule_check};
use crate::emit::{Code, emit};
use crate::error::CompileError;
use crate::report::{EntryReport, SramReport, launch_report, sample_launches};
use crate::schedule::schedule;
use crate::sync::{SyncStats, synchronise};
use crate::tile::{Program, Space, TileParams, WeightPlan, candidates, lower, lower_function};
use llmc_ir::{Graph, Module};
use llmc_isa::asm::disassemble;
use llmc_isa::container::DebugMap;
use llmc_isa::{Chip, asm};
use llmc_passes::Steps;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// An entry with its tile sizes chosen and its SRAM placed.
pub struct Tiled {
    /// The tile sizes, if the entry has the same ones throughout.
    pub params: Option<TileParams>,
    /// The program as lowered.
    pub lowered: Program,
    /// With the pages of its rings.
    pub scheduled: Program,
    /// With SRAM addresses.
    pub placed: Program,
    /// SRAM it takes.
    pub sram: SramUse,
}

/// An entry that is done.
pub struct Finished {
    /// The placed program.
    pub placed: Program,
    /// The synchronised program.
    pub program: Program,
    /// Its instructions.
    pub code: Code,
    /// Its report.
    pub report: EntryReport,
}

impl Finished {
    /// The instructions as text, with their sources.
    pub fn asm(&self) -> String {
        let program = asm::Program {
            entries: vec![(self.program.name.clone(), self.code.insts.clone())],
        };
        let debug = DebugMap {
            ops: self.code.ops.clone(),
            inst_op: self.code.inst_op.clone(),
            buffers: self.code.buffers.clone(),
        };
        disassemble(&program, Some(&debug))
    }
}

/// Lowers, schedules and places every entry. One after the other, because they share the weight image.
///
/// # Errors
/// If an entry cannot be lowered, or does not fit SRAM with any tile sizes.
pub fn tile_entries(
    module: &Module,
    chip: &Chip,
    weights: &mut WeightPlan,
) -> Result<Vec<Tiled>, CompileError> {
    module
        .entries
        .iter()
        .map(|graph| tile_entry(graph, chip, weights))
        .collect()
}

/// The first candidate that fits.
fn tile_entry(graph: &Graph, chip: &Chip, weights: &mut WeightPlan) -> Result<Tiled, CompileError> {
    let mut nearest: Option<AllocError> = None;
    for params in candidates(graph, chip) {
        let mut plan = weights.clone();
        let lowered = lower(graph, chip.cores(), &params, &mut plan).map_err(|error| {
            CompileError::Lower {
                entry: graph.name.clone(),
                error,
            }
        })?;
        let mut scheduled = lowered.clone();
        schedule(&mut scheduled, chip.sram_bytes());
        let mut placed = scheduled.clone();
        match place_sram(&mut placed, chip.sram_bytes()) {
            Ok(sram) => {
                *weights = plan;
                return Ok(Tiled {
                    params: Some(params),
                    lowered,
                    scheduled,
                    placed,
                    sram,
                });
            }
            Err(error) => {
                if missing(&error) < nearest.as_ref().map_or(u64::MAX, missing) {
                    nearest = Some(error);
                }
            }
        }
    }
    let none = || CompileError::Bug(format!("entry `{}` has no tile sizes to try", graph.name));
    Err(nearest.map_or_else(none, CompileError::Alloc))
}

/// Lowers and places entries without state. Their kernels choose tile sizes one by one, so that they fit.
///
/// # Errors
/// If an entry cannot be lowered.
pub fn tile_functions(
    module: &Module,
    chip: &Chip,
    weights: &mut WeightPlan,
) -> Result<Vec<Tiled>, CompileError> {
    let tile = |graph: &Graph| {
        let lowered =
            lower_function(graph, chip, weights).map_err(|error| CompileError::Lower {
                entry: graph.name.clone(),
                error,
            })?;
        let mut placed = lowered.clone();
        let sram = place_sram(&mut placed, chip.sram_bytes())?;
        Ok(Tiled {
            params: None,
            scheduled: lowered.clone(),
            lowered,
            placed,
            sram,
        })
    };
    module.entries.iter().map(tile).collect()
}

fn missing(error: &AllocError) -> u64 {
    match error {
        AllocError::Sram { missing, .. } | AllocError::Dram { missing, .. } => *missing,
        AllocError::Region { .. } => 0,
    }
}

/// Names and bytes of the states of all programs.
pub fn states(programs: &[&Program]) -> Vec<(String, u64)> {
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for buffer in programs.iter().flat_map(|p| &p.buffers) {
        if let Space::State(name) = &buffer.space {
            if !sizes.contains_key(name.as_str()) {
                order.push(name);
            }
            let size = sizes.entry(name).or_insert(0);
            *size = (*size).max(buffer.bytes);
        }
    }
    order
        .into_iter()
        .map(|name| (name.to_string(), sizes[name]))
        .collect()
}

/// Addresses in DRAM, semaphores, checks, instructions, report; one step for all entries after the other.
///
/// # Errors
/// If semaphores run out; everything else would be a bug in the compiler.
pub fn finish(
    tiled: Vec<Tiled>,
    map: &DramMap,
    chip: &Chip,
    steps: &mut Steps,
) -> Result<Vec<Finished>, CompileError> {
    let synced = tiled.into_par_iter().map(|t| sync(t, map, chip));
    let synced: Vec<Synced> = synced.collect::<Result<_, _>>()?;
    steps.end("sync");
    synced.par_iter().try_for_each(|s| {
        alloc_check(&s.program, chip.sram_bytes(), chip.dram_bytes())?;
        schedule_check(&s.program).map(drop)
    })?;
    steps.end("checks");
    let emitted = synced.into_par_iter().map(|s| {
        let code = emit(&s.program)?;
        Ok((s, code))
    });
    let emitted: Vec<(Synced, Code)> = emitted.collect::<Result<_, CompileError>>()?;
    steps.end("emit");
    let finished = emitted
        .into_par_iter()
        .map(|(s, c)| report(s, c, map, chip));
    let finished = finished.collect::<Result<_, _>>()?;
    steps.end("report");
    Ok(finished)
}

/// An entry with its semaphores.
struct Synced {
    params: Option<TileParams>,
    sram: SramUse,
    placed: Program,
    program: Program,
    sync: SyncStats,
}

fn sync(tiled: Tiled, map: &DramMap, chip: &Chip) -> Result<Synced, CompileError> {
    let Tiled {
        params,
        mut placed,
        sram,
        ..
    } = tiled;
    map.assign(&mut placed)?;
    let (program, sync) = synchronise(&placed, chip.semaphores())?;
    Ok(Synced {
        params,
        sram,
        placed,
        program,
        sync,
    })
}

fn report(
    synced: Synced,
    code: Code,
    map: &DramMap,
    chip: &Chip,
) -> Result<Finished, CompileError> {
    let Synced {
        params,
        sram,
        placed,
        program,
        sync,
    } = synced;
    let sram = SramReport::of(&program, sram, chip.sram_bytes());
    let mut report = EntryReport::new(&program, params.as_ref(), sram, sync);
    (report.instructions, report.registers) = (code.insts.len(), code.registers);
    for launch in sample_launches(&program) {
        let found = launch_report(&code, &program, &launch, map, chip);
        report
            .launches
            .push(found.map_err(|error| CompileError::Walk {
                entry: program.name.clone(),
                error,
            })?);
    }
    Ok(Finished {
        placed,
        program,
        code,
        report,
    })
}
