//! Programs that must fail, each with its message: `cases/fault/*.s`. How they are written is told in `case`.

#[path = "../../runtime-emu/tests/case/mod.rs"]
mod case;

use case::check;
use llmc_tests::root;

#[test]
fn every_program_fails_as_it_says() {
    check(&root().join("tests/cases/fault"));
}
