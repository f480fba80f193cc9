//! Verifies evidence: its bytes against the trust set in force, on threads of their own; the result is an input of the log.
//!
//! In: `Verify` decisions of the outbox, for evidence that came without a result (see `consume::early`); and at the start
//! every piece of evidence that still awaits a result or has one of another verifier. Out: `Verified` in the log, then the
//! decisions leave the outbox. Bytes that cannot be read are no refusal, nor is a time that has not come: both are tried again
//! for as long as it takes, and never remembered as a result.

mod cache;
mod job;
mod queue;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bus_schema::Digest;
use correlator_core::facts::{Outcome, Verified};
use correlator_core::input::Input;
use correlator_core::records::{Records, Table};
use correlator_core::state::evidence::{EvidenceRecord, key as evidence_key};
use correlator_store::{Index, Lane, Receipt, Store};
use evidence::VERIFIER_VERSION;
use fleet_runtime::bus::Bus;
use fleet_runtime::error_chain;
use fleet_runtime::health::Check;
use futures::FutureExt;
use futures::future::{BoxFuture, OptionFuture};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::CorrelatorMetrics;
use crate::recorder::{Record, RecordError, Recorder};
use crate::shared::{InForce, Shared};
pub use cache::{OutcomeCache, OutcomeKey};
use job::{Done, JobError};
use queue::Queue;

pub(crate) use job::{is_not_yet, outcome_and_size, outcome_of};

/// Rows of the outbox that are looked at, at once.
const ROWS_MAX: usize = 256;
/// Records that one page of the start's search holds.
const PAGE_RECORDS: usize = 500;
/// Results that wait to be recorded, and their bytes; beyond either no job is started.
const RESULTS_WAITING_MAX: usize = 512;
const RESULTS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often waiting is looked at again when nothing else happens.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The verifying part.
#[derive(Debug)]
pub(crate) struct Verification {
    pub(crate) store: Arc<Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: CorrelatorMetrics,
    pub(crate) jobs_max: usize,
    pub(crate) cache: OutcomeCache,
}

/// Results that wait to be recorded.
#[derive(Debug, Default)]
struct Results {
    all: Vec<Verified>,
    bytes: usize,
}

impl Results {
    fn have_room(&self) -> bool {
        self.all.len() < RESULTS_WAITING_MAX && self.bytes < RESULTS_BYTES_MAX
    }
}

type Finished = (Digest, Digest, Result<Done, JobError>);

impl Verification {
    /// Runs until the stop; what is being verified then is finished and recorded.
    pub(crate) async fn run(&self, check: Check, stop: CancellationToken) -> anyhow::Result<()> {
        let mut queue = Queue::default();
        let mut search = Some(String::new());
        let mut running: JoinSet<Finished> = JoinSet::new();
        let mut progress = self.shared.progress.subscribe();
        let mut in_force = self.shared.in_force.subscribe();
        // Results go to the log together: those that come while it is being written wait for the next time.
        let mut verified = Results::default();
        let mut recording: OptionFuture<BoxFuture<'_, Result<(), RecordError>>> = None.into();
        let mut being_recorded = 0;
        check.ready();
        loop {
            let is_stopping = stop.is_cancelled();
            if !is_stopping {
                self.fill(&mut queue, &mut search).await?;
                if verified.have_room() {
                    self.start(&mut queue, &mut running, &check).await?;
                }
            }
            if being_recorded == 0 && (!verified.all.is_empty() || running.is_empty()) {
                let records = self.records(&mut queue, std::mem::take(&mut verified).all);
                being_recorded = records.len();
                recording = (being_recorded > 0).then(|| self.recorder.record(records).boxed()).into();
            }
            let waiting =
                queue.waiting() + verified.all.len() + being_recorded + usize::from(search.is_some());
            self.shared.verifications_waiting.store(waiting, Ordering::Release);
            if is_stopping && running.is_empty() && being_recorded == 0 {
                return Ok(());
            }
            let pause = queue.next_retry().map_or(LOOK_EVERY, |at| {
                at.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(5), LOOK_EVERY)
            });
            let has_more = search.is_some() && queue.has_room();
            tokio::select! {
                Some(finished) = running.join_next(), if !running.is_empty() => {
                    let mut finished = vec![finished?];
                    while let Some(more) = running.try_join_next() {
                        finished.push(more?);
                    }
                    self.finish(&mut queue, finished, &check, &mut verified);
                }
                Some(recorded) = &mut recording => {
                    (being_recorded, recording) = (0, None.into());
                    match recorded {
                        // At the end, what was verified is verified again after the next start.
                        Ok(()) | Err(RecordError::Ending) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                _ = progress.changed() => {}
                _ = in_force.changed() => {}
                () = tokio::time::sleep(pause), if !has_more => {}
                () = std::future::ready(()), if has_more => {}
                () = stop.cancelled(), if !is_stopping => {}
            }
        }
    }

    /// Takes decisions of the outbox, and pages of the start's search, as long as there is room.
    async fn fill(&self, queue: &mut Queue, search: &mut Option<String>) -> anyhow::Result<()> {
        if !queue.has_room() {
            return Ok(());
        }
        let after = queue.cursor();
        let rows = self
            .read(move |index| Ok(index.snapshot()?.outbox(Lane::Verification, after, ROWS_MAX)?))
            .await?;
        for row in rows {
            if let correlator_core::decision::Decision::Verify { evidence } = row.decision {
                queue.add_row(row.id, evidence);
            }
        }
        let Some(from) = search.take() else { return Ok(()) };
        let page_from = from.clone();
        let page = self
            .read(move |index| {
                let snapshot = index.snapshot()?;
                Ok(snapshot.scan(Table::Evidence, "", &page_from, PAGE_RECORDS)?)
            })
            .await?;
        let trust = self.in_force().trust_version;
        let is_last = page.len() < PAGE_RECORDS;
        let next = page.last().map(|(key, _)| format!("{key}\0"));
        for (key, bytes) in page {
            let record: EvidenceRecord = serde_json::from_slice(&bytes)?;
            if let Ok(evidence) = key.parse::<Digest>()
                && !is_done(&record, &trust)
            {
                queue.add(evidence);
            }
        }
        *search = next.filter(|_| !is_last);
        Ok(())
    }

    /// Starts jobs while there are free threads.
    async fn start(
        &self,
        queue: &mut Queue,
        running: &mut JoinSet<Finished>,
        check: &Check,
    ) -> anyhow::Result<()> {
        let in_force = self.in_force();
        let trust = match &in_force.trust {
            Ok(trust) => {
                if queue.next_retry().is_none() {
                    check.ready();
                }
                Arc::clone(trust)
            }
            Err(reason) => {
                check.failing(format!("nothing can be verified: {reason}"));
                return Ok(());
            }
        };
        while running.len() < self.jobs_max {
            let Some(evidence) = queue.next(Instant::now()) else { return Ok(()) };
            let key = evidence_key(&evidence);
            let record = self
                .read(move |index| Ok(index.snapshot()?.get(Table::Evidence, &key)?))
                .await?
                .map(|bytes| serde_json::from_slice::<EvidenceRecord>(&bytes))
                .transpose()?;
            let Some(record) = record.filter(|record| !is_done(record, &in_force.trust_version)) else {
                queue.done(&evidence);
                continue;
            };
            let job = job::Job {
                evidence,
                record,
                trust: Arc::clone(&trust),
                trust_version: in_force.trust_version,
                kept: self.store.blobs().clone(),
                arriving: self.bus.blobs(),
                cache: self.cache.clone(),
            };
            let version = in_force.trust_version;
            running.spawn(async move { (evidence, version, job.run().await) });
        }
        Ok(())
    }

    /// Adds the results that are of the trust set in force; the rest is tried again.
    fn finish(&self, queue: &mut Queue, finished: Vec<Finished>, check: &Check, verified: &mut Results) {
        let in_force = self.in_force().trust_version;
        for (evidence, trust, result) in finished {
            match result {
                Ok(_) if trust != in_force => queue.again(&evidence),
                Ok(Done { outcome, bytes, was_cached }) => {
                    self.metrics.verification(word_of(&outcome, was_cached));
                    check.ready();
                    verified.bytes += bytes;
                    verified.all.push(Verified { evidence, verifier: VERIFIER_VERSION, trust, outcome });
                }
                Err(error) => {
                    self.metrics.verification("failed");
                    let reason = error_chain(&error);
                    let failures = queue.failed(&evidence, Instant::now());
                    // A clock that is a little behind its log's soon knows that time.
                    if failures > 1 || !matches!(error, JobError::NotYet { .. }) {
                        check.failing(&reason);
                    }
                    if failures == 1 {
                        tracing::warn!(%evidence, error = reason, "evidence cannot be verified now, trying again");
                    }
                }
            }
        }
    }

    /// What is to be recorded: results, and that decisions were carried out.
    fn records(&self, queue: &mut Queue, verified: Vec<Verified>) -> Vec<Record> {
        for verified in &verified {
            queue.done(&verified.evidence);
        }
        let mut records: Vec<Record> =
            verified.into_iter().map(|verified| Record::input(Input::Verified(Box::new(verified)))).collect();
        if let Some((through, count)) = queue.take_settled() {
            let receipt = Receipt::Dispatched { lane: Lane::Verification, through };
            records.push(Record::Receipt(receipt));
            self.metrics.dispatched(Lane::Verification, count);
        }
        records
    }

    fn in_force(&self) -> InForce {
        self.shared.in_force.borrow().clone()
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Index) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || match store.index() {
            Ok(index) => read(index),
            Err(error) => Err(anyhow::anyhow!("{error}")),
        })
        .await?
    }
}

/// What became of a verification, in a word.
pub(crate) fn word_of(outcome: &Outcome, was_cached: bool) -> &'static str {
    match (outcome, was_cached) {
        (_, true) => "cached",
        (Outcome::Verified(_), false) => "verified",
        (Outcome::Refused(_), false) => "refused",
    }
}

/// Whether the result that is known is one of this trust set and this verifier.
fn is_done(record: &EvidenceRecord, trust: &Digest) -> bool {
    record.blob.is_none()
        || (record.outcome.is_some()
            && record.awaited_since.is_none()
            && record.trust == Some((*trust, VERIFIER_VERSION)))
}
