//! Commits, pushes, changes and reviews of a source repository, under its path in lower case.
//!
//! Names can be registered again, so every record carries the forge's ids, and judging compares them.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::source::{Permission, ReviewState};
use bus_schema::{Actor, CommitId, GitRef, RepositoryRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::records;
use crate::state::Ground;

/// One push to a branch or tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRecord {
    pub repository: RepositoryRef,
    pub git_ref: GitRef,
    pub before: Option<CommitId>,
    pub after: Option<CommitId>,
    pub forced: bool,
    pub pusher: Option<Actor>,
    /// Oldest first.
    pub commits: Vec<CommitRecord>,
    pub commits_cut: bool,
    pub pushed_at: Timestamp,
    pub recorded: Timestamp,
    pub ground: Ground,
}

/// One commit of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    pub id: CommitId,
    pub committer: Option<Actor>,
    pub parents: Vec<CommitId>,
    pub signature_verified: Option<bool>,
    /// `None`: unknown, which counts as touching everything.
    pub paths: Option<Vec<String>>,
}

/// A change (a pull or merge request): what is known of its merge and of its reviews.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Merges as they were reported, the looked-up report last. One change merges once; two reports may differ in detail.
    pub merges: Vec<Merge>,
    /// By review id; several reports of one review are all kept, by their time and state.
    pub reviews: BTreeMap<u64, Vec<Review>>,
    pub ground: Vec<Ground>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Merge {
    /// Reports with a look-up sort after those without.
    pub looked_up: bool,
    pub merge_commit: CommitId,
    pub head: CommitId,
    pub base: GitRef,
    pub author: Actor,
    pub last_pusher: Option<Actor>,
    pub commit_count: u32,
    pub equivalent_heads: Vec<CommitId>,
    pub bypassed_rules: Option<bool>,
    pub merged_at: Timestamp,
    pub repository: RepositoryRef,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Review {
    pub submitted_at: Timestamp,
    /// Reports with the permission sort after those without.
    pub permission: Option<Permission>,
    pub reviewer: Actor,
    pub state: ReviewState,
    pub head: Option<CommitId>,
}

/// Which workflow files a commit changed, on which refs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowChangeRecord {
    pub repository: Option<RepositoryRef>,
    pub refs: BTreeSet<GitRef>,
    pub paths: BTreeSet<String>,
    pub author: Option<Actor>,
    pub first_recorded: Option<Timestamp>,
    pub pushed_at: Option<Timestamp>,
    pub ground: Vec<Ground>,
}

/// The path of the repository, as a key.
pub fn repository_key(repository: &RepositoryRef) -> String {
    repository.path().to_ascii_lowercase()
}

/// Pushes to one ref sort by their time.
pub fn push_key(
    repository: &RepositoryRef,
    git_ref: &GitRef,
    at: Timestamp,
    after: Option<&CommitId>,
) -> String {
    let after = after.map_or("-", CommitId::as_str);
    records::key(["push", &repository_key(repository), git_ref.as_str(), &sortable(at), after])
}

pub fn pushes_prefix(repository: &RepositoryRef, git_ref: &GitRef) -> String {
    records::prefix(["push", &repository_key(repository), git_ref.as_str()])
}

/// All pushes of a repository.
pub fn all_pushes_prefix(repository: &RepositoryRef) -> String {
    records::prefix(["push", &repository_key(repository)])
}

/// From a commit to the pushes that brought it.
pub fn commit_push_key(repository: &RepositoryRef, commit: &CommitId, push_key: &str) -> String {
    let digest = bus_schema::Digest::sha256_of(push_key.as_bytes()).short();
    records::key(["commit-push", &repository_key(repository), commit.as_str(), &digest])
}

pub fn commit_pushes_prefix(repository: &RepositoryRef, commit: &CommitId) -> String {
    records::prefix(["commit-push", &repository_key(repository), commit.as_str()])
}

pub fn change_key(repository: &RepositoryRef, number: u64) -> String {
    records::key(["change", &repository_key(repository), &number.to_string()])
}

/// From a merge commit to its change.
pub fn merge_key(repository: &RepositoryRef, merge_commit: &CommitId, number: u64) -> String {
    records::key(["merge", &repository_key(repository), merge_commit.as_str(), &number.to_string()])
}

pub fn merges_prefix(repository: &RepositoryRef, merge_commit: &CommitId) -> String {
    records::prefix(["merge", &repository_key(repository), merge_commit.as_str()])
}

/// The merges into a branch by their time: from a merge to its change.
pub fn merged_at_key(
    repository: &RepositoryRef,
    base: &GitRef,
    at: Timestamp,
    merge_commit: &CommitId,
    number: u64,
) -> String {
    let number = number.to_string();
    let merge_commit = merge_commit.as_str();
    format!("{}{}", merged_at_prefix(repository, base), records::key([&sortable(at), merge_commit, &number]))
}

pub fn merged_at_prefix(repository: &RepositoryRef, base: &GitRef) -> String {
    records::prefix(["merged-at", &repository_key(repository), base.as_str()])
}

pub fn workflow_key(repository: &RepositoryRef, commit: &CommitId) -> String {
    records::key(["workflow", &repository_key(repository), commit.as_str()])
}

/// A time as text that sorts like the time.
pub fn sortable(time: Timestamp) -> String {
    // Shifted so that no sign is needed; 20 digits hold every timestamp in microseconds.
    let micros = i128::from(time.as_microsecond()) - i128::from(Timestamp::MIN.as_microsecond());
    format!("{micros:020}")
}
