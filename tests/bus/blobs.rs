//! Blobs: found by their hash, refused when they are not what they are called.

use bus_schema::Digest;
use bytes::Bytes;
use fleet_runtime::bus::{BLOB_BYTES_MAX, BusError};
use futures::future::try_join_all;

use crate::place::Place;

pub(crate) async fn a_blob_is_found_by_its_hash(place: &dyn Place) {
    let bus = place.open().await;
    let blobs = bus.blobs();
    let bytes = Bytes::from_static(b"an attestation");
    let digests = try_join_all((0..8).map(|_| blobs.put(bytes.clone()))).await.unwrap();
    let digest = Digest::sha256_of(&bytes);
    assert!(digests.iter().all(|one| *one == digest));
    assert_eq!(blobs.get(&digest, 1000).await.unwrap(), Some(bytes));
    assert!(blobs.exists(&digest).await.unwrap());
    let other = Digest::sha256_of(b"another");
    assert_eq!(blobs.get(&other, 1000).await.unwrap(), None);
    assert!(!blobs.exists(&other).await.unwrap());
    let empty = blobs.put(Bytes::new()).await.unwrap();
    assert_eq!(blobs.get(&empty, 0).await.unwrap(), Some(Bytes::new()));
    let unnamed = blobs.get(&Digest::sha512_of(b"another"), 1000).await;
    assert!(matches!(unnamed, Err(BusError::BlobAlgorithm { .. })), "{unnamed:?}");
}

pub(crate) async fn a_tampered_blob_is_named_and_not_returned(place: &dyn Place) {
    let bus = place.open().await;
    let digest = bus.blobs().put(Bytes::from_static(b"an attestation")).await.unwrap();
    if !place.tamper(&digest).await {
        return;
    }
    match bus.blobs().get(&digest, 1000).await {
        Err(BusError::BlobTampered { expected, found }) => {
            assert_eq!(*expected, digest);
            assert_ne!(*found, digest);
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn an_oversize_blob_is_refused_on_both_ways(place: &dyn Place) {
    let bus = place.open().await;
    let refused = bus.blobs().put(Bytes::from(vec![0; BLOB_BYTES_MAX + 1])).await;
    assert!(matches!(refused, Err(BusError::BlobTooLarge { .. })), "{refused:?}");
    let digest = bus.blobs().put(Bytes::from_static(b"0123456789")).await.unwrap();
    assert!(matches!(bus.blobs().get(&digest, 9).await, Err(BusError::BlobTooLarge { .. })));
    assert!(bus.blobs().get(&digest, 10).await.unwrap().is_some());
}

pub(crate) async fn a_damaged_blob_is_mended_by_putting_it_again(place: &dyn Place) {
    let bus = place.open().await;
    let bytes = Bytes::from_static(b"an attestation");
    let digest = bus.blobs().put(bytes.clone()).await.unwrap();
    if !place.tamper(&digest).await {
        return;
    }
    bus.blobs().put(bytes.clone()).await.unwrap();
    assert_eq!(bus.blobs().get(&digest, 1000).await.unwrap(), Some(bytes));
}
