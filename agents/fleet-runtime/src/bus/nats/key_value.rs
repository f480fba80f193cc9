//! Key-value buckets in NATS' own layout: each key a subject, each revision a message.
//!
//! In: keys and values. Out: revisions. Every write carries an id of its own, so that a write whose answer was lost is
//! tried again without becoming two. A deleted key is a marker on the server and absent to us.

use async_nats::header::{HeaderMap, HeaderName, HeaderValue, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use async_nats::jetstream::message::StreamMessage;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::time::{Instant, sleep};

use super::link::Link;
use super::message::with_id;
use super::publish::{NotPublished, Outbound, Outgoing};
use super::read::last_message;
use super::watch;
use crate::bus::{BusError, Entry, KeyValue, PAYLOAD_BYTES_MAX, Watched, check_key};

const OPERATION: &str = "KV-Operation";
const DELETED: &str = "DEL";
const PURGED: &str = "PURGE";
/// A pause for a write of somebody else that is on its way.
const OTHER_WRITE_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct NatsBucket {
    link: Link,
    outbound: Outbound,
    bucket: String,
}

/// What a key holds on the server.
#[derive(Debug)]
enum Held {
    Nothing,
    /// Deleted, by this revision.
    Marker(u64),
    Value(Entry),
}

impl Held {
    /// The revision that our callers know.
    fn revision(&self) -> u64 {
        match self {
            Held::Nothing | Held::Marker(_) => 0,
            Held::Value(entry) => entry.revision,
        }
    }

    /// The revision that the server compares with.
    fn last(&self) -> u64 {
        match self {
            Held::Nothing => 0,
            Held::Marker(revision) => *revision,
            Held::Value(entry) => entry.revision,
        }
    }
}

impl NatsBucket {
    pub(super) fn new(link: Link, outbound: Outbound, bucket: &str) -> NatsBucket {
        NatsBucket { link, outbound, bucket: bucket.to_owned() }
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.bucket)
    }

    async fn held(&self, key: &str) -> Result<Held, BusError> {
        check_key(key)?;
        let message = last_message(&self.link, &self.stream(), &self.subject(key)).await;
        let Some(message) = message.map_err(|fault| fault.into_bus("read a key"))? else {
            return Ok(Held::Nothing);
        };
        Ok(match is_marker(&message.headers) {
            true => Held::Marker(message.sequence),
            false => Held::Value(entry(message)),
        })
    }

    fn outgoing(&self, key: &str, value: Bytes) -> Result<Outgoing, BusError> {
        check_key(key)?;
        if value.len() > PAYLOAD_BYTES_MAX {
            return Err(BusError::PayloadTooLarge { bytes: value.len(), bytes_max: PAYLOAD_BYTES_MAX });
        }
        let headers = with_id(&self.link.client().new_inbox())?;
        Ok(Outgoing { subject: self.subject(key), headers, payload: value })
    }

    fn refused(&self, refused: NotPublished, key: &str, bytes: usize) -> BusError {
        match refused {
            NotPublished::TooLarge { bytes_max } => BusError::PayloadTooLarge { bytes, bytes_max },
            NotPublished::Full => BusError::Full {
                what: format!("the bucket {}", self.bucket),
                bound: "its size".to_owned(),
                held_by: None,
            },
            NotPublished::Conflict => {
                BusError::Unavailable { reason: format!("others write `{key}` all the time") }
            }
            NotPublished::Fault(fault) => fault.into_bus("write a key"),
        }
    }
}

#[async_trait]
impl KeyValue for NatsBucket {
    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        Ok(match self.held(key).await? {
            Held::Value(entry) => Some(entry),
            Held::Nothing | Held::Marker(_) => None,
        })
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<u64, BusError> {
        let bytes = value.len();
        let outgoing = self.outgoing(key, value)?;
        let published = self.outbound.publish(&outgoing).await;
        published.map(|one| one.sequence).map_err(|refused| self.refused(refused, key, bytes))
    }

    async fn put_if(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, BusError> {
        let bytes = value.len();
        let until = Instant::now() + self.link.answer_within();
        let mut outgoing = self.outgoing(key, value)?;
        let mut compared = expected;
        loop {
            outgoing.headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(compared));
            let refused = match self.outbound.publish(&outgoing).await {
                Ok(published) => return Ok(published.sequence),
                Err(refused) => refused,
            };
            if !matches!(refused, NotPublished::Conflict) || Instant::now() >= until {
                return Err(self.refused(refused, key, bytes));
            }
            let held = self.held(key).await?;
            if held.revision() != expected {
                let (bucket, key) = (self.bucket.clone(), key.to_owned());
                return Err(BusError::Conflict { bucket, key, expected, found: held.revision() });
            }
            if held.last() == compared {
                // A write of somebody else is not yet through; it may still fail.
                sleep(OTHER_WRITE_PAUSE).await;
            }
            compared = held.last();
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BusError> {
        if self.held(key).await?.revision() == 0 {
            return Ok(());
        }
        let mut outgoing = self.outgoing(key, Bytes::new())?;
        outgoing.headers.insert(HeaderName::from_static(OPERATION), HeaderValue::from(DELETED));
        let published = self.outbound.publish(&outgoing).await;
        published.map(|_| ()).map_err(|refused| self.refused(refused, key, 0))
    }

    async fn watch(&self, prefix: &str) -> Result<BoxStream<'static, Result<Watched, BusError>>, BusError> {
        if !prefix.is_empty() {
            // A prefix may end with the dot before the part that varies.
            check_key(prefix.trim_end_matches('.'))?;
        }
        watch::begin(self.link.clone(), &self.bucket, prefix).await
    }
}

pub(super) fn is_marker(headers: &HeaderMap) -> bool {
    headers.get_last(OPERATION).is_some_and(|operation| [DELETED, PURGED].contains(&operation.as_str()))
}

fn entry(message: StreamMessage) -> Entry {
    Entry { value: message.payload, revision: message.sequence }
}
