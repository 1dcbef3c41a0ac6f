//! Rules are sound: after rewriting, everything in a class has one value.
//!
//! Every node of every class, abstract ones included, is evaluated and compared with the others of its class:
//! - [`each_rule_holds`] runs each rule alone on random instances of its left side;
//! - [`whole_cases_hold`] saturates every start of `tests/cases/fuse` with all rules, at several lengths.

mod evaluate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use egg::{EGraph, Id, Pattern, Rewrite, Subst};
use llmc_ir::{Bindings, Const, Graph, Op, Type, ValueId, parse_graph};
use llmc_tensor::{DType, Tensor};

use self::evaluate::one_value_per_class;
use super::analysis::TypeAnalysis;
use super::draw::{Bound, Draw};
use super::lang::{Attr, Lang};
use super::{Rule, explore, rules};

/// Instances that every rule is run on.
const INSTANCES: usize = 200;
/// Instances that may be drawn for them: not every one need satisfy the condition.
const DRAWS: u64 = 2 * INSTANCES as u64;

/// Lengths of `seq` and `past` at which cases are evaluated.
const LENGTHS: [(i64, i64); 4] = [(3, 0), (3, 4), (1, 5), (2, 2)];

#[test]
fn each_rule_holds() {
    for rule in rules::all() {
        let rewrite = rule.compile().unwrap_or_else(|error| panic!("{error}"));
        let lhs: Pattern<Lang> = rule.lhs.parse().expect("compiled before");
        let applied = (0..DRAWS)
            .filter(|seed| holds_on(&rule, &rewrite, &lhs, *seed))
            .take(INSTANCES)
            .count();
        assert_eq!(
            applied, INSTANCES,
            "rule {}: of {DRAWS} instances only {applied} satisfied its condition",
            rule.name
        );
    }
}

/// Draws an instance, applies the rule to it and compares both sides. False if the condition does not hold.
fn holds_on(
    rule: &Rule,
    rewrite: &Rewrite<Lang, TypeAnalysis>,
    lhs: &Pattern<Lang>,
    seed: u64,
) -> bool {
    let mut draw = Draw::new(seed);
    (rule.instances)(&mut draw);
    let mut egraph = EGraph::new(TypeAnalysis::default());
    let mut subst = Subst::default();
    let mut inputs = BTreeMap::new();
    for var in lhs.vars() {
        let name = var.to_string();
        let bound = draw.bound.get(name.as_str());
        let id = match bound.unwrap_or_else(|| panic!("rule {}: {name} is not drawn", rule.name)) {
            Bound::Attr(attr) => egraph.add(Lang::Attr(attr.clone())),
            Bound::Const(tensor) => {
                let consts = &mut egraph.analysis.tables.consts;
                let constant = Op::Const(llmc_ir::ConstId::from_index(consts.len()));
                consts.push(Const::new(name, tensor.clone()).into());
                let attr = egraph.add(Lang::Attr(Attr::Op(constant)));
                egraph.add(Lang::Opaque([attr].into()))
            }
            Bound::Input(ty, value) => {
                let leaf = ValueId::from_index(inputs.len());
                egraph.analysis.inputs.insert(leaf, ty.clone());
                let id = egraph.add(Lang::Attr(Attr::Leaf(leaf)));
                inputs.insert(id, value.clone());
                id
            }
        };
        subst.insert(var, id);
    }
    let root = egraph.add_instantiation(&lhs.ast, &subst);
    egraph.rebuild();
    assert!(
        egraph[root].data.ty.is_some(),
        "rule {}: seed {seed} draws operands that do not fit",
        rule.name
    );
    let matches = rewrite.search(&egraph);
    rewrite.apply(&mut egraph, &matches);
    egraph.rebuild();
    let unsound = &egraph.analysis.unsound;
    assert!(unsound.is_empty(), "{unsound:?}");
    let values = inputs
        .into_iter()
        .map(|(id, value)| (egraph.find(id), value))
        .collect();
    let what = format!("rule {}, seed {seed}", rule.name);
    one_value_per_class(&what, &egraph, values, &draw.at);
    let misses = &egraph.analysis.misses;
    misses.is_empty()
        && matches
            .iter()
            .any(|found| egraph.find(found.eclass) == egraph.find(root))
}

#[test]
fn whole_cases_hold() {
    let mut applied: BTreeSet<String> = BTreeSet::new();
    for (name, graph) in cases() {
        let explored =
            explore(&graph, &rules::all()).unwrap_or_else(|error| panic!("{name}: {error}"));
        applied.extend(explored.report.applied.keys().cloned());
        for (seed, (seq, past)) in LENGTHS.into_iter().enumerate() {
            let at = Bindings::new()
                .with("batch", 2)
                .with("seq", seq)
                .with("past", past);
            let mut random = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut values: BTreeMap<Id, Tensor> = BTreeMap::new();
            for (_, id) in graph.inputs() {
                values.insert(
                    explored.egraph.find(explored.classes[id]),
                    random_tensor(graph.ty(*id), &at, &mut random),
                );
            }
            one_value_per_class(&name, &explored.egraph, values, &at);
        }
    }
    let all = rules::all();
    let idle: Vec<&str> = all
        .iter()
        .map(|rule| rule.name)
        .filter(|name| !applied.contains(*name))
        .collect();
    assert!(
        idle.is_empty(),
        "no case in tests/cases/fuse applies {idle:?}"
    );
}

#[test]
fn rules_have_names_of_their_own_and_compile() {
    let mut seen = BTreeSet::new();
    for rule in rules::all() {
        assert!(seen.insert(rule.name), "two rules are named {}", rule.name);
        rule.compile().unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The start graphs of all cases, by file name.
fn cases() -> Vec<(String, Graph)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/fuse");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("cases")
        .map(|entry| entry.expect("entry").path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable");
        let start = text.split("\n====\n").next().unwrap_or_default();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let graph = parse_graph(start).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        (name, graph)
    };
    paths.iter().map(read).collect()
}

/// Numbers between 0.1 and 1.1 in size, of either sign.
fn random_tensor(ty: &Type, at: &Bindings, state: &mut u64) -> Tensor {
    assert_eq!(ty.dtype, DType::F32, "inputs of cases are f32");
    let shape: Vec<usize> = ty
        .shape
        .iter()
        .map(|dim| dim.eval_len(at).expect("bound"))
        .collect();
    let mut next = || {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let size = 0.1 + (bits >> 40) as f32 / (1u64 << 24) as f32;
        if bits & 1 == 0 { size } else { -size }
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(shape, values).expect("shape fits")
}
