//! Reshape, transpose, expand and slice: what cancels, and the two idioms that split and merge heads.

use llmc_ir::{Dim, Op};

use crate::egraph::draw::{Bound, Draw, Values};
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
            "merge-heads-flat",
            "the same with batch and sequence in one axis",
            "(reshape (transpose ?x ?p) ?to)",
            "(reshape (merge_heads ?x) ?to)",
        )
        .when(merge_heads_flat)
        .on(heads_to_merge_flat),
        rule(
            "matmul-of-flat-rows",
            "a product does not mind how rows are stacked",
            "(matmul (reshape ?x ?to) ?w)",
            "(reshape (matmul ?x ?w) ?out)",
        )
        .with(product_of_flat_rows)
        .on(flat_rows),
        rule(
            "add-to-flat-rows",
            "a row is added to rows however they are stacked",
            "(add (reshape ?x ?to) ?b)",
            "(reshape (add ?x ?b) ?to)",
        )
        .when(|m| {
            flattened(m)?;
            m.require(m.ty("?b")?.rank() <= 1, "not a row or a number")?;
            m.require(
                m.root_ty()?.shape == m.shape("?to")?,
                "the row is wider than what it is added to",
            )
        })
        .on(flat_rows),
        rule(
            "concat-nothing",
            "joining an empty part does nothing",
            "(concat2 ?x ?empty ?axis)",
            "?x",
        )
        .when(|m| m.same_type("?x"))
        .on(joined_with_nothing),
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
        rule(
            "expand-expand",
            "the last of two expansions decides",
            "(expand (expand ?x ?a) ?b)",
            "(expand ?x ?b)",
        )
        .on(two_expansions),
        rule(
            "joined-with-itself-is-expanded",
            "two copies along an axis of 1 are an expansion",
            "(concat2 ?x ?x ?axis)",
            "(expand ?x ?out)",
        )
        .with(doubled)
        .on(|d| {
            let axis = axis_of_one(d);
            d.op("?axis", Op::Concat { axis });
        }),
        rule(
            "slice-slice",
            "a slice of a slice is one slice",
            "(slice (slice ?x ?a) ?b)",
            "(slice ?x ?out)",
        )
        .with(slice_of_slice)
        .on(two_slices),
        rule(
            "slice-of-first",
            "the first part of what was joined",
            "(slice (concat2 ?x ?y ?axis) ?range)",
            "?x",
        )
        .when(|m| part(m, Part::First))
        .on(|d| joined(d, Part::First)),
        rule(
            "slice-of-second",
            "the second part of what was joined",
            "(slice (concat2 ?x ?y ?axis) ?range)",
            "?y",
        )
        .when(|m| part(m, Part::Second))
        .on(|d| joined(d, Part::Second)),
        rule(
            "joined-slices",
            "two slices side by side, joined again",
            "(concat2 (slice ?x ?a) (slice ?x ?b) ?axis)",
            "?x",
        )
        .when(side_by_side)
        .on(cut_and_joined),
        rule(
            "scale-out-of-reshape",
            "scaling and moving commute",
            "(reshape (scaled ?x ?f) ?to)",
            "(scaled (reshape ?x ?to) ?f)",
        )
        .on(|d| {
            same_shape(d);
            some_factor(d);
        }),
        rule(
            "scale-out-of-expand",
            "scaling and repeating commute",
            "(expand (scaled ?x ?f) ?to)",
            "(scaled (expand ?x ?to) ?f)",
        )
        .on(|d| {
            let axis = axis_of_one(d);
            expanded_to(d, "?to", axis, 3);
            some_factor(d);
        }),
        rule(
            "product-of-flattened-rows",
            "rows may be counted along one axis or several",
            "(reshape (matmul (reshape ?x ?a) ?w) ?b)",
            "(matmul ?x ?w)",
        )
        .when(flattened_rows)
        .on(|d| rows_times_weight(d, false)),
        rule(
            "biased-product-of-flattened-rows",
            "the same with a bias for each column",
            "(reshape (add (matmul (reshape ?x ?a) ?w) ?bias) ?b)",
            "(add (matmul ?x ?w) ?bias)",
        )
        .when(flattened_biased_rows)
        .on(|d| rows_times_weight(d, true)),
        rule(
            "product-of-flattened-stacks",
            "stacked matrices may be counted along one axis or several",
            "(reshape (matmul (reshape ?x ?a) (reshape ?y ?b)) ?c)",
            "(matmul ?x ?y)",
        )
        .when(flattened_stacks)
        .on(stacks_of_matrices),
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
pub(super) fn split_heads(m: &Match) -> Result<Attr, Miss> {
    m.require(
        m.perm("?p")? == SWAP_HEADS,
        "does not swap sequence and heads",
    )?;
    let ([b, s, _], [to_b, to_s, h, d]) = (&m.ty("?x")?.shape[..], m.shape("?to")?) else {
        return Err(Miss("not a split of the last of three axes"));
    };
    m.require(b == to_b && s == to_s, "batch or sequence change")?;
    heads_of(h, d).map(Attr::Heads)
}

/// Heads of constant dims.
pub(super) fn heads_of(heads: &Dim, head_dim: &Dim) -> Result<Heads, Miss> {
    Ok(Heads {
        heads: constant(heads)?,
        head_dim: constant(head_dim)?,
    })
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

/// `[b, h, s, d] -> [b, s, h, d] -> [b * s, h * d]`.
fn merge_heads_flat(m: &Match) -> Result<(), Miss> {
    m.require(
        m.perm("?p")? == SWAP_HEADS,
        "does not swap heads and sequence",
    )?;
    let ([b, h, s, d], [rows, e]) = (&m.ty("?x")?.shape[..], m.shape("?to")?) else {
        return Err(Miss("not a merge of four axes into two"));
    };
    m.require(
        *rows == b * s && *e == h * d,
        "batch and sequence do not become rows",
    )
}

/// `?x` [b, s, k] reshaped to [b * s, k].
fn flattened(m: &Match) -> Result<(), Miss> {
    let ([b, s, k], [rows, to_k]) = (&m.ty("?x")?.shape[..], m.shape("?to")?) else {
        return Err(Miss("not a flattening of three axes into two"));
    };
    m.require(*rows == b * s && to_k == k, "the last axis changes")
}

/// The rows of a product with a matrix.
fn product_of_flat_rows(m: &Match) -> Result<Attr, Miss> {
    flattened(m)?;
    m.require(m.ty("?w")?.rank() == 2, "not a product with a matrix")?;
    let shape = m.root_ty()?.shape.clone();
    Ok(Attr::Op(Op::Reshape { shape }))
}

/// A dim without symbols.
fn constant(dim: &Dim) -> Result<usize, Miss> {
    let value = dim.as_const().and_then(|n| usize::try_from(n).ok());
    value.ok_or(Miss("heads or head size are not constant"))
}

/// An axis of 1 becomes one of 2.
fn doubled(m: &Match) -> Result<Attr, Miss> {
    let Op::Concat { axis } = m.op("?axis")? else {
        return Err(Miss("not joined"));
    };
    let mut shape = m.ty("?x")?.shape.clone();
    let along = shape.get_mut(*axis).ok_or(Miss("no such axis"))?;
    m.require(along.is(1), "the axis is longer than 1")?;
    *along = Dim::from(2);
    Ok(Attr::Op(Op::Expand { shape }))
}

/// Axis, start and end of a slice that runs forwards element by element.
fn range<'a>(m: &Match<'a>, var: &str) -> Result<(usize, &'a Dim, &'a Dim), Miss> {
    match m.op(var)? {
        Op::Slice {
            axis,
            start,
            end,
            step: 1,
        } => Ok((*axis, start, end)),
        _ => Err(Miss("the slice does not run forwards element by element")),
    }
}

/// The second slice of the first, along one axis.
fn slice_of_slice(m: &Match) -> Result<Attr, Miss> {
    let ((axis, first, _), (second_axis, start, end)) = (range(m, "?a")?, range(m, "?b")?);
    m.require(axis == second_axis, "the slices are along different axes")?;
    Ok(Attr::Op(Op::Slice {
        axis,
        start: first.clone() + start.clone(),
        end: first.clone() + end.clone(),
        step: 1,
    }))
}

/// Which operand of a concatenation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Second,
}

/// `?range` is exactly one part of what was joined.
fn part(m: &Match, which: Part) -> Result<(), Miss> {
    let (axis, start, end) = range(m, "?range")?;
    m.require(
        *m.op("?axis")? == Op::Concat { axis },
        "joined along another axis than sliced",
    )?;
    let length = |var: &str| Ok::<_, Miss>(m.ty(var)?.shape[axis].clone());
    let (first, second) = (length("?x")?, length("?y")?);
    let (want_start, want_end) = match which {
        Part::First => (Dim::zero(), first),
        Part::Second => (first.clone(), first + second),
    };
    m.require(
        *start == want_start && *end == want_end,
        "the slice is not exactly one part",
    )
}

/// `?a` ends where `?b` starts, and both together are all of `?x`.
fn side_by_side(m: &Match) -> Result<(), Miss> {
    m.same_type("?x")?;
    let ((axis, start, middle), (other, from, end)) = (range(m, "?a")?, range(m, "?b")?);
    let joined = *m.op("?axis")? == Op::Concat { axis } && axis == other;
    m.require(joined, "sliced and joined along different axes")?;
    let all = start.is(0) && middle == from && *end == m.ty("?x")?.shape[axis];
    m.require(all, "the slices are not all of the axis in order")
}

/// `?a` flattens all axes of `?x` but the last, `?b` restores them; `?w` is one matrix.
fn flattened_rows(m: &Match) -> Result<(), Miss> {
    let (x, w) = (&m.ty("?x")?.shape, &m.ty("?w")?.shape);
    let [lead @ .., depth] = &x[..] else {
        return Err(Miss("no axis"));
    };
    let rows = lead.iter().fold(Dim::one(), |product, dim| &product * dim);
    m.require(
        m.shape("?a")? == [rows, depth.clone()],
        "the operand is not flattened to rows",
    )?;
    let [_, columns] = &w[..] else {
        return Err(Miss("the weight is not one matrix"));
    };
    let back = [lead, std::slice::from_ref(columns)].concat();
    m.require(
        m.root_ty()?.shape == back,
        "the axes of the rows are not restored",
    )
}

/// As above, and `?bias` has one number per column.
fn flattened_biased_rows(m: &Match) -> Result<(), Miss> {
    flattened_rows(m)?;
    let (bias, w) = (&m.ty("?bias")?.shape, &m.ty("?w")?.shape);
    let per_column = bias.len() == 1 && bias.last() == w.last();
    m.require(per_column, "the bias is not one number per column")
}

/// Both operands lose their leading axes to one, and the product gets them back.
fn flattened_stacks(m: &Match) -> Result<(), Miss> {
    let (x, y) = (&m.ty("?x")?.shape, &m.ty("?y")?.shape);
    let ([lead @ .., rows, depth], [others @ .., inner, columns]) = (&x[..], &y[..]) else {
        return Err(Miss("fewer than two axes"));
    };
    m.require(lead == others && depth == inner, "the stacks differ")?;
    let flat = lead.iter().fold(Dim::one(), |product, dim| &product * dim);
    let kept = m.shape("?a")? == [flat.clone(), rows.clone(), depth.clone()]
        && m.shape("?b")? == [flat, inner.clone(), columns.clone()];
    m.require(kept, "the matrices are reshaped too")?;
    let back = [lead, &[rows.clone(), columns.clone()]].concat();
    m.require(
        m.root_ty()?.shape == back,
        "the leading axes are not restored",
    )
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

/// The factor `?f`.
fn some_factor(d: &mut Draw) {
    let factor = d.factor();
    d.attr("?f", Attr::scale(factor.into()));
}

/// `?x` with an axis of 1, which is returned.
fn axis_of_one(d: &mut Draw) -> usize {
    let mut shape = d.shape();
    let axis = d.below(shape.len());
    shape[axis] = Dim::one();
    d.value("?x", &shape, Values::Any);
    axis
}

/// The attribute of an expansion of `?x` along one axis.
fn expanded_to(d: &mut Draw, var: &'static str, axis: usize, length: usize) {
    let Some(Bound::Input(ty, _)) = d.bound.get("?x") else {
        return;
    };
    let mut shape = ty.shape.clone();
    shape[axis] = length.into();
    d.op(var, Op::Expand { shape });
}

/// `?x` expanded along one axis, then along another in front.
fn two_expansions(d: &mut Draw) {
    let axis = axis_of_one(d);
    expanded_to(d, "?a", axis, 3);
    if let Some(Bound::Attr(Attr::Op(Op::Expand { shape }))) = d.bound.get("?a").cloned() {
        let shape = [vec![Dim::from(2)], shape].concat();
        d.op("?b", Op::Expand { shape });
    }
}

/// A forward slice.
fn slice(axis: usize, start: impl Into<Dim>, end: impl Into<Dim>) -> Op {
    Op::Slice {
        axis,
        start: start.into(),
        end: end.into(),
        step: 1,
    }
}

/// `?x` with an axis of 6 elements, which is returned.
fn axis_of_six(d: &mut Draw) -> usize {
    let mut shape = d.shape();
    let axis = d.below(shape.len());
    shape[axis] = Dim::from(6);
    d.value("?x", &shape, Values::Any);
    axis
}

/// `?x`, a slice and a slice of that.
fn two_slices(d: &mut Draw) {
    let axis = axis_of_six(d);
    let (start, from) = (d.below(3), d.below(2));
    d.op("?a", slice(axis, start, 5));
    d.op("?b", slice(axis, from, 2));
}

/// `?x` and `?y` joined, and the slice that is one of them.
fn joined(d: &mut Draw, which: Part) {
    let shape = d.shape();
    let axis = d.below(shape.len());
    let mut other = shape.clone();
    other[axis] = d.dim();
    d.value("?x", &shape, Values::Any);
    d.value("?y", &other, Values::Any);
    d.op("?axis", Op::Concat { axis });
    let (first, second) = (shape[axis].clone(), other[axis].clone());
    d.op(
        "?range",
        match which {
            Part::First => slice(axis, 0, first),
            Part::Second => slice(axis, first.clone(), first + second),
        },
    );
}

/// `?x` cut in two and joined again.
fn cut_and_joined(d: &mut Draw) {
    let axis = axis_of_six(d);
    let at = 1 + d.below(5);
    d.op("?a", slice(axis, 0, at));
    d.op("?b", slice(axis, at, 6));
    d.op("?axis", Op::Concat { axis });
}

/// `?x` whose rows are counted along several axes, `?w` and perhaps `?bias`.
fn rows_times_weight(d: &mut Draw, biased: bool) {
    let axes = 1 + d.below(2);
    let (lead, depth, columns) = (d.dims(axes), Dim::from(3), Dim::from(2));
    let rows = lead.iter().fold(Dim::one(), |product, dim| &product * dim);
    d.value(
        "?x",
        &[&lead[..], std::slice::from_ref(&depth)].concat(),
        Values::Finite,
    );
    d.value("?w", &[depth.clone(), columns.clone()], Values::Finite);
    d.reshape("?a", &[rows, depth]);
    d.reshape("?b", &[&lead[..], std::slice::from_ref(&columns)].concat());
    if biased {
        d.value("?bias", &[columns], Values::Finite);
    }
}

/// `?x` and `?y`, stacks of matrices along several axes.
fn stacks_of_matrices(d: &mut Draw) {
    let axes = 1 + d.below(2);
    let (lead, rows, depth, columns) = (d.dims(axes), d.dim(), d.dim(), d.dim());
    let flat = lead.iter().fold(Dim::one(), |product, dim| &product * dim);
    d.value(
        "?x",
        &[&lead[..], &[rows.clone(), depth.clone()]].concat(),
        Values::Finite,
    );
    d.value(
        "?y",
        &[&lead[..], &[depth.clone(), columns.clone()]].concat(),
        Values::Finite,
    );
    d.reshape("?a", &[flat.clone(), rows.clone(), depth.clone()]);
    d.reshape("?b", &[flat, depth, columns.clone()]);
    d.reshape("?c", &[&lead[..], &[rows, columns]].concat());
}

/// `?x` [b, h, s, d] that a transpose and a reshape merge into rows.
fn heads_to_merge_flat(d: &mut Draw) {
    heads_to_merge(d);
    let Heads { heads, head_dim } = d.heads();
    let [b, s] = [Dim::batch(), Dim::seq()];
    let shape = [b.clone(), heads.into(), s.clone(), head_dim.into()];
    d.value("?x", &shape, Values::Any);
    d.reshape("?to", &[&b * &s, (heads * head_dim).into()]);
}

/// `?x` [b, s, k] as rows, a matrix `?w` and a row or number `?b`.
fn flat_rows(d: &mut Draw) {
    let [b, s] = [Dim::batch(), Dim::seq()];
    let (k, n) = (d.pick(&[1, 2, 3]), d.pick(&[1, 2, 3]));
    d.value("?x", &[b.clone(), s.clone(), k.into()], Values::Finite);
    d.reshape("?to", &[&b * &s, k.into()]);
    d.value("?w", &[k.into(), n.into()], Values::Finite);
    let row = d.pick(&[vec![], vec![Dim::one()], vec![k.into()]]);
    d.value("?b", &row, Values::Finite);
}

/// `?x` and an empty part.
fn joined_with_nothing(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Any);
    let axis = d.below(shape.len());
    let mut empty = shape;
    empty[axis] = Dim::zero();
    d.value("?empty", &empty, Values::Any);
    d.op("?axis", Op::Concat { axis });
}
