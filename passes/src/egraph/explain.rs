//! Proofs of what was fused, and reasons for what was not.
//!
//! A proof is made for one fused op at a time: the imported nodes that it stands for are cut out as a graph of their own
//! ([`region`]), saturated again with egg's explanations on, and the chain of rules from the imported term to the fused one
//! is printed step by step ([`term`]). So a proof is short however deep the model is, and a compile without proofs pays
//! nothing for them. [`near`] looks for what resembles an attention, a norm or a rotation and was not fused.

mod near;
mod region;
mod term;

use std::collections::BTreeMap;
use std::fmt;

use egg::{EGraph, Id, Language, RecExpr};
use llmc_ir::{Graph, Op};

pub use near::{Failed, NearMiss};

use super::analysis::TypeAnalysis;
use super::extract::Extraction;
use super::lang::Lang;
use super::{EqsatError, Explored, Rule, convert, explore_explained};
use crate::cost::CostModel;
use region::Region;
use term::Terms;

/// One rule applied to one part of a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule.
    pub rule: String,
    /// What it says.
    pub meaning: &'static str,
    /// Its right side was there, and its left side is put in place.
    pub backwards: bool,
    /// The part that changes.
    pub before: String,
    /// What it becomes.
    pub after: String,
}

/// Why a fused op is equal to the imported nodes that it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The fused op with its attributes.
    pub op: String,
    /// Names of the model's nodes that it stands for.
    pub origin: Vec<String>,
    /// The imported nodes, as lines of the graph's text.
    pub given: Vec<String>,
    /// The rules, in order.
    pub steps: Vec<Step>,
    /// What the imported nodes become.
    pub goal: String,
}

impl Proof {
    /// The chain of rules, by name: equal for the same op of another layer.
    pub fn chain(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step.rule.as_str()).collect()
    }
}

/// What was fused in a graph and why, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// The graph's name.
    pub entry: String,
    /// Proofs of the fused ops, in the order of the graph.
    pub proofs: Vec<Proof>,
    /// What looks like something that could be fused.
    pub near_misses: Vec<NearMiss>,
}

/// Ops that only rules make of what exporters write.
fn is_fused(op: &Op) -> bool {
    matches!(
        op,
        Op::RmsNorm { .. }
            | Op::LayerNorm { .. }
            | Op::Rope { .. }
            | Op::Attention { .. }
            | Op::SiluMul
    )
}

/// Saturates a graph as a compile does, and explains the result.
///
/// # Errors
/// Only on bugs of the rules; see [`EqsatError`].
pub fn explain(
    graph: &Graph,
    rules: &[Rule],
    costs: &dyn CostModel,
) -> Result<Explained, EqsatError> {
    let Explored {
        egraph, classes, ..
    } = super::explore(graph, rules)?;
    let roots = convert::roots(graph, &classes);
    let extraction = Extraction::new(&egraph, &roots, |class, node| {
        convert::cost(&egraph, class, node, costs)
    });
    let mut found: Vec<(usize, Proof)> = Vec::new();
    let members = region::members(&egraph, &classes);
    for (class, node) in extraction.iter() {
        let Some((op, _)) = node.to_op(|id| egraph[id].data.attr.as_ref()) else {
            continue;
        };
        let imported = members.get(&class).into_iter().flatten();
        let was_there = imported.into_iter().any(|value| *graph.op(*value) == op);
        if !is_fused(&op) || was_there {
            continue;
        }
        if let Some(region) = Region::cut(graph, &egraph, &members, &extraction, class) {
            found.push((
                region.root_in_graph().index(),
                prove(graph, &region, &op, rules, costs)?,
            ));
        }
    }
    found.sort_by(|a, b| (a.0, &a.1.op).cmp(&(b.0, &b.1.op)));
    Ok(Explained {
        entry: graph.name.clone(),
        proofs: found.into_iter().map(|(_, proof)| proof).collect(),
        near_misses: near::near_misses(graph, &egraph, &members, &extraction, rules)?,
    })
}

/// The proof that a region is what it was fused to.
fn prove(
    graph: &Graph,
    region: &Region,
    op: &Op,
    rules: &[Rule],
    costs: &dyn CostModel,
) -> Result<Proof, EqsatError> {
    let Explored {
        mut egraph,
        classes,
        ..
    } = explore_explained(&region.graph, rules)?;
    let roots = convert::roots(&region.graph, &classes);
    let extraction = Extraction::new(&egraph, &roots, |class, node| {
        convert::cost(&egraph, class, node, costs)
    });
    let lost = || EqsatError::Extract("a proof has no root".to_string());
    let root = classes.get(&region.root).copied().ok_or_else(lost)?;
    let left = egraph.id_to_expr(root);
    let right = chosen_term(&egraph, &extraction, root).ok_or_else(lost)?;
    let terms = Terms::new(graph, region, &egraph, &classes);
    let mut explanation = egraph.explain_equivalence(&left, &right);
    let flat = explanation.make_flat_explanation();
    let meanings: BTreeMap<&str, &'static str> =
        rules.iter().map(|rule| (rule.name, rule.meaning)).collect();
    let steps = flat.windows(2).filter_map(|pair| {
        let changed = term::changed(&pair[0], &pair[1])?;
        let rule = changed.rule.to_string();
        Some(Step {
            meaning: meanings.get(rule.as_str()).copied().unwrap_or_default(),
            rule,
            backwards: changed.backwards,
            before: terms.text(changed.before),
            after: terms.text(changed.after),
        })
    });
    // What is used twice is derived twice; once is enough for a reader.
    let mut distinct: Vec<Step> = Vec::new();
    for step in steps {
        if !distinct.contains(&step) {
            distinct.push(step);
        }
    }
    let goal = flat.last().map(|term| terms.text(term)).unwrap_or_default();
    Ok(Proof {
        op: op.to_string(),
        origin: region.origin(graph),
        given: region.lines(graph),
        steps: distinct,
        goal,
    })
}

/// The extracted term of a class.
fn chosen_term(
    egraph: &EGraph<Lang, TypeAnalysis>,
    extraction: &Extraction<Lang>,
    root: Id,
) -> Option<RecExpr<Lang>> {
    fn add(
        egraph: &EGraph<Lang, TypeAnalysis>,
        extraction: &Extraction<Lang>,
        class: Id,
        done: &mut BTreeMap<Id, Id>,
        term: &mut RecExpr<Lang>,
    ) -> Option<Id> {
        let class = egraph.find(class);
        if let Some(id) = done.get(&class) {
            return Some(*id);
        }
        let mut node = extraction.node(class)?.clone();
        for child in node.children_mut() {
            *child = add(egraph, extraction, *child, done, term)?;
        }
        let id = term.add(node);
        done.insert(class, id);
        Some(id)
    }
    let mut term = RecExpr::default();
    add(egraph, extraction, root, &mut BTreeMap::new(), &mut term)?;
    Some(term)
}

/// One proof in full; of those with the same chain of rules only what differs.
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "entry {}: {} fused, {} near misses",
            self.entry,
            self.proofs.len(),
            self.near_misses.len()
        )?;
        let mut shown: Vec<(&Proof, usize)> = Vec::new();
        for (i, proof) in self.proofs.iter().enumerate() {
            let number = i + 1;
            let same = |(other, _): &&(&Proof, usize)| {
                other.op == proof.op && other.chain() == proof.chain()
            };
            match shown.iter().find(same) {
                Some((_, like)) => {
                    let names = proof.origin.join("\", \"");
                    writeln!(f, "\n{number}. {}, as {like}: \"{names}\"", proof.op)?;
                }
                None => {
                    write!(f, "\n{number}. {proof}")?;
                    shown.push((proof, number));
                }
            }
        }
        self.near_misses
            .iter()
            .try_for_each(|miss| write!(f, "\n{miss}"))
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n   given", self.op)?;
        for line in &self.given {
            writeln!(f, "     {line}")?;
        }
        writeln!(f, "   by")?;
        for (i, step) in self.steps.iter().enumerate() {
            let way = if step.backwards {
                ", read backwards"
            } else {
                ""
            };
            writeln!(f, "     {:2}  {}{way}: {}", i + 1, step.rule, step.meaning)?;
            writeln!(f, "           {}", step.before)?;
            writeln!(f, "         = {}", step.after)?;
        }
        writeln!(f, "   it is\n     {}", self.goal)
    }
}
