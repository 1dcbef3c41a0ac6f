//! Instances of the rules about attention.

use llmc_ir::{Dim, MaskForm, Op, Real, ReduceOp};

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::{Attr, Heads, Probs, Scores};

/// The form of the mask of an instance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::egraph::rules) enum Form {
    None,
    Additive,
    Bool,
    /// A bool one `?n` and an additive one.
    Both,
}

/// `past + seq`.
pub(in crate::egraph::rules) fn total() -> Dim {
    Dim::past() + Dim::seq()
}

/// `?x` [b, h, t, d] repeated in place.
pub(in crate::egraph::rules) fn repeated(d: &mut Draw) {
    let Heads { heads, head_dim } = d.heads();
    let n = d.pick(&[1, 2, 3]);
    let with = |third: usize| {
        [
            Dim::batch(),
            heads.into(),
            third.into(),
            total(),
            head_dim.into(),
        ]
    };
    let [b, h, _, t, e] = with(1);
    d.value("?x", &[b.clone(), h, t.clone(), e.clone()], Values::Any);
    d.reshape("?a", &with(1));
    d.op(
        "?e",
        Op::Expand {
            shape: with(n).to_vec(),
        },
    );
    d.reshape("?b", &[b, (heads * n).into(), t, e]);
}

/// Two matrices, stacked alike, and a factor `?f`.
pub(in crate::egraph::rules) fn matrices(d: &mut Draw, a: &'static str, b: &'static str) {
    let axes = d.below(3);
    let (lead, m, k, n) = (d.dims(axes), d.dim(), d.dim(), d.dim());
    d.value(a, &[&lead[..], &[m, k.clone()]].concat(), Values::Finite);
    d.value(b, &[&lead[..], &[k, n]].concat(), Values::Finite);
    let factor = d.factor();
    d.attr("?f", Attr::scale(factor.into()));
}

/// `?x`, a permutation and a factor.
pub(in crate::egraph::rules) fn scaled_transpose(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Any);
    let perm = d.perm(shape.len());
    d.transpose("?p", &perm);
    let factor = d.factor();
    d.attr("?f", Attr::scale(factor.into()));
}

/// `var` [b, heads, t, d].
pub(in crate::egraph::rules) fn cached(
    d: &mut Draw,
    var: &'static str,
    heads: usize,
    head_dim: usize,
    values: Values,
) {
    let shape = [Dim::batch(), heads.into(), total(), head_dim.into()];
    d.value(var, &shape, values);
}

/// `?q` [b, s, h d] and `?k`, each of whose heads `group` heads of `?q` use.
pub(in crate::egraph::rules) fn draw_scores(d: &mut Draw, group: usize, values: Values) -> Scores {
    let kv = d.heads();
    let q = Heads {
        heads: kv.heads * group,
        ..kv
    };
    let width = q.heads * q.head_dim;
    d.value("?q", &[Dim::batch(), Dim::seq(), width.into()], values);
    cached(d, "?k", kv.heads, kv.head_dim, values);
    let scale = d.pick(&[1.0, 0.5, 0.707_106_77]);
    Scores {
        q,
        kv_heads: kv.heads,
        scale: Attr::factor(scale),
        softcap: None,
        codes: None,
    }
}

/// The operands of a product of queries and transposed keys.
pub(in crate::egraph::rules) fn queries_and_keys(d: &mut Draw, group: usize) {
    let Scores { q, .. } = draw_scores(d, group, Values::Finite);
    let heads = [Dim::batch(), q.heads.into(), Dim::seq(), q.head_dim.into()];
    d.value("?q", &heads, Values::Finite);
    d.transpose("?p", &[0, 1, 3, 2]);
}

/// A slice of the columns of heads of three.
pub(in crate::egraph::rules) fn draw_columns(d: &mut Draw) {
    let start = d.below(2);
    d.op(
        "?columns",
        Op::Slice {
            axis: 3,
            start: start.into(),
            end: 3.into(),
            step: 1,
        },
    );
}

/// Scores `?s` of any grouping.
pub(in crate::egraph::rules) fn some_scores(d: &mut Draw, values: Values) -> Scores {
    let group = d.pick(&[1, 2, 3]);
    let scores = draw_scores(d, group, values);
    d.attr("?s", Attr::Scores(scores));
    scores
}

/// A mask `?m` of the scores of new tokens.
pub(in crate::egraph::rules) fn draw_mask(d: &mut Draw, form: MaskForm) {
    let kind = d.mask_kind();
    d.op("?m", Op::mask(kind, form));
}

/// The lowest numbers that exporters hide with.
pub(in crate::egraph::rules) fn low(d: &mut Draw) -> f32 {
    d.pick(&[f32::NEG_INFINITY, f32::MIN, -65504.0, -1e4])
}

/// A bool mask that chooses `?zero` or `?low`.
pub(in crate::egraph::rules) fn zero_or_low(d: &mut Draw) {
    draw_mask(d, MaskForm::Bool);
    d.scalar("?zero", 0.0);
    let low = low(d);
    d.scalar("?low", low);
}

/// A condition and two values.
pub(in crate::egraph::rules) fn chosen(d: &mut Draw) {
    let shape = d.shape();
    d.bools("?c", &shape);
    d.broadcast_to("?a", &shape, Values::Any);
    d.broadcast_to("?b", &shape, Values::Any);
}

/// Four axes of scores, and a mask that lost leading ones.
pub(in crate::egraph::rules) fn mask_of_fewer_axes(d: &mut Draw, form: Form) {
    let heads = d.heads().heads;
    let shape = [Dim::batch(), heads.into(), Dim::seq(), total()];
    d.value("?s", &shape, Values::Any);
    let low = low(d);
    match form {
        Form::Additive => draw_mask(d, MaskForm::Additive(Real::new(low))),
        Form::Bool | Form::None | Form::Both => draw_mask(d, MaskForm::Bool),
    }
    d.scalar("?low", low);
    let ones = d.below(2);
    let rest = vec![Dim::seq(), total()];
    d.reshape("?to", &[vec![Dim::one(); ones], rest].concat());
}

/// Scores `?s` to be normalised over the keys.
pub(in crate::egraph::rules) fn softmax_of_scores(d: &mut Draw, form: Form) {
    some_scores(d, Values::Unit);
    d.op("?axis", Op::Softmax { axis: 3 });
    let low = low(d);
    match form {
        Form::None => {}
        Form::Additive => draw_mask(d, MaskForm::Additive(Real::new(low))),
        Form::Bool => {
            draw_mask(d, MaskForm::Bool);
            d.scalar("?low", low);
        }
        Form::Both => {
            let kind = d.mask_kind();
            d.op("?n", Op::mask(kind, MaskForm::Bool));
            d.scalar("?low", low);
            draw_mask(d, MaskForm::Additive(Real::new(low)));
        }
    }
}

/// Probabilities `?p`.
pub(in crate::egraph::rules) fn draw_probs(d: &mut Draw, scores: Scores) {
    let mask = d.mask_kind();
    let some = d.codes();
    let codes = d.pick(&[None, Some(some)]);
    d.attr(
        "?p",
        Attr::Probs(Probs {
            scores,
            mask,
            codes,
        }),
    );
}

/// Probabilities `?p` of any grouping.
pub(in crate::egraph::rules) fn some_probs(d: &mut Draw) {
    let scores = some_scores(d, Values::Unit);
    draw_probs(d, scores);
}

/// Probabilities `?p` and values `?v`.
pub(in crate::egraph::rules) fn probs_and_values(d: &mut Draw, group: usize) {
    let scores = draw_scores(d, group, Values::Unit);
    cached(d, "?v", scores.kv_heads, scores.q.head_dim, Values::Finite);
    draw_probs(d, scores);
}

/// Attention `?a` to heads that are repeated `?g` times.
pub(in crate::egraph::rules) fn attends_to_repeated(d: &mut Draw) {
    let (kv, group, shared) = (d.heads(), d.pick(&[1, 2, 3]), d.pick(&[1, 2]));
    let heads = kv.heads * group * shared;
    let width = heads * kv.head_dim;
    d.value(
        "?q",
        &[Dim::batch(), Dim::seq(), width.into()],
        Values::Unit,
    );
    cached(d, "?k", kv.heads, kv.head_dim, Values::Unit);
    cached(d, "?v", kv.heads, kv.head_dim, Values::Finite);
    d.attr("?g", Attr::Repeat(group));
    let mask = d.mask_kind();
    d.op(
        "?a",
        Op::Attention {
            heads,
            kv_heads: kv.heads * group,
            head_dim: kv.head_dim,
            scale: Real::new(0.5),
            mask,
            softcap: None,
            scores: None,
            weights: None,
        },
    );
}

/// `?x`, and a softmax over one of its axes of the difference to its largest element.
pub(in crate::egraph::rules) fn shifted(d: &mut Draw) {
    let shape = d.shape();
    let axis = d.below(shape.len());
    d.value("?x", &shape, Values::Unit);
    let most = Op::Reduce {
        op: ReduceOp::Max,
        axes: vec![axis],
        keepdims: true,
    };
    d.op("?most", most);
    d.op("?axis", Op::Softmax { axis });
}

/// `?x` [b, h, t, d] and indices that repeat its heads.
pub(in crate::egraph::rules) fn heads_to_gather(d: &mut Draw) {
    let Heads { heads, head_dim } = d.heads();
    let n = d.pick(&[1, 2, 3]);
    cached(d, "?x", heads, head_dim, Values::Any);
    let which: Vec<i64> = (0..heads * n).map(|i| (i / n) as i64).collect();
    d.indices("?which", &which);
    d.op("?axis", Op::Gather { axis: 1 });
}

/// `?x` and the reductions of a softmax over one of its axes.
pub(in crate::egraph::rules) fn exponentials(d: &mut Draw) {
    let shape = d.shape();
    let axis = d.below(shape.len());
    d.value("?x", &shape, Values::Unit);
    for (var, op) in [("?most", ReduceOp::Max), ("?all", ReduceOp::Sum)] {
        let axes = vec![axis];
        d.op(
            var,
            Op::Reduce {
                op,
                axes,
                keepdims: true,
            },
        );
    }
}
