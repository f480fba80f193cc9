//! Facts that verification made from evidence, and the refusals it made instead.
//!
//! Only the `evidence` crate makes these values, from bytes and a trust set; the ledger takes them as inputs and never
//! looks at bytes itself. What is unverified never has a type of this module but [`Refusal`].

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::registry::EvidenceItem;
use bus_schema::verdict::Break;
use bus_schema::{CommitId, Digest, GitRef, RepositoryRef, WorkflowRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The prefix of the annotations in which cosign's older format keeps signature, certificate and log entry.
const COSIGN_ANNOTATIONS: [&str; 2] = ["dev.cosignproject.cosign/", "dev.sigstore.cosign/"];

/// The media types of Sigstore bundles, which carry everything that verification needs.
const BUNDLE_MEDIA_TYPES: &str = "application/vnd.dev.sigstore.bundle";

/// The identity of one piece of evidence: the digest of its bytes for a bundle, else the digest of its bytes, its media
/// type and its cosign annotations where those carry the signature. The same evidence found in two places is one, and
/// the same bytes attached under another media type are another one, so that nobody can spoil good evidence by
/// attaching its bytes as something that does not verify.
pub fn evidence_id(item: &EvidenceItem) -> Digest {
    let mut carried = carried(&item.annotations).peekable();
    if carried.peek().is_none() && item.media_type.starts_with(BUNDLE_MEDIA_TYPES) {
        return item.blob.digest;
    }
    let blob = item.blob.digest.to_string();
    let fields = [blob.as_str(), item.media_type.as_str()]
        .into_iter()
        .chain(carried.flat_map(|(key, value)| [key.as_str(), value.as_str()]));
    Digest::Sha256(bus_schema::hash::hash_fields(fields))
}

/// The annotations that are a part of the evidence: those of cosign's older format. What stands beside them is a word of
/// whoever attached it, here and not elsewhere.
pub fn carried(annotations: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    annotations.iter().filter(|(key, _)| COSIGN_ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix)))
}

/// The same, to be kept.
pub fn carried_annotations(item: &EvidenceItem) -> BTreeMap<String, String> {
    carried(&item.annotations).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The result of verifying one piece of evidence against one trust set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// See [`evidence_id`].
    pub evidence: Digest,
    /// The version of the verifying code: another version verifies again.
    pub verifier: u32,
    /// The hash of the trust roots and keys that were used: another trust set verifies again.
    pub trust: Digest,
    pub outcome: Outcome,
}

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Verified(Box<Statement>),
    Refused(Refusal),
}

/// A statement whose signature, signer and times verified. It speaks about its subjects and about nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The digests that the signed payload names, whatever the evidence was attached to.
    pub subjects: Vec<Digest>,
    /// What it names that is no digest of bytes, such as the number of a machine image: shown, bound to nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_subjects: Vec<OtherSubject>,
    pub signer: Signer,
    /// The time that a log or a timestamp authority vouches for; absent for a key signature without either.
    pub signed_at: Option<Timestamp>,
    /// The trust root that it verified with, by name and version; absent for a key signature without a log.
    pub root: Option<RootVersion>,
    /// What of the root it rests on, so that a part of it can be withdrawn.
    #[serde(default, skip_serializing_if = "RootParts::is_empty")]
    pub rests_on: RootParts,
    pub predicate: Predicate,
}

/// Parts of a trust root.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RootParts {
    /// Certificate and timestamp authorities, by the SHA-256 digests of all certificates of their chains in DER.
    pub authorities: BTreeSet<Digest>,
    /// Signature and certificate logs, by the SHA-256 digest of their public key (SubjectPublicKeyInfo in DER).
    pub logs: BTreeSet<Digest>,
}

impl RootParts {
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.logs.is_empty()
    }
}

/// A subject by an identity that is no digest of bytes (`gce_image_id` and its number).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OtherSubject {
    pub scheme: String,
    pub id: String,
}

/// A trust root by its name in the contracts and the digest of its content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RootVersion {
    pub name: String,
    pub content: Digest,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signer {
    Keyless(Box<CertificateClaims>),
    Key {
        /// The SHA-256 digest of the key's SubjectPublicKeyInfo in DER.
        fingerprint: Digest,
        /// A transparency log entry for the signature verified as well.
        logged: bool,
    },
    /// Google Cloud Build, by a key of Google's that the contracts name.
    CloudBuild {
        /// As for other keys.
        fingerprint: Digest,
        /// The key's resource name, which tells its region.
        key_id: String,
    },
}

impl Signer {
    /// Whether a log vouches for the signature; of a certificate's, what the root demands of logs was verified with it.
    pub fn is_logged(&self) -> bool {
        match self {
            Signer::Keyless(_) => true,
            Signer::Key { logged, .. } => *logged,
            Signer::CloudBuild { .. } => false,
        }
    }

    /// The key of the contracts that signed; `None` for a certificate's.
    pub fn key(&self) -> Option<Digest> {
        match self {
            Signer::Keyless(_) => None,
            Signer::Key { fingerprint, .. } | Signer::CloudBuild { fingerprint, .. } => Some(*fingerprint),
        }
    }
}

/// What a Fulcio certificate says about the signer (fulcio/docs/oid-info.md, 1.3.6.1.4.1.57264.1.*), as text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", default)]
pub struct CertificateClaims {
    /// .8, or .1 in older certificates. `None` where the authority vouches for its own service, as GitHub's for releases.
    pub issuer: Option<String>,
    /// The subject alternative name: a URI, an e-mail address or a user name.
    pub subject: String,
    /// .9: the workflow that ran the signing step, the called one of a reusable workflow.
    pub build_signer_uri: Option<String>,
    /// .10
    pub build_signer_digest: Option<String>,
    /// .11
    pub runner_environment: Option<String>,
    /// .12
    pub source_repository_uri: Option<String>,
    /// .13
    pub source_repository_digest: Option<String>,
    /// .14
    pub source_repository_ref: Option<String>,
    /// .15
    pub source_repository_id: Option<String>,
    /// .16
    pub source_repository_owner_uri: Option<String>,
    /// .17
    pub source_repository_owner_id: Option<String>,
    /// .18: the workflow that was started, the caller of a reusable workflow.
    pub build_config_uri: Option<String>,
    /// .19
    pub build_config_digest: Option<String>,
    /// .20
    pub build_trigger: Option<String>,
    /// .21: `https://github.com/acme/api/actions/runs/123/attempts/1`
    pub run_invocation_uri: Option<String>,
    /// .22
    pub source_repository_visibility: Option<String>,
}

/// What a verified statement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    /// An image signature: cosign's simple signing payload, or a statement of type `https://sigstore.dev/cosign/sign/v1`.
    ImageSignature {
        annotations: BTreeMap<String, String>,
    },
    Provenance(Box<Provenance>),
    Sbom(SbomFacts),
    /// Somebody else's verdict over the subjects (slsa.dev/verification_summary): shown, judged by nothing.
    VerificationSummary(Box<VerificationSummary>),
    /// What a scanner found in the subjects: shown, judged by nothing.
    VulnerabilityScan(Box<VulnerabilityScan>),
    /// Any other predicate: kept and shown by its type, judged by nothing.
    Other {
        predicate_type: String,
    },
}

impl Predicate {
    pub fn kind(&self) -> PredicateKind {
        match self {
            Predicate::ImageSignature { .. } => PredicateKind::ImageSignature,
            Predicate::Provenance(_) => PredicateKind::Provenance,
            Predicate::Sbom(_) => PredicateKind::Sbom,
            Predicate::VerificationSummary(_) => PredicateKind::VerificationSummary,
            Predicate::VulnerabilityScan(_) => PredicateKind::VulnerabilityScan,
            Predicate::Other { .. } => PredicateKind::Other,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredicateKind {
    ImageSignature,
    Provenance,
    Sbom,
    VerificationSummary,
    VulnerabilityScan,
    Other,
}

impl PredicateKind {
    /// The word for it. What is understood no further is `claimed`, and shown by the name of its type.
    pub fn as_str(self) -> &'static str {
        match self {
            PredicateKind::ImageSignature => "image_signature",
            PredicateKind::Provenance => "provenance",
            PredicateKind::Sbom => "sbom",
            PredicateKind::VerificationSummary => "verification_summary",
            PredicateKind::VulnerabilityScan => "vulnerability_scan",
            PredicateKind::Other => "claimed",
        }
    }
}

/// SLSA provenance of any version, normalised. Fields are what the signed predicate says; the certificate's claims stand
/// beside them in [`Signer::Keyless`] and win where the two disagree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    pub predicate_type: String,
    pub builder_id: String,
    pub build_type: String,
    /// The source repository, where the predicate names one that parses.
    pub repository: Option<RepositoryRef>,
    /// The source as the predicate writes it.
    pub source_uri: Option<String>,
    pub git_ref: Option<GitRef>,
    /// The tag that was built, where the ref is one or the builder says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    pub commit: Option<CommitId>,
    pub workflow: Option<WorkflowRef>,
    pub trigger: Option<String>,
    /// The run's number and attempt at the forge.
    pub run: Option<RunNumber>,
    /// What whoever started the build gave it, by the place in the predicate (a JSON pointer).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// What went into the build, the source included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub materials: Vec<Material>,
    /// How many parameters and materials are not kept here, because there are more than the bound or they are too long.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The workflow for which a delegator of slsa-github-generator signed: the certificate names the delegator alone, which
    /// writes the workflow that called it into the provenance, out of that workflow's reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate: Option<WorkflowRef>,
    /// From the stated table of builders, never from a field of the producer.
    pub slsa_level: u8,
    /// Where predicate and certificate disagree: expected is the certificate's claim, found is the predicate's.
    pub disagreements: Vec<Break>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Something that a build took in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    pub uri: String,
    /// By the name of the algorithm, as the predicate writes them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

/// What a verification summary says: who verified what by which policy, and the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationSummary {
    pub verifier: String,
    pub resource_uri: String,
    pub policy: Option<String>,
    pub passed: bool,
    /// The levels that the verifier states. They are its word.
    pub levels: Vec<String>,
    pub verified_at: Option<Timestamp>,
}

/// What a vulnerability scan says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VulnerabilityScan {
    pub scanner: String,
    pub version: Option<String>,
    /// How many it lists; `None` where the result is the scanner's own format.
    pub vulnerabilities: Option<u64>,
    pub finished_at: Option<Timestamp>,
}

/// A run of a forge by its number, apart from the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunNumber {
    pub id: u64,
    pub attempt: u32,
}

/// What is known of a verified SBOM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SbomFacts {
    /// For example `CycloneDX 1.6`.
    pub format: String,
    pub components: u64,
}

/// Why evidence proves nothing, with the comparison that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub reason: RefusalReason,
    pub expected: String,
    pub found: String,
    /// What the unverified bytes claim to be, for display only.
    pub claims: Option<PredicateKind>,
    /// The digests that the unverified bytes claim to speak of, for display only.
    pub claimed_subjects: Vec<Digest>,
}

/// The kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// The bytes are not what their media type says.
    Malformed,
    /// A bound was exceeded.
    TooLarge,
    /// A form that this version does not verify; not a forgery.
    Unsupported,
    /// There is no signature at all.
    Unsigned,
    /// No configured trust root or key fits.
    UntrustedSigner,
    BadSignature,
    BadCertificate,
    /// The certificate's transparency proof (SCT) is missing or wrong.
    BadCertificateTransparency,
    /// The log entry is missing, wrong, or about something else.
    BadLogEntry,
    /// No trusted time, or a time outside the certificate's or key's validity.
    BadTime,
    /// A log signed for a time that has not come by this machine's clock: it may verify then.
    NotYet,
    /// The payload names no digest, or not as it must.
    BadSubject,
    /// Certificate and predicate contradict each other where no reading is safe.
    Contradiction,
}

impl RefusalReason {
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalReason::Malformed => "malformed",
            RefusalReason::TooLarge => "too_large",
            RefusalReason::Unsupported => "unsupported",
            RefusalReason::Unsigned => "unsigned",
            RefusalReason::UntrustedSigner => "untrusted_signer",
            RefusalReason::BadSignature => "bad_signature",
            RefusalReason::BadCertificate => "bad_certificate",
            RefusalReason::BadCertificateTransparency => "bad_certificate_transparency",
            RefusalReason::BadLogEntry => "bad_log_entry",
            RefusalReason::BadTime => "bad_time",
            RefusalReason::NotYet => "not_yet",
            RefusalReason::BadSubject => "bad_subject",
            RefusalReason::Contradiction => "contradiction",
        }
    }
}
