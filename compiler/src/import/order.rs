//! The order of nodes. ONNX asks for operands before their users; some tools (ONNX Runtime's converter to f16 among them) do not care.

use std::collections::{BTreeMap, BTreeSet};

use super::flatten::names_in;
use super::proto::NodeProto;

/// The nodes with operands before users, as near to the given order as can be. Nodes in a cycle, and what comes after them, stay as they are.
pub fn sorted(nodes: Vec<NodeProto>) -> Vec<NodeProto> {
    let Some(order) = order(&nodes) else {
        return nodes;
    };
    let mut nodes: Vec<Option<NodeProto>> = nodes.into_iter().map(Some).collect();
    order.into_iter().filter_map(|i| nodes[i].take()).collect()
}

/// Indices in order; `None` if the nodes are in order already, or cannot be.
fn order(nodes: &[NodeProto]) -> Option<Vec<usize>> {
    let mut producer: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            producer.entry(output.as_str()).or_insert(i);
        }
    }
    let operands = |node: &NodeProto| {
        let mut names: BTreeSet<String> = node.input.iter().cloned().collect();
        for graph in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            let mut inner = BTreeSet::new();
            names_in(graph, &mut inner);
            names.extend(inner.into_iter().map(String::from));
        }
        let found = names.iter().filter_map(|n| producer.get(n.as_str()));
        found.copied().collect::<BTreeSet<usize>>()
    };
    let before: Vec<BTreeSet<usize>> = nodes.iter().map(operands).collect();
    if before
        .iter()
        .enumerate()
        .all(|(i, b)| b.iter().all(|p| *p < i))
    {
        return None;
    }
    let mut waits: Vec<usize> = before.iter().map(BTreeSet::len).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (i, before) in before.iter().enumerate() {
        before.iter().for_each(|p| after[*p].push(i));
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|i| waits[*i] == 0).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for next in &after[i] {
            waits[*next] -= 1;
            if waits[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    (order.len() == nodes.len()).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, inputs: &[&str]) -> NodeProto {
        NodeProto {
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![name.to_string()],
            ..NodeProto::default()
        }
    }

    fn names(nodes: Vec<NodeProto>) -> Vec<String> {
        let sorted = sorted(nodes);
        sorted.into_iter().map(|n| n.output[0].clone()).collect()
    }

    #[test]
    fn users_follow_operands() {
        let nodes = vec![node("c", &["b"]), node("a", &["x"]), node("b", &["a", "a"])];
        assert_eq!(names(nodes), ["a", "b", "c"]);
        let nodes = vec![node("b", &["x"]), node("a", &["x"]), node("c", &["a"])];
        assert_eq!(names(nodes), ["b", "a", "c"]);
    }

    #[test]
    fn a_cycle_stays() {
        let nodes = vec![node("a", &["b"]), node("b", &["a"]), node("c", &[])];
        assert_eq!(names(nodes), ["a", "b", "c"]);
    }
}
