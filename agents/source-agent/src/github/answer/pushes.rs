//! The push that brought a commit to a branch, out of the forge's own record (`GET /repos/{owner}/{repo}/activity`).
//!
//! Only an entry of that record becomes `commit.pushed`: with its ends, its time and its actor. Where the record does not
//! reach back far enough, or is not kept (older Enterprise servers), nothing is said about the push.

use std::collections::BTreeMap;

use bus_schema::source::{CommitPushed, PUSH_COMMITS_MAX, PushedCommit};
use bus_schema::{CommitId, Event, GitRef};
use github_client::answering::LookUpEnd;
use github_client::api::Listing;
use github_client::report::Report;

use super::pulls::unreadable;
use super::{LookUp, ancestry};
use crate::github::payload::{Activity, Commit, Comparison};
use crate::github::translate::commits::Listed;
use crate::github::translate::{TranslateRefusal, commits, fit};

/// How many entries of a branch's record are searched.
const ACTIVITY_ENTRIES_MAX: usize = 500;
/// Of how many first-parent commits of a range the changes and files are looked up.
pub(super) const FIRST_PARENTS_MAX: usize = 50;
/// The page size of a comparison's commits.
const COMPARE_PAGE: usize = 100;

/// A push that the forge recorded, with the commits of its range.
#[derive(Debug)]
pub(super) struct RecordedPush {
    /// Without its commits, which are `listed`.
    pushed: CommitPushed,
    listed: Vec<Listed>,
}

/// The ends of a recorded push.
struct Entry {
    before: Option<CommitId>,
    after: CommitId,
    activity: Activity,
}

impl LookUp<'_> {
    /// The recorded push that brought `asked` to the branch.
    pub(super) async fn push_with(
        &self,
        branch: &GitRef,
        asked: &Commit,
    ) -> Result<Option<RecordedPush>, LookUpEnd> {
        let asked_id = commits::commit_id("sha", &asked.sha).map_err(unreadable)?;
        let Some(entry) = self.entry_with(branch, &asked_id).await? else { return Ok(None) };
        let (listed, commits_cut) = match &entry.before {
            Some(before) => self.range(before, &entry.after, &asked_id).await?,
            // A new branch: its range is not bounded by what the record tells.
            None => (vec![commits::of_answer(asked).map_err(unreadable)?], true),
        };
        if !listed.iter().any(|listed| listed.commit.id == asked_id) {
            return Ok(None);
        }
        let pushed = CommitPushed {
            repository: self.repository.clone(),
            git_ref: branch.clone(),
            before: entry.before,
            after: Some(entry.after),
            forced: entry.activity.activity_type == "force_push",
            pusher: entry.activity.actor.as_ref().map(|account| account.actor()),
            commits: Vec::new(),
            commits_cut,
            looked_up: true,
            pushed_at: entry.activity.timestamp,
        };
        let mut push = RecordedPush { pushed, listed };
        self.fill_files(&mut push, asked).await?;
        Ok(Some(push))
    }

    /// The oldest entry whose new head reaches the commit. The record is searched as if nothing had ever been forced away;
    /// where something was, the range that is found does not hold the commit, and the caller drops it.
    async fn entry_with(&self, branch: &GitRef, commit: &CommitId) -> Result<Option<Entry>, LookUpEnd> {
        let route = self.route(["activity"]).with("ref", branch.as_str()).in_full_pages();
        let listed: Listing<Activity> = match self.api.list(&route, ACTIVITY_ENTRIES_MAX).await {
            Ok(listed) => listed,
            Err(failure) if ancestry::is_no_record(&failure) => return Ok(None),
            Err(failure) => return Err(LookUpEnd::failed("the branch's activity", &failure)),
        };
        let mut entries = Vec::new();
        for activity in listed.entries.into_iter().filter(|activity| activity.git_ref == branch.as_str()) {
            entries.extend(entry(activity).map_err(unreadable)?);
        }
        // The record is newest first; its times have whole seconds, so those of one second keep its order, turned around.
        entries.reverse();
        entries.sort_by_key(|entry| entry.activity.timestamp);
        if let Some(place) = entries.iter().position(|entry| entry.after == *commit) {
            return Ok(Some(entries.swap_remove(place)));
        }
        let (mut low, mut high) = (0, entries.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match ancestry::reaches(*self, &entries[middle].after, commit).await? {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        // The oldest entry of a record that was cut may hide older pushes: its range tells.
        Ok((low < entries.len()).then(|| entries.swap_remove(low)))
    }

    /// The commits of a range, oldest first, and whether some are left out.
    async fn range(
        &self,
        before: &CommitId,
        after: &CommitId,
        asked: &CommitId,
    ) -> Result<(Vec<Listed>, bool), LookUpEnd> {
        let range = format!("{before}...{after}");
        let mut listed: Vec<Listed> = Vec::new();
        let mut total = 0;
        for page in 1..=PUSH_COMMITS_MAX / COMPARE_PAGE {
            let route = self
                .route(["compare", &range])
                .with("per_page", &COMPARE_PAGE.to_string())
                .with("page", &page.to_string());
            let comparison: Comparison = match self.api.get(&route).await {
                Ok(comparison) => comparison,
                // The old end is gone (a forced push long ago): the commit alone is known to have come.
                Err(failure) if failure.is_absence() && page == 1 => return Ok((Vec::new(), true)),
                Err(failure) => return Err(LookUpEnd::failed("the pushed range", &failure)),
            };
            total = comparison.total_commits;
            let count = comparison.commits.len();
            for commit in &comparison.commits {
                listed.push(commits::of_answer(commit).map_err(unreadable)?);
            }
            if count < COMPARE_PAGE || listed.len() as u64 >= total {
                break;
            }
        }
        let cut = (listed.len() as u64) < total;
        tracing::debug!(commits = listed.len(), cut, commit = %asked, "read a pushed range");
        Ok((listed, cut))
    }

    /// Looks up which paths the first-parent commits change: together they are all that the range changes.
    async fn fill_files(&self, push: &mut RecordedPush, asked: &Commit) -> Result<(), LookUpEnd> {
        let (wanted, _) = push.first_parents();
        for id in wanted {
            let commit = match id.as_str() == asked.sha {
                true => Some(asked.clone()),
                false => self.one_commit(&id).await?,
            };
            let Some(commit) = commit else { continue };
            let full = commits::of_answer(&commit).map_err(unreadable)?;
            for listed in push.listed.iter_mut().filter(|listed| listed.commit.id == id) {
                *listed = full.clone();
            }
        }
        Ok(())
    }
}

impl RecordedPush {
    /// The commits that the branch itself went through, newest first, and whether there are more than are looked up.
    pub(super) fn first_parents(&self) -> (Vec<CommitId>, bool) {
        let by_id: BTreeMap<&CommitId, &PushedCommit> =
            self.listed.iter().map(|listed| (&listed.commit.id, &listed.commit)).collect();
        let mut chain = Vec::new();
        let mut next = self.pushed.after.as_ref();
        while let Some(commit) = next.and_then(|id| by_id.get(id)) {
            if chain.len() == FIRST_PARENTS_MAX {
                return (chain, true);
            }
            chain.push(commit.id.clone());
            next = commit.parents.first().filter(|parent| !chain.contains(parent));
        }
        (chain, false)
    }

    /// The push, and the workflows that it changed.
    pub(super) fn into_reports(mut self) -> Vec<Report> {
        let pushed = &self.pushed;
        let changes = commits::workflow_changes(
            &pushed.repository,
            &pushed.git_ref,
            &self.listed,
            pushed.pusher.as_ref(),
            pushed.pushed_at,
        );
        self.pushed.commits = self.listed.into_iter().map(|listed| listed.commit).collect();
        fit::fit(&mut self.pushed);
        let report = Report { occurred: self.pushed.pushed_at, event: Event::CommitPushed(self.pushed) };
        std::iter::once(report).chain(changes).collect()
    }
}

/// An entry that moved the branch to something; deletions bring no commit.
fn entry(activity: Activity) -> Result<Option<Entry>, TranslateRefusal> {
    let end = |field: &'static str, text: &str| {
        CommitId::parse_or_zero(text).map_err(|source| TranslateRefusal::Identity { field, source })
    };
    let before = end("activity.before", &activity.before)?;
    let after = end("activity.after", &activity.after)?;
    Ok(after.map(|after| Entry { before, after, activity }))
}
