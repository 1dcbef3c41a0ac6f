//! Scaled dot-product attention over grouped heads; `../README.md` shows how the steps build on each other.

mod instances;

use llmc_ir::{Codes, Dim, MaskForm, MaskKind, Op, Real, ReduceOp, Type};

use crate::egraph::draw::Values;
use crate::egraph::lang::{Attr, Factor, Heads, Probs, Scores};
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

use super::movement::heads_of;
use instances::{
    Form, attends_to_repeated, chosen, draw_columns, draw_mask, draw_probs, exponentials,
    heads_to_gather, mask_of_fewer_axes, matrices, probs_and_values, queries_and_keys, repeated,
    scaled_transpose, shifted, softmax_of_scores, some_probs, some_scores, zero_or_low,
};
pub(super) use instances::{cached, draw_scores, low};

/// Added to a score, a number not above this makes its share 0 in f32 (`exp` underflows at -104), unless
/// scores differ by thousands.
const HIDES: f64 = -1.0e4;

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        rule(
            "repeat-kv",
            "a reshape, an expansion and a reshape repeat each head in place",
            "(reshape (expand (reshape ?x ?a) ?e) ?b)",
            "(repeat_kv ?x ?out)",
        )
        .with(repeat_kv)
        .on(repeated),
        rule(
            "scale-out-of-q",
            "a scaled left factor scales the product",
            "(matmul (scaled ?q ?f) ?k)",
            "(scaled (matmul ?q ?k) ?f)",
        )
        .on(|d| matrices(d, "?q", "?k")),
        rule(
            "scale-out-of-k",
            "a scaled right factor scales the product",
            "(matmul ?q (scaled ?k ?f))",
            "(scaled (matmul ?q ?k) ?f)",
        )
        .on(|d| matrices(d, "?q", "?k")),
        rule(
            "scale-out-of-transpose",
            "scaling and moving commute",
            "(transpose (scaled ?x ?f) ?p)",
            "(scaled (transpose ?x ?p) ?f)",
        )
        .on(scaled_transpose),
        rule(
            "scores",
            "query heads times transposed keys",
            "(matmul ?q (transpose ?k ?p))",
            "(scores (merge_heads ?q) ?k ?out)",
        )
        .with(|m| scores(m, 1))
        .on(|d| queries_and_keys(d, 1)),
        rule(
            "scores-grouped",
            "the same with keys that several query heads share",
            "(matmul ?q (transpose (repeat_kv ?k ?g) ?p))",
            "(scores (merge_heads ?q) ?k ?out)",
        )
        .with(|m| scores(m, m.repeat("?g")?))
        .on(|d| {
            let group = d.pick(&[1, 2, 3]);
            d.attr("?g", Attr::Repeat(group));
            queries_and_keys(d, group);
        }),
        rule(
            "scores-scaled",
            "a scaling is part of the scores",
            "(scaled (scores ?q ?k ?s) ?f)",
            "(scores ?q ?k ?out)",
        )
        .with(scaled_scores)
        .on(|d| {
            let factor = d.factor();
            d.attr("?f", Attr::scale(factor.into()));
            some_scores(d, Values::Finite);
        }),
        rule(
            "scores-capped",
            "a scaled tanh caps the scores",
            "(scaled (tanh (scores ?q ?k ?s)) ?f)",
            "(scores ?q ?k ?out)",
        )
        .with(capped_scores)
        .on(|d| {
            let cap = d.pick(&[0.5, 2.0, 30.0]);
            d.attr("?f", Attr::scale(cap));
            some_scores(d, Values::Unit);
        }),
        rule(
            "mask-additive",
            "a choice between 0 and a low number is an additive mask",
            "(where (mask ?m) ?zero ?low)",
            "(mask ?out)",
        )
        .with(additive_mask)
        .on(zero_or_low),
        rule(
            "where-not",
            "a negated choice is the choice the other way",
            "(where (not ?c) ?a ?b)",
            "(where ?c ?b ?a)",
        )
        .on(chosen),
        rule(
            "mask-lower-rank-added",
            "adding a mask broadcasts it",
            "(add ?s (reshape (mask ?m) ?to))",
            "(add ?s (mask ?m))",
        )
        .when(mask_without_ones)
        .on(|d| mask_of_fewer_axes(d, Form::Additive)),
        rule(
            "mask-lower-rank-chosen",
            "choosing by a mask broadcasts it",
            "(where (reshape (mask ?m) ?to) ?s ?low)",
            "(where (mask ?m) ?s ?low)",
        )
        .when(mask_without_ones)
        .on(|d| mask_of_fewer_axes(d, Form::Bool)),
        rule(
            "probs",
            "softmax of the scores over the keys",
            "(softmax (scores ?q ?k ?s) ?axis)",
            "(probs ?q ?k ?out)",
        )
        .with(|m| probs(m, MaskKind::FULL))
        .on(|d| softmax_of_scores(d, Form::None)),
        rule(
            "probs-mask-added",
            "softmax of scores and an added mask",
            "(softmax (add (scores ?q ?k ?s) (mask ?m)) ?axis)",
            "(probs ?q ?k ?out)",
        )
        .with(|m| probs(m, added_mask(m, "?m")?))
        .on(|d| softmax_of_scores(d, Form::Additive)),
        rule(
            "probs-mask-chosen",
            "softmax of scores where a mask shows them",
            "(softmax (where (mask ?m) (scores ?q ?k ?s) ?low) ?axis)",
            "(probs ?q ?k ?out)",
        )
        .with(|m| probs(m, choosing_mask(m, "?m")?))
        .on(|d| softmax_of_scores(d, Form::Bool)),
        rule(
            "probs-masked-and-scaled",
            "scores that are scaled after a mask is added",
            "(softmax (scaled (add (scores ?q ?k ?s) (mask ?m)) ?f) ?axis)",
            "(probs ?q ?k ?out)",
        )
        .with(probs_scaled)
        .on(|d| {
            softmax_of_scores(d, Form::None);
            let low = d.pick(&[f32::NEG_INFINITY, f32::MIN]);
            draw_mask(d, MaskForm::Additive(Real::new(low)));
            let factor = d.pick(&[0.5, 0.25, 2.0]);
            d.attr("?f", Attr::scale(factor));
        }),
        rule(
            "probs-mask-chosen-and-added",
            "what one mask shows and another does not hide",
            "(softmax (add (where (mask ?n) (scores ?q ?k ?s) ?low) (mask ?m)) ?axis)",
            "(probs ?q ?k ?out)",
        )
        .with(|m| probs(m, both(choosing_mask(m, "?n")?, added_mask(m, "?m")?)))
        .on(|d| softmax_of_scores(d, Form::Both)),
        rule(
            "nan-guard",
            "a row that sees nothing gives 0 anyway",
            "(where (is_nan (probs ?q ?k ?p)) ?zero (probs ?q ?k ?p))",
            "(probs ?q ?k ?p)",
        )
        .when(guarded)
        .on(|d| {
            some_probs(d);
            d.scalar("?zero", 0.0);
        }),
        rule(
            "columns-of-attention",
            "columns of the values are columns of what attends to them",
            "(matmul (probs ?q ?k ?p) (slice ?v ?columns))",
            "(slice (matmul (probs ?q ?k ?p) ?v) ?columns)",
        )
        .when(columns_of_heads)
        .on(|d| {
            let group = d.pick(&[1, 2, 3]);
            let scores = draw_scores(d, group, Values::Unit);
            cached(d, "?v", scores.q.heads, 3, Values::Finite);
            draw_columns(d);
            draw_probs(d, scores);
        }),
        rule(
            "columns-of-repeated",
            "the same before heads are repeated",
            "(repeat_kv (slice ?v ?columns) ?g)",
            "(slice (repeat_kv ?v ?g) ?columns)",
        )
        .when(columns_of_heads)
        .on(|d| {
            let heads = d.heads().heads;
            cached(d, "?v", heads, 3, Values::Any);
            draw_columns(d);
            let group = d.pick(&[1, 2, 3]);
            d.attr("?g", Attr::Repeat(group));
        }),
        rule(
            "heads-of-attention",
            "what attends to values are heads that may be merged",
            "(matmul (probs ?q ?k ?p) ?v)",
            "(split_heads (merge_heads (matmul (probs ?q ?k ?p) ?v)) ?out)",
        )
        .with(|m| heads_first(m.root_ty()?).map(Attr::Heads))
        .on(|d| {
            let group = d.pick(&[1, 2, 3]);
            let scores = draw_scores(d, group, Values::Unit);
            let Heads { heads, head_dim } = scores.q;
            cached(d, "?v", heads, head_dim, Values::Finite);
            draw_probs(d, scores);
        }),
        rule(
            "softmax-shifted",
            "a difference of all scores to their largest is part of softmax",
            "(softmax (sub ?x (reduce ?x ?most)) ?axis)",
            "(softmax ?x ?axis)",
        )
        .when(shifted_softmax)
        .on(shifted),
        rule(
            "attention",
            "probabilities times values, heads merged",
            "(merge_heads (matmul (probs ?q ?k ?p) ?v))",
            "(attention ?q ?k ?v ?out)",
        )
        .with(|m| attention(m, 1))
        .on(|d| probs_and_values(d, 1)),
        rule(
            "attention-grouped",
            "the same with values that several query heads share",
            "(merge_heads (matmul (probs ?q ?k ?p) (repeat_kv ?v ?g)))",
            "(attention ?q ?k ?v ?out)",
        )
        .with(|m| attention(m, m.repeat("?g")?))
        .on(|d| {
            let group = d.pick(&[1, 2, 3]);
            d.attr("?g", Attr::Repeat(group));
            probs_and_values(d, group);
        }),
        rule(
            "attention-of-repeated",
            "heads that are repeated are shared by as many more queries",
            "(attention ?q (repeat_kv ?k ?g) (repeat_kv ?v ?g) ?a)",
            "(attention ?q ?k ?v ?out)",
        )
        .with(attention_of_repeated)
        .on(attends_to_repeated),
        rule(
            "repeat-kv-gathered",
            "a gather of each head several times repeats it in place",
            "(gather ?x ?which ?axis)",
            "(repeat_kv ?x ?out)",
        )
        .with(gathered_heads)
        .on(heads_to_gather),
        rule(
            "softmax-written-out",
            "e^(x - max) over the sum of the same",
            "(div (exp (sub ?x (reduce ?x ?most))) (reduce (exp (sub ?x (reduce ?x ?most))) ?all))",
            "(softmax ?x ?out)",
        )
        .with(written_softmax)
        .on(exponentials),
    ]
}

/// `[b, h, t, d] -> [b, h, 1, t, d] -> [b, h, n, t, d] -> [b, h * n, t, d]`: each head n times in place.
fn repeat_kv(m: &Match) -> Result<Attr, Miss> {
    let [b, h, t, d] = &m.ty("?x")?.shape[..] else {
        return Err(Miss("not four axes"));
    };
    let n = m
        .shape("?e")?
        .get(2)
        .ok_or(Miss("not expanded over a third axis"))?;
    let with = |third: &Dim| [b, h, third, t, d].map(Dim::clone);
    m.require(
        m.shape("?a")? == with(&Dim::one()),
        "no axis of 1 after the heads",
    )?;
    m.require(
        m.shape("?e")? == with(n),
        "another axis than the third is expanded",
    )?;
    m.require(
        m.shape("?b")? == [b.clone(), h * n, t.clone(), d.clone()],
        "not folded into the heads",
    )?;
    let n = n.as_const().and_then(|n| usize::try_from(n).ok());
    Ok(Attr::Repeat(
        n.ok_or(Miss("the number of repeats is not constant"))?,
    ))
}

/// `?k` [b, kv_heads, t, d] with its last axes swapped, each head used by `group` heads of `?q`.
fn scores(m: &Match, group: usize) -> Result<Attr, Miss> {
    let q = heads_first(m.ty("?q")?)?;
    m.require(
        m.perm("?p")? == [0, 1, 3, 2],
        "the keys are not transposed as matrices",
    )?;
    let kv_heads = kv_heads(m, "?k", q, group)?;
    Ok(Attr::Scores(Scores {
        q,
        kv_heads,
        scale: Attr::factor(1.0),
        softcap: None,
        codes: None,
    }))
}

/// The heads of [b, h, s, d].
fn heads_first(ty: &Type) -> Result<Heads, Miss> {
    let [_, heads, _, head_dim] = &ty.shape[..] else {
        return Err(Miss("not four axes"));
    };
    heads_of(heads, head_dim)
}

/// The heads of a key or value, if `group` of `q`'s heads use each and the head size is `q`'s.
fn kv_heads(m: &Match, var: &str, q: Heads, group: usize) -> Result<usize, Miss> {
    let [_, h, _, d] = &m.ty(var)?.shape[..] else {
        return Err(Miss("not four axes"));
    };
    m.require(
        *d == Dim::from(q.head_dim),
        "keys or values have another head size than queries",
    )?;
    let kv_heads = h
        .as_const()
        .and_then(|h| usize::try_from(h).ok())
        .ok_or(Miss("heads are not constant"))?;
    // A single head without repetition broadcasts.
    let shared = kv_heads == 1 && group == 1;
    m.require(
        shared || kv_heads * group == q.heads,
        "the heads of keys or values do not fill those of queries",
    )?;
    Ok(kv_heads)
}

/// The product of both factors.
fn scaled_scores(m: &Match) -> Result<Attr, Miss> {
    scaled_by(m, m.scores("?s")?, m.factor("?f")?).map(Attr::Scores)
}

/// The same scores times a factor.
fn scaled_by(m: &Match, scores: Scores, factor: f64) -> Result<Scores, Miss> {
    m.require(
        scores.softcap.is_none(),
        "scores are scaled after they are capped",
    )?;
    m.require(factor != 0.0, "the factor is 0")?;
    // What is rounded before it is scaled is a multiple of the scaled step.
    let codes = scores.codes.map(|codes| Codes {
        scale: Real::new((f64::from(codes.scale.get()) * factor) as f32),
        ..codes
    });
    Ok(Scores {
        scale: Attr::factor(scores.scale.get() * factor),
        codes,
        ..scores
    })
}

/// `c * tanh(s / c)`: the division is in the scale of the scores already.
fn capped_scores(m: &Match) -> Result<Attr, Miss> {
    let (scores, cap) = (m.scores("?s")?, m.factor("?f")?);
    m.require(scores.softcap.is_none(), "scores are capped twice")?;
    m.require(
        scores.codes.is_none(),
        "scores are capped after they are rounded",
    )?;
    m.require(cap > 0.0, "the cap is not positive")?;
    Ok(Attr::Scores(Scores {
        scale: Attr::factor(scores.scale.get() * cap),
        softcap: Some(Attr::factor(cap)),
        ..scores
    }))
}

/// NaNs become 0, as rows that see nothing are in attention.
fn guarded(m: &Match) -> Result<(), Miss> {
    m.scalar_is("?zero", 0.0)?;
    m.require(m.root_ty()?.rank() == 4, "the guard adds an axis")
}

/// A bool mask that chooses between 0 and a number.
fn additive_mask(m: &Match) -> Result<Attr, Miss> {
    m.require(m.root_ty()?.rank() == 4, "the choice adds an axis")?;
    m.scalar_is("?zero", 0.0)?;
    let low = m.scalar("?low")? as f32;
    match m.op("?m")? {
        Op::Mask {
            kind,
            form: MaskForm::Bool,
            rows,
            cols,
        } => Ok(Attr::Op(Op::Mask {
            kind: *kind,
            form: MaskForm::Additive(Real::new(low)),
            rows: rows.clone(),
            cols: cols.clone(),
        })),
        _ => Err(Miss("not a bool mask")),
    }
}

/// The reshape only drops leading axes of 1, which broadcasting to `?s` puts back.
fn mask_without_ones(m: &Match) -> Result<(), Miss> {
    m.same_type("?s")?;
    let Op::Mask { rows, cols, .. } = m.op("?m")? else {
        return Err(Miss("not a mask"));
    };
    m.require(m.ty("?s")?.rank() == 4, "not four axes")?;
    let (lead, rest) = m
        .shape("?to")?
        .split_at(m.shape("?to")?.len().saturating_sub(2));
    let dropped = rest == [rows.clone(), cols.clone()] && lead.iter().all(|dim| dim.is(1));
    m.require(dropped, "the mask is reshaped otherwise")
}

/// What a mask that is added to the scores hides.
pub(super) fn added_mask(m: &Match, var: &str) -> Result<MaskKind, Miss> {
    match mask_over_scores(m, var)? {
        (kind, MaskForm::Additive(low)) => {
            m.require(
                f64::from(low.get()) <= HIDES,
                "the mask adds too little to hide anything",
            )?;
            Ok(kind)
        }
        _ => Err(Miss("the added mask is not additive")),
    }
}

/// What a mask that chooses between the scores and a number hides.
pub(super) fn choosing_mask(m: &Match, var: &str) -> Result<MaskKind, Miss> {
    m.require(
        m.scalar("?low")? <= HIDES,
        "hidden scores are not low enough",
    )?;
    match mask_over_scores(m, var)? {
        (kind, MaskForm::Bool) => Ok(kind),
        _ => Err(Miss("the choosing mask is not bool")),
    }
}

/// What both masks show.
fn both(a: MaskKind, b: MaskKind) -> MaskKind {
    MaskKind {
        causal: a.causal || b.causal,
        window: [a.window, b.window].into_iter().flatten().min(),
    }
}

/// Kind and form of a mask, whose rows and columns are those of the scores.
fn mask_over_scores(m: &Match, var: &str) -> Result<(MaskKind, MaskForm), Miss> {
    let Op::Mask {
        kind,
        form,
        rows,
        cols,
    } = m.op(var)?
    else {
        return Err(Miss("not a mask"));
    };
    let (q, k) = (m.ty("?q")?, m.ty("?k")?);
    let ([_, s, _], [_, _, t, _]) = (&q.shape[..], &k.shape[..]) else {
        return Err(Miss("not four axes"));
    };
    m.require(m.root_ty()?.rank() == 4, "not four axes")?;
    m.require(
        rows == s && cols == t,
        "the mask is not one row per query and one column per key",
    )?;
    m.require(kind.window != Some(0), "the mask hides everything")?;
    Ok((*kind, *form))
}

/// Softmax over the keys of masked scores times a factor, which hides no less.
fn probs_scaled(m: &Match) -> Result<Attr, Miss> {
    let (factor, mask) = (m.factor("?f")?, added_mask(m, "?m")?);
    let low = match m.op("?m")? {
        Op::Mask {
            form: MaskForm::Additive(low),
            ..
        } => f64::from(low.get()),
        _ => 0.0,
    };
    m.require(
        factor > 0.0 && low * factor <= HIDES,
        "the mask adds too little to hide anything",
    )?;
    match probs(m, mask)? {
        Attr::Probs(found) => Ok(Attr::Probs(Probs {
            scores: scaled_by(m, found.scores, factor)?,
            ..found
        })),
        _ => Err(Miss("not probabilities")),
    }
}

/// The slice is along the last axis.
fn columns_of_heads(m: &Match) -> Result<(), Miss> {
    m.require(m.ty("?v")?.rank() == 4, "not four axes")?;
    match m.op("?columns")? {
        Op::Slice { axis: 3, .. } => Ok(()),
        _ => Err(Miss("not a slice of columns")),
    }
}

/// Softmax over the keys.
fn probs(m: &Match, mask: MaskKind) -> Result<Attr, Miss> {
    m.require(
        *m.op("?axis")? == Op::Softmax { axis: 3 },
        "softmax is not over the keys",
    )?;
    Ok(Attr::Probs(Probs {
        scores: m.scores("?s")?,
        mask,
        codes: None,
    }))
}

/// The maximum is over the axis of the softmax, and keeps it.
fn shifted_softmax(m: &Match) -> Result<(), Miss> {
    let Op::Softmax { axis } = m.op("?axis")? else {
        return Err(Miss("not a softmax"));
    };
    let most = Op::Reduce {
        op: ReduceOp::Max,
        axes: vec![*axis],
        keepdims: true,
    };
    m.require(
        *m.op("?most")? == most,
        "not the largest of what softmax is over",
    )
}

/// `?v` [b, kv_heads, t, d] as long as the keys, each head used by `group` heads of the queries.
pub(super) fn attention(m: &Match, group: usize) -> Result<Attr, Miss> {
    let Probs {
        scores,
        mask,
        codes,
    } = m.probs("?p")?;
    let kv_heads = kv_heads(m, "?v", scores.q, group)?;
    m.require(
        kv_heads == scores.kv_heads,
        "keys and values differ in heads",
    )?;
    m.require(
        m.ty("?k")?.shape == m.ty("?v")?.shape,
        "keys and values differ in shape",
    )?;
    Ok(Attr::Op(Op::Attention {
        heads: scores.q.heads,
        kv_heads,
        head_dim: scores.q.head_dim,
        scale: scores.scale.real(),
        mask,
        softcap: scores.softcap.map(Factor::real),
        scores: scores.codes,
        weights: codes,
    }))
}

/// The attention over the heads that were repeated.
fn attention_of_repeated(m: &Match) -> Result<Attr, Miss> {
    let (mut op, group) = (m.op("?a")?.clone(), m.repeat("?g")?);
    match &mut op {
        Op::Attention { kv_heads, .. } if group > 0 && kv_heads.is_multiple_of(group) => {
            *kv_heads /= group;
            Ok(Attr::Op(op))
        }
        _ => Err(Miss("not as many heads as are repeated")),
    }
}

/// `?which` is 0, 0, 1, 1, .. along the heads: each head as often, in place.
fn gathered_heads(m: &Match) -> Result<Attr, Miss> {
    m.require(
        *m.op("?axis")? == Op::Gather { axis: 1 },
        "gathered along another axis than the heads",
    )?;
    let [_, heads, _, _] = &m.ty("?x")?.shape[..] else {
        return Err(Miss("not four axes"));
    };
    let heads = heads.as_const().and_then(|h| usize::try_from(h).ok());
    let heads = heads.ok_or(Miss("heads are not constant"))?;
    let which = m.constant("?which")?;
    m.require(which.rank() == 1, "the indices are not one row")?;
    let which = which.to_f64_vec();
    let n = which.len() / heads.max(1);
    let in_place = n > 0
        && which.len() == n * heads
        && which
            .iter()
            .enumerate()
            .all(|(i, head)| *head == (i / n) as f64);
    m.require(in_place, "heads are not repeated in place")?;
    Ok(Attr::Repeat(n))
}

/// Maximum and sum are over one axis, and keep it.
fn written_softmax(m: &Match) -> Result<Attr, Miss> {
    let over = |var: &str, want: ReduceOp| match m.op(var)? {
        Op::Reduce {
            op,
            axes,
            keepdims: true,
        } if *op == want && axes.len() == 1 => Ok(axes[0]),
        _ => Err(Miss("not a maximum and a sum that keep their one axis")),
    };
    let (most, all) = (over("?most", ReduceOp::Max)?, over("?all", ReduceOp::Sum)?);
    m.require(most == all, "maximum and sum are over different axes")?;
    Ok(Attr::Op(Op::Softmax { axis: all }))
}
