//! `llmc check`: everything that is in the way, at once.

#[path = "../../compiler/tests/import_build/mod.rs"]
mod import_build;

use import_build::{floats, graph_attribute, int, model, node, port, saved};
use llmc_compiler::import::proto::{ModelProto, StringStringEntryProto, data_type};
use llmc_tests::{llmc, shakespeare, shared_models};

/// Six nodes and ports, each wrong in its own way; the rest works.
fn six_problems() -> ModelProto {
    let f32s = |name: &str, dims: &str| port(name, data_type::FLOAT, dims);
    let branch = |name: &str, op: &str| {
        let nodes = vec![node(op, &["x"], &format!("{op}_out"), vec![])];
        graph_attribute(name, nodes, &format!("{op}_out"))
    };
    let mut custom = node("FancyNorm", &["x"], "e", vec![]);
    custom.domain = "my.ops".into();
    let nodes = vec![
        node("Relu", &["x"], "a", vec![]),
        // 1. No such operator.
        node("TfIdfVectorizer", &["x"], "b", vec![]),
        // 2. An attribute nobody knows.
        node("Softmax", &["x"], "c", vec![int("beam_width", 4)]),
        // 3. An operator of another domain, without a body.
        custom,
        // 4. A shape that depends on values.
        node("Reshape", &["x", "sizes"], "f", vec![]),
        // 5. Shapes that do not fit: the file is wrong.
        node("MatMul", &["x", "w"], "g", vec![]),
        // 6. Branches of different types, by a value.
        node("ReduceMax", &["x"], "m", vec![int("keepdims", 0)]),
        node("Greater", &["m", "zero"], "positive", vec![]),
        node(
            "If",
            &["positive"],
            "h",
            vec![branch("then_branch", "Shape"), branch("else_branch", "Neg")],
        ),
    ];
    let outputs = ["a", "b", "c", "e", "f", "g", "h"];
    let mut made = model(
        nodes,
        vec![
            floats("w", &[5, 2], &[0.0; 10]),
            floats("zero", &[], &[0.0]),
        ],
        vec![f32s("x", "2 3"), port("sizes", data_type::INT64, "2")],
        outputs.iter().map(|o| f32s(o, "2 3")).collect(),
    );
    made.opset_import
        .push(llmc_compiler::import::proto::OperatorSetIdProto {
            domain: "my.ops".into(),
            version: 1,
        });
    made
}

#[test]
fn six_problems_are_six_reports() {
    let (_folder, path) = saved(&six_problems());
    let path = path.to_str().unwrap();
    let ran = llmc(["check", path]);
    assert_eq!(ran.code, 1, "{}\n{}", ran.out, ran.err);
    for expected in [
        "not supported: TfIdfVectorizer `node_b`: the operator is not supported",
        "not supported: Softmax `node_c`: attribute `beam_width` is not supported (known: axis)",
        "not supported: my.ops.FancyNorm `node_e`: operators of the domain `my.ops` are not supported",
        "not supported: Reshape `node_f`: a shape, index or count depends on the values",
        "wrong input: MatMul `node_g`: ",
        "not supported: If `node_h`: the condition is not known at compile time",
    ] {
        assert!(
            ran.out.contains(expected),
            "`{expected}` is not in\n{}",
            ran.out
        );
    }
    assert!(ran.err.contains("has 6 problems"), "{}", ran.err);

    let ran = llmc(["check", path, "--json"]);
    assert_eq!(ran.code, 1);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let problems = json["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 6);
    for problem in problems {
        for field in ["node", "operator", "reason", "remedy"] {
            assert!(
                !problem[field].as_str().unwrap().is_empty(),
                "{field} of {problem}"
            );
        }
    }
    assert_eq!(json["operators"]["MatMul"]["problems"], 1);
    assert_eq!(json["operators"]["Relu"]["problems"], 0);
    assert_eq!(json["ok"], false);
    assert_eq!(json["entries"][0], "main");
}

/// What contradicts ONNX is reported beside what is not supported, and does not hide it.
#[test]
fn damage_hides_nothing() {
    let f32s = |name: &str| port(name, data_type::FLOAT, "2 3");
    let mut absent = floats("absent", &[3], &[]);
    absent.data_location = 1;
    absent.external_data.push(StringStringEntryProto {
        key: "location".into(),
        value: "absent.bin".into(),
    });
    let short = floats("short", &[3], &[0.0; 2]);
    let nodes = vec![
        node("TfIdfVectorizer", &["x"], "a", vec![]),
        node("Add", &["x", "nowhere"], "b", vec![]),
        node("Add", &["x", "absent"], "c", vec![]),
        node("Add", &["x", "short"], "d", vec![]),
        node("Softmax", &["x"], "e", vec![int("axis", 7)]),
    ];
    let outputs = ["a", "b", "c", "d", "e", "nobody"];
    let outputs = outputs.into_iter().map(f32s).collect();
    let damaged = model(nodes, vec![absent, short], vec![f32s("x")], outputs);
    let (_folder, path) = saved(&damaged);
    let ran = llmc(["check", path.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{}\n{}", ran.out, ran.err);
    for expected in [
        "TfIdfVectorizer `node_a`: the operator is not supported",
        "wrong input: Add `node_b`: uses `nowhere`, which nothing before it computes",
        "wrong input: `absent`: its values are in the file `absent.bin`, which is not at",
        "wrong input: `short`: ",
        "wrong input: Softmax `node_e`: axis 7 is out of range",
        "wrong input: `nobody`: no node computes this output",
    ] {
        assert!(
            ran.out.contains(expected),
            "`{expected}` is not in\n{}",
            ran.out
        );
    }
    assert!(ran.err.contains("has 6 problems"), "{}", ran.err);
}

#[test]
fn a_model_that_works() {
    let model = shakespeare().join("model.onnx");
    let json = llmc(["check", model.to_str().unwrap(), "--json"]).json();
    assert_eq!(json["ok"], true, "{json}");
    assert_eq!(json["family"], "llama");
    assert_eq!(json["problems"].as_array().unwrap().len(), 0);
    let entries: Vec<&str> = json["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e.as_str())
        .collect();
    assert_eq!(entries, ["prefill", "score", "decode"]);
}

#[test]
fn dialects_are_told_apart() {
    let Some(models) = shared_models() else {
        return;
    };
    for (model, dialect) in [
        (
            "torch_ts_sdpa",
            "torch TorchScript exporter (optimum), opset 17",
        ),
        ("torch_dyn_sdpa_23", "torch dynamo exporter, opset 23"),
        (
            "genai_int4",
            "onnxruntime-genai model builder, opset 22, weights of a few bits (MatMulNBits)",
        ),
        (
            "mobius_default",
            "mobius, opset 24, with model-local functions",
        ),
        (
            "mobius_static-cache",
            "mobius, opset 24, with model-local functions",
        ),
        (
            "ort_quantize_dynamic",
            "torch dynamo exporter, opset 18, quantised dynamically by ONNX Runtime",
        ),
    ] {
        let path = models.join("llama-tiny").join(model).join("model.onnx");
        let ran = llmc(["check", path.to_str().unwrap(), "--json"]);
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(json["dialect"], dialect, "{model}");
        assert_eq!(json["ok"], true, "{json}");
    }
}
