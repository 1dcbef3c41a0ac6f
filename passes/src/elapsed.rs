//! Measured times in reports that must otherwise be reproducible.

use std::fmt;
use std::time::{Duration, Instant};

/// A measured time. All are equal: it is shown and never decides anything, and reports of equal compiles are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elapsed(pub Duration);

impl Elapsed {
    /// Since `start`.
    pub fn since(start: Instant) -> Elapsed {
        Elapsed(start.elapsed())
    }

    /// In microseconds.
    pub fn micros(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Measures steps that follow each other: each lasts from the end of the one before.
#[derive(Clone, Debug)]
pub struct Steps {
    since: Instant,
    taken: Vec<(&'static str, Elapsed)>,
}

impl Steps {
    /// The first step begins.
    pub fn begin() -> Steps {
        Steps {
            since: Instant::now(),
            taken: Vec::new(),
        }
    }

    /// A step ends, and the next begins.
    pub fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.taken.push((name, Elapsed(now - self.since)));
        self.since = now;
    }

    /// The steps in order, with their names.
    pub fn taken(self) -> Vec<(&'static str, Elapsed)> {
        self.taken
    }
}

impl PartialEq for Elapsed {
    fn eq(&self, _: &Elapsed) -> bool {
        true
    }
}

impl Eq for Elapsed {}

/// `12.3 ms`.
impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1e3)
    }
}
