//! Operators that pick or place single elements by index. `GatherElements` and `ScatterElements` become the forms with
//! index tuples: with the axis last, each line of the data is a batch of its own and a tuple is one index.

use llmc_ir::{Dim, Op, ScatterOp, UnaryOp};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::{Made, iota};

/// The permutation that exchanges an axis and the last.
fn swap(rank: usize, axis: usize) -> Vec<usize> {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(axis, rank.saturating_sub(1));
    perm
}

/// result[.., i, ..] = data[.., indices[.., i, ..], ..] along an axis.
pub fn gather_elements_of(cx: &mut Lower, data: &Val, indices: &Val, axis: usize) -> Made {
    let rank = cx.rank(data)?;
    if axis >= rank {
        return Err(OpError::input(format!("axis {axis} of {rank} axes")));
    }
    let perm = swap(rank, axis);
    let indices = cx.permute(indices, perm.clone())?;
    let mut data = cx.permute(data, perm.clone())?;
    // other axes of the indices may be shorter
    for (a, extent) in cx.shape(&indices)?.into_iter().enumerate().take(rank - 1) {
        data = cx.part(&data, a, 0, extent)?;
    }
    let tuples = cx.open(&indices, rank)?;
    let picked = cx.apply(
        Op::GatherNd {
            batch_dims: rank - 1,
        },
        &[&data, &tuples],
    )?;
    cx.permute(&picked, perm)
}

/// `GatherElements`.
pub fn gather_elements(cx: &mut Lower, call: &Call) -> Out {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    same_axes(cx, "indices", indices, cx.rank(data)?)?;
    let axis = cx.axis(call, data, 0)?;
    Ok(vec![gather_elements_of(cx, data, indices, axis)?])
}

fn same_axes(cx: &Lower, what: &str, value: &Val, rank: usize) -> Result<(), OpError> {
    match cx.rank(value)? {
        found if found == rank => Ok(()),
        found => Err(OpError::input(format!(
            "{what} have {found} axes, expected {rank} as the data"
        ))),
    }
}

fn combination(call: &Call) -> Result<ScatterOp, OpError> {
    match call.attributes().text_or("reduction", "none")? {
        "none" => Ok(ScatterOp::Assign),
        "add" => Ok(ScatterOp::Add),
        "mul" => Ok(ScatterOp::Mul),
        "max" => Ok(ScatterOp::Max),
        "min" => Ok(ScatterOp::Min),
        other => Err(OpError::input(format!("reduction=`{other}` is unknown"))),
    }
}

/// `ScatterElements` and `Scatter`.
pub fn scatter_elements(cx: &mut Lower, call: &Call) -> Out {
    let [data, indices, updates] = [call.input(0)?, call.input(1)?, call.input(2)?];
    let op = combination(call)?;
    let rank = cx.rank(data)?;
    for (what, value) in [("indices", indices), ("updates", updates)] {
        same_axes(cx, what, value, rank)?;
    }
    let perm = swap(rank, cx.axis(call, data, 0)?);
    let data = cx.permute(data, perm.clone())?;
    let indices = cx.permute(indices, perm.clone())?;
    let updates = cx.permute(updates, perm.clone())?;
    let out = scatter_last(cx, op, [&data, &indices, &updates], 0)?;
    Ok(vec![cx.permute(&out, perm)?])
}

/// Scatters along the last axis; from axis `at` on, indices may be shorter than data, whose rest stays.
fn scatter_last(cx: &mut Lower, op: ScatterOp, operands: [&Val; 3], at: usize) -> Made {
    let [data, indices, updates] = operands;
    let rank = cx.rank(data)?;
    if at + 1 >= rank {
        let tuples = cx.open(indices, rank)?;
        let op = Op::ScatterNd {
            batch_dims: rank - 1,
            op,
        };
        return cx.apply(op, &[data, &tuples, updates]);
    }
    let (whole, touched) = (cx.shape(data)?[at].clone(), cx.shape(indices)?[at].clone());
    let head = cx.part(data, at, 0, touched.clone())?;
    let head = scatter_last(cx, op, [&head, indices, updates], at + 1)?;
    if whole == touched {
        return Ok(head);
    }
    let rest = cx.part(data, at, touched, whole)?;
    cx.joined(&[&head, &rest], at)
}

/// `ScatterND`.
pub fn scatter_nd(cx: &mut Lower, call: &Call) -> Out {
    let op = Op::ScatterNd {
        batch_dims: 0,
        op: combination(call)?,
    };
    Ok(vec![cx.apply(
        op,
        &[call.input(0)?, call.input(1)?, call.input(2)?],
    )?])
}

/// `TopK`: indices, and the values that they pick.
pub fn top_k(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let axis = cx.axis(call, x, -1)?;
    let k = match call.version() {
        ..10 => call.attributes().int_required("k")?,
        _ => cx.fixed_ints(call.input(1)?)?.first().copied().unwrap_or(0),
    };
    let k = usize::try_from(k).map_err(|_| OpError::input(format!("k={k} is negative")))?;
    let largest = call.attributes().flag_or("largest", true)?;
    let indices = cx.apply(Op::TopK { axis, k, largest }, &[x])?;
    let values = gather_elements_of(cx, x, &indices, axis)?;
    Ok(vec![values, indices])
}

/// `OneHot`: the values [off, on] chosen by whether an index is the place along a new axis.
pub fn one_hot(cx: &mut Lower, call: &Call) -> Out {
    let indices = call.input(0)?;
    let depth = match call.input(1)?.as_dims() {
        Some(dims) => dims.first().and_then(Dim::as_const),
        None => cx.known_floats(call.input(1)?)?.first().map(|d| *d as i64),
    };
    let depth = depth
        .and_then(|d| usize::try_from(d).ok())
        .filter(|d| *d <= 1 << 24);
    let depth =
        depth.ok_or_else(|| OpError::unsupported("a depth that is not a known number", ""))?;
    let rank = cx.rank(indices)? + 1;
    let axis = super::super::value::axis_of(call.attributes().int_or("axis", -1)?, rank)?;
    let indices = cx.cast(indices, DType::I64)?;
    let zero = cx.number(&indices, 0.0)?;
    let negative = cx.less(&indices, &zero)?;
    let wrapped = cx.plus(&indices, depth as f64)?;
    let indices = cx.pick(&negative, &wrapped, &indices)?;
    let indices = cx.open(&indices, axis)?;
    let mut shape = vec![Dim::one(); rank];
    shape[axis] = Dim::from(depth);
    let places = iota(cx, DType::I64, depth)?;
    let places = cx.reshape(&places, shape)?;
    let hit = cx.equal(&indices, &places)?;
    let values = call.input(2)?;
    let off = cx.part(values, 0, 0, 1)?;
    let on = cx.part(values, 0, 1, 2)?;
    let (off, on) = (cx.reshape(&off, Vec::new())?, cx.reshape(&on, Vec::new())?);
    Ok(vec![cx.pick(&hit, &on, &off)?])
}

/// `ReverseSequence`: the first `length` elements of each batch in reverse order.
pub fn reverse_sequence(cx: &mut Lower, call: &Call) -> Out {
    let (x, lengths) = (call.input(0)?, call.input(1)?);
    let time = usize::from(call.attributes().int_or("time_axis", 0)? != 0);
    let batch = usize::from(call.attributes().int_or("batch_axis", 1)? != 0);
    if time == batch {
        return Err(OpError::input("time_axis and batch_axis are the same"));
    }
    let rank = cx.rank(x)?;
    if rank < 2 {
        return Err(OpError::input("the operand needs axes for batch and time"));
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    if batch == 1 {
        perm.swap(0, 1);
    }
    let x = cx.permute(x, perm.clone())?;
    let n = cx.extents(&x)?[1];
    let places = iota(cx, DType::I64, n)?;
    let lengths = cx.cast(lengths, DType::I64)?;
    let lengths = cx.open(&lengths, 1)?;
    let inside = cx.less(&places, &lengths)?;
    let last = cx.plus(&lengths, -1.0)?;
    let mirrored = cx.sub(&last, &places)?;
    let from = cx.pick(&inside, &mirrored, &places)?;
    let tuples = cx.open(&from, 2)?;
    let out = cx.apply(Op::GatherNd { batch_dims: 1 }, &[&x, &tuples])?;
    Ok(vec![cx.permute(&out, perm)?])
}

/// `EyeLike`: ones on a diagonal.
pub fn eye_like(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let dtype = match call.attributes().int("dtype")? {
        None => x.dtype()?,
        Some(code) => super::elementwise::dtype_at(code)?,
    };
    let [rows, columns] = cx.extents(x)?[..] else {
        return Err(OpError::input("the operand is no matrix"));
    };
    let k = call.attributes().int_or("k", 0)?;
    let count = rows.checked_mul(columns).filter(|n| *n <= 1 << 24);
    let count = count.ok_or_else(|| OpError::unsupported("a matrix this large", ""))?;
    let on = |i: usize| (i % columns.max(1)) as i64 - (i / columns.max(1)) as i64 == k;
    let values: Vec<f64> = (0..count).map(|i| f64::from(u8::from(on(i)))).collect();
    Ok(vec![cx.known(dtype, vec![rows, columns], &values)?])
}

/// `IsInf` with the signs that count.
pub fn is_inf(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let attributes = call.attributes();
    let both = (
        attributes.flag_or("detect_negative", true)?,
        attributes.flag_or("detect_positive", true)?,
    );
    let infinite = cx.map(UnaryOp::IsInf, x)?;
    let zero = cx.number(x, 0.0)?;
    Ok(vec![match both {
        (true, true) => infinite,
        (true, false) => {
            let side = cx.less(x, &zero)?;
            cx.and(&infinite, &side)?
        }
        (false, true) => {
            let side = cx.greater(x, &zero)?;
            cx.and(&infinite, &side)?
        }
        (false, false) => {
            let side = cx.map(UnaryOp::Not, &infinite)?;
            cx.and(&infinite, &side)?
        }
    }])
}
