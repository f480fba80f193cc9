//! A watch of a bucket: what is there, then every change in order, over every change of connection and leader.
//!
//! In: a bucket and a prefix. Out: entries, `CaughtUp`, changes; or, as the last item, that changes were missed. The
//! server keeps only the last values of a key, so that a place in the sequence that never came is a lost change and is
//! said, never passed over. Until it has caught up, a watch that lost its place begins with what is there then.

mod progress;

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::progress::{Progress, Step};
use super::declared::{KEY_VALUE_HISTORY, nanos};
use super::fault::{Fault, code};
use super::key_value::is_marker;
use super::link::Link;
use super::pull::{End, Place, Pulled, Request};
use crate::bus::{BusError, Entry, Watched};

type Item = Result<Watched, BusError>;

const MESSAGES_PER_REQUEST_MAX: usize = 1024;
const REQUEST_WAIT: Duration = Duration::from_secs(5);
/// At the beginning a server that has nothing more says so soon; one that is behind is asked again.
const FIRST_REQUEST_WAIT: Duration = Duration::from_millis(20);
/// How long the server keeps the place of a watch that does not ask.
const INACTIVE_MAX: Duration = Duration::from_secs(120);
const PAUSE_FIRST: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Begins a watch. The first answer of the server is waited for, so that what is written afterwards is a change.
pub(super) async fn begin(
    link: Link,
    bucket: &str,
    prefix: &str,
) -> Result<BoxStream<'static, Item>, BusError> {
    let stream = format!("KV_{bucket}");
    let target = last_sequence(&link, &stream).await.map_err(|fault| fault.into_bus("watch a bucket"))?;
    let mut watch = Watch {
        link,
        bucket: bucket.to_owned(),
        stream,
        prefix: prefix.to_owned(),
        consumer: None,
        request: None,
        progress: Progress::new(target),
        ready: Vec::new().into_iter(),
        pause: PAUSE_FIRST,
        end: None,
        has_ended: false,
    };
    watch.open().await.map_err(|fault| fault.into_bus("watch a bucket"))?;
    Ok(stream::unfold(watch, Watch::next).boxed())
}

struct Watch {
    link: Link,
    bucket: String,
    stream: String,
    prefix: String,
    /// The place on the server; lost with its leader.
    consumer: Option<String>,
    /// A request that the server has not ended.
    request: Option<Request>,
    progress: Progress,
    ready: std::vec::IntoIter<Watched>,
    pause: Duration,
    /// The last item, once all before it are out.
    end: Option<BusError>,
    has_ended: bool,
}

#[derive(Deserialize)]
struct StreamInfo {
    state: StreamState,
}

#[derive(Deserialize)]
struct StreamState {
    last_seq: u64,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    name: String,
}

impl Watch {
    async fn next(mut self) -> Option<(Item, Watch)> {
        loop {
            if let Some(watched) = self.ready.next() {
                return Some((Ok(watched), self));
            }
            if self.has_ended {
                return None;
            }
            if let Some(error) = self.end.take() {
                self.has_ended = true;
                return Some((Err(error), self));
            }
            match self.more().await {
                Ok(found) => self.ready = found.into_iter(),
                Err(error) => self.end = Some(error),
            }
        }
    }

    /// What one request brings; asks again for ever, because a watch has no time at which it is over.
    async fn more(&mut self) -> Result<Vec<Watched>, BusError> {
        loop {
            let trouble = match self.consumer.clone() {
                None => match self.open().await {
                    Ok(()) if self.end.is_some() => return Ok(Vec::new()),
                    Ok(()) => continue,
                    Err(fault @ (Fault::Closed | Fault::Denied { .. })) => {
                        return Err(fault.into_bus("watch a bucket"));
                    }
                    Err(fault) if fault.has_code(code::STREAM_NOT_FOUND) => {
                        return Err(fault.into_bus("watch a bucket"));
                    }
                    Err(fault) => fault.to_string(),
                },
                Some(consumer) => match self.look(&consumer).await {
                    Pulled::Messages(messages) => {
                        self.pause = PAUSE_FIRST;
                        let found = self.take(messages);
                        if found.is_empty() && self.end.is_none() {
                            continue;
                        }
                        return Ok(found);
                    }
                    Pulled::Open => continue,
                    Pulled::Ended(End::Nothing) => {
                        self.pause = PAUSE_FIRST;
                        if let Some(found) = self.progress.nothing_there() {
                            return Ok(found);
                        }
                        continue;
                    }
                    Pulled::Ended(End::Fault(fault)) => return Err(fault.into_bus("watch a bucket")),
                    Pulled::Ended(End::Gone) => {
                        self.consumer = None;
                        "its place on the server is gone".to_owned()
                    }
                    Pulled::Ended(End::SpokenFor) => "an earlier request is not yet ended".to_owned(),
                    Pulled::Ended(End::Trouble(reason)) => {
                        // What was on its way is lost, and the server does not bring it again: begin where we are.
                        self.consumer = None;
                        reason
                    }
                },
            };
            tracing::debug!(bucket = self.bucket, reason = trouble, "asking again for changes");
            tokio::select! {
                () = self.link.closed().cancelled() => return Err(BusError::Closed),
                () = sleep(self.pause) => {}
            }
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }

    /// Goes on with the request that is open, or makes one.
    async fn look(&mut self, consumer: &str) -> Pulled {
        let wait = self.wait();
        let mut request = match self.request.take().filter(Request::is_open) {
            Some(request) => request,
            None => {
                let place = Place { stream: &self.stream, consumer };
                match Request::send(&self.link, place, MESSAGES_PER_REQUEST_MAX, wait).await {
                    Ok(request) => request,
                    Err(end) => return Pulled::Ended(end),
                }
            }
        };
        let until = Instant::now() + REQUEST_WAIT * 2;
        let pulled = request.look(&self.link, MESSAGES_PER_REQUEST_MAX, until).await;
        self.request = Some(request);
        pulled
    }

    fn wait(&self) -> Duration {
        if self.progress.is_caught_up { REQUEST_WAIT } else { FIRST_REQUEST_WAIT }
    }

    fn lagged(&self) -> BusError {
        BusError::WatchLagged { bucket: self.bucket.clone(), changes_max: usize::from(KEY_VALUE_HISTORY) }
    }

    fn take(&mut self, messages: Vec<async_nats::Message>) -> Vec<Watched> {
        let subject_prefix = format!("$KV.{}.", self.bucket);
        let mut found = Vec::new();
        for message in messages {
            let headers = message.headers.clone().unwrap_or_default();
            let Some(delivery) = super::message::delivery(&self.link, message) else { continue };
            let pending = pending_of(&delivery.handle);
            let key = delivery.message.subject.strip_prefix(&subject_prefix).unwrap_or_default().to_owned();
            let revision = delivery.sequence;
            let change = match () {
                () if key.is_empty() || !key.starts_with(&self.prefix) => None,
                () if is_marker(&headers) => Some(Watched::Deleted { key, revision }),
                () => {
                    let entry = Entry { value: delivery.message.payload, revision };
                    Some(Watched::Changed { key, entry })
                }
            };
            match self.progress.step(revision, pending, change) {
                Step::Emit(more) => found.extend(more),
                Step::Lost => {
                    self.end = Some(self.lagged());
                    break;
                }
            }
        }
        found
    }

    /// Opens a place on the server: at the last value of each key, or where the one before ended.
    async fn open(&mut self) -> Result<(), Fault> {
        if self.progress.is_caught_up && last_sequence(&self.link, &self.stream).await? < self.progress.last {
            // Somebody made the bucket anew: its revisions begin again.
            self.end = Some(self.lagged());
            return Ok(());
        }
        let name = self.link.client().new_inbox();
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let mut config = json!({
            "name": name,
            "description": "watches a bucket",
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": format!("$KV.{}.>", self.bucket),
            "inactive_threshold": nanos(INACTIVE_MAX),
            "mem_storage": true,
            "num_replicas": 1,
        });
        let from: &[(&str, Value)] = match self.progress.is_caught_up {
            false => &[("deliver_policy", json!("last_per_subject"))],
            true => &[
                ("deliver_policy", json!("by_start_sequence")),
                ("opt_start_seq", json!(self.progress.last + 1)),
            ],
        };
        for (key, value) in from {
            config[*key] = value.clone();
        }
        let subject = format!("CONSUMER.CREATE.{}.{name}.$KV.{}.>", self.stream, self.bucket);
        let payload = json!({ "stream_name": self.stream, "config": config, "action": "create" });
        let info: ConsumerInfo = self.link.ask(&subject, &payload).await?;
        self.consumer = Some(info.name);
        self.request = None;
        Ok(())
    }
}

/// The revision of the bucket's last change, as its leader knows it.
async fn last_sequence(link: &Link, stream: &str) -> Result<u64, Fault> {
    let subject = format!("STREAM.INFO.{stream}");
    let info = link.ask_until_answered::<StreamInfo>(&subject, &json!({})).await?;
    Ok(info.state.last_seq)
}

/// How many messages the server had behind this one.
fn pending_of(handle: &str) -> Option<u64> {
    let tokens: Vec<&str> = handle.split('.').collect();
    let place = if tokens.len() >= 11 { 10 } else { 8 };
    tokens.get(place)?.parse().ok()
}
