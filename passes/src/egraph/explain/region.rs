//! The part of a graph that one fused op replaces, as a graph of its own.

use std::collections::{BTreeMap, BTreeSet};

use egg::{EGraph, Id, Language};
use llmc_ir::graph::merge_origin;
use llmc_ir::{Graph, Op, Origin, ValueId};

use crate::egraph::analysis::TypeAnalysis;
use crate::egraph::extract::Extraction;
use crate::egraph::lang::Lang;

/// Imported nodes beyond which a proof is not made: its terms are trees.
const MOST_NODES: usize = 150;

/// Imported nodes of each class.
pub type Members = BTreeMap<Id, Vec<ValueId>>;

/// Imported nodes by canonical class.
pub fn members(egraph: &EGraph<Lang, TypeAnalysis>, classes: &BTreeMap<ValueId, Id>) -> Members {
    let mut members = Members::new();
    for (value, class) in classes {
        members.entry(egraph.find(*class)).or_default().push(*value);
    }
    members
}

/// A cut-out part.
pub struct Region {
    /// Its nodes; what they read from outside is an input, the value that was fused the output.
    pub graph: Graph,
    /// The value that was fused.
    pub root: ValueId,
    /// The node of the whole graph that each node is.
    pub original: BTreeMap<ValueId, ValueId>,
}

impl Region {
    /// What the chosen node of `class` stands for; `None` if it is too large to be shown.
    pub fn cut(
        graph: &Graph,
        egraph: &EGraph<Lang, TypeAnalysis>,
        members: &Members,
        extraction: &Extraction<Lang>,
        class: Id,
    ) -> Option<Region> {
        let root = *imported(egraph, members, class)?.first()?;
        let mut boundary = BTreeSet::new();
        let operands = extraction.node(class)?.children();
        for operand in operands {
            outside(egraph, members, extraction, *operand, &mut boundary);
        }
        boundary.remove(&root);
        let mut inside = BTreeSet::new();
        let mut todo = vec![root];
        while let Some(value) = todo.pop() {
            let leaf = boundary.contains(&value)
                || graph.op(value).has_effect()
                || matches!(graph.op(value), Op::Input | Op::Carry | Op::Repeat { .. });
            if inside.insert(value) && !leaf {
                todo.extend(graph.operands(value));
            }
        }
        if inside.len() > MOST_NODES {
            return None;
        }
        let mut cut = Graph::new(graph.name.clone());
        let mut new: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for value in graph.topological() {
            if !inside.contains(&value) {
                continue;
            }
            let node = graph.node(value);
            let operands: Option<Vec<ValueId>> =
                node.operands.iter().map(|v| new.get(v).copied()).collect();
            let id = match (&node.op, operands) {
                (Op::Const(id), _) => {
                    let id = cut.add_const(graph.tables().constant(*id)?.clone());
                    cut.const_node(id).ok()?
                }
                (op, Some(operands))
                    if !boundary.contains(&value) && !matches!(op, Op::Input | Op::Carry) =>
                {
                    match cut.add_node(op.clone(), &operands, node.origin.clone()) {
                        Ok(id) => id,
                        Err(_) => cut.add_input(value.to_string(), node.ty.clone()),
                    }
                }
                _ => cut.add_input(value.to_string(), node.ty.clone()),
            };
            new.insert(value, id);
        }
        let root = *new.get(&root)?;
        cut.add_output("fused", root);
        Some(Region {
            graph: cut,
            root,
            original: new.into_iter().map(|(old, new)| (new, old)).collect(),
        })
    }

    /// The fused value in the whole graph.
    pub fn root_in_graph(&self) -> ValueId {
        self.original.get(&self.root).copied().unwrap_or(self.root)
    }

    /// Nodes of the whole graph that are fused, in its order.
    fn inner<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = ValueId> + 'a {
        let inside = |value: &ValueId| {
            let new = self.original.iter().find(|(_, old)| *old == value);
            new.is_some_and(|(new, _)| !matches!(self.graph.op(*new), Op::Input | Op::Const(_)))
        };
        graph.topological().into_iter().filter(inside)
    }

    /// Names of the model's nodes.
    pub fn origin(&self, graph: &Graph) -> Origin {
        let mut origin = Origin::new();
        for value in self.inner(graph) {
            merge_origin(&mut origin, graph.origin(value));
        }
        origin
    }

    /// The nodes as text.
    pub fn lines(&self, graph: &Graph) -> Vec<String> {
        self.inner(graph)
            .map(|value| graph.node_text(value))
            .collect()
    }
}

/// The imported nodes that a class is, or those of the class for which a rule made it.
fn imported<'a>(
    egraph: &EGraph<Lang, TypeAnalysis>,
    members: &'a Members,
    class: Id,
) -> Option<&'a [ValueId]> {
    let mut seen = BTreeSet::new();
    let mut class = egraph.find(class);
    while seen.insert(class) {
        if let Some(values) = members.get(&class) {
            return Some(values);
        }
        class = egraph.find(egraph[class].data.made_for?);
    }
    None
}

/// The imported nodes at which the region of a user ends. A class that only rules made has none: what it is made of is
/// part of the region.
fn outside(
    egraph: &EGraph<Lang, TypeAnalysis>,
    members: &Members,
    extraction: &Extraction<Lang>,
    class: Id,
    boundary: &mut BTreeSet<ValueId>,
) {
    let class = egraph.find(class);
    if let Some(values) = members.get(&class) {
        boundary.extend(values);
    } else if let Some(node) = extraction.node(class) {
        for child in node.children() {
            outside(egraph, members, extraction, *child, boundary);
        }
    }
}
