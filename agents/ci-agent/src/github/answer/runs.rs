//! One attempt of a run, with its jobs.

use bus_schema::{RepositoryRef, RunId};
use github_client::answering::{AnswerEvents, LookUpEnd, Stop};
use github_client::api::{ApiClient, ApiFailure, Listing, Route};

use crate::github::payload::{Jobs, WorkflowJob, WorkflowRun};
use crate::github::translate::{TranslateRefusal, job, run};

/// The most jobs of one run that are read (a matrix makes at most 256, a run may hold several).
const JOBS_MAX: usize = 1000;

pub(super) async fn look_up(
    api: &ApiClient,
    repository: &RepositoryRef,
    asked: &RunId,
    events: &mut AnswerEvents<'_>,
) -> Result<LookUpEnd, Stop> {
    if repository.host != asked.host || repository.id.as_ref() != Some(&asked.repository_id) {
        return Ok(LookUpEnd::complete(format!("the run {asked} is not of {}", repository.path())));
    }
    let (id, attempt) = (asked.id.to_string(), asked.attempt.to_string());
    let route = |rest: &[&str]| {
        let path = ["actions", "runs", &id, "attempts", &attempt].into_iter().chain(rest.iter().copied());
        Route::repository(&repository.owner, &repository.name, path)
    };
    let found: WorkflowRun = match api.get(&route(&[])).await {
        Ok(found) => found,
        Err(ApiFailure::NotFound) => return Ok(LookUpEnd::complete("unknown run")),
        Err(failure) => return Err(LookUpEnd::failed("the run", &failure).into()),
    };
    let described = run::run(repository, &found).map_err(unreadable)?;
    if described.run != *asked {
        return Err(LookUpEnd::unreadable(&OtherRun).into());
    }
    let jobs = jobs(api, &route(&["jobs"])).await?;

    let mut reports = vec![run::started(described.clone())];
    if found.status.as_deref() == Some("completed") {
        reports.push(run::finished(described, &found).map_err(unreadable)?);
    }
    for found in jobs.entries.iter().filter(|job| job.completed_at.is_some() && job.conclusion.is_some()) {
        if found.run_id != asked.id || found.run_attempt.unwrap_or(asked.attempt) != asked.attempt {
            return Err(LookUpEnd::unreadable(&OtherRun).into());
        }
        reports.push(job::finished_in(repository, found, asked).map_err(unreadable)?);
    }
    for report in reports {
        events.publish(report).await?;
    }
    match jobs.cut {
        true => Ok(LookUpEnd::cut_off(format!("more than {JOBS_MAX} jobs"))),
        false => Ok(LookUpEnd::complete("the run and its ended jobs")),
    }
}

async fn jobs(api: &ApiClient, route: &Route) -> Result<Listing<WorkflowJob>, LookUpEnd> {
    api.list_within(&route.clone().in_full_pages(), JOBS_MAX, |page: Jobs| page.jobs)
        .await
        .map_err(|failure| LookUpEnd::failed("the run's jobs", &failure))
}

fn unreadable(refusal: TranslateRefusal) -> LookUpEnd {
    LookUpEnd::unreadable(&refusal)
}

#[derive(Debug, thiserror::Error)]
#[error("the forge answers with another run than the one asked for")]
struct OtherRun;
