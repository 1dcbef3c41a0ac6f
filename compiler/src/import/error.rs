//! What can go wrong on import, in three categories: the input is wrong, llmc does not support it yet, llmc has a bug.

use std::fmt;
use std::path::PathBuf;

/// Whose turn it is to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// The file is damaged, incomplete or not valid ONNX: export or copy it again.
    Input,
    /// Valid ONNX that llmc cannot compile yet.
    Unsupported,
    /// llmc contradicted itself: please report it.
    Bug,
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Category::Input => "wrong input",
            Category::Unsupported => "not supported",
            Category::Bug => "bug in llmc",
        })
    }
}

/// One finding about one node (or one graph input or output, then `operator` is empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whose turn it is.
    pub category: Category,
    /// Operator with its domain, for example `com.microsoft.GroupQueryAttention`.
    pub operator: String,
    /// Name of the ONNX node, or of its first result if the node has no name.
    pub node: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.category)?;
        if !self.operator.is_empty() {
            write!(f, "{} ", self.operator)?;
        }
        write!(f, "`{}`: {}", self.node, self.reason)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Why a model was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be opened or mapped.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX protobuf (truncated, or another kind of file).
    #[error(
        "{path} ({bytes} bytes) is not a complete ONNX file: {detail}; export or copy it again"
    )]
    Decode {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// What the decoder found, with the path of the field.
        detail: String,
    },
    /// Decodes, but something that every ONNX file has is missing or contradictory.
    #[error("{path} is not a valid ONNX model: {detail}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is missing or contradictory.
        detail: String,
    },
    /// A tensor's values are in a file that is not there.
    #[error(
        "the values of tensor `{tensor}` are in the file `{location}`, which is not at {expected}; keep it in the folder of the .onnx file"
    )]
    ExternalMissing {
        /// Name of the tensor.
        tensor: String,
        /// File name as the model gives it.
        location: String,
        /// Where llmc looked.
        expected: PathBuf,
    },
    /// A tensor's external data entry is not usable.
    #[error("external data of tensor `{tensor}`: {detail}")]
    External {
        /// Name of the tensor.
        tensor: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A constant's values do not fit its type and dims, or its type is unknown.
    #[error("{category}: tensor `{tensor}`: {detail}")]
    Tensor {
        /// Whose turn it is.
        category: Category,
        /// Name of the tensor.
        tensor: String,
        /// What does not fit.
        detail: String,
    },
    /// `config.json` or one of its neighbours is there but cannot be read.
    #[error("{path}: {detail}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Everything about single nodes, collected over the whole graph.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
}

impl ImportError {
    /// Whose turn it is; for collected problems, the gravest (a bug before wrong input before unsupported).
    pub fn category(&self) -> Category {
        match self {
            ImportError::Read { .. }
            | ImportError::Decode { .. }
            | ImportError::Malformed { .. }
            | ImportError::ExternalMissing { .. }
            | ImportError::External { .. }
            | ImportError::Config { .. } => Category::Input,
            ImportError::Tensor { category, .. } => *category,
            ImportError::Problems(problems) => {
                let has = |c| problems.iter().any(|p| p.category == c);
                if has(Category::Bug) {
                    Category::Bug
                } else if has(Category::Input) {
                    Category::Input
                } else {
                    Category::Unsupported
                }
            }
        }
    }
}

fn list(problems: &[Problem]) -> String {
    let mut text = match problems.len() {
        1 => String::from("1 problem in the model:"),
        n => format!("{n} problems in the model:"),
    };
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}

/// What an operator function reports; [`Problem`] adds the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpError {
    /// Whose turn it is.
    pub category: Category,
    /// What is wrong.
    pub reason: String,
    /// What to do about it, may be empty.
    pub remedy: String,
}

impl OpError {
    /// The node contradicts the ONNX specification.
    pub fn input(reason: impl Into<String>) -> Self {
        OpError {
            category: Category::Input,
            reason: reason.into(),
            remedy: String::new(),
        }
    }

    /// Valid, but llmc cannot do it yet.
    pub fn unsupported(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        OpError {
            category: Category::Unsupported,
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    /// llmc contradicted itself.
    pub fn bug(reason: impl Into<String>) -> Self {
        OpError {
            category: Category::Bug,
            reason: reason.into(),
            remedy: String::from("please report this model"),
        }
    }
}
