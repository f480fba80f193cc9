//! Messages that never succeed: into the dead letter, visible, replayable, and in nobody's way.

use std::time::Duration;

use bytes::Bytes;
use fleet_runtime::bus::reader::Reader;
use fleet_runtime::bus::{ConsumerConfig, Delivery, Message, Stream};
use fleet_runtime::dead_letters::{DeadLetterError, DeadLetters, INLINE_BYTES_MAX, Kept};

use crate::place::{PATIENCE, Place, SUBJECT, all_events, publish};

/// Reads until the dead letter has `letters`; acknowledges all but `poison`. Answers what was acknowledged and how
/// often the poison was handed out.
async fn read_until(reader: &Reader, dead: &DeadLetters, letters: usize, poison: &str) -> (Vec<String>, u32) {
    let until = tokio::time::Instant::now() + PATIENCE;
    let (mut done, mut handed) = (Vec::new(), 0);
    while dead.list(0, 10).await.unwrap().len() < letters {
        assert!(tokio::time::Instant::now() < until, "no dead letter after {handed} deliveries");
        for delivery in reader.fetch(10, Duration::from_millis(50)).await.unwrap() {
            if delivery.message.id == poison {
                handed += 1;
                reader.retry(&delivery, Duration::from_millis(10), "it does not parse").await.unwrap();
            } else {
                reader.ack(&delivery).await.unwrap();
                done.push(delivery.message.id);
            }
        }
    }
    (done, handed)
}

pub(crate) async fn a_poison_message_goes_to_the_dead_letter_and_those_behind_pass(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["poison", "a", "b", "c"]).await;
    let config = ConsumerConfig { deliveries_max: 3, in_flight_max: 2, ..all_events() };
    let reader = Reader::open(&bus, config).await.unwrap();
    let dead = DeadLetters::new(bus.clone());
    let (done, handed) = read_until(&reader, &dead, 1, "poison").await;
    assert_eq!(handed, 3);
    assert_eq!(done, ["a", "b", "c"]);
    let letters = dead.list(0, 10).await.unwrap();
    let letter = letters[0].letter.as_ref().unwrap();
    assert_eq!(letter.source, "reader");
    assert!(
        letter.reason.contains("3 times") && letter.reason.contains("it does not parse"),
        "{}",
        letter.reason
    );
    let undelivered = letter.undelivered.as_ref().unwrap();
    assert_eq!((undelivered.subject.as_str(), undelivered.id.as_str()), (SUBJECT, "poison"));
    assert!(reader.fetch(10, Duration::from_millis(300)).await.unwrap().is_empty());
}

pub(crate) async fn a_dead_letter_is_shown_and_replayed(place: &dyn Place) {
    let bus = place.open().await;
    let sent = Message::new(SUBJECT, "future", "version 2").with_header("traceparent", "00-x");
    bus.publish(sent.clone()).await.unwrap();
    let reader = Reader::open(&bus, all_events()).await.unwrap();
    let dead = DeadLetters::new(bus.clone());
    let taken = reader.fetch(1, PATIENCE).await.unwrap();
    reader.bury(&taken[0], "version 2 is unknown").await.unwrap();
    // As after a crash between the letter and its acknowledgement.
    dead.put_undelivered("reader", "version 2 is unknown", &taken[0]).await.unwrap();
    let letters = dead.list(0, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let sequence = letters[0].sequence;
    let (letter, payload) = dead.show(sequence).await.unwrap();
    assert_eq!((letter.reason.as_str(), payload), ("version 2 is unknown", Some(sent.payload.clone())));

    dead.replay(sequence).await.unwrap();
    assert!(dead.list(0, 10).await.unwrap().is_empty());
    assert!(matches!(dead.replay(sequence).await, Err(DeadLetterError::NotFound(_))));
    let again = reader.fetch(1, PATIENCE).await.unwrap();
    let back = &again[0].message;
    assert_eq!((&back.subject, &back.headers, &back.payload), (&sent.subject, &sent.headers, &sent.payload));
}

pub(crate) async fn a_large_dead_letter_keeps_its_payload_as_a_blob(place: &dyn Place) {
    let bus = place.open().await;
    let payload = Bytes::from(vec![7; INLINE_BYTES_MAX + 1]);
    bus.publish(Message::new(SUBJECT, "large", payload.clone())).await.unwrap();
    let reader = Reader::open(&bus, all_events()).await.unwrap();
    let taken = reader.fetch(1, PATIENCE).await.unwrap();
    reader.bury(&taken[0], "too odd").await.unwrap();
    let dead = DeadLetters::new(bus.clone());
    let sequence = dead.list(0, 1).await.unwrap()[0].sequence;
    let (letter, kept) = dead.show(sequence).await.unwrap();
    assert!(matches!(letter.payload, Kept::Blob { .. }));
    assert_eq!(kept, Some(payload));
    dead.replay(sequence).await.unwrap();
}

pub(crate) async fn a_letter_of_an_agent_hands_back_nothing_of_anothers(place: &dyn Place) {
    let bus = place.open().await;
    let others = Message::new(SUBJECT, "forged", "false");
    assert!(SUBJECT.starts_with("custody.in.ci.agent-a."));
    let delivery = Delivery {
        message: others,
        sequence: 1,
        deliveries: 1,
        published_at: jiff::Timestamp::now(),
        handle: String::new(),
    };
    let by = |agent: &str| DeadLetters::of_agent(bus.clone(), agent.parse().unwrap());
    by("other").put_undelivered("correlator", "please replay", &delivery).await.unwrap();
    by("agent-a").put_undelivered("agent-a", "its own", &delivery).await.unwrap();
    let dead = DeadLetters::new(bus.clone());
    let letters = dead.list(0, 10).await.unwrap();
    let writers: Vec<_> =
        letters.iter().map(|one| one.letter.as_ref().unwrap().agent().unwrap().as_str()).collect();
    assert_eq!(writers, ["other", "agent-a"]);
    let refused = dead.replay(letters[0].sequence).await;
    assert!(matches!(refused, Err(DeadLetterError::NotItsWriters { .. })), "{refused:?}");
    assert!(bus.read(Stream::Events, 0, 10).await.unwrap().is_empty());
    dead.replay(letters[1].sequence).await.unwrap();
    assert_eq!(bus.read(Stream::Events, 0, 10).await.unwrap().len(), 1);
    assert_eq!(dead.list(0, 10).await.unwrap().len(), 1, "what is refused stays");
}

pub(crate) async fn what_an_intake_could_not_read_is_kept_once(place: &dyn Place) {
    let bus = place.open().await;
    let dead = DeadLetters::new(bus.clone());
    for _ in 0..2 {
        dead.put_received("ci-agent", "not JSON", None, Bytes::from_static(b"{\xff")).await.unwrap();
    }
    dead.put_cut("ci-agent", "over the limit", b"beginning", 100 << 20).await.unwrap();
    let letters = dead.list(0, 10).await.unwrap();
    assert_eq!(letters.len(), 2);
    let cut = letters[1].letter.as_ref().unwrap();
    assert_eq!(cut.payload.bytes(), 100 << 20);
    let first = letters[0].sequence;
    assert!(matches!(dead.replay(first).await, Err(DeadLetterError::NotFromBus { .. })));
    assert!(dead.discard(first).await.unwrap());
    assert_eq!(dead.list(0, 10).await.unwrap().len(), 1);
}
