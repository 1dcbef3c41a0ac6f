//! What the importer knows about each ONNX value.

use llmc_ir::{Dim, Symbol, Type, ValueId};
use llmc_tensor::{DType, Tensor};

use std::rc::Rc;

use super::error::OpError;
use super::model::ValueIx;
use super::selected::Selected;

/// How a value is known.
#[derive(Clone, Debug)]
pub enum Content {
    /// All of it: an initializer, or computed from such.
    Const(Tensor),
    /// A small integer tensor whose elements are polynomials of the symbols, row major.
    Ints(Vec<Dim>),
    /// It depends only on shapes, positions, the attention mask and constants, and is computed on samples when needed.
    Structural {
        /// It depends on constants alone, but is too large to compute on import: it becomes ops of the graph.
        const_only: bool,
    },
    /// It depends on tokens: a node of the graph.
    Data(ValueId),
    /// It has as many elements as a mask shows that depends on tokens.
    Selected(Rc<Selected>),
}

/// An ONNX value as far as it is known.
#[derive(Clone, Debug)]
pub struct Val {
    /// How it is known.
    pub content: Content,
    /// Its type; `None` if it could not be told without computing it.
    pub ty: Option<Type>,
    /// The ONNX value that holds it; `None` inside an operator function.
    pub source: Option<ValueIx>,
}

impl Val {
    /// A known tensor.
    pub fn constant(tensor: Tensor) -> Val {
        Val {
            ty: Some(Type::of(&tensor)),
            content: Content::Const(tensor),
            source: None,
        }
    }

    /// A value that is computed on samples.
    pub fn structural(ty: Option<Type>) -> Val {
        Val {
            content: Content::Structural { const_only: false },
            ty,
            source: None,
        }
    }

    /// A node of the graph.
    pub fn data(id: ValueId, ty: Type) -> Val {
        Val {
            content: Content::Data(id),
            ty: Some(ty),
            source: None,
        }
    }

    /// True if it depends on tokens.
    pub fn is_data(&self) -> bool {
        matches!(self.content, Content::Data(_) | Content::Selected(_))
    }

    /// The tensor, if all of it is known.
    pub fn as_const(&self) -> Option<&Tensor> {
        match &self.content {
            Content::Const(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// True if it depends on constants alone.
    pub fn is_const_only(&self) -> bool {
        matches!(
            self.content,
            Content::Const(_) | Content::Structural { const_only: true }
        )
    }

    /// Element type.
    ///
    /// # Errors
    /// If the type is not known.
    pub fn dtype(&self) -> Result<DType, OpError> {
        self.ty.as_ref().map(|t| t.dtype).ok_or_else(unknown_type)
    }

    /// Elements as polynomials, if they are known integers.
    pub fn as_dims(&self) -> Option<Vec<Dim>> {
        match &self.content {
            Content::Ints(dims) => Some(dims.clone()),
            Content::Const(t) => t
                .to_i64_vec()
                .ok()
                .map(|v| v.into_iter().map(Dim::from).collect()),
            Content::Structural { .. } | Content::Data(_) | Content::Selected(_) => None,
        }
    }
}

/// The error for a value whose type could not be told.
pub fn unknown_type() -> OpError {
    OpError::unsupported(
        "the shape of an operand cannot be told before the values of tokens are known",
        "",
    )
}

/// True if `dim >= least` whenever batch and seq are at least 1 and all other symbols at least 0.
pub fn at_least(dim: &Dim, least: i64) -> bool {
    let from_one =
        |d: &Dim, name: &str| d.substitute(&Symbol::new(name), &(Dim::sym(name) + Dim::one()));
    let shifted = from_one(&from_one(dim, Symbol::BATCH), Symbol::SEQ);
    Dim::from(least).known_le(&shifted)
}

/// An axis counted from the front.
///
/// # Errors
/// If it is out of range.
pub fn axis_of(axis: i64, rank: usize) -> Result<usize, OpError> {
    let from_front = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_front)
        .ok()
        .filter(|a| *a < rank)
        .ok_or_else(|| OpError::input(format!("axis {axis} is out of range for {rank} axes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_know_that_lengths_are_positive() {
        assert!(at_least(&Dim::seq(), 1));
        assert!(at_least(&(Dim::past() + Dim::seq() - Dim::one()), 0));
        assert!(!at_least(&Dim::past(), 1));
        assert!(!at_least(&(Dim::seq() - Dim::past()), 0));
        assert_eq!(axis_of(-1, 3), Ok(2));
        assert!(axis_of(3, 3).is_err());
    }
}
