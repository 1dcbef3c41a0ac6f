//! Matrix products with a constant: the core's columns in tiles of panels and k, streamed through the weight ring.
//!
//! Products of the same rows (queries, keys and values; gate and up) become one where a core's columns of each are fewer than
//! the matrix unit is wide: it then passes over the rows less often. Each is split over the cores by its own columns, so
//! that what reads them finds them where they would be otherwise.

use std::sync::Arc;

use llmc_ir::graph::merge_origin;
use llmc_ir::{Const, Node, Op, ValueId};
use llmc_isa::{DType, Queue};

use super::build::{at, page};
use super::layout::{Columns, extent};
use super::memory::copy;
use super::quant::Turn;
use super::{Lower, Reason, Sram, TileParams, Value, origin};
use crate::tile::{BufferId, Expr, Extent, OpKind, PANEL};

/// Rows of a k tile are a multiple of this, unless it is all of k.
const K_STEP: u32 = 64;

/// The tile of weights in a page: `panels` panels of `k` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    panels: u32,
    k: u32,
}

impl Tile {
    /// The tile for a matrix of `k` rows and `panels` panels on a core, elements of `size` bytes.
    ///
    /// All of k if the page holds that for the matrix unit's width, and then as many panels as fit; else a part of k.
    fn choose(params: &TileParams, k: u32, panels: u32, size: u32) -> Tile {
        let run = u64::from(PANEL * size);
        let page = u64::from(params.weight_page);
        let fits = |panels: u32, k: u32| u64::from(panels) * u64::from(k) * run <= page;
        let width = params.panels.clamp(1, panels.max(1));
        if fits(width, k) {
            let most = (page / (u64::from(k) * run)).min(u64::from(panels)) as u32;
            let panels = if most >= panels {
                panels
            } else {
                most / width * width
            };
            return Tile {
                panels: panels.max(1),
                k,
            };
        }
        let rows = |panels: u32| (page / (u64::from(panels) * run)) as u32 / K_STEP * K_STEP;
        // Narrower rather than less than K_STEP rows, and not narrower than that takes.
        let most = (page / (u64::from(K_STEP) * run)).max(1) as u32;
        let width = width.min(most);
        Tile {
            panels: width,
            k: rows(width).clamp(K_STEP, k.max(K_STEP)).min(k),
        }
    }
}

impl Lower<'_> {
    pub(super) fn matmul(&mut self, id: ValueId, node: &Node) -> Result<Value, Reason> {
        if let Some(together) = self.values.get(&id) {
            return Ok(together.clone());
        }
        let a = self.whole(node, 0)?;
        let weight = self.constant(node, 1)?;
        let columns = self.columns(&node.ty)?;
        let k = a.columns.total;
        if weight.shape() != [k as usize, columns.total as usize] {
            return Err(format!(
                "the weight has shape {:?}, expected [{k}, {}]",
                weight.shape(),
                columns.total
            ));
        }
        if a.dtype != DType::F32 {
            return Err("the left operand is not f32".into());
        }
        let (first, item) = self.weight(&weight, columns.panels(k))?;
        let size = item.dtype.bytes();
        let beside = self.beside(id, node, &weight, columns, size);
        let outs = match beside.is_empty() {
            true => vec![self.result(id, node)?],
            false => self.side_by_side(id, node, &beside, columns),
        };
        let mut weights = vec![first];
        for (other, weight) in &beside {
            weights.push(self.weight(weight, columns.panels(k))?.0);
            let out = outs[weights.len() - 1];
            self.values.insert(*other, Value::Sram(out));
        }
        let count = weights.len() as u32;
        let out = outs[0];
        let run = PANEL * size;
        let panels = columns.per_core.div_ceil(PANEL);
        let tile = Tile::choose(&self.params, k, panels * count, size);
        let page_bytes = u64::from(tile.panels) * u64::from(tile.k * run);
        let ring = self.build.ring("weights", Queue::Mxu, page_bytes);

        // Of several there is one tile.
        let of_each = tile.panels / count;
        let Turn {
            index: n_tile,
            columns: n,
            panels: tile_panels,
        } = self.begin_columns(id, columns, of_each);
        let n = match count {
            1 => n,
            _ => {
                // All of them where a core has columns of each, else none.
                let last = out.pitch - panels * PANEL + columns.per_core;
                let most = columns.count() * i64::from(last.div_ceil(columns.per_core));
                extent(last, most)
            }
        };

        let first_panel = columns.start_panel() + n_tile.clone() * i64::from(of_each);
        let panel_bytes = i64::from(k) * i64::from(run);
        let src = first_panel * panel_bytes;
        let dst = out.at(n_tile * i64::from(of_each * PANEL));
        let rows = self.rows.extent();
        let one_tile = |lower: &mut Self, k_index: Expr, acc: bool| {
            let k_first = k_index * i64::from(tile.k);
            let k_left = if k % tile.k == 0 {
                Expr::from(i64::from(tile.k))
            } else {
                Expr::from(i64::from(k)) - k_first.clone()
            };
            let k_extent = extent(tile.k, k_left);
            let load = |(weight, i): (&BufferId, i64)| {
                let from = at(*weight, src.clone() + k_first.clone() * i64::from(run));
                let to = page(ring, i * i64::from(of_each * tile.k * run));
                OpKind::Load(if tile.k == k {
                    let bytes = tile_panels.times(k * run);
                    copy((to, 0), (from, 0), Extent::from(1), bytes)
                } else {
                    let (to, from) = ((to, tile.k * run), (from, k * run));
                    copy(to, from, tile_panels.clone(), k_extent.times(run))
                })
            };
            let loads = weights.iter().zip(0..).map(load).collect();
            let product = OpKind::MatMul {
                dst: dst.clone(),
                dst_s0: out.row(),
                a: a.at(k_first.clone()),
                a_s0: a.row(),
                b: page(ring, 0),
                b_panel: tile.k * run,
                m: rows.clone(),
                n: n.clone(),
                k: k_extent.clone(),
                a_type: DType::F32,
                b_type: item.dtype,
                acc,
            };
            lower.build.stream(ring, loads, vec![product]);
        };
        one_tile(self, Expr::ZERO, false);
        let more = k.div_ceil(tile.k) - 1;
        if more > 0 {
            let index = self.build.begin(
                &format!("k{}", id.0),
                Expr::from(i64::from(more)),
                u64::from(more),
            );
            one_tile(self, index + Expr::Const(1), true);
            self.build.end();
        }
        self.build.end();
        Ok(Value::Sram(out))
    }

    /// The products of the same rows that are worth computing together with this one, whose weight has elements of `size` bytes.
    fn beside(
        &self,
        id: ValueId,
        node: &Node,
        weight: &Arc<Const>,
        columns: Columns,
        size: u32,
    ) -> Vec<(ValueId, Arc<Const>)> {
        let graph = self.graph;
        let turn = |id: &ValueId| self.regions.iter().position(|r| r.members.contains(id));
        let placed = |id: &ValueId| self.target.is_some_and(|(next, _)| next == *id);
        // Only where each core has as many columns as any, or none.
        if placed(&id) || !columns.total.is_multiple_of(columns.per_core) {
            return Vec::new();
        }
        let Some(rows) = node.operands.first() else {
            return Vec::new();
        };
        let products = graph.users(*rows).iter().filter_map(|user| {
            let &[left, right] = graph.operands(*user) else {
                return None;
            };
            let is_product = *graph.op(*user) == Op::MatMul && left == *rows;
            let constant = graph.as_const(right).filter(|_| is_product)?;
            Some((*user, constant.clone()))
        });
        let alike = |(other, constant): &(ValueId, Arc<Const>)| {
            *other != id
                && turn(other) == turn(&id)
                && !placed(other)
                && !self.values.contains_key(other)
                && self.columns(graph.ty(*other)) == Ok(columns)
                && constant.shape() == weight.shape()
                && (constant.dtype(), constant.turns()) == (weight.dtype(), weight.turns())
        };
        let mut found: Vec<_> = products.filter(alike).collect();
        let k = weight.shape().first().copied().unwrap_or(0) as u32;
        let (one, width) = (columns.per_core.div_ceil(PANEL), self.params.panels.max(1));
        let passes = |tile: Tile, panels: u32| k.div_ceil(tile.k) * panels.div_ceil(width);
        let alone = passes(Tile::choose(&self.params, k, one, size), one);
        let pays = |count: &u32| {
            let panels = count * one;
            let tile = Tile::choose(&self.params, k, panels, size);
            tile.panels == panels && passes(tile, panels) < count * alone
        };
        let count = (2..=1 + found.len() as u32).rev().find(pays).unwrap_or(1);
        found.truncate(count as usize - 1);
        found
    }

    /// Rows for the results of products that are computed together.
    fn side_by_side(
        &mut self,
        id: ValueId,
        node: &Node,
        beside: &[(ValueId, Arc<Const>)],
        columns: Columns,
    ) -> Vec<Sram> {
        let mut together = origin(id, node);
        for (other, _) in beside {
            merge_origin(&mut together.onnx, self.graph.origin(*other));
        }
        self.build.origin(together);
        let (count, width) = (
            1 + beside.len() as u32,
            columns.per_core.next_multiple_of(PANEL),
        );
        let pitch = width * count;
        let bytes = u64::from(self.rows.bound) * u64::from(pitch * DType::F32.bytes());
        let buffer = self.build.sram(&format!("v{}_matmul", id.0), bytes);
        let rows = |i: u32| Sram {
            first: i * width,
            pitch,
            ..Sram::new(buffer, columns, DType::F32)
        };
        (0..count).map(rows).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(weight_page: u32, width: u32, k: u32, panels: u32) -> (u32, u32) {
        let params = TileParams {
            mt: 1,
            weight_page,
            panels: width,
            kv_block: 8,
        };
        let t = Tile::choose(&params, k, panels, 4);
        assert!(t.panels * t.k * 64 <= weight_page.max(4096));
        assert!(t.k == k || t.k.is_multiple_of(64));
        (t.panels, t.k)
    }

    #[test]
    fn tiles_fill_the_page() {
        assert_eq!(tile(1 << 20, 8, 192, 12), (12, 192)); // all of it
        assert_eq!(tile(200 << 10, 8, 192, 64), (16, 192)); // whole widths of the unit
        assert_eq!(tile(64 << 10, 8, 512, 64), (8, 128)); // full width, part of k
        assert_eq!(tile(4096, 8, 512, 64), (1, 64)); // smallest
        assert_eq!(tile(16 << 10, 8, 192, 64), (4, 64));
        assert_eq!(tile(4096, 8, 40, 3), (1, 40)); // short k
    }
}
