//! The envelope: CloudEvents 1.0 in structured JSON ("JSON Event Format for CloudEvents", section 3).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{DataError, EventType};
use crate::subject::Subject;
use crate::{AgentId, Event, EventId, TraceParent};

/// The largest envelope, in bytes: what the bus carries in one message.
pub const ENVELOPE_BYTES_MAX: usize = 1024 * 1024;
const SOURCE_PREFIX: &str = "urn:custody:agent:";
const SCHEMA_PREFIX: &str = "urn:custody:schema:";

/// An event with who says it and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Derived from type, agent and occurrence; a decoded envelope whose id is another is refused.
    pub id: EventId,
    pub agent: AgentId,
    /// When it happened, as the source claims.
    pub occurred: Timestamp,
    /// When the agent saw it.
    pub seen: Timestamp,
    pub traceparent: Option<TraceParent>,
    pub event: Event,
}

/// Why bytes are not an envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the envelope has {bytes} bytes, the limit is {ENVELOPE_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("the envelope is not CloudEvents in JSON")]
    Malformed(#[source] serde_json::Error),
    #[error("specversion is {0:?}, not \"1.0\"")]
    SpecVersion(String),
    #[error("source is {0:?}, not urn:custody:agent:<agent>")]
    Source(String),
    #[error("the id is {stated}, but type, agent and occurrence give {derived}")]
    WrongId { stated: EventId, derived: EventId },
    #[error(transparent)]
    Data(#[from] DataError),
}

impl EnvelopeError {
    /// Whether a later version of this program may be able to read it.
    pub fn is_from_the_future(&self) -> bool {
        matches!(
            self,
            EnvelopeError::Data(DataError::UnknownVersion { .. })
                | EnvelopeError::Data(DataError::UnknownType(_))
        )
    }
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    specversion: String,
    id: EventId,
    source: String,
    #[serde(rename = "type")]
    event_type: EventType,
    subject: String,
    time: Timestamp,
    seentime: Timestamp,
    datacontenttype: String,
    dataschema: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<TraceParent>,
    #[serde(borrow)]
    data: WireData<'a>,
}

/// The data stays text until the type is known.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct WireData<'a>(#[serde(borrow)] std::borrow::Cow<'a, RawValue>);

impl Envelope {
    /// What `agent` says, with its id derived.
    pub fn new(
        agent: AgentId,
        occurred: Timestamp,
        seen: Timestamp,
        traceparent: Option<TraceParent>,
        event: Event,
    ) -> Envelope {
        let id = EventId::derive(&event.event_type(), &agent, &event.occurrence());
        Envelope { id, agent, occurred, seen, traceparent, event }
    }

    /// The subject on which an agent publishes it.
    pub fn subject(&self) -> Subject {
        Subject::event(&self.agent, &self.event)
    }

    pub fn to_json(&self) -> Result<Vec<u8>, EnvelopeError> {
        let event_type = self.event.event_type();
        let data = self.event.data_json().map_err(EnvelopeError::Malformed)?;
        let wire = Wire {
            specversion: "1.0".to_owned(),
            id: self.id,
            source: format!("{SOURCE_PREFIX}{}", self.agent),
            subject: self.event.subject(),
            time: self.occurred,
            seentime: self.seen,
            datacontenttype: "application/json".to_owned(),
            dataschema: format!("{SCHEMA_PREFIX}{event_type}"),
            event_type,
            traceparent: self.traceparent.clone(),
            data: WireData(std::borrow::Cow::Owned(data)),
        };
        let bytes = serde_json::to_vec(&wire).map_err(EnvelopeError::Malformed)?;
        match bytes.len() > ENVELOPE_BYTES_MAX {
            true => Err(EnvelopeError::TooLarge { bytes: bytes.len() }),
            false => Ok(bytes),
        }
    }

    pub fn from_json(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge { bytes: bytes.len() });
        }
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(EnvelopeError::Malformed)?;
        if wire.specversion != "1.0" {
            return Err(EnvelopeError::SpecVersion(crate::open_enum::cut_other(&wire.specversion)));
        }
        let agent = wire.source.strip_prefix(SOURCE_PREFIX).and_then(|agent| agent.parse().ok());
        let Some(agent) = agent else {
            return Err(EnvelopeError::Source(crate::open_enum::cut_other(&wire.source)));
        };
        let event = Event::from_data(&wire.event_type, wire.data.0.get())?;
        let envelope = Envelope::new(agent, wire.time, wire.seentime, wire.traceparent, event);
        match envelope.id == wire.id {
            true => Ok(envelope),
            false => Err(EnvelopeError::WrongId { stated: wire.id, derived: envelope.id }),
        }
    }
}

impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.to_json().map_err(serde::ser::Error::custom)?;
        let text = String::from_utf8(bytes).map_err(serde::ser::Error::custom)?;
        RawValue::from_string(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Envelope, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Envelope::from_json(raw.get().as_bytes()).map_err(serde::de::Error::custom)
    }
}
