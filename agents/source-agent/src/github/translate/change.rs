//! `pull_request` that was merged, and `pull_request_review`.

use bus_schema::source::{ChangeMerged, ChangeReviewed, Permission, ReviewState};
use bus_schema::{Actor, CommitId, Event, ForgeHost, GitRef, RepositoryRef};
use github_client::payload::actor_or_deleted;
use github_client::report::{Report, Translated};
use jiff::Timestamp;

use super::{TranslateRefusal, commits};
use crate::github::payload::{PullRequest, PullRequestEvent, Review, ReviewEvent};

/// The actions of `pull_request` that are not a merge, as GitHub documents them.
const OTHER_ACTIONS: [&str; 20] = [
    "assigned",
    "auto_merge_disabled",
    "auto_merge_enabled",
    "converted_to_draft",
    "demilestoned",
    "dequeued",
    "edited",
    "enqueued",
    "labeled",
    "locked",
    "milestoned",
    "opened",
    "ready_for_review",
    "reopened",
    "review_request_removed",
    "review_requested",
    "synchronize",
    "unassigned",
    "unlabeled",
    "unlocked",
];

pub(super) fn merged(host: &ForgeHost, event: &PullRequestEvent) -> Result<Translated, TranslateRefusal> {
    match event.action.as_str() {
        "closed" if event.pull_request.merged == Some(true) => {}
        "closed" => return Ok(Translated::NothingToSay("the change was closed without a merge")),
        other if OTHER_ACTIONS.contains(&other) => {
            return Ok(Translated::NothingToSay("the change was not merged"));
        }
        other => return Err(TranslateRefusal::unknown_action("pull_request", other)),
    }
    let repository = event.repository.reference(host).map_err(TranslateRefusal::identity("repository"))?;
    let found = LookedUp { commit_count: event.pull_request.commits.unwrap_or(0), ..LookedUp::default() };
    let merged = change_merged(&repository, &event.pull_request, found)?;
    Ok(Translated::Reports(vec![merged]))
}

/// What a look-up adds to a merged change.
#[derive(Debug, Default)]
pub struct LookedUp {
    pub last_pusher: Option<Actor>,
    pub equivalent_heads: Vec<CommitId>,
    pub commit_count: u32,
    pub commits: Vec<CommitId>,
    /// The rest of this was really looked up.
    pub looked_up: bool,
}

/// A merged pull request, from a webhook or from the API.
pub fn change_merged(
    repository: &RepositoryRef,
    pull: &PullRequest,
    found: LookedUp,
) -> Result<Report, TranslateRefusal> {
    let missing = |field: &'static str| TranslateRefusal::Missing { field };
    let merged_at = pull.merged_at.ok_or_else(|| missing("merged_at"))?;
    let merge_commit = pull.merge_commit_sha.as_deref().ok_or_else(|| missing("merge_commit_sha"))?;
    let head_repository = pull
        .head
        .repo
        .as_ref()
        .map(|head| head.reference(&repository.host))
        .transpose()
        .map_err(TranslateRefusal::identity("head.repo"))?;
    let event = ChangeMerged {
        repository: repository.clone(),
        number: pull.number,
        merge_commit: commits::commit_id("merge_commit_sha", merge_commit)?,
        head: commits::commit_id("head.sha", &pull.head.sha)?,
        head_repository: head_repository.filter(|head| !head.is_same(repository)),
        base: GitRef::branch(&pull.base.branch).map_err(TranslateRefusal::identity("base.ref"))?,
        author: actor_or_deleted(pull.user.as_ref()),
        last_pusher: found.last_pusher,
        merged_by: pull.merged_by.as_ref().map(|account| account.actor()),
        commit_count: found.commit_count,
        commits: found.commits,
        equivalent_heads: found.equivalent_heads,
        bypassed_rules: None,
        merged_at,
        looked_up: found.looked_up,
    };
    Ok(Report { occurred: merged_at, event: Event::ChangeMerged(event) })
}

pub(super) fn reviewed(host: &ForgeHost, event: &ReviewEvent) -> Result<Translated, TranslateRefusal> {
    if !matches!(event.action.as_str(), "submitted" | "edited" | "dismissed") {
        return Err(TranslateRefusal::unknown_action("pull_request_review", &event.action));
    }
    let repository = event.repository.reference(host).map_err(TranslateRefusal::identity("repository"))?;
    let fallback = event.pull_request.updated_at;
    let mut review = event.review.clone();
    if event.action == "dismissed" {
        // GitHub's description lets the state be what it was before.
        review.state = ReviewState::Dismissed.as_str().to_owned();
    }
    let report = change_reviewed(&repository, event.pull_request.number, &review, None, fallback)?;
    Ok(Translated::Reports(vec![report]))
}

/// A review, from a webhook (without a permission) or from the API.
pub fn change_reviewed(
    repository: &RepositoryRef,
    number: u64,
    review: &Review,
    permission: Option<Permission>,
    fallback_time: Option<Timestamp>,
) -> Result<Report, TranslateRefusal> {
    let submitted_at = review
        .submitted_at
        .or(fallback_time)
        .ok_or(TranslateRefusal::Missing { field: "review.submitted_at" })?;
    let head =
        review.commit_id.as_deref().map(|id| commits::commit_id("review.commit_id", id)).transpose()?;
    let event = ChangeReviewed {
        repository: repository.clone(),
        number,
        review_id: review.id,
        reviewer: actor_or_deleted(review.user.as_ref()),
        permission,
        state: ReviewState::from(review.state.to_ascii_lowercase().as_str()),
        head,
        submitted_at,
    };
    Ok(Report { occurred: submitted_at, event: Event::ChangeReviewed(event) })
}

/// The permission that an answer states. `permission` is what counts; the role's name only refines it, because a
/// custom role may bear any name.
pub fn permission(stated: &str, role: Option<&str>) -> Permission {
    match (stated, role) {
        ("write", Some("maintain")) => Permission::Maintain,
        ("read", Some("triage")) => Permission::Triage,
        (stated, _) => Permission::from(stated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roles_name_refines_a_permission_and_never_raises_it() {
        assert_eq!(permission("admin", Some("admin")), Permission::Admin);
        assert_eq!(permission("write", Some("maintain")), Permission::Maintain);
        assert_eq!(permission("read", Some("triage")), Permission::Triage);
        assert_eq!(permission("read", Some("admin")), Permission::Read);
        assert_eq!(permission("none", None), Permission::None);
        assert!(!permission("superuser", None).may_write());
    }
}
