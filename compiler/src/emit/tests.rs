//! Emitted code does what the tile program says: both are run, and the engine instructions compared.

use super::*;
use crate::check::trace;
use crate::sync::synchronise;
use crate::testing::*;
use crate::tile::{Expr, Extent};
use llmc_isa::{Regs, access, asm};
use proptest::prelude::*;

/// Runs the controller of one core and lists the resolved engine instructions.
fn run(code: &Code, core: i64, launch: &[i64]) -> Vec<Inst> {
    let mut out = Vec::new();
    crate::report::walk(&code.insts, core, launch, &mut |_, inst| out.push(*inst)).unwrap();
    out
}
