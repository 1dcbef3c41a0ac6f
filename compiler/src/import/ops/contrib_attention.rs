//! Attention as ONNX Runtime's optimiser and the model builders write it for encoders and for decoders without grouped heads:
//! `Attention`, `MultiHeadAttention` and what stands before them.

use llmc_ir::{BinaryOp, Dim, MaskKind, Op, Real};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::recognise::Sample;
use super::super::value::Val;
use super::Out;
use super::attention::{Written, heads_first, heads_last, written_out};
use super::build::Made;
use super::cache::{Form, append, attend, columns, count, width};

/// Attributes of `Attention`.
pub const PACKED: &[&str] = &[
    "do_rotary",
    "mask_filter_value",
    "num_heads",
    "past_present_share_buffer",
    "qkv_hidden_sizes",
    "rotary_embedding_dim",
    "scale",
    "unidirectional",
];

/// Attributes of `MultiHeadAttention`.
pub const MHA: &[&str] = &["mask_filter_value", "num_heads", "scale", "unidirectional"];

/// Attributes of `EmbedLayerNormalization`.
pub const EMBED: &[&str] = &["epsilon", "mask_index_type"];

/// What is added to the scores of a hidden key, if the file does not say.
const FILTER: f32 = -10_000.0;

/// Attention of queries over keys and values `[b, heads, t, d]`: one op if the mask is one that attention knows, else written out.
fn attention(
    cx: &mut Lower,
    call: &Call,
    [q, k, v]: [&Val; 3],
    padding: Option<&Val>,
    bias: Option<&Val>,
) -> Made {
    let attributes = call.attributes();
    let heads = count(attributes.int_required("num_heads")?, "num_heads")?;
    let causal = attributes.flag_or("unidirectional", false)?;
    let scale = Some(attributes.float_or("scale", 0.0)?).filter(|s| *s != 0.0);
    let filter = attributes.float_or("mask_filter_value", FILTER)?;
    let padding = match padding {
        Some(mask) => hidden(cx, mask, k, filter)?,
        None => None,
    };
    let known = match (bias, &padding) {
        (_, Some(_)) => None,
        (None, None) => Some(MaskKind::FULL),
        (Some(bias), None) => cx.mask_kind(bias)?,
    };
    // The op knows one width of heads.
    let alike = cx.ty(k)?.shape.last() == cx.ty(v)?.shape.last();
    if let Some(mask) = known.filter(|_| alike) {
        let form = Form {
            heads,
            kv_heads: heads,
            scale,
            softcap: 0.0,
            mask: MaskKind {
                causal: mask.causal || causal,
                ..mask
            },
        };
        return attend(cx, q, k, v, form);
    }
    let sum = match (bias, padding) {
        (Some(bias), Some(padding)) => {
            Some(cx.apply(Op::Binary(BinaryOp::Add), &[bias, &padding])?)
        }
        (bias, padding) => padding.or(bias.cloned()),
    };
    let q = heads_first(cx, q, Some(heads as i64))?;
    let how = Written {
        scale,
        softcap: 0.0,
        causal,
        mask: sum.as_ref(),
    };
    let out = written_out(cx, [&q, k, v], &how)?;
    heads_last(cx, &out)
}

/// What hides padding, `[b, 1, 1 or s, t]`: of a mask `[b, t]` or `[b, s, t]` of 1 and 0, or of lengths `[b]`. `None` if there is no padding.
fn hidden(cx: &mut Lower, mask: &Val, k: &Val, filter: f32) -> Result<Option<Val>, OpError> {
    let rank = cx.rank(mask)?;
    if !mask.is_data() {
        // Sequences have no padding here, and so the mask must show all.
        let shown = move |s: Sample| if rank == 1 { s.total() as i64 } else { 1 };
        cx.must_be_length(mask, shown, "a sequence without padding")?;
        return Ok(None);
    }
    let shape = cx.shape(mask)?;
    let total = cx.shape(k)?[2].clone();
    let seen = match &shape[..] {
        [b] => {
            let total = total.as_const().and_then(|n| usize::try_from(n).ok());
            let total = total.ok_or_else(|| {
                OpError::unsupported("lengths need fixed extents", "bind the dims with --dim")
            })?;
            let places = super::build::iota(cx, mask.dtype()?, total)?;
            let lengths = cx.reshape(mask, vec![b.clone(), Dim::one(), Dim::one(), Dim::one()])?;
            cx.less(&places, &lengths)?
        }
        [b, t] => {
            let mask = cx.cast(mask, DType::Bool)?;
            cx.reshape(&mask, vec![b.clone(), Dim::one(), Dim::one(), t.clone()])?
        }
        [b, s, t] => {
            let mask = cx.cast(mask, DType::Bool)?;
            cx.reshape(&mask, vec![b.clone(), Dim::one(), s.clone(), t.clone()])?
        }
        _ => {
            return Err(OpError::unsupported(
                format!("a mask of {rank} axes is not supported"),
                "optimise with a mask [batch, tokens] of 1 and 0",
            ));
        }
    };
    let own = k.dtype()?;
    let (zero, filter) = (
        cx.scalar_of(own, 0.0)?,
        cx.scalar_of(own, f64::from(filter))?,
    );
    cx.pick(&seen, &zero, &filter).map(Some)
}

/// Part `i` of `[b, s, heads, parts, d]`, as `[b, s, heads * d]`.
fn unpacked(cx: &mut Lower, packed: &Val, i: usize) -> Made {
    let part = cx.part(packed, 3, i, i + 1)?;
    let [b, s, heads, _, d] = &cx.shape(&part)?[..] else {
        return Err(OpError::input("packed heads have five axes"));
    };
    cx.reshape(&part, vec![b.clone(), s.clone(), heads * d])
}

/// `MultiHeadAttention`: queries `[b, s, heads * d]` with keys and values alike, or packed with them, or keys and values of another length.
pub fn multi_head_attention(cx: &mut Lower, call: &Call) -> Out {
    let heads = count(call.attributes().int_required("num_heads")?, "num_heads")?;
    if call.wants(3) {
        return Err(OpError::unsupported(
            "results of scores are not supported",
            "export without them",
        ));
    }
    let first = call.input(0)?;
    let mut parts = match (call.optional(1), call.optional(2)) {
        (Some(k), Some(v)) => [first.clone(), k.clone(), v.clone()],
        (Some(kv), None) if cx.rank(kv)? == 5 => {
            [first.clone(), unpacked(cx, kv, 0)?, unpacked(cx, kv, 1)?]
        }
        (None, None) if cx.rank(first)? == 5 => [
            unpacked(cx, first, 0)?,
            unpacked(cx, first, 1)?,
            unpacked(cx, first, 2)?,
        ],
        _ => {
            return Err(OpError::input(
                "queries without keys and values, which are not packed either",
            ));
        }
    };
    if let Some(bias) = call.optional(3) {
        // Keys and values with four axes have their heads apart, and no bias.
        let widths = parts.each_ref().map(|x| match cx.rank(x) {
            Ok(3) => width(cx, x),
            _ => Err(OpError::unsupported("a bias of keys with four axes", "")),
        });
        let [q, k, v] = widths;
        let biases = columns(cx, bias, &[q?, k?, v?])?;
        for (part, bias) in parts.iter_mut().zip(&biases) {
            *part = cx.sum(part, bias)?;
        }
    }
    let [q, k, v] = parts;
    let k = heads_first(cx, &k, Some(heads as i64))?;
    let v = heads_first(cx, &v, Some(heads as i64))?;
    let k = append(cx, call.optional(6), &k)?;
    let v = append(cx, call.optional(7), &v)?;
    let out = attention(cx, call, [&q, &k, &v], call.optional(4), call.optional(5))?;
    Ok(vec![out, k, v])
}

/// `Attention` with the weights of its projections, packed.
pub fn packed_attention(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let heads = count(attributes.int_required("num_heads")?, "num_heads")?;
    if call.optional(4).is_some() || call.wants(1) {
        return Err(OpError::unsupported(
            "keys and values in one cache are not supported",
            "optimise with use_multi_head_attention=True, or not at all",
        ));
    }
    if attributes.flag_or("do_rotary", false)? {
        return Err(OpError::unsupported(
            "do_rotary without tables is not supported",
            "optimise without fusing rotary embeddings into Attention",
        ));
    }
    let mut packed = cx.matmul(call.input(0)?, call.input(1)?)?;
    if let Some(bias) = call.optional(2) {
        packed = cx.sum(&packed, bias)?;
    }
    let all = width(cx, &packed)?;
    let widths = match attributes.ints("qkv_hidden_sizes")? {
        Some(sizes) => {
            let sizes = sizes.iter().map(|n| count(*n, "a hidden size"));
            sizes.collect::<Result<Vec<usize>, OpError>>()?
        }
        None => vec![all / 3; 3],
    };
    if widths.len() != 3 || widths.iter().sum::<usize>() != all {
        return Err(OpError::input(format!(
            "{all} columns are not queries, keys and values of {widths:?}"
        )));
    }
    let Ok([q, k, v]) = <[Val; 3]>::try_from(columns(cx, &packed, &widths)?) else {
        return Err(OpError::bug("three parts expected"));
    };
    let k = heads_first(cx, &k, Some(heads as i64))?;
    let v = heads_first(cx, &v, Some(heads as i64))?;
    let out = attention(cx, call, [&q, &k, &v], call.optional(3), call.optional(5))?;
    Ok(vec![out])
}

/// `EmbedLayerNormalization`: the layer norm of the sum of the embeddings of tokens, positions and segments; how many tokens count; the sum.
pub fn embed_layer_norm(cx: &mut Lower, call: &Call) -> Out {
    let ids = call.input(0)?;
    let rows = |cx: &mut Lower, table: &Val, indices: &Val| {
        cx.apply(Op::Gather { axis: 0 }, &[table, indices])
    };
    let mut sum = rows(cx, call.input(2)?, ids)?;
    let positions = match call.optional(8) {
        Some(positions) => rows(cx, call.input(3)?, positions)?,
        None => {
            let tokens = cx.shape(ids)?.get(1).cloned();
            let tokens = tokens.ok_or_else(|| OpError::input("token ids have two axes"))?;
            cx.part(call.input(3)?, 0, 0, tokens)?
        }
    };
    sum = cx.sum(&sum, &positions)?;
    if let (Some(segments), Some(table)) = (call.optional(1), call.optional(4)) {
        let segments = rows(cx, table, segments)?;
        sum = cx.sum(&sum, &segments)?;
    }
    let eps = Real::new(call.attributes().float_or("epsilon", 1e-12)?);
    let out = cx.apply(
        Op::LayerNorm { eps },
        &[&sum, call.input(5)?, call.input(6)?],
    )?;
    let mut results = vec![out];
    if call.results() > 1 {
        let counted = match call.optional(7) {
            Some(mask) => mask.clone(),
            None => ids.clone(),
        };
        let counted = cx.cast(&counted, DType::I32)?;
        let count = cx.reduce(llmc_ir::ReduceOp::Sum, &counted, &[1], false)?;
        results.push(match call.optional(7) {
            Some(_) => count,
            None => cx.times(&count, 0.0)?,
        });
        results.push(sum);
    }
    Ok(results)
}
