//! Random well-typed operands for the variables of a rule's left side: what the soundness test runs rules on.
//!
//! A rule's `instances` function binds every variable of its left side. Lengths are symbols with drawn values, so that
//! rules see the dims of real models; values are drawn from the domain on which the rule claims to hold, [`Values`].

use std::collections::BTreeMap;

use llmc_ir::{Bindings, Codes, Dim, MaskKind, Op, Real, Type};
use llmc_tensor::{DType, Tensor};

use super::lang::{Attr, Heads};

/// What a variable is bound to.
#[derive(Clone, Debug)]
pub enum Bound {
    /// An input of this type, with its value.
    Input(Type, Tensor),
    /// A constant.
    Const(Tensor),
    /// An attribute leaf.
    Attr(Attr),
}

/// The numbers that a rule holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Every float: NaN, infinities, zeros of both signs, huge and tiny numbers.
    Any,
    /// Floats not below 0, infinity among them; no -0.
    NotNegative,
    /// Numbers up to 1e4, zeros of both signs and tiny ones: products of a few stay finite.
    Finite,
    /// As [`Values::Finite`], but about 1 at most: what softmax tells apart.
    Unit,
}

impl Values {
    /// Numbers at which rules break.
    fn edges(self) -> &'static [f32] {
        const INF: f32 = f32::INFINITY;
        match self {
            Values::Any => &[
                0.0,
                -0.0,
                INF,
                -INF,
                f32::NAN,
                1e30,
                -1e30,
                1e-30,
                1.0,
                -1.0,
            ],
            Values::NotNegative => &[0.0, INF, 1e30, 1e-30, 1.0],
            Values::Finite => &[0.0, -0.0, 1e4, -1e4, 1e-6, 1e-30, 1.0],
            Values::Unit => &[0.0, -0.0, 1e-6, -1e-30, 1.0, -1.0],
        }
    }
}

/// One instance being drawn.
#[derive(Clone, Debug)]
pub struct Draw {
    state: u64,
    /// Values of the symbols.
    pub at: Bindings,
    /// What is bound so far.
    pub bound: BTreeMap<&'static str, Bound>,
    edges: bool,
}

impl Draw {
    /// An instance without variables; equal seeds draw equal instances. Every second one has edge values.
    pub fn new(seed: u64) -> Draw {
        let mut draw = Draw {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            at: Bindings::new(),
            bound: BTreeMap::new(),
            edges: seed % 2 == 1,
        };
        let lengths = [("batch", 1, 2), ("seq", 1, 4), ("past", 0, 4)];
        for (symbol, least, most) in lengths {
            let length = least + draw.below(most - least + 1);
            draw.at = std::mem::take(&mut draw.at).with(symbol, length as i64);
        }
        draw
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }

    /// One of some choices, of which there is at least one.
    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let at = self.below(choices.len());
        choices[at].clone()
    }

    /// True half of the time.
    pub fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    /// A length: a symbol or a small number.
    pub fn dim(&mut self) -> Dim {
        let small = 1 + self.below(3);
        self.pick(&[
            Dim::batch(),
            Dim::seq(),
            Dim::past() + Dim::seq(),
            Dim::from(small),
        ])
    }

    /// A shape of some axes.
    pub fn dims(&mut self, axes: usize) -> Vec<Dim> {
        (0..axes).map(|_| self.dim()).collect()
    }

    /// A shape of one to four axes.
    pub fn shape(&mut self) -> Vec<Dim> {
        let axes = 1 + self.below(4);
        self.dims(axes)
    }

    /// A permutation of some axes.
    pub fn perm(&mut self, axes: usize) -> Vec<usize> {
        let mut perm: Vec<usize> = (0..axes).collect();
        for i in (1..axes).rev() {
            perm.swap(i, self.below(i + 1));
        }
        perm
    }

    fn number(&mut self, values: Values) -> f32 {
        if self.edges && self.below(4) == 0 {
            return self.pick(values.edges());
        }
        let size = 0.1 + (self.next() >> 40) as f32 / (1u64 << 24) as f32;
        let negative = self.flip() && values != Values::NotNegative;
        if negative { -size } else { size }
    }

    fn tensor(&mut self, shape: &[Dim], values: Values) -> Tensor {
        let lengths: Vec<usize> = shape
            .iter()
            .map(|dim| dim.eval_len(&self.at).unwrap_or(1))
            .collect();
        let numbers: Vec<f64> = (0..lengths.iter().product())
            .map(|_| f64::from(self.number(values)))
            .collect();
        Tensor::from_f64(DType::F32, lengths, &numbers).unwrap_or_else(|_| Tensor::scalar(0f32))
    }

    // ---- binding variables ----

    /// An f32 input of this shape.
    pub fn value(&mut self, var: &'static str, shape: &[Dim], values: Values) {
        let tensor = self.tensor(shape, values);
        let ty = Type::new(DType::F32, shape.to_vec());
        self.bound.insert(var, Bound::Input(ty, tensor));
    }

    /// An f32 input that broadcasts to this shape.
    pub fn broadcast_to(&mut self, var: &'static str, shape: &[Dim], values: Values) {
        let from = self.below(shape.len());
        let mut thinned = shape[from..].to_vec();
        for dim in &mut thinned {
            if self.below(3) == 0 {
                *dim = Dim::one();
            }
        }
        self.value(var, &thinned, values);
    }

    /// Two f32 inputs whose shapes broadcast.
    pub fn broadcast(&mut self, a: &'static str, b: &'static str, values: Values) {
        let shape = self.shape();
        match self.below(3) {
            0 => self.value(a, &shape, values),
            _ => self.broadcast_to(a, &shape, values),
        }
        match self.below(3) {
            0 => self.value(b, &shape, values),
            _ => self.broadcast_to(b, &shape, values),
        }
    }

    /// A bool input of this shape.
    pub fn bools(&mut self, var: &'static str, shape: &[Dim]) {
        let signs = self.tensor(shape, Values::Unit);
        let bits: Vec<f64> = signs
            .to_f64_vec()
            .iter()
            .map(|v| f64::from(u8::from(*v > 0.0)))
            .collect();
        let lengths = signs.shape().to_vec();
        let tensor = Tensor::from_f64(DType::Bool, lengths, &bits).unwrap_or(signs);
        let ty = Type::new(DType::Bool, shape.to_vec());
        self.bound.insert(var, Bound::Input(ty, tensor));
    }

    /// A constant f32 number, as a scalar or as a vector of one.
    pub fn scalar(&mut self, var: &'static str, value: f32) {
        let shape = self.pick(&[vec![], vec![1]]);
        if let Ok(tensor) = Tensor::from_vec(shape, vec![value]) {
            self.bound.insert(var, Bound::Const(tensor));
        }
    }

    /// A constant row of indices.
    pub fn indices(&mut self, var: &'static str, values: &[i64]) {
        if let Ok(tensor) = Tensor::from_vec(vec![values.len()], values.to_vec()) {
            self.bound.insert(var, Bound::Const(tensor));
        }
    }

    /// An attribute.
    pub fn attr(&mut self, var: &'static str, attr: Attr) {
        self.bound.insert(var, Bound::Attr(attr));
    }

    /// The attribute of an op.
    pub fn op(&mut self, var: &'static str, op: Op) {
        self.attr(var, Attr::Op(op));
    }

    /// The attribute of a reshape to this shape.
    pub fn reshape(&mut self, var: &'static str, shape: &[Dim]) {
        let shape = shape.to_vec();
        self.op(var, Op::Reshape { shape });
    }

    /// The attribute of a transpose.
    pub fn transpose(&mut self, var: &'static str, perm: &[usize]) {
        let perm = perm.to_vec();
        self.op(var, Op::Transpose { perm });
    }

    /// A factor of a `scaled` or of a multiplication.
    pub fn factor(&mut self) -> f32 {
        self.pick(&[0.125, 0.707_106_77, -3.0, 1e-3, 7.5])
    }

    // ---- what attention and rope are made of ----

    /// One to four heads of two or four elements.
    pub fn heads(&mut self) -> Heads {
        Heads {
            heads: self.pick(&[1, 2, 4]),
            head_dim: self.pick(&[2, 4]),
        }
    }

    /// Codes without ties among round numbers.
    pub fn codes(&mut self) -> Codes {
        Codes {
            dtype: self.pick(&[DType::U8, DType::I8]),
            scale: Real::new(self.pick(&[0.03, 0.007, 0.7])),
            zero: self.pick(&[0, 3, 101]),
        }
    }

    /// The operands and the attribute of a rounding.
    pub fn round_trip(&mut self, scale: &'static str, zero: &'static str, attr: &'static str) {
        let codes = self.codes();
        self.scalar(scale, codes.scale.get());
        if let Ok(tensor) = Tensor::from_i64(codes.dtype, Vec::new(), &[codes.zero.into()]) {
            self.bound.insert(zero, Bound::Const(tensor));
        }
        self.op(attr, Op::RoundTrip(codes.dtype));
    }

    /// A mask that every row sees something of.
    pub fn mask_kind(&mut self) -> MaskKind {
        let window = self.pick(&[None, Some(1), Some(3)]);
        let causal = window.is_some() || self.flip();
        MaskKind { causal, window }
    }
}
