//! Each signature of one piece of evidence is verified once, however many passes ask for it.
//!
//! The verifying crate asks for a log's promise twice and for a certificate's chain at each proven time; the passes of this
//! crate ask again, each for its own reason. Whether a signature fits is decided by scheme, key, message and signature
//! alone, so the same four need no second verification. Only that one fits is remembered, never that it does not; by the
//! thread that verifies, and no longer than it works on one piece. What a trust root's certificates are signed with among
//! themselves is remembered as long as the root. Who asks, and for what, stays as it is: this is the verifying crate's own
//! cryptography (aws-lc) with a memory.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{self, Context, SHA256, SHA256_OUTPUT_LEN};
use sigstore_verify::crypto::{
    CryptoProvider, HashContext, KeyAlgorithm, Result, SigningKeyPair, SigningScheme, aws_lc_provider,
    install_default_provider,
};
use sigstore_verify::types::HashAlgorithm;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode, Reader, SliceReader};

/// The longest message whose signature is remembered, in bytes. What is asked for twice is short: certificates,
/// checkpoints, promises.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The most signatures that one piece of evidence, or one trust root, has remembered.
const SIGNATURES_MAX: usize = 256;

/// A digest: of a message; or of scheme, key, message and signature.
type Name = [u8; SHA256_OUTPUT_LEN];

/// What fitted so far.
#[derive(Debug, Default)]
struct Memory {
    fitted: HashSet<Name>,
    authorities: Option<Arc<Authorities>>,
}

thread_local! {
    /// `None` outside of [`remembering`].
    static MEMORY: RefCell<Option<Memory>> = const { RefCell::new(None) };
}

/// Makes the verifying crate use the memory. Where another provider was put in its place before, nothing is remembered.
pub(crate) fn install() {
    let _ = install_default_provider(&Remembering);
}

/// Remembers what fits while `work` runs, and forgets it afterwards, also when it panics.
pub(crate) fn remembering<T>(work: impl FnOnce() -> T) -> T {
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            MEMORY.set(None);
        }
    }
    MEMORY.set(Some(Memory::default()));
    let _forget = Forget;
    work()
}

/// Whether a message is signed so, as the verifying crate asks it, and with the same memory.
pub(crate) fn fits(scheme: SigningScheme, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    Remembering.verify_raw(scheme, key, message, signature).is_ok()
}

/// The same of a message of which only the digest is known.
pub(crate) fn fits_digest(scheme: SigningScheme, key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    Remembering.verify_prehashed(scheme, key, digest, signature).is_ok()
}

/// The certificates of a trust root, and what they are signed with among themselves.
#[derive(Debug, Default)]
pub(crate) struct Authorities {
    /// The certificates' bodies.
    messages: HashSet<Name>,
    fitted: Mutex<HashSet<Name>>,
}

impl Authorities {
    pub(crate) fn of<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> Authorities {
        let messages = certificates.filter_map(body).map(name_of_message).collect();
        Authorities { messages, fitted: Mutex::default() }
    }

    /// From now on, and as long as [`remembering`] lasts, evidence is verified against the root of these.
    pub(crate) fn are_used(self: &Arc<Authorities>) {
        MEMORY.with_borrow_mut(|memory| {
            if let Some(memory) = memory {
                memory.authorities = Some(self.clone());
            }
        });
    }

    fn knows(&self, name: &Name) -> bool {
        self.fitted.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn remember(&self, name: Name, message: &[u8]) {
        if self.messages.contains(&name_of_message(message)) {
            add(&mut self.fitted.lock().unwrap_or_else(PoisonError::into_inner), name);
        }
    }
}

/// The signed part of a certificate (RFC 5280, section 4.1).
fn body(certificate: &[u8]) -> Option<&[u8]> {
    let fields = AnyRef::from_der(certificate).ok()?;
    SliceReader::new(fields.value()).ok()?.tlv_bytes().ok()
}

fn name_of_message(message: &[u8]) -> Name {
    named(digest::digest(&SHA256, message))
}

/// What is signed, as the name of a signature says it.
#[derive(Debug, Clone, Copy)]
enum Signed<'a> {
    Message(&'a [u8]),
    Digest(&'a [u8]),
}

fn name_of(scheme: SigningScheme, key: &[u8], signed: Signed<'_>, signature: &[u8]) -> Name {
    let mut context = Context::new(&SHA256);
    let (kind, signed) = match signed {
        Signed::Message(message) => ("message", message),
        Signed::Digest(digest) => ("digest", digest),
    };
    for part in [scheme.name().as_bytes(), key, kind.as_bytes(), signed, signature] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    named(context.finish())
}

fn named(digest: digest::Digest) -> Name {
    let mut name = [0; SHA256_OUTPUT_LEN];
    name.copy_from_slice(digest.as_ref());
    name
}

fn add(names: &mut HashSet<Name>, name: Name) {
    if names.len() < SIGNATURES_MAX {
        names.insert(name);
    }
}

/// Verifies unless what has this name is remembered, and remembers it where it fits, the trust root as it likes.
fn once(
    name: impl FnOnce() -> Name,
    remember: impl FnOnce(Name, &Authorities),
    verify: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if !MEMORY.with_borrow(Option::is_some) {
        return verify();
    }
    let name = name();
    let (is_known, authorities) = MEMORY.with_borrow(|memory| {
        let authorities = memory.as_ref().and_then(|memory| memory.authorities.clone());
        let is_known = memory.as_ref().is_some_and(|memory| memory.fitted.contains(&name));
        (is_known || authorities.as_ref().is_some_and(|known| known.knows(&name)), authorities)
    });
    if is_known {
        return Ok(());
    }
    verify()?;
    MEMORY.with_borrow_mut(|memory| {
        if let Some(memory) = memory {
            add(&mut memory.fitted, name);
        }
    });
    if let Some(authorities) = authorities {
        remember(name, &authorities);
    }
    Ok(())
}

#[derive(Debug)]
struct Remembering;

impl CryptoProvider for Remembering {
    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
        let verify = || aws_lc_provider().verify_raw(scheme, key, message, signature);
        if message.len() > MESSAGE_BYTES_MAX {
            return verify();
        }
        let name = || name_of(scheme, key, Signed::Message(message), signature);
        once(name, |name, authorities| authorities.remember(name, message), verify)
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let name = || name_of(scheme, key, Signed::Digest(digest), signature);
        let verify = || aws_lc_provider().verify_prehashed(scheme, key, digest, signature);
        once(name, |_, _| (), verify)
    }

    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        aws_lc_provider().hash(algorithm)
    }

    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        aws_lc_provider().sha256(data)
    }

    fn sha384(&self, data: &[u8]) -> [u8; 48] {
        aws_lc_provider().sha384(data)
    }

    fn sha512(&self, data: &[u8]) -> [u8; 64] {
        aws_lc_provider().sha512(data)
    }

    fn generate_key_pair(&self, algorithm: KeyAlgorithm) -> Result<Box<dyn SigningKeyPair>> {
        aws_lc_provider().generate_key_pair(algorithm)
    }

    fn key_pair_from_pkcs8_der(&self, pkcs8: &[u8]) -> Result<Box<dyn SigningKeyPair>> {
        aws_lc_provider().key_pair_from_pkcs8_der(pkcs8)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use sigstore_verify::crypto::KeyPair;

    use super::*;

    const SCHEME: SigningScheme = SigningScheme::EcdsaP256Sha256;

    fn remembered() -> usize {
        MEMORY.with_borrow(|memory| memory.as_ref().map_or(0, |memory| memory.fitted.len()))
    }

    #[test]
    fn what_fits_is_remembered_and_nothing_that_differs_in_any_part_fits_by_it() {
        let (one, two) = (KeyPair::generate_ecdsa_p256().unwrap(), KeyPair::generate_ecdsa_p256().unwrap());
        let signature = one.sign(b"message").unwrap();
        let signature = signature.as_bytes();
        let fits = |scheme, key: &[u8], message: &[u8], signature: &[u8]| {
            Remembering.verify_raw(scheme, key, message, signature).is_ok()
        };
        remembering(|| {
            for _ in 0..2 {
                assert!(fits(SCHEME, one.public_key_bytes(), b"message", signature));
                assert!(!fits(SCHEME, two.public_key_bytes(), b"message", signature));
                assert!(!fits(SCHEME, one.public_key_bytes(), b"messag", signature));
                let mut longer = b"e".to_vec();
                longer.extend_from_slice(signature);
                assert!(!fits(SCHEME, one.public_key_bytes(), b"messag", &longer));
                assert!(!fits(SCHEME, one.public_key_bytes(), b"message", &signature[1..]));
                let other = SigningScheme::EcdsaP256Sha384;
                assert!(!fits(other, one.public_key_bytes(), b"message", signature));
                assert_eq!(remembered(), 1);
            }
        });
        assert_eq!(remembered(), 0);
    }

    #[test]
    fn a_digest_that_fits_is_remembered_and_is_no_message() {
        let pair = KeyPair::generate_ecdsa_p256().unwrap();
        let message = b"message";
        let digest = name_of_message(message);
        let signature = pair.sign(message).unwrap();
        let key = pair.public_key_bytes();
        remembering(|| {
            for _ in 0..2 {
                assert!(fits_digest(SCHEME, key, &digest, signature.as_bytes()));
                assert!(!fits(SCHEME, key, &digest, signature.as_bytes()));
                assert!(!fits_digest(SCHEME, key, &name_of_message(b"another"), signature.as_bytes()));
                assert_eq!(remembered(), 1);
            }
        });
    }

    #[test]
    fn nothing_is_remembered_outside_after_a_panic_or_beyond_the_bound() {
        let pair = KeyPair::generate_ecdsa_p256().unwrap();
        let long = vec![0; MESSAGE_BYTES_MAX + 1];
        let verify = |message: &[u8]| {
            let signature = pair.sign(message).unwrap();
            Remembering.verify_raw(SCHEME, pair.public_key_bytes(), message, signature.as_bytes()).unwrap();
            remembered()
        };
        assert_eq!(verify(b"message"), 0);
        assert_eq!(remembering(|| verify(&long)), 0);
        let broke_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            remembering(|| {
                assert_eq!(verify(b"message"), 1);
                panic!("here");
            })
        }));
        assert!(broke_off.is_err());
        assert_eq!(remembered(), 0);
        let mut names = HashSet::new();
        (0..2 * SIGNATURES_MAX).for_each(|n| add(&mut names, name_of_message(&n.to_be_bytes())));
        assert_eq!(names.len(), SIGNATURES_MAX);
    }

    #[test]
    fn only_signatures_over_the_roots_own_certificates_outlive_a_piece_of_evidence() {
        let pair = KeyPair::generate_ecdsa_p256().unwrap();
        // A certificate as far as this reads one: a sequence whose first element is signed.
        let certificate = [0x30, 0x07, 0x04, 0x03, 1, 2, 3, 0x05, 0x00];
        let body = &certificate[2..7];
        let authorities = Arc::new(Authorities::of([&certificate[..], b"no DER"].into_iter()));
        assert_eq!(authorities.messages.len(), 1);
        for message in [body, &certificate[..]] {
            let signature = pair.sign(message).unwrap();
            remembering(|| {
                authorities.are_used();
                Remembering
                    .verify_raw(SCHEME, pair.public_key_bytes(), message, signature.as_bytes())
                    .unwrap();
            });
            let signed = Signed::Message(message);
            let name = name_of(SCHEME, pair.public_key_bytes(), signed, signature.as_bytes());
            assert_eq!(authorities.knows(&name), message == body);
        }
    }
}
