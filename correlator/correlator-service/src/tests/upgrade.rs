//! Agents of a newer version beside an older correlator: what it cannot read yet waits, and comes in after its upgrade.

use bus_schema::{AgentId, Envelope, Event};
use fleet_runtime::bus::{Delivery, Message};
use fleet_runtime::dead_letters::DeadLetters;
use jiff::Timestamp;

use super::world::{World, pushed, started};

const REASON: &str = "unknown_version: the message is not an event";

fn said(event: Event) -> Envelope {
    let agent: AgentId = "registry".parse().unwrap();
    Envelope::new(agent, Timestamp::now(), Timestamp::now(), None, event)
}

/// Keeps an event in the dead letter as a correlator does that cannot read it.
async fn leave_behind(world: &World, envelope: &Envelope) {
    let subject = envelope.subject().to_string();
    let message = Message::new(subject, envelope.id.to_string(), envelope.to_json().unwrap());
    let delivery = Delivery {
        message,
        sequence: 1,
        deliveries: 1,
        published_at: Timestamp::now(),
        handle: String::new(),
    };
    DeadLetters::new(world.bus.clone()).put_undelivered("correlator", REASON, &delivery).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_newer_version_holds_nothing_up_and_stays_in_the_dead_letter_however_often_it_is_replayed()
 {
    let world = World::new().await;
    let running = world.start("").await;
    let newer = said(pushed(bus_schema::Digest::sha256_of(b"newer"), "ci-bot"));
    let text = String::from_utf8(newer.to_json().unwrap()).unwrap();
    let subject = newer.subject().to_string();
    world.publish_raw(&subject, "version", text.replace("pushed.v1", "pushed.v2").into_bytes()).await;
    let good = world.good_image("good").await;
    world.say("cluster", started(good, "api")).await;
    running.settled().await;
    assert_eq!(running.verdict(good).await.as_deref(), Some("trusted"));
    for times in 1..=2 {
        let letters = world.dead_letters().await;
        assert!(matches!(&letters[..], [one] if one.starts_with("unknown_version: ")), "{letters:#?}");
        assert_eq!(running.counted("correlator_refused", "unknown_version"), times);
        let replayed = running.replay_every_letter().await;
        assert!(replayed.iter().all(|outcome| outcome.done), "{replayed:?}");
        running.settled().await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_correlator_could_not_read_is_judged_when_it_is_replayed_after_the_upgrade() {
    let world = World::new().await;
    let digest = bus_schema::Digest::sha256_of(b"good");
    leave_behind(&world, &said(pushed(digest, "ci-bot"))).await;
    let running = world.start("").await;
    world.say("cluster", started(digest, "api")).await;
    running.settled().await;
    assert_eq!(running.counted("ledger_inputs", "event"), 1, "nothing is replayed by itself");

    let replayed = running.replay_every_letter().await;
    assert!(matches!(&replayed[..], [one] if one.done), "{replayed:?}");
    running.settled().await;
    assert_eq!(running.counted("ledger_inputs", "event"), 2);
    assert_eq!(world.dead_letters().await, Vec::<String>::new());
    // Said again by the agent it is a repeat: the log has it once.
    let again = said(pushed(digest, "ci-bot"));
    world.publish_raw(&again.subject().to_string(), "said-again", again.to_json().unwrap()).await;
    running.settled().await;
    assert_eq!(running.counted("ledger_inputs", "event"), 2);
    running.stop().await;
}
