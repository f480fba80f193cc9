//! Why the servers did not do what they were asked, and whether asking again can help.
//!
//! In: answers, errors and silence of the client. Out: one type that every part of the bus decides by.

use std::error::Error;

use async_nats::jetstream;
use async_nats::jetstream::context::{PublishErrorKind, RequestErrorKind};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageError};
use serde_json::Value;

use super::declared::Declaration;
use crate::bus::BusError;

/// Numbers of the servers' errors that mean something to us.
pub(super) mod code {
    pub(in crate::bus::nats) const CONSUMER_NOT_FOUND: u64 = 10014;
    pub(in crate::bus::nats) const NO_MESSAGE_FOUND: u64 = 10037;
    pub(in crate::bus::nats) const SEQUENCE_NOT_FOUND: u64 = 10043;
    pub(in crate::bus::nats) const STREAM_NAME_IN_USE: u64 = 10058;
    pub(in crate::bus::nats) const STREAM_NOT_FOUND: u64 = 10059;
    pub(in crate::bus::nats) const WRONG_LAST_SEQUENCE: u64 = 10071;
    pub(in crate::bus::nats) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u64 = 10164;
    pub(in crate::bus::nats) const STORE_FAILED: u64 = 10077;
    /// No room on the servers: memory, disk or the account's share.
    pub(in crate::bus::nats) const NO_RESOURCES: [u64; 4] = [10002, 10023, 10028, 10047];
    pub(in crate::bus::nats) const MESSAGE_TOO_LARGE: [u64; 2] = [10054, 10097];
    /// A cluster between leaders, a message whose first copy is still on its way, too many requests at once.
    pub(in crate::bus::nats) const MOMENTARY: [u64; 14] =
        [10004, 10005, 10006, 10007, 10008, 10009, 10041, 10118, 10119, 10158, 10163, 10167, 10194, 10195];
}

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the bus is closed")]
    Closed,
    #[error("the server does not allow `{subject}` to this process")]
    Denied { subject: String },
    #[error("{text} (error {code})")]
    Answer { code: u64, text: String },
    /// No stream takes the subject, or it has no leader at the moment.
    #[error("no stream takes the subject")]
    NoStream,
    /// Nobody answered, or what came was no answer.
    #[error("{reason}")]
    Silent { reason: String },
}

impl Fault {
    pub(super) fn silent(reason: impl Into<String>) -> Fault {
        Fault::Silent { reason: reason.into() }
    }

    /// True when the same may succeed in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Fault::Closed | Fault::Denied { .. } => false,
            Fault::Answer { code, .. } => code::MOMENTARY.contains(code),
            Fault::NoStream | Fault::Silent { .. } => true,
        }
    }

    pub(super) fn has_code(&self, wanted: u64) -> bool {
        matches!(self, Fault::Answer { code, .. } if *code == wanted)
    }

    /// As [`Fault::into_bus`], of a stream that could not be made or changed.
    pub(super) fn of_declaration(self, declared: &Declaration) -> BusError {
        let bytes = declared.config.get("max_bytes").and_then(Value::as_u64);
        match (self, bytes) {
            (Fault::Answer { code, text }, Some(bytes)) if code::NO_RESOURCES.contains(&code) => {
                BusError::NoRoom { stream: declared.name.clone(), mib: bytes >> 20, reason: text }
            }
            (fault, _) => fault.into_bus(&format!("declare stream {}", declared.name)),
        }
    }

    /// What the caller of the bus is told; `action` is what was tried.
    pub(super) fn into_bus(self, action: &str) -> BusError {
        match self {
            Fault::Closed => BusError::Closed,
            Fault::Denied { subject } => BusError::Denied { subject },
            Fault::Answer { code, text } if code::NO_RESOURCES.contains(&code) => {
                BusError::Full { what: "the servers' storage".to_owned(), bound: text, held_by: None }
            }
            Fault::Answer { code, text } => {
                BusError::Unavailable { reason: format!("failed to {action}: {text} (error {code})") }
            }
            Fault::NoStream => {
                BusError::Unavailable { reason: format!("failed to {action}: no stream takes the subject") }
            }
            Fault::Silent { reason } => {
                BusError::Unavailable { reason: format!("failed to {action}: {reason}") }
            }
        }
    }
}

impl From<&jetstream::Error> for Fault {
    fn from(error: &jetstream::Error) -> Fault {
        Fault::Answer { code: error.error_code().0, text: error.to_string() }
    }
}

impl From<jetstream::context::RequestError> for Fault {
    fn from(error: jetstream::context::RequestError) -> Fault {
        match error.kind() {
            RequestErrorKind::NoResponders => Fault::silent("no server answers for JetStream"),
            RequestErrorKind::TimedOut => Fault::silent("no answer in time"),
            _ => Fault::silent(error.to_string()),
        }
    }
}

impl From<jetstream::context::PublishError> for Fault {
    fn from(error: jetstream::context::PublishError) -> Fault {
        if let Some(answer) = answer_in(&error) {
            return answer;
        }
        match error.kind() {
            PublishErrorKind::StreamNotFound => Fault::NoStream,
            PublishErrorKind::TimedOut => Fault::silent("not confirmed in time"),
            PublishErrorKind::BrokenPipe => Fault::silent("the connection ended before it was confirmed"),
            _ => Fault::silent(error.to_string()),
        }
    }
}

impl From<RawMessageError> for Fault {
    fn from(error: RawMessageError) -> Fault {
        match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => {
                Fault::Answer { code: code::NO_MESSAGE_FOUND, text: "no message found".to_owned() }
            }
            LastRawMessageErrorKind::JetStream(answer) => Fault::from(&answer),
            _ => answer_in(&error).unwrap_or_else(|| Fault::silent(error.to_string())),
        }
    }
}

/// The server's own error somewhere in a chain of the client's.
fn answer_in(error: &(dyn Error + 'static)) -> Option<Fault> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(answer) = error.downcast_ref::<jetstream::Error>() {
            return Some(Fault::from(answer));
        }
        next = error.source();
    }
    None
}
