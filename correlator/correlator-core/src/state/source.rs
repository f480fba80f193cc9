//! Commits, pushes, changes and reviews of a source repository, under one key whatever it is called.
//!
//! Repositories are renamed and transferred: what has an id at its forge keeps the key under which it was heard of first.
//! Names can be registered again, so every record carries the forge's ids, and judging compares them.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::source::{Permission, ReviewState};
use bus_schema::{Actor, CommitId, GitRef, RepositoryRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::records::{self, Draft, RecordsError, Table};
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
    /// Its own commits, where all of them are known.
    pub commits: Vec<CommitId>,
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

/// Under which key the state of a source repository lies: the path, in lower case, at which its id was heard of first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceKey(String);

impl SourceKey {
    /// The key of a repository: by its id where it has one, else by who was heard of last at its path.
    pub fn of(draft: &Draft<'_>, repository: &RepositoryRef) -> Result<SourceKey, RecordsError> {
        let path = path_key(repository);
        let (Some(known_as), Some(id)) = (known_as_key(repository), &repository.id) else {
            let at_path: Option<String> = draft.get(Table::Source, &known_at_key(&path))?;
            return Ok(SourceKey(at_path.unwrap_or(path)));
        };
        if let Some(key) = draft.get::<String>(Table::Source, &known_as)? {
            return Ok(SourceKey(key));
        }
        // No path has such a sign in it.
        Ok(match draft.get::<String>(Table::Source, &held_by_key(&path))? {
            Some(holder) if holder != id.as_str() => SourceKey(format!("{path}#{id}")),
            _ => SourceKey(path),
        })
    }

    /// Its key where nothing is known of it: its path.
    pub(crate) fn of_path(repository: &RepositoryRef) -> SourceKey {
        SourceKey(path_key(repository))
    }

    /// A key as the state holds it.
    pub(crate) fn from_known(key: String) -> SourceKey {
        SourceKey(key)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The path of the repository, as a key.
pub(crate) fn path_key(repository: &RepositoryRef) -> String {
    repository.path().to_ascii_lowercase()
}

/// From the id of a repository to its [`SourceKey`].
pub(crate) fn known_as_key(repository: &RepositoryRef) -> Option<String> {
    let id = repository.id.as_ref()?;
    Some(records::key(["known-as", repository.host.as_str(), id.as_str()]))
}

/// From a [`SourceKey`] that is a path to the id that holds it: another that is called so later has a key of its own.
pub(crate) fn held_by_key(path: &str) -> String {
    records::key(["held-by", path])
}

/// From a path to the [`SourceKey`] of the repository that was heard of there last, where that is another.
pub(crate) fn known_at_key(path: &str) -> String {
    records::key(["known-at", path])
}

/// Pushes to one ref sort by their time.
pub fn push_key(source: &SourceKey, git_ref: &GitRef, at: Timestamp, after: Option<&CommitId>) -> String {
    let after = after.map_or("-", CommitId::as_str);
    records::key(["push", source.as_str(), git_ref.as_str(), &sortable(at), after])
}

pub fn pushes_prefix(source: &SourceKey, git_ref: &GitRef) -> String {
    records::prefix(["push", source.as_str(), git_ref.as_str()])
}

/// All pushes of a repository.
pub fn all_pushes_prefix(source: &SourceKey) -> String {
    records::prefix(["push", source.as_str()])
}

/// From a commit to the pushes that brought it to a branch, by their time: what came first is looked at, however many
/// branches are made at it later.
pub fn commit_push_key(source: &SourceKey, commit: &CommitId, at: Timestamp, push_key: &str) -> String {
    let digest = bus_schema::Digest::sha256_of(push_key.as_bytes()).short();
    records::key(["commit-push", source.as_str(), commit.as_str(), &sortable(at), &digest])
}

pub fn commit_pushes_prefix(source: &SourceKey, commit: &CommitId) -> String {
    records::prefix(["commit-push", source.as_str(), commit.as_str()])
}

pub fn change_key(source: &SourceKey, number: u64) -> String {
    records::key(["change", source.as_str(), &number.to_string()])
}

/// From a merge commit to its change.
pub fn merge_key(source: &SourceKey, merge_commit: &CommitId, number: u64) -> String {
    records::key(["merge", source.as_str(), merge_commit.as_str(), &number.to_string()])
}

pub fn merges_prefix(source: &SourceKey, merge_commit: &CommitId) -> String {
    records::prefix(["merge", source.as_str(), merge_commit.as_str()])
}

/// The merges into a branch by their time: from a merge to its change.
pub fn merged_at_key(
    source: &SourceKey,
    base: &GitRef,
    at: Timestamp,
    merge_commit: &CommitId,
    number: u64,
) -> String {
    let number = number.to_string();
    let merge_commit = merge_commit.as_str();
    format!("{}{}", merged_at_prefix(source, base), records::key([&sortable(at), merge_commit, &number]))
}

pub fn merged_at_prefix(source: &SourceKey, base: &GitRef) -> String {
    records::prefix(["merged-at", source.as_str(), base.as_str()])
}

pub fn workflow_key(source: &SourceKey, commit: &CommitId) -> String {
    records::key(["workflow", source.as_str(), commit.as_str()])
}

/// A time as text that sorts like the time.
pub fn sortable(time: Timestamp) -> String {
    // Shifted so that no sign is needed; 20 digits hold every timestamp in microseconds.
    let micros = i128::from(time.as_microsecond()) - i128::from(Timestamp::MIN.as_microsecond());
    format!("{micros:020}")
}
