//! Whole graphs, with states.

use super::{Eval, EvalError, eval_op, text};
use crate::dim::Bindings;
use crate::graph::Graph;
use crate::op::Op;
use crate::region::regions;
use crate::types::{StateId, Type, ValueId};
use llmc_tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// One state at run time.
#[derive(Clone, Debug, PartialEq)]
pub struct StateValue {
    /// `[batch, kv_heads, capacity, head_dim]`.
    pub tensor: Tensor,
    /// Valid rows of the capacity axis.
    pub past: usize,
}

/// States by name.
pub type States = BTreeMap<String, StateValue>;

/// All states of a graph, empty.
///
/// # Errors
/// If a symbol in a state's shape is not bound.
pub fn fresh_states(graph: &Graph, bindings: &Bindings) -> Result<States, EvalError> {
    let mut states = States::new();
    for s in graph.states() {
        let fresh = eval_shape(&s.ty(), bindings)
            .and_then(|shape| Tensor::zeros(s.dtype, shape).map_err(text))
            .map_err(|m| EvalError::new(&s.name, m))?;
        for name in s.names() {
            let tensor = fresh.clone();
            states.insert(name.clone(), StateValue { tensor, past: 0 });
        }
    }
    Ok(states)
}

/// Values of the symbols that are dims of inputs, from the inputs' shapes.
///
/// # Errors
/// If an input is missing or has another rank, or a symbol would get two values.
pub fn bind_inputs(
    graph: &Graph,
    inputs: &BTreeMap<String, Tensor>,
) -> Result<Bindings, EvalError> {
    let mut bindings = Bindings::new();
    for (name, id) in graph.inputs() {
        let tensor = inputs
            .get(name)
            .ok_or_else(|| EvalError::new(name, "the input is missing"))?;
        let ty = graph.ty(*id);
        if tensor.rank() != ty.rank() {
            return Err(EvalError::new(
                name,
                format!("needs {ty}, found shape {:?}", tensor.shape()),
            ));
        }
        for (dim, found) in ty.shape.iter().zip(tensor.shape()) {
            let Some(symbol) = dim.as_symbol() else {
                continue;
            };
            let value = *found as i64;
            match bindings.get(symbol.name()) {
                Some(old) if old != value => {
                    return Err(EvalError::new(
                        name,
                        format!("`{symbol}` is {value} here, {old} elsewhere"),
                    ));
                }
                _ => bindings.set(symbol.name(), value),
            }
        }
    }
    Ok(bindings)
}

/// Evaluates a graph: outputs by name. Each state that the graph appends to grows by the new rows; `past` must be
/// bound to the rows it has before.
///
/// # Errors
/// If an input or state is missing or has another type, a symbol is not bound, or a node fails (its text is in the
/// error). States are then as before.
pub fn eval_graph(
    graph: &Graph,
    bindings: &Bindings,
    inputs: &BTreeMap<String, Tensor>,
    states: &mut States,
) -> Result<BTreeMap<String, Tensor>, EvalError> {
    eval_graph_observed(graph, bindings, inputs, states, &mut |_, _| {})
}

/// As [`eval_graph`]; `observe` sees each value once (members of a repeat once per turn), operands before users.
///
/// # Errors
/// As [`eval_graph`].
pub fn eval_graph_observed(
    graph: &Graph,
    bindings: &Bindings,
    inputs: &BTreeMap<String, Tensor>,
    states: &mut States,
    observe: &mut dyn FnMut(ValueId, &Tensor),
) -> Result<BTreeMap<String, Tensor>, EvalError> {
    let mut run = Run {
        graph,
        bindings,
        inputs,
        states: states.clone(),
        values: BTreeMap::new(),
        turn: 0,
    };
    let broken = |(id, m): &(ValueId, String)| EvalError::new(graph.node_text(*id), m);
    let regions = regions(graph).map_err(|problems| {
        let first = problems.first().map(broken);
        first.unwrap_or_else(|| EvalError::new(&graph.name, "a repeat makes no sense"))
    })?;
    let members: BTreeSet<ValueId> = regions.iter().flat_map(|r| r.members.clone()).collect();
    let mut uses: BTreeMap<ValueId, usize> = graph
        .ids()
        .into_iter()
        .map(|v| (v, graph.use_count(v)))
        .collect();
    let run_node = |run: &mut Run<'_>, id: ValueId| {
        let value = run.node(id);
        value.map_err(|m| EvalError::new(graph.node_text(id), m))
    };
    for id in graph.topological() {
        if members.contains(&id) {
            continue;
        }
        for region in regions.iter().filter(|r| r.repeat == id) {
            for turn in 0..region.count {
                run.turn = turn;
                let end = run.values.get(&region.next).cloned();
                for member in &region.members {
                    let value = match &end {
                        Some(end) if *member == region.carry => end.clone(),
                        _ => run_node(&mut run, *member)?,
                    };
                    observe(*member, &value);
                    run.values.insert(*member, value);
                }
            }
        }
        let value = run_node(&mut run, id)?;
        observe(id, &value);
        run.values.insert(id, value);
        for operand in graph.operands(id) {
            let left = uses.entry(*operand).or_insert(1);
            *left = left.saturating_sub(1);
            if *left == 0 {
                run.values.remove(operand); // frees what is not needed any more
            }
        }
    }
    let outputs = graph.outputs.iter().map(|(name, id)| {
        let value = run.values.get(id).cloned();
        value
            .map(|v| (name.clone(), v))
            .ok_or_else(|| EvalError::new(name, format!("{id} has no value")))
    });
    let outputs = outputs.collect::<Result<_, _>>()?;
    *states = run.states;
    Ok(outputs)
}

struct Run<'a> {
    graph: &'a Graph,
    bindings: &'a Bindings,
    inputs: &'a BTreeMap<String, Tensor>,
    states: States,
    values: BTreeMap<ValueId, Tensor>,
    /// The turn of the repeat that is running.
    turn: usize,
}

impl Run<'_> {
    fn node(&mut self, id: ValueId) -> Eval<Tensor> {
        let node = self.graph.node(id);
        let operands: Vec<&Tensor> = node
            .operands
            .iter()
            .map(|v| {
                self.values
                    .get(v)
                    .ok_or_else(|| format!("{v} has no value"))
            })
            .collect::<Eval<_>>()?;
        let value = match &node.op {
            Op::Input => {
                let name = self.graph.input_name(id).ok_or("the input has no name")?;
                let found = self
                    .inputs
                    .get(name)
                    .ok_or_else(|| format!("input \"{name}\" is missing"))?;
                found.clone()
            }
            Op::Const(c) => {
                let constant = self
                    .graph
                    .tables()
                    .constant(*c)
                    .ok_or_else(|| format!("there is no {c}"))?;
                let opaque = || {
                    format!(
                        "the bytes of constant \"{}\" are not at hand",
                        constant.name()
                    )
                };
                let of_turn = constant.each_turn().get(self.turn).unwrap_or(constant);
                of_turn.tensor().ok_or_else(opaque)?.clone()
            }
            // The first turn; later ones are given their value.
            Op::Carry => (*operands.first().ok_or("takes 1 operand")?).clone(),
            Op::Repeat { .. } => (*operands.get(1).ok_or("takes 2 operands")?).clone(),
            Op::Append { state } => {
                let new = (*operands.first().ok_or("takes 1 operand")?).clone();
                self.append(*state, &new)?
            }
            op => eval_op(op, &operands, self.bindings).map_err(|e| e.message)?,
        };
        let want = eval_shape(&node.ty, self.bindings)?;
        if value.dtype() != node.ty.dtype || value.shape() != want {
            let found = format!("{}{:?}", value.dtype(), value.shape());
            return Err(format!("needs {} (now {:?}), found {found}", node.ty, want));
        }
        Ok(value)
    }

    /// Writes new rows [b, s, heads * d] behind the `past` rows of a state; returns all valid rows [b, heads, t, d].
    fn append(&mut self, id: StateId, new: &Tensor) -> Eval<Tensor> {
        let state = self
            .graph
            .tables()
            .state(id)
            .ok_or_else(|| format!("there is no state {id}"))?;
        let name = state.turns.get(self.turn).unwrap_or(&state.name);
        let value = self
            .states
            .get_mut(name)
            .ok_or_else(|| format!("state \"{name}\" is missing"))?;
        let shape = eval_shape(&state.ty(), self.bindings)?;
        let ([batch, heads, capacity, d], [_, rows, _]) = (shape.as_slice(), new.shape()) else {
            return Err(format!(
                "a state has 4 dims and its new rows 3, found {shape:?} and {:?}",
                new.shape()
            ));
        };
        if value.tensor.shape() != shape || value.tensor.dtype() != state.dtype {
            let found = format!("{}{:?}", value.tensor.dtype(), value.tensor.shape());
            return Err(format!(
                "state \"{}\" is {}, found {found}",
                state.name,
                state.ty()
            ));
        }
        let (past, total) = (value.past, value.past + rows);
        if self
            .bindings
            .get(crate::Symbol::PAST)
            .is_some_and(|p| p != past as i64)
        {
            return Err(format!(
                "state \"{}\" has {past} rows, but `past` is bound to another number",
                state.name
            ));
        }
        if total > *capacity {
            return Err(format!(
                "{total} rows do not fit state \"{}\" of {capacity}",
                state.name
            ));
        }
        if new.elements() != batch * rows * heads * d {
            return Err(format!(
                "new rows {:?} do not fit state \"{}\" {shape:?}",
                new.shape(),
                state.name
            ));
        }
        let size = state
            .dtype
            .bytes()
            .ok_or_else(|| format!("states of {} are not supported", state.dtype))?;
        let (new, line) = (new.cast(state.dtype).map_err(text)?, d * size);
        let mut all = value.tensor.bytes().to_vec();
        let mut view = Vec::with_capacity(batch * heads * total * line);
        for b in 0..*batch {
            for h in 0..*heads {
                let base = (b * heads + h) * capacity * line;
                for r in 0..*rows {
                    let (from, to) = (
                        ((b * rows + r) * heads + h) * line,
                        base + (past + r) * line,
                    );
                    all[to..to + line].copy_from_slice(&new.bytes()[from..from + line]);
                }
                view.extend_from_slice(&all[base..base + total * line]);
            }
        }
        value.tensor = Tensor::new(state.dtype, shape.clone(), all).map_err(text)?;
        value.past = total;
        Tensor::new(state.dtype, vec![*batch, *heads, total, *d], view).map_err(text)
    }
}

fn eval_shape(ty: &Type, bindings: &Bindings) -> Eval<Vec<usize>> {
    ty.shape
        .iter()
        .map(|d| d.eval_len(bindings).map_err(|e| e.to_string()))
        .collect()
}
