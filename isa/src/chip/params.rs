//! The table of chip parameters: one documented row per number.

use super::Chip;
use std::fmt;

/// How sure a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Read in the source named.
    Verified,
    /// Taken from a summary or press report of the source.
    Secondary,
    /// Assumed, calculated or chosen.
    Estimate,
}

impl Status {
    /// All states.
    pub const ALL: [Status; 3] = [Status::Verified, Status::Secondary, Status::Estimate];

    /// The word in a chip file.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Verified => "verified",
            Status::Secondary => "secondary",
            Status::Estimate => "estimate",
        }
    }
}

/// Which operand stays in the matrix unit's array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dataflow {
    /// Results: the array holds a tile of C, and k streams through it.
    #[default]
    OutputStationary,
    /// Weights: the array holds a tile of B, and rows of A stream through it.
    WeightStationary,
    /// Inputs: the array holds a tile of A, and columns of B stream through it.
    InputStationary,
}

/// A parameter's value as written in a chip file.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Integer.
    Int(i64),
    /// Number with fraction.
    Float(f64),
    /// Word.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(v) => write!(f, "{v}"),
            Value::Float(v) => write!(f, "{v:?}"),
            Value::Text(v) => write!(f, "{v:?}"),
        }
    }
}

/// Conversions that make `chip.set("core.sram_kib", 256)` work.
macro_rules! value_from {
    ($($ty:ty => |$v:ident| $value:expr),*) => {$(
        impl From<$ty> for Value {
            fn from($v: $ty) -> Value {
                $value
            }
        }
    )*};
}

value_from! {
    i32 => |v| Value::Int(v.into()),
    i64 => |v| Value::Int(v),
    u32 => |v| Value::Int(v.into()),
    u64 => |v| i64::try_from(v).map_or(Value::Float(v as f64), Value::Int),
    f64 => |v| Value::Float(v),
    &str => |v| Value::Text(v.to_string())
}

/// What values a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamKind {
    /// An integer from .. to, both included.
    Int(u64, u64),
    /// A number from .. to, both included.
    Float(f64, f64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ParamInfo {
    /// Section of the chip file.
    pub section: &'static str,
    /// Key, with the unit at its end.
    pub key: &'static str,
    /// Meaning.
    pub doc: &'static str,
    /// Allowed values.
    pub kind: ParamKind,
}

impl ParamInfo {
    /// `section.key`
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

/// A parameter's value with its provenance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Param<T> {
    /// The value, in the unit of the key.
    pub value: T,
    /// Where it comes from.
    pub source: String,
    /// How sure it is.
    pub status: Option<Status>,
    /// Place of the value in the chip file.
    pub place: Place,
}

/// A stretch of a line in a chip file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1; 0 if there is no place.
    pub line: usize,
    /// First character, from 1.
    pub column: usize,
    /// Number of characters.
    pub width: usize,
}

/// A type of parameter.
trait ParamType: Sized {
    fn read(value: &Value, kind: &ParamKind) -> Result<Self, String>;
    fn write(&self) -> Value;
}

impl ParamType for u64 {
    fn read(value: &Value, kind: &ParamKind) -> Result<Self, String> {
        let ParamKind::Int(lo, hi) = *kind else {
            return Err("is no integer parameter".to_string());
        };
        let number = match value {
            Value::Int(v) => u64::try_from(*v).ok(),
            Value::Float(v) if v.fract() == 0.0 && (0.0..=9e15).contains(v) => Some(*v as u64),
            Value::Float(_) | Value::Text(_) => None,
        };
        match number {
            Some(n) if (lo..=hi).contains(&n) => Ok(n),
            _ => Err(format!("is {value}, expected an integer from {lo} to {hi}")),
        }
    }
    fn write(&self) -> Value {
        Value::from(*self)
    }
}

impl ParamType for f64 {
    fn read(value: &Value, kind: &ParamKind) -> Result<Self, String> {
        let ParamKind::Float(lo, hi) = *kind else {
            return Err("is no number parameter".to_string());
        };
        let number = match value {
            Value::Int(v) => Some(*v as f64),
            Value::Float(v) => Some(*v),
            Value::Text(_) => None,
        };
        match number {
            Some(n) if (lo..=hi).contains(&n) => Ok(n),
            _ => Err(format!("is {value}, expected a number from {lo} to {hi}")),
        }
    }
    fn write(&self) -> Value {
        Value::Float(*self)
    }
}

impl ParamType for Dataflow {
    fn read(value: &Value, _kind: &ParamKind) -> Result<Self, String> {
        match value {
            Value::Text(v) if v == "os" => Ok(Dataflow::OutputStationary),
            Value::Text(v) if v == "ws" => Ok(Dataflow::WeightStationary),
            Value::Text(v) if v == "is" => Ok(Dataflow::InputStationary),
            _ => Err(format!(
                "is {value}, expected \"os\" (output stationary), \"ws\" (weight stationary) or \"is\" (input stationary)"
            )),
        }
    }
    fn write(&self) -> Value {
        Value::from(match self {
            Dataflow::OutputStationary => "os",
            Dataflow::WeightStationary => "ws",
            Dataflow::InputStationary => "is",
        })
    }
}

/// Expands the table.
macro_rules! params {
    ($($(#[doc = $doc:literal])* $getter:ident: $ty:ty = $section:literal $key:literal $kind:expr;)*) => {
        /// All parameters of a chip, in the order of a chip file.
        pub const PARAMS: &[ParamInfo] =
            &[$(ParamInfo { section: $section, key: $key, doc: concat!($($doc),*), kind: $kind }),*];

        /// The values of a chip.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(super) struct Params {
            $($getter: Param<$ty>,)*
        }

        impl Params {
            /// Sets parameter `index` of [`PARAMS`]; the error completes a sentence that begins with its key.
            pub(super) fn set(
                &mut self,
                index: usize,
                value: &Value,
                source: &str,
                status: Status,
                place: Place,
            ) -> Result<(), String> {
                let mut i = 0;
                $(
                    if i == index {
                        let value = <$ty as ParamType>::read(value, &PARAMS[i].kind)?;
                        self.$getter = Param { value, source: source.to_string(), status: Some(status), place };
                    }
                    i += 1;
                )*
                let _ = i;
                Ok(())
            }

            /// Value, source and status of all parameters in order.
            pub(super) fn list(&self) -> Vec<(Value, &str, Status)> {
                vec![$((
                    self.$getter.value.write(),
                    self.$getter.source.as_str(),
                    self.$getter.status.unwrap_or(Status::Estimate),
                )),*]
            }

            /// Place of the parameter with this path.
            pub(super) fn place(&self, path: &str) -> Place {
                let places = [$(self.$getter.place),*];
                let at = PARAMS.iter().position(|p| p.path() == path);
                at.and_then(|i| places.get(i).copied()).unwrap_or_default()
            }
        }

        /// The parameters, in the unit of the key.
        impl Chip {
            $($(#[doc = $doc])* pub fn $getter(&self) -> $ty {
                self.params.$getter.value
            })*
        }
    };
}

use ParamKind::{Float, Int, Word};

params! {
    /// Columns of the mesh of cores.
    chip_cores_x: u64 = "chip" "cores_x" Int(1, 64);
    /// Rows of the mesh of cores.
    chip_cores_y: u64 = "chip" "cores_y" Int(1, 64);
    /// Clock of all parts, in MHz; all cycles are cycles of this clock.
    chip_clock_mhz: u64 = "chip" "clock_mhz" Int(1, 10_000);

    /// SRAM scratchpad of a core, in KiB. Addresses have 26 bits.
    core_sram_kib: u64 = "core" "sram_kib" Int(1, 65_536);
    /// Counting semaphores of a core.
    core_semaphores: u64 = "core" "semaphores" Int(1, 256);
    /// Instructions that an engine queue holds; a full queue stalls the controller.
    core_queue_depth: u64 = "core" "queue_depth" Int(1, 4096);

    /// Cycles the controller takes per instruction it executes or dispatches.
    ctl_issue_cycles: u64 = "ctl" "issue_cycles" Int(1, 1000);

    /// Rows of the matrix unit's array.
    mxu_rows: u64 = "mxu" "rows" Int(1, 1024);
    /// Columns of the matrix unit's array.
    mxu_cols: u64 = "mxu" "cols" Int(1, 4096);
    /// What stays in the array: `os` (results), `ws` (weights) or `is` (inputs).
    mxu_dataflow: Dataflow = "mxu" "dataflow" Word(&["os", "ws", "is"]);
    /// Cycles before a product starts, on top of filling the array.
    mxu_startup_cycles: u64 = "mxu" "startup_cycles" Int(0, 10_000);
    /// Cycles per array step for f32 products; all others take 1.
    mxu_f32_cycles: u64 = "mxu" "f32_cycles" Int(1, 64);
    /// Products of 8-bit operands (int8, fp8) that a cell of the array takes per step; bf16 is 1. 0: the chip has none.
    mxu_k_per_step_8bit: u64 = "mxu" "k_per_step_8bit" Int(0, 64);
    /// Products of an 8-bit and a 4-bit integer that a cell of the array takes per step. 0: the chip has none.
    mxu_k_per_step_4bit: u64 = "mxu" "k_per_step_4bit" Int(0, 64);
    /// Products of an 8-bit and a 2-bit integer that a cell of the array takes per step. 0: the chip has none.
    mxu_k_per_step_2bit: u64 = "mxu" "k_per_step_2bit" Int(0, 64);

    /// Elements the vector unit takes per cycle.
    vpu_lanes: u64 = "vpu" "lanes" Int(1, 65_536);
    /// Cycles before the first result of a vector instruction.
    vpu_startup_cycles: u64 = "vpu" "startup_cycles" Int(0, 10_000);
    /// Cycles per step of division, square root and reciprocals.
    vpu_divide_cycles: u64 = "vpu" "divide_cycles" Int(1, 1000);
    /// Cycles per step of exp, log, tanh and what is built on them.
    vpu_transcendental_cycles: u64 = "vpu" "transcendental_cycles" Int(1, 1000);

    /// Multiply-accumulates of the attention unit per cycle.
    att_macs_per_cycle: u64 = "att" "macs_per_cycle" Int(1, 1_048_576);
    /// Exponentials of the attention unit per cycle.
    att_exps_per_cycle: u64 = "att" "exps_per_cycle" Int(1, 65_536);
    /// Cycles before an attention instruction starts.
    att_startup_cycles: u64 = "att" "startup_cycles" Int(0, 10_000);

    /// Cycles before a DMA transfer starts.
    dma_setup_cycles: u64 = "dma" "setup_cycles" Int(0, 10_000);
    /// Bytes per cycle of a DMA engine; a contiguous block takes at least one cycle.
    dma_bytes_per_cycle: u64 = "dma" "bytes_per_cycle" Int(1, 65_536);

    /// Bytes per cycle of a mesh link.
    noc_bytes_per_cycle: u64 = "noc" "bytes_per_cycle" Int(1, 65_536);
    /// Cycles per hop between neighbouring cores.
    noc_hop_cycles: u64 = "noc" "hop_cycles" Int(0, 10_000);

    /// DRAM of the chip, in MiB.
    dram_capacity_mib: u64 = "dram" "capacity_mib" Int(1, 16_777_216);
    /// Bandwidth of all DRAM channels together, in 10^6 bytes per second.
    dram_bandwidth_mb_per_s: u64 = "dram" "bandwidth_mb_per_s" Int(1, 1_000_000_000);
    /// Time from a request to its first byte, in ns.
    dram_latency_ns: u64 = "dram" "latency_ns" Int(0, 1_000_000);
    /// Bytes of the smallest access; each contiguous block is rounded up to it.
    dram_burst_bytes: u64 = "dram" "burst_bytes" Int(1, 4096);
    /// Channels that serve requests independently, each with an equal part of the bandwidth.
    dram_channels: u64 = "dram" "channels" Int(1, 1024);
    /// Bytes that lie in a channel before addresses go on in the next one.
    dram_interleave_bytes: u64 = "dram" "interleave_bytes" Int(1, 16384);

    /// Energy of an f32 multiply-accumulate, in pJ.
    energy_mac_f32_pj: f64 = "energy" "mac_f32_pj" Float(0.0, 1e6);
    /// Energy of a bf16 multiply-accumulate into f32, in pJ.
    energy_mac_bf16_pj: f64 = "energy" "mac_bf16_pj" Float(0.0, 1e6);
    /// Energy of a multiply-accumulate of 8-bit floats into f32, in pJ.
    energy_mac_fp8_pj: f64 = "energy" "mac_fp8_pj" Float(0.0, 1e6);
    /// Energy of an int8 multiply-accumulate into i32, in pJ.
    energy_mac_int8_pj: f64 = "energy" "mac_int8_pj" Float(0.0, 1e6);
    /// Energy of a multiply-accumulate of int8 by int4 into i32, in pJ.
    energy_mac_int4_pj: f64 = "energy" "mac_int4_pj" Float(0.0, 1e6);
    /// Energy of a multiply-accumulate of int8 by int2 into i32, in pJ.
    energy_mac_int2_pj: f64 = "energy" "mac_int2_pj" Float(0.0, 1e6);
    /// Energy of an elementwise operation of the vector unit, in pJ.
    energy_vpu_op_pj: f64 = "energy" "vpu_op_pj" Float(0.0, 1e6);
    /// Energy of a byte read from or written to SRAM, in pJ.
    energy_sram_pj_per_byte: f64 = "energy" "sram_pj_per_byte" Float(0.0, 1e6);
    /// Energy of a byte read from or written to DRAM, in pJ.
    energy_dram_pj_per_byte: f64 = "energy" "dram_pj_per_byte" Float(0.0, 1e6);
    /// Energy of a byte crossing one hop of the mesh, in pJ.
    energy_noc_pj_per_byte_hop: f64 = "energy" "noc_pj_per_byte_hop" Float(0.0, 1e6);
    /// Power drawn whatever the chip does, in mW.
    energy_static_mw: f64 = "energy" "static_mw" Float(0.0, 1e9);

    /// Cores that the maker names, against which the mesh is checked; 0 if none.
    claim_cores: u64 = "claim" "cores" Int(0, 65_536);
    /// SRAM of all cores that the maker names, in MiB, against which `core.sram_kib` is checked; 0 if none.
    claim_sram_mib: f64 = "claim" "sram_mib" Float(0.0, 1e9);
    /// Peak of bf16 products that the maker names, in 10^12 operations per second, against which the array, the cores and the
    /// clock are checked; 0 if none.
    claim_bf16_tflops: f64 = "claim" "bf16_tflops" Float(0.0, 1e9);
}
