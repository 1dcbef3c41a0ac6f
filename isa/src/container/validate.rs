//! What a manifest promises, checked both when a container is written and when it is read.

use super::manifest::{DebugMap, Entry, Manifest};
use crate::{Chip, DType};
use std::collections::BTreeSet;

/// Bytes of an element of a tensor in DRAM: a type of the chip of whole bytes, or `i64` (token ids).
pub fn dtype_bytes(name: &str) -> Option<u64> {
    let known = DType::ALL.iter().find(|d| d.name() == name);
    match known {
        Some(dtype) if dtype.bits() >= 8 => Some(dtype.bytes().into()),
        _ => (name == "i64").then_some(8),
    }
}

/// A tensor or image in DRAM.
struct Region<'a> {
    what: String,
    dtype: &'a str,
    dims: &'a [u64],
    addr: u64,
    bytes: u64,
}

/// Checks all ranges of a manifest for a program of `code_len` instructions; the error says what is wrong.
pub(super) fn validate(
    manifest: &Manifest,
    debug: &DebugMap,
    chip: &Chip,
    code_len: u64,
) -> Result<(), String> {
    if manifest.chip_fingerprint != chip.fingerprint() || manifest.chip_name != chip.name() {
        return Err(format!(
            "the program was compiled for chip `{}` ({}), but carries chip `{}` ({})",
            manifest.chip_name,
            manifest.chip_fingerprint,
            chip.name(),
            chip.fingerprint()
        ));
    }
    if manifest.dram_bytes > chip.dram_bytes() {
        return Err(format!(
            "the program needs {} bytes of DRAM, chip `{}` has {}",
            manifest.dram_bytes,
            chip.name(),
            chip.dram_bytes()
        ));
    }
    let weights = &manifest.weights;
    if weights.blake3.len() != blake3::OUT_LEN {
        return Err(format!(
            "the hash of the weights has {} bytes, not {}",
            weights.blake3.len(),
            blake3::OUT_LEN
        ));
    }
    inside(
        "the weights image",
        weights.dram_addr,
        weights.bytes,
        manifest.dram_bytes,
    )?;

    let mut names = BTreeSet::new();
    for entry in &manifest.entries {
        if entry.name.is_empty()
            || entry
                .name
                .contains(|c: char| c.is_control() || c.is_whitespace() || c == ';')
        {
            return Err(format!("{:?} cannot name an entry", entry.name));
        }
        if !names.insert(&entry.name) {
            return Err(format!("there are two entries `{}`", entry.name));
        }
        check_entry(entry, code_len)?;
        let tensors = entry
            .inputs
            .iter()
            .map(|t| ("input", t))
            .chain(entry.outputs.iter().map(|t| ("output", t)));
        for (kind, t) in tensors {
            let what = format!("{kind} `{}` of entry `{}`", t.name, entry.name);
            region(
                Region {
                    what,
                    dtype: &t.dtype,
                    dims: &t.dims,
                    addr: t.dram_addr,
                    bytes: t.bytes,
                },
                manifest,
            )?;
        }
    }
    for t in &manifest.states {
        let what = format!("state `{}`", t.name);
        region(
            Region {
                what,
                dtype: &t.dtype,
                dims: &t.dims,
                addr: t.dram_addr,
                bytes: t.bytes,
            },
            manifest,
        )?;
    }

    if debug.inst_op.len() as u64 > code_len {
        return Err(format!(
            "the debug map has {} instructions, the code {code_len}",
            debug.inst_op.len()
        ));
    }
    match debug
        .inst_op
        .iter()
        .find(|id| **id as usize > debug.ops.len())
    {
        Some(id) => Err(format!(
            "the debug map names operation {id}, it has {}",
            debug.ops.len()
        )),
        None => Ok(()),
    }
}

fn check_entry(entry: &Entry, code_len: u64) -> Result<(), String> {
    let (name, start, length) = (&entry.name, entry.code_offset, entry.code_len);
    if length == 0 {
        return Err(format!("entry `{name}` has no instructions"));
    }
    match start.checked_add(length) {
        Some(end) if end <= code_len => {}
        _ => {
            return Err(format!(
                "entry `{name}` has {length} instructions from {start} on, the code has {code_len} in all"
            ));
        }
    }
    match entry.launch.iter().find(|l| i64::try_from(l.max).is_err()) {
        Some(l) => Err(format!(
            "launch register `{}` of entry `{name}` has maximum {}",
            l.name, l.max
        )),
        None => Ok(()),
    }
}

/// The region lies in the program's DRAM, has the size of its dimensions, and does not touch the weights.
fn region(r: Region<'_>, manifest: &Manifest) -> Result<(), String> {
    let element = dtype_bytes(r.dtype)
        .ok_or_else(|| format!("{} has unknown element type `{}`", r.what, r.dtype))?;
    let size = r
        .dims
        .iter()
        .try_fold(element, |all, n| all.checked_mul(*n));
    if size != Some(r.bytes) {
        return Err(format!(
            "{} is {}{:?} but has {} bytes",
            r.what, r.dtype, r.dims, r.bytes
        ));
    }
    inside(&r.what, r.addr, r.bytes, manifest.dram_bytes)?;
    let weights = &manifest.weights;
    let disjoint = r.addr.saturating_add(r.bytes) <= weights.dram_addr
        || weights.dram_addr.saturating_add(weights.bytes) <= r.addr
        || r.bytes == 0
        || weights.bytes == 0;
    if disjoint {
        Ok(())
    } else {
        Err(format!("{} at {:#x} overlaps the weights", r.what, r.addr))
    }
}

fn inside(what: &str, addr: u64, bytes: u64, dram_bytes: u64) -> Result<(), String> {
    match addr.checked_add(bytes) {
        Some(end) if end <= dram_bytes => Ok(()),
        _ => Err(format!(
            "{what} has {bytes} bytes at {addr:#x}, beyond the {dram_bytes} bytes of DRAM the program uses"
        )),
    }
}
