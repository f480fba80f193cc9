//! What every webhook intake does before it looks at a payload.
//!
//! In: a request. Out: its headers and whole body, within bounds of size, time and number; or a refusal that says
//! whether to come again. An intake answers 2xx only after what it received is durable, the dead letter included.

mod refusal;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bus::BusError;
use crate::dead_letters::DeadLetters;

pub use refusal::Refusal;
pub use token::is_token;

/// The bounds of one intake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntakeLimits {
    /// Larger bodies are refused with 413 (GitHub sends up to 25 MB; what we use is far smaller).
    pub body_bytes_max: usize,
    /// How long reading one body may take.
    pub read_time_max: Duration,
    /// Requests worked on at once; more are refused with 503. With the body bound this bounds memory.
    pub in_flight_max: usize,
    /// What a refused sender is asked to wait.
    pub retry_after: Duration,
}

impl Default for IntakeLimits {
    fn default() -> IntakeLimits {
        IntakeLimits {
            body_bytes_max: 4 << 20,
            read_time_max: Duration::from_secs(10),
            in_flight_max: 64,
            retry_after: Duration::from_secs(5),
        }
    }
}

/// One intake: shared by its handlers.
#[derive(Clone, Debug)]
pub struct Intake {
    source: &'static str,
    limits: IntakeLimits,
    places: Arc<Semaphore>,
    dead_letters: DeadLetters,
    /// Why the last request was not stored: what holds up each of them is logged once.
    failing: Arc<Mutex<Option<String>>>,
}

/// A whole request. Holds its place in the intake until it is dropped.
#[derive(Debug)]
pub struct Received {
    pub headers: HeaderMap,
    pub uri: Uri,
    pub body: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Intake {
    /// `source` names the intake in dead letters: `registry-agent`.
    pub fn new(source: &'static str, limits: IntakeLimits, dead_letters: DeadLetters) -> Intake {
        let places = limits.in_flight_max.clamp(1, Semaphore::MAX_PERMITS);
        Intake {
            source,
            limits,
            places: Arc::new(Semaphore::new(places)),
            dead_letters,
            failing: Arc::default(),
        }
    }

    /// Takes a request in. `check` sees the headers before a byte of the body is read: the place for a static token.
    pub async fn receive(
        &self,
        request: Request,
        check: impl FnOnce(&HeaderMap) -> Result<(), Refusal>,
    ) -> Result<Received, Refusal> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Refusal::Busy { retry_after: self.limits.retry_after })?;
        let (parts, body) = request.into_parts();
        check(&parts.headers)?;
        let stated = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if stated.and_then(|text| text.parse().ok()).is_some_and(|bytes: u64| bytes > self.body_bytes_max()) {
            return Err(Refusal::TooLarge { bytes_max: self.limits.body_bytes_max });
        }
        let read = tokio::time::timeout(self.limits.read_time_max, self.read(body)).await;
        let body = read.map_err(|_| Refusal::TooSlow)??;
        Ok(Received { headers: parts.headers, uri: parts.uri, body, _place: place })
    }

    /// The answer after publishing: 202 when everything is durable, else a refusal that asks to come again.
    pub fn answer(&self, stored: Result<(), BusError>) -> Response {
        match stored {
            Ok(()) => {
                *self.failing() = None;
                StatusCode::ACCEPTED.into_response()
            }
            Err(error) => {
                let cause = crate::error_chain(&error);
                let before = self.failing().replace(cause.clone());
                match before.as_ref() == Some(&cause) {
                    true => tracing::debug!(intake = self.source, error = cause, "failed to store another"),
                    false => {
                        tracing::error!(
                            intake = self.source,
                            error = cause,
                            "failed to store what was received"
                        );
                    }
                }
                Refusal::NotStored { retry_after: self.limits.retry_after }.into_response()
            }
        }
    }

    /// Keeps a body that could not be understood; accepted once that is durable, because sending it again would not
    /// help. Only for senders that have shown who they are.
    pub async fn not_understood(&self, reason: &str, trace: Option<&str>, body: Bytes) -> Response {
        let kept = self.dead_letters.put_received(self.source, reason, trace, body).await;
        self.answer(kept.map(|_| ()))
    }

    async fn read(&self, body: Body) -> Result<Bytes, Refusal> {
        let mut chunks = body.into_data_stream();
        let mut read = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Refusal::Broken)?;
            if read.len() + chunk.len() > self.limits.body_bytes_max {
                return Err(Refusal::TooLarge { bytes_max: self.limits.body_bytes_max });
            }
            read.extend_from_slice(&chunk);
        }
        Ok(read.freeze())
    }

    fn failing(&self) -> MutexGuard<'_, Option<String>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn body_bytes_max(&self) -> u64 {
        self.limits.body_bytes_max as u64
    }
}

#[cfg(test)]
mod tests;
