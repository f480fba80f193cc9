//! Plain signatures, with every scheme that signers use for a kind of key.
//!
//! Signers choose the hash, and for RSA the padding, by the key or by habit: cosign signs with SHA-256 whatever the curve,
//! others with the hash of the curve's size. A signature is by a key if it is one by any of the key's schemes. What can only
//! be a scheme that this version does not know is told apart from a signature by somebody else.

use aws_lc_rs::digest::{self, Digest as Hash};
use aws_lc_rs::signature as lc;
use bus_schema::Digest;
use sigstore_verify::crypto::SigningScheme;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// A scheme that fitted, as the verifying crate calls it; `None` where it has no word for it.
pub(crate) type Scheme = Option<SigningScheme>;

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signed<'a> {
    Bytes(&'a [u8]),
    /// Only the digest is known.
    Digest(Digest),
}

/// Why no scheme fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfitting {
    /// Another key's signature, or one over something else.
    Another,
    /// The kind of key, or what would be needed to verify with it.
    Unsupported(&'static str),
}

/// The scheme by which `key` (SubjectPublicKeyInfo in DER) signed this.
pub(crate) fn scheme_of(key: &[u8], signature: &[u8], signed: Signed<'_>) -> Result<Scheme, Unfitting> {
    const UNKNOWN: Unfitting = Unfitting::Unsupported("a key of another kind");
    let info = SubjectPublicKeyInfoRef::try_from(key).map_err(|_| UNKNOWN)?;
    let bits = info.subject_public_key.as_bytes().ok_or(UNKNOWN)?;
    let schemes = match info.algorithm.oid.to_string().as_str() {
        "1.2.840.10045.2.1" => {
            match info.algorithm.parameters_oid().map(|curve| curve.to_string()).as_deref() {
                Ok("1.2.840.10045.3.1.7") => P256,
                Ok("1.3.132.0.34") => P384,
                Ok("1.3.132.0.35") => P521,
                _ => return Err(UNKNOWN),
            }
        }
        "1.2.840.113549.1.1.1" => RSA,
        "1.3.101.112" => return ed25519(bits, signature, signed),
        _ => return Err(UNKNOWN),
    };
    let fits = |known: &&Known| known.is_fitting(bits, signature, signed);
    schemes.iter().find(fits).map(|known| known.scheme).ok_or(Unfitting::Another)
}

/// Ed25519 signs the message itself; its form over a digest (Ed25519ph, RFC 8032, section 5.1) is none that this version
/// verifies.
fn ed25519(bits: &[u8], signature: &[u8], signed: Signed<'_>) -> Result<Scheme, Unfitting> {
    let Signed::Bytes(bytes) = signed else {
        return Err(Unfitting::Unsupported("an Ed25519 key and no more than a digest"));
    };
    let key = lc::UnparsedPublicKey::new(&lc::ED25519, bits);
    key.verify(bytes, signature).map(|()| Some(SigningScheme::Ed25519)).map_err(|_| Unfitting::Another)
}

struct Known {
    scheme: Scheme,
    hash: &'static digest::Algorithm,
    algorithm: &'static dyn lc::VerificationAlgorithm,
}

impl Known {
    const fn new(
        scheme: Scheme,
        hash: &'static digest::Algorithm,
        algorithm: &'static dyn lc::VerificationAlgorithm,
    ) -> Known {
        Known { scheme, hash, algorithm }
    }

    fn is_fitting(&self, bits: &[u8], signature: &[u8], signed: Signed<'_>) -> bool {
        let key = lc::UnparsedPublicKey::new(self.algorithm, bits);
        match signed {
            Signed::Bytes(bytes) => key.verify(bytes, signature).is_ok(),
            Signed::Digest(digest) => Hash::import_less_safe(digest.bytes(), self.hash)
                .is_ok_and(|hash| key.verify_digest(&hash, signature).is_ok()),
        }
    }
}

const P256: &[Known] = &[
    Known::new(Some(SigningScheme::EcdsaP256Sha256), &digest::SHA256, &lc::ECDSA_P256_SHA256_ASN1),
    Known::new(Some(SigningScheme::EcdsaP256Sha384), &digest::SHA384, &lc::ECDSA_P256_SHA384_ASN1),
];

const P384: &[Known] = &[
    Known::new(Some(SigningScheme::EcdsaP384Sha384), &digest::SHA384, &lc::ECDSA_P384_SHA384_ASN1),
    Known::new(Some(SigningScheme::EcdsaP384Sha256), &digest::SHA256, &lc::ECDSA_P384_SHA256_ASN1),
];

const P521: &[Known] = &[
    Known::new(None, &digest::SHA512, &lc::ECDSA_P521_SHA512_ASN1),
    Known::new(None, &digest::SHA384, &lc::ECDSA_P521_SHA384_ASN1),
    Known::new(None, &digest::SHA256, &lc::ECDSA_P521_SHA256_ASN1),
];

const RSA: &[Known] = &[
    Known::new(Some(SigningScheme::RsaPkcs1Sha256), &digest::SHA256, &lc::RSA_PKCS1_2048_8192_SHA256),
    Known::new(Some(SigningScheme::RsaPkcs1Sha384), &digest::SHA384, &lc::RSA_PKCS1_2048_8192_SHA384),
    Known::new(Some(SigningScheme::RsaPkcs1Sha512), &digest::SHA512, &lc::RSA_PKCS1_2048_8192_SHA512),
    Known::new(Some(SigningScheme::RsaPssSha256), &digest::SHA256, &lc::RSA_PSS_2048_8192_SHA256),
    Known::new(Some(SigningScheme::RsaPssSha384), &digest::SHA384, &lc::RSA_PSS_2048_8192_SHA384),
    Known::new(Some(SigningScheme::RsaPssSha512), &digest::SHA512, &lc::RSA_PSS_2048_8192_SHA512),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
    };

    use base64::Engine as _;

    use super::*;
    use crate::envelope::BASE64;

    const MESSAGE: &[u8] = b"what is signed";

    fn der<T: AsDer<aws_lc_rs::encoding::PublicKeyX509Der<'static>>>(key: &T) -> Vec<u8> {
        key.as_der().unwrap().as_ref().to_vec()
    }

    /// The key verifies its signature over the message, and over the digest where that is of the scheme's kind; nothing else.
    #[track_caller]
    fn check(key: &[u8], signature: &[u8], scheme: Scheme, digest: Option<Digest>) {
        assert_eq!(scheme_of(key, signature, Signed::Bytes(MESSAGE)), Ok(scheme));
        assert_eq!(scheme_of(key, signature, Signed::Bytes(b"another")), Err(Unfitting::Another));
        let mut changed = signature.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(scheme_of(key, &changed, Signed::Bytes(MESSAGE)), Err(Unfitting::Another));
        for one in [Digest::sha256_of(MESSAGE), Digest::sha512_of(MESSAGE)] {
            let expected = if Some(one) == digest { Ok(scheme) } else { Err(Unfitting::Another) };
            assert_eq!(scheme_of(key, signature, Signed::Digest(one)), expected, "{one}");
        }
        let another = Digest::sha256_of(b"another");
        assert_eq!(scheme_of(key, signature, Signed::Digest(another)), Err(Unfitting::Another));
    }

    #[test]
    fn ecdsa_of_each_curve_is_verified_with_its_own_hash_and_with_sha256() {
        let sha256 = Some(Digest::sha256_of(MESSAGE));
        let sha512 = Some(Digest::sha512_of(MESSAGE));
        let cases: [(&'static EcdsaSigningAlgorithm, Scheme, Option<Digest>); 5] = [
            (&lc::ECDSA_P256_SHA256_ASN1_SIGNING, Some(SigningScheme::EcdsaP256Sha256), sha256),
            (&lc::ECDSA_P384_SHA384_ASN1_SIGNING, Some(SigningScheme::EcdsaP384Sha384), None),
            (&lc::ECDSA_P521_SHA256_ASN1_SIGNING, None, sha256),
            (&lc::ECDSA_P521_SHA384_ASN1_SIGNING, None, None),
            (&lc::ECDSA_P521_SHA512_ASN1_SIGNING, None, sha512),
        ];
        for (algorithm, scheme, digest) in cases {
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
            check(&der(pair.public_key()), signature.as_ref(), scheme, digest);
        }
        for (scheme, digest, key, signature) in [
            (SigningScheme::EcdsaP256Sha384, None, P256_KEY, P256_SHA384),
            (SigningScheme::EcdsaP384Sha256, sha256, P384_KEY, P384_SHA256),
        ] {
            let [key, signature] = [key, signature].map(|text| BASE64.decode(text).unwrap());
            check(&key, &signature, Some(scheme), digest);
        }
    }

    /// Keys by `openssl ecparam -genkey`, and their signatures over the message by `openssl dgst -sign`, with the hash that
    /// is not the curve's own.
    const P256_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7mmOfsM8rxnZ1UljIBAN0gixlKv72LNWrI3mB+pTV9O62+5llfz0621VH4LNi4h3NeZkpGrzADLvETsJv9oAzg==";
    const P256_SHA384: &str =
        "MEUCIQCR+ij19R3c7wCTWnCcvIOJ0HxZ4Wxx726EpS0ejjTT0AIgaQ8OHeo6MabpE5LVvsGvpsphKdsZ+tH10uWRLvlD95Y=";
    const P384_KEY: &str = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEOkV+p7Z4MRTNqtte1iDDNPNyS+CITlH31Y3X2+6gUmmpfUTAA2qpit7S/MjrW4QP1Cr4YGHCLGitiMomTXgfTuMFk4N07kIrMHTpa7w0sy4snlPv+za8MEqlLSUjvoC4";
    const P384_SHA256: &str = "MGUCMF0EGHr9P6NDQdMpEKosba6f4DWe6/cu62cp8XfJD81S2yU6CTpOz7MsEP+F7j5ZvgIxAJhoUR1tAABnJCneanMRnzF59fcC+LJxK0kjsJDPZ5CiKhHIZ46utg8KzaG8mIvC5w==";

    #[test]
    fn rsa_is_verified_with_both_paddings() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let key = der(pair.public_key());
        let (sha256, sha512) = (Some(Digest::sha256_of(MESSAGE)), Some(Digest::sha512_of(MESSAGE)));
        let cases: [(&'static dyn RsaEncoding, SigningScheme, Option<Digest>); 6] = [
            (&lc::RSA_PKCS1_SHA256, SigningScheme::RsaPkcs1Sha256, sha256),
            (&lc::RSA_PKCS1_SHA384, SigningScheme::RsaPkcs1Sha384, None),
            (&lc::RSA_PKCS1_SHA512, SigningScheme::RsaPkcs1Sha512, sha512),
            (&lc::RSA_PSS_SHA256, SigningScheme::RsaPssSha256, sha256),
            (&lc::RSA_PSS_SHA384, SigningScheme::RsaPssSha384, None),
            (&lc::RSA_PSS_SHA512, SigningScheme::RsaPssSha512, sha512),
        ];
        for (padding, scheme, digest) in cases {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
            check(&key, &signature, Some(scheme), digest);
        }
    }

    #[test]
    fn ed25519_needs_the_message_and_says_so() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let (key, signature) = (der(pair.public_key()), pair.sign(MESSAGE));
        let signature = signature.as_ref();
        let fitting = scheme_of(&key, signature, Signed::Bytes(MESSAGE));
        assert_eq!(fitting, Ok(Some(SigningScheme::Ed25519)));
        assert_eq!(scheme_of(&key, signature, Signed::Bytes(b"another")), Err(Unfitting::Another));
        let digest = Signed::Digest(Digest::sha512_of(MESSAGE));
        assert!(matches!(scheme_of(&key, signature, digest), Err(Unfitting::Unsupported(_))));
    }

    #[test]
    fn a_key_of_an_unknown_kind_is_unsupported() {
        // An X25519 key (RFC 8410, section 10.1, with the algorithm of section 3).
        let key = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00][..], &[7; 32]]
            .concat();
        assert!(matches!(scheme_of(&key, b"any", Signed::Bytes(MESSAGE)), Err(Unfitting::Unsupported(_))));
    }
}
