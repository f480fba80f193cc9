//! Each event is in the evidence log once, whatever the bus delivers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bus_schema::registry::EvidencePlace;
use bus_schema::{Envelope, EventId};
use correlator_core::input::Input;
use correlator_store::{Recorded, Store, StoreSettings};
use fleet_runtime::bus::Stream;

use super::stuck::{Step, StuckBus};
use super::world::{Running, World, pushed, start, started, until_within};

/// How often each event is in the log.
pub(crate) fn logged(data: &Path) -> BTreeMap<EventId, usize> {
    let store = Store::open_read_only(data, &StoreSettings::default()).unwrap();
    let mut logged = BTreeMap::new();
    for entry in store.log().read(1) {
        if let Recorded::Input { entry, .. } = Recorded::try_from(entry.unwrap()).unwrap()
            && let Input::Event(envelope) = entry.input
        {
            *logged.entry(envelope.id).or_default() += 1;
        }
    }
    logged
}

fn check(data: &Path, said: &[Envelope]) {
    let expected: BTreeMap<EventId, usize> = said.iter().map(|envelope| (envelope.id, 1)).collect();
    assert_eq!(logged(data), expected);
}

/// The bus gives what was not acknowledged again after a minute; twice that, for a machine that has more to do.
const GIVEN_AGAIN_WITHIN: Duration = Duration::from_secs(150);

/// Waits until so many events came again.
async fn repeated(running: &Running, count: usize) {
    let came_again = || async { running.count("correlator_repeats") >= count as u64 };
    until_within(GIVEN_AGAIN_WITHIN, "every copy is taken", came_again).await;
    assert_eq!(running.count("correlator_repeats"), count as u64);
}

async fn say_all(world: &World) -> Vec<Envelope> {
    let digest = bus_schema::Digest::sha256_of(b"good");
    vec![
        world.say("registry", pushed(digest, "ci-bot")).await,
        world.say("registry", world.signature(digest, EvidencePlace::Referrers)).await,
        world.say("cluster", started(digest, "api")).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_in_one_batch_are_in_the_log_once() {
    let world = World::new().await;
    let said = say_all(&world).await;
    for (number, envelope) in said.iter().enumerate() {
        let subject = envelope.subject().to_string();
        world.publish_raw(&subject, &format!("copy-{number}"), envelope.to_json().unwrap()).await;
    }
    let running = world.start("").await;
    running.settled().await;
    repeated(&running, said.len()).await;
    running.stop().await;
    check(&world.data(), &said);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_left_unacknowledged_comes_again_and_is_in_the_log_once() {
    let mut world = World::new().await;
    let said = say_all(&world).await;
    let bus = StuckBus::new(world.bus.clone(), Step::Acknowledged, 0);
    let running = start(world.settings(""), bus.clone(), &world.data()).await;
    bus.reached().await;
    running.kill().await;
    drop(bus);
    world.reopen_bus().await;
    let running = world.start("").await;
    running.settled().await;
    repeated(&running, said.len()).await;
    running.stop().await;
    check(&world.data(), &said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_made_anew_logs_nothing_again() {
    let world = World::new().await;
    let said = say_all(&world).await;
    let running = world.start("").await;
    running.settled().await;
    running.stop().await;
    world.bus.remove_consumer(Stream::Events, "correlator").await.unwrap();
    // Not even from an index that is built anew.
    std::fs::remove_file(world.data().join("index.redb")).unwrap();
    let running = world.start("").await;
    running.settled().await;
    repeated(&running, said.len()).await;
    running.stop().await;
    check(&world.data(), &said);
}
