//! Gated feed-forward: SiLU and SwiGLU.

use crate::egraph::draw::{Draw, Values};
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
    ]
}

/// The fused op does not broadcast.
fn same_shape(m: &Match) -> Result<(), Miss> {
    m.require(
        m.ty("?g")?.shape == m.ty("?u")?.shape,
        "gate and up differ in shape",
    )
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
