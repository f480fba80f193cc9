//! Publishes a recording as its agents would have: blobs first, then every envelope at its moment.
//!
//! Repeats do no harm: an envelope's id is derived from what it says, so a play that begins again after a kill goes on where
//! the first one was. What was published before is published again without a pause.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus_schema::{AgentId, Envelope};
use bytes::Bytes;
use fleet_runtime::bus::{Bus, Published};
use fleet_runtime::metrics::FleetMetrics;
use fleet_runtime::publisher::Publisher;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::recording::Recording;
use crate::exit::is_out_of_space;

/// How long one envelope is tried.
const PUBLISH_TIME_MAX: Duration = Duration::from_secs(5);
const PUBLISH_PAUSE: Duration = Duration::from_millis(200);

/// Every agent that speaks in the recording, with what it may speak of.
pub(crate) fn agents(recording: &Recording) -> BTreeSet<AgentId> {
    recording.events.iter().map(|event| event.envelope.agent.clone()).collect()
}

/// Plays the recording until its end or the stop. True when all of it is on the bus.
pub(crate) async fn play(
    recording: &Recording,
    bus: &Arc<dyn Bus>,
    metrics: &FleetMetrics,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let blobs = bus.blobs();
    for (digest, bytes) in &recording.blobs {
        if !blobs.exists(digest).await.context("look for recorded evidence")? {
            blobs.put(Bytes::clone(bytes)).await.context("store recorded evidence")?;
        }
    }
    let began = Instant::now();
    // How much of the recording lies behind the moment from which the play goes on in its own time.
    let mut skipped = Duration::ZERO;
    for event in &recording.events {
        let due = began + event.offset.saturating_sub(skipped);
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = stop.cancelled() => return Ok(false),
        }
        let agent = event.envelope.agent.clone();
        let publisher = Publisher::new(bus.clone(), agent, metrics.agent("recorded-agent"));
        let published = publish(&publisher, &event.envelope).await.context("publish a recorded event")?;
        if published.duplicate {
            skipped = event.offset;
        }
    }
    Ok(true)
}

/// Publishes one envelope. A bus that is just being opened again is waited for; a full disk is told at once.
async fn publish(publisher: &Publisher, envelope: &Envelope) -> anyhow::Result<Published> {
    let until = Instant::now() + PUBLISH_TIME_MAX;
    loop {
        let error = match publisher.publish(envelope).await {
            Ok(published) => return Ok(published),
            Err(error) => anyhow::Error::from(error),
        };
        if is_out_of_space(&format!("{error:#}")) || Instant::now() >= until {
            return Err(error);
        }
        tokio::time::sleep(PUBLISH_PAUSE).await;
    }
}
