//! Typed access to the attributes of a node.

use super::error::OpError;
use super::model::Node;
use super::proto::{AttributeProto, TensorProto, attribute_type};

/// The attributes of one node.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    list: &'a [AttributeProto],
}

impl<'a> Attributes<'a> {
    /// Attributes of a node.
    pub fn of(node: &'a Node) -> Self {
        Attributes {
            list: &node.attributes,
        }
    }

    /// Names, in file order.
    pub fn names(self) -> impl Iterator<Item = &'a str> {
        self.list.iter().map(|a| a.name.as_str())
    }

    /// True if the attribute is given.
    pub fn has(self, name: &str) -> bool {
        self.list.iter().any(|a| a.name == name)
    }

    /// The attribute, checked to have the type that the caller asks for.
    fn get(self, name: &str, wanted: i32) -> Result<Option<&'a AttributeProto>, OpError> {
        let Some(attribute) = self.list.iter().find(|a| a.name == name) else {
            return Ok(None);
        };
        if !attribute.ref_attr_name.is_empty() {
            return Err(OpError::input(format!(
                "attribute `{name}` refers to a function's attribute outside a function"
            )));
        }
        match attribute.r#type {
            attribute_type::UNDEFINED => Ok(Some(attribute)),
            found if found == wanted => Ok(Some(attribute)),
            found => {
                let (wanted, found) = (type_name(wanted), type_name(found));
                Err(OpError::input(format!(
                    "attribute `{name}` must be of type {wanted}, found {found}"
                )))
            }
        }
    }

    /// An integer attribute.
    ///
    /// # Errors
    /// If it has another type.
    pub fn int(self, name: &str) -> Result<Option<i64>, OpError> {
        Ok(self.get(name, attribute_type::INT)?.map(|a| a.i))
    }

    /// An integer attribute with its default.
    ///
    /// # Errors
    /// If it has another type.
    pub fn int_or(self, name: &str, default: i64) -> Result<i64, OpError> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// A 0/1 attribute with its default.
    ///
    /// # Errors
    /// If it has another type.
    pub fn flag_or(self, name: &str, default: bool) -> Result<bool, OpError> {
        Ok(self.int(name)?.map_or(default, |v| v != 0))
    }

    /// An integer attribute that must be there.
    ///
    /// # Errors
    /// If it is missing or has another type.
    pub fn int_required(self, name: &str) -> Result<i64, OpError> {
        self.int(name)?
            .ok_or_else(|| OpError::input(format!("attribute `{name}` is missing")))
    }

    /// A float attribute with its default.
    ///
    /// # Errors
    /// If it has another type.
    pub fn float_or(self, name: &str, default: f32) -> Result<f32, OpError> {
        Ok(self
            .get(name, attribute_type::FLOAT)?
            .map_or(default, |a| a.f))
    }

    /// A list of integers.
    ///
    /// # Errors
    /// If it has another type.
    pub fn ints(self, name: &str) -> Result<Option<&'a [i64]>, OpError> {
        Ok(self
            .get(name, attribute_type::INTS)?
            .map(|a| a.ints.as_slice()))
    }

    /// A list of floats.
    ///
    /// # Errors
    /// If it has another type.
    pub fn floats(self, name: &str) -> Result<Option<&'a [f32]>, OpError> {
        Ok(self
            .get(name, attribute_type::FLOATS)?
            .map(|a| a.floats.as_slice()))
    }

    /// A float attribute without default.
    ///
    /// # Errors
    /// If it has another type.
    pub fn float(self, name: &str) -> Result<Option<f32>, OpError> {
        Ok(self.get(name, attribute_type::FLOAT)?.map(|a| a.f))
    }

    /// A text attribute with its default.
    ///
    /// # Errors
    /// If it has another type or is not UTF-8.
    pub fn text_or(self, name: &str, default: &'a str) -> Result<&'a str, OpError> {
        match self.get(name, attribute_type::STRING)? {
            None => Ok(default),
            Some(a) => std::str::from_utf8(&a.s)
                .map_err(|_| OpError::input(format!("attribute `{name}` is not UTF-8"))),
        }
    }

    /// A tensor attribute.
    ///
    /// # Errors
    /// If it has another type.
    pub fn tensor(self, name: &str) -> Result<Option<&'a TensorProto>, OpError> {
        Ok(self
            .get(name, attribute_type::TENSOR)?
            .and_then(|a| a.t.as_ref()))
    }
}

fn type_name(code: i32) -> &'static str {
    match code {
        attribute_type::FLOAT => "FLOAT",
        attribute_type::INT => "INT",
        attribute_type::STRING => "STRING",
        attribute_type::TENSOR => "TENSOR",
        attribute_type::GRAPH => "GRAPH",
        attribute_type::FLOATS => "FLOATS",
        attribute_type::INTS => "INTS",
        attribute_type::STRINGS => "STRINGS",
        _ => "of another kind",
    }
}
