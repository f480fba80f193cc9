//! What the streams and buckets on the servers hold, and who is behind, as the servers count it.

use serde::Deserialize;
use serde_json::json;

use super::apply;
use super::fault::Fault;
use super::link::Link;
use crate::bus::{BucketStanding, ConsumerStanding, Stream, StreamStanding};

/// Pages of a list of consumers that are read: a bound, not a wish.
const PAGES_MAX: usize = 64;

#[derive(Deserialize)]
struct Page {
    total: usize,
    #[serde(default)]
    consumers: Option<Vec<Consumer>>,
}

#[derive(Deserialize)]
struct Consumer {
    name: String,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
}

/// One bucket by the name of its stream; nothing when the servers have none.
pub(super) async fn of_bucket(link: &Link, name: &str) -> Result<Option<BucketStanding>, Fault> {
    let Some(info) = apply::stream_info(link, name).await? else { return Ok(None) };
    Ok(Some(BucketStanding {
        name: name.to_owned(),
        messages: info.state.messages,
        bytes: info.state.bytes,
        bytes_max: bytes_max_of(&info),
        last_sequence: info.state.last_seq,
    }))
}

/// One stream; nothing when the servers have none.
pub(super) async fn of_stream(link: &Link, stream: Stream) -> Result<Option<StreamStanding>, Fault> {
    let Some(info) = apply::stream_info(link, stream.name()).await? else { return Ok(None) };
    Ok(Some(StreamStanding {
        stream,
        messages: info.state.messages,
        bytes: info.state.bytes,
        bytes_max: bytes_max_of(&info),
        last_sequence: info.state.last_seq,
        consumers: consumers(link, stream).await?,
    }))
}

fn bytes_max_of(info: &apply::Info) -> u64 {
    info.config.get("max_bytes").and_then(serde_json::Value::as_u64).unwrap_or(u64::MAX)
}

async fn consumers(link: &Link, stream: Stream) -> Result<Vec<ConsumerStanding>, Fault> {
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let subject = format!("CONSUMER.LIST.{stream}");
        let page: Page = link.ask_until_answered(&subject, &json!({ "offset": found.len() })).await?;
        let consumers = page.consumers.unwrap_or_default();
        let is_last = consumers.is_empty() || found.len() + consumers.len() >= page.total;
        found.extend(consumers.into_iter().map(|consumer| ConsumerStanding {
            name: consumer.name,
            waiting: consumer.num_pending,
            unsettled: consumer.num_ack_pending,
        }));
        if is_last {
            break;
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
