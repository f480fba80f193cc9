//! Why a registry could not be asked, told apart from what it answered.
//!
//! Only [`ApiError::NotFound`] says that something is not there, and only an answer of 404 makes it: the
//! registry's own, never its realm's. Everything else means that nobody knows.

use std::time::Duration;

use bus_schema::fleet::Unavailable;

/// A failed request to a registry. Messages name no credential and no query of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the registry does not have it (404)")]
    NotFound,
    #[error("access is denied ({status})")]
    Denied { status: u16 },
    #[error("the registry asks for a token from {realm}, which is not its token_realm")]
    ForeignRealm { realm: String },
    /// A realm's answer is never one about what the registry was asked for.
    #[error("the token realm {realm} gives no token: {reason}")]
    NoToken { realm: String, reason: String },
    #[error("the registry asks for an authentication that this agent does not speak")]
    UnknownChallenge,
    #[error("too many requests (429)")]
    RateLimited { retry_after: Option<Duration> },
    #[error("the registry failed ({status})")]
    Failed { status: u16, retry_after: Option<Duration> },
    #[error("the registry answered {status}, which is none of the answers the protocol has here")]
    Unexpected { status: u16 },
    #[error("no complete answer within {seconds} s")]
    TimedOut { seconds: u64 },
    #[error("the registry cannot be reached: {reason}")]
    Unreachable { reason: String },
    #[error("the answer broke off: {reason}")]
    BrokeOff { reason: String },
    #[error("{what} is larger than {bytes_max} bytes")]
    TooLarge { what: &'static str, bytes_max: u64 },
    #[error("{what} goes on after {count_max}")]
    TooMany { what: &'static str, count_max: usize },
    #[error("the evidence of one look is larger than {bytes_max} bytes")]
    UsedUp { bytes_max: usize },
    #[error("our own store of blobs has no room for the evidence")]
    NoRoom,
    #[error("the bytes have the digest {found}, not {expected}")]
    WrongDigest { expected: String, found: String },
    #[error("{what} cannot be read: {reason}")]
    Unreadable { what: &'static str, reason: String },
    /// Whoever pushed it wrote it so: asking again gives the same bytes.
    #[error("{what} was delivered whole and cannot be read: {reason}")]
    Malformed { what: &'static str, reason: String },
    #[error("the answer leads to {host}, which is not among its redirect_hosts")]
    ForeignHost { host: String, path: String },
}

impl ApiError {
    /// What the correlator is told.
    pub(crate) fn unavailable(&self) -> Unavailable {
        match self {
            ApiError::NotFound => Unavailable::NotFound,
            // Where we may not go we know nothing of what is there. That the registry itself is not
            // configured is what the one who is asked finds, before it sends anything.
            ApiError::Denied { .. }
            | ApiError::UnknownChallenge
            | ApiError::ForeignHost { .. }
            | ApiError::ForeignRealm { .. } => Unavailable::Denied,
            ApiError::RateLimited { .. } => Unavailable::RateLimited,
            ApiError::Failed { .. }
            | ApiError::TimedOut { .. }
            | ApiError::Unreachable { .. }
            | ApiError::BrokeOff { .. }
            // A store that has room again is as good as a registry that answers again.
            | ApiError::NoRoom => Unavailable::Unreachable,
            ApiError::TooLarge { .. }
            | ApiError::TooMany { .. }
            | ApiError::UsedUp { .. }
            | ApiError::Malformed { .. } => Unavailable::CutOff,
            ApiError::WrongDigest { .. }
            | ApiError::Unreadable { .. }
            | ApiError::Unexpected { .. }
            | ApiError::NoToken { .. } => Unavailable::Unreadable,
        }
    }

    /// Whether asking for anything else now would end the same way.
    pub(crate) fn is_of_the_whole_registry(&self) -> bool {
        matches!(self, ApiError::RateLimited { .. })
    }

    /// Whether nothing was answered: that may be one slow repository, or the way to the registry.
    pub(crate) fn is_no_answer(&self) -> bool {
        matches!(self, ApiError::TimedOut { .. } | ApiError::Unreachable { .. })
    }

    /// Whether it says nothing of the other tags of the same repository.
    pub(crate) fn is_of_one_tag(&self) -> bool {
        !self.is_of_the_whole_registry() && !self.is_no_answer()
    }

    /// Whether a bound ends it, as it will in every look. What else a look has read is no such bound.
    pub(crate) fn is_a_bound(&self) -> bool {
        matches!(self, ApiError::TooLarge { .. } | ApiError::TooMany { .. })
    }

    /// How long the registry asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            ApiError::RateLimited { retry_after } | ApiError::Failed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// 404 becomes nothing; every other failure stays one.
pub(crate) fn found<T>(answer: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(ApiError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
