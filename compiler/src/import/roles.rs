//! What each graph input is, and its extents in the canonical symbols `batch`, `seq` and `past`.
//!
//! Exporters name dims as they like (`batch_size`, `s64`) and may use several names for one length; the role of an input
//! decides instead. Inputs are told by name, and where the name says nothing by what the graph does with them.

use std::collections::{BTreeMap, BTreeSet};

use llmc_ir::{Dim, Type};
use llmc_tensor::{DType, Tensor};

use super::attributes::Attributes;
use super::error::{OpError, Problem};
use super::model::{Extent, Model, Port, ValueIx};
use super::recognise::{Sample, SampleSpace};

/// Larger masks or position inputs are not sampled.
const MAX_INPUT_ELEMENTS: usize = 1 << 25;

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Token ids `[batch, seq]`.
    Tokens,
    /// What tokens become, computed elsewhere: `[batch, seq, width]`.
    Embeddings,
    /// 1 for tokens that count, 0 for padding `[batch, past + seq]`.
    AttentionMask,
    /// Absolute positions `[batch, seq]` or `[seq]`.
    Positions,
    /// Keys or values of earlier tokens, with `past` along one axis.
    Past,
    /// A number of tokens, the same in all elements.
    Length(Length),
    /// Anything else: an input of the program as it is.
    Data,
}

/// Numbers of tokens that a model may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Tokens before the new ones: where they are written.
    Past,
    /// All tokens.
    Total,
    /// All tokens but one: the index of the last.
    Last,
}

/// An input with its role.
#[derive(Clone, Debug)]
pub struct Input {
    /// What it is.
    pub role: Role,
    /// The ONNX value.
    pub value: ValueIx,
    /// Its type in canonical symbols.
    pub ty: Type,
}

impl Input {
    /// True if it depends on lengths and positions only, not on tokens.
    pub fn is_structural(&self) -> bool {
        matches!(
            self.role,
            Role::AttentionMask | Role::Positions | Role::Length(_)
        )
    }

    /// The value of a structural input on a sample: positions `past..past + seq`, no padding.
    ///
    /// # Errors
    /// If the input is not structural (a bug).
    pub fn on_sample(
        &self,
        sample: Sample,
        bindings: &llmc_ir::Bindings,
    ) -> Result<Tensor, OpError> {
        let lens = self
            .ty
            .shape
            .iter()
            .map(|d| d.eval_len(bindings))
            .collect::<Result<Vec<_>, _>>();
        let shape = lens.map_err(|e| OpError::input(e.to_string()))?;
        let elements = llmc_tensor::tensor::elements(&shape)
            .filter(|&n| n <= MAX_INPUT_ELEMENTS)
            .ok_or_else(|| {
                OpError::unsupported(
                    format!("a graph input of shape {shape:?} is too large to be sampled"),
                    "",
                )
            })?;
        let values: Vec<i64> = match self.role {
            Role::Positions => (0..elements)
                .map(|i| (sample.past + i % sample.seq.max(1)) as i64)
                .collect(),
            Role::AttentionMask => vec![1; elements],
            Role::Length(length) => {
                let n = match length {
                    Length::Past => sample.past as i64,
                    Length::Total => sample.total() as i64,
                    Length::Last => sample.total() as i64 - 1,
                };
                vec![n; elements]
            }
            Role::Tokens | Role::Embeddings | Role::Past | Role::Data => {
                return Err(OpError::bug("this input is not structural"));
            }
        };
        Tensor::from_i64(self.ty.dtype, shape, &values).map_err(|e| OpError::bug(e.to_string()))
    }
}

/// The inputs of a model.
#[derive(Debug)]
pub struct Roles {
    /// All inputs by name, in file order.
    pub inputs: Vec<(String, Input)>,
    /// Sequences per launch: `batch`, or a number.
    pub batch: Dim,
    /// New tokens: `seq`, or a number.
    pub seq: Dim,
    /// Tokens before them: `past`, or a number (0 for a model without cache).
    pub past: Dim,
}

impl Roles {
    /// Tells the role of every input.
    ///
    /// # Errors
    /// All inputs that cannot be understood.
    pub fn of(model: &Model) -> Result<Roles, Vec<Problem>> {
        let mut roles = Roles {
            inputs: Vec::new(),
            batch: Dim::batch(),
            seq: Dim::seq(),
            past: Dim::from(0),
        };
        let hints = Hints::of(model);
        let mut assigned: Vec<Role> = model.inputs.iter().map(|port| hints.role(port)).collect();
        // Names mean something beside tokens and caches only: an encoder's mask may hide anything.
        let has = |roles: &[Role]| assigned.iter().any(|role| roles.contains(role));
        if !has(&[Role::Past]) || !has(&[Role::Tokens, Role::Embeddings]) {
            assigned.fill(Role::Data);
        }
        for (port, role) in model.inputs.iter().zip(&assigned) {
            match (role, port.extents.as_deref()) {
                (Role::Tokens, Some([batch, seq])) | (Role::Embeddings, Some([batch, seq, _])) => {
                    roles.batch = canonical(batch, Dim::batch());
                    roles.seq = canonical(seq, Dim::seq());
                }
                (Role::Past, Some(_)) if hints.buffers.contains_key(&port.value) => {
                    roles.past = Dim::past();
                }
                (Role::Past, Some(extents)) => {
                    if let Some(extent) = extents.get(past_axis(extents)) {
                        roles.past = canonical(extent, Dim::past());
                    }
                }
                _ => {}
            }
        }
        let mut problems = Vec::new();
        for (port, role) in model.inputs.iter().zip(assigned) {
            let buffer = hints.buffers.get(&port.value);
            match roles.type_of(port, role, buffer) {
                Ok(ty) => roles.inputs.push((
                    port.name.clone(),
                    Input {
                        role,
                        value: port.value,
                        ty,
                    },
                )),
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
        if problems.is_empty() {
            Ok(roles)
        } else {
            Err(problems)
        }
    }

    /// Rows of the shortest table of rotations in the file: the longest context that it can do.
    pub fn shortest_table(model: &Model) -> Option<u64> {
        let tables = model
            .nodes
            .iter()
            .filter_map(|n| match (n.op.as_str(), n.domain.as_str()) {
                ("GroupQueryAttention", _) => *n.inputs.get(7)?,
                ("RotaryEmbedding", "") => match n.inputs.get(3) {
                    Some(Some(_)) => *n.inputs.get(1)?,
                    _ => None,
                },
                ("RotaryEmbedding", _) => *n.inputs.get(2)?,
                ("Gather", "") => {
                    let positions = (*n.inputs.get(1)?)?;
                    let port = model.inputs.iter().find(|p| p.value == positions)?;
                    (by_name(&port.name)? == Role::Positions).then_some(())?;
                    *n.inputs.first()?
                }
                _ => None,
            });
        let rows = tables.filter_map(|t| model.constants.get(&t)?.shape().first().copied());
        rows.min().and_then(|n| u64::try_from(n).ok())
    }

    /// Symbols of the inputs of a model without caches, by name.
    pub fn unbound(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        for (_, input) in &self.inputs {
            if input.role != Role::Data {
                return Vec::new();
            }
            let symbols = input.ty.shape.iter().flat_map(|dim| dim.symbols());
            names.extend(symbols.map(|symbol| symbol.name().to_string()));
        }
        names.into_iter().collect()
    }

    /// `past + seq`.
    pub fn total(&self) -> Dim {
        &self.past + &self.seq
    }

    /// The input of a value.
    pub fn input(&self, value: ValueIx) -> Option<&Input> {
        self.inputs
            .iter()
            .map(|(_, input)| input)
            .find(|input| input.value == value)
    }

    /// The lengths that the model can be asked for.
    pub fn space(&self, max_positions: usize) -> SampleSpace {
        let fixed = |d: &Dim| d.as_const().and_then(|n| usize::try_from(n).ok());
        SampleSpace {
            fixed_seq: fixed(&self.seq),
            fixed_past: fixed(&self.past),
            max_positions,
        }
    }

    /// Values of the symbols on a sample; one sequence.
    pub fn bindings(&self, sample: Sample) -> llmc_ir::Bindings {
        llmc_ir::Bindings::new()
            .with("batch", 1)
            .with("seq", i64::try_from(sample.seq).unwrap_or(i64::MAX))
            .with("past", i64::try_from(sample.past).unwrap_or(i64::MAX))
    }

    fn type_of(&self, port: &Port, role: Role, buffer: Option<&Buffer>) -> Result<Type, OpError> {
        let dtype = port
            .dtype
            .ok_or_else(|| OpError::input("this graph input declares no element type"))?;
        let extents = port.extents.as_deref().ok_or_else(|| {
            OpError::unsupported(
                "this graph input declares no rank",
                "export the model with dynamic axes, not without shapes",
            )
        })?;
        let wrong_rank = || {
            OpError::unsupported(
                format!(
                    "this graph input, read as {role:?}, has {} axes",
                    extents.len()
                ),
                "export the model with input_ids [batch, seq], attention_mask [batch, past + seq], position_ids [batch, seq]",
            )
        };
        let shape = match (role, extents.len()) {
            (Role::Tokens, 2) => vec![self.batch.clone(), self.seq.clone()],
            (Role::Positions, 2) => {
                vec![canonical(&extents[0], self.batch.clone()), self.seq.clone()]
            }
            (Role::Positions, 1) => vec![self.seq.clone()],
            (Role::AttentionMask, 2) => vec![self.batch.clone(), self.total()],
            (Role::Embeddings, 3) => vec![
                self.batch.clone(),
                self.seq.clone(),
                own_symbol(&port.name, 2, &extents[2]),
            ],
            (Role::Tokens | Role::Embeddings | Role::Positions | Role::AttentionMask, _) => {
                return Err(wrong_rank());
            }
            (Role::Length(_), _) => extents
                .iter()
                .map(|e| canonical(e, self.batch.clone()))
                .collect(),
            (Role::Past, 3) if buffer.is_some_and(|b| b.heads.is_some()) => {
                let heads = buffer.and_then(|b| b.heads).unwrap_or(1);
                let Extent::Fixed(hidden) = &extents[2] else {
                    return Err(wrong_rank());
                };
                let head_dim = Dim::from(i64::try_from(*hidden).unwrap_or(i64::MAX))
                    .exact_div(&Dim::from(heads))
                    .ok_or_else(|| {
                        OpError::input(format!("{heads} heads do not divide {hidden} columns"))
                    })?;
                let batch = canonical(&extents[0], self.batch.clone());
                vec![batch, Dim::from(heads), self.past.clone(), head_dim]
            }
            (Role::Past, _) => {
                let past = match buffer {
                    Some(_) => extents.len().saturating_sub(2),
                    None => past_axis(extents),
                };
                let mut shape = Vec::new();
                for (axis, extent) in extents.iter().enumerate() {
                    shape.push(match (axis, extent) {
                        // However large the buffer is, what is in it is what counts.
                        (axis, _) if axis == past && buffer.is_some() => self.past.clone(),
                        (_, Extent::Fixed(n)) => Dim::from(i64::try_from(*n).unwrap_or(i64::MAX)),
                        (axis, _) if axis == past => self.past.clone(),
                        (0, _) => self.batch.clone(),
                        // What is appended to it tells.
                        (axis, extent) => own_symbol(&port.name, axis, extent),
                    });
                }
                shape
            }
            (Role::Data, _) => extents
                .iter()
                .enumerate()
                .map(|(axis, e)| own_symbol(&port.name, axis, e))
                .collect(),
        };
        let integer = dtype.is_int() || dtype == DType::Bool;
        match role {
            Role::Tokens | Role::Positions | Role::Length(_) if !dtype.is_int() => {
                Err(OpError::input(format!(
                    "this graph input, read as {role:?}, holds {dtype}, not integers"
                )))
            }
            Role::Past if integer => Err(OpError::unsupported(
                format!("a cache of {dtype} is not supported"),
                "export with a float cache; llmc can quantise it itself",
            )),
            _ => Ok(Type::new(dtype, shape)),
        }
    }
}

/// A declared number stays; a name or nothing becomes the canonical dim.
fn canonical(extent: &Extent, symbol: Dim) -> Dim {
    match extent {
        Extent::Fixed(n) => Dim::from(i64::try_from(*n).unwrap_or(i64::MAX)),
        Extent::Named(_) | Extent::Unknown => symbol,
    }
}

/// The symbol of an axis of an input that has no role.
fn own_symbol(input: &str, axis: usize, extent: &Extent) -> Dim {
    match extent {
        Extent::Fixed(n) => Dim::from(i64::try_from(*n).unwrap_or(i64::MAX)),
        Extent::Named(name) => name.parse().unwrap_or_else(|_| Dim::sym(name)),
        Extent::Unknown => Dim::sym(format!("{input}.{axis}")),
    }
}

/// The axis of a cache that grows: the first without a number after the batch axis, else the last but one.
fn past_axis(extents: &[Extent]) -> usize {
    let open = extents
        .iter()
        .skip(1)
        .position(|e| !matches!(e, Extent::Fixed(_)));
    open.map_or(extents.len().saturating_sub(2), |a| a + 1)
}

/// What the graph does with its inputs.
struct Hints {
    /// Values that pick rows of a constant float table.
    picks_rows: BTreeSet<ValueIx>,
    /// Values that are concatenated with others into a graph output.
    grows_output: BTreeSet<ValueIx>,
    /// Caches that operators know as such.
    buffers: BTreeMap<ValueIx, Buffer>,
    /// Values that hold a number of tokens.
    lengths: BTreeMap<ValueIx, Length>,
    /// True if an input is called a token input.
    named_tokens: bool,
}

/// A cache `[batch, heads, capacity, head size]`, or `[batch, capacity, heads * head size]`. Only its valid part counts.
struct Buffer {
    /// Heads of a cache with three axes.
    heads: Option<i64>,
}

impl Hints {
    fn of(model: &Model) -> Hints {
        let outputs: BTreeSet<ValueIx> = model.outputs.iter().map(|o| o.value).collect();
        let mut hints = Hints {
            picks_rows: BTreeSet::new(),
            grows_output: BTreeSet::new(),
            buffers: BTreeMap::new(),
            lengths: BTreeMap::new(),
            named_tokens: model
                .inputs
                .iter()
                .any(|p| by_name(&p.name) == Some(Role::Tokens)),
        };
        let is_table = |value: &ValueIx| {
            let constant = model.constants.get(value);
            constant.is_some_and(|t| t.dtype().is_float() && t.rank() == 2)
        };
        for node in &model.nodes {
            match (node.op.as_str(), node.inputs.as_slice()) {
                ("Gather", [Some(table), Some(indices)]) if is_table(table) => {
                    hints.picks_rows.insert(*indices);
                }
                ("Concat", [Some(past), _])
                    if node.outputs.iter().flatten().any(|o| outputs.contains(o)) =>
                {
                    hints.grows_output.insert(*past);
                }
                ("GroupQueryAttention", [_, _, _, past_k, past_v, last, total, ..]) => {
                    for past in [past_k, past_v].into_iter().flatten() {
                        hints.buffers.insert(*past, Buffer { heads: None });
                    }
                    hints.lengths.extend(last.map(|ix| (ix, Length::Last)));
                    hints.lengths.extend(total.map(|ix| (ix, Length::Total)));
                }
                ("TensorScatter", [Some(cache), _, at, ..]) => {
                    let heads = node
                        .outputs
                        .iter()
                        .flatten()
                        .find_map(|o| kv_heads(model, *o));
                    hints.buffers.insert(*cache, Buffer { heads });
                    hints.lengths.extend(at.map(|ix| (ix, Length::Past)));
                }
                ("Attention", [_, _, _, _, _, _, Some(total)]) if node.domain.is_empty() => {
                    hints.lengths.insert(*total, Length::Total);
                }
                _ => {}
            }
        }
        hints
    }

    fn role(&self, port: &Port) -> Role {
        if self.buffers.contains_key(&port.value) {
            return Role::Past;
        }
        if let Some(length) = self.lengths.get(&port.value) {
            return Role::Length(*length);
        }
        if let Some(role) = by_name(&port.name) {
            return role;
        }
        let rank = port.extents.as_ref().map_or(0, Vec::len);
        let integer = port.dtype.is_some_and(DType::is_int);
        if !self.named_tokens && integer && rank == 2 && self.picks_rows.contains(&port.value) {
            Role::Tokens
        } else if !integer && rank == 4 && self.grows_output.contains(&port.value) {
            Role::Past
        } else {
            Role::Data
        }
    }
}

/// True for the name of a cache of earlier keys or values.
pub fn is_cache_name(name: &str) -> bool {
    by_name(name) == Some(Role::Past)
}

/// The number of key heads of the attention that a value goes into.
fn kv_heads(model: &Model, value: ValueIx) -> Option<i64> {
    let node = model.nodes.iter().find(|n| {
        n.op == "Attention" && n.inputs.iter().skip(1).take(2).any(|i| *i == Some(value))
    })?;
    let heads = Attributes::of(node).int("kv_num_heads").ok()??;
    (heads > 0).then_some(heads)
}

fn by_name(name: &str) -> Option<Role> {
    let past = [
        "past_key_values.",
        "past_key_values_",
        "past_key_self",
        "past_value_self",
        "past_key.",
        "past_value.",
        "past.",
    ];
    match name {
        "input_ids" | "tokens" | "token_ids" => Some(Role::Tokens),
        "inputs_embeds" => Some(Role::Embeddings),
        "attention_mask" => Some(Role::AttentionMask),
        "position_ids" | "cache_position" => Some(Role::Positions),
        _ if past.iter().any(|p| name.starts_with(p)) => Some(Role::Past),
        _ if name.starts_with("past_")
            && name
                .rsplit('_')
                .next()
                .is_some_and(|n| n.parse::<u32>().is_ok()) =>
        {
            Some(Role::Past)
        }
        _ => None,
    }
}
