//! Rotary position embedding on halves: `x * cos + concat(-x[d/2..], x[..d/2]) * sin` with a column of the tables for
//! each element, or the same spelled out with a column for each pair.

use llmc_ir::{Dim, Op};

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::{Attr, Heads};
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

/// What the columns of the tables belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    Elements,
    Pairs,
}

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        rule(
            "rotate-half",
            "the upper half negated, then the lower half",
            "(concat2 (neg (slice ?x ?high)) (slice ?x ?low) ?axis)",
            "(rotate_half ?x)",
        )
        .when(|m| halves(m, m.ty("?x")?.shape.as_slice()))
        .on(two_halves),
        rule(
            "rope",
            "x cos + rotated x sin rotates heads",
            "(add (mul (split_heads ?x ?h) (reshape ?cos ?rc)) \
                  (mul (rotate_half (split_heads ?x ?h)) (reshape ?sin ?rs)))",
            "(split_heads (rope ?x ?cos ?sin ?out) ?h)",
        )
        .with(|m| rope(m, leading_ones(m)?))
        .on(|d| {
            tables(d, Columns::Elements, true);
        }),
        rule(
            "rope-rows",
            "the same with tables that broadcast by themselves",
            "(add (mul (split_heads ?x ?h) ?cos) (mul (rotate_half (split_heads ?x ?h)) ?sin))",
            "(split_heads (rope ?x ?cos ?sin ?out) ?h)",
        )
        .with(|m| rope(m, Columns::Elements))
        .on(|d| {
            tables(d, Columns::Elements, false);
        }),
        rule(
            "rope-pairs",
            "both halves of the rotation written out",
            "(concat2 (sub (mul (slice (split_heads ?x ?h) ?low) (reshape ?cos ?rc)) \
                           (mul (slice (split_heads ?x ?h) ?high) (reshape ?sin ?rs))) \
                      (add (mul (slice (split_heads ?x ?h) ?high) (reshape ?cos ?rc)) \
                           (mul (slice (split_heads ?x ?h) ?low) (reshape ?sin ?rs))) ?axis)",
            "(split_heads (rope ?x ?cos ?sin ?out) ?h)",
        )
        .with(rope_pairs)
        .on(rotated_pairs),

        rule("rotate-pairs", "the odd elements negated and the even ones, side by side again", "(reshape (concat2 (reshape (neg (slice ?x ?odd)) ?one) (reshape (slice ?x ?even) ?one) ?axis) ?to)", "(rotate_pairs ?x)")
            .when(neighbours)
            .on(two_parities),
        rule("rope-interleaved", "x cos + x with its pairs rotated, times sin", "(add (mul (split_heads ?x ?h) (reshape ?cos ?rc)) (mul (rotate_pairs (split_heads ?x ?h)) (reshape ?sin ?rs)))", "(split_heads (rope ?x ?cos ?sin ?out) ?h)")
            .with(|m| interleaved(rope(m, leading_ones(m)?)?))
            .on(|d| {
                tables(d, Columns::Elements, true);
            }),
        rule("rope-interleaved-rows", "the same with tables that broadcast by themselves", "(add (mul (split_heads ?x ?h) ?cos) (mul (rotate_pairs (split_heads ?x ?h)) ?sin))", "(split_heads (rope ?x ?cos ?sin ?out) ?h)")
            .with(|m| interleaved(rope(m, Columns::Elements)?))
            .on(|d| {
                tables(d, Columns::Elements, false);
            }),
        rule(
            "rope-partial",
            "a rotation of the first elements of each head, by tables with leading ones",
            "(concat2 (add (mul (slice (split_heads ?x ?h) ?part) (reshape ?cos ?rc)) \
                           (mul (rotate_half (slice (split_heads ?x ?h) ?part)) (reshape ?sin ?rs))) \
                      (slice (split_heads ?x ?h) ?rest) ?axis)",
            "(split_heads (rope ?x ?cos ?sin ?out) ?h)",
        )
        .with(|m| {
            leading_ones(m)?;
            rope_of_first(m)
        })
        .on(rotated_first),
        rule(
            "rope-partial-rows",
            "the same by tables that broadcast by themselves",
            "(concat2 (add (mul (slice (split_heads ?x ?h) ?part) ?cos) \
                           (mul (rotate_half (slice (split_heads ?x ?h) ?part)) ?sin)) \
                      (slice (split_heads ?x ?h) ?rest) ?axis)",
            "(split_heads (rope ?x ?cos ?sin ?out) ?h)",
        )
        .with(rope_of_first)
        .on(rotated_first),
    ]
}

/// The slices are exactly the halves of the last axis of `shape`, and are joined along it.
fn halves(m: &Match, shape: &[Dim]) -> Result<(), Miss> {
    let [lead @ .., width] = shape else {
        return Err(Miss("no axis to halve"));
    };
    let (axis, half) = (lead.len(), width.exact_div(&Dim::from(2)));
    let half = half.ok_or(Miss("the last axis is odd"))?;
    let slice = |start: Dim, end: Dim| Op::Slice {
        axis,
        start,
        end,
        step: 1,
    };
    m.require(
        *m.op("?axis")? == Op::Concat { axis },
        "not joined along the last axis",
    )?;
    m.require(
        *m.op("?high")? == slice(half.clone(), width.clone()),
        "one part is not the upper half",
    )?;
    m.require(
        *m.op("?low")? == slice(Dim::zero(), half),
        "one part is not the lower half",
    )
}

/// Tables that gained leading axes of 1 on the way; they have a column for each element.
fn leading_ones(m: &Match) -> Result<Columns, Miss> {
    for (table, reshaped) in [("?cos", "?rc"), ("?sin", "?rs")] {
        let (rows, to) = (&m.ty(table)?.shape, m.shape(reshaped)?);
        let (lead, rest) = to.split_at(to.len().saturating_sub(rows.len()));
        m.require(
            rest == &rows[..] && lead.iter().all(|dim| dim.is(1)),
            "a table is reshaped to more than leading ones",
        )?;
    }
    Ok(Columns::Elements)
}

/// Both halves of a head, and a column of the tables for each pair.
fn rope_pairs(m: &Match) -> Result<Attr, Miss> {
    halves(m, &m.root_ty()?.shape)?;
    leading_ones(m)?;
    rope(m, Columns::Pairs)
}

/// The first elements of each head are rotated, by tables with a column for each of them; the rest is joined as it is.
fn rope_of_first(m: &Match) -> Result<Attr, Miss> {
    let head_dim = Dim::from(m.heads("?h")?.head_dim);
    let (axis, first) = (3, |end: Dim| Op::Slice {
        axis: 3,
        start: Dim::zero(),
        end,
        step: 1,
    });
    let Op::Slice { end: rotary, .. } = m.op("?part")? else {
        return Err(Miss("not a slice"));
    };
    m.require(
        *m.op("?part")? == first(rotary.clone()),
        "the rotated elements are not the first of each head",
    )?;
    let rest = Op::Slice {
        axis,
        start: rotary.clone(),
        end: head_dim,
        step: 1,
    };
    m.require(
        *m.op("?rest")? == rest && *m.op("?axis")? == Op::Concat { axis },
        "what is joined is not the rest of each head",
    )?;
    let rotary = rotary.as_const().and_then(|n| usize::try_from(n).ok());
    rope_of(
        m,
        rotary.ok_or(Miss("heads are not constant"))?,
        Columns::Elements,
    )
}

/// All of each head.
fn rope(m: &Match, columns: Columns) -> Result<Attr, Miss> {
    rope_of(m, m.heads("?h")?.head_dim, columns)
}

/// One row of the tables per position of `?x`, one column per rotated element or pair of a head.
fn rope_of(m: &Match, rotary_dim: usize, columns: Columns) -> Result<Attr, Miss> {
    let heads = m.heads("?h")?;
    let [_, seq, _] = &m.ty("?x")?.shape[..] else {
        return Err(Miss("not three axes"));
    };
    let width = match columns {
        Columns::Elements => rotary_dim,
        Columns::Pairs => rotary_dim / 2,
    };
    for table in ["?cos", "?sin"] {
        let rows = &m.ty(table)?.shape;
        m.require(
            *rows == [seq.clone(), width.into()],
            "a table is not one row per position",
        )?;
    }
    Ok(Attr::Op(Op::Rope {
        heads: heads.heads,
        head_dim: heads.head_dim,
        rotary_dim,
        interleaved: false,
    }))
}

/// The even and the odd elements of the last axis, each with an axis of 1 behind it along which they are joined.
fn neighbours(m: &Match) -> Result<(), Miss> {
    let shape = &m.ty("?x")?.shape;
    m.same_type("?x")?;
    let [lead @ .., width] = &shape[..] else {
        return Err(Miss("no axis of pairs"));
    };
    let pairs = width
        .exact_div(&Dim::from(2))
        .ok_or(Miss("the last axis is odd"))?;
    let axis = lead.len();
    let every_second = |var: &str, first: i64| match m.op(var)? {
        Op::Slice {
            axis: along,
            start,
            end,
            step: 2,
        } => m.require(
            *along == axis
                && start.is(first)
                && (end == width || *end == width.clone() - Dim::from(1) + Dim::from(first)),
            "one part is not every second element",
        ),
        _ => Err(Miss("one part is not every second element")),
    };
    every_second("?even", 0)?;
    every_second("?odd", 1)?;
    m.require(
        m.shape("?one")? == [lead, &[pairs, Dim::one()]].concat(),
        "the parts are not put side by side",
    )?;
    m.require(
        *m.op("?axis")? == Op::Concat { axis: axis + 1 },
        "not joined element by element",
    )
}

/// The same rotation of neighbours.
fn interleaved(rope: Attr) -> Result<Attr, Miss> {
    match rope {
        Attr::Op(Op::Rope {
            heads,
            head_dim,
            rotary_dim,
            ..
        }) => Ok(Attr::Op(Op::Rope {
            heads,
            head_dim,
            rotary_dim,
            interleaved: true,
        })),
        _ => Err(Miss("not a rotation")),
    }
}

// ---- instances ----

/// The halves of the last axis of a value of `axes` axes and `width` elements.
fn draw_halves(d: &mut Draw, axes: usize, width: usize) {
    let axis = axes - 1;
    let half = |start: usize| Op::Slice {
        axis,
        start: start.into(),
        end: (start + width / 2).into(),
        step: 1,
    };
    d.op("?low", half(0));
    d.op("?high", half(width / 2));
    d.op("?axis", Op::Concat { axis });
}

/// `?x` and its halves.
fn two_halves(d: &mut Draw) {
    let axes = 1 + d.below(4);
    let width = d.pick(&[2, 4, 6]);
    let shape = [d.dims(axes - 1), vec![Dim::from(width)]].concat();
    d.value("?x", &shape, Values::Any);
    draw_halves(d, axes, width);
}

/// `?x` [b, s, h d], its split, and the tables, reshaped to leading ones if `reshaped`. Returns the head size.
fn tables(d: &mut Draw, columns: Columns, reshaped: bool) -> usize {
    let heads = d.heads();
    let width = match columns {
        Columns::Elements => heads.head_dim,
        Columns::Pairs => heads.head_dim / 2,
    };
    draw_tables(d, heads, width, reshaped);
    heads.head_dim
}

/// The same for these heads and tables of this width.
fn draw_tables(d: &mut Draw, heads: Heads, width: usize, reshaped: bool) {
    let shape = [
        Dim::batch(),
        Dim::seq(),
        (heads.heads * heads.head_dim).into(),
    ];
    d.value("?x", &shape, Values::Finite);
    d.attr("?h", Attr::Heads(heads));
    for (table, to) in [("?cos", "?rc"), ("?sin", "?rs")] {
        let rows = vec![Dim::seq(), width.into()];
        d.value(table, &rows, Values::Unit);
        if reshaped {
            let ones = d.below(3);
            d.reshape(to, &[vec![Dim::one(); ones], rows].concat());
        }
    }
}

/// `?x` [b, s, h d], tables of a column per pair, and the halves of a head.
fn rotated_pairs(d: &mut Draw) {
    let head_dim = tables(d, Columns::Pairs, true);
    draw_halves(d, 4, head_dim);
}

/// `?x` and every second of its last axis.
fn two_parities(d: &mut Draw) {
    let axes = 1 + d.below(4);
    let width = d.pick(&[2, 4, 6]);
    let lead = d.dims(axes - 1);
    d.value(
        "?x",
        &[&lead[..], &[Dim::from(width)]].concat(),
        Values::Any,
    );
    let axis = axes - 1;
    for (var, start) in [("?even", 0), ("?odd", 1)] {
        let (start, end) = (Dim::from(start), Dim::from(width));
        d.op(
            var,
            Op::Slice {
                axis,
                start,
                end,
                step: 2,
            },
        );
    }
    d.reshape(
        "?one",
        &[&lead[..], &[Dim::from(width / 2), Dim::one()]].concat(),
    );
    d.op("?axis", Op::Concat { axis: axes });
    d.reshape("?to", &[&lead[..], &[Dim::from(width)]].concat());
}

/// `?x` [b, s, h d], tables of a column per rotated element, and the parts of a head.
fn rotated_first(d: &mut Draw) {
    let heads = Heads {
        head_dim: 6,
        ..d.heads()
    };
    let rotary = d.pick(&[2, 4]);
    draw_tables(d, heads, rotary, true);
    let slice = |start: usize, end: usize| Op::Slice {
        axis: 3,
        start: start.into(),
        end: end.into(),
        step: 1,
    };
    d.op("?part", slice(0, rotary));
    d.op("?rest", slice(rotary, heads.head_dim));
    d.op("?axis", Op::Concat { axis: 3 });
}
