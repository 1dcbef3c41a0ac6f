//! Constant folding, identities, dead code.
//!
//! Constants are shared by the entries of a module; so are folded ones: a weight that three entries transpose is
//! transposed once.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmc_ir::{Bindings, Const, EvalError, Graph, Module, Op, ValueId, eval_op};
use llmc_tensor::Tensor;

use crate::error::Cause;

/// A result of at most this many bytes is always folded; a larger one only if it is no larger than its operands,
/// so that folding never blows a small constant up (an expanded scalar, say).
const ALWAYS_FOLDED: u64 = 1 << 20;

/// A folded constant of more bytes moves to a mapped file: weights do not stay in private memory.
const SPILLED: usize = 16 << 20;

/// A folded constant's name says how it was made, up to this length; beyond it, by digest.
const LONGEST_NAME: usize = 160;

/// What folding did, over all entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldReport {
    /// Nodes that became constants.
    pub folded: usize,
    /// Nodes that changed nothing and are gone.
    pub identities: usize,
    /// Nodes that nothing needed.
    pub dead: usize,
}

impl std::ops::AddAssign for FoldReport {
    fn add_assign(&mut self, more: FoldReport) {
        self.folded += more.folded;
        self.identities += more.identities;
        self.dead += more.dead;
    }
}

/// Folds all entries.
///
/// # Errors
/// If a constant expression cannot be evaluated; with the name of the entry.
pub fn fold(module: &mut Module) -> Result<FoldReport, (String, Cause)> {
    let mut report = FoldReport::default();
    let mut memo = Memo::new();
    for entry in &mut module.entries {
        fold_graph(entry, &mut memo, &mut report).map_err(|cause| (entry.name.clone(), cause))?;
    }
    Ok(report)
}

/// Drops nodes that change nothing, and what nothing needs then. Returns how many changed nothing.
pub fn drop_identities(graph: &mut Graph) -> usize {
    let mut dropped = 0;
    for id in graph.topological() {
        if let Some(same) = identity_of(graph, id) {
            graph.replace_all_uses(id, same);
            dropped += 1;
        }
    }
    graph.remove_dead();
    dropped
}

/// Folded constants by op and names of operands.
type Memo = BTreeMap<(Op, Vec<String>), Arc<Const>>;

fn fold_graph(graph: &mut Graph, memo: &mut Memo, report: &mut FoldReport) -> Result<(), Cause> {
    for id in graph.topological() {
        if let Some(same) = identity_of(graph, id) {
            graph.replace_all_uses(id, same);
            report.identities += 1;
        } else if let Some(constant) = folded(graph, id, memo)? {
            let constant = graph.add_const(constant);
            let value = graph.const_node(constant)?;
            graph.replace_all_uses(id, value);
            report.folded += 1;
        }
    }
    // What was replaced is dead too; it is counted where it was replaced.
    report.dead += graph
        .remove_dead()
        .saturating_sub(report.identities + report.folded);
    graph.remove_unused_tables();
    Ok(())
}

/// The operand that a node is equal to, for ops that change nothing here.
fn identity_of(graph: &Graph, id: ValueId) -> Option<ValueId> {
    let node = graph.node(id);
    let [x] = node.operands[..] else { return None };
    let same = graph.ty(x) == &node.ty;
    let identity = match &node.op {
        Op::Reshape { .. } | Op::Expand { .. } | Op::Cast(_) | Op::Slice { step: 1, .. } => same,
        Op::Transpose { perm } => perm.iter().enumerate().all(|(to, from)| to == *from),
        Op::Concat { .. } => true,
        _ => false,
    };
    identity.then_some(x)
}

/// The value of a node of constants, if it is worth storing.
fn folded(graph: &Graph, id: ValueId, memo: &mut Memo) -> Result<Option<Arc<Const>>, Cause> {
    let node = graph.node(id);
    let in_graph = matches!(node.op, Op::AllGather | Op::Carry | Op::Repeat { .. });
    let pure = !node.op.has_effect() && !node.operands.is_empty() && !in_graph;
    let symbolic = node.op.dims().iter().any(|dim| dim.as_const().is_none());
    if !pure || symbolic {
        return Ok(None);
    }
    let operands: Option<Vec<&Arc<Const>>> =
        node.operands.iter().map(|v| graph.as_const(*v)).collect();
    let (Some(operands), Some(shape)) = (operands, node.ty.const_shape()) else {
        return Ok(None);
    };
    let elements = shape
        .iter()
        .fold(1u64, |product, n| product.saturating_mul(*n as u64));
    let bytes = elements.saturating_mul(node.ty.dtype.bits() as u64) / 8;
    let Some(turns) = operands.iter().filter_map(|c| c.turns()).max() else {
        return folded_once(&node.op, &operands, bytes, memo);
    };
    // The turns of a stack one by one.
    let mut each = Vec::with_capacity(turns);
    for turn in 0..turns {
        let of_turn = operands
            .iter()
            .map(|c| c.each_turn().get(turn).unwrap_or(c));
        match folded_once(&node.op, &of_turn.collect::<Vec<_>>(), bytes, memo)? {
            Some(constant) => each.push(constant),
            None => return Ok(None),
        }
    }
    Ok(Const::stack(each).map(Arc::new))
}

/// The value of an op on constants whose result has that many bytes, if it is worth storing.
fn folded_once(
    op: &Op,
    operands: &[&Arc<Const>],
    bytes: u64,
    memo: &mut Memo,
) -> Result<Option<Arc<Const>>, Cause> {
    let tensors: Option<Vec<&Tensor>> = operands.iter().map(|constant| constant.tensor()).collect();
    let Some(tensors) = tensors else {
        return Ok(None);
    };
    let from: u64 = tensors
        .iter()
        .map(|tensor| tensor.bytes().len() as u64)
        .sum();
    // Codes that no product takes in are worth their numbers: the chip has no other use for them.
    let codes = matches!(op, Op::Dequantize { .. });
    if bytes > ALWAYS_FOLDED.max(from) && !codes {
        return Ok(None);
    }
    let names: Vec<String> = operands
        .iter()
        .map(|constant| constant.name().to_string())
        .collect();
    let key = (op.clone(), names);
    if let Some(constant) = memo.get(&key) {
        return Ok(Some(constant.clone()));
    }
    let value = spilled(op, eval_op(op, &tensors, &Bindings::new())?)?;
    let constant = Arc::new(Const::new(name_of(&key.0, &key.1), value));
    memo.insert(key, constant.clone());
    Ok(Some(constant))
}

/// The result of an op; if it is large, in a mapped file.
pub(crate) fn spilled(op: &Op, value: Tensor) -> Result<Tensor, Cause> {
    if value.bytes().len() <= SPILLED {
        return Ok(value);
    }
    let spilled = value.spilled();
    Ok(spilled.map_err(|e| EvalError::new(op, format!("no room for the result: {e}")))?)
}

/// `transpose {perm=[1, 0]}(lm_head.weight)`.
fn name_of(op: &Op, operands: &[String]) -> String {
    let name = format!("{op}({})", operands.join(", "));
    if name.len() <= LONGEST_NAME {
        return name;
    }
    format!(
        "{}(#{:016x})",
        op.name(),
        llmc_ir::types::digest(name.as_bytes())
    )
}
