//! Inputs, the embedding, position rows, the last row, all-gather and outputs.

use llmc_ir::{Dim, Node, ValueId};
use llmc_isa::{DType, Queue};
use llmc_tensor::DType as TensorType;

use super::build::at;
use super::layout::{Columns, extent};
use super::{LAUNCH_PAST, Lower, Reason, Sram, Value, chip_type};
use crate::tile::{Copy, Expr, Extent, OpKind, Operand, Packing, Space, UnaryFn, View};

/// A contiguous copy of `bytes`, or of rows `rows x bytes` if strides are given.
pub(super) fn copy(dst: (View, u32), src: (View, u32), rows: Extent, bytes: Extent) -> Copy {
    let one = || Extent::from(1);
    Copy {
        dst: dst.0,
        dst_s: [dst.1, 0, 0],
        src: src.0,
        src_s: [src.1, 0, 0],
        n: [rows, one(), one()],
        bytes,
    }
}

impl Lower<'_> {
    /// Token ids stay in DRAM until they are used; rows of floats are loaded block by block.
    pub(super) fn input(&mut self, id: ValueId, node: &Node) -> Result<Value, Reason> {
        if !node.ty.dtype.is_float() {
            return Ok(Value::Ids);
        }
        let name = self.graph.input_name(id).unwrap_or("input").to_string();
        if node.ty.dtype != TensorType::F32 {
            return Err(format!(
                "input `{name}` is {}, expected f32",
                node.ty.dtype.name()
            ));
        }
        self.check_rows_first(&node.ty)?;
        let out = self.result(id, node)?;
        let (row, whole_row) = (out.row(), out.columns.total * 4);
        let rows = self.rows.all;
        let from = self.build.dram(
            &name,
            Space::Input(name.clone()),
            rows * u64::from(whole_row),
        );
        let src = at(
            from,
            self.rows.first.clone() * i64::from(whole_row) + out.columns.start() * 4,
        );
        let bytes = out.columns.extent().times(4);
        let load = copy(
            (out.at(0), row),
            (src, whole_row),
            self.rows.extent(),
            bytes,
        );
        self.build.op(Queue::Dma1, OpKind::Load(load));
        Ok(Value::Sram(out))
    }

    /// The row block's token ids in SRAM, and whether they are i64.
    fn ids(&mut self, id: ValueId) -> Result<(crate::tile::BufferId, bool), Reason> {
        if let Some(found) = self.ids.get(&id) {
            return Ok(*found);
        }
        let wide = match self.graph.ty(id).dtype {
            TensorType::I64 => true,
            TensorType::I32 => false,
            other => return Err(format!("indices are {}, expected i32 or i64", other.name())),
        };
        if self.graph.ty(id).elements() != self.tokens.dim {
            let found = self.graph.ty(id).elements();
            return Err(format!(
                "there are `{found}` indices, expected `{}`",
                self.tokens.dim
            ));
        }
        let size: u32 = if wide { 8 } else { 4 };
        let name = self
            .graph
            .input_name(id)
            .ok_or("the indices are not an input")?
            .to_string();
        let from = self.build.dram(
            &name,
            Space::Input(name.clone()),
            self.tokens.max * u64::from(size),
        );
        let to = self
            .build
            .sram(&format!("v{}_ids", id.0), u64::from(self.mt * size));
        let src = at(from, self.rows.first.clone() * i64::from(size));
        let bytes = self.rows.extent().times(size);
        self.build.op(
            Queue::Dma1,
            OpKind::Load(copy((at(to, 0), 0), (src, 0), Extent::from(1), bytes)),
        );
        self.ids.insert(id, (to, wide));
        Ok((to, wide))
    }

    /// Rows of a constant table by token ids, or by indices in rows.
    pub(super) fn gather(
        &mut self,
        id: ValueId,
        node: &Node,
        axis: usize,
    ) -> Result<Value, Reason> {
        if let (Value::Sram(_), Value::Const(which)) = (self.value(node, 0)?, self.value(node, 1)?)
        {
            return self.gather_elements(id, node, axis, &which);
        }
        let table = self.constant(node, 0)?;
        let [rows, width @ ..] = table.shape() else {
            return Err("the table has no rows".into());
        };
        let width: usize = width.iter().product();
        let (index, index_i64, each) = match (self.value(node, 1)?, node.operands.get(1), axis) {
            (Value::Ids, Some(&indices), 0) => {
                let (index, wide) = self.ids(indices)?;
                (index, wide, 1)
            }
            (Value::Sram(s), _, 0) if s.dtype == DType::I32 && !s.columns.split => {
                (s.buffer, false, s.columns.total)
            }
            _ => return Err("only rows of a table by indices can be gathered".into()),
        };
        let columns = self.columns(&node.ty)?;
        if columns.split || columns.total as usize != width * each as usize {
            return Err("gathered rows must be whole on every core".into());
        }
        let rows = u32::try_from(*rows).map_err(|_| format!("the table has {rows} rows"))?;
        let (table, item) = self.weight(&table, Packing::Rows)?;
        let out = self.result(id, node)?;
        // The table's element type: gathered as it is, widened afterwards.
        let raw = match item.dtype {
            DType::F32 => out,
            dtype => {
                let bytes = u64::from(self.rows.bound) * u64::from(columns.total * dtype.bytes());
                let buffer = self.build.sram(&format!("v{}_raw", id.0), bytes);
                Sram::new(buffer, columns, dtype)
            }
        };
        let bytes = raw.row() / each;
        self.build.op(
            Queue::Dma1,
            OpKind::Gather {
                dst: raw.at(0),
                dst_s0: bytes,
                index: at(index, 0),
                index_i64,
                count: self.rows.extent().times(each),
                table: at(table, 0),
                row_stride: bytes,
                bytes,
                rows,
            },
        );
        if raw.dtype != DType::F32 {
            self.convert(raw, out);
        }
        Ok(Value::Sram(out))
    }

    /// Copies rows of equal columns between element types.
    pub(super) fn convert(&mut self, from: Sram, to: Sram) {
        let n = [Extent::from(1), self.rows.extent(), from.columns.extent()];
        let (dst, a) = (to.operand(), from.operand());
        self.build.op(
            Queue::Vpu,
            OpKind::Unary {
                op: UnaryFn::Copy,
                dst,
                a,
                n,
                scale: 1.0,
                bias: 0.0,
            },
        );
    }

    /// Consecutive rows of a table, from `past` on: loaded once per row block.
    pub(super) fn position_rows(
        &mut self,
        id: ValueId,
        node: &Node,
        start: &Dim,
        short: usize,
    ) -> Result<Value, Reason> {
        let table = self.constant(node, 0)?;
        let columns = self.columns(&node.ty)?;
        if columns.split || table.shape().last() != Some(&(columns.total as usize)) {
            return Err("position rows must be whole on every core".into());
        }
        let first = match (start.as_const(), *start == Dim::past()) {
            (_, true) => self.rows.position.clone(),
            (Some(c), _) => Expr::from(c) + self.rows.first.clone(),
            (None, false) => {
                return Err(format!(
                    "rows start at `{start}`, expected `{}`",
                    Dim::past()
                ));
            }
        };
        let first = match i64::try_from(short).unwrap_or(i64::MAX) {
            0 => first,
            // The table for longer contexts follows the first `short` rows.
            short => {
                let total = Expr::Launch(LAUNCH_PAST) + self.tokens.count.clone();
                let beyond = (total - Expr::from(short)).max(Expr::ZERO);
                first + beyond.min(Expr::from(1)) * short
            }
        };
        let (from, item) = self.weight(&table, Packing::Rows)?;
        let row = columns.total * item.dtype.bytes();
        let buffer = self.build.sram(
            &format!("v{}_rows", id.0),
            u64::from(self.rows.bound) * u64::from(row),
        );
        let out = Sram::new(buffer, columns, item.dtype);
        let src = at(from, first * i64::from(row));
        let bytes = self.rows.extent().times(row);
        self.build.op(
            Queue::Dma1,
            OpKind::Load(copy((out.at(0), 0), (src, 0), Extent::from(1), bytes)),
        );
        Ok(Value::Sram(out))
    }

    /// The launch's last row, which is in the last row block; runs after the loop over blocks.
    pub(super) fn last_row(&mut self, id: ValueId, node: &Node) -> Result<Value, Reason> {
        let from = self.sram(node, 0)?;
        if self.tokens.dim.is(1) {
            return Ok(Value::Sram(from));
        }
        let out = self.result(id, node)?;
        if out.columns != from.columns {
            return Err("the row lies on the cores in another way than its operand".into());
        }
        let row = (self.tokens.count.clone() - Expr::Const(1)).rem(i64::from(self.mt));
        let a = Operand {
            view: from.at(row * i64::from(from.pitch)),
            ..from.operand()
        };
        let n = [Extent::from(1), Extent::from(1), from.columns.extent()];
        let dst = out.operand();
        self.build.op(
            Queue::Vpu,
            OpKind::Unary {
                op: UnaryFn::Copy,
                dst,
                a,
                n,
                scale: 1.0,
                bias: 0.0,
            },
        );
        Ok(Value::Sram(out))
    }

    /// Each core's columns to all cores.
    pub(super) fn all_gather(&mut self, id: ValueId, node: &Node) -> Result<Value, Reason> {
        let from = self.sram(node, 0)?;
        if !from.columns.split {
            return Ok(Value::Sram(from));
        }
        let out = self.result(id, node)?;
        if out.columns != Columns::all(from.columns.total) {
            return Err("the gathered value must be whole on every core".into());
        }
        let bytes = from.columns.extent().times(4);
        let gather = copy(
            (out.at(from.columns.start()), out.row()),
            (from.at(0), from.row()),
            self.rows.extent(),
            bytes,
        );
        self.build.op(Queue::Dma1, OpKind::AllGather(gather));
        Ok(Value::Sram(out))
    }

    /// Stores a value as an output of the program; each core stores its columns, core 0 those that all have.
    pub(super) fn output(&mut self, name: &str, node: &Node, value: &Value) -> Result<(), Reason> {
        let Value::Sram(from) = value else {
            return Err(format!(
                "output `{name}` is {}, expected rows",
                value.kind()
            ));
        };
        self.check_rows_first(&node.ty)?;
        if from.dtype != chip_type(node.ty.dtype)? {
            return Err(format!("output `{name}` is {}", node.ty.dtype.name()));
        }
        let size = from.dtype.bytes();
        let whole_row = from.columns.total * size;
        let rows = self.rows.all;
        let to = self.build.dram(
            name,
            Space::Output(name.into()),
            rows * u64::from(whole_row),
        );
        let dst = at(
            to,
            (self.rows.first.clone() * i64::from(from.columns.total) + from.columns.start())
                * i64::from(size),
        );
        let bytes = from.columns.extent().times(size);
        let mut store = copy(
            (dst, whole_row),
            (from.at(0), from.row()),
            self.rows.extent(),
            bytes,
        );
        if !from.columns.split && self.cores > 1 {
            store.n[1] = extent(1, Expr::Const(1) - Expr::Core);
        }
        self.build.op(Queue::Dma1, OpKind::Store(store));
        Ok(())
    }
}
