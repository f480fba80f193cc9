//! Takes the notifications of distribution over HTTP.
//!
//! In: `POST /registry/notifications` with `Authorization: Bearer <token>`; the token names the one registry that the
//! body speaks for. Out: 202 when everything in the body is durable.
//!
//! The registry repeats what is not answered with 2xx, for ever, and holds back everything behind it. So:
//! - 401 without a known token: nothing is read and nothing is kept.
//! - 202 for what is understood and on the bus, for what is of no interest, and for what is not understood and lies in
//!   the dead letter: a repetition would not make it right. A poll follows, which finds what the body may have said.
//! - 413 for a body over the bound: larger than anything a registry that itself bounds its manifests can send. That it
//!   came lies in the dead letter.
//! - 503 when our own disk or bus fails or too much comes at once: then the repetition is wanted.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use fleet_runtime::intake::{Intake, IntakeLimits, Refusal, is_token};
use fleet_runtime::metrics::DeadLettered;
use serde_json::value::RawValue;

use super::payload::{Body, Notification};
use super::translate::{Ignored, Translated, translate};
use crate::agent::{Agent, SOURCE, SayError, Watched};

/// Where distribution's `notifications.endpoints[].url` points.
pub const PATH: &str = "/registry/notifications";
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// Distribution has one delivery on its way per endpoint; a registry of several processes has a few.
const IN_FLIGHT_MAX: usize = 16;

#[derive(Debug, Clone)]
struct Listening {
    agent: Arc<Agent>,
    intake: Intake,
}

/// The routes of the intake, to be mounted into any listener.
pub(crate) fn routes(agent: Arc<Agent>) -> Router {
    let limits = IntakeLimits {
        body_bytes_max: agent.tuning.notification_bytes_max,
        read_time_max: BODY_TIME_MAX,
        in_flight_max: IN_FLIGHT_MAX,
        ..IntakeLimits::default()
    };
    let intake = Intake::new(SOURCE, limits, agent.dead_letters.clone());
    Router::new().route(PATH, post(receive)).with_state(Listening { agent, intake })
}

async fn receive(State(listening): State<Listening>, request: Request) -> Response {
    let Listening { agent, intake } = &listening;
    let mut speaker = None;
    let received = intake.receive(request, |headers| {
        speaker = speaker_of(agent, headers);
        speaker.map(|_| ()).ok_or(Refusal::Unauthenticated)
    });
    let received = received.await;
    let answer = match (received, speaker) {
        (Ok(received), Some(watched)) => take(agent, watched, &received.headers, &received.body).await,
        (Err(refusal), speaker) => refused(agent, speaker, refusal).await,
        (Ok(_), None) => Err(Refusal::Unauthenticated),
    };
    match answer {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(refusal) => {
            agent.publisher.metrics().refused(refusal.word());
            refusal.into_response()
        }
    }
}

/// The registry whose token was sent. Every token is compared, each in constant time.
fn speaker_of<'a>(agent: &'a Agent, headers: &HeaderMap) -> Option<&'a Watched> {
    let given = headers.get(AUTHORIZATION);
    let mut speaker = None;
    for watched in agent.registries.values() {
        let expected = watched.settings.notification_authorization.as_ref();
        if expected.is_some_and(|expected| is_token(expected, given)) {
            speaker = Some(watched);
        }
    }
    speaker
}

/// Keeps that a body over the bound came from a registry that showed who it is.
async fn refused(agent: &Agent, speaker: Option<&Watched>, refusal: Refusal) -> Result<(), Refusal> {
    if let (Some(watched), Refusal::TooLarge { bytes_max }) = (speaker, &refusal) {
        let reason = format!("a notification of {} is larger than {bytes_max} bytes", watched.settings.host);
        match agent.dead_letters.put_cut(SOURCE, &reason, &[], *bytes_max as u64).await {
            Ok(_) => agent.publisher.metrics().dead_lettered(DeadLettered::TooLarge),
            Err(error) => return Err(not_stored(&error.into())),
        }
        watched.poll_soon.notify_one();
    }
    Err(refusal)
}

async fn take(
    agent: &Arc<Agent>,
    watched: &Watched,
    headers: &HeaderMap,
    bytes: &Bytes,
) -> Result<(), Refusal> {
    let parsed = match Body::parse(bytes) {
        Ok(parsed) => parsed,
        Err(error) => {
            return put_aside(agent, watched, &fleet_runtime::error_chain(&error), bytes.clone()).await;
        }
    };
    for event in parsed.events {
        one(agent, watched, headers, event).await?;
    }
    Ok(())
}

async fn one(
    agent: &Arc<Agent>,
    watched: &Watched,
    headers: &HeaderMap,
    event: &RawValue,
) -> Result<(), Refusal> {
    let host = watched.settings.host.as_str();
    let understood = serde_json::from_str::<Notification>(event.get())
        .map_err(|error| format!("not a notification of distribution: {error}"))
        .and_then(|notification| match translate(&notification, host) {
            Ok(translated) => Ok((notification.id, translated)),
            Err(refusal) => Err(fleet_runtime::error_chain(&refusal)),
        });
    match understood {
        Err(reason) => {
            put_aside(agent, watched, &reason, Bytes::copy_from_slice(event.get().as_bytes())).await
        }
        Ok((_, Translated::Ignored(ignored))) => {
            agent.publisher.metrics().seen(match ignored {
                Ignored::Pull => "pull",
                Ignored::Mount => "mount",
                Ignored::Blob => "blob",
            });
            Ok(())
        }
        Ok((id, Translated::Seen(seen))) => {
            agent.publisher.metrics().seen("notification");
            let trace = fleet_runtime::trace::of_request(headers, ["registry", host, &id]);
            let _step = fleet_runtime::trace::received(headers, &trace, "receive a registry notification");
            agent.change(*seen, None, trace).await.map(|_| ()).map_err(|error| not_stored(&error))
        }
    }
}

/// Keeps what is not understood, and has the poll look at what it may have been about.
async fn put_aside(agent: &Agent, watched: &Watched, reason: &str, body: Bytes) -> Result<(), Refusal> {
    let reason = format!("{}: {reason}", watched.settings.host);
    let kept = agent.dead_letters.put_received(SOURCE, &reason, None, body).await;
    kept.map_err(|error| not_stored(&error.into()))?;
    agent.publisher.metrics().dead_lettered(DeadLettered::Notification);
    watched.poll_soon.notify_one();
    Ok(())
}

fn not_stored(error: &SayError) -> Refusal {
    tracing::error!(error = fleet_runtime::error_chain(error), "failed to keep a registry notification");
    Refusal::NotStored { retry_after: IntakeLimits::default().retry_after }
}
