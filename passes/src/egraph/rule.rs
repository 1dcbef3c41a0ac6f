//! A rule: name, left side, right side, and a condition that may compute one attribute.

use egg::{Applier, EGraph, Id, Pattern, PatternAst, Rewrite, Subst, Symbol, Var};

use super::analysis::TypeAnalysis;
use super::draw::Draw;
use super::lang::{Attr, Lang};
use super::matched::{Match, Miss};

/// The variable that a rule's computed attribute is bound to.
const OUT: &str = "?out";

/// What must hold for a rule to apply, and what it computes from the match.
#[derive(Clone, Copy, Debug)]
pub enum Condition {
    /// The patterns say it all.
    Always,
    /// A check.
    Check(fn(&Match) -> Result<(), Miss>),
    /// A check that yields the attribute `?out`.
    Compute(fn(&Match) -> Result<Attr, Miss>),
}

/// One row of the rule tables, made by [`rule`].
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique name, shown in reports and proofs.
    pub name: &'static str,
    /// What it says, in a few words.
    pub meaning: &'static str,
    /// What is looked for.
    pub lhs: &'static str,
    /// What is added to its class.
    pub rhs: &'static str,
    /// When.
    pub condition: Condition,
    /// Draws operands that satisfy the condition, for the soundness test.
    pub instances: fn(&mut Draw),
}

/// A row without its instances, which is no rule yet: soundness of every rule is tested.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Draft {
    name: &'static str,
    meaning: &'static str,
    lhs: &'static str,
    rhs: &'static str,
    condition: Condition,
}

/// Starts a row: `rule(name, meaning, left, right)`, then `.when` or `.with` if there is a condition, then `.on`.
pub const fn rule(
    name: &'static str,
    meaning: &'static str,
    lhs: &'static str,
    rhs: &'static str,
) -> Draft {
    Draft {
        name,
        meaning,
        lhs,
        rhs,
        condition: Condition::Always,
    }
}

impl Draft {
    /// Holds when `check` succeeds.
    pub const fn when(self, check: fn(&Match) -> Result<(), Miss>) -> Draft {
        Draft {
            condition: Condition::Check(check),
            ..self
        }
    }

    /// Holds when `compute` succeeds; the right side uses its attribute as `?out`.
    pub const fn with(self, compute: fn(&Match) -> Result<Attr, Miss>) -> Draft {
        Draft {
            condition: Condition::Compute(compute),
            ..self
        }
    }

    /// The rule, with a function that draws operands on which it must hold.
    pub const fn on(self, instances: fn(&mut Draw)) -> Rule {
        Rule {
            name: self.name,
            meaning: self.meaning,
            lhs: self.lhs,
            rhs: self.rhs,
            condition: self.condition,
            instances,
        }
    }
}

impl Rule {
    /// Both sides as patterns. Errors name the rule: a row of a table does not parse.
    pub fn sides(&self) -> Result<(Pattern<Lang>, Pattern<Lang>), String> {
        let parse = |side: &str| {
            side.parse::<Pattern<Lang>>()
                .map_err(|error| format!("rule {}: `{side}`: {error}", self.name))
        };
        Ok((parse(self.lhs)?, parse(self.rhs)?))
    }

    /// Whether its condition holds for a match of its left side.
    pub fn check(&self, matched: &Match) -> Result<(), Miss> {
        match self.condition {
            Condition::Always => Ok(()),
            Condition::Check(check) => check(matched),
            Condition::Compute(compute) => compute(matched).map(drop),
        }
    }

    /// The egg form. Errors name the rule: a row of a table does not parse.
    pub fn compile(&self) -> Result<Rewrite<Lang, TypeAnalysis>, String> {
        let (lhs, rhs) = self.sides()?;
        let mut bound = lhs.vars();
        if let Condition::Compute(_) = self.condition {
            bound.push(out_var()?);
        }
        if let Some(var) = rhs.vars().iter().find(|var| !bound.contains(var)) {
            return Err(format!(
                "rule {}: `{var}` of the right side is not bound",
                self.name
            ));
        }
        let applier = TypedApplier {
            rhs,
            condition: self.condition,
            name: self.name,
        };
        Rewrite::new(self.name, lhs, applier)
            .map_err(|error| format!("rule {}: {error}", self.name))
    }
}

/// The parsed form of [`OUT`].
fn out_var() -> Result<Var, String> {
    OUT.parse().map_err(|error| format!("{OUT}: {error}"))
}

/// Applies a right side after checking the condition, and refuses results of another type.
struct TypedApplier {
    rhs: Pattern<Lang>,
    condition: Condition,
    name: &'static str,
}

impl Applier<Lang, TypeAnalysis> for TypedApplier {
    fn apply_one(
        &self,
        egraph: &mut EGraph<Lang, TypeAnalysis>,
        eclass: Id,
        subst: &Subst,
        searcher_ast: Option<&PatternAst<Lang>>,
        rule_name: Symbol,
    ) -> Vec<Id> {
        let matched = Match::new(egraph, eclass, subst);
        let out = match self.condition {
            Condition::Always => Ok(None),
            Condition::Check(check) => check(&matched).map(|()| None),
            Condition::Compute(compute) => compute(&matched).map(Some),
        };
        let out = match out {
            Ok(out) => out,
            Err(miss) => {
                egraph.analysis.miss(self.name, miss);
                return vec![];
            }
        };
        let mut subst = subst.clone();
        if let (Some(attr), Ok(var)) = (out, out_var()) {
            let id = egraph.add(Lang::Attr(attr));
            subst.insert(var, id);
        }
        let root = egraph.find(eclass);
        egraph.analysis.made_for = Some(root);
        let new = egraph.add_instantiation(&self.rhs.ast, &subst);
        egraph.analysis.made_for = None;
        let (have, want) = (egraph[new].data.ty.clone(), egraph[root].data.ty.clone());
        if have != want {
            egraph
                .analysis
                .unsound(self.name, want.as_ref(), have.as_ref());
            return vec![];
        }
        let changed = match searcher_ast {
            Some(lhs) if egraph.are_explanations_enabled() => {
                egraph
                    .union_instantiations(lhs, &self.rhs.ast, &subst, rule_name)
                    .1
            }
            _ => egraph.union_trusted(root, new, rule_name),
        };
        if changed { vec![root] } else { vec![] }
    }
}
