//! What lies below a commit: the branch that brought it, up to it, and the branches that this one was made from or brought up
//! to, each up to where it stood then.
//!
//! A forge tells of a branch that is made at a known commit where it was made and nothing else; what lies below was pushed to
//! another branch. Whoever may make branches must not be able to hide it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bus_schema::{CommitId, GitRef};
use jiff::Timestamp;

use crate::chain::branch::{Branch, Step, commits_of};
use crate::chain::inquiry::Inquiry;
use crate::chain::pushed::{is_allowed_base, is_to_allowed_branch, merges_of, pushes_of};
use crate::chain::recorded::HISTORY_PUSHES_MAX;
use crate::chain::walked::{self, Reading};
use crate::contracts::pipeline::SourceContract;
use crate::records::RecordsError;
use crate::state::source::PushRecord;
use crate::state::unit::fact;

/// The most branches that are followed below a commit.
const BRANCHES_MAX: usize = 8;

/// What lies below a commit.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    pub(crate) parts: Vec<Part>,
    /// Commits below which more lies than was seen.
    pub(crate) not_seen: Vec<Unreviewed>,
    /// What dropped the commit from the branch that brought it, if a forced push did later.
    pub(crate) forced_away: Option<String>,
}

/// A commit without a review that counts, and what says so.
#[derive(Debug, Clone)]
pub(crate) struct Unreviewed {
    pub(crate) commit: CommitId,
    pub(crate) found: String,
    /// The branch on which nobody saw how it got there; where that is known, the forge is asked about every branch.
    pub(crate) git_ref: Option<GitRef>,
}

/// A branch up to a commit.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) git_ref: GitRef,
    pub(crate) branch: Branch,
    pub(crate) commit: CommitId,
    /// Commits of its pushes that another part has, because they were on that branch before.
    pub(crate) of_another: BTreeSet<CommitId>,
}

/// Where a branch is followed up to: a commit, and the time of the push that brought it there.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) git_ref: GitRef,
    pub(crate) up_to: Timestamp,
    pub(crate) commit: CommitId,
}

impl Lineage {
    pub(crate) fn of(
        inquiry: &Inquiry<'_>,
        source: &SourceContract,
        covered_since: Option<Timestamp>,
        first: Walk,
    ) -> Result<Lineage, RecordsError> {
        let since = covered_since.unwrap_or(Timestamp::MIN);
        let mut lineage = Lineage::default();
        let mut followed: BTreeMap<GitRef, (Timestamp, CommitId)> = BTreeMap::new();
        let mut walks = VecDeque::from([first]);
        while let Some(walk) = walks.pop_front() {
            let is_followed = |(up_to, commit): &(Timestamp, CommitId)| {
                *up_to > walk.up_to || (*up_to == walk.up_to && *commit == walk.commit)
            };
            if followed.get(&walk.git_ref).is_some_and(is_followed) {
                continue;
            }
            if lineage.parts.len() >= BRANCHES_MAX {
                let found = format!("more than {BRANCHES_MAX} branches were made from each other above it");
                lineage.not_seen.push(Unreviewed { commit: walk.commit, found, git_ref: None });
                break;
            }
            followed.insert(walk.git_ref.clone(), (walk.up_to, walk.commit.clone()));
            let key = inquiry.source_key(&source.repository)?;
            inquiry.depend_on(fact::history(&key, &walk.git_ref, walk.up_to));
            let Some(reading) = walked::read(inquiry, source, covered_since, &walk)? else { continue };
            let Reading { branch, dropped, forced_away } = reading;
            if lineage.parts.is_empty() {
                lineage.forced_away = forced_away;
            }
            if let Some(dropped) = dropped.filter(|push| push.pushed_at >= since) {
                let found =
                    format!("more than {HISTORY_PUSHES_MAX} pushes to {} came after it", walk.git_ref);
                let commit = dropped.after.clone().unwrap_or_else(|| walk.commit.clone());
                lineage.not_seen.push(Unreviewed { commit, found, git_ref: None });
            }
            let mut of_another = BTreeSet::new();
            for step in starts(&branch).filter(|step| step.push.pushed_at >= since) {
                match start_of(inquiry, source, &branch, step)? {
                    Start::On { walks: others, passed } => {
                        of_another.extend(passed);
                        walks.extend(others);
                    }
                    Start::NotSeen(not_seen) => lineage.not_seen.push(not_seen),
                    Start::Itself => {}
                }
            }
            let Walk { git_ref, commit, .. } = walk;
            lineage.parts.push(Part { git_ref, branch, commit, of_another });
        }
        Ok(lineage)
    }
}

/// The pushes that do not tell all of what they brought: the one that made the branch, and those whose lists were cut.
fn starts(branch: &Branch) -> impl Iterator<Item = &Step> {
    let cut = |step: &&Step| step.push.commits_cut && step.push.before.is_some() && !step.commits.is_empty();
    branch.made_by().into_iter().chain(branch.line.iter().filter(cut))
}

/// Where a push began that does not tell it.
enum Start {
    /// At a commit that other allowed branches had by then: those up to it, and what of the push they had.
    On { walks: Vec<Walk>, passed: Vec<CommitId> },
    /// Nobody knows what lies below this commit.
    NotSeen(Unreviewed),
    /// The push has nothing but the commit at which it ends, or is objected to by itself.
    Itself,
}

fn start_of(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    branch: &Branch,
    step: &Step,
) -> Result<Start, RecordsError> {
    let push = &step.push;
    let made_it = branch.makes(push);
    let is_set = made_it || push.forced;
    let listed: Vec<&CommitId> = push.commits.iter().map(|commit| &commit.id).collect();
    let parent = push.commits.first().and_then(|first| first.parents.first()).filter(|_| is_set);
    // What a forced push does not list lies below what the branch had before.
    let before = push.before.as_ref().filter(|_| push.forced);
    // From the newest on. What else came with a list that was cut may lie beside any of its commits but the last.
    let listed_first = push.after.iter().chain(listed.iter().rev().copied().filter(|_| is_set));
    for commit in listed_first.chain(parent).chain(before) {
        if !listed.contains(&commit) || push.after.as_ref() == Some(commit) {
            inquiry.depend_on(fact::commit(&inquiry.source_key(&source.repository)?, commit));
        }
        let walks = walks_to(inquiry, source, push, commit)?;
        if walks.is_empty() {
            continue;
        }
        let older = listed.iter().position(|listed| *listed == commit).map_or(0, |index| index + 1);
        let passed = match push.after.as_ref() == Some(commit) {
            true => step.commits.clone(),
            false => listed[..older].iter().copied().cloned().collect(),
        };
        return Ok(Start::On { walks, passed });
    }
    let Some(first) = push.commits.first().filter(|_| made_it) else { return Ok(Start::Itself) };
    Ok(Start::NotSeen(match parent {
        Some(parent) => Unreviewed {
            commit: parent.clone(),
            found: format!("nobody saw how it was pushed, and {} was made from it", push.git_ref),
            git_ref: None,
        },
        None => Unreviewed {
            commit: first.id.clone(),
            found: format!("nobody saw what {} was made from", push.git_ref),
            git_ref: Some(push.git_ref.clone()),
        },
    }))
}

/// The other allowed branches that had a commit by the time of a push, each up to it: those that it was pushed to or merged
/// into, or, where it only was what branches were made at, the first of these.
fn walks_to(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    push: &PushRecord,
    commit: &CommitId,
) -> Result<Vec<Walk>, RecordsError> {
    let walk = |git_ref: GitRef, up_to: Timestamp| Walk { git_ref, up_to, commit: commit.clone() };
    let mut others = pushes_of(inquiry, source, commit)?;
    others.retain(|other| {
        is_to_allowed_branch(source, other)
            && other.git_ref != push.git_ref
            && other.pushed_at <= push.pushed_at
    });
    let (made, brought): (Vec<PushRecord>, Vec<PushRecord>) =
        others.into_iter().partition(|other| other.before.is_none() && commits_of(other) == [commit.clone()]);
    let mut walks: Vec<Walk> =
        brought.into_iter().map(|other| walk(other.git_ref, other.pushed_at)).collect();
    for (_, merge, _) in merges_of(inquiry, source, commit)? {
        let is_before = merge.base != push.git_ref && merge.merged_at <= push.pushed_at;
        if is_before && is_allowed_base(source, &merge) {
            walks.push(walk(merge.base, merge.merged_at));
        }
    }
    if walks.is_empty() {
        let first = made.into_iter().min_by_key(|other| other.pushed_at);
        walks.extend(first.map(|other| walk(other.git_ref, other.pushed_at)));
    }
    Ok(walks)
}
