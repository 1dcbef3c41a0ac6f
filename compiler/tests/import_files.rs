//! Import: files that are missing, cut short, inconsistent or beyond what llmc supports; weights inline and external.

mod import_build;

use import_build::*;
use llmc_compiler::import::proto::*;
use llmc_compiler::import::{Category, ImportError, ImportOptions, import};
use llmc_tensor::Tensor;
use prost::Message;
use std::path::Path;

/// y = x + w
fn adder() -> ModelProto {
    model(
        vec![node("Add", &["x", "w"], "y", vec![])],
        vec![floats("w", &[3], &[1.0, 2.0, 3.0])],
        vec![port("x", data_type::FLOAT, "n 3")],
        vec![port("y", data_type::FLOAT, "n 3")],
    )
}

fn fails(path: &Path) -> ImportError {
    import(path, &ImportOptions::default()).unwrap_err()
}

fn fails_as(model: &ModelProto) -> ImportError {
    let (_folder, path) = saved(model);
    fails(&path)
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// The field numbers of the format, by hand: a model with one node and one initializer.
#[test]
fn field_numbers() {
    let tensor = [
        &[0x08, 2, 0x10, 1, 0x42, 1, b'w', 0x4a, 8][..],
        &1f32.to_le_bytes(),
        &2f32.to_le_bytes(),
    ]
    .concat();
    let attribute = [0x0a, 4, b'a', b'x', b'i', b's', 0x18, 1, 0xa0, 1, 2];
    let node = [
        &[
            0x0a, 1, b'x', 0x0a, 1, b'w', 0x12, 1, b'y', 0x1a, 1, b'n', 0x22, 3,
        ][..],
        b"Add",
        &[0x2a, 11],
        &attribute,
    ]
    .concat();
    let dims = [0x0a, 2, 0x08, 7, 0x0a, 3, 0x12, 1, b's'];
    let tensor_type = [&[0x08, 1, 0x12, 9][..], &dims].concat();
    let kind = [&[0x0a, tensor_type.len() as u8][..], &tensor_type].concat();
    let value = [&[0x0a, 1, b'x', 0x12, kind.len() as u8][..], &kind].concat();
    let field = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8][..], bytes].concat();
    let graph = [
        field(0x0a, &node),
        field(0x2a, &tensor),
        field(0x5a, &value),
        field(0x62, &value),
    ]
    .concat();
    let bytes = [&[0x08, 8][..], &field(0x3a, &graph), &[0x42, 2, 0x10, 18]].concat();

    let model = ModelProto::decode(bytes.as_slice()).unwrap();
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 18));
    let graph = model.graph.unwrap();
    let node = &graph.node[0];
    assert_eq!(
        (
            node.op_type.as_str(),
            node.name.as_str(),
            node.input.len(),
            node.output[0].as_str()
        ),
        ("Add", "n", 2, "y")
    );
    assert_eq!(
        (
            node.attribute[0].name.as_str(),
            node.attribute[0].i,
            node.attribute[0].r#type
        ),
        ("axis", 1, attribute_type::INT)
    );
    let tensor = &graph.initializer[0];
    assert_eq!(
        (
            tensor.dims.as_slice(),
            tensor.data_type,
            tensor.name.as_str(),
            tensor.raw_data.len()
        ),
        (&[2][..], 1, "w", 8)
    );
    assert_eq!(graph.input[0], port("x", data_type::FLOAT, "7 s"));
    assert_eq!(graph.output[0].name, "x");
}

#[test]
fn missing_and_damaged_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let error = fails(&path);
    has(&error.to_string(), &["cannot read", "model.onnx"]);
    assert_eq!(error.category(), Category::Input);

    std::fs::write(&path, b"").unwrap();
    has(&fails(&path).to_string(), &["0 bytes", "the file is empty"]);
    std::fs::write(&path, b"this is a text, and not protobuf at all").unwrap();
    has(
        &fails(&path).to_string(),
        &["39 bytes", "not a complete ONNX file"],
    );
    std::fs::write(&path, b"version https://git-lfs.github.com/spec/v1").unwrap();
    has(&fails(&path).to_string(), &["Git LFS pointer"]);

    // Cut somewhere, the file is an error and never a panic.
    let whole = language_model(Mask::Causal).encode_to_vec();
    for end in (0..whole.len()).step_by(17) {
        std::fs::write(&path, &whole[..end]).unwrap();
        assert_eq!(fails(&path).category(), Category::Input, "cut at {end}");
    }
}

#[test]
fn contradictory_models() {
    has(
        &fails_as(&ModelProto {
            graph: None,
            ..adder()
        })
        .to_string(),
        &["holds no graph"],
    );
    has(
        &fails_as(&ModelProto {
            opset_import: vec![],
            ..adder()
        })
        .to_string(),
        &["no operator set version"],
    );

    let changed = |change: &dyn Fn(&mut GraphProto)| {
        let mut model = adder();
        change(model.graph.as_mut().unwrap());
        fails_as(&model).to_string()
    };
    has(&changed(&|g| g.node.clear()), &["no nodes"]);
    has(&changed(&|g| g.output.clear()), &["no outputs"]);
    has(
        &changed(&|g| g.node[0].input[1] = "nobody".into()),
        &["Add `node_y` uses `nobody`", "nothing before it"],
    );
    has(
        &changed(&|g| g.node[0].domain = "my.ops".into()),
        &["my.ops", "version is not declared"],
    );
    has(
        &changed(&|g| g.output[0].name = "z".into()),
        &["no node computes the output `z`"],
    );
    has(
        &changed(&|g| g.node.push(g.node[0].clone())),
        &["`y` is defined twice"],
    );
    has(
        &changed(&|g| g.output.push(g.output[0].clone())),
        &["lists the output `y` twice"],
    );
    has(
        &changed(&|g| g.initializer[0].dims = vec![4]),
        &["tensor `w`", "takes 16 bytes, found 12"],
    );
    has(
        &changed(&|g| g.initializer[0].dims = vec![-1]),
        &["tensor `w`", "negative extent"],
    );
    has(
        &changed(&|g| g.initializer[0].dims = vec![i64::MAX, i64::MAX]),
        &["tensor `w`", "overflow"],
    );
    has(
        &changed(&|g| g.initializer[0].data_type = 99),
        &["not supported: `w`", "code 99 is unknown"],
    );
    has(
        &changed(&|g| g.initializer[0].data_type = 28),
        &["`w`", "FLOAT6E3M2 is not supported"],
    );
    has(
        &changed(&|g| g.initializer[0].data_type = 0),
        &["tensor `w`", "no element type"],
    );
    has(
        &changed(&|g| g.node[0].input.truncate(1)),
        &["Add `node_y`", "operand 1 is missing"],
    );
    has(
        &changed(&|g| g.initializer[0] = floats("w", &[4], &[0.0; 4])),
        &["Add `node_y`", "n"],
    );
}

#[test]
fn everything_unsupported_is_reported_at_once() {
    let mut model = adder();
    let graph = model.graph.as_mut().unwrap();
    graph.node = vec![
        node("Fourier", &["x", "w"], "a", vec![]),
        node(
            "Softmax",
            &["a"],
            "b",
            vec![AttributeProto {
                r#type: attribute_type::FLOAT,
                ..int("axis", 0)
            }],
        ),
        node("Flatten", &["x"], "c", vec![int("axes", 0)]),
        NodeProto {
            domain: "com.microsoft".into(),
            ..node("PagedAttention", &["c"], "d", vec![])
        },
        node("Add", &["b", "d"], "y", vec![]),
        // Reaches no output: nobody cares.
        node("Strange", &["x"], "dead", vec![]),
    ];
    model.opset_import.push(OperatorSetIdProto {
        domain: "com.microsoft".into(),
        version: 1,
    });
    let error = fails_as(&model);
    assert_eq!(error.category(), Category::Unsupported);
    let ImportError::Problems(problems) = &error else {
        panic!("{error}")
    };
    assert_eq!(problems.len(), 3, "{error}");
    has(
        &error.to_string(),
        &[
            "3 problems",
            "Fourier `node_a`: the operator is not supported; export with",
            "Flatten `node_c`: attribute `axes` is not supported (known: axis)",
            "com.microsoft.PagedAttention `node_d`: operators of the domain `com.microsoft`",
        ],
    );

    let mut model = adder();
    model.opset_import[0].version = 5;
    has(
        &fails_as(&model).to_string(),
        &["operator set 5 is older than 7", "export with opset 17"],
    );
    let mut model = adder();
    model.graph.as_mut().unwrap().node[0] =
        node("Concat", &["x", "w"], "y", vec![ints("axis", &[0])]);
    has(
        &fails_as(&model).to_string(),
        &["wrong input: Concat `node_y`: attribute `axis` must be of type INT, found INTS"],
    );
}

fn weight(path: &Path) -> Tensor {
    let imported = import(path, &ImportOptions::default()).unwrap();
    let constants = imported.graph.consts();
    assert_eq!((constants.len(), constants[0].name()), (1, "w"));
    constants[0].tensor().unwrap().clone()
}

#[test]
fn weights_inline_typed_and_external() {
    let expected = Tensor::from_vec([3], vec![1.0f32, 2.0, 3.0]).unwrap();
    let (_folder, path) = saved(&adder());
    assert_eq!(weight(&path), expected);

    let mut typed = adder();
    let w = &mut typed.graph.as_mut().unwrap().initializer[0];
    (w.raw_data, w.float_data) = (Default::default(), vec![1.0, 2.0, 3.0]);
    let (_folder, path) = saved(&typed);
    assert_eq!(weight(&path), expected);

    let external = |entries: &[(&str, &str)]| {
        let mut model = adder();
        let w = &mut model.graph.as_mut().unwrap().initializer[0];
        (w.raw_data, w.data_location) = (Default::default(), 1);
        let pair = |(k, v): &(&str, &str)| StringStringEntryProto {
            key: k.to_string(),
            value: v.to_string(),
        };
        w.external_data = entries.iter().map(pair).collect();
        model
    };
    let (folder, path) = saved(&external(&[
        ("location", "data/w.bin"),
        ("offset", "5"),
        ("length", "12"),
    ]));
    let data = folder.path().join("data");
    let expects = data.join("w.bin").display().to_string();
    has(
        &fails(&path).to_string(),
        &["tensor `w`", "`data/w.bin`", &expects],
    );
    std::fs::create_dir(&data).unwrap();
    let bytes: Vec<u8> = [1f32, 2.0, 3.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    std::fs::write(data.join("w.bin"), [b"....,".as_slice(), &bytes].concat()).unwrap();
    assert_eq!(weight(&path), expected);
    std::fs::write(
        data.join("w.bin"),
        [b"....,".as_slice(), &bytes[..11]].concat(),
    )
    .unwrap();
    has(
        &fails(&path).to_string(),
        &["tensor `w`", "bytes 5..+12", "has 16", "cut short"],
    );

    let refused = |location: &str| {
        save(folder.path(), &external(&[("location", location)]));
        fails(&path).to_string()
    };
    has(
        &refused("../w.bin"),
        &["`../w.bin` points outside the model's folder"],
    );
    has(
        &refused("/etc/passwd"),
        &["points outside the model's folder"],
    );
    has(
        &refused("data/../../w.bin"),
        &["points outside the model's folder"],
    );
    save(folder.path(), &external(&[("offset", "0")]));
    has(&fails(&path).to_string(), &["names no file"]);
    save(
        folder.path(),
        &external(&[("location", "data/w.bin"), ("offset", "many")]),
    );
    has(&fails(&path).to_string(), &["`offset` is `many`"]);
    save(
        folder.path(),
        &external(&[
            ("location", "data/w.bin"),
            ("offset", "18446744073709551615"),
        ]),
    );
    has(&fails(&path).to_string(), &["cut short"]);
    save(
        folder.path(),
        &external(&[("location", "data/w.bin"), ("length", "8")]),
    );
    has(&fails(&path).to_string(), &["8 bytes are given", "take 12"]);
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("secret"), [0; 12]).unwrap();
    let mut model = adder();
    let w = &mut model.graph.as_mut().unwrap().initializer[0];
    (w.raw_data, w.data_location) = (Default::default(), 1);
    w.external_data = vec![StringStringEntryProto {
        key: "location".into(),
        value: "w.bin".into(),
    }];
    let (folder, path) = saved(&model);
    std::os::unix::fs::symlink(elsewhere.path().join("secret"), folder.path().join("w.bin"))
        .unwrap();
    has(
        &fails(&path).to_string(),
        &["`w.bin` is a link to", "refused"],
    );
}

#[test]
fn neighbours_of_the_file() {
    let (folder, path) = saved(&language_model(Mask::Causal));
    let imported = import(&path, &ImportOptions::default()).unwrap();
    assert_eq!(imported.max_positions, 2048);
    has(
        &imported.warnings.join("\n"),
        &["nothing says how long the context may be"],
    );
    assert_eq!(imported.info.vocab, Some(8));
    assert_eq!(imported.info.producer.as_deref(), Some("test"));

    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "config.json",
        r#"{"model_type": "llama", "eos_token_id": [2, 5], "bos_token_id": 1, "max_position_embeddings": 64}"#,
    );
    write("tokenizer.json", "{}");
    let imported = import(&path, &ImportOptions::default()).unwrap();
    assert_eq!((imported.max_positions, imported.warnings.len()), (64, 0));
    let info = imported.info;
    assert_eq!(
        (info.family.as_deref(), info.bos, info.eos),
        (Some("llama"), Some(1), vec![2, 5])
    );
    assert_eq!(info.tokenizer.as_deref(), Some(&b"{}"[..]));
    let short = import(
        &path,
        &ImportOptions {
            max_positions: Some(32),
            ..ImportOptions::default()
        },
    )
    .unwrap();
    assert_eq!(short.max_positions, 32);

    write("config.json", "{ not json");
    has(
        &fails(&path).to_string(),
        &["config.json", "not valid JSON"],
    );
}

/// Random damage is an error or a model, never a panic.
#[test]
fn damaged_bytes_do_not_panic() {
    let whole = language_model(Mask::Window).encode_to_vec();
    let (_folder, path) = saved(&language_model(Mask::Window));
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random() % 4 {
            let at = (random() % bytes.len() as u64) as usize;
            bytes[at] = random() as u8;
        }
        std::fs::write(&path, &bytes).unwrap();
        let _ = import(
            &path,
            &ImportOptions {
                max_positions: Some(64),
                ..ImportOptions::default()
            },
        );
    }
}
