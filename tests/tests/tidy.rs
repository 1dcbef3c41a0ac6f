//! The rules of the house: which crate knows which, how long a file may get, what may not be left lying about, what must have a case.

use llmc_runtime_emu::FaultKind;
use llmc_tests::root;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which workspace crates each crate may know, tests included. Everything else must come through them.
const ARROWS: &[(&str, &[&str])] = &[
    ("tensor", &[]),
    ("isa", &[]),
    ("ir", &["tensor"]),
    ("passes", &["ir", "tensor"]),
    ("compiler", &["ir", "isa", "passes", "tensor"]),
    ("runtime-emu", &["isa", "tensor"]),
    ("cli", &["compiler", "isa", "runtime-emu", "tensor"]),
    (
        "tests",
        &[
            "cli",
            "compiler",
            "ir",
            "isa",
            "passes",
            "runtime-emu",
            "tensor",
        ],
    ),
];

const LONGEST_FILE: usize = 800;

/// Every file of the repository below `dir` whose name ends with one of `ends`, without build output.
fn files(dir: &Path, ends: &[&str], found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                files(&path, ends, found);
            }
        } else if ends.iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
}

fn all(ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), ends, &mut found);
    assert!(!found.is_empty());
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The names before `=` in every dependency section of a manifest (normal, dev, build, per target).
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies") && !section.starts_with("workspace");
            // `[dependencies.name]` is a dependency too.
            if let Some((head, name)) = section.rsplit_once('.')
                && head.ends_with("dependencies")
            {
                found.insert(name.to_string());
            }
        } else if inside && let Some((name, _)) = line.split_once('=') {
            found.insert(
                name.trim()
                    .trim_end_matches(".workspace")
                    .trim_matches('"')
                    .to_string(),
            );
        }
    }
    found
}

#[test]
fn crates_know_only_what_the_arrows_allow() {
    // Crate name -> folder, so that a dependency is recognised whatever its folder is called.
    let mut folders = BTreeMap::new();
    for (folder, _) in ARROWS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("name = "))
            .unwrap();
        folders.insert(name.trim_matches('"').to_string(), *folder);
    }
    for (folder, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for name in dependencies(&manifest) {
            let Some(known) = folders.get(&name) else {
                continue;
            };
            assert!(
                allowed.contains(known),
                "{folder} must not depend on {known}: see the arrows in ARCHITECTURE.md"
            );
        }
    }
}

#[test]
fn every_crate_of_the_workspace_has_its_arrows() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = "))
        .unwrap();
    let members: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
    assert_eq!(members, ARROWS.iter().map(|(folder, _)| *folder).collect());
}

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for path in all(&[".rs", ".py", ".md"]) {
        // Generated from the instruction rows, as long as there are rows.
        if path.ends_with("isa/MANUAL.md") {
            continue;
        }
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        if lines > LONGEST_FILE {
            long.push(format!("{} has {lines} lines", relative(&path)));
        }
    }
    assert!(
        long.is_empty(),
        "more than {LONGEST_FILE} lines: {}",
        long.join(", ")
    );
}

#[test]
fn nothing_is_left_undone() {
    // Written in two parts so that this file does not find itself.
    let words = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
        concat!("FIX", "ME"),
    ];
    let mut found = Vec::new();
    for path in all(&[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                found.push(format!("{}:{}: {word}", relative(&path), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let says = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        // The tests of a module say it by their name and place.
        text.starts_with("//!") || path.to_string_lossy().ends_with("tests.rs")
    };
    let silent: Vec<String> = all(&[".rs"])
        .iter()
        .filter(|path| !says(path))
        .map(|path| relative(path))
        .collect();
    assert!(
        silent.is_empty(),
        "no `//!` line at the top of {}",
        silent.join(", ")
    );
}

#[test]
fn documents_point_at_things_that_exist() {
    for path in all(&[".md"]) {
        if path.ends_with("isa/MANUAL.md") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let folder = path.parent().unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(
                folder.join(target).exists(),
                "{} links to `{target}`, which is not there",
                relative(&path)
            );
        }
        // Paths in code spans, as ARCHITECTURE.md uses them: `isa/src/inst/rows.rs`.
        for span in text.split('`').skip(1).step_by(2) {
            let is_path = span.contains('/')
                && [".rs", ".py", ".toml", ".md"]
                    .iter()
                    .any(|end| span.ends_with(end));
            if is_path
                && !span.contains(char::is_whitespace)
                && !span.contains(['<', '*', '{', '$'])
            {
                let here = root().join(span).exists() || folder.join(span).exists();
                assert!(
                    here,
                    "{} names `{span}`, which is not there",
                    relative(&path)
                );
            }
        }
    }
}

/// Programs that must fail are in `tests/cases/fault`; `tests/tests/faults.rs` runs them.
#[test]
fn each_fault_and_each_instruction_has_a_case() {
    // Expectations that are being rewritten are read by the next run.
    if std::env::var_os("LLMC_BLESS").is_some() {
        return;
    }
    let mut cases = Vec::new();
    files(&root().join("tests/cases/fault"), &[".s"], &mut cases);
    assert!(cases.len() >= 60, "only {} programs must fail", cases.len());
    let mut kinds: BTreeSet<&str> = FaultKind::NAMES.iter().copied().collect();
    // Refused before anything runs.
    let mut refusals = BTreeSet::from(["undefined opcode", "must be 0", "not supported"]);
    let mut rows: BTreeSet<&str> = llmc_isa::inst::ROWS.iter().map(|row| row.name).collect();
    for path in &cases {
        let text = fs::read_to_string(path).unwrap();
        let expected: Vec<_> = text.lines().filter_map(|l| l.strip_prefix(";= ")).collect();
        let fails = |l: &&str| l.starts_with("fault ") || *l == "refused";
        assert!(
            expected.first().is_some_and(fails),
            "{} does not fail",
            relative(path)
        );
        for line in &expected {
            if let Some(kind) = line.strip_prefix("fault ") {
                kinds.remove(kind);
            }
            refusals.retain(|r| !line.contains(r));
        }
        let program = llmc_isa::asm::assemble(&text).unwrap();
        let code = program.entries.iter().flat_map(|(_, code)| code);
        code.for_each(|inst| _ = rows.remove(inst.row().name));
    }
    assert!(kinds.is_empty(), "no case shows {kinds:?}");
    assert!(refusals.is_empty(), "no case is refused for {refusals:?}");
    assert!(rows.is_empty(), "no case that fails has {rows:?}");
}
