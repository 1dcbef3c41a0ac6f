//! Proofs of what was fused, and reasons for what was not.
//!
//! A proof is made for one fused op at a time: the imported nodes that it stands for are cut out as a graph of their own
//! ([`region`]), saturated again with egg's explanations on, and the chain of rules from the imported term to the fused one
//! is printed step by step ([`term`]). So a proof is short however deep the model is, and a compile without proofs pays
//! nothing for them. [`near`] looks for what resembles an attention, a norm or a rotation and was not fused.

mod names;
mod near;
mod region;
mod show;
mod term;

use std::collections::{BTreeMap, BTreeSet};

use egg::{EGraph, Id, Language, PatternAst, RecExpr};
use llmc_ir::{Graph, Op, UnaryOp, ValueId, regions};

pub use near::{Closest, Failed, NearMiss};

use super::analysis::TypeAnalysis;
use super::extract::Extraction;
use super::lang::Lang;
use super::{EqsatError, Explored, Rule, convert, explore_explained};
use crate::cost::CostModel;
use region::{Region, Whole};
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
    /// The imported value that this is about, if it is one.
    pub value: Option<String>,
    /// The side of the rule that was there, its variables replaced by what they stand for.
    pub before: String,
    /// The other side.
    pub after: String,
}

/// Why a fused op is equal to the imported nodes that it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The fused op with its attributes.
    pub op: String,
    /// Names of the model's nodes that it stands for; in a repeat those of the first turn.
    pub origin: Vec<String>,
    /// Turns of the repeat that it is in.
    pub turns: Option<usize>,
    /// What comes from outside: values, constants, other fused ops by the number of their proof.
    pub reads: Vec<String>,
    /// The imported nodes, as lines of the graph's text.
    pub given: Vec<String>,
    /// The rules, in order.
    pub steps: Vec<Step>,
    /// The imported value that was shown to be `goal`.
    pub value: String,
    /// What the imported nodes become.
    pub goal: String,
}

impl Proof {
    /// The chain of rules, by name: equal for the same op of another layer.
    pub fn chain(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step.rule.as_str()).collect()
    }
}

/// A node that fusion left as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Names of the model's nodes.
    pub origin: Vec<String>,
    /// The node as text.
    pub text: String,
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
    /// Nodes of the model that are what they were.
    pub kept: Vec<Kept>,
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
            | Op::Unary(UnaryOp::Gelu | UnaryOp::GeluTanh)
    )
}

/// What looks like something that could be fused, and was not.
///
/// # Errors
/// Only on bugs of the rules; see [`EqsatError`].
pub fn near_misses(
    graph: &Graph,
    rules: &[Rule],
    costs: &dyn CostModel,
) -> Result<Vec<NearMiss>, EqsatError> {
    let Explored {
        egraph, classes, ..
    } = super::explore(graph, rules)?;
    let roots = convert::roots(graph, &classes);
    let extraction = Extraction::new(&egraph, &roots, |class, node| {
        convert::cost(&egraph, class, node, costs)
    });
    let whole = Whole {
        graph,
        egraph: &egraph,
        members: &region::members(&egraph, &classes),
        extraction: &extraction,
        numbers: BTreeMap::new(),
    };
    near::near_misses(&whole, rules)
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
    let members = region::members(&egraph, &classes);
    let mut whole = Whole {
        graph,
        egraph: &egraph,
        members: &members,
        extraction: &extraction,
        numbers: BTreeMap::new(),
    };
    let mut fused = Vec::new();
    let mut kept = BTreeSet::new();
    for (class, node) in extraction.iter() {
        let Some((op, _)) = node.to_op(|id| egraph[id].data.attr.as_ref()) else {
            continue;
        };
        let imported = members.get(&class).into_iter().flatten();
        let was_there = imported.into_iter().find(|value| *graph.op(**value) == op);
        if let Some(value) = was_there {
            kept.insert(*value);
        } else if is_fused(&op) {
            fused.extend(whole.root(class).map(|root| (root, class, op)));
        }
    }
    fused.sort_by_key(|(root, class, _)| (*root, *class));
    whole.numbers = fused
        .iter()
        .zip(1..)
        .map(|((_, class, _), n)| (*class, n))
        .collect();
    let turns: BTreeMap<_, _> = regions(graph)
        .unwrap_or_default()
        .into_iter()
        .flat_map(|region| {
            region
                .members
                .into_iter()
                .map(move |value| (value, region.count))
        })
        .collect();
    let book = Book::new(rules)?;
    let mut proofs = Vec::new();
    for (root, class, op) in fused {
        let mut proof = match Region::cut(&whole, class) {
            Some(region) => book.prove(graph, &region, &op, costs)?,
            None => Proof::too_large(graph, root, &op),
        };
        proof.turns = turns.get(&root).copied();
        proofs.push(proof);
    }
    let kept = kept.into_iter().map(|value| Kept {
        origin: graph.origin(value).to_vec(),
        text: region::line(graph, value),
    });
    Ok(Explained {
        entry: graph.name.clone(),
        proofs,
        near_misses: near::near_misses(&whole, rules)?,
        kept: kept.filter(|kept| !kept.origin.is_empty()).collect(),
    })
}

impl Proof {
    /// What is said of an op that stands for more nodes than a proof should have.
    fn too_large(graph: &Graph, root: ValueId, op: &Op) -> Proof {
        Proof {
            op: op.to_string(),
            origin: graph.origin(root).to_vec(),
            turns: None,
            reads: Vec::new(),
            given: Vec::new(),
            steps: Vec::new(),
            value: term::value_name(graph, root),
            goal: op.to_string(),
        }
    }
}

/// Rules as proofs show them.
struct Book<'a> {
    rules: &'a [Rule],
    /// Meaning, left and right side by name.
    sides: BTreeMap<&'a str, (&'static str, PatternAst<Lang>, PatternAst<Lang>)>,
}

impl<'a> Book<'a> {
    fn new(rules: &'a [Rule]) -> Result<Book<'a>, EqsatError> {
        let mut sides = BTreeMap::new();
        for rule in rules {
            let (left, right) = rule.sides().map_err(EqsatError::Rule)?;
            sides.insert(rule.name, (rule.meaning, left.ast, right.ast));
        }
        Ok(Book { rules, sides })
    }

    /// The proof that a region is what it was fused to.
    fn prove(
        &self,
        graph: &Graph,
        region: &Region,
        op: &Op,
        costs: &dyn CostModel,
    ) -> Result<Proof, EqsatError> {
        let Explored {
            mut egraph,
            classes,
            ..
        } = explore_explained(&region.graph, self.rules)?;
        let roots = convert::roots(&region.graph, &classes);
        let extraction = Extraction::new(&egraph, &roots, |class, node| {
            convert::cost(&egraph, class, node, costs)
        });
        let lost = || EqsatError::Extract("a proof has no root".to_string());
        let root = classes.get(&region.root).copied().ok_or_else(lost)?;
        let left = egraph.id_to_expr(root);
        let right = chosen_term(&egraph, &extraction, root).ok_or_else(lost)?;
        let mut explanation = egraph.explain_equivalence(&left, &right);
        let flat = explanation.make_flat_explanation();
        let terms = Terms::new(graph, region, &egraph, &classes);
        let mut steps: Vec<Step> = Vec::new();
        for pair in flat.windows(2) {
            // What is used twice is derived twice; once is enough for a reader.
            let step = self.step(&terms, &pair[0], &pair[1]);
            steps.extend(step.filter(|step| !steps.contains(step)));
        }
        Ok(Proof {
            op: op.to_string(),
            origin: region.origin(graph),
            turns: None,
            reads: region.reads.clone(),
            given: region.lines(graph),
            steps,
            value: term::value_name(graph, region.root_in_graph()),
            goal: flat.last().map(|term| terms.text(term)).unwrap_or_default(),
        })
    }

    /// The step between two neighbouring terms.
    fn step(&self, terms: &Terms, before: &Flat, after: &Flat) -> Option<Step> {
        let changed = term::changed(before, after)?;
        let rule = changed.rule.to_string();
        let (meaning, left, right) = self.sides.get(rule.as_str())?;
        let (from, to) = match changed.backwards {
            false => (left, right),
            true => (right, left),
        };
        let value = terms
            .name(changed.before)
            .or_else(|| terms.name(changed.after));
        Some(Step {
            meaning,
            backwards: changed.backwards,
            value: value.map(String::from),
            before: terms.instance(from, changed.before),
            after: terms.instance(to, changed.after),
            rule,
        })
    }
}

/// A term of an explanation.
type Flat = egg::FlatTerm<Lang>;

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
