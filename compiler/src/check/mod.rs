//! Two checkers that trust neither `alloc` nor `sync`: they look only at the placed, synchronised program.
//!
//! [`schedule_check`] replays the program on all cores for several sample launches. Instead of values, every engine carries a
//! vector clock and every byte of memory remembers its last writer and its readers since. It proves for these launches:
//!
//! 1. No race: of two accesses to the same byte, one a write, the earlier is known to be complete when the later begins. The
//!    order comes from queues (an engine runs its instructions in order) and from tokens (a wait knows what the posters of
//!    exactly the tokens it takes knew).
//! 2. No deadlock: run in program order, no wait ever blocks for good. Because each semaphore is waited for by one engine
//!    only, which is checked, running engines concurrently and with queues of any depth can only allow more.
//! 3. Every semaphore is 0 at the end, and none exceeds its limit.
//! 4. Every byte of SRAM that is read was written during the launch, and written last as part of the same buffer or ring:
//!    nothing that is still needed is overwritten, whatever live ranges the allocator believed in.
//! 5. Every access stays inside the buffer or page it names, loops keep to their bounds, and weights and inputs are not written.
//! 6. It does not matter in which order posts of several engines or cores arrive at a semaphore: they know of each other, or
//!    one wait takes the tokens of all of them.
//!
//! Loops with many turns are cut to the first turns and the last one when a full replay would take too many steps
//! ([`STEP_BUDGET`]), but never below one turn more than any ring has pages. That is enough: every turn posts and takes the same
//! tokens, so the state of semaphores and rings at the start of a turn repeats with the period of the rings; and
//! conflicts between turns i and j > i + 1 involve the same pair of statements, hence the same order, as those between i and i + 1.
//! Loops whose turns differ in DRAM addresses only (layers) are always cut: for the first sample launch, whose turns take the fewest
//! pages, to as many turns as bring every page of their rings around again, and to [`TURNS_ALIKE`] for the others. Of those, the
//! first turn must post as many tokens to every semaphore as it takes, so that each turn begins with the semaphores as the one
//! before. So what is proved, and the time it takes, does not depend on depth.
//! What the turns left out would have written is taken as written (point 4 is weaker there). Programs that are too long even so
//! are replayed for the first and the last sample launch only. SRAM contents are followed on at
//! most [`WATCHED_CORES`] cores, semaphores and DRAM on all: cores run the same program and differ only in their number.
//!
//! [`alloc_check`] looks at the placement alone: alignment, bounds, overlap of rings, of DRAM regions, and of buffers of which one is
//! written between the write and a read of the other.

mod code;
mod error;
mod placement;
mod replay;
mod shadow;
#[cfg(test)]
mod tests;

pub use error::{Bytes, CheckError, CheckErrors, OpRef};
pub use placement::alloc_check;
pub use replay::Replayed;

use crate::tile::{Expr, Program, Scope, Stmt, VarId};
use code::{Code, Step};
use llmc_isa::Queue;
use replay::{Sample, replay};
use std::collections::BTreeMap;

/// Steps of one sample launch, all cores together, above which loops are cut short.
pub const STEP_BUDGET: u64 = 150_000;

/// Turns of a loop that are tried, most first, until the budget is kept.
const TURNS: [u64; 6] = [u64::MAX, 64, 16, 8, 5, 3];

/// Turns of a loop whose turns are alike: the first, and the last as the one after it.
pub const TURNS_ALIKE: u64 = 2;

/// Cores whose SRAM is followed byte by byte: the first, the second, the middle and the last one.
pub const WATCHED_CORES: u32 = 4;

/// Errors after which a check stops.
pub const ERRORS_SHOWN: usize = 8;

/// What [`schedule_check`] has looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScheduleProof {
    /// The sample launches, as text, with the steps each took.
    pub samples: Vec<(String, Replayed)>,
}

/// Checks a placed, synchronised program; see the module documentation for what that proves.
///
/// # Errors
/// Everything found, up to [`ERRORS_SHOWN`].
pub fn schedule_check(program: &Program) -> Result<ScheduleProof, CheckErrors> {
    schedule_check_within(program, STEP_BUDGET)
}

/// As [`schedule_check`], with another budget of steps.
///
/// # Errors
/// Everything found, up to [`ERRORS_SHOWN`].
pub fn schedule_check_within(program: &Program, budget: u64) -> Result<ScheduleProof, CheckErrors> {
    let fail = |errors| {
        Err(CheckErrors {
            entry: program.name.clone(),
            errors,
        })
    };
    let code = match Code::of(program) {
        Ok(code) => code,
        Err(problem) => return fail(vec![CheckError::Placement { problem }]),
    };
    let mut errors = static_errors(&code);
    let mut proof = ScheduleProof::default();
    let least = program
        .rings
        .iter()
        .map(|r| u64::from(r.slots) + 1)
        .max()
        .unwrap_or(0);
    let steps = |launch: &[i64], turns: u64| {
        let most = [turns, turns.min(TURNS_ALIKE)];
        count(program, &program.body, launch, most).saturating_mul(u64::from(program.cores))
    };
    let mut samples = samples(program);
    if samples.iter().any(|launch| steps(launch, least) > budget) {
        // Too long even with the fewest turns: the two extremes have to do.
        samples = extremes(samples);
    }
    let first = samples.first().cloned();
    for launch in samples {
        if !errors.is_empty() {
            break;
        }
        let named = program
            .launch
            .iter()
            .zip(&launch)
            .map(|(l, v)| format!("{} = {v}", l.name));
        let text = format!("launch ({})", named.collect::<Vec<_>>().join(", "));
        let fits = |turns: &&u64| steps(&launch, **turns) <= budget;
        let turns = TURNS
            .iter()
            .find(fits)
            .or(TURNS.last())
            .map_or(least, |t| *t.max(&least));
        let sample = Sample {
            launch: &launch,
            text,
            turns,
            alike: if first.as_ref() == Some(&launch) {
                turns_alike(program, &program.body, &launch, turns)
            } else {
                TURNS_ALIKE
            },
            watched: &watched(program.cores),
        };
        let (done, found) = replay(&code, &sample, ERRORS_SHOWN);
        proof.samples.push((sample.text, done));
        errors.extend(found);
    }
    if errors.is_empty() {
        Ok(proof)
    } else {
        fail(errors)
    }
}

/// The first and the last sample.
fn extremes(samples: Vec<Vec<i64>>) -> Vec<Vec<i64>> {
    let last = samples.len().saturating_sub(1);
    let kept = samples.into_iter().enumerate();
    kept.filter(|(i, _)| *i == 0 || *i == last)
        .map(|(_, launch)| launch)
        .collect()
}

fn watched(cores: u32) -> Vec<u32> {
    if cores <= WATCHED_CORES {
        (0..cores).collect()
    } else {
        vec![0, 1, cores / 2, cores - 1]
    }
}

/// Sample launches: `tokens` 1 and its maximum; `past` 0, what leaves just room for the tokens, and half of that; other registers
/// 0 and their maximum.
fn samples(program: &Program) -> Vec<Vec<i64>> {
    let tokens = program.launch.iter().position(|l| l.name == "tokens");
    let mut list: Vec<Vec<i64>> = vec![vec![]];
    for launch in &program.launch {
        let max = i64::try_from(launch.max).unwrap_or(i64::MAX);
        list = list
            .into_iter()
            .flat_map(|before| {
                let taken = tokens.and_then(|t| before.get(t)).copied().unwrap_or(1);
                let mut values = match launch.name.as_str() {
                    "tokens" => vec![1.min(max), max],
                    "past" => {
                        let room = (max + 1 - taken).max(0);
                        vec![0, room / 2, room]
                    }
                    _ => vec![0, max],
                };
                values.dedup();
                values
                    .into_iter()
                    .map(move |v| [before.as_slice(), &[v]].concat())
            })
            .collect();
    }
    list
}

/// Launch registers alone; for trip counts that depend on nothing else.
struct LaunchOnly<'a>(&'a [i64]);

impl Scope for LaunchOnly<'_> {
    fn core(&self) -> i64 {
        0
    }
    fn launch(&self, index: u16) -> i64 {
        self.0.get(usize::from(index)).copied().unwrap_or(0)
    }
    fn var(&self, _: VarId) -> i64 {
        0
    }
}

fn constant(trip: &Expr) -> bool {
    match trip {
        Expr::Const(_) | Expr::Launch(_) => true,
        Expr::Core | Expr::Var(_) => false,
        Expr::Mul(a, _) | Expr::Div(a, _) | Expr::Mod(a, _) => constant(a),
        Expr::Add(a, b) | Expr::Sub(a, b) | Expr::Min(a, b) | Expr::Max(a, b) => {
            constant(a) && constant(b)
        }
    }
}

/// Estimated steps of one core, with so many turns of a loop, and of one whose turns are alike.
fn count(program: &Program, stmts: &[Stmt], launch: &[i64], most: [u64; 2]) -> u64 {
    let steps = stmts.iter().map(|stmt| match stmt {
        Stmt::Loop {
            var,
            trip,
            max_trip,
            body,
        } => {
            let known = constant(trip).then(|| trip.eval(&LaunchOnly(launch)).max(0) as u64);
            let alike = program.turns_alike(*var, body);
            let trip = known.unwrap_or(*max_trip).min(most[usize::from(alike)]);
            count(program, body, launch, most)
                .saturating_add(1)
                .saturating_mul(trip)
        }
        _ => 1,
    });
    steps.fold(0, u64::saturating_add)
}

/// Turns of the loops whose turns are alike in which every page of every ring that they advance is used, and used again by what comes
/// around to it: a page is the same after as many advances as the ring has pages. One turn more than [`TURNS_ALIKE`] at least, so
/// that one lies between the first and the last. Other loops have so many `turns`.
fn turns_alike(program: &Program, stmts: &[Stmt], launch: &[i64], turns: u64) -> u64 {
    let least = TURNS_ALIKE + 1;
    let of = stmts.iter().map(|stmt| match stmt {
        Stmt::Loop { var, body, .. } if program.turns_alike(*var, body) => {
            let mut advances = BTreeMap::new();
            count_advances(body, launch, turns, 1, &mut advances);
            let around = advances.iter().filter_map(|(ring, n)| {
                let slots = u64::from(program.rings.get(*ring)?.slots);
                Some(1 + slots.div_ceil((*n).max(1)))
            });
            around.max().unwrap_or(least)
        }
        Stmt::Loop { body, .. } => turns_alike(program, body, launch, turns),
        _ => least,
    });
    of.fold(least, u64::max)
}

/// Adds how often each ring is advanced at least, if all of it is run so many `times`.
fn count_advances(
    stmts: &[Stmt],
    launch: &[i64],
    turns: u64,
    times: u64,
    advances: &mut BTreeMap<usize, u64>,
) {
    for stmt in stmts {
        match stmt {
            Stmt::Advance(ring) => {
                let known = advances.entry(ring.index()).or_default();
                *known = times.saturating_add(*known);
            }
            Stmt::Loop { trip, body, .. } => {
                let known = constant(trip).then(|| trip.eval(&LaunchOnly(launch)).max(0) as u64);
                let times = times.saturating_mul(known.unwrap_or(0).min(turns));
                count_advances(body, launch, turns, times, advances);
            }
            _ => {}
        }
    }
}

/// What can be said without running: who waits for a semaphore, and what is written.
fn static_errors(code: &Code<'_>) -> Vec<CheckError> {
    let mut errors = Vec::new();
    let mut waiters: BTreeMap<u8, Queue> = BTreeMap::new();
    for step in &code.steps {
        let Step::Wait { queue, sem, .. } = step else {
            continue;
        };
        let first = *waiters.entry(*sem).or_insert(*queue);
        if first != *queue {
            errors.push(CheckError::TwoWaiters {
                sem: *sem,
                first: first.name(),
                second: queue.name(),
            });
        }
    }
    for action in &code.actions {
        for touch in action.touches.iter().filter(|t| t.write) {
            use crate::tile::Space::{Input, Weights};
            let buffer = code.program.buffers.get(touch.place as usize);
            if buffer.is_some_and(|b| matches!(b.space, Weights(_) | Input(_))) {
                let op = OpRef::of(code.program, action.op, 0);
                errors.push(CheckError::ReadOnly {
                    op,
                    place: code.place_name(touch.place).to_string(),
                });
            }
        }
    }
    errors.truncate(ERRORS_SHOWN);
    errors
}
