//! One container slot of a pod: its status beside its spec.

use bus_schema::cluster::{Container, SlotKind};
use bus_schema::{ImageId, WorkloadRef};
use jiff::Timestamp;

use crate::kubernetes::cut::{TEXT_BYTES_MAX, cut};
use crate::kubernetes::payload::{ContainerSpec, ContainerStatus, Pod, Terminated};

#[derive(Debug, Clone)]
pub(super) struct Slot<'a> {
    kind: SlotKind,
    spec: Option<&'a ContainerSpec>,
    pub(super) status: &'a ContainerStatus,
}

/// The container that the status is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Run {
    Running {
        id: String,
        started_at: Timestamp,
    },
    Ended {
        /// Absent when the runtime lost it.
        id: Option<String>,
        started_at: Timestamp,
        end: End,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) finished_at: Timestamp,
    pub(super) exit_code: Option<i32>,
    pub(super) reason: String,
}

impl Run {
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Run::Running { id, .. } => Some(id),
            Run::Ended { id, .. } => id.as_deref(),
        }
    }
}

/// Every slot of `pod` that has a status.
pub(super) fn slots(pod: &Pod) -> impl Iterator<Item = Slot<'_>> {
    let init = with_specs(&pod.status.init_container_statuses, &pod.spec.init_containers, SlotKind::Init);
    let main = with_specs(&pod.status.container_statuses, &pod.spec.containers, SlotKind::Main);
    let ephemeral = with_specs(
        &pod.status.ephemeral_container_statuses,
        &pod.spec.ephemeral_containers,
        SlotKind::Ephemeral,
    );
    init.chain(main).chain(ephemeral)
}

fn with_specs<'a>(
    statuses: &'a [ContainerStatus],
    specs: &'a [ContainerSpec],
    kind: SlotKind,
) -> impl Iterator<Item = Slot<'a>> {
    statuses.iter().enumerate().map(move |(index, status)| {
        // Both lists usually have one order; a look-up in that place first keeps a pod of many containers linear.
        let in_place = specs.get(index).filter(|spec| spec.name == status.name);
        let spec = in_place.or_else(|| specs.iter().find(|spec| spec.name == status.name));
        let is_sidecar = kind == SlotKind::Init
            && spec.is_some_and(|spec| spec.restart_policy.as_deref() == Some("Always"));
        Slot { kind: if is_sidecar { SlotKind::Sidecar } else { kind.clone() }, spec, status }
    })
}

impl Slot<'_> {
    pub(super) fn current_run(&self, pod: &Pod, seen: Timestamp) -> Option<Run> {
        let status = self.status;
        if let Some(running) = &status.state.running {
            let started_at = running.started_at.or(pod.metadata.creation_timestamp).unwrap_or(seen);
            return Some(Run::Running { id: self.id(), started_at });
        }
        let named = |id: &str| (!id.is_empty()).then(|| cut(id));
        if let Some(terminated) = &status.state.terminated {
            let id = named(&terminated.container_id).or_else(|| named(&status.container_id));
            return Some(ended(id, terminated, pod, seen));
        }
        // Waiting to start again: the status still names the container that ended.
        let last = status.last_state.terminated.as_ref()?;
        let id = named(&last.container_id).filter(|_| last.container_id == status.container_id)?;
        Some(ended(Some(id), last, pod, seen))
    }

    /// The container before the current one, where the status names it.
    pub(super) fn previous(&self, pod: &Pod, seen: Timestamp) -> Option<(String, Timestamp, End)> {
        let last = self.status.last_state.terminated.as_ref().filter(|last| !last.container_id.is_empty())?;
        let (started_at, end) = times(last, pod, seen);
        Some((cut(&last.container_id), started_at, end))
    }

    /// How the container `id`, which ran, ended; nothing where no sign says that it did.
    pub(super) fn end_of(&self, id: &str, current: Option<&Run>, seen: Timestamp) -> Option<End> {
        let last = self.status.last_state.terminated.as_ref();
        if let Some(last) = last.filter(|last| cut(&last.container_id) == id) {
            return Some(end(last, seen));
        }
        match current? {
            Run::Running { id: current_id, .. } if current_id == id => None,
            Run::Ended { id: ended_id, end, .. } if ended_id.as_deref().is_none_or(|ended| ended == id) => {
                Some(end.clone())
            }
            // A slot runs one container at a time.
            Run::Running { .. } | Run::Ended { .. } => {
                Some(End { finished_at: seen, exit_code: None, reason: "Replaced".to_owned() })
            }
        }
    }

    /// The container `id` with the image that this status names.
    pub(super) fn container(
        &self,
        pod: &Pod,
        workload: &WorkloadRef,
        id: String,
        started_at: Timestamp,
    ) -> Container {
        let status = self.status;
        let spec_image = self.spec.and_then(|spec| spec.image.as_deref()).filter(|image| !image.is_empty());
        Container {
            workload: workload.clone(),
            pod: cut(&pod.metadata.name),
            pod_uid: cut(&pod.metadata.uid),
            slot: cut(&status.name),
            slot_kind: self.kind.clone(),
            container_id: id,
            image: spec_image.filter(|text| text.len() <= TEXT_BYTES_MAX).and_then(|text| text.parse().ok()),
            image_text: cut(spec_image.unwrap_or(&status.image)),
            image_id: cut(&status.image_id),
            digest: ImageId::parse(&status.image_id).digest(),
            started_at,
        }
    }

    /// The runtime's id; a running container without one is told apart by its restart count.
    fn id(&self) -> String {
        match self.status.container_id.as_str() {
            "" => format!("unknown://{}", self.status.restart_count),
            id => cut(id),
        }
    }
}

/// Takes away what the status says of another container's image.
pub(super) fn forget_image(container: &mut Container) {
    container.image = None;
    container.image_text.clear();
    container.image_id.clear();
    container.digest = None;
}

fn ended(id: Option<String>, terminated: &Terminated, pod: &Pod, seen: Timestamp) -> Run {
    let (started_at, end) = times(terminated, pod, seen);
    Run::Ended { id, started_at, end }
}

fn times(terminated: &Terminated, pod: &Pod, seen: Timestamp) -> (Timestamp, End) {
    let end = end(terminated, seen);
    // A container that failed to start has the time zero.
    let started_at = terminated
        .started_at
        .filter(|at| *at > Timestamp::UNIX_EPOCH)
        .or(pod.metadata.creation_timestamp)
        .map_or(end.finished_at, |at| at.min(end.finished_at));
    (started_at, end)
}

fn end(terminated: &Terminated, seen: Timestamp) -> End {
    End {
        finished_at: terminated.finished_at.filter(|at| *at > Timestamp::UNIX_EPOCH).unwrap_or(seen),
        exit_code: terminated.exit_code,
        reason: cut(&terminated.reason),
    }
}
