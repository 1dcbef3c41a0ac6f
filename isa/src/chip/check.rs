//! Consistency of a chip beyond the range of each number.

use super::Chip;

/// Something wrong in a chip file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file or preset.
    pub origin: String,
    /// Line in the file, from 1; 0 if the problem has no place.
    pub line: usize,
    /// Key, such as `core.sram_kib`; empty if none.
    pub key: String,
    /// What is wrong, in plain words, beginning where the key ends.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.origin)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": ")?;
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Problem {}

/// Bytes of f32 operands and result of the smallest product a compiler can use: one panel of 16 columns and 16 rows.
const SMALLEST_TILE: u64 = 3 * 16 * 16 * 4;

impl Chip {
    /// Every inconsistency between the numbers, in plain words.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut report = |key: &str, message: String| {
            let line = self.params.line(key);
            problems.push(Problem {
                origin: self.origin.clone(),
                line,
                key: key.to_string(),
                message,
            });
        };

        if self.sram_bytes() < SMALLEST_TILE {
            report(
                "core.sram_kib",
                format!(
                    "gives {} bytes; a 16 x 16 tile needs {SMALLEST_TILE}",
                    self.sram_bytes()
                ),
            );
        }
        if self.mxu_f32_cycles() > 1 && self.energy_mac_f32_pj() < self.energy_mac_bf16_pj() {
            let (f32, bf16) = (self.energy_mac_f32_pj(), self.energy_mac_bf16_pj());
            report(
                "energy.mac_f32_pj",
                format!("is {f32} pJ, less than the {bf16} pJ of `energy.mac_bf16_pj`"),
            );
        }
        if self.energy_dram_pj_per_byte() < self.energy_sram_pj_per_byte() {
            let (dram, sram) = (
                self.energy_dram_pj_per_byte(),
                self.energy_sram_pj_per_byte(),
            );
            report(
                "energy.dram_pj_per_byte",
                format!("is {dram} pJ, less than the {sram} pJ of `energy.sram_pj_per_byte`"),
            );
        }
        let ports = u128::from(self.dma_bytes_per_cycle() * u64::from(self.cores()) * 2)
            * u128::from(self.clock_hz());
        if u128::from(self.dram_bytes_per_s()) > ports {
            let mb = ports / 1_000_000;
            report(
                "dram.bandwidth_mb_per_s",
                format!(
                    "is {}, but the DMA engines of all cores take {mb} at most",
                    self.dram_bandwidth_mb_per_s()
                ),
            );
        }
        if self.vpu_transcendental_cycles() < self.vpu_divide_cycles() {
            let (exp, div) = (self.vpu_transcendental_cycles(), self.vpu_divide_cycles());
            report(
                "vpu.transcendental_cycles",
                format!(
                    "is {exp}, less than the {div} of `vpu.divide_cycles`, though most of those functions divide"
                ),
            );
        }
        if self.dram_bytes() < self.sram_bytes() * u64::from(self.cores()) {
            report(
                "dram.capacity_mib",
                "is less than the SRAM of all cores together".to_string(),
            );
        }
        if !self.dram_burst_bytes().is_power_of_two() {
            report(
                "dram.burst_bytes",
                format!("is {}, which is no power of two", self.dram_burst_bytes()),
            );
        }
        problems
    }
}
