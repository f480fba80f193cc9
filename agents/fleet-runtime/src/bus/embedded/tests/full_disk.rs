//! A disk that is full for a while: everybody is told, nothing that was answered is lost, and all goes on when there is room.

use super::*;
use crate::bus::{Blobs, Published, Watched};

/// Publishes as soon as the database is open again.
async fn publish_again(bus: &EmbeddedBus, id: &str) -> Published {
    for _ in 0..100 {
        if let Ok(published) = bus.publish(message(id)).await {
            return published;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the bus takes nothing although there is room");
}

async fn fails_to_publish(bus: &EmbeddedBus) {
    let refused = bus.publish(message("during")).await;
    assert!(matches!(refused, Err(BusError::Storage { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_everybody_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let bus = open_on_disk(data.path(), &is_full);
    let reader = consumer(&bus).await;
    bus.publish(message("before")).await.unwrap();

    is_full.store(true, Ordering::SeqCst);
    for attempt in 0..3 {
        let refused = bus.publish(message(&format!("during-{attempt}"))).await;
        assert!(matches!(refused, Err(BusError::Storage { .. })), "{refused:?}");
    }
    is_full.store(false, Ordering::SeqCst);

    assert_eq!(publish_again(&bus, "after").await.sequence, 2);
    assert_eq!(ids(reader.as_ref()).await, ["before", "after"]);
}

#[tokio::test]
async fn an_acknowledgement_on_a_full_disk_is_kept_for_the_next_commit() {
    let data = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let bus = open_on_disk(data.path(), &is_full);
    let reader = consumer(&bus).await;
    bus.publish(message("before")).await.unwrap();
    let fetched = reader.fetch(1, Duration::from_secs(1)).await.unwrap();
    is_full.store(true, Ordering::SeqCst);
    reader.ack(&fetched[0]).await.unwrap();
    fails_to_publish(&bus).await;
    is_full.store(false, Ordering::SeqCst);
    publish_again(&bus, "after").await;
    bus.close().await.unwrap();
    drop((bus, reader));

    let bus = open_on_disk(data.path(), &is_full);
    assert_eq!(
        ids(consumer(&bus).await.as_ref()).await,
        ["after"],
        "what was acknowledged does not come again"
    );
}

#[tokio::test]
async fn what_cannot_be_counted_is_not_handed_out_and_spends_no_delivery() {
    let data = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let bus = open_on_disk(data.path(), &is_full);
    let reader = consumer(&bus).await;
    bus.publish(message("before")).await.unwrap();
    is_full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let fetched = reader.fetch(1, Duration::from_millis(50)).await;
        assert!(matches!(fetched, Err(BusError::Storage { .. })), "{fetched:?}");
    }
    is_full.store(false, Ordering::SeqCst);
    publish_again(&bus, "after").await;
    let fetched = reader.fetch(10, Duration::from_secs(1)).await.unwrap();
    let counted: Vec<(&str, u32)> =
        fetched.iter().map(|delivery| (delivery.message.id.as_str(), delivery.deliveries)).collect();
    assert_eq!(counted, [("before", 1), ("after", 1)]);
}

#[tokio::test]
async fn a_value_that_cannot_be_written_is_told_to_its_writer_and_to_no_watcher() {
    use futures::StreamExt;
    let data = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let bus = open_on_disk(data.path(), &is_full);
    let bucket = bus.key_value("verdicts").await.unwrap();
    let revision = bucket.put("a", Bytes::from_static(b"before")).await.unwrap();
    let mut watch = bucket.watch("").await.unwrap();
    is_full.store(true, Ordering::SeqCst);
    for write in [
        bucket.put("a", Bytes::from_static(b"during")).await,
        bucket.put_if("a", Bytes::from_static(b"during"), revision).await,
        bucket.put_if("b", Bytes::from_static(b"during"), 0).await,
    ] {
        assert!(matches!(write, Err(BusError::Storage { .. })), "{write:?}");
    }
    is_full.store(false, Ordering::SeqCst);
    publish_again(&bus, "after").await;
    let kept = bucket.get("a").await.unwrap().unwrap();
    assert_eq!((kept.value.as_ref(), kept.revision), (&b"before"[..], revision));
    assert_eq!(bucket.get("b").await.unwrap(), None);
    let next = bucket.put_if("a", Bytes::from_static(b"after"), revision).await.unwrap();
    assert!(next > revision);
    let mut told = Vec::new();
    while told.last() != Some(&b"after"[..].to_vec()) {
        match watch.next().await.unwrap().unwrap() {
            Watched::Changed { entry, .. } => told.push(entry.value.to_vec()),
            Watched::CaughtUp => {}
            Watched::Deleted { .. } => panic!("nothing was deleted"),
        }
    }
    assert_eq!(told, [b"before".to_vec(), b"after".to_vec()]);
}

#[tokio::test]
async fn a_blob_that_does_not_fit_is_an_error_and_is_not_there() {
    let data = tempfile::tempdir().unwrap();
    let blobs = FileBlobs::open(data.path()).unwrap();
    // The first file that is written lies on a device that is always full.
    std::os::unix::fs::symlink("/dev/full", data.path().join("blobs/unfinished/0")).unwrap();
    let bytes = Bytes::from_static(b"evidence");
    let refused = blobs.put(bytes.clone()).await;
    let Err(BusError::Storage { source, .. }) = &refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("No space left"), "{source}");
    let digest = bus_schema::Digest::sha256_of(&bytes);
    assert!(!blobs.exists(&digest).await.unwrap());
    assert_eq!(blobs.get(&digest, 100).await.unwrap(), None);
    assert_eq!(std::fs::read_dir(data.path().join("blobs/unfinished")).unwrap().count(), 0);
    assert_eq!(blobs.put(bytes.clone()).await.unwrap(), digest);
    assert_eq!(blobs.get(&digest, 100).await.unwrap(), Some(bytes));
}
