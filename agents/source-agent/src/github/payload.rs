//! What `push`, `pull_request` and `pull_request_review` bodies and the answers of the REST API look like: only the
//! fields in use. Names are GitHub's ("Webhook events and payloads", "REST API").

use github_client::payload::{Account, GitPerson, Repository};
use github_client::time::ForgeTime;
use jiff::Timestamp;
use serde::Deserialize;

/// A `push`: a branch or tag was created, moved or deleted.
#[derive(Debug, Deserialize)]
pub struct Push {
    #[serde(rename = "ref")]
    pub git_ref: String,
    pub before: String,
    pub after: String,
    #[serde(default)]
    pub created: bool,
    #[serde(default)]
    pub deleted: bool,
    #[serde(default)]
    pub forced: bool,
    #[serde(default)]
    pub commits: Vec<PushedCommit>,
    #[serde(default)]
    pub head_commit: Option<PushedCommit>,
    pub repository: Repository,
    #[serde(default)]
    pub pusher: Option<GitPerson>,
    #[serde(default)]
    pub sender: Option<Account>,
}

#[derive(Debug, Deserialize)]
pub struct PushedCommit {
    pub id: String,
    #[serde(default)]
    pub timestamp: Option<ForgeTime>,
    #[serde(default)]
    pub author: Option<GitPerson>,
    #[serde(default)]
    pub committer: Option<GitPerson>,
    #[serde(default)]
    pub added: Option<Vec<String>>,
    #[serde(default)]
    pub modified: Option<Vec<String>>,
    #[serde(default)]
    pub removed: Option<Vec<String>>,
}

/// A `pull_request`.
#[derive(Debug, Deserialize)]
pub struct PullRequestEvent {
    pub action: String,
    pub pull_request: PullRequest,
    pub repository: Repository,
}

/// A pull request, in webhooks and in answers.
#[derive(Debug, Clone, Deserialize)]
pub struct PullRequest {
    pub number: u64,
    /// Lists leave it out; a merge time says the same.
    #[serde(default)]
    pub merged: Option<bool>,
    #[serde(default)]
    pub merged_at: Option<Timestamp>,
    #[serde(default)]
    pub merge_commit_sha: Option<String>,
    pub head: PullEnd,
    pub base: PullEnd,
    #[serde(default)]
    pub user: Option<Account>,
    #[serde(default)]
    pub merged_by: Option<Account>,
    /// How many commits it has; lists leave it out.
    #[serde(default)]
    pub commits: Option<u32>,
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
}

/// Head or base of a pull request.
#[derive(Debug, Clone, Deserialize)]
pub struct PullEnd {
    #[serde(rename = "ref")]
    pub branch: String,
    pub sha: String,
    /// Null when the fork is gone.
    #[serde(default)]
    pub repo: Option<Repository>,
}

/// A `pull_request_review`.
#[derive(Debug, Deserialize)]
pub struct ReviewEvent {
    pub action: String,
    pub review: Review,
    pub pull_request: PullRequestName,
    pub repository: Repository,
}

/// The pull request inside a review event.
#[derive(Debug, Deserialize)]
pub struct PullRequestName {
    pub number: u64,
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
}

/// A review, in webhooks (states in lower case) and in answers (upper case).
#[derive(Debug, Clone, Deserialize)]
pub struct Review {
    pub id: u64,
    #[serde(default)]
    pub user: Option<Account>,
    pub state: String,
    #[serde(default)]
    pub commit_id: Option<String>,
    #[serde(default)]
    pub submitted_at: Option<Timestamp>,
}

/// A commit in answers (`GET /repos/{owner}/{repo}/commits/{ref}`, comparisons, a pull request's commits).
#[derive(Debug, Clone, Deserialize)]
pub struct Commit {
    pub sha: String,
    pub commit: GitCommit,
    /// The account that the forge matched, not what git says.
    #[serde(default, deserialize_with = "account_or_nothing")]
    pub author: Option<Account>,
    #[serde(default, deserialize_with = "account_or_nothing")]
    pub committer: Option<Account>,
    #[serde(default)]
    pub parents: Vec<CommitLink>,
    /// The changes against the first parent; only in the answer for one commit.
    #[serde(default)]
    pub files: Option<Vec<ChangedFile>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct GitCommit {
    #[serde(default)]
    pub author: Option<GitPerson>,
    #[serde(default)]
    pub committer: Option<GitPerson>,
    #[serde(default)]
    pub verification: Option<Verification>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Verification {
    pub verified: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct CommitLink {
    pub sha: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ChangedFile {
    pub filename: String,
    /// The blob, of the commit that is compared; null where the forge names none.
    #[serde(default)]
    pub sha: Option<String>,
    /// `added`, `modified`, `removed`, `renamed`, `copied`, `changed` or `unchanged`.
    #[serde(default)]
    pub status: Option<String>,
    /// Where it was before a rename: that path changed too.
    #[serde(default)]
    pub previous_filename: Option<String>,
}

/// `GET /repos/{owner}/{repo}/compare/{base}...{head}`.
#[derive(Debug, Deserialize)]
pub struct Comparison {
    /// `ahead`, `behind`, `identical` or `diverged`: where the head is, seen from the base.
    pub status: String,
    pub total_commits: u64,
    #[serde(default)]
    pub commits: Vec<Commit>,
    /// What the head has beyond the newest commit that both reach; only on the first page, and cut there.
    #[serde(default)]
    pub files: Option<Vec<ChangedFile>>,
}

/// `GET /repos/{owner}/{repo}/git/ref/{ref}`.
#[derive(Debug, Deserialize)]
pub struct GitReference {
    #[serde(rename = "ref")]
    pub name: String,
    pub object: GitObject,
}

/// `GET /repos/{owner}/{repo}/git/tags/{sha}`.
#[derive(Debug, Deserialize)]
pub struct TagObject {
    pub object: GitObject,
}

#[derive(Debug, Deserialize)]
pub struct GitObject {
    pub sha: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// `GET /repos/{owner}/{repo}/collaborators/{username}/permission`.
#[derive(Debug, Deserialize)]
pub struct CollaboratorPermission {
    /// `admin`, `write`, `read` or `none`: roles in between show as the next lower one.
    pub permission: String,
    #[serde(default)]
    pub role_name: Option<String>,
}

/// One entry of `GET /repos/{owner}/{repo}/activity`: a push as the forge recorded it.
#[derive(Debug, Clone, Deserialize)]
pub struct Activity {
    pub before: String,
    pub after: String,
    #[serde(rename = "ref")]
    pub git_ref: String,
    pub timestamp: Timestamp,
    pub activity_type: String,
    #[serde(default)]
    pub actor: Option<Account>,
}

/// Where no account matches, GitHub writes null, or an empty object.
fn account_or_nothing<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Account>, D::Error> {
    #[derive(Deserialize)]
    struct Perhaps {
        login: Option<String>,
        id: Option<u64>,
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    let perhaps = Option::<Perhaps>::deserialize(deserializer)?;
    Ok(perhaps.and_then(|Perhaps { login, id, kind }| Some(Account { login: login?, id, kind })))
}
