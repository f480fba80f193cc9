//! What the parts of the agent share: its registries, its state, and the one way from a change to the bus.
//!
//! In: changes, from notifications and polls. Out: events on the bus. A change, the state it leads to and the events it
//! means are one commit of the state; the events are then said from there, so that a crash at any point neither loses
//! nor doubles one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use bus_schema::fleet::{EvidenceUnavailable, Unavailable};
use bus_schema::question::Question;
use bus_schema::registry::Observation;
use bus_schema::{Envelope, Event, ImageRepository, Tag, TraceParent};
use fleet_runtime::bus::BusError;
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::metrics::DeadLettered;
use fleet_runtime::publisher::{PublishError, Publisher};
use jiff::Timestamp;
use tokio::sync::{Mutex, Notify};

use crate::api::client::RegistryClient;
use crate::change::Seen;
use crate::metrics::Metrics;
use crate::settings::{Registry, Tuning};
use crate::state::{Batch, LOOK_UPS_MAX, State, StateError};
use crate::tags::{LookUp, TagState, Tags, apply};

/// How many waiting events are said per round.
const OUTBOX_BATCH: usize = 256;
/// The attempt that a report of the agent's own carries: nobody asked.
pub(crate) const UNASKED: u32 = 0;
/// The agent's name in dead letters and metrics.
pub(crate) const SOURCE: &str = "registry-agent";

/// The agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) registries: BTreeMap<String, Watched>,
    pub(crate) tuning: Tuning,
    pub(crate) publisher: Publisher,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) state: State,
    pub(crate) metrics: Metrics,
    /// When this process began.
    pub(crate) epoch: Timestamp,
    /// How many reports of this epoch are on the bus, however often the loop begins.
    pub(crate) reports: AtomicU64,
    /// The gaps of this epoch.
    pub(crate) gaps: AtomicU64,
    /// It is known what was missed before this process.
    pub(crate) has_begun: AtomicBool,
    /// Held while waiting events are said, so that they are said in their order.
    saying: Mutex<()>,
    /// A look was queued.
    pub(crate) queued: Notify,
}

/// One registry and the way to it.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) settings: Registry,
    pub(crate) client: RegistryClient,
    /// A poll is due before its time: something came that could not be understood.
    pub(crate) poll_soon: Notify,
    /// Where a poll that gave up goes on the next time: what comes last in the order is no worse off.
    pub(crate) poll_from: std::sync::Mutex<Option<ImageRepository>>,
}

/// A change could not be made durable or said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SayError {
    #[error("the state failed")]
    State(#[from] StateError),
    #[error("the bus failed")]
    Bus(#[from] BusError),
    #[error("an event could not be published")]
    Publish(#[from] PublishError),
}

impl SayError {
    /// True when the same may be said later: the bus is away or full.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            SayError::State(_) => false,
            SayError::Bus(error) => error.is_temporary(),
            SayError::Publish(error) => error.is_temporary(),
        }
    }
}

/// Whether a change counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Now,
    /// The registry told it before, or the tag is no longer as the poll knew it.
    Not,
}

/// What must still be so for a poll's change to count: somebody may have told it in the meantime.
#[derive(Debug, Clone)]
pub(crate) struct Unless {
    pub(crate) tag: Tag,
    pub(crate) is_no_longer: Option<TagState>,
}

impl Agent {
    pub(crate) fn new(
        registries: BTreeMap<String, Watched>,
        tuning: Tuning,
        publisher: Publisher,
        dead_letters: DeadLetters,
        state: State,
        metrics: Metrics,
    ) -> Agent {
        let epoch = Timestamp::now();
        Agent {
            registries,
            tuning,
            publisher,
            dead_letters,
            state,
            metrics,
            epoch,
            reports: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            has_begun: AtomicBool::new(false),
            saying: Mutex::default(),
            queued: Notify::new(),
        }
    }

    /// Makes a change durable and says what it means. When this fails nothing is lost: either the change did not count,
    /// or it did and will be said.
    pub(crate) async fn change(
        self: &Arc<Self>,
        seen: Seen,
        unless: Option<Unless>,
        trace: TraceParent,
    ) -> Result<Applied, SayError> {
        let agent = self.clone();
        let applied = self.state.write(move |batch| agent.apply(batch, &seen, unless, &trace)).await?;
        self.say_waiting().await?;
        self.queued.notify_one();
        Ok(applied)
    }

    fn apply(
        &self,
        batch: &mut Batch<'_>,
        seen: &Seen,
        unless: Option<Unless>,
        trace: &TraceParent,
    ) -> Result<Applied, StateError> {
        let repository = seen.change.repository();
        if let Observation::Notification { event_id } = &seen.observation
            && !batch.see(repository.registry(), event_id)?
        {
            return Ok(Applied::Not);
        }
        if let Some(unless) = unless
            && batch.tag(repository, &unless.tag)? != unless.is_no_longer
        {
            return Ok(Applied::Not);
        }
        let outcome = apply(seen, batch)?;
        batch.know(repository)?;
        for (tag, state) in &outcome.writes {
            batch.put_tag(repository, tag, state)?;
        }
        for event in outcome.events {
            batch.say(&self.publisher.envelope(seen.at, Some(trace.clone()), event))?;
        }
        let unsaid = outcome.unsaid.map(|event| self.publisher.envelope(seen.at, Some(trace.clone()), event));
        for look_up in &outcome.look_ups {
            let unsaid = unsaid.as_ref().filter(|_| look_up.what.is_of_what_was_pushed());
            if !batch.queue(look_up, Timestamp::now(), Some(trace), unsaid)? {
                let detail = format!("more than {LOOK_UPS_MAX} digests wait to be looked at");
                let event = unasked(look_up, Unavailable::CutOff, detail);
                batch.say(&self.publisher.envelope(Timestamp::now(), Some(trace.clone()), event))?;
                unsaid.map_or(Ok(()), |unsaid| batch.say(unsaid))?;
            }
        }
        Ok(Applied::Now)
    }

    /// Says everything that waits, in its order.
    pub(crate) async fn say_waiting(&self) -> Result<(), SayError> {
        let _saying = self.saying.lock().await;
        loop {
            let waiting = self.state.read(|view| view.outbox(OUTBOX_BATCH)).await?;
            if waiting.is_empty() {
                return Ok(());
            }
            let mut said = Vec::with_capacity(waiting.len());
            let mut failed = None;
            for (number, bytes) in waiting {
                if let Err(error) = self.say_one(&bytes).await {
                    failed = Some(error);
                    break;
                }
                said.push(number);
            }
            // Said and not yet forgotten, after a crash, is said again under the same id.
            self.state.write(move |batch| batch.said(&said)).await?;
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
    }

    async fn say_one(&self, bytes: &[u8]) -> Result<(), BusError> {
        let refused = match Envelope::from_json(bytes) {
            Ok(envelope) => match self.publisher.publish(&envelope).await {
                Ok(_) => return Ok(()),
                Err(PublishError::Bus(error)) => return Err(error),
                // The agent was given another name, or the event is none: no repetition makes it right.
                Err(error) => fleet_runtime::error_chain(&error),
            },
            Err(error) => fleet_runtime::error_chain(&error),
        };
        let reason = format!("an event that waited to be published: {refused}");
        self.dead_letters.put_received(SOURCE, &reason, None, bytes::Bytes::copy_from_slice(bytes)).await?;
        self.publisher.metrics().dead_lettered(DeadLettered::Outbox);
        Ok(())
    }

    pub(crate) fn watched(&self, repository: &ImageRepository) -> Option<&Watched> {
        self.registries.get(repository.registry())
    }

    /// How long to wait before the next attempt: doubling, never less than the registry asked for.
    pub(crate) fn backoff(&self, attempts: u32, asked_for: Option<Duration>) -> Duration {
        const BACKOFF_MAX: Duration = Duration::from_secs(600);
        let doubled = self.tuning.look_up_backoff.saturating_mul(1 << attempts.min(16));
        doubled.min(BACKOFF_MAX).max(asked_for.unwrap_or_default())
    }
}

/// Says that a look of the agent's own found no end.
pub(crate) fn unasked(look_up: &LookUp, reason: Unavailable, detail: String) -> Event {
    let question = Question::Image { repository: look_up.repository.clone(), digest: look_up.digest };
    Event::EvidenceUnavailable(EvidenceUnavailable {
        request: question.request_id(),
        attempt: UNASKED,
        source: question.host().to_owned(),
        question,
        reason,
        detail,
        found: 0,
        answered_at: Timestamp::now(),
    })
}
