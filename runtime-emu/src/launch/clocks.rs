//! Vector clocks: which instructions of other engines are ordered before what an engine does next.
//!
//! The actors are the engines of all cores; controllers do not touch memory. A component counts the instructions of an
//! actor, so that an epoch names one instruction. Instructions of one queue are ordered; a post passes its engine's clock
//! on, and a wait learns the clocks of exactly the tokens it takes.

use crate::memory::{Access, Epoch};
use std::rc::Rc;

/// A copy of a clock, shared by all tokens of a post.
pub(super) type Stamp = Option<Rc<[u32]>>;

/// The later of each component. A chip of many cores spends much of a launch here.
#[inline]
fn join(clock: &mut [u32], other: &[u32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the host has AVX2.
        unsafe { join_avx2(clock, other) };
        return;
    }
    join_each(clock, other);
}

#[inline(always)]
fn join_each(clock: &mut [u32], other: &[u32]) {
    for (own, other) in clock.iter_mut().zip(other) {
        *own = (*own).max(*other);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn join_avx2(clock: &mut [u32], other: &[u32]) {
    join_each(clock, other);
}

pub(super) struct Clocks {
    /// Per actor, the last instruction of every actor that is ordered before it; empty if races are not looked for.
    clocks: Vec<Vec<u32>>,
    /// Per actor, the pc of each of its instructions.
    log: Vec<Vec<u32>>,
}

impl Clocks {
    /// Clocks of `actors` engines, or none at all.
    pub(super) fn new(actors: usize, races: bool) -> Clocks {
        let actors = if races { actors } else { 0 };
        Clocks {
            clocks: vec![vec![0; actors]; actors],
            log: vec![Vec::new(); actors],
        }
    }

    /// Actor `actor` begins the instruction at `pc`.
    #[inline]
    pub(super) fn begin(&mut self, actor: usize, pc: u32) {
        if let (Some(clock), Some(log)) = (self.clocks.get_mut(actor), self.log.get_mut(actor)) {
            log.push(pc);
            clock[actor] = log.len() as u32;
        }
    }

    /// The access of the instruction that `actor` began last.
    #[inline]
    pub(super) fn access(&self, actor: usize) -> Access<'_> {
        match self.clocks.get(actor) {
            Some(clock) => Access {
                epoch: Epoch {
                    actor: actor as u32,
                    clock: clock[actor],
                },
                clock,
            },
            None => Access::UNORDERED,
        }
    }

    /// The clock of `actor`, to be passed on.
    pub(super) fn stamp(&self, actor: usize) -> Stamp {
        self.clocks
            .get(actor)
            .map(|clock| Rc::from(clock.as_slice()))
    }

    /// `actor` takes a token with this stamp.
    pub(super) fn join(&mut self, actor: usize, stamp: &Stamp) {
        if let (Some(clock), Some(stamp)) = (self.clocks.get_mut(actor), stamp) {
            join(clock, stamp);
        }
    }

    /// Where the instruction of an epoch is.
    pub(super) fn pc(&self, epoch: Epoch) -> Option<u32> {
        self.log
            .get(epoch.actor as usize)?
            .get((epoch.clock as usize).checked_sub(1)?)
            .copied()
    }
}
