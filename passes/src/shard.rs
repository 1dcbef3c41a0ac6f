//! Which core has what.
//!
//! * The columns of every constant matrix are shared by the cores, in units of [`COLUMNS`] (one panel of the matrix
//!   unit), or in whole heads where the result feeds heads and there is a KV head for every core.
//! * KV states are shared by KV head, and so is attention.
//! * Elementwise results stay split as their operands are; a replicated operand is simply sliced.
//! * Where an op needs all of a value, an `all_gather` is put between them, once per value.
//!
//! No sum is ever split, so results do not depend on the number of cores. What each op accepts is known by type
//! inference; this pass chooses layouts for constants and states, and gathers where inference objects.

use std::collections::BTreeMap;

use llmc_ir::{Graph, Layout, Module, Op, ValueId};

use crate::error::Cause;

/// Columns of a weight that stay together: one panel of the matrix unit.
pub const COLUMNS: usize = 16;

/// Axis of the KV heads in a state, `[batch, kv_heads, capacity, head_dim]`.
const KV_HEADS: usize = 1;

/// Lays all entries out over `cores`. Returns the number of gathers of each entry.
///
/// # Errors
/// If there are no cores; or on a bug, if no layout fits an op. With the name of the entry.
pub fn shard(module: &mut Module, cores: usize) -> Result<Vec<usize>, (String, Cause)> {
    let mut gathers = Vec::new();
    for graph in &mut module.entries {
        gathers.push(shard_graph(graph, cores).map_err(|cause| (graph.name.clone(), cause))?);
    }
    Ok(gathers)
}

fn shard_graph(graph: &mut Graph, cores: usize) -> Result<usize, Cause> {
    match cores {
        0 => return Err(Cause::Options("there must be at least one core".into())),
        1 => return Ok(0),
        _ => {}
    }
    for state in &mut graph.tables_mut().states {
        state.layout = Layout::Split {
            axis: KV_HEADS,
            unit: 1,
        };
    }
    let mut gathered: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for id in graph.topological() {
        let node = graph.node(id).clone();
        match node.op {
            Op::Input | Op::Const(_) => continue,
            Op::MatMul => split_columns(graph, id, 1, cores)?,
            Op::MatMulDequantized { transposed, .. } => {
                split_columns(graph, id, usize::from(!transposed), cores)?;
            }
            _ => {}
        }
        let mut operands = graph.operands(id).to_vec();
        if graph.infer_for(&node.op, &operands).is_err()
            || works_within_rows(&node.op)
            || splits_heads_of_rope(graph, id, cores)
        {
            for operand in &mut operands {
                if needs_gather(graph, *operand) {
                    *operand = gather(graph, *operand, &mut gathered)?;
                }
            }
        }
        graph.set_node(id, node.op, &operands)?;
    }
    Ok(gathered.len())
}

/// Splits the columns, which are an axis of it, of a constant right operand.
fn split_columns(graph: &mut Graph, id: ValueId, axis: usize, cores: usize) -> Result<(), Cause> {
    let &[_, weight, ..] = graph.operands(id) else {
        return Ok(());
    };
    let Op::Const(constant) = *graph.op(weight) else {
        return Ok(());
    };
    if graph.ty(weight).rank() != 2 {
        return Ok(());
    }
    let unit = head_unit(graph, id, cores).unwrap_or(COLUMNS);
    let layout = Layout::Split { axis, unit };
    // A layout belongs to a node: other users of the constant keep theirs.
    let weight = match graph.use_count(weight) {
        1 => weight,
        _ => {
            let own = graph.add_node(Op::Const(constant), &[], Vec::new())?;
            graph.set_operand(id, 1, own);
            own
        }
    };
    graph.set_layout(weight, layout);
    Ok(())
}

/// The columns of one KV head's worth of `value`, if it feeds heads and no core is left without a KV head.
fn head_unit(graph: &Graph, value: ValueId, cores: usize) -> Option<usize> {
    graph
        .users(value)
        .iter()
        .find_map(|user| match graph.op(*user) {
            Op::Append { state } => {
                let state = graph.tables().state(*state)?;
                let [_, kv_heads, _, head_dim] = &state.shape[..] else {
                    return None;
                };
                let enough = kv_heads.as_const()? >= i64::try_from(cores).ok()?;
                enough.then_some(usize::try_from(head_dim.as_const()?).ok()?)
            }
            Op::Attention {
                heads,
                kv_heads,
                head_dim,
                ..
            } => {
                let is_query = graph.operands(*user).first() == Some(&value);
                (is_query && *kv_heads >= cores).then_some(head_dim * (heads / kv_heads))
            }
            Op::Rope { .. } | Op::Unary(_) | Op::Binary(_) | Op::RoundTrip(_) => {
                head_unit(graph, *user, cores)
            }
            // Of heads; of whole rows it needs all of them.
            Op::RmsNorm { .. } => {
                let weight = graph.ty(*graph.operands(*user).get(1)?).shape.last()?;
                let heads = graph.ty(value).shape.last()? != weight;
                heads.then(|| head_unit(graph, *user, cores)).flatten()
            }
            _ => None,
        })
}

/// True for ops that a backend does on whole rows: what fusion has left over, and not worth a layout of its own.
fn works_within_rows(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Expand { .. }
            | Op::Concat { .. }
            | Op::Slice { .. }
            | Op::Reduce { .. }
            | Op::Softmax { .. }
            | Op::Compare(_)
            | Op::Where
            | Op::TopK { .. }
            | Op::GatherNd { .. }
            | Op::ScatterNd { .. }
    )
}

/// True if `id` is a rotation of heads that are split otherwise than its users want them. Inference would allow
/// it, but then the gather comes after the rotation, and every core works for nothing.
fn splits_heads_of_rope(graph: &Graph, id: ValueId, cores: usize) -> bool {
    matches!(graph.op(id), Op::Rope { .. }) && head_unit(graph, id, cores).is_none()
}

/// A split value that a gather can join; constants and views of states stay where they are.
fn needs_gather(graph: &Graph, value: ValueId) -> bool {
    graph.ty(value).layout != Layout::Replicated
        && !matches!(graph.op(value), Op::Const(_) | Op::Append { .. })
}

/// The gathered form of a value, made at most once.
fn gather(
    graph: &mut Graph,
    value: ValueId,
    gathered: &mut BTreeMap<ValueId, ValueId>,
) -> Result<ValueId, Cause> {
    if let Some(whole) = gathered.get(&value) {
        return Ok(*whole);
    }
    let origin = graph.origin(value).to_vec();
    let whole = graph.add_node(Op::AllGather, &[value], origin)?;
    gathered.insert(value, whole);
    Ok(whole)
}
