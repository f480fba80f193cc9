//! What may not be said, cannot be read, or cannot be: refused with its reason, and nothing behind it waits.

use bus_schema::registry::{BlobRef, EvidencePlace};
use bus_schema::{AgentId, Digest, Envelope};
use jiff::{SignedDuration, Timestamp};

use super::world::{World, attached, pushed, started, until};

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_reason_and_the_next_event_is_taken() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = Digest::sha256_of(b"x");
    // A stage that is not the agent's.
    world.say("cluster", pushed(digest, "ci-bot")).await;
    // A repository that is not the agent's.
    let mut foreign = pushed(digest, "ci-bot");
    if let bus_schema::Event::ImagePushed(push) = &mut foreign {
        push.repository = "registry.example/other/api".parse().unwrap();
    }
    world.say("registry", foreign).await;
    // An agent that nobody listed.
    world.say("stranger", pushed(digest, "ci-bot")).await;
    // Another agent's subject.
    let said = Envelope::new(
        "registry".parse::<AgentId>().unwrap(),
        Timestamp::now(),
        Timestamp::now(),
        None,
        pushed(digest, "ci-bot"),
    );
    let subject = said.subject().to_string().replace("registry.registry", "registry.cluster");
    assert_ne!(subject, said.subject().to_string());
    world.publish_raw(&subject, "other-agent", said.to_json().unwrap()).await;
    // Bytes that are no event, one of a version to come, and one of a type to come.
    let subject = said.subject().to_string();
    world.publish_raw(&subject, "rubbish", b"{\"specversion\":".to_vec()).await;
    let future = String::from_utf8(said.to_json().unwrap()).unwrap().replace("pushed.v1", "pushed.v9");
    world.publish_raw(&subject, "version", future.into_bytes()).await;
    let unknown =
        String::from_utf8(said.to_json().unwrap()).unwrap().replace("image.pushed", "image.weighed");
    let unknown_subject = subject.replace("image.pushed", "image.weighed");
    assert_ne!(unknown_subject, subject);
    world.publish_raw(&unknown_subject, "type", unknown.into_bytes()).await;
    // A time that cannot be.
    let late = Timestamp::now().checked_add(SignedDuration::from_hours(1000 * 24)).unwrap();
    let envelope = Envelope { seen: late, ..said.clone() };
    world.publish_raw(&subject, "late", envelope.to_json().unwrap()).await;
    // The time and the size of an event are its own, and are believed no further.
    let far: Timestamp = "3000-01-01T00:00:00Z".parse().unwrap();
    let envelope = Envelope { occurred: far, seen: far, ..said.clone() };
    world.publish_raw(&subject, "far", envelope.to_json().unwrap()).await;
    let most = fleet_runtime::bus::PAYLOAD_BYTES_MAX;
    world.publish_raw(&subject, "large", vec![b'['; most]).await;
    // As long as an event may be, and longer when it is written anew, with the subject that it left out.
    let (gap, shortened) = gap_of(most);
    world.publish_raw(&gap.subject().to_string(), "grows", shortened).await;
    let message = fleet_runtime::bus::Message::new(subject.as_str(), "two-mib", vec![b'['; 2 << 20]);
    let refused = world.bus.publish(message).await;
    assert!(matches!(refused, Err(fleet_runtime::bus::BusError::PayloadTooLarge { .. })), "{refused:?}");
    // Bytes that are not what the event names.
    let wrong = BlobRef { digest: Digest::sha256_of(b"other"), ..BlobRef::inlined(b"bytes").unwrap() };
    world.say("registry", attached(digest, EvidencePlace::Referrers, wrong, "c2ln")).await;

    let good = world.good_image("good").await;
    world.say("cluster", started(good, "api")).await;
    running.settled().await;
    assert_eq!(running.verdict(good).await.as_deref(), Some("trusted"));
    let letters = world.dead_letters().await;
    for (word, count) in [
        ("stage", 1),
        ("scope", 1),
        ("unknown_agent", 1),
        ("subject_mismatch", 1),
        ("unreadable", 3),
        ("unknown_version", 2),
        ("time", 2),
        ("bytes", 1),
    ] {
        let found = letters.iter().filter(|reason| reason.starts_with(&format!("{word}: "))).count();
        assert_eq!(found, count, "{word}: {letters:#?}");
        assert_eq!(running.counted("correlator_refused", word), count as u64, "{word}");
    }
    for named in ["version 9 of image.pushed", "image.weighed", "the envelope has 1048"] {
        assert!(letters.iter().any(|reason| reason.contains(named)), "{named}: {letters:#?}");
    }
    running.stop().await;
}

/// A gap of the registry's agent, and its message without a subject, of so many bytes.
fn gap_of(bytes: usize) -> (Envelope, Vec<u8>) {
    let (agent, now): (AgentId, _) = ("registry".parse().unwrap(), Timestamp::UNIX_EPOCH);
    let gap = bus_schema::Event::AgentGap(bus_schema::fleet::AgentGap {
        agent: agent.clone(),
        epoch: now,
        sequence: 1,
        scope: "registry.example".to_owned(),
        reason: String::new(),
        from: now,
        until: now,
        recovered: false,
    });
    let envelope = Envelope::new(agent, now, now, None, gap);
    let mut message: serde_json::Value = serde_json::from_slice(&envelope.to_json().unwrap()).unwrap();
    message["subject"] = serde_json::json!("");
    let rest = message.to_string().len();
    message["data"]["reason"] = serde_json::json!("x".repeat(bytes - rest));
    (envelope, message.to_string().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_an_hour_off_is_noted_and_no_reason_to_refuse() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = Digest::sha256_of(b"x");
    for hours in [-1, 1] {
        let seen = Timestamp::now().checked_add(SignedDuration::from_hours(hours)).unwrap();
        let mut event = started(digest, &format!("api{}", hours + 1));
        if let bus_schema::Event::ContainerStarted(started) = &mut event {
            started.container.started_at = seen;
        }
        let agent: AgentId = "cluster".parse().unwrap();
        world.publish(&Envelope::new(agent, seen, seen, None, event)).await;
    }
    running.settled().await;
    assert_eq!(world.dead_letters().await, Vec::<String>::new());
    let places = running.handle.answers().places(&digest.to_string()).await.unwrap();
    assert_eq!(places.places.len(), 2);
    for direction in ["ahead", "behind"] {
        assert_eq!(running.counted("correlator_skewed", direction), 1, "{direction}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_late_are_waited_for_and_bytes_that_never_come_are_given_up() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = Digest::sha256_of(b"x");
    let stored = BlobRef::stored(Digest::sha256_of(b"late bytes"), 10);
    world.say("registry", attached(digest, EvidencePlace::Referrers, stored, "c2ln")).await;
    until("the event is taken once", || async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        true
    })
    .await;
    world.bus.blobs().put(bytes::Bytes::from_static(b"late bytes")).await.unwrap();
    running.settled().await;
    assert_eq!(world.dead_letters().await, Vec::<String>::new());
    assert_eq!(running.counted("ledger_inputs", "event"), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_holds_what_is_in_hand_and_spends_no_deliveries() {
    let world = World::new().await;
    let running = world.start("").await;
    running.settled().await;
    // Nothing can be kept in a folder that is a file.
    let blobs = world.data().join("blobs/sha256");
    let _ = std::fs::remove_dir_all(&blobs);
    std::fs::write(&blobs, "in the way").unwrap();
    let digest = world.good_image("good").await;
    until("the trouble is told", || async { !running.health.report().ready }).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(running.counted("verifications", "verified"), 0);
    std::fs::remove_file(&blobs).unwrap();
    running.settled().await;
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    assert_eq!(world.dead_letters().await, Vec::<String>::new());
    until("it is ready again", || async { running.health.report().ready }).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_correlator_on_the_same_folder_is_refused() {
    let world = World::new().await;
    let running = world.start("").await;
    let metrics = fleet_runtime::metrics::Metrics::new();
    let context = crate::Context {
        bus: world.bus.clone(),
        data: world.data(),
        metrics: metrics.clone(),
        published: fleet_runtime::metrics::FleetMetrics::new(&metrics).agent("correlator"),
        health: fleet_runtime::health::Health::default(),
        stop: tokio_util::sync::CancellationToken::new(),
    };
    let error = crate::Correlator::open(world.settings(""), context).await.unwrap_err();
    assert!(fleet_runtime::error_chain(&error).contains("in use"), "{error:?}");
    running.stop().await;
}
