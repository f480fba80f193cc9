//! What happened is one key for all agents; an event is one id per agent.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use proptest::prelude::*;

use serde_json::Value;

use super::events::envelopes;
use crate::envelope::EnvelopeError;
use crate::registry::{ImagePushed, Observation, RegistryTagMoved};
use crate::{AgentId, Digest, Envelope, Event, OccurrenceKey};

/// The optional fields that tell occurrences apart: where one is absent, another thing happened or a fuller fact is told.
const TELLS_APART: &[&str] = &[
    "attestation.attached repository",
    "change.merged lookedUp",
    "change.reviewed permission",
    "commit.pushed after",
    "commit.pushed before",
    "commit.pushed lookedUp",
    "image.deleted digest",
    "image.deleted tag",
    "image.pushed tag",
    "source.tag.moved after",
    "source.tag.moved before",
];

/// The samples, each with the fields of its data that another program may leave out.
fn samples() -> &'static [(Envelope, Vec<String>)] {
    static SAMPLES: OnceLock<Vec<(Envelope, Vec<String>)>> = OnceLock::new();
    SAMPLES.get_or_init(|| envelopes().into_iter().map(with_spare).collect())
}

fn with_spare(envelope: Envelope) -> (Envelope, Vec<String>) {
    let mut value = value_of(&envelope);
    let mut spare = Vec::new();
    let fields: Vec<String> = value["data"].as_object().unwrap().keys().cloned().collect();
    for field in fields {
        let less = without(&value, &field);
        if Envelope::from_json(&less).is_ok() {
            value = serde_json::from_slice(&less).unwrap();
            spare.push(field);
        }
    }
    (envelope, spare)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_occurrence_is_one_key_and_an_id_per_agent(
        one in "[a-z0-9]{1,30}",
        other in "[a-z0-9]{1,30}",
        seen in 0_i64..4_000_000_000,
        gap in proptest::sample::select(vec!["", " ", "\n\t", "\r\n    "]),
        is_reversed in any::<bool>(),
    ) {
        let (one, other): (AgentId, AgentId) = (one.parse().unwrap(), other.parse().unwrap());
        for (envelope, spare) in samples() {
            let seen = jiff::Timestamp::from_second(seen).unwrap();
            let said_by = |agent: &AgentId, seen| {
                Envelope::new(agent.clone(), envelope.occurred, seen, None, envelope.event.clone())
            };
            // The second agent says it in its own bytes, at another time.
            let first = said_by(&one, envelope.seen);
            let bytes = in_other_bytes(&said_by(&other, seen), spare, gap, is_reversed);
            let second = Envelope::from_json(&bytes).unwrap();
            prop_assert_eq!(first.event.occurrence(), second.event.occurrence());
            prop_assert_eq!(first.id == second.id, one == other);
            prop_assert_eq!(said_by(&one, seen).id, first.id);
        }
    }
}

proptest! {
    #[test]
    fn fields_of_a_key_never_run_into_each_other(
        one in proptest::collection::vec(any::<String>(), 0..4),
        other in proptest::collection::vec(any::<String>(), 0..4),
        fields in proptest::collection::vec("[\u{1f}\\\\u{}15f-]{0,4}", 0..4),
        more in proptest::collection::vec("[\u{1f}\\\\u{}15f-]{0,4}", 0..4),
    ) {
        let key = |fields: &[String]| OccurrenceKey::of(fields.iter().map(String::as_str));
        prop_assert_eq!(key(&one) == key(&other), one == other);
        prop_assert_eq!(key(&fields) == key(&more), fields == more);
    }
}

#[test]
fn events_of_different_types_never_share_an_id() {
    let types: BTreeSet<_> = envelopes().iter().map(|envelope| envelope.event.event_type()).collect();
    let ids: BTreeSet<_> =
        envelopes().iter().map(|envelope| (envelope.id, envelope.event.event_type())).collect();
    let distinct: BTreeSet<_> = ids.iter().map(|(id, _)| id).collect();
    assert_eq!(distinct.len(), ids.len());
    assert!(distinct.len() >= types.len());
}

#[test]
fn a_tag_that_moves_there_and_back_and_there_is_three_moves() {
    let [a, b] = ["a", "b"].map(|content| Digest::sha256_of(content.as_bytes()));
    let polls = [(1, None, a), (2, Some(a), b), (3, Some(b), a), (4, Some(a), b)];
    let ids: BTreeSet<_> =
        polls.iter().map(|(sequence, from, to)| id(tag_moved(*sequence, *from, *to))).collect();
    assert_eq!(ids.len(), polls.len());
    assert_eq!(id(tag_moved(3, Some(b), a)), id(tag_moved(3, Some(b), a)));
}

#[test]
fn a_push_found_by_two_polls_is_two_and_told_twice_is_one() {
    let digest = Digest::sha256_of(b"a");
    assert_ne!(id(pushed(digest, poll(1, None))), id(pushed(digest, poll(2, None))));
    let told = || Observation::Notification { event_id: "b1f4".to_owned() };
    assert_eq!(id(pushed(digest, told())), id(pushed(digest, told())));
    // A registry's own id cannot be mistaken for a poll.
    let odd = Observation::Notification { event_id: "poll 1".to_owned() };
    assert_ne!(id(pushed(digest, odd)), id(pushed(digest, poll(1, None))));
}

#[test]
fn a_run_or_job_that_was_held_ends_once_more_and_told_twice_is_one() {
    for envelope in envelopes() {
        let ended = |conclusion: &str| {
            let mut value = value_of(&envelope);
            value["data"]["conclusion"] = conclusion.into();
            let event = Event::from_data(&envelope.event.event_type(), &value["data"].to_string());
            id(event.unwrap())
        };
        if let Event::RunFinished(_) | Event::JobFinished(_) = &envelope.event {
            assert_ne!(ended("action_required"), ended("success"));
            assert_eq!(ended("success"), ended("success"));
        }
    }
}

#[test]
fn only_the_listed_optional_fields_tell_occurrences_apart() {
    let mut found = BTreeSet::new();
    for envelope in envelopes() {
        let value = value_of(&envelope);
        for field in value["data"].as_object().unwrap().keys() {
            if let Err(EnvelopeError::WrongId { .. }) = Envelope::from_json(&without(&value, field)) {
                found.insert(format!("{} {field}", envelope.event.event_type().short()));
            }
        }
    }
    assert_eq!(found, TELLS_APART.iter().map(|field| (*field).to_owned()).collect());
}

/// The same event as another program would write it: without the optional fields that tell nothing apart, with a field that
/// nobody knows, its keys in another order and other white space between them.
fn in_other_bytes(envelope: &Envelope, spare: &[String], gap: &str, is_reversed: bool) -> Vec<u8> {
    let mut value = value_of(envelope);
    value["data"].as_object_mut().unwrap().retain(|field, _| !spare.contains(field));
    value["data"]["ofTheFuture"] = serde_json::json!({ "zone": [1, null] });
    written(&value, gap, is_reversed).into_bytes()
}

fn value_of(envelope: &Envelope) -> Value {
    serde_json::from_slice(&envelope.to_json().unwrap()).unwrap()
}

fn without(value: &Value, field: &str) -> Vec<u8> {
    let mut less = value.clone();
    less["data"].as_object_mut().unwrap().remove(field);
    serde_json::to_vec(&less).unwrap()
}

fn written(value: &Value, gap: &str, is_reversed: bool) -> String {
    let inner = |value: &Value| written(value, gap, is_reversed);
    match value {
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{gap}{}{gap}:{gap}{}", Value::from(key.as_str()), inner(value))
            };
            let mut entries: Vec<String> = entries.iter().map(entry).collect();
            if is_reversed {
                entries.reverse();
            }
            format!("{{{}{gap}}}", entries.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| format!("{gap}{}", inner(item))).collect();
            format!("[{}{gap}]", items.join(","))
        }
        plain => plain.to_string(),
    }
}

fn id(event: Event) -> crate::EventId {
    let agent: AgentId = "registry-one".parse().unwrap();
    Envelope::new(agent, jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH, None, event).id
}

fn poll(sequence: u64, previous: Option<Digest>) -> Observation {
    Observation::Poll { sequence, previous, not_before: None, not_after: jiff::Timestamp::UNIX_EPOCH }
}

fn tag_moved(sequence: u64, from: Option<Digest>, to: Digest) -> Event {
    Event::RegistryTagMoved(RegistryTagMoved {
        repository: "ghcr.io/acme/api".parse().unwrap(),
        tag: "v1".parse().unwrap(),
        from,
        to,
        actor: None,
        observation: poll(sequence, from),
        moved_at: jiff::Timestamp::UNIX_EPOCH,
    })
}

fn pushed(digest: Digest, observation: Observation) -> Event {
    Event::ImagePushed(ImagePushed {
        repository: "ghcr.io/acme/api".parse().unwrap(),
        digest,
        media_type: None,
        tag: None,
        actor: None,
        client: None,
        observation,
        pushed_at: jiff::Timestamp::UNIX_EPOCH,
    })
}
