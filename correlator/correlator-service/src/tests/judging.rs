//! Events in, verdicts and questions out.

use bus_schema::registry::EvidencePlace;
use bus_schema::{Digest, Envelope, Event};
use correlator_core::decision::Decision;
use correlator_core::input::Input;
use correlator_store::{Lane, Logged, Store, StoreSettings};
use fleet_runtime::bus::Stream;

use super::stuck::{Step, StuckBus};
use super::world::{World, pushed, start, started, until};
use crate::correlator::RECORDS_FORMAT;
use fleet_runtime::verdicts::VerdictReader;

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_image_is_trusted_and_told_to_every_reader() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = world.good_image("good").await;
    world.say("cluster", started(digest, "api")).await;
    running.settled().await;
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    assert_eq!(running.open_cases().await, Vec::<String>::new());

    let head = running.handle.answers().log_head();
    let reader = VerdictReader::open(&world.bus, &head.log, &head.public_key).await.unwrap();
    let change = reader.read(&digest, "api").await.unwrap().unwrap();
    assert_eq!(change.verdict.state.as_str(), "trusted");
    let stranger = "00".repeat(32);
    let reader = VerdictReader::open(&world.bus, &head.log, &stranger).await.unwrap();
    reader.read(&digest, "api").await.unwrap_err();
    let said = world.bus.read(Stream::Verdicts, 1, 100).await.unwrap();
    let said: Vec<Envelope> =
        said.iter().map(|stored| Envelope::from_json(&stored.message.payload).unwrap()).collect();
    assert!(said.iter().any(|envelope| matches!(&envelope.event,
        Event::VerdictChanged(change) if change.verdict.digest == digest
            && change.verdict.state.as_str() == "trusted")));
    let head = world.bus.key_value("log").await.unwrap().get("head").await.unwrap();
    assert!(head.is_some(), "no head of the log was published");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_in_the_log_and_judged_with_what_it_proves() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = world.good_image("good").await;
    running.settled().await;
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    assert_eq!(running.counted("verifications", "verified"), 1);
    assert_eq!(running.counted("ledger_decisions", "verify"), 0);
    running.stop().await;
    let settings = StoreSettings { records_format: RECORDS_FORMAT, ..StoreSettings::default() };
    let store = Store::open(&world.data(), settings).unwrap();
    let mut entries = store.log().read(1).map(Result::unwrap);
    let input = |entry: &Logged| entry.input().unwrap().map(|entry| entry.input);
    let is_evidence = |entry: &Logged| {
        matches!(input(entry), Some(Input::Event(envelope))
            if matches!(envelope.event, Event::AttestationAttached(_)))
    };
    entries.find(is_evidence).expect("the evidence is in the log");
    let result = entries.next().expect("something follows it");
    assert!(result.joined && matches!(input(&result), Some(Input::Verified(_))), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_asked_for_once() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = Digest::sha256_of(b"seen running only");
    for replica in ["a", "b", "c"] {
        world.say("cluster", started(digest, replica)).await;
    }
    running.settled().await;
    let asked = world.bus.read(Stream::Questions, 1, 100).await.unwrap();
    let mut requests: Vec<(String, u32)> = asked
        .iter()
        .map(|stored| match Envelope::from_json(&stored.message.payload).unwrap().event {
            Event::EvidenceRequested(request) => (request.request.to_string(), request.attempt),
            other => panic!("{other:?}"),
        })
        .collect();
    let count = requests.len();
    requests.sort();
    requests.dedup();
    assert!(count > 0 && requests.len() == count, "{requests:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_changes_nothing_and_evidence_in_two_places_is_verified_once() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = Digest::sha256_of(b"good");
    world.say("registry", pushed(digest, "ci-bot")).await;
    let signed = world.signature(digest, EvidencePlace::CosignSignatureTag);
    let said = world.say("registry", signed.clone()).await;
    running.settled().await;
    let position = running.handle.answers().log_head().position;
    let verified = running.counted("verifications", "verified");
    assert_eq!(verified, 1);
    // The same event again, as another message: the bus drops repeats of an id by itself.
    world.publish_raw(&said.subject().to_string(), "again", said.to_json().unwrap()).await;
    until("the copy is taken", || async { running.count("correlator_repeats") == 1 }).await;
    running.settled().await;
    assert_eq!(running.handle.answers().log_head().position, position);
    // The same bytes, found in another place.
    let Event::AttestationAttached(mut elsewhere) = signed else { panic!() };
    elsewhere.place = EvidencePlace::Referrers;
    elsewhere.manifest = Digest::sha256_of(b"another manifest");
    world.say("registry", Event::AttestationAttached(elsewhere)).await;
    until("it is in the log", || async { running.handle.answers().log_head().position > position }).await;
    running.settled().await;
    assert!(running.handle.answers().log_head().position > position);
    assert_eq!(running.counted("verifications", "verified"), verified);
    assert_eq!(running.counted("verifications", "cached"), 0);
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_that_comes_back_finds_what_was_verified_under_it() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = world.good_image("good").await;
    running.settled().await;
    let counted = || ["verified", "refused", "cached"].map(|kind| running.counted("verifications", kind));
    assert_eq!(counted(), [1, 0, 0]);

    let file = world.contracts().join("release.pub");
    let key = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, crate::tests::signing_key::SigningKey::generate().public_pem()).unwrap();
    until("it is verified against the other key", || async { counted() == [1, 1, 0] }).await;
    running.settled().await;
    assert_ne!(running.verdict(digest).await.as_deref(), Some("trusted"));

    std::fs::write(&file, key).unwrap();
    until("the first result is found again", || async { counted() == [1, 1, 1] }).await;
    running.settled().await;
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_leave_the_event_and_stay_in_our_own_store() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = Digest::sha256_of(b"image");
    let said = world.say("registry", world.signature(digest, EvidencePlace::Referrers)).await;
    running.settled().await;
    running.stop().await;
    let Event::AttestationAttached(attached) = &said.event else { panic!() };
    let blob = attached.items[0].blob.digest;
    let store =
        correlator_store::Store::open_read_only(&world.data(), &correlator_store::StoreSettings::default())
            .unwrap();
    assert!(store.blobs().get(&blob).unwrap().is_some());
    let logged: Vec<String> = store
        .log()
        .read(1)
        .filter_map(|entry| match entry.unwrap().payload {
            correlator_store::Payload::Present(bytes) => Some(String::from_utf8(bytes).unwrap()),
            correlator_store::Payload::Erased => None,
        })
        .collect();
    assert!(logged.iter().any(|entry| entry.contains(&blob.to_string())));
    assert!(!logged.iter().any(|entry| entry.contains("\"inline\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_verdicts_on_one_image_that_wait_together_the_newest_is_told() {
    let mut world = World::new().await;
    let bus = StuckBus::new(world.bus.clone(), Step::Published, 0);
    let running = start(world.settings(""), bus.clone(), &world.data()).await;
    let digest = Digest::sha256_of(b"talked about");
    let state = async |expected: &str| {
        until(expected, || async { running.verdict(digest).await.as_deref() == Some(expected) }).await;
    };
    world.say("registry", pushed(digest, "ci-bot")).await;
    // The first is on the bus, its receipt is not in the log, and nothing more is published.
    bus.reached().await;
    state("pending").await;
    world.say("registry", world.signature(digest, EvidencePlace::CosignSignatureTag)).await;
    state("trusted").await;
    let another = crate::tests::signing_key::SigningKey::generate();
    std::fs::write(world.contracts().join("release.pub"), another.public_pem()).unwrap();
    state("pending").await;
    running.kill().await;
    drop(bus);
    world.reopen_bus().await;
    let waiting = waiting_verdicts(&world, digest).await;
    assert!(waiting.len() > 2, "{waiting:?}");

    let running = world.start("").await;
    running.settled().await;
    let said = world.bus.read(Stream::Verdicts, 1, 100).await.unwrap();
    let told: Vec<u64> = said
        .iter()
        .filter_map(|stored| match Envelope::from_json(&stored.message.payload).unwrap().event {
            Event::VerdictChanged(change) if change.verdict.digest == digest => Some(change.log_position),
            _ => None,
        })
        .collect();
    let (first, last) = (*waiting.first().unwrap(), *waiting.last().unwrap());
    // What was reached after the start is told too.
    let (waited, reached): (Vec<u64>, Vec<u64>) = told.iter().partition(|position| **position <= last);
    assert_eq!(waited, [first, last]);
    assert!(!reached.is_empty(), "{told:?}");
    running.stop().await;
}

/// The positions of the verdicts on a digest that wait to be told.
async fn waiting_verdicts(world: &World, digest: Digest) -> Vec<u64> {
    let settings = StoreSettings { records_format: RECORDS_FORMAT, ..StoreSettings::default() };
    // What was killed lets go of its folder a moment later.
    until("the folder is free", || async { Store::open_read_only(&world.data(), &settings).is_ok() }).await;
    let store = Store::open_read_only(&world.data(), &settings).unwrap();
    let waiting = store.index().unwrap().snapshot().unwrap().outbox(Lane::Bus, None, 100).unwrap();
    let positions = waiting.into_iter().filter_map(|row| match row.decision {
        Decision::PublishVerdict { change } if change.verdict.digest == digest => Some(change.log_position),
        _ => None,
    });
    positions.collect()
}
