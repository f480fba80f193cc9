//! Where a look says what it finds: on the bus, or into a list in memory.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bus_schema::{Digest, Event, TraceParent};
use bytes::Bytes;
use fleet_runtime::publisher::{PublishError, Publisher};
use jiff::Timestamp;

/// Takes what a look finds, as it is found.
#[async_trait]
pub(crate) trait Sink: Debug + Send + Sync {
    async fn report(&self, event: Event) -> Result<(), PublishError>;

    /// Keeps bytes that are too many for an event. They are durable, where anything is, before the event that names them.
    async fn keep(&self, bytes: Bytes) -> Result<Digest, PublishError>;
}

/// Publishes in the agent's name, as part of one trace.
#[derive(Debug)]
pub(crate) struct OnTheBus<'a> {
    pub(crate) publisher: &'a Publisher,
    pub(crate) trace: Option<&'a TraceParent>,
}

#[async_trait]
impl Sink for OnTheBus<'_> {
    async fn report(&self, event: Event) -> Result<(), PublishError> {
        let envelope = self.publisher.envelope(Timestamp::now(), self.trace.cloned(), event);
        self.publisher.publish(&envelope).await.map(drop)
    }

    async fn keep(&self, bytes: Bytes) -> Result<Digest, PublishError> {
        Ok(self.publisher.bus().blobs().put(bytes).await?)
    }
}

/// Holds everything in memory: for one look of somebody who waits for it. The look's own bounds are the bounds of this.
#[derive(Debug, Default)]
pub(crate) struct InMemory {
    events: Mutex<Vec<Event>>,
    blobs: Mutex<BTreeMap<Digest, Bytes>>,
}

impl InMemory {
    pub(crate) fn into_parts(self) -> (Vec<Event>, BTreeMap<Digest, Bytes>) {
        let events = self.events.into_inner().unwrap_or_else(PoisonError::into_inner);
        let blobs = self.blobs.into_inner().unwrap_or_else(PoisonError::into_inner);
        (events, blobs)
    }
}

#[async_trait]
impl Sink for InMemory {
    async fn report(&self, event: Event) -> Result<(), PublishError> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        Ok(())
    }

    async fn keep(&self, bytes: Bytes) -> Result<Digest, PublishError> {
        let digest = Digest::sha256_of(&bytes);
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, bytes);
        Ok(digest)
    }
}
