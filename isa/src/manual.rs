//! Generates the documents of the instruction set from its rows: `MANUAL.md`, and `isa_pkg.sv` in [`sv_package`].

use crate::field::Field;
use crate::inst::{FieldInfo, Inst, ROWS, RowInfo, WORD_BYTES};
use crate::operand::{
    ActFn, BinaryFn, DType, IndexType, IntFn, Pace, QuantFn, Queue, ReduceFn, Scope, UnaryFn,
};
use crate::{energy, numerics, timing};

/// Fields of a row in the order of their bytes, with unused bytes as `None`: (first, one past last, field).
fn byte_order(row: &RowInfo) -> Vec<(usize, usize, Option<&'static FieldInfo>)> {
    let mut fields: Vec<&'static FieldInfo> = row.fields.iter().collect();
    fields.sort_by_key(|f| f.lo);
    let mut parts = Vec::new();
    let mut at = 1;
    for field in fields {
        if field.lo > at {
            parts.push((at, field.lo, None));
        }
        parts.push((field.lo, field.hi, Some(field)));
        at = field.hi;
    }
    if at < WORD_BYTES {
        parts.push((at, WORD_BYTES, None));
    }
    parts
}

/// Members of a closed set: (encoding, name, meaning).
type Members = Vec<(u8, &'static str, &'static str)>;

/// The closed sets that appear as field types, by name.
fn sets() -> Vec<(&'static str, Members)> {
    macro_rules! members {
        ($($ty:ident),*) => {
            vec![$((<$ty as Field>::NAME, $ty::ALL.iter().map(|v| (*v as u8, v.name(), v.doc().trim())).collect())),*]
        };
    }
    members!(
        Queue, DType, IndexType, Scope, UnaryFn, BinaryFn, IntFn, QuantFn, ActFn, ReduceFn
    )
}

/// Pace and digest of the members of the sets of functions; [`HEAD`] says what a digest is.
fn functions() -> Vec<(&'static str, Vec<String>)> {
    fn cells(pace: Pace, results: impl Iterator<Item = u32>) -> String {
        let mut hash = blake3::Hasher::new();
        for bits in results {
            hash.update(&bits.to_le_bytes());
        }
        format!("{} | `{}`", pace.name(), &hash.finalize().to_hex()[..16])
    }
    macro_rules! each {
        ($ty:ident, $of:expr) => {{
            let results = |f: $ty| samples().map(move |[a, b]| $of(f, a, b));
            let rows = $ty::ALL.iter().map(|f| cells(f.pace(), results(*f)));
            (<$ty as Field>::NAME, rows.collect())
        }};
    }
    let bits = |y: f32| if y.is_nan() { 0x7fc0_0000 } else { y.to_bits() };
    let float = numerics::from_bf16;
    vec![
        each!(UnaryFn, |f: UnaryFn, a, _| bits(f.apply([float(a)]))),
        each!(BinaryFn, |f: BinaryFn, a, b| bits(
            f.apply([float(a), float(b)])
        )),
        each!(IntFn, |f: IntFn, a: u16, b: u16| {
            f.apply([i32::from(a as i16) << 9, i32::from(b as i16) >> 9]) as u32
        }),
        each!(QuantFn, |f: QuantFn, a, b| bits(f.apply([
            float(a),
            float(b),
            3.0
        ]))),
        each!(ActFn, |f: ActFn, a, _| bits(f.apply([float(a)]))),
    ]
}

/// Every 16-bit pattern a, with the pattern `a * 40503 + 12345` modulo 65536.
fn samples() -> impl Iterator<Item = [u16; 2]> {
    (0..=u16::MAX).map(|a| [a, a.wrapping_mul(40503).wrapping_add(12345)])
}

/// Mnemonics of a row: one, or those of its family.
pub fn mnemonics(row: &RowInfo) -> Vec<String> {
    let op = row.field("op").filter(|_| row.is_family());
    let family = op.and_then(|op| sets().into_iter().find(|(name, _)| *name == op.ty));
    match family {
        Some((_, members)) => members
            .iter()
            .map(|(_, name, _)| format!("{}{name}", row.mnemonic))
            .collect(),
        None => vec![row.mnemonic.to_string()],
    }
}

const HEAD: &str = "\
# Instruction manual

Generated from the rows in `src/inst/rows.rs`; `LLMC_BLESS=1 cargo test -p llmc-isa` rewrites it.

## Words

An instruction has 64 bytes, little endian. Byte 0 is the opcode; bytes of no field must be 0. As text it is
`mnemonic field=value, field=value`; fields that are left out are 0.

## Operand types

Registers r0 to r63 are those of the controller; they hold 64-bit integers, r0 is always 0. An operand that names a register is folded
to a constant when the controller dispatches the instruction. A register in an address, scalar or extent takes the top six
bits of the field; the constant takes the rest.

| type | text | meaning |
|---|---|---|
| Reg | `r5` | a register |
| Val | `5`, `r5`, `r5-3` | register plus signed constant |
| SAddr | `[0x100]`, `[r3+0x100]` | byte address in SRAM, register plus constant |
| DAddr | `{0x100}`, `{r3+0x100}` | byte address in DRAM, register plus constant of 48 bits |
| Ext | `16`, `16?r5` | a size; with a register, `min(max(r5, 0), 16)`. An instruction with an extent of 0 does nothing |
| VOp | `f32[r3+0x100:s0:s1]`, `bf16[0x0:4:0:bcast]` | vector operand: element type, address, byte strides of the two outer dimensions; the innermost is contiguous, or one element broadcast. Packed from bit 0: address 32, s0 32, s1 32, bcast 1, type 7 |
| Sem | `3` | number of a semaphore |
| f32 | `1.5`, `-inf`, `nan:0x7fc00000` | a number, as IEEE binary32 |
| u16, u32, i64 | `16`, `0x10`, `-1` | an integer of the field's width |
| bool | `true` | a flag |

The tables of functions give the cycles that the vector unit takes for a step of its lanes, and a digest of the definition: the
first 64 bits of the BLAKE3 hash of the results (32 bits each, little endian, any NaN as 0x7fc00000) for the operands that follow.
Functions of one operand get the bf16 values 0x0000 to 0xffff. The others get, for each such pattern a, also
b = (40503 a + 12345) mod 65536: functions of two operands both as bf16 values, integer functions `int16(a) << 9` and
`int16(b) >> 9`, conversions both as bf16 values and the zero point 3.
";

/// The text of `MANUAL.md`.
pub fn manual() -> String {
    let mut out = HEAD.to_string();
    let functions = functions();
    for (name, members) in sets() {
        // Functions have more to say than other sets.
        let more = functions.iter().find(|(set, _)| *set == name);
        let (titles, rule) = match more {
            Some(_) => (" cycles of a step | digest |", "---|---|"),
            None => ("", ""),
        };
        out +=
            &format!("\n### {name}\n\n| value | text | meaning |{titles}\n|---|---|---|{rule}\n");
        for (i, (value, text, doc)) in members.into_iter().enumerate() {
            let more = more.and_then(|(_, cells)| cells.get(i));
            let more = more.map_or(String::new(), |cells| format!(" {cells} |"));
            out += &format!(
                "| {value} | `{text}` | {} |{more}\n",
                doc.replace('|', "\\|")
            );
        }
    }
    out += &format!("\n{}\n{}\n", timing::DOC, energy::DOC);
    out += "## Faults\n\nA fault ends the launch. It names instruction, core, engine, address range and owning buffer, and for a race the earlier access.\n\n\
            | fault | meaning |\n|---|---|\n";
    for (name, meaning) in timing::FAULTS {
        out += &format!("| {name} | {meaning} |\n");
    }
    out += "\n## Instructions\n\n| opcode | mnemonic | engine | |\n|---|---|---|---|\n";
    for row in ROWS {
        let names: Vec<String> = mnemonics(row).iter().map(|m| format!("`{m}`")).collect();
        let summary = row.doc.first().map_or("", |line| line.trim());
        out += &format!(
            "| {:#04x} | {} | {} | {summary} |\n",
            row.opcode,
            names.join(" "),
            row.engine
        );
    }
    for row in ROWS {
        out += &section(row);
    }
    out
}

fn section(row: &RowInfo) -> String {
    let title = if row.is_family() {
        format!("{}*op*", row.mnemonic)
    } else {
        row.mnemonic.to_string()
    };
    let mut out = format!("\n### {title}\n\n");
    let mut doc = row.doc.iter();
    for line in doc.by_ref().take(1) {
        out += &format!("{}\n\n", line.trim());
    }
    let engine = match row.engine {
        "ctl" => "the controller itself".to_string(),
        "queue" => "the engine named by `queue`".to_string(),
        engine => format!("engine `{engine}`"),
    };
    out += &format!(
        "**Syntax.** `{}`\n\n**Encoding.** Opcode {:#04x}, run by {engine}.\n\n```\n{}```\n\n| bytes | field | type | |\n|---|---|---|---|\n",
        syntax(row),
        row.opcode,
        drawing(row)
    );
    for (lo, hi, field) in byte_order(row) {
        let bytes = if hi - lo == 1 {
            lo.to_string()
        } else {
            format!("{lo} to {}", hi - 1)
        };
        out += &match field {
            Some(f) => format!("| {bytes} | `{}` | {} | {} |\n", f.name, f.ty, f.doc.trim()),
            None => format!("| {bytes} | | | 0 |\n"),
        };
    }
    let operation: Vec<&str> = doc.map(|line| line.trim()).collect();
    if !operation.is_empty() {
        out += &format!("\n**Operation.** {}\n", operation.join("  \n"));
    }
    let Some(described) = Inst::zeroed(row.opcode).map(|inst| timing::describe(&inst)) else {
        return out;
    };
    out += &format!("\n**Timing.** {}.", described.busy);
    if !described.latency.is_empty() {
        out += &format!(" Latency: {}.", described.latency);
    }
    out + &format!(
        "\n\n**Energy.** {}.\n\n**Faults.** {}.\n",
        described.energy,
        described.faults.join(", ")
    )
}

/// The text form of a row, with the types of its fields.
fn syntax(row: &RowInfo) -> String {
    let family = row.is_family();
    let fields = row.fields.iter().filter(|f| !(family && f.name == "op"));
    let fields: Vec<String> = fields.map(|f| format!("{}={}", f.name, f.ty)).collect();
    let op = if family { "OP" } else { "" };
    format!("{}{op} {}", row.mnemonic, fields.join(", "))
        .trim_end()
        .to_string()
}

/// Bytes of a line of a drawing.
const DRAWN: usize = 16;
/// Characters of a byte in a drawing, its left border included.
const CELL: usize = 6;

/// The bytes of a word as boxes, [`DRAWN`] to a line. Names that do not fit end in `~`.
fn drawing(row: &RowInfo) -> String {
    let mut parts = vec![(0, 1, format!("{:#04x}", row.opcode))];
    for (lo, hi, field) in byte_order(row) {
        parts.push((lo, hi, field.map_or("0", |f| f.name).to_string()));
    }
    let rule = |out: &mut String, borders: &dyn Fn(usize) -> bool| {
        *out += "    ";
        for byte in 0..DRAWN {
            out.push(if borders(byte) { '+' } else { '-' });
            *out += &"-".repeat(CELL - 1);
        }
        *out += "+\n";
    };
    let mut out = String::from("   ");
    for byte in 0..DRAWN {
        out += &format!("{byte:>CELL$}");
    }
    out.push('\n');
    let starts = |at: usize| parts.iter().any(|(lo, ..)| *lo == at);
    for line in (0..WORD_BYTES).step_by(DRAWN) {
        rule(&mut out, &|byte| {
            byte == 0 || starts(line + byte) || (line > 0 && starts(line - DRAWN + byte))
        });
        out += &format!("{line:>3} ");
        for (lo, hi, name) in &parts {
            let (from, to) = ((*lo).max(line), (*hi).min(line + DRAWN));
            if from >= to {
                continue;
            }
            let room = (to - from) * CELL - 1;
            let mut label = name.clone();
            if label.len() > room {
                label.truncate(room - 1);
                label.push('~');
            }
            out += &format!("|{label:^room$}");
        }
        out += "|\n";
    }
    let last = WORD_BYTES - DRAWN;
    rule(&mut out, &|byte| byte == 0 || starts(last + byte));
    out
}

/// The text of `isa_pkg.sv`: opcodes, closed sets and one packed struct per instruction.
pub fn sv_package() -> String {
    let mut out = String::from(
        "// Generated from the rows in src/inst/rows.rs; LLMC_BLESS=1 cargo test -p llmc-isa rewrites it.\n\
         package isa_pkg;\n\n  localparam int unsigned WORD_BITS = 512;\n\n  typedef enum logic [7:0] {\n",
    );
    let opcodes: Vec<String> = ROWS
        .iter()
        .map(|r| format!("    OP_{} = 8'h{:02x}", sv_name(r), r.opcode))
        .collect();
    out += &format!("{}\n  }} opcode_e;\n", opcodes.join(",\n"));
    for (name, members) in sets() {
        let members: Vec<String> = members
            .iter()
            .map(|(value, text, _)| {
                format!(
                    "    {}_{} = 8'h{value:02x}",
                    name.to_uppercase(),
                    text.to_uppercase()
                )
            })
            .collect();
        out += &format!(
            "\n  typedef enum logic [7:0] {{\n{}\n  }} {}_e;\n",
            members.join(",\n"),
            name.to_lowercase()
        );
    }
    for row in ROWS {
        out += &format!(
            "\n  // {}\n  typedef struct packed {{\n",
            mnemonics(row).join(" ")
        );
        // Packed structs begin with the highest bits.
        for (lo, hi, field) in byte_order(row).into_iter().rev() {
            let name = field.map_or(format!("zero_{lo}"), |f| f.name.to_string());
            out += &format!("    logic [{}:0] {name};\n", (hi - lo) * 8 - 1);
        }
        out += &format!(
            "    opcode_e opcode;\n  }} {}_t;\n",
            sv_name(row).to_lowercase()
        );
    }
    out + "\nendpackage\n"
}

/// `CtlLi` as `CTL_LI`.
fn sv_name(row: &RowInfo) -> String {
    let mut out = String::new();
    for (i, c) in row.name.chars().enumerate() {
        if i > 0 && c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

/// Compares a generated file of this crate with what it should hold, or rewrites it if `LLMC_BLESS` is set.
#[cfg(test)]
#[track_caller]
pub(crate) fn assert_fresh(path: &str, content: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("LLMC_BLESS").is_some() {
        std::fs::write(&path, content).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == content,
        "{} is stale; LLMC_BLESS=1 cargo test -p llmc-isa rewrites it",
        path.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_is_fresh() {
        assert_fresh("MANUAL.md", &manual());
    }

    #[test]
    fn the_systemverilog_package_is_fresh() {
        assert_fresh("isa_pkg.sv", &sv_package());
    }
}
