//! Rows written by index.

use llmc_ir::{Op, ScatterOp};
use llmc_isa::{DType, Queue};

use super::gather::divisor;
use super::slab::Slab;
use super::tiles::{Cut, Held, offset, transfer};
use super::{Function, Reason};
use crate::tile::lower::build::at;
use crate::tile::{BinaryFn, Expr, Extent, IntFn, OpKind, View};

/// A table that rows are written to.
#[derive(Clone, Copy)]
struct Table<'a> {
    slab: &'a Slab,
    /// Bytes of a row, and of the part of it that a tile has.
    row: u64,
    part: u64,
    rows: u32,
}

impl Function<'_> {
    /// Data with the rows that index tuples name combined with updates, one after the other.
    pub(super) fn scatter_nd(
        &mut self,
        op: &Op,
        data: &Slab,
        indices: &Slab,
        updates: &Slab,
        int: bool,
    ) -> Result<Slab, Reason> {
        let Op::ScatterNd { batch_dims, op } = op else {
            return Err("bug: this is no scatter".into());
        };
        let (list, rows, inner) = self.tuples(&data.shape(), indices, *batch_dims)?;
        let out = self.scratch(data.dtype, &data.shape());
        self.map(&out, std::slice::from_ref(data), None)?;
        let table = out
            .reshape(&[rows * inner])
            .ok_or("bug: a new value is dense")?;
        let updates = self.packed(updates)?;
        match op {
            ScatterOp::Assign => self.scatter_rows(&table, inner, &list, &updates)?,
            ScatterOp::Add | ScatterOp::Mul | ScatterOp::Max | ScatterOp::Min => {
                self.combine_rows(*op, &table, inner, &list, &updates, int)?;
            }
        }
        Ok(out)
    }

    /// Writes rows of `inner` elements at a dense list of indices. One core does it, so that the last of equal indices wins.
    pub(super) fn scatter_rows(
        &mut self,
        table: &Slab,
        inner: u64,
        list: &Slab,
        updates: &Slab,
    ) -> Result<(), Reason> {
        let (count, element) = (list.elements(), u64::from(table.dtype.bytes()));
        if count * inner == 0 {
            return Ok(());
        }
        let room = self.sram.saturating_sub(3 * 64 + 4) / element;
        let width = divisor(inner, room.max(1));
        let most = self.tile_elements(4 + width * element, 2 * 64, count)?;
        // The parts of a row follow each other in the outer loop: the order of rows is kept within each.
        let cut = Cut::sized(vec![inner / width, count], vec![1, count.min(most)], 1);
        self.barrier();
        let at_tile = cut.begin_one(self);
        let [.., n] = cut.extents(&at_tile);
        let [.., held] = cut.shape();
        let index = self.held("index", [1, 1, held], [true; 3], DType::I32);
        let first = offset(list.base, &at_tile, &[0, 4]);
        let n_list = [1.into(), 1.into(), n.clone()];
        let load = transfer(&index, list.buffer, first, [0, 0, 4], &n_list, false)?;
        self.build.op(Queue::Dma0, load);
        let rows = self.held("rows", [1, held, width as u32], [true; 3], table.dtype);
        let strides = [width * element, inner * element].map(|s| s as i64);
        let first = offset(updates.base, &at_tile, &strides);
        let far = [0, strides[1], element as i64];
        let n_rows = [1.into(), n.clone(), (width as u32).into()];
        let load = transfer(&rows, updates.buffer, first, far, &n_rows, false)?;
        self.build.op(Queue::Dma0, load);
        let place = offset(table.base, &at_tile, &[strides[0], 0]);
        let about = Table {
            slab: table,
            row: inner * element,
            part: width * element,
            rows: row_count(table, inner)?,
        };
        let store = about.scatter(at(rows.buffer, 0), at(index.buffer, 0), n, place);
        self.build.op(Queue::Dma1, store);
        self.build.end();
        Ok(())
    }

    /// Combines rows of the table with updates, one by one on one core: an index may come again.
    fn combine_rows(
        &mut self,
        op: ScatterOp,
        table: &Slab,
        inner: u64,
        list: &Slab,
        updates: &Slab,
        int: bool,
    ) -> Result<(), Reason> {
        let (count, element) = (list.elements(), u64::from(table.dtype.bytes()));
        if count * inner == 0 {
            return Ok(());
        }
        let most = self.tile_elements(2 * element, 4 * 64, inner)?;
        let width = divisor(inner, most);
        let cut = Cut::sized(vec![inner / width, count], vec![1, 1], 1);
        self.barrier();
        let at_tile = cut.begin_one(self);
        let index = self.held("index", [1; 3], [true; 3], DType::I32);
        let n = [1, 1, 1].map(Extent::from);
        let first = offset(list.base, &at_tile, &[0, 4]);
        let load = transfer(&index, list.buffer, first, [0, 0, 4], &n, false)?;
        self.build.op(Queue::Dma0, load);
        let shape = [1, 1, width as u32];
        let [old, new] = ["old", "new"].map(|name| self.held(name, shape, [true; 3], table.dtype));
        let strides = [width * element, inner * element].map(|s| s as i64);
        let first = offset(updates.base, &at_tile, &strides);
        let n = shape.map(Extent::from);
        let load = transfer(
            &new,
            updates.buffer,
            first,
            [0, 0, element as i64],
            &n,
            false,
        )?;
        self.build.op(Queue::Dma0, load);
        let about = Table {
            slab: table,
            row: inner * element,
            part: width * element,
            rows: row_count(table, inner)?,
        };
        let place = offset(table.base, &at_tile, &[strides[0], 0]);
        let gather = OpKind::Gather {
            dst: at(old.buffer, 0),
            dst_s0: about.part as u32,
            index: at(index.buffer, 0),
            index_i64: false,
            count: 1.into(),
            table: at(table.buffer, place.clone()),
            row_stride: about.row as u32,
            bytes: about.part as u32,
            rows: about.rows,
        };
        self.build.op(Queue::Dma0, gather);
        let combined = combination(op, int, &old, &new, n);
        self.build.op(Queue::Vpu, combined);
        let store = about.scatter(at(old.buffer, 0), at(index.buffer, 0), 1.into(), place);
        self.build.op(Queue::Dma1, store);
        self.build.end();
        Ok(())
    }
}

/// `old = op(old, new)`.
fn combination(op: ScatterOp, int: bool, old: &Held, new: &Held, n: [Extent; 3]) -> OpKind {
    let (float, exact) = match op {
        ScatterOp::Add | ScatterOp::Assign => (BinaryFn::Add, IntFn::Iadd),
        ScatterOp::Mul => (BinaryFn::Mul, IntFn::Imul),
        ScatterOp::Max => (BinaryFn::Max, IntFn::Imax),
        ScatterOp::Min => (BinaryFn::Min, IntFn::Imin),
    };
    let (dst, a, b) = (old.operand(), old.operand(), new.operand());
    if int {
        let op = exact;
        OpKind::Int { op, dst, a, b, n }
    } else {
        let op = float;
        OpKind::Binary { op, dst, a, b, n }
    }
}

fn row_count(table: &Slab, inner: u64) -> Result<u32, Reason> {
    let rows = table.elements() / inner;
    let bytes = inner * u64::from(table.dtype.bytes());
    match (u32::try_from(rows), u32::try_from(bytes)) {
        (Ok(rows), Ok(_)) => Ok(rows),
        _ => Err(format!(
            "a table of {rows} rows of {inner} elements is too large"
        )),
    }
}

impl Table<'_> {
    fn scatter(&self, src: View, index: View, count: Extent, place: Expr) -> OpKind {
        OpKind::Scatter {
            src,
            src_s0: self.part as u32,
            index,
            index_i64: false,
            count,
            table: at(self.slab.buffer, place),
            row_stride: self.row as u32,
            bytes: self.part as u32,
            rows: self.rows,
        }
    }
}
