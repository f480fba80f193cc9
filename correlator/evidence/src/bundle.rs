//! Sigstore bundles (sigstore/protobuf-specs, sigstore_bundle.proto) as they come: parsed, bounded, not verified.

use correlator_core::facts::{Refusal, RefusalReason};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sigstore_verify::types::{Bundle, MediaType, SignatureContent, VerificationMaterialContent};

use crate::bounds::{CERTIFICATE_BYTES_MAX, CERTIFICATES_MAX, LOG_ENTRIES_MAX, TIMESTAMPS_MAX};
use crate::envelope::{Envelope, WireEnvelope};
use crate::older_entry::OlderEntry;
use crate::refusal::{malformed, not_json, refusal, too_large, unsupported};
use crate::{inclusion, log_entries, strict_json};

/// What a media type of any bundle version begins with.
pub(crate) const MEDIA_TYPE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";

/// What a bundle's signature is over.
#[derive(Debug)]
pub(crate) enum Content {
    /// An artifact that lies elsewhere.
    Message,
    Envelope(Envelope),
}

/// A bundle whose shape and bounds were checked. Nothing about it is proven.
#[derive(Debug)]
pub(crate) struct UnverifiedBundle {
    pub(crate) bundle: Bundle,
    pub(crate) content: Content,
    /// The public key's hint, where the bundle holds no certificate.
    pub(crate) key_hint: Option<String>,
    /// A log entry of a kind that bundles cannot hold.
    pub(crate) older_entry: Option<OlderEntry>,
    /// What its timestamps are over, where that is not the signature.
    pub(crate) stamped: Option<Vec<u8>>,
}

impl UnverifiedBundle {
    /// Reads a bundle of version 0.1, 0.2 or 0.3.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<UnverifiedBundle, Refusal> {
        let wire: Wire = strict_json::read(bytes).map_err(|error| not_json("a Sigstore bundle", error))?;
        let content = wire.check()?;
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(malformed("a Sigstore bundle in UTF-8", "other bytes"));
        };
        let text = strict_json::without_nulls(text).map_err(|error| not_json("a Sigstore bundle", error))?;
        let bundle = Bundle::from_json(&text).map_err(|error| match error.to_string() {
            why if why.contains("unsupported Rekor entry format") => {
                unsupported("a log entry of a known kind", why)
            }
            why => malformed("a Sigstore bundle", why),
        })?;
        UnverifiedBundle::of(bundle, content)
    }

    /// Takes a bundle that was put together from other forms.
    pub(crate) fn of(mut bundle: Bundle, content: Option<Envelope>) -> Result<UnverifiedBundle, Refusal> {
        let content = match (&bundle.content, content) {
            (SignatureContent::MessageSignature(_), None) => Content::Message,
            (SignatureContent::DsseEnvelope(_), Some(envelope)) => Content::Envelope(envelope),
            _ => return Err(malformed("one content of the bundle", "two readings of it")),
        };
        check_certificates(&bundle)?;
        log_entries::check_shape(&bundle)?;
        if bundle.media_type == MediaType::Bundle0_1 {
            inclusion::settle_unsigned(&mut bundle)?;
        }
        let key_hint = match &bundle.verification_material.content {
            VerificationMaterialContent::PublicKey(key) => Some(key.hint.clone()),
            _ => None,
        };
        Ok(UnverifiedBundle { bundle, content, key_hint, older_entry: None, stamped: None })
    }
}

fn check_certificates(bundle: &Bundle) -> Result<(), Refusal> {
    let certificates: Vec<&[u8]> = match &bundle.verification_material.content {
        VerificationMaterialContent::Certificate(certificate) => vec![certificate.raw_bytes.as_bytes()],
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            certificates.iter().map(|certificate| certificate.raw_bytes.as_bytes()).collect()
        }
        _ => return Ok(()),
    };
    if certificates.is_empty() {
        return Err(refusal(RefusalReason::BadCertificate, "a signing certificate", "an empty chain"));
    }
    if certificates.len() > CERTIFICATES_MAX {
        return Err(too_large("certificates", CERTIFICATES_MAX, certificates.len()));
    }
    if let Some(large) = certificates.iter().find(|der| der.len() > CERTIFICATE_BYTES_MAX) {
        return Err(too_large("bytes in a certificate", CERTIFICATE_BYTES_MAX, large.len()));
    }
    for (position, der) in certificates.iter().enumerate() {
        if certificates[..position].contains(der) {
            return Err(refusal(RefusalReason::BadCertificate, "each certificate once", "one twice"));
        }
    }
    Ok(())
}

/// Only what the checks before parsing need; the verifying crate reads the rest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    media_type: Option<String>,
    verification_material: Option<WireMaterial>,
    message_signature: Option<WireMessage>,
    dsse_envelope: Option<WireEnvelope>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMessage {
    message_digest: Option<WireDigest>,
}

#[derive(Debug, Deserialize)]
struct WireDigest {
    algorithm: Option<String>,
}

impl WireMessage {
    /// The verifying crate takes other spellings of an algorithm; the format (sigstore_common.proto) has one.
    fn check(self) -> Result<(), Refusal> {
        const ALGORITHMS: [&str; 3] = ["SHA2_256", "SHA2_384", "SHA2_512"];
        match self.message_digest.and_then(|digest| digest.algorithm) {
            Some(algorithm) if !ALGORITHMS.contains(&algorithm.as_str()) => {
                Err(unsupported(format!("a digest of {}", ALGORITHMS.join(" or ")), algorithm))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMaterial {
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
    public_key: Option<IgnoredAny>,
    tlog_entries: Option<Vec<WireEntry>>,
    timestamp_verification_data: Option<WireTimestamps>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEntry {
    inclusion_proof: Option<WireProof>,
}

#[derive(Debug, Deserialize)]
struct WireProof {
    checkpoint: Option<WireCheckpoint>,
}

#[derive(Debug, Deserialize)]
struct WireCheckpoint {
    envelope: Option<String>,
}

impl WireEntry {
    /// The verifying crate reads a checkpoint without a text as none.
    fn check(&self) -> Result<(), Refusal> {
        match self.inclusion_proof.as_ref().and_then(|proof| proof.checkpoint.as_ref()) {
            Some(checkpoint) if checkpoint.envelope.as_ref().is_none_or(String::is_empty) => {
                Err(malformed("a checkpoint's text", "none"))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTimestamps {
    rfc3161_timestamps: Option<Vec<IgnoredAny>>,
}

impl Wire {
    /// The envelope, or `None` for a message signature.
    fn check(self) -> Result<Option<Envelope>, Refusal> {
        let media_type = self.media_type.unwrap_or_default();
        if media_type.parse::<sigstore_verify::types::MediaType>().is_err() {
            return Err(unsupported("a bundle of version 0.1, 0.2 or 0.3", media_type));
        }
        let Some(material) = self.verification_material else {
            return Err(malformed("verification material", "none"));
        };
        let kinds = [&material.certificate, &material.x509_certificate_chain, &material.public_key];
        let kinds = kinds.iter().filter(|kind| kind.is_some()).count();
        if kinds != 1 {
            return Err(malformed("one certificate, chain or key", format!("{kinds} of them")));
        }
        let entries = material.tlog_entries.unwrap_or_default();
        if entries.len() > LOG_ENTRIES_MAX {
            return Err(too_large("log entries", LOG_ENTRIES_MAX, entries.len()));
        }
        entries.iter().try_for_each(WireEntry::check)?;
        let timestamps = material.timestamp_verification_data.and_then(|data| data.rfc3161_timestamps);
        let timestamps = timestamps.map_or(0, |timestamps| timestamps.len());
        if timestamps > TIMESTAMPS_MAX {
            return Err(too_large("timestamps", TIMESTAMPS_MAX, timestamps));
        }
        match (self.message_signature, self.dsse_envelope) {
            (Some(message), None) => message.check().map(|()| None),
            (None, Some(envelope)) => Envelope::from_wire(envelope).map(Some),
            (None, None) => Err(refusal(RefusalReason::Unsigned, "a signature in the bundle", "none")),
            (Some(_), Some(_)) => {
                Err(malformed("one signature in the bundle", "a message signature and an envelope"))
            }
        }
    }
}
