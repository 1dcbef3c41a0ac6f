//! Which statements of a block have to wait for which, because they touch the same memory from different engines.

use super::order::{ENGINES, Edge, Edges, ordered, pairs, remove_implied};
use crate::tile::{Place, Program, Space, Stmt};
use crate::uses;
use llmc_isa::Queue;
use std::collections::BTreeSet;

/// Memory cut at the ends of all placed buffers: each buffer is a range of pieces, and two buffers overlap if they share one.
pub struct Pieces {
    /// Per buffer; empty for rings' memory and for what no op of the program writes.
    of_buffer: Vec<std::ops::Range<usize>>,
    count: usize,
}

/// What an engine does with a piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Touch {
    engine: Queue,
    piece: usize,
    write: bool,
}

/// Everything a statement does, with its inner statements.
#[derive(Clone, Debug, Default)]
pub struct Touches(BTreeSet<Touch>);

impl Pieces {
    /// Cuts the memory of a placed program.
    pub fn of(program: &Program) -> Pieces {
        let mut pieces = Pieces {
            of_buffer: vec![0..0; program.buffers.len()],
            count: 0,
        };
        let written = written_buffers(&program.body, program.buffers.len());
        for sram in [true, false] {
            let inside = |i: usize| {
                (program.buffers[i].space == Space::Sram) == sram && (sram || written[i])
            };
            let span = |i: usize| {
                program.buffers[i]
                    .addr
                    .map(|at| (at, at + program.buffers[i].bytes))
            };
            let members: Vec<(usize, (u64, u64))> = (0..program.buffers.len())
                .filter(|i| inside(*i))
                .filter_map(|i| Some((i, span(i)?)))
                .collect();
            let cuts: BTreeSet<u64> = members
                .iter()
                .flat_map(|(_, (start, end))| [*start, *end])
                .collect();
            let cuts: Vec<u64> = cuts.into_iter().collect();
            for (i, (start, end)) in members {
                let piece = |at: u64| pieces.count + cuts.partition_point(|c| *c < at);
                pieces.of_buffer[i] = piece(start)..piece(end);
            }
            pieces.count += cuts.len();
        }
        pieces
    }
}

fn written_buffers(stmts: &[Stmt], count: usize) -> Vec<bool> {
    fn walk(stmts: &[Stmt], written: &mut [bool]) {
        for stmt in stmts {
            if let Stmt::Loop { body, .. } = stmt {
                walk(body, written);
            }
            for used in uses::of_stmt(stmt) {
                if let (Place::Buffer(id), true) = (used.place, used.write)
                    && let Some(w) = written.get_mut(id.index())
                {
                    *w = true;
                }
            }
        }
    }
    let mut written = vec![false; count];
    walk(stmts, &mut written);
    written
}

/// What the statement does, its inner statements included. Ring pages are left out: their protocol orders them.
pub fn touches(pieces: &Pieces, stmt: &Stmt) -> Touches {
    let mut all = BTreeSet::new();
    if let Stmt::Loop { body, .. } = stmt {
        all.extend(body.iter().flat_map(|s| touches(pieces, s).0));
    }
    for used in uses::of_stmt(stmt) {
        if let Place::Buffer(id) = used.place {
            let range = pieces.of_buffer.get(id.index()).cloned().unwrap_or(0..0);
            all.extend(range.map(|piece| Touch {
                engine: used.queue,
                piece,
                write: used.write,
            }));
        }
    }
    Touches(all)
}

/// First or last statement that reads and that writes a piece, per engine.
#[derive(Clone, Copy, Default)]
struct Marks {
    read: [Option<u32>; ENGINES],
    write: [Option<u32>; ENGINES],
}

impl Marks {
    fn any(&self, engine: Queue, pick: fn(u32, u32) -> u32) -> Option<u32> {
        let e = engine as usize;
        match (self.read[e], self.write[e]) {
            (Some(r), Some(w)) => Some(pick(r, w)),
            (r, w) => r.or(w),
        }
    }
}

/// The dependences of one block.
#[derive(Debug, Default)]
pub struct BlockEdges {
    /// Post after `a`, wait before `b`; `b` is the number of statements for an edge to the next iteration.
    pub edges: Edges,
    /// Edges left out because others imply them.
    pub implied: usize,
    /// Edges to the next iteration.
    pub carried: usize,
}

/// Dependences between the statements of a block, and to the next iteration if it `repeats`.
pub fn block_edges(
    pieces: &Pieces,
    stmts: &[Stmt],
    all: &[Touches],
    consumer: impl Fn(&Stmt) -> Option<Queue>,
    repeats: bool,
) -> BlockEdges {
    let mut edges = Edges::default();
    let (mut first, mut last) = (
        vec![Marks::default(); pieces.count],
        vec![Marks::default(); pieces.count],
    );
    for (b, stmt) in (0..).zip(all) {
        for touch in &stmt.0 {
            let marks = &last[touch.piece];
            for &from in Queue::ALL {
                let a = if touch.write {
                    marks.any(from, u32::max)
                } else {
                    marks.write[from as usize]
                };
                if let Some(a) = a {
                    edges.add(Edge {
                        from,
                        to: touch.engine,
                        a,
                        b,
                    });
                }
            }
        }
        for touch in &stmt.0 {
            let e = touch.engine as usize;
            let (early, late) = (&mut first[touch.piece], &mut last[touch.piece]);
            let (early, late) = if touch.write {
                (&mut early.write[e], &mut late.write[e])
            } else {
                (&mut early.read[e], &mut late.read[e])
            };
            early.get_or_insert(b);
            *late = Some(b);
        }
    }
    edges.reduce();
    let mut streams = Edges::default();
    for (i, stmt) in (0..).zip(stmts) {
        if let Some(to) = consumer(stmt) {
            streams.add(Edge {
                from: Queue::Dma0,
                to,
                a: i,
                b: i,
            });
        }
    }
    let implied = remove_implied(&mut edges, &streams);
    let mut out = BlockEdges {
        edges,
        implied,
        carried: 0,
    };
    let n = stmts.len() as u32;
    if repeats && n > 0 {
        let carried = carried_pairs(&hazards(&first, &last, n), &out.edges, &streams, n);
        out.carried = carried.len();
        carried.into_iter().for_each(|(from, to)| {
            out.edges.add(Edge {
                from,
                to,
                a: n - 1,
                b: n,
            })
        });
        out.edges.reduce();
    }
    out
}

/// Conflicts between one iteration and the next, whose statements are numbered from `n`.
fn hazards(first: &[Marks], last: &[Marks], n: u32) -> Edges {
    let mut edges = Edges::default();
    for (early, late) in first.iter().zip(last) {
        for (from, to) in pairs() {
            let write_then_any = late.write[from as usize].zip(early.any(to, u32::min));
            let any_then_write = late.any(from, u32::max).zip(early.write[to as usize]);
            for (a, b) in write_then_any.into_iter().chain(any_then_write) {
                edges.add(Edge {
                    from,
                    to,
                    a,
                    b: b + n,
                });
            }
        }
    }
    edges.reduce();
    edges
}

/// A small set of engine pairs such that a post and a wait for each at the end of the body order all hazards.
fn carried_pairs(
    hazards: &Edges,
    edges: &Edges,
    streams: &Edges,
    n: u32,
) -> BTreeSet<(Queue, Queue)> {
    let (edges, streams) = (edges.twice(n), streams.twice(n));
    let holds = |pairs: &BTreeSet<(Queue, Queue)>, hazard: Edge| {
        let mut ends = Edges::default();
        pairs.iter().for_each(|&(from, to)| {
            ends.add(Edge {
                from,
                to,
                a: n - 1,
                b: n,
            })
        });
        ordered(&[&edges, &streams, &ends], None, hazard)
    };
    let none = BTreeSet::new();
    let open: Vec<Edge> = hazards.iter().filter(|h| !holds(&none, *h)).collect();
    let mut pairs: BTreeSet<(Queue, Queue)> = open.iter().map(|h| (h.from, h.to)).collect();
    for pair in pairs.clone() {
        let mut fewer = pairs.clone();
        fewer.remove(&pair);
        if open.iter().all(|h| holds(&fewer, *h)) {
            pairs = fewer;
        }
    }
    pairs
}
