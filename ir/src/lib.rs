//! The graph language of llmc: ops, types with symbolic dims, state, verifier, text form, evaluator.
//!
//! A [`Graph`] is one entry of a program: a directed acyclic graph of single-result nodes over [`Type`]s whose
//! dims are polynomials ([`Dim`]) over symbols such as `batch`, `seq` and `past`. A [`Module`] is the entries of
//! one model; they share constants and states by name.
//!
//! | module | holds |
//! |---|---|
//! | [`dim`] | symbols, polynomials, bindings |
//! | [`types`] | ids, [`Type`], [`Layout`], [`Const`], [`State`] |
//! | [`region`] | what repeats: layers of a model, rolled into one |
//! | [`op`] | the closed list of operations and their attributes |
//! | [`graph`] | [`Graph`], [`Module`]: building, changing, walking |
//! | [`mod@infer`] | the result type of each op |
//! | [`mod@verify`] | what holds of a graph at each stage |
//! | [`mod@print`], [`parse`] | the text form; `parse(print(x)) == x` |
//! | [`eval`] | the reference evaluator: the meaning of each op |
//! | [`view`] | the graph as a `petgraph`, DOT |
//!
//! Nothing here knows of ONNX, egg or the chip.

pub mod dim;
pub mod eval;
pub mod graph;
pub mod infer;
pub mod op;
pub mod parse;
pub mod print;
pub mod region;
mod text;
pub mod types;
pub mod verify;
pub mod view;

pub use dim::{Bindings, Dim, Symbol};
pub use eval::{EvalError, StateValue, States, eval_graph, eval_op};
pub use graph::{Graph, Module, Node, Origin};
pub use infer::{TypeError, infer};
pub use op::{
    BinaryOp, CmpOp, Codes, MaskForm, MaskKind, Op, RangeOf, Real, ReduceOp, ScatterOp, UnaryOp,
};
pub use parse::{ParseError, parse_graph, parse_graph_with, parse_module, parse_module_with};
pub use region::{Region, regions};
pub use types::{Const, ConstId, Layout, NodeId, State, StateId, Tables, Type, ValueId};
pub use verify::{Stage, VerifyError, verify, verify_module};
