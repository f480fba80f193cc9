//! The comparison of a static token in constant time.

use axum::http::HeaderValue;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::settings::Secret;

/// Whether a header holds exactly the token. Hashes are compared, so that the time tells nothing of content or
/// length; an empty token matches nothing.
pub fn is_token(expected: &Secret, given: Option<&HeaderValue>) -> bool {
    let given = given.map_or(&b""[..], HeaderValue::as_bytes);
    let expected_hash = Sha256::digest(expected.expose().as_bytes());
    let is_equal: bool = Sha256::digest(given).ct_eq(&expected_hash).into();
    is_equal && !expected.is_empty()
}
