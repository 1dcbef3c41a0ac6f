//! `vpu.*`: elementwise functions, fills and reductions over `[n0][n1][n2]` elements.

use super::{Effect, elements, put_f32};
use crate::fault::FaultKind;
use crate::kernels::Kernels;
use crate::memory::{Strided, Trap, slice, slice_mut};
use llmc_isa::inst::{VpuBinary, VpuFill, VpuReduce, VpuUnary};
use llmc_isa::{DType, VOp, numerics};

/// Elements worked on at a time, so that they stay in the first-level cache.
const CHUNK: usize = 1024;

/// A vector operand as rows in memory.
#[derive(Clone, Copy, PartialEq)]
struct View {
    rows: Strided,
    dtype: DType,
    bcast: bool,
}

impl View {
    fn new(v: &VOp, [n0, n1, n2]: [u32; 3]) -> View {
        let elements = if v.bcast { 1 } else { n2 };
        let rows = Strided {
            base: v.addr.off.into(),
            n: [1, n0, n1],
            s: [0, v.s0.into(), v.s1.into()],
            bytes: u64::from(elements) * u64::from(v.dtype.bytes()),
        };
        View {
            rows,
            dtype: v.dtype,
            bcast: v.bcast,
        }
    }

    fn size(&self) -> u64 {
        self.dtype.bytes().into()
    }

    /// True if the rows along the innermost row dimension continue each other.
    fn continues(&self) -> bool {
        self.rows.n[2] == 1 || self.rows.s[2] == if self.bcast { 0 } else { self.rows.bytes }
    }

    /// The innermost row dimension as part of the row.
    fn joined(mut self) -> View {
        if !self.bcast {
            self.rows.bytes *= u64::from(self.rows.n[2]);
        }
        self.rows.n = [1, 1, self.rows.n[1]];
        self.rows.s = [0, 0, self.rows.s[1]];
        self
    }

    /// True if reading this view element by element while writing `dst` gives what reading it first would give.
    fn keeps_pace(&self, dst: &View) -> bool {
        let (a, b) = (&self.rows, &dst.rows);
        if a.end() <= b.base || b.end() <= a.base {
            return true;
        }
        let apart = (b.n[2] == 1 || b.s[2] >= b.bytes)
            && (b.n[1] == 1 || b.s[1] >= b.s[2] * u64::from(b.n[2] - 1) + b.bytes);
        self == dst && apart
    }

    fn row(&self, i: u32, j: u32) -> u64 {
        self.rows.base + u64::from(i) * self.rows.s[1] + u64::from(j) * self.rows.s[2]
    }
}

/// A source of an elementwise instruction.
enum Source<'a> {
    Memory(View),
    /// Read in advance, because the destination overlaps it: `[n0][n1][n2]`.
    Copy(&'a [f32]),
}

/// Reads `out.len()` elements of the row at `at`, from element `from` on.
fn read(
    k: &Kernels,
    sram: &[u8],
    v: &View,
    at: u64,
    from: usize,
    out: &mut [f32],
) -> Result<(), Trap> {
    let count = if v.bcast { 1 } else { out.len() };
    let from = if v.bcast { 0 } else { from as u64 };
    let bytes = slice(sram, at + from * v.size(), count as u64 * v.size())?;
    match v.dtype {
        DType::F32 => {
            for (o, x) in out.iter_mut().zip(elements::<f32>(bytes)?) {
                *o = *x;
            }
        }
        DType::Bf16 => k.widen(elements(bytes)?, out),
    }
    if v.bcast {
        let first = out.first().copied().unwrap_or(0.0);
        out.fill(first);
    }
    Ok(())
}

/// Writes `values` to the row at `at`, from element `from` on.
fn write(
    k: &Kernels,
    sram: &mut [u8],
    v: &View,
    at: u64,
    from: usize,
    values: &[f32],
) -> Result<(), Trap> {
    let bytes = slice_mut(
        sram,
        at + from as u64 * v.size(),
        values.len() as u64 * v.size(),
    )?;
    match v.dtype {
        DType::F32 => put_f32(bytes, values),
        DType::Bf16 => {
            let mut half = [0_u16; CHUNK];
            for (bytes, values) in bytes.chunks_mut(CHUNK * 2).zip(values.chunks(CHUNK)) {
                k.narrow(values, &mut half[..values.len()]);
                for (b, h) in bytes.chunks_exact_mut(2).zip(half) {
                    b.copy_from_slice(&h.to_le_bytes());
                }
            }
        }
    }
    Ok(())
}

impl Effect<'_> {
    /// `dst = f(sources)` row by row; `f` gets a chunk of each source, the first of which becomes the result.
    fn elementwise<const N: usize>(
        &mut self,
        n: [u32; 3],
        names: [&'static str; N],
        sources: [&VOp; N],
        dst: &VOp,
        f: impl Fn(&Kernels, &mut [[f32; CHUNK]; N], usize),
    ) -> Result<(), Trap> {
        if n.contains(&0) {
            return Ok(());
        }
        let mut views: [View; N] = sources.map(|v| View::new(v, n));
        let mut to = View::new(dst, n);
        for (v, name) in views.iter().zip(names) {
            self.memory
                .sram_read(&self.who, self.core, name, &v.rows, v.size())?;
        }
        self.memory
            .sram_write(&self.who, self.core, "dst", &to.rows, to.size())?;
        if !self.memory.has_data() {
            return Ok(());
        }
        let mut len = n[2] as usize;
        for _ in 0..2 {
            if to.continues() && views.iter().all(View::continues) {
                len *= to.rows.n[2] as usize;
                to = to.joined();
                views = views.map(View::joined);
            }
        }
        let k = self.kernels;
        // Sources that the destination overlaps are read in advance.
        let mut ahead: [Vec<f32>; N] = std::array::from_fn(|_| Vec::new());
        for (v, copy) in views.iter().zip(&mut ahead) {
            if !v.keeps_pace(&to) {
                let rows = to.rows.n[1] as usize * to.rows.n[2] as usize;
                copy.resize(rows * len, 0.0);
                let sram = self.memory.sram(self.core);
                for (row, out) in copy.chunks_exact_mut(len).enumerate() {
                    let (i, j) = (row as u32 / to.rows.n[2], row as u32 % to.rows.n[2]);
                    read(k, sram, v, v.row(i, j), 0, out)?;
                }
            }
        }
        let sources: [Source<'_>; N] = std::array::from_fn(|s| match ahead[s].is_empty() {
            true => Source::Memory(views[s]),
            false => Source::Copy(&ahead[s]),
        });
        let mut chunks = [[0.0_f32; CHUNK]; N];
        let sram = self.memory.sram_mut(self.core);
        let mut row = 0;
        for i in 0..to.rows.n[1] {
            for j in 0..to.rows.n[2] {
                for from in (0..len).step_by(CHUNK) {
                    let count = CHUNK.min(len - from);
                    for (source, chunk) in sources.iter().zip(&mut chunks) {
                        let chunk = &mut chunk[..count];
                        match source {
                            Source::Memory(v) => read(k, sram, v, v.row(i, j), from, chunk)?,
                            Source::Copy(all) => {
                                chunk.copy_from_slice(&all[row * len + from..][..count])
                            }
                        }
                    }
                    f(k, &mut chunks, count);
                    write(k, sram, &to, to.row(i, j), from, &chunks[0][..count])?;
                }
                row += 1;
            }
        }
        Ok(())
    }

    pub(crate) fn vpu_unary(&mut self, i: &VpuUnary) -> Result<(), Trap> {
        let (op, scale, bias) = (i.op, i.scale, i.bias);
        self.elementwise(
            [i.n0.n, i.n1.n, i.n2.n],
            ["a"],
            [&i.a],
            &i.dst,
            |k, [a], n| {
                k.unary(op, &mut a[..n], scale, bias);
            },
        )
    }

    pub(crate) fn vpu_binary(&mut self, i: &VpuBinary) -> Result<(), Trap> {
        let op = i.op;
        self.elementwise(
            [i.n0.n, i.n1.n, i.n2.n],
            ["a", "b"],
            [&i.a, &i.b],
            &i.dst,
            |k, [a, b], n| {
                k.binary(op, &mut a[..n], &b[..n]);
            },
        )
    }

    pub(crate) fn vpu_fill(&mut self, i: &VpuFill) -> Result<(), Trap> {
        let n = [i.n0.n, i.n1.n, i.n2.n];
        if n.contains(&0) {
            return Ok(());
        }
        let to = View::new(&i.dst, n);
        self.memory
            .sram_write(&self.who, self.core, "dst", &to.rows, to.size())?;
        if !self.memory.has_data() {
            return Ok(());
        }
        let row = match i.dst.dtype {
            DType::F32 => i.value.to_le_bytes().repeat(n[2] as usize),
            DType::Bf16 => numerics::to_bf16(i.value)
                .to_le_bytes()
                .repeat(n[2] as usize),
        };
        let sram = self.memory.sram_mut(self.core);
        to.rows.each(|at| {
            slice_mut(sram, at, to.rows.bytes)?.copy_from_slice(&row);
            Ok::<(), Trap>(())
        })
    }

    pub(crate) fn vpu_reduce(&mut self, i: &VpuReduce) -> Result<(), Trap> {
        let n = [i.n0.n, i.n1.n, i.n2.n];
        if n.contains(&0) {
            return Ok(());
        }
        let (from, to) = (View::new(&i.a, n), View::new(&i.dst, [n[0], n[1], 1]));
        self.memory
            .sram_read(&self.who, self.core, "a", &from.rows, from.size())?;
        self.memory
            .sram_write(&self.who, self.core, "dst", &to.rows, to.size())?;
        if !self.memory.has_data() {
            return Ok(());
        }
        let k = self.kernels;
        let sram = self.memory.sram(self.core);
        let row = super::zeroed(&mut self.scratch.a, n[2] as usize);
        let results = &mut self.scratch.c;
        results.clear();
        from.rows.each(|at| {
            if from.dtype == DType::F32 && !from.bcast {
                results.push(k.reduce(i.op, elements(slice(sram, at, from.rows.bytes)?)?));
            } else {
                read(k, sram, &from, at, 0, row)?;
                results.push(k.reduce(i.op, row));
            }
            Ok::<(), Trap>(())
        })?;
        let sram = self.memory.sram_mut(self.core);
        let mut results = results.iter();
        to.rows.each(|at| match results.next() {
            Some(&x) => write(k, sram, &to, at, 0, &[x]),
            None => Err(
                FaultKind::Internal("reduction with fewer results than rows".to_string()).into(),
            ),
        })
    }
}
