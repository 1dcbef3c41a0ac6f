//! `att.*`: streaming attention.

use super::{Effect, elements, push_f32, put_f32, zeroed};
use crate::kernels::{AttRound, AttStep, Kernels, Visible};
use crate::memory::{Strided, Trap, slice, slice_mut};
use llmc_isa::DType;
use llmc_isa::access::{ROUND_BY_BYTES, kv_row_bytes};
use llmc_isa::inst::{AttFin, AttInit, AttRound as AttRoundInst, AttStep as AttStepInst};

/// The state of `rows x heads` running softmaxes.
fn state(base: u32, rows: u32, heads: u16, d: u16) -> Strided {
    Strided::run(
        base.into(),
        u64::from(rows) * u64::from(heads) * (u64::from(d) + 2) * 4,
    )
}

/// Alignment of a row of keys or values in bytes. Codes have their scale in line, which is what must be aligned.
fn kv_align(kv_type: DType) -> u64 {
    u64::from(match kv_type.is_int() {
        true => 4,
        false => kv_type.bytes(),
    })
}

/// The f32 elements of all runs of `from`.
fn read_rows(sram: &[u8], from: &Strided, to: &mut Vec<f32>) -> Result<(), Trap> {
    to.clear();
    from.each(|at| {
        push_f32(to, slice(sram, at, from.bytes)?);
        Ok(())
    })
}

/// Elements of a row of keys or values: floats widened, codes times the scale that follows them.
fn widen_row(kernels: &Kernels, kv_type: DType, row: &[u8], out: &mut [f32]) {
    kernels.read_run(kv_type, row, out);
    if let (true, Some(&[a, b, c, d])) = (kv_type.is_int(), row.last_chunk::<4>()) {
        let scale = f32::from_le_bytes([a, b, c, d]);
        for x in out {
            *x *= scale;
        }
    }
}

/// All rows of keys or values, `row` bytes each, as dense f32 rows of `d`.
fn widen(
    kernels: &Kernels,
    kv_type: DType,
    sram: &[u8],
    (rows, row): (&Strided, u64),
    d: usize,
) -> Result<Vec<f32>, Trap> {
    let mut wide = vec![0.0_f32; rows.n.iter().map(|n| *n as usize).product::<usize>() * d];
    let mut out = wide.chunks_exact_mut(d);
    rows.each(|at| match out.next() {
        Some(out) => {
            widen_row(kernels, kv_type, slice(sram, at, row)?, out);
            Ok(())
        }
        None => Ok::<(), Trap>(()),
    })?;
    Ok(wide)
}

impl Effect<'_> {
    pub(crate) fn att_init(&mut self, i: &AttInit) -> Result<(), Trap> {
        if i.rows.n == 0 || i.heads == 0 || i.d == 0 {
            return Ok(());
        }
        let state = state(i.state.off, i.rows.n, i.heads, i.d);
        let sink = Strided::run(i.sink.off.into(), u64::from(i.heads) * 4);
        if i.sinks {
            self.memory
                .sram_read(&self.who, self.core, "sink", &sink, 4)?;
        }
        self.memory
            .sram_write(&self.who, self.core, "state", &state, 4)?;
        if !self.memory.has_data() {
            return Ok(());
        }
        // The running maximum and sum of each head.
        let starts = &mut self.scratch.a;
        starts.clear();
        match i.sinks {
            true => push_f32(
                starts,
                slice(self.memory.sram(self.core), sink.base, sink.bytes)?,
            ),
            false => starts.resize(i.heads.into(), f32::NEG_INFINITY),
        }
        let sum = if i.sinks { 1.0 } else { 0.0 };
        let bytes = slice_mut(self.memory.sram_mut(self.core), state.base, state.bytes)?;
        bytes.fill(0);
        let each = bytes.chunks_exact_mut((usize::from(i.d) + 2) * 4);
        for (one, start) in each.zip(starts.iter().cycle()) {
            put_f32(&mut one[..8], &[*start, sum]);
        }
        Ok(())
    }

    pub(crate) fn att_step(&mut self, i: &AttStepInst) -> Result<(), Trap> {
        let (rows, heads, d, kv) = (i.rows.n, i.heads, i.d, i.kv.n);
        if rows == 0 || heads == 0 || d == 0 || kv == 0 {
            return Ok(());
        }
        let size = kv_align(i.kv_type);
        let row = u64::from(kv_row_bytes(i.kv_type, d));
        let state = state(i.state.off, rows, heads, d);
        let q = Strided {
            base: i.q.off.into(),
            n: [1, rows, heads.into()],
            s: [0, i.q_s0.into(), i.q_s1.into()],
            bytes: u64::from(d) * 4,
        };
        let k = Strided::rows(i.k.off.into(), kv, i.k_s0.into(), row);
        let v = Strided::rows(i.v.off.into(), kv, i.v_s0.into(), row);
        self.memory.sram_read(&self.who, self.core, "q", &q, 4)?;
        self.memory.sram_read(&self.who, self.core, "k", &k, size)?;
        self.memory.sram_read(&self.who, self.core, "v", &v, size)?;
        self.memory
            .sram_read(&self.who, self.core, "state", &state, 4)?;
        self.memory
            .sram_write(&self.who, self.core, "state", &state, 4)?;
        if !self.memory.has_data() {
            return Ok(());
        }
        let sram = self.memory.sram(self.core);
        let (queries, sums) = (&mut self.scratch.a, &mut self.scratch.b);
        read_rows(sram, &q, queries)?;
        read_rows(sram, &state, sums)?;
        let scores = zeroed(&mut self.scratch.c, kv as usize);
        let keys = slice(sram, k.base, k.end() - k.base)?;
        let values = slice(sram, v.base, v.end() - v.base)?;
        let visible = Visible {
            q_pos: i.q_pos.off.into(),
            kv_pos: i.kv_pos.off.into(),
            causal: i.causal,
            window: i.window,
            kv_first: i.kv_first.off.into(),
        };
        macro_rules! step {
            ($kernel:ident, $k:expr, $k_stride:expr, $v:expr, $v_stride:expr) => {
                self.kernels.$kernel(&mut AttStep {
                    q: queries,
                    k: $k,
                    k_stride: $k_stride,
                    v: $v,
                    v_stride: $v_stride,
                    state: sums,
                    rows: rows as usize,
                    heads: heads.into(),
                    d: d.into(),
                    kv: kv as usize,
                    visible,
                    scale: i.scale,
                    softcap: i.softcap,
                    scores,
                })
            };
        }
        match i.kv_type {
            DType::F32 => {
                let strides = [&k, &v].map(|x| (x.s[2] / size) as usize);
                let (keys, values) = (elements(keys)?, elements(values)?);
                step!(att_f32, keys, strides[0], values, strides[1]);
            }
            DType::Bf16 => {
                let strides = [&k, &v].map(|x| (x.s[2] / size) as usize);
                let (keys, values) = (elements(keys)?, elements(values)?);
                step!(att_bf16, keys, strides[0], values, strides[1]);
            }
            narrow => {
                let d = usize::from(d);
                let [keys, values] =
                    [&k, &v].map(|rows| widen(self.kernels, narrow, sram, (rows, row), d));
                step!(att_f32, &keys?, d, &values?, d);
            }
        }
        put_f32(
            slice_mut(self.memory.sram_mut(self.core), state.base, state.bytes)?,
            sums,
        );
        Ok(())
    }

    pub(crate) fn att_round(&mut self, i: &AttRoundInst) -> Result<(), Trap> {
        let (rows, heads, d, kv) = (i.rows.n, i.heads, i.d, i.kv.n);
        if rows == 0 || heads == 0 || d == 0 || kv == 0 {
            return Ok(());
        }
        let size = kv_align(i.kv_type);
        let row = u64::from(kv_row_bytes(i.kv_type, d));
        let state = state(i.state.off, rows, heads, d);
        let by = Strided::run(i.by.off.into(), ROUND_BY_BYTES);
        let q = Strided {
            base: i.q.off.into(),
            n: [1, rows, heads.into()],
            s: [0, i.q_s0.into(), i.q_s1.into()],
            bytes: u64::from(d) * 4,
        };
        let k = Strided::rows(i.k.off.into(), kv, i.k_s0.into(), row);
        let v = Strided::rows(i.v.off.into(), kv, i.v_s0.into(), row);
        let mut reads = vec![
            ("by", &by, 4),
            ("q", &q, 4),
            ("k", &k, size),
            ("state", &state, 4),
        ];
        if i.weigh {
            reads.push(("v", &v, size));
        }
        for (name, place, align) in reads {
            self.memory
                .sram_read(&self.who, self.core, name, place, align)?;
        }
        self.memory
            .sram_write(&self.who, self.core, "state", &state, 4)?;
        if !self.memory.has_data() {
            return Ok(());
        }
        let sram = self.memory.sram(self.core);
        let (queries, sums) = (&mut self.scratch.a, &mut self.scratch.b);
        read_rows(sram, &q, queries)?;
        read_rows(sram, &state, sums)?;
        let numbers = &mut self.scratch.c;
        numbers.clear();
        push_f32(numbers, slice(sram, by.base, by.bytes)?);
        let wide = |rows: &Strided| widen(self.kernels, i.kv_type, sram, (rows, row), d.into());
        let values = match i.weigh {
            true => Some(wide(&v)?),
            false => None,
        };
        AttRound {
            q: queries,
            k: &wide(&k)?,
            v: values.as_deref(),
            state: sums,
            heads: heads.into(),
            d: d.into(),
            visible: Visible {
                q_pos: i.q_pos.off.into(),
                kv_pos: i.kv_pos.off.into(),
                causal: i.causal,
                window: i.window,
                kv_first: i.kv_first.off.into(),
            },
            by: numbers,
        }
        .run();
        put_f32(
            slice_mut(self.memory.sram_mut(self.core), state.base, state.bytes)?,
            sums,
        );
        Ok(())
    }

    pub(crate) fn att_fin(&mut self, i: &AttFin) -> Result<(), Trap> {
        let (rows, heads, d) = (i.rows.n, i.heads, usize::from(i.d));
        if rows == 0 || heads == 0 || d == 0 {
            return Ok(());
        }
        let state = state(i.state.off, rows, heads, i.d);
        let dst = Strided {
            base: i.dst.off.into(),
            n: [1, rows, heads.into()],
            s: [0, i.dst_s0.into(), i.dst_s1.into()],
            bytes: d as u64 * 4,
        };
        self.memory
            .sram_read(&self.who, self.core, "state", &state, 4)?;
        self.memory
            .sram_write(&self.who, self.core, "dst", &dst, 4)?;
        if !self.memory.has_data() {
            return Ok(());
        }
        let sums = &mut self.scratch.a;
        sums.clear();
        push_f32(
            sums,
            slice(self.memory.sram(self.core), state.base, state.bytes)?,
        );
        let sram = self.memory.sram_mut(self.core);
        let mut all = sums.chunks_exact_mut(d + 2);
        dst.each(|at| {
            let Some((l, acc)) = all.next().and_then(|one| one[1..].split_first_mut()) else {
                return Ok(());
            };
            for a in acc.iter_mut() {
                *a = match (i.weighed, *l == 0.0) {
                    (true, _) => *a,
                    (false, true) => 0.0,
                    (false, false) => *a / *l,
                };
            }
            put_f32(slice_mut(sram, at, dst.bytes)?, acc);
            Ok::<(), Trap>(())
        })
    }
}
