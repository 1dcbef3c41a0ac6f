//! `llmc generate`: continues a text.

use crate::compile::CompileArgs;
use crate::energy::PerToken;
use crate::engine::{Engine, Spent};
use crate::sampler::{Sampler, Sampling};
use crate::{Error, Io, show};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// Tokens made when nothing else is said.
const DEFAULT_TOKENS: usize = 200;

/// Options of `llmc generate`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Without sampling options the best token is taken always, and the same text comes every time. With one of
--top-k, --top-p, --seed the temperature is 1 unless given. Equal seeds give equal texts.

Examples:
  llmc generate examples/shakespeare/model.onnx --prompt \"ROMEO:\"
  llmc generate model.llmc --prompt \"To be\" --temperature 0.8 --top-k 40 --seed 7
  llmc generate model.onnx --chip edge --prompt \"KING\" --max-tokens 20 --json"
)]
pub struct Options {
    /// A compiled program, or an ONNX model to be compiled on the way
    model: PathBuf,
    /// The text to continue
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Most tokens to make [default: 200, or what the context holds]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Divides the logits: 0 takes the best token always, more than 1 flattens [default: 0]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Sample from the K best tokens only; 0 from all [default: 0]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Sample from the fewest best tokens with this probability together [default: 1]
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Seed of the random numbers [default: 0]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print one JSON object at the end instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compile: CompileArgs,
}

impl Options {
    fn sampling(&self) -> Result<Sampling, Error> {
        let asked = self.top_k.is_some() || self.top_p.is_some() || self.seed.is_some();
        let temperature = self.temperature.unwrap_or(if asked { 1.0 } else { 0.0 });
        if !(temperature.is_finite() && temperature >= 0.0) {
            return Err(Error::Usage(format!(
                "--temperature {temperature}: must be 0 or more"
            )));
        }
        let top_p = self.top_p.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&top_p) {
            return Err(Error::Usage(format!(
                "--top-p {top_p}: must be between 0 and 1"
            )));
        }
        Ok(Sampling {
            temperature,
            top_k: self.top_k.unwrap_or(0),
            top_p,
            seed: self.seed.unwrap_or(0),
        })
    }
}

/// The result of `--json`.
#[derive(Debug, Serialize)]
struct Generated {
    prompt_token_ids: Vec<u32>,
    token_ids: Vec<u32>,
    text: String,
    statistics: Statistics,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stop {
    /// The model said so: an end token.
    End,
    /// As many tokens as were asked for.
    Length,
    /// The context is full.
    Context,
}

/// Speed, of the chip and of the emulation. `null` where nothing was measured.
#[derive(Debug, Serialize)]
struct Statistics {
    chip: String,
    stop: Stop,
    prompt_tokens: usize,
    new_tokens: usize,
    clock_hz: u64,
    prefill_cycles: u64,
    decode_cycles: u64,
    /// Chip time of the prompt's launches.
    time_to_first_token_s: f64,
    /// Tokens of the decode launches over their chip time.
    chip_tokens_per_s: Option<f64>,
    cycles_per_token: Option<f64>,
    /// Of the decode launches; left out if there are none.
    #[serde(flatten)]
    energy: Option<PerToken>,
    /// Host time of compiling, if a model was given.
    compile_s: Option<f64>,
    /// Host time of all launches.
    emulation_s: f64,
    /// All new tokens over the host time of all launches.
    emulated_tokens_per_s: f64,
}

/// Runs `llmc generate`.
///
/// # Errors
/// If the model cannot be compiled, read or run, has no tokenizer, or the prompt does not fit the context.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let sampling = options.sampling()?;
    if options.max_tokens == Some(0) {
        return Err(Error::Usage(
            "--max-tokens 0: there is nothing to do".into(),
        ));
    }
    let began = Instant::now();
    let mut engine = Engine::open(&options.model, &options.compile, io)?;
    let compile_s = engine
        .compiled_here()
        .then(|| began.elapsed().as_secs_f64());

    let tokenizer = engine.tokenizer()?;
    let prompt = tokenizer.encode(&options.prompt)?;
    let count = room(prompt.len(), engine.max_context(), options.max_tokens)?;
    let end: Vec<u32> = engine.end_tokens();

    let mut stream = tokenizer.stream(&prompt)?;
    if !options.json {
        io.print(&options.prompt)?;
        io.flush()?;
    }
    let mut sampler = Sampler::new(sampling);
    let (mut logits, prefill) = prefill(&mut engine, &prompt, io)?;
    let (mut ids, mut text, mut decode) = (Vec::new(), String::new(), Spent::default());
    let stop = loop {
        let no_number = || Error::failed("the model gives logits that are not numbers");
        let id = sampler.next(&logits).ok_or_else(no_number)?;
        ids.push(id);
        if end.contains(&id) {
            break Stop::End;
        }
        let piece = stream.push(id)?;
        text.push_str(&piece);
        if !options.json {
            io.print(&piece)?;
            io.flush()?;
        }
        if ids.len() == count {
            break if options.max_tokens.is_none() && count < DEFAULT_TOKENS {
                Stop::Context
            } else {
                Stop::Length
            };
        }
        let step = engine.decode(id)?;
        decode += step.spent;
        logits = step.logits;
    };
    let rest = stream.finish()?;
    text.push_str(&rest);

    let statistics = statistics(
        &engine,
        stop,
        (prompt.len(), ids.len()),
        prefill,
        decode,
        compile_s,
    );
    if options.json {
        return io.json(&Generated {
            prompt_token_ids: prompt,
            token_ids: ids,
            text,
            statistics,
        });
    }
    io.line(rest)?;
    io.flush()?;
    report(&statistics, io);
    Ok(())
}

/// How many tokens to make. The last one is never fed back, and so needs no place in the context.
fn room(prompt: usize, max_context: usize, asked: Option<usize>) -> Result<usize, Error> {
    if prompt == 0 {
        return Err(Error::failed(
            "the prompt has no tokens, and the tokenizer adds no start token",
        ));
    }
    if prompt > max_context {
        return Err(Error::failed(format!(
            "the prompt has {prompt} tokens, the context of the program holds {max_context} (see --max-context)"
        )));
    }
    let room = max_context - prompt + 1;
    match asked {
        Some(n) if n > room => Err(Error::failed(format!(
            "{prompt} tokens of prompt and {n} new ones do not fit the context of {max_context}: \
             at most --max-tokens {room} (see --max-context)"
        ))),
        Some(n) => Ok(n),
        None => Ok(DEFAULT_TOKENS.min(room)),
    }
}

fn prefill(engine: &mut Engine, prompt: &[u32], io: &Io) -> Result<(Vec<f32>, Spent), Error> {
    let shown = io.progress("reading the prompt");
    let (mut logits, mut spent) = (Vec::new(), Spent::default());
    let mut done = 0;
    for chunk in prompt.chunks(engine.chunk()) {
        let step = engine.prefill(chunk)?;
        spent += step.spent;
        logits = step.logits;
        done += chunk.len();
        shown.set(|| format!("reading the prompt: {done} of {} tokens", prompt.len()));
    }
    Ok((logits, spent))
}

fn statistics(
    engine: &Engine,
    stop: Stop,
    (prompt_tokens, new_tokens): (usize, usize),
    prefill: Spent,
    decode: Spent,
    compile_s: Option<f64>,
) -> Statistics {
    let hz = engine.clock_hz() as f64;
    // The first token comes from the prompt's launches.
    let steps = new_tokens.saturating_sub(1) as f64;
    let decoded = steps > 0.0;
    let emulation_s = (prefill.host + decode.host).as_secs_f64();
    Statistics {
        chip: engine.chip_name().to_string(),
        stop,
        prompt_tokens,
        new_tokens,
        clock_hz: engine.clock_hz(),
        prefill_cycles: prefill.cycles,
        decode_cycles: decode.cycles,
        time_to_first_token_s: prefill.cycles as f64 / hz,
        chip_tokens_per_s: decoded.then(|| steps * hz / decode.cycles.max(1) as f64),
        cycles_per_token: decoded.then(|| decode.cycles as f64 / steps),
        energy: decoded.then(|| PerToken::of(&decode.energy, steps)),
        compile_s,
        emulation_s,
        emulated_tokens_per_s: new_tokens as f64 / emulation_s.max(1e-9),
    }
}

fn report(s: &Statistics, io: &mut Io) {
    let stop = match s.stop {
        Stop::End => "ended by the model",
        Stop::Length => "as many as asked for",
        Stop::Context => "the context is full",
    };
    io.note(format_args!(
        "\n{} tokens of prompt, {} new ({stop})",
        s.prompt_tokens, s.new_tokens
    ));
    let ghz = s.clock_hz as f64 / 1e9;
    let mut chip = format!("chip `{}` at {ghz:.2} GHz: ", s.chip);
    if let (Some(rate), Some(cycles)) = (s.chip_tokens_per_s, s.cycles_per_token) {
        chip.push_str(&format!(
            "{} tokens/s, {} cycles/token, ",
            show::rate(rate),
            show::rate(cycles)
        ));
    }
    chip.push_str(&format!(
        "{} to the first token",
        show::seconds(s.time_to_first_token_s)
    ));
    io.note(chip);
    if let Some(energy) = &s.energy {
        io.note(format_args!("energy: {energy}"));
    }
    let mut host = format!(
        "this host: {} emulated tokens/s",
        show::rate(s.emulated_tokens_per_s)
    );
    if let Some(seconds) = s.compile_s {
        host.push_str(&format!(", compiled in {}", show::seconds(seconds)));
    }
    io.note(host);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_has_room_for_what_is_fed() {
        assert_eq!(room(3, 512, None).unwrap(), 200);
        assert_eq!(room(3, 100, None).unwrap(), 98);
        assert_eq!(room(3, 100, Some(98)).unwrap(), 98);
        assert!(
            room(3, 100, Some(99))
                .unwrap_err()
                .to_string()
                .contains("at most --max-tokens 98")
        );
        assert_eq!(room(100, 100, None).unwrap(), 1);
        assert!(room(101, 100, None).is_err());
        assert!(room(0, 100, None).is_err());
    }
}
