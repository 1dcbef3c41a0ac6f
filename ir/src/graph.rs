//! The graph and the module.
//!
//! Nodes live in an arena; each node keeps its operands in order and the graph keeps every node's users. This is
//! the only file that touches both sides of that link. Types are inferred when a node is added; a pass that
//! changes types at the source (layouts, symbols) calls [`Graph::refresh_types`].

use crate::dim::{Dim, Symbol};
use crate::infer::{TypeError, infer};
use crate::op::Op;
use crate::types::{Const, ConstId, Layout, State, StateId, Tables, Type, ValueId};
use llmc_tensor::Tensor;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

/// Names of the model's nodes that a node stands for. Merged, without repetition, when nodes are fused.
pub type Origin = Vec<String>;

/// One node: operation, ordered operands, type of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The operation with its attributes.
    pub op: Op,
    /// Operands in the op's order.
    pub operands: Vec<ValueId>,
    /// The type of the result.
    pub ty: Type,
    /// The model's nodes it stands for.
    pub origin: Origin,
}

/// A directed acyclic graph of single-result nodes with named inputs and outputs. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The entry's name: `main`, `prefill`, `decode`, ...
    pub name: String,
    /// Largest value of symbols, inclusive, where known: `seq <= 64`.
    pub bounds: BTreeMap<Symbol, i64>,
    /// Named results, in order.
    pub outputs: Vec<(String, ValueId)>,
    inputs: Vec<(String, ValueId)>,
    tables: Tables,
    nodes: Vec<Option<Node>>,
    users: Vec<Vec<ValueId>>,
}

/// Equal names, bounds, inputs, outputs, tables and live nodes with equal ids.
impl PartialEq for Graph {
    fn eq(&self, other: &Graph) -> bool {
        self.name == other.name
            && self.bounds == other.bounds
            && self.inputs == other.inputs
            && self.outputs == other.outputs
            && self.tables == other.tables
            && self.iter().eq(other.iter())
    }
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Graph {
        Graph {
            name: name.into(),
            ..Graph::default()
        }
    }

    // ---- building ----

    /// Adds an input.
    pub fn add_input(&mut self, name: impl Into<String>, ty: Type) -> ValueId {
        let id = self.add_typed(Op::Input, &[], ty, Vec::new());
        self.inputs.push((name.into(), id));
        id
    }

    /// Adds a constant to the table, or finds it there by name if it is equal.
    pub fn add_const(&mut self, constant: Arc<Const>) -> ConstId {
        let found = self.tables.consts.iter().position(|c| *c == constant);
        ConstId::from_index(found.unwrap_or_else(|| {
            self.tables.consts.push(constant);
            self.tables.consts.len() - 1
        }))
    }

    /// The node of a constant of the table: the existing one, or a new one.
    ///
    /// # Errors
    /// If the table has no such constant.
    pub fn const_node(&mut self, id: ConstId) -> Result<ValueId, TypeError> {
        let found = self
            .iter()
            .find(|(_, n)| n.op == Op::Const(id))
            .map(|(v, _)| v);
        match found {
            Some(v) => Ok(v),
            None => self.add_node(Op::Const(id), &[], Vec::new()),
        }
    }

    /// A new named constant and its node.
    ///
    /// # Errors
    /// None that a caller can cause; the signature is that of [`Graph::add_node`].
    pub fn constant(
        &mut self,
        name: impl Into<String>,
        tensor: Tensor,
    ) -> Result<ValueId, TypeError> {
        let id = self.add_const(Arc::new(Const::new(name, tensor)));
        self.const_node(id)
    }

    /// Adds a state to the table.
    pub fn add_state(&mut self, state: State) -> StateId {
        self.tables.states.push(state);
        StateId::from_index(self.tables.states.len() - 1)
    }

    /// Adds a node; its type is inferred from the operands'.
    ///
    /// # Errors
    /// If the operands do not fit the op. The graph is unchanged then.
    pub fn add_node(
        &mut self,
        op: Op,
        operands: &[ValueId],
        origin: Origin,
    ) -> Result<ValueId, TypeError> {
        let ty = self.infer_for(&op, operands)?;
        Ok(self.add_typed(op, operands, ty, origin))
    }

    /// Adds a node of a given type, which is not checked: for parsers; the verifier looks at it later. Operands
    /// may be nodes that are added later.
    pub fn add_typed(&mut self, op: Op, operands: &[ValueId], ty: Type, origin: Origin) -> ValueId {
        let id = ValueId::from_index(self.nodes.len());
        self.insert_at(
            id,
            Node {
                op,
                operands: operands.to_vec(),
                ty,
                origin,
            },
        );
        id
    }

    pub(crate) fn insert_at(&mut self, id: ValueId, node: Node) {
        let most = node
            .operands
            .iter()
            .fold(id.index(), |m, v| m.max(v.index()));
        if most >= self.users.len() {
            self.users.resize(most + 1, Vec::new());
        }
        if id.index() >= self.nodes.len() {
            self.nodes.resize(id.index() + 1, None);
        }
        for v in &node.operands {
            self.users[v.index()].push(id);
        }
        self.nodes[id.index()] = Some(node);
    }

    pub(crate) fn push_input(&mut self, name: String, id: ValueId) {
        self.inputs.push((name, id));
    }

    /// Names a value as the next output.
    pub fn add_output(&mut self, name: impl Into<String>, value: ValueId) {
        self.outputs.push((name.into(), value));
    }

    // ---- reading ----

    /// The node of an id, if it is live.
    pub fn get(&self, id: ValueId) -> Option<&Node> {
        self.nodes.get(id.index())?.as_ref()
    }

    /// The node of a live id.
    ///
    /// # Panics
    /// If the node was removed: a bug of the pass that kept the id.
    pub fn node(&self, id: ValueId) -> &Node {
        self.get(id)
            .unwrap_or_else(|| panic!("{id} is not a live node of graph `{}`", self.name))
    }

    /// The operation of a live node.
    pub fn op(&self, id: ValueId) -> &Op {
        &self.node(id).op
    }

    /// The type of a live node's result.
    pub fn ty(&self, id: ValueId) -> &Type {
        &self.node(id).ty
    }

    /// The operands of a live node, in the op's order.
    pub fn operands(&self, id: ValueId) -> &[ValueId] {
        &self.node(id).operands
    }

    /// The model's nodes that a live node stands for.
    pub fn origin(&self, id: ValueId) -> &[String] {
        &self.node(id).origin
    }

    /// Nodes that have the value as an operand, once per use. Outputs are not among them.
    pub fn users(&self, id: ValueId) -> &[ValueId] {
        self.users.get(id.index()).map_or(&[], Vec::as_slice)
    }

    /// True if the value is an output of the graph.
    pub fn is_output(&self, id: ValueId) -> bool {
        self.outputs.iter().any(|(_, v)| *v == id)
    }

    /// Uses by nodes and by outputs.
    pub fn use_count(&self, id: ValueId) -> usize {
        self.users(id).len() + self.outputs.iter().filter(|(_, v)| *v == id).count()
    }

    /// Live nodes by id.
    pub fn iter(&self) -> impl Iterator<Item = (ValueId, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(|(i, n)| Some((ValueId::from_index(i), n.as_ref()?)))
    }

    /// Live ids, ascending.
    pub fn ids(&self) -> Vec<ValueId> {
        self.iter().map(|(v, _)| v).collect()
    }

    /// Number of live nodes.
    pub fn len(&self) -> usize {
        self.nodes.iter().flatten().count()
    }

    /// True if there is no live node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Named inputs, in order.
    pub fn inputs(&self) -> &[(String, ValueId)] {
        &self.inputs
    }

    /// The input of a name.
    pub fn input(&self, name: &str) -> Option<ValueId> {
        self.inputs.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// The name of an input node.
    pub fn input_name(&self, id: ValueId) -> Option<&str> {
        self.inputs
            .iter()
            .find(|(_, v)| *v == id)
            .map(|(n, _)| n.as_str())
    }

    /// The output of a name.
    pub fn output(&self, name: &str) -> Option<ValueId> {
        self.outputs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| *v)
    }

    /// Constants and states.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Constants and states, to change. Ids in nodes must stay valid.
    pub fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// The constants.
    pub fn consts(&self) -> &[Arc<Const>] {
        &self.tables.consts
    }

    /// The states.
    pub fn states(&self) -> &[State] {
        &self.tables.states
    }

    /// The constant that a value is, if it is one.
    pub fn as_const(&self, id: ValueId) -> Option<&Arc<Const>> {
        match self.op(id) {
            Op::Const(c) => self.tables.constant(*c),
            _ => None,
        }
    }

    /// True if constants alone are behind a value: no input, no state.
    pub fn depends_on_constants(&self, id: ValueId) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            if self.as_const(id).is_some() || !seen.insert(id) {
                continue;
            }
            let operands = self.operands(id);
            if operands.is_empty() || self.op(id).has_effect() {
                return false;
            }
            waiting.extend(operands);
        }
        true
    }

    /// Live nodes, operands before users; among nodes that are ready the smallest id first. In a graph with a
    /// cycle (which the verifier reports), the nodes that wait for it follow by id.
    pub fn topological(&self) -> Vec<ValueId> {
        let (mut order, waiting) = self.sorted();
        order.extend(
            self.iter()
                .map(|(id, _)| id)
                .filter(|id| waiting[id.index()] > 0),
        );
        order
    }

    /// True if no node needs itself.
    pub fn is_acyclic(&self) -> bool {
        let (order, _) = self.sorted();
        order.len() == self.len()
    }

    /// Live nodes that need no cycle, in topological order, and how many operands each node waits for.
    fn sorted(&self) -> (Vec<ValueId>, Vec<usize>) {
        let mut waiting: Vec<usize> = vec![0; self.nodes.len()];
        let mut ready = BinaryHeap::new();
        for (id, node) in self.iter() {
            waiting[id.index()] = node
                .operands
                .iter()
                .filter(|v| self.get(**v).is_some())
                .count();
            if waiting[id.index()] == 0 {
                ready.push(Reverse(id));
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse(id)) = ready.pop() {
            order.push(id);
            for user in self.users(id) {
                waiting[user.index()] -= 1;
                if waiting[user.index()] == 0 {
                    ready.push(Reverse(*user));
                }
            }
        }
        (order, waiting)
    }

    // ---- changing ----

    /// Uses `new` wherever `old` is an operand or an output. Types of users are not inferred again.
    pub fn replace_all_uses(&mut self, old: ValueId, new: ValueId) {
        if old == new {
            return;
        }
        let users = std::mem::take(&mut self.users[old.index()]);
        for user in &users {
            for operand in self.nodes[user.index()]
                .iter_mut()
                .flat_map(|n| &mut n.operands)
            {
                if *operand == old {
                    *operand = new;
                }
            }
        }
        self.users[new.index()].extend(users);
        for (_, v) in &mut self.outputs {
            if *v == old {
                *v = new;
            }
        }
    }

    /// Changes one operand of a live node. The node's type is not inferred again.
    pub fn set_operand(&mut self, node: ValueId, index: usize, value: ValueId) {
        let mut operands = self.operands(node).to_vec();
        if let Some(slot) = operands.get_mut(index) {
            *slot = value;
            self.relink(node, operands);
        }
    }

    /// Gives a live node another operation and operands in place: its id, users and origin stay.
    ///
    /// # Errors
    /// If the operands do not fit the op. The graph is unchanged then.
    pub fn set_node(
        &mut self,
        node: ValueId,
        op: Op,
        operands: &[ValueId],
    ) -> Result<(), TypeError> {
        let ty = self.infer_for(&op, operands)?;
        self.relink(node, operands.to_vec());
        if let Some(n) = self.nodes[node.index()].as_mut() {
            (n.op, n.ty) = (op, ty);
        }
        Ok(())
    }

    /// Sets the layout of a live node; used on constants, whose layout is not inferred.
    pub fn set_layout(&mut self, node: ValueId, layout: Layout) {
        if let Some(n) = self.nodes[node.index()].as_mut() {
            n.ty.layout = layout;
        }
    }

    /// Adds names to a live node's origin, without repetition.
    pub fn add_origin(&mut self, node: ValueId, names: &[String]) {
        if let Some(n) = self.nodes[node.index()].as_mut() {
            merge_origin(&mut n.origin, names);
        }
    }

    /// Renames an input; false if there is none of that name.
    pub fn rename_input(&mut self, old: &str, new: impl Into<String>) -> bool {
        let found = self.inputs.iter_mut().find(|(n, _)| n == old);
        found.map(|(n, _)| *n = new.into()).is_some()
    }

    /// Removes an input that nothing uses; false if it is used or there is none of that name.
    pub fn remove_input(&mut self, name: &str) -> bool {
        match self.input(name) {
            Some(v) if self.use_count(v) == 0 => {
                self.inputs.retain(|(_, i)| *i != v);
                self.nodes[v.index()] = None;
                true
            }
            _ => false,
        }
    }

    /// Removes a node that nothing uses, even one with an effect; false if it is used.
    pub fn remove_node(&mut self, id: ValueId) -> bool {
        let unused = self.use_count(id) == 0;
        if unused {
            self.relink(id, Vec::new());
            self.nodes[id.index()] = None;
        }
        unused
    }

    /// Removes nodes that no output and no [effect](Op::has_effect) needs; inputs stay. Returns how many.
    pub fn remove_dead(&mut self) -> usize {
        let mut live: BTreeSet<ValueId> = BTreeSet::new();
        let mut todo: Vec<ValueId> = self.outputs.iter().map(|(_, v)| *v).collect();
        todo.extend(
            self.iter()
                .filter(|(_, n)| n.op.has_effect())
                .map(|(v, _)| v),
        );
        while let Some(v) = todo.pop() {
            if live.insert(v) {
                todo.extend(self.get(v).map_or(&[][..], |n| &n.operands));
            }
        }
        let dead: Vec<ValueId> = self
            .iter()
            .filter(|(v, n)| n.op != Op::Input && !live.contains(v))
            .map(|(v, _)| v)
            .collect();
        for v in &dead {
            self.relink(*v, Vec::new());
            self.nodes[v.index()] = None;
        }
        dead.len()
    }

    /// Drops constants and states that no live node refers to, and renumbers the rest. Ids held elsewhere
    /// become stale.
    pub fn remove_unused_tables(&mut self) {
        let (mut consts, mut states) = (BTreeMap::new(), BTreeMap::new());
        for (_, n) in self.iter() {
            match n.op {
                Op::Const(c) => drop(consts.insert(c, c)),
                Op::Append { state } => drop(states.insert(state, state)),
                _ => {}
            }
        }
        for (i, new) in consts.values_mut().enumerate() {
            *new = ConstId::from_index(i);
        }
        for (i, new) in states.values_mut().enumerate() {
            *new = StateId::from_index(i);
        }
        let old = std::mem::take(&mut self.tables);
        self.tables.consts = consts
            .keys()
            .filter_map(|c| old.constant(*c).cloned())
            .collect();
        self.tables.states = states
            .keys()
            .filter_map(|s| old.state(*s).cloned())
            .collect();
        for n in self.nodes.iter_mut().flatten() {
            match &mut n.op {
                Op::Const(c) => *c = consts.get(c).copied().unwrap_or(*c),
                Op::Append { state } => *state = states.get(state).copied().unwrap_or(*state),
                _ => {}
            }
        }
    }

    /// Infers all types again from inputs and constants, whose types (and constants' layouts) stay.
    ///
    /// # Errors
    /// All nodes whose operands no longer fit, as `(node, error)`; they keep their type.
    pub fn refresh_types(&mut self) -> Result<(), Vec<(ValueId, TypeError)>> {
        let mut errors = Vec::new();
        for id in self.topological() {
            let Some(node) = self.get(id) else { continue };
            if matches!(node.op, Op::Input | Op::Const(_)) {
                continue;
            }
            match self.infer_for(&node.op, &node.operands) {
                Ok(ty) => {
                    if let Some(n) = self.nodes[id.index()].as_mut() {
                        n.ty = ty;
                    }
                }
                Err(e) => errors.push((id, e)),
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Replaces symbols in inputs, states, attributes and all types. Bounds of replaced symbols are dropped.
    ///
    /// # Errors
    /// As [`Graph::refresh_types`].
    pub fn substitute(
        &mut self,
        by: &BTreeMap<Symbol, Dim>,
    ) -> Result<(), Vec<(ValueId, TypeError)>> {
        for n in self.nodes.iter_mut().flatten() {
            n.op = n.op.substitute(by);
            n.ty = n.ty.substitute(by);
        }
        for s in &mut self.tables.states {
            s.shape = s.shape.iter().map(|d| d.substitute_all(by)).collect();
        }
        self.bounds.retain(|s, _| !by.contains_key(s));
        self.refresh_types()
    }

    /// The type that `op` would have on these operands.
    ///
    /// # Errors
    /// If the operands do not fit the op.
    pub fn infer_for(&self, op: &Op, operands: &[ValueId]) -> Result<Type, TypeError> {
        let missing = operands.iter().find(|v| self.get(**v).is_none());
        if let Some(v) = missing {
            return Err(TypeError::new(
                op,
                &[],
                format!("{v} is not a node of the graph"),
            ));
        }
        let types: Vec<&Type> = operands.iter().map(|v| self.ty(*v)).collect();
        infer(op, &types, &self.tables)
    }

    fn relink(&mut self, node: ValueId, operands: Vec<ValueId>) {
        let Some(n) = self.nodes[node.index()].as_mut() else {
            return;
        };
        let old = std::mem::replace(&mut n.operands, operands.clone());
        for v in old {
            if let Some(at) = self.users[v.index()].iter().position(|u| *u == node) {
                self.users[v.index()].remove(at);
            }
        }
        for v in operands {
            self.users[v.index()].push(node);
        }
    }
}

/// Adds names that are not there yet, in order.
pub fn merge_origin(origin: &mut Origin, names: &[String]) {
    for name in names {
        if !origin.contains(name) {
            origin.push(name.clone());
        }
    }
}

/// The entries of one model. Each graph is complete in itself; constants and states of the same name are the
/// same in all of them (the verifier checks it), and constants are shared by `Arc`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Module {
    /// The entries: `prefill`, `score`, `decode`; or one function.
    pub entries: Vec<Graph>,
}

impl Module {
    /// A module of these entries.
    pub fn new(entries: Vec<Graph>) -> Module {
        Module { entries }
    }

    /// The entry of a name.
    pub fn entry(&self, name: &str) -> Option<&Graph> {
        self.entries.iter().find(|g| g.name == name)
    }

    /// Constants of all entries, each name once, in order of first appearance.
    pub fn consts(&self) -> Vec<Arc<Const>> {
        let mut seen = BTreeSet::new();
        let all = self.entries.iter().flat_map(|g| g.consts());
        all.filter(|c| seen.insert(c.name().to_string()))
            .cloned()
            .collect()
    }

    /// States of all entries, each name once, in order of first appearance.
    pub fn states(&self) -> Vec<State> {
        let mut seen = BTreeSet::new();
        let all = self.entries.iter().flat_map(|g| g.states());
        all.filter(|s| seen.insert(s.name.clone()))
            .cloned()
            .collect()
    }
}
