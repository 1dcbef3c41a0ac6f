//! The whole compile on the example model.

use llmc_compiler::tile::Program;
use llmc_compiler::{Category, CompileOptions, Stage, compile, dump};
use llmc_isa::{Chip, asm};
use std::path::{Path, PathBuf};

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shakespeare/model.onnx")
}

fn edge(sram_kib: u64) -> CompileOptions {
    CompileOptions::new(
        Chip::load("edge")
            .unwrap()
            .with_sram_bytes(sram_kib * 1024)
            .unwrap(),
    )
}

#[test]
fn the_same_bytes_with_any_number_of_threads() {
    let one = compile(
        &model(),
        &CompileOptions {
            threads: 1,
            ..edge(512)
        },
    )
    .unwrap();
    let many = compile(
        &model(),
        &CompileOptions {
            threads: 4,
            ..edge(512)
        },
    )
    .unwrap();
    assert_eq!(one.report, many.report);
    assert!(one.to_bytes().unwrap() == many.to_bytes().unwrap());
    let names: Vec<&str> = one.report.entries.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["prefill", "score", "decode"]);
    let decode = &one.report.entries[2];
    let (short, long) = (&decode.launches[0], &decode.launches[2]);
    assert_eq!(short.dram_weights, long.dram_weights);
    assert!(long.dram_states > short.dram_states);
    assert!(
        decode
            .launches
            .iter()
            .all(|l| l.bound_cycles >= l.roofline_cycles)
    );
    let text = one.report.to_string();
    assert!(
        text.contains("decode: ") && text.contains("roofline"),
        "{text}"
    );
}

#[test]
fn every_stage_has_a_text() {
    let options = CompileOptions {
        emit: Stage::ALL.to_vec(),
        ..edge(64)
    };
    let compiled = compile(&model(), &options).unwrap();
    for stage in Stage::ALL {
        let texts: Vec<_> = compiled
            .texts
            .iter()
            .filter(|t| t.stage == *stage)
            .collect();
        assert_eq!(
            texts.len(),
            if *stage < Stage::Specialised { 1 } else { 3 },
            "{stage}"
        );
        for text in texts.iter().filter(|t| !t.stage.is_graph()) {
            match stage {
                Stage::Asm => {
                    let program = asm::assemble(&text.text).unwrap();
                    assert_eq!(
                        asm::assemble(&asm::disassemble(&program, None)).unwrap(),
                        program
                    );
                }
                _ => {
                    let program: Program = text.text.parse().unwrap();
                    assert_eq!(program.to_string(), text.text, "{stage}");
                }
            }
        }
    }
    let decode = dump(&model(), &options, Stage::Synchronised, Some("decode")).unwrap();
    assert_eq!(decode.len(), 1);
    assert!(compiled.texts.contains(&decode[0]));
    let text = dump(&model(), &options, Stage::Lowered, Some("nowhere"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "stage `lowered` has no entry `nowhere`; it has prefill, score, decode"
    );
}

#[test]
fn too_little_memory_says_what_is_missing() {
    let error = compile(&model(), &edge(4)).unwrap_err();
    assert_eq!(error.category(), Category::Input);
    let text = error.to_string();
    for part in [
        "entry `prefill`: tile `",
        "does not fit: a core has 4096 bytes of SRAM",
        "bytes are missing; largest at that time: ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let mut chip = Chip::load("edge").unwrap();
    chip.set("core.semaphores", 3i64).unwrap();
    let text = compile(&model(), &CompileOptions::new(chip))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("semaphores") && text.contains("a core of this chip has 3"),
        "{text}"
    );
    let error = compile(Path::new("no/such/model.onnx"), &edge(512)).unwrap_err();
    assert_eq!(error.category(), Category::Input);
}
