//! What looks like something that could be fused and was not, and the condition that failed.
//!
//! Recognition goes by stages (scores, probabilities, attention). A near miss names the first stage that is missing, among what
//! belongs together: up and down from an anchor as far as the products with weights and the caches. If the left side of a rule
//! that makes the stage matches there, its condition failed: the reason is shown with what the rule's variables were. Otherwise
//! the exporter's form is new: the rules that come closest are shown, with the first place where they look for something else
//! ([`closest`]).

mod closest;

use std::collections::BTreeSet;

use egg::{EGraph, ENodeOrVar, Id, Language, Pattern, PatternAst, Searcher};
use llmc_ir::graph::merge_origin;
use llmc_ir::{Op, Origin, ReduceOp, ValueId};

use super::region::{Whole, line};
use super::term::{const_name, value_name};
use crate::egraph::analysis::TypeAnalysis;
use crate::egraph::lang::{Attr, Lang};
use crate::egraph::matched::Match;
use crate::egraph::{EqsatError, Rule};

pub use closest::Closest;

/// How far below and above its anchor something may be.
const BELOW: usize = 9;
const ABOVE: usize = 6;

/// What could have been fused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Looks {
    Attention,
    Norm,
    LayerNorm,
    Rope,
    Gelu,
}

/// A step of recognition: its name, the nodes that show that it was reached, the rules that help to reach it.
struct Stage {
    name: &'static str,
    reached: fn(&Lang) -> bool,
}

impl Looks {
    fn name(self) -> &'static str {
        match self {
            Looks::Attention => "an attention",
            Looks::Norm => "a norm",
            Looks::LayerNorm => "a layer norm",
            Looks::Rope => "a rotation of heads",
            Looks::Gelu => "a GELU",
        }
    }

    /// What the anchor of one looks like.
    fn anchored(egraph: &EGraph<Lang, TypeAnalysis>, node: &Lang) -> Option<Looks> {
        let nodes = |id: &Id| egraph[*id].nodes.iter();
        let op = node.to_op(|id| egraph[id].data.attr.as_ref());
        match (node, op) {
            (Lang::Softmax(_), _) => Some(Looks::Attention),
            (Lang::Erf(_), _) => Some(Looks::Gelu),
            (Lang::Reduce([x, _]), Some((Op::Reduce { op, .. }, _))) => {
                let squared = nodes(x).find_map(|node| match node {
                    Lang::Mul([a, b]) if a == b => Some(a),
                    _ => None,
                });
                match (op, squared) {
                    (ReduceOp::SumSquare, _) => Some(Looks::Norm),
                    (ReduceOp::Mean | ReduceOp::Sum, Some(x)) => {
                        let centred = nodes(x).any(|node| matches!(node, Lang::Sub(_)));
                        Some(if centred {
                            Looks::LayerNorm
                        } else {
                            Looks::Norm
                        })
                    }
                    _ => None,
                }
            }
            (Lang::Concat2([a, ..]), _) => {
                let turned = |node: &Lang| matches!(node, Lang::Neg(_) | Lang::Sub(_));
                nodes(a).any(turned).then_some(Looks::Rope)
            }
            _ => None,
        }
    }

    fn stages(self) -> &'static [Stage] {
        match self {
            Looks::Attention => &[
                Stage {
                    name: "scores",
                    reached: |node| matches!(node, Lang::ScoresOf(_)),
                },
                Stage {
                    name: "probabilities",
                    reached: |node| matches!(node, Lang::ProbsOf(_) | Lang::SinkProbs(_)),
                },
                Stage {
                    name: "attention",
                    reached: |node| matches!(node, Lang::Attention(_)),
                },
            ],
            Looks::Norm => &[Stage {
                name: "norm",
                reached: |node| matches!(node, Lang::RmsNorm(_)),
            }],
            Looks::LayerNorm => &[Stage {
                name: "norm",
                reached: |node| matches!(node, Lang::LayerNorm(_)),
            }],
            Looks::Rope => &[
                Stage {
                    name: "rotation",
                    reached: |node| matches!(node, Lang::Rotated(_)),
                },
                Stage {
                    name: "rotation of heads",
                    reached: |node| matches!(node, Lang::Rope(_)),
                },
            ],
            Looks::Gelu => &[Stage {
                name: "GELU",
                reached: |node| matches!(node, Lang::Gelu(_)),
            }],
        }
    }

    /// Whether what is around an anchor can be one at all: a softmax that weighs nothing is a router or a head.
    fn possible(self, egraph: &EGraph<Lang, TypeAnalysis>, around: &Around) -> bool {
        let weighs = |id: &Id| has(egraph, *id, |node| matches!(node, Lang::MatMul(_)));
        self != Looks::Attention || around.above.iter().any(weighs)
    }
}

/// A rule whose left side matched and whose condition said no.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failed {
    /// The rule.
    pub rule: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// The condition that failed.
    pub reason: &'static str,
    /// What each variable was.
    pub saw: Vec<(String, String)>,
}

/// Something that was not fused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// What it looks like.
    pub looks_like: &'static str,
    /// The node that it was found by.
    pub at: String,
    /// Names of the model's nodes around it.
    pub origin: Origin,
    /// Stages of recognition that were reached.
    pub reached: Vec<&'static str>,
    /// The first stage that was not.
    pub missing: &'static str,
    /// Conditions that failed there.
    pub failed: Vec<Failed>,
    /// Rules that come closest, if the left side of none matched.
    pub closest: Vec<Closest>,
    /// What is made of the anchor, if nothing comes close.
    pub form: Vec<String>,
}

impl NearMiss {
    /// What it is and why it was not fused, in a line.
    pub fn summary(&self) -> String {
        let (looks_like, at) = (self.looks_like, &self.at);
        let why = match (self.failed.first(), self.closest.first()) {
            (Some(failed), _) => format!("{} ({})", failed.reason, failed.rule),
            (None, Some(closest)) => format!(
                "instead of {} there is {} ({})",
                closest.wants, closest.found, closest.rule
            ),
            (None, None) => format!("its {} are not recognised", self.missing),
        };
        format!("looks like {looks_like}, but {why}: {at}")
    }
}

/// All near misses of a saturated graph, in its order.
pub fn near_misses(whole: &Whole, rules: &[Rule]) -> Result<Vec<NearMiss>, EqsatError> {
    let egraph = whole.egraph;
    let mut found: Vec<(ValueId, NearMiss)> = Vec::new();
    for (class, node) in whole.extraction.iter() {
        let Some(looks) = Looks::anchored(egraph, node) else {
            continue;
        };
        let Some(at) = whole.members.get(&class).and_then(|values| values.first()) else {
            continue;
        };
        let around = Around::new(egraph, class);
        let reached = |stage: &&Stage| {
            let mut near = around.all().filter(|id| has(egraph, *id, stage.reached));
            near.next().is_some()
        };
        let done: Vec<&Stage> = looks.stages().iter().take_while(reached).collect();
        let Some(stage) = looks.stages().get(done.len()) else {
            continue;
        };
        if !looks.possible(egraph, &around) {
            continue;
        }
        let makers = makers(rules, stage)?;
        let failed = failures(whole, &around, &makers);
        let closest = match failed.is_empty() {
            true => closest::closest(whole, &around, &makers),
            false => Vec::new(),
        };
        let made = around
            .above
            .iter()
            .filter_map(|class| whole.members.get(class));
        let made: BTreeSet<&ValueId> = made.flatten().collect();
        let form = match failed.is_empty() && closest.is_empty() {
            true => made
                .iter()
                .map(|value| line(whole.graph, **value))
                .collect(),
            false => Vec::new(),
        };
        let mut origin = Origin::new();
        let values = around.all().filter_map(|class| whole.members.get(&class));
        for value in values.flatten().collect::<BTreeSet<_>>() {
            merge_origin(&mut origin, whole.graph.origin(*value));
        }
        let miss = NearMiss {
            looks_like: looks.name(),
            at: line(whole.graph, *at),
            origin,
            reached: done.iter().map(|stage| stage.name).collect(),
            missing: stage.name,
            failed,
            closest,
            form,
        };
        found.push((*at, miss));
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, miss)| miss).collect())
}

/// Whether a class has such a node.
fn has(egraph: &EGraph<Lang, TypeAnalysis>, class: Id, test: impl Fn(&Lang) -> bool) -> bool {
    egraph[class].nodes.iter().any(test)
}

/// Classes a few nodes below and above an anchor, without attributes, as far as products with constants, caches, and what
/// rules do not look into.
struct Around {
    anchor: Id,
    below: BTreeSet<Id>,
    above: BTreeSet<Id>,
}

impl Around {
    fn new(egraph: &EGraph<Lang, TypeAnalysis>, anchor: Id) -> Around {
        let constant = |id: &Id| {
            let data = |child: &Id| egraph[*child].data.attr.as_ref();
            let is_const = |child: &Id| matches!(data(child), Some(Attr::Op(Op::Const(_))));
            let const_node = |node: &Lang| matches!(node, Lang::Opaque(children) if children.first().is_some_and(is_const));
            has(egraph, *id, const_node)
        };
        let ends = |id: Id| {
            has(egraph, id, |node| match node {
                Lang::MatMul([_, weight]) => constant(weight),
                Lang::Opaque(_) => true,
                _ => false,
            })
        };
        let value = |id: &Id| egraph[*id].data.ty.is_some();
        let walk = |levels: usize, next: &dyn Fn(Id) -> Vec<Id>| {
            let mut all = BTreeSet::new();
            let mut edge = BTreeSet::from([anchor]);
            for _ in 0..levels {
                let step = edge.iter().flat_map(|id| next(*id));
                edge = step
                    .map(|id| egraph.find(id))
                    .filter(|id| value(id) && !all.contains(id))
                    .collect();
                all.extend(&edge);
                edge.retain(|id| !ends(*id));
            }
            all
        };
        let operands = |id: Id| {
            let nodes = egraph[id].nodes.iter();
            nodes.flat_map(|node| node.children().to_vec()).collect()
        };
        let users = |id: Id| egraph[id].parents().collect();
        Around {
            anchor,
            below: walk(BELOW, &operands),
            above: walk(ABOVE, &users),
        }
    }

    /// All of them.
    fn all(&self) -> impl Iterator<Item = Id> + '_ {
        let sides = self.below.iter().chain(&self.above).copied();
        std::iter::once(self.anchor).chain(sides)
    }
}

/// Rules whose right side reaches a stage, with their left sides.
fn makers<'a>(
    rules: &'a [Rule],
    stage: &Stage,
) -> Result<Vec<(&'a Rule, Pattern<Lang>)>, EqsatError> {
    let mut makers = Vec::new();
    for rule in rules {
        let (lhs, rhs) = rule.sides().map_err(EqsatError::Rule)?;
        let reaches = |ast: &PatternAst<Lang>| {
            let mut nodes = ast.iter();
            nodes.any(|node| matches!(node, ENodeOrVar::ENode(node) if (stage.reached)(node)))
        };
        if reaches(&rhs.ast) && !reaches(&lhs.ast) {
            makers.push((rule, lhs));
        }
    }
    Ok(makers)
}

/// Conditions of rules that match nearby and fail.
fn failures(whole: &Whole, around: &Around, rules: &[(&Rule, Pattern<Lang>)]) -> Vec<Failed> {
    let near: BTreeSet<Id> = around.all().collect();
    let egraph = whole.egraph;
    let mut failed = BTreeSet::new();
    for (rule, lhs) in rules {
        for found in lhs.search(egraph) {
            if !near.contains(&egraph.find(found.eclass)) {
                continue;
            }
            for subst in &found.substs {
                let Err(miss) = rule.check(&Match::new(egraph, found.eclass, subst)) else {
                    continue;
                };
                let saw = lhs.vars().into_iter().filter_map(|var| {
                    let class = egraph.find(*subst.get(var)?);
                    Some((var.to_string(), describe(whole, class)))
                });
                failed.insert(Failed {
                    rule: rule.name,
                    meaning: rule.meaning,
                    reason: miss.0,
                    saw: saw.collect(),
                });
            }
        }
    }
    // One match per reason: others differ in how their operands are spelled.
    let mut failed: Vec<Failed> = failed.into_iter().collect();
    failed.dedup_by_key(|failed| (failed.rule, failed.reason));
    failed
}

/// What is known of a class: its number, its attribute, or its imported node and type.
fn describe(whole: &Whole, class: Id) -> String {
    let data = &whole.egraph[class].data;
    let value = whole.members.get(&class).and_then(|values| values.first());
    let ty = data.ty.as_ref().map(|ty| ty.to_string());
    match (value, &data.attr, ty) {
        (Some(value), _, Some(ty)) => match whole.graph.as_const(*value) {
            Some(constant) if data.scalar.is_some() => const_name(constant),
            Some(constant) => format!("{} {ty}", const_name(constant)),
            None => format!("{} {ty}", value_name(whole.graph, *value)),
        },
        (_, Some(attr), _) => attr.to_string(),
        (_, None, ty) => ty.unwrap_or_else(|| "a value".to_string()),
    }
}
