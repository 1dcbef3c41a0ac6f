//! Rules are sound: after saturation, everything in a class has one value.
//!
//! Every case of `tests/cases/fuse` is saturated, and then *every* node of every class, abstract ones included, is
//! evaluated on random inputs at several lengths and compared with the others of its class. This checks each rule
//! on its own, wherever extraction ends up. A rule that no case applies fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use egg::{EGraph, Id};
use llmc_ir::{
    BinaryOp, Bindings, Dim, Graph, MaskForm, Op, Real, Type, UnaryOp, eval_op, parse_graph,
};
use llmc_tensor::{DType, Tensor};

use super::analysis::TypeAnalysis;
use super::lang::{Attr, Lang};
use super::{Explored, explore, rules};

/// Lengths of `seq` and `past` at which classes are evaluated.
const LENGTHS: [(i64, i64); 4] = [(3, 0), (3, 4), (1, 5), (2, 2)];

/// Allowed difference, relative to the largest number: scales move through f32 products.
const TOLERANCE: f64 = 2e-6;

#[test]
fn classes_have_one_value() {
    let mut applied: BTreeSet<String> = BTreeSet::new();
    for (name, graph) in cases() {
        let explored =
            explore(&graph, &rules::all()).unwrap_or_else(|error| panic!("{name}: {error}"));
        applied.extend(explored.report.applied.keys().cloned());
        for (seed, (seq, past)) in LENGTHS.into_iter().enumerate() {
            let at = Bindings::new()
                .with("batch", 2)
                .with("seq", seq)
                .with("past", past);
            check(&name, &graph, &explored, &at, seed as u64 + 1);
        }
    }
    let idle: Vec<&str> = rules::all()
        .iter()
        .map(|rule| rule.name)
        .filter(|name| !applied.contains(*name))
        .collect();
    assert!(
        idle.is_empty(),
        "no case in tests/cases/fuse applies {idle:?}"
    );
}

#[test]
fn rules_have_names_of_their_own_and_compile() {
    let mut seen = BTreeSet::new();
    for rule in rules::all() {
        assert!(seen.insert(rule.name), "two rules are named {}", rule.name);
        rule.compile().unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The start graphs of all cases, by file name.
fn cases() -> Vec<(String, Graph)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/fuse");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("cases")
        .map(|entry| entry.expect("entry").path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable");
        let start = text.split("\n====\n").next().unwrap_or_default();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let graph = parse_graph(start).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        (name, graph)
    };
    paths.iter().map(read).collect()
}

/// Evaluates every class from its nodes until nothing new has a value, comparing all nodes of a class.
fn check(case: &str, graph: &Graph, explored: &Explored, at: &Bindings, seed: u64) {
    let egraph = &explored.egraph;
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut values: BTreeMap<Id, Tensor> = BTreeMap::new();
    for (_, id) in graph.inputs() {
        values.insert(
            egraph.find(explored.classes[id]),
            random_tensor(graph.ty(*id), at, &mut random),
        );
    }
    let mut todo: Vec<(Id, &Lang)> = Vec::new();
    for class in egraph.classes() {
        todo.extend(
            class
                .nodes
                .iter()
                .filter(|node| !matches!(node, Lang::Attr(_)))
                .map(|node| (class.id, node)),
        );
    }
    todo.sort();
    loop {
        let before = todo.len();
        todo.retain(|(class, node)| {
            let Some(value) = evaluate(egraph, node, &values, at) else {
                return true;
            };
            match values.get(class) {
                None => drop(values.insert(*class, value)),
                Some(first) => {
                    if let Some(difference) = difference(first, &value) {
                        panic!(
                            "{case} at {at:?}: class {class}, node {node}: {difference}\n{:?}",
                            egraph[*class].nodes
                        );
                    }
                }
            }
            false
        });
        if todo.len() == before {
            break;
        }
    }
    assert!(todo.is_empty(), "{case}: nodes without a value: {todo:?}");
}

/// The value of a node, if its operands have values.
fn evaluate(
    egraph: &EGraph<Lang, TypeAnalysis>,
    node: &Lang,
    values: &BTreeMap<Id, Tensor>,
    at: &Bindings,
) -> Option<Tensor> {
    let attr = |id: &Id| egraph[*id].data.attr.as_ref();
    let of = |id: &Id| values.get(&egraph.find(*id));
    let run = |op: Op, operands: &[&Tensor]| {
        eval_op(&op, operands, at).unwrap_or_else(|error| panic!("{node}: {error}"))
    };
    Some(match node {
        Lang::SplitHeads([x, a]) => match attr(a)? {
            Attr::Heads(h) => split_heads(of(x)?, h.heads, h.head_dim),
            _ => return None,
        },
        Lang::MergeHeads([x]) => {
            let [b, h, s, d] = of(x)?.shape()[..] else {
                return None;
            };
            let swapped = run(
                Op::Transpose {
                    perm: vec![0, 2, 1, 3],
                },
                &[of(x)?],
            );
            swapped.reshape(vec![b, s, h * d]).expect("same elements")
        }
        Lang::RotateHalf([x]) => {
            let x = of(x)?;
            let (axis, d) = (x.rank() - 1, x.shape()[x.rank() - 1]);
            let part = |start: usize, end: usize| Op::Slice {
                axis,
                start: start.into(),
                end: end.into(),
                step: 1,
            };
            let high = run(Op::Unary(UnaryOp::Neg), &[&run(part(d / 2, d), &[x])]);
            run(Op::Concat { axis }, &[&high, &run(part(0, d / 2), &[x])])
        }
        Lang::RepeatKv([x, a]) => match attr(a)? {
            Attr::Repeat(n) => repeat_kv(of(x)?, *n),
            _ => return None,
        },
        Lang::Scaled([x, a]) => match attr(a)? {
            Attr::Scale(f) => run(
                Op::Binary(BinaryOp::Mul),
                &[of(x)?, &Tensor::scalar(f.get() as f32)],
            ),
            _ => return None,
        },
        Lang::ScoresOf([q, k, a]) => match attr(a)? {
            Attr::Scores(s) => scores(of(q)?, of(k)?, s, at),
            _ => return None,
        },
        Lang::ProbsOf([q, k, a]) => match attr(a)? {
            Attr::Probs(p) => {
                let scores = scores(of(q)?, of(k)?, &p.scores, at);
                let [_, _, rows, cols] = scores.shape()[..] else {
                    return None;
                };
                let form = MaskForm::Additive(Real::new(f32::NEG_INFINITY));
                let mask = Op::Mask {
                    kind: p.mask,
                    form,
                    rows: rows.into(),
                    cols: cols.into(),
                };
                let masked = run(Op::Binary(BinaryOp::Add), &[&scores, &run(mask, &[])]);
                let probs = run(Op::Softmax { axis: 3 }, &[&masked]);
                let zero_nan: Vec<f32> = probs
                    .to_f32_vec()
                    .into_iter()
                    .map(|p| if p.is_nan() { 0.0 } else { p })
                    .collect();
                Tensor::from_vec(probs.shape().to_vec(), zero_nan).expect("same elements")
            }
            _ => return None,
        },
        node => {
            let (op, operands) = node.to_op(|id| egraph[id].data.attr.as_ref())?;
            if let Op::Const(id) = op {
                return egraph.analysis.tables.constant(id)?.tensor().cloned();
            }
            let operands: Option<Vec<&Tensor>> = operands.iter().map(of).collect();
            run(op, &operands?)
        }
    })
}

fn split_heads(x: &Tensor, heads: usize, head_dim: usize) -> Tensor {
    let [b, s, _] = x.shape()[..] else {
        panic!("three axes")
    };
    let x = x
        .reshape(vec![b, s, heads, head_dim])
        .expect("same elements");
    eval_op(
        &Op::Transpose {
            perm: vec![0, 2, 1, 3],
        },
        &[&x],
        &Bindings::new(),
    )
    .expect("transposes")
}

fn repeat_kv(x: &Tensor, n: usize) -> Tensor {
    let [b, h, t, d] = x.shape()[..] else {
        panic!("four axes")
    };
    let x = x.reshape(vec![b, h, 1, t, d]).expect("same elements");
    let shape = [b, h, n, t, d].map(Dim::from).to_vec();
    let x = eval_op(&Op::Expand { shape }, &[&x], &Bindings::new()).expect("expands");
    x.reshape(vec![b, h * n, t, d]).expect("same elements")
}

fn scores(q: &Tensor, k: &Tensor, s: &super::lang::Scores, at: &Bindings) -> Tensor {
    let q = split_heads(q, s.q.heads, s.q.head_dim);
    let k = repeat_kv(k, s.q.heads / s.kv_heads);
    let k = eval_op(
        &Op::Transpose {
            perm: vec![0, 1, 3, 2],
        },
        &[&k],
        at,
    )
    .expect("transposes");
    let product = eval_op(&Op::MatMul, &[&q, &k], at).expect("multiplies");
    let scale = Tensor::scalar(s.scale.get() as f32);
    eval_op(&Op::Binary(BinaryOp::Mul), &[&product, &scale], at).expect("scales")
}

/// Where two values differ by more than rounding.
fn difference(a: &Tensor, b: &Tensor) -> Option<String> {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return Some(format!(
            "{:?} {:?} and {:?} {:?}",
            a.dtype(),
            a.shape(),
            b.dtype(),
            b.shape()
        ));
    }
    let (a, b) = (a.to_f64_vec(), b.to_f64_vec());
    let largest = a
        .iter()
        .filter(|v| v.is_finite())
        .fold(1.0f64, |m, v| m.max(v.abs()));
    let at = a.iter().zip(&b).position(|(x, y)| {
        !(x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= TOLERANCE * largest)
    })?;
    Some(format!("element {at} is {} and {}", a[at], b[at]))
}

/// Numbers between 0.1 and 1.1 in size, of either sign.
fn random_tensor(ty: &Type, at: &Bindings, state: &mut u64) -> Tensor {
    assert_eq!(ty.dtype, DType::F32, "inputs of cases are f32");
    let shape: Vec<usize> = ty
        .shape
        .iter()
        .map(|dim| dim.eval_len(at).expect("bound"))
        .collect();
    let mut next = || {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let size = 0.1 + (bits >> 40) as f32 / (1u64 << 24) as f32;
        if bits & 1 == 0 { size } else { -size }
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(shape, values).expect("shape fits")
}
