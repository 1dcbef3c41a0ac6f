//! Matrix products and what else computes over axes.

use llmc_ir::{BinaryOp, Dim, Op};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::Made;

/// `MatMul`.
pub fn matmul(cx: &mut Lower, call: &Call) -> Out {
    Ok(vec![
        cx.apply(Op::MatMul, &[call.input(0)?, call.input(1)?])?,
    ])
}

/// `Gemm`: alpha * A' B' + beta * C.
pub fn gemm(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let turned =
        |cx: &mut Lower, operand: &Val, flag: &str| match attributes.flag_or(flag, false)? {
            true => cx.apply(Op::Transpose { perm: vec![1, 0] }, &[operand]),
            false => Ok(operand.clone()),
        };
    let a = turned(cx, call.input(0)?, "transA")?;
    let b = turned(cx, call.input(1)?, "transB")?;
    let product = cx.apply(Op::MatMul, &[&a, &b])?;
    let product = scaled(cx, &product, attributes.float_or("alpha", 1.0)?)?;
    match call.optional(2) {
        None => Ok(vec![product]),
        Some(c) => {
            let c = scaled(cx, c, attributes.float_or("beta", 1.0)?)?;
            Ok(vec![cx.apply(Op::Binary(BinaryOp::Add), &[&product, &c])?])
        }
    }
}

/// A value times a number; nothing if that is 1.
pub fn scaled(cx: &mut Lower, value: &Val, factor: f32) -> Result<Val, OpError> {
    if factor == 1.0 {
        return Ok(value.clone());
    }
    let factor = cx.scalar_of(value.dtype()?, f64::from(factor))?;
    cx.apply(Op::Binary(BinaryOp::Mul), &[value, &factor])
}

/// `GatherND`.
pub fn gather_nd(cx: &mut Lower, call: &Call) -> Out {
    let batch_dims = call.attributes().int_or("batch_dims", 0)?;
    let batch_dims =
        usize::try_from(batch_dims).map_err(|_| OpError::input("batch_dims is negative"))?;
    Ok(vec![cx.apply(
        Op::GatherNd { batch_dims },
        &[call.input(0)?, call.input(1)?],
    )?])
}

/// `Trilu`.
pub fn trilu(cx: &mut Lower, call: &Call) -> Out {
    let upper = call.attributes().flag_or("upper", true)?;
    let k = match call.optional(1) {
        None => Dim::zero(),
        Some(k) => cx.ints(k)?.first().cloned().unwrap_or_default(),
    };
    Ok(vec![cx.apply(Op::Trilu { upper, k }, &[call.input(0)?])?])
}

/// `Det` of small matrices, by expansion along the first row.
pub fn det(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let shape = cx.extents(x)?;
    let n = match shape[..] {
        [.., rows, columns] if rows == columns && rows > 0 => rows,
        _ => return Err(OpError::input("the operand holds no square matrices")),
    };
    if n > 5 {
        return Err(OpError::unsupported(
            format!("determinants of {n} rows (at most 5)"),
            "",
        ));
    }
    let columns: Vec<usize> = (0..n).collect();
    let value = minor(cx, x, 0, &columns)?;
    let lead: Vec<Dim> = shape[..shape.len() - 2]
        .iter()
        .map(|d| Dim::from(*d))
        .collect();
    Ok(vec![cx.reshape(&value, lead)?])
}

/// The determinant of the rows from `row` on, in these columns.
fn minor(cx: &mut Lower, x: &Val, row: usize, columns: &[usize]) -> Made {
    let rank = cx.rank(x)?;
    let line = cx.part(x, rank - 2, row, row + 1)?;
    let mut sum: Option<Val> = None;
    for (i, &column) in columns.iter().enumerate() {
        let mut term = cx.part(&line, rank - 1, column, column + 1)?;
        let rest: Vec<usize> = columns.iter().copied().filter(|c| *c != column).collect();
        if !rest.is_empty() {
            let below = minor(cx, x, row + 1, &rest)?;
            term = cx.mul(&term, &below)?;
        }
        sum = Some(match sum {
            None => term,
            Some(sum) if i % 2 == 0 => cx.sum(&sum, &term)?,
            Some(sum) => cx.sub(&sum, &term)?,
        });
    }
    sum.ok_or_else(|| OpError::bug("a determinant of nothing"))
}
