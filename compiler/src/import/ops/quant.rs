//! Quantised weights and activations: whatever an exporter writes becomes `(codes - zero) * scale`.
//!
//! Activations that are quantised and dequantised again, by a scale of the file or by one of their own range, are rounded in place:
//! between the two operators the graph holds the rounded numbers, not the codes. A range of its own is that of all tokens of a launch, as the file
//! says, or that of each token, so that a result does not depend on how a prompt was cut.

use llmc_ir::{BinaryOp, Dim, Op, ReduceOp};
use llmc_tensor::{DType, Tensor};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::model::ValueIx;
use super::super::value::{Val, axis_of};
use super::Out;
use super::elementwise::{cast_to, dtype_at};
use super::integer::{rounded, shifted};

/// Attributes of `MatMulNBits`.
pub const NBITS: &[&str] = &[
    "K",
    "N",
    "accuracy_level",
    "bits",
    "block_size",
    "weight_prepacked",
];
/// Attributes of `GatherBlockQuantized`.
pub const GATHER: &[&str] = &["bits", "block_size", "gather_axis", "quantize_axis"];
/// Attributes of `DequantizeLinear`.
pub const DEQUANTIZE: &[&str] = &["axis", "block_size", "output_dtype"];
/// Attributes of `QuantizeLinear`.
pub const QUANTIZE: &[&str] = &[
    "axis",
    "block_size",
    "output_dtype",
    "precision",
    "saturate",
];

/// The tensor, or that the file is wrong.
pub(super) fn tensor(made: Result<Tensor, llmc_tensor::TensorError>) -> Result<Tensor, OpError> {
    made.map_err(|e| OpError::input(e.to_string()))
}

/// An attribute that is a size.
pub(super) fn size(n: i64, what: &str) -> Result<usize, OpError> {
    usize::try_from(n)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| OpError::input(format!("{what} is {n}")))
}

/// The tensor of an operand that must be a constant.
pub(super) fn constant<'v>(val: &'v Val, what: &str) -> Result<&'v Tensor, OpError> {
    val.as_const().ok_or_else(|| {
        OpError::unsupported(
            format!("{what} that are no constants are not supported"),
            "",
        )
    })
}

/// Unsigned codes of so many bits.
pub(super) fn codes_of(bits: i64) -> Result<DType, OpError> {
    match bits {
        2 => Ok(DType::U2),
        4 => Ok(DType::U4),
        8 => Ok(DType::U8),
        _ => Err(OpError::unsupported(
            format!("codes of {bits} bits are not supported"),
            "quantise to 2, 4 or 8 bits",
        )),
    }
}

/// Rows of packed codes: `[rows, columns]`, where a row begins at a byte and may be longer.
pub(super) fn unpacked(
    packed: &Tensor,
    dtype: DType,
    rows: usize,
    columns: usize,
) -> Result<Tensor, OpError> {
    let stride = packed.elements() / rows.max(1) * 8 / dtype.bits();
    if stride < columns || !packed.elements().is_multiple_of(rows.max(1)) {
        return Err(OpError::input(format!(
            "{} bytes are not {rows} rows of {columns} codes",
            packed.elements()
        )));
    }
    let whole = tensor(Tensor::new(dtype, [rows, stride], packed.data().clone()))?;
    if stride == columns {
        return Ok(whole);
    }
    let bytes = tensor(whole.cast(DType::U8))?;
    let kept: Vec<u8> = bytes
        .bytes()
        .chunks(stride)
        .flat_map(|r| &r[..columns])
        .copied()
        .collect();
    let kept = tensor(Tensor::new(DType::U8, [rows, columns], kept))?;
    tensor(kept.cast(dtype))
}

/// Zero points of `[rows, blocks]`: packed as the codes are, floats that are whole numbers, or absent for half of the range.
pub(super) fn zero_points(
    zero: Option<&Val>,
    bits: i64,
    rows: usize,
    blocks: usize,
) -> Result<Tensor, OpError> {
    let half = 1i64 << (bits - 1);
    let Some(zero) = zero else {
        return tensor(Tensor::from_i64(DType::U8, [1, 1], &[half]));
    };
    let zero = constant(zero, "zero points")?;
    if !zero.dtype().is_float() {
        return unpacked(zero, codes_of(bits)?, rows, blocks);
    }
    let values = zero.to_f64_vec();
    if values
        .iter()
        .any(|z| z.fract() != 0.0 || !(0.0..=255.0).contains(z))
    {
        return Err(OpError::unsupported(
            "zero points between codes are not supported",
            "quantise with integer zero points",
        ));
    }
    tensor(Tensor::from_f64(DType::U8, [rows, blocks], &values))
}

/// `MatMulNBits`: x times the transpose of dequantised `[N, K]`.
pub fn matmul_nbits(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let bits = attributes.int_or("bits", 4)?;
    let dtype = codes_of(bits)?;
    let k = size(attributes.int_required("K")?, "K")?;
    let n = size(attributes.int_required("N")?, "N")?;
    let block = size(attributes.int_required("block_size")?, "block_size")?;
    if attributes.int_or("weight_prepacked", 0)? != 0 {
        return Err(OpError::unsupported(
            "weights in the order of one processor are not supported",
            "export with matmulnbits_weights_prepacked=0",
        ));
    }
    if call.optional(4).is_some() {
        return Err(OpError::unsupported(
            "groups whose members lie apart (g_idx) are not supported",
            "quantise without reordering (GPTQ with desc_act=false)",
        ));
    }
    let blocks = k.div_ceil(block);
    let codes = unpacked(constant(call.input(1)?, "weights")?, dtype, n, k)?;
    let scales = tensor(constant(call.input(2)?, "scales")?.reshape([n, blocks]))?;
    let zero = zero_points(call.optional(3), bits, n, blocks)?;
    let op = match block % 16 == 0 || block >= k {
        true => Op::MatMulDequantized {
            block,
            transposed: true,
        },
        false => {
            return Err(OpError::unsupported(
                format!("blocks of {block} are not supported"),
                "",
            ));
        }
    };
    let [codes, scales, zero] = [codes, scales, zero].map(Val::constant);
    let mut out = cx.apply(op, &[call.input(0)?, &codes, &scales, &zero])?;
    if let Some(bias) = call.optional(5) {
        out = cx.apply(Op::Binary(BinaryOp::Add), &[&out, bias])?;
    }
    Ok(vec![out])
}

/// `GatherBlockQuantized`: rows of a dequantised table.
pub fn gather_block_quantized(cx: &mut Lower, call: &Call) -> Out {
    let attributes = call.attributes();
    let data = constant(call.input(0)?, "codes")?.clone();
    let rank = data.rank();
    let gather = axis_of(attributes.int_or("gather_axis", 0)?, rank)?;
    let axis = axis_of(attributes.int_or("quantize_axis", 1)?, rank)?;
    if rank != 2 || gather != 0 || axis != 1 {
        return Err(OpError::unsupported(
            "only rows of a matrix in blocks of columns are supported",
            "",
        ));
    }
    let bits = attributes.int_or("bits", 4)?;
    let block = size(attributes.int_or("block_size", 128)?, "block_size")?;
    let rows = data.shape()[0];
    let scales = constant(call.input(2)?, "scales")?.clone();
    let blocks = scales.elements() / rows.max(1);
    let scales = tensor(scales.reshape([rows, blocks]))?;
    let (codes, zero) = match data.dtype() {
        DType::U8 => {
            let columns = data.shape()[1] * 8 / size(bits, "bits")?;
            let codes = unpacked(&data, codes_of(bits)?, rows, columns)?;
            (codes, zero_points(call.optional(3), bits, rows, blocks)?)
        }
        dtype => {
            let zero = match call.optional(3) {
                Some(zero) => tensor(constant(zero, "zero points")?.reshape([rows, blocks]))?,
                None => tensor(Tensor::from_i64(dtype, [1, 1], &[0]))?,
            };
            (data, zero)
        }
    };
    let [codes, scales, zero] = [codes, scales, zero].map(Val::constant);
    let table = cx.apply(Op::Dequantize { axis, block }, &[&codes, &scales, &zero])?;
    Ok(vec![cx.apply(
        Op::Gather { axis: 0 },
        &[&table, call.input(1)?],
    )?])
}

/// Scale and zero point with the rank of the codes, and the axis and block they go by.
fn by_axis(
    cx: &mut Lower,
    call: &Call,
    rank: usize,
    codes: DType,
) -> Result<(Val, Val, usize, usize), OpError> {
    let attributes = call.attributes();
    let scale = call.input(1)?;
    let extents = cx.ty(scale)?.shape.clone();
    let block = attributes.int_or("block_size", 0)?;
    let (axis, block) = match (extents.len(), block) {
        (_, n) if n > 0 => (
            axis_of(attributes.int_or("axis", 1)?, rank)?,
            size(n, "block_size")?,
        ),
        (1, _) if !extents[0].is(1) => (axis_of(attributes.int_or("axis", 1)?, rank)?, 1),
        _ => (rank.saturating_sub(1), 1),
    };
    let zero = match call.optional(2) {
        Some(zero) => zero.clone(),
        None => Val::constant(tensor(Tensor::from_i64(codes, vec![1; rank], &[0]))?),
    };
    let shape_of = |cx: &Lower, by: &Val| -> Result<Vec<Dim>, OpError> {
        let own = cx.ty(by)?.shape.clone();
        if own.len() == rank && rank > 1 {
            return Ok(own);
        }
        let mut shape = vec![Dim::one(); rank];
        if own.len() == 1 && !own[0].is(1) {
            shape[axis] = own[0].clone();
        }
        Ok(shape)
    };
    let (scale_shape, zero_shape) = (shape_of(cx, scale)?, shape_of(cx, &zero)?);
    let scale = cx.reshape(scale, scale_shape)?;
    let zero = cx.reshape(&zero, zero_shape)?;
    Ok((scale, zero, axis, block))
}

/// Scales or zero points by blocks of an axis, one for each element of it.
fn spread(cx: &mut Lower, by: &Val, axis: usize, block: usize, n: &Dim) -> Result<Val, OpError> {
    let mut shape = cx.ty(by)?.shape.clone();
    if block == 1 || shape[axis].is(1) {
        return Ok(by.clone());
    }
    let blocks = shape[axis].clone();
    shape.insert(axis + 1, Dim::one());
    let by = cx.reshape(by, shape.clone())?;
    shape[axis + 1] = Dim::from(block);
    let by = cx.apply(
        Op::Expand {
            shape: shape.clone(),
        },
        &[&by],
    )?;
    shape.remove(axis + 1);
    shape[axis] = &blocks * &Dim::from(block);
    let by = cx.reshape(&by, shape)?;
    // The last block may be shorter.
    let slice = Op::Slice {
        axis,
        start: Dim::from(0i64),
        end: n.clone(),
        step: 1,
    };
    cx.apply(slice, &[&by])
}

/// `(codes - zero) * scale` of codes that are computed at run time.
fn dequantized(cx: &mut Lower, call: &Call) -> Result<Val, OpError> {
    let codes = call.input(0)?;
    let shape = cx.ty(codes)?.shape.clone();
    let (scale, zero, axis, block) = by_axis(cx, call, shape.len(), codes.dtype()?)?;
    let scale = spread(cx, &scale, axis, block, &shape[axis])?;
    let wide = match call.optional(2) {
        None => codes.clone(),
        Some(_) => {
            let zero = spread(cx, &zero, axis, block, &shape[axis])?;
            let zero = cast_to(cx, &zero, DType::I32)?;
            let wide = cast_to(cx, codes, DType::I32)?;
            cx.sub(&wide, &zero)?
        }
    };
    let wide = cast_to(cx, &wide, scale.dtype()?)?;
    cx.mul(&wide, &scale)
}

/// Codes of numbers that are computed at run time, as the program's result or for arithmetic on them.
fn quantized(cx: &mut Lower, call: &Call) -> Result<Val, OpError> {
    let x = call.input(0)?;
    let codes = match (
        call.optional(2),
        call.attributes().int_or("output_dtype", 0)?,
    ) {
        (Some(zero), _) => zero.dtype()?,
        (None, 0) => DType::U8,
        (None, code) => dtype_at(code)?,
    };
    let shape = cx.ty(x)?.shape.clone();
    let (scale, zero) = match shape.len() {
        0 => (call.input(1)?.clone(), call.optional(2).cloned()),
        rank => {
            let (scale, zero, axis, block) = by_axis(cx, call, rank, codes)?;
            let scale = spread(cx, &scale, axis, block, &shape[axis])?;
            let zero = spread(cx, &zero, axis, block, &shape[axis])?;
            (scale, call.optional(2).map(|_| zero))
        }
    };
    let scale = cast_to(cx, &scale, x.dtype()?)?;
    let scaled = cx.div(x, &scale)?;
    if codes.is_float() {
        return cast_to(cx, &scaled, codes);
    }
    let zero = match zero {
        Some(zero) => zero,
        None => cx.number(&scaled, 0.0)?,
    };
    rounded(cx, &scaled, &zero, codes)
}

/// `DequantizeLinear`.
pub fn dequantize_linear(cx: &mut Lower, call: &Call) -> Out {
    let codes = call.input(0)?;
    if codes.is_data() && matches!(codes.dtype()?, DType::F32 | DType::F16 | DType::Bf16) {
        // Rounded already, see the top of this file.
        return Ok(vec![codes.clone()]);
    }
    // Floats of 8 bits and less are numbers already, and have no zero point.
    if codes.dtype()?.is_float() && cx.ty(call.input(1)?)?.elements().is(1) {
        let scale = call.input(1)?;
        let wide = cast_to(cx, codes, scale.dtype()?)?;
        return Ok(vec![cx.apply(Op::Binary(BinaryOp::Mul), &[&wide, scale])?]);
    }
    // Codes of a table that rows are picked from: dequantise the table.
    if let Some((table, indices)) = cx.picked_rows(codes) {
        let rank = cx.ty(&table)?.rank();
        if !cx.ty(call.input(1)?)?.elements().is(1) {
            return Err(OpError::unsupported(
                "picked rows with a scale for each column are not supported",
                "",
            ));
        }
        let (scale, zero, axis, block) = by_axis(cx, call, rank, table.dtype()?)?;
        let table = cx.apply(Op::Dequantize { axis, block }, &[&table, &scale, &zero])?;
        return Ok(vec![cx.apply(Op::Gather { axis: 0 }, &[&table, &indices])?]);
    }
    let rank = cx.ty(codes)?.rank();
    if codes.is_data() && rank > 0 {
        return Ok(vec![dequantized(cx, call)?]);
    }
    if rank == 0 {
        // Numbers alone: no axis to go by.
        let wide = cast_to(cx, codes, DType::I32)?;
        let wide = match call.optional(2) {
            None => wide,
            Some(zero) => {
                let zero = cast_to(cx, zero, DType::I32)?;
                cx.apply(Op::Binary(BinaryOp::Sub), &[&wide, &zero])?
            }
        };
        let wide = cast_to(cx, &wide, call.input(1)?.dtype()?)?;
        return Ok(vec![
            cx.apply(Op::Binary(BinaryOp::Mul), &[&wide, call.input(1)?])?,
        ]);
    }
    let (scale, zero, axis, block) = by_axis(cx, call, rank, codes.dtype()?)?;
    Ok(vec![cx.apply(
        Op::Dequantize { axis, block },
        &[codes, &scale, &zero],
    )?])
}

/// `QuantizeLinear`; of tokens after a cache, only what is dequantised again by the same scale.
pub fn quantize_linear(cx: &mut Lower, call: &Call) -> Out {
    let (x, scale) = (call.input(0)?, call.input(1)?);
    if !x.is_data() {
        return Ok(vec![quantized(cx, call)?]);
    }
    let zero = match call.optional(2) {
        Some(zero) => zero.clone(),
        None => Val::constant(tensor(Tensor::from_i64(DType::U8, Vec::new(), &[0]))?),
    };
    let output = call.node.outputs.first().copied().flatten();
    let by = |i: usize| call.node.inputs.get(i).copied().flatten();
    let back = output.is_some_and(|output| {
        cx.all_users(output, |user, at| {
            let same = |i: usize| user.inputs.get(i).copied().flatten() == by(i);
            user.op == "DequantizeLinear" && at == 0 && same(1) && same(2)
        })
    });
    if back {
        let op = Op::RoundTrip(zero.dtype()?);
        return Ok(vec![cx.apply(op, &[x, scale, &zero])?]);
    }
    if !cx.has_cache() {
        return Ok(vec![quantized(cx, call)?]);
    }
    Err(OpError::unsupported(
        "quantised values of tokens that are not dequantised at once are not supported",
        "export in the QDQ format",
    ))
}

/// `DynamicQuantizeLinear` before `MatMulInteger`: the rounded numbers, with a scale of 1. Anywhere else, in a model without a cache: codes.
pub fn dynamic_quantize_linear(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let output = |i: usize| call.node.outputs.get(i).copied().flatten();
    let (codes, zero) = (output(0), output(2));
    let product = |user: &super::super::model::Node, at: usize, wanted: usize| {
        let operand = |i: usize| user.inputs.get(i).copied().flatten();
        let (factor, offset) = match user.op.as_str() {
            "MatMulInteger" => (0, 2),
            "MatMulIntegerToFloat" => (0, 4),
            _ => return false,
        };
        let place = if wanted == 0 { factor } else { offset };
        at == place && operand(factor) == codes && operand(offset) == zero
    };
    let fits = |ix: Option<ValueIx>, wanted: usize| {
        ix.is_none_or(|ix| cx.all_users(ix, |user, at| product(user, at, wanted)))
    };
    let scale_fits = output(1).is_none_or(|ix| {
        cx.all_users(ix, |user, at| {
            user.op == "Mul" || user.op == "MatMulIntegerToFloat" && at == 2
        })
    });
    let absorbed = x.is_data() && fits(codes, 0) && fits(zero, 2) && scale_fits;
    if !absorbed && !cx.has_cache() {
        return dynamic_codes(cx, x);
    }
    if !absorbed {
        return Err(OpError::unsupported(
            "a dynamic quantisation that is not for MatMulInteger is not supported",
            "quantise with MatMulNBits or in the QDQ format",
        ));
    }
    let rounded = cx.apply(Op::DynamicRoundTrip(cx.dynamic_range), &[x])?;
    let zero = Val::constant(tensor(Tensor::from_i64(DType::U8, Vec::new(), &[0]))?);
    Ok(vec![rounded, cx.scalar(1.0), zero])
}

/// Codes of the range of all elements, their scale and their zero point.
fn dynamic_codes(cx: &mut Lower, x: &Val) -> Out {
    let axes: Vec<usize> = (0..cx.rank(x)?).collect();
    let nothing = cx.number(x, 0.0)?;
    let low = cx.reduce(ReduceOp::Min, x, &axes, false)?;
    let low = cx.min(&low, &nothing)?;
    let high = cx.reduce(ReduceOp::Max, x, &axes, false)?;
    let high = cx.max(&high, &nothing)?;
    let range = cx.sub(&high, &low)?;
    let steps = cx.number(x, 255.0)?;
    let scale = cx.div(&range, &steps)?;
    let least = cx.number(x, f32::MIN_POSITIVE.into())?;
    let scale = cx.max(&scale, &least)?;
    let zero = cx.div(&low, &scale)?;
    let zero = cx.times(&zero, -1.0)?;
    let zero = rounded(cx, &zero, &nothing, DType::U8)?;
    let scaled = cx.div(x, &scale)?;
    let codes = rounded(cx, &scaled, &zero, DType::U8)?;
    Ok(vec![codes, scale, zero])
}

/// A quantised `[k, n]` on the right of a product.
fn right(cx: &mut Lower, codes: &Val, scale: &Val, zero: Option<&Val>) -> Result<Val, OpError> {
    let columns = |cx: &mut Lower, by: &Val| {
        let n = cx.ty(by)?.elements();
        cx.reshape(by, vec![Dim::one(), n])
    };
    let scale = columns(cx, scale)?;
    let zero = match zero {
        Some(zero) => columns(cx, zero)?,
        None => Val::constant(tensor(Tensor::from_i64(codes.dtype()?, [1, 1], &[0]))?),
    };
    cx.apply(
        Op::Dequantize { axis: 1, block: 1 },
        &[codes, &scale, &zero],
    )
}

/// `MatMulInteger`: of dynamically quantised tokens, whose scales follow as factors, or of integers.
pub fn matmul_integer(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    if !x.dtype()?.is_float() {
        let last = cx.rank(call.input(1)?)?.saturating_sub(1);
        let x = shifted(cx, x, call.optional(2), None)?;
        let weight = shifted(cx, call.input(1)?, call.optional(3), Some(last))?;
        return Ok(vec![cx.matmul(&x, &weight)?]);
    }
    let one = cx.scalar(1.0);
    let weight = right(cx, call.input(1)?, &one, call.optional(3))?;
    Ok(vec![cx.apply(Op::MatMul, &[x, &weight])?])
}

/// `MatMulIntegerToFloat` of dynamically quantised tokens: the product with a quantised matrix, scaled.
pub fn matmul_integer_to_float(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    if !x.is_data() || !x.dtype()?.is_float() {
        return Err(OpError::unsupported(
            "only products of dynamically quantised values with constants are supported",
            "",
        ));
    }
    let weight = right(cx, call.input(1)?, call.input(3)?, call.optional(5))?;
    let mut out = cx.apply(Op::MatMul, &[x, &weight])?;
    if let Some(bias) = call.optional(6) {
        out = cx.apply(Op::Binary(BinaryOp::Add), &[&out, bias])?;
    }
    Ok(vec![out])
}

/// `DynamicQuantizeMatMul`: the product of rounded tokens with a quantised matrix.
pub fn dynamic_quantize_matmul(cx: &mut Lower, call: &Call) -> Out {
    let rounded = cx.apply(Op::DynamicRoundTrip(cx.dynamic_range), &[call.input(0)?])?;
    let weight = right(cx, call.input(1)?, call.input(2)?, call.optional(3))?;
    let mut out = cx.apply(Op::MatMul, &[&rounded, &weight])?;
    if let Some(bias) = call.optional(4) {
        out = cx.apply(Op::Binary(BinaryOp::Add), &[&out, bias])?;
    }
    Ok(vec![out])
}
