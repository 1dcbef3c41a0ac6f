//! What the manual says of each instruction's time, energy and faults. One match, without a wildcard: a new row does not build
//! until its line is here.

use crate::inst::Inst;

/// Time, energy and faults of an instruction, in words and formulas. Names are those of fields and of chip parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Cycles its engine is occupied, and what else it waits for.
    pub busy: &'static str,
    /// Further cycles until results are visible; empty if none.
    pub latency: &'static str,
    /// What it adds to the counts that have a price.
    pub energy: &'static str,
    /// What can stop it, by the names of [`FAULTS`].
    pub faults: &'static [&'static str],
}

/// Everything that stops a program, with its meaning. All are found when an instruction executes, unless said otherwise.
pub const FAULTS: &[(&str, &str)] = &[
    (
        "bad encoding",
        "a word that no row encodes; found when a binary is loaded",
    ),
    (
        "bad operand",
        "an operand does not fit its field after its register has been added",
    ),
    ("out of bounds", "an operand leaves its memory"),
    (
        "misaligned",
        "an address or stride is no multiple of the element size",
    ),
    (
        "too large",
        "an operand names more bytes than its memory has, over and over",
    ),
    ("uninitialised", "reads a byte that nobody wrote"),
    (
        "race",
        "two accesses to a byte, one a write, that no semaphore orders",
    ),
    (
        "weights",
        "writes to the weights, or a range of DRAM that is partly weights",
    ),
    ("index", "an index that is no row of its table"),
    ("no such core", "a core number the chip does not have"),
    ("no such semaphore", "a semaphore the chip does not have"),
    (
        "no such product",
        "a product of types for which the chip has no multiplier (`mxu.k_per_step_*` is 0)",
    ),
    (
        "no launch register",
        "a launch register that the entry does not declare",
    ),
    ("semaphore overflow", "more than 65535 tokens"),
    (
        "deadlock",
        "every queue with work waits; reported with what each waits for",
    ),
    (
        "leftover tokens",
        "a semaphore is not 0 at the end of the launch; reported with who posted",
    ),
    (
        "loop",
        "loops more than 8 deep, or a body that ends outside the body around it or the entry",
    ),
    ("end of code", "control runs past the last instruction"),
    ("runaway", "more instructions than the host allows"),
    (
        "weights hash",
        "the weights are not those the binary was written with; found before the first launch that computes values",
    ),
];

const CTL: &str = "`ctl.issue_cycles`, which is also what dispatching any other instruction takes";
const NONE: &str = "Static power only";
const CTL_FAULTS: &[&str] = &["end of code", "runaway"];
const MEMORY: &[&str] = &[
    "bad operand",
    "out of bounds",
    "misaligned",
    "too large",
    "uninitialised",
    "race",
];
const PRODUCT: &[&str] = &[
    "bad operand",
    "no such product",
    "out of bounds",
    "misaligned",
    "too large",
    "uninitialised",
    "race",
];
const COPY: &[&str] = &[
    "bad operand",
    "out of bounds",
    "too large",
    "uninitialised",
    "race",
];
const COPY_OUT: &[&str] = &[
    "bad operand",
    "out of bounds",
    "too large",
    "uninitialised",
    "race",
    "weights",
];
const COPY_CORE: &[&str] = &[
    "bad operand",
    "out of bounds",
    "too large",
    "uninitialised",
    "race",
    "no such core",
];
const BY_INDEX: &[&str] = &[
    "bad operand",
    "out of bounds",
    "misaligned",
    "too large",
    "uninitialised",
    "race",
    "index",
    "weights",
];

const TRANSFER: &str = "`dma.setup_cycles + max over both sides of blocks * ceil(block bytes / rate)`, blocks being the longest contiguous stretches \
     of that side and rate `dma.bytes_per_cycle`; and until the DRAM has served it";
const DRAM_LATENCY: &str = "`ceil(dram.latency_ns * clock)`";
const TO_DRAM: &str = "`sram`: bytes; `dram`: blocks times bytes rounded up to `dram.burst_bytes`";
const VECTOR: &str = "`vpu.startup_cycles + ceil(n0*n1*n2 / vpu.lanes)`";
const VECTOR_ENERGY: &str = "`vpu`: n0\\*n1\\*n2; `sram`: bytes of operands and result";

/// What the manual says of the instruction in row order of [`crate::inst::ROWS`]; fields do not matter.
pub fn describe(inst: &Inst) -> Description {
    let (busy, latency, energy, faults) = match inst {
        Inst::CtlLi(_)
        | Inst::CtlAddi(_)
        | Inst::CtlMadd(_)
        | Inst::CtlAdd(_)
        | Inst::CtlSub(_)
        | Inst::CtlMul(_)
        | Inst::CtlMin(_)
        | Inst::CtlMax(_)
        | Inst::CtlDiv(_)
        | Inst::CtlMod(_)
        | Inst::CtlCore(_)
        | Inst::CtlHalt(_) => (CTL, "", NONE, CTL_FAULTS),
        Inst::CtlLaunch(_) => (
            CTL,
            "",
            NONE,
            &["no launch register", "end of code", "runaway"] as &[_],
        ),
        Inst::CtlLoop(_) => (CTL, "", NONE, &["loop", "end of code", "runaway"] as &[_]),
        Inst::SemWait(_) => (
            "1, after the tokens have come",
            "",
            NONE,
            &["no such semaphore", "deadlock"] as &[_],
        ),
        Inst::SemPost(_) => (
            "1",
            "tokens leave when all earlier instructions of the queue have completed, and take \
             `hops * noc.hop_cycles` to another core",
            NONE,
            &[
                "bad operand",
                "no such semaphore",
                "no such core",
                "semaphore overflow",
                "leftover tokens",
            ] as &[_],
        ),
        Inst::DmaLoad(_) => (TRANSFER, DRAM_LATENCY, TO_DRAM, COPY),
        Inst::DmaStore(_) => (TRANSFER, DRAM_LATENCY, TO_DRAM, COPY_OUT),
        Inst::DmaPush(_) => (
            "`dma.setup_cycles + max over both sides of blocks * ceil(block bytes / rate)`, rate being `dma.bytes_per_cycle`, on the receiving \
             side no more than `noc.bytes_per_cycle`",
            "",
            "`sram`: bytes, in this core only; `noc`: bytes times links crossed",
            COPY_CORE,
        ),
        Inst::DmaGather(_) | Inst::DmaScatter(_) => (
            "`dma.setup_cycles + ceil(index bytes / rate) + count * ceil(bytes / rate)`, rate being `dma.bytes_per_cycle`; and until the DRAM has \
             served it",
            DRAM_LATENCY,
            "`sram`: bytes and indices; `dram`: count times bytes rounded up to `dram.burst_bytes`",
            BY_INDEX,
        ),
        Inst::MxuMm(_) => (
            "`mxu.startup_cycles + array(m, n, k) * c`; c is `mxu.f32_cycles` if B is f32, else 1. For `array` see Timing",
            "",
            "`mac_f32` if B is f32, else `mac_bf16`: m\\*n\\*k; `sram`: bytes of A, B and C, each once",
            MEMORY,
        ),
        Inst::MxuMmq(_) => (
            "`mxu.startup_cycles + array(m, n, ceil(k / p)) * c`; c is `mxu.f32_cycles` if A is f32, else 1; p is 1 if A is f32, bf16 or f16, \
             `mxu.k_per_step_8bit` if it is an 8-bit float, and for A of i8 the `mxu.k_per_step_*` of B's width",
            "",
            "m\\*n\\*k of the class of A: `mac_f32`, `mac_bf16`, `mac_fp8`; for A of i8 of the class of B: `mac_int8`, `mac_int4`, `mac_int2`; \
             `sram`: bytes of A, B, C, scales and zero points",
            PRODUCT,
        ),
        Inst::MxuDrain(_) => (
            "`mxu.startup_cycles + ceil(m*n / mxu.cols) * c`; c being the cycles of its activation, see ActFn",
            "",
            "`vpu`: m\\*n; `sram`: bytes of C, bias, scales and result",
            MEMORY,
        ),
        Inst::VpuUnary(_) => (
            "`vpu.startup_cycles + ceil(n0*n1*n2 / vpu.lanes) * c`; c being the cycles of its function, see UnaryFn",
            "",
            VECTOR_ENERGY,
            MEMORY,
        ),
        Inst::VpuBinary(_) => (
            "`vpu.startup_cycles + ceil(n0*n1*n2 / vpu.lanes) * c`; c being the cycles of its function, see BinaryFn",
            "",
            VECTOR_ENERGY,
            MEMORY,
        ),
        Inst::VpuInt(_) => (
            "`vpu.startup_cycles + ceil(n0*n1*n2 / vpu.lanes) * c`; c being the cycles of its function, see IntFn",
            "",
            VECTOR_ENERGY,
            MEMORY,
        ),
        Inst::VpuQuant(_) => (
            "`vpu.startup_cycles + ceil(n0*n1*n2 / vpu.lanes) * c`; c being the cycles of its function, see QuantFn",
            "",
            VECTOR_ENERGY,
            MEMORY,
        ),
        Inst::VpuFill(_) | Inst::VpuReduce(_) | Inst::VpuSelect(_) => {
            (VECTOR, "", VECTOR_ENERGY, MEMORY)
        }
        Inst::AttInit(_) => (
            "`att.startup_cycles + ceil(rows*heads*(d + 2) / att.macs_per_cycle)`",
            "",
            "`vpu`: rows\\*heads\\*(d + 2); `sram`: bytes of the state",
            MEMORY,
        ),
        Inst::AttStep(_) => (
            "`att.startup_cycles + ceil(2*rows*heads*kv*d / att.macs_per_cycle) + ceil(rows*heads*kv / att.exps_per_cycle)`, hidden rows included",
            "",
            "2\\*rows\\*heads\\*kv\\*d of `mac_f32` if keys and values are f32, else of `mac_bf16`, to which narrower types widen on the way in; `vpu`: rows\\*heads\\*kv, and 2\\*kv\\*d for \
             codes of i8 or i4, which are widened and scaled once each; `sram`: bytes of queries, \
             keys, values and state",
            MEMORY,
        ),
        Inst::AttRound(_) => (
            "`att.startup_cycles + ceil(w*rows*heads*kv*d / att.macs_per_cycle) + ceil(rows*heads*kv / att.exps_per_cycle)`, hidden rows included; w is 2 with `weigh`, else 1",
            "",
            "w\\*rows\\*heads\\*kv\\*d of `mac_f32` if keys and values are f32, else of `mac_bf16`; `vpu`: rows\\*heads\\*kv, and w\\*kv\\*d for codes of i8 or i4; \
             `sram`: bytes of queries, keys, state, what it rounds by and, with `weigh`, values",
            MEMORY,
        ),
        Inst::AttFin(_) => (
            "`att.startup_cycles + ceil(rows*heads*d / att.macs_per_cycle)`",
            "",
            "`vpu`: rows\\*heads\\*d; `sram`: bytes of state and result",
            MEMORY,
        ),
    };
    Description {
        busy,
        latency,
        energy,
        faults,
    }
}

/// How time is counted, for the manual.
pub(crate) const DOC: &str = "\
## Timing

Times are whole cycles of the one clock. Parameters are those of the chip file (`llmc chip show NAME`).

* **Controller.** An instruction takes `ctl.issue_cycles`, whether the controller executes it or hands it to a queue. If the queue holds
  `core.queue_depth` instructions, the controller waits until the head of that queue starts; an instruction leaves its queue when it starts.
* **Engine.** An instruction starts when it has been dispatched, the one before it in the queue has left the engine, and for `sem.wait` the
  tokens are there. It occupies its engine for the cycles of its formula, at least 1. Results are visible, and a following `sem.post` takes
  effect, after its latency, while the engine goes on. An instruction with an extent of 0 takes 1 cycle and touches nothing.
* **SRAM** has a port for every engine; engines do not slow each other down.
* **DRAM.** Address a lies in channel `a / dram.interleave_bytes mod dram.channels`. Each channel has an equal part of
  `dram.bandwidth_mb_per_s`, is shared by all cores, and serves requests one at a time in the order in which transfers start, at equal cycles
  by core and queue; it counts in fractions of a cycle. A transfer asks each channel for the bytes it has there, and has been served when the
  last channel is done (`isa::timing::Dram`): one below `dram.interleave_bytes * dram.channels` bytes, or with a stride of that, has only
  part of the bandwidth. Each contiguous block begins at the burst of its first byte; its length and the strides are rounded up to
  `dram.burst_bytes`. Rows by index count as if they lay one after the other from row 0. The engine is occupied until the later of its own
  formula and the end of that service. `dram.latency_ns` comes on top and overlaps with later transfers. Banks, rows, refresh and the
  turnaround between reads and writes are not modelled.
* **Network.** A mesh, x before y. A core's messages and tokens arrive `hops * noc.hop_cycles` after they have left; to all cores, after the longest
  such way. A push occupies its engine at the rate of the narrower of port and link; a multicast leaves once, and is copied by the routers.
  Links are servers (`isa::timing::Noc`): a push waits for the links of its way that earlier ones still occupy, in the order of their starts.
* **Order at equal cycles.** Arriving tokens come before engines; engines go by core, then by queue in the order of `Queue`.

The matrix unit is an array of R = `mxu.rows` by C = `mxu.cols`. `array(m, n, k)` is, by `mxu.dataflow`:

| dataflow | cycles |
|---|---|
| `os`, output stationary | `ceil(m/R) * ceil(n/C) * (k + R + C - 2) - 1` |
| `ws`, weight stationary | `ceil(k/R) * ceil(n/C) * (m + 2R + C - 2) - 1` |
| `is`, input stationary | `ceil(k/R) * ceil(m/C) * (n + 2R + C - 2) - 1` |

The same formulas, with operands in place of names, are `isa::timing::cost`; compiler and emulator both use that.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inst::ROWS;

    #[test]
    fn every_fault_has_a_meaning_and_a_row() {
        let rows = ROWS.iter().filter_map(|row| Inst::zeroed(row.opcode));
        let named: Vec<&str> = rows
            .flat_map(|inst| describe(&inst).faults.iter().copied())
            .collect();
        for name in &named {
            assert!(FAULTS.iter().any(|(known, _)| known == name), "{name}");
        }
        for (known, _) in FAULTS {
            assert!(
                named.contains(known) || ["bad encoding", "weights hash"].contains(known),
                "{known}"
            );
        }
    }
}
