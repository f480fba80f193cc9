//! The fleet: every agent that may speak, and how the bus stands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AgentStatus;

/// `GET /api/v1/fleet`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// The correlator's own version.
    pub version: String,
    pub agents: Vec<AgentStatus>,
    /// Empty where the bus does not answer.
    pub streams: Vec<StreamStatus>,
    /// Where the servers differ from what is declared.
    pub differences: Vec<String>,
    /// Why nothing is known of the bus, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_problem: Option<String>,
    pub asked_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamStatus {
    pub name: String,
    pub messages: u64,
    pub bytes: u64,
    /// Beyond it the stream refuses.
    pub bytes_max: u64,
    pub last_sequence: u64,
    pub consumers: Vec<ConsumerStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerStatus {
    pub name: String,
    /// Messages that were never delivered to it.
    pub waiting: u64,
    /// Deliveries that are not settled.
    pub unsettled: u64,
}
