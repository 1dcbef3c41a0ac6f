//! Elementwise functions and reductions: the scalar definitions of `isa::numerics` in loops over rows, compiled once per
//! instruction set. The loops have no dependences between elements (reductions: between lanes), so they become vector code.

use llmc_isa::{BinaryFn, ReduceFn, UnaryFn, numerics};

/// One loop per function, so that each is branch-free inside.
macro_rules! by_member {
    ($op:expr, $set:ident { $($member:ident)* }, |$f:ident| $body:expr) => {
        match $op { $($set::$member => { const $f: $set = $set::$member; $body })* }
    };
}

#[inline(always)]
fn unary(op: UnaryFn, x: &mut [f32], scale: f32, bias: f32) {
    by_member!(
        op,
        UnaryFn { Copy Neg Abs Exp Log Sqrt Rsqrt Recip Sigmoid Tanh Silu Relu Gelu Erf Sin Cos },
        |F| for x in x.iter_mut() {
            *x = numerics::unary(F, x.mul_add(scale, bias));
        }
    );
}

#[inline(always)]
fn binary(op: BinaryFn, a: &mut [f32], b: &[f32]) {
    by_member!(op, BinaryFn { Add Sub Mul Div Min Max }, |F| for (a, &b) in a.iter_mut().zip(b) {
        *a = numerics::binary(F, *a, b);
    });
}

#[inline(always)]
fn lanes(
    x: &[f32],
    init: f32,
    mut take: impl FnMut(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [init; 8];
    let mut chunks = x.chunks_exact(8);
    for chunk in &mut chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = take(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = take(*lane, x);
    }
    numerics::combine8(lanes, join)
}

#[inline(always)]
fn reduce(op: ReduceFn, x: &[f32]) -> f32 {
    match op {
        ReduceFn::Sum => lanes(x, 0.0, |l, x| l + x, |a, b| a + b),
        ReduceFn::Sumsq => lanes(x, 0.0, |l, x| x.mul_add(x, l), |a, b| a + b),
        ReduceFn::Maxr => lanes(x, f32::NEG_INFINITY, numerics::max, numerics::max),
    }
}

#[inline(always)]
fn widen(from: &[u16], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = numerics::from_bf16(from);
    }
}

#[inline(always)]
fn narrow(from: &[f32], to: &mut [u16]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = numerics::to_bf16(from);
    }
}

/// The loops above under one set of target features.
macro_rules! compiled {
    ($module:ident $(, #[$feature:meta])?) => {
        pub(super) mod $module {
            use llmc_isa::{BinaryFn, ReduceFn, UnaryFn};

            $(#[$feature])?
            pub(in crate::kernels) fn unary(op: UnaryFn, x: &mut [f32], scale: f32, bias: f32) {
                super::unary(op, x, scale, bias);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn binary(op: BinaryFn, a: &mut [f32], b: &[f32]) {
                super::binary(op, a, b);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn reduce(op: ReduceFn, x: &[f32]) -> f32 {
                super::reduce(op, x)
            }
            $(#[$feature])?
            pub(in crate::kernels) fn widen(from: &[u16], to: &mut [f32]) {
                super::widen(from, to);
            }
            $(#[$feature])?
            pub(in crate::kernels) fn narrow(from: &[f32], to: &mut [u16]) {
                super::narrow(from, to);
            }
        }
    };
}

compiled!(portable);
#[cfg(target_arch = "x86_64")]
compiled!(avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
compiled!(avx512, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]);
