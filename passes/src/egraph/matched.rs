//! What a rule's condition sees: the classes that its variables are bound to.

use egg::{EGraph, Id, Subst, Var};
use llmc_ir::{Dim, Op, ReduceOp, Type};
use llmc_tensor::Tensor;

use super::analysis::{Data, TypeAnalysis};
use super::lang::{Attr, Factor, Heads, Lang, Probs, Rotation, Scores};

/// Why a rule did not apply although its left side matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Miss(pub &'static str);

/// One match of a left side.
pub struct Match<'a> {
    egraph: &'a EGraph<Lang, TypeAnalysis>,
    root: Id,
    subst: &'a Subst,
}

impl<'a> Match<'a> {
    /// The match at class `root`.
    pub fn new(egraph: &'a EGraph<Lang, TypeAnalysis>, root: Id, subst: &'a Subst) -> Match<'a> {
        Match {
            egraph,
            root,
            subst,
        }
    }

    /// Fails with `reason` unless the condition holds.
    pub fn require(&self, holds: bool, reason: &'static str) -> Result<(), Miss> {
        if holds { Ok(()) } else { Err(Miss(reason)) }
    }

    /// The class of a variable.
    fn data(&self, var: &str) -> Result<&'a Data, Miss> {
        let var: Var = var.parse().map_err(|_| Miss("not a variable"))?;
        let id = self.subst.get(var).ok_or(Miss("a variable is not bound"))?;
        Ok(&self.egraph[*id].data)
    }

    /// The type of a variable.
    pub fn ty(&self, var: &str) -> Result<&'a Type, Miss> {
        self.data(var)?
            .ty
            .as_ref()
            .ok_or(Miss("an operand has no type"))
    }

    /// The type of the matched class.
    pub fn root_ty(&self) -> Result<&'a Type, Miss> {
        self.egraph[self.root]
            .data
            .ty
            .as_ref()
            .ok_or(Miss("the result has no type"))
    }

    /// The constant number that a variable is.
    pub fn scalar(&self, var: &str) -> Result<f64, Miss> {
        self.data(var)?.scalar.ok_or(Miss("not a constant number"))
    }

    /// The constant tensor that a variable is.
    pub fn constant(&self, var: &str) -> Result<&'a Tensor, Miss> {
        let var: Var = var.parse().map_err(|_| Miss("not a variable"))?;
        let id = self.subst.get(var).ok_or(Miss("a variable is not bound"))?;
        let mut nodes = self.egraph[*id].nodes.iter();
        let constant = nodes.find_map(|node| match node {
            Lang::Opaque(children) => match &self.egraph[*children.first()?].data.attr {
                Some(Attr::Op(Op::Const(id))) => {
                    self.egraph.analysis.tables.constant(*id)?.tensor()
                }
                _ => None,
            },
            _ => None,
        });
        constant.ok_or(Miss("not a constant"))
    }

    /// The attribute of a variable.
    pub fn attr(&self, var: &str) -> Result<&'a Attr, Miss> {
        self.data(var)?
            .attr
            .as_ref()
            .ok_or(Miss("not an attribute"))
    }

    /// The op that a variable is the attribute of.
    pub fn op(&self, var: &str) -> Result<&'a Op, Miss> {
        match self.attr(var)? {
            Attr::Op(op) => Ok(op),
            _ => Err(Miss("not the attribute of an op")),
        }
    }

    /// The permutation that a variable is.
    pub fn perm(&self, var: &str) -> Result<&'a [usize], Miss> {
        match self.op(var)? {
            Op::Transpose { perm } => Ok(perm),
            _ => Err(Miss("not a permutation")),
        }
    }

    /// The split that a variable is.
    pub fn heads(&self, var: &str) -> Result<Heads, Miss> {
        match self.attr(var)? {
            Attr::Heads(heads) => Ok(*heads),
            _ => Err(Miss("not a split of heads")),
        }
    }

    /// The rotation that a variable is.
    pub fn rotation(&self, var: &str) -> Result<Rotation, Miss> {
        match self.attr(var)? {
            Attr::Rotation(rotation) => Ok(*rotation),
            _ => Err(Miss("not a rotation")),
        }
    }

    /// The factor that a variable is.
    pub fn factor(&self, var: &str) -> Result<f64, Miss> {
        match self.attr(var)? {
            Attr::Scale(factor) => Ok(Factor::get(*factor)),
            _ => Err(Miss("not a factor")),
        }
    }

    /// The scores that a variable is the attribute of.
    pub fn scores(&self, var: &str) -> Result<Scores, Miss> {
        match self.attr(var)? {
            Attr::Scores(scores) => Ok(*scores),
            _ => Err(Miss("not scores")),
        }
    }

    /// The probabilities that a variable is the attribute of.
    pub fn probs(&self, var: &str) -> Result<Probs, Miss> {
        match self.attr(var)? {
            Attr::Probs(probs) => Ok(*probs),
            _ => Err(Miss("not probabilities")),
        }
    }

    /// How often the variable repeats each head.
    pub fn repeat(&self, var: &str) -> Result<usize, Miss> {
        match self.attr(var)? {
            Attr::Repeat(n) => Ok(*n),
            _ => Err(Miss("not a number of repeats")),
        }
    }

    /// The shape that a variable is the attribute of: that of a reshape or an expand.
    pub fn shape(&self, var: &str) -> Result<&'a [Dim], Miss> {
        match self.op(var)? {
            Op::Reshape { shape } | Op::Expand { shape } => Ok(shape),
            _ => Err(Miss("not a shape")),
        }
    }

    // ---- checks that several rules share ----

    /// The variable is the constant `value`.
    pub fn scalar_is(&self, var: &str, value: f64) -> Result<(), Miss> {
        self.require(self.scalar(var)? == value, "the constant has another value")
    }

    /// The variable is the factor `value`, but for its rounding to f32.
    pub fn factor_is(&self, var: &str, value: f64) -> Result<(), Miss> {
        let close = (self.factor(var)? - value).abs() <= value.abs() * 1e-6;
        self.require(close, "the factor has another value")
    }

    /// The variable has the type of the result.
    pub fn same_type(&self, var: &str) -> Result<(), Miss> {
        self.require(
            self.ty(var)? == self.root_ty()?,
            "the result has another type than the operand",
        )
    }

    /// `constant` is `value`, and the result has the type of `var`: the constant does not widen it.
    pub fn neutral(&self, var: &str, constant: &str, value: f64) -> Result<(), Miss> {
        self.scalar_is(constant, value)?;
        self.same_type(var)
    }

    /// The variable is the attribute of a mean over the last axis of `x`, which is kept as 1.
    pub fn mean_of_last_axis(&self, var: &str, x: &Type) -> Result<(), Miss> {
        match self.op(var)? {
            Op::Reduce {
                op: ReduceOp::Mean,
                axes,
                keepdims: true,
            } => self.require(
                axes.len() == 1 && axes[0] + 1 == x.rank(),
                "the mean is not over the last axis",
            ),
            _ => Err(Miss("not a mean that keeps its axis")),
        }
    }
}
