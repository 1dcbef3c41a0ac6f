//! RMS normalisation.

use llmc_ir::{Op, ReduceOp};

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::Attr;
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        rule(
            "rms-norm",
            "x over the root of its mean square, times a weight",
            "(mul (mul ?x (rsqrt (add (reduce (mul ?x ?x) ?axes) ?eps))) ?w)",
            "(rms_norm ?x ?w ?out)",
        )
        .with(rms_norm)
        .on(norm_operands),
        rule(
            "rms-norm-weight-first",
            "the same with the weight multiplied first",
            "(mul ?x (mul (rsqrt (add (reduce (mul ?x ?x) ?axes) ?eps)) ?w))",
            "(rms_norm ?x ?w ?out)",
        )
        .with(rms_norm)
        .on(norm_operands),
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

// ---- instances ----

/// `?x`, the mean over its last axis, a small `?eps` and a weight `?w`.
fn norm_operands(d: &mut Draw) {
    let shape = d.shape();
    let last = shape.len() - 1;
    d.value("?x", &shape, Values::Finite);
    d.value("?w", &shape[last..], Values::Finite);
    d.op(
        "?axes",
        Op::Reduce {
            op: ReduceOp::Mean,
            axes: vec![last],
            keepdims: true,
        },
    );
    let eps = d.pick(&[1e-6, 1e-5, 0.5]);
    d.scalar("?eps", eps);
}
