//! Prints tile programs and expressions. [`super::parse`] reads the text back into an equal program.

use std::collections::BTreeMap;
use std::fmt;

use super::expr::{Expr, VarId};
use super::fields::print_op;
use super::lex::{is_word, quote};
use super::program::*;

/// Words that are not bare names.
const RESERVED: [&str; 5] = ["core", "launch", "min", "max", "page"];

/// How the text form refers to the tables of a program: by name where that is unambiguous, else by index.
pub(super) struct Names {
    vars: Vec<String>,
    launch: Vec<String>,
    buffers: Vec<String>,
    rings: Vec<String>,
}

/// A name as a bare word, if it can be one, else quoted.
pub(super) fn name(text: &str) -> String {
    if is_word(text) && !RESERVED.contains(&text) {
        text.into()
    } else {
        quote(text)
    }
}

fn references(names: &[&str], all: &[&str], by_index: impl Fn(usize) -> String) -> Vec<String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for n in all {
        *count.entry(n).or_default() += 1;
    }
    let one = |(i, n): (usize, &&str)| {
        if count.get(n) == Some(&1) {
            name(n)
        } else {
            by_index(i)
        }
    };
    names.iter().enumerate().map(one).collect()
}

impl Names {
    pub(super) fn new(p: &Program) -> Names {
        let vars: Vec<&str> = p.vars.iter().map(String::as_str).collect();
        let launch: Vec<&str> = p.launch.iter().map(|l| l.name.as_str()).collect();
        let scalars = [vars.as_slice(), launch.as_slice()].concat();
        let buffers: Vec<&str> = p.buffers.iter().map(|b| b.name.as_str()).collect();
        let rings: Vec<&str> = p.rings.iter().map(|r| r.name.as_str()).collect();
        Names {
            vars: references(&vars, &scalars, |i| format!("${i}")),
            launch: references(&launch, &scalars, |i| format!("launch({i})")),
            buffers: references(&buffers, &buffers, |i| format!("#{i}")),
            rings: references(&rings, &rings, |i| format!("#{i}")),
        }
    }

    pub(super) fn var(&self, v: VarId) -> String {
        self.vars
            .get(v.0 as usize)
            .cloned()
            .unwrap_or_else(|| format!("${}", v.0))
    }

    fn launch(&self, i: u16) -> String {
        self.launch
            .get(usize::from(i))
            .cloned()
            .unwrap_or_else(|| format!("launch({i})"))
    }

    pub(super) fn ring(&self, r: RingId) -> String {
        self.rings
            .get(r.index())
            .cloned()
            .unwrap_or_else(|| format!("#{}", r.0))
    }

    pub(super) fn place(&self, place: Place) -> String {
        match place {
            Place::Buffer(b) => self
                .buffers
                .get(b.index())
                .cloned()
                .unwrap_or_else(|| format!("#{}", b.0)),
            Place::Page(r) => format!("page {}", self.ring(r)),
        }
    }

    /// The text of an expression: `+ -` bind less tightly than `* / %`, all to the left.
    pub(super) fn expr(&self, e: &Expr) -> String {
        self.level(e, 0)
    }

    /// `level`: 0 takes everything bare, 1 only products and atoms, 2 only atoms.
    fn level(&self, e: &Expr, level: u8) -> String {
        let (own, text) = match e {
            Expr::Const(c) => (2, c.to_string()),
            Expr::Core => (2, "core".into()),
            Expr::Launch(i) => (2, self.launch(*i)),
            Expr::Var(v) => (2, self.var(*v)),
            Expr::Add(a, b) => (0, format!("{} + {}", self.level(a, 0), self.level(b, 1))),
            Expr::Sub(a, b) => (0, format!("{} - {}", self.level(a, 0), self.level(b, 1))),
            Expr::Mul(a, c) => (1, format!("{}*{c}", self.level(a, 1))),
            Expr::Div(a, c) => (1, format!("{}/{c}", self.level(a, 1))),
            Expr::Mod(a, c) => (1, format!("{}%{c}", self.level(a, 1))),
            Expr::Min(a, b) => (2, format!("min({}, {})", self.expr(a), self.expr(b))),
            Expr::Max(a, b) => (2, format!("max({}, {})", self.expr(a), self.expr(b))),
        };
        if own < level {
            format!("({text})")
        } else {
            text
        }
    }
}

impl Expr {
    /// The text of the expression in the context of `program`, whose variable and launch names it uses.
    pub fn text(&self, program: &Program) -> String {
        Names::new(program).expr(self)
    }
}

impl Op {
    /// The text of the op in the context of `program`: one line, without its origin.
    pub fn text(&self, program: &Program) -> String {
        OpPrinter::new(program).text(self)
    }
}

/// Prints many ops of one program: looks its names up once, not for every op as [`Op::text`].
pub struct OpPrinter(Names);

impl OpPrinter {
    /// For the ops of `program`.
    pub fn new(program: &Program) -> OpPrinter {
        OpPrinter(Names::new(program))
    }

    /// The text of an op of the program: one line, without its origin.
    pub fn text(&self, op: &Op) -> String {
        print_op(op, &self.0)
    }
}

/// Prints the whole program: tables, then the body with one op per line.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {} cores {}", name(&self.name), self.cores)?;
        for l in &self.launch {
            writeln!(f, "launch {} max {}", name(&l.name), l.max)?;
        }
        for vars in self.vars.chunks(16) {
            let vars: Vec<String> = vars.iter().map(|v| name(v)).collect();
            writeln!(f, "vars {}", vars.join(", "))?;
        }
        for (i, o) in self.origins.iter().enumerate() {
            write!(f, "origin @{i} {}", quote(&o.node))?;
            for (j, onnx) in o.onnx.iter().enumerate() {
                write!(f, "{} {}", if j == 0 { " from" } else { "," }, quote(onnx))?;
            }
            writeln!(f)?;
        }
        for b in &self.buffers {
            let (space, of) = match &b.space {
                Space::Sram => ("sram", None),
                Space::Weights(of) => ("weights", Some(of)),
                Space::State(of) => ("state", Some(of)),
                Space::Input(of) => ("input", Some(of)),
                Space::Output(of) => ("output", Some(of)),
                Space::Scratch => ("scratch", None),
            };
            write!(f, "{space} {}", name(&b.name))?;
            if let Some(of) = of {
                write!(f, " of {}", quote(of))?;
            }
            write!(f, " bytes {}", b.bytes)?;
            at(f, b.addr)?;
        }
        for r in &self.rings {
            write!(
                f,
                "ring {} to {} page {} slots {}",
                name(&r.name),
                r.consumer.name(),
                r.page,
                r.slots
            )?;
            if let Some((free, full)) = r.sems {
                write!(f, " sems {} {}", free.0, full.0)?;
            }
            at(f, r.addr)?;
        }
        let mut printer = Printer {
            names: Names::new(self),
            program: self,
            origin: None,
        };
        writeln!(f, "{{")?;
        printer.block(f, &self.body, 1)?;
        writeln!(f, "}}")
    }
}

fn at(f: &mut fmt::Formatter<'_>, addr: Option<u64>) -> fmt::Result {
    match addr {
        Some(a) => writeln!(f, " at {a:#x}"),
        None => writeln!(f),
    }
}

struct Printer<'a> {
    names: Names,
    program: &'a Program,
    /// Origin of the last op printed in this block.
    origin: Option<OriginId>,
}

impl Printer<'_> {
    fn block(&mut self, f: &mut fmt::Formatter<'_>, body: &[Stmt], depth: usize) -> fmt::Result {
        for s in body {
            self.stmt(f, s, depth)?;
        }
        Ok(())
    }

    fn stmt(&mut self, f: &mut fmt::Formatter<'_>, s: &Stmt, depth: usize) -> fmt::Result {
        let pad = "  ".repeat(depth);
        match s {
            Stmt::Loop {
                var,
                trip,
                max_trip,
                body,
            } => {
                let (var, trip) = (self.names.var(*var), self.names.expr(trip));
                self.comment(f, common_origin(body), &pad)?;
                writeln!(f, "{pad}for {var} max {max_trip} to {trip} {{")?;
                self.block(f, body, depth + 1)?;
                writeln!(f, "{pad}}}")
            }
            Stmt::Let { var, value } => {
                writeln!(
                    f,
                    "{pad}let {} = {}",
                    self.names.var(*var),
                    self.names.expr(value)
                )
            }
            Stmt::Op(op) => self.op(f, op, &pad),
            Stmt::Stream {
                ring,
                fill,
                consume,
            } => {
                let inner = format!("{pad}  ");
                self.comment(f, fill.first().or(consume.first()).map(|o| o.origin), &pad)?;
                writeln!(f, "{pad}stream {} {{", self.names.ring(*ring))?;
                for op in fill {
                    self.op(f, op, &inner)?;
                }
                writeln!(f, "{pad}}} use {{")?;
                for op in consume {
                    self.op(f, op, &inner)?;
                }
                writeln!(f, "{pad}}}")
            }
            Stmt::Wait { queue, sem, n } => {
                writeln!(f, "{pad}wait {} sem {} n {n}", queue.name(), sem.0)
            }
            Stmt::Post {
                queue,
                sem,
                n,
                all_cores,
            } => {
                let scope = if *all_cores { " all" } else { "" };
                writeln!(f, "{pad}post {} sem {} n {n}{scope}", queue.name(), sem.0)
            }
            Stmt::Barrier => writeln!(f, "{pad}barrier"),
            Stmt::Advance(ring) => writeln!(f, "{pad}advance {}", self.names.ring(*ring)),
        }
    }

    fn op(&mut self, f: &mut fmt::Formatter<'_>, op: &Op, pad: &str) -> fmt::Result {
        self.comment(f, Some(op.origin), pad)?;
        writeln!(f, "{pad}{} @{}", print_op(op, &self.names), op.origin.0)
    }

    /// Says where the following ops come from, if that changes.
    fn comment(
        &mut self,
        f: &mut fmt::Formatter<'_>,
        origin: Option<OriginId>,
        pad: &str,
    ) -> fmt::Result {
        if origin.is_none() || origin == self.origin {
            return Ok(());
        }
        self.origin = origin;
        match origin.and_then(|o| self.program.origins.get(o.index())) {
            Some(o) => {
                let text = [std::slice::from_ref(&o.node), o.onnx.as_slice()]
                    .concat()
                    .join("  ");
                writeln!(f, "{pad}; {}", text.replace(char::is_control, " "))
            }
            None => Ok(()),
        }
    }
}

/// The origin of all ops in a block, if there is one.
fn common_origin(body: &[Stmt]) -> Option<OriginId> {
    let mut all = body.iter().filter_map(|s| match s {
        Stmt::Op(op) => Some(Some(op.origin)),
        Stmt::Loop { body, .. } => Some(common_origin(body)),
        Stmt::Stream { fill, consume, .. } => {
            fill.first().or(consume.first()).map(|o| Some(o.origin))
        }
        Stmt::Let { .. }
        | Stmt::Barrier
        | Stmt::Wait { .. }
        | Stmt::Post { .. }
        | Stmt::Advance(_) => None,
    });
    let first = all.next()??;
    all.all(|o| o == Some(first)).then_some(first)
}
