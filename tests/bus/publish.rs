//! Publishing: order, repeats, places, and who gets what.

use std::collections::BTreeSet;

use fleet_runtime::bus::{BusError, ConsumerConfig, Message, Stream};
use futures::future::join_all;

use crate::place::{OTHER_SUBJECT, Place, SUBJECT, all_events, ids, message, publish, take};

pub(crate) async fn first_deliveries_keep_the_order_of_publishing(place: &dyn Place) {
    let bus = place.open().await;
    let names: Vec<String> = (0..500).map(|n| format!("m{n}")).collect();
    publish(&*bus, names.iter().map(String::as_str)).await;
    let taken = take(&*bus.consumer(all_events()).await.unwrap(), 500).await;
    assert_eq!(ids(&taken), names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(taken.iter().all(|delivery| delivery.deliveries == 1));
    assert!(taken.is_sorted_by(|a, b| a.sequence < b.sequence));
}

pub(crate) async fn a_repeated_id_is_dropped_and_names_the_first(place: &dyn Place) {
    let bus = place.open().await;
    let first = bus.publish(message("a")).await.unwrap();
    let again = bus.publish(Message::new(OTHER_SUBJECT, "a", "other bytes")).await.unwrap();
    assert!(!first.duplicate && again.duplicate);
    assert_eq!(first.sequence, again.sequence);
    publish(&*bus, ["b"]).await;
    let taken = take(&*bus.consumer(all_events()).await.unwrap(), 2).await;
    assert_eq!(ids(&taken), ["a", "b"]);
    // Streams remember ids apart.
    let elsewhere = Message::new("custody.out.verdict.changed", "a", "");
    assert!(!bus.publish(elsewhere).await.unwrap().duplicate);
}

pub(crate) async fn many_publishers_at_once_each_get_a_place_of_their_own(place: &dyn Place) {
    let bus = place.open().await;
    let published = join_all((0..300).map(|n| bus.publish(message(format!("m{}", n % 150))))).await;
    let published: Vec<_> = published.into_iter().map(Result::unwrap).collect();
    assert_eq!(published.iter().filter(|one| one.duplicate).count(), 150);
    let places: BTreeSet<u64> = published.iter().map(|one| one.sequence).collect();
    assert_eq!(places.len(), 150);
}

pub(crate) async fn a_message_comes_back_with_all_its_parts(place: &dyn Place) {
    let bus = place.open().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = Message::new(SUBJECT, "id", vec![0, 159, 146, 150]).with_header("Traceparent", trace);
    bus.publish(sent.clone()).await.unwrap();
    let taken = take(&*bus.consumer(all_events()).await.unwrap(), 1).await;
    assert_eq!(taken[0].message, sent);
    assert_eq!(taken[0].message.traceparent(), Some(trace));
    let age = jiff::Timestamp::now().duration_since(taken[0].published_at);
    assert!(age.as_secs().abs() < 60, "{age:?}");
}

pub(crate) async fn a_new_consumer_starts_at_the_oldest_message(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a", "b"]).await;
    let first = bus.consumer(all_events()).await.unwrap();
    for delivery in take(&*first, 2).await {
        first.ack(&delivery).await.unwrap();
    }
    let second = ConsumerConfig { name: "second".to_owned(), ..all_events() };
    assert_eq!(ids(&take(&*bus.consumer(second).await.unwrap(), 2).await), ["a", "b"]);
}

pub(crate) async fn consumers_take_only_their_subjects(place: &dyn Place) {
    let bus = place.open().await;
    for n in 0..20 {
        bus.publish(message(format!("ci{n}"))).await.unwrap();
        bus.publish(Message::new(OTHER_SUBJECT, format!("registry{n}"), "")).await.unwrap();
    }
    bus.publish(Message::new("custody.ask.registry.0123456789abcdef", "question", "")).await.unwrap();
    let of = |name: &str, stream, filter: &str| ConsumerConfig::new(name, stream, filter.parse().unwrap());
    let registry = bus.consumer(of("r", Stream::Events, "custody.in.registry.>")).await.unwrap();
    assert!(ids(&take(&*registry, 20).await).iter().all(|id| id.starts_with("registry")));
    let runs = bus.consumer(of("c", Stream::Events, "custody.in.*.*.*.run.finished.v1")).await.unwrap();
    assert!(ids(&take(&*runs, 20).await).iter().all(|id| id.starts_with("ci")));
    let questions = bus.consumer(of("q", Stream::Questions, "custody.ask.registry.>")).await.unwrap();
    assert_eq!(ids(&take(&*questions, 1).await), ["question"]);
    let outside = bus.consumer(of("x", Stream::Events, "custody.ask.>")).await;
    assert!(matches!(outside, Err(BusError::Consumer { .. })), "{outside:?}");
}

pub(crate) async fn a_kept_message_is_read_and_removed_by_its_number(place: &dyn Place) {
    let bus = place.open().await;
    let subject = "custody.dead.intake";
    for id in ["a", "b", "c"] {
        bus.publish(Message::new(subject, id, "")).await.unwrap();
    }
    let read = bus.read(Stream::DeadLetters, 0, 10).await.unwrap();
    assert_eq!(read.iter().map(|stored| stored.message.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(bus.remove(Stream::DeadLetters, read[1].sequence).await.unwrap());
    assert!(!bus.remove(Stream::DeadLetters, read[1].sequence).await.unwrap());
    let from_second = bus.read(Stream::DeadLetters, read[1].sequence, 10).await.unwrap();
    assert_eq!(from_second.len(), 1);
    assert_eq!(from_second[0].sequence, read[2].sequence);
}
