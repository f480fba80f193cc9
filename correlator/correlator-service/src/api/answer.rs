//! Answers as JSON, and errors as one shape.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fleet_runtime::error_chain;

use super::types::ApiError;
use crate::query::QueryError;

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refused {
        Refused { status, code, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Refused {
        Refused::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused { status, code, message } = self;
        (status, Json(ApiError { error: code.to_owned(), message })).into_response()
    }
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Refused {
        let (status, code) = match &error {
            QueryError::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            QueryError::Asked { .. } => (StatusCode::BAD_REQUEST, "bad_request"),
            QueryError::State(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::error!(error = error_chain(&error), "failed to answer a request");
        }
        Refused::new(status, code, error_chain(&error))
    }
}

pub(super) type Answer<T> = Result<Json<T>, Refused>;
