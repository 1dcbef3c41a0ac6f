//! Text cases: every file under `tests/cases`. Input, a line `----`, expected output. The folder says what is done:
//!
//! | folder | output |
//! |---|---|
//! | `print` | the module as printed after parsing; must parse to the same module |
//! | `parse` | the parser's errors |
//! | `verify` | the verifier's errors; the first line is `// stage` |
//! | `equal` | whether both graphs give the same outputs; the first line is `// bind symbol=value ..` |
//!
//! `LLMC_BLESS=1 cargo test -p llmc-ir` writes the output into the files.

mod common;

use common::{Rng, random_tensor};
use llmc_ir::{
    Bindings, Graph, Module, Stage, States, Type, eval_graph, parse_module, verify, verify_module,
};
use llmc_tensor::{Tensor, compare};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

const SEPARATOR: &str = "----\n";

fn lines<T: Display>(all: &[T]) -> String {
    all.iter().map(|e| format!("{e}\n")).collect()
}

/// Runs `output` on every file of a folder and compares.
fn check(folder: &str, output: fn(&str) -> String) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {}", dir.display());
    let mut failures = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let (input, want) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let got = output(input);
        if got == want {
            continue;
        }
        if std::env::var_os("LLMC_BLESS").is_some() {
            std::fs::write(&path, format!("{input}{SEPARATOR}{got}")).unwrap();
        } else {
            failures.push(format!(
                "{}\n--- expected\n{want}--- found\n{got}",
                path.display()
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn print_cases() {
    check("print", |input| {
        let module = match parse_module(input) {
            Ok(module) => module,
            Err(errors) => return lines(&errors),
        };
        let text = module.to_string();
        assert_eq!(parse_module(&text).as_ref(), Ok(&module));
        text
    });
}

#[test]
fn parse_cases() {
    check("parse", |input| match parse_module(input) {
        Ok(_) => "ok\n".into(),
        Err(errors) => lines(&errors),
    });
}

#[test]
fn verify_cases() {
    check("verify", |input| {
        let name = input
            .lines()
            .next()
            .and_then(|l| l.strip_prefix("// "))
            .unwrap_or("");
        let stage = Stage::ALL
            .into_iter()
            .find(|s| s.name() == name)
            .expect("the first line names a stage");
        let module = match parse_module(input) {
            Ok(module) => module,
            Err(errors) => return lines(&errors),
        };
        match verify_module(&module, stage) {
            Ok(()) => "ok\n".into(),
            Err(errors) => lines(&errors),
        }
    });
}

#[test]
fn equal_cases() {
    check("equal", |input| {
        let first = input.lines().next().unwrap_or("");
        let mut bindings = Bindings::new();
        for word in first
            .strip_prefix("// bind ")
            .expect("the first line binds symbols")
            .split_whitespace()
        {
            let (name, value) = word.split_once('=').unwrap();
            bindings.set(name, value.parse().unwrap());
        }
        match parse_module(input) {
            Ok(module) => equal(&module, &bindings),
            Err(errors) => lines(&errors),
        }
    });
}

/// Evaluates both graphs on the same random inputs. A state starts with the rows of the input of its name.
fn equal(module: &Module, bindings: &Bindings) -> String {
    let mut rng = Rng::new(7);
    let mut inputs = BTreeMap::new();
    for g in &module.entries {
        if let Err(errors) = verify(g, Stage::Specialised) {
            return lines(&errors);
        }
        for (name, id) in g.inputs() {
            let tensor = || random_tensor(&mut rng, g.ty(*id), bindings);
            inputs.entry(name.clone()).or_insert_with(tensor);
        }
    }
    let mut outputs = Vec::new();
    for g in &module.entries {
        let mut states = states_from(g, bindings, &inputs);
        match eval_graph(g, bindings, &inputs, &mut states) {
            Ok(found) => outputs.push(found),
            Err(e) => return format!("{e}\n"),
        }
    }
    let [a, b] = outputs.as_slice() else {
        return "needs two graphs\n".into();
    };
    assert!(a.keys().eq(b.keys()), "the graphs have different outputs");
    let verdict = |(name, got): (&String, &Tensor)| {
        let found = compare(got, &b[name], 1e-6).unwrap();
        if found.is_match() {
            format!("{name}: equal\n")
        } else {
            format!("{name}: {found}\n")
        }
    };
    a.iter().map(verdict).collect()
}

fn states_from(g: &Graph, bindings: &Bindings, inputs: &BTreeMap<String, Tensor>) -> States {
    let mut states = llmc_ir::eval::fresh_states(g, bindings).unwrap();
    for (name, state) in &mut states {
        let rows = &inputs[name];
        let (shape, past) = (state.tensor.shape().to_vec(), rows.shape()[2]);
        let mut all = vec![0.0; state.tensor.elements()];
        let (len, capacity) = (past * shape[3], shape[2] * shape[3]);
        for (i, block) in rows.to_f32_vec().chunks(len.max(1)).enumerate() {
            all[i * capacity..][..block.len()].copy_from_slice(block);
        }
        state.tensor = Tensor::from_vec(shape, all).unwrap();
        state.past = past;
    }
    states
}

#[test]
fn inputs_have_types() {
    // the harness itself: random tensors have the shape that the bindings give
    let ty: Type = parse_module("graph \"g\" {\n  input %0 \"x\" f32[seq, 2*seq]\n}\n")
        .unwrap()
        .entries[0]
        .ty(llmc_ir::ValueId(0))
        .clone();
    let t = random_tensor(&mut Rng::new(1), &ty, &Bindings::new().with("seq", 3));
    assert_eq!(t.shape(), [3, 6]);
}
