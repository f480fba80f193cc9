//! Which digest each tag pointed at last, and what a change makes of that. Pure.
//!
//! In: a change and the state of the tags it touches. Out: the events it means, the tags to write, the digests to
//! look at. A registry tells a push, never what the tag pointed at before: moves are found here and nowhere else.
//! Evidence tags are remembered like others, so that a poll sees them change, and their moves never become
//! events. What is pushed under one becomes an event where it may run: the name of a tag is the choice of
//! whoever pushes.

use bus_schema::registry::{ImageDeleted, ImagePushed, Observation, RegistryTagMoved};
use bus_schema::{Digest, Event, ImageRepository, Tag};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::change::{Change, Deleted, Pushed, Seen};
use crate::media_type::Content;

/// How far a registry's clock may be from ours when its word is compared with a poll.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What is known of one tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TagState {
    /// What it points at; absent when it was deleted.
    pub(crate) points_at: Option<Digest>,
    /// The last image it pointed at, kept over a deletion: one that comes back with other content has moved.
    pub(crate) image: Option<Digest>,
    pub(crate) told: Told,
    /// When this was written.
    pub(crate) at: Timestamp,
}

/// How the state of a tag became known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Told {
    /// With the registry's own time.
    Notification { at: Timestamp },
    /// A poll found it first: from which image the tag moved, and the earliest time at which it can have.
    Poll { from: Option<Digest>, not_before: Option<Timestamp> },
}

/// The tags as they are before a change.
pub(crate) trait Tags {
    type Error;

    fn tag(&self, repository: &ImageRepository, tag: &Tag) -> Result<Option<TagState>, Self::Error>;

    /// The tags of a repository that point at a digest.
    fn pointing_at(
        &self,
        repository: &ImageRepository,
        digest: &Digest,
    ) -> Result<Vec<(Tag, TagState)>, Self::Error>;
}

/// What a change means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<Event>,
    pub(crate) writes: Vec<(Tag, TagState)>,
    pub(crate) look_ups: Vec<LookUp>,
    /// An event that is said only if the look at what was pushed shows an image; there is one such look.
    pub(crate) unsaid: Option<Event>,
}

/// A digest to look at without being asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LookUp {
    pub(crate) repository: ImageRepository,
    pub(crate) digest: Digest,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum What {
    /// What it is, and what is attached to it and to what it lists.
    Image,
    /// What is attached to it.
    Evidence,
    /// It was pushed under the name of evidence: what it is, and the same as of an image where it may run.
    Named,
}

impl What {
    /// Whether the digest is the one that was pushed, and not what that is attached to.
    pub(crate) fn is_of_what_was_pushed(self) -> bool {
        matches!(self, What::Image | What::Named)
    }
}

impl LookUp {
    fn image(repository: &ImageRepository, digest: Digest) -> LookUp {
        LookUp { repository: repository.clone(), digest, what: What::Image }
    }
}

/// Works out what a change means. The caller writes `writes` together with remembering that it saw the change.
pub(crate) fn apply<T: Tags>(seen: &Seen, tags: &T) -> Result<Outcome, T::Error> {
    match &seen.change {
        Change::Pushed(pushed) => apply_push(seen, pushed, tags),
        Change::Deleted { repository, what, .. } => apply_deletion(seen, repository, what, tags),
    }
}

fn apply_push<T: Tags>(seen: &Seen, pushed: &Pushed, tags: &T) -> Result<Outcome, T::Error> {
    let (repository, digest) = (&pushed.repository, pushed.digest);
    let Some(tag) = &pushed.tag else {
        let (events, unsaid) = match pushed.content {
            Content::Image => (vec![image_pushed(seen, pushed)], None),
            Content::Unknown => (Vec::new(), Some(image_pushed(seen, pushed))),
            // Something that cannot run: whether it is attached to a digest, its `subject` tells.
            Content::Evidence | Content::Other => (Vec::new(), None),
        };
        let look_ups = vec![LookUp::image(repository, digest)];
        return Ok(Outcome { events, look_ups, unsaid, ..Outcome::default() });
    };
    let before = tags.tag(repository, tag)?;
    if let Some((subject, _)) = tag.evidence_subject() {
        let look_up = LookUp { repository: repository.clone(), digest: subject, what: What::Evidence };
        let state = state_after(seen, digest, before.as_ref(), None);
        let writes = vec![(tag.clone(), state)];
        let mut outcome = Outcome { writes, look_ups: vec![look_up], ..Outcome::default() };
        if matches!(pushed.content, Content::Image | Content::Unknown) {
            let look_up = LookUp { repository: repository.clone(), digest, what: What::Named };
            outcome.look_ups.push(look_up);
            outcome.unsaid = Some(image_pushed(seen, pushed));
        }
        return Ok(outcome);
    }
    let look_ups = vec![LookUp::image(repository, digest)];
    if pushed.content == Content::Evidence {
        let image = before.as_ref().and_then(|state| state.image);
        let state = state_after(seen, digest, before.as_ref(), image);
        return Ok(Outcome { writes: vec![(tag.clone(), state)], look_ups, ..Outcome::default() });
    }
    let mut events = vec![image_pushed(seen, pushed)];
    if is_overtaken(seen, before.as_ref()) {
        // A later push of this tag came first: this one is told with its own time, and the tag stays where it is.
        events.push(tag_moved(seen, pushed, tag, None));
        return Ok(Outcome { events, look_ups, ..Outcome::default() });
    }
    if let Some(from) = moved_from(seen, digest, before.as_ref()) {
        events.push(tag_moved(seen, pushed, tag, from));
    }
    let state = state_after(seen, digest, before.as_ref(), Some(digest));
    Ok(Outcome { events, writes: vec![(tag.clone(), state)], look_ups, unsaid: None })
}

/// Whether the tag moved, and from where (`Some(None)`: it is new).
fn moved_from(seen: &Seen, digest: Digest, before: Option<&TagState>) -> Option<Option<Digest>> {
    let Some(state) = before else { return Some(None) };
    match (state.points_at, state.image) {
        // Deleted and back: with the same content it is new, with other content it moved.
        (None, image) => Some(image.filter(|image| *image != digest)),
        (Some(_), Some(image)) if image == digest => confirmed_from(seen, state),
        (Some(_), image) => Some(image),
    }
}

/// A poll found the move before the notification of it came: the notification tells it again, with its actor.
fn confirmed_from(seen: &Seen, state: &TagState) -> Option<Option<Digest>> {
    let (Observation::Notification { .. }, Told::Poll { from, not_before: Some(not_before) }) =
        (&seen.observation, &state.told)
    else {
        return None;
    };
    let earliest = not_before.checked_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN);
    (seen.at >= earliest).then_some(*from)
}

/// Registries with several processes send notifications out of order. Only their own times are compared.
fn is_overtaken(seen: &Seen, before: Option<&TagState>) -> bool {
    match (&seen.observation, before.map(|state| &state.told)) {
        (Observation::Notification { .. }, Some(Told::Notification { at })) => seen.at < *at,
        _ => false,
    }
}

fn state_after(seen: &Seen, digest: Digest, before: Option<&TagState>, image: Option<Digest>) -> TagState {
    let told = match &seen.observation {
        Observation::Poll { not_before, .. } => {
            Told::Poll { from: before.and_then(|state| state.image), not_before: *not_before }
        }
        _ => Told::Notification { at: seen.at },
    };
    TagState { points_at: Some(digest), image, told, at: seen.at }
}

fn apply_deletion<T: Tags>(
    seen: &Seen,
    repository: &ImageRepository,
    what: &Deleted,
    tags: &T,
) -> Result<Outcome, T::Error> {
    let touched = match what {
        Deleted::Manifest(digest) => tags.pointing_at(repository, digest)?,
        Deleted::Tag(tag) | Deleted::TagOf(tag, _) => {
            tags.tag(repository, tag)?.map(|state| (tag.clone(), state)).into_iter().collect()
        }
    };
    let mut writes = Vec::new();
    for (tag, state) in &touched {
        // A deletion from before the tag's last push does not undo that push.
        if !is_overtaken(seen, Some(state)) {
            writes.push((tag.clone(), gone(seen, state)));
        }
    }
    let is_evidence = match what {
        Deleted::Tag(tag) | Deleted::TagOf(tag, _) => tag.evidence_subject().is_some(),
        Deleted::Manifest(_) => {
            !touched.is_empty() && touched.iter().all(|(tag, _)| tag.evidence_subject().is_some())
        }
    };
    let events = if is_evidence { Vec::new() } else { vec![image_deleted(seen, repository, what)] };
    Ok(Outcome { events, writes, ..Outcome::default() })
}

fn gone(seen: &Seen, state: &TagState) -> TagState {
    let told = match &seen.observation {
        Observation::Poll { not_before, .. } => Told::Poll { from: state.image, not_before: *not_before },
        _ => Told::Notification { at: seen.at },
    };
    TagState { points_at: None, image: state.image, told, at: seen.at }
}

fn image_pushed(seen: &Seen, pushed: &Pushed) -> Event {
    Event::ImagePushed(ImagePushed {
        repository: pushed.repository.clone(),
        digest: pushed.digest,
        media_type: pushed.media_type.clone(),
        tag: pushed.tag.clone(),
        actor: pushed.actor.clone(),
        client: pushed.client.clone(),
        observation: seen.observation.clone(),
        pushed_at: seen.at,
    })
}

fn tag_moved(seen: &Seen, pushed: &Pushed, tag: &Tag, from: Option<Digest>) -> Event {
    Event::RegistryTagMoved(RegistryTagMoved {
        repository: pushed.repository.clone(),
        tag: tag.clone(),
        from,
        to: pushed.digest,
        actor: pushed.actor.clone(),
        observation: seen.observation.clone(),
        moved_at: seen.at,
    })
}

fn image_deleted(seen: &Seen, repository: &ImageRepository, what: &Deleted) -> Event {
    let (tag, digest) = match what {
        Deleted::Tag(tag) => (Some(tag.clone()), None),
        Deleted::Manifest(digest) => (None, Some(*digest)),
        Deleted::TagOf(tag, digest) => (Some(tag.clone()), Some(*digest)),
    };
    let actor = match &seen.change {
        Change::Deleted { actor, .. } => actor.clone(),
        Change::Pushed(_) => None,
    };
    Event::ImageDeleted(ImageDeleted {
        repository: repository.clone(),
        tag,
        digest,
        actor,
        observation: seen.observation.clone(),
        deleted_at: seen.at,
    })
}

#[cfg(test)]
mod tests;
