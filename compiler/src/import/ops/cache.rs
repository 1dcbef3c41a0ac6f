//! Operators that know of caches: keys and values of earlier tokens come in, and go out again with the new ones.
//!
//! Whatever the file's layout of a cache is (as long as the context, or a buffer of fixed capacity that is written in place),
//! the graph holds one form: `present = concat(past, new)` along the tokens, which becomes a state later.

use llmc_ir::{BinaryOp, Dim, MaskKind, Op, Real, Symbol, UnaryOp};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::recognise::Sample;
use super::super::value::{Val, axis_of};
use super::Out;
use super::attention::{heads_first, heads_last};
use super::rotary::{self, Rotation};

/// Attributes of `GroupQueryAttention`.
pub const GQA: &[&str] = &[
    "causal",
    "do_rotary",
    "k_quant_type",
    "kv_cache_bit_width",
    "kv_num_heads",
    "local_window_size",
    "num_heads",
    "qk_norm_epsilon",
    "qk_output",
    "rotary_embedding_dim",
    "rotary_interleaved",
    "scale",
    "sliding_window_cache",
    "smooth_softmax",
    "softcap",
    "v_quant_type",
];

/// A number of heads.
pub fn count(n: i64, what: &str) -> Result<usize, OpError> {
    usize::try_from(n)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| OpError::input(format!("{what} is {n}")))
}

/// What attention is asked for besides its operands.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Factor of the scores; by default the inverse root of the head size.
    pub scale: Option<f32>,
    /// Scores are bent to at most this; 0 for not at all.
    pub softcap: f32,
    /// What is seen.
    pub mask: MaskKind,
}

/// Attention of `q` [b, s, heads * d] over caches [b, kv_heads, t, d], as one op.
///
/// # Errors
/// Operands of other shapes.
pub fn attend(cx: &mut Lower, q: &Val, k: &Val, v: &Val, form: Form) -> Result<Val, OpError> {
    attend_with(cx, [q, k, v], None, form)
}

/// The same with a sink for each query head: a score that is always seen and has no value.
fn attend_with(
    cx: &mut Lower,
    [q, k, v]: [&Val; 3],
    sinks: Option<&Val>,
    form: Form,
) -> Result<Val, OpError> {
    let head_dim = width(cx, k)?;
    if width(cx, v)? != head_dim {
        return Err(OpError::unsupported(
            "heads of values are not as wide as those of keys",
            "",
        ));
    }
    let scale = form
        .scale
        .unwrap_or((1.0 / (head_dim as f64).sqrt()) as f32);
    let op = Op::Attention {
        heads: form.heads,
        kv_heads: form.kv_heads,
        head_dim,
        scale: Real::new(scale),
        mask: form.mask,
        softcap: (form.softcap > 0.0).then(|| Real::new(form.softcap)),
        scores: None,
        weights: None,
    };
    match sinks {
        None => cx.apply(op, &[q, k, v]),
        Some(sinks) => cx.apply(op, &[q, k, v, sinks]),
    }
}

/// The last extent, which must be a number.
///
/// # Errors
/// If it is none.
pub fn width(cx: &Lower, x: &Val) -> Result<usize, OpError> {
    let last = cx.ty(x)?.shape.last().and_then(Dim::as_const);
    let last = last
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0);
    last.ok_or_else(|| OpError::unsupported("a symbolic head size", ""))
}

/// The cache with the new tokens `[b, kv_heads, s, d]`. The file may leave the head size of a cache open: the new tokens tell it.
///
/// # Errors
/// A cache of another shape.
pub fn append(cx: &mut Lower, past: Option<&Val>, new: &Val) -> Result<Val, OpError> {
    let Some(past) = past else {
        return Ok(new.clone());
    };
    let past = told(cx, past, new, 2)?;
    cx.apply(Op::Concat { axis: 2 }, &[&past, new])
}

/// A cache with the extents that the file left open, but for the axis that grows: those of what is appended to it.
///
/// # Errors
/// None for a cache that is an input.
pub fn told(cx: &mut Lower, past: &Val, new: &Val, grows: usize) -> Result<Val, OpError> {
    let mut past = past.clone();
    let lengths = [Symbol::BATCH, Symbol::PAST, Symbol::SEQ];
    for (axis, extent) in cx.ty(new)?.shape.clone().iter().enumerate() {
        let open = cx
            .ty(&past)?
            .shape
            .get(axis)
            .and_then(Dim::as_symbol)
            .cloned();
        let open = open.filter(|s| past.is_data() && axis != grows && !lengths.contains(&s.name()));
        if let (Some(symbol), Some(_)) = (open, extent.as_const()) {
            past = cx.bind_symbol(&past, &symbol, extent)?;
        }
    }
    Ok(past)
}

/// Splits the last axis into parts of these widths.
///
/// # Errors
/// If the axis is shorter.
pub fn columns(cx: &mut Lower, x: &Val, widths: &[usize]) -> Result<Vec<Val>, OpError> {
    let axis = cx.ty(x)?.rank() - 1;
    let mut start = 0;
    let mut parts = Vec::new();
    for width in widths {
        let slice = Op::Slice {
            axis,
            start: Dim::from(start),
            end: Dim::from(start + width),
            step: 1,
        };
        parts.push(cx.apply(slice, &[x])?);
        start += width;
    }
    Ok(parts)
}

/// `GroupQueryAttention`: attention over caches; queries and keys are rotated if asked for.
pub fn group_query_attention(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let heads = count(attributes.int_required("num_heads")?, "num_heads")?;
    let kv_heads = count(attributes.int_required("kv_num_heads")?, "kv_num_heads")?;
    for (i, what) in [
        (12, "k_scale (a quantised cache)"),
        (13, "v_scale (a quantised cache)"),
    ] {
        if call.optional(i).is_some() {
            return Err(OpError::unsupported(
                format!("the operand {what} is not supported"),
                "",
            ));
        }
    }
    if call.wants(3) {
        return Err(OpError::unsupported(
            "results of scores are not supported",
            "",
        ));
    }
    // A smooth softmax has 1 more in its denominator.
    let sinks = match call.optional(11) {
        Some(sinks) => Some(sinks.clone()),
        None if attributes.flag_or("smooth_softmax", false)? => {
            let dtype = call.input(0)?.dtype()?;
            Some(cx.known(dtype, vec![heads], &vec![0.0; heads])?)
        }
        None => None,
    };
    for (i, less) in [(5, 1), (6, 0)] {
        if let Some(length) = call.optional(i) {
            let total = |s: Sample| s.total() as i64 - less;
            cx.must_be_length(length, total, "a sequence without padding")?;
        }
    }
    let (q, k, v) = match (call.optional(1), call.optional(2)) {
        (Some(k), Some(v)) => (call.input(0)?.clone(), k.clone(), v.clone()),
        _ => {
            let packed = call.input(0)?;
            let all = width(cx, packed)?;
            let head = all / (heads + 2 * kv_heads);
            if head * (heads + 2 * kv_heads) != all {
                return Err(OpError::input(format!(
                    "{all} columns are not {heads} + 2 * {kv_heads} heads"
                )));
            }
            let widths = [heads * head, kv_heads * head, kv_heads * head];
            match <[Val; 3]>::try_from(columns(cx, packed, &widths)?) {
                Ok([q, k, v]) => (q, k, v),
                Err(_) => return Err(OpError::bug("three parts expected")),
            }
        }
    };
    let eps = attributes.float_or("qk_norm_epsilon", 1e-6)?;
    let q = head_norm(cx, &q, call.optional(14), eps)?;
    let k = head_norm(cx, &k, call.optional(15), eps)?;
    let (q, k) = match attributes.flag_or("do_rotary", false)? {
        false => (q, k),
        true => {
            let rotary = match attributes.int_or("rotary_embedding_dim", 0)? {
                0 => None,
                n => Some(count(n, "rotary_embedding_dim")?),
            };
            let rotation = Rotation {
                cos: rotary::rows(cx, call.input(7)?, call.optional(9))?,
                sin: rotary::rows(cx, call.input(8)?, call.optional(9))?,
                interleaved: attributes.flag_or("rotary_interleaved", false)?,
                rotary,
            };
            (
                rotary::rotate(cx, &q, heads, &rotation)?,
                rotary::rotate(cx, &k, kv_heads, &rotation)?,
            )
        }
    };
    let k = heads_first(cx, &k, Some(kv_heads as i64))?;
    let v = heads_first(cx, &v, Some(kv_heads as i64))?;
    let k = append(cx, call.optional(3), &k)?;
    let v = append(cx, call.optional(4), &v)?;
    let window = attributes.int_or("local_window_size", -1)?;
    let mut mask = MaskKind {
        causal: attributes.flag_or("causal", true)?,
        window: u32::try_from(window).ok().filter(|w| *w > 0),
    };
    if let Some(bias) = call.optional(10) {
        let bias = cx.mask_kind(bias)?.ok_or_else(unknown_bias)?;
        mask.causal |= bias.causal;
        mask.window = match (mask.window, bias.window) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    let form = Form {
        heads,
        kv_heads,
        scale: Some(attributes.float_or("scale", 0.0)?).filter(|s| *s != 0.0),
        softcap: attributes.float_or("softcap", 0.0)?,
        mask,
    };
    let out = attend_with(cx, [&q, &k, &v], sinks.as_ref(), form)?;
    Ok(vec![out, k, v])
}

fn unknown_bias() -> OpError {
    OpError::unsupported(
        "the attention bias is no mask that attention knows",
        "export with causal or windowed attention and without a bias of its own",
    )
}

/// An RMS norm of each head by itself, if there is a weight.
fn head_norm(cx: &mut Lower, x: &Val, weight: Option<&Val>, eps: f32) -> Result<Val, OpError> {
    let Some(weight) = weight else {
        return Ok(x.clone());
    };
    let shape = cx.ty(x)?.shape.clone();
    let [b, s, hidden] = &shape[..] else {
        return Err(OpError::input("queries or keys have not three axes"));
    };
    let head = Dim::from(width(cx, weight)?);
    let heads = hidden.exact_div(&head);
    let heads =
        heads.ok_or_else(|| OpError::input("the weight of the norm is not one head wide"))?;
    let split = cx.reshape(x, vec![b.clone(), s.clone(), heads, head])?;
    let eps = Real::new(eps);
    let normed = cx.apply(Op::RmsNorm { eps }, &[&split, weight])?;
    cx.reshape(&normed, shape)
}

/// Standard `Attention` over the cache of a language model as one op; `None` if it is not such, or its mask is none that the op knows.
///
/// # Errors
/// Operands that contradict each other.
pub fn cached_attention(cx: &mut Lower, call: &Call) -> Result<Option<Vec<Val>>, OpError> {
    let scattered = call.optional(6).is_some();
    let cached = call.optional(4).is_some_and(Val::is_data);
    if !scattered && !cached {
        return Ok(None);
    }
    let attributes = call.attributes();
    if let Some(length) = call.optional(6) {
        cx.must_be_length(length, |s| s.total() as i64, "a sequence without padding")?;
    }
    let q = call.input(0)?;
    let flat = cx.ty(q)?.rank() == 3;
    let kv_heads = attributes.int("kv_num_heads")?;
    let k = heads_first(cx, call.input(1)?, kv_heads)?;
    let v = heads_first(cx, call.input(2)?, kv_heads)?;
    let heads = match (flat, attributes.int("q_num_heads")?) {
        (true, Some(heads)) => heads,
        (true, None) => return Err(OpError::input("three axes without q_num_heads")),
        (false, _) => cx.ty(q)?.shape[1].as_const().unwrap_or(0),
    };
    let heads = count(heads, "the number of query heads")?;
    let kv_heads = count(
        cx.ty(&k)?.shape[1].as_const().unwrap_or(0),
        "the number of key heads",
    )?;
    let mask = match call.optional(3) {
        None => Some(MaskKind::FULL),
        Some(mask) => cx.mask_kind(mask)?,
    };
    let Some(mask) = mask else {
        return Ok(None);
    };
    let k = append(cx, call.optional(4), &k)?;
    let v = append(cx, call.optional(5), &v)?;
    let form = Form {
        heads,
        kv_heads,
        scale: Some(attributes.float_or("scale", 0.0)?).filter(|s| *s != 0.0),
        softcap: attributes.float_or("softcap", 0.0)?,
        mask: MaskKind {
            causal: mask.causal || attributes.flag_or("is_causal", false)?,
            ..mask
        },
    };
    let rows = match flat {
        true => q.clone(),
        false => heads_last(cx, q)?,
    };
    let mut out = attend(cx, &rows, &k, &v, form)?;
    if !flat {
        out = heads_first(cx, &out, Some(heads as i64))?;
    }
    Ok(Some(vec![out, k, v]))
}

/// `TensorScatter` into a cache: the new tokens follow the past ones. A cache with three axes was given its heads by its role.
pub fn tensor_scatter(cx: &mut Lower, call: &Call) -> Out {
    let (cache, new) = (call.input(0)?, call.input(1)?);
    if call.attributes().text_or("mode", "linear")? != "linear" {
        return Err(OpError::unsupported(
            "circular caches are not supported",
            "export with a linear cache",
        ));
    }
    let refused = || {
        OpError::unsupported(
            "only a cache [batch, heads, capacity, head size] or [batch, capacity, heads * head size] that is an input and output of the model is supported",
            "",
        )
    };
    if !cache.is_data() {
        return Err(refused());
    }
    match call.optional(2) {
        Some(at) => {
            cx.must_be_length(at, |s| s.past as i64, "tokens written after the past ones")?
        }
        None => return Err(refused()),
    }
    let [_, heads, past, _] = &cx.ty(cache)?.shape.clone()[..] else {
        return Err(refused());
    };
    let rank = cx.ty(new)?.rank();
    let axis = axis_of(call.attributes().int_or("axis", -2)?, rank)?;
    if axis + 2 != rank || *past != cx.past_length() {
        return Err(refused());
    }
    let new = heads_first(cx, new, heads.as_const())?;
    Ok(vec![append(cx, Some(cache), &new)?])
}

/// x / sqrt(mean(x^2) + eps) without the x: the second result of RMS norms.
pub fn inverse_rms(cx: &mut Lower, x: &Val, eps: f32) -> Result<Val, OpError> {
    let axes = vec![cx.ty(x)?.rank() - 1];
    let op = Op::Reduce {
        op: llmc_ir::ReduceOp::Mean,
        axes,
        keepdims: true,
    };
    let squares = cx.apply(Op::Binary(BinaryOp::Mul), &[x, x])?;
    let mean = cx.apply(op, &[&squares])?;
    let eps = cx.scalar_of(x.dtype()?, f64::from(eps))?;
    let sum = cx.apply(Op::Binary(BinaryOp::Add), &[&mean, &eps])?;
    cx.apply(Op::Unary(UnaryOp::Rsqrt), &[&sum])
}
