//! `dma.*`: copies between DRAM and SRAM and between cores.

use super::{Effect, targets};
use crate::fault::FaultKind;
use crate::memory::{Strided, Trap, slice, slice_mut};
use llmc_isa::IndexType;
use llmc_isa::inst::{DmaGather, DmaLoad, DmaPush, DmaScatter, DmaStore};

/// The table row that entry `position` of an index list chooses.
fn indexed(index_type: IndexType, list: &[u8], position: u32, rows: u32) -> Result<u64, FaultKind> {
    let size = index_type.bytes() as usize;
    let raw = list.chunks_exact(size).nth(position as usize);
    let value = match (index_type, raw) {
        (IndexType::I32, Some(&[a, b, c, d])) => i64::from(i32::from_le_bytes([a, b, c, d])),
        (IndexType::I64, Some(&[a, b, c, d, e, f, g, h])) => {
            i64::from_le_bytes([a, b, c, d, e, f, g, h])
        }
        _ => {
            let what = "index list of odd length".to_string();
            return Err(FaultKind::Internal(what));
        }
    };
    match u64::try_from(value) {
        Ok(row) if row < u64::from(rows) => Ok(row),
        _ => Err(FaultKind::Index {
            position,
            index: value,
            rows,
        }),
    }
}

impl Effect<'_> {
    pub(crate) fn dma_load(&mut self, i: &DmaLoad) -> Result<(), Trap> {
        let (n, bytes) = ([i.n0.n, i.n1.n, i.n2.n], u64::from(i.bytes.n));
        if n.contains(&0) || bytes == 0 {
            return Ok(());
        }
        let src = Strided {
            base: i.src.off,
            n,
            s: [i.src_s0, i.src_s1, i.src_s2].map(u64::from),
            bytes,
        };
        let dst = Strided {
            base: i.dst.off.into(),
            n,
            s: [i.dst_s0, i.dst_s1, i.dst_s2].map(u64::from),
            bytes,
        };
        self.memory.dram_read(&self.who, "src", &src)?;
        self.memory
            .sram_write(&self.who, self.core, "dst", &dst, 1)?;
        self.memory.load(self.core, &dst, &src)
    }

    pub(crate) fn dma_store(&mut self, i: &DmaStore) -> Result<(), Trap> {
        let (n, bytes) = ([i.n0.n, i.n1.n, i.n2.n], u64::from(i.bytes.n));
        if n.contains(&0) || bytes == 0 {
            return Ok(());
        }
        let src = Strided {
            base: i.src.off.into(),
            n,
            s: [i.src_s0, i.src_s1, i.src_s2].map(u64::from),
            bytes,
        };
        let dst = Strided {
            base: i.dst.off,
            n,
            s: [i.dst_s0, i.dst_s1, i.dst_s2].map(u64::from),
            bytes,
        };
        self.memory
            .sram_read(&self.who, self.core, "src", &src, 1)?;
        self.memory.dram_write(&self.who, "dst", &dst)?;
        self.memory.store(self.core, &dst, &src)
    }

    pub(crate) fn dma_push(&mut self, i: &DmaPush) -> Result<(), Trap> {
        let targets = targets(i.scope, i.core, self.core, self.cores)?;
        let (n, bytes) = ([i.n0.n, i.n1.n, i.n2.n], u64::from(i.bytes.n));
        if n.contains(&0) || bytes == 0 {
            return Ok(());
        }
        let src = Strided {
            base: i.src.off.into(),
            n,
            s: [i.src_s0, i.src_s1, i.src_s2].map(u64::from),
            bytes,
        };
        let dst = Strided {
            base: i.dst.off.into(),
            n,
            s: [i.dst_s0, i.dst_s1, i.dst_s2].map(u64::from),
            bytes,
        };
        self.memory
            .sram_read(&self.who, self.core, "src", &src, 1)?;
        for target in targets.clone() {
            self.memory.sram_write(&self.who, target, "dst", &dst, 1)?;
        }
        if !self.memory.has_data() {
            return Ok(());
        }
        let n64 = n.map(u64::from);
        let dense = Strided {
            base: 0,
            n,
            s: [n64[1] * n64[2] * bytes, n64[2] * bytes, bytes],
            bytes,
        };
        let packet = &mut self.scratch.bytes;
        packet.clear();
        packet.resize(dense.end() as usize, 0);
        let sram = self.memory.sram(self.core);
        Strided::pairs(&dense, &src, |d, s, len| {
            slice_mut(packet, d, len)?.copy_from_slice(slice(sram, s, len)?);
            Ok::<(), Trap>(())
        })?;
        for target in targets {
            let sram = self.memory.sram_mut(target);
            Strided::pairs(&dst, &dense, |d, s, len| {
                slice_mut(sram, d, len)?.copy_from_slice(slice(packet, s, len)?);
                Ok::<(), Trap>(())
            })?;
        }
        Ok(())
    }

    pub(crate) fn dma_gather(&mut self, i: &DmaGather) -> Result<(), Trap> {
        let (count, bytes) = (i.count.n, u64::from(i.bytes));
        if count == 0 || bytes == 0 {
            return Ok(());
        }
        let size = u64::from(i.index_type.bytes());
        let index = Strided::run(i.index.off.into(), u64::from(count) * size);
        let dst = Strided::rows(i.dst.off.into(), count, i.dst_s0.into(), bytes);
        self.memory
            .sram_read(&self.who, self.core, "index", &index, size)?;
        if !self.memory.has_data() {
            return self.memory.sram_write(&self.who, self.core, "dst", &dst, 1);
        }
        let list = slice(self.memory.sram(self.core), index.base, index.bytes)?.to_vec();
        self.memory
            .sram_write(&self.who, self.core, "dst", &dst, 1)?;
        for position in 0..count {
            let row = indexed(i.index_type, &list, position, i.rows)?;
            let at = i
                .table
                .off
                .saturating_add(row.saturating_mul(i.row_stride.into()));
            let src = Strided::run(at, bytes);
            self.memory.dram_read(&self.who, "table", &src)?;
            let to = Strided::run(dst.base + u64::from(position) * dst.s[2], bytes);
            self.memory.load(self.core, &to, &src)?;
        }
        Ok(())
    }

    pub(crate) fn dma_scatter(&mut self, i: &DmaScatter) -> Result<(), Trap> {
        let (count, bytes) = (i.count.n, u64::from(i.bytes));
        if count == 0 || bytes == 0 {
            return Ok(());
        }
        let size = u64::from(i.index_type.bytes());
        let index = Strided::run(i.index.off.into(), u64::from(count) * size);
        let src = Strided::rows(i.src.off.into(), count, i.src_s0.into(), bytes);
        self.memory
            .sram_read(&self.who, self.core, "index", &index, size)?;
        self.memory
            .sram_read(&self.who, self.core, "src", &src, 1)?;
        if !self.memory.has_data() {
            return Ok(());
        }
        let list = slice(self.memory.sram(self.core), index.base, index.bytes)?.to_vec();
        for position in 0..count {
            let row = indexed(i.index_type, &list, position, i.rows)?;
            let at = i
                .table
                .off
                .saturating_add(row.saturating_mul(i.row_stride.into()));
            let dst = Strided::run(at, bytes);
            self.memory.dram_write(&self.who, "table", &dst)?;
            let from = Strided::run(src.base + u64::from(position) * src.s[2], bytes);
            self.memory.store(self.core, &dst, &from)?;
        }
        Ok(())
    }
}
