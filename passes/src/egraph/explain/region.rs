//! The part of a graph that one fused op replaces, as a graph of its own.

use std::collections::{BTreeMap, BTreeSet};

use egg::{EGraph, Id, Language};
use llmc_ir::graph::merge_origin;
use llmc_ir::{Graph, Op, Origin, ValueId};

use super::names::condensed;
use super::term::{const_name, value_name};
use crate::egraph::analysis::TypeAnalysis;
use crate::egraph::extract::Extraction;
use crate::egraph::lang::Lang;
use crate::egraph::rules::SWAP_HEADS;

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

/// The whole graph and what it was saturated to.
pub struct Whole<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The e-graph.
    pub egraph: &'a EGraph<Lang, TypeAnalysis>,
    /// Imported nodes of each class.
    pub members: &'a Members,
    /// What was chosen.
    pub extraction: &'a Extraction<Lang>,
    /// The number of the proof of each fused class.
    pub numbers: BTreeMap<Id, usize>,
}

/// A cut-out part.
pub struct Region {
    /// Its nodes; what they read from outside is an input, the value that was fused the output.
    pub graph: Graph,
    /// The value that was fused.
    pub root: ValueId,
    /// The node of the whole graph that each node is.
    pub original: BTreeMap<ValueId, ValueId>,
    /// Nodes that no node of the whole graph is: an operand that was fused, split into heads.
    pub spelled: BTreeSet<ValueId>,
    /// What is read from outside, as text.
    pub reads: Vec<String>,
    /// The nodes that are fused, in the order of the whole graph.
    inner: Vec<ValueId>,
}

/// Where a region ends.
#[derive(Default)]
struct Boundary {
    /// Imported values that are read.
    values: BTreeSet<ValueId>,
    /// Imported values that are the heads of what another fused op gives: that op's class.
    heads: BTreeMap<ValueId, Id>,
}

impl Region {
    /// What the chosen node of `class` stands for; `None` if it is too large to be shown.
    pub fn cut(whole: &Whole, class: Id) -> Option<Region> {
        let graph = whole.graph;
        let root = whole.root(class)?;
        let mut boundary = Boundary::default();
        for operand in whole.extraction.node(class)?.children() {
            whole.outside(*operand, &mut boundary);
        }
        boundary.values.remove(&root);
        let mut inside = BTreeSet::new();
        let mut todo = vec![root];
        while let Some(value) = todo.pop() {
            let leaf = boundary.values.contains(&value)
                || boundary.heads.contains_key(&value)
                || graph.op(value).has_effect()
                || matches!(graph.op(value), Op::Input | Op::Carry | Op::Repeat { .. });
            if inside.insert(value) && !leaf {
                todo.extend(graph.operands(value));
            }
        }
        if inside.len() > MOST_NODES {
            return None;
        }
        let mut region = Region {
            graph: Graph::new(graph.name.clone()),
            root,
            original: BTreeMap::new(),
            spelled: BTreeSet::new(),
            reads: Vec::new(),
            inner: Vec::new(),
        };
        let mut new: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for value in graph.topological() {
            if inside.contains(&value) {
                let id = region.add(whole, &boundary, value, &new)?;
                new.insert(value, id);
            }
        }
        region.root = *new.get(&root)?;
        region.graph.add_output("fused", region.root);
        region.original = new.into_iter().map(|(old, new)| (new, old)).collect();
        Some(region)
    }

    /// Adds a node of the whole graph, whose operands are there.
    fn add(
        &mut self,
        whole: &Whole,
        boundary: &Boundary,
        value: ValueId,
        new: &BTreeMap<ValueId, ValueId>,
    ) -> Option<ValueId> {
        let graph = whole.graph;
        let node = graph.node(value);
        if let Op::Const(id) = &node.op {
            let constant = graph.tables().constant(*id)?;
            self.reads
                .push(format!("{value} : {} = {}", node.ty, const_name(constant)));
            let id = self.graph.add_const(constant.clone());
            return self.graph.const_node(id).ok();
        }
        if let Some(class) = boundary.heads.get(&value) {
            return self.heads(whole, value, *class);
        }
        let operands: Option<Vec<ValueId>> =
            node.operands.iter().map(|v| new.get(v).copied()).collect();
        let reads = boundary.values.contains(&value) || matches!(node.op, Op::Input | Op::Carry);
        if let Some(operands) = operands.filter(|_| !reads)
            && let Ok(id) = self
                .graph
                .add_node(node.op.clone(), &operands, node.origin.clone())
        {
            self.inner.push(value);
            return Some(id);
        }
        self.reads.push(line(graph, value));
        Some(self.graph.add_input(value.to_string(), node.ty.clone()))
    }

    /// Adds a value that is the heads of another fused op's result.
    fn heads(&mut self, whole: &Whole, value: ValueId, class: Id) -> Option<ValueId> {
        let name = format!("({})", whole.numbers.get(&class)?);
        let ty = &whole.graph.ty(value);
        self.reads.push(format!("{value} : {ty} = heads of {name}"));
        let [b, h, s, d] = &ty.shape[..] else {
            return None;
        };
        let shape = [b, s, h, d].map(Clone::clone).to_vec();
        let perm = SWAP_HEADS.to_vec();
        let fused = whole.egraph[class].data.ty.clone()?;
        let fused = self.graph.add_input(name, fused);
        let split = Op::Reshape { shape };
        let split = self.graph.add_node(split, &[fused], Origin::new()).ok()?;
        self.spelled.insert(split);
        let swapped = Op::Transpose { perm };
        self.graph.add_node(swapped, &[split], Origin::new()).ok()
    }

    /// The fused value in the whole graph.
    pub fn root_in_graph(&self) -> ValueId {
        self.original.get(&self.root).copied().unwrap_or(self.root)
    }

    /// Names of the model's nodes.
    pub fn origin(&self, graph: &Graph) -> Origin {
        let mut origin = Origin::new();
        for value in &self.inner {
            merge_origin(&mut origin, graph.origin(*value));
        }
        origin
    }

    /// The fused nodes as text.
    pub fn lines(&self, graph: &Graph) -> Vec<String> {
        self.inner.iter().map(|value| line(graph, *value)).collect()
    }
}

/// A node as text, with its names in little room.
pub fn line(graph: &Graph, value: ValueId) -> String {
    let text = match graph.input_name(value) {
        Some(_) => format!("{} : {}", value_name(graph, value), graph.ty(value)),
        None => graph.op_text(value),
    };
    match graph.origin(value) {
        [] => text,
        names => format!("{text} ; {}", condensed(names)),
    }
}

impl Whole<'_> {
    /// The first imported node that a class is, or of the class for which a rule made it.
    pub fn root(&self, class: Id) -> Option<ValueId> {
        let mut seen = BTreeSet::new();
        let mut class = self.egraph.find(class);
        while seen.insert(class) {
            if let Some(values) = self.members.get(&class) {
                return values.first().copied();
            }
            class = self.egraph.find(self.egraph[class].data.made_for?);
        }
        None
    }

    /// The imported nodes at which the region of a user ends. A class that only rules made has none: what it is made of is
    /// part of the region, unless it is proved by itself.
    fn outside(&self, class: Id, boundary: &mut Boundary) {
        let class = self.egraph.find(class);
        if let Some(values) = self.members.get(&class) {
            boundary.values.extend(values);
            return;
        }
        let heads = self.heads_of(class);
        if self.numbers.contains_key(&class) && !heads.is_empty() {
            boundary
                .heads
                .extend(heads.iter().map(|value| (*value, class)));
        } else if let Some(node) = self.extraction.node(class) {
            for child in node.children() {
                self.outside(*child, boundary);
            }
        }
    }

    /// The imported values that are a class split into heads.
    fn heads_of(&self, class: Id) -> Vec<ValueId> {
        let parents = self.egraph[class].parents();
        let parents: BTreeSet<Id> = parents.map(|id| self.egraph.find(id)).collect();
        let splits = parents.into_iter().filter(|parent| {
            let mut nodes = self.egraph[*parent].nodes.iter();
            nodes.any(
                |node| matches!(node, Lang::SplitHeads([x, _]) if self.egraph.find(*x) == class),
            )
        });
        let values = splits.filter_map(|split| self.members.get(&split));
        values.flatten().copied().collect()
    }
}
