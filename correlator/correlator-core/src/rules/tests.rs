//! No silent distrust: whatever the links say, a settled untrusted image that runs is named by a case.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::cluster::SlotKind;
use bus_schema::verdict::{Break, BreakReason, Link, LinkKind, LinkState, UnknownReason, Verdict};
use bus_schema::{Digest, ImageRepository};
use jiff::Timestamp;

use super::context::{ImageContext, PlacementContext};
use super::{Raised, image, placement};
use crate::chain::image_facts::{Carrier, ImageFacts};
use crate::chain::inquiry::Inquiry;
use crate::contracts::ContractSet;
use crate::contracts::parse;
use crate::input::ContractLoaded;
use crate::records::{Draft, MemoryRecords};
use crate::state::digest::DigestRecord;
use crate::state::placement::PlacementRecord;
use crate::verdict::{VerdictRecord, fold};

const DIGEST: Digest = Digest::Sha256([7; 32]);

#[test]
fn every_settled_untrusted_image_that_runs_is_named_by_a_case() {
    let bench = Bench::new();
    let first_five =
        [LinkKind::Source, LinkKind::Build, LinkKind::Provenance, LinkKind::Artifact, LinkKind::Signature];
    let mut judged = 0_u64;
    for number in 0..STATES.pow(5) {
        let mut rest = number;
        let mut links: Vec<Link> = first_five
            .into_iter()
            .map(|kind| {
                let state = state(rest % STATES, kind);
                rest /= STATES;
                Link { kind, state, carried_by: None }
            })
            .collect();
        // The last two links are judged alike by every rule: it matters whether they hold, fail, or are unknown.
        for last in [LinkState::NotRequired, state(3, LinkKind::Sbom), state(7, LinkKind::Sbom)] {
            links.truncate(5);
            links.push(Link { kind: LinkKind::Sbom, state: last.clone(), carried_by: None });
            links.push(Link {
                kind: LinkKind::Vulnerability,
                state: LinkState::NotRequired,
                carried_by: None,
            });
            for has_provenance in [false, true] {
                bench.check(&links, has_provenance);
                judged += 1;
            }
        }
    }
    assert_eq!(judged, u64::try_from(STATES.pow(5)).unwrap() * 6);
}

#[test]
fn every_break_of_every_link_is_named_by_a_case() {
    let bench = Bench::new();
    for kind in LinkKind::ALL {
        for reason in REASONS {
            for has_provenance in [false, true] {
                let links: Vec<Link> = LinkKind::ALL
                    .into_iter()
                    .map(|other| {
                        let state = match other == kind {
                            true => broken(reason.clone()),
                            false => state(0, other),
                        };
                        Link { kind: other, state, carried_by: None }
                    })
                    .collect();
                bench.check(&links, has_provenance);
            }
        }
    }
}

const STATES: usize = 9;

/// One state of each kind that a settled verdict may have.
fn state(number: usize, kind: LinkKind) -> LinkState {
    let unknown = |reason| LinkState::Unknown { reason, detail: String::new() };
    match number {
        0 => LinkState::Proven { witnesses: Vec::new(), copied_from: None },
        1 => LinkState::NotRequired,
        2 => LinkState::Waived { exception: String::new(), instead_of: String::new() },
        3 => LinkState::Absent { looked_at: Vec::new() },
        4 => LinkState::Claimed { why: String::new() },
        5 => broken(match kind {
            LinkKind::Source => BreakReason::Unreviewed,
            LinkKind::Build => BreakReason::RunFailed,
            LinkKind::Provenance => BreakReason::WrongRef,
            LinkKind::Artifact => BreakReason::UnexpectedPusher,
            LinkKind::Signature => BreakReason::WrongSigner,
            LinkKind::Sbom | LinkKind::Vulnerability => BreakReason::EmptySbom,
        }),
        6 => LinkState::Expired { since: Timestamp::UNIX_EPOCH, what: String::new() },
        7 => unknown(UnknownReason::Uncovered),
        _ => unknown(UnknownReason::Unreachable),
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
            earliest_start: None,
            first_recorded: Timestamp::UNIX_EPOCH,
            ended_recorded: None,
            ground: Vec::new(),
        };
        let image = ImageFacts {
            digest: DIGEST,
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
        Bench { contracts, records: MemoryRecords::default(), image, placement }
    }

    fn check(&self, links: &[Link], has_provenance: bool) {
        let record = self.record(links, has_provenance);
        if !record.is_untrusted() || record.is_only_uncovered() {
            return;
        }
        let raised = self.raised(&record);
        let is_named = raised.iter().any(|raised| {
            raised.finding.digest == Some(DIGEST) && raised.severity >= bus_schema::case::Severity::Medium
        });
        assert!(is_named, "nothing names an image with {links:?}, provenance {has_provenance}: {raised:?}");
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
            release_tag: None,
        }
    }

    fn raised(&self, record: &VerdictRecord) -> Vec<Raised> {
        let pipeline = self.contracts.pipelines.get("api").unwrap();
        let draft = Draft::new(&self.records);
        let memo = crate::chain::memo::Memo::default();
        let inquiry = Inquiry::new(&draft, &self.contracts, Timestamp::UNIX_EPOCH, &memo);
        let mut raised = image(&ImageContext {
            image: &self.image,
            pipeline,
            record,
            placed_in: BTreeMap::from([("web".to_owned(), BTreeSet::new())]),
            production: false,
            runs_at: Vec::new(),
            run_around: None,
            unreachable: &[],
        });
        raised.extend(placement(&PlacementContext {
            inquiry: &inquiry,
            placement: &self.placement,
            pipeline: Some(pipeline),
            verdict: Some(record),
            production: false,
            newly_beside_claimed: false,
        }));
        raised
    }
}
