//! Cases: the life of one problem.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{EventData, Partition};
use crate::verdict::LinkKind;
use crate::{CaseId, Digest, OccurrenceKey};

/// How much a problem matters. Raised by one when the subject runs in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing to do; shown, never paged.
    Info,
    /// To be tidied up when convenient.
    Low,
    /// To be looked at in working hours.
    Medium,
    /// To be looked at today.
    High,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// One step up; critical stays critical.
    pub fn raised(self) -> Severity {
        match self {
            Severity::Info => Severity::Low,
            Severity::Low => Severity::Medium,
            Severity::Medium => Severity::High,
            Severity::High | Severity::Critical => Severity::Critical,
        }
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// Where a case stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaseState {
    /// The problem is there.
    Open,
    /// Somebody has taken it.
    Acknowledged,
    /// The problem is gone.
    Resolved,
}

impl CaseState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            CaseState::Open => "open",
            CaseState::Acknowledged => "acknowledged",
            CaseState::Resolved => "resolved",
        }
    }
}

/// A rule's objection, with what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What happened, in one line.
    pub what: String,
    /// The link of the chain that broke, where the finding is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkKind>,
    /// What the contract asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was there instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The digest that it is about, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Where it runs: workloads, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs_at: Vec<String>,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// Derived from the rule and the subject.
    pub id: CaseId,
    /// The rule's name, which is also its runbook's.
    pub rule: String,
    /// The rule's subject as text, its parts joined by spaces.
    pub subject: String,
    /// Where the case stands.
    pub state: CaseState,
    /// How much it matters now.
    pub severity: Severity,
    /// The pipeline under which it was judged, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// When it was first opened, by the recorded time.
    pub opened_at: Timestamp,
    /// When it last changed, by the recorded time.
    pub updated_at: Timestamp,
    /// When it resolved, by the recorded time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Why it resolved, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// How often it came back after it had resolved.
    pub reopened: u32,
    /// Counts the changes, so that each change of one case has an id of its own.
    pub revision: u32,
    /// The findings, at most 20; `findingsTotal` counts them all.
    pub findings: Vec<Finding>,
    /// How many findings there are.
    pub findings_total: u32,
    /// The open case that is delivered in place of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<CaseId>,
    /// What to do next, in one line.
    pub next_step: String,
    /// `runbooks/<rule>.md`
    pub runbook: String,
}

/// Declares the three events of a case, which share one shape.
macro_rules! case_event {
    ($(#[$meta:meta])* $name:ident, $state:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// The case after the change.
            pub case: Case,
            /// The position of the input in the evidence log that led to it.
            pub log_position: u64,
        }

        impl EventData for $name {
            fn occurrence(&self) -> OccurrenceKey {
                OccurrenceKey::of(["case", self.case.id.as_str(), &self.case.revision.to_string(), $state])
            }

            fn subject(&self) -> String {
                self.case.id.to_string()
            }

            fn partition(&self) -> Partition {
                Partition::of(self.case.id.as_str())
            }
        }
    };
}

case_event!(
    /// A problem appeared, or came back.
    CaseOpened,
    "opened"
);
case_event!(
    /// An open problem changed: more subjects, another severity, covered or uncovered.
    CaseUpdated,
    "updated"
);
case_event!(
    /// A problem is gone.
    CaseResolved,
    "resolved"
);
