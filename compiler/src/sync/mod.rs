//! Semaphores: makes a placed program safe for engines that run on their own.
//!
//! Four things are made explicit, each with its own semaphores:
//!
//! 1. **Rings.** `dma0` fills pages, one engine consumes them. The semaphore `free` starts with as many tokens as the ring
//!    has pages; a fill takes one and posts `full`, a consumer takes `full` and posts `free`. `dma0` takes all `free` tokens back
//!    at the end, so that nothing is left over.
//! 2. **All-gathers.** Post `ready` to all cores; wait for it from all; push; post `arrived` to all; wait for it from all. A core
//!    that has not arrived yet is thus never written to, and nobody goes on before all slices are there.
//! 3. **Barriers.** `dma1` posts to `dma0` and `dma1` of all cores and they wait for the posts of all: what one core stored in DRAM,
//!    another may load.
//! 4. **Buffers.** Where two engines of a core touch the same bytes (placed addresses, whole buffers), and one writes, the
//!    earlier statement posts and the later one waits. Accesses inside loops count for the loop statement in the block that
//!    has both. Per block and ordered pair of engines the edges ascend on both sides, so that tokens match in order; the
//!    semaphore is that of (pair, nesting depth), so that blocks inside each other do not share one. What one iteration of a loop
//!    leaves to the next is ordered by a post and a wait at the end of the body.
//!
//! Every wait comes after its posts in program order. So running the program in order never blocks, and because each
//! semaphore is waited for by one engine only, neither does running it with queues of any depth.

mod depend;
mod order;

use crate::tile::{Op, OpKind, Place, Program, RingId, SemId, Stmt};
use crate::uses;
use depend::{Pieces, block_edges, touches};
use llmc_isa::Queue;
use order::Edge;
use std::collections::BTreeMap;

/// What [`synchronise`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SyncStats {
    /// Semaphores used, of each core.
    pub semaphores: u32,
    /// Dependences between statements that got a post and a wait.
    pub dependences: usize,
    /// Those of them that lead to the next iteration of a loop.
    pub carried: usize,
    /// Dependences left out because others imply them.
    pub implied: usize,
}

/// A program cannot be synchronised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// More semaphores needed than a core has.
    #[error(
        "entry `{entry}` needs {needed} semaphores ({rings} for rings, {collectives} for all-gathers, {dependences} for dependences \
         between engines), a core of this chip has {available}"
    )]
    Semaphores {
        /// The entry.
        entry: String,
        /// Semaphores needed.
        needed: usize,
        /// Of these, for rings.
        rings: usize,
        /// Of these, for all-gathers.
        collectives: usize,
        /// Of these, for dependences.
        dependences: usize,
        /// Semaphores of a core.
        available: u32,
    },
    /// The program breaks a rule of the tile language: a bug in what made it.
    #[error("entry `{entry}`: {problem}")]
    Malformed {
        /// The entry.
        entry: String,
        /// What is wrong.
        problem: String,
    },
}

/// What a semaphore is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Free(RingId),
    Full(RingId),
    Ready,
    Arrived,
    /// For the loads or the stores after a barrier; `vpu` stands for the handshake inside a core.
    Barrier(Queue),
    Depend {
        depth: u32,
        from: Queue,
        to: Queue,
    },
}

/// Which half of a stream; `Whole` for other statements.
#[derive(Clone, Copy)]
enum Part {
    Fill,
    Consume,
    Whole,
}

impl Part {
    /// Whether waits and posts of the engine belong to it. Those to the next iteration may be of any engine.
    fn has(self, queue: Queue) -> bool {
        match self {
            Part::Fill => queue == Queue::Dma0,
            Part::Consume => queue != Queue::Dma0,
            Part::Whole => true,
        }
    }
}

struct Sync<'a> {
    program: &'a Program,
    pieces: Pieces,
    sems: BTreeMap<Purpose, usize>,
    stats: SyncStats,
    problems: Vec<String>,
}

/// Expands streams and all-gathers and adds waits and posts; `semaphores` is the number that a core has.
///
/// # Errors
/// [`SyncError`] if they are too few, or if the program is malformed or not placed.
pub fn synchronise(program: &Program, semaphores: u32) -> Result<(Program, SyncStats), SyncError> {
    let pieces = Pieces::of(program);
    let mut sync = Sync {
        program,
        pieces,
        sems: BTreeMap::new(),
        stats: SyncStats::default(),
        problems: Vec::new(),
    };
    sync.well_formed(&program.body);
    let used: Vec<RingId> = (0..program.rings.len() as u32)
        .map(RingId)
        .filter(|r| streams(&program.body, *r))
        .collect();
    let mut body = Vec::new();
    for &ring in &used {
        let sem = sync.sem(Purpose::Free(ring));
        sync.sem(Purpose::Full(ring));
        body.push(post(
            Queue::Dma0,
            sem,
            program.rings[ring.index()].slots,
            false,
        ));
    }
    body.extend(sync.block(&program.body, 0, false));
    for &ring in &used {
        let sem = sync.sem(Purpose::Free(ring));
        body.push(wait(Queue::Dma0, sem, program.rings[ring.index()].slots));
    }
    if let Some(problem) = sync.problems.first() {
        return Err(SyncError::Malformed {
            entry: program.name.clone(),
            problem: problem.clone(),
        });
    }
    if sync.sems.len() > (semaphores as usize).min(256) {
        let count = |f: fn(&Purpose) -> bool| sync.sems.keys().filter(|p| f(p)).count();
        return Err(SyncError::Semaphores {
            entry: program.name.clone(),
            needed: sync.sems.len(),
            rings: count(|p| matches!(p, Purpose::Free(_) | Purpose::Full(_))),
            collectives: count(|p| {
                matches!(p, Purpose::Ready | Purpose::Arrived | Purpose::Barrier(_))
            }),
            dependences: count(|p| matches!(p, Purpose::Depend { .. })),
            available: semaphores,
        });
    }
    let mut out = Program {
        body,
        ..program.clone()
    };
    for &ring in &used {
        out.rings[ring.index()].sems =
            Some((sync.sem(Purpose::Free(ring)), sync.sem(Purpose::Full(ring))));
    }
    let stats = SyncStats {
        semaphores: sync.sems.len() as u32,
        ..sync.stats
    };
    Ok((out, stats))
}

fn wait(queue: Queue, sem: SemId, n: u32) -> Stmt {
    Stmt::Wait { queue, sem, n }
}

fn post(queue: Queue, sem: SemId, n: u32, all_cores: bool) -> Stmt {
    Stmt::Post {
        queue,
        sem,
        n,
        all_cores,
    }
}

/// Whether the statements stream through the ring.
fn streams(stmts: &[Stmt], wanted: RingId) -> bool {
    stmts.iter().any(|stmt| match stmt {
        Stmt::Loop { body, .. } => streams(body, wanted),
        Stmt::Stream { ring, .. } => *ring == wanted,
        _ => false,
    })
}

impl Sync<'_> {
    /// The semaphore for a purpose. Numbers over 255 are reported at the end, so wrapping does no harm.
    fn sem(&mut self, purpose: Purpose) -> SemId {
        let next = self.sems.len();
        SemId(*self.sems.entry(purpose).or_insert(next) as u8)
    }

    fn well_formed(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Loop { body, .. } => self.well_formed(body),
                Stmt::Op(op) => {
                    self.places(op, None);
                    if matches!(op.kind, OpKind::AllGather(_)) && op.queue != Queue::Dma1 {
                        self.problems.push(format!(
                            "an all-gather runs on {}, not on dma1",
                            op.queue.name()
                        ));
                    }
                }
                Stmt::Stream {
                    ring,
                    fill,
                    consume,
                } => {
                    let Some(r) = self.program.rings.get(ring.index()) else {
                        self.problems.push(format!(
                            "a stream names ring {}, which does not exist",
                            ring.0
                        ));
                        continue;
                    };
                    let wrong = fill.iter().any(|op| op.queue != Queue::Dma0)
                        || consume.iter().any(|op| op.queue != r.consumer);
                    if wrong || r.consumer == Queue::Dma0 || r.slots == 0 {
                        let want = r.consumer.name();
                        self.problems.push(format!(
                            "a stream of ring `{}` is not filled by dma0 and consumed by {want}",
                            r.name
                        ));
                    }
                    fill.iter()
                        .chain(consume)
                        .for_each(|op| self.places(op, Some(*ring)));
                }
                Stmt::Let { .. } | Stmt::Barrier => {}
                Stmt::Wait { .. } | Stmt::Post { .. } | Stmt::Advance(_) => {
                    self.problems
                        .push("the program is synchronised already".to_string());
                }
            }
        }
    }

    /// All places exist, buffers are placed, and pages are those of the stream around the op.
    fn places(&mut self, op: &Op, stream: Option<RingId>) {
        for used in uses::of_op(op) {
            let problem = match used.place {
                Place::Page(ring) if stream == Some(ring) => continue,
                Place::Page(ring) => format!(
                    "an op uses a page of ring {} outside a stream of it",
                    ring.0
                ),
                Place::Buffer(id) => match self.program.buffers.get(id.index()) {
                    Some(b) if b.addr.is_some() => continue,
                    Some(b) => format!("buffer `{}` has no address", b.name),
                    None => format!("an op uses buffer {}, which does not exist", id.0),
                },
            };
            self.problems.push(problem);
        }
    }

    fn consumer(&self, stmt: &Stmt) -> Option<Queue> {
        match stmt {
            Stmt::Stream { ring, .. } => self.program.rings.get(ring.index()).map(|r| r.consumer),
            _ => None,
        }
    }

    fn block(&mut self, stmts: &[Stmt], depth: u32, repeats: bool) -> Vec<Stmt> {
        let all: Vec<_> = stmts.iter().map(|s| touches(&self.pieces, s)).collect();
        let found = block_edges(&self.pieces, stmts, &all, |s| self.consumer(s), repeats);
        self.stats.dependences += found.edges.len();
        self.stats.carried += found.carried;
        self.stats.implied += found.implied;
        // Waits before and posts after each statement, and before and after all of them.
        let mut waits: Vec<Vec<(Queue, SemId)>> = vec![Vec::new(); stmts.len() + 1];
        let mut posts: Vec<Vec<(Queue, SemId)>> = vec![Vec::new(); stmts.len() + 1];
        for Edge { from, to, a, b } in found.edges.iter() {
            let sem = self.sem(Purpose::Depend { depth, from, to });
            posts[a as usize].push((from, sem));
            waits[b as usize].push((to, sem));
        }
        let mut out = Vec::new();
        for (i, stmt) in stmts.iter().enumerate() {
            let before = |part: Part| {
                waits[i]
                    .iter()
                    .filter(move |(q, _)| part.has(*q))
                    .map(|&(q, sem)| wait(q, sem, 1))
            };
            let after = |part: Part| {
                posts[i]
                    .iter()
                    .filter(move |(q, _)| part.has(*q))
                    .map(|&(q, sem)| post(q, sem, 1, false))
            };
            match stmt {
                Stmt::Stream {
                    ring,
                    fill,
                    consume,
                } => {
                    let Some(consumer) = self.consumer(stmt) else {
                        continue;
                    };
                    let (free, full) = (
                        self.sem(Purpose::Free(*ring)),
                        self.sem(Purpose::Full(*ring)),
                    );
                    out.extend(before(Part::Fill));
                    out.push(wait(Queue::Dma0, free, 1));
                    out.extend(fill.iter().cloned().map(Stmt::Op));
                    out.push(post(Queue::Dma0, full, 1, false));
                    out.extend(after(Part::Fill));
                    out.extend(before(Part::Consume));
                    out.push(wait(consumer, full, 1));
                    out.extend(consume.iter().cloned().map(Stmt::Op));
                    out.push(post(consumer, free, 1, false));
                    out.extend(after(Part::Consume));
                    out.push(Stmt::Advance(*ring));
                    continue;
                }
                Stmt::Op(Op {
                    queue,
                    kind: OpKind::AllGather(copy),
                    origin,
                }) => {
                    out.extend(before(Part::Whole));
                    out.extend(self.all_gather(Op {
                        queue: *queue,
                        kind: OpKind::PushAll(copy.clone()),
                        origin: *origin,
                    }));
                }
                Stmt::Loop {
                    var,
                    trip,
                    max_trip,
                    body,
                } => {
                    out.extend(before(Part::Whole));
                    let body = self.block(body, depth + 1, *max_trip > 1);
                    out.push(Stmt::Loop {
                        var: *var,
                        trip: trip.clone(),
                        max_trip: *max_trip,
                        body,
                    });
                }
                Stmt::Barrier => {
                    out.extend(before(Part::Whole));
                    out.extend(self.barrier());
                }
                Stmt::Op(_)
                | Stmt::Let { .. }
                | Stmt::Wait { .. }
                | Stmt::Post { .. }
                | Stmt::Advance(_) => {
                    out.extend(before(Part::Whole));
                    out.push(stmt.clone());
                }
            }
            out.extend(after(Part::Whole));
        }
        out.extend(waits[stmts.len()].iter().map(|&(q, sem)| wait(q, sem, 1)));
        out
    }

    /// `dma1` of each core tells `dma0` and `dma1` of all cores that it has come here, once `dma0` of its core has too;
    /// nothing with one core, where dependences between engines say it all.
    fn barrier(&mut self) -> Vec<Stmt> {
        let (load, store, cores) = (Queue::Dma0, Queue::Dma1, self.program.cores);
        if cores <= 1 {
            return vec![];
        }
        let mut to = |queue| self.sem(Purpose::Barrier(queue));
        let (loaded, loads, stores) = (to(Queue::Vpu), to(load), to(store));
        vec![
            post(load, loaded, 1, false),
            wait(store, loaded, 1),
            post(store, loads, 1, true),
            post(store, stores, 1, true),
            wait(load, loads, cores),
            wait(store, stores, cores),
        ]
    }

    /// The push with its handshake; with one core, the push alone.
    fn all_gather(&mut self, push: Op) -> Vec<Stmt> {
        let (queue, cores) = (push.queue, self.program.cores);
        if cores <= 1 {
            return vec![Stmt::Op(push)];
        }
        let (ready, arrived) = (self.sem(Purpose::Ready), self.sem(Purpose::Arrived));
        vec![
            post(queue, ready, 1, true),
            wait(queue, ready, cores),
            Stmt::Op(push),
            post(queue, arrived, 1, true),
            wait(queue, arrived, cores),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[test]
    fn too_few_semaphores_and_malformed_programs_are_errors() {
        let mut b = Build::new(2);
        let (x, all, ring) = (
            b.sram("x", 64),
            b.sram("all", 128),
            b.ring("pages", Queue::Vpu, 64),
        );
        let w = b.weights("w", 64);
        b.stream(
            ring,
            vec![load(page(ring, 0), at(w, 0), 64)],
            vec![copy_view(at(x, 0), page(ring, 0), 16)],
        );
        b.op(all_gather(all, x, 64));
        let mut program = b.placed();
        let (_, stats) = synchronise(&program, 5).unwrap();
        assert_eq!(
            stats,
            SyncStats {
                semaphores: 5,
                dependences: 1,
                carried: 0,
                implied: 0
            }
        );
        let text = synchronise(&program, 4).unwrap_err().to_string();
        assert_eq!(
            text,
            "entry `test` needs 5 semaphores (2 for rings, 2 for all-gathers, 1 for dependences between engines), a core of this \
             chip has 4"
        );
        program.rings[0].consumer = Queue::Mxu;
        let text = synchronise(&program, 5).unwrap_err().to_string();
        assert_eq!(
            text,
            "entry `test`: a stream of ring `pages` is not filled by dma0 and consumed by mxu"
        );
        program.buffers[0].addr = None;
        assert!(synchronise(&program, 5).is_err());
    }
}
