//! Reshape, transpose, expand and slice: what cancels, and the two idioms that split and merge heads.

use llmc_ir::{Dim, Op};

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::{Attr, Heads};
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

/// `[batch, seq, heads, head_dim] <-> [batch, heads, seq, head_dim]`.
pub const SWAP_HEADS: [usize; 4] = [0, 2, 1, 3];

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        rule(
            "reshape-same",
            "a reshape to the same shape does nothing",
            "(reshape ?x ?to)",
            "?x",
        )
        .when(|m| m.same_type("?x"))
        .on(same_shape),
        rule(
            "reshape-reshape",
            "the last of two reshapes decides",
            "(reshape (reshape ?x ?a) ?b)",
            "(reshape ?x ?b)",
        )
        .on(two_reshapes),
        rule(
            "expand-same",
            "an expansion to the same shape does nothing",
            "(expand ?x ?to)",
            "?x",
        )
        .when(|m| m.same_type("?x"))
        .on(same_shape),
        rule(
            "slice-all",
            "a slice of everything does nothing",
            "(slice ?x ?range)",
            "?x",
        )
        .when(whole_slice)
        .on(all_of_an_axis),
        rule(
            "transpose-identity",
            "a permutation that moves nothing does nothing",
            "(transpose ?x ?p)",
            "?x",
        )
        .when(identity_perm)
        .on(unmoved),
        rule(
            "transpose-transpose",
            "two permutations are one",
            "(transpose (transpose ?x ?a) ?b)",
            "(transpose ?x ?out)",
        )
        .with(compose)
        .on(two_transposes),
        rule(
            "transpose-3d",
            "a transpose of flattened matrices is one of the last two axes",
            "(reshape (transpose (reshape ?x ?a) ?p) ?b)",
            "(transpose ?x ?out)",
        )
        .with(transpose_3d)
        .on(flattened_matrices),
        rule(
            "split-heads",
            "a reshape and a transpose split the last axis into heads",
            "(transpose (reshape ?x ?to) ?p)",
            "(split_heads ?x ?out)",
        )
        .with(split_heads)
        .on(heads_to_split),
        rule(
            "merge-heads",
            "a transpose and a reshape merge heads into the last axis",
            "(reshape (transpose ?x ?p) ?to)",
            "(merge_heads ?x)",
        )
        .when(merge_heads)
        .on(heads_to_merge),
        rule(
            "merge-split",
            "merging what was split gives it back",
            "(merge_heads (split_heads ?x ?h))",
            "?x",
        )
        .on(split_again),
        rule(
            "split-merge",
            "splitting what was merged gives it back",
            "(split_heads (merge_heads ?x) ?h)",
            "?x",
        )
        .when(|m| m.same_type("?x"))
        .on(merged_again),
    ]
}

/// The slice takes every element, forwards.
fn whole_slice(m: &Match) -> Result<(), Miss> {
    m.same_type("?x")?;
    match m.op("?range")? {
        Op::Slice { step, .. } => m.require(*step == 1, "the slice does not run forwards"),
        _ => Err(Miss("not a slice")),
    }
}

/// The permutation moves nothing.
fn identity_perm(m: &Match) -> Result<(), Miss> {
    let still = m
        .perm("?p")?
        .iter()
        .enumerate()
        .all(|(to, from)| to == *from);
    m.require(still, "the permutation moves an axis")
}

/// First `?a`, then `?b`.
fn compose(m: &Match) -> Result<Attr, Miss> {
    let (first, second) = (m.perm("?a")?, m.perm("?b")?);
    let perm: Option<Vec<usize>> = second
        .iter()
        .map(|axis| first.get(*axis).copied())
        .collect();
    Ok(Attr::Op(Op::Transpose {
        perm: perm.ok_or(Miss("the permutations differ in length"))?,
    }))
}

/// The last two axes of `?x` [.., r, c] change places by way of [n, r, c] and [n, c, r].
fn transpose_3d(m: &Match) -> Result<Attr, Miss> {
    let (x, root) = (&m.ty("?x")?.shape, &m.root_ty()?.shape);
    let [lead @ .., rows, cols] = &x[..] else {
        return Err(Miss("fewer than two axes"));
    };
    let flat = lead.iter().fold(Dim::one(), |product, dim| &product * dim);
    m.require(
        m.shape("?a")? == [flat, rows.clone(), cols.clone()],
        "not flattened to matrices",
    )?;
    m.require(m.perm("?p")? == [0, 2, 1], "not a transpose of matrices")?;
    let back = [lead, &[cols.clone(), rows.clone()]].concat();
    m.require(*root == back, "not restored to the leading axes")?;
    let mut perm: Vec<usize> = (0..x.len()).collect();
    perm.swap(x.len() - 2, x.len() - 1);
    Ok(Attr::Op(Op::Transpose { perm }))
}

/// `[b, s, h * d] -> [b, s, h, d] -> [b, h, s, d]`.
fn split_heads(m: &Match) -> Result<Attr, Miss> {
    m.require(
        m.perm("?p")? == SWAP_HEADS,
        "does not swap sequence and heads",
    )?;
    let ([b, s, _], [to_b, to_s, h, d]) = (&m.ty("?x")?.shape[..], m.shape("?to")?) else {
        return Err(Miss("not a split of the last of three axes"));
    };
    m.require(b == to_b && s == to_s, "batch or sequence change")?;
    Ok(Attr::Heads(Heads {
        heads: constant(h)?,
        head_dim: constant(d)?,
    }))
}

/// `[b, h, s, d] -> [b, s, h, d] -> [b, s, h * d]`.
fn merge_heads(m: &Match) -> Result<(), Miss> {
    m.require(
        m.perm("?p")? == SWAP_HEADS,
        "does not swap heads and sequence",
    )?;
    let ([b, h, s, d], [to_b, to_s, e]) = (&m.ty("?x")?.shape[..], m.shape("?to")?) else {
        return Err(Miss("not a merge of the last two of four axes"));
    };
    m.require(
        b == to_b && s == to_s && *e == h * d,
        "batch or sequence change",
    )
}

/// A dim without symbols.
fn constant(dim: &Dim) -> Result<usize, Miss> {
    let value = dim.as_const().and_then(|n| usize::try_from(n).ok());
    value.ok_or(Miss("heads or head size are not constant"))
}

// ---- instances ----

/// `?x` and its own shape `?to`.
fn same_shape(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Any);
    d.reshape("?to", &shape);
}

/// `?x` and two shapes of as many elements.
fn two_reshapes(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Any);
    let flat = shape.iter().fold(Dim::one(), |product, dim| &product * dim);
    let (first, rest) = (shape[0].clone(), &shape[1..]);
    let folded = [&[Dim::one(), first][..], rest].concat();
    let choices = [vec![flat], folded, shape.iter().rev().cloned().collect()];
    for var in ["?a", "?b"] {
        let to = d.pick(&choices);
        d.reshape(var, &to);
    }
}

/// `?x` and a slice of all of an axis.
fn all_of_an_axis(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Any);
    let axis = d.below(shape.len());
    let end = shape[axis].clone();
    let start = Dim::zero();
    d.op(
        "?range",
        Op::Slice {
            axis,
            start,
            end,
            step: 1,
        },
    );
}

/// `?x` and the permutation that keeps its axes.
fn unmoved(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Any);
    let still: Vec<usize> = (0..shape.len()).collect();
    d.transpose("?p", &still);
}

/// `?x` and two permutations.
fn two_transposes(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Any);
    for var in ["?a", "?b"] {
        let perm = d.perm(shape.len());
        d.transpose(var, &perm);
    }
}

/// `?x` of matrices, flattened to three axes and back.
fn flattened_matrices(d: &mut Draw) {
    let axes = 1 + d.below(2);
    let (lead, rows, cols) = (d.dims(axes), d.dim(), d.dim());
    let flat = lead.iter().fold(Dim::one(), |product, dim| &product * dim);
    d.value(
        "?x",
        &[&lead[..], &[rows.clone(), cols.clone()]].concat(),
        Values::Any,
    );
    d.reshape("?a", &[flat, rows.clone(), cols.clone()]);
    d.transpose("?p", &[0, 2, 1]);
    d.reshape("?b", &[&lead[..], &[cols, rows]].concat());
}

/// `?x` [b, s, h d] that a reshape and a transpose split.
fn heads_to_split(d: &mut Draw) {
    let Heads { heads, head_dim } = d.heads();
    let [b, s] = [Dim::batch(), Dim::seq()];
    d.value(
        "?x",
        &[b.clone(), s.clone(), (heads * head_dim).into()],
        Values::Any,
    );
    d.reshape("?to", &[b, s, heads.into(), head_dim.into()]);
    d.transpose("?p", &SWAP_HEADS);
}

/// `?x` [b, h, s, d] that a transpose and a reshape merge.
fn heads_to_merge(d: &mut Draw) {
    let Heads { heads, head_dim } = d.heads();
    let [b, s] = [Dim::batch(), Dim::seq()];
    d.value(
        "?x",
        &[b.clone(), heads.into(), s.clone(), head_dim.into()],
        Values::Any,
    );
    d.transpose("?p", &SWAP_HEADS);
    d.reshape("?to", &[b, s, (heads * head_dim).into()]);
}

/// `?x` [b, s, h d] and its split.
fn split_again(d: &mut Draw) {
    let heads = d.heads();
    let width = heads.heads * heads.head_dim;
    d.value("?x", &[Dim::batch(), Dim::seq(), width.into()], Values::Any);
    d.attr("?h", Attr::Heads(heads));
}

/// `?x` [b, h, s, d] and its split.
fn merged_again(d: &mut Draw) {
    let heads = d.heads();
    let shape = [
        Dim::batch(),
        heads.heads.into(),
        Dim::seq(),
        heads.head_dim.into(),
    ];
    d.value("?x", &shape, Values::Any);
    d.attr("?h", Attr::Heads(heads));
}
