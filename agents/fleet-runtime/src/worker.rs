//! Works through a durable consumer with bounded concurrency.
//!
//! In: a reader and a handler that says what became of each message. Out: settled messages. A failing bus ends the
//! loop (its supervisor starts it again); a stop lets what is in hand finish. While our own side fails nothing more is
//! fetched, and what is in hand is held and tried again: that spends no deliveries.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Fuse, FusedFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::bus::reader::Reader;
use crate::bus::{BusError, Delivery};

const FETCH_WAIT: Duration = Duration::from_secs(5);

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Its effects are durable.
    Done,
    /// Our own side (bus, disk) failed: the message is held and handled again after a pause.
    Hold { after: Duration, reason: String },
    /// It may succeed later; spends a delivery.
    Retry { after: Duration, reason: String },
    /// It never will: into the dead letter.
    Bury { reason: String },
}

/// The work on one message. May run more than once for the same message.
#[async_trait]
pub trait Handler: Send + Sync {
    async fn handle(&self, delivery: &Delivery) -> Handled;
}

/// Runs until `stop`; then waits for what is in hand. At most `in_hand_max` messages are worked on at once.
pub async fn work(
    reader: &Reader,
    handler: &dyn Handler,
    in_hand_max: usize,
    stop: &CancellationToken,
) -> Result<(), BusError> {
    let held = AtomicUsize::new(0);
    let mut in_hand = FuturesUnordered::new();
    // A fetch that has begun is never dropped for another branch: what it took would wait for `ack_wait`.
    let fetching = Fuse::terminated();
    tokio::pin!(fetching);
    let fetched: Result<(), BusError> = loop {
        let room = in_hand_max.max(1).saturating_sub(in_hand.len());
        if fetching.is_terminated() && room > 0 && held.load(Ordering::Relaxed) == 0 {
            fetching.set(reader.fetch(room, FETCH_WAIT).fuse());
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            Some(done) = in_hand.next(), if !in_hand.is_empty() => {
                if let Err(error) = done {
                    break Err(error);
                }
            }
            fetched = &mut fetching, if !fetching.is_terminated() => match fetched {
                Ok(deliveries) => {
                    in_hand.extend(deliveries.into_iter().map(|d| handle(reader, handler, d, &held, stop)));
                }
                Err(error) => break Err(error),
            },
        }
    };
    let mut result = fetched;
    while let Some(done) = in_hand.next().await {
        result = result.and(done);
    }
    result
}

async fn handle(
    reader: &Reader,
    handler: &dyn Handler,
    delivery: Delivery,
    held: &AtomicUsize,
    stop: &CancellationToken,
) -> Result<(), BusError> {
    let mut handled = extend_while(reader, &delivery, handler.handle(&delivery)).await;
    while let Handled::Hold { after, reason } = &handled {
        let after = *after;
        tracing::error!(reason, sequence = delivery.sequence, "our own side failed, nothing more is fetched");
        held.fetch_add(1, Ordering::Relaxed);
        let pause = extend_while(reader, &delivery, tokio::time::sleep(after));
        let is_stopped = tokio::select! {
            () = stop.cancelled() => true,
            () = pause => false,
        };
        if !is_stopped {
            handled = extend_while(reader, &delivery, handler.handle(&delivery)).await;
        }
        held.fetch_sub(1, Ordering::Relaxed);
        if is_stopped {
            // It is not settled: it comes again after the restart.
            return Ok(());
        }
    }
    settle(reader, &delivery, handled).await
}

/// Runs work that may take longer than a delivery may stay unsettled.
async fn extend_while<T>(reader: &Reader, delivery: &Delivery, work: impl Future<Output = T>) -> T {
    let extend_every = reader.config().ack_wait / 3;
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(extend_every, &mut work).await {
            Ok(done) => return done,
            Err(_) => {
                if let Err(error) = reader.in_progress(delivery).await {
                    tracing::warn!(error = crate::error_chain(&error), "failed to hold a message");
                }
            }
        }
    }
}

async fn settle(reader: &Reader, delivery: &Delivery, handled: Handled) -> Result<(), BusError> {
    match handled {
        Handled::Done => reader.ack(delivery).await,
        // Held until it is something else.
        Handled::Hold { after, reason } | Handled::Retry { after, reason } => {
            reader.retry(delivery, after, &reason).await
        }
        Handled::Bury { reason } => match reader.bury(delivery, &reason).await {
            // Full or failing: the message stays, and comes to the dead letter again.
            Err(error) if error.is_temporary() => {
                reader.retry(delivery, Duration::from_secs(10), &error.to_string()).await
            }
            result => result,
        },
    }
}

#[cfg(test)]
mod tests;
