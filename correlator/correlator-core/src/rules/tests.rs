//! No silent distrust: whatever the links say, a settled untrusted image that runs is named by a case.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod production;

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::case::Severity;
use bus_schema::cluster::SlotKind;
use bus_schema::verdict::{Break, BreakReason, Link, LinkKind, LinkState, UnknownReason, Verdict};
use bus_schema::{Digest, ImageRepository};
use jiff::Timestamp;

use super::context::{ImageContext, PlacementContext};
use super::{Raised, image, placement};
use crate::chain::image_facts::{Carrier, ImageFacts};
use crate::chain::inquiry::Inquiry;
use crate::chain::memo::Memo;
use crate::contracts::ContractSet;
use crate::contracts::parse;
use crate::input::ContractLoaded;
use crate::records::{Draft, MemoryRecords};
use crate::state::digest::DigestRecord;
use crate::state::placement::PlacementRecord;
use crate::verdict::{VerdictRecord, Whereabouts, fold};

const DIGEST: Digest = Digest::Sha256([7; 32]);

#[test]
fn every_settled_untrusted_image_that_runs_is_named_by_a_case() {
    let bench = Bench::new();
    for number in 0..STATES.pow(5) {
        let numbers: [usize; 5] = std::array::from_fn(|place| digit(number, STATES, place));
        // The last links are judged alike by every rule: here it matters whether one fails.
        for sbom in [NOT_REQUIRED, ABSENT] {
            bench.check_everywhere(&links(&numbers, sbom, NOT_REQUIRED));
        }
    }
}

#[test]
fn every_state_of_the_last_links_is_named_by_a_case() {
    let bench = Bench::new();
    let first = [PROVEN, ABSENT, UNCOVERED];
    for number in 0..first.len().pow(5) {
        let numbers = std::array::from_fn(|place| first[digit(number, first.len(), place)]);
        for sbom in 0..STATES {
            for vulnerability in 0..STATES {
                bench.check_everywhere(&links(&numbers, sbom, vulnerability));
            }
        }
    }
}

/// An exception for a namespace makes nobody silent about another link, or about another namespace.
#[test]
fn what_an_exception_for_a_namespace_leaves_open_is_named_by_a_case() {
    let bench = Bench::new();
    let first = [PROVEN, ABSENT, BROKEN, UNREACHABLE];
    for number in 0..first.len().pow(6) {
        let at = |place| first[digit(number, first.len(), place)];
        let links = links(&std::array::from_fn(at), at(5), NOT_REQUIRED);
        for has_provenance in [false, true] {
            let record = bench.record(&links, has_provenance);
            let failing: BTreeSet<LinkKind> = record.failing().iter().copied().collect();
            for left_open in &failing {
                let but_one = failing.iter().copied().filter(|kind| kind != left_open).collect();
                bench.check(&record, [("web", but_one)]);
            }
            bench.check(&record, [("web", failing), ("shop", BTreeSet::new())]);
        }
    }
}

#[test]
fn every_break_of_every_link_is_named_by_a_case() {
    let bench = Bench::new();
    for kind in LinkKind::ALL {
        for reason in REASONS {
            let state_of = |other| match other == kind {
                true => broken(reason.clone()),
                false => state(PROVEN, other),
            };
            let links: Vec<Link> = LinkKind::ALL
                .into_iter()
                .map(|other| Link { kind: other, state: state_of(other), carried_by: None })
                .collect();
            bench.check_everywhere(&links);
        }
    }
}

/// The digit at a place of a number that is written to a base, the lowest first.
fn digit(number: usize, base: usize, place: usize) -> usize {
    std::iter::successors(Some(number), |left| Some(left / base)).nth(place).unwrap_or(0) % base
}

const STATES: usize = 12;
const PROVEN: usize = 0;
const NOT_REQUIRED: usize = 1;
const ABSENT: usize = 3;
const BROKEN: usize = 5;
const UNCOVERED: usize = 7;
const UNREACHABLE: usize = 8;

/// The links with these states, in the order of the chain.
fn links(first_five: &[usize; 5], sbom: usize, vulnerability: usize) -> Vec<Link> {
    let numbers = first_five.iter().copied().chain([sbom, vulnerability]);
    LinkKind::ALL
        .into_iter()
        .zip(numbers)
        .map(|(kind, number)| Link { kind, state: state(number, kind), carried_by: None })
        .collect()
}

/// One state of each kind that a settled verdict may have.
fn state(number: usize, kind: LinkKind) -> LinkState {
    let unknown = |reason| LinkState::Unknown { reason, detail: String::new() };
    match number {
        PROVEN => LinkState::Proven { witnesses: Vec::new(), copied_from: None },
        NOT_REQUIRED => LinkState::NotRequired,
        2 => LinkState::Waived { exception: String::new(), instead_of: String::new() },
        ABSENT => LinkState::Absent { looked_at: Vec::new() },
        4 => LinkState::Claimed { why: String::new() },
        BROKEN => broken(match kind {
            LinkKind::Source => BreakReason::Unreviewed,
            LinkKind::Build => BreakReason::RunFailed,
            LinkKind::Provenance => BreakReason::WrongRef,
            LinkKind::Artifact => BreakReason::UnexpectedPusher,
            LinkKind::Signature => BreakReason::WrongSigner,
            LinkKind::Sbom | LinkKind::Vulnerability => BreakReason::EmptySbom,
        }),
        6 => LinkState::Expired { since: Timestamp::UNIX_EPOCH, what: String::new() },
        UNCOVERED => unknown(UnknownReason::Uncovered),
        UNREACHABLE => unknown(UnknownReason::Unreachable),
        9 => unknown(UnknownReason::Unresolvable),
        10 => unknown(UnknownReason::CutOff),
        _ => LinkState::Revoked { since: Timestamp::UNIX_EPOCH, what: String::new() },
    }
}

const REASONS: [BreakReason; 24] = [
    BreakReason::WrongRepository,
    BreakReason::WrongRef,
    BreakReason::WrongCommit,
    BreakReason::WrongSubject,
    BreakReason::WrongWorkflow,
    BreakReason::WrongBuilder,
    BreakReason::WrongTrigger,
    BreakReason::WrongRunner,
    BreakReason::WrongSigner,
    BreakReason::BuiltFromFork,
    BreakReason::UnknownRun,
    BreakReason::RunContradicts,
    BreakReason::RunFailed,
    BreakReason::LevelTooLow,
    BreakReason::Unreviewed,
    BreakReason::UnreviewedAncestor,
    BreakReason::UnknownCommit,
    BreakReason::ForcedAway,
    BreakReason::UnsignedCommit,
    BreakReason::RulesBypassed,
    BreakReason::UnexpectedPusher,
    BreakReason::EmptySbom,
    BreakReason::NotListed,
    BreakReason::Other(String::new()),
];

fn broken(reason: BreakReason) -> LinkState {
    let a_break = Break { reason, expected: String::new(), found: String::new(), commit: None };
    LinkState::Broken { breaks: vec![a_break] }
}

/// One running image of a pipeline, and everything that rules look at beside its verdict.
struct Bench {
    contracts: ContractSet,
    records: MemoryRecords,
    image: ImageFacts,
    placement: PlacementRecord,
    unreachable: Vec<(String, String)>,
}

impl Bench {
    fn new() -> Bench {
        let text = r#"
apiVersion: custody.dev/v1
kind: Pipeline
metadata: { name: api }
spec:
  images: ["ghcr.io/acme/api"]
  require: [source, build, provenance, artifact, signature, sbom]
  source: { repository: github.com/acme/api, repositoryId: "1", reviews: 1 }
  build: { workflows: [.github/workflows/release.yml] }
  artifact: { pushers: [ci-bot] }
"#;
        let documents = BTreeMap::from([("api.yaml".to_owned(), text.to_owned())]);
        let contracts = parse::parse(&ContractLoaded { documents, files: BTreeMap::new() }).unwrap();
        let repository: ImageRepository = "ghcr.io/acme/api".parse().unwrap();
        let reference = format!("ghcr.io/acme/api@{DIGEST}");
        let placement = PlacementRecord {
            workload: "11111111-2222-3333-4444-555555555555/web/Deployment/api".parse().unwrap(),
            cluster_name: "eu-1".to_owned(),
            slot: "main".to_owned(),
            slot_kind: SlotKind::Main,
            digest: Some(DIGEST),
            image: Some(reference.parse().unwrap()),
            image_text: reference,
            started: BTreeMap::from([("pod/main/1".to_owned(), Timestamp::UNIX_EPOCH)]),
            stopped: BTreeMap::new(),
            unlisted: Default::default(),
            earliest_start: None,
            first_recorded: Timestamp::UNIX_EPOCH,
            ended_recorded: None,
            ground: Vec::new(),
        };
        let image = ImageFacts {
            digest: DIGEST,
            asked_about: vec![DIGEST],
            asked_at: Vec::new(),
            repository,
            carriers: vec![Carrier { digest: DIGEST, record: DigestRecord::default() }],
            first_recorded: Timestamp::UNIX_EPOCH,
            bound: Vec::new(),
            strayed: Vec::new(),
            refused: Vec::new(),
            awaited_since: None,
            awaited_again_since: None,
            cut: false,
            placements: vec![("placement".to_owned(), placement.clone())],
        };
        Bench { contracts, records: MemoryRecords::default(), image, placement, unreachable: Vec::new() }
    }

    /// Where one namespace runs it and no exception is for that one, with and without verified provenance.
    fn check_everywhere(&self, links: &[Link]) {
        for has_provenance in [false, true] {
            self.check(&self.record(links, has_provenance), [("web", BTreeSet::new())]);
        }
    }

    fn check<const N: usize>(&self, record: &VerdictRecord, namespaces: [(&str, BTreeSet<LinkKind>); N]) {
        if !record.is_untrusted() || record.is_only_uncovered() {
            return;
        }
        let mut record = record.clone();
        record.whereabouts.namespaces =
            namespaces.into_iter().map(|(namespace, waived)| (namespace.to_owned(), waived)).collect();
        let raised = self.raised(&record);
        let is_named = raised
            .iter()
            .any(|raised| raised.finding.digest == Some(DIGEST) && raised.severity >= Severity::Medium);
        assert!(is_named, "nothing names an image with {record:?}: {raised:?}");
    }

    fn record(&self, links: &[Link], has_provenance: bool) -> VerdictRecord {
        VerdictRecord {
            verdict: Verdict {
                digest: DIGEST,
                pipeline: "api".to_owned(),
                image: self.image.repository.clone(),
                state: fold(links),
                links: links.to_vec(),
                path: None,
                policy: DIGEST,
                roots: Vec::new(),
                reached_at: Timestamp::UNIX_EPOCH,
                rests_on: Vec::new(),
            },
            settled: true,
            statements: usize::from(has_provenance),
            has_provenance,
            provenance_holds: has_provenance,
            verified_again: false,
            looked_for_again: false,
            release_tag: None,
            whereabouts: Whereabouts::default(),
        }
    }

    fn raised(&self, record: &VerdictRecord) -> Vec<Raised> {
        let pipeline = self.contracts.pipelines.get("api").unwrap();
        let mut raised = image(&ImageContext {
            image: &self.image,
            pipeline,
            record,
            run_around: None,
            unreachable: &self.unreachable,
        });
        let draft = Draft::new(&self.records);
        let memo = Memo::default();
        let inquiry = Inquiry::new(&draft, &self.contracts, Timestamp::UNIX_EPOCH, &memo);
        for namespace in record.whereabouts.namespaces.keys() {
            let mut one = self.placement.clone();
            one.workload.namespace.clone_from(namespace);
            raised.extend(placement(&PlacementContext {
                inquiry: &inquiry,
                placement: &one,
                pipeline: Some(pipeline),
                verdict: Some(record),
                production: record.whereabouts.production,
                newly_beside_claimed: false,
            }));
        }
        raised
    }
}
