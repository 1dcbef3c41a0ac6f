//! The fuzzed properties on a fixed stream of random bytes.
//!
//! `LLMC_FUZZ_BUDGET` multiplies the number of runs (1 by default); 100 is 10^7 words, 10^6 files, 10^6 texts and
//! 10^5 programs, and takes a release build.

use llmc_isa::asm;
use llmc_isa::inst::{ROWS, WORD_BYTES};
use llmc_runtime_emu::fuzzing;

/// A repeatable stream of random numbers.
struct Dice(u64);

impl Dice {
    fn new(run: u64) -> Dice {
        let mut dice = Dice((run + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.roll(2);
        dice
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % sides
    }

    /// Mostly small numbers, so that words get further than their first check.
    fn byte(&mut self) -> u8 {
        match self.roll(4) {
            0 => 0,
            1 => self.roll(256) as u8,
            _ => self.roll(4) as u8,
        }
    }

    fn change(&mut self, bytes: &mut [u8], at: usize) {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = match self.roll(3) {
                0 => 0xff,
                1 => *byte ^ (1 << self.roll(8)),
                _ => self.roll(256) as u8,
            };
        }
    }
}

/// Runs `f` for `runs` times the budget different dice, on all cores of the host.
fn each(runs: u64, f: impl Fn(&mut Dice) + Sync) {
    let budget = std::env::var("LLMC_FUZZ_BUDGET").ok();
    let runs = runs * budget.and_then(|b| b.parse().ok()).unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let f = &f;
            scope.spawn(move || {
                let all = (first..runs).step_by(threads as usize);
                all.for_each(|run| f(&mut Dice::new(run)));
            });
        }
    });
}

#[test]
fn random_words() {
    each(100_000, |dice| {
        let mut word = [0; WORD_BYTES];
        word[0] = match dice.roll(8) {
            0 => dice.roll(256) as u8,
            _ => ROWS[dice.roll(ROWS.len())].opcode,
        };
        for _ in 0..dice.roll(24) {
            word[1 + dice.roll(WORD_BYTES - 1)] = dice.byte();
        }
        fuzzing::decode_word(&word);
    });
}

#[test]
fn mutated_files() {
    let code = asm::assemble(
        ".entry main\nctl.li rd=r1, imm=4\nsem.post queue=vpu, n=1\nsem.wait queue=mxu, n=1\n",
    );
    let code = code.unwrap().entries[0].1.clone();
    let file = fuzzing::small_binary(code);
    fuzzing::load_binary(&file);
    let tables = file.len().saturating_sub(1200);
    each(10_000, |dice| {
        let mut mutant = file.clone();
        for _ in 0..1 + dice.roll(4) {
            let at = match dice.roll(4) {
                0 => dice.roll(64),
                1 | 2 => tables + dice.roll(1200),
                _ => dice.roll(file.len()),
            };
            dice.change(&mut mutant, at);
        }
        if dice.roll(16) == 0 {
            mutant.truncate(dice.roll(file.len()));
        }
        fuzzing::load_binary(&mutant);
    });
}

#[test]
fn mutated_texts() {
    let text = ".entry main\n  ctl.li rd=r1, imm=-4 ; comment\n  ctl.loop count=r1 {\n  \
        vpu.add dst=f32[0x40:0:4], a=bf16[r1+0x10], b=f32[0x0:bcast], n0=1, n1=2?r3, n2=4\n  }\n  \
        mxu.mm dst=[0x0], a=[0x40], b=[0x80], m=1, n=16, k=1, acc=true\n  \
        dma.load queue=dma1, dst=[r2], src={r3+0x1000}, n0=1, n1=1, n2=1, bytes=64\n  ctl.halt\n";
    fuzzing::assemble_text(text.as_bytes());
    each(10_000, |dice| {
        let mut mutant = text.as_bytes().to_vec();
        for _ in 0..1 + dice.roll(4) {
            let at = dice.roll(mutant.len());
            match dice.roll(3) {
                0 => dice.change(&mut mutant, at),
                1 => _ = mutant.remove(at),
                _ => mutant.insert(at, b"0123r[]{}=,:;? \n"[dice.roll(16)]),
            }
        }
        fuzzing::assemble_text(&mutant);
    });
}

#[test]
fn random_programs() {
    each(1_000, |dice| {
        let length = 1 + dice.roll(40) * WORD_BYTES;
        let bytes: Vec<u8> = (0..length).map(|_| dice.byte()).collect();
        fuzzing::run_program(&bytes);
    });
}
