//! Reads JSON from outside strictly: bounded depth, no key twice in one object, nothing after the value.
//!
//! Two readers of a document with a repeated key may see different values; signed statements must have one reading, so
//! such documents are refused. Inputs are bytes, outputs are values of the caller's own structs.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::bounds::JSON_DEPTH_LEVELS_MAX;

/// Why bytes are not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// It nests deeper than the bound.
    #[error("nests deeper than {JSON_DEPTH_LEVELS_MAX} levels")]
    TooDeep,
    /// It is not JSON, has a key twice, or has another shape than the caller's.
    #[error("{0}")]
    Malformed(String),
}

/// Checks the whole document, then reads the part of it that `T` asks for.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    check(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| JsonError::Malformed(error.to_string()))
}

/// Checks that `bytes` are one JSON value without repeated keys and within the bound of depth.
pub(crate) fn check(bytes: &[u8]) -> Result<(), JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let checked =
        Strict { levels_left: JSON_DEPTH_LEVELS_MAX }.deserialize(&mut reader).and_then(|()| reader.end());
    checked.map_err(|error| match error.to_string() {
        text if text.starts_with(TOO_DEEP) => JsonError::TooDeep,
        text => JsonError::Malformed(text),
    })
}

/// The document without the members of objects that are null: to messages of Protocol Buffers, as bundles are, they are the
/// same as absent ones (protobuf.dev, "ProtoJSON Format"), and some producers write them.
pub(crate) fn without_nulls(text: &str) -> Result<Cow<'_, str>, JsonError> {
    if !text.contains("null") {
        return Ok(Cow::Borrowed(text));
    }
    let mut document: Value =
        serde_json::from_str(text).map_err(|error| JsonError::Malformed(error.to_string()))?;
    drop_nulls(&mut document);
    Ok(Cow::Owned(document.to_string()))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const TOO_DEEP: &str = "nests too deep";

#[derive(Clone, Copy)]
struct Strict {
    levels_left: usize,
}

impl Strict {
    fn inner<E: de::Error>(self) -> Result<Strict, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Strict { levels_left }),
            None => Err(E::custom(TOO_DEEP)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        let mut seen = HashSet::new();
        while let Some(Key(key)) = entries.next_key()? {
            if seen.contains(&key) {
                return Err(de::Error::custom(format_args!("the key {key:?} stands twice in one object")));
            }
            seen.insert(key);
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// A key, borrowed from the document unless it has escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> de::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'de>, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn one_plain_document_is_accepted() {
        assert_eq!(check(br#"{"a":[1,2.5,-3,null,true,"x"],"b":{"a":{}}}"#), Ok(()));
    }

    #[test]
    fn a_key_twice_in_one_object_is_refused_even_when_escaped_differently() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"[{"b":{"x":1,"x":1}}]"#] {
            assert!(
                matches!(check(text.as_bytes()), Err(JsonError::Malformed(why)) if why.contains("twice")),
                "{text}"
            );
        }
    }

    #[test]
    fn what_follows_the_value_is_refused() {
        assert!(matches!(check(b"{} {}"), Err(JsonError::Malformed(_))));
        assert_eq!(check(b"{} \n"), Ok(()));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(nested(JSON_DEPTH_LEVELS_MAX).as_bytes()), Ok(()));
        assert_eq!(check(nested(JSON_DEPTH_LEVELS_MAX + 1).as_bytes()), Err(JsonError::TooDeep));
        assert!(check(nested(100_000).as_bytes()).is_err());
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        assert!(matches!(check(b"{\"a\":\"\xff\"}"), Err(JsonError::Malformed(_))));
    }
}
