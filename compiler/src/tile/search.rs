//! Which tile sizes to try, best first.

use llmc_ir::{Graph, Op, Symbol};
use llmc_isa::Chip;

use super::access::PANEL;
use super::lower::TileParams;

/// Least bytes of a weight page: one panel of 64 rows of f32.
const MIN_PAGE: u32 = 4096;

/// Most bytes of a weight page; larger ones only fill the pipeline later.
const MAX_PAGE: u32 = 256 << 10;

/// Most positions of a KV block.
const MAX_KV_BLOCK: u32 = 128;

/// Share of the scratchpad that the KV ring may take: one part in this many.
const KV_SHARE: u64 = 8;

/// Positions of a KV block, a power of two: as large as the KV ring's share of the scratchpad allows.
///
/// It depends only on the chip and the shape of attention, which the entries of a model have in common: so they agree.
pub fn kv_block(graph: &Graph, sram_bytes: u64) -> u32 {
    let row = |(_, n): (_, &llmc_ir::Node)| match n.op {
        Op::Attention { head_dim, .. } => Some(head_dim as u64 * 4 * 2),
        _ => None,
    };
    let position = graph.iter().filter_map(row).max().unwrap_or(1) * u64::from(SLOTS);
    let most = (sram_bytes / KV_SHARE / position).clamp(1, u64::from(MAX_KV_BLOCK)) as u32;
    1 << most.ilog2()
}

/// Pages of every ring.
const SLOTS: u32 = 2;

/// Tile sizes for an entry, in descending preference: more rows in a block first (each block streams all weights
/// again), then larger weight pages. `compile` takes the first whose buffers fit the scratchpad; the last one is the
/// smallest there is, and so what it lacks is what the chip lacks.
pub fn candidates(graph: &Graph, chip: &Chip) -> Vec<TileParams> {
    let tokens = graph.bounds.get(&Symbol::new(Symbol::SEQ)).copied().unwrap_or(1);
    let tokens = u32::try_from(tokens).unwrap_or(u32::MAX).max(1);
    let panels = (chip.mxu_cols() / u64::from(PANEL)).clamp(1, 64) as u32;
    list(graph, tokens, chip.sram_bytes(), panels)
}

fn list(graph: &Graph, tokens: u32, sram_bytes: u64, panels: u32) -> Vec<TileParams> {
    let kv_block = kv_block(graph, sram_bytes);
    let mut rows = vec![tokens.min(MAX_ROWS)];
    while let Some(&last) = rows.last()
        && last > 1
    {
        rows.push(if last.is_power_of_two() { last / 2 } else { 1 << last.ilog2() });
    }
    let largest = u32::try_from(sram_bytes / 4 / u64::from(SLOTS)).unwrap_or(MAX_PAGE).clamp(MIN_PAGE, MAX_PAGE);
    let mut pages = vec![1 << largest.ilog2()];
    while let Some(&last) = pages.last()
        && last > MIN_PAGE
    {
        pages.push(last / 2);
    }
    let params = |mt: u32, weight_page: u32| TileParams {
        mt,
        weight_page,
        panels,
        weight_slots: SLOTS,
        kv_block,
        kv_slots: SLOTS,
        vector_slots: SLOTS,
    };
    rows.iter().flat_map(|mt| pages.iter().map(|page| params(*mt, *page))).collect()
}

/// Most rows of a block.
const MAX_ROWS: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_shrink_to_the_smallest() {
        let all = list(&Graph::new("g"), 24, 64 << 10, 8);
        let sizes: Vec<_> = all.iter().map(|p| (p.mt, p.weight_page)).collect();
        assert_eq!(sizes[..3], [(24, 8192), (24, 4096), (16, 8192)]);
        assert_eq!(sizes.last(), Some(&(1, 4096)));
        assert!(all.iter().all(|p| p.kv_block == all[0].kv_block));
    }
}
