//! From what a pod's status says to what happened: containers that started and stopped.
//!
//! In: a pod, what was known of it before, its workload, and the time it was seen. Out: events in their order, and what
//! is known now. Pure. A container is never said to have stopped without a sign of it: its id cannot start again.

mod known;
mod slot;

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod tests;

use bus_schema::cluster::{Container, ContainerStarted, ContainerStopped};
use bus_schema::{Event, WorkloadRef};
use jiff::Timestamp;

use super::payload::Pod;
use known::KnownSlot;
pub(crate) use known::{KeptPod, KnownPod};
use slot::{End, Run, Slot};

/// What the translation needs beside the pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) cluster_name: &'a str,
    pub(crate) workload: &'a WorkloadRef,
    /// When the pod was seen.
    pub(crate) seen: Timestamp,
}

/// An event and when it happened, as the cluster claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dated {
    pub(crate) occurred: Timestamp,
    pub(crate) event: Event,
}

/// What one change of a pod comes to.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) events: Vec<Dated>,
    pub(crate) known: KnownPod,
    /// The digest of a container that was reported without one has become known. Its start cannot be said again, so
    /// the next inventory has to.
    pub(crate) clarified: bool,
}

/// The containers of `pod` that run.
pub(crate) fn running(pod: &Pod, view: View<'_>) -> Vec<Container> {
    slot::slots(pod)
        .filter_map(|slot| match slot.current_run(pod, view.seen)? {
            Run::Running { id, started_at } => Some(slot.container(pod, view.workload, id, started_at)),
            Run::Ended { .. } => None,
        })
        .collect()
}

/// What happened between `before` (nothing: the pod was not known) and `pod`.
pub(crate) fn change(before: Option<KnownPod>, pod: &Pod, view: View<'_>) -> Change {
    let is_first_sight = before.is_none();
    let mut change = Change { events: Vec::new(), known: before.unwrap_or_default(), clarified: false };
    for slot in slot::slots(pod) {
        let known = change.known.slot(&slot.status.name);
        let mut slot_change = SlotChange { pod, view, slot, events: &mut change.events, known };
        change.clarified |= slot_change.apply(is_first_sight);
    }
    change
}

/// Everything of a pod that is gone has stopped.
pub(crate) fn gone(known: KnownPod, cluster_name: &str, seen: Timestamp) -> Vec<Dated> {
    let end = || End { finished_at: seen, exit_code: None, reason: "PodDeleted".to_owned() };
    known.into_running().map(|container| stopped(cluster_name, container, end())).collect()
}

/// The change of one slot.
struct SlotChange<'a> {
    pod: &'a Pod,
    view: View<'a>,
    slot: Slot<'a>,
    events: &'a mut Vec<Dated>,
    known: &'a mut KnownSlot,
}

impl SlotChange<'_> {
    /// Returns whether a digest became known.
    fn apply(&mut self, is_first_sight: bool) -> bool {
        let current = self.slot.current_run(self.pod, self.view.seen);
        self.stop_what_ended(current.as_ref());
        self.report_what_was_missed(current.as_ref(), is_first_sight);
        let clarified = match current {
            Some(Run::Running { id, started_at }) => self.report_running(id, started_at),
            Some(Run::Ended { id: Some(id), started_at, end }) => {
                self.report_ended(id, started_at, end);
                false
            }
            Some(Run::Ended { id: None, .. }) | None => false,
        };
        self.known.image_id.clone_from(&self.slot.status.image_id);
        clarified
    }

    fn stop_what_ended(&mut self, current: Option<&Run>) {
        let Some(container) = &self.known.running else { return };
        let Some(end) = self.slot.end_of(&container.container_id, current, self.view.seen) else { return };
        if let Some(container) = self.known.running.take() {
            self.known.remember_ended(&container.container_id);
            self.events.push(stopped(self.view.cluster_name, *container, end));
        }
    }

    /// The status names the container before the current one. Between two looks it may have started and ended.
    fn report_what_was_missed(&mut self, current: Option<&Run>, is_first_sight: bool) {
        let Some((id, started_at, end)) = self.slot.previous(self.pod, self.view.seen) else { return };
        let is_current = current.and_then(Run::id) == Some(id.as_str());
        if is_current || self.known.has_ended(&id) {
            return;
        }
        self.known.remember_ended(&id);
        if is_first_sight {
            // It ended before anything was known of this pod, and nothing says which image it ran.
            return;
        }
        let mut container = self.slot.container(self.pod, self.view.workload, id, started_at);
        if self.known.image_id.is_empty() || self.known.image_id != self.slot.status.image_id {
            slot::forget_image(&mut container);
        }
        self.events.push(started(self.view.cluster_name, container.clone()));
        self.events.push(stopped(self.view.cluster_name, container, end));
    }

    fn report_running(&mut self, id: String, started_at: Timestamp) -> bool {
        let container = self.slot.container(self.pod, self.view.workload, id, started_at);
        match &mut self.known.running {
            Some(known) if known.container_id == container.container_id => {
                let is_clarified = known.digest.is_none() && container.digest.is_some();
                if is_clarified {
                    known.digest = container.digest;
                    known.image_id = container.image_id;
                }
                is_clarified
            }
            running => {
                *running = Some(Box::new(container.clone()));
                self.events.push(started(self.view.cluster_name, container));
                false
            }
        }
    }

    fn report_ended(&mut self, id: String, started_at: Timestamp, end: End) {
        if self.known.has_ended(&id) {
            return;
        }
        self.known.remember_ended(&id);
        let container = self.slot.container(self.pod, self.view.workload, id, started_at);
        self.events.push(started(self.view.cluster_name, container.clone()));
        self.events.push(stopped(self.view.cluster_name, container, end));
    }
}

fn started(cluster_name: &str, container: Container) -> Dated {
    let occurred = container.started_at;
    let data = ContainerStarted { cluster_name: cluster_name.to_owned(), container };
    Dated { occurred, event: Event::ContainerStarted(data) }
}

fn stopped(cluster_name: &str, container: Container, end: End) -> Dated {
    let data = ContainerStopped {
        cluster_name: cluster_name.to_owned(),
        container,
        reason: end.reason,
        exit_code: end.exit_code,
        stopped_at: end.finished_at,
    };
    Dated { occurred: end.finished_at, event: Event::ContainerStopped(data) }
}
