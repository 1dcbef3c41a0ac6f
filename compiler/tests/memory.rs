//! Weights are never copied: a model with 4 GiB of external data compiles in less than half a GiB of private memory.
//!
//! The data file is sparse, so that it takes no disk. Of the binary everything is made, but it is not kept.

mod import_build;

use import_build::{model, node, port, save};
use llmc_compiler::import::proto::*;
use llmc_compiler::link::Image;
use llmc_compiler::{CompileOptions, compile};
use llmc_isa::Chip;
use llmc_isa::container::WeightSource;
use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Rows and columns of a matrix: 256 MiB of f32.
const SIDE: i64 = 8192;
const MATRICES: i64 = 16;
/// Private memory that the compiler may use beyond what the test began with, in KiB.
const LIMIT_KIB: u64 = 512 << 10;

/// Private memory of this process, in KiB: without pages of mapped files.
fn private_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("RssAnon:"))
        .unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// The most private memory while `f` runs, in KiB.
fn most_kib<T>(f: impl FnOnce() -> T) -> (T, u64) {
    let (most, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let made = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                most.fetch_max(private_kib(), Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let made = f();
        done.store(true, Relaxed);
        made
    });
    (made, most.into_inner())
}

fn entry(key: &str, value: impl ToString) -> StringStringEntryProto {
    StringStringEntryProto {
        key: key.into(),
        value: value.to_string(),
    }
}

/// A chain of products with matrices in the file `weights.data`; two are transposed first.
fn deep() -> ModelProto {
    let bytes = SIDE * SIDE * 4;
    let (mut nodes, mut constants) = (Vec::new(), Vec::new());
    let mut last = String::from("x");
    for i in 0..MATRICES {
        let weight = format!("w{i}");
        constants.push(TensorProto {
            name: weight.clone(),
            dims: vec![SIDE, SIDE],
            data_type: data_type::FLOAT,
            data_location: 1,
            external_data: vec![
                entry("location", "weights.data"),
                entry("offset", i * bytes),
                entry("length", bytes),
            ],
            ..Default::default()
        });
        let next = format!("h{i}");
        let mut operand = weight.clone();
        if i % 8 == 1 {
            operand = format!("t{i}");
            nodes.push(node("Transpose", &[&weight], &operand, vec![]));
        }
        nodes.push(node("MatMul", &[&last, &operand], &next, vec![]));
        last = next;
    }
    nodes.push(node("Relu", &[&last], "y", vec![]));
    let vector = |name| port(name, data_type::FLOAT, &format!("1 {SIDE}"));
    model(nodes, constants, vec![vector("x")], vec![vector("y")])
}

#[test]
fn four_gigabytes_of_weights_in_half_a_gigabyte() {
    let folder = tempfile::tempdir().unwrap();
    let data = File::create(folder.path().join("weights.data")).unwrap();
    data.set_len((MATRICES * SIDE * SIDE * 4) as u64).unwrap();
    let path = save(folder.path(), &deep());
    let before = private_kib();
    let options = CompileOptions::new(Chip::load("ideal").unwrap());
    let ((), most) = most_kib(|| {
        let compiled = compile(&path, &options).unwrap_or_else(|e| panic!("{e}"));
        let mut image = Image(&compiled.weights);
        assert!(image.bytes() >= 4 << 30);
        image.write_to(&mut std::io::sink()).unwrap();
    });
    let used = most - before;
    println!(
        "{} MiB of private memory for {} MiB of weights",
        used >> 10,
        4 << 10
    );
    assert!(used < LIMIT_KIB, "{used} KiB of private memory");
}
