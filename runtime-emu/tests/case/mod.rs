//! A program as a text file with what it does.
//!
//! A case is assembly with one entry. Lines that begin with `;:` set the stage, lines that begin with `;=` are what is
//! expected and are rewritten when the tests run with `LLMC_BLESS=1`:
//!
//! ```text
//! ;: cores 2x1              grid of cores (1x1)
//! ;: set core.queue_depth 2 a parameter of the chip (`edge` otherwise)
//! ;: dram 0x4000            bytes of DRAM (0x4000)
//! ;: weights 0x0 f32 1 2 3  the read-only bytes and where they lie
//! ;: state key 0x1000 64    a tensor of the manifest: name, address, bytes
//! ;: ram 0x1000 f32 1 2 3   what the host writes before the launch
//! ;: launch 3 4             launch registers
//! ;: limit 1000             most instructions
//! ;: origin 3 tile | graph | onnx, onnx
//! ;: sram 0x0 64 32 1 4 ring `w`  what lies in SRAM: address, bytes, page (0: none), first and last instruction, name
//! ;: on core.semaphores 8   a parameter of the chip the program runs on, if it is another
//! ;: word 3 0x02 0xff       changes a byte of an encoded instruction: index, position, value
//! ;: flip weights           changes a byte of the weights in the file
//! ;: norace                 do not look for races
//! ;: show 0x1000 f32 8      what to print of DRAM after the launch
//! ```
//!
//! Every case that ends well runs again in each mode and must give the same values and cycles.

use llmc_isa::container::{
    Binary, BinaryBuilder, DebugBuffer, DebugMap, DebugOp, Entry, LaunchRegister, Manifest,
    ModelInfo, StateTensor, WeightsImage,
};
use llmc_isa::{Chip, asm, encode};
use llmc_runtime_emu::{Machine, Mode, Options};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a case says of itself before it runs.
pub struct Stage {
    chip: Chip,
    run_on: Option<Chip>,
    dram: u64,
    weights: (u64, Vec<u8>),
    ram: Vec<(u64, Vec<u8>)>,
    launch: Vec<i64>,
    options: Options,
    debug: Vec<(usize, DebugOp)>,
    buffers: Vec<DebugBuffer>,
    show: Vec<(u64, String, u64)>,
    states: Vec<StateTensor>,
    /// Instruction, byte and its new value.
    words: Vec<(u64, u64, u8)>,
    flip_weights: bool,
}

fn number(text: &str) -> u64 {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("`{text}` is no number"))
}

fn values(dtype: &str, words: &[&str]) -> Vec<u8> {
    let each = |word: &&str| -> Vec<u8> {
        let f = || {
            word.parse::<f32>()
                .unwrap_or_else(|_| panic!("`{word}` is no number"))
        };
        let i = || {
            word.parse::<i64>()
                .unwrap_or_else(|_| panic!("`{word}` is no integer"))
        };
        match dtype {
            "f32" => f().to_le_bytes().to_vec(),
            "bf16" => llmc_isa::numerics::to_bf16(f()).to_le_bytes().to_vec(),
            "i32" => (i() as i32).to_le_bytes().to_vec(),
            "i64" => i().to_le_bytes().to_vec(),
            other => panic!("unknown type {other}"),
        }
    };
    // `1..8` counts.
    let mut all = Vec::new();
    for word in words {
        match word.split_once("..") {
            Some((a, b)) => {
                (number(a)..=number(b)).for_each(|n| all.extend(each(&n.to_string().as_str())))
            }
            None => all.extend(each(word)),
        }
    }
    all
}

/// Reads the stage lines.
pub fn stage(text: &str) -> Stage {
    let mut chip = Chip::load("edge").unwrap();
    chip.set("chip.cores_x", 1_u64).unwrap();
    chip.set("chip.cores_y", 1_u64).unwrap();
    let mut stage = Stage {
        chip,
        run_on: None,
        dram: 0x4000,
        weights: (0, Vec::new()),
        ram: Vec::new(),
        launch: Vec::new(),
        options: Options {
            max_instructions: 100_000,
            ..Options::default()
        },
        debug: Vec::new(),
        buffers: Vec::new(),
        show: Vec::new(),
        states: Vec::new(),
        words: Vec::new(),
        flip_weights: false,
    };
    for line in text.lines() {
        let Some(line) = line.strip_prefix(";:") else {
            continue;
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["cores", grid] => {
                let (x, y) = grid.split_once('x').unwrap();
                stage.chip.set("chip.cores_x", number(x)).unwrap();
                stage.chip.set("chip.cores_y", number(y)).unwrap();
            }
            ["set", key, value] => stage.chip.set(key, number(value)).unwrap(),
            ["dram", bytes] => stage.dram = number(bytes),
            ["weights", at, dtype, words @ ..] => {
                stage.weights = (number(at), values(dtype, words))
            }
            ["ram", at, dtype, words @ ..] => stage.ram.push((number(at), values(dtype, words))),
            ["launch", regs @ ..] => stage.launch = regs.iter().map(|r| number(r) as i64).collect(),
            ["limit", n] => stage.options.max_instructions = number(n),
            ["norace"] => stage.options.races = false,
            ["on", key, value] => {
                let chip = stage.run_on.as_ref().unwrap_or(&stage.chip);
                stage.run_on = Some(chip.with(key, number(value)).unwrap())
            }
            ["state", name, at, bytes] => stage.states.push(StateTensor {
                name: name.to_string(),
                dtype: "f32".to_string(),
                dims: vec![number(bytes) / 4],
                dram_addr: number(at),
                bytes: number(bytes),
            }),
            ["word", pc, at, value] => {
                let value = number(value) as u8;
                stage.words.push((number(pc), number(at), value))
            }
            ["sram", at, bytes, page, first, last, ..] => stage.buffers.push(DebugBuffer {
                name: words[6..].join(" "),
                sram: true,
                addr: number(at),
                bytes: number(bytes),
                page: number(page),
                first: number(first),
                last: number(last),
            }),
            ["flip", "weights"] => stage.flip_weights = true,
            ["show", at, dtype, n] => stage.show.push((number(at), dtype.to_string(), number(n))),
            ["origin", pc, ..] => {
                let rest = line.trim().splitn(3, ' ').nth(2).unwrap_or("");
                let mut parts = rest.split('|').map(|p| p.trim().to_string());
                let op = DebugOp {
                    tile_op: parts.next().unwrap_or_default(),
                    graph_node: parts.next().unwrap_or_default(),
                    onnx: parts
                        .next()
                        .iter()
                        .flat_map(|p| p.split(", "))
                        .map(str::to_string)
                        .collect(),
                };
                stage.debug.push((number(pc) as usize, op));
            }
            other => panic!("unknown stage line {other:?}"),
        }
    }
    stage
}

/// The program as a file that was read back; the error is why it was refused.
pub fn binary(stage: &Stage, program: &asm::Program) -> Result<Arc<Binary>, String> {
    let mut code = Vec::new();
    let mut entries = Vec::new();
    for (name, insts) in &program.entries {
        let register = |i: usize| LaunchRegister {
            name: format!("r{i}"),
            max: 1 << 40,
        };
        entries.push(Entry {
            name: name.clone(),
            code_offset: code.len() as u64,
            code_len: insts.len() as u64,
            launch: (0..stage.launch.len()).map(register).collect(),
            ..Entry::default()
        });
        code.extend_from_slice(insts);
    }
    let mut debug = DebugMap {
        ops: Vec::new(),
        inst_op: vec![0; code.len()],
        buffers: stage.buffers.clone(),
    };
    for (pc, op) in &stage.debug {
        debug.ops.push(op.clone());
        debug.inst_op[*pc] = debug.ops.len() as u32;
    }
    let weights = WeightsImage {
        dram_addr: stage.weights.0,
        bytes: stage.weights.1.len() as u64,
        blake3: Vec::new(),
    };
    let manifest = Manifest {
        compiler_version: "test".to_string(),
        dram_bytes: stage.dram,
        weights,
        entries,
        states: stage.states.clone(),
        model: ModelInfo::default(),
        ..Manifest::default()
    };
    let builder = BinaryBuilder {
        manifest,
        debug,
        chip: stage.chip.clone(),
        code,
        tokenizer: Vec::new(),
    };
    let code: Vec<u8> = builder
        .code
        .iter()
        .flat_map(|i| encode(i).unwrap())
        .collect();
    let mut bytes = builder.to_bytes(&mut stage.weights.1.as_slice()).unwrap();
    let find = |part: &[u8]| bytes.windows(part.len()).position(|w| w == part).unwrap();
    let text = find(&code);
    if stage.flip_weights {
        let at = find(&stage.weights.1);
        bytes[at] ^= 1;
    }
    for (pc, at, value) in &stage.words {
        bytes[text + (pc * 64 + at) as usize] = *value;
    }
    let binary = Binary::from_bytes(bytes, "case").map_err(|e| format!("refused\n{e}\n"))?;
    Ok(Arc::new(binary))
}

/// Runs the case in one mode; the text says what it did.
pub fn run(stage: &Stage, program: &asm::Program, mode: Mode) -> String {
    let binary = match binary(stage, program) {
        Ok(binary) => binary,
        Err(refused) => return refused,
    };
    let options = Options {
        mode,
        ..stage.options
    };
    let mut machine = match Machine::new(binary.clone(), stage.run_on.clone(), options) {
        Ok(machine) => machine,
        Err(e) => return format!("refused\n{e}\n"),
    };
    for (at, bytes) in &stage.ram {
        machine.write_dram(*at, bytes).unwrap();
    }
    let entry = binary.manifest().entries[0].clone();
    let stats = match machine.launch(&entry, &stage.launch) {
        Ok(stats) => stats,
        Err(fault) => return format!("fault {}\n{fault}\n", fault.kind.name()),
    };
    let mut out = format!("cycles {}\n", stats.cycles);
    for (at, dtype, n) in &stage.show {
        let size = match dtype.as_str() {
            "f32" | "i32" => 4,
            "bf16" => 2,
            _ => 8,
        };
        write!(out, "{at:#x} {dtype}").unwrap();
        match machine.read_dram(*at, n * size) {
            Ok(bytes) => {
                for b in bytes.chunks_exact(size as usize) {
                    match dtype.as_str() {
                        "f32" => write!(out, " {}", f32::from_le_bytes(b.try_into().unwrap())),
                        "bf16" => {
                            write!(
                                out,
                                " {}",
                                llmc_isa::numerics::from_bf16(u16::from_le_bytes(
                                    b.try_into().unwrap()
                                ))
                            )
                        }
                        "i32" => write!(out, " {}", i32::from_le_bytes(b.try_into().unwrap())),
                        _ => write!(out, " {}", i64::from_le_bytes(b.try_into().unwrap())),
                    }
                    .unwrap();
                }
            }
            Err(e) => write!(out, " {e}").unwrap(),
        }
        out.push('\n');
    }
    out
}

/// The cases of a folder: path and text, in the order of their names.
pub fn cases(folder: &Path) -> Vec<(PathBuf, String)> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut all: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "s"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect();
    all.sort();
    all
}

/// Assembles a case.
pub fn assemble(path: &Path, text: &str) -> asm::Program {
    match asm::assemble(text) {
        Ok(program) => program,
        Err(errors) => panic!(
            "{}: {}",
            path.display(),
            errors.iter().map(|e| format!("\n{e}")).collect::<String>()
        ),
    }
}

/// The cases are being rewritten: what depends on their expectations waits for the next run.
pub fn blessing() -> bool {
    std::env::var_os("LLMC_BLESS").is_some()
}

/// Runs the cases of a folder and compares with what they say.
///
/// # Panics
/// If one of them does something else.
pub fn check(folder: &Path) {
    let bless = blessing();
    let mut failed = Vec::new();
    for (path, text) in cases(folder) {
        let stage = stage(&text);
        let program = assemble(&path, &text);
        let found = run(&stage, &program, Mode::Full);
        assert_eq!(
            found,
            run(&stage, &program, Mode::Full),
            "{}: not deterministic",
            path.display()
        );
        if found.starts_with("cycles") {
            let (cycles, values) = found.split_once('\n').unwrap();
            let function = run(&stage, &program, Mode::Function);
            assert_eq!(
                function,
                format!("cycles 0\n{values}"),
                "{}: function mode",
                path.display()
            );
            let timing = run(&stage, &program, Mode::Timing);
            assert_eq!(
                timing.lines().next(),
                Some(cycles),
                "{}: timing mode",
                path.display()
            );
        }
        let expected: String = text
            .lines()
            .filter_map(|l| l.strip_prefix(";="))
            .map(|l| format!("{}\n", l.trim_start_matches(' ')))
            .collect();
        let flat: String = found
            .lines()
            .map(|l| format!("{}\n", l.trim_start_matches(' ')))
            .collect();
        if expected == flat {
            continue;
        }
        if bless {
            let mut new: String = text
                .lines()
                .filter(|l| !l.starts_with(";="))
                .map(|l| format!("{l}\n"))
                .collect::<String>();
            for line in found.lines() {
                writeln!(new, ";= {line}").unwrap();
            }
            std::fs::write(&path, new).unwrap();
        } else {
            failed.push(format!(
                "{}\n--- expected\n{expected}--- found\n{flat}",
                path.display()
            ));
        }
    }
    assert!(
        failed.is_empty(),
        "{}\n(LLMC_BLESS=1 accepts)",
        failed.join("\n")
    );
}
