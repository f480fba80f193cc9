//! What travels on the bus: bytes with a subject, an id and a few headers.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::{BusError, HEADERS_BYTES_MAX, MESSAGE_ID_BYTES_MAX, PAYLOAD_BYTES_MAX, check_subject};

/// One message, as its publisher made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Dot-separated tokens; the first two name the stream. Text from outside is never a token.
    pub subject: String,
    /// Repeats of this id are dropped within the stream's window.
    pub id: String,
    /// Lower-case names: `traceparent`.
    pub headers: BTreeMap<String, String>,
    pub payload: Bytes,
}

impl Message {
    pub fn new(subject: impl Into<String>, id: impl Into<String>, payload: impl Into<Bytes>) -> Message {
        Message { subject: subject.into(), id: id.into(), headers: BTreeMap::new(), payload: payload.into() }
    }

    /// Adds a header; its name is stored in lower case.
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Message {
        self.headers.insert(name.to_ascii_lowercase(), value.into());
        self
    }

    pub fn traceparent(&self) -> Option<&str> {
        self.headers.get("traceparent").map(String::as_str)
    }

    /// Refuses what no bus would take: the same limits for every implementation.
    pub fn check(&self) -> Result<(), BusError> {
        check_subject(&self.subject)?;
        let id_is_printable = self.id.bytes().all(|byte| byte.is_ascii_graphic());
        if self.id.is_empty() || self.id.len() > MESSAGE_ID_BYTES_MAX || !id_is_printable {
            return Err(BusError::MessageId { bytes: self.id.len(), bytes_max: MESSAGE_ID_BYTES_MAX });
        }
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(BusError::PayloadTooLarge {
                bytes: self.payload.len(),
                bytes_max: PAYLOAD_BYTES_MAX,
            });
        }
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let are_plain = self.headers.iter().all(|(name, value)| {
            let name_is_token =
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
            !name.is_empty() && name_is_token && !value.chars().any(char::is_control)
        });
        if headers > HEADERS_BYTES_MAX || !are_plain {
            return Err(BusError::Headers { bytes: headers, bytes_max: HEADERS_BYTES_MAX });
        }
        Ok(())
    }
}

/// One delivery of a message to a consumer; owed until it is settled.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub message: Message,
    /// The message's place in its stream.
    pub sequence: u64,
    /// How often it was delivered, this time included: 1 is the first.
    pub deliveries: u32,
    pub published_at: Timestamp,
    /// What the bus needs to settle it; means nothing to the reader.
    pub handle: String,
}

/// A kept message, read without a consumer.
#[derive(Clone, Debug)]
pub struct Stored {
    pub sequence: u64,
    pub message: Message,
    pub published_at: Timestamp,
}

/// The answer to a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    pub sequence: u64,
    pub duplicate: bool,
}

/// A value and the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: Bytes,
    pub revision: u64,
}

/// One item of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    Changed {
        key: String,
        entry: Entry,
    },
    Deleted {
        key: String,
        revision: u64,
    },
    /// All entries that were there when the watch began have been seen.
    CaughtUp,
}
