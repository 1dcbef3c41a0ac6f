//! Layers that are like the ones before them are left out of a file before anything else looks at it.
//!
//! ```text
//! embed, layer 0 | 1 | 2 | 3 | 4 .. 79 | head    =>    embed, layer 0 | 1 | 2 | head    and what differs in 3 .. 79
//! ```
//!
//! Two nodes of the list, a *period* apart, are alike if operator and attributes are equal and every operand is the same value, or
//! the one made a period earlier, or an initializer or a graph input of equal type. A stretch of such nodes is a run of turns.
//! The first [`KEPT`] turns stay; of the others only the names of initializers, inputs and outputs are kept, and passes
//! add them to the rolled graph again (`llmc_passes::roll`). That is sound, by induction over the turns:
//!
//! - what goes from turn to turn is of the same kind after each of the kept turns ([`Shortened::carried`], checked after import),
//! - initializers that differ between turns are hidden from operator functions ([`Shortened::hidden`]): they cannot decide what
//!   is made of a node,
//! - caches are of the same type.
//!
//! So the next turn would become what the last one became. Whatever fits none of this leaves the file as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::proto::{DimValue, GraphProto, NodeProto, TensorProto, TypeKind, ValueInfoProto};
use super::source::inline_tensor;

/// Turns that stay: the graph must show that one is like the next.
pub const KEPT: usize = 2;

/// Comparisons of nodes that looking for the period may take, per node.
const EFFORT: usize = 64;

/// Initializers that differ in name only are told from others up to this size; larger ones decide nothing on import.
const SMALL: usize = 64;

/// What was left out.
#[derive(Clone, Debug, Default)]
pub struct Shortened {
    /// Number of turns that were left out.
    pub turns: usize,
    /// Initializers that differ between turns.
    pub constants: Vec<InTurns<TensorProto>>,
    /// Graph inputs of the turns.
    pub inputs: Vec<InTurns<String>>,
    /// Graph outputs of the turns.
    pub outputs: Vec<InTurns<String>>,
    /// Values that go to the next turn: their names in the kept turns.
    pub carried: Vec<[String; KEPT]>,
    /// Names of the initializers whose values must not be looked at.
    pub hidden: BTreeSet<String>,
}

/// The same thing in all turns.
#[derive(Clone, Debug)]
pub struct InTurns<T> {
    /// Its names in the turns that stay.
    pub kept: [String; KEPT],
    /// What it is in the others, in order.
    pub rest: Vec<T>,
}

/// What an operand of a node is, in every turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    /// The same value in all turns.
    Same,
    /// A result of the node so many nodes before.
    Back { distance: usize, slot: usize },
    /// An initializer of its own.
    Initializer,
    /// A graph input of its own.
    Input,
}

/// Turns that follow each other in the list of nodes.
#[derive(Clone, Debug)]
struct Run {
    start: usize,
    period: usize,
    turns: usize,
    /// The operands of the nodes of a turn.
    operands: Vec<Vec<Operand>>,
}

impl Run {
    fn end(&self) -> usize {
        self.start + self.period * self.turns
    }

    /// The end of the turns that stay.
    fn kept(&self) -> usize {
        self.start + self.period * KEPT
    }
}

/// Leaves out what repeats; `None`, and the graph as it was, if nothing does.
pub fn shorten(graph: &mut GraphProto) -> Option<Shortened> {
    let nodes = Nodes::of(graph);
    let run = nodes.run()?;
    let mut shortened = nodes.shortened(&run)?;
    let renamed = nodes.renamed(&run, &shortened)?;
    shortened.hidden = nodes.hidden(&shortened);
    for (node, slot, name) in renamed {
        graph.node[node].input[slot] = name;
    }
    let gone: Vec<NodeProto> = graph.node.drain(run.kept()..run.end()).collect();
    // Freeing that many names takes as long as all of the above, and nothing waits for it.
    rayon::spawn(move || drop(gone));
    let rest = |lists: &[InTurns<String>]| -> BTreeSet<String> {
        lists.iter().flat_map(|l| l.rest.iter().cloned()).collect()
    };
    let (inputs, outputs) = (rest(&shortened.inputs), rest(&shortened.outputs));
    graph.input.retain(|i| !inputs.contains(&i.name));
    graph.output.retain(|o| !outputs.contains(&o.name));
    let used: BTreeSet<&String> = graph.node.iter().flat_map(|n| &n.input).collect();
    let tensors = shortened.constants.iter().flat_map(|l| &l.rest);
    let tensors = tensors.map(|t| &t.name).filter(|name| !used.contains(name));
    let unused: BTreeSet<&String> = tensors.collect();
    graph.initializer.retain(|t| !unused.contains(&t.name));
    Some(shortened)
}

/// A graph with its initializers and inputs by name. Maps are only looked up, never iterated.
struct Nodes<'g> {
    graph: &'g GraphProto,
    nodes: &'g [NodeProto],
    initializers: HashMap<&'g str, &'g TensorProto>,
    inputs: HashMap<&'g str, &'g ValueInfoProto>,
}

impl<'g> Nodes<'g> {
    fn of(graph: &'g GraphProto) -> Nodes<'g> {
        let initializers = graph.initializer.iter().map(|t| (t.name.as_str(), t));
        let inputs = graph.input.iter().map(|i| (i.name.as_str(), i));
        Nodes {
            graph,
            nodes: &graph.node,
            initializers: initializers.collect(),
            inputs: inputs.collect(),
        }
    }

    /// The turns around the middle of the list that cover caches.
    fn run(&self) -> Option<Run> {
        let n = self.nodes.len();
        let middle = n / 2;
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let ops = self.nodes.iter().map(|node| {
            let next = numbers.len();
            *numbers.entry(&node.op_type).or_insert(next)
        });
        let ops: Vec<usize> = ops.collect();
        let mut effort = EFFORT * n;
        for period in 1..=n / (KEPT + 1) {
            // Operators alone first: that is quick.
            let alike = |i: &usize| ops[*i] == ops[*i + period];
            let up = (middle..n - period).take_while(alike).count();
            let down = (0..middle).rev().take_while(alike).count();
            effort = effort.checked_sub(up + down + 1)?;
            if up == 0 || up + down < KEPT * period {
                continue;
            }
            let base = middle.min(middle + up - period);
            let Some(operands) = self.operands(base, period) else {
                continue;
            };
            let alike = |i: &usize| {
                let place = (i + period - base % period) % period;
                self.alike(*i, period, &operands[place])
            };
            let (up, down) = rayon::join(
                || (base..n - period).take_while(alike).count(),
                || (0..base).rev().take_while(alike).count(),
            );
            effort = effort.checked_sub(up + down)?;
            let run = self.aligned(base, (down, up), period, &operands);
            let caches = operands.iter().flatten().any(|o| *o == Operand::Input);
            if caches && run.turns > KEPT {
                return Some(run);
            }
        }
        None
    }

    /// What the operands of the nodes of a turn are, from it and the next; `None` if they are not alike.
    fn operands(&self, base: usize, period: usize) -> Option<Vec<Vec<Operand>>> {
        let mut made: HashMap<&str, (usize, usize)> = HashMap::new();
        for i in base.saturating_sub(period)..base + period {
            for (slot, name) in self.nodes[i].output.iter().enumerate() {
                made.insert(name, (i, slot));
            }
        }
        let operand = |i: usize, a: &str, b: &str| match made.get(a) {
            _ if a == b => Some(Operand::Same),
            Some((from, slot)) => Some(Operand::Back {
                distance: i.checked_sub(*from).filter(|d| *d > 0)?,
                slot: *slot,
            }),
            None if self.initializers.contains_key(a) => Some(Operand::Initializer),
            None if self.inputs.contains_key(a) => Some(Operand::Input),
            None => None,
        };
        let turn = (base..base + period).map(|i| {
            let next = self.nodes.get(i + period)?;
            let names = self.nodes[i].input.iter().zip(&next.input);
            names.map(|(a, b)| operand(i, a, b)).collect()
        });
        turn.collect()
    }

    /// Whether a node and the one a period later are alike.
    fn alike(&self, i: usize, period: usize, operands: &[Operand]) -> bool {
        let (a, b) = (&self.nodes[i], &self.nodes[i + period]);
        let made = |at: usize, name: &String, distance: usize, slot: usize| {
            let from = at.checked_sub(distance).and_then(|i| self.nodes.get(i));
            from.is_some_and(|node| node.output.get(slot) == Some(name))
        };
        let like = |(operand, (from, to)): (&Operand, (&String, &String))| match *operand {
            Operand::Same => from == to,
            Operand::Back { distance, slot } => {
                made(i, from, distance, slot) && made(i + period, to, distance, slot)
            }
            Operand::Initializer => {
                let found = [from, to].map(|name| self.initializers.get(name.as_str()));
                matches!(found, [Some(a), Some(b)] if a.data_type == b.data_type && a.dims == b.dims)
            }
            Operand::Input => {
                let found = [from, to].map(|name| self.inputs.get(name.as_str()));
                matches!(found, [Some(a), Some(b)] if same_type(a, b))
            }
        };
        a.op_type == b.op_type
            && a.domain == b.domain
            && a.overload == b.overload
            && a.input.len() == operands.len()
            && b.input.len() == operands.len()
            && a.output.len() == b.output.len()
            && (a.output.iter().zip(&b.output)).all(|(a, b)| a.is_empty() == b.is_empty())
            && operands.iter().zip(a.input.iter().zip(&b.input)).all(like)
            && a.attribute == b.attribute
            && !has_subgraph(a)
    }

    /// The turns of the nodes `base - down..base + up` and those a period later, cut where no initializer or input is used on both
    /// sides.
    fn aligned(
        &self,
        base: usize,
        (down, up): (usize, usize),
        period: usize,
        operands: &[Vec<Operand>],
    ) -> Run {
        let (start, stretch) = (base - down, down + up);
        let of = |i: usize| &operands[(i + period - base % period) % period];
        let mut uses: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for i in start..start + stretch.min(2 * period) {
            for (name, operand) in self.nodes[i].input.iter().zip(of(i)) {
                if matches!(operand, Operand::Initializer | Operand::Input) {
                    uses.entry(name).or_insert((i, i)).1 = i;
                }
            }
        }
        let mut within = vec![false; period];
        for (first, last) in uses.into_values() {
            for i in first + 1..=last.min(first + period) {
                within[(i - start) % period] = true;
            }
        }
        let shift = within.iter().position(|used| !used).unwrap_or(0);
        let start = start + shift;
        Run {
            start,
            period,
            turns: stretch.saturating_sub(shift) / period + 1,
            operands: (start..start + period).map(|i| of(i).clone()).collect(),
        }
    }

    /// What differs between the turns of a run; `None` if that is more than can be left out.
    fn shortened(&self, run: &Run) -> Option<Shortened> {
        let mut found = Shortened {
            turns: run.turns - KEPT,
            ..Shortened::default()
        };
        let (mut constants, mut inputs) = (BTreeMap::new(), BTreeMap::new());
        let mut carried = BTreeSet::new();
        for (place, operands) in run.operands.iter().enumerate() {
            let i = run.start + place;
            for (k, operand) in operands.iter().enumerate() {
                let at = |turn: usize| &self.nodes[i + turn * run.period].input[k];
                let names = (0..run.turns).map(at);
                match *operand {
                    Operand::Same => {}
                    Operand::Back { distance, slot } if distance > place => {
                        // Made in the turn before, or even earlier.
                        let from = (place + run.period).checked_sub(distance)?;
                        carried.insert((run.start + from, slot));
                    }
                    Operand::Back { .. } => {}
                    Operand::Initializer => add(&mut constants, names.collect())?,
                    Operand::Input => add(&mut inputs, names.collect())?,
                }
            }
        }
        for names in constants.into_values() {
            let tensors = names.iter().map(|n| self.initializers.get(n.as_str()).copied());
            let each: Vec<&TensorProto> = tensors.collect::<Option<_>>()?;
            if !small_and_equal(&each) {
                found.constants.push(InTurns {
                    kept: kept(names.into_iter())?,
                    rest: each[KEPT..].iter().map(|t| (*t).clone()).collect(),
                });
            }
        }
        let inputs = inputs.into_values().map(in_turns);
        found.inputs = inputs.collect::<Option<_>>()?;
        for (node, slot) in carried {
            let at = |turn: usize| self.nodes[node + turn * run.period].output.get(slot);
            found.carried.push(kept((0..KEPT).filter_map(at))?);
        }
        found.outputs = self.outputs_of(run)?;
        Some(found)
    }

    /// The graph outputs that are made in the run: each in all of its turns.
    fn outputs_of(&self, run: &Run) -> Option<Vec<InTurns<String>>> {
        let outputs: BTreeSet<&String> = self.graph.output.iter().map(|o| &o.name).collect();
        let mut found = Vec::new();
        for i in run.start..run.start + run.period {
            for slot in 0..self.nodes[i].output.len() {
                let at = |turn: usize| &self.nodes[i + turn * run.period].output[slot];
                let shown = (0..KEPT).any(|t| outputs.contains(at(t)));
                if shown {
                    let all = (0..run.turns).map(at).filter(|name| outputs.contains(name));
                    let all: Vec<&String> = all.collect();
                    found.push(in_turns(all).filter(|o| o.rest.len() + KEPT == run.turns)?);
                }
            }
        }
        Some(found)
    }

    /// Operands of what stays that name something left out, with their names in the last turns that stay. What names
    /// anything else of the turns left out is left undefined, and found when the graph is resolved.
    fn renamed(&self, run: &Run, found: &Shortened) -> Option<Vec<(usize, usize, String)>> {
        let gap = run.end() - run.kept();
        let mut instead: HashMap<&String, Option<&String>> = HashMap::new();
        for i in run.start..run.kept() {
            instead.extend(self.nodes[i].output.iter().map(|name| (name, None)));
        }
        // The last turns are the last ones that stay.
        for i in run.end() - KEPT * run.period..run.end() {
            let (here, there) = (&self.nodes[i].output, &self.nodes[i - gap].output);
            instead.extend(here.iter().zip(there.iter().map(Some)));
        }
        let mut inputs: HashMap<&String, &String> = HashMap::new();
        for list in &found.inputs {
            inputs.extend(list.rest.iter().map(|name| (name, &list.kept[KEPT - 1])));
        }
        let mut renamed = Vec::new();
        for i in (0..run.kept()).chain(run.end()..self.nodes.len()) {
            let (node, after) = (&self.nodes[i], i >= run.end());
            // What a subgraph uses is not in the list of operands.
            if after && has_subgraph(node) {
                return None;
            }
            for (slot, name) in node.input.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
                if let Some(input) = inputs.get(name) {
                    // Only its shape, which is that of the others.
                    (node.op_type == "Shape" && node.domain.is_empty()).then_some(())?;
                    renamed.push((i, slot, (*input).clone()));
                } else if after && let Some(instead) = instead.get(name) {
                    renamed.push((i, slot, (*instead)?.clone()));
                }
            }
        }
        Some(renamed)
    }

    /// Names of the initializers that differ, and of larger ones of their types: the same in the layers around the run.
    fn hidden(&self, found: &Shortened) -> BTreeSet<String> {
        let mut types: BTreeSet<(i32, &[i64])> = BTreeSet::new();
        let mut hidden = BTreeSet::new();
        for list in &found.constants {
            hidden.extend(list.kept.iter().cloned());
            let of_one = |t: &&TensorProto| t.dims.iter().product::<i64>() > 1;
            let first = list.rest.first().filter(of_one);
            types.extend(first.map(|t| (t.data_type, &t.dims[..])));
        }
        let others = self.graph.initializer.iter();
        let others = others.filter(|t| types.contains(&(t.data_type, &t.dims[..])));
        hidden.extend(others.map(|t| t.name.clone()));
        hidden
    }
}

/// Notes the names in the place of the one in the last turn that stays; `None` if that contradicts what is noted already, or if
/// the first turns share one.
fn add<'n>(known: &mut BTreeMap<&'n String, Vec<&'n String>>, names: Vec<&'n String>) -> Option<()> {
    let distinct: BTreeSet<&String> = names[..=KEPT].iter().copied().collect();
    if distinct.len() <= KEPT {
        return None;
    }
    let before = known.entry(names[KEPT - 1]).or_insert_with(|| names.clone());
    (*before == names).then_some(())
}

/// The names in the first turns.
fn kept<'n>(names: impl Iterator<Item = &'n String>) -> Option<[String; KEPT]> {
    let names: Vec<String> = names.take(KEPT).cloned().collect();
    names.try_into().ok()
}

/// Names by turn.
fn in_turns(names: Vec<&String>) -> Option<InTurns<String>> {
    Some(InTurns {
        kept: kept(names.iter().copied())?,
        rest: names[KEPT..].iter().map(|n| (*n).clone()).collect(),
    })
}

/// Whether all hold the same few values.
fn small_and_equal(each: &[&TensorProto]) -> bool {
    let small = |t: &&TensorProto| t.dims.iter().product::<i64>().unsigned_abs() <= SMALL as u64;
    let bytes = |t: &TensorProto| inline_tensor(t).ok().map(|t| t.bytes().to_vec());
    let Some(first) = each.first().filter(|t| small(t)).and_then(|t| bytes(t)) else {
        return false;
    };
    each.iter().all(|t| bytes(t).as_ref() == Some(&first))
}

fn has_subgraph(node: &NodeProto) -> bool {
    let mut attributes = node.attribute.iter();
    attributes.any(|a| a.g.is_some() || !a.graphs.is_empty())
}

/// Equal element types, and the same extents where they are numbers.
fn same_type(a: &ValueInfoProto, b: &ValueInfoProto) -> bool {
    let tensor = |v: &'_ ValueInfoProto| match v.r#type.as_ref()?.kind.as_ref()? {
        TypeKind::Tensor(t) => Some((t.elem_type, extents(t.shape.as_ref()?))),
        _ => None,
    };
    let (a, b) = (tensor(a), tensor(b));
    a.is_some() && a == b
}

/// The numbers among the extents.
fn extents(shape: &super::proto::TensorShapeProto) -> Vec<Option<i64>> {
    let number = |value: &Option<DimValue>| match value {
        Some(DimValue::Value(n)) => Some(*n),
        Some(DimValue::Param(_)) | None => None,
    };
    shape.dim.iter().map(|d| number(&d.value)).collect()
}

#[cfg(test)]
mod tests;
