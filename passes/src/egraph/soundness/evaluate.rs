//! The value of every node of an e-graph, abstract ones included.

use std::collections::BTreeMap;

use egg::{EGraph, Id};
use llmc_ir::{BinaryOp, Bindings, Codes, Dim, MaskForm, Op, Real, UnaryOp, eval_op};
use llmc_tensor::Tensor;

use crate::egraph::analysis::TypeAnalysis;
use crate::egraph::lang::{Attr, Lang, Probs, Rotation, Scores};

/// Allowed difference, relative to the largest number: scales move through f32 products.
const TOLERANCE: f64 = 2e-6;

/// Evaluates every class from its nodes until nothing new has a value, comparing all nodes of a class. `values` has
/// the inputs, by canonical class.
///
/// Panics where two nodes of a class differ, with `what` for the message.
pub fn one_value_per_class(
    what: &str,
    egraph: &EGraph<Lang, TypeAnalysis>,
    mut values: BTreeMap<Id, Tensor>,
    at: &Bindings,
) {
    let mut todo: Vec<(Id, &Lang)> = Vec::new();
    for class in egraph.classes() {
        let nodes = class.nodes.iter();
        let nodes = nodes.filter(|node| !matches!(node, Lang::Attr(_)));
        todo.extend(nodes.map(|node| (class.id, node)));
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
                            "{what} at {at:?}: class {class}, node {node}: {difference}\n{:?}",
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
    assert!(todo.is_empty(), "{what}: nodes without a value: {todo:?}");
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
        Lang::RotatePairs([x]) => {
            let x = of(x)?;
            let numbers = x.to_f64_vec();
            let turned = numbers.chunks(2).flat_map(|pair| [-pair[1], pair[0]]);
            let turned: Vec<f64> = turned.collect();
            Tensor::from_f64(x.dtype(), x.shape().to_vec(), &turned).expect("same elements")
        }
        Lang::Rotated([x, cos, sin, a]) => match attr(a)? {
            Attr::Rotation(rotation) => rotated(of(x)?, of(cos)?, of(sin)?, *rotation),
            _ => return None,
        },
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
        Lang::SinkProbs([q, k, sink, a]) => match attr(a)? {
            Attr::Probs(p) => {
                let masked = masked_scores(of(q)?, of(k)?, p, at);
                let [b, h, s, t] = masked.shape()[..] else {
                    return None;
                };
                let shape = [b, h, s, 1].map(Dim::from).to_vec();
                let sink = run(Op::Expand { shape }, &[of(sink)?]);
                let all = run(Op::Concat { axis: 3 }, &[&masked, &sink]);
                let keys = Op::Slice {
                    axis: 3,
                    start: 0.into(),
                    end: t.into(),
                    step: 1,
                };
                run(keys, &[&run(Op::Softmax { axis: 3 }, &[&all])])
            }
            _ => return None,
        },
        Lang::ProbsOf([q, k, a]) => match attr(a)? {
            Attr::Probs(p) => {
                let masked = masked_scores(of(q)?, of(k)?, p, at);
                let probs = run(Op::Softmax { axis: 3 }, &[&masked]);
                let zero_nan: Vec<f32> = probs
                    .to_f32_vec()
                    .into_iter()
                    .map(|p| if p.is_nan() { 0.0 } else { p })
                    .collect();
                rounded(
                    p.codes,
                    Tensor::from_vec(probs.shape().to_vec(), zero_nan).expect("same elements"),
                )
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

/// Each pair (a, b) becomes (a cos - b sin, b cos + a sin).
fn rotated(x: &Tensor, cos: &Tensor, sin: &Tensor, rotation: Rotation) -> Tensor {
    let (shape, half) = (x.shape(), rotation.dim / 2);
    let (width, columns) = (shape[shape.len() - 1], cos.shape()[1]);
    let (cos, sin) = (cos.to_f64_vec(), sin.to_f64_vec());
    let mut out = x.to_f64_vec();
    for (row, values) in out.chunks_exact_mut(width).enumerate() {
        let token = rotation.tokens.map_or(0, |axis| {
            row / shape[axis + 1..shape.len() - 1].iter().product::<usize>() % shape[axis]
        });
        for pair in 0..half {
            let (i, j) = match rotation.interleaved {
                true => (2 * pair, 2 * pair + 1),
                false => (pair, pair + half),
            };
            let [ci, cj] = match columns == half {
                true => [pair, pair],
                false => [i, j],
            }
            .map(|column| token * columns + column);
            let (a, b) = (values[i], values[j]);
            values[i] = a * cos[ci] - b * sin[ci];
            values[j] = b * cos[cj] + a * sin[cj];
        }
    }
    Tensor::from_f64(x.dtype(), shape.to_vec(), &out).expect("same elements")
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

/// The scores, -inf where they are hidden.
fn masked_scores(q: &Tensor, k: &Tensor, p: &Probs, at: &Bindings) -> Tensor {
    let scores = scores(q, k, &p.scores, at);
    let [_, _, rows, cols] = scores.shape()[..] else {
        panic!("four axes")
    };
    let mask = Op::Mask {
        kind: p.mask,
        form: MaskForm::Additive(Real::new(f32::NEG_INFINITY)),
        rows: rows.into(),
        cols: cols.into(),
    };
    let mask = eval_op(&mask, &[], at).expect("masks");
    eval_op(&Op::Binary(BinaryOp::Add), &[&scores, &mask], at).expect("adds")
}

fn scores(q: &Tensor, k: &Tensor, s: &Scores, at: &Bindings) -> Tensor {
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
    let mul =
        |a: &Tensor, b: &Tensor| eval_op(&Op::Binary(BinaryOp::Mul), &[a, b], at).expect("scales");
    let scores = mul(&product, &scale);
    let Some(cap) = s.softcap.map(|cap| cap.get() as f32) else {
        return rounded(s.codes, scores);
    };
    let tanh = Op::Unary(UnaryOp::Tanh);
    let capped = eval_op(&tanh, &[&mul(&scores, &Tensor::scalar(1.0 / cap))], at).expect("caps");
    rounded(s.codes, mul(&capped, &Tensor::scalar(cap)))
}

/// Numbers rounded to codes and back, if there are any.
fn rounded(codes: Option<Codes>, x: Tensor) -> Tensor {
    let Some(codes) = codes else { return x };
    let numbers = x.to_f32_vec().into_iter();
    let numbers = numbers.map(|v| codes.round_trip(v)).collect();
    Tensor::from_vec(x.shape().to_vec(), numbers).expect("same elements")
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
