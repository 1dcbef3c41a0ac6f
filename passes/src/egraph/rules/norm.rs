//! RMS normalisation.

use llmc_ir::Op;

use crate::egraph::lang::Attr;
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::Rule;

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        Rule::with(
            "rms-norm",
            "(mul (mul ?x (rsqrt (add (reduce (mul ?x ?x) ?axes) ?eps))) ?w)",
            "(rms_norm ?x ?w ?out)",
            rms_norm,
        ),
        Rule::with(
            "rms-norm-weight-first",
            "(mul ?x (mul (rsqrt (add (reduce (mul ?x ?x) ?axes) ?eps)) ?w))",
            "(rms_norm ?x ?w ?out)",
            rms_norm,
        ),
    ]
}

/// `mean` over the last axis, kept; a constant scalar epsilon; one weight per element of the last axis.
fn rms_norm(m: &Match) -> Result<Attr, Miss> {
    let x = m.ty("?x")?;
    m.same_type("?x")?;
    m.mean_of_last_axis("?axes", x)?;
    let w = m.ty("?w")?;
    m.require(
        w.shape.len() == 1 && w.shape.last() == x.shape.last(),
        "the weight is not one row of the last axis",
    )?;
    let eps = m.scalar("?eps")?;
    m.require(
        eps > 0.0 && eps.is_finite(),
        "epsilon is not a positive number",
    )?;
    Ok(Attr::Op(Op::RmsNorm {
        eps: (eps as f32).into(),
    }))
}
