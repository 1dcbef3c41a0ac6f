//! Properties that must hold for any bytes, for fuzzers (`fuzz/`) and for the tests, which run the same functions on a
//! fixed stream of random bytes. Each panics if its property does not hold, and on nothing else.

use crate::{Category, Machine, Mode, Options};
use llmc_isa::container::{
    Binary, BinaryBuilder, DebugMap, Entry, LaunchRegister, Manifest, WeightsImage,
};
use llmc_isa::inst::{CtlHalt, ROWS, WORD_BYTES, Word};
use llmc_isa::{Chip, Inst, asm, decode, encode};
use std::sync::{Arc, OnceLock};

/// Bytes of DRAM of the programs made here.
const DRAM: u64 = 4096;

/// Bytes of weights of the programs made here.
const WEIGHTS: u64 = 1024;

/// The word at the start of `data`, filled up with zeros.
fn word(data: &[u8]) -> Word {
    let mut word = [0; WORD_BYTES];
    let n = data.len().min(WORD_BYTES);
    word[..n].copy_from_slice(&data[..n]);
    word
}

/// A word is either refused with its position or means one instruction, which encodes to the same word.
///
/// # Panics
/// If it is neither.
pub fn decode_word(data: &[u8]) {
    let word = word(data);
    match decode(&word, 0) {
        Ok(inst) => assert_eq!(encode(&inst).as_ref(), Ok(&word), "{inst:?}"),
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

/// A text is either refused or assembles to a program that survives encoding and printing.
///
/// # Panics
/// If it is neither.
pub fn assemble_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match asm::assemble(&text) {
        Ok(program) => {
            for inst in program.entries.iter().flat_map(|(_, code)| code) {
                let word = encode(inst).expect("what is assembled can be encoded");
                assert_eq!(decode(&word, 0).as_ref(), Ok(inst));
                let printed = asm::parse_inst(&asm::print_inst(inst));
                assert_eq!(printed.as_ref().ok(), Some(inst));
            }
        }
        Err(errors) => assert!(!errors.is_empty()),
    }
}

/// A file is either refused with a reason or is a program whose parts are all inside the file.
///
/// # Panics
/// If it is neither.
pub fn load_binary(data: &[u8]) {
    match Binary::from_bytes(data.to_vec(), "fuzz") {
        Ok(binary) => {
            let manifest = binary.manifest();
            assert_eq!(binary.weights().len() as u64, manifest.weights.bytes);
            for entry in &manifest.entries {
                assert_eq!(binary.entry_code(entry).len() as u64, entry.code_len);
            }
        }
        Err(e) => assert!(!e.reason.is_empty()),
    }
}

fn chip() -> &'static Chip {
    static CHIP: OnceLock<Chip> = OnceLock::new();
    CHIP.get_or_init(|| {
        let small = [
            ("chip.cores_x", 2),
            ("chip.cores_y", 1),
            ("core.sram_kib", 16),
        ];
        small.iter().fold(
            Chip::load("edge").expect("a preset"),
            |chip, &(key, value)| chip.with(key, value as u64).expect("in range"),
        )
    })
}

/// A small valid program file around some code; a `ctl.halt` is added.
///
/// # Panics
/// If the code does not make a valid file.
pub fn small_binary(mut code: Vec<Inst>) -> Vec<u8> {
    code.push(Inst::CtlHalt(CtlHalt {}));
    let entry = Entry {
        name: "main".to_string(),
        code_len: code.len() as u64,
        launch: vec![LaunchRegister {
            name: "n".to_string(),
            max: 9,
        }],
        ..Entry::default()
    };
    let manifest = Manifest {
        dram_bytes: DRAM,
        weights: WeightsImage {
            dram_addr: 0,
            bytes: WEIGHTS,
            blake3: Vec::new(),
        },
        entries: vec![entry],
        ..Manifest::default()
    };
    let builder = BinaryBuilder {
        manifest,
        debug: DebugMap::default(),
        chip: chip().clone(),
        code,
        tokenizer: Vec::new(),
    };
    let bytes = builder.to_bytes(&mut [0x3c_u8; WEIGHTS as usize].as_slice());
    bytes.expect("a valid program")
}

/// Bytes as valid instructions: the first byte of each word picks a row, the others are tried as they are, then with fewer
/// bits set; what still means nothing is left out.
fn instructions(data: &[u8]) -> Vec<Inst> {
    let mut code = Vec::new();
    for chunk in data.chunks(WORD_BYTES).take(64) {
        let mut word = word(chunk);
        word[0] = ROWS[usize::from(word[0]) % ROWS.len()].opcode;
        for _ in 0..WORD_BYTES {
            match decode(&word, 0) {
                Ok(inst) => {
                    code.push(inst);
                    break;
                }
                // The offending byte goes; a field that is still not valid gets the smallest number that may be.
                Err(e) => {
                    let at = e.at as usize % WORD_BYTES;
                    word[at] = u8::from(word[at] == 0);
                }
            }
        }
    }
    code
}

/// A program of valid instructions ends, or stops with a fault that is the program's own; it does so each time, and keeps
/// the same time without data.
///
/// # Panics
/// If it does something else.
pub fn run_program(data: &[u8]) {
    let bytes = small_binary(instructions(data));
    let binary = Arc::new(Binary::from_bytes(bytes, "fuzz").expect("a valid program"));
    let entry = &binary.manifest().entries[0];
    let run = |mode| {
        let options = Options {
            mode,
            races: true,
            max_instructions: 2000,
            threads: 1,
        };
        let mut machine = Machine::new(binary.clone(), None, options).expect("it fits");
        let ram = [0x3d; (DRAM - WEIGHTS) as usize];
        machine.write_dram(WEIGHTS, &ram).expect("it fits");
        machine.launch(entry, &[3])
    };
    let full = run(Mode::Full);
    if let Err(fault) = &full {
        assert_ne!(fault.category(), Category::Bug, "{fault}");
    }
    assert_eq!(full, run(Mode::Full));
    if let Ok(stats) = &full {
        assert_eq!(Ok(stats), run(Mode::Timing).as_ref());
    }
}
