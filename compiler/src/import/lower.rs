//! Lowering: each ONNX node becomes graph nodes, a known value, or something to compute on samples later.
//!
//! There is one way through every operator function. On known operands it computes (that is constant folding, and also
//! how samples are computed); on shape-like integers it computes with polynomials; on values that depend on tokens it adds
//! nodes to the graph; everything else waits until a token-dependent node uses it (see [`super::structural`]).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use llmc_ir::{
    Bindings, Dim, Graph, MaskForm, MaskKind, Op, RangeOf, Real, Tables, Type, ValueId, eval_op,
    infer,
};
use llmc_tensor::{DType, Tensor};

use super::call::Call;
use super::control;
use super::error::{Category, OpError, Problem};
use super::model::{Model, Node, ValueIx};
use super::ops;
use super::recognise::{Sample, SampleSpace};
use super::roles::Roles;
use super::selected;
use super::symbolic;
use super::value::{Content, Val, unknown_type};

/// Constants up to so many elements are computed on import; larger ones become ops that the fold pass may compute.
const FOLD_ELEMENTS: i64 = 4096;
/// Samples with a larger intermediate value are not computed.
const SAMPLE_ELEMENTS: i64 = 1 << 25;

/// What an operator function works on.
#[derive(Debug)]
pub struct Lower<'m> {
    pub(super) model: &'m Model,
    pub(super) roles: &'m Roles,
    pub(super) space: SampleSpace,
    /// The graph so far.
    pub graph: Graph,
    /// What is known of each ONNX value; `None` before its node, or if its node failed.
    pub(super) values: Vec<Option<Val>>,
    /// Node that computes each value.
    pub(super) producers: Vec<Option<Rc<Node>>>,
    /// Names of the values inside subgraphs.
    pub(super) late_names: BTreeMap<ValueIx, String>,
    /// How many nodes the subgraphs have added.
    pub(super) late_nodes: usize,
    /// Structural values inside operator functions that also handle tokens: the op that computes them.
    pub(super) inner: BTreeMap<ValueIx, (Op, Vec<Val>)>,
    /// Set if the values of some constants must not be looked at: what is made of them is always ops of the graph.
    hides: bool,
    /// Set while the current node has an operand that depends on tokens.
    on_tokens: bool,
    /// Graph nodes of constants and of structural values.
    pub(super) materialised: BTreeMap<ValueIx, ValueId>,
    /// Graph nodes of recognised values, each made once.
    pub(super) shared: BTreeMap<(Op, Vec<ValueId>), ValueId>,
    /// Position tables, each kept once.
    pub(super) position_tables: Vec<(Tensor, ValueId)>,
    /// Values on samples.
    pub(super) samples: BTreeMap<Sample, BTreeMap<ValueIx, Tensor>>,
    /// Bytes of the values on samples.
    pub(super) sample_bytes: usize,
    /// Set while a sample is computed: known operands of any size are computed.
    pub(super) sampling: bool,
    /// What the user should know about how operators were read.
    pub(super) notes: BTreeSet<String>,
    /// Set when a sample was given up because a value is too large.
    pub(super) too_large: bool,
    /// Set when a sample of several tokens after others could not be computed: the file takes whole prompts and single tokens only.
    pub(super) whole_only: bool,
    /// Set while constants are turned into ops instead of being computed.
    pub(super) emit_constants: bool,
    /// How many symbols of counts that are known at run time only were made.
    fresh: usize,
    /// How many constants that become ops wait for each other.
    pub(super) depth: usize,
    /// ONNX node that new graph nodes come from.
    pub(super) origin: String,
    /// What dynamic quantisation takes its range of.
    pub(super) dynamic_range: RangeOf,
    /// How often each name of a constant was asked for.
    const_names: BTreeMap<String, usize>,
    tables: Tables,
}

impl<'m> Lower<'m> {
    /// Before the first node: constants, but for the `hidden` ones, and inputs are known.
    pub fn new(
        model: &'m Model,
        roles: &'m Roles,
        space: SampleSpace,
        hidden: Option<&BTreeSet<String>>,
    ) -> Self {
        let mut producers = vec![None; model.names.len()];
        for node in &model.nodes {
            for output in node.outputs.iter().flatten() {
                producers[output.index()] = Some(Rc::clone(node));
            }
        }
        let mut values = vec![None; model.names.len()];
        for (&ix, tensor) in &model.constants {
            let val = match hidden.is_some_and(|h| h.contains(model.name_of(ix))) {
                true => Val {
                    content: Content::Structural { const_only: true },
                    ..Val::structural(Some(Type::of(tensor)))
                },
                false => Val::constant(tensor.clone()),
            };
            values[ix.index()] = Some(Val {
                source: Some(ix),
                ..val
            });
        }
        Lower {
            model,
            roles,
            space,
            graph: Graph::new("main"),
            values,
            producers,
            late_names: BTreeMap::new(),
            late_nodes: 0,
            inner: BTreeMap::new(),
            hides: hidden.is_some_and(|h| !h.is_empty()),
            on_tokens: false,
            materialised: BTreeMap::new(),
            shared: BTreeMap::new(),
            position_tables: Vec::new(),
            samples: BTreeMap::new(),
            sample_bytes: 0,
            sampling: false,
            notes: BTreeSet::new(),
            too_large: false,
            whole_only: false,
            emit_constants: false,
            fresh: 0,
            depth: 0,
            origin: String::new(),
            dynamic_range: RangeOf::default(),
            const_names: BTreeMap::new(),
            tables: Tables::default(),
        }
    }

    /// Lowers all nodes; what fails is reported together, and what depends on it is left out silently.
    pub fn run(&mut self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let model = self.model;
        for (name, input) in &self.roles.inputs {
            let val = match input.is_structural() {
                true => Val::structural(Some(input.ty.clone())),
                false => {
                    let id = self.graph.add_input(name.clone(), input.ty.clone());
                    Val::data(id, input.ty.clone())
                }
            };
            self.values[input.value.index()] = Some(Val {
                source: Some(input.value),
                ..val
            });
        }
        for node in &model.nodes {
            self.one(node, &mut problems);
        }
        problems
    }

    /// Lowers one node, and what is in its subgraphs.
    pub(super) fn one(&mut self, node: &Node, problems: &mut Vec<Problem>) {
        let done = match control::is_control(node) {
            true => self.control(node, problems),
            false => self.node(node),
        };
        if let Err(error) = done {
            problems.push(problem(node, error));
        }
    }

    fn node(&mut self, node: &Node) -> Result<(), OpError> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            match input {
                None => inputs.push(None),
                Some(ix) => match &self.values[ix.index()] {
                    Some(val) => inputs.push(Some(val.clone())),
                    None => return Ok(()),
                },
            }
        }
        // Known to be there: `ops::check` has reported the others.
        let Some(row) = ops::find(node) else {
            return Ok(());
        };
        self.origin.clone_from(&node.name);
        let call = Call { node, inputs };
        let known = call.inputs.iter().flatten().all(Val::is_const_only);
        self.on_tokens = call.inputs.iter().flatten().any(Val::is_data);
        let results = match (row.lower)(self, &call) {
            Ok(results) => results,
            Err(error) if known || self.on_tokens => return Err(error),
            // Not told by types alone; samples will tell.
            Err(_) => vec![Val::structural(None); node.outputs.len()],
        };
        self.store(node, results)
    }

    pub(super) fn store(&mut self, node: &Node, results: Vec<Val>) -> Result<(), OpError> {
        if results.len() < node.outputs.len() {
            return Err(OpError::unsupported(
                format!(
                    "result {} of {} is not supported",
                    results.len(),
                    node.operator()
                ),
                "",
            ));
        }
        for (output, mut val) in node.outputs.iter().zip(results) {
            if let Some(ix) = output {
                val.source = val.source.or(Some(*ix));
                self.values[ix.index()] = Some(val);
            }
        }
        Ok(())
    }

    /// The type of a value.
    ///
    /// # Errors
    /// If it is not known.
    pub fn ty<'v>(&self, val: &'v Val) -> Result<&'v Type, OpError> {
        val.ty.as_ref().ok_or_else(unknown_type)
    }

    /// Elements of an integer operand such as a shape, as polynomials.
    ///
    /// # Errors
    /// If they are not known before run time, or not integers.
    pub fn ints(&self, val: &Val) -> Result<Vec<Dim>, OpError> {
        val.as_dims().ok_or_else(|| match &val.content {
            Content::Const(t) => OpError::input(format!(
                "an operand of integers is expected, found {}",
                t.dtype()
            )),
            Content::Data(_) | Content::Selected(_) => OpError::unsupported(
                "a shape, index or count depends on the values of tokens",
                "export the model without data-dependent shapes",
            ),
            Content::Ints(_) | Content::Structural { .. } => OpError::unsupported(
                "a shape, index or count is not a polynomial of batch, seq and past",
                "export the model with plain dynamic axes",
            ),
        })
    }

    /// Elements of an integer operand that must be numbers, such as axes.
    ///
    /// # Errors
    /// If they depend on symbols or are not known.
    pub fn fixed_ints(&self, val: &Val) -> Result<Vec<i64>, OpError> {
        let known = |d: &Dim| {
            d.as_const().ok_or_else(|| {
                OpError::unsupported(format!("`{d}` stands where a number is needed"), "")
            })
        };
        self.ints(val)?.iter().map(known).collect()
    }

    /// A value of known integers.
    ///
    /// # Errors
    /// None for matching shapes.
    pub fn int_constant(&self, shape: Vec<usize>, values: &[i64]) -> Result<Val, OpError> {
        let tensor = Tensor::from_i64(DType::I64, shape, values);
        tensor
            .map(Val::constant)
            .map_err(|e| OpError::bug(e.to_string()))
    }

    /// A known f32 scalar.
    pub fn scalar(&self, value: f32) -> Val {
        Val::constant(Tensor::scalar(value))
    }

    /// A scalar of a float type.
    ///
    /// # Errors
    /// None for float types.
    pub fn scalar_of(&self, dtype: DType, value: f64) -> Result<Val, OpError> {
        let tensor = Tensor::from_f64(dtype, Vec::new(), &[value]);
        tensor
            .map(Val::constant)
            .map_err(|e| OpError::bug(e.to_string()))
    }

    /// An i64 value of polynomials; a constant if no symbol is in them.
    ///
    /// # Errors
    /// None for matching shapes.
    pub fn ints_value(&self, shape: Vec<usize>, dims: Vec<Dim>) -> Result<Val, OpError> {
        symbolic::value(DType::I64, shape, dims)
    }

    /// `Reshape` to final extents; nothing happens if they are those of the operand.
    ///
    /// # Errors
    /// As [`Lower::apply`].
    pub fn reshape(&mut self, val: &Val, shape: Vec<Dim>) -> Result<Val, OpError> {
        if self.ty(val)?.shape == shape {
            return Ok(val.clone());
        }
        self.apply(Op::Reshape { shape }, &[val])
    }

    /// Applies a graph op: computes it, or adds it to the graph, or notes its type for later.
    ///
    /// # Errors
    /// Operands that do not fit the op.
    pub fn apply(&mut self, op: Op, operands: &[&Val]) -> Result<Val, OpError> {
        let selected = |v: &&Val| matches!(v.content, Content::Selected(_));
        if operands.iter().any(selected) {
            return selected::apply(self, op, operands);
        }
        if operands.iter().any(|v| v.is_data()) || (self.emit_constants && !operands.is_empty()) {
            return self.emit(op, operands);
        }
        let ty = match operands
            .iter()
            .map(|v| v.ty.as_ref())
            .collect::<Option<Vec<_>>>()
        {
            Some(types) => {
                infer(&op, &types, &self.tables).map_err(|e| mismatch(&types, e.message))
            }
            None => Err(unknown_type()),
        };
        let tensors: Option<Vec<&Tensor>> = operands.iter().map(|v| v.as_const()).collect();
        if let Some(tensors) = tensors
            && op.dims().iter().all(|d| d.as_const().is_some())
        {
            let ty = ty?;
            if matches!(op, Op::Dequantize { .. }) && self.on_tokens && !self.sampling {
                // A weight: it stays codes.
                return self.emit(op, operands);
            }
            // A reshape is a view; codes are kept, however few.
            let compute = match op {
                Op::Reshape { .. } => true,
                Op::Dequantize { .. } => self.sampling,
                _ => self.may_compute(&ty)?,
            };
            return match compute {
                true => eval_op(&op, &tensors, &Bindings::new())
                    .map(Val::constant)
                    .map_err(|e| OpError::input(e.to_string())),
                false => {
                    let val = Val {
                        content: Content::Structural { const_only: true },
                        ty: Some(ty),
                        source: None,
                    };
                    Ok(if self.on_tokens {
                        self.inner(op, operands, val)
                    } else {
                        val
                    })
                }
            };
        }
        if let Ok(ty) = &ty
            && let Some(val) = symbolic::apply(&op, operands, ty)
        {
            return Ok(val);
        }
        let const_only = operands.iter().all(|v| v.is_const_only())
            && op.dims().iter().all(|d| d.as_const().is_some());
        if const_only && self.hides && self.on_tokens && !self.sampling {
            return self.emit(op, operands);
        }
        let val = Val {
            content: Content::Structural { const_only },
            ty: Some(ty?),
            source: None,
        };
        Ok(if self.on_tokens && !self.sampling {
            self.inner(op, operands, val)
        } else {
            val
        })
    }

    /// Makes a value of its own of an op inside an operator function, so that it can be computed on samples.
    fn inner(&mut self, op: Op, operands: &[&Val], val: Val) -> Val {
        let ix = ValueIx(self.values.len() as u32);
        let operands = operands.iter().map(|v| (*v).clone()).collect();
        let val = Val {
            content: Content::Structural { const_only: false },
            source: Some(ix),
            ..val
        };
        self.values.push(Some(val.clone()));
        self.producers.push(None);
        self.inner.insert(ix, (op, operands));
        val
    }

    /// Applies something that is no graph op: it is computed at compile time or not at all.
    ///
    /// # Errors
    /// If an operand depends on tokens, or the computation fails.
    pub fn local(
        &mut self,
        operands: &[&Val],
        ty: Result<Type, OpError>,
        compute: impl FnOnce(&[&Tensor]) -> Result<Tensor, OpError>,
    ) -> Result<Val, OpError> {
        if operands.iter().any(|v| v.is_data()) {
            return Err(OpError::unsupported(
                "it is computed at compile time only, but an operand depends on the values of tokens",
                "",
            ));
        }
        let tensors: Option<Vec<&Tensor>> = operands.iter().map(|v| v.as_const()).collect();
        if let Some(tensors) = tensors {
            let small = match &ty {
                Ok(ty) => self.may_compute(ty)?,
                Err(_) => true,
            };
            if small {
                return compute(&tensors).map(Val::constant);
            }
        }
        Ok(Val::structural(Some(ty?)))
    }

    /// True if a value of this type is computed now.
    fn may_compute(&mut self, ty: &Type) -> Result<bool, OpError> {
        let elements = ty.elements().as_const().unwrap_or(i64::MAX);
        if self.sampling && elements > SAMPLE_ELEMENTS {
            self.too_large = true;
            return Err(OpError::unsupported(
                format!("a value of {elements} elements is too large to be sampled"),
                "",
            ));
        }
        Ok(self.sampling || elements <= FOLD_ELEMENTS)
    }

    /// Adds a node to the graph.
    fn emit(&mut self, op: Op, operands: &[&Val]) -> Result<Val, OpError> {
        let ids = operands
            .iter()
            .map(|v| self.materialise(v))
            .collect::<Result<Vec<_>, _>>()?;
        let id = self.add(op, &ids)?;
        Ok(Val::data(id, self.graph.ty(id).clone()))
    }

    pub(super) fn add(&mut self, op: Op, operands: &[ValueId]) -> Result<ValueId, OpError> {
        let added = self.graph.add_node(op, operands, vec![self.origin.clone()]);
        added.map_err(|e| {
            let types: Vec<&Type> = operands.iter().map(|&v| self.graph.ty(v)).collect();
            mismatch(&types, e.to_string())
        })
    }

    /// The graph node of a constant.
    pub(super) fn constant_node(
        &mut self,
        source: Option<ValueIx>,
        tensor: &Tensor,
    ) -> Result<ValueId, OpError> {
        if let Some(&id) = source.and_then(|ix| self.materialised.get(&ix)) {
            return Ok(id);
        }
        let name = match source {
            Some(ix) => self.name_of(ix),
            None => self.origin.clone(),
        };
        let id = self.add_const(name, tensor.clone())?;
        if let Some(ix) = source {
            self.materialised.insert(ix, id);
        }
        Ok(id)
    }

    /// The additive causal mask `[1, 1, rows, cols]`, whose last row is the last column's.
    ///
    /// # Errors
    /// None for lengths.
    pub fn causal_mask(&mut self, rows: Dim, cols: Dim) -> Result<Val, OpError> {
        let form = MaskForm::Additive(Real::new(f32::NEG_INFINITY));
        let id = self.share(
            Op::Mask {
                kind: MaskKind::CAUSAL,
                form,
                rows,
                cols,
            },
            &[],
        )?;
        Ok(Val::data(id, self.graph.ty(id).clone()))
    }

    /// Makes the graph's outputs; a value that does not depend on tokens must be recognised here at the latest.
    pub fn outputs(&mut self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for port in &self.model.outputs {
            let made = match self.values[port.value.index()].clone() {
                Some(val) => self.materialise(&val),
                None => Err(OpError::bug("the output was not computed")),
            };
            match made {
                Ok(id) => self.graph.add_output(port.name.clone(), id),
                Err(OpError {
                    category,
                    reason,
                    remedy,
                }) => {
                    problems.push(Problem {
                        category,
                        operator: String::new(),
                        node: port.name.clone(),
                        reason,
                        remedy,
                    });
                }
            }
        }
        problems
    }

    /// A new name of a symbol.
    pub fn fresh_symbol(&mut self, what: &str) -> String {
        self.fresh += 1;
        format!("{what}{}", self.fresh)
    }

    /// The ONNX name of a value, or the node inside which it came to be.
    pub(super) fn name_of(&self, ix: ValueIx) -> String {
        let name = self.model.names.get(ix.index());
        let name = name.or_else(|| self.late_names.get(&ix));
        name.unwrap_or(&self.origin).clone()
    }

    /// A constant under this name, or a longer one if the name is taken.
    pub(super) fn add_const(
        &mut self,
        mut name: String,
        tensor: Tensor,
    ) -> Result<ValueId, OpError> {
        while let Some(taken) = self.const_names.get_mut(&name) {
            *taken += 1;
            name = format!("{name}#{taken}");
        }
        self.const_names.insert(name.clone(), 1);
        // Names are unique here, so that the table needs no search.
        let constant = std::sync::Arc::new(llmc_ir::Const::new(name, tensor));
        self.graph.tables_mut().consts.push(constant);
        let index = self.graph.consts().len() - 1;
        self.add(Op::Const(llmc_ir::ConstId::from_index(index)), &[])
    }
}

/// Operands that do not fit: the model's fault if all extents are numbers, else perhaps that of unequal symbols.
fn mismatch(types: &[&Type], message: String) -> OpError {
    match types.iter().all(|t| t.const_shape().is_some()) {
        true => OpError::input(message),
        false => OpError::unsupported(
            message,
            "if equal extents have different names here, export them with one name",
        ),
    }
}

/// A problem of a node.
pub fn problem(node: &Node, error: OpError) -> Problem {
    let OpError {
        category,
        reason,
        remedy,
    } = error;
    let remedy = match category {
        Category::Input if remedy.is_empty() => {
            String::from("the file contradicts the ONNX specification: export it again")
        }
        _ => remedy,
    };
    Problem {
        category,
        operator: node.operator(),
        node: node.name.clone(),
        reason,
        remedy,
    }
}
