//! What the files next to the model say about it: `config.json`, `genai_config.json`, `tokenizer.json`.

use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

use super::error::ImportError;
use super::source::map_file;

/// Facts about the model that are not in the ONNX file. Every field may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelInfo {
    /// `model_type` of `config.json`, for example `llama`.
    pub family: Option<String>,
    /// Who wrote the ONNX file, for example `pytorch 2.15.0`.
    pub producer: Option<String>,
    /// Number of token ids (last dim of the logits if the ONNX file fixes it, else from the config).
    pub vocab: Option<u64>,
    /// Token that starts a text.
    pub bos: Option<u32>,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
    /// Longest context that the model was made for, in tokens.
    pub max_positions: Option<u64>,
    /// Contents of `tokenizer.json`, mapped.
    pub tokenizer: Option<Bytes>,
}

impl ModelInfo {
    /// Reads the neighbours of a model file. Missing files are fine.
    ///
    /// # Errors
    /// A file that is there but is not JSON, or cannot be read.
    pub fn beside(model: &Path) -> Result<ModelInfo, ImportError> {
        let folder = model.parent().unwrap_or_else(|| Path::new(""));
        let mut info = ModelInfo::default();
        if let Some(config) = read_json(&folder.join("config.json"))? {
            info.take_config(&config);
        }
        if let Some(generation) = read_json(&folder.join("generation_config.json"))? {
            info.take_ids(&generation);
        }
        if let Some(genai) = read_json(&folder.join("genai_config.json"))?
            && let Some(config) = genai.get("model")
        {
            info.take_genai(config);
        }
        let tokenizer = folder.join("tokenizer.json");
        if tokenizer.is_file() {
            info.tokenizer = Some(map_file(&tokenizer)?);
        }
        Ok(info)
    }

    fn take_config(&mut self, config: &Value) {
        // Multi-modal configs keep the language model's part under `text_config`.
        let text = config.get("text_config").unwrap_or(config);
        self.family = string(config, "model_type");
        self.vocab = number(text, "vocab_size");
        self.max_positions = [
            "max_position_embeddings",
            "n_positions",
            "max_seq_len",
            "n_ctx",
        ]
        .iter()
        .find_map(|k| number(text, k));
        self.take_ids(text);
    }

    fn take_genai(&mut self, config: &Value) {
        self.family = self.family.take().or_else(|| string(config, "type"));
        self.vocab = self.vocab.or_else(|| number(config, "vocab_size"));
        self.max_positions = self
            .max_positions
            .or_else(|| number(config, "context_length"));
        self.take_ids(config);
    }

    /// Fills what is still missing; `eos_token_id` may be a number or a list.
    fn take_ids(&mut self, config: &Value) {
        let ids = |key: &str| -> Vec<u32> {
            let one = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
            match config.get(key) {
                Some(Value::Array(list)) => list.iter().filter_map(one).collect(),
                Some(value) => one(value).into_iter().collect(),
                None => Vec::new(),
            }
        };
        self.bos = self.bos.or_else(|| ids("bos_token_id").first().copied());
        for id in ids("eos_token_id") {
            if !self.eos.contains(&id) {
                self.eos.push(id);
            }
        }
    }
}

fn string(config: &Value, key: &str) -> Option<String> {
    config.get(key).and_then(Value::as_str).map(String::from)
}

fn number(config: &Value, key: &str) -> Option<u64> {
    config.get(key).and_then(Value::as_u64)
}

fn read_json(path: &Path) -> Result<Option<Value>, ImportError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| ImportError::Config {
                path: path.into(),
                detail: format!("not valid JSON: {e}"),
            }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ImportError::Read {
            path: path.into(),
            source,
        }),
    }
}
