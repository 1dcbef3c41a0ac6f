//! Lowered programs compute what their graphs mean: the graphs of `cases/lower`, with random weights, in several
//! launches one after the other, against the graph evaluator.

mod tile_machine;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use llmc_compiler::tile::*;
use llmc_ir::{Bindings, Const, Graph, eval_graph};
use llmc_tensor::{DType, Tensor};
use tile_machine::Machine;

/// A fixed sequence of numbers between -1 and 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn tensor(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        let values = (0..shape.iter().product()).map(|_| self.next()).collect();
        Tensor::from_vec::<f32>(shape.to_vec(), values)
            .unwrap()
            .cast(dtype)
            .unwrap()
    }
}

/// The graph of a case with bytes for its constants that have none.
fn graph(case: &str, random: &mut Random) -> Graph {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases/lower")
        .join(case);
    let text = std::fs::read_to_string(path).unwrap();
    let mut graph = llmc_ir::parse_graph(text.split_once("----\n").unwrap().0).unwrap();
    let opaque = |c: &&mut Arc<Const>| c.tensor().is_none();
    for c in graph.tables_mut().consts.iter_mut().filter(opaque) {
        *c = Arc::new(Const::new(c.name(), random.tensor(c.dtype(), c.shape())));
    }
    graph
}

/// Runs launches of these numbers of tokens, one after the other, on graph and program.
fn check(case: &str, cores: u32, params: TileParams, launches: &[usize]) {
    let mut random = Random(7);
    let graph = graph(case, &mut random);
    let mut plan = WeightPlan::default();
    let program = lower(&graph, cores, &params, &mut plan).unwrap();
    let mut dram = BTreeMap::new();
    for item in plan.items() {
        let mut bytes = Vec::new();
        item.write(&mut bytes).unwrap();
        dram.insert(format!("weights {}", item.name), bytes);
    }
    let mut states = llmc_ir::eval::fresh_states(&graph, &Bindings::new()).unwrap();
    for (name, state) in &states {
        dram.insert(format!("state {name}"), state.tensor.bytes().to_vec());
    }
    let rounded = graph.consts().iter().any(|c| c.dtype() == DType::Bf16);
    let tolerance = if rounded { 2e-2 } else { 1e-5 };
    let mut past = 0;
    for &tokens in launches {
        let bindings = Bindings::new()
            .with("seq", tokens as i64)
            .with("past", past as i64);
        let mut inputs = BTreeMap::new();
        for (name, id) in graph.inputs() {
            let ty = graph.ty(*id);
            let shape: Vec<usize> = ty
                .shape
                .iter()
                .map(|d| d.eval_len(&bindings).unwrap())
                .collect();
            let tensor = match ty.dtype {
                DType::F32 => random.tensor(ty.dtype, &shape),
                dtype => {
                    let ids = (0..tokens)
                        .map(|_| (random.next().abs() * 39.0) as i64)
                        .collect();
                    Tensor::from_vec::<i64>(shape, ids)
                        .unwrap()
                        .cast(dtype)
                        .unwrap()
                }
            };
            dram.insert(format!("input {name}"), tensor.bytes().to_vec());
            inputs.insert(name.clone(), tensor);
        }
        let expected = eval_graph(&graph, &bindings, &inputs, &mut states).unwrap();
        let mut machine = Machine::new(&program, dram, [tokens as i64, past as i64]);
        machine.run();
        dram = machine.dram;
        let what = |name: &str| {
            format!("{case}, {cores} cores, {params:?}, {tokens} tokens past {past}: {name}")
        };
        for (name, tensor) in &expected {
            close(
                &dram[&format!("output {name}")],
                tensor,
                tolerance,
                &what(name),
            );
        }
        for (name, state) in &states {
            close(
                &dram[&format!("state {name}")],
                &state.tensor,
                tolerance,
                &what(name),
            );
        }
        past += tokens;
    }
}

/// The first bytes of `found` are close to a tensor of floats.
fn close(found: &[u8], expected: &Tensor, tolerance: f32, what: &str) {
    let found = Tensor::new(
        expected.dtype(),
        expected.shape().to_vec(),
        found[..expected.bytes().len()].to_vec(),
    );
    let (found, expected) = (found.unwrap().to_f32_vec(), expected.to_f32_vec());
    let range = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (f - e).abs() <= tolerance * range,
            "{what}: element {i} is {f}, expected {e}"
        );
    }
}

fn params(mt: u32, weight_page: u32, kv_block: u32) -> TileParams {
    TileParams {
        mt,
        weight_page,
        panels: 2,
        kv_block,
    }
}

#[test]
fn projection() {
    for cores in [1, 2, 5] {
        check("projection.txt", cores, params(4, 8192, 8), &[1, 4, 10]);
        check("projection.txt", cores, params(10, 1 << 20, 8), &[9]);
    }
}

#[test]
fn prefill() {
    for cores in [1, 2, 3] {
        check("prefill.txt", cores, params(4, 4096, 8), &[1, 7, 4, 8]);
        check("prefill.txt", cores, params(8, 1 << 20, 4), &[8, 3, 5]);
        check("prefill.txt", cores, params(1, 4096, 3), &[5, 6]);
    }
}

#[test]
fn decode() {
    for cores in [1, 2, 4] {
        check("decode.txt", cores, params(4, 4096, 4), &[1; 7]);
    }
}

#[test]
fn score() {
    for cores in [1, 3] {
        check(
            "score_three_cores.txt",
            cores,
            params(2, 4096, 4),
            &[5, 2, 1, 4],
        );
        check(
            "score_three_cores.txt",
            cores,
            params(5, 1 << 20, 4),
            &[3, 5],
        );
    }
}

#[test]
fn rounded() {
    for cores in [1, 2] {
        check("rounded.txt", cores, params(8, 4096, 4), &[5, 1, 7]);
        check("rounded.txt", cores, params(8, 4096, 3), &[8, 2]);
    }
}

#[test]
fn norms() {
    for cores in [1, 2] {
        check("norms.txt", cores, params(4, 4096, 8), &[1, 7, 4]);
        check("norms.txt", cores, params(1, 4096, 8), &[5]);
    }
}

#[test]
fn ops_within_rows() {
    for cores in [1, 2] {
        check("rowwise.txt", cores, params(4, 4096, 8), &[1, 7, 4]);
        check("rowwise.txt", cores, params(1, 4096, 8), &[5]);
        check("rowwise_decode.txt", cores, params(4, 4096, 8), &[1, 1]);
    }
}

#[test]
fn routing() {
    for cores in [1, 2] {
        check("routing.txt", cores, params(4, 4096, 8), &[1, 7, 4]);
        check("routing.txt", cores, params(1, 4096, 8), &[5]);
    }
}

#[test]
fn sinks() {
    for cores in [1, 2] {
        check("sinks.txt", cores, params(4, 8192, 8), &[1, 1, 1]);
    }
}
