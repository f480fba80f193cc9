//! What the correlator concludes about one digest under one pipeline.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{EventData, Partition};
use crate::{CommitId, Digest, EventId, ImageRepository, OccurrenceKey};

/// The steps of the chain, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// The commit is allowed and reviewed.
    Source,
    /// A trusted run built it.
    Build,
    /// A signed statement says so.
    Provenance,
    /// The registry holds what the run made.
    Artifact,
    /// An identity of the contract signed it.
    Signature,
    /// A bill of materials is bound to it.
    Sbom,
    /// No known advisory above the contract's limit.
    Vulnerability,
}

impl LinkKind {
    /// Every link, in the order of the chain.
    pub const ALL: [LinkKind; 7] = [
        LinkKind::Source,
        LinkKind::Build,
        LinkKind::Provenance,
        LinkKind::Artifact,
        LinkKind::Signature,
        LinkKind::Sbom,
        LinkKind::Vulnerability,
    ];

    /// The word on the wire.
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
    /// What is contradicted.
    pub reason: BreakReason,
    /// What the contract asks for.
    pub expected: String,
    /// What was there instead.
    pub found: String,
    /// The commit that is objected to, where the objection is to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
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
    /// It holds.
    Proven {
        /// Who vouches for it.
        witnesses: Vec<Witness>,
        /// Proven in another repository under the same pipeline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copied_from: Option<ImageRepository>,
    },
    /// Stated by evidence that does not verify.
    Claimed {
        /// Why it does not verify.
        why: String,
    },
    /// It may still come.
    Pending {
        /// When waiting ends.
        until: Timestamp,
        /// What is missing.
        waiting_for: String,
    },
    /// It is not there, and every source was asked.
    Absent {
        /// The sources that were asked.
        looked_at: Vec<String>,
    },
    /// A verified statement or a recorded fact contradicts it.
    Broken {
        /// Every contradiction that was found.
        breaks: Vec<Break>,
    },
    /// It held until its time ran out.
    Expired {
        /// Since when.
        since: Timestamp,
        /// What ran out.
        what: String,
    },
    /// It held until it was withdrawn.
    Revoked {
        /// Since when.
        since: Timestamp,
        /// What was withdrawn.
        what: String,
    },
    /// It could not be found out.
    Unknown {
        /// Why not.
        reason: UnknownReason,
        /// What was tried, for people.
        detail: String,
    },
    /// An exception stands in for it.
    Waived {
        /// The exception's name.
        exception: String,
        /// The state that it stands in for.
        instead_of: String,
    },
    /// The contract does not ask for it.
    NotRequired,
}

impl LinkState {
    /// The word on the wire.
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

    /// Whether the link holds by proof.
    pub fn is_proven(&self) -> bool {
        matches!(self, LinkState::Proven { .. })
    }
}

/// One link of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Which link it is.
    pub kind: LinkKind,
    /// How it stands.
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
    /// Every required link holds.
    Trusted,
    /// Every required link holds or is excepted.
    Waived {
        /// The names of the exceptions.
        exceptions: Vec<String>,
    },
    /// A required link may still come, and none fails.
    Pending {
        /// When waiting ends.
        until: Timestamp,
    },
    /// A required link fails.
    Untrusted {
        /// The links that fail, in the order of the chain.
        failing: Vec<LinkKind>,
    },
}

impl VerdictState {
    /// The word on the wire.
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
    /// The digest that was judged.
    pub digest: Digest,
    /// The pipeline under which it was judged.
    pub pipeline: String,
    /// The repository through which the pipeline claims the digest.
    pub image: ImageRepository,
    /// The result.
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
    /// The link of one kind.
    pub fn link(&self, kind: LinkKind) -> Option<&Link> {
        self.links.iter().find(|link| link.kind == kind)
    }
}

/// A verdict is new or another than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictChanged {
    /// The verdict now.
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
