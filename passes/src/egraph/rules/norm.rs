//! RMS normalisation, of rows and of heads, and layer normalisation.

use llmc_ir::{Dim, Op, Real, ReduceOp};

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::Attr;
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

use super::movement::split_heads;

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
        rule(
            "rms-norm-of-heads",
            "a norm of split heads is a norm of each run of a row",
            "(rms_norm (split_heads ?x ?h) ?w ?n)",
            "(split_heads (rms_norm ?x ?w ?n) ?h)",
        )
        .on(norm_of_heads),
        rule(
            "rms-norm-then-heads",
            "the same before heads and tokens change places",
            "(transpose (rms_norm (reshape ?x ?to) ?w ?n) ?p)",
            "(split_heads (rms_norm ?x ?w ?n) ?out)",
        )
        .with(split_heads)
        .on(norm_of_heads),
        rule(
            "rms-norm-there-and-back",
            "a norm of runs does not mind how rows are cut into them",
            "(reshape (rms_norm (reshape ?x ?to) ?w ?n) ?back)",
            "(rms_norm ?x ?w ?n)",
        )
        .when(there_and_back)
        .on(norm_of_heads),
        rule(
            "layer-norm",
            "x less its mean, over the root of its variance, times a weight, plus a bias",
            "(add (mul (mul (sub ?x (reduce ?x ?axes)) \
                            (rsqrt (add (reduce (mul (sub ?x (reduce ?x ?axes)) \
                                                     (sub ?x (reduce ?x ?axes))) ?axes) ?eps))) ?w) ?b)",
            "(layer_norm ?x ?w ?b ?out)",
        )
        .with(layer_norm)
        .on(|d| {
            let last = norm_of(d, Values::Unit, &[0.01, 0.5]);
            d.value("?b", &[last], Values::Unit);
        }),
    ]
}

/// Statistics over the last axis of `?x`, which are kept; a constant scalar epsilon.
fn epsilon(m: &Match) -> Result<Real, Miss> {
    let x = m.ty("?x")?;
    m.same_type("?x")?;
    m.mean_of_last_axis("?axes", x)?;
    let eps = m.scalar("?eps")?;
    m.require(
        eps > 0.0 && eps.is_finite(),
        "epsilon is not a positive number",
    )?;
    Ok(Real::new(eps as f32))
}

/// One weight per element of the last axis.
fn weight_of_last_axis(m: &Match, var: &str) -> Result<(), Miss> {
    let (x, w) = (m.ty("?x")?, m.ty(var)?);
    m.require(
        w.shape.len() == 1 && w.shape.last() == x.shape.last(),
        "the weight is not one row of the last axis",
    )
}

fn rms_norm(m: &Match) -> Result<Attr, Miss> {
    let eps = epsilon(m)?;
    weight_of_last_axis(m, "?w")?;
    Ok(Attr::Op(Op::RmsNorm { eps }))
}

fn layer_norm(m: &Match) -> Result<Attr, Miss> {
    let eps = epsilon(m)?;
    weight_of_last_axis(m, "?w")?;
    weight_of_last_axis(m, "?b")?;
    Ok(Attr::Op(Op::LayerNorm { eps }))
}

/// A norm takes runs of its weight's length, in row-major order, whatever the axes before are; `?x` must have whole runs.
fn there_and_back(m: &Match) -> Result<(), Miss> {
    m.same_type("?x")?;
    let (x, w) = (m.ty("?x")?.shape.last(), m.ty("?w")?.shape.last());
    let whole = x.zip(w).is_some_and(|(x, w)| x.exact_div(w).is_some());
    m.require(whole, "the rows are not whole runs of the weight")
}

// ---- instances ----

/// `?x`, the mean over its last axis, a small `?eps` and a weight `?w`.
fn norm_operands(d: &mut Draw) {
    norm_of(d, Values::Finite, &[1e-6, 1e-5, 0.5]);
}

/// The same of such values. Returns the last dim.
fn norm_of(d: &mut Draw, values: Values, eps: &[f32]) -> Dim {
    let shape = d.shape();
    let last = shape.len() - 1;
    d.value("?x", &shape, values);
    d.value("?w", &shape[last..], values);
    d.op(
        "?axes",
        Op::Reduce {
            op: ReduceOp::Mean,
            axes: vec![last],
            keepdims: true,
        },
    );
    let eps = d.pick(eps);
    d.scalar("?eps", eps);
    shape[last].clone()
}

/// `?x` [b, s, h d] split into heads in three ways, and a weight `?w` of a head.
fn norm_of_heads(d: &mut Draw) {
    let heads = d.heads();
    let [b, s] = [Dim::batch(), Dim::seq()];
    let shape = [b.clone(), s.clone(), (heads.heads * heads.head_dim).into()];
    d.value("?x", &shape, Values::Finite);
    d.value("?w", &[heads.head_dim.into()], Values::Finite);
    d.attr("?h", Attr::Heads(heads));
    d.reshape("?to", &[b, s, heads.heads.into(), heads.head_dim.into()]);
    d.reshape("?back", &shape);
    d.transpose("?p", &[0, 2, 1, 3]);
    d.op(
        "?n",
        Op::RmsNorm {
            eps: Real::new(1e-5),
        },
    );
}
