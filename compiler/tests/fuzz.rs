//! Damaged and contradictory ONNX files: import ends, without a panic, in bounded time and memory.
//!
//! `LLMC_FUZZ_BUDGET` multiplies the number of files (1 by default). The seeds are models made here and, if
//! `LLMC_NODE_CASES` names the folder that `tests/ort/node_cases.py` writes, all of ONNX's node tests. A file that failed
//! once is kept in `tests/damaged` and read again by every run.

mod import_build;

use import_build::{Mask, graph_attribute, language_model, longs, model, node, port};
use llmc_compiler::fuzzing::import_bytes;
use llmc_compiler::import::ops::TABLE;
use llmc_compiler::import::proto::*;
use prost::Message;
use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// All runs at a time may hold so many bytes.
const MEMORY: usize = 2 << 30;
/// No file takes longer, however busy the host is.
const LONGEST: Duration = Duration::from_secs(60);

/// The allocator of the system, counting.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the allocator of the system unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(held, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A repeatable stream of random numbers.
struct Dice(u64);

impl Dice {
    fn new(run: u64) -> Dice {
        let mut dice = Dice((run + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.roll(2);
        dice
    }

    /// Less than `sides`, which may be 0 for 0.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % sides.max(1)
    }

    fn pick<'a, T>(&mut self, list: &'a mut [T]) -> Option<&'a mut T> {
        let i = self.roll(list.len());
        list.get_mut(i)
    }

    /// Numbers that break things.
    fn number(&mut self) -> i64 {
        match self.roll(4) {
            0 => [
                i64::MIN,
                i64::MAX,
                -1,
                0,
                1,
                1 << 31,
                1 << 32,
                1 << 40,
                i64::MAX - 1,
            ][self.roll(9)],
            1 => self.roll(1 << 20) as i64 - (1 << 19),
            _ => self.roll(12) as i64 - 4,
        }
    }
}

fn seeds() -> Vec<ModelProto> {
    let masks = [Mask::Causal, Mask::Window, Mask::Padding, Mask::Strange];
    let mut seeds: Vec<ModelProto> = masks.map(language_model).into();
    seeds.push(control());
    let folder = std::env::var_os("LLMC_NODE_CASES").map(PathBuf::from);
    for entry in folder.iter().flat_map(std::fs::read_dir).flatten() {
        let Ok(bytes) = entry.and_then(|e| std::fs::read(e.path().join("model.onnx"))) else {
            continue;
        };
        seeds.push(ModelProto::decode(bytes.as_slice()).unwrap());
    }
    seeds.sort_by_cached_key(Message::encode_to_vec);
    seeds
}

/// A branch, a loop and a function.
fn control() -> ModelProto {
    let then = vec![node("Neg", &["x"], "t", vec![])];
    let other = vec![node("Abs", &["x"], "e", vec![])];
    let branches = vec![
        graph_attribute("then_branch", then, "t"),
        graph_attribute("else_branch", other, "e"),
    ];
    let mut body = graph_attribute(
        "body",
        vec![
            node("Add", &["s", "x"], "next", vec![]),
            node("Identity", &["go"], "more", vec![]),
        ],
        "more",
    );
    if let Some(graph) = &mut body.g {
        graph.input = ["i", "go", "s"]
            .map(|n| port(n, data_type::FLOAT, ""))
            .into();
        graph.output.push(port("next", data_type::FLOAT, "3"));
    }
    let mut call = node("F", &["z"], "y", vec![]);
    call.domain = "f".into();
    let nodes = vec![
        node("Less", &["three", "three"], "c", vec![]),
        node("If", &["c"], "h", branches),
        node("Loop", &["three", "", "h"], "z", vec![body]),
        call,
    ];
    let f32s = |name| port(name, data_type::FLOAT, "3");
    let mut made = model(
        nodes,
        vec![longs("three", &[], &[3])],
        vec![f32s("x")],
        vec![f32s("y")],
    );
    let opset = |domain: &str| OperatorSetIdProto {
        domain: domain.into(),
        version: 18,
    };
    made.opset_import.push(opset("f"));
    made.functions.push(FunctionProto {
        name: "F".into(),
        domain: "f".into(),
        input: vec!["a".into()],
        output: vec!["b".into()],
        node: vec![
            node("Tanh", &["a"], "m", vec![]),
            node("Exp", &["m"], "b", vec![]),
        ],
        opset_import: vec![opset("")],
        ..Default::default()
    });
    made
}

/// Changes something that the format has a field for.
fn change_message(dice: &mut Dice, model: &mut ModelProto, other: &ModelProto) {
    let number = dice.number();
    if dice.roll(16) == 0 {
        if let Some(opset) = dice.pick(&mut model.opset_import) {
            opset.version = number;
        }
        return;
    }
    let Some(graph) = &mut model.graph else {
        return;
    };
    let names: Vec<String> = graph.node.iter().flat_map(|n| n.output.clone()).collect();
    match dice.roll(12) {
        0 | 1 => {
            let name = names
                .get(dice.roll(names.len()))
                .cloned()
                .unwrap_or_default();
            if let Some(node) = dice.pick(&mut graph.node)
                && let Some(input) = dice.pick(&mut node.input)
            {
                *input = name;
            }
        }
        2 => {
            let op = TABLE[dice.roll(TABLE.len())].name;
            if let Some(node) = dice.pick(&mut graph.node) {
                node.op_type = op.into();
            }
        }
        3 | 4 => {
            let kind = dice.roll(10) as i32;
            if let Some(node) = dice.pick(&mut graph.node)
                && let Some(attribute) = dice.pick(&mut node.attribute)
            {
                match dice.roll(4) {
                    0 => attribute.i = number,
                    1 => attribute.ints.push(number),
                    2 => attribute.ints.iter_mut().for_each(|i| *i = number),
                    _ => attribute.r#type = kind,
                }
            }
        }
        5 => {
            let at = dice.roll(3);
            if let Some(constant) = dice.pick(&mut graph.initializer) {
                match at {
                    0 => constant.dims.push(number),
                    1 => constant.data_type = number as i32,
                    _ => constant.int64_data.iter_mut().for_each(|i| *i = number),
                }
            }
        }
        6 | 7 => {
            let ports = if number % 2 == 0 {
                &mut graph.input
            } else {
                &mut graph.output
            };
            if let Some(port) = dice.pick(ports)
                && let Some(TypeKind::Tensor(tensor)) =
                    port.r#type.as_mut().and_then(|t| t.kind.as_mut())
            {
                let dims = tensor.shape.get_or_insert_default();
                match dice.roll(3) {
                    0 => tensor.elem_type = number as i32,
                    1 => dims.dim.clear(),
                    _ => {
                        if let Some(dim) = dice.pick(&mut dims.dim) {
                            dim.value = Some(DimValue::Value(number));
                        }
                    }
                }
            }
        }
        8 => {
            let at = dice.roll(graph.node.len());
            if at < graph.node.len() {
                graph.node.remove(at);
            }
        }
        9 => {
            let inputs = dice.roll(4);
            if let Some(node) = dice.pick(&mut graph.node) {
                node.input.resize(inputs, String::new());
            }
        }
        10 => {
            if let Some(from) = other.graph.as_ref() {
                let node = from.node.get(dice.roll(from.node.len())).cloned();
                let at = dice.roll(graph.node.len() + 1);
                graph.node.splice(at..at, node);
                graph
                    .initializer
                    .extend(from.initializer.iter().take(2).cloned());
            }
        }
        _ => {
            let (a, b) = (dice.roll(graph.node.len()), dice.roll(graph.node.len()));
            if a < graph.node.len() && b < graph.node.len() {
                graph.node.swap(a, b);
            }
        }
    }
}

/// Changes bytes, whatever they mean.
fn change_bytes(dice: &mut Dice, file: &mut Vec<u8>, other: &[u8]) {
    let at = dice.roll(file.len());
    match dice.roll(8) {
        0 => file.truncate(at),
        1 => {
            let from = dice.roll(other.len());
            let to = (from + dice.roll(64)).min(other.len());
            file.splice(at..at, other[from..to].iter().copied());
        }
        2 => {
            file.splice(
                at..at,
                [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            );
        }
        3 => {
            file.drain(at..(at + dice.roll(8)).min(file.len()));
        }
        _ => {
            if let Some(byte) = file.get_mut(at) {
                *byte ^= 1 << dice.roll(8);
            }
        }
    }
}

fn mutant(dice: &mut Dice, seeds: &[ModelProto]) -> Vec<u8> {
    let mut model = seeds[dice.roll(seeds.len())].clone();
    let other = &seeds[dice.roll(seeds.len())];
    let by_message = dice.roll(4) != 0;
    if by_message {
        for _ in 0..1 + dice.roll(3) {
            change_message(dice, &mut model, other);
        }
    }
    let mut file = model.encode_to_vec();
    if !by_message {
        let other = other.encode_to_vec();
        for _ in 0..1 + dice.roll(4) {
            change_bytes(dice, &mut file, &other);
        }
    }
    file
}

/// Imports a file; what panics or takes too long is kept in a file whose name is returned.
fn import_one(file: &[u8], what: &str) -> Result<(), String> {
    let started = Instant::now();
    let done = catch_unwind(AssertUnwindSafe(|| import_bytes(file)));
    let took = started.elapsed();
    if done.is_ok() && took < LONGEST {
        return Ok(());
    }
    let kept = std::env::temp_dir().join(format!("llmc-{what}.onnx"));
    std::fs::write(&kept, file).unwrap();
    let kept = kept.display();
    Err(format!(
        "{what} after {took:?}: put {kept} into compiler/tests/damaged"
    ))
}

#[test]
fn mutated_models() {
    let budget = std::env::var("LLMC_FUZZ_BUDGET").ok();
    let runs = 1_000 * budget.and_then(|b| b.parse().ok()).unwrap_or(1);
    let seeds = seeds();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for first in 0..threads {
            let (seeds, failed) = (&seeds, &failed);
            scope.spawn(move || {
                for run in (first..runs).step_by(threads as usize) {
                    let file = mutant(&mut Dice::new(run), seeds);
                    if let Err(e) = import_one(&file, &format!("mutant-{run}")) {
                        failed.lock().unwrap().push(e);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let most = MOST.load(Relaxed);
    println!(
        "{runs} files of {} seeds, at most {} MiB held",
        seeds.len(),
        most >> 20
    );
    assert!(most < MEMORY, "{} MiB were held at a time", most >> 20);
}

/// Files that failed once.
#[test]
fn damaged_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/damaged");
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        import_one(&std::fs::read(&path).unwrap(), &name).unwrap();
    }
}
