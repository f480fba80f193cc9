//! A bus on which one step never ends: killed there, a process leaves behind what a real kill at that step leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bus_schema::Digest;
use bytes::Bytes;
use fleet_runtime::bus::{
    Blobs, Bus, BusError, BusStanding, Consumer, ConsumerConfig, Delivery, Entry, KeyValue, Message,
    Published, Stored, Stream, Watched,
};
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;

use fleet_runtime::verdicts::VERDICTS_BUCKET;

/// Where it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Before bytes are fetched: those of other events of the batch are kept, and nothing is appended.
    BlobFetched,
    /// Before an acknowledgement: the event is in the log.
    Acknowledged,
    /// After a message is on the bus, before its receipt.
    Published,
    /// After a verdict is in its bucket, before its receipt.
    VerdictPut,
}

/// The place, shared by all handles.
#[derive(Debug)]
struct Place {
    step: Step,
    /// How many more times the step is taken.
    left: AtomicUsize,
    reached: CancellationToken,
}

impl Place {
    async fn pass(&self, step: Step) {
        if step != self.step {
            return;
        }
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() {
            self.reached.cancel();
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Debug)]
pub(crate) struct StuckBus {
    inner: Arc<dyn Bus>,
    place: Arc<Place>,
}

impl StuckBus {
    /// A bus on which the step is taken so many times and then no more.
    pub(crate) fn new(inner: Arc<dyn Bus>, step: Step, times: usize) -> Arc<StuckBus> {
        let place =
            Arc::new(Place { step, left: AtomicUsize::new(times), reached: CancellationToken::new() });
        Arc::new(StuckBus { inner, place })
    }

    /// Waits until the step is reached that does not end.
    pub(crate) async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(60), self.place.reached.cancelled()).await;
        assert!(reached.is_ok(), "{:?} was not reached", self.place.step);
    }
}

#[async_trait]
impl Bus for StuckBus {
    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        let published = self.inner.publish(message).await?;
        self.place.pass(Step::Published).await;
        Ok(published)
    }

    async fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, BusError> {
        let inner = self.inner.consumer(config).await?;
        Ok(Arc::new(StuckConsumer { inner, place: Arc::clone(&self.place) }))
    }

    async fn remove_consumer(&self, stream: Stream, name: &str) -> Result<(), BusError> {
        self.inner.remove_consumer(stream, name).await
    }

    async fn read(&self, stream: Stream, from: u64, messages_max: usize) -> Result<Vec<Stored>, BusError> {
        self.inner.read(stream, from, messages_max).await
    }

    async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        self.inner.remove(stream, sequence).await
    }

    async fn key_value(&self, bucket: &str) -> Result<Arc<dyn KeyValue>, BusError> {
        let inner = self.inner.key_value(bucket).await?;
        match bucket == VERDICTS_BUCKET {
            true => Ok(Arc::new(StuckBucket { inner, place: Arc::clone(&self.place) })),
            false => Ok(inner),
        }
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        Arc::new(StuckBlobs { inner: self.inner.blobs(), place: Arc::clone(&self.place) })
    }

    async fn standing(&self) -> Result<BusStanding, BusError> {
        self.inner.standing().await
    }

    async fn close(&self) -> Result<(), BusError> {
        self.inner.close().await
    }
}

#[derive(Debug)]
struct StuckConsumer {
    inner: Arc<dyn Consumer>,
    place: Arc<Place>,
}

#[async_trait]
impl Consumer for StuckConsumer {
    fn config(&self) -> ConsumerConfig {
        self.inner.config()
    }

    async fn fetch(&self, messages_max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        self.inner.fetch(messages_max, wait).await
    }

    async fn ack(&self, delivery: &Delivery) -> Result<(), BusError> {
        self.place.pass(Step::Acknowledged).await;
        self.inner.ack(delivery).await
    }

    async fn retry(&self, delivery: &Delivery, after: Duration) -> Result<(), BusError> {
        self.inner.retry(delivery, after).await
    }

    async fn in_progress(&self, delivery: &Delivery) -> Result<(), BusError> {
        self.inner.in_progress(delivery).await
    }

    async fn terminate(&self, delivery: &Delivery, reason: &str) -> Result<(), BusError> {
        self.inner.terminate(delivery, reason).await
    }
}

#[derive(Debug)]
struct StuckBucket {
    inner: Arc<dyn KeyValue>,
    place: Arc<Place>,
}

#[async_trait]
impl KeyValue for StuckBucket {
    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        self.inner.get(key).await
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<u64, BusError> {
        let revision = self.inner.put(key, value).await?;
        self.place.pass(Step::VerdictPut).await;
        Ok(revision)
    }

    async fn put_if(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, BusError> {
        self.inner.put_if(key, value, expected).await
    }

    async fn delete(&self, key: &str) -> Result<(), BusError> {
        self.inner.delete(key).await
    }

    async fn watch(&self, prefix: &str) -> Result<BoxStream<'static, Result<Watched, BusError>>, BusError> {
        self.inner.watch(prefix).await
    }
}

#[derive(Debug)]
struct StuckBlobs {
    inner: Arc<dyn Blobs>,
    place: Arc<Place>,
}

#[async_trait]
impl Blobs for StuckBlobs {
    async fn put(&self, bytes: Bytes) -> Result<Digest, BusError> {
        self.inner.put(bytes).await
    }

    async fn get(&self, digest: &Digest, bytes_max: usize) -> Result<Option<Bytes>, BusError> {
        self.place.pass(Step::BlobFetched).await;
        self.inner.get(digest, bytes_max).await
    }

    async fn exists(&self, digest: &Digest) -> Result<bool, BusError> {
        self.inner.exists(digest).await
    }
}
