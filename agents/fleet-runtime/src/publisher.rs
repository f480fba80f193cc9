//! How an agent says something: an event becomes an envelope, and is on the bus when this returns.
//!
//! In: events of one agent. Out: durable messages on the subject that the event itself names. What is too large for a
//! message is an error here; its bytes belong into a blob before.

use std::sync::Arc;

use bus_schema::envelope::EnvelopeError;
use bus_schema::{AgentId, Envelope, Event, Subject, TraceParent};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::bus::{Bus, BusError, Message, Published};
use crate::dead_letters::DeadLetters;
use crate::metrics::AgentMetrics;
use crate::trace::{Step, StepKind, TRACEPARENT};

/// Messages of one list that wait for the bus at once.
const PUBLISHING_MAX: usize = 64;

/// Publishes in the name of one agent.
#[derive(Clone, Debug)]
pub struct Publisher {
    bus: Arc<dyn Bus>,
    agent: AgentId,
    metrics: AgentMetrics,
}

/// Why an event is not on the bus.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("the event of {agent} cannot be written")]
    Envelope { agent: AgentId, source: EnvelopeError },
    #[error("{publisher} may not speak for {agent}")]
    OtherAgent { publisher: AgentId, agent: AgentId },
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl PublishError {
    /// True when the same event may be published later; else it never will.
    pub fn is_temporary(&self) -> bool {
        matches!(self, PublishError::Bus(error) if error.is_temporary())
    }

    /// True when the event itself is none that can be said: another one may be.
    pub fn is_of_the_event(&self) -> bool {
        matches!(self, PublishError::Envelope { .. } | PublishError::Bus(BusError::PayloadTooLarge { .. }))
    }
}

impl Publisher {
    pub fn new(bus: Arc<dyn Bus>, agent: AgentId, metrics: AgentMetrics) -> Publisher {
        Publisher { bus, agent, metrics }
    }

    pub fn agent(&self) -> &AgentId {
        &self.agent
    }

    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    pub fn metrics(&self) -> &AgentMetrics {
        &self.metrics
    }

    /// Where this agent puts aside what it could not understand.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::of_agent(self.bus.clone(), self.agent.clone())
    }

    /// Wraps what this agent has seen now.
    pub fn envelope(&self, occurred: Timestamp, trace: Option<TraceParent>, event: Event) -> Envelope {
        Envelope::new(self.agent.clone(), occurred, Timestamp::now(), trace, event)
    }

    /// Publishes one event on its own subject; durable when it returns.
    pub async fn publish(&self, envelope: &Envelope) -> Result<Published, PublishError> {
        self.publish_on(envelope.subject(), envelope).await
    }

    /// Publishes several, in any order; durable all when it returns `Ok`. After an error the same list may be
    /// published again: repeats are dropped by their ids.
    pub async fn publish_all(&self, envelopes: &[Envelope]) -> Result<(), PublishError> {
        let publishing = stream::iter(envelopes).map(|envelope| self.publish(envelope));
        publishing.buffered(PUBLISHING_MAX).try_for_each(|_| async { Ok(()) }).await
    }

    /// Publishes on another subject: the correlator's questions and conclusions.
    pub async fn publish_on(&self, subject: Subject, envelope: &Envelope) -> Result<Published, PublishError> {
        if envelope.agent != self.agent {
            let (publisher, agent) = (self.agent.clone(), envelope.agent.clone());
            return Err(PublishError::OtherAgent { publisher, agent });
        }
        let payload = envelope
            .to_json()
            .map_err(|source| PublishError::Envelope { agent: self.agent.clone(), source })?;
        let mut message = Message::new(subject.to_string(), envelope.id.to_string(), payload);
        let mut step = None;
        if let Some(trace) = &envelope.traceparent {
            message = message.with_header(TRACEPARENT, trace.as_str());
            let name = format!("publish {}", envelope.event.event_type().short());
            step = Some(Step::below(trace, StepKind::Publish, name));
        }
        let published = self.bus.publish(message).await;
        if let (Err(_), Some(step)) = (&published, &mut step) {
            step.failed("the bus did not take it");
        }
        drop(step);
        let published = published?;
        if !published.duplicate {
            self.metrics.published(envelope.event.event_type().stage.as_str());
            tracing::debug!(
                event_id = %envelope.id,
                event_type = %envelope.event.event_type(),
                trace_id = envelope.traceparent.as_ref().map(TraceParent::trace_id),
                "published an event"
            );
        }
        Ok(published)
    }
}
