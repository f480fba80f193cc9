//! Reads of kept messages without a consumer, always from the stream's leader: what was confirmed is found.

use async_nats::jetstream::message::StreamMessage;
use futures::future::join_all;
use serde_json::{Value, json};

use super::fault::{Fault, code};
use super::link::Link;
use super::message::stored;
use crate::bus::{BusError, FETCH_MESSAGES_MAX, Stored, Stream};

/// Payload bytes that one read returns at most; the first message always fits.
const READ_BYTES_MAX: usize = 8 << 20;
/// Messages that are asked for at once.
const ASKED_AT_ONCE: u64 = 8;

/// The first message at or after a sequence whose subject fits.
pub(super) async fn next_message(
    link: &Link,
    stream: &str,
    sequence: u64,
    subject: &str,
) -> Result<Option<StreamMessage>, Fault> {
    found(link, stream, Query::Next { sequence: sequence.max(1), subject }).await
}

/// The last message of a subject.
pub(super) async fn last_message(
    link: &Link,
    stream: &str,
    subject: &str,
) -> Result<Option<StreamMessage>, Fault> {
    found(link, stream, Query::Last { subject }).await
}

/// Which message of a stream.
#[derive(Clone, Copy)]
enum Query<'a> {
    Next { sequence: u64, subject: &'a str },
    Last { subject: &'a str },
}

async fn found(link: &Link, stream: &str, query: Query<'_>) -> Result<Option<StreamMessage>, Fault> {
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let message =
        link.persist(link.answer_within(), || link.attend(&subject, ask(link, stream, query))).await;
    match message {
        Ok(message) => Ok(Some(message)),
        Err(fault) if fault.has_code(code::NO_MESSAGE_FOUND) => Ok(None),
        Err(fault) => Err(fault),
    }
}

async fn ask(link: &Link, stream: &str, query: Query<'_>) -> Result<StreamMessage, Fault> {
    let stream = link.context().get_stream_no_info(stream).await.map_err(not_a_name)?;
    let asked = stream.raw_message_builder();
    let asked = match query {
        Query::Next { sequence, subject } => asked.sequence(sequence).next_by_subject(subject.to_owned()),
        Query::Last { subject } => asked.last_by_subject(subject.to_owned()),
    };
    Ok(asked.send().await?)
}

fn not_a_name(error: impl std::fmt::Display) -> Fault {
    Fault::Answer { code: code::STREAM_NOT_FOUND, text: error.to_string() }
}

pub(super) async fn from_sequence(
    link: &Link,
    stream: Stream,
    from: u64,
    messages_max: usize,
) -> Result<Vec<Stored>, BusError> {
    let messages_max = messages_max.min(FETCH_MESSAGES_MAX);
    let (mut next, mut bytes) = (from.max(1), 0);
    let mut read: Vec<Stored> = Vec::new();
    while read.len() < messages_max {
        let left = u64::try_from(messages_max - read.len()).unwrap_or(ASKED_AT_ONCE);
        let asked = (next..).take(usize::try_from(left.min(ASKED_AT_ONCE)).unwrap_or(1));
        let answers = join_all(asked.map(|sequence| next_message(link, stream.name(), sequence, ">"))).await;
        for answer in answers {
            let Some(message) = answer.map_err(|fault| fault.into_bus("read messages"))? else {
                return Ok(read);
            };
            // Where messages are missing, several answers are the same one.
            if message.sequence < next {
                continue;
            }
            bytes += message.payload.len();
            if bytes > READ_BYTES_MAX && !read.is_empty() {
                return Ok(read);
            }
            next = message.sequence + 1;
            read.push(stored(message));
        }
    }
    Ok(read)
}

/// Removes a message. False when it is not there.
pub(super) async fn remove(link: &Link, stream: Stream, sequence: u64) -> Result<bool, BusError> {
    let subject = format!("STREAM.MSG.DELETE.{stream}");
    let removed = link.ask_until_answered::<Value>(&subject, &json!({ "seq": sequence })).await;
    match removed {
        Ok(_) => Ok(true),
        Err(fault) if fault.has_code(code::NO_MESSAGE_FOUND) || fault.has_code(code::SEQUENCE_NOT_FOUND) => {
            Ok(false)
        }
        // The servers name a missing sequence only in words.
        Err(Fault::Answer { text, .. }) if text.contains("not found") && text.contains("message") => {
            Ok(false)
        }
        Err(fault) => Err(fault.into_bus("remove a message")),
    }
}
