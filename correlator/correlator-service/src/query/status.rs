//! How the correlator is doing, and what it found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bus_schema::case::CaseState;
use bus_schema::{Digest, ImageRepository};
use correlator_core::contracts::{Claim, ContractSet};
use correlator_core::ledger::Ledger;
use correlator_core::ledger::cases::CaseRecord;
use correlator_core::records::Table;
use correlator_core::state::agent::{self, AgentRecord, CoverageRecord, coverage_key};
use correlator_core::state::placement::{self, PlacementRecord};
use correlator_core::verdict::VerdictRecord;
use correlator_store::{Lane, Snapshot};
use fleet_runtime::health::State;
use jiff::Timestamp;

use super::{Answers, QueryError, reads, suggestion};
use crate::api::types::{
    AgentStatus, ContractsInForce, CoverageStatus, ImageCounts, LogStatus, PipelineSummary, Status,
    UnclaimedRepository, Waiting,
};
use crate::shared::{Consuming, LastReport, Shared};
use fleet_runtime::outside_text::shown;

/// Placements that are counted; more sets `cut`.
const PLACEMENTS_COUNTED_MAX: usize = 200_000;
const VERDICTS_COUNTED_MAX: usize = 500_000;
const UNCLAIMED_SHOWN_MAX: usize = 50;

pub(super) fn status(answers: &Answers, snapshot: &Snapshot) -> Result<Status, QueryError> {
    let report = answers.health.report();
    let checks = report.checks.iter().map(|(name, standing)| {
        let said = match &standing.state {
            State::Ready => "ready".to_owned(),
            State::Starting => "starting".to_owned(),
            State::Failing(reason) | State::Ended(reason) => shown(reason),
        };
        (name.clone(), said)
    });
    let head = answers.store.log().head();
    let next_deadline = answers.shared.progress.borrow().next_deadline;
    let contracts = Arc::clone(&answers.shared.in_force.borrow().contracts);
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: report.ready,
        draining: report.draining,
        checks: checks.collect(),
        log: LogStatus {
            id: head.log.to_string(),
            generation: head.generation,
            position: head.position,
            applied: snapshot.position(),
            recorded: head.recorded,
            next_deadline,
        },
        waiting: waiting(&answers.shared, snapshot)?,
        agents: agents(answers, snapshot)?,
        contracts: self::contracts(&answers.shared),
        images: images(snapshot, &contracts)?,
        verdicts: verdicts(snapshot)?,
        cases: cases(snapshot)?,
    })
}

fn waiting(shared: &Shared, snapshot: &Snapshot) -> Result<Waiting, QueryError> {
    let verifying = shared.verifications_waiting() as u64;
    Ok(Waiting {
        events_lost: shared.events_lost(),
        events_caught_up: matches!(*shared.consuming.borrow(), Consuming::CaughtUp { .. }),
        judged_again_since: Ledger::judged_again_since(snapshot)?,
        verifications: snapshot.outbox_len(Lane::Verification)?.max(verifying),
        publications: snapshot.outbox_len(Lane::Bus)?,
        deliveries: snapshot.outbox_len(Lane::Delivery)?,
    })
}

pub(super) fn agents(answers: &Answers, snapshot: &Snapshot) -> Result<Vec<AgentStatus>, QueryError> {
    let (reports, heard) = (answers.shared.reports(), answers.shared.heard());
    let silence = answers.shared.in_force.borrow().contracts.installation.windows.silence;
    let mut agents = Vec::new();
    for (id, grant) in answers.agents.iter() {
        let last = reports.get(id);
        let known: Option<AgentRecord> = reads::get(snapshot, Table::Agents, &agent::key(id))?;
        let known = known.unwrap_or_default();
        let mut coverage = Vec::new();
        for (scope, stated) in covered(last, &known) {
            let key = coverage_key(grant.kind.as_str(), scope);
            let known: Option<CoverageRecord> = reads::get(snapshot, Table::Agents, &key)?;
            let since = known.and_then(|known| known.since).or(stated);
            coverage.extend(since.map(|since| CoverageStatus { scope: shown(scope), since }));
        }
        agents.push(AgentStatus {
            id: id.to_string(),
            kind: grant.kind.as_str().to_owned(),
            // What came since this process began, and else what the log knows.
            reported_at: last.map(|last| last.received_at).max(known.heard),
            excused_until: known.excused,
            silent_after_seconds: known.silent_after(silence).as_millis() / 1000,
            version: last.map(|last| shown(&last.report.version)),
            lag_seconds: last.map(|last| last.report.lag_seconds),
            events_published: last.map_or(0, |last| last.report.events_published),
            api_budget_left: last.and_then(|last| last.report.api_budget_left),
            last_event_at: heard.get(id).and_then(|heard| heard.last_event_at),
            refused: heard.get(id).map_or(0, |heard| heard.refused),
            last_refusal: heard.get(id).and_then(|heard| heard.last_refusal.clone()),
            dead_lettered: last.map_or(0, |last| last.report.dead_lettered),
            coverage,
        });
    }
    Ok(agents)
}

/// What an agent says that it covers, and since when as far as it says so: by its last report since this
/// process began, and else by the newest in the log.
fn covered<'a>(last: Option<&'a LastReport>, known: &'a AgentRecord) -> Vec<(&'a str, Option<Timestamp>)> {
    match (last, &known.newest) {
        (Some(last), _) => {
            last.report.coverage.iter().map(|one| (one.scope.as_str(), Some(one.since))).collect()
        }
        (None, Some(newest)) => newest.scopes.iter().map(|scope| (scope.as_str(), None)).collect(),
        (None, None) => Vec::new(),
    }
}

pub(super) fn contracts(shared: &Shared) -> ContractsInForce {
    let in_force = shared.in_force.borrow().clone();
    let problems = shared.contract_problems.borrow().clone();
    let set = &in_force.contracts;
    let pipeline = |pipeline: &correlator_core::contracts::pipeline::Pipeline| PipelineSummary {
        name: pipeline.name.clone(),
        images: pipeline.images.iter().map(ToString::to_string).collect(),
        mode: pipeline.mode.as_str().to_owned(),
        require: pipeline.require.iter().map(ToString::to_string).collect(),
    };
    ContractsInForce {
        hash: set.hash,
        pipelines: set.pipelines.values().map(pipeline).collect(),
        exceptions: set.exceptions.keys().cloned().collect(),
        roots: set.roots.values().map(|root| format!("{}@{}", root.name, root.content.short())).collect(),
        warnings: set.warnings.iter().map(|warning| shown(warning)).collect(),
        problems: problems.problems.iter().map(|problem| shown(problem)).collect(),
        problems_since: problems.since,
        trust_problem: in_force.trust.err().map(|problem| shown(&problem)),
    }
}

#[derive(Default)]
struct Counted {
    containers: u64,
    digests: BTreeSet<Option<Digest>>,
}

fn images(snapshot: &Snapshot, contracts: &ContractSet) -> Result<ImageCounts, QueryError> {
    let mut claimed: BTreeSet<(ImageRepository, Option<Digest>)> = BTreeSet::new();
    let mut unclaimed: BTreeMap<ImageRepository, Counted> = BTreeMap::new();
    let mut looked_at = 0;
    reads::scan::<PlacementRecord>(snapshot, Table::Placements, &placement::all_prefix(), |_, record| {
        looked_at += 1;
        if let Some(image) = record.image.as_ref().filter(|_| record.is_running()) {
            match contracts.claim(&image.repository) {
                Claim::Claimed(_) => {
                    claimed.insert((image.repository.clone(), record.digest));
                }
                Claim::Unclaimed => {
                    let counted = unclaimed.entry(image.repository.clone()).or_default();
                    counted.containers += record.running().count() as u64;
                    counted.digests.insert(record.digest);
                }
            }
        }
        looked_at < PLACEMENTS_COUNTED_MAX
    })?;
    let unclaimed_images: usize = unclaimed.values().map(|counted| counted.digests.len()).sum();
    let mut repositories: Vec<(ImageRepository, Counted)> = unclaimed.into_iter().collect();
    repositories.sort_by(|(one, of_one), (other, of_other)| {
        of_other.containers.cmp(&of_one.containers).then_with(|| one.cmp(other))
    });
    let suggestion = repositories.first().map(|(repository, _)| suggestion::suggest(repository));
    let shown =
        repositories.iter().take(UNCLAIMED_SHOWN_MAX).map(|(repository, counted)| UnclaimedRepository {
            repository: repository.to_string(),
            containers: counted.containers,
            images: counted.digests.len() as u64,
        });
    Ok(ImageCounts {
        claimed: claimed.len() as u64,
        unclaimed: unclaimed_images as u64,
        cut: looked_at >= PLACEMENTS_COUNTED_MAX,
        unclaimed_repositories: shown.collect(),
        suggestion,
    })
}

fn verdicts(snapshot: &Snapshot) -> Result<BTreeMap<String, u64>, QueryError> {
    let mut counts = BTreeMap::new();
    let mut looked_at = 0;
    reads::scan::<VerdictRecord>(snapshot, Table::Verdicts, "", |_, record| {
        *counts.entry(record.verdict.state.as_str().to_owned()).or_default() += 1;
        looked_at += 1;
        looked_at < VERDICTS_COUNTED_MAX
    })?;
    Ok(counts)
}

fn cases(snapshot: &Snapshot) -> Result<BTreeMap<String, u64>, QueryError> {
    let mut counts = BTreeMap::new();
    reads::scan::<CaseRecord>(snapshot, Table::Cases, "", |_, record| {
        if record.case.state != CaseState::Resolved {
            *counts.entry(record.case.severity.as_str().to_owned()).or_default() += 1;
        }
        true
    })?;
    Ok(counts)
}
