//! Files that compute the logits of the last token alone: here they become those of all tokens. Which of them an entry wants, it says itself.

use std::collections::BTreeMap;

use llmc_ir::{Dim, Graph, Op, ValueId};

/// Axis of the tokens in `[batch, seq, ..]`.
const SEQ_AXIS: usize = 1;

/// The graph without picks of the last row in `[batch, seq, n]`; `None` if it has none, or if what follows one is not done row by row.
pub fn restored(graph: &Graph) -> Option<Graph> {
    let picks = |id: &ValueId| picks_last(graph, *id);
    let order = graph.topological();
    if !order.iter().any(picks) {
        return None;
    }
    let mut whole = graph.clone();
    // New values of old ones that had one row, and have all now.
    let mut widened: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for id in order {
        let operands = graph.operands(id);
        if picks(&id) {
            widened.insert(id, operands[0]);
        }
        let Some((x, rest)) = operands.split_first() else {
            continue;
        };
        if rest.iter().any(|v| widened.contains_key(v)) {
            return None;
        }
        let (Some(&wide), false) = (widened.get(x), picks(&id)) else {
            continue;
        };
        let constants = rest.iter().all(|v| graph.as_const(*v).is_some());
        let at_most = |rank: usize| rest.iter().all(|v| graph.ty(*v).rank() <= rank);
        let last = |v: ValueId| graph.ty(v).shape.last();
        let new = match graph.op(id) {
            // Only the axis of the one row comes and goes.
            Op::Reshape { .. } if last(id) == last(*x) && graph.ty(id).rank() <= 3 => wide,
            Op::MatMul | Op::MatMulDequantized { .. } if constants && at_most(2) => {
                again(&mut whole, graph, id, wide)?
            }
            Op::Binary(_) | Op::RmsNorm { .. } | Op::LayerNorm { .. }
                if constants && at_most(1) =>
            {
                again(&mut whole, graph, id, wide)?
            }
            Op::Unary(_) | Op::Cast(_) => again(&mut whole, graph, id, wide)?,
            _ => return None,
        };
        widened.insert(id, new);
    }
    for (_, output) in &mut whole.outputs {
        if let Some(new) = widened.get(output) {
            *output = *new;
        }
    }
    whole.remove_dead();
    Some(whole)
}

/// True for rows `seq - 1 .. seq` of `[batch, seq, n]`.
fn picks_last(graph: &Graph, id: ValueId) -> bool {
    let (
        Op::Slice {
            axis: SEQ_AXIS,
            start,
            step: 1,
            ..
        },
        [x],
    ) = (graph.op(id), graph.operands(id))
    else {
        return false;
    };
    let shape = &graph.ty(*x).shape;
    shape.len() == 3 && shape[SEQ_AXIS] == Dim::seq() && *start == &Dim::seq() - &Dim::one()
}

/// The same op on all rows; its other operands are constants, that were there before.
fn again(whole: &mut Graph, graph: &Graph, id: ValueId, wide: ValueId) -> Option<ValueId> {
    let rest = graph.operands(id).get(1..)?;
    let operands = [&[wide], rest].concat();
    let made = whole.add_node(graph.op(id).clone(), &operands, graph.origin(id).to_vec());
    made.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use llmc_ir::parse_graph;

    fn lm_head(between: &str) -> Graph {
        let text = format!(
            "graph \"g\" {{
  const c0 \"w\" f32[4, 8] #0
  input %0 \"x\" f32[batch, seq, 4]
{between}
  %4 : f32[4, 8] = const c0
  %5 : f32[batch, 1, 8] = matmul %3, %4
  output \"logits\" %5
}}
"
        );
        parse_graph(&text).unwrap()
    }

    #[test]
    fn the_pick_goes() {
        let graph = lm_head(
            "  %1 : f32[batch, 1, 4] = slice %0 {axis=1, start=seq - 1, end=seq, step=1}
  %2 : f32[batch, 4] = reshape %1 {shape=[batch, 4]}
  %3 : f32[batch, 1, 4] = reshape %2 {shape=[batch, 1, 4]}",
        );
        let whole = restored(&graph).unwrap();
        let logits = whole.output("logits").unwrap();
        assert_eq!(whole.ty(logits).shape[SEQ_AXIS], Dim::seq());
        assert_eq!(whole.operands(logits)[0], whole.input("x").unwrap());
    }

    #[test]
    fn another_row_or_a_softmax_over_it_stays() {
        let first = "  %3 : f32[batch, 1, 4] = slice %0 {axis=1, start=0, end=1, step=1}";
        assert!(restored(&lm_head(first)).is_none());
        let mixed = "  %1 : f32[batch, 1, 4] = slice %0 {axis=1, start=seq - 1, end=seq, step=1}
  %3 : f32[batch, 1, 4] = softmax %1 {axis=1}";
        assert!(restored(&lm_head(mixed)).is_none());
    }
}
