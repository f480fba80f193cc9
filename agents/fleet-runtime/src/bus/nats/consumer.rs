//! A durable consumer, kept alive: every fetch looks again for whoever leads it, and makes it anew when somebody has
//! deleted it.
//!
//! In: the configuration. Out: deliveries, counted by the server. An empty answer always is the server's own word that
//! nothing is there; when no server says so for long, that is an error and no silence. What a lost consumer was still
//! owed comes again from a new one, from the oldest message that is kept: repeats are dropped by the reader.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::AckKind;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::declared;
use super::fault::{Fault, code};
use super::link::Link;
use super::message::delivery;
use super::pull::{End, Place, Pulled, Request};
use crate::bus::{BusError, Consumer, ConsumerConfig, Delivery, FETCH_MESSAGES_MAX, Stream};

/// How long one request of a fetch lies with the server. A server that is lost is noticed after this and a grace.
const REQUEST_WAIT_MAX: Duration = Duration::from_secs(5);
const REQUEST_WAIT_MIN: Duration = Duration::from_millis(1);
const PAUSE_FIRST: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long settling waits for room on the way to the server.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);
const REASON_BYTES_MAX: usize = 200;

/// The consumers that this process has opened.
pub(super) type KnownConsumers = Arc<Mutex<BTreeMap<(Stream, String), Arc<Known>>>>;

/// What all handles of one name share.
#[derive(Debug)]
pub(super) struct Known {
    config: Mutex<ConsumerConfig>,
    is_removed: AtomicBool,
}

impl Known {
    pub(super) fn new(config: ConsumerConfig) -> Known {
        Known { config: Mutex::new(config), is_removed: AtomicBool::new(false) }
    }

    pub(super) fn config(&self) -> ConsumerConfig {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn update(&self, config: ConsumerConfig) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(super) fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Acquire)
    }

    pub(super) fn mark_removed(&self) {
        self.is_removed.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
pub(super) struct NatsConsumer {
    link: Link,
    known: Arc<Known>,
    manages: bool,
    stream: Stream,
    name: String,
    /// Requests that the server has not ended: their caller had enough, or was cancelled.
    open: Mutex<Vec<Request>>,
}

/// A request in use, which goes back to the open ones however its use ends.
struct Using<'a> {
    consumer: &'a NatsConsumer,
    request: Option<Request>,
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request.take().filter(Request::is_open) {
            self.consumer.open_requests().push(request);
        }
    }
}

impl NatsConsumer {
    pub(super) fn new(link: Link, known: Arc<Known>, manages: bool) -> NatsConsumer {
        let ConsumerConfig { stream, name, .. } = known.config();
        NatsConsumer { link, known, manages, stream, name, open: Mutex::default() }
    }

    fn open_requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an earlier request still brings, until the time is over; `None` when there was none or it brought nothing.
    async fn go_on(&self, messages_max: usize, until: Instant) -> Option<Vec<Message>> {
        let request = self.open_requests().pop();
        let mut using = Using { consumer: self, request };
        let request = using.request.as_mut()?;
        request.forget_older_than(self.known.config().ack_wait / 2);
        match request.look(&self.link, messages_max, until).await {
            Pulled::Messages(messages) => Some(messages),
            Pulled::Ended(_) => None,
            Pulled::Open => {
                let rest = using.request.take()?.drain().await;
                (!rest.is_empty()).then_some(rest)
            }
        }
    }

    async fn ask(&self, messages_max: usize, wait: Duration) -> Pulled {
        let place = Place { stream: self.stream.name(), consumer: &self.name };
        let request = match Request::send(&self.link, place, messages_max, wait).await {
            Ok(request) => request,
            Err(end) => return Pulled::Ended(end),
        };
        let mut using = Using { consumer: self, request: Some(request) };
        let Some(request) = using.request.as_mut() else { return Pulled::Open };
        // The request ends by itself: by the server's word, or because none came.
        request.look(&self.link, messages_max, Instant::now() + REQUEST_WAIT_MAX * 2).await
    }

    fn deliveries(&self, messages: Vec<Message>) -> Vec<Delivery> {
        messages.into_iter().filter_map(|one| delivery(&self.link, one)).collect()
    }

    /// Creates or updates the consumer to its configuration.
    pub(super) async fn declare(&self) -> Result<(), BusError> {
        let config = self.known.config();
        create(&self.link, self.stream.name(), &declared::consumer(&config)).await.map_err(
            |fault| match fault {
                fault @ (Fault::Closed | Fault::Denied { .. } | Fault::NoStream | Fault::Silent { .. }) => {
                    fault.into_bus("open a consumer")
                }
                Fault::Answer { code: code::STREAM_NOT_FOUND, text } => {
                    BusError::Unavailable { reason: format!("failed to open a consumer: {text}") }
                }
                Fault::Answer { text, .. } => BusError::Consumer { reason: text },
            },
        )
    }

    /// What stands between us and an answer; makes the consumer anew where somebody has deleted it.
    async fn rebuild(&self) -> String {
        if !self.manages {
            return "the consumer is not there, or nobody leads it".to_owned();
        }
        let subject = format!("CONSUMER.INFO.{}.{}", self.stream, self.name);
        match self.link.ask::<Value>(&subject, &json!({})).await {
            Ok(_) => "the consumer has no leader".to_owned(),
            Err(fault) if fault.has_code(code::CONSUMER_NOT_FOUND) => match self.declare().await {
                Ok(()) => {
                    tracing::error!(consumer = self.name, stream = %self.stream,
                        "made a consumer anew that somebody had deleted; what is kept comes again");
                    "the consumer was deleted".to_owned()
                }
                Err(error) => crate::error_chain(&error),
            },
            Err(fault) => fault.to_string(),
        }
    }

    fn removed() -> BusError {
        BusError::Consumer { reason: "it was removed".to_owned() }
    }

    async fn settle(&self, delivery: &Delivery, word: Bytes) -> Result<(), BusError> {
        if self.link.closed().is_cancelled() {
            return Err(BusError::Closed);
        }
        if !delivery.handle.starts_with("$JS.ACK.") {
            return Err(BusError::Subject { subject: "a delivery of another bus".to_owned() });
        }
        let client = self.link.client();
        let sent = client.publish(delivery.handle.clone(), word);
        match timeout(SETTLE_WITHIN, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(BusError::Unavailable { reason: error.to_string() }),
            Err(_) => Err(BusError::Unavailable { reason: "no way to the server".to_owned() }),
        }
    }
}

#[async_trait]
impl Consumer for NatsConsumer {
    fn config(&self) -> ConsumerConfig {
        self.known.config()
    }

    async fn fetch(&self, messages_max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        let messages_max = messages_max.clamp(1, FETCH_MESSAGES_MAX);
        let deadline = Instant::now() + wait;
        let mut pause = PAUSE_FIRST;
        if self.link.closed().is_cancelled() {
            return Err(BusError::Closed);
        }
        if let Some(messages) = self.go_on(messages_max, deadline).await {
            return Ok(self.deliveries(messages));
        }
        loop {
            if self.known.is_removed() {
                return Err(NatsConsumer::removed());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let request_wait = left.clamp(REQUEST_WAIT_MIN, REQUEST_WAIT_MAX);
            let end = match self.ask(messages_max, request_wait).await {
                Pulled::Messages(messages) => return Ok(self.deliveries(messages)),
                Pulled::Ended(end) => end,
                Pulled::Open => End::Trouble("the server did not end a request in time".to_owned()),
            };
            let trouble = match end {
                End::Nothing if left <= request_wait => return Ok(Vec::new()),
                End::Nothing => {
                    pause = PAUSE_FIRST;
                    continue;
                }
                End::SpokenFor if left <= PAUSE_FIRST => return Ok(Vec::new()),
                End::SpokenFor => "another reader waits for what is there".to_owned(),
                End::Gone if self.known.is_removed() => {
                    return Err(NatsConsumer::removed());
                }
                End::Gone => self.rebuild().await,
                End::Trouble(reason) => reason,
                End::Fault(fault) => return Err(fault.into_bus("fetch messages")),
            };
            if Instant::now() >= deadline + self.link.answer_within() {
                return Err(BusError::Unavailable { reason: trouble });
            }
            tracing::debug!(consumer = self.name, reason = trouble, "asking again for messages");
            tokio::select! {
                () = self.link.closed().cancelled() => return Err(BusError::Closed),
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn ack(&self, delivery: &Delivery) -> Result<(), BusError> {
        self.settle(delivery, AckKind::Ack.into()).await
    }

    async fn retry(&self, delivery: &Delivery, after: Duration) -> Result<(), BusError> {
        self.settle(delivery, AckKind::Nak(Some(after)).into()).await
    }

    async fn in_progress(&self, delivery: &Delivery) -> Result<(), BusError> {
        self.settle(delivery, AckKind::Progress.into()).await
    }

    async fn terminate(&self, delivery: &Delivery, reason: &str) -> Result<(), BusError> {
        let (sequence, deliveries) = (delivery.sequence, delivery.deliveries);
        tracing::info!(consumer = self.name, sequence, deliveries, reason, "terminated a message");
        let plain = |c: char| if c.is_ascii_graphic() { c } else { ' ' };
        let reason: String = reason.chars().take(REASON_BYTES_MAX).map(plain).collect();
        self.settle(delivery, format!("+TERM {reason}").into()).await
    }
}

/// Creates or updates a durable consumer.
pub(super) async fn create(link: &Link, stream: &str, config: &Map<String, Value>) -> Result<(), Fault> {
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut subject = format!("CONSUMER.CREATE.{stream}.{}", text("name"));
    if !text("filter_subject").is_empty() {
        subject = format!("{subject}.{}", text("filter_subject"));
    }
    let payload = json!({ "stream_name": stream, "config": config, "action": "" });
    link.ask_until_answered::<Value>(&subject, &payload).await.map(|_| ())
}
