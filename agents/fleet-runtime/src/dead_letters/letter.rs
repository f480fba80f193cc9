//! The record of one dead letter, as it lies on the bus: JSON of version 1.

use std::collections::BTreeMap;

use bus_schema::{AgentId, Digest};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Writer;

const FORMAT: u32 = 1;
const REASON_CHARS_MAX: usize = 1000;

/// One payload that was put aside, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadLetter {
    /// Who wrote it, as the subject says on which it lies: the record itself could say anything.
    #[serde(skip)]
    pub writer: Writer,
    /// What put it aside, in the writer's own words: an intake (`registry-agent`) or a consumer (`correlator`).
    pub source: String,
    pub reason: String,
    /// What the message was, where it came over the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered: Option<Undelivered>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    pub payload: Kept,
    /// When it reached us first.
    pub first_seen: Timestamp,
    /// When it was put aside.
    pub at: Timestamp,
}

/// A message that a consumer gave up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Undelivered {
    pub subject: String,
    pub id: String,
    pub deliveries: u32,
}

/// Where the payload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "camelCase", deny_unknown_fields)]
pub enum Kept {
    /// In the letter.
    Inline {
        #[serde(with = "base64_bytes")]
        base64: Bytes,
    },
    /// Among the blobs.
    Blob { digest: Digest, bytes: u64 },
    /// Nowhere: it was larger than anything we keep.
    Hash { digest: Digest, bytes: u64 },
}

impl DeadLetter {
    /// The agent that wrote it; none for the fleet's own.
    pub fn agent(&self) -> Option<&AgentId> {
        match &self.writer {
            Writer::Agent(agent) => Some(agent),
            Writer::Fleet | Writer::Unknown => None,
        }
    }

    /// Whether the fleet itself wrote it: only then its words about itself count.
    pub fn is_the_fleets(&self) -> bool {
        self.writer == Writer::Fleet
    }
}

impl Kept {
    pub fn bytes(&self) -> u64 {
        match self {
            Kept::Inline { base64 } => base64.len() as u64,
            Kept::Blob { bytes, .. } | Kept::Hash { bytes, .. } => *bytes,
        }
    }
}

/// Why a kept record is not a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    #[error("it has format {found}, this version reads {FORMAT}")]
    Format { found: u32 },
    #[error("it is not a dead letter")]
    Malformed(#[source] serde_json::Error),
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    letter: &'a DeadLetter,
}

#[derive(Deserialize)]
struct Read<'a> {
    format: u32,
    #[serde(borrow)]
    letter: &'a serde_json::value::RawValue,
}

impl DeadLetter {
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Written { format: FORMAT, letter: self })
    }

    /// Reads a record that lay on the subject of this writer.
    pub fn from_json(bytes: &[u8], writer: Writer) -> Result<DeadLetter, LetterError> {
        let read: Read<'_> = serde_json::from_slice(bytes).map_err(LetterError::Malformed)?;
        if read.format != FORMAT {
            return Err(LetterError::Format { found: read.format });
        }
        let letter: DeadLetter = serde_json::from_str(read.letter.get()).map_err(LetterError::Malformed)?;
        Ok(DeadLetter { writer, ..letter })
    }
}

/// A source as a part of an id.
pub(super) fn token(source: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let token: String = source.chars().take(64).map(plain).collect();
    if token.is_empty() { "unknown".to_owned() } else { token }
}

/// Reasons come from errors that may quote outside text.
pub(super) fn cut_reason(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The id under which a letter's message is published again.
pub(super) fn replay_id(id: &str, sequence: u64) -> String {
    let first: String = id.chars().take(200).collect();
    format!("{first}-replay-{sequence}")
}

mod base64_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).map(Bytes::from).ok_or_else(|| serde::de::Error::custom("not base64"))
    }

    fn encode(bytes: &[u8]) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    fn decode(text: &str) -> Option<Vec<u8>> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(text).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            writer: Writer::Fleet,
            source: "correlator".to_owned(),
            reason: "delivered 8 times".to_owned(),
            undelivered: Some(Undelivered {
                subject: "custody.in.a".to_owned(),
                id: "x".to_owned(),
                deliveries: 9,
            }),
            headers: BTreeMap::from([("traceparent".to_owned(), "00-1".to_owned())]),
            payload: Kept::Inline { base64: Bytes::from_static(b"\xff\x00") },
            first_seen: Timestamp::UNIX_EPOCH,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let json = letter().to_json().unwrap();
        assert_eq!(DeadLetter::from_json(&json, Writer::Fleet).unwrap(), letter());
    }

    #[test]
    fn another_format_is_named_and_rubbish_is_an_error() {
        let json = String::from_utf8(letter().to_json().unwrap()).unwrap();
        let later = json.replace("\"format\":1", "\"format\":2");
        let read = |bytes: &[u8]| DeadLetter::from_json(bytes, Writer::Fleet);
        assert!(matches!(read(later.as_bytes()), Err(LetterError::Format { found: 2 })));
        assert!(read(b"{").is_err());
    }

    #[test]
    fn sources_become_one_token() {
        assert_eq!(token("registry-agent/x y"), "registry-agent-x-y");
        assert_eq!(token(""), "unknown");
    }
}
