//! One request for deliveries of a consumer, from its sending to its end.
//!
//! In: how many, how long. Out: what came, or the server's word that nothing is there, or why neither is known. Silence is
//! never read as "nothing": a request that is not ended by the server itself is trouble. A request that is still open when
//! its caller has enough, or was cancelled, is kept by the caller and goes on with the next: nothing that the server has
//! counted as delivered is thrown away.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::declared::nanos;
use super::fault::Fault;
use super::link::Link;

/// Payload bytes of one request; the first message always fits.
const BYTES_MAX: usize = 8 << 20;
/// How much later than it promised the server may end a request, or bring what it promised.
const GRACE: Duration = Duration::from_secs(2);
/// How long after a message more of it is waited for. At its bound of unsettled messages a consumer leaves the request
/// open; what has come is handed out meanwhile.
const LINGER: Duration = Duration::from_millis(20);
/// How long the server may take to end a request that we gave up.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
/// How many messages of the request the server has not sent, said with its end.
const PENDING_MESSAGES: &str = "Nats-Pending-Messages";

/// A consumer on the servers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) stream: &'a str,
    pub(super) consumer: &'a str,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// The server looked and has no more, for as long as it was asked to wait.
    Nothing,
    /// There is less than another reader of the same name already waits for.
    SpokenFor,
    /// There is no such consumer, or nobody who leads it at the moment.
    Gone,
    /// It may be otherwise in a moment: the connection, the leader or the server changed.
    Trouble(String),
    /// It stays as it is.
    Fault(Fault),
}

/// What one look at a request brought.
#[derive(Debug)]
pub(super) enum Pulled {
    Messages(Vec<Message>),
    /// The time of the look is over; the request goes on.
    Open,
    Ended(End),
}

/// A request at the server.
#[derive(Debug)]
pub(super) struct Request {
    subject: String,
    answers: Subscriber,
    connections: watch::Receiver<u64>,
    /// Refusals that the server had told before.
    denials: u64,
    asked: usize,
    came: usize,
    /// The server has ended the request and said that so many messages were sent before.
    promised: Option<usize>,
    give_up: Instant,
    waiting: VecDeque<(Instant, Message)>,
    ended: Option<End>,
}

/// What the server's word means for the request.
enum Word {
    /// Only a sign of life.
    Alive,
    /// Nothing more is sent; what was sent may still be on its way.
    Complete,
    End(End),
}

impl Request {
    /// Asks for up to `messages_max`, as they are there, waiting up to `wait` for the first.
    pub(super) async fn send(
        link: &Link,
        place: Place<'_>,
        messages_max: usize,
        wait: Duration,
    ) -> Result<Request, End> {
        let client = link.client();
        let inbox = client.new_inbox();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", place.stream, place.consumer);
        let request = json!({
            "batch": messages_max, "max_bytes": BYTES_MAX, "no_wait": true, "expires": nanos(wait),
        });
        let (connections, denials) = (link.connections(), link.denials());
        let trouble = |error: &dyn std::fmt::Display| End::Trouble(error.to_string());
        let answers = client.subscribe(inbox.clone()).await.map_err(|error| trouble(&error))?;
        let sent = client.publish_with_reply(subject.clone(), inbox, request.to_string().into()).await;
        sent.map_err(|error| trouble(&error))?;
        Ok(Request {
            subject,
            answers,
            connections,
            denials,
            asked: messages_max,
            came: 0,
            promised: None,
            give_up: Instant::now() + wait + GRACE,
            waiting: VecDeque::new(),
            ended: None,
        })
    }

    /// Takes up to `messages_max` as they come, until the request has ended or `until`.
    pub(super) async fn look(&mut self, link: &Link, messages_max: usize, until: Instant) -> Pulled {
        if self.ended.is_none() {
            let (subject, denials) = (self.subject.clone(), self.denials);
            let gathering = async { Ok(self.gather(messages_max, until).await) };
            match link.attend_since(denials, &subject, gathering).await {
                Ok(ended) => self.ended = ended,
                Err(fault) => self.ended = Some(End::Fault(fault)),
            }
        }
        let count = self.waiting.len().min(messages_max);
        if count > 0 {
            return Pulled::Messages(self.waiting.drain(..count).map(|(_, message)| message).collect());
        }
        self.ended.clone().map_or(Pulled::Open, Pulled::Ended)
    }

    /// Whether it can bring anything more.
    pub(super) fn is_open(&self) -> bool {
        self.ended.is_none() || !self.waiting.is_empty()
    }

    /// Throws away what has waited for longer: the server delivers it again.
    pub(super) fn forget_older_than(&mut self, age: Duration) {
        self.waiting.retain(|(since, _)| since.elapsed() < age);
    }

    /// Ends the request and takes what was on its way: else it would only come again later.
    pub(super) async fn drain(mut self) -> Vec<Message> {
        if self.ended.is_none() && self.answers.drain().await.is_ok() {
            let rest = async {
                while let Some(answer) = self.answers.next().await {
                    if answer.status.is_none() {
                        self.waiting.push_back((Instant::now(), answer));
                    }
                }
            };
            // What comes later comes again.
            let _ = timeout(DRAIN_WITHIN, rest).await;
        }
        self.waiting.into_iter().map(|(_, message)| message).collect()
    }

    /// Takes answers into `waiting`; answers how the request ended, if it did.
    async fn gather(&mut self, messages_max: usize, until: Instant) -> Option<End> {
        loop {
            if self.came >= self.promised.unwrap_or(self.asked) {
                return Some(End::Nothing);
            }
            if self.waiting.len() >= messages_max {
                return None;
            }
            let pause_at = match (self.promised, self.waiting.is_empty()) {
                (Some(_), _) => self.give_up,
                (None, true) => until.min(self.give_up),
                (None, false) => self.give_up.min(Instant::now() + LINGER),
            };
            let answer = tokio::select! {
                biased;
                answer = self.answers.next() => answer,
                // The sender lives as long as the link.
                _ = self.connections.changed() => return Some(End::Trouble("the connection began anew".to_owned())),
                () = sleep_until(pause_at) => match Instant::now() >= self.give_up {
                    true => return Some(End::Trouble("the server did not end a request in time".to_owned())),
                    false => return None,
                },
            };
            let Some(answer) = answer else {
                return Some(End::Trouble("the subscription ended".to_owned()));
            };
            let Some(status) = answer.status else {
                self.came += 1;
                self.waiting.push_back((Instant::now(), answer));
                continue;
            };
            match word(status, answer.description.as_deref().unwrap_or_default()) {
                Word::Alive => {}
                Word::End(end) => return Some(end),
                // With copies of the consumer this word is quicker than the messages that it counts.
                Word::Complete => {
                    let unsent =
                        answer.headers.as_ref().and_then(|headers| headers.get_last(PENDING_MESSAGES));
                    let unsent = unsent.and_then(|count| count.as_str().parse::<usize>().ok());
                    let sent = unsent.map_or(self.came, |unsent| self.asked.saturating_sub(unsent));
                    self.promised = Some(sent);
                    self.give_up = Instant::now() + GRACE;
                }
            }
        }
    }
}

fn word(status: StatusCode, description: &str) -> Word {
    let says = |words: &str| description.to_ascii_lowercase().contains(words);
    match status.as_u16() {
        100 => Word::Alive,
        404 => Word::Complete,
        408 if says("requests pending") => Word::End(End::SpokenFor),
        408 => Word::Complete,
        409 if says("maxbytes") || says("batch completed") => Word::Complete,
        409 if says("consumer deleted") => Word::End(End::Gone),
        400 => Word::End(End::Fault(Fault::Answer { code: 0, text: description.to_owned() })),
        503 => Word::End(End::Gone),
        code => Word::End(End::Trouble(format!("{description} ({code})"))),
    }
}
