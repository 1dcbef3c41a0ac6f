//! Turns that a graph does not show are added to its repeat.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmc_ir::{Const, Graph, Op, Region, ValueId, regions};

use super::product::equal;

/// Layers that were left out of a graph because they are like the ones before them: what takes the place of their
/// constants and states.
#[derive(Clone, Debug, Default)]
pub struct Omitted {
    /// Number of turns that were left out.
    pub turns: usize,
    /// Constants.
    pub constants: Vec<Sequence<Arc<Const>>>,
    /// Names of the inputs that become states.
    pub states: Vec<Sequence<String>>,
}

/// The same thing in layers that follow each other: in the last two that the graph shows, and in those that it leaves out.
#[derive(Clone, Debug)]
pub struct Sequence<T> {
    /// In the layers of the graph.
    pub shown: [T; 2],
    /// In the layers left out, in order.
    pub rest: Vec<T>,
}

/// Adds the turns left out to the one repeat that shows the layers before them.
///
/// # Errors
/// Why the graph's repeats are not those layers; it is unchanged then.
pub fn extend(graph: &mut Graph, omitted: &Omitted) -> Result<(), String> {
    let mut stacks = BTreeMap::new();
    for sequence in &omitted.constants {
        let [_, last] = &sequence.shown;
        let each = graph.consts().iter().map(|c| c.each_turn().iter());
        let stacks_of = each.map(|turns| turns.map(|c| c.name()).collect());
        let shown = sequence.shown.each_ref().map(|c| c.name());
        match place(stacks_of, shown)? {
            Some((stack, at)) => {
                let Some(of) = graph.consts().get(stack) else {
                    continue;
                };
                let mut turns = of.each_turn().to_vec();
                turns.splice(at..at, sequence.rest.iter().cloned());
                let longer = Const::stack(turns).ok_or("constants differ in type")?;
                if stacks.insert(stack, Arc::new(longer)).is_some() {
                    return Err(format!("`{}` is in a stack with others", last.name()));
                }
            }
            // One constant for all of them, if it really is one.
            None if sequence.rest.iter().all(|c| equal(c, last)) => {}
            None => return Err(format!("`{}` is in no stack", last.name())),
        }
    }
    let mut states = BTreeMap::new();
    for sequence in &omitted.states {
        let shown = sequence.shown.each_ref().map(String::as_str);
        let each = graph.states().iter().map(|s| s.turns.iter());
        let stacks_of = each.map(|turns| turns.map(String::as_str).collect());
        let (state, at) =
            place(stacks_of, shown)?.ok_or_else(|| format!("`{}` is in no stack", shown[1]))?;
        let mut longer = graph.states()[state].clone();
        longer.turns.splice(at..at, sequence.rest.iter().cloned());
        let turns = std::mem::take(&mut longer.turns);
        if states.insert(state, longer.stack(turns)).is_some() {
            return Err(format!("`{}` is in a stack with others", shown[1]));
        }
    }
    let extended = |id: &ValueId| match graph.op(*id) {
        Op::Const(c) if graph.as_const(*id)?.turns().is_some() => {
            Some(stacks.contains_key(&c.index()))
        }
        Op::Append { state } => Some(states.contains_key(&state.index())),
        _ => None,
    };
    let regions = regions(graph).map_err(|_| "its repeats make no sense".to_string())?;
    let touched = |r: &&Region| r.members.iter().any(|v| extended(v) == Some(true));
    let touched: Vec<&Region> = regions.iter().filter(touched).collect();
    let [region] = touched[..] else {
        return Err(format!("they are in {} repeats", touched.len()));
    };
    if let Some(id) = region.members.iter().find(|v| extended(v) == Some(false)) {
        return Err(format!("{id} is not known of the layers left out"));
    }
    let (repeat, operands) = (region.repeat, graph.operands(region.repeat).to_vec());
    let count = region.count + omitted.turns;
    for (stack, longer) in stacks {
        graph.tables_mut().consts[stack] = longer;
    }
    for (state, longer) in states {
        graph.tables_mut().states[state] = longer;
    }
    graph
        .set_node(repeat, Op::Repeat { count }, &operands)
        .map_err(|e| e.to_string())
}

/// The stack that shows two names in turns that follow each other, and the turn after them; `None` if the latter is in none.
fn place<'a>(
    stacks: impl Iterator<Item = Vec<&'a str>>,
    [before, last]: [&str; 2],
) -> Result<Option<(usize, usize)>, String> {
    let mut found = None;
    for (stack, turns) in stacks.enumerate() {
        for (turn, _) in turns.iter().enumerate().filter(|(_, name)| **name == last) {
            let follows = turn > 0 && turns[turn - 1] == before;
            if !follows || found.replace((stack, turn + 1)).is_some() {
                return Err(format!("`{last}` does not follow `{before}`"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roll::{number, roll, unroll};
    use llmc_ir::parse_graph;
    use llmc_tensor::DType;

    /// So many layers, whose scales are the constants of these names.
    fn layers(scales: &[&str]) -> Graph {
        let (mut head, mut body, mut x) = (String::new(), String::new(), 0);
        for (i, name) in scales.iter().enumerate() {
            let [w, y, kv, seen, out] = [1, 2, 3, 4, 5].map(|n| i * 5 + n);
            head += &format!("  const c{i} \"{name}\" f32[4] #{:016x}\n", name.len());
            head += &format!("  state s{i} \"past.{i}\" f32[batch, 1, 16, 4]\n");
            body += &format!(
                "  %{w} : f32[4] = const c{i}\n  %{y} : f32[batch, seq, 4] = mul %{x}, %{w}\n  \
                 %{kv} : f32[batch, 1, past + seq, 4] = append s{i}, %{y}\n  \
                 %{seen} : f32[batch, seq, 4] = attention %{y}, %{kv}, %{kv} {{heads=1, kv_heads=1, head_dim=4, scale=0.5, causal=true}}\n  \
                 %{out} : f32[batch, seq, 4] = add %{x}, %{seen}\n"
            );
            x = out;
        }
        let text = format!(
            "graph \"g\" {{\n{head}  input %0 \"x\" f32[batch, seq, 4]\n{body}  output \"o\" %{x}\n}}\n"
        );
        parse_graph(&text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
    }

    fn constant(name: &str) -> Arc<Const> {
        Arc::new(Const::opaque(name, DType::F32, vec![4], name.len() as u64))
    }

    fn omitted(shown: [&str; 2], rest: &[&str], states: [usize; 2]) -> Omitted {
        let past = |i: usize| format!("past.{i}");
        Omitted {
            turns: rest.len(),
            constants: vec![Sequence {
                shown: shown.map(constant),
                rest: rest.iter().map(|n| constant(n)).collect(),
            }],
            states: vec![Sequence {
                shown: states.map(past),
                rest: (0..rest.len()).map(|i| past(states[1] + 1 + i)).collect(),
            }],
        }
    }

    #[test]
    fn layers_left_out_are_those_of_the_whole_graph() {
        let (mut rolled, mut report) = roll(&layers(&["a", "bb", "ccc"])).unwrap();
        let rest = omitted(["bb", "ccc"], &["dddd", "eeeee"], [1, 2]);
        report.extend(&mut rolled, &rest).unwrap();
        assert_eq!(report.repeats[0].0, 5);
        let whole = layers(&["a", "bb", "ccc", "dddd", "eeeee"]);
        assert!(number::same(&whole, &unroll(&rolled).unwrap()));
    }

    #[test]
    fn other_layers_are_refused() {
        let refused = |shown: &[&str], rest: &Omitted| {
            let (mut rolled, _) = roll(&layers(shown)).unwrap();
            let before = rolled.clone();
            let error = extend(&mut rolled, rest).unwrap_err();
            assert_eq!(rolled, before);
            error
        };
        let three = ["a", "bb", "ccc"];
        assert_eq!(
            refused(&three, &omitted(["a", "ccc"], &["dddd"], [1, 2])),
            "`ccc` does not follow `a`"
        );
        assert_eq!(
            refused(&three, &omitted(["bb", "x"], &["dddd"], [1, 2])),
            "`x` is in no stack"
        );
        assert_eq!(
            refused(&three, &omitted(["bb", "ccc"], &["dddd"], [2, 3])),
            "`past.3` is in no stack"
        );
        // All layers shown have one constant, those left out have another.
        assert_eq!(
            refused(&["a", "a", "a"], &omitted(["a", "a"], &["dddd"], [1, 2])),
            "`a` is in no stack"
        );
        let mut unknown = omitted(["bb", "ccc"], &["dddd"], [1, 2]);
        unknown.constants.clear();
        assert!(refused(&three, &unknown).ends_with("is not known of the layers left out"));
    }
}
