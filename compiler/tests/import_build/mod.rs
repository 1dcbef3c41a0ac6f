//! Builds small ONNX files for the import tests, and runs what was imported.
#![allow(dead_code)] // each test file uses a part

pub mod run;

use bytes::Bytes;
use llmc_compiler::import::proto::*;
use prost::Message;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An attribute of type INT.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i,
        r#type: attribute_type::INT,
        ..Default::default()
    }
}

/// An attribute of type INTS.
pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints: ints.to_vec(),
        r#type: attribute_type::INTS,
        ..Default::default()
    }
}

/// An attribute that holds a subgraph without inputs and with one output.
pub fn graph_attribute(name: &str, node: Vec<NodeProto>, output: &str) -> AttributeProto {
    let graph = GraphProto {
        node,
        output: vec![port(output, data_type::FLOAT, "n")],
        ..Default::default()
    };
    AttributeProto {
        name: name.into(),
        g: Some(Box::new(graph)),
        r#type: attribute_type::GRAPH,
        ..Default::default()
    }
}

/// A node named after its first result.
pub fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: format!("node_{output}"),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    }
}

/// f32 values as bytes.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: data_type::FLOAT,
        raw_data: Bytes::from(raw),
        ..Default::default()
    }
}

/// i64 values as protobuf numbers.
pub fn longs(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: data_type::INT64,
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

/// A graph input or output; dims are numbers or names, separated by blanks.
pub fn port(name: &str, elem_type: i32, dims: &str) -> ValueInfoProto {
    let dim = |d: &str| DimensionProto {
        value: Some(
            d.parse()
                .map_or_else(|_| DimValue::Param(d.into()), DimValue::Value),
        ),
    };
    let shape = TensorShapeProto {
        dim: dims.split_whitespace().map(dim).collect(),
    };
    let tensor = TensorTypeProto {
        elem_type,
        shape: Some(shape),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            kind: Some(TypeKind::Tensor(tensor)),
        }),
    }
}

/// A model of opset 18.
pub fn model(
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    input: Vec<ValueInfoProto>,
    output: Vec<ValueInfoProto>,
) -> ModelProto {
    ModelProto {
        ir_version: 8,
        producer_name: "test".into(),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 18,
        }],
        graph: Some(GraphProto {
            name: "g".into(),
            node,
            initializer,
            input,
            output,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Writes a model into a folder of its own.
pub fn saved(model: &ModelProto) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = save(folder.path(), model);
    (folder, path)
}

/// Writes a model into a folder.
pub fn save(folder: &Path, model: &ModelProto) -> PathBuf {
    let path = folder.join("model.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    path
}

/// How the attention mask of [`language_model`] is written.
#[derive(Clone, Copy, PartialEq)]
pub enum Mask {
    /// j <= i, bool, applied with Where.
    Causal,
    /// j <= i and j > i - 3, additive -10000.
    Window,
    /// Of the attention_mask input alone.
    Padding,
    /// j <= i and j is even: no known family.
    Strange,
}

/// Width of [`language_model`].
pub const WIDTH: usize = 4;
/// Tokens that [`language_model`] knows.
pub const VOCAB: usize = 8;

/// The embedding table of [`language_model`].
pub fn table() -> Vec<f32> {
    (0..VOCAB * WIDTH)
        .map(|i| ((i * 37 % 23) as f32 - 11.0) / 8.0)
        .collect()
}

/// One head of attention over embeddings plus positions, with a cache: as exporters write it, dims named differently.
pub fn language_model(mask: Mask) -> ModelProto {
    let n = node;
    let axis = |i| vec![int("axis", i)];
    let mut nodes = vec![
        n("Gather", &["table", "input_ids"], "embedded", vec![]),
        // A position signal: sin(position * [1, 1/2, 1/4, 1/8]).
        n("Unsqueeze", &["position_ids", "two"], "positions", vec![]),
        n("Cast", &["positions"], "positions_f", vec![int("to", 1)]),
        n("MatMul", &["positions_f", "rates"], "angles", vec![]),
        n("Sin", &["angles"], "signal", vec![]),
        n("Add", &["embedded", "signal"], "x", vec![]),
        // The cache, by shape arithmetic of the TorchScript kind.
        n("Shape", &["x"], "x_shape", vec![]),
        n("Gather", &["x_shape", "zero"], "b", vec![]),
        n("Gather", &["x_shape", "one"], "s", vec![]),
        n("Unsqueeze", &["b", "zeros"], "b1", vec![]),
        n("Unsqueeze", &["s", "zeros"], "s1", vec![]),
        n(
            "Concat",
            &["b1", "s1", "ones", "minus"],
            "split_shape",
            axis(0),
        ),
        n("Reshape", &["x", "split_shape"], "split", vec![]),
        n(
            "Transpose",
            &["split"],
            "heads",
            vec![ints("perm", &[0, 2, 1, 3])],
        ),
        n(
            "Concat",
            &["past_key_values.0.key", "heads"],
            "present.0.key",
            axis(-2),
        ),
        n(
            "Transpose",
            &["present.0.key"],
            "turned",
            vec![ints("perm", &[0, 1, 3, 2])],
        ),
        n("MatMul", &["heads", "turned"], "scores", vec![]),
        // The mask.
        n("Shape", &["past_key_values.0.key"], "past_shape", vec![]),
        n("Gather", &["past_shape", "two0"], "p", vec![]),
        n("Add", &["p", "s"], "t", vec![]),
        n("Range", &["p", "t", "one"], "rows", vec![]),
        n("Range", &["zero", "t", "one"], "cols", vec![]),
        n("Unsqueeze", &["rows", "ones"], "rows1", vec![]),
        n("LessOrEqual", &["cols", "rows1"], "causal", vec![]),
        n("Cast", &["attention_mask"], "attended", vec![int("to", 9)]),
        n("Unsqueeze", &["attended", "one_two"], "attended4", vec![]),
        n("And", &["causal", "attended4"], "seen", vec![]),
    ];
    let last = match mask {
        Mask::Causal => {
            nodes.push(n("Where", &["seen", "scores", "lowest"], "masked", vec![]));
            "masked"
        }
        Mask::Padding => {
            nodes.push(n(
                "Where",
                &["attended4", "scores", "lowest"],
                "masked",
                vec![],
            ));
            "masked"
        }
        Mask::Window | Mask::Strange => {
            let second = match mask {
                Mask::Window => vec![
                    n("Sub", &["rows1", "three"], "far", vec![]),
                    n("Greater", &["cols", "far"], "near", vec![]),
                ],
                _ => vec![
                    n("Mod", &["cols", "two0"], "odd", vec![]),
                    n("Equal", &["odd", "zero"], "near", vec![]),
                ],
            };
            nodes.extend(second);
            nodes.push(n("And", &["seen", "near"], "both", vec![]));
            nodes.push(n(
                "Where",
                &["both", "nothing", "minus_ten_thousand"],
                "bias",
                vec![],
            ));
            nodes.push(n("Add", &["scores", "bias"], "masked", vec![]));
            "masked"
        }
    };
    nodes.extend([
        n("Softmax", &[last], "weights", axis(-1)),
        n("MatMul", &["weights", "present.0.key"], "attention", vec![]),
        n(
            "Transpose",
            &["attention"],
            "attention_t",
            vec![ints("perm", &[0, 2, 1, 3])],
        ),
        n("Concat", &["b1", "s1", "minus"], "joined_shape", axis(0)),
        n(
            "Reshape",
            &["attention_t", "joined_shape"],
            "joined",
            vec![],
        ),
        n("Transpose", &["table"], "table_t", vec![]),
        n("MatMul", &["joined", "table_t"], "logits", vec![]),
    ]);
    let width = WIDTH as i64;
    let constants = vec![
        floats("table", &[VOCAB as i64, width], &table()),
        floats("rates", &[1, width], &[1.0, 0.5, 0.25, 0.125]),
        floats("lowest", &[], &[f32::MIN]),
        floats("nothing", &[], &[0.0]),
        floats("minus_ten_thousand", &[], &[-10000.0]),
        longs("zero", &[], &[0]),
        longs("one", &[], &[1]),
        longs("two0", &[], &[2]),
        longs("three", &[], &[3]),
        longs("zeros", &[1], &[0]),
        longs("ones", &[1], &[1]),
        longs("two", &[1], &[2]),
        longs("one_two", &[2], &[1, 2]),
        longs("minus", &[1], &[-1]),
    ];
    let inputs = vec![
        port("input_ids", data_type::INT64, "batch_size s7"),
        port("attention_mask", data_type::INT64, "batch_size s53"),
        port("position_ids", data_type::INT64, "batch_size s7"),
        port(
            "past_key_values.0.key",
            data_type::FLOAT,
            "batch_size 1 s64 4",
        ),
    ];
    let outputs = vec![
        port("logits", data_type::FLOAT, "batch_size s7 8"),
        port("present.0.key", data_type::FLOAT, "batch_size 1 s7+s64 4"),
    ];
    model(nodes, constants, inputs, outputs)
}
