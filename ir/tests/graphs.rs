//! Random graphs: what is built is valid, prints and parses to itself, and evaluates to the inferred types.

mod common;

use common::{Rng, random_tensor};
use llmc_ir::*;
use llmc_tensor::{DType, Tensor};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A random dim that often fits.
fn random_dim(rng: &mut Rng) -> Dim {
    match rng.below(6) {
        0 => Dim::batch(),
        1 => Dim::seq(),
        2 => Dim::past() + Dim::seq(),
        3 => Dim::one(),
        _ => Dim::from(1 + rng.below(6)),
    }
}

fn random_shape(rng: &mut Rng) -> Vec<Dim> {
    (0..rng.below(4)).map(|_| random_dim(rng)).collect()
}

fn pick<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.below(all.len())]
}

fn random_kind(rng: &mut Rng) -> MaskKind {
    MaskKind {
        causal: rng.below(2) == 0,
        window: (rng.below(2) == 0).then_some(3),
    }
}

fn random_codes(rng: &mut Rng) -> Codes {
    Codes {
        dtype: pick(rng, &[DType::U8, DType::I8, DType::I16]),
        scale: Real::new(0.01 + rng.unit() as f32),
        zero: rng.below(100) as i32,
    }
}

/// Any op; shapes are often those of an operand, so that a fair part is valid.
fn random_op(rng: &mut Rng, like: &Type) -> Op {
    let real = Real::new(rng.unit() as f32);
    let axis = rng.below(4);
    let flag = rng.below(2) == 0;
    let flip = |shape: &[Dim]| shape.iter().rev().cloned().collect::<Vec<_>>();
    let dim = like.shape.get(axis).cloned().unwrap_or_default();
    match rng.below(36) {
        0 => Op::Unary(pick(rng, UnaryOp::ALL)),
        1 => Op::Binary(pick(rng, BinaryOp::ALL)),
        2 => Op::Compare(pick(rng, CmpOp::ALL)),
        3 => Op::Where,
        4 => Op::Cast(pick(rng, &DType::ALL[..13])),
        5 => Op::Reshape {
            shape: flip(&like.shape),
        },
        6 => Op::Transpose {
            perm: (0..like.rank()).rev().collect(),
        },
        7 => Op::Expand {
            shape: [vec![random_dim(rng)], like.shape.clone()].concat(),
        },
        8 => Op::Concat { axis },
        9 => Op::Slice {
            axis,
            start: Dim::zero(),
            end: dim.clone(),
            step: 1,
        },
        10 => Op::Slice {
            axis,
            start: dim - Dim::one(),
            end: Dim::from(-1),
            step: -1,
        },
        11 => Op::Gather { axis },
        12 => Op::GatherNd {
            batch_dims: rng.below(2),
        },
        13 => Op::Reduce {
            op: pick(rng, ReduceOp::ALL),
            axes: vec![axis],
            keepdims: flag,
        },
        14 => Op::Softmax { axis },
        15 => Op::CumSum {
            axis,
            exclusive: flag,
            reverse: rng.below(2) == 0,
        },
        16 => Op::Trilu {
            upper: flag,
            k: random_dim(rng),
        },
        17 => Op::MatMul,
        18 => Op::PositionRows {
            short: 0,
            start: Dim::zero(),
            rows: Dim::one(),
        },
        19 => Op::mask(
            random_kind(rng),
            if flag {
                MaskForm::Bool
            } else {
                MaskForm::Additive(real)
            },
        ),
        20 => Op::Append { state: StateId(0) },
        21 => Op::RmsNorm {
            eps: Real::new(1e-5),
        },
        22 => Op::LayerNorm {
            eps: Real::new(f32::MIN_POSITIVE),
        },
        23 => Op::Rope {
            heads: 2,
            head_dim: 2,
            rotary_dim: 2,
            interleaved: flag,
        },
        // Drawn more often, because its operands fit least often.
        24 | 36..40 => Op::Attention {
            heads: 2,
            kv_heads: 1,
            head_dim: 2,
            scale: real,
            mask: random_kind(rng),
            softcap: flag.then_some(real),
            scores: (axis == 2).then(|| random_codes(rng)),
            weights: (axis == 1).then(|| random_codes(rng)),
        },
        25 => Op::SiluMul,
        26 => Op::LastRow { axis },
        27 => Op::AllGather,
        28 => random_spatial_op(rng, like),
        29 => Op::Carry,
        30 => Op::Repeat { count: 2 + axis },
        31 => Op::Dequantize { axis, block: 32 },
        32 => Op::MatMulDequantized {
            block: 32,
            transposed: flag,
        },
        33 => Op::RoundTrip(DType::U8),
        34 => Op::DynamicRoundTrip(pick(rng, RangeOf::ALL)),
        _ => Op::position_rows(),
    }
}

/// Ops that random operands fit too often for the others to be seen.
fn random_spatial_op(rng: &mut Rng, like: &Type) -> Op {
    let axis = rng.below(4);
    match rng.below(5) {
        0 => Op::BitCast(pick(rng, &DType::ALL[..13])),
        1 => Op::ScatterNd {
            batch_dims: rng.below(2),
            op: pick(rng, ScatterOp::ALL),
        },
        2 => Op::Pad {
            before: vec![axis; like.rank()],
            after: vec![1; like.rank()],
        },
        3 => Op::Windows {
            kernel: vec![2; 1 + rng.below(2)],
            strides: vec![1; 1],
            dilations: vec![1 + rng.below(2); 1],
        },
        _ => Op::TopK {
            axis,
            k: 1 + rng.below(2),
            largest: axis == 0,
        },
    }
}

/// Operand shapes of the fused ops, which random shapes hardly ever hit.
fn seeds() -> Vec<Type> {
    let (b, s, total) = (Dim::batch(), Dim::seq(), Dim::past() + Dim::seq());
    let f32s = |shape: &[Dim]| Type::new(DType::F32, shape);
    vec![
        f32s(&[b.clone(), s.clone(), 4.into()]),
        f32s(&[s.clone(), 2.into()]),
        f32s(&[b.clone(), 1.into(), total.clone(), 2.into()]),
        f32s(&[4.into()]),
        f32s(&[4.into(), 4.into()]),
        Type::new(DType::I64, [s]),
        Type::new(DType::Bool, [b, 1.into(), total]),
    ]
}

fn random_graph(rng: &mut Rng) -> Graph {
    let mut g = Graph::new("random");
    g.add_state(State::new(
        "k",
        DType::F32,
        [Dim::batch(), 2.into(), 64.into(), 2.into()],
    ));
    for (i, ty) in seeds().into_iter().enumerate() {
        g.add_input(format!("in{i}"), ty);
    }
    for i in 0..2 {
        let shape: Vec<usize> = (0..rng.below(3)).map(|_| 1 + rng.below(5)).collect();
        let ty = Type::new(
            pick(rng, &[DType::F32, DType::I64]),
            shape.iter().map(|d| Dim::from(*d)).collect::<Vec<_>>(),
        );
        let tensor = random_tensor(rng, &ty, &Bindings::new());
        g.constant(format!("const{i}"), tensor).unwrap();
    }
    let ty = Type::new(DType::I32, random_shape(rng));
    g.add_input("random", ty);
    let mut appended = false;
    for i in 0..200 {
        let ids = g.ids();
        let first = ids[rng.below(ids.len())];
        let op = random_op(rng, g.ty(first));
        let append = matches!(op, Op::Append { .. });
        // A repeat takes more than one node to be valid.
        if append && appended || matches!(op, Op::Carry | Op::Repeat { .. }) {
            continue;
        }
        let count = op.arity().unwrap_or(match op {
            Op::Attention { .. } => 3,
            _ => 2,
        });
        let operands: Vec<ValueId> = (0..count)
            .map(|i| {
                if i == 0 {
                    first
                } else {
                    ids[rng.below(ids.len())]
                }
            })
            .collect();
        let small = |t: &Type| t.rank() <= 4; // expand and gather otherwise grow without end
        if let Ok(ty) = g.infer_for(&op, &operands)
            && small(&ty)
        {
            g.add_node(op, &operands, vec![format!("node \"{i}\"")])
                .unwrap();
            appended |= append;
        }
    }
    let last = g.ids()[g.len() - 1];
    g.add_output("last", last);
    let ids = g.ids();
    let other = ids[rng.below(ids.len())];
    g.add_output("other", other);
    g
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn text_round_trips(seed: u64) {
        let mut g = random_graph(&mut Rng::new(seed));
        prop_assert_eq!(verify(&g, Stage::Specialised), Ok(()));
        let text = g.to_string();
        prop_assert_eq!(parse_graph(&text), Ok(g.clone()));
        g.remove_dead();
        g.remove_unused_tables();
        prop_assert_eq!(verify(&g, Stage::Specialised), Ok(()));
        let text = g.to_string();
        prop_assert_eq!(parse_graph(&text), Ok(g));
    }

    #[test]
    fn every_op_round_trips(seed: u64) {
        let rng = &mut Rng::new(seed);
        let mut g = Graph::new("ops");
        for _ in 0..30 {
            let op = random_op(rng, &Type::new(DType::F32, [Dim::seq(), 4.into()]));
            let operands: Vec<ValueId> = g.ids().into_iter().take(rng.below(3)).collect();
            g.add_typed(op, &operands, Type::new(DType::F32, random_shape(rng)), vec![]);
        }
        prop_assert_eq!(parse_graph(&g.to_string()), Ok(g));
    }

    #[test]
    fn values_have_the_inferred_types(seed: u64) {
        let rng = &mut Rng::new(seed);
        let g = random_graph(rng);
        let bindings = Bindings::new().with("batch", 1 + rng.below(2) as i64).with("seq", 1 + rng.below(3) as i64);
        let bindings = bindings.with("past", 0);
        let inputs: BTreeMap<String, Tensor> =
            g.inputs().iter().map(|(n, v)| (n.clone(), random_tensor(rng, g.ty(*v), &bindings))).collect();
        let mut states = eval::fresh_states(&g, &bindings).unwrap();
        // the evaluator compares each value with the inferred type; what can fail is data
        if let Err(e) = eval_graph(&g, &bindings, &inputs, &mut states) {
            let data = ["is outside of the dim", "a window that reaches", "cannot be selected", "are outside of the table", "is divided by 0", "of the slice"];
            prop_assert!(data.iter().any(|d| e.message.contains(d)), "{}", e);
        }
    }

    #[test]
    fn damaged_text_never_panics(seed: u64, at in 0usize..4000, byte in 32u8..127) {
        let mut text = random_graph(&mut Rng::new(seed)).to_string().into_bytes();
        let n = text.len();
        text[at % n] = byte;
        if let Ok(module) = parse_module(&String::from_utf8_lossy(&text)) {
            let _ = verify_module(&module, Stage::Sharded);
        }
    }
}

#[test]
fn every_op_is_generated() {
    let rng = &mut Rng::new(3);
    let like = Type::new(DType::F32, [Dim::seq(), 4.into()]);
    let names: BTreeSet<&str> = (0..5000).map(|_| random_op(rng, &like).name()).collect();
    // all but input and const
    let elementwise =
        UnaryOp::ALL.len() + BinaryOp::ALL.len() + CmpOp::ALL.len() + ReduceOp::ALL.len();
    assert_eq!(names.len(), elementwise + 34);
    // and most are valid somewhere in random graphs
    let mut waiting = BTreeSet::from([
        "attention",
        "rope",
        "append",
        "rms_norm",
        "layer_norm",
        "gather_nd",
        "position_rows",
        "where",
    ]);
    let mut seeds = 0..3000;
    while let (false, Some(seed)) = (waiting.is_empty(), seeds.next()) {
        for (_, node) in random_graph(&mut Rng::new(seed)).iter() {
            waiting.remove(node.op.name());
        }
    }
    assert!(waiting.is_empty(), "no valid {waiting:?} in random graphs");
}

fn chain() -> (Graph, [ValueId; 4]) {
    let mut g = Graph::new("chain");
    let x = g.add_input("x", Type::new(DType::F32, [Dim::seq(), 4.into()]));
    let a = g
        .add_node(Op::Unary(UnaryOp::Exp), &[x], vec!["a".into()])
        .unwrap();
    let b = g
        .add_node(Op::Binary(BinaryOp::Add), &[a, a], vec!["b".into()])
        .unwrap();
    let c = g
        .add_node(Op::Binary(BinaryOp::Mul), &[b, a], vec![])
        .unwrap();
    g.add_output("y", c);
    (g, [x, a, b, c])
}

#[test]
fn uses_follow_changes() {
    let (mut g, [x, a, b, c]) = chain();
    assert_eq!(g.users(a), [b, b, c]);
    let n = g.add_node(Op::Unary(UnaryOp::Neg), &[x], vec![]).unwrap();
    g.replace_all_uses(a, n);
    assert_eq!((g.operands(b), g.operands(c)), (&[n, n][..], &[b, n][..]));
    assert_eq!(g.users(n), [b, b, c]);
    g.replace_all_uses(c, b);
    assert_eq!(g.output("y"), Some(b));
    assert_eq!(g.remove_dead(), 2); // a and c
    assert_eq!(g.topological(), [x, n, b]);
    assert_eq!(g.users(x), [n]);
    g.set_node(b, Op::Unary(UnaryOp::Silu), &[x]).unwrap();
    assert_eq!((g.users(n).len(), g.origin(b)), (0, &["b".to_string()][..]));
    assert!(g.set_node(b, Op::Unary(UnaryOp::Not), &[x]).is_err());
    assert_eq!(*g.op(b), Op::Unary(UnaryOp::Silu));
    g.add_origin(b, &["z".into(), "b".into()]);
    assert_eq!(g.origin(b), ["b", "z"]);
    assert!(!g.remove_input("x"));
    assert!(g.dot().contains("n0 -> n2"));
}

#[test]
fn symbols_are_replaced_everywhere() {
    let (mut g, [x, _, _, c]) = chain();
    g.bounds.insert(Symbol::new("seq"), 64);
    let rows = g
        .add_node(Op::mask(MaskKind::CAUSAL, MaskForm::Bool), &[], vec![])
        .unwrap();
    g.add_output("mask", rows);
    g.substitute(&BTreeMap::from([(Symbol::new("seq"), Dim::one())]))
        .unwrap();
    assert!(g.bounds.is_empty());
    assert_eq!(g.ty(x).to_string(), "f32[1, 4]");
    assert_eq!(g.ty(c).to_string(), "f32[1, 4]");
    assert_eq!(g.ty(rows).to_string(), "bool[1, 1, 1, past + 1]");
    assert_eq!(verify(&g, Stage::Imported), Ok(()));
}

#[test]
fn dangling_ids_are_reported() {
    let (mut g, [_, a, _, c]) = chain();
    g.set_operand(a, 0, c);
    let errors = verify(&g, Stage::Imported).unwrap_err();
    assert!(errors.iter().any(|e| e.invariant == 2), "{errors:?}");
    let mut g = Graph::new("g");
    g.add_typed(
        Op::Unary(UnaryOp::Exp),
        &[ValueId(5)],
        Type::new(DType::F32, []),
        vec![],
    );
    g.add_output("y", ValueId(9));
    g.bounds.insert(Symbol::new("seq"), -1);
    let broken: Vec<u32> = verify(&g, Stage::Imported)
        .unwrap_err()
        .iter()
        .map(|e| e.invariant)
        .collect();
    assert_eq!(broken, [1, 5, 10]);
}

#[test]
fn constants_come_from_the_source() {
    let mut g = Graph::new("g");
    let big = Tensor::from_vec([100], vec![1.5f32; 100]).unwrap();
    let w = g.constant("w", big).unwrap();
    g.add_output("y", w);
    let text = g.to_string();
    let own = g.consts()[0].clone();
    let opaque = parse_graph(&text).unwrap();
    assert_eq!(opaque, g);
    let run = |g: &Graph| eval_graph(g, &Bindings::new(), &BTreeMap::new(), &mut States::new());
    let e = run(&opaque).unwrap_err();
    assert!(
        e.to_string()
            .contains("the bytes of constant \"w\" are not at hand"),
        "{e}"
    );
    let found = parse_graph_with(&text, &|name| (name == "w").then(|| own.clone())).unwrap();
    assert!(run(&found).is_ok());
    let other = std::sync::Arc::new(Const::new("w", Tensor::zeros(DType::F32, [100]).unwrap()));
    let e = parse_graph_with(&text, &|_| Some(other.clone())).unwrap_err();
    assert!(
        e[0].message
            .starts_with("the constant at hand is another one"),
        "{}",
        e[0]
    );
}
