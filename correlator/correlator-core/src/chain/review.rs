//! Is a commit reviewed, and is everything below it?
//!
//! A commit is reviewed when a merged change with enough approvals covers it: as the merge commit, or as part of the
//! pushed range that the change ended. Ancestors count: every commit pushed to the ref since coverage began.

use std::collections::BTreeMap;

use bus_schema::source::ReviewState;
use bus_schema::verdict::Witness;
use bus_schema::{Actor, CommitId, GitRef};
use jiff::Timestamp;

use crate::chain::inquiry::Inquiry;
use crate::contracts::pipeline::{Pipeline, SourceContract};
use crate::records::{RecordsError, Table};
use crate::state::source::{self, ChangeRecord, Merge, PushRecord, Review};
use crate::state::unit::fact;

/// The most pushes to one ref that are looked at below a commit: the newest ones.
const HISTORY_PUSHES_MAX: usize = 5000;
/// The most pushes that may bring one commit.
const PUSHES_OF_COMMIT_MAX: usize = 64;

/// What the records say about a commit and what lies below it on its ref.
pub(crate) struct History {
    /// The pushes to allowed branches that brought the commit.
    bringing: Vec<PushRecord>,
    /// All pushes to the branch up to the one that brought the commit, oldest first.
    below: Vec<PushRecord>,
    /// Later forced pushes to the branch.
    forced_later: Vec<PushRecord>,
    commit: CommitId,
}

/// The result of looking for reviews.
#[derive(Debug, Default)]
pub(crate) struct ReviewJudgement {
    pub(crate) objection: Option<Objection>,
    pub(crate) witnesses: Vec<Witness>,
    /// An exception covers a commit that would be an objection.
    pub(crate) waived_by: Option<String>,
    pub(crate) waived_instead_of: String,
}

#[derive(Debug)]
pub(crate) enum Objection {
    Commit { found: String },
    Ancestor { commit: CommitId, found: String },
    RulesBypassed { change: String },
}

impl History {
    pub(crate) fn of(
        inquiry: &Inquiry<'_>,
        source: &SourceContract,
        commit: &CommitId,
        git_ref: Option<&GitRef>,
    ) -> Result<History, RecordsError> {
        let repository = &source.repository;
        inquiry.depend_on(fact::commit(repository, commit));
        let mut bringing = pushes_of(inquiry, source, commit)?;
        bringing.retain(|push| {
            let is_allowed = source.refs.iter().any(|glob| glob.matches(push.git_ref.as_str()));
            is_allowed && push.git_ref.as_branch().is_some()
        });
        // The claimed branch first, where it is one; then by time.
        bringing.sort_by_key(|push| (Some(&push.git_ref) != git_ref, push.pushed_at));
        let branch = bringing
            .first()
            .map(|push| push.git_ref.clone())
            .or_else(|| git_ref.filter(|git_ref| git_ref.as_branch().is_some()).cloned());
        let mut history =
            History { bringing, below: Vec::new(), forced_later: Vec::new(), commit: commit.clone() };
        let Some(branch) = branch else { return Ok(history) };
        let merged_at =
            merges_of(inquiry, source, commit)?.into_iter().map(|(_, merge, _)| merge.merged_at).max();
        let up_to = history.bringing.first().map(|push| push.pushed_at).or(merged_at);
        let Some(up_to) = up_to else { return Ok(history) };
        inquiry.depend_on(fact::history(repository, &branch, up_to));
        let prefix = source::pushes_prefix(repository, &branch);
        let all: Vec<(String, PushRecord)> = inquiry.draft.scan(Table::Source, &prefix, usize::MAX)?;
        let newest = all.into_iter().map(|(_, push)| push).filter(|push| is_same_repository(source, push));
        for push in newest {
            match push.pushed_at <= up_to {
                true => history.below.push(push),
                false if push.forced || push.after.is_none() => history.forced_later.push(push),
                false => {}
            }
        }
        let surplus = history.below.len().saturating_sub(HISTORY_PUSHES_MAX);
        history.below.drain(..surplus);
        Ok(history)
    }

    pub(crate) fn is_on_allowed_ref(&self) -> bool {
        !self.bringing.is_empty()
    }

    /// What dropped the commit from its ref, if a forced push or a deletion did.
    pub(crate) fn forced_away(&self) -> Option<String> {
        let bringing = self.bringing.first()?;
        let forced = self.forced_later.iter().find(|forced| {
            let dropped_head = forced.before.as_ref();
            let is_dropped = dropped_head == Some(&self.commit) || dropped_head == bringing.after.as_ref();
            let is_kept = forced.after.as_ref() == Some(&self.commit)
                || forced.commits.iter().any(|commit| commit.id == self.commit);
            forced.after.is_some() && is_dropped && !is_kept
        })?;
        let is_back = self.bringing.iter().any(|push| push.pushed_at > forced.pushed_at);
        (!is_back).then(|| format!("a forced push to {} at {} dropped it", forced.git_ref, forced.pushed_at))
    }

    /// Whether the forge verified the commit's signature; `None` when nobody told.
    pub(crate) fn signature_verified(&self) -> Option<bool> {
        self.bringing
            .iter()
            .flat_map(|push| &push.commits)
            .find(|commit| commit.id == self.commit && commit.signature_verified.is_some())
            .and_then(|commit| commit.signature_verified)
    }

    /// Looks for the reviews of the commit and of everything below it.
    pub(crate) fn judge(
        &self,
        inquiry: &Inquiry<'_>,
        pipeline: &Pipeline,
        source: &SourceContract,
        commit: &CommitId,
    ) -> Result<ReviewJudgement, RecordsError> {
        let mut judgement = ReviewJudgement::default();
        let own = self.judge_own(inquiry, source, commit)?;
        match own {
            Reviewed::Yes { witness, bypassed: None } => judgement.witnesses.push(witness),
            Reviewed::Yes { bypassed: Some(change), .. } => {
                judgement.objection = Some(Objection::RulesBypassed { change });
                return Ok(judgement);
            }
            Reviewed::No { found } => match excepted(inquiry, pipeline, commit) {
                Some(exception) => {
                    judgement.waived_by = Some(exception);
                    judgement.waived_instead_of = format!("commit {commit}: {found}");
                }
                None => {
                    judgement.objection = Some(Objection::Commit { found });
                    return Ok(judgement);
                }
            },
        }
        for push in &self.below {
            inquiry.rest_on(std::slice::from_ref(&push.ground));
            for (below, found) in unreviewed_of(inquiry, source, push)? {
                if below == *commit {
                    continue;
                }
                // Commits of the same push that come after the commit are not below it.
                if is_after(push, commit, &below) {
                    continue;
                }
                match excepted(inquiry, pipeline, &below) {
                    Some(exception) => {
                        judgement.waived_by.get_or_insert(exception);
                        judgement.waived_instead_of = format!("commit {below}: {found}");
                    }
                    None => {
                        judgement.objection = Some(Objection::Ancestor { commit: below, found });
                        return Ok(judgement);
                    }
                }
            }
        }
        Ok(judgement)
    }

    fn judge_own(
        &self,
        inquiry: &Inquiry<'_>,
        source: &SourceContract,
        commit: &CommitId,
    ) -> Result<Reviewed, RecordsError> {
        let mut found = "no merged change is known for it".to_owned();
        for push in &self.bringing {
            match judge_push(inquiry, source, push)?.remove(commit) {
                Some(Reviewed::No { found: here }) => found = here,
                Some(reviewed) => return Ok(reviewed),
                None => {}
            }
        }
        // No push told of it, or none that helps: a merge may name it directly.
        for (number, merge, change) in merges_of(inquiry, source, commit)? {
            if !is_allowed_base(source, &merge) {
                continue;
            }
            match judge_change(source, &number, &merge, &change) {
                Reviewed::No { found: here } => found = here,
                reviewed => return Ok(reviewed),
            }
        }
        Ok(Reviewed::No { found })
    }
}

/// Whether a commit is reviewed, with who says so or what is missing.
#[derive(Debug, Clone)]
pub(crate) enum Reviewed {
    Yes { witness: Witness, bypassed: Option<String> },
    No { found: String },
}

/// Whether one commit that was pushed to allowed branches is reviewed; its ancestors do not matter here.
pub(crate) fn is_commit_reviewed(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    commit: &CommitId,
) -> Result<bool, RecordsError> {
    let history = History::of(inquiry, source, commit, None)?;
    Ok(matches!(history.judge_own(inquiry, source, commit)?, Reviewed::Yes { .. }))
}

fn is_same_repository(source: &SourceContract, push: &PushRecord) -> bool {
    source.repository.is_same(&push.repository)
}

fn pushes_of(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    commit: &CommitId,
) -> Result<Vec<PushRecord>, RecordsError> {
    let prefix = source::commit_pushes_prefix(&source.repository, commit);
    let mut pushes = Vec::new();
    for (_, key) in inquiry.draft.scan::<String>(Table::Source, &prefix, PUSHES_OF_COMMIT_MAX)? {
        if let Some(push) = inquiry.draft.get::<PushRecord>(Table::Source, &key)? {
            if is_same_repository(source, &push) {
                pushes.push(push);
            }
        }
    }
    Ok(pushes)
}

/// The merges that made a commit: number of the change, the fullest report of its merge, and the change.
fn merges_of(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    commit: &CommitId,
) -> Result<Vec<(String, Merge, ChangeRecord)>, RecordsError> {
    let prefix = source::merges_prefix(&source.repository, commit);
    let mut merges = Vec::new();
    for (key, change_key) in inquiry.draft.scan::<String>(Table::Source, &prefix, PUSHES_OF_COMMIT_MAX)? {
        let number = crate::records::parts(&key).last().copied().unwrap_or_default().to_owned();
        let Some(change) = inquiry.draft.get::<ChangeRecord>(Table::Source, &change_key)? else { continue };
        inquiry.rest_on(&change.ground);
        // Reports with a look-up sort last: the fullest one speaks.
        let merge = change.merges.iter().rfind(|merge| merge.merge_commit == *commit).cloned();
        if let Some(merge) = merge.filter(|merge| source.repository.is_same(&merge.repository)) {
            merges.push((number, merge, change));
        }
    }
    Ok(merges)
}

fn is_allowed_base(source: &SourceContract, merge: &Merge) -> bool {
    source.refs.iter().any(|glob| glob.matches(merge.base.as_str()))
}

/// Each commit of a push with whether it is reviewed.
fn judge_push(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    push: &PushRecord,
) -> Result<BTreeMap<CommitId, Reviewed>, RecordsError> {
    let mut commits: Vec<CommitId> = push.commits.iter().map(|commit| commit.id.clone()).collect();
    if let Some(after) = push.after.as_ref().filter(|after| !commits.contains(after)) {
        // A push whose list was cut, or that only moved the branch to a commit that is there already.
        if push.commits.is_empty() || push.commits_cut {
            commits.push(after.clone());
        }
    }
    let mut judged: BTreeMap<CommitId, Reviewed> = BTreeMap::new();
    let mut range_start = 0;
    for (index, commit) in commits.iter().enumerate() {
        for (number, merge, change) in merges_of(inquiry, source, commit)? {
            if merge.base != push.git_ref {
                continue;
            }
            let reviewed = judge_change(source, &number, &merge, &change);
            // The change covers its own commits, which end here: a longer range was not all part of it.
            let covered = usize::try_from(merge.commit_count).unwrap_or(usize::MAX).saturating_add(1);
            let first = range_start.max((index + 1).saturating_sub(covered));
            for commit in &commits[first..=index] {
                let is_better = !matches!(judged.get(commit), Some(Reviewed::Yes { .. }));
                if is_better {
                    judged.insert(commit.clone(), reviewed.clone());
                }
            }
            range_start = index + 1;
        }
    }
    for commit in commits {
        judged.entry(commit).or_insert_with(|| Reviewed::No {
            found: format!("pushed to {} without a merged change", push.git_ref),
        });
    }
    Ok(judged)
}

/// The commits of a push that need a review and have none, oldest first.
fn unreviewed_of(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    push: &PushRecord,
) -> Result<Vec<(CommitId, String)>, RecordsError> {
    let mut judged = judge_push(inquiry, source, push)?;
    let mut unreviewed = Vec::new();
    for commit in &push.commits {
        if let Some(Reviewed::No { found }) = judged.remove(&commit.id) {
            if touches(source, commit.paths.as_deref()) {
                unreviewed.push((commit.id.clone(), found));
            }
        }
    }
    unreviewed.extend(judged.into_iter().filter_map(|(commit, reviewed)| match reviewed {
        Reviewed::No { found } => Some((commit, found)),
        Reviewed::Yes { .. } => None,
    }));
    Ok(unreviewed)
}

/// Whether changed paths concern the pipeline. Workflows and local actions always do; unknown paths count as touched.
fn touches(source: &SourceContract, paths: Option<&[String]>) -> bool {
    let Some(paths) = paths else { return true };
    source.paths.is_empty()
        || paths.iter().any(|path| {
            let is_workflow = path.starts_with(".github/");
            let is_action = path.ends_with("action.yml") || path.ends_with("action.yaml");
            is_workflow || is_action || source.paths.iter().any(|glob| glob.matches(path))
        })
}

fn is_after(push: &PushRecord, commit: &CommitId, other: &CommitId) -> bool {
    let position = |wanted: &CommitId| push.commits.iter().position(|known| known.id == *wanted);
    match (position(commit), position(other)) {
        (Some(commit), Some(other)) => other > commit,
        _ => false,
    }
}

/// Whether a change has enough approvals that count.
fn judge_change(source: &SourceContract, number: &str, merge: &Merge, change: &ChangeRecord) -> Reviewed {
    let approvers = approvers(source, merge, change);
    let needed = usize::try_from(source.reviews).unwrap_or(usize::MAX);
    if approvers.len() < needed {
        let who = match approvers.is_empty() {
            true => "no approval that counts".to_owned(),
            false => format!("approved only by {}", approvers.join(", ")),
        };
        return Reviewed::No { found: format!("change #{number} has {who}") };
    }
    Reviewed::Yes {
        witness: Witness {
            who: "forge".to_owned(),
            says: format!("change #{number} approved by {}", approvers.join(", ")),
        },
        bypassed: (merge.bypassed_rules == Some(true)).then(|| number.to_owned()),
    }
}

/// The people whose approval counts: write access, the last state of each, on the final head or one that only merges of
/// the base followed, neither author nor last pusher, no bots unless the contract says so. While the last pusher is
/// unknown nobody's approval counts: it could be theirs.
fn approvers(source: &SourceContract, merge: &Merge, change: &ChangeRecord) -> Vec<String> {
    let Some(last_pusher) = &merge.last_pusher else { return Vec::new() };
    let mut last_states: BTreeMap<String, (Timestamp, u64, &Review)> = BTreeMap::new();
    for (id, reports) in &change.reviews {
        // Of several reports of one review the latest speaks, and of equals the one that knows the permission.
        let Some(report) = reports.last() else { continue };
        let state_counts = matches!(
            report.state,
            ReviewState::Approved | ReviewState::ChangesRequested | ReviewState::Dismissed
        );
        if !state_counts {
            continue;
        }
        let account = account_key(&report.reviewer);
        let is_newer =
            last_states.get(&account).is_none_or(|(at, known, _)| (*at, *known) < (report.submitted_at, *id));
        if is_newer {
            last_states.insert(account, (report.submitted_at, *id, report));
        }
    }
    let counts = |review: &Review| {
        let on_final_head = review
            .head
            .as_ref()
            .is_some_and(|head| *head == merge.head || merge.equivalent_heads.contains(head));
        review.state == ReviewState::Approved
            && review.permission.as_ref().is_some_and(|permission| permission.may_write())
            && on_final_head
            && !review.reviewer.is_same(&merge.author)
            && !review.reviewer.is_same(last_pusher)
            && (source.bots_may_review || !review.reviewer.bot)
    };
    last_states
        .into_values()
        .filter(|(_, _, review)| counts(review))
        .map(|(_, _, review)| review.reviewer.name.clone())
        .collect()
}

fn account_key(actor: &Actor) -> String {
    match &actor.id {
        Some(id) => format!("id {id}"),
        None => actor.name.to_ascii_lowercase(),
    }
}

/// The exception in force for a commit under a pipeline, if there is one.
fn excepted(inquiry: &Inquiry<'_>, pipeline: &Pipeline, commit: &CommitId) -> Option<String> {
    let exception = inquiry.contracts.exceptions.values().find(|exception| {
        exception.scope.pipeline == pipeline.name
            && exception.scope.commits.contains(commit)
            && exception.is_in_force(inquiry.now)
    })?;
    inquiry.look_again_at(exception.expires);
    Some(exception.name.clone())
}
