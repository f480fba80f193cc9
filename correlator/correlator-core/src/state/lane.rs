//! Lanes of questions: each namespace and each repository has one, with so many places for questions that are out.
//!
//! Whoever makes up digests by the million fills the lane of the namespace in which they run, or of the repository to which
//! they are pushed, and no other. What finds no place waits for one: a question that waits has not failed.

use std::collections::BTreeMap;

use bus_schema::{ClusterId, RequestId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::records;
use crate::state::source::sortable;

/// Questions of one lane that agents may have at once.
pub const OUT_MAX: usize = 64;
/// The most namespaces of one digest among which a place is looked for.
pub(crate) const LANES_TRIED_MAX: usize = 16;

/// One lane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneRecord {
    /// The requests that are out, with the time after which nobody waits for their answers.
    pub out: BTreeMap<RequestId, Timestamp>,
    /// How many wait for a place.
    pub waiting: u64,
}

/// A question that waits for a place in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    pub lane: String,
    pub since: Timestamp,
    /// The attempt that it will be.
    pub attempt: u32,
    pub why: String,
}

impl LaneRecord {
    /// Gives up the places of questions that nobody waits for any more.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.out.retain(|_, until| *until > now);
    }

    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < OUT_MAX
    }

    /// When a place is free again whatever the agents do; of no interest while nothing waits.
    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.out.values().min().copied().filter(|_| self.waiting > 0)
    }
}

/// The lane of what runs in a namespace.
pub(crate) fn of_namespace(cluster: &ClusterId, namespace: &str) -> String {
    records::key(["namespace", cluster.as_str(), namespace])
}

/// The lane of what lies in a repository.
pub(crate) fn of_repository(repository: &str) -> String {
    records::key(["repository", repository])
}

/// A lane as people read it.
pub(crate) fn shown(lane: &str) -> String {
    match records::parts(lane)[..] {
        [kind, cluster, namespace] => format!("{kind} {namespace} of cluster {cluster}"),
        _ => records::parts(lane).join(" "),
    }
}

pub fn key(lane: &str) -> String {
    records::key(["lane", lane])
}

/// In the order of waiting.
pub(crate) fn waiting_key(lane: &str, since: Timestamp, request: &RequestId) -> String {
    waiting_prefix(lane) + &records::key([sortable(since).as_str(), request.as_str()])
}

/// Lanes are keys themselves: the separator of their parts must not end them here.
pub(crate) fn waiting_prefix(lane: &str) -> String {
    format!("waiting\u{1f}{lane}\u{1e}")
}
