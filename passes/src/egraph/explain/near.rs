//! What looks like something that could be fused and was not, and the condition that failed.
//!
//! Recognition goes by stages (scores, probabilities, attention). A near miss names the first stage that is missing. If
//! the left side of a rule that makes it matches nearby, its condition failed: the reason is shown with what the rule's
//! variables were. Otherwise the exporter's form is new: it is shown beside the forms that rules know.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use egg::{EGraph, ENodeOrVar, Id, Language, Pattern, PatternAst, Searcher};
use llmc_ir::{Graph, Op, ReduceOp, ValueId};

use super::region::Members;
use crate::egraph::analysis::TypeAnalysis;
use crate::egraph::extract::Extraction;
use crate::egraph::lang::Lang;
use crate::egraph::matched::Match;
use crate::egraph::{Condition, EqsatError, Rule};

/// How far below and above its anchor something may be.
const BELOW: usize = 9;
const ABOVE: usize = 6;

/// What could have been fused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Looks {
    Attention,
    Norm,
    Rope,
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
            Looks::Rope => "a rotation of heads",
        }
    }

    /// What the anchor of one looks like. `has` tells whether the class of an operand has such a node.
    fn anchored(
        node: &Lang,
        op: Option<&Op>,
        has: impl Fn(Id, fn(&Lang) -> bool) -> bool,
    ) -> Option<Looks> {
        match (node, op) {
            (Lang::Softmax(_), _) => Some(Looks::Attention),
            (
                Lang::Reduce([x, _]),
                Some(Op::Reduce {
                    op: ReduceOp::Mean | ReduceOp::Sum | ReduceOp::SumSquare,
                    ..
                }),
            ) => {
                let square = |node: &Lang| matches!(node, Lang::Mul([a, b]) if a == b);
                let is_square = matches!(
                    op,
                    Some(Op::Reduce {
                        op: ReduceOp::SumSquare,
                        ..
                    })
                );
                (is_square || has(*x, square)).then_some(Looks::Norm)
            }
            (Lang::Concat2([a, _, _]), _) => {
                let turned = |node: &Lang| matches!(node, Lang::Neg(_) | Lang::Sub(_));
                has(*a, turned).then_some(Looks::Rope)
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
            Looks::Rope => &[
                Stage {
                    name: "rotated halves",
                    reached: |node| matches!(node, Lang::RotateHalf(_)),
                },
                Stage {
                    name: "rotation",
                    reached: |node| matches!(node, Lang::Rope(_)),
                },
            ],
        }
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
    /// Stages of recognition that were reached.
    pub reached: Vec<&'static str>,
    /// The first stage that was not.
    pub missing: &'static str,
    /// Conditions that failed there.
    pub failed: Vec<Failed>,
    /// Left sides that would have led there, if none matched.
    pub known: Vec<(&'static str, &'static str)>,
    /// Imported nodes around, if none matched.
    pub around: Vec<String>,
}

/// All near misses of a saturated graph, in its order.
pub fn near_misses(
    graph: &Graph,
    egraph: &EGraph<Lang, TypeAnalysis>,
    members: &Members,
    extraction: &Extraction<Lang>,
    rules: &[Rule],
) -> Result<Vec<NearMiss>, EqsatError> {
    let users = users(egraph);
    let mut found: Vec<(ValueId, NearMiss)> = Vec::new();
    for (class, node) in extraction.iter() {
        let op = node.to_op(|id| egraph[id].data.attr.as_ref());
        let has = |id: Id, test: fn(&Lang) -> bool| egraph[id].nodes.iter().any(test);
        let Some(looks) = Looks::anchored(node, op.as_ref().map(|(op, _)| op), has) else {
            continue;
        };
        let Some(at) = members.get(&class).and_then(|values| values.first()) else {
            continue;
        };
        let near = neighbourhood(egraph, &users, class);
        let reached = |stage: &&Stage| {
            let mut nodes = near.iter().flat_map(|class| &egraph[*class].nodes);
            nodes.any(stage.reached)
        };
        let done: Vec<&Stage> = looks.stages().iter().take_while(reached).collect();
        let Some(stage) = looks.stages().get(done.len()) else {
            continue;
        };
        let makers = makers(rules, stage)?;
        let failed = failures(egraph, graph, members, &near, &makers);
        let known = makers.iter().map(|(rule, _)| (rule.name, rule.lhs));
        let values: BTreeSet<ValueId> = near
            .iter()
            .filter_map(|class| members.get(class))
            .flatten()
            .copied()
            .filter(|value| !matches!(graph.op(*value), Op::Const(_) | Op::Input))
            .collect();
        let around = values.iter().map(|value| graph.node_text(*value));
        let miss = NearMiss {
            looks_like: looks.name(),
            at: graph.node_text(*at),
            reached: done.iter().map(|stage| stage.name).collect(),
            missing: stage.name,
            known: if failed.is_empty() {
                known.collect()
            } else {
                Vec::new()
            },
            around: if failed.is_empty() {
                around.collect()
            } else {
                Vec::new()
            },
            failed,
        };
        found.push((*at, miss));
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, miss)| miss).collect())
}

/// Classes with a node that reads each class.
fn users(egraph: &EGraph<Lang, TypeAnalysis>) -> BTreeMap<Id, BTreeSet<Id>> {
    let mut users = BTreeMap::<Id, BTreeSet<Id>>::new();
    for class in egraph.classes() {
        for child in class.nodes.iter().flat_map(|node| node.children()) {
            users
                .entry(egraph.find(*child))
                .or_default()
                .insert(class.id);
        }
    }
    users
}

/// Classes a few nodes below and above one, without attributes.
fn neighbourhood(
    egraph: &EGraph<Lang, TypeAnalysis>,
    users: &BTreeMap<Id, BTreeSet<Id>>,
    class: Id,
) -> BTreeSet<Id> {
    let mut near = BTreeSet::from([class]);
    let value = |id: &Id| egraph[*id].data.ty.is_some();
    let mut edge = near.clone();
    for _ in 0..BELOW {
        let nodes = edge.iter().flat_map(|class| &egraph[*class].nodes);
        let below = nodes
            .flat_map(|node| node.children())
            .map(|id| egraph.find(*id));
        edge = below
            .filter(value)
            .filter(|id| !near.contains(id))
            .collect();
        near.extend(&edge);
    }
    let mut edge = BTreeSet::from([class]);
    for _ in 0..ABOVE {
        let above = edge.iter().filter_map(|class| users.get(class)).flatten();
        edge = above.copied().collect();
        near.extend(&edge);
    }
    near
}

/// Rules whose right side reaches a stage, with their left sides.
fn makers<'a>(
    rules: &'a [Rule],
    stage: &Stage,
) -> Result<Vec<(&'a Rule, Pattern<Lang>)>, EqsatError> {
    let mut makers = Vec::new();
    for rule in rules {
        let parse = |side: &str| {
            side.parse::<Pattern<Lang>>()
                .map_err(|error| EqsatError::Rule(format!("{}: {error}", rule.name)))
        };
        let (lhs, rhs) = (parse(rule.lhs)?, parse(rule.rhs)?);
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
fn failures(
    egraph: &EGraph<Lang, TypeAnalysis>,
    graph: &Graph,
    members: &Members,
    near: &BTreeSet<Id>,
    rules: &[(&Rule, Pattern<Lang>)],
) -> Vec<Failed> {
    let mut failed = BTreeSet::new();
    for (rule, lhs) in rules {
        for found in lhs.search(egraph) {
            if !near.contains(&egraph.find(found.eclass)) {
                continue;
            }
            for subst in &found.substs {
                let matched = Match::new(egraph, found.eclass, subst);
                let outcome = match rule.condition {
                    Condition::Always => Ok(()),
                    Condition::Check(check) => check(&matched),
                    Condition::Compute(compute) => compute(&matched).map(drop),
                };
                let Err(miss) = outcome else { continue };
                let saw = lhs.vars().into_iter().filter_map(|var| {
                    let class = egraph.find(*subst.get(var)?);
                    Some((var.to_string(), describe(egraph, graph, members, class)))
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
fn describe(
    egraph: &EGraph<Lang, TypeAnalysis>,
    graph: &Graph,
    members: &Members,
    class: Id,
) -> String {
    let data = &egraph[class].data;
    let value = members.get(&class).and_then(|values| values.first());
    let name = value.map(|value| match graph.input_name(*value) {
        Some(name) => format!("{value} {name:?}"),
        None => value.to_string(),
    });
    let ty = data.ty.as_ref().map(|ty| ty.to_string());
    match (data.scalar, &data.attr, name, ty) {
        (Some(number), ..) => format!("{number:?}"),
        (None, _, Some(name), Some(ty)) => format!("{name} {ty}"),
        (None, Some(attr), ..) => attr.to_string(),
        (None, None, _, ty) => ty.unwrap_or_else(|| "a value".to_string()),
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "not fused, but looks like {}:\n   {}",
            self.looks_like, self.at
        )?;
        if !self.reached.is_empty() {
            writeln!(f, "   recognised: {}", self.reached.join(", "))?;
        }
        writeln!(f, "   not recognised: {}", self.missing)?;
        for failed in &self.failed {
            writeln!(
                f,
                "   {} ({}) fails: {}",
                failed.rule, failed.meaning, failed.reason
            )?;
            for (var, value) in &failed.saw {
                writeln!(f, "     {var} is {value}")?;
            }
        }
        if self.failed.is_empty() {
            writeln!(f, "   no rule knows this form:")?;
            for line in &self.around {
                writeln!(f, "     {line}")?;
            }
            writeln!(f, "   rules know:")?;
            for (rule, lhs) in &self.known {
                writeln!(f, "     {rule}: {lhs}")?;
            }
        }
        Ok(())
    }
}
