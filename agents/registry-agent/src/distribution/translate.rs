//! One notification of distribution → a change, nothing, or a typed refusal. Pure.
//!
//! In: the notification and the host of the registry that its token names. Out: what happened, in our words. The
//! host inside the body is never used: a registry speaks for itself only.

use bus_schema::registry::Observation;
use bus_schema::{Actor, Digest, ImageRepository, ParseError, Tag};

use super::payload::{Notification, Target};
use crate::change::{Change, Deleted, Pushed, Seen};
use crate::media_type::{Content, is_index, is_manifest};

/// The longest id of a notification, in bytes.
const ID_BYTES_MAX: usize = 256;
/// The longest name of an actor, in bytes; a longer one is refused, since a cut name could be somebody else's.
const ACTOR_BYTES_MAX: usize = 256;
/// How much of a client's user agent is kept, in characters.
const CLIENT_CHARS_MAX: usize = 256;

/// What a notification means to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Translated {
    Seen(Box<Seen>),
    /// Known, and of no interest: a pull, a mount, or a blob.
    Ignored(Ignored),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ignored {
    Pull,
    Mount,
    Blob,
}

/// Why a notification is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the id is not 1 to {ID_BYTES_MAX} printable bytes")]
    Id,
    #[error("the action {0:?} is unknown")]
    Action(String),
    #[error("the actor's name is longer than {ACTOR_BYTES_MAX} bytes")]
    Actor,
    #[error("a push without a digest")]
    PushWithoutDigest,
    #[error("a deletion that names neither tag nor digest")]
    DeletionOfNothing,
    #[error(transparent)]
    Identity(#[from] ParseError),
}

pub(crate) fn translate(notification: &Notification, host: &str) -> Result<Translated, Refusal> {
    let action = notification.action.as_str();
    let target = &notification.target;
    match action {
        "pull" => return Ok(Translated::Ignored(Ignored::Pull)),
        "mount" => return Ok(Translated::Ignored(Ignored::Mount)),
        "push" if !is_of_a_manifest(target) => return Ok(Translated::Ignored(Ignored::Blob)),
        // Distribution names the digest alone: the deletion of a blob reads as that of a manifest which no tag
        // points at, of which the ledger makes nothing. A media type or URL tells a blob, where there is one.
        "delete" if is_of_a_blob(target) => return Ok(Translated::Ignored(Ignored::Blob)),
        _ => {}
    }
    let id = notification.id.as_str();
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::Id);
    }
    let change = match action {
        "push" => Change::Pushed(pushed(notification, host)?),
        "delete" => Change::Deleted {
            repository: ImageRepository::new(host, &target.repository)?,
            what: deleted(target)?,
            actor: actor(notification)?,
        },
        other => return Err(Refusal::Action(other.chars().take(40).collect())),
    };
    let observation = Observation::Notification { event_id: id.to_owned() };
    Ok(Translated::Seen(Box::new(Seen { change, observation, at: notification.timestamp })))
}

fn pushed(notification: &Notification, host: &str) -> Result<Pushed, Refusal> {
    let target = &notification.target;
    let digest = digest(target)?.ok_or(Refusal::PushWithoutDigest)?;
    let client: String = notification.request.useragent.chars().take(CLIENT_CHARS_MAX).collect();
    Ok(Pushed {
        repository: ImageRepository::new(host, &target.repository)?,
        digest,
        media_type: is_manifest(&target.media_type).then(|| target.media_type.clone()),
        tag: tag(target)?,
        content: content(target),
        actor: actor(notification)?,
        client: (!client.is_empty()).then_some(client),
    })
}

/// What was pushed. Registries that do not send references leave it open, except for an index.
fn content(target: &Target) -> Content {
    match target.references.is_empty() && !is_index(&target.media_type) {
        true => Content::Unknown,
        false => Content::of(target.references.iter().map(|reference| reference.media_type.as_str())),
    }
}

fn deleted(target: &Target) -> Result<Deleted, Refusal> {
    match (tag(target)?, digest(target)?) {
        (Some(tag), Some(digest)) => Ok(Deleted::TagOf(tag, digest)),
        (Some(tag), None) => Ok(Deleted::Tag(tag)),
        (None, Some(digest)) => Ok(Deleted::Manifest(digest)),
        (None, None) => Err(Refusal::DeletionOfNothing),
    }
}

fn digest(target: &Target) -> Result<Option<Digest>, ParseError> {
    match target.digest.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some),
    }
}

fn tag(target: &Target) -> Result<Option<Tag>, ParseError> {
    match target.tag.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some),
    }
}

fn actor(notification: &Notification) -> Result<Option<Actor>, Refusal> {
    match notification.actor.name.as_str() {
        "" => Ok(None),
        name if name.len() > ACTOR_BYTES_MAX => Err(Refusal::Actor),
        name => Ok(Some(Actor::named(name))),
    }
}

/// Blobs and manifests are pushed with the same action. A tag, a manifest's media type or its URL tells a manifest.
fn is_of_a_manifest(target: &Target) -> bool {
    !target.tag.is_empty() || is_manifest(&target.media_type) || endpoint(target) == Some("manifests")
}

fn is_of_a_blob(target: &Target) -> bool {
    target.tag.is_empty()
        && (target.media_type == "application/octet-stream" || endpoint(target) == Some("blobs"))
}

/// `manifests` or `blobs`: the path segment before the last, because a repository may be called so too.
fn endpoint(target: &Target) -> Option<&str> {
    target.url.rsplit('/').nth(1)
}
