//! From an event to records: what is remembered of it, and what it marks.

mod cluster;
mod evidence;
mod fleet;
mod registry;
mod source;

use bus_schema::{Envelope, Event, EventId, TraceParent};

use super::Work;
use crate::contracts::duration::Span;
use crate::records::{self, RecordsError, Table};
use crate::state::Occasion;
use crate::state::source::sortable;

/// How long applied event ids are remembered: longer than any bus keeps messages.
const SEEN_EVENTS_KEPT: Span = Span::from_hours(14 * 24);
/// The most lists of ids that one tick forgets, and after how many ids it stops: a list is of what was judged together.
const LISTS_FORGOTTEN_MAX: usize = 512;
const IDS_FORGOTTEN_MAX: usize = 4096;

/// The trace that an event belongs to, for what is decided without an event of its own.
type SeenEvent = Option<TraceParent>;

pub(super) fn seen_key(event: &EventId) -> String {
    records::key(["id", &event.to_string()])
}

impl Work<'_> {
    pub(super) fn take_event(&mut self, envelope: &Envelope) -> Result<(), RecordsError> {
        let seen_key = seen_key(&envelope.id);
        if self.draft.contains(Table::SeenEvents, &seen_key)? {
            return Ok(());
        }
        self.trace.clone_from(&envelope.traceparent);
        self.draft.put::<SeenEvent>(Table::SeenEvents, seen_key, self.trace.clone());
        self.seen.push(envelope.id);
        let occasion = Occasion {
            event: envelope.id,
            event_type: envelope.event.event_type(),
            agent: envelope.agent.to_string(),
            recorded: self.now,
            position: self.position,
        };
        match &envelope.event {
            Event::CommitPushed(push) => self.take_commit_pushed(&occasion, push),
            Event::SourceTagMoved(moved) => self.take_source_tag_moved(&occasion, moved),
            Event::ChangeReviewed(review) => self.take_change_reviewed(&occasion, review),
            Event::ChangeMerged(merge) => self.take_change_merged(&occasion, merge),
            Event::WorkflowChanged(change) => self.take_workflow_changed(&occasion, change),
            Event::RunStarted(started) => self.take_run(&occasion, &started.run, None),
            Event::RunFinished(finished) => self.take_run(
                &occasion,
                &finished.run,
                Some((finished.conclusion.clone(), finished.finished_at)),
            ),
            Event::JobFinished(job) => self.take_job(&occasion, job),
            Event::ImagePushed(push) => self.take_image_pushed(&occasion, push),
            Event::ImageResolved(resolved) => self.take_image_resolved(&occasion, resolved),
            Event::RegistryTagMoved(moved) => self.take_registry_tag_moved(&occasion, moved),
            Event::ImageDeleted(deleted) => self.take_image_deleted(&occasion, deleted),
            Event::AttestationAttached(attached) => self.take_attestation_attached(&occasion, attached),
            Event::ContainerStarted(started) => {
                self.take_container_started(&occasion, &started.cluster_name, &started.container)
            }
            Event::ContainerStopped(stopped) => self.take_container_stopped(&occasion, stopped),
            Event::InventoryObserved(inventory) => self.take_inventory(&occasion, inventory),
            Event::AgentReported(report) => self.take_agent_reported(&occasion, report),
            Event::AgentGap(gap) => self.take_agent_gap(&occasion, gap),
            Event::EvidenceUnavailable(answer) => self.take_answer(&occasion, answer),
            // The correlator's own conclusions and questions are not facts.
            Event::EvidenceRequested(_)
            | Event::VerdictChanged(_)
            | Event::CaseOpened(_)
            | Event::CaseUpdated(_)
            | Event::CaseResolved(_) => Ok(()),
        }
    }

    /// The trace of an event that was applied.
    pub(super) fn trace_of_event(&self, event: &EventId) -> Result<Option<TraceParent>, RecordsError> {
        let seen: Option<SeenEvent> = self.draft.get(Table::SeenEvents, &seen_key(event))?;
        Ok(seen.flatten())
    }

    /// Notes when the events in hand were applied, so that their ids can be forgotten.
    pub(super) fn date_seen_events(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        if !seen.is_empty() {
            let key = records::key(["at", &sortable(self.now), &self.position.to_string()]);
            self.draft.put(Table::SeenEvents, key, seen);
        }
    }

    pub(super) fn forget_seen_events(&mut self) -> Result<(), RecordsError> {
        let limit = sortable(SEEN_EVENTS_KEPT.before(self.now));
        let prefix = records::prefix(["at"]);
        let mut forgotten = 0;
        for key in self.draft.keys(Table::SeenEvents, &prefix, LISTS_FORGOTTEN_MAX)? {
            let [_, at, _] = records::parts(&key)[..] else { continue };
            if at > limit.as_str() || forgotten >= IDS_FORGOTTEN_MAX {
                break;
            }
            let seen: Vec<EventId> = self.draft.get(Table::SeenEvents, &key)?.unwrap_or_default();
            for id in &seen {
                self.draft.remove(Table::SeenEvents, &seen_key(id));
            }
            forgotten += seen.len();
            self.draft.remove(Table::SeenEvents, &key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
