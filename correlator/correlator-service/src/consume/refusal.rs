//! Why an event is not taken: each with a word for metrics and dead letters.

use bus_schema::envelope::EnvelopeError;
use bus_schema::registry::BlobError;
use bus_schema::{AgentId, Digest, EventType, ParseError, RunId};
use jiff::Timestamp;

use crate::recorder::RecordError;

/// A refusal. No repetition makes it right; a person may replay it after an upgrade or a change of settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the subject is none of an agent's")]
    Subject(#[source] ParseError),
    #[error("the subject is not one on which agents report")]
    OtherSubject,
    #[error("the message is not an event")]
    Envelope(#[source] EnvelopeError),
    #[error("the message of {subject} on the bus says that {envelope} speaks")]
    OtherAgent { subject: AgentId, envelope: AgentId },
    #[error("the subject is for {subject}, the event is {envelope}")]
    OtherType { subject: EventType, envelope: EventType },
    #[error("the subject's scope is not the event's")]
    OtherScope,
    #[error("the settings list no agent {agent}")]
    UnknownAgent { agent: AgentId },
    #[error("{agent} watches the {kind} stage and may not say {event_type}")]
    OtherStage { agent: AgentId, kind: &'static str, event_type: EventType },
    #[error("{agent} may not speak about {scope}")]
    OutsideScope { agent: AgentId, scope: String },
    #[error("the log cannot take it")]
    Unrecordable(#[source] RecordError),
    #[error("the run {run} is none of {repository}, of which the event speaks")]
    RunOfAnother { run: Box<RunId>, repository: String },
    #[error("{agent} speaks under the id {id}, which is that of {owner}")]
    IdOfAnother { agent: AgentId, id: String, owner: String },
    #[error("{agent} speaks in the name of {other}")]
    InAnothersName { agent: AgentId, other: String },
    #[error("{what} is {time}, which is more than {skew_seconds_max} s ahead of this machine's clock")]
    FromTheFuture { what: &'static str, time: Timestamp, skew_seconds_max: u64 },
    #[error("the bytes in the event are not those that it names")]
    Inline(#[source] BlobError),
    #[error("the bytes that the event names are {bytes}, at most {bytes_max} are kept")]
    BlobTooLarge { bytes: u64, bytes_max: u64 },
    #[error("the bytes of {digest} are {found}, the event states {stated}")]
    BlobSize { digest: Digest, stated: u64, found: u64 },
    #[error("the bytes in the blob store are not those of {digest}")]
    BlobTampered { digest: Digest },
    #[error("{found} pieces of evidence in one event, at most {items_max} are taken")]
    TooManyItems { found: usize, items_max: usize },
}

/// Every word of a refusal.
pub(crate) const WORDS: [&str; 10] = [
    "unknown_version",
    "subject",
    "unreadable",
    "subject_mismatch",
    "unknown_agent",
    "stage",
    "scope",
    "name",
    "time",
    "bytes",
];

impl Refusal {
    /// One of [`WORDS`].
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Refusal::Envelope(error) if error.is_from_the_future() => "unknown_version",
            Refusal::Subject(_) | Refusal::OtherSubject => "subject",
            Refusal::Envelope(_) | Refusal::Unrecordable(_) => "unreadable",
            Refusal::OtherAgent { .. } | Refusal::OtherType { .. } | Refusal::OtherScope => {
                "subject_mismatch"
            }
            Refusal::UnknownAgent { .. } => "unknown_agent",
            Refusal::OtherStage { .. } => "stage",
            Refusal::OutsideScope { .. } | Refusal::RunOfAnother { .. } | Refusal::IdOfAnother { .. } => {
                "scope"
            }
            Refusal::InAnothersName { .. } => "name",
            Refusal::FromTheFuture { .. } => "time",
            Refusal::Inline(_)
            | Refusal::BlobTooLarge { .. }
            | Refusal::BlobSize { .. }
            | Refusal::BlobTampered { .. }
            | Refusal::TooManyItems { .. } => "bytes",
        }
    }
}
