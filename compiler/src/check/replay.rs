//! Runs a flattened program on all cores for one sample launch, with vector clocks instead of values.

use super::code::{Code, Home, Step, Touch};
use super::error::{Bytes, CheckError, OpRef};
use super::shadow::{Conflict, Finding, Moment, Shadow};
use crate::tile::{Expr, Extent, Scope, VarId};
use llmc_isa::Queue;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

const ENGINES: u32 = Queue::ALL.len() as u32;

/// Largest value of a semaphore.
const SEM_MAX: u64 = 65535;

/// One sample launch.
pub struct Sample<'a> {
    /// Values of the launch registers.
    pub launch: &'a [i64],
    /// The same for messages: `tokens = 1, past = 0`.
    pub text: String,
    /// Turns of a loop that are run at most: the first ones and the last one.
    pub turns: u64,
    /// The same for loops whose turns are alike.
    pub alike: u64,
    /// Cores whose SRAM is watched byte by byte.
    pub watched: &'a [u32],
}

/// The tokens of one post.
struct Token {
    n: u32,
    group: u64,
    clocks: Rc<[u32]>,
}

/// Posts come in groups: each post of a group knows of all posts of the group before, but those of one group may arrive in any
/// order. So a wait that takes from a group of several posts has to take all of it.
#[derive(Default)]
struct Semaphore {
    value: u64,
    tokens: VecDeque<Token>,
    /// Number of the latest group.
    group: u64,
    /// The posts of the latest group and of the one before: thread and clock.
    posts: [Vec<(u32, u32)>; 2],
    /// Whether tokens of the latest group have been taken.
    opened: bool,
}

struct Turn {
    start: usize,
    turn: u64,
    turns: u64,
    trip: i64,
    /// If turns are left out: what each region has touched so far, by action and touch number.
    reach: Option<BTreeMap<(usize, usize), (u64, u64)>>,
    /// Whether turns are left out because they are like the first.
    alike: bool,
}

impl Turn {
    /// Whether turns that are left out are like this one.
    fn stands_for_others(&self) -> bool {
        self.alike && self.turn == 0
    }
}

struct Core {
    pc: usize,
    vars: Vec<i64>,
    turns: Vec<Turn>,
    /// Byte offset of the current page of each ring.
    rings: Vec<u64>,
    sems: BTreeMap<u8, Semaphore>,
    watched: Option<usize>,
}

struct View<'a> {
    core: u32,
    launch: &'a [i64],
    vars: &'a [i64],
}

impl Scope for View<'_> {
    fn core(&self) -> i64 {
        i64::from(self.core)
    }
    fn launch(&self, index: u16) -> i64 {
        self.launch.get(usize::from(index)).copied().unwrap_or(0)
    }
    fn var(&self, var: VarId) -> i64 {
        self.vars.get(var.0 as usize).copied().unwrap_or(0)
    }
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Replayed {
    /// Steps run, all cores together.
    pub steps: u64,
    /// Whether a loop was cut short.
    pub cut: bool,
}

struct Replay<'a> {
    code: &'a Code<'a>,
    sample: &'a Sample<'a>,
    cores: Vec<Core>,
    /// Clocks of each thread: what it knows of all threads.
    clocks: Vec<Rc<[u32]>>,
    sram: Vec<Shadow>,
    dram: Shadow,
    /// Tokens posted less tokens taken in turns that stand for others, by loop, core and semaphore.
    change: BTreeMap<(usize, usize, u8), i64>,
    errors: Vec<CheckError>,
    limit: usize,
    done: Replayed,
}

/// Runs the sample. Finds at most `limit` errors, and reports each pair of ops once.
pub fn replay(code: &Code<'_>, sample: &Sample<'_>, limit: usize) -> (Replayed, Vec<CheckError>) {
    let cores = code.program.cores;
    let threads = (cores * ENGINES) as usize;
    let fresh = |core: u32| Core {
        pc: 0,
        vars: vec![0; code.program.vars.len()],
        turns: Vec::new(),
        rings: vec![0; code.program.rings.len()],
        sems: BTreeMap::new(),
        watched: sample.watched.iter().position(|w| *w == core),
    };
    // Every thread starts at clock 1 and knows nothing of the others.
    let own = |thread: usize| {
        (0..threads)
            .map(|t| u32::from(t == thread))
            .collect::<Rc<[u32]>>()
    };
    let mut replay = Replay {
        code,
        sample,
        cores: (0..cores).map(fresh).collect(),
        clocks: (0..threads).map(own).collect(),
        sram: vec![Shadow::default(); sample.watched.len()],
        dram: Shadow::default(),
        change: BTreeMap::new(),
        errors: Vec::new(),
        limit,
        done: Replayed::default(),
    };
    replay.run();
    (replay.done, replay.errors)
}

impl Replay<'_> {
    fn run(&mut self) {
        loop {
            let mut moved = false;
            for core in 0..self.cores.len() {
                while self.errors.len() < self.limit && self.step(core) {
                    moved = true;
                }
            }
            let running = self.cores.iter().any(|c| c.pc < self.code.steps.len());
            if self.errors.len() >= self.limit || !running {
                break;
            }
            if !moved {
                return self.deadlock();
            }
        }
        if self.errors.is_empty() {
            self.leftover();
        }
        if self.errors.is_empty() {
            self.unbalanced();
        }
    }

    /// Runs one step of a core; false if it has to wait or has halted.
    fn step(&mut self, core: usize) -> bool {
        let code = self.code;
        let Some(step) = code.steps.get(self.cores[core].pc) else {
            return false;
        };
        match step {
            Step::Enter {
                var,
                trip,
                max_trip,
                alike,
                end,
            } => {
                self.enter(core, (*var, *end), trip, *max_trip, *alike);
            }
            Step::Again { start } => self.again(core, *start),
            Step::Let { var, value } => {
                let value = self.value(core, value);
                set(&mut self.cores[core].vars, *var, value);
            }
            Step::Op(action) => self.op(core, *action),
            Step::Wait { queue, sem, n } => {
                if !self.wait(core, *queue, *sem, *n) {
                    return false;
                }
            }
            Step::Post {
                queue,
                sem,
                n,
                all_cores,
            } => self.post(core, *queue, *sem, *n, *all_cores),
            Step::Advance(ring) => {
                if let (Some(r), Some(at)) = (
                    code.program.rings.get(*ring),
                    self.cores[core].rings.get_mut(*ring),
                ) {
                    *at += r.page;
                    if *at >= r.page * u64::from(r.slots) {
                        *at = 0;
                    }
                }
            }
        }
        self.cores[core].pc += 1;
        self.done.steps += 1;
        true
    }

    fn view(&self, core: usize) -> View<'_> {
        View {
            core: core as u32,
            launch: self.sample.launch,
            vars: &self.cores[core].vars,
        }
    }

    fn value(&self, core: usize, expr: &Expr) -> i64 {
        expr.eval(&self.view(core))
    }

    fn extent(&self, core: usize, extent: &Extent) -> u64 {
        u64::from(extent.effective(|e| self.value(core, e)))
    }

    /// Begins a loop that ends at step `end`.
    fn enter(
        &mut self,
        core: usize,
        (var, end): (usize, usize),
        trip: &Expr,
        max_trip: u64,
        alike: bool,
    ) {
        let trip = self.value(core, trip);
        let wanted = trip.max(0) as u64;
        if wanted > max_trip {
            let problem =
                format!("a loop of core {core} runs {trip} times, its bound is {max_trip}");
            self.errors.push(CheckError::Bound {
                problem,
                launch: self.sample.text.clone(),
            });
        }
        let turns = wanted.min(match alike {
            true => self.sample.alike,
            false => self.sample.turns,
        });
        let c = &mut self.cores[core];
        if turns == 0 {
            c.pc = end;
            return;
        }
        let cut = turns < wanted;
        self.done.cut |= cut;
        set(&mut c.vars, var, 0);
        c.turns.push(Turn {
            start: c.pc,
            turn: 0,
            turns,
            trip,
            reach: cut.then(BTreeMap::new),
            alike: cut && alike,
        });
    }

    fn again(&mut self, core: usize, start: usize) {
        let Some(Step::Enter { var, .. }) = self.code.steps.get(start) else {
            return;
        };
        let c = &mut self.cores[core];
        let Some(turn) = c.turns.last_mut().filter(|t| t.start == start) else {
            return;
        };
        turn.turn += 1;
        if turn.turn < turn.turns {
            // A loop that is cut short ends with its real last turn.
            let last = turn.turn + 1 == turn.turns && turn.reach.is_some();
            let value = if last {
                turn.trip - 1
            } else {
                turn.turn as i64
            };
            set(&mut c.vars, *var, value);
            c.pc = start;
            return;
        }
        let reach = c.turns.pop().and_then(|t| t.reach);
        if let (Some(reach), Some(watched)) = (reach, c.watched) {
            for ((action, touch), (from, to)) in reach {
                let place = self.code.actions[action].touches[touch].place;
                self.sram[watched].assume(from, to, place);
            }
        }
    }

    fn op(&mut self, core: usize, index: usize) {
        let code = self.code;
        let action = &code.actions[index];
        let watched = self.cores[core].watched;
        let matters = |t: &Touch| match t.home {
            Home::Sram => watched.is_some() || t.everywhere,
            Home::Dram => true,
            Home::Constant => watched.is_some(),
        };
        if !action.touches.iter().any(matters)
            || action.guards.iter().any(|g| self.extent(core, g) == 0)
        {
            return;
        }
        let thread = core as u32 * ENGINES + action.op.queue as u32;
        let clocks = Rc::clone(&self.clocks[thread as usize]);
        let now = Moment {
            thread,
            clock: clocks[thread as usize],
            op: index as u32,
        };
        for (number, touch) in action
            .touches
            .iter()
            .enumerate()
            .filter(|(_, t)| matters(t))
        {
            let Some((base, runs)) = self.runs(core, index, touch) else {
                return;
            };
            if touch.write && touch.home == Home::Sram && watched.is_some() {
                self.note_reach(core, (index, number), base, &runs);
            }
            if touch.home != Home::Constant {
                self.touch(core, touch, base, &runs, now, &clocks);
            }
        }
    }

    /// First byte and shape of what a touch covers, contiguous runs joined; an error and nothing if it leaves its place.
    fn runs(&mut self, core: usize, index: usize, touch: &Touch) -> Option<(u64, Runs)> {
        let offset = self.value(core, &touch.offset);
        let mut runs = Runs {
            bytes: self.extent(core, &touch.bytes),
            dims: [(0, 1); 3],
        };
        let mut span = runs.bytes;
        for (i, (stride, n)) in touch.dims.iter().enumerate() {
            let n = self.extent(core, n);
            runs.dims[i] = (*stride, n);
            span += stride * n.saturating_sub(1);
        }
        runs.join();
        let page = touch.ring.map_or(0, |r| self.cores[core].rings[r]);
        let start = i128::from(touch.base) + i128::from(page) + i128::from(offset);
        if offset < 0 || offset as u64 + span > touch.size {
            let from = start.max(0) as u64;
            let bytes = self.bytes(
                touch,
                self.memory(core as u32, touch.home),
                from,
                from + span,
            );
            let (op, launch) = (
                self.op_ref(core as u32, index as u32),
                self.sample.text.clone(),
            );
            self.errors.push(CheckError::Outside {
                op,
                bytes,
                size: touch.size,
                launch,
            });
            return None;
        }
        Some((start as u64, runs))
    }

    fn note_reach(&mut self, core: usize, key: (usize, usize), base: u64, runs: &Runs) {
        let end = base + runs.span();
        for turn in self.cores[core].turns.iter_mut() {
            if let Some(reach) = &mut turn.reach {
                let hull = reach.entry(key).or_insert((base, end));
                *hull = (hull.0.min(base), hull.1.max(end));
            }
        }
    }

    fn touch(
        &mut self,
        core: usize,
        touch: &Touch,
        base: u64,
        runs: &Runs,
        now: Moment,
        clocks: &[u32],
    ) {
        let mut found: Option<(String, Finding)> = None;
        let mut visit = |shadow: &mut Shadow, memory: &dyn Fn() -> String| {
            runs.each(base, |from, to| {
                let finding = if touch.write {
                    shadow.write(from, to, touch.place, now, clocks)
                } else {
                    shadow.read(from, to, touch.place, touch.home == Home::Sram, now, clocks)
                };
                if let (Some(f), None) = (finding, &found) {
                    found = Some((memory(), f));
                }
            });
        };
        match touch.home {
            Home::Constant => {}
            Home::Dram => visit(&mut self.dram, &|| "DRAM".to_string()),
            Home::Sram if touch.everywhere => {
                for (shadow, target) in self.sram.iter_mut().zip(self.sample.watched) {
                    visit(shadow, &|| format!("SRAM of core {target}"));
                }
            }
            Home::Sram => {
                if let Some(watched) = self.cores[core].watched {
                    visit(&mut self.sram[watched], &|| format!("SRAM of core {core}"));
                }
            }
        }
        if let Some((memory, finding)) = found {
            self.found(touch, memory, finding, now);
        }
    }

    fn found(&mut self, touch: &Touch, memory: String, finding: Finding, now: Moment) {
        let launch = self.sample.text.clone();
        let bytes = self.bytes(touch, memory, finding.start, finding.end);
        let me = self.op_ref(now.thread / ENGINES, now.op);
        let error = match finding.conflict {
            Conflict::Race(m) => CheckError::Race {
                first: self.op_ref(m.thread / ENGINES, m.op),
                second: me,
                bytes,
                launch,
            },
            Conflict::Uninitialised => CheckError::Uninitialised {
                op: me,
                bytes,
                launch,
            },
            Conflict::Clobbered(m, other) => {
                let by = self.op_ref(m.thread / ENGINES, m.op);
                CheckError::Clobbered {
                    op: me,
                    bytes,
                    by,
                    other: self.code.place_name(other).to_string(),
                    launch,
                }
            }
        };
        // One report per pair of ops is enough.
        let known = self.errors.iter().any(|e| match (e, &error) {
            (
                CheckError::Race {
                    first: a,
                    second: b,
                    ..
                },
                CheckError::Race {
                    first: c,
                    second: d,
                    ..
                },
            ) => (&a.text, &b.text) == (&c.text, &d.text),
            (CheckError::Uninitialised { op: a, .. }, CheckError::Uninitialised { op: b, .. }) => {
                a.text == b.text
            }
            (CheckError::Clobbered { op: a, .. }, CheckError::Clobbered { op: b, .. }) => {
                a.text == b.text
            }
            _ => false,
        });
        if !known {
            self.errors.push(error);
        }
    }

    fn memory(&self, core: u32, home: Home) -> String {
        if home == Home::Sram {
            format!("SRAM of core {core}")
        } else {
            "DRAM".to_string()
        }
    }

    fn bytes(&self, touch: &Touch, memory: String, start: u64, end: u64) -> Bytes {
        Bytes {
            memory,
            start,
            end,
            place: self.code.place_name(touch.place).to_string(),
        }
    }

    fn op_ref(&self, core: u32, op: u32) -> OpRef {
        match self.code.actions.get(op as usize) {
            Some(action) => OpRef::of(self.code.program, action.op, core),
            None => OpRef {
                text: "a loop that was cut short".to_string(),
                node: String::new(),
                core,
            },
        }
    }

    fn wait(&mut self, core: usize, queue: Queue, sem: u8, n: u32) -> bool {
        let semaphore = self.cores[core].sems.entry(sem).or_default();
        if semaphore.value < u64::from(n) {
            return false;
        }
        semaphore.value -= u64::from(n);
        self.tokens(core, core, sem, -i64::from(n));
        let semaphore = self.cores[core].sems.entry(sem).or_default();
        let own = &mut self.clocks[(core as u32 * ENGINES + queue as u32) as usize];
        let mut known: Vec<u32> = own.to_vec();
        let (mut left, mut group) = (n, 0);
        while left > 0 {
            let Some(token) = semaphore.tokens.front_mut() else {
                break;
            };
            let take = token.n.min(left);
            (token.n, left, group) = (token.n - take, left - take, token.group);
            known
                .iter_mut()
                .zip(token.clocks.iter())
                .for_each(|(k, t)| *k = (*k).max(*t));
            if token.n == 0 {
                semaphore.tokens.pop_front();
            }
        }
        *own = known.into();
        let latest = group == semaphore.group;
        semaphore.opened |= latest;
        let posts = semaphore.posts[usize::from(!latest)].len();
        let rest = semaphore.tokens.front().is_some_and(|t| t.group == group);
        if rest && posts > 1 {
            self.mixed(
                core as u32,
                sem,
                format!("a wait takes {n} tokens, part of what {posts} posts in no order bring"),
            );
        }
        true
    }

    fn post(&mut self, core: usize, queue: Queue, sem: u8, n: u32, all_cores: bool) {
        let thread = core as u32 * ENGINES + queue as u32;
        let clocks = Rc::clone(&self.clocks[thread as usize]);
        let knows =
            |posts: &[(u32, u32)]| posts.iter().all(|&(t, clock)| clocks[t as usize] >= clock);
        let targets = if all_cores {
            0..self.cores.len()
        } else {
            core..core + 1
        };
        for target in targets {
            self.tokens(core, target, sem, i64::from(n));
            let semaphore = self.cores[target].sems.entry(sem).or_default();
            let after = knows(&semaphore.posts[0]);
            let ordered = after || (!semaphore.opened && knows(&semaphore.posts[1]));
            if after {
                semaphore.group += 1;
                semaphore.opened = false;
                let group = std::mem::take(&mut semaphore.posts[0]);
                semaphore.posts[1] = group;
            }
            semaphore.posts[0].push((thread, clocks[thread as usize]));
            semaphore.tokens.push_back(Token {
                n,
                group: semaphore.group,
                clocks: Rc::clone(&clocks),
            });
            semaphore.value += u64::from(n);
            if semaphore.value > SEM_MAX {
                let problem = format!("semaphore {sem} of core {target} exceeds {SEM_MAX}");
                self.errors.push(CheckError::Bound {
                    problem,
                    launch: self.sample.text.clone(),
                });
            }
            if !ordered {
                let problem = format!(
                    "{} of core {core} posts, knowing nothing of earlier posts that may be taken already",
                    queue.name()
                );
                self.mixed(target as u32, sem, problem);
            }
        }
        let mut next: Vec<u32> = clocks.to_vec();
        next[thread as usize] += 1;
        self.clocks[thread as usize] = next.into();
    }

    /// Notes that a core changes a semaphore of `target`.
    fn tokens(&mut self, core: usize, target: usize, sem: u8, n: i64) {
        let open = self.cores[core].turns.iter();
        for turn in open.filter(|t| t.stands_for_others()) {
            *self.change.entry((turn.start, target, sem)).or_default() += n;
        }
    }

    /// Turns that stand for others leave the semaphores as they found them.
    fn unbalanced(&mut self) {
        for (&(_, core, sem), &change) in self.change.iter().filter(|(_, n)| **n != 0) {
            self.errors.push(CheckError::Unbalanced {
                core: core as u32,
                sem,
                change,
                launch: self.sample.text.clone(),
            });
        }
        self.errors.truncate(self.limit);
    }

    fn mixed(&mut self, core: u32, sem: u8, problem: String) {
        self.errors.push(CheckError::Mixed {
            core,
            sem,
            problem,
            launch: self.sample.text.clone(),
        });
    }

    fn deadlock(&mut self) {
        let mut waits = Vec::new();
        for (number, core) in self.cores.iter().enumerate() {
            let Some(Step::Wait { queue, sem, n }) = self.code.steps.get(core.pc) else {
                continue;
            };
            let has = core.sems.get(sem).map_or(0, |s| s.value);
            let next = self.code.steps[core.pc..].iter().find_map(|s| match s {
                Step::Op(a) if self.code.actions[*a].op.queue == *queue => Some(*a as u32),
                _ => None,
            });
            let before = next
                .map(|op| format!(", before {}", self.op_ref(number as u32, op)))
                .unwrap_or_default();
            waits.push(format!(
                "core {number}: {} waits for {n} of semaphore {sem}, which has {has}{before}",
                queue.name()
            ));
        }
        waits.truncate(self.limit);
        self.errors.push(CheckError::Deadlock {
            waits,
            launch: self.sample.text.clone(),
        });
    }

    fn leftover(&mut self) {
        for (number, core) in self.cores.iter().enumerate() {
            for (&sem, semaphore) in core.sems.iter().filter(|(_, s)| s.value > 0) {
                let launch = self.sample.text.clone();
                self.errors.push(CheckError::Leftover {
                    core: number as u32,
                    sem,
                    tokens: semaphore.value,
                    launch,
                });
            }
        }
        self.errors.truncate(self.limit);
    }
}

fn set(vars: &mut [i64], var: usize, value: i64) {
    if let Some(v) = vars.get_mut(var) {
        *v = value;
    }
}

/// Runs of bytes in up to three strided dimensions.
struct Runs {
    dims: [(u64, u64); 3],
    bytes: u64,
}

impl Runs {
    /// Joins contiguous inner dimensions.
    fn join(&mut self) {
        for _ in 0..self.dims.len() {
            let [outer, middle, (stride, n)] = self.dims;
            if n != 1 && stride != 0 && stride != self.bytes {
                return;
            }
            if stride == self.bytes {
                self.bytes *= n;
            }
            self.dims = [(0, 1), outer, middle];
        }
    }

    fn span(&self) -> u64 {
        self.bytes
            + self
                .dims
                .iter()
                .map(|(s, n)| s * n.saturating_sub(1))
                .sum::<u64>()
    }

    fn each(&self, base: u64, mut f: impl FnMut(u64, u64)) {
        let [(s0, n0), (s1, n1), (s2, n2)] = self.dims;
        for i0 in 0..n0 {
            for i1 in 0..n1 {
                for i2 in 0..n2 {
                    let from = base + i0 * s0 + i1 * s1 + i2 * s2;
                    f(from, from + self.bytes);
                }
            }
        }
    }
}
