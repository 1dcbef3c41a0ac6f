//! The controller by itself: which engine instructions a core dispatches, in order, with registers resolved.

use llmc_isa::{Inst, Reg, Regs};

/// A program that the controller cannot run: a bug in the compiler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instruction {at}: {problem}")]
pub struct WalkError {
    /// Index of the instruction.
    pub at: usize,
    /// What is wrong.
    pub problem: String,
}

/// A loop being run.
struct Loop {
    start: usize,
    end: usize,
    left: i64,
    /// How often the turn that is run stands for.
    times: u64,
}

/// Runs the controller of core `core` until `ctl.halt` and shows each engine and semaphore instruction, resolved, with the number of times it is executed.
/// Returns the number of instructions executed. Of the loops at `alike`, whose turns cost the same, one turn is run: its
/// instructions are shown with the number of turns.
///
/// # Errors
/// [`WalkError`] if an operand cannot be resolved, or the code does not end in `ctl.halt`.
pub fn walk(
    code: &[Inst],
    core: i64,
    launch: &[i64],
    alike: &[usize],
    visit: &mut dyn FnMut(u64, &Inst),
) -> Result<u64, WalkError> {
    let mut regs = Regs::default();
    let mut loops: Vec<Loop> = Vec::new();
    let (mut pc, mut executed, mut times) = (0, 0, 1);
    while let Some(inst) = code.get(pc) {
        executed += times;
        let fail = |problem: String| WalkError { at: pc, problem };
        let get = |reg: Reg| regs.get(reg);
        let mut next = pc + 1;
        match inst {
            Inst::CtlLi(i) => regs.set(i.rd, i.imm),
            Inst::CtlAddi(i) => regs.set(i.rd, get(i.ra).wrapping_add(i.imm)),
            Inst::CtlMadd(i) => {
                regs.set(i.rd, get(i.ra).wrapping_mul(i.imm).wrapping_add(get(i.rb)))
            }
            Inst::CtlAdd(i) => regs.set(i.rd, get(i.ra).wrapping_add(get(i.rb))),
            Inst::CtlSub(i) => regs.set(i.rd, get(i.ra).wrapping_sub(get(i.rb))),
            Inst::CtlMul(i) => regs.set(i.rd, get(i.ra).wrapping_mul(get(i.rb))),
            Inst::CtlMin(i) => regs.set(i.rd, get(i.ra).min(get(i.rb))),
            Inst::CtlMax(i) => regs.set(i.rd, get(i.ra).max(get(i.rb))),
            Inst::CtlDiv(i) => regs.set(i.rd, get(i.ra).div_euclid(i.imm.max(1))),
            Inst::CtlMod(i) => regs.set(i.rd, get(i.ra).rem_euclid(i.imm.max(1))),
            Inst::CtlLaunch(i) => {
                regs.set(i.rd, launch.get(usize::from(i.index)).copied().unwrap_or(0))
            }
            Inst::CtlCore(i) => regs.set(i.rd, core),
            Inst::CtlLoop(i) => {
                let (left, end) = (get(i.count), next + i.body as usize);
                if left > 0 {
                    let one = alike.binary_search(&pc).is_ok();
                    loops.push(Loop {
                        start: next,
                        end,
                        left: if one { 1 } else { left },
                        times,
                    });
                    if one {
                        times *= left.unsigned_abs();
                    }
                } else {
                    next = end;
                }
            }
            Inst::CtlHalt(_) => return Ok(executed),
            Inst::SemWait(_)
            | Inst::SemPost(_)
            | Inst::DmaLoad(_)
            | Inst::DmaStore(_)
            | Inst::DmaPush(_)
            | Inst::DmaGather(_)
            | Inst::DmaScatter(_)
            | Inst::MxuMm(_)
            | Inst::MxuMmq(_)
            | Inst::MxuDrain(_)
            | Inst::VpuUnary(_)
            | Inst::VpuBinary(_)
            | Inst::VpuFill(_)
            | Inst::VpuReduce(_)
            | Inst::VpuInt(_)
            | Inst::VpuSelect(_)
            | Inst::VpuQuant(_)
            | Inst::AttInit(_)
            | Inst::AttStep(_)
            | Inst::AttRound(_)
            | Inst::AttFin(_) => visit(
                times,
                &inst.resolve(&regs).map_err(|e| fail(e.to_string()))?,
            ),
        }
        while let Some(top) = loops.last_mut().filter(|l| l.end == next) {
            top.left -= 1;
            if top.left > 0 {
                next = top.start;
                break;
            }
            times = top.times;
            loops.pop();
        }
        pc = next;
    }
    Err(WalkError {
        at: pc,
        problem: "the code does not end in ctl.halt".to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use llmc_isa::asm::assemble;

    #[test]
    fn nested_loops_that_end_together() {
        let text = ".entry e\nctl.li rd=r1, imm=3\nctl.li rd=r2, imm=0\nctl.loop count=r1 {\nctl.addi rd=r2, ra=r2, imm=1\n\
                    ctl.loop count=r2 {\nsem.post queue=vpu, sem=1, n=1\n}\n}\nctl.halt\n";
        let program = assemble(text).unwrap();
        let mut posts = 0;
        let executed = walk(&program.entries[0].1, 0, &[], &[], &mut |_, _| posts += 1).unwrap();
        assert_eq!((posts, executed), (1 + 2 + 3, 3 + 3 * 2 + 6 + 1));
        assert!(walk(&program.entries[0].1[..3], 0, &[], &[], &mut |_, _| ()).is_err());
        // The outer loop as one turn that stands for three.
        let mut posts = 0;
        let executed = walk(&program.entries[0].1, 0, &[], &[2], &mut |times, _| {
            posts += times
        });
        assert_eq!((posts, executed.unwrap()), (3, 3 + 3 * 2 + 3 + 1));
    }
}
