//! Provenance of Google Cloud Build, as `gcloud artifacts docker images describe --show-provenance --format json` prints it:
//! a summary of the image, and for each build an envelope with the same statement as text beside it.
//!
//! Nothing but the envelope's payload is signed. What stands around it must say the same, for people read that; it is
//! compared, and gives no facts. Google signs with keys of its own, which the contracts name by their resource names.

mod key_id;
mod text;

use bus_schema::{Digest, ImageRef};
use correlator_core::facts::{
    Predicate, PredicateKind, Refusal, RefusalReason, RootParts, Signer, Statement,
};
use serde::Deserialize;
use serde_json::Value;

use crate::bounds::CLOUD_BUILD_SIGNATURES_MAX;
use crate::cloud_build::key_id::{KeyId, Signed};
use crate::envelope::{IN_TOTO, decode_either};
use crate::refusal::{malformed, not_json, refusal, too_large, unsupported, with_claims};
use crate::signature::{Signed as Over, scheme_of};
use crate::trust::{LogDemand, TrustSet, TrustedKey};
use crate::{predicate, statement, strict_json};

/// The media type under which one such document is handed to [`crate::verify`].
pub const MEDIA_TYPE: &str = "application/vnd.google.cloud-build.provenance+json";

/// How many builds one document may tell of.
const BUILDS_MAX: usize = 64;

/// Takes a document apart that tells of several builds: each with its summary, to be verified by itself.
pub fn split(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    let document: Value = strict_json::read(bytes).map_err(|error| not_json(DOCUMENT, error))?;
    let builds = document.pointer("/provenance_summary/provenance").and_then(Value::as_array);
    let builds = builds.ok_or_else(|| malformed(DOCUMENT, "no list of provenance"))?;
    if builds.len() > BUILDS_MAX {
        return Err(too_large("builds in a document", BUILDS_MAX, builds.len()));
    }
    let alone = |build: &Value| {
        let mut one = document.clone();
        if let Some(list) = one.pointer_mut("/provenance_summary/provenance") {
            *list = Value::Array(vec![build.clone()]);
        }
        one.to_string().into_bytes()
    };
    Ok(builds.iter().map(alone).collect())
}

/// Whether a name is one of Google Cloud Build's keys.
pub(crate) fn is_key_id(name: &str) -> bool {
    KeyId::parse(name).is_some()
}

const DOCUMENT: &str = "provenance of Google Cloud Build";

/// Verifies a document that tells of one build.
pub(crate) fn verify(bytes: &[u8], trust: &TrustSet) -> Result<Statement, Refusal> {
    // 1. One build with one statement: two could contradict each other.
    let wire: Wire = strict_json::read(bytes).map_err(|error| not_json(DOCUMENT, error))?;
    let [build] = wire.provenance_summary.provenance.as_slice() else {
        let found = wire.provenance_summary.provenance.len();
        return Err(match found {
            0 => refusal(RefusalReason::Unsigned, "the provenance of one build", "none"),
            _ => unsupported("the provenance of one build, each by itself", format!("{found} of them")),
        });
    };
    let payload = build.envelope.payload()?;
    let said = statement::Statement::from_json(&payload)?;
    let (kind, subjects) = (said.kind(), said.subjects.clone());
    let claims = |refused| with_claims(refused, Some(kind), subjects.clone());
    if kind != PredicateKind::Provenance {
        return Err(claims(unsupported("SLSA provenance", said.predicate_type.clone())));
    }

    // 2. Google signed the payload.
    let signer = prove(&build.envelope, &payload, &said.predicate_type, trust).map_err(claims)?;

    // 3. What stands around the envelope is about the same image and build.
    check_image(&wire.image_summary, build, &subjects).map_err(claims)?;
    text::check(&build.build, &said.predicate_type, &payload).map_err(claims)?;

    // 4. The predicate, which is Google's word.
    let predicate: Predicate = predicate::read(said, &signer)?;
    Ok(Statement {
        subjects,
        other_subjects: Vec::new(),
        signer,
        signed_at: None,
        root: None,
        rests_on: RootParts::default(),
        predicate,
    })
}

/// Each signature by a key of the contracts must hold, and there must be one; newer builds are signed by several keys.
fn prove(
    envelope: &Envelope,
    payload: &[u8],
    predicate_type: &str,
    trust: &TrustSet,
) -> Result<Signer, Refusal> {
    if envelope.signatures.is_empty() {
        return Err(refusal(RefusalReason::Unsigned, "a signature in the envelope", "none"));
    }
    if envelope.signatures.len() > CLOUD_BUILD_SIGNATURES_MAX {
        let found = envelope.signatures.len();
        return Err(too_large("signatures in an envelope", CLOUD_BUILD_SIGNATURES_MAX, found));
    }
    let names: Vec<&str> =
        envelope.signatures.iter().map(|signature| signature.keyid.as_deref().unwrap_or_default()).collect();
    if let Some((_, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(unsupported("one signature by each key", format!("two by {name}")));
    }
    let mut signer = None;
    for (signature, name) in envelope.signatures.iter().zip(names) {
        let Some(id) = KeyId::parse(name) else { continue };
        let Some(key) = trust.keys().iter().find(|key| key.id() == Some(name)) else { continue };
        check_signature(&id, key, signature, payload)?;
        if !id.signs(predicate_type) {
            let expected = format!("provenance of the version that {} signs", id.key);
            return Err(refusal(RefusalReason::Contradiction, expected, predicate_type));
        }
        signer =
            signer.or(Some(Signer::CloudBuild { fingerprint: key.fingerprint(), key_id: name.to_owned() }));
    }
    signer.ok_or_else(|| unknown_key(envelope, trust))
}

fn check_signature(
    id: &KeyId<'_>,
    key: &TrustedKey,
    signature: &Signature,
    payload: &[u8],
) -> Result<(), Refusal> {
    if signature.sig.is_empty() {
        return Err(refusal(RefusalReason::Unsigned, "a signature in the envelope", "an empty one"));
    }
    let bytes = decode_either("the envelope's signature", &signature.sig)?;
    let envelope = sigstore_verify::types::pae(IN_TOTO, payload);
    let over = match id.signed() {
        Signed::Payload => payload,
        Signed::Envelope => &envelope,
    };
    let holds = scheme_of(key.der().as_bytes(), &bytes, Over::Bytes(over)).is_ok();
    if !holds {
        let expected = format!("a signature by the key {}", key.fingerprint());
        return Err(refusal(RefusalReason::BadSignature, expected, "another signature"));
    }
    if key.log() == LogDemand::Required {
        return Err(refusal(RefusalReason::BadLogEntry, "a log entry for the key's signature", "none"));
    }
    Ok(())
}

fn unknown_key(envelope: &Envelope, trust: &TrustSet) -> Refusal {
    let known: Vec<&str> =
        trust.keys().iter().filter_map(TrustedKey::id).filter(|id| KeyId::parse(id).is_some()).collect();
    let expected = match known.is_empty() {
        true => "a key of Google Cloud Build that the contracts name".to_owned(),
        false => format!("a signature by {}", known.join(" or ")),
    };
    let found: Vec<&str> = envelope
        .signatures
        .iter()
        .map(|signature| signature.keyid.as_deref().filter(|id| !id.is_empty()).unwrap_or("no key id"))
        .collect();
    refusal(RefusalReason::UntrustedSigner, expected, found.join(", "))
}

/// The digest of an image reference.
fn digest_in(reference: &str) -> Option<Digest> {
    reference.parse::<ImageRef>().ok()?.digest
}

/// Summary and resource name one image, by one digest, which is a subject of the statement.
fn check_image(summary: &Summary, build: &Build, subjects: &[Digest]) -> Result<(), Refusal> {
    if build.kind != "BUILD" {
        return Err(malformed("an occurrence of kind BUILD", build.kind.clone()));
    }
    let resource = build.resource_uri.strip_prefix("https://").unwrap_or(&build.resource_uri);
    let places = [
        ("the summary's digest", &summary.digest, summary.digest.parse().ok()),
        (
            "the summary's qualified digest",
            &summary.fully_qualified_digest,
            digest_in(&summary.fully_qualified_digest),
        ),
        ("the resource", &build.resource_uri, digest_in(resource)),
    ];
    for (place, said, digest) in places {
        if !digest.is_some_and(|digest| subjects.contains(&digest)) {
            let expected: Vec<String> = subjects.iter().map(ToString::to_string).collect();
            let expected = format!("{place} to be a subject of the statement, {}", expected.join(" or "));
            return Err(refusal(RefusalReason::BadSubject, expected, said.clone()));
        }
    }
    let found = || format!("{}, {}", summary.fully_qualified_digest, build.resource_uri);
    if !summary.fully_qualified_digest.ends_with(&summary.digest) {
        return Err(refusal(RefusalReason::BadSubject, format!("{} everywhere", summary.digest), found()));
    }
    // Occurrences are found by the image's address.
    if resource != summary.fully_qualified_digest {
        return Err(refusal(RefusalReason::BadSubject, "the resource at the image's own address", found()));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Wire {
    image_summary: Summary,
    provenance_summary: Builds,
}

#[derive(Deserialize)]
struct Summary {
    digest: String,
    fully_qualified_digest: String,
}

#[derive(Deserialize)]
struct Builds {
    #[serde(default)]
    provenance: Vec<Build>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    build: Texts,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    resource_uri: String,
    envelope: Envelope,
}

/// The statement as text, by its version.
#[derive(Deserialize)]
struct Texts {
    #[serde(rename = "intotoStatement")]
    v0_1: Option<Value>,
    #[serde(rename = "inTotoSlsaProvenanceV1")]
    v1: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    #[serde(default)]
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    keyid: Option<String>,
    #[serde(default)]
    sig: String,
}

impl Envelope {
    fn payload(&self) -> Result<Vec<u8>, Refusal> {
        if self.payload_type != IN_TOTO {
            return Err(unsupported(IN_TOTO, self.payload_type.clone()));
        }
        decode_either("the envelope's payload", &self.payload)
    }
}
