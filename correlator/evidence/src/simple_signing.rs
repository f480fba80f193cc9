//! The payload of cosign's older image signatures (containers/image, docs/containers-signature.5.md).

use std::collections::BTreeMap;

use bus_schema::Digest;
use correlator_core::facts::{Refusal, RefusalReason};
use serde::Deserialize;
use serde_json::Value;

use crate::bounds::SIGNATURE_CLAIMS_MAX;
use crate::refusal::{not_json, refusal, too_large, unsupported};
use crate::strict_json;

/// What the payload says: one image, and what the signer added with `-a`.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) image: Digest,
    pub(crate) annotations: BTreeMap<String, String>,
}

const TYPE: &str = "cosign container image signature";

impl Payload {
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Payload, Refusal> {
        let wire: Wire =
            strict_json::read(bytes).map_err(|error| not_json("a simple signing payload", error))?;
        if wire.critical.kind != TYPE {
            return Err(unsupported(TYPE, wire.critical.kind));
        }
        let digest = wire.critical.image.digest;
        let image = digest
            .parse()
            .map_err(|_| refusal(RefusalReason::BadSubject, "the digest of an image manifest", digest))?;
        Ok(Payload { image, annotations: texts(wire.optional.unwrap_or_default())? })
    }
}

/// The values as text: cosign writes strings, some clients numbers.
pub(crate) fn texts(values: BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, Refusal> {
    if values.len() > SIGNATURE_CLAIMS_MAX {
        return Err(too_large("claims in a signature", SIGNATURE_CLAIMS_MAX, values.len()));
    }
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(key, value)| (key, text(value))).collect())
}

#[derive(Deserialize)]
struct Wire {
    critical: Critical,
    optional: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}
