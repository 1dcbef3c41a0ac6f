//! The reference evaluator: the meaning of each op, written to be read, not to be fast.
//!
//! Floats are computed in f64 and rounded once, to the result's dtype; sums run in f64 over the whole axis. Integers
//! wrap at 64 bits. [`eval_op`] works on tensors alone, so that an importer can evaluate pieces of a model;
//! [`eval_graph`] runs a graph with states.

mod elementwise;
mod fused;
mod graph;
mod math;
mod movement;
mod quant;
mod spatial;
mod values;

pub use graph::{StateValue, States, bind_inputs, eval_graph, eval_graph_observed, fresh_states};

use crate::dim::{Bindings, Dim};
use crate::infer::infer;
use crate::op::Op;
use crate::types::{Tables, Type};
use llmc_tensor::{DType, Tensor, TensorError};

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct EvalError {
    /// The op or node, as in text.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

impl EvalError {
    /// An error at a place.
    pub fn new(at: impl ToString, message: impl ToString) -> EvalError {
        EvalError {
            at: at.to_string(),
            message: message.to_string(),
        }
    }
}

/// Larger results are refused.
const MAX_ELEMENTS: usize = 1 << 30;

/// Results of more elements than this must not have many more than their operands: a small file could otherwise ask for all memory.
const MAX_GROWN: usize = 1 << 25;

/// A message without its place.
type Eval<T> = Result<T, String>;

/// Evaluates one op on operand tensors. Symbols in attributes get their values from `bindings`. Ops that need a
/// graph ([`Op::Input`], [`Op::Const`], [`Op::Append`], [`Op::Carry`], [`Op::Repeat`]) are errors.
///
/// # Errors
/// If the operands do not fit the op, a symbol is not bound, or a value cannot be computed (an index outside of a
/// dim, an integer divided by 0).
pub fn eval_op(op: &Op, operands: &[&Tensor], bindings: &Bindings) -> Result<Tensor, EvalError> {
    eval_message(op, operands, bindings).map_err(|message| EvalError::new(op, message))
}

fn eval_message(op: &Op, operands: &[&Tensor], bindings: &Bindings) -> Eval<Tensor> {
    for dim in op.dims() {
        dim.eval(bindings).map_err(|e| e.to_string())?;
    }
    let values = bindings
        .iter()
        .map(|(s, v)| (s.clone(), Dim::from(v)))
        .collect();
    let op = &op.substitute(&values);
    let types: Vec<Type> = operands.iter().map(|t| Type::of(t)).collect();
    let ty = match op {
        Op::Append { .. } => return Err("appending needs a graph with states".into()),
        Op::Carry | Op::Repeat { .. } => return Err("repeating needs a graph".into()),
        // values outside of a graph have no layout
        Op::AllGather => types.first().cloned().ok_or("takes 1 operand")?,
        _ => infer(op, &types.iter().collect::<Vec<_>>(), &Tables::default()).map_err(|e| {
            let types: Vec<String> = types.iter().map(Type::to_string).collect();
            format!("{} (operands {})", e.message, types.join(", "))
        })?,
    };
    let shape = ty
        .const_shape()
        .ok_or_else(|| format!("the result's shape {:?} is not a shape", ty.shape))?;
    let held: usize = operands.iter().map(|t| t.elements()).sum();
    let most = held.saturating_mul(2).clamp(MAX_GROWN, MAX_ELEMENTS);
    let count = llmc_tensor::tensor::elements(&shape).filter(|n| *n <= most);
    count.ok_or_else(|| format!("a result of shape {shape:?} is too large to be evaluated"))?;
    let packed = operands
        .iter()
        .map(|t| t.dtype())
        .chain([ty.dtype])
        .find(|d| d.bits() < 8);
    if let (Some(dtype), Op::Transpose { .. } | Op::Slice { .. } | Op::Gather { .. }) = (packed, op)
    {
        return repacked(op, operands, dtype, shape);
    }
    let knows_packed = matches!(
        op,
        Op::Cast(_)
            | Op::BitCast(_)
            | Op::Reshape { .. }
            | Op::Dequantize { .. }
            | Op::MatMulDequantized { .. }
    );
    if let (Some(dtype), false) = (packed, knows_packed) {
        return Err(format!("{dtype} can only be moved, cast and dequantised"));
    }
    kernel(op, operands, ty.dtype, shape)
}

/// Moves elements of a type narrower than a byte: as bytes.
fn repacked(op: &Op, operands: &[&Tensor], dtype: DType, shape: Vec<usize>) -> Eval<Tensor> {
    let wide = if dtype.is_signed_int() {
        DType::I8
    } else {
        DType::U8
    };
    let mut operands = operands.to_vec();
    let Some(first) = operands.first_mut() else {
        return Err("takes one or more operands".into());
    };
    let unpacked = first.cast(wide).map_err(text)?;
    *first = &unpacked;
    kernel(op, &operands, wide, shape)?
        .cast(dtype)
        .map_err(text)
}

/// Shapes and dtypes have been checked by inference; dims in `op` are constants.
fn kernel(op: &Op, operands: &[&Tensor], dtype: DType, shape: Vec<usize>) -> Eval<Tensor> {
    match (op, operands) {
        (Op::Unary(f), [x]) => elementwise::unary(*f, x),
        (Op::Binary(f), [a, b]) => elementwise::binary(*f, a, b, shape),
        (Op::Compare(f), [a, b]) => elementwise::compare(*f, a, b, shape),
        (Op::Where, [c, a, b]) => elementwise::select(c, a, b, shape),
        (Op::Cast(to), [x]) if x.dtype().is_float() && to.is_int() && to.bits() < 32 => {
            // Narrow integers wrap around.
            let values: Vec<i64> = x.to_f64_vec().into_iter().map(|v| v as i64).collect();
            Tensor::from_i64(*to, x.shape(), &values).map_err(text)
        }
        (Op::Cast(to), [x]) => x.cast(*to).map_err(text),
        (Op::BitCast(to), [x]) => Tensor::new(*to, shape, x.data().clone()).map_err(text),
        (Op::Reshape { .. }, [x]) => x.reshape(shape).map_err(text),
        (Op::Transpose { perm }, [x]) => movement::transpose(x, perm, shape),
        (Op::Expand { .. }, [x]) => movement::expand(x, shape),
        (Op::Concat { axis }, parts) => movement::concat(parts, *axis, shape),
        (
            Op::Slice {
                axis, start, step, ..
            },
            [x],
        ) => movement::slice(x, *axis, constant(start)?, *step, shape),
        (Op::Gather { axis }, [data, indices]) => movement::gather(data, indices, *axis, shape),
        (Op::GatherNd { batch_dims }, [data, indices]) => {
            movement::gather_nd(data, indices, *batch_dims, shape)
        }
        (Op::ScatterNd { batch_dims, op }, [data, indices, updates]) => {
            spatial::scatter_nd(*op, *batch_dims, [data, indices, updates])
        }
        (Op::Pad { before, .. }, [x, value]) => spatial::pad(x, value, before, shape),
        (
            Op::Windows {
                strides, dilations, ..
            },
            [x],
        ) => spatial::windows(x, strides, dilations, shape),
        (Op::TopK { axis, k, largest }, [x]) => spatial::top_k(x, *axis, *k, *largest),
        (Op::Reduce { op, axes, .. }, [x]) => math::reduce(*op, x, axes, shape),
        (Op::Softmax { axis }, [x]) => math::softmax(x, *axis),
        (
            Op::CumSum {
                axis,
                exclusive,
                reverse,
            },
            [x],
        ) => math::cumsum(x, *axis, *exclusive, *reverse),
        (Op::Trilu { upper, k }, [x]) => movement::trilu(x, *upper, constant(k)?),
        (Op::MatMul, [a, b]) => math::matmul(a, b, shape),
        (Op::Dequantize { axis, block }, [codes, scale, zero]) => {
            quant::dequantize(*axis, *block, [codes, scale, zero])
        }
        (Op::MatMulDequantized { block, transposed }, [x, codes, scale, zero]) => {
            let along = usize::from(*transposed);
            let wide = scale.cast(dtype).map_err(text)?;
            let mut weight = quant::dequantize(along, *block, [codes, &wide, zero])?;
            if *transposed {
                let turned = weight.shape().iter().rev().copied().collect();
                weight = movement::transpose(&weight, &[1, 0], turned)?;
            }
            math::matmul(x, &weight, shape)
        }
        (Op::RoundTrip(codes), [x, scale, zero]) => quant::round_trip(*codes, [x, scale, zero]),
        (Op::DynamicRoundTrip(range), [x]) => quant::dynamic_round_trip(*range, x),
        (Op::PositionRows { start, short, .. }, [table]) => {
            let (start, rows) = (constant(start)?, table.shape()[0]);
            let total = start.saturating_add(shape[0] as i64);
            let long = *short > 0 && total > *short as i64;
            let start = if long {
                start.saturating_add(*short as i64)
            } else {
                start
            };
            let inside = usize::try_from(start).is_ok_and(|s| s.saturating_add(shape[0]) <= rows);
            if !inside {
                return Err(format!(
                    "rows {start} .. {start} + {} are outside of the table's {rows} rows",
                    shape[0]
                ));
            }
            movement::slice(table, 0, start, 1, shape)
        }
        (Op::Mask { kind, form, .. }, []) => fused::mask(*kind, *form, shape),
        (Op::RmsNorm { eps }, [x, w]) => fused::rms_norm(x, w, eps.get()),
        (Op::LayerNorm { eps }, [x, w, b]) => fused::layer_norm(x, w, b, eps.get()),
        (
            Op::Rope {
                heads,
                head_dim,
                rotary_dim,
                interleaved,
            },
            [x, cos, sin],
        ) => fused::rope(
            [*heads, *head_dim, *rotary_dim],
            *interleaved,
            [x, cos, sin],
        ),
        (
            Op::Attention {
                heads,
                kv_heads,
                head_dim,
                scale,
                mask,
                softcap,
                scores,
                weights,
            },
            [q, k, v, sink @ ..],
        ) => {
            let attention = fused::Attention {
                heads: *heads,
                kv_heads: *kv_heads,
                head_dim: *head_dim,
                scale: f64::from(scale.get()),
                mask: *mask,
                softcap: softcap.map(|c| f64::from(c.get())),
                scores: *scores,
                weights: *weights,
            };
            attention.eval(q, k, v, sink.first().copied())
        }
        (Op::SiluMul, [g, u]) => {
            let product = elementwise::silu_mul(g, u);
            Tensor::from_f64(dtype, shape, &product).map_err(text)
        }
        (Op::LastRow { axis }, [x]) => match x.shape()[*axis].checked_sub(1) {
            Some(last) => movement::slice(x, *axis, last as i64, 1, shape),
            None => Err("there is no last row of no rows".into()),
        },
        (Op::AllGather, [x]) => Ok((*x).clone()),
        (Op::Input | Op::Const(_) | Op::Append { .. } | Op::Carry | Op::Repeat { .. }, _) => {
            Err("has a value in a graph only".into())
        }
        _ => Err(format!(
            "takes another number of operands than {}",
            operands.len()
        )),
    }
}

fn constant(dim: &Dim) -> Eval<i64> {
    dim.as_const().ok_or_else(|| format!("{dim} has no value"))
}

fn text(e: TensorError) -> String {
    e.to_string()
}
