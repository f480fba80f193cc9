//! Dead letters that are full: what is refused waits in the correlator's folder, and what is behind it goes
//! on.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use bus_schema::Digest;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits, StreamLimits};
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::health::State;

use super::world::{World, pushed, until};

/// More than may be delivered and unsettled at once.
const REFUSED: usize = 900;

#[tokio::test(flavor = "multi_thread")]
async fn full_dead_letters_hold_up_no_event_and_lose_none() {
    let mut world = World::new().await;
    world.bus.close().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let usual = EmbeddedLimits::default();
    let limits = EmbeddedLimits {
        dead_letters: StreamLimits { bytes_max: 256 * 1024, ..usual.dead_letters },
        ..usual
    };
    world.bus = EmbeddedBus::open(folder.path(), limits).await.unwrap();
    let running = world.start("").await;
    for number in 0..REFUSED {
        let digest = Digest::sha256_of(&number.to_be_bytes());
        world.say("stranger", pushed(digest, "ci-bot")).await;
    }
    let good = world.good_image("good").await;
    running.settled().await;
    assert_eq!(running.verdict(good).await.as_deref(), Some("trusted"));
    assert_eq!(running.counted("correlator_refused", "unknown_agent"), REFUSED as u64);
    let failing = || match &running.health.report().checks["events"].state {
        State::Failing(reason) => Some(reason.clone()),
        _ => None,
    };
    let said = failing().unwrap();
    assert!(said.contains("stream dead-letters is full") && said.contains("letters"), "{said}");

    // A restart forgets none of them.
    running.stop().await;
    let running = world.start("").await;
    let letters = DeadLetters::new(world.bus.clone());
    let seen = Mutex::new(BTreeSet::new());
    until("every letter is on the bus", || async {
        for listed in letters.list(0, 1000).await.unwrap() {
            seen.lock().unwrap().insert(listed.letter.unwrap().undelivered.unwrap().id);
            letters.discard(listed.sequence).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen.lock().unwrap().len() == REFUSED
    })
    .await;
    until("the check is ready again", || async {
        running.health.report().checks["events"].state == State::Ready
    })
    .await;
    assert_eq!(std::fs::read_dir(world.data().join("letters")).unwrap().count(), 0);
    running.stop().await;
}
