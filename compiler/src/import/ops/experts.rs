//! Mixtures of experts that are one operator: `MoE` and `QMoE` of ONNX Runtime.
//!
//! Every expert is computed for every token, and its share in the result is 0 where the router did not choose it. So they
//! become what exporters of loops over experts write, a product per expert and matrix, and code sizes and speed are the same.

use llmc_ir::{Dim, Op, ReduceOp, ScatterOp, UnaryOp};
use llmc_tensor::Tensor;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::Made;
use super::elementwise::swish_of;
use super::quant::{codes_of, constant, size, tensor, unpacked, zero_points};

/// Attributes of `MoE`.
pub const MOE: &[&str] = &[
    "activation_alpha",
    "activation_beta",
    "activation_type",
    "k",
    "normalize_routing_weights",
    "swiglu_fusion",
    "swiglu_limit",
    "use_sparse_mixer",
];

/// Attributes of `QMoE`.
pub const QMOE: &[&str] = &[
    "activation_alpha",
    "activation_beta",
    "activation_type",
    "block_size",
    "expert_weight_bits",
    "fc1_expert_weight_bits",
    "fc2_expert_weight_bits",
    "fc3_expert_weight_bits",
    "k",
    "normalize_routing_weights",
    "quant_type",
    "swiglu_fusion",
    "swiglu_limit",
    "use_sparse_mixer",
    "weights_prepacked",
];

/// How the halves of the first product of a gated expert lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gated {
    /// It is not gated, or by a third matrix.
    No,
    /// Gate and up alternate.
    Interleaved,
    /// All of the gate, then all of up.
    Halves,
}

/// What an expert does between its products.
#[derive(Clone, Debug)]
struct Activation<'a> {
    function: &'a str,
    gated: Gated,
    alpha: f32,
    beta: f32,
    limit: Option<f32>,
}

impl<'a> Activation<'a> {
    fn of(call: &'a Call) -> Result<Activation<'a>, OpError> {
        let attributes = call.attributes();
        if attributes.flag_or("use_sparse_mixer", false)? {
            return Err(OpError::unsupported(
                "use_sparse_mixer is not supported",
                "export the router as operators of its own",
            ));
        }
        let function = attributes.text_or("activation_type", "relu")?;
        let gated = match (function, attributes.int_or("swiglu_fusion", 0)?) {
            ("swiglu", 1) => Gated::Interleaved,
            ("swiglu", 2) => Gated::Halves,
            (_, 0) => Gated::No,
            (_, fusion) => {
                return Err(OpError::input(format!(
                    "swiglu_fusion={fusion} with activation_type=`{function}`"
                )));
            }
        };
        let limit = attributes.float("swiglu_limit")?;
        Ok(Activation {
            function,
            gated,
            alpha: attributes.float_or("activation_alpha", 1.0)?,
            beta: attributes.float_or("activation_beta", 0.0)?,
            limit: limit.filter(|limit| limit.is_finite()),
        })
    }

    /// The hidden values from the first product and, if there is a third matrix, from that.
    fn apply(&self, cx: &mut Lower, x: &Val, third: Option<&Val>) -> Made {
        let (gate, up) = match self.gated {
            Gated::No => (x.clone(), third.cloned()),
            Gated::Interleaved | Gated::Halves => {
                let (gate, up) = self.split(cx, x)?;
                (gate, Some(up))
            }
        };
        if self.function == "swiglu" {
            let up = up.ok_or_else(|| OpError::input("swiglu without a second half"))?;
            return self.swiglu(cx, &gate, &up);
        }
        let y = match self.function {
            "relu" => cx.map(UnaryOp::Relu, &gate)?,
            "gelu" => cx.map(UnaryOp::GeluTanh, &gate)?,
            "silu" => cx.map(UnaryOp::Silu, &gate)?,
            "identity" => gate,
            other => {
                return Err(OpError::unsupported(
                    format!("activation_type=`{other}` is not supported"),
                    "",
                ));
            }
        };
        match up {
            Some(up) => cx.mul(&y, &up),
            None => Ok(y),
        }
    }

    /// Gate and up of one product.
    fn split(&self, cx: &mut Lower, x: &Val) -> Result<(Val, Val), OpError> {
        let axis = cx.rank(x)?.saturating_sub(1);
        let width = cx.shape(x)?.last().and_then(Dim::as_const).unwrap_or(0);
        let half = width / 2;
        if self.gated == Gated::Halves {
            return Ok((cx.part(x, axis, 0, half)?, cx.part(x, axis, half, width)?));
        }
        let mut every_other = |start: i64| {
            let op = Op::Slice {
                axis,
                start: start.into(),
                end: Dim::from(start + (half - 1) * 2 + 1),
                step: 2,
            };
            cx.apply(op, &[x])
        };
        Ok((every_other(0)?, every_other(1)?))
    }

    /// gate * sigmoid(alpha * gate) * (up + beta), both clamped before.
    fn swiglu(&self, cx: &mut Lower, gate: &Val, up: &Val) -> Made {
        let (mut gate, mut up) = (gate.clone(), up.clone());
        if let Some(limit) = self.limit.map(f64::from) {
            let most = cx.number(&gate, limit)?;
            gate = cx.min(&gate, &most)?;
            up = cx.clamp(&up, -limit, limit)?;
        }
        let gate = swish_of(cx, &gate, self.alpha)?;
        if self.beta != 0.0 {
            up = cx.plus(&up, f64::from(self.beta))?;
        }
        cx.mul(&gate, &up)
    }
}

/// The share of each expert in each token, `[.., experts]`: 0 where it is not chosen.
fn shares(cx: &mut Lower, call: &Call, given: Option<&Val>, all: bool) -> Made {
    let attributes = call.attributes();
    let logits = call.input(1)?;
    let k = size(attributes.int_or("k", 1)?, "k")?;
    let axis = cx.rank(logits)?.saturating_sub(1);
    let normalize = attributes.flag_or("normalize_routing_weights", false)?;
    let top = Op::TopK {
        axis,
        k,
        largest: true,
    };
    let chosen = cx.apply(top, &[logits])?;
    let tuples = cx.open(&chosen, axis + 1)?;
    let picked = |cx: &mut Lower, from: &Val| {
        let op = Op::GatherNd { batch_dims: axis };
        cx.apply(op, &[from, &tuples])
    };
    let weights = match given {
        Some(given) => {
            let own = picked(cx, given)?;
            match normalize {
                true => {
                    let sum = cx.reduce(ReduceOp::Sum, &own, &[axis], true)?;
                    cx.div(&own, &sum)?
                }
                false => own,
            }
        }
        // A softmax over the chosen ones.
        None if normalize || !all => {
            let own = picked(cx, logits)?;
            cx.apply(Op::Softmax { axis }, &[&own])?
        }
        None => {
            let probabilities = cx.apply(Op::Softmax { axis }, &[logits])?;
            picked(cx, &probabilities)?
        }
    };
    let (zero, shape) = (cx.number(logits, 0.0)?, cx.shape(logits)?);
    let none = cx.spread(&zero, shape)?;
    let op = Op::ScatterNd {
        batch_dims: axis,
        op: ScatterOp::Assign,
    };
    cx.apply(op, &[&none, &tuples, &weights])
}

/// The sum over experts of their results, each times its share.
fn mixture(
    cx: &mut Lower,
    x: &Val,
    shares: &Val,
    mut expert: impl FnMut(&mut Lower, &Val, usize) -> Made,
) -> Made {
    let shape = cx.shape(x)?;
    let (axis, share_shape) = (cx.rank(shares)?.saturating_sub(1), cx.shape(shares)?);
    let experts = share_shape.last().and_then(Dim::as_const).unwrap_or(0);
    // Tokens as the router has them.
    let hidden = shape.last().cloned().unwrap_or_else(Dim::one);
    let mut flat = share_shape;
    flat.truncate(axis);
    flat.push(hidden);
    let x = cx.reshape(x, flat)?;
    let mut sum: Option<Val> = None;
    for e in 0..experts {
        let y = expert(cx, &x, e as usize)?;
        let share = cx.part(shares, axis, e, e + 1)?;
        let y = cx.mul(&y, &share)?;
        sum = Some(match sum {
            Some(sum) => cx.sum(&sum, &y)?,
            None => y,
        });
    }
    let sum = sum.ok_or_else(|| OpError::input("there are no experts"))?;
    cx.reshape(&sum, shape)
}

/// The part of a stack that is expert `e`'s.
fn of_expert(cx: &mut Lower, stack: &Val, e: usize) -> Made {
    let one = cx.part(stack, 0, e, e + 1)?;
    cx.close(&one, 0)
}

/// x times the transpose of expert `e`'s matrix, with its bias.
fn linear(cx: &mut Lower, x: &Val, weights: &Val, bias: Option<&Val>, e: usize) -> Made {
    let weight = of_expert(cx, weights, e)?;
    let weight = cx.permute(&weight, vec![1, 0])?;
    let y = cx.matmul(x, &weight)?;
    add_bias(cx, &y, bias, e)
}

fn add_bias(cx: &mut Lower, y: &Val, bias: Option<&Val>, e: usize) -> Made {
    match bias {
        None => Ok(y.clone()),
        Some(bias) => {
            let bias = of_expert(cx, bias, e)?;
            cx.sum(y, &bias)
        }
    }
}

/// `MoE`.
pub fn moe(cx: &mut Lower, call: &Call) -> Out {
    let activation = Activation::of(call)?;
    let shares = shares(cx, call, None, true)?;
    let (first, second) = (call.input(2)?, call.input(4)?);
    let out = mixture(cx, call.input(0)?, &shares, |cx, x, e| {
        let y = linear(cx, x, first, call.optional(3), e)?;
        let third = match call.optional(6) {
            Some(weights) => Some(linear(cx, x, weights, call.optional(7), e)?),
            None => None,
        };
        let y = activation.apply(cx, &y, third.as_ref())?;
        linear(cx, &y, second, call.optional(5), e)
    })?;
    Ok(vec![out])
}

/// A stack of quantised matrices `[experts, n, k]`.
struct Codes<'a> {
    codes: &'a Tensor,
    scales: &'a Tensor,
    zero: Option<&'a Tensor>,
    bias: Option<&'a Val>,
    bits: i64,
    /// Elements of k that share a scale; 0 if all do.
    block: usize,
}

impl Codes<'_> {
    /// x times the transpose of expert `e`'s dequantised matrix, with its bias.
    fn linear(&self, cx: &mut Lower, x: &Val, e: usize) -> Made {
        let [_, n, bytes] = *self.codes.shape() else {
            return Err(OpError::input("the codes have not three axes"));
        };
        let per_byte = 8 / size(self.bits, "expert_weight_bits")?.min(8);
        let k = bytes * per_byte;
        let own = |stack: &Tensor| tensor(stack.at(e));
        let scales = own(self.scales)?;
        let blocks = match self.block {
            0 => 1,
            block => k.div_ceil(block),
        };
        let scales = tensor(scales.reshape([n, blocks]))?;
        let codes = unpacked(&own(self.codes)?, codes_of(self.bits)?, n, k)?;
        let zero = match self.zero {
            Some(zero) if self.block > 0 || self.bits == 8 => Some(Val::constant(tensor(
                own(zero)?.reshape([own(zero)?.elements()]),
            )?)),
            Some(_) => {
                return Err(OpError::unsupported(
                    "packed zero points of whole columns are not supported",
                    "quantise in blocks",
                ));
            }
            None => None,
        };
        let zero = zero_points(zero.as_ref(), self.bits, n, blocks)?;
        let block = if self.block == 0 { k } else { self.block };
        if !block.is_multiple_of(16) && block < k {
            return Err(OpError::unsupported(
                format!("blocks of {block} are not supported"),
                "quantise in blocks of a multiple of 16",
            ));
        }
        let op = Op::MatMulDequantized {
            block,
            transposed: true,
        };
        let [codes, scales, zero] = [codes, scales, zero].map(Val::constant);
        let y = cx.apply(op, &[x, &codes, &scales, &zero])?;
        add_bias(cx, &y, self.bias, e)
    }
}

/// `QMoE`: the matrices of the experts are codes.
pub fn qmoe(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let kind = attributes.text_or("quant_type", "int")?;
    if kind != "int" {
        return Err(OpError::unsupported(
            format!("quant_type=`{kind}` is not supported"),
            "quantise the experts to integers of 4 or 8 bits",
        ));
    }
    if attributes.int_or("weights_prepacked", 0)? > 0 {
        return Err(OpError::unsupported(
            "weights in the order of one processor are not supported",
            "export for the CPU, without prepacking",
        ));
    }
    let activation = Activation::of(call)?;
    let block = attributes.int_or("block_size", 0)?.max(0) as usize;
    let bits = attributes.int_or("expert_weight_bits", 4)?;
    let stack = |at: usize, zero: usize, bits_of: &str| -> Result<Codes, OpError> {
        let known = |i: usize, what| call.optional(i).map(|v| constant(v, what)).transpose();
        Ok(Codes {
            codes: constant(call.input(at)?, "weights of experts")?,
            scales: constant(call.input(at + 1)?, "scales")?,
            zero: known(zero, "zero points")?,
            bias: call.optional(at + 2),
            bits: attributes.int_or(bits_of, bits)?,
            block,
        })
    };
    let first = stack(2, 11, "fc1_expert_weight_bits")?;
    let second = stack(5, 12, "fc2_expert_weight_bits")?;
    let third = match call.optional(8) {
        Some(_) => Some(stack(8, 13, "fc3_expert_weight_bits")?),
        None => None,
    };
    let shares = shares(cx, call, call.optional(14), false)?;
    let out = mixture(cx, call.input(0)?, &shares, |cx, x, e| {
        let y = first.linear(cx, x, e)?;
        let gate = third
            .as_ref()
            .map(|third| third.linear(cx, x, e))
            .transpose()?;
        let y = activation.apply(cx, &y, gate.as_ref())?;
        second.linear(cx, &y, e)
    })?;
    Ok(vec![out])
}
