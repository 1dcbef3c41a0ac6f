//! The text form, read. See [`crate::print`] for what it looks like.
//!
//! The parser checks the text only: types are taken as written, and nodes may be used before their line. Whether the
//! graph makes sense is for the verifier to say. All errors are collected, each with line and column.

mod op;

use crate::dim::{Dim, Symbol};
use crate::graph::{Graph, Module, Node, Origin};
use crate::op::Op;
use crate::text::Cursor;
use crate::types::{Const, ConstId, Layout, State, StateId, Type, ValueId};
use llmc_tensor::{DType, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest id of a node in text. The arena is as long as its largest id, so that a typing error must not make it
/// huge; the largest models have some 10^5 nodes.
pub const MAX_ID: u32 = 1 << 20;

/// Where and why a text is not a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Finds the constant of a name; `None` leaves it as written: with its elements, or opaque.
pub type ConstSource<'a> = &'a dyn Fn(&str) -> Option<Arc<Const>>;

/// Reads one graph; constants that are not written out are opaque.
///
/// # Errors
/// All of them, by line.
pub fn parse_graph(text: &str) -> Result<Graph, Vec<ParseError>> {
    parse_graph_with(text, &|_| None)
}

/// Reads one graph and takes constants from `consts` where it has them.
///
/// # Errors
/// All of them, by line. A constant of another type or digest than the text says is one.
pub fn parse_graph_with(text: &str, consts: ConstSource<'_>) -> Result<Graph, Vec<ParseError>> {
    let mut module = parse_module_with(text, consts)?;
    match (module.entries.pop(), module.entries.len()) {
        (Some(graph), 0) => Ok(graph),
        (_, others) => {
            let message = format!(
                "expected one graph, found {}",
                if others > 0 { others + 1 } else { 0 }
            );
            Err(vec![ParseError {
                line: 1,
                column: 1,
                message,
            }])
        }
    }
}

/// Reads the graphs of a module; constants that are not written out are opaque.
///
/// # Errors
/// All of them, by line.
pub fn parse_module(text: &str) -> Result<Module, Vec<ParseError>> {
    parse_module_with(text, &|_| None)
}

/// Reads the graphs of a module and takes constants from `consts` where it has them.
///
/// # Errors
/// All of them, by line. A constant of another type or digest than the text says is one.
pub fn parse_module_with(text: &str, consts: ConstSource<'_>) -> Result<Module, Vec<ParseError>> {
    let mut parser = Parser {
        consts,
        done: Vec::new(),
        open: None,
        errors: Vec::new(),
    };
    let mut last = 1;
    for (i, line) in text.lines().enumerate() {
        last = i + 1;
        let mut c = Cursor::new(line);
        if c.rest().is_empty() || c.rest().starts_with("//") {
            continue;
        }
        if let Err(message) = parser.line(&mut c, last) {
            let column = line[..c.pos()].chars().count() + 1;
            parser.errors.push(ParseError {
                line: last,
                column,
                message,
            });
        }
    }
    if parser.open.is_some() {
        let message = "the graph has no closing `}`".to_string();
        parser.errors.push(ParseError {
            line: last,
            column: 1,
            message,
        });
    }
    parser.errors.sort_by_key(|e| (e.line, e.column));
    if parser.errors.is_empty() {
        Ok(Module::new(parser.done))
    } else {
        Err(parser.errors)
    }
}

struct Parser<'a> {
    consts: ConstSource<'a>,
    done: Vec<Graph>,
    open: Option<Open>,
    errors: Vec<ParseError>,
}

/// A graph whose end has not been seen.
struct Open {
    graph: Graph,
    /// Where each value is used: line and column, for those that turn out not to be defined.
    uses: BTreeMap<ValueId, (usize, usize)>,
}

impl Parser<'_> {
    fn line(&mut self, c: &mut Cursor<'_>, line: usize) -> Result<(), String> {
        let Some(open) = &mut self.open else {
            if !c.eat_word("graph") {
                return Err(format!("expected `graph \"name\" {{`, found {}", c.found()));
            }
            let graph = Graph::new(c.string()?);
            c.expect("{")?;
            c.end()?;
            self.open = Some(Open {
                graph,
                uses: BTreeMap::new(),
            });
            return Ok(());
        };
        if c.eat("}") {
            c.end()?;
            if let Some(open) = self.open.take() {
                self.close(open);
            }
            return Ok(());
        }
        if c.rest().starts_with('%') {
            open.node(c, line)?;
        } else if c.eat_word("bound") {
            open.bound(c)?;
        } else if c.eat_word("const") {
            open.constant(c, self.consts)?;
        } else if c.eat_word("state") {
            open.state(c)?;
        } else if c.eat_word("input") {
            open.input(c)?;
        } else if c.eat_word("output") {
            let name = c.string()?;
            let value = open.value(c, line)?;
            open.graph.add_output(name, value);
        } else {
            return Err(format!(
                "expected bound, const, state, input, output, a node or `}}`, found {}",
                c.found()
            ));
        }
        c.end()
    }

    fn close(&mut self, open: Open) {
        for (value, (line, column)) in open.uses {
            if open.graph.get(value).is_none() {
                let message = format!("{value} is not defined in graph \"{}\"", open.graph.name);
                self.errors.push(ParseError {
                    line,
                    column,
                    message,
                });
            }
        }
        self.done.push(open.graph);
    }
}

impl Open {
    fn bound(&mut self, c: &mut Cursor<'_>) -> Result<(), String> {
        let symbol = match c.back_quoted()? {
            Some(name) => Symbol::new(name),
            None => Symbol::new(c.ident().ok_or("expected a symbol")?),
        };
        c.expect("<=")?;
        let bound = c
            .number()?
            .ok_or_else(|| format!("expected a number, found {}", c.found()))?;
        self.graph.bounds.insert(symbol, bound);
        Ok(())
    }

    fn constant(&mut self, c: &mut Cursor<'_>, source: ConstSource<'_>) -> Result<(), String> {
        c.expect("c")?;
        self.next_index("c", c.index()?, self.graph.consts().len())?;
        let name = c.string()?;
        let ty = parse_type(c)?;
        let shape = ty
            .const_shape()
            .ok_or_else(|| format!("the shape of a constant is known, found {ty}"))?;
        let turns = if c.eat("*") { Some(c.index()?) } else { None };
        let written = if turns.is_none() && c.eat("=") {
            c.expect("[")?;
            let mut words = Vec::new();
            while !c.eat("]") {
                words.push(c.raw_value(']')?);
                c.eat(",");
            }
            Const::new(&name, elements(ty.dtype, &shape, &words)?)
        } else {
            c.expect("#")?;
            let word: String = c
                .rest()
                .chars()
                .take_while(char::is_ascii_hexdigit)
                .collect();
            let digest = u64::from_str_radix(&word, 16)
                .map_err(|_| "expected `= [elements]` or a digest of 16 digits")?;
            c.eat(&word);
            let described = Const::opaque(&name, ty.dtype, shape, digest);
            match turns {
                Some(turns) => described.of_turns(turns),
                None => described,
            }
        };
        let constant = match source(&name) {
            Some(found) if *found == written => found,
            Some(found) => return Err(format!("the constant at hand is another one: {found}")),
            None => Arc::new(written),
        };
        self.graph.tables_mut().consts.push(constant);
        Ok(())
    }

    fn state(&mut self, c: &mut Cursor<'_>) -> Result<(), String> {
        c.expect("s")?;
        self.next_index("s", c.index()?, self.graph.states().len())?;
        let mut names = vec![c.string()?];
        while c.eat(",") {
            names.push(c.string()?);
        }
        let ty = parse_type(c)?;
        let state = State {
            layout: ty.layout,
            ..State::new(&names[0], ty.dtype, ty.shape)
        };
        self.graph.add_state(match names.len() {
            1 => state,
            _ => state.stack(names),
        });
        Ok(())
    }

    fn input(&mut self, c: &mut Cursor<'_>) -> Result<(), String> {
        let id = self.new_id(c)?;
        let name = c.string()?;
        let ty = parse_type(c)?;
        let origin = parse_origin(c)?;
        self.graph.insert_at(
            id,
            Node {
                op: Op::Input,
                operands: Vec::new(),
                ty,
                origin,
            },
        );
        self.graph.push_input(name, id);
        Ok(())
    }

    fn node(&mut self, c: &mut Cursor<'_>, line: usize) -> Result<(), String> {
        let id = self.new_id(c)?;
        c.expect(":")?;
        let ty = parse_type(c)?;
        c.expect("=")?;
        let name = c
            .ident()
            .ok_or_else(|| format!("expected the name of an op, found {}", c.found()))?;
        let table_id = match name {
            "const" => Some(c.expect("c").and_then(|()| c.index())?),
            "append" => Some(c.expect("s").and_then(|()| c.index())?),
            _ => None,
        };
        c.eat(",");
        let mut operands = Vec::new();
        while c.rest().starts_with('%') {
            operands.push(self.value(c, line)?);
            if !c.eat(",") {
                break;
            }
        }
        let op = match (name, table_id) {
            ("const", Some(i)) => Op::Const(ConstId::from_index(i)),
            ("append", Some(i)) => Op::Append {
                state: StateId::from_index(i),
            },
            _ => op::build(name, op::Attributes::parse(c)?)?,
        };
        let origin = parse_origin(c)?;
        self.graph.insert_at(
            id,
            Node {
                op,
                operands,
                ty,
                origin,
            },
        );
        Ok(())
    }

    /// `%n` that is not defined yet.
    fn new_id(&mut self, c: &mut Cursor<'_>) -> Result<ValueId, String> {
        let id = parse_value(c)?;
        match self.graph.get(id) {
            None => Ok(id),
            Some(_) => Err(format!("{id} is defined twice")),
        }
    }

    /// `%n` as an operand.
    fn value(&mut self, c: &mut Cursor<'_>, line: usize) -> Result<ValueId, String> {
        let column = c.pos() + 1;
        let id = parse_value(c)?;
        self.uses.entry(id).or_insert((line, column));
        Ok(id)
    }

    fn next_index(&self, prefix: &str, found: usize, next: usize) -> Result<(), String> {
        if found == next {
            Ok(())
        } else {
            Err(format!("expected {prefix}{next}, found {prefix}{found}"))
        }
    }
}

fn parse_value(c: &mut Cursor<'_>) -> Result<ValueId, String> {
    c.expect("%")?;
    match u32::try_from(c.index()?) {
        Ok(id) if id <= MAX_ID => Ok(ValueId(id)),
        _ => Err(format!("node ids go up to %{MAX_ID}")),
    }
}

fn parse_type(c: &mut Cursor<'_>) -> Result<Type, String> {
    let word = c
        .ident()
        .ok_or_else(|| format!("expected a type, found {}", c.found()))?;
    let dtype: DType = word.parse()?;
    c.expect("[")?;
    let shape = parse_list(c, Dim::parse)?;
    let layout = if c.eat_word("split") {
        c.expect("(")?;
        let axis = c.index()?;
        c.expect(",")?;
        let unit = c.index()?;
        c.expect(")")?;
        Layout::Split { axis, unit }
    } else {
        Layout::Replicated
    };
    Ok(Type {
        dtype,
        shape,
        layout,
    })
}

/// Items with commas between, up to `]`; the opening bracket has been taken.
fn parse_list<'a, T>(
    c: &mut Cursor<'a>,
    item: impl Fn(&mut Cursor<'a>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    while !c.eat("]") {
        if !all.is_empty() {
            c.expect(",")?;
        }
        all.push(item(c)?);
    }
    Ok(all)
}

fn parse_origin(c: &mut Cursor<'_>) -> Result<Origin, String> {
    let mut names = Origin::new();
    if c.eat(";") {
        names.push(c.string()?);
        while c.eat(",") {
            names.push(c.string()?);
        }
    }
    Ok(names)
}

fn elements(dtype: DType, shape: &[usize], words: &[&str]) -> Result<Tensor, String> {
    fn each<T>(
        words: &[&str],
        dtype: DType,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, String> {
        let bad = |w: &str| format!("`{w}` is not an element of {dtype}");
        words
            .iter()
            .map(|w| parse(w).ok_or_else(|| bad(w)))
            .collect()
    }
    match dtype {
        DType::F32 => Tensor::from_vec(shape, each(words, dtype, |w| w.parse::<f32>().ok())?),
        d if d.is_float() => Tensor::from_f64(d, shape, &each(words, dtype, |w| w.parse().ok())?),
        DType::Bool => Tensor::from_vec(shape, each(words, dtype, |w| w.parse::<bool>().ok())?),
        DType::U64 => Tensor::from_vec(shape, each(words, dtype, |w| w.parse::<u64>().ok())?),
        d => Tensor::from_i64(d, shape, &each(words, dtype, |w| w.parse().ok())?),
    }
    .map_err(|e| e.to_string())
}
