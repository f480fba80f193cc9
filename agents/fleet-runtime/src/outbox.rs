//! The outbox of an agent: what it says is on its own disk before anybody is answered, and goes on to the bus in order.
//!
//! In: the messages of one agent. Out: the same on the servers' streams, as soon as they take them. While the bus is
//! away nothing is lost and nobody waits: the outbox fills up to its bound in bytes, and then refuses, so that a
//! webhook is answered with 503 and a poll comes again. Each stream goes on by itself: one that is full holds up no
//! other. Questions, buckets and blobs are the servers' alone: without them a look-up waits and is done again.
//!
//! An event's id can be computed by whoever knows what happened, and a server drops a repeated id whoever sent it. So what
//! goes over the wire bears an id that only this outbox can make; the event's own id is inside.

mod key;
mod send;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::bus::embedded::{EmbeddedBus, EmbeddedLimits, Simulated, StreamLimits};
use crate::bus::{
    Blobs, Bus, BusError, BusStanding, Consumer, ConsumerConfig, KeyValue, Message, Published, Stored, Stream,
};
use crate::health::Check;
use crate::metrics::AgentMetrics;

use self::key::{KEY_BYTES, WireKey};

/// The streams that an agent writes.
const STREAMS: [Stream; 2] = [Stream::Events, Stream::DeadLetters];
/// The default bound of the events that wait, in bytes.
pub const BYTES_MAX: u64 = 256 << 20;
/// Nothing in an outbox is too old to be said.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
const MESSAGES_READ_MAX: usize = 256;
/// Payloads read at once, so that large messages are not in memory by the hundred.
const READ_BYTES_MAX: usize = 1 << 19;
/// Pages of the outbox in memory: what is written is read once, soon.
const CACHE_BYTES_MAX: usize = 1 << 19;

/// A bus whose messages go through a folder on this machine first.
#[derive(Debug)]
pub struct Outbox {
    here: Arc<EmbeddedBus>,
    there: Arc<dyn Bus>,
    key: WireKey,
    waiting: Arc<Waiting>,
    /// A message was written, stream by stream in the order of [`STREAMS`].
    written: Arc<[Notify; STREAMS.len()]>,
    metrics: AgentMetrics,
    bytes_max: u64,
    fullness: Arc<Fullness>,
}

/// Whether the outbox refuses, and whom that concerns.
#[derive(Debug, Default)]
struct Fullness {
    is_full: AtomicBool,
    check: Mutex<Option<Check>>,
}

/// What is here and not yet there.
#[derive(Debug, Default)]
struct Waiting {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Outbox {
    /// Opens (or begins) the outbox in a folder of its own. Fails with `InUse` when another process has it.
    pub async fn open(
        folder: &Path,
        bytes_max: u64,
        there: Arc<dyn Bus>,
        metrics: AgentMetrics,
    ) -> Result<Arc<Outbox>, BusError> {
        let here = EmbeddedBus::open(folder, limits(bytes_max)).await?;
        Outbox::over(here, WireKey::of_folder(folder)?, there, metrics, bytes_max).await
    }

    /// Opens an outbox in the storage of a simulation, with the secret of its ids.
    pub async fn simulate(
        simulated: &Simulated,
        secret: [u8; KEY_BYTES],
        bytes_max: u64,
        there: Arc<dyn Bus>,
        metrics: AgentMetrics,
    ) -> Result<Arc<Outbox>, BusError> {
        let here = EmbeddedBus::simulate(simulated, limits(bytes_max))?;
        Outbox::over(here, WireKey::new(secret), there, metrics, bytes_max).await
    }

    async fn over(
        here: Arc<EmbeddedBus>,
        key: WireKey,
        there: Arc<dyn Bus>,
        metrics: AgentMetrics,
        bytes_max: u64,
    ) -> Result<Arc<Outbox>, BusError> {
        let (waiting, written, fullness) = (Arc::default(), Arc::default(), Arc::default());
        let outbox = Outbox { here, there, key, waiting, written, metrics, bytes_max, fullness };
        for stream in STREAMS {
            outbox.count(stream).await?;
        }
        outbox.show();
        Ok(Arc::new(outbox))
    }

    /// The bytes that wait for the bus.
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting.bytes.load(Ordering::Relaxed)
    }

    /// The messages that wait for the bus.
    pub fn waiting_messages(&self) -> u64 {
        self.waiting.messages.load(Ordering::Relaxed)
    }

    /// Adds what an earlier process left.
    async fn count(&self, stream: Stream) -> Result<(), BusError> {
        let mut from = 0;
        loop {
            let read = self.here.read_within(stream, from, MESSAGES_READ_MAX, READ_BYTES_MAX).await?;
            let Some(last) = read.last() else { return Ok(()) };
            from = last.sequence + 1;
            read.iter().for_each(|stored| self.waiting.add(&stored.message));
        }
    }

    fn show(&self) {
        self.waiting.show(&self.metrics);
    }
}

impl Waiting {
    fn add(&self, message: &Message) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes_of(message), Ordering::Relaxed);
    }

    fn take(&self, message: &Message) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes_of(message), Ordering::Relaxed);
    }

    fn show(&self, metrics: &AgentMetrics) {
        metrics.set_outbox(self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
    }
}

impl Fullness {
    /// Says in the outbox's own words that it is full, and to its check at once; logged when it begins.
    fn judge(&self, outcome: Result<Published, BusError>, bytes_max: u64) -> Result<Published, BusError> {
        if !matches!(outcome, Err(BusError::Full { .. })) {
            return outcome;
        }
        let bound = format!("{bytes_max} bytes: the servers do not take what waits");
        let full = BusError::Full { what: "the outbox".to_owned(), bound, held_by: None };
        if !self.is_full.swap(true, Ordering::Relaxed) {
            tracing::error!(reason = %full, "nothing more is taken in");
        }
        if let Some(check) = &*self.check.lock().unwrap_or_else(PoisonError::into_inner) {
            check.failing(full.to_string());
        }
        Err(full)
    }

    /// The servers have taken something.
    fn end(&self) {
        if self.is_full.swap(false, Ordering::Relaxed) {
            tracing::info!("the outbox has room again");
        }
    }
}

fn bytes_of(message: &Message) -> u64 {
    u64::try_from(message.payload.len()).unwrap_or(u64::MAX)
}

fn limits(bytes_max: u64) -> EmbeddedLimits {
    // Nothing goes but what was sent on.
    let kept = StreamLimits { bytes_max, age_max: FOREVER, may_evict: false };
    let cache_bytes_max = CACHE_BYTES_MAX;
    EmbeddedLimits { events: kept, dead_letters: kept, cache_bytes_max, ..EmbeddedLimits::default() }
}

#[async_trait]
impl Bus for Outbox {
    /// Answers when the message is on this machine's disk; `sequence` is the outbox's own.
    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        let stream = Stream::of_subject(&message.subject)?;
        let Some(place) = STREAMS.iter().position(|own| *own == stream) else {
            return self.there.publish(message).await;
        };
        let (here, waiting) = (Arc::clone(&self.here), Arc::clone(&self.waiting));
        let (written, metrics) = (Arc::clone(&self.written), self.metrics.clone());
        let (fullness, bytes_max) = (Arc::clone(&self.fullness), self.bytes_max);
        // A task of its own: whoever asked may have had enough meanwhile, and only here is known whether it counts.
        let keeping = tokio::spawn(async move {
            // Counted first: it may be sent on before this has its answer.
            waiting.add(&message);
            let outcome = here.publish(message.clone()).await;
            if !matches!(&outcome, Ok(published) if !published.duplicate) {
                waiting.take(&message);
            }
            waiting.show(&metrics);
            written[place].notify_one();
            fullness.judge(outcome, bytes_max)
        });
        keeping.await.unwrap_or(Err(BusError::Closed))
    }

    async fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, BusError> {
        self.there.consumer(config).await
    }

    async fn remove_consumer(&self, stream: Stream, name: &str) -> Result<(), BusError> {
        self.there.remove_consumer(stream, name).await
    }

    async fn read(&self, stream: Stream, from: u64, messages_max: usize) -> Result<Vec<Stored>, BusError> {
        self.there.read(stream, from, messages_max).await
    }

    async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        self.there.remove(stream, sequence).await
    }

    async fn key_value(&self, bucket: &str) -> Result<Arc<dyn KeyValue>, BusError> {
        self.there.key_value(bucket).await
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        self.there.blobs()
    }

    async fn standing(&self) -> Result<BusStanding, BusError> {
        self.there.standing().await
    }

    /// Closes what is here. Servers that are away lose nothing by it: what waits for them stays here, and what they did not
    /// hear of comes again.
    async fn close(&self) -> Result<(), BusError> {
        let here = self.here.close().await;
        if let Err(error) = self.there.close().await {
            tracing::warn!(reason = crate::error_chain(&error), "the servers did not hear the end");
        }
        here
    }
}

#[cfg(test)]
mod tests;
