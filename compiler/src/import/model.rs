//! The ONNX graph with names resolved: values are numbers, only live nodes remain, each in an order where operands come
//! before their users.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use llmc_ir::{Dim, Symbol};
use llmc_tensor::{DType, Tensor};

use super::error::{Category, ImportError, Problem};
use super::flatten::{Body, Context, Flattener};
use super::order;
use super::proto::{
    AttributeProto, DimValue, GraphProto, ModelProto, TensorProto, TypeKind, ValueInfoProto,
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
    /// Attributes, without subgraphs.
    pub attributes: Vec<AttributeProto>,
    /// Subgraphs, of control flow.
    pub bodies: Vec<Body>,
}

impl Node {
    /// Operator with its domain, as messages name it.
    pub fn operator(&self) -> String {
        match self.domain.as_str() {
            "" => self.op.clone(),
            domain => format!("{domain}.{}", self.op),
        }
    }

    /// All values it needs: the operands, and what its subgraphs use of the graph around them.
    pub fn uses(&self) -> impl Iterator<Item = ValueIx> {
        let captured = self.bodies.iter().flat_map(|b| b.captures.values());
        self.inputs.iter().chain(captured).flatten().copied()
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
    pub nodes: Vec<Rc<Node>>,
    /// Constants that live nodes use.
    pub constants: BTreeMap<ValueIx, Tensor>,
    /// Inputs, outputs and constants that llmc cannot represent, and values that are used but not there; they are in none
    /// of the lists above.
    pub problems: Vec<Problem>,
    /// What subgraphs need to be written out.
    pub context: Context,
}

impl Model {
    /// Resolves a decoded file.
    ///
    /// # Errors
    /// No graph, no nodes, no operator set for a domain, a value defined twice, a function that calls itself, a file of
    /// constants that cannot be read.
    pub fn resolve(proto: ModelProto, path: &Path) -> Result<Model, ImportError> {
        let opsets = proto.opset_import.iter();
        let context = Context {
            path: path.into(),
            opsets: opsets
                .map(|o| (domain_of(&o.domain).to_string(), o.version))
                .collect(),
            functions: proto
                .functions
                .into_iter()
                .map(|f| {
                    let domain = domain_of(&f.domain).to_string();
                    ((domain, f.name.clone(), f.overload.clone()), Rc::new(f))
                })
                .collect(),
        };
        let malformed = |detail: &str| context.malformed(detail.to_string());
        let graph = proto
            .graph
            .ok_or_else(|| malformed("it holds no graph (is it another protobuf file?)"))?;
        if graph.node.is_empty() {
            return Err(malformed("its graph has no nodes"));
        }
        if graph.output.is_empty() {
            return Err(malformed("its graph has no outputs"));
        }
        if context.opsets.is_empty() {
            return Err(malformed(
                "it declares no operator set version (field opset_import)",
            ));
        }
        let parts = Parts::of(graph, &context)?;
        Ok(Model {
            name: parts.name,
            names: parts.names,
            inputs: parts.inputs,
            outputs: parts.outputs,
            nodes: parts.nodes,
            constants: parts.constants,
            problems: parts.problems,
            context,
        })
    }

    /// Name of a value.
    pub fn name_of(&self, value: ValueIx) -> &str {
        self.names.get(value.index()).map_or("?", String::as_str)
    }
}

/// `ai.onnx` is the same as the empty domain.
pub fn domain_of(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// A [`Model`] without its context, which is borrowed while it is made.
struct Parts {
    name: String,
    names: Vec<String>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    nodes: Vec<Rc<Node>>,
    constants: BTreeMap<ValueIx, Tensor>,
    problems: Vec<Problem>,
}

impl Parts {
    fn of(mut graph: GraphProto, context: &Context) -> Result<Parts, ImportError> {
        let mut flat = Flattener::new(context, 0);
        flat.initializers(&mut graph)?;
        let (mut inputs, mut constants) = (Vec::new(), BTreeMap::new());
        for info in &graph.input {
            // Old files list the initializers as inputs, too.
            if flat.lookup(&info.name).is_some() {
                continue;
            }
            let value = flat.define(&info.name)?;
            if let Some(port) = port(&mut flat, info, value) {
                match with_cache(&port) {
                    Some(always) => _ = constants.insert(value, always),
                    None => inputs.push(port),
                }
            }
        }
        for node in order::sorted(std::mem::take(&mut graph.node)) {
            flat.node(node)?;
        }
        let mut outputs = Vec::new();
        let mut seen = BTreeSet::new();
        for info in &graph.output {
            if !seen.insert(&info.name) {
                let name = &info.name;
                return Err(context.malformed(format!("it lists the output `{name}` twice")));
            }
            match flat.lookup(&info.name).flatten() {
                Some(value) => outputs.extend(port(&mut flat, info, value)),
                None => {
                    let reason = String::from("no node computes this output");
                    flat.invalid("", &info.name, reason);
                }
            }
        }
        let nodes = live(flat.nodes, outputs.iter().map(|o| o.value));
        let used = nodes.iter().flat_map(|n| n.uses());
        let used = used.chain(outputs.iter().map(|o| o.value)).collect();
        let mut problems = flat.problems;
        constants.extend(read_constants(
            &flat.constants,
            &used,
            context,
            &mut problems,
        )?);
        Ok(Parts {
            name: graph.name,
            names: flat.names,
            inputs,
            outputs,
            nodes,
            constants,
            problems,
        })
    }
}

/// The tensors of the constants that are used; one that cannot be read or has an element type that llmc lacks becomes a
/// problem. Of a file that is not there only the first constant is named.
pub(super) fn read_constants(
    protos: &BTreeMap<ValueIx, TensorProto>,
    used: &BTreeSet<ValueIx>,
    context: &Context,
    problems: &mut Vec<Problem>,
) -> Result<BTreeMap<ValueIx, Tensor>, ImportError> {
    let mut weights = Weights::new(&context.path);
    let mut constants = BTreeMap::new();
    let mut absent = BTreeSet::new();
    for (value, proto) in protos.iter().filter(|(value, _)| used.contains(value)) {
        let error = match weights.tensor(proto) {
            Ok(tensor) => {
                constants.insert(*value, tensor);
                continue;
            }
            Err(error) => error,
        };
        let category = error.category();
        let (reason, remedy) = match error {
            ImportError::Tensor { detail, .. } if category == Category::Unsupported => {
                (detail, "export with float weights")
            }
            ImportError::Tensor { detail, .. } => (detail, "export the model again"),
            ImportError::External { detail, .. } => (detail, "copy the files of the model again"),
            ImportError::ExternalMissing {
                location, expected, ..
            } => {
                if !absent.insert(location.clone()) {
                    continue;
                }
                let expected = expected.display();
                (
                    format!("its values are in the file `{location}`, which is not at {expected}"),
                    "keep it in the folder of the .onnx file",
                )
            }
            other => return Err(other),
        };
        problems.push(Problem {
            category,
            operator: String::new(),
            node: proto.name.clone(),
            reason,
            remedy: String::from(remedy),
        });
    }
    Ok(constants)
}

/// Merged decoders ask whether there is a cache. There always is one, which may be empty.
fn with_cache(port: &Port) -> Option<Tensor> {
    if port.name != "use_cache_branch" || port.dtype != Some(DType::Bool) {
        return None;
    }
    let shape = vec![1; port.extents.as_ref().map_or(0, Vec::len)];
    Tensor::from_i64(DType::Bool, shape, &[1]).ok()
}

/// A graph input or output; `None` (and a problem) if it is no tensor or of a type that llmc does not have.
fn port(flat: &mut Flattener, info: &ValueInfoProto, value: ValueIx) -> Option<Port> {
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
        flat.refuse(&info.name, reason, "export with tensors only");
        return None;
    }
    let dtype = match tensor.map(|t| dtype_of(t.elem_type)) {
        Some(Err((Category::Unsupported, reason))) => {
            flat.refuse(&info.name, reason, "export with float32 or int64 instead");
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

impl Model {
    /// Gives symbolic dims of the inputs their values. Returns the names that occur.
    pub fn bind(&mut self, dims: &[(String, u64)]) -> Vec<String> {
        let mut found = BTreeSet::new();
        let values: BTreeMap<Symbol, Dim> = dims
            .iter()
            .filter_map(|(name, n)| Some((Symbol::new(name), Dim::from(i64::try_from(*n).ok()?))))
            .collect();
        let ports = self.inputs.iter_mut().filter_map(|p| p.extents.as_mut());
        for extent in ports.flatten() {
            let Extent::Named(name) = extent else {
                continue;
            };
            let dim = name.parse::<Dim>().unwrap_or_else(|_| Dim::sym(&*name));
            let known = dim.symbols().into_iter().filter(|s| values.contains_key(s));
            found.extend(known.map(|s| s.name().to_string()));
            let value = dim.substitute_all(&values).as_const();
            if let Some(n) = value.and_then(|n| u64::try_from(n).ok()) {
                *extent = Extent::Fixed(n);
            }
        }
        found.into_iter().collect()
    }
}

/// The nodes whose results reach `roots`, order kept.
fn live(nodes: Vec<Node>, roots: impl Iterator<Item = ValueIx>) -> Vec<Rc<Node>> {
    let mut needed: BTreeSet<ValueIx> = roots.collect();
    let mut keep = vec![false; nodes.len()];
    for (node, keep) in nodes.iter().zip(&mut keep).rev() {
        if node.outputs.iter().flatten().any(|o| needed.contains(o)) {
            *keep = true;
            needed.extend(node.uses());
        }
    }
    nodes
        .into_iter()
        .zip(keep)
        .filter_map(|(node, keep)| keep.then(|| Rc::new(node)))
        .collect()
}
