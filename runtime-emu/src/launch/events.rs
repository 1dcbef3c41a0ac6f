//! The queue of things that will happen, in an order that depends on nothing but the program and the chip.

use super::sems::Tokens;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that happens.
#[derive(Debug)]
pub(super) enum What {
    /// Tokens arrive at a semaphore.
    Arrive {
        /// Core of the semaphore.
        core: u32,
        /// The semaphore.
        sem: u8,
        /// The tokens.
        tokens: Tokens,
    },
    /// An engine goes on with its queue.
    Go {
        /// The engine.
        actor: usize,
    },
}

/// In the rank of an event: it is an engine that goes on.
const GO: u64 = 1 << 63;

/// In the rank of an arrival: below are the bits that count events, above is the core.
const COUNT_BITS: u32 = 40;

/// Events by time. At equal times arrivals come first, by core and then the older one; then engines, by core and queue.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Time, rank, and the place of an arrival's tokens.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// Tokens under way.
    tokens: Vec<Option<(u8, Tokens)>>,
    /// Unused places in `tokens`.
    free: Vec<u32>,
    count: u64,
}

impl Events {
    /// Tokens will arrive at a semaphore of `core`.
    pub(super) fn arrive(&mut self, time: u64, core: u32, sem: u8, tokens: Tokens) {
        self.count += 1;
        let rank = u64::from(core) << COUNT_BITS | (self.count & ((1 << COUNT_BITS) - 1));
        let place = self.free.pop().unwrap_or_else(|| {
            self.tokens.push(None);
            self.tokens.len() as u32 - 1
        });
        self.tokens[place as usize] = Some((sem, tokens));
        self.heap.push(Reverse((time, rank, place)));
    }

    /// The engine `actor` will go on.
    pub(super) fn go(&mut self, time: u64, actor: usize) {
        self.heap.push(Reverse((time, GO | actor as u64, 0)));
    }

    /// The next event and its time.
    pub(super) fn next(&mut self) -> Option<(u64, What)> {
        let Reverse((time, rank, place)) = self.heap.pop()?;
        if rank & GO != 0 {
            return Some((
                time,
                What::Go {
                    actor: (rank & !GO) as usize,
                },
            ));
        }
        let (sem, tokens) = self.tokens.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some((
            time,
            What::Arrive {
                core: (rank >> COUNT_BITS) as u32,
                sem,
                tokens,
            },
        ))
    }

    /// True if going on with `actor` at `time` would be the next event.
    pub(super) fn is_next(&self, time: u64, actor: usize) -> bool {
        self.heap
            .peek()
            .is_none_or(|Reverse(e)| (time, GO | actor as u64, 0) < *e)
    }
}
