//! KV caches become state.
//!
//! ```text
//! input past [b, kv, past, d]                     state past [b, kv, max_context, d]
//! present = concat(past, new) {axis=2}      =>    present = append(reshape(transpose(new))) {past}
//! output present [b, kv, past + s, d]
//! ```
//!
//! The transpose and the reshape bring `new` [b, kv, s, d] into the order of a projection, `[b, s, kv * d]`; the
//! movement rules cancel them against those that the exporter wrote.

use llmc_ir::{Dim, Graph, Op, State, Symbol, ValueId};

use crate::error::Cause;

/// Axis of the tokens in a cache.
const TOKENS: usize = 2;

/// A cache that can be promoted.
struct Cache {
    input: String,
    state: State,
    new: ValueId,
    present: ValueId,
}

/// Promotes every cache of an entry. Returns how many there are.
///
/// # Errors
/// If an input depends on `past` but is not a cache that is appended to, with the reason for each such input; or
/// if there is none at all.
pub fn promote_state(graph: &mut Graph, max_context: usize) -> Result<usize, Cause> {
    let mut caches = Vec::new();
    let mut problems = Vec::new();
    for (name, id) in graph.inputs() {
        if !depends_on_past(graph, *id) {
            continue;
        }
        match cache(graph, name, *id, max_context) {
            Ok(cache) => caches.push(cache),
            Err(reason) => problems.push(format!("input `{name}` {}: {reason}", graph.ty(*id))),
        }
    }
    if caches.is_empty() && problems.is_empty() {
        problems.push("the model has no KV cache: no input has a length of past tokens".into());
    }
    if !problems.is_empty() {
        return Err(Cause::Unsupported(problems));
    }
    for cache in &caches {
        promote(graph, cache)?;
    }
    graph.remove_dead();
    for cache in &caches {
        graph.remove_input(&cache.input);
    }
    Ok(caches.len())
}

fn depends_on_past(graph: &Graph, id: ValueId) -> bool {
    let past = Symbol::new(Symbol::PAST);
    graph
        .ty(id)
        .shape
        .iter()
        .any(|dim| dim.symbols().contains(&past))
}

/// Recognises one cache, or says what is missing.
fn cache(graph: &Graph, name: &str, input: ValueId, max_context: usize) -> Result<Cache, String> {
    let ty = graph.ty(input);
    let [batch, heads, past, head_dim] = &ty.shape[..] else {
        return Err("a cache has the shape [batch, kv_heads, past, head_dim]".into());
    };
    if *past != Dim::past() || heads.as_const().is_none() || head_dim.as_const().is_none() {
        return Err("a cache has the shape [batch, kv_heads, past, head_dim]".into());
    }
    let [present] = graph.users(input) else {
        return Err(format!(
            "a cache is used once, this one {} times",
            graph.users(input).len()
        ));
    };
    let node = graph.node(*present);
    let at = || format!("{present} = {} ({})", node.op, node.origin.join(", "));
    let (Op::Concat { axis: TOKENS }, &[first, new]) = (&node.op, &node.operands[..]) else {
        return Err(format!(
            "it is used by {}, not appended to along axis {TOKENS}",
            at()
        ));
    };
    if first != input {
        return Err(format!("in {} new tokens come before past ones", at()));
    }
    if graph.is_output(input) {
        return Err("the cache without the new tokens is an output".into());
    }
    if !graph.is_output(*present) {
        return Err(format!(
            "{} is not an output: new tokens would be forgotten",
            at()
        ));
    }
    let shape = [
        batch.clone(),
        heads.clone(),
        Dim::from(max_context),
        head_dim.clone(),
    ];
    Ok(Cache {
        input: name.to_string(),
        state: State::new(name, ty.dtype, shape),
        new,
        present: *present,
    })
}

/// Replaces the concatenation by an append.
fn promote(graph: &mut Graph, cache: &Cache) -> Result<(), Cause> {
    let origin = graph.origin(cache.present).to_vec();
    let swapped = graph.add_node(
        Op::Transpose {
            perm: vec![0, 2, 1, 3],
        },
        &[cache.new],
        origin.clone(),
    )?;
    let [b, s, h, d] = &graph.ty(swapped).shape[..] else {
        return Err(Cause::Unsupported(vec![format!(
            "{}: the new tokens have not four axes",
            cache.input
        )]));
    };
    let shape = vec![b.clone(), s.clone(), h * d];
    let rows = graph.add_node(Op::Reshape { shape }, &[swapped], origin.clone())?;
    let state = graph.add_state(cache.state.clone());
    let view = graph.add_node(Op::Append { state }, &[rows], origin)?;
    graph.outputs.retain(|(_, value)| *value != cache.present);
    graph.replace_all_uses(cache.present, view);
    Ok(())
}
