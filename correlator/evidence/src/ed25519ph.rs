//! Ed25519ph (RFC 8032, section 5.1): Ed25519 over the SHA-512 of a message, behind a prefix that plain Ed25519 has not, so
//! that no signature is one of both.

use digest::consts::U64;
use digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update};
use ed25519_dalek::{Signature, VerifyingKey};

/// Whether `key` (32 bytes, RFC 8032, section 5.1.5) signed this digest, with the empty context. Keys and signatures of
/// small order, which fit more than one message, fit none here.
pub(crate) fn is_by(key: &[u8], digest: [u8; 64], signature: &[u8]) -> bool {
    let key = key.try_into().ok().and_then(|key| VerifyingKey::from_bytes(key).ok());
    let signature = Signature::from_slice(signature).ok();
    key.zip(signature).is_some_and(|(key, signature)| {
        key.verify_prehashed_strict(Digested(digest), None, &signature).is_ok()
    })
}

/// A hash that was finished elsewhere.
#[derive(Clone)]
struct Digested([u8; 64]);

impl HashMarker for Digested {}

impl OutputSizeUser for Digested {
    type OutputSize = U64;
}

impl FixedOutput for Digested {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&self.0);
    }
}

/// What the trait of hashes asks for beside. Verification takes the digest and calls neither.
impl Default for Digested {
    fn default() -> Digested {
        Digested([0; 64])
    }
}

impl Update for Digested {
    fn update(&mut self, _data: &[u8]) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use aws_lc_rs::digest::{SHA512, digest};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    /// RFC 8032, section 7.3, "TEST abc".
    const KEY: &str = "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf";
    const SIGNATURE: &str = "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41\
                             31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406";

    fn sha512(message: &[u8]) -> [u8; 64] {
        digest(&SHA512, message).as_ref().try_into().unwrap()
    }

    #[test]
    fn the_signature_of_the_standard_fits_and_nothing_that_differs_from_it() {
        let (key, signature) = (hex::decode(KEY).unwrap(), hex::decode(SIGNATURE).unwrap());
        assert!(is_by(&key, sha512(b"abc"), &signature));
        assert!(!is_by(&key, sha512(b"abd"), &signature));
        for place in 0..signature.len() {
            let mut changed = signature.clone();
            changed[place] ^= 1;
            assert!(!is_by(&key, sha512(b"abc"), &changed), "{place}");
        }
        assert!(!is_by(&key[1..], sha512(b"abc"), &signature));
        assert!(!is_by(&key, sha512(b"abc"), &signature[1..]));
    }

    #[test]
    fn a_plain_signature_over_the_message_or_its_digest_is_none() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = pair.public_key().as_ref();
        for message in [b"abc".to_vec(), sha512(b"abc").to_vec()] {
            assert!(!is_by(key, sha512(b"abc"), pair.sign(&message).as_ref()));
        }
    }

    /// The neutral point as key and as commitment, with zero as proof, fits every message where it is let through.
    #[test]
    fn a_key_of_small_order_signs_nothing() {
        let neutral = [&[1][..], &[0; 31]].concat();
        let signature = [neutral.as_slice(), &[0; 32]].concat();
        assert!(!is_by(&neutral, sha512(b"abc"), &signature));
        assert!(!is_by(&neutral, sha512(b"another"), &signature));
    }
}
