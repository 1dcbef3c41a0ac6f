//! Scales of quantised values: out of the operands of a product, to where there are fewer numbers. What was rounded to codes is
//! not rounded again.

use llmc_ir::{Dim, Op};
use llmc_tensor::DType;

use crate::egraph::draw::{Draw, Values};
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        rule(
            "column-scale-out-of-weight",
            "a scale per column of the weight scales the columns of the product",
            "(matmul ?x (mul ?w ?s))",
            "(mul (matmul ?x ?w) ?s)",
        )
        .when(scale_per_column)
        .on(|d| product(d, 1)),
        rule(
            "row-scale-out-of-activation",
            "a scale per row of the activation scales the rows of the product",
            "(matmul (mul ?x ?s) ?w)",
            "(mul (matmul ?x ?w) ?s)",
        )
        .when(scale_per_row)
        .on(|d| product(d, 0)),
        rule(
            "round-trip-again",
            "what went through codes is where the same codes lead",
            "(op ?codes (op ?codes ?x ?scale ?zero) ?scale ?zero)",
            "(op ?codes ?x ?scale ?zero)",
        )
        .when(round_trip)
        .on(|d| {
            let shape = d.shape();
            rounded(d, &shape);
        }),
        rule(
            "round-trip-of-transpose",
            "rounding each number and moving commute",
            "(op ?codes (transpose ?x ?p) ?scale ?zero)",
            "(transpose (op ?codes ?x ?scale ?zero) ?p)",
        )
        .when(by_one_scale)
        .on(|d| {
            let shape = d.shape();
            rounded(d, &shape);
            let perm = d.perm(shape.len());
            d.transpose("?p", &perm);
        }),
        rule(
            "round-trip-of-reshape",
            "rounding each number and counting them otherwise commute",
            "(op ?codes (reshape ?x ?to) ?scale ?zero)",
            "(reshape (op ?codes ?x ?scale ?zero) ?to)",
        )
        .when(by_one_scale)
        .on(|d| {
            let shape = d.shape();
            rounded(d, &shape);
            d.reshape("?to", &[&[Dim::one()], &shape[..]].concat());
        }),
    ]
}

/// `?codes` is a way through codes.
fn round_trip(m: &Match) -> Result<(), Miss> {
    match m.op("?codes")? {
        Op::RoundTrip(_) => Ok(()),
        _ => Err(Miss("not a round trip through codes")),
    }
}

/// The same with one scale and one zero point for all numbers.
fn by_one_scale(m: &Match) -> Result<(), Miss> {
    round_trip(m)?;
    let one = |var: &str| Ok::<_, Miss>(m.ty(var)?.elements().is(1));
    m.require(
        one("?scale")? && one("?zero")?,
        "the scale is not one number",
    )
}

/// `?w` is one matrix and `?s` one number per column of it.
fn scale_per_column(m: &Match) -> Result<(), Miss> {
    let (w, s) = (&m.ty("?w")?.shape, &m.ty("?s")?.shape);
    let [_, columns] = &w[..] else {
        return Err(Miss("the weight is not one matrix"));
    };
    let per_column = match &s[..] {
        [n] => n == columns,
        [one, n] => one.is(1) && n == columns,
        _ => false,
    };
    m.require(per_column, "the scale is not one number per column")
}

/// `?s` is as `?x`, but with a last axis of 1.
fn scale_per_row(m: &Match) -> Result<(), Miss> {
    let (x, s) = (&m.ty("?x")?.shape, &m.ty("?s")?.shape);
    let ([lead @ .., _], [rows @ .., last]) = (&x[..], &s[..]) else {
        return Err(Miss("no rows"));
    };
    m.require(
        lead == rows && last.is(1) && !lead.is_empty(),
        "the scale is not one number per row",
    )?;
    let matrix = m.ty("?w")?.shape.len() == 2;
    m.require(matrix, "the weight is not one matrix")
}

// ---- instances ----

/// Rows `?x`, a matrix `?w`, and `?s` with a number for each element of one axis of the product (0: rows, 1: columns).
fn product(d: &mut Draw, axis: usize) {
    let axes = 1 + d.below(2);
    let (lead, depth, columns) = (d.dims(axes), d.dim(), d.dim());
    d.value(
        "?x",
        &[&lead[..], std::slice::from_ref(&depth)].concat(),
        Values::Finite,
    );
    d.value("?w", &[depth, columns.clone()], Values::Finite);
    let scale = match axis {
        0 => [&lead[..], &[Dim::one()]].concat(),
        _ => d.pick(&[vec![columns.clone()], vec![Dim::one(), columns]]),
    };
    d.value("?s", &scale, Values::Finite);
}

/// `?x` of this shape, codes `?codes`, and their `?scale` and `?zero`.
fn rounded(d: &mut Draw, shape: &[Dim]) {
    d.value("?x", shape, Values::Any);
    let (codes, zero) = d.pick(&[(DType::U8, 128), (DType::U8, 0), (DType::I8, 0)]);
    d.op("?codes", Op::RoundTrip(codes));
    let scale = d.pick(&[1.0, 0.013, 1e-3, 0.7]);
    d.scalar("?scale", scale);
    d.indices("?zero", &[zero]);
}
