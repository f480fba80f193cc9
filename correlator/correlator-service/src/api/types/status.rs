//! How the correlator is doing.

use std::collections::BTreeMap;

use bus_schema::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/status`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub version: String,
    /// Whether every part works, and if not, which does not.
    pub ready: bool,
    pub draining: bool,
    /// By part: `ready`, or why not.
    pub checks: BTreeMap<String, String>,
    pub log: LogStatus,
    pub waiting: Waiting,
    pub agents: Vec<AgentStatus>,
    pub contracts: ContractsInForce,
    pub images: ImageCounts,
    /// Verdicts by state.
    pub verdicts: BTreeMap<String, u64>,
    /// Open cases by severity.
    pub cases: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    pub id: String,
    pub generation: u64,
    /// The last entry.
    pub position: u64,
    /// The last entry that the state includes.
    pub applied: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Timestamp>,
    /// When the next window ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_deadline: Option<Timestamp>,
}

/// What is not done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Whether everything on the bus was taken.
    pub events_caught_up: bool,
    /// Events that left the bus before they were taken, at least, since this process began.
    #[serde(default)]
    pub events_lost: u64,
    /// Since when everything is being judged again under changed contracts; absent once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_again_since: Option<Timestamp>,
    /// Pieces of evidence to verify.
    pub verifications: u64,
    /// Verdicts, cases and questions to publish.
    pub publications: u64,
    /// Changes of cases to deliver.
    pub deliveries: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    pub id: String,
    /// `source`, `ci`, `registry` or `cluster`.
    pub kind: String,
    /// When its last report came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<Timestamp>,
    /// From when on its silence counts, where the correlator was away since its last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excused_until: Option<Timestamp>,
    /// Without a report for so long it counts as silent: the window of the contracts, or three of its own intervals.
    pub silent_after_seconds: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How far it is behind its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<u64>,
    /// Events that it has published since its process began.
    pub events_published: u64,
    /// What is left of its source's API budget, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_budget_left: Option<u64>,
    /// When its last event came, its reports aside, since this process began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_at: Option<Timestamp>,
    /// What came in its name and was not its to say, since this process began.
    pub refused: u64,
    /// Why the last of it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
    /// Payloads that it put into the dead letter since its process began.
    pub dead_lettered: u64,
    pub coverage: Vec<CoverageStatus>,
}

impl AgentStatus {
    /// Whether it has not reported for longer than it may.
    pub fn is_silent(&self, at: Timestamp) -> bool {
        let silent_after = i64::try_from(self.silent_after_seconds).unwrap_or(i64::MAX);
        let listened_since = self.reported_at.max(self.excused_until);
        listened_since.is_none_or(|since| at.duration_since(since).as_secs() > silent_after)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CoverageStatus {
    pub scope: String,
    pub since: Timestamp,
}

/// `GET /api/v1/contracts`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContractsInForce {
    /// The hash that verdicts carry as their policy.
    pub hash: Digest,
    pub pipelines: Vec<PipelineSummary>,
    /// Exceptions by name.
    pub exceptions: Vec<String>,
    /// Trust roots as `name@content`.
    pub roots: Vec<String>,
    pub warnings: Vec<String>,
    /// Why the folder as it is now is refused; the set above stays in force.
    pub problems: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problems_since: Option<Timestamp>,
    /// Why nothing can be verified, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_problem: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSummary {
    pub name: String,
    pub images: Vec<String>,
    /// `observe`, `warn` or `block`.
    pub mode: String,
    pub require: Vec<String>,
}

/// The images that run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageCounts {
    /// Images (repository and digest) that a pipeline claims.
    pub claimed: u64,
    pub unclaimed: u64,
    /// More run than were counted.
    pub cut: bool,
    /// Repositories that nothing claims, the busiest first, at most 50.
    pub unclaimed_repositories: Vec<UnclaimedRepository>,
    /// The pipeline to write next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<Suggestion>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnclaimedRepository {
    pub repository: String,
    /// Containers that run.
    pub containers: u64,
    pub images: u64,
}

/// A pipeline for the busiest repository that nothing claims, to be completed by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suggestion {
    pub repository: String,
    /// The name of the file to write.
    pub file: String,
    pub yaml: String,
}

/// `GET /api/v1/log/verify`: whether the whole log holds, read from its first entry on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogVerified {
    pub verified: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    pub entries: u64,
    pub segments: u64,
    /// Signed heads that were checked.
    pub signed_heads: u64,
    /// Entries whose payload was erased, each with a record of it.
    pub erased: u64,
    /// The hash of the last entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Digest>,
    /// What is worth knowing and proves nothing.
    pub notes: Vec<String>,
}

impl LogVerified {
    /// A log that holds.
    pub fn holds(report: correlator_store::Report) -> LogVerified {
        LogVerified {
            verified: true,
            problem: None,
            entries: report.entries,
            segments: report.segments,
            signed_heads: report.signed_heads,
            erased: report.erased,
            head: Some(report.head.hash),
            notes: report.notes,
        }
    }

    /// A log that does not.
    pub fn does_not_hold(problem: String) -> LogVerified {
        LogVerified {
            verified: false,
            problem: Some(problem),
            entries: 0,
            segments: 0,
            signed_heads: 0,
            erased: 0,
            head: None,
            notes: Vec::new(),
        }
    }
}

/// `GET /api/v1/log/head`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogHead {
    pub log: String,
    pub generation: u64,
    pub position: u64,
    pub hash: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Timestamp>,
    /// The Ed25519 public key of the log, as hexadecimal.
    pub public_key: String,
    /// The last signed head, as it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<correlator_store::SignedHead>,
}
