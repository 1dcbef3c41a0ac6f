//! Products with quantised weights, which stay codes down to the matrix unit, and activations that are rounded to codes and back.

use llmc_ir::{Node, RangeOf, ValueId};
use llmc_isa::{DType, Queue};
use llmc_tensor::DType as TensorType;

use super::build::{at, page};
use super::layout::{Columns, extent};
use super::memory::copy;
use super::vector::part;
use super::{Lower, Reason, Sram, TileParams, Value};
use crate::tile::{
    BinaryFn, CodePanels, Expr, Extent, OpKind, Operand, PANEL, Packing, QuantFn, ReduceFn, Scales,
    UnaryFn,
};

/// The tile of a quantised matrix in a page: `panels` panels of `k` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    panels: u32,
    k: u32,
}

impl Tile {
    /// All rows if a page holds them for one panel, and then as many panels as fit; else the matrix unit's width, or what of it
    /// fits, and as many rows as fit. The rows of a tile divide those of the matrix.
    fn choose(params: &TileParams, at: &CodePanels, panels: u32) -> Option<Tile> {
        let rows = at.rows();
        let fits = |panels: u32, k: u32| {
            u64::from(panels) * u64::from(at.panel_bytes(k)) <= u64::from(params.weight_page)
        };
        let width = params.panels.clamp(1, panels.max(1));
        if fits(width, rows) {
            let most = params.weight_page / at.panel_bytes(rows).max(1);
            let whole = if most >= panels {
                panels
            } else {
                most / width * width
            };
            return Some(Tile {
                panels: whole.max(1),
                k: rows,
            });
        }
        let steps = rows / at.step();
        let mut width = width;
        while width > 0 {
            let parts = (1..=steps).find(|p| steps.is_multiple_of(*p) && fits(width, rows / p));
            if let Some(parts) = parts {
                return Some(Tile {
                    panels: width,
                    k: rows / parts,
                });
            }
            width /= 2;
        }
        None
    }
}

impl Lower<'_> {
    /// A product with codes: tiles of panels are streamed with their scales and zero points.
    pub(super) fn matmul_codes(
        &mut self,
        id: ValueId,
        node: &Node,
        block: usize,
        transposed: bool,
    ) -> Result<Value, Reason> {
        let mut a = self.whole(node, 0)?;
        let codes = self.constant(node, 1)?;
        let scales = Scales {
            scale: self.constant(node, 2)?,
            zero: self.constant(node, 3)?,
        };
        let out = self.result(id, node)?;
        if a.dtype != DType::F32 {
            return Err("the left operand is not f32".into());
        }
        let columns = out.columns;
        let block = u32::try_from(block).map_err(|_| format!("blocks of {block}"))?;
        let item = self
            .weights
            .add_codes(&codes, scales, block, transposed, columns.slice());
        let item = item.map_err(|e| e.to_string())?.clone();
        let Packing::Codes(panel) = item.packing else {
            return Err("codes are packed otherwise".into());
        };
        if (panel.k, panel.n) != (a.columns.total, columns.total) {
            return Err(format!("the codes have shape {:?}", codes.shape()));
        }
        let space = crate::tile::Space::Weights(item.name.clone());
        let weight = self.build.dram(&item.name, space, item.bytes);
        if let Some(stride) = item.stride() {
            self.build.stack(weight, stride);
        }
        if panel.rows() != panel.k {
            a = self.padded(id, a, panel.rows());
        }
        let panels = columns.per_core.div_ceil(PANEL);
        let tile = Tile::choose(&self.params, &panel, panels).ok_or_else(|| {
            let bytes = panel.panel_bytes(panel.step());
            format!(
                "a page of weights is smaller than {} rows of codes, {bytes} bytes",
                panel.step()
            )
        })?;
        let tile_bytes = panel.panel_bytes(tile.k);
        let ring = self
            .build
            .ring("weights", Queue::Mxu, u64::from(tile.panels * tile_bytes));
        let turn = self.begin_columns(id, columns, tile.panels);

        let rows = panel.rows();
        let whole = i64::from(panel.panel_bytes(rows));
        let first = (columns.start_panel() + turn.index.clone() * i64::from(tile.panels)) * whole;
        let dst = out.at(turn.index * i64::from(tile.panels * PANEL));
        let group = panel.group();
        let one_tile = |lower: &mut Self, index: Expr, acc: bool| {
            let from = |offset: u32, bytes: u32| {
                at(
                    weight,
                    first.clone()
                        + Expr::from(i64::from(offset))
                        + index.clone() * i64::from(bytes),
                )
            };
            let parts = [
                panel.code_bytes(tile.k),
                panel.scale_bytes(tile.k),
                panel.zero_bytes(tile.k),
            ];
            let starts = [
                0,
                panel.code_bytes(rows),
                panel.code_bytes(rows) + panel.scale_bytes(rows),
            ];
            let mut loads = Vec::new();
            if tile.k == rows {
                let (to, from) = ((page(ring, 0), 0), (from(0, 0), 0));
                loads.push(OpKind::Load(copy(
                    to,
                    from,
                    Extent::from(1),
                    turn.panels.times(tile_bytes),
                )));
            } else {
                let mut offset = 0;
                for (bytes, start) in parts
                    .into_iter()
                    .zip(starts)
                    .filter(|(bytes, _)| *bytes > 0)
                {
                    let to = (page(ring, i64::from(offset)), tile_bytes);
                    let from = (from(start, bytes), panel.panel_bytes(rows));
                    loads.push(OpKind::Load(copy(
                        to,
                        from,
                        turn.panels.clone(),
                        Extent::from(bytes),
                    )));
                    offset += bytes;
                }
            }
            let product = OpKind::MatMulCodes {
                dst: dst.clone(),
                dst_s0: out.row(),
                a: a.at(index * i64::from(tile.k)),
                a_s0: a.row(),
                b: page(ring, 0),
                b_panel: tile_bytes,
                scale: page(ring, i64::from(parts[0])),
                scale_panel: tile_bytes,
                zero: page(ring, i64::from(parts[0] + parts[1])),
                zero_panel: tile_bytes,
                m: lower.rows.extent(),
                n: turn.columns.clone(),
                k: tile.k,
                group,
                b_type: panel.codes,
                scale_type: panel.scales,
                acc,
                zeros: panel.zeros,
            };
            lower.build.stream(ring, loads, vec![product]);
        };
        one_tile(self, Expr::ZERO, false);
        let more = rows / tile.k - 1;
        if more > 0 {
            let trip = Expr::from(i64::from(more));
            let index = self
                .build
                .begin(&format!("k{}", id.0), trip, u64::from(more));
            one_tile(self, index + Expr::Const(1), true);
            self.build.end();
        }
        self.build.end();
        Ok(Value::Sram(out))
    }

    /// The same rows with zeros up to `width` columns.
    fn padded(&mut self, id: ValueId, x: Sram, width: u32) -> Sram {
        let wide = self.scratch(&format!("v{}_padded", id.0), Columns::all(width));
        let k = x.columns.total;
        let zeros = OpKind::Fill {
            dst: Operand {
                view: wide.at(i64::from(k)),
                ..wide.operand()
            },
            n: [Extent::from(1), self.rows.extent(), Extent::from(width - k)],
            value: 0.0,
        };
        let values = OpKind::Unary {
            op: UnaryFn::Copy,
            dst: wide.operand(),
            a: x.operand(),
            n: [Extent::from(1), self.rows.extent(), Extent::from(k)],
            scale: 1.0,
            bias: 0.0,
        };
        self.build.op(Queue::Vpu, zeros);
        self.build.op(Queue::Vpu, values);
        wide
    }

    /// Rows rounded to codes with a scale and a zero point for all of them, and back.
    pub(super) fn round_trip(
        &mut self,
        id: ValueId,
        node: &Node,
        codes: TensorType,
    ) -> Result<Value, Reason> {
        let x = self.sram(node, 0)?;
        let mut by = Vec::new();
        for index in [1, 2] {
            let constant = self.constant(node, index)?;
            let tensor = constant.tensor().filter(|t| t.elements() == 1);
            let value = tensor.and_then(|t| t.to_f32_vec().first().copied());
            by.push(value.ok_or("a scale or zero point for each column is not supported yet")?);
        }
        let dtype = match codes {
            TensorType::I8 => DType::I8,
            TensorType::U8 => DType::U8,
            other => return Err(format!("codes of {} are not supported yet", other.name())),
        };
        let out = self.result(id, node)?;
        let constants = self.scratch(&format!("v{}_by", id.0), Columns::all(2));
        let mut operands = Vec::new();
        for (i, value) in by.into_iter().enumerate() {
            let one = Operand {
                view: constants.at(i as i64),
                s0: 0,
                s1: 0,
                dtype: DType::F32,
                bcast: true,
            };
            let one_element = [1, 1, 1].map(Extent::from);
            let dst = Operand {
                bcast: false,
                ..one.clone()
            };
            self.build.op(
                Queue::Vpu,
                OpKind::Fill {
                    dst,
                    n: one_element,
                    value,
                },
            );
            operands.push(one);
        }
        let a = part(x, out.columns)?;
        self.through_codes(
            id,
            (a, out),
            dtype,
            (operands[0].clone(), operands[1].clone()),
        );
        Ok(Value::Sram(out))
    }

    /// Rows rounded to 256 codes over the range of each or of all, and back.
    pub(super) fn dynamic_round_trip(
        &mut self,
        id: ValueId,
        node: &Node,
        range: RangeOf,
    ) -> Result<Value, Reason> {
        let x = self.whole(node, 0)?;
        let out = self.result(id, node)?;
        if range == RangeOf::All && u64::from(self.rows.bound) < self.rows.all {
            let all = self.rows.all;
            return Err(format!(
                "a dynamic quantisation takes its range over the {all} tokens of a launch, which do not fit the scratchpads at once: \
                 choose fewer (--prefill), or a range for each token (--dynamic-range token)"
            ));
        }
        let mut column = |name: &str| self.scratch(&format!("v{}_{name}", id.0), Columns::all(1));
        let (low, high) = (column("low"), column("high"));
        let (scale, zero) = (column("scale"), column("zero"));
        let rows = [Extent::from(1), Extent::from(1), self.rows.extent()];
        let all = |s: &Sram| Operand {
            s1: 0,
            ..s.operand()
        };
        for (op, to) in [(ReduceFn::Minr, &low), (ReduceFn::Maxr, &high)] {
            let n = self.extents(x.columns);
            let (dst, a) = (to.operand(), x.operand());
            self.build.op(Queue::Vpu, OpKind::Reduce { op, dst, a, n });
        }
        let (low, high, rows) = match range {
            RangeOf::Row => (low, high, rows),
            RangeOf::All => {
                let mut column =
                    |name: &str| self.scratch(&format!("v{}_{name}", id.0), Columns::all(1));
                let (least, most) = (column("least"), column("most"));
                let of = [
                    (ReduceFn::Minr, &least, &low),
                    (ReduceFn::Maxr, &most, &high),
                ];
                for (op, to, from) in of {
                    let (dst, a, n) = (all(to), all(from), rows.clone());
                    self.build.op(Queue::Vpu, OpKind::Reduce { op, dst, a, n });
                }
                (least, most, [1, 1, 1].map(Extent::from))
            }
        };
        let unary = |op: UnaryFn, s: &Sram, scale: f32| OpKind::Unary {
            op,
            dst: all(s),
            a: all(s),
            n: rows.clone(),
            scale,
            bias: 0.0,
        };
        let binary = |op: BinaryFn, to: &Sram, a: &Sram, b: &Sram| OpKind::Binary {
            op,
            dst: all(to),
            a: all(a),
            b: all(b),
            n: rows.clone(),
        };
        let fill = |s: &Sram, value: f32| OpKind::Fill {
            dst: all(s),
            n: rows.clone(),
            value,
        };
        let codes = Operand {
            dtype: DType::U8,
            s0: 0,
            s1: 0,
            ..zero.operand()
        };
        let kinds = [
            // The range includes 0: -min(low, 0) and max(high, 0).
            unary(UnaryFn::Relu, &low, -1.0),
            unary(UnaryFn::Relu, &high, 1.0),
            binary(BinaryFn::Add, &scale, &low, &high),
            fill(&zero, 255.0),
            binary(BinaryFn::Div, &scale, &scale, &zero),
            fill(&zero, f32::MIN_POSITIVE),
            binary(BinaryFn::Max, &scale, &scale, &zero),
            binary(BinaryFn::Div, &low, &low, &scale),
            OpKind::Unary {
                op: UnaryFn::Copy,
                dst: codes.clone(),
                a: all(&low),
                n: rows.clone(),
                scale: 1.0,
                bias: 0.0,
            },
        ];
        for kind in kinds {
            self.build.op(Queue::Vpu, kind);
        }
        let a = part(x, out.columns)?;
        let per_row = u32::from(range == RangeOf::Row);
        let scale = Operand {
            s1: per_row * scale.row(),
            bcast: true,
            ..scale.operand()
        };
        let zero = Operand {
            s1: per_row,
            bcast: true,
            ..codes
        };
        self.through_codes(id, (a, out), DType::U8, (scale, zero));
        Ok(Value::Sram(out))
    }

    /// `out = dequantise(quantise(a))`.
    fn through_codes(
        &mut self,
        id: ValueId,
        (a, out): (Operand, Sram),
        dtype: DType,
        (scale, zero): (Operand, Operand),
    ) {
        let width = out.columns.per_core;
        let bytes = u64::from(self.rows.bound) * u64::from(width);
        let buffer = self.build.sram(&format!("v{}_codes", id.0), bytes);
        let codes = Operand {
            view: at(buffer, 0),
            s0: 0,
            s1: width,
            dtype,
            bcast: false,
        };
        let n = self.extents(out.columns);
        let quantise = OpKind::Quant {
            op: QuantFn::Quantz,
            dst: codes.clone(),
            a,
            scale: scale.clone(),
            zero: zero.clone(),
            n: n.clone(),
        };
        let dequantise = OpKind::Quant {
            op: QuantFn::Dequantz,
            dst: out.operand(),
            a: codes,
            scale,
            zero,
            n,
        };
        self.build.op(Queue::Vpu, quantise);
        self.build.op(Queue::Vpu, dequantise);
    }
}

/// A turn of the loop over the columns of a product.
pub(super) struct Turn {
    /// Which tile of columns.
    pub(super) index: Expr,
    /// Its columns.
    pub(super) columns: Extent,
    /// Its panels.
    pub(super) panels: Extent,
}

impl Lower<'_> {
    /// Opens the loop over the core's columns in tiles of `panels`; the caller ends it.
    pub(super) fn begin_columns(&mut self, id: ValueId, columns: Columns, panels: u32) -> Turn {
        let width = panels * PANEL;
        let count = self
            .build
            .bind(&format!("columns{}", id.0), columns.count());
        let max_trip = u64::from(columns.per_core.div_ceil(PANEL).div_ceil(panels));
        // A single tile needs no loop: on a core without columns all its sizes are 0.
        let trip = if max_trip == 1 {
            Expr::Const(1)
        } else {
            count.clone().ceil_div(i64::from(width))
        };
        let index = self.build.begin(&format!("n{}", id.0), trip, max_trip);
        let whole_tiles = !columns.ragged && columns.per_core.is_multiple_of(width);
        let left = if max_trip == 1 {
            count
        } else if whole_tiles {
            Expr::from(i64::from(width))
        } else {
            let left = count - index.clone() * i64::from(width);
            self.build.bind(&format!("left{}", id.0), left)
        };
        Turn {
            index,
            columns: extent(width.min(columns.per_core), left.clone()),
            panels: extent(panels, left.ceil_div(i64::from(PANEL))),
        }
    }
}
