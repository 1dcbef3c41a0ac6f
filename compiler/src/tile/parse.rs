//! Reads the text form of tile programs and expressions, which [`super::print`] writes.

use std::collections::BTreeMap;
use std::str::FromStr;

use llmc_isa::{DType, Queue};
use thiserror::Error;

use super::expr::{Expr, VarId};
use super::fields::parse_op;
use super::lex::{Spanned, Token, lex};
use super::program::*;

/// How deeply expressions and blocks may nest.
const MAX_DEPTH: u32 = 200;

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What was expected or is wrong.
    pub message: String,
}

/// A place in the text.
pub(super) struct Position {
    line: u32,
    column: u32,
}

impl Position {
    pub(super) fn error(&self, message: String) -> ParseError {
        ParseError {
            line: self.line,
            column: self.column,
            message,
        }
    }
}

/// Indexes of the tables by name; `None` for names that are there twice.
type Table<T> = BTreeMap<String, Option<T>>;

fn enter<T>(table: &mut Table<T>, name: &str, value: T) {
    table
        .entry(name.to_string())
        .and_modify(|v| *v = None)
        .or_insert(Some(value));
}

pub(super) struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    depth: u32,
    scalars: Table<Expr>,
    buffers: Table<BufferId>,
    rings: Table<RingId>,
}

impl FromStr for Program {
    type Err = ParseError;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Program, ParseError> {
        let mut p = Parser::new(text)?;
        let program = p.program()?;
        p.end()?;
        Ok(program)
    }
}

impl Expr {
    /// Reads what [`Expr::text`] writes, with the names of `program`.
    pub fn parse(text: &str, program: &Program) -> Result<Expr, ParseError> {
        let mut p = Parser::new(text)?;
        for (i, l) in program.launch.iter().enumerate() {
            p.enter_launch(&l.name, i);
        }
        for (i, v) in program.vars.iter().enumerate() {
            p.enter_var(v, i);
        }
        let e = p.expr()?;
        p.end()?;
        Ok(e)
    }
}

/// Tokens.
impl Parser {
    fn new(text: &str) -> Result<Parser, ParseError> {
        let (scalars, buffers, rings) = Default::default();
        Ok(Parser {
            tokens: lex(text)?,
            at: 0,
            depth: 0,
            scalars,
            buffers,
            rings,
        })
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |t| &t.token)
    }

    /// Where the next token is.
    pub(super) fn mark_position(&self) -> Position {
        let t = self.tokens.get(self.at).or(self.tokens.last());
        t.map_or(Position { line: 1, column: 1 }, |t| Position {
            line: t.line,
            column: t.column,
        })
    }

    /// An error at the next token.
    pub(super) fn expected(&self, what: &str) -> ParseError {
        self.mark_position()
            .error(format!("expected {what}, found {}", self.peek().describe()))
    }

    fn end(&self) -> Result<(), ParseError> {
        if *self.peek() == Token::End {
            Ok(())
        } else {
            Err(self.expected("the end of the text"))
        }
    }

    pub(super) fn eat_mark(&mut self, c: char) -> bool {
        let found = *self.peek() == Token::Mark(c);
        self.at += usize::from(found);
        found
    }

    pub(super) fn mark(&mut self, c: char) -> Result<(), ParseError> {
        if self.eat_mark(c) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{c}`")))
        }
    }

    fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w == word)
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, word: &str) -> Result<(), ParseError> {
        if self.eat_word(word) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{word}`")))
        }
    }

    /// Takes `name=` if it is next.
    pub(super) fn eat_key(&mut self, name: &str) -> bool {
        let equals = self
            .tokens
            .get(self.at + 1)
            .is_some_and(|t| t.token == Token::Mark('='));
        let found = equals && self.at_word(name);
        self.at += 2 * usize::from(found);
        found
    }

    pub(super) fn word(&mut self) -> Result<String, ParseError> {
        let Token::Word(w) = self.peek() else {
            return Err(self.expected("a word"));
        };
        let w = w.clone();
        self.at += 1;
        Ok(w)
    }

    fn string(&mut self) -> Result<String, ParseError> {
        let Token::Str(s) = self.peek() else {
            return Err(self.expected("a quoted string"));
        };
        let s = s.clone();
        self.at += 1;
        Ok(s)
    }

    fn name(&mut self) -> Result<String, ParseError> {
        match self.peek() {
            Token::Str(_) => self.string(),
            Token::Word(_) => self.word(),
            _ => Err(self.expected("a name")),
        }
    }

    pub(super) fn at_number(&self) -> bool {
        matches!(self.peek(), Token::Number(_))
    }

    fn raw_number(&mut self) -> Result<(Position, String), ParseError> {
        let here = self.mark_position();
        let Token::Number(n) = self.peek() else {
            return Err(self.expected("a number"));
        };
        let n = n.clone();
        self.at += 1;
        Ok((here, n))
    }

    /// An unsigned number, decimal or `0x` hexadecimal, that fits `T`.
    pub(super) fn number<T: TryFrom<u64>>(&mut self) -> Result<T, ParseError> {
        let (here, n) = self.raw_number()?;
        let value = match n.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => n.parse::<u64>().ok(),
        };
        let fits = value.and_then(|v| T::try_from(v).ok());
        fits.ok_or_else(|| here.error(format!("`{n}` is not a whole number that fits here")))
    }

    /// A number after an optional minus sign.
    fn int(&mut self) -> Result<i64, ParseError> {
        let here = self.mark_position();
        let negative = self.eat_mark('-');
        let magnitude = i128::from(self.number::<u64>()?);
        let value = if negative { -magnitude } else { magnitude };
        i64::try_from(value).map_err(|_| here.error(format!("{value} does not fit 64 bits")))
    }

    pub(super) fn float(&mut self) -> Result<f32, ParseError> {
        let here = self.mark_position();
        let sign = if self.eat_mark('-') { -1.0 } else { 1.0 };
        let text = match self.peek() {
            Token::Word(w) if w == "inf" || w == "NaN" => self.word()?,
            _ => self.raw_number()?.1,
        };
        let value: f32 = text
            .parse()
            .map_err(|_| here.error(format!("`{text}` is not a number")))?;
        Ok(sign * value)
    }

    /// One of some words.
    pub(super) fn one_of<T: Clone>(&mut self, words: &[(&str, T)]) -> Result<T, ParseError> {
        for (word, value) in words {
            if self.eat_word(word) {
                return Ok(value.clone());
            }
        }
        let all: Vec<String> = words.iter().map(|(w, _)| format!("`{w}`")).collect();
        Err(self.expected(&all.join(" or ")))
    }

    pub(super) fn dtype(&mut self) -> Result<DType, ParseError> {
        let words: Vec<(&str, DType)> = DType::ALL.iter().map(|t| (t.name(), *t)).collect();
        self.one_of(&words)
    }

    fn queue(&mut self) -> Result<Queue, ParseError> {
        let words: Vec<(&str, Queue)> = Queue::ALL.iter().map(|q| (q.name(), *q)).collect();
        self.one_of(&words)
    }

    fn nested<T>(
        &mut self,
        f: impl FnOnce(&mut Parser) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth >= MAX_DEPTH {
            return Err(self
                .mark_position()
                .error(format!("nested more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let out = f(self);
        self.depth -= 1;
        out
    }
}

/// Names and expressions.
impl Parser {
    fn enter_launch(&mut self, name: &str, index: usize) {
        if let Ok(i) = u16::try_from(index) {
            enter(&mut self.scalars, name, Expr::Launch(i));
        }
    }

    fn enter_var(&mut self, name: &str, index: usize) {
        if let Ok(i) = u32::try_from(index) {
            enter(&mut self.scalars, name, Expr::Var(VarId(i)));
        }
    }

    fn look_up<T: Clone>(
        &mut self,
        what: &str,
        table: impl Fn(&Parser) -> &Table<T>,
    ) -> Result<T, ParseError> {
        let here = self.mark_position();
        let name = self.name()?;
        match table(self).get(&name) {
            Some(Some(value)) => Ok(value.clone()),
            Some(None) => Err(here.error(format!(
                "there are several things called `{name}`: write its number"
            ))),
            None => Err(here.error(format!("there is no {what} `{name}`"))),
        }
    }

    fn ring(&mut self) -> Result<RingId, ParseError> {
        if self.eat_mark('#') {
            return self.number().map(RingId);
        }
        self.look_up("ring", |p| &p.rings)
    }

    pub(super) fn place(&mut self) -> Result<Place, ParseError> {
        if self.eat_word("page") {
            return self.ring().map(Place::Page);
        }
        if self.eat_mark('#') {
            return self.number().map(|i| Place::Buffer(BufferId(i)));
        }
        self.look_up("buffer", |p| &p.buffers).map(Place::Buffer)
    }

    fn var(&mut self) -> Result<VarId, ParseError> {
        let here = self.mark_position();
        if self.eat_mark('$') {
            return self.number().map(VarId);
        }
        match self.look_up("variable", |p| &p.scalars)? {
            Expr::Var(v) => Ok(v),
            _ => Err(here.error("expected a variable, found a launch register".into())),
        }
    }

    /// An expression, as it stands: nothing is folded.
    pub(super) fn expr(&mut self) -> Result<Expr, ParseError> {
        let mut left = self.product()?;
        loop {
            if self.eat_mark('+') {
                left = Expr::Add(Box::new(left), Box::new(self.product()?));
            } else if self.eat_mark('-') {
                left = Expr::Sub(Box::new(left), Box::new(self.product()?));
            } else {
                return Ok(left);
            }
        }
    }

    fn product(&mut self) -> Result<Expr, ParseError> {
        let mut left = self.nested(Parser::atom)?;
        loop {
            if self.eat_mark('*') {
                left = Expr::Mul(Box::new(left), self.int()?);
            } else if self.eat_mark('/') {
                left = Expr::Div(Box::new(left), self.divisor()?);
            } else if self.eat_mark('%') {
                left = Expr::Mod(Box::new(left), self.divisor()?);
            } else {
                return Ok(left);
            }
        }
    }

    fn divisor(&mut self) -> Result<i64, ParseError> {
        let here = self.mark_position();
        let d = self.int()?;
        if d > 0 {
            Ok(d)
        } else {
            Err(here.error(format!("division by {d}: divisors are positive")))
        }
    }

    fn atom(&mut self) -> Result<Expr, ParseError> {
        match self.peek() {
            Token::Number(_) | Token::Mark('-') => self.int().map(Expr::Const),
            Token::Mark('(') => {
                self.mark('(')?;
                let e = self.expr()?;
                self.mark(')')?;
                Ok(e)
            }
            Token::Mark('$') => self.var().map(Expr::Var),
            Token::Word(w) => match w.as_str() {
                "core" => self.word().map(|_| Expr::Core),
                "min" => self.pair().map(|(a, b)| Expr::Min(a, b)),
                "max" => self.pair().map(|(a, b)| Expr::Max(a, b)),
                "launch" => {
                    self.word()?;
                    self.mark('(')?;
                    let i = self.number()?;
                    self.mark(')')?;
                    Ok(Expr::Launch(i))
                }
                _ => self.look_up("variable or launch register", |p| &p.scalars),
            },
            Token::Str(_) => self.look_up("variable or launch register", |p| &p.scalars),
            _ => Err(self.expected("an expression")),
        }
    }

    fn pair(&mut self) -> Result<(Box<Expr>, Box<Expr>), ParseError> {
        self.word()?;
        self.mark('(')?;
        let a = self.expr()?;
        self.mark(',')?;
        let b = self.expr()?;
        self.mark(')')?;
        Ok((Box::new(a), Box::new(b)))
    }
}

/// Tables and statements.
impl Parser {
    fn program(&mut self) -> Result<Program, ParseError> {
        self.keyword("program")?;
        let name = self.name()?;
        self.keyword("cores")?;
        let cores = self.number()?;
        let mut program = Program {
            name,
            cores,
            launch: vec![],
            vars: vec![],
            buffers: vec![],
            rings: vec![],
            origins: vec![],
            body: vec![],
        };
        while !self.eat_mark('{') {
            self.table_row(&mut program)?;
        }
        program.body = self.block()?;
        Ok(program)
    }

    fn table_row(&mut self, program: &mut Program) -> Result<(), ParseError> {
        let here = self.mark_position();
        let word = self.word()?;
        match word.as_str() {
            "launch" => {
                let name = self.name()?;
                self.keyword("max")?;
                self.enter_launch(&name, program.launch.len());
                program.launch.push(Launch {
                    name,
                    max: self.number()?,
                });
            }
            "vars" => loop {
                let name = self.name()?;
                self.enter_var(&name, program.vars.len());
                program.vars.push(name);
                if !self.eat_mark(',') {
                    break;
                }
            },
            "origin" => {
                self.mark('@')?;
                let here = self.mark_position();
                let index: usize = self.number()?;
                if index != program.origins.len() {
                    return Err(here.error(format!(
                        "origins are in order: expected @{}",
                        program.origins.len()
                    )));
                }
                let mut origin = Origin {
                    node: self.string()?,
                    onnx: vec![],
                };
                if self.eat_word("from") {
                    origin.onnx.push(self.string()?);
                    while self.eat_mark(',') {
                        origin.onnx.push(self.string()?);
                    }
                }
                program.origins.push(origin);
            }
            "ring" => {
                let ring = self.ring_row()?;
                let id = RingId(program.rings.len() as u32);
                enter(&mut self.rings, &ring.name, id);
                program.rings.push(ring);
            }
            "sram" | "weights" | "state" | "input" | "output" | "scratch" => {
                let name = self.name()?;
                let space = match word.as_str() {
                    "weights" => Space::Weights(self.of()?),
                    "state" => Space::State(self.of()?),
                    "input" => Space::Input(self.of()?),
                    "output" => Space::Output(self.of()?),
                    "scratch" => Space::Scratch,
                    _ => Space::Sram,
                };
                self.keyword("bytes")?;
                let bytes = self.number()?;
                let addr = self.addr()?;
                enter(
                    &mut self.buffers,
                    &name,
                    BufferId(program.buffers.len() as u32),
                );
                program.buffers.push(Buffer {
                    name,
                    space,
                    bytes,
                    addr,
                });
            }
            _ => {
                let rows = "launch, vars, origin, sram, weights, state, input, output, scratch, ring or `{`";
                return Err(here.error(format!("expected {rows}, found `{word}`")));
            }
        }
        Ok(())
    }

    fn of(&mut self) -> Result<String, ParseError> {
        self.keyword("of")?;
        self.string()
    }

    fn addr(&mut self) -> Result<Option<u64>, ParseError> {
        if self.eat_word("at") {
            self.number().map(Some)
        } else {
            Ok(None)
        }
    }

    fn ring_row(&mut self) -> Result<Ring, ParseError> {
        let name = self.name()?;
        self.keyword("to")?;
        let consumer = self.queue()?;
        self.keyword("page")?;
        let page = self.number()?;
        self.keyword("slots")?;
        let slots = self.number()?;
        let sems = if self.eat_word("sems") {
            Some((SemId(self.number()?), SemId(self.number()?)))
        } else {
            None
        };
        Ok(Ring {
            name,
            consumer,
            page,
            slots,
            addr: self.addr()?,
            sems,
        })
    }

    /// Statements up to and including `}`.
    fn block(&mut self) -> Result<Vec<Stmt>, ParseError> {
        let mut body = Vec::new();
        while !self.eat_mark('}') {
            body.push(self.nested(Parser::stmt)?);
        }
        Ok(body)
    }

    fn ops(&mut self) -> Result<Vec<Op>, ParseError> {
        self.mark('{')?;
        let mut ops = Vec::new();
        while !self.eat_mark('}') {
            let queue = self.queue()?;
            ops.push(parse_op(self, queue)?);
        }
        Ok(ops)
    }

    fn sem(&mut self) -> Result<(Queue, SemId, u32), ParseError> {
        let queue = self.queue()?;
        self.keyword("sem")?;
        let sem = SemId(self.number()?);
        self.keyword("n")?;
        Ok((queue, sem, self.number()?))
    }

    fn stmt(&mut self) -> Result<Stmt, ParseError> {
        let Token::Word(word) = self.peek() else {
            return Err(self.expected("a statement or `}`"));
        };
        if let Some(queue) = Queue::ALL.iter().find(|q| q.name() == word).copied() {
            self.word()?;
            return parse_op(self, queue).map(Stmt::Op);
        }
        let here = self.mark_position();
        let word = self.word()?;
        Ok(match word.as_str() {
            "for" => {
                let var = self.var()?;
                self.keyword("max")?;
                let max_trip = self.number()?;
                self.keyword("to")?;
                let trip = self.expr()?;
                self.mark('{')?;
                Stmt::Loop {
                    var,
                    trip,
                    max_trip,
                    body: self.block()?,
                }
            }
            "let" => {
                let var = self.var()?;
                self.mark('=')?;
                Stmt::Let {
                    var,
                    value: self.expr()?,
                }
            }
            "stream" => {
                let ring = self.ring()?;
                let fill = self.ops()?;
                self.keyword("use")?;
                Stmt::Stream {
                    ring,
                    fill,
                    consume: self.ops()?,
                }
            }
            "wait" => {
                let (queue, sem, n) = self.sem()?;
                Stmt::Wait { queue, sem, n }
            }
            "post" => {
                let (queue, sem, n) = self.sem()?;
                Stmt::Post {
                    queue,
                    sem,
                    n,
                    all_cores: self.eat_word("all"),
                }
            }
            "barrier" => Stmt::Barrier,
            "advance" => Stmt::Advance(self.ring()?),
            _ => return Err(here.error(format!("expected a statement, found `{word}`"))),
        })
    }
}
