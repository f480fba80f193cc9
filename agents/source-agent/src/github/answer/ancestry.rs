//! Whether a commit lies on a ref, by the forge's own comparison of two commits. Refs are resolved by their full name first:
//! a branch and a tag may share a short one.

use std::fmt;

use bus_schema::{CommitId, GitRef};
use github_client::answering::LookUpEnd;
use github_client::api::ApiFailure;

use super::LookUp;
use super::pulls::unreadable;
use crate::github::payload::{Comparison, GitObject, GitReference, TagObject};
use crate::github::translate::commits;

/// Tag objects may name tag objects; further nesting is not followed.
const TAGS_OF_TAGS_MAX: usize = 5;

/// Where a commit is, seen from a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnRef {
    NotAsked,
    Yes,
    No,
    NoSuchRef,
}

impl fmt::Display for OnRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            OnRef::NotAsked => "no ref was asked for",
            OnRef::Yes => "the commit is on the ref",
            OnRef::No => "the commit is not on the ref",
            OnRef::NoSuchRef => "the ref does not exist",
        })
    }
}

impl LookUp<'_> {
    pub(super) async fn is_on_ref(&self, commit: &CommitId, git_ref: &GitRef) -> Result<OnRef, LookUpEnd> {
        match self.commit_of_ref(git_ref).await? {
            None => Ok(OnRef::NoSuchRef),
            Some(tip) => match reaches(*self, &tip, commit).await? {
                true => Ok(OnRef::Yes),
                false => Ok(OnRef::No),
            },
        }
    }

    /// The commit that a ref leads to, through annotated tags.
    pub(super) async fn commit_of_ref(&self, git_ref: &GitRef) -> Result<Option<CommitId>, LookUpEnd> {
        let name = git_ref.as_str().strip_prefix("refs/").unwrap_or(git_ref.as_str());
        let route = self.route(["git", "ref"].into_iter().chain(name.split('/')));
        let found: GitReference = match self.api.get(&route).await {
            Ok(found) => found,
            Err(failure) if failure.is_absence() => return Ok(None),
            Err(failure) => return Err(LookUpEnd::failed("the ref", &failure)),
        };
        if found.name != git_ref.as_str() {
            return Ok(None);
        }
        self.commit_of_object(found.object).await
    }

    async fn commit_of_object(&self, mut object: GitObject) -> Result<Option<CommitId>, LookUpEnd> {
        for _ in 0..TAGS_OF_TAGS_MAX {
            match object.kind.as_str() {
                "commit" => {
                    return commits::commit_id("object.sha", &object.sha).map(Some).map_err(unreadable);
                }
                "tag" => {
                    let tag: TagObject = self
                        .api
                        .get(&self.route(["git", "tags", &object.sha]))
                        .await
                        .map_err(|failure| LookUpEnd::failed("the tag object", &failure))?;
                    object = tag.object;
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The forge's comparison of two commits. `None` when it does not know one of them.
    pub(super) async fn compare(
        &self,
        base: &CommitId,
        head: &CommitId,
    ) -> Result<Option<Comparison>, LookUpEnd> {
        let range = format!("{base}...{head}");
        let route = self.route(["compare", &range]).with("per_page", "1");
        match self.api.get(&route).await {
            Ok(comparison) => Ok(Some(comparison)),
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(LookUpEnd::failed("the comparison", &failure)),
        }
    }
}

/// Whether `commit` is `from` or an ancestor of it.
pub(super) async fn reaches(
    look_up: LookUp<'_>,
    from: &CommitId,
    commit: &CommitId,
) -> Result<bool, LookUpEnd> {
    if from == commit {
        return Ok(true);
    }
    let comparison = look_up.compare(from, commit).await?;
    Ok(comparison.is_some_and(|comparison| matches!(comparison.status.as_str(), "behind" | "identical")))
}

/// A failure that says no more than that the forge has no such record.
pub(super) fn is_no_record(failure: &ApiFailure) -> bool {
    failure.is_absence()
}
