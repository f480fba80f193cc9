//! How long an event is remembered, and under which key what it says of a source repository.

#![allow(clippy::unwrap_used)]

use bus_schema::fleet::AgentGap;
use bus_schema::source::CommitPushed;
use bus_schema::{AgentId, Envelope, Event, EventId, RepositoryRef};
use jiff::Timestamp;

use super::{IDS_FORGOTTEN_MAX, SEEN_EVENTS_KEPT};
use crate::input::{Entry, Input};
use crate::ledger::Ledger;
use crate::records::{Draft, MemoryRecords, Records, Table};
use crate::state::source::SourceKey;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn event(number: i64) -> Envelope {
    let agent: AgentId = "registry".parse().unwrap();
    let gap = AgentGap {
        agent: agent.clone(),
        scope: format!("registry.example/acme/app-{number}"),
        from: at(number),
        epoch: at(0),
        sequence: number.unsigned_abs(),
        until: at(number + 1),
        recovered: false,
        reason: "it was away".to_owned(),
    };
    Envelope::new(agent, at(number), at(number), None, Event::AgentGap(gap))
}

fn apply(records: &mut MemoryRecords, second: i64, inputs: Vec<Input>) {
    let mut ledger = Ledger::open(records).unwrap();
    let entries: Vec<Entry> =
        (1..).zip(inputs).map(|(position, input)| Entry { position, recorded: at(second), input }).collect();
    let outcome = ledger.apply_together(records, &entries).unwrap();
    records.commit(outcome.changes);
}

fn events(numbers: std::ops::Range<i64>) -> (Vec<Input>, Vec<EventId>) {
    let events: Vec<Envelope> = numbers.map(event).collect();
    let ids = events.iter().map(|event| event.id).collect();
    (events.into_iter().map(|event| Input::Event(Box::new(event))).collect(), ids)
}

fn known(records: &MemoryRecords, ids: &[EventId]) -> usize {
    ids.iter().filter(|id| Ledger::has_applied(records, id).unwrap()).count()
}

#[test]
fn an_event_is_remembered_longer_than_a_bus_keeps_it_and_then_forgotten() {
    let mut records = MemoryRecords::default();
    let kept = i64::try_from(SEEN_EVENTS_KEPT.as_millis() / 1000).unwrap();
    let (first, first_ids) = events(0..300);
    let (second, second_ids) = events(300..310);
    apply(&mut records, 0, first);
    apply(&mut records, 60, second);
    apply(&mut records, kept - 1, vec![Input::Tick]);
    assert_eq!((known(&records, &first_ids), known(&records, &second_ids)), (300, 10));
    apply(&mut records, kept, vec![Input::Tick]);
    assert_eq!((known(&records, &first_ids), known(&records, &second_ids)), (0, 10));
    apply(&mut records, kept + 60, vec![Input::Tick]);
    assert_eq!(known(&records, &second_ids), 0);
    assert_eq!(records.scan(Table::SeenEvents, "", "", 10).unwrap(), []);
}

#[test]
fn one_tick_forgets_so_many_and_the_next_goes_on() {
    let mut records = MemoryRecords::default();
    let mut ids = Vec::new();
    for step in 0..10 {
        let (inputs, of_step) = events(step * 512..(step + 1) * 512);
        apply(&mut records, step, inputs);
        ids.extend(of_step);
    }
    let later = i64::try_from(SEEN_EVENTS_KEPT.as_millis() / 1000).unwrap() + 100;
    apply(&mut records, later, vec![Input::Tick]);
    assert_eq!(known(&records, &ids), ids.len() - IDS_FORGOTTEN_MAX);
    apply(&mut records, later, vec![Input::Tick]);
    assert_eq!(known(&records, &ids), 0);
}

/// A push to a repository that has an id or none.
fn pushed(name: &str, id: Option<u64>, second: i64) -> (RepositoryRef, Input) {
    let repository: RepositoryRef = format!("github.com/{name}").parse().unwrap();
    let repository = repository.with_ids(id.map(Into::into), None);
    let push = CommitPushed {
        repository: repository.clone(),
        git_ref: "refs/heads/main".parse().unwrap(),
        before: None,
        after: Some("0123456789012345678901234567890123456789".parse().unwrap()),
        forced: false,
        pusher: None,
        commits: Vec::new(),
        commits_cut: false,
        pushed_at: at(second),
        looked_up: false,
    };
    let event = Event::CommitPushed(push);
    (
        repository,
        Input::Event(Box::new(Envelope::new("source".parse().unwrap(), at(second), at(second), None, event))),
    )
}

#[test]
fn a_source_keeps_its_key_through_a_rename_and_shares_it_with_no_other() {
    let mut records = MemoryRecords::default();
    let mut second = 0;
    let mut key_after = |name: &str, id: Option<u64>| {
        second += 1;
        let (repository, input) = pushed(name, id, second);
        apply(&mut records, second, vec![input]);
        SourceKey::of(&Draft::new(&records), &repository).unwrap()
    };
    let first = key_after("acme/api", Some(1));
    assert_eq!(key_after("Acme/API", None), first);
    assert_eq!(key_after("acme/api-v2", Some(1)), first);
    assert_eq!(key_after("acme/api-v2", None), first, "who was heard of there last");
    let stranger = key_after("acme/api", Some(2));
    assert_ne!(stranger, first);
    assert_eq!(key_after("acme/api", None), stranger);
    assert_eq!(key_after("acme/api", Some(1)), first);
    let third = key_after("acme/api-v2", Some(3));
    assert!(third != first && third != stranger);
    assert_eq!(key_after("acme/elsewhere", Some(3)), third);
}
