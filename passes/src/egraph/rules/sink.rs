//! Attention with sinks: a score per head that is always seen and has no value, as GPT-OSS has it.

use llmc_ir::{Dim, MaskForm, MaskKind, Op, Real};

use super::attention::{added_mask, attention, cached, choosing_mask, draw_scores, low};
use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::{Attr, Heads, Probs, Scores};
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        rule(
            "sink-probs",
            "softmax over the keys and a sink, whose share is dropped",
            "(slice (softmax (concat2 (scores ?q ?k ?s) (expand ?sink ?e) ?cat) ?axis) ?cut)",
            "(sink_probs ?q ?k ?sink ?out)",
        )
        .with(|m| sink_probs(m, MaskKind::FULL))
        .on(|d| scores_and_sink(d, None)),
        rule(
            "sink-probs-mask-added",
            "the same with an added mask",
            "(slice (softmax (concat2 (add (scores ?q ?k ?s) (mask ?m)) (expand ?sink ?e) ?cat) ?axis) ?cut)",
            "(sink_probs ?q ?k ?sink ?out)",
        )
        .with(|m| sink_probs(m, added_mask(m, "?m")?))
        .on(|d| {
            let low = low(d);
            scores_and_sink(d, Some(MaskForm::Additive(Real::new(low))));
        }),
        rule(
            "sink-probs-mask-chosen",
            "the same where a mask shows the scores",
            "(slice (softmax (concat2 (where (mask ?m) (scores ?q ?k ?s) ?low) (expand ?sink ?e) ?cat) ?axis) ?cut)",
            "(sink_probs ?q ?k ?sink ?out)",
        )
        .with(|m| sink_probs(m, choosing_mask(m, "?m")?))
        .on(|d| scores_and_sink(d, Some(MaskForm::Bool))),
        rule(
            "sink-probs-of-one",
            "softmax over the keys and a sink for a single query",
            "(slice (softmax (concat2 (scores ?q ?k ?s) ?sink ?cat) ?axis) ?cut)",
            "(sink_probs ?q ?k ?sink ?out)",
        )
        .with(|m| sink_probs_of_one(m, MaskKind::FULL))
        .on(|d| scores_of_one_and_sink(d, None)),
        rule(
            "sink-probs-of-one-mask-added",
            "the same with an added mask",
            "(slice (softmax (concat2 (add (scores ?q ?k ?s) (mask ?m)) ?sink ?cat) ?axis) ?cut)",
            "(sink_probs ?q ?k ?sink ?out)",
        )
        .with(|m| sink_probs_of_one(m, added_mask(m, "?m")?))
        .on(|d| {
            let low = low(d);
            scores_of_one_and_sink(d, Some(MaskForm::Additive(Real::new(low))));
        }),
        rule(
            "sink-probs-of-one-mask-chosen",
            "the same where a mask shows the scores",
            "(slice (softmax (concat2 (where (mask ?m) (scores ?q ?k ?s) ?low) ?sink ?cat) ?axis) ?cut)",
            "(sink_probs ?q ?k ?sink ?out)",
        )
        .with(|m| sink_probs_of_one(m, choosing_mask(m, "?m")?))
        .on(|d| scores_of_one_and_sink(d, Some(MaskForm::Bool))),
        rule(
            "sink-attention",
            "probabilities beside a sink times values, heads merged",
            "(merge_heads (matmul (sink_probs ?q ?k ?sink ?p) ?v))",
            "(attention_sink ?q ?k ?v ?sink ?out)",
        )
        .with(|m| attention(m, 1))
        .on(|d| sink_probs_and_values(d, 1)),
        rule(
            "sink-attention-grouped",
            "the same with values that several query heads share",
            "(merge_heads (matmul (sink_probs ?q ?k ?sink ?p) (repeat_kv ?v ?g)))",
            "(attention_sink ?q ?k ?v ?sink ?out)",
        )
        .with(|m| attention(m, m.repeat("?g")?))
        .on(|d| {
            let group = d.pick(&[1, 2, 3]);
            d.attr("?g", Attr::Repeat(group));
            sink_probs_and_values(d, group);
        }),
    ]
}

/// `?sink`, one number per head, stands behind the keys of each query; softmax is over all, and the keys are kept.
fn sink_probs(m: &Match, mask: MaskKind) -> Result<Attr, Miss> {
    probs_beside(m, mask, m.shape("?e")?)
}

/// The same of a single query, for which the sinks need not be repeated.
fn sink_probs_of_one(m: &Match, mask: MaskKind) -> Result<Attr, Miss> {
    probs_beside(m, mask, &m.ty("?sink")?.shape)
}

/// Sinks that are joined to the keys in the shape `beside`.
fn probs_beside(m: &Match, mask: MaskKind, beside: &[Dim]) -> Result<Attr, Miss> {
    let scores = m.scores("?s")?;
    let (q, k) = (m.ty("?q")?, m.ty("?k")?);
    let ([b, s, _], [_, _, t, _]) = (&q.shape[..], &k.shape[..]) else {
        return Err(Miss("not four axes"));
    };
    let heads = Dim::from(scores.q.heads);
    m.require(
        *m.op("?cat")? == Op::Concat { axis: 3 },
        "the sinks are not joined to the keys",
    )?;
    let column = [b.clone(), heads.clone(), s.clone(), Dim::one()];
    m.require(beside == column, "not one sink for each query")?;
    let per_head = match &m.ty("?sink")?.shape[..] {
        [h, one, last] => *h == heads && one.is(1) && last.is(1),
        [first, h, one, last] => *h == heads && first.is(1) && one.is(1) && last.is(1),
        _ => false,
    };
    m.require(per_head, "the sinks are not one number per head")?;
    let keys = Op::Slice {
        axis: 3,
        start: Dim::from(0),
        end: t.clone(),
        step: 1,
    };
    m.require(*m.op("?cut")? == keys, "not the keys are kept")?;
    m.require(
        *m.op("?axis")? == Op::Softmax { axis: 3 },
        "softmax is not over the keys",
    )?;
    m.require(
        scores.codes.is_none(),
        "scores beside a sink are rounded to codes",
    )?;
    let codes = None;
    Ok(Attr::Probs(Probs {
        scores,
        mask,
        codes,
    }))
}

// ---- instances ----

/// A sink `?sink` for each head.
fn draw_sink(d: &mut Draw, heads: usize) {
    let ones = d.below(2);
    let shape = [
        vec![Dim::one(); ones],
        vec![heads.into(), 1.into(), 1.into()],
    ]
    .concat();
    d.value("?sink", &shape, Values::Unit);
}

/// Scores `?s` and a sink to be normalised together.
fn scores_and_sink(d: &mut Draw, form: Option<MaskForm>) {
    let group = d.pick(&[1, 2, 3]);
    let scores = draw_scores(d, group, Values::Unit);
    d.attr("?s", Attr::Scores(scores));
    draw_sink(d, scores.q.heads);
    joined(d, scores.q.heads, Dim::past() + Dim::seq(), form);
}

/// The same for one query.
fn scores_of_one_and_sink(d: &mut Draw, form: Option<MaskForm>) {
    let kv = d.heads();
    let group = d.pick(&[1, 2, 3]);
    let q = Heads {
        heads: kv.heads * group,
        ..kv
    };
    let one = || Dim::one();
    let total = Dim::past() + Dim::one();
    d.value(
        "?q",
        &[one(), one(), (q.heads * q.head_dim).into()],
        Values::Unit,
    );
    let keys = [one(), kv.heads.into(), total.clone(), kv.head_dim.into()];
    d.value("?k", &keys, Values::Unit);
    d.attr(
        "?s",
        Attr::Scores(Scores {
            q,
            kv_heads: kv.heads,
            scale: Attr::factor(0.5),
            softcap: None,
            codes: None,
        }),
    );
    d.value(
        "?sink",
        &[one(), q.heads.into(), one(), one()],
        Values::Unit,
    );
    joined(d, q.heads, total, form);
}

/// How keys up to `total` and a sink are joined, masked and cut.
fn joined(d: &mut Draw, heads: usize, total: Dim, form: Option<MaskForm>) {
    let rows = match total == Dim::past() + Dim::seq() {
        true => Dim::seq(),
        false => Dim::one(),
    };
    let column = [Dim::batch(), heads.into(), Dim::seq(), Dim::one()];
    d.op(
        "?e",
        Op::Expand {
            shape: column.to_vec(),
        },
    );
    d.op("?cat", Op::Concat { axis: 3 });
    d.op("?axis", Op::Softmax { axis: 3 });
    d.op(
        "?cut",
        Op::Slice {
            axis: 3,
            start: Dim::from(0),
            end: total.clone(),
            step: 1,
        },
    );
    if let Some(form) = form {
        if form == MaskForm::Bool {
            let low = low(d);
            d.scalar("?low", low);
        }
        mask_of(d, form, rows, total);
    }
}

/// A mask `?m` of these queries and keys.
fn mask_of(d: &mut Draw, form: MaskForm, rows: Dim, cols: Dim) {
    let kind = d.mask_kind();
    d.op(
        "?m",
        Op::Mask {
            kind,
            form,
            rows,
            cols,
        },
    );
}

/// Probabilities `?p` beside sinks, and values `?v`.
fn sink_probs_and_values(d: &mut Draw, group: usize) {
    let scores = draw_scores(d, group, Values::Unit);
    cached(d, "?v", scores.kv_heads, scores.q.head_dim, Values::Finite);
    draw_sink(d, scores.q.heads);
    let (mask, codes) = (d.mask_kind(), None);
    d.attr(
        "?p",
        Attr::Probs(Probs {
            scores,
            mask,
            codes,
        }),
    );
}
