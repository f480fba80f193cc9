//! `push`: a branch or tag was created, moved or deleted.

use bus_schema::source::{CommitPushed, PUSH_COMMITS_MAX, PushedCommit, SourceTagMoved};
use bus_schema::{Actor, CommitId, Event, ForgeHost, GitRef};
use github_client::report::{Report, Translated};
use jiff::Timestamp;

use super::commits::Listed;
use super::{TranslateRefusal, commits, fit};
use crate::github::payload::Push;

pub(super) fn translate(host: &ForgeHost, push: &Push) -> Result<Translated, TranslateRefusal> {
    let git_ref: GitRef = push.git_ref.parse().map_err(TranslateRefusal::identity("ref"))?;
    if git_ref.as_branch().is_none() && git_ref.as_tag().is_none() {
        return Ok(Translated::NothingToSay("the ref is neither a branch nor a tag"));
    }
    let repository = push.repository.reference(host).map_err(TranslateRefusal::identity("repository"))?;
    let before = CommitId::parse_or_zero(&push.before).map_err(TranslateRefusal::identity("before"))?;
    let after = CommitId::parse_or_zero(&push.after).map_err(TranslateRefusal::identity("after"))?;
    check_flags(push, before.is_some(), after.is_some())?;
    let pushed_at = pushed_at(push)?;
    let pusher = pusher(push);
    let listed: Vec<Listed> = push.commits.iter().map(commits::of_push).collect::<Result<_, _>>()?;
    let changes = commits::workflow_changes(&repository, &git_ref, &listed, pusher.as_ref(), pushed_at);
    let listed: Vec<PushedCommit> = listed.into_iter().map(|listed| listed.commit).collect();

    let event = if git_ref.as_tag().is_some() {
        // For an annotated tag `after` names the tag object, and only the head commit tells where it leads.
        let commit = match (&push.head_commit, &after) {
            (Some(head), Some(_)) => Some(commits::commit_id("head_commit.id", &head.id)?),
            _ => None,
        };
        Event::SourceTagMoved(SourceTagMoved {
            repository,
            git_ref,
            before,
            after,
            commit,
            pusher,
            pushed_at,
        })
    } else {
        let commits_cut = is_cut(push, &listed, after.as_ref());
        let forced = push.forced;
        let mut pushed = CommitPushed {
            repository,
            git_ref,
            before,
            after,
            forced,
            pusher,
            commits: listed,
            commits_cut,
            looked_up: false,
            pushed_at,
        };
        fit::fit(&mut pushed);
        Event::CommitPushed(pushed)
    };
    let mut reports = vec![Report { occurred: pushed_at, event }];
    reports.extend(changes);
    Ok(Translated::Reports(reports))
}

/// `created` and `deleted` repeat what the ids say; a body in which they differ is not GitHub's.
fn check_flags(push: &Push, has_before: bool, has_after: bool) -> Result<(), TranslateRefusal> {
    let contradiction = |why| Err(TranslateRefusal::Contradiction { what: "before and after", why });
    match (has_before, has_after) {
        (false, false) => contradiction("both are zero"),
        (true, true) if push.created || push.deleted => {
            contradiction("created or deleted, but neither is zero")
        }
        (false, true) if push.deleted => contradiction("deleted, but before is zero"),
        (true, false) if push.created => contradiction("created, but after is zero"),
        _ => Ok(()),
    }
}

/// The time that the body states: the repository's, else the head commit's.
fn pushed_at(push: &Push) -> Result<Timestamp, TranslateRefusal> {
    let head_time = || push.head_commit.as_ref().and_then(|head| head.timestamp);
    let time = push.repository.pushed_at.or_else(head_time);
    time.map(|time| time.0).ok_or(TranslateRefusal::Missing { field: "repository.pushed_at" })
}

/// The account; the name that git was given only where there is none.
fn pusher(push: &Push) -> Option<Actor> {
    let account = push.sender.as_ref().map(|sender| sender.actor());
    account.or_else(|| push.pusher.as_ref().and_then(|person| person.actor()))
}

/// Whether the push holds more commits than the body lists.
fn is_cut(push: &Push, listed: &[PushedCommit], after: Option<&CommitId>) -> bool {
    let Some(after) = after else { return false };
    if listed.len() >= PUSH_COMMITS_MAX {
        return true;
    }
    match listed.is_empty() {
        // A branch made at a known commit, or set back to one, brings none. Moving forward always brings some.
        true => !push.created && !push.forced,
        false => listed.iter().all(|commit| commit.id != *after),
    }
}
