//! The connection: made once, repaired for ever by the client, and what it is told between the lines.
//!
//! In: settings. Out: requests that are answered or named as a fault. A server refuses a publish or a subscription only
//! by a word on the side, and the request itself is never answered: those words are heard here and end the request.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::response::Response;
use async_nats::{Client, ConnectOptions, Event, ServerError};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::settings::{NatsLogin, NatsSettings};
use crate::bus::BusError;

/// How long one request to the servers may take before it is tried again.
const ATTEMPT_FIRST: Duration = Duration::from_secs(2);
const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// Pauses between attempts, doubled each time.
const PAUSE_FIRST: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Pauses between attempts to reach a server again.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Messages of one subscription that wait for us; more than a fetch asks for.
const SUBSCRIPTION_MESSAGES_MAX: usize = 4096;
/// Publishes that wait for their confirmation; the bytes are bounded apart.
const CONFIRMATIONS_MAX: usize = 4096;
/// Refused subjects that are remembered.
const DENIED_MAX: usize = 64;
const DENIED_BYTES_MAX: usize = 512;
/// Events of one connection that are logged.
const LOGGED_MAX: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Link {
    context: Context,
    heard: Arc<Heard>,
    closed: CancellationToken,
    /// How long what is not a publish is tried.
    answer_within: Duration,
}

/// What the server said on the side.
#[derive(Debug, Default)]
struct Heard {
    /// Counts connections: who waits for an answer on the one before asks again.
    connections: watch::Sender<u64>,
    /// Counts refusals.
    denials: watch::Sender<u64>,
    denied: Mutex<VecDeque<(u64, String)>>,
    /// Our own inbox, when we may not subscribe to it: then no answer ever comes.
    deaf: Mutex<Option<String>>,
    /// What was logged since the last connection: while a server is away each attempt to reach it says the
    /// same, and it says of each message that it refuses one.
    logged: Mutex<BTreeSet<String>>,
}

impl Link {
    pub(super) async fn connect(
        settings: &NatsSettings,
        closed: CancellationToken,
    ) -> Result<Link, BusError> {
        // An error means that the process has chosen one already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let heard = Arc::new(Heard::default());
        let options = options(settings, &heard)?;
        let unavailable = |reason: String| BusError::Unavailable { reason };
        let connecting = options.connect(settings.servers.clone());
        let client = match timeout(settings.connect_within, connecting).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                return Err(unavailable(format!("failed to connect: {}", crate::error_chain(&error))));
            }
            Err(_) => return Err(unavailable("no server took the connection in time".to_owned())),
        };
        let context = ContextBuilder::new()
            .timeout(ATTEMPT_MAX)
            .ack_timeout(ATTEMPT_MAX)
            .max_ack_inflight(CONFIRMATIONS_MAX)
            .backpressure_on_inflight(true)
            .build(client);
        Ok(Link { context, heard, closed, answer_within: settings.answer_within })
    }

    pub(super) fn client(&self) -> Client {
        self.context.client()
    }

    /// The most that the servers take in one message, headers included; nothing before one was reached, when the client
    /// itself goes by a limit that none of them gave.
    pub(super) fn message_bytes_max(&self) -> Option<usize> {
        let server = self.client().server_info();
        (!server.server_id.is_empty()).then_some(server.max_payload)
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// How long an answer is waited for, attempt after attempt.
    pub(super) fn answer_within(&self) -> Duration {
        self.answer_within
    }

    /// Changes with each new connection.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        let mut connections = self.heard.connections.subscribe();
        connections.mark_unchanged();
        connections
    }

    /// One request of JetStream's API, asked once; `subject` without its prefix.
    pub(super) async fn ask<V: DeserializeOwned>(&self, subject: &str, payload: &Value) -> Result<V, Fault> {
        let asked = timeout(ATTEMPT_FIRST, self.ask_patiently(subject, payload)).await;
        asked.unwrap_or_else(|_| Err(Fault::silent("no answer in time")))
    }

    async fn ask_patiently<V: DeserializeOwned>(&self, subject: &str, payload: &Value) -> Result<V, Fault> {
        let full = format!("$JS.API.{subject}");
        let asked = self.attend(&full, async {
            match self.context.request::<_, Value, Response<V>>(subject.to_owned(), payload).await? {
                Response::Ok(answer) => Ok(answer),
                Response::Err { error } => Err(Fault::from(&error)),
            }
        });
        asked.await
    }

    /// Asks until it is answered, refused for good, or the time is over.
    pub(super) async fn ask_until_answered<V: DeserializeOwned>(
        &self,
        subject: &str,
        payload: &Value,
    ) -> Result<V, Fault> {
        self.persist(self.answer_within, || self.ask_patiently(subject, payload)).await
    }

    /// Repeats what may pass, with growing pauses and growing patience, for as long as `within`.
    pub(super) async fn persist<T, F>(
        &self,
        within: Duration,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let until = Instant::now() + within;
        let (mut patience, mut pause) = (ATTEMPT_FIRST, PAUSE_FIRST);
        loop {
            let fault = match timeout(patience, attempt()).await {
                Ok(Err(fault)) if fault.may_pass() => fault,
                Ok(outcome) => return outcome,
                Err(_) => Fault::silent("no answer in time"),
            };
            if Instant::now() + pause >= until {
                return Err(fault);
            }
            tracing::debug!(reason = %fault, "asking the bus again");
            tokio::select! {
                () = self.closed.cancelled() => return Err(Fault::Closed),
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
            patience = (patience * 2).min(ATTEMPT_MAX);
        }
    }

    /// How many refusals the server has told; to be asked before a request is sent.
    pub(super) fn denials(&self) -> u64 {
        *self.heard.denials.borrow()
    }

    /// Sends a request and waits for its answer, and for the word that there will be none.
    pub(super) async fn attend<T>(
        &self,
        subject: &str,
        answer: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        self.attend_since(self.denials(), subject, answer).await
    }

    /// The same for a request that was sent when so many refusals had been told.
    pub(super) async fn attend_since<T>(
        &self,
        before: u64,
        subject: &str,
        answer: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        if self.closed.is_cancelled() {
            return Err(Fault::Closed);
        }
        let mut denials = self.heard.denials.subscribe();
        let denied = async {
            loop {
                denials.mark_unchanged();
                if let Some(fault) = self.heard.fault_since(before, subject) {
                    return fault;
                }
                if denials.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Fault::Closed),
            outcome = answer => outcome,
            fault = denied => Err(fault),
        }
    }
}

impl Heard {
    /// Notes what the server said; anything else is only logged.
    fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                tracing::info!("connected to the bus");
                // Rights may have been given meanwhile.
                *lock(&self.deaf) = None;
                lock(&self.logged).clear();
                self.connections.send_modify(|count| *count += 1);
            }
            Event::ServerError(ServerError::Other(text)) => {
                self.log_once(format!("the server reports an error: {}", shown(text)));
                self.note_refusal(text);
            }
            Event::SlowConsumer(subscription) => {
                tracing::warn!(
                    subscription,
                    "messages were dropped, they come again: this process reads too slowly"
                );
            }
            other => self.log_once(other.to_string()),
        }
    }

    fn log_once(&self, event: String) {
        let mut logged = lock(&self.logged);
        if logged.contains(&event) || logged.len() >= LOGGED_MAX {
            return tracing::debug!(event, "the bus connection says");
        }
        tracing::warn!(event, "the bus connection says");
        logged.insert(event);
    }

    fn note_refusal(&self, text: &str) {
        if let Some(subject) = quoted_after(text, "Permissions Violation for Subscription to ") {
            *lock(&self.deaf) = Some(subject.to_owned());
            self.denials.send_modify(|count| *count += 1);
        }
        if let Some(subject) = quoted_after(text, "Permissions Violation for Publish to ") {
            let mut denied = lock(&self.denied);
            let number = *self.denials.borrow() + 1;
            denied.push_back((number, subject.to_owned()));
            if denied.len() > DENIED_MAX {
                denied.pop_front();
            }
            drop(denied);
            self.denials.send_modify(|count| *count += 1);
        }
    }

    fn fault_since(&self, before: u64, subject: &str) -> Option<Fault> {
        if let Some(inbox) = lock(&self.deaf).clone() {
            return Some(Fault::Denied { subject: inbox });
        }
        let denied = lock(&self.denied);
        let is_new = denied.iter().any(|(number, refused)| *number > before && refused == subject);
        is_new.then(|| Fault::Denied { subject: subject.to_owned() })
    }
}

fn options(settings: &NatsSettings, heard: &Arc<Heard>) -> Result<ConnectOptions, BusError> {
    let heard = Arc::clone(heard);
    let mut options = ConnectOptions::new()
        .name(&settings.name)
        .require_tls(settings.tls.is_required)
        .connection_timeout(settings.connect_within)
        .request_timeout(Some(ATTEMPT_MAX))
        .ping_interval(PING_INTERVAL)
        .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
        .reconnect_delay_callback(|attempts| {
            let doubled = 1_u32 << attempts.clamp(1, 8);
            (PAUSE_FIRST * doubled).min(RECONNECT_PAUSE_MAX)
        })
        .event_callback(move |event| {
            heard.note(&event);
            std::future::ready(())
        });
    if let Some(file) = &settings.tls.root_certificates_file {
        options = options.add_root_certificates(file.clone());
    }
    if let Some((certificate, key)) = &settings.tls.certificate_files {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if settings.waits_for_servers {
        options = options.retry_on_initial_connect();
    }
    if let Some(prefix) = &settings.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    Ok(match &settings.login {
        None => options,
        Some(NatsLogin::NkeySeed(seed)) => options.nkey(seed.expose().to_owned()),
        Some(NatsLogin::Password { user, password }) => {
            options.user_and_password(user.clone(), password.expose().to_owned())
        }
        Some(NatsLogin::Credentials(credentials)) => {
            let refused = |_| BusError::Unavailable { reason: "the credentials cannot be read".to_owned() };
            options.credentials(credentials.expose()).map_err(refused)?
        }
    })
}

/// The text in quotes that follows `words`.
fn quoted_after<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    let after = text.split_once(words)?.1.strip_prefix('"')?;
    let quoted = after.split_once('"')?.0;
    (quoted.len() <= DENIED_BYTES_MAX).then_some(quoted)
}

/// A server's words as a log may show them.
fn shown(text: &str) -> String {
    text.chars().take(DENIED_BYTES_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_a_connection_says_again_and_again_is_logged_once_until_the_next() {
        let heard = Heard::default();
        let again = [Event::Disconnected, Event::ServerError(ServerError::AuthorizationViolation)];
        for event in again.iter().chain(&again) {
            heard.note(event);
        }
        assert_eq!(lock(&heard.logged).len(), again.len());
        for number in 0..2 * LOGGED_MAX {
            heard.note(&Event::ServerError(ServerError::Other(format!("odd {number}"))));
        }
        assert_eq!(lock(&heard.logged).len(), LOGGED_MAX);
        heard.note(&Event::Connected);
        assert!(lock(&heard.logged).is_empty());
    }

    #[test]
    fn refused_subjects_are_read_from_the_servers_words() {
        let text = "Permissions Violation for Publish to \"custody.in.ci.a\"";
        let words = "Permissions Violation for Publish to ";
        assert_eq!(quoted_after(text, words), Some("custody.in.ci.a"));
        assert_eq!(quoted_after("Permissions Violation for Publish to x", words), None);
        assert_eq!(quoted_after("other words", words), None);
    }
}
