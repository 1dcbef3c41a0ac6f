//! The DRAM map: weights, states, io, scratch.

use super::{ALIGN, AllocError, WEIGHT_ALIGN, align_up, fit_scratch};
use crate::tile::{BufferId, Program, Space};
use std::collections::BTreeMap;

/// A named range of DRAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Name of the weight, state, input or output.
    pub name: String,
    /// First byte.
    pub addr: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// Inputs and outputs of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryIo {
    /// What the host writes, in the order of the entry's buffers.
    pub inputs: Vec<Region>,
    /// What the host reads.
    pub outputs: Vec<Region>,
}

/// Where everything in DRAM is. Weights first, so that the image can be mapped; then states, which outlive launches; then
/// the io tensors of all entries; then scratch, which all entries share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DramMap {
    /// The weight image: address and bytes.
    pub image: (u64, u64),
    /// The constants in it, by name.
    pub weights: BTreeMap<String, Region>,
    /// The states, by name.
    pub states: BTreeMap<String, Region>,
    /// Inputs and outputs, by entry name.
    pub io: BTreeMap<String, EntryIo>,
    /// Addresses of the scratch buffers, by entry name.
    pub scratch: BTreeMap<String, Vec<(BufferId, u64)>>,
    /// Bytes of the scratch.
    pub scratch_bytes: u64,
    /// Bytes of DRAM used.
    pub bytes: u64,
}

impl DramMap {
    /// Lays out DRAM. `image_bytes` and `weights` describe the weight image (addresses relative to its start), `states` are
    /// names and bytes, and the io tensors are those of `programs`.
    ///
    /// # Errors
    /// [`AllocError::Dram`] if the chip has less than it takes.
    pub fn build(
        image_bytes: u64,
        weights: &[Region],
        states: &[(String, u64)],
        programs: &[&Program],
        available: u64,
    ) -> Result<DramMap, AllocError> {
        let mut map = DramMap {
            image: (0, image_bytes),
            ..DramMap::default()
        };
        map.weights = weights
            .iter()
            .map(|w| (w.name.clone(), w.clone()))
            .collect();
        let mut at = align_up(image_bytes, WEIGHT_ALIGN);
        let mut take = |name: &str, bytes: u64| {
            let region = Region {
                name: name.to_string(),
                addr: at,
                bytes,
            };
            at = align_up(at + bytes, ALIGN);
            region
        };
        for (name, bytes) in states {
            map.states.insert(name.clone(), take(name, *bytes));
        }
        for program in programs {
            let mut io = EntryIo::default();
            for buffer in &program.buffers {
                let (name, list) = match &buffer.space {
                    Space::Input(name) => (name, &mut io.inputs),
                    Space::Output(name) => (name, &mut io.outputs),
                    Space::Sram | Space::Weights(_) | Space::State(_) | Space::Scratch => continue,
                };
                if !list.iter().any(|r| r.name == *name) {
                    list.push(take(name, buffer.bytes));
                }
            }
            map.io.insert(program.name.clone(), io);
        }
        for program in programs {
            let (placed, bytes) = fit_scratch(program);
            let placed = placed.into_iter().map(|(id, offset)| (id, at + offset));
            map.scratch.insert(program.name.clone(), placed.collect());
            map.scratch_bytes = map.scratch_bytes.max(bytes);
        }
        map.bytes = at + map.scratch_bytes;
        if map.bytes > available {
            let state_bytes = map.states.values().map(|r| r.bytes).sum();
            let parts = [
                ("weights", image_bytes),
                ("states", state_bytes),
                ("io", map.io_bytes()),
                ("scratch", map.scratch_bytes),
            ];
            return Err(AllocError::Dram {
                needs: map.bytes,
                available,
                missing: map.bytes - available,
                parts: parts.map(|(n, b)| (n.to_string(), b)).to_vec(),
            });
        }
        Ok(map)
    }

    /// Bytes of all inputs and outputs.
    pub fn io_bytes(&self) -> u64 {
        self.io
            .values()
            .flat_map(|io| io.inputs.iter().chain(&io.outputs))
            .map(|r| r.bytes)
            .sum()
    }

    /// Gives the DRAM buffers of a program their addresses.
    ///
    /// # Errors
    /// [`AllocError::Region`] if the map lacks one.
    pub fn assign(&self, program: &mut Program) -> Result<(), AllocError> {
        let none = EntryIo::default();
        let io = self.io.get(&program.name).unwrap_or(&none);
        for (id, addr) in self.scratch.get(&program.name).into_iter().flatten() {
            if let Some(buffer) = program.buffers.get_mut(id.index()) {
                buffer.addr = Some(*addr);
            }
        }
        for buffer in &mut program.buffers {
            let (name, region) = match &buffer.space {
                Space::Sram | Space::Scratch => continue,
                Space::Weights(name) => (name, self.weights.get(name)),
                Space::State(name) => (name, self.states.get(name)),
                Space::Input(name) => (name, io.inputs.iter().find(|r| r.name == *name)),
                Space::Output(name) => (name, io.outputs.iter().find(|r| r.name == *name)),
            };
            let base = if matches!(buffer.space, Space::Weights(_)) {
                self.image.0
            } else {
                0
            };
            let problem = match region {
                Some(r) if buffer.bytes <= r.bytes => {
                    buffer.addr = Some(base + r.addr);
                    continue;
                }
                Some(r) => format!("which has only {} bytes", r.bytes),
                None => "which is not in the DRAM map".to_string(),
            };
            return Err(AllocError::Region {
                entry: program.name.clone(),
                buffer: buffer.name.clone(),
                name: name.clone(),
                bytes: buffer.bytes,
                problem,
            });
        }
        Ok(())
    }
}
