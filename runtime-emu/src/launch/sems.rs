//! Semaphores: tokens in the order they arrived, and the engines that wait for them in the order they asked.

use super::clocks::Stamp;
use std::collections::VecDeque;

/// Tokens of one post.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    /// How many are left.
    pub(super) n: u32,
    /// What is ordered before them.
    pub(super) stamp: Stamp,
    /// The engine that posted them.
    pub(super) actor: usize,
    /// Where its post is.
    pub(super) pc: u32,
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
    value: u32,
    tokens: VecDeque<Tokens>,
    waiting: VecDeque<Waiting>,
}

impl Semaphore {
    /// Number of tokens.
    pub(super) fn value(&self) -> u32 {
        self.value
    }

    /// The oldest tokens.
    pub(super) fn oldest(&self) -> Option<&Tokens> {
        self.tokens.front()
    }

    /// Adds tokens; the error is the value that a semaphore cannot hold.
    pub(super) fn add(&mut self, tokens: Tokens) -> Result<(), u32> {
        let value = self.value + tokens.n;
        if value > u32::from(u16::MAX) {
            return Err(value);
        }
        self.value = value;
        self.tokens.push_back(tokens);
        Ok(())
    }

    /// Takes the tokens for an engine that asks now, or puts it in line. `taken` gets the stamp of each token.
    pub(super) fn ask(&mut self, who: Waiting, taken: impl FnMut(&Stamp)) -> bool {
        if self.waiting.is_empty() && self.value >= who.n {
            self.take(who.n, taken);
            return true;
        }
        self.waiting.push_back(who);
        false
    }

    /// The next engine in line, if there are tokens enough for it; they are taken.
    pub(super) fn grant(&mut self, taken: impl FnMut(&Stamp)) -> Option<usize> {
        let next = *self.waiting.front()?;
        if self.value < next.n {
            return None;
        }
        self.waiting.pop_front();
        self.take(next.n, taken);
        Some(next.actor)
    }

    fn take(&mut self, n: u32, mut taken: impl FnMut(&Stamp)) {
        self.value -= n;
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
