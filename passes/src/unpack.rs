//! Packed products are taken apart: queries, keys and values of one matrix, gate and up of one matrix.
//!
//! ```text
//! y = matmul(x, w) + b                            q = matmul(x, w[:, columns of q]) + b[columns of q]
//! q = slice(reshape(y)), k = slice(..), ..   =>   k = ..
//! ```
//!
//! Exporters pack in several orders (one after the other, head by head) and cut with slices or gathers, before or after heads
//! are split and transposed. So the columns are followed: each element of a token's row comes from one column of the
//! matrix, and an op that drops elements is a product with fewer columns. What is done to elements on the way (a bias, a rounding) is done
//! to the parts. Parts that are joined again, as the halves that a
//! rotary embedding turns, stay one product.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llmc_ir::{Bindings, Const, Graph, Module, Op, ValueId, eval_op};
use llmc_tensor::Tensor;
use rayon::prelude::*;

use crate::error::Cause;
use crate::fold;

/// A value whose elements are columns of a product.
#[derive(Clone)]
struct Part {
    /// The product with a constant matrix.
    product: ValueId,
    /// What is done to each of its elements (a bias is added, it is rounded), in order.
    steps: Vec<ValueId>,
    /// Dims of the value; those that are symbols (sequences, tokens) are 1.
    dims: Vec<usize>,
    /// The axes of the symbols, in the order of the product's.
    outer: Vec<usize>,
    /// The column that each element of a token is, in row-major order.
    columns: Vec<usize>,
    /// The op that made it dropped columns.
    selects: bool,
}

/// Constants that were cut, by name, axis and columns: entries share them.
type Memo = BTreeMap<(String, usize, Vec<usize>), Arc<Const>>;

/// Takes packed products of all entries apart. Returns how many parts there are.
///
/// # Errors
/// Only on a bug: if a part does not have the type of what it replaces. With the name of the entry.
pub fn unpack(module: &mut Module) -> Result<usize, (String, Cause)> {
    let mut memo = Memo::new();
    let mut parts = 0;
    for graph in &mut module.entries {
        let found = unpack_graph(graph, &mut memo);
        parts += found.map_err(|cause| (graph.name.clone(), cause))?;
    }
    Ok(parts)
}

fn unpack_graph(graph: &mut Graph, memo: &mut Memo) -> Result<usize, Cause> {
    let mut replaced = 0;
    let parts = follow(graph);
    let rejoined = rejoined(graph, &parts);
    let cut_up = cut_up(graph, &parts);
    for (id, part) in &parts {
        let product = part.product;
        if part.selects && !rejoined.contains(&product) && cut_up.contains(&product) {
            let new = build(graph, *id, part, memo)?;
            graph.replace_all_uses(*id, new);
            replaced += 1;
        }
    }
    if replaced > 0 {
        graph.remove_dead();
        graph.remove_unused_tables();
    }
    Ok(replaced)
}

/// Every value whose elements are columns of a product, down to where columns are dropped.
fn follow(graph: &Graph) -> BTreeMap<ValueId, Part> {
    let mut parts: BTreeMap<ValueId, Part> = BTreeMap::new();
    for id in graph.topological() {
        let node = graph.node(id);
        let from = |value: &ValueId| parts.get(value).filter(|part| !part.selects);
        let part = match (&node.op, &node.operands[..]) {
            (op, &[_, weight, ..]) if columns_axis(op).is_some() => product(graph, id, weight),
            (Op::Binary(_) | Op::RoundTrip(_) | Op::Cast(_), operands) => {
                let mut found = operands.iter().filter_map(from);
                match (found.next(), found.next()) {
                    (Some(part), None) => with_step(graph, id, part),
                    _ => None,
                }
            }
            (op, [x, rest @ ..]) => from(x).and_then(|part| moved(graph, id, op, part, rest)),
            _ => None,
        };
        if let Some(part) = part {
            parts.insert(id, part);
        }
    }
    parts
}

/// The dims of a value with symbols as 1, and the axes of the symbols.
fn row_dims(graph: &Graph, id: ValueId) -> Option<(Vec<usize>, Vec<usize>)> {
    let mut outer = Vec::new();
    let mut dims = Vec::new();
    for (axis, dim) in graph.ty(id).shape.iter().enumerate() {
        match dim.as_const() {
            Some(n) => dims.push(usize::try_from(n).ok()?),
            None => {
                outer.push(axis);
                dims.push(1);
            }
        }
    }
    Some((dims, outer))
}

/// How many elements of a row lie outside of each symbol, one after the other.
fn outside(dims: &[usize], outer: &[usize]) -> Vec<usize> {
    let of = |axis: &usize| dims[..*axis].iter().product();
    outer.iter().map(of).collect()
}

/// The axis of the weight's columns, if the op is a product.
fn columns_axis(op: &Op) -> Option<usize> {
    match op {
        Op::MatMul => Some(1),
        Op::MatMulDequantized { transposed, .. } => Some(usize::from(!transposed)),
        _ => None,
    }
}

/// A product with a constant matrix, of rows without dims of their own.
fn product(graph: &Graph, id: ValueId, weight: ValueId) -> Option<Part> {
    let shape = graph.as_const(weight)?.shape();
    let n = *shape.get(columns_axis(graph.op(id))?)?;
    if shape.len() != 2 {
        return None;
    }
    let (dims, outer) = row_dims(graph, id)?;
    let only_columns = dims.iter().product::<usize>() == n;
    only_columns.then(|| Part {
        product: id,
        steps: Vec::new(),
        dims,
        outer,
        columns: (0..n).collect(),
        selects: false,
    })
}

/// A part after an op on its elements: by constant numbers, or by a constant row while the columns are in the product's order.
fn with_step(graph: &Graph, id: ValueId, part: &Part) -> Option<Part> {
    let n = part.columns.len();
    let untouched = part.dims.last() == Some(&n) && part.columns.iter().copied().eq(0..n);
    let mut constants = graph.operands(id).iter().filter_map(|v| graph.as_const(*v));
    let by_columns =
        constants.all(|c| c.shape().iter().all(|d| *d == 1) || untouched && c.shape() == [n]);
    let others = graph.operands(id).iter();
    let others = others.filter(|v| graph.as_const(**v).is_none()).count();
    let (dims, outer) = row_dims(graph, id)?;
    let kept = dims == part.dims && outer == part.outer;
    (by_columns && others == 1 && kept).then(|| Part {
        steps: [&part.steps[..], &[id]].concat(),
        ..part.clone()
    })
}

/// What an op that moves or drops elements of rows makes of a part.
fn moved(graph: &Graph, id: ValueId, op: &Op, part: &Part, rest: &[ValueId]) -> Option<Part> {
    let (dims, outer) = row_dims(graph, id)?;
    let columns = match op {
        Op::Reshape { .. } => {
            let (new, old) = (outside(&dims, &outer), outside(&part.dims, &part.outer));
            // Symbols may merge and split where they stand first.
            let first = new.iter().chain(&old).all(|n| *n == 1);
            (first || new == old).then(|| part.columns.clone())?
        }
        Op::Transpose { perm } => {
            let kept = perm.iter().filter(|axis| part.outer.contains(axis));
            kept.is_sorted().then(|| run(op, part, &[]))??
        }
        Op::Slice { axis, .. } if !part.outer.contains(axis) => run(op, part, &[])?,
        Op::Gather { axis } if !part.outer.contains(axis) => {
            run(op, part, &[graph.as_const(*rest.first()?)?.tensor()?])?
        }
        Op::GatherNd { batch_dims: 0 } => {
            let indices = graph.as_const(*rest.first()?)?;
            let depth = *indices.shape().last()?;
            let whole = part.outer.first().is_none_or(|outer| depth <= *outer);
            run(op, part, &[indices.tensor().filter(|_| whole)?])?
        }
        _ => return None,
    };
    Some(Part {
        product: part.product,
        steps: part.steps.clone(),
        selects: columns.len() < part.columns.len(),
        dims,
        outer,
        columns,
    })
}

/// The columns after an op, by running it on them.
fn run(op: &Op, part: &Part, rest: &[&Tensor]) -> Option<Vec<usize>> {
    let columns = part.columns.iter().map(|c| *c as i64).collect();
    let columns = Tensor::from_vec::<i64>(part.dims.clone(), columns).ok()?;
    let operands = [&[&columns], rest].concat();
    let moved = eval_op(op, &operands, &Bindings::new()).ok()?;
    let moved = moved.to_f64_vec();
    Some(moved.into_iter().map(|c| c as usize).collect())
}

/// Values of which all uses end where columns are dropped.
fn cut_up(graph: &Graph, parts: &BTreeMap<ValueId, Part>) -> BTreeSet<ValueId> {
    let mut found = BTreeSet::new();
    for id in graph.topological().into_iter().rev() {
        let ends = |user: &ValueId| {
            let part = parts.get(user);
            part.is_some_and(|part| part.selects || found.contains(user))
        };
        if !graph.is_output(id) && graph.users(id).iter().all(ends) {
            found.insert(id);
        }
    }
    found
}

/// Products of which several parts are joined, after elementwise ops, rotations and moves at most.
fn rejoined(graph: &Graph, parts: &BTreeMap<ValueId, Part>) -> BTreeSet<ValueId> {
    let mut found = BTreeSet::new();
    let mut within: BTreeMap<ValueId, BTreeSet<ValueId>> = BTreeMap::new();
    for id in graph.topological() {
        if parts.get(&id).is_some_and(|part| part.selects) {
            within.insert(id, BTreeSet::from([id]));
            continue;
        }
        let op = graph.op(id);
        if !matches!(
            op,
            Op::Unary(_)
                | Op::Binary(_)
                | Op::Slice { .. }
                | Op::Reshape { .. }
                | Op::Transpose { .. }
                | Op::Rope { .. }
                | Op::Concat { .. }
        ) {
            continue;
        }
        let operands = graph.operands(id).iter();
        let joined: BTreeSet<ValueId> = operands
            .filter_map(|v| within.get(v))
            .flatten()
            .copied()
            .collect();
        if matches!(op, Op::Concat { .. }) {
            let mut seen = BTreeSet::new();
            let products = joined.iter().filter_map(|part| parts.get(part));
            found.extend(products.map(|p| p.product).filter(|p| !seen.insert(*p)));
        }
        within.insert(id, joined);
    }
    found
}

/// The product with the columns of a part, in its shape.
fn build(graph: &mut Graph, id: ValueId, part: &Part, memo: &mut Memo) -> Result<ValueId, Cause> {
    let origin = graph.origin(id).to_vec();
    let product = graph.node(part.product).clone();
    let (Some((x, weight)), Some(axis)) =
        (product.operands.split_first(), columns_axis(&product.op))
    else {
        return Ok(id);
    };
    // The matrix, or its codes, scales and zero points.
    let mut operands = vec![*x];
    for value in weight {
        operands.push(cut(graph, *value, axis, &part.columns, memo)?);
    }
    let mut value = graph.add_node(product.op, &operands, product.origin)?;
    for step in &part.steps {
        let step = graph.node(*step).clone();
        let mut operands = Vec::new();
        for operand in &step.operands {
            operands.push(match graph.as_const(*operand) {
                Some(_) => cut(graph, *operand, 0, &part.columns, memo)?,
                None => value,
            });
        }
        value = graph.add_node(step.op, &operands, step.origin)?;
    }
    // Symbols (and dims of 1) first, then to their place.
    let shape = graph.ty(id).shape.clone();
    let inner = (0..shape.len()).filter(|axis| part.dims[*axis] != 1);
    let outer = (0..shape.len()).filter(|axis| part.dims[*axis] == 1);
    let order: Vec<usize> = outer.chain(inner).collect();
    let ordered = order.iter().map(|axis| shape[*axis].clone()).collect();
    value = graph.add_node(Op::Reshape { shape: ordered }, &[value], origin.clone())?;
    let back = |axis| order.iter().position(|from| *from == axis).unwrap_or(axis);
    let perm: Vec<usize> = (0..shape.len()).map(back).collect();
    if !perm.is_sorted() {
        value = graph.add_node(Op::Transpose { perm }, &[value], origin)?;
    }
    Ok(value)
}

/// Columns of a constant, which lie along `axis`; all of it if it has the same for all columns.
fn cut(
    graph: &mut Graph,
    value: ValueId,
    axis: usize,
    columns: &[usize],
    memo: &mut Memo,
) -> Result<ValueId, Cause> {
    let Some(constant) = graph.as_const(value).cloned() else {
        return Ok(value);
    };
    if constant.shape().get(axis).is_none_or(|n| *n == 1) {
        return Ok(value);
    }
    let key = (constant.name().to_string(), axis, columns.to_vec());
    let cut = match memo.get(&key) {
        Some(found) => found.clone(),
        None => {
            let each = constant.each_turn().par_iter();
            let each: Result<Vec<_>, Cause> = each.map(|c| columns_of(c, axis, columns)).collect();
            let new = match Const::stack(each?) {
                Some(stack) => Arc::new(stack),
                None => columns_of(&constant, axis, columns)?,
            };
            memo.insert(key, new.clone());
            new
        }
    };
    let id = graph.add_const(cut);
    Ok(graph.const_node(id)?)
}

/// As [`cut`], of one constant.
fn columns_of(constant: &Const, axis: usize, columns: &[usize]) -> Result<Arc<Const>, Cause> {
    let Some(tensor) = constant.tensor() else {
        let problem = format!("the bytes of `{}` are not at hand", constant.name());
        return Err(Cause::Unsupported(vec![problem]));
    };
    let bytes: Vec<u8> = columns.iter().flat_map(|c| c.to_le_bytes()).collect();
    let name = match (columns.first(), columns.last()) {
        (Some(first), Some(last)) if columns.iter().copied().eq(*first..=*last) => {
            format!("{}[{first}..{}]", constant.name(), last + 1)
        }
        _ => format!(
            "{}[#{:016x}]",
            constant.name(),
            llmc_ir::types::digest(&bytes)
        ),
    };
    let indices = columns.iter().map(|c| *c as i64).collect();
    let indices = Tensor::from_vec::<i64>(vec![columns.len()], indices);
    let indices = indices.map_err(|error| Cause::Unsupported(vec![error.to_string()]))?;
    let op = Op::Gather { axis };
    let part = eval_op(&op, &[tensor, &indices], &Bindings::new())?;
    Ok(Arc::new(Const::new(name, fold::spilled(&op, part)?)))
}
