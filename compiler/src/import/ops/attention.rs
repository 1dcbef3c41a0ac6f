//! The standard operators `Attention` and `RotaryEmbedding` (opset 23). Over caches and with tables of positions they are ops of
//! the graph (see [`super::cache`] and [`super::rotary`]); otherwise they are written out in basic ops, in which equality saturation recognises
//! attention and rotation, whoever wrote them.

use llmc_ir::{BinaryOp, Dim, Op, UnaryOp};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::cache::cached_attention;
use super::compute::scaled;
use super::{Out, masked, rotary};

/// Attributes of `Attention`.
pub const ATTRIBUTES: &[&str] = &[
    "is_causal",
    "kv_num_heads",
    "left_window_size",
    "q_num_heads",
    "qk_matmul_output_mode",
    "right_window_size",
    "scale",
    "softcap",
    "softmax_precision",
];

/// Attributes of `RotaryEmbedding`.
pub const ROTARY_ATTRIBUTES: &[&str] = &["interleaved", "num_heads", "rotary_embedding_dim"];

/// `[b, s, heads * d]` to `[b, heads, s, d]`; four axes stay.
///
/// # Errors
/// If the heads do not divide the columns.
pub fn heads_first(cx: &mut Lower, x: &Val, heads: Option<i64>) -> Result<Val, OpError> {
    let shape = cx.ty(x)?.shape.clone();
    match (&shape[..], heads) {
        ([_, _, _, _], _) => Ok(x.clone()),
        ([b, s, hidden], Some(heads)) if heads > 0 => {
            let width = hidden.exact_div(&Dim::from(heads));
            let width = width
                .ok_or_else(|| OpError::input(format!("{heads} heads do not divide {hidden}")))?;
            let split = cx.reshape(x, vec![b.clone(), s.clone(), Dim::from(heads), width])?;
            cx.apply(
                Op::Transpose {
                    perm: vec![0, 2, 1, 3],
                },
                &[&split],
            )
        }
        _ => Err(OpError::input(format!(
            "{} axes without a number of heads",
            shape.len()
        ))),
    }
}

/// `[b, heads, s, d]` to `[b, s, heads * d]`.
///
/// # Errors
/// If there are not four axes.
pub fn heads_last(cx: &mut Lower, x: &Val) -> Result<Val, OpError> {
    let swap = Op::Transpose {
        perm: vec![0, 2, 1, 3],
    };
    let swapped = cx.apply(swap, &[x])?;
    let [b, s, heads, d] = &cx.ty(&swapped)?.shape[..] else {
        return Err(OpError::input("heads without four axes"));
    };
    let shape = vec![b.clone(), s.clone(), heads * d];
    cx.reshape(&swapped, shape)
}

/// `Attention`.
pub fn attention(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    if let Some(results) = masked::attention(cx, call)? {
        return Ok(results);
    }
    if call.wants(3) {
        return Err(OpError::unsupported(
            "the fourth result (scores) needs fixed extents",
            "bind the dims with --dim",
        ));
    }
    if let Some(results) = cached_attention(cx, call)? {
        return Ok(results);
    }
    if call.optional(6).is_some() {
        return Err(OpError::unsupported(
            "nonpad_kv_seqlen needs fixed extents",
            "export with past and present caches",
        ));
    }
    let bounded = |name| Ok::<_, OpError>(attributes.int_or(name, -1)? >= 0);
    if bounded("left_window_size")? || bounded("right_window_size")? {
        return Err(OpError::unsupported(
            "windows need fixed extents",
            "bind the dims with --dim",
        ));
    }
    let flat = cx.ty(call.input(0)?)?.rank() == 3;
    let q = heads_first(cx, call.input(0)?, attributes.int("q_num_heads")?)?;
    let mut k = heads_first(cx, call.input(1)?, attributes.int("kv_num_heads")?)?;
    let mut v = heads_first(cx, call.input(2)?, attributes.int("kv_num_heads")?)?;
    if let (Some(past_k), Some(past_v)) = (call.optional(4), call.optional(5)) {
        k = cx.apply(Op::Concat { axis: 2 }, &[past_k, &k])?;
        v = cx.apply(Op::Concat { axis: 2 }, &[past_v, &v])?;
    }
    let present = [k.clone(), v.clone()];
    let how = Written {
        scale: attributes.float("scale")?,
        softcap: attributes.float_or("softcap", 0.0)?,
        causal: attributes.flag_or("is_causal", false)?,
        mask: call.optional(3),
    };
    let out = written_out(cx, [&q, &k, &v], &how)?;
    let out = match flat {
        false => out,
        true => heads_last(cx, &out)?,
    };
    let [k, v] = present;
    Ok(vec![out, k, v])
}

/// What attention that is written out is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Written<'v> {
    /// Factor of the scores; by default the inverse root of the head size.
    pub scale: Option<f32>,
    /// Scores are bent to at most this; 0 for not at all.
    pub softcap: f32,
    /// Later positions are hidden.
    pub causal: bool,
    /// Added to the scores, or true where they count.
    pub mask: Option<&'v Val>,
}

/// Attention in basic ops, of queries, keys and values `[b, heads, t, d]`; in this form, too.
///
/// # Errors
/// Operands that do not fit each other.
pub fn written_out(cx: &mut Lower, [q, k, v]: [&Val; 3], how: &Written) -> Result<Val, OpError> {
    let (heads, kv_heads) = (cx.ty(q)?.shape[1].clone(), cx.ty(k)?.shape[1].clone());
    let groups = heads
        .exact_div(&kv_heads)
        .and_then(|g| g.as_const())
        .filter(|g| *g > 0);
    let groups = groups
        .ok_or_else(|| OpError::input(format!("{heads} query heads for {kv_heads} key heads")))?;
    let k = repeated(cx, k, groups)?;
    let v = repeated(cx, v, groups)?;
    let width = cx.ty(q)?.shape[3].as_const().filter(|n| *n > 0);
    let width = width.ok_or_else(|| OpError::unsupported("a symbolic head size", ""))?;
    let scale = how.scale.unwrap_or((1.0 / (width as f64).sqrt()) as f32);
    let turned = cx.apply(
        Op::Transpose {
            perm: vec![0, 1, 3, 2],
        },
        &[&k],
    )?;
    let scores = cx.apply(Op::MatMul, &[q, &turned])?;
    let mut scores = scaled(cx, &scores, scale)?;
    let cap = how.softcap;
    if cap > 0.0 {
        let inner = scaled(cx, &scores, 1.0 / cap)?;
        let bent = cx.apply(Op::Unary(UnaryOp::Tanh), &[&inner])?;
        scores = scaled(cx, &bent, cap)?;
    }
    if how.causal {
        scores = causal(cx, &scores)?;
    }
    if let Some(mask) = how.mask {
        scores = match mask.dtype()? {
            DType::Bool => {
                let hidden = cx.scalar_of(scores.dtype()?, f64::NEG_INFINITY)?;
                cx.apply(Op::Where, &[mask, &scores, &hidden])?
            }
            _ => cx.apply(Op::Binary(BinaryOp::Add), &[&scores, mask])?,
        };
    }
    let axis = cx.ty(&scores)?.rank() - 1;
    let weights = cx.apply(Op::Softmax { axis }, &[&scores])?;
    cx.apply(Op::MatMul, &[&weights, &v])
}

/// Each key head once per query head of its group.
fn repeated(cx: &mut Lower, x: &Val, groups: i64) -> Result<Val, OpError> {
    if groups == 1 {
        return Ok(x.clone());
    }
    let shape = cx.ty(x)?.shape.clone();
    let [b, h, t, d] = &shape[..] else {
        return Err(OpError::bug("heads without four axes"));
    };
    let (b, h, t, d) = (b.clone(), h.clone(), t.clone(), d.clone());
    let opened = cx.reshape(
        x,
        vec![b.clone(), h.clone(), Dim::one(), t.clone(), d.clone()],
    )?;
    let wide = vec![
        b.clone(),
        h.clone(),
        Dim::from(groups),
        t.clone(),
        d.clone(),
    ];
    let wide = cx.apply(Op::Expand { shape: wide }, &[&opened])?;
    cx.reshape(&wide, vec![b, &h * &Dim::from(groups), t, d])
}

/// Hides later positions: row `i` of `s` sees columns up to `i + t - s`.
fn causal(cx: &mut Lower, scores: &Val) -> Result<Val, OpError> {
    let shape = cx.ty(scores)?.shape.clone();
    let (rows, cols) = (shape[2].clone(), shape[3].clone());
    let mask = cx.causal_mask(rows, cols)?;
    cx.apply(Op::Binary(BinaryOp::Add), &[scores, &mask])
}

/// `RotaryEmbedding`: halves (or neighbours) of the first elements of each head are rotated.
pub fn rotary_embedding(cx: &mut Lower, call: &Call) -> Out {
    if let Some(results) = rotary::by_position(cx, call)? {
        return Ok(results);
    }
    let attributes = call.attributes();
    let x = call.input(0)?;
    let flat = cx.ty(x)?.rank() == 3;
    let heads = attributes.int("num_heads")?.filter(|n| *n > 0);
    let x4 = heads_first(cx, x, heads)?;
    let width = cx.ty(&x4)?.shape[3].as_const().unwrap_or(0);
    let rotary = match attributes.int_or("rotary_embedding_dim", 0)? {
        0 => width,
        n => n,
    };
    if rotary <= 0 || rotary > width || rotary % 2 != 0 {
        return Err(OpError::input(format!(
            "{rotary} of {width} elements cannot be rotated in pairs"
        )));
    }
    let part = |cx: &mut Lower, from: i64, to: i64, step: i64| {
        cx.apply(
            Op::Slice {
                axis: 3,
                start: Dim::from(from),
                end: Dim::from(to),
                step,
            },
            &[&x4],
        )
    };
    let interleaved = attributes.flag_or("interleaved", false)?;
    let (low, high) = match interleaved {
        true => (part(cx, 0, rotary, 2)?, part(cx, 1, rotary, 2)?),
        false => (
            part(cx, 0, rotary / 2, 1)?,
            part(cx, rotary / 2, rotary, 1)?,
        ),
    };
    let cos = rotation(cx, call.input(1)?, call.optional(3))?;
    let sin = rotation(cx, call.input(2)?, call.optional(3))?;
    let mul = |cx: &mut Lower, a: &Val, b: &Val| cx.apply(Op::Binary(BinaryOp::Mul), &[a, b]);
    let (a, b) = (mul(cx, &low, &cos)?, mul(cx, &high, &sin)?);
    let first = cx.apply(Op::Binary(BinaryOp::Sub), &[&a, &b])?;
    let (a, b) = (mul(cx, &high, &cos)?, mul(cx, &low, &sin)?);
    let second = cx.apply(Op::Binary(BinaryOp::Add), &[&a, &b])?;
    let mut parts = vec![first, second];
    if interleaved {
        // Neighbours again: a pair is an axis of its own.
        let mut shape = cx.ty(&parts[0])?.shape.clone();
        let pairs = [cx.open(&parts[0], 4)?, cx.open(&parts[1], 4)?];
        let joined = cx.apply(Op::Concat { axis: 4 }, &[&pairs[0], &pairs[1]])?;
        shape[3] = Dim::from(rotary);
        parts = vec![cx.reshape(&joined, shape)?];
    }
    if rotary < width {
        parts.push(part(cx, rotary, width, 1)?);
    }
    let parts: Vec<&Val> = parts.iter().collect();
    let mut out = cx.apply(Op::Concat { axis: 3 }, &parts)?;
    if flat {
        out = cx.apply(
            Op::Transpose {
                perm: vec![0, 2, 1, 3],
            },
            &[&out],
        )?;
        let shape = cx.ty(x)?.shape.clone();
        out = cx.reshape(&out, shape)?;
    }
    Ok(vec![out])
}

/// Cosines or sines as `[b, 1, s, d/2]`: rows of a table `[max, d/2]` by position, or given per token `[b, s, d/2]`.
fn rotation(cx: &mut Lower, table: &Val, positions: Option<&Val>) -> Result<Val, OpError> {
    let rows = match positions {
        Some(positions) => cx.apply(Op::Gather { axis: 0 }, &[table, positions])?,
        None => table.clone(),
    };
    let mut shape = cx.ty(&rows)?.shape.clone();
    if shape.len() != 3 {
        return Err(OpError::input(format!(
            "the rotation table has {} axes",
            shape.len()
        )));
    }
    shape.insert(1, Dim::one());
    cx.reshape(&rows, shape)
}
