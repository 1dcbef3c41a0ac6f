//! `mxu.*`: matrix products and the way out of the accumulators.

use super::{Effect, elements, push_f32, put_f32, zeroed};
use crate::fault::FaultKind;
use crate::kernels::{Kernels, Left, Mm, Mmq, PANEL};
use crate::memory::{Strided, Trap, slice, slice_mut};
use llmc_isa::inst::{MxuDrain, MxuMm, MxuMmq};
use llmc_isa::{DType, numerics};

/// Appends `n` elements of a packed run.
fn push_run(kernels: &Kernels, dtype: DType, bytes: &[u8], n: usize, out: &mut Vec<f32>) {
    let start = out.len();
    out.resize(start + n, 0.0);
    kernels.read_run(dtype, bytes, &mut out[start..]);
}

impl Effect<'_> {
    pub(crate) fn mxu_mm(&mut self, i: &MxuMm) -> Result<(), Trap> {
        let (m, n, k) = (i.m.n, i.n.n, i.k.n);
        if m == 0 || n == 0 || k == 0 {
            return Ok(());
        }
        let (a_size, b_size) = (u64::from(i.a_type.bytes()), u64::from(i.b_type.bytes()));
        let panels = n.div_ceil(PANEL as u32);
        let a = Strided::rows(i.a.off.into(), m, i.a_s0.into(), u64::from(k) * a_size);
        let b = Strided::rows(
            i.b.off.into(),
            panels,
            i.b_panel_stride.into(),
            u64::from(k) * PANEL as u64 * b_size,
        );
        let dst = Strided::rows(i.dst.off.into(), m, i.dst_s0.into(), u64::from(n) * 4);
        self.memory
            .sram_read(&self.who, self.core, "a", &a, a_size)?;
        self.memory
            .sram_read(&self.who, self.core, "b", &b, b_size)?;
        if i.acc {
            self.memory
                .sram_read(&self.who, self.core, "dst", &dst, 4)?;
        }
        self.memory
            .sram_write(&self.who, self.core, "dst", &dst, 4)?;
        if !self.memory.has_data() {
            return Ok(());
        }
        let (m, n, k, panels) = (m as usize, n as usize, k as usize, panels as usize);
        let sram = self.memory.sram(self.core);
        let rows = &mut self.scratch.a;
        rows.clear();
        a.each(|at| {
            let bytes = slice(sram, at, a.bytes)?;
            match i.a_type {
                DType::F32 => push_f32(rows, bytes),
                other => push_run(self.kernels, other, bytes, k, rows),
            }
            Ok::<(), Trap>(())
        })?;
        if i.b_type == DType::Bf16 && i.a_type == DType::F32 {
            for x in rows.iter_mut() {
                *x = numerics::round_bf16(*x);
            }
        }
        let c = zeroed(&mut self.scratch.c, m * panels * PANEL);
        if i.acc {
            for (r, row) in c.chunks_exact_mut(panels * PANEL).enumerate() {
                let bytes = slice(sram, dst.base + r as u64 * dst.s[2], dst.bytes)?;
                row[..n].copy_from_slice(elements::<f32>(bytes)?);
            }
        }
        let image = slice(sram, b.base, b.end() - b.base)?;
        let stride = if panels == 1 {
            0
        } else {
            i.b_panel_stride as usize / b_size as usize
        };
        match i.b_type {
            DType::F32 => {
                let b = elements(image)?;
                let g = Mm {
                    a: rows,
                    b,
                    stride,
                    c,
                    m,
                    k,
                    panels,
                };
                self.threads.mm(g, |g| self.kernels.mm_f32(g));
            }
            DType::Bf16 => {
                let b = elements(image)?;
                let g = Mm {
                    a: rows,
                    b,
                    stride,
                    c,
                    m,
                    k,
                    panels,
                };
                self.threads.mm(g, |g| self.kernels.mm_bf16(g));
            }
            other => {
                let what = format!("`mxu.mm` of {}, which does not decode", other.name());
                return Err(FaultKind::Internal(what).into());
            }
        }
        let sram = self.memory.sram_mut(self.core);
        for (r, row) in c.chunks_exact(panels * PANEL).enumerate() {
            put_f32(
                slice_mut(sram, dst.base + r as u64 * dst.s[2], dst.bytes)?,
                &row[..n],
            );
        }
        Ok(())
    }

    pub(crate) fn mxu_mmq(&mut self, i: &MxuMmq) -> Result<(), Trap> {
        let (m, n, k) = (i.m.n, i.n.n, i.k);
        if m == 0 || n == 0 || k == 0 {
            return Ok(());
        }
        let group = if i.group == 0 { k } else { i.group.into() };
        let (groups, panels) = (k / group, n.div_ceil(PANEL as u32));
        let per_panel = u64::from(groups) * PANEL as u64;
        let (codes, scales) = (
            i.b_type.size_of(u64::from(k) * PANEL as u64),
            i.scale_type.size_of(per_panel),
        );
        let a_bytes = i.a_type.size_of(k.into());
        let (a_size, scale_size) = (i.a_type.bytes().into(), i.scale_type.bytes().into());
        let a = Strided::rows(i.a.off.into(), m, i.a_s0.into(), a_bytes);
        let a_scale = Strided::run(i.a_scale.off.into(), u64::from(m) * 4);
        let b = Strided::rows(i.b.off.into(), panels, i.b_panel_stride.into(), codes);
        let panel = |base: u32, stride: u32, bytes| {
            Strided::rows(base.into(), panels, stride.into(), bytes)
        };
        let scale = panel(i.scale.off, i.scale_panel_stride, scales);
        let zero = panel(i.zero.off, i.zero_panel_stride, per_panel);
        let dst = Strided::rows(i.dst.off.into(), m, i.dst_s0.into(), u64::from(n) * 4);
        let int = i.a_type == DType::I8;
        let (memory, who, core) = (&mut *self.memory, &self.who, self.core);
        memory.sram_read(who, core, "a", &a, a_size)?;
        if int {
            memory.sram_read(who, core, "a_scale", &a_scale, 4)?;
        }
        memory.sram_read(who, core, "b", &b, 1)?;
        memory.sram_read(who, core, "scale", &scale, scale_size)?;
        if i.zeros {
            memory.sram_read(who, core, "zero", &zero, 1)?;
        }
        if i.acc {
            memory.sram_read(who, core, "dst", &dst, 4)?;
        }
        memory.sram_write(who, core, "dst", &dst, 4)?;
        if !memory.has_data() {
            return Ok(());
        }
        let sram = memory.sram(core);
        let (m, n, group, groups) = (m as usize, n as usize, group as usize, groups as usize);
        let row = panels as usize * PANEL;
        // A by groups, and the scales and zero points without gaps.
        let rows = zeroed(
            &mut self.scratch.a,
            if int { 0 } else { m * group * groups },
        );
        let mut codes = vec![0_i16; if int { m * group * groups } else { 0 }];
        let part = i.a_type.size_of(group as u64) as usize;
        for r in 0..m {
            let bytes = slice(sram, a.base + r as u64 * a.s[2], a.bytes)?;
            for (t, bytes) in bytes.chunks_exact(part).enumerate() {
                let place = (t * m + r) * group..(t * m + r + 1) * group;
                if int {
                    for (code, b) in codes[place].iter_mut().zip(bytes) {
                        *code = i16::from(*b as i8);
                    }
                } else {
                    self.kernels.read_run(i.a_type, bytes, &mut rows[place]);
                }
            }
        }
        let factors = &mut self.scratch.b;
        factors.clear();
        scale.each(|at| {
            let bytes = slice(sram, at, scale.bytes)?;
            push_run(self.kernels, i.scale_type, bytes, groups * PANEL, factors);
            Ok::<(), Trap>(())
        })?;
        let mut row_scales = Vec::new();
        if int {
            push_f32(&mut row_scales, slice(sram, a_scale.base, a_scale.bytes)?);
        }
        let mut zeros = Vec::new();
        if i.zeros {
            zero.each(|at| {
                zeros.extend(slice(sram, at, zero.bytes)?.iter().map(|b| *b as i8));
                Ok::<(), Trap>(())
            })?;
        }
        let c = zeroed(&mut self.scratch.c, m * row);
        if i.acc {
            for (r, row) in c.chunks_exact_mut(row).enumerate() {
                let bytes = slice(sram, dst.base + r as u64 * dst.s[2], dst.bytes)?;
                row[..n].copy_from_slice(elements::<f32>(bytes)?);
            }
        }
        let product = Mmq {
            a: match int {
                true => Left::Int(&codes, &row_scales),
                false => Left::Float(rows),
            },
            b: slice(sram, b.base, b.end() - b.base)?,
            stride: b.s[2] as usize,
            b_type: i.b_type,
            scales: factors,
            zeros: &zeros,
            c,
            m,
            group,
            groups,
            panels: panels as usize,
        };
        self.threads.mmq(product, |g| self.kernels.mmq(g));
        let sram = self.memory.sram_mut(self.core);
        for (r, row) in c.chunks_exact(row).enumerate() {
            put_f32(
                slice_mut(sram, dst.base + r as u64 * dst.s[2], dst.bytes)?,
                &row[..n],
            );
        }
        Ok(())
    }

    pub(crate) fn mxu_drain(&mut self, i: &MxuDrain) -> Result<(), Trap> {
        let (m, n) = (i.m.n, u64::from(i.n.n));
        if m == 0 || n == 0 {
            return Ok(());
        }
        let src = Strided::rows(i.src.off.into(), m, i.src_s0.into(), n * 4);
        let bias = Strided::run(i.bias.off.into(), n * 4);
        let scale = Strided::run(i.scale.off.into(), u64::from(m) * 4);
        let to = i.dst_type;
        let dst = Strided::rows(i.dst.off.into(), m, i.dst_s0.into(), to.size_of(n));
        let (memory, who, core) = (&mut *self.memory, &self.who, self.core);
        memory.sram_read(who, core, "src", &src, 4)?;
        if i.biased {
            memory.sram_read(who, core, "bias", &bias, 4)?;
        }
        if i.scaled {
            memory.sram_read(who, core, "scale", &scale, 4)?;
        }
        memory.sram_write(who, core, "dst", &dst, to.bytes().into())?;
        if !memory.has_data() {
            return Ok(());
        }
        let sram = memory.sram(core);
        let [rows, biases] = [&mut self.scratch.a, &mut self.scratch.b];
        let mut scales = Vec::new();
        rows.clear();
        biases.clear();
        src.each(|at| {
            push_f32(rows, slice(sram, at, src.bytes)?);
            Ok::<(), Trap>(())
        })?;
        if i.biased {
            push_f32(biases, slice(sram, bias.base, bias.bytes)?);
        }
        if i.scaled {
            push_f32(&mut scales, slice(sram, scale.base, scale.bytes)?);
        }
        let sram = memory.sram_mut(core);
        for (r, row) in rows.chunks_exact_mut(n as usize).enumerate() {
            let bias = i.biased.then_some(biases.as_slice());
            let scale = scales.get(r).copied();
            self.kernels.drain(i.act, row, bias, scale);
            let bytes = slice_mut(sram, dst.base + r as u64 * dst.s[2], dst.bytes)?;
            self.kernels.write_run(to, row, bytes);
        }
        Ok(())
    }
}
