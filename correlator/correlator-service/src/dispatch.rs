//! Carries out what the ledger decided for the bus: verdicts, cases and questions, in the order of the outbox.
//!
//! In: the outbox's lane for the bus. Out: messages with ids derived from what they say, so that a repeat is dropped;
//! verdicts in the key-value bucket too; then a receipt, and the decisions leave the outbox. A bucket that takes nothing more
//! holds up nothing else: what it lacks is put later (see [`mirror`]).

mod mirror;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus_schema::verdict::VerdictChanged;
use bus_schema::{Envelope, Event, Subject};
use bytes::Bytes;
use correlator_core::decision::Decision;
use correlator_store::{Lane, OutboxId, Queued, Receipt, Store};
use fleet_runtime::bus::{Bus, BusError, KeyValue};
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::error_chain;
use fleet_runtime::health::Check;
use fleet_runtime::publisher::{PublishError, Publisher};
use fleet_runtime::verdicts::{SignedVerdict, StoredVerdict, VERDICTS_BUCKET, verdict_key};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use mirror::Mirror;

use crate::metrics::CorrelatorMetrics;
use crate::pause::Pauses;
use crate::recorder::{Record, RecordError, Recorder};
use crate::shared::Shared;
use crate::trace::trace_of;

/// Decisions that are carried out between two receipts.
const ROWS_MAX: usize = 512;
/// Messages that wait for the bus at once.
const PUBLISHING_MAX: usize = 128;
const TROUBLE_PAUSES: Pauses = Pauses { first: Duration::from_millis(200), max: Duration::from_secs(10) };

/// The dispatching part.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) store: Arc<Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) publisher: Publisher,
    pub(crate) shared: Arc<Shared>,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: CorrelatorMetrics,
}

impl Dispatch {
    /// Runs until the stop; what is decided by then is still carried out, as long as the bus takes it.
    pub(crate) async fn run(&self, check: Check, stop: CancellationToken) -> anyhow::Result<()> {
        let mut progress = self.shared.progress.subscribe();
        let mut after: Option<OutboxId> = None;
        let mut failures = 0;
        let mut mirror = Mirror::new();
        check.ready();
        loop {
            let done = match self.round(after, &mut mirror).await {
                Ok(Some(through)) => {
                    after = Some(through);
                    Ok(true)
                }
                Ok(None) if mirror.due() <= Instant::now() && !stop.is_cancelled() => {
                    self.mirror(&mut mirror, after).await
                }
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            };
            match done {
                Ok(has_more) => {
                    failures = 0;
                    match mirror.untaken() {
                        0 => check.ready(),
                        count => check.failing(format!(
                            "the bucket of verdicts is full: of at least {count} its readers have an older one, or none"
                        )),
                    }
                    if has_more {
                        continue;
                    }
                }
                Err(RoundError::Ending) => return Ok(()),
                Err(RoundError::Bus(error)) => {
                    failures += 1;
                    let reason = error_chain(&error);
                    check.failing(&reason);
                    if failures == 1 {
                        tracing::error!(error = reason, "failed to publish, trying again");
                    }
                    if stop.is_cancelled() {
                        return Ok(());
                    }
                    tokio::select! {
                        () = tokio::time::sleep(TROUBLE_PAUSES.with_jitter(failures)) => {}
                        () = stop.cancelled() => {}
                    }
                    continue;
                }
                Err(RoundError::Other(error)) => return Err(error),
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            tokio::select! {
                changed = progress.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep_until(mirror.due().into()) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Carries out the next decisions; returns the last of them, or nothing when there is none.
    async fn round(
        &self,
        after: Option<OutboxId>,
        mirror: &mut Mirror,
    ) -> Result<Option<OutboxId>, RoundError> {
        let rows = self.rows(after).await.map_err(RoundError::Other)?;
        let Some(through) = rows.last().map(|row| row.id) else { return Ok(None) };
        let count = rows.len() as u64;
        let newest = newest_verdicts(&rows);
        let publishing: Vec<_> =
            rows.iter().filter(|row| !is_overtaken(row, &newest)).map(|row| self.publish(row)).collect();
        stream::iter(publishing).buffered(PUBLISHING_MAX).try_for_each(|()| async { Ok(()) }).await?;
        mirror.note_untaken(self.put_verdicts(newest).await?);
        let receipt = Receipt::Dispatched { lane: Lane::Bus, through };
        match self.recorder.record(vec![Record::Receipt(receipt)]).await {
            Ok(()) => {}
            Err(RecordError::Ending) => return Err(RoundError::Ending),
            Err(error) => return Err(RoundError::Other(error.into())),
        }
        self.metrics.dispatched(Lane::Bus, count);
        Ok(Some(through))
    }

    async fn rows(&self, after: Option<OutboxId>) -> anyhow::Result<Vec<Queued>> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || {
            let index = store.index().map_err(|error| anyhow::anyhow!("{error}"))?;
            Ok(index.snapshot()?.outbox(Lane::Bus, after, ROWS_MAX)?)
        })
        .await?
    }

    async fn publish(&self, row: &Queued) -> Result<(), RoundError> {
        let Some((subject, envelope)) = self.message(row) else { return Ok(()) };
        match self.publisher.publish_on(subject, &envelope).await {
            Ok(_) => Ok(()),
            Err(PublishError::Bus(error)) if error.is_temporary() || matches!(error, BusError::Closed) => {
                Err(RoundError::Bus(error))
            }
            Err(error) => {
                // It will never be published: what it says is kept and visible, and what is behind it goes on.
                let reason = format!("cannot be published: {}", error_chain(&error));
                tracing::error!(
                    position = row.id.position,
                    error = reason,
                    "a decision went to the dead letter"
                );
                let body = serde_json::to_vec(&row.decision).unwrap_or_default();
                let letters = DeadLetters::new(Arc::clone(&self.bus));
                let put = letters
                    .put_received(self.publisher.agent().as_str(), &reason, None, Bytes::from(body))
                    .await;
                put.map(|_| ()).map_err(RoundError::Bus)
            }
        }
    }

    /// The message of a decision: the same bytes for the same decision, the time apart at which it is sent.
    fn message(&self, row: &Queued) -> Option<(Subject, Envelope)> {
        let position = row.id.position;
        let (subject, occurred, event) = match &row.decision {
            Decision::PublishVerdict { change } => {
                let event = Event::VerdictChanged((**change).clone());
                (Subject::conclusion(&event), change.verdict.reached_at, event)
            }
            Decision::PublishCase { change, case } => {
                let event = change.event((**case).clone(), position);
                (Subject::conclusion(&event), case.updated_at, event)
            }
            Decision::Ask { request } => {
                let event = Event::EvidenceRequested((**request).clone());
                (Subject::question(&request.question), Timestamp::now(), event)
            }
            Decision::Deliver { .. } | Decision::Verify { .. } => return None,
        };
        let trace = trace_of(row);
        Some((subject, self.publisher.envelope(occurred, Some(trace), event)))
    }

    /// Puts the newest verdict of each key, so that readers have what holds now without reading a stream. Returns how many a
    /// full bucket did not take.
    async fn put_verdicts(&self, newest: Newest<'_>) -> Result<u64, RoundError> {
        if newest.is_empty() {
            return Ok(0);
        }
        let bucket = self.bus.key_value(VERDICTS_BUCKET).await.map_err(RoundError::Bus)?;
        let putting: Vec<_> = newest
            .iter()
            .map(|(key, (id, change))| self.put_verdict(&bucket, key, id.position, change))
            .collect();
        let puts: Vec<Put> = stream::iter(putting).buffer_unordered(PUBLISHING_MAX).try_collect().await?;
        Ok(puts.into_iter().filter(|put| *put == Put::Full).count() as u64)
    }

    async fn put_verdict(
        &self,
        bucket: &Arc<dyn KeyValue>,
        key: &str,
        position: u64,
        change: &VerdictChanged,
    ) -> Result<Put, RoundError> {
        let log = self.store.log();
        let stored = StoredVerdict {
            key: key.to_owned(),
            log: log.id().to_string(),
            generation: log.generation(),
            position,
            change: change.clone(),
        };
        let value = self.signed(&stored).map_err(RoundError::Other)?;
        match bucket.put(key, value.into()).await {
            Ok(_) => Ok(Put::Done),
            Err(BusError::Full { .. }) => Ok(Put::Full),
            Err(error) if error.is_temporary() || matches!(error, BusError::Closed) => {
                Err(RoundError::Bus(error))
            }
            // The event on the stream said it; a reader of the bucket keeps the older one.
            Err(error) => {
                tracing::error!(key, error = error_chain(&error), "failed to put a verdict");
                Ok(Put::Refused)
            }
        }
    }
}

impl Dispatch {
    fn signed(&self, verdict: &StoredVerdict) -> anyhow::Result<Vec<u8>> {
        let log = self.store.log();
        let mut failed = None;
        let signed = SignedVerdict::new(verdict, log.public_key(), |bytes| match log.sign(bytes) {
            Ok(signature) => signature,
            Err(error) => {
                failed = Some(error);
                Vec::new()
            }
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(serde_json::to_vec(&signed)?),
        }
    }
}

/// What became of a verdict in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    Done,
    /// There is no room for it now.
    Full,
    /// There never will be.
    Refused,
}

enum RoundError {
    Ending,
    Bus(BusError),
    Other(anyhow::Error),
}

/// The newest verdict of each key.
type Newest<'a> = BTreeMap<String, (OutboxId, &'a VerdictChanged)>;

fn newest_verdicts(rows: &[Queued]) -> Newest<'_> {
    let verdicts = rows.iter().filter_map(|row| match &row.decision {
        Decision::PublishVerdict { change } => Some((key_of(change), (row.id, &**change))),
        _ => None,
    });
    verdicts.collect()
}

/// Whether a newer verdict under the same key waits beside it: of a digest about which much becomes known at once, only what
/// holds in the end is told.
fn is_overtaken(row: &Queued, newest: &Newest<'_>) -> bool {
    match &row.decision {
        Decision::PublishVerdict { change } => {
            newest.get(&key_of(change)).is_some_and(|(id, _)| *id != row.id)
        }
        _ => false,
    }
}

fn key_of(change: &VerdictChanged) -> String {
    verdict_key(&change.verdict.digest, &change.verdict.pipeline)
}
