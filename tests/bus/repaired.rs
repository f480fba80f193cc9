//! What servers suffer and a bus passes over: kills, stops, deletions by somebody else, and what they give up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fleet_runtime::bus::nats::{NatsBus, NatsSettings, RawNatsLimits, RawNatsSettings};
use fleet_runtime::bus::{Bus, BusError, Consumer, ConsumerConfig, Message, Stream, Watched};
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::settings::DurationText;
use futures::StreamExt;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::jetstream::{OneServer, settings};
use crate::place::{PATIENCE, Place, SUBJECT, all_events, counts, ids, message, publish, quick_events, take};

/// Publishes until told to stop; answers what was confirmed, each id once.
pub(crate) fn publishing(
    bus: Arc<dyn Bus>,
    name: &'static str,
    stop: tokio_util::sync::CancellationToken,
) -> tokio::task::JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let mut confirmed = Vec::new();
        for number in 0.. {
            if stop.is_cancelled() {
                break;
            }
            let id = format!("{name}-{number}");
            bus.publish(message(&id)).await.unwrap();
            confirmed.push(id);
        }
        confirmed
    })
}

/// Takes and settles until `expected` are there; answers how often each id was handed out and at which places it lies.
pub(crate) async fn settle_all(
    consumer: &dyn Consumer,
    expected: usize,
    seen: &mut BTreeMap<String, BTreeSet<u64>>,
) {
    let until = Instant::now() + PATIENCE * 2;
    while seen.len() < expected {
        assert!(Instant::now() < until, "only {} of {expected} came", seen.len());
        for delivery in consumer.fetch(64, Duration::from_millis(100)).await.unwrap() {
            consumer.ack(&delivery).await.unwrap();
            seen.entry(delivery.message.id).or_default().insert(delivery.sequence);
        }
    }
}

/// What was on its way to a reader when a server died comes again after this.
pub(crate) fn soon_again() -> ConsumerConfig {
    ConsumerConfig { ack_wait: Duration::from_secs(1), ..all_events() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_middle_loses_and_doubles_nothing() {
    let place = OneServer::new().await;
    let bus = place.open().await;
    let consumer = bus.consumer(soon_again()).await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let publishers: Vec<_> = ["a", "b", "c"].map(|name| publishing(bus.clone(), name, stop.clone())).into();
    let mut seen = BTreeMap::new();
    for _ in 0..2 {
        settle_all(&*consumer, seen.len() + 50, &mut seen).await;
        let mut server = place.server.lock().await;
        server.process.kill();
        sleep(Duration::from_millis(200)).await;
        server.start_again().await.unwrap();
    }
    stop.cancel();
    let mut confirmed = BTreeSet::new();
    for publisher in publishers {
        confirmed.extend(publisher.await.unwrap());
    }
    settle_all(&*consumer, confirmed.len(), &mut seen).await;
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), confirmed);
    assert!(seen.values().all(|places| places.len() == 1), "a message lies at two places");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_is_waited_for_and_then_goes_on() {
    let place = OneServer::new().await;
    let bus = place.open().await;
    let consumer = bus.consumer(quick_events()).await.unwrap();
    place.server.lock().await.process.signal("STOP").unwrap();
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish(message("late")).await }
    });
    let fetching = tokio::spawn(async move { take(&*consumer, 1).await });
    // Longer than one attempt, so that it is tried again under the same id.
    sleep(Duration::from_millis(2500)).await;
    place.server.lock().await.process.signal("CONT").unwrap();
    publishing.await.unwrap().unwrap();
    assert_eq!(ids(&fetching.await.unwrap()), ["late"]);
    assert_eq!(bus.read(Stream::Events, 0, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_of_the_server_is_an_error_and_no_empty_answer() {
    let place = OneServer::new().await;
    let mut raw = settings(&[place.url().await], None);
    raw.answer_within = DurationText::seconds(1);
    let bus = NatsBus::connect(NatsSettings::from_raw(raw).unwrap()).await.unwrap();
    let consumer = bus.consumer(all_events()).await.unwrap();
    place.server.lock().await.process.kill();
    let fetched = consumer.fetch(1, Duration::from_millis(100)).await;
    assert!(matches!(fetched, Err(BusError::Unavailable { .. })), "{fetched:?}");
    assert!(fetched.unwrap_err().is_temporary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_somebody_deleted_is_made_anew() {
    let place = OneServer::new().await;
    let bus = place.open().await;
    publish(&*bus, ["a", "b"]).await;
    let consumer = bus.consumer(all_events()).await.unwrap();
    consumer.ack(&take(&*consumer, 1).await[0]).await.unwrap();
    place.wire().await.ask("CONSUMER.DELETE.events.reader", &json!({})).await.unwrap();
    // What is kept comes again: at least once, never lost.
    let again = take(&*consumer, 2).await;
    assert_eq!((ids(&again), counts(&again)), (vec!["a", "b"], vec![1, 1]));
}

/// What an agent is asked, and a bus that has the right to nothing else.
async fn asked_agent(place: &OneServer) -> (ConsumerConfig, Arc<dyn Bus>) {
    let config = ConsumerConfig::new("ci-1", Stream::Questions, "custody.ask.ci.>".parse().unwrap());
    let raw = RawNatsSettings { manages: false, ..settings(&[place.url().await], None) };
    (config, NatsBus::connect(NatsSettings::from_raw(raw).unwrap()).await.unwrap())
}

/// Makes whoever manages look after everything soon: a stream is not there that somebody publishes to.
async fn hurry(place: &OneServer, manager: &dyn Bus) {
    place.wire().await.ask("STREAM.DELETE.verdicts", &json!({})).await.unwrap();
    manager.publish(Message::new("custody.out.verdict.x", "hurry", "{}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_of_an_agent_is_made_anew_by_whoever_manages() {
    let place = OneServer::new().await;
    let manager = place.open().await;
    let (config, agent) = asked_agent(&place).await;
    manager.consumer(config.clone()).await.unwrap();
    let consumer = agent.consumer(config.clone()).await.unwrap();
    let ask = async |id: &str| {
        manager.publish(Message::new("custody.ask.ci.x", id, id.to_owned())).await.unwrap();
    };
    ask("before").await;
    place.wire().await.ask("CONSUMER.DELETE.questions.ci-1", &json!({})).await.unwrap();
    hurry(&place, &*manager).await;
    let taken = take(&*consumer, 1).await;
    assert_eq!(ids(&taken), ["before"]);
    consumer.ack(&taken[0]).await.unwrap();
    // With its stream, as on a server that has lost its disk.
    place.wire().await.ask("STREAM.DELETE.questions", &json!({})).await.unwrap();
    ask("behind").await;
    assert_eq!(ids(&take(&*consumer, 1).await), ["behind"]);
    // One that was removed on purpose stays away.
    manager.remove_consumer(Stream::Questions, &config.name).await.unwrap();
    hurry(&place, &*manager).await;
    sleep(Duration::from_secs(3)).await;
    let listed = place.wire().await.ask("CONSUMER.LIST.questions", &json!({})).await.unwrap();
    assert_eq!(listed["total"], 0, "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_somebody_deleted_is_made_anew() {
    let place = OneServer::new().await;
    let bus = place.open().await;
    publish(&*bus, ["a"]).await;
    let consumer = bus.consumer(all_events()).await.unwrap();
    take(&*consumer, 1).await;
    place.wire().await.ask("STREAM.DELETE.events", &json!({})).await.unwrap();
    publish(&*bus, ["b"]).await;
    assert_eq!(ids(&take(&*consumer, 1).await), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_somebody_purged_goes_on() {
    let place = OneServer::new().await;
    let bus = place.open().await;
    publish(&*bus, ["a", "b"]).await;
    let consumer = bus.consumer(all_events()).await.unwrap();
    take(&*consumer, 1).await;
    place.wire().await.ask("STREAM.PURGE.events", &json!({})).await.unwrap();
    publish(&*bus, ["c"]).await;
    assert_eq!(ids(&take(&*consumer, 1).await), ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_gives_up_goes_into_our_dead_letter() {
    let place = OneServer::new().await;
    let bus = place.open().await;
    publish(&*bus, ["poison", "a"]).await;
    let config = ConsumerConfig { deliveries_max: 1, ack_wait: Duration::from_millis(50), ..all_events() };
    let consumer = bus.consumer(config).await.unwrap();
    let dead = DeadLetters::new(bus.clone());
    // Its reader ends each time before it could bury what it saw.
    let until = Instant::now() + PATIENCE;
    while dead.list(0, 10).await.unwrap().is_empty() {
        assert!(Instant::now() < until, "no dead letter");
        for delivery in consumer.fetch(10, Duration::from_millis(100)).await.unwrap() {
            if delivery.message.id != "poison" {
                consumer.ack(&delivery).await.unwrap();
            }
        }
    }
    let letters = dead.list(0, 10).await.unwrap();
    let letter = letters[0].letter.as_ref().unwrap();
    assert_eq!(letter.source, "reader");
    assert_eq!(letter.undelivered.as_ref().unwrap().id, "poison");
    assert!(letter.reason.contains("delivered 9 times"), "{}", letter.reason);
    dead.replay(letters[0].sequence).await.unwrap();
    assert_eq!(take(&*consumer, 1).await[0].message.subject, SUBJECT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_refuses_and_has_room_when_its_messages_are_settled() {
    let place = OneServer::new().await;
    let mut raw = settings(&[place.url().await], None);
    raw.limits = RawNatsLimits { events_mib_max: 2, ..RawNatsLimits::default() };
    raw.publish_within = DurationText::seconds(5);
    let bus: Arc<dyn Bus> = NatsBus::connect(NatsSettings::from_raw(raw).unwrap()).await.unwrap();
    let consumer = bus.consumer(all_events()).await.unwrap();
    let large = |number: u32| Message::new(SUBJECT, format!("{number}"), vec![0; 400 << 10]);
    let mut published = 0;
    let refused = loop {
        match bus.publish(large(published)).await {
            Ok(_) => published += 1,
            Err(error) => break error,
        }
    };
    assert!((4..=5).contains(&published), "{published}");
    assert!(matches!(refused, BusError::Full { .. }) && refused.is_temporary(), "{refused:?}");
    // Nobody has settled anything: nothing goes, and the one who holds it is named.
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "nobody is named");
        match bus.publish(large(published)).await {
            Err(BusError::Full { held_by: Some(holder), .. }) => {
                assert_eq!(holder, "consumer reader");
                break;
            }
            Err(BusError::Full { .. }) => sleep(Duration::from_millis(100)).await,
            other => panic!("{other:?}"),
        }
    }
    for delivery in take(&*consumer, published as usize).await {
        consumer.ack(&delivery).await.unwrap();
    }
    while bus.publish(large(published)).await.is_err() {
        assert!(Instant::now() < until, "no room was made");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_after_a_restart_and_says_when_its_bucket_is_another() {
    let place = OneServer::new().await;
    let bus = place.open().await;
    let bucket = bus.key_value("verdicts").await.unwrap();
    bucket.put("a", Bytes::from_static(b"1")).await.unwrap();
    let mut watch = bucket.watch("").await.unwrap();
    let mut next = async || timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    assert!(matches!(next().await, Ok(Watched::Changed { .. })));
    assert!(matches!(next().await, Ok(Watched::CaughtUp)));
    {
        let mut server = place.server.lock().await;
        server.process.kill();
        server.start_again().await.unwrap();
    }
    let revision = bucket.put("b", Bytes::from_static(b"2")).await.unwrap();
    match next().await {
        Ok(Watched::Changed { key, entry }) => assert_eq!((key.as_str(), entry.revision), ("b", revision)),
        other => panic!("{other:?}"),
    }
    place.wire().await.ask("STREAM.DELETE.KV_verdicts", &json!({})).await.unwrap();
    let until = Instant::now() + PATIENCE;
    while bucket.put("c", Bytes::from_static(b"3")).await.is_err() {
        assert!(Instant::now() < until, "the bucket was not made anew");
    }
    assert!(matches!(next().await, Err(BusError::WatchLagged { .. })));
    assert!(timeout(PATIENCE, watch.next()).await.unwrap().is_none());
}
