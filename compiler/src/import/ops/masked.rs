//! `Attention` with all it may have, for fixed extents: masks of any rank, windows, valid lengths per batch, scores as a
//! result. Element types are those of the operands throughout, as in the function that ONNX defines it by.

use llmc_ir::{Dim, Op, ReduceOp, UnaryOp};
use llmc_tensor::{DType, Tensor};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::attention::heads_first;
use super::build::{Made, iota};
use super::elementwise::dtype_at;

/// Larger masks are refused.
const MAX_MASK: usize = 1 << 26;

/// Where the queries stand among the keys.
enum Offset {
    /// Query i has position i + n.
    Fixed(i64),
    /// Per batch, [b, 1, 1, 1].
    Batch(Val),
}

/// Bounds of what a query sees: `None` is no bound.
struct Reach {
    left: Option<i64>,
    right: Option<i64>,
}

/// The results Y, present key and value, scores; `None` if an extent is symbolic.
///
/// # Errors
/// Operands that do not fit each other.
pub fn attention(cx: &mut Lower, call: &Call) -> Result<Option<Vec<Val>>, OpError> {
    let fixed = |cx: &Lower, i: usize| match call.optional(i) {
        Some(x) => cx.ty(x).map(|t| t.const_shape().is_some()),
        None => Ok(true),
    };
    for i in 0..6 {
        if !fixed(cx, i)? {
            return Ok(None);
        }
    }
    let attributes = call.attributes();
    let own = call.input(0)?.dtype()?;
    let flat = cx.rank(call.input(0)?)? == 3;
    let q = heads_first(cx, call.input(0)?, attributes.int("q_num_heads")?)?;
    let mut k = heads_first(cx, call.input(1)?, attributes.int("kv_num_heads")?)?;
    let mut v = heads_first(cx, call.input(2)?, attributes.int("kv_num_heads")?)?;
    let mut past = 0;
    if let (Some(past_k), Some(past_v)) = (call.optional(4), call.optional(5)) {
        past = cx.extents(past_k)?.get(2).copied().unwrap_or(0);
        k = cx.joined(&[past_k, &k], 2)?;
        v = cx.joined(&[past_v, &v], 2)?;
    }
    let present = [k.clone(), v.clone()];
    let ([_, heads, rows, width], [batch, kv_heads, columns, _]) = (four(cx, &q)?, four(cx, &k)?);
    if kv_heads == 0 || heads % kv_heads != 0 || width == 0 {
        return Err(OpError::input(format!(
            "{heads} query heads for {kv_heads} key heads"
        )));
    }
    let (k, v) = (
        repeated(cx, &k, heads / kv_heads)?,
        repeated(cx, &v, heads / kv_heads)?,
    );
    let scale = attributes
        .float("scale")?
        .map_or(1.0 / (width as f64).sqrt(), f64::from);
    let turned = cx.permute(&k, vec![0, 1, 3, 2])?;
    let (left, right) = (
        cx.times(&q, scale.sqrt())?,
        cx.times(&turned, scale.sqrt())?,
    );
    let raw = cx.matmul(&left, &right)?;
    let cap = f64::from(attributes.float_or("softcap", 0.0)?);
    let capped = match cap > 0.0 {
        true => {
            let inner = cx.times(&raw, 1.0 / cap)?;
            let bent = cx.map(UnaryOp::Tanh, &inner)?;
            cx.times(&bent, cap)?
        }
        false => raw.clone(),
    };
    let bias = bias(cx, call, own, [batch, rows, columns], past)?;
    let biased = match &bias {
        Some(bias) => cx.sum(&capped, bias)?,
        None => capped.clone(),
    };
    let precise = match attributes.int("softmax_precision")? {
        Some(code) if code != 0 => cx.cast(&biased, dtype_at(code)?)?,
        _ => biased.clone(),
    };
    let mut weights = cx.apply(Op::Softmax { axis: 3 }, &[&precise])?;
    if let Some(bias) = &bias {
        let last = cx.rank(bias)? - 1;
        let best = cx.reduce(ReduceOp::Max, bias, &[last], true)?;
        let hidden = cx.number(&best, f64::NEG_INFINITY)?;
        let blind = cx.equal(&best, &hidden)?;
        let zero = cx.number(&weights, 0.0)?;
        weights = cx.pick(&blind, &zero, &weights)?;
    }
    let weights = cx.cast(&weights, own)?;
    let mut y = cx.matmul(&weights, &v)?;
    if flat {
        y = cx.permute(&y, vec![0, 2, 1, 3])?;
        let shape = cx.shape(&y)?;
        y = cx.reshape(
            &y,
            vec![shape[0].clone(), shape[1].clone(), &shape[2] * &shape[3]],
        )?;
    }
    let scores = match attributes.int_or("qk_matmul_output_mode", 0)? {
        0 => raw,
        1 => capped,
        2 => biased,
        3 => weights,
        mode => return Err(OpError::input(format!("qk_matmul_output_mode={mode}"))),
    };
    let [k, v] = present;
    Ok(Some(vec![y, k, v, scores]))
}

fn four(cx: &Lower, x: &Val) -> Result<[usize; 4], OpError> {
    cx.extents(x)?.try_into().map_err(|_| {
        OpError::input("queries and keys must have four axes, or three and a number of heads")
    })
}

/// Each key head once per query head of its group.
fn repeated(cx: &mut Lower, x: &Val, groups: usize) -> Made {
    if groups == 1 {
        return Ok(x.clone());
    }
    let [b, h, t, d] = four(cx, x)?.map(Dim::from);
    let opened = cx.open(x, 2)?;
    let wide = vec![
        b.clone(),
        h.clone(),
        Dim::from(groups),
        t.clone(),
        d.clone(),
    ];
    let wide = cx.spread(&opened, wide)?;
    cx.reshape(&wide, vec![b, &h * &Dim::from(groups), t, d])
}

/// What is added to the scores: the mask, and -inf where causality, windows and lengths hide a key.
fn bias(
    cx: &mut Lower,
    call: &Call,
    own: DType,
    [batch, rows, columns]: [usize; 3],
    past: usize,
) -> Result<Option<Val>, OpError> {
    let attributes = call.attributes();
    let mut all = Vec::new();
    if let Some(mask) = call.optional(3) {
        all.push(additive(cx, mask, own, columns)?);
    }
    let window = |name: &str| Ok::<_, OpError>(attributes.int(name)?.filter(|w| *w >= 0));
    let causal = attributes.flag_or("is_causal", false)?;
    let mut reach = Reach {
        left: window("left_window_size")?,
        right: window("right_window_size")?,
    };
    if causal {
        reach.right = Some(0);
    }
    let lengths = match call.optional(6) {
        None => None,
        Some(lengths) => {
            let lengths = cx.cast(lengths, DType::I64)?;
            Some(cx.reshape(
                &lengths,
                vec![Dim::from(batch), Dim::one(), Dim::one(), Dim::one()],
            )?)
        }
    };
    let offset = match &lengths {
        Some(lengths) => Offset::Batch(cx.plus(lengths, -(rows as f64))?),
        None => Offset::Fixed(past as i64),
    };
    if reach.left.is_some() || reach.right.is_some() {
        all.push(window_bias(cx, own, [rows, columns], &reach, &offset)?);
    }
    if let Some(lengths) = &lengths {
        let places = iota(cx, DType::I64, columns)?;
        let valid = cx.less(&places, lengths)?;
        all.push(hiding(cx, own, &valid)?);
    }
    let mut sum = None;
    for bias in all {
        sum = Some(match sum {
            None => bias,
            Some(sum) => cx.sum(&sum, &bias)?,
        });
    }
    Ok(sum)
}

/// 0 where true, -inf where false.
fn hiding(cx: &mut Lower, own: DType, seen: &Val) -> Made {
    let (zero, hidden) = (
        cx.scalar_of(own, 0.0)?,
        cx.scalar_of(own, f64::NEG_INFINITY)?,
    );
    cx.pick(seen, &zero, &hidden)
}

/// A mask as what is added; keys beyond its last column are hidden.
fn additive(cx: &mut Lower, mask: &Val, own: DType, columns: usize) -> Made {
    let extents = cx.extents(mask)?;
    let last = extents.last().copied().unwrap_or(1);
    let mut mask = mask.clone();
    if last != 1 && last < columns {
        let hidden = match mask.dtype()? {
            DType::Bool => Val::constant(Tensor::scalar(false)),
            dtype => cx.scalar_of(dtype, f64::NEG_INFINITY)?,
        };
        let before = vec![0; extents.len()];
        let mut after = before.clone();
        after[extents.len() - 1] = columns - last;
        mask = cx.apply(Op::Pad { before, after }, &[&mask, &hidden])?;
    }
    match mask.dtype()? {
        DType::Bool => hiding(cx, own, &mask),
        _ => cx.cast(&mask, own),
    }
}

/// -inf where key j is out of the reach of query i, which stands at i + offset.
fn window_bias(
    cx: &mut Lower,
    own: DType,
    [rows, columns]: [usize; 2],
    reach: &Reach,
    offset: &Offset,
) -> Made {
    let count = rows.checked_mul(columns).filter(|n| *n <= MAX_MASK);
    let count = count.ok_or_else(|| OpError::unsupported("a mask this large", ""))?;
    let behind = |i: usize| (i / columns.max(1)) as i64 - (i % columns.max(1)) as i64;
    match offset {
        Offset::Fixed(offset) => {
            let seen = |i: usize| {
                let d = behind(i) + offset;
                reach.left.is_none_or(|l| d <= l) && reach.right.is_none_or(|r| -d <= r)
            };
            let value = |i: usize| if seen(i) { 0.0 } else { f64::NEG_INFINITY };
            let values: Vec<f64> = (0..count).map(value).collect();
            cx.known(own, vec![rows, columns], &values)
        }
        Offset::Batch(offset) => {
            let values: Vec<i64> = (0..count).map(behind).collect();
            let behind = cx.int_constant(vec![rows, columns], &values)?;
            let distance = cx.sum(offset, &behind)?;
            let mut seen = None;
            for (bound, sign) in [(reach.left, 1.0), (reach.right, -1.0)] {
                let Some(bound) = bound else { continue };
                let distance = cx.times(&distance, sign)?;
                let bound = cx.number(&distance, bound as f64)?;
                let within = cx.less_or_equal(&distance, &bound)?;
                seen = Some(match seen {
                    None => within,
                    Some(seen) => cx.and(&seen, &within)?,
                });
            }
            let seen = seen.ok_or_else(|| OpError::bug("a window without bounds"))?;
            hiding(cx, own, &seen)
        }
    }
}
