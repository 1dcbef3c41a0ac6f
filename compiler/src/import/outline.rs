//! The nodes of an ONNX file as they lie in it: nothing is copied, and nothing allocated for each name.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;

use super::proto::{GraphOutline, ModelProto};

/// Field number of the graph in a model.
const GRAPH: u64 = 7;

/// A file with its graph apart, whose nodes are not decoded; `None` if it is not one.
pub fn outline(file: &Bytes) -> Option<(ModelProto, GraphOutline)> {
    let (mut rest, mut graph) = (Vec::new(), None);
    let mut left = &file[..];
    while !left.is_empty() {
        let record = left;
        let (field, payload) = next(&mut left)?;
        if field == GRAPH {
            let before = graph.replace(file.slice_ref(payload));
            before.is_none().then_some(())?;
        } else {
            rest.extend_from_slice(&record[..record.len() - left.len()]);
        }
    }
    let model = ModelProto::decode(rest.as_slice()).ok()?;
    Some((model, GraphOutline::decode(graph?).ok()?))
}

/// A list of nodes; names are bytes of the file.
#[derive(Debug, Default)]
pub struct NodeList<'f> {
    nodes: Vec<NodeView<'f>>,
    inputs: Vec<&'f [u8]>,
    outputs: Vec<&'f [u8]>,
    attributes: Vec<&'f [u8]>,
}

/// One node: operator, domain, overload, and where its operands, results and attributes are.
#[derive(Debug)]
struct NodeView<'f> {
    operator: [&'f [u8]; 3],
    inputs: Range<usize>,
    outputs: Range<usize>,
    attributes: Range<usize>,
}

impl<'f> NodeList<'f> {
    /// Reads nodes; `None` if one is damaged.
    pub fn of(nodes: &'f [Bytes]) -> Option<NodeList<'f>> {
        let mut list = NodeList::default();
        for node in nodes {
            list.add(node)?;
        }
        Some(list)
    }

    /// Field numbers are those of [`super::proto::NodeProto`].
    fn add(&mut self, mut node: &'f [u8]) -> Option<()> {
        let mut operator = [&[][..]; 3];
        let starts = [&self.inputs, &self.outputs, &self.attributes].map(Vec::len);
        while !node.is_empty() {
            let (field, payload) = next(&mut node)?;
            match field {
                1 => self.inputs.push(payload),
                2 => self.outputs.push(payload),
                4 => operator[0] = payload,
                5 => self.attributes.push(payload),
                7 => operator[1] = payload,
                8 => operator[2] = payload,
                _ => {}
            }
        }
        self.nodes.push(NodeView {
            operator,
            inputs: starts[0]..self.inputs.len(),
            outputs: starts[1]..self.outputs.len(),
            attributes: starts[2]..self.attributes.len(),
        });
        Some(())
    }

    /// Number of nodes.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Operator, domain and overload of a node.
    pub fn operator(&self, node: usize) -> [&'f [u8]; 3] {
        self.nodes[node].operator
    }

    /// Names of the operands of a node; an empty name is an absent one.
    pub fn inputs(&self, node: usize) -> &[&'f [u8]] {
        &self.inputs[self.nodes[node].inputs.clone()]
    }

    /// Names of the results of a node.
    pub fn outputs(&self, node: usize) -> &[&'f [u8]] {
        &self.outputs[self.nodes[node].outputs.clone()]
    }

    /// Attributes of a node, encoded.
    pub fn attributes(&self, node: usize) -> &[&'f [u8]] {
        &self.attributes[self.nodes[node].attributes.clone()]
    }
}

/// The next field of a protobuf message: its number, and its bytes if it has a length. `None` if the message is damaged.
fn next<'f>(message: &mut &'f [u8]) -> Option<(u64, &'f [u8])> {
    let key = varint(message)?;
    let length = match key & 7 {
        0 => {
            varint(message)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(message)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (payload, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some((key >> 3, payload))
}

/// An integer of 7 bits per byte, lowest first.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
