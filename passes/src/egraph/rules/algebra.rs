//! Arithmetic: one spelling for each value.

use crate::egraph::lang::Attr;
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::Rule;

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        Rule::new("add-commutes", "(add ?a ?b)", "(add ?b ?a)"),
        Rule::new("mul-commutes", "(mul ?a ?b)", "(mul ?b ?a)"),
        Rule::when("pow-2-is-square", "(pow ?x ?n)", "(mul ?x ?x)", |m| {
            m.neutral("?x", "?n", 2.0)
        }),
        Rule::when("pow-half-is-sqrt", "(pow ?x ?n)", "(sqrt ?x)", |m| {
            m.neutral("?x", "?n", 0.5)
        }),
        Rule::when(
            "pow-minus-half-is-rsqrt",
            "(pow ?x ?n)",
            "(rsqrt ?x)",
            |m| m.neutral("?x", "?n", -0.5),
        ),
        Rule::when("one-over-is-recip", "(div ?one ?x)", "(recip ?x)", |m| {
            m.neutral("?x", "?one", 1.0)
        }),
        Rule::new("recip-sqrt-is-rsqrt", "(recip (sqrt ?x))", "(rsqrt ?x)"),
        Rule::new(
            "div-sqrt-is-mul-rsqrt",
            "(div ?x (sqrt ?y))",
            "(mul ?x (rsqrt ?y))",
        ),
        Rule::when("mul-1", "(mul ?x ?one)", "?x", |m| {
            m.neutral("?x", "?one", 1.0)
        }),
        Rule::when("add-0", "(add ?x ?zero)", "?x", |m| {
            m.neutral("?x", "?zero", 0.0)
        }),
        Rule::when("cast-same", "(cast ?x ?to)", "?x", |m| m.same_type("?x")),
        Rule::with("mul-is-scaled", "(mul ?x ?s)", "(scaled ?x ?out)", |m| {
            scale(m, |s| s)
        }),
        Rule::with("div-is-scaled", "(div ?x ?s)", "(scaled ?x ?out)", |m| {
            scale(m, |s| 1.0 / s)
        }),
        Rule::with(
            "scaled-scaled",
            "(scaled (scaled ?x ?a) ?b)",
            "(scaled ?x ?out)",
            product,
        ),
    ]
}

/// A finite non-zero constant scalar `?s` that does not widen `?x`, as the factor `f(s)`.
fn scale(m: &Match, f: fn(f64) -> f64) -> Result<Attr, Miss> {
    m.same_type("?x")?;
    let factor = f(m.scalar("?s")?);
    m.require(
        factor.is_finite() && factor != 0.0,
        "the factor is zero or not finite",
    )?;
    Ok(Attr::scale(factor))
}

/// The product of two factors.
fn product(m: &Match) -> Result<Attr, Miss> {
    Ok(Attr::scale(m.factor("?a")? * m.factor("?b")?))
}
