//! The operator table: one row and one function per ONNX operator.
//!
//! To add an operator: write its function in the file it belongs to, and add its row here. A function gets operands in any
//! state of knowledge and never asks which: [`Lower::apply`] computes, notes or emits.

mod activation;
mod attention;
mod bits;
mod build;
mod cache;
mod compute;
mod contrib_attention;
mod convolution;
mod einsum;
mod elementwise;
mod experts;
mod fused;
mod grid;
mod integer;
mod linear_attention;
mod loss;
mod masked;
mod normalise;
mod pool;
mod quant;
mod recurrent;
mod reduce;
mod resize;
mod rotary;
mod scatter;
mod shape;
mod signal;
mod structure;
mod trigonometry;
mod window;

use std::collections::BTreeSet;

use super::call::Call;
use super::control;
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

const fn contrib(
    name: &'static str,
    attributes: &'static [&'static str],
    lower: fn(&mut Lower, &Call) -> Out,
) -> Row {
    Row {
        domain: "com.microsoft",
        ..row(name, 1, attributes, lower)
    }
}

/// All operators, by name; of several rows of one name the newest that is not newer than the model counts.
pub const TABLE: &[Row] = &[
    row("Abs", 1, &[], elementwise::abs),
    row("Acos", 7, &[], trigonometry::acos),
    row("Acosh", 9, &[], trigonometry::acosh),
    row("Add", 7, &[], elementwise::add),
    row("AffineGrid", 20, &["align_corners"], grid::affine_grid),
    row("And", 7, &[], elementwise::and),
    row("ArgMax", 1, reduce::ARG, reduce::arg_max),
    row("ArgMin", 1, reduce::ARG, reduce::arg_min),
    row("Asin", 7, &[], trigonometry::asin),
    row("Asinh", 9, &[], trigonometry::asinh),
    row("Atan", 7, &[], trigonometry::atan),
    row("Atanh", 9, &[], trigonometry::atanh),
    row("Attention", 23, attention::ATTRIBUTES, attention::attention),
    contrib(
        "Attention",
        contrib_attention::PACKED,
        contrib_attention::packed_attention,
    ),
    row("AveragePool", 7, pool::POOL, pool::average_pool),
    row(
        "BatchNormalization",
        9,
        &["epsilon", "momentum", "training_mode"],
        normalise::batch_norm,
    ),
    contrib("BiasGelu", &[], fused::bias_gelu),
    row("BitCast", 26, &["to"], bits::bit_cast),
    row("BitShift", 11, &["direction"], bits::bit_shift),
    row("BitwiseAnd", 18, &[], bits::bitwise_and),
    row("BitwiseNot", 18, &[], bits::bitwise_not),
    row("BitwiseOr", 18, &[], bits::bitwise_or),
    row("BitwiseXor", 18, &[], bits::bitwise_xor),
    row("BlackmanWindow", 17, signal::WINDOW, signal::blackman),
    row("Cast", 6, &["to", "saturate", "round_mode"], bits::cast),
    row("CastLike", 15, &["saturate", "round_mode"], bits::cast_like),
    row(
        "CausalConvWithState",
        27,
        &["activation"],
        linear_attention::causal_conv,
    ),
    row("Ceil", 6, &[], elementwise::ceil),
    row("Celu", 12, &["alpha"], activation::celu),
    row("CenterCropPad", 18, &["axes"], grid::center_crop_pad),
    row("Clip", 6, &["min", "max"], elementwise::clip),
    row(
        "Col2Im",
        18,
        &["dilations", "pads", "strides"],
        convolution::col2im,
    ),
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
    row("Conv", 1, convolution::CONV, convolution::conv),
    row(
        "ConvInteger",
        10,
        convolution::CONV,
        convolution::conv_integer,
    ),
    row(
        "ConvTranspose",
        1,
        convolution::TRANSPOSED,
        convolution::conv_transpose,
    ),
    row("Cos", 7, &[], elementwise::cos),
    row("Cosh", 9, &[], trigonometry::cosh),
    row("CumProd", 26, &["exclusive", "reverse"], reduce::cumprod),
    row("CumSum", 11, &["exclusive", "reverse"], reduce::cumsum),
    row("DFT", 17, &["axis", "inverse", "onesided"], signal::dft),
    row(
        "DepthToSpace",
        1,
        &["blocksize", "mode"],
        window::depth_to_space,
    ),
    row(
        "DequantizeLinear",
        10,
        quant::DEQUANTIZE,
        quant::dequantize_linear,
    ),
    row("Det", 11, &[], compute::det),
    row("Div", 7, &[], elementwise::div),
    row("Dropout", 7, &["ratio", "seed"], structure::dropout),
    row(
        "DynamicQuantizeLinear",
        11,
        &[],
        quant::dynamic_quantize_linear,
    ),
    contrib("DynamicQuantizeMatMul", &[], quant::dynamic_quantize_matmul),
    row("Einsum", 12, &["equation"], einsum::einsum),
    row("Elu", 6, &["alpha"], activation::elu),
    contrib(
        "EmbedLayerNormalization",
        contrib_attention::EMBED,
        contrib_attention::embed_layer_norm,
    ),
    row("Equal", 7, &[], elementwise::equal),
    row("Erf", 9, &[], elementwise::erf),
    row("Exp", 6, &[], elementwise::exp),
    row("Expand", 8, &[], shape::expand),
    row("EyeLike", 9, &["dtype", "k"], scatter::eye_like),
    contrib("FastGelu", &[], fused::fast_gelu),
    row("Flatten", 1, &["axis"], shape::flatten),
    row("Floor", 6, &[], elementwise::floor),
    contrib("FusedConv", fused::CONV, fused::conv),
    contrib("FusedGemm", fused::GEMM, fused::gemm),
    contrib("FusedMatMul", fused::MATMUL, fused::matmul),
    row("GRU", 7, recurrent::RECURRENT, recurrent::gru),
    row("Gather", 1, &["axis"], shape::gather),
    contrib(
        "GatherBlockQuantized",
        quant::GATHER,
        quant::gather_block_quantized,
    ),
    row("GatherElements", 11, &["axis"], scatter::gather_elements),
    row("GatherND", 11, &["batch_dims"], compute::gather_nd),
    row("Gelu", 20, &["approximate"], elementwise::gelu),
    contrib("Gelu", &[], fused::bias_gelu),
    row(
        "Gemm",
        7,
        &["alpha", "beta", "transA", "transB"],
        compute::gemm,
    ),
    row("GlobalAveragePool", 1, &[], pool::global_average_pool),
    row("GlobalLpPool", 2, &["p"], pool::global_lp_pool),
    row("GlobalMaxPool", 1, &[], pool::global_max_pool),
    row("Greater", 7, &[], elementwise::greater),
    row("GreaterOrEqual", 12, &[], elementwise::greater_or_equal),
    row("GridSample", 16, grid::SAMPLE, grid::grid_sample),
    row(
        "GroupNormalization",
        18,
        &["epsilon", "num_groups", "stash_type"],
        normalise::group_norm,
    ),
    contrib(
        "GroupQueryAttention",
        cache::GQA,
        cache::group_query_attention,
    ),
    row("HammingWindow", 17, signal::WINDOW, signal::hamming),
    row("HannWindow", 17, signal::WINDOW, signal::hann),
    row(
        "HardSigmoid",
        6,
        &["alpha", "beta"],
        activation::hard_sigmoid,
    ),
    row("HardSwish", 14, &[], activation::hard_swish),
    row("Hardmax", 1, &["axis"], reduce::hardmax),
    row("Identity", 1, &[], structure::identity),
    row(
        "InstanceNormalization",
        6,
        &["epsilon"],
        normalise::instance_norm,
    ),
    row(
        "IsInf",
        10,
        &["detect_negative", "detect_positive"],
        scatter::is_inf,
    ),
    row("IsNaN", 9, &[], elementwise::is_nan),
    row("LRN", 1, &["alpha", "beta", "bias", "size"], pool::lrn),
    row("LSTM", 7, recurrent::RECURRENT, recurrent::lstm),
    row(
        "LayerNormalization",
        17,
        normalise::NORM,
        normalise::layer_norm,
    ),
    row("LeakyRelu", 6, &["alpha"], activation::leaky_relu),
    row("Less", 7, &[], elementwise::less),
    row("LessOrEqual", 12, &[], elementwise::less_or_equal),
    row(
        "LinearAttention",
        27,
        linear_attention::LINEAR,
        linear_attention::linear_attention,
    ),
    row("Log", 6, &[], elementwise::log),
    row("LogSoftmax", 1, &["axis"], reduce::log_softmax),
    row(
        "LpNormalization",
        1,
        &["axis", "p"],
        reduce::lp_normalization,
    ),
    row("LpPool", 2, pool::POOL, pool::lp_pool),
    row("MatMul", 1, &[], compute::matmul),
    row("MatMulInteger", 10, &[], quant::matmul_integer),
    contrib("MatMulIntegerToFloat", &[], quant::matmul_integer_to_float),
    contrib("MatMulNBits", quant::NBITS, quant::matmul_nbits),
    row("Max", 8, &[], elementwise::max),
    row("MaxPool", 1, pool::POOL, pool::max_pool),
    row(
        "MaxUnpool",
        9,
        &["kernel_shape", "pads", "strides"],
        pool::max_unpool,
    ),
    row("Mean", 8, &[], elementwise::mean),
    row(
        "MeanVarianceNormalization",
        9,
        &["axes"],
        normalise::mean_variance,
    ),
    row("Min", 8, &[], elementwise::min),
    row("Mish", 18, &[], activation::mish),
    contrib("MoE", experts::MOE, experts::moe),
    row("Mod", 10, &["fmod"], elementwise::modulo),
    row("Mul", 7, &[], elementwise::mul),
    contrib(
        "MultiHeadAttention",
        contrib_attention::MHA,
        contrib_attention::multi_head_attention,
    ),
    row("Neg", 6, &[], elementwise::neg),
    row(
        "NegativeLogLikelihoodLoss",
        12,
        loss::LOSS,
        loss::negative_log_likelihood,
    ),
    row("NonZero", 9, &[], structure::non_zero),
    row("Not", 1, &[], elementwise::not),
    row("OneHot", 9, &["axis"], scatter::one_hot),
    row("Or", 7, &[], elementwise::or),
    row("PRelu", 7, &[], activation::prelu),
    row("Pad", 2, &["mode", "pads", "value"], window::pad),
    row("Pow", 7, &[], elementwise::pow),
    row(
        "QLinearConv",
        10,
        convolution::CONV,
        convolution::qlinear_conv,
    ),
    row("QLinearMatMul", 10, &[], integer::qlinear_matmul),
    contrib("QMoE", experts::QMOE, experts::qmoe),
    row(
        "QuantizeLinear",
        10,
        quant::QUANTIZE,
        quant::quantize_linear,
    ),
    contrib("QuickGelu", &["alpha"], fused::quick_gelu),
    row("RMSNormalization", 23, normalise::NORM, normalise::rms_norm),
    row("RNN", 7, recurrent::RECURRENT, recurrent::rnn),
    row("Range", 11, &[], structure::range),
    row("Reciprocal", 6, &[], elementwise::reciprocal),
    row("ReduceL1", 1, reduce::REDUCE, reduce::reduce_l1),
    row("ReduceL2", 1, reduce::REDUCE, reduce::reduce_l2),
    row("ReduceLogSum", 1, reduce::REDUCE, reduce::reduce_log_sum),
    row(
        "ReduceLogSumExp",
        1,
        reduce::REDUCE,
        reduce::reduce_log_sum_exp,
    ),
    row("ReduceMax", 1, reduce::REDUCE, reduce::reduce_max),
    row("ReduceMean", 1, reduce::REDUCE, reduce::reduce_mean),
    row("ReduceMin", 1, reduce::REDUCE, reduce::reduce_min),
    row("ReduceProd", 1, reduce::REDUCE, reduce::reduce_prod),
    row("ReduceSum", 1, reduce::REDUCE, reduce::reduce_sum),
    row(
        "ReduceSumSquare",
        1,
        reduce::REDUCE,
        reduce::reduce_sum_square,
    ),
    row("Relu", 6, &[], elementwise::relu),
    row("Reshape", 5, &["allowzero"], shape::reshape),
    row("Resize", 10, resize::RESIZE, resize::resize),
    row(
        "ReverseSequence",
        10,
        &["batch_axis", "time_axis"],
        scatter::reverse_sequence,
    ),
    row(
        "RotaryEmbedding",
        23,
        attention::ROTARY_ATTRIBUTES,
        attention::rotary_embedding,
    ),
    contrib("RotaryEmbedding", rotary::CONTRIB, rotary::contrib),
    row("Round", 11, &[], elementwise::round),
    row("STFT", 17, &["onesided"], signal::stft),
    row("Scatter", 9, &["axis"], scatter::scatter_elements),
    row(
        "ScatterElements",
        11,
        &["axis", "reduction"],
        scatter::scatter_elements,
    ),
    row("ScatterND", 11, &["reduction"], scatter::scatter_nd),
    row("Selu", 6, &["alpha", "gamma"], activation::selu),
    row("Shape", 1, &["start", "end"], shape::shape),
    row("Shrink", 9, &["bias", "lambd"], activation::shrink),
    row("Sigmoid", 6, &[], elementwise::sigmoid),
    row("Sign", 9, &[], elementwise::sign),
    row(
        "SimplifiedLayerNormalization",
        1,
        normalise::NORM,
        normalise::rms_norm,
    ),
    row("Sin", 7, &[], elementwise::sin),
    row("Sinh", 9, &[], trigonometry::sinh),
    row("Size", 1, &[], shape::size),
    contrib(
        "SkipLayerNormalization",
        &["epsilon"],
        fused::skip_layer_norm,
    ),
    contrib(
        "SkipSimplifiedLayerNormalization",
        &["epsilon"],
        fused::skip_rms_norm,
    ),
    row("Slice", 1, &["starts", "ends", "axes"], shape::slice),
    row("Softmax", 1, &["axis"], reduce::softmax),
    row(
        "SoftmaxCrossEntropyLoss",
        12,
        loss::LOSS,
        loss::softmax_cross_entropy,
    ),
    row("Softplus", 1, &[], activation::softplus),
    row("Softsign", 1, &[], activation::softsign),
    row(
        "SpaceToDepth",
        1,
        &["blocksize", "mode"],
        window::space_to_depth,
    ),
    row("Split", 2, &["axis", "split", "num_outputs"], shape::split),
    row("Sqrt", 6, &[], elementwise::sqrt),
    row("Squeeze", 1, &["axes"], shape::squeeze),
    row("Sub", 7, &[], elementwise::sub),
    row("Sum", 8, &[], elementwise::sum),
    row("SwiGLU", 28, &["alpha"], activation::swiglu),
    row("Swish", 24, &["alpha"], elementwise::swish),
    row("Tan", 7, &[], trigonometry::tan),
    row("Tanh", 6, &[], elementwise::tanh),
    row(
        "TensorScatter",
        24,
        &["axis", "mode"],
        cache::tensor_scatter,
    ),
    row(
        "ThresholdedRelu",
        10,
        &["alpha"],
        activation::thresholded_relu,
    ),
    row("Tile", 6, &[], shape::tile),
    row(
        "TopK",
        1,
        &["axis", "k", "largest", "sorted"],
        scatter::top_k,
    ),
    row("Transpose", 1, &["perm"], shape::transpose),
    row("Trilu", 14, &["upper"], compute::trilu),
    row("Unsqueeze", 1, &["axes"], shape::unsqueeze),
    row("Upsample", 7, &["mode", "scales"], resize::upsample),
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
    model.nodes.iter().filter_map(|n| check_node(n)).collect()
}

/// What can be said of one node before lowering.
pub fn check_node(node: &Node) -> Option<Problem> {
    let report = |reason: String, remedy: String| Problem {
        category: Category::Unsupported,
        operator: node.operator(),
        node: node.name.clone(),
        reason,
        remedy,
    };
    if control::is_control(node) {
        return None;
    }
    let Some(row) = find(node) else {
        let (reason, remedy) = missing(node);
        return Some(report(reason, remedy));
    };
    let unknown: BTreeSet<&str> = node
        .attributes
        .iter()
        .map(|a| a.name.as_str())
        .filter(|a| !row.attributes.contains(a))
        .collect();
    let name = unknown.first()?;
    let known = match row.attributes {
        [] => String::from("none"),
        list => list.join(", "),
    };
    Some(report(
        format!("attribute `{name}` is not supported (known: {known})"),
        String::from("export with its default value"),
    ))
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
        None if node.domain == "com.microsoft" => (
            String::from("the operator is not supported"),
            String::from(match node.op.as_str() {
                "PagedAttention" => {
                    "export with use_paged_attention=false: a cache for each sequence"
                }
                "QAttention" | "QGemm" | "QLinearAdd" | "QLinearMul" | "QLinearSigmoid" => {
                    "quantise in the QDQ format (quant_format=QuantFormat.QDQ)"
                }
                _ => {
                    "export to standard operators (torch.onnx.export, or optimum), or without ONNX Runtime's optimisations"
                }
            }),
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
