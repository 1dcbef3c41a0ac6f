//! See `llmc_compiler::fuzzing::import_bytes`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| llmc_compiler::fuzzing::import_bytes(data));
