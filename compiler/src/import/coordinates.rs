//! Integers computed from the coordinates of selected elements, see [`super::selected`].

use llmc_ir::{BinaryOp, Bindings, Dim, Op, Type, eval_op};
use llmc_tensor::Tensor;

use super::error::OpError;
use super::value::Val;

/// first + steps . coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affine {
    first: Dim,
    steps: Vec<Dim>,
}

impl Affine {
    /// The axes of the mask that this counts through, outermost first, if it is the index of an axis of `extent` that is
    /// made of them in row-major order.
    pub fn axes(&self, mask: &[Dim], extent: &Dim) -> Option<Vec<usize>> {
        let mut left: Vec<usize> = (0..mask.len()).filter(|i| !self.steps[*i].is(0)).collect();
        let (mut used, mut step) = (Vec::new(), Dim::one());
        while !left.is_empty() {
            let next = left.iter().position(|i| self.steps[*i] == step)?;
            let axis = left.remove(next);
            step = &step * &mask[axis];
            used.insert(0, axis);
        }
        (self.first.is(0) && step == *extent && !used.is_empty()).then_some(used)
    }

    fn constant(first: Dim, rank: usize) -> Affine {
        Affine {
            first,
            steps: vec![Dim::zero(); rank],
        }
    }

    fn map2(&self, other: &Affine, f: impl Fn(&Dim, &Dim) -> Dim) -> Affine {
        let steps = self.steps.iter().zip(&other.steps);
        Affine {
            first: f(&self.first, &other.first),
            steps: steps.map(|(a, b)| f(a, b)).collect(),
        }
    }

    fn as_constant(&self) -> Option<&Dim> {
        self.steps.iter().all(|s| s.is(0)).then_some(&self.first)
    }
}

/// A form for each element of a value, whose axis of selected elements counts as 1.
#[derive(Clone, Debug)]
pub struct Coordinates {
    forms: Vec<Affine>,
}

impl Coordinates {
    /// `[rank, selected]`: each coordinate of each selected element.
    pub fn all(rank: usize) -> Coordinates {
        let unit = |i: usize| Affine {
            first: Dim::zero(),
            steps: (0..rank).map(|j| Dim::from(usize::from(i == j))).collect(),
        };
        Coordinates {
            forms: (0..rank).map(unit).collect(),
        }
    }

    /// The forms in row-major order.
    pub fn forms(&self) -> &[Affine] {
        &self.forms
    }

    /// The form, if all elements have one.
    pub fn same(&self) -> Option<&Affine> {
        let first = self.forms.first()?;
        self.forms.iter().all(|f| f == first).then_some(first)
    }

    /// An op on coordinates, and integers that are known: moves elements, adds, subtracts or multiplies by a known one.
    ///
    /// # Errors
    /// Other ops.
    pub fn apply(
        op: &Op,
        operands: &[&Val],
        ty: &Type,
        count: &Dim,
    ) -> Result<Coordinates, OpError> {
        let other = || {
            OpError::unsupported(
                format!(
                    "`{}` of the coordinates that a mask selects is not supported",
                    op.name()
                ),
                "export every expert for all tokens",
            )
        };
        let rank = operands
            .iter()
            .find_map(|v| own(v))
            .and_then(|c| c.forms.first());
        let rank = rank.map(|f| f.steps.len()).ok_or_else(other)?;
        let one = |shape: &[Dim]| -> Option<Vec<usize>> {
            let extent = |d: &Dim| match d == count {
                true => Some(1),
                false => d.as_const().and_then(|n| usize::try_from(n).ok()),
            };
            shape.iter().map(extent).collect()
        };
        let forms_of = |v: &Val| -> Option<(Vec<usize>, Vec<Affine>)> {
            let shape = one(&v.ty.as_ref()?.shape)?;
            let forms = match own(v) {
                Some(c) => c.forms.clone(),
                None => {
                    let dims = v.as_dims()?.into_iter();
                    dims.map(|d| Affine::constant(d, rank)).collect()
                }
            };
            Some((shape, forms))
        };
        let all: Option<Vec<(Vec<usize>, Vec<Affine>)>> =
            operands.iter().map(|v| forms_of(v)).collect();
        let (all, shape) = (all.ok_or_else(other)?, one(&ty.shape).ok_or_else(other)?);
        // Where the elements of the result come from: the op run on numbers of elements.
        let mut table = Vec::new();
        let mut numbers = Vec::new();
        for (shape, forms) in &all {
            let from = table.len() as i64;
            let own: Vec<i64> = (0..forms.len() as i64).map(|i| from + i).collect();
            numbers.push(
                Tensor::from_vec(shape.clone(), own).map_err(|e| OpError::bug(e.to_string()))?,
            );
            table.extend(forms.iter().cloned());
        }
        let moved = |op: &Op, numbers: &[&Tensor]| -> Result<Vec<Affine>, OpError> {
            let found = eval_op(op, numbers, &Bindings::new()).map_err(|_| other())?;
            let found = found.to_i64_vec().map_err(|_| other())?;
            let form = |i: &i64| usize::try_from(*i).ok().and_then(|i| table.get(i).cloned());
            found
                .iter()
                .map(form)
                .collect::<Option<_>>()
                .ok_or_else(other)
        };
        let spread = |x: &Tensor| {
            let shape = shape.iter().map(|n| Dim::from(*n)).collect();
            moved(&Op::Expand { shape }, &[x])
        };
        let forms = match (op, &numbers[..]) {
            (Op::Cast(to), [x]) if to.is_int() => spread(x)?,
            (Op::Reshape { .. }, [x]) => {
                let to = shape.iter().map(|n| Dim::from(*n)).collect();
                moved(&Op::Reshape { shape: to }, &[x])?
            }
            (Op::Expand { .. }, [x]) => spread(x)?,
            (Op::Transpose { .. }, [x]) => moved(op, &[x])?,
            (Op::Slice { axis, .. }, [x]) if ty.shape.get(*axis) != Some(count) => moved(op, &[x])?,
            (Op::Gather { axis }, [x, _])
                if own(operands[0]).is_some() && own(operands[1]).is_none() =>
            {
                let index = operands[1].as_const().ok_or_else(other)?;
                if operands[0].ty.as_ref().and_then(|t| t.shape.get(*axis)) == Some(count) {
                    return Err(other());
                }
                moved(op, &[x, index])?
            }
            (Op::Concat { axis }, many) if ty.shape.get(*axis) != Some(count) => {
                moved(op, &many.iter().collect::<Vec<_>>())?
            }
            (Op::Binary(f), [a, b]) => {
                let (a, b) = (spread(a)?, spread(b)?);
                let pairs = a.iter().zip(&b);
                let combined: Option<Vec<Affine>> = pairs.map(|(a, b)| combine(*f, a, b)).collect();
                combined.ok_or_else(other)?
            }
            _ => return Err(other()),
        };
        Ok(Coordinates { forms })
    }
}

fn own(val: &Val) -> Option<&Coordinates> {
    super::selected::coordinates_of(val)
}

fn combine(f: BinaryOp, a: &Affine, b: &Affine) -> Option<Affine> {
    match f {
        BinaryOp::Add => Some(a.map2(b, |a, b| a + b)),
        BinaryOp::Sub => Some(a.map2(b, |a, b| a - b)),
        BinaryOp::Mul => match (a.as_constant(), b.as_constant()) {
            (_, Some(by)) => Some(a.map2(a, |x, _| x * by)),
            (Some(by), _) => Some(b.map2(b, |x, _| x * by)),
            _ => None,
        },
        _ => None,
    }
}
