//! The blobs of agents go when nothing names them any more, and not before.

use std::sync::Arc;
use std::time::Duration;

use bus_schema::registry::{AttestationAttached, BlobRef, EvidenceItem, EvidencePlace};
use bus_schema::{Digest, Event};
use fleet_runtime::bus::nats::NatsBus;
use fleet_runtime::bus::{Bus, Delivery};
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use fleet_runtime::publisher::Publisher;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::place::{PATIENCE, all_events, take};
use crate::rights::estate::Estate;

/// Longer than from a blob to its event here.
const PUT_BEFORE_MAX: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blobs_of_an_agent_go_when_neither_event_nor_letter_needs_them() {
    let estate = Estate::new().await;
    let correlator = estate.correlator().await;
    let member = estate.agents().find(|member| member.role.id().as_str() == "registry-1").unwrap();
    let agent: Arc<dyn Bus> = estate.agent(member).await;
    let counters = FleetMetrics::new(&Metrics::new()).of(member.role.id());
    let says = Publisher::new(agent.clone(), member.role.id().clone(), counters);
    let reader = correlator.consumer(all_events()).await.unwrap();
    let letters = DeadLetters::new(correlator.clone());
    let is_there = async |digest: &Digest| correlator.blobs().exists(digest).await.unwrap();

    let settled = say(&says, b"of an event that is settled").await;
    let unsettled = say(&says, b"of an event that is not").await;
    let taken: Vec<Delivery> = take(&*reader, 2).await;
    reader.ack(&taken[0]).await.unwrap();
    tokio::time::sleep(PUT_BEFORE_MAX).await;
    correlator.trim_blobs(PUT_BEFORE_MAX).await.unwrap();
    assert!(is_there(&settled).await && is_there(&unsettled).await, "an event is not settled");

    let letter = letters.put_undelivered("correlator", "a test", &taken[1]).await.unwrap();
    reader.ack(&taken[1]).await.unwrap();
    let newest = say(&says, b"of the newest event").await;
    // An acknowledgement is counted a moment later.
    tokio::time::sleep(Duration::from_millis(500)).await;
    correlator.trim_blobs(PUT_BEFORE_MAX).await.unwrap();
    assert!(is_there(&unsettled).await, "a letter can be given back");

    letters.discard(letter).await.unwrap();
    gone(&correlator, &[settled, unsettled]).await;
    assert!(is_there(&newest).await);
    let buckets = correlator.standing().await.unwrap().buckets;
    let own = buckets.iter().find(|bucket| bucket.name == "OBJ_blobs-registry-1").unwrap();
    assert!(own.bytes > 0 && own.bytes < own.bytes_max, "{own:?}");
}

/// Puts bytes and says what names them.
async fn say(publisher: &Publisher, bytes: &'static [u8]) -> Digest {
    let digest = publisher.bus().blobs().put(bytes.into()).await.unwrap();
    let item = EvidenceItem {
        media_type: "application/json".to_owned(),
        blob: BlobRef::stored(digest, bytes.len() as u64),
        annotations: Default::default(),
    };
    let event = AttestationAttached {
        repository: Some("registry.example/acme/app".parse().unwrap()),
        forge_repository: None,
        subject: digest,
        manifest: digest,
        place: EvidencePlace::Referrers,
        artifact_type: None,
        items: vec![item],
        cut: false,
        found_at: Timestamp::now(),
    };
    let envelope = publisher.envelope(Timestamp::now(), None, Event::AttestationAttached(event));
    publisher.publish(&envelope).await.unwrap();
    digest
}

async fn gone(bus: &Arc<NatsBus>, digests: &[Digest]) {
    let until = Instant::now() + PATIENCE;
    for digest in digests {
        loop {
            bus.trim_blobs(PUT_BEFORE_MAX).await.unwrap();
            if !bus.blobs().exists(digest).await.unwrap() {
                break;
            }
            assert!(Instant::now() < until, "{digest} is still there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
