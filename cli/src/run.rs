//! dump
pub use crate::compile::{Options, run};
