//! Properties that must hold for any bytes, for fuzzers (`fuzz/`) and for the tests, which run the same functions on damaged
//! files. Each panics if its property does not hold, and on nothing else.

use crate::import::outline::outline;
use crate::import::proto::ModelProto;
use crate::import::shorten::shortened;
use crate::import::{ImportOptions, ModelInfo, import_model};
use bytes::Bytes;
use prost::Message;
use std::path::Path;

/// Longest context that position tables are made for; short, so that runs are.
const POSITIONS: u64 = 64;

/// Bytes are refused with a reason, or imported as a graph.
///
/// # Panics
/// If a refusal gives no reason.
pub fn import_bytes(data: &[u8]) {
    let file = Bytes::copy_from_slice(data);
    let short = outline(&file).and_then(|(proto, graph)| shortened(proto, graph));
    let short = short.map(|(short, _)| short);
    let Ok(proto) = ModelProto::decode(file) else {
        return;
    };
    let options = ImportOptions {
        max_positions: Some(POSITIONS),
        shorten: false,
        ..ImportOptions::default()
    };
    // There is no such folder, and so no external data.
    let path = Path::new("/nonexistent/model.onnx");
    for proto in [proto].into_iter().chain(short) {
        if let Err(error) = import_model(proto, path, ModelInfo::default(), &options) {
            assert!(!error.to_string().is_empty());
        }
    }
}
