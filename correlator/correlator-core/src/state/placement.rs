//! Placements: container slots of workloads and the digests that they run.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::cluster::{Container, SlotKind};
use bus_schema::hash::hash_fields;
use bus_schema::{ClusterId, Digest, ImageRef, WorkloadRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::records;
use crate::state::Ground;

/// The most containers of one placement that are remembered one by one; replicas beyond it count only as running.
pub const CONTAINERS_MAX: usize = 4096;
/// The most stopped containers of one placement that are remembered, so that a start that is told after its stop is known
/// to be over.
pub const STOPPED_MAX: usize = 256;

/// Digits of the hash of what a placement runs: as many as make another with the same hash out of reach.
const RUNS_HEX_DIGITS: usize = 40;

/// One slot of one workload running one digest from one reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRecord {
    pub workload: WorkloadRef,
    pub cluster_name: String,
    pub slot: String,
    pub slot_kind: SlotKind,
    pub digest: Option<Digest>,
    /// The spec's reference.
    pub image: Option<ImageRef>,
    pub image_text: String,
    /// Containers that started, and when, by pod UID and container id.
    pub started: BTreeMap<String, Timestamp>,
    /// Containers that stopped.
    pub stopped: BTreeMap<String, Timestamp>,
    /// Those of them whose end nobody told: an inventory did not list them. A later one that does takes it back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unlisted: BTreeSet<String>,
    /// The earliest start that was ever told, of containers that are forgotten too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_start: Option<Timestamp>,
    /// When the log first heard of this placement.
    pub first_recorded: Timestamp,
    /// When the log heard of the last stop that left nothing running.
    pub ended_recorded: Option<Timestamp>,
    pub ground: Vec<Ground>,
}

impl PlacementRecord {
    /// The containers that run.
    pub fn running(&self) -> impl Iterator<Item = &String> {
        self.started.keys().filter(|container| !self.stopped.contains_key(*container))
    }

    pub fn is_running(&self) -> bool {
        self.running().next().is_some()
    }

    /// The earliest start that is known.
    pub fn first_started(&self) -> Option<Timestamp> {
        self.started.values().copied().chain(self.earliest_start).min()
    }
}

/// What an inventory's part said, so that a start that is reported after it can be told to be over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryRecord {
    pub observed_at: Timestamp,
    pub after: Option<String>,
    pub until: Option<String>,
    /// See [`container_key`].
    pub containers: BTreeSet<String>,
}

impl InventoryRecord {
    pub fn covers(&self, pod_uid: &str) -> bool {
        self.after.as_deref().is_none_or(|after| pod_uid > after)
            && self.until.as_deref().is_none_or(|until| pod_uid <= until)
    }
}

/// A container inside its placement.
pub fn container_key(container: &Container) -> String {
    format!("{}/{}/{}", container.pod_uid, container.slot, container.container_id)
}

/// The pod of a [`container_key`].
pub fn pod_of(container_key: &str) -> &str {
    container_key.split('/').next().unwrap_or_default()
}

/// Reference and digest stand in it as a hash: a placement's key is part of many others.
pub fn key(container: &Container) -> String {
    let digest = container.digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string());
    let runs = Digest::Sha256(hash_fields([digest.as_str(), &container.image_text])).hex();
    let workload = &container.workload;
    records::key([
        "placement",
        workload.cluster.as_str(),
        &workload.namespace,
        &workload.kind,
        &workload.name,
        &container.slot,
        &runs[..RUNS_HEX_DIGITS],
    ])
}

pub fn cluster_prefix(cluster: &ClusterId) -> String {
    records::prefix(["placement", cluster.as_str()])
}

pub fn all_prefix() -> String {
    records::prefix(["placement"])
}

/// In [`Table::Digests`], behind the digest's record: from it to its placements.
pub fn by_digest_key(digest: &Digest, placement: &str) -> String {
    format!("{}{placement}", by_digest_prefix(digest))
}

pub fn by_digest_prefix(digest: &Digest) -> String {
    records::prefix([&*digest.to_string(), "placed"])
}

pub fn inventory_key(cluster: &ClusterId, part: u32) -> String {
    records::key(["inventory", cluster.as_str(), &format!("{part:010}")])
}

pub fn inventory_prefix(cluster: &ClusterId) -> String {
    records::prefix(["inventory", cluster.as_str()])
}
