//! What is attached to digests, and what verification said about it.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::registry::EvidencePlace;
use bus_schema::{Digest, ImageRepository, TraceParent};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::facts::Outcome;
use crate::records::{self, Table};
use crate::state::Ground;

/// The most pieces of evidence that are looked at for one digest; more makes its missing links `unknown {cut_off}`.
pub const EVIDENCE_PER_DIGEST_MAX: usize = 200;

/// One piece of evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    pub media_type: String,
    pub artifact_type: Option<String>,
    /// The digest and size of its bytes.
    pub blob: Option<(Digest, u64)>,
    pub annotations: BTreeMap<String, String>,
    pub attached_to: BTreeSet<Digest>,
    /// Repositories of the registries in which it was found.
    pub repositories: BTreeSet<ImageRepository>,
    pub places: BTreeSet<EvidencePlaceName>,
    pub first_recorded: Option<Timestamp>,
    /// The trust set and verifier that the outcome rests on.
    pub trust: Option<(Digest, u32)>,
    pub outcome: Option<Outcome>,
    /// Since when a verification is awaited.
    pub awaited_since: Option<Timestamp>,
    pub ground: Vec<Ground>,
    /// The trace of the event that brought it: its verification belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

/// An [`EvidencePlace`] as a word, so that it can be a key.
pub type EvidencePlaceName = String;

pub(crate) fn place_name(place: &EvidencePlace) -> EvidencePlaceName {
    place.as_str().to_owned()
}

pub const TABLE: Table = Table::Evidence;

pub fn key(evidence: &Digest) -> String {
    evidence.to_string()
}

/// In [`Table::Digests`], behind the subject's record: evidence attached to a digest.
pub fn attached_key(subject: &Digest, evidence: &Digest) -> String {
    records::key([&*subject.to_string(), "attached", &evidence.to_string()])
}

pub fn attached_prefix(subject: &Digest) -> String {
    records::prefix([&*subject.to_string(), "attached"])
}

/// In [`Table::Digests`], behind the subject's record: verified evidence whose payload names a digest.
pub fn subject_key(subject: &Digest, evidence: &Digest) -> String {
    records::key([&*subject.to_string(), "subject", &evidence.to_string()])
}

pub fn subject_prefix(subject: &Digest) -> String {
    records::prefix([&*subject.to_string(), "subject"])
}
