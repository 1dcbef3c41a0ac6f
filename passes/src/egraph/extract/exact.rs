//! Branch and bound over the choices.
//!
//! Classes are decided users first. What is decided and what that needs for sure, whatever is chosen further down, bounds
//! the cost from below: the `sure` set of a class is itself and what all of its candidates need. Candidates that another one of
//! their class beats whatever else is chosen are not tried.

use std::collections::{BTreeMap, BTreeSet};

use egg::Language;

use super::Extraction;
use super::problem::Problem;

/// A chosen candidate for each needed class.
#[derive(Clone, Debug)]
pub struct Solution {
    chosen: BTreeMap<usize, usize>,
    cost: u64,
    bound: u64,
}

impl Solution {
    /// What the roots need under a choice; its bound is not known yet. Classes without a choice are left out.
    pub fn of<L: Language>(
        problem: &Problem<L>,
        choice: impl Fn(usize) -> Option<usize>,
    ) -> Solution {
        let mut chosen = BTreeMap::new();
        let mut todo = problem.roots.clone();
        let mut cost = 0u64;
        while let Some(class) = todo.pop() {
            let Some(index) = choice(class).filter(|_| !chosen.contains_key(&class)) else {
                continue;
            };
            chosen.insert(class, index);
            let candidate = &problem.candidates[class][index];
            cost = cost.saturating_add(candidate.cost);
            todo.extend(&candidate.operands);
        }
        Solution {
            chosen,
            cost,
            bound: 0,
        }
    }

    /// By the e-graph's names.
    pub fn named<L: Language>(self, problem: &Problem<L>) -> Extraction<L> {
        let named = |(class, index): (usize, usize)| {
            let node = problem.candidates[class][index].node.clone();
            (problem.ids[class], node)
        };
        Extraction {
            nodes: self.chosen.into_iter().map(named).collect(),
            cost: self.cost,
            bound: self.bound,
        }
    }
}

/// Classes of the largest problem that is searched: the sets of classes grow with its square. One layer has 200.
const CLASSES: usize = 4096;

/// Searches for something cheaper than `first` in at most `steps` choices.
pub fn improve<L: Language>(problem: &Problem<L>, first: Solution, steps: usize) -> Solution {
    let extractable = |root: &usize| first.chosen.contains_key(root);
    if problem.len() > CLASSES || !problem.roots.iter().all(extractable) {
        return first;
    }
    let (kept, sure) = unbeaten(problem);
    let least = |(class, kept): (usize, &Vec<usize>)| {
        let costs = kept.iter().map(|i| problem.candidates[class][*i].cost);
        costs.min().unwrap_or(0)
    };
    let mut search = Search {
        problem,
        least: kept.iter().enumerate().map(least).collect(),
        kept,
        sure,
        best: first,
        steps,
        chosen: BTreeMap::new(),
    };
    let mut needed = Set::new(problem.len());
    for root in &problem.roots {
        needed.add_all(&search.sure[*root]);
    }
    let bound = needed.iter().map(|class| search.least[class]).sum();
    search.decide(problem.roots.iter().copied().collect(), needed, bound);
    let ended = search.steps > 0;
    search.best.bound = if ended { search.best.cost } else { bound };
    search.best
}

struct Search<'a, L> {
    problem: &'a Problem<L>,
    /// The candidates of each class that are tried.
    kept: Vec<Vec<usize>>,
    sure: Vec<Set>,
    least: Vec<u64>,
    best: Solution,
    steps: usize,
    chosen: BTreeMap<usize, usize>,
}

impl<L: Language> Search<'_, L> {
    /// Tries all choices for the classes that are `open` and what they need. `bound` is the cost of what is chosen plus
    /// the least for the rest of `needed`.
    fn decide(&mut self, mut open: BTreeSet<usize>, mut needed: Set, mut bound: u64) {
        let problem = self.problem;
        // Most classes leave no choice: they are taken without recursion.
        let mut taken = Vec::new();
        while bound < self.best.cost && self.steps > 0 {
            let Some(class) = open.pop_last() else {
                if self.acyclic() {
                    self.best = Solution::of(problem, |class| self.chosen.get(&class).copied());
                }
                break;
            };
            if let [index] = self.kept[class][..] {
                taken.push(class);
                self.take(class, index, &mut open, &mut needed, &mut bound);
                continue;
            }
            for index in self.kept[class].clone() {
                if self.steps == 0 {
                    break;
                }
                self.steps -= 1;
                let (mut open, mut needed, mut bound) = (open.clone(), needed.clone(), bound);
                self.take(class, index, &mut open, &mut needed, &mut bound);
                self.decide(open, needed, bound);
                self.chosen.remove(&class);
            }
            break;
        }
        for class in taken {
            self.chosen.remove(&class);
        }
    }

    /// Chooses a candidate for an open class.
    fn take(
        &mut self,
        class: usize,
        index: usize,
        open: &mut BTreeSet<usize>,
        needed: &mut Set,
        bound: &mut u64,
    ) {
        let candidate = &self.problem.candidates[class][index];
        *bound = *bound + candidate.cost - self.least[class];
        self.chosen.insert(class, index);
        for operand in &candidate.operands {
            for new in needed.add_all(&self.sure[*operand]) {
                *bound += self.least[new];
            }
            if !self.chosen.contains_key(operand) {
                open.insert(*operand);
            }
        }
    }

    /// True if no chosen class needs itself.
    fn acyclic(&self) -> bool {
        let mut done: BTreeSet<usize> = BTreeSet::new();
        let mut open: BTreeSet<usize> = BTreeSet::new();
        let mut stack: Vec<(usize, bool)> = self
            .problem
            .roots
            .iter()
            .map(|root| (*root, false))
            .collect();
        while let Some((class, operands_done)) = stack.pop() {
            if operands_done {
                done.insert(class);
            } else if !done.contains(&class) {
                if !open.insert(class) {
                    return false;
                }
                stack.push((class, true));
                let chosen = self.chosen.get(&class);
                let candidate = chosen.map(|index| &self.problem.candidates[class][*index]);
                let operands = candidate.iter().flat_map(|c| &c.operands);
                stack.extend(operands.map(|operand| (*operand, false)));
            }
        }
        true
    }
}

/// The candidates of each class that may be part of a cheapest choice, and the `sure` sets when only those are there.
///
/// A candidate is beaten by one that costs no more and whose operands the candidate needs anyway: in any choice the other one could
/// take its place, and what it needs would be there already. That does not close a cycle, because what a
/// candidate needs does not need its class. One that needs its own class is part of no choice at all.
fn unbeaten<L: Language>(problem: &Problem<L>) -> (Vec<Vec<usize>>, Vec<Set>) {
    let all = problem.candidates.iter().map(|c| (0..c.len()).collect());
    let mut kept: Vec<Vec<usize>> = all.collect();
    loop {
        let sure = sure(problem, &kept);
        let mut beaten = false;
        for (class, kept) in kept.iter_mut().enumerate() {
            let candidates = &problem.candidates[class];
            for index in kept.clone().into_iter().rev() {
                let candidate = &candidates[index];
                let mut needs = Set::new(problem.len());
                for operand in &candidate.operands {
                    needs.add_all(&sure[*operand]);
                }
                let beats = |other: &usize| {
                    let other = &candidates[*other];
                    other.cost <= candidate.cost && other.operands.iter().all(|o| needs.has(*o))
                };
                let others = kept.iter().any(|other| *other != index && beats(other));
                if others || kept.len() > 1 && needs.has(class) {
                    kept.retain(|i| *i != index);
                    beaten = true;
                }
            }
        }
        if !beaten {
            return (kept, sure);
        }
    }
}

/// For each class the classes that it needs whatever is chosen of the candidates `kept`: the greatest solution of
/// `sure(c) = {c} and what is in the union of sure(operands) for every candidate of c`.
fn sure<L: Language>(problem: &Problem<L>, kept: &[Vec<usize>]) -> Vec<Set> {
    let full = Set::full(problem.len());
    let mut sure = vec![full.clone(); problem.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for (class, candidates) in problem.candidates.iter().enumerate() {
            let mut all = full.clone();
            for index in &kept[class] {
                let mut one = Set::new(problem.len());
                for operand in &candidates[*index].operands {
                    one.add_all(&sure[*operand]);
                }
                all.keep(&one);
            }
            all.add(class);
            if all != sure[class] {
                sure[class] = all;
                changed = true;
            }
        }
    }
    sure
}

/// A set of classes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn new(len: usize) -> Set {
        Set(vec![0; len.div_ceil(64)])
    }

    fn full(len: usize) -> Set {
        let mut set = Set::new(len);
        (0..len).for_each(|i| set.add(i));
        set
    }

    fn has(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 == 1
    }

    fn add(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }

    /// Adds all of `other`; returns what is new.
    fn add_all(&mut self, other: &Set) -> Vec<usize> {
        let mut new = Vec::new();
        for (word, (mine, others)) in self.0.iter_mut().zip(&other.0).enumerate() {
            let mut bits = others & !*mine;
            *mine |= others;
            while bits != 0 {
                new.push(64 * word + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
        new
    }

    fn keep(&mut self, other: &Set) {
        self.0
            .iter_mut()
            .zip(&other.0)
            .for_each(|(mine, others)| *mine &= others);
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..64 * self.0.len()).filter(|i| self.has(*i))
    }
}
