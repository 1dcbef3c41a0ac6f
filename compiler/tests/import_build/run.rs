//! Runs an imported graph with the reference evaluator.
#![allow(dead_code)] // each test file uses a part

use llmc_compiler::import::Imported;
use llmc_ir::{Bindings, eval_graph};
use llmc_tensor::Tensor;
use std::collections::BTreeMap;

/// The caches of a model after some tokens, by name of the past input.
pub type Pasts = BTreeMap<String, Tensor>;

/// Logits `[1, n, vocab]` of `tokens` after `past` earlier ones; the caches are updated.
pub fn step(model: &Imported, tokens: &[i64], past: usize, pasts: &mut Pasts) -> Tensor {
    let graph = &model.graph;
    let bindings = Bindings::new()
        .with("batch", 1)
        .with("seq", tokens.len() as i64)
        .with("past", past as i64);
    let mut inputs = BTreeMap::new();
    for (name, id) in graph.inputs() {
        let ty = graph.ty(*id);
        let tensor = if Some(name) == model.tokens.as_ref() {
            Tensor::from_i64(ty.dtype, [1, tokens.len()], tokens).unwrap()
        } else {
            let shape: Vec<usize> = ty
                .shape
                .iter()
                .map(|d| d.eval_len(&bindings).unwrap())
                .collect();
            pasts
                .get(name)
                .cloned()
                .unwrap_or_else(|| Tensor::zeros(ty.dtype, shape).unwrap())
        };
        inputs.insert(name.clone(), tensor);
    }
    let outputs = eval_graph(graph, &bindings, &inputs, &mut BTreeMap::new())
        .unwrap_or_else(|e| panic!("{e}"));
    for cache in &model.caches {
        pasts.insert(cache.past.clone(), outputs[&cache.present].clone());
    }
    outputs["logits"].clone()
}

/// Logits of all tokens, fed in pieces of these lengths.
pub fn pieces(model: &Imported, tokens: &[i64], lengths: &[usize]) -> Tensor {
    let (mut pasts, mut past, mut bytes, mut vocab) = (Pasts::new(), 0, Vec::new(), 0);
    for &n in lengths {
        let logits = step(model, &tokens[past..past + n], past, &mut pasts);
        vocab = logits.shape()[2];
        bytes.extend_from_slice(logits.bytes());
        past += n;
    }
    Tensor::new(llmc_tensor::DType::F32, [1, past, vocab], bytes).unwrap()
}
