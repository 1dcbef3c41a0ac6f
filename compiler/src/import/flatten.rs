//! Names to numbers, and calls of model-local functions to their bodies.
//!
//! A graph becomes a straight list of nodes. The subgraphs of control flow (`If`, `Loop`, `Scan`) cannot be written out
//! before it is known which branch is taken and how often: they are kept as [`Body`] and flattened by
//! [`super::control`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use super::error::{Category, ImportError, Problem};
use super::model::{Node, ValueIx, domain_of};
use super::order;
use super::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto};

/// Functions that call each other more deeply are refused.
const MAX_CALLS: usize = 64;
/// Bodies of functions may add so many nodes and operands in all.
const MAX_EXPANSION: usize = 1 << 21;

/// Domain, name and overload of a function.
type FunctionKey = (String, String, String);

/// Operator set versions by domain; the standard domain is empty.
pub type Opsets = BTreeMap<String, i64>;

/// What holds for all graphs of a file.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The file, for messages and for external data.
    pub path: PathBuf,
    /// Operator sets of the main graph.
    pub opsets: Opsets,
    /// Model-local functions.
    pub functions: BTreeMap<FunctionKey, Rc<FunctionProto>>,
}

impl Context {
    /// The error for a file that contradicts itself.
    pub fn malformed(&self, detail: String) -> ImportError {
        ImportError::Malformed {
            path: self.path.clone(),
            detail,
        }
    }
}

/// A subgraph with the outer values it uses.
#[derive(Clone, Debug)]
pub struct Body {
    /// Name of the attribute that holds it, for example `then_branch`.
    pub attribute: String,
    /// The subgraph.
    pub graph: Rc<GraphProto>,
    /// Values of the graphs around it, by the names it uses; `None` is an absent operand of a function.
    pub captures: BTreeMap<String, Option<ValueIx>>,
    /// The function it stands in.
    frame: Option<Rc<Frame>>,
}

/// The call of a function.
#[derive(Debug)]
struct Frame {
    key: FunctionKey,
    opsets: Opsets,
    /// Attributes of the call and defaults, by name.
    attributes: BTreeMap<String, AttributeProto>,
    caller: Option<Rc<Frame>>,
}

/// What names mean in one graph or function body.
#[derive(Debug, Default)]
struct Scope {
    /// `None` is an absent optional operand of a function.
    ids: BTreeMap<String, Option<ValueIx>>,
    /// Values of the graphs around a subgraph; an own name hides an outer one.
    outer: BTreeMap<String, Option<ValueIx>>,
    frame: Option<Rc<Frame>>,
    /// What names of nodes and values begin with, so that they differ between calls.
    prefix: String,
}

/// Writes out one graph.
#[derive(Debug)]
pub struct Flattener<'c> {
    context: &'c Context,
    scope: Scope,
    first: usize,
    calls: usize,
    expansion: usize,
    /// Names of the new values; the first of them has the number that [`Flattener::new`] got.
    pub names: Vec<String>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Constants by value.
    pub constants: BTreeMap<ValueIx, TensorProto>,
    /// What is not supported, and what single nodes have wrong.
    pub problems: Vec<Problem>,
}

impl<'c> Flattener<'c> {
    /// Numbers new values from `first` on.
    pub fn new(context: &'c Context, first: usize) -> Self {
        Flattener {
            context,
            scope: Scope::default(),
            first,
            calls: 0,
            expansion: 0,
            names: Vec::new(),
            nodes: Vec::new(),
            constants: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// A new value.
    ///
    /// # Errors
    /// If the graph has one of this name.
    pub fn define(&mut self, name: &str) -> Result<ValueIx, ImportError> {
        let id = ValueIx((self.first + self.names.len()) as u32);
        self.bind(name, Some(id))?;
        self.names.push(format!("{}{name}", self.scope.prefix));
        Ok(id)
    }

    fn bind(&mut self, name: &str, value: Option<ValueIx>) -> Result<(), ImportError> {
        match self.scope.ids.insert(name.into(), value) {
            None => Ok(()),
            Some(_) => Err(self
                .context
                .malformed(format!("the value `{name}` is defined twice"))),
        }
    }

    /// A value that the file uses, but that is not there: in no list of inputs, results or constants.
    fn unknown(&mut self, name: &str) -> ValueIx {
        let id = ValueIx((self.first + self.names.len()) as u32);
        self.names.push(name.to_string());
        id
    }

    /// The value of a name in the graph.
    pub fn lookup(&self, name: &str) -> Option<Option<ValueIx>> {
        let scope = &self.scope;
        scope
            .ids
            .get(name)
            .or_else(|| scope.outer.get(name))
            .copied()
    }

    /// Defines the initializers of a graph.
    ///
    /// # Errors
    /// If one has the name of another value.
    pub fn initializers(&mut self, graph: &mut GraphProto) -> Result<(), ImportError> {
        for tensor in std::mem::take(&mut graph.initializer) {
            let id = self.define(&tensor.name)?;
            self.constants.insert(id, tensor);
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
        Ok(())
    }

    /// Notes a value that llmc cannot represent.
    pub fn refuse(&mut self, name: &str, reason: String, remedy: &str) {
        self.problems.push(Problem {
            category: Category::Unsupported,
            operator: String::new(),
            node: name.to_string(),
            reason,
            remedy: remedy.to_string(),
        });
    }

    /// Notes what contradicts the ONNX specification; `operator` is empty if no node is concerned.
    pub fn invalid(&mut self, operator: &str, name: &str, reason: String) {
        self.problems.push(Problem {
            category: Category::Input,
            operator: operator.to_string(),
            node: name.to_string(),
            reason,
            remedy: String::from("the file contradicts the ONNX specification: export it again"),
        });
    }

    /// Writes out a subgraph whose inputs are these values, and returns its outputs.
    ///
    /// # Errors
    /// A subgraph that is not valid, or has another number of inputs.
    pub fn body(
        &mut self,
        body: &Body,
        prefix: String,
        inputs: &[ValueIx],
    ) -> Result<Vec<ValueIx>, ImportError> {
        let mut graph = body.graph.as_ref().clone();
        if graph.input.len() != inputs.len() {
            let (has, takes) = (graph.input.len(), inputs.len());
            return Err(self.context.malformed(format!(
                "the subgraph `{}` of `{prefix}` has {has} inputs, not {takes}",
                body.attribute
            )));
        }
        self.scope = Scope {
            ids: BTreeMap::new(),
            outer: body.captures.clone(),
            frame: body.frame.clone(),
            prefix,
        };
        for (info, value) in graph.input.iter().zip(inputs) {
            self.bind(&info.name, Some(*value))?;
        }
        self.initializers(&mut graph)?;
        for node in order::sorted(std::mem::take(&mut graph.node)) {
            self.node(node)?;
        }
        let mut outputs = Vec::new();
        for info in &graph.output {
            let value = self.lookup(&info.name).flatten();
            outputs.push(value.ok_or_else(|| {
                let name = &info.name;
                self.context.malformed(format!(
                    "no node computes the output `{name}` of a subgraph"
                ))
            })?);
        }
        Ok(outputs)
    }

    /// Adds a node, or the body of the function that it calls.
    ///
    /// # Errors
    /// A value that is there already; a domain without a version; a function that calls itself.
    pub fn node(&mut self, mut proto: NodeProto) -> Result<(), ImportError> {
        let name = match proto.name.as_str() {
            "" => proto
                .output
                .iter()
                .find(|o| !o.is_empty())
                .cloned()
                .unwrap_or_default(),
            name => name.into(),
        };
        let name = format!("{}{name}", self.scope.prefix);
        self.resolve_references(&mut proto);
        let mut inputs = Vec::new();
        for input in &proto.input {
            inputs.push(match (input.as_str(), self.lookup(input)) {
                ("", _) => None,
                (_, Some(known)) => known,
                (used, None) => {
                    let reason = format!("uses `{used}`, which nothing before it computes");
                    self.invalid(&proto.op_type, &name, reason);
                    Some(self.unknown(used))
                }
            });
        }
        if self.calls > 0 {
            self.expansion += 1 + inputs.len() + proto.output.len() + proto.attribute.len();
        }
        let domain = domain_of(&proto.domain).to_string();
        let key = (domain, proto.op_type.clone(), proto.overload.clone());
        if let Some(function) = self.context.functions.get(&key) {
            return self.call(key, Rc::clone(function), proto, name, inputs);
        }
        let (domain, op, _) = key;
        let version = self.version(&domain).ok_or_else(|| {
            let shown = match domain.as_str() {
                "" => "the standard domain",
                domain => domain,
            };
            self.context.malformed(format!(
                "{op} `{name}` is of {shown}, whose operator set version is not declared"
            ))
        })?;
        let (attributes, bodies) = self.split_bodies(proto.attribute);
        let mut outputs = Vec::new();
        for output in &proto.output {
            outputs.push(match output.as_str() {
                "" => None,
                output => Some(self.define(output)?),
            });
        }
        self.nodes.push(Node {
            name,
            op,
            domain,
            version,
            inputs,
            outputs,
            attributes,
            bodies,
        });
        Ok(())
    }

    fn version(&self, domain: &str) -> Option<i64> {
        let frame = self.scope.frame.as_ref();
        let own = frame.and_then(|f| f.opsets.get(domain));
        own.or_else(|| self.context.opsets.get(domain)).copied()
    }

    /// Puts the call's attributes in the place of references to them; one that the call leaves out is absent.
    fn resolve_references(&self, proto: &mut NodeProto) {
        let Some(frame) = &self.scope.frame else {
            return;
        };
        proto.attribute.retain_mut(|attribute| {
            if attribute.ref_attr_name.is_empty() {
                return true;
            }
            let given = frame.attributes.get(&attribute.ref_attr_name);
            if let Some(given) = given {
                let name = std::mem::take(&mut attribute.name);
                *attribute = AttributeProto {
                    name,
                    ..given.clone()
                };
            }
            given.is_some()
        });
    }

    /// Subgraphs apart from the other attributes.
    fn split_bodies(&self, attributes: Vec<AttributeProto>) -> (Vec<AttributeProto>, Vec<Body>) {
        let (mut rest, mut bodies) = (Vec::new(), Vec::new());
        for mut attribute in attributes {
            let Some(graph) = attribute.g.take() else {
                rest.push(attribute);
                continue;
            };
            let mut used = BTreeSet::new();
            names_in(&graph, &mut used);
            let captures = used
                .into_iter()
                .filter_map(|name| Some((name.to_string(), self.lookup(name)?)))
                .collect();
            bodies.push(Body {
                attribute: attribute.name,
                captures,
                graph: Rc::new(*graph),
                frame: self.scope.frame.clone(),
            });
        }
        (rest, bodies)
    }

    fn call(
        &mut self,
        key: FunctionKey,
        function: Rc<FunctionProto>,
        proto: NodeProto,
        name: String,
        inputs: Vec<Option<ValueIx>>,
    ) -> Result<(), ImportError> {
        let active = std::iter::successors(self.scope.frame.as_ref(), |f| f.caller.as_ref());
        if active.clone().any(|f| f.key == key) {
            let detail = format!("the function `{}` calls itself (`{name}`)", key.1);
            return Err(self.context.malformed(detail));
        }
        if active.count() >= MAX_CALLS || self.expansion > MAX_EXPANSION {
            return Err(ImportError::Problems(vec![Problem {
                category: Category::Unsupported,
                operator: key.1,
                node: name,
                reason: String::from(
                    "the model-local functions are too deep or too many to be written out",
                ),
                remedy: String::from("export without functions"),
            }]));
        }
        let arity = |what: &str, has: usize, takes: usize| {
            let operator = &key.1;
            let detail =
                format!("`{name}` gives the function `{operator}` {has} {what}, not {takes}");
            self.context.malformed(detail)
        };
        if inputs.len() > function.input.len() {
            return Err(arity("operands", inputs.len(), function.input.len()));
        }
        if proto.output.len() > function.output.len() {
            return Err(arity("results", proto.output.len(), function.output.len()));
        }
        let defaults = function.attribute_proto.iter().cloned();
        let attributes = defaults.chain(proto.attribute).map(|a| (a.name.clone(), a));
        let opsets = function.opset_import.iter();
        let frame = Frame {
            key,
            opsets: opsets
                .map(|o| (domain_of(&o.domain).to_string(), o.version))
                .collect(),
            attributes: attributes.collect(),
            caller: self.scope.frame.clone(),
        };
        let given = inputs.into_iter().chain(std::iter::repeat(None));
        let inner = Scope {
            ids: function.input.iter().cloned().zip(given).collect(),
            outer: BTreeMap::new(),
            frame: Some(Rc::new(frame)),
            prefix: format!("{name}/"),
        };
        let outer = std::mem::replace(&mut self.scope, inner);
        self.calls += 1;
        for node in order::sorted(function.node.clone()) {
            self.node(node)?;
        }
        self.calls -= 1;
        let body = std::mem::replace(&mut self.scope, outer);
        for (output, formal) in proto.output.iter().zip(&function.output) {
            if output.is_empty() {
                continue;
            }
            let value = body.ids.get(formal).copied().ok_or_else(|| {
                let detail =
                    format!("no node of the function called by `{name}` computes `{formal}`");
                self.context.malformed(detail)
            })?;
            self.bind(output, value)?;
        }
        Ok(())
    }
}

/// All names that a graph and its subgraphs mention: those of outer values among them are its captures.
pub(super) fn names_in<'g>(graph: &'g GraphProto, used: &mut BTreeSet<&'g str>) {
    for node in &graph.node {
        used.extend(node.input.iter().map(String::as_str));
        for attribute in &node.attribute {
            if let Some(inner) = &attribute.g {
                names_in(inner, used);
            }
        }
    }
    used.extend(graph.output.iter().map(|o| o.name.as_str()));
}
