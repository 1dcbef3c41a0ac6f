//! Scales of quantised values: out of the operands of a product, to where there are fewer numbers.

use llmc_ir::Dim;

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
    ]
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
