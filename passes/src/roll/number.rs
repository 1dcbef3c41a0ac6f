//! Structure as numbers: nodes that compute the same from the same get the same number.

use std::collections::BTreeMap;

use llmc_ir::{BinaryOp, Dim, Graph, Op, Symbol, Type, ValueId};
use llmc_tensor::DType;

/// What a node is, apart from its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind<'a> {
    /// An input of a graph.
    Input(&'a str),
    /// What a segment begins with.
    Begin(&'a Type),
    /// A constant: type, and digest where the value matters.
    Const(DType, &'a [usize], Option<u64>),
    /// An append: element type and shape of the state, and its name where it matters.
    Append(DType, &'a [Dim], Option<&'a str>),
    /// Any other op.
    Op(&'a Op),
}

/// Numbers by kind and numbers of the operands.
#[derive(Default)]
pub struct Numbers<'a> {
    known: BTreeMap<(Kind<'a>, Vec<u32>), u32>,
}

impl<'a> Numbers<'a> {
    /// The number of a node.
    pub fn of(&mut self, kind: Kind<'a>, operands: Vec<u32>) -> u32 {
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        *self.known.entry((kind, operands)).or_insert(next)
    }
}

/// The kind of a node. Without `exact`, constants that are [data](is_data) and states count by type only: layers differ in
/// them.
pub fn kind(graph: &Graph, id: ValueId, exact: bool) -> Kind<'_> {
    let op = graph.op(id);
    match op {
        Op::Input => Kind::Input(graph.input_name(id).unwrap_or_default()),
        Op::Const(c) => match graph.tables().constant(*c) {
            Some(c) => {
                let digest = (exact || !is_data(graph, id)).then(|| c.digest());
                Kind::Const(c.dtype(), c.shape(), digest)
            }
            None => Kind::Op(op),
        },
        Op::Append { state } => match graph.tables().state(*state) {
            Some(s) => Kind::Append(s.dtype, &s.shape, exact.then_some(&s.name)),
            None => Kind::Op(op),
        },
        op => Kind::Op(op),
    }
}

/// Whether a constant is an operand whatever it holds, so that it may differ between layers: one of several elements, a factor, the
/// scale of codes. Another number may decide which op this is (an epsilon, the scale of scores).
pub fn is_data(graph: &Graph, constant: ValueId) -> bool {
    let several = |id: &ValueId| graph.ty(*id).elements().as_const().is_none_or(|n| n > 1);
    let past = Symbol::new(Symbol::PAST);
    let data = |user: &ValueId| match graph.op(*user) {
        Op::MatMulDequantized { .. } | Op::Dequantize { .. } => true,
        _ if graph.depends_on_constants(*user) => is_data(graph, *user),
        Op::Binary(BinaryOp::Mul | BinaryOp::Div) => {
            let mut dims = graph.ty(*user).shape.iter();
            !dims.any(|d| d.symbols().contains(&past))
        }
        _ => false,
    };
    several(&constant) || graph.users(constant).iter().all(data)
}

/// Whether two graphs compute the same outputs and states in the same way.
pub fn same(a: &Graph, b: &Graph) -> bool {
    let mut numbers = Numbers::default();
    ends(a, &mut numbers) == ends(b, &mut numbers)
}

/// The numbers of the outputs, by name, and of the appends.
fn ends<'a>(
    graph: &'a Graph,
    numbers: &mut Numbers<'a>,
) -> (Vec<(&'a str, Option<u32>)>, Vec<u32>) {
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
    let outputs = outputs.map(|(name, v)| (name.as_str(), of.get(v).copied()));
    (outputs.collect(), effects)
}
