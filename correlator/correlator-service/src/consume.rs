//! Takes events from the bus: each is checked, its bytes are kept and verified, it is in the evidence log, and then it is
//! acknowledged.
//!
//! In: deliveries of a durable consumer over everything that agents report. Out: inputs of the ledger, each event followed by
//! what its evidence proves; what may not be said or cannot be read goes to the dead letter with its reason
//! and never stops what is behind it: where the dead letters are full, it waits in the correlator's own
//! folder. A failure of our own (store, disk, bus) holds what is in hand and fetches nothing more: it spends
//! no deliveries.

mod clocks;
mod early;
mod keep;
mod lost;
mod owners;
pub(crate) mod refusal;
mod sender;
mod shelf;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bus_schema::{Envelope, Event, Subject};
use correlator_store::Store;
use fleet_runtime::bus::reader::Reader;
use fleet_runtime::bus::{Bus, ConsumerConfig, Delivery, Stream};
use fleet_runtime::dead_letters::{ASIDE_BYTES_MAX, Aside};
use fleet_runtime::error_chain;
use fleet_runtime::health::Check;
use fleet_runtime::trace::{Step, StepKind};
use futures::future::{BoxFuture, OptionFuture};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::metrics::CorrelatorMetrics;
use crate::pause::Pauses;
use crate::recorder::{Happened, RecordError, Recorder, Remembered};
use crate::settings::{CorrelatorSettings, Settings};
use crate::shared::{Consuming, Shared};
use crate::verification::OutcomeCache;
use clocks::Clocks;
use early::Early;
use keep::{KeepError, Keeper};
use lost::Lost;
use refusal::Refusal;
use sender::Senders;
#[cfg(test)]
pub(crate) use sender::may_say;

/// Deliveries that are not settled, at least.
const IN_FLIGHT_MAX: usize = 512;
/// How long a fetch waits for the first event.
const FETCH_WAIT: Duration = Duration::from_millis(500);
const ACK_WAIT: Duration = Duration::from_secs(60);
/// Events whose bytes are kept at once.
const KEEPING_MAX: usize = 256;
/// Entries that are appended at once, in bytes.
const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;
/// No event grows beyond the bound by being written anew that has no more bytes than this.
const GROWING_BYTES: usize = 64 * 1024;
/// A blob that an event names may be on its way to us.
const BLOB_AGAIN_AFTER: Duration = Duration::from_secs(2);
const BURY_AGAIN_AFTER: Duration =
    if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(10) };
const TROUBLE_PAUSES: Pauses = Pauses { first: Duration::from_millis(200), max: Duration::from_secs(5) };

/// Letters that the bus has no room for, in the correlator's folder.
const LETTERS_FOLDER: &str = "letters";

/// Messages that were asked for again, and when they come: until then not everything is taken.
type Again = BTreeMap<u64, Instant>;
/// A batch that is being recorded and settled.
type Recording<'a> = OptionFuture<BoxFuture<'a, anyhow::Result<()>>>;

/// The consumer of events.
#[derive(Debug)]
pub(crate) struct Consume {
    reader: Reader,
    recorder: Recorder,
    keeper: Keeper,
    senders: Senders,
    clocks: Clocks,
    lost: Lost,
    shared: Arc<Shared>,
    metrics: CorrelatorMetrics,
    settings: CorrelatorSettings,
    /// Why the last attempt to put something into the dead letter failed.
    unburied: Mutex<Option<String>>,
}

/// What the consumer works with: where events come from, and where they go.
#[derive(Debug)]
pub(crate) struct Taking<'a> {
    /// The correlator's folder.
    pub(crate) data: &'a Path,
    pub(crate) bus: &'a Arc<dyn Bus>,
    pub(crate) store: &'a Arc<Store>,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) recorder: Recorder,
    pub(crate) cache: OutcomeCache,
    pub(crate) metrics: CorrelatorMetrics,
}

/// What becomes of one delivery.
enum Taken {
    Record(Box<Happened>, Option<Step>),
    /// It is in the log already.
    Repeat,
    /// It says nothing that another does not say better.
    Nothing,
    Refused(Refusal),
    Again {
        after: Duration,
        reason: String,
    },
}

impl Consume {
    pub(crate) async fn open(
        settings: &Settings,
        taking: Taking<'_>,
    ) -> Result<Consume, fleet_runtime::bus::BusError> {
        let Taking { data, bus, store, shared, recorder, cache, metrics } = taking;
        let correlator = settings.correlator.clone();
        let config = ConsumerConfig {
            ack_wait: ACK_WAIT,
            deliveries_max: correlator.deliveries_max,
            // One batch that is recorded, one that is kept, and what was asked for again.
            in_flight_max: IN_FLIGHT_MAX.max(3 * correlator.fetch_messages_max),
            ..ConsumerConfig::new(
                correlator.id.as_str(),
                Stream::Events,
                bus_schema::subject::IN_ALL.parse()?,
            )
        };
        let early = Early::new(store, shared, cache, metrics.clone());
        let aside = Aside::open(data.join(LETTERS_FOLDER), ASIDE_BYTES_MAX).await?;
        Ok(Consume {
            reader: Reader::with_aside(bus, config, aside).await?,
            recorder,
            keeper: Keeper::new(bus.blobs(), store.blobs().clone(), early),
            senders: Senders::new(settings.agents.clone(), correlator.clock_skew_max),
            clocks: Clocks::new(metrics.clone()),
            lost: Lost::open(bus, data, shared, metrics.clone()),
            shared: Arc::clone(shared),
            metrics,
            settings: correlator,
            unburied: Mutex::default(),
        })
    }

    /// Runs until the stop; what was fetched before it is finished. While one batch is being recorded, the next is fetched
    /// and its bytes are kept; they are recorded in the order in which they came.
    pub(crate) async fn run(&self, check: Check, stop: CancellationToken) -> anyhow::Result<()> {
        self.say(&check);
        let again = Mutex::new(Again::new());
        let mut bring_back_at = Instant::now();
        let mut recording: Recording<'_> = None.into();
        while !stop.is_cancelled() {
            let began = Instant::now();
            if began >= bring_back_at {
                let is_taken = beside(&mut recording, self.bring_back()).await?;
                bring_back_at = if is_taken { began } else { began + BURY_AGAIN_AFTER };
            }
            // Never dropped for the stop: what a cancelled fetch took would come again only after the whole `ACK_WAIT`.
            let fetching = self.reader.fetch(self.settings.fetch_messages_max, FETCH_WAIT);
            let fetched = beside(&mut recording, fetching).await??;
            if fetched.is_empty() {
                finish(&mut recording).await?;
                // What was due before this fetch and did not come went to the dead letter.
                let is_caught_up = {
                    let mut again = lock(&again);
                    again.retain(|_, due| *due >= began);
                    again.is_empty()
                };
                let now = if is_caught_up { Consuming::CaughtUp { since: began } } else { Consuming::Busy };
                self.shared.consuming.send_replace(now);
                self.say(&check);
                continue;
            }
            self.shared.consuming.send_replace(Consuming::Busy);
            beside(&mut recording, self.lost.look(&fetched)).await?;
            let keeping = self.extend_while(&fetched, self.keep_all(&fetched, &check, &stop));
            let Some(taken) = beside(&mut recording, keeping).await? else { break };
            self.extend_while(&fetched, finish(&mut recording)).await?;
            recording = Some(self.settle(fetched, taken, &again, &check).boxed()).into();
        }
        finish(&mut recording).await
    }

    /// Records what was taken and settles each delivery.
    async fn settle(
        &self,
        deliveries: Vec<Delivery>,
        taken: Vec<Taken>,
        again: &Mutex<Again>,
        check: &Check,
    ) -> anyhow::Result<()> {
        let recorded = self.record(&deliveries, taken, check);
        let Some(taken) = self.extend_while(&deliveries, recorded).await? else { return Ok(()) };
        for (delivery, taken) in deliveries.iter().zip(taken) {
            lock(again).remove(&delivery.sequence);
            match taken {
                Taken::Record(_, step) => {
                    self.reader.ack(delivery).await?;
                    drop(step);
                }
                Taken::Repeat => {
                    self.metrics.repeated();
                    self.reader.ack(delivery).await?;
                }
                Taken::Nothing => self.reader.ack(delivery).await?,
                Taken::Refused(refusal) => self.refuse(delivery, &refusal, check).await?,
                Taken::Again { after, reason } => {
                    lock(again).insert(delivery.sequence, Instant::now() + after);
                    self.reader.retry(delivery, after, &reason).await?;
                }
            }
        }
        Ok(())
    }

    /// Runs work that may take longer than a delivery may stay unsettled.
    async fn extend_while<T>(&self, deliveries: &[Delivery], work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            match tokio::time::timeout(ACK_WAIT / 3, &mut work).await {
                Ok(done) => return done,
                Err(_) => {
                    for delivery in deliveries {
                        if let Err(error) = self.reader.in_progress(delivery).await {
                            tracing::warn!(error = error_chain(&error), "failed to hold an event");
                        }
                    }
                }
            }
        }
    }

    /// Checks and keeps; `None` when the process ended before it could.
    async fn keep_all(
        &self,
        deliveries: &[Delivery],
        check: &Check,
        stop: &CancellationToken,
    ) -> Option<Vec<Taken>> {
        let taking: Vec<_> = deliveries.iter().map(|delivery| self.take_one(delivery, check, stop)).collect();
        let taken: Vec<Option<Taken>> = futures::stream::iter(taking).buffered(KEEPING_MAX).collect().await;
        taken.into_iter().collect()
    }

    /// Records what is to be recorded; `None` when the process ended before it could.
    async fn record(
        &self,
        deliveries: &[Delivery],
        mut taken: Vec<Taken>,
        check: &Check,
    ) -> anyhow::Result<Option<Vec<Taken>>> {
        let mut events = Vec::new();
        let mut remembered = Vec::new();
        let mut bytes = 0_usize;
        for (delivery, taken) in deliveries.iter().zip(&mut taken) {
            let Taken::Record(happened, _) = taken else { continue };
            // A result says no more than the evidence that it is of, which may be beside the event.
            let weight = delivery.message.payload.len() + evidence_bytes(happened);
            if bytes > 0 && bytes.saturating_add(weight) > APPEND_BYTES_MAX {
                remembered.extend(self.recorder.record_events(std::mem::take(&mut events)).await?);
                bytes = 0;
            }
            bytes = bytes.saturating_add(weight);
            let verified = std::mem::take(&mut happened.verified);
            events.push(Happened { event: happened.event.clone(), verified });
        }
        match self.recorder.record_events(events).await {
            Ok(last) => remembered.extend(last),
            Err(RecordError::Ending) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let mut remembered = remembered.into_iter();
        for taken in &mut taken {
            let Taken::Record(happened, _) = taken else { continue };
            match remembered.next() {
                Some(Ok(Remembered::Repeat)) => *taken = Taken::Repeat,
                Some(Ok(Remembered::New)) | None => self.note(&happened.event),
                Some(Err(error)) => *taken = Taken::Refused(Refusal::Unrecordable(error)),
            }
        }
        self.say(check);
        Ok(Some(taken))
    }

    /// `None` when the process ends while our own side fails.
    async fn take_one(&self, delivery: &Delivery, check: &Check, stop: &CancellationToken) -> Option<Taken> {
        let mut envelope = match self.read(delivery) {
            Ok(envelope) => envelope,
            Err(refusal) => return Some(Taken::Refused(refusal)),
        };
        if self.senders.leaves_it_to_another(&envelope) {
            return Some(Taken::Nothing);
        }
        // From here to the log.
        let step = envelope.traceparent.as_ref().map(|trace| {
            Step::below(trace, StepKind::Consume, format!("record {}", envelope.event.event_type().short()))
        });
        let mut failures = 0;
        loop {
            match self.keeper.keep(&mut envelope).await {
                Ok(verified) => {
                    return Some(Taken::Record(Box::new(Happened { event: envelope, verified }), step));
                }
                Err(KeepError::Refused(refusal)) => return Some(Taken::Refused(refusal)),
                Err(KeepError::Missing { digest }) => {
                    let reason = format!("the bytes of {digest} are not in the blob store");
                    return Some(Taken::Again { after: BLOB_AGAIN_AFTER, reason });
                }
                Err(KeepError::Trouble(reason)) => {
                    failures += 1;
                    check.failing(&reason);
                    if failures == 1 {
                        tracing::error!(
                            error = reason,
                            "failed to keep the bytes of evidence, nothing more is fetched"
                        );
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(TROUBLE_PAUSES.with_jitter(failures)) => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    /// Reads a delivery as an event that its sender may say.
    fn read(&self, delivery: &Delivery) -> Result<Envelope, Refusal> {
        let subject: Subject = delivery.message.subject.parse().map_err(Refusal::Subject)?;
        let envelope = Envelope::from_json(&delivery.message.payload).map_err(Refusal::Envelope)?;
        // What is derived anew, and names and times that were written shorter, may make it longer than it may be.
        if delivery.message.payload.len() > GROWING_BYTES {
            envelope.to_json().map_err(Refusal::Envelope)?;
        }
        let contracts = self.shared.in_force.borrow().contracts.clone();
        self.senders.check(&subject, &envelope, Timestamp::now(), &contracts)?;
        // A repeated delivery says nothing new of the clock.
        if delivery.deliveries == 1 {
            self.clocks.note(&envelope, delivery.published_at);
        }
        Ok(envelope)
    }

    /// Puts a delivery into the dead letter. What has to wait for it is counted when it succeeds.
    async fn refuse(&self, delivery: &Delivery, refusal: &Refusal, check: &Check) -> anyhow::Result<()> {
        let reason = format!("{}: {}", refusal.word(), error_chain(refusal));
        match self.reader.bury(delivery, &reason).await {
            Err(error) if error.is_temporary() => {
                let error = error_chain(&error);
                let before = lock(&self.unburied).replace(error.clone());
                if before.is_none() {
                    tracing::error!(
                        error,
                        "failed to put an event into the dead letter, what is refused stays"
                    );
                }
                self.say(check);
                self.reader.retry(delivery, BURY_AGAIN_AFTER, &reason).await?;
                return Ok(());
            }
            result => result?,
        }
        *lock(&self.unburied) = None;
        self.say(check);
        self.metrics.refused(refusal.word());
        if let Ok(Subject::In { agent, .. }) = delivery.message.subject.parse::<Subject>()
            && self.senders.knows(&agent)
        {
            let said = fleet_runtime::outside_text::shown(&reason);
            self.shared.note(&agent, |heard| {
                heard.refused += 1;
                heard.last_refusal = Some(said);
            });
        }
        Ok(())
    }

    /// Gives the bus what waits here because it had no room; false when it still has none.
    async fn bring_back(&self) -> bool {
        let brought = self.reader.dead_letters().bring_back().await;
        if let Err(error) = &brought {
            tracing::debug!(error = error_chain(error), "letters go on waiting");
        }
        brought.is_ok()
    }

    /// Ready when everything that was taken is settled for good: refused events have a letter on the bus.
    fn say(&self, check: &Check) {
        let unburied = lock(&self.unburied).clone();
        let unburied = unburied.map(|error| format!("refused events stay on the bus: {error}"));
        match unburied.or_else(|| self.reader.dead_letters().waiting()) {
            Some(reason) => check.failing(reason),
            None => check.ready(),
        }
    }

    fn note(&self, envelope: &Envelope) {
        if let Event::AgentReported(report) = &envelope.event {
            self.shared.remember_report(report, Timestamp::now());
        } else {
            let now = Timestamp::now();
            self.shared.note(&envelope.agent, |heard| heard.last_event_at = Some(now));
        }
        tracing::debug!(
            event_id = %envelope.id,
            event_type = %envelope.event.event_type(),
            agent = %envelope.agent,
            trace_id = envelope.traceparent.as_ref().map(bus_schema::TraceParent::trace_id),
            "recorded an event"
        );
    }
}

/// What the evidence weighs whose results an event came with.
fn evidence_bytes(happened: &Happened) -> usize {
    match &happened.event.event {
        Event::AttestationAttached(attached) if !happened.verified.is_empty() => {
            let bytes: u64 = attached.items.iter().map(|item| item.blob.size_bytes).sum();
            usize::try_from(bytes).unwrap_or(usize::MAX)
        }
        _ => 0,
    }
}

/// Does something while a batch is being recorded.
async fn beside<T>(recording: &mut Recording<'_>, work: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            Some(recorded) = &mut *recording => {
                *recording = None.into();
                recorded?;
            }
        }
    }
}

/// Waits for the batch that is being recorded.
async fn finish(recording: &mut Recording<'_>) -> anyhow::Result<()> {
    let recorded = (&mut *recording).await;
    *recording = None.into();
    recorded.unwrap_or(Ok(()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
