//! What an ONNX file is and everything that stands in the way of compiling it: `llmc check`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::CompileError;
use crate::import::model::domain_of;
use crate::import::proto::{DimValue, GraphProto, ModelProto, NodeProto, TypeKind, ValueInfoProto};
use crate::import::{Category, ImportError, ModelInfo, Problem, is_cache_name, source};
use crate::options::CompileOptions;
use llmc_passes::Cause;

/// What is known of a model file after a try to compile it.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Who wrote the file, for example `pytorch 2.15.0`; `None` if it does not say.
    pub producer: Option<String>,
    /// What kind of export it looks like.
    pub dialect: String,
    /// What kind of model it looks like.
    pub family: String,
    /// Operator set versions by domain; the standard domain is empty.
    pub opsets: BTreeMap<String, i64>,
    /// How often each operator occurs, subgraphs and function bodies included.
    pub operators: BTreeMap<String, OperatorCount>,
    /// The entries that a binary has, or would have.
    pub entries: Vec<String>,
    /// Everything that does not work.
    pub problems: Vec<Problem>,
    /// What the user should know although it works.
    pub warnings: Vec<String>,
}

/// Occurrences of one operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorCount {
    /// Nodes.
    pub nodes: usize,
    /// Nodes that do not work.
    pub problems: usize,
}

/// Tries to compile a model, and collects what is in the way.
///
/// # Errors
/// A file that cannot be read at all, or options that make no sense: there is nothing to survey then.
pub fn survey(model: &Path, options: &CompileOptions) -> Result<Survey, CompileError> {
    let proto = source::load_model(model)?;
    let facts = Facts::of(&proto);
    let info = ModelInfo::beside(model)?;
    let mut survey = Survey {
        producer: facts.producer.clone(),
        dialect: facts.dialect(),
        family: facts.family(&info),
        opsets: facts.opsets.clone(),
        operators: facts
            .operators
            .iter()
            .map(|(name, &nodes)| {
                let count = OperatorCount { nodes, problems: 0 };
                (name.clone(), count)
            })
            .collect(),
        entries: facts.entries(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let mut options = options.clone();
    let assumed = facts.assumed_dims(&options);
    options.dims.extend(assumed.iter().cloned());
    let node_operators = facts.node_operators;
    drop(proto);
    match crate::compile(model, &options) {
        Ok(compiled) => {
            let entries = compiled.report.entries;
            survey.entries = entries.into_iter().map(|e| e.name).collect();
            survey.warnings = compiled.report.warnings;
        }
        Err(error) => survey.problems = problems(error, &node_operators)?,
    }
    if !assumed.is_empty() {
        let given: Vec<String> = assumed.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let warning = format!("no --dim says otherwise: tried with {}", given.join(", "));
        survey.warnings.push(warning);
    }
    for problem in &survey.problems {
        if let Some(count) = survey.operators.get_mut(&problem.operator) {
            count.problems += 1;
        }
    }
    Ok(survey)
}

/// An error as findings about single nodes.
fn problems(
    error: CompileError,
    operators: &BTreeMap<String, String>,
) -> Result<Vec<Problem>, CompileError> {
    let category = error.category();
    let problem = |node: &str, reason: String| Problem {
        category,
        operator: operators.get(node).cloned().unwrap_or_default(),
        node: node.to_string(),
        reason,
        remedy: remedy(category),
    };
    Ok(match error {
        CompileError::Import(ImportError::Problems(problems)) => problems,
        CompileError::Import(ImportError::Tensor { tensor, detail, .. }) => {
            vec![problem(&tensor, detail)]
        }
        CompileError::Lower { error, .. } => {
            let one = |p: crate::tile::LowerProblem| {
                let node = p.origin.onnx.first().unwrap_or(&p.origin.node);
                problem(node, p.reason.clone())
            };
            error.problems.into_iter().map(one).collect()
        }
        CompileError::Pass(error) => match error.cause {
            Cause::Unsupported(reasons) => {
                let entry = error.entry.unwrap_or_default();
                reasons.into_iter().map(|r| problem(&entry, r)).collect()
            }
            Cause::NotFused { nodes, near_misses } => {
                let near = near_misses.iter().map(|m| problem(&m.at, m.summary()));
                near.chain(nodes.iter().map(|e| problem(&e.at, e.to_string())))
                    .collect()
            }
            _ => vec![problem(error.pass, error.to_string())],
        },
        error @ (CompileError::Import(_) | CompileError::Options(_)) => return Err(error),
        error => vec![problem("", error.to_string())],
    })
}

fn remedy(category: Category) -> String {
    String::from(match category {
        Category::Input => "export the model again",
        Category::Unsupported => {
            "export with torch.onnx.export(dynamo=True, opset_version=18) and basic operators"
        }
        Category::Bug => "please report this model",
    })
}

/// What a file says of itself, without understanding it.
struct Facts {
    producer: Option<String>,
    opsets: BTreeMap<String, i64>,
    operators: BTreeMap<String, usize>,
    /// Operator of each named node.
    node_operators: BTreeMap<String, String>,
    inputs: Vec<String>,
    /// Symbolic dims of the inputs, with values that make sense for them.
    symbols: BTreeMap<String, u64>,
    functions: bool,
    /// torch.export names nodes `node_add_3`; tracing names them by module: `/model/layers.0/Add`.
    by_module: bool,
}

impl Facts {
    fn of(proto: &ModelProto) -> Facts {
        let producer = format!("{} {}", proto.producer_name, proto.producer_version);
        let producer = producer.trim().to_string();
        let graph = proto.graph.as_ref();
        let nodes = graph.map_or(&[][..], |g| &g.node);
        let mut facts = Facts {
            producer: Some(producer).filter(|p| !p.is_empty()),
            opsets: proto
                .opset_import
                .iter()
                .map(|o| (domain_of(&o.domain).to_string(), o.version))
                .collect(),
            operators: BTreeMap::new(),
            node_operators: BTreeMap::new(),
            inputs: graph.map_or(Vec::new(), |g| {
                g.input.iter().map(|i| i.name.clone()).collect()
            }),
            symbols: graph.map_or(BTreeMap::new(), |g| likely_dims(&g.input)),
            functions: !proto.functions.is_empty(),
            by_module: nodes.iter().any(|n| n.name.starts_with('/')),
        };
        facts.count(nodes);
        for function in &proto.functions {
            facts.count(&function.node);
        }
        facts
    }

    fn count(&mut self, nodes: &[NodeProto]) {
        for node in nodes {
            let operator = match domain_of(&node.domain) {
                "" => node.op_type.clone(),
                domain => format!("{domain}.{}", node.op_type),
            };
            *self.operators.entry(operator.clone()).or_default() += 1;
            self.node_operators.insert(node.name.clone(), operator);
            for attribute in &node.attribute {
                if let Some(graph) = &attribute.g {
                    let inner: &GraphProto = graph;
                    self.count(&inner.node);
                }
            }
        }
    }

    fn has(&self, operator: &str) -> bool {
        self.operators.contains_key(operator)
    }

    /// Operators that no exporter writes, but the optimiser of ONNX Runtime.
    fn is_fused(&self) -> bool {
        let fused = [
            "FusedMatMul",
            "FusedGemm",
            "FusedConv",
            "QuickGelu",
            "BiasGelu",
            "FastGelu",
        ];
        let norms = ["EmbedLayerNormalization", "SkipLayerNormalization"];
        let mut names = fused.iter().chain(&norms);
        names.any(|name| self.has(&format!("com.microsoft.{name}")))
    }

    /// By the names of its inputs, or because an operator appends to one.
    fn has_cache(&self) -> bool {
        let appends = ["TensorScatter", "com.microsoft.GroupQueryAttention"];
        appends.iter().any(|operator| self.has(operator))
            || self.inputs.iter().any(|name| is_cache_name(name))
    }

    /// Values for the symbolic dims of a model without cache that have none, so that it can be tried.
    fn assumed_dims(&self, options: &CompileOptions) -> Vec<(String, u64)> {
        let given = |name: &str| options.dims.iter().any(|(n, _)| n == name);
        let left = self.symbols.iter().filter(|(name, _)| !given(name));
        match self.has_cache() {
            true => Vec::new(),
            false => left.map(|(name, n)| (name.clone(), *n)).collect(),
        }
    }

    fn dialect(&self) -> String {
        let producer = self.producer.as_deref().unwrap_or("").to_lowercase();
        let opset = self.opsets.get("").copied().unwrap_or(0);
        let builder = producer.starts_with("onnxruntime-genai") || producer.starts_with("mobius");
        let base = if producer.starts_with("onnxruntime-genai") {
            String::from("onnxruntime-genai model builder")
        } else if producer.starts_with("mobius") {
            String::from("mobius")
        } else if self.inputs.iter().any(|i| i == "use_cache_branch") {
            String::from("optimum, decoders with and without cache merged")
        } else if ["pytorch", "onnx.quantize", "onnxruntime.transformers"]
            .iter()
            .any(|tool| producer.starts_with(tool))
        {
            match self.by_module {
                true => String::from("torch TorchScript exporter (optimum)"),
                false => String::from("torch dynamo exporter"),
            }
        } else {
            String::from("unknown exporter")
        };
        let quantised = if self.has("com.microsoft.MatMulNBits") {
            ", weights of a few bits (MatMulNBits)"
        } else if self.has("com.microsoft.QMoE") {
            ", experts of a few bits (QMoE)"
        } else if self.has("DynamicQuantizeLinear") {
            ", quantised dynamically by ONNX Runtime"
        } else if self.has("DequantizeLinear") {
            ", quantised (QDQ)"
        } else if producer.starts_with("onnxruntime.transformers") || !builder && self.is_fused() {
            ", optimised by ONNX Runtime"
        } else {
            ""
        };
        let functions = if self.functions {
            ", with model-local functions"
        } else {
            ""
        };
        format!("{base}, opset {opset}{quantised}{functions}")
    }

    fn family(&self, info: &ModelInfo) -> String {
        let experts = if self.has("com.microsoft.MoE") || self.has("com.microsoft.QMoE") {
            ", a mixture of experts"
        } else if self.has("TopK") {
            ", perhaps a mixture of experts"
        } else {
            ""
        };
        if let Some(family) = &info.family {
            return format!("{family}{experts}");
        }
        let rms = self.has("RMSNormalization")
            || self.has("SimplifiedLayerNormalization")
            || self.has("com.microsoft.SkipSimplifiedLayerNormalization")
            || self.has("Pow") && self.has("ReduceMean");
        let layer_norm = self.has("LayerNormalization");
        let norm = match (layer_norm, rms) {
            (true, _) => "layer norm",
            (false, true) => "RMS norm",
            (false, false) => "no norm",
        };
        match self.has_cache() {
            true => format!("a decoder with {norm}{experts}"),
            false if self.has("Softmax") => format!("no cache: an encoder or a function, {norm}"),
            false => String::from("a function without state"),
        }
    }

    /// What a binary would have as entries.
    fn entries(&self) -> Vec<String> {
        let names: &[&str] = match self.has_cache() {
            true => &["prefill", "score", "decode"],
            false => &["main"],
        };
        names.iter().map(|name| name.to_string()).collect()
    }
}

/// Named dims of inputs: one sequence or image, a few tokens, images as most models take them.
fn likely_dims(inputs: &[ValueInfoProto]) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for input in inputs {
        let kind = input.r#type.as_ref().and_then(|t| t.kind.as_ref());
        let Some(TypeKind::Tensor(tensor)) = kind else {
            continue;
        };
        let dims = tensor.shape.as_ref().map_or(&[][..], |s| &s.dim);
        for (axis, dim) in dims.iter().enumerate() {
            let Some(DimValue::Param(name)) = &dim.value else {
                continue;
            };
            let likely = match (axis, dims.len()) {
                (0, _) => 1,
                (1, 4) => 3,
                (_, 4) => 224,
                _ => 16,
            };
            found.entry(name.clone()).or_insert(likely);
        }
    }
    found
}
