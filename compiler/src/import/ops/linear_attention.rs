//! `LinearAttention` and `CausalConvWithState`, with a state in and out.

use llmc_ir::{Dim, Op, UnaryOp};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::attention::heads_first;
use super::build::Made;
use super::recurrent::MAX_STEPS;

/// Attributes of `LinearAttention`.
pub const LINEAR: &[&str] = &[
    "chunk_size",
    "kv_num_heads",
    "q_num_heads",
    "scale",
    "update_rule",
];

/// Row t of [b, h, t, d] as [b, h, 1, d], or turned as [b, h, d, 1].
fn token(cx: &mut Lower, x: &Val, t: usize, turned: bool) -> Made {
    let row = cx.part(x, 2, t, t + 1)?;
    match turned {
        true => cx.permute(&row, vec![0, 1, 3, 2]),
        false => Ok(row),
    }
}

/// `LinearAttention`: a state [d_k, d_v] per head, to which each token adds the outer product of its key and value.
pub fn linear_attention(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let heads = attributes.int_required("q_num_heads")?;
    let kv_heads = attributes.int_required("kv_num_heads")?;
    let groups = heads
        .checked_rem(kv_heads)
        .filter(|r| *r == 0 && kv_heads > 0 && heads > 0);
    if groups.is_none() {
        return Err(OpError::input(format!("{heads} heads over {kv_heads}")));
    }
    let (gated, delta) = match attributes.text_or("update_rule", "gated_delta")? {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(OpError::input(format!("update_rule=`{other}` is unknown"))),
    };
    let own = call.input(0)?.dtype()?;
    let mut unpacked = |i: usize, heads: i64| {
        let x = cx.cast(call.input(i)?, DType::F32)?;
        heads_first(cx, &x, Some(heads))
    };
    let q = unpacked(0, heads)?;
    let (k, v) = (unpacked(1, kv_heads)?, unpacked(2, kv_heads)?);
    let decay = match gated {
        true => Some(unpacked(4, kv_heads)?),
        false => None,
    };
    let beta = match delta {
        true => {
            let width = cx.shape(call.input(5)?)?.last().and_then(Dim::as_const);
            let x = cx.cast(call.input(5)?, DType::F32)?;
            Some(heads_first(cx, &x, width)?)
        }
        false => None,
    };
    let [b, _, t, _] = cx.extents(&q)?[..] else {
        return Err(OpError::bug("heads without four axes"));
    };
    if t > MAX_STEPS || t == 0 {
        return Err(OpError::unsupported(
            format!("a recurrence over {t} tokens (1 to {MAX_STEPS})"),
            "",
        ));
    }
    let (d_k, d_v) = (cx.extents(&k)?[3], cx.extents(&v)?[3]);
    let state_shape = [b, kv_heads as usize, d_k, d_v].map(Dim::from).to_vec();
    let (mut state, state_type) = match call.optional(3) {
        Some(past) => (cx.cast(past, DType::F32)?, past.dtype()?),
        None => {
            let zero = cx.number(&q, 0.0)?;
            (cx.spread(&zero, state_shape)?, own)
        }
    };
    let scale = match attributes.float_or("scale", 0.0)? {
        0.0 => 1.0 / (d_k as f64).sqrt(),
        scale => f64::from(scale),
    };
    let mut outputs = Vec::new();
    for i in 0..t {
        if let Some(decay) = &decay {
            let gate = token(cx, decay, i, true)?;
            let gate = cx.map(UnaryOp::Exp, &gate)?;
            state = cx.mul(&state, &gate)?;
        }
        let key = token(cx, &k, i, true)?;
        let mut value = token(cx, &v, i, false)?;
        if let Some(beta) = &beta {
            let row = token(cx, &k, i, false)?;
            let known = cx.matmul(&row, &state)?;
            let rest = cx.sub(&value, &known)?;
            let beta = token(cx, beta, i, false)?;
            value = cx.mul(&beta, &rest)?;
        }
        let outer = cx.mul(&key, &value)?;
        state = cx.sum(&state, &outer)?;
        let query = token(cx, &q, i, false)?;
        // query heads of one group read the same state: [b, kv, group, d_k] times [b, kv, d_k, d_v]
        let group = heads / kv_heads;
        let grouped = [b as i64, kv_heads, group, d_k as i64].map(Dim::from);
        let query = cx.reshape(&query, grouped.to_vec())?;
        let read = cx.matmul(&query, &state)?;
        let flat = [b as i64, 1, heads * d_v as i64].map(Dim::from);
        outputs.push(cx.reshape(&read, flat.to_vec())?);
    }
    let outputs: Vec<&Val> = outputs.iter().collect();
    let out = cx.joined(&outputs, 1)?;
    let out = cx.times(&out, scale)?;
    Ok(vec![cx.cast(&out, own)?, cx.cast(&state, state_type)?])
}

/// `CausalConvWithState`: a depthwise convolution of the past columns and the new ones; the last ones are the new past.
pub fn causal_conv(cx: &mut Lower, call: &Call) -> Out {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let [channels, _, kernel] = cx.extents(w)?[..] else {
        return Err(OpError::input("the weights must have three axes"));
    };
    let shape = cx.shape(x)?;
    if shape.len() != 3 || kernel == 0 {
        return Err(OpError::input(
            "the operand must have three axes, the kernel an extent",
        ));
    }
    let past = match call.optional(3) {
        Some(past) => past.clone(),
        None => {
            let zero = cx.number(x, 0.0)?;
            let width = Dim::from(kernel.saturating_sub(1));
            cx.spread(&zero, vec![shape[0].clone(), Dim::from(channels), width])?
        }
    };
    let padded = match kernel {
        1 => x.clone(),
        _ => cx.joined(&[&past, x], 2)?,
    };
    let (wide, own) = cx.widened(&padded)?;
    let op = Op::Windows {
        kernel: vec![kernel],
        strides: vec![1],
        dilations: vec![1],
    };
    let windows = cx.apply(op, &[&wide])?;
    let weights = cx.cast(w, wide.dtype()?)?;
    let weights = cx.reshape(&weights, [channels, 1, kernel].map(Dim::from).to_vec())?;
    let products = cx.mul(&windows, &weights)?;
    let mut out = cx.reduce(llmc_ir::ReduceOp::Sum, &products, &[3], false)?;
    if let Some(bias) = call.optional(2) {
        let bias = cx.cast(bias, wide.dtype()?)?;
        let bias = cx.open(&bias, 1)?;
        out = cx.sum(&out, &bias)?;
    }
    match call.attributes().text_or("activation", "none")? {
        "none" => {}
        "silu" | "swish" => out = cx.map(UnaryOp::Silu, &out)?,
        other => return Err(OpError::input(format!("activation=`{other}` is unknown"))),
    }
    let end = cx.shape(&padded)?[2].clone();
    let start = &end - &Dim::from(kernel.saturating_sub(1));
    let present = cx.part(&padded, 2, start, end)?;
    Ok(vec![cx.cast(&out, own)?, present])
}
