//! The text form, written. One node per line, operands before users:
//!
//! ```text
//! graph "prefill" {
//!   bound seq <= 64
//!   const c0 "model.norm.weight" f32[192] #9ae16a3b2f90404f
//!   const c1 "eps" f32[2] = [1e-5, 0.5]
//!   state s0 "past_key_values.0.key" f32[1, 2, 512, 32]
//!   input %0 "input_ids" i64[1, seq]
//!   %1 : f32[192] = const c0
//!   %7 : f32[1, seq, 192] = rms_norm %6, %1 {eps=1e-5} ; "node_rsqrt", "node_mul_3"
//!   output "logits" %41
//! }
//! ```
//!
//! After `;` stand the names of the model's nodes that the node stands for. A type that is not replicated ends in
//! its layout: `f32[1, seq, 192] split(2, 16)`. Constants of at most [`INLINE`] elements (and no NaN) are written out,
//! others by name, type and digest. A stack has its number of turns after the type (`f32[192] * 80`), a stack of states
//! a name per turn. Text after `//` on a line of its own is a comment. [`crate::parse`] reads all of it.

use crate::graph::{Graph, Module};
use crate::op::{MaskForm, MaskKind, Op};
use crate::text::quote;
use crate::types::{Const, Layout, Type, ValueId};
use llmc_tensor::{DType, Tensor};
use std::fmt::{self, Display, Write};

/// Constants of at most this many elements are written out.
pub const INLINE: usize = 16;

/// Attributes of an op as `key, value` in text. [`crate::parse`] is the other direction.
pub(crate) fn attributes(op: &Op) -> Vec<(&'static str, String)> {
    let text = |v: &dyn Display| v.to_string();
    match op {
        Op::Input
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Where
        | Op::MatMul
        | Op::SiluMul
        | Op::AllGather
        | Op::Carry => Vec::new(),
        // ids stand where operands do
        Op::Const(_) | Op::Append { .. } => Vec::new(),
        Op::Cast(to) | Op::BitCast(to) => vec![("to", text(to))],
        Op::Reshape { shape } | Op::Expand { shape } => vec![("shape", format!("{shape:?}"))],
        Op::Transpose { perm } => vec![("perm", format!("{perm:?}"))],
        Op::Repeat { count } => vec![("count", text(count))],
        Op::Concat { axis } | Op::Gather { axis } | Op::Softmax { axis } | Op::LastRow { axis } => {
            vec![("axis", text(axis))]
        }
        Op::Slice {
            axis,
            start,
            end,
            step,
        } => {
            vec![
                ("axis", text(axis)),
                ("start", text(start)),
                ("end", text(end)),
                ("step", text(step)),
            ]
        }
        Op::GatherNd { batch_dims } => vec![("batch_dims", text(batch_dims))],
        Op::ScatterNd { batch_dims, op } => {
            vec![("batch_dims", text(batch_dims)), ("op", text(op))]
        }
        Op::Pad { before, after } => {
            vec![
                ("before", format!("{before:?}")),
                ("after", format!("{after:?}")),
            ]
        }
        Op::Windows {
            kernel,
            strides,
            dilations,
        } => vec![
            ("kernel", format!("{kernel:?}")),
            ("strides", format!("{strides:?}")),
            ("dilations", format!("{dilations:?}")),
        ],
        Op::TopK { axis, k, largest } => vec![
            ("axis", text(axis)),
            ("k", text(k)),
            ("largest", text(largest)),
        ],
        Op::Reduce {
            op: _,
            axes,
            keepdims,
        } => vec![("axes", format!("{axes:?}")), ("keepdims", text(keepdims))],
        Op::CumSum {
            axis,
            exclusive,
            reverse,
        } => {
            vec![
                ("axis", text(axis)),
                ("exclusive", text(exclusive)),
                ("reverse", text(reverse)),
            ]
        }
        Op::Trilu { upper, k } => vec![("upper", text(upper)), ("k", text(k))],
        Op::PositionRows { start, rows, short } => {
            let mut fields = vec![("start", text(start)), ("rows", text(rows))];
            if *short > 0 {
                fields.push(("short", text(short)));
            }
            fields
        }
        Op::Mask {
            kind,
            form,
            rows,
            cols,
        } => {
            let mut all = mask_kind(kind);
            if let MaskForm::Additive(hidden) = form {
                all.push(("hidden", text(hidden)));
            }
            all.extend([("rows", text(rows)), ("cols", text(cols))]);
            all
        }
        Op::Dequantize { axis, block } => vec![("axis", text(axis)), ("block", text(block))],
        Op::MatMulDequantized { block, transposed } => {
            vec![("block", text(block)), ("transposed", text(transposed))]
        }
        Op::RoundTrip(dtype) => vec![("codes", text(dtype))],
        Op::DynamicRoundTrip(range) => vec![("range", text(range))],
        Op::RmsNorm { eps } | Op::LayerNorm { eps } => vec![("eps", text(eps))],
        Op::Rope {
            heads,
            head_dim,
            rotary_dim,
            interleaved,
        } => vec![
            ("heads", text(heads)),
            ("head_dim", text(head_dim)),
            ("rotary_dim", text(rotary_dim)),
            ("interleaved", text(interleaved)),
        ],
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
            let mut all = vec![
                ("heads", text(heads)),
                ("kv_heads", text(kv_heads)),
                ("head_dim", text(head_dim)),
                ("scale", text(scale)),
            ];
            all.extend(mask_kind(mask));
            all.extend(softcap.iter().map(|c| ("softcap", text(c))));
            all.extend(scores.iter().map(|c| ("scores", text(c))));
            all.extend(weights.iter().map(|c| ("weights", text(c))));
            all
        }
    }
}

fn mask_kind(kind: &MaskKind) -> Vec<(&'static str, String)> {
    let mut all = vec![("causal", kind.causal.to_string())];
    all.extend(kind.window.iter().map(|w| ("window", w.to_string())));
    all
}

/// What is printed between the op's name and its attributes.
fn operand_words(op: &Op, operands: &[ValueId]) -> String {
    let id = match op {
        Op::Const(id) => Some(id.to_string()),
        Op::Append { state } => Some(state.to_string()),
        _ => None,
    };
    id.into_iter()
        .chain(operands.iter().map(ValueId::to_string))
        .collect::<Vec<_>>()
        .join(", ")
}

fn attribute_words(op: &Op) -> String {
    let all: Vec<String> = attributes(op)
        .into_iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    if all.is_empty() {
        String::new()
    } else {
        format!(" {{{}}}", all.join(", "))
    }
}

/// The op with its attributes, without operands: `rms_norm {eps=1e-5}`.
impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let ids = operand_words(self, &[]);
        if !ids.is_empty() {
            write!(f, " {ids}")?;
        }
        f.write_str(&attribute_words(self))
    }
}

impl Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layout::Replicated => f.write_str("replicated"),
            Layout::Split { axis, unit } => write!(f, "split({axis}, {unit})"),
        }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)?;
        match self.layout {
            Layout::Replicated => Ok(()),
            layout => write!(f, " {layout}"),
        }
    }
}

impl Display for Const {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", quote(self.name()), self.ty())?;
        if let Some(turns) = self.turns() {
            write!(f, " * {turns}")?;
        }
        match self.tensor().filter(|t| is_inline(t)) {
            Some(t) => write!(f, " = {}", elements(t)),
            None => write!(f, " #{:016x}", self.digest()),
        }
    }
}

/// True for constants that are written out: small ones. NaN has no text that keeps its bits.
fn is_inline(t: &Tensor) -> bool {
    t.elements() <= INLINE && !(t.dtype().is_float() && t.to_f64_vec().iter().any(|v| v.is_nan()))
}

/// Elements in brackets, so that they read back to the same bits.
fn elements(t: &Tensor) -> String {
    let words: Vec<String> = match t.dtype() {
        DType::F64 => t.to_f64_vec().iter().map(|v| format!("{v:?}")).collect(),
        // f32 holds every f16 and bf16 exactly, and its shortest text reads back to the same value
        d if d.is_float() => t.to_f32_vec().iter().map(|v| format!("{v:?}")).collect(),
        DType::Bool => t.to_bool_vec().iter().map(bool::to_string).collect(),
        DType::U64 => t
            .to_vec::<u64>()
            .unwrap_or_default()
            .iter()
            .map(u64::to_string)
            .collect(),
        _ => t
            .to_i64_vec()
            .unwrap_or_default()
            .iter()
            .map(i64::to_string)
            .collect(),
    };
    format!("[{}]", words.join(", "))
}

impl Graph {
    /// One node as its line in the text form, without indentation; for messages and dumps.
    pub fn node_text(&self, id: ValueId) -> String {
        let mut line = self.op_text(id);
        if let Some(node) = self.get(id).filter(|node| !node.origin.is_empty()) {
            let names: Vec<String> = node.origin.iter().map(|n| quote(n)).collect();
            let _ = write!(line, " ; {}", names.join(", "));
        }
        line
    }

    /// The same without the names of the model's nodes.
    pub fn op_text(&self, id: ValueId) -> String {
        let Some(node) = self.get(id) else {
            return format!("{id} (removed)");
        };
        let mut line = match self.input_name(id) {
            Some(name) if node.op == Op::Input => format!("input {id} {} {}", quote(name), node.ty),
            _ => format!("{id} : {} = {}", node.ty, node.op.name()),
        };
        let operands = operand_words(&node.op, &node.operands);
        if !operands.is_empty() {
            let _ = write!(line, " {operands}");
        }
        line.push_str(&attribute_words(&node.op));
        line
    }
}

impl Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {} {{", quote(&self.name))?;
        for (symbol, bound) in &self.bounds {
            writeln!(f, "  bound {symbol} <= {bound}")?;
        }
        for (i, c) in self.consts().iter().enumerate() {
            writeln!(f, "  const c{i} {c}")?;
        }
        for (i, s) in self.states().iter().enumerate() {
            let names: Vec<String> = s.names().iter().map(|n| quote(n)).collect();
            writeln!(f, "  state s{i} {} {}", names.join(", "), s.ty())?;
        }
        for (_, id) in self.inputs() {
            writeln!(f, "  {}", self.node_text(*id))?;
        }
        let named = |id: &ValueId| self.input_name(*id).is_some();
        for id in self.topological().into_iter().filter(|id| !named(id)) {
            writeln!(f, "  {}", self.node_text(id))?;
        }
        for (name, id) in &self.outputs {
            writeln!(f, "  output {} {id}", quote(name))?;
        }
        writeln!(f, "}}")
    }
}

/// The entries' graphs, one after the other, with an empty line between.
impl Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, graph) in self.entries.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            graph.fmt(f)?;
        }
        Ok(())
    }
}
