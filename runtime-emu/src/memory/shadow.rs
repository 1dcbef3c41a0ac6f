//! What the emulator knows about each byte of a memory: written or not, by whom last, and who has read it since.
//!
//! State is kept as *runs* of bytes that were treated alike, per page of 4 KiB, so the record is exact to the byte
//! (two engines may write neighbouring elements without a false alarm) and still costs O(1) per page for the long
//! contiguous accesses programs are made of. Bytes that are in no run were never written.
//!
//! A race is two accesses to the same byte, at least one a write, that are not ordered by the semaphores: the earlier
//! access's [`Epoch`] is not covered by the vector clock of the later one. The order in which the emulator happens to
//! execute them plays no part.

use super::paged::Paged;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// One engine instruction: the `clock`-th (from 1) of `actor` in this launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Index of the engine among all engines of the chip.
    pub actor: u32,
    /// Number of the instruction within the engine; 0 stands for "before the launch".
    pub clock: u32,
}

impl Epoch {
    /// Anything that happened before the launch: ordered before everything.
    pub const BEFORE: Epoch = Epoch { actor: 0, clock: 0 };

    /// True if this happened before everything that is about to be done under `clock`.
    #[inline]
    fn before(self, clock: &[u32]) -> bool {
        self.clock == 0
            || clock
                .get(self.actor as usize)
                .is_some_and(|&seen| self.clock <= seen)
    }
}

/// The one who accesses, and what is ordered before it.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The access itself.
    pub epoch: Epoch,
    /// Vector clock: the last instruction of every actor that is ordered before this access.
    pub clock: &'a [u32],
}

impl Access<'_> {
    /// An access that is never in conflict: the host between launches, or any engine when races are not looked for.
    pub const UNORDERED: Access<'static> = Access {
        epoch: Epoch::BEFORE,
        clock: &[],
    };

    /// Own earlier accesses count as ordered even though the clock may not list the running instruction.
    #[inline]
    fn follows(&self, earlier: Epoch) -> bool {
        earlier.actor == self.epoch.actor || self.epoch.clock == 0 || earlier.before(self.clock)
    }
}

/// Why an access is not allowed. Addresses are byte offsets in this memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Reads a byte that was never written; the first such byte.
    Uninit {
        /// Address of the byte.
        at: u64,
    },
    /// Not ordered after an earlier access to some of the same bytes.
    Race {
        /// First byte in common.
        at: u64,
        /// Number of bytes in common, as far as one run of the record goes.
        len: u64,
        /// The earlier access.
        earlier: Epoch,
        /// True if the earlier access was a write.
        earlier_writes: bool,
    },
}

/// Who read a run since it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Readers {
    None,
    One(Epoch),
    Many(Vec<Epoch>),
}

impl Readers {
    /// Adds a read; earlier readers that are ordered before it need not be remembered.
    fn add(&mut self, who: &Access<'_>) {
        if who.epoch.clock == 0 {
            return;
        }
        match self {
            Readers::None => *self = Readers::One(who.epoch),
            Readers::One(e) if who.follows(*e) => *e = who.epoch,
            Readers::One(e) => *self = Readers::Many(vec![*e, who.epoch]),
            Readers::Many(all) => {
                all.retain(|&e| !who.follows(e));
                if all.is_empty() {
                    *self = Readers::One(who.epoch);
                } else {
                    all.push(who.epoch);
                }
            }
        }
    }

    /// A reader that is not ordered before `who`.
    fn unordered(&self, who: &Access<'_>) -> Option<Epoch> {
        match self {
            Readers::None => None,
            Readers::One(e) => (!who.follows(*e)).then_some(*e),
            Readers::Many(all) => all.iter().copied().find(|&e| !who.follows(e)),
        }
    }
}

/// Written bytes `start..end` of a page with one history.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    start: u16,
    end: u16,
    write: Epoch,
    readers: Readers,
}

/// Runs of one page, ascending, disjoint, never empty.
#[derive(Clone, Debug, Default)]
struct Page {
    launch: u32,
    runs: Vec<Run>,
}

/// The record of one memory.
#[derive(Debug)]
pub struct Shadow {
    pages: Paged<Page>,
    /// Number of the launch; pages of earlier launches are brought up to date when touched.
    launch: u32,
    /// Pages last touched before this launch hold nothing.
    cleared: u32,
}

impl Shadow {
    /// A memory of `len` bytes, none of them written.
    pub fn new(len: u64) -> Shadow {
        Shadow {
            pages: Paged::new(len.div_ceil(PAGE)),
            launch: 1,
            cleared: 1,
        }
    }

    /// A new launch of a memory that keeps its content: all accesses so far are ordered before it.
    pub fn settle(&mut self) {
        self.launch += 1;
    }

    /// A new launch of a memory that loses its content.
    pub fn clear(&mut self) {
        self.launch += 1;
        self.cleared = self.launch;
    }

    /// Records a read of `len` bytes at `start`.
    #[inline]
    pub fn read(&mut self, start: u64, len: u64, who: &Access<'_>) -> Result<(), Conflict> {
        self.each_page(start, len, |page, base, a, b| {
            page.read(a, b, who).map_err(|c| c.offset(base))
        })
    }

    /// Records a write of `len` bytes at `start`.
    #[inline]
    pub fn write(&mut self, start: u64, len: u64, who: &Access<'_>) -> Result<(), Conflict> {
        self.each_page(start, len, |page, base, a, b| {
            page.write(a, b, who).map_err(|c| c.offset(base))
        })
    }

    /// The bytes of `start..end` that were written in this launch nearest to `at`, in its page: where, and by whom.
    pub fn neighbour(&mut self, (start, end): (u64, u64), at: u64) -> Option<(u64, u64, Epoch)> {
        let base = at / PAGE * PAGE;
        let runs = self.pages.get_mut(at / PAGE).runs.iter();
        let written = runs.filter(|run| run.write.clock > 0).map(|run| {
            let (from, to) = (base + u64::from(run.start), base + u64::from(run.end));
            (from.max(start), to.min(end), run.write)
        });
        written
            .filter(|(from, to, _)| from < to)
            .min_by_key(|(from, ..)| from.abs_diff(at))
    }

    /// Marks `len` bytes at `start` as never written.
    pub fn forget(&mut self, start: u64, len: u64) {
        let done: Result<(), Conflict> = self.each_page(start, len, |page, _, a, b| {
            page.cut(a, b);
            Ok(())
        });
        debug_assert!(done.is_ok());
    }

    fn each_page(
        &mut self,
        start: u64,
        len: u64,
        mut f: impl FnMut(&mut Page, u64, u16, u16) -> Result<(), Conflict>,
    ) -> Result<(), Conflict> {
        let (mut at, end) = (start, start + len);
        while at < end {
            let base = at / PAGE * PAGE;
            let stop = end.min(base + PAGE);
            let page = self.pages.get_mut(at / PAGE);
            if page.launch != self.launch {
                page.renew(page.launch < self.cleared);
                page.launch = self.launch;
            }
            f(page, base, (at - base) as u16, (stop - base) as u16)?;
            at = stop;
        }
        Ok(())
    }
}

impl Conflict {
    fn offset(self, base: u64) -> Conflict {
        match self {
            Conflict::Uninit { at } => Conflict::Uninit { at: at + base },
            Conflict::Race {
                at,
                len,
                earlier,
                earlier_writes,
            } => Conflict::Race {
                at: at + base,
                len,
                earlier,
                earlier_writes,
            },
        }
    }
}

impl Page {
    /// Brings a page of an earlier launch up to date.
    fn renew(&mut self, cleared: bool) {
        if cleared {
            self.runs.clear();
            return;
        }
        for run in &mut self.runs {
            run.write = Epoch::BEFORE;
            run.readers = Readers::None;
        }
        self.runs.dedup_by(|next, run| {
            let joined = run.end == next.start;
            if joined {
                run.end = next.end;
            }
            joined
        });
    }

    /// Index of the first run that ends after `a`.
    #[inline]
    fn first(&self, a: u16) -> usize {
        if self.runs.first().is_some_and(|r| r.end > a) {
            0
        } else {
            self.runs.partition_point(|r| r.end <= a)
        }
    }

    fn read(&mut self, a: u16, b: u16, who: &Access<'_>) -> Result<(), Conflict> {
        let first = self.first(a);
        let mut at = a;
        let mut last = first;
        while at < b {
            match self.runs.get(last) {
                Some(run) if run.start <= at => {
                    if !who.follows(run.write) {
                        return Err(race(a, b, run, run.write, true));
                    }
                    at = run.end;
                    last += 1;
                }
                _ => return Err(Conflict::Uninit { at: u64::from(at) }),
            }
        }
        if who.epoch.clock == 0 {
            return Ok(());
        }
        // Split off what lies outside a..b, then mark the runs inside.
        let mut first = first;
        if self.runs[first].start < a {
            self.split(first, a);
            first += 1;
            last += 1;
        }
        if self.runs[last - 1].end > b {
            self.split(last - 1, b);
        }
        for run in &mut self.runs[first..last] {
            run.readers.add(who);
        }
        Ok(())
    }

    fn write(&mut self, a: u16, b: u16, who: &Access<'_>) -> Result<(), Conflict> {
        let first = self.first(a);
        let mut last = first;
        while let Some(run) = self.runs.get(last)
            && run.start < b
        {
            if !who.follows(run.write) {
                return Err(race(a, b, run, run.write, true));
            }
            if let Some(reader) = run.readers.unordered(who) {
                return Err(race(a, b, run, reader, false));
            }
            last += 1;
        }
        let run = Run {
            start: a,
            end: b,
            write: who.epoch,
            readers: Readers::None,
        };
        if last == first + 1 && self.runs[first].start == a && self.runs[first].end == b {
            self.runs[first] = run;
            return Ok(());
        }
        let at = self.cut(a, b);
        // Rows written one after the other by one instruction grow one run.
        if let Some(before) = at.checked_sub(1).and_then(|i| self.runs.get_mut(i))
            && before.end == a
            && before.write == run.write
            && before.readers == Readers::None
        {
            before.end = b;
        } else {
            self.runs.insert(at, run);
        }
        Ok(())
    }

    /// Removes `a..b` from all runs; returns where a run for it would go.
    fn cut(&mut self, a: u16, b: u16) -> usize {
        let mut first = self.first(a);
        if let Some(run) = self.runs.get(first)
            && run.start < a
        {
            self.split(first, a);
            first += 1;
        }
        let mut last = first;
        while let Some(run) = self.runs.get(last)
            && run.start < b
        {
            if run.end > b {
                self.runs[last].start = b;
                break;
            }
            last += 1;
        }
        self.runs.drain(first..last);
        first
    }

    /// Splits run `i` at `at`, which lies strictly inside it.
    fn split(&mut self, i: usize, at: u16) {
        let mut right = self.runs[i].clone();
        right.start = at;
        self.runs[i].end = at;
        self.runs.insert(i + 1, right);
    }
}

fn race(a: u16, b: u16, run: &Run, earlier: Epoch, earlier_writes: bool) -> Conflict {
    let (at, end) = (a.max(run.start), b.min(run.end));
    Conflict::Race {
        at: u64::from(at),
        len: u64::from(end - at),
        earlier,
        earlier_writes,
    }
}

#[cfg(test)]
#[path = "shadow_tests.rs"]
mod tests;
