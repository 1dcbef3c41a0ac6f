//! Why a compile failed, and whose turn it is.

use crate::alloc::AllocError;
use crate::check::CheckErrors;
use crate::emit::EmitError;
use crate::import::{Category, ImportError};
use crate::report::WalkError;
use crate::sync::SyncError;
use crate::tile::LowerError;
use llmc_isa::container::ContainerError;
use llmc_passes::{Cause, PassError};

/// A compile failed.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The model cannot be read or imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Options that make no sense, or not together.
    #[error("{0}")]
    Options(String),
    /// Something that llmc cannot do yet.
    #[error("not supported yet: {0}")]
    Unsupported(String),
    /// A pass failed.
    #[error("pass {0}")]
    Pass(#[from] PassError),
    /// A graph cannot be lowered to tiles.
    #[error("entry `{entry}` cannot be cut into tiles: {error}")]
    Lower {
        /// The entry.
        entry: String,
        /// Every reason.
        error: LowerError,
    },
    /// SRAM or DRAM is too small.
    #[error(transparent)]
    Alloc(#[from] AllocError),
    /// Synchronisation failed.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A checker objects to what the compiler made.
    #[error("bug in llmc, a checker objects: {0}")]
    Check(#[from] CheckErrors),
    /// No instructions could be made.
    #[error("bug in llmc: {0}")]
    Emit(#[from] EmitError),
    /// The instructions do not run.
    #[error("bug in llmc, entry `{entry}`: {error}")]
    Walk {
        /// The entry.
        entry: String,
        /// What is wrong.
        error: WalkError,
    },
    /// The binary cannot be written.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A part of the compiler contradicts another.
    #[error("bug in llmc: {0}")]
    Bug(String),
}

impl CompileError {
    /// Whether the input is wrong, something is not supported yet, or llmc has a bug.
    pub fn category(&self) -> Category {
        match self {
            CompileError::Import(e) => e.category(),
            CompileError::Options(_) | CompileError::Container(_) => Category::Input,
            CompileError::Unsupported(_) | CompileError::Lower { .. } => Category::Unsupported,
            CompileError::Pass(e) => match &e.cause {
                Cause::Options(_) => Category::Input,
                cause if cause.is_bug() => Category::Bug,
                _ => Category::Unsupported,
            },
            CompileError::Alloc(AllocError::Region { .. })
            | CompileError::Sync(SyncError::Malformed { .. }) => Category::Bug,
            CompileError::Alloc(_) | CompileError::Sync(_) => Category::Input,
            CompileError::Check(_)
            | CompileError::Emit(_)
            | CompileError::Walk { .. }
            | CompileError::Bug(_) => Category::Bug,
        }
    }
}
