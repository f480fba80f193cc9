//! `X-Hub-Signature-256`: HMAC-SHA256 over the raw body ("Validating webhook deliveries" in GitHub's documentation).

use fleet_runtime::settings::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

const PREFIX: &str = "sha256=";

/// Why a signature is refused. It never says how close it was.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefusal {
    #[error("there is no signature")]
    Missing,
    #[error("the signature is not sha256= and 64 hex digits")]
    Malformed,
    #[error("no configured secret gives this signature")]
    Wrong,
}

/// The 32 octets that the header states.
pub(super) fn parse(header: Option<&str>) -> Result<[u8; 32], SignatureRefusal> {
    let text = header.ok_or(SignatureRefusal::Missing)?;
    let hex_text = text.strip_prefix(PREFIX).ok_or(SignatureRefusal::Malformed)?;
    let mut stated = [0; 32];
    hex::decode_to_slice(hex_text, &mut stated).map_err(|_| SignatureRefusal::Malformed)?;
    Ok(stated)
}

/// Whether `secret` gives the stated signature, compared in constant time.
pub(super) fn matches(secret: &Secret, body: &[u8], stated: &[u8; 32]) -> bool {
    mac(secret, body).is_some_and(|computed| computed.ct_eq(stated).into())
}

/// The header's value for a body: what GitHub would send.
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    format!("{PREFIX}{}", hex::encode(mac(secret, body).unwrap_or_default()))
}

/// HMAC takes keys of any length, so there is always a value.
fn mac(secret: &Secret, body: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(body);
    Some(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_example_of_githubs_documentation_verifies() {
        let secret = Secret::new("It's a Secret to Everybody");
        let header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(sign(&secret, b"Hello, World!"), header);
        let stated = parse(Some(header)).unwrap();
        assert!(matches(&secret, b"Hello, World!", &stated));
        assert!(!matches(&secret, b"Hello, World?", &stated));
        assert!(!matches(&Secret::new("It's a secret to everybody"), b"Hello, World!", &stated));
    }

    #[test]
    fn headers_of_other_forms_are_refused() {
        assert_eq!(parse(None), Err(SignatureRefusal::Missing));
        let sha1 = format!("sha1={}", "0".repeat(40));
        let short = format!("sha256={}", "0".repeat(63));
        let long = format!("sha256={}", "0".repeat(66));
        for text in ["", "sha256=", &sha1, &short, &long, &"0".repeat(64)] {
            assert_eq!(parse(Some(text)), Err(SignatureRefusal::Malformed), "{text}");
        }
    }
}
