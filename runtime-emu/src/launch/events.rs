//! The queue of things that will happen, in an order that depends on nothing but the program and the chip.

use super::sems::Tokens;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum What {
    /// Tokens arrive at semaphore `sem` of the event's core.
    Arrive {
        /// The semaphore.
        sem: u8,
        /// The tokens.
        tokens: Tokens,
    },
    /// The engine `actor` goes on with its queue.
    Go {
        /// The engine.
        actor: usize,
    },
}

#[derive(Debug)]
struct Event {
    time: u64,
    /// Among events of one time: arrivals (by core), then engines (by core and queue), then the older event.
    rank: (bool, usize, u64),
    what: What,
}

impl Event {
    fn key(&self) -> (u64, (bool, usize, u64)) {
        (self.time, self.rank)
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Event) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Event) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Event) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Events by time.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Event>>,
    count: u64,
}

impl Events {
    /// Tokens will arrive at a semaphore of `core`.
    pub(super) fn arrive(&mut self, time: u64, core: u32, sem: u8, tokens: Tokens) {
        self.count += 1;
        let rank = (false, core as usize, self.count);
        self.heap.push(Reverse(Event {
            time,
            rank,
            what: What::Arrive { sem, tokens },
        }));
    }

    /// The engine `actor` will go on.
    pub(super) fn go(&mut self, time: u64, actor: usize) {
        self.heap.push(Reverse(Event {
            time,
            rank: (true, actor, 0),
            what: What::Go { actor },
        }));
    }

    /// The next event: its time, the core (of an arrival) or engine, and what happens.
    pub(super) fn next(&mut self) -> Option<(u64, usize, What)> {
        self.heap.pop().map(|Reverse(e)| (e.time, e.rank.1, e.what))
    }

    /// True if going on with `actor` at `time` would be the next event.
    pub(super) fn is_next(&self, time: u64, actor: usize) -> bool {
        self.heap
            .peek()
            .is_none_or(|Reverse(e)| (time, (true, actor, 0)) < e.key())
    }
}
