//! Whole programs as text.
//!
//! ```text
//! ; a comment
//! .entry decode
//!     ctl.launch rd=r1
//!     ctl.loop count=r1 {
//!         dma.load queue=dma0, dst=[r2+0x100], src={0x4000}, n0=1, n1=1, n2=1, bytes=256?r3
//!         sem.post queue=dma0, n=1
//!     }
//!     ctl.halt
//! ```
//!
//! One instruction per line, `mnemonic field=value, field=value`; fields that are left out are zero (`queue` is
//! printed even so). A loop is a block; a loop
//! whose body does not end within the block around it is written with its `body` field instead. Every program prints as a
//! text that assembles to the same program.

mod parse;

pub use parse::{assemble, parse_inst};

use crate::container::{DebugMap, DebugOp};
use crate::inst::Inst;

/// A program: its entries with their instructions, in the order of `.text`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// Name and instructions of each entry.
    pub entries: Vec<(String, Vec<Inst>)>,
}

/// One error in assembly text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct AsmError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// One instruction as text.
pub fn print_inst(inst: &Inst) -> String {
    print_fields(inst, &[])
}

/// One instruction without the fields named in `hidden`.
fn print_fields(inst: &Inst, hidden: &[&str]) -> String {
    let family = inst.row().is_family();
    let fields = inst.texts().into_iter().filter(|(name, _, zero)| {
        let in_mnemonic = family && *name == "op";
        (!zero || *name == "queue") && !in_mnemonic && !hidden.contains(name)
    });
    let fields: Vec<String> = fields
        .map(|(name, text, _)| format!("{name}={text}"))
        .collect();
    let space = if fields.is_empty() { "" } else { " " };
    format!("{}{space}{}", inst.mnemonic(), fields.join(", "))
}

/// The canonical text of a program. With a debug map, the source of each instruction follows as a comment; instructions are
/// counted through all entries.
pub fn disassemble(program: &Program, debug: Option<&DebugMap>) -> String {
    let mut out = String::new();
    let mut index = 0;
    for (name, code) in &program.entries {
        out += &format!(".entry {name}\n");
        // Ends of the open blocks, in instructions of this entry.
        let mut ends = vec![code.len()];
        for (at, inst) in code.iter().enumerate() {
            let outer = ends.last().copied().unwrap_or(code.len());
            let indent = "    ".repeat(ends.len());
            let end = match inst {
                Inst::CtlLoop(l) => usize::try_from(l.body)
                    .ok()
                    .and_then(|body| (at + 1).checked_add(body)),
                _ => None,
            };
            let block = end.filter(|end| *end <= outer && *end > at + 1);
            let text = match block {
                Some(_) => format!("{} {{", print_fields(inst, &["body"])),
                None => print_inst(inst),
            };
            let comment = debug
                .and_then(|d| d.op(index))
                .map_or(String::new(), comment);
            out += &format!("{indent}{text}{comment}\n");
            index += 1;
            ends.extend(block);
            while ends.len() > 1 && ends.last() == Some(&(at + 1)) {
                ends.pop();
                out += &format!("{}}}\n", "    ".repeat(ends.len()));
            }
        }
    }
    out
}

/// `  ; tile op | graph node | "onnx node"`
fn comment(op: &DebugOp) -> String {
    let mut parts = vec![op.tile_op.clone(), op.graph_node.clone()];
    parts.extend(op.onnx.iter().map(|name| format!("\"{name}\"")));
    parts.retain(|p| !p.is_empty());
    if parts.is_empty() {
        String::new()
    } else {
        format!("  ; {}", parts.join(" | ").replace(['\n', '\r'], " "))
    }
}

#[cfg(test)]
mod tests;
