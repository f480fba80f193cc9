#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use bus_schema::Actor;

use super::*;

/// Tags in memory, with the log of what was said about them.
#[derive(Debug, Default)]
struct Registry {
    tags: BTreeMap<(String, Tag), TagState>,
    clock: i64,
}

impl Tags for Registry {
    type Error = Infallible;

    fn tag(&self, repository: &ImageRepository, tag: &Tag) -> Result<Option<TagState>, Infallible> {
        Ok(self.tags.get(&(repository.to_string(), tag.clone())).cloned())
    }

    fn pointing_at(
        &self,
        repository: &ImageRepository,
        digest: &Digest,
    ) -> Result<Vec<(Tag, TagState)>, Infallible> {
        let name = repository.to_string();
        let hits = self
            .tags
            .iter()
            .filter(|((in_repository, _), state)| *in_repository == name && state.points_at == Some(*digest));
        Ok(hits.map(|((_, tag), state)| (tag.clone(), state.clone())).collect())
    }
}

impl Registry {
    fn see(&mut self, change: Change, observation: Observation, at: i64) -> Outcome {
        let seen = Seen { change, observation, at: Timestamp::from_second(at).unwrap() };
        let outcome = apply(&seen, self).unwrap();
        for (tag, state) in &outcome.writes {
            self.tags.insert((seen.change.repository().to_string(), tag.clone()), state.clone());
        }
        outcome
    }

    fn push(&mut self, tag: &str, digest: Digest) -> Vec<String> {
        self.clock += 1;
        let at = self.clock;
        words(&self.see(pushed(tag, digest, Content::Image), notification(at), at))
    }

    fn delete(&mut self, what: Deleted) -> Vec<String> {
        self.clock += 1;
        let at = self.clock;
        words(&self.see(Change::Deleted { repository: app(), what, actor: None }, notification(at), at))
    }
}

fn app() -> ImageRepository {
    "registry.example/acme/app".parse().unwrap()
}

fn pushed(tag: &str, digest: Digest, content: Content) -> Change {
    let tag = (!tag.is_empty()).then(|| tag.parse().unwrap());
    let (repository, actor) = (app(), Some(Actor::named("alice")));
    Change::Pushed(Pushed { repository, digest, media_type: None, tag, content, actor, client: None })
}

fn notification(id: i64) -> Observation {
    Observation::Notification { event_id: format!("n{id}") }
}

fn poll(sequence: u64, not_before: Option<i64>, not_after: i64) -> Observation {
    let time = |second| Timestamp::from_second(second).unwrap();
    Observation::Poll {
        sequence,
        previous: None,
        not_before: not_before.map(time),
        not_after: time(not_after),
    }
}

fn digest(name: &str) -> Digest {
    Digest::sha256_of(name.as_bytes())
}

fn words(outcome: &Outcome) -> Vec<String> {
    let name = |wanted: &Digest| {
        ["a", "b", "c"].into_iter().find(|name| digest(name) == *wanted).unwrap_or("?").to_owned()
    };
    outcome
        .events
        .iter()
        .map(|event| match event {
            Event::ImagePushed(event) => format!("pushed {}", name(&event.digest)),
            Event::RegistryTagMoved(event) => {
                let from = event.from.as_ref().map_or_else(|| "-".to_owned(), name);
                format!("{} {from}>{}", event.tag, name(&event.to))
            }
            Event::ImageDeleted(event) => format!(
                "deleted {} {}",
                event.tag.as_ref().map_or("-", Tag::as_str),
                event.digest.as_ref().map_or_else(|| "-".to_owned(), name)
            ),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_tag_that_goes_there_and_back_moves_three_times() {
    let mut registry = Registry::default();
    assert_eq!(registry.push("v1", digest("a")), ["pushed a", "v1 ->a"]);
    assert_eq!(registry.push("v1", digest("b")), ["pushed b", "v1 a>b"]);
    assert_eq!(registry.push("v1", digest("a")), ["pushed a", "v1 b>a"]);
}

#[test]
fn the_same_push_again_moves_nothing() {
    let mut registry = Registry::default();
    registry.push("v1", digest("a"));
    assert_eq!(registry.push("v1", digest("a")), ["pushed a"]);
    assert_eq!(registry.push("", digest("b")), ["pushed b"]);
}

#[test]
fn a_tag_that_was_deleted_and_comes_back_with_other_content_has_moved() {
    let mut registry = Registry::default();
    registry.push("v1", digest("a"));
    assert_eq!(registry.delete(Deleted::Tag("v1".parse().unwrap())), ["deleted v1 -"]);
    assert_eq!(registry.push("v1", digest("b")), ["pushed b", "v1 a>b"]);
    assert_eq!(registry.delete(Deleted::Manifest(digest("b"))), ["deleted - b"]);
    assert_eq!(registry.push("v1", digest("b")), ["pushed b", "v1 ->b"]);
}

#[test]
fn evidence_tags_never_move_and_lead_to_their_subject_and_to_what_may_run_under_them() {
    let mut registry = Registry::default();
    for suffix in ["", ".sig", ".att", ".sbom"] {
        let tag = format!("{}{suffix}", digest("a").fallback_tag());
        for content in [Content::Image, Content::Unknown, Content::Evidence, Content::Other] {
            let outcome = registry.see(pushed(&tag, digest("b"), content), notification(1), 1);
            assert!(outcome.events.is_empty(), "{outcome:?}");
            let looks: Vec<_> = outcome.look_ups.iter().map(|look| (look.digest, look.what)).collect();
            let may_run = matches!(content, Content::Image | Content::Unknown);
            let expected = [(digest("a"), What::Evidence), (digest("b"), What::Named)];
            assert_eq!(looks, expected[..1 + usize::from(may_run)]);
            assert_eq!(outcome.unsaid.is_some(), may_run);
        }
        assert!(registry.delete(Deleted::Tag(tag.parse().unwrap())).is_empty());
    }
}

#[test]
fn evidence_without_a_tag_is_looked_at_and_is_no_push() {
    let mut registry = Registry::default();
    let outcome = registry.see(pushed("", digest("b"), Content::Evidence), notification(1), 1);
    assert!(outcome.events.is_empty());
    assert_eq!((outcome.look_ups[0].digest, outcome.look_ups[0].what), (digest("b"), What::Image));
}

#[test]
fn evidence_under_a_release_tag_does_not_hide_what_comes_after() {
    let mut registry = Registry::default();
    registry.push("v1", digest("a"));
    let outcome = registry.see(pushed("v1", digest("c"), Content::Evidence), notification(5), 5);
    assert!(outcome.events.is_empty());
    registry.clock = 5;
    assert_eq!(registry.push("v1", digest("b")), ["pushed b", "v1 a>b"]);
}

#[test]
fn something_that_is_neither_image_nor_evidence_under_a_release_tag_is_a_move() {
    let mut registry = Registry::default();
    registry.push("v1", digest("a"));
    let outcome = registry.see(pushed("v1", digest("b"), Content::Other), notification(5), 5);
    assert_eq!(words(&outcome), ["pushed b", "v1 a>b"]);
}

#[test]
fn an_overtaken_push_is_told_and_leaves_the_tag_where_it_is() {
    let mut registry = Registry::default();
    registry.see(pushed("v1", digest("b"), Content::Image), notification(2), 20);
    let late = registry.see(pushed("v1", digest("a"), Content::Image), notification(1), 10);
    assert_eq!(words(&late), ["pushed a", "v1 ->a"]);
    registry.clock = 30;
    assert_eq!(registry.push("v1", digest("b")), ["pushed b"]);
}

#[test]
fn a_deletion_from_before_the_last_push_does_not_undo_it() {
    let mut registry = Registry::default();
    registry.see(pushed("v1", digest("b"), Content::Image), notification(2), 20);
    let gone = Change::Deleted { repository: app(), what: Deleted::Tag("v1".parse().unwrap()), actor: None };
    assert_eq!(words(&registry.see(gone, notification(1), 10)), ["deleted v1 -"]);
    registry.clock = 30;
    assert_eq!(registry.push("v1", digest("b")), ["pushed b"]);
}

#[test]
fn the_notification_after_a_poll_tells_the_same_move_with_its_actor() {
    let mut registry = Registry::default();
    registry.push("v1", digest("a"));
    let found = registry.see(pushed("v1", digest("b"), Content::Image), poll(1, Some(1000), 1100), 1100);
    assert_eq!(words(&found), ["pushed b", "v1 a>b"]);
    let told = registry.see(pushed("v1", digest("b"), Content::Image), notification(9), 1050);
    assert_eq!(words(&told), ["pushed b", "v1 a>b"]);
    let again = registry.see(pushed("v1", digest("b"), Content::Image), notification(10), 1060);
    assert_eq!(words(&again), ["pushed b"]);
}
