//! Python package attestations (PEP 740): the same parts as a bundle, otherwise named.

use correlator_core::facts::Refusal;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::bundle::UnverifiedBundle;
use crate::envelope::IN_TOTO;
use crate::refusal::{malformed, not_json, unsupported};
use crate::strict_json;

/// The media type under which one attestation object is handed to [`crate::verify`].
pub(crate) const MEDIA_TYPE: &str = "application/vnd.pypi.attestation.v1+json";

#[derive(Deserialize)]
struct Wire<'a> {
    version: u64,
    #[serde(borrow)]
    verification_material: Material<'a>,
    envelope: WireEnvelope,
}

#[derive(Deserialize)]
struct Material<'a> {
    certificate: String,
    #[serde(borrow)]
    transparency_entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireEnvelope {
    statement: String,
    signature: String,
}

/// The bundle of version 0.3 that an attestation object amounts to.
pub(crate) fn bundle(bytes: &[u8]) -> Result<UnverifiedBundle, Refusal> {
    strict_json::check(bytes).map_err(|error| not_json("a PEP 740 attestation", error))?;
    let wire: Wire<'_> = serde_json::from_slice(bytes)
        .map_err(|error| malformed("a PEP 740 attestation", error.to_string()))?;
    if wire.version != 1 {
        return Err(unsupported("version 1 of PEP 740", wire.version.to_string()));
    }
    let entries: Result<Vec<Value>, serde_json::Error> = wire
        .verification_material
        .transparency_entries
        .iter()
        .map(|entry| serde_json::from_str(entry.get()))
        .collect();
    let entries = entries.map_err(|error| malformed("log entries", error.to_string()))?;
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": { "rawBytes": wire.verification_material.certificate },
            "tlogEntries": entries,
        },
        "dsseEnvelope": {
            "payloadType": IN_TOTO,
            "payload": wire.envelope.statement,
            "signatures": [{ "sig": wire.envelope.signature }],
        },
    });
    UnverifiedBundle::from_json(bundle.to_string().as_bytes())
}
