//! Rotary position embedding: `x * cos + concat(-x[d/2..], x[..d/2]) * sin` with a column of the tables for each element,
//! the same on neighbours, or spelled out with a column for each pair.
//!
//! Each form becomes `rotated`, whatever the axes of `x`; that grows over elements that are not rotated, and becomes the
//! graph op where the axes turn out to be heads and tokens.

use llmc_ir::{Dim, Op};

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::{Attr, Heads, Rotation};
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

use super::movement::heads_of;

/// What the columns of the tables belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    Elements,
    Pairs,
}

/// How tables are used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Used {
    /// [tokens, columns], which broadcasts by itself.
    AsRows,
    /// With axes of 1 around the tokens.
    Reshaped,
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
            "rotate-pairs",
            "the odd elements negated and the even ones, side by side again",
            "(reshape (concat2 (reshape (neg (slice ?x ?odd)) ?one) (reshape (slice ?x ?even) ?one) ?axis) ?to)",
            "(rotate_pairs ?x)",
        )
        .when(neighbours)
        .on(two_parities),
        rule(
            "rotation",
            "x cos + x with its halves swapped, times sin, rotates pairs",
            "(add (mul ?x (reshape ?cos ?rc)) (mul (rotate_half ?x) (reshape ?sin ?rs)))",
            "(rotated ?x ?cos ?sin ?out)",
        )
        .with(|m| rotation(m, Columns::Elements, Used::Reshaped, false))
        .on(|d| {
            rotation_of(d, Columns::Elements, Used::Reshaped);
        }),
        rule(
            "rotation-rows",
            "the same with tables that broadcast by themselves",
            "(add (mul ?x ?cos) (mul (rotate_half ?x) ?sin))",
            "(rotated ?x ?cos ?sin ?out)",
        )
        .with(|m| rotation(m, Columns::Elements, Used::AsRows, false))
        .on(|d| {
            rotation_of(d, Columns::Elements, Used::AsRows);
        }),
        rule(
            "rotation-of-halves",
            "both halves of the rotation written out",
            "(concat2 (sub (mul (slice ?x ?low) (reshape ?cos ?rc)) (mul (slice ?x ?high) (reshape ?sin ?rs))) \
                      (add (mul (slice ?x ?high) (reshape ?cos ?rc)) (mul (slice ?x ?low) (reshape ?sin ?rs))) ?axis)",
            "(rotated ?x ?cos ?sin ?out)",
        )
        .with(|m| rotation_of_halves(m, Used::Reshaped))
        .on(|d| rotated_halves(d, Used::Reshaped)),
        rule(
            "rotation-of-halves-rows",
            "the same with tables that broadcast by themselves",
            "(concat2 (sub (mul (slice ?x ?low) ?cos) (mul (slice ?x ?high) ?sin)) \
                      (add (mul (slice ?x ?high) ?cos) (mul (slice ?x ?low) ?sin)) ?axis)",
            "(rotated ?x ?cos ?sin ?out)",
        )
        .with(|m| rotation_of_halves(m, Used::AsRows))
        .on(|d| rotated_halves(d, Used::AsRows)),
        rule(
            "rotation-interleaved",
            "x cos + x with its neighbours swapped, times sin",
            "(add (mul ?x (reshape ?cos ?rc)) (mul (rotate_pairs ?x) (reshape ?sin ?rs)))",
            "(rotated ?x ?cos ?sin ?out)",
        )
        .with(|m| rotation(m, Columns::Elements, Used::Reshaped, true))
        .on(|d| {
            rotation_of(d, Columns::Elements, Used::Reshaped);
        }),
        rule(
            "rotation-interleaved-rows",
            "the same with tables that broadcast by themselves",
            "(add (mul ?x ?cos) (mul (rotate_pairs ?x) ?sin))",
            "(rotated ?x ?cos ?sin ?out)",
        )
        .with(|m| rotation(m, Columns::Elements, Used::AsRows, true))
        .on(|d| {
            rotation_of(d, Columns::Elements, Used::AsRows);
        }),
        rule(
            "rotation-of-first",
            "the first elements rotated and the rest, joined again",
            "(concat2 (rotated (slice ?x ?part) ?cos ?sin ?r) (slice ?x ?rest) ?axis)",
            "(rotated ?x ?cos ?sin ?out)",
        )
        .with(rotation_of_first)
        .on(rotated_first),
        rule(
            "rotation-of-heads",
            "heads that are rotated are those of a row",
            "(rotated ?x ?cos ?sin ?r)",
            "(rotated (split_heads (merge_heads ?x) ?out) ?cos ?sin ?r)",
        )
        .with(heads_first)
        .on(|d| some_rotation(d, 2)),
        rule(
            "rope",
            "a rotation of the heads of each row",
            "(rotated (split_heads ?x ?h) ?cos ?sin ?r)",
            "(split_heads (rope ?x ?cos ?sin ?out) ?h)",
        )
        .with(|m| rope(m, m.heads("?h")?, 2))
        .on(|d| {
            rotated_heads(d, 2);
        }),
        rule(
            "rope-tokens-first",
            "the same before heads and tokens change places",
            "(rotated (reshape ?x ?to) ?cos ?sin ?r)",
            "(reshape (rope ?x ?cos ?sin ?out) ?to)",
        )
        .with(|m| rope(m, heads_of_reshape(m)?, 1))
        .on(|d| {
            rotated_heads(d, 1);
        }),
        rule(
            "rope-is-rotated",
            "what an operator rotated may be part of a larger rotation",
            "(split_heads (rope ?x ?cos ?sin ?rope) ?h)",
            "(rotated (split_heads ?x ?h) ?cos ?sin ?out)",
        )
        .with(rotated)
        .on(|d| {
            let (heads, rotation) = rotated_heads(d, 2);
            d.op("?rope", rope_op(heads, rotation));
        }),
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

/// The tokens' axis of `?x` by which the tables are used, and their width.
fn used(m: &Match, used: Used) -> Result<(Option<usize>, Dim), Miss> {
    let x = &m.ty("?x")?.shape;
    let of = |table: &str, reshaped: &str| {
        let [tokens, width] = &m.ty(table)?.shape[..] else {
            return Err(Miss("a table is not one row per token"));
        };
        let to = match used {
            Used::AsRows => &m.ty(table)?.shape[..],
            Used::Reshaped => m.shape(reshaped)?,
        };
        let lead = to.len().checked_sub(1).map(|last| &to[..last]);
        let (Some(lead), Some(before)) = (lead, x.len().checked_sub(to.len())) else {
            return Err(Miss("a table has more axes than what it rotates"));
        };
        let mut wide = lead.iter().enumerate().filter(|(_, dim)| !dim.is(1));
        let axis = wide.next().map(|(axis, _)| before + axis);
        m.require(
            wide.next().is_none() && to.last() == Some(width),
            "a table is reshaped to more than its rows and axes of 1",
        )?;
        let along = axis.and_then(|axis| x.get(axis));
        m.require(
            along.unwrap_or(&Dim::one()) == tokens,
            "a table is not one row per token",
        )?;
        Ok((axis, width.clone()))
    };
    let (cos, sin) = (of("?cos", "?rc")?, of("?sin", "?rs")?);
    m.require(cos == sin, "the tables differ in shape")?;
    Ok(cos)
}

/// All of the last axis of `?x` is rotated.
fn rotation(m: &Match, columns: Columns, how: Used, interleaved: bool) -> Result<Attr, Miss> {
    m.same_type("?x")?;
    let (tokens, width) = used(m, how)?;
    let last = m.ty("?x")?.shape.last().and_then(Dim::as_const);
    let last = last.and_then(|n| usize::try_from(n).ok());
    let dim = last.ok_or(Miss("the rotated elements are not constant"))?;
    let want = match columns {
        Columns::Elements => dim,
        Columns::Pairs => dim / 2,
    };
    m.require(
        width == Dim::from(want) && dim.is_multiple_of(2),
        "a table has not one column per rotated element or pair",
    )?;
    Ok(Attr::Rotation(Rotation {
        tokens,
        dim,
        interleaved,
    }))
}

/// Both halves, and a column of the tables for each pair.
fn rotation_of_halves(m: &Match, used: Used) -> Result<Attr, Miss> {
    halves(m, &m.root_ty()?.shape)?;
    rotation(m, Columns::Pairs, used, false)
}

/// A rotation of the first elements of `?x`, of which the rest is joined as it is.
fn rotation_of_first(m: &Match) -> Result<Attr, Miss> {
    let rotation = m.rotation("?r")?;
    m.same_type("?x")?;
    let [lead @ .., width] = &m.ty("?x")?.shape[..] else {
        return Err(Miss("no axis to rotate"));
    };
    let axis = lead.len();
    let Op::Slice { end: cut, .. } = m.op("?part")? else {
        return Err(Miss("not a slice"));
    };
    let slice = |start: Dim, end: Dim| Op::Slice {
        axis,
        start,
        end,
        step: 1,
    };
    m.require(
        *m.op("?part")? == slice(Dim::zero(), cut.clone()),
        "the rotated elements are not the first of each head",
    )?;
    m.require(
        *m.op("?rest")? == slice(cut.clone(), width.clone())
            && *m.op("?axis")? == Op::Concat { axis },
        "what is joined is not the rest of each head",
    )?;
    Ok(Attr::Rotation(rotation))
}

/// `?x` is [b, heads, s, d].
fn heads_first(m: &Match) -> Result<Attr, Miss> {
    let [_, heads, tokens, head_dim] = &m.ty("?x")?.shape[..] else {
        return Err(Miss("not four axes"));
    };
    tokens_at(m, 2, tokens)?;
    heads_of(heads, head_dim).map(Attr::Heads)
}

/// The rotation is along an axis of so many tokens.
fn tokens_at(m: &Match, axis: usize, tokens: &Dim) -> Result<(), Miss> {
    let along = m.rotation("?r")?.tokens;
    m.require(
        along == Some(axis) || along.is_none() && tokens.is(1),
        "the rotation is along another axis than the tokens",
    )
}

/// `?to` splits `?x` [b, s, h d] into [b, s, h, d].
fn heads_of_reshape(m: &Match) -> Result<Heads, Miss> {
    let ([b, s, width], [to_b, to_s, heads, head_dim]) = (&m.ty("?x")?.shape[..], m.shape("?to")?)
    else {
        return Err(Miss("not a split of the last of three axes"));
    };
    m.require(
        b == to_b && s == to_s && *width == heads * head_dim,
        "batch or sequence change",
    )?;
    heads_of(heads, head_dim)
}

/// A rotation of the heads of `?x` [b, s, h d], whose tokens are at this axis once they are split.
fn rope(m: &Match, heads: Heads, axis: usize) -> Result<Attr, Miss> {
    let [_, tokens, _] = &m.ty("?x")?.shape[..] else {
        return Err(Miss("not three axes"));
    };
    tokens_at(m, axis, tokens)?;
    Ok(Attr::Op(rope_op(heads, m.rotation("?r")?)))
}

fn rope_op(heads: Heads, rotation: Rotation) -> Op {
    Op::Rope {
        heads: heads.heads,
        head_dim: heads.head_dim,
        rotary_dim: rotation.dim,
        interleaved: rotation.interleaved,
    }
}

/// The rotation of heads that a graph op is.
fn rotated(m: &Match) -> Result<Attr, Miss> {
    let (split, tokens) = (m.heads("?h")?, m.ty("?x")?.shape.get(1));
    match *m.op("?rope")? {
        Op::Rope {
            heads,
            head_dim,
            rotary_dim,
            interleaved,
        } if (split.heads, split.head_dim) == (heads, head_dim) => Ok(Attr::Rotation(Rotation {
            tokens: tokens.filter(|n| !n.is(1)).map(|_| 2),
            dim: rotary_dim,
            interleaved,
        })),
        _ => Err(Miss("rows are split otherwise than they are rotated")),
    }
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

/// Tables of these tokens and columns.
fn draw_tables(d: &mut Draw, tokens: &Dim, columns: usize) {
    for table in ["?cos", "?sin"] {
        d.value(table, &[tokens.clone(), columns.into()], Values::Unit);
    }
}

/// `?x`, all of whose last axis is rotated, and tables as they are used. Returns the axes and the width.
fn rotation_of(d: &mut Draw, columns: Columns, used: Used) -> (usize, usize) {
    let axes = 2 + d.below(3);
    let width = d.pick(&[2, 4, 6]);
    let tokens = d.pick(&[Dim::seq(), Dim::one()]);
    let axis = match used {
        Used::AsRows => axes - 2,
        Used::Reshaped => d.below(axes - 1),
    };
    let mut shape = [d.dims(axes - 1), vec![width.into()]].concat();
    shape[axis] = tokens.clone();
    d.value("?x", &shape, Values::Finite);
    let columns = match columns {
        Columns::Elements => width,
        Columns::Pairs => width / 2,
    };
    draw_tables(d, &tokens, columns);
    let mut to = vec![Dim::one(); axes];
    (to[axis], to[axes - 1]) = (tokens, columns.into());
    let from = d.below(axis + 1);
    for reshape in ["?rc", "?rs"] {
        d.reshape(reshape, &to[from..]);
    }
    (axes, width)
}

/// The same with tables of a column per pair, and the halves.
fn rotated_halves(d: &mut Draw, used: Used) {
    let (axes, width) = rotation_of(d, Columns::Pairs, used);
    draw_halves(d, axes, width);
}

/// A rotation `?r` of the first elements of heads of 6, and its tables.
fn draw_rotation(d: &mut Draw, axis: usize, tokens: &Dim) -> Rotation {
    let rotation = Rotation {
        tokens: (!tokens.is(1)).then_some(axis),
        dim: d.pick(&[2, 4, 6]),
        interleaved: d.flip(),
    };
    let columns = d.pick(&[rotation.dim, rotation.dim / 2]);
    draw_tables(d, tokens, columns);
    d.attr("?r", Attr::Rotation(rotation));
    rotation
}

/// `?x` of four axes with the tokens at one of them, and a rotation.
fn some_rotation(d: &mut Draw, axis: usize) {
    let heads = Heads {
        head_dim: 6,
        ..d.heads()
    };
    let tokens = d.pick(&[Dim::seq(), Dim::one()]);
    let mut shape = vec![
        Dim::batch(),
        heads.heads.into(),
        heads.heads.into(),
        6.into(),
    ];
    shape[axis] = tokens.clone();
    d.value("?x", &shape, Values::Finite);
    draw_rotation(d, axis, &tokens);
}

/// `?x` [b, s, h d], its split with the tokens at one of the axes, and a rotation.
fn rotated_heads(d: &mut Draw, axis: usize) -> (Heads, Rotation) {
    let heads = Heads {
        head_dim: 6,
        ..d.heads()
    };
    let tokens = d.pick(&[Dim::seq(), Dim::one()]);
    let row = Dim::from(6 * heads.heads);
    d.value("?x", &[Dim::batch(), tokens.clone(), row], Values::Finite);
    d.attr("?h", Attr::Heads(heads));
    let split = [Dim::batch(), tokens.clone(), heads.heads.into(), 6.into()];
    d.reshape("?to", &split);
    let rotation = draw_rotation(d, axis, &tokens);
    (heads, rotation)
}

/// `?x`, its first elements and the rest, and a rotation of the first.
fn rotated_first(d: &mut Draw) {
    let axes = 2 + d.below(3);
    let (cut, width) = (6, 6 + d.pick(&[1, 2]));
    let tokens = d.pick(&[Dim::seq(), Dim::one()]);
    let axis = d.below(axes - 1);
    let mut shape = [d.dims(axes - 1), vec![width.into()]].concat();
    shape[axis] = tokens.clone();
    d.value("?x", &shape, Values::Finite);
    draw_rotation(d, axis, &tokens);
    let last = axes - 1;
    for (var, start, end) in [("?part", 0, cut), ("?rest", cut, width)] {
        let (start, end) = (start.into(), end.into());
        d.op(
            var,
            Op::Slice {
                axis: last,
                start,
                end,
                step: 1,
            },
        );
    }
    d.op("?axis", Op::Concat { axis: last });
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
