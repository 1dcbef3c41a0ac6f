//! Consistency of a chip beyond the range of each number.

use super::Chip;
use super::params::{PARAMS, Place};

/// Something wrong in a chip file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file or preset.
    pub origin: String,
    /// Line in the file, from 1; 0 if the problem has no place.
    pub line: usize,
    /// First character of the place in its line, from 1; 0 if the problem has no place.
    pub column: usize,
    /// Characters of the place.
    pub width: usize,
    /// The line itself; empty if the problem has no place.
    pub shown: String,
    /// Key, such as `core.sram_kib`; empty if none.
    pub key: String,
    /// What is wrong, in plain words, beginning where the key ends.
    pub message: String,
}

/// Most characters of a line that are shown.
const SHOWN: usize = 100;

impl Problem {
    /// A problem at a place of the file `text`.
    pub(super) fn at(origin: &str, text: &str, place: Place, key: &str, message: String) -> Self {
        let Place {
            line,
            column,
            width,
        } = place;
        let lines = line.checked_sub(1).and_then(|n| text.lines().nth(n));
        Problem {
            origin: origin.to_string(),
            line,
            column,
            width,
            shown: lines.unwrap_or("").to_string(),
            key: key.to_string(),
            message,
        }
    }

    /// The problem without the name of the file: place, key and message, then the line with the place marked. No newline at
    /// the end.
    pub fn report(&self) -> String {
        let mut out = String::new();
        if self.line > 0 {
            out += &format!("{}:{}: ", self.line, self.column);
        }
        if !self.key.is_empty() {
            out += &format!("`{}` ", self.key);
        }
        out += &self.message;
        if self.line == 0 || self.shown.trim().is_empty() {
            return out;
        }
        let line: Vec<char> = self.shown.chars().collect();
        let mark = self.column.saturating_sub(1).min(line.len());
        // A place far to the right is shown with what stands before it.
        let from = (mark + self.width.min(SHOWN / 2)).saturating_sub(SHOWN);
        let to = line.len().min(from + SHOWN);
        let text: String = line.get(from..to).unwrap_or_default().iter().collect();
        let (head, tail) = (
            if from > 0 { ".." } else { "" },
            if to < line.len() { ".." } else { "" },
        );
        let width = self.width.clamp(1, (to - mark.min(to)).max(1));
        let number = self.line.to_string();
        let blank = " ".repeat(number.len());
        out += &format!("\n  {number} | {head}{text}{tail}\n");
        out += &format!(
            "  {blank} | {}{}",
            " ".repeat(head.len() + mark - from),
            "^".repeat(width)
        );
        out
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.origin)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
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

/// What a chip's peak and SRAM may differ from what its maker says, as a fraction: makers round.
const TOLERANCE: f64 = 0.05;

/// Pairs of energies, of which the first must not be above the second.
const RISING: [(&str, &str); 6] = [
    ("mac_int2_pj", "mac_int4_pj"),
    ("mac_int4_pj", "mac_int8_pj"),
    ("mac_int8_pj", "mac_bf16_pj"),
    ("mac_fp8_pj", "mac_bf16_pj"),
    ("mac_bf16_pj", "mac_f32_pj"),
    ("sram_pj_per_byte", "dram_pj_per_byte"),
];

/// Pairs of rates, of which the first must not be above the second, with the reason.
const BOUNDED: [(&str, &str, &str); 5] = [
    (
        "vpu.divide_cycles",
        "vpu.transcendental_cycles",
        "most of the transcendental functions divide",
    ),
    (
        "mxu.k_per_step_8bit",
        "mxu.k_per_step_4bit",
        "a narrower product takes no more of a cell",
    ),
    (
        "mxu.k_per_step_4bit",
        "mxu.k_per_step_2bit",
        "a narrower product takes no more of a cell",
    ),
    (
        "att.exps_per_cycle",
        "att.macs_per_cycle",
        "an exponential takes several multiply-adds",
    ),
    (
        "noc.bytes_per_cycle",
        "dma.bytes_per_cycle",
        "a DMA engine feeds the link",
    ),
];

/// Collects problems of one chip.
struct Checker<'a> {
    chip: &'a Chip,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn report(&mut self, key: &str, message: String) {
        let chip = self.chip;
        let place = chip.params.place(key);
        let problem = Problem::at(&chip.origin, &chip.text, place, key, message);
        self.problems.push(problem);
    }

    /// The value of a numeric parameter.
    fn number(&self, key: &str) -> f64 {
        use super::params::Value;
        let at = PARAMS.iter().position(|p| p.path() == key);
        match at.and_then(|i| self.chip.params.list().into_iter().nth(i)) {
            Some((Value::Int(v), ..)) => v as f64,
            Some((Value::Float(v), ..)) => v,
            _ => 0.0,
        }
    }

    fn sizes(&mut self) {
        let chip = self.chip;
        if chip.sram_bytes() < SMALLEST_TILE {
            let bytes = chip.sram_bytes();
            self.report(
                "core.sram_kib",
                format!("gives {bytes} bytes; a 16 x 16 tile needs {SMALLEST_TILE}"),
            );
        }
        if chip.queue_depth() < 2 {
            self.report(
                "core.queue_depth",
                "is 1; a queue needs 2 places, or the controller cannot run ahead of its engine"
                    .to_string(),
            );
        }
        let sram = u128::from(chip.sram_bytes()) * u128::from(chip.cores());
        if u128::from(chip.dram_bytes()) < sram {
            let (dram, mib) = (chip.dram_bytes() >> 20, sram.div_ceil(1 << 20));
            self.report(
                "dram.capacity_mib",
                format!("is {dram}, less than the {mib} MiB of SRAM of all cores"),
            );
        }
        if !chip.dram_burst_bytes().is_power_of_two() {
            let burst = chip.dram_burst_bytes();
            self.report(
                "dram.burst_bytes",
                format!("is {burst}, which is no power of two"),
            );
        }
        let (piece, burst) = (chip.dram_interleave_bytes(), chip.dram_burst_bytes());
        if !piece.is_power_of_two() {
            self.report(
                "dram.interleave_bytes",
                format!("is {piece}, which is no power of two"),
            );
        } else if piece < burst {
            self.report(
                "dram.interleave_bytes",
                format!(
                    "is {piece}, less than a burst of {burst} bytes, which comes from one channel"
                ),
            );
        }
    }

    fn rates(&mut self) {
        let chip = self.chip;
        let ports = u128::from(chip.dma_bytes_per_cycle() * u64::from(chip.cores()) * 2)
            * u128::from(chip.clock_hz());
        if u128::from(chip.dram_bytes_per_s()) > ports {
            let (found, most) = (chip.dram_bandwidth_mb_per_s(), ports / 1_000_000);
            self.report(
                "dram.bandwidth_mb_per_s",
                format!("is {found}, but the DMA engines of all cores take {most} at most"),
            );
        }
        if chip.noc_hop_cycles() == 0 && chip.cores() > 1 {
            self.report(
                "noc.hop_cycles",
                "is 0; between cores a hop takes at least a cycle".to_string(),
            );
        }
        for (low, high, reason) in BOUNDED {
            let (a, b) = (self.number(low), self.number(high));
            // 0 products per step: the chip has none of that width.
            let absent = b == 0.0 && high.starts_with("mxu.k_per_step");
            if a > b && !absent {
                self.report(low, format!("is {a}, above the {b} of `{high}`: {reason}"));
            }
        }
    }

    fn energies(&mut self) {
        for info in PARAMS.iter().filter(|p| p.section == "energy") {
            if self.number(&info.path()) == 0.0 {
                let message = "is 0; nothing is free: give an estimate".to_string();
                self.report(&info.path(), message);
            }
        }
        for (low, high) in RISING {
            let (a, b) = (
                self.number(&format!("energy.{low}")),
                self.number(&format!("energy.{high}")),
            );
            if a > b && b > 0.0 {
                self.report(
                    &format!("energy.{low}"),
                    format!("is {a} pJ, more than the {b} pJ of `energy.{high}`"),
                );
            }
        }
    }

    /// What the maker says against what the numbers give.
    fn claims(&mut self) {
        let chip = self.chip;
        let (x, y) = (chip.cores_x(), chip.cores_y());
        if chip.claim_cores() != 0 && chip.claim_cores() != u64::from(chip.cores()) {
            let claim = chip.claim_cores();
            self.report(
                "claim.cores",
                format!(
                    "is {claim}, but the mesh of {x} x {y} has {} cores{CLAIM}",
                    chip.cores()
                ),
            );
        }
        let differs = |claim: f64, found: f64| {
            claim != 0.0 && (found - claim).abs() > TOLERANCE * claim.max(found)
        };
        let claim = chip.claim_sram_mib();
        let found = chip.sram_bytes() as f64 * f64::from(chip.cores()) / f64::from(1 << 20);
        if differs(claim, found) {
            let kib = chip.core_sram_kib();
            self.report(
                "claim.sram_mib",
                format!("is {claim}, but {x} x {y} cores of {kib} KiB have {found}{CLAIM}"),
            );
        }
        let (claim, found) = (chip.claim_bf16_tflops(), chip.peak_bf16_ops_per_s() / 1e12);
        if differs(claim, found) {
            let (rows, cols) = (chip.mxu_rows(), chip.mxu_cols());
            let (cores, mhz) = (chip.cores(), chip.chip_clock_mhz());
            self.report(
                "claim.bf16_tflops",
                format!(
                    "is {claim}, but {cores} arrays of {rows} x {cols} at {mhz} MHz give {found:.1}{CLAIM}"
                ),
            );
        }
    }
}

/// What to do about a claim that does not hold.
const CLAIM: &str =
    "; a claim says what the numbers should add up to: change it along with them, or set it to 0";

impl Chip {
    /// Every inconsistency between the numbers, in plain words, in the order of the file.
    pub fn check(&self) -> Vec<Problem> {
        let mut checker = Checker {
            chip: self,
            problems: Vec::new(),
        };
        checker.sizes();
        checker.rates();
        checker.energies();
        checker.claims();
        checker.problems.sort_by_key(|p| (p.line, p.column));
        checker.problems
    }
}
