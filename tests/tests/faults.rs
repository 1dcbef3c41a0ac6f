//! Programs that must fail, each with its message: `cases/fault/*.s`. How they are written is told in `case`.

#[path = "../../runtime-emu/tests/case/mod.rs"]
mod case;

use case::{assemble, blessing, cases, check};
use llmc_runtime_emu::FaultKind;
use llmc_tests::root;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn folder() -> PathBuf {
    root().join("tests/cases/fault")
}

#[test]
fn every_program_fails_as_it_says() {
    check(&folder());
}

#[test]
fn each_fault_and_each_instruction_has_a_case() {
    if blessing() {
        return;
    }
    let mut kinds: BTreeSet<&str> = FaultKind::NAMES.iter().copied().collect();
    // Refused before anything runs.
    let mut refusals = BTreeSet::from(["undefined opcode", "must be 0", "not supported"]);
    let mut rows: BTreeSet<&str> = llmc_isa::inst::ROWS.iter().map(|row| row.name).collect();
    let all = cases(&folder());
    assert!(all.len() >= 60, "only {} programs must fail", all.len());
    for (path, text) in &all {
        let expected: Vec<_> = text.lines().filter_map(|l| l.strip_prefix(";= ")).collect();
        assert!(
            expected
                .first()
                .is_some_and(|l| l.starts_with("fault ") || *l == "refused"),
            "{} does not fail",
            path.display()
        );
        for line in &expected {
            if let Some(kind) = line.strip_prefix("fault ") {
                kinds.remove(kind);
            }
            refusals.retain(|r| !line.contains(r));
        }
        for (_, code) in assemble(path, text).entries {
            code.iter()
                .for_each(|inst| _ = rows.remove(inst.row().name));
        }
    }
    assert!(kinds.is_empty(), "no case shows {kinds:?}");
    assert!(refusals.is_empty(), "no case is refused for {refusals:?}");
    assert!(rows.is_empty(), "no case that fails has {rows:?}");
}
