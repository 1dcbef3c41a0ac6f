//! Just enough protobuf to turn an ONNX file with inline weights into one with external data.

/// Moves every initialiser of at least 1 KiB into a data file called `location`.
/// Returns the new model file and the data file.
///
/// # Panics
/// If `model` is not an ONNX file: this is a test helper.
pub fn externalise(model: &[u8], location: &str) -> (Vec<u8>, Vec<u8>) {
    const MODEL_GRAPH: u64 = 7;
    const GRAPH_INITIALIZER: u64 = 5;
    let mut data = Vec::new();
    let mut out = Vec::new();
    for (field, bytes) in fields(model) {
        if field.number != MODEL_GRAPH {
            out.extend_from_slice(bytes);
            continue;
        }
        let mut graph = Vec::new();
        for (field, bytes) in fields(field.content) {
            if field.number == GRAPH_INITIALIZER {
                let tensor = external_tensor(field.content, location, &mut data);
                put_bytes(&mut graph, GRAPH_INITIALIZER, &tensor);
            } else {
                graph.extend_from_slice(bytes);
            }
        }
        put_bytes(&mut out, MODEL_GRAPH, &graph);
    }
    (out, data)
}

fn external_tensor(tensor: &[u8], location: &str, data: &mut Vec<u8>) -> Vec<u8> {
    const RAW_DATA: u64 = 9;
    const EXTERNAL_DATA: u64 = 13;
    const DATA_LOCATION: u64 = 14;
    const ALIGN: usize = 64;
    let mut out = Vec::new();
    for (field, bytes) in fields(tensor) {
        if field.number != RAW_DATA || field.content.len() < 1024 {
            out.extend_from_slice(bytes);
            continue;
        }
        data.resize(data.len().next_multiple_of(ALIGN), 0);
        let (offset, length) = (data.len().to_string(), field.content.len().to_string());
        data.extend_from_slice(field.content);
        for (key, value) in [
            ("location", location),
            ("offset", offset.as_str()),
            ("length", length.as_str()),
        ] {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, key.as_bytes());
            put_bytes(&mut entry, 2, value.as_bytes());
            put_bytes(&mut out, EXTERNAL_DATA, &entry);
        }
        put_varint(&mut out, DATA_LOCATION << 3);
        put_varint(&mut out, 1);
    }
    out
}

struct Field<'a> {
    number: u64,
    /// The payload of a length-delimited field, empty for numbers.
    content: &'a [u8],
}

/// The fields of a message, each with all its bytes (tag included).
fn fields(message: &[u8]) -> Vec<(Field<'_>, &[u8])> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let start = at;
        let tag = varint(message, &mut at);
        let content = match tag & 7 {
            0 => {
                varint(message, &mut at);
                at..at
            }
            1 => at + 8..at + 8,
            2 => {
                let length = varint(message, &mut at) as usize;
                at..at + length
            }
            5 => at + 4..at + 4,
            other => panic!("wire type {other} at {start}"),
        };
        at = content.end;
        found.push((
            Field {
                number: tag >> 3,
                content: &message[content],
            },
            &message[start..at],
        ));
    }
    found
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}
