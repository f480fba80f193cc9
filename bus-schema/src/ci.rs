//! What happens in CI: runs and their jobs.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{EventData, Partition};
use crate::{Actor, CommitId, GitRef, OccurrenceKey, RepositoryRef, RunId, WorkflowPath, WorkflowRef};

open_enum! {
    /// What started a run, in the forge's words.
    pub enum Trigger {
        Push = "push",
        WorkflowDispatch = "workflow_dispatch",
        RepositoryDispatch = "repository_dispatch",
        Schedule = "schedule",
        Release = "release",
        Create = "create",
        PullRequest = "pull_request",
        PullRequestTarget = "pull_request_target",
        WorkflowRun = "workflow_run",
        WorkflowCall = "workflow_call",
        MergeGroup = "merge_group",
        IssueComment = "issue_comment",
        Dynamic = "dynamic",
    }
}

open_enum! {
    /// How a run or job ended.
    pub enum Conclusion {
        Success = "success",
        Failure = "failure",
        Cancelled = "cancelled",
        Skipped = "skipped",
        Neutral = "neutral",
        TimedOut = "timed_out",
        ActionRequired = "action_required",
        StartupFailure = "startup_failure",
        Stale = "stale",
    }
}

open_enum! {
    /// Whose machine a job ran on. Fulcio's extension .11 uses the same words.
    pub enum RunnerEnvironment {
        GithubHosted = "github-hosted",
        SelfHosted = "self-hosted",
    }
}

/// One attempt of a run as the forge reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The attempt's identity.
    pub run: RunId,
    /// The repository whose workflow runs.
    pub repository: RepositoryRef,
    /// The file that defines the run.
    pub workflow: WorkflowPath,
    /// The branch or tag that the run is for, where the forge names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<GitRef>,
    /// The commit that the run is for.
    pub head_commit: CommitId,
    /// The repository that the head commit comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_repository: Option<RepositoryRef>,
    /// What started the run.
    pub trigger: Trigger,
    /// Who started the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Who started this attempt, when it is not who started the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggering_actor: Option<Actor>,
    /// Reusable workflows that the run called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub called_workflows: Vec<WorkflowRef>,
    /// When this attempt started.
    pub started_at: Timestamp,
}

impl Run {
    /// Whether the head comes from another repository; `None` when the forge did not say.
    pub fn from_fork(&self) -> Option<bool> {
        self.head_repository.as_ref().map(|head| !head.is_same(&self.repository))
    }
}

/// A run started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStarted {
    /// The run.
    pub run: Run,
}

impl EventData for RunStarted {
    fn occurrence(&self) -> OccurrenceKey {
        run_occurrence(&self.run.run, "-", "started")
    }

    fn subject(&self) -> String {
        self.run.run.to_string()
    }

    fn partition(&self) -> Partition {
        Partition::forge(&self.run.repository)
    }
}

/// A run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunFinished {
    /// The run.
    pub run: Run,
    /// How it ended.
    pub conclusion: Conclusion,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl EventData for RunFinished {
    fn occurrence(&self) -> OccurrenceKey {
        run_occurrence(&self.run.run, "-", end_state(&self.conclusion))
    }

    fn subject(&self) -> String {
        self.run.run.to_string()
    }

    fn partition(&self) -> Partition {
        Partition::forge(&self.run.repository)
    }
}

/// A job of a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobFinished {
    /// The attempt that the job belongs to.
    pub run: RunId,
    /// The repository whose workflow runs.
    pub repository: RepositoryRef,
    /// The forge's id of the job.
    pub job_id: u64,
    /// The job's name, for people.
    pub name: String,
    /// How it ended.
    pub conclusion: Conclusion,
    /// Whose machine it ran on, where the forge tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<RunnerEnvironment>,
    /// The labels that the job asked its runner for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runner_labels: Vec<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl EventData for JobFinished {
    fn occurrence(&self) -> OccurrenceKey {
        run_occurrence(&self.run, &self.job_id.to_string(), end_state(&self.conclusion))
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.run, self.job_id)
    }

    fn partition(&self) -> Partition {
        Partition::forge(&self.repository)
    }
}

/// An attempt that is held for an approval ends once more after it: that it is held is a state of its own.
fn end_state(conclusion: &Conclusion) -> &str {
    match conclusion {
        Conclusion::ActionRequired => conclusion.as_str(),
        _ => "finished",
    }
}

fn run_occurrence(run: &RunId, job: &str, state: &str) -> OccurrenceKey {
    OccurrenceKey::of([
        "run",
        run.host.as_str(),
        run.repository_id.as_str(),
        &run.id.to_string(),
        &run.attempt.to_string(),
        job,
        state,
    ])
}
