//! What happens at the forge: commits, tags, reviews, merges.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{EventData, Partition};
use crate::{Actor, CommitId, GitRef, OccurrenceKey, RepositoryRef};

/// The most commits that one push event lists (GitHub sends at most 2,048).
pub const PUSH_COMMITS_MAX: usize = 2048;
/// The most changed paths that one commit lists; more sets [`PushedCommit::paths_cut`].
pub const COMMIT_PATHS_MAX: usize = 1000;

/// A branch moved: commits were pushed, or the branch was created, deleted or forced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitPushed {
    /// The repository that was pushed to.
    pub repository: RepositoryRef,
    /// The branch, as a full ref.
    pub git_ref: GitRef,
    /// Where the ref pointed before; absent when it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CommitId>,
    /// Where it points now; absent when it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<CommitId>,
    /// The push dropped commits that the ref had before.
    pub forced: bool,
    /// Who pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pusher: Option<Actor>,
    /// The commits of the range before..after, oldest first.
    #[serde(default)]
    pub commits: Vec<PushedCommit>,
    /// The forge listed fewer commits than were pushed.
    #[serde(default)]
    pub commits_cut: bool,
    /// The time that the body states for the push.
    pub pushed_at: Timestamp,
    /// The agent looked the push up by API: it knows parents and signatures, which no webhook tells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looked_up: bool,
}

/// One commit of a pushed range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushedCommit {
    /// The commit.
    pub id: CommitId,
    /// Who wrote it, as the commit says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Actor>,
    /// Who committed it, as the commit says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<Actor>,
    /// Parents in order, where the source tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<CommitId>,
    /// Whether the forge verified the commit's signature, where the source tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_verified: Option<bool>,
    /// Added, changed and removed paths; absent when unknown, which judging reads as "touches everything".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// The list of paths is longer than what is given here.
    #[serde(default)]
    pub paths_cut: bool,
}

impl EventData for CommitPushed {
    fn occurrence(&self) -> OccurrenceKey {
        let fields = [
            "push",
            &repository_key(&self.repository),
            self.git_ref.as_str(),
            commit_text(&self.before),
            commit_text(&self.after),
            &self.pushed_at.to_string(),
        ];
        // What a look-up adds to the webhook of the same push is a fuller fact, not a repeat.
        OccurrenceKey::of(fields.into_iter().chain(self.looked_up.then_some("looked-up")))
    }

    fn subject(&self) -> String {
        format!("{}@{}", self.repository, self.git_ref)
    }

    fn partition(&self) -> Partition {
        Partition::forge(&self.repository)
    }
}

/// A git tag was created, moved or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceTagMoved {
    /// The repository of the tag.
    pub repository: RepositoryRef,
    /// `refs/tags/…`
    pub git_ref: GitRef,
    /// The object that the tag named before; absent when it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CommitId>,
    /// The object that it names now (a tag object for an annotated tag); absent when it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<CommitId>,
    /// The commit that the tag leads to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// Who moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pusher: Option<Actor>,
    /// The time that the body states for the push.
    pub pushed_at: Timestamp,
}

impl EventData for SourceTagMoved {
    fn occurrence(&self) -> OccurrenceKey {
        OccurrenceKey::of([
            "push",
            &repository_key(&self.repository),
            self.git_ref.as_str(),
            commit_text(&self.before),
            commit_text(&self.after),
            &self.pushed_at.to_string(),
        ])
    }

    fn subject(&self) -> String {
        format!("{}@{}", self.repository, self.git_ref)
    }

    fn partition(&self) -> Partition {
        Partition::forge(&self.repository)
    }
}

open_enum! {
    /// The state of one review.
    pub enum ReviewState {
        Approved = "approved",
        ChangesRequested = "changes_requested",
        Commented = "commented",
        Dismissed = "dismissed",
        Pending = "pending",
    }
}

open_enum! {
    /// A person's permission on a repository. Approvals count from `write` upwards.
    pub enum Permission {
        None = "none",
        Read = "read",
        Triage = "triage",
        Write = "write",
        Maintain = "maintain",
        Admin = "admin",
    }
}

impl Permission {
    /// Whether a person with it may write; an unknown word may not.
    pub fn may_write(&self) -> bool {
        matches!(self, Permission::Write | Permission::Maintain | Permission::Admin)
    }
}

/// Somebody reviewed a change (a pull or merge request).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeReviewed {
    /// The repository of the change.
    pub repository: RepositoryRef,
    /// The change's number.
    pub number: u64,
    /// The forge's id of the review.
    pub review_id: u64,
    /// Who reviewed.
    pub reviewer: Actor,
    /// Absent when the agent could not look it up; then the review counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<Permission>,
    /// What the review says.
    pub state: ReviewState,
    /// The head that was reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<CommitId>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
}

impl EventData for ChangeReviewed {
    fn occurrence(&self) -> OccurrenceKey {
        OccurrenceKey::of([
            "review",
            &repository_key(&self.repository),
            &self.number.to_string(),
            &self.review_id.to_string(),
            self.state.as_str(),
            // The same review said again with the permission looked up is a fuller fact, not a repeat.
            self.permission.as_ref().map_or("", Permission::as_str),
        ])
    }

    fn subject(&self) -> String {
        format!("{}#{}", self.repository, self.number)
    }

    fn partition(&self) -> Partition {
        Partition::forge(&self.repository)
    }
}

/// A change was merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeMerged {
    /// The repository that it was merged into.
    pub repository: RepositoryRef,
    /// The change's number.
    pub number: u64,
    /// The commit that the merge made on the base (the last one, for a rebase merge).
    pub merge_commit: CommitId,
    /// The head of the change when it was merged.
    pub head: CommitId,
    /// The repository that the head came from, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_repository: Option<RepositoryRef>,
    /// The branch that it was merged into, as a full ref.
    pub base: GitRef,
    /// Who opened the change.
    pub author: Actor,
    /// Sender of the last push to the change, where known; else the head's committer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pusher: Option<Actor>,
    /// Who merged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_by: Option<Actor>,
    /// How many commits the change had: a pushed range that holds more was not all part of it.
    pub commit_count: u32,
    /// The change's own commits, where the forge listed all of them: what else was pushed with its merge is none of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<CommitId>,
    /// Heads of the change that were followed only by merges of the base, so that a review of one counts for the final head.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub equivalent_heads: Vec<CommitId>,
    /// The merge bypassed the rules of the branch, where the forge tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bypassed_rules: Option<bool>,
    /// When it was merged.
    pub merged_at: Timestamp,
    /// The agent looked the change up by API, so that the last pusher, the reviews' permissions and the equivalent heads
    /// are what the forge knows.
    #[serde(default)]
    pub looked_up: bool,
}

impl EventData for ChangeMerged {
    fn occurrence(&self) -> OccurrenceKey {
        OccurrenceKey::of([
            "change",
            &repository_key(&self.repository),
            &self.number.to_string(),
            self.merge_commit.as_str(),
            // What a look-up adds to the webhook of the same merge is a fuller fact, not a repeat.
            if self.looked_up { "looked-up" } else { "" },
        ])
    }

    fn subject(&self) -> String {
        format!("{}#{}", self.repository, self.number)
    }

    fn partition(&self) -> Partition {
        Partition::forge(&self.repository)
    }
}

/// A pushed commit changes a workflow file or a local action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowChanged {
    /// The repository that was pushed to.
    pub repository: RepositoryRef,
    /// The ref that was pushed.
    pub git_ref: GitRef,
    /// The commit that changes the files.
    pub commit: CommitId,
    /// The changed workflow files and files of local actions, as many as one event holds; empty where the commit changes more
    /// files than the forge lists, and some of those may be.
    pub paths: Vec<String>,
    /// Who wrote the commit, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Actor>,
    /// Who pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pusher: Option<Actor>,
    /// The time that the body states for the push.
    pub pushed_at: Timestamp,
}

impl EventData for WorkflowChanged {
    fn occurrence(&self) -> OccurrenceKey {
        OccurrenceKey::of([
            "workflow",
            &repository_key(&self.repository),
            self.git_ref.as_str(),
            self.commit.as_str(),
            &self.pushed_at.to_string(),
        ])
    }

    fn subject(&self) -> String {
        format!("{}@{}", self.repository, self.commit)
    }

    fn partition(&self) -> Partition {
        Partition::forge(&self.repository)
    }
}

/// The forge's id of the repository, or its path where no id is known.
pub(crate) fn repository_key(repository: &RepositoryRef) -> String {
    match &repository.id {
        Some(id) => format!("{}:{id}", repository.host),
        None => repository.path().to_ascii_lowercase(),
    }
}

fn commit_text(commit: &Option<CommitId>) -> &str {
    commit.as_ref().map_or("-", CommitId::as_str)
}
