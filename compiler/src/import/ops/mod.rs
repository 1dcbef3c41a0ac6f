//! The operator table: one row and one function per ONNX operator.
//!
//! To add an operator: write its function in the file it belongs to, and add its row here. A function gets operands in any
//! state of knowledge and never asks which: [`Lower::apply`] computes, notes or emits.

mod attention;
mod compute;
mod elementwise;
mod normalise;
mod shape;
mod structure;

use std::collections::BTreeSet;

use super::call::Call;
use super::error::{Category, OpError, Problem};
use super::lower::Lower;
use super::model::{Model, Node};
use super::value::Val;

/// Newest standard operator set that the rows were checked against.
pub const NEWEST_OPSET: i64 = 28;

/// What an operator function returns: one value per result.
pub type Out = Result<Vec<Val>, OpError>;

/// One operator.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Domain; empty for standard operators.
    pub domain: &'static str,
    /// Operator.
    pub name: &'static str,
    /// First operator set version whose meaning the function has.
    pub since: i64,
    /// Attributes that the function knows; others are reported.
    pub attributes: &'static [&'static str],
    /// The function.
    pub lower: fn(&mut Lower, &Call) -> Out,
}

const fn row(
    name: &'static str,
    since: i64,
    attributes: &'static [&'static str],
    lower: fn(&mut Lower, &Call) -> Out,
) -> Row {
    Row {
        domain: "",
        name,
        since,
        attributes,
        lower,
    }
}

/// All operators, by name; of several rows of one name the newest that is not newer than the model counts.
pub const TABLE: &[Row] = &[
    row("Abs", 1, &[], elementwise::abs),
    row("Add", 7, &[], elementwise::add),
    row("And", 7, &[], elementwise::and),
    row("Attention", 23, attention::ATTRIBUTES, attention::attention),
    row(
        "Cast",
        6,
        &["to", "saturate", "round_mode"],
        elementwise::cast,
    ),
    row(
        "CastLike",
        15,
        &["saturate", "round_mode"],
        elementwise::cast_like,
    ),
    row("Ceil", 6, &[], elementwise::ceil),
    row("Clip", 11, &[], elementwise::clip),
    row("Concat", 4, &["axis"], shape::concat),
    row(
        "Constant",
        1,
        structure::CONSTANT_ATTRIBUTES,
        structure::constant,
    ),
    row(
        "ConstantOfShape",
        9,
        &["value"],
        structure::constant_of_shape,
    ),
    row("Cos", 7, &[], elementwise::cos),
    row("CumSum", 11, &["exclusive", "reverse"], compute::cumsum),
    row("Div", 7, &[], elementwise::div),
    row("Dropout", 12, &["seed"], structure::dropout),
    row("Equal", 7, &[], elementwise::equal),
    row("Erf", 9, &[], elementwise::erf),
    row("Exp", 6, &[], elementwise::exp),
    row("Expand", 8, &[], shape::expand),
    row("Flatten", 1, &["axis"], shape::flatten),
    row("Floor", 6, &[], elementwise::floor),
    row("Gather", 1, &["axis"], shape::gather),
    row("GatherND", 11, &["batch_dims"], compute::gather_nd),
    row("Gelu", 20, &["approximate"], elementwise::gelu),
    row(
        "Gemm",
        7,
        &["alpha", "beta", "transA", "transB"],
        compute::gemm,
    ),
    row("Greater", 7, &[], elementwise::greater),
    row("GreaterOrEqual", 12, &[], elementwise::greater_or_equal),
    row("Identity", 1, &[], structure::identity),
    row("IsInf", 10, &[], elementwise::is_inf),
    row("IsNaN", 9, &[], elementwise::is_nan),
    row(
        "LayerNormalization",
        17,
        &["axis", "epsilon", "stash_type"],
        normalise::layer_norm,
    ),
    row("Less", 7, &[], elementwise::less),
    row("LessOrEqual", 12, &[], elementwise::less_or_equal),
    row("Log", 6, &[], elementwise::log),
    row("MatMul", 1, &[], compute::matmul),
    row("Max", 8, &[], elementwise::max),
    row("Min", 8, &[], elementwise::min),
    row("Mod", 10, &["fmod"], elementwise::modulo),
    row("Mul", 7, &[], elementwise::mul),
    row("Neg", 6, &[], elementwise::neg),
    row("NonZero", 9, &[], structure::non_zero),
    row("Not", 1, &[], elementwise::not),
    row("Or", 7, &[], elementwise::or),
    row("Pow", 7, &[], elementwise::pow),
    row(
        "RMSNormalization",
        23,
        &["axis", "epsilon", "stash_type"],
        normalise::rms_norm,
    ),
    row("Range", 11, &[], structure::range),
    row("Reciprocal", 6, &[], elementwise::reciprocal),
    row("ReduceL2", 1, compute::REDUCE, compute::reduce_l2),
    row("ReduceMax", 1, compute::REDUCE, compute::reduce_max),
    row("ReduceMean", 1, compute::REDUCE, compute::reduce_mean),
    row("ReduceMin", 1, compute::REDUCE, compute::reduce_min),
    row("ReduceProd", 1, compute::REDUCE, compute::reduce_prod),
    row("ReduceSum", 1, compute::REDUCE, compute::reduce_sum),
    row(
        "ReduceSumSquare",
        1,
        compute::REDUCE,
        compute::reduce_sum_square,
    ),
    row("Relu", 6, &[], elementwise::relu),
    row("Reshape", 5, &["allowzero"], shape::reshape),
    row(
        "RotaryEmbedding",
        23,
        attention::ROTARY_ATTRIBUTES,
        attention::rotary_embedding,
    ),
    row("Round", 11, &[], elementwise::round),
    row("Shape", 1, &["start", "end"], shape::shape),
    row("Sigmoid", 6, &[], elementwise::sigmoid),
    row("Sign", 9, &[], elementwise::sign),
    row(
        "SimplifiedLayerNormalization",
        1,
        &["axis", "epsilon", "stash_type"],
        normalise::rms_norm,
    ),
    row("Sin", 7, &[], elementwise::sin),
    row("Size", 1, &[], shape::size),
    row("Slice", 1, &["starts", "ends", "axes"], shape::slice),
    row("Softmax", 1, &["axis"], compute::softmax),
    row("Split", 2, &["axis", "split", "num_outputs"], shape::split),
    row("Sqrt", 6, &[], elementwise::sqrt),
    row("Squeeze", 1, &["axes"], shape::squeeze),
    row("Sub", 7, &[], elementwise::sub),
    row("Sum", 8, &[], elementwise::sum),
    row("Swish", 24, &["alpha"], elementwise::swish),
    row("Tanh", 6, &[], elementwise::tanh),
    row("Tile", 6, &[], shape::tile),
    row("Transpose", 1, &["perm"], shape::transpose),
    row("Trilu", 14, &["upper"], compute::trilu),
    row("Unsqueeze", 1, &["axes"], shape::unsqueeze),
    row("Where", 9, &[], elementwise::select),
    row("Xor", 7, &[], elementwise::xor),
];

/// The row of a node's operator.
pub fn find(node: &Node) -> Option<&'static Row> {
    let named = |r: &&Row| r.name == node.op && r.domain == node.domain;
    // Rows of one name lie together, so that this is one binary search.
    let first =
        TABLE.partition_point(|r| (r.name, r.domain) < (node.op.as_str(), node.domain.as_str()));
    TABLE
        .get(first..)?
        .iter()
        .take_while(named)
        .filter(|r| r.since <= node.version)
        .last()
}

/// Everything about the nodes that can be said before lowering: unknown operators, versions and attributes.
pub fn check(model: &Model) -> Vec<Problem> {
    let mut problems = Vec::new();
    for node in &model.nodes {
        let report = |reason: String, remedy: String| Problem {
            category: Category::Unsupported,
            operator: node.operator(),
            node: node.name.clone(),
            reason,
            remedy,
        };
        match find(node) {
            None => {
                let (reason, remedy) = missing(node);
                problems.push(report(reason, remedy));
            }
            Some(row) => {
                let unknown: BTreeSet<&str> = node
                    .attributes
                    .iter()
                    .map(|a| a.name.as_str())
                    .filter(|a| !row.attributes.contains(a))
                    .collect();
                if let Some(name) = unknown.first() {
                    let known = match row.attributes {
                        [] => String::from("none"),
                        list => list.join(", "),
                    };
                    problems.push(report(
                        format!("attribute `{name}` is not supported (known: {known})"),
                        String::new(),
                    ));
                }
            }
        }
    }
    problems
}

fn missing(node: &Node) -> (String, String) {
    let known: Vec<&Row> = TABLE
        .iter()
        .filter(|r| r.name == node.op && r.domain == node.domain)
        .collect();
    match known.first() {
        Some(row) => (
            format!(
                "operator set {} is older than {}, the oldest supported for it",
                node.version, row.since
            ),
            format!("export with opset {} or newer", row.since.max(17)),
        ),
        None if node.domain.is_empty() => (
            String::from("the operator is not supported"),
            String::from(
                "export with torch.onnx.export(dynamo=True, opset_version=18), which writes basic operators",
            ),
        ),
        None => (
            format!(
                "operators of the domain `{}` are not supported",
                node.domain
            ),
            String::from("export to standard operators (torch.onnx.export, or optimum) instead"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted() {
        for pair in TABLE.windows(2) {
            let key = |r: &Row| (r.name, r.domain, r.since);
            assert!(
                key(&pair[0]) < key(&pair[1]),
                "{} and {} are not in order",
                pair[0].name,
                pair[1].name
            );
        }
    }
}
