//! Why an intake did not take a request, and what the sender may do.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Says nothing about secrets: a wrong token and a missing one are one answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("not authenticated")]
    Unauthenticated,
    /// Authenticated, but for something else: a secret used for another owner.
    #[error("not allowed here")]
    Forbidden,
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the body came too slowly")]
    TooSlow,
    #[error("the body broke off")]
    Broken,
    #[error("the request is malformed")]
    Malformed,
    #[error("too many requests at once")]
    Busy { retry_after: Duration },
    #[error("not stored, come again")]
    NotStored { retry_after: Duration },
}

impl Refusal {
    /// The word under which it is counted.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::Unauthenticated => "unauthenticated",
            Refusal::Forbidden => "forbidden",
            Refusal::TooLarge { .. } => "too-large",
            Refusal::TooSlow => "too-slow",
            Refusal::Broken => "broken",
            Refusal::Malformed => "malformed",
            Refusal::Busy { .. } => "busy",
            Refusal::NotStored { .. } => "not-stored",
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Unauthenticated => StatusCode::UNAUTHORIZED,
            Refusal::Forbidden => StatusCode::FORBIDDEN,
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::Broken | Refusal::Malformed => StatusCode::BAD_REQUEST,
            Refusal::Busy { .. } | Refusal::NotStored { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{self}\n")).into_response();
        if let Refusal::Busy { retry_after } | Refusal::NotStored { retry_after } = self {
            let seconds = HeaderValue::from(retry_after.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if matches!(response.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // The rest of the body is not read, so the connection is of no more use.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
