//! Functions, branches and loops, as files have them.

mod import_build;

use import_build::{floats, int, longs, model, node, port, saved};
use llmc_compiler::import::proto::*;
use llmc_compiler::import::{Category, ImportError, ImportOptions, Imported, import};
use llmc_ir::{Bindings, eval_graph};
use llmc_tensor::Tensor;
use std::collections::BTreeMap;

fn imported(model: &ModelProto) -> Result<Imported, ImportError> {
    let (_folder, path) = saved(model);
    import(&path, &ImportOptions::default())
}

/// `y` for `x`.
fn run(model: &ModelProto, x: &[f32]) -> Vec<f32> {
    let imported = imported(model).unwrap_or_else(|e| panic!("{e}"));
    let x = Tensor::from_slice([x.len()], x).unwrap();
    let inputs = BTreeMap::from([("x".to_string(), x)]);
    let found = eval_graph(
        &imported.graph,
        &Bindings::new(),
        &inputs,
        &mut BTreeMap::new(),
    );
    found.unwrap()["y"].to_f32_vec()
}

fn fails(model: &ModelProto, category: Category, parts: &[&str]) {
    let error = imported(model).unwrap_err();
    assert_eq!(error.category(), category, "{error}");
    for part in parts {
        assert!(
            error.to_string().contains(part),
            "`{part}` is not in: {error}"
        );
    }
}

/// x of 3 elements to y, with functions of the domain `f`.
fn vector(
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    functions: Vec<FunctionProto>,
) -> ModelProto {
    let f32s = |name| port(name, data_type::FLOAT, "3");
    let mut model = model(nodes, constants, vec![f32s("x")], vec![f32s("y")]);
    model.opset_import.push(opset("f", 1));
    model.functions = functions;
    model
}

fn opset(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto {
        domain: domain.into(),
        version,
    }
}

fn function(name: &str, inputs: &[&str], outputs: &[&str], node: Vec<NodeProto>) -> FunctionProto {
    let strings = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
    FunctionProto {
        name: name.into(),
        domain: "f".into(),
        input: strings(inputs),
        output: strings(outputs),
        node,
        opset_import: vec![opset("", 18), opset("f", 1)],
        ..Default::default()
    }
}

fn call(name: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        domain: "f".into(),
        ..node(name, inputs, output, attribute)
    }
}

fn reference(name: &str, to: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ref_attr_name: to.into(),
        r#type: attribute_type::FLOAT,
        ..Default::default()
    }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        f,
        r#type: attribute_type::FLOAT,
        ..Default::default()
    }
}

fn graph(
    name: &str,
    inputs: Vec<ValueInfoProto>,
    node: Vec<NodeProto>,
    outputs: &[&str],
) -> AttributeProto {
    let graph = GraphProto {
        node,
        input: inputs,
        output: outputs
            .iter()
            .map(|o| port(o, data_type::FLOAT, "3"))
            .collect(),
        ..Default::default()
    };
    AttributeProto {
        name: name.into(),
        g: Some(Box::new(graph)),
        r#type: 5,
        ..Default::default()
    }
}

/// y = leak(x): with its own default slope, one from the call, and through another function.
#[test]
fn functions_are_written_out() {
    let slope = |n| {
        vec![
            NodeProto {
                attribute: vec![reference("value_float", "slope")],
                ..node("Constant", &[], "s", vec![])
            },
            node("Mul", &["a", "s"], n, vec![]),
        ]
    };
    let mut leak = function("Leak", &["a", "absent"], &["out"], slope("out"));
    leak.attribute_proto = vec![float("slope", 0.5)];
    let mut twice = function(
        "Twice",
        &["a"],
        &["b"],
        vec![
            call("Leak", &["a", ""], "h", vec![reference("slope", "k")]),
            call("Leak", &["h"], "b", vec![reference("slope", "k")]),
        ],
    );
    twice.attribute = vec!["k".into()];
    let functions = vec![leak, twice];
    let x = [1.0, -2.0, 4.0];
    let one = vector(
        vec![call("Leak", &["x"], "y", vec![])],
        vec![],
        functions.clone(),
    );
    assert_eq!(run(&one, &x), [0.5, -1.0, 2.0]);
    let given = vec![call("Leak", &["x"], "y", vec![float("slope", 3.0)])];
    assert_eq!(
        run(&vector(given, vec![], functions.clone()), &x),
        [3.0, -6.0, 12.0]
    );
    let nested = vec![
        call("Twice", &["x"], "m", vec![float("k", 3.0)]),
        // The attribute without a value reaches the default.
        call("Twice", &["m"], "y", vec![]),
    ];
    assert_eq!(
        run(&vector(nested, vec![], functions), &x),
        [2.25, -4.5, 9.0]
    );
}

#[test]
fn overloads_differ_and_recursion_is_refused() {
    let body = |op: &str| vec![node(op, &["a"], "b", vec![])];
    let mut negative = function("F", &["a"], &["b"], body("Neg"));
    negative.overload = "n".into();
    let functions = vec![function("F", &["a"], &["b"], body("Abs")), negative];
    let mut second = call("F", &["h"], "y", vec![]);
    second.overload = "n".into();
    let nodes = vec![call("F", &["x"], "h", vec![]), second];
    assert_eq!(
        run(&vector(nodes, vec![], functions), &[1.0, -2.0, 4.0]),
        [-1.0, -2.0, -4.0]
    );

    let even = function(
        "Even",
        &["a"],
        &["b"],
        vec![call("Odd", &["a"], "b", vec![])],
    );
    let odd = function(
        "Odd",
        &["a"],
        &["b"],
        vec![call("Even", &["a"], "b", vec![])],
    );
    let nodes = vec![call("Even", &["x"], "y", vec![])];
    fails(
        &vector(nodes, vec![], vec![even, odd]),
        Category::Input,
        &["the function `Even` calls itself"],
    );
    let nodes = vec![call("G", &["x", "x"], "y", vec![])];
    let narrow = function("G", &["a"], &["b"], body("Abs"));
    fails(
        &vector(nodes, vec![], vec![narrow]),
        Category::Input,
        &["2 operands, not 1"],
    );
}

/// If(c) of -x + k and |x|, where k is a value of the graph around it.
fn choice(condition: NodeProto) -> ModelProto {
    let then = vec![
        node("Neg", &["x"], "n", vec![]),
        node("Add", &["n", "k"], "t", vec![]),
    ];
    let branches = vec![
        graph("then_branch", vec![], then, &["t"]),
        graph(
            "else_branch",
            vec![],
            vec![node("Abs", &["x"], "e", vec![])],
            &["e"],
        ),
    ];
    let nodes = vec![condition, node("If", &["c"], "y", branches)];
    let constants = vec![
        floats("k", &[], &[10.0]),
        longs("two", &[1], &[2]),
        longs("zero", &[], &[0]),
    ];
    vector(nodes, constants, vec![])
}

#[test]
fn branches_are_taken_or_selected() {
    let x = [1.0, -2.0, 4.0];
    let larger = choice(node("Greater", &["two", "zero"], "c", vec![]));
    assert_eq!(run(&larger, &x), [9.0, 12.0, 6.0]);
    let smaller = choice(node("Less", &["two", "zero"], "c", vec![]));
    assert_eq!(run(&smaller, &x), [1.0, 2.0, 4.0]);
    // A branch that is not taken may hold anything.
    let mut strange = smaller.clone();
    let nodes = &mut strange.graph.as_mut().unwrap().node;
    nodes[1].attribute[0].g.as_mut().unwrap().node[0].op_type = "Nonsense".into();
    assert_eq!(run(&strange, &x), [1.0, 2.0, 4.0]);
    // By a value: both are computed.
    let mut by_value = choice(node("Greater", &["m", "k"], "c", vec![]));
    let largest = node("ReduceMax", &["x"], "m", vec![int("keepdims", 1)]);
    by_value.graph.as_mut().unwrap().node.insert(0, largest);
    assert_eq!(run(&by_value, &x), [1.0, 2.0, 4.0]);
    assert_eq!(run(&by_value, &[11.0, -2.0, 4.0]), [-1.0, 12.0, 6.0]);
    let nodes = &mut by_value.graph.as_mut().unwrap().node;
    nodes[2].attribute[0].g.as_mut().unwrap().node[1] = node("Shape", &["n"], "t", vec![]);
    fails(
        &by_value,
        Category::Unsupported,
        &[
            "If `node_y`",
            "the branches give i64[1] and f32[3]",
            "export one of the branches",
        ],
    );
}

/// A loop that adds its number to the state, stopping when `stop` says so.
fn looped(count: i64, stop: &str) -> ModelProto {
    let inputs = vec![
        port("i", data_type::INT64, ""),
        port("go", data_type::BOOL, ""),
        port("s", data_type::FLOAT, "3"),
    ];
    let body = vec![
        node("Cast", &["i"], "f", vec![int("to", 1)]),
        node("Add", &["s", "f"], "next", vec![]),
        node("Less", &["i", stop], "more", vec![]),
        node("Identity", &["next"], "row", vec![]),
    ];
    let body = graph("body", inputs, body, &["more", "next", "row"]);
    let mut node_loop = node("Loop", &["count", "", "x"], "y", vec![body]);
    node_loop.output.push("rows".into());
    let constants = vec![longs("count", &[], &[count]), longs("five", &[], &[5])];
    let mut model = vector(vec![node_loop], constants, vec![]);
    let graph = model.graph.as_mut().unwrap();
    graph.output.push(port("rows", data_type::FLOAT, "n 3"));
    model
}

#[test]
fn loops_are_unrolled() {
    assert_eq!(run(&looped(4, "five"), &[0.0, 1.0, 2.0]), [6.0, 7.0, 8.0]);
    // 5 < 5 is false: it ends after the turn of number 5.
    assert_eq!(
        run(&looped(1000, "five"), &[0.0, 1.0, 2.0]),
        [15.0, 16.0, 17.0]
    );
    let imported = imported(&looped(4, "five")).unwrap();
    let rows = imported.graph.output("rows").unwrap();
    assert_eq!(imported.graph.ty(rows).to_string(), "f32[4, 3]");

    let forever = looped(i64::MAX, "count");
    fails(
        &forever,
        Category::Unsupported,
        &["Loop `node_y`", "more than 1024 times"],
    );
    let mut by_value = looped(4, "five");
    let nodes = &mut by_value.graph.as_mut().unwrap().node;
    let body = nodes[0].attribute[0].g.as_mut().unwrap();
    body.node[2] = node("IsNaN", &["m"], "more", vec![]);
    body.node.insert(
        2,
        node("ReduceMax", &["next"], "m", vec![int("keepdims", 0)]),
    );
    fails(
        &by_value,
        Category::Unsupported,
        &["how often the loop runs depends on values"],
    );
}

#[test]
fn scans_are_unrolled() {
    let inputs = vec![
        port("sum", data_type::FLOAT, ""),
        port("e", data_type::FLOAT, ""),
    ];
    let body = vec![
        node("Add", &["sum", "e"], "total", vec![]),
        node("Identity", &["total"], "row", vec![]),
    ];
    let body = graph("body", inputs, body, &["total", "row"]);
    let mut scan = node(
        "Scan",
        &["start", "x"],
        "last",
        vec![body, int("num_scan_inputs", 1)],
    );
    scan.output.push("y".into());
    let model = vector(vec![scan], vec![floats("start", &[], &[100.0])], vec![]);
    assert_eq!(run(&model, &[1.0, 2.0, 4.0]), [101.0, 103.0, 107.0]);
}

/// The decoder with and without cache in one file: the branch with the cache is compiled, for an empty one too.
#[test]
fn merged_decoders_use_the_branch_with_a_cache() {
    let mut merged = choice(node("Identity", &["use_cache_branch"], "c", vec![]));
    let graph = merged.graph.as_mut().unwrap();
    graph
        .input
        .push(port("use_cache_branch", data_type::BOOL, "1"));
    assert_eq!(run(&merged, &[1.0, -2.0, 4.0]), [9.0, 12.0, 6.0]);
}
