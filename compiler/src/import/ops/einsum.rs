//! `Einsum`: operands are contracted pair by pair, each pair as a matrix product.

use std::collections::BTreeMap;

use llmc_ir::{Dim, Op, ReduceOp};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::Made;

/// A value whose axes have labels, each once.
struct Labelled {
    value: Val,
    labels: Vec<u32>,
}

/// Labels of axes that an ellipsis stands for, counted from the last, follow those of all letters.
const ELLIPSIS: u32 = 1 << 16;

/// The labels of a term for `rank` axes (of which an ellipsis takes the rest).
fn labels(term: &str, rank: usize) -> Result<Vec<u32>, OpError> {
    let wrong = || OpError::input(format!("`{term}` does not name {rank} axes"));
    let (before, after) = match term.split_once("...") {
        None => (term, None),
        Some((before, after)) => (before, Some(after)),
    };
    let letters = |text: &str| {
        let good = text.chars().all(|c| c.is_ascii_alphabetic());
        good.then(|| text.chars().map(u32::from).collect::<Vec<_>>())
            .ok_or_else(wrong)
    };
    let mut all = letters(before)?;
    if let Some(after) = after {
        let after = letters(after)?;
        let open = rank
            .checked_sub(all.len() + after.len())
            .ok_or_else(wrong)?;
        all.extend((0..open as u32).rev().map(|i| ELLIPSIS + i));
        all.extend(after);
    }
    match all.len() == rank {
        true => Ok(all),
        false => Err(wrong()),
    }
}

/// Takes the diagonal of axes with the same label.
fn distinct(cx: &mut Lower, mut x: Labelled) -> Result<Labelled, OpError> {
    let repeated = |labels: &[u32]| {
        (0..labels.len()).find_map(|j| Some((labels[..j].iter().position(|l| *l == labels[j])?, j)))
    };
    while let Some((i, j)) = repeated(&x.labels) {
        let rank = x.labels.len();
        let rest: Vec<usize> = (0..rank).filter(|a| *a != i && *a != j).collect();
        let value = cx.permute(&x.value, [vec![i, j], rest.clone()].concat())?;
        let n = cx.extents(&value)?[0];
        let tuples: Vec<i64> = (0..n as i64).flat_map(|k| [k, k]).collect();
        let tuples = cx.int_constant(vec![n, 2], &tuples)?;
        x.value = cx.apply(Op::GatherNd { batch_dims: 0 }, &[&value, &tuples])?;
        x.labels = std::iter::once(i)
            .chain(rest)
            .map(|a| x.labels[a])
            .collect();
    }
    Ok(x)
}

/// Sums over labels that nothing needs any more.
fn summed(cx: &mut Lower, x: Labelled, needed: impl Fn(u32) -> bool) -> Result<Labelled, OpError> {
    let gone = |a: &usize| !needed(x.labels[*a]);
    let axes: Vec<usize> = (0..x.labels.len()).filter(gone).collect();
    let value = cx.reduce(ReduceOp::Sum, &x.value, &axes, false)?;
    let labels = x.labels.iter().copied().filter(|l| needed(*l)).collect();
    Ok(Labelled { value, labels })
}

fn ordered(cx: &mut Lower, x: &Labelled, labels: &[u32]) -> Made {
    let place = |l: &u32| x.labels.iter().position(|m| m == l);
    let perm: Option<Vec<usize>> = labels.iter().map(place).collect();
    let perm = perm.ok_or_else(|| OpError::input("the result has a label that no operand has"))?;
    cx.permute(&x.value, perm)
}

/// The product of two operands, summed over what both have and nothing else needs.
fn contracted(
    cx: &mut Lower,
    a: Labelled,
    b: Labelled,
    needed: impl Fn(u32) -> bool,
) -> Result<Labelled, OpError> {
    let both = |l: &u32| a.labels.contains(l) && b.labels.contains(l);
    let pick = |from: &[u32], keep: &dyn Fn(&u32) -> bool| -> Vec<u32> {
        from.iter().copied().filter(|l| keep(l)).collect()
    };
    let batch = pick(&a.labels, &|l| both(l) && needed(*l));
    let inner = pick(&a.labels, &|l| both(l) && !needed(*l));
    let (left, right) = (
        pick(&a.labels, &|l| !both(l)),
        pick(&b.labels, &|l| !both(l)),
    );
    let mut extents: BTreeMap<u32, Dim> = BTreeMap::new();
    for x in [&a, &b] {
        for (label, dim) in x.labels.iter().zip(cx.shape(&x.value)?) {
            // an extent of 1 broadcasts
            if extents.get(label).is_none_or(|d| d.is(1)) {
                extents.insert(*label, dim);
            }
        }
    }
    let dims = |labels: &[u32]| -> Vec<Dim> {
        labels
            .iter()
            .map(|l| extents.get(l).cloned().unwrap_or_default())
            .collect()
    };
    let product = |labels: &[u32]| dims(labels).iter().fold(Dim::one(), |n, d| &n * d);
    let mut matrix = |x: &Labelled, order: [&[u32]; 3]| {
        let all = order.concat();
        let value = ordered(cx, x, &all)?;
        let value = cx.spread(&value, dims(&all))?;
        let [batch, rows, columns] = order;
        cx.reshape(
            &value,
            [dims(batch), vec![product(rows), product(columns)]].concat(),
        )
    };
    let x = matrix(&a, [&batch, &left, &inner])?;
    let y = matrix(&b, [&batch, &inner, &right])?;
    let value = cx.matmul(&x, &y)?;
    let labels = [batch, left, right].concat();
    let value = cx.reshape(&value, dims(&labels))?;
    Ok(Labelled { value, labels })
}

/// `Einsum`.
pub fn einsum(cx: &mut Lower, call: &Call) -> Out {
    let equation: String = call
        .attributes()
        .text_or("equation", "")?
        .split_whitespace()
        .collect();
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, Some(result)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    let operands = call.all()?;
    if terms.len() != operands.len() {
        return Err(OpError::input(format!(
            "`{equation}` names {} operands of {}",
            terms.len(),
            operands.len()
        )));
    }
    let mut all = Vec::new();
    let mut uses: BTreeMap<u32, usize> = BTreeMap::new();
    for (term, operand) in terms.iter().zip(&operands) {
        let labels = labels(term, cx.rank(operand)?)?;
        labels
            .iter()
            .for_each(|l| *uses.entry(*l).or_default() += 1);
        let value = (*operand).clone();
        all.push(distinct(cx, Labelled { value, labels })?);
    }
    let mut spread: Vec<u32> = uses.keys().copied().filter(|l| *l >= ELLIPSIS).collect();
    spread.reverse();
    let wanted: Vec<u32> = match result {
        Some(result) => {
            let rank = match result.contains("...") {
                true => result.len() - 3 + spread.len(),
                false => result.len(),
            };
            labels(result, rank)?
        }
        // as Einstein wrote it: labels that occur once, in alphabetic order
        None => {
            let once = uses.iter().filter(|(l, n)| **n == 1 && **l < ELLIPSIS);
            spread.into_iter().chain(once.map(|(l, _)| *l)).collect()
        }
    };
    let mut rest = all.into_iter();
    let mut value = rest
        .next()
        .ok_or_else(|| OpError::input("it has no operands"))?;
    let mut waiting: Vec<Labelled> = rest.collect();
    while !waiting.is_empty() {
        let next = waiting.remove(0);
        let later = |l: u32| wanted.contains(&l) || waiting.iter().any(|x| x.labels.contains(&l));
        let a = summed(cx, value, |l| later(l) || next.labels.contains(&l))?;
        let b = summed(cx, next, |l| later(l) || a.labels.contains(&l))?;
        value = contracted(cx, a, b, later)?;
    }
    let value = summed(cx, value, |l| wanted.contains(&l))?;
    Ok(vec![ordered(cx, &value, &wanted)?])
}
