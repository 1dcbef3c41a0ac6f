//! What is known about each byte of a memory: who wrote it last, as part of which buffer, and who has read it since.

use std::collections::BTreeMap;

/// A moment of a thread (an engine of a core): its clock counts the posts it has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The thread.
    pub thread: u32,
    /// Its clock.
    pub clock: u32,
    /// The op it runs.
    pub op: u32,
}

impl Moment {
    /// Before everything: what loops that are cut short are credited with.
    pub const BEFORE: Moment = Moment {
        thread: 0,
        clock: 0,
        op: u32::MAX,
    };

    /// Whether this is known to have happened, to one who knows `clocks`.
    fn before(self, clocks: &[u32]) -> bool {
        clocks
            .get(self.thread as usize)
            .is_some_and(|c| self.clock <= *c)
    }
}

/// What is wrong with an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Nothing orders it after this one, and one of them writes.
    Race(Moment),
    /// Nobody has written the bytes.
    Uninitialised,
    /// The bytes were last written as part of this other place.
    Clobbered(Moment, u32),
}

/// A conflict and where it begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub conflict: Conflict,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

#[derive(Clone, Debug)]
struct Piece {
    end: u64,
    writer: Option<(Moment, u32)>,
    /// At most one read per thread, the latest.
    reads: Vec<Moment>,
}

impl Piece {
    /// An earlier access that a write races with.
    fn race(&self, clocks: &[u32]) -> Option<Moment> {
        let writer = self.writer.iter().map(|(m, _)| m);
        let mut earlier = writer.chain(&self.reads);
        earlier.find(|m| !m.before(clocks)).copied()
    }

    /// Records a read, of bytes that must have been written as part of `place` if one is given.
    fn read(&mut self, place: Option<u32>, now: Moment, clocks: &[u32]) -> Option<Conflict> {
        match self.reads.iter_mut().find(|m| m.thread == now.thread) {
            Some(m) => *m = now,
            None => self.reads.push(now),
        }
        match (self.writer, place) {
            (Some((m, _)), _) if !m.before(clocks) => Some(Conflict::Race(m)),
            (Some((m, other)), Some(place)) if other != place => {
                Some(Conflict::Clobbered(m, other))
            }
            (None, Some(_)) => Some(Conflict::Uninitialised),
            _ => None,
        }
    }
}

/// One memory. Bytes without a piece have not been touched.
#[derive(Clone, Debug, Default)]
pub struct Shadow {
    pieces: BTreeMap<u64, Piece>,
}

impl Shadow {
    /// Cuts the piece that contains `at`, if any, in two.
    fn cut(&mut self, at: u64) {
        if let Some((_, piece)) = self.pieces.range_mut(..at).next_back()
            && piece.end > at
        {
            let rest = piece.clone();
            piece.end = at;
            self.pieces.insert(at, rest);
        }
    }

    /// Records a write of the bytes `start..end` as part of `place`.
    pub fn write(
        &mut self,
        start: u64,
        end: u64,
        place: u32,
        now: Moment,
        clocks: &[u32],
    ) -> Option<Finding> {
        let fresh = Piece {
            end,
            writer: Some((now, place)),
            reads: Vec::new(),
        };
        // Most accesses cover what an earlier one of the same shape has covered.
        if let Some(piece) = self.pieces.get_mut(&start).filter(|p| p.end == end) {
            let race = piece.race(clocks);
            *piece = fresh;
            return race.map(|m| Finding {
                conflict: Conflict::Race(m),
                start,
                end,
            });
        }
        self.cut(start);
        self.cut(end);
        let mut finding = None;
        for (at, piece) in self.pieces.range(start..end) {
            if let (Some(m), None) = (piece.race(clocks), &finding) {
                finding = Some(Finding {
                    conflict: Conflict::Race(m),
                    start: *at,
                    end: piece.end,
                });
            }
        }
        while let Some((&at, _)) = self.pieces.range(start..end).next() {
            self.pieces.remove(&at);
        }
        self.pieces.insert(start, fresh);
        finding
    }

    /// Records a read of the bytes `start..end` as part of `place`. `strict`: they must have been written as part of it.
    pub fn read(
        &mut self,
        start: u64,
        end: u64,
        place: u32,
        strict: bool,
        now: Moment,
        clocks: &[u32],
    ) -> Option<Finding> {
        let strict_place = strict.then_some(place);
        if let Some(piece) = self.pieces.get_mut(&start).filter(|p| p.end == end) {
            let conflict = piece.read(strict_place, now, clocks);
            return conflict.map(|conflict| Finding {
                conflict,
                start,
                end,
            });
        }
        self.cut(start);
        self.cut(end);
        let mut finding = None;
        let mut gaps = Vec::new();
        let mut at = start;
        for (&from, piece) in self.pieces.range_mut(start..end) {
            if at < from {
                gaps.push((at, from));
            }
            at = piece.end;
            let conflict = piece.read(strict_place, now, clocks);
            if let (Some(conflict), None) = (conflict, &finding) {
                finding = Some(Finding {
                    conflict,
                    start: from,
                    end: piece.end,
                });
            }
        }
        if at < end {
            gaps.push((at, end));
        }
        for &(from, to) in &gaps {
            self.pieces.insert(
                from,
                Piece {
                    end: to,
                    writer: None,
                    reads: vec![now],
                },
            );
            if strict && finding.is_none() {
                finding = Some(Finding {
                    conflict: Conflict::Uninitialised,
                    start: from,
                    end: to,
                });
            }
        }
        finding
    }

    /// Credits `start..end` to `place` where it does not hold it already.
    pub fn assume(&mut self, start: u64, end: u64, place: u32) {
        self.cut(start);
        self.cut(end);
        let mut gaps = Vec::new();
        let mut at = start;
        for (&from, piece) in self.pieces.range_mut(start..end) {
            if at < from {
                gaps.push((at, from));
            }
            at = piece.end;
            if piece.writer.is_none_or(|(_, other)| other != place) {
                piece.writer = Some((Moment::BEFORE, place));
            }
        }
        if at < end {
            gaps.push((at, end));
        }
        for (from, to) in gaps {
            self.pieces.insert(
                from,
                Piece {
                    end: to,
                    writer: Some((Moment::BEFORE, place)),
                    reads: Vec::new(),
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(thread: u32, clock: u32) -> Moment {
        Moment {
            thread,
            clock,
            op: 7,
        }
    }

    #[test]
    fn a_write_nobody_waited_for_races() {
        let mut s = Shadow::default();
        assert_eq!(s.write(0, 64, 1, moment(0, 1), &[1, 0]), None);
        let found = s.read(16, 32, 1, true, moment(1, 1), &[0, 1]).unwrap();
        assert_eq!(
            (found.conflict, found.start, found.end),
            (Conflict::Race(moment(0, 1)), 16, 32)
        );
        assert_eq!(s.read(16, 32, 1, true, moment(1, 1), &[1, 1]), None);
        let found = s.write(0, 64, 1, moment(0, 2), &[2, 0]).unwrap();
        assert_eq!(found.conflict, Conflict::Race(moment(1, 1)));
    }

    #[test]
    fn unwritten_and_overwritten_bytes() {
        let mut s = Shadow::default();
        s.write(0, 16, 1, moment(0, 1), &[1]);
        let found = s.read(0, 32, 1, true, moment(0, 1), &[1]).unwrap();
        assert_eq!(
            (found.conflict, found.start, found.end),
            (Conflict::Uninitialised, 16, 32)
        );
        s.write(8, 16, 2, moment(0, 1), &[1]);
        let found = s.read(0, 16, 1, true, moment(0, 1), &[1]).unwrap();
        assert_eq!(
            (found.conflict, found.start),
            (Conflict::Clobbered(moment(0, 1), 2), 8)
        );
        s.assume(0, 64, 1);
        assert_eq!(s.read(0, 64, 1, true, moment(0, 1), &[1]), None);
    }
}
