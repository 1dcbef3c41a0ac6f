//! Hand-made programs for the tests of the backend.

use crate::tile::*;
use llmc_isa::{DType, Queue};

/// Builds a [`Program`] statement by statement.
pub struct Build {
    /// The program so far; statements of open loops are in `blocks`.
    pub program: Program,
    blocks: Vec<Vec<Stmt>>,
}

impl Build {
    /// An empty program named `test` with launch registers `tokens` (at most 8) and `past` (at most 24).
    pub fn new(cores: u32) -> Build {
        let launch = [("tokens", 8), ("past", 24)]
            .map(|(name, max)| Launch {
                name: name.into(),
                max,
            })
            .to_vec();
        let origins = vec![Origin {
            node: "%1 test".into(),
            onnx: vec!["node_test".into()],
        }];
        let program = Program {
            name: "test".into(),
            cores,
            launch,
            vars: vec![],
            buffers: vec![],
            rings: vec![],
            origins,
            body: vec![],
        };
        Build {
            program,
            blocks: vec![],
        }
    }

    fn buffer(&mut self, name: &str, space: Space, bytes: u64) -> BufferId {
        self.program.buffers.push(Buffer {
            name: name.into(),
            space,
            bytes,
            addr: None,
        });
        BufferId(self.program.buffers.len() as u32 - 1)
    }

    pub fn sram(&mut self, name: &str, bytes: u64) -> BufferId {
        self.buffer(name, Space::Sram, bytes)
    }

    pub fn weights(&mut self, name: &str, bytes: u64) -> BufferId {
        self.buffer(name, Space::Weights(name.into()), bytes)
    }

    pub fn state(&mut self, name: &str, bytes: u64) -> BufferId {
        self.buffer(name, Space::State(name.into()), bytes)
    }

    pub fn output(&mut self, name: &str, bytes: u64) -> BufferId {
        self.buffer(name, Space::Output(name.into()), bytes)
    }

    pub fn ring(&mut self, name: &str, consumer: Queue, page: u64) -> RingId {
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

    pub fn var(&mut self, name: &str) -> VarId {
        self.program.vars.push(name.into());
        VarId(self.program.vars.len() as u32 - 1)
    }

    pub fn buffer_id(&self, name: &str) -> BufferId {
        BufferId(
            self.program
                .buffers
                .iter()
                .position(|b| b.name == name)
                .unwrap() as u32,
        )
    }

    pub fn stmt(&mut self, stmt: Stmt) {
        self.blocks
            .last_mut()
            .unwrap_or(&mut self.program.body)
            .push(stmt);
    }

    pub fn op(&mut self, (queue, kind): (Queue, OpKind)) {
        self.stmt(Stmt::Op(Op {
            queue,
            kind,
            origin: OriginId(0),
        }));
    }

    pub fn stream(
        &mut self,
        ring: RingId,
        fill: Vec<(Queue, OpKind)>,
        consume: Vec<(Queue, OpKind)>,
    ) {
        let ops = |list: Vec<(Queue, OpKind)>| {
            list.into_iter()
                .map(|(queue, kind)| Op {
                    queue,
                    kind,
                    origin: OriginId(0),
                })
                .collect()
        };
        self.stmt(Stmt::Stream {
            ring,
            fill: ops(fill),
            consume: ops(consume),
        });
    }

    pub fn looped(&mut self, var: &str, trip: u32, body: impl FnOnce(&mut Build)) {
        self.loop_to(var, Expr::from(i64::from(trip)), trip.into(), |b, _| {
            body(b)
        });
    }

    pub fn loop_to(
        &mut self,
        var: &str,
        trip: Expr,
        max_trip: u64,
        body: impl FnOnce(&mut Build, VarId),
    ) {
        let var = self.var(var);
        self.blocks.push(vec![]);
        body(self, var);
        let body = self.blocks.pop().unwrap();
        self.stmt(Stmt::Loop {
            var,
            trip,
            max_trip,
            body,
        });
    }

    /// Places SRAM (1 MiB) and DRAM.
    pub fn placed(mut self) -> Program {
        crate::alloc::place_sram(&mut self.program, 1 << 20).unwrap();
        let mut at = 0;
        for buffer in self
            .program
            .buffers
            .iter_mut()
            .filter(|b| b.space != Space::Sram)
        {
            buffer.addr = Some(at);
            at += buffer.bytes.next_multiple_of(64);
        }
        self.program
    }
}

/// Byte `offset` of a buffer.
pub fn at(buffer: BufferId, offset: impl Into<Expr>) -> View {
    View {
        place: Place::Buffer(buffer),
        offset: offset.into(),
    }
}

/// Byte `offset` of the current page.
pub fn page(ring: RingId, offset: impl Into<Expr>) -> View {
    View {
        place: Place::Page(ring),
        offset: offset.into(),
    }
}

fn operand(view: View) -> Operand {
    Operand {
        view,
        s0: 0,
        s1: 0,
        dtype: DType::F32,
        bcast: false,
    }
}

fn flat(n: u32) -> [Extent; 3] {
    [1.into(), 1.into(), n.into()]
}

fn bytes(dst: View, src: View, bytes: u32) -> Copy {
    Copy {
        dst,
        dst_s: [0; 3],
        src,
        src_s: [0; 3],
        n: [1, 1, 1].map(Extent::from),
        bytes: bytes.into(),
    }
}

/// `vpu`: `n` floats of `dst` become a constant.
pub fn fill(dst: BufferId, n: u32) -> (Queue, OpKind) {
    (
        Queue::Vpu,
        OpKind::Fill {
            dst: operand(at(dst, 0)),
            n: flat(n),
            value: 1.0,
        },
    )
}

/// `vpu`: `dst = src`, `n` floats.
pub fn copy(dst: BufferId, src: BufferId, n: u32) -> (Queue, OpKind) {
    copy_view(at(dst, 0), at(src, 0), n)
}

/// `vpu`: `dst = src`, `n` floats.
pub fn copy_view(dst: View, a: View, n: u32) -> (Queue, OpKind) {
    let kind = OpKind::Unary {
        op: UnaryFn::Copy,
        dst: operand(dst),
        a: operand(a),
        n: flat(n),
        scale: 1.0,
        bias: 0.0,
    };
    (Queue::Vpu, kind)
}

/// `vpu`: `dst = a + b`, `n` floats.
pub fn add(dst: BufferId, a: BufferId, b: BufferId, n: u32) -> (Queue, OpKind) {
    let [dst, a, b] = [dst, a, b].map(|x| operand(at(x, 0)));
    (
        Queue::Vpu,
        OpKind::Binary {
            op: BinaryFn::Add,
            dst,
            a,
            b,
            n: flat(n),
        },
    )
}

/// `dma0`: `n` bytes from DRAM.
pub fn load(dst: View, src: View, n: u32) -> (Queue, OpKind) {
    (Queue::Dma0, OpKind::Load(bytes(dst, src, n)))
}

/// `dma1`: `n` bytes to DRAM.
pub fn store(dst: View, src: View, n: u32) -> (Queue, OpKind) {
    (Queue::Dma1, OpKind::Store(bytes(dst, src, n)))
}

/// `dma1`: every core's `n` bytes at `src` go to byte `core * n` of `dst` on all cores.
pub fn all_gather(dst: BufferId, src: BufferId, n: u32) -> (Queue, OpKind) {
    (
        Queue::Dma1,
        OpKind::AllGather(bytes(at(dst, Expr::Core * i64::from(n)), at(src, 0), n)),
    )
}

/// `mxu`: one row by one panel of 16 columns: `dst[1,16] = a[1,k] x b[k,16]`.
pub fn matmul(dst: View, a: View, b: View, k: u32) -> (Queue, OpKind) {
    let kind = OpKind::MatMul {
        dst,
        dst_s0: 64,
        a,
        a_s0: 4 * k,
        b,
        b_panel: 64 * k,
        m: 1.into(),
        n: 16.into(),
        k: k.into(),
        a_type: DType::F32,
        b_type: DType::F32,
        acc: false,
    };
    (Queue::Mxu, kind)
}

/// Picks from a list of bytes, 0 once they are used up.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n.max(1)
    }

    fn done(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}

/// A placed program of random ops, loops, streams and all-gathers. Only what has been written is read.
pub fn random_program(choices: &[u8], cores: u32) -> Program {
    let mut c = Choices(choices.iter());
    let mut b = Build::new(cores);
    let small: Vec<BufferId> = (0..2 + c.below(5))
        .map(|i| b.sram(&format!("s{i}"), 64))
        .collect();
    let wide: Vec<BufferId> = (0..2)
        .map(|i| b.sram(&format!("g{i}"), u64::from(cores) * 64))
        .collect();
    let states: Vec<BufferId> = (0..2)
        .map(|i| b.state(&format!("kv{i}"), u64::from(cores) * 64))
        .collect();
    let weights = b.weights("w", 8 * 1024);
    let rings = [
        b.ring("mxu_pages", Queue::Mxu, 1024),
        b.ring("vpu_pages", Queue::Vpu, 64),
    ];
    let mut pool = Pool {
        small,
        wide,
        states,
        weights,
        rings,
    };
    b.op(fill(pool.small[0], 16));
    let written = vec![pool.small[0]];
    random_block(&mut c, &mut b, &mut pool, written, 0);
    b.placed()
}

struct Pool {
    small: Vec<BufferId>,
    wide: Vec<BufferId>,
    states: Vec<BufferId>,
    weights: BufferId,
    rings: [RingId; 2],
}

fn random_block(
    c: &mut Choices,
    b: &mut Build,
    pool: &mut Pool,
    mut written: Vec<BufferId>,
    depth: usize,
) {
    for _ in 0..1 + c.below(8) {
        if c.done() {
            return;
        }
        let (dst, wide, state) = (
            pool.small[c.below(pool.small.len())],
            pool.wide[c.below(2)],
            pool.states[c.below(2)],
        );
        let (src, other) = (
            written[c.below(written.len())],
            written[c.below(written.len())],
        );
        let mine = || at(state, Expr::Core * 64);
        match c.below(10) {
            0 => b.op(fill(dst, 16)),
            1 => b.op(copy(dst, src, 16)),
            2 => b.op(add(dst, src, other, 16)),
            3 => b.op(load(at(dst, 0), mine(), 64)),
            4 => {
                b.op(store(mine(), at(src, 0), 64));
                continue;
            }
            5 => {
                b.op(all_gather(wide, src, 64));
                b.op(copy_view(
                    at(dst, 0),
                    at(wide, i64::from(b.program.cores - 1) * 64),
                    16,
                ));
            }
            6 => {
                let matrix = pool.matrix(b, c);
                b.op(matmul(at(dst, 0), at(src, 0), at(matrix, 0), 16));
            }
            7 => {
                let fill = load(page(pool.rings[0], 0), at(pool.weights, 0), 1024);
                b.stream(
                    pool.rings[0],
                    vec![fill],
                    vec![matmul(at(dst, 0), at(src, 0), page(pool.rings[0], 0), 16)],
                );
            }
            8 => {
                let fill = load(page(pool.rings[1], 0), mine(), 64);
                b.stream(
                    pool.rings[1],
                    vec![fill],
                    vec![copy_view(at(dst, 0), page(pool.rings[1], 0), 16)],
                );
            }
            _ if depth < 3 => {
                let trips = [
                    Expr::from(2),
                    Expr::from(6),
                    Expr::Launch(0),
                    Expr::Launch(0) - Expr::from(2),
                    Expr::Launch(1).div(5),
                ];
                let trip = trips[c.below(trips.len())].clone();
                // What the body writes may not be written at all, so it does not count after the loop.
                b.loop_to("i", trip, 8, |b, _| {
                    random_block(c, b, pool, written.clone(), depth + 1)
                });
                continue;
            }
            _ => continue,
        }
        if !written.contains(&dst) {
            written.push(dst);
        }
    }
}

impl Pool {
    /// A matrix in SRAM, loaded here.
    fn matrix(&mut self, b: &mut Build, c: &mut Choices) -> BufferId {
        let id = b.sram(&format!("m{}", b.program.buffers.len()), 1024);
        b.op(load(
            at(id, 0),
            at(self.weights, 1024 * c.below(8) as i64),
            1024,
        ));
        id
    }
}
