//! Padding, sliding windows, selection of the largest, scattering.

use super::{Rule, check, dim_at, gather_nd, numeric, same_dtype};
use crate::dim::Dim;
use crate::op::ScatterOp;
use crate::types::Type;
use llmc_tensor::DType;

pub(super) fn scatter_nd(op: ScatterOp, batch_dims: usize, operands: [&Type; 3]) -> Rule<Type> {
    let [data, indices, updates] = operands;
    same_dtype(data, updates)?;
    if op != ScatterOp::Assign {
        numeric(data)?;
    }
    let picked = gather_nd(batch_dims, data, indices)?;
    check(picked.shape == updates.shape, || {
        format!(
            "updates must have the shape {:?}, have {:?}",
            picked.shape, updates.shape
        )
    })?;
    Ok(Type::new(data.dtype, data.shape.clone()))
}

pub(super) fn pad(before: &[usize], after: &[usize], x: &Type, value: &Type) -> Rule<Type> {
    same_dtype(x, value)?;
    check(value.rank() == 0, || {
        format!(
            "the value must be a scalar, has the shape {:?}",
            value.shape
        )
    })?;
    check(before.len() == x.rank() && after.len() == x.rank(), || {
        format!("one number for each of {} axes is needed", x.rank())
    })?;
    let sides = before.iter().zip(after);
    let wider = |(d, (b, a)): (&Dim, (&usize, &usize))| d + &(Dim::from(*b) + Dim::from(*a));
    let shape: Vec<Dim> = x.shape.iter().zip(sides).map(wider).collect();
    Ok(Type::new(x.dtype, shape))
}

pub(super) fn windows(
    kernel: &[usize],
    strides: &[usize],
    dilations: &[usize],
    x: &Type,
) -> Rule<Type> {
    let n = kernel.len();
    check(
        strides.len() == n && dilations.len() == n && n <= x.rank(),
        || {
            format!(
                "{n} extents, {} strides and {} dilations for {} axes",
                strides.len(),
                dilations.len(),
                x.rank()
            )
        },
    )?;
    let (lead, spatial) = x.shape.split_at(x.rank() - n);
    let mut shape = lead.to_vec();
    for (i, dim) in spatial.iter().enumerate() {
        shape.push(positions(dim, kernel[i], strides[i], dilations[i])?);
    }
    shape.extend(kernel.iter().map(|k| Dim::from(*k)));
    Ok(Type::new(x.dtype, shape))
}

/// Number of windows along an axis.
fn positions(dim: &Dim, kernel: usize, stride: usize, dilation: usize) -> Rule<Dim> {
    check(kernel > 0 && stride > 0 && dilation > 0, || {
        "extents, strides and dilations of windows must not be 0".into()
    })?;
    let reach = dilation
        .checked_mul(kernel - 1)
        .and_then(|r| i64::try_from(r).ok())
        .ok_or_else(|| "the window is too large".to_string())?;
    let last = dim - &Dim::from(reach) - Dim::one(); // the first element of the last window at stride 1
    let fits = |n: i64| {
        format!(
            "a window that reaches over {} elements is larger than {n}",
            reach + 1
        )
    };
    match (last.as_const(), stride) {
        (Some(last), _) if last < 0 => Err(fits(last.saturating_add(reach).saturating_add(1))),
        (Some(last), _) => Ok(Dim::from(
            last / i64::try_from(stride).unwrap_or(i64::MAX) + 1,
        )),
        (None, 1) => Ok(last + Dim::one()),
        _ => Err(format!(
            "windows at a distance of {stride} along the symbolic extent {dim}"
        )),
    }
}

pub(super) fn top_k(axis: usize, k: usize, x: &Type) -> Rule<Type> {
    numeric(x)?;
    let dim = dim_at(x, axis)?;
    if let Some(n) = dim.as_const() {
        check(i64::try_from(k).is_ok_and(|k| k <= n), || {
            format!("{k} of {n} elements cannot be selected")
        })?;
    }
    let mut shape = x.shape.clone();
    shape[axis] = Dim::from(k);
    Ok(Type::new(DType::I64, shape))
}
