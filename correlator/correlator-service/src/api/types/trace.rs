//! What is known of one digest, where it runs, and the verdicts and cases.

use std::collections::BTreeMap;

use bus_schema::case::Case;
use bus_schema::verdict::Verdict;
use bus_schema::{CaseId, Digest, RequestId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/trace`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// What was asked, as it was written.
    pub asked: String,
    /// The digest that it means.
    pub digest: Digest,
    /// How a tag led to the digest, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_from: Option<String>,
    /// `index`, `manifest`, `config` or `unknown`.
    pub level: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_recorded: Option<Timestamp>,
    pub repositories: Vec<String>,
    /// Pipelines that claim one of the repositories.
    pub claimed_by: Vec<String>,
    pub verdicts: Vec<VerdictShown>,
    /// The digest itself and what lies above it: proof flows down from these.
    pub carriers: Vec<Carrier>,
    /// What lies below it.
    pub contains: Vec<Digest>,
    pub evidence: Vec<TracedEvidence>,
    pub pushes: Vec<PushSeen>,
    pub tags: Vec<TagSeen>,
    pub places: Vec<Place>,
    /// Questions about it, the open ones first.
    pub questions: Vec<QuestionState>,
    /// Cases that name it, the open ones first.
    pub cases: Vec<Case>,
    /// A bound was reached: there is more than is shown.
    pub cut: bool,
}

/// A verdict with what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictShown {
    pub verdict: Verdict,
    /// The settling window has ended and nothing is pending.
    pub settled: bool,
    /// Every failing link fails only because its fact lies before the coverage.
    pub only_uncovered: bool,
    /// Containers run it.
    pub running: bool,
    /// The release tag that pointed at it, as `repository:tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_tag: Option<String>,
}

/// A digest that can carry proof for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Carrier {
    pub digest: Digest,
    /// `index`, `manifest`, `config` or `unknown`.
    pub level: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

/// One piece of evidence that names or is attached to a carrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TracedEvidence {
    pub id: Digest,
    /// `provenance`, `image_signature`, `sbom`, `verification_summary`, `vulnerability_scan`, `claimed` (any other
    /// statement) or `unknown`.
    pub kind: String,
    pub media_type: String,
    pub size_bytes: u64,
    pub attached_to: Vec<Digest>,
    /// Where it was found: `referrers`, `fallback_tag`, `cosign_sig`, `forge`, …
    pub places: Vec<String>,
    pub repositories: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_recorded: Option<Timestamp>,
    #[serde(flatten)]
    pub state: EvidenceState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum EvidenceState {
    /// Its verification is awaited.
    Awaited {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    Verified {
        signer: SignerShown,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed_at: Option<Timestamp>,
        /// The trust root as `name@content`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<String>,
        /// The digests that it names.
        subjects: Vec<Digest>,
        /// What it names that is no digest, as `scheme:id`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        other_subjects: Vec<String>,
        /// What provenance says, where it is provenance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        built: Option<String>,
        /// What went into the build, where it is provenance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inputs: Option<Box<BuildInputs>>,
        /// What it says in one line, where it is neither provenance nor an image signature.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        says: Option<String>,
    },
    Refused {
        reason: String,
        expected: String,
        found: String,
    },
}

/// A build as its provenance tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInputs {
    pub builder: String,
    pub build_type: String,
    /// From the table of builders, not from the provenance.
    pub slsa_level: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// By their place in the predicate.
    pub parameters: BTreeMap<String, String>,
    pub materials: Vec<MaterialShown>,
    /// How many parameters and materials there are beyond these.
    pub left_out: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaterialShown {
    pub uri: String,
    pub digests: BTreeMap<String, String>,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum SignerShown {
    Keyless {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
        subject: String,
    },
    Key {
        fingerprint: Digest,
        logged: bool,
    },
    CloudBuild {
        fingerprint: Digest,
        key_id: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushSeen {
    pub repository: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    pub at: Timestamp,
    /// Found by a poll, which never knows who pushed.
    pub polled: bool,
    pub said_by: String,
}

/// A tag that points or pointed at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagSeen {
    pub repository: String,
    pub tag: String,
    /// Whether it points at it now.
    pub current: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// `GET /api/v1/where`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Places {
    pub asked: String,
    pub digest: Digest,
    /// Where it runs, then where it ran.
    pub places: Vec<Place>,
    pub cut: bool,
}

/// One slot of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The digest that runs there: the one asked for, or one above or below it.
    pub digest: Digest,
    /// How it is related to the one asked for: `same`, `above` or `below`.
    pub relation: String,
    pub cluster: String,
    pub cluster_name: String,
    pub namespace: String,
    pub kind: String,
    pub name: String,
    pub slot: String,
    pub slot_kind: String,
    /// The image as the workload names it.
    pub image: String,
    pub state: RunsIn,
    /// Containers that run.
    pub containers: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunsIn {
    Running,
    Ended,
}

/// A question to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuestionState {
    pub request: RequestId,
    /// What is asked, for people.
    pub question: String,
    /// Who is asked: `registry`, `ci` or `source`, and its host.
    pub asked_of: String,
    pub attempts: u32,
    pub first_asked: Timestamp,
    pub last_asked: Timestamp,
    pub answered: bool,
    /// The last answer, where it is not an event of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// `GET /api/v1/verdicts`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    pub verdicts: Vec<VerdictShown>,
    /// The `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /api/v1/cases`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cases {
    pub cases: Vec<Case>,
    /// The `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /api/v1/cases/{id}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseDetail {
    pub case: Case,
    /// People were told that it is open.
    pub delivered: bool,
    /// Open cases that this one is delivered in place of, the first of them.
    pub covers: Vec<CaseId>,
    /// There are more of them than are named, or not every case was looked at.
    #[serde(default)]
    pub covers_cut: bool,
}
