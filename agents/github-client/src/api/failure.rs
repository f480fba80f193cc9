//! Why a look-up has no answer: one variant per party that has to act.

use axum::http::StatusCode;
use bus_schema::fleet::Unavailable;
use jiff::Timestamp;

use crate::json::JsonError;

/// The longest text of the forge's own that an error repeats, in characters.
const SAID_CHARS_MAX: usize = 200;

/// A look-up without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiFailure {
    /// The forge has no such thing, or hides it from this credential.
    #[error("the forge has no such thing")]
    NotFound,
    #[error("the forge denies it ({status}): {said}")]
    Denied { status: u16, said: String },
    #[error("the forge's rate limit is used up{}", .until.map(|until| format!(" until {until}")).unwrap_or_default())]
    RateLimited { until: Option<Timestamp> },
    #[error("the forge cannot be reached: {reason}")]
    Unreachable { reason: String },
    #[error("the forge's answer cannot be read: {reason}")]
    Unreadable { reason: String },
    /// Another refusal, for example 422 for something that is not a commit.
    #[error("the forge refuses the request ({status}): {said}")]
    Refused { status: u16, said: String },
}

impl ApiFailure {
    /// The word under which the answer to a question names this.
    pub fn unavailable(&self) -> Unavailable {
        match self {
            ApiFailure::NotFound => Unavailable::NotFound,
            ApiFailure::Denied { .. } => Unavailable::Denied,
            ApiFailure::RateLimited { .. } => Unavailable::RateLimited,
            ApiFailure::Unreachable { .. } => Unavailable::Unreachable,
            ApiFailure::Unreadable { .. } | ApiFailure::Refused { .. } => Unavailable::Unreadable,
        }
    }

    /// Whether the forge said that the thing itself is not there: 404, or 422 for a commit id that it does not have.
    pub fn is_absence(&self) -> bool {
        matches!(self, ApiFailure::NotFound | ApiFailure::Refused { status: 422, .. })
    }

    pub(super) fn unreadable(error: &JsonError) -> ApiFailure {
        let reason = match error {
            JsonError::Shape(cause) => {
                format!("{error} (line {}, column {})", cause.line(), cause.column())
            }
            JsonError::TooDeep { .. } | JsonError::NotAnObject => error.to_string(),
        };
        ApiFailure::Unreadable { reason }
    }

    pub(super) fn from_status(status: StatusCode, limited_until: Option<Limited>, said: &[u8]) -> ApiFailure {
        if let Some(Limited { until }) = limited_until {
            return ApiFailure::RateLimited { until };
        }
        let code = status.as_u16();
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => ApiFailure::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
                ApiFailure::Denied { status: code, said: message_of(said) }
            }
            _ if status.is_server_error() => ApiFailure::Unreachable { reason: format!("it answers {code}") },
            _ => ApiFailure::Refused { status: code, said: message_of(said) },
        }
    }

    /// A failure before any answer, or while a GitHub App got its token.
    pub(super) fn from_octocrab(error: &octocrab::Error) -> ApiFailure {
        if let octocrab::Error::GitHub { source, .. } = error {
            let said = format!("getting the app's token: {}", plain(&source.message));
            let status = source.status_code;
            return match status.is_server_error() {
                true => ApiFailure::Unreachable { reason: format!("it answers {}", status.as_u16()) },
                false => ApiFailure::Denied { status: status.as_u16(), said },
            };
        }
        ApiFailure::Unreachable { reason: octocrab_text(error) }
    }
}

/// The forge said that a rate limit is reached, and perhaps until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    pub until: Option<Timestamp>,
}

/// The chain of causes in one line. Octocrab's own texts carry backtraces.
pub(super) fn octocrab_text(error: &octocrab::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(current) = cause {
        let part = plain(current.to_string().lines().next().unwrap_or_default());
        if !text.ends_with(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        cause = current.source();
    }
    match text.is_empty() {
        true => "the request could not be sent".to_owned(),
        false => text.chars().take(SAID_CHARS_MAX).collect(),
    }
}

pub(super) fn is_length_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(current) = cause {
        if current.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = current.source();
    }
    false
}

/// GitHub's error body.
#[derive(serde::Deserialize)]
struct ErrorBody {
    message: String,
    documentation_url: Option<String>,
}

/// Whether a refusal is one of the secondary rate limits, which GitHub tells in the words of the body alone
/// ("Rate limits for the REST API").
pub(super) fn says_secondary_limit(body: &[u8]) -> bool {
    let Ok(body) = crate::json::read::<ErrorBody>(body) else { return false };
    body.message.to_ascii_lowercase().contains("secondary rate limit")
        || body.documentation_url.is_some_and(|page| page.contains("secondary-rate-limits"))
}

fn message_of(body: &[u8]) -> String {
    match crate::json::read::<ErrorBody>(body) {
        Ok(body) => plain(&body.message),
        Err(_) => "without a message".to_owned(),
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect()
}
