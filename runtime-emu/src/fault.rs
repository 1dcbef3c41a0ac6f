//! What stops a program: every fault says what happened, where, and to which source operation it belongs. A word that is no
//! instruction never gets this far: it is refused when the binary is read.
//!
//! Three categories read differently and must not be confused ([`Category`]): the program is wrong, the program asks for
//! something this chip does not have, or the emulator itself is at fault.

use llmc_isa::energy::MacClass;
use std::fmt;

/// Whose problem a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The program breaks a rule of the machine.
    Program,
    /// The program is fine, but needs what this chip does not have.
    Unsupported,
    /// The emulator contradicts itself.
    Bug,
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Category::Program => "program fault",
            Category::Unsupported => "not supported by this chip",
            Category::Bug => "bug in llmc",
        })
    }
}

/// A part of a core that executes instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// The controller.
    Ctl,
    /// An engine.
    Engine(llmc_isa::Queue),
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Ctl => f.write_str("ctl"),
            Unit::Engine(q) => f.write_str(q.name()),
        }
    }
}

/// What the debug map of the binary says about an instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The tile operation it was emitted for.
    pub tile_op: String,
    /// The node of the graph.
    pub graph_node: String,
    /// The ONNX nodes the graph node came from.
    pub onnx_nodes: Vec<String>,
}

impl Origin {
    fn is_empty(&self) -> bool {
        self.tile_op.is_empty() && self.graph_node.is_empty() && self.onnx_nodes.is_empty()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.tile_op.is_empty() {
            parts.push(format!("tile op `{}`", self.tile_op));
        }
        if !self.graph_node.is_empty() {
            parts.push(format!("graph node `{}`", self.graph_node));
        }
        if !self.onnx_nodes.is_empty() {
            parts.push(format!(
                "ONNX {}",
                self.onnx_nodes
                    .iter()
                    .map(|n| format!("`{n}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        f.write_str(&parts.join(" <- "))
    }
}

/// An instruction of the running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Core that executed it.
    pub core: u32,
    /// Part of the core.
    pub unit: Unit,
    /// Index in the entry's code.
    pub pc: u32,
    /// The instruction: with registers resolved if it got that far, as written otherwise.
    pub text: String,
    /// Where it comes from, if the binary says so.
    pub origin: Origin,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "core {} {} pc {}: {}",
            self.core, self.unit, self.pc, self.text
        )?;
        if !self.origin.is_empty() {
            write!(f, "\n        from {}", self.origin)?;
        }
        Ok(())
    }
}

/// A memory of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The scratchpad of a core.
    Sram(u32),
    /// The shared DRAM.
    Dram,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Space::Sram(core) => write!(f, "SRAM of core {core}"),
            Space::Dram => f.write_str("DRAM"),
        }
    }
}

/// Someone who cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The instruction that waits.
    pub site: Site,
    /// What it waits for.
    pub reason: String,
    /// Index, among the waiters, of the one that could wake it.
    pub waker: Option<usize>,
}

/// Most waiters that a message lists.
const SHOWN: usize = 12;

/// The indices of waiters that wait for each other in a ring, each for the next, the last for the first.
fn ring(all: &[Waiter]) -> Vec<usize> {
    for start in 0..all.len() {
        let mut path = Vec::new();
        let mut at = Some(start);
        while let Some(i) = at {
            if let Some(first) = path.iter().position(|&p| p == i) {
                return path.split_off(first);
            }
            path.push(i);
            at = all.get(i).and_then(|w| w.waker);
        }
    }
    Vec::new()
}

/// Tokens nobody took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Core of the semaphore.
    pub core: u32,
    /// The semaphore.
    pub sem: u8,
    /// Tokens left.
    pub tokens: u32,
    /// Who posted the oldest of them.
    pub posted: Site,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// A run-time operand does not fit its field.
    BadOperand(String),
    /// An operand leaves its memory.
    OutOfBounds {
        /// Name of the operand.
        operand: &'static str,
        /// Memory.
        space: Space,
        /// First address of the operand.
        start: u64,
        /// One past its last address.
        end: u64,
        /// Size of the memory.
        limit: u64,
    },
    /// A range of DRAM that is partly weights and partly not.
    Straddle {
        /// Name of the operand.
        operand: &'static str,
        /// First address of the operand.
        start: u64,
        /// One past its last address.
        end: u64,
        /// The weights.
        weights: (u64, u64),
    },
    /// An address or stride is no multiple of the element size.
    Misaligned {
        /// Name of the operand.
        operand: &'static str,
        /// Memory.
        space: Space,
        /// Address or stride.
        value: u64,
        /// True if it is a stride.
        stride: bool,
        /// Element size in bytes.
        size: u64,
    },
    /// An operand names the same bytes over and over.
    TooLarge {
        /// Name of the operand.
        operand: &'static str,
        /// Bytes it names.
        bytes: u64,
        /// Most it may.
        limit: u64,
    },
    /// Reads bytes nobody wrote.
    Uninit {
        /// Name of the operand.
        operand: &'static str,
        /// Memory.
        space: Space,
        /// The operand.
        range: (u64, u64),
        /// First byte that was never written.
        at: u64,
        /// Bytes of the operand near it that were written in this launch, from and to, and by what.
        neighbour: Option<(u64, u64, Box<Site>)>,
    },
    /// Two accesses that no semaphore orders, one of them a write.
    Race {
        /// Name of the operand of the later access.
        operand: &'static str,
        /// Memory.
        space: Space,
        /// First byte in common.
        at: u64,
        /// Bytes in common.
        len: u64,
        /// The later access writes.
        writes: bool,
        /// The earlier access wrote.
        earlier_writes: bool,
        /// The earlier access.
        earlier: Box<Site>,
    },
    /// Writes to the weights.
    WeightWrite {
        /// Name of the operand.
        operand: &'static str,
        /// First address.
        start: u64,
        /// One past the last address.
        end: u64,
    },
    /// An index of a gather is not a row of its table.
    Index {
        /// Position in the index list.
        position: u32,
        /// The index.
        index: i64,
        /// Rows of the table.
        rows: u32,
    },
    /// A core that does not exist.
    CoreRange {
        /// The number in the instruction.
        core: i64,
        /// Cores of the chip.
        cores: u32,
    },
    /// A launch register the entry does not have.
    LaunchRegister {
        /// The number in the instruction.
        index: u16,
        /// How many there are.
        count: usize,
    },
    /// More tokens than a semaphore holds.
    SemOverflow {
        /// Core of the semaphore.
        core: u32,
        /// The semaphore.
        sem: u8,
        /// Value it would have.
        value: u32,
    },
    /// Loops nested too deep.
    LoopDepth,
    /// A loop body reaches past the end of the loop around it, or of the code.
    LoopBody {
        /// One past the last instruction of the body.
        end: u64,
        /// Where the surrounding body or the code ends.
        limit: u64,
    },
    /// Control ran past the last instruction.
    PcEnd {
        /// Instructions of the entry.
        len: u64,
    },
    /// Semaphores hold tokens when all is done.
    Leftover(Vec<Leftover>),
    /// Everybody waits.
    Deadlock(Vec<Waiter>),
    /// The launch executed more instructions than allowed.
    Runaway {
        /// The limit.
        limit: u64,
    },
    /// A semaphore the chip does not have.
    NoSuchSem {
        /// The semaphore.
        sem: u8,
        /// How many there are.
        count: u32,
    },
    /// A product of types that the chip does not have.
    NoSuchProduct {
        /// The class of the product.
        class: MacClass,
    },
    /// The weights are not those that the binary was written with.
    WeightHash(String),
    /// The emulator contradicts itself.
    Internal(String),
}

impl FaultKind {
    /// The names of all kinds that a program can bring about.
    pub const NAMES: &'static [&'static str] = &[
        "bad-operand",
        "out-of-bounds",
        "straddles-weights",
        "misaligned",
        "too-large",
        "uninitialised-read",
        "race",
        "write-to-weights",
        "index-range",
        "core-range",
        "launch-register",
        "semaphore-overflow",
        "loop-depth",
        "loop-body",
        "pc-end",
        "leftover-tokens",
        "deadlock",
        "runaway",
        "no-such-semaphore",
        "no-such-product",
        "weights-hash",
    ];

    /// Whose problem it is.
    pub fn category(&self) -> Category {
        match self {
            FaultKind::NoSuchSem { .. } | FaultKind::NoSuchProduct { .. } => Category::Unsupported,
            FaultKind::Internal(_) => Category::Bug,
            FaultKind::BadOperand(_)
            | FaultKind::OutOfBounds { .. }
            | FaultKind::Straddle { .. }
            | FaultKind::Misaligned { .. }
            | FaultKind::TooLarge { .. }
            | FaultKind::Uninit { .. }
            | FaultKind::Race { .. }
            | FaultKind::WeightWrite { .. }
            | FaultKind::Index { .. }
            | FaultKind::CoreRange { .. }
            | FaultKind::LaunchRegister { .. }
            | FaultKind::SemOverflow { .. }
            | FaultKind::LoopDepth
            | FaultKind::LoopBody { .. }
            | FaultKind::PcEnd { .. }
            | FaultKind::Leftover(_)
            | FaultKind::Deadlock(_)
            | FaultKind::Runaway { .. }
            | FaultKind::WeightHash(_) => Category::Program,
        }
    }

    /// The byte of a memory it is about, if it is about one.
    pub fn place(&self) -> Option<(Space, u64)> {
        match self {
            FaultKind::OutOfBounds { space, start, .. } => Some((*space, *start)),
            FaultKind::Straddle { start, .. } | FaultKind::WeightWrite { start, .. } => {
                Some((Space::Dram, *start))
            }
            FaultKind::Uninit { space, at, .. } | FaultKind::Race { space, at, .. } => {
                Some((*space, *at))
            }
            FaultKind::Misaligned {
                space,
                value,
                stride: false,
                ..
            } => Some((*space, *value)),
            _ => None,
        }
    }

    /// A short name of the kind, for tests and tools.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::BadOperand(_) => "bad-operand",
            FaultKind::OutOfBounds { .. } => "out-of-bounds",
            FaultKind::Straddle { .. } => "straddles-weights",
            FaultKind::Misaligned { .. } => "misaligned",
            FaultKind::TooLarge { .. } => "too-large",
            FaultKind::Uninit { .. } => "uninitialised-read",
            FaultKind::Race { .. } => "race",
            FaultKind::WeightWrite { .. } => "write-to-weights",
            FaultKind::Index { .. } => "index-range",
            FaultKind::CoreRange { .. } => "core-range",
            FaultKind::LaunchRegister { .. } => "launch-register",
            FaultKind::SemOverflow { .. } => "semaphore-overflow",
            FaultKind::LoopDepth => "loop-depth",
            FaultKind::LoopBody { .. } => "loop-body",
            FaultKind::PcEnd { .. } => "pc-end",
            FaultKind::Leftover(_) => "leftover-tokens",
            FaultKind::Deadlock(_) => "deadlock",
            FaultKind::Runaway { .. } => "runaway",
            FaultKind::NoSuchSem { .. } => "no-such-semaphore",
            FaultKind::NoSuchProduct { .. } => "no-such-product",
            FaultKind::WeightHash(_) => "weights-hash",
            FaultKind::Internal(_) => "internal",
        }
    }

    /// What may be done about it; empty if the message says it all.
    fn help(&self) -> &'static str {
        match self {
            FaultKind::Race { .. } => {
                "order them: a sem.post in the earlier queue and a sem.wait in the later one"
            }
            FaultKind::Uninit {
                space: Space::Sram(_),
                ..
            } => "SRAM holds nothing at the start of a launch; is a load or a wait missing?",
            FaultKind::Uninit {
                space: Space::Dram, ..
            } => {
                "neither the host nor this or an earlier launch has written it; is a store or a wait missing?"
            }

            FaultKind::Leftover(_) => {
                "each token posted must be taken by a sem.wait before the launch ends"
            }
            FaultKind::Runaway { .. } => "raise the limit if the program is meant to run this long",
            FaultKind::NoSuchSem { .. } | FaultKind::NoSuchProduct { .. } => {
                "compile for this chip"
            }
            FaultKind::WeightHash(_) => "copy or compile the file again",
            FaultKind::Internal(_) => "please report this with the binary",
            _ => "",
        }
    }
}

fn access(writes: bool) -> &'static str {
    if writes { "write" } else { "read" }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::BadOperand(reason) => f.write_str(reason),
            FaultKind::OutOfBounds {
                operand,
                space,
                start,
                end,
                limit,
            } => write!(
                f,
                "out of bounds: operand `{operand}` covers {space} {start:#x}..{end:#x}, but it ends at {limit:#x} ({} bytes missing)",
                end.saturating_sub(*limit)
            ),
            FaultKind::Straddle {
                operand,
                start,
                end,
                weights: (a, b),
            } => write!(
                f,
                "out of bounds: operand `{operand}` covers DRAM {start:#x}..{end:#x}, partly inside and partly outside the weights {a:#x}..{b:#x}"
            ),
            FaultKind::Misaligned {
                operand,
                space,
                value,
                stride,
                size,
            } => {
                let what = if *stride { "stride" } else { "address" };
                write!(
                    f,
                    "misaligned: operand `{operand}` in {space}: {what} {value:#x} is no multiple of its element size {size}"
                )
            }
            FaultKind::TooLarge {
                operand,
                bytes,
                limit,
            } => {
                write!(
                    f,
                    "operand `{operand}` names {bytes} bytes, counting repetitions (at most {limit})"
                )
            }
            FaultKind::Uninit {
                operand,
                space,
                range: (start, end),
                at,
                neighbour,
            } => {
                let since = match space {
                    Space::Sram(_) => " since the launch began",
                    Space::Dram => "",
                };
                write!(
                    f,
                    "read of uninitialised memory: operand `{operand}` covers {space} {start:#x}..{end:#x}, and byte {at:#x} was never written{since}"
                )?;
                match neighbour {
                    Some((from, to, site)) => {
                        write!(f, "\n    {from:#x}..{to:#x} of it was written by {site}")
                    }
                    None => Ok(()),
                }
            }
            FaultKind::Race {
                operand,
                space,
                at,
                len,
                writes,
                earlier_writes,
                earlier,
            } => write!(
                f,
                "race: {} of {space} {at:#x}..{:#x} ({len} bytes, operand `{operand}`) is not ordered with a {} of the same bytes\n    other {earlier}",
                access(*writes),
                at + len,
                access(*earlier_writes),
            ),
            FaultKind::WeightWrite {
                operand,
                start,
                end,
            } => {
                write!(
                    f,
                    "write to the weights: operand `{operand}` covers DRAM {start:#x}..{end:#x}, which is read only"
                )
            }
            FaultKind::Index {
                position,
                index,
                rows,
            } => {
                write!(
                    f,
                    "index out of range: element {position} of the index list is {index}, and the table has {rows} rows"
                )
            }
            FaultKind::CoreRange { core, cores } => {
                write!(
                    f,
                    "no such core: core {core} is addressed, and the chip has cores 0 to {}",
                    cores.saturating_sub(1)
                )
            }
            FaultKind::LaunchRegister { index, count } => {
                write!(
                    f,
                    "no such launch register: {index} is read, and the entry has {count}"
                )
            }
            FaultKind::SemOverflow { core, sem, value } => {
                write!(
                    f,
                    "semaphore overflow: semaphore {sem} of core {core} would hold {value} tokens (at most {})",
                    u16::MAX
                )
            }
            FaultKind::LoopDepth => f.write_str("loops are nested more than 8 deep"),
            FaultKind::LoopBody { end, limit } => {
                write!(
                    f,
                    "the loop body ends at pc {end}, past the end of what surrounds it at pc {limit}"
                )
            }
            FaultKind::PcEnd { len } => write!(
                f,
                "control ran past the last of {len} instructions without ctl.halt"
            ),
            FaultKind::Leftover(all) => {
                write!(
                    f,
                    "leftover tokens: {} semaphore(s) are not 0 at the end of the launch",
                    all.len()
                )?;
                for l in all {
                    write!(
                        f,
                        "\n    core {} semaphore {}: {} left, posted by {}",
                        l.core, l.sem, l.tokens, l.posted
                    )?;
                }
                Ok(())
            }
            FaultKind::Deadlock(all) => {
                write!(
                    f,
                    "deadlock: {} queue(s) or controllers wait, and nothing is left to wake them",
                    all.len()
                )?;
                for w in all.iter().take(SHOWN) {
                    write!(f, "\n    {}\n        waits: {}", w.site, w.reason)?;
                }
                if let more @ 1.. = all.len().saturating_sub(SHOWN) {
                    write!(f, "\n    and {more} more")?;
                }
                let ring = ring(all);
                if let Some(&first) = ring.first() {
                    f.write_str("\n    wait-for cycle:")?;
                    for (n, &i) in ring.iter().chain([&first]).enumerate() {
                        let arrow = if n == 0 { "" } else { " ->" };
                        let Site { core, unit, pc, .. } = &all[i].site;
                        write!(f, "{arrow} core {core} {unit} pc {pc}")?;
                    }
                }
                Ok(())
            }
            FaultKind::Runaway { limit } => {
                write!(f, "the launch executed more than {limit} instructions")
            }
            FaultKind::NoSuchSem { sem, count } => {
                write!(
                    f,
                    "semaphore {sem} is used, and this chip has semaphores 0 to {}",
                    count.saturating_sub(1)
                )
            }
            FaultKind::NoSuchProduct { class } => {
                write!(
                    f,
                    "the matrix unit of this chip has no {} products",
                    class.name()
                )
            }
            FaultKind::WeightHash(what) | FaultKind::Internal(what) => f.write_str(what),
        }
    }
}

/// A launch that was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// The instruction at fault; none for faults of a launch as a whole.
    pub site: Option<Site>,
    /// Name of the entry.
    pub entry: String,
    /// Cycle of the launch.
    pub cycle: u64,
    /// The buffer that is concerned, and where in it.
    pub buffer: Option<String>,
}

impl Fault {
    /// Whose problem it is.
    pub fn category(&self) -> Category {
        self.kind.category()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.category(), self.kind)?;
        if let Some(site) = &self.site {
            write!(f, "\n    at {site}")?;
        }
        if let Some(buffer) = &self.buffer {
            write!(f, "\n    touching {buffer}")?;
        }
        write!(f, "\n    in entry `{}`, cycle {}", self.entry, self.cycle)?;
        let help = self.kind.help();
        if !help.is_empty() {
            write!(f, "\n    help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
