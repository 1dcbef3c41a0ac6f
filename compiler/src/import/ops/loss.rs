//! Losses of training, as compositions.

use llmc_ir::{Op, ReduceOp, UnaryOp};
use llmc_tensor::DType;

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::Made;
use super::reduce::log_softmax_of;
use super::scatter::gather_elements_of;

/// Attributes of both losses.
pub const LOSS: &[&str] = &["ignore_index", "reduction"];

/// Minus the weighted log-probability of the target class, reduced as asked. `logs` is [n, classes, ..].
fn likelihood(cx: &mut Lower, call: &Call, logs: &Val) -> Made {
    let target = call.input(1)?;
    let weights = call.optional(2);
    let target = cx.cast(target, DType::I64)?;
    let ignored = match call.attributes().int("ignore_index")? {
        None => None,
        Some(index) => {
            let index = cx.number(&target, index as f64)?;
            Some(cx.equal(&target, &index)?)
        }
    };
    // an ignored class may lie outside of the classes
    let class = match &ignored {
        None => target,
        Some(ignored) => {
            let zero = cx.number(&target, 0.0)?;
            cx.pick(ignored, &zero, &target)?
        }
    };
    let indices = cx.open(&class, 1)?;
    let picked = gather_elements_of(cx, logs, &indices, 1)?;
    let picked = cx.close(&picked, 1)?;
    let loss = cx.map(UnaryOp::Neg, &picked)?;
    let one = cx.number(&loss, 1.0)?;
    let shape = cx.shape(&loss)?;
    let weight = match weights {
        Some(weights) => cx.apply(Op::Gather { axis: 0 }, &[weights, &class])?,
        None => cx.spread(&one, shape)?,
    };
    let weight = match &ignored {
        None => weight,
        Some(ignored) => {
            let zero = cx.number(&weight, 0.0)?;
            cx.pick(ignored, &zero, &weight)?
        }
    };
    let plain = weights.is_none() && ignored.is_none();
    let loss = match plain {
        true => loss,
        false => cx.mul(&loss, &weight)?,
    };
    let axes: Vec<usize> = (0..cx.rank(&loss)?).collect();
    match call.attributes().text_or("reduction", "mean")? {
        "none" => Ok(loss),
        "sum" => cx.reduce(ReduceOp::Sum, &loss, &axes, false),
        "mean" if plain => cx.reduce(ReduceOp::Mean, &loss, &axes, false),
        "mean" => {
            let sum = cx.reduce(ReduceOp::Sum, &loss, &axes, false)?;
            let total = cx.reduce(ReduceOp::Sum, &weight, &axes, false)?;
            cx.div(&sum, &total)
        }
        other => Err(OpError::input(format!("reduction=`{other}` is unknown"))),
    }
}

/// `NegativeLogLikelihoodLoss`.
pub fn negative_log_likelihood(cx: &mut Lower, call: &Call) -> Out {
    let logs = call.input(0)?.clone();
    Ok(vec![likelihood(cx, call, &logs)?])
}

/// `SoftmaxCrossEntropyLoss`; the second result are the log-probabilities.
pub fn softmax_cross_entropy(cx: &mut Lower, call: &Call) -> Out {
    let logs = log_softmax_of(cx, call.input(0)?, 1)?;
    Ok(vec![likelihood(cx, call, &logs)?, logs])
}
