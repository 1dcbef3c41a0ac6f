//! Planted bugs shrink to the few nodes that show them.

mod common;

use common::llama::{Dialect, Llama};
use llmc_ir::{BinaryOp, Graph, Module, Op, UnaryOp, parse_graph};
use llmc_passes::differ::differ;
use llmc_passes::reduce::reduce;
use llmc_passes::{BytesAndMacs, Options, Pass, Quant};

/// Swaps the operands of each subtraction: the bug.
fn broken(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for id in graph.ids() {
        if graph.op(id) == &Op::Binary(BinaryOp::Sub) {
            let operands: Vec<_> = graph.operands(id).iter().rev().copied().collect();
            graph
                .set_node(id, Op::Binary(BinaryOp::Sub), &operands)
                .expect("same types");
        }
    }
    graph
}

#[test]
fn a_wrong_rewrite_shrinks_to_the_node_it_breaks() {
    let graph = parse_graph(
        r#"graph "main" {
  const c0 "one" f32[] = [1.0]
  input %0 "x" f32[batch, seq, 64]
  input %1 "y" f32[batch, seq, 64]
  %2 : f32[] = const c0
  %3 : f32[batch, seq, 64] = mul %0, %1
  %4 : f32[batch, seq, 64] = sigmoid %3
  %5 : f32[batch, seq, 64] = sub %4, %2
  %6 : f32[batch, seq, 64] = mul %5, %0
  %7 : f32[batch, seq, 1] = reduce_mean %6 {axes=[2], keepdims=true}
  %8 : f32[batch, seq, 64] = add %6, %7
  output "a" %8
  output "b" %3
}
"#,
    )
    .expect("parses");
    let small = reduce(&graph, &mut |graph| {
        differ(graph, &broken(graph), 1e-5).is_ok_and(|found| found.is_some())
    });
    assert_eq!(
        small.to_string(),
        r#"graph "main" {
  const c0 "one" f32[] = [1.0]
  input %0 "x0" f32[1, 1, 1]
  %1 : f32[] = const c0
  %2 : f32[1, 1, 1] = sub %0, %1
  output "output" %2
}
"#
    );
}

#[test]
fn a_whole_model_shrinks_to_what_one_fusion_needs() {
    // What is looked for: the fused graph has a `silu_mul`.
    let costs = BytesAndMacs::default();
    let options = Options {
        prefill: 8,
        max_context: 16,
        cores: 1,
        quant: Quant::None,
        roll: false,
        omitted: None,
        costs: &costs,
    };
    let graph = Llama::TINY.build(Dialect::TorchScript, 1);
    let before = graph.len();
    let small = reduce(&graph, &mut |graph| {
        let mut module = Module::new(vec![graph.clone()]);
        Pass::Fuse.apply(&mut module, &options).is_ok()
            && module.entries[0]
                .iter()
                .any(|(_, node)| node.op == Op::SiluMul)
    });
    assert!(before > 100, "{before} nodes at first");
    let ops: Vec<&str> = small
        .iter()
        .map(|(_, node)| node.op.name())
        .filter(|name| *name != "input")
        .collect();
    assert!(ops.len() <= 3, "{small}");
    assert!(
        small
            .iter()
            .any(|(_, node)| node.op == Op::Unary(UnaryOp::Sigmoid)),
        "{small}"
    );
}
