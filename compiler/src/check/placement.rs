//! `alloc_check`: the placement by itself.

use super::error::{CheckError, CheckErrors};
use super::{ERRORS_SHOWN, OpRef};
use crate::tile::{Mode, Op, Place, Program, Reach, Space, Stmt};

/// Start of every buffer and ring is a multiple of this.
const ALIGN: u64 = 64;

/// Checks that
/// 1. every buffer and ring that is used has an address, a multiple of 64, and lies inside its memory;
/// 2. rings overlap neither each other nor any buffer that is used, and their semaphores differ;
/// 3. DRAM buffers overlap only if they are the same weight, state or io tensor, both are read-only weights, or both are scratch;
/// 4. of two SRAM buffers, or scratch buffers in DRAM, that overlap, none is written between a write of the other and a read of it, where every loop is
///    followed for two turns. What is pushed to all cores counts as written before the pushing op reads.
///
/// `sram` is the scratchpad of a core and `dram` the memory of the chip, in bytes.
///
/// # Errors
/// Everything found, up to [`ERRORS_SHOWN`].
pub fn alloc_check(program: &Program, sram: u64, dram: u64) -> Result<(), CheckErrors> {
    let mut check = Check {
        program,
        problems: Vec::new(),
        overlaps: Vec::new(),
    };
    let used = check.used();
    check.inside(&used, sram, dram);
    check.rings(&used);
    check.dram(&used);
    if check.problems.is_empty() {
        check.lifetimes(&Space::Sram);
        check.lifetimes(&Space::Scratch);
    }
    let mut errors: Vec<_> = check
        .problems
        .into_iter()
        .map(|problem| CheckError::Placement { problem })
        .collect();
    errors.truncate(ERRORS_SHOWN);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(CheckErrors {
            entry: program.name.clone(),
            errors,
        })
    }
}

struct Check<'a> {
    program: &'a Program,
    problems: Vec<String>,
    /// Per buffer of the space looked at, the others it overlaps.
    overlaps: Vec<Vec<usize>>,
}

/// Who overwrote a buffer: the other one and the op.
type Overwritten<'p> = Option<(usize, &'p Op)>;

fn each_op<'p>(stmts: &'p [Stmt], turns: u32, f: &mut dyn FnMut(&'p Op)) {
    for stmt in stmts {
        match stmt {
            Stmt::Loop { body, max_trip, .. } => {
                for _ in 0..turns.min(u32::try_from(*max_trip).unwrap_or(turns)) {
                    each_op(body, turns, f);
                }
            }
            Stmt::Op(op) => f(op),
            Stmt::Stream { fill, consume, .. } => fill.iter().chain(consume).for_each(&mut *f),
            Stmt::Let { .. }
            | Stmt::Barrier
            | Stmt::Wait { .. }
            | Stmt::Post { .. }
            | Stmt::Advance(_) => {}
        }
    }
}

fn meet(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 < b.1 && b.0 < a.1
}

impl Check<'_> {
    fn used(&mut self) -> Vec<bool> {
        let mut used = vec![false; self.program.buffers.len()];
        let (mut missing, rings) = (None, self.program.rings.len());
        each_op(&self.program.body, 1, &mut |op| {
            for region in op.accesses().regions {
                match region.view.place {
                    Place::Buffer(id) if id.index() < used.len() => used[id.index()] = true,
                    Place::Page(id) if id.index() < rings => {}
                    place => missing = Some(format!("an op uses {place:?}, which does not exist")),
                }
            }
        });
        self.problems.extend(missing);
        used
    }

    fn span(&self, buffer: usize) -> Option<(u64, u64)> {
        let b = self.program.buffers.get(buffer)?;
        Some((b.addr?, b.addr?.checked_add(b.bytes)?))
    }

    fn ring_span(&self, ring: usize) -> Option<(u64, u64)> {
        let r = self.program.rings.get(ring)?;
        Some((
            r.addr?,
            r.addr?.checked_add(r.page.checked_mul(r.slots.into())?)?,
        ))
    }

    fn inside(&mut self, used: &[bool], sram: u64, dram: u64) {
        let buffers = self
            .program
            .buffers
            .iter()
            .enumerate()
            .filter(|(i, _)| used[*i]);
        let buffers = buffers.map(|(i, b)| {
            let (memory, size) = if b.space == Space::Sram {
                ("SRAM", sram)
            } else {
                ("DRAM", dram)
            };
            (format!("buffer `{}`", b.name), self.span(i), memory, size)
        });
        let rings = self.program.rings.iter().enumerate();
        let rings = rings.map(|(i, r)| {
            (
                format!("ring `{}`", r.name),
                self.ring_span(i),
                "SRAM",
                sram,
            )
        });
        let mut problems = Vec::new();
        for (name, span, memory, size) in buffers.chain(rings) {
            match span {
                None => problems.push(format!("{name} has no address in {memory}")),
                Some((start, end)) if end > size => {
                    problems.push(format!(
                        "{name} at {start:#x}..{end:#x} leaves {memory}, which has {size:#x} bytes"
                    ));
                }
                Some((start, _)) if start % ALIGN != 0 => problems.push(format!(
                    "{name} at {start:#x} is not aligned to {ALIGN} bytes"
                )),
                Some(_) => {}
            }
        }
        self.problems.extend(problems);
    }

    fn rings(&mut self, used: &[bool]) {
        let program = self.program;
        for (i, ring) in program.rings.iter().enumerate() {
            let Some(own) = self.ring_span(i) else {
                continue;
            };
            for (j, other) in program.rings.iter().enumerate().skip(i + 1) {
                if self.ring_span(j).is_some_and(|s| meet(own, s)) {
                    self.problems.push(format!(
                        "rings `{}` and `{}` overlap",
                        ring.name, other.name
                    ));
                }
                let (a, b) = (
                    ring.sems.map(|s| [s.0, s.1]),
                    other.sems.map(|s| [s.0, s.1]),
                );
                if a.zip(b)
                    .is_some_and(|(a, b)| a.iter().any(|s| b.contains(s)))
                {
                    self.problems.push(format!(
                        "rings `{}` and `{}` share a semaphore",
                        ring.name, other.name
                    ));
                }
            }
            for (j, buffer) in program.buffers.iter().enumerate() {
                if used[j]
                    && buffer.space == Space::Sram
                    && self.span(j).is_some_and(|s| meet(own, s))
                {
                    self.problems.push(format!(
                        "ring `{}` and buffer `{}` overlap",
                        ring.name, buffer.name
                    ));
                }
            }
        }
    }

    fn dram(&mut self, used: &[bool]) {
        let program = self.program;
        let mut regions: Vec<(u64, u64, usize)> = (0..program.buffers.len())
            .filter(|i| used[*i] && program.buffers[*i].space != Space::Sram)
            .filter_map(|i| self.span(i).map(|(start, end)| (start, end, i)))
            .collect();
        regions.sort_unstable();
        let mut furthest: Option<(u64, usize)> = None;
        for (start, end, i) in regions {
            let buffer = &program.buffers[i];
            if let Some((until, j)) = furthest
                && start < until
            {
                let other = &program.buffers[j];
                let weights = |s: &Space| matches!(s, Space::Weights(_));
                if buffer.space != other.space && !(weights(&buffer.space) && weights(&other.space))
                {
                    self.problems.push(format!(
                        "buffers `{}` and `{}` overlap in DRAM",
                        other.name, buffer.name
                    ));
                }
            }
            if furthest.is_none_or(|(until, _)| end > until) {
                furthest = Some((end, i));
            }
        }
    }

    fn lifetimes(&mut self, space: &Space) {
        let program = self.program;
        let inside = |i: usize| program.buffers[i].space == *space;
        let count = program.buffers.len();
        let mut spans: Vec<(u64, u64, usize)> = (0..count)
            .filter(|i| inside(*i))
            .filter_map(|i| self.span(i).map(|(a, b)| (a, b, i)))
            .collect();
        spans.sort_unstable();
        self.overlaps = vec![Vec::new(); count];
        for (n, &(start, end, i)) in spans.iter().enumerate() {
            for &(_, _, j) in spans[n + 1..]
                .iter()
                .take_while(|(next, _, _)| *next < end)
                .filter(|(a, b, _)| meet((start, end), (*a, *b)))
            {
                self.overlaps[i].push(j);
                self.overlaps[j].push(i);
            }
        }
        let mut overwritten: Vec<Overwritten> = vec![None; count];
        let mut problems = Vec::new();
        each_op(&program.body, 2, &mut |op| {
            // Other cores' pushes may arrive before this core's read: they come first.
            let mut regions = op.accesses().regions;
            regions.sort_by_key(|r| r.reach != Reach::AllCores);
            for region in regions {
                let Place::Buffer(id) = region.view.place else {
                    continue;
                };
                let i = id.index();
                if region.mode == Mode::Read {
                    if let Some((j, by)) = overwritten[i].take() {
                        let (name, other) = (&program.buffers[i].name, &program.buffers[j].name);
                        let (reader, by) = (op.text(program), OpRef::of(program, by, 0));
                        problems.push(format!(
                            "buffers `{name}` and `{other}` overlap, and `{reader}` reads the first after {by} wrote the second"
                        ));
                    }
                    continue;
                }
                overwritten[i] = None;
                for &j in &self.overlaps[i] {
                    overwritten[j].get_or_insert((i, op));
                }
            }
        });
        self.problems.extend(problems);
    }
}
