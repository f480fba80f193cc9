//! What a bus still knows when it is opened again.

use bytes::Bytes;
use fleet_runtime::bus::BusError;

use crate::place::{
    A_MOMENT, Place, all_events, counts, ids, message, nothing_comes, publish, quick_events, take,
};

pub(crate) async fn a_restart_in_the_middle_of_a_batch_brings_back_what_was_not_settled(place: &dyn Place) {
    let bus = place.open().await;
    publish(&*bus, ["a", "b", "c", "d", "e"]).await;
    let consumer = bus.consumer(quick_events()).await.unwrap();
    let taken = take(&*consumer, 4).await;
    consumer.ack(&taken[0]).await.unwrap();
    consumer.ack(&taken[2]).await.unwrap();
    drop(consumer);
    let bus = place.restart(bus).await;
    let consumer = bus.consumer(quick_events()).await.unwrap();
    let rest = take(&*consumer, 3).await;
    let mut came = ids(&rest);
    came.sort_unstable();
    assert_eq!(came, ["b", "d", "e"]);
    for delivery in &rest {
        assert_eq!(delivery.deliveries, if delivery.message.id == "e" { 1 } else { 2 });
        consumer.ack(delivery).await.unwrap();
    }
    assert!(bus.publish(message("a")).await.unwrap().duplicate);
    publish(&*bus, ["f"]).await;
    assert_eq!(ids(&take(&*consumer, 1).await), ["f"]);
}

pub(crate) async fn counts_of_deliveries_survive_a_restart(place: &dyn Place) {
    let mut bus = place.open().await;
    publish(&*bus, ["a"]).await;
    for expected in 1..=4 {
        let consumer = bus.consumer(quick_events()).await.unwrap();
        assert_eq!(counts(&take(&*consumer, 1).await), [expected]);
        drop(consumer);
        bus = place.restart(bus).await;
    }
}

pub(crate) async fn keys_and_blobs_survive_a_restart(place: &dyn Place) {
    let bus = place.open().await;
    let bucket = bus.key_value("verdicts").await.unwrap();
    let revision = bucket.put("a", Bytes::from_static(b"1")).await.unwrap();
    let digest = bus.blobs().put(Bytes::from_static(b"attestation")).await.unwrap();
    drop(bucket);
    let bus = place.restart(bus).await;
    let bucket = bus.key_value("verdicts").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap().revision, revision);
    assert!(bucket.put_if("a", Bytes::from_static(b"2"), revision).await.unwrap() > revision);
    assert_eq!(bus.blobs().get(&digest, 100).await.unwrap().unwrap(), "attestation");
}

pub(crate) async fn a_closed_bus_says_so(place: &dyn Place) {
    let bus = place.open().await;
    let consumer = bus.consumer(all_events()).await.unwrap();
    let waiting = tokio::spawn(async move { consumer.fetch(1, crate::place::PATIENCE).await });
    tokio::time::sleep(A_MOMENT).await;
    bus.close().await.unwrap();
    bus.close().await.unwrap();
    assert!(matches!(bus.publish(message("a")).await, Err(BusError::Closed)));
    assert!(matches!(waiting.await.unwrap(), Err(BusError::Closed)));
    let bus = place.restart(bus).await;
    nothing_comes(&*bus.consumer(all_events()).await.unwrap()).await;
}
