//! Instruction by instruction: what each does. Memory effects are in [`crate::engines`].

use super::sems::{Tokens, Waiting};
use super::{ENGINES, Launch, State};
use crate::engines::{Effect, targets};
use crate::fault::FaultKind;
use crate::memory::Trap;
use llmc_isa::inst::*;
use llmc_isa::{Execute, Reg, timing};

/// How to go on after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It has been executed.
    Next,
    /// It waits for a semaphore.
    Wait(u8),
}

/// One instruction about to be executed at cycle `now`.
pub(super) struct Step<'s, 'a> {
    pub(super) run: &'s mut Launch<'a>,
    pub(super) core: u32,
    /// The engine; meaningless for instructions of the controller.
    pub(super) actor: usize,
    pub(super) pc: u32,
    pub(super) now: u64,
}

type Done = Result<Flow, Trap>;

impl Step<'_, '_> {
    fn reg(&self, r: Reg) -> i64 {
        self.run.ctls[self.core as usize].regs.get(r)
    }

    /// Sets a register and moves on.
    fn set(&mut self, rd: Reg, value: i64) -> Done {
        let ctl = &mut self.run.ctls[self.core as usize];
        ctl.regs.set(rd, value);
        ctl.pc += 1;
        Ok(Flow::Next)
    }

    /// Runs a memory effect as a new instruction of the engine.
    fn effect(&mut self, f: impl FnOnce(&mut Effect<'_>) -> Result<(), Trap>) -> Done {
        let run = &mut *self.run;
        run.clocks.begin(self.actor, self.pc);
        let mut effect = Effect {
            memory: &mut *run.memory,
            who: run.clocks.access(self.actor),
            core: self.core,
            cores: run.cores,
            kernels: run.kernels,
            scratch: &mut *run.scratch,
        };
        f(&mut effect).map(|()| Flow::Next)
    }

    fn check_sem(&self, sem: u8) -> Result<(), Trap> {
        let count = self.run.req.chip.semaphores();
        if u32::from(sem) < count {
            Ok(())
        } else {
            Err(FaultKind::NoSuchSem { sem, count }.into())
        }
    }
}

impl Execute for Step<'_, '_> {
    type Output = Done;

    fn ctl_li(&mut self, i: &CtlLi) -> Done {
        self.set(i.rd, i.imm)
    }
    fn ctl_addi(&mut self, i: &CtlAddi) -> Done {
        self.set(i.rd, self.reg(i.ra).wrapping_add(i.imm))
    }
    fn ctl_madd(&mut self, i: &CtlMadd) -> Done {
        self.set(
            i.rd,
            self.reg(i.ra)
                .wrapping_mul(i.imm)
                .wrapping_add(self.reg(i.rb)),
        )
    }
    fn ctl_add(&mut self, i: &CtlAdd) -> Done {
        self.set(i.rd, self.reg(i.ra).wrapping_add(self.reg(i.rb)))
    }
    fn ctl_sub(&mut self, i: &CtlSub) -> Done {
        self.set(i.rd, self.reg(i.ra).wrapping_sub(self.reg(i.rb)))
    }
    fn ctl_mul(&mut self, i: &CtlMul) -> Done {
        self.set(i.rd, self.reg(i.ra).wrapping_mul(self.reg(i.rb)))
    }
    fn ctl_min(&mut self, i: &CtlMin) -> Done {
        self.set(i.rd, self.reg(i.ra).min(self.reg(i.rb)))
    }
    fn ctl_max(&mut self, i: &CtlMax) -> Done {
        self.set(i.rd, self.reg(i.ra).max(self.reg(i.rb)))
    }
    fn ctl_div(&mut self, i: &CtlDiv) -> Done {
        self.set(i.rd, self.reg(i.ra).checked_div_euclid(i.imm).unwrap_or(0))
    }
    fn ctl_mod(&mut self, i: &CtlMod) -> Done {
        self.set(i.rd, self.reg(i.ra).checked_rem_euclid(i.imm).unwrap_or(0))
    }
    fn ctl_launch(&mut self, i: &CtlLaunch) -> Done {
        let regs = self.run.req.regs;
        match regs.get(usize::from(i.index)) {
            Some(&value) => self.set(i.rd, value),
            None => Err(FaultKind::LaunchRegister {
                index: i.index,
                count: regs.len(),
            }
            .into()),
        }
    }
    fn ctl_core(&mut self, i: &CtlCore) -> Done {
        self.set(i.rd, i64::from(self.core))
    }
    fn ctl_loop(&mut self, i: &CtlLoop) -> Done {
        let len = self.run.req.code.len() as u64;
        let count = self.reg(i.count);
        self.run.ctls[self.core as usize].enter(count, i.body, len)?;
        Ok(Flow::Next)
    }
    fn ctl_halt(&mut self, _: &CtlHalt) -> Done {
        self.run.ctls[self.core as usize].halted = true;
        Ok(Flow::Next)
    }

    fn sem_wait(&mut self, i: &SemWait) -> Done {
        self.check_sem(i.sem.0)?;
        if self.run.engines[self.actor].state == State::Granted {
            return Ok(Flow::Next);
        }
        let run = &mut *self.run;
        let (clocks, actor) = (&mut run.clocks, self.actor);
        let sem = &mut run.sems[self.core as usize][usize::from(i.sem.0)];
        let got = sem.ask(
            Waiting {
                actor,
                n: u32::from(i.n),
            },
            |stamp| clocks.join(actor, stamp),
        );
        Ok(if got { Flow::Next } else { Flow::Wait(i.sem.0) })
    }
    fn sem_post(&mut self, i: &SemPost) -> Done {
        self.check_sem(i.sem.0)?;
        let run = &mut *self.run;
        let targets = targets(i.scope, i.core, self.core, run.cores)?;
        let stamp = run.clocks.stamp(self.actor);
        let sent = self.now.max(run.engines[self.actor].done_at);
        for target in targets {
            let way = match run.req.timed && target != self.core {
                true => timing::noc_latency(self.core, target, run.req.chip),
                false => 0,
            };
            let tokens = Tokens {
                n: u32::from(i.n),
                stamp: stamp.clone(),
                actor: self.actor,
                pc: self.pc,
            };
            run.events.arrive(sent + way, target, i.sem.0, tokens);
        }
        debug_assert!(self.actor / ENGINES == self.core as usize);
        Ok(Flow::Next)
    }

    fn dma_load(&mut self, i: &DmaLoad) -> Done {
        self.effect(|e| e.dma_load(i))
    }
    fn dma_store(&mut self, i: &DmaStore) -> Done {
        self.effect(|e| e.dma_store(i))
    }
    fn dma_push(&mut self, i: &DmaPush) -> Done {
        self.effect(|e| e.dma_push(i))
    }
    fn dma_gather(&mut self, i: &DmaGather) -> Done {
        self.effect(|e| e.dma_gather(i))
    }
    fn mxu_mm(&mut self, i: &MxuMm) -> Done {
        self.effect(|e| e.mxu_mm(i))
    }
    fn vpu_unary(&mut self, i: &VpuUnary) -> Done {
        self.effect(|e| e.vpu_unary(i))
    }
    fn vpu_binary(&mut self, i: &VpuBinary) -> Done {
        self.effect(|e| e.vpu_binary(i))
    }
    fn vpu_fill(&mut self, i: &VpuFill) -> Done {
        self.effect(|e| e.vpu_fill(i))
    }
    fn vpu_reduce(&mut self, i: &VpuReduce) -> Done {
        self.effect(|e| e.vpu_reduce(i))
    }
    fn att_init(&mut self, i: &AttInit) -> Done {
        self.effect(|e| e.att_init(i))
    }
    fn att_step(&mut self, i: &AttStep) -> Done {
        self.effect(|e| e.att_step(i))
    }
    fn att_fin(&mut self, i: &AttFin) -> Done {
        self.effect(|e| e.att_fin(i))
    }
}
