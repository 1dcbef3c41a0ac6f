//! The one error type of this crate.

use crate::dtype::DType;
use std::path::{Path, PathBuf};

/// What can be wrong with a tensor or with a file of tensors.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// A file could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The number of bytes is not what dtype and shape ask for.
    #[error("a {dtype} tensor of shape {shape:?} takes {expected} bytes, found {found}")]
    Size {
        /// The element type.
        dtype: DType,
        /// The shape.
        shape: Vec<usize>,
        /// Bytes that dtype and shape ask for.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The shape has more elements than an address space holds.
    #[error("a {dtype} tensor of shape {shape:?} is larger than the address space")]
    TooLarge {
        /// The element type.
        dtype: DType,
        /// The shape.
        shape: Vec<usize>,
    },
    /// A tensor of another element type was expected.
    #[error("expected a tensor of {expected}, found {found}")]
    DType {
        /// What was asked for.
        expected: String,
        /// What the tensor holds.
        found: DType,
    },
    /// Shapes do not go together.
    #[error("{what}: {left:?} and {right:?}")]
    Shape {
        /// The operation that was asked for.
        what: &'static str,
        /// One shape.
        left: Vec<usize>,
        /// The other shape.
        right: Vec<usize>,
    },
    /// A file or byte string is not what its format asks for.
    #[error("{format}: {message} (at byte {offset})")]
    Format {
        /// `npy`, `npz` or `deflate`.
        format: &'static str,
        /// What is wrong.
        message: String,
        /// Where, from the start of the file or member.
        offset: usize,
    },
    /// An error inside a named file or member.
    #[error("{name}: {source}")]
    In {
        /// File or member.
        name: String,
        /// What is wrong in it.
        source: Box<TensorError>,
    },
}

impl TensorError {
    /// An error of the operating system on `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        TensorError::Io {
            path: path.as_ref().to_path_buf(),
            source,
        }
    }

    /// The same error, with the name of the file or member it was found in.
    pub fn within(self, name: impl Into<String>) -> Self {
        TensorError::In {
            name: name.into(),
            source: Box::new(self),
        }
    }
}
