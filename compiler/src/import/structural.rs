//! Values that depend only on shapes, positions and the attention mask, where a token-dependent node uses one.
//!
//! Such a value is computed on samples with the same operator functions that build the graph, recognised
//! (see [`super::recognise`]), and becomes a constant, rows of a position table, or a mask.

use std::collections::BTreeMap;

use llmc_ir::{
    Bindings, Dim, MaskForm, MaskKind, Op, Real, Symbol, Type, UnaryOp, ValueId, eval_op,
};
use llmc_tensor::{DType, Tensor};

use super::call::Call;
use super::error::{Category, OpError};
use super::lower::Lower;
use super::model::{Node, ValueIx};
use super::ops;
use super::recognise::{Family, MaskValues, Sample, recognise};
use super::roles::Role;
use super::value::{Content, Val};

/// Longest chain of operators on large constants; each link takes some of the stack.
const MAX_DEPTH: usize = 64;

/// Samples beyond so many tokens are about the longest context.
const LONG: usize = 64;

/// Values on samples are forgotten when they take more than so many bytes.
const MEMO_BYTES: usize = 128 << 20;

impl Lower<'_> {
    /// The graph node of a value.
    ///
    /// # Errors
    /// If a structural value fits no family.
    pub(super) fn materialise(&mut self, val: &Val) -> Result<ValueId, OpError> {
        match &val.content {
            Content::Data(id) => Ok(*id),
            Content::Selected(_) => Err(OpError::unsupported(
                "as many elements as a mask of tokens selects are used where all are expected",
                "export every expert for all tokens",
            )),
            Content::Const(tensor) => self.constant_node(val.source, tensor),
            Content::Ints(_) | Content::Structural { .. } => {
                let Some(ix) = val.source else {
                    return Err(OpError::bug(
                        "an unnamed structural value meets one that depends on tokens",
                    ));
                };
                if let Some(&id) = self.materialised.get(&ix) {
                    return Ok(id);
                }
                let node = self.producers.get(ix.index()).cloned().flatten();
                let origin = match &node {
                    Some(node) => std::mem::replace(&mut self.origin, node.name.clone()),
                    None => self.origin.clone(),
                };
                let hidden = self.model.constants.get(&ix);
                let made = match (node, val.is_const_only(), hidden) {
                    (Some(node), true, _) => self.emit_constant(&node, ix),
                    (None, true, Some(tensor)) => self.constant_node(Some(ix), tensor),
                    _ => self.recognised(ix),
                };
                let at = std::mem::replace(&mut self.origin, origin);
                let id = made.map_err(|e| OpError {
                    reason: format!("operand from `{at}`: {}", e.reason),
                    ..e
                })?;
                self.materialised.insert(ix, id);
                Ok(id)
            }
        }
    }

    /// Checks that a value holds one length, `expected`, whatever the number of tokens.
    ///
    /// # Errors
    /// If it does not; `what` the length stands for is in the message.
    pub(super) fn must_be_length(
        &mut self,
        val: &Val,
        expected: impl Fn(Sample) -> i64,
        what: &str,
    ) -> Result<(), OpError> {
        for sample in self.space.fit() {
            let found = match (val.as_const(), val.source) {
                (Some(tensor), _) => Some(tensor.clone()),
                (None, Some(ix)) if !val.is_data() => self.on_sample(ix, sample)?,
                _ => {
                    return Err(OpError::unsupported(
                        format!("a length depends on the values of tokens; {what} is expected"),
                        "",
                    ));
                }
            };
            let wanted = expected(sample);
            let values = found.map(|t| t.to_i64_vec()).transpose();
            let values = values.map_err(|e| OpError::input(e.to_string()))?;
            if values.is_some_and(|v| v.iter().any(|n| *n != wanted)) {
                let Sample { seq, past } = sample;
                return Err(OpError::unsupported(
                    format!(
                        "for {seq} tokens after {past}, a length is not {wanted}: {what} is expected"
                    ),
                    "export the model for sequences without padding",
                ));
            }
        }
        Ok(())
    }

    /// What a mask hides; `None` if it depends on tokens or is no mask that attention knows.
    ///
    /// # Errors
    /// If it fits no family at all.
    pub(super) fn mask_kind(&mut self, val: &Val) -> Result<Option<MaskKind>, OpError> {
        if val.is_data() {
            return Ok(None);
        }
        let mut id = self.materialise(val)?;
        while let (Op::Reshape { .. } | Op::Expand { .. } | Op::Cast(_), &[from]) =
            (self.graph.op(id), self.graph.operands(id))
        {
            id = from;
        }
        Ok(match self.graph.op(id) {
            Op::Mask { kind, .. } => Some(*kind),
            _ => None,
        })
    }

    /// Gives an extent that the file left open.
    ///
    /// # Errors
    /// None for a symbol of an input alone.
    pub(super) fn bind_symbol(
        &mut self,
        val: &Val,
        symbol: &Symbol,
        extent: &Dim,
    ) -> Result<Val, OpError> {
        let id = self.materialise(val)?;
        // Caches of all layers may share one symbol: the first binds it for all.
        let shape = &self.graph.ty(id).shape;
        if shape.iter().any(|d| d.symbols().contains(symbol)) {
            let bound = BTreeMap::from([(symbol.clone(), extent.clone())]);
            let done = self.graph.substitute(&bound);
            done.map_err(|e| OpError::bug(format!("{symbol} = {extent}: {e:?}")))?;
        }
        Ok(Val::data(id, self.graph.ty(id).clone()))
    }

    /// The constant table and the indices that a value's rows are picked by, if it is that.
    pub(super) fn picked_rows(&self, val: &Val) -> Option<(Val, Val)> {
        let Content::Data(id) = val.content else {
            return None;
        };
        let (Op::Gather { axis: 0 }, &[table, indices]) =
            (self.graph.op(id), self.graph.operands(id))
        else {
            return None;
        };
        self.graph.as_const(table)?;
        let node = |id: ValueId| Val::data(id, self.graph.ty(id).clone());
        Some((node(table), node(indices)))
    }

    /// True for models with a cache of earlier tokens.
    pub(super) fn has_cache(&self) -> bool {
        let mut inputs = self.roles.inputs.iter();
        inputs.any(|(_, input)| input.role == Role::Past)
    }

    /// True if every use of a value, by a node as an operand of this number, satisfies `fits`, and it is no output.
    pub(super) fn all_users(&self, value: ValueIx, fits: impl Fn(&Node, usize) -> bool) -> bool {
        let uses = self.model.nodes.iter().flat_map(|node| {
            let operands = node.inputs.iter().enumerate();
            operands
                .filter(|(_, i)| **i == Some(value))
                .map(move |(at, _)| (node, at))
        });
        let outputs = &self.model.outputs;
        uses.into_iter().all(|(node, at)| fits(node, at))
            && outputs.iter().all(|o| o.value != value)
    }

    /// Number of tokens before the new ones.
    pub(super) fn past_length(&self) -> Dim {
        self.roles.past.clone()
    }

    /// The rows of a table for the positions of the new tokens.
    ///
    /// # Errors
    /// A table that is no matrix of constants.
    pub(super) fn position_rows_of(&mut self, table: &Val) -> Result<Val, OpError> {
        let (start, rows) = (self.roles.past.clone(), self.roles.seq.clone());
        if !table.is_data() && !table.is_const_only() {
            // Which table it is depends on lengths.
            let end = &start + &rows;
            let op = Op::Slice {
                axis: 0,
                start,
                end,
                step: 1,
            };
            let picked = self.apply(op, &[table])?;
            return self.known_rows(&picked);
        }
        let table = self.materialise(table)?;
        let op = Op::PositionRows {
            start,
            rows,
            short: 0,
        };
        let id = self.share(op, &[table])?;
        Ok(Val::data(id, self.graph.ty(id).clone()))
    }

    /// A value as a node of the graph, recognised if it depends on positions.
    ///
    /// # Errors
    /// If it fits no family.
    pub(super) fn known_rows(&mut self, val: &Val) -> Result<Val, OpError> {
        let id = self.materialise(val)?;
        Ok(Val::data(id, self.graph.ty(id).clone()))
    }

    /// Ops for a value of constants that is too large to compute on import, such as a transposed weight.
    fn emit_constant(&mut self, node: &Node, ix: ValueIx) -> Result<ValueId, OpError> {
        let call = Call {
            node,
            inputs: self.operands(node),
        };
        let row = ops::find(node).ok_or_else(|| OpError::bug("the operator has no row"))?;
        if self.depth >= MAX_DEPTH {
            return Err(OpError::unsupported(
                format!(
                    "more than {MAX_DEPTH} operators on large constants alone follow each other"
                ),
                "fold constants when exporting",
            ));
        }
        let before = std::mem::replace(&mut self.emit_constants, true);
        self.depth += 1;
        let results = (row.lower)(self, &call);
        self.depth -= 1;
        self.emit_constants = before;
        let position = node.outputs.iter().position(|o| *o == Some(ix));
        match position.and_then(|i| results.as_ref().map(|r| r.get(i)).transpose()) {
            Some(Ok(val)) => {
                let val = val.clone();
                self.materialise(&val)
            }
            _ => Err(results
                .err()
                .unwrap_or_else(|| OpError::bug("the operator lost a result"))),
        }
    }

    fn operands(&self, node: &Node) -> Vec<Option<Val>> {
        node.inputs
            .iter()
            .map(|i| i.and_then(|ix| self.values[ix.index()].clone()))
            .collect()
    }

    fn recognised(&mut self, ix: ValueIx) -> Result<ValueId, OpError> {
        if self.sample_bytes > MEMO_BYTES {
            self.samples.clear();
            self.sample_bytes = 0;
        }
        let space = self.space;
        let family = recognise(&space, &mut |sample| self.on_sample(ix, sample))?;
        match family {
            Family::Constant(tensor) => self.constant_node(Some(ix), &tensor),
            Family::Rows { axis, short, table } => {
                if short > 0 {
                    self.notes.insert(format!(
                        "the file rotates contexts of more than {short} tokens by another table: which one it is, each launch decides by the tokens so far"
                    ));
                }
                self.position_rows(ix, axis, short, table)
            }
            Family::Mask {
                outer,
                causal,
                window,
                values,
            } => {
                let dtype = self.values[ix.index()]
                    .as_ref()
                    .and_then(|v| v.ty.as_ref())
                    .map(|t| t.dtype);
                self.mask(
                    &outer,
                    MaskKind { causal, window },
                    values,
                    dtype.unwrap_or(DType::F32),
                )
            }
        }
    }

    /// A node of a recognised value; the same op on the same operands is added once.
    pub(super) fn share(&mut self, op: Op, operands: &[ValueId]) -> Result<ValueId, OpError> {
        let key = (op, operands.to_vec());
        if let Some(&id) = self.shared.get(&key) {
            let origin = [self.origin.clone()];
            self.graph.add_origin(id, &origin);
            return Ok(id);
        }
        let id = self.add(key.0.clone(), operands)?;
        self.shared.insert(key, id);
        Ok(id)
    }

    fn position_rows(
        &mut self,
        ix: ValueIx,
        axis: usize,
        short: usize,
        table: Tensor,
    ) -> Result<ValueId, OpError> {
        let ty = self.values[ix.index()].as_ref().and_then(|v| v.ty.clone());
        if let (Some(row), Some(ty)) = (same_rows(&table, axis), ty) {
            let row = self.constant_node(None, &row)?;
            return self.share(Op::Expand { shape: ty.shape }, &[row]);
        }
        let rest: Vec<usize> = table.shape().iter().skip(1).copied().collect();
        let rows = table.shape().first().copied().unwrap_or(0);
        let width: usize = rest.iter().product();
        let flat = table
            .reshape([rows, width])
            .map_err(|e| OpError::bug(e.to_string()))?;
        let known = self
            .position_tables
            .iter()
            .find(|(t, _)| *t == flat)
            .map(|(_, id)| *id);
        let table = match known {
            Some(id) => id,
            None => {
                let name = format!("{}#positions", self.name_of(ix));
                let id = self.add_const(name, flat.clone())?;
                self.position_tables.push((flat, id));
                id
            }
        };
        let (start, seq) = (self.roles.past.clone(), self.roles.seq.clone());
        let picked = self.share(
            Op::PositionRows {
                start,
                rows: seq.clone(),
                short,
            },
            &[table],
        )?;
        let dims = |list: &[usize]| list.iter().map(|&n| Dim::from(n)).collect::<Vec<_>>();
        let (before, after) = rest.split_at(axis);
        if before.iter().all(|&n| n == 1) {
            let shape = [dims(before), vec![seq], dims(after)].concat();
            return self.reshaped(picked, shape);
        }
        let opened = self.reshaped(picked, [vec![seq], dims(&rest)].concat())?;
        let mut perm: Vec<usize> = (1..=rest.len()).collect();
        perm.insert(axis, 0);
        self.share(Op::Transpose { perm }, &[opened])
    }

    fn reshaped(&mut self, id: ValueId, shape: Vec<Dim>) -> Result<ValueId, OpError> {
        match self.graph.ty(id).shape == shape {
            true => Ok(id),
            false => self.share(Op::Reshape { shape }, &[id]),
        }
    }

    fn mask(
        &mut self,
        outer: &[usize],
        kind: MaskKind,
        values: MaskValues,
        dtype: DType,
    ) -> Result<ValueId, OpError> {
        let form = match values {
            MaskValues::Visible | MaskValues::Hidden => MaskForm::Bool,
            // A mask that hides nothing shows no value for hidden.
            MaskValues::Additive(0.0) => MaskForm::Additive(Real::new(f32::NEG_INFINITY)),
            MaskValues::Additive(hidden) => MaskForm::Additive(Real::new(hidden)),
        };
        let (rows, cols) = (self.roles.seq.clone(), self.roles.total());
        let mut id = self.share(
            Op::Mask {
                kind,
                form,
                rows: rows.clone(),
                cols: cols.clone(),
            },
            &[],
        )?;
        if values == MaskValues::Hidden {
            id = self.share(Op::Unary(UnaryOp::Not), &[id])?;
        }
        if matches!(form, MaskForm::Additive(_)) && dtype != DType::F32 {
            id = self.share(Op::Cast(dtype), &[id])?;
        }
        let mut shape = vec![Dim::one(); outer.len()];
        shape.extend([rows, cols]);
        id = self.reshaped(id, shape.clone())?;
        if outer.iter().all(|n| *n == 1) {
            return Ok(id);
        }
        shape.splice(..outer.len(), outer.iter().map(|n| Dim::from(*n)));
        self.share(Op::Expand { shape }, &[id])
    }

    /// A value on a sample; `None` if something on the way is too large.
    fn on_sample(&mut self, ix: ValueIx, sample: Sample) -> Result<Option<Tensor>, OpError> {
        let (sampling, emitting) = (self.sampling, self.emit_constants);
        (self.sampling, self.emit_constants, self.too_large) = (true, false, false);
        let result = self.evaluate(ix, sample);
        (self.sampling, self.emit_constants) = (sampling, emitting);
        // Some files take whole prompts and single tokens only, and are wrong for what lies between.
        let between = sample.seq > 1 && sample.past > 0;
        match result {
            Err(_) if self.too_large => Ok(None),
            Err(e)
                if between
                    && e.category == Category::Input
                    && (self.whole_only || sample.total() <= LONG) =>
            {
                self.whole_only = true;
                Ok(None)
            }
            Err(e) => {
                let Sample { seq, past } = sample;
                let reason = format!("computed for {seq} tokens after {past}: {}", e.reason);
                // What works for short contexts and not for long ones has met a table that ends.
                Err(
                    match sample.total() > LONG && e.category == Category::Input {
                        true => OpError::unsupported(reason, "choose a shorter longest context"),
                        false => OpError { reason, ..e },
                    },
                )
            }
            Ok(tensor) => Ok(Some(tensor)),
        }
    }

    /// Operands first, by a stack of our own: the chains are as long as the model is deep.
    fn evaluate(&mut self, root: ValueIx, sample: Sample) -> Result<Tensor, OpError> {
        let bindings = self.roles.bindings(sample);
        let mut stack = vec![self.source_of(root)];
        while let Some(&ix) = stack.last() {
            if self.known_on_sample(ix, sample, &bindings)?.is_some() {
                stack.pop();
                continue;
            }
            if self.inner.contains_key(&ix) {
                stack.extend(self.evaluate_inner(ix, sample, &bindings)?);
                continue;
            }
            let Some(node) = self.producers.get(ix.index()).cloned().flatten() else {
                let input = self
                    .roles
                    .input(ix)
                    .ok_or_else(|| OpError::bug("a structural value without a source"))?;
                let tensor = input.on_sample(sample, &bindings)?;
                self.remember(ix, sample, tensor);
                continue;
            };
            let mut operands = Vec::with_capacity(node.inputs.len());
            let mut missing = Vec::new();
            for input in &node.inputs {
                match input {
                    None => operands.push(None),
                    Some(operand) => match self.known_on_sample(*operand, sample, &bindings)? {
                        Some(tensor) => operands.push(Some(Val::constant(tensor))),
                        None => missing.push(self.source_of(*operand)),
                    },
                }
            }
            if !missing.is_empty() {
                stack.extend(missing);
                continue;
            }
            let row = ops::find(&node).ok_or_else(|| OpError::bug("the operator has no row"))?;
            let results = (row.lower)(
                self,
                &Call {
                    node: &node,
                    inputs: operands,
                },
            );
            let results = results.map_err(|e| OpError {
                reason: format!("{} `{}`: {}", node.operator(), node.name, e.reason),
                ..e
            })?;
            for (output, val) in node.outputs.iter().zip(results) {
                if let (Some(output), Content::Const(tensor)) = (output, val.content) {
                    self.remember(*output, sample, tensor);
                }
            }
            if self.known_on_sample(ix, sample, &bindings)?.is_none() {
                return Err(OpError::bug(format!(
                    "{} `{}` was not computed",
                    node.operator(),
                    node.name
                )));
            }
        }
        self.known_on_sample(root, sample, &bindings)?
            .ok_or_else(|| OpError::bug("a sample was lost"))
    }

    /// Some nodes hand on a value that another one, or an op inside an operator function, computes.
    fn source_of(&self, ix: ValueIx) -> ValueIx {
        let val = self.values.get(ix.index()).and_then(Option::as_ref);
        val.and_then(|v| v.source).unwrap_or(ix)
    }

    /// Computes an op inside an operator function, or returns the operands that must be computed first.
    fn evaluate_inner(
        &mut self,
        ix: ValueIx,
        sample: Sample,
        bindings: &Bindings,
    ) -> Result<Vec<ValueIx>, OpError> {
        let Some((op, operands)) = self.inner.get(&ix) else {
            return Ok(Vec::new());
        };
        let (mut tensors, mut missing) = (Vec::new(), Vec::new());
        for val in operands {
            match (val.as_const(), val.source) {
                (Some(tensor), _) => tensors.push(tensor.clone()),
                (None, Some(source)) => match self.known_on_sample(source, sample, bindings)? {
                    Some(tensor) => tensors.push(tensor),
                    None => missing.push(source),
                },
                (None, None) => return Err(OpError::bug("an unnamed structural value")),
            }
        }
        if missing.is_empty() {
            let tensors: Vec<&Tensor> = tensors.iter().collect();
            let tensor =
                eval_op(op, &tensors, bindings).map_err(|e| OpError::input(e.to_string()))?;
            self.remember(ix, sample, tensor);
        }
        Ok(missing)
    }

    fn remember(&mut self, ix: ValueIx, sample: Sample, tensor: Tensor) {
        self.sample_bytes = self.sample_bytes.saturating_add(tensor.bytes().len());
        self.samples.entry(sample).or_default().insert(ix, tensor);
    }

    fn known_on_sample(
        &self,
        ix: ValueIx,
        sample: Sample,
        bindings: &Bindings,
    ) -> Result<Option<Tensor>, OpError> {
        let ix = self.source_of(ix);
        let val = self.values.get(ix.index()).and_then(Option::as_ref);
        match val.map(|v| (&v.content, v.ty.as_ref())) {
            Some((Content::Const(tensor), _)) => Ok(Some(tensor.clone())),
            Some((Content::Ints(dims), Some(ty))) => bind(dims, ty, bindings).map(Some),
            Some((Content::Data(_), _)) => Err(OpError::bug(format!(
                "`{}` depends on tokens, but was taken for structural",
                self.model.name_of(ix)
            ))),
            _ => Ok(self
                .samples
                .get(&sample)
                .and_then(|known| known.get(&ix))
                .cloned()),
        }
    }
}

fn bind(dims: &[Dim], ty: &Type, bindings: &Bindings) -> Result<Tensor, OpError> {
    let values = dims
        .iter()
        .map(|d| d.eval(bindings))
        .collect::<Result<Vec<i64>, _>>();
    let values = values.map_err(|e| OpError::bug(e.to_string()))?;
    let shape = ty
        .const_shape()
        .ok_or_else(|| OpError::bug("polynomials of an unknown shape"))?;
    Tensor::from_i64(ty.dtype, shape, &values).map_err(|e| OpError::bug(e.to_string()))
}

/// The row that a table `[rows, ..]` repeats, if it has but one, with the rows' axis as 1 at `axis`.
fn same_rows(table: &Tensor, axis: usize) -> Option<Tensor> {
    let mut rows = (0..*table.shape().first()?).map(|i| table.at(i).ok());
    let first = rows.next()??;
    if axis > first.rank() || rows.any(|row| row.as_ref() != Some(&first)) {
        return None;
    }
    let mut shape = first.shape().to_vec();
    shape.insert(axis, 1);
    first.reshape(shape).ok()
}
