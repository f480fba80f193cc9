//! Agents: what they cover since when, and which events are known to be missing.

use bus_schema::AgentId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::records;
use crate::state::Ground;

/// The coverage of one scope by one kind of agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageRecord {
    /// The earliest beginning that any agent of this kind states.
    pub since: Option<Timestamp>,
}

/// A known gap of one agent in one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapRecord {
    pub scope: String,
    pub reason: String,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub opened: bool,
    pub recovered: bool,
    pub ground: Option<Ground>,
}

pub fn coverage_key(kind: &str, scope: &str) -> String {
    records::key(["coverage", kind, scope])
}

/// Gaps of one agent and scope share a unit; each gap is its own record.
pub fn gap_key(agent: &AgentId, scope: &str, epoch: Timestamp, sequence: u64) -> String {
    records::key(["gap", agent.as_str(), scope, &super::source::sortable(epoch), &format!("{sequence:020}")])
}

pub fn gaps_prefix(agent: &AgentId, scope: &str) -> String {
    records::prefix(["gap", agent.as_str(), scope])
}
