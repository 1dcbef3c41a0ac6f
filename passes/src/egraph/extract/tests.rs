//! Extraction on small e-graphs, against all choices tried one by one.

use egg::{EGraph, Id, RecExpr, SymbolLang};

use super::Extraction;

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
    let extraction = Extraction::new(&egraph, &[root], cost);
    assert_eq!(
        extraction.node(root).map(|node| node.op.as_str()),
        Some("f")
    );
    assert_eq!(extraction.cost(), 11);
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
    let root = egraph.find(x);
    let extraction = Extraction::new(&egraph, &[root], |_, node| {
        (node.op.as_str() != "abstract").then_some(1)
    });
    assert_eq!(
        extraction.node(root).map(|node| node.op.as_str()),
        Some("real")
    );
}

#[test]
fn what_pays_only_for_two_together_is_taken() {
    // a = 6 or one(m), b = 6 or two(m), with m = 8: apart neither pays, together they cost 10 instead of 12.
    let mut egraph: EGraph<SymbolLang, ()> = EGraph::default();
    let m = add(&mut egraph, "m", &[]);
    let (a, one) = (add(&mut egraph, "a", &[]), add(&mut egraph, "one", &[m]));
    let (b, two) = (add(&mut egraph, "b", &[]), add(&mut egraph, "two", &[m]));
    egraph.union(a, one);
    egraph.union(b, two);
    egraph.rebuild();
    let cost = |_: Id, node: &SymbolLang| {
        Some(match node.op.as_str() {
            "m" => 8,
            "a" | "b" => 6,
            _ => 1,
        })
    };
    let extraction = Extraction::new(&egraph, &[a, b], cost);
    assert_eq!((extraction.cost(), extraction.bound()), (10, 10));
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// Operands and cost of each way to compute each of a few classes; any class may be an operand of any.
type Choices = Vec<Vec<(Vec<usize>, u64)>>;

fn random_choices(random: &mut Random) -> Choices {
    let classes = 3 + random.below(6);
    let class = |random: &mut Random| {
        let ways = 1 + random.below(3);
        let way = |random: &mut Random| {
            let operands = random.below(4);
            let operands = (0..operands).map(|_| random.below(classes)).collect();
            (operands, 1 + random.below(12) as u64)
        };
        (0..ways).map(|_| way(random)).collect()
    };
    (0..classes).map(|_| class(random)).collect()
}

/// The cheapest choice without a cycle by trying all; `None` if there is none.
fn brute_force(choices: &Choices, root: usize) -> Option<u64> {
    let combinations: usize = choices.iter().map(Vec::len).product();
    let pick = |combination: usize| {
        let mut rest = combination;
        let picked = choices.iter().map(|ways| {
            let way = &ways[rest % ways.len()];
            rest /= ways.len();
            way
        });
        cost_of(&picked.collect::<Vec<_>>(), root)
    };
    (0..combinations).filter_map(pick).min()
}

/// What a class needs under one way per class; `None` if it needs itself.
fn cost_of(picked: &[&(Vec<usize>, u64)], root: usize) -> Option<u64> {
    fn visit(
        picked: &[&(Vec<usize>, u64)],
        class: usize,
        path: &mut Vec<usize>,
        done: &mut Vec<usize>,
    ) -> Option<u64> {
        if path.contains(&class) {
            return None;
        }
        if done.contains(&class) {
            return Some(0);
        }
        path.push(class);
        let mut cost = picked[class].1;
        for operand in &picked[class].0 {
            cost += visit(picked, *operand, path, done)?;
        }
        path.pop();
        done.push(class);
        Some(cost)
    }
    visit(picked, root, &mut Vec::new(), &mut Vec::new())
}

#[test]
fn small_graphs_are_extracted_exactly() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut solvable = 0;
    for _ in 0..400 {
        let choices = random_choices(&mut random);
        let mut egraph: EGraph<SymbolLang, ()> = EGraph::default();
        let ids: Vec<Id> = (0..choices.len())
            .map(|class| add(&mut egraph, &format!("class{class}"), &[]))
            .collect();
        for (class, ways) in choices.iter().enumerate() {
            for (way, (operands, cost)) in ways.iter().enumerate() {
                let operands: Vec<Id> = operands.iter().map(|operand| ids[*operand]).collect();
                let node = add(&mut egraph, &format!("{class}.{way} {cost}"), &operands);
                egraph.union(ids[class], node);
            }
        }
        egraph.rebuild();
        let cost = |_: Id, node: &SymbolLang| {
            let (_, cost) = node.op.as_str().split_once(' ')?;
            cost.parse().ok()
        };
        let root = egraph.find(ids[0]);
        let extraction = Extraction::new(&egraph, &[root], cost);
        match brute_force(&choices, 0) {
            Some(want) => {
                assert_eq!(extraction.cost(), want, "{choices:?}");
                assert_eq!(extraction.bound(), want, "{choices:?}");
                solvable += 1;
            }
            None => assert!(extraction.node(root).is_none(), "{choices:?}"),
        }
    }
    assert!(solvable > 200, "only {solvable} graphs had a solution");
}
