//! What of a branch was walked through before: only what is to be said of it is looked at again.
//!
//! A branch goes on for years, and nearly all of its pushes are reviewed; every image that is built from it asks for all that
//! lies below. So the pushes of which nothing is to be said are left out of the line ([`Branch::of_steps`]), and where the
//! branch goes on, only what is new is read. It is a memory and no fact: what is read with it is what is read without it, and
//! it is cut off where anything that it was made from changes. What it cannot tell of is read whole ([`Recorded`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bus_schema::{CommitId, GitRef};
use jiff::{SignedDuration, Timestamp};

use crate::chain::branch::{Branch, Gaps, Step, commits_of, in_order};
use crate::chain::inquiry::Inquiry;
use crate::chain::lineage::Walk;
use crate::chain::pushed::pushes_of;
use crate::chain::recorded::{HISTORY_PUSHES_MAX, Recorded, alters, merges_within, pushes_after};
use crate::chain::review::is_objected_to;
use crate::contracts::pipeline::SourceContract;
use crate::records::RecordsError;
use crate::state::Ground;
use crate::state::source::{self, Merge, PushRecord, SourceKey};

/// Most pushes come so soon after the merge that made them; the merges whose pushes come later are remembered.
const PUSH_FOLLOWS: SignedDuration = SignedDuration::from_mins(10);
/// Pushes between two places to which a walk is cut off when something changes.
const BETWEEN_MARKS: usize = if cfg!(test) { 3 } else { 32 };
/// The most commits, paths and pushes that are remembered of all branches together: some 100 bytes each.
const WEIGHT_MAX: usize = 200_000;

/// A branch up to a commit's time.
pub(crate) struct Reading {
    pub(crate) branch: Branch,
    /// The newest push before what is looked at of it.
    pub(crate) dropped: Option<Arc<PushRecord>>,
    /// What dropped the commit from the branch, if a forced push did later.
    pub(crate) forced_away: Option<String>,
}

/// Reads a branch up to where it is walked; `None` where nothing is recorded of it.
pub(crate) fn read(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    since: Option<Timestamp>,
    walk: &Walk,
) -> Result<Option<Reading>, RecordsError> {
    let path = Path { inquiry, source, git_ref: &walk.git_ref, since: since.unwrap_or(Timestamp::MIN) };
    #[cfg(test)]
    if tests::READS_WHOLE.get() {
        return read_whole(inquiry, source, walk);
    }
    let name = source::pushes_prefix(&inquiry.source_key(&source.repository)?, &walk.git_ref);
    if let Some(branch) = path.as_it_is(&name, walk.up_to)? {
        return Ok(Some(Reading { branch, dropped: None, forced_away: None }));
    }
    let Some(recorded) = Recorded::read(inquiry, source, &walk.git_ref)? else { return Ok(None) };
    if let Some(altered_at) = recorded.altered_after(walk.up_to)
        && let Some(branch) = path.as_it_was(&name, &recorded, altered_at, walk.up_to)?
    {
        let forced_away = recorded.forced_away(walk);
        return Ok(Some(Reading { branch, dropped: None, forced_away }));
    }
    read_whole(inquiry, source, walk)
}

fn read_whole(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    walk: &Walk,
) -> Result<Option<Reading>, RecordsError> {
    let Some(recorded) = Recorded::read(inquiry, source, &walk.git_ref)? else { return Ok(None) };
    let (branch, dropped) = recorded.up_to(walk.up_to);
    Ok(Some(Reading { branch, dropped: dropped.cloned(), forced_away: recorded.forced_away(walk) }))
}

/// The walks of all branches.
#[derive(Debug, Clone, Default)]
pub(crate) struct WalkedBranches {
    /// By the branch's key: one for each contract that asks about it, and for each time between two alterations.
    branches: BTreeMap<String, Vec<Walked>>,
    weight: usize,
}

impl WalkedBranches {
    /// A push to a branch, or what is known of one of its merges, is another from this time on.
    pub(crate) fn changed(&mut self, source: &SourceKey, git_ref: &GitRef, from: Timestamp) {
        let name = source::pushes_prefix(source, git_ref);
        for mut walked in self.branches.remove(&name).unwrap_or_default() {
            self.weight = self.weight.saturating_sub(walked.weight());
            if walked.cut_off(from) {
                self.put(name.clone(), walked);
            }
        }
    }

    /// A repository is another from now on.
    pub(crate) fn forget(&mut self, source: &SourceKey) {
        let prefix = source::all_pushes_prefix(source);
        let names = self.branches.range(prefix.clone()..).map(|(name, _)| name);
        let names: Vec<String> = names.take_while(|name| name.starts_with(&prefix)).cloned().collect();
        for walked in names.iter().filter_map(|name| self.branches.remove(name)).flatten() {
            self.weight = self.weight.saturating_sub(walked.weight());
        }
    }

    fn take(&mut self, name: &str, path: &Path<'_>, era: Era) -> Option<Walked> {
        let of_branch = self.branches.get_mut(name)?;
        // Of the same contract under another coverage nothing is asked any more.
        let is_asked = |walked: &Walked| walked.era == era && walked.source == *path.source;
        let walked = of_branch.swap_remove(of_branch.iter().position(is_asked)?);
        self.weight = self.weight.saturating_sub(walked.weight());
        (walked.since == path.since).then_some(walked)
    }

    fn put(&mut self, name: String, walked: Walked) {
        let weight = walked.weight();
        if weight > WEIGHT_MAX {
            return;
        }
        if self.weight + weight > WEIGHT_MAX {
            *self = WalkedBranches::default();
        }
        self.weight += weight;
        self.branches.entry(name).or_default().push(walked);
    }
}

/// What is asked about a branch.
#[derive(Clone, Copy)]
struct Path<'a> {
    inquiry: &'a Inquiry<'a>,
    source: &'a SourceContract,
    git_ref: &'a GitRef,
    /// What was pushed before is not asked about.
    since: Timestamp,
}

impl Path<'_> {
    /// The branch at a time since which it only went on, where its walk tells.
    fn as_it_is(&self, name: &str, time: Timestamp) -> Result<Option<Branch>, RecordsError> {
        let known = self.inquiry.memo.walked(|all| all.take(name, self, Era::Open));
        let walked = match known {
            Some(mut walked) => walked.go_on(self)?.then_some(walked),
            None => None,
        };
        let walked = match walked {
            Some(walked) => Some(walked),
            None => match Recorded::read(self.inquiry, self.source, self.git_ref)? {
                Some(recorded) => Walked::of(self, &recorded, None)?,
                None => None,
            },
        };
        self.ask(name, walked, time)
    }

    /// The branch at a time before it was altered, where a walk up to there tells.
    fn as_it_was(
        &self,
        name: &str,
        recorded: &Recorded,
        altered_at: Timestamp,
        time: Timestamp,
    ) -> Result<Option<Branch>, RecordsError> {
        let known = self.inquiry.memo.walked(|all| all.take(name, self, Era::Until(altered_at)));
        let walked = match known {
            Some(walked) => Some(walked),
            None => Walked::of(self, &recorded.before(altered_at), Some(altered_at))?,
        };
        self.ask(name, walked, time)
    }

    /// Asks a walk, and remembers it.
    fn ask(
        &self,
        name: &str,
        walked: Option<Walked>,
        time: Timestamp,
    ) -> Result<Option<Branch>, RecordsError> {
        let Some(walked) = walked else { return Ok(None) };
        let branch = walked.up_to(self, time)?;
        self.inquiry.memo.walked(|all| all.put(name.to_owned(), walked));
        Ok(branch)
    }

    /// When a commit was first pushed to the branch.
    fn brought_at(&self, commit: &CommitId) -> Result<Option<Timestamp>, RecordsError> {
        let pushes = pushes_of(self.inquiry, self.source, commit)?;
        let here = pushes.into_iter().filter(|push| push.git_ref == *self.git_ref);
        Ok(here.map(|push| push.pushed_at).min())
    }
}

/// What of a branch's time is walked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    /// To where it is now.
    Open,
    /// To where something of it was dropped or made anew.
    Until(Timestamp),
}

/// A branch that was walked through, under one contract.
#[derive(Debug, Clone)]
struct Walked {
    source: SourceContract,
    since: Timestamp,
    ground: Ground,
    /// From here on, and in its era, the branch only went on.
    from: Timestamp,
    era: Era,
    /// The steps of which something is to be said, and those of the same times; before them the first that is on the branch.
    steps: Vec<Step>,
    gaps: Vec<Gap>,
    /// Merges whose pushes did not follow soon.
    unseen: Vec<Merge>,
    stand: Stand,
    /// Where it can be cut off to.
    marks: Vec<Stand>,
}

/// How far it was walked.
#[derive(Debug, Clone)]
struct Stand {
    until: Timestamp,
    head: CommitId,
    /// The pushes up to there.
    pushes: usize,
    has_first: bool,
    /// The first push that is asked about.
    first_seen: Option<Timestamp>,
    /// How many of each are up to there.
    steps: usize,
    gaps: usize,
    unseen: usize,
}

/// A push that began where no earlier push had brought the branch to.
#[derive(Debug, Clone)]
struct Gap {
    at: Timestamp,
    before: CommitId,
    /// When that was on the branch all the same, as far as the pushes tell later.
    known_at: Option<Timestamp>,
    is_first: bool,
}

impl Walked {
    /// Walks through all that is recorded of a branch, before it was altered; `None` where that is not told by its end and a
    /// few steps.
    fn of(
        path: &Path<'_>,
        recorded: &Recorded,
        altered_at: Option<Timestamp>,
    ) -> Result<Option<Walked>, RecordsError> {
        let era = altered_at.map_or(Era::Open, Era::Until);
        let (branch, dropped) = recorded.up_to(Timestamp::MAX);
        let line: Vec<&Step> = branch.line.iter().filter(|step| !branch.is_of_merge(step)).collect();
        let (Some(first), Some(last)) = (line.first(), line.last()) else { return Ok(None) };
        let Some(head) = last.push.after.clone() else { return Ok(None) };
        let ends_with_its_commits =
            |step: &&Step| step.push.after.as_ref().is_none_or(|end| commits_of(&step.push).contains(end));
        if dropped.is_some() || !line.iter().all(ends_with_its_commits) {
            return Ok(None);
        }
        let mut brought_at: BTreeMap<CommitId, Timestamp> = BTreeMap::new();
        for step in &line {
            for commit in commits_of(&step.push) {
                brought_at.entry(commit).or_insert(step.push.pushed_at);
            }
        }
        let last_altered_at =
            line.iter().filter(|step| alters(&step.push)).map(|step| step.push.pushed_at).max();
        let from = last_altered_at.unwrap_or(first.push.pushed_at);
        // How far a forced push went back depends on the merges that were on the branch then.
        let is_unclear = |merge: &Merge| {
            last_altered_at.is_some()
                && merge.merged_at <= from
                && brought_at.get(&merge.merge_commit).is_none_or(|at| *at > from)
        };
        if recorded.merges.iter().any(is_unclear) {
            return Ok(None);
        }
        let mut known_at = brought_at.clone();
        for merge in &recorded.merges {
            let known = known_at.entry(merge.merge_commit.clone()).or_insert(merge.merged_at);
            *known = merge.merged_at.min(*known);
        }
        let mut walked = Walked {
            source: path.source.clone(),
            since: path.since,
            ground: recorded.ground.clone(),
            from,
            era,
            steps: Vec::new(),
            gaps: Vec::new(),
            unseen: Vec::new(),
            stand: Stand {
                until: first.push.pushed_at,
                head,
                pushes: 0,
                has_first: false,
                first_seen: None,
                steps: 0,
                gaps: 0,
                unseen: 0,
            },
            marks: Vec::new(),
        };
        let known_at = |commit: &CommitId| known_at.get(commit).copied();
        let brought_at = |commit: &CommitId| Ok(brought_at.get(commit).copied());
        walked.walk(path, &line, recorded.merges.clone(), known_at, brought_at)?;
        Ok(Some(walked))
    }

    /// Walks on to where the branch is now. False where it did not just go on, or goes on for too long.
    fn go_on(&mut self, path: &Path<'_>) -> Result<bool, RecordsError> {
        let pushes = pushes_after(path.inquiry, path.source, path.git_ref, self.stand.until)?;
        let line = in_order(pushes.into_iter().map(Step::of).collect());
        let Some(last) = line.last() else { return Ok(true) };
        let mut head = &self.stand.head;
        for step in &line {
            let goes_on = !step.push.forced && step.push.before.as_ref() == Some(head);
            match step.push.after.as_ref().filter(|after| goes_on && step.commits.contains(after)) {
                Some(after) => head = after,
                None => return Ok(false),
            }
        }
        if self.stand.pushes + line.len() > HISTORY_PUSHES_MAX {
            return Ok(false);
        }
        let within = (self.stand.until, last.push.pushed_at);
        let mut merges = merges_within(path.inquiry, path.source, path.git_ref, within)?;
        merges.retain(|merge| merge.merged_at > self.stand.until);
        let line: Vec<&Step> = line.iter().collect();
        // Each begins where the one before ended.
        let known_at = |_: &CommitId| Some(Timestamp::MIN);
        self.walk(path, &line, merges, known_at, |commit| path.brought_at(commit))?;
        Ok(true)
    }

    /// Walks along steps and the merges of their time, by when commits were known to be on the branch, and pushed to it.
    fn walk(
        &mut self,
        path: &Path<'_>,
        line: &[&Step],
        mut merges: Vec<Merge>,
        known_at: impl Fn(&CommitId) -> Option<Timestamp>,
        brought_at: impl Fn(&CommitId) -> Result<Option<Timestamp>, RecordsError>,
    ) -> Result<(), RecordsError> {
        merges.sort_by_key(|merge| merge.merged_at);
        let mut merges = merges.into_iter().peekable();
        for at_one_time in line.chunk_by(|one, other| one.push.pushed_at == other.push.pushed_at) {
            let mut is_kept = false;
            for step in at_one_time {
                is_kept |= self.add(path, step, &known_at)?;
            }
            if is_kept {
                self.steps.extend(at_one_time.iter().map(|step| (*step).clone()));
            }
            while let Some(merge) = merges.next_if(|merge| merge.merged_at <= self.stand.until) {
                self.learn(&merge.merge_commit, merge.merged_at);
                let soon = merge.merged_at.checked_add(PUSH_FOLLOWS).unwrap_or(Timestamp::MAX);
                if brought_at(&merge.merge_commit)?.is_none_or(|at| at > soon) {
                    self.unseen.push(merge);
                }
            }
            let stand = &mut self.stand;
            (stand.steps, stand.gaps, stand.unseen) = (self.steps.len(), self.gaps.len(), self.unseen.len());
            let marked = self.marks.last().map_or(0, |mark| mark.pushes);
            if stand.until >= self.from && stand.pushes >= marked + BETWEEN_MARKS {
                self.marks.push(stand.clone());
            }
        }
        Ok(())
    }

    /// Steps on; true where something is to be said of the step.
    fn add(
        &mut self,
        path: &Path<'_>,
        step: &Step,
        known_at: impl Fn(&CommitId) -> Option<Timestamp>,
    ) -> Result<bool, RecordsError> {
        let (push, is_on_it) = (&step.push, !step.commits.is_empty());
        for commit in commits_of(push) {
            self.learn(&commit, push.pushed_at);
        }
        let stand = &mut self.stand;
        let is_first_on_it = is_on_it && !stand.has_first;
        stand.has_first |= is_on_it;
        stand.until = push.pushed_at;
        stand.pushes += 1;
        if let Some(after) = &push.after {
            stand.head = after.clone();
        }
        if push.pushed_at < self.since {
            return Ok(is_first_on_it);
        }
        let is_first = stand.first_seen.is_none();
        stand.first_seen.get_or_insert(push.pushed_at);
        if let Some(before) = push.before.as_ref().filter(|_| is_on_it && !push.forced) {
            let known_at = known_at(before);
            if known_at.is_none_or(|known| known > push.pushed_at) {
                self.gaps.push(Gap { at: push.pushed_at, before: before.clone(), known_at, is_first });
            }
        }
        let is_cut = push.commits_cut && push.before.is_some();
        Ok(is_first_on_it || (is_on_it && (is_cut || is_objected_to(path.inquiry, path.source, step)?)))
    }

    /// A commit is known to be on the branch from a time on.
    fn learn(&mut self, commit: &CommitId, at: Timestamp) {
        for gap in self.gaps.iter_mut().filter(|gap| gap.known_at.is_none() && gap.before == *commit) {
            gap.known_at = Some(at);
        }
    }

    /// Cuts off what may be another since something changed at a time; false where nothing is left.
    fn cut_off(&mut self, from: Timestamp) -> bool {
        if let Era::Until(end) = self.era {
            return from >= end;
        }
        if from > self.stand.until {
            return true;
        }
        // A push that changes may be the one that followed a merge.
        let from = from.checked_sub(PUSH_FOLLOWS).unwrap_or(Timestamp::MIN);
        let Some(place) = self.marks.iter().rposition(|mark| mark.until < from) else { return false };
        self.marks.truncate(place + 1);
        self.stand = self.marks[place].clone();
        self.steps.truncate(self.stand.steps);
        self.gaps.truncate(self.stand.gaps);
        self.unseen.truncate(self.stand.unseen);
        for gap in &mut self.gaps {
            gap.known_at = gap.known_at.filter(|known| *known <= self.stand.until);
        }
        true
    }

    /// The branch as it was at a time; `None` where only all that is recorded of it tells.
    fn up_to(&self, path: &Path<'_>, time: Timestamp) -> Result<Option<Branch>, RecordsError> {
        if time < self.from {
            return Ok(None);
        }
        let late = time.checked_sub(PUSH_FOLLOWS).unwrap_or(Timestamp::MIN).min(self.stand.until);
        let late = merges_within(path.inquiry, path.source, path.git_ref, (late, time))?;
        let mut merges: Vec<&Merge> = self.unseen.iter().chain(&late).collect();
        merges.retain(|merge| merge.merged_at <= time);
        merges.sort_by_key(|merge| merge.merged_at);
        let (mut unseen, mut of_merges) = (BTreeSet::new(), Vec::new());
        for merge in &merges {
            let is_brought = path.brought_at(&merge.merge_commit)?.is_some_and(|at| at <= time);
            if !is_brought && unseen.insert(merge.merge_commit.clone()) {
                of_merges.push(Step::of_merge(merge, &self.ground));
            }
        }
        let Some(gaps) = self.gaps_at(time, &merges, &of_merges) else { return Ok(None) };
        let steps = self.steps.iter().filter(|step| step.push.pushed_at <= time).cloned();
        Ok(Some(Branch::of_steps(steps.chain(of_merges).collect(), unseen, gaps)))
    }

    /// The gaps as of a time, by the merges around it and the steps of those that no push had brought; `None` where it is
    /// not clear what came first.
    fn gaps_at(&self, time: Timestamp, merges: &[&Merge], of_merges: &[Step]) -> Option<Gaps> {
        let mut seen = of_merges.iter().map(|step| step.push.pushed_at).filter(|at| *at >= self.since);
        let first_merge = seen.next();
        if first_merge.is_some() && first_merge == self.stand.first_seen {
            return None;
        }
        let is_merge_first =
            first_merge.is_some_and(|merge| self.stand.first_seen.is_none_or(|first| merge < first));
        let is_known = |gap: &Gap| {
            gap.known_at.is_some_and(|known| known <= time)
                || merges.iter().any(|merge| merge.merge_commit == gap.before)
        };
        let mut first = None;
        let mut missed = Vec::new();
        for gap in self.gaps.iter().filter(|gap| gap.at <= time && !is_known(gap)) {
            match gap.is_first && !is_merge_first {
                true => first = Some(gap.before.clone()),
                false => missed.push(gap.before.clone()),
            }
        }
        missed.retain(|before| Some(before) != first.as_ref());
        Some((first, missed))
    }

    /// What it takes in memory, as [`WEIGHT_MAX`] counts it.
    fn weight(&self) -> usize {
        let of_step = |step: &Step| {
            let commits = &step.push.commits;
            let paths: usize = commits.iter().filter_map(|commit| commit.paths.as_ref()).map(Vec::len).sum();
            1 + 2 * commits.len() + paths
        };
        let steps: usize = self.steps.iter().map(of_step).sum();
        1 + steps + self.gaps.len() + self.unseen.len() + self.marks.len()
    }
}

#[cfg(test)]
mod tests;
