//! What a log entry's body says was signed, by whom and by which scheme (sigstore/rekor, pkg/types; sigstore/rekor-tiles,
//! api/proto/rekor/v2), and that it is about this very signature (CVE-2022-36056).

use correlator_core::facts::{Refusal, RefusalReason};
use serde::Deserialize;
use sigstore_verify::crypto::SigningScheme;
use sigstore_verify::rekor::body::{
    DsseV001Body, HashValue, HashedRekordV001Body, IntotoV002Body, RekorEntryBody,
};
use sigstore_verify::types::{
    DsseEnvelope, HashAlgorithm, KindVersion, SignatureContent, TransparencyLogEntry,
};

use crate::envelope::decode;
use crate::given::Signature;
use crate::refusal::{Failed, Step, malformed, not_json, refusal, unsupported};
use crate::scheme::Scheme;
use crate::signature::{Signed, rsa_bits};
use crate::{certificate, pem, strict_json};

/// A signature that verified, as each of its log entries must describe it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Described<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) signature: &'a [u8],
    pub(crate) signed: Signed<'a>,
    /// The envelope, where that is what is signed.
    pub(crate) envelope: Option<&'a DsseEnvelope>,
    /// The signer's certificate in DER, where there is one.
    pub(crate) certificate: Option<&'a [u8]>,
    /// The signer's key (SubjectPublicKeyInfo in DER).
    pub(crate) key: &'a [u8],
}

/// What the body of an entry calls its kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kind {
    pub(crate) kind: String,
    pub(crate) api_version: String,
}

impl Kind {
    pub(crate) fn read(body: &[u8]) -> Result<Kind, Refusal> {
        strict_json::read(body).map_err(|error| not_json("a log entry's body", error))
    }
}

/// Whether the verifying crate has words for the scheme and the hash that an entry names.
pub(crate) fn is_known(entry: &TransparencyLogEntry, scheme: Scheme) -> bool {
    let body = RekorEntryBody::parse(&entry.canonicalized_body, entry.kind_version);
    let is_sha256 = |logged: HashAlgorithm| {
        logged == HashAlgorithm::Sha2256 && scheme.hash() == Some(HashAlgorithm::Sha2256)
    };
    body.is_ok_and(|body| match body {
        RekorEntryBody::HashedRekordV001(body) => is_sha256(body.spec.data.hash.algorithm),
        // It reads the key details of this one scheme, and compares them with nothing.
        RekorEntryBody::HashedRekordV002(body) => {
            scheme == Scheme::Known(SigningScheme::EcdsaP256Sha256)
                && is_sha256(body.spec.hashed_rekord_v002.data.algorithm)
        }
        _ => true,
    })
}

/// \[4.4\] The body of each entry is of the kind that the entry says, and about this certificate or key, signature and
/// content, by this scheme (CVE-2022-36056). Of bundles that the verifying crate verified too: it reads no kind in a body,
/// and of the certificate in an `intoto` entry the key alone.
pub(crate) fn check_all(signature: &Signature<'_>, certificate: Option<&[u8]>) -> Result<(), Failed> {
    let bundle = signature.given.bundle();
    let entries = &bundle.verification_material.tlog_entries;
    if entries.is_empty() {
        return Ok(());
    }
    let scheme = signature.fitted()?;
    let envelope = match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => Some(envelope),
        _ => None,
    };
    let described = Described {
        scheme,
        signature: signature.given.bytes,
        signed: signature.given.signed,
        envelope,
        certificate,
        key: signature.key,
    };
    for entry in entries {
        check(entry, &described).map_err(|refused| Failed::at(Step::Binding, refused))?;
    }
    Ok(())
}

/// Checks that the entry's body is of the kind that the entry says, and about this signature in every part.
pub(crate) fn check(entry: &TransparencyLogEntry, described: &Described<'_>) -> Result<(), Refusal> {
    let bytes = entry.canonicalized_body.as_bytes();
    let body = Kind::read(bytes)?;
    let (kind, version) = (entry.kind_version.kind(), entry.kind_version.version());
    same("kind", format!("{kind}/{version}"), format!("{}/{}", body.kind, body.api_version))?;
    let read = |error: serde_json::Error| malformed(format!("a body of {kind}/{version}"), error.to_string());
    match (entry.kind_version, described.envelope) {
        (KindVersion::HashedRekordV001, None) => {
            check_hashed(&serde_json::from_slice(bytes).map_err(read)?, described)
        }
        (KindVersion::HashedRekordV002, _) => {
            check_hashed_2(&serde_json::from_slice(bytes).map_err(read)?, described)
        }
        (KindVersion::DsseV001, Some(envelope)) => {
            check_dsse(&serde_json::from_slice(bytes).map_err(read)?, envelope, described)
        }
        (KindVersion::IntotoV002, Some(envelope)) => {
            check_intoto(&serde_json::from_slice(bytes).map_err(read)?, envelope, described)
        }
        (_, None) => Err(unsupported("a log entry about a digest", format!("{kind}/{version}"))),
        (_, Some(_)) => Err(unsupported("a log entry about an envelope", format!("{kind}/{version}"))),
    }
}

fn check_hashed(body: &HashedRekordV001Body, described: &Described<'_>) -> Result<(), Refusal> {
    let hash = &body.spec.data.hash;
    check_digest(hash.algorithm, &hex_of(hash)?, described)?;
    let logged = &body.spec.signature;
    check_signature(logged.content.as_bytes(), described)?;
    check_verifier(logged.public_key.content.as_bytes(), described)
}

fn check_hashed_2(body: &Body2, described: &Described<'_>) -> Result<(), Refusal> {
    let Record2 { data, signature } = &body.spec.hashed_rekord_v002;
    let algorithm = [HashAlgorithm::Sha2256, HashAlgorithm::Sha2384, HashAlgorithm::Sha2512]
        .into_iter()
        .find(|algorithm| name_2(*algorithm) == data.algorithm)
        .ok_or_else(|| unsupported("a digest of SHA2_256, SHA2_384 or SHA2_512", &data.algorithm))?;
    check_digest(algorithm, &decode("the log entry's digest", &data.digest)?, described)?;
    let details = described.scheme.key_details(rsa_bits(described.key));
    let expected = details.unwrap_or_else(|| format!("key details of {}", described.scheme.name()));
    same("scheme", expected, signature.verifier.key_details.clone())?;
    check_signature(&decode("the log entry's signature", &signature.content)?, described)?;
    let Verifier2 { x509_certificate, public_key, .. } = &signature.verifier;
    match (x509_certificate, public_key, described.certificate) {
        (Some(logged), None, Some(certificate)) => {
            same_bytes("certificate", certificate, &decode("the log entry's certificate", &logged.raw_bytes)?)
        }
        (None, Some(logged), None) => {
            same_bytes("key", described.key, &decode("the log entry's key", &logged.raw_bytes)?)
        }
        _ => Err(mismatch("signer", "the signer's certificate or key", "another kind, or both")),
    }
}

/// A `dsse` entry repeats the hash of the envelope as it was sent, which nobody can make again from the parts.
fn check_dsse(
    body: &DsseV001Body,
    envelope: &DsseEnvelope,
    described: &Described<'_>,
) -> Result<(), Refusal> {
    let hash = &body.spec.payload_hash;
    let value = hex::decode(&hash.value)
        .map_err(|error| malformed("a payload's hash in hexadecimal", error.to_string()))?;
    check_payload(hash.algorithm, &value, envelope, described)?;
    let [logged] = body.spec.signatures.as_slice() else {
        return Err(mismatch("signature", "one", &format!("{} of them", body.spec.signatures.len())));
    };
    check_signature(logged.signature.as_bytes(), described)?;
    check_verifier(logged.verifier.as_bytes(), described)
}

/// An `intoto` entry holds the signature in base64 once more.
fn check_intoto(
    body: &IntotoV002Body,
    envelope: &DsseEnvelope,
    described: &Described<'_>,
) -> Result<(), Refusal> {
    let content = &body.spec.content;
    check_payload(content.payload_hash.algorithm, &hex_of(&content.payload_hash)?, envelope, described)?;
    same("payload type", envelope.payload_type.clone(), content.envelope.payload_type.clone())?;
    let [logged] = content.envelope.signatures.as_slice() else {
        return Err(mismatch("signature", "one", &format!("{} of them", content.envelope.signatures.len())));
    };
    let signature = std::str::from_utf8(logged.sig.as_bytes())
        .map_err(|error| malformed("a signature in base64", error.to_string()))?;
    check_signature(&decode("the log entry's signature", signature)?, described)?;
    check_verifier(logged.public_key.as_bytes(), described)
}

/// The digest that was signed, under the scheme's own hash: a log cannot verify a signature over the message itself with no
/// more than a digest (client specification, 4.4), so no such entry is of a log.
fn check_digest(algorithm: HashAlgorithm, digest: &[u8], described: &Described<'_>) -> Result<(), Refusal> {
    let Some(hash) = described.scheme.hash() else {
        return Err(mismatch("scheme", "a signature over a digest", described.scheme.name()));
    };
    same("hash", name_2(hash).to_owned(), name_2(algorithm).to_owned())?;
    let Some(signed) = described.signed.digest(hash) else {
        return Err(unsupported(format!("the {} digest of what is signed", name_2(hash)), "another digest"));
    };
    same_bytes("digest", &signed, digest)
}

/// Logs verify the envelopes of entries that are no `hashedrekord` by plain Ed25519, where the key is one.
pub(crate) fn check_envelope_scheme(scheme: Scheme) -> Result<(), Refusal> {
    match scheme {
        Scheme::Ed25519ph => Err(mismatch("scheme", SigningScheme::Ed25519.name(), scheme.name())),
        _ => Ok(()),
    }
}

fn check_payload(
    algorithm: HashAlgorithm,
    digest: &[u8],
    envelope: &DsseEnvelope,
    described: &Described<'_>,
) -> Result<(), Refusal> {
    check_envelope_scheme(described.scheme)?;
    if algorithm != HashAlgorithm::Sha2256 {
        return Err(unsupported("a payload's hash of SHA2_256", name_2(algorithm)));
    }
    let payload = bus_schema::Digest::sha256_of(envelope.payload.as_bytes());
    same_bytes("payload", payload.bytes(), digest)
}

fn check_signature(logged: &[u8], described: &Described<'_>) -> Result<(), Refusal> {
    same_bytes("signature", described.signature, logged)
}

/// The signer's certificate, or the key of the contracts, as PEM. Entries about a key may hold a certificate of it.
fn check_verifier(logged: &[u8], described: &Described<'_>) -> Result<(), Refusal> {
    let text = std::str::from_utf8(logged)
        .map_err(|error| malformed("a log entry's signer in PEM", error.to_string()))?;
    let block = |label| pem::blocks(text, label, 1).ok().and_then(|blocks| blocks.into_iter().next());
    match (block("CERTIFICATE"), described.certificate) {
        (Some(logged), Some(certificate)) => same_bytes("certificate", certificate, &logged),
        (Some(logged), None) => {
            same_bytes("key", described.key, &certificate::key_of(&logged).unwrap_or_default())
        }
        (None, None) => same_bytes("key", described.key, &block("PUBLIC KEY").unwrap_or_default()),
        (None, Some(_)) => Err(mismatch("certificate", "the signer's certificate", "none")),
    }
}

fn hex_of(hash: &HashValue) -> Result<Vec<u8>, Refusal> {
    hash.value.decode().map_err(|error| malformed("a hash in hexadecimal", error.to_string()))
}

/// The names of sigstore/protobuf-specs, `HashAlgorithm`.
fn name_2(algorithm: HashAlgorithm) -> &'static str {
    match algorithm {
        HashAlgorithm::Sha2256 => "SHA2_256",
        HashAlgorithm::Sha2384 => "SHA2_384",
        HashAlgorithm::Sha2512 => "SHA2_512",
        _ => "another hash",
    }
}

fn same(what: &str, expected: String, found: String) -> Result<(), Refusal> {
    if expected == found { Ok(()) } else { Err(mismatch(what, &expected, &found)) }
}

fn same_bytes(what: &str, expected: &[u8], found: &[u8]) -> Result<(), Refusal> {
    /// How much of what differs is shown, in bytes.
    const SHOWN_BYTES: usize = 64;
    let shown = |bytes: &[u8]| hex::encode(&bytes[..bytes.len().min(SHOWN_BYTES)]);
    if expected == found { Ok(()) } else { Err(mismatch(what, &shown(expected), &shown(found))) }
}

fn mismatch(what: &str, expected: &str, found: &str) -> Refusal {
    refusal(RefusalReason::BadLogEntry, format!("a log entry about this {what}: {expected}"), found)
}

#[derive(Deserialize)]
struct Body2 {
    spec: Spec2,
}

#[derive(Deserialize)]
struct Spec2 {
    #[serde(rename = "hashedRekordV002")]
    hashed_rekord_v002: Record2,
}

#[derive(Deserialize)]
struct Record2 {
    data: Data2,
    signature: Signature2,
}

#[derive(Deserialize)]
struct Data2 {
    algorithm: String,
    digest: String,
}

#[derive(Deserialize)]
struct Signature2 {
    content: String,
    verifier: Verifier2,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verifier2 {
    key_details: String,
    x509_certificate: Option<Raw2>,
    public_key: Option<Raw2>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw2 {
    raw_bytes: String,
}
