//! The servers are away, and what the agent says is kept on its own disk: what does not need them goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bus_schema::fleet::Unavailable;
use bus_schema::{Digest, Event};
use bytes::Bytes;
use fleet_runtime::bus::{
    Blobs, Bus, BusError, BusStanding, Consumer, ConsumerConfig, KeyValue, Message, Published, Stored, Stream,
};

use super::bench::Bench;

const APP: &str = "acme/app";

#[tokio::test]
async fn polls_looks_and_heartbeats_go_on_while_questions_and_blobs_cannot_be_reached() {
    let bench = Bench::with("repositories = [\"acme/app\"]\npoll_interval = \"50ms\"").await;
    let away = Arc::new(Away::over(bench.bus.clone(), no_servers));
    let bench = bench.behind(away.clone());
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.attach(APP, image, &vec![b'x'; 200 * 1024]);
    bench.fake.set().native_referrers = true;
    let goes_on = async || {
        let said = bench.said().await;
        let reports =
            said.iter().filter(|envelope| matches!(envelope.event, Event::AgentReported(_))).count();
        let is_tried_again = away.refused.load(Ordering::SeqCst) > 2;
        if is_tried_again {
            bench.fake.image(APP, Some("v2"), "b");
        }
        is_tried_again && reports > 2 && bench.told().await.len() == 4
    };
    bench.run_until(&goes_on).await;
    assert!(goes_on().await, "{:?}", bench.told().await);
    assert!(bench.attached().await.is_empty());
    away.is_away.store(false, Ordering::SeqCst);
    let is_found = async || bench.attached().await.len() == 1;
    bench.run_until(&is_found).await;
    assert!(is_found().await);
}

#[tokio::test]
async fn a_full_store_of_blobs_holds_up_no_question() {
    let bench = Bench::start().await;
    let away = Arc::new(Away::over(bench.bus.clone(), no_room));
    let bench = bench.behind(away.clone());
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.attach(APP, image, &vec![b'x'; 200 * 1024]);
    bench.fake.set().native_referrers = true;
    let repository = bench.fake.repository(APP);
    let answer = bench.ask(&repository, image).await;
    assert_eq!(answer.reason, Unavailable::Unreachable, "{}", answer.detail);
    assert!(answer.detail.contains("no room"), "{}", answer.detail);
    away.is_away.store(false, Ordering::SeqCst);
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
    assert_eq!(bench.attached().await.len(), 1);
}

/// A bus whose streams take what is said, and whose questions and blobs are elsewhere.
#[derive(Debug)]
struct Away {
    here: Arc<dyn Bus>,
    fails: fn() -> BusError,
    is_away: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct BlobsAway {
    here: Arc<dyn Blobs>,
    fails: fn() -> BusError,
    is_away: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

fn no_servers() -> BusError {
    BusError::Unavailable { reason: "no servers".to_owned() }
}

fn no_room() -> BusError {
    BusError::Full { what: "the bucket of blobs".to_owned(), bound: "its size".to_owned(), held_by: None }
}

impl Away {
    fn over(here: Arc<dyn Bus>, fails: fn() -> BusError) -> Away {
        Away { here, fails, is_away: Arc::new(AtomicBool::new(true)), refused: Arc::default() }
    }
}

#[async_trait]
impl Bus for Away {
    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        self.here.publish(message).await
    }

    async fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, BusError> {
        match self.is_away.load(Ordering::SeqCst) {
            true => Err((self.fails)()),
            false => self.here.consumer(config).await,
        }
    }

    async fn remove_consumer(&self, stream: Stream, name: &str) -> Result<(), BusError> {
        self.here.remove_consumer(stream, name).await
    }

    async fn read(&self, stream: Stream, from: u64, messages_max: usize) -> Result<Vec<Stored>, BusError> {
        self.here.read(stream, from, messages_max).await
    }

    async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        self.here.remove(stream, sequence).await
    }

    async fn key_value(&self, bucket: &str) -> Result<Arc<dyn KeyValue>, BusError> {
        self.here.key_value(bucket).await
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        let (is_away, refused) = (self.is_away.clone(), self.refused.clone());
        Arc::new(BlobsAway { here: self.here.blobs(), fails: self.fails, is_away, refused })
    }

    async fn standing(&self) -> Result<BusStanding, BusError> {
        self.here.standing().await
    }

    async fn close(&self) -> Result<(), BusError> {
        self.here.close().await
    }
}

#[async_trait]
impl Blobs for BlobsAway {
    async fn put(&self, bytes: Bytes) -> Result<Digest, BusError> {
        if self.is_away.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err((self.fails)());
        }
        self.here.put(bytes).await
    }

    async fn get(&self, digest: &Digest, bytes_max: usize) -> Result<Option<Bytes>, BusError> {
        self.here.get(digest, bytes_max).await
    }

    async fn exists(&self, digest: &Digest) -> Result<bool, BusError> {
        self.here.exists(digest).await
    }
}
