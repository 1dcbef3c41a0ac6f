//! The assembler.

use super::{AsmError, Program};
use crate::inst::{CtlLoop, Inst, ROWS, RowInfo, encode};

/// Reads assembly text. All errors are collected.
pub fn assemble(text: &str) -> Result<Program, Vec<AsmError>> {
    let mut parser = Parser::default();
    for (number, line) in text.lines().enumerate() {
        parser.line(&Line {
            number: number + 1,
            text: line,
        });
    }
    parser.finish()
}

/// Reads one instruction; a loop must have its `body` field.
pub fn parse_inst(text: &str) -> Result<Inst, AsmError> {
    let line = Line { number: 1, text };
    let mut errors = Vec::new();
    let inst = instruction(&line, code_of(text), &mut errors).and_then(|(inst, fields)| {
        let inst = checked(&line, inst, &fields, &mut errors);
        inst.filter(|_| errors.is_empty())
    });
    inst.ok_or_else(|| {
        errors
            .into_iter()
            .next()
            .unwrap_or_else(|| line.error(text, "no instruction"))
    })
}

/// A line of the text; parts of it are subslices, whose place gives the column.
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    /// An error at `part`, which is a subslice of the line.
    fn error(&self, part: &str, message: impl Into<String>) -> AsmError {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let before = self.text.get(..offset).unwrap_or("");
        AsmError {
            line: self.number,
            column: before.chars().count() + 1,
            message: message.into(),
        }
    }
}

/// The line without comment and surrounding space.
fn code_of(line: &str) -> &str {
    line.split(';').next().unwrap_or("").trim()
}

/// An open `{`: where it is and which instruction of the entry it belongs to.
struct Block {
    line: usize,
    column: usize,
    /// Index of the loop; `None` if the loop itself had errors.
    inst: Option<usize>,
    /// Instructions of the entry when the block was opened.
    start: usize,
}

#[derive(Default)]
struct Parser {
    program: Program,
    blocks: Vec<Block>,
    errors: Vec<AsmError>,
}

impl Parser {
    fn line(&mut self, line: &Line<'_>) {
        let code = code_of(line.text);
        if code.is_empty() {
            return;
        }
        if let Some(directive) = code.strip_prefix('.') {
            self.directive(line, directive);
        } else if code == "}" {
            self.close(line, code);
        } else if self.program.entries.is_empty() {
            self.errors
                .push(line.error(code, "instruction before the first `.entry`"));
        } else if let Some(head) = code
            .strip_suffix('{')
            .filter(|head| head.ends_with([' ', '\t']))
        {
            self.open(line, head.trim_end());
        } else if let Some((inst, fields)) = instruction(line, code, &mut self.errors)
            && let Some(inst) = checked(line, inst, &fields, &mut self.errors)
        {
            self.push(inst);
        }
    }

    fn directive(&mut self, line: &Line<'_>, directive: &str) {
        let (word, name) = directive
            .split_once(char::is_whitespace)
            .unwrap_or((directive, ""));
        let name = name.trim();
        self.close_all("this block is still open at the next `.entry`");
        if word != "entry" {
            self.errors.push(line.error(
                directive,
                format!("unknown directive `.{word}`; there is `.entry NAME`"),
            ));
        } else if name.is_empty() || name.contains(char::is_whitespace) {
            self.errors
                .push(line.error(directive, "`.entry` needs one name"));
        } else if self.program.entries.iter().any(|(other, _)| other == name) {
            self.errors
                .push(line.error(name, format!("there are two entries `{name}`")));
        } else {
            self.program.entries.push((name.to_string(), Vec::new()));
        }
    }

    fn len(&self) -> usize {
        self.program
            .entries
            .last()
            .map_or(0, |(_, code)| code.len())
    }

    fn push(&mut self, inst: Inst) {
        if let Some((_, code)) = self.program.entries.last_mut() {
            code.push(inst);
        }
    }

    /// `ctl.loop count=r4 {`
    fn open(&mut self, line: &Line<'_>, head: &str) {
        let brace = line.error(head, "");
        let mut inst = None;
        if let Some((parsed, fields)) = instruction(line, head, &mut self.errors) {
            let body = fields.iter().find(|(name, _)| *name == "body");
            match (parsed, body) {
                (Inst::CtlLoop(_), None) => {
                    inst = Some(self.len());
                    self.push(parsed);
                }
                (Inst::CtlLoop(_), Some((_, place))) => {
                    self.errors
                        .push(line.error(place, "a loop with a block has no `body` field"));
                }
                _ => self
                    .errors
                    .push(line.error(head, "only `ctl.loop` has a block")),
            }
        }
        self.blocks.push(Block {
            line: brace.line,
            column: brace.column,
            inst,
            start: self.len(),
        });
    }

    fn close(&mut self, line: &Line<'_>, code: &str) {
        let Some(block) = self.blocks.pop() else {
            self.errors.push(line.error(code, "`}` without a block"));
            return;
        };
        let body = self.len() - block.start;
        let code_len = u32::try_from(body);
        let slot = block
            .inst
            .and_then(|at| self.program.entries.last_mut()?.1.get_mut(at));
        match (slot, code_len) {
            (Some(Inst::CtlLoop(CtlLoop { body, .. })), Ok(length)) if length > 0 => *body = length,
            // The loop had an error of its own, or its body did.
            (None, _) => {}
            _ if !self.errors.is_empty() => {}
            _ => self.errors.push(AsmError {
                line: block.line,
                column: block.column,
                message: "a loop needs at least one instruction in its block".to_string(),
            }),
        }
    }

    fn close_all(&mut self, message: &str) {
        for block in self.blocks.drain(..) {
            self.errors.push(AsmError {
                line: block.line,
                column: block.column,
                message: message.to_string(),
            });
        }
    }

    fn finish(mut self) -> Result<Program, Vec<AsmError>> {
        self.close_all("this block is never closed");
        self.errors.sort_by_key(|e| (e.line, e.column));
        if self.errors.is_empty() {
            Ok(self.program)
        } else {
            Err(self.errors)
        }
    }
}

/// The fields that a line sets: name and the place of the value.
type Fields<'a> = Vec<(&'a str, &'a str)>;

/// The row and the zero instruction of a mnemonic.
fn lookup(mnemonic: &str) -> Option<(&'static RowInfo, Inst)> {
    ROWS.iter().find_map(|row| {
        let mut inst = Inst::zeroed(row.opcode)?;
        let found = if row.is_family() {
            mnemonic
                .strip_prefix(row.mnemonic)
                .is_some_and(|op| inst.set("op", op) == Some(Ok(())))
        } else {
            row.mnemonic == mnemonic
        };
        found.then_some((*row, inst))
    })
}

/// Reads `mnemonic field=value, ..`; errors of all fields are collected, and give no instruction.
fn instruction<'a>(
    line: &Line<'_>,
    code: &'a str,
    errors: &mut Vec<AsmError>,
) -> Option<(Inst, Fields<'a>)> {
    let (mnemonic, rest) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
    let Some((row, mut inst)) = lookup(mnemonic) else {
        errors.push(line.error(mnemonic, format!("unknown instruction `{mnemonic}`")));
        return None;
    };
    let before = errors.len();
    let mut fields: Fields<'a> = Vec::new();
    for part in rest.split(',') {
        let part = if part.trim().is_empty() {
            part
        } else {
            part.trim()
        };
        if rest.trim().is_empty() {
            break;
        }
        let Some((name, value)) = part.split_once('=').map(|(n, v)| (n.trim(), v.trim())) else {
            errors.push(line.error(part, "expected `field=value`"));
            continue;
        };
        if fields.iter().any(|(other, _)| *other == name) {
            errors.push(line.error(part, format!("field `{name}` is given twice")));
            continue;
        }
        fields.push((name, value));
        let set = if row.is_family() && name == "op" {
            None
        } else {
            inst.set(name, value)
        };
        match set {
            Some(Ok(())) => {}
            Some(Err(reason)) => {
                errors.push(line.error(value, format!("field `{name}`: {reason}")))
            }
            None => {
                let names = row
                    .fields
                    .iter()
                    .map(|f| f.name)
                    .filter(|n| !(row.is_family() && *n == "op"));
                let names = names.collect::<Vec<_>>().join(", ");
                let has = if names.is_empty() {
                    "it has no fields".to_string()
                } else {
                    format!("it has {names}")
                };
                errors.push(line.error(part, format!("`{mnemonic}` has no field `{name}`; {has}")));
            }
        }
    }
    (errors.len() == before).then_some((inst, fields))
}

/// The instruction if it can be encoded; else an error at the field.
fn checked(
    line: &Line<'_>,
    inst: Inst,
    fields: &Fields<'_>,
    errors: &mut Vec<AsmError>,
) -> Option<Inst> {
    match encode(&inst) {
        Ok(_) => Some(inst),
        Err(error) => {
            let place = fields
                .iter()
                .find(|(name, _)| *name == error.field)
                .map_or(line.text.trim_start(), |f| f.1);
            errors.push(line.error(place, format!("field `{}`: {}", error.field, error.reason)));
            None
        }
    }
}
