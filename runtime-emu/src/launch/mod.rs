//! One launch: every core runs the entry from its first instruction until all have halted and all queues are empty.
//!
//! # Time
//! The simulation is event driven: an event is an engine that goes on with its queue, or tokens that arrive at a
//! semaphore. Each instruction costs O(1) however many cycles it takes. At equal times, arrivals come before engines, and
//! engines go by core and queue.
//!
//! * A controller spends one cycle per instruction, dispatching included. It runs ahead of the events until a queue is
//!   full; an instruction leaves its queue when it starts.
//! * An engine starts an instruction when it was dispatched and the one before it has left the engine. It is occupied for
//!   `Cost::busy` cycles, for a transfer from or to DRAM also until the DRAM has served it. Results are visible
//!   `Cost::latency` cycles later.
//! * Each channel of the DRAM serves transfers one at a time in the order they start, in fractions of a cycle.
//! * A post takes effect when all earlier instructions of its queue have completed (for a push: when the data have left),
//!   plus the way to the receiving core, which is the way that pushed data take.
//!
//! Memory is changed when an instruction starts. Programs without races cannot tell.

mod clocks;
mod ctl;
mod events;
mod exec;
mod sems;
mod stuck;

use crate::engines::Scratch;
use crate::fault::{Fault, FaultKind, Leftover, Origin, Site, Space, Unit};
use crate::kernels::Kernels;
use crate::memory::{Conflict, Epoch, Memory, Trap};
use crate::stats::{CoreStats, LaunchStats};
use crate::threads::Threads;
use clocks::Clocks;
use ctl::Ctl;
use events::{Events, What};
use exec::{Flow, Step};
use llmc_isa::container::{DebugMap, IoTensor, Manifest};
use llmc_isa::timing::{self, Cost};
use llmc_isa::{Chip, Execute, Inst, Queue, Scope, asm};
use sems::Semaphore;
use std::collections::VecDeque;

/// Engines of a core.
const ENGINES: usize = Queue::ALL.len();

/// What is launched, and how.
pub(crate) struct Request<'a> {
    /// Name of the entry.
    pub(crate) entry: &'a str,
    /// Its instructions.
    pub(crate) code: &'a [Inst],
    /// Index of its first instruction in the binary.
    pub(crate) code_offset: usize,
    /// Where instructions come from.
    pub(crate) debug: &'a DebugMap,
    /// What the program says of its tensors.
    pub(crate) manifest: &'a Manifest,
    /// Launch registers.
    pub(crate) regs: &'a [i64],
    pub(crate) chip: &'a Chip,
    /// Keep time.
    pub(crate) timed: bool,
    /// Look for races.
    pub(crate) races: bool,
    /// Stop after this many instructions.
    pub(crate) max_instructions: u64,
    /// Threads of the host.
    pub(crate) threads: &'a Threads,
}

/// A resolved instruction in a queue.
struct Queued {
    inst: Inst,
    pc: u32,
    /// Cycle of its dispatch.
    at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing in the queue.
    Idle,
    /// An event will continue it.
    Scheduled,
    /// The head of the queue waits for a semaphore since a cycle.
    Waiting(u8, u64),
    /// The tokens the head waited for have been taken.
    Granted,
}

struct Engine {
    queue: VecDeque<Queued>,
    state: State,
    /// Cycle at which the next instruction can start.
    free_at: u64,
    /// Cycle at which all instructions so far have completed.
    done_at: u64,
    /// Cycle at which all data sent so far have arrived.
    arrived_at: u64,
}

/// A trap with the instruction it belongs to.
struct Stop {
    kind: FaultKind,
    site: Option<Site>,
    cycle: u64,
}

/// A launch under way.
pub(crate) struct Launch<'a> {
    req: Request<'a>,
    memory: &'a mut Memory,
    scratch: &'a mut Scratch,
    kernels: &'static Kernels,
    cores: u32,
    queue_depth: usize,
    /// Cycles of a controller instruction.
    ctl_cycles: u64,
    ctls: Vec<Ctl>,
    /// By core and queue.
    engines: Vec<Engine>,
    /// By core and number.
    sems: Vec<Vec<Semaphore>>,
    clocks: Clocks,
    events: Events,
    /// Cycle at which the last tokens arrive.
    last_arrival: u64,
    /// Cycles from each core to each other.
    ways: Vec<u64>,
    dram: timing::Dram,
    noc: timing::Noc,
    stats: LaunchStats,
}

/// The queue of an actor.
fn queue_of(actor: usize) -> Queue {
    Queue::ALL[actor % ENGINES]
}

/// The core of an actor.
fn core_of(actor: usize) -> u32 {
    (actor / ENGINES) as u32
}

/// Cycles that a token takes from each core to each other; empty if time is not kept.
fn ways(req: &Request<'_>) -> Vec<u64> {
    let cores = if req.timed { req.chip.cores() } else { 0 };
    let from = |a| (0..cores).map(move |b| (a, b));
    let way = |(a, b)| match a == b {
        true => 0,
        false => timing::noc_latency(a, b, req.chip),
    };
    (0..cores).flat_map(from).map(way).collect()
}

impl<'a> Launch<'a> {
    /// Runs the entry to its end.
    pub(crate) fn run(
        req: Request<'a>,
        memory: &'a mut Memory,
        scratch: &'a mut Scratch,
    ) -> Result<LaunchStats, Box<Fault>> {
        let cores = req.chip.cores();
        let n = cores as usize;
        memory.begin_launch();
        let engine = || Engine {
            queue: VecDeque::new(),
            state: State::Idle,
            free_at: 0,
            done_at: 0,
            arrived_at: 0,
        };
        let mut launch = Launch {
            memory,
            scratch,
            kernels: Kernels::get(),
            cores,
            queue_depth: (req.chip.queue_depth() as usize).max(1),
            ctl_cycles: req.chip.ctl_issue_cycles(),
            ctls: vec![Ctl::default(); n],
            engines: std::iter::repeat_with(engine).take(n * ENGINES).collect(),
            sems: vec![vec![Semaphore::default(); req.chip.semaphores() as usize]; n],
            clocks: Clocks::new(n * ENGINES, req.races),
            events: Events::default(),
            last_arrival: 0,
            ways: ways(&req),
            dram: timing::Dram::new(req.chip),
            noc: timing::Noc::new(req.chip),
            stats: LaunchStats {
                cores: vec![CoreStats::default(); n],
                ..LaunchStats::default()
            },
            req,
        };
        match launch.all() {
            Ok(()) => Ok(launch.stats),
            Err(stop) => {
                let entry = launch.req.entry.to_string();
                let pc = stop.site.as_ref().map_or(0, |site| site.pc);
                let place = stop.kind.place();
                let buffer = place.and_then(|(space, at)| launch.buffer(space, at, pc));
                Err(Box::new(Fault {
                    kind: stop.kind,
                    site: stop.site,
                    entry,
                    cycle: stop.cycle,
                    buffer,
                }))
            }
        }
    }

    fn all(&mut self) -> Result<(), Box<Stop>> {
        for core in 0..self.cores {
            self.run_ctl(core)?;
        }
        let mut last = 0;
        while let Some((now, what)) = self.events.next() {
            last = now.max(last);
            match what {
                What::Look { core, sem } => self.look(now, core, sem)?,
                What::Go { actor } => self.run_engine(now, actor)?,
            }
        }
        let ends = self
            .engines
            .iter()
            .map(|e| e.done_at)
            .chain(self.ctls.iter().map(|c| c.time));
        self.stats.cycles = ends.fold(last.max(self.last_arrival), u64::max);
        self.stats.dram_busy = self.dram.busy();
        self.finish()
    }

    /// Nothing happens any more: everybody must be done and every semaphore 0.
    fn finish(&mut self) -> Result<(), Box<Stop>> {
        let waiters = self.waiters();
        let cycle = self.stats.cycles;
        if !waiters.is_empty() {
            return Err(Box::new(Stop {
                kind: FaultKind::Deadlock(waiters),
                site: None,
                cycle,
            }));
        }
        let mut left = Vec::new();
        for (core, sems) in (0..).zip(&self.sems) {
            for (sem, s) in (0..).zip(sems) {
                if let Some(tokens) = s.oldest() {
                    let unit = Unit::Engine(queue_of(tokens.actor));
                    let posted = self.site(core_of(tokens.actor), unit, tokens.pc, None);
                    left.push(Leftover {
                        core,
                        sem,
                        tokens: s.value() as u32,
                        posted,
                    });
                }
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(Box::new(Stop {
                kind: FaultKind::Leftover(left),
                site: None,
                cycle,
            }))
        }
    }

    /// Lets the controller of `core` run until it halts or a queue is full.
    fn run_ctl(&mut self, core: u32) -> Result<(), Box<Stop>> {
        let c = core as usize;
        let len = self.req.code.len() as u64;
        let code = self.req.code;
        while !self.ctls[c].halted {
            let pc = match self.ctls[c].fetch(len) {
                Ok(pc) => pc,
                Err(kind) => {
                    return Err(self.stop(
                        kind.into(),
                        core,
                        Unit::Ctl,
                        len as u32,
                        None,
                        self.ctls[c].time,
                    ));
                }
            };
            let inst = &code[pc as usize];
            let pc = pc as u32;
            match inst.queue() {
                None => {
                    let now = self.ctls[c].time;
                    let mut step = Step {
                        run: self,
                        core,
                        actor: usize::MAX,
                        pc,
                        now,
                    };
                    if let Err(trap) = step.execute(inst) {
                        return Err(self.stop(trap, core, Unit::Ctl, pc, None, now));
                    }
                }
                Some(queue) => {
                    let actor = c * ENGINES + queue as usize;
                    if self.engines[actor].queue.len() >= self.queue_depth {
                        self.ctls[c].blocked = Some(queue);
                        return Ok(());
                    }
                    let ctl = &mut self.ctls[c];
                    let inst = match inst.resolve(&ctl.regs) {
                        Ok(inst) => inst,
                        Err(e) => {
                            let (kind, now) = (FaultKind::BadOperand(e.to_string()), ctl.time);
                            return Err(self.stop(kind.into(), core, Unit::Ctl, pc, None, now));
                        }
                    };
                    ctl.pc += 1;
                    let engine = &mut self.engines[actor];
                    engine.queue.push_back(Queued {
                        inst,
                        pc,
                        at: ctl.time,
                    });
                    if engine.state == State::Idle {
                        engine.state = State::Scheduled;
                        self.events.go(ctl.time.max(engine.free_at), actor);
                    }
                }
            }
            if self.req.timed {
                self.ctls[c].time += self.ctl_cycles;
            }
            self.stats.cores[c].ctl_instructions += 1;
            self.stats.instructions += 1;
            if self.stats.instructions > self.req.max_instructions {
                let kind = FaultKind::Runaway {
                    limit: self.req.max_instructions,
                };
                let now = self.ctls[c].time;
                return Err(self.stop(kind.into(), core, Unit::Ctl, pc, None, now));
            }
        }
        Ok(())
    }

    /// Lets an engine go on from `now` until it waits, its queue is empty, or something else happens first.
    fn run_engine(&mut self, mut now: u64, actor: usize) -> Result<(), Box<Stop>> {
        let core = core_of(actor);
        loop {
            let Some(head) = self.engines[actor].queue.front() else {
                self.engines[actor].state = State::Idle;
                return Ok(());
            };
            let (inst, pc) = (head.inst, head.pc);
            let mut step = Step {
                run: self,
                core,
                actor,
                pc,
                now,
            };
            match step.execute(&inst) {
                Ok(Flow::Next) => {}
                Ok(Flow::Wait(sem)) => {
                    self.engines[actor].state = State::Waiting(sem, now);
                    return Ok(());
                }
                Err(trap) => {
                    return Err(self.stop(
                        trap,
                        core,
                        Unit::Engine(queue_of(actor)),
                        pc,
                        Some(&inst),
                        now,
                    ));
                }
            }
            self.account(now, actor, &inst);
            let engine = &mut self.engines[actor];
            engine.queue.pop_front();
            engine.state = State::Scheduled;
            let ctl = &mut self.ctls[core as usize];
            if ctl.blocked == Some(queue_of(actor)) {
                ctl.blocked = None;
                self.stats.cores[core as usize].ctl_stall += now.saturating_sub(ctl.time);
                ctl.time = ctl.time.max(now);
                self.run_ctl(core)?;
            }
            let engine = &mut self.engines[actor];
            let Some(next) = engine.queue.front() else {
                engine.state = State::Idle;
                return Ok(());
            };
            let start = next.at.max(engine.free_at);
            if !self.events.is_next(start, actor) {
                self.events.go(start, actor);
                return Ok(());
            }
            now = start;
        }
    }

    /// Charges an instruction that started at `now`.
    fn account(&mut self, now: u64, actor: usize, inst: &Inst) {
        let core = core_of(actor);
        let queue = actor % ENGINES;
        let stats = &mut self.stats.cores[core as usize].engines[queue];
        stats.instructions += 1;
        if !self.req.timed {
            return;
        }
        let cost: Cost = timing::cost(inst, self.req.chip);
        let mut free_at = now + cost.busy;
        if cost.dram_bytes > 0 {
            free_at = free_at.max(self.dram.serve(now, inst));
        }
        if let (Inst::DmaPush(i), true) = (inst, cost.noc_bytes > 0) {
            // The data leave when the engine has been set up.
            let ready = now + self.req.chip.dma_setup_cycles();
            let sent = match i.scope {
                Scope::Local => None,
                Scope::All => Some(self.noc.multicast(ready, core, cost.noc_bytes)),
                Scope::Core => {
                    let to = i.core.off.unsigned_abs();
                    Some(self.noc.send(ready, core, to, cost.noc_bytes))
                }
            };
            if let Some(sent) = sent {
                free_at = free_at.max(sent.left);
                let engine = &mut self.engines[actor];
                engine.arrived_at = engine.arrived_at.max(sent.arrived);
                self.last_arrival = self.last_arrival.max(sent.arrived);
            }
        }
        stats.busy += free_at - now;
        self.stats.totals.charge(&cost, self.links(core, inst));
        let engine = &mut self.engines[actor];
        engine.free_at = free_at;
        if !matches!(inst, Inst::SemPost(_) | Inst::SemWait(_)) {
            engine.done_at = engine.done_at.max(free_at + cost.latency);
        }
    }

    /// Mesh links that the data of an instruction cross.
    fn links(&self, core: u32, inst: &Inst) -> u64 {
        match inst {
            Inst::DmaPush(i) => match i.scope {
                Scope::Local => 0,
                Scope::All => u64::from(self.cores.saturating_sub(1)),
                Scope::Core => timing::hops(core, i.core.off.unsigned_abs(), self.req.chip),
            },
            _ => 0,
        }
    }

    /// Tokens have arrived; engines in line get theirs.
    fn look(&mut self, now: u64, core: u32, sem: u8) -> Result<(), Box<Stop>> {
        let Some(s) = self.sems[core as usize].get_mut(usize::from(sem)) else {
            return Ok(());
        };
        if let Some((value, tokens)) = s.overflow(now) {
            let value = value as u32;
            let kind = FaultKind::SemOverflow { core, sem, value };
            let (poster, pc) = (tokens.actor, tokens.pc);
            let unit = Unit::Engine(queue_of(poster));
            return Err(self.stop(kind.into(), core_of(poster), unit, pc, None, now));
        }
        let (events, clocks) = (&mut self.events, &mut self.clocks);
        while let Some(actor) = s.grant(
            now,
            |actor, stamp| clocks.join(actor, stamp),
            |at| events.look(at, core, sem),
        ) {
            let engine = &mut self.engines[actor];
            if let State::Waiting(_, since) = engine.state {
                self.stats.cores[core as usize].engines[actor % ENGINES].waiting += now - since;
            }
            engine.state = State::Granted;
            events.go(now, actor);
        }
        Ok(())
    }

    /// The instruction of an earlier access.
    fn earlier(&self, epoch: Epoch) -> Site {
        let actor = epoch.actor as usize;
        let pc = self.clocks.pc(epoch).unwrap_or_default();
        self.site(core_of(actor), Unit::Engine(queue_of(actor)), pc, None)
    }

    /// A trap becomes a fault: the earlier access of a race is looked up.
    #[cold]
    fn stop(
        &mut self,
        trap: Trap,
        core: u32,
        unit: Unit,
        pc: u32,
        inst: Option<&Inst>,
        cycle: u64,
    ) -> Box<Stop> {
        let kind = match trap {
            Trap::Fault(kind) => kind,
            Trap::Conflict {
                operand,
                space,
                range,
                conflict: Conflict::Uninit { at },
                ..
            } => {
                let neighbour = self.memory.neighbour(space, range, at);
                FaultKind::Uninit {
                    operand,
                    space,
                    range,
                    at,
                    neighbour: neighbour
                        .map(|(from, to, by)| (from, to, Box::new(self.earlier(by)))),
                }
            }
            Trap::Conflict {
                operand,
                space,
                writes,
                conflict:
                    Conflict::Race {
                        at,
                        len,
                        earlier,
                        earlier_writes,
                    },
                ..
            } => {
                let earlier = Box::new(self.earlier(earlier));
                FaultKind::Race {
                    operand,
                    space,
                    at,
                    len,
                    writes,
                    earlier_writes,
                    earlier,
                }
            }
        };
        Box::new(Stop {
            kind,
            site: Some(self.site(core, unit, pc, inst)),
            cycle,
        })
    }

    /// The buffer at a byte of a memory, if the debug map or the manifest names one.
    fn buffer(&self, space: Space, at: u64, pc: u32) -> Option<String> {
        let sram = matches!(space, Space::Sram(_));
        let index = self.req.code_offset as u64 + u64::from(pc);
        if let Some(buffer) = self.req.debug.buffer(sram, at, index) {
            let offset = at - buffer.addr;
            let (page, byte) = match offset.checked_div(buffer.page) {
                Some(page) => (format!(", page {page}"), offset % buffer.page),
                None => (String::new(), offset),
            };
            return Some(format!("{}{page}, byte {byte:#x}", buffer.name));
        }
        if sram {
            return None;
        }
        let manifest = self.req.manifest;
        let entry = manifest.entry(self.req.entry);
        let io = |what: &'static str, all: &'a [IoTensor]| {
            all.iter()
                .map(move |t| (what, t.name.as_str(), t.dram_addr, t.bytes))
        };
        let weights = [(
            "the weights",
            "",
            manifest.weights.dram_addr,
            manifest.weights.bytes,
        )];
        let states = manifest
            .states
            .iter()
            .map(|s| ("state", s.name.as_str(), s.dram_addr, s.bytes));
        let inputs = entry.into_iter().flat_map(|e| io("input", &e.inputs));
        let outputs = entry.into_iter().flat_map(|e| io("output", &e.outputs));
        let mut all = weights
            .into_iter()
            .chain(states)
            .chain(inputs)
            .chain(outputs);
        let (what, name, base, _) =
            all.find(|&(_, _, base, bytes)| at >= base && at - base < bytes)?;
        let name = if name.is_empty() {
            String::new()
        } else {
            format!(" `{name}`")
        };
        Some(format!("{what}{name}, byte {:#x}", at - base))
    }

    /// Describes the instruction at `pc`: as resolved, or as it stands in the program.
    fn site(&self, core: u32, unit: Unit, pc: u32, inst: Option<&Inst>) -> Site {
        let inst = inst.or_else(|| self.req.code.get(pc as usize));
        let text = inst.map_or_else(|| "the end of the code".to_string(), asm::print_inst);
        let op = self.req.debug.op(self.req.code_offset + pc as usize);
        let origin = op.map_or_else(Origin::default, |op| Origin {
            tile_op: op.tile_op.clone(),
            graph_node: op.graph_node.clone(),
            onnx_nodes: op.onnx.clone(),
        });
        Site {
            core,
            unit,
            pc,
            text,
            origin,
        }
    }
}
