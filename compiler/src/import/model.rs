//! The ONNX graph with names resolved: values are numbers, only live nodes remain, each in an order where operands come
//! before their users.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use llmc_tensor::{DType, Tensor};

use super::error::{Category, ImportError, Problem};
use super::proto::{
    AttributeProto, DimValue, GraphProto, ModelProto, NodeProto, TensorProto, TypeKind,
    ValueInfoProto,
};
use super::source::{Weights, dtype_of};

/// A value of the ONNX graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueIx(pub u32);

impl ValueIx {
    /// As an index into per-value tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An operator with its operands resolved.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name of the node, or of its first result if the exporter gave none.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Domain; the standard domain is empty.
    pub domain: String,
    /// Version of the domain's operator set.
    pub version: i64,
    /// Operands; `None` is an absent optional operand.
    pub inputs: Vec<Option<ValueIx>>,
    /// Results; `None` is a result nobody can use.
    pub outputs: Vec<Option<ValueIx>>,
    /// Attributes.
    pub attributes: Vec<AttributeProto>,
}

impl Node {
    /// Operator with its domain, as messages name it.
    pub fn operator(&self) -> String {
        match self.domain.as_str() {
            "" => self.op.clone(),
            domain => format!("{domain}.{}", self.op),
        }
    }
}

/// Extent of one axis of a graph input or output, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A number.
    Fixed(u64),
    /// A symbol or an expression.
    Named(String),
    /// Nothing declared.
    Unknown,
}

/// A graph input or output.
#[derive(Clone, Debug)]
pub struct Port {
    /// Name of the value.
    pub name: String,
    /// The value.
    pub value: ValueIx,
    /// Element type; `None` if an output does not declare it.
    pub dtype: Option<DType>,
    /// Extents; `None` if the rank is not declared.
    pub extents: Option<Vec<Extent>>,
}

/// The resolved graph.
#[derive(Debug)]
pub struct Model {
    /// Name of the graph.
    pub name: String,
    /// Names of all values, by [`ValueIx`].
    pub names: Vec<String>,
    /// Inputs that are not constants, in file order.
    pub inputs: Vec<Port>,
    /// Outputs, in file order.
    pub outputs: Vec<Port>,
    /// Live nodes.
    pub nodes: Vec<Node>,
    /// Constants that live nodes use.
    pub constants: BTreeMap<ValueIx, Tensor>,
    /// Inputs, outputs and constants that llmc cannot represent; they are in none of the lists above.
    pub problems: Vec<Problem>,
}

impl Model {
    /// Resolves a decoded file.
    ///
    /// # Errors
    /// No graph, no nodes, no operator set for a domain, a value that is used but never defined (or only later), a value
    /// defined twice, constants that cannot be read.
    pub fn resolve(proto: ModelProto, path: &Path) -> Result<Model, ImportError> {
        let malformed = |detail: String| ImportError::Malformed {
            path: path.into(),
            detail,
        };
        let opsets: BTreeMap<String, i64> = proto
            .opset_import
            .iter()
            .map(|o| (domain_of(&o.domain).to_string(), o.version))
            .collect();
        let graph = proto.graph.ok_or_else(|| {
            malformed(String::from(
                "it holds no graph (is it another protobuf file?)",
            ))
        })?;
        if graph.node.is_empty() {
            return Err(malformed(String::from("its graph has no nodes")));
        }
        if graph.output.is_empty() {
            return Err(malformed(String::from("its graph has no outputs")));
        }
        if opsets.is_empty() {
            return Err(malformed(String::from(
                "it declares no operator set version (field opset_import)",
            )));
        }
        let mut resolver = Resolver {
            opsets,
            malformed: &malformed,
            ids: BTreeMap::new(),
            names: Vec::new(),
            problems: Vec::new(),
        };
        resolver.resolve(graph, path)
    }

    /// Name of a value.
    pub fn name_of(&self, value: ValueIx) -> &str {
        self.names.get(value.index()).map_or("?", String::as_str)
    }
}

/// `ai.onnx` is the same as the empty domain.
fn domain_of(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

struct Resolver<'a> {
    opsets: BTreeMap<String, i64>,
    malformed: &'a dyn Fn(String) -> ImportError,
    ids: BTreeMap<String, ValueIx>,
    names: Vec<String>,
    problems: Vec<Problem>,
}

impl Resolver<'_> {
    fn define(&mut self, name: &str) -> Result<ValueIx, ImportError> {
        let id = ValueIx(self.names.len() as u32);
        if self.ids.insert(name.into(), id).is_some() {
            return Err((self.malformed)(format!(
                "the value `{name}` is defined twice"
            )));
        }
        self.names.push(name.into());
        Ok(id)
    }

    fn resolve(&mut self, graph: GraphProto, path: &Path) -> Result<Model, ImportError> {
        let mut protos: BTreeMap<ValueIx, TensorProto> = BTreeMap::new();
        for tensor in graph.initializer {
            let id = self.define(&tensor.name)?;
            protos.insert(id, tensor);
        }
        for sparse in &graph.sparse_initializer {
            let name = sparse.values.as_ref().map_or("", |v| v.name.as_str());
            self.define(name)?;
            self.refuse(
                name,
                String::from("sparse initializers are not supported"),
                "store the weights densely",
            );
        }
        let mut inputs = Vec::new();
        for info in &graph.input {
            // Old files list the initializers as inputs, too.
            if !self.ids.contains_key(&info.name) {
                let value = self.define(&info.name)?;
                inputs.extend(self.port(info, value));
            }
        }
        let nodes = graph
            .node
            .into_iter()
            .map(|n| self.node(n))
            .collect::<Result<Vec<_>, _>>()?;
        let mut outputs = Vec::new();
        let mut seen = BTreeSet::new();
        for info in &graph.output {
            if !seen.insert(&info.name) {
                return Err((self.malformed)(format!(
                    "it lists the output `{}` twice",
                    info.name
                )));
            }
            let value = self.ids.get(&info.name).copied();
            let value = value.ok_or_else(|| {
                (self.malformed)(format!("no node computes the output `{}`", info.name))
            })?;
            outputs.extend(self.port(info, value));
        }
        let nodes = live(nodes, outputs.iter().map(|o| o.value));
        let mut weights = Weights::new(path);
        let mut constants = BTreeMap::new();
        let used = nodes
            .iter()
            .flat_map(|n| n.inputs.iter().flatten())
            .chain(outputs.iter().map(|o| &o.value));
        for value in used.copied().collect::<BTreeSet<_>>() {
            if let Some(proto) = protos.get(&value) {
                match weights.tensor(proto) {
                    Ok(tensor) => _ = constants.insert(value, tensor),
                    Err(ImportError::Tensor {
                        category: Category::Unsupported,
                        tensor,
                        detail,
                    }) => self.refuse(&tensor, detail, "export with float weights"),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Model {
            name: graph.name,
            names: std::mem::take(&mut self.names),
            inputs,
            outputs,
            nodes,
            constants,
            problems: std::mem::take(&mut self.problems),
        })
    }

    /// Notes a value that llmc cannot represent.
    fn refuse(&mut self, name: &str, reason: String, remedy: &str) {
        self.problems.push(Problem {
            category: Category::Unsupported,
            operator: String::new(),
            node: name.to_string(),
            reason,
            remedy: remedy.to_string(),
        });
    }

    fn node(&mut self, proto: NodeProto) -> Result<Node, ImportError> {
        let name = match proto.name.as_str() {
            "" => proto
                .output
                .iter()
                .find(|o| !o.is_empty())
                .cloned()
                .unwrap_or_default(),
            name => name.into(),
        };
        let operand = |input: &String| match input.as_str() {
            "" => Ok(None),
            used => self.ids.get(used).copied().map(Some).ok_or_else(|| {
                let op = &proto.op_type;
                (self.malformed)(format!(
                    "{op} `{name}` uses `{used}`, which nothing before it computes"
                ))
            }),
        };
        let inputs = proto
            .input
            .iter()
            .map(operand)
            .collect::<Result<Vec<_>, _>>()?;
        let domain = domain_of(&proto.domain).to_string();
        let version = *self.opsets.get(&domain).ok_or_else(|| {
            let shown = if domain.is_empty() {
                "the standard domain"
            } else {
                &domain
            };
            (self.malformed)(format!(
                "{} `{name}` is of {shown}, whose operator set version is not declared",
                proto.op_type
            ))
        })?;
        let mut outputs = Vec::new();
        for output in &proto.output {
            outputs.push(if output.is_empty() {
                None
            } else {
                Some(self.define(output)?)
            });
        }
        Ok(Node {
            name,
            op: proto.op_type,
            domain,
            version,
            inputs,
            outputs,
            attributes: proto.attribute,
        })
    }

    /// A graph input or output; `None` (and a problem) if it is no tensor or of a type that llmc does not have.
    fn port(&mut self, info: &ValueInfoProto, value: ValueIx) -> Option<Port> {
        let kind = info.r#type.as_ref().and_then(|t| t.kind.as_ref());
        let other = |kind| format!("a {kind} as an input or output is not supported");
        let (tensor, refused) = match kind {
            None => (None, None),
            Some(TypeKind::Tensor(tensor)) => (Some(tensor), None),
            Some(TypeKind::Sequence(_)) => (None, Some(other("sequence"))),
            Some(TypeKind::Map(_)) => (None, Some(other("map"))),
            Some(TypeKind::SparseTensor(_)) => (None, Some(other("sparse tensor"))),
            Some(TypeKind::Optional(_)) => (None, Some(other("optional"))),
        };
        if let Some(reason) = refused {
            self.refuse(&info.name, reason, "export with tensors only");
            return None;
        }
        let dtype = match tensor.map(|t| dtype_of(t.elem_type)) {
            Some(Err((Category::Unsupported, reason))) => {
                self.refuse(&info.name, reason, "export with float32 or int64 instead");
                return None;
            }
            Some(Err(_)) | None => None,
            Some(Ok(dtype)) => Some(dtype),
        };
        let extent = |value: &Option<DimValue>| match value {
            Some(DimValue::Value(n)) => u64::try_from(*n).map_or(Extent::Unknown, Extent::Fixed),
            Some(DimValue::Param(name)) if !name.is_empty() => Extent::Named(name.clone()),
            Some(DimValue::Param(_)) | None => Extent::Unknown,
        };
        let shape = tensor.and_then(|t| t.shape.as_ref());
        let extents = shape.map(|s| s.dim.iter().map(|d| extent(&d.value)).collect());
        Some(Port {
            name: info.name.clone(),
            value,
            dtype,
            extents,
        })
    }
}

/// The nodes whose results reach `roots`, order kept.
fn live(nodes: Vec<Node>, roots: impl Iterator<Item = ValueIx>) -> Vec<Node> {
    let mut needed: BTreeSet<ValueIx> = roots.collect();
    let mut keep = vec![false; nodes.len()];
    for (node, keep) in nodes.iter().zip(&mut keep).rev() {
        if node.outputs.iter().flatten().any(|o| needed.contains(o)) {
            *keep = true;
            needed.extend(node.inputs.iter().flatten());
        }
    }
    nodes
        .into_iter()
        .zip(keep)
        .filter_map(|(node, keep)| keep.then_some(node))
        .collect()
}
