//! Activations of feed-forward layers: SiLU and SwiGLU; GELU in its forms.

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::Attr;
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        rule(
            "silu",
            "x sigmoid(x) is silu",
            "(mul ?x (sigmoid ?x))",
            "(silu ?x)",
        )
        .on(one_number),
        rule(
            "silu-mul",
            "silu of the gate times up",
            "(mul (silu ?g) ?u)",
            "(silu_mul ?g ?u)",
        )
        .when(same_shape)
        .on(gate_and_up),
        rule(
            "silu-written-out",
            "x / (1 + e^-x) is silu",
            "(div ?x (add (exp (neg ?x)) ?one))",
            "(silu ?x)",
        )
        .when(|m| m.neutral("?x", "?one", 1.0))
        .on(|d| {
            one_number(d);
            d.scalar("?one", 1.0);
        }),
        rule(
            "gelu",
            "x/2 (1 + erf(x / sqrt 2)) is gelu",
            "(scaled (mul ?x (add (erf (scaled ?x ?r)) ?one)) ?half)",
            "(gelu ?x)",
        )
        .when(gelu)
        .on(|d| gelu_constants(d, std::f64::consts::FRAC_1_SQRT_2)),
        rule(
            "gelu-tanh",
            "x/2 (1 + tanh(r (x + c x^3))) is gelu by tanh",
            "(scaled (mul ?x (add (tanh (scaled (add ?x (scaled (mul ?x (mul ?x ?x)) ?cubic)) ?r)) ?one)) ?half)",
            "(gelu_tanh ?x)",
        )
        .when(gelu_tanh)
        .on(|d| gelu_constants(d, root_of_2_over_pi())),
        rule(
            "gelu-tanh-factored",
            "the same with x taken out of the bracket",
            "(scaled (mul ?x (add (tanh (scaled (mul ?x (add (scaled (mul ?x ?x) ?cubic) ?one)) ?r)) ?one)) ?half)",
            "(gelu_tanh ?x)",
        )
        .when(gelu_tanh)
        .on(|d| gelu_constants(d, root_of_2_over_pi())),
    ]
}

/// The fused op does not broadcast.
fn same_shape(m: &Match) -> Result<(), Miss> {
    m.require(
        m.ty("?g")?.shape == m.ty("?u")?.shape,
        "gate and up differ in shape",
    )
}

fn gelu(m: &Match) -> Result<(), Miss> {
    m.factor_is("?half", 0.5)?;
    m.factor_is("?r", std::f64::consts::FRAC_1_SQRT_2)?;
    m.scalar_is("?one", 1.0)
}

/// The constants of the usual approximation.
fn gelu_tanh(m: &Match) -> Result<(), Miss> {
    m.factor_is("?half", 0.5)?;
    m.factor_is("?cubic", CUBIC)?;
    m.factor_is("?r", root_of_2_over_pi())?;
    m.scalar_is("?one", 1.0)
}

/// Share of the cube in the argument of tanh.
const CUBIC: f64 = 0.044715;

fn root_of_2_over_pi() -> f64 {
    (2.0 / std::f64::consts::PI).sqrt()
}

// ---- instances ----

/// `?x`; silu of -inf is 0, where the product is NaN.
fn one_number(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Finite);
}

/// `?g` and `?u` of one shape.
fn gate_and_up(d: &mut Draw) {
    let shape = d.shape();
    d.value("?g", &shape, Values::Finite);
    d.value("?u", &shape, Values::Finite);
}

/// `?x` and the constants of a GELU.
fn gelu_constants(d: &mut Draw, r: f64) {
    one_number(d);
    d.scalar("?one", 1.0);
    for (var, factor) in [("?half", 0.5), ("?cubic", CUBIC), ("?r", r)] {
        d.attr(var, Attr::scale(factor));
    }
}
