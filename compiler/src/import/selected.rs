//! Values of the elements that a mask selects: `NonZero` of values that depend on tokens, gathers by it, what is computed from
//! the gathered rows, and the scatter back.
//!
//! ```text
//! e, t = NonZero(mask [k, T])       coordinates
//! y    = f(x[t]) * w[t, e]          rows, u of them
//! out  = data; out[t] += y
//! ```
//!
//! How many elements are selected is known at run time only. So such a value is held *dense*: in place of its axis of
//! selected elements it has the axes of the mask (1 where it does not depend on one), and is computed for all elements; the
//! scatter takes those that the mask shows. Rows do not know of each other until then, and what would mix them is refused.
//! Loops over experts are written like this.

use std::rc::Rc;

use llmc_ir::{BinaryOp, Dim, Op, ScatterOp, Type, infer};
use llmc_tensor::DType;

use super::coordinates::Coordinates;
use super::error::OpError;
use super::lower::Lower;
use super::value::{Content, Val};

/// Elements of the axes of a mask that are scattered to one place, at most.
const MAX_SHARED: i64 = 64;

/// Which elements are meant.
#[derive(Debug)]
pub struct Selection {
    /// True where an element is selected.
    pub mask: Val,
    /// The extents of the mask.
    pub dims: Vec<Dim>,
    /// How many there are.
    pub count: Dim,
}

/// A value with an axis of selected elements. Its type says what the file knows: the extent of the axis is a symbol of its own.
#[derive(Clone, Debug)]
pub struct Selected {
    /// Of which mask.
    pub selection: Rc<Selection>,
    /// What is known of it.
    pub what: What,
}

/// What is known of a value of selected elements.
#[derive(Clone, Debug)]
pub enum What {
    /// Integers computed from coordinates alone.
    Coordinates(Coordinates),
    /// Anything else.
    Rows(Box<Rows>),
}

/// Rows of selected elements.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The value with the axes of the mask in place of `axis`; each is whole or 1.
    dense: Val,
    /// A factor of the same form that is still to be multiplied, one number per element of the mask.
    factor: Option<Val>,
    /// The axis of the selected elements.
    axis: usize,
}

fn refused(what: &str) -> OpError {
    OpError::unsupported(
        format!("{what} the tokens that a mask selects (as many as an expert is given)"),
        "export every expert for all tokens",
    )
}

/// `NonZero` of a mask that depends on tokens: its coordinates `[rank, count]`.
pub fn non_zero(cx: &mut Lower, mask: &Val) -> Result<Val, OpError> {
    let dims = cx.shape(mask)?;
    let mask = cx.cast(mask, DType::Bool)?;
    let count = Dim::sym(cx.fresh_symbol("selected"));
    let ty = Type::new(DType::I64, [Dim::from(dims.len()), count.clone()]);
    let coordinates = Coordinates::all(dims.len());
    let selection = Rc::new(Selection { mask, dims, count });
    Ok(value(selection, What::Coordinates(coordinates), ty))
}

fn value(selection: Rc<Selection>, what: What, ty: Type) -> Val {
    Val {
        content: Content::Selected(Rc::new(Selected { selection, what })),
        ty: Some(ty),
        source: None,
    }
}

/// An operand that is rows.
fn rows_of(val: &Val) -> Option<&Rows> {
    match &val.content {
        Content::Selected(s) => match &s.what {
            What::Rows(rows) => Some(rows),
            What::Coordinates(_) => None,
        },
        _ => None,
    }
}

/// An operand that is coordinates.
pub(super) fn coordinates_of(val: &Val) -> Option<&Coordinates> {
    match &val.content {
        Content::Selected(s) => match &s.what {
            What::Coordinates(c) => Some(c),
            What::Rows(_) => None,
        },
        _ => None,
    }
}

/// Applies an op to operands of which one at least is of selected elements.
///
/// # Errors
/// Ops that mix selected elements, or elements of several masks.
pub fn apply(cx: &mut Lower, op: Op, operands: &[&Val]) -> Result<Val, OpError> {
    let mut selections = operands.iter().filter_map(|v| match &v.content {
        Content::Selected(s) => Some(&s.selection),
        _ => None,
    });
    let Some(selection) = selections.next().cloned() else {
        return Err(OpError::bug("no operand is of selected elements"));
    };
    if selections.any(|other| !Rc::ptr_eq(other, &selection)) {
        return Err(refused("an op takes the tokens of one mask and"));
    }
    let types: Option<Vec<&Type>> = operands.iter().map(|v| v.ty.as_ref()).collect();
    let types = types.ok_or_else(super::value::unknown_type)?;
    let ty =
        infer(&op, &types, &Default::default()).map_err(|e| OpError::unsupported(e.message, ""))?;
    let dense = Dense { cx, selection, ty };
    if let Op::ScatterNd { batch_dims, op } = op {
        return dense.scatter(batch_dims, op, operands);
    }
    if let (Op::Gather { axis }, [data, index]) = (&op, operands)
        && let (None, Some(index)) = (rows_of(data), coordinates_of(index))
    {
        return dense.gather(data, *axis, index);
    }
    if let (Op::GatherNd { batch_dims: 0 }, [data, index]) = (&op, operands)
        && let (None, Some(index)) = (rows_of(data), coordinates_of(index))
    {
        return dense.gather_tuples(data, index);
    }
    if operands.iter().all(|v| rows_of(v).is_none()) {
        let found = Coordinates::apply(&op, operands, &dense.ty, &dense.selection.count)?;
        let Dense { selection, ty, .. } = dense;
        return Ok(value(selection, What::Coordinates(found), ty));
    }
    dense.op(op, operands)
}

/// An op on dense values.
struct Dense<'c, 'm> {
    cx: &'c mut Lower<'m>,
    selection: Rc<Selection>,
    /// The type of the result.
    ty: Type,
}

impl Dense<'_, '_> {
    fn rank(&self) -> usize {
        self.selection.dims.len()
    }

    fn made(self, rows: Rows) -> Val {
        value(self.selection, What::Rows(Box::new(rows)), self.ty)
    }

    /// The axis of a shape that is of selected elements.
    fn axis(&self, shape: &[Dim]) -> Result<usize, OpError> {
        let mut axes = (0..shape.len()).filter(|a| shape[*a] == self.selection.count);
        match (axes.next(), axes.next()) {
            (Some(axis), None) => Ok(axis),
            _ => Err(refused("an op mixes")),
        }
    }

    /// A shape with these extents in place of the axis of selected elements.
    fn opened(&self, shape: &[Dim], extents: &[Dim]) -> Vec<Dim> {
        let own = |d: &Dim| match *d == self.selection.count {
            true => extents.to_vec(),
            false => vec![d.clone()],
        };
        shape.iter().flat_map(own).collect()
    }

    /// The extents that the axes of the mask have in a dense value.
    fn extents(&self, rows: &Val, axis: usize) -> Result<Vec<Dim>, OpError> {
        let shape = self.cx.shape(rows)?;
        Ok(shape[axis..axis + self.rank()].to_vec())
    }

    /// Rows with their factor multiplied.
    fn whole(&mut self, rows: &Rows) -> Result<Val, OpError> {
        match &rows.factor {
            None => Ok(rows.dense.clone()),
            Some(factor) => self.cx.mul(&rows.dense, factor),
        }
    }

    /// An axis of the type of an operand, where it is in the dense value.
    fn moved(&self, axis: usize, at: usize) -> usize {
        if axis > at {
            axis + self.rank() - 1
        } else {
            axis
        }
    }

    /// Ops that work on each selected element by itself.
    fn op(mut self, op: Op, operands: &[&Val]) -> Result<Val, OpError> {
        let first = operands
            .first()
            .copied()
            .ok_or_else(|| refused("an op takes"))?;
        let (more, shape) = (self.rank() - 1, self.ty.shape.clone());
        let Some(rows) = rows_of(first).cloned() else {
            return match op {
                Op::Binary(_) | Op::Compare(_) | Op::Where => self.elementwise(op, operands),
                _ => Err(refused("an op mixes")),
            };
        };
        let at = rows.axis;
        match op {
            Op::Cast(to) if first.dtype()? == to => Ok(first.clone()),
            Op::Expand { .. } if self.cx.shape(first)? == shape => Ok(first.clone()),
            Op::Unary(_) | Op::Cast(_) => {
                let x = self.whole(&rows)?;
                let dense = self.cx.apply(op, &[&x])?;
                Ok(self.made(Rows {
                    dense,
                    factor: None,
                    axis: at,
                }))
            }
            Op::Binary(_) | Op::Compare(_) | Op::Where => self.elementwise(op, operands),
            Op::MatMul | Op::MatMulDequantized { .. }
                if operands[1..].iter().all(|v| {
                    rows_of(v).is_none() && v.ty.as_ref().is_some_and(|t| t.rank() <= 2)
                }) && at + 1 < self.cx.rank(first)? =>
            {
                let x = self.whole(&rows)?;
                let all: Vec<&Val> = [&x]
                    .into_iter()
                    .chain(operands[1..].iter().copied())
                    .collect();
                let dense = self.cx.apply(op, &all)?;
                Ok(self.made(Rows {
                    dense,
                    factor: None,
                    axis: at,
                }))
            }
            Op::RmsNorm { .. } | Op::LayerNorm { .. } if at + 1 < self.cx.rank(first)? => {
                let x = self.whole(&rows)?;
                let all: Vec<&Val> = [&x]
                    .into_iter()
                    .chain(operands[1..].iter().copied())
                    .collect();
                let dense = self.cx.apply(op, &all)?;
                Ok(self.made(Rows {
                    dense,
                    factor: None,
                    axis: at,
                }))
            }
            Op::Transpose { perm } => {
                let axis = perm.iter().position(|p| *p == at).unwrap_or(at);
                let perm: Vec<usize> = perm
                    .iter()
                    .flat_map(|p| match *p == at {
                        true => (at..=at + more).collect(),
                        false => vec![self.moved(*p, at)],
                    })
                    .collect();
                let dense = self.cx.permute(&rows.dense, perm.clone())?;
                let factor = rows.factor.map(|f| self.cx.permute(&f, perm)).transpose()?;
                Ok(self.made(Rows {
                    dense,
                    factor,
                    axis,
                }))
            }
            Op::Reshape { shape: to } => {
                let axis = self.axis(&to)?;
                let outside = |dims: &[Dim]| dims.iter().fold(Dim::one(), |n, d| &n * d);
                if outside(&to[..axis]) != outside(&self.cx.shape(first)?[..at]) {
                    return Err(refused("a reshape mixes"));
                }
                let x = self.whole(&rows)?;
                let extents = self.extents(&x, at)?;
                let to = self.opened(&to, &extents);
                let dense = self.cx.reshape(&x, to)?;
                Ok(self.made(Rows {
                    dense,
                    factor: None,
                    axis,
                }))
            }
            Op::Slice {
                axis,
                start,
                end,
                step,
            } if axis != at => {
                let x = self.whole(&rows)?;
                let op = Op::Slice {
                    axis: self.moved(axis, at),
                    start,
                    end,
                    step,
                };
                let dense = self.cx.apply(op, &[&x])?;
                Ok(self.made(Rows {
                    dense,
                    factor: None,
                    axis: at,
                }))
            }
            Op::Softmax { axis } if axis != at => {
                let x = self.whole(&rows)?;
                let op = Op::Softmax {
                    axis: self.moved(axis, at),
                };
                let dense = self.cx.apply(op, &[&x])?;
                Ok(self.made(Rows {
                    dense,
                    factor: None,
                    axis: at,
                }))
            }
            Op::Reduce {
                op,
                axes,
                keepdims: true,
            } if !axes.contains(&at) => {
                let x = self.whole(&rows)?;
                let axes: Vec<usize> = axes.iter().map(|a| self.moved(*a, at)).collect();
                let dense = self.cx.reduce(op, &x, &axes, true)?;
                Ok(self.made(Rows {
                    dense,
                    factor: None,
                    axis: at,
                }))
            }
            _ => Err(refused(&format!("`{}` mixes", op.name()))),
        }
    }

    /// Elementwise ops; operands that are not selected are the same for all elements.
    fn elementwise(mut self, op: Op, operands: &[&Val]) -> Result<Val, OpError> {
        let shape = self.ty.shape.clone();
        let axis = self.axis(&shape)?;
        if let (Op::Binary(BinaryOp::Mul), [a, b]) = (&op, operands)
            && let (Some(x), Some(y)) = (rows_of(a), rows_of(b))
        {
            for (x, y, other) in [(x, y, *b), (y, x, *a)] {
                let per_element = self.cx.ty(other)?.elements() == self.selection.count;
                if x.factor.is_none() && y.factor.is_none() && per_element && x.axis == axis {
                    let ones = vec![Dim::one(); shape.len() - 1];
                    let factor = self.aligned(other, shape.len(), axis)?;
                    let dense = x.dense.clone();
                    if self.cx.rank(&dense)? == ones.len() + self.rank() {
                        return Ok(self.made(Rows {
                            dense,
                            factor: Some(factor),
                            axis,
                        }));
                    }
                }
            }
        }
        let mut all = Vec::with_capacity(operands.len());
        for operand in operands {
            all.push(self.aligned(operand, shape.len(), axis)?);
        }
        let all: Vec<&Val> = all.iter().collect();
        let dense = self.cx.apply(op, &all)?;
        Ok(self.made(Rows {
            dense,
            factor: None,
            axis,
        }))
    }

    /// An operand of an elementwise op whose result has `rank` axes, that of the selected elements at `axis`: with axes for
    /// those of the mask.
    fn aligned(&mut self, operand: &Val, rank: usize, axis: usize) -> Result<Val, OpError> {
        let own = self.cx.shape(operand)?;
        let missing = rank - own.len();
        if let Some(rows) = rows_of(operand).cloned() {
            if rows.axis + missing != axis {
                return Err(refused("an op mixes"));
            }
            return self.whole(&rows);
        }
        if coordinates_of(operand).is_some() {
            return Err(refused("an op computes with the coordinates of"));
        }
        if axis < missing {
            return Ok(operand.clone());
        }
        // The axis of the selected elements is 1 here: inference saw to it.
        let mut shape = own;
        let more = vec![Dim::one(); self.rank() - 1];
        shape.splice(axis - missing..axis - missing, more);
        self.cx.reshape(operand, shape)
    }

    /// What a value was before it was reshaped: a reshape of it is the same.
    fn unshaped(&self, val: &Val) -> Val {
        let Content::Data(mut id) = val.content else {
            return val.clone();
        };
        while let (Op::Reshape { .. }, &[from]) = (self.cx.graph.op(id), self.cx.graph.operands(id))
        {
            id = from;
        }
        Val::data(id, self.cx.graph.ty(id).clone())
    }

    /// data by one index along an axis.
    fn gather(mut self, data: &Val, axis: usize, index: &Coordinates) -> Result<Val, OpError> {
        let shape = self.cx.shape(data)?;
        let [form] = index.forms() else {
            return Err(refused("a table is looked up by several indices of"));
        };
        let used = form.axes(&self.selection.dims, &shape[axis]);
        let used = used.ok_or_else(|| {
            refused("a table is looked up by other indices than the coordinates of")
        })?;
        // The axis as those of the mask that the index counts, outermost first, then in the order of the mask.
        let mut open = shape.clone();
        let counted = used.iter().map(|i| self.selection.dims[*i].clone());
        open.splice(axis..=axis, counted);
        let source = self.unshaped(data);
        let open = self.cx.reshape(&source, open)?;
        let dense = self.place(&open, axis, &used)?;
        // Dims of 1 that the index has besides.
        let at = self.axis(&self.ty.shape.clone())?;
        let extents = self.extents(&dense, axis)?;
        let to = self.opened(&self.ty.shape.clone(), &extents);
        let dense = self.cx.reshape(&dense, to)?;
        Ok(self.made(Rows {
            dense,
            factor: None,
            axis: at,
        }))
    }

    /// data [n0, n1, .., rest] by one index for each of its first axes.
    fn gather_tuples(mut self, data: &Val, index: &Coordinates) -> Result<Val, OpError> {
        let shape = self.cx.shape(data)?;
        let mut used = Vec::new();
        for (form, extent) in index.forms().iter().zip(&shape) {
            match form.axes(&self.selection.dims, extent).as_deref() {
                Some([axis]) if !used.contains(axis) => used.push(*axis),
                _ => {
                    return Err(refused(
                        "a table is looked up by other indices than the coordinates of",
                    ));
                }
            }
        }
        let dense = self.place(data, 0, &used)?;
        let at = self.axis(&self.ty.shape.clone())?;
        let extents = self.extents(&dense, 0)?;
        let to = self.opened(&self.ty.shape.clone(), &extents);
        let dense = self.cx.reshape(&dense, to)?;
        Ok(self.made(Rows {
            dense,
            factor: None,
            axis: at,
        }))
    }

    /// The axes from `axis` on, which are those of the mask in `used`, in the order of the mask and with 1 for the others.
    fn place(&mut self, val: &Val, axis: usize, used: &[usize]) -> Result<Val, OpError> {
        let rank = self.cx.rank(val)?;
        let mut order: Vec<usize> = (0..used.len()).collect();
        order.sort_by_key(|i| used[*i]);
        let inner = order.iter().map(|i| axis + i);
        let perm = (0..axis)
            .chain(inner)
            .chain(axis + used.len()..rank)
            .collect();
        let sorted = self.cx.permute(val, perm)?;
        let shape = self.cx.shape(&sorted)?;
        let mask = (0..self.rank()).map(|i| match used.contains(&i) {
            true => self.selection.dims[i].clone(),
            false => Dim::one(),
        });
        let outer = shape[..axis].iter().cloned();
        let rest = shape[axis + used.len()..].iter().cloned();
        let to = outer.chain(mask).chain(rest).collect();
        self.cx.reshape(&sorted, to)
    }

    /// data [b.., n, rest] with the rows [b.., selected, rest] at one coordinate.
    fn scatter(mut self, batch: usize, op: ScatterOp, operands: &[&Val]) -> Result<Val, OpError> {
        let [data, index, update] = operands else {
            return Err(OpError::bug("a scatter has three operands"));
        };
        let (Some(index), Some(rows)) = (coordinates_of(index), rows_of(update).cloned()) else {
            return Err(refused("a scatter needs coordinates and rows of"));
        };
        let extent = self.cx.shape(data)?[batch].clone();
        let target = match index.same() {
            Some(form) => form.axes(&self.selection.dims, &extent),
            None => None,
        };
        let Some([target]) = target.as_deref() else {
            return Err(refused("a scatter to other places than the coordinates of"));
        };
        if rows.axis != batch || !matches!(op, ScatterOp::Assign | ScatterOp::Add) {
            return Err(refused("a scatter mixes"));
        }
        let target = *target;
        // A factor stays apart if the rows are the same for all elements that meet.
        let ones = |extents: &[Dim]| (0..extents.len()).all(|i| i == target || extents[i].is(1));
        let (y, factor) = match rows.factor.clone() {
            Some(factor) if ones(&self.extents(&rows.dense, batch)?) => {
                (rows.dense.clone(), Some(factor))
            }
            _ => (self.whole(&rows)?, None),
        };
        let turns = self.turns(target)?;
        let mut out = (*data).clone();
        let mut share: Option<Val> = None;
        let mut shown: Option<Val> = None;
        for turn in &turns {
            let mask = self.one(&self.selection.mask.clone(), 0, target, turn)?;
            let mask = self.beside(&mask, &y, batch)?;
            match &factor {
                Some(factor) => {
                    let own = self.one(factor, batch, target, turn)?;
                    let before = match &share {
                        Some(before) => before.clone(),
                        None => self.cx.number(&own, 0.0)?,
                    };
                    let own = match (op, share.is_some()) {
                        (ScatterOp::Add, true) => self.cx.sum(&before, &own)?,
                        _ => own,
                    };
                    share = Some(self.cx.pick(&mask, &own, &before)?);
                    shown = Some(match shown {
                        Some(shown) => self.cx.or(&shown, &mask)?,
                        None => mask,
                    });
                }
                None => {
                    let own = self.one(&y, batch, target, turn)?;
                    let own = match op {
                        ScatterOp::Add => self.cx.sum(&out, &own)?,
                        _ => own,
                    };
                    out = self.cx.pick(&mask, &own, &out)?;
                }
            }
        }
        if let (Some(share), Some(shown)) = (share, shown) {
            let own = self.one(&y, batch, target, &vec![0; self.rank()])?;
            let own = self.cx.mul(&own, &share)?;
            let own = match op {
                ScatterOp::Add => self.cx.sum(&out, &own)?,
                _ => own,
            };
            out = self.cx.pick(&shown, &own, &out)?;
        }
        Ok(out)
    }

    /// The elements of the mask that meet at one coordinate of its axis `target`: indices of all axes, in their order.
    fn turns(&self, target: usize) -> Result<Vec<Vec<i64>>, OpError> {
        let mut turns = vec![vec![]];
        for (axis, dim) in self.selection.dims.iter().enumerate() {
            let n = match axis == target {
                true => Some(1),
                false => dim.as_const().filter(|n| *n <= MAX_SHARED),
            };
            let n = n.ok_or_else(|| refused("a scatter adds up too many of"))?;
            turns = turns
                .iter()
                .flat_map(|turn: &Vec<i64>| (0..n).map(move |i| [&turn[..], &[i]].concat()))
                .collect();
        }
        Ok(turns)
    }

    /// The part of a dense value at indices of the mask's axes, which stand from `at` on; only `target` stays an axis.
    fn one(&mut self, val: &Val, at: usize, target: usize, turn: &[i64]) -> Result<Val, OpError> {
        let mut part = val.clone();
        for (axis, index) in turn.iter().enumerate().filter(|(axis, _)| *axis != target) {
            if !self.cx.shape(&part)?[at + axis].is(1) {
                part = self.cx.part(&part, at + axis, *index, index + 1)?;
            }
        }
        let mut shape = self.cx.shape(&part)?;
        let kept = shape[at + target].clone();
        shape.splice(at..at + self.rank(), [kept]);
        self.cx.reshape(&part, shape)
    }

    /// A mask [n] for values [b.., n, rest]: with ones for the rest.
    fn beside(&mut self, mask: &Val, dense: &Val, batch: usize) -> Result<Val, OpError> {
        let rest = self.cx.rank(dense)? - batch - self.rank();
        let mut shape = self.cx.shape(mask)?;
        shape.extend(vec![Dim::one(); rest]);
        self.cx.reshape(mask, shape)
    }
}
