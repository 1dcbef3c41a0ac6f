//! `vpu.*`: elementwise functions, fills and reductions over `[n0][n1][n2]` elements.

use super::{Effect, elements};
use crate::fault::FaultKind;
use crate::kernels::Kernels;
use crate::memory::{Strided, Trap, slice, slice_mut};
use llmc_isa::inst::{VpuBinary, VpuFill, VpuInt, VpuQuant, VpuReduce, VpuSelect, VpuUnary};
use llmc_isa::numerics::convert;
use llmc_isa::{DType, ReduceFn, VOp};

/// Elements worked on at a time, so that they stay in the first-level cache.
const CHUNK: usize = 1024;

/// A vector operand as rows in memory.
#[derive(Clone, Copy, PartialEq)]
struct View {
    rows: Strided,
    dtype: DType,
    bcast: bool,
    /// The rows end with whole bytes.
    whole: bool,
}

impl View {
    fn new(v: &VOp, [n0, n1, n2]: [u32; 3]) -> View {
        let elements = if v.bcast { 1 } else { n2 };
        let rows = Strided {
            base: v.addr.off.into(),
            n: [1, n0, n1],
            s: [0, v.s0.into(), v.s1.into()],
            bytes: v.dtype.size_of(elements.into()),
        };
        View {
            rows,
            dtype: v.dtype,
            bcast: v.bcast,
            whole: (u64::from(elements) * u64::from(v.dtype.bits())).is_multiple_of(8),
        }
    }

    /// Alignment of an element in bytes.
    fn size(&self) -> u64 {
        self.dtype.bytes().into()
    }

    /// True if the rows along the innermost row dimension continue each other.
    fn continues(&self) -> bool {
        let next = if self.bcast { 0 } else { self.rows.bytes };
        self.rows.n[2] == 1 || self.rows.s[2] == next && (self.bcast || self.whole)
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
enum Source<'a, T> {
    Memory(View),
    /// Read in advance, because the destination overlaps it: `[n0][n1][n2]`.
    Copy(&'a [T]),
}

/// What a lane computes in.
trait Lane: Copy + Default {
    /// Reads a packed run, one element for each of `out`.
    fn read_run(k: &Kernels, dtype: DType, bytes: &[u8], out: &mut [Self]) -> Result<(), Trap>;
    /// Writes a packed run.
    fn write_run(k: &Kernels, dtype: DType, values: &[Self], bytes: &mut [u8]);
}

impl Lane for f32 {
    fn read_run(k: &Kernels, dtype: DType, bytes: &[u8], out: &mut [f32]) -> Result<(), Trap> {
        match dtype {
            DType::F32 => {
                for (o, x) in out.iter_mut().zip(elements::<f32>(bytes)?) {
                    *o = *x;
                }
            }
            other => k.read_run(other, bytes, out),
        }
        Ok(())
    }

    fn write_run(k: &Kernels, dtype: DType, values: &[f32], bytes: &mut [u8]) {
        k.write_run(dtype, values, bytes);
    }
}

/// Operands of float types are masks here: 1 for all but 0.
impl Lane for i32 {
    fn read_run(_: &Kernels, dtype: DType, bytes: &[u8], out: &mut [i32]) -> Result<(), Trap> {
        for (i, o) in out.iter_mut().enumerate() {
            *o = match dtype.is_int() {
                true => convert::read_int(dtype, bytes, i),
                false => (convert::read(dtype, bytes, i) != 0.0).into(),
            };
        }
        Ok(())
    }

    fn write_run(_: &Kernels, dtype: DType, values: &[i32], bytes: &mut [u8]) {
        convert::write_int_run(dtype, values, bytes);
    }
}

/// Reads `out.len()` elements of the row at `at`, from element `from` on, which begins a byte.
fn read<T: Lane>(
    k: &Kernels,
    sram: &[u8],
    v: &View,
    at: u64,
    from: usize,
    out: &mut [T],
) -> Result<(), Trap> {
    let count = if v.bcast { out.len().min(1) } else { out.len() };
    let from = if v.bcast {
        0
    } else {
        v.dtype.size_of(from as u64)
    };
    let bytes = slice(sram, at + from, v.dtype.size_of(count as u64))?;
    T::read_run(k, v.dtype, bytes, &mut out[..count])?;
    if v.bcast {
        let first = out.first().copied().unwrap_or_default();
        out.fill(first);
    }
    Ok(())
}

/// Writes `values` to the row at `at`, from element `from` on, which begins a byte.
fn write<T: Lane>(
    k: &Kernels,
    sram: &mut [u8],
    v: &View,
    at: u64,
    from: usize,
    values: &[T],
) -> Result<(), Trap> {
    let from = v.dtype.size_of(from as u64);
    let bytes = slice_mut(sram, at + from, v.dtype.size_of(values.len() as u64))?;
    T::write_run(k, v.dtype, values, bytes);
    Ok(())
}

impl Effect<'_> {
    /// `dst = f(sources)` row by row; `f` gets a chunk of each source, the first of which becomes the result.
    fn elementwise<T: Lane, const N: usize>(
        &mut self,
        n: [u32; 3],
        names: [&'static str; N],
        sources: [&VOp; N],
        dst: &VOp,
        f: impl Fn(&Kernels, &mut [[T; CHUNK]; N], usize),
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
        let mut ahead: [Vec<T>; N] = std::array::from_fn(|_| Vec::new());
        for (v, copy) in views.iter().zip(&mut ahead) {
            if !v.keeps_pace(&to) {
                let rows = to.rows.n[1] as usize * to.rows.n[2] as usize;
                copy.resize(rows * len, T::default());
                let sram = self.memory.sram(self.core);
                for (row, out) in copy.chunks_exact_mut(len).enumerate() {
                    let (i, j) = (row as u32 / to.rows.n[2], row as u32 % to.rows.n[2]);
                    read(k, sram, v, v.row(i, j), 0, out)?;
                }
            }
        }
        let sources: [Source<'_, T>; N] = std::array::from_fn(|s| match ahead[s].is_empty() {
            true => Source::Memory(views[s]),
            false => Source::Copy(&ahead[s]),
        });
        let mut chunks = [[T::default(); CHUNK]; N];
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

    pub(crate) fn vpu_int(&mut self, i: &VpuInt) -> Result<(), Trap> {
        let op = i.op;
        self.elementwise(
            [i.n0.n, i.n1.n, i.n2.n],
            ["a", "b"],
            [&i.a, &i.b],
            &i.dst,
            |k, [a, b], n| {
                k.integer(op, &mut a[..n], &b[..n]);
            },
        )
    }

    pub(crate) fn vpu_select(&mut self, i: &VpuSelect) -> Result<(), Trap> {
        let n = [i.n0.n, i.n1.n, i.n2.n];
        let (names, sources) = (["a", "b", "mask"], [&i.a, &i.b, &i.mask]);
        /// The first of each three becomes the result.
        fn choose<T: Lane + PartialEq>(_: &Kernels, [a, b, mask]: &mut [[T; CHUNK]; 3], n: usize) {
            for ((a, b), mask) in a.iter_mut().zip(b).zip(mask).take(n) {
                *a = if *mask != T::default() { *a } else { *b };
            }
        }
        if [&i.dst, &i.a, &i.b].iter().all(|v| v.dtype.is_int()) {
            self.elementwise(n, names, sources, &i.dst, choose::<i32>)
        } else {
            self.elementwise(n, names, sources, &i.dst, choose::<f32>)
        }
    }

    pub(crate) fn vpu_quant(&mut self, i: &VpuQuant) -> Result<(), Trap> {
        let (op, n) = (i.op, [i.n0.n, i.n1.n, i.n2.n]);
        if op.has_zero() {
            self.elementwise(
                n,
                ["a", "scale", "zero"],
                [&i.a, &i.scale, &i.zero],
                &i.dst,
                |k, [a, scale, zero], n| {
                    k.quantise(op, &mut a[..n], &scale[..n], &zero[..n]);
                },
            )
        } else {
            self.elementwise(
                n,
                ["a", "scale"],
                [&i.a, &i.scale],
                &i.dst,
                |k, [a, scale], n| {
                    // The zero points are not looked at.
                    let scale = &scale[..n];
                    k.quantise(op, &mut a[..n], scale, scale);
                },
            )
        }
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
        let mut row = vec![0; to.rows.bytes as usize];
        let unit = match i.dst.dtype.bits() {
            // As many elements as fill bytes.
            bits @ 0..8 => &[i.value; 8][..8 / bits.max(1) as usize],
            _ => &[i.value],
        };
        let mut pattern = [0_u8; 4];
        let pattern = &mut pattern[..i.dst.dtype.bytes() as usize];
        self.kernels.write_run(i.dst.dtype, unit, pattern);
        for bytes in row.chunks_exact_mut(pattern.len()) {
            bytes.copy_from_slice(pattern);
        }
        let used = u64::from(n[2]) * u64::from(i.dst.dtype.bits()) % 8;
        if let (1.., Some(last)) = (used, row.last_mut()) {
            *last &= (1 << used) - 1;
        }
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
        // Indices are exact in integers.
        let index = match i.op {
            ReduceFn::Argmax if to.dtype.is_int() => {
                Some(Kernels::argmax as fn(&Kernels, &[f32]) -> u32)
            }
            ReduceFn::Argmin if to.dtype.is_int() => Some(Kernels::argmin as _),
            _ => None,
        };
        let mut places: Vec<i32> = Vec::new();
        from.rows.each(|at| {
            let row = if from.dtype == DType::F32 && !from.bcast {
                elements(slice(sram, at, from.rows.bytes)?)?
            } else {
                read(k, sram, &from, at, 0, row)?;
                &*row
            };
            match index {
                Some(index) => places.push(index(k, row) as i32),
                None => results.push(k.reduce(i.op, row)),
            }
            Ok::<(), Trap>(())
        })?;
        let sram = self.memory.sram_mut(self.core);
        let (mut results, mut places) = (results.iter(), places.iter());
        to.rows.each(|at| match (results.next(), places.next()) {
            (Some(&x), _) => write(k, sram, &to, at, 0, &[x]),
            (_, Some(&x)) => write(k, sram, &to, at, 0, &[x]),
            _ => Err(
                FaultKind::Internal("reduction with fewer results than rows".to_string()).into(),
            ),
        })
    }
}
