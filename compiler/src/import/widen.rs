//! Models that compute in f16 or bf16: constants stay as narrow as the file has them, arithmetic is in f32.
//!
//! Casts between float types vanish, caches and results are f32. Weights of products and what they are made of keep their type; other constants (norm
//! weights, biases, numbers) are widened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llmc_ir::{Const, Graph, Op, TypeError, ValueId};
use llmc_tensor::DType;

/// True for the types that are widened.
fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::Bf16)
}

/// The graph with arithmetic in f32; `None` if it has no narrower one.
///
/// # Errors
/// If an op does not take the wider operands, which would be a bug.
pub fn widened(graph: &Graph) -> Result<Option<Graph>, TypeError> {
    if !graph.iter().any(|(_, n)| is_half(n.ty.dtype)) {
        return Ok(None);
    }
    let narrow = narrow_constants(graph);
    let mut wide = Graph::new(graph.name.clone());
    wide.bounds.clone_from(&graph.bounds);
    let mut map: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for (name, id) in graph.inputs() {
        let mut ty = graph.ty(*id).clone();
        if is_half(ty.dtype) {
            ty.dtype = DType::F32;
        }
        map.insert(*id, wide.add_input(name.clone(), ty));
    }
    for id in graph.topological() {
        let node = graph.node(id);
        let operands: Vec<ValueId> = node
            .operands
            .iter()
            .filter_map(|v| map.get(v).copied())
            .collect();
        let new = match (&node.op, graph.as_const(id)) {
            (Op::Input, _) => continue,
            (_, Some(constant)) => {
                let kept = narrow.contains(&id) || !is_half(constant.dtype());
                let constant = match constant.tensor() {
                    Some(tensor) if !kept => match tensor.cast(DType::F32) {
                        Ok(tensor) => Arc::new(Const::new(constant.name(), tensor)),
                        Err(_) => constant.clone(),
                    },
                    _ => constant.clone(),
                };
                let constant = wide.add_const(constant);
                wide.const_node(constant)?
            }
            (Op::Cast(to), _) if is_half(*to) && !narrow.contains(&id) => match operands[..] {
                [x] if wide.ty(x).dtype == DType::F32 => x,
                _ => wide.add_node(Op::Cast(DType::F32), &operands, node.origin.clone())?,
            },
            (Op::Cast(DType::F32), _)
                if operands.iter().all(|x| wide.ty(*x).dtype == DType::F32) =>
            {
                match operands[..] {
                    [x] => x,
                    _ => continue,
                }
            }
            (op, _) => wide.add_node(op.clone(), &operands, node.origin.clone())?,
        };
        map.insert(id, new);
    }
    for (name, id) in &graph.outputs {
        if let Some(id) = map.get(id) {
            wide.add_output(name.clone(), *id);
        }
    }
    wide.remove_dead();
    wide.remove_unused_tables();
    Ok(Some(wide))
}

/// Half-precision values that are the right operand of products only, or become it by moving elements, or are scales of codes.
fn narrow_constants(graph: &Graph) -> BTreeSet<ValueId> {
    let order = graph.topological();
    let mut constants = BTreeSet::new();
    for id in &order {
        let operands = graph.operands(*id);
        if graph.as_const(*id).is_some()
            || (!operands.is_empty() && operands.iter().all(|v| constants.contains(v)))
        {
            constants.insert(*id);
        }
    }
    let mut narrow = BTreeSet::new();
    for id in order.into_iter().rev() {
        if !is_half(graph.ty(id).dtype) || graph.is_output(id) {
            continue;
        }
        let right = |user: &ValueId| match (graph.op(*user), graph.operands(*user)) {
            (Op::MatMul, &[a, b]) => b == id && a != id && graph.ty(id).rank() == 2,
            (Op::MatMulDequantized { .. }, operands) => operands.first() != Some(&id),
            (Op::Transpose { .. } | Op::Slice { .. } | Op::Reshape { .. }, _) => {
                narrow.contains(user)
            }
            (Op::Dequantize { .. }, _) => narrow.contains(user),
            _ => false,
        };
        let constant = constants.contains(&id);
        let users = graph.users(id);
        if constant && !users.is_empty() && users.iter().all(right) {
            narrow.insert(id);
        }
    }
    narrow
}
