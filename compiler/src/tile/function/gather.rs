//! Rows by index: gathers and scatters.

use llmc_isa::{DType, Queue};

use super::slab::Slab;
use super::tiles::{Cut, offset, transfer};
use super::{Function, Reason};
use crate::tile::lower::build::at;
use crate::tile::{IntFn, OpKind};

/// The largest divisor of `n` that is at most `most`.
pub(super) fn divisor(n: u64, most: u64) -> u64 {
    (1..=n.min(most).max(1))
        .rev()
        .find(|d| n.is_multiple_of(*d))
        .unwrap_or(1)
}

impl Function<'_> {
    /// The dim `axis` of data replaced by the dims of the indices.
    pub(super) fn gather(
        &mut self,
        data: &Slab,
        indices: &Slab,
        axis: usize,
        shape: &[u64],
    ) -> Result<Slab, Reason> {
        let size = |dims: &[u64]| dims.iter().product::<u64>();
        let dims = data.shape();
        let table = [size(&dims[..axis]), dims[axis], size(&dims[axis + 1..])];
        let index = self.index_list(indices, dims[axis])?;
        self.rows_of(data, table, &index, shape)
    }

    /// Indices as a dense list, those that count from the end made positive.
    fn index_list(&mut self, indices: &Slab, rows: u64) -> Result<Slab, Reason> {
        let rows = i32::try_from(rows).map_err(|_| format!("{rows} rows are too many"))?;
        let count = indices.elements();
        let list = self.elementwise(&[indices], &indices.shape(), DType::I32, &move |t| {
            let (a, dst) = (t.args[0].clone(), t.dst.clone());
            let (zero, rows) = (t.integer(0), t.integer(rows));
            let below = t.temp(DType::I32);
            t.int(IntFn::Ilt, &below, &a, &zero);
            t.int(IntFn::Imul, &below, &below, &rows);
            t.int(IntFn::Iadd, &dst, &a, &below);
        })?;
        list.reshape(&[count])
            .ok_or_else(|| "bug: a new value is dense".into())
    }

    /// Rows of a table `[outer][rows][inner]` by a dense list of indices, for each outer index.
    fn rows_of(
        &mut self,
        data: &Slab,
        [outer, rows, inner]: [u64; 3],
        index: &Slab,
        shape: &[u64],
    ) -> Result<Slab, Reason> {
        let data = self.packed(data)?;
        let count = index.elements();
        let out = self.scratch(data.dtype, shape);
        if out.elements() == 0 {
            return Ok(out);
        }
        self.barrier();
        let element = u64::from(data.dtype.bytes());
        let row = self.sram.saturating_sub(3 * 64 + 4) / element;
        let width = divisor(inner, row.max(1));
        let most = self.tile_elements(4 + width * element, 2 * 64, outer * count)?;
        let n = vec![outer, count, inner];
        let cut = Cut::sized(n, vec![1, count.min(most), width], 2);
        let dense = [count * inner, inner, 1].map(|s| (s * element) as i64);

        let at_tile = cut.begin(self);
        let [_, e_count, e_width] = cut.extents(&at_tile);
        let [_, rows_held, _] = cut.shape();
        let list = self.held("index", [1, 1, rows_held], [true; 3], DType::I32);
        let first = offset(index.base, &at_tile, &[0, 4, 0]);
        let n = [1.into(), 1.into(), e_count.clone()];
        let load = transfer(&list, index.buffer, first, [0, 0, 4], &n, false)?;
        self.build.op(Queue::Dma0, load);
        let tile = self.held("rows", cut.shape(), [true; 3], data.dtype);
        let stride = [rows * inner, 0, 1].map(|s| (s * element) as i64);
        let too_large = |_| format!("a table of {rows} rows of {inner} elements is too large");
        self.build.op(
            Queue::Dma0,
            OpKind::Gather {
                dst: at(tile.buffer, 0),
                dst_s0: (width * element) as u32,
                index: at(list.buffer, 0),
                index_i64: false,
                count: e_count.clone(),
                table: at(data.buffer, offset(data.base, &at_tile, &stride)),
                row_stride: u32::try_from(inner * element).map_err(too_large)?,
                bytes: (width * element) as u32,
                rows: u32::try_from(rows).map_err(too_large)?,
            },
        );
        let first = offset(out.base, &at_tile, &dense);
        let n = [1.into(), e_count, e_width];
        let store = transfer(&tile, out.buffer, first, [0, dense[1], dense[2]], &n, true)?;
        self.build.op(Queue::Dma1, store);
        self.build.end();
        Ok(out)
    }

    /// Index tuples of the last dim, behind `batch` dims in common with data, as indices into the rows that they name: a dense list.
    /// Also the number of rows, and the elements of one.
    pub(super) fn tuples(
        &mut self,
        data: &[u64],
        indices: &Slab,
        batch: usize,
    ) -> Result<(Slab, u64, u64), Reason> {
        let rank = indices.dims.len() - 1;
        let length = indices.dim(rank).n as usize;
        let shape = indices.shape()[..rank].to_vec();
        let named = batch + length;
        let rows: u64 = data[..named].iter().product();
        let inner: u64 = data[named..].iter().product();
        // Per named dim: its extent and the rows that one step takes.
        let mut dims: Vec<(i32, i32)> = Vec::new();
        for i in 0..named {
            let step: u64 = data[i + 1..named].iter().product();
            let small = |n: u64| i32::try_from(n).map_err(|_| format!("{rows} rows are too many"));
            dims.push((small(data[i])?, small(step)?));
        }
        let mut ins = Vec::new();
        for (i, (n, step)) in dims[..batch].iter().enumerate() {
            let iota = self.iota(*n as u64, i64::from(*step))?;
            let mut aligned = vec![1; rank];
            aligned[i] = *n as u64;
            ins.push(iota.reshape(&aligned).ok_or("bug: an iota is dense")?);
        }
        for i in 0..length {
            let mut one = indices.slice(rank, i as i64, 1, 1);
            one.dims.pop();
            ins.push(one);
        }
        let refs: Vec<&Slab> = ins.iter().collect();
        let list = self.elementwise(&refs, &shape, DType::I32, &move |t| {
            let dst = t.dst.clone();
            let (zero, term) = (t.integer(0), t.temp(DType::I32));
            let sum = t.temp(DType::I32);
            t.int(IntFn::Iand, &sum, &zero, &zero);
            for (i, (n, step)) in dims.iter().enumerate() {
                let a = t.args[i].clone();
                if i < batch {
                    t.int(IntFn::Iadd, &sum, &sum, &a);
                    continue;
                }
                let (n, step) = (t.integer(*n), t.integer(*step));
                t.int(IntFn::Ilt, &term, &a, &zero);
                t.int(IntFn::Imul, &term, &term, &n);
                t.int(IntFn::Iadd, &term, &term, &a);
                t.int(IntFn::Imul, &term, &term, &step);
                t.int(IntFn::Iadd, &sum, &sum, &term);
            }
            t.int(IntFn::Ior, &dst, &sum, &sum);
        })?;
        let count = list.elements();
        let list = list.reshape(&[count]).ok_or("bug: a new value is dense")?;
        Ok((list, rows, inner))
    }

    pub(super) fn gather_nd(
        &mut self,
        data: &Slab,
        indices: &Slab,
        batch: usize,
        shape: &[u64],
    ) -> Result<Slab, Reason> {
        let (list, rows, inner) = self.tuples(&data.shape(), indices, batch)?;
        self.rows_of(data, [1, rows, inner], &list, shape)
    }
}
