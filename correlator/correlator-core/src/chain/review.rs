//! Is a commit reviewed, and is everything below it?
//!
//! A commit is reviewed when a merged change with enough approvals covers it: as the merge commit, or as part of the
//! pushed range that the change ended, on any allowed branch. Ancestors count: every commit pushed to the ref since coverage
//! began, and to the branches that it was made from.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bus_schema::question::Question;
use bus_schema::verdict::{LinkKind, Witness};
use bus_schema::{CommitId, GitRef};
use jiff::Timestamp;

use crate::chain::approval::{Reviewed, judge_change};
use crate::chain::branch::{Step, commits_of};
use crate::chain::image_facts::ImageFacts;
use crate::chain::inquiry::{Inquiry, Notes};
use crate::chain::lineage::{Lineage, Unreviewed, Walk};
use crate::chain::pushed::{is_allowed_base, is_to_allowed_branch, merges_of, pushes_of};
use crate::contracts::exception::Objected;
use crate::contracts::pipeline::{Pipeline, SourceContract};
use crate::ledger::questions::Wanted;
use crate::records::RecordsError;
use crate::state::source::PushRecord;
use crate::state::unit::fact;

/// The most commits below one whose reviews elsewhere mark what is built from it.
const DEPENDED_ON_MAX: usize = 256;

/// What the records say about a commit and what lies below it on its ref.
pub(crate) struct History {
    /// The pushes to allowed branches that brought the commit.
    bringing: Vec<PushRecord>,
    below: Lineage,
    git_ref: Option<GitRef>,
    commit: CommitId,
    /// A change whose merge made the commit is known.
    is_merge: bool,
    /// Since when the forge's pushes are seen.
    covered_since: Option<Timestamp>,
    notes: Notes,
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
    /// Nobody saw the commit on an allowed ref.
    Unknown,
    Commit {
        found: String,
    },
    Ancestor(Unreviewed),
    RulesBypassed {
        change: String,
    },
}

/// How far a history goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The commit alone.
    Commit,
    Below,
}

impl History {
    pub(crate) fn of(
        inquiry: &Inquiry<'_>,
        source: &SourceContract,
        commit: &CommitId,
        git_ref: Option<&GitRef>,
        depth: Depth,
    ) -> Result<History, RecordsError> {
        let repository = &source.repository;
        let key = inquiry.source_key(repository)?;
        inquiry.depend_on(fact::commit(&key, commit));
        let mut bringing = pushes_of(inquiry, source, commit)?;
        bringing.retain(|push| is_to_allowed_branch(source, push));
        // The claimed branch first, where it is one; then by time.
        bringing.sort_by_key(|push| (Some(&push.git_ref) != git_ref, push.pushed_at));
        let mut merges = merges_of(inquiry, source, commit)?;
        merges.retain(|(_, merge, _)| is_allowed_base(source, merge));
        let last_merge = merges.iter().map(|(_, merge, _)| merge).max_by_key(|merge| merge.merged_at);
        let merged_at = last_merge.map(|merge| merge.merged_at);
        // A tag's commit came by a branch: the one that it was pushed to, or that its change was merged into.
        let branch = bringing
            .first()
            .map(|push| push.git_ref.clone())
            .or_else(|| last_merge.map(|merge| merge.base.clone()))
            .or_else(|| git_ref.filter(|git_ref| git_ref.as_branch().is_some()).cloned());
        let mut history = History {
            bringing,
            below: Lineage::default(),
            git_ref: branch.clone(),
            commit: commit.clone(),
            is_merge: merged_at.is_some(),
            covered_since: inquiry.forge_covered_since("source", repository)?,
            notes: Notes::default(),
        };
        let (Depth::Below, Some(branch)) = (depth, branch) else { return Ok(history) };
        let up_to = history.bringing.first().map(|push| push.pushed_at).or(merged_at);
        let Some(up_to) = up_to else { return Ok(history) };
        let walk = Walk { git_ref: branch, up_to, commit: commit.clone() };
        history.below = Lineage::of(inquiry, source, history.covered_since, walk)?;
        Ok(history)
    }

    pub(crate) fn is_on_allowed_ref(&self) -> bool {
        !self.bringing.is_empty()
    }

    /// Whether the commit came to its ref before the forge's pushes were seen.
    pub(crate) fn is_from_before_coverage(&self) -> bool {
        match (self.bringing.first(), self.covered_since) {
            (Some(bringing), Some(since)) => bringing.pushed_at < since,
            _ => false,
        }
    }

    /// What dropped the commit from its ref, if a forced push did.
    pub(crate) fn forced_away(&self) -> Option<String> {
        self.below.forced_away.clone().filter(|_| self.is_on_allowed_ref() || self.is_merge)
    }

    /// Whether the forge verified the commit's signature; `None` when nobody told.
    pub(crate) fn signature_verified(&self) -> Option<bool> {
        self.bringing
            .iter()
            .flat_map(|push| &push.commits)
            .find(|commit| commit.id == self.commit && commit.signature_verified.is_some())
            .and_then(|commit| commit.signature_verified)
    }

    /// The commits below that need a review and have none, and those of which nobody saw how they came there.
    fn unreviewed_below(
        &self,
        inquiry: &Inquiry<'_>,
        source: &SourceContract,
        commit: &CommitId,
    ) -> Result<Vec<Unreviewed>, RecordsError> {
        let since = self.covered_since.unwrap_or(Timestamp::MIN);
        let mut unreviewed = Vec::new();
        let mut elsewhere = Elsewhere { since, reviewed: BTreeMap::new(), depended_on: 0 };
        for part in &self.below.parts {
            for step in part.branch.line.iter().filter(|step| step.push.pushed_at >= since) {
                let Some(not_proven) = NotProven::of(inquiry, source, step)? else { continue };
                inquiry.rest_on(std::slice::from_ref(&step.push.ground));
                inquiry.add(&not_proven.notes);
                let is_on_it = |commit: &CommitId| !part.of_another.contains(commit);
                if let Some((after, found)) = not_proven.end.filter(|(after, _)| is_on_it(after)) {
                    unreviewed.push(Unreviewed { commit: after, found, git_ref: None });
                }
                for (below, found) in not_proven.commits {
                    let is_below = below != *commit
                        && is_on_it(&below)
                        // Commits of the same push that come after the commit are not below it.
                        && !is_after(&step.push, &part.commit, &below);
                    if is_below && !elsewhere.is_reviewed(inquiry, source, &step.push.git_ref, &below)? {
                        unreviewed.push(Unreviewed { commit: below, found, git_ref: None });
                    }
                }
            }
        }
        unreviewed.extend(self.below.not_seen.iter().cloned());
        let mut asked = Vec::new();
        for part in &self.below.parts {
            let (first, missed) = part.branch.gaps(since);
            for missed in missed {
                inquiry.depend_on(fact::commit(&inquiry.source_key(&source.repository)?, &missed));
                if !is_merged_with_review(inquiry, source, &missed)? {
                    let found = "nobody saw how it was pushed".to_owned();
                    let git_ref = Some(part.git_ref.clone());
                    unreviewed.push(Unreviewed { commit: missed, found, git_ref });
                }
            }
            asked.extend(first.map(|first| (first, Some(part.git_ref.clone()))));
        }
        // The push before the first one that is known may have been missed; most often the branch stood there when the
        // coverage began. A merge is known before its push is, and what lies below is known with the push.
        if !self.is_on_allowed_ref() {
            asked.push((commit.clone(), self.git_ref.clone()));
        }
        for (asked, git_ref) in asked.into_iter().filter(|_| self.covered_since.is_some()) {
            ask_how_it_was_pushed(inquiry, source, asked, git_ref)?;
        }
        Ok(unreviewed)
    }

    /// Whether the commit itself is reviewed. One that is known to touch nothing of the pipeline needs no review.
    fn judge_own(
        &self,
        inquiry: &Inquiry<'_>,
        source: &SourceContract,
        commit: &CommitId,
    ) -> Result<Reviewed, RecordsError> {
        let mut found = "no merged change is known for it".to_owned();
        for push in &self.bringing {
            inquiry.rest_on(std::slice::from_ref(&push.ground));
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
        match self.touches_nothing(source, commit) {
            true => Ok(Reviewed::NotNeeded),
            false => Ok(Reviewed::No { found }),
        }
    }

    /// Whether the commit is known to touch nothing of the pipeline. A push that made a branch does not tell what lies below
    /// its commits.
    fn touches_nothing(&self, source: &SourceContract, commit: &CommitId) -> bool {
        touches_nothing(source, &self.bringing, commit)
    }
}

/// What of a step is not proven to be reviewed, as far as its own branch tells, with what came up.
struct NotProven {
    /// Its end, where it brought more than is listed.
    end: Option<(CommitId, String)>,
    commits: Vec<(CommitId, String)>,
    notes: Notes,
}

impl NotProven {
    fn of(
        inquiry: &Inquiry<'_>,
        source: &SourceContract,
        step: &Step,
    ) -> Result<Option<NotProven>, RecordsError> {
        let aside = inquiry.aside();
        let end = not_listed(&aside, source, &step.push)?;
        let end = end.filter(|(after, _)| step.commits.contains(after));
        let mut commits = unreviewed_of(&aside, source, &step.push)?;
        commits.retain(|(commit, _)| step.commits.contains(commit));
        let is_proven = end.is_none() && commits.is_empty();
        Ok((!is_proven).then(|| NotProven { end, commits, notes: aside.into_notes() }))
    }
}

/// Whether something is to be said of a step when reviews are looked for.
pub(super) fn is_objected_to(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    step: &Step,
) -> Result<bool, RecordsError> {
    Ok(source.reviews > 0 && NotProven::of(inquiry, source, step)?.is_some())
}

/// Asks the forge for a push, and waits for no answer.
fn ask_how_it_was_pushed(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    commit: CommitId,
    git_ref: Option<GitRef>,
) -> Result<(), RecordsError> {
    inquiry.depend_on(fact::commit(&inquiry.source_key(&source.repository)?, &commit));
    let why = format!("looking for how commit {commit} was pushed");
    let question = Question::Commit { repository: source.repository.clone(), commit, git_ref };
    if inquiry.question(&question)?.is_none_or(|record| record.attempts == 0) {
        inquiry.want(Wanted { question, why, attempt: 1 });
    }
    Ok(())
}

/// Whether every push that knows the commit's changed paths says that they do not concern the pipeline, and one of them
/// went on from what its branch had.
fn touches_nothing(source: &SourceContract, pushes: &[PushRecord], commit: &CommitId) -> bool {
    let of_it = |push: &PushRecord| -> Option<(bool, bool)> {
        let listed = push.commits.iter().find(|listed| listed.id == *commit)?;
        let paths = listed.paths.as_deref()?;
        Some((push.before.is_some(), touches(source, Some(paths))))
    };
    let known: Vec<(bool, bool)> = pushes.iter().filter_map(of_it).collect();
    known.iter().any(|(goes_on, _)| *goes_on) && known.iter().all(|(_, touches)| !touches)
}

/// Reviews of commits that were pushed to other allowed branches too: what a branch was made from, or brought up to.
struct Elsewhere {
    /// What came to an allowed branch before the forge's pushes were seen needs no review.
    since: Timestamp,
    /// The reviewed commits of each push that was looked at.
    reviewed: BTreeMap<(GitRef, Timestamp, Option<CommitId>), BTreeSet<CommitId>>,
    depended_on: usize,
}

impl Elsewhere {
    fn is_reviewed(
        &mut self,
        inquiry: &Inquiry<'_>,
        source: &SourceContract,
        here: &GitRef,
        commit: &CommitId,
    ) -> Result<bool, RecordsError> {
        if self.depended_on < DEPENDED_ON_MAX {
            self.depended_on += 1;
            inquiry.depend_on(fact::commit(&inquiry.source_key(&source.repository)?, commit));
        }
        if is_merged_with_review(inquiry, source, commit)? {
            return Ok(true);
        }
        let mut pushes = pushes_of(inquiry, source, commit)?;
        pushes.retain(|push| is_to_allowed_branch(source, push));
        if touches_nothing(source, &pushes, commit) {
            return Ok(true);
        }
        for push in pushes.into_iter().filter(|push| push.git_ref != *here) {
            if push.pushed_at < self.since {
                return Ok(true);
            }
            let key = (push.git_ref.clone(), push.pushed_at, push.after.clone());
            let reviewed = match self.reviewed.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let judged = judge_push(inquiry, source, &push)?.into_iter();
                    let is_yes = |reviewed: &Reviewed| matches!(reviewed, Reviewed::Yes { .. });
                    new.insert(judged.filter(|(_, reviewed)| is_yes(reviewed)).map(|(id, _)| id).collect())
                }
            };
            if reviewed.contains(commit) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A commit's history and reviews under one pipeline, apart from any image: many images are built from one commit.
pub(crate) struct Remembered {
    pub(crate) history: History,
    own: Reviewed,
    own_notes: Notes,
    /// Commits below without a review.
    below: Vec<Unreviewed>,
    below_notes: Notes,
}

impl Remembered {
    pub(crate) fn of(
        inquiry: &Inquiry<'_>,
        pipeline: &Pipeline,
        source: &SourceContract,
        commit: &CommitId,
        git_ref: Option<&GitRef>,
    ) -> Result<Rc<Remembered>, RecordsError> {
        let git_ref_text = git_ref.map_or("-", GitRef::as_str);
        let key = crate::records::key([pipeline.name.as_str(), commit.as_str(), git_ref_text]);
        if let Some(known) = inquiry.memo.review(&key) {
            inquiry.add(&known.history.notes);
            return Ok(known);
        }
        let aside = inquiry.aside();
        let mut history = History::of(&aside, source, commit, git_ref, Depth::Below)?;
        history.notes = aside.into_notes();
        let aside = inquiry.aside();
        let own = history.judge_own(&aside, source, commit)?;
        let own_notes = aside.into_notes();
        let aside = inquiry.aside();
        let below = match source.reviews {
            0 => Vec::new(),
            _ => history.unreviewed_below(&aside, source, commit)?,
        };
        let below_notes = aside.into_notes();
        // It is kept for as long as other images of the commit may be judged.
        history.below.parts.clear();
        inquiry.add(&history.notes);
        let review = Rc::new(Remembered { history, own, own_notes, below, below_notes });
        inquiry.memo.keep_review(key, Rc::clone(&review));
        Ok(review)
    }

    /// All that was found, as text.
    #[cfg(test)]
    pub(crate) fn told(&self) -> String {
        let (own, below, history) = (&self.own, &self.below, &self.history);
        let notes = [&history.notes, &self.own_notes, &self.below_notes];
        format!("{own:#?}\n{below:#?}\n{:#?}\n{notes:#?}", history.forced_away())
    }

    /// Looks for the reviews of the commit and of everything below it.
    pub(crate) fn judge(
        &self,
        inquiry: &Inquiry<'_>,
        image: &ImageFacts,
        pipeline: &Pipeline,
        commit: &CommitId,
    ) -> ReviewJudgement {
        let mut judgement = ReviewJudgement::default();
        inquiry.add(&self.own_notes);
        let history = &self.history;
        let object = |objection| ReviewJudgement { objection: Some(objection), ..Default::default() };
        let objection = match self.own.clone() {
            Reviewed::Yes { witness, bypassed: None } => {
                judgement.witnesses.push(witness);
                None
            }
            Reviewed::Yes { bypassed: Some(change), .. } => Some(Objection::RulesBypassed { change }),
            Reviewed::NotNeeded => {
                let says = format!("commit {commit} touches none of the pipeline's paths");
                judgement.witnesses.push(Witness { who: "forge".to_owned(), says });
                None
            }
            Reviewed::No { .. } if !history.is_on_allowed_ref() && !history.is_merge => {
                Some(Objection::Unknown)
            }
            Reviewed::No { found } => Some(Objection::Commit { found }),
        };
        if let Some(objection) = objection {
            match excepted(inquiry, image, pipeline, commit) {
                Some(exception) => {
                    judgement.waived_by = Some(exception);
                    judgement.waived_instead_of = format!("commit {commit}: {}", objection.found());
                }
                None => return object(objection),
            }
        }
        inquiry.add(&self.below_notes);
        for below in &self.below {
            match excepted(inquiry, image, pipeline, &below.commit) {
                Some(exception) => {
                    judgement.waived_by.get_or_insert(exception);
                    judgement.waived_instead_of = format!("commit {}: {}", below.commit, below.found);
                }
                None => return object(Objection::Ancestor(below.clone())),
            }
        }
        judgement
    }
}

/// Whether one commit that was pushed to allowed branches is reviewed; its ancestors do not matter here.
pub(crate) fn is_commit_reviewed(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    commit: &CommitId,
) -> Result<bool, RecordsError> {
    let history = History::of(inquiry, source, commit, None, Depth::Commit)?;
    Ok(matches!(history.judge_own(inquiry, source, commit)?, Reviewed::Yes { .. }))
}

/// Each commit of a push with whether it is reviewed.
fn judge_push(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    push: &PushRecord,
) -> Result<BTreeMap<CommitId, Reviewed>, RecordsError> {
    let commits = commits_of(push);
    let mut judged: BTreeMap<CommitId, Reviewed> = BTreeMap::new();
    let places: BTreeMap<&CommitId, usize> =
        commits.iter().enumerate().map(|(place, commit)| (commit, place)).collect();
    let is_before = |end: usize| {
        let places = &places;
        move |commit: &&CommitId| places.get(*commit).is_some_and(|place| *place < end)
    };
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
            // Where its head was pushed as it was, so were the others: a merge by hand can bring more than they are.
            let is_listed = !merge.commits.is_empty() && places.contains_key(&merge.head);
            let own: Vec<&CommitId> = match is_listed {
                true => merge.commits.iter().filter(is_before(index)).chain([commit]).collect(),
                false => commits[first..=index].iter().collect(),
            };
            for commit in own {
                let is_better = !matches!(judged.get(commit), Some(Reviewed::Yes { .. }));
                if is_better {
                    judged.insert(commit.clone(), reviewed.clone());
                }
            }
            range_start = index + 1;
        }
    }
    for commit in &commits {
        judged.entry(commit.clone()).or_insert_with(|| Reviewed::No {
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
    // What lies below the commits with which a branch was made is not known to be nothing of the pipeline's.
    let is_made = push.before.is_none();
    for commit in &push.commits {
        if let Some(Reviewed::No { found }) = judged.remove(&commit.id)
            && (is_made || touches(source, commit.paths.as_deref()))
        {
            unreviewed.push((commit.id.clone(), found));
        }
    }
    unreviewed.extend(judged.into_iter().filter_map(|(commit, reviewed)| match reviewed {
        Reviewed::No { found } => Some((commit, found)),
        Reviewed::Yes { .. } | Reviewed::NotNeeded => None,
    }));
    Ok(unreviewed)
}

/// A push that brought more commits than were listed, unless a reviewed change of at least as many ended it: nobody knows
/// what else came with it. What made a branch, or was looked up without a beginning, is followed to where it came from.
fn not_listed(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    push: &PushRecord,
) -> Result<Option<(CommitId, String)>, RecordsError> {
    let Some(after) = push.after.as_ref().filter(|_| push.commits_cut && push.before.is_some()) else {
        return Ok(None);
    };
    for (number, merge, change) in merges_of(inquiry, source, after)? {
        let is_as_long =
            usize::try_from(merge.commit_count).is_ok_and(|count| count + 1 >= push.commits.len());
        let is_ended = merge.base == push.git_ref && is_as_long;
        if is_ended && matches!(judge_change(source, &number, &merge, &change), Reviewed::Yes { .. }) {
            return Ok(None);
        }
    }
    Ok(Some((after.clone(), format!("pushed to {} with more commits than are listed", push.git_ref))))
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

/// Whether a merged change with enough approvals made this commit.
fn is_merged_with_review(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    commit: &CommitId,
) -> Result<bool, RecordsError> {
    let merges = merges_of(inquiry, source, commit)?;
    Ok(merges.iter().filter(|(_, merge, _)| is_allowed_base(source, merge)).any(|(number, merge, change)| {
        matches!(judge_change(source, number, merge, change), Reviewed::Yes { .. })
    }))
}

impl Objection {
    fn found(&self) -> String {
        match self {
            Objection::Unknown => "nobody saw it on an allowed ref".to_owned(),
            Objection::Commit { found } | Objection::Ancestor(Unreviewed { found, .. }) => found.clone(),
            Objection::RulesBypassed { change } => {
                format!("change #{change} was merged past the rules of its branch")
            }
        }
    }
}

/// The exception for a commit of this image, if there is one. What names no commit covers the link as a whole, once it is
/// known how it stands.
fn excepted(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    commit: &CommitId,
) -> Option<String> {
    let objected = Objected {
        pipeline: &pipeline.name,
        link: LinkKind::Source,
        digests: &image.digests(),
        commit: Some(commit),
        namespace: None,
    };
    let exception = inquiry.excepted(&objected, |exception| !exception.scope.commits.is_empty())?;
    Some(exception.name.clone())
}
