//! The result type of each op: element type and shape here, layout in `layout`.
//!
//! Two dims go together if they are the same polynomial; broadcasting also takes a constant 1. Nothing is
//! assumed about symbols that differ: `seq` and `past + seq` do not broadcast.

mod layout;
mod quant;
mod spatial;

use crate::dim::Dim;
use crate::op::{BinaryOp, CmpOp, MaskForm, Op, ReduceOp, UnaryOp};
use crate::types::{Layout, Tables, Type};
use llmc_tensor::DType;

/// Operands do not fit an op.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}({}): {message}", operands.join(", "))]
pub struct TypeError {
    /// The op, as in text.
    pub op: String,
    /// Types of the operands, as in text.
    pub operands: Vec<String>,
    /// What was expected and what was found.
    pub message: String,
}

impl TypeError {
    /// An error of `op` on operands of these types.
    pub fn new(op: &Op, operands: &[&Type], message: impl Into<String>) -> TypeError {
        let operands = operands.iter().map(|t| t.to_string()).collect();
        TypeError {
            op: op.to_string(),
            operands,
            message: message.into(),
        }
    }
}

/// The type of `op`'s result on operands of these types. [`Op::Input`] has no type of its own and is an error.
///
/// # Errors
/// If the operands do not fit the op.
pub fn infer(op: &Op, operands: &[&Type], tables: &Tables) -> Result<Type, TypeError> {
    let fail = |message| TypeError::new(op, operands, message);
    let (least, most) = op.arity().map_or((1, usize::MAX), |n| (n, n));
    if operands.len() < least || operands.len() > most {
        let want = op
            .arity()
            .map_or("one or more operands".into(), |n| format!("{n} operands"));
        return Err(fail(format!("takes {want}, found {}", operands.len())));
    }
    let ty = shape_rule(op, operands, tables).map_err(fail)?;
    let layout = layout::layout_rule(op, operands, &ty, tables).map_err(fail)?;
    Ok(ty.with_layout(layout))
}

type Rule<T> = Result<T, String>;

/// Dtype and shape; the layout is left replicated. The number of operands has been checked.
fn shape_rule(op: &Op, operands: &[&Type], tables: &Tables) -> Rule<Type> {
    match (op, operands) {
        (Op::Input, _) => Err("the type of an input is given, not inferred".into()),
        (Op::Const(id), _) => Ok(tables
            .constant(*id)
            .ok_or_else(|| format!("there is no constant {id}"))?
            .ty()),
        (Op::Unary(f), [x]) => unary(*f, x),
        (Op::Binary(f), [a, b]) => binary(*f, a, b),
        (Op::Compare(f), [a, b]) => {
            same_dtype(a, b)?;
            let ordered = !matches!(f, CmpOp::Eq | CmpOp::Ne);
            check(!(ordered && a.dtype == DType::Bool), || {
                "bools have no order".into()
            })?;
            Ok(Type::new(DType::Bool, broadcast(&a.shape, &b.shape)?))
        }
        (Op::Where, [c, a, b]) => {
            check(c.dtype == DType::Bool, || {
                format!("the condition must be bool, is {}", c.dtype)
            })?;
            same_dtype(a, b)?;
            Ok(Type::new(
                a.dtype,
                broadcast(&broadcast(&a.shape, &b.shape)?, &c.shape)?,
            ))
        }
        (Op::Cast(to), [x]) => Ok(Type::new(*to, x.shape.clone())),
        (Op::BitCast(to), [x]) => {
            check(to.bits() == x.dtype.bits(), || {
                format!("{} and {to} differ in width", x.dtype)
            })?;
            Ok(Type::new(*to, x.shape.clone()))
        }
        (Op::Reshape { shape }, [x]) => {
            let new = Type::new(x.dtype, shape.clone());
            check(x.elements().known_eq(&new.elements()), || {
                format!("{} elements cannot become {}", x.elements(), new.elements())
            })?;
            Ok(new)
        }
        (Op::Transpose { perm }, [x]) => {
            let mut sorted = perm.clone();
            sorted.sort_unstable();
            let is_perm = sorted.into_iter().eq(0..x.rank());
            check(is_perm, || {
                format!("{perm:?} is not a permutation of {} axes", x.rank())
            })?;
            Ok(Type::new(
                x.dtype,
                perm.iter().map(|i| x.shape[*i].clone()).collect::<Vec<_>>(),
            ))
        }
        (Op::Expand { shape }, [x]) => {
            let result = broadcast(&x.shape, shape)?;
            check(result == *shape, || {
                format!("the operand does not broadcast to {shape:?}")
            })?;
            Ok(Type::new(x.dtype, result))
        }
        (Op::Concat { axis }, [first, rest @ ..]) => concat(*axis, first, rest),
        (
            Op::Slice {
                axis,
                start,
                end,
                step,
            },
            [x],
        ) => {
            let dim = dim_at(x, *axis)?;
            Ok(with_dim(x, *axis, slice_len(dim, start, end, *step)?))
        }
        (Op::Gather { axis }, [data, indices]) => {
            dim_at(data, *axis)?;
            index_dtype(indices)?;
            let (before, after) = data.shape.split_at(*axis);
            Ok(Type::new(
                data.dtype,
                [before, &indices.shape, &after[1..]].concat(),
            ))
        }
        (Op::GatherNd { batch_dims }, [data, indices]) => gather_nd(*batch_dims, data, indices),
        (Op::ScatterNd { batch_dims, op }, [data, indices, updates]) => {
            spatial::scatter_nd(*op, *batch_dims, [data, indices, updates])
        }
        (Op::Pad { before, after }, [x, value]) => spatial::pad(before, after, x, value),
        (
            Op::Windows {
                kernel,
                strides,
                dilations,
            },
            [x],
        ) => spatial::windows(kernel, strides, dilations, x),
        (Op::TopK { axis, k, .. }, [x]) => spatial::top_k(*axis, *k, x),
        (Op::Reduce { op, axes, keepdims }, [x]) => reduce(*op, axes, *keepdims, x),
        (Op::Softmax { axis }, [x]) => {
            dim_at(x, *axis)?;
            float(x)?;
            Ok(same(x))
        }
        (Op::CumSum { axis, .. }, [x]) => {
            dim_at(x, *axis)?;
            numeric(x)?;
            Ok(same(x))
        }
        (Op::Trilu { .. }, [x]) => {
            check(x.rank() >= 2, || "the operand needs two dims".into())?;
            Ok(same(x))
        }
        (Op::MatMul, [a, b]) => matmul(a, b),
        (Op::Dequantize { axis, block }, [codes, scale, zero]) => {
            quant::dequantize(*axis, *block, [codes, scale, zero])
        }
        (Op::MatMulDequantized { block, transposed }, [x, codes, scale, zero]) => {
            quant::matmul(x, *block, *transposed, [codes, scale, zero])
        }
        (Op::RoundTrip(dtype), [x, scale, zero]) => quant::round_trip(*dtype, [x, scale, zero]),
        (Op::DynamicRoundTrip(_), [x]) => {
            float(x)?;
            check(x.rank() > 0, || "the operand needs a dim".into())?;
            Ok(same(x))
        }
        (Op::PositionRows { rows, .. }, [table]) => {
            let d = dims(table, "the table [n, d]", 2)?;
            Ok(Type::new(table.dtype, [rows.clone(), d[1].clone()]))
        }
        (
            Op::Mask {
                form, rows, cols, ..
            },
            _,
        ) => {
            let dtype = match form {
                MaskForm::Bool => DType::Bool,
                MaskForm::Additive(_) => DType::F32,
            };
            Ok(Type::new(
                dtype,
                [Dim::one(), Dim::one(), rows.clone(), cols.clone()],
            ))
        }
        (Op::Append { state }, [new]) => {
            let state = tables
                .state(*state)
                .ok_or_else(|| format!("there is no state {state}"))?;
            let [batch, heads, _, head_dim] = state.shape.as_slice() else {
                return Err(format!(
                    "state \"{}\" must have 4 dims, has {:?}",
                    state.name, state.shape
                ));
            };
            let [b, s, width] = dims(new, "the operand [batch, seq, kv_heads * head_dim]", 3)?
            else {
                return Err("the operand needs 3 dims".into());
            };
            check(
                new.dtype == state.dtype || new.dtype.is_float() && state.dtype.is_float(),
                || {
                    format!(
                        "state \"{}\" holds {}, the operand is {}",
                        state.name, state.dtype, new.dtype
                    )
                },
            )?;
            equal("batch of operand and state", b, batch)?;
            equal(
                "width of the operand and kv_heads * head_dim",
                width,
                &(heads * head_dim),
            )?;
            let total = Dim::past() + s.clone();
            Ok(Type::new(
                state.dtype,
                [batch.clone(), heads.clone(), total, head_dim.clone()],
            ))
        }
        (Op::RmsNorm { .. }, [x, w]) => rms_norm(x, w),
        (Op::LayerNorm { .. }, [x, w, b]) => norm(x, &[w, b]),
        (
            Op::Rope {
                heads,
                head_dim,
                rotary_dim,
                ..
            },
            [x, cos, sin],
        ) => rope(*heads, *head_dim, *rotary_dim, [x, cos, sin]),
        (
            Op::Attention {
                heads,
                kv_heads,
                head_dim,
                scores,
                weights,
                ..
            },
            [q, k, v, sink @ ..],
        ) if sink.len() <= 1 => {
            quant::codes(scores.iter().chain(weights))?;
            if let [sink] = sink {
                float(sink)?;
                equal("sinks and heads", &sink.elements(), &Dim::from(*heads))?;
            }
            attention(*heads, *kv_heads, *head_dim, [q, k, v])
        }
        (Op::SiluMul, [g, u]) => {
            float(g)?;
            same_dtype(g, u)?;
            check(g.shape == u.shape, || {
                "both operands must have the same shape".into()
            })?;
            Ok(same(g))
        }
        (Op::LastRow { axis }, [x]) => {
            dim_at(x, *axis)?;
            Ok(with_dim(x, *axis, Dim::one()))
        }
        (Op::AllGather | Op::Carry, [x]) => Ok(same(x)),
        (Op::Repeat { count }, [carry, next]) => {
            check(*count >= 2, || {
                format!("takes 2 turns or more, not {count}")
            })?;
            let same_type = (carry.dtype, &carry.shape) == (next.dtype, &next.shape);
            check(same_type, || {
                "a turn must end with the type it began with".into()
            })?;
            Ok(same(carry))
        }
        // arity was checked; this arm only satisfies the compiler that slices have the right length
        _ => Err(format!(
            "takes another number of operands than {}",
            operands.len()
        )),
    }
}

fn unary(f: UnaryOp, x: &Type) -> Rule<Type> {
    match f {
        UnaryOp::Not => check(x.dtype == DType::Bool, || {
            format!("needs bool, found {}", x.dtype)
        })?,
        UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Relu => numeric(x)?,
        _ => float(x)?,
    }
    let to_bool = matches!(f, UnaryOp::IsNan | UnaryOp::IsInf);
    Ok(Type::new(
        if to_bool { DType::Bool } else { x.dtype },
        x.shape.clone(),
    ))
}

fn binary(f: BinaryOp, a: &Type, b: &Type) -> Rule<Type> {
    match f {
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => {
            check(!a.dtype.is_float(), || {
                format!("needs bools or integers, found {}", a.dtype)
            })?;
            same_dtype(a, b)?;
        }
        BinaryOp::Shl | BinaryOp::Shr => {
            check(a.dtype.is_int(), || {
                format!("needs integers, found {}", a.dtype)
            })?;
            same_dtype(a, b)?;
        }
        BinaryOp::Pow => {
            numeric(a)?;
            numeric(b)?;
        }
        _ => {
            numeric(a)?;
            same_dtype(a, b)?;
        }
    }
    Ok(Type::new(a.dtype, broadcast(&a.shape, &b.shape)?))
}

fn concat(axis: usize, first: &Type, rest: &[&Type]) -> Rule<Type> {
    let mut total = dim_at(first, axis)?.clone();
    for x in rest {
        same_dtype(first, x)?;
        let others = |t: &Type| {
            t.shape
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != axis)
                .map(|(_, d)| d.clone())
                .collect()
        };
        let (a, b): (Vec<Dim>, Vec<Dim>) = (others(first), others(x));
        check(first.rank() == x.rank() && a == b, || {
            format!(
                "operands may differ in axis {axis} only: {:?} and {:?}",
                first.shape, x.shape
            )
        })?;
        total = &total + dim_at(x, axis)?;
    }
    Ok(with_dim(first, axis, total))
}

fn slice_len(dim: &Dim, start: &Dim, end: &Dim, step: i64) -> Rule<Dim> {
    check(step != 0, || "step must not be 0".into())?;
    let outside = |what: &str, at: &Dim| format!("{what} {at} is outside the dim {dim}");
    // what can be known is checked here; the evaluator checks the rest
    let below = |d: &Dim, least: i64| d.as_const().is_some_and(|v| v < least);
    let above = |d: &Dim, slack: i64| {
        (&(d + &Dim::from(slack)) - dim)
            .as_const()
            .is_some_and(|v| v > 0)
    };
    let (low, high) = if step > 0 { (0, 0) } else { (-1, 1) };
    check(!below(start, 0) && !above(start, high), || {
        outside("start", start)
    })?;
    check(!below(end, low) && !above(end, 0), || outside("end", end))?;
    let span = if step > 0 { end - start } else { start - end };
    let step = Dim::from(step.saturating_abs());
    let len = match (span.as_const(), step.as_const()) {
        (Some(n), Some(s)) => Some(Dim::from(n.max(0).saturating_add(s - 1) / s)),
        _ => span.exact_div(&step),
    };
    len.ok_or_else(|| format!("length {span} is not a multiple of the step {step}"))
}

fn gather_nd(batch_dims: usize, data: &Type, indices: &Type) -> Rule<Type> {
    index_dtype(indices)?;
    let (last, lead) = indices.shape.split_last().ok_or("indices need a dim")?;
    let tuple = last.as_const().and_then(|n| usize::try_from(n).ok());
    let tuple =
        tuple.ok_or_else(|| format!("the last dim of indices must be constant, is {last}"))?;
    let used = batch_dims.saturating_add(tuple);
    check(used <= data.rank() && batch_dims <= lead.len(), || {
        format!(
            "{batch_dims} batch dims and tuples of {tuple} do not fit {:?} and {:?}",
            data.shape, indices.shape
        )
    })?;
    for (d, i) in data.shape.iter().zip(lead).take(batch_dims) {
        equal("batch dims of data and indices", d, i)?;
    }
    Ok(Type::new(data.dtype, [lead, &data.shape[used..]].concat()))
}

fn reduce(op: ReduceOp, axes: &[usize], keepdims: bool, x: &Type) -> Rule<Type> {
    if op == ReduceOp::Mean {
        float(x)?
    } else {
        numeric(x)?
    }
    check(axes.windows(2).all(|w| w[0] < w[1]), || {
        format!("axes {axes:?} must be sorted, each once")
    })?;
    if let Some(last) = axes.last() {
        dim_at(x, *last)?;
    }
    let dims = x
        .shape
        .iter()
        .enumerate()
        .filter_map(|(i, d)| match axes.contains(&i) {
            true => keepdims.then(Dim::one),
            false => Some(d.clone()),
        });
    Ok(Type::new(x.dtype, dims.collect::<Vec<_>>()))
}

fn matmul(a: &Type, b: &Type) -> Rule<Type> {
    numeric(a)?;
    let widened = a.dtype == DType::F32 && matches!(b.dtype, DType::Bf16 | DType::F16);
    check(a.dtype == b.dtype || widened, || {
        format!("{} times {} is not defined", a.dtype, b.dtype)
    })?;
    check(a.rank() > 0 && b.rank() > 0, || {
        "operands need a dim".into()
    })?;
    let (mut left, mut right) = (a.shape.clone(), b.shape.clone());
    if a.rank() == 1 {
        left.insert(0, Dim::one());
    }
    if b.rank() == 1 {
        right.push(Dim::one());
    }
    let (m, k) = (left[left.len() - 2].clone(), left[left.len() - 1].clone());
    let (k2, n) = (
        right[right.len() - 2].clone(),
        right[right.len() - 1].clone(),
    );
    equal("the dims that are summed over", &k, &k2)?;
    let mut shape = broadcast(&left[..left.len() - 2], &right[..right.len() - 2])?;
    if a.rank() > 1 {
        shape.push(m);
    }
    if b.rank() > 1 {
        shape.push(n);
    }
    Ok(Type::new(a.dtype, shape))
}

/// The weight may be shorter than the last dim, and then normalises each head.
fn rms_norm(x: &Type, w: &Type) -> Rule<Type> {
    float(x)?;
    same_dtype(x, w)?;
    let last = x.shape.last().ok_or("the operand needs a dim")?;
    let d = &dims(w, "a weight [d]", 1)?[0];
    check(last == d || last.exact_div(d).is_some(), || {
        format!("the last dim of x, {last}, is no multiple of the weight's, {d}")
    })?;
    Ok(same(x))
}

fn norm(x: &Type, weights: &[&Type]) -> Rule<Type> {
    float(x)?;
    let last = x.shape.last().ok_or("the operand needs a dim")?;
    for w in weights {
        same_dtype(x, w)?;
        equal(
            "last dim of x and the weight",
            last,
            &dims(w, "a weight [d]", 1)?[0],
        )?;
    }
    Ok(same(x))
}

fn rope(heads: usize, head_dim: usize, rotary_dim: usize, [x, cos, sin]: [&Type; 3]) -> Rule<Type> {
    float(x)?;
    let shape = dims(x, "x [batch, seq, heads * head_dim]", 3)?;
    equal(
        "width of x and heads * head_dim",
        &shape[2],
        &width(heads, head_dim)?,
    )?;
    check(
        rotary_dim.is_multiple_of(2) && rotary_dim <= head_dim,
        || format!("rotary_dim {rotary_dim} must be even and at most head_dim {head_dim}"),
    )?;
    for t in [cos, sin] {
        same_dtype(x, t)?;
        let table = dims(t, "cos and sin [seq, rotary_dim or rotary_dim / 2]", 2)?;
        equal("rows of cos and sin and seq", &table[0], &shape[1])?;
        let columns = [Dim::from(rotary_dim), Dim::from(rotary_dim / 2)];
        check(columns.contains(&table[1]), || {
            format!(
                "cos and sin have {} columns, not {} or {}",
                table[1], columns[0], columns[1]
            )
        })?;
    }
    check(cos.shape == sin.shape, || {
        "cos and sin must have the same shape".into()
    })?;
    Ok(same(x))
}

fn attention(heads: usize, kv_heads: usize, head_dim: usize, [q, k, v]: [&Type; 3]) -> Rule<Type> {
    float(q)?;
    float(k)?;
    same_dtype(k, v)?;
    check(kv_heads > 0 && heads.is_multiple_of(kv_heads), || {
        format!("{heads} heads cannot share {kv_heads} kv heads")
    })?;
    let query = dims(q, "q [batch, seq, heads * head_dim]", 3)?;
    equal(
        "width of q and heads * head_dim",
        &query[2],
        &width(heads, head_dim)?,
    )?;
    let key = dims(k, "k [batch, kv_heads, past + seq, head_dim]", 4)?;
    check(k.shape == v.shape, || {
        "k and v must have the same shape".into()
    })?;
    equal("batch of q and k", &query[0], &key[0])?;
    equal("heads of k and kv_heads", &key[1], &Dim::from(kv_heads))?;
    equal("last dim of k and head_dim", &key[3], &Dim::from(head_dim))?;
    Ok(same(q))
}

// ---- conditions ----

fn check(ok: bool, message: impl FnOnce() -> String) -> Rule<()> {
    if ok { Ok(()) } else { Err(message()) }
}

fn equal(what: &str, a: &Dim, b: &Dim) -> Rule<()> {
    check(a.known_eq(b), || {
        format!("{what} must be equal: {a} and {b}")
    })
}

fn same_dtype(a: &Type, b: &Type) -> Rule<()> {
    check(a.dtype == b.dtype, || {
        format!("element types must be equal: {} and {}", a.dtype, b.dtype)
    })
}

fn float(x: &Type) -> Rule<()> {
    check(x.dtype.is_float(), || {
        format!("needs floats, found {}", x.dtype)
    })
}

fn numeric(x: &Type) -> Rule<()> {
    check(x.dtype != DType::Bool, || {
        "needs numbers, found bool".into()
    })
}

fn index_dtype(x: &Type) -> Rule<()> {
    check(matches!(x.dtype, DType::I32 | DType::I64), || {
        format!("indices must be i32 or i64, are {}", x.dtype)
    })
}

fn dim_at(x: &Type, axis: usize) -> Rule<&Dim> {
    x.shape
        .get(axis)
        .ok_or_else(|| format!("axis {axis} is outside of {} dims", x.rank()))
}

fn dims<'a>(x: &'a Type, what: &str, rank: usize) -> Rule<&'a [Dim]> {
    check(x.rank() == rank, || {
        format!("{what} needs {rank} dims, found {:?}", x.shape)
    })?;
    Ok(&x.shape)
}

fn width(heads: usize, head_dim: usize) -> Rule<Dim> {
    heads
        .checked_mul(head_dim)
        .map(Dim::from)
        .ok_or_else(|| "heads * head_dim overflows".into())
}

fn same(x: &Type) -> Type {
    Type {
        layout: Layout::Replicated,
        ..x.clone()
    }
}

fn with_dim(x: &Type, axis: usize, dim: Dim) -> Type {
    let mut ty = same(x);
    ty.shape[axis] = dim;
    ty
}

/// The shape that two shapes broadcast to, aligned at the last axis: dims are equal, or one of them is 1.
///
/// # Errors
/// Names the two dims that do not go together.
pub fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let rank = a.len().max(b.len());
    let at = |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).map(|i| s[i].clone());
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (Some(x), None) | (None, Some(x)) => Ok(x),
            (Some(x), Some(y)) if x == y || y.is(1) => Ok(x),
            (Some(x), Some(y)) if x.is(1) => Ok(y),
            _ => Err(format!("{a:?} and {b:?} do not broadcast")),
        })
        .collect()
}
