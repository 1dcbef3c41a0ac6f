//! Lowering: a fused, sharded graph becomes a tile [`Program`].
//!
//! The rows (tokens) of a launch are worked on in blocks of [`TileParams::mt`], in one hardware loop. Inside it, each
//! value is an SRAM buffer of f32 rows: all columns if the value is replicated, else the core's own columns
//! ([`layout::Columns`]). What follows [`llmc_ir::Op::LastRow`] works on one row, after that loop. Constants stay in DRAM
//! and come in through rings; their order of bytes there is the [`WeightPlan`].
//!
//! | file | lowers |
//! |---|---|
//! | `memory` | inputs, embedding, position rows, last row, all-gather, outputs |
//! | `matmul` | matrix products, streaming packed weights |
//! | `quant` | products with quantised weights, activations through codes |
//! | `vector` | elementwise ops, rotary embedding |
//! | `norm` | norms of rows and of heads |
//! | `choose` | comparisons, choices, conversions, integers |
//! | `order` | the largest elements of rows |
//! | `pick` | elements of rows by index |
//! | `rowwise` | elementwise ops with broadcasting, movement and reductions within rows of any shape |
//! | `attention` | state appends and attention, streaming KV blocks |
//! | `repeat` | the turns of a repeat, as one loop |

mod attention;
pub(super) mod build;
mod choose;
mod layout;
mod matmul;
mod memory;
mod norm;
mod order;
mod pick;
mod quant;
mod repeat;
mod rowwise;
mod vector;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llmc_ir::{
    Const, Dim, Graph, Layout, Node, Op, Region, StateId, Symbol, Type, ValueId, regions,
};
use llmc_isa::DType;
use llmc_tensor::DType as TensorType;
use thiserror::Error;

use attention::Scores;
use build::{Build, at};
use layout::{Columns, Rows};

use super::weights::{PackError, Packing, WeightItem, WeightPlan};
use super::{BufferId, Expr, Launch, Operand, Origin, Program, Space, View};

/// Launch register: number of valid rows (tokens) of the launch.
pub const LAUNCH_TOKENS: u16 = 0;
/// Launch register: tokens that are in the state already.
pub const LAUNCH_PAST: u16 = 1;

/// Widest row, in elements, that is lowered; keeps byte sizes far from overflow.
const MAX_WIDTH: i64 = 1 << 24;

/// Sizes that lowering is free to choose. [`super::candidates`] proposes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileParams {
    /// Rows of a row block; at least 1.
    pub mt: u32,
    /// Most bytes of a page of packed weights; at least 4096 (16 columns, 64 rows of f32).
    pub weight_page: u32,
    /// Panels of 16 columns of a weight tile, if the page holds them for all k: the width of the matrix unit.
    pub panels: u32,
    /// Positions of a KV block. It decides how attention sums are grouped, so that entries that share a state must agree
    /// on it for equal bits.
    pub kv_block: u32,
}

/// Why a graph cannot be lowered: every reason found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", list(problems))]
pub struct LowerError {
    /// The reasons; not empty.
    pub problems: Vec<LowerProblem>,
}

/// Why a node cannot be lowered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowerProblem {
    /// The node and the model's nodes it came from.
    pub origin: Origin,
    /// What is wrong with it.
    pub reason: String,
}

fn list(problems: &[LowerProblem]) -> String {
    let one = |p: &LowerProblem| match p.origin.onnx.as_slice() {
        [] => format!("`{}`: {}", p.origin.node, p.reason),
        onnx => format!(
            "`{}` (from {}): {}",
            p.origin.node,
            onnx.join(", "),
            p.reason
        ),
    };
    problems.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Lowers a graph for `cores` cores, adding the constants it reads to `weights`.
///
/// # Errors
/// Every node that cannot be lowered, with the reason.
pub fn lower(
    graph: &Graph,
    cores: u32,
    params: &TileParams,
    weights: &mut WeightPlan,
) -> Result<Program, LowerError> {
    let tokens = match Tokens::of(graph) {
        Ok(tokens) => tokens,
        Err(reason) => {
            let origin = Origin {
                node: graph.name.clone(),
                onnx: vec![],
            };
            return Err(LowerError {
                problems: vec![LowerProblem { origin, reason }],
            });
        }
    };
    let launch = vec![
        Launch {
            name: "tokens".into(),
            max: tokens.max,
        },
        Launch {
            name: "past".into(),
            max: tokens.past_max,
        },
    ];
    let mt = u64::from(params.mt.max(1)).min(tokens.max.max(1)) as u32;
    let mut lower = Lower {
        graph,
        cores: cores.max(1),
        params: *params,
        weights,
        build: Build::new(&graph.name, cores.max(1), launch),
        values: BTreeMap::new(),
        ids: BTreeMap::new(),
        seen: Seen::default(),
        rows: Rows {
            bound: mt,
            count: Expr::ZERO,
            first: Expr::ZERO,
            position: Expr::ZERO,
            all: 0,
        },
        mt,
        tokens,
        problems: vec![],
        failed: BTreeSet::new(),
        regions: regions(graph).unwrap_or_default(),
        target: None,
    };
    lower.run();
    if lower.problems.is_empty() {
        Ok(lower.build.finish())
    } else {
        Err(LowerError {
            problems: lower.problems,
        })
    }
}

/// Most rows of a launch of the entry; 1 if the graph does not say.
pub(super) fn max_rows(graph: &Graph) -> u64 {
    Tokens::of(graph).map_or(1, |t| t.max)
}

/// The rows of a launch.
struct Tokens {
    /// As a dim of the graph: `seq`, or a constant.
    dim: Dim,
    /// As an expression.
    count: Expr,
    /// Upper bound.
    max: u64,
    /// Largest `past`.
    past_max: u64,
    /// Positions that the states hold, if that may be less than `past_max + max`.
    capacity: Option<i64>,
}

impl Tokens {
    fn of(graph: &Graph) -> Result<Tokens, String> {
        let bound = |s: &str| graph.bounds.get(&Symbol::new(s)).copied();
        let dims: Vec<Dim> = graph
            .iter()
            .filter(|(_, n)| is_rows(n))
            .map(|(_, n)| leading(&n.ty))
            .collect();
        let has_seq = |(_, n): (ValueId, &Node)| is_rows(n) && n.ty.shape.contains(&Dim::seq());
        let symbolic = match graph.iter().any(has_seq) {
            true => Some(Dim::seq()),
            false => dims.iter().find(|d| d.as_const().is_none()).cloned(),
        };
        // Token ids say it, if they come in.
        let ids = graph.inputs().iter().map(|(_, id)| graph.ty(*id));
        let ids = ids.filter(|ty| !ty.dtype.is_float());
        let ids = ids.filter_map(|ty| ty.elements().as_const()).max();
        let most = ids
            .or_else(|| dims.iter().filter_map(Dim::as_const).max())
            .unwrap_or(1)
            .max(1);
        // What goes into a state is one row per token; other values may have heads in front.
        let appended = graph.iter().find_map(|(_, n)| match n.op {
            Op::Append { .. } => graph.ty(*n.operands.first()?).shape.get(1).cloned(),
            _ => None,
        });
        let dim = symbolic.or(appended).unwrap_or(Dim::from(most));
        let (count, max) = match (dim.as_const(), dim.as_symbol()) {
            (Some(n), _) => (Expr::Const(n), n),
            (None, Some(s)) if s.name() == Symbol::SEQ => (
                Expr::Launch(LAUNCH_TOKENS),
                bound(Symbol::SEQ).ok_or("`seq` has no bound")?,
            ),
            _ => {
                return Err(format!(
                    "rows of a launch are `{dim}`, expected `{}` or a number",
                    Symbol::SEQ
                ));
            }
        };
        let capacity = graph
            .states()
            .iter()
            .filter_map(|s| s.shape.get(2)?.as_const())
            .min();
        let past_max = bound(Symbol::PAST)
            .or(capacity.map(|c| c - 1))
            .unwrap_or(0)
            .max(0);
        let tight = capacity.filter(|c| past_max.saturating_add(max) > *c);
        let size = |v: i64| u64::try_from(v).unwrap_or(0);
        Ok(Tokens {
            dim,
            count,
            max: size(max),
            past_max: size(past_max),
            capacity: tight,
        })
    }
}

/// True for nodes whose value is rows; token ids stay in DRAM.
fn is_rows(node: &Node) -> bool {
    match node.op {
        Op::Const(_) | Op::Append { .. } => false,
        Op::Input => node.ty.dtype.is_float(),
        _ => true,
    }
}

/// Product of all dims but the last.
fn leading(ty: &Type) -> Dim {
    ty.shape
        .iter()
        .rev()
        .skip(1)
        .fold(Dim::one(), |n, d| &n * d)
}

/// A lowered value.
#[derive(Clone, Debug)]
enum Value {
    /// Rows in SRAM.
    Sram(Sram),
    /// A constant in DRAM.
    Const(Arc<Const>),
    /// A state in DRAM.
    State(StateId),
    /// Token ids in DRAM.
    Ids,
}

/// Rows in an SRAM buffer, `per_core` elements each.
#[derive(Clone, Copy, Debug)]
struct Sram {
    buffer: BufferId,
    columns: Columns,
    dtype: DType,
    /// Where the first row starts, in elements.
    first: u32,
    /// Elements from row to row: more than a row has if others lie beside it.
    pitch: u32,
}

impl Sram {
    /// Rows that fill a buffer.
    fn new(buffer: BufferId, columns: Columns, dtype: DType) -> Sram {
        Sram {
            buffer,
            columns,
            dtype,
            first: 0,
            pitch: columns.per_core,
        }
    }

    /// Bytes from row to row.
    fn row(&self) -> u32 {
        self.pitch * self.dtype.bytes()
    }

    /// The element at `column` of the first row.
    fn at(&self, column: impl Into<Expr>) -> View {
        let column = column.into() + Expr::from(i64::from(self.first));
        at(self.buffer, column * i64::from(self.dtype.bytes()))
    }

    /// `[1][rows][columns]` from the first element on.
    fn operand(&self) -> Operand {
        Operand {
            view: self.at(0),
            s0: 0,
            s1: self.row(),
            dtype: self.dtype,
            bcast: false,
        }
    }
}

/// Where lowering stands.
struct Lower<'a> {
    graph: &'a Graph,
    cores: u32,
    params: TileParams,
    weights: &'a mut WeightPlan,
    build: Build,
    values: BTreeMap<ValueId, Value>,
    /// Token ids of the current row block, by input.
    ids: BTreeMap<ValueId, (BufferId, bool)>,
    /// What attention sees from the current row block.
    seen: Seen,
    rows: Rows,
    mt: u32,
    tokens: Tokens,
    problems: Vec<LowerProblem>,
    failed: BTreeSet<ValueId>,
    regions: Vec<Region>,
    /// The node that ends a turn, and the rows that it should end up in.
    target: Option<(ValueId, Sram)>,
}

/// What attention sees; the same for all layers.
struct Seen {
    /// The position after the row block's last.
    end: Expr,
    /// By window, the first KV block that any row sees.
    first: BTreeMap<u32, Expr>,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen {
            end: Expr::ZERO,
            first: BTreeMap::new(),
        }
    }
}

/// Why a node cannot be lowered.
type Reason = String;

impl Lower<'_> {
    fn run(&mut self) {
        let order = self.graph.topological();
        let (last, block): (Vec<_>, Vec<_>) = order.into_iter().partition(|v| self.is_last(*v));
        let mt = i64::from(self.mt);
        let trip = self.tokens.count.clone().ceil_div(mt);
        let max_trip = self.tokens.max.div_ceil(u64::from(self.mt));
        let trip = if max_trip <= 1 { Expr::Const(1) } else { trip };
        let index = self.build.begin("block", trip, max_trip);
        let first = index * mt;
        let position = match self.uses_past() {
            true => self
                .build
                .bind("position", Expr::Launch(LAUNCH_PAST) + first.clone()),
            false => first.clone(),
        };
        let mut left = self.tokens.count.clone() - first.clone();
        if let Some(capacity) = self.tokens.capacity {
            left = left.min(Expr::from(capacity) - position.clone());
        }
        let exact = self.tokens.count.as_const().is_some_and(|n| n % mt == 0)
            && self.tokens.capacity.is_none();
        let whole = exact || (max_trip > 1 && mt == 1 && self.tokens.capacity.is_none());
        let count = match (whole, max_trip > 1) {
            (true, _) => Expr::Const(mt),
            (false, true) => self.build.bind("rows", left.min(Expr::Const(mt))),
            (false, false) => self.build.bind("rows", left),
        };
        self.rows = Rows {
            bound: self.mt,
            count,
            first,
            position,
            all: self.tokens.max,
        };
        self.seen = self.seen();
        self.nodes(&block);
        self.build.end();
        // Nothing after the last row depends on positions.
        self.rows = Rows {
            bound: 1,
            count: Expr::Const(1),
            first: Expr::ZERO,
            position: Expr::ZERO,
            all: 1,
        };
        self.nodes(&last);
    }

    /// Lowers nodes in order; those of a repeat where its result is.
    fn nodes(&mut self, order: &[ValueId]) {
        let regions = self.regions.clone();
        let inside: BTreeSet<ValueId> = regions.iter().flat_map(|r| r.members.clone()).collect();
        for &id in order.iter().filter(|v| !inside.contains(v)) {
            if let Some(region) = regions.iter().find(|r| r.repeat == id) {
                self.turns(region);
            }
            self.lower_node(id);
        }
    }

    /// Lowers a node, and the outputs that it is.
    fn lower_node(&mut self, id: ValueId) {
        let graph = self.graph;
        let Some(node) = graph.get(id) else { return };
        if node.operands.iter().any(|v| self.failed.contains(v)) {
            if let Some(reason) = unsupported(&node.op) {
                self.problem(id, node, reason);
            }
            self.failed.insert(id);
            return;
        }
        self.build.origin(origin(id, node));
        let value = self.node(id, node).and_then(|value| {
            let mut outputs = graph.outputs.iter().filter(|(_, v)| *v == id);
            outputs.try_for_each(|(name, _)| self.output(name, node, &value))?;
            Ok(value)
        });
        match value {
            Ok(value) => drop(self.values.insert(id, value)),
            Err(reason) => {
                self.problem(id, node, reason);
                self.failed.insert(id);
            }
        }
    }

    fn problem(&mut self, id: ValueId, node: &Node, reason: Reason) {
        let origin = origin(id, node);
        self.problems.push(LowerProblem { origin, reason });
    }

    fn node(&mut self, id: ValueId, node: &Node) -> Result<Value, Reason> {
        if is_rows(node) {
            self.check_rows(node)?;
        }
        match &node.op {
            Op::Const(c) => {
                let constant = self
                    .graph
                    .tables()
                    .constant(*c)
                    .ok_or("the constant is not in the graph's table")?;
                Ok(Value::Const(constant.clone()))
            }
            Op::Input => self.input(id, node),
            Op::Gather { axis } => self.gather(id, node, *axis),
            Op::PositionRows {
                start,
                rows: _,
                short,
            } => self.position_rows(id, node, start, *short),
            Op::LastRow { axis: _ } => self.last_row(id, node),
            Op::AllGather => self.all_gather(id, node),
            Op::Carry => self.carry(id, node),
            Op::Repeat { count: _ } => self.value(node, 0),
            Op::MatMul => self.matmul(id, node),
            Op::MatMulDequantized { block, transposed } => {
                self.matmul_codes(id, node, *block, *transposed)
            }
            Op::RoundTrip(codes) => self.round_trip(id, node, *codes),
            Op::DynamicRoundTrip(range) => self.dynamic_round_trip(id, node, *range),
            Op::Unary(f) => self.unary(id, node, *f),
            Op::Binary(f) => self.binary(id, node, *f),
            Op::SiluMul => self.silu_mul(id, node),
            Op::RmsNorm { eps } => self.rms_norm(id, node, eps.get()),
            Op::LayerNorm { eps } => self.layer_norm(id, node, eps.get()),
            Op::Rope {
                heads,
                head_dim,
                rotary_dim,
                interleaved,
            } => self.rope(id, node, [*heads, *head_dim, *rotary_dim], *interleaved),
            Op::Cast(to) => self.cast(id, node, *to),
            Op::Compare(op) => self.compare(id, node, *op),
            Op::Where => self.choose(id, node),
            Op::TopK { axis, k, largest } => self.top_k(id, node, *axis, *k, *largest),
            Op::GatherNd { batch_dims } => self.pick(id, node, *batch_dims),
            Op::ScatterNd { batch_dims, op } => self.place(id, node, *batch_dims, *op),
            Op::Append { state } => self.append(id, node, *state),
            Op::Attention {
                heads,
                kv_heads,
                head_dim,
                scale,
                mask,
                softcap,
                scores,
                weights,
            } => {
                let softcap = softcap.map_or(0.0, |c| c.get());
                let scores = Scores {
                    scale: scale.get(),
                    softcap,
                    codes: [*scores, *weights],
                };
                self.attention(id, node, [*heads, *kv_heads, *head_dim], *mask, scores)
            }
            Op::Reshape { .. } => self.reshape(node),
            Op::Transpose { perm } => self.transpose(id, node, perm),
            Op::Expand { .. } => self.expand(id, node),
            Op::Concat { axis } => self.concat(id, node, *axis),
            Op::Slice {
                axis,
                start,
                end: _,
                step,
            } => self.slice(id, node, *axis, start, *step),
            Op::Reduce {
                op,
                axes,
                keepdims: _,
            } => self.reduce(id, node, *op, axes),
            Op::Softmax { axis } => self.softmax(id, node, *axis),
            Op::BitCast(_)
            | Op::Pad { .. }
            | Op::Windows { .. }
            | Op::CumSum { .. }
            | Op::Trilu { .. }
            | Op::Dequantize { .. }
            | Op::Mask { .. } => Err(unsupported(&node.op).unwrap_or_default()),
        }
    }

    /// True for values of one row when the launch has several.
    fn is_last(&self, id: ValueId) -> bool {
        let Some(node) = self.graph.get(id) else {
            return false;
        };
        is_rows(node) && !self.tokens.dim.is(1) && self.row_axis(&node.ty).is_none()
    }

    fn uses_past(&self) -> bool {
        let past =
            |(_, n): (ValueId, &Node)| matches!(n.op, Op::Append { .. } | Op::PositionRows { .. });
        self.graph.iter().any(past)
    }

    fn check_rows(&self, node: &Node) -> Result<(), Reason> {
        let computed = !matches!(node.op, Op::Gather { .. } | Op::PositionRows { .. });
        let known = [
            TensorType::F32,
            TensorType::Bool,
            TensorType::I32,
            TensorType::I64,
        ];
        if computed && !known.contains(&node.ty.dtype) {
            return Err(format!(
                "computes in {}, expected f32, bool, i32 or i64",
                node.ty.dtype.name()
            ));
        }
        self.row_dims(&node.ty).map(drop)
    }

    /// Columns of a value of this type.
    fn columns(&self, ty: &Type) -> Result<Columns, Reason> {
        let dims = self.row_dims(ty)?;
        let product = |dims: &[u32]| {
            let size = dims
                .iter()
                .try_fold(1i64, |n, d| n.checked_mul(i64::from(*d)));
            let size = size.filter(|n| (1..=MAX_WIDTH).contains(n));
            size.ok_or_else(|| format!("rows of {dims:?} elements, expected 1 to {MAX_WIDTH}"))
        };
        let total = product(&dims)? as u32;
        match ty.layout {
            Layout::Replicated => Ok(Columns::all(total)),
            Layout::Split { axis, unit } if dims.iter().take(axis).all(|n| *n == 1) => {
                let inner = product(dims.get(axis + 1..).unwrap_or_default())?;
                let unit = u32::try_from(unit as u64 * inner as u64);
                let unit = unit.map_err(|_| "is split in too large units")?;
                Ok(Columns::split(total, unit, self.cores))
            }
            Layout::Split { axis, unit: _ } => Err(format!(
                "is split along axis {axis}, which is not a row's first"
            )),
        }
    }

    /// A new buffer for the value of a node: rows of f32, or of i32 for integers and bools.
    fn result(&mut self, id: ValueId, node: &Node) -> Result<Sram, Reason> {
        let columns = self.columns(&node.ty)?;
        if let Some(rows) = self.carried(id, node, columns) {
            return Ok(rows);
        }
        let rows = self.scratch(&format!("v{}_{}", id.0, node.op.name()), columns);
        let dtype = match node.ty.dtype.is_float() {
            true => DType::F32,
            false => DType::I32,
        };
        Ok(Sram { dtype, ..rows })
    }

    /// A new buffer of f32 rows.
    fn scratch(&mut self, name: &str, columns: Columns) -> Sram {
        let bytes = u64::from(self.rows.bound) * u64::from(columns.row_bytes());
        Sram::new(self.build.sram(name, bytes), columns, DType::F32)
    }

    fn value(&self, node: &Node, index: usize) -> Result<Value, Reason> {
        let id = node
            .operands
            .get(index)
            .ok_or_else(|| format!("has no operand {index}"))?;
        self.values
            .get(id)
            .cloned()
            .ok_or_else(|| format!("operand {id} has no value yet"))
    }

    /// An operand that is rows in SRAM.
    fn sram(&self, node: &Node, index: usize) -> Result<Sram, Reason> {
        match self.value(node, index)? {
            Value::Sram(s) => Ok(s),
            other => Err(format!(
                "operand {index} is {}, expected rows",
                other.kind()
            )),
        }
    }

    /// An operand of which each core must have all columns.
    fn whole(&self, node: &Node, index: usize) -> Result<Sram, Reason> {
        let s = self.sram(node, index)?;
        if s.columns.split {
            return Err(format!(
                "operand {index} is split between the cores, expected all of it on every core"
            ));
        }
        Ok(s)
    }

    fn constant(&self, node: &Node, index: usize) -> Result<Arc<Const>, Reason> {
        match self.value(node, index)? {
            Value::Const(c) => Ok(c),
            other => Err(format!(
                "operand {index} is {}, expected a constant",
                other.kind()
            )),
        }
    }

    /// A constant in the weight image, as a buffer.
    fn weight(
        &mut self,
        constant: &Arc<Const>,
        packing: Packing,
    ) -> Result<(BufferId, WeightItem), Reason> {
        let item = self
            .weights
            .add(constant, packing)
            .map_err(|e: PackError| e.to_string())?
            .clone();
        let buffer = self
            .build
            .dram(&item.name, Space::Weights(item.name.clone()), item.bytes);
        if let Some(stride) = item.stride() {
            self.build.stack(buffer, stride);
        }
        Ok((buffer, item))
    }
}

/// Why an op can never be lowered, whatever its operands are.
fn unsupported(op: &Op) -> Option<Reason> {
    match op {
        Op::BitCast(_)
        | Op::Pad { .. }
        | Op::Windows { .. }
        | Op::CumSum { .. }
        | Op::Trilu { .. }
        | Op::Dequantize { .. }
        | Op::Mask { .. } => Some(format!("the chip has no `{}` of rows", op.name())),
        Op::Input
        | Op::Const(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Where
        | Op::Cast(_)
        | Op::TopK { .. }
        | Op::GatherNd { .. }
        | Op::ScatterNd { .. }
        | Op::MatMul
        | Op::MatMulDequantized { .. }
        | Op::RoundTrip(_)
        | Op::DynamicRoundTrip(_)
        | Op::Gather { .. }
        | Op::PositionRows { .. }
        | Op::Append { .. }
        | Op::RmsNorm { .. }
        | Op::LayerNorm { .. }
        | Op::Rope { .. }
        | Op::Attention { .. }
        | Op::SiluMul
        | Op::LastRow { .. }
        | Op::AllGather
        | Op::Carry
        | Op::Repeat { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Expand { .. }
        | Op::Concat { .. }
        | Op::Slice { .. }
        | Op::Reduce { .. }
        | Op::Softmax { .. } => None,
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Value::Sram(_) => "rows",
            Value::Const(_) => "a constant",
            Value::State(_) => "a state",
            Value::Ids => "token ids",
        }
    }
}

/// The element type in chip memory.
fn chip_type(dtype: TensorType) -> Result<DType, Reason> {
    match dtype {
        TensorType::F32 => Ok(DType::F32),
        TensorType::Bf16 => Ok(DType::Bf16),
        other => Err(format!(
            "element type {} is not one of the chip's (f32, bf16)",
            other.name()
        )),
    }
}

fn origin(id: ValueId, node: &Node) -> Origin {
    Origin {
        node: format!("{id} {}", node.op.name()),
        onnx: node.origin.clone(),
    }
}
