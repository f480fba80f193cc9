//! The records of the state, as JSON. Unknown fields are refused: a newer program wrote them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RegistryRecord {
    /// Since when nothing was missed that a poll did not find again.
    pub(crate) covered_since: Option<Timestamp>,
    /// The agent was watching at this time.
    pub(crate) alive_at: Option<Timestamp>,
    pub(crate) open_gap: Option<OpenGap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) whole_poll: Option<WholePoll>,
}

/// The last poll that read everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WholePoll {
    /// When it began.
    pub(crate) began: Timestamp,
    /// What it was to read, as the settings had it.
    pub(crate) patterns: Vec<String>,
}

/// A time in which the agent was not watching, until a poll closes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OpenGap {
    pub(crate) epoch: Timestamp,
    pub(crate) sequence: u64,
    pub(crate) from: Timestamp,
}

/// What is known of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RepositoryRecord {
    /// When the last whole poll of it began. What changed since then happened after that.
    pub(crate) polled_at: Option<Timestamp>,
    /// The last polls were denied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) denied: Option<Denials>,
    /// From when it was left out, or not read to its end, until a poll has read all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) open_gap: Option<OpenGap>,
}

impl RepositoryRecord {
    /// Since when what is found in the repository can have happened. `absent_at` is a time at which a whole
    /// list of the registry's repositories did not hold it, unless the agent knows of it since before.
    pub(crate) fn changed_after(&self, absent_at: Option<Timestamp>) -> Option<Timestamp> {
        let denied_since = self.denied.as_ref().map(|denied| denied.since);
        let gap_since = self.open_gap.as_ref().map(|gap| gap.from);
        let is_older = |at: &Timestamp| denied_since.into_iter().chain(gap_since).any(|since| since < *at);
        self.polled_at.or(absent_at.filter(|at| !is_older(at)))
    }

    pub(crate) fn is_left_out(&self) -> bool {
        self.denied.as_ref().is_some_and(|denied| denied.is_left_out)
    }
}

/// Polls in a row that were denied a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Denials {
    /// When the first of them began.
    pub(crate) since: Timestamp,
    pub(crate) polls: u32,
    /// Polls leave it out, until it is heard of again or may be read: each asks for one of those that are left out.
    pub(crate) is_left_out: bool,
}

/// A look that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LookUpRecord {
    pub(crate) look_up: crate::tags::LookUp,
    pub(crate) attempts: u32,
    pub(crate) queued_at: Timestamp,
    pub(crate) not_before: Timestamp,
    /// When its wait began.
    #[serde(default)]
    pub(crate) waits_since: Option<Timestamp>,
    pub(crate) trace: Option<bus_schema::TraceParent>,
    /// Pushes that are said when the look shows an image.
    pub(crate) unsaid: Vec<bus_schema::Envelope>,
}

impl LookUpRecord {
    /// Whether its time has come. A clock that stands before the beginning of the wait was set back: it says nothing of how long
    /// was waited, and the look is taken.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.not_before <= now || self.waits_since.is_some_and(|since| now < since)
    }
}
