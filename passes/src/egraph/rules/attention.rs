//! Scaled dot-product attention over grouped heads; `../README.md` shows how the steps build on each other.

use llmc_ir::{Dim, MaskForm, MaskKind, Op, Real};

use crate::egraph::lang::{Attr, Heads, Probs, Scores};
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::Rule;

/// Added to a score, a number not above this makes its share 0 in f32 (`exp` underflows at -104), unless
/// scores differ by thousands.
const HIDES: f64 = -1.0e4;

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        Rule::with(
            "repeat-kv",
            "(reshape (expand (reshape ?x ?a) ?e) ?b)",
            "(repeat_kv ?x ?out)",
            repeat_kv,
        ),
        Rule::new(
            "scale-out-of-q",
            "(matmul (scaled ?q ?f) ?k)",
            "(scaled (matmul ?q ?k) ?f)",
        ),
        Rule::new(
            "scale-out-of-k",
            "(matmul ?q (scaled ?k ?f))",
            "(scaled (matmul ?q ?k) ?f)",
        ),
        Rule::new(
            "scale-out-of-transpose",
            "(transpose (scaled ?x ?f) ?p)",
            "(scaled (transpose ?x ?p) ?f)",
        ),
        Rule::with(
            "scores",
            "(matmul (split_heads ?q ?h) (transpose ?k ?p))",
            "(scores ?q ?k ?out)",
            |m| scores(m, 1),
        ),
        Rule::with(
            "scores-grouped",
            "(matmul (split_heads ?q ?h) (transpose (repeat_kv ?k ?g) ?p))",
            "(scores ?q ?k ?out)",
            |m| scores(m, m.repeat("?g")?),
        ),
        Rule::with(
            "scores-scaled",
            "(scaled (scores ?q ?k ?s) ?f)",
            "(scores ?q ?k ?out)",
            scaled_scores,
        ),
        Rule::with(
            "mask-additive",
            "(where (mask ?m) ?zero ?low)",
            "(mask ?out)",
            additive_mask,
        ),
        Rule::new("where-not", "(where (not ?c) ?a ?b)", "(where ?c ?b ?a)"),
        Rule::when(
            "mask-lower-rank-added",
            "(add ?s (reshape (mask ?m) ?to))",
            "(add ?s (mask ?m))",
            mask_without_ones,
        ),
        Rule::when(
            "mask-lower-rank-chosen",
            "(where (reshape (mask ?m) ?to) ?s ?low)",
            "(where (mask ?m) ?s ?low)",
            mask_without_ones,
        ),
        Rule::with(
            "probs",
            "(softmax (scores ?q ?k ?s) ?axis)",
            "(probs ?q ?k ?out)",
            |m| probs(m, MaskKind::FULL),
        ),
        Rule::with(
            "probs-mask-added",
            "(softmax (add (scores ?q ?k ?s) (mask ?m)) ?axis)",
            "(probs ?q ?k ?out)",
            |m| probs(m, added_mask(m)?),
        ),
        Rule::with(
            "probs-mask-chosen",
            "(softmax (where (mask ?m) (scores ?q ?k ?s) ?low) ?axis)",
            "(probs ?q ?k ?out)",
            |m| probs(m, choosing_mask(m)?),
        ),
        Rule::when(
            "nan-guard",
            "(where (is_nan (probs ?q ?k ?p)) ?zero (probs ?q ?k ?p))",
            "(probs ?q ?k ?p)",
            guarded,
        ),
        Rule::with(
            "attention",
            "(merge_heads (matmul (probs ?q ?k ?p) ?v))",
            "(attention ?q ?k ?v ?out)",
            |m| attention(m, 1),
        ),
        Rule::with(
            "attention-grouped",
            "(merge_heads (matmul (probs ?q ?k ?p) (repeat_kv ?v ?g)))",
            "(attention ?q ?k ?v ?out)",
            |m| attention(m, m.repeat("?g")?),
        ),
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
    let q = m.heads("?h")?;
    m.require(
        m.perm("?p")? == [0, 1, 3, 2],
        "the keys are not transposed as matrices",
    )?;
    let kv_heads = kv_heads(m, "?k", q, group)?;
    Ok(Attr::Scores(Scores {
        q,
        kv_heads,
        scale: Attr::factor(1.0),
    }))
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
    m.require(
        kv_heads * group == q.heads,
        "the heads of keys or values do not fill those of queries",
    )?;
    Ok(kv_heads)
}

/// The product of both factors.
fn scaled_scores(m: &Match) -> Result<Attr, Miss> {
    let scores = m.scores("?s")?;
    Ok(Attr::Scores(Scores {
        scale: Attr::factor(scores.scale.get() * m.factor("?f")?),
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
fn added_mask(m: &Match) -> Result<MaskKind, Miss> {
    match mask_over_scores(m)? {
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
fn choosing_mask(m: &Match) -> Result<MaskKind, Miss> {
    m.require(
        m.scalar("?low")? <= HIDES,
        "hidden scores are not low enough",
    )?;
    match mask_over_scores(m)? {
        (kind, MaskForm::Bool) => Ok(kind),
        _ => Err(Miss("the choosing mask is not bool")),
    }
}

/// Kind and form of the mask `?m`, whose rows and columns are those of the scores.
fn mask_over_scores(m: &Match) -> Result<(MaskKind, MaskForm), Miss> {
    let Op::Mask {
        kind,
        form,
        rows,
        cols,
    } = m.op("?m")?
    else {
        return Err(Miss("not a mask"));
    };
    let [_, _, s, t] = &m.root_ty()?.shape[..] else {
        return Err(Miss("not four axes"));
    };
    m.require(
        rows == s && cols == t,
        "the mask is not one row per query and one column per key",
    )?;
    m.require(kind.window != Some(0), "the mask hides everything")?;
    Ok((*kind, *form))
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
    }))
}

/// `?v` [b, kv_heads, t, d] as long as the keys, each head used by `group` heads of the queries.
fn attention(m: &Match, group: usize) -> Result<Attr, Miss> {
    let Probs { scores, mask } = m.probs("?p")?;
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
        softcap: None,
    }))
}
