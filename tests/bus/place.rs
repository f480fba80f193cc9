//! Where a bus under test lives, and the few words that every case uses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus_schema::Digest;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::{Bus, Consumer, ConsumerConfig, Delivery, Message, Stream};

/// Subjects of one scope, so that a filter can tell them apart.
pub(crate) const SUBJECT: &str = "custody.in.ci.agent-a.0123456789abcdef.run.finished.v1";
pub(crate) const OTHER_SUBJECT: &str = "custody.in.registry.agent-b.fedcba9876543210.image.pushed.v1";
/// Long enough for a busy machine; only a failing case waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Short enough to wait for, to see that nothing comes.
pub(crate) const A_MOMENT: Duration = Duration::from_millis(150);

/// One bus under test.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    async fn open(&self) -> Arc<dyn Bus>;

    /// Closes a bus and opens it again on what it kept.
    async fn restart(&self, bus: Arc<dyn Bus>) -> Arc<dyn Bus> {
        bus.close().await.unwrap();
        drop(bus);
        self.open().await
    }

    /// Changes the bytes that are kept under a digest. False where nobody can reach them.
    async fn tamper(&self, digest: &Digest) -> bool;
}

pub(crate) struct Embedded {
    data: tempfile::TempDir,
}

impl Embedded {
    pub(crate) async fn new() -> Embedded {
        Embedded { data: tempfile::tempdir().unwrap() }
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.data.path().join("blobs/sha256").join(&hex[..2]).join(hex)
    }
}

#[async_trait]
impl Place for Embedded {
    async fn open(&self) -> Arc<dyn Bus> {
        EmbeddedBus::open(self.data.path(), EmbeddedLimits::default()).await.unwrap()
    }

    async fn tamper(&self, digest: &Digest) -> bool {
        let path = self.blob(digest);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        true
    }
}

pub(crate) fn message(id: impl Into<String>) -> Message {
    let id = id.into();
    Message::new(SUBJECT, id.clone(), id.into_bytes())
}

pub(crate) fn all_events() -> ConsumerConfig {
    ConsumerConfig::new("reader", Stream::Events, "custody.in.>".parse().unwrap())
}

pub(crate) fn quick_events() -> ConsumerConfig {
    ConsumerConfig { ack_wait: Duration::from_millis(300), ..all_events() }
}

pub(crate) async fn publish(bus: &dyn Bus, ids: impl IntoIterator<Item = &str>) {
    for id in ids {
        bus.publish(message(id)).await.unwrap();
    }
}

/// Fetches until `count` deliveries are there.
pub(crate) async fn take(consumer: &dyn Consumer, count: usize) -> Vec<Delivery> {
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut taken = Vec::new();
    while taken.len() < count {
        assert!(tokio::time::Instant::now() < until, "only {} of {count} came", taken.len());
        taken.extend(consumer.fetch(count - taken.len(), Duration::from_millis(200)).await.unwrap());
    }
    taken
}

pub(crate) async fn nothing_comes(consumer: &dyn Consumer) {
    let came = consumer.fetch(10, A_MOMENT).await.unwrap();
    assert!(came.is_empty(), "{:?}", ids(&came));
}

pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.message.id.as_str()).collect()
}

pub(crate) fn counts(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries.iter().map(|delivery| delivery.deliveries).collect()
}
