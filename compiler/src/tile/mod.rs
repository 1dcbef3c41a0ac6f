//! Tiles: loop nests of engine ops on buffers and rings.
//!
//! | module | holds |
//! |---|---|
//! | `expr`, `program` | the language |
//! | `access` | the bytes each op touches |
//! | `lower` | graph of a language model to program |
//! | `function` | graph without state to program |
//! | `alike` | loops whose turns differ in DRAM addresses only |
//! | `search` | which tile sizes to try |
//! | `weights`, `codes` | the weight image |
//! | `print`, `parse`, `fields`, `lex` | its text form |

mod access;
mod alike;
mod codes;
mod expr;
mod fields;
mod function;
mod functions;
mod lex;
mod lower;
mod parse;
mod print;
mod program;
mod search;
mod weights;

pub use access::*;
pub use codes::{CodePanels, Scales};
pub use expr::{Expr, Scope, VarId};
pub use function::{chip_type, lower_function};
pub use lower::{LAUNCH_PAST, LAUNCH_TOKENS, LowerError, LowerProblem, TileParams, lower};
pub use parse::ParseError;
pub use print::OpPrinter;
pub use program::*;
pub use search::{candidates, kv_block};
pub use weights::{PackError, Packing, WeightItem, WeightPlan};
