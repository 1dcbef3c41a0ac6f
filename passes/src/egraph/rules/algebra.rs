//! Arithmetic: one spelling for each value.

use llmc_ir::Op;
use llmc_tensor::DType;

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::Attr;
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        rule(
            "add-commutes",
            "a + b = b + a",
            "(add ?a ?b)",
            "(add ?b ?a)",
        )
        .on(|d| d.broadcast("?a", "?b", Values::Any)),
        rule("mul-commutes", "a b = b a", "(mul ?a ?b)", "(mul ?b ?a)")
            .on(|d| d.broadcast("?a", "?b", Values::Any)),
        rule(
            "pow-2-is-square",
            "a power of 2 is a square",
            "(pow ?x ?n)",
            "(mul ?x ?x)",
        )
        .when(|m| m.neutral("?x", "?n", 2.0))
        .on(|d| beside(d, Values::Any, "?n", 2.0)),
        rule(
            "pow-half-is-sqrt",
            "a power of 1/2 is a root",
            "(pow ?x ?n)",
            "(sqrt ?x)",
        )
        .when(|m| m.neutral("?x", "?n", 0.5))
        .on(|d| beside(d, Values::NotNegative, "?n", 0.5)),
        rule(
            "pow-minus-half-is-rsqrt",
            "a power of -1/2 is one over a root",
            "(pow ?x ?n)",
            "(rsqrt ?x)",
        )
        .when(|m| m.neutral("?x", "?n", -0.5))
        .on(|d| beside(d, Values::NotNegative, "?n", -0.5)),
        rule(
            "one-over-is-recip",
            "1 / x is a reciprocal",
            "(div ?one ?x)",
            "(recip ?x)",
        )
        .when(|m| m.neutral("?x", "?one", 1.0))
        .on(|d| beside(d, Values::Any, "?one", 1.0)),
        rule(
            "recip-sqrt-is-rsqrt",
            "one over a root is one function",
            "(recip (sqrt ?x))",
            "(rsqrt ?x)",
        )
        .on(one_value),
        rule(
            "div-sqrt-is-mul-rsqrt",
            "dividing by a root multiplies by one over it",
            "(div ?x (sqrt ?y))",
            "(mul ?x (rsqrt ?y))",
        )
        .on(|d| d.broadcast("?x", "?y", Values::Any)),
        rule("mul-1", "x * 1 = x", "(mul ?x ?one)", "?x")
            .when(|m| m.neutral("?x", "?one", 1.0))
            .on(|d| beside(d, Values::Any, "?one", 1.0)),
        rule("add-0", "x + 0 = x", "(add ?x ?zero)", "?x")
            .when(|m| m.neutral("?x", "?zero", 0.0))
            .on(|d| beside(d, Values::Any, "?zero", 0.0)),
        rule(
            "cast-same",
            "a cast to the same type does nothing",
            "(cast ?x ?to)",
            "?x",
        )
        .when(|m| m.same_type("?x"))
        .on(|d| {
            one_value(d);
            d.op("?to", Op::Cast(DType::F32));
        }),
        rule(
            "mul-is-scaled",
            "a product with a number is a scaling",
            "(mul ?x ?s)",
            "(scaled ?x ?out)",
        )
        .with(|m| scale(m, |s| s))
        .on(|d| by_factor(d, Values::Any)),
        rule(
            "div-is-scaled",
            "a quotient by a number is a scaling",
            "(div ?x ?s)",
            "(scaled ?x ?out)",
        )
        .with(|m| scale(m, |s| 1.0 / s))
        .on(|d| by_factor(d, Values::Any)),
        rule(
            "scaled-scaled",
            "two scalings are one",
            "(scaled (scaled ?x ?a) ?b)",
            "(scaled ?x ?out)",
        )
        .with(product)
        .on(scaled_twice),
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

// ---- instances ----

/// `?x`.
fn one_value(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Any);
}

/// `?x` and a constant.
fn beside(d: &mut Draw, values: Values, constant: &'static str, value: f32) {
    let shape = d.shape();
    d.value("?x", &shape, values);
    d.scalar(constant, value);
}

/// `?x` and the constant factor `?s`.
fn by_factor(d: &mut Draw, values: Values) {
    let factor = d.factor();
    beside(d, values, "?s", factor);
}

/// `?x` and the factors `?a` and `?b`.
fn scaled_twice(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Finite);
    for var in ["?a", "?b"] {
        let factor = d.factor();
        d.attr(var, Attr::scale(factor.into()));
    }
}
