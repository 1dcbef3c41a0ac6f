//! Values of single ops at their edges, states over several launches, and the messages of failures.

use llmc_ir::*;
use llmc_tensor::{DType, Tensor};
use std::collections::BTreeMap;

fn f32s(shape: &[usize], v: &[f32]) -> Tensor {
    Tensor::from_slice(shape, v).unwrap()
}

fn i64s(shape: &[usize], v: &[i64]) -> Tensor {
    Tensor::from_slice(shape, v).unwrap()
}

fn run(op: Op, operands: &[&Tensor]) -> Tensor {
    eval_op(&op, operands, &Bindings::new()).unwrap()
}

fn message(op: Op, operands: &[&Tensor]) -> String {
    eval_op(&op, operands, &Bindings::new())
        .unwrap_err()
        .to_string()
}

#[test]
fn integers_divide_as_onnx_says() {
    let (a, b) = (i64s(&[4], &[7, -7, 7, -7]), i64s(&[4], &[2, 2, -2, -2]));
    assert_eq!(
        run(Op::Binary(BinaryOp::Div), &[&a, &b])
            .to_i64_vec()
            .unwrap(),
        [3, -3, -3, 3]
    );
    assert_eq!(
        run(Op::Binary(BinaryOp::Mod), &[&a, &b])
            .to_i64_vec()
            .unwrap(),
        [1, 1, -1, -1]
    );
    let zero = i64s(&[1], &[0]);
    assert_eq!(
        message(Op::Binary(BinaryOp::Div), &[&a, &zero]),
        "div: an integer is divided by 0"
    );
    let base = i64s(&[2], &[3, 2]);
    assert_eq!(
        run(Op::Binary(BinaryOp::Pow), &[&base, &f32s(&[], &[2.0])])
            .to_i64_vec()
            .unwrap(),
        [9, 4]
    );
}

#[test]
fn nan_and_infinity_pass_through() {
    let x = f32s(&[4], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0]);
    let bools = |op| run(Op::Unary(op), &[&x]).to_bool_vec();
    assert_eq!(bools(UnaryOp::IsNan), [true, false, false, false]);
    assert_eq!(bools(UnaryOp::IsInf), [false, true, true, false]);
    let max = run(Op::Binary(BinaryOp::Max), &[&x, &f32s(&[], &[0.0])]).to_f32_vec();
    assert!(max[0].is_nan() && max[1..] == [f32::INFINITY, 0.0, 0.0]);
    assert_eq!(run(Op::Unary(UnaryOp::Silu), &[&x]).to_f32_vec()[2], 0.0);
    // a row that is hidden altogether is NaN after softmax, as exporters expect when they test for it
    let hidden = f32s(&[1, 2], &[f32::NEG_INFINITY; 2]);
    assert!(
        run(Op::Softmax { axis: 1 }, &[&hidden])
            .to_f32_vec()
            .iter()
            .all(|v| v.is_nan())
    );
}

#[test]
fn matrix_products_follow_numpy() {
    let (v, m) = (
        f32s(&[2], &[1.0, 2.0]),
        f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    );
    assert_eq!(run(Op::MatMul, &[&v, &m]).to_f32_vec(), [9.0, 12.0, 15.0]);
    assert_eq!(run(Op::MatMul, &[&v, &v]), f32s(&[], &[5.0]));
    let batch = f32s(&[2, 1, 1, 2], &[1.0, 0.0, 0.0, 1.0]);
    let rows = run(Op::MatMul, &[&batch, &m]);
    assert_eq!(
        (rows.shape(), rows.to_f32_vec()),
        (&[2, 1, 1, 3][..], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    );
    let (none, other) = (f32s(&[2, 0], &[]), f32s(&[0, 3], &[]));
    assert_eq!(run(Op::MatMul, &[&none, &other]), f32s(&[2, 3], &[0.0; 6]));
    assert_eq!(
        run(
            Op::MatMul,
            &[&i64s(&[1, 2], &[3, 4]), &i64s(&[2, 1], &[5, 6])]
        ),
        i64s(&[1, 1], &[39])
    );
}

#[test]
fn bf16_weights_round_the_left_operand() {
    let a = f32s(&[1, 1], &[1.0 + 1.0 / 512.0]); // rounds to 1 in bf16
    let b = f32s(&[1, 1], &[3.0]).cast(DType::Bf16).unwrap();
    assert_eq!(run(Op::MatMul, &[&a, &b]), f32s(&[1, 1], &[3.0]));
}

#[test]
fn moves_keep_every_type() {
    let x = Tensor::from_vec([2, 3], vec![1u8, 2, 3, 4, 5, 6]).unwrap();
    let bytes = |op| run(op, &[&x]).to_vec::<u8>().unwrap();
    assert_eq!(
        bytes(Op::Transpose { perm: vec![1, 0] }),
        [1, 4, 2, 5, 3, 6]
    );
    let back = Op::Slice {
        axis: 1,
        start: 2.into(),
        end: Dim::from(-1),
        step: -2,
    };
    assert_eq!(bytes(back), [3, 1, 6, 4]);
    assert_eq!(
        bytes(Op::Trilu {
            upper: true,
            k: 1.into()
        }),
        [0, 2, 3, 0, 0, 6]
    );
    assert_eq!(bytes(Op::LastRow { axis: 0 }), [4, 5, 6]);
    let end = i64s(&[2], &[-1, 0]);
    assert_eq!(
        run(Op::Gather { axis: 1 }, &[&x, &end])
            .to_vec::<u8>()
            .unwrap(),
        [3, 1, 6, 4]
    );
    let outside = i64s(&[1], &[3]);
    assert_eq!(
        message(Op::Gather { axis: 1 }, &[&x, &outside]),
        "gather {axis=1}: index 3 is outside of the dim 3"
    );
    let batched = i64s(&[2, 1], &[2, 0]);
    assert_eq!(
        run(Op::GatherNd { batch_dims: 1 }, &[&x, &batched])
            .to_vec::<u8>()
            .unwrap(),
        [3, 4]
    );
    let packed = Tensor::from_i64(DType::I4, [2, 3], &[1, -2, 3, -4, 5, -6]).unwrap();
    assert_eq!(
        run(Op::Cast(DType::I64), &[&packed]).to_i64_vec().unwrap(),
        [1, -2, 3, -4, 5, -6]
    );
    assert_eq!(
        run(Op::Transpose { perm: vec![1, 0] }, &[&packed])
            .to_i64_vec()
            .unwrap(),
        [1, -4, -2, 5, 3, -6]
    );
}

#[test]
fn reductions_and_running_sums() {
    let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let sum = |axes: &[usize], keepdims| {
        run(
            Op::Reduce {
                op: ReduceOp::Sum,
                axes: axes.into(),
                keepdims,
            },
            &[&x],
        )
    };
    assert_eq!(sum(&[0], false), i64s(&[3], &[5, 7, 9]));
    assert_eq!(sum(&[0, 1], true), i64s(&[1, 1], &[21]));
    assert_eq!(sum(&[], false), x);
    let run_sum = |exclusive, reverse| {
        run(
            Op::CumSum {
                axis: 1,
                exclusive,
                reverse,
            },
            &[&x],
        )
        .to_i64_vec()
        .unwrap()
    };
    assert_eq!(run_sum(false, false), [1, 3, 6, 4, 9, 15]);
    assert_eq!(run_sum(true, false), [0, 1, 3, 0, 4, 9]);
    assert_eq!(run_sum(false, true), [6, 5, 3, 15, 11, 6]);
    assert_eq!(run_sum(true, true), [5, 3, 0, 11, 6, 0]);
    let empty = f32s(&[0], &[]);
    let max = Op::Reduce {
        op: ReduceOp::Max,
        axes: vec![0],
        keepdims: false,
    };
    assert_eq!(run(max, &[&empty]).to_f32_vec(), [f32::NEG_INFINITY]);
}

#[test]
fn failures_say_what_was_expected() {
    let (a, b) = (f32s(&[2], &[0.0; 2]), f32s(&[3], &[0.0; 3]));
    let e = message(Op::Binary(BinaryOp::Add), &[&a, &b]);
    assert_eq!(
        e,
        "add: [2] and [3] do not broadcast (operands f32[2], f32[3])"
    );
    let e = message(Op::mask(MaskKind::CAUSAL, MaskForm::Bool), &[]);
    assert_eq!(
        e,
        "mask {causal=true, rows=seq, cols=past + seq}: `seq` in `seq` has no value"
    );
    let rows = Op::PositionRows {
        short: 0,
        start: 1.into(),
        rows: 2.into(),
    };
    let e = message(rows, &[&f32s(&[2, 1], &[0.0; 2])]);
    assert!(
        e.ends_with("rows 1 .. 1 + 2 are outside of the table's 2 rows"),
        "{e}"
    );
}

/// Appends x to a state of 4 rows and attends to it.
fn cached() -> Graph {
    let mut g = Graph::new("cached");
    let state = g.add_state(State::new(
        "k",
        DType::F32,
        [1.into(), 1.into(), 4.into(), Dim::from(2)],
    ));
    let x = g.add_input(
        "x",
        Type::new(DType::F32, [Dim::one(), Dim::seq(), 2.into()]),
    );
    let k = g.add_node(Op::Append { state }, &[x], vec![]).unwrap();
    let attention = Op::Attention {
        heads: 1,
        kv_heads: 1,
        head_dim: 2,
        scale: Real::new(1.0),
        mask: MaskKind::CAUSAL,
        softcap: None,
        scores: None,
        weights: None,
    };
    let y = g.add_node(attention, &[x, k, k], vec![]).unwrap();
    g.add_output("y", y);
    assert_eq!(verify(&g, Stage::Fused), Ok(()));
    g
}

fn launch(g: &Graph, rows: &[f32], past: i64, states: &mut States) -> Result<Vec<f32>, EvalError> {
    let seq = rows.len() / 2;
    let inputs = BTreeMap::from([("x".to_string(), f32s(&[1, seq, 2], rows))]);
    let mut bindings = eval::bind_inputs(g, &inputs)?;
    bindings.set("past", past);
    Ok(eval_graph(g, &bindings, &inputs, states)?["y"].to_f32_vec())
}

#[test]
fn chunks_give_what_one_launch_gives() {
    let (g, rows) = (cached(), [0.5f32, -1.0, 2.0, 0.25, -0.5, 1.0, 1.5, 0.0]);
    let fresh = || eval::fresh_states(&g, &Bindings::new()).unwrap();
    let mut whole = fresh();
    let want = launch(&g, &rows, 0, &mut whole).unwrap();
    let mut parts = fresh();
    let mut got = launch(&g, &rows[..6], 0, &mut parts).unwrap();
    got.extend(launch(&g, &rows[6..], 3, &mut parts).unwrap());
    assert_eq!(got, want);
    assert_eq!(parts, whole);
    assert_eq!(parts["k"].past, 4);

    let before = parts.clone();
    let e = launch(&g, &rows[..2], 4, &mut parts).unwrap_err();
    assert!(
        e.message.contains("5 rows do not fit state \"k\" of 4"),
        "{e}"
    );
    let e = launch(&g, &rows[..2], 0, &mut parts).unwrap_err();
    assert!(
        e.message
            .contains("state \"k\" has 4 rows, but `past` is bound to another number"),
        "{e}"
    );
    let e = launch(&g, &rows[..2], 0, &mut States::new()).unwrap_err();
    assert!(e.message.contains("state \"k\" is missing"), "{e}");
    assert_eq!(parts, before);
}

#[test]
fn windows_pads_and_scatters() {
    let x = i64s(&[2, 5], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let windows = Op::Windows {
        kernel: vec![2],
        strides: vec![2],
        dilations: vec![2],
    };
    // positions 0 and 2, elements 2 apart
    assert_eq!(
        run(windows, &[&x]),
        i64s(&[2, 2, 2], &[0, 2, 2, 4, 5, 7, 7, 9])
    );
    let pad = Op::Pad {
        before: vec![0, 1],
        after: vec![1, 0],
    };
    let small = i64s(&[1, 2], &[1, 2]);
    let minus = Tensor::scalar(-1i64);
    assert_eq!(
        run(pad, &[&small, &minus]),
        i64s(&[2, 3], &[-1, 1, 2, -1, -1, -1])
    );
    let data = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let tuples = i64s(&[2, 2, 1], &[2, 2, 0, -1]);
    let updates = i64s(&[2, 2], &[10, 20, 30, 40]);
    let scatter = |op| {
        let op = Op::ScatterNd { batch_dims: 1, op };
        run(op, &[&data, &tuples, &updates]).to_i64_vec().unwrap()
    };
    assert_eq!(scatter(ScatterOp::Assign), [1, 2, 20, 30, 5, 40]);
    assert_eq!(scatter(ScatterOp::Add), [1, 2, 33, 34, 5, 46]);
    assert_eq!(scatter(ScatterOp::Min), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn largest_elements_first() {
    let x = f32s(&[5], &[1.0, 3.0, f32::NAN, 3.0, -1.0]);
    let top = |k, largest| {
        let op = Op::TopK {
            axis: 0,
            k,
            largest,
        };
        run(op, &[&x]).to_i64_vec().unwrap()
    };
    assert_eq!(top(3, true), [2, 1, 3]);
    assert_eq!(top(4, false), [4, 0, 1, 3]);
    let six = Op::TopK {
        axis: 0,
        k: 6,
        largest: true,
    };
    assert!(message(six, &[&x]).contains("6 of 5 elements cannot be selected"));
}

#[test]
fn bits_of_integers() {
    let bytes = |v: &[u8]| Tensor::from_slice([v.len()], v).unwrap();
    let (a, b) = (bytes(&[0b1100, 200, 1]), bytes(&[0b1010, 1, 9]));
    let two = |op| run(Op::Binary(op), &[&a, &b]).to_vec::<u8>().unwrap();
    assert_eq!(two(BinaryOp::And), [0b1000, 0, 1]);
    assert_eq!(two(BinaryOp::Xor), [0b0110, 201, 8]);
    assert_eq!(two(BinaryOp::Shl), [0, 144, 0]);
    assert_eq!(two(BinaryOp::Shr), [0, 100, 0]);
    let (x, y) = (i64s(&[2], &[-7, 7]), i64s(&[2], &[3, -3]));
    assert_eq!(
        run(Op::Binary(BinaryOp::Rem), &[&x, &y]),
        i64s(&[2], &[-1, 1])
    );
    assert_eq!(
        run(Op::Binary(BinaryOp::Mod), &[&x, &y]),
        i64s(&[2], &[2, -2])
    );
    let one = f32s(&[1], &[1.0]);
    let bits = run(Op::BitCast(DType::U32), &[&one]);
    assert_eq!(bits.to_vec::<u32>().unwrap(), [0x3f80_0000]);
    let huge = Tensor::from_slice([1], &[u64::MAX]).unwrap();
    let half = run(Op::Binary(BinaryOp::Div), &[&huge, &Tensor::scalar(2u64)]);
    assert_eq!(half.to_vec::<u64>().unwrap(), [u64::MAX / 2]);
}
