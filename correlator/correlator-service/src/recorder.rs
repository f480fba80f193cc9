//! The one writer: whatever is to be remembered goes through here, log first.
//!
//! In: inputs and receipts of the other parts, and time. Out: one append with one fsync per batch; an answer to each part
//! once its entries are durable; then each input through the ledger, and changes, decisions and position committed to the
//! index together. While the store fails nothing is answered and nothing is lost: what is in hand is tried again.

mod desk;
mod due;
mod together;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use bus_schema::Envelope;
use correlator_core::facts::Verified;
use correlator_core::input::Input;
use correlator_store::{ENTRY_PAYLOAD_BYTES_MAX, Receipt};
use fleet_runtime::health::Check;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::pause::Pauses;

pub(crate) use desk::{Desk, OpenTrouble, shared_of};
use writer::Writer;

/// Requests that wait for the writer; those who ask wait beyond it.
const REQUESTS_WAITING_MAX: usize = 64;
/// A batch takes more requests up to this size.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
const TROUBLE_PAUSES: Pauses = Pauses { first: Duration::from_millis(200), max: Duration::from_secs(5) };

/// What is to be remembered.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    Input(Box<Input>),
    Receipt(Receipt),
}

impl Record {
    pub(crate) fn input(input: Input) -> Record {
        Record::Input(Box::new(input))
    }
}

/// An event, and what its evidence is known to prove.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    pub(crate) event: Envelope,
    pub(crate) verified: Vec<Verified>,
}

impl Happened {
    /// The event first: the results are of what it brings.
    fn records(self) -> impl Iterator<Item = Record> {
        let verified = self.verified.into_iter().map(|verified| Input::Verified(Box::new(verified)));
        std::iter::once(Input::Event(Box::new(self.event))).chain(verified).map(Record::input)
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// It is in the log now.
    New,
    /// The event was in the log already and is not in it again.
    Repeat,
}

/// Why something is not remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The process is ending; nothing of the request is in the log.
    #[error("the evidence log takes no more entries, the process is ending")]
    Ending,
    #[error("an entry of {bytes} bytes is larger than the log takes")]
    TooLarge { bytes: usize },
    #[error("an entry cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
}

/// A handle for those who have something to record.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    records: Vec<Encoded>,
    bytes: usize,
    answer: oneshot::Sender<Vec<Remembered>>,
}

impl Recorder {
    pub(crate) fn new() -> (Recorder, Requests) {
        let (requests, receiver) = mpsc::channel(REQUESTS_WAITING_MAX);
        (Recorder { requests }, Requests(receiver))
    }

    /// Records all of these in this order, next to each other as far as they share a batch. Returns when they are durable,
    /// which may take as long as the store fails.
    pub(crate) async fn record(&self, records: Vec<Record>) -> Result<(), RecordError> {
        self.remember(records).await.map(|_| ())
    }

    /// The same for events, of which each is in the log once: says of each what became of it. One that the log cannot take
    /// keeps no other out.
    pub(crate) async fn record_events(
        &self,
        events: Vec<Happened>,
    ) -> Result<Vec<Result<Remembered, RecordError>>, RecordError> {
        let (mut records, mut places) = (Vec::new(), Vec::new());
        for event in events {
            let encoded: Result<Vec<Encoded>, RecordError> = event.records().map(encode).collect();
            places.push(encoded.map(|encoded| {
                let place = records.len();
                records.extend(encoded);
                place
            }));
        }
        let remembered = self.remember_encoded(records).await?;
        let what = |place: usize| remembered.get(place).copied().unwrap_or(Remembered::New);
        Ok(places.into_iter().map(|place| place.map(what)).collect())
    }

    async fn remember(&self, records: Vec<Record>) -> Result<Vec<Remembered>, RecordError> {
        self.remember_encoded(records.into_iter().map(encode).collect::<Result<_, _>>()?).await
    }

    /// In requests of which each is small enough to share a batch.
    async fn remember_encoded(&self, records: Vec<Encoded>) -> Result<Vec<Remembered>, RecordError> {
        let mut remembered = Vec::with_capacity(records.len());
        let mut records = records.into_iter().peekable();
        while let Some(first) = records.next() {
            let mut bytes = first.1.len();
            let mut together = vec![first];
            while let Some(next) = records.next_if(|(_, payload)| bytes + payload.len() <= BATCH_BYTES_MAX) {
                bytes += next.1.len();
                together.push(next);
            }
            let (answer, answered) = oneshot::channel();
            let request = Request { records: together, bytes, answer };
            self.requests.send(request).await.map_err(|_| RecordError::Ending)?;
            remembered.extend(answered.await.map_err(|_| RecordError::Ending)?);
        }
        Ok(remembered)
    }
}

/// The requests, for [`run`].
#[derive(Debug)]
pub(crate) struct Requests(mpsc::Receiver<Request>);

/// A record, and its entry in the log.
type Encoded = (Record, Vec<u8>);

fn encode(record: Record) -> Result<Encoded, RecordError> {
    let payload = match &record {
        Record::Input(input) => serde_json::to_vec(input),
        Record::Receipt(receipt) => serde_json::to_vec(receipt),
    };
    let payload = payload.map_err(RecordError::Encode)?;
    match payload.len() > ENTRY_PAYLOAD_BYTES_MAX {
        true => Err(RecordError::TooLarge { bytes: payload.len() }),
        false => Ok((record, payload)),
    }
}

/// Records until every handle is gone. After `stop` it does not wait for a store that fails.
pub(crate) async fn run(
    desk: Desk,
    mut requests: Requests,
    check: Check,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let store = Arc::clone(desk.store());
    let mut writer = Writer::start(desk)?;
    let mut held: Vec<Request> = Vec::new();
    let mut failures = 0;
    check.ready();
    loop {
        if held.is_empty() && failures == 0 {
            let due = writer.until_due();
            tokio::select! {
                biased;
                request = requests.0.recv() => match request {
                    Some(request) => held.push(request),
                    None => break,
                },
                () = sleep(due) => {}
            }
        }
        gather(&mut held, &mut requests);
        let trouble = match writer.step(held).await? {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!("the store works again");
                }
                failures = 0;
                check.ready();
                held = Vec::new();
                continue;
            }
            Err(trouble) => trouble,
        };
        check.failing(trouble.reason());
        failures += 1;
        if failures == 1 || failures % 16 == 0 {
            tracing::error!(
                error = trouble.reason(),
                "failed to record, nothing is taken from the bus meanwhile"
            );
        }
        held = trouble.unrecorded;
        if stop.is_cancelled() {
            anyhow::bail!("the store failed while the process was ending");
        }
        tokio::select! {
            () = tokio::time::sleep(TROUBLE_PAUSES.after(failures)) => {}
            () = stop.cancelled() => {}
        }
    }
    writer.end().await?;
    tokio::task::spawn_blocking(move || match store.index() {
        Ok(index) => index.checkpoint().map_err(anyhow::Error::from),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    })
    .await?
}

/// Adds what waits already, so that it shares the batch and its fsync.
fn gather(held: &mut Vec<Request>, requests: &mut Requests) {
    let mut bytes: usize = held.iter().map(|request| request.bytes).sum();
    while bytes < BATCH_BYTES_MAX {
        match requests.0.try_recv() {
            Ok(request) => {
                bytes += request.bytes;
                held.push(request);
            }
            Err(_) => return,
        }
    }
}

async fn sleep(due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use correlator_core::facts::{Outcome, Refusal, RefusalReason};

    use super::*;

    fn result(number: usize, bytes: usize) -> Record {
        let digest = bus_schema::Digest::sha256_of(&number.to_be_bytes());
        let refusal = Refusal {
            reason: RefusalReason::Malformed,
            expected: "x".repeat(bytes),
            found: String::new(),
            claims: None,
            claimed_subjects: Vec::new(),
        };
        let outcome = Outcome::Refused(refusal);
        Record::input(Input::Verified(Box::new(Verified {
            evidence: digest,
            verifier: 1,
            trust: digest,
            outcome,
        })))
    }

    #[tokio::test]
    async fn what_is_more_than_a_batch_takes_is_recorded_in_parts_and_in_order() {
        let (recorder, mut requests) = Recorder::new();
        let records: Vec<Record> = (0..10).map(|number| result(number, BATCH_BYTES_MAX / 4)).collect();
        let recording = tokio::spawn(async move { recorder.remember(records).await });
        let mut parts = Vec::new();
        while let Some(request) = requests.0.recv().await {
            assert!(request.bytes <= BATCH_BYTES_MAX, "{}", request.bytes);
            parts.push(request.records.len());
            request.answer.send(vec![Remembered::New; request.records.len()]).unwrap();
        }
        assert_eq!(parts, [3, 3, 3, 1]);
        assert_eq!(recording.await.unwrap().unwrap().len(), 10);
    }
}
