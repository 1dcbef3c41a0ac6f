//! Slices of the columns of a product with a constant become products with slices of the constant.
//!
//! ```text
//! slice {axis=2, start=0, end=192} (matmul x W)    =>    matmul x (slice {axis=1, start=0, end=192} W)
//! ```
//!
//! Exporters pack queries, keys and values (or gate and up) into one product and cut the result; others write a product for each.
//! This brings both to the second form. What adds a constant, scales by one or rounds on the way is cut along.

use llmc_ir::{Dim, Graph, Op, ValueId};

use crate::error::Cause;

/// Moves every such slice of a graph before its product. Returns how many there were.
///
/// # Errors
/// None for a graph that verifies.
pub fn split_products(graph: &mut Graph) -> Result<usize, Cause> {
    let mut moved = 0;
    for id in graph.topological() {
        let (
            Op::Slice {
                axis,
                start,
                end,
                step: 1,
            },
            &[x],
        ) = (graph.op(id), graph.operands(id))
        else {
            continue;
        };
        let last = axis + 1 == graph.ty(x).rank();
        if !last || start.as_const().is_none() || end.as_const().is_none() {
            continue;
        }
        let cut = Cut {
            start: start.clone(),
            end: end.clone(),
        };
        if ends_in_product(graph, x) {
            let sliced = cut.before(graph, x)?;
            graph.replace_all_uses(id, sliced);
            moved += 1;
        }
    }
    graph.remove_dead();
    Ok(moved)
}

/// True if `value` is a product with constants, or columnwise ops on one.
fn ends_in_product(graph: &Graph, value: ValueId) -> bool {
    match (graph.op(value), graph.operands(value)) {
        (Op::MatMul, &[_, w]) => graph.ty(w).rank() == 2 && graph.depends_on_constants(w),
        (Op::MatMulDequantized { .. }, [_, weight @ ..]) => {
            weight.iter().all(|v| graph.depends_on_constants(*v))
        }
        (Op::Binary(_), &[a, b]) => {
            let columns = |c: ValueId| graph.depends_on_constants(c) && graph.ty(c).rank() <= 1;
            columns(b) && ends_in_product(graph, a) || columns(a) && ends_in_product(graph, b)
        }
        (Op::RoundTrip(_), &[x, scale, zero]) => {
            let one = |v: ValueId| graph.ty(v).elements().is(1);
            one(scale) && one(zero) && ends_in_product(graph, x)
        }
        (Op::Cast(_), &[x]) => ends_in_product(graph, x),
        _ => false,
    }
}

/// Columns `start..end`.
struct Cut {
    start: Dim,
    end: Dim,
}

impl Cut {
    /// The columns of a value.
    fn of(&self, graph: &mut Graph, value: ValueId, axis: usize) -> Result<ValueId, Cause> {
        if graph.ty(value).shape.get(axis).is_none_or(|n| n.is(1)) {
            return Ok(value);
        }
        let slice = Op::Slice {
            axis,
            start: self.start.clone(),
            end: self.end.clone(),
            step: 1,
        };
        Ok(graph.add_node(slice, &[value], Vec::new())?)
    }

    /// The columns of what ends in a product, cut before it.
    fn before(&self, graph: &mut Graph, value: ValueId) -> Result<ValueId, Cause> {
        let (op, mut operands) = (graph.op(value).clone(), graph.operands(value).to_vec());
        let origin = graph.origin(value).to_vec();
        let axes: Vec<Option<usize>> = match &op {
            Op::MatMul => vec![None, Some(1)],
            Op::MatMulDequantized { transposed, .. } => {
                let n = Some(usize::from(!transposed));
                vec![None, n, n, n]
            }
            _ => vec![None; operands.len()],
        };
        for (operand, axis) in operands.iter_mut().zip(axes) {
            *operand = match axis {
                Some(axis) => self.of(graph, *operand, axis)?,
                None if matches!(op, Op::MatMul | Op::MatMulDequantized { .. }) => *operand,
                None if graph.depends_on_constants(*operand) => self.of(graph, *operand, 0)?,
                None => self.before(graph, *operand)?,
            };
        }
        Ok(graph.add_node(op, &operands, origin)?)
    }
}
