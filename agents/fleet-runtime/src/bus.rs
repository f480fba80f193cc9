//! The one bus trait: durable publishing with an id, durable pull, key-value buckets and blobs.
//!
//! In: messages whose subject names their stream. Out: deliveries that stay owed until they are settled.
//! The semantics are JetStream's, so that both implementations pass one contract suite (`tests/bus`):
//! order within a stream, repeats of an id dropped within a window, at-least-once delivery with a count, redelivery
//! after `ack_wait`. Nothing here judges a payload, and nothing accepted is ever dropped silently: a full stream
//! refuses.

mod error;
mod message;
mod pattern;
mod standing;
mod stream;

pub mod embedded;
pub mod nats;
pub mod reader;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus_schema::Digest;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use error::BusError;
pub use message::{Delivery, Entry, Message, Published, Stored, Watched};
pub use pattern::{Pattern, check_key, check_subject};
pub use standing::{BucketStanding, BusStanding, ConsumerStanding, StreamStanding};
pub use stream::Stream;

/// The largest payload of one message or key-value entry: JetStream's default. Larger bytes are blobs.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// The largest blob.
pub const BLOB_BYTES_MAX: usize = 16 << 20;
/// Headers of one message, keys and values together.
pub const HEADERS_BYTES_MAX: usize = 8 << 10;
/// The longest message id.
pub const MESSAGE_ID_BYTES_MAX: usize = 256;
/// The most deliveries that one `fetch` may ask for.
pub const FETCH_MESSAGES_MAX: usize = 1024;

/// A bus: shared as `Arc<dyn Bus>` by everything in a process.
#[async_trait]
pub trait Bus: Debug + Send + Sync {
    /// Publishes one message. Returns only when it is durable; `duplicate` says that its id was already stored in
    /// this stream within the window, and then `sequence` is the first one's.
    async fn publish(&self, message: Message) -> Result<Published, BusError>;

    /// Opens (and creates or updates, by name) a durable consumer. A new one starts at the oldest message that is
    /// kept. Two handles of one name share its deliveries.
    async fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, BusError>;

    /// Forgets a durable consumer, and with it what it was still owed.
    async fn remove_consumer(&self, stream: Stream, name: &str) -> Result<(), BusError>;

    /// Reads kept messages without a consumer, oldest first, from `from` on: for lists and look-ups by people.
    /// Never returns more than 8 MiB of payload at once, and at least one message where one is there.
    async fn read(&self, stream: Stream, from: u64, messages_max: usize) -> Result<Vec<Stored>, BusError>;

    /// Removes one kept message. False when it is not there.
    async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError>;

    /// Opens a key-value bucket, creating it when it is new.
    async fn key_value(&self, bucket: &str) -> Result<Arc<dyn KeyValue>, BusError>;

    /// The content-addressed store for what is too large for a message.
    fn blobs(&self) -> Arc<dyn Blobs>;

    /// How it stands: for people, never for decisions.
    async fn standing(&self) -> Result<BusStanding, BusError>;

    /// Writes what is still held back (acknowledgements) and closes. Every handle answers `Closed` from then on.
    async fn close(&self) -> Result<(), BusError>;
}

/// What a durable consumer is and may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// The durable name: ASCII letters, digits, `-` and `_`; unique within the stream.
    pub name: String,
    pub stream: Stream,
    /// Which subjects of the stream: `*` stands for one token, a last `>` for one or more.
    pub filter: Pattern,
    /// How long a delivery may stay unsettled before it is delivered again.
    pub ack_wait: Duration,
    /// How often a message may be handed to the work before it goes to the dead letter (see [`reader::Reader`]).
    pub deliveries_max: u32,
    /// How many messages may be delivered and unsettled at once; at the limit `fetch` waits.
    pub in_flight_max: usize,
}

impl ConsumerConfig {
    /// The usual bounds for the subjects of a stream.
    pub fn new(name: impl Into<String>, stream: Stream, filter: Pattern) -> ConsumerConfig {
        ConsumerConfig {
            name: name.into(),
            stream,
            filter,
            ack_wait: Duration::from_secs(30),
            deliveries_max: 8,
            in_flight_max: 512,
        }
    }

    /// Refuses what no bus would take: the same limits for every implementation.
    fn check(&self) -> Result<(), BusError> {
        let refused = |reason: &str| Err(BusError::Consumer { reason: reason.to_owned() });
        let name_is_plain =
            self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if self.name.is_empty() || self.name.len() > 64 || !name_is_plain {
            return refused("the name must be 1 to 64 ASCII letters, digits, `-` or `_`");
        }
        if !self.filter.as_str().starts_with(self.stream.subject_prefix()) {
            return refused("the filter lies outside the stream's subjects");
        }
        if self.in_flight_max == 0 || self.deliveries_max == 0 || self.ack_wait.is_zero() {
            return refused("a bound of zero");
        }
        Ok(())
    }
}

/// A durable consumer. Every delivery is settled by exactly one of `ack`, `retry` or `terminate`, or comes again.
#[async_trait]
pub trait Consumer: Debug + Send + Sync {
    fn config(&self) -> ConsumerConfig;

    /// Up to `messages_max` deliveries; waits up to `wait` for the first, then takes what is there. An empty answer
    /// means that the time is over. Safe to cancel: what was taken comes again.
    async fn fetch(&self, messages_max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError>;

    /// Settles a delivery. The acknowledgement may become durable a moment later: lost in a crash it causes a
    /// redelivery, never a loss.
    async fn ack(&self, delivery: &Delivery) -> Result<(), BusError>;

    /// Asks for the message again after a delay. Those behind it pass; the count goes up with the next delivery.
    async fn retry(&self, delivery: &Delivery, after: Duration) -> Result<(), BusError>;

    /// Starts `ack_wait` again, for work that takes long.
    async fn in_progress(&self, delivery: &Delivery) -> Result<(), BusError>;

    /// Settles a delivery that will never succeed. The caller has kept it elsewhere (the dead letter).
    async fn terminate(&self, delivery: &Delivery, reason: &str) -> Result<(), BusError>;
}

/// A bucket of small values, each with the revision of its last change. Keys are ASCII letters, digits and `-/_=.`.
#[async_trait]
pub trait KeyValue: Debug + Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError>;

    /// Writes without a condition; returns the new revision.
    async fn put(&self, key: &str, value: Bytes) -> Result<u64, BusError>;

    /// Writes if the key's revision is `expected`; 0 means that the key must not exist. Else `BusError::Conflict`.
    async fn put_if(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, BusError>;

    /// Deletes a key; deleting what is not there is no error.
    async fn delete(&self, key: &str) -> Result<(), BusError>;

    /// The current entries whose key starts with `prefix` ordered by revision, then `CaughtUp`, then every change in
    /// order. A reader that falls too far behind gets `BusError::WatchLagged` as last item and watches again.
    async fn watch(&self, prefix: &str) -> Result<BoxStream<'static, Result<Watched, BusError>>, BusError>;
}

/// Bytes kept under the hash of their content.
#[async_trait]
pub trait Blobs: Debug + Send + Sync {
    /// Stores up to [`BLOB_BYTES_MAX`] bytes and returns their SHA-256. Durable when it returns.
    async fn put(&self, bytes: Bytes) -> Result<Digest, BusError>;

    /// Reads a blob of at most `bytes_max` bytes and hashes it again: other bytes under its name are an error.
    async fn get(&self, digest: &Digest, bytes_max: usize) -> Result<Option<Bytes>, BusError>;

    async fn exists(&self, digest: &Digest) -> Result<bool, BusError>;
}
