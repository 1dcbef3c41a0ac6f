//! The text forms: what is printed reads back as the same thing.

use llmc_compiler::{CompileOptions, Stage};
use llmc_ir::{Const, Module, parse_module_with};
use llmc_isa::Chip;
use llmc_isa::asm::{assemble, disassemble};
use std::path::Path;
use std::sync::Arc;

/// Compiles `model` for `chip` and reads back the text of every entry at every stage.
///
/// # Panics
/// If a text is not read back as what was printed: this is a test helper.
pub fn read_back(model: &Path, chip: &str) {
    let chip = Chip::load(chip).expect("a preset");
    graphs(model, &chip);

    let options = CompileOptions {
        emit: Stage::ALL.to_vec(),
        ..CompileOptions::new(chip)
    };
    let compiled = llmc_compiler::compile(model, &options).expect("the model compiles");
    let mut seen = Vec::new();
    for text in &compiled.texts {
        let what = format!(
            "{}, stage {}, entry {}",
            model.display(),
            text.stage,
            text.entry
        );
        let again = match text.stage {
            stage if stage.is_graph() => llmc_ir::parse_graph(&text.text)
                .unwrap_or_else(|e| panic!("{what}: {e:?}"))
                .to_string(),
            Stage::Asm => assembly(&text.text, &what),
            _ => tile(&text.text, &what),
        };
        let at = again
            .lines()
            .zip(text.text.lines())
            .position(|(a, b)| a != b);
        assert_eq!(
            at, None,
            "{what}: the first line that reads back differently"
        );
        assert_eq!(again.len(), text.text.len(), "{what}");
        seen.push(text.stage);
    }
    for stage in Stage::ALL {
        assert!(seen.contains(stage), "no text of stage {stage}");
    }
}

/// Every module between the passes, compared as a value, with the model's constants at hand.
fn graphs(model: &Path, chip: &Chip) {
    let imported =
        llmc_compiler::import::import(model, &Default::default()).expect("the model imports");
    let costs = llmc_passes::BytesAndMacs::default();
    let options = llmc_passes::Options {
        prefill: 16,
        max_context: 128,
        cores: chip.cores() as usize,
        quant: llmc_passes::Quant::None,
        roll: true,
        omitted: None,
        costs: &costs,
    };
    let mut same = |stage: &'static str, module: &Module| {
        let text = module.to_string();
        let find = |name: &str| constant(module, name);
        let read = parse_module_with(&text, &find);
        let read = read.unwrap_or_else(|e| panic!("{}, {stage}: {e:?}", model.display()));
        assert!(
            read == *module,
            "{}: stage {stage} reads back as another module",
            model.display()
        );
        true
    };
    llmc_passes::run_observed(&imported.graph, &options, &mut same).expect("the passes run");
}

fn constant(module: &Module, name: &str) -> Option<Arc<Const>> {
    module.consts().into_iter().find(|c| c.name() == name)
}

fn tile(text: &str, what: &str) -> String {
    let program: llmc_compiler::tile::Program =
        text.parse().unwrap_or_else(|e| panic!("{what}: {e}"));
    let again = program.to_string();
    assert_eq!(again.parse(), Ok(program), "{what}");
    again
}

/// Comments are not part of the program; without them the text is canonical.
fn assembly(text: &str, what: &str) -> String {
    let program = assemble(text).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    let plain = disassemble(&program, None);
    assert_eq!(assemble(&plain), Ok(program), "{what}");
    let code = |text: &str| {
        let lines = text.lines().map(|line| {
            line.split(';')
                .next()
                .unwrap_or_default()
                .trim_end()
                .to_string()
        });
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(code(text), code(&plain), "{what}");
    text.to_string()
}
