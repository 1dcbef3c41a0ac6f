//! Terms of a proof as text: `add(mul(%4, %6), mul(rotate_half(%4), %7))`.
//!
//! A step is shown as the instance of its rule: as deep as the rule's pattern looks, and what its variables stand for by the name
//! of an imported value, if it is equal to one. So a step is as long as its rule, whatever the operands are made of.

use std::collections::BTreeMap;

use egg::{EGraph, ENodeOrVar, FlatTerm, Id, Language, PatternAst, Symbol};
use llmc_ir::{Const, Graph, Op, ValueId};
use llmc_tensor::DType;

use super::region::{Members, Region};
use crate::egraph::analysis::TypeAnalysis;
use crate::egraph::lang::{Attr, Lang};

/// What a step of a flat explanation changes.
pub struct Changed<'a> {
    /// The rule.
    pub rule: Symbol,
    /// It leads from `after` to `before`.
    pub backwards: bool,
    /// The part before.
    pub before: &'a FlatTerm<Lang>,
    /// The part after.
    pub after: &'a FlatTerm<Lang>,
}

/// The part that differs between two neighbouring terms of an explanation.
pub fn changed<'a>(before: &'a FlatTerm<Lang>, after: &'a FlatTerm<Lang>) -> Option<Changed<'a>> {
    let (rule, backwards) = match (after.forward_rule, after.backward_rule) {
        (Some(rule), _) => (Some(rule), false),
        (None, rule) => (rule, true),
    };
    if let Some(rule) = rule {
        return Some(Changed {
            rule,
            backwards,
            before,
            after,
        });
    }
    let mut children = before.children.iter().zip(&after.children);
    children.find_map(|(before, after)| changed(before, after))
}

/// Names of the parts of a region.
pub struct Terms<'a> {
    egraph: &'a EGraph<Lang, TypeAnalysis>,
    classes: &'a BTreeMap<ValueId, Id>,
    region: &'a Region,
    /// Nodes of the region by class.
    members: Members,
    /// Their names.
    names: BTreeMap<ValueId, String>,
}

impl<'a> Terms<'a> {
    /// The names in a region, whose nodes have these classes.
    pub fn new(
        graph: &Graph,
        region: &'a Region,
        egraph: &'a EGraph<Lang, TypeAnalysis>,
        classes: &'a BTreeMap<ValueId, Id>,
    ) -> Terms<'a> {
        let name = |value: &ValueId| match region.original.get(value) {
            Some(old) => (*value, value_name(graph, *old)),
            None => (
                *value,
                region.graph.input_name(*value).unwrap_or("").to_string(),
            ),
        };
        // What is spelled for a fused operand has no name in the model.
        let named = |value: &&ValueId| !region.spelled.contains(value);
        Terms {
            egraph,
            classes,
            region,
            members: super::region::members(egraph, classes),
            names: classes.keys().filter(named).map(name).collect(),
        }
    }

    /// The name of the imported value that a term is equal to; of several, of the one that is spelled like it.
    pub fn name(&self, term: &FlatTerm<Lang>) -> Option<&str> {
        let members = self.members.get(&self.class(term)?)?;
        let spelled = |value: &&ValueId| {
            let added = self
                .classes
                .get(value)
                .map(|id| self.egraph.id_to_node(*id));
            added.is_some_and(|node| self.is_call(node, term))
        };
        let spelled = members.iter().find(spelled);
        let mut candidates = spelled.into_iter().chain(members);
        candidates
            .find_map(|value| self.names.get(value))
            .map(String::as_str)
    }

    /// Whether a term is this node of operands that are equal.
    fn is_call(&self, node: &Lang, term: &FlatTerm<Lang>) -> bool {
        let same = |(child, term): (&Id, &FlatTerm<Lang>)| {
            self.class(term) == Some(self.egraph.find(*child))
        };
        node.matches(&term.node) && node.children().iter().zip(&term.children).all(same)
    }

    /// The class of a term.
    fn class(&self, term: &FlatTerm<Lang>) -> Option<Id> {
        let children: Option<Vec<Id>> = term.children.iter().map(|t| self.class(t)).collect();
        let mut node = term.node.clone();
        for (child, id) in node.children_mut().iter_mut().zip(children?) {
            *child = id;
        }
        self.egraph.lookup(node)
    }

    /// A term as the instance of a pattern. What is equal to the whole term is written out: `x = merge(split(x))` says nothing.
    pub fn instance(&self, pattern: &PatternAst<Lang>, term: &FlatTerm<Lang>) -> String {
        self.instance_at(pattern, pattern.root(), term, self.class(term))
    }

    fn instance_at(
        &self,
        pattern: &PatternAst<Lang>,
        at: Id,
        term: &FlatTerm<Lang>,
        whole: Option<Id>,
    ) -> String {
        match &pattern[at] {
            ENodeOrVar::ENode(node) if node.matches(&term.node) => {
                self.call(term, |i, child| match node.children().get(i) {
                    Some(at) => self.instance_at(pattern, *at, child, whole),
                    None => self.leaf(child),
                })
            }
            _ if self.class(term) == whole && !term.children.is_empty() => self.text(term),
            _ => self.leaf(term),
        }
    }

    /// What a variable stands for: a name, or a term of names.
    fn leaf(&self, term: &FlatTerm<Lang>) -> String {
        if let Lang::Opaque(_) = &term.node
            && let Some(Lang::Attr(Attr::Op(Op::Const(id)))) =
                term.children.first().map(|t| &t.node)
        {
            let constant = self.region.graph.tables().constant(*id);
            return constant.map_or(id.to_string(), |constant| const_name(constant));
        }
        match self.name(term) {
            Some(name) => name.to_string(),
            None => self.call(term, |_, child| self.leaf(child)),
        }
    }

    /// An op with its attributes, and its operands as `part` shows them.
    fn call(
        &self,
        term: &FlatTerm<Lang>,
        part: impl Fn(usize, &FlatTerm<Lang>) -> String,
    ) -> String {
        let (mut name, mut operands) = (term.node.to_string(), Vec::new());
        for (i, child) in term.children.iter().enumerate() {
            match &child.node {
                Lang::Attr(Attr::Leaf(_)) => operands.push(part(i, child)),
                Lang::Attr(Attr::Op(op)) => name = op.to_string(),
                Lang::Attr(attr) => name = format!("{name} {attr}"),
                _ => operands.push(part(i, child)),
            }
        }
        match operands.is_empty() {
            true => name,
            false => format!("{name}({})", operands.join(", ")),
        }
    }

    /// A whole term, its own name aside.
    pub fn text(&self, term: &FlatTerm<Lang>) -> String {
        self.call(term, |_, child| self.leaf(child))
    }
}

/// A value of the graph: `%4`, or the name of an input.
pub fn value_name(graph: &Graph, value: ValueId) -> String {
    match graph.input_name(value) {
        Some(name) => format!("{name:?}"),
        None => value.to_string(),
    }
}

/// A constant: a number as such, others by name; of a stack the names of all turns in one.
pub fn const_name(constant: &Const) -> String {
    let number = constant.tensor().filter(|tensor| tensor.elements() == 1);
    match number.and_then(|tensor| Some((tensor.dtype(), *tensor.to_f64_vec().first()?))) {
        Some((DType::F32, number)) => format!("{:?}", number as f32),
        Some((_, number)) => format!("{number:?}"),
        None => {
            let names: Vec<String> = constant.name().split(" .. ").map(String::from).collect();
            match &names[..] {
                [first, last] => super::names::from_to(first, last),
                _ => format!("{:?}", constant.name()),
            }
        }
    }
}
