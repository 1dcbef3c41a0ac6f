//! `llmc eval`: what a program says about given tokens, or about a text.

use crate::compile::CompileArgs;
use crate::energy::PerToken;
use crate::engine::{Engine, Spent};
use crate::{Context, Error, Io, perplexity, show, text};
use llmc_tensor::{DType, Tensor, npy, npz};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Options of `llmc eval`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Tokens are int64 [1, T], logits float32 [1, T, V], as NumPy files.

--text cuts the text into windows of the program's context length. Each window begins with the tokenizer's start token,
and every token of the text is predicted from those before it in its window; without a start token, windows overlap by one
token and the very first is not predicted.

Examples:
  llmc eval model.llmc --tokens ids.npy --logits out.npy
  llmc eval model.llmc --tokens ids.npy --logits out.npy --via decode --state kv.npz
  llmc eval model.llmc --text heldout.txt --json"
)]
pub struct Options {
    /// A compiled program, or an ONNX model to be compiled on the way
    model: PathBuf,
    /// Tokens to feed, from an empty context on
    #[arg(
        long,
        value_name = "FILE.npy",
        conflicts_with = "text",
        required_unless_present = "text"
    )]
    tokens: Option<PathBuf>,
    /// Where the logits go
    #[arg(long, value_name = "FILE.npy", requires = "tokens")]
    logits: Option<PathBuf>,
    /// Which entry: `prefill` feeds chunks (entry `score`), `decode` one token at a time
    #[arg(long, value_enum, default_value_t = Via::Prefill)]
    via: Via,
    /// Tokens of a chunk, at most what the program was compiled for (--prefill) [default: that]
    #[arg(long, value_name = "N")]
    chunk: Option<usize>,
    /// Where the state goes: the valid rows after the last token, one array per state
    #[arg(long, value_name = "FILE.npz", requires = "tokens")]
    state: Option<PathBuf>,
    /// Measure how well the model predicts this text
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compile: CompileArgs,
}

/// A way to feed tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Via {
    /// Chunks.
    Prefill,
    /// One by one.
    Decode,
}

/// What `llmc eval --tokens --json` prints.
#[derive(Debug, Serialize)]
struct Fed {
    tokens: usize,
    launches: u64,
    cycles: u64,
    chip_s: f64,
    emulation_s: f64,
    #[serde(flatten)]
    energy: PerToken,
}

/// Runs `llmc eval`.
///
/// # Errors
/// If the program, the tokens or the text cannot be used.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    if options.chunk == Some(0) {
        return Err(Error::Usage("--chunk 0: must be at least 1".into()));
    }
    match (&options.tokens, &options.text) {
        (Some(tokens), _) => feed(options, tokens, io),
        (None, Some(path)) => of_text(options, path, io),
        (None, None) => Err(Error::Usage("--tokens or --text is needed".into())),
    }
}

fn of_text(options: &Options, path: &Path, io: &mut Io) -> Result<(), Error> {
    let text = text::read_text(path)?;
    let mut engine = Engine::open(&options.model, &options.compile, io)?;
    engine.set_chunk(options.chunk)?;
    let tokenizer = engine.tokenizer()?;
    let found = perplexity::evaluate(&mut engine, &tokenizer, &text, io)?;
    if options.json {
        return io.json(&found);
    }
    io.line(format_args!("perplexity      {:.4}", found.perplexity))?;
    io.line(format_args!("bits per token  {:.4}", found.bits_per_token))?;
    io.line(format_args!("bits per byte   {:.4}", found.bits_per_byte))?;
    io.line(format_args!(
        "tokens          {}",
        show::count(found.tokens as u64)
    ))?;
    io.line(format_args!("energy          {}", found.energy))
}

fn feed(options: &Options, path: &Path, io: &mut Io) -> Result<(), Error> {
    let tokens = read_tokens(path)?;
    let mut engine = Engine::open(&options.model, &options.compile, io)?;
    engine.set_chunk(options.chunk)?;
    engine.check(&tokens)?;
    let chunk = if options.via == Via::Decode {
        1
    } else {
        engine.chunk()
    };

    let shown = io.progress("evaluating");
    let (mut logits, mut spent) = (Vec::new(), Spent::default());
    for (i, part) in tokens.chunks(chunk).enumerate() {
        shown.set(|| format!("evaluating: {} of {} tokens", i * chunk, tokens.len()));
        let step = match options.via {
            Via::Prefill => engine.score(part)?,
            Via::Decode => engine.decode(part[0])?,
        };
        spent += step.spent;
        logits.extend_from_slice(&step.logits);
    }
    drop(shown);

    if let Some(path) = &options.logits {
        let shape = [1, tokens.len(), logits.len() / tokens.len()];
        let tensor =
            Tensor::from_vec(shape, logits).context(|| "the logits have no shape".into())?;
        npy::write_npy(path, &tensor).context(|| format!("cannot write `{}`", path.display()))?;
    }
    if let Some(path) = &options.state {
        let state = engine.state()?;
        let arrays: Vec<_> = state.iter().map(|(name, tensor)| (name, tensor)).collect();
        npz::write_npz(path, &arrays).context(|| format!("cannot write `{}`", path.display()))?;
    }
    let fed = Fed {
        tokens: tokens.len(),
        launches: spent.launches,
        cycles: spent.cycles,
        chip_s: spent.cycles as f64 / engine.clock_hz() as f64,
        emulation_s: spent.host.as_secs_f64(),
        energy: PerToken::of(&spent.energy, tokens.len() as f64),
    };
    if options.json {
        return io.json(&fed);
    }
    io.line(format_args!(
        "{} tokens in {} launches: {} cycles, {} on chip `{}`, {} here",
        fed.tokens,
        fed.launches,
        show::count(fed.cycles),
        show::seconds(fed.chip_s),
        engine.chip_name(),
        show::seconds(fed.emulation_s)
    ))?;
    io.line(format_args!("energy: {}", fed.energy))
}

/// Reads token ids: an integer array [1, T] or [T].
fn read_tokens(path: &Path) -> Result<Vec<u32>, Error> {
    let name = || format!("`{}` has no tokens", path.display());
    let tensor = npy::read_npy(path).context(|| format!("cannot read `{}`", path.display()))?;
    let fits =
        matches!(tensor.shape(), [_] | [1, _]) && matches!(tensor.dtype(), DType::I64 | DType::I32);
    if !fits {
        let found = format!(
            "found {} {:?}, expected int64 [1, T]",
            tensor.dtype(),
            tensor.shape()
        );
        return Err(Error::failed(format!("{}: {found}", name())));
    }
    let ids = tensor.to_i64_vec().context(name)?;
    if ids.is_empty() {
        return Err(Error::failed(name()));
    }
    let id = |(at, id): (usize, &i64)| {
        u32::try_from(*id).map_err(|_| {
            Error::failed(format!(
                "`{}`: {id} at position {at} is no token",
                path.display()
            ))
        })
    };
    ids.iter().enumerate().map(id).collect()
}
