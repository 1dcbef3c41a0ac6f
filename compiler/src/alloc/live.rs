//! Live ranges of buffers over statement positions.

use crate::tile::{BufferId, Place, Program, Space, Stmt};
use crate::uses;
use std::collections::BTreeMap;

/// The statements during which a buffer holds something: positions in pre-order, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRange {
    /// Position of the first statement.
    pub start: u32,
    /// Position of the last one.
    pub end: u32,
}

impl LiveRange {
    /// Whether two ranges share a statement.
    pub fn meets(self, other: LiveRange) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn join(self, other: LiveRange) -> LiveRange {
        LiveRange {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// What one statement or block does with a buffer.
#[derive(Clone, Copy)]
struct Span {
    /// From first to last use.
    range: LiveRange,
    /// The first use reads: the value comes from before, in a loop body from the iteration before.
    reads_first: bool,
}

/// The live range of every buffer of a space (SRAM, or scratch in DRAM) that is used, by buffer.
///
/// In the block that has all uses of a buffer, it lives from the first statement that uses it to the last one, loops among
/// them as a whole. If that block is a loop body and the first use reads, the value is carried from one iteration to the
/// next, and the buffer lives through the whole loop.
pub fn live_ranges(program: &Program, space: &Space) -> BTreeMap<BufferId, LiveRange> {
    let mut position = 0;
    let spans = block(program, space, &program.body, &mut position);
    spans
        .into_iter()
        .map(|(id, span)| (id, span.range))
        .collect()
}

fn block(
    program: &Program,
    space: &Space,
    stmts: &[Stmt],
    position: &mut u32,
) -> BTreeMap<BufferId, Span> {
    // Per buffer: its span so far and the extent of the one statement it comes from (none if several).
    let mut spans: BTreeMap<BufferId, (Span, Option<LiveRange>)> = BTreeMap::new();
    for stmt in stmts {
        let start = *position;
        *position += 1;
        let inner = match stmt {
            Stmt::Loop { body, .. } => block(program, space, body, position),
            _ => leaf(program, space, stmt, start),
        };
        let extent = LiveRange {
            start,
            end: *position - 1,
        };
        for (id, mut span) in inner {
            if matches!(stmt, Stmt::Loop { .. }) && span.reads_first {
                span.range = extent;
            }
            spans
                .entry(id)
                .and_modify(|(all, single)| {
                    all.range = all.range.join(extent).join(single.take().unwrap_or(extent));
                })
                .or_insert((span, Some(extent)));
        }
    }
    spans
        .into_iter()
        .map(|(id, (span, _))| (id, span))
        .collect()
}

fn leaf(program: &Program, space: &Space, stmt: &Stmt, at: u32) -> BTreeMap<BufferId, Span> {
    let mut spans = BTreeMap::new();
    for used in uses::of_stmt(stmt) {
        if let Place::Buffer(id) = used.place
            && program
                .buffers
                .get(id.index())
                .is_some_and(|b| b.space == *space)
        {
            let range = LiveRange { start: at, end: at };
            spans.entry(id).or_insert(Span {
                range,
                reads_first: !used.write,
            });
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn range(p: &Build, name: &str) -> (u32, u32) {
        let id = p.buffer_id(name);
        let r = live_ranges(&p.program, &Space::Sram)[&id];
        (r.start, r.end)
    }

    #[test]
    fn private_carried_and_outer_buffers_of_a_loop() {
        let mut b = Build::new(1);
        let (outer, carried, private, after) = (
            b.sram("outer", 64),
            b.sram("carried", 64),
            b.sram("private", 64),
            b.sram("after", 64),
        );
        b.op(fill(outer, 64)); // 0
        b.looped("i", 4, |b| {
            // 1
            b.op(copy(private, outer, 64)); // 2
            b.op(add(carried, carried, private, 64)); // 3
            b.op(fill(outer, 0)); // 4
        });
        b.op(copy(after, outer, 64)); // 5
        assert_eq!(range(&b, "outer"), (0, 5));
        assert_eq!(
            range(&b, "carried"),
            (1, 4),
            "read before written: lives through the loop"
        );
        assert_eq!(range(&b, "private"), (2, 3));
        assert_eq!(range(&b, "after"), (5, 5));
    }

    #[test]
    fn used_in_a_loop_and_after_it() {
        let mut b = Build::new(1);
        let (x, y) = (b.sram("x", 64), b.sram("y", 64));
        b.looped("i", 4, |b| {
            // 0
            b.op(fill(y, 64)); // 1
            b.looped("j", 4, |b| b.op(copy(x, y, 64))); // 2, 3
        });
        b.op(copy(y, x, 64)); // 4
        assert_eq!(
            range(&b, "x"),
            (0, 4),
            "all of the loop, because an earlier iteration must not be overwritten by a later one"
        );
        assert_eq!(range(&b, "y"), (0, 4));
    }
}
