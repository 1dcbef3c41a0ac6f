//! A node and its operands, as an operator function sees them.

use super::attributes::Attributes;
use super::error::OpError;
use super::model::Node;
use super::value::Val;

/// One application of an operator.
#[derive(Debug)]
pub struct Call<'a> {
    /// The node.
    pub node: &'a Node,
    /// Its operands; `None` is an absent optional operand.
    pub inputs: Vec<Option<Val>>,
}

impl<'a> Call<'a> {
    /// The attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.node)
    }

    /// Version of the node's operator set.
    pub fn version(&self) -> i64 {
        self.node.version
    }

    /// Number of results that the node names.
    pub fn results(&self) -> usize {
        self.node.outputs.len()
    }

    /// True if result `i` is named and used.
    pub fn wants(&self, i: usize) -> bool {
        self.node.outputs.get(i).is_some_and(Option::is_some)
    }

    /// An operand that may be absent.
    pub fn optional(&self, i: usize) -> Option<&Val> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    /// An operand that must be there.
    ///
    /// # Errors
    /// If it is absent.
    pub fn input(&self, i: usize) -> Result<&Val, OpError> {
        self.optional(i)
            .ok_or_else(|| OpError::input(format!("operand {i} is missing")))
    }

    /// All operands of a variadic operator.
    ///
    /// # Errors
    /// If there is none or one is absent.
    pub fn all(&self) -> Result<Vec<&Val>, OpError> {
        match self.inputs.len() {
            0 => Err(OpError::input("it has no operands")),
            n => (0..n).map(|i| self.input(i)).collect(),
        }
    }
}
