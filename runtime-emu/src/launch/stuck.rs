//! Who waits for whom when nothing happens any more.

use super::{ENGINES, Launch, State, core_of, queue_of};
use crate::fault::{Unit, Waiter};
use crate::launch::sems::Semaphore;
use llmc_isa::{Inst, Queue, Reg, Scope};

/// Someone who cannot go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stuck {
    /// The controller of a core: a queue is full.
    Ctl(u32, Queue),
    /// An engine: a semaphore of its core has not enough tokens.
    Engine(usize, u8),
}

impl Launch<'_> {
    /// All who wait, controllers first.
    pub(super) fn waiters(&self) -> Vec<Waiter> {
        let ctls = (0..)
            .zip(&self.ctls)
            .filter_map(|(core, ctl)| ctl.blocked.map(|queue| Stuck::Ctl(core, queue)));
        let engines = self.engines.iter().enumerate();
        let engines = engines.filter_map(|(actor, engine)| match engine.state {
            State::Waiting(sem, _) => Some(Stuck::Engine(actor, sem)),
            _ => None,
        });
        let all: Vec<Stuck> = ctls.chain(engines).collect();
        all.iter().map(|&who| self.waiter(who, &all)).collect()
    }

    fn waiter(&self, who: Stuck, all: &[Stuck]) -> Waiter {
        match who {
            Stuck::Ctl(core, queue) => {
                let full = core as usize * ENGINES + queue as usize;
                let pc = self.ctls[core as usize].pc as u32;
                Waiter {
                    site: self.site(core, Unit::Ctl, pc, None),
                    reason: format!("the queue of {} is full", queue.name()),
                    waker: all
                        .iter()
                        .position(|w| matches!(w, Stuck::Engine(a, _) if *a == full)),
                }
            }
            Stuck::Engine(actor, sem) => {
                let core = core_of(actor);
                let engine = &self.engines[actor];
                let head = engine.queue.front();
                let (pc, n) = head.map_or((0, 0), |head| match &head.inst {
                    Inst::SemWait(wait) => (head.pc, wait.n),
                    _ => (head.pc, 0),
                });
                let since = match engine.state {
                    State::Waiting(_, since) => since,
                    _ => 0,
                };
                let semaphore = self.sems[core as usize].get(usize::from(sem));
                let value = semaphore.map_or(0, Semaphore::value);
                let mut reason = format!(
                    "semaphore {sem} of core {core} holds {value} of {n} since cycle {since}; "
                );
                let describe =
                    |core: u32, unit: Unit, pc: u32| format!("core {core} {unit} pc {pc}");
                let waker = self.waker(core, sem, all);
                reason += &match (waker, semaphore.and_then(Semaphore::last)) {
                    (Some((_, core, queue, pc)), _) => {
                        let poster = describe(core, Unit::Engine(queue), pc);
                        format!("to be posted by {poster}")
                    }
                    (None, Some((poster, pc))) => {
                        let unit = Unit::Engine(queue_of(poster));
                        let poster = describe(core_of(poster), unit, pc);
                        format!("no post is left, the last was {poster}")
                    }
                    (None, None) => "nobody posts it".to_string(),
                };
                let unit = Unit::Engine(queue_of(actor));
                Waiter {
                    site: self.site(core, unit, pc, head.map(|head| &head.inst)),
                    reason,
                    waker: waker.map(|(index, ..)| index),
                }
            }
        }
    }

    /// The first of those who wait that has a post to semaphore `sem` of core `core` still before it: its index, and core,
    /// queue and pc of the post.
    fn waker(&self, core: u32, sem: u8, all: &[Stuck]) -> Option<(usize, u32, Queue, u32)> {
        // In queues, where operands are resolved, ...
        for (index, &who) in all.iter().enumerate() {
            let Stuck::Engine(actor, _) = who else {
                continue;
            };
            let from = core_of(actor);
            let queued = self.engines[actor].queue.iter();
            if let Some(post) = queued.clone().find(|q| posts(&q.inst, from, core, sem)) {
                return Some((index, from, queue_of(actor), post.pc));
            }
        }
        // ... and in the code that controllers have not reached, or will reach again.
        for (index, &who) in all.iter().enumerate() {
            let Stuck::Ctl(from, _) = who else {
                continue;
            };
            let ctl = &self.ctls[from as usize];
            let (pc, len) = (ctl.pc as usize, self.req.code.len());
            for at in (pc..len).chain(ctl.outermost() as usize..pc) {
                let Some(inst) = self.req.code.get(at) else {
                    continue;
                };
                if posts(inst, from, core, sem) {
                    let queue = inst.queue().unwrap_or(Queue::Dma0);
                    return Some((index, from, queue, at as u32));
                }
            }
        }
        None
    }
}

/// True if `inst`, executed by core `from`, posts to semaphore `sem` of core `core`, as far as can be told.
fn posts(inst: &Inst, from: u32, core: u32, sem: u8) -> bool {
    match inst {
        Inst::SemPost(post) if post.sem.0 == sem => match post.scope {
            Scope::Local => from == core,
            Scope::All => true,
            Scope::Core => {
                post.core.base != Reg::ZERO || i64::from(post.core.off) == i64::from(core)
            }
        },
        _ => false,
    }
}
