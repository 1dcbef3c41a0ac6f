//! The values that everything passes through, and what lies between them.

use std::collections::{BTreeMap, BTreeSet};

use llmc_ir::{Graph, Op, ValueId};

use super::number::{Kind, Numbers, kind};

/// A graph cut at the values that every path from one input to one output goes through.
pub struct Chain {
    /// The values in order; segment i is what lies between cut i and cut i + 1, the latter included.
    pub cuts: Vec<ValueId>,
    /// The segment of each node that depends on the input; nodes before the first cut and behind the last are in none.
    pub segment: BTreeMap<ValueId, usize>,
    /// The structure of each segment; equal for segments that differ in constants and states only.
    shapes: Vec<u32>,
    /// Whether a segment appends to a state.
    appends: Vec<bool>,
}

/// Segments that repeat: `count` times `period` segments from `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first segment.
    pub start: usize,
    /// Segments of a turn.
    pub period: usize,
    /// Turns.
    pub count: usize,
}

impl Run {
    /// The segment after the last.
    pub fn end(&self) -> usize {
        self.start + self.period * self.count
    }
}

impl Chain {
    /// The longest chain from an input to an output; `None` if no input reaches one.
    pub fn of(graph: &Graph) -> Option<Chain> {
        let order = graph.topological();
        let chains = graph.inputs().iter().map(|(_, input)| {
            let above = dominators(graph, &order, *input);
            let paths = graph
                .outputs
                .iter()
                .map(|(_, output)| path(&above, *output));
            let longest = paths.rev().max_by_key(Vec::len);
            (longest.unwrap_or_default(), above)
        });
        // The first of the longest.
        let (cuts, above) = chains.rev().max_by_key(|(cuts, _)| cuts.len())?;
        if cuts.len() < 3 {
            return None;
        }
        let position: BTreeMap<ValueId, usize> =
            cuts.iter().enumerate().map(|(i, v)| (*v, i)).collect();
        // The segment that a value's dependents lie in, as far as no cut comes in between.
        let mut below: BTreeMap<ValueId, usize> = BTreeMap::new();
        let mut segment = BTreeMap::new();
        for id in order.iter().filter(|v| above.contains_key(v)) {
            match position.get(id) {
                Some(i) => {
                    below.insert(*id, *i);
                    i.checked_sub(1).map(|s| segment.insert(*id, s));
                }
                None => {
                    let s = below.get(&above[id].0).copied()?;
                    below.insert(*id, s);
                    if s + 1 < cuts.len() {
                        segment.insert(*id, s);
                    }
                }
            }
        }
        let mut chain = Chain {
            shapes: Vec::new(),
            appends: vec![false; cuts.len() - 1],
            cuts,
            segment,
        };
        chain.shape(graph, &order);
        Some(chain)
    }

    /// Numbers the segments by structure.
    fn shape(&mut self, graph: &Graph, order: &[ValueId]) {
        let mut numbers = Numbers::default();
        // As seen from behind; the last cut of a segment is the beginning of the next.
        let mut of: BTreeMap<ValueId, u32> = BTreeMap::new();
        let mut ends: Vec<Vec<u32>> = vec![Vec::new(); self.appends.len()];
        let mut own: Vec<u32> = vec![u32::MAX; self.appends.len()];
        let cuts: BTreeSet<ValueId> = self.cuts.iter().copied().collect();
        for id in order {
            let operands = graph.operands(*id).iter();
            let operands = operands.filter_map(|v| of.get(v).copied()).collect();
            let mut number = numbers.of(kind(graph, *id, false), operands);
            if let Some(&s) = self.segment.get(id) {
                if graph.op(*id).has_effect() {
                    ends[s].push(number);
                    self.appends[s] = true;
                }
                if self.cuts[s + 1] == *id {
                    own[s] = number;
                } else if graph.is_output(*id) {
                    // Nothing like it: there is one output of a name.
                    ends[s].push(u32::MAX - u32::try_from(s).unwrap_or(0));
                }
            }
            if cuts.contains(id) {
                number = numbers.of(Kind::Begin(graph.ty(*id)), Vec::new());
            }
            of.insert(*id, number);
        }
        let mut shapes: BTreeMap<(u32, Vec<u32>), u32> = BTreeMap::new();
        for (own, mut ends) in own.into_iter().zip(ends) {
            ends.sort_unstable();
            let next = u32::try_from(shapes.len()).unwrap_or(u32::MAX);
            self.shapes.push(*shapes.entry((own, ends)).or_insert(next));
        }
    }

    /// Disjoint runs that cover the most segments, in order. Each appends to states: it is layers and no accident.
    pub fn runs(&self, refuted: &[Run]) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut todo = vec![(0, self.shapes.len())];
        while let Some((from, to)) = todo.pop() {
            if let Some(run) = self.longest(from, to, refuted) {
                todo.extend([(from, run.start), (run.end(), to)]);
                runs.push(run);
            }
        }
        runs.sort_by_key(|r| r.start);
        runs
    }

    /// The run within segments `from..to` that covers the most; of those the shortest period, then the first.
    fn longest(&self, from: usize, to: usize, refuted: &[Run]) -> Option<Run> {
        let mut best: Option<Run> = None;
        for period in 1..=(to - from) / 2 {
            let mut start = from;
            while start + period < to {
                let like = |i: &usize| self.shapes[*i] == self.shapes[*i + period];
                let matching = (start..to - period).take_while(like).count();
                let count = matching / period + 1;
                // Every alignment within the stretch that keeps the count.
                for shift in 0..=matching % period {
                    let run = Run {
                        start: start + shift,
                        period,
                        count,
                    };
                    let layers = self.appends[run.start..run.start + period].contains(&true);
                    let covers = |r: &Run| r.period * r.count;
                    let better = best.is_none_or(|b| covers(&run) > covers(&b));
                    if count >= 2 && layers && better && !refuted.contains(&run) {
                        best = Some(run);
                    }
                }
                start += matching + 1;
            }
        }
        best
    }
}

/// The immediate dominator and the depth of everything that depends on `source`: every path from the source goes
/// through it.
fn dominators(
    graph: &Graph,
    order: &[ValueId],
    source: ValueId,
) -> BTreeMap<ValueId, (ValueId, usize)> {
    let mut above: BTreeMap<ValueId, (ValueId, usize)> = BTreeMap::from([(source, (source, 0))]);
    for id in order {
        if matches!(graph.op(*id), Op::Input) {
            continue;
        }
        let mut common: Option<ValueId> = None;
        for operand in graph.operands(*id) {
            if above.contains_key(operand) {
                common = Some(common.map_or(*operand, |c| meet(&above, c, *operand)));
            }
        }
        if let Some(common) = common {
            let depth = above[&common].1 + 1;
            above.insert(*id, (common, depth));
        }
    }
    above
}

/// The last value that every path to both goes through.
fn meet(above: &BTreeMap<ValueId, (ValueId, usize)>, mut a: ValueId, mut b: ValueId) -> ValueId {
    while a != b {
        if above[&a].1 >= above[&b].1 {
            a = above[&a].0;
        } else {
            b = above[&b].0;
        }
    }
    a
}

/// The dominators of `end`, outermost first; empty if it does not depend on the source.
fn path(above: &BTreeMap<ValueId, (ValueId, usize)>, end: ValueId) -> Vec<ValueId> {
    let mut path = Vec::new();
    let mut at = Some(end).filter(|v| above.contains_key(v));
    while let Some(id) = at {
        path.push(id);
        at = Some(above[&id].0).filter(|up| *up != id);
    }
    path.reverse();
    path
}
