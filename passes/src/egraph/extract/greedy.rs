//! One pass over the classes: the cheapest set of needed classes for each.
//!
//! Why the result has no cycles: every inner node costs at least 1, stored totals only ever decrease, and a stored
//! total is larger than the totals of its operands were. A cycle of choices would have to decrease all the way round.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use egg::Language;

use super::exact::Solution;
use super::problem::{Candidate, Problem};

/// What one class extracts to.
#[derive(Clone, Debug)]
struct Choice {
    /// Index of the candidate.
    candidate: usize,
    /// Sum of `parts`.
    total: u64,
    /// Classes this choice needs (itself included) and the cost of each, by class.
    parts: Vec<(usize, u64)>,
}

/// A first solution.
pub fn choose<L: Language>(problem: &Problem<L>) -> Solution {
    let mut users: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); problem.len()];
    for (class, candidates) in problem.candidates.iter().enumerate() {
        for operand in candidates.iter().flat_map(|c| &c.operands) {
            users[*operand].insert(class);
        }
    }
    let mut choices: Vec<Option<Choice>> = vec![None; problem.len()];
    // By number: operands come first, so most classes are looked at once, when their operands are settled.
    let mut todo: BTreeSet<usize> = (0..problem.len()).collect();
    while let Some(class) = todo.pop_first() {
        let mut changed = false;
        for (index, candidate) in problem.candidates[class].iter().enumerate() {
            let Some(new) = evaluate(class, index, candidate, &choices) else {
                continue;
            };
            let key = |choice: &Choice| (choice.total, choice.candidate);
            if choices[class]
                .as_ref()
                .is_none_or(|old| key(&new) < key(old))
            {
                choices[class] = Some(new);
                changed = true;
            }
        }
        if changed {
            todo.extend(&users[class]);
        }
    }
    Solution::of(problem, |class| {
        choices[class].as_ref().map(|choice| choice.candidate)
    })
}

/// The choice of a candidate for `class`, if all operands can be extracted without needing `class` itself.
fn evaluate<L>(
    class: usize,
    index: usize,
    candidate: &Candidate<L>,
    choices: &[Option<Choice>],
) -> Option<Choice> {
    let mut parts = vec![(class, candidate.cost)];
    for operand in &candidate.operands {
        let needed = &choices[*operand].as_ref()?.parts;
        if needed.binary_search_by_key(&class, |part| part.0).is_ok() {
            return None;
        }
        parts = union(&parts, needed);
    }
    Some(Choice {
        candidate: index,
        total: parts.iter().map(|part| part.1).sum(),
        parts,
    })
}

/// Union of two sorted sets; where both know a class, the cheaper cost counts.
fn union(a: &[(usize, u64)], b: &[(usize, u64)]) -> Vec<(usize, u64)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        match a[i].0.cmp(&b[j].0) {
            Ordering::Less => {
                out.push(a[i]);
                i += 1;
            }
            Ordering::Greater => {
                out.push(b[j]);
                j += 1;
            }
            Ordering::Equal => {
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
