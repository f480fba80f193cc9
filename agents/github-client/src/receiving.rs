//! One agent's side of the webhook intake: translate, make durable, answer.

use async_trait::async_trait;
use bus_schema::{Digest, Envelope, TraceParent};
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::metrics::{AgentMetrics, DeadLettered};
use fleet_runtime::publisher::Publisher;
use fleet_runtime::trace::{Step, StepKind};

use crate::intake::{NotStored, Received, Receiver};
use crate::report::{Report, Translate, Translated};
use crate::webhook::Delivery;

/// Hands deliveries to an agent's translation and its reports to the bus.
#[derive(Debug)]
pub struct Receiving<T> {
    publisher: Publisher,
    dead_letters: DeadLetters,
    translation: T,
}

impl<T: Translate> Receiving<T> {
    pub fn new(publisher: Publisher, translation: T) -> Receiving<T> {
        let dead_letters = publisher.dead_letters();
        Receiving { publisher, dead_letters, translation }
    }
}

#[async_trait]
impl<T: Translate> Receiver for Receiving<T> {
    fn read_events(&self) -> &'static [&'static str] {
        self.translation.read_events()
    }

    fn metrics(&self) -> &AgentMetrics {
        self.publisher.metrics()
    }

    async fn receive(&self, delivery: &Delivery) -> Result<Received, NotStored> {
        let translated = self.translation.translate(&delivery.event, &delivery.host, &delivery.body);
        let reports = match translated {
            Ok(Translated::Reports(reports)) => reports,
            Ok(Translated::NothingToSay(why)) => return Ok(Received::NothingToSay { why }),
            Err(refusal) => {
                self.bury(delivery, &fleet_runtime::error_chain(&refusal)).await?;
                return Ok(Received::Buried);
            }
        };
        let trace = trace_of(delivery);
        let _step = Step::first(&trace, StepKind::Receive, "receive a forge's webhook");
        let events = reports.len();
        let mut unsayable = None;
        for Report { occurred, event } in reports {
            let envelope = self.publisher.envelope(occurred, Some(trace.clone()), event);
            match self.publisher.publish(&envelope).await {
                Ok(_) => self.publisher.metrics().came_late(late_seconds(&envelope)),
                // What cannot be said of a delivery hides nothing of the rest; the delivery is kept for what it hides.
                Err(error) if error.is_of_the_event() => {
                    unsayable.get_or_insert(fleet_runtime::error_chain(&error));
                }
                // A stop in between is healed by the redelivery: what is published already is a repeat then.
                Err(error) => return Err(NotStored(fleet_runtime::error_chain(&error))),
            }
        }
        match unsayable {
            Some(reason) => {
                self.bury(delivery, &reason).await?;
                Ok(Received::Buried)
            }
            None => Ok(Received::Reported { events }),
        }
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), NotStored> {
        let reason = match &delivery.id {
            Some(id) => format!("{reason} (event {}, delivery {id})", delivery.event),
            None => format!("{reason} (event {})", delivery.event),
        };
        let trace = trace_of(delivery);
        let source = self.publisher.agent().as_str();
        let body = delivery.body.clone();
        let kept = self.dead_letters.put_received(source, &reason, Some(trace.as_str()), body).await;
        kept.map_err(|error| NotStored(fleet_runtime::error_chain(&error)))?;
        self.publisher.metrics().dead_lettered(DeadLettered::NotUnderstood);
        Ok(())
    }
}

/// How long after it happened a webhook told it, by the two clocks of the forge and of this machine.
fn late_seconds(envelope: &Envelope) -> u64 {
    u64::try_from(envelope.seen.duration_since(envelope.occurred).as_secs()).unwrap_or(0)
}

/// A trace that the body alone names, so that a redelivery continues it.
fn trace_of(delivery: &Delivery) -> TraceParent {
    let hash = Digest::sha256_of(&delivery.body).hex();
    TraceParent::derive(["github", delivery.host.as_str(), delivery.event.as_str(), hash.as_str()])
}

#[cfg(test)]
mod tests;
