//! The body of a notification as distribution writes it (its documentation, "Notifications"), only the fields we use.
//!
//! In: bytes. Out: single notifications, still with foreign text in them. It decides nothing.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The most notifications in one body. Distribution sends one.
pub(crate) const NOTIFICATIONS_MAX: usize = 1000;

/// `application/vnd.docker.distribution.events.v1+json` and `v2+json`. Each notification stays text, so that one that
/// does not parse is kept alone and does not take the others with it.
#[derive(Debug, Deserialize)]
pub(crate) struct Body<'a> {
    #[serde(borrow)]
    pub(crate) events: Vec<&'a RawValue>,
}

/// Why a body is not a list of notifications.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is not a notification of distribution")]
    Malformed(#[from] serde_json::Error),
    #[error("the body has {found} notifications, the limit is {NOTIFICATIONS_MAX}")]
    TooMany { found: usize },
}

impl<'a> Body<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Body<'a>, BodyError> {
        let body: Body<'a> = serde_json::from_slice(bytes)?;
        match body.events.len() > NOTIFICATIONS_MAX {
            true => Err(BodyError::TooMany { found: body.events.len() }),
            false => Ok(body),
        }
    }
}

/// One notification.
#[derive(Debug, Deserialize)]
pub(crate) struct Notification {
    pub(crate) id: String,
    pub(crate) timestamp: Timestamp,
    pub(crate) action: String,
    pub(crate) target: Target,
    #[serde(default)]
    pub(crate) request: Request,
    #[serde(default)]
    pub(crate) actor: Actor,
}

/// What it is about. Absent text and empty text mean the same to distribution.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    #[serde(default)]
    pub(crate) media_type: String,
    /// Empty when a tag was deleted.
    #[serde(default)]
    pub(crate) digest: String,
    pub(crate) repository: String,
    #[serde(default)]
    pub(crate) tag: String,
    #[serde(default)]
    pub(crate) url: String,
    /// The config and layers of a manifest, or the manifests of an index, where the registry is set to send them.
    #[serde(default)]
    pub(crate) references: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reference {
    #[serde(default)]
    pub(crate) media_type: String,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Request {
    #[serde(default)]
    pub(crate) useragent: String,
}

/// `{}` where the registry runs without authentication.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Actor {
    #[serde(default)]
    pub(crate) name: String,
}
