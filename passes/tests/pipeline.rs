//! The whole pipeline on a tiny Llama in both dialects.

mod common;

use std::collections::BTreeMap;

use common::llama::{Dialect, Llama};
use common::{Random, assert_close, op_counts};
use llmc_ir::eval::{StateValue, States};
use llmc_ir::{Bindings, Graph, Layout, Module, Op, eval_graph};
use llmc_passes::{BytesAndMacs, Cause, Options, PassReport, Quant, STAGES, run, run_observed};
use llmc_tensor::Tensor;

const MAX_CONTEXT: usize = 16;

fn options(costs: &BytesAndMacs) -> Options<'_> {
    Options {
        prefill: 8,
        max_context: MAX_CONTEXT,
        cores: 4,
        quant: Quant::None,
        roll: false,
        omitted: None,
        costs,
    }
}

fn passes(graph: &Graph, quant: Quant) -> (Module, PassReport) {
    let costs = BytesAndMacs::default();
    match run(
        graph,
        &Options {
            quant,
            ..options(&costs)
        },
    ) {
        Ok(done) => done,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn both_dialects_become_the_same_fused_ops() {
    let want = |last_row: bool, layers: usize| {
        let mut want = vec![
            format!("add {}", 2 * layers),
            format!("append {}", 2 * layers),
            format!("attention {layers}"),
            "gather 1".to_string(),
        ];
        want.extend(last_row.then(|| "last_row 1".to_string()));
        want.extend([
            format!("matmul {}", 7 * layers + 1),
            "position_rows 2".to_string(),
            format!("rms_norm {}", 2 * layers + 1),
            format!("rope {}", 2 * layers),
            format!("silu_mul {layers}"),
        ]);
        want
    };
    for dialect in [Dialect::Dynamo, Dialect::TorchScript] {
        let graph = Llama::TINY.build(dialect, 1);
        let costs = BytesAndMacs::default();
        let mut fused = None;
        let watched = run_observed(&graph, &options(&costs), &mut |stage, module| {
            if stage == "fused" {
                fused = Some(module.clone());
            }
            true
        });
        let (_, report) = watched.unwrap_or_else(|error| panic!("{error}"));
        for (entry, eqsat) in &report.eqsat {
            assert_eq!(eqsat.stop, "saturated", "{dialect:?} {entry}");
        }
        for entry in &fused.expect("fused stage").entries {
            assert_eq!(
                op_counts(entry),
                want(entry.name == "prefill", Llama::TINY.layers),
                "{dialect:?} {}\n{entry}",
                entry.name
            );
        }
    }
}

/// Outputs of the imported graph for these tokens on these caches.
fn imported(
    graph: &Graph,
    ids: &Tensor,
    caches: &BTreeMap<String, Tensor>,
) -> BTreeMap<String, Tensor> {
    let mut inputs = caches.clone();
    inputs.insert("input_ids".into(), ids.clone());
    let past = caches.values().next().map_or(0, |cache| cache.shape()[2]);
    let at = bindings(ids, past).with("batch", 1);
    eval_graph(graph, &at, &inputs, &mut States::new()).unwrap_or_else(|error| panic!("{error}"))
}

fn bindings(ids: &Tensor, past: usize) -> Bindings {
    Bindings::new()
        .with("seq", ids.shape()[1] as i64)
        .with("past", past as i64)
}

/// The logits of an entry, and the states it leaves.
fn entry(
    module: &Module,
    name: &str,
    ids: &Tensor,
    mut states: States,
    past: usize,
) -> (Tensor, States) {
    let graph = module.entry(name).expect("entry");
    let inputs = BTreeMap::from([("input_ids".to_string(), ids.clone())]);
    let outputs = eval_graph(graph, &bindings(ids, past), &inputs, &mut states)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    (outputs["logits"].clone(), states)
}

/// Caches as states: the past rows, then zeros.
fn states(caches: &BTreeMap<String, Tensor>) -> States {
    let padded = |cache: &Tensor| {
        let [b, h, past, d] = cache.shape() else {
            panic!("four axes")
        };
        let rows = cache.to_f32_vec();
        let mut all = vec![0f32; b * h * MAX_CONTEXT * d];
        for head in 0..b * h {
            all[head * MAX_CONTEXT * d..][..past * d]
                .copy_from_slice(&rows[head * past * d..][..past * d]);
        }
        let tensor = Tensor::from_vec(vec![*b, *h, MAX_CONTEXT, *d], all).expect("fits");
        StateValue {
            tensor,
            past: *past,
        }
    };
    caches
        .iter()
        .map(|(name, cache)| (name.clone(), padded(cache)))
        .collect()
}

fn ids(tokens: &[i64]) -> Tensor {
    Tensor::from_vec(vec![1, tokens.len()], tokens.to_vec()).expect("fits")
}

#[test]
fn entries_compute_what_was_imported() {
    for dialect in [Dialect::Dynamo, Dialect::TorchScript] {
        let sizes = Llama::TINY;
        let graph = sizes.build(dialect, 7);
        let (module, _) = passes(&graph, Quant::None);
        for past in [0, 5] {
            let mut random = Random::new(past as u64 + 3);
            let caches: BTreeMap<String, Tensor> = graph.inputs()[1..]
                .iter()
                .map(|(name, _)| {
                    (
                        name.clone(),
                        random.tensor(&[1, sizes.kv_heads, past, sizes.head_dim], 1.0),
                    )
                })
                .collect();
            let tokens = ids(&[3, 1, 30, 7]);
            let want = imported(&graph, &tokens, &caches);
            let what = |entry: &str| format!("{dialect:?}, {entry}, past {past}");

            let (logits, after) = entry(&module, "score", &tokens, states(&caches), past);
            assert_close(&what("score"), &logits, &want["logits"], 1e-5);
            for (name, state) in &after {
                let present = &want[&name.replace("past_key_values", "present")];
                let t = past + 4;
                let kept = StateValue {
                    tensor: present.clone(),
                    past: t,
                };
                let full = states(&BTreeMap::from([(name.clone(), kept.tensor)]));
                assert_close(&what(name), &state.tensor, &full[name].tensor, 1e-5);
                assert_eq!(state.past, t);
            }

            let (last, _) = entry(&module, "prefill", &tokens, states(&caches), past);
            let all = want["logits"].to_f32_vec();
            let row = Tensor::from_vec(vec![1, 1, sizes.vocab], all[3 * sizes.vocab..].to_vec())
                .expect("fits");
            assert_close(&what("prefill"), &last, &row, 1e-5);

            let one = ids(&[9]);
            let want = imported(&graph, &one, &caches);
            let (logits, _) = entry(&module, "decode", &one, states(&caches), past);
            assert_close(&what("decode"), &logits, &want["logits"], 1e-5);
        }
    }
}

#[test]
fn rolled_layers_compute_the_same() {
    let sizes = Llama {
        layers: 5,
        ..Llama::TINY
    };
    let costs = BytesAndMacs::default();
    for (dialect, quant) in [
        (Dialect::Dynamo, Quant::None),
        (Dialect::TorchScript, Quant::Bf16),
    ] {
        let graph = sizes.build(dialect, 7);
        let compile = |roll: bool| {
            let options = Options {
                roll,
                quant,
                ..options(&costs)
            };
            run(&graph, &options).unwrap_or_else(|error| panic!("{error}"))
        };
        let ((rolled, report), (flat, all)) = (compile(true), compile(false));
        assert_eq!(report.roll.repeats.len(), 1, "{dialect:?}");
        assert_eq!(report.roll.repeats[0].0, 5, "{dialect:?}");
        assert_eq!(report.states, all.states);
        let nodes = |report: &PassReport| report.eqsat.iter().map(|(_, r)| r.nodes).max();
        assert!(nodes(&report) < nodes(&all).map(|n| n / 3), "{dialect:?}");
        let caches: BTreeMap<String, Tensor> = graph.inputs()[1..]
            .iter()
            .map(|(name, _)| {
                let cache = [1, sizes.kv_heads, 3, sizes.head_dim];
                (name.clone(), Random::new(5).tensor(&cache, 1.0))
            })
            .collect();
        let tokens = ids(&[3, 1, 30, 7]);
        for name in ["prefill", "score"] {
            let run = |module| entry(module, name, &tokens, states(&caches), 3);
            assert_eq!(run(&rolled), run(&flat), "{dialect:?}, {name}");
        }
    }
}

#[test]
fn bf16_weights_change_results_a_little() {
    let graph = Llama::TINY.build(Dialect::Dynamo, 2);
    let (module, report) = passes(&graph, Quant::Bf16);
    assert_eq!(report.quantised, 7 * Llama::TINY.layers + 1);
    let tokens = ids(&[1, 2, 3]);
    let caches: BTreeMap<String, Tensor> = graph.inputs()[1..]
        .iter()
        .map(|(name, _)| (name.clone(), Random::new(1).tensor(&[1, 2, 0, 6], 1.0)))
        .collect();
    let want = imported(&graph, &tokens, &caches);
    let (logits, _) = entry(&module, "score", &tokens, states(&caches), 0);
    assert_close("bf16", &logits, &want["logits"], 3e-2);
}

#[test]
fn other_quantisations_are_refused() {
    let graph = Llama::TINY.build(Dialect::Dynamo, 2);
    let costs = BytesAndMacs::default();
    let error = run(
        &graph,
        &Options {
            quant: Quant::W4a16,
            ..options(&costs)
        },
    )
    .expect_err("not supported");
    assert_eq!(
        error.to_string(),
        "quantised: quantisation `w4a16` is not supported yet"
    );
    assert!(!error.cause.is_bug());
}

#[test]
fn the_same_graph_gives_the_same_module() {
    let graph = Llama::TINY.build(Dialect::TorchScript, 5);
    let (first, report) = passes(&graph, Quant::Bf16);
    let (second, again) = passes(&graph, Quant::Bf16);
    assert_eq!(first.to_string(), second.to_string());
    assert_eq!(report.eqsat, again.eqsat);
}

#[test]
fn a_context_beyond_the_table_is_refused() {
    let graph = Llama::TINY.build(Dialect::Dynamo, 5);
    let costs = BytesAndMacs::default();
    let error = run(
        &graph,
        &Options {
            max_context: 17,
            ..options(&costs)
        },
    )
    .expect_err("table is too short");
    assert!(
        matches!(error.cause, Cause::Unsupported(ref problems) if problems.len() == 2),
        "{error}"
    );
}

#[test]
fn origins_survive_fusion() {
    let graph = Llama::TINY.build(Dialect::Dynamo, 5);
    let (module, _) = passes(&graph, Quant::None);
    let score = module.entry("score").expect("entry");
    for (op, names) in [
        (
            "attention",
            vec![
                "layers.1.softmax",
                "layers.1.k_t/Transpose",
                "layers.1.k_heads/Expand",
                "layers.1.o_view",
                "layers.1.q_scale",
            ],
        ),
        (
            "rope",
            vec![
                "layers.1.q_rope/Add",
                "layers.1.q_rope/Neg",
                "layers.1.q_proj/transpose",
            ],
        ),
        (
            "rms_norm",
            vec!["layers.1.post_norm/Mul_1", "layers.1.post_norm/Pow"],
        ),
        (
            "silu_mul",
            vec!["layers.1.gated", "layers.1.silu", "layers.1.sigmoid"],
        ),
    ] {
        let found = score.iter().any(|(_, node)| {
            node.op.name() == op
                && names
                    .iter()
                    .all(|name| node.origin.iter().any(|origin| origin == name))
        });
        assert!(found, "no {op} has all of {names:?}\n{score}");
    }
    for (id, node) in score.iter() {
        let layers: Vec<&String> = node
            .origin
            .iter()
            .filter(|name| name.starts_with("layers."))
            .collect();
        let one = layers.iter().all(|name| name[..9] == layers[0][..9]);
        assert!(one, "{id} has origins of several layers: {:?}", node.origin);
    }
}

#[test]
fn what_is_not_fused_is_reported_with_its_origin() {
    let mut graph = Llama::TINY.build(Dialect::TorchScript, 5);
    let softmax = |graph: &Graph| {
        let found = graph
            .iter()
            .find(|(_, node)| node.origin == ["layers.1.softmax"]);
        found
            .map(|(id, node)| (id, node.operands.clone()))
            .expect("softmax of layer 1")
    };
    let (id, operands) = softmax(&graph);
    graph
        .set_node(id, Op::Softmax { axis: 2 }, &operands)
        .expect("fits");
    let costs = BytesAndMacs::default();
    let error = run(&graph, &options(&costs)).expect_err("softmax over the queries");
    let Cause::NotFused { nodes, near_misses } = &error.cause else {
        panic!("{error}")
    };
    assert_eq!(near_misses.len(), 1, "{error}");
    assert_eq!(error.pass, "fused");
    let text = error.to_string();
    assert!(text.contains("\"layers.1.softmax\""), "{text}");
    assert!(!text.contains("layers.0.softmax"), "{text}");
    assert!(
        text.contains("looks like an attention, but softmax is not over the keys"),
        "{text}"
    );
    assert!(nodes.len() > 3, "{text}");
}

#[test]
fn an_observer_sees_all_stages_and_can_stop() {
    let graph = Llama::TINY.build(Dialect::Dynamo, 5);
    let costs = BytesAndMacs::default();
    let mut seen = Vec::new();
    run_observed(&graph, &options(&costs), &mut |stage, _| {
        seen.push(stage);
        true
    })
    .expect("compiles");
    assert_eq!(seen, STAGES);
    let stopped = run_observed(&graph, &options(&costs), &mut |stage, _| {
        stage != "specialised"
    });
    let (module, report) = stopped.expect("compiles");
    assert_eq!(module.entries.len(), 3);
    assert!(report.eqsat.is_empty());
}

#[test]
fn the_shakespeare_shape_fuses_with_heads_for_every_core() {
    let graph = Llama::SHAKESPEARE.build(Dialect::TorchScript, 5);
    let costs = BytesAndMacs::default();
    let options = Options {
        prefill: 64,
        max_context: 512,
        cores: 2,
        quant: Quant::Bf16,
        roll: false,
        omitted: None,
        costs: &costs,
    };
    let (module, report) = run(&graph, &options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.states, 8);
    // Before each norm, each output and each down projection; nothing before attention.
    let gathers = |name: &str| {
        report
            .gathers
            .iter()
            .find(|(entry, _)| entry == name)
            .map(|(_, n)| *n)
    };
    assert_eq!(gathers("decode"), Some(4 * 4));
    let decode = module.entry("decode").expect("entry");
    let queries = decode
        .iter()
        .filter(|(_, node)| matches!(node.op, Op::Rope { heads: 6, .. }));
    for (_, node) in queries {
        assert_eq!(node.ty.layout, Layout::Split { axis: 2, unit: 96 });
    }
}
