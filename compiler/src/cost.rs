//! Prices for extraction: the cycles of a chip.

use llmc_ir::Bindings;
use llmc_isa::Chip;
use llmc_passes::cost::{CostModel, Work, typical_lengths};

/// Cycles that each op's work takes on a chip if its cores share it evenly and no two ops overlap.
///
/// Only the order of sums decides what is extracted, so tile sizes and queues do not matter here; a launch of an op
/// costs what starting its engine does.
#[derive(Clone, Debug)]
pub struct ChipCosts<'a> {
    chip: &'a Chip,
    at: Bindings,
}

impl ChipCosts<'_> {
    /// The prices of a chip.
    pub fn new(chip: &Chip) -> ChipCosts<'_> {
        ChipCosts {
            chip,
            at: typical_lengths(),
        }
    }
}

impl CostModel for ChipCosts<'_> {
    fn price(&self, work: &Work) -> u64 {
        let chip = self.chip;
        let cores = u64::from(chip.cores()).max(1);
        let shared = |amount: u64, per_cycle: u64| amount.div_ceil(cores * per_cycle.max(1));
        let f32_rate = chip.mxu_rows() * chip.mxu_cols() / chip.mxu_f32_cycles().max(1);
        let lanes = chip.vpu_lanes();
        let vector = work
            .simple
            .saturating_add(work.divisions.saturating_mul(chip.vpu_divide_cycles()))
            .saturating_add(
                work.transcendentals
                    .saturating_mul(chip.vpu_transcendental_cycles()),
            );
        chip.ctl_issue_cycles()
            + chip.vpu_startup_cycles()
            + shared(work.bytes, chip.dma_bytes_per_cycle())
            + shared(work.macs, f32_rate)
            + shared(work.attention_macs, chip.att_macs_per_cycle())
            + shared(vector, lanes)
    }

    fn lengths(&self) -> &Bindings {
        &self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llmc_ir::{Op, Type};
    use llmc_tensor::DType;

    fn matrix(rows: usize, cols: usize) -> Type {
        Type::new(DType::F32, [rows, cols].map(llmc_ir::Dim::from).to_vec())
    }

    #[test]
    fn a_slower_unit_makes_its_work_dearer() {
        let chip = Chip::load("edge").expect("a preset");
        let (a, b, c) = (matrix(64, 512), matrix(512, 512), matrix(64, 512));
        let product = |chip: &Chip| ChipCosts::new(chip).cost(&Op::MatMul, &[&a, &b], &c);
        let slow = chip
            .with("mxu.f32_cycles", 64)
            .expect("a number of the chip");
        assert!(product(&slow) > 2 * product(&chip));
        let reshape = Op::Reshape {
            shape: c.shape.clone(),
        };
        let moved = |chip: &Chip| ChipCosts::new(chip).cost(&reshape, &[&a], &c);
        assert_eq!(moved(&slow), moved(&chip));
    }
}
