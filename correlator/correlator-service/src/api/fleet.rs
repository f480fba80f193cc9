//! The fleet over the API.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use fleet_runtime::bus::{BucketStanding, BusStanding, StreamStanding};
use fleet_runtime::error_chain;
use fleet_runtime::outside_text::shown;
use jiff::Timestamp;

use super::Api;
use super::answer::Answer;
use super::types::{ConsumerStatus, Fleet, StreamStatus};

/// How long the bus is waited for: what is known of the agents is worth an answer by itself.
const BUS_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn fleet(State(api): State<Api>) -> Answer<Fleet> {
    let agents = api.answers.agents().await?;
    let (standing, bus_problem) = match tokio::time::timeout(BUS_WITHIN, api.bus.standing()).await {
        Ok(Ok(standing)) => (standing, None),
        Ok(Err(error)) => (BusStanding::default(), Some(error_chain(&error))),
        Err(_) => (BusStanding::default(), Some(format!("no answer within {} s", BUS_WITHIN.as_secs()))),
    };
    let streams = standing.streams.into_iter().map(stream);
    let buckets = standing.buckets.into_iter().map(bucket);
    Ok(Json(Fleet {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        agents,
        streams: streams.chain(buckets).collect(),
        differences: standing.differences.iter().map(|difference| shown(difference)).collect(),
        bus_problem: bus_problem.map(|problem| shown(&problem)),
        asked_at: Timestamp::now(),
    }))
}

fn stream(standing: StreamStanding) -> StreamStatus {
    let consumers = standing.consumers.into_iter().map(|consumer| ConsumerStatus {
        name: shown(&consumer.name),
        waiting: consumer.waiting,
        unsettled: consumer.unsettled,
    });
    StreamStatus {
        name: standing.stream.name().to_owned(),
        messages: standing.messages,
        bytes: standing.bytes,
        bytes_max: standing.bytes_max,
        last_sequence: standing.last_sequence,
        consumers: consumers.collect(),
    }
}

/// A bucket is a stream that no consumer reads.
fn bucket(standing: BucketStanding) -> StreamStatus {
    let BucketStanding { name, messages, bytes, bytes_max, last_sequence } = standing;
    StreamStatus { name: shown(&name), messages, bytes, bytes_max, last_sequence, consumers: Vec::new() }
}
