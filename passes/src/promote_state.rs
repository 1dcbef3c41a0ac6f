//! KV caches become state.
//!
//! ```text
//! input past [b, kv, past, d]                     state past [b, kv, max_context, d]
//! present = concat(past, new) {axis=2}      =>    present = append(reshape(transpose(new))) {past}
//! output present [b, kv, past + s, d]
//! ```
//!
//! Attention has one size for the heads of keys and values. Where values are narrower (latent attention), zeros are appended to each
//! of them, and what is read is a slice.
//!
//! The transpose and the reshape bring `new` [b, kv, s, d] into the order of a projection, `[b, s, kv * d]`; the
//! movement rules cancel them against those that the exporter wrote.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use llmc_ir::{Const, Dim, Graph, Op, State, Symbol, ValueId};
use llmc_tensor::Tensor;

use crate::error::Cause;

/// Axis of the tokens in a cache.
const TOKENS: usize = 2;

/// A cache that can be promoted.
struct Cache {
    input: String,
    state: State,
    new: ValueId,
    present: ValueId,
    /// Zeros behind each head of the state.
    zeros: usize,
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
    let missing: Vec<usize> = caches
        .iter()
        .map(|cache| missing_width(graph, cache, &caches))
        .collect();
    for (cache, zeros) in caches.iter_mut().zip(missing) {
        cache.widen(zeros);
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
        zeros: 0,
    })
}

impl Cache {
    /// Elements of a head.
    fn width(&self) -> Option<usize> {
        usize::try_from(self.state.shape.last()?.as_const()?).ok()
    }

    /// Makes room for zeros behind each head.
    fn widen(&mut self, zeros: usize) {
        self.zeros = zeros;
        if let Some(width) = self.state.shape.last_mut() {
            *width = &*width + &Dim::from(zeros);
        }
    }
}

/// How much narrower the values of an attention are than its keys; 0 for a cache of keys.
fn missing_width(graph: &Graph, values: &Cache, caches: &[Cache]) -> usize {
    let keys = keys_of(graph, values.present).and_then(|present| {
        let mut others = caches.iter();
        others.find(|cache| cache.present == present)
    });
    let widths = keys.and_then(Cache::width).zip(values.width());
    widths.map_or(0, |(keys, own)| keys.saturating_sub(own))
}

/// The keys whose scores, after softmax, are multiplied by these values.
fn keys_of(graph: &Graph, values: ValueId) -> Option<ValueId> {
    let mut moved = vec![values];
    while let Some(value) = moved.pop() {
        for user in graph.users(value) {
            match (graph.op(*user), graph.operands(*user)) {
                (Op::MatMul, &[weights, right]) if right == value => {
                    let softmax = nearest(graph, weights, |op| matches!(op, Op::Softmax { .. }))?;
                    let product = nearest(graph, softmax, |op| matches!(op, Op::MatMul))?;
                    let mut keys = *graph.operands(product).get(1)?;
                    while is_move(graph.op(keys)) {
                        let mut operands = graph.operands(keys).iter();
                        keys = *operands.find(|v| graph.as_const(**v).is_none())?;
                    }
                    return Some(keys);
                }
                (op, _) if is_move(op) => moved.push(*user),
                _ => {}
            }
        }
    }
    None
}

/// Ops that repeat and reorder heads, or scale them.
fn is_move(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Expand { .. } | Op::Cast(_) | Op::Binary(_)
    )
}

/// The closest value that another is computed from, itself included, whose op is of a kind.
fn nearest(graph: &Graph, from: ValueId, kind: impl Fn(&Op) -> bool) -> Option<ValueId> {
    let mut open = VecDeque::from([from]);
    let mut seen = BTreeSet::from([from]);
    while let Some(value) = open.pop_front() {
        if kind(graph.op(value)) {
            return Some(value);
        }
        let operands = graph.operands(value).iter();
        open.extend(operands.filter(|operand| seen.insert(**operand)));
    }
    None
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
    let (b, s, h, d) = (b.clone(), s.clone(), h.clone(), d.clone());
    let wide = &d + &Dim::from(cache.zeros);
    let mut heads = swapped;
    if cache.zeros > 0 {
        let zero = Const::new("#zero", Tensor::scalar(0f32));
        let zero = graph.add_const(Arc::new(zero));
        let zero = graph.const_node(zero)?;
        let shape = vec![b.clone(), s.clone(), h.clone(), cache.zeros.into()];
        let zeros = graph.add_node(Op::Expand { shape }, &[zero], origin.clone())?;
        heads = graph.add_node(Op::Concat { axis: 3 }, &[heads, zeros], origin.clone())?;
    }
    let shape = vec![b, s, &h * &wide];
    let rows = graph.add_node(Op::Reshape { shape }, &[heads], origin.clone())?;
    let state = graph.add_state(cache.state.clone());
    let mut view = graph.add_node(Op::Append { state }, &[rows], origin.clone())?;
    if cache.zeros > 0 {
        let own = Op::Slice {
            axis: 3,
            start: Dim::zero(),
            end: d,
            step: 1,
        };
        view = graph.add_node(own, &[view], origin)?;
    }
    graph.outputs.retain(|(_, value)| *value != cache.present);
    graph.replace_all_uses(cache.present, view);
    Ok(())
}
