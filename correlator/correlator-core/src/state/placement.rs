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
    slot_prefix(container) + &runs[..RUNS_HEX_DIGITS]
}

/// The placements of the container's slot, whatever they run.
pub fn slot_prefix(container: &Container) -> String {
    let workload = &container.workload;
    records::prefix([
        "placement",
        workload.cluster.as_str(),
        &workload.namespace,
        &workload.kind,
        &workload.name,
        &container.slot,
    ])
}

/// The placements of a cluster that run.
pub fn running_key(cluster: &ClusterId, placement: &str) -> String {
    format!("{}{placement}", running_prefix(cluster))
}

pub fn running_prefix(cluster: &ClusterId) -> String {
    records::prefix(["running", cluster.as_str()])
}

pub fn all_prefix() -> String {
    records::prefix(["placement"])
}

/// The earliest start of an image repository in a namespace, as its placements tell it. What looks at it depends on the key
/// as a fact.
pub fn first_start_key(workload: &WorkloadRef, image: Option<&ImageRef>) -> String {
    let repository = image.map_or_else(|| "-".to_owned(), |image| image.repository.to_string());
    records::key(["first-start", workload.cluster.as_str(), &workload.namespace, &repository])
}

/// In [`Table::Digests`], behind the digest's record: from it to its placements. Those that run come first, then those that
/// ended, the last first: of a digest that ran in very many places only so many are looked at.
pub fn by_digest_key(digest: &Digest, ended: Option<Timestamp>, placement: &str) -> String {
    let prefix = by_digest_prefix(digest);
    match ended {
        None => format!("{prefix}{RUNS}{placement}"),
        Some(ended) => format!("{prefix}{ENDED}{}{placement}", newest_first(ended)),
    }
}

pub fn by_digest_prefix(digest: &Digest) -> String {
    records::prefix([&*digest.to_string(), "placed"])
}

/// The placement of a key of [`by_digest_key`], and whether it runs.
pub fn of_by_digest_key<'a>(prefix: &str, key: &'a str) -> Option<(&'a str, bool)> {
    let rest = key.strip_prefix(prefix)?;
    match (rest.strip_prefix(RUNS), rest.strip_prefix(ENDED)) {
        (Some(placement), _) => Some((placement, true)),
        (_, Some(ended)) => ended.get(TIME_DIGITS..).map(|placement| (placement, false)),
        (None, None) => None,
    }
}

const RUNS: char = 'a';
const ENDED: char = 'b';
const TIME_DIGITS: usize = 20;

/// A time as text that sorts the other way round.
fn newest_first(time: Timestamp) -> String {
    let left = i128::from(Timestamp::MAX.as_microsecond()) - i128::from(time.as_microsecond());
    format!("{left:0TIME_DIGITS$}")
}

pub fn inventory_key(cluster: &ClusterId, part: u32) -> String {
    records::key(["inventory", cluster.as_str(), &format!("{part:010}")])
}

pub fn inventory_prefix(cluster: &ClusterId) -> String {
    records::prefix(["inventory", cluster.as_str()])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn placements_of_a_digest_sort_by_whether_they_run_and_by_their_ends() {
        let digest = Digest::sha256_of(b"an image");
        let at = |second| Timestamp::from_second(second).unwrap();
        let placements = ["z\u{1f}runs", "c\u{1f}last", "b\u{1f}before", "a\u{1f}first"];
        let ends = [None, Some(at(30)), Some(at(20)), Some(at(-10))];
        let keys: Vec<String> =
            placements.iter().zip(ends).map(|(key, ended)| by_digest_key(&digest, ended, key)).collect();
        assert!(keys.is_sorted());
        let prefix = by_digest_prefix(&digest);
        for (key, (placement, ended)) in keys.iter().zip(placements.iter().zip(ends)) {
            assert_eq!(of_by_digest_key(&prefix, key), Some((*placement, ended.is_none())));
        }
        assert_eq!(of_by_digest_key(&prefix, &format!("{prefix}x")), None);
    }
}
