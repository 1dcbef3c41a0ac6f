//! The checked-in list of what becomes of each case.

use crate::run::Outcome;
use llmc_tests::root;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// Operator and outcome by name of the case.
pub type Found = BTreeMap<String, (String, Outcome)>;

fn path() -> PathBuf {
    root().join("tests/conformance/status.txt")
}

/// Compares with the list, or writes it anew.
///
/// # Panics
/// If a case does better or worse than the list says, or is not in it.
pub fn compare(found: &Found) {
    if std::env::var_os("LLMC_BLESS").is_some() {
        fs::write(path(), text(found)).unwrap();
        return;
    }
    let listed = fs::read_to_string(path()).unwrap_or_default();
    let listed: BTreeMap<&str, &str> = listed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            Some((name, rest.split_once(' ')?.1))
        })
        .collect();
    let mut changes = String::new();
    for (name, (_, outcome)) in found {
        let (now, before) = (outcome.to_string(), listed.get(name.as_str()));
        // Reasons may change their wording; what counts is the first word.
        if before.map(|b| word(b)) != Some(word(&now)) {
            let before = before.unwrap_or(&"not listed");
            writeln!(changes, "{name}: {now}\n    the list says: {before}").unwrap();
        }
    }
    for name in listed.keys().filter(|name| !found.contains_key(**name)) {
        writeln!(changes, "{name}: listed, but there is no such case").unwrap();
    }
    assert!(
        changes.is_empty(),
        "not as listed in {} (LLMC_BLESS=1 writes it anew):\n{changes}",
        path().display()
    );
}

fn word(outcome: &str) -> &str {
    outcome.split(' ').next().unwrap_or_default()
}

fn text(found: &Found) -> String {
    let mut text = String::from(
        "# ONNX's node tests: name, operator, then pass / unsupported REASON / wrong REASON. Written by LLMC_BLESS=1,\n\
         # see tests/tests/conformance/main.rs.\n",
    );
    for (name, (operator, outcome)) in found {
        writeln!(text, "{name} {operator} {outcome}").unwrap();
    }
    text
}

/// Counts by outcome and reason, the most frequent first.
pub fn summary(found: &Found) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut words = [0; 3];
    for (_, outcome) in found.values() {
        let (kind, key) = match outcome {
            Outcome::Pass(bound) if bound.is_empty() => (0, None),
            Outcome::Pass(_) => (0, Some(String::from("pass with constant shape inputs"))),
            Outcome::Unsupported(reason) => (1, Some(format!("unsupported {reason}"))),
            // Values and names differ from case to case.
            Outcome::Wrong(reason) => {
                let head = reason.split(": ").next().unwrap_or_default();
                (2, Some(format!("wrong {head}")))
            }
        };
        words[kind] += 1;
        if let Some(key) = key {
            *counts.entry(key).or_default() += 1;
        }
    }
    let [pass, unsupported, wrong] = words;
    let total = found.len();
    let mut text =
        format!("{total} cases: {pass} pass, {unsupported} unsupported, {wrong} wrong\n");
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    for (reason, count) in rows {
        writeln!(text, "{count:5}  {reason}").unwrap();
    }
    text
}
