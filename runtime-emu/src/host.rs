//! What a host does with a program: open it, set inputs, launch entries, read outputs; and, for language models, keep the
//! position and cut prompts into launches. The host does no arithmetic of the model.

use crate::fault::Fault;
use crate::machine::{HostAccess, Machine, Options, SetupError};
use crate::stats::LaunchStats;
use crate::values::{ValueError, from_chip, to_chip};
use llmc_isa::Chip;
use llmc_isa::container::{
    Binary, ContainerError, Entry, IoTensor, Manifest, StateTensor, dtype_bytes,
};
use llmc_tensor::Tensor;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// Why a program could not be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The file is no valid program.
    #[error(transparent)]
    Binary(#[from] ContainerError),
    /// The program does not fit the chip or the host.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The program was stopped.
    #[error(transparent)]
    Fault(#[from] Box<Fault>),
    /// A tensor that does not fit.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// No such entry.
    #[error("the program has no entry `{name}`; it has: {have}")]
    NoEntry {
        /// What was asked for.
        name: String,
        /// What there is.
        have: String,
    },
    /// No such input, output or state.
    #[error("no {what} `{name}`; there is: {have}")]
    NoTensor {
        /// `input of entry x`, `output of entry x` or `state`.
        what: String,
        /// What was asked for.
        name: String,
        /// What there is.
        have: String,
    },
    /// An input that was not given.
    #[error("entry `{entry}` needs the input `{name}`")]
    MissingInput {
        /// The entry.
        entry: String,
        /// The input.
        name: String,
    },
    /// Too many bytes, or a fraction of an element.
    #[error(
        "{what} has {given} bytes, and `{name}` takes up to {capacity} in elements of {element}"
    )]
    Size {
        /// What has the wrong size.
        what: &'static str,
        /// The tensor.
        name: String,
        /// Bytes given or asked for.
        given: u64,
        /// Bytes it takes.
        capacity: u64,
        /// Bytes of an element.
        element: u64,
    },
    /// The wrong number of launch registers.
    #[error("entry `{entry}` has {expected} launch registers, {given} were given")]
    RegisterCount {
        /// The entry.
        entry: String,
        /// How many it has.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// A launch register out of range.
    #[error("launch register `{name}` of entry `{entry}` is {value}, allowed is 0 to {max}")]
    Register {
        /// The entry.
        entry: String,
        /// The register.
        name: String,
        /// The value given.
        value: i64,
        /// The largest allowed.
        max: u64,
    },
    /// The host cannot access the DRAM of a tensor.
    #[error("tensor `{name}`: {reason}")]
    Access {
        /// The tensor.
        name: String,
        /// Why not.
        reason: HostAccess,
    },
    /// A token the model does not know.
    #[error(
        "token {token} at position {index} of the input is not in the vocabulary of {vocab} tokens"
    )]
    Token {
        /// The token.
        token: u32,
        /// Its index in what was given.
        index: usize,
        /// Size of the vocabulary.
        vocab: u64,
    },
    /// More tokens than the state has room for.
    #[error(
        "context overflow: {tokens} tokens after {position} do not fit the maximum context of {max}"
    )]
    Context {
        /// Tokens so far.
        position: u64,
        /// Tokens given.
        tokens: u64,
        /// Room.
        max: u64,
    },
    /// Nothing to run.
    #[error("no tokens were given")]
    NoTokens,
    /// The entry is not what a language model's entry looks like.
    #[error("entry `{entry}` is no entry of a language model: {reason}")]
    NoModel {
        /// The entry.
        entry: String,
        /// What is missing.
        reason: String,
    },
}

/// Logits and what they took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logits {
    /// `[rows][vocab]`; empty if the machine carries no data.
    pub values: Vec<f32>,
    /// Sum over the launches.
    pub stats: LaunchStats,
    /// Number of launches.
    pub launches: u64,
}

impl Logits {
    /// Takes over the values of the last launch and adds up the statistics.
    fn then(&mut self, values: Vec<f32>, stats: &LaunchStats, keep: bool) {
        if keep {
            self.values.extend(values);
        } else {
            self.values = values;
        }
        self.stats.add(stats);
        self.launches += 1;
    }
}

/// A program on a machine, with the position of a language model's context.
pub struct Session {
    machine: Machine,
    position: u64,
}

fn names<'a>(all: impl Iterator<Item = &'a String>) -> String {
    let all: Vec<_> = all.map(|n| format!("`{n}`")).collect();
    if all.is_empty() {
        "none".to_string()
    } else {
        all.join(", ")
    }
}

fn find<'a>(
    tensors: &'a [IoTensor],
    what: &str,
    entry: &str,
    name: &str,
) -> Result<&'a IoTensor, RunError> {
    tensors
        .iter()
        .find(|t| t.name == name)
        .ok_or_else(|| RunError::NoTensor {
            what: format!("{what} of entry `{entry}`"),
            name: name.to_string(),
            have: names(tensors.iter().map(|t| &t.name)),
        })
}

impl Session {
    /// Opens a binary file on `chip`, or on the chip it was compiled for.
    ///
    /// # Errors
    /// If the file is not a valid program, or does not fit the chip or the host.
    pub fn open(path: &Path, chip: Option<Chip>, options: Options) -> Result<Session, RunError> {
        Session::new(Arc::new(Binary::read(path)?), chip, options)
    }

    /// A session with a program that has been read.
    ///
    /// # Errors
    /// If it does not fit the chip or the host.
    pub fn new(
        binary: Arc<Binary>,
        chip: Option<Chip>,
        options: Options,
    ) -> Result<Session, RunError> {
        Ok(Session {
            machine: Machine::new(binary, chip, options)?,
            position: 0,
        })
    }

    /// The machine.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// What the program says of itself.
    pub fn manifest(&self) -> &Manifest {
        self.machine.binary().manifest()
    }

    /// The chip.
    pub fn chip(&self) -> &Chip {
        self.machine.chip()
    }

    fn entry(&self, name: &str) -> Result<Entry, RunError> {
        let manifest = self.manifest();
        manifest
            .entry(name)
            .cloned()
            .ok_or_else(|| RunError::NoEntry {
                name: name.to_string(),
                have: names(manifest.entries.iter().map(|e| &e.name)),
            })
    }

    /// Launches an entry: writes the inputs (little endian; fewer than the capacity is fine), runs it, and leaves the
    /// outputs to [`Session::output`]. What is not given of an input counts as uninitialised.
    ///
    /// # Errors
    /// If names, sizes or registers do not fit the entry, before anything is launched; or the fault that stopped it.
    pub fn launch(
        &mut self,
        entry: &str,
        regs: &[i64],
        inputs: &[(&str, &[u8])],
    ) -> Result<LaunchStats, RunError> {
        let entry = self.entry(entry)?;
        if regs.len() != entry.launch.len() {
            let (expected, given) = (entry.launch.len(), regs.len());
            return Err(RunError::RegisterCount {
                entry: entry.name,
                expected,
                given,
            });
        }
        for (reg, &value) in entry.launch.iter().zip(regs) {
            if !u64::try_from(value).is_ok_and(|v| v <= reg.max) {
                return Err(RunError::Register {
                    entry: entry.name,
                    name: reg.name.clone(),
                    value,
                    max: reg.max,
                });
            }
        }
        for (name, bytes) in inputs {
            let tensor = find(&entry.inputs, "input", &entry.name, name)?;
            check_size("input", tensor, bytes.len() as u64)?;
        }
        if let Some(missing) = entry
            .inputs
            .iter()
            .find(|t| inputs.iter().all(|(name, _)| *name != t.name))
        {
            return Err(RunError::MissingInput {
                entry: entry.name,
                name: missing.name.clone(),
            });
        }
        let access = |t: &IoTensor| {
            let name = t.name.clone();
            move |reason| RunError::Access { name, reason }
        };
        for tensor in entry.inputs.iter().chain(&entry.outputs) {
            self.machine
                .forget_dram(tensor.dram_addr, tensor.bytes)
                .map_err(access(tensor))?;
        }
        for (name, bytes) in inputs {
            let tensor = find(&entry.inputs, "input", &entry.name, name)?;
            self.machine
                .write_dram(tensor.dram_addr, bytes)
                .map_err(access(tensor))?;
        }
        Ok(self.machine.launch(&entry, regs)?)
    }

    /// Launches an entry without launch registers on tensors of the model's types and shapes, and returns its outputs as the model
    /// has them, in the entry's order; in timing mode there are none.
    ///
    /// # Errors
    /// As [`Session::launch`] and [`Session::output`]; and if an input is not what the model takes.
    pub fn call(
        &mut self,
        entry: &str,
        inputs: &[(&str, &Tensor)],
    ) -> Result<(Vec<(String, Tensor)>, LaunchStats), RunError> {
        let about = self.entry(entry)?;
        let mut given = Vec::new();
        for (name, tensor) in inputs {
            let io = find(&about.inputs, "input", entry, name)?;
            given.push((*name, to_chip(io, tensor)?));
        }
        let bytes: Vec<(&str, &[u8])> = given.iter().map(|(n, b)| (*n, b.as_slice())).collect();
        let stats = self.launch(entry, &[], &bytes)?;
        let mut outputs = Vec::new();
        if self.machine.has_values() {
            for io in &about.outputs {
                let bytes = self.output(entry, &io.name, None)?;
                outputs.push((io.name.clone(), from_chip(io, bytes)?));
            }
        }
        Ok((outputs, stats))
    }

    /// The first `rows` rows of an output along its outermost dimension (all if `None`), little endian, as the last launch
    /// of the entry left it; empty in timing mode.
    ///
    /// # Errors
    /// If there is no such output, it has fewer rows, or the program did not write all of them.
    pub fn output(
        &mut self,
        entry: &str,
        name: &str,
        rows: Option<u64>,
    ) -> Result<Vec<u8>, RunError> {
        let entry = self.entry(entry)?;
        let tensor = find(&entry.outputs, "output", &entry.name, name)?;
        let outer = tensor.dims.first().copied().unwrap_or(1).max(1);
        let bytes = rows.map_or(tensor.bytes, |rows| tensor.bytes / outer * rows);
        check_size("the part asked for", tensor, bytes)?;
        let read = self.machine.read_dram(tensor.dram_addr, bytes);
        read.map(<[u8]>::to_vec).map_err(|reason| RunError::Access {
            name: tensor.name.clone(),
            reason,
        })
    }

    // --- language models ---------------------------------------------------------------------------------------------

    /// Tokens the state holds.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Tokens that still fit.
    pub fn room(&self) -> u64 {
        self.manifest()
            .model
            .max_context
            .saturating_sub(self.position)
    }

    /// Largest number of tokens of one launch of `prefill` or `score`.
    pub fn chunk(&self) -> usize {
        (self.manifest().model.prefill as usize).max(1)
    }

    /// Forgets all tokens; the state counts as uninitialised.
    ///
    /// # Errors
    /// If the manifest places a state outside the memory.
    pub fn reset(&mut self) -> Result<(), RunError> {
        for state in self.manifest().states.clone() {
            let forget = self.machine.forget_dram(state.dram_addr, state.bytes);
            forget.map_err(|reason| RunError::Access {
                name: state.name,
                reason,
            })?;
        }
        self.position = 0;
        Ok(())
    }

    /// Goes back to `position`, if it lies behind; what comes next overwrites what followed.
    pub fn rewind(&mut self, position: u64) {
        self.position = self.position.min(position);
    }

    /// Appends tokens to the context and returns the logits after the last one.
    ///
    /// # Errors
    /// Unknown tokens and context overflow, before anything is launched; or a fault.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<Logits, RunError> {
        let chunk = self.chunk();
        self.prefill_in_chunks(tokens, chunk)
    }

    /// As [`Session::prefill`], with at most `chunk` tokens per launch (and at most [`Session::chunk`]).
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn prefill_in_chunks(&mut self, tokens: &[u32], chunk: usize) -> Result<Logits, RunError> {
        self.check(tokens)?;
        let mut logits = Logits::default();
        for part in tokens.chunks(chunk.clamp(1, self.chunk())) {
            let (values, stats) = self.step("prefill", part, 1)?;
            logits.then(values, &stats, false);
        }
        Ok(logits)
    }

    /// Appends tokens to the context and returns the logits after each one.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn score(&mut self, tokens: &[u32]) -> Result<Logits, RunError> {
        let chunk = self.chunk();
        self.score_in_chunks(tokens, chunk)
    }

    /// As [`Session::score`], with at most `chunk` tokens per launch (and at most [`Session::chunk`]).
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn score_in_chunks(&mut self, tokens: &[u32], chunk: usize) -> Result<Logits, RunError> {
        self.check(tokens)?;
        let mut logits = Logits::default();
        for part in tokens.chunks(chunk.clamp(1, self.chunk())) {
            let (values, stats) = self.step("score", part, part.len() as u64)?;
            logits.then(values, &stats, true);
        }
        Ok(logits)
    }

    /// Appends one token to the context and returns the logits after it.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn decode(&mut self, token: u32) -> Result<Logits, RunError> {
        self.check(&[token])?;
        let mut logits = Logits::default();
        let (values, stats) = self.step("decode", &[token], 1)?;
        logits.then(values, &stats, false);
        Ok(logits)
    }

    /// Whether `tokens` can be appended now: there are some, all are in the vocabulary, and they fit the context.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, tokens: &[u32]) -> Result<(), RunError> {
        let model = &self.manifest().model;
        if tokens.is_empty() {
            return Err(RunError::NoTokens);
        }
        if let Some((index, &token)) = tokens
            .iter()
            .enumerate()
            .find(|(_, t)| u64::from(**t) >= model.vocab)
        {
            return Err(RunError::Token {
                token,
                index,
                vocab: model.vocab,
            });
        }
        let (position, n, max) = (self.position, tokens.len() as u64, model.max_context);
        if position + n > max {
            return Err(RunError::Context {
                position,
                tokens: n,
                max,
            });
        }
        Ok(())
    }

    /// One launch of an entry that takes `input_ids` and gives `logits`.
    fn step(
        &mut self,
        name: &str,
        tokens: &[u32],
        rows: u64,
    ) -> Result<(Vec<f32>, LaunchStats), RunError> {
        let entry = self.entry(name)?;
        let no_model = |reason: String| RunError::NoModel {
            entry: name.to_string(),
            reason,
        };
        let regs = entry.launch.iter().map(|reg| match reg.name.as_str() {
            "tokens" => Ok(tokens.len() as i64),
            "past" => Ok(self.position as i64),
            other => Err(no_model(format!("it has a launch register `{other}`"))),
        });
        let regs = regs.collect::<Result<Vec<_>, _>>()?;
        let [ids] = entry.inputs.as_slice() else {
            return Err(no_model(format!("it has {} inputs", entry.inputs.len())));
        };
        // Files may have hidden states as further outputs.
        let logits = match entry.outputs.as_slice() {
            [only] => only,
            all => all.iter().find(|t| t.name == "logits").ok_or_else(|| {
                let have = names(all.iter().map(|t| &t.name));
                no_model(format!("none of its outputs is called `logits`: {have}"))
            })?,
        };
        let bytes: Vec<u8> = match ids.dtype.as_str() {
            "i64" => tokens
                .iter()
                .flat_map(|&t| i64::from(t).to_le_bytes())
                .collect(),
            "i32" => tokens.iter().flat_map(|&t| t.to_le_bytes()).collect(),
            other => return Err(no_model(format!("its input `{}` is {other}", ids.name))),
        };
        let stats = self.launch(name, &regs, &[(&ids.name, &bytes)])?;
        self.position += tokens.len() as u64;
        let raw = self.output(name, &logits.name, Some(rows))?;
        let values = match logits.dtype.as_str() {
            "f32" => raw
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            "bf16" => raw
                .chunks_exact(2)
                .map(|b| llmc_isa::numerics::from_bf16(u16::from_le_bytes([b[0], b[1]])))
                .collect(),
            other => return Err(no_model(format!("its output `{}` is {other}", logits.name))),
        };
        Ok((values, stats))
    }

    /// The valid part of a state, row-major and little endian: along the dimension that has the size of the maximum
    /// context, the first [`Session::position`] rows; all of it if there is no such dimension. Empty in timing mode.
    ///
    /// # Errors
    /// If there is no such state, or the program has not written all of that part.
    pub fn state(&mut self, name: &str) -> Result<Vec<u8>, RunError> {
        let manifest = self.manifest();
        let found = manifest.states.iter().find(|s| s.name == name).cloned();
        let state = found.ok_or_else(|| RunError::NoTensor {
            what: "state".to_string(),
            name: name.to_string(),
            have: names(manifest.states.iter().map(|s| &s.name)),
        })?;
        let (outer, stride, bytes) = valid_rows(&state, manifest.model.max_context, self.position);
        let mut all = Vec::new();
        for i in 0..outer {
            let read = self.machine.read_dram(state.dram_addr + i * stride, bytes);
            all.extend_from_slice(read.map_err(|reason| RunError::Access {
                name: state.name.clone(),
                reason,
            })?);
        }
        Ok(all)
    }
}

/// The valid part of a state: number of pieces, distance of pieces, bytes of a piece.
fn valid_rows(state: &StateTensor, max_context: u64, position: u64) -> (u64, u64, u64) {
    let Some(axis) = state.dims.iter().position(|&d| d == max_context) else {
        return (1, state.bytes, state.bytes);
    };
    let outer: u64 = state.dims[..axis].iter().product::<u64>().max(1);
    let stride = state.bytes / outer;
    (outer, stride, stride / max_context.max(1) * position)
}

fn check_size(what: &'static str, tensor: &IoTensor, given: u64) -> Result<(), RunError> {
    let element = dtype_bytes(&tensor.dtype).unwrap_or(1);
    if given > tensor.bytes || !given.is_multiple_of(element) {
        let (name, capacity) = (tensor.name.clone(), tensor.bytes);
        return Err(RunError::Size {
            what,
            name,
            given,
            capacity,
            element,
        });
    }
    Ok(())
}
