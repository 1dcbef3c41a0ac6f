//! ONNX's own node tests: every case is imported and evaluated, compiled and run on the emulator.
//!
//! `tests/ort/node_cases.py DIR` writes the cases; `LLMC_NODE_CASES=DIR` names the folder (without it this test does
//! nothing, and says so). `tests/conformance/status.txt` says of each case whether it passes; a case that does better or
//! worse fails the run, and `LLMC_BLESS=1` writes the list anew. `LLMC_NODE_FILTER=TEXT` runs only the cases whose name
//! contains the text, prints what becomes of each and compares with nothing.

mod case;
mod run;
mod status;

use case::Case;
use status::Found;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn node_cases() {
    let Some(folder) = std::env::var_os("LLMC_NODE_CASES").map(PathBuf::from) else {
        eprintln!("skipped: LLMC_NODE_CASES names no folder (tests/ort/node_cases.py writes one)");
        return;
    };
    let filter = std::env::var("LLMC_NODE_FILTER").ok();
    let mut names = case::names(&folder);
    if let Some(filter) = &filter {
        names.retain(|name| name.contains(filter.as_str()));
    } else {
        // What panics is counted; the messages would drown everything else.
        std::panic::set_hook(Box::new(|_| ()));
    }
    let found = run_all(&folder, &names);
    drop(std::panic::take_hook());
    match filter {
        Some(_) => found
            .iter()
            .for_each(|(name, (_, outcome))| println!("{name} {outcome}")),
        None => {
            println!("{}", status::summary(&found));
            status::compare(&found);
        }
    }
}

/// Runs the cases on all processors, each apart from the others.
fn run_all(folder: &Path, names: &[String]) -> Found {
    let found = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = Case::load(folder, name);
                    let outcome = run::guarded(|| run::all_modes(&case));
                    let operator = case.operator(folder, name);
                    found
                        .lock()
                        .unwrap()
                        .insert(name.clone(), (operator, outcome));
                }
            });
        }
    });
    found.into_inner().unwrap()
}
