//! The queue of things that will happen, in an order that depends on nothing but the program and the chip.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A semaphore has got tokens that may let an engine go on.
    Look {
        /// Core of the semaphore.
        core: u32,
        /// The semaphore.
        sem: u8,
    },
    /// An engine goes on with its queue.
    Go {
        /// The engine.
        actor: usize,
    },
}

/// In the rank of an event: it is an engine that goes on.
const GO: u64 = 1 << 63;

/// Events by time. At equal times semaphores come first, by core and number; then engines, by core and queue.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Time and rank.
    heap: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Events {
    /// A semaphore of `core` is to be looked at.
    pub(super) fn look(&mut self, time: u64, core: u32, sem: u8) {
        let rank = u64::from(core) << 8 | u64::from(sem);
        self.heap.push(Reverse((time, rank)));
    }

    /// The engine `actor` will go on.
    pub(super) fn go(&mut self, time: u64, actor: usize) {
        self.heap.push(Reverse((time, GO | actor as u64)));
    }

    /// The next event and its time.
    pub(super) fn next(&mut self) -> Option<(u64, What)> {
        let Reverse((time, rank)) = self.heap.pop()?;
        let what = if rank & GO != 0 {
            What::Go {
                actor: (rank & !GO) as usize,
            }
        } else {
            What::Look {
                core: (rank >> 8) as u32,
                sem: rank as u8,
            }
        };
        Some((time, what))
    }

    /// True if going on with `actor` at `time` would be the next event.
    pub(super) fn is_next(&self, time: u64, actor: usize) -> bool {
        self.heap
            .peek()
            .is_none_or(|Reverse(e)| (time, GO | actor as u64) < *e)
    }
}
