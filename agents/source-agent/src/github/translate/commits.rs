//! Single commits: out of a push's body and out of the API's answers.

use bus_schema::source::{PushedCommit, WorkflowChanged};
use bus_schema::{Actor, CommitId, Event, GitRef, RepositoryRef};
use github_client::payload::is_web_flow;
use github_client::report::Report;
use jiff::Timestamp;

use super::{TranslateRefusal, fit};
use crate::github::payload;

/// GitHub's list of a commit's or a comparison's files ends here on the first page; more make it cut.
pub const FILES_ON_PAGE: usize = 300;

/// A commit as it is reported, and what it changes of workflows and local actions.
#[derive(Debug, Clone)]
pub struct Listed {
    pub commit: PushedCommit,
    /// Chosen from all paths that the forge lists, while the commit's own have a bound.
    pub workflows: Option<Vec<String>>,
}

/// A commit of a push. The body tells neither parents nor the signature.
pub fn of_push(commit: &payload::PushedCommit) -> Result<Listed, TranslateRefusal> {
    let lists = [&commit.added, &commit.modified, &commit.removed];
    let is_told = lists.iter().all(|list| list.is_some());
    let all = lists.into_iter().flatten().flatten().map(String::as_str);
    let workflows = fit::workflow_paths(all.clone(), is_told);
    let (paths, paths_cut) = match is_told {
        true => fit::paths(all),
        false => (None, false),
    };
    let commit = PushedCommit {
        id: commit_id("commits.id", &commit.id)?,
        author: commit.author.as_ref().and_then(|person| person.actor()),
        committer: commit.committer.as_ref().and_then(|person| person.actor()),
        parents: Vec::new(),
        signature_verified: None,
        paths,
        paths_cut,
    };
    Ok(Listed { commit, workflows })
}

/// A commit as the API gives it, with accounts instead of git's own words where the forge matched one.
pub fn of_answer(commit: &payload::Commit) -> Result<Listed, TranslateRefusal> {
    let (paths, paths_cut, workflows) = match &commit.files {
        Some(files) => {
            let all = files.iter().flat_map(|file| {
                std::iter::once(file.filename.as_str()).chain(file.previous_filename.as_deref())
            });
            let is_whole = files.len() < FILES_ON_PAGE;
            let workflows = fit::workflow_paths(all.clone(), is_whole);
            let (paths, cut) = fit::paths(all);
            (paths, cut || !is_whole, workflows)
        }
        // A list of commits: which of them count is looked up one by one.
        None => (None, false, None),
    };
    let parents = commit.parents.iter().map(|parent| commit_id("parents.sha", &parent.sha));
    let commit = PushedCommit {
        id: commit_id("sha", &commit.sha)?,
        author: author_of(commit),
        committer: committer_of(commit),
        parents: parents.collect::<Result<_, _>>()?,
        signature_verified: commit.commit.verification.as_ref().map(|verification| verification.verified),
        paths,
        paths_cut,
    };
    Ok(Listed { commit, workflows })
}

fn author_of(commit: &payload::Commit) -> Option<Actor> {
    let account = commit.author.as_ref().map(|account| account.actor());
    account.or_else(|| commit.commit.author.as_ref().and_then(|person| person.actor()))
}

/// Who made the commit. On the forge's pages that is the author: the committer is then GitHub itself.
pub fn committer_of(commit: &payload::Commit) -> Option<Actor> {
    match &commit.committer {
        Some(account) if is_web_flow(account) => author_of(commit),
        Some(account) => Some(account.actor()),
        None => commit.commit.committer.as_ref().and_then(|person| person.actor()),
    }
}

/// `workflow.changed` for each commit that touches a workflow or a local action, or may have.
pub fn workflow_changes(
    repository: &RepositoryRef,
    git_ref: &GitRef,
    listed: &[Listed],
    pusher: Option<&Actor>,
    pushed_at: Timestamp,
) -> Vec<Report> {
    listed
        .iter()
        .filter_map(|Listed { commit, workflows }| {
            let event = WorkflowChanged {
                repository: repository.clone(),
                git_ref: git_ref.clone(),
                commit: commit.id.clone(),
                paths: workflows.clone()?,
                author: commit.author.clone(),
                pusher: pusher.cloned(),
                pushed_at,
            };
            Some(Report { occurred: pushed_at, event: Event::WorkflowChanged(event) })
        })
        .collect()
}

pub fn commit_id(field: &'static str, text: &str) -> Result<CommitId, TranslateRefusal> {
    text.parse().map_err(TranslateRefusal::identity(field))
}
