//! Reshape, transpose, expand and slice: what cancels, and the two idioms that split and merge heads.

use llmc_ir::{Dim, Op};

use crate::egraph::lang::{Attr, Heads};
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::Rule;

/// `[batch, seq, heads, head_dim] <-> [batch, heads, seq, head_dim]`.
pub const SWAP_HEADS: [usize; 4] = [0, 2, 1, 3];

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        Rule::when("reshape-same", "(reshape ?x ?to)", "?x", |m| {
            m.same_type("?x")
        }),
        Rule::new(
            "reshape-reshape",
            "(reshape (reshape ?x ?a) ?b)",
            "(reshape ?x ?b)",
        ),
        Rule::when("expand-same", "(expand ?x ?to)", "?x", |m| {
            m.same_type("?x")
        }),
        Rule::when("slice-all", "(slice ?x ?range)", "?x", whole_slice),
        Rule::when(
            "transpose-identity",
            "(transpose ?x ?p)",
            "?x",
            identity_perm,
        ),
        Rule::with(
            "transpose-transpose",
            "(transpose (transpose ?x ?a) ?b)",
            "(transpose ?x ?out)",
            compose,
        ),
        Rule::with(
            "transpose-3d",
            "(reshape (transpose (reshape ?x ?a) ?p) ?b)",
            "(transpose ?x ?out)",
            transpose_3d,
        ),
        Rule::with(
            "split-heads",
            "(transpose (reshape ?x ?to) ?p)",
            "(split_heads ?x ?out)",
            split_heads,
        ),
        Rule::when(
            "merge-heads",
            "(reshape (transpose ?x ?p) ?to)",
            "(merge_heads ?x)",
            merge_heads,
        ),
        Rule::new("merge-split", "(merge_heads (split_heads ?x ?h))", "?x"),
        Rule::when(
            "split-merge",
            "(split_heads (merge_heads ?x) ?h)",
            "?x",
            |m| m.same_type("?x"),
        ),
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
