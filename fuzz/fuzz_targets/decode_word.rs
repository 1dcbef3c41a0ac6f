//! See `llmc_runtime_emu::fuzzing::decode_word`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| llmc_runtime_emu::fuzzing::decode_word(data));
