//! A tiny random Llama as an importer hands it over, in the two dialects that torch writes.

use std::collections::BTreeMap;

use llmc_ir::{BinaryOp, Dim, Graph, MaskForm, MaskKind, Op, ReduceOp, Type, UnaryOp, ValueId};
use llmc_tensor::{DType, Tensor};

use super::Random;

/// Which exporter is imitated. Both have the same weights, for the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `torch.onnx.export(dynamo=True)`: tied embeddings, `Reciprocal`, keys transposed in 3-D, one mask for all.
    Dynamo,
    /// TorchScript, as optimum used: `Div`, casts around norms, keys transposed in 4-D, a mask per layer.
    TorchScript,
}

/// Sizes of the model.
#[derive(Clone, Copy, Debug)]
pub struct Llama {
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub inner: usize,
    pub vocab: usize,
    pub positions: usize,
}

impl Llama {
    /// Two layers, two queries per key.
    pub const TINY: Llama = Llama {
        layers: 2,
        hidden: 24,
        heads: 4,
        kv_heads: 2,
        head_dim: 6,
        inner: 40,
        vocab: 32,
        positions: 16,
    };

    /// The shape of the shakespeare model.
    pub const SHAKESPEARE: Llama = Llama {
        layers: 4,
        hidden: 192,
        heads: 6,
        kv_heads: 2,
        head_dim: 32,
        inner: 512,
        vocab: 1024,
        positions: 512,
    };

    /// The imported graph.
    pub fn build(self, dialect: Dialect, seed: u64) -> Graph {
        let mut b = Builder {
            graph: Graph::new("main"),
            sizes: self,
            dialect,
            random: Random::new(seed),
            shared: BTreeMap::new(),
        };
        b.model();
        b.graph
    }
}

struct Builder {
    graph: Graph,
    sizes: Llama,
    dialect: Dialect,
    random: Random,
    shared: BTreeMap<&'static str, ValueId>,
}

impl Builder {
    fn node(&mut self, name: &str, op: Op, operands: &[ValueId]) -> ValueId {
        self.graph
            .add_node(op, operands, vec![name.to_string()])
            .expect("operands fit")
    }

    fn unary(&mut self, name: &str, op: UnaryOp, x: ValueId) -> ValueId {
        self.node(name, Op::Unary(op), &[x])
    }

    fn binary(&mut self, name: &str, op: BinaryOp, a: ValueId, b: ValueId) -> ValueId {
        self.node(name, Op::Binary(op), &[a, b])
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let scale = 1.0 / (shape[0] as f32).sqrt();
        let tensor = if shape.len() == 1 {
            self.random.tensor(shape, 2.0)
        } else {
            self.random.tensor(shape, 2.0 * scale)
        };
        self.graph.constant(name, tensor).expect("constant")
    }

    /// A scalar of rank 0 (dynamo) or 1 (TorchScript), as these exporters write them.
    fn scalar(&mut self, name: &str, value: f32) -> ValueId {
        let tensor = match self.dialect {
            Dialect::Dynamo => Tensor::scalar(value),
            Dialect::TorchScript => Tensor::from_vec(vec![1], vec![value]).expect("one element"),
        };
        self.graph.constant(name, tensor).expect("constant")
    }

    fn reshape(&mut self, name: &str, x: ValueId, shape: &[Dim]) -> ValueId {
        self.node(
            name,
            Op::Reshape {
                shape: shape.to_vec(),
            },
            &[x],
        )
    }

    fn transpose(&mut self, name: &str, x: ValueId, perm: &[usize]) -> ValueId {
        self.node(
            name,
            Op::Transpose {
                perm: perm.to_vec(),
            },
            &[x],
        )
    }

    fn model(&mut self) {
        let Llama {
            layers,
            hidden,
            vocab,
            ..
        } = self.sizes;
        let (b, s, p) = (Dim::batch(), Dim::seq(), Dim::past());
        let ids = self
            .graph
            .add_input("input_ids", Type::new(DType::I64, [b.clone(), s.clone()]));
        let cache = Type::new(
            DType::F32,
            [b, self.sizes.kv_heads.into(), p, self.sizes.head_dim.into()],
        );
        let mut caches = Vec::new();
        for layer in 0..layers {
            for kind in ["key", "value"] {
                let name = format!("past_key_values.{layer}.{kind}");
                caches.push(self.graph.add_input(name, cache.clone()));
            }
        }
        self.positions();
        let table = self.weight("embed.weight", &[vocab, hidden]);
        let mut x = self.node("embedding", Op::Gather { axis: 0 }, &[table, ids]);
        for layer in 0..layers {
            x = self.layer(layer, x, caches[2 * layer], caches[2 * layer + 1]);
        }
        let h = self.norm("norm", &mut x);
        let lm = match self.dialect {
            Dialect::Dynamo => self.transpose("lm_head.transpose", table, &[1, 0]),
            Dialect::TorchScript => {
                let rows = self
                    .graph
                    .as_const(table)
                    .and_then(|c| c.tensor())
                    .expect("bytes")
                    .to_f32_vec();
                let columns = (0..hidden * vocab)
                    .map(|i| rows[(i % vocab) * hidden + i / vocab])
                    .collect();
                self.graph
                    .constant(
                        "lm_head",
                        Tensor::from_vec::<f32>(vec![hidden, vocab], columns).expect("fits"),
                    )
                    .expect("constant")
            }
        };
        let logits = self.node("lm_head", Op::MatMul, &[h, lm]);
        self.graph.outputs.insert(0, ("logits".into(), logits));
    }

    /// Tables of cos and sin, the mask, constants that layers share.
    fn positions(&mut self) {
        let Llama {
            head_dim: d,
            positions,
            ..
        } = self.sizes;
        for (name, f) in [("cos", f64::cos as fn(f64) -> f64), ("sin", f64::sin)] {
            let angle = |i: usize| {
                (i / d) as f64 * 1e4f64.powf(-((i % d % (d / 2)) as f64) / (d / 2) as f64)
            };
            let values: Vec<f32> = (0..positions * d).map(|i| f(angle(i)) as f32).collect();
            let table = self
                .graph
                .constant(
                    format!("{name}_table"),
                    Tensor::from_vec(vec![positions, d], values).expect("fits"),
                )
                .expect("constant");
            let rows = self.node(&format!("rotary/{name}"), Op::position_rows(), &[table]);
            let three = self.reshape(
                &format!("rotary/{name}/batch"),
                rows,
                &[Dim::one(), Dim::seq(), d.into()],
            );
            let four = self.reshape(
                &format!("rotary/{name}/heads"),
                three,
                &[Dim::one(), Dim::one(), Dim::seq(), d.into()],
            );
            self.shared.insert(name, four);
        }
        let mask = self.node("mask", Op::mask(MaskKind::CAUSAL, MaskForm::Bool), &[]);
        self.shared.insert("mask", mask);
        let zero = self.scalar("zero", 0.0);
        self.shared.insert("zero", zero);
        let low = self.scalar(
            "low",
            if self.dialect == Dialect::Dynamo {
                f32::MIN
            } else {
                f32::NEG_INFINITY
            },
        );
        self.shared.insert("low", low);
        let two = self.scalar("two", 2.0);
        self.shared.insert("two", two);
        let eps = self.scalar("eps", 1e-5);
        self.shared.insert("eps", eps);
        let root = self.scalar("root_scale", (1.0 / (d as f32).sqrt()).sqrt());
        self.shared.insert("root_scale", root);
        if self.dialect == Dialect::Dynamo {
            let added = self.node("mask/where", Op::Where, &[mask, zero, low]);
            self.shared.insert("added_mask", added);
        } else {
            let one = self.scalar("one", 1.0);
            self.shared.insert("one", one);
        }
    }

    fn norm(&mut self, at: &str, x: &mut ValueId) -> ValueId {
        let (two, eps) = (self.shared["two"], self.shared["eps"]);
        let w = self.weight(&format!("{at}.weight"), &[self.sizes.hidden]);
        if self.dialect == Dialect::TorchScript {
            *x = self.node(&format!("{at}/Cast"), Op::Cast(DType::F32), &[*x]);
        }
        let square = self.binary(&format!("{at}/Pow"), BinaryOp::Pow, *x, two);
        let mean = Op::Reduce {
            op: ReduceOp::Mean,
            axes: vec![2],
            keepdims: true,
        };
        let mean = self.node(&format!("{at}/ReduceMean"), mean, &[square]);
        let sum = self.binary(&format!("{at}/Add"), BinaryOp::Add, mean, eps);
        let root = self.unary(&format!("{at}/Sqrt"), UnaryOp::Sqrt, sum);
        let inverse = match self.dialect {
            Dialect::Dynamo => self.unary(&format!("{at}/Reciprocal"), UnaryOp::Recip, root),
            Dialect::TorchScript => self.binary(
                &format!("{at}/Div"),
                BinaryOp::Div,
                self.shared["one"],
                root,
            ),
        };
        let mut normed = self.binary(&format!("{at}/Mul"), BinaryOp::Mul, *x, inverse);
        if self.dialect == Dialect::TorchScript {
            normed = self.node(&format!("{at}/Cast_1"), Op::Cast(DType::F32), &[normed]);
        }
        self.binary(&format!("{at}/Mul_1"), BinaryOp::Mul, w, normed)
    }

    fn project(&mut self, at: &str, x: ValueId, heads: usize) -> ValueId {
        let d = self.sizes.head_dim;
        let w = self.weight(&format!("{at}.weight"), &[self.sizes.hidden, heads * d]);
        let x = self.node(&format!("{at}/MatMul"), Op::MatMul, &[x, w]);
        let x = self.reshape(
            &format!("{at}/view"),
            x,
            &[Dim::batch(), Dim::seq(), heads.into(), d.into()],
        );
        self.transpose(&format!("{at}/transpose"), x, &[0, 2, 1, 3])
    }

    fn rope(&mut self, at: &str, x: ValueId) -> ValueId {
        let d = self.sizes.head_dim;
        let half = |start: usize| Op::Slice {
            axis: 3,
            start: start.into(),
            end: (start + d / 2).into(),
            step: 1,
        };
        let straight = self.binary(&format!("{at}/Mul"), BinaryOp::Mul, x, self.shared["cos"]);
        let low = self.node(&format!("{at}/Slice"), half(0), &[x]);
        let high = self.node(&format!("{at}/Slice_1"), half(d / 2), &[x]);
        let neg = self.unary(&format!("{at}/Neg"), UnaryOp::Neg, high);
        let turned = self.node(&format!("{at}/Concat"), Op::Concat { axis: 3 }, &[neg, low]);
        let turned = self.binary(
            &format!("{at}/Mul_1"),
            BinaryOp::Mul,
            turned,
            self.shared["sin"],
        );
        self.binary(&format!("{at}/Add"), BinaryOp::Add, straight, turned)
    }

    fn cache(&mut self, output: &str, past: ValueId, new: ValueId) -> ValueId {
        let present = self.node(
            &format!("{output}/concat"),
            Op::Concat { axis: 2 },
            &[past, new],
        );
        self.graph.add_output(output, present);
        present
    }

    /// Every KV head, once per query head.
    fn expand(&mut self, at: &str, x: ValueId) -> ValueId {
        let Llama {
            heads,
            kv_heads,
            head_dim: d,
            ..
        } = self.sizes;
        let (b, t) = (Dim::batch(), Dim::past() + Dim::seq());
        let five = |n: usize| [b.clone(), kv_heads.into(), n.into(), t.clone(), d.into()];
        let x = self.reshape(&format!("{at}/Unsqueeze"), x, &five(1));
        let x = self.node(
            &format!("{at}/Expand"),
            Op::Expand {
                shape: five(heads / kv_heads).to_vec(),
            },
            &[x],
        );
        self.reshape(&format!("{at}/Reshape"), x, &[b, heads.into(), t, d.into()])
    }

    fn transposed_keys(&mut self, at: &str, k: ValueId) -> ValueId {
        let Llama {
            heads, head_dim: d, ..
        } = self.sizes;
        let (b, t) = (Dim::batch(), Dim::past() + Dim::seq());
        if self.dialect == Dialect::TorchScript {
            return self.transpose(&format!("{at}/Transpose"), k, &[0, 1, 3, 2]);
        }
        let k = self.reshape(
            &format!("{at}/flat"),
            k,
            &[&b * &Dim::from(heads), t.clone(), d.into()],
        );
        let k = self.transpose(&format!("{at}/Transpose"), k, &[0, 2, 1]);
        self.reshape(&format!("{at}/back"), k, &[b, heads.into(), d.into(), t])
    }

    fn layer(&mut self, layer: usize, x: ValueId, past_k: ValueId, past_v: ValueId) -> ValueId {
        let Llama {
            hidden,
            heads,
            kv_heads,
            head_dim,
            inner,
            ..
        } = self.sizes;
        let at = |part: &str| format!("layers.{layer}.{part}");
        let mut x = x;
        let h = self.norm(&at("input_norm"), &mut x);
        let q = self.project(&at("q_proj"), h, heads);
        let k = self.project(&at("k_proj"), h, kv_heads);
        let v = self.project(&at("v_proj"), h, kv_heads);
        let q = self.rope(&at("q_rope"), q);
        let k = self.rope(&at("k_rope"), k);
        let k = self.cache(&format!("present.{layer}.key"), past_k, k);
        let v = self.cache(&format!("present.{layer}.value"), past_v, v);
        let k = self.expand(&at("k_heads"), k);
        let v = self.expand(&at("v_heads"), v);
        let k = self.transposed_keys(&at("k_t"), k);
        let q = self.binary(&at("q_scale"), BinaryOp::Mul, q, self.shared["root_scale"]);
        let k = self.binary(&at("k_scale"), BinaryOp::Mul, k, self.shared["root_scale"]);
        let scores = self.node(&at("scores"), Op::MatMul, &[q, k]);
        let mask = match self.shared.get("added_mask") {
            Some(mask) => *mask,
            None => self.node(
                &at("mask"),
                Op::Where,
                &[self.shared["mask"], self.shared["zero"], self.shared["low"]],
            ),
        };
        let scores = self.binary(&at("masked"), BinaryOp::Add, scores, mask);
        let probs = self.node(&at("softmax"), Op::Softmax { axis: 3 }, &[scores]);
        let nan = self.unary(&at("isnan"), UnaryOp::IsNan, probs);
        let probs = self.node(&at("guard"), Op::Where, &[nan, self.shared["zero"], probs]);
        let o = self.node(&at("weighted"), Op::MatMul, &[probs, v]);
        let o = self.transpose(&at("o_transpose"), o, &[0, 2, 1, 3]);
        let o = self.reshape(
            &at("o_view"),
            o,
            &[Dim::batch(), Dim::seq(), (heads * head_dim).into()],
        );
        let w = self.weight(&at("o_proj.weight"), &[heads * head_dim, hidden]);
        let o = self.node(&at("o_proj"), Op::MatMul, &[o, w]);
        let mut x = self.binary(&at("residual"), BinaryOp::Add, x, o);

        let h = self.norm(&at("post_norm"), &mut x);
        let w = self.weight(&at("gate.weight"), &[hidden, inner]);
        let gate = self.node(&at("gate"), Op::MatMul, &[h, w]);
        let sigmoid = self.unary(&at("sigmoid"), UnaryOp::Sigmoid, gate);
        let silu = self.binary(&at("silu"), BinaryOp::Mul, gate, sigmoid);
        let w = self.weight(&at("up.weight"), &[hidden, inner]);
        let up = self.node(&at("up"), Op::MatMul, &[h, w]);
        let gated = self.binary(&at("gated"), BinaryOp::Mul, silu, up);
        let w = self.weight(&at("down.weight"), &[inner, hidden]);
        let down = self.node(&at("down"), Op::MatMul, &[gated, w]);
        self.binary(&at("residual_1"), BinaryOp::Add, x, down)
    }
}
