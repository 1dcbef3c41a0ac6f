//! Whether two graphs compute the same: both evaluated on the same random inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmc_ir::eval::fresh_states;
use llmc_ir::{Bindings, Const, EvalError, Graph, Type, eval_graph};
use llmc_tensor::{DType, Tensor};

/// Lengths of `seq` and `past` that graphs are compared at.
const LENGTHS: [(i64, i64); 3] = [(1, 5), (3, 0), (2, 4)];

/// Where two graphs with the same inputs and outputs differ by more than `tolerance` of the largest number of an output;
/// `None` if nowhere. Constants whose bytes the text does not have get random ones, by name.
///
/// # Errors
/// If one cannot be evaluated.
pub fn differ(before: &Graph, after: &Graph, tolerance: f64) -> Result<Option<String>, EvalError> {
    let (before, after) = (&with_bytes(before), &with_bytes(after));
    for (seed, (seq, past)) in LENGTHS.into_iter().enumerate() {
        let at = Bindings::new()
            .with("batch", 1)
            .with("seq", seq)
            .with("past", past);
        let mut random = Random(seed as u64 + 1);
        let mut inputs = BTreeMap::new();
        for (name, id) in before.inputs() {
            inputs.insert(name.clone(), random.tensor(before.ty(*id), &at)?);
        }
        let run = |graph: &Graph| {
            let mut states = fresh_states(graph, &at)?;
            states
                .values_mut()
                .for_each(|state| state.past = usize::try_from(past).unwrap_or(0));
            eval_graph(graph, &at, &inputs, &mut states)
        };
        let (want, have) = (run(before)?, run(after)?);
        for (name, want) in &want {
            let Some(have) = have.get(name) else {
                return Ok(Some(format!("output `{name}` is missing")));
            };
            if let Some(where_) = first_difference(want, have, tolerance) {
                return Ok(Some(format!(
                    "output `{name}` at seq {seq}, past {past}: {where_}"
                )));
            }
        }
    }
    Ok(None)
}

fn first_difference(want: &Tensor, have: &Tensor, tolerance: f64) -> Option<String> {
    if want.shape() != have.shape() {
        return Some(format!("shape {:?} and {:?}", want.shape(), have.shape()));
    }
    let (want, have) = (want.to_f64_vec(), have.to_f64_vec());
    let finite = want.iter().filter(|v| v.is_finite());
    let largest = finite.fold(1.0f64, |most, v| most.max(v.abs()));
    let same = |(a, b): (&f64, &f64)| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * largest
    };
    let at = want.iter().zip(&have).position(|pair| !same(pair))?;
    Some(format!("element {at} is {} and {}", want[at], have[at]))
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Floats between -1 and 1, small indices, bools.
    fn tensor(&mut self, ty: &Type, at: &Bindings) -> Result<Tensor, EvalError> {
        let mut shape = Vec::new();
        for dim in &ty.shape {
            let length = dim
                .eval_len(at)
                .map_err(|e| EvalError::new("an input", e))?;
            shape.push(length);
        }
        let count: usize = shape.iter().product();
        let mut number = || match ty.dtype {
            DType::Bool => (self.next() >> 63) as f64,
            dtype if dtype.is_float() => (self.next() >> 40) as f64 / (1u64 << 23) as f64 - 1.0,
            _ => (self.next() >> 61) as f64,
        };
        let numbers: Vec<f64> = (0..count).map(|_| number()).collect();
        Tensor::from_f64(ty.dtype, shape, &numbers).map_err(|e| EvalError::new("an input", e))
    }
}

/// The graph with random numbers, by name, in place of constants whose bytes are not known.
fn with_bytes(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for constant in &mut graph.tables_mut().consts {
        if constant.tensor().is_some() {
            continue;
        }
        let seed = constant.name().bytes().fold(7u64, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        if let Ok(tensor) = Random(seed | 1).tensor(&constant.ty(), &Bindings::new()) {
            *constant = Arc::new(Const::new(constant.name(), tensor));
        }
    }
    graph
}
