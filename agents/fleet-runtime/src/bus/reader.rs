//! Reads a durable consumer so that one bad message never stops those behind it.
//!
//! The count of deliveries is read before a message is worked on; over the limit it goes to the dead letter first and
//! is settled then. In: a consumer. Out: deliveries that may be worked on. It never settles what it could not keep.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus_schema::AgentId;

use super::{Bus, BusError, Consumer, ConsumerConfig, Delivery};
use crate::dead_letters::{Aside, DeadLetters};

/// How long a message waits when even the dead letter could not take it.
const BURY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A durable consumer with its dead letter.
#[derive(Debug)]
pub struct Reader {
    consumer: Arc<dyn Consumer>,
    dead_letters: DeadLetters,
    name: String,
    deliveries_max: u32,
    /// Why the last attempt at a message failed; as many as are in flight.
    reasons: Mutex<BTreeMap<u64, String>>,
}

impl Reader {
    pub async fn open(bus: &Arc<dyn Bus>, config: ConsumerConfig) -> Result<Reader, BusError> {
        Reader::with_letters(bus, config, DeadLetters::new(bus.clone())).await
    }

    /// The same with a folder for letters that the bus has no room for.
    pub async fn with_aside(
        bus: &Arc<dyn Bus>,
        config: ConsumerConfig,
        aside: Aside,
    ) -> Result<Reader, BusError> {
        Reader::with_letters(bus, config, DeadLetters::new(bus.clone()).with_aside(aside)).await
    }

    /// The same for an agent, whose letters are its own.
    pub async fn of_agent(
        bus: &Arc<dyn Bus>,
        agent: &AgentId,
        config: ConsumerConfig,
    ) -> Result<Reader, BusError> {
        Reader::with_letters(bus, config, DeadLetters::of_agent(bus.clone(), agent.clone())).await
    }

    async fn with_letters(
        bus: &Arc<dyn Bus>,
        config: ConsumerConfig,
        dead_letters: DeadLetters,
    ) -> Result<Reader, BusError> {
        let (name, deliveries_max) = (config.name.clone(), config.deliveries_max);
        let consumer = bus.consumer(config).await?;
        Ok(Reader { consumer, dead_letters, name, deliveries_max, reasons: Mutex::default() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn config(&self) -> ConsumerConfig {
        self.consumer.config()
    }

    /// Up to `messages_max` deliveries that may be worked on. An empty answer says that the time is over or that all
    /// that came went to the dead letter.
    pub async fn fetch(&self, messages_max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        let mut fetched = self.consumer.fetch(messages_max, wait).await?;
        let at_limit: Vec<Delivery> =
            fetched.extract_if(.., |delivery| delivery.deliveries > self.deliveries_max).collect();
        for delivery in at_limit {
            let last = self.reasons().get(&delivery.sequence).cloned();
            let last = last.unwrap_or_else(|| "its reader ended each time without an answer".to_owned());
            let reason = format!("delivered {} times without success: {last}", self.deliveries_max);
            if let Err(error) = self.bury(&delivery, &reason).await {
                tracing::error!(consumer = self.name, sequence = delivery.sequence, error = %error,
                    "failed to put a message into the dead letter, it stays");
                self.consumer.retry(&delivery, BURY_AGAIN_AFTER).await?;
            }
        }
        Ok(fetched)
    }

    pub async fn ack(&self, delivery: &Delivery) -> Result<(), BusError> {
        self.reasons().remove(&delivery.sequence);
        self.consumer.ack(delivery).await
    }

    /// Asks for the message again later; the reason is what its dead letter says should it never succeed.
    pub async fn retry(&self, delivery: &Delivery, after: Duration, reason: &str) -> Result<(), BusError> {
        self.reasons().insert(delivery.sequence, reason.to_owned());
        self.consumer.retry(delivery, after).await
    }

    pub async fn in_progress(&self, delivery: &Delivery) -> Result<(), BusError> {
        self.consumer.in_progress(delivery).await
    }

    /// Puts a message into the dead letter and settles it: for what no repetition will make right.
    pub async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), BusError> {
        self.dead_letters.bury(&self.name, reason, delivery).await?;
        self.reasons().remove(&delivery.sequence);
        self.consumer.terminate(delivery, reason).await
    }

    /// The letters of this reader.
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }

    fn reasons(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
