//! in-toto statements (in-toto/attestation, spec/v1/statement.md; spec/v0.1.0): their subjects and their predicate.

use std::collections::BTreeMap;

use bus_schema::Digest;
use correlator_core::facts::{OtherSubject, PredicateKind, Refusal, RefusalReason};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::bounds::SUBJECTS_MAX;
use crate::envelope::{Envelope, IN_TOTO};
use crate::predicate;
use crate::refusal::{malformed, not_json, refusal, too_large, unsupported, with_claims};
use crate::strict_json;

/// cosign writes 0.1 even around SLSA v1; both say the same.
const STATEMENT_TYPES: [&str; 2] = ["https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"];

/// A statement whose shape was checked; nobody vouches for it yet.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    /// In the order of the statement.
    pub(crate) subjects: Vec<Digest>,
    /// There is one of these or a digest.
    pub(crate) other_subjects: Vec<OtherSubject>,
    pub(crate) predicate_type: String,
    pub(crate) predicate: Option<&'a RawValue>,
    /// What is said beside every subject.
    pub(crate) annotations: BTreeMap<String, Value>,
}

impl<'a> Statement<'a> {
    pub(crate) fn from_envelope(envelope: &'a Envelope) -> Result<Statement<'a>, Refusal> {
        if envelope.payload_type != IN_TOTO {
            return Err(unsupported(IN_TOTO, envelope.payload_type.clone()));
        }
        Statement::from_json(&envelope.payload)
    }

    pub(crate) fn from_json(bytes: &'a [u8]) -> Result<Statement<'a>, Refusal> {
        strict_json::check(bytes).map_err(|error| not_json("an in-toto statement", error))?;
        let wire: Wire<'a> = serde_json::from_slice(bytes)
            .map_err(|error| malformed("an in-toto statement", error.to_string()))?;
        if !STATEMENT_TYPES.contains(&wire.kind.as_str()) {
            return Err(unsupported("an in-toto statement of version 0.1 or 1", wire.kind));
        }
        let claims = predicate::kind_of_type(&wire.predicate_type);
        let (subjects, other_subjects) =
            subjects(&wire.subject).map_err(|refused| with_claims(refused, Some(claims), Vec::new()))?;
        let annotations = common_annotations(wire.subject);
        Ok(Statement {
            subjects,
            annotations,
            other_subjects,
            predicate_type: wire.predicate_type,
            predicate: wire.predicate,
        })
    }

    pub(crate) fn kind(&self) -> PredicateKind {
        predicate::kind_of_type(&self.predicate_type)
    }
}

/// What is said beside one subject is not said of another: only what all have in common is said of each.
fn common_annotations(subjects: Vec<WireSubject>) -> BTreeMap<String, Value> {
    let mut each = subjects.into_iter().map(|subject| subject.annotations.unwrap_or_default());
    let mut common = each.next().unwrap_or_default();
    for other in each {
        common.retain(|key, value| other.get(key) == Some(value));
    }
    common
}

/// Identities of artifacts that are no digests of bytes: the number of a machine image of Google's.
const OTHER_SCHEMES: [&str; 1] = ["gce_image_id"];
/// The longest of them, in bytes.
const OTHER_ID_BYTES_MAX: usize = 128;

/// Only SHA-256 and SHA-512 bind an artifact. Every subject must have a digest of some kind; at least one of these two, or
/// an identity of another scheme, which binds nothing here.
fn subjects(wire: &[WireSubject]) -> Result<(Vec<Digest>, Vec<OtherSubject>), Refusal> {
    if wire.len() > SUBJECTS_MAX {
        return Err(too_large("subjects", SUBJECTS_MAX, wire.len()));
    }
    let bad =
        |found: String| refusal(RefusalReason::BadSubject, "a sha256 or sha512 digest of a subject", found);
    let mut found: Vec<Digest> = Vec::new();
    let mut others: Vec<OtherSubject> = Vec::new();
    for subject in wire {
        let name = subject.name.as_deref().unwrap_or("a subject without a name");
        let digests = subject.digest.as_ref().filter(|digests| !digests.is_empty());
        let digests = digests.ok_or_else(|| bad(format!("{name}: no digest")))?;
        for (algorithm, hex_text) in digests {
            if OTHER_SCHEMES.contains(&algorithm.as_str()) {
                if hex_text.is_empty() || hex_text.len() > OTHER_ID_BYTES_MAX {
                    return Err(bad(format!("{algorithm}:{hex_text}")));
                }
                others.push(OtherSubject { scheme: algorithm.clone(), id: hex_text.clone() });
            }
            if !matches!(algorithm.as_str(), "sha256" | "sha512") {
                continue;
            }
            let digest = Digest::from_parts(algorithm, hex_text)
                .map_err(|_| bad(format!("{algorithm}:{hex_text}")))?;
            if !found.contains(&digest) {
                found.push(digest);
            }
        }
    }
    others.sort();
    others.dedup();
    if found.is_empty() && others.is_empty() { Err(bad("none".to_owned())) } else { Ok((found, others)) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(default)]
    subject: Vec<WireSubject>,
    #[serde(default)]
    predicate_type: String,
    #[serde(borrow, default)]
    predicate: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireSubject {
    name: Option<String>,
    digest: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, Value>>,
}
