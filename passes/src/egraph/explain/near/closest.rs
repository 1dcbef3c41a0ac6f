//! How far the left side of a rule matches, and the first place where it does not.

use std::collections::{BTreeMap, BTreeSet};

use egg::{EGraph, ENodeOrVar, Id, Language, Pattern, PatternAst, Var};

use super::{Around, describe};
use crate::egraph::Rule;
use crate::egraph::analysis::TypeAnalysis;
use crate::egraph::explain::region::{Whole, line};
use crate::egraph::lang::Lang;

/// Rules that are shown at most.
const MOST: usize = 2;
/// Nodes of a left side that must be there for it to be near.
const LEAST: usize = 3;

/// A rule whose left side nearly matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closest {
    /// The rule.
    pub rule: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Its left side.
    pub form: &'static str,
    /// The part of it that is not there.
    pub wants: String,
    /// What is there instead.
    pub found: String,
}

/// The rules that match most of what is around an anchor.
pub fn closest(whole: &Whole, around: &Around, rules: &[(&Rule, Pattern<Lang>)]) -> Vec<Closest> {
    let mut fits: Vec<(&Rule, &PatternAst<Lang>, Fit)> = Vec::new();
    for (rule, lhs) in rules {
        let at = |root: Id| fit(whole.egraph, &lhs.ast, lhs.ast.root(), root, Fit::default());
        let fit = around
            .all()
            .map(at)
            .filter(|fit| fit.broken.is_some())
            .max_by_key(|fit| (fit.visited.contains(&around.anchor), fit.matched));
        fits.extend(fit.map(|fit| (*rule, &lhs.ast, fit)));
    }
    let score = |fit: &Fit| (fit.visited.contains(&around.anchor), fit.matched);
    let best = fits.iter().map(|(.., fit)| score(fit)).max();
    let best = best.filter(|(anchored, matched)| *anchored || *matched >= LEAST);
    let fits = fits
        .into_iter()
        .filter(|(.., fit)| Some(score(fit)) == best);
    let shown = fits.filter_map(|(rule, ast, fit)| {
        let (at, class) = fit.broken?;
        let values = whole.members.get(&class);
        let values = values.and_then(|values| values.first());
        let found = values.map(|value| line(whole.graph, *value));
        Some(Closest {
            rule: rule.name,
            meaning: rule.meaning,
            form: rule.lhs,
            wants: text(ast, at),
            found: found.unwrap_or_else(|| describe(whole, class)),
        })
    });
    shown.take(MOST).collect()
}

/// A match of a part of a pattern.
#[derive(Clone, Default)]
struct Fit {
    /// Nodes of the pattern that are there.
    matched: usize,
    /// The first node of the pattern that is not, and the class where it should be.
    broken: Option<(Id, Id)>,
    /// Classes of the nodes that are there.
    visited: BTreeSet<Id>,
    vars: BTreeMap<Var, Id>,
}

/// Goes on with `fit` at a node of the pattern and a class: by the node of the class with which most matches.
fn fit(
    egraph: &EGraph<Lang, TypeAnalysis>,
    ast: &PatternAst<Lang>,
    at: Id,
    class: Id,
    mut before: Fit,
) -> Fit {
    let class = egraph.find(class);
    let node = match &ast[at] {
        ENodeOrVar::Var(var) => {
            if *before.vars.entry(*var).or_insert(class) != class {
                before.broken.get_or_insert((at, class));
            }
            return before;
        }
        ENodeOrVar::ENode(node) => node,
    };
    let mut best: Option<Fit> = None;
    for candidate in &egraph[class].nodes {
        if !node.matches(candidate) {
            continue;
        }
        let mut found = before.clone();
        found.matched += 1;
        found.visited.insert(class);
        for (at, class) in node.children().iter().zip(candidate.children()) {
            found = fit(egraph, ast, *at, *class, found);
        }
        let better = |best: &Fit| {
            // A number where something else is looked for says less than an op.
            let score = |fit: &Fit| match fit.broken {
                None => (fit.matched, 2),
                Some((_, class)) => (fit.matched, i32::from(egraph[class].data.scalar.is_none())),
            };
            score(&found) > score(best)
        };
        if best.as_ref().is_none_or(better) {
            best = Some(found);
        }
    }
    best.unwrap_or_else(|| {
        before.broken.get_or_insert((at, class));
        before
    })
}

/// A part of a pattern as text.
fn text(ast: &PatternAst<Lang>, at: Id) -> String {
    match &ast[at] {
        ENodeOrVar::Var(var) => format!("{var} once more"),
        ENodeOrVar::ENode(node) => {
            let part = |child: &Id| match &ast[*child] {
                ENodeOrVar::Var(var) => var.to_string(),
                ENodeOrVar::ENode(_) => text(ast, *child),
            };
            let parts: Vec<String> = node.children().iter().map(part).collect();
            match parts.is_empty() {
                true => node.to_string(),
                false => format!("({node} {})", parts.join(" ")),
            }
        }
    }
}
