//! Compares the bucket of verdicts with the index, and puts what it lacks: a bucket may be full, purged, or on another server,
//! and an index that was built anew may conclude otherwise than what lies there.
//!
//! In: the verdicts of the index, page by page, at moments when nothing waits in the lane for the bus. So all that is read has
//! been put at a lower position than the view's, and all that comes is put at a higher one. Out: values with the position of
//! the view.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus_schema::verdict::VerdictChanged;
use correlator_core::records::{Records, Table};
use correlator_core::verdict::VerdictRecord;
use correlator_store::{Lane, OutboxId};
use fleet_runtime::bus::KeyValue;
use fleet_runtime::verdicts::{SignedVerdict, StoredVerdict, VERDICTS_BUCKET, verdict_key};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Dispatch, PUBLISHING_MAX, Put, RoundError};

/// The first comparison begins so long after the start, when what a start has to do is done.
const FIRST_AFTER: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(60) };
const EVERY: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(3600) };
/// Where the bucket was full it is tried again sooner.
const AGAIN_AFTER: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(60) };
/// Verdicts that are compared at once, each with a signature to check, and the pause behind them: what is to be told at once
/// waits for no more than a page.
const PAGE: usize = 32;
const PAUSE: Duration = Duration::from_millis(10);

/// How far the comparison is.
#[derive(Debug)]
pub(super) struct Mirror {
    due: Instant,
    /// The key in the index from which it goes on.
    from: String,
    /// Verdicts that the bucket did not take since the comparison began, and those that it lacked.
    untaken: u64,
    put: u64,
}

impl Mirror {
    pub(super) fn new() -> Mirror {
        Mirror { due: Instant::now() + FIRST_AFTER, from: String::new(), untaken: 0, put: 0 }
    }

    /// When there is something to do, unless there is at once.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// What the bucket did not take: readers have an older verdict of these, or none.
    pub(super) fn untaken(&self) -> u64 {
        self.untaken
    }

    /// Verdicts were not put because the bucket is full.
    pub(super) fn note_untaken(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        if self.untaken == 0 {
            tracing::error!("the bucket of verdicts is full: its readers have older verdicts, or none");
            self.due = self.due.min(Instant::now() + AGAIN_AFTER);
        }
        self.untaken += count;
    }

    fn end(&mut self, untaken: u64) {
        if self.put > 0 {
            tracing::warn!(verdicts = self.put, "put verdicts that the bucket lacked");
        }
        if self.untaken > 0 && untaken == 0 {
            tracing::info!("the bucket of verdicts has all of them again");
        }
        let pause = if untaken > 0 { AGAIN_AFTER } else { EVERY };
        *self = Mirror { due: Instant::now() + pause, from: String::new(), untaken, put: 0 };
    }
}

/// Verdicts of the index as of a position of the log.
struct Page {
    position: u64,
    verdicts: Vec<VerdictRecord>,
    /// Where the next page begins; nothing after the last.
    next: Option<String>,
}

impl Dispatch {
    /// Compares the next page, where everything up to `after` is carried out. Returns whether there is more to do at once.
    pub(super) async fn mirror(
        &self,
        mirror: &mut Mirror,
        after: Option<OutboxId>,
    ) -> Result<bool, RoundError> {
        let Some(page) = self.page(mirror.from.clone(), after).await.map_err(RoundError::Other)? else {
            // What waits in the lane goes first.
            return Ok(true);
        };
        let bucket = self.bus.key_value(VERDICTS_BUCKET).await.map_err(RoundError::Bus)?;
        let comparing: Vec<_> =
            page.verdicts.iter().map(|record| self.compare(&bucket, page.position, record)).collect();
        let puts: Vec<Option<Put>> =
            stream::iter(comparing).buffer_unordered(PUBLISHING_MAX).try_collect().await?;
        mirror.put += puts.iter().filter(|put| **put == Some(Put::Done)).count() as u64;
        let untaken = puts.iter().filter(|put| **put == Some(Put::Full)).count() as u64;
        match page.next.filter(|_| untaken == 0) {
            Some(next) => {
                mirror.from = next;
                mirror.due = Instant::now() + PAUSE;
            }
            None => mirror.end(untaken),
        }
        Ok(false)
    }

    /// Puts a verdict unless the bucket has it.
    async fn compare(
        &self,
        bucket: &Arc<dyn KeyValue>,
        position: u64,
        record: &VerdictRecord,
    ) -> Result<Option<Put>, RoundError> {
        let key = verdict_key(&record.verdict.digest, &record.verdict.pipeline);
        let found = bucket.get(&key).await.map_err(RoundError::Bus)?;
        if found.is_some_and(|entry| self.says(&entry.value, &key, record)) {
            return Ok(None);
        }
        let change = VerdictChanged {
            verdict: record.verdict.clone(),
            previous: None,
            because: "the bucket had another verdict, or none".to_owned(),
            log_position: position,
        };
        self.put_verdict(bucket, &key, position, &change).await.map(Some)
    }

    /// Nothing where something waits in the lane for the bus.
    async fn page(&self, from: String, after: Option<OutboxId>) -> anyhow::Result<Option<Page>> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || {
            let index = store.index().map_err(|error| anyhow::anyhow!("{error}"))?;
            let snapshot = index.snapshot()?;
            if !snapshot.outbox(Lane::Bus, after, 1)?.is_empty() {
                return Ok(None);
            }
            let rows = snapshot.scan(Table::Verdicts, "", &from, PAGE)?;
            let last = rows.last().filter(|_| rows.len() == PAGE);
            let next = last.map(|(key, _)| format!("{key}\0"));
            let verdicts =
                rows.iter().map(|(_, bytes)| serde_json::from_slice(bytes)).collect::<Result<_, _>>()?;
            Ok(Some(Page { position: snapshot.position(), verdicts, next }))
        })
        .await?
    }

    /// Whether a value of the bucket is this verdict, of this log and signed by its key.
    fn says(&self, value: &[u8], key: &str, record: &VerdictRecord) -> bool {
        let log = self.store.log();
        let stored = SignedVerdict::open(value, log.public_key());
        stored.is_ok_and(|StoredVerdict { key: own, log: of_log, generation, change, .. }| {
            own == key
                && of_log == log.id().to_string()
                && generation == log.generation()
                && change.verdict == record.verdict
        })
    }
}
