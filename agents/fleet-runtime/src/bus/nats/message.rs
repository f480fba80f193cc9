//! Messages on the wire and in the program: headers, places and times.
//!
//! In: what the servers hand out. Out: our messages. A message that somebody else put into a stream is handed out too,
//! with a made-up id, so that its reader can refuse it by name; only what is no delivery at all is passed over.

use std::collections::BTreeMap;

use async_nats::header::{HeaderMap, HeaderName, HeaderValue, NATS_MESSAGE_ID};
use async_nats::jetstream;
use async_nats::jetstream::message::StreamMessage;
use jiff::Timestamp;

use super::link::Link;
use crate::bus::{BusError, Delivery, HEADERS_BYTES_MAX, Message, Stored};

/// Headers of the bus itself begin with this.
const OWN_HEADERS: &str = "nats-";

/// The headers of a message and its id.
pub(super) fn headers_of(message: &Message) -> Result<HeaderMap, BusError> {
    let refused = || BusError::Headers { bytes: 0, bytes_max: HEADERS_BYTES_MAX };
    let mut headers = with_id(&message.id)?;
    for (name, value) in &message.headers {
        let name: HeaderName = name.parse().map_err(|_| refused())?;
        let value: HeaderValue = value.parse().map_err(|_| refused())?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Headers that hold only an id by which repeats are dropped.
pub(super) fn with_id(id: &str) -> Result<HeaderMap, BusError> {
    let refused = || BusError::MessageId { bytes: id.len(), bytes_max: crate::bus::MESSAGE_ID_BYTES_MAX };
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, id.parse::<HeaderValue>().map_err(|_| refused())?);
    Ok(headers)
}

/// A delivery, or nothing when it carries no place in a stream.
pub(super) fn delivery(link: &Link, message: async_nats::Message) -> Option<Delivery> {
    let handle = message.reply.as_ref()?.to_string();
    let message = jetstream::Message { message, context: link.context().clone() };
    let info = match message.info() {
        Ok(info) => info,
        Err(error) => {
            tracing::warn!(error = %error, "passed over a message that is no delivery");
            return None;
        }
    };
    let sequence = info.stream_sequence;
    let deliveries = u32::try_from(info.delivered.max(1)).unwrap_or(u32::MAX);
    let published_at = time_of(info.published.unix_timestamp_nanos());
    let own = message.message;
    let headers = own.headers.unwrap_or_default();
    let message = ours(own.subject.to_string(), &headers, own.payload, sequence);
    Some(Delivery { message, sequence, deliveries, published_at, handle })
}

pub(super) fn stored(message: StreamMessage) -> Stored {
    let StreamMessage { subject, sequence, headers, payload, time } = message;
    let message = ours(subject.to_string(), &headers, payload, sequence);
    Stored { sequence, message, published_at: time_of(time.unix_timestamp_nanos()) }
}

fn ours(subject: String, headers: &HeaderMap, payload: bytes::Bytes, sequence: u64) -> Message {
    let id = headers.get_last(NATS_MESSAGE_ID).map(|id| id.as_str().to_owned());
    let id = id.unwrap_or_else(|| format!("unnamed-{sequence}"));
    let mut found = BTreeMap::new();
    for (name, values) in headers.iter() {
        let name = name.to_string().to_ascii_lowercase();
        if let (false, Some(value)) = (name.starts_with(OWN_HEADERS), values.last()) {
            found.insert(name, value.as_str().to_owned());
        }
    }
    Message { subject, id, headers: found, payload }
}

fn time_of(nanos: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::UNIX_EPOCH)
}
