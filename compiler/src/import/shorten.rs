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

use bytes::Bytes;
use prost::Message;

use super::outline::NodeList;
use super::proto::{
    DimValue, GraphOutline, GraphProto, ModelProto, NodeProto, TensorProto, TypeKind,
    ValueInfoProto,
};
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

/// A model without what repeats in its graph; `None` if nothing does, or a node is damaged. Nodes that are left out are not
/// even decoded.
pub fn shortened(mut model: ModelProto, graph: GraphOutline) -> Option<(ModelProto, Shortened)> {
    let (graph, shortened) = without_turns(graph)?;
    model.graph = Some(graph);
    Some((model, shortened))
}

/// A graph without the turns that are like those before them.
fn without_turns(mut graph: GraphOutline) -> Option<(GraphProto, Shortened)> {
    let raw = std::mem::take(&mut graph.node);
    let nodes = Nodes::of(&graph, &raw)?;
    let run = nodes.run()?;
    let mut shortened = nodes.shortened(&run)?;
    let renamed = nodes.renamed(&run, &shortened)?;
    shortened.hidden = nodes.hidden(&shortened);

    let kept = raw[..run.kept()].iter().chain(&raw[run.end()..]);
    let kept = kept.map(|node| NodeProto::decode(node.clone()).ok());
    let mut node: Vec<NodeProto> = kept.collect::<Option<_>>()?;
    for (at, slot, name) in renamed {
        *node.get_mut(at)?.input.get_mut(slot)? = name;
    }
    // What a subgraph after the layers uses is not in the list of operands.
    if node[run.kept()..].iter().any(has_subgraph) {
        return None;
    }
    let rest = |lists: &[InTurns<String>]| -> BTreeSet<String> {
        lists.iter().flat_map(|l| l.rest.iter().cloned()).collect()
    };
    let (inputs, outputs) = (rest(&shortened.inputs), rest(&shortened.outputs));
    graph.input.retain(|i| !inputs.contains(&i.name));
    graph.output.retain(|o| !outputs.contains(&o.name));
    let used: BTreeSet<&String> = node.iter().flat_map(|n| &n.input).collect();
    let tensors = shortened.constants.iter().flat_map(|l| &l.rest);
    let tensors = tensors.map(|t| &t.name).filter(|name| !used.contains(name));
    let unused: BTreeSet<&String> = tensors.collect();
    graph.initializer.retain(|t| !unused.contains(&t.name));
    Some((graph.with_nodes(node), shortened))
}

/// A graph with its initializers and inputs by name. Maps are only looked up, never iterated.
struct Nodes<'g> {
    graph: &'g GraphOutline,
    list: NodeList<'g>,
    initializers: HashMap<&'g [u8], &'g TensorProto>,
    inputs: HashMap<&'g [u8], &'g ValueInfoProto>,
}

impl<'g> Nodes<'g> {
    fn of(graph: &'g GraphOutline, raw: &'g [Bytes]) -> Option<Nodes<'g>> {
        let initializers = graph.initializer.iter().map(|t| (t.name.as_bytes(), t));
        let inputs = graph.input.iter().map(|i| (i.name.as_bytes(), i));
        Some(Nodes {
            graph,
            list: NodeList::of(raw)?,
            initializers: initializers.collect(),
            inputs: inputs.collect(),
        })
    }

    /// The turns around the middle of the list that cover caches.
    fn run(&self) -> Option<Run> {
        let n = self.list.count();
        let middle = n / 2;
        let mut numbers: HashMap<[&[u8]; 3], usize> = HashMap::new();
        let ops = (0..n).map(|node| {
            let next = numbers.len();
            *numbers.entry(self.list.operator(node)).or_insert(next)
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
            let like = |i: &usize| {
                let place = (i + period - base % period) % period;
                alike(i) && self.alike(*i, period, &operands[place])
            };
            let (up, down) = rayon::join(
                || (base..n - period).take_while(like).count(),
                || (0..base).rev().take_while(like).count(),
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
        let mut made: HashMap<&[u8], (usize, usize)> = HashMap::new();
        for i in base.saturating_sub(period)..base + period {
            for (slot, name) in self.list.outputs(i).iter().enumerate() {
                made.insert(name, (i, slot));
            }
        }
        let operand = |i: usize, a: &[u8], b: &[u8]| match made.get(a) {
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
            let names = self.list.inputs(i).iter().zip(self.list.inputs(i + period));
            names.map(|(a, b)| operand(i, a, b)).collect()
        });
        turn.collect()
    }

    /// Whether a node and the one a period later are alike.
    fn alike(&self, i: usize, period: usize, operands: &[Operand]) -> bool {
        let (list, next) = (&self.list, i + period);
        let made = |at: usize, name: &[u8], distance: usize, slot: usize| {
            let from = at.checked_sub(distance);
            from.is_some_and(|from| list.outputs(from).get(slot) == Some(&name))
        };
        let like = |(operand, (from, to)): (&Operand, (&&[u8], &&[u8]))| match *operand {
            Operand::Same => from == to,
            Operand::Back { distance, slot } => {
                made(i, from, distance, slot) && made(next, to, distance, slot)
            }
            Operand::Initializer => {
                let found = [from, to].map(|name| self.initializers.get(name));
                matches!(found, [Some(a), Some(b)] if a.data_type == b.data_type && a.dims == b.dims)
            }
            Operand::Input => {
                let found = [from, to].map(|name| self.inputs.get(name));
                matches!(found, [Some(a), Some(b)] if same_type(a, b))
            }
        };
        let (from, to) = (list.inputs(i), list.inputs(next));
        let (made, made_next) = (list.outputs(i), list.outputs(next));
        let names = made.iter().zip(made_next);
        from.len() == operands.len()
            && to.len() == operands.len()
            && made.len() == made_next.len()
            && names.into_iter().all(|(a, b)| a.is_empty() == b.is_empty())
            && operands.iter().zip(from.iter().zip(to)).all(like)
            && list.attributes(i) == list.attributes(next)
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
        let mut uses: BTreeMap<&[u8], (usize, usize)> = BTreeMap::new();
        for i in start..start + stretch.min(2 * period) {
            for (name, operand) in self.list.inputs(i).iter().zip(of(i)) {
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
                let at = |turn: usize| self.list.inputs(i + turn * run.period)[k];
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
            let tensors = names.iter().map(|n| self.initializers.get(n).copied());
            let each: Vec<&TensorProto> = tensors.collect::<Option<_>>()?;
            if !small_and_equal(&each) {
                found.constants.push(InTurns {
                    kept: kept(&names)?,
                    rest: each[KEPT..].iter().map(|t| (*t).clone()).collect(),
                });
            }
        }
        let inputs = inputs.into_values().map(in_turns);
        found.inputs = inputs.collect::<Option<_>>()?;
        for (node, slot) in carried {
            let at = |turn: usize| self.list.outputs(node + turn * run.period)[slot];
            let names: Vec<&[u8]> = (0..KEPT).map(at).collect();
            found.carried.push(kept(&names)?);
        }
        found.outputs = self.outputs_of(run)?;
        Some(found)
    }

    /// The graph outputs that are made in the run: each in all of its turns.
    fn outputs_of(&self, run: &Run) -> Option<Vec<InTurns<String>>> {
        let outputs = self.graph.output.iter().map(|o| o.name.as_bytes());
        let outputs: BTreeSet<&[u8]> = outputs.collect();
        let mut found = Vec::new();
        for i in run.start..run.start + run.period {
            for slot in 0..self.list.outputs(i).len() {
                let at = |turn: usize| self.list.outputs(i + turn * run.period)[slot];
                let shown = (0..KEPT).any(|t| outputs.contains(at(t)));
                if shown {
                    let all = (0..run.turns).map(at).filter(|name| outputs.contains(name));
                    let all: Vec<&[u8]> = all.collect();
                    found.push(in_turns(all).filter(|o| o.rest.len() + KEPT == run.turns)?);
                }
            }
        }
        Some(found)
    }

    /// Operands of what stays that name something left out: the node among those that stay, the operand, and the name of the same
    /// in the last turns that stay. What names anything else of the turns left out is left undefined, and found when the graph
    /// is resolved.
    fn renamed(&self, run: &Run, found: &Shortened) -> Option<Vec<(usize, usize, String)>> {
        let gap = run.end() - run.kept();
        let mut instead: HashMap<&[u8], Option<&[u8]>> = HashMap::new();
        for i in run.start..run.kept() {
            instead.extend(self.list.outputs(i).iter().map(|name| (*name, None)));
        }
        // The last turns are the last ones that stay.
        for i in run.end() - KEPT * run.period..run.end() {
            let (here, there) = (self.list.outputs(i), self.list.outputs(i - gap));
            instead.extend(here.iter().copied().zip(there.iter().copied().map(Some)));
        }
        let mut inputs: HashMap<&[u8], &[u8]> = HashMap::new();
        for list in &found.inputs {
            let last = list.kept[KEPT - 1].as_bytes();
            inputs.extend(list.rest.iter().map(|name| (name.as_bytes(), last)));
        }
        let mut renamed = Vec::new();
        for i in (0..run.kept()).chain(run.end()..self.list.count()) {
            let after = i >= run.end();
            let at = if after { i - gap } else { i };
            let names = self.list.inputs(i).iter().enumerate();
            for (slot, name) in names.filter(|(_, name)| !name.is_empty()) {
                if let Some(input) = inputs.get(name) {
                    // Only its shape, which is that of the others.
                    (self.list.operator(i)[..2] == [&b"Shape"[..], b""]).then_some(())?;
                    renamed.push((at, slot, string(input)?));
                } else if after && let Some(instead) = instead.get(name) {
                    renamed.push((at, slot, string((*instead)?)?));
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
fn add<'n>(known: &mut BTreeMap<&'n [u8], Vec<&'n [u8]>>, names: Vec<&'n [u8]>) -> Option<()> {
    let distinct: BTreeSet<&[u8]> = names[..=KEPT].iter().copied().collect();
    if distinct.len() <= KEPT {
        return None;
    }
    let before = known
        .entry(names[KEPT - 1])
        .or_insert_with(|| names.clone());
    (*before == names).then_some(())
}

/// The names in the first turns.
fn kept(names: &[&[u8]]) -> Option<[String; KEPT]> {
    let names = names.iter().take(KEPT).map(|n| string(n));
    names.collect::<Option<Vec<String>>>()?.try_into().ok()
}

/// Names by turn.
fn in_turns(names: Vec<&[u8]>) -> Option<InTurns<String>> {
    Some(InTurns {
        kept: kept(&names)?,
        rest: names[KEPT..]
            .iter()
            .map(|n| string(n))
            .collect::<Option<_>>()?,
    })
}

fn string(name: &[u8]) -> Option<String> {
    std::str::from_utf8(name).ok().map(String::from)
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
