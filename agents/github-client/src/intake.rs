//! The HTTP intake for webhooks: one address that serves every agent of the process.
//!
//! In: POSTs from anybody. Out: authenticated deliveries for the agent that reads their event, and an answer with a status
//! that GitHub shows to people. It answers 2xx only after the delivery's events, or the delivery itself as a dead
//! letter, are durable. It reads no more than the caps allow, and decides nothing about what a payload means.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::intake::{IntakeLimits, Refusal};
use fleet_runtime::metrics::AgentMetrics;
use tracing::Instrument as _;

use crate::webhook::{
    Authenticated, DELIVERY_HEADER, Delivery, DeliveryHeaders, DeliveryRefusal, EVENT_HEADER,
    SIGNATURE_HEADER, WebhookSecret, authenticate, is_known_event,
};

/// Where GitHub posts to.
pub const WEBHOOK_PATH: &str = "/github/webhook";
/// The largest body that is read: GitHub sends at most 25 MB.
pub const DELIVERY_BYTES_MAX: usize = 25 * 1024 * 1024;
/// Deliveries in memory at once; more are told to come again.
pub const DELIVERIES_IN_FLIGHT_MAX: usize = 16;
/// Bodies up to this size are hashed where they are received.
const HASHED_IN_PLACE_BYTES_MAX: usize = 256 * 1024;
/// What a sender is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The bounds of an intake for GitHub.
pub fn limits() -> IntakeLimits {
    IntakeLimits {
        body_bytes_max: DELIVERY_BYTES_MAX,
        in_flight_max: DELIVERIES_IN_FLIGHT_MAX,
        retry_after: RETRY_AFTER,
        ..IntakeLimits::default()
    }
}

/// What an agent made of a delivery; durable when it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// So many events are durable.
    Reported { events: usize },
    /// Understood, and there is nothing to report.
    NothingToSay { why: &'static str },
    /// Not understood; kept as a dead letter.
    Buried,
}

/// Neither the events nor the delivery could be made durable.
#[derive(Debug, thiserror::Error)]
#[error("the delivery could not be stored: {0}")]
pub struct NotStored(pub String);

/// An agent's side of the intake.
#[async_trait]
pub trait Receiver: std::fmt::Debug + Send + Sync {
    /// The events that this agent reads.
    fn read_events(&self) -> &'static [&'static str];

    fn metrics(&self) -> &AgentMetrics;

    /// Translates a delivery and makes its events durable, or buries it.
    async fn receive(&self, delivery: &Delivery) -> Result<Received, NotStored>;

    /// Keeps a delivery that nobody understands, with the reason.
    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), NotStored>;
}

/// An intake: whose deliveries it takes, and who reads them.
#[derive(Debug)]
pub struct WebhookIntake {
    secrets: Arc<[WebhookSecret]>,
    first: Arc<dyn Receiver>,
    others: Vec<Arc<dyn Receiver>>,
    reading: fleet_runtime::intake::Intake,
}

impl WebhookIntake {
    /// `first` and `others` are the agents of this process; the first one keeps and counts what nobody reads.
    pub fn new(
        secrets: Vec<WebhookSecret>,
        first: Arc<dyn Receiver>,
        others: Vec<Arc<dyn Receiver>>,
        limits: IntakeLimits,
        dead_letters: DeadLetters,
    ) -> WebhookIntake {
        let reading = fleet_runtime::intake::Intake::new("github-webhook", limits, dead_letters);
        WebhookIntake { secrets: secrets.into(), first, others, reading }
    }

    /// The routes: [`WEBHOOK_PATH`].
    pub fn routes(self) -> Router {
        Router::new().route(WEBHOOK_PATH, post(receive)).with_state(Arc::new(self))
    }

    async fn take(&self, request: Request) -> Result<Received, NotTaken> {
        let received =
            self.reading.receive(request, |headers| match headers.contains_key(SIGNATURE_HEADER) {
                true => Ok(()),
                false => Err(Refusal::Unauthenticated),
            });
        let received = received.await?;
        match self.authenticate(&received).await? {
            Authenticated::Unreadable { delivery, error } => {
                let reason = fleet_runtime::error_chain(&error);
                self.bury(self.first.as_ref(), &delivery, &reason).await
            }
            Authenticated::Delivery(delivery) => {
                let span = tracing::info_span!("delivery", event = %delivery.event, id = delivery.id);
                self.hand_over(delivery).instrument(span).await
            }
        }
    }

    /// Hashes large bodies away from the threads that serve others.
    async fn authenticate(
        &self,
        received: &fleet_runtime::intake::Received,
    ) -> Result<Authenticated, NotTaken> {
        let body = received.body.clone();
        if body.len() <= HASHED_IN_PLACE_BYTES_MAX {
            return Ok(authenticate(&self.secrets, delivery_headers(&received.headers), body)?);
        }
        let (secrets, headers) = (self.secrets.clone(), received.headers.clone());
        let hashed =
            tokio::task::spawn_blocking(move || authenticate(&secrets, delivery_headers(&headers), body));
        match hashed.await {
            Ok(authenticated) => Ok(authenticated?),
            Err(_) => Err(NotStored("the check of the signature ended early".to_owned()).into()),
        }
    }

    async fn hand_over(&self, delivery: Delivery) -> Result<Received, NotTaken> {
        let event = delivery.event.as_str();
        let reader = std::iter::once(&self.first).chain(&self.others).find_map(|receiver| {
            Some((receiver, *receiver.read_events().iter().find(|name| **name == event)?))
        });
        match reader {
            Some((receiver, name)) => {
                receiver.metrics().seen(name);
                Ok(receiver.receive(&delivery).await?)
            }
            None if is_known_event(event) => {
                self.first.metrics().seen("ignored");
                Ok(Received::NothingToSay { why: "no agent reads this event" })
            }
            None => {
                let reason = format!("the event {event} is unknown");
                self.bury(self.first.as_ref(), &delivery, &reason).await
            }
        }
    }

    async fn bury(
        &self,
        keeper: &dyn Receiver,
        delivery: &Delivery,
        reason: &str,
    ) -> Result<Received, NotTaken> {
        keeper.metrics().seen("unknown");
        keeper.bury(delivery, reason).await?;
        Ok(Received::Buried)
    }
}

async fn receive(State(intake): State<Arc<WebhookIntake>>, request: Request) -> Response {
    match intake.take(request).await {
        Ok(received) => {
            tracing::debug!(?received, "took a delivery");
            (StatusCode::ACCEPTED, text(&received)).into_response()
        }
        Err(not_taken) => {
            intake.first.metrics().refused(not_taken.word());
            tracing::warn!(reason = %fleet_runtime::error_chain(&not_taken), "did not take a delivery");
            not_taken.refusal().into_response()
        }
    }
}

fn text(received: &Received) -> String {
    match received {
        Received::Reported { events } => format!("reported {events} events\n"),
        Received::NothingToSay { why } => format!("ignored: {why}\n"),
        Received::Buried => "kept as a dead letter\n".to_owned(),
    }
}

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Unread(#[from] Refusal),
    #[error("the delivery is refused")]
    Refused(#[from] DeliveryRefusal),
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

impl NotTaken {
    /// What the sender is told: nothing of the body, and nothing that helps to forge one.
    fn refusal(&self) -> Refusal {
        match self {
            NotTaken::Unread(refusal) => refusal.clone(),
            NotTaken::Refused(DeliveryRefusal::Signature(_)) => Refusal::Unauthenticated,
            NotTaken::Refused(DeliveryRefusal::Claim(_)) => Refusal::Forbidden,
            NotTaken::Refused(DeliveryRefusal::NoEvent | DeliveryRefusal::Body(_)) => Refusal::Malformed,
            NotTaken::NotStored(_) => Refusal::NotStored { retry_after: RETRY_AFTER },
        }
    }

    fn word(&self) -> &'static str {
        self.refusal().word()
    }
}

fn delivery_headers(headers: &HeaderMap) -> DeliveryHeaders<'_> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    DeliveryHeaders {
        event: text(EVENT_HEADER),
        id: text(DELIVERY_HEADER),
        signature: text(SIGNATURE_HEADER),
    }
}
