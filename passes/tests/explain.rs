//! Proofs and near misses as text: `tests/cases/explain/<name>.txt` is what is said of the start of `tests/cases/fuse/<name>.txt`.
//! `LLMC_BLESS=1 cargo test -p llmc-passes --test explain` writes it anew.

mod common;

use std::path::PathBuf;

use common::llama::{Dialect, Llama};
use llmc_ir::{Const, Graph, Module, parse_graph};
use llmc_passes::egraph::{self, Explained};
use llmc_passes::{BytesAndMacs, Options, Pass, Quant};
use llmc_tensor::Tensor;

/// Cases that are explained: a proof of each kind, and a near miss of each stage of recognition.
const CASES: [&str; 10] = [
    "attention_torchscript",
    "attention_not_weak_mask",
    "attention_not_mask_input",
    "attention_not_softmax_over_queries",
    "norm_power_half",
    "norm_not_epsilon_negative",
    "norm_not_epsilon_outside",
    "rope_halves",
    "rope_not_upper_half",
    "rope_not_table_per_head",
];

fn explain(graph: &Graph) -> Explained {
    egraph::explain(graph, &egraph::rules::all(), &BytesAndMacs::default())
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn cases_read_as_they_should() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut failures = Vec::new();
    for name in CASES {
        let start = folder.join("fuse").join(format!("{name}.txt"));
        let start = std::fs::read_to_string(start).expect("a case of fuse");
        let start = start.split("\n====\n").next().unwrap_or_default();
        let graph = parse_graph(start).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        let explained = explain(&graph);
        let kind = name.split('_').next().unwrap_or_default();
        let proved = explained.proofs.iter().any(|proof| proof.op.contains(kind));
        assert_eq!(proved, !name.contains("_not_"), "{name}\n{explained}");
        assert_eq!(
            explained.near_misses.is_empty(),
            proved,
            "{name}\n{explained}"
        );
        let have = explained.to_string();
        let path = folder.join("explain").join(format!("{name}.txt"));
        if std::env::var_os("LLMC_BLESS").is_some() {
            std::fs::write(&path, have).expect("writable");
        } else if have != std::fs::read_to_string(&path).unwrap_or_default() {
            failures.push(format!("{name} (LLMC_BLESS=1 accepts):\n{have}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The decode entry of a tiny Llama, as it is before fusion.
fn decode(dialect: Dialect) -> Graph {
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
    let mut module = Module::new(vec![Llama::TINY.build(dialect, 1)]);
    for pass in [Pass::Fold, Pass::PromoteState, Pass::Specialise, Pass::Fold] {
        pass.apply(&mut module, &options)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    module.entry("decode").expect("decode").clone()
}

/// Proofs of each op.
fn proofs(explained: &Explained, op: &str) -> usize {
    let of = explained
        .proofs
        .iter()
        .filter(|proof| proof.op.starts_with(op));
    of.count()
}

#[test]
fn every_fused_op_of_a_model_is_proved() {
    for dialect in [Dialect::Dynamo, Dialect::TorchScript] {
        let explained = explain(&decode(dialect));
        let layers = Llama::TINY.layers;
        for (op, times) in [
            ("attention", layers),
            ("rms_norm", 2 * layers + 1),
            ("rope", 2 * layers),
            ("silu_mul", layers),
        ] {
            assert_eq!(proofs(&explained, op), times, "{dialect:?} {op}");
        }
        assert!(explained.near_misses.is_empty(), "{explained}");
        for proof in &explained.proofs {
            assert!(!proof.steps.is_empty(), "{} without a step", proof.op);
            assert!(
                !proof.origin.is_empty(),
                "{} without nodes of the model",
                proof.op
            );
        }
    }
}

#[test]
fn a_mask_altered_by_hand_is_not_fused_and_the_near_miss_says_why() {
    let mut graph = decode(Dialect::TorchScript);
    for constant in &mut graph.tables_mut().consts {
        let number = constant.tensor().map(|tensor| tensor.to_f64_vec());
        if matches!(number.as_deref(), Some([low]) if *low <= -1e4) {
            let weak = vec![-3.0f32];
            let weak = Tensor::from_vec(constant.shape().to_vec(), weak).expect("one number");
            *constant = Const::new(constant.name(), weak).into();
        }
    }
    let explained = explain(&graph);
    assert_eq!(proofs(&explained, "attention"), 0);
    assert_eq!(
        explained.near_misses.len(),
        Llama::TINY.layers,
        "{explained}"
    );
    for miss in &explained.near_misses {
        assert_eq!(miss.looks_like, "an attention");
        assert_eq!(miss.reached, ["scores"]);
        assert_eq!(miss.missing, "probabilities");
        let failed = &miss.failed[0];
        assert_eq!(failed.reason, "the mask adds too little to hide anything");
        let saw = failed
            .saw
            .iter()
            .find(|(var, _)| var == "?m")
            .expect("the mask");
        assert!(saw.1.contains("hidden=-3.0"), "{saw:?}");
    }
}
