//! What the correlator concludes about one digest under one pipeline.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{EventData, Partition};
use crate::{Digest, EventId, ImageRepository, OccurrenceKey};

/// The steps of the chain, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    Source,
    Build,
    Provenance,
    Artifact,
    Signature,
    Sbom,
    Vulnerability,
}

impl LinkKind {
    pub const ALL: [LinkKind; 7] = [
        LinkKind::Source,
        LinkKind::Build,
        LinkKind::Provenance,
        LinkKind::Artifact,
        LinkKind::Signature,
        LinkKind::Sbom,
        LinkKind::Vulnerability,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            LinkKind::Source => "source",
            LinkKind::Build => "build",
            LinkKind::Provenance => "provenance",
            LinkKind::Artifact => "artifact",
            LinkKind::Signature => "signature",
            LinkKind::Sbom => "sbom",
            LinkKind::Vulnerability => "vulnerability",
        }
    }
}

impl std::fmt::Display for LinkKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

open_enum! {
    /// What a broken link contradicts.
    pub enum BreakReason {
        WrongRepository = "wrong_repository",
        WrongRef = "wrong_ref",
        WrongCommit = "wrong_commit",
        WrongSubject = "wrong_subject",
        WrongWorkflow = "wrong_workflow",
        WrongBuilder = "wrong_builder",
        WrongTrigger = "wrong_trigger",
        WrongRunner = "wrong_runner",
        WrongSigner = "wrong_signer",
        BuiltFromFork = "built_from_fork",
        UnknownRun = "unknown_run",
        RunContradicts = "run_contradicts",
        RunFailed = "run_failed",
        LevelTooLow = "level_too_low",
        Unreviewed = "unreviewed",
        UnreviewedAncestor = "unreviewed_ancestor",
        UnknownCommit = "unknown_commit",
        ForcedAway = "forced_away",
        UnsignedCommit = "unsigned_commit",
        RulesBypassed = "rules_bypassed",
        UnexpectedPusher = "unexpected_pusher",
        EmptySbom = "empty_sbom",
        NotListed = "not_listed",
    }
}

/// One contradiction: what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Break {
    pub reason: BreakReason,
    pub expected: String,
    pub found: String,
}

/// Who vouches for a proven link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Witness {
    /// For example `certificate`, `ci-agent`, `forge`, `registry`.
    pub who: String,
    /// What it says, in one line.
    pub says: String,
}

open_enum! {
    /// Why a link's state cannot be known.
    pub enum UnknownReason {
        Uncovered = "uncovered",
        Unreachable = "unreachable",
        Unresolvable = "unresolvable",
        CutOff = "cut_off",
    }
}

/// The state of one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum LinkState {
    Proven {
        witnesses: Vec<Witness>,
        /// Proven in another repository under the same pipeline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copied_from: Option<ImageRepository>,
    },
    /// Stated by evidence that does not verify.
    Claimed {
        why: String,
    },
    Pending {
        until: Timestamp,
        waiting_for: String,
    },
    Absent {
        looked_at: Vec<String>,
    },
    Broken {
        breaks: Vec<Break>,
    },
    Expired {
        since: Timestamp,
        what: String,
    },
    Revoked {
        since: Timestamp,
        what: String,
    },
    Unknown {
        reason: UnknownReason,
        detail: String,
    },
    Waived {
        exception: String,
        instead_of: String,
    },
    NotRequired,
}

impl LinkState {
    pub fn as_str(&self) -> &'static str {
        match self {
            LinkState::Proven { .. } => "proven",
            LinkState::Claimed { .. } => "claimed",
            LinkState::Pending { .. } => "pending",
            LinkState::Absent { .. } => "absent",
            LinkState::Broken { .. } => "broken",
            LinkState::Expired { .. } => "expired",
            LinkState::Revoked { .. } => "revoked",
            LinkState::Unknown { .. } => "unknown",
            LinkState::Waived { .. } => "waived",
            LinkState::NotRequired => "not_required",
        }
    }

    pub fn is_proven(&self) -> bool {
        matches!(self, LinkState::Proven { .. })
    }
}

/// One link of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    pub kind: LinkKind,
    #[serde(flatten)]
    pub state: LinkState,
    /// The digest that carries the proof, when it is an index or manifest above this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_by: Option<Digest>,
}

/// The result of folding the links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum VerdictState {
    Trusted,
    Waived { exceptions: Vec<String> },
    Pending { until: Timestamp },
    Untrusted { failing: Vec<LinkKind> },
}

impl VerdictState {
    pub fn as_str(&self) -> &'static str {
        match self {
            VerdictState::Trusted => "trusted",
            VerdictState::Waived { .. } => "waived",
            VerdictState::Pending { .. } => "pending",
            VerdictState::Untrusted { .. } => "untrusted",
        }
    }
}

/// The judgement of one digest's chain under one pipeline at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub digest: Digest,
    pub pipeline: String,
    /// The repository through which the pipeline claims the digest.
    pub image: ImageRepository,
    #[serde(flatten)]
    pub state: VerdictState,
    /// In the order of the chain, not required ones included.
    pub links: Vec<Link>,
    /// The digest of the verified statement through which the links hold together, or the best one where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Digest>,
    /// The hash of the contracts that it was judged by.
    pub policy: Digest,
    /// The versions of the trust roots that it was verified with.
    pub roots: Vec<String>,
    /// The recorded time at which this state was reached.
    pub reached_at: Timestamp,
    /// The events that it rests on.
    pub rests_on: Vec<EventId>,
}

impl Verdict {
    pub fn link(&self, kind: LinkKind) -> Option<&Link> {
        self.links.iter().find(|link| link.kind == kind)
    }
}

/// A verdict is new or another than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictChanged {
    pub verdict: Verdict,
    /// The state before, in one word; absent for the first verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Why it changed, in one line.
    pub because: String,
    /// The position of the input in the evidence log that led to it.
    pub log_position: u64,
}

impl EventData for VerdictChanged {
    fn occurrence(&self) -> OccurrenceKey {
        OccurrenceKey::of([
            "verdict",
            &self.verdict.digest.to_string(),
            &self.verdict.pipeline,
            &self.log_position.to_string(),
        ])
    }

    fn subject(&self) -> String {
        format!("{}@{}", self.verdict.image, self.verdict.digest)
    }

    fn partition(&self) -> Partition {
        Partition::image(&self.verdict.image)
    }
}
