//! Events that leave the bus before they are taken are counted and said, and no others.

use bus_schema::Digest;
use fleet_runtime::bus::Stream;

use super::world::{World, pushed};

#[tokio::test(flavor = "multi_thread")]
async fn events_that_somebody_purged_while_nobody_took_them_are_counted_after_the_start() {
    let world = World::new().await;
    let running = world.start("").await;
    world.good_image("before").await;
    running.settled().await;
    assert_eq!(running.count("correlator_lost"), 0);
    running.stop().await;

    // What was taken may go at any time.
    let taken = world.bus.read(Stream::Events, 0, 100).await.unwrap();
    for stored in &taken {
        world.bus.remove(Stream::Events, stored.sequence).await.unwrap();
    }
    for name in ["one", "two", "three"] {
        world.say("registry", pushed(Digest::sha256_of(name.as_bytes()), "ci-bot")).await;
    }
    let first = world.bus.read(Stream::Events, 0, 1).await.unwrap()[0].sequence;
    for sequence in [first, first + 1] {
        assert!(world.bus.remove(Stream::Events, sequence).await.unwrap());
    }
    for expected in [2, 0] {
        let running = world.start("").await;
        world.good_image(&format!("behind, of {expected}")).await;
        running.settled().await;
        assert_eq!(running.count("correlator_lost"), expected);
        let waiting = running.handle.answers().status().await.unwrap().waiting;
        assert_eq!(waiting.events_lost, expected);
        running.stop().await;
    }
}
