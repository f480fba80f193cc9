//! Works through a durable consumer with bounded concurrency.
//!
//! In: a reader and a handler that says what became of each message. Out: settled messages. A failing bus ends the
//! loop (its supervisor starts it again); a stop lets what is in hand finish.

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
    let mut in_hand = FuturesUnordered::new();
    // A fetch that has begun is never dropped for another branch: what it took would wait for `ack_wait`.
    let fetching = Fuse::terminated();
    tokio::pin!(fetching);
    let fetched: Result<(), BusError> = loop {
        let room = in_hand_max.max(1).saturating_sub(in_hand.len());
        if fetching.is_terminated() && room > 0 {
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
                Ok(deliveries) => in_hand.extend(deliveries.into_iter().map(|d| handle(reader, handler, d))),
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

async fn handle(reader: &Reader, handler: &dyn Handler, delivery: Delivery) -> Result<(), BusError> {
    let extend_every = reader.config().ack_wait / 3;
    let work = handler.handle(&delivery);
    tokio::pin!(work);
    let handled = loop {
        match tokio::time::timeout(extend_every, &mut work).await {
            Ok(handled) => break handled,
            Err(_) => reader.in_progress(&delivery).await?,
        }
    };
    match handled {
        Handled::Done => reader.ack(&delivery).await,
        Handled::Retry { after, reason } => reader.retry(&delivery, after, &reason).await,
        Handled::Bury { reason } => match reader.bury(&delivery, &reason).await {
            // Full or failing: the message stays, and comes to the dead letter again.
            Err(error) if error.is_temporary() => {
                reader.retry(&delivery, Duration::from_secs(10), &error.to_string()).await
            }
            result => result,
        },
    }
}
