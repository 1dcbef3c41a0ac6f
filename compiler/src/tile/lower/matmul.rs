//! Matrix products with a constant: the core's columns in tiles of panels and k, streamed through the weight ring.

use llmc_ir::{Node, ValueId};
use llmc_isa::{DType, Queue};

use super::build::{at, page};
use super::layout::extent;
use super::memory::copy;
use super::quant::Turn;
use super::{Lower, Reason, TileParams, Value};
use crate::tile::{Expr, Extent, OpKind, PANEL};

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
        let a = self.whole(node, 0)?;
        let weight = self.constant(node, 1)?;
        let out = self.result(id, node)?;
        let (k, columns) = (a.columns.total, out.columns);
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
        let (weight, item) = self.weight(&weight, columns.panels(k))?;
        let size = item.dtype.bytes();
        let run = PANEL * size;
        let panels = columns.per_core.div_ceil(PANEL);
        let tile = Tile::choose(&self.params, k, panels, size);
        let page_bytes = u64::from(tile.panels) * u64::from(tile.k * run);
        let ring = self.build.ring("weights", Queue::Mxu, page_bytes);

        let Turn {
            index: n_tile,
            columns: n,
            panels: tile_panels,
        } = self.begin_columns(id, columns, tile.panels);

        let first_panel = columns.start_panel() + n_tile.clone() * i64::from(tile.panels);
        let panel_bytes = i64::from(k) * i64::from(run);
        let src = first_panel * panel_bytes;
        let dst = out.at(n_tile * i64::from(tile.panels * PANEL));
        let rows = self.rows.extent();
        let one_tile = |lower: &mut Self, k_index: Expr, acc: bool| {
            let k_first = k_index * i64::from(tile.k);
            let k_left = if k % tile.k == 0 {
                Expr::from(i64::from(tile.k))
            } else {
                Expr::from(i64::from(k)) - k_first.clone()
            };
            let k_extent = extent(tile.k, k_left);
            let from = at(weight, src.clone() + k_first.clone() * i64::from(run));
            let load = if tile.k == k {
                copy(
                    (page(ring, 0), 0),
                    (from, 0),
                    Extent::from(1),
                    tile_panels.times(k * run),
                )
            } else {
                let strides = (tile.k * run, k * run);
                copy(
                    (page(ring, 0), strides.0),
                    (from, strides.1),
                    tile_panels.clone(),
                    k_extent.times(run),
                )
            };
            let product = OpKind::MatMul {
                dst: dst.clone(),
                dst_s0: out.row(),
                a: a.at(k_first),
                a_s0: a.row(),
                b: page(ring, 0),
                b_panel: tile.k * run,
                m: rows.clone(),
                n: n.clone(),
                k: k_extent,
                a_type: DType::F32,
                b_type: item.dtype,
                acc,
            };
            lower
                .build
                .stream(ring, vec![OpKind::Load(load)], vec![product]);
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
