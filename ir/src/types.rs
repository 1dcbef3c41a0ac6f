//! Ids, types, constants and states.

use crate::dim::{Dim, Symbol};
use llmc_tensor::{DType, Tensor};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A node and its one result. Ids are never reused within a graph; removing a node leaves a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Nodes have one result each, so that a node and its value share an id.
pub type NodeId = ValueId;

/// Index into the constants of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConstId(pub u32);

/// Index into the states of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId(pub u32);

macro_rules! id {
    ($($t:ident $prefix:literal),*) => {$(
        impl $t {
            /// The id as an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// The id of an index.
            pub fn from_index(index: usize) -> $t {
                $t(u32::try_from(index).unwrap_or(u32::MAX))
            }
        }

        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    )*};
}

id!(ValueId "%", ConstId "c", StateId "s");

/// How a value lies on the cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// Every core has all of it.
    #[default]
    Replicated,
    /// The cores share an axis between them in whole units: core c has an interval of the units.
    Split {
        /// The axis.
        axis: usize,
        /// Elements of the axis that stay together.
        unit: usize,
    },
}

/// Element type, shape and layout of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type {
    /// The element type.
    pub dtype: DType,
    /// The shape, outermost dim first.
    pub shape: Vec<Dim>,
    /// Where it lies; `Replicated` until the graph is sharded.
    pub layout: Layout,
}

impl Type {
    /// A replicated type: `Type::new(DType::F32, [Dim::batch(), Dim::seq(), 192.into()])`.
    pub fn new(dtype: DType, shape: impl Into<Vec<Dim>>) -> Type {
        Type {
            dtype,
            shape: shape.into(),
            layout: Layout::Replicated,
        }
    }

    /// The replicated type of a tensor.
    pub fn of(tensor: &Tensor) -> Type {
        Type::new(
            tensor.dtype(),
            tensor
                .shape()
                .iter()
                .map(|d| Dim::from(*d))
                .collect::<Vec<_>>(),
        )
    }

    /// Number of dims.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The same type in another layout.
    pub fn with_layout(mut self, layout: Layout) -> Type {
        self.layout = layout;
        self
    }

    /// Product of the dims.
    pub fn elements(&self) -> Dim {
        self.shape.iter().fold(Dim::one(), |n, d| &n * d)
    }

    /// The shape, if no symbol is in it and no dim is negative.
    pub fn const_shape(&self) -> Option<Vec<usize>> {
        self.shape
            .iter()
            .map(|d| d.as_const().and_then(|n| usize::try_from(n).ok()))
            .collect()
    }

    /// The type with symbols replaced.
    pub fn substitute(&self, by: &BTreeMap<Symbol, Dim>) -> Type {
        let shape = self.shape.iter().map(|d| d.substitute_all(by)).collect();
        Type {
            dtype: self.dtype,
            shape,
            layout: self.layout,
        }
    }
}

/// A named constant of a model. Its bytes are usually a slice of a memory-mapped file.
///
/// A constant read back from text, without the model at hand, is *opaque*: it has a name, a type and a digest, but
/// no bytes. Two constants are equal if name, type and digest are.
///
/// A *stack* is the constants of the turns of an [`Op::Repeat`](crate::Op::Repeat): one per turn, of one type, which
/// is the type of the stack.
#[derive(Clone, Debug)]
pub struct Const {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    digest: u64,
    tensor: Option<Tensor>,
    stack: Option<Stack>,
}

/// The constants of a stack.
#[derive(Clone, Debug)]
struct Stack {
    turns: usize,
    /// One per turn; none if the stack is opaque.
    each: Vec<Arc<Const>>,
}

impl Const {
    /// A constant with its bytes, which are not copied.
    pub fn new(name: impl Into<String>, tensor: Tensor) -> Const {
        let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
        Const {
            name: name.into(),
            dtype,
            shape,
            digest: digest(tensor.bytes()),
            tensor: Some(tensor),
            stack: None,
        }
    }

    /// A stack of these constants, in the order of turns; `None` if there are none, one is a stack itself, or their
    /// types differ.
    pub fn stack(each: Vec<Arc<Const>>) -> Option<Const> {
        let (first, last) = (each.first()?, each.last()?);
        let fits = |c: &Arc<Const>| {
            c.stack.is_none() && (c.dtype, &c.shape) == (first.dtype, &first.shape)
        };
        if !each.iter().all(fits) {
            return None;
        }
        let digests: Vec<u8> = each.iter().flat_map(|c| c.digest.to_le_bytes()).collect();
        Some(Const {
            name: stack_name(&first.name, &last.name),
            dtype: first.dtype,
            shape: first.shape.clone(),
            digest: digest(&digests),
            tensor: None,
            stack: Some(Stack {
                turns: each.len(),
                each,
            }),
        })
    }

    /// A constant of which only the description is known.
    pub fn opaque(name: impl Into<String>, dtype: DType, shape: Vec<usize>, digest: u64) -> Const {
        Const {
            name: name.into(),
            dtype,
            shape,
            digest,
            tensor: None,
            stack: None,
        }
    }

    /// This opaque constant as the description of a stack of `turns`.
    pub fn of_turns(self, turns: usize) -> Const {
        let each = Vec::new();
        Const {
            stack: Some(Stack { turns, each }),
            tensor: None,
            ..self
        }
    }

    /// Number of turns, if it is a stack.
    pub fn turns(&self) -> Option<usize> {
        self.stack.as_ref().map(|s| s.turns)
    }

    /// The constants of a stack, by turn; none if it is opaque or no stack.
    pub fn each_turn(&self) -> &[Arc<Const>] {
        self.stack.as_ref().map_or(&[], |s| &s.each)
    }

    /// Its name, unique in a module; from the model where there is one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// A short description of the bytes; see [`digest`].
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The value; `None` if it is opaque, or a stack and so has one per turn.
    pub fn tensor(&self) -> Option<&Tensor> {
        self.tensor.as_ref()
    }

    /// The replicated type.
    pub fn ty(&self) -> Type {
        Type::new(
            self.dtype,
            self.shape.iter().map(|d| Dim::from(*d)).collect::<Vec<_>>(),
        )
    }
}

impl PartialEq for Const {
    fn eq(&self, other: &Const) -> bool {
        // What differs most often first.
        (self.digest, self.dtype, &self.shape) == (other.digest, other.dtype, &other.shape)
            && (&self.name, self.turns()) == (&other.name, other.turns())
    }
}

impl Eq for Const {}

/// The name of a stack of things of these names, the first and the last.
fn stack_name(first: &str, last: &str) -> String {
    format!("{first} .. {last}")
}

/// FNV-1a over the length and at most 64 windows of 64 bytes, spread evenly: tells apart the tensors of one model
/// without paging in all of its weights. Not a checksum.
pub fn digest(bytes: &[u8]) -> u64 {
    const WINDOWS: usize = 64;
    const WINDOW: usize = 64;
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |bytes: &[u8]| {
        for b in bytes {
            hash = (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(&(bytes.len() as u64).to_le_bytes());
    if bytes.len() <= WINDOWS * WINDOW {
        add(bytes);
    } else {
        let stride = (bytes.len() - WINDOW) / (WINDOWS - 1);
        (0..WINDOWS).for_each(|i| add(&bytes[i * stride..i * stride + WINDOW]));
    }
    hash
}

/// Memory that lasts from launch to launch: a KV cache `[batch, kv_heads, capacity, head_dim]`.
///
/// How many rows of the capacity axis are valid is the symbol `past`, the same for all states.
///
/// A *stack* is the states of the turns of an [`Op::Repeat`](crate::Op::Repeat), of one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Its name, unique in a module; that of the model's input it came from.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// `[batch, kv_heads, capacity, head_dim]`; capacity is the model's maximal context.
    pub shape: Vec<Dim>,
    /// `Split { axis: 1, .. }` once sharded by KV head.
    pub layout: Layout,
    /// Names of the states of a stack, by turn; empty for one state.
    pub turns: Vec<String>,
}

impl State {
    /// A replicated state.
    pub fn new(name: impl Into<String>, dtype: DType, shape: impl Into<Vec<Dim>>) -> State {
        State {
            name: name.into(),
            dtype,
            shape: shape.into(),
            layout: Layout::Replicated,
            turns: Vec::new(),
        }
    }

    /// A stack of states of these names, in the order of turns, each like this one.
    pub fn stack(self, turns: Vec<String>) -> State {
        match (turns.first(), turns.last()) {
            (Some(first), Some(last)) => State {
                name: stack_name(first, last),
                turns,
                ..self
            },
            _ => self,
        }
    }

    /// The names of the states it stands for: its own, or those of the turns.
    pub fn names(&self) -> &[String] {
        if self.turns.is_empty() {
            std::slice::from_ref(&self.name)
        } else {
            &self.turns
        }
    }

    /// The state's type, at full capacity.
    pub fn ty(&self) -> Type {
        Type {
            dtype: self.dtype,
            shape: self.shape.clone(),
            layout: self.layout,
        }
    }
}

/// Constants and states of a graph: what ids in ops refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Constants; shared between the graphs of a module.
    pub consts: Vec<Arc<Const>>,
    /// States.
    pub states: Vec<State>,
}

impl Tables {
    /// The constant of an id.
    pub fn constant(&self, id: ConstId) -> Option<&Arc<Const>> {
        self.consts.get(id.index())
    }

    /// The state of an id.
    pub fn state(&self, id: StateId) -> Option<&State> {
        self.states.get(id.index())
    }
}
