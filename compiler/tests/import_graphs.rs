//! Import: what the graph means, on small models made here.

mod import_build;

use import_build::run::{Pasts, pieces, step};
use import_build::*;
use llmc_compiler::import::proto::*;
use llmc_compiler::import::{Category, ImportOptions, Imported, import};
use llmc_ir::{Bindings, MaskForm, MaskKind, Op, Real, eval_graph};
use llmc_tensor::Tensor;
use llmc_tensor::compare::compare;
use std::collections::BTreeMap;

fn imported(model: &ModelProto) -> Imported {
    let (_folder, path) = saved(model);
    import(
        &path,
        &ImportOptions {
            max_positions: Some(64),
            shorten: false,
            ..ImportOptions::default()
        },
    )
    .unwrap_or_else(|e| panic!("{e}"))
}

/// A position table that ends before the longest context.
#[test]
fn tables_that_end_too_early() {
    let model = model(
        vec![
            node("Gather", &["places", "position_ids"], "place", vec![]),
            node("Gather", &["table", "input_ids"], "word", vec![]),
            node("Add", &["word", "place"], "logits", vec![]),
            node("Unsqueeze", &["word", "one"], "new", vec![]),
            node(
                "Concat",
                &["past_key_values.0.key", "new"],
                "present.0.key",
                vec![int("axis", 2)],
            ),
        ],
        vec![
            floats("table", &[8, 4], &table()),
            floats("places", &[100, 4], &[0.5; 400]),
            longs("one", &[1], &[1]),
        ],
        vec![
            port("input_ids", data_type::INT64, "b s"),
            port("position_ids", data_type::INT64, "b s"),
            port("past_key_values.0.key", data_type::FLOAT, "b 1 p 4"),
        ],
        vec![
            port("logits", data_type::FLOAT, "b s 4"),
            port("present.0.key", data_type::FLOAT, "b 1 t 4"),
        ],
    );
    let (_folder, path) = saved(&model);
    let positions = |n| {
        import(
            &path,
            &ImportOptions {
                max_positions: Some(n),
                shorten: false,
                ..ImportOptions::default()
            },
        )
    };
    let graph = positions(100).unwrap().graph;
    let logits = graph.ty(graph.output("logits").unwrap());
    assert_eq!(logits.to_string(), "f32[batch, seq, 4]");
    let error = positions(101).unwrap_err();
    assert_eq!(error.category(), Category::Unsupported);
    for part in [
        "computed for 101 tokens after 0: Gather `node_place`",
        "choose a shorter longest context",
    ] {
        assert!(
            error.to_string().contains(part),
            "`{part}` is not in: {error}"
        );
    }
}

fn masks(model: &Imported) -> Vec<(MaskKind, MaskForm)> {
    let mask = |op: &Op| match op {
        Op::Mask { kind, form, .. } => Some((*kind, *form)),
        _ => None,
    };
    model
        .graph
        .iter()
        .filter_map(|(_, n)| mask(&n.op))
        .collect()
}

/// What `language_model` computes, written down directly.
fn reference(tokens: &[i64], sees: impl Fn(usize, usize) -> bool) -> Tensor {
    let table = table();
    let row = |t: i64| &table[t as usize * WIDTH..][..WIDTH];
    let embed = |(p, &t): (usize, &i64)| -> Vec<f32> {
        let signal = |i: usize| (p as f32 * [1.0, 0.5, 0.25, 0.125][i]).sin();
        row(t)
            .iter()
            .enumerate()
            .map(|(i, v)| v + signal(i))
            .collect()
    };
    let x: Vec<Vec<f32>> = tokens.iter().enumerate().map(embed).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let mut logits = Vec::new();
    for i in 0..x.len() {
        let weights: Vec<f32> = (0..x.len())
            .map(|j| {
                if sees(i, j) {
                    dot(&x[i], &x[j]).exp()
                } else {
                    0.0
                }
            })
            .collect();
        let sum: f32 = weights.iter().sum();
        let out: Vec<f32> = (0..WIDTH)
            .map(|c| (0..x.len()).map(|j| weights[j] * x[j][c]).sum::<f32>() / sum)
            .collect();
        logits.extend((0..VOCAB).map(|t| dot(&out, row(t as i64))));
    }
    Tensor::from_vec([1, x.len(), VOCAB], logits).unwrap()
}

const TOKENS: [i64; 9] = [3, 1, 4, 1, 5, 7, 2, 6, 5];

#[test]
fn masks_and_positions_are_recognised() {
    let cases = [
        (Mask::Causal, MaskKind::CAUSAL, MaskForm::Bool),
        (
            Mask::Window,
            MaskKind {
                causal: true,
                window: Some(3),
            },
            MaskForm::Additive(Real::new(-10000.0)),
        ),
    ];
    for (mask, kind, form) in cases {
        let model = imported(&language_model(mask));
        assert_eq!(masks(&model), [(kind, form)]);
        let sees = |i: usize, j: usize| kind.sees(i as i64, j as i64);
        let expected = reference(&TOKENS, sees);
        for lengths in [&[9][..], &[1, 8], &[4, 4, 1], &[1; 9]] {
            let c = compare(&pieces(&model, &TOKENS, lengths), &expected, 1e-5).unwrap();
            assert!(c.is_match(), "in pieces {lengths:?}: {c}");
        }
        let names: Vec<&str> = model
            .graph
            .inputs()
            .iter()
            .map(|(n, _)| n.as_str())
            .collect();
        assert_eq!(
            names,
            ["input_ids", "past_key_values.0.key"],
            "mask and positions are gone"
        );
        let shape = |name: &str| {
            model
                .graph
                .ty(model.graph.output(name).unwrap())
                .to_string()
        };
        assert_eq!(shape("logits"), "f32[batch, seq, 8]");
        assert_eq!(shape("present.0.key"), "f32[batch, 1, past + seq, 4]");
        assert_eq!(
            (
                model.caches[0].past.as_str(),
                model.caches[0].present.as_str()
            ),
            ("past_key_values.0.key", "present.0.key")
        );
    }
}

#[test]
fn a_mask_of_padding_alone_is_full() {
    let model = imported(&language_model(Mask::Padding));
    assert_eq!(masks(&model), [(MaskKind::FULL, MaskForm::Bool)]);
    let c = compare(
        &step(&model, &TOKENS, 0, &mut Pasts::new()),
        &reference(&TOKENS, |_, _| true),
        1e-5,
    )
    .unwrap();
    assert!(c.is_match(), "{c}");
}

/// Some exporters leave the extents of a cache open, and some tools leave the nodes unsorted.
#[test]
fn caches_without_extents_and_nodes_out_of_order() {
    let mut given = language_model(Mask::Causal);
    let graph = given.graph.as_mut().unwrap();
    graph.node.reverse();
    graph.input[3] = port(
        "past_key_values.0.key",
        data_type::FLOAT,
        "batch_size 1 s64 head_size",
    );
    let (model, plain) = (imported(&given), imported(&language_model(Mask::Causal)));
    let past = |model: &Imported| model.graph.ty(model.graph.inputs()[1].1).clone();
    assert_eq!(past(&model), past(&plain));
    let logits = |model: &Imported| pieces(model, &TOKENS, &[4, 5]);
    let c = compare(&logits(&model), &logits(&plain), 0.0).unwrap();
    assert!(c.is_match(), "{c}");
}

#[test]
fn a_mask_of_no_family_is_an_error_with_samples() {
    let (_folder, path) = saved(&language_model(Mask::Strange));
    let error = import(&path, &ImportOptions::default()).unwrap_err();
    assert_eq!(error.category(), Category::Unsupported);
    let text = error.to_string();
    for part in [
        "Add `node_masked`: operand from `node_bias`",
        "fits no known family",
        "seq=5 past=0: f32[1, 1, 5, 5] [0, -10000, -10000,",
        "export the model without custom masks",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn importing_twice_gives_the_same() {
    let (_folder, path) = saved(&language_model(Mask::Window));
    let text = || {
        import(&path, &ImportOptions::default())
            .unwrap()
            .graph
            .to_string()
    };
    assert_eq!(text(), text());
}

#[test]
fn batches_are_independent() {
    let model = imported(&language_model(Mask::Causal));
    let graph = &model.graph;
    let bindings = Bindings::new()
        .with("batch", 2)
        .with("seq", 4)
        .with("past", 0);
    let ids = [3i64, 1, 4, 1, 5, 7, 2, 6];
    let inputs = BTreeMap::from([
        (
            "input_ids".to_string(),
            Tensor::from_slice([2, 4], &ids).unwrap(),
        ),
        (
            "past_key_values.0.key".to_string(),
            Tensor::from_slice::<f32>([2, 1, 0, 4], &[]).unwrap(),
        ),
    ]);
    let both =
        eval_graph(graph, &bindings, &inputs, &mut BTreeMap::new()).unwrap()["logits"].to_f32_vec();
    let one = |ids: &[i64]| step(&model, ids, 0, &mut Pasts::new()).to_f32_vec();
    assert_eq!(both, [one(&ids[..4]), one(&ids[4..])].concat());
}

#[test]
fn inputs_are_told_by_what_the_graph_does_with_them() {
    let mut model = language_model(Mask::Causal);
    let text = |s: &mut String| {
        if s == "input_ids" {
            *s = "words".into();
        } else if s == "past_key_values.0.key" {
            *s = "memory".into();
        }
    };
    let graph = model.graph.as_mut().unwrap();
    graph
        .node
        .iter_mut()
        .flat_map(|n| &mut n.input)
        .for_each(text);
    graph.input.iter_mut().map(|p| &mut p.name).for_each(text);
    let model = imported(&model);
    assert_eq!(model.tokens.as_deref(), Some("words"));
    assert_eq!(model.caches[0].past, "memory");
}

/// An encoder: learned positions as many as there are tokens, and a mask that its user gives.
#[test]
fn without_caches_masks_are_inputs_and_dims_have_values() {
    let model = model(
        vec![
            node("Shape", &["input_ids"], "shape", vec![]),
            node("Gather", &["shape", "one"], "length", vec![]),
            node("Range", &["nought", "length", "one"], "order", vec![]),
            node("Gather", &["places", "order"], "place", vec![]),
            node("Gather", &["table", "input_ids"], "word", vec![]),
            node("Add", &["word", "place"], "placed", vec![]),
            node("Cast", &["attention_mask"], "seen", vec![int("to", 1)]),
            node("Unsqueeze", &["seen", "last"], "column", vec![]),
            node("Mul", &["placed", "column"], "y", vec![]),
        ],
        vec![
            floats("table", &[8, 4], &table()),
            floats("places", &[6, 4], &[0.5; 24]),
            longs("nought", &[], &[0]),
            longs("one", &[], &[1]),
            longs("last", &[1], &[2]),
        ],
        vec![
            port("input_ids", data_type::INT64, "b s"),
            port("attention_mask", data_type::INT64, "b s"),
        ],
        vec![port("y", data_type::FLOAT, "b s 4")],
    );
    let (_folder, path) = saved(&model);
    let with = |dims: &[(&str, u64)]| {
        let dims = dims
            .iter()
            .map(|(name, n)| (name.to_string(), *n))
            .collect();
        let max_positions = Some(64);
        import(
            &path,
            &ImportOptions {
                max_positions,
                dims,
                ..ImportOptions::default()
            },
        )
    };
    let found = with(&[("b", 2), ("s", 3)]).unwrap();
    assert_eq!(found.bound, ["b", "s"]);
    let inputs = found.graph.inputs().iter();
    let inputs: Vec<String> = inputs
        .map(|(n, id)| format!("{n} {}", found.graph.ty(*id)))
        .collect();
    assert_eq!(inputs, ["input_ids i64[2, 3]", "attention_mask i64[2, 3]"]);
    let error = with(&[("b", 2)]).unwrap_err().to_string();
    assert!(
        error.contains("the symbolic dims s; give each a value, e.g. --dim s=1"),
        "{error}"
    );
}

#[test]
fn large_constants_stay_ops_and_weights_stay_where_they_are() {
    let mut model = language_model(Mask::Causal);
    let graph = model.graph.as_mut().unwrap();
    let rows = 2048i64;
    let big: Vec<f32> = (0..rows * WIDTH as i64).map(|i| (i % 13) as f32).collect();
    graph.initializer[0] = floats("table", &[rows, WIDTH as i64], &big);
    let mut place = |i: usize, offset: u64| {
        let tensor = &mut graph.initializer[i];
        let raw = std::mem::take(&mut tensor.raw_data);
        tensor.data_location = 1;
        let pair = |k: &str, v: String| StringStringEntryProto {
            key: k.into(),
            value: v,
        };
        tensor.external_data = vec![
            pair("location", "weights".into()),
            pair("offset", offset.to_string()),
        ];
        raw
    };
    let (table, rates) = (place(0, 3), place(1, 3 + 4 * 4 * rows as u64));
    let (folder, path) = saved(&model);
    std::fs::write(
        folder.path().join("weights"),
        [b"...", &table[..], &rates[..]].concat(),
    )
    .unwrap();
    let model = import(
        &path,
        &ImportOptions {
            max_positions: Some(64),
            shorten: false,
            ..ImportOptions::default()
        },
    )
    .unwrap();
    let graph = &model.graph;
    let turned = graph
        .iter()
        .find(|(_, n)| matches!(&n.op, Op::Transpose { perm } if perm == &[1, 0]))
        .unwrap()
        .1;
    let constant = graph.as_const(turned.operands[0]).unwrap();
    assert_eq!(
        (constant.name(), turned.origin.as_slice()),
        ("table", &["node_table_t".to_string()][..])
    );
    let gathered = graph
        .iter()
        .find(|(_, n)| matches!(n.op, Op::Gather { .. }))
        .unwrap()
        .1;
    assert_eq!(
        gathered.operands[0], turned.operands[0],
        "one node for one weight"
    );
    assert_eq!(constant.tensor().unwrap().bytes(), &table[..]);
}

/// The type and value of `y` computed by one node from `x: f32[n, 2, 6]` = 0, 1, 2, ...
fn one_node(
    op: &str,
    extra: &[&str],
    attributes: Vec<AttributeProto>,
    constants: Vec<TensorProto>,
) -> (String, Vec<usize>, Vec<f32>) {
    let operands = [&["x"], extra].concat();
    let model = model(
        vec![node(op, &operands, "y", attributes)],
        constants,
        vec![port("x", data_type::FLOAT, "n 2 6")],
        vec![port("y", data_type::FLOAT, "")],
    );
    let model = imported(&model);
    let graph = &model.graph;
    let x = Tensor::from_vec([3, 2, 6], (0..36).map(|i| i as f32).collect()).unwrap();
    let bindings = Bindings::new().with("n", 3);
    let inputs = BTreeMap::from([("x".to_string(), x)]);
    let y = eval_graph(graph, &bindings, &inputs, &mut BTreeMap::new()).unwrap()["y"].clone();
    (
        graph.ty(graph.output("y").unwrap()).to_string(),
        y.shape().to_vec(),
        y.to_f32_vec(),
    )
}

#[test]
fn reshape_slice_and_relatives_on_symbolic_axes() {
    let c = |values: &[i64]| vec![longs("c", &[values.len() as i64], values)];
    let reshaped = |shape: &[i64]| one_node("Reshape", &["c"], vec![], c(shape)).0;
    assert_eq!(reshaped(&[0, -1]), "f32[n, 12]");
    assert_eq!(reshaped(&[-1, 6]), "f32[2*n, 6]");
    assert_eq!(reshaped(&[0, 2, 2, -1]), "f32[n, 2, 2, 3]");
    assert_eq!(
        one_node("Unsqueeze", &["c"], vec![], c(&[0, -1])).0,
        "f32[1, n, 2, 6, 1]"
    );
    assert_eq!(
        one_node("Flatten", &[], vec![int("axis", 2)], vec![]).0,
        "f32[2*n, 6]"
    );
    assert_eq!(one_node("Transpose", &[], vec![], vec![]).0, "f32[6, 2, n]");

    let sliced = |start: i64, end: i64, axis: i64, step: i64| {
        let constants = ["s", "e", "a", "t"]
            .iter()
            .zip([start, end, axis, step])
            .map(|(n, v)| longs(n, &[1], &[v]))
            .collect();
        one_node("Slice", &["s", "e", "a", "t"], vec![], constants)
    };
    assert_eq!(sliced(2, i64::MAX, -1, 1).0, "f32[n, 2, 4]");
    assert_eq!(sliced(-2, 100, 2, 1).0, "f32[n, 2, 2]");
    assert_eq!(sliced(1, i64::MAX, 2, 2).0, "f32[n, 2, 3]");
    assert_eq!(sliced(0, i64::MAX, 0, 1).0, "f32[n, 2, 6]");
    assert_eq!(
        sliced(-1, i64::MIN, 2, -1).2[..6],
        [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    );
    assert_eq!(sliced(5, 2, 2, 1).1, [3, 2, 0]);

    let (ty, _, values) = one_node(
        "Gather",
        &["c"],
        vec![int("axis", 2)],
        vec![longs("c", &[], &[-1])],
    );
    assert_eq!(
        (ty.as_str(), &values[..3]),
        ("f32[n, 2]", &[5.0, 11.0, 17.0][..])
    );
    let (ty, _, values) = one_node("Tile", &["c"], vec![], c(&[1, 2, 1]));
    assert_eq!(
        (ty.as_str(), &values[11..13]),
        ("f32[n, 4, 6]", &[11.0, 0.0][..])
    );
    let (ty, _, values) = one_node("ReduceMean", &["c"], vec![int("keepdims", 0)], c(&[-1, 1]));
    assert_eq!(
        (ty.as_str(), &values[..]),
        ("f32[n]", &[5.5, 17.5, 29.5][..])
    );
    let (ty, ..) = one_node(
        "Gemm",
        &["w", "b"],
        vec![int("transB", 1)],
        vec![
            floats("w", &[3, 6], &[1.0; 18]),
            floats("b", &[3], &[0.5; 3]),
        ],
    );
    assert_eq!(ty, "f32[n, 2, 3]");
}

#[test]
fn wrong_shapes_are_named() {
    let fails = |op: &str, constants: Vec<TensorProto>, attributes: Vec<AttributeProto>| {
        let model = model(
            vec![node(op, &["x", "c"], "y", attributes)],
            constants,
            vec![port("x", data_type::FLOAT, "n 2 6")],
            vec![port("y", data_type::FLOAT, "")],
        );
        let (_folder, path) = saved(&model);
        import(&path, &ImportOptions::default())
            .unwrap_err()
            .to_string()
    };
    let c = |values: &[i64]| vec![longs("c", &[values.len() as i64], values)];
    assert!(
        fails("Reshape", c(&[0, 5]), vec![])
            .contains("[n, 2, 6] has 12*n elements, shape [n, 5] has 5*n")
    );
    assert!(fails("Reshape", c(&[-1, -1]), vec![]).contains("holds two -1"));
    assert!(fails("Reshape", c(&[-1, 5]), vec![]).contains("do not divide into shape"));
    assert!(fails("Squeeze", c(&[1]), vec![]).contains("axis 1 of [n, 2, 6] is not 1"));
    assert!(fails("Unsqueeze", c(&[7]), vec![]).contains("axis 7 is out of range for 4 axes"));
    assert!(
        fails("Split", c(&[1, 2]), vec![int("axis", 1)])
            .contains("parts [1, 2] do not add up to the extent 2")
    );
    assert!(
        fails("MatMul", vec![floats("c", &[5, 2], &[0.0; 10])], vec![]).contains("MatMul `node_y`")
    );
}
