//! The bucket of verdicts: whatever becomes of it, it says in the end what the index says, and holds up nothing meanwhile.

use bus_schema::Digest;
use bytes::Bytes;
use fleet_runtime::bus::Stream;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::verdicts::{VERDICTS_BUCKET, VerdictReader, verdict_key};

use super::world::{Running, World, started, until};

/// The state that a reader finds.
async fn read(world: &World, running: &Running, digest: &Digest) -> Option<String> {
    let head = running.handle.answers().log_head();
    let reader = VerdictReader::open(&world.bus, &head.log, &head.public_key).await.unwrap();
    let change = reader.read(digest, "api").await.ok()??;
    Some(change.verdict.state.as_str().to_owned())
}

async fn is_trusted(world: &World, running: &Running, digest: &Digest) {
    until("the bucket has the verdict", || async {
        read(world, running, digest).await.as_deref() == Some("trusted")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_purged_or_overwrote_is_put_again() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = world.good_image("good").await;
    running.settled().await;
    is_trusted(&world, &running, &digest).await;
    let bucket = world.bus.key_value(VERDICTS_BUCKET).await.unwrap();
    let key = verdict_key(&digest, "api");
    let good = bucket.get(&key).await.unwrap().unwrap().value;
    bucket.delete(&key).await.unwrap();
    is_trusted(&world, &running, &digest).await;
    let other = verdict_key(&Digest::sha256_of(b"another"), "api");
    bucket.put(&other, good).await.unwrap();
    bucket.put(&key, Bytes::from_static(b"{}")).await.unwrap();
    is_trusted(&world, &running, &digest).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_bus_has_all_verdicts_again_after_a_start() {
    let mut world = World::new().await;
    let running = world.start("").await;
    let digest = world.good_image("good").await;
    running.settled().await;
    running.stop().await;
    world.bus.close().await.unwrap();
    let another = tempfile::tempdir().unwrap();
    world.bus = EmbeddedBus::open(another.path(), EmbeddedLimits::default()).await.unwrap();
    let running = world.start("").await;
    is_trusted(&world, &running, &digest).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bucket_holds_up_no_question_and_no_verdict() {
    let mut world = World::new().await;
    world.bus.close().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let limits = EmbeddedLimits { key_value_bytes_max: 64 * 1024, ..EmbeddedLimits::default() };
    world.bus = EmbeddedBus::open(folder.path(), limits).await.unwrap();
    let bucket = world.bus.key_value(VERDICTS_BUCKET).await.unwrap();
    bucket.put("in/the/way", Bytes::from(vec![b' '; 63 * 1024])).await.unwrap();
    let running = world.start("").await;
    let digest = world.good_image("good").await;
    let unknown = Digest::sha256_of(b"nobody pushed this");
    world.say("cluster", started(unknown, "api")).await;
    running.settled().await;
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    assert_eq!(read(&world, &running, &digest).await, None);
    for stream in [Stream::Verdicts, Stream::Questions] {
        assert!(!world.bus.read(stream, 1, 10).await.unwrap().is_empty(), "{stream}");
    }
    let said = format!("{:?}", running.health.report());
    assert!(said.contains("the bucket of verdicts is full"), "{said}");
    bucket.delete("in/the/way").await.unwrap();
    is_trusted(&world, &running, &digest).await;
    until("the bucket is said to be whole", || async {
        !format!("{:?}", running.health.report()).contains("the bucket of verdicts is full")
    })
    .await;
    running.stop().await;
}
