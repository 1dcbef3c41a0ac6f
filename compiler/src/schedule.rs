//! Schedule: how far loads run ahead of the engines that consume them.
//!
//! The engines of a core are decoupled: `dma0` works through its queue on its own and stops only when a ring has no free page. So
//! the order of statements is that of the tile program, and what is left to choose is the number of pages of each ring: 2 is
//! double buffering; more hides longer stalls (a page behind another ring's, DRAM latency) where SRAM is left over.
//! Contract: only [`crate::tile::Ring::slots`] changes; the result fits `sram` bytes whenever two pages per ring fit.

use crate::alloc::{SramUse, sram_use};
use crate::tile::Program;

/// Pages of a ring at least: one is filled while one is consumed.
pub const MIN_SLOTS: u32 = 2;

/// Pages of a ring at most. More does not help once DRAM latency is covered.
pub const MAX_SLOTS: u32 = 4;

/// Sets the pages of every ring: [`MIN_SLOTS`], and one more for each ring in turn, the smallest pages first, while SRAM lasts.
/// Returns the SRAM the program takes.
pub fn schedule(program: &mut Program, sram: u64) -> SramUse {
    program.rings.iter_mut().for_each(|r| r.slots = MIN_SLOTS);
    let mut used = sram_use(program);
    let mut order: Vec<usize> = (0..program.rings.len()).collect();
    order.sort_by_key(|&i| (program.rings[i].page, i));
    for slots in MIN_SLOTS + 1..=MAX_SLOTS {
        for &i in &order {
            let page = crate::alloc::align_up(program.rings[i].page, crate::alloc::ALIGN);
            if used.total() + page <= sram {
                program.rings[i].slots = slots;
                used.rings += page;
            }
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use llmc_isa::Queue;

    #[test]
    fn pages_grow_with_sram() {
        let mut b = Build::new(1);
        b.ring("small", Queue::Mxu, 64);
        b.ring("large", Queue::Mxu, 1024);
        let slots = |b: &mut Build, sram| {
            let used = schedule(&mut b.program, sram);
            assert_eq!(used, crate::alloc::sram_use(&b.program));
            (b.program.rings[0].slots, b.program.rings[1].slots)
        };
        assert_eq!(slots(&mut b, 0), (2, 2));
        assert_eq!(slots(&mut b, 2 * 1088 + 64), (3, 2));
        assert_eq!(slots(&mut b, 3 * 1088), (3, 3));
        assert_eq!(slots(&mut b, 1 << 20), (4, 4));
    }
}
