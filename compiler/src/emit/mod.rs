//! Emission: a synchronised tile program becomes instructions and their origins.
//!
//! Scalars live in controller registers: loop variables, the byte offset of each ring's current page, and values computed right
//! before the op that needs them, shared within a block and moved out of loops where they do not change. Constants end up in
//! instruction fields. Registers are resolved when an engine instruction is dispatched, so a register may be reused at once.

mod linear;
mod ops;
mod regs;
#[cfg(test)]
mod tests;

use crate::tile::{Expr, Op, OpPrinter, Place, Program, RingId, Space, Stmt, VarId};
use crate::uses;
use linear::{Atom, Linear, Values};
use llmc_isa::container::{DebugBuffer, DebugOp};
use llmc_isa::inst::{
    CtlAdd, CtlAddi, CtlCore, CtlDiv, CtlHalt, CtlLaunch, CtlLi, CtlLoop, CtlMadd, CtlMax, CtlMin,
    CtlMod, SemPost, SemWait,
};
use llmc_isa::{Inst, Queue, Reg, Scope, Sem, encode};
use regs::Registers;
use std::collections::BTreeMap;

/// Loops inside each other that the hardware can run.
const MAX_DEPTH: usize = 8;

/// Registers that moving values out of loops leaves free: an op needs up to a dozen.
const RESERVE: usize = 20;

/// An entry as instructions.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// The instructions; the last one is `ctl.halt`.
    pub insts: Vec<Inst>,
    /// The ops they come from.
    pub ops: Vec<DebugOp>,
    /// Per instruction: 1 + index into `ops`, or 0.
    pub inst_op: Vec<u32>,
    /// What lies where, with the instructions that use it.
    pub buffers: Vec<DebugBuffer>,
    /// Most controller registers in use at a time.
    pub registers: usize,
    /// Indices of the `ctl.loop`s whose turns differ in DRAM addresses only, ascending.
    pub alike: Vec<usize>,
}

/// A program cannot be emitted: a bug in the compiler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry `{entry}`, at `{at}`: {problem}")]
pub struct EmitError {
    /// The entry.
    pub entry: String,
    /// The statement.
    pub at: String,
    /// What is wrong.
    pub problem: String,
}

/// Emits a synchronised program.
///
/// # Errors
/// [`EmitError`] if registers run out, loops nest too deep, or a value does not fit its field.
pub fn emit(program: &Program) -> Result<Code, EmitError> {
    let mut e = Emitter {
        program,
        printer: OpPrinter::new(program),
        code: Code {
            insts: Vec::new(),
            ops: Vec::new(),
            inst_op: Vec::new(),
            buffers: Vec::new(),
            registers: 0,
            alike: Vec::new(),
        },
        regs: Registers::new(),
        values: Values::new(),
        rings: vec![None; program.rings.len()],
        counters: BTreeMap::new(),
        wanted: None,
        depth: 0,
        source: 0,
        waiting: Vec::new(),
        latest: [0; Queue::ALL.len()],
        used: BTreeMap::new(),
        at: String::new(),
    };
    match e.run() {
        Ok(()) => Ok(Code {
            registers: e.regs.most(),
            buffers: buffers(program, &e.used),
            ..e.code
        }),
        Err(problem) => Err(EmitError {
            entry: program.name.clone(),
            at: e.at,
            problem,
        }),
    }
}

struct Emitter<'a> {
    program: &'a Program,
    printer: OpPrinter,
    code: Code,
    regs: Registers,
    /// Values of the variables in scope.
    values: Values,
    /// Register with the byte offset of the current page, for rings of more than one page.
    rings: Vec<Option<Reg>>,
    /// Registers of the loop variables in scope.
    counters: BTreeMap<VarId, Reg>,
    /// While set, nothing is emitted: the values that registers would have to hold are collected.
    wanted: Option<Vec<Linear>>,
    depth: usize,
    /// Source of the instructions being emitted.
    source: u32,
    /// Waits, and posts before the first op, whose source is the next op of their queue.
    waiting: Vec<(Queue, usize)>,
    /// Source of the latest op of each queue.
    latest: [u32; Queue::ALL.len()],
    /// First and last instruction that uses a place.
    used: BTreeMap<Place, (u64, u64)>,
    /// Text of the current statement, for errors.
    at: String,
}

/// The places that are used, for the debug map.
fn buffers(program: &Program, used: &BTreeMap<Place, (u64, u64)>) -> Vec<DebugBuffer> {
    let describe = |(place, (first, last)): (&Place, &(u64, u64))| {
        let (name, sram, addr, bytes, page) = match place {
            Place::Buffer(id) => {
                let b = program.buffers.get(id.index())?;
                let name = match &b.space {
                    Space::Sram => format!("buffer `{}`", b.name),
                    Space::Weights(name) => format!("weights `{name}`"),
                    Space::State(name) => format!("state `{name}`"),
                    Space::Input(name) => format!("input `{name}`"),
                    Space::Output(name) => format!("output `{name}`"),
                    Space::Scratch => format!("scratch `{}`", b.name),
                };
                (name, b.space == Space::Sram, b.addr?, b.bytes, 0)
            }
            Place::Page(id) => {
                let r = program.rings.get(id.index())?;
                let bytes = r.page * u64::from(r.slots);
                (format!("ring `{}`", r.name), true, r.addr?, bytes, r.page)
            }
        };
        Some(DebugBuffer {
            name,
            sram,
            addr,
            bytes,
            page,
            first: *first,
            last: *last,
        })
    };
    used.iter().filter_map(describe).collect()
}

type Done<T = ()> = Result<T, String>;

impl<'a> Emitter<'a> {
    fn run(&mut self) -> Done {
        for (i, ring) in self.program.rings.iter().enumerate() {
            if ring.slots > 1 && ring.sems.is_some() {
                let reg = self
                    .regs
                    .pin()
                    .ok_or("no register is left for the position of a ring")?;
                self.rings[i] = Some(reg);
                self.push(CtlLi { rd: reg, imm: 0 }.into())?;
            }
        }
        let program = self.program;
        self.block(&program.body)?;
        Queue::ALL
            .iter()
            .for_each(|queue| self.settle(*queue, self.latest[*queue as usize]));
        self.source = 0;
        self.push(CtlHalt {}.into())
    }

    /// Instructions of an engine before its first and after its last op belong to that op.
    fn settle(&mut self, queue: Queue, source: u32) {
        let inst_op = &mut self.code.inst_op;
        self.waiting.retain(|&(waiting, inst)| {
            if waiting == queue {
                inst_op[inst] = source;
            }
            waiting != queue
        });
    }

    fn push(&mut self, inst: Inst) -> Done {
        if self.wanted.is_none() {
            encode(&inst).map_err(|e| e.to_string())?;
            self.code.insts.push(inst);
            self.code.inst_op.push(self.source);
        }
        Ok(())
    }

    fn block(&mut self, stmts: &'a [Stmt]) -> Done {
        stmts.iter().try_for_each(|stmt| self.stmt(stmt))
    }

    fn stmt(&mut self, stmt: &'a Stmt) -> Done {
        self.regs.next_op();
        match stmt {
            Stmt::Loop {
                var, trip, body, ..
            } => self.looped(*var, trip, body),
            Stmt::Let { var, value } => {
                let value = self.linear(value)?;
                self.values.insert(*var, value);
                Ok(())
            }
            Stmt::Op(op) => self.op(op),
            Stmt::Stream { .. } | Stmt::Barrier => {
                Err("a stream or barrier has not been expanded".to_string())
            }
            Stmt::Wait { queue, sem, n } => {
                self.source = 0;
                if self.wanted.is_none() {
                    self.waiting.push((*queue, self.code.insts.len()));
                }
                self.push(
                    SemWait {
                        queue: *queue,
                        sem: Sem(sem.0),
                        n: short(*n)?,
                    }
                    .into(),
                )
            }
            Stmt::Post {
                queue,
                sem,
                n,
                all_cores,
            } => {
                self.source = self.latest[*queue as usize];
                if self.source == 0 && self.wanted.is_none() {
                    self.waiting.push((*queue, self.code.insts.len()));
                }
                let scope = if *all_cores { Scope::All } else { Scope::Local };
                self.push(
                    SemPost {
                        queue: *queue,
                        sem: Sem(sem.0),
                        n: short(*n)?,
                        scope,
                        ..SemPost::default()
                    }
                    .into(),
                )
            }
            Stmt::Advance(ring) => self.advance(*ring),
        }
    }

    fn op(&mut self, op: &'a Op) -> Done {
        if self.wanted.is_none() {
            let origin = self.program.origins.get(op.origin.index());
            self.at = self.printer.text(op);
            self.code.ops.push(DebugOp {
                tile_op: self.at.clone(),
                graph_node: origin.map(|o| o.node.clone()).unwrap_or_default(),
                onnx: origin.map(|o| o.onnx.clone()).unwrap_or_default(),
            });
            self.source = u32::try_from(self.code.ops.len()).map_err(|_| "too many ops")?;
            self.latest[op.queue as usize] = self.source;
            self.settle(op.queue, self.source);
        }
        let inst = ops::inst(self, op)?;
        if self.wanted.is_none() {
            let at = self.code.insts.len() as u64;
            for used in uses::of_op(op) {
                let range = self.used.entry(used.place).or_insert((at, at));
                range.1 = at;
            }
        }
        self.push(inst)
    }

    fn advance(&mut self, ring: RingId) -> Done {
        self.source = 0;
        let r = self.program.rings.get(ring.index()).ok_or("no such ring")?;
        if let Some(reg) = self.rings[ring.index()] {
            self.push(
                CtlAddi {
                    rd: reg,
                    ra: reg,
                    imm: to_i64(r.page)?,
                }
                .into(),
            )?;
            self.push(
                CtlMod {
                    rd: reg,
                    ra: reg,
                    imm: to_i64(r.page * u64::from(r.slots))?,
                }
                .into(),
            )?;
        }
        self.regs.forget(&|atom| *atom == Atom::Page(ring));
        Ok(())
    }

    fn looped(&mut self, var: VarId, trip: &Expr, body: &'a [Stmt]) -> Done {
        let trip = self.linear(trip)?;
        let before = self.values.clone();
        match trip.as_const() {
            Some(n) if n <= 0 => return Ok(()),
            Some(1) => {
                self.values.insert(var, Linear::constant(0));
                self.block(body)?;
            }
            _ if self.wanted.is_some() => {
                // Collect the trip count and what the body needs.
                self.reg(&trip)?;
                self.values.insert(var, Atom::Var(var).into());
                self.block(body)?;
            }
            _ => self.hardware_loop(var, &trip, body)?,
        }
        self.values = before;
        Ok(())
    }

    fn hardware_loop(&mut self, var: VarId, trip: &Linear, body: &'a [Stmt]) -> Done {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("loops nest deeper than {MAX_DEPTH}"));
        }
        self.source = 0;
        self.values.insert(var, Atom::Var(var).into());
        let wanted = self.wanted_by(body)?;
        let mut inner = vec![var];
        inner_vars(body, &mut inner);
        let changes = |atom: &Atom| match atom {
            Atom::Var(v) => inner.contains(v),
            Atom::Page(_) => true,
            _ => false,
        };
        self.regs.next_op();
        self.regs.make_room(RESERVE);
        for value in invariants(&wanted, &changes) {
            if self.regs.free() > RESERVE && self.regs.find(&value).is_none() {
                self.reg(&value)?;
            }
        }
        self.regs.next_op();
        // What depends on a page of a ring does not outlive an advance in the body.
        self.regs.forget(&|atom| matches!(atom, Atom::Page(_)));
        let count = self.reg(trip)?;
        self.regs.open();
        let counted = wanted
            .iter()
            .any(|v| v.any(&|atom| *atom == Atom::Var(var)));
        let counter = if counted {
            Some(
                self.regs
                    .pin()
                    .ok_or("no register is left for a loop variable")?,
            )
        } else {
            None
        };
        if let Some(reg) = counter {
            self.push(CtlLi { rd: reg, imm: 0 }.into())?;
            self.counters.insert(var, reg);
        }
        let start = self.code.insts.len();
        if self.program.turns_alike(var, body) {
            self.code.alike.push(start);
        }
        self.push(CtlLoop { count, body: 1 }.into())?;
        self.block(body)?;
        self.source = 0;
        if let Some(reg) = counter {
            self.push(
                CtlAddi {
                    rd: reg,
                    ra: reg,
                    imm: 1,
                }
                .into(),
            )?;
        }
        self.regs.close();
        self.counters.remove(&var);
        self.regs.forget(&|atom| matches!(atom, Atom::Page(_)));
        let len = u32::try_from(self.code.insts.len() - start - 1)
            .map_err(|_| "a loop body is too long")?;
        if len == 0 {
            self.code.insts.truncate(start);
            self.code.alike.retain(|at| *at < start);
            self.code.inst_op.truncate(start);
        } else if let Some(inst) = self.code.insts.get_mut(start) {
            *inst = CtlLoop { count, body: len }.into();
            encode(inst).map_err(|e| e.to_string())?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// The values that the registers have to hold in the body.
    fn wanted_by(&mut self, body: &'a [Stmt]) -> Done<Vec<Linear>> {
        self.wanted = Some(Vec::new());
        let values = self.values.clone();
        let result = self.block(body);
        self.values = values;
        let wanted = self.wanted.take().unwrap_or_default();
        result.map(|()| wanted)
    }

    fn linear(&self, expr: &Expr) -> Done<Linear> {
        let problem = || {
            format!(
                "`{}` uses a variable that is not set there",
                expr.text(self.program)
            )
        };
        Linear::of(expr, &self.values).ok_or_else(problem)
    }

    /// The register that holds the value, computed now if there is none yet. `r0` for 0.
    fn reg(&mut self, value: &Linear) -> Done<Reg> {
        if value.as_const() == Some(0) {
            return Ok(Reg::ZERO);
        }
        if let Some(wanted) = &mut self.wanted {
            wanted.push(value.clone());
            return Ok(Reg::ZERO);
        }
        if let Some(reg) = self.regs.find(value) {
            return Ok(reg);
        }
        let none = || "the controller's registers do not suffice".to_string();
        let mut terms = value.terms.iter();
        if let (Some((atom, 1)), None, 0) = (terms.next(), terms.next(), value.constant) {
            return self.atom(atom);
        }
        // Atoms first: they may need registers of their own.
        let mut parts = Vec::new();
        for (atom, factor) in &value.terms {
            let reg = match self.find_atom(atom) {
                Some(reg) => reg,
                None => self.atom(atom)?,
            };
            parts.push((reg, *factor));
        }
        // Unscaled terms first: the first of them starts the sum for free.
        parts.sort_by_key(|(_, factor)| *factor != 1);
        let rd = self.regs.hold(value.clone()).ok_or_else(none)?;
        let mut sum: Option<Reg> = None;
        for (ra, factor) in parts {
            sum = Some(match (sum, factor) {
                (None, 1) => ra,
                (Some(acc), 1) => {
                    self.push(
                        CtlAdd {
                            rd,
                            ra: acc,
                            rb: ra,
                        }
                        .into(),
                    )?;
                    rd
                }
                (acc, imm) => {
                    self.push(
                        CtlMadd {
                            rd,
                            ra,
                            imm,
                            rb: acc.unwrap_or(Reg::ZERO),
                        }
                        .into(),
                    )?;
                    rd
                }
            });
        }
        match sum {
            None => self.push(
                CtlLi {
                    rd,
                    imm: value.constant,
                }
                .into(),
            )?,
            Some(acc) if value.constant != 0 || acc != rd => {
                self.push(
                    CtlAddi {
                        rd,
                        ra: acc,
                        imm: value.constant,
                    }
                    .into(),
                )?;
            }
            Some(_) => {}
        }
        Ok(rd)
    }

    fn find_atom(&mut self, atom: &Atom) -> Option<Reg> {
        match atom {
            Atom::Page(ring) => self.rings.get(ring.index()).copied().flatten(),
            Atom::Var(var) => self.counters.get(var).copied(),
            _ => self.regs.find(&atom.clone().into()),
        }
    }

    fn atom(&mut self, atom: &Atom) -> Done<Reg> {
        if let Some(reg) = self.find_atom(atom) {
            return Ok(reg);
        }
        let value = Linear::from(atom.clone());
        let hold = |e: &mut Self| {
            e.regs
                .hold(value.clone())
                .ok_or("the controller's registers do not suffice".to_string())
        };
        match atom {
            Atom::Core => {
                let rd = hold(self)?;
                self.push(CtlCore { rd }.into())?;
                Ok(rd)
            }
            Atom::Launch(index) => {
                let rd = hold(self)?;
                self.push(CtlLaunch { rd, index: *index }.into())?;
                Ok(rd)
            }
            Atom::Div(a, imm) => {
                let ra = self.reg(a)?;
                let rd = hold(self)?;
                self.push(CtlDiv { rd, ra, imm: *imm }.into())?;
                Ok(rd)
            }
            Atom::Mod(a, imm) => {
                let ra = self.reg(a)?;
                let rd = hold(self)?;
                self.push(CtlMod { rd, ra, imm: *imm }.into())?;
                Ok(rd)
            }
            Atom::Min(a, b) => {
                let (ra, rb) = (self.reg(a)?, self.reg(b)?);
                let rd = hold(self)?;
                self.push(CtlMin { rd, ra, rb }.into())?;
                Ok(rd)
            }
            Atom::Max(a, b) => {
                let (ra, rb) = (self.reg(a)?, self.reg(b)?);
                let rd = hold(self)?;
                self.push(CtlMax { rd, ra, rb }.into())?;
                Ok(rd)
            }
            Atom::Var(v) => Err(format!("variable {} is used outside its loop", v.0)),
            Atom::Page(_) => Err("a page of a ring that is not streamed is used".to_string()),
        }
    }
}

/// All variables that loops and lets in the statements define.
fn inner_vars(stmts: &[Stmt], vars: &mut Vec<VarId>) {
    for stmt in stmts {
        match stmt {
            Stmt::Loop { var, body, .. } => {
                vars.push(*var);
                inner_vars(body, vars);
            }
            Stmt::Let { var, .. } => vars.push(*var),
            _ => {}
        }
    }
}

/// Wanted values, and atoms of wanted values, that do not change in the loop; the cheapest to keep are left out.
fn invariants(wanted: &[Linear], changes: &dyn Fn(&Atom) -> bool) -> Vec<Linear> {
    let mut out: Vec<Linear> = Vec::new();
    for value in wanted {
        let atoms = value.terms.keys().map(|atom| Linear::from(atom.clone()));
        let whole = if value.any(changes) {
            None
        } else {
            Some(value.clone())
        };
        let candidates = whole
            .into_iter()
            .chain(atoms.filter(|a| value.any(changes) && !a.any(changes)));
        for candidate in candidates {
            if !out.contains(&candidate) {
                out.push(candidate);
            }
        }
    }
    out
}

fn short(n: u32) -> Done<u16> {
    u16::try_from(n).map_err(|_| format!("{n} does not fit 16 bits"))
}

fn to_i64(n: u64) -> Done<i64> {
    i64::try_from(n).map_err(|_| format!("{n} does not fit 63 bits"))
}
