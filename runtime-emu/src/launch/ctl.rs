//! The controller of a core: registers, hardware loops, program counter.

use crate::fault::FaultKind;
use llmc_isa::{Queue, Regs};

/// Loops nest this deep.
const LOOP_DEPTH: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Loop {
    start: u64,
    end: u64,
    left: u64,
}

/// State of a controller.
#[derive(Clone, Debug, Default)]
pub(super) struct Ctl {
    pub(super) regs: Regs,
    /// Index of the next instruction.
    pub(super) pc: u64,
    /// Cycle at which the next instruction executes.
    pub(super) time: u64,
    /// The full queue it waits for.
    pub(super) blocked: Option<Queue>,
    pub(super) halted: bool,
    loops: Vec<Loop>,
}

impl Ctl {
    /// Closes the loops that end here, and returns the index of the instruction to execute.
    #[inline]
    pub(super) fn fetch(&mut self, len: u64) -> Result<u64, FaultKind> {
        while let Some(l) = self.loops.last_mut()
            && l.end == self.pc
        {
            l.left -= 1;
            if l.left > 0 {
                self.pc = l.start;
                break;
            }
            self.loops.pop();
        }
        if self.pc < len {
            Ok(self.pc)
        } else {
            Err(FaultKind::PcEnd { len })
        }
    }

    /// Start of the outermost loop, or the next instruction if there is none.
    pub(super) fn outermost(&self) -> u64 {
        self.loops.first().map_or(self.pc, |l| l.start)
    }

    /// Starts a loop over the next `body` instructions.
    pub(super) fn enter(&mut self, count: i64, body: u32, len: u64) -> Result<(), FaultKind> {
        let start = self.pc + 1;
        let end = start + u64::from(body);
        let limit = self.loops.last().map_or(len, |l| l.end);
        if end > limit {
            return Err(FaultKind::LoopBody { end, limit });
        }
        if self.loops.len() == LOOP_DEPTH {
            return Err(FaultKind::LoopDepth);
        }
        match u64::try_from(count) {
            Ok(left) if left > 0 => {
                self.loops.push(Loop { start, end, left });
                self.pc = start;
            }
            _ => self.pc = end,
        }
        Ok(())
    }
}
