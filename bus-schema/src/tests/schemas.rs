//! The committed JSON Schemas are those of the types.

use super::agreement::{compare, crate_path, files_below, rewrites};
use crate::schema;

#[test]
fn every_event_type_has_its_schema_committed_and_fresh() {
    let mut wrong = Vec::new();
    for (event_type, text) in schema::generated() {
        wrong.extend(compare(&crate_path(&schema::committed_path(&event_type)), &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_schema_is_committed_for_a_type_that_does_not_exist() {
    let mut expected: Vec<String> = schema::generated()
        .iter()
        .map(|(event_type, _)| schema::committed_path(event_type).replacen("schemas/", "", 1))
        .collect();
    expected.sort();
    if !rewrites() {
        assert_eq!(files_below(&crate_path("schemas")), expected);
    }
}

#[test]
fn every_schema_is_a_valid_schema_that_names_its_type() {
    for (event_type, text) in schema::generated() {
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{event_type}");
        assert_eq!(schema["$id"], format!("urn:custody:schema:{event_type}"));
        assert!(schema["description"].is_string(), "{event_type} says what it is");
    }
}
