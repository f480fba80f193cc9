//! The severity of every rule, and what it becomes when the subject runs in production.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::case::Severity::{self, Critical, High, Info, Low, Medium};
use bus_schema::fleet::{AgentReported, Unavailable};
use bus_schema::question::Question;
use bus_schema::verdict::{BreakReason, Link, LinkKind};
use bus_schema::{CommitId, RepositoryRef, Tag};
use jiff::Timestamp;

use super::{ABSENT, Bench, DIGEST, PROVEN, broken, state};
use crate::chain::inquiry::Inquiry;
use crate::chain::memo::Memo;
use crate::records::{Draft, MemoryRecords, Table};
use crate::rules::context::{AgentContext, PlacementContext, TagContext, WorkflowContext};
use crate::rules::{self, RULES, Raised};
use crate::state::Ground;
use crate::state::agent::{AgentRecord, GapRecord};
use crate::state::digest::Push;
use crate::state::question::{self, Answer, QuestionRecord};
use crate::state::source::WorkflowChangeRecord;
use crate::state::tag::{Move, TagRecord};
use crate::verdict::{self, VerdictRecord, Whereabouts};

/// Rule, severity, severity in production. What is about no digest runs nowhere.
const SEVERITIES: [(&str, Severity, Severity); 17] = [
    ("out-of-pipeline-deploy", High, Critical),
    ("untrusted-builder", High, Critical),
    ("broken-provenance", High, Critical),
    ("unreviewed-commit-released", High, Critical),
    ("push-outside-ci", Medium, High),
    ("unsigned-image-running", Medium, High),
    ("untrusted-running", Medium, High),
    ("tag-overwritten", High, Critical),
    ("workflow-changed", Info, Info),
    ("workflow-changed-unreviewed", High, High),
    ("mutable-reference-deployed", Low, Medium),
    ("deployed-outside-contract", Medium, High),
    // The one that appears beside claimed images; the quiet case of a cluster stays info.
    ("unclaimed-images", Medium, High),
    ("evidence-unreachable", Medium, Medium),
    ("agent-silent", High, High),
    ("events-missing", Medium, Medium),
    ("pipeline-removed", Medium, Medium),
];

#[test]
fn every_rule_about_something_that_runs_is_raised_by_one_in_production() {
    let (elsewhere, in_production) = (severities(false), severities(true));
    for (rule, severity, raised) in SEVERITIES {
        assert_eq!(elsewhere.get(rule), Some(&severity), "{rule}");
        assert_eq!(in_production.get(rule), Some(&raised), "{rule} in production");
    }
    let listed: BTreeSet<&str> = SEVERITIES.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(listed, RULES.iter().map(|rule| rule.name).collect(), "every rule stands in the table");
}

#[test]
fn the_quiet_case_of_a_cluster_stays_info_in_production() {
    let quiet = |raised: &Raised| raised.rule == "unclaimed-images" && raised.subject.len() == 1;
    let severities: Vec<Severity> =
        all_raised(true).into_iter().filter(quiet).map(|raised| raised.severity).collect();
    assert_eq!(severities, [Info]);
}

#[test]
fn an_overwritten_tag_says_where_its_digest_runs() {
    let raised = all_raised(true);
    let overwritten = raised.iter().find(|raised| raised.rule == "tag-overwritten").unwrap();
    assert_eq!(overwritten.finding.runs_at, ["eu-1/web/Deployment/api"]);
}

/// The highest severity of each rule.
fn severities(production: bool) -> BTreeMap<String, Severity> {
    let mut severities = BTreeMap::new();
    for raised in all_raised(production) {
        let known = severities.entry(raised.rule).or_insert(raised.severity);
        *known = (*known).max(raised.severity);
    }
    severities
}

/// What every rule raises, each where it fires.
fn all_raised(production: bool) -> Vec<Raised> {
    let mut bench = Bench::new();
    bench.image.carriers[0].record.pushes.push(Push {
        at: Timestamp::UNIX_EPOCH,
        not_before: None,
        repository: bench.image.repository.clone(),
        tag: None,
        actor: Some("mallory".to_owned()),
        polled: false,
        looked_up: false,
        event: ground(),
    });
    bench.unreachable.push(("ghcr.io".to_owned(), "denied".to_owned()));
    let failing = [
        (LinkKind::Artifact, broken(BreakReason::UnexpectedPusher)),
        (LinkKind::Build, broken(BreakReason::WrongWorkflow)),
        (LinkKind::Provenance, broken(BreakReason::WrongRef)),
        (LinkKind::Source, broken(BreakReason::Unreviewed)),
        (LinkKind::Signature, state(ABSENT, LinkKind::Signature)),
        (LinkKind::Sbom, state(ABSENT, LinkKind::Sbom)),
    ];
    let mut raised = Vec::new();
    for (kind, state) in &failing {
        raised.extend(bench.raised(&one_failing(&bench, *kind, state, production)));
    }
    // Nothing but the distrust itself is left to say of an SBOM where nobody foreign pushed.
    bench.image.carriers[0].record.pushes.clear();
    let (kind, state) = &failing[5];
    raised.extend(bench.raised(&one_failing(&bench, *kind, state, production)));
    raised.extend(of_placements(&bench, production));
    raised.extend(of_a_tag(&bench, production));
    raised.extend(of_a_workflow(&bench));
    let agent = "registry-agent".parse().unwrap();
    let gap = GapRecord {
        reason: "it was not running".to_owned(),
        from: Timestamp::UNIX_EPOCH,
        until: Timestamp::UNIX_EPOCH,
        ground: ground(),
    };
    raised.push(rules::completeness(&agent, "ghcr.io", &gap));
    raised.extend(of_an_agent(&bench));
    raised.extend(rules::removed_pipeline("api", true, false));
    raised
}

fn one_failing(
    bench: &Bench,
    failing: LinkKind,
    failing_state: &bus_schema::verdict::LinkState,
    production: bool,
) -> VerdictRecord {
    let state_of = |kind| if kind == failing { failing_state.clone() } else { state(PROVEN, kind) };
    let links: Vec<Link> = LinkKind::ALL
        .into_iter()
        .map(|kind| Link { kind, state: state_of(kind), carried_by: None })
        .collect();
    let mut record = bench.record(&links, failing != LinkKind::Signature);
    record.whereabouts = whereabouts(production);
    record
}

fn whereabouts(production: bool) -> Whereabouts {
    Whereabouts {
        namespaces: BTreeMap::from([("web".to_owned(), BTreeSet::new())]),
        production,
        workloads: vec!["eu-1/web/Deployment/api".to_owned()],
    }
}

/// A tag in the spec of a workload that runs elsewhere than it may, and an image that nobody claims.
fn of_placements(bench: &Bench, production: bool) -> Vec<Raised> {
    let draft = Draft::new(&bench.records);
    let memo = Memo::default();
    let inquiry = Inquiry::new(&draft, &bench.contracts, Timestamp::UNIX_EPOCH, &memo);
    let mut placement = bench.placement.clone();
    placement.image = Some("ghcr.io/acme/api:v1".parse().unwrap());
    let mut pipeline = bench.contracts.pipelines["api"].clone();
    pipeline.deploy.by_digest = true;
    pipeline.deploy.namespaces = crate::contracts::pattern::Glob::parse("shop").into_iter().collect();
    let mut raised = Vec::new();
    for pipeline in [Some(&pipeline), None] {
        raised.extend(rules::placement(&PlacementContext {
            inquiry: &inquiry,
            placement: &placement,
            pipeline,
            verdict: None,
            production,
            newly_beside_claimed: true,
        }));
    }
    raised
}

fn of_a_tag(bench: &Bench, production: bool) -> Vec<Raised> {
    let record = one_failing(bench, LinkKind::Sbom, &state(ABSENT, LinkKind::Sbom), production);
    let records =
        with(&[(Table::Verdicts, verdict::key(&DIGEST, "api"), serde_json::to_value(record).unwrap())]);
    let draft = Draft::new(&records);
    let memo = Memo::default();
    let inquiry = Inquiry::new(&draft, &bench.contracts, Timestamp::UNIX_EPOCH, &memo);
    let mut pipeline = bench.contracts.pipelines["api"].clone();
    pipeline.artifact.immutable_tags = crate::contracts::pattern::Glob::parse("v*").into_iter().collect();
    let a_move = |second: i64, to| Move {
        at: Timestamp::from_second(second).unwrap(),
        to: Some(to),
        actor: Some("mallory".to_owned()),
        polled: false,
        not_before: None,
        recorded: Timestamp::UNIX_EPOCH,
        event: ground(),
    };
    let tag: Tag = "v1".parse().unwrap();
    let first = bus_schema::Digest::Sha256([1; 32]);
    rules::tag(&TagContext {
        inquiry: &inquiry,
        repository: &bench.image.repository,
        tag: &tag,
        record: &TagRecord { moves: vec![a_move(1, first), a_move(2, DIGEST)] },
        pipeline: &pipeline,
    })
    .unwrap()
    .unwrap()
}

/// The forge was asked after the window and knows of no review.
fn of_a_workflow(bench: &Bench) -> Vec<Raised> {
    let repository: RepositoryRef = "github.com/acme/api".parse().unwrap();
    let repository = repository.with_ids(Some(1_u64.into()), None);
    let commit: CommitId = "c1".repeat(20).parse().unwrap();
    let question = Question::Commit { repository: repository.clone(), commit: commit.clone(), git_ref: None };
    let now = Timestamp::from_second(3600).unwrap();
    let answered = QuestionRecord {
        question: question.clone(),
        attempts: 1,
        first_asked: now,
        last_asked: now,
        asked_before: None,
        failing_since: None,
        lane: None,
        queued: None,
        answers: vec![Answer {
            attempt: 1,
            reason: Unavailable::NotFound,
            source: "github.com".to_owned(),
            detail: String::new(),
            found: 0,
            recorded: now,
            ground: ground(),
        }],
    };
    let key = question::key(&question.request_id());
    let records = with(&[(Table::Questions, key, serde_json::to_value(answered).unwrap())]);
    let draft = Draft::new(&records);
    let memo = Memo::default();
    let inquiry = Inquiry::new(&draft, &bench.contracts, now, &memo);
    let record = WorkflowChangeRecord {
        repository: Some(repository),
        first_recorded: Some(Timestamp::UNIX_EPOCH),
        ..WorkflowChangeRecord::default()
    };
    rules::workflow(&WorkflowContext {
        inquiry: &inquiry,
        commit: &commit,
        record: &record,
        pipelines: vec![&bench.contracts.pipelines["api"]],
    })
    .unwrap()
}

/// It was heard an hour ago, with a number that nobody saw before it.
fn of_an_agent(bench: &Bench) -> Vec<Raised> {
    let mut record = AgentRecord::default();
    for sequence in [1, 3] {
        record.hear(&report(sequence), Timestamp::UNIX_EPOCH);
    }
    let draft = Draft::new(&bench.records);
    let memo = Memo::default();
    let now = Timestamp::from_second(3600).unwrap();
    let inquiry = Inquiry::new(&draft, &bench.contracts, now, &memo);
    rules::agent(&AgentContext {
        inquiry: &inquiry,
        agent: &"registry-agent".parse().unwrap(),
        record: &record,
        is_retired: false,
        found_again_until: None,
    })
}

fn report(sequence: u64) -> AgentReported {
    AgentReported {
        agent: "registry-agent".parse().unwrap(),
        kind: "registry".to_owned(),
        version: "0.1.0".to_owned(),
        epoch: Timestamp::UNIX_EPOCH,
        sequence,
        interval_seconds: None,
        coverage: Vec::new(),
        lag_seconds: 0,
        events_published: 0,
        dead_lettered: 0,
        api_budget_left: None,
        reported_at: Timestamp::UNIX_EPOCH,
    }
}

fn with(rows: &[(Table, String, serde_json::Value)]) -> MemoryRecords {
    let mut records = MemoryRecords::default();
    let changes = {
        let mut draft = Draft::new(&records);
        for (table, key, value) in rows {
            draft.put(*table, key.clone(), value.clone());
        }
        draft.into_changes().unwrap()
    };
    records.commit(changes);
    records
}

fn ground() -> Ground {
    let occurrence = bus_schema::OccurrenceKey::of(["one"]);
    let event = bus_schema::EventId::derive(
        &"dev.custody.registry.tag.moved.v1".parse().unwrap(),
        &"registry-agent".parse().unwrap(),
        &occurrence,
    );
    Ground { event, agent: "registry-agent".to_owned() }
}
