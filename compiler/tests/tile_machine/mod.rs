//! A plain interpreter of lowered tile programs, to compare them with the graph's meaning before any address or
//! semaphore is chosen: statements run one after the other, on all cores in step.

use std::collections::BTreeMap;

use llmc_compiler::tile::*;
use llmc_isa::DType;
use llmc_tensor::bf16;

/// Memory of all cores. What was never written reads as NaN.
pub struct Machine<'a> {
    program: &'a Program,
    /// DRAM, by what it holds.
    pub dram: BTreeMap<String, Vec<u8>>,
    sram: Vec<BTreeMap<Place, Vec<u8>>>,
    vars: Vec<BTreeMap<VarId, i64>>,
    launch: [i64; 2],
}

/// What core `id` knows.
struct At<'a> {
    id: usize,
    launch: [i64; 2],
    vars: &'a BTreeMap<VarId, i64>,
}

impl Scope for At<'_> {
    fn core(&self) -> i64 {
        self.id as i64
    }
    fn launch(&self, index: u16) -> i64 {
        self.launch[usize::from(index)]
    }
    fn var(&self, var: VarId) -> i64 {
        self.vars[&var]
    }
}

const POISON: u8 = 0xff;

impl<'a> Machine<'a> {
    pub fn new(
        program: &'a Program,
        dram: BTreeMap<String, Vec<u8>>,
        launch: [i64; 2],
    ) -> Machine<'a> {
        let cores = program.cores as usize;
        let mut dram = dram;
        for b in &program.buffers {
            if let Space::Output(name) = &b.space {
                dram.insert(format!("output {name}"), vec![POISON; b.bytes as usize]);
            }
        }
        Machine {
            program,
            dram,
            sram: vec![BTreeMap::new(); cores],
            vars: vec![BTreeMap::new(); cores],
            launch,
        }
    }

    pub fn run(&mut self) {
        let cores: Vec<usize> = (0..self.sram.len()).collect();
        self.block(&self.program.body, &cores);
    }

    fn eval(&self, core: usize, e: &Expr) -> i64 {
        e.eval(&At {
            id: core,
            launch: self.launch,
            vars: &self.vars[core],
        })
    }

    fn ext(&self, core: usize, e: &Extent) -> usize {
        e.effective(|c| self.eval(core, c)) as usize
    }

    fn block(&mut self, body: &[Stmt], cores: &[usize]) {
        for stmt in body {
            match stmt {
                Stmt::Loop {
                    var,
                    trip,
                    max_trip: _,
                    body,
                } => {
                    let trips: Vec<i64> = cores.iter().map(|c| self.eval(*c, trip)).collect();
                    for i in 0..trips.iter().copied().max().unwrap_or(0) {
                        let active: Vec<usize> = cores
                            .iter()
                            .zip(&trips)
                            .filter(|(_, t)| i < **t)
                            .map(|(c, _)| *c)
                            .collect();
                        active
                            .iter()
                            .for_each(|c| _ = self.vars[*c].insert(*var, i));
                        self.block(body, &active);
                    }
                }
                Stmt::Let { var, value } => {
                    for &c in cores {
                        let v = self.eval(c, value);
                        self.vars[c].insert(*var, v);
                    }
                }
                Stmt::Op(op) => cores.iter().for_each(|c| self.op(*c, op)),
                Stmt::Stream {
                    ring,
                    fill,
                    consume,
                } => {
                    for &c in cores {
                        self.sram[c].remove(&Place::Page(*ring));
                        fill.iter().chain(consume).for_each(|op| self.op(c, op));
                    }
                }
                Stmt::Barrier => {}
                Stmt::Wait { .. } | Stmt::Post { .. } | Stmt::Advance(_) => {
                    unreachable!("not synchronised yet")
                }
            }
        }
    }

    /// The bytes of a place on a core.
    fn memory(&mut self, core: usize, place: Place) -> &mut Vec<u8> {
        let (kind, name, size) = match place {
            Place::Page(r) => ("", "", self.program.rings[r.index()].page),
            Place::Buffer(b) => {
                let b = &self.program.buffers[b.index()];
                match &b.space {
                    Space::Sram => ("", "", b.bytes),
                    Space::Weights(n) => ("weights", n.as_str(), b.bytes),
                    Space::State(n) => ("state", n.as_str(), b.bytes),
                    Space::Input(n) => ("input", n.as_str(), b.bytes),
                    Space::Output(n) => ("output", n.as_str(), b.bytes),
                    Space::Scratch => ("scratch", b.name.as_str(), b.bytes),
                }
            }
        };
        if kind.is_empty() {
            return self.sram[core]
                .entry(place)
                .or_insert_with(|| vec![POISON; size as usize]);
        }
        let bytes = self.dram.get_mut(&format!("{kind} {name}")).unwrap();
        assert!(
            bytes.len() as u64 <= size,
            "{kind} {name} is larger than its buffer"
        );
        bytes
    }

    fn start(&self, core: usize, view: &View) -> (Place, usize) {
        (view.place, self.eval(core, &view.offset) as usize)
    }

    fn get(&mut self, core: usize, (place, at): (Place, usize), dtype: DType) -> f32 {
        let m = self.memory(core, place);
        match dtype {
            DType::F32 => f32::from_le_bytes([m[at], m[at + 1], m[at + 2], m[at + 3]]),
            DType::Bf16 => bf16::from_le_bytes([m[at], m[at + 1]]).to_f32(),
            other => llmc_isa::numerics::convert::read(other, &m[at..], 0),
        }
    }

    fn set(&mut self, core: usize, (place, at): (Place, usize), dtype: DType, value: f32) {
        let m = self.memory(core, place);
        match dtype {
            DType::F32 => m[at..at + 4].copy_from_slice(&value.to_le_bytes()),
            DType::Bf16 => m[at..at + 2].copy_from_slice(&bf16::from_f32(value).to_le_bytes()),
            other => {
                let end = at + other.bytes() as usize;
                llmc_isa::numerics::convert::write_run(other, &[value], &mut m[at..end]);
            }
        }
    }

    fn copy(&mut self, core: usize, c: &Copy, targets: &[usize]) {
        let (dst, src) = (self.start(core, &c.dst), self.start(core, &c.src));
        let [n0, n1, n2] = [0, 1, 2].map(|i| self.ext(core, &c.n[i]));
        let bytes = self.ext(core, &c.bytes);
        if bytes == 0 {
            return;
        }
        for (a, b, d) in cube(n0, n1, n2) {
            let at = |s: [u32; 3]| a * s[0] as usize + b * s[1] as usize + d * s[2] as usize;
            let from = src.1 + at(c.src_s);
            let run = self.memory(core, src.0)[from..from + bytes].to_vec();
            let to = dst.1 + at(c.dst_s);
            for &t in targets {
                self.memory(t, dst.0)[to..to + bytes].copy_from_slice(&run);
            }
        }
    }

    fn operand(&self, core: usize, o: &Operand, [a, b, c]: [usize; 3]) -> (Place, usize) {
        let (place, at) = self.start(core, &o.view);
        let inner = if o.bcast {
            0
        } else {
            c * o.dtype.bytes() as usize
        };
        (place, at + a * o.s0 as usize + b * o.s1 as usize + inner)
    }

    fn op(&mut self, core: usize, op: &Op) {
        let all: Vec<usize> = (0..self.sram.len()).collect();
        match &op.kind {
            OpKind::Load(c) | OpKind::Store(c) => self.copy(core, c, &[core]),
            OpKind::PushAll(c) | OpKind::AllGather(c) => self.copy(core, c, &all),
            OpKind::Gather {
                dst,
                dst_s0,
                index,
                index_i64,
                count,
                table,
                row_stride,
                bytes,
                rows,
            } => {
                let (dst, index, table) = (
                    self.start(core, dst),
                    self.start(core, index),
                    self.start(core, table),
                );
                let size = if *index_i64 { 8 } else { 4 };
                for i in 0..self.ext(core, count) {
                    let at = index.1 + i * size;
                    let row = self.memory(core, index.0)[at] as usize; // tests use small ids
                    assert!(row < *rows as usize);
                    let from = table.1 + row * *row_stride as usize;
                    let run = self.memory(core, table.0)[from..from + *bytes as usize].to_vec();
                    let to = dst.1 + i * *dst_s0 as usize;
                    self.memory(core, dst.0)[to..to + run.len()].copy_from_slice(&run);
                }
            }
            OpKind::MatMul {
                dst,
                dst_s0,
                a,
                a_s0,
                b,
                b_panel,
                m,
                n,
                k,
                a_type,
                b_type,
                acc,
            } => {
                let [dst, a, b] = [dst, a, b].map(|v| self.start(core, v));
                let [m, n, k] = [m, n, k].map(|e| self.ext(core, e));
                for (row, column, _) in cube(m, n, 1) {
                    let to = (dst.0, dst.1 + row * *dst_s0 as usize + column * 4);
                    let mut sum = if *acc {
                        self.get(core, to, DType::F32)
                    } else {
                        0.0
                    };
                    for i in 0..k {
                        let from = (
                            a.0,
                            a.1 + row * *a_s0 as usize + i * a_type.bytes() as usize,
                        );
                        let mut x = self.get(core, from, *a_type);
                        if *b_type == DType::Bf16 {
                            x = bf16::from_f32(x).to_f32();
                        }
                        let element = (i * 16 + column % 16) * b_type.bytes() as usize;
                        let w = self.get(
                            core,
                            (b.0, b.1 + column / 16 * *b_panel as usize + element),
                            *b_type,
                        );
                        sum = x.mul_add(w, sum);
                    }
                    self.set(core, to, DType::F32, sum);
                }
            }
            OpKind::Binary { op, dst, a, b, n } => {
                let [n0, n1, n2] = [0, 1, 2].map(|i| self.ext(core, &n[i]));
                for (i, j, l) in cube(n0, n1, n2) {
                    let at = [i, j, l];
                    let x = self.get(core, self.operand(core, a, at), a.dtype);
                    let y = self.get(core, self.operand(core, b, at), b.dtype);
                    let value = match op {
                        BinaryFn::Add => x + y,
                        BinaryFn::Sub => x - y,
                        BinaryFn::Mul => x * y,
                        BinaryFn::Div => x / y,
                        BinaryFn::Min => x.min(y),
                        BinaryFn::Max => x.max(y),
                        BinaryFn::Eq => f32::from(u8::from(x == y)),
                        BinaryFn::Lt => f32::from(u8::from(x < y)),
                        BinaryFn::Le => f32::from(u8::from(x <= y)),
                        other => panic!("this machine has no {}", other.name()),
                    };
                    self.set(core, self.operand(core, dst, at), dst.dtype, value);
                }
            }
            OpKind::Unary {
                op,
                dst,
                a,
                n,
                scale,
                bias,
            } => {
                let [n0, n1, n2] = [0, 1, 2].map(|i| self.ext(core, &n[i]));
                for (i, j, l) in cube(n0, n1, n2) {
                    let at = [i, j, l];
                    let x = self
                        .get(core, self.operand(core, a, at), a.dtype)
                        .mul_add(*scale, *bias);
                    let value = match op {
                        UnaryFn::Copy => x,
                        UnaryFn::Relu => x.max(0.0),
                        UnaryFn::Rsqrt => 1.0 / x.sqrt(),
                        UnaryFn::Silu => x / (1.0 + (-x).exp()),
                        UnaryFn::Tanh => x.tanh(),
                        UnaryFn::Exp => x.exp(),
                        UnaryFn::Neg => -x,
                        UnaryFn::Trunc => x.trunc(),
                        UnaryFn::Not => f32::from(u8::from(x == 0.0)),
                        UnaryFn::IsNan => f32::from(u8::from(x.is_nan())),
                        other => panic!("this machine has no {}", other.name()),
                    };
                    self.set(core, self.operand(core, dst, at), dst.dtype, value);
                }
            }
            OpKind::Reduce { op, dst, a, n } => {
                let [n0, n1, n2] = [0, 1, 2].map(|i| self.ext(core, &n[i]));
                for (i, j, _) in cube(n0, n1, 1) {
                    let all: Vec<f32> = (0..n2)
                        .map(|l| self.get(core, self.operand(core, a, [i, j, l]), a.dtype))
                        .collect();
                    let value = match op {
                        ReduceFn::Sum => all.iter().sum(),
                        ReduceFn::Maxr => all.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                        ReduceFn::Minr => all.iter().copied().fold(f32::INFINITY, f32::min),
                        ReduceFn::Sumsq => all.iter().map(|x| x * x).sum(),
                        other => panic!("this machine has no {}", other.name()),
                    };
                    self.set(core, self.operand(core, dst, [i, j, 0]), dst.dtype, value);
                }
            }
            OpKind::MatMulCodes { .. } => panic!("this machine has no products with codes"),
            OpKind::Quant {
                op,
                dst,
                a,
                scale,
                zero,
                n,
            } => {
                let [n0, n1, n2] = [0, 1, 2].map(|i| self.ext(core, &n[i]));
                for (i, j, l) in cube(n0, n1, n2) {
                    let of = [a, scale, zero]
                        .map(|o| self.get(core, self.operand(core, o, [i, j, l]), o.dtype));
                    let to = self.operand(core, dst, [i, j, l]);
                    self.set(core, to, dst.dtype, op.apply(of));
                }
            }
            OpKind::Fill { dst, n, value } => {
                let [n0, n1, n2] = [0, 1, 2].map(|i| self.ext(core, &n[i]));
                for (i, j, l) in cube(n0, n1, n2) {
                    self.set(core, self.operand(core, dst, [i, j, l]), dst.dtype, *value);
                }
            }
            OpKind::Scatter { .. } => panic!("this machine runs no function programs"),
            OpKind::Int { op, dst, a, b, n } => {
                let [n0, n1, n2] = [0, 1, 2].map(|i| self.ext(core, &n[i]));
                for (i, j, l) in cube(n0, n1, n2) {
                    let at = [i, j, l];
                    let x = self.get(core, self.operand(core, a, at), a.dtype) as i32;
                    let y = self.get(core, self.operand(core, b, at), b.dtype) as i32;
                    let value = match op {
                        IntFn::Iadd => x.wrapping_add(y),
                        IntFn::Isub => x.wrapping_sub(y),
                        IntFn::Imul => x.wrapping_mul(y),
                        IntFn::Iand => x & y,
                        IntFn::Ior => x | y,
                        IntFn::Ieq => i32::from(x == y),
                        IntFn::Ilt => i32::from(x < y),
                        other => panic!("this machine has no {}", other.name()),
                    };
                    self.set(core, self.operand(core, dst, at), dst.dtype, value as f32);
                }
            }
            OpKind::Select { dst, a, b, mask, n } => {
                let [n0, n1, n2] = [0, 1, 2].map(|i| self.ext(core, &n[i]));
                for (i, j, l) in cube(n0, n1, n2) {
                    let at = [i, j, l];
                    let shown = self.get(core, self.operand(core, mask, at), mask.dtype) != 0.0;
                    let from = if shown { a } else { b };
                    let value = self.get(core, self.operand(core, from, at), from.dtype);
                    self.set(core, self.operand(core, dst, at), dst.dtype, value);
                }
            }
            OpKind::AttInit {
                state,
                rows,
                heads,
                d,
                sink,
                sinks,
            } => {
                let (place, at) = self.start(core, state);
                let size = *d as usize + 2;
                for i in 0..self.ext(core, rows) * *heads as usize * size {
                    let value = match (i % size, *sinks) {
                        (0, false) => f32::NEG_INFINITY,
                        (0, true) => {
                            let (sink, first) = self.start(core, sink);
                            let head = i / size % *heads as usize;
                            self.get(core, (sink, first + head * 4), DType::F32)
                        }
                        (1, true) => 1.0,
                        _ => 0.0,
                    };
                    self.set(core, (place, at + i * 4), DType::F32, value);
                }
            }
            OpKind::AttStep { .. } => self.att_step(core, &op.kind),
            OpKind::AttRound { .. } => self.att_round(core, &op.kind),
            OpKind::AttFin {
                dst,
                dst_s0,
                dst_s1,
                state,
                rows,
                heads,
                d,
                weighed,
            } => {
                let (dst, state) = (self.start(core, dst), self.start(core, state));
                let size = *d as usize + 2;
                for (row, head, i) in cube(self.ext(core, rows), *heads as usize, *d as usize) {
                    let from = state.1 + (row * *heads as usize + head) * size * 4;
                    let sum = self.get(core, (state.0, from + 4), DType::F32);
                    let by = if *weighed { 1.0 } else { sum };
                    let value = self.get(core, (state.0, from + 8 + i * 4), DType::F32) / by;
                    let to = dst.1 + row * *dst_s0 as usize + head * *dst_s1 as usize + i * 4;
                    self.set(core, (dst.0, to), DType::F32, value);
                }
            }
        }
    }

    fn att_round(&mut self, core: usize, kind: &OpKind) {
        let OpKind::AttRound {
            state,
            q,
            q_s0,
            q_s1,
            k,
            k_s0,
            v,
            v_s0,
            rows,
            heads,
            d,
            kv,
            q_pos,
            kv_pos,
            by,
            causal,
            window,
            weigh,
            kv_type,
        } = kind
        else {
            return;
        };
        let [state, q, k, v, by] = [state, q, k, v, by].map(|v| self.start(core, v));
        let by: Vec<f32> = (0..10)
            .map(|i| self.get(core, (by.0, by.1 + i * 4), DType::F32))
            .collect();
        let round = |x: f32, codes: &[f32]| match codes[0] {
            0.0 => x,
            step => {
                let code = (x / step).round_ties_even() + codes[1];
                (code.clamp(codes[2], codes[3]) - codes[1]) * step
            }
        };
        let (q_pos, kv_pos) = (self.eval(core, q_pos), self.eval(core, kv_pos));
        let (rows, kv) = (self.ext(core, rows), self.ext(core, kv));
        let (d, heads, size) = (*d as usize, *heads as usize, kv_type.bytes() as usize);
        for (row, head, j) in cube(rows, heads, kv) {
            let (p, at) = (q_pos + row as i64, kv_pos + j as i64);
            if (*causal && at > p) || (*window > 0 && at <= p - i64::from(*window)) {
                continue;
            }
            let query = q.1 + row * *q_s0 as usize + head * *q_s1 as usize;
            let mut score = 0.0;
            for i in 0..d {
                let x = self.get(core, (q.0, query + i * 4), DType::F32);
                score += x * self.get(core, (k.0, k.1 + j * *k_s0 as usize + i * size), *kv_type);
            }
            score *= by[0];
            if by[1] > 0.0 {
                score = by[1] * (score / by[1]).tanh();
            }
            score = round(score, &by[2..6]);
            let base = state.1 + (row * heads + head) * (d + 2) * 4;
            let (most, sum) = ((state.0, base), (state.0, base + 4));
            let (m, l) = (
                self.get(core, most, DType::F32),
                self.get(core, sum, DType::F32),
            );
            if !*weigh {
                let new = m.max(score);
                let l = l * (m - new).exp() + (score - new).exp();
                self.set(core, most, DType::F32, new);
                self.set(core, sum, DType::F32, l);
                continue;
            }
            let weight = round((score - m).exp() / l, &by[6..10]);
            for i in 0..d {
                let to = (state.0, base + 8 + i * 4);
                let x = self.get(core, (v.0, v.1 + j * *v_s0 as usize + i * size), *kv_type);
                let sum = self.get(core, to, DType::F32) + weight * x;
                self.set(core, to, DType::F32, sum);
            }
        }
    }

    fn att_step(&mut self, core: usize, kind: &OpKind) {
        let OpKind::AttStep {
            state,
            q,
            q_s0,
            q_s1,
            k,
            k_s0,
            v,
            v_s0,
            rows,
            heads,
            d,
            kv,
            q_pos,
            kv_pos,
            scale,
            causal,
            window,
            softcap,
            kv_type,
        } = kind
        else {
            return;
        };
        let [state, q, k, v] = [state, q, k, v].map(|v| self.start(core, v));
        let (q_pos, kv_pos) = (self.eval(core, q_pos), self.eval(core, kv_pos));
        let (rows, kv, d, heads) = (
            self.ext(core, rows),
            self.ext(core, kv),
            *d as usize,
            *heads as usize,
        );
        for (row, head, j) in cube(rows, heads, kv) {
            let (p, at) = (q_pos + row as i64, kv_pos + j as i64);
            if (*causal && at > p) || (*window > 0 && at <= p - i64::from(*window)) {
                continue;
            }
            let mut score = 0.0;
            for i in 0..d {
                let x = self.get(
                    core,
                    (
                        q.0,
                        q.1 + row * *q_s0 as usize + head * *q_s1 as usize + i * 4,
                    ),
                    DType::F32,
                );
                score += x * self.get(
                    core,
                    (k.0, k.1 + j * *k_s0 as usize + i * kv_type.bytes() as usize),
                    *kv_type,
                );
            }
            score *= scale;
            if *softcap > 0.0 {
                score = softcap * (score / softcap).tanh();
            }
            let base = state.1 + (row * heads + head) * (d + 2) * 4;
            let most = self.get(core, (state.0, base), DType::F32);
            let new = most.max(score);
            let (keep, add) = ((most - new).exp(), (score - new).exp());
            self.set(core, (state.0, base), DType::F32, new);
            for i in 0..d + 1 {
                let to = (state.0, base + 4 + i * 4);
                let x = match i {
                    0 => 1.0,
                    i => {
                        let at = v.1 + j * *v_s0 as usize + (i - 1) * kv_type.bytes() as usize;
                        self.get(core, (v.0, at), *kv_type)
                    }
                };
                let sum = self.get(core, to, DType::F32) * keep + add * x;
                self.set(core, to, DType::F32, sum);
            }
        }
    }
}

fn cube(n0: usize, n1: usize, n2: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n0).flat_map(move |a| (0..n1).flat_map(move |b| (0..n2).map(move |c| (a, b, c))))
}
