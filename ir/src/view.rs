//! The graph as a `petgraph`, for its algorithms and for DOT. The order of operands is in the edge weights: petgraph
//! itself returns neighbours in reverse order of insertion.

use crate::graph::Graph;
use crate::text::quote;
use crate::types::ValueId;
use petgraph::algo::tarjan_scc;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A copy of the graph's structure: node weights are ids, edges run from operand to user and weigh the operand's
/// index.
#[derive(Clone, Debug)]
pub struct View {
    /// The structure.
    pub graph: StableDiGraph<ValueId, usize>,
    /// Where each live id is in it.
    pub index: BTreeMap<ValueId, NodeIndex>,
}

impl Graph {
    /// The structure as a petgraph. Operands that are not live have no edge.
    pub fn view(&self) -> View {
        let mut graph = StableDiGraph::new();
        let index: BTreeMap<_, _> = self
            .iter()
            .map(|(id, _)| (id, graph.add_node(id)))
            .collect();
        for (id, node) in self.iter() {
            for (i, operand) in node.operands.iter().enumerate() {
                if let Some(from) = index.get(operand) {
                    graph.add_edge(*from, index[&id], i);
                }
            }
        }
        View { graph, index }
    }

    /// The nodes of each cycle (including nodes that are their own operand), sorted. Empty for a valid graph.
    pub fn cycles(&self) -> Vec<Vec<ValueId>> {
        let view = self.view();
        let mut cycles: Vec<Vec<ValueId>> = tarjan_scc(&view.graph)
            .into_iter()
            .map(|nodes| {
                nodes
                    .into_iter()
                    .filter_map(|n| view.graph.node_weight(n).copied())
                    .collect()
            })
            .filter(|ids: &Vec<ValueId>| {
                ids.len() > 1
                    || ids
                        .iter()
                        .any(|id| self.get(*id).is_some_and(|n| n.operands.contains(id)))
            })
            .collect();
        cycles.iter_mut().for_each(|c| c.sort());
        cycles.sort();
        cycles
    }

    /// The graph in the language of Graphviz.
    pub fn dot(&self) -> String {
        let mut out = format!("digraph {} {{\n  node [shape=box]\n", quote(&self.name));
        for (id, node) in self.iter() {
            let name = self
                .input_name(id)
                .map(|n| format!("\n{n}"))
                .unwrap_or_default();
            let label = quote(&format!("{id} {}{name}\n{}", node.op, node.ty));
            let _ = writeln!(out, "  n{} [label={label}]", id.0);
            for operand in &node.operands {
                let _ = writeln!(out, "  n{} -> n{}", operand.0, id.0);
            }
        }
        for (i, (name, id)) in self.outputs.iter().enumerate() {
            let _ = writeln!(
                out,
                "  o{i} [label={}, shape=plaintext]\n  n{} -> o{i}",
                quote(name),
                id.0
            );
        }
        out.push_str("}\n");
        out
    }
}
