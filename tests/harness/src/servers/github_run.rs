//! One run of a GitHub workflow, and what it may claim about itself.
//!
//! In: the facts of a run. Out: the claims of the run's identity token, and the identity that a certificate authority makes
//! of them. One value for both ways of signing, so that a story can be told with either.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The issuer of GitHub's own identity tokens.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// The facts of a workflow run. The default is the release of `acme/payments-api` from `main` on GitHub's runners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GithubRun {
    /// The forge, without a slash at its end.
    pub forge_url: String,
    pub owner: String,
    pub owner_id: u64,
    pub repository: String,
    pub repository_id: u64,
    /// Path of the workflow that the trigger started.
    pub workflow_path: String,
    /// The job's workflow with its reference, when it is a reusable one: `owner/name/path@ref`; absent: the workflow itself.
    pub called_workflow: Option<String>,
    /// The commit of the called workflow; absent: the run's own.
    pub called_workflow_sha: Option<String>,
    pub git_ref: String,
    pub sha: String,
    pub event: String,
    pub run_id: u64,
    pub run_attempt: u32,
    pub runner_environment: String,
    pub visibility: String,
    pub actor: String,
}

impl Default for GithubRun {
    fn default() -> Self {
        Self {
            forge_url: "https://github.com".to_owned(),
            owner: "acme".to_owned(),
            owner_id: 9_000_001,
            repository: "payments-api".to_owned(),
            repository_id: 700_000_001,
            workflow_path: ".github/workflows/release.yml".to_owned(),
            called_workflow: None,
            called_workflow_sha: None,
            git_ref: "refs/heads/main".to_owned(),
            sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            event: "push".to_owned(),
            run_id: 5_000_000_001,
            run_attempt: 1,
            runner_environment: "github-hosted".to_owned(),
            visibility: "private".to_owned(),
            actor: "ci-bot".to_owned(),
        }
    }
}

impl GithubRun {
    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.repository)
    }

    /// The workflow that the trigger started: `owner/name/path@ref`.
    pub fn workflow_ref(&self) -> String {
        format!("{}/{}@{}", self.full_name(), self.workflow_path, self.git_ref)
    }

    /// The workflow whose job signs: the called one where there is one.
    pub fn job_workflow_ref(&self) -> String {
        self.called_workflow.clone().unwrap_or_else(|| self.workflow_ref())
    }

    /// The subject alternative name of the run's certificate.
    pub fn certificate_subject(&self) -> String {
        format!("{}/{}", self.forge_url, self.job_workflow_ref())
    }

    /// The run's address.
    pub fn invocation_url(&self) -> String {
        format!(
            "{}/{}/actions/runs/{}/attempts/{}",
            self.forge_url,
            self.full_name(),
            self.run_id,
            self.run_attempt
        )
    }

    fn job_workflow_sha(&self) -> &str {
        self.called_workflow_sha.as_deref().unwrap_or(&self.sha)
    }

    /// The claims of the run's identity token, but for issuer, audience and times.
    pub fn token_claims(&self) -> Value {
        json!({
            "sub": format!("repo:{}:ref:{}", self.full_name(), self.git_ref),
            "repository": self.full_name(),
            "repository_id": self.repository_id.to_string(),
            "repository_owner": self.owner,
            "repository_owner_id": self.owner_id.to_string(),
            "repository_visibility": self.visibility,
            "workflow": self.workflow_path,
            "workflow_ref": self.workflow_ref(),
            "workflow_sha": self.sha,
            "job_workflow_ref": self.job_workflow_ref(),
            "job_workflow_sha": self.job_workflow_sha(),
            "ref": self.git_ref,
            "ref_type": if self.git_ref.starts_with("refs/tags/") { "tag" } else { "branch" },
            "sha": self.sha,
            "event_name": self.event,
            "run_id": self.run_id.to_string(),
            "run_number": "1",
            "run_attempt": self.run_attempt.to_string(),
            "runner_environment": self.runner_environment,
            "actor": self.actor,
        })
    }

    /// The certificate's extensions by their number below 1.3.6.1.4.1.57264.1, but for the issuer's (1 and 8).
    pub fn certificate_extensions(&self) -> BTreeMap<u8, String> {
        let forge = &self.forge_url;
        BTreeMap::from([
            (2, self.event.clone()),
            (3, self.sha.clone()),
            (4, self.workflow_path.clone()),
            (5, self.full_name()),
            (6, self.git_ref.clone()),
            (9, self.certificate_subject()),
            (10, self.job_workflow_sha().to_owned()),
            (11, self.runner_environment.clone()),
            (12, format!("{forge}/{}", self.full_name())),
            (13, self.sha.clone()),
            (14, self.git_ref.clone()),
            (15, self.repository_id.to_string()),
            (16, format!("{forge}/{}", self.owner)),
            (17, self.owner_id.to_string()),
            (18, format!("{forge}/{}", self.workflow_ref())),
            (19, self.sha.clone()),
            (20, self.event.clone()),
            (21, self.invocation_url()),
            (22, self.visibility.clone()),
        ])
    }
}
