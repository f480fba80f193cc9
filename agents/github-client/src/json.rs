//! JSON from outside: how deep it may nest, and how it is read.

use serde::de::DeserializeOwned;

/// The deepest nesting of arrays and objects that is read. GitHub's own payloads stay below 20.
pub const JSON_DEPTH_MAX: usize = 64;

/// Why text from outside is not the JSON that was expected. The message never repeats the payload.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error("the json nests deeper than {JSON_DEPTH_MAX} levels at byte {position}")]
    TooDeep { position: usize },
    #[error("the body is not a json object")]
    NotAnObject,
    #[error("the json does not have the expected shape")]
    Shape(#[source] serde_json::Error),
}

/// Reads `bytes` as a `T`, after checking how deep they nest.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    check_depth(bytes)?;
    serde_json::from_slice(bytes).map_err(JsonError::Shape)
}

/// Reads a body that must be one object. Serde alone would also take an array for a struct's fields in order.
pub fn read_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => read(bytes),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Counts brackets outside of strings, without parsing anything else.
fn check_depth(bytes: &[u8]) -> Result<(), JsonError> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (position, byte) in bytes.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(JsonError::TooDeep { position });
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn json_that_nests_deeper_than_the_bound_is_refused_before_it_is_parsed() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let refusal = read::<serde_json::Value>(deep.as_bytes()).unwrap_err();
        assert!(matches!(refusal, JsonError::TooDeep { position: 64 }), "{refusal}");
        let flat = format!("{}1{}", "[".repeat(JSON_DEPTH_MAX), "]".repeat(JSON_DEPTH_MAX));
        read::<serde_json::Value>(flat.as_bytes()).unwrap();
    }

    #[test]
    fn brackets_inside_strings_do_not_count() {
        let text = format!(r#"{{"text":"{}\"["}}"#, "[{".repeat(1000));
        read::<serde_json::Value>(text.as_bytes()).unwrap();
    }
}
