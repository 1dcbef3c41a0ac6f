//! First fit of rings and buffers in the scratchpad, and of scratch buffers in DRAM.

use super::{ALIGN, AllocError, LiveRange, align_up, live_ranges};
use crate::tile::{BufferId, Program, Space};

/// How many residents an error lists.
const RESIDENTS_SHOWN: usize = 6;

/// SRAM that a program takes on every core, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SramUse {
    /// All rings.
    pub rings: u64,
    /// Highest address of a buffer, less the rings.
    pub buffers: u64,
}

impl SramUse {
    /// Rings and buffers.
    pub fn total(self) -> u64 {
        self.rings + self.buffers
    }
}

/// A placement of the buffers relative to the end of the rings.
struct Fit {
    /// Address of each buffer that is used, in the order of placement.
    placed: Vec<(BufferId, LiveRange, u64)>,
    peak: u64,
}

fn ring_bytes(program: &Program) -> u64 {
    program
        .rings
        .iter()
        .map(|r| align_up(r.page * u64::from(r.slots), ALIGN))
        .sum()
}

fn size(program: &Program, id: BufferId) -> u64 {
    program
        .buffers
        .get(id.index())
        .map_or(0, |b| align_up(b.bytes.max(1), ALIGN))
}

fn first_fit(program: &Program, order: &[(BufferId, LiveRange)]) -> Fit {
    let mut fit = Fit {
        placed: Vec::with_capacity(order.len()),
        peak: 0,
    };
    for &(id, range) in order {
        let bytes = size(program, id);
        let mut busy: Vec<(u64, u64)> = fit
            .placed
            .iter()
            .filter(|(_, r, _)| r.meets(range))
            .map(|&(other, _, at)| (at, at + size(program, other)))
            .collect();
        busy.sort_unstable();
        let mut at = 0;
        for (start, end) in busy {
            if at + bytes <= start {
                break;
            }
            at = at.max(end);
        }
        fit.peak = fit.peak.max(at + bytes);
        fit.placed.push((id, range, at));
    }
    fit
}

fn best_fit(program: &Program, space: &Space) -> Fit {
    let mut order: Vec<(BufferId, LiveRange)> = live_ranges(program, space).into_iter().collect();
    order.sort_by_key(|(id, r)| (r.start, *id));
    let in_order = first_fit(program, &order);
    order.sort_by_key(|(id, r)| (std::cmp::Reverse(size(program, *id)), r.start, *id));
    let largest_first = first_fit(program, &order);
    if largest_first.peak < in_order.peak {
        largest_first
    } else {
        in_order
    }
}

/// How much SRAM the program takes with its present rings; does not place anything.
pub fn sram_use(program: &Program) -> SramUse {
    SramUse {
        rings: ring_bytes(program),
        buffers: best_fit(program, &Space::Sram).peak,
    }
}

/// Where the scratch buffers go, relative to the start of the scratch, and the bytes of all of it.
pub fn fit_scratch(program: &Program) -> (Vec<(BufferId, u64)>, u64) {
    let fit = best_fit(program, &Space::Scratch);
    let placed = fit.placed.iter().map(|(id, _, at)| (*id, *at)).collect();
    (placed, fit.peak)
}

/// Gives every ring and every SRAM buffer that is used an address, and unused ones address 0.
///
/// # Errors
/// [`AllocError::Sram`] if they do not fit into `available` bytes; addresses are then unspecified.
pub fn place_sram(program: &mut Program, available: u64) -> Result<SramUse, AllocError> {
    let fit = best_fit(program, &Space::Sram);
    let mut at = 0;
    for ring in &mut program.rings {
        ring.addr = Some(at);
        at += align_up(ring.page * u64::from(ring.slots), ALIGN);
    }
    let rings = at;
    for buffer in program
        .buffers
        .iter_mut()
        .filter(|b| b.space == Space::Sram)
    {
        buffer.addr = Some(0);
    }
    for &(id, _, offset) in &fit.placed {
        program.buffers[id.index()].addr = Some(rings + offset);
    }
    let used = SramUse {
        rings,
        buffers: fit.peak,
    };
    if used.total() <= available {
        Ok(used)
    } else {
        Err(too_large(program, &fit, used, available))
    }
}

fn too_large(program: &Program, fit: &Fit, used: SramUse, available: u64) -> AllocError {
    let outside = fit
        .placed
        .iter()
        .find(|(id, _, at)| used.rings + at + size(program, *id) > available);
    let mut residents: Vec<(String, u64)> = program
        .rings
        .iter()
        .map(|r| {
            (
                format!("ring {} ({} pages)", r.name, r.slots),
                r.page * u64::from(r.slots),
            )
        })
        .collect();
    let (tile, needs) = match outside {
        Some(&(id, range, _)) => {
            let alive = fit
                .placed
                .iter()
                .filter(|(other, r, _)| *other != id && r.meets(range));
            residents.extend(alive.map(|(other, ..)| {
                (
                    program.buffers[other.index()].name.clone(),
                    program.buffers[other.index()].bytes,
                )
            }));
            (
                program.buffers[id.index()].name.clone(),
                program.buffers[id.index()].bytes,
            )
        }
        // The rings alone are too large.
        None => residents
            .iter()
            .max_by_key(|(_, bytes)| *bytes)
            .cloned()
            .unwrap_or_default(),
    };
    residents.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    residents.truncate(RESIDENTS_SHOWN);
    let peak = used.total();
    AllocError::Sram {
        entry: program.name.clone(),
        tile,
        needs,
        available,
        peak,
        missing: peak - available,
        residents,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn chain() -> Build {
        let mut b = Build::new(1);
        let ids: Vec<_> = (0..4).map(|i| b.sram(&format!("t{i}"), 1000)).collect();
        b.op(fill(ids[0], 250));
        for w in ids.windows(2) {
            b.op(copy(w[1], w[0], 250));
        }
        b
    }

    #[test]
    fn dead_buffers_are_reused() {
        let mut b = chain();
        let used = place_sram(&mut b.program, 4096).unwrap();
        assert_eq!(
            used,
            SramUse {
                rings: 0,
                buffers: 2048
            }
        );
        assert_eq!(b.program.buffers[0].addr, b.program.buffers[2].addr);
        assert_ne!(b.program.buffers[0].addr, b.program.buffers[1].addr);
    }

    #[test]
    fn error_names_the_tile_and_what_is_missing() {
        let mut b = chain();
        let text = place_sram(&mut b.program, 1536).unwrap_err().to_string();
        assert_eq!(
            text,
            "entry `test`: tile `t1` (1000 bytes) does not fit: a core has 1536 bytes of SRAM, the program needs 2048, 512 bytes are \
             missing; largest at that time: t0 1000, t2 1000"
        );
    }
}
