//! A kill at each step of the way: nothing is lost, the verdicts are those of a run that nobody disturbed, and no alert is
//! sent a second time under another id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bus_schema::Digest;
use bus_schema::registry::{BlobRef, EvidencePlace};
use correlator_core::input::Input;
use correlator_store::{Store, StoreSettings};
use fleet_runtime::health::Health;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::once::logged;
use super::stuck::{Step, StuckBus};
use super::world::{Received, Receiver, World, attached, start, started, until};
use crate::correlator::RECORDS_FORMAT;
use crate::metrics::CorrelatorMetrics;
use crate::recorder::{Desk, Record, Recorder};
use crate::verification::{OutcomeCache, Verification};

/// Verdicts and open cases.
pub(crate) type Conclusions = (BTreeMap<Digest, String>, Vec<String>);

/// A good image, one that a person pushed, and evidence whose bytes lie on the bus.
pub(crate) async fn estate(world: &World) {
    for name in ["one", "two"] {
        let digest = world.good_image(name).await;
        world.say("cluster", started(digest, name)).await;
    }
    let evil = world.bad_image("evil").await;
    let stored = BlobRef::stored(Digest::sha256_of(b"not evidence"), 12);
    world.bus.blobs().put(bytes::Bytes::from_static(b"not evidence")).await.unwrap();
    world.say("registry", attached(evil, EvidencePlace::Referrers, stored, "c2ln")).await;
    world.say("cluster", started(evil, "evil")).await;
}

/// What was told of what: change, rule and subject, and the ids under which. What a window opened and a later proof closed
/// may differ with the time that a kill takes.
pub(crate) fn told(received: &[Received]) -> BTreeMap<String, BTreeSet<String>> {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in received {
        let case = &one.body["data"]["case"];
        let times = case["reopened"].as_u64().unwrap_or_default();
        let key = format!("{} {} {times}", one.said(), case["subject"]);
        if !one.said().starts_with("updated") {
            told.entry(key).or_default().insert(one.id.clone());
        }
    }
    told
}

pub(crate) fn check_told(received: &[Received], undisturbed: &[Received]) {
    let (told, expected) = (told(received), told(undisturbed));
    for (what, ids) in &told {
        assert_eq!(ids.len(), 1, "{what:?} was told under {ids:?}");
    }
    assert_eq!(stayed(&told), stayed(&expected));
}

/// What was opened and stayed. On a busy machine a window may end before a proof is verified, which then closes what it
/// opened.
fn stayed(told: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&String> {
    let is_closed = |what: &String| told.contains_key(&what.replacen("opened", "resolved", 1));
    told.keys().filter(|what| !is_closed(what)).collect()
}

struct Undisturbed {
    conclusions: Conclusions,
    received: Vec<Received>,
    events: usize,
}

async fn undisturbed() -> Undisturbed {
    let world = World::new().await;
    let receiver = Receiver::start([]).await;
    estate(&world).await;
    let running = world.start(&receiver.section("on-call", "")).await;
    running.settled().await;
    let conclusions = running.conclusions().await;
    running.stop().await;
    let received = receiver.received();
    Undisturbed { conclusions, received, events: logged(&world.data()).len() }
}

/// Stops at a step that was taken so many times before, kills, and goes on.
async fn check(step: Step, times: usize, expected: &Undisturbed) {
    let mut world = World::new().await;
    let receiver = Receiver::start([]).await;
    let section = receiver.section("on-call", "");
    estate(&world).await;
    let bus = StuckBus::new(world.bus.clone(), step, times);
    let running = start(world.settings(&section), bus.clone(), &world.data()).await;
    bus.reached().await;
    running.kill().await;
    drop(bus);
    world.reopen_bus().await;

    let running = world.start(&section).await;
    running.settled().await;
    assert_eq!(running.conclusions().await, expected.conclusions, "{step:?} {times}");
    running.stop().await;
    check_told(&receiver.received(), &expected.received);
    let logged = logged(&world.data());
    assert_eq!(logged.len(), expected.events, "{step:?} {times}");
    assert!(logged.values().all(|count| *count == 1), "{step:?} {times}: {logged:?}");
    assert_eq!(world.dead_letters().await, Vec::<String>::new());
    let store = Store::open_read_only(&world.data(), &StoreSettings::default()).unwrap();
    store.log().verify().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_keeping_bytes_and_appending_loses_nothing() {
    let expected = undisturbed().await;
    check(Step::BlobFetched, 0, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_appending_and_acknowledging_repeats_nothing() {
    let expected = undisturbed().await;
    for times in [0, 3] {
        check(Step::Acknowledged, times, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_publishing_and_the_receipt_tells_nothing_else() {
    let expected = undisturbed().await;
    for times in [0, 2, 5] {
        check(Step::Published, times, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_bucket_and_the_receipt_leaves_the_newest_verdict_there() {
    let expected = undisturbed().await;
    for times in [0, 1] {
        check(Step::VerdictPut, times, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_verifying_and_recording_verifies_again() {
    let world = World::new().await;
    let digest = Digest::sha256_of(b"good");
    let data = world.data();
    let settings = StoreSettings { records_format: RECORDS_FORMAT, ..StoreSettings::default() };
    let store = Arc::new(Store::open(&data, settings).unwrap());
    let mut desk = Desk::open(Arc::clone(&store), CorrelatorMetrics::default()).unwrap();
    let (loaded, set) = crate::contracts::load(&world.contracts(), None, Timestamp::now()).unwrap();
    let in_force = desk.shared().in_force.borrow().clone();
    desk.begin(crate::contracts::records(loaded, &set, &in_force)).unwrap();
    for mut envelope in [
        world.say("registry", super::world::pushed(digest, "ci-bot")).await,
        world.say("registry", world.signature(digest, EvidencePlace::Referrers)).await,
    ] {
        if let bus_schema::Event::AttestationAttached(attached) = &mut envelope.event {
            let blob = &mut attached.items[0].blob;
            store.blobs().put(&blob.inline_bytes().unwrap().unwrap()).unwrap();
            blob.inline = None;
        }
        desk.begin(vec![Record::input(Input::Event(Box::new(envelope)))]).unwrap();
    }
    // What is to be recorded is handed over and never taken.
    let (recorder, requests) = Recorder::new();
    let metrics = fleet_runtime::metrics::Metrics::new();
    let verification = Verification {
        store: Arc::clone(&store),
        bus: world.bus.clone(),
        shared: Arc::clone(desk.shared()),
        recorder,
        metrics: CorrelatorMetrics::new(&metrics),
        jobs_max: 2,
        cache: OutcomeCache::new(1 << 20),
    };
    let check = Health::default().check("verification");
    let verifying = tokio::spawn(async move { verification.run(check, CancellationToken::new()).await });
    until("it is verified", || async {
        metrics.text().contains("custody_verifications_total{kind=\"verified\"} 1")
    })
    .await;
    verifying.abort();
    let _ = verifying.await;
    drop((desk, requests, store));

    let running = world.start("").await;
    running.settled().await;
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    assert_eq!(running.counted("ledger_inputs", "verified"), 1);
    running.stop().await;
}
