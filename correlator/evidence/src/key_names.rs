//! The names by which signatures call their key: hints of bundles, key ids of envelopes.
//!
//! A name proves nothing. It selects which configured keys are tried: a name in the form of a fingerprint must be that of
//! a configured key, any other text is the signer's own affair.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::Digest as _;

use crate::envelope::BASE64;
use crate::trust::TrustedKey;

/// The keys that a signature may be by, from all names it carries.
pub(crate) fn candidates<'a>(names: &[&str], keys: &'a [TrustedKey]) -> Vec<&'a TrustedKey> {
    let named = |key: &TrustedKey| names.iter().all(|name| may_name(name, key.der().as_bytes()));
    keys.iter().filter(|key| named(key)).collect()
}

/// Whether a name leaves it possible that this key (SubjectPublicKeyInfo in DER) is meant.
pub(crate) fn may_name(name: &str, spki: &[u8]) -> bool {
    let Some(hash) = fingerprint_in(name) else {
        return true;
    };
    let of_spki: [u8; 32] = sha2::Sha256::digest(spki).into();
    hash == of_spki || ssh_blob(spki).is_some_and(|blob| hash == <[u8; 32]>::from(sha2::Sha256::digest(blob)))
}

/// A SHA-256 in the forms that signers use: base64 (cosign), `SHA256:` and base64 (npm, Tekton Chains), hexadecimal.
fn fingerprint_in(name: &str) -> Option<[u8; 32]> {
    if let Ok(bytes) = hex::decode(name)
        && let Ok(hash) = bytes.try_into()
    {
        return Some(hash);
    }
    let encoded = name.strip_prefix("SHA256:").unwrap_or(name);
    BASE64.decode(encoded).ok()?.try_into().ok()
}

/// The key as OpenSSH writes it (RFC 5656, section 3.1; RFC 8709, section 4), of which some signers take the fingerprint.
fn ssh_blob(spki: &[u8]) -> Option<Vec<u8>> {
    const P256_POINT_BYTES: usize = 65;
    const P384_POINT_BYTES: usize = 97;
    const P521_POINT_BYTES: usize = 133;
    const ED25519_SPKI_BYTES: usize = 44;
    let curve = |name: &str, point: usize| -> Option<Vec<u8>> {
        let point = spki.get(spki.len().checked_sub(point)?..)?;
        Some(ssh_strings(&[format!("ecdsa-sha2-{name}").as_bytes(), name.as_bytes(), point]))
    };
    match spki.len() {
        91 => curve("nistp256", P256_POINT_BYTES),
        120 => curve("nistp384", P384_POINT_BYTES),
        158 => curve("nistp521", P521_POINT_BYTES),
        ED25519_SPKI_BYTES => Some(ssh_strings(&[b"ssh-ed25519", &spki[ED25519_SPKI_BYTES - 32..]])),
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

/// The name that cosign gives a key: base64 of the SHA-256 of its SubjectPublicKeyInfo.
pub(crate) fn shown(key: &TrustedKey) -> String {
    STANDARD_NO_PAD.encode(key.fingerprint().bytes())
}
