//! Runs: started, finished.

use bus_schema::ci::{Conclusion, Run, RunFinished, RunStarted, Trigger};
use bus_schema::{Event, ForgeId, GitRef, RepositoryRef, RunId, WorkflowPath, WorkflowRef};
use github_client::report::Report;

use super::TranslateRefusal;
use crate::github::payload::{ReferencedWorkflow, WorkflowRun};

/// The most called workflows that one run lists: GitHub allows 50 in one file, nested ones included.
pub const CALLED_WORKFLOWS_MAX: usize = 100;

/// A run of `repository`, from a webhook or from the API.
pub fn run(repository: &RepositoryRef, run: &WorkflowRun) -> Result<Run, TranslateRefusal> {
    let host = &repository.host;
    if let Some(stated) = &run.repository {
        let stated = stated.reference(host).map_err(TranslateRefusal::identity("workflow_run.repository"))?;
        if !stated.is_same(repository) {
            return Err(TranslateRefusal::OtherRepository {
                expected: repository.path(),
                found: stated.path(),
            });
        }
    }
    let head_repository = run
        .head_repository
        .as_ref()
        .map(|head| head.reference(host))
        .transpose()
        .map_err(TranslateRefusal::identity("head_repository"))?;
    let actor = run.actor.as_ref().map(|account| account.actor());
    let triggering = run.triggering_actor.as_ref().map(|account| account.actor());
    Ok(Run {
        run: run_id(repository, run.id, run.run_attempt)?,
        repository: repository.clone(),
        workflow: workflow_path(&run.path)?,
        git_ref: certain_ref(&run.event, run.head_branch.as_deref()),
        head_commit: run.head_sha.parse().map_err(TranslateRefusal::identity("head_sha"))?,
        head_repository,
        trigger: Trigger::from(run.event.as_str()),
        triggering_actor: triggering.filter(|who| !actor.as_ref().is_some_and(|actor| actor.is_same(who))),
        actor,
        called_workflows: called_workflows(
            repository,
            run.referenced_workflows.as_deref().unwrap_or_default(),
        ),
        started_at: run.run_started_at.unwrap_or(run.created_at),
    })
}

pub fn started(run: Run) -> Report {
    Report { occurred: run.started_at, event: Event::RunStarted(RunStarted { run }) }
}

pub fn finished(run: Run, payload: &WorkflowRun) -> Result<Report, TranslateRefusal> {
    let conclusion =
        payload.conclusion.as_deref().ok_or(TranslateRefusal::Missing { field: "conclusion" })?;
    let finished_at = payload.updated_at;
    let event = RunFinished { run, conclusion: Conclusion::from(conclusion), finished_at };
    Ok(Report { occurred: finished_at, event: Event::RunFinished(event) })
}

/// The id of an attempt. Bodies without an attempt are from before there were any: the first.
pub fn run_id(repository: &RepositoryRef, id: u64, attempt: Option<u32>) -> Result<RunId, TranslateRefusal> {
    let repository_id: ForgeId =
        repository.id.clone().ok_or(TranslateRefusal::Missing { field: "repository.id" })?;
    match attempt.unwrap_or(1) {
        0 => Err(TranslateRefusal::Missing { field: "run_attempt" }),
        attempt => Ok(RunId { host: repository.host.clone(), repository_id, id, attempt }),
    }
}

/// The file's path without the ref that GitHub sometimes appends.
fn workflow_path(text: &str) -> Result<WorkflowPath, TranslateRefusal> {
    let path = text.split_once('@').map_or(text, |(path, _)| path);
    path.parse().map_err(TranslateRefusal::identity("path"))
}

/// The ref of a run where its trigger leaves no doubt. For most triggers `head_branch` may be a branch or a tag of one
/// name, and for pull requests it is a branch of the head's repository.
fn certain_ref(trigger: &str, head_branch: Option<&str>) -> Option<GitRef> {
    let name = head_branch?;
    match trigger {
        "schedule" | "merge_group" => GitRef::branch(name).ok(),
        "release" => GitRef::tag(name).ok(),
        _ => None,
    }
}

/// The reusable workflows that can be read: the list is for people, a signature names the workflow that counts.
fn called_workflows(repository: &RepositoryRef, referenced: &[ReferencedWorkflow]) -> Vec<WorkflowRef> {
    referenced
        .iter()
        .take(CALLED_WORKFLOWS_MAX)
        .filter_map(|workflow| {
            let location = workflow.path.split_once('@').map_or(workflow.path.as_str(), |(path, _)| path);
            let revision = match &workflow.git_ref {
                Some(git_ref) if git_ref.parse::<GitRef>().is_ok() => git_ref.as_str(),
                _ => workflow.sha.as_str(),
            };
            format!("{}/{location}@{revision}", repository.host).parse().ok()
        })
        .collect()
}
