//! Only the last row of the logits is wanted: take it before the final norm and the vocabulary, not after.

use llmc_ir::{Graph, Op, RangeOf, ValueId};

use crate::error::Cause;

/// Moves every `last_row` towards the inputs, past ops that treat rows one by one and that nothing else uses:
/// products with a constant matrix, norms, elementwise ops with constants. It stops at the residual stream.
/// Returns how many ops it passed.
///
/// # Errors
/// Only on a bug: if the operands do not fit after the move.
pub fn sink_last_row(graph: &mut Graph) -> Result<usize, Cause> {
    let mut passed = 0;
    for mut row in graph.ids() {
        if graph.get(row).is_none() {
            continue;
        }
        while let Some((axis, producer)) = movable(graph, row) {
            // last_row(f(x, rest)) becomes f(last_row(x), rest); the row's node is reused for f.
            let node = graph.node(producer).clone();
            let Some((x, rest)) = node.operands.split_first() else {
                break;
            };
            let origin = graph.origin(row).to_vec();
            let moved = graph.add_node(Op::LastRow { axis }, &[*x], origin)?;
            let operands = [&[moved], rest].concat();
            let replaced = graph.add_node(node.op, &operands, node.origin)?;
            graph.replace_all_uses(row, replaced);
            graph.remove_dead();
            row = moved;
            passed += 1;
        }
    }
    Ok(passed)
}

/// The axis of a `last_row` and its operand, if they can change places.
fn movable(graph: &Graph, row: ValueId) -> Option<(usize, ValueId)> {
    let node = graph.node(row);
    let (Op::LastRow { axis }, &[producer]) = (&node.op, &node.operands[..]) else {
        return None;
    };
    if graph.use_count(producer) != 1 {
        return None;
    }
    let made = graph.node(producer);
    let last = made.ty.rank().checked_sub(1)?;
    let x = graph.ty(*made.operands.first()?);
    let rest_is_constant = made
        .operands
        .iter()
        .skip(1)
        .all(|v| graph.as_const(*v).is_some());
    let same_rows = x.rank() == made.ty.rank() && x.shape.get(*axis) == made.ty.shape.get(*axis);
    let rowwise = match &made.op {
        Op::MatMul
        | Op::MatMulDequantized { .. }
        | Op::RoundTrip(_)
        | Op::DynamicRoundTrip(RangeOf::Row)
        | Op::RmsNorm { .. }
        | Op::LayerNorm { .. } => *axis < last,
        Op::Unary(_) | Op::Cast(_) => true,
        // Constants of one row or less.
        Op::Binary(_) => made.operands.iter().skip(1).all(|v| {
            let shape = &graph.ty(*v).shape;
            let from_last = made.ty.rank() - *axis;
            shape.len() < from_last || shape[shape.len() - from_last].is(1)
        }),
        _ => false,
    };
    // A matrix product with more than a matrix on the right has rows of its own.
    let matrix = made.op != Op::MatMul
        || made
            .operands
            .get(1)
            .is_some_and(|w| graph.ty(*w).rank() == 2);
    (rowwise && rest_is_constant && same_rows && matrix).then_some((*axis, producer))
}
