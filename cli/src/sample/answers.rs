//! Stands in for the recorded agents where custody asks: the recording holds everything there is, so what it does not hold
//! is not there.
//!
//! In: questions. Out: `evidence.unavailable {not_found}`, in the name of the agent that would have answered. As that agent
//! would, it reports what it has first: it answers only when the whole recording is published.

use std::sync::Arc;

use async_trait::async_trait;
use bus_schema::fleet::{EvidenceRequested, EvidenceUnavailable, Unavailable};
use bus_schema::question::Answerer;
use bus_schema::{AgentId, Event, TraceParent};
use fleet_runtime::asked::{self, Answer};
use fleet_runtime::bus::Bus;
use fleet_runtime::metrics::FleetMetrics;
use fleet_runtime::publisher::Publisher;
use fleet_runtime::run::{BackOff, Tasks};
use fleet_runtime::worker::Handled;
use jiff::Timestamp;
use tokio::sync::watch;

/// Questions answered at once by each stand-in.
const IN_HAND_MAX: usize = 256;
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(200);

/// Starts a stand-in for each agent that is asked. `published` turns true when the whole recording is on the bus.
pub(crate) fn spawn(
    tasks: &mut Tasks,
    bus: &Arc<dyn Bus>,
    agents: &[(AgentId, Answerer)],
    metrics: &FleetMetrics,
    published: &watch::Receiver<bool>,
) {
    for (agent, answerer) in agents.iter().cloned() {
        let publisher = Publisher::new(bus.clone(), agent.clone(), metrics.agent("recorded-agent"));
        let (bus, published) = (bus.clone(), published.clone());
        tasks.supervise(format!("recorded {agent}"), BackOff::default(), move |given| {
            let (bus, agent) = (bus.clone(), agent.clone());
            let answers = NotFound { publisher: publisher.clone(), published: published.clone() };
            async move {
                let mut published = answers.published.clone();
                given.check.ready();
                tokio::select! {
                    whole = published.wait_for(|whole| *whole) => { whole?; }
                    () = given.stop.cancelled() => return Ok(()),
                }
                let reader = asked::reader(&bus, &agent, answerer).await?;
                Ok(asked::run(&reader, &answers, IN_HAND_MAX, &given.stop).await?)
            }
        });
    }
}

struct NotFound {
    publisher: Publisher,
    published: watch::Receiver<bool>,
}

#[async_trait]
impl Answer for NotFound {
    async fn answer(&self, request: &EvidenceRequested, trace: Option<&TraceParent>) -> Handled {
        let now = Timestamp::now();
        let event = Event::EvidenceUnavailable(EvidenceUnavailable {
            request: request.request.clone(),
            attempt: request.attempt,
            question: request.question.clone(),
            reason: Unavailable::NotFound,
            source: request.question.host().to_owned(),
            detail: "the recording holds nothing more".to_owned(),
            found: 0,
            answered_at: now,
        });
        let envelope = self.publisher.envelope(now, trace.cloned(), event);
        match self.publisher.publish(&envelope).await {
            Ok(_) => Handled::Done,
            Err(error) => Handled::Hold { after: RETRY_AFTER, reason: fleet_runtime::error_chain(&error) },
        }
    }
}
