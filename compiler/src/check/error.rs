//! What the checkers find.

use crate::tile::{Op, Program};

/// An op in a message: its text and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpRef {
    /// The op as text.
    pub text: String,
    /// The graph node.
    pub node: String,
    /// The core that runs it.
    pub core: u32,
}

impl OpRef {
    /// An op of a program.
    pub fn of(program: &Program, op: &Op, core: u32) -> OpRef {
        let origin = program.origins.get(op.origin.index());
        OpRef {
            text: op.text(program),
            node: origin.map(|o| o.node.clone()).unwrap_or_default(),
            core,
        }
    }
}

impl std::fmt::Display for OpRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` of core {} ({})", self.text, self.core, self.node)
    }
}

/// A range of bytes in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// `DRAM` or `SRAM of core 3`.
    pub memory: String,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// The buffer or ring.
    pub place: String,
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {:#x}..{:#x} (`{}`)",
            self.memory, self.start, self.end, self.place
        )
    }
}

/// A program is not safe: a bug in the compiler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Two accesses, one of them a write, that nothing orders.
    #[error("race on {bytes}: nothing orders {first} before {second}, {launch}")]
    Race {
        /// The earlier one in program order.
        first: OpRef,
        /// The later one.
        second: OpRef,
        /// Where they meet.
        bytes: Bytes,
        /// The sample launch.
        launch: String,
    },
    /// SRAM is read that was not written since the launch.
    #[error("{op} reads {bytes}, which nobody has written, {launch}")]
    Uninitialised {
        /// The reader.
        op: OpRef,
        /// What it reads.
        bytes: Bytes,
        /// The sample launch.
        launch: String,
    },
    /// A buffer was overwritten while it was still needed.
    #[error("{op} reads {bytes}, which {by} has overwritten as part of `{other}`, {launch}")]
    Clobbered {
        /// The reader.
        op: OpRef,
        /// What it reads.
        bytes: Bytes,
        /// The writer.
        by: OpRef,
        /// The place it wrote to.
        other: String,
        /// The sample launch.
        launch: String,
    },
    /// An access leaves its buffer or page.
    #[error("{op} touches {bytes}, outside of it ({size} bytes), {launch}")]
    Outside {
        /// The op.
        op: OpRef,
        /// What it touches.
        bytes: Bytes,
        /// Size of the place in bytes.
        size: u64,
        /// The sample launch.
        launch: String,
    },
    /// Weights or an input are written.
    #[error("{op} writes `{place}`, which is read only")]
    ReadOnly {
        /// The op.
        op: OpRef,
        /// The buffer.
        place: String,
    },
    /// Everybody waits.
    #[error("deadlock, {launch}: {}", .waits.join("; "))]
    Deadlock {
        /// Who waits for what; the first few.
        waits: Vec<String>,
        /// The sample launch.
        launch: String,
    },
    /// A semaphore is not 0 at the end.
    #[error("core {core}: semaphore {sem} still has {tokens} tokens at the end, {launch}")]
    Leftover {
        /// The core.
        core: u32,
        /// The semaphore.
        sem: u8,
        /// Its value.
        tokens: u64,
        /// The sample launch.
        launch: String,
    },
    /// The turns of a loop that was cut short do not leave a semaphore as they found it.
    #[error(
        "core {core}: each turn of a loop changes semaphore {sem} by {change}: the turns left out would, too, {launch}"
    )]
    Unbalanced {
        /// The core.
        core: u32,
        /// The semaphore.
        sem: u8,
        /// Tokens posted less tokens taken in a turn.
        change: i64,
        /// The sample launch.
        launch: String,
    },
    /// A semaphore that two engines wait for: who gets a token is a matter of luck.
    #[error("semaphore {sem} is waited for by {first} and by {second}")]
    TwoWaiters {
        /// The semaphore.
        sem: u8,
        /// One engine.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Tokens of several posters that may arrive in different orders.
    #[error("core {core}, semaphore {sem}: {problem}, {launch}")]
    Mixed {
        /// The core that waits.
        core: u32,
        /// The semaphore.
        sem: u8,
        /// What makes the order matter.
        problem: String,
        /// The sample launch.
        launch: String,
    },
    /// A loop runs more often than its bound says, or a post or wait has an impossible count.
    #[error("{problem}, {launch}")]
    Bound {
        /// What exceeds what.
        problem: String,
        /// The sample launch.
        launch: String,
    },
    /// Static placement: something overlaps, is misaligned or leaves its memory.
    #[error("{problem}")]
    Placement {
        /// What is wrong.
        problem: String,
    },
}

/// Everything the checkers found in one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckErrors {
    /// The entry.
    pub entry: String,
    /// At least one, at most [`super::ERRORS_SHOWN`].
    pub errors: Vec<CheckError>,
}

impl std::fmt::Display for CheckErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "entry `{}` is not safe:", self.entry)?;
        self.errors.iter().try_for_each(|e| write!(f, "\n  {e}"))
    }
}

impl std::error::Error for CheckErrors {}
