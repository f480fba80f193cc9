//! What `workflow_run` and `workflow_job` bodies and the answers of the REST API look like: only the fields in use.
//! Names are GitHub's ("Webhook events and payloads", "REST API endpoints for GitHub Actions").

use github_client::payload::{Account, Repository};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A `workflow_run`.
#[derive(Debug, Deserialize)]
pub struct WorkflowRunEvent {
    pub action: String,
    pub workflow_run: WorkflowRun,
    pub repository: Repository,
}

/// A run, in webhooks and in answers.
#[derive(Debug, Deserialize)]
pub struct WorkflowRun {
    pub id: u64,
    #[serde(default)]
    pub run_attempt: Option<u32>,
    /// The workflow's file, in answers sometimes with `@` and the ref.
    pub path: String,
    #[serde(default)]
    pub head_branch: Option<String>,
    pub head_sha: String,
    /// What started it.
    pub event: String,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub conclusion: Option<String>,
    #[serde(default)]
    pub actor: Option<Account>,
    #[serde(default)]
    pub triggering_actor: Option<Account>,
    #[serde(default)]
    pub run_started_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Null when the fork is gone.
    #[serde(default)]
    pub head_repository: Option<Repository>,
    /// The repository of the run; webhooks name it beside the run too.
    #[serde(default)]
    pub repository: Option<Repository>,
    #[serde(default)]
    pub referenced_workflows: Option<Vec<ReferencedWorkflow>>,
}

/// A reusable workflow that a run called.
#[derive(Debug, Deserialize)]
pub struct ReferencedWorkflow {
    /// `owner/repository/path@ref`.
    pub path: String,
    pub sha: String,
    #[serde(default, rename = "ref")]
    pub git_ref: Option<String>,
}

/// A `workflow_job`.
#[derive(Debug, Deserialize)]
pub struct WorkflowJobEvent {
    pub action: String,
    pub workflow_job: WorkflowJob,
    pub repository: Repository,
}

/// A job, in webhooks and in answers.
#[derive(Debug, Deserialize)]
pub struct WorkflowJob {
    pub id: u64,
    pub run_id: u64,
    #[serde(default)]
    pub run_attempt: Option<u32>,
    pub name: String,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub conclusion: Option<String>,
    pub started_at: Timestamp,
    #[serde(default)]
    pub completed_at: Option<Timestamp>,
    /// What the job's `runs-on` asks for. GitHub's description lets a label be null, which asks for nothing.
    #[serde(default, deserialize_with = "labels")]
    pub labels: Vec<String>,
    #[serde(default)]
    pub runner_id: Option<u64>,
    #[serde(default)]
    pub runner_group_name: Option<String>,
}

fn labels<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let labels = Vec::<Option<String>>::deserialize(deserializer)?;
    Ok(labels.into_iter().flatten().collect())
}

/// A page of `GET /repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs`.
#[derive(Debug, Deserialize)]
pub struct Jobs {
    pub jobs: Vec<WorkflowJob>,
}

/// A page of `GET /repos/{owner}/{repo}/attestations/{subject_digest}`.
#[derive(Debug, Deserialize)]
pub struct Attestations {
    #[serde(default)]
    pub attestations: Vec<Attestation>,
}

#[derive(Debug, Deserialize)]
pub struct Attestation {
    /// The Sigstore bundle, byte for byte as the forge sent it.
    #[serde(default)]
    pub bundle: Option<Box<RawValue>>,
    /// Where the bundle is when it is not here: an address on another host, which is not fetched.
    #[serde(default)]
    pub bundle_url: Option<String>,
}

/// The one field of a bundle that names what it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleHead {
    #[serde(default)]
    pub media_type: Option<String>,
}
