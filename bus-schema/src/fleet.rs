//! What the fleet says about itself, and its questions and refusals.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{EventData, Partition};
use crate::question::Question;
use crate::{AgentId, OccurrenceKey, RequestId};

/// A scope that an agent watches, and since when without a gap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// A registry host, `forge host/owner`, or a cluster id.
    pub scope: String,
    /// Since when it is watched without a gap.
    pub since: Timestamp,
}

/// An agent's heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReported {
    /// The agent that reports.
    pub agent: AgentId,
    /// `source`, `ci`, `registry` or `cluster`.
    pub kind: String,
    /// The version of the program.
    pub version: String,
    /// When the process began.
    pub epoch: Timestamp,
    /// The report's number, counted within the epoch from 1 and without a hole: a number that is missing is a report that
    /// was lost.
    pub sequence: u64,
    /// After how many seconds the next report comes at the latest; 30 where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u64>,
    /// What the agent watches.
    pub coverage: Vec<Coverage>,
    /// How far the agent is behind its source, in seconds.
    pub lag_seconds: u64,
    /// Events published since the epoch.
    pub events_published: u64,
    /// Payloads put into the dead letter since the epoch.
    pub dead_lettered: u64,
    /// What is left of the source's API budget, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_budget_left: Option<u64>,
    /// When the report was made.
    pub reported_at: Timestamp,
}

impl EventData for AgentReported {
    fn occurrence(&self) -> OccurrenceKey {
        OccurrenceKey::of([
            "report",
            self.agent.as_str(),
            &self.epoch.to_string(),
            &self.sequence.to_string(),
            "1",
        ])
    }

    fn subject(&self) -> String {
        self.agent.to_string()
    }

    fn partition(&self) -> Partition {
        Partition::of(self.agent.as_str())
    }
}

/// Events are known to be missing, or known to be complete again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentGap {
    /// The agent whose events are missing.
    pub agent: AgentId,
    /// When the process began.
    pub epoch: Timestamp,
    /// The gap's number, counted within the epoch.
    pub sequence: u64,
    /// The scope in which events are missing, as in [`Coverage::scope`], or one repository of it.
    pub scope: String,
    /// Why events are missing, or how they were found again.
    pub reason: String,
    /// From when to when events may be missing.
    pub from: Timestamp,
    /// The end of the time in which events may be missing.
    pub until: Timestamp,
    /// What was missed has been found again (by an inventory or a reconciling poll).
    pub recovered: bool,
}

impl EventData for AgentGap {
    fn occurrence(&self) -> OccurrenceKey {
        OccurrenceKey::of([
            "gap",
            self.agent.as_str(),
            &self.epoch.to_string(),
            &self.sequence.to_string(),
            if self.recovered { "recovered" } else { "open" },
        ])
    }

    fn subject(&self) -> String {
        self.agent.to_string()
    }

    fn partition(&self) -> Partition {
        Partition::of(self.agent.as_str())
    }
}

/// The correlator asks an agent to look something up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceRequested {
    /// Derived from the question.
    pub request: RequestId,
    /// Counted from 1.
    pub attempt: u32,
    /// What is asked.
    pub question: Question,
    /// Why it is asked, for people.
    pub why: String,
    /// After this time nobody waits for the answer.
    pub until: Timestamp,
}

impl EventData for EvidenceRequested {
    fn occurrence(&self) -> OccurrenceKey {
        OccurrenceKey::of(["request", self.request.as_str(), &self.attempt.to_string()])
    }

    fn subject(&self) -> String {
        self.request.to_string()
    }

    fn partition(&self) -> Partition {
        self.question.partition()
    }
}

open_enum! {
    /// Why an agent has nothing (more) to say.
    pub enum Unavailable {
        /// The source answered, and there is nothing beyond the events already published for this request. This closes
        /// every listing: it comes after whatever was found.
        NotFound = "not_found",
        Denied = "denied",
        RateLimited = "rate_limited",
        Unreachable = "unreachable",
        /// The agent has no such host in its settings.
        Unconfigured = "unconfigured",
        /// A bound cut the listing off.
        CutOff = "cut_off",
        /// The source answered with something that does not parse.
        Unreadable = "unreadable",
    }
}

/// The end of a look-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceUnavailable {
    /// The request that it answers.
    pub request: RequestId,
    /// The attempt that it answers.
    pub attempt: u32,
    /// The question, repeated so that the answer stands alone.
    pub question: Question,
    /// Why there is nothing more.
    pub reason: Unavailable,
    /// The host that was asked.
    pub source: String,
    /// What the source said, for people; never a secret.
    pub detail: String,
    /// How many events the look-up published before this one.
    pub found: u32,
    /// When the look-up ended.
    pub answered_at: Timestamp,
}

impl EventData for EvidenceUnavailable {
    fn occurrence(&self) -> OccurrenceKey {
        // One attempt may end twice, when its question is taken up again: that it was denied does not stop "not found".
        OccurrenceKey::of(["answer", self.request.as_str(), &self.attempt.to_string(), self.reason.as_str()])
    }

    fn subject(&self) -> String {
        self.request.to_string()
    }

    fn partition(&self) -> Partition {
        self.question.partition()
    }
}
