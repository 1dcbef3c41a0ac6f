//! Extraction that counts shared nodes once.
//!
//! egg's own `Extractor` costs *trees*: with shared operands its costs double at every layer until all
//! alternatives look alike, and fusions are lost. Here each e-class carries the set of classes its best
//! choice needs, together with what each of them costs, so that a shared operand is paid for once
//! ("greedy DAG" extraction). It is exact on graphs whose alternatives do not compete for shared operands;
//! it does not take a rewrite that pays only for two classes *together*.
//!
//! Why the result has no cycles: every inner node costs at least 1, stored totals only ever decrease, and a
//! stored total is larger than the totals of its operands were. A cycle of choices would have to decrease
//! all the way round.

use std::collections::{BTreeMap, BTreeSet};

use egg::{Analysis, EGraph, Id, Language};

/// What one e-class extracts to.
#[derive(Clone, Debug)]
struct Choice<L> {
    node: L,
    /// Sum of `parts`.
    total: u64,
    /// Classes this choice needs (itself included) and the cost of each, sorted by class.
    parts: Vec<(Id, u64)>,
}

/// The chosen node of every e-class that can be extracted.
#[derive(Clone, Debug)]
pub struct Extraction<L> {
    choices: BTreeMap<Id, Choice<L>>,
}

impl<L: Language> Extraction<L> {
    /// Chooses one node per e-class. `cost` gives the cost of a node, or `None` if it must not be extracted.
    pub fn new<N: Analysis<L>>(
        egraph: &EGraph<L, N>,
        cost: impl Fn(Id, &L) -> Option<u64>,
    ) -> Extraction<L> {
        let mut classes: Vec<Id> = egraph.classes().map(|class| class.id).collect();
        classes.sort_unstable();
        let mut candidates: BTreeMap<Id, Vec<(L, u64)>> = BTreeMap::new();
        let mut users: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
        for class in &classes {
            for node in &egraph[*class].nodes {
                let Some(own) = cost(*class, node) else {
                    continue;
                };
                let own = if node.is_leaf() { own } else { own.max(1) };
                let node = node.clone().map_children(|child| egraph.find(child));
                for child in node.children() {
                    users.entry(*child).or_default().insert(*class);
                }
                candidates.entry(*class).or_default().push((node, own));
            }
        }
        let rank = operands_first(&classes, &candidates);
        let mut choices: BTreeMap<Id, Choice<L>> = BTreeMap::new();
        // Classes to look at, by rank: so most are looked at once, when their operands are settled.
        let mut todo: BTreeSet<(usize, Id)> =
            classes.iter().map(|class| (rank[class], *class)).collect();
        while let Some((_, class)) = todo.pop_first() {
            let mut changed = false;
            for (node, own) in candidates.get(&class).into_iter().flatten() {
                let Some(new) = evaluate(class, node, *own, &choices) else {
                    continue;
                };
                let better = choices
                    .get(&class)
                    .is_none_or(|old| (new.total, &new.node) < (old.total, &old.node));
                if better {
                    choices.insert(class, new);
                    changed = true;
                }
            }
            if changed {
                let users = users.get(&class).into_iter().flatten();
                todo.extend(users.map(|user| (rank[user], *user)));
            }
        }
        Extraction { choices }
    }

    /// The chosen node of a (canonical) class, children canonical; `None` if the class cannot be extracted.
    pub fn node(&self, class: Id) -> Option<&L> {
        self.choices.get(&class).map(|choice| &choice.node)
    }

    /// Cost of everything the `roots` need, shared classes counted once.
    pub fn total(&self, roots: &[Id]) -> u64 {
        let mut parts: BTreeMap<Id, u64> = BTreeMap::new();
        for root in roots {
            if let Some(choice) = self.choices.get(root) {
                parts.extend(choice.parts.iter().copied());
            }
        }
        parts.values().sum()
    }
}

/// Numbers classes so that operands come before users, except where classes need each other.
fn operands_first<L: Language>(
    classes: &[Id],
    candidates: &BTreeMap<Id, Vec<(L, u64)>>,
) -> BTreeMap<Id, usize> {
    let mut rank = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut stack: Vec<(Id, bool)> = classes.iter().rev().map(|class| (*class, false)).collect();
    while let Some((class, operands_done)) = stack.pop() {
        if operands_done {
            rank.insert(class, rank.len());
        } else if seen.insert(class) {
            stack.push((class, true));
            for (node, _) in candidates.get(&class).into_iter().flatten() {
                stack.extend(node.children().iter().map(|child| (*child, false)));
            }
        }
    }
    rank
}

/// The choice of `node` for `class`, if all operands can be extracted without needing `class` itself.
fn evaluate<L: Language>(
    class: Id,
    node: &L,
    own: u64,
    choices: &BTreeMap<Id, Choice<L>>,
) -> Option<Choice<L>> {
    let mut parts = vec![(class, own)];
    for child in node.children() {
        let operand = choices.get(child)?;
        if operand
            .parts
            .binary_search_by_key(&class, |part| part.0)
            .is_ok()
        {
            return None;
        }
        parts = union(&parts, &operand.parts);
    }
    let total = parts.iter().map(|part| part.1).sum();
    Some(Choice {
        node: node.clone(),
        total,
        parts,
    })
}

/// Union of two sorted sets; where both know a class, the cheaper cost counts.
fn union(a: &[(Id, u64)], b: &[(Id, u64)]) -> Vec<(Id, u64)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        match a[i].0.cmp(&b[j].0) {
            std::cmp::Ordering::Less => {
                out.push(a[i]);
                i += 1;
            }
            std::cmp::Ordering::Greater => {
                out.push(b[j]);
                j += 1;
            }
            std::cmp::Ordering::Equal => {
                out.push((a[i].0, a[i].1.min(b[j].1)));
                i += 1;
                j += 1;
            }
        }
    }
    out.extend_from_slice(&a[i..]);
    out.extend_from_slice(&b[j..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use egg::{RecExpr, SymbolLang};

    /// Adds `(op arg..)` of already added classes.
    fn add(egraph: &mut EGraph<SymbolLang, ()>, op: &str, args: &[Id]) -> Id {
        egraph.add(SymbolLang::new(op, args.to_vec()))
    }

    #[test]
    fn shared_operands_are_paid_once() {
        // f(s, s) with s = 10 is cheaper than g = 15 although as a tree it costs 21.
        let mut egraph: EGraph<SymbolLang, ()> = EGraph::default();
        let s = add(&mut egraph, "s", &[]);
        let f = add(&mut egraph, "f", &[s, s]);
        let g = add(&mut egraph, "g", &[]);
        egraph.union(f, g);
        egraph.rebuild();
        let cost = |_: Id, node: &SymbolLang| {
            Some(match node.op.as_str() {
                "s" => 10,
                "g" => 15,
                _ => 1,
            })
        };
        let root = egraph.find(f);
        let extraction = Extraction::new(&egraph, cost);
        assert_eq!(
            extraction.node(root).map(|node| node.op.as_str()),
            Some("f")
        );
        assert_eq!(extraction.total(&[root]), 11);
    }

    #[test]
    fn forbidden_nodes_and_cycles_are_not_taken() {
        // x = wrap(x) = real; `abstract` is not extractable.
        let mut egraph: EGraph<SymbolLang, ()> = EGraph::default();
        let expr: RecExpr<SymbolLang> = "(real a)".parse().unwrap();
        let x = egraph.add_expr(&expr);
        let wrapped = add(&mut egraph, "wrap", &[x]);
        egraph.union(x, wrapped);
        let hidden = add(&mut egraph, "abstract", &[]);
        egraph.union(x, hidden);
        egraph.rebuild();
        let extraction = Extraction::new(&egraph, |_, node| {
            (node.op.as_str() != "abstract").then_some(1)
        });
        let root = egraph.find(x);
        assert_eq!(
            extraction.node(root).map(|node| node.op.as_str()),
            Some("real")
        );
    }
}
