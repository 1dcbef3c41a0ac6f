//! Terms of a proof as text: `add(mul(%4, %6), mul(rotate_half(%4), %7))`.
//!
//! A part that is still as it was imported is written as its value in the graph, so that a step shows little more than
//! what it changes.

use std::collections::BTreeMap;

use egg::{EGraph, FlatTerm, Id, Language, Symbol};
use llmc_ir::{Graph, Op, ValueId};

use super::region::Region;
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

/// Names of parts.
pub struct Terms {
    /// Imported parts by their key, as values of the whole graph.
    values: BTreeMap<String, String>,
    /// Inputs of the region.
    leaves: BTreeMap<ValueId, String>,
    /// Constants of the region: numbers as such, others by name.
    consts: Vec<String>,
}

impl Terms {
    /// The names in a region.
    pub fn new(
        graph: &Graph,
        region: &Region,
        egraph: &EGraph<Lang, TypeAnalysis>,
        classes: &BTreeMap<ValueId, Id>,
    ) -> Terms {
        let mut keys = BTreeMap::new();
        let mut values = BTreeMap::new();
        let mut leaves = BTreeMap::new();
        for (new, old) in &region.original {
            let name = match graph.input_name(*old) {
                Some(name) => format!("{name:?}"),
                None => old.to_string(),
            };
            match region.graph.op(*new) {
                Op::Input => drop(leaves.insert(*new, name)),
                Op::Const(_) => {}
                _ => {
                    if let Some(class) = classes.get(new) {
                        values.insert(key_of(egraph, *class, &mut keys), name);
                    }
                }
            }
        }
        let consts = region.graph.consts().iter().map(|constant| {
            let number = constant.tensor().filter(|t| t.elements() == 1);
            let number = number.and_then(|t| t.to_f64_vec().first().copied());
            match number {
                Some(number) => format!("{number:?}"),
                None => format!("{:?}", constant.name()),
            }
        });
        Terms {
            values,
            leaves,
            consts: consts.collect(),
        }
    }

    /// A part that a step changes, its own imported name aside.
    pub fn text(&self, term: &FlatTerm<Lang>) -> String {
        match &term.node {
            Lang::Attr(attr) => self.attr(attr),
            Lang::Opaque(_) => match term.children.split_first() {
                Some((first, operands)) => self.call(&self.attr_of(first), operands),
                None => term.node.to_string(),
            },
            node => {
                let split = term.children.iter().partition::<Vec<_>, _>(|child| {
                    matches!(&child.node, Lang::Attr(attr) if !matches!(attr, Attr::Leaf(_)))
                });
                let (attrs, operands) = split;
                let name = match attrs.first() {
                    Some(attr) => match &attr.node {
                        Lang::Attr(Attr::Op(_)) => self.attr_of(attr),
                        _ => format!("{node} {}", self.attr_of(attr)),
                    },
                    None => node.to_string(),
                };
                let operands: Vec<FlatTerm<Lang>> = operands.into_iter().cloned().collect();
                self.call(&name, &operands)
            }
        }
    }

    fn call(&self, name: &str, operands: &[FlatTerm<Lang>]) -> String {
        if operands.is_empty() {
            return name.to_string();
        }
        let part = |term: &FlatTerm<Lang>| {
            let value = self.values.get(&key(term));
            value.cloned().unwrap_or_else(|| self.text(term))
        };
        let operands: Vec<String> = operands.iter().map(part).collect();
        format!("{name}({})", operands.join(", "))
    }

    fn attr_of(&self, term: &FlatTerm<Lang>) -> String {
        match &term.node {
            Lang::Attr(attr) => self.attr(attr),
            node => node.to_string(),
        }
    }

    fn attr(&self, attr: &Attr) -> String {
        match attr {
            Attr::Leaf(id) => self
                .leaves
                .get(id)
                .cloned()
                .unwrap_or_else(|| id.to_string()),
            Attr::Op(Op::Const(id)) => {
                let text = self.consts.get(id.index());
                text.cloned().unwrap_or_else(|| id.to_string())
            }
            attr => attr.to_string(),
        }
    }
}

/// A text that is equal for equal terms.
fn key(term: &FlatTerm<Lang>) -> String {
    let operands: Vec<String> = term.children.iter().map(key).collect();
    format!("{}({})", term.node, operands.join(" "))
}

/// The key of the term that an id was added as.
fn key_of(egraph: &EGraph<Lang, TypeAnalysis>, id: Id, done: &mut BTreeMap<Id, String>) -> String {
    if let Some(key) = done.get(&id) {
        return key.clone();
    }
    let node = egraph.id_to_node(id).clone();
    let operands: Vec<String> = node
        .children()
        .iter()
        .map(|child| key_of(egraph, *child, done))
        .collect();
    let key = format!("{node}({})", operands.join(" "));
    done.insert(id, key.clone());
    key
}
