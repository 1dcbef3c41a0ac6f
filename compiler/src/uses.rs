//! Which buffers and pages an op reads and writes, as whole places: what `alloc` and `sync` go by.

use crate::tile::{Mode, Op, Place, Stmt};
use llmc_isa::Queue;

/// One use of a place by an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The engine.
    pub queue: Queue,
    /// What is used.
    pub place: Place,
    /// Whether it is written; otherwise it is read.
    pub write: bool,
}

/// The uses of an op, reads first.
pub fn of_op(op: &Op) -> Vec<Use> {
    let regions = op.accesses().regions;
    regions
        .iter()
        .map(|r| Use {
            queue: op.queue,
            place: r.view.place,
            write: r.mode == Mode::Write,
        })
        .collect()
}

/// The uses of the ops directly in a statement, in program order; nothing for a loop.
pub fn of_stmt(stmt: &Stmt) -> Vec<Use> {
    match stmt {
        Stmt::Op(op) => of_op(op),
        Stmt::Stream { fill, consume, .. } => fill.iter().chain(consume).flat_map(of_op).collect(),
        Stmt::Loop { .. }
        | Stmt::Let { .. }
        | Stmt::Barrier
        | Stmt::Wait { .. }
        | Stmt::Post { .. }
        | Stmt::Advance(_) => Vec::new(),
    }
}
