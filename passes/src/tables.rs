//! Tables of rotations in one form: a column for each pair, and no more rows than the context has positions.
//!
//! Some exporters write the cosine of a pair twice, once for each of its elements, and some tables reach further than the context.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmc_ir::{Const, Graph, Op, ValueId};
use llmc_tensor::Tensor;

use crate::error::Cause;

/// Narrows the tables of all rotations. Returns how many rotations have other tables now.
///
/// # Errors
/// A table without bytes.
pub fn narrow(graph: &mut Graph, max_context: usize) -> Result<usize, Cause> {
    let mut narrowed = 0;
    let mut memo: BTreeMap<(ValueId, usize), ValueId> = BTreeMap::new();
    for id in graph.topological() {
        let (
            Op::Rope {
                rotary_dim,
                interleaved,
                ..
            },
            &[x, cos, sin],
        ) = (graph.op(id), graph.operands(id))
        else {
            continue;
        };
        let op = graph.op(id).clone();
        let half = rotary_dim / 2;
        let twice = |v: ValueId| table(graph, v).is_some_and(|t| !interleaved && is_twice(t, half));
        let halved = twice(cos) && twice(sin);
        let mut operands = vec![x];
        for rows in [cos, sin] {
            let width = match table(graph, rows) {
                Some(t) if halved => t.shape().last().map_or(0, |n| n / 2),
                Some(t) => t.shape().last().copied().unwrap_or(0),
                None => 0,
            };
            operands.push(rows_of(graph, rows, (width, max_context), &mut memo)?);
        }
        if operands[1..] != [cos, sin] {
            graph.set_node(id, op, &operands)?;
            narrowed += 1;
        }
    }
    graph.remove_dead();
    Ok(narrowed)
}

/// The table behind rows of positions.
fn table(graph: &Graph, rows: ValueId) -> Option<&Tensor> {
    let (Op::PositionRows { .. }, &[table]) = (graph.op(rows), graph.operands(rows)) else {
        return None;
    };
    let constant = graph.as_const(table)?;
    constant
        .tensor()
        .filter(|t| t.rank() == 2 && t.dtype().bytes().is_some())
}

/// True if each row is `half` columns twice.
fn is_twice(table: &Tensor, half: usize) -> bool {
    let width = half * table.dtype().bytes().unwrap_or(1);
    table.shape()[1] == 2 * half
        && width > 0
        && table
            .bytes()
            .chunks_exact(2 * width)
            .all(|row| row[..width] == row[width..])
}

/// The same rows of a table of `width` columns and at most `most` rows.
fn rows_of(
    graph: &mut Graph,
    rows: ValueId,
    (width, most): (usize, usize),
    memo: &mut BTreeMap<(ValueId, usize), ValueId>,
) -> Result<ValueId, Cause> {
    if let Some(known) = memo.get(&(rows, width)) {
        return Ok(*known);
    }
    let Some(whole) = table(graph, rows).cloned() else {
        return Ok(rows);
    };
    let (have, columns) = (whole.shape()[0], whole.shape()[1]);
    // What serves short contexts is kept whole.
    let most = match graph.op(rows) {
        Op::PositionRows { short, .. } => most.saturating_add(*short),
        _ => most,
    };
    if (have <= most && columns == width) || width == 0 {
        return Ok(rows);
    }
    let element = whole.dtype().bytes().unwrap_or(1);
    let keep = have.min(most);
    let bytes: Vec<u8> = whole
        .bytes()
        .chunks_exact(columns * element)
        .take(keep)
        .flat_map(|row| row[..width * element].iter().copied())
        .collect();
    let cut = Tensor::new(whole.dtype(), [keep, width], bytes);
    let cut = cut.map_err(|e| Cause::Unsupported(vec![e.to_string()]))?;
    let op = graph.op(rows).clone();
    let name = match graph
        .operands(rows)
        .first()
        .and_then(|t| graph.as_const(*t))
    {
        Some(constant) => format!("{}[:{keep}, :{width}]", constant.name()),
        None => return Ok(rows),
    };
    let origin = graph.origin(rows).to_vec();
    let constant = graph.add_const(Arc::new(Const::new(name, cut)));
    let constant = graph.const_node(constant)?;
    let new = graph.add_node(op, &[constant], origin)?;
    memo.insert((rows, width), new);
    Ok(new)
}
