//! Answers to "is this commit on the ref, and reviewed?", by look-ups in the REST API.
//!
//! In: a question. Out: ordinary events (`change.reviewed` with permissions, `change.merged`, and `commit.pushed` where the
//! forge's own record lists that push), and always an end. A push is never invented from the history, and what could
//! not be read to its end is not published at all: half a change would read as an unreviewed one.

mod ancestry;
mod clean_merge;
mod people;
mod pulls;
mod pushes;

use std::collections::BTreeSet;

use async_trait::async_trait;
use bus_schema::fleet::EvidenceRequested;
use bus_schema::question::Question;
use bus_schema::{CommitId, GitRef, RepositoryRef, TraceParent};
use fleet_runtime::asked::Answer;
use fleet_runtime::publisher::Publisher;
use fleet_runtime::worker::Handled;
use github_client::answering::{self, AnswerEvents, AskedForges, LookUpEnd, Stop};
use github_client::api::{ApiClient, Route};

use super::payload;
use super::translate::commits;

/// The most branches whose record one answer searches.
const BRANCHES_MAX: usize = 3;
/// The most changes that one answer follows.
pub const CHANGES_MAX: usize = 50;

/// Answers the questions of one agent.
#[derive(Debug)]
pub struct Answers {
    publisher: Publisher,
    forges: AskedForges,
}

impl Answers {
    pub fn new(publisher: Publisher, forges: AskedForges) -> Answers {
        Answers { publisher, forges }
    }

    async fn look_up(
        &self,
        request: &EvidenceRequested,
        events: &mut AnswerEvents<'_>,
    ) -> Result<LookUpEnd, Stop> {
        let Question::Commit { repository, commit, git_ref } = &request.question else {
            return Ok(LookUpEnd::unconfigured("this agent answers questions about commits"));
        };
        let api = self.forges.client(repository)?;
        let found = answering::repository(api, repository).await?;
        let default_branch = found.default_branch.as_ref();
        let look_up = LookUp { api, repository: &found.reference, default_branch };
        look_up.commit(commit, git_ref.as_ref(), events).await
    }
}

#[async_trait]
impl Answer for Answers {
    async fn answer(&self, request: &EvidenceRequested, trace: Option<&TraceParent>) -> Handled {
        let mut events = AnswerEvents::new(&self.publisher, request, trace);
        let ended = match self.look_up(request, &mut events).await {
            Ok(end) | Err(Stop::End(end)) => events.end(end).await,
            Err(Stop::Bus(error)) => Err(error),
        };
        answering::handled(ended)
    }
}

/// The look-ups of one question, in one repository.
#[derive(Debug, Clone, Copy)]
struct LookUp<'a> {
    api: &'a ApiClient,
    repository: &'a RepositoryRef,
    default_branch: Option<&'a GitRef>,
}

impl LookUp<'_> {
    fn route<'r>(&'r self, rest: impl IntoIterator<Item = &'r str>) -> Route {
        Route::repository(&self.repository.owner, &self.repository.name, rest)
    }

    async fn commit(
        &self,
        commit: &CommitId,
        git_ref: Option<&GitRef>,
        events: &mut AnswerEvents<'_>,
    ) -> Result<LookUpEnd, Stop> {
        let Some(asked) = self.one_commit(commit).await? else {
            return Ok(LookUpEnd::complete("unknown commit"));
        };
        let own = self.merged_pulls_of(commit).await?;
        let mut cut = own.cut;
        // The commit's own changes, and those of the whole ranges that it was pushed in.
        let mut pushes = Vec::new();
        for branch in self.branches(git_ref, &own.entries) {
            pushes.extend(self.push_with(&branch, &asked).await?);
        }
        let mut others = BTreeSet::new();
        for push in &pushes {
            let (first_parents, is_cut) = push.first_parents();
            cut |= is_cut;
            others.extend(first_parents.into_iter().filter(|other| other != commit));
        }
        let mut numbers: BTreeSet<u64> = own.entries.iter().map(|pull| pull.number).collect();
        for other in &others {
            let found = self.merged_pulls_of(other).await?;
            cut |= found.cut;
            numbers.extend(found.entries.iter().map(|pull| pull.number));
        }
        cut |= numbers.len() > CHANGES_MAX;
        let mut people = people::People::default();
        for number in numbers.iter().take(CHANGES_MAX) {
            for report in self.change(*number, &mut people).await? {
                events.publish(report).await?;
            }
        }
        let on_ref = match git_ref {
            Some(git_ref) => self.is_on_ref(commit, git_ref).await?,
            None => ancestry::OnRef::NotAsked,
        };
        for report in pushes.into_iter().flat_map(|push| push.into_reports()) {
            events.publish(report).await?;
        }
        match cut {
            true => Ok(LookUpEnd::cut_off(format!("more than {CHANGES_MAX} changes or commits; {on_ref}"))),
            false => Ok(LookUpEnd::complete(format!("{} merged changes; {on_ref}", numbers.len()))),
        }
    }

    /// The branches to which the commit may have been pushed: the one that is asked about; for a tag, or when none is
    /// named, the default branch and those that its changes were merged into.
    fn branches(&self, git_ref: Option<&GitRef>, pulls: &[payload::PullRequest]) -> Vec<GitRef> {
        if let Some(branch) = git_ref.filter(|git_ref| git_ref.as_branch().is_some()) {
            return vec![branch.clone()];
        }
        let bases = pulls.iter().filter_map(|pull| GitRef::branch(&pull.base.branch).ok());
        let mut branches: Vec<GitRef> = self.default_branch.cloned().into_iter().collect();
        for base in bases {
            if branches.len() < BRANCHES_MAX && !branches.contains(&base) {
                branches.push(base);
            }
        }
        branches
    }

    /// The commit, or nothing when the forge does not have it.
    async fn one_commit(&self, commit: &CommitId) -> Result<Option<payload::Commit>, LookUpEnd> {
        let answer: Result<payload::Commit, _> =
            self.api.get(&self.route(["commits", commit.as_str()])).await;
        match answer {
            Ok(found) => {
                let id =
                    commits::commit_id("sha", &found.sha).map_err(|error| LookUpEnd::unreadable(&error))?;
                match id == *commit {
                    true => Ok(Some(found)),
                    false => Err(LookUpEnd::unreadable(&OtherCommit)),
                }
            }
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(LookUpEnd::failed("the commit", &failure)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the forge answers with another commit than the one asked for")]
struct OtherCommit;
