//! The JSON Schema of chip files, for editors.

use super::params::{PARAMS, ParamKind, Status};
use serde_json::{Map, Value, json};

/// The schema as JSON text.
pub fn json_schema() -> String {
    let mut sections = Map::new();
    for info in PARAMS {
        let value = match info.kind {
            ParamKind::Int(lo, hi) => json!({ "type": "integer", "minimum": lo, "maximum": hi }),
            ParamKind::Float(lo, hi) => json!({ "type": "number", "minimum": lo, "maximum": hi }),
            ParamKind::Word(words) => json!({ "enum": words }),
        };
        let param = json!({
            "description": info.doc.trim(),
            "type": "object",
            "properties": { "value": value, "source": { "$ref": "#/$defs/source" }, "status": { "$ref": "#/$defs/status" } },
            "required": ["value", "source", "status"],
            "additionalProperties": false,
        });
        let section = sections.entry(info.section).or_insert_with(
            || json!({ "type": "object", "properties": {}, "required": [], "additionalProperties": false }),
        );
        section["properties"][info.key] = param;
        if let Some(required) = section["required"].as_array_mut() {
            required.push(info.key.into());
        }
    }
    let mut required: Vec<Value> = vec!["name".into(), "description".into()];
    required.extend(sections.keys().map(|k| k.as_str().into()));
    let mut properties = Map::new();
    properties.insert("name".into(), json!({ "type": "string", "minLength": 1 }));
    properties.insert(
        "description".into(),
        json!({ "type": "string", "minLength": 1 }),
    );
    properties.extend(sections);
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llmc chip file",
        "type": "object",
        "$defs": {
            "source": { "description": "Where the value comes from.", "type": "string", "minLength": 1 },
            "status": { "description": "How sure the value is.", "enum": Status::ALL.map(Status::name) },
        },
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    format!("{schema:#}\n")
}
