//! Sending on: from the outbox to the servers, oldest first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{MESSAGES_READ_MAX, Outbox, READ_BYTES_MAX, STREAMS};
use crate::bus::{Bus, BusError, Stored, Stream};
use crate::health::Check;

/// Messages that wait for the servers at once. They are sent in order; where the servers refuse one in the middle, up to so
/// many behind it are there before it.
const SENDING_MAX: usize = 64;
/// How long nothing is looked for when nothing was written.
const IDLE: Duration = Duration::from_secs(5);
/// How long what is on its way at the stop is waited for. What the servers took and we did not hear of is sent again by the
/// next process, under the same id.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What holds up each stream, in the order of [`STREAMS`].
type HeldUp = Mutex<[Option<String>; STREAMS.len()]>;

impl Outbox {
    /// Sends on until `stop`. What the servers do not take stays, is tried again, and makes the check fail.
    pub async fn send(self: Arc<Outbox>, check: Check, stop: CancellationToken) {
        let held_up = HeldUp::default();
        *self.fullness.check.lock().unwrap_or_else(PoisonError::into_inner) = Some(check.clone());
        let lanes = (0..STREAMS.len()).map(|place| self.send_stream(place, &held_up, &check, &stop));
        futures::future::join_all(lanes).await;
    }

    async fn send_stream(&self, place: usize, held_up: &HeldUp, check: &Check, stop: &CancellationToken) {
        let (mut pause, mut logged) = (PAUSE_FIRST, None);
        while !stop.is_cancelled() {
            let Some(outcome) = until_stop(self.round(STREAMS[place]), stop).await else { return };
            let wait = match outcome {
                Ok(sent) => {
                    self.tell(place, None, held_up, check);
                    logged = None;
                    pause = PAUSE_FIRST;
                    if sent > 0 { Duration::ZERO } else { IDLE }
                }
                Err(error) => {
                    let (stream, reason) = (STREAMS[place].name(), crate::error_chain(&error));
                    let (messages, bytes) = (self.waiting_messages(), self.waiting_bytes());
                    if logged.as_ref() == Some(&reason) {
                        tracing::debug!(stream, reason, messages, bytes, "the outbox waits for the bus");
                    } else {
                        tracing::warn!(stream, reason, messages, bytes, "the outbox waits for the bus");
                        logged = Some(reason.clone());
                    }
                    self.tell(place, Some(reason), held_up, check);
                    let wait = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    wait
                }
            };
            if wait.is_zero() {
                continue;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                // What was written is no reason to ask a bus that is away.
                () = self.written[place].notified(), if wait == IDLE => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Ready when nothing holds up any stream.
    fn tell(&self, place: usize, reason: Option<String>, held_up: &HeldUp, check: &Check) {
        let mut held_up = held_up.lock().unwrap_or_else(PoisonError::into_inner);
        held_up[place] = reason;
        let mut reasons: Vec<&str> = held_up.iter().flatten().map(String::as_str).collect();
        reasons.dedup();
        if reasons.is_empty() {
            return check.ready();
        }
        let (messages, bytes) = (self.waiting_messages(), self.waiting_bytes());
        let full = match self.fullness.is_full.load(Ordering::Relaxed) {
            true => "the outbox is full: ",
            false => "",
        };
        let reasons = reasons.join("; ");
        check.failing(format!("{full}{messages} messages ({bytes} bytes) wait for the bus: {reasons}"));
    }

    /// Sends one page of what is there of a stream; tells how many were taken.
    pub(super) async fn round(&self, stream: Stream) -> Result<usize, BusError> {
        let page = self.here.read_within(stream, 0, MESSAGES_READ_MAX, READ_BYTES_MAX).await?;
        self.send_page(stream, page).await
    }

    /// Begins nothing more after the first message that is not taken. What was on its way by then is waited for: half sent
    /// it could arrive before what it follows.
    async fn send_page(&self, stream: Stream, page: Vec<Stored>) -> Result<usize, BusError> {
        let has_failed = AtomicBool::new(false);
        let page = stream::iter(page).take_while(|_| std::future::ready(!has_failed.load(Ordering::Relaxed)));
        let sending = page.map(|stored| async {
            let mut message = stored.message.clone();
            message.id = self.key.wire_id(&message.id);
            // A runtime that makes a busy task pause would let what comes after it go first.
            tokio::task::unconstrained(self.there.publish(message)).await.map(|_| stored)
        });
        let mut sending = std::pin::pin!(sending.buffered(SENDING_MAX));
        let mut taken = Vec::new();
        let mut failed = None;
        while let Some(outcome) = sending.next().await {
            match outcome {
                Ok(stored) => taken.push(stored),
                Err(error) => {
                    has_failed.store(true, Ordering::Relaxed);
                    if matches!(error, BusError::Denied { .. }) {
                        self.metrics.denied(stream);
                    }
                    failed.get_or_insert(error);
                }
            }
        }
        let removing = taken.iter().map(|stored| self.here.remove(stream, stored.sequence));
        let removed = futures::future::join_all(removing).await;
        for (stored, removed) in taken.iter().zip(removed) {
            if removed? {
                self.waiting.take(&stored.message);
            }
        }
        if !taken.is_empty() {
            self.fullness.end();
        }
        self.show();
        match failed {
            Some(error) => Err(error),
            None => Ok(taken.len()),
        }
    }
}

/// Nothing when it was not done soon after the stop.
async fn until_stop<T>(work: impl Future<Output = T>, stop: &CancellationToken) -> Option<T> {
    let over = async {
        stop.cancelled().await;
        tokio::time::sleep(HEARD_WITHIN).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = over => None,
    }
}
