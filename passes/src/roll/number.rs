//! Structure as numbers: nodes that compute the same from the same get the same number.

use std::collections::BTreeMap;

use llmc_ir::{ConstId, Graph, Op, StateId, Type, ValueId};
use llmc_tensor::DType;

/// What a node is, apart from its operands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An input of a graph.
    Input(String),
    /// What a segment begins with.
    Begin(Type),
    /// A constant: type, and digest where the value matters.
    Const(DType, Vec<usize>, Option<u64>),
    /// An append: type of the state, and its name where it matters.
    Append(Type, Option<String>),
    /// Any other op.
    Op(Op),
}

/// Numbers by kind and numbers of the operands.
#[derive(Default)]
pub struct Numbers {
    known: BTreeMap<(Kind, Vec<u32>), u32>,
}

impl Numbers {
    /// The number of a node.
    pub fn of(&mut self, kind: Kind, operands: Vec<u32>) -> u32 {
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        *self.known.entry((kind, operands)).or_insert(next)
    }
}

/// The kind of a node. Without `exact`, constants of several elements and states count by type only: layers differ in
/// them. A number is never like another.
pub fn kind(graph: &Graph, id: ValueId, exact: bool) -> Kind {
    match graph.op(id) {
        Op::Input => Kind::Input(graph.input_name(id).unwrap_or_default().to_string()),
        Op::Const(c) => of_const(graph, *c, exact),
        Op::Append { state } => of_append(graph, *state, exact),
        op => Kind::Op(op.clone()),
    }
}

fn of_const(graph: &Graph, id: ConstId, exact: bool) -> Kind {
    match graph.tables().constant(id) {
        Some(c) => {
            let number = c.shape().iter().product::<usize>() <= 1;
            let digest = (exact || number).then(|| c.digest());
            Kind::Const(c.dtype(), c.shape().to_vec(), digest)
        }
        None => Kind::Op(Op::Const(id)),
    }
}

fn of_append(graph: &Graph, id: StateId, exact: bool) -> Kind {
    match graph.tables().state(id) {
        Some(s) => Kind::Append(s.ty(), exact.then(|| s.name.clone())),
        None => Kind::Op(Op::Append { state: id }),
    }
}

/// Whether two graphs compute the same outputs and states in the same way.
pub fn same(a: &Graph, b: &Graph) -> bool {
    let mut numbers = Numbers::default();
    let mut ends = |graph: &Graph| {
        let mut of: BTreeMap<ValueId, u32> = BTreeMap::new();
        let mut effects = Vec::new();
        for id in graph.topological() {
            let operands = graph.operands(id).iter();
            let operands = operands.filter_map(|v| of.get(v).copied()).collect();
            let number = numbers.of(kind(graph, id, true), operands);
            if graph.op(id).has_effect() {
                effects.push(number);
            }
            of.insert(id, number);
        }
        effects.sort_unstable();
        let outputs = graph.outputs.iter();
        let outputs: Vec<_> = outputs
            .map(|(name, v)| (name.clone(), of.get(v).copied()))
            .collect();
        (outputs, effects)
    };
    ends(a) == ends(b)
}
