//! The e-graph's language: graph ops with their attributes as one typed leaf, and abstract nodes.
//!
//! `(reshape ?x ?to)`: the attribute of an op is its last child, a leaf that holds the whole [`Op`] as a Rust value.
//! Ops that no rule looks into are `(op attribute operand..)`. Constants are `(op attribute)`; an input is a leaf
//! of its own.

use std::fmt;
use std::str::FromStr;

use egg::{Id, define_language};
use llmc_ir::{BinaryOp, Codes, MaskKind, Op, Real, UnaryOp, ValueId};

define_language! {
    /// A node of the e-graph.
    #[allow(missing_docs)] // the strings are the names of graph ops
    pub enum Lang {
        Attr(Attr),
        "op" = Opaque(Box<[Id]>),
        // Elementwise.
        "neg" = Neg([Id; 1]),
        "sqrt" = Sqrt([Id; 1]),
        "rsqrt" = Rsqrt([Id; 1]),
        "recip" = Recip([Id; 1]),
        "sigmoid" = Sigmoid([Id; 1]),
        "tanh" = Tanh([Id; 1]),
        "erf" = Erf([Id; 1]),
        "silu" = Silu([Id; 1]),
        "exp" = Exp([Id; 1]),
        "relu" = Relu([Id; 1]),
        "gelu" = Gelu([Id; 1]),
        "gelu_tanh" = GeluTanh([Id; 1]),
        "is_nan" = IsNan([Id; 1]),
        "not" = Not([Id; 1]),
        "add" = Add([Id; 2]),
        "sub" = Sub([Id; 2]),
        "mul" = Mul([Id; 2]),
        "div" = Div([Id; 2]),
        "pow" = Pow([Id; 2]),
        "max" = Max([Id; 2]),
        "where" = Where([Id; 3]),
        "cast" = Cast([Id; 2]),
        // Movement.
        "reshape" = Reshape([Id; 2]),
        "transpose" = Transpose([Id; 2]),
        "expand" = Expand([Id; 2]),
        "slice" = Slice([Id; 2]),
        "concat2" = Concat2([Id; 3]),
        "gather" = Gather([Id; 3]),
        // Contractions.
        "reduce" = Reduce([Id; 2]),
        "softmax" = Softmax([Id; 2]),
        "matmul" = MatMul([Id; 2]),
        // Fused.
        "mask" = Mask([Id; 1]),
        "rms_norm" = RmsNorm([Id; 3]),
        "layer_norm" = LayerNorm([Id; 4]),
        "rope" = Rope([Id; 4]),
        "attention" = Attention([Id; 4]),
        "round_trip" = RoundTrip([Id; 4]),
        "attention_sink" = AttentionSink([Id; 5]),
        "silu_mul" = SiluMul([Id; 2]),
        // Abstract: never extracted. See the README.
        "split_heads" = SplitHeads([Id; 2]),
        "merge_heads" = MergeHeads([Id; 1]),
        "rotate_half" = RotateHalf([Id; 1]),
        "rotate_pairs" = RotatePairs([Id; 1]),
        "rotated" = Rotated([Id; 4]),
        "repeat_kv" = RepeatKv([Id; 2]),
        "scaled" = Scaled([Id; 2]),
        "scores" = ScoresOf([Id; 3]),
        "probs" = ProbsOf([Id; 3]),
        "sink_probs" = SinkProbs([Id; 4]),
    }
}

/// A typed attribute leaf.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attr {
    /// A graph op with its attributes.
    Op(Op),
    /// A node of the imported graph that stays as it is: an input.
    Leaf(ValueId),
    /// How `split_heads` splits the last axis.
    Heads(Heads),
    /// How `rotated` rotates.
    Rotation(Rotation),
    /// How often `repeat_kv` repeats each head in place.
    Repeat(usize),
    /// The factor of `scaled`.
    Scale(Factor),
    /// What `scores` is.
    Scores(Scores),
    /// What `probs` or `sink_probs` is.
    Probs(Probs),
}

impl Attr {
    /// The attribute of `scaled`.
    pub fn scale(factor: f64) -> Attr {
        Attr::Scale(Attr::factor(factor))
    }

    /// A factor as part of an attribute.
    pub fn factor(factor: f64) -> Factor {
        Factor(factor.to_bits())
    }
}

/// An f64, equal and ordered by its bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Factor(u64);

impl Factor {
    /// The value.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// The value as the attribute of a graph op.
    pub fn real(self) -> Real {
        Real::new(self.get() as f32)
    }
}

impl fmt::Debug for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

/// `[b, s, heads * head_dim] -> [b, heads, s, head_dim]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Heads {
    /// Number of heads.
    pub heads: usize,
    /// Elements per head.
    pub head_dim: usize,
}

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heads={}, head_dim={}", self.heads, self.head_dim)
    }
}

/// How pairs of the first elements of the last axis are rotated, by tables [tokens, dim] or [tokens, dim / 2].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rotation {
    /// The axis of the tokens; `None` if there is one token.
    pub tokens: Option<usize>,
    /// How many elements are rotated.
    pub dim: usize,
    /// Pairs are neighbours, not `dim / 2` apart.
    pub interleaved: bool,
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rotation {
            tokens,
            dim,
            interleaved,
        } = self;
        write!(f, "dim={dim}, interleaved={interleaved}")?;
        tokens.map_or(Ok(()), |axis| write!(f, ", tokens={axis}"))
    }
}

/// `scale * q k^T`, capped, of q [b, s, heads * head_dim] and k [b, kv_heads, t, head_dim].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scores {
    /// How q splits.
    pub q: Heads,
    /// Heads of k; divides those of q.
    pub kv_heads: usize,
    /// Factor of the product.
    pub scale: Factor,
    /// Scores become `c * tanh(score / c)`.
    pub softcap: Option<Factor>,
    /// They are rounded to these codes and back.
    pub codes: Option<Codes>,
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scores {
            q,
            kv_heads,
            scale,
            softcap,
            codes,
        } = self;
        write!(f, "{q}, kv_heads={kv_heads}, scale={scale:?}")?;
        softcap.map_or(Ok(()), |cap| write!(f, ", softcap={cap:?}"))?;
        codes.map_or(Ok(()), |codes| write!(f, ", codes={codes}"))
    }
}

/// Softmax over the keys of masked [`Scores`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Probs {
    /// Of which scores.
    pub scores: Scores,
    /// What is seen.
    pub mask: MaskKind,
    /// They are rounded to these codes and back.
    pub codes: Option<Codes>,
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attr::Op(op) => fmt::Display::fmt(op, f),
            Attr::Leaf(id) => fmt::Display::fmt(id, f),
            Attr::Heads(heads) => write!(f, "{{{heads}}}"),
            Attr::Rotation(rotation) => write!(f, "{{{rotation}}}"),
            Attr::Repeat(times) => write!(f, "{{times={times}}}"),
            Attr::Scale(factor) => write!(f, "{{by={factor:?}}}"),
            Attr::Scores(scores) => write!(f, "{{{scores}}}"),
            Attr::Probs(probs) => {
                let Probs {
                    scores,
                    mask,
                    codes,
                } = probs;
                write!(f, "{{{scores}, causal={}", mask.causal)?;
                if let Some(window) = mask.window {
                    write!(f, ", window={window}")?;
                }
                if let Some(codes) = codes {
                    write!(f, ", rounded={codes}")?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Patterns bind attributes, they cannot spell them.
impl FromStr for Attr {
    type Err = String;

    fn from_str(text: &str) -> Result<Attr, String> {
        Err(format!(
            "`{text}` is not the name of an op; attributes are bound by variables"
        ))
    }
}

impl Lang {
    /// The node of a graph op on these operands; `attr` adds the attribute leaf where the op has one.
    pub fn from_op(op: &Op, operands: &[Id], attr: impl FnOnce(Attr) -> Id) -> Lang {
        match (op, operands) {
            (Op::Unary(UnaryOp::Neg), &[x]) => Lang::Neg([x]),
            (Op::Unary(UnaryOp::Sqrt), &[x]) => Lang::Sqrt([x]),
            (Op::Unary(UnaryOp::Rsqrt), &[x]) => Lang::Rsqrt([x]),
            (Op::Unary(UnaryOp::Recip), &[x]) => Lang::Recip([x]),
            (Op::Unary(UnaryOp::Sigmoid), &[x]) => Lang::Sigmoid([x]),
            (Op::Unary(UnaryOp::Tanh), &[x]) => Lang::Tanh([x]),
            (Op::Unary(UnaryOp::Erf), &[x]) => Lang::Erf([x]),
            (Op::Unary(UnaryOp::Silu), &[x]) => Lang::Silu([x]),
            (Op::Unary(UnaryOp::Exp), &[x]) => Lang::Exp([x]),
            (Op::Unary(UnaryOp::Relu), &[x]) => Lang::Relu([x]),
            (Op::Unary(UnaryOp::Gelu), &[x]) => Lang::Gelu([x]),
            (Op::Unary(UnaryOp::GeluTanh), &[x]) => Lang::GeluTanh([x]),
            (Op::Unary(UnaryOp::IsNan), &[x]) => Lang::IsNan([x]),
            (Op::Unary(UnaryOp::Not), &[x]) => Lang::Not([x]),
            (Op::Binary(BinaryOp::Add), &[a, b]) => Lang::Add([a, b]),
            (Op::Binary(BinaryOp::Sub), &[a, b]) => Lang::Sub([a, b]),
            (Op::Binary(BinaryOp::Mul), &[a, b]) => Lang::Mul([a, b]),
            (Op::Binary(BinaryOp::Div), &[a, b]) => Lang::Div([a, b]),
            (Op::Binary(BinaryOp::Pow), &[a, b]) => Lang::Pow([a, b]),
            (Op::Binary(BinaryOp::Max), &[a, b]) => Lang::Max([a, b]),
            (Op::MatMul, &[a, b]) => Lang::MatMul([a, b]),
            (Op::SiluMul, &[g, u]) => Lang::SiluMul([g, u]),
            (Op::Where, &[c, a, b]) => Lang::Where([c, a, b]),
            (Op::Mask { .. }, &[]) => Lang::Mask([attr(Attr::Op(op.clone()))]),
            (Op::Cast(_), &[x]) => Lang::Cast([x, attr(Attr::Op(op.clone()))]),
            (Op::Reshape { .. }, &[x]) => Lang::Reshape([x, attr(Attr::Op(op.clone()))]),
            (Op::Transpose { .. }, &[x]) => Lang::Transpose([x, attr(Attr::Op(op.clone()))]),
            (Op::Expand { .. }, &[x]) => Lang::Expand([x, attr(Attr::Op(op.clone()))]),
            (Op::Slice { .. }, &[x]) => Lang::Slice([x, attr(Attr::Op(op.clone()))]),
            (Op::Concat { .. }, &[x, y]) => Lang::Concat2([x, y, attr(Attr::Op(op.clone()))]),
            (Op::Gather { .. }, &[x, i]) => Lang::Gather([x, i, attr(Attr::Op(op.clone()))]),
            (Op::Reduce { .. }, &[x]) => Lang::Reduce([x, attr(Attr::Op(op.clone()))]),
            (Op::Softmax { .. }, &[x]) => Lang::Softmax([x, attr(Attr::Op(op.clone()))]),
            (Op::RmsNorm { .. }, &[x, w]) => Lang::RmsNorm([x, w, attr(Attr::Op(op.clone()))]),
            (Op::LayerNorm { .. }, &[x, w, b]) => {
                Lang::LayerNorm([x, w, b, attr(Attr::Op(op.clone()))])
            }
            (Op::Rope { .. }, &[x, c, s]) => Lang::Rope([x, c, s, attr(Attr::Op(op.clone()))]),
            (Op::RoundTrip(_), &[x, s, z]) => {
                Lang::RoundTrip([x, s, z, attr(Attr::Op(op.clone()))])
            }
            (Op::Attention { .. }, &[q, k, v]) => {
                Lang::Attention([q, k, v, attr(Attr::Op(op.clone()))])
            }
            (Op::Attention { .. }, &[q, k, v, sink]) => {
                Lang::AttentionSink([q, k, v, sink, attr(Attr::Op(op.clone()))])
            }
            (op, operands) => {
                let mut children = vec![attr(Attr::Op(op.clone()))];
                children.extend_from_slice(operands);
                Lang::Opaque(children.into())
            }
        }
    }

    /// The graph op of a node and its operands; `None` for attributes, inputs and abstract nodes.
    /// `attr` reads an attribute leaf.
    pub fn to_op<'a>(&self, attr: impl Fn(Id) -> Option<&'a Attr>) -> Option<(Op, Vec<Id>)> {
        let leaf = |id: Id| match attr(id) {
            Some(Attr::Op(op)) => Some(op.clone()),
            _ => None,
        };
        Some(match self {
            Lang::Neg(x) => (Op::Unary(UnaryOp::Neg), x.to_vec()),
            Lang::Sqrt(x) => (Op::Unary(UnaryOp::Sqrt), x.to_vec()),
            Lang::Rsqrt(x) => (Op::Unary(UnaryOp::Rsqrt), x.to_vec()),
            Lang::Recip(x) => (Op::Unary(UnaryOp::Recip), x.to_vec()),
            Lang::Sigmoid(x) => (Op::Unary(UnaryOp::Sigmoid), x.to_vec()),
            Lang::Tanh(x) => (Op::Unary(UnaryOp::Tanh), x.to_vec()),
            Lang::Erf(x) => (Op::Unary(UnaryOp::Erf), x.to_vec()),
            Lang::Silu(x) => (Op::Unary(UnaryOp::Silu), x.to_vec()),
            Lang::Exp(x) => (Op::Unary(UnaryOp::Exp), x.to_vec()),
            Lang::Relu(x) => (Op::Unary(UnaryOp::Relu), x.to_vec()),
            Lang::Gelu(x) => (Op::Unary(UnaryOp::Gelu), x.to_vec()),
            Lang::GeluTanh(x) => (Op::Unary(UnaryOp::GeluTanh), x.to_vec()),
            Lang::IsNan(x) => (Op::Unary(UnaryOp::IsNan), x.to_vec()),
            Lang::Not(x) => (Op::Unary(UnaryOp::Not), x.to_vec()),
            Lang::Add(ab) => (Op::Binary(BinaryOp::Add), ab.to_vec()),
            Lang::Sub(ab) => (Op::Binary(BinaryOp::Sub), ab.to_vec()),
            Lang::Mul(ab) => (Op::Binary(BinaryOp::Mul), ab.to_vec()),
            Lang::Div(ab) => (Op::Binary(BinaryOp::Div), ab.to_vec()),
            Lang::Pow(ab) => (Op::Binary(BinaryOp::Pow), ab.to_vec()),
            Lang::Max(ab) => (Op::Binary(BinaryOp::Max), ab.to_vec()),
            Lang::MatMul(ab) => (Op::MatMul, ab.to_vec()),
            Lang::SiluMul(gu) => (Op::SiluMul, gu.to_vec()),
            Lang::Where(cab) => (Op::Where, cab.to_vec()),
            Lang::Opaque(children) => match children.split_first() {
                Some((first, operands)) => (leaf(*first)?, operands.to_vec()),
                None => return None,
            },
            Lang::Mask([a]) => (leaf(*a)?, vec![]),
            Lang::Cast([x, a])
            | Lang::Reshape([x, a])
            | Lang::Transpose([x, a])
            | Lang::Expand([x, a])
            | Lang::Slice([x, a])
            | Lang::Reduce([x, a])
            | Lang::Softmax([x, a]) => (leaf(*a)?, vec![*x]),
            Lang::Concat2([x, y, a]) | Lang::Gather([x, y, a]) | Lang::RmsNorm([x, y, a]) => {
                (leaf(*a)?, vec![*x, *y])
            }
            Lang::LayerNorm([x, y, z, a])
            | Lang::Rope([x, y, z, a])
            | Lang::RoundTrip([x, y, z, a])
            | Lang::Attention([x, y, z, a]) => (leaf(*a)?, vec![*x, *y, *z]),
            Lang::AttentionSink([x, y, z, sink, a]) => (leaf(*a)?, vec![*x, *y, *z, *sink]),
            Lang::Attr(_)
            | Lang::SplitHeads(_)
            | Lang::MergeHeads(_)
            | Lang::RotateHalf(_)
            | Lang::RotatePairs(_)
            | Lang::Rotated(_)
            | Lang::RepeatKv(_)
            | Lang::Scaled(_)
            | Lang::ScoresOf(_)
            | Lang::ProbsOf(_)
            | Lang::SinkProbs(_) => return None,
        })
    }
}
