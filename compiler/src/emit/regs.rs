//! Registers of the controller: which values they hold, block by block.

use super::linear::{Atom, Linear};
use llmc_isa::{REGISTERS, Reg};
use std::collections::BTreeSet;

/// A value in a register.
struct Held {
    value: Linear,
    reg: Reg,
    /// Number of the last op that used it.
    used: u64,
}

/// The values computed in one block. They hold until the block ends, unless the register is needed for another value of the
/// same block: code of an inner block must not touch the registers of outer ones, because it may run again.
#[derive(Default)]
struct Frame {
    held: Vec<Held>,
    /// Loop variables and the like.
    pinned: Vec<Reg>,
}

/// The register file at the current point of emission.
pub struct Registers {
    free: BTreeSet<Reg>,
    frames: Vec<Frame>,
    /// Number of the op being emitted; values it uses are not replaced.
    now: u64,
    /// Most registers in use at a time.
    most: usize,
}

impl Registers {
    /// All free but `r0`; one open block.
    pub fn new() -> Registers {
        let free = (1..REGISTERS)
            .filter_map(|r| u8::try_from(r).ok())
            .map(Reg)
            .collect();
        Registers {
            free,
            frames: vec![Frame::default()],
            now: 0,
            most: 0,
        }
    }

    /// Begins the next op.
    pub fn next_op(&mut self) {
        self.now += 1;
    }

    /// Number of free registers.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Most registers that were in use at a time.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Begins an inner block.
    pub fn open(&mut self) {
        self.frames.push(Frame::default());
    }

    /// Ends the innermost block: its registers are free again.
    pub fn close(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.free
                .extend(frame.held.iter().map(|h| h.reg).chain(frame.pinned));
        }
    }

    /// The register that holds a value.
    pub fn find(&mut self, value: &Linear) -> Option<Reg> {
        let now = self.now;
        let held = self
            .frames
            .iter_mut()
            .rev()
            .flat_map(|f| f.held.iter_mut())
            .find(|h| h.value == *value)?;
        held.used = now;
        Some(held.reg)
    }

    /// A register for the rest of the innermost block; `None` if all are taken.
    pub fn pin(&mut self) -> Option<Reg> {
        let reg = self.take()?;
        self.frames.last_mut()?.pinned.push(reg);
        Some(reg)
    }

    /// A register for a new value of the innermost block; `None` if all are taken.
    pub fn hold(&mut self, value: Linear) -> Option<Reg> {
        let reg = self.take()?;
        let used = self.now;
        self.frames.last_mut()?.held.push(Held { value, reg, used });
        Some(reg)
    }

    /// Gives up values of the innermost block, those not used for longest first, until `n` registers are free or none is left to
    /// give up: an inner block that follows cannot do it.
    pub fn make_room(&mut self, n: usize) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        while self.free.len() < n {
            let stale = frame.held.iter().enumerate();
            let Some((oldest, _)) = stale
                .filter(|(_, h)| h.used < self.now)
                .min_by_key(|(_, h)| h.used)
            else {
                return;
            };
            self.free.insert(frame.held.remove(oldest).reg);
        }
    }

    /// A free register, or that of the value of the innermost block that has not been used for longest.
    fn take(&mut self) -> Option<Reg> {
        if let Some(reg) = self.free.pop_first() {
            self.most = self.most.max(REGISTERS - 1 - self.free.len());
            return Some(reg);
        }
        let held = &mut self.frames.last_mut()?.held;
        let oldest = held
            .iter()
            .enumerate()
            .filter(|(_, h)| h.used < self.now)
            .min_by_key(|(_, h)| h.used)?
            .0;
        Some(held.remove(oldest).reg)
    }

    /// Forgets every value that depends on an atom that `changed` selects.
    pub fn forget(&mut self, changed: &dyn Fn(&Atom) -> bool) {
        for frame in &mut self.frames {
            let (gone, kept): (Vec<Held>, Vec<Held>) = std::mem::take(&mut frame.held)
                .into_iter()
                .partition(|h| h.value.any(changed));
            frame.held = kept;
            self.free.extend(gone.iter().map(|h| h.reg));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_of_what_was_not_used_for_longest() {
        let mut regs = Registers::new();
        let all = regs.free();
        for i in 0..all {
            regs.next_op();
            assert!(regs.hold(Linear::constant(i as i64)).is_some());
        }
        regs.next_op();
        assert!(regs.find(&Linear::constant(0)).is_some());
        regs.make_room(3);
        assert_eq!(regs.free(), 3);
        assert!(regs.find(&Linear::constant(0)).is_some(), "just used");
        assert!(regs.find(&Linear::constant(1)).is_none());
        assert!(regs.find(&Linear::constant(4)).is_some());
        regs.open();
        regs.make_room(all);
        assert_eq!(regs.free(), 3, "outer values stay");
    }
}
