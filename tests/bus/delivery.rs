//! Deliveries: settled, repeated, counted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleet_runtime::bus::{BusError, Stream};
use tokio::time::Instant;

use crate::place::{
    A_MOMENT, PATIENCE, Place, all_events, counts, ids, message, nothing_comes, publish, quick_events, take,
};

pub(crate) async fn an_unsettled_message_comes_again_and_is_counted(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a", "b"]).await;
    let consumer = bus.consumer(quick_events()).await.unwrap();
    let began = Instant::now();
    let first = take(&*consumer, 2).await;
    consumer.ack(&first[1]).await.unwrap();
    nothing_comes(&*consumer).await;
    for expected in 2..=4 {
        let again = take(&*consumer, 1).await;
        assert_eq!((ids(&again), counts(&again)), (vec!["a"], vec![expected]));
        assert_eq!(again[0].sequence, first[0].sequence);
    }
    assert!(began.elapsed() >= quick_events().ack_wait * 3);
}

pub(crate) async fn a_retry_comes_after_its_delay_and_those_behind_pass(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a", "b", "c"]).await;
    let consumer = bus.consumer(all_events()).await.unwrap();
    let first = take(&*consumer, 1).await;
    let asked = Instant::now();
    let delay = Duration::from_millis(400);
    consumer.retry(&first[0], delay).await.unwrap();
    assert_eq!(ids(&take(&*consumer, 2).await), ["b", "c"]);
    let again = take(&*consumer, 1).await;
    assert_eq!((ids(&again), counts(&again)), (vec!["a"], vec![2]));
    assert!(asked.elapsed() >= delay);
}

pub(crate) async fn an_acknowledged_message_never_comes_again(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a"]).await;
    let consumer = bus.consumer(quick_events()).await.unwrap();
    let taken = take(&*consumer, 1).await;
    consumer.ack(&taken[0]).await.unwrap();
    consumer.ack(&taken[0]).await.unwrap();
    tokio::time::sleep(quick_events().ack_wait).await;
    nothing_comes(&*consumer).await;
}

pub(crate) async fn a_terminated_message_never_comes_again(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a"]).await;
    let consumer = bus.consumer(quick_events()).await.unwrap();
    let taken = take(&*consumer, 1).await;
    consumer.terminate(&taken[0], "not for us").await.unwrap();
    tokio::time::sleep(quick_events().ack_wait).await;
    nothing_comes(&*consumer).await;
}

pub(crate) async fn work_in_progress_is_not_delivered_again(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a"]).await;
    let consumer = bus.consumer(quick_events()).await.unwrap();
    let taken = take(&*consumer, 1).await;
    for _ in 0..6 {
        assert!(consumer.fetch(1, quick_events().ack_wait / 3).await.unwrap().is_empty());
        consumer.in_progress(&taken[0]).await.unwrap();
    }
    assert_eq!(counts(&take(&*consumer, 1).await), [2]);
}

pub(crate) async fn an_old_delivery_still_settles_its_message(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a"]).await;
    let consumer = bus.consumer(quick_events()).await.unwrap();
    let first = take(&*consumer, 1).await;
    take(&*consumer, 1).await;
    consumer.ack(&first[0]).await.unwrap();
    tokio::time::sleep(quick_events().ack_wait).await;
    nothing_comes(&*consumer).await;
}

pub(crate) async fn two_readers_of_one_name_share_the_messages(place: &dyn Place) {
    let bus = place.open().await;
    for n in 0..40 {
        bus.publish(message(format!("m{n}"))).await.unwrap();
    }
    let read = |bus: Arc<dyn fleet_runtime::bus::Bus>| async move {
        let consumer = bus.consumer(all_events()).await.unwrap();
        let mut seen = Vec::new();
        loop {
            let fetched = consumer.fetch(3, A_MOMENT).await.unwrap();
            if fetched.is_empty() {
                return seen;
            }
            for delivery in fetched {
                consumer.ack(&delivery).await.unwrap();
                seen.push(delivery.message.id);
            }
        }
    };
    let (one, two) = tokio::join!(tokio::spawn(read(bus.clone())), tokio::spawn(read(bus.clone())));
    let all: Vec<String> = one.unwrap().into_iter().chain(two.unwrap()).collect();
    assert_eq!(all.len(), 40);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 40);
}

pub(crate) async fn a_fetch_waits_for_the_first_message(place: &dyn Place) {
    let bus = place.open().await;
    let consumer = bus.consumer(all_events()).await.unwrap();
    let waiting = tokio::spawn(async move { consumer.fetch(10, PATIENCE).await.unwrap() });
    tokio::time::sleep(A_MOMENT).await;
    let published = Instant::now();
    publish(&*bus, ["a"]).await;
    assert_eq!(ids(&waiting.await.unwrap()), ["a"]);
    assert!(published.elapsed() < PATIENCE / 4);
}

pub(crate) async fn a_cancelled_fetch_loses_nothing(place: &dyn Place) {
    let bus = place.open().await;
    let consumer = bus.consumer(quick_events()).await.unwrap();
    let publishing = tokio::spawn(async move {
        for n in 0..60 {
            bus.publish(message(format!("m{n}"))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bus
    });
    let mut seen = BTreeSet::new();
    let until = Instant::now() + PATIENCE;
    for patience_millis in [1, 3, 9, 27].into_iter().cycle() {
        assert!(Instant::now() < until, "only {} of 60 came", seen.len());
        let fetched = consumer.fetch(7, A_MOMENT);
        let Ok(fetched) = tokio::time::timeout(Duration::from_millis(patience_millis), fetched).await else {
            continue;
        };
        for delivery in fetched.unwrap() {
            consumer.ack(&delivery).await.unwrap();
            seen.insert(delivery.message.id);
        }
        if seen.len() == 60 {
            break;
        }
    }
    publishing.await.unwrap();
}

pub(crate) async fn a_removed_consumer_says_so(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a"]).await;
    let consumer = bus.consumer(all_events()).await.unwrap();
    bus.remove_consumer(Stream::Events, "reader").await.unwrap();
    let fetched = consumer.fetch(1, A_MOMENT).await;
    assert!(matches!(fetched, Err(BusError::Consumer { .. })), "{fetched:?}");
    // A new one of the same name owes nothing to the first.
    let consumer = bus.consumer(all_events()).await.unwrap();
    assert_eq!(counts(&take(&*consumer, 1).await), [1]);
}
