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
    /// Notes that it lies in a repository. Beyond the bound those that no pipeline claims give way: what is none of anybody's
    /// contracts hides nothing from them.
    pub fn learn_repository(
        &mut self,
        repository: &ImageRepository,
        is_claimed: impl Fn(&ImageRepository) -> bool,
    ) {
        self.repositories.insert(repository.clone());
        if self.repositories.len() > PLACES_MAX {
            self.cut = true;
            let unclaimed = self.repositories.iter().rfind(|known| !is_claimed(known));
            let gives_way = unclaimed.or(self.repositories.last()).cloned();
            gives_way.map(|gives_way| self.repositories.remove(&gives_way));
        }
    }

    /// Notes a tag that points at it. Beyond the bound each repository has its share, and one that a pipeline claims before
    /// any other.
    pub fn learn_tag(
        &mut self,
        repository: &ImageRepository,
        tag: &Tag,
        is_claimed: impl Fn(&ImageRepository) -> bool,
    ) {
        self.tags.insert((repository.clone(), tag.clone()));
        if self.tags.len() > PLACES_MAX {
            self.cut = true;
            let gives_way = last_of_the_most(self.tags.iter().map(|(repository, _)| repository), is_claimed);
            let gives_way = self.tags.iter().nth(gives_way).cloned();
            gives_way.map(|gives_way| self.tags.remove(&gives_way));
        }
    }

    /// Notes a push of it. Beyond the bound each repository and account has its share, of which the earliest stay, and a
    /// repository that a pipeline claims before any other: many pushes of one hide none of another.
    pub fn learn_push(&mut self, push: Push, is_claimed: impl Fn(&ImageRepository) -> bool) {
        let Err(at) = self.pushes.binary_search(&push) else { return };
        self.pushes.insert(at, push);
        if self.pushes.len() > PUSHES_MAX {
            self.cut = true;
            let of_whom = self.pushes.iter().map(|push| (&push.repository, push.actor.as_deref()));
            self.pushes.remove(last_of_the_most(of_whom, |(repository, _)| is_claimed(repository)));
        }
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

/// The place of the last one of whom there are most, among those that are not claimed where there are any.
fn last_of_the_most<T: Ord + Copy>(all: impl Iterator<Item = T>, is_claimed: impl Fn(T) -> bool) -> usize {
    let mut counts: BTreeMap<T, (bool, usize)> = BTreeMap::new();
    let ranks = all.enumerate().map(|(index, one)| {
        let (is_unclaimed, count) = counts.entry(one).or_insert_with(|| (!is_claimed(one), 0));
        *count += 1;
        (*is_unclaimed, *count, index)
    });
    ranks.max().map(|(.., index)| index).unwrap_or_default()
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

    fn is_ours(repository: &ImageRepository) -> bool {
        repository.name().starts_with("acme/")
    }

    #[test]
    fn many_pushes_of_one_hide_none_of_another_in_any_order() {
        let mut pushes: Vec<Push> = (0..500).map(|second| push("acme/web", "mallory", second)).collect();
        pushes.extend((0..300).map(|second| push("acme/api", "ci-bot", second)));
        pushes.extend((0..300).map(|second| push(&format!("scratch-{second}"), "mallory", second)));
        let late = push("acme/api", "alice", 100_000);
        pushes.push(late.clone());
        let mut forwards = DigestRecord::default();
        pushes.iter().cloned().for_each(|push| forwards.learn_push(push, is_ours));
        let mut backwards = DigestRecord::default();
        pushes.iter().rev().cloned().for_each(|push| backwards.learn_push(push, is_ours));
        assert_eq!(forwards.pushes, backwards.pushes);
        assert!(forwards.cut && forwards.pushes.len() == PUSHES_MAX);
        assert!(forwards.pushes.contains(&late) && forwards.pushes.is_sorted());
        assert!(forwards.pushes.contains(&push("acme/api", "ci-bot", 0)), "the first of each stays");
    }

    #[test]
    fn what_nobody_claims_keeps_no_claimed_repository_tag_or_push_out() {
        let mut record = DigestRecord::default();
        let scratch = |record: &mut DigestRecord, number: i64| {
            let repository = repository(&format!("scratch-{number}"));
            record.learn_repository(&repository, is_ours);
            record.learn_tag(&repository, &"v1".parse().unwrap(), is_ours);
            record.learn_push(push(&format!("scratch-{number}"), "mallory", number), is_ours);
        };
        (0..1000).for_each(|number| scratch(&mut record, number));
        assert!(record.cut && record.repositories.len() == PLACES_MAX && record.tags.len() == PLACES_MAX);
        let ours = repository("acme/api");
        record.learn_repository(&ours, is_ours);
        record.learn_tag(&ours, &"v1".parse().unwrap(), is_ours);
        let pushed = push("acme/api", "alice", 5000);
        record.learn_push(pushed.clone(), is_ours);
        (1000..2000).for_each(|number| scratch(&mut record, number));
        assert!(record.repositories.contains(&ours) && record.tags_in(&ours).count() == 1);
        assert!(record.pushes.contains(&pushed));
        let bounds = (record.repositories.len(), record.tags.len(), record.pushes.len());
        assert_eq!(bounds, (PLACES_MAX, PLACES_MAX, PUSHES_MAX));
    }
}
