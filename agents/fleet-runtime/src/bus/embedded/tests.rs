//! What the contract suite cannot see from outside: a failing disk, a full stream, forgotten ids.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod full_disk;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};

use super::blobs::FileBlobs;
use super::folder::Folder;
use super::{EmbeddedBus, EmbeddedLimits, StreamLimits, writer};
use crate::bus::{Bus, BusError, Consumer, ConsumerConfig, Message, Stream};

const SUBJECT: &str = "custody.in.ci.agent.scope.run.finished.v1";

/// A disk that is full while the switch is on.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    is_full: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> Result<(), std::io::Error> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(std::io::Error::from(std::io::ErrorKind::StorageFull)),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.room()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.room()?;
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.room()?;
        self.file.write(offset, data)
    }
    fn close(&self) -> Result<(), std::io::Error> {
        self.file.close()
    }
    fn try_lock_range(
        &self,
        start: std::ops::Bound<u64>,
        end: std::ops::Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn unlock_range(
        &self,
        start: std::ops::Bound<u64>,
        end: std::ops::Bound<u64>,
    ) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

fn open_on_disk(data: &Path, is_full: &Arc<AtomicBool>) -> EmbeddedBus {
    let folder = Folder::open(data).unwrap();
    let (file, is_full) = (folder.database_file(), is_full.clone());
    let opener = Box::new(move || -> Result<Database, redb::Error> {
        let open =
            std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&file)?;
        let disk = Disk { file: FileBackend::new(open)?, is_full: is_full.clone() };
        Ok(Database::builder().create_with_backend(disk)?)
    });
    let limits = EmbeddedLimits::default();
    let (queue, shared) = writer::start(folder, opener, limits).unwrap();
    EmbeddedBus { queue, shared, blobs: Arc::new(FileBlobs::open(data).unwrap()), limits }
}

fn message(id: &str) -> Message {
    Message::new(SUBJECT, id, Bytes::from_static(b"{}"))
}

async fn consumer(bus: &EmbeddedBus) -> Arc<dyn Consumer> {
    let filter = "custody.in.>".parse().unwrap();
    bus.consumer(ConsumerConfig::new("reader", Stream::Events, filter)).await.unwrap()
}

async fn ids(consumer: &dyn Consumer) -> Vec<String> {
    let fetched = consumer.fetch(100, Duration::from_millis(50)).await.unwrap();
    for delivery in &fetched {
        consumer.ack(delivery).await.unwrap();
    }
    fetched.into_iter().map(|delivery| delivery.message.id).collect()
}

fn small(bytes_max: u64, may_evict: bool) -> StreamLimits {
    StreamLimits { bytes_max, age_max: Duration::from_secs(3600), may_evict }
}

#[tokio::test]
async fn a_full_stream_names_who_holds_it_and_takes_more_once_that_is_settled() {
    let data = tempfile::tempdir().unwrap();
    let limits = EmbeddedLimits { events: small(1000, true), ..EmbeddedLimits::default() };
    let bus = EmbeddedBus::open(data.path(), limits).await.unwrap();
    let reader = consumer(&bus).await;
    let mut published = 0;
    let full = loop {
        match bus.publish(message(&format!("m-{published}"))).await {
            Ok(_) => published += 1,
            Err(error) => break error,
        }
    };
    assert!(published > 3);
    assert!(full.to_string().contains("held by consumer reader at sequence 1"), "{full}");
    assert_eq!(ids(reader.as_ref()).await.len(), published);
    bus.publish(message("one-more")).await.unwrap();
    assert_eq!(ids(reader.as_ref()).await, ["one-more"]);
}

#[tokio::test]
async fn work_that_no_consumer_has_taken_yet_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let limits = EmbeddedLimits { events: small(500, true), ..EmbeddedLimits::default() };
    let bus = EmbeddedBus::open(data.path(), limits).await.unwrap();
    while bus.publish(message(&format!("m-{}", jiff::Timestamp::now().as_nanosecond()))).await.is_ok() {}
    let first = bus.read(Stream::Events, 0, 1).await.unwrap();
    assert_eq!(first[0].sequence, 1);
}

#[tokio::test]
async fn settled_messages_go_by_age_and_others_stay() {
    let data = tempfile::tempdir().unwrap();
    let quick = StreamLimits { age_max: Duration::from_millis(10), ..small(1 << 20, true) };
    let limits = EmbeddedLimits { events: quick, dead_letters: quick, ..EmbeddedLimits::default() };
    let bus = EmbeddedBus::open(data.path(), limits).await.unwrap();
    let reader = consumer(&bus).await;
    for id in ["a", "b", "c"] {
        bus.publish(message(id)).await.unwrap();
    }
    let fetched = reader.fetch(2, Duration::from_secs(1)).await.unwrap();
    reader.ack(&fetched[0]).await.unwrap();
    let kept = || async { bus.read(Stream::Events, 0, 9).await.unwrap().len() };
    for _ in 0..50 {
        if kept().await == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(kept().await, 2);
}

#[tokio::test]
async fn an_id_is_remembered_over_a_restart_and_forgotten_beyond_the_bound() {
    let data = tempfile::tempdir().unwrap();
    let limits = EmbeddedLimits { duplicates_max: 2, ..EmbeddedLimits::default() };
    let bus = EmbeddedBus::open(data.path(), limits).await.unwrap();
    for id in ["a", "b", "c"] {
        bus.publish(message(id)).await.unwrap();
    }
    bus.close().await.unwrap();
    let bus = EmbeddedBus::open(data.path(), limits).await.unwrap();
    assert!(bus.publish(message("c")).await.unwrap().duplicate);
    assert!(!bus.publish(message("a")).await.unwrap().duplicate);
}

#[tokio::test]
async fn a_second_opening_and_another_version_are_named() {
    let data = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await.unwrap();
    let second = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await;
    assert!(matches!(second, Err(BusError::InUse { .. })), "{second:?}");
    drop(bus);
    std::fs::write(data.path().join("bus/format"), "custody-bus 9\n").unwrap();
    let other = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await;
    assert!(matches!(&other, Err(BusError::Format { found, .. }) if found == "custody-bus 9"), "{other:?}");
}

#[tokio::test]
async fn a_slow_watcher_is_told_so_and_stops_nobody() {
    use futures::StreamExt;
    let data = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await.unwrap();
    let bucket = bus.key_value("verdicts").await.unwrap();
    let watch = bucket.watch("").await.unwrap();
    let writes = (0..1100).map(|_| bucket.put("a", Bytes::from_static(b"x")));
    futures::future::try_join_all(writes).await.unwrap();
    let items: Vec<_> = watch.collect().await;
    assert!(matches!(items.last(), Some(Err(BusError::WatchLagged { .. }))), "{:?}", items.last());
}
