//! How the agent speaks: events onto the bus, and what could not be read into the dead letter.
//!
//! In: events. Out: durable messages, whose ids are derived from what happened, so that saying it twice is harmless.
//! While the bus refuses for the moment, the agent waits: nothing is passed over.

use std::time::Duration;

use bus_schema::fleet::{AgentReported, Coverage};
use bus_schema::{AgentId, Event, TraceParent};
use bytes::Bytes;
use fleet_runtime::bus::BusError;
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::heartbeat::interval_seconds;
use fleet_runtime::publisher::{PublishError, Publisher};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::epoch::Epoch;
use crate::kubernetes::payload::UnreadablePod;
use crate::kubernetes::translate::Dated;
use crate::metrics::Metrics;

const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Events that wait for the bus at once.
const SAID_AT_ONCE: usize = 64;
/// The name under which unreadable payloads are kept.
const DEAD_LETTER_SOURCE: &str = "cluster-agent";

/// Why something could not be said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// The agent is asked to stop while the bus refuses; what was not said is found again at the next start.
    #[error("stopped while the bus was not taking events")]
    Stopped,
    #[error("failed to publish")]
    Publish(#[from] PublishError),
    #[error("failed to keep a dead letter")]
    Bury(#[source] BusError),
}

/// What a heartbeat says beside what is counted anyway.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    pub(crate) coverage: Vec<Coverage>,
    pub(crate) interval: Duration,
    pub(crate) lag_seconds: u64,
}

#[derive(Debug)]
pub(crate) struct Report {
    publisher: Publisher,
    dead_letters: DeadLetters,
    metrics: Metrics,
    stop: CancellationToken,
}

impl Report {
    pub(crate) fn new(publisher: Publisher, metrics: Metrics, stop: CancellationToken) -> Report {
        let dead_letters = publisher.dead_letters();
        Report { publisher, dead_letters, metrics, stop }
    }

    pub(crate) fn agent(&self) -> &AgentId {
        self.publisher.agent()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Says what happened; all of it is durable when it returns.
    pub(crate) async fn say_all(&self, events: Vec<Dated>) -> Result<(), ReportError> {
        let said = events.into_iter().map(|dated| -> BoxFuture<'_, _> { Box::pin(self.say(dated)) });
        let said: Vec<_> = said.collect();
        futures::stream::iter(said).buffered(SAID_AT_ONCE).try_for_each(|()| std::future::ready(Ok(()))).await
    }

    pub(crate) async fn say(&self, dated: Dated) -> Result<(), ReportError> {
        let trace = trace_of(&dated.event);
        let envelope = self.publisher.envelope(dated.occurred, trace, dated.event);
        let published = self.insist(|| self.publisher.publish(&envelope), PublishError::is_temporary).await?;
        match published {
            Ok(_) => Ok(()),
            // It never can be said, and it holds up no other.
            Err(error @ PublishError::Envelope { .. }) => {
                let reason = fleet_runtime::error_chain(&error);
                let what = format!("{} {}", envelope.event.event_type(), envelope.id);
                self.metrics.event_unwritable();
                self.bury(&reason, what.as_bytes(), what.len()).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says that the agent lives, and what it covers.
    pub(crate) async fn heartbeat(&self, epoch: &Epoch, heartbeat: Heartbeat) -> Result<(), ReportError> {
        let now = Timestamp::now();
        let reported = AgentReported {
            agent: self.agent().clone(),
            kind: "cluster".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: epoch.began_at(),
            sequence: epoch.next_heartbeat(),
            interval_seconds: Some(interval_seconds(heartbeat.interval)),
            coverage: heartbeat.coverage,
            lag_seconds: heartbeat.lag_seconds,
            events_published: self.metrics.published_total(),
            dead_lettered: self.metrics.dead_lettered_total(),
            api_budget_left: None,
            reported_at: now,
        };
        self.say(Dated { occurred: now, event: Event::AgentReported(reported) }).await
    }

    /// Keeps a pod that could not be read.
    pub(crate) async fn bury_pod(&self, pod: &UnreadablePod) -> Result<(), ReportError> {
        let reason = match &pod.uid {
            Some(uid) => format!("pod {uid}: {}", pod.reason),
            None => pod.reason.to_string(),
        };
        self.metrics.pod_unreadable();
        self.bury(&reason, &pod.text, pod.bytes).await
    }

    async fn bury(&self, reason: &str, text: &[u8], bytes: usize) -> Result<(), ReportError> {
        let letters = &self.dead_letters;
        let buried = match text.len() == bytes {
            true => {
                let body = Bytes::copy_from_slice(text);
                let put = || letters.put_received(DEAD_LETTER_SOURCE, reason, None, body.clone());
                self.insist(put, BusError::is_temporary).await?
            }
            false => {
                let put = || letters.put_cut(DEAD_LETTER_SOURCE, reason, text, bytes as u64);
                self.insist(put, BusError::is_temporary).await?
            }
        };
        buried.map(|_| ()).map_err(ReportError::Bury)
    }

    /// Tries until it succeeds or cannot succeed; or until the agent stops, which is the only outer error.
    async fn insist<T, E, F>(
        &self,
        attempt: impl Fn() -> F,
        is_temporary: impl Fn(&E) -> bool,
    ) -> Result<Result<T, E>, ReportError>
    where
        E: std::error::Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let mut pause = PAUSE_MIN;
        loop {
            match attempt().await {
                Err(error) if is_temporary(&error) => {
                    let error = fleet_runtime::error_chain(&error);
                    tracing::warn!(error, "the bus does not take events, trying again");
                }
                result => return Ok(result),
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(ReportError::Stopped),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }
}

/// One trace for everything that happens to one container.
fn trace_of(event: &Event) -> Option<TraceParent> {
    let container = match event {
        Event::ContainerStarted(data) => &data.container,
        Event::ContainerStopped(data) => &data.container,
        _ => return None,
    };
    let cluster = container.workload.cluster.as_str();
    let identity = ["container", cluster, &container.pod_uid, &container.slot, &container.container_id];
    Some(TraceParent::derive(identity))
}
