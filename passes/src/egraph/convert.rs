//! Graph to e-graph and back, and the origins of what comes back.

use std::collections::{BTreeMap, BTreeSet};

use egg::{EGraph, Id, Language};
use llmc_ir::graph::merge_origin;
use llmc_ir::{BinaryOp, Graph, Op, Origin, Type, ValueId};

use super::EqsatError;
use super::analysis::TypeAnalysis;
use super::extract::Extraction;
use super::lang::{Attr, Lang};
use super::rules::SWAP_HEADS;
use crate::cost::CostModel;

/// An e-graph that holds one graph, not rebuilt yet.
pub struct Imported {
    /// The e-graph.
    pub egraph: EGraph<Lang, TypeAnalysis>,
    /// The class of each node of the graph.
    pub classes: BTreeMap<ValueId, Id>,
}

/// Adds every live node of a graph.
pub fn to_egraph(graph: &Graph) -> Imported {
    fill(graph, EGraph::new(analysis(graph)))
}

/// Adds every live node of a graph to an e-graph that records why things are equal.
pub fn to_explained_egraph(graph: &Graph) -> Imported {
    fill(
        graph,
        EGraph::new(analysis(graph)).with_explanations_enabled(),
    )
}

/// What the analysis knows before the first node.
fn analysis(graph: &Graph) -> TypeAnalysis {
    let inputs = graph
        .inputs()
        .iter()
        .map(|(_, id)| (*id, graph.ty(*id).clone()))
        .collect();
    TypeAnalysis {
        tables: graph.tables().clone(),
        inputs,
        ..TypeAnalysis::default()
    }
}

fn fill(graph: &Graph, mut egraph: EGraph<Lang, TypeAnalysis>) -> Imported {
    let mut classes = BTreeMap::new();
    for id in graph.topological() {
        let node = graph.node(id);
        let operands: Vec<Id> = node
            .operands
            .iter()
            .filter_map(|v| classes.get(v).copied())
            .collect();
        let lang = match node.op {
            Op::Input => Lang::Attr(Attr::Leaf(id)),
            _ => Lang::from_op(&node.op, &operands, |attr| egraph.add(Lang::Attr(attr))),
        };
        classes.insert(id, egraph.add(lang));
    }
    Imported { egraph, classes }
}

/// The graph ops that a chosen node stands for, outermost last, with its operands. `None` for attributes, inputs
/// and abstract nodes without a spelling.
fn ops_of(
    egraph: &EGraph<Lang, TypeAnalysis>,
    node: &Lang,
    ty: &Type,
) -> Option<(Vec<Op>, Vec<Id>)> {
    let swap = || Op::Transpose {
        perm: SWAP_HEADS.to_vec(),
    };
    match node {
        Lang::SplitHeads([x, _]) => {
            let [b, h, s, d] = &ty.shape[..] else {
                return None;
            };
            let shape = [b, s, h, d].map(Clone::clone).to_vec();
            Some((vec![Op::Reshape { shape }, swap()], vec![*x]))
        }
        Lang::MergeHeads([x]) => Some((
            vec![
                swap(),
                Op::Reshape {
                    shape: ty.shape.clone(),
                },
            ],
            vec![*x],
        )),
        node => {
            let (op, operands) = node.to_op(|id| egraph[id].data.attr.as_ref())?;
            Some((vec![op], operands))
        }
    }
}

/// The cost of a node; `None` if it is abstract.
pub fn cost(
    egraph: &EGraph<Lang, TypeAnalysis>,
    class: Id,
    node: &Lang,
    costs: &dyn CostModel,
) -> Option<u64> {
    let data = &egraph[class].data;
    if matches!(node, Lang::Attr(_)) {
        return Some(0);
    }
    let ty = data.ty.as_ref()?;
    let (ops, operands) = ops_of(egraph, node, ty)?;
    let types: Option<Vec<&Type>> = operands
        .iter()
        .map(|id| egraph[*id].data.ty.as_ref())
        .collect();
    let types = types?;
    Some(ops.iter().map(|op| costs.cost(op, &types, ty)).sum())
}

/// Classes that must be computed: those of the outputs and of what has an effect.
pub fn roots(old: &Graph, classes: &BTreeMap<ValueId, Id>) -> Vec<Id> {
    let effects = old
        .iter()
        .filter(|(_, node)| node.op.has_effect())
        .map(|(id, _)| id);
    let outputs = old.outputs.iter().map(|(_, id)| *id);
    let roots = outputs.chain(effects);
    roots.filter_map(|id| classes.get(&id).copied()).collect()
}

/// Builds the chosen graph: same name, inputs, outputs, tables and effects.
pub fn to_graph(
    old: &Graph,
    egraph: &EGraph<Lang, TypeAnalysis>,
    classes: &BTreeMap<ValueId, Id>,
    extraction: &Extraction<Lang>,
) -> Result<Graph, EqsatError> {
    let class_of = |value: &ValueId| {
        let class = classes.get(value).map(|id| egraph.find(*id));
        class.ok_or_else(|| EqsatError::Extract(format!("{value} is not in the e-graph")))
    };
    let roots: Vec<Id> = roots(old, classes)
        .iter()
        .map(|id| egraph.find(*id))
        .collect();
    let order = post_order(egraph, extraction, &roots)?;
    let origins = Origins::new(old, egraph, classes, &order);

    let mut graph = Graph::new(old.name.clone());
    graph.bounds = old.bounds.clone();
    *graph.tables_mut() = old.tables().clone();
    let mut values: BTreeMap<Id, ValueId> = BTreeMap::new();
    for (name, id) in old.inputs() {
        values.insert(
            class_of(id)?,
            graph.add_input(name.clone(), old.ty(*id).clone()),
        );
    }
    for class in &order {
        let failed = |what: String| EqsatError::Extract(format!("class {class}: {what}"));
        let Some(node) = extraction
            .node(*class)
            .filter(|node| !matches!(node, Lang::Attr(_)))
        else {
            continue;
        };
        let Some(ty) = &egraph[*class].data.ty else {
            continue;
        };
        let (ops, operands) =
            ops_of(egraph, node, ty).ok_or_else(|| failed(format!("{node:?} is no op")))?;
        let operands: Option<Vec<ValueId>> = operands
            .iter()
            .map(|id| values.get(&egraph.find(*id)).copied())
            .collect();
        let mut operands = operands.ok_or_else(|| failed("an operand is missing".into()))?;
        let origin = origins.of(*class);
        for op in ops {
            constants_last(&graph, &op, &mut operands);
            let value = match op {
                Op::Const(id) => graph.const_node(id),
                op => graph.add_node(op, &operands, origin.clone()),
            };
            operands = vec![value.map_err(|error| failed(error.to_string()))?];
        }
        values.insert(*class, operands[0]);
    }
    for (name, id) in &old.outputs {
        let value = values.get(&class_of(id)?).copied();
        graph.add_output(
            name.clone(),
            value.ok_or_else(|| EqsatError::Extract(format!("output `{name}` is lost")))?,
        );
    }
    Ok(graph)
}

/// Both orders of a sum cost the same; with constants last, all exporters' are spelled alike.
fn constants_last(graph: &Graph, op: &Op, operands: &mut [ValueId]) {
    let commutes = matches!(op, Op::Binary(BinaryOp::Add | BinaryOp::Mul));
    if let ([a, b], true) = (operands, commutes)
        && graph.as_const(*a).is_some()
        && graph.as_const(*b).is_none()
    {
        std::mem::swap(a, b);
    }
}

/// Classes that the roots need, operands first.
fn post_order(
    egraph: &EGraph<Lang, TypeAnalysis>,
    extraction: &Extraction<Lang>,
    roots: &[Id],
) -> Result<Vec<Id>, EqsatError> {
    let mut order = Vec::new();
    let mut done = BTreeSet::new();
    let mut open = BTreeSet::new();
    let mut stack: Vec<(Id, bool)> = roots.iter().rev().map(|root| (*root, false)).collect();
    while let Some((class, operands_done)) = stack.pop() {
        if done.contains(&class) {
            continue;
        }
        if operands_done {
            done.insert(class);
            order.push(class);
            continue;
        }
        if !open.insert(class) {
            return Err(EqsatError::Extract(format!("class {class} needs itself")));
        }
        let node = extraction.node(class).ok_or_else(|| {
            let nodes: Vec<String> = egraph[class].nodes.iter().map(Lang::to_string).collect();
            EqsatError::Extract(format!(
                "class {class} has only abstract nodes: {}",
                nodes.join(", ")
            ))
        })?;
        stack.push((class, true));
        for child in node.children().iter().rev() {
            let child = egraph.find(*child);
            if !done.contains(&child) {
                stack.push((child, false));
            }
        }
    }
    Ok(order)
}

/// Finds the imported nodes that a chosen node stands for: those between the node it replaces and the nodes
/// that other chosen ones replace.
struct Origins<'a> {
    old: &'a Graph,
    egraph: &'a EGraph<Lang, TypeAnalysis>,
    /// Imported nodes of each class.
    members: BTreeMap<Id, Vec<ValueId>>,
    /// Imported nodes that chosen nodes replace.
    replaced: BTreeSet<ValueId>,
}

impl<'a> Origins<'a> {
    fn new(
        old: &'a Graph,
        egraph: &'a EGraph<Lang, TypeAnalysis>,
        classes: &BTreeMap<ValueId, Id>,
        chosen: &[Id],
    ) -> Origins<'a> {
        let mut members: BTreeMap<Id, Vec<ValueId>> = BTreeMap::new();
        for (value, class) in classes {
            members.entry(egraph.find(*class)).or_default().push(*value);
        }
        let mut origins = Origins {
            old,
            egraph,
            members,
            replaced: BTreeSet::new(),
        };
        origins.replaced = chosen
            .iter()
            .flat_map(|class| origins.roots(*class))
            .collect();
        origins
    }

    /// The imported nodes that a class is, or those of the class for which a rule made it.
    fn roots(&self, class: Id) -> Vec<ValueId> {
        let mut seen = BTreeSet::new();
        let mut class = self.egraph.find(class);
        while seen.insert(class) {
            if let Some(members) = self.members.get(&class) {
                return members.clone();
            }
            match self.egraph[class].data.made_for {
                Some(made_for) => class = self.egraph.find(made_for),
                None => break,
            }
        }
        Vec::new()
    }

    /// Names of everything the chosen node of a class stands for, in the order of the imported graph.
    /// Constants do not count: one may serve many nodes and carries the name of the first.
    fn of(&self, class: Id) -> Origin {
        let roots = self.roots(class);
        let mut covered: BTreeSet<ValueId> = roots.iter().copied().collect();
        let mut todo = roots;
        while let Some(value) = todo.pop() {
            for operand in self.old.operands(value) {
                if !self.replaced.contains(operand) && covered.insert(*operand) {
                    todo.push(*operand);
                }
            }
        }
        let mut origin = Origin::new();
        for value in covered {
            if matches!(self.old.op(value), Op::Const(_)) {
                continue;
            }
            merge_origin(&mut origin, self.old.origin(value));
        }
        origin
    }
}
