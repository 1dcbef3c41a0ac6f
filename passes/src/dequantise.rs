//! Dequantisation goes into the product: `matmul x (dequantize codes)` becomes `matmul_dequantized x codes`, which the matrix unit
//! does on the way to its accumulators. A factor of all columns or of each goes into the scales.

use llmc_ir::{BinaryOp, Dim, Graph, Op, ValueId};
use llmc_tensor::DType;

use crate::error::Cause;

/// Groups of k that the matrix unit can scale are a multiple of this.
const GROUP: usize = 16;

/// Absorbs every dequantised weight of a graph. Returns how many.
///
/// # Errors
/// None for a graph that verifies.
pub fn absorb(graph: &mut Graph) -> Result<usize, Cause> {
    let mut absorbed = 0;
    for id in graph.topological() {
        let origin = graph.origin(id).to_vec();
        let made = match (graph.op(id), graph.operands(id)) {
            (Op::MatMul, &[x, w]) => product(graph, x, w),
            (Op::Binary(BinaryOp::Mul), &[a, b]) => match scaled(graph, a, b)? {
                Some(made) => Some(made),
                None => scaled(graph, b, a)?,
            },
            _ => None,
        };
        if let Some((op, operands)) = made {
            absorbed += usize::from(*graph.op(id) == Op::MatMul);
            let new = graph.add_node(op, &operands, origin)?;
            graph.replace_all_uses(id, new);
        }
    }
    graph.remove_dead();
    Ok(absorbed)
}

/// Writes every product with codes out as a dequantisation and a product, for entries whose products take no codes.
///
/// # Errors
/// None for a graph that verifies.
pub fn write_out(graph: &mut Graph) -> Result<(), Cause> {
    for id in graph.topological() {
        let (Op::MatMulDequantized { block, transposed }, &[x, codes, scale, zero]) =
            (graph.op(id), graph.operands(id))
        else {
            continue;
        };
        let (axis, block, transposed) = (usize::from(*transposed), *block, *transposed);
        let (origin, dtype) = (graph.origin(id).to_vec(), graph.ty(x).dtype);
        let mut scale = scale;
        if graph.ty(scale).dtype != dtype {
            scale = graph.add_node(Op::Cast(dtype), &[scale], origin.clone())?;
        }
        let op = Op::Dequantize { axis, block };
        let mut weight = graph.add_node(op, &[codes, scale, zero], origin.clone())?;
        if transposed {
            let perm = vec![1, 0];
            weight = graph.add_node(Op::Transpose { perm }, &[weight], origin)?;
        }
        graph.set_node(id, Op::MatMul, &[x, weight])?;
    }
    graph.remove_dead();
    Ok(())
}

type Made = (Op, Vec<ValueId>);

/// The product of `x` with a dequantised constant.
fn product(graph: &Graph, x: ValueId, w: ValueId) -> Option<Made> {
    let (dequantised, transposed) = match (graph.op(w), graph.operands(w)) {
        (Op::Transpose { perm }, &[inner]) if perm[..] == [1, 0] => (inner, true),
        _ => (w, false),
    };
    let (Op::Dequantize { axis, block }, &[codes, scale, zero]) =
        (graph.op(dequantised), graph.operands(dequantised))
    else {
        return None;
    };
    let constant = [codes, scale, zero]
        .iter()
        .all(|v| graph.depends_on_constants(*v));
    if !constant || graph.ty(codes).rank() != 2 || !graph.ty(x).dtype.is_float() {
        return None;
    }
    let narrow = |v: ValueId| graph.ty(v).dtype.bits() <= 8;
    let along = usize::from(transposed);
    let k = usize::try_from(graph.ty(codes).shape[along].as_const()?).ok()?;
    let one_group = [scale, zero]
        .iter()
        .all(|v| graph.ty(*v).shape[along].is(1));
    let block = match (one_group, *axis == along) {
        (true, _) if *block == 1 || *axis == along => k,
        (false, true) => *block,
        _ => return None,
    };
    let op = Op::MatMulDequantized { block, transposed };
    let fits = block % GROUP == 0 || block >= k;
    (narrow(codes) && narrow(zero) && fits).then_some((op, vec![x, codes, scale, zero]))
}

/// A product with codes times `factor`, which is one number or one per column.
fn scaled(graph: &mut Graph, value: ValueId, factor: ValueId) -> Result<Option<Made>, Cause> {
    let (Op::MatMulDequantized { transposed, .. }, &[x, codes, scale, zero]) =
        (graph.op(value), graph.operands(value))
    else {
        return Ok(None);
    };
    let (op, transposed) = (graph.op(value).clone(), *transposed);
    let by = graph.ty(factor).clone();
    if !graph.depends_on_constants(factor)
        || by.dtype != DType::F32
        || by.rank() > 1
        || graph.use_count(value) != 1
    {
        return Ok(None);
    }
    let mut shape = vec![Dim::one(), Dim::one()];
    shape[usize::from(!transposed)] = by.elements();
    let mut add = |op: Op, operands: &[ValueId]| graph.add_node(op, operands, Vec::new());
    let factor = add(Op::Reshape { shape }, &[factor])?;
    let scale = add(Op::Cast(DType::F32), &[scale])?;
    let scale = add(Op::Binary(BinaryOp::Mul), &[scale, factor])?;
    Ok(Some((op, vec![x, codes, scale, zero])))
}
