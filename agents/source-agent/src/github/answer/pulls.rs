//! Changes: which pull requests brought a commit, and who approved them.

use std::collections::BTreeMap;

use bus_schema::{Actor, CommitId};
use github_client::answering::LookUpEnd;
use github_client::api::{ApiFailure, Listing};
use github_client::report::Report;

use super::people::People;
use super::{CHANGES_MAX, LookUp, ancestry};
use crate::github::payload::{Activity, Commit, PullRequest, Review};
use crate::github::translate::{TranslateRefusal, change, commits};

/// The most reviews of one change that are read.
pub(super) const REVIEWS_MAX: usize = 500;
/// The most commits of one change that are read: GitHub lists 250.
pub(super) const PULL_COMMITS_MAX: usize = 250;
/// The most merges of the base that are followed back from a head.
pub(super) const EQUIVALENT_HEADS_MAX: usize = 20;

impl LookUp<'_> {
    /// The merged pull requests that brought a commit.
    pub(super) async fn merged_pulls_of(&self, commit: &CommitId) -> Result<Listing<PullRequest>, LookUpEnd> {
        let route = self.route(["commits", commit.as_str(), "pulls"]).in_full_pages();
        let listed: Listing<PullRequest> = match self.api.list(&route, CHANGES_MAX).await {
            Ok(listed) => listed,
            Err(failure) if failure.is_absence() => Listing { entries: Vec::new(), cut: false },
            Err(failure) => return Err(LookUpEnd::failed("the commit's pull requests", &failure)),
        };
        let ours = |pull: &PullRequest| {
            let base = pull.base.repo.as_ref().and_then(|base| base.reference(&self.repository.host).ok());
            base.is_none_or(|base| base.is_same(self.repository))
        };
        let merged = listed.entries.into_iter().filter(|pull| pull.merged_at.is_some() && ours(pull));
        Ok(Listing { entries: merged.collect(), cut: listed.cut })
    }

    /// A merged change: its reviews first, then the change itself, so that nobody sees it without them. All or nothing.
    pub(super) async fn change(&self, number: u64, people: &mut People) -> Result<Vec<Report>, LookUpEnd> {
        let text = number.to_string();
        let pull: PullRequest = self
            .api
            .get(&self.route(["pulls", &text]))
            .await
            .map_err(|failure| LookUpEnd::failed("the pull request", &failure))?;
        // Between the listing and now nothing unmerges; an answer that says so is not believed.
        if pull.number != number || pull.merged != Some(true) {
            return Err(LookUpEnd::unreadable(&NotTheMergedChange));
        }
        let route = self.route(["pulls", &text, "commits"]).in_full_pages();
        let own: Listing<Commit> = self
            .api
            .list(&route, PULL_COMMITS_MAX)
            .await
            .map_err(|failure| LookUpEnd::failed("the change's commits", &failure))?;
        let listed = own.entries.iter().map(|commit| commits::commit_id("sha", &commit.sha));
        let listed: Vec<CommitId> = listed.collect::<Result<_, _>>().map_err(unreadable)?;
        let is_whole = !own.cut && pull.commits.is_none_or(|count| count as usize == listed.len());
        let found = change::LookedUp {
            last_pusher: self.last_pusher(&pull, &own.entries).await?,
            equivalent_heads: self.equivalent_heads(&pull, &own.entries).await?,
            commit_count: pull
                .commits
                .unwrap_or_else(|| u32::try_from(own.entries.len()).unwrap_or(u32::MAX)),
            commits: if is_whole { listed } else { Vec::new() },
            looked_up: true,
        };
        let mut reports = self.reviews(&pull, people).await?;
        reports.push(change::change_merged(self.repository, &pull, found).map_err(unreadable)?);
        Ok(reports)
    }

    /// Every review that says something about the change. Comments say nothing: they neither give nor take an approval.
    async fn reviews(&self, pull: &PullRequest, people: &mut People) -> Result<Vec<Report>, LookUpEnd> {
        let route = self.route(["pulls", &pull.number.to_string(), "reviews"]).in_full_pages();
        let listed: Listing<Review> = self
            .api
            .list(&route, REVIEWS_MAX)
            .await
            .map_err(|failure| LookUpEnd::failed("the change's reviews", &failure))?;
        if listed.cut {
            return Err(LookUpEnd::cut_off(format!("more than {REVIEWS_MAX} reviews of #{}", pull.number)));
        }
        let mut reports = Vec::new();
        for review in listed.entries {
            let speaks = !matches!(review.state.to_ascii_uppercase().as_str(), "COMMENTED" | "PENDING");
            let Some(account) = review.user.as_ref().filter(|_| speaks) else { continue };
            let permission = people.permission(*self, account).await?;
            let fallback = pull.updated_at;
            let report =
                change::change_reviewed(self.repository, pull.number, &review, Some(permission), fallback);
            reports.push(report.map_err(unreadable)?);
        }
        Ok(reports)
    }

    /// Who pushed the head: what the forge recorded for the branch, else the committer of the head.
    async fn last_pusher(&self, pull: &PullRequest, own: &[Commit]) -> Result<Option<Actor>, LookUpEnd> {
        if let Some(actor) = self.recorded_pusher(pull).await? {
            return Ok(Some(actor));
        }
        let head = own.iter().find(|commit| commit.sha == pull.head.sha);
        match head {
            Some(head) => Ok(commits::committer_of(head)),
            None => {
                let head = commits::commit_id("head.sha", &pull.head.sha).map_err(unreadable)?;
                Ok(self.one_commit(&head).await?.as_ref().and_then(commits::committer_of))
            }
        }
    }

    /// The forge's record of the push that brought the head, where it can be read (the branch or fork may be gone).
    async fn recorded_pusher(&self, pull: &PullRequest) -> Result<Option<Actor>, LookUpEnd> {
        let Some(repo) = &pull.head.repo else { return Ok(None) };
        let route = github_client::api::Route::repository(&repo.owner.login, &repo.name, ["activity"])
            .with("ref", &format!("refs/heads/{}", pull.head.branch))
            .in_full_pages();
        let page = match self.api.get::<Vec<Activity>>(&route).await {
            Ok(page) => page,
            Err(ApiFailure::NotFound | ApiFailure::Denied { .. } | ApiFailure::Refused { .. }) => {
                return Ok(None);
            }
            Err(failure) => return Err(LookUpEnd::failed("the head branch's activity", &failure)),
        };
        let entry = page.into_iter().find(|entry| entry.after == pull.head.sha);
        Ok(entry.and_then(|entry| entry.actor).map(|account| account.actor()))
    }

    /// Heads that only merges of the base followed, which add nothing of their own: a review of one is a
    /// review of the final head.
    async fn equivalent_heads(&self, pull: &PullRequest, own: &[Commit]) -> Result<Vec<CommitId>, LookUpEnd> {
        let by_id: BTreeMap<&str, &Commit> = own.iter().map(|commit| (commit.sha.as_str(), commit)).collect();
        let mut heads = Vec::new();
        let mut base_before = None;
        let mut current = pull.head.sha.as_str();
        while heads.len() < EQUIVALENT_HEADS_MAX {
            let Some([first, second]) = by_id.get(current).map(|commit| commit.parents.as_slice()) else {
                break;
            };
            if base_before.is_none() {
                base_before = self.base_before(pull).await?;
            }
            let Some(base) = &base_before else { break };
            let merged = commits::commit_id("parents.sha", &second.sha).map_err(unreadable)?;
            if !self.reaches(base, &merged).await? {
                break;
            }
            let earlier = commits::commit_id("parents.sha", &first.sha).map_err(unreadable)?;
            let merge = commits::commit_id("sha", current).map_err(unreadable)?;
            if !self.adds_nothing(&merge, &earlier, &merged).await? {
                break;
            }
            heads.push(earlier);
            current = first.sha.as_str();
        }
        Ok(heads)
    }

    /// The base as it was before the merge: after it, the base holds everything that the head holds.
    async fn base_before(&self, pull: &PullRequest) -> Result<Option<CommitId>, LookUpEnd> {
        let Some(merge) = pull.merge_commit_sha.as_deref() else { return Ok(None) };
        let merge = commits::commit_id("merge_commit_sha", merge).map_err(unreadable)?;
        let Some(merge) = self.one_commit(&merge).await? else { return Ok(None) };
        let first = merge.parents.first().map(|parent| commits::commit_id("parents.sha", &parent.sha));
        first.transpose().map_err(unreadable)
    }

    async fn reaches(&self, from: &CommitId, commit: &CommitId) -> Result<bool, LookUpEnd> {
        ancestry::reaches(*self, from, commit).await
    }
}

pub(super) fn unreadable(refusal: TranslateRefusal) -> LookUpEnd {
    LookUpEnd::unreadable(&refusal)
}

#[derive(Debug, thiserror::Error)]
#[error("the pull request is not the merged one that was listed")]
struct NotTheMergedChange;
