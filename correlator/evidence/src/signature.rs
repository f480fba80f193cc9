//! Plain signatures, with every scheme that signers use for a kind of key.
//!
//! Signers choose the hash, and for RSA the padding, by the key or by habit: cosign signs with SHA-256 whatever the curve,
//! others with the hash of the curve's size. A signature is by a key if it is one by any of the key's schemes. What can only
//! be a scheme that this version does not know is told apart from a signature by somebody else.

use std::fmt;

use aws_lc_rs::digest::{self, Digest as Hash};
use aws_lc_rs::signature as lc;
use bus_schema::Digest;
use correlator_core::facts::{Refusal, RefusalReason};
use sigstore_verify::crypto::SigningScheme;
use sigstore_verify::types::HashAlgorithm;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{SequenceOf, UintRef};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::refusal::{refusal, unsupported};
use crate::scheme::Scheme;
use crate::{ed25519ph, once};

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

impl Unfitting {
    /// The refusal of a signature by whichever key a certificate or the contracts name.
    pub(crate) fn refused(self) -> Refusal {
        let expected = "a signature by the signer's key over the payload";
        match self {
            Unfitting::Another => refusal(RefusalReason::BadSignature, expected, "another signature"),
            Unfitting::Unsupported(what) => unsupported(expected, what),
        }
    }
}

impl fmt::Display for Signed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signed::Bytes(bytes) => Digest::sha256_of(bytes).fmt(formatter),
            Signed::Digest(digest) => digest.fmt(formatter),
        }
    }
}

impl Signed<'_> {
    /// The digest of it; `None` where only that of another algorithm is known.
    pub(crate) fn digest(self, algorithm: HashAlgorithm) -> Option<Vec<u8>> {
        match (self, algorithm) {
            (Signed::Bytes(bytes), _) => Some(digest::digest(backend(algorithm)?, bytes).as_ref().to_vec()),
            (Signed::Digest(Digest::Sha256(digest)), HashAlgorithm::Sha2256) => Some(digest.to_vec()),
            (Signed::Digest(Digest::Sha512(digest)), HashAlgorithm::Sha2512) => Some(digest.to_vec()),
            _ => None,
        }
    }
}

fn backend(algorithm: HashAlgorithm) -> Option<&'static digest::Algorithm> {
    match algorithm {
        HashAlgorithm::Sha2256 => Some(&digest::SHA256),
        HashAlgorithm::Sha2384 => Some(&digest::SHA384),
        HashAlgorithm::Sha2512 => Some(&digest::SHA512),
        _ => None,
    }
}

/// A key of ECDSA, and its curve P-521 (RFC 5480, section 2.1.1).
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const CURVE_P521: &str = "1.3.132.0.35";
/// A key of RSA (RFC 8017, appendix A.1).
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";

/// The length of an RSA key's modulus, in bits; 0 for a key of another kind.
pub(crate) fn rsa_bits(key: &[u8]) -> usize {
    let Ok(info) = SubjectPublicKeyInfoRef::try_from(key) else { return 0 };
    if info.algorithm.oid.to_string() != RSA_ENCRYPTION {
        return 0;
    }
    // RSAPublicKey (RFC 8017, appendix A.1.1): modulus and exponent.
    let bits = info.subject_public_key.as_bytes().unwrap_or_default();
    let numbers = SequenceOf::<UintRef<'_>, 2>::from_der(bits).ok();
    let modulus = numbers.as_ref().and_then(|numbers| numbers.get(0)).map(|modulus| modulus.as_bytes());
    modulus
        .and_then(|bytes| bytes.first().map(|first| bytes.len() * 8 - first.leading_zeros() as usize))
        .unwrap_or(0)
}

/// Whether a key (SubjectPublicKeyInfo in DER) is of ECDSA on P-521, the one curve of Sigstore's registry of algorithms that
/// the verifying crate does not know.
pub(crate) fn is_p521(key: &[u8]) -> bool {
    SubjectPublicKeyInfoRef::try_from(key).is_ok_and(|info| {
        let curve = info.algorithm.parameters_oid().map(|curve| curve.to_string());
        info.algorithm.oid.to_string() == EC_PUBLIC_KEY && curve.as_deref() == Ok(CURVE_P521)
    })
}

/// The scheme by which `key` (SubjectPublicKeyInfo in DER) signed this.
pub(crate) fn scheme_of(key: &[u8], signature: &[u8], signed: Signed<'_>) -> Result<Scheme, Unfitting> {
    const UNKNOWN: Unfitting = Unfitting::Unsupported("a key of another kind");
    /// How a point begins whose two coordinates follow (SEC 1, section 2.3.3), the one form of RFC 5480, section 2.2, that
    /// every signer writes.
    const UNCOMPRESSED: u8 = 4;
    let info = SubjectPublicKeyInfoRef::try_from(key).map_err(|_| UNKNOWN)?;
    let bits = info.subject_public_key.as_bytes().ok_or(UNKNOWN)?;
    let parameters = info.algorithm.parameters;
    let schemes = match info.algorithm.oid.to_string().as_str() {
        EC_PUBLIC_KEY if bits.first() == Some(&UNCOMPRESSED) => {
            match info.algorithm.parameters_oid().map(|curve| curve.to_string()).as_deref() {
                Ok("1.2.840.10045.3.1.7") => P256,
                Ok("1.3.132.0.34") => P384,
                Ok(CURVE_P521) => P521,
                _ => return Err(UNKNOWN),
            }
        }
        RSA_ENCRYPTION if parameters.is_none_or(|given| given.is_null()) => RSA,
        "1.3.101.112" if parameters.is_none() => return ed25519(bits, signature, signed),
        oid if parameters.is_none() => {
            let scheme = ML_DSA.iter().find(|known| known.0 == oid).ok_or(UNKNOWN)?.1;
            return match signed {
                Signed::Bytes(bytes) if once::fits(scheme, bits, bytes, signature) => {
                    Ok(Scheme::Known(scheme))
                }
                Signed::Bytes(_) => Err(Unfitting::Another),
                Signed::Digest(_) => Err(Unfitting::Unsupported("an ML-DSA key and no more than a digest")),
            };
        }
        _ => return Err(UNKNOWN),
    };
    let fits = |known: &&Known| known.is_fitting(bits, signature, signed);
    schemes.iter().find(fits).map(|known| known.scheme).ok_or(Unfitting::Another)
}

/// Plain Ed25519 signs the message itself, Ed25519ph its SHA-512. One key may sign by both: no signature is one of both.
fn ed25519(bits: &[u8], signature: &[u8], signed: Signed<'_>) -> Result<Scheme, Unfitting> {
    if let Signed::Bytes(bytes) = signed
        && once::fits(SigningScheme::Ed25519, bits, bytes, signature)
    {
        return Ok(Scheme::Known(SigningScheme::Ed25519));
    }
    let digest = signed.digest(HashAlgorithm::Sha2512).and_then(|digest| digest.try_into().ok());
    match (digest, signed) {
        (Some(digest), _) if ed25519ph::is_by(bits, digest, signature) => Ok(Scheme::Ed25519ph),
        (_, Signed::Bytes(_)) => Err(Unfitting::Another),
        (Some(_), Signed::Digest(_)) => {
            Err(Unfitting::Unsupported("an Ed25519 key, no Ed25519ph signature, and no more than a digest"))
        }
        (None, Signed::Digest(_)) => Err(Unfitting::Unsupported(
            "an Ed25519 key and no more than a digest of another kind than SHA-512",
        )),
    }
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
        match (signed, self.scheme) {
            (Signed::Bytes(bytes), Scheme::Known(scheme)) => once::fits(scheme, bits, bytes, signature),
            (Signed::Bytes(bytes), _) => key.verify(bytes, signature).is_ok(),
            (Signed::Digest(digest), Scheme::Known(scheme)) => {
                once::fits_digest(scheme, bits, digest.bytes(), signature)
            }
            (Signed::Digest(digest), _) => Hash::import_less_safe(digest.bytes(), self.hash)
                .is_ok_and(|hash| key.verify_digest(&hash, signature).is_ok()),
        }
    }
}

/// The pure forms of ML-DSA (FIPS 204), by the names of their keys (RFC 9881, section 2).
const ML_DSA: [(&str, SigningScheme); 3] = [
    ("2.16.840.1.101.3.4.3.17", SigningScheme::MlDsa44),
    ("2.16.840.1.101.3.4.3.18", SigningScheme::MlDsa65),
    ("2.16.840.1.101.3.4.3.19", SigningScheme::MlDsa87),
];

const P256: &[Known] = &[
    Known::new(Scheme::Known(SigningScheme::EcdsaP256Sha256), &digest::SHA256, &lc::ECDSA_P256_SHA256_ASN1),
    Known::new(Scheme::Known(SigningScheme::EcdsaP256Sha384), &digest::SHA384, &lc::ECDSA_P256_SHA384_ASN1),
];

const P384: &[Known] = &[
    Known::new(Scheme::Known(SigningScheme::EcdsaP384Sha384), &digest::SHA384, &lc::ECDSA_P384_SHA384_ASN1),
    Known::new(Scheme::Known(SigningScheme::EcdsaP384Sha256), &digest::SHA256, &lc::ECDSA_P384_SHA256_ASN1),
];

const P521: &[Known] = &[
    Known::new(Scheme::EcdsaP521Sha512, &digest::SHA512, &lc::ECDSA_P521_SHA512_ASN1),
    Known::new(Scheme::EcdsaP521Sha384, &digest::SHA384, &lc::ECDSA_P521_SHA384_ASN1),
    Known::new(Scheme::EcdsaP521Sha256, &digest::SHA256, &lc::ECDSA_P521_SHA256_ASN1),
];

const RSA: &[Known] = &[
    Known::new(
        Scheme::Known(SigningScheme::RsaPkcs1Sha256),
        &digest::SHA256,
        &lc::RSA_PKCS1_2048_8192_SHA256,
    ),
    Known::new(
        Scheme::Known(SigningScheme::RsaPkcs1Sha384),
        &digest::SHA384,
        &lc::RSA_PKCS1_2048_8192_SHA384,
    ),
    Known::new(
        Scheme::Known(SigningScheme::RsaPkcs1Sha512),
        &digest::SHA512,
        &lc::RSA_PKCS1_2048_8192_SHA512,
    ),
    Known::new(Scheme::Known(SigningScheme::RsaPssSha256), &digest::SHA256, &lc::RSA_PSS_2048_8192_SHA256),
    Known::new(Scheme::Known(SigningScheme::RsaPssSha384), &digest::SHA384, &lc::RSA_PSS_2048_8192_SHA384),
    Known::new(Scheme::Known(SigningScheme::RsaPssSha512), &digest::SHA512, &lc::RSA_PSS_2048_8192_SHA512),
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
            (&lc::ECDSA_P256_SHA256_ASN1_SIGNING, Scheme::Known(SigningScheme::EcdsaP256Sha256), sha256),
            (&lc::ECDSA_P384_SHA384_ASN1_SIGNING, Scheme::Known(SigningScheme::EcdsaP384Sha384), None),
            (&lc::ECDSA_P521_SHA256_ASN1_SIGNING, Scheme::EcdsaP521Sha256, sha256),
            (&lc::ECDSA_P521_SHA384_ASN1_SIGNING, Scheme::EcdsaP521Sha384, None),
            (&lc::ECDSA_P521_SHA512_ASN1_SIGNING, Scheme::EcdsaP521Sha512, sha512),
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
            check(&key, &signature, Scheme::Known(scheme), digest);
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
            check(&key, &signature, Scheme::Known(scheme), digest);
        }
    }

    #[test]
    fn ed25519_needs_the_message_and_says_so() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let (key, signature) = (der(pair.public_key()), pair.sign(MESSAGE));
        let signature = signature.as_ref();
        let fitting = scheme_of(&key, signature, Signed::Bytes(MESSAGE));
        assert_eq!(fitting, Ok(Scheme::Known(SigningScheme::Ed25519)));
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
