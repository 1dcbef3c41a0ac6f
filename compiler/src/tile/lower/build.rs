//! Puts a tile program together: tables, names, nested blocks.

use std::collections::{BTreeMap, BTreeSet};

use llmc_isa::Queue;

use crate::tile::{
    Buffer, BufferId, Expr, Launch, Op, OpKind, Origin, OriginId, Place, Program, Ring, RingId,
    Space, Stmt, VarId, View,
};

/// A program that grows.
pub(in crate::tile) struct Build {
    program: Program,
    /// Open blocks, innermost last; the first is the program's body.
    blocks: Vec<Vec<Stmt>>,
    /// Open loops; `None` for one that runs exactly once and needs no statement.
    loops: Vec<Option<(VarId, Expr, u64)>>,
    names: BTreeSet<String>,
    origin: OriginId,
    /// The origin of the next op, if it is not in the table yet.
    next_origin: Option<Origin>,
    /// Bytes from turn to turn of the DRAM buffers that are stacks.
    strides: BTreeMap<BufferId, i64>,
    /// The turn of the repeat that is open.
    turn: Expr,
}

impl Build {
    pub(in crate::tile) fn new(name: &str, cores: u32, launch: Vec<Launch>) -> Build {
        let names = launch.iter().map(|l| l.name.clone()).collect();
        let program = Program {
            name: name.into(),
            cores,
            launch,
            vars: vec![],
            buffers: vec![],
            rings: vec![],
            origins: vec![],
            body: vec![],
        };
        Build {
            program,
            blocks: vec![vec![]],
            loops: vec![],
            names,
            origin: OriginId(0),
            next_origin: None,
            strides: BTreeMap::new(),
            turn: Expr::ZERO,
        }
    }

    pub(in crate::tile) fn finish(mut self) -> Program {
        self.program.body = self.blocks.into_iter().next().unwrap_or_default();
        self.program
    }

    /// `wanted`, or the first of `wanted.2`, `wanted.3`, .. that is free.
    fn unique(&mut self, wanted: &str) -> String {
        let more = (2..).map(|i: u32| format!("{wanted}.{i}"));
        let mut names = std::iter::once(wanted.to_string()).chain(more);
        let name = names.find(|n| !self.names.contains(n)).unwrap_or_default();
        self.names.insert(name.clone());
        name
    }

    /// The origin of the ops that follow.
    pub(in crate::tile) fn origin(&mut self, origin: Origin) {
        self.next_origin = Some(origin);
    }

    pub(in crate::tile) fn buffer(&mut self, name: &str, space: Space, bytes: u64) -> BufferId {
        let name = self.unique(name);
        self.program.buffers.push(Buffer {
            name,
            space,
            bytes,
            addr: None,
        });
        BufferId(self.program.buffers.len() as u32 - 1)
    }

    pub(in crate::tile) fn sram(&mut self, name: &str, bytes: u64) -> BufferId {
        self.buffer(name, Space::Sram, bytes)
    }

    /// The buffer of a DRAM space, made at its first use.
    pub(in crate::tile) fn dram(&mut self, name: &str, space: Space, bytes: u64) -> BufferId {
        match self.program.buffers.iter().position(|b| b.space == space) {
            Some(i) => BufferId(i as u32),
            None => self.buffer(name, space, bytes),
        }
    }

    /// Says that a DRAM buffer is a stack: its ops mean the part of the turn that is open.
    pub(super) fn stack(&mut self, buffer: BufferId, stride: u64) {
        let stride = i64::try_from(stride).unwrap_or(i64::MAX);
        self.strides.insert(buffer, stride);
    }

    /// Opens the loop over `count` turns of a repeat; [`Build::end_turns`] closes it.
    pub(super) fn begin_turns(&mut self, count: u64) {
        let trip = Expr::from(i64::try_from(count).unwrap_or(i64::MAX));
        self.turn = self.begin("turn", trip, count);
    }

    pub(super) fn end_turns(&mut self) {
        self.turn = Expr::ZERO;
        self.end();
    }

    /// The ring of a name, made at its first use: double buffering, pages as large as the largest use asks for.
    pub(in crate::tile) fn ring(&mut self, name: &str, consumer: Queue, page: u64) -> RingId {
        let page = page.next_multiple_of(64);
        if let Some(i) = self.program.rings.iter().position(|r| r.name == name) {
            let ring = &mut self.program.rings[i];
            ring.page = ring.page.max(page);
            return RingId(i as u32);
        }
        self.program.rings.push(Ring {
            name: name.into(),
            consumer,
            page,
            slots: 2,
            addr: None,
            sems: None,
        });
        RingId(self.program.rings.len() as u32 - 1)
    }

    fn var(&mut self, name: &str) -> VarId {
        let name = self.unique(name);
        self.program.vars.push(name);
        VarId(self.program.vars.len() as u32 - 1)
    }

    fn push(&mut self, stmt: Stmt) {
        if let Some(block) = self.blocks.last_mut() {
            block.push(stmt);
        }
    }

    fn make(&mut self, queue: Queue, mut kind: OpKind) -> Op {
        if let Some(view) = dram_view(&mut kind)
            && let Place::Buffer(buffer) = view.place
            && let Some(stride) = self.strides.get(&buffer)
        {
            view.offset = self.turn.clone() * *stride + view.offset.clone();
        }
        if let Some(origin) = self.next_origin.take() {
            self.origin = OriginId(self.program.origins.len() as u32);
            self.program.origins.push(origin);
        }
        Op {
            queue,
            kind,
            origin: self.origin,
        }
    }

    pub(in crate::tile) fn op(&mut self, queue: Queue, kind: OpKind) {
        let op = self.make(queue, kind);
        self.push(Stmt::Op(op));
    }

    /// One page through a ring: a load on `dma0`, then `consume` on the ring's consumer.
    pub(in crate::tile) fn stream(
        &mut self,
        ring: RingId,
        fill: Vec<OpKind>,
        consume: Vec<OpKind>,
    ) {
        let consumer = self
            .program
            .rings
            .get(ring.index())
            .map_or(Queue::Mxu, |r| r.consumer);
        let fill = fill
            .into_iter()
            .map(|k| self.make(Queue::Dma0, k))
            .collect();
        let consume = consume
            .into_iter()
            .map(|k| self.make(consumer, k))
            .collect();
        self.push(Stmt::Stream {
            ring,
            fill,
            consume,
        });
    }

    /// `value`, in a variable if it takes more than one step to compute.
    pub(in crate::tile) fn bind(&mut self, name: &str, value: Expr) -> Expr {
        if matches!(
            value,
            Expr::Const(_) | Expr::Core | Expr::Launch(_) | Expr::Var(_)
        ) {
            return value;
        }
        let var = self.var(name);
        self.push(Stmt::Let { var, value });
        Expr::Var(var)
    }

    /// Opens a loop and returns its counter; [`Build::end`] closes it. A loop of exactly one turn leaves no trace.
    pub(in crate::tile) fn begin(&mut self, name: &str, trip: Expr, max_trip: u64) -> Expr {
        if trip.as_const() == Some(1) {
            self.loops.push(None);
            return Expr::ZERO;
        }
        let var = self.var(name);
        self.loops.push(Some((var, trip, max_trip)));
        self.blocks.push(vec![]);
        Expr::Var(var)
    }

    pub(in crate::tile) fn barrier(&mut self) {
        self.push(Stmt::Barrier);
    }

    pub(in crate::tile) fn end(&mut self) {
        if let Some(Some((var, trip, max_trip))) = self.loops.pop() {
            let body = self.blocks.pop().unwrap_or_default();
            self.push(Stmt::Loop {
                var,
                trip,
                max_trip,
                body,
            });
        }
    }
}

/// The DRAM side of an op, if it has one.
fn dram_view(kind: &mut OpKind) -> Option<&mut View> {
    match kind {
        OpKind::Load(copy) => Some(&mut copy.src),
        OpKind::Store(copy) => Some(&mut copy.dst),
        OpKind::Gather { table, .. } | OpKind::Scatter { table, .. } => Some(table),
        OpKind::PushAll(_)
        | OpKind::AllGather(_)
        | OpKind::MatMul { .. }
        | OpKind::MatMulCodes { .. }
        | OpKind::Quant { .. }
        | OpKind::Binary { .. }
        | OpKind::Int { .. }
        | OpKind::Select { .. }
        | OpKind::Unary { .. }
        | OpKind::Reduce { .. }
        | OpKind::Fill { .. }
        | OpKind::AttInit { .. }
        | OpKind::AttStep { .. }
        | OpKind::AttRound { .. }
        | OpKind::AttFin { .. } => None,
    }
}

/// Byte `offset` of a buffer.
pub(in crate::tile) fn at(buffer: BufferId, offset: impl Into<Expr>) -> View {
    View {
        place: Place::Buffer(buffer),
        offset: offset.into(),
    }
}

/// Byte `offset` of the current page of a ring.
pub(in crate::tile) fn page(ring: RingId, offset: impl Into<Expr>) -> View {
    View {
        place: Place::Page(ring),
        offset: offset.into(),
    }
}
