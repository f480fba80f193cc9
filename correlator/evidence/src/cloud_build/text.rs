//! The statement as text beside its envelope: each value of it must be the payload's. The payload may say more.

use correlator_core::facts::{Refusal, RefusalReason};
use serde_json::Value;

use crate::cloud_build::Texts;
use crate::refusal::{malformed, refusal};

/// Google writes an index into the payload where the text has none or a text.
const NOT_COMPARED: &str = "/slsaProvenance/recipe/definedInMaterial";

pub(super) fn check(texts: &Texts, predicate_type: &str, payload: &[u8]) -> Result<(), Refusal> {
    let text = match predicate_type {
        "https://slsa.dev/provenance/v0.1" => &texts.v0_1,
        _ => &texts.v1,
    };
    let text = text.as_ref().ok_or_else(|| malformed("the statement as text beside the envelope", "none"))?;
    let mut signed: Value = serde_json::from_slice(payload)
        .map_err(|error| malformed("an in-toto statement", error.to_string()))?;
    // The text of version 0.1 has the predicate under another name.
    let predicate = signed["predicate"].clone();
    signed["slsaProvenance"] = predicate;
    match differing(text, &signed, &mut String::new()) {
        None => Ok(()),
        Some((place, expected, found)) => {
            let expected = format!("the text to say {expected} at {place}, as the payload does");
            Err(refusal(RefusalReason::Contradiction, expected, found))
        }
    }
}

/// The first place at which the text is not contained in the payload, with both values.
fn differing(text: &Value, signed: &Value, place: &mut String) -> Option<(String, String, String)> {
    if place == NOT_COMPARED {
        return None;
    }
    let length = place.len();
    let mut below = |token: &str, text: &Value, signed: &Value| {
        place.push('/');
        place.push_str(token);
        let found = differing(text, signed, place);
        place.truncate(length);
        found
    };
    match (text, signed) {
        (Value::Object(text), Value::Object(signed)) => {
            text.iter().find_map(|(key, value)| below(key, value, signed.get(key).unwrap_or(&Value::Null)))
        }
        (Value::Array(text), Value::Array(signed)) if text.len() == signed.len() => text
            .iter()
            .zip(signed)
            .enumerate()
            .find_map(|(index, (text, signed))| below(&index.to_string(), text, signed)),
        (text, signed) if text == signed => None,
        (text, signed) => Some((place.clone(), signed.to_string(), text.to_string())),
    }
}
