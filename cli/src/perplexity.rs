//! How well a model predicts a text.

use crate::energy::PerToken;
use crate::engine::{Engine, Spent};
use crate::text::Tokenizer;
use crate::{Error, Io};
use serde::Serialize;

/// What `llmc eval --text` finds.
#[derive(Debug, PartialEq, Serialize)]
pub struct Perplexity {
    /// `2 ^ bits_per_token`.
    pub perplexity: f64,
    /// Average of `-log2 p(token | tokens before it in its window)`.
    pub bits_per_token: f64,
    /// All bits over the UTF-8 bytes of the text.
    pub bits_per_byte: f64,
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Energy over the predicted tokens.
    #[serde(flatten)]
    pub energy: PerToken,
}

/// A stretch of tokens that the model sees at once, and how many of the first are not predicted.
#[derive(Debug, PartialEq, Eq)]
struct Window {
    tokens: Vec<u32>,
    given: usize,
}

/// Evaluates a text.
///
/// The text's tokens are cut into windows of at most the context length; the model sees nothing from before a window. If the
/// tokenizer puts start tokens before a text, each window begins with them, and every token of the text is predicted.
/// Otherwise a window begins with the last token of the window before, and the very first token of the text is not predicted.
///
/// # Errors
/// If there is nothing to predict, or the program fails.
pub fn evaluate(
    engine: &mut Engine,
    tokenizer: &Tokenizer,
    text: &str,
    io: &Io,
) -> Result<Perplexity, Error> {
    let plain = tokenizer.encode_plain(text)?;
    let start = start_tokens(&tokenizer.encode(text)?, &plain);
    let windows = windows(&plain, &start, engine.max_context());
    let total: usize = windows.iter().map(|w| w.tokens.len() - w.given).sum();
    if total == 0 {
        return Err(Error::failed(
            "the text has too few tokens: there is nothing to predict",
        ));
    }
    let shown = io.progress("evaluating");
    let (mut bits, mut tokens, mut spent) = (0.0, 0, Spent::default());
    for window in &windows {
        engine.reset()?;
        let mut at = 0;
        for chunk in window.tokens.chunks(engine.chunk()) {
            let step = engine.score(chunk)?;
            spent += step.spent;
            for row in step.logits.chunks_exact(step.logits.len() / chunk.len()) {
                at += 1;
                if at >= window.given
                    && let Some(&next) = window.tokens.get(at)
                {
                    bits += surprise(row, next);
                    tokens += 1;
                }
            }
            shown.set(|| format!("evaluating: {tokens} of {total} tokens"));
        }
    }
    let bits_per_token = bits / tokens as f64;
    Ok(Perplexity {
        perplexity: bits_per_token.exp2(),
        bits_per_token,
        bits_per_byte: bits / text.len() as f64,
        tokens,
        energy: PerToken::of(&spent.energy, tokens as f64),
    })
}

/// What the tokenizer puts before a text.
fn start_tokens(with: &[u32], plain: &[u32]) -> Vec<u32> {
    let at = (0..=with.len().saturating_sub(plain.len())).find(|&at| with[at..].starts_with(plain));
    at.map_or(Vec::new(), |at| with[..at].to_vec())
}

fn windows(tokens: &[u32], start: &[u32], context: usize) -> Vec<Window> {
    // The token a window begins with is there only to predict from.
    let overlap = usize::from(start.is_empty());
    let step = context.saturating_sub(start.len() + overlap).max(1);
    let mut found = Vec::new();
    let mut from = overlap;
    while from < tokens.len() {
        let to = (from + step).min(tokens.len());
        let mut window = start.to_vec();
        window.extend_from_slice(&tokens[from - overlap..to]);
        found.push(Window {
            tokens: window,
            given: start.len() + overlap,
        });
        from = to;
    }
    found
}

/// `-log2 softmax(logits)[token]`, in f64.
fn surprise(logits: &[f32], token: u32) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - top).exp()).sum();
    let own = logits
        .get(token as usize)
        .map_or(f64::NEG_INFINITY, |x| f64::from(x - top));
    (sum.ln() - own) / std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_with_a_start_token_predict_everything() {
        let found = windows(&[1, 2, 3, 4, 5], &[0], 3);
        let tokens: Vec<_> = found
            .iter()
            .map(|w| (w.tokens.as_slice(), w.given))
            .collect();
        assert_eq!(tokens, [(&[0, 1, 2][..], 1), (&[0, 3, 4], 1), (&[0, 5], 1)]);
    }

    #[test]
    fn windows_without_one_overlap() {
        let found = windows(&[1, 2, 3, 4, 5], &[], 3);
        let tokens: Vec<_> = found
            .iter()
            .map(|w| (w.tokens.as_slice(), w.given))
            .collect();
        assert_eq!(tokens, [(&[1, 2, 3][..], 1), (&[3, 4, 5], 1)]);
        assert!(windows(&[1], &[], 3).is_empty());
    }

    #[test]
    fn start_tokens_are_what_comes_before() {
        assert_eq!(start_tokens(&[0, 5, 6], &[5, 6]), [0]);
        assert!(start_tokens(&[5, 6, 1], &[5, 6]).is_empty());
    }

    #[test]
    fn equal_logits_are_one_bit_for_two_tokens() {
        assert!((surprise(&[3.0, 3.0], 1) - 1.0).abs() < 1e-12);
        assert!((surprise(&[0.0, 3.0f32.ln()], 1) - (4.0f64 / 3.0).log2()).abs() < 1e-6);
    }
}
