//! Rotary embedding with given tables, as one op.

use llmc_ir::{Dim, Op};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::attention::{heads_first, heads_last};
use super::cache::count;

/// Attributes of ONNX Runtime's `RotaryEmbedding`.
pub const CONTRIB: &[&str] = &[
    "interleaved",
    "is_packed_batching",
    "num_heads",
    "rotary_embedding_dim",
    "scale",
];

/// Tables and their use.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Cosines `[seq, c]`.
    pub cos: Val,
    /// Sines `[seq, c]`.
    pub sin: Val,
    /// Pairs are neighbours.
    pub interleaved: bool,
    /// Elements of a head that are rotated; by default twice the columns of the tables.
    pub rotary: Option<usize>,
}

/// The rows of a table `[max, c]` for the new tokens, `[seq, c]`; `positions` are absolute, by default `past..past + seq`.
///
/// # Errors
/// If the positions are not those of the tokens.
pub fn rows(cx: &mut Lower, table: &Val, positions: Option<&Val>) -> Result<Val, OpError> {
    match positions {
        None => cx.position_rows_of(table),
        Some(positions) => {
            let rows = cx.apply(Op::Gather { axis: 0 }, &[table, positions])?;
            flat_rows(cx, &rows)
        }
    }
}

/// One row per token without leading ones, as a node of the graph.
fn flat_rows(cx: &mut Lower, rows: &Val) -> Result<Val, OpError> {
    let rows = cx.known_rows(rows)?;
    let shape = cx.ty(&rows)?.shape.clone();
    match &shape[..] {
        [lead @ .., s, c] if lead.iter().all(|d| d.is(1)) => {
            let (s, c) = (s.clone(), c.clone());
            cx.reshape(&rows, vec![s, c])
        }
        _ => Err(OpError::unsupported(
            "a table of rotations that differs between sequences",
            "",
        )),
    }
}

/// Rotates `x` `[b, s, heads * d]`.
///
/// # Errors
/// Tables that do not fit.
pub fn rotate(cx: &mut Lower, x: &Val, heads: usize, by: &Rotation) -> Result<Val, OpError> {
    let last = |cx: &Lower, x: &Val| -> Result<usize, OpError> {
        let last = cx.ty(x)?.shape.last().and_then(Dim::as_const);
        last.and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| OpError::unsupported("a symbolic number of columns", ""))
    };
    let (hidden, table) = (last(cx, x)?, last(cx, &by.cos)?);
    let op = Op::Rope {
        heads,
        head_dim: hidden / heads.max(1),
        rotary_dim: by.rotary.unwrap_or(2 * table),
        interleaved: by.interleaved,
    };
    cx.apply(op, &[x, &by.cos, &by.sin])
}

/// ONNX Runtime's `RotaryEmbedding`: its operands are in another order than the standard operator's.
pub fn contrib(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    if attributes.float_or("scale", 1.0)? != 1.0
        || attributes.flag_or("is_packed_batching", false)?
    {
        return Err(OpError::unsupported(
            "scale and is_packed_batching are not supported",
            "",
        ));
    }
    let cos = rows(cx, call.input(2)?, Some(call.input(1)?))?;
    let sin = rows(cx, call.input(3)?, Some(call.input(1)?))?;
    turned(cx, call, cos, sin)
}

/// The standard `RotaryEmbedding` where the tables depend on positions alone; `None` if they do not.
///
/// # Errors
/// Operands that contradict each other.
pub fn by_position(cx: &mut Lower, call: &Call) -> Result<Option<Vec<Val>>, OpError> {
    let known = [call.input(1)?, call.input(2)?]
        .into_iter()
        .chain(call.optional(3))
        .all(|v| !v.is_data());
    if !known || !call.input(0)?.is_data() {
        return Ok(None);
    }
    let table = |cx: &mut Lower, i: usize| match call.optional(3) {
        Some(positions) => rows(cx, call.input(i)?, Some(positions)),
        None => flat_rows(cx, call.input(i)?),
    };
    let cos = table(cx, 1)?;
    let sin = table(cx, 2)?;
    turned(cx, call, cos, sin).map(Some)
}

/// Rotates the first operand of a call, three axes or four.
fn turned(cx: &mut Lower, call: &Call, cos: Val, sin: Val) -> Out {
    let attributes = call.attributes();
    let x = call.input(0)?;
    let shape = cx.ty(x)?.shape.clone();
    let columns = cx
        .ty(&cos)?
        .shape
        .last()
        .and_then(Dim::as_const)
        .unwrap_or(0);
    let rotary = match attributes.int_or("rotary_embedding_dim", 0)? {
        0 => None,
        n => Some(count(n, "rotary_embedding_dim")?),
    };
    let hidden = shape.last().and_then(Dim::as_const).unwrap_or(0);
    let heads = match (&shape[..], attributes.int_or("num_heads", 0)?) {
        ([_, heads, _, _], _) => heads.as_const().unwrap_or(0),
        (_, 0) if rotary.is_none() && columns > 0 => hidden / (2 * columns),
        (_, n) => n,
    };
    let heads = count(heads, "the number of heads")?;
    let by = Rotation {
        cos,
        sin,
        interleaved: attributes.flag_or("interleaved", false)?,
        rotary,
    };
    match shape.len() {
        3 => Ok(vec![rotate(cx, x, heads, &by)?]),
        4 => {
            let flat = heads_last(cx, x)?;
            let turned = rotate(cx, &flat, heads, &by)?;
            Ok(vec![heads_first(cx, &turned, Some(heads as i64))?])
        }
        n => Err(OpError::input(format!("{n} axes, expected three or four"))),
    }
}
