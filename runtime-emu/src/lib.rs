//! The emulator of the chip: it runs a compiled program from nothing but its binary and a chip file, and gives values and
//! cycles in one run.
//!
//! | module | holds |
//! |---|---|
//! | [`host`] | [`Session`]: what a host does with a program: open, launch entries, run a language model |
//! | [`machine`] | [`Machine`]: the chip with one program loaded |
//! | `launch` | one launch: controllers, queues, semaphores, the clock |
//! | `engines` | what each engine instruction does to memory |
//! | [`kernels`] | the arithmetic, vectorised, equal to the scalar definitions of `isa::numerics` to the bit |
//! | [`memory`] | storage, and the record of who wrote and read what |
//! | [`fault`] | what stops a program |
//! | [`fuzzing`] | properties that must hold for any bytes |
//! | [`stats`] | what a launch did and took |
//! | [`values`] | tensors of a model as bytes in DRAM, and back |
//!
//! This crate sees binaries only: it knows nothing of models, graphs or compilers.

mod engines;
pub mod fault;
pub mod fuzzing;
pub mod host;
pub mod kernels;
mod launch;
pub mod machine;
pub mod memory;
pub mod stats;
mod threads;
pub mod values;

pub use fault::{Category, Fault, FaultKind};
pub use host::{RunError, Session};
pub use machine::{Machine, Mode, Options, SetupError};
pub use stats::LaunchStats;
