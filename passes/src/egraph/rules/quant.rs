//! Quantised values: scales out of the operands of a product, to where there are fewer numbers; roundings into attention. What
//! was rounded to codes is not rounded again.

use llmc_ir::{Codes, Dim, Op, Real};

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::{Attr, Heads, Probs, Scores};
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
            "(round_trip (round_trip ?x ?scale ?zero ?codes) ?scale ?zero ?codes)",
            "(round_trip ?x ?scale ?zero ?codes)",
        )
        .on(|d| {
            let shape = d.shape();
            rounded(d, &shape);
        }),
        rule(
            "round-trip-of-transpose",
            "rounding each number and moving commute",
            "(round_trip (transpose ?x ?p) ?scale ?zero ?codes)",
            "(transpose (round_trip ?x ?scale ?zero ?codes) ?p)",
        )
        .when(one_scale)
        .on(|d| {
            let shape = d.shape();
            rounded(d, &shape);
            let perm = d.perm(shape.len());
            d.transpose("?p", &perm);
        }),
        rule(
            "round-trip-of-reshape",
            "rounding each number and counting them otherwise commute",
            "(round_trip (reshape ?x ?to) ?scale ?zero ?codes)",
            "(reshape (round_trip ?x ?scale ?zero ?codes) ?to)",
        )
        .when(one_scale)
        .on(|d| {
            let shape = d.shape();
            rounded(d, &shape);
            d.reshape("?to", &[&[Dim::one()], &shape[..]].concat());
        }),
        rule(
            "scores-rounded",
            "a rounding is part of the scores",
            "(round_trip (scores ?q ?k ?s) ?scale ?zero ?codes)",
            "(scores ?q ?k ?out)",
        )
        .with(rounded_scores)
        .on(|d| {
            let scores = some_scores(d);
            d.attr("?s", Attr::Scores(scores));
            d.round_trip("?scale", "?zero", "?codes");
        }),
        rule(
            "probs-rounded",
            "a rounding is part of the probabilities",
            "(round_trip (probs ?q ?k ?p) ?scale ?zero ?codes)",
            "(probs ?q ?k ?out)",
        )
        .with(rounded_probs)
        .on(|d| {
            let (scores, mask) = (some_scores(d), d.mask_kind());
            let codes = None;
            d.attr(
                "?p",
                Attr::Probs(Probs {
                    scores,
                    mask,
                    codes,
                }),
            );
            d.round_trip("?scale", "?zero", "?codes");
        }),
        rule(
            "round-heads",
            "rounding and splitting heads commute",
            "(round_trip (split_heads ?x ?h) ?scale ?zero ?codes)",
            "(split_heads (round_trip ?x ?scale ?zero ?codes) ?h)",
        )
        .when(one_scale)
        .on(heads_to_round),
        rule(
            "round-multiplied-heads",
            "the same with a factor before",
            "(round_trip (mul (split_heads ?x ?h) ?c) ?scale ?zero ?codes)",
            "(split_heads (round_trip (mul ?x ?c) ?scale ?zero ?codes) ?h)",
        )
        .when(one_factor)
        .on(heads_to_round),
        rule(
            "round-divided-heads",
            "the same with a divisor before",
            "(round_trip (div (split_heads ?x ?h) ?c) ?scale ?zero ?codes)",
            "(split_heads (round_trip (div ?x ?c) ?scale ?zero ?codes) ?h)",
        )
        .when(one_factor)
        .on(heads_to_round),
        rule(
            "round-merged-heads",
            "rounding and merging heads commute",
            "(merge_heads (round_trip ?x ?scale ?zero ?codes))",
            "(round_trip (merge_heads ?x) ?scale ?zero ?codes)",
        )
        .when(one_scale)
        .on(|d| {
            let Heads { heads, head_dim } = d.heads();
            let shape = [Dim::batch(), heads.into(), Dim::seq(), head_dim.into()];
            d.value("?x", &shape, Values::Any);
            d.round_trip("?scale", "?zero", "?codes");
        }),
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

/// The codes of a rounding by constant numbers.
fn codes(m: &Match) -> Result<Codes, Miss> {
    match m.op("?codes")? {
        Op::RoundTrip(dtype) => Ok(Codes {
            dtype: *dtype,
            scale: Real::new(m.scalar("?scale")? as f32),
            zero: m.scalar("?zero")? as i32,
        }),
        _ => Err(Miss("not a rounding")),
    }
}

/// Scores that were not rounded before.
fn rounded_scores(m: &Match) -> Result<Attr, Miss> {
    let scores = m.scores("?s")?;
    m.require(scores.codes.is_none(), "scores are rounded twice")?;
    let codes = Some(codes(m)?);
    Ok(Attr::Scores(Scores { codes, ..scores }))
}

/// Probabilities that were not rounded before.
fn rounded_probs(m: &Match) -> Result<Attr, Miss> {
    let probs = m.probs("?p")?;
    m.require(probs.codes.is_none(), "probabilities are rounded twice")?;
    let codes = Some(codes(m)?);
    Ok(Attr::Probs(Probs { codes, ..probs }))
}

/// Scale and zero point are the same for all columns.
fn one_scale(m: &Match) -> Result<(), Miss> {
    codes(m).map(drop)
}

/// And so is the factor, which does not widen what it scales.
fn one_factor(m: &Match) -> Result<(), Miss> {
    one_scale(m)?;
    m.scalar("?c")?;
    m.require(m.ty("?c")?.rank() <= 1, "the factor has axes of its own")
}

// ---- instances ----

/// Operands `?q` and `?k` of scores that are not rounded.
fn some_scores(d: &mut Draw) -> Scores {
    let q = d.heads();
    let width = q.heads * q.head_dim;
    let total = Dim::past() + Dim::seq();
    d.value(
        "?q",
        &[Dim::batch(), Dim::seq(), width.into()],
        Values::Unit,
    );
    let keys = [Dim::batch(), q.heads.into(), total, q.head_dim.into()];
    d.value("?k", &keys, Values::Unit);
    Scores {
        q,
        kv_heads: q.heads,
        scale: Attr::factor(0.5),
        softcap: None,
        codes: None,
    }
}

/// Rows `?x` of heads `?h`, a factor `?c` and what they are rounded by.
fn heads_to_round(d: &mut Draw) {
    let heads = d.heads();
    let width = heads.heads * heads.head_dim;
    d.value("?x", &[Dim::batch(), Dim::seq(), width.into()], Values::Any);
    d.attr("?h", Attr::Heads(heads));
    let factor = d.factor();
    d.scalar("?c", factor);
    d.round_trip("?scale", "?zero", "?codes");
}

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

/// `?x` of this shape, and what it is rounded by.
fn rounded(d: &mut Draw, shape: &[Dim]) {
    d.value("?x", shape, Values::Any);
    d.round_trip("?scale", "?zero", "?codes");
}
