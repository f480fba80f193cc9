//! The loop with which an agent answers the correlator's questions (`evidence.requested`).
//!
//! In: questions to one kind of agent. Out: what the agent's `Answer` publishes itself, before it says `Done`. A
//! question nobody waits for any more is passed over, where the agent's clock can tell; one that cannot be read goes to the
//! dead letter.

mod clock;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bus_schema::fleet::EvidenceRequested;
use bus_schema::question::Answerer;
use bus_schema::{AgentId, Envelope, Event, Subject, TraceParent};
use tokio_util::sync::CancellationToken;

use crate::bus::reader::Reader;
use crate::bus::{Bus, BusError, ConsumerConfig, Delivery, Pattern, Stream};
use crate::trace::{Step, StepKind};
use crate::worker::{Handled, Handler, work};
use clock::{Clock, Moment};

/// Looks up answers with the credentials of one agent.
#[async_trait]
pub trait Answer: Send + Sync {
    /// Answers by publishing events (and `evidence.unavailable` at the end or instead). `Hold` is for failures of
    /// our own bus; what the source refuses is an answer.
    async fn answer(&self, request: &EvidenceRequested, trace: Option<&TraceParent>) -> Handled;
}

/// The durable consumer of an agent's questions.
pub fn consumer(agent: &AgentId, answerer: Answerer) -> Result<ConsumerConfig, BusError> {
    let filter: Pattern = Subject::questions_to(answerer).parse()?;
    Ok(ConsumerConfig {
        ack_wait: Duration::from_secs(60),
        deliveries_max: 5,
        ..ConsumerConfig::new(agent.as_str(), Stream::Questions, filter)
    })
}

/// Opens the durable consumer of an agent's questions.
pub async fn reader(bus: &Arc<dyn Bus>, agent: &AgentId, answerer: Answerer) -> Result<Reader, BusError> {
    Reader::of_agent(bus, agent, consumer(agent, answerer)?).await
}

/// Answers questions until `stop`, at most `in_hand_max` at once.
pub async fn run(
    reader: &Reader,
    answer: &dyn Answer,
    in_hand_max: usize,
    stop: &CancellationToken,
) -> Result<(), BusError> {
    work(reader, &Asked { answer, clock: Mutex::default() }, in_hand_max, stop).await
}

struct Asked<'a> {
    answer: &'a dyn Answer,
    clock: Mutex<Clock>,
}

#[async_trait]
impl Handler for Asked<'_> {
    async fn handle(&self, delivery: &Delivery) -> Handled {
        let envelope = match Envelope::from_json(&delivery.message.payload) {
            Ok(envelope) => envelope,
            Err(error) => return Handled::Bury { reason: crate::error_chain(&error) },
        };
        let Event::EvidenceRequested(request) = &envelope.event else {
            let found = envelope.event.event_type().short();
            return Handled::Bury { reason: format!("{found} is not a question") };
        };
        let is_over = {
            let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            clock.is_over(request.until, delivery.published_at, Moment::now())
        };
        if is_over {
            tracing::info!(event_id = %envelope.id, request = %request.request, "passed over a question that is out of time");
            return Handled::Done;
        }
        let trace = envelope.traceparent.as_ref();
        let step = trace.map(|trace| {
            let mut step = Step::below(trace, StepKind::Consume, "answer a question");
            step.note("custody.request", request.request.to_string());
            step
        });
        let handled = self.answer.answer(request, trace).await;
        drop(step);
        handled
    }
}

#[cfg(test)]
mod tests;
