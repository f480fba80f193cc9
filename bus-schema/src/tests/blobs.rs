//! Bytes inside events are those that the event names, or refused.

use crate::Digest;
use crate::blob::{BlobError, BlobRef, INLINE_BYTES_MAX};

#[test]
fn what_is_inlined_comes_back() {
    for size in [0, 1, 2, 3, INLINE_BYTES_MAX] {
        let bytes = vec![7; size];
        let blob = BlobRef::inlined(&bytes).unwrap();
        assert_eq!(blob.inline_bytes(), Ok(Some(bytes)));
    }
    assert_eq!(BlobRef::inlined(&vec![7; INLINE_BYTES_MAX + 1]), None);
    assert_eq!(BlobRef::stored(Digest::sha256_of(b"x"), 1).inline_bytes(), Ok(None));
}

#[test]
fn bytes_that_are_not_those_of_the_event_are_refused() {
    let blob = BlobRef::inlined(b"evidence").unwrap();
    let with = |inline: String| BlobRef { inline: Some(inline), ..blob.clone() }.inline_bytes();
    assert_eq!(with("!".to_owned()), Err(BlobError::NotBase64));
    assert_eq!(with("ZXZpZGVuY2U".to_owned()), Err(BlobError::NotBase64));
    assert_eq!(with("AAAA".to_owned()), Err(BlobError::WrongSize { stated: 8, found: 3 }));
    assert_eq!(with("ZXZpZGVuY2E=".to_owned()), Err(BlobError::WrongDigest { stated: blob.digest }));
    assert_eq!(with("AAAA".repeat(INLINE_BYTES_MAX)), Err(BlobError::TooLarge));
}
