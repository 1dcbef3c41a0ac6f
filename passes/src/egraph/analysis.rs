//! What the e-graph knows of each class: its type, its attribute, its value if it is one constant number.

use std::collections::BTreeMap;

use egg::{Analysis, DidMerge, EGraph, Id};
use llmc_ir::{Dim, Op, Tables, Type, ValueId, infer};

use super::lang::{Attr, Lang};
use super::matched::Miss;

/// The analysis and its tables.
#[derive(Debug, Default)]
pub struct TypeAnalysis {
    /// Constants and states of the graph.
    pub tables: Tables,
    /// Types of the graph's inputs.
    pub inputs: BTreeMap<ValueId, Type>,
    /// While a rule is applied: the class whose match it is. New classes remember it, see `Data::made_for`.
    pub made_for: Option<Id>,
    /// How often a rule's left side matched and its condition said no, by rule and reason.
    pub misses: BTreeMap<(&'static str, &'static str), usize>,
    /// Unions that would have joined values of different types.
    pub unsound: Vec<String>,
}

/// Facts of one class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// The type; `None` for attributes other than inputs.
    pub ty: Option<Type>,
    /// The attribute, for attribute leaves.
    pub attr: Option<Attr>,
    /// The value, for constants of one element.
    pub scalar: Option<f64>,
    /// The class for which a rule made this one, if one did.
    pub made_for: Option<Id>,
}

impl TypeAnalysis {
    /// Counts a near miss.
    pub fn miss(&mut self, rule: &'static str, miss: Miss) {
        *self.misses.entry((rule, miss.0)).or_insert(0) += 1;
    }

    /// Records a rule whose sides differ in type.
    pub fn unsound(&mut self, rule: &str, want: Option<&Type>, have: Option<&Type>) {
        let text = |ty: Option<&Type>| ty.map_or("no type".to_string(), Type::to_string);
        let found = format!(
            "rule `{rule}` puts {} in place of {}",
            text(have),
            text(want)
        );
        if !self.unsound.contains(&found) {
            self.unsound.push(found);
        }
    }
}

impl Analysis<Lang> for TypeAnalysis {
    type Data = Data;

    fn make(egraph: &mut EGraph<Lang, Self>, node: &Lang, _id: Id) -> Data {
        let made_for = egraph.analysis.made_for;
        if let Lang::Attr(attr) = node {
            let ty = match attr {
                Attr::Leaf(id) => egraph.analysis.inputs.get(id).cloned(),
                _ => None,
            };
            return Data {
                ty,
                attr: Some(attr.clone()),
                made_for,
                ..Data::default()
            };
        }
        Data {
            ty: type_of(egraph, node),
            attr: None,
            scalar: scalar_of(egraph, node),
            made_for,
        }
    }

    fn merge(&mut self, a: &mut Data, b: Data) -> DidMerge {
        if a.ty != b.ty {
            self.unsound("merge", a.ty.as_ref(), b.ty.as_ref());
        }
        let made_for = [a.made_for, b.made_for].into_iter().flatten().min();
        let merged = Data {
            ty: a.ty.clone(),
            attr: a.attr.clone().or(b.attr.clone()),
            scalar: a.scalar.or(b.scalar),
            made_for,
        };
        // `made_for` is no fact about the value: it need not travel to the users.
        let differs = |old: &Data| (&merged.attr, merged.scalar) != (&old.attr, old.scalar);
        let did = DidMerge(differs(a), differs(&b));
        *a = merged;
        did
    }
}

/// The type of a node from the types of its operands; `None` if they do not fit.
fn type_of(egraph: &EGraph<Lang, TypeAnalysis>, node: &Lang) -> Option<Type> {
    let ty = |id: &Id| egraph[*id].data.ty.as_ref();
    let attr = |id: &Id| egraph[*id].data.attr.as_ref();
    match node {
        Lang::RotateHalf([x])
        | Lang::RotatePairs([x])
        | Lang::Rotated([x, ..])
        | Lang::Scaled([x, _]) => ty(x).cloned(),
        Lang::SplitHeads([x, a]) => match (&*ty(x)?.shape, attr(a)?) {
            ([b, s, _], Attr::Heads(h)) => typed(
                ty(x)?,
                [b.clone(), h.heads.into(), s.clone(), h.head_dim.into()],
            ),
            _ => None,
        },
        Lang::MergeHeads([x]) => match &*ty(x)?.shape {
            [b, h, s, d] => typed(ty(x)?, [b.clone(), s.clone(), h * d]),
            _ => None,
        },
        Lang::RepeatKv([x, a]) => match (&*ty(x)?.shape, attr(a)?) {
            ([b, h, t, d], Attr::Repeat(n)) => typed(
                ty(x)?,
                [b.clone(), h * &Dim::from(*n), t.clone(), d.clone()],
            ),
            _ => None,
        },
        Lang::ScoresOf([q, k, a]) => match attr(a)? {
            Attr::Scores(s) => scores_type(ty(q)?, ty(k)?, s.q.heads),
            _ => None,
        },
        Lang::ProbsOf([q, k, a]) | Lang::SinkProbs([q, k, _, a]) => match attr(a)? {
            Attr::Probs(p) => scores_type(ty(q)?, ty(k)?, p.scores.q.heads),
            _ => None,
        },
        node => {
            let (op, operands) = node.to_op(|id| egraph[id].data.attr.as_ref())?;
            let types: Option<Vec<&Type>> = operands.iter().map(ty).collect();
            infer(&op, &types?, &egraph.analysis.tables).ok()
        }
    }
}

/// `like` in another shape.
fn typed(like: &Type, shape: impl Into<Vec<Dim>>) -> Option<Type> {
    Some(Type::new(like.dtype, shape))
}

/// `[b, heads, s, t]`.
fn scores_type(q: &Type, k: &Type, heads: usize) -> Option<Type> {
    match (&*q.shape, &*k.shape) {
        ([b, s, _], [_, _, t, _]) => typed(q, [b.clone(), heads.into(), s.clone(), t.clone()]),
        _ => None,
    }
}

/// The value of a constant of one element.
fn scalar_of(egraph: &EGraph<Lang, TypeAnalysis>, node: &Lang) -> Option<f64> {
    let Lang::Opaque(children) = node else {
        return None;
    };
    let Some(Attr::Op(Op::Const(id))) = &egraph[*children.first()?].data.attr else {
        return None;
    };
    let tensor = egraph.analysis.tables.constant(*id)?.tensor()?;
    if tensor.elements() != 1 || !(tensor.dtype().is_float() || tensor.dtype().is_int()) {
        return None;
    }
    tensor.to_f64_vec().first().copied()
}
