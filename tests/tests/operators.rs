//! `docs/OPERATORS.md` is made of the importer's table and of the status list of the node tests.

use llmc_compiler::import::ops::{NEWEST_OPSET, Row, TABLE};
use llmc_tests::root;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

const HEAD: &str = "# Operators

Generated from the operator table of the importer (`compiler/src/import/ops/mod.rs`) and from the status list of ONNX's node
tests (`tests/conformance/status.txt`); `LLMC_BLESS=1 cargo test -p llmc-tests --test operators` writes it anew.
`llmc check MODEL.onnx` says what of this concerns a model.

- *since*: the oldest operator set version whose meaning is implemented.
- *attributes*: those that are understood; a node with another one is refused.
- *tests*: node tests of `onnx` 1.23.2 that pass, of all for this operator, those of its function body included. Some pass only
  with the inputs that decide a shape as constants; the list says which.
- *limits*: what the tests show to be refused, and how often. Everything refused is an error at compile time.
";

/// Passed, all, and how often each reason was given.
#[derive(Default)]
struct Tests {
    pass: usize,
    all: usize,
    reasons: BTreeMap<String, usize>,
}

fn tests() -> BTreeMap<String, Tests> {
    let text = fs::read_to_string(root().join("tests/conformance/status.txt")).unwrap();
    let mut tests: BTreeMap<String, Tests> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.splitn(4, ' ');
        let (_, operator) = (words.next(), words.next().unwrap());
        let (outcome, reason) = (words.next().unwrap(), words.next());
        let entry = tests.entry(operator.to_string()).or_default();
        entry.all += 1;
        match (outcome, reason) {
            ("pass", _) => entry.pass += 1,
            ("unsupported", Some(reason)) => {
                let reason = reason
                    .strip_prefix(&format!("{operator}: "))
                    .unwrap_or(reason);
                *entry.reasons.entry(reason.to_string()).or_default() += 1;
            }
            _ => {
                let reason = String::from("wrong result, see the list");
                *entry.reasons.entry(reason).or_default() += 1;
            }
        }
    }
    tests
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The three most frequent reasons.
fn limits(tests: Option<&Tests>) -> String {
    let mut reasons: Vec<_> = tests.iter().flat_map(|t| &t.reasons).collect();
    reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let shown = reasons
        .iter()
        .take(3)
        .map(|(reason, n)| format!("{reason} ({n})"));
    let mut shown: Vec<String> = shown.collect();
    if reasons.len() > shown.len() {
        shown.push(format!("{} more", reasons.len() - shown.len()));
    }
    cell(&shown.join("; "))
}

fn document() -> String {
    let mut tests = tests();
    let (pass, all) = tests
        .values()
        .fold((0, 0), |(p, a), t| (p + t.pass, a + t.all));
    let mut text = String::from(HEAD);
    writeln!(
        text,
        "\nOperator sets up to {NEWEST_OPSET}; {pass} of {all} node tests pass.\n"
    )
    .unwrap();
    text += "| operator | since | attributes | tests | limits |\n|---|---|---|---|---|\n";
    let mut rows: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in TABLE {
        let name = match row.domain {
            "" => row.name.to_string(),
            domain => format!("{domain}.{}", row.name),
        };
        rows.entry(name).or_default().push(row);
    }
    for (name, rows) in rows {
        let since: Vec<String> = rows.iter().map(|r| r.since.to_string()).collect();
        let attributes = rows
            .last()
            .map_or(String::new(), |r| r.attributes.join(", "));
        let tests = tests.remove(&name);
        let count = tests
            .as_ref()
            .map_or(String::new(), |t| format!("{}/{}", t.pass, t.all));
        let (since, limits) = (since.join(", "), limits(tests.as_ref()));
        writeln!(
            text,
            "| {name} | {since} | {attributes} | {count} | {limits} |"
        )
        .unwrap();
    }
    text += "\n`If` takes the branch that a constant decides, or computes both and selects; `Loop` and `Scan` are unrolled. Model-local\n\
        functions are written out, whatever their domain.\n";
    for name in ["If", "Loop", "Scan"] {
        if let Some(tests) = tests.remove(name) {
            writeln!(
                text,
                "- {name}: {}/{} {}",
                tests.pass,
                tests.all,
                limits(Some(&tests))
            )
            .unwrap();
        }
    }
    text += "\n## Not implemented\n\nOperators of the node tests without a row, and how many of their tests pass through their function bodies.\n\n";
    for (name, tests) in tests {
        writeln!(text, "- {name}: {}/{}", tests.pass, tests.all).unwrap();
    }
    text
}

#[test]
fn the_document_is_fresh() {
    let path = root().join("docs/OPERATORS.md");
    let text = document();
    if std::env::var_os("LLMC_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{} is not what the table says; LLMC_BLESS=1 writes it anew",
        path.display()
    );
}
