//! Operators on a few numbers whose result can be followed by hand. ONNX's own node tests (`tests/tests/conformance`) are
//! the large suite; these need no file.

mod import_build;

use import_build::*;
use llmc_compiler::import::proto::*;
use llmc_compiler::import::{ImportOptions, import};
use llmc_ir::{States, eval::bind_inputs, eval_graph};
use llmc_tensor::Tensor;
use std::collections::BTreeMap;

/// A float operand: extents and elements.
type Floats<'a> = (&'a [i64], &'a [f32]);

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        s: value.as_bytes().to_vec().into(),
        r#type: attribute_type::STRING,
        ..Default::default()
    }
}

/// One node on float inputs (`None` is absent) and integer constants after them; its first result.
fn run(
    op: &str,
    version: i64,
    attributes: Vec<AttributeProto>,
    operands: &[Option<Floats>],
    constants: &[&[i64]],
) -> Tensor {
    let (mut names, mut ports, mut inputs) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (i, operand) in operands.iter().enumerate() {
        let Some((dims, values)) = operand else {
            names.push(String::new());
            continue;
        };
        let name = format!("x{i}");
        let extents: Vec<String> = dims.iter().map(i64::to_string).collect();
        ports.push(port(&name, data_type::FLOAT, &extents.join(" ")));
        let shape: Vec<usize> = dims.iter().map(|d| *d as usize).collect();
        inputs.insert(name.clone(), Tensor::from_slice(shape, values).unwrap());
        names.push(name);
    }
    let mut initializers = Vec::new();
    for (i, values) in constants.iter().enumerate() {
        let name = format!("c{i}");
        initializers.push(longs(&name, &[values.len() as i64], values));
        names.push(name);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let node = node(op, &names, "y", attributes);
    let mut model = model(vec![node], initializers, ports, vec![port("y", 0, "")]);
    model.opset_import[0].version = version;
    let (_folder, path) = saved(&model);
    let graph = import(&path, &ImportOptions::default())
        .unwrap_or_else(|e| panic!("{e}"))
        .graph;
    let bindings = bind_inputs(&graph, &inputs).unwrap();
    let mut results = eval_graph(&graph, &bindings, &inputs, &mut States::new()).unwrap();
    results.remove("y").unwrap()
}

fn close(got: &Tensor, shape: &[usize], want: &[f64]) {
    assert_eq!(got.shape(), shape);
    for (g, w) in got.to_f64_vec().into_iter().zip(want) {
        assert!((g - w).abs() <= 1e-6 * w.abs().max(1e-3), "{g}, not {w}");
    }
}

#[test]
fn functions_keep_their_precision_near_zero() {
    let x: &[f32] = &[1e-6, -1e-6, 3.0];
    let one = |op: &str| run(op, 22, vec![], &[Some((&[3], x))], &[]);
    let exact = |f: fn(f64) -> f64| x.iter().map(|v| f(f64::from(*v))).collect::<Vec<_>>();
    close(&one("Asinh"), &[3], &exact(f64::asinh));
    close(&one("Sinh"), &[3], &exact(f64::sinh));
    close(&one("Atan"), &[3], &exact(f64::atan));
    let elu = |v: f64| if v > 0.0 { v } else { v.exp_m1() };
    close(&one("Elu"), &[3], &exact(elu));
}

#[test]
fn convolutions_slide_over_groups_and_padding() {
    let x: Floats = (&[1, 2, 3], &[1., 2., 3., 10., 20., 30.]);
    let w: Floats = (&[2, 1, 2], &[1., 1., 1., -1.]);
    let pads = ints("pads", &[1, 0]);
    let y = run(
        "Conv",
        22,
        vec![int("group", 2), pads],
        &[Some(x), Some(w)],
        &[],
    );
    close(&y, &[1, 2, 3], &[1., 3., 5., -10., -10., -10.]);
    // its transpose spreads each element over a window, two apart
    let x: Floats = (&[1, 1, 2], &[1., 2.]);
    let w: Floats = (&[1, 1, 3], &[1., 10., 100.]);
    let stride = ints("strides", &[2]);
    let y = run("ConvTranspose", 22, vec![stride], &[Some(x), Some(w)], &[]);
    close(&y, &[1, 1, 5], &[1., 10., 102., 20., 200.]);
}

#[test]
fn poolings_count_what_is_there() {
    let x: Floats = (&[1, 1, 4], &[1., 2., 3., 4.]);
    let shape = || ints("kernel_shape", &[3]);
    let pads = || ints("pads", &[1, 1]);
    let y = run("AveragePool", 22, vec![shape(), pads()], &[Some(x)], &[]);
    close(&y, &[1, 1, 4], &[1.5, 2., 3., 3.5]);
    let all = int("count_include_pad", 1);
    let y = run(
        "AveragePool",
        22,
        vec![shape(), pads(), all],
        &[Some(x)],
        &[],
    );
    close(&y, &[1, 1, 4], &[1., 2., 3., 7. / 3.]);
    let ceil = vec![shape(), ints("strides", &[2]), int("ceil_mode", 1)];
    close(
        &run("MaxPool", 22, ceil, &[Some(x)], &[]),
        &[1, 1, 2],
        &[3., 4.],
    );
}

#[test]
fn padding_repeats_mirrors_and_cuts() {
    let x: Floats = (&[3], &[1., 2., 3.]);
    let pad =
        |mode: &str, pads: &[i64]| run("Pad", 19, vec![text("mode", mode)], &[Some(x)], &[pads]);
    close(&pad("reflect", &[2, 1]), &[6], &[3., 2., 1., 2., 3., 2.]);
    close(&pad("edge", &[1, 1]), &[5], &[1., 1., 2., 3., 3.]);
    close(&pad("wrap", &[1, 1]), &[5], &[3., 1., 2., 3., 1.]);
    close(&pad("constant", &[-1, 1]), &[3], &[2., 3., 0.]);
}

#[test]
fn meaning_changes_with_the_operator_set() {
    let x: Floats = (&[2, 1, 2], &[0., 0., 0., 0.]);
    // over all axes from 1 on before opset 13, over the last alone since
    let axis = || vec![int("axis", 1)];
    close(
        &run("Softmax", 11, axis(), &[Some(x)], &[]),
        &[2, 1, 2],
        &[0.5; 4],
    );
    close(
        &run("Softmax", 13, axis(), &[Some(x)], &[]),
        &[2, 1, 2],
        &[1.0; 4],
    );
    let y: Floats = (&[2, 2], &[3., 1., 4., 1.]);
    let old = run(
        "ReduceSum",
        11,
        vec![ints("axes", &[1]), int("keepdims", 0)],
        &[Some(y)],
        &[],
    );
    let new = run(
        "ReduceSum",
        13,
        vec![int("keepdims", 0)],
        &[Some(y)],
        &[&[1]],
    );
    close(&old, &[2], &[4., 5.]);
    assert_eq!(old, new);
}

#[test]
fn products_by_label() {
    let a: Floats = (&[2, 2], &[1., 2., 3., 4.]);
    let b: Floats = (&[2, 2], &[1., 0., 1., 1.]);
    let einsum = |equation: &str, operands: &[Option<Floats>]| {
        run(
            "Einsum",
            12,
            vec![text("equation", equation)],
            operands,
            &[],
        )
    };
    let both = [Some(a), Some(b)];
    close(&einsum("ij,jk->ik", &both), &[2, 2], &[3., 2., 7., 4.]);
    close(&einsum("ij, ij", &both), &[], &[8.]);
    close(&einsum("ii->i", &[Some(a)]), &[2], &[1., 4.]);
    close(&einsum("...j->...", &[Some(a)]), &[2], &[3., 7.]);
}

#[test]
fn masked_rows_give_zero() {
    let rows: Floats = (&[1, 1, 2, 1], &[1., 1.]);
    let values: Floats = (&[1, 1, 2, 1], &[3., 5.]);
    let mask: Floats = (
        &[2, 2],
        &[0., f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY],
    );
    let y = run(
        "Attention",
        23,
        vec![],
        &[Some(rows), Some(rows), Some(values), Some(mask)],
        &[],
    );
    close(&y, &[1, 1, 2, 1], &[3., 0.]);
}

#[test]
fn resizing_weighs_neighbours() {
    let x: Floats = (&[1, 1, 2], &[1., 3.]);
    let sizes: &[i64] = &[1, 1, 4];
    let operands = [Some(x), None, None];
    let linear = run(
        "Resize",
        19,
        vec![text("mode", "linear")],
        &operands,
        &[sizes],
    );
    close(&linear, &[1, 1, 4], &[1., 1.5, 2.5, 3.]);
    let nearest = run("Resize", 19, vec![], &operands, &[sizes]);
    close(&nearest, &[1, 1, 4], &[1., 1., 3., 3.]);
}
