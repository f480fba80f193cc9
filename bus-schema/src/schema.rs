//! The JSON Schemas of all events, generated from the types.

use crate::EventType;
use crate::envelope::SCHEMA_PREFIX;
use crate::event::Event;

/// Each event type with its schema as pretty-printed JSON, the way it is committed under `schemas/`.
pub fn generated() -> Vec<(EventType, String)> {
    Event::schemas()
        .into_iter()
        .map(|(event_type, mut schema)| {
            schema.insert("$id".to_owned(), format!("{SCHEMA_PREFIX}{event_type}").into());
            let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
            (event_type, text + "\n")
        })
        .collect()
}

/// Where the schema of a type is committed, below the crate's folder: `schemas/<stage>.<noun>.<verb>/v1.json`.
pub fn committed_path(event_type: &EventType) -> String {
    let EventType { stage, noun, verb, version } = event_type;
    format!("schemas/{}.{noun}.{verb}/v{version}.json", stage.as_str())
}
