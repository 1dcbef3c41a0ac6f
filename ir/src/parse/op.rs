//! Ops from their name and attributes: the other direction of `print::attributes`.

use super::parse_list;
use crate::dim::Dim;
use crate::op::{
    BinaryOp, CmpOp, MaskForm, MaskKind, Op, RangeOf, Real, ReduceOp, ScatterOp, UnaryOp,
};
use crate::text::Cursor;
use std::collections::BTreeMap;

/// Attributes as written; each is taken once, and none may be left.
pub(super) struct Attributes<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Attributes<'a> {
    /// `{key=value, ..}`, or nothing.
    pub(super) fn parse(c: &mut Cursor<'a>) -> Result<Attributes<'a>, String> {
        let mut all = BTreeMap::new();
        if c.eat("{") {
            while !c.eat("}") {
                let key = c
                    .ident()
                    .ok_or_else(|| format!("expected an attribute, found {}", c.found()))?;
                c.expect("=")?;
                if all.insert(key, c.raw_value('}')?).is_some() {
                    return Err(format!("attribute `{key}` is given twice"));
                }
                c.eat(",");
            }
        }
        Ok(Attributes(all))
    }

    /// An attribute that must be there, read by `parse`.
    fn take<T>(
        &mut self,
        key: &str,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, String> {
        let found = self.maybe(key, what, parse)?;
        found.ok_or_else(|| format!("attribute `{key}` ({what}) is missing"))
    }

    /// An attribute that may be there.
    fn maybe<T>(
        &mut self,
        key: &str,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(word) = self.0.remove(key) else {
            return Ok(None);
        };
        parse(word)
            .map(Some)
            .ok_or_else(|| format!("attribute `{key}` must be {what}, is `{word}`"))
    }

    fn size(&mut self, key: &str) -> Result<usize, String> {
        self.take(key, "a number", |w| w.parse().ok())
    }

    fn int(&mut self, key: &str) -> Result<i64, String> {
        self.take(key, "an integer", |w| w.parse().ok())
    }

    fn flag(&mut self, key: &str) -> Result<bool, String> {
        self.take(key, "true or false", |w| w.parse().ok())
    }

    fn real(&mut self, key: &str) -> Result<Real, String> {
        self.take(key, "a real number", real)
    }

    fn dim(&mut self, key: &str) -> Result<Dim, String> {
        self.take(key, "a dim", |w| w.parse().ok())
    }

    fn list<T>(
        &mut self,
        key: &str,
        item: fn(&mut Cursor<'_>) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        self.take(key, "a list", |w| {
            let mut c = Cursor::new(w);
            c.expect("[").ok()?;
            let all = parse_list(&mut c, item).ok()?;
            c.end().ok().map(|()| all)
        })
    }

    fn mask(&mut self) -> Result<MaskKind, String> {
        let causal = self.flag("causal")?;
        Ok(MaskKind {
            causal,
            window: self.maybe("window", "a number", |w| w.parse().ok())?,
        })
    }
}

/// What codes are written as.
const CODES: &str = "a type, a scale and a zero point as u8:0.5:128";

fn real(word: &str) -> Option<Real> {
    word.parse().ok().map(Real::new)
}

/// The op of a name. `const` and `append` carry an id and are made by the caller.
pub(super) fn build(name: &str, mut a: Attributes<'_>) -> Result<Op, String> {
    let op = build_taking(name, &mut a)?;
    match a.0.keys().next() {
        None => Ok(op),
        Some(key) => Err(format!("{name} has no attribute `{key}`")),
    }
}

fn build_taking(name: &str, a: &mut Attributes<'_>) -> Result<Op, String> {
    if let Some(f) = UnaryOp::from_name(name) {
        return Ok(Op::Unary(f));
    }
    if let Some(f) = BinaryOp::from_name(name) {
        return Ok(Op::Binary(f));
    }
    if let Some(f) = CmpOp::from_name(name) {
        return Ok(Op::Compare(f));
    }
    if let Some(op) = ReduceOp::from_name(name) {
        let axes = a.list("axes", |c| c.index())?;
        return Ok(Op::Reduce {
            op,
            axes,
            keepdims: a.flag("keepdims")?,
        });
    }
    Ok(match name {
        "where" => Op::Where,
        "cast" => Op::Cast(a.take("to", "an element type", |w| w.parse().ok())?),
        "bit_cast" => Op::BitCast(a.take("to", "an element type", |w| w.parse().ok())?),
        "reshape" => Op::Reshape {
            shape: a.list("shape", Dim::parse)?,
        },
        "transpose" => Op::Transpose {
            perm: a.list("perm", |c| c.index())?,
        },
        "expand" => Op::Expand {
            shape: a.list("shape", Dim::parse)?,
        },
        "concat" => Op::Concat {
            axis: a.size("axis")?,
        },
        "slice" => Op::Slice {
            axis: a.size("axis")?,
            start: a.dim("start")?,
            end: a.dim("end")?,
            step: a.int("step")?,
        },
        "gather" => Op::Gather {
            axis: a.size("axis")?,
        },
        "gather_nd" => Op::GatherNd {
            batch_dims: a.size("batch_dims")?,
        },
        "scatter_nd" => Op::ScatterNd {
            batch_dims: a.size("batch_dims")?,
            op: a.take("op", "a combination", ScatterOp::from_name)?,
        },
        "pad" => Op::Pad {
            before: a.list("before", |c| c.index())?,
            after: a.list("after", |c| c.index())?,
        },
        "windows" => Op::Windows {
            kernel: a.list("kernel", |c| c.index())?,
            strides: a.list("strides", |c| c.index())?,
            dilations: a.list("dilations", |c| c.index())?,
        },
        "top_k" => Op::TopK {
            axis: a.size("axis")?,
            k: a.size("k")?,
            largest: a.flag("largest")?,
        },
        "softmax" => Op::Softmax {
            axis: a.size("axis")?,
        },
        "cumsum" => Op::CumSum {
            axis: a.size("axis")?,
            exclusive: a.flag("exclusive")?,
            reverse: a.flag("reverse")?,
        },
        "trilu" => Op::Trilu {
            upper: a.flag("upper")?,
            k: a.dim("k")?,
        },
        "matmul" => Op::MatMul,
        "dequantize" => Op::Dequantize {
            axis: a.size("axis")?,
            block: a.size("block")?,
        },
        "matmul_dequantized" => Op::MatMulDequantized {
            block: a.size("block")?,
            transposed: a.flag("transposed")?,
        },
        "round_trip" => Op::RoundTrip(a.take("codes", "an element type", |w| w.parse().ok())?),
        "dynamic_round_trip" => {
            let named = |w: &str| RangeOf::ALL.iter().copied().find(|r| r.name() == w);
            Op::DynamicRoundTrip(a.take("range", "row or all", named)?)
        }
        "position_rows" => Op::PositionRows {
            start: a.dim("start")?,
            rows: a.dim("rows")?,
            short: a
                .maybe("short", "a number", |w| w.parse().ok())?
                .unwrap_or(0),
        },
        "mask" => {
            let hidden = a.maybe("hidden", "a real number", real)?;
            let form = hidden.map_or(MaskForm::Bool, MaskForm::Additive);
            Op::Mask {
                kind: a.mask()?,
                form,
                rows: a.dim("rows")?,
                cols: a.dim("cols")?,
            }
        }
        "rms_norm" => Op::RmsNorm {
            eps: a.real("eps")?,
        },
        "layer_norm" => Op::LayerNorm {
            eps: a.real("eps")?,
        },
        "rope" => Op::Rope {
            heads: a.size("heads")?,
            head_dim: a.size("head_dim")?,
            rotary_dim: a.size("rotary_dim")?,
            interleaved: a.flag("interleaved")?,
        },
        "attention" => Op::Attention {
            heads: a.size("heads")?,
            kv_heads: a.size("kv_heads")?,
            head_dim: a.size("head_dim")?,
            scale: a.real("scale")?,
            mask: a.mask()?,
            softcap: a.maybe("softcap", "a real number", real)?,
            scores: a.maybe("scores", CODES, |w| w.parse().ok())?,
            weights: a.maybe("weights", CODES, |w| w.parse().ok())?,
        },
        "silu_mul" => Op::SiluMul,
        "last_row" => Op::LastRow {
            axis: a.size("axis")?,
        },
        "all_gather" => Op::AllGather,
        "carry" => Op::Carry,
        "repeat" => Op::Repeat {
            count: a.size("count")?,
        },
        "input" => return Err("inputs are written as `input %0 \"name\" type`".into()),
        _ => return Err(format!("there is no op `{name}`")),
    })
}
