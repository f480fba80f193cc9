//! The names by which signatures call their key: hints of bundles, key ids of envelopes.
//!
//! A name proves nothing. It selects which configured keys are tried, and must be true: the fingerprint of the key in one
//! of the forms that signers write, or the key's name in the contracts. No name leaves every key possible.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::Digest as _;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{AnyRef, SequenceOf};
use x509_cert::der::pem::{self, LineEnding};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::cloud_build;
use crate::envelope::BASE64;
use crate::trust::TrustedKey;

/// The keys that a signature may be by, from all names it carries.
pub(crate) fn candidates<'a>(called: &[&str], keys: &'a [TrustedKey]) -> Vec<&'a TrustedKey> {
    let names_of_it: Vec<&str> = called.iter().copied().filter(|name| !name.is_empty()).collect();
    let may_mean = |key: &TrustedKey| match key.id() {
        // Google's keys sign its own format only.
        Some(id) if cloud_build::is_key_id(id) => false,
        // Its signer writes this id, so that what does not carry it is not by the key.
        Some(id) => !names_of_it.is_empty() && names_of_it.iter().all(|name| *name == id),
        None => names_of_it.iter().all(|name| *name == key.name() || names(name, key.der().as_bytes())),
    };
    keys.iter().filter(|key| may_mean(key)).collect()
}

/// The first of the names that no key answers to.
pub(crate) fn unanswered<'a>(called: &[&'a str], keys: &[TrustedKey]) -> Option<&'a str> {
    let mut given = called.iter().copied().filter(|name| !name.is_empty());
    given.find(|name| candidates(&[name], keys).is_empty())
}

/// Whether a name is a fingerprint of this key (SubjectPublicKeyInfo in DER): of these bytes, of their PEM (model-signing),
/// or of the key as OpenSSH writes it.
pub(crate) fn names(name: &str, spki: &[u8]) -> bool {
    let of_spki: [u8; 32] = sha2::Sha256::digest(spki).into();
    let of_pem = || {
        let text = pem::encode_string("PUBLIC KEY", LineEnding::LF, spki).ok();
        text.map(|text| <[u8; 32]>::from(sha2::Sha256::digest(text)))
    };
    let of_ssh = || ssh_blob(spki).map(|blob| <[u8; 32]>::from(sha2::Sha256::digest(blob)));
    fingerprint_in(name).is_some_and(|hash| hash == of_spki || [of_pem(), of_ssh()].contains(&Some(hash)))
}

/// A SHA-256 in the forms that signers use: base64 (cosign), `SHA256:` and base64 (npm, Tekton Chains), hexadecimal
/// (model-signing).
fn fingerprint_in(name: &str) -> Option<[u8; 32]> {
    if let Ok(bytes) = hex::decode(name)
        && let Ok(hash) = bytes.try_into()
    {
        return Some(hash);
    }
    let encoded = name.strip_prefix("SHA256:").unwrap_or(name);
    BASE64.decode(encoded).ok()?.try_into().ok()
}

/// The key as OpenSSH writes it (RFC 4253, section 6.6; RFC 5656, section 3.1; RFC 8709, section 4), of which some
/// signers take the fingerprint.
fn ssh_blob(spki: &[u8]) -> Option<Vec<u8>> {
    let spki = SubjectPublicKeyInfoRef::try_from(spki).ok()?;
    let key = spki.subject_public_key.as_bytes()?;
    let curve = |name: &str| ssh_strings(&[format!("ecdsa-sha2-{name}").as_bytes(), name.as_bytes(), key]);
    match spki.algorithm.oid.to_string().as_str() {
        "1.2.840.10045.2.1" => match spki.algorithm.parameters_oid().ok()?.to_string().as_str() {
            "1.2.840.10045.3.1.7" => Some(curve("nistp256")),
            "1.3.132.0.34" => Some(curve("nistp384")),
            "1.3.132.0.35" => Some(curve("nistp521")),
            _ => None,
        },
        "1.3.101.112" => Some(ssh_strings(&[b"ssh-ed25519", key])),
        "1.2.840.113549.1.1.1" => {
            // RSAPublicKey (RFC 8017, appendix A.1.1): modulus and exponent, as integers the same in DER and in SSH.
            let numbers = SequenceOf::<AnyRef<'_>, 2>::from_der(key).ok()?;
            Some(ssh_strings(&[b"ssh-rsa", numbers.get(1)?.value(), numbers.get(0)?.value()]))
        }
        _ => None,
    }
}

fn ssh_strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut blob = Vec::new();
    for part in parts {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        blob.extend_from_slice(part);
    }
    blob
}

/// What a signature must call a key: the id of the contracts, else what cosign writes, base64 of the SHA-256 of its
/// SubjectPublicKeyInfo.
pub(crate) fn shown(key: &TrustedKey) -> String {
    key.id().map_or_else(|| STANDARD_NO_PAD.encode(key.fingerprint().bytes()), str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// `ssh-keygen -l` over keys made by `ssh-keygen`, beside the same keys as SubjectPublicKeyInfo.
    #[test]
    fn fingerprints_of_openssh_name_the_same_key() {
        for (spki, fingerprint) in [
            (P256, "SHA256:O2nVUMeVsvLYxSu2CLgFzUtulB0PtcCQcBn2nDwyOws"),
            (ED25519, "SHA256:6sQlsYWe1iSseGdyAl0YdfCn7qjd4IDyC3kZrzf1Y6M"),
            (RSA, "SHA256:qkqIjUkRgpWWm+NRe3EpyCkz3iHti2INIT2RLxsFhBw"),
        ] {
            let spki = BASE64.decode(spki).unwrap();
            assert!(names(fingerprint, &spki), "{fingerprint}");
            assert!(!names(&fingerprint.replacen(':', ":A", 1), &spki));
        }
    }

    /// `openssl pkey -pubin -inform DER | sha256sum` over the same keys.
    #[test]
    fn hashes_of_the_pem_text_name_the_key() {
        for (spki, hash) in [
            (P256, "af6c1887315a0e6064daf2fd7313ba704ad0e3e3bb906ee52fb2d109e1ab598a"),
            (ED25519, "438e43b84499e6b1e35198adea31a207bbf6cb7cf9e5b117bf8da547824fbd18"),
            (RSA, "8e5daff147cdcced7fb9933ce4620fb8d3b2f2cb975117c4cb3ecf2e28a1319b"),
        ] {
            let spki = BASE64.decode(spki).unwrap();
            assert!(names(hash, &spki), "{hash}");
            assert!(!names(&hash.replacen(|digit| digit != '0', "0", 1), &spki));
        }
    }

    const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQofC046697DwMQAOfxcgLqqVfwffYdNs+fMT6qqUpG2odvKeIljuIasoY1wOM/h0jXFAp++lmLshuGMbHp/02Q==";
    const ED25519: &str = "MCowBQYDK2VwAyEAKsIt02rvHe0FQvIP1dvmoAi/AuX1xcZHjMldK9Hm0bg=";
    const RSA: &str = "\
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAoB0V9/jAUk5DuO6Rsdg9o3Sye1tpClDAitVnKxmxARIfsebndi6VPJt9\
        nLX/WbN0T9MPRpIr0rQqP7Chj84tdhSbTNAjdYNRxqQLJo9IxebVq/bGoHkNtvO/b5K2iFzjosQoC/vgErvAXO3yzO9MSoI0qujI\
        Ok/Td4GxZVXxMCOiyoO5g8JyqtIIAI1s/2LnbeCPCqvTYEqj0EYPpKWlpexQJvgx0uUbavPnh7zWDoR7WLZnPjWr6roRNAZT3tf5\
        Mh/vS05eN3w7Y4caYUbTP0QSkCf+QEfhDjDzxQ9W4c//FkuznJcR5GFa89zfNrGqNT5bqlJTF3iVw+crLeSu6QIDAQAB";
}
