//! The layout of each op's result.
//!
//! A graph that is not sharded has only replicated values and comes out replicated. After sharding, constants and
//! states are split by hand (by the pass), and what follows from it is inferred here. A replicated operand next to a
//! split one is fine: each core takes its part of it. A dim that is summed over is never split, so that results do
//! not depend on the number of cores.

use super::{Rule, check};
use crate::op::Op;
use crate::types::{Layout, Tables, Type};

/// The layout of a result of shape and dtype `result`.
pub(super) fn layout_rule(
    op: &Op,
    operands: &[&Type],
    result: &Type,
    tables: &Tables,
) -> Rule<Layout> {
    if let (Op::Append { state }, [new]) = (op, operands) {
        let layout = tables
            .state(*state)
            .map_or(Layout::Replicated, |s| s.layout);
        return append(layout, new, result);
    }
    if *op == Op::AllGather {
        let split = operands.iter().any(|t| t.layout != Layout::Replicated);
        return check(split, || "the operand is replicated already".into())
            .map(|()| Layout::Replicated);
    }
    if operands.iter().all(|t| t.layout == Layout::Replicated) {
        return Ok(Layout::Replicated);
    }
    match (op, operands) {
        (
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Where
            | Op::Cast(_)
            | Op::BitCast(_)
            | Op::SiluMul,
            _,
        ) => elementwise(operands, result),
        (Op::MatMul, [a, b]) => match (a.layout, b.layout) {
            (Layout::Replicated, Layout::Split { axis, unit })
                if axis + 1 == b.rank() && axis > 0 =>
            {
                Ok(Layout::Split {
                    axis: result.rank() - 1,
                    unit,
                })
            }
            (Layout::Split { axis, unit }, Layout::Replicated)
                if axis + 1 < a.rank() && a.rank() == result.rank() =>
            {
                Ok(Layout::Split { axis, unit })
            }
            _ => Err("only rows of the left or columns of the right operand may be split".into()),
        },
        (Op::MatMulDequantized { transposed, .. }, [x, codes, rest @ ..]) => {
            replicated(&[x], "the left operand")?;
            replicated(rest, "scale and zero point")?;
            match codes.layout {
                Layout::Split { axis, unit } if axis != usize::from(*transposed) => {
                    Ok(Layout::Split {
                        axis: result.rank() - 1,
                        unit,
                    })
                }
                _ => Err("only columns of the codes may be split".into()),
            }
        }
        (Op::RoundTrip(_), [x, by @ ..]) => {
            replicated(by, "scale and zero point")?;
            match by.iter().all(|t| t.elements().is(1)) {
                true => Ok(x.layout),
                false => apart_from(x, &[x.rank().saturating_sub(1)]),
            }
        }
        (Op::DynamicRoundTrip(_), [x]) => apart_from(x, &[x.rank().saturating_sub(1)]),
        (Op::RmsNorm { .. }, [x, w]) => {
            replicated(&[w], "weights")?;
            let last = x.shape.last();
            let of_heads = |unit: usize| {
                let d = w
                    .shape
                    .last()
                    .and_then(|d| usize::try_from(d.as_const()?).ok());
                last != w.shape.last() && d.is_some_and(|d| d > 0 && unit.is_multiple_of(d))
            };
            match x.layout {
                Layout::Split { axis, unit } if axis + 1 == x.rank() && of_heads(unit) => {
                    Ok(x.layout)
                }
                _ => apart_from(x, &[x.rank().saturating_sub(1)]),
            }
        }
        (Op::LayerNorm { .. }, [x, weights @ ..]) => {
            replicated(weights, "weights")?;
            apart_from(x, &[x.rank().saturating_sub(1)])
        }
        (Op::Rope { head_dim, .. }, [x, tables @ ..]) => {
            replicated(tables, "cos and sin")?;
            match x.layout {
                Layout::Split { axis: 2, unit } if unit.is_multiple_of(*head_dim) => Ok(x.layout),
                _ => Err(format!(
                    "x may be split at axis 2 by whole heads of {head_dim} only"
                )),
            }
        }
        (
            Op::Attention {
                heads,
                kv_heads,
                head_dim,
                ..
            },
            [q, k, v, sink @ ..],
        ) => {
            replicated(sink, "sinks")?;
            check(k.layout == v.layout, || {
                "k and v must have the same layout".into()
            })?;
            let Layout::Split { axis: 1, unit } = k.layout else {
                return Err("k and v must be split by kv head (axis 1)".into());
            };
            let split = Layout::Split {
                axis: 2,
                unit: unit * head_dim * (heads / kv_heads),
            };
            check(q.layout == Layout::Replicated || q.layout == split, || {
                format!("q must be replicated or split as k and v are ({split})")
            })?;
            Ok(split)
        }
        (
            Op::LastRow { axis }
            | Op::Softmax { axis }
            | Op::CumSum { axis, .. }
            | Op::Slice { axis, .. },
            [x],
        ) => apart_from(x, &[*axis]),
        (Op::Reduce { axes, keepdims, .. }, [x]) => Ok(match apart_from(x, axes)? {
            Layout::Split { axis, unit } if !keepdims => Layout::Split {
                axis: axis - axes.iter().filter(|a| **a < axis).count(),
                unit,
            },
            layout => layout,
        }),
        (Op::Transpose { perm }, [x]) => Ok(match x.layout {
            Layout::Split { axis, unit } => Layout::Split {
                axis: perm.iter().position(|p| *p == axis).unwrap_or(axis),
                unit,
            },
            layout => layout,
        }),
        (Op::Concat { axis }, [first, rest @ ..]) => {
            check(rest.iter().all(|x| x.layout == first.layout), || {
                "operands must have the same layout".into()
            })?;
            apart_from(first, &[*axis])
        }
        _ => Err("operands must be replicated".into()),
    }
}

fn append(state: Layout, new: &Type, result: &Type) -> Rule<Layout> {
    let head_dim = result
        .shape
        .last()
        .and_then(|d| d.as_const())
        .and_then(|d| usize::try_from(d).ok());
    match (state, head_dim) {
        (Layout::Replicated, _) => {
            check(new.layout == Layout::Replicated, || {
                "the state is replicated, the operand is not".into()
            })?;
            Ok(Layout::Replicated)
        }
        (Layout::Split { axis: 1, unit }, Some(head_dim)) => {
            let want = Layout::Split {
                axis: 2,
                unit: unit * head_dim,
            };
            check(
                new.layout == Layout::Replicated || new.layout == want,
                || format!("the operand must be replicated or split as the state is ({want})"),
            )?;
            Ok(state)
        }
        _ => Err("a state may be split by kv head (axis 1) only".into()),
    }
}

/// All split operands agree on the axis, counted from the last, and on the unit.
fn elementwise(operands: &[&Type], result: &Type) -> Rule<Layout> {
    let mut found = Layout::Replicated;
    for x in operands {
        let Layout::Split { axis, unit } = x.layout else {
            continue;
        };
        let at = axis + result.rank() - x.rank();
        check(x.shape.get(axis) == result.shape.get(at), || {
            format!("a split axis is broadcast ({})", x.layout)
        })?;
        let layout = Layout::Split { axis: at, unit };
        check(found == Layout::Replicated || found == layout, || {
            format!("operands are split as {found} and {layout}")
        })?;
        found = layout;
    }
    Ok(found)
}

fn replicated(operands: &[&Type], what: &str) -> Rule<()> {
    check(
        operands.iter().all(|t| t.layout == Layout::Replicated),
        || format!("{what} must be replicated"),
    )
}

/// The layout of `x` if it is not split at one of `axes`.
fn apart_from(x: &Type, axes: &[usize]) -> Rule<Layout> {
    match x.layout {
        Layout::Split { axis, .. } if axes.contains(&axis) => Err(format!(
            "axis {axis} is split, but the op needs all of it on each core"
        )),
        layout => Ok(layout),
    }
}
