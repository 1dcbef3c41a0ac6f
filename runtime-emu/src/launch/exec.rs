//! Instruction by instruction: what each does. Memory effects are in [`crate::engines`].

use super::sems::{Tokens, Waiting};
use super::{ENGINES, Launch, State};
use crate::engines::{Effect, targets};
use crate::fault::FaultKind;
use crate::memory::Trap;
use llmc_isa::energy::MacClass;
use llmc_isa::inst::*;
use llmc_isa::{Execute, Reg};

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
            threads: run.req.threads,
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
        let (clocks, events, actor) = (&mut run.clocks, &mut run.events, self.actor);
        let (core, sem) = (self.core, i.sem.0);
        let who = Waiting {
            actor,
            n: u32::from(i.n),
        };
        let got = run.sems[core as usize][usize::from(sem)].ask(
            who,
            self.now,
            |stamp| clocks.join(actor, stamp),
            |at| events.look(at, core, sem),
        );
        Ok(if got { Flow::Next } else { Flow::Wait(i.sem.0) })
    }
    fn sem_post(&mut self, i: &SemPost) -> Done {
        self.check_sem(i.sem.0)?;
        let run = &mut *self.run;
        let targets = targets(i.scope, i.core, self.core, run.cores)?;
        let stamp = run.clocks.stamp(self.actor);
        let sent = self.now.max(run.engines[self.actor].done_at);
        let arrived = run.engines[self.actor].arrived_at;
        for target in targets {
            let way = (self.core * run.cores + target) as usize;
            let after_data = if target == self.core { 0 } else { arrived };
            let tokens = Tokens {
                at: (sent + run.ways.get(way).copied().unwrap_or(0)).max(after_data),
                n: u32::from(i.n),
                pc: self.pc,
                actor: self.actor,
                stamp: stamp.clone(),
            };
            let (events, sem) = (&mut run.events, i.sem.0);
            run.last_arrival = run.last_arrival.max(tokens.at);
            run.sems[target as usize][usize::from(sem)]
                .post(tokens, |at| events.look(at, target, sem));
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
    fn dma_scatter(&mut self, i: &DmaScatter) -> Done {
        self.effect(|e| e.dma_scatter(i))
    }
    fn mxu_mmq(&mut self, i: &MxuMmq) -> Done {
        let class = MacClass::of(i.a_type, i.b_type);
        if class.per_step(self.run.req.chip) == 0 {
            return Err(FaultKind::NoSuchProduct { class }.into());
        }
        self.effect(|e| e.mxu_mmq(i))
    }
    fn mxu_drain(&mut self, i: &MxuDrain) -> Done {
        self.effect(|e| e.mxu_drain(i))
    }
    fn vpu_int(&mut self, i: &VpuInt) -> Done {
        self.effect(|e| e.vpu_int(i))
    }
    fn vpu_select(&mut self, i: &VpuSelect) -> Done {
        self.effect(|e| e.vpu_select(i))
    }
    fn vpu_quant(&mut self, i: &VpuQuant) -> Done {
        self.effect(|e| e.vpu_quant(i))
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
    fn att_round(&mut self, i: &AttRound) -> Done {
        self.effect(|e| e.att_round(i))
    }
    fn att_fin(&mut self, i: &AttFin) -> Done {
        self.effect(|e| e.att_fin(i))
    }
}
