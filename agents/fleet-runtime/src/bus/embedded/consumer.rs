//! A handle on a durable consumer: plans, reads, counts on disk, then hands out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::command::{Command, Queue};
use super::owed::Owed;
use super::read::{self, Found};
use super::shared::Shared;
use crate::bus::{BusError, Consumer, ConsumerConfig, Delivery, FETCH_MESSAGES_MAX, Stored};

#[derive(Debug)]
pub(super) struct EmbeddedConsumer {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    owed: Arc<Owed>,
}

impl EmbeddedConsumer {
    pub(super) fn new(queue: Arc<Queue>, shared: Arc<Shared>, owed: Arc<Owed>) -> EmbeddedConsumer {
        EmbeddedConsumer { queue, shared, owed }
    }

    /// Takes what is there now; empty when nothing is.
    async fn take(&self, messages_max: usize) -> Result<Vec<Delivery>, BusError> {
        loop {
            let plan = self.owed.plan(messages_max);
            if plan.again.is_empty() && plan.new_max == 0 {
                self.shared.database()?;
                return Ok(Vec::new());
            }
            let stream = self.owed.stream();
            let read = self.shared.read(move |database| {
                let (new_max, looked_at) = (plan.new_max, plan.looked_at);
                read::for_consumer(database, stream, &plan.config.filter, &plan.again, new_max, looked_at)
            });
            let found = read.await?;
            for sequence in found.gone.iter().copied() {
                self.settle(sequence).await?;
            }
            if !found.again.is_empty() || !found.new.is_empty() {
                return self.hand_out(found).await;
            }
            self.owed.advance(found.looked_at);
            if !found.has_more {
                return Ok(Vec::new());
            }
        }
    }

    async fn hand_out(&self, found: Found) -> Result<Vec<Delivery>, BusError> {
        let again = found.again.into_iter().map(|(stored, before)| (stored, before.saturating_add(1)));
        let all: Vec<(Stored, u32)> = again.chain(found.new.into_iter().map(|stored| (stored, 1))).collect();
        let rows: Vec<(u64, u32)> =
            all.iter().map(|(stored, deliveries)| (stored.sequence, *deliveries)).collect();
        let looked_at = found.looked_at;
        let (owed, counted) = (self.owed.clone(), rows.clone());
        self.queue.ask(0, |reply| Command::Deliver { owed, rows: counted, looked_at, reply }).await?;
        let late = self.owed.delivered(&rows, looked_at);
        for sequence in late.iter().copied() {
            let owed = self.owed.clone();
            self.queue.send(0, Command::Settle { owed, sequence }).await?;
        }
        let kept = all.into_iter().filter(|(stored, _)| !late.contains(&stored.sequence));
        Ok(kept.map(|(stored, deliveries)| delivery(stored, deliveries)).collect())
    }

    async fn settle(&self, sequence: u64) -> Result<(), BusError> {
        if self.owed.settle(sequence) {
            let owed = self.owed.clone();
            self.queue.send(0, Command::Settle { owed, sequence }).await?;
        }
        Ok(())
    }
}

fn delivery(stored: Stored, deliveries: u32) -> Delivery {
    let Stored { sequence, message, published_at } = stored;
    Delivery { message, sequence, deliveries, published_at, handle: String::new() }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    fn config(&self) -> ConsumerConfig {
        self.owed.config()
    }

    async fn fetch(&self, messages_max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        let messages_max = messages_max.clamp(1, FETCH_MESSAGES_MAX);
        let deadline = Instant::now() + wait;
        loop {
            // Registered before looking, so that nothing published in between is slept over.
            let changed = self.owed.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.owed.is_removed() {
                return Err(BusError::Consumer { reason: "it was removed".to_owned() });
            }
            if let Ok(turn) = timeout_at(deadline.max(Instant::now()), self.owed.turn.lock()).await {
                let taken = self.take(messages_max).await?;
                drop(turn);
                if !taken.is_empty() {
                    return Ok(taken);
                }
            }
            if Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            let next = self.owed.next_due().map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(next) => {}
            }
        }
    }

    async fn ack(&self, delivery: &Delivery) -> Result<(), BusError> {
        self.settle(delivery.sequence).await
    }

    async fn retry(&self, delivery: &Delivery, after: Duration) -> Result<(), BusError> {
        self.owed.set_due(delivery.sequence, delivery.deliveries, Instant::now() + after);
        Ok(())
    }

    async fn in_progress(&self, delivery: &Delivery) -> Result<(), BusError> {
        let due = Instant::now() + self.owed.config().ack_wait;
        self.owed.set_due(delivery.sequence, delivery.deliveries, due);
        Ok(())
    }

    async fn terminate(&self, delivery: &Delivery, reason: &str) -> Result<(), BusError> {
        tracing::info!(
            consumer = self.owed.name(),
            sequence = delivery.sequence,
            deliveries = delivery.deliveries,
            reason,
            "terminated a message"
        );
        self.settle(delivery.sequence).await
    }
}
