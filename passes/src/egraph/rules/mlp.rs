//! Gated feed-forward: SiLU and SwiGLU.

use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::Rule;

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        Rule::new("silu", "(mul ?x (sigmoid ?x))", "(silu ?x)"),
        Rule::when(
            "silu-mul",
            "(mul (silu ?g) ?u)",
            "(silu_mul ?g ?u)",
            same_shape,
        ),
    ]
}

/// The fused op does not broadcast.
fn same_shape(m: &Match) -> Result<(), Miss> {
    m.require(
        m.ty("?g")?.shape == m.ty("?u")?.shape,
        "gate and up differ in shape",
    )
}
