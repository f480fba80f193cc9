//! The build link of one statement: the run that the certificate or the predicate names fits the contract, and the CI
//! agent's report of it does not say otherwise.

use bus_schema::ci::{Conclusion, RunnerEnvironment};
use bus_schema::fleet::Unavailable;
use bus_schema::question::Question;
use bus_schema::verdict::{Break, BreakReason, Witness};
use bus_schema::{CommitId, RunId};

use crate::chain::image_facts::{BoundStatement, ImageFacts};
use crate::chain::inquiry::Inquiry;
use crate::chain::provenance::shown_repository;
use crate::chain::settle::settles_at;
use crate::chain::signer::CertificateIdentity;
use crate::chain::{Finding, Missing, a_break};
use crate::contracts::pipeline::{Pipeline, SourceContract};
use crate::facts::{Provenance, Signer};
use crate::ledger::questions::Wanted;
use crate::records::RecordsError;
use crate::state::digest::Push;
use crate::state::run::{JobRecord, RunRecord};

pub(crate) fn judge(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    source: &SourceContract,
    bound: &BoundStatement,
    provenance: &Provenance,
) -> Result<Finding, RecordsError> {
    let mut breaks = Vec::new();
    let mut witnesses = Vec::new();
    let identity = identity_of(&bound.statement.signer);
    if let Some(identity) = &identity {
        check_certificate(pipeline, source, identity, &mut breaks);
        witnesses
            .push(Witness { who: "certificate".to_owned(), says: format!("run of {}", identity.shown()) });
    }
    let run = run_id(source, identity.as_ref(), provenance);
    let record = match &run {
        Some(run) => inquiry.run(run)?,
        None => None,
    };
    let commit = match &identity {
        Some(identity) => identity.commit.as_ref(),
        None => provenance.commit.as_ref(),
    };
    if let Some(record) = &record {
        check_report(pipeline, source, commit, record, &mut breaks);
        if identity.is_none() {
            check_runners(image, pipeline, record, &mut breaks);
        }
        inquiry.rest_on(&record.ground);
    }
    if !breaks.is_empty() {
        breaks.sort();
        breaks.dedup();
        return Ok(Finding::Broken(breaks));
    }
    match (&run, record.as_ref().filter(|record| record.run.is_some())) {
        (Some(run), Some(record)) => {
            let state = record.conclusion.as_ref().map_or("still going", Conclusion::as_str);
            witnesses.push(Witness { who: "ci-agent".to_owned(), says: format!("run {run}, {state}") });
        }
        (Some(run), None) => {
            if let Some(finding) = unknown_run(inquiry, image, pipeline, source, bound, run)? {
                return Ok(finding);
            }
        }
        (None, _) if identity.is_none() => {
            let expected = "a run that the provenance names and the CI agent confirms";
            return Ok(Finding::Broken(vec![a_break(
                BreakReason::UnknownRun,
                expected,
                "no run in the predicate",
            )]));
        }
        (None, _) => {}
    }
    if pipeline.build.require_success
        && let Some(finding) = check_success(inquiry, image, source, run.as_ref(), record.as_ref())
    {
        return Ok(finding);
    }
    Ok(Finding::Proven(witnesses))
}

fn check_certificate(
    pipeline: &Pipeline,
    source: &SourceContract,
    identity: &CertificateIdentity,
    breaks: &mut Vec<Break>,
) {
    let contract = &pipeline.build;
    if !identity.comes_from(&source.repository) {
        let found = identity
            .repository
            .as_ref()
            .map_or_else(|| "no repository in the certificate".to_owned(), shown_repository);
        breaks.push(a_break(
            BreakReason::WrongRepository,
            format!("a run of {}", shown_repository(&source.repository)),
            found,
        ));
        // Whatever else it says, it says of another repository.
        return;
    }
    let expected_workflows =
        || contract.workflows.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(" or ");
    match &identity.caller_workflow {
        Some(found) if contract.workflows.is_empty() || contract.workflows.contains(&found.path) => {
            // The started workflow must lie in the repository that the certificate names.
            let is_elsewhere = identity
                .repository
                .as_ref()
                .is_some_and(|repository| !found.repository.path().eq_ignore_ascii_case(&repository.path()));
            if is_elsewhere {
                breaks.push(a_break(BreakReason::WrongWorkflow, expected_workflows(), found.to_string()));
            }
        }
        found => {
            let found = found
                .as_ref()
                .map_or_else(|| "no workflow in the certificate".to_owned(), ToString::to_string);
            breaks.push(a_break(BreakReason::WrongWorkflow, expected_workflows(), found));
        }
    }
    if !contract.triggers.is_empty() {
        let fits = identity.trigger.as_ref().is_some_and(|trigger| contract.triggers.contains(trigger));
        if !fits {
            let expected =
                contract.triggers.iter().map(|trigger| trigger.as_str()).collect::<Vec<_>>().join(" or ");
            let found =
                identity.trigger.as_ref().map_or("no trigger in the certificate", |trigger| trigger.as_str());
            breaks.push(a_break(BreakReason::WrongTrigger, expected, found));
        }
    }
    if let Some(expected) = &contract.runners
        && identity.runner.as_ref() != Some(expected)
    {
        let found = identity.runner.as_ref().map_or("no runner in the certificate", |runner| runner.as_str());
        breaks.push(a_break(BreakReason::WrongRunner, expected.as_str(), found));
    }
}

/// The run that a statement names, the certificate's before the predicate's.
pub(crate) fn run_of(source: &SourceContract, signer: &Signer, provenance: &Provenance) -> Option<RunId> {
    run_id(source, identity_of(signer).as_ref(), provenance)
}

fn identity_of(signer: &Signer) -> Option<CertificateIdentity> {
    match signer {
        Signer::Keyless(claims) => Some(CertificateIdentity::read(claims)),
        Signer::Key { .. } | Signer::CloudBuild { .. } => None,
    }
}

/// The run as the CI agent names it. Its repository id must be known: from the certificate, or from the contract.
fn run_id(
    source: &SourceContract,
    identity: Option<&CertificateIdentity>,
    provenance: &Provenance,
) -> Option<RunId> {
    let number = match identity {
        Some(identity) => identity.run.or(provenance.run)?,
        None => provenance.run?,
    };
    let repository = identity.and_then(|identity| identity.repository.as_ref()).unwrap_or(&source.repository);
    let repository_id = repository.id.clone().or_else(|| source.repository.id.clone())?;
    Some(RunId {
        host: source.repository.host.clone(),
        repository_id,
        id: number.id,
        attempt: number.attempt,
    })
}

/// The CI agent's report against the contract and the signed claims.
fn check_report(
    pipeline: &Pipeline,
    source: &SourceContract,
    commit: Option<&CommitId>,
    record: &RunRecord,
    breaks: &mut Vec<Break>,
) {
    let Some(run) = &record.run else { return };
    if !source.repository.is_same(&run.repository) {
        breaks.push(a_break(
            BreakReason::RunContradicts,
            source.repository.to_string(),
            run.repository.to_string(),
        ));
    }
    if run.from_fork() == Some(true) {
        let fork = run.head_repository.as_ref().map(ToString::to_string).unwrap_or_default();
        breaks.push(a_break(BreakReason::BuiltFromFork, format!("a head in {}", source.repository), fork));
    }
    if !pipeline.build.workflows.is_empty() && !pipeline.build.workflows.contains(&run.workflow) {
        let expected =
            pipeline.build.workflows.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(" or ");
        breaks.push(a_break(BreakReason::WrongWorkflow, expected, run.workflow.as_str()));
    }
    if !pipeline.build.triggers.is_empty() && !pipeline.build.triggers.contains(&run.trigger) {
        let expected =
            pipeline.build.triggers.iter().map(|trigger| trigger.as_str()).collect::<Vec<_>>().join(" or ");
        breaks.push(a_break(BreakReason::WrongTrigger, expected, run.trigger.as_str()));
    }
    if let Some(commit) = commit.filter(|commit| **commit != run.head_commit) {
        let found = format!("run {} is for {}", run.run, run.head_commit);
        breaks.push(a_break(BreakReason::RunContradicts, format!("a run for commit {commit}"), found));
    }
}

/// The runner where no certificate says it: that of the jobs which may have made the digest's first push, for a run may
/// deploy on another. A polled push lies between two polls; where nobody saw a push it may be any job.
fn check_runners(image: &ImageFacts, pipeline: &Pipeline, record: &RunRecord, breaks: &mut Vec<Break>) {
    let Some(expected) = &pipeline.build.runners else { return };
    let jobs = match first_push(image) {
        Some(push) => record.jobs_between(push.earliest(), push.at),
        None => record.jobs.values().collect(),
    };
    let other = jobs.into_iter().find(|job| job.runner.as_ref().is_some_and(|runner| runner != expected));
    if let Some(job) = other {
        let found = job.runner.as_ref().map_or("unknown", RunnerEnvironment::as_str);
        breaks.push(a_break(
            BreakReason::WrongRunner,
            expected.as_str(),
            format!("{found} for job {}", job.name),
        ));
    }
}

/// The jobs that were going at a push: at the registry's time for it, or give or take what two clocks may differ by.
fn jobs_at<'a>(inquiry: &Inquiry<'_>, push: &Push, record: &'a RunRecord) -> Vec<&'a JobRecord> {
    let earliest = if push.is_open_ended() { push.at } else { push.earliest() };
    let exactly = record.jobs_between(earliest, push.at);
    if !exactly.is_empty() {
        return exactly;
    }
    let skew = inquiry.contracts.installation.windows.source_skew;
    record.jobs_between(skew.before(earliest), skew.after(push.at))
}

fn first_push(image: &ImageFacts) -> Option<&Push> {
    image.carriers.iter().flat_map(|carrier| &carrier.record.pushes).min_by_key(|push| push.at)
}

/// Nobody reported the run: the forge is asked. A keyless certificate stands by itself until the forge says that there is no such run.
fn unknown_run(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    source: &SourceContract,
    bound: &BoundStatement,
    run: &RunId,
) -> Result<Option<Finding>, RecordsError> {
    let since = inquiry.forge_covered_since("ci", &source.repository)?;
    let question = Question::Run { repository: source.repository.clone(), run: run.clone() };
    let built_at = bound.statement.signed_at.or_else(|| image.existed_at());
    let is_uncovered = since.is_none_or(|since| built_at.is_none_or(|at| at < since));
    let no_such_run =
        a_break(BreakReason::UnknownRun, format!("run {run} at the forge"), "the forge does not know it");
    if bound.statement.signer.key().is_some() {
        return Ok(Some(Finding::Missing(Missing {
            waiting_for: format!("the CI agent's report of run {run}"),
            questions: vec![question],
            uncovered: is_uncovered.then(|| format!("run {run} is from before the CI agent watched")),
            absence_breaks: Some(no_such_run),
            ..Missing::default()
        })));
    }
    if since.is_none() {
        return Ok(None);
    }
    // Its certificate is a witness, so nothing waits; and the forge may not tell of a run at once, so that what it says
    // before the window ends does not count against it.
    let settles_at = settles_at(image, pipeline);
    let known = inquiry.question(&question)?;
    let attempts = known.as_ref().map_or(0, |record| record.attempts);
    let is_late = known.as_ref().is_some_and(|record| record.last_asked >= settles_at);
    if attempts == 0 || (inquiry.now >= settles_at && !is_late) {
        let why = format!("nobody reported run {run}");
        inquiry.want(Wanted { question, why, attempt: attempts.saturating_add(1) });
        return Ok(None);
    }
    let says_no = known.as_ref().and_then(|record| record.answers.last()).is_some_and(|answer| {
        answer.reason == Unavailable::NotFound && answer.found == 0 && answer.recorded >= settles_at
    });
    Ok((says_no && !is_uncovered).then(|| Finding::Broken(vec![no_such_run])))
}

/// `build.requireSuccess`: a job of the run that was going at the digest's first push succeeded; the run did, where no job is
/// known to have been going. Jobs go beside each other, and which of them pushed nobody says.
fn check_success(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    source: &SourceContract,
    run: Option<&RunId>,
    record: Option<&RunRecord>,
) -> Option<Finding> {
    let waiting = |what: String| {
        let questions = run
            .map(|run| Question::Run { repository: source.repository.clone(), run: run.clone() })
            .into_iter()
            .collect();
        Some(Finding::Missing(Missing { waiting_for: what, questions, ..Missing::default() }))
    };
    let Some(record) = record else { return waiting("the report of the run's success".to_owned()) };
    let going = first_push(image).map(|push| jobs_at(inquiry, push, record)).unwrap_or_default();
    let pushing_job = going.iter().find(|job| job.conclusion == Conclusion::Success).or(going.first());
    let conclusion = pushing_job.map(|job| &job.conclusion).or(record.conclusion.as_ref());
    match conclusion {
        Some(Conclusion::Success) => None,
        Some(other) => {
            Some(Finding::Broken(vec![a_break(BreakReason::RunFailed, "success", other.as_str())]))
        }
        None => waiting("the end of the run".to_owned()),
    }
}
