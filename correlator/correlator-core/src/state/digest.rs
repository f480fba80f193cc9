//! What is known of a digest: where it lies, what it is, who pushed it, which tags named it.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::registry::{Observation, Resolved};
use bus_schema::{Digest, ImageRepository, Tag};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state::Ground;

/// The most pushes of one digest that are remembered; more sets [`DigestRecord::cut`].
pub const PUSHES_MAX: usize = 128;
/// The most repositories, tags and parents of one digest that are remembered.
pub const PLACES_MAX: usize = 256;

/// A digest as the events tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestRecord {
    /// When the log first heard of it; windows start here.
    pub first_recorded: Option<Timestamp>,
    pub repositories: BTreeSet<ImageRepository>,
    pub resolved: Option<Resolved>,
    pub media_type: Option<String>,
    /// Indexes that list it, or manifests whose config it is.
    pub parents: BTreeSet<Digest>,
    /// It was pushed, tagged, resolved, listed by an index, attested or placed. What is known as the config of a manifest and
    /// nothing else is no image: it is not judged by itself before a runtime names an image by it.
    pub is_image: bool,
    pub pushes: Vec<Push>,
    /// Tags that have pointed at it, ever.
    pub tags: BTreeSet<(ImageRepository, Tag)>,
    /// A bound was reached, so that something known is not remembered here.
    pub cut: bool,
    pub ground: Vec<Ground>,
}

/// One push of a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Push {
    /// The registry's time.
    pub at: Timestamp,
    /// For a polled push: the earliest time at which it can have happened, where the poll knows one.
    pub not_before: Option<Timestamp>,
    pub repository: ImageRepository,
    pub tag: Option<Tag>,
    /// Who pushed, where the registry knows it.
    pub actor: Option<String>,
    pub polled: bool,
    /// Nobody saw it: a single look found the digest there, as every look does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looked_up: bool,
    pub event: Ground,
}

impl Push {
    pub fn is_open_ended(&self) -> bool {
        self.polled && self.not_before.is_none()
    }

    /// Found by the first poll of its repository: it may be as old as the repository.
    pub fn was_there_first(&self) -> bool {
        self.is_open_ended() && !self.looked_up
    }

    /// The earliest time at which it can have happened.
    pub fn earliest(&self) -> Timestamp {
        if self.polled { self.not_before.unwrap_or(Timestamp::MIN) } else { self.at }
    }
}

pub(crate) fn push_window(observation: &Observation) -> (bool, Option<Timestamp>) {
    match observation {
        Observation::Notification { .. } => (false, None),
        Observation::Poll { not_before, .. } => (true, *not_before),
        Observation::LookUp { .. } => (true, None),
    }
}

impl DigestRecord {
    /// The digests below it: listed platforms of an index, or the config of a manifest. Attestation entries are none.
    pub fn children(&self) -> Vec<Digest> {
        match &self.resolved {
            Some(Resolved::Index { manifests, .. }) => {
                manifests.iter().filter(|listed| !listed.attestation).map(|listed| listed.digest).collect()
            }
            Some(Resolved::Manifest { config }) => vec![*config],
            None => Vec::new(),
        }
    }

    /// The tags of one repository that have pointed at it.
    pub fn tags_in<'a>(&'a self, repository: &'a ImageRepository) -> impl Iterator<Item = &'a Tag> {
        self.tags.iter().filter(move |(in_repository, _)| in_repository == repository).map(|(_, tag)| tag)
    }
}

/// Per repository: nothing but that it holds the digest. Kept for questions by image.
pub type DigestsOfRepository = BTreeMap<Digest, ()>;

/// The least key behind everything of the digest that a key of the table is about.
pub fn behind(key: &str) -> String {
    let digest = key.split('\u{1f}').next().unwrap_or_default();
    format!("{digest}\u{20}")
}

pub fn key(digest: &Digest) -> String {
    digest.to_string()
}
