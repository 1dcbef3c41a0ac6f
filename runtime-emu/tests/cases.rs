//! Programs as text files with what they do: `tests/cases/*/*.s`. [`case`] says how they are written; programs that must
//! fail are in `tests/cases/fault` at the root of the repository.

mod case;

use case::{assemble, blessing, cases, check, run, stage};
use llmc_isa::asm;
use llmc_isa::manual::mnemonics;
use llmc_runtime_emu::Mode;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const FOLDERS: &[&str] = &["run", "deleted_wait"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(name)
}

fn all() -> Vec<(PathBuf, String)> {
    FOLDERS
        .iter()
        .flat_map(|name| cases(&folder(name)))
        .collect()
}

#[test]
fn every_case_does_what_it_says() {
    FOLDERS.iter().for_each(|name| check(&folder(name)));
}

#[test]
fn a_deleted_wait_or_post_is_caught() {
    for (path, text) in all() {
        if blessing() || !text.contains(";= cycles") {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let line = line.trim();
            if !line.starts_with("sem.") {
                continue;
            }
            let rest: String = lines
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .map(|(_, l)| format!("{l}\n"))
                .collect();
            let Ok(program) = asm::assemble(&rest) else {
                continue;
            };
            let stage = stage(&rest);
            let found = run(&stage, &program, Mode::Full);
            assert!(
                found.starts_with("fault"),
                "{} without line {}, `{line}`:\n{found}",
                path.display(),
                i + 1
            );
        }
    }
}

#[test]
fn every_instruction_has_a_case() {
    if blessing() {
        return;
    }
    // Every function of a family counts.
    let rows = llmc_isa::inst::ROWS.iter();
    let mut missing: BTreeSet<String> = rows.flat_map(|row| mnemonics(row)).collect();
    for (path, text) in all() {
        if text.contains(";= cycles") {
            for (_, code) in assemble(&path, &text).entries {
                code.iter()
                    .for_each(|inst| _ = missing.remove(&inst.mnemonic()));
            }
        }
    }
    assert!(missing.is_empty(), "no case runs {missing:?}");
}
