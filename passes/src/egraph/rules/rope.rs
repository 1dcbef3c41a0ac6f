//! Rotary position embedding on halves: `x * cos + concat(-x[d/2..], x[..d/2]) * sin`.

use llmc_ir::{Dim, Op};

use crate::egraph::lang::Attr;
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::Rule;

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        Rule::when(
            "rotate-half",
            "(concat2 (neg (slice ?x ?high)) (slice ?x ?low) ?axis)",
            "(rotate_half ?x)",
            halves,
        ),
        Rule::with(
            "rope",
            "(add (mul (split_heads ?x ?h) (reshape ?cos ?rc)) \
                  (mul (rotate_half (split_heads ?x ?h)) (reshape ?sin ?rs)))",
            "(split_heads (rope ?x ?cos ?sin ?out) ?h)",
            rope_reshaped,
        ),
        Rule::with(
            "rope-rows",
            "(add (mul (split_heads ?x ?h) ?cos) (mul (rotate_half (split_heads ?x ?h)) ?sin))",
            "(split_heads (rope ?x ?cos ?sin ?out) ?h)",
            rope,
        ),
    ]
}

/// The two slices are exactly the halves of the last axis, the upper one negated and first.
fn halves(m: &Match) -> Result<(), Miss> {
    let shape = &m.ty("?x")?.shape;
    let last = shape.len().checked_sub(1).ok_or(Miss("no axis to halve"))?;
    let half = shape[last]
        .exact_div(&Dim::from(2))
        .ok_or(Miss("the last axis is odd"))?;
    let slice = |start: Dim, end: Dim| Op::Slice {
        axis: last,
        start,
        end,
        step: 1,
    };
    m.require(
        *m.op("?axis")? == Op::Concat { axis: last },
        "not joined along the last axis",
    )?;
    m.require(
        *m.op("?high")? == slice(half.clone(), shape[last].clone()),
        "the negated part is not the upper half",
    )?;
    m.require(
        *m.op("?low")? == slice(Dim::zero(), half),
        "the other part is not the lower half",
    )
}

/// Tables that gained leading axes of 1 on the way.
fn rope_reshaped(m: &Match) -> Result<Attr, Miss> {
    for (table, reshaped) in [("?cos", "?rc"), ("?sin", "?rs")] {
        let (rows, to) = (&m.ty(table)?.shape, m.shape(reshaped)?);
        let (lead, rest) = to.split_at(to.len().saturating_sub(rows.len()));
        m.require(
            rest == &rows[..] && lead.iter().all(|dim| dim.is(1)),
            "a table is reshaped to more than leading ones",
        )?;
    }
    rope(m)
}

/// One row of the tables per position of `?x`, one column per element of a head.
fn rope(m: &Match) -> Result<Attr, Miss> {
    let heads = m.heads("?h")?;
    let [_, seq, _] = &m.ty("?x")?.shape[..] else {
        return Err(Miss("not three axes"));
    };
    for table in ["?cos", "?sin"] {
        let rows = &m.ty(table)?.shape;
        m.require(
            *rows == [seq.clone(), heads.head_dim.into()],
            "a table is not one row per position",
        )?;
    }
    Ok(Attr::Op(Op::Rope {
        heads: heads.heads,
        head_dim: heads.head_dim,
        rotary_dim: heads.head_dim,
        interleaved: false,
    }))
}
