//! What happens in clusters: containers of pods.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{EventData, Partition};
use crate::{AgentId, ClusterId, Digest, ImageRef, OccurrenceKey, WorkloadRef};

/// The most containers that one part of an inventory lists.
pub const INVENTORY_CONTAINERS_MAX: usize = 500;

open_enum! {
    /// The kind of a container slot.
    pub enum SlotKind {
        Init = "init",
        /// An init container that keeps running (restart policy `Always`).
        Sidecar = "sidecar",
        Main = "container",
        Ephemeral = "ephemeral",
    }
}

/// One container that runs or ran, as its pod's status tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// The topmost owner of the pod.
    pub workload: WorkloadRef,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID.
    pub pod_uid: String,
    /// The container's name in the pod.
    pub slot: String,
    /// What the slot is for.
    pub slot_kind: SlotKind,
    /// The runtime's id of this container, for example `containerd://…`.
    pub container_id: String,
    /// The image as the pod's spec names it. Unparsable text is kept in `imageText` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
    /// The spec's text, cut to 1,024 bytes.
    pub image_text: String,
    /// The status's `imageID`, cut to 1,024 bytes.
    pub image_id: String,
    /// The digest that runs, from `imageID`; absent when the runtime gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// When it started, by the pod's status.
    pub started_at: Timestamp,
}

/// A container started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStarted {
    /// The cluster's name in the agent's settings, for people.
    pub cluster_name: String,
    /// The container.
    pub container: Container,
}

impl EventData for ContainerStarted {
    fn occurrence(&self) -> OccurrenceKey {
        container_occurrence(&self.container, "started")
    }

    fn subject(&self) -> String {
        self.container.workload.to_string()
    }

    fn partition(&self) -> Partition {
        Partition::cluster(&self.container.workload.cluster)
    }
}

/// A container stopped, or its pod is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStopped {
    /// The cluster's name in the agent's settings, for people.
    pub cluster_name: String,
    /// The container as it was.
    pub container: Container,
    /// The runtime's word, for example `Completed`, `Error`, or `PodDeleted`.
    pub reason: String,
    /// The exit code, where the runtime gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it stopped, or when its pod was found gone.
    pub stopped_at: Timestamp,
}

impl EventData for ContainerStopped {
    fn occurrence(&self) -> OccurrenceKey {
        container_occurrence(&self.container, "stopped")
    }

    fn subject(&self) -> String {
        self.container.workload.to_string()
    }

    fn partition(&self) -> Partition {
        Partition::cluster(&self.container.workload.cluster)
    }
}

fn container_occurrence(container: &Container, state: &str) -> OccurrenceKey {
    OccurrenceKey::of([
        "container",
        container.workload.cluster.as_str(),
        &container.pod_uid,
        &container.slot,
        &container.container_id,
        state,
    ])
}

/// Everything that runs in a range of pods. Parts are cut by pod UID, so that each part alone says what is missing in its range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryObserved {
    /// The agent that made the list.
    pub agent: AgentId,
    /// The cluster that was listed.
    pub cluster: ClusterId,
    /// The cluster's name in the agent's settings, for people.
    pub cluster_name: String,
    /// When the agent's process began: sequences start again with each epoch.
    pub epoch: Timestamp,
    /// The inventory's number, counted within the epoch.
    pub sequence: u64,
    /// Counted from 1.
    pub part: u32,
    /// How many parts this inventory has.
    pub parts: u32,
    /// The range of pod UIDs that this part covers: greater than `after`, up to and including `until`; absent means open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The last UID of the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Every container that ran in the range when the list was made.
    pub containers: Vec<Container>,
    /// The time before which the list was not yet asked for: a container started later may be missing from it.
    pub observed_at: Timestamp,
}

impl EventData for InventoryObserved {
    fn occurrence(&self) -> OccurrenceKey {
        OccurrenceKey::of([
            "inventory",
            self.cluster.as_str(),
            &self.epoch.to_string(),
            &self.sequence.to_string(),
            &self.part.to_string(),
        ])
    }

    fn subject(&self) -> String {
        self.cluster.to_string()
    }

    fn partition(&self) -> Partition {
        Partition::cluster(&self.cluster)
    }
}
