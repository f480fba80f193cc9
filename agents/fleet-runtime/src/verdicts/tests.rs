#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bus_schema::verdict::{Verdict, VerdictChanged, VerdictState};
use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use crate::bus::{Bus, KeyValue};

const LOG: &str = "the log";

struct Place {
    pair: Ed25519KeyPair,
    bucket: Arc<dyn KeyValue>,
    reader: VerdictReader,
    _folder: tempfile::TempDir,
}

fn digest() -> Digest {
    Digest::sha256_of(b"an image")
}

impl Place {
    async fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let bus: Arc<dyn Bus> = EmbeddedBus::open(folder.path(), EmbeddedLimits::default()).await.unwrap();
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = hex::encode(pair.public_key().as_ref());
        let reader = VerdictReader::open(&bus, LOG, &key).await.unwrap();
        let bucket = bus.key_value(VERDICTS_BUCKET).await.unwrap();
        Place { pair, bucket, reader, _folder: folder }
    }

    fn signed(&self, stored: &StoredVerdict) -> Value {
        let key = hex::encode(self.pair.public_key().as_ref());
        let signed = SignedVerdict::new(stored, &key, |bytes| self.pair.sign(bytes).as_ref().to_vec());
        serde_json::to_value(signed.unwrap()).unwrap()
    }

    async fn put(&self, value: &Value) {
        let key = verdict_key(&digest(), "api");
        self.bucket.put(&key, Bytes::from(value.to_string())).await.unwrap();
    }

    async fn read(&self) -> Result<Option<VerdictChanged>, VerdictRefused> {
        self.reader.read(&digest(), "api").await
    }
}

fn stored(position: u64, pipeline: &str) -> StoredVerdict {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let verdict = Verdict {
        digest: digest(),
        image: "ghcr.io/acme/api".parse().unwrap(),
        pipeline: pipeline.to_owned(),
        state: VerdictState::Trusted,
        links: Vec::new(),
        path: None,
        policy: Digest::sha256_of(b"policy"),
        roots: Vec::new(),
        reached_at: at,
        rests_on: Vec::new(),
    };
    StoredVerdict {
        key: verdict_key(&digest(), pipeline),
        log: LOG.to_owned(),
        generation: 1,
        position,
        change: VerdictChanged {
            verdict,
            previous: None,
            because: "tested".to_owned(),
            log_position: position,
        },
    }
}

#[tokio::test]
async fn what_the_correlator_wrote_is_read() {
    let place = Place::new().await;
    assert_eq!(place.read().await.unwrap(), None);
    place.put(&place.signed(&stored(5, "api"))).await;
    assert_eq!(place.read().await.unwrap().unwrap().log_position, 5);
    place.put(&place.signed(&stored(9, "api"))).await;
    assert_eq!(place.read().await.unwrap().unwrap().log_position, 9);
    assert_eq!(place.read().await.unwrap().unwrap().log_position, 9);
}

#[tokio::test]
async fn an_old_verdict_that_is_brought_back_is_refused() {
    let place = Place::new().await;
    place.put(&place.signed(&stored(9, "api"))).await;
    place.read().await.unwrap();
    place.put(&place.signed(&stored(5, "api"))).await;
    let refused = place.read().await.unwrap_err();
    assert!(matches!(refused, VerdictRefused::Older { found: (1, 5), seen: (1, 9), .. }), "{refused}");
    // A log that was begun later counts from its own beginning.
    place.put(&place.signed(&StoredVerdict { generation: 2, ..stored(1, "api") })).await;
    place.read().await.unwrap();
}

#[tokio::test]
async fn what_somebody_else_wrote_or_altered_is_refused() {
    let place = Place::new().await;
    let genuine = place.signed(&stored(5, "api"));
    let other = Place::new().await;
    let mut altered = vec![
        ("of another key", other.signed(&stored(5, "api"))),
        ("of another pipeline", place.signed(&stored(5, "other"))),
        ("of another log", place.signed(&StoredVerdict { log: "another".to_owned(), ..stored(5, "api") })),
        ("moved", place.signed(&StoredVerdict { key: "sha256/00/api".to_owned(), ..stored(5, "api") })),
        ("no envelope", serde_json::json!({})),
        ("a bare verdict", serde_json::to_value(stored(5, "api")).unwrap()),
    ];
    for place_in in ["/payloadType", "/payload", "/signatures/0/sig"] {
        for text in ["", "AAAA"] {
            let mut value = genuine.clone();
            *value.pointer_mut(place_in).unwrap() = text.into();
            altered.push((place_in, value));
        }
    }
    let mut twice = genuine.clone();
    let first = twice["signatures"][0].clone();
    twice["signatures"].as_array_mut().unwrap().push(first);
    altered.push(("signed twice", twice));
    for (what, value) in altered {
        place.put(&value).await;
        let refused = place.read().await;
        assert!(matches!(refused, Err(VerdictRefused::Value { .. })), "{what}: {refused:?}");
    }
    place.put(&genuine).await;
    place.read().await.unwrap();
}

#[test]
fn every_pipeline_name_makes_a_key_of_its_own_that_the_bus_takes() {
    let digest = Digest::sha512_of(b"x");
    for name in ["api", "a..b", ".a", "a.", "a-b.c"] {
        crate::bus::check_key(&verdict_key(&digest, name)).unwrap();
    }
    assert_ne!(verdict_key(&digest, "a.b"), verdict_key(&digest, "a-b"));
}
