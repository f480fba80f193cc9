//! The envelope: CloudEvents 1.0 in structured JSON ("JSON Event Format for CloudEvents", section 3).
//!
//! In: bytes from the bus or the log, of any origin. Out: an [`Envelope`] whose id is the derived one, or a typed refusal.
//! It never judges whether the agent may say what it says: that is the reader's part.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{DataError, EventType, Stage, TYPE_PREFIX, WORD_BYTES_MAX};
use crate::open_enum::cut_other;
use crate::subject::Subject;
use crate::{AgentId, Event, EventId, JsonError, ParseError, TraceParent, depth};

/// The largest envelope, in bytes: what the bus carries in one message.
pub const ENVELOPE_BYTES_MAX: usize = 1024 * 1024;
/// The deepest nesting of arrays and objects in an envelope. The events need less than a third of it.
pub const ENVELOPE_DEPTH_MAX: usize = 32;
/// What an envelope usually takes around its data, in bytes.
const AROUND_DATA_BYTES: usize = 1024;
/// Data that leave no doubt that the envelope around them is small enough, in bytes: what else is in it, they hold too.
const SMALL_DATA_BYTES: usize = 64 * 1024;
const SOURCE_PREFIX: &str = "urn:custody:agent:";
pub(crate) const SCHEMA_PREFIX: &str = "urn:custody:schema:";
const CONTENT_TYPE: &str = "application/json";

/// An event with who says it and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Derived from type, agent and occurrence; a decoded envelope whose id is another is refused.
    pub id: EventId,
    /// Who says it.
    pub agent: AgentId,
    /// When it happened, as the source claims.
    pub occurred: Timestamp,
    /// When the agent saw it.
    pub seen: Timestamp,
    /// The trace that the event belongs to, from intake to alert.
    pub traceparent: Option<TraceParent>,
    /// What happened.
    pub event: Event,
}

/// Why bytes are not an envelope.
#[expect(missing_docs, reason = "the message of each variant says it")]
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the envelope has {bytes} bytes, the limit is {ENVELOPE_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("arrays and objects are nested deeper than {ENVELOPE_DEPTH_MAX} at byte {position}")]
    TooDeep { position: usize },
    #[error("the envelope is not CloudEvents in JSON")]
    Malformed(#[source] JsonError),
    #[error("specversion is {0:?}, not \"1.0\"")]
    SpecVersion(String),
    #[error("source is {0:?}, not urn:custody:agent:<agent>")]
    Source(String),
    #[error("datacontenttype is {0:?}, not \"application/json\"")]
    ContentType(String),
    #[error("dataschema is {stated:?}, but the type is {event_type}")]
    DataSchema { stated: String, event_type: EventType },
    #[error(transparent)]
    Type(ParseError),
    /// A well-formed type of a stage that this program does not know yet.
    #[error("the stage of the event type {0:?} is unknown")]
    UnknownStage(String),
    #[error("the id is {stated}, but type, agent and occurrence give {derived}")]
    WrongId { stated: EventId, derived: EventId },
    #[error(transparent)]
    Data(#[from] DataError),
}

impl EnvelopeError {
    /// Whether a later version of this program may be able to read it.
    pub fn is_from_the_future(&self) -> bool {
        match self {
            EnvelopeError::UnknownStage(_) => true,
            EnvelopeError::Data(error) => {
                matches!(error, DataError::UnknownVersion { .. } | DataError::UnknownType(_))
            }
            _ => false,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    specversion: String,
    id: EventId,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
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

impl Wire<'_> {
    fn to_json(&self) -> Result<Vec<u8>, EnvelopeError> {
        // Of a large envelope most is data; grown step by step it would take twice its size.
        let mut bytes = Vec::with_capacity(self.data_bytes() + AROUND_DATA_BYTES);
        serde_json::to_writer(&mut bytes, self).map_err(malformed)?;
        match bytes.len() > ENVELOPE_BYTES_MAX {
            true => Err(EnvelopeError::TooLarge { bytes: bytes.len() }),
            false => Ok(bytes),
        }
    }

    fn data_bytes(&self) -> usize {
        self.data.0.get().len()
    }
}

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

    /// The envelope as the bus and the log carry it.
    pub fn to_json(&self) -> Result<Vec<u8>, EnvelopeError> {
        self.wire()?.to_json()
    }

    fn wire(&self) -> Result<Wire<'static>, EnvelopeError> {
        let event_type = self.event.event_type();
        let data = self.event.data_json().map_err(malformed)?;
        Ok(Wire {
            specversion: "1.0".to_owned(),
            id: self.id,
            source: format!("{SOURCE_PREFIX}{}", self.agent),
            subject: self.event.subject(),
            time: self.occurred,
            seentime: self.seen,
            datacontenttype: CONTENT_TYPE.to_owned(),
            dataschema: format!("{SCHEMA_PREFIX}{event_type}"),
            event_type: event_type.to_string(),
            traceparent: self.traceparent.clone(),
            data: WireData(std::borrow::Cow::Owned(data)),
        })
    }

    /// Reads an envelope. Unknown fields are ignored; everything else must fit, the id included.
    pub fn from_json(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge { bytes: bytes.len() });
        }
        if let Some(position) = depth::deeper_than(bytes, ENVELOPE_DEPTH_MAX) {
            return Err(EnvelopeError::TooDeep { position });
        }
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
        if wire.specversion != "1.0" {
            return Err(EnvelopeError::SpecVersion(cut_other(&wire.specversion)));
        }
        let agent = wire.source.strip_prefix(SOURCE_PREFIX).and_then(|agent| agent.parse().ok());
        let Some(agent) = agent else {
            return Err(EnvelopeError::Source(cut_other(&wire.source)));
        };
        if wire.datacontenttype != CONTENT_TYPE {
            return Err(EnvelopeError::ContentType(cut_other(&wire.datacontenttype)));
        }
        let event_type = read_type(&wire.event_type)?;
        if wire.dataschema.strip_prefix(SCHEMA_PREFIX) != Some(wire.event_type.as_str()) {
            return Err(EnvelopeError::DataSchema { stated: cut_other(&wire.dataschema), event_type });
        }
        let event = Event::from_data(&event_type, wire.data.0.get())?;
        let envelope = Envelope::new(agent, wire.time, wire.seentime, wire.traceparent, event);
        match envelope.id == wire.id {
            true => Ok(envelope),
            false => Err(EnvelopeError::WrongId { stated: wire.id, derived: envelope.id }),
        }
    }
}

fn malformed(error: serde_json::Error) -> EnvelopeError {
    EnvelopeError::Malformed(error.into())
}

/// Reads a type, and tells a stage of the future from text that is no type at all.
fn read_type(text: &str) -> Result<EventType, EnvelopeError> {
    let error = match text.parse::<EventType>() {
        Ok(event_type) => return Ok(event_type),
        Err(error) => error,
    };
    let is_word = |word: &str| {
        !word.is_empty() && word.len() <= WORD_BYTES_MAX && word.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    let mut words = text.strip_prefix(TYPE_PREFIX).unwrap_or_default().splitn(2, '.');
    let (stage, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // With a stage that is known, everything after it must be a type too.
    let rest_fits = format!("{TYPE_PREFIX}{}.{rest}", Stage::Fleet.as_str()).parse::<EventType>().is_ok();
    match is_word(stage) && rest_fits && Stage::parse(stage).is_none() {
        true => Err(EnvelopeError::UnknownStage(cut_other(text))),
        false => Err(EnvelopeError::Type(error)),
    }
}

impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = self.wire().map_err(serde::ser::Error::custom)?;
        if wire.data_bytes() > SMALL_DATA_BYTES {
            // For its check of the whole size alone.
            wire.to_json().map_err(serde::ser::Error::custom)?;
        }
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Envelope, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Envelope::from_json(raw.get().as_bytes()).map_err(serde::de::Error::custom)
    }
}
