//! Buckets: conditions under races, and watches.

use std::time::Duration;

use bytes::Bytes;
use fleet_runtime::bus::{BusError, PAYLOAD_BYTES_MAX, Watched};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::BoxStream;

use crate::place::{PATIENCE, Place};

type Watch = BoxStream<'static, Result<Watched, BusError>>;

pub(crate) async fn exactly_one_of_many_writers_wins_a_revision(place: &dyn Place) {
    let bus = place.open().await;
    let mut revision = 0;
    for round in 0..5 {
        let writers = (0..16).map(|writer| {
            let bus = bus.clone();
            tokio::spawn(async move {
                let bucket = bus.key_value("leases").await.unwrap();
                (writer, bucket.put_if("owner", Bytes::from(format!("{round}-{writer}")), revision).await)
            })
        });
        let mut winners = Vec::new();
        for done in join_all(writers).await {
            match done.unwrap() {
                (writer, Ok(new)) => winners.push((writer, new)),
                (_, Err(BusError::Conflict { found, expected, .. })) => {
                    assert_eq!(expected, revision);
                    assert!(found > revision);
                }
                (_, Err(error)) => panic!("{error}"),
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        let entry = bus.key_value("leases").await.unwrap().get("owner").await.unwrap().unwrap();
        assert_eq!(entry.revision, winners[0].1);
        assert_eq!(entry.value, format!("{round}-{}", winners[0].0));
        revision = entry.revision;
    }
}

pub(crate) async fn a_key_is_created_once_and_again_after_a_delete(place: &dyn Place) {
    let bus = place.open().await;
    let bucket = bus.key_value("verdicts").await.unwrap();
    let value = || Bytes::from_static(b"v");
    assert!(bucket.get("a").await.unwrap().is_none());
    assert!(matches!(bucket.put_if("a", value(), 7).await, Err(BusError::Conflict { found: 0, .. })));
    let created = bucket.put_if("a", value(), 0).await.unwrap();
    assert!(matches!(bucket.put_if("a", value(), 0).await, Err(BusError::Conflict { .. })));
    bucket.delete("a").await.unwrap();
    bucket.delete("a").await.unwrap();
    assert!(bucket.get("a").await.unwrap().is_none());
    assert!(bucket.put_if("a", value(), 0).await.unwrap() > created);
    // Buckets are apart.
    assert!(bus.key_value("other").await.unwrap().get("a").await.unwrap().is_none());
}

async fn next(watch: &mut Watch) -> Watched {
    tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap()
}

fn shown(watched: Watched) -> String {
    match watched {
        Watched::Changed { key, entry } => format!("{key}={}", String::from_utf8_lossy(&entry.value)),
        Watched::Deleted { key, .. } => format!("-{key}"),
        Watched::CaughtUp => "caught up".to_owned(),
    }
}

pub(crate) async fn a_watch_begins_with_what_is_there_and_sees_every_change_in_order(place: &dyn Place) {
    let bus = place.open().await;
    let bucket = bus.key_value("verdicts").await.unwrap();
    for (key, value) in [("b", "1"), ("a", "2"), ("b", "3"), ("gone", "4")] {
        bucket.put(key, Bytes::from(value)).await.unwrap();
    }
    bucket.delete("gone").await.unwrap();
    let mut watch = bucket.watch("").await.unwrap();
    for expected in ["a=2", "b=3", "caught up"] {
        assert_eq!(shown(next(&mut watch).await), expected);
    }
    let writer = {
        let bucket = bucket.clone();
        tokio::spawn(async move {
            for n in 0..200 {
                bucket.put(&format!("k{}", n % 7), Bytes::from(n.to_string())).await.unwrap();
            }
            bucket.delete("a").await.unwrap();
        })
    };
    let mut last = 0;
    for n in 0..200 {
        let Watched::Changed { key, entry } = next(&mut watch).await else { panic!("no change") };
        assert_eq!((key, entry.value), (format!("k{}", n % 7), Bytes::from(n.to_string())));
        assert!(entry.revision > last);
        last = entry.revision;
    }
    assert_eq!(shown(next(&mut watch).await), "-a");
    writer.await.unwrap();
}

pub(crate) async fn a_watch_sees_only_its_prefix(place: &dyn Place) {
    let bus = place.open().await;
    let bucket = bus.key_value("verdicts").await.unwrap();
    for key in ["a/1", "b/1", "b/2", "c/1"] {
        bucket.put(key, Bytes::from_static(b"")).await.unwrap();
    }
    let mut watch = bucket.watch("b/").await.unwrap();
    for expected in ["b/1=", "b/2=", "caught up"] {
        assert_eq!(shown(next(&mut watch).await), expected);
    }
    bus.key_value("other").await.unwrap().put("b/3", Bytes::from_static(b"")).await.unwrap();
    for key in ["a/2", "b/4"] {
        bucket.put(key, Bytes::from_static(b"")).await.unwrap();
    }
    assert_eq!(shown(next(&mut watch).await), "b/4=");
    assert!(tokio::time::timeout(Duration::from_millis(50), watch.next()).await.is_err());
}

pub(crate) async fn odd_keys_and_large_values_are_refused(place: &dyn Place) {
    let bus = place.open().await;
    let bucket = bus.key_value("verdicts").await.unwrap();
    for odd in ["", ".a", "a b", "a*", "a>", "\u{e4}"] {
        let refused = bucket.put(odd, Bytes::new()).await;
        assert!(matches!(refused, Err(BusError::Key { .. })), "{odd:?}");
        assert!(bucket.get(odd).await.is_err());
    }
    let large = bucket.put("a", Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1])).await;
    assert!(matches!(large, Err(BusError::PayloadTooLarge { .. })));
}
