//! Text to tokens and back.

use crate::{Context, Error};
use llmc_tensor::Bytes;
use std::path::Path;

/// A tokenizer as in a `tokenizer.json`.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// If it is no tokenizer.
    pub fn from_bytes(json: &[u8]) -> Result<Tokenizer, Error> {
        match tokenizers::Tokenizer::from_bytes(json) {
            Ok(inner) => Ok(Tokenizer { inner }),
            Err(e) => Err(Error::failed(format!("the tokenizer cannot be read: {e}"))),
        }
    }

    /// The tokens of `text`, with what the tokenizer puts around it (a start token, usually).
    ///
    /// # Errors
    /// If the tokenizer cannot encode it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.ids(text, true)
    }

    /// The tokens of `text` and nothing else.
    ///
    /// # Errors
    /// If the tokenizer cannot encode it.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.ids(text, false)
    }

    fn ids(&self, text: &str, special: bool) -> Result<Vec<u32>, Error> {
        let encoding = self.inner.encode_fast(text, special);
        Ok(encoding
            .context(|| "the tokenizer cannot encode the text".into())?
            .get_ids()
            .to_vec())
    }

    /// The text of tokens, without special ones; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// If the tokenizer cannot decode them.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.inner
            .decode(ids, true)
            .context(|| "the tokenizer cannot decode the tokens".into())
    }

    /// A stream that continues after `prompt`.
    ///
    /// # Errors
    /// If the tokenizer cannot decode the prompt.
    pub fn stream(&self, prompt: &[u32]) -> Result<TextStream<'_>, Error> {
        let mut stream = TextStream {
            tokenizer: self,
            inner: self.inner.decode_stream(true),
            ids: Vec::new(),
            shown: 0,
        };
        for &id in prompt {
            stream.push(id)?;
        }
        Ok(stream)
    }
}

type Inner<'t> = tokenizers::tokenizer::DecodeStream<
    't,
    tokenizers::ModelWrapper,
    tokenizers::NormalizerWrapper,
    tokenizers::PreTokenizerWrapper,
    tokenizers::PostProcessorWrapper,
    tokenizers::DecoderWrapper,
>;

/// Turns tokens into text one by one. A character whose bytes are spread over several tokens comes with the last of them.
pub struct TextStream<'t> {
    tokenizer: &'t Tokenizer,
    inner: Inner<'t>,
    ids: Vec<u32>,
    shown: usize,
}

impl TextStream<'_> {
    /// The text that `id` completes; often a word, sometimes nothing.
    ///
    /// # Errors
    /// If the tokenizer does not know the token.
    pub fn push(&mut self, id: u32) -> Result<String, Error> {
        self.ids.push(id);
        let piece = self
            .inner
            .step(id)
            .context(|| format!("the tokenizer cannot decode token {id}"))?;
        let piece = piece.unwrap_or_default();
        self.shown += piece.len();
        Ok(piece)
    }

    /// What is left at the end: bytes that never became a character, as U+FFFD.
    ///
    /// # Errors
    /// If the tokenizer cannot decode the tokens.
    pub fn finish(self) -> Result<String, Error> {
        let all = self.tokenizer.decode(&self.ids)?;
        Ok(all.get(self.shown..).unwrap_or_default().to_string())
    }
}

/// Reads a text file.
///
/// # Errors
/// If it cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, Error> {
    let bytes: Bytes =
        llmc_tensor::map_file(path).context(|| format!("cannot read `{}`", path.display()))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(text.to_string()),
        Err(e) => Err(Error::failed(format!(
            "`{}` is not UTF-8: {e}",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shakespeare() -> Tokenizer {
        let json = include_bytes!("../../examples/shakespeare/tokenizer.json");
        Tokenizer::from_bytes(json).unwrap()
    }

    #[test]
    fn encodes_with_the_start_token() {
        let tokenizer = shakespeare();
        assert_eq!(tokenizer.encode("ROMEO:").unwrap(), [0, 836, 27]);
        assert_eq!(tokenizer.encode_plain("ROMEO:").unwrap(), [836, 27]);
    }

    #[test]
    fn streaming_gives_the_same_text_and_never_half_a_character() {
        let tokenizer = shakespeare();
        let text = "To be, \u{2014} na\u{ef}ve \u{1f3ad} or not";
        let ids = tokenizer.encode_plain(text).unwrap();
        let mut stream = tokenizer.stream(&[0]).unwrap();
        let mut pieces = Vec::new();
        for &id in &ids {
            pieces.push(stream.push(id).unwrap());
        }
        assert!(pieces.iter().all(|p| !p.contains('\u{fffd}')), "{pieces:?}");
        assert_eq!(pieces.concat() + &stream.finish().unwrap(), text);
    }

    #[test]
    fn an_unfinished_character_shows_at_the_end() {
        let tokenizer = shakespeare();
        let ids = tokenizer.encode_plain("\u{1f3ad}").unwrap();
        assert!(ids.len() > 1);
        let mut stream = tokenizer.stream(&[]).unwrap();
        assert_eq!(stream.push(ids[0]).unwrap(), "");
        assert!(stream.finish().unwrap().contains('\u{fffd}'));
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(Tokenizer::from_bytes(b"{}").is_err());
        assert!(shakespeare().encode("").is_ok());
    }
}
