//! Jobs that ended, and whose machine they ran on.

use bus_schema::ci::{Conclusion, JobFinished, RunnerEnvironment};
use bus_schema::{Event, RepositoryRef, RunId};
use github_client::report::Report;

use super::{TranslateRefusal, run};
use crate::github::payload::WorkflowJob;

/// The most labels that one job lists.
pub const LABELS_MAX: usize = 32;
/// The longest name of a job or label that is kept, in bytes.
pub const NAME_BYTES_MAX: usize = 512;
/// GitHub's own group of runners.
const GITHUB_GROUP: &str = "GitHub Actions";
const SELF_HOSTED_LABEL: &str = "self-hosted";
/// How the labels of GitHub's own images begin.
const GITHUB_LABELS: [&str; 3] = ["ubuntu-", "windows-", "macos-"];

/// A completed job of `repository`, from a webhook.
pub fn finished(repository: &RepositoryRef, job: &WorkflowJob) -> Result<Report, TranslateRefusal> {
    finished_in(repository, job, &run::run_id(repository, job.run_id, job.run_attempt)?)
}

/// A completed job of a known run: older answers leave the attempt out.
pub fn finished_in(
    repository: &RepositoryRef,
    job: &WorkflowJob,
    run: &RunId,
) -> Result<Report, TranslateRefusal> {
    let missing = |field: &'static str| TranslateRefusal::Missing { field };
    let conclusion = job.conclusion.as_deref().ok_or_else(|| missing("conclusion"))?;
    let finished_at = job.completed_at.ok_or_else(|| missing("completed_at"))?;
    let event = JobFinished {
        run: run.clone(),
        repository: repository.clone(),
        job_id: job.id,
        name: cut(&job.name),
        conclusion: Conclusion::from(conclusion),
        runner: runner(job),
        runner_labels: job.labels.iter().take(LABELS_MAX).map(|label| cut(label)).collect(),
        started_at: job.started_at,
        finished_at,
    };
    Ok(Report { occurred: finished_at, event: Event::JobFinished(event) })
}

/// Whose machine it was. Labels are what the job asked for, and anybody's runner may bear any of them, so the group
/// decides where it is named, and what is not surely GitHub's counts as self-hosted. A job that never ran has none.
fn runner(job: &WorkflowJob) -> Option<RunnerEnvironment> {
    let group = job.runner_group_name.as_deref().filter(|group| !group.is_empty());
    if job.labels.iter().any(|label| label.eq_ignore_ascii_case(SELF_HOSTED_LABEL)) {
        return Some(RunnerEnvironment::SelfHosted);
    }
    match group {
        Some(GITHUB_GROUP) => Some(RunnerEnvironment::GithubHosted),
        Some(_) => Some(RunnerEnvironment::SelfHosted),
        None if job.runner_id.unwrap_or(0) == 0 || job.labels.is_empty() => None,
        None if job.labels.iter().all(|label| is_githubs(label)) => Some(RunnerEnvironment::GithubHosted),
        None => Some(RunnerEnvironment::SelfHosted),
    }
}

fn is_githubs(label: &str) -> bool {
    GITHUB_LABELS.iter().any(|beginning| label.starts_with(beginning))
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
