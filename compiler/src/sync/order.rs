//! Order between points of the engines' queues, given a set of edges.
//!
//! A block has statements 0, 1, ..; on each engine, statement `i` begins at point `2i`, after its waits, and ends at point
//! `2i + 1`. Points of one engine are in order because its queue is. An edge `(a, b)` of the engine pair `(from, to)` orders
//! the end of statement `a` on `from` before the beginning of statement `b` on `to`.

use llmc_isa::Queue;

/// Number of engines of a core.
pub const ENGINES: usize = Queue::ALL.len();

/// An ordered pair of engines and a pair of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Engine of the earlier access.
    pub from: Queue,
    /// Engine of the later one.
    pub to: Queue,
    /// Statement of the earlier access.
    pub a: u32,
    /// Statement of the later one.
    pub b: u32,
}

/// Edges by engine pair. After [`Edges::reduce`] both statements ascend strictly within each pair, so that a semaphore that
/// is posted at every `a` and waited for at every `b` matches them in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    pairs: [[Vec<(u32, u32)>; ENGINES]; ENGINES],
}

impl Edges {
    /// Adds an edge, if the engines differ.
    pub fn add(&mut self, edge: Edge) {
        if edge.from != edge.to {
            self.pairs[edge.from as usize][edge.to as usize].push((edge.a, edge.b));
        }
    }

    /// Keeps the edges that no other edge of the same pair implies: `(a, b)` follows from `(a', b')` if `a <= a'` and `b' <= b`.
    pub fn reduce(&mut self) {
        for list in self.pairs.iter_mut().flatten() {
            list.sort_unstable_by_key(|&(a, b)| (b, std::cmp::Reverse(a)));
            let mut latest = None;
            list.retain(|&(a, _)| {
                let needed = latest.is_none_or(|l| a > l);
                if needed {
                    latest = Some(a);
                }
                needed
            });
        }
    }

    /// All edges, by pair.
    pub fn iter(&self) -> impl Iterator<Item = Edge> {
        pairs().flat_map(|(from, to)| {
            self.pairs[from as usize][to as usize]
                .iter()
                .map(move |&(a, b)| Edge { from, to, a, b })
        })
    }

    /// Number of edges.
    pub fn len(&self) -> usize {
        self.pairs.iter().flatten().map(Vec::len).sum()
    }

    /// Removes an edge.
    pub fn remove(&mut self, edge: Edge) {
        self.pairs[edge.from as usize][edge.to as usize].retain(|&e| e != (edge.a, edge.b));
    }

    /// These edges for two runs of the block, one after the other; the second has statements from `n`.
    pub fn twice(&self, n: u32) -> Edges {
        let mut out = self.clone();
        for list in out.pairs.iter_mut().flatten() {
            let second: Vec<_> = list.iter().map(|&(a, b)| (a + n, b + n)).collect();
            list.extend(second);
        }
        out
    }

    /// The statement that the first edge of a pair leads to whose origin is at or after point `point`, `skip` aside.
    fn next(&self, from: usize, to: usize, point: u64, skip: Option<Edge>) -> Option<u32> {
        let list = &self.pairs[from][to];
        let first = list.partition_point(|&(a, _)| 2 * u64::from(a) + 1 < point);
        let skipped = |e: &(u32, u32)| {
            skip.is_some_and(|s| s.from as usize == from && s.to as usize == to && (s.a, s.b) == *e)
        };
        list[first..].iter().find(|e| !skipped(e)).map(|&(_, b)| b)
    }
}

/// All ordered pairs of different engines.
pub fn pairs() -> impl Iterator<Item = (Queue, Queue)> {
    Queue::ALL
        .iter()
        .flat_map(|&from| Queue::ALL.iter().map(move |&to| (from, to)))
        .filter(|(from, to)| from != to)
}

/// Whether the edges of `sets`, `skip` aside, order the end of `edge.a` on `edge.from` before the beginning of `edge.b` on `edge.to`.
pub fn ordered(sets: &[&Edges], skip: Option<Edge>, edge: Edge) -> bool {
    // Per engine, the first point known to come after the end of `edge.a`.
    let mut after = [u64::MAX; ENGINES];
    after[edge.from as usize] = 2 * u64::from(edge.a) + 1;
    let mut changed = true;
    while changed {
        changed = false;
        for (from, to) in pairs().map(|(from, to)| (from as usize, to as usize)) {
            if after[from] == u64::MAX {
                continue;
            }
            let reached = sets
                .iter()
                .filter_map(|set| set.next(from, to, after[from], skip))
                .min();
            if let Some(b) = reached
                && 2 * u64::from(b) < after[to]
            {
                after[to] = 2 * u64::from(b);
                changed = true;
            }
        }
    }
    after[edge.to as usize] <= 2 * u64::from(edge.b)
}

/// Removes edges of `edges` that follow from the others and from `fixed`, the longest first. Returns how many.
pub fn remove_implied(edges: &mut Edges, fixed: &Edges) -> usize {
    let mut candidates: Vec<Edge> = edges.iter().collect();
    candidates.sort_by_key(|e| (std::cmp::Reverse(e.b - e.a), *e));
    let before = candidates.len();
    for edge in candidates {
        if ordered(&[edges, fixed], Some(edge), edge) {
            edges.remove(edge);
        }
    }
    before - edges.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Queue::{Dma0, Dma1, Mxu, Vpu};

    fn edge(from: Queue, to: Queue, a: u32, b: u32) -> Edge {
        Edge { from, to, a, b }
    }

    fn edges(list: &[Edge]) -> Edges {
        let mut out = Edges::default();
        list.iter().for_each(|e| out.add(*e));
        out.reduce();
        out
    }

    #[test]
    fn reduction_is_monotone() {
        let list =
            [(0, 3), (1, 3), (1, 5), (2, 4), (0, 9), (5, 6)].map(|(a, b)| edge(Mxu, Vpu, a, b));
        let kept: Vec<_> = edges(&list).iter().map(|e| (e.a, e.b)).collect();
        assert_eq!(kept, [(1, 3), (2, 4), (5, 6)]);
    }

    #[test]
    fn an_edge_around_two_others_is_implied() {
        let mut e = edges(&[
            edge(Mxu, Vpu, 0, 1),
            edge(Vpu, Dma1, 1, 2),
            edge(Mxu, Dma1, 0, 2),
            edge(Mxu, Dma1, 3, 4),
        ]);
        assert_eq!(remove_implied(&mut e, &Edges::default()), 1);
        assert!(e.iter().all(|e| (e.from, e.to, e.a) != (Mxu, Dma1, 0)));
    }

    #[test]
    fn a_post_after_a_wait_at_the_same_statement_chains_but_not_before() {
        // mxu ends 0 -> vpu begins 1; vpu ends 0 -> dma1 begins 1: the second edge starts before the first arrives.
        let e = edges(&[edge(Mxu, Vpu, 0, 1), edge(Vpu, Dma1, 0, 1)]);
        assert!(!ordered(&[&e], None, edge(Mxu, Dma1, 0, 9)));
        let fixed = edges(&[edge(Dma0, Mxu, 4, 4)]);
        assert!(
            ordered(&[&e, &fixed], None, edge(Dma0, Mxu, 4, 4)),
            "within one stream"
        );
    }
}
