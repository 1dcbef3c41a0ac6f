//! Weights in narrower types.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use llmc_ir::{Const, Module, Op};
use llmc_tensor::DType;

use crate::error::Cause;

/// How weights (w) and activations (a) are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quant {
    /// As imported; float stays f32.
    #[default]
    None,
    /// Weights of matrix products in bf16, rounded to nearest even.
    Bf16,
    /// int8 weights, int8 activations.
    W8a8,
    /// int4 weights, int8 activations.
    W4a8,
    /// int4 weights, 16-bit activations.
    W4a16,
    /// Ternary weights, int8 activations.
    W2a8,
}

impl Quant {
    /// Every variant.
    pub const ALL: [Quant; 6] = [
        Quant::None,
        Quant::Bf16,
        Quant::W8a8,
        Quant::W4a8,
        Quant::W4a16,
        Quant::W2a8,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Quant::None => "none",
            Quant::Bf16 => "bf16",
            Quant::W8a8 => "w8a8",
            Quant::W4a8 => "w4a8",
            Quant::W4a16 => "w4a16",
            Quant::W2a8 => "w2a8",
        }
    }
}

impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Quant {
    type Err = String;

    fn from_str(text: &str) -> Result<Quant, String> {
        Quant::ALL
            .into_iter()
            .find(|quant| quant.name() == text)
            .ok_or_else(|| {
                let names: Vec<&str> = Quant::ALL.iter().map(|quant| quant.name()).collect();
                format!(
                    "`{text}` is not a quantisation; there are {}",
                    names.join(", ")
                )
            })
    }
}

/// Quantises the weights of all entries. Returns how many constants were converted, each once.
///
/// # Errors
/// If the form is not supported yet, or a weight has no bytes.
pub fn quantise(module: &mut Module, quant: Quant) -> Result<usize, Cause> {
    match quant {
        Quant::None => Ok(0),
        Quant::Bf16 => to_bf16(module),
        other => Err(Cause::Unsupported(vec![format!(
            "quantisation `{other}` is not supported yet"
        )])),
    }
}

/// Replaces f32 constants on the right of matrix products by bf16 ones.
fn to_bf16(module: &mut Module) -> Result<usize, Cause> {
    let mut converted: BTreeMap<String, Arc<Const>> = BTreeMap::new();
    for graph in &mut module.entries {
        for id in graph.topological() {
            let (Op::MatMul, &[_, weight]) = (graph.op(id), graph.operands(id)) else {
                continue;
            };
            let Some(constant) = graph.as_const(weight).cloned() else {
                continue;
            };
            if constant.dtype() != DType::F32 {
                continue;
            }
            let new = match converted.get(constant.name()) {
                Some(new) => new.clone(),
                None => {
                    let new = Arc::new(narrow(&constant)?);
                    converted.insert(constant.name().to_string(), new.clone());
                    new
                }
            };
            let new = graph.add_const(new);
            let new = graph.const_node(new)?;
            graph.set_operand(id, 1, new);
        }
        graph.remove_dead();
        graph.remove_unused_tables();
        graph.refresh_types()?;
    }
    Ok(converted.len())
}

/// A constant rounded to bf16, under a name of its own.
fn narrow(constant: &Const) -> Result<Const, Cause> {
    let failed =
        |why: String| Cause::Unsupported(vec![format!("weight `{}`: {why}", constant.name())]);
    if constant.turns().is_some() {
        let each = constant.each_turn().iter().map(|c| narrow(c).map(Arc::new));
        let stack = Const::stack(each.collect::<Result<_, _>>()?);
        return stack.ok_or_else(|| failed("its bytes are not at hand".into()));
    }
    let tensor = constant
        .tensor()
        .ok_or_else(|| failed("its bytes are not at hand".into()))?;
    let tensor = tensor
        .cast(DType::Bf16)
        .map_err(|error| failed(error.to_string()))?;
    Ok(Const::new(format!("{}.bf16", constant.name()), tensor))
}
