//! The verifier. A graph that passes has these properties, numbered as in its messages:
//!
//! 1. Operands are live nodes of the graph.
//! 2. There is no cycle.
//! 3. A node's type is the one that inference gives (constants and states may have a layout of their own: a split
//!    axis that exists, in units of at least 1).
//! 4. Inputs are `input` nodes, and the other way round; names of inputs are unique.
//! 5. There is an output; outputs are live nodes; their names are unique.
//! 6. Ids of constants and states exist; names in each table are unique.
//! 7. A state has 4 dims, and at most one node appends to it.
//! 8. Every op is legal at the stage, as the table at [`Stage::allows`] says; from fusion on, no value but a state's is as
//!    long as the context.
//! 9. Before the graph is sharded, everything is replicated.
//! 10. Bounds of symbols are not negative.
//! 11. (Modules) Names of entries are unique; constants and states of the same name are the same in all entries.
//! 12. Every value that varies from turn to turn belongs to one repeat and is used there only; see [`crate::region`].
//!
//! All errors are collected; each has the number of its property and the text of its node. It is cheap enough to
//! run after every pass, in release builds too.

use crate::dim::Symbol;
use crate::graph::{Graph, Module, Node};
use crate::op::Op;
use crate::region::regions;
use crate::types::{Layout, Type, ValueId};
use std::collections::BTreeMap;
use std::fmt;

/// How far a graph has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// As the importer makes it: one graph, caches as inputs and outputs.
    Imported,
    /// Entries with states and folded constants.
    Specialised,
    /// Only ops that the backend lowers.
    Fused,
    /// With layouts and collectives.
    Sharded,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Stage; 4] = [
        Stage::Imported,
        Stage::Specialised,
        Stage::Fused,
        Stage::Sharded,
    ];

    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Imported => "imported",
            Stage::Specialised => "specialised",
            Stage::Fused => "fused",
            Stage::Sharded => "sharded",
        }
    }

    /// True if the op may be in a graph at this stage. One row per op; columns are the stages in order.
    #[rustfmt::skip]
    pub fn allows(self, op: &Op) -> bool {
        const X: bool = true;
        const O: bool = false;
        let row = match op {
            //                               imported specialised fused sharded
            Op::Input                        => [X, X, X, X],
            Op::Const(_)                     => [X, X, X, X],
            Op::Unary(_)                     => [X, X, X, X],
            Op::Binary(_)                    => [X, X, X, X],
            Op::Compare(_)                   => [X, X, X, X],
            Op::Where                        => [X, X, X, X],
            Op::Cast(_)                      => [X, X, X, X],
            Op::BitCast(_)                   => [X, X, O, O],
            Op::Reshape { .. }               => [X, X, X, X],
            Op::Transpose { .. }             => [X, X, X, X],
            Op::Expand { .. }                => [X, X, X, X],
            Op::Concat { .. }                => [X, X, X, X],
            Op::Slice { .. }                 => [X, X, X, X],
            Op::Gather { .. }                => [X, X, X, X],
            Op::GatherNd { .. }              => [X, X, X, X],
            Op::ScatterNd { .. }             => [X, X, X, X],
            Op::Pad { .. }                   => [X, X, O, O],
            Op::Windows { .. }               => [X, X, O, O],
            Op::TopK { .. }                  => [X, X, X, X],
            Op::Reduce { .. }                => [X, X, X, X],
            Op::Softmax { .. }               => [X, X, X, X],
            Op::CumSum { .. }                => [X, X, O, O],
            Op::Trilu { .. }                 => [X, X, O, O],
            Op::MatMul                       => [X, X, X, X],
            Op::Dequantize { .. }            => [X, X, O, O], // becomes part of a product
            Op::MatMulDequantized { .. }     => [X, X, X, X],
            Op::RoundTrip(_)                 => [X, X, X, X],
            Op::DynamicRoundTrip(_)          => [X, X, X, X],
            Op::PositionRows { .. }          => [X, X, X, X],
            Op::Mask { .. }                  => [X, X, O, O], // becomes an attribute of attention
            Op::Append { .. }                => [O, X, X, X],
            Op::RmsNorm { .. }               => [X, X, X, X],
            Op::LayerNorm { .. }             => [X, X, X, X],
            Op::Rope { .. }                  => [X, X, X, X],
            Op::Attention { .. }             => [X, X, X, X],
            Op::SiluMul                      => [X, X, X, X],
            Op::LastRow { .. }               => [O, X, X, X],
            Op::AllGather                    => [O, O, O, X],
            Op::Carry                        => [O, X, X, X],
            Op::Repeat { .. }                => [O, X, X, X],
        };
        row[self as usize]
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One broken property.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[{invariant}] {at}: {message}")]
pub struct VerifyError {
    /// Number of the property in the list of this module.
    pub invariant: u32,
    /// The node as in text, or the graph.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

/// Checks properties 1 to 10 and 12 of a graph.
///
/// # Errors
/// Everything that is broken: first of nodes, by id, then of the graph.
pub fn verify(graph: &Graph, stage: Stage) -> Result<(), Vec<VerifyError>> {
    let mut v = Verifier {
        graph,
        stage,
        errors: Vec::new(),
    };
    v.nodes();
    v.cycles();
    v.inputs();
    v.outputs();
    v.tables();
    v.bounds();
    v.repeats();
    if v.errors.is_empty() {
        Ok(())
    } else {
        Err(v.errors)
    }
}

/// Checks properties 1 to 12 of all entries of a module.
///
/// # Errors
/// Everything that is broken.
pub fn verify_module(module: &Module, stage: Stage) -> Result<(), Vec<VerifyError>> {
    let mut errors = Vec::new();
    let mut fail = |at: &Graph, message: String| {
        errors.push(VerifyError {
            invariant: 11,
            at: format!("graph \"{}\"", at.name),
            message,
        });
    };
    let (mut entries, mut consts, mut states) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for g in &module.entries {
        if entries.insert(&g.name, g).is_some() {
            fail(g, "another entry has this name".into());
        }
        for c in g.consts() {
            let first = consts.entry(c.name()).or_insert(c);
            if *first != c {
                fail(g, format!("constant {c} is another one elsewhere: {first}"));
            }
        }
        for s in g.states() {
            let first = states.entry(&s.name).or_insert(s);
            if *first != s {
                fail(
                    g,
                    format!(
                        "state \"{}\" {} is another one elsewhere: {}",
                        s.name,
                        s.ty(),
                        first.ty()
                    ),
                );
            }
        }
    }
    errors.extend(
        module
            .entries
            .iter()
            .filter_map(|g| verify(g, stage).err())
            .flatten(),
    );
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

struct Verifier<'a> {
    graph: &'a Graph,
    stage: Stage,
    errors: Vec<VerifyError>,
}

impl Verifier<'_> {
    fn node_error(&mut self, invariant: u32, id: ValueId, message: impl Into<String>) {
        let at = self.graph.node_text(id);
        self.errors.push(VerifyError {
            invariant,
            at,
            message: message.into(),
        });
    }

    fn graph_error(&mut self, invariant: u32, message: impl Into<String>) {
        let at = format!("graph \"{}\"", self.graph.name);
        self.errors.push(VerifyError {
            invariant,
            at,
            message: message.into(),
        });
    }

    fn nodes(&mut self) {
        let graph = self.graph;
        for (id, node) in graph.iter() {
            let missing = node.operands.iter().find(|v| graph.get(**v).is_none());
            match missing {
                Some(v) => {
                    self.node_error(1, id, format!("operand {v} is not a node of the graph"))
                }
                None => self.node_type(id, node),
            }
            let past = Symbol::new(Symbol::PAST);
            let grows = node.ty.shape.iter().any(|d| d.symbols().contains(&past));
            let unfused =
                self.stage >= Stage::Fused && grows && !matches!(node.op, Op::Append { .. });
            if !self.stage.allows(&node.op) || unfused {
                self.node_error(
                    8,
                    id,
                    format!("{} is not legal at stage `{}`", node.op.name(), self.stage),
                );
            }
            if self.stage < Stage::Sharded && node.ty.layout != Layout::Replicated {
                self.node_error(
                    9,
                    id,
                    format!("values are replicated at stage `{}`", self.stage),
                );
            }
        }
    }

    fn node_type(&mut self, id: ValueId, node: &Node) {
        let table_error = match node.op {
            Op::Input => return self.input_node(id),
            Op::Const(c) if self.graph.tables().constant(c).is_none() => {
                Some(format!("there is no constant {c}"))
            }
            Op::Append { state } if self.graph.tables().state(state).is_none() => {
                Some(format!("there is no state {state}"))
            }
            _ => None,
        };
        if let Some(message) = table_error {
            return self.node_error(6, id, message);
        }
        match self.graph.infer_for(&node.op, &node.operands) {
            Err(e) => self.node_error(3, id, e.message),
            Ok(want) => {
                let own_layout = matches!(node.op, Op::Const(_));
                let want = if own_layout {
                    want.with_layout(node.ty.layout)
                } else {
                    want
                };
                if want != node.ty {
                    self.node_error(3, id, format!("has type {}, should have {want}", node.ty));
                } else if let Some(message) = layout_problem(&node.ty) {
                    self.node_error(3, id, message);
                }
            }
        }
    }

    fn input_node(&mut self, id: ValueId) {
        if self.graph.input_name(id).is_none() {
            self.node_error(4, id, "is not among the graph's inputs");
        }
    }

    fn cycles(&mut self) {
        // The components are worked out only if there is something to tell.
        if self.graph.is_acyclic() {
            return;
        }
        for cycle in self.graph.cycles() {
            let ids: Vec<String> = cycle.iter().map(ValueId::to_string).collect();
            if let Some(first) = cycle.first() {
                self.node_error(2, *first, format!("is on a cycle of {}", ids.join(", ")));
            }
        }
    }

    fn inputs(&mut self) {
        let graph = self.graph;
        for (name, id) in graph.inputs() {
            if graph.get(*id).is_none_or(|n| n.op != Op::Input) {
                self.graph_error(
                    4,
                    format!("input \"{name}\" is {id}, which is not an input node"),
                );
            }
        }
        for name in repeated(graph.inputs().iter().map(|(n, _)| n.as_str())) {
            self.graph_error(4, format!("two inputs are named \"{name}\""));
        }
    }

    fn outputs(&mut self) {
        let graph = self.graph;
        if graph.outputs.is_empty() {
            self.graph_error(5, "there is no output");
        }
        for (name, id) in &graph.outputs {
            if graph.get(*id).is_none() {
                self.graph_error(
                    5,
                    format!("output \"{name}\" is {id}, which is not a node of the graph"),
                );
            }
        }
        for name in repeated(graph.outputs.iter().map(|(n, _)| n.as_str())) {
            self.graph_error(5, format!("two outputs are named \"{name}\""));
        }
    }

    fn tables(&mut self) {
        let graph = self.graph;
        for name in repeated(graph.consts().iter().map(|c| c.name())) {
            self.graph_error(6, format!("two constants are named \"{name}\""));
        }
        for name in repeated(graph.states().iter().map(|s| s.name.as_str())) {
            self.graph_error(6, format!("two states are named \"{name}\""));
        }
        for s in graph.states() {
            if s.shape.len() != 4 {
                self.graph_error(
                    7,
                    format!("state \"{}\" must have 4 dims, has {:?}", s.name, s.shape),
                );
            }
            if let Some(message) = layout_problem(&s.ty()) {
                self.graph_error(3, format!("state \"{}\": {message}", s.name));
            }
            if self.stage < Stage::Sharded && s.layout != Layout::Replicated {
                self.graph_error(
                    9,
                    format!(
                        "state \"{}\" must be replicated at stage `{}`",
                        s.name, self.stage
                    ),
                );
            }
        }
        let mut writers = BTreeMap::new();
        for (id, node) in graph.iter() {
            let Op::Append { state } = node.op else {
                continue;
            };
            if let Some(first) = writers.insert(state, id) {
                self.node_error(7, id, format!("{first} appends to {state} already"));
            }
        }
    }

    fn repeats(&mut self) {
        // Regions are defined on graphs whose operands exist.
        if self.errors.is_empty() {
            for (id, message) in regions(self.graph).err().into_iter().flatten() {
                self.node_error(12, id, message);
            }
        }
    }

    fn bounds(&mut self) {
        for (symbol, bound) in &self.graph.bounds {
            if *bound < 0 {
                self.graph_error(10, format!("the bound of `{symbol}` is {bound}"));
            }
        }
    }
}

/// Why a type's layout is impossible, if it is.
fn layout_problem(ty: &Type) -> Option<String> {
    let Layout::Split { axis, unit } = ty.layout else {
        return None;
    };
    match ty.shape.get(axis) {
        None => Some(format!(
            "axis {axis} of its layout is outside of {} dims",
            ty.rank()
        )),
        Some(_) if unit == 0 => Some("the unit of its layout is 0".into()),
        Some(_) => None,
    }
}

/// Names that appear more than once, each once.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    names.for_each(|n| *count.entry(n).or_insert(0) += 1);
    count
        .into_iter()
        .filter(|(_, n)| *n > 1)
        .map(|(name, _)| name)
        .collect()
}
