//! cosign's older formats: a layer with its signature, certificate and log entry in annotations (sigstore/cosign,
//! specs/SIGNATURE_SPEC.md), put into the shape of a bundle, so that one core verifies all.

use std::collections::BTreeMap;

use bus_schema::Digest;
use correlator_core::facts::{Refusal, RefusalReason};
use serde::Deserialize;
use sigstore_verify::rekor::body::RekorEntryBody;
use sigstore_verify::types::{
    Bundle, CanonicalizedBody, DerCertificate, DigestBytes, HashAlgorithm, InclusionPromise, KindVersion,
    LogId, LogIndex, LogKeyId, MediaType, MessageDigest, MessageSignature, PublicKeyIdentifier,
    Rfc3161Timestamp, SignatureBytes, SignatureContent, SignedTimestamp, TimestampToken,
    TimestampVerificationData, TransparencyLogEntry, VerificationMaterial, VerificationMaterialContent,
    X509Certificate,
};

use crate::bounds::CERTIFICATES_MAX;
use crate::bundle::UnverifiedBundle;
use crate::envelope::{Envelope, decode};
use crate::logged_body::Kind;
use crate::older_entry::OlderEntry;
use crate::refusal::{malformed, not_json, refusal, unsupported};
use crate::{older_entry, pem, strict_json, timestamps};

/// The layer of an image signature.
pub(crate) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The layer of an attestation.
pub(crate) const DSSE_ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// A signature over a file, in base64: what `cosign sign-blob` writes, with certificate and log entry as annotations. cosign has
/// no media type for it; this is the program's own.
pub const BLOB_SIGNATURE: &str = "application/vnd.custody.cosign.blob-signature";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

type Annotations = BTreeMap<String, String>;

/// The bundle that a simple-signing layer and its annotations amount to.
pub(crate) fn bundle_of_signature(
    layer: &[u8],
    annotations: &Annotations,
) -> Result<UnverifiedBundle, Refusal> {
    let Some(signature) = text(annotations, SIGNATURE) else {
        return Err(refusal(
            RefusalReason::Unsigned,
            format!("a signature in the annotation {SIGNATURE}"),
            "none",
        ));
    };
    let digest = Digest::sha256_of(layer);
    let message = MessageSignature::new(SignatureBytes::new(decode("the signature", signature)?))
        .with_message_digest(MessageDigest::new(HashAlgorithm::Sha2256, DigestBytes::from(digest.bytes())));
    let certificates = certificates(text(annotations, CERTIFICATE), text(annotations, CHAIN))?;
    assemble(layer, certificates, annotations, SignatureContent::MessageSignature(message), None)
}

/// The bundle that a signature over a file and its annotations amount to. What it is over, only a log entry says.
pub(crate) fn bundle_of_blob_signature(
    signature: &[u8],
    annotations: &Annotations,
) -> Result<UnverifiedBundle, Refusal> {
    let text_of = std::str::from_utf8(signature)
        .map_err(|error| malformed("the signature in base64", error.to_string()))?;
    let message = MessageSignature::new(SignatureBytes::new(decode("the signature", text_of.trim())?));
    let certificates = certificates(text(annotations, CERTIFICATE), text(annotations, CHAIN))?;
    let content = SignatureContent::MessageSignature(message.clone());
    let mut unverified = assemble(signature, certificates, annotations, content, None)?;
    let entry = unverified.bundle.verification_material.tlog_entries.first();
    if let Some(digest) = entry.map(logged_digest).transpose()?.flatten() {
        let message = message.with_message_digest(digest);
        unverified.bundle.content = SignatureContent::MessageSignature(message);
    }
    Ok(unverified)
}

/// The bundle that an attestation layer and its annotations amount to.
pub(crate) fn bundle_of_envelope(
    layer: &[u8],
    annotations: &Annotations,
) -> Result<UnverifiedBundle, Refusal> {
    let envelope = Envelope::from_json(layer)?;
    let certificate = text(annotations, CERTIFICATE).or(envelope.certificate.as_deref());
    let certificates = certificates(certificate, text(annotations, CHAIN))?;
    let content = SignatureContent::DsseEnvelope(envelope.to_sigstore());
    let bundle = assemble(layer, certificates, annotations, content, Some(envelope))?;
    // Until 2025 cosign had the layer as a whole dated, and verifies it so (sigstore/cosign, pkg/cosign/verify.go,
    // `VerifyRFC3161Timestamp`); since then the envelope's signature. The layer holds the signature, so either dates it.
    let stamped = timestamps::are_over(&bundle.bundle, layer).then(|| layer.to_vec());
    Ok(UnverifiedBundle { stamped, ..bundle })
}

fn assemble(
    layer: &[u8],
    certificates: Vec<X509Certificate>,
    annotations: &Annotations,
    content: SignatureContent,
    envelope: Option<Envelope>,
) -> Result<UnverifiedBundle, Refusal> {
    let signer = if certificates.is_empty() {
        VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new(""))
    } else {
        VerificationMaterialContent::X509CertificateChain { certificates }
    };
    let mut entries: Vec<TransparencyLogEntry> = Vec::new();
    let mut older_entry = None;
    if let Some(annotation) = text(annotations, LOG_ENTRY) {
        match log_entry(annotation, layer)? {
            LogEntry::Known(entry) => entries.push(entry),
            LogEntry::Older(entry) => older_entry = Some(entry),
        }
    }
    // Version 0.1 is the one whose proof is a promise alone; without an entry the version must not ask for one.
    let version = if entries.is_empty() { MediaType::Bundle0_2 } else { MediaType::Bundle0_1 };
    let mut timestamps = TimestampVerificationData::default();
    if let Some(response) = text(annotations, TIMESTAMP) {
        timestamps.rfc3161_timestamps.push(timestamp(response)?);
    }
    let material = VerificationMaterial::new(signer)
        .with_tlog_entries(entries)
        .with_timestamp_verification_data(timestamps);
    let bundle = UnverifiedBundle::of(Bundle::new(version, material, content), envelope)?;
    Ok(UnverifiedBundle { older_entry, ..bundle })
}

/// An annotation that says something. cosign writes empty ones beside envelopes.
fn text<'a>(annotations: &'a Annotations, key: &str) -> Option<&'a str> {
    annotations.get(key).map(String::as_str).filter(|text| !text.is_empty() && *text != "null")
}

fn certificates(leaf: Option<&str>, chain: Option<&str>) -> Result<Vec<X509Certificate>, Refusal> {
    let Some(leaf) = leaf else {
        return Ok(Vec::new());
    };
    let bad = |error: pem::PemError| {
        refusal(RefusalReason::BadCertificate, "certificates in PEM", error.to_string())
    };
    let mut found = pem::blocks(leaf, "CERTIFICATE", 1).map_err(bad)?;
    if let Some(chain) = chain {
        found.extend(pem::blocks(chain, "CERTIFICATE", CERTIFICATES_MAX).map_err(bad)?);
    }
    Ok(found.into_iter().map(|der| X509Certificate::new(DerCertificate::new(der))).collect())
}

#[derive(Deserialize)]
struct WireLogEntry {
    #[serde(rename = "SignedEntryTimestamp")]
    promise: String,
    #[serde(rename = "Payload")]
    payload: WirePayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// The digest in a log entry for a signature over one (`hashedrekord`): SHA-256 is what cosign signs blobs by.
fn logged_digest(entry: &TransparencyLogEntry) -> Result<Option<MessageDigest>, Refusal> {
    if entry.kind_version != KindVersion::HashedRekordV001 {
        return Ok(None);
    }
    let body = RekorEntryBody::parse(&entry.canonicalized_body, entry.kind_version)
        .map_err(|error| malformed("a log entry's body", error.to_string()))?;
    let RekorEntryBody::HashedRekordV001(body) = body else { return Ok(None) };
    let hash = &body.spec.data.hash;
    match Digest::from_parts(hash.algorithm.as_rekor_str(), hash.value.as_str()) {
        Ok(Digest::Sha256(digest)) => {
            Ok(Some(MessageDigest::new(HashAlgorithm::Sha2256, DigestBytes::from(digest.as_slice()))))
        }
        _ => Ok(None),
    }
}

enum LogEntry {
    Known(TransparencyLogEntry),
    Older(OlderEntry),
}

fn log_entry(annotation: &str, layer: &[u8]) -> Result<LogEntry, Refusal> {
    let wire: WireLogEntry =
        strict_json::read(annotation.as_bytes()).map_err(|error| not_json("a log entry", error))?;
    let body = decode("the log entry's body", &wire.payload.body)?;
    let log_id = hex::decode(&wire.payload.log_id)
        .map_err(|error| malformed("a log id in hexadecimal", error.to_string()))?;
    let index = LogIndex::try_from(wire.payload.log_index)
        .map_err(|error| malformed("a log index", error.to_string()))?;
    let time = jiff::Timestamp::from_second(wire.payload.integrated_time)
        .map_err(|error| malformed("a log time", error.to_string()))?;
    let promise = decode("the log's promise", &wire.promise)?;
    let Some(kind) = kind(&body)? else {
        return Ok(LogEntry::Older(OlderEntry {
            body,
            integrated_time: time,
            log_index: wire.payload.log_index,
            log_id,
            promise,
            envelope: Digest::sha256_of(layer),
        }));
    };
    let log_id = LogId::new(LogKeyId::new(log_id));
    let entry = TransparencyLogEntry::new(index, log_id, kind, CanonicalizedBody::new(body))
        .with_integrated_time(time)
        .with_inclusion_promise(InclusionPromise::new(SignedTimestamp::new(promise)));
    Ok(LogEntry::Known(entry))
}

/// `None` for the kinds that bundles cannot hold.
fn kind(body: &[u8]) -> Result<Option<KindVersion>, Refusal> {
    let Kind { kind, api_version } = Kind::read(body)?;
    match (kind.as_str(), api_version.as_str()) {
        ("hashedrekord", "0.0.1") => Ok(Some(KindVersion::HashedRekordV001)),
        ("dsse", "0.0.1") => Ok(Some(KindVersion::DsseV001)),
        ("intoto", "0.0.2") => Ok(Some(KindVersion::IntotoV002)),
        older_entry::INTOTO | older_entry::REKORD => Ok(None),
        (kind, version) => Err(unsupported("a log entry of a known kind", format!("{kind}/{version}"))),
    }
}

#[derive(Deserialize)]
struct WireTimestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed: String,
}

fn timestamp(annotation: &str) -> Result<Rfc3161Timestamp, Refusal> {
    let wire: WireTimestamp =
        strict_json::read(annotation.as_bytes()).map_err(|error| not_json("a timestamp", error))?;
    Ok(Rfc3161Timestamp::new(TimestampToken::new(decode("the timestamp", &wire.signed)?)))
}
