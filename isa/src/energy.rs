//! What work costs in joules: the one energy model, a function of counts, cycles and chip.
//!
//! Each class of work has a price in the chip file; what the chip draws whatever it does is priced by time. Prices are per
//! multiply-accumulate, operation or byte, so a layer's energy is the sum over its instructions in any order.

use crate::chip::Chip;
use crate::operand::DType;
use crate::timing::Cost;

/// The kind of multiplier a product keeps busy; prices and rates in a chip file go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MacClass {
    /// f32 operands.
    F32,
    /// bf16 or f16 operands into f32.
    Bf16,
    /// 8-bit floats into f32.
    Fp8,
    /// 8-bit integers into i32.
    Int8,
    /// 8-bit integers by 4-bit integers into i32.
    Int4,
    /// 8-bit integers by 2-bit integers into i32.
    Int2,
}

impl MacClass {
    /// All classes, in the order of [`Counts::macs`].
    pub const ALL: [MacClass; 6] = [
        MacClass::F32,
        MacClass::Bf16,
        MacClass::Fp8,
        MacClass::Int8,
        MacClass::Int4,
        MacClass::Int2,
    ];

    /// The class of products of operands that enter the multiplier as `a` and `b`.
    pub const fn of(a: DType, b: DType) -> MacClass {
        match a {
            DType::F32 | DType::I32 => MacClass::F32,
            DType::Bf16 | DType::F16 => MacClass::Bf16,
            DType::F8E4M3 | DType::F8E5M2 => MacClass::Fp8,
            DType::I8 | DType::U8 | DType::I4 | DType::I2 => match b {
                DType::I4 => MacClass::Int4,
                DType::I2 => MacClass::Int2,
                DType::F32
                | DType::Bf16
                | DType::F16
                | DType::F8E4M3
                | DType::F8E5M2
                | DType::I32
                | DType::I8
                | DType::U8 => MacClass::Int8,
            },
        }
    }

    /// Name, as in the keys of a chip file: `int8` of `mac_int8_pj`.
    pub const fn name(self) -> &'static str {
        match self {
            MacClass::F32 => "f32",
            MacClass::Bf16 => "bf16",
            MacClass::Fp8 => "fp8",
            MacClass::Int8 => "int8",
            MacClass::Int4 => "int4",
            MacClass::Int2 => "int2",
        }
    }

    /// Price of a multiply-accumulate on `chip`, in pJ.
    pub fn pj(self, chip: &Chip) -> f64 {
        match self {
            MacClass::F32 => chip.energy_mac_f32_pj(),
            MacClass::Bf16 => chip.energy_mac_bf16_pj(),
            MacClass::Fp8 => chip.energy_mac_fp8_pj(),
            MacClass::Int8 => chip.energy_mac_int8_pj(),
            MacClass::Int4 => chip.energy_mac_int4_pj(),
            MacClass::Int2 => chip.energy_mac_int2_pj(),
        }
    }

    /// Products of this class that a cell of `chip`'s array takes per step; 0 if the chip has none.
    pub fn per_step(self, chip: &Chip) -> u64 {
        match self {
            MacClass::F32 | MacClass::Bf16 => 1,
            MacClass::Fp8 | MacClass::Int8 => chip.mxu_k_per_step_8bit(),
            MacClass::Int4 => chip.mxu_k_per_step_4bit(),
            MacClass::Int2 => chip.mxu_k_per_step_2bit(),
        }
    }

    /// Array steps that `k` products of one accumulator take on `chip`: a cell of the array takes several narrow products
    /// per step, or several steps for an f32 product. A class that the chip lacks counts like one product per step.
    pub fn steps(self, k: u64, chip: &Chip) -> u64 {
        k.div_ceil(self.per_step(chip).max(1))
    }

    /// Cycles of an array step on `chip`.
    pub fn cycles_per_step(self, chip: &Chip) -> u64 {
        match self {
            MacClass::F32 => chip.mxu_f32_cycles(),
            MacClass::Bf16 | MacClass::Fp8 | MacClass::Int8 | MacClass::Int4 | MacClass::Int2 => 1,
        }
    }
}

/// Work that has a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Multiply-accumulates, by class in the order of [`MacClass::ALL`].
    pub macs: [u64; 6],
    /// Elementwise operations of the vector unit, exponentials of the attention unit.
    pub vpu_ops: u64,
    /// Bytes read from and written to SRAM.
    pub sram_bytes: u64,
    /// Bytes read from and written to DRAM, in whole bursts.
    pub dram_bytes: u64,
    /// Bytes sent into the network times the links they cross; a multicast crosses one link per receiving core.
    pub noc_byte_hops: u64,
}

impl Counts {
    /// The work of one instruction whose data cross `links` links of the mesh.
    pub fn of(cost: &Cost, links: u64) -> Counts {
        Counts {
            macs: cost.macs(),
            vpu_ops: cost.vpu_ops,
            sram_bytes: cost.sram_bytes,
            dram_bytes: cost.dram_bytes,
            noc_byte_hops: cost.noc_bytes.saturating_mul(links),
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        for (sum, n) in self.macs.iter_mut().zip(other.macs) {
            *sum = sum.saturating_add(n);
        }
        self.vpu_ops = self.vpu_ops.saturating_add(other.vpu_ops);
        self.sram_bytes = self.sram_bytes.saturating_add(other.sram_bytes);
        self.dram_bytes = self.dram_bytes.saturating_add(other.dram_bytes);
        self.noc_byte_hops = self.noc_byte_hops.saturating_add(other.noc_byte_hops);
    }
}

/// Energy by class, in joules.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energy {
    /// Multiply-accumulates, by class in the order of [`MacClass::ALL`].
    pub macs: [f64; 6],
    /// Elementwise operations.
    pub vpu: f64,
    /// Scratchpad accesses.
    pub sram: f64,
    /// DRAM accesses.
    pub dram: f64,
    /// Data crossing the mesh.
    pub noc: f64,
    /// What the chip draws whatever it does, for the time it takes.
    pub idle: f64,
}

/// Energy of `counts` on `chip`: counts times prices, and static power for `cycles` of its clock.
pub fn energy(counts: &Counts, cycles: u64, chip: &Chip) -> Energy {
    let joules = |count: u64, pj: f64| count as f64 * pj * 1e-12;
    let mut macs = [0.0; 6];
    for (class, (sum, n)) in MacClass::ALL
        .into_iter()
        .zip(macs.iter_mut().zip(counts.macs))
    {
        *sum = joules(n, class.pj(chip));
    }
    Energy {
        macs,
        vpu: joules(counts.vpu_ops, chip.energy_vpu_op_pj()),
        sram: joules(counts.sram_bytes, chip.energy_sram_pj_per_byte()),
        dram: joules(counts.dram_bytes, chip.energy_dram_pj_per_byte()),
        noc: joules(counts.noc_byte_hops, chip.energy_noc_pj_per_byte_hop()),
        idle: cycles as f64 / chip.clock_hz() as f64 * chip.static_watts(),
    }
}

impl Energy {
    /// Sum of all classes, in joules.
    pub fn total(&self) -> f64 {
        self.classes().iter().map(|(_, joules)| joules).sum()
    }

    /// Every class with its joules, in a fixed order.
    pub fn classes(&self) -> Vec<(String, f64)> {
        let macs = MacClass::ALL.into_iter().zip(self.macs);
        let mut all: Vec<(String, f64)> = macs
            .map(|(class, joules)| (format!("mac_{}", class.name()), joules))
            .collect();
        let rest = [
            ("vpu", self.vpu),
            ("sram", self.sram),
            ("dram", self.dram),
            ("noc", self.noc),
            ("static", self.idle),
        ];
        all.extend(rest.map(|(name, joules)| (name.to_string(), joules)));
        all
    }
}

impl std::ops::AddAssign for Energy {
    fn add_assign(&mut self, other: Energy) {
        for (sum, joules) in self.macs.iter_mut().zip(other.macs) {
            *sum += joules;
        }
        self.vpu += other.vpu;
        self.sram += other.sram;
        self.dram += other.dram;
        self.noc += other.noc;
        self.idle += other.idle;
    }
}

/// How energy is counted, for the manual.
pub(crate) const DOC: &str = "\
## Energy

Energy is counts times prices, plus static power times time. The prices are in the chip file, each with its source:

| class | count | price |
|---|---|---|
| `mac_f32` `mac_bf16` `mac_fp8` `mac_int8` `mac_int4` `mac_int2` | multiply-accumulates of `mxu` and `att`, hidden rows included | `energy.mac_*_pj` |
| `vpu` | elements of vector instructions, whatever the function; scores of `att.step`; elements of `att.init`, `att.fin`, `mxu.drain` | `energy.vpu_op_pj` |
| `sram` | bytes read and written in the scratchpad of the executing core | `energy.sram_pj_per_byte` |
| `dram` | bytes read and written in DRAM, in whole bursts | `energy.dram_pj_per_byte` |
| `noc` | bytes sent, times the links they cross; a multicast crosses one link per receiving core | `energy.noc_pj_per_byte_hop` |
| `static` | cycles of the launch, over the clock | `energy.static_mw` |

Controllers, queues, semaphores and instruction fetch are in the static power. The class of a product goes by what enters the
multiplier: see `mxu.mm` and `mxu.mmq`.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asm::parse_inst;
    use crate::timing::cost;

    /// Prices of the table of Jouppi et al., ISCA 2021 (7 nm), are used as they stand.
    #[test]
    fn published_prices_are_used_verbatim() {
        let ideal = Chip::load("ideal").unwrap();
        let prices = MacClass::ALL.map(|class| class.pj(&ideal));
        let (mul_add_f32, bf16, int8) = (1.31 + 0.38, 0.21 + 0.38, 0.07 + 0.03);
        for (found, expected) in [
            (prices[0], mul_add_f32),
            (prices[1], bf16),
            (prices[3], int8),
        ] {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        assert_eq!(ideal.energy_sram_pj_per_byte(), 14.0 / 8.0);
    }

    #[test]
    fn energy_is_counts_times_prices() {
        let edge = Chip::load("edge").unwrap();
        let load = "dma.load queue=dma0, n0=1, n1=1, n2=1, bytes=3200";
        let cost = cost(&parse_inst(load).unwrap(), &edge);
        let found = energy(&Counts::of(&cost, 0), 1_000_000_000, &edge);
        assert!((found.dram - 3200.0 * 48.0e-12).abs() < 1e-18);
        assert!((found.sram - 3200.0 * 1.41e-12).abs() < 1e-18);
        // One second at 500 mW.
        assert!((found.idle - 0.5).abs() < 1e-12);
        assert!((found.total() - found.dram - found.sram - found.idle).abs() < 1e-15);
        assert_eq!((found.macs, found.noc), ([0.0; 6], 0.0));
    }

    #[test]
    fn energy_adds_up_and_grows_with_work() {
        let edge = Chip::load("edge").unwrap();
        let one = Counts {
            macs: [1, 2, 3, 4, 5, 6],
            vpu_ops: 7,
            sram_bytes: 8,
            dram_bytes: 9,
            noc_byte_hops: 10,
        };
        let mut two = one;
        two += one;
        let (mut sum, double) = (energy(&one, 11, &edge), energy(&two, 22, &edge));
        sum += energy(&one, 11, &edge);
        for ((name, a), (_, b)) in sum.classes().into_iter().zip(double.classes()) {
            assert!(a > 0.0 && (a - b).abs() <= 1e-12 * b, "{name}: {a} {b}");
        }
        // No energy lies below what its DRAM bytes alone cost.
        assert!(double.total() >= 18.0 * edge.energy_dram_pj_per_byte() * 1e-12);
    }

    #[test]
    fn classes_of_products() {
        assert_eq!(MacClass::of(DType::I8, DType::I4), MacClass::Int4);
        assert_eq!(MacClass::of(DType::Bf16, DType::I4), MacClass::Bf16);
        let edge = Chip::load("edge").unwrap();
        assert_eq!(
            MacClass::ALL.map(|c| (c.steps(256, &edge), c.cycles_per_step(&edge))),
            [(256, 4), (256, 1), (128, 1), (128, 1), (64, 1), (64, 1)]
        );
    }
}
