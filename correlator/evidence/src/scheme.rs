//! Signature schemes: a kind of key, its form or padding, and the hash (sigstore/architecture-docs, algorithm-registry.md).

use sigstore_verify::crypto::SigningScheme;
use sigstore_verify::types::HashAlgorithm;

/// A scheme by which something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// One that the verifying crate has a word for.
    Known(SigningScheme),
    EcdsaP521Sha256,
    EcdsaP521Sha384,
    EcdsaP521Sha512,
    /// Ed25519 over a message's SHA-512 (RFC 8032, section 5.1).
    Ed25519ph,
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scheme::Known(scheme) => scheme.name(),
            Scheme::EcdsaP521Sha256 => "ECDSA_P521_SHA256",
            Scheme::EcdsaP521Sha384 => "ECDSA_P521_SHA384",
            Scheme::EcdsaP521Sha512 => "ECDSA_P521_SHA512",
            Scheme::Ed25519ph => "ED25519_PH",
        }
    }

    /// The hash whose digest is what is signed. `None` where the message itself is signed.
    pub(crate) fn hash(self) -> Option<HashAlgorithm> {
        match self {
            Scheme::Known(scheme) => scheme.hash_algorithm(),
            Scheme::EcdsaP521Sha256 => Some(HashAlgorithm::Sha2256),
            Scheme::EcdsaP521Sha384 => Some(HashAlgorithm::Sha2384),
            Scheme::EcdsaP521Sha512 | Scheme::Ed25519ph => Some(HashAlgorithm::Sha2512),
        }
    }

    /// What the registry calls the scheme with an RSA key of this many bits, or with another key (sigstore/protobuf-specs,
    /// sigstore_common.proto, `PublicKeyDetails`). `None` for what is not in the registry.
    pub(crate) fn key_details(self, rsa_bits: usize) -> Option<String> {
        let details = match self {
            Scheme::Known(SigningScheme::EcdsaP256Sha256) => "PKIX_ECDSA_P256_SHA_256",
            Scheme::Known(SigningScheme::EcdsaP384Sha384) => "PKIX_ECDSA_P384_SHA_384",
            Scheme::Known(SigningScheme::EcdsaP384Sha256) => "PKIX_ECDSA_P384_SHA_256",
            Scheme::EcdsaP521Sha512 => "PKIX_ECDSA_P521_SHA_512",
            Scheme::EcdsaP521Sha256 => "PKIX_ECDSA_P521_SHA_256",
            Scheme::Known(SigningScheme::Ed25519) => "PKIX_ED25519",
            Scheme::Ed25519ph => "PKIX_ED25519_PH",
            Scheme::Known(SigningScheme::RsaPkcs1Sha256) => return rsa("PKCS1V15", rsa_bits),
            Scheme::Known(SigningScheme::RsaPssSha256) => return rsa("PSS", rsa_bits),
            _ => return None,
        };
        Some(details.to_owned())
    }
}

fn rsa(padding: &str, bits: usize) -> Option<String> {
    const BITS: [usize; 3] = [2048, 3072, 4096];
    BITS.contains(&bits).then(|| format!("PKIX_RSA_{padding}_{bits}_SHA256"))
}
