//! What happened, told apart from who reports it.
//!
//! An [`OccurrenceKey`] says what happened; two agents that saw the same thing give the same key and so corroborate each
//! other. An [`EventId`] is the key as one agent reports it; repeats are dropped by it.
//!
//! A fact that the same agent may tell again in a fuller form has the fuller form in its key too: a merge its `lookedUp`, a
//! review its reviewer's permission, an answer its reason, the end of a run or job whether it only was held for an
//! approval. Else what a look-up adds to a webhook, a retried question to its first answer, or an approval to a run that was
//! held for it, would have the id of what was said before and be dropped as a repeat.

use std::fmt;
use std::str::FromStr;

use crate::hash::{hash_fields, write_hex};
use crate::{AgentId, EventType, ParseError};

/// The fields that say what happened, in one canonical text: the fields joined by unit separators (U+001F), with
/// control characters inside a field made visible so that no field can run into the next.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OccurrenceKey(String);

impl OccurrenceKey {
    /// The key of an occurrence that `fields` tell apart from all others.
    pub fn of<'a>(fields: impl IntoIterator<Item = &'a str>) -> OccurrenceKey {
        let mut key = String::new();
        for field in fields {
            for c in field.chars() {
                match c.is_control() || c == '\\' {
                    true => key.extend(c.escape_unicode()),
                    false => key.push(c),
                }
            }
            key.push('\u{1f}');
        }
        OccurrenceKey(key)
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OccurrenceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.replace('\u{1f}', "|"))
    }
}

/// The identity of one event: the hash of its type, its agent and its [`OccurrenceKey`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 32]);

impl EventId {
    /// The id of an event of this type, said by this agent about this occurrence.
    pub fn derive(event_type: &EventType, agent: &AgentId, occurrence: &OccurrenceKey) -> EventId {
        EventId(hash_fields([event_type.to_string().as_str(), agent.as_str(), occurrence.as_str()]))
    }

    /// The raw hash.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<EventId, ParseError> {
        if let Some(position) = text.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ParseError::new("event id", text, position, "not a lower-case hex digit"));
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| ParseError::new("event id", text, text.len(), "it does not have 64 hex digits"))?;
        Ok(EventId(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0, &mut [0; 64])
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0, &mut [0; 64])
    }
}

text_identity!(EventId, "EventId", "^[0-9a-f]{64}$", "the hash of type, agent and occurrence key");
