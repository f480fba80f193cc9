//! Bounds: what is too large or too odd is refused by name, and who is slow holds only so much.

use bytes::Bytes;
use fleet_runtime::bus::{BusError, ConsumerConfig, FETCH_MESSAGES_MAX, Message, PAYLOAD_BYTES_MAX, Stream};
use futures::future::try_join_all;

use crate::place::{Place, SUBJECT, all_events, ids, message, nothing_comes, publish, take};

pub(crate) async fn a_payload_over_the_limit_is_refused_and_one_at_the_limit_passes(place: &dyn Place) {
    let bus = place.open().await;
    let of = |bytes| Message::new(SUBJECT, format!("{bytes}"), vec![1; bytes]);
    let refused = bus.publish(of(PAYLOAD_BYTES_MAX + 1)).await;
    assert!(matches!(refused, Err(BusError::PayloadTooLarge { .. })), "{refused:?}");
    bus.publish(of(PAYLOAD_BYTES_MAX)).await.unwrap();
    let taken = take(&*bus.consumer(all_events()).await.unwrap(), 1).await;
    assert_eq!(taken[0].message.payload.len(), PAYLOAD_BYTES_MAX);
}

pub(crate) async fn odd_subjects_ids_and_headers_are_refused(place: &dyn Place) {
    let bus = place.open().await;
    let refused = async |message: Message| bus.publish(message).await.unwrap_err();
    for odd in ["", "custody.in.*", "custody.in.>", "custody.in..a", "custody.in.a b", "custody.in.\u{e4}"] {
        assert!(matches!(refused(Message::new(odd, "id", "")).await, BusError::Subject { .. }), "{odd:?}");
    }
    assert!(matches!(refused(Message::new("elsewhere.a", "id", "")).await, BusError::NoStream { .. }));
    for odd in ["".to_owned(), "a b".to_owned(), "\n".to_owned(), "x".repeat(257)] {
        assert!(matches!(refused(message(odd.clone())).await, BusError::MessageId { .. }), "{odd:?}");
    }
    let injected = message("id").with_header("a", "b\r\nc: d");
    assert!(matches!(refused(injected).await, BusError::Headers { .. }));
    let large = message("id").with_header("a", "x".repeat(9000));
    assert!(matches!(refused(large).await, BusError::Headers { .. }));
}

pub(crate) async fn a_slow_reader_holds_no_more_than_its_bound(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a", "b", "c", "d"]).await;
    let consumer = bus.consumer(ConsumerConfig { in_flight_max: 2, ..all_events() }).await.unwrap();
    let taken = take(&*consumer, 2).await;
    nothing_comes(&*consumer).await;
    consumer.ack(&taken[0]).await.unwrap();
    assert_eq!(ids(&take(&*consumer, 1).await), ["c"]);
    nothing_comes(&*consumer).await;
    // Others are not held up by it.
    let other = ConsumerConfig { name: "other".to_owned(), ..all_events() };
    assert_eq!(take(&*bus.consumer(other).await.unwrap(), 4).await.len(), 4);
}

pub(crate) async fn one_fetch_is_bounded(place: &dyn Place) {
    let bus = place.open().await;
    let small = (0..FETCH_MESSAGES_MAX + 10).map(|n| bus.publish(message(format!("m{n}"))));
    try_join_all(small).await.unwrap();
    let large = (0..12).map(|n| {
        bus.publish(Message::new(SUBJECT, format!("large{n}"), Bytes::from(vec![0; PAYLOAD_BYTES_MAX])))
    });
    try_join_all(large).await.unwrap();
    let everything = ConsumerConfig { in_flight_max: 100_000, ..all_events() };
    let consumer = bus.consumer(everything).await.unwrap();
    let first = consumer.fetch(usize::MAX, crate::place::PATIENCE).await.unwrap();
    assert!(!first.is_empty() && first.len() <= FETCH_MESSAGES_MAX);
    let rest = take(&*consumer, FETCH_MESSAGES_MAX + 22 - first.len()).await;
    assert_eq!(first.len() + rest.len(), FETCH_MESSAGES_MAX + 22);
}

pub(crate) async fn how_a_bus_stands_is_told_in_numbers(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a", "b", "c", "d"]).await;
    let consumer = bus.consumer(ConsumerConfig { in_flight_max: 2, ..all_events() }).await.unwrap();
    let taken = take(&*consumer, 2).await;
    consumer.ack(&taken[0]).await.unwrap();
    let mut last = None;
    // An acknowledgement is counted a moment later.
    for _ in 0..200 {
        let standing = bus.standing().await.unwrap();
        assert!(standing.differences.is_empty(), "{standing:?}");
        let streams: Vec<Stream> = standing.streams.iter().map(|stream| stream.stream).collect();
        assert_eq!(streams, Stream::ALL);
        let events = standing.streams.into_iter().find(|stream| stream.stream == Stream::Events).unwrap();
        assert_eq!((events.messages, events.last_sequence), (4, 4));
        assert!(events.bytes > 0 && events.bytes < events.bytes_max);
        let [consumer] = &events.consumers[..] else { panic!("{events:?}") };
        assert_eq!((consumer.name.as_str(), consumer.waiting), (all_events().name.as_str(), 2));
        last = Some(consumer.unsettled);
        if last == Some(1) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(last, Some(1));
}
