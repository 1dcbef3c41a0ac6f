//! Semaphores: tokens in the order they arrive, and the engines that wait for them in the order they asked.
//!
//! A post enters its tokens at once, with the cycle of their arrival. Arrivals are no events of their own: a semaphore is
//! looked at when an engine asks for tokens, and at the cycle at which the engine first in line can have them. Posts lie
//! never in the past, so tokens that have arrived keep their order.

use super::clocks::Stamp;
use std::collections::VecDeque;

/// Most tokens a semaphore holds.
pub(super) const MOST: u64 = u16::MAX as u64;

/// Tokens of one post.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    /// Cycle of their arrival.
    pub(super) at: u64,
    /// How many are left.
    pub(super) n: u32,
    /// Where the post is.
    pub(super) pc: u32,
    /// The engine that posted them.
    pub(super) actor: usize,
    /// What is ordered before them.
    pub(super) stamp: Stamp,
}

/// An engine that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// The engine.
    pub(super) actor: usize,
    /// Tokens it needs.
    pub(super) n: u32,
}

/// One counting semaphore.
#[derive(Clone, Debug, Default)]
pub(super) struct Semaphore {
    /// By arrival; posts that arrive together in the order they were made.
    tokens: VecDeque<Tokens>,
    /// Sum of all tokens.
    total: u64,
    waiting: VecDeque<Waiting>,
    /// The cycle at which it will be looked at, if one is fixed.
    wake: Option<u64>,
    /// The engine that posted last, and where.
    last: Option<(usize, u32)>,
}

impl Semaphore {
    /// Number of tokens, those under way included.
    pub(super) fn value(&self) -> u64 {
        self.total
    }

    /// The oldest tokens.
    pub(super) fn oldest(&self) -> Option<&Tokens> {
        self.tokens.front()
    }

    /// The engine that posted last, and the pc of its post.
    pub(super) fn last(&self) -> Option<(usize, u32)> {
        self.last
    }

    /// Enters tokens. `look` gets each cycle at which [`Semaphore::grant`] and [`Semaphore::overflow`] must be called.
    #[inline]
    pub(super) fn post(&mut self, tokens: Tokens, mut look: impl FnMut(u64)) {
        let at = tokens.at;
        self.total += u64::from(tokens.n);
        self.last = Some((tokens.actor, tokens.pc));
        if self.tokens.back().is_none_or(|t| t.at <= at) {
            self.tokens.push_back(tokens);
        } else {
            let later = self.tokens.iter().rev().take_while(|t| t.at > at).count();
            self.tokens.insert(self.tokens.len() - later, tokens);
        }
        if self.total > MOST {
            // It overflows unless some are taken before others arrive.
            let later = self.tokens.iter().rev().take_while(|t| t.at >= at);
            later.for_each(|t| look(t.at));
        }
        if !self.waiting.is_empty() && self.wake.is_none_or(|wake| at < wake) {
            self.schedule(look);
        }
    }

    /// The value the semaphore would have at `now` and the post that made it so, if it cannot hold it.
    pub(super) fn overflow(&self, now: u64) -> Option<(u64, &Tokens)> {
        if self.total <= MOST {
            return None;
        }
        let mut value = 0;
        let arrived = self.tokens.iter().take_while(|t| t.at <= now);
        arrived
            .map(|t| {
                value += u64::from(t.n);
                (value, t)
            })
            .find(|&(value, _)| value > MOST)
    }

    /// Takes the tokens for an engine that asks at `now`, or puts it in line. `taken` gets the stamp of each token, `look`
    /// a cycle at which [`Semaphore::grant`] must be called.
    pub(super) fn ask(
        &mut self,
        who: Waiting,
        now: u64,
        taken: impl FnMut(&Stamp),
        look: impl FnMut(u64),
    ) -> bool {
        let first = self.waiting.is_empty();
        if first && self.ready(who.n).is_some_and(|at| at <= now) {
            self.take(who.n, taken);
            return true;
        }
        self.waiting.push_back(who);
        if first {
            self.schedule(look);
        }
        false
    }

    /// The engine first in line, if there are tokens enough for it at `now`; they are taken, and `taken` gets the engine and
    /// the stamp of each. To be called until there is none.
    pub(super) fn grant(
        &mut self,
        now: u64,
        mut taken: impl FnMut(usize, &Stamp),
        look: impl FnMut(u64),
    ) -> Option<usize> {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
        }
        let next = *self.waiting.front()?;
        if self.ready(next.n).is_none_or(|at| at > now) {
            self.schedule(look);
            return None;
        }
        self.waiting.pop_front();
        self.take(next.n, |stamp| taken(next.actor, stamp));
        Some(next.actor)
    }

    /// Fixes when to look at the engine first in line.
    fn schedule(&mut self, mut look: impl FnMut(u64)) {
        if let Some(first) = self.waiting.front()
            && let Some(at) = self.ready(first.n)
            && self.wake.is_none_or(|wake| at < wake)
        {
            self.wake = Some(at);
            look(at);
        }
    }

    /// The cycle at which there are `n` tokens, as far as is known.
    #[inline]
    fn ready(&self, n: u32) -> Option<u64> {
        if self.total < u64::from(n) {
            return None;
        }
        let mut left = n;
        let mut at = 0;
        for tokens in &self.tokens {
            if left == 0 {
                break;
            }
            at = tokens.at;
            left = left.saturating_sub(tokens.n);
        }
        Some(at)
    }

    fn take(&mut self, n: u32, mut taken: impl FnMut(&Stamp)) {
        self.total -= u64::from(n);
        let mut left = n;
        while left > 0
            && let Some(front) = self.tokens.front_mut()
        {
            taken(&front.stamp);
            let some = left.min(front.n);
            left -= some;
            front.n -= some;
            if front.n == 0 {
                self.tokens.pop_front();
            }
        }
    }
}
