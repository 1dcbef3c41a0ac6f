//! See `llmc_runtime_emu::fuzzing::run_program`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| llmc_runtime_emu::fuzzing::run_program(data));
