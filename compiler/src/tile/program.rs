//! The tile language: one [`Program`] per entry, run by every core, over buffers and rings in named memories.
//!
//! Its life: `lower` makes it (loops, engine ops, streams, collectives); `alloc` gives every buffer and ring an address;
//! `sync` replaces [`Stmt::Stream`], [`Stmt::Barrier`] and [`OpKind::AllGather`] by plain ops with [`Stmt::Wait`], [`Stmt::Post`] and
//! [`Stmt::Advance`]; `emit` turns it into instructions. The text form covers all of it.

use super::expr::{Expr, VarId};
use llmc_isa::{DType, Queue};

pub use llmc_isa::{BinaryFn, IntFn, QuantFn, ReduceFn, UnaryFn};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $name {
            /// The position in the table it indexes.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}
id!(
    /// Index into [`Program::buffers`].
    BufferId
);
id!(
    /// Index into [`Program::rings`].
    RingId
);
id!(
    /// Index into [`Program::origins`].
    OriginId
);

/// A semaphore number of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SemId(pub u8);

/// One entry's program; every core runs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Entry name: `prefill`, `score`, `decode` or a function's name.
    pub name: String,
    /// How many cores run it.
    pub cores: u32,
    /// Launch registers in order, with the largest value the host may set (the least is 0).
    pub launch: Vec<Launch>,
    /// Names of the variables; [`VarId`] indexes it.
    pub vars: Vec<String>,
    /// Plain buffers.
    pub buffers: Vec<Buffer>,
    /// Circular buffers.
    pub rings: Vec<Ring>,
    /// Where ops come from: graph node text and ONNX node names.
    pub origins: Vec<Origin>,
    /// The statements, in control order.
    pub body: Vec<Stmt>,
}

/// A launch register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// `tokens`, `past`, ...
    pub name: String,
    /// Largest value the host may set.
    pub max: u64,
}

/// Provenance of an op, for dumps, the debug map and faults.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The graph node, e.g. `%12 matmul`.
    pub node: String,
    /// Names of the ONNX nodes it came from.
    pub onnx: Vec<String>,
}

/// A plain buffer. An SRAM buffer has the same address on every core and private contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// A readable name, unique in the program.
    pub name: String,
    /// Memory and role.
    pub space: Space,
    /// Size in bytes (SRAM: per core).
    pub bytes: u64,
    /// Byte address, once placed. SRAM: in the core's scratchpad; DRAM: absolute.
    pub addr: Option<u64>,
}

/// Where a buffer lives and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Space {
    /// The core's scratchpad.
    Sram,
    /// A constant of the weight image, by its name there (packed panels, or rows).
    Weights(String),
    /// A state tensor, by name. Lives across launches.
    State(String),
    /// An input the host writes before the launch, by name.
    Input(String),
    /// An output the host reads after it, by name.
    Output(String),
    /// DRAM for what the program makes and uses within one launch.
    Scratch,
}

/// A circular buffer in SRAM: `slots` pages, filled by `dma0`, consumed by one engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// A readable name, unique in the program.
    pub name: String,
    /// The engine that consumes the pages.
    pub consumer: Queue,
    /// Bytes of a page (a multiple of 64).
    pub page: u64,
    /// Number of pages; 2 is double buffering.
    pub slots: u32,
    /// SRAM address of page 0, once placed.
    pub addr: Option<u64>,
    /// Semaphores (`free`, `full`), once synchronised.
    pub sems: Option<(SemId, SemId)>,
}

/// A statement.
#[allow(clippy::large_enum_variant)] // most statements are ops
#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// Runs `body` for `var` = 0 .. `trip` (none if `trip <= 0`).
    Loop {
        /// The loop variable.
        var: VarId,
        /// Trip count.
        trip: Expr,
        /// Static upper bound of `trip`.
        max_trip: u64,
        /// The statements.
        body: Vec<Stmt>,
    },
    /// Sets `var` for the rest of the enclosing block.
    Let {
        /// The variable.
        var: VarId,
        /// Its value.
        value: Expr,
    },
    /// One engine op.
    Op(Op),
    /// `fill` loads the ring's current page on `dma0`; `consume` uses it on the ring's consumer; then the ring advances.
    /// Because `dma0` has its own queue, fills run ahead of consumers by up to `slots` pages, across loops and ops.
    Stream {
        /// The ring.
        ring: RingId,
        /// Loads into [`Place::Page`] of that ring.
        fill: Vec<Op>,
        /// Ops on the ring's consumer.
        consume: Vec<Op>,
    },
    /// Every core's stores before it are complete before any core's loads and stores after it begin.
    Barrier,
    /// (synchronised programs) `queue` waits until `sem >= n`, then takes `n`.
    Wait {
        /// The waiting engine.
        queue: Queue,
        /// The semaphore.
        sem: SemId,
        /// Tokens taken.
        n: u32,
    },
    /// (synchronised programs) `queue` adds `n` to `sem` once its earlier ops are complete.
    Post {
        /// The posting engine.
        queue: Queue,
        /// The semaphore.
        sem: SemId,
        /// Tokens added.
        n: u32,
        /// On every core (this one included) instead of this core only.
        all_cores: bool,
    },
    /// (synchronised programs) the ring's current page becomes the next one.
    Advance(RingId),
}

/// One engine op.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// The engine.
    pub queue: Queue,
    /// What it does.
    pub kind: OpKind,
    /// Where it comes from.
    pub origin: OriginId,
}

/// A byte position in a buffer or ring page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The buffer or page.
    pub place: Place,
    /// Byte offset in it.
    pub offset: Expr,
}

/// What a [`View`] points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A plain buffer.
    Buffer(BufferId),
    /// The current page of a ring.
    Page(RingId),
}

/// A size: a static upper bound and, where it may be less at run time, what it really is (clamped to `0..=n`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Static upper bound.
    pub n: u32,
    /// The dynamic value, if any.
    pub clamp: Option<Expr>,
}

impl From<u32> for Extent {
    fn from(n: u32) -> Extent {
        Extent { n, clamp: None }
    }
}

/// A vector operand over `[n0][n1][n2]`: byte strides of the two outer dims; the inner one is contiguous or broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    /// First element.
    pub view: View,
    /// Byte stride of n0.
    pub s0: u32,
    /// Byte stride of n1.
    pub s1: u32,
    /// Element type.
    pub dtype: DType,
    /// One element serves the whole inner dim.
    pub bcast: bool,
}

/// A strided block copy `[n0][n1][n2][bytes]` with byte strides on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Copy {
    /// First byte written.
    pub dst: View,
    /// Byte strides of the destination.
    pub dst_s: [u32; 3],
    /// First byte read.
    pub src: View,
    /// Byte strides of the source.
    pub src_s: [u32; 3],
    /// Outer extents.
    pub n: [Extent; 3],
    /// Contiguous bytes.
    pub bytes: Extent,
}

/// What an op does; each is one instruction, except [`OpKind::AllGather`], which `sync` expands.
/// Fields are those of the instruction of the same name, see `isa/MANUAL.md`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum OpKind {
    /// `dma.load`: DRAM to SRAM.
    Load(Copy),
    /// `dma.store`: SRAM to DRAM.
    Store(Copy),
    /// `dma.push` to all cores.
    PushAll(Copy),
    /// Every core writes its slice `src` to `dst` (an SRAM view, its offset depends on the core) on all cores; afterwards all cores have all of it.
    AllGather(Copy),
    /// `dma.gather`: rows of a DRAM table by an index list in SRAM.
    Gather {
        dst: View,
        dst_s0: u32,
        index: View,
        index_i64: bool,
        count: Extent,
        table: View,
        row_stride: u32,
        bytes: u32,
        rows: u32,
    },
    /// `dma.scatter`: rows of a DRAM table by an index list in SRAM.
    Scatter {
        src: View,
        src_s0: u32,
        index: View,
        index_i64: bool,
        count: Extent,
        table: View,
        row_stride: u32,
        bytes: u32,
        rows: u32,
    },
    /// `mxu.mm`.
    MatMul {
        dst: View,
        dst_s0: u32,
        a: View,
        a_s0: u32,
        b: View,
        b_panel: u32,
        m: Extent,
        n: Extent,
        k: Extent,
        a_type: DType,
        b_type: DType,
        acc: bool,
    },
    /// `mxu.mmq` with f32 on the left.
    MatMulCodes {
        dst: View,
        dst_s0: u32,
        a: View,
        a_s0: u32,
        b: View,
        b_panel: u32,
        scale: View,
        scale_panel: u32,
        zero: View,
        zero_panel: u32,
        m: Extent,
        n: Extent,
        k: u32,
        group: u32,
        b_type: DType,
        scale_type: DType,
        acc: bool,
        zeros: bool,
    },
    /// `vpu.quantz` and `vpu.dequantz`.
    Quant {
        op: QuantFn,
        dst: Operand,
        a: Operand,
        scale: Operand,
        zero: Operand,
        n: [Extent; 3],
    },
    /// `vpu.add` and its family.
    Binary {
        op: BinaryFn,
        dst: Operand,
        a: Operand,
        b: Operand,
        n: [Extent; 3],
    },
    /// `vpu.copy` and its family: `dst = op(a * scale + bias)`.
    Unary {
        op: UnaryFn,
        dst: Operand,
        a: Operand,
        n: [Extent; 3],
        scale: f32,
        bias: f32,
    },
    /// `vpu.sum` and its family; `dst` is `[n0][n1]`.
    Reduce {
        op: ReduceFn,
        dst: Operand,
        a: Operand,
        n: [Extent; 3],
    },
    /// `vpu.fill`.
    Fill {
        dst: Operand,
        n: [Extent; 3],
        value: f32,
    },
    /// `vpu.iadd` and its family: exact integers.
    Int {
        op: IntFn,
        dst: Operand,
        a: Operand,
        b: Operand,
        n: [Extent; 3],
    },
    /// `vpu.select`: `a` where `mask` is not 0, else `b`.
    Select {
        dst: Operand,
        a: Operand,
        b: Operand,
        mask: Operand,
        n: [Extent; 3],
    },
    /// `att.init`; `sink` is not looked at without `sinks`.
    AttInit {
        state: View,
        rows: Extent,
        heads: u32,
        d: u32,
        sink: View,
        sinks: bool,
    },
    /// `att.step` over one KV block.
    AttStep {
        state: View,
        q: View,
        q_s0: u32,
        q_s1: u32,
        k: View,
        k_s0: u32,
        v: View,
        v_s0: u32,
        rows: Extent,
        heads: u32,
        d: u32,
        kv: Extent,
        q_pos: Expr,
        kv_pos: Expr,
        scale: f32,
        causal: bool,
        window: u32,
        softcap: f32,
        kv_type: DType,
    },
    /// `att.round` over one KV block.
    AttRound {
        state: View,
        q: View,
        q_s0: u32,
        q_s1: u32,
        k: View,
        k_s0: u32,
        v: View,
        v_s0: u32,
        rows: Extent,
        heads: u32,
        d: u32,
        kv: Extent,
        q_pos: Expr,
        kv_pos: Expr,
        by: View,
        causal: bool,
        window: u32,
        weigh: bool,
        kv_type: DType,
    },
    /// `att.fin`.
    AttFin {
        dst: View,
        dst_s0: u32,
        dst_s1: u32,
        state: View,
        rows: Extent,
        heads: u32,
        d: u32,
        weighed: bool,
    },
}
