//! A program that is ready to be fed: loaded, or compiled on the way, on an emulated chip.

use crate::compile::{self, CompileArgs};
use crate::text::Tokenizer;
use crate::{Context, Error, Io, chip, file};
use llmc_isa::container::{Binary, StateTensor};
use llmc_isa::energy::Energy;
use llmc_runtime_emu::{Options, RunError, Session, host::Logits};
use llmc_tensor::{DType, Tensor};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What launches cost, on the chip and here.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Number of launches.
    pub launches: u64,
    /// Cycles of the chip's clock.
    pub cycles: u64,
    /// Energy by class.
    pub energy: Energy,
    /// Time on this host.
    pub host: Duration,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Spent) {
        self.launches += other.launches;
        self.cycles += other.cycles;
        self.energy += other.energy;
        self.host += other.host;
    }
}

/// The result of feeding tokens.
#[derive(Clone, Debug)]
pub struct Step {
    /// Logits: of the last token, or of all (row after row) from [`Engine::score`].
    pub logits: Vec<f32>,
    /// What it took.
    pub spent: Spent,
}

/// A program on an emulated chip.
pub struct Engine {
    binary: Arc<Binary>,
    session: Session,
    chunk: usize,
    compiled_here: bool,
}

impl Engine {
    /// Loads `model` if it is a compiled program, compiles it if it is not.
    ///
    /// # Errors
    /// If it is neither, or does not fit the chip; or if compiler options are given for a compiled program.
    pub fn open(model: &Path, args: &CompileArgs, io: &mut Io) -> Result<Engine, Error> {
        let compiled_here = !file::is_elf(model)?;
        let (binary, chip) = if compiled_here {
            (compile::in_memory(model, args, io)?, None)
        } else {
            args.only_chip()?;
            let chip = args.chip.is_some() || !args.set.is_empty();
            (
                file::binary(model)?,
                chip.then(|| chip::load_with(args.chip_name(), &args.set))
                    .transpose()?,
            )
        };
        let binary = Arc::new(binary);
        let cannot = || format!("cannot run `{}`", model.display());
        let options = Options {
            threads: args.threads.unwrap_or(1),
            ..Options::default()
        };
        let session = Session::new(Arc::clone(&binary), chip, options).context(cannot)?;
        let chunk = session.chunk();
        Ok(Engine {
            binary,
            session,
            chunk,
            compiled_here,
        })
    }

    /// Whether the model was compiled by [`Engine::open`].
    pub fn compiled_here(&self) -> bool {
        self.compiled_here
    }

    /// The tokenizer that the program brings along.
    ///
    /// # Errors
    /// If there is none.
    pub fn tokenizer(&self) -> Result<Tokenizer, Error> {
        let missing = "the program has no tokenizer: there was no `tokenizer.json` beside the model when it was compiled";
        Tokenizer::from_bytes(
            self.binary
                .tokenizer()
                .ok_or_else(|| Error::failed(missing))?,
        )
    }

    /// Positions the state holds.
    pub fn max_context(&self) -> usize {
        usize::try_from(self.session.manifest().model.max_context).unwrap_or(usize::MAX)
    }

    /// Tokens that end a text.
    pub fn end_tokens(&self) -> Vec<u32> {
        self.session
            .manifest()
            .model
            .eos
            .iter()
            .filter_map(|id| u32::try_from(*id).ok())
            .collect()
    }

    /// Most tokens of one launch.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Feeds at most `chunk` tokens per launch from now on.
    ///
    /// # Errors
    /// If the program does not take that many.
    pub fn set_chunk(&mut self, chunk: Option<usize>) -> Result<(), Error> {
        let most = self.session.chunk();
        match chunk {
            Some(n) if n > most => Err(Error::failed(format!(
                "--chunk {n}: the program was compiled for at most {most} tokens per launch (see --prefill)"
            ))),
            _ => {
                self.chunk = chunk.unwrap_or(most);
                Ok(())
            }
        }
    }

    /// Whether all of `tokens` can be fed now, so that nothing is computed in vain.
    ///
    /// # Errors
    /// If one is not in the vocabulary, or the context cannot hold them.
    pub fn check(&self, tokens: &[u32]) -> Result<(), Error> {
        let model = &self.session.manifest().model;
        if let Some((index, token)) = tokens
            .iter()
            .enumerate()
            .find(|(_, t)| u64::from(**t) >= model.vocab)
        {
            let (token, vocab) = (*token, model.vocab);
            return Err(RunError::Token {
                token,
                index,
                vocab,
            })
            .context(|| "the tokens cannot be used".into());
        }
        if tokens.len() as u64 > self.session.room() {
            let (position, max) = (self.session.position(), model.max_context);
            let overflow = RunError::Context {
                position,
                tokens: tokens.len() as u64,
                max,
            };
            return Err(overflow).context(|| "the tokens cannot be used".into());
        }
        Ok(())
    }

    /// Forgets everything fed so far.
    ///
    /// # Errors
    /// If the program's memory map is wrong.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.session
            .reset()
            .context(|| "cannot reset the state".into())
    }

    /// Feeds tokens; logits of the last.
    ///
    /// # Errors
    /// What stopped the program.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<Step, Error> {
        self.timed("prefill", |session| session.prefill(tokens))
    }

    /// Feeds tokens; logits of all.
    ///
    /// # Errors
    /// What stopped the program.
    pub fn score(&mut self, tokens: &[u32]) -> Result<Step, Error> {
        self.timed("score", |session| session.score(tokens))
    }

    /// Feeds one token.
    ///
    /// # Errors
    /// What stopped the program.
    pub fn decode(&mut self, token: u32) -> Result<Step, Error> {
        self.timed("decode", |session| session.decode(token))
    }

    fn timed(
        &mut self,
        entry: &str,
        run: impl FnOnce(&mut Session) -> Result<Logits, RunError>,
    ) -> Result<Step, Error> {
        let began = Instant::now();
        let found = run(&mut self.session).context(|| format!("entry `{entry}` failed"))?;
        let host = began.elapsed();
        let Logits {
            values,
            stats,
            launches,
        } = found;
        let energy = stats.energy(self.session.chip());
        let spent = Spent {
            launches,
            cycles: stats.cycles,
            energy,
            host,
        };
        Ok(Step {
            logits: values,
            spent,
        })
    }

    /// The valid rows of every state, in the order of the manifest. bf16 comes as its bits, in u16.
    ///
    /// # Errors
    /// If the program has not written all of them.
    pub fn state(&mut self) -> Result<Vec<(String, Tensor)>, Error> {
        let manifest = self.session.manifest();
        let (states, max_context) = (manifest.states.clone(), manifest.model.max_context);
        let mut found = Vec::new();
        for state in states {
            let cannot = || format!("cannot read the state `{}`", state.name);
            let bytes = self.session.state(&state.name).context(cannot)?;
            let shape = valid_shape(&state, max_context, self.session.position());
            let dtype = match state.dtype.as_str() {
                "f32" => DType::F32,
                "bf16" => DType::U16,
                "i32" => DType::I32,
                "i64" => DType::I64,
                other => return Err(Error::failed(format!("{}: unknown type {other}", cannot()))),
            };
            found.push((
                state.name.clone(),
                Tensor::new(dtype, shape, bytes).context(cannot)?,
            ));
        }
        Ok(found)
    }

    /// The chip's clock.
    pub fn clock_hz(&self) -> u64 {
        self.session.chip().clock_hz()
    }

    /// The chip's name.
    pub fn chip_name(&self) -> &str {
        self.session.chip().name()
    }
}

/// The dims of a state with the context's dimension cut to what is valid.
fn valid_shape(state: &StateTensor, max_context: u64, position: u64) -> Vec<usize> {
    let axis = state.dims.iter().position(|&d| d == max_context);
    let cut = |(i, &d): (usize, &u64)| (if Some(i) == axis { position } else { d }) as usize;
    state.dims.iter().enumerate().map(cut).collect()
}
