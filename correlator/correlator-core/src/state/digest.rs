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
/// The most repositories where those beyond [`PLACES_MAX`] are claimed by a pipeline: what is none of anybody's contracts
/// hides nothing from them.
const REPOSITORIES_MAX: usize = 2 * PLACES_MAX;

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
    /// Notes that it lies in a repository, which a pipeline claims or not.
    pub fn learn_repository(&mut self, repository: &ImageRepository, is_claimed: bool) {
        let max = if is_claimed { REPOSITORIES_MAX } else { PLACES_MAX };
        match self.repositories.len() < max || self.repositories.contains(repository) {
            true => _ = self.repositories.insert(repository.clone()),
            false => self.cut = true,
        }
    }

    /// Notes a tag that points at it. Many tags in one repository leave room for those in another.
    pub fn learn_tag(&mut self, repository: &ImageRepository, tag: &Tag) {
        let new = (repository.clone(), tag.clone());
        if self.tags.len() >= PLACES_MAX && !self.tags.contains(&new) {
            self.cut = true;
            let mut counts: BTreeMap<&ImageRepository, usize> = BTreeMap::new();
            for (known, _) in &self.tags {
                *counts.entry(known).or_default() += 1;
            }
            let own = counts.get(repository).copied().unwrap_or_default();
            let most =
                counts.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > own + 1);
            let gives_way = most.and_then(|(most, _)| self.tags.iter().rfind(|(known, _)| known == most));
            let Some(gives_way) = gives_way.cloned() else { return };
            self.tags.remove(&gives_way);
        }
        self.tags.insert(new);
    }

    /// Notes a push of it. Beyond the bound the pushes of every repository and account have their share, and of each the
    /// earliest stay: many pushes of one hide none of another.
    pub fn learn_push(&mut self, push: Push) {
        let Err(at) = self.pushes.binary_search(&push) else { return };
        self.pushes.insert(at, push);
        if self.pushes.len() <= PUSHES_MAX {
            return;
        }
        self.cut = true;
        let mut counts: BTreeMap<(&ImageRepository, Option<&str>), usize> = BTreeMap::new();
        let mut gives_way = (0, 0);
        for (index, push) in self.pushes.iter().enumerate() {
            let count = counts.entry((&push.repository, push.actor.as_deref())).or_default();
            *count += 1;
            gives_way = gives_way.max((*count, index));
        }
        self.pushes.remove(gives_way.1);
    }

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bus_schema::EventId;

    use super::*;

    fn repository(name: &str) -> ImageRepository {
        format!("registry.example/{name}").parse().unwrap()
    }

    fn push(to: &str, actor: &str, second: i64) -> Push {
        Push {
            at: Timestamp::from_second(second).unwrap(),
            not_before: None,
            repository: repository(to),
            tag: None,
            actor: Some(actor.to_owned()),
            polled: false,
            looked_up: false,
            event: Ground {
                event: Digest::sha256_of(format!("{to} {actor} {second}").as_bytes())
                    .hex()
                    .parse::<EventId>()
                    .unwrap(),
                agent: "a".to_owned(),
            },
        }
    }

    #[test]
    fn many_pushes_of_one_hide_none_of_another_in_any_order() {
        let mut pushes: Vec<Push> = (0..500).map(|second| push("scratch", "mallory", second)).collect();
        pushes.extend((0..300).map(|second| push("acme/api", "ci-bot", second)));
        let late = push("acme/api", "alice", 100_000);
        pushes.push(late.clone());
        let mut forwards = DigestRecord::default();
        pushes.iter().cloned().for_each(|push| forwards.learn_push(push));
        let mut backwards = DigestRecord::default();
        pushes.iter().rev().cloned().for_each(|push| backwards.learn_push(push));
        assert_eq!(forwards.pushes, backwards.pushes);
        assert!(forwards.cut && forwards.pushes.len() == PUSHES_MAX);
        assert!(forwards.pushes.contains(&late) && forwards.pushes.is_sorted());
        assert!(forwards.pushes.contains(&push("acme/api", "ci-bot", 0)), "the first of each stays");
    }

    #[test]
    fn what_nobody_claims_keeps_no_claimed_repository_and_no_tag_of_it_out() {
        let mut record = DigestRecord::default();
        for number in 0..1000 {
            record.learn_repository(&repository(&format!("scratch-{number}")), false);
            record.learn_tag(&repository("scratch"), &format!("t{number}").parse().unwrap());
        }
        assert!(record.cut && record.repositories.len() == PLACES_MAX && record.tags.len() == PLACES_MAX);
        let ours = repository("acme/api");
        record.learn_repository(&ours, true);
        record.learn_tag(&ours, &"v1".parse().unwrap());
        assert!(record.repositories.contains(&ours) && record.tags_in(&ours).count() == 1);
        assert!(record.tags.len() == PLACES_MAX);
        for number in 0..1000 {
            record.learn_repository(&repository(&format!("acme/api-{number}")), true);
        }
        assert_eq!(record.repositories.len(), REPOSITORIES_MAX);
    }
}
