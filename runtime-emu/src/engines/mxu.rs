//! `mxu.mm`.

use super::{Effect, elements, push_f32, put_f32, zeroed};
use crate::kernels::{Mm, PANEL};
use crate::memory::{Strided, Trap, slice, slice_mut};
use llmc_isa::inst::MxuMm;
use llmc_isa::{DType, numerics};

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
                DType::Bf16 => rows.extend(
                    elements::<u16>(bytes)?
                        .iter()
                        .map(|&b| numerics::from_bf16(b)),
                ),
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
            DType::F32 => self.kernels.mm_f32(&mut Mm {
                a: rows,
                b: elements(image)?,
                stride,
                c,
                m,
                k,
                panels,
            }),
            DType::Bf16 => self.kernels.mm_bf16(&mut Mm {
                a: rows,
                b: elements(image)?,
                stride,
                c,
                m,
                k,
                panels,
            }),
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
}
