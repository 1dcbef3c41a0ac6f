//! Which tile sizes to try, best first.

use llmc_ir::{Graph, Op};
use llmc_isa::Chip;

use super::access::PANEL;
use super::lower::{TileParams, max_rows};

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
    let position = graph.iter().filter_map(row).max().unwrap_or(1) * KV_SLOTS;
    let most = (sram_bytes / KV_SHARE / position).clamp(1, u64::from(MAX_KV_BLOCK)) as u32;
    1 << most.ilog2()
}

/// Pages of the KV ring that its share is meant for.
const KV_SLOTS: u64 = 2;

/// A weight page takes at most one part in this many of the scratchpad; a ring has a few pages.
const PAGE_SHARE: u64 = 16;

/// Most rows of a block.
const MAX_ROWS: u64 = 256;

/// Tile sizes for an entry, in descending preference: more rows in a block first (each block streams all weights
/// again), then larger weight pages. `compile` takes the first whose buffers fit the scratchpad; the last one is the
/// smallest there is, and so what it lacks is what the chip lacks.
pub fn candidates(graph: &Graph, chip: &Chip) -> Vec<TileParams> {
    let panels = (chip.mxu_cols() / u64::from(PANEL)).clamp(1, 64) as u32;
    list(
        max_rows(graph),
        chip.sram_bytes(),
        panels,
        kv_block(graph, chip.sram_bytes()),
    )
}

fn list(tokens: u64, sram_bytes: u64, panels: u32, kv_block: u32) -> Vec<TileParams> {
    let mut rows = vec![tokens.clamp(1, MAX_ROWS) as u32];
    while let Some(&last) = rows.last()
        && last > 1
    {
        rows.push(last.next_power_of_two() / 2);
    }
    let largest = (sram_bytes / PAGE_SHARE).clamp(u64::from(MIN_PAGE), u64::from(MAX_PAGE)) as u32;
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
        kv_block,
    };
    rows.iter()
        .flat_map(|mt| pages.iter().map(|page| params(*mt, *page)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_shrink_to_the_smallest() {
        let all = list(24, 128 << 10, 8, 16);
        let sizes: Vec<_> = all.iter().map(|p| (p.mt, p.weight_page)).collect();
        assert_eq!(sizes[..3], [(24, 8192), (24, 4096), (16, 8192)]);
        assert_eq!(sizes.last(), Some(&(1, 4096)));
        assert_eq!(list(1, 1 << 30, 8, 16)[0].weight_page, MAX_PAGE);
    }

    #[test]
    fn kv_blocks_are_powers_of_two_within_their_share() {
        let text = "graph \"g\" {\n  state s0 \"k\" f32[1, 2, 64, 32]\n  input %0 \"q\" f32[1, seq, 64]\n  \
            input %1 \"n\" f32[1, seq, 64]\n  %2 : f32[1, 2, past + seq, 32] = append s0, %1\n  \
            %3 : f32[1, seq, 64] = attention %0, %2, %2 {heads=2, kv_heads=2, head_dim=32, scale=1.0, causal=true}\n}\n";
        let graph = llmc_ir::parse_graph(text).unwrap();
        assert_eq!(
            [32, 64, 512, 4096].map(|kib| kv_block(&graph, kib << 10)),
            [8, 16, 128, 128]
        );
    }
}
