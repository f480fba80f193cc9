//! Changed contracts over more than one page holds.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::cluster::{Container, ContainerStarted, SlotKind};
use bus_schema::registry::{
    AttestationAttached, BlobRef, EvidenceItem, EvidencePlace, ImagePushed, Observation,
};
use bus_schema::{AgentId, Envelope, Event, ImageRepository, WorkloadRef};

use super::*;
use crate::decision::{Decision, Outcome};
use crate::facts::{self, Refusal, RefusalReason, Verified, evidence_id};
use crate::input::{ContractLoaded, Entry, Input};
use crate::ledger::Ledger;
use crate::records::MemoryRecords;

const KEY_FILE: &str = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
/// Digests that run, and as many that do not: several pages.
const PLACED: usize = 300;
/// More ticks than any sweep of these needs.
const TICKS_MAX: usize = 100;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_000_000 + second).unwrap()
}

fn image(number: usize) -> Digest {
    Digest::sha256_of(format!("image {number}").as_bytes())
}

fn repository() -> ImageRepository {
    "registry.example/acme/api".parse().unwrap()
}

fn contracts(pipeline: &str, log: &str) -> Input {
    let text = format!(
        "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: {{ name: {pipeline} }}\nspec:\n  \
         images: [registry.example/acme/api]\n  require: [signature]\n  \
         signatures: {{ anyOf: [ {{ key: {{ file: release.pub, log: {log} }} }} ] }}\n"
    );
    let documents = BTreeMap::from([("one.yaml".to_owned(), text)]);
    let files = BTreeMap::from([("release.pub".to_owned(), KEY_FILE.to_owned())]);
    Input::ContractLoaded(Box::new(ContractLoaded { documents, files }))
}

fn event(event: Event) -> Input {
    let agent: AgentId = "agent".parse().unwrap();
    Input::Event(Box::new(Envelope::new(agent, at(0), at(0), None, event)))
}

fn item(number: usize) -> EvidenceItem {
    let blob = BlobRef {
        digest: Digest::sha256_of(format!("signature {number}").as_bytes()),
        size_bytes: 11,
        inline: None,
    };
    EvidenceItem { media_type: "application/json".to_owned(), blob, annotations: BTreeMap::new() }
}

/// An image with a tag and a signature; the even ones run.
fn events_of(number: usize) -> Vec<Input> {
    let digest = image(number);
    let pushed = Event::ImagePushed(ImagePushed {
        repository: repository(),
        digest,
        media_type: None,
        tag: Some(format!("v{number}").parse().unwrap()),
        actor: None,
        client: None,
        observation: Observation::Notification { event_id: format!("push {number}") },
        pushed_at: at(0),
    });
    let attached = Event::AttestationAttached(AttestationAttached {
        repository: Some(repository()),
        forge_repository: None,
        subject: digest,
        manifest: Digest::sha256_of(format!("manifest {number}").as_bytes()),
        place: EvidencePlace::Referrers,
        artifact_type: None,
        items: vec![item(number)],
        cut: false,
        found_at: at(0),
    });
    let mut events = vec![event(pushed), event(attached)];
    if number.is_multiple_of(2) {
        let name = format!("api-{number}");
        let cluster = "prod".parse().unwrap();
        let workload = WorkloadRef {
            cluster,
            namespace: "shop".to_owned(),
            kind: "Deployment".to_owned(),
            name: name.clone(),
        };
        let container = Container {
            workload,
            pod: name.clone(),
            pod_uid: name,
            slot: "api".to_owned(),
            slot_kind: SlotKind::Main,
            container_id: format!("containerd://{number}"),
            image: format!("registry.example/acme/api@{digest}").parse().ok(),
            image_text: format!("registry.example/acme/api@{digest}"),
            image_id: digest.to_string(),
            digest: Some(digest),
            started_at: at(0),
        };
        events.push(event(Event::ContainerStarted(ContainerStarted {
            cluster_name: "prod".to_owned(),
            container,
        })));
    }
    events
}

struct Bench {
    records: MemoryRecords,
    ledger: Ledger,
    position: u64,
    next_deadline: Option<Timestamp>,
}

impl Bench {
    /// Everything is known, and every signature refused, under the pipeline `one`.
    fn under_one() -> Bench {
        let records = MemoryRecords::default();
        let ledger = Ledger::open(&records).unwrap();
        let mut bench = Bench { records, ledger, position: 0, next_deadline: None };
        bench.apply(0, vec![contracts("one", "required")]);
        let trust = bench.ledger.contracts().trust_version();
        for number in 0..2 * PLACED {
            let mut inputs = events_of(number);
            inputs.push(refused(number, trust));
            bench.apply(1, inputs);
        }
        // All that was to be asked and awaited is over.
        bench.tick_through(1_000_000);
        bench
    }

    fn apply(&mut self, second: i64, inputs: Vec<Input>) -> Outcome {
        let entries: Vec<Entry> = inputs
            .into_iter()
            .map(|input| {
                self.position += 1;
                Entry { position: self.position, recorded: at(second), input }
            })
            .collect();
        let mut outcome = self.ledger.apply_together(&self.records, &entries).unwrap();
        self.records.commit(std::mem::take(&mut outcome.changes));
        self.next_deadline = outcome.next_deadline;
        outcome
    }

    fn is_due(&self, second: i64) -> bool {
        self.next_deadline.is_some_and(|deadline| deadline <= at(second))
    }

    /// Ticks as long as something is due.
    fn tick_through(&mut self, second: i64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while self.is_due(second) {
            outcomes.push(self.apply(second, vec![Input::Tick]));
            assert!(outcomes.len() < TICKS_MAX, "ticks come to no end");
        }
        outcomes
    }

    fn verdicts(&self) -> Vec<VerdictRecord> {
        Draft::new(&self.records)
            .scan::<VerdictRecord>(Table::Verdicts, "", usize::MAX)
            .unwrap()
            .into_iter()
            .map(|(_, record)| record)
            .collect()
    }

    fn is_sweeping(&self) -> bool {
        since(&Draft::new(&self.records)).unwrap().is_some()
    }
}

fn refused(number: usize, trust: Digest) -> Input {
    let outcome = facts::Outcome::Refused(Refusal {
        reason: RefusalReason::Malformed,
        expected: "one".to_owned(),
        found: "another".to_owned(),
        claims: None,
        claimed_subjects: Vec::new(),
    });
    Input::Verified(Box::new(Verified { evidence: evidence_id(&item(number)), verifier: 1, trust, outcome }))
}

fn verifications(outcome: &Outcome) -> Vec<Digest> {
    let of = |decision: &Decision| match decision {
        Decision::Verify { evidence } => Some(*evidence),
        _ => None,
    };
    outcome.decisions.iter().filter_map(of).collect()
}

/// The digests of verdicts under a pipeline that are published, in order.
fn published(outcome: &Outcome, pipeline: &str) -> Vec<Digest> {
    let of = |decision: &Decision| match decision {
        Decision::PublishVerdict { change } if change.verdict.pipeline == pipeline => {
            Some(change.verdict.digest)
        }
        _ => None,
    };
    outcome.decisions.iter().filter_map(of).collect()
}

#[test]
fn everything_is_judged_and_verified_once_in_pages_and_what_runs_comes_first() {
    let mut bench = Bench::under_one();
    let mut outcomes = vec![bench.apply(2_000_000, vec![contracts("two", "not-required")])];
    assert!(bench.is_sweeping() && bench.is_due(2_000_000));
    outcomes.extend(bench.tick_through(2_000_000));
    assert!(!bench.is_sweeping());
    assert!(outcomes.len() > 4, "one page holds {MARKED_MAX}, and {} were needed", outcomes.len());
    for outcome in &outcomes {
        assert!(outcome.has_passed_deadline);
        assert!(verifications(outcome).len() <= MARKED_MAX);
        // A digest is marked with its units.
        assert!(published(outcome, "two").len() <= MARKED_MAX);
    }
    let verified: Vec<Digest> = outcomes.iter().flat_map(verifications).collect();
    assert_eq!(verified.len(), 2 * PLACED);
    assert_eq!(verified.iter().collect::<BTreeSet<_>>().len(), 2 * PLACED);
    let judged: Vec<Digest> = outcomes.iter().flat_map(|outcome| published(outcome, "two")).collect();
    let running: BTreeSet<Digest> = (0..2 * PLACED).step_by(2).map(image).collect();
    assert_eq!(judged[..PLACED].iter().copied().collect::<BTreeSet<_>>(), running);
    assert_eq!(judged.len(), 2 * PLACED);
    let verdicts = bench.verdicts();
    assert_eq!(verdicts.len(), 2 * PLACED);
    let hash = bench.ledger.contracts().hash;
    assert!(verdicts.iter().all(|record| record.verdict.pipeline == "two" && record.verdict.policy == hash));
    assert!(verdicts.iter().all(|record| record.verified_again));
}

#[test]
fn contracts_that_change_once_more_begin_it_anew_and_verify_what_was_left() {
    let mut bench = Bench::under_one();
    let first = bench.apply(2_000_000, vec![contracts("two", "not-required")]);
    // The trust set is the same; the sweep that verifies was not over.
    let mut outcomes = vec![first, bench.apply(2_000_001, vec![contracts("three", "not-required")])];
    outcomes.extend(bench.tick_through(2_000_001));
    let verified: BTreeSet<Digest> = outcomes.iter().flat_map(verifications).collect();
    assert_eq!(verified.len(), 2 * PLACED);
    assert!(bench.verdicts().iter().all(|record| record.verdict.pipeline == "three"));
    // Nothing is stale any more but what its results are awaited for.
    let again = bench.apply(2_000_002, vec![contracts("four", "not-required")]);
    assert_eq!(verifications(&again), []);
}

#[test]
fn what_is_said_of_a_digest_that_was_not_swept_is_judged_under_the_new_contracts() {
    let mut bench = Bench::under_one();
    bench.apply(2_000_000, vec![contracts("two", "not-required")]);
    let swept: BTreeSet<Digest> = bench
        .verdicts()
        .iter()
        .filter(|known| known.verdict.pipeline == "two")
        .map(|v| v.verdict.digest)
        .collect();
    let number = (0..2 * PLACED).step_by(2).find(|number| !swept.contains(&image(*number))).unwrap();
    let trust = bench.ledger.contracts().trust_version();
    bench.apply(2_000_000, vec![refused(number, trust)]);
    let of_it = |bench: &Bench| -> Vec<VerdictRecord> {
        bench.verdicts().into_iter().filter(|known| known.verdict.digest == image(number)).collect()
    };
    let [known] = &of_it(&bench)[..] else { panic!("two verdicts") };
    assert!(known.verdict.pipeline == "two" && !known.verified_again);
    bench.tick_through(2_000_000);
    let [known] = &of_it(&bench)[..] else { panic!("two verdicts") };
    assert!(!known.verified_again, "its result is not asked for again");
}

#[test]
fn a_placement_that_is_looked_at_out_of_turn_brings_its_image() {
    let mut bench = Bench::under_one();
    bench.apply(2_000_000, vec![contracts("two", "not-required")]);
    let judged = |bench: &Bench, digest: &Digest| {
        bench
            .verdicts()
            .iter()
            .any(|known| known.verdict.digest == *digest && known.verdict.pipeline == "two")
    };
    let number = (0..2 * PLACED).step_by(2).find(|number| !judged(&bench, &image(*number))).unwrap();
    let draft = Draft::new(&bench.records);
    let prefix = placement::by_digest_prefix(&image(number));
    let row = draft.keys(Table::Digests, &prefix, 1).unwrap().remove(0);
    let key = placement::of_by_digest_key(&prefix, &row).unwrap().0.to_owned();
    let mut work = Work::new(&mut bench.ledger, &bench.records);
    (work.now, work.position) = (at(2_000_000), bench.position + 1);
    work.touch_unit(Unit::Placement { key });
    work.judge_touched().unwrap();
    let changes = work.draft.into_changes().unwrap();
    bench.records.commit(changes);
    assert!(judged(&bench, &image(number)));
}
