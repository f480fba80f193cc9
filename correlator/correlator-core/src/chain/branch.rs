//! What a branch went through: its pushes in order, and which of their commits are still on it at a time.
//!
//! Pushes in, the line of commits out. A forced push sets the line back; a push that begins where no known push ended
//! tells that one was missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bus_schema::CommitId;
use jiff::Timestamp;

use crate::state::Ground;
use crate::state::source::{Merge, PushRecord};

/// A branch up to some time.
#[derive(Debug, Default)]
pub(crate) struct Branch {
    /// The pushes with the commits of each that are on the branch, in order. Those of which nothing is to be said may be
    /// left out, where `gaps` are told.
    pub(crate) line: Vec<Step>,
    /// Commits that a forced push may have dropped: how far back it went is not known.
    doubtful: BTreeSet<CommitId>,
    /// Merges of which no push is known.
    unseen: BTreeSet<CommitId>,
    gaps: Option<Gaps>,
}

/// Where pushes began that no known push had brought the branch to: the first one since a time, which may be where the
/// branch stood then, and the others, before which a push was missed for sure.
pub(crate) type Gaps = (Option<CommitId>, Vec<CommitId>);

/// One push on the line.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) push: Arc<PushRecord>,
    /// Its commits that are on the branch, oldest first.
    pub(crate) commits: Vec<CommitId>,
}

impl Step {
    /// A push with all that it brought.
    pub(crate) fn of(push: Arc<PushRecord>) -> Step {
        let commits = commits_of(&push);
        Step { push, commits }
    }

    /// What a merge tells of the push that it must have made.
    pub(crate) fn of_merge(merge: &Merge, ground: &Ground) -> Step {
        Step::of(Arc::new(push_of(merge, ground)))
    }
}

impl Branch {
    /// The branch that these pushes and merges made, in the order of their times. A merge of which no push is known is a
    /// step of its own: its commit was on the branch.
    pub(crate) fn of<'a>(
        pushes: &[Arc<PushRecord>],
        merges: impl Iterator<Item = &'a Merge>,
        ground: &Ground,
    ) -> Branch {
        let brought: BTreeSet<CommitId> = pushes.iter().flat_map(|push| commits_of(push)).collect();
        let mut branch = Branch::default();
        let mut steps: Vec<Step> = pushes.iter().cloned().map(Step::of).collect();
        for merge in merges.filter(|merge| !brought.contains(&merge.merge_commit)) {
            if branch.unseen.insert(merge.merge_commit.clone()) {
                steps.push(Step::of_merge(merge, ground));
            }
        }
        in_order(steps).into_iter().for_each(|step| branch.add(step));
        branch
    }

    /// The branch of which these steps, each with what is on the branch of it, are all of which something is to be said;
    /// with the merges among them of which no push is known.
    pub(crate) fn of_steps(steps: Vec<Step>, unseen: BTreeSet<CommitId>, gaps: Gaps) -> Branch {
        Branch { line: in_order(steps), doubtful: BTreeSet::new(), unseen, gaps: Some(gaps) }
    }

    /// Adds the next push.
    fn add(&mut self, step: Step) {
        if step.push.after.is_none() || self.makes(&step.push) {
            self.line.iter_mut().for_each(|step| step.commits.clear());
            self.doubtful.clear();
        } else if step.push.forced {
            self.set_back(&step.push);
        }
        for commit in &step.commits {
            self.doubtful.remove(commit);
        }
        self.line.push(step);
    }

    /// Whether a push made the branch: nothing of before is on it, and where it was made the push does not tell.
    pub(crate) fn makes(&self, push: &PushRecord) -> bool {
        push.before.is_none() && !push.after.as_ref().is_some_and(|after| self.unseen.contains(after))
    }

    /// The first push of what is on the branch, where that made it, or set it to where nothing of it is known.
    pub(crate) fn made_by(&self) -> Option<&Step> {
        let first = self.line.iter().find(|step| !step.commits.is_empty())?;
        (self.makes(&first.push) || first.push.forced).then_some(first)
    }

    /// The commits that are on the branch for sure.
    pub(crate) fn held(&self) -> BTreeSet<CommitId> {
        let commits = self.line.iter().flat_map(|step| &step.commits);
        commits.filter(|commit| !self.doubtful.contains(*commit)).cloned().collect()
    }

    /// The last forced push that set the branch back.
    pub(crate) fn last_forced(&self) -> Option<Arc<PushRecord>> {
        self.line.iter().rev().map(|step| &step.push).find(|push| push.forced).cloned()
    }

    /// Whether a merge of which no push is known made the step.
    pub(crate) fn is_of_merge(&self, step: &Step) -> bool {
        step.push.before.is_none()
            && step.push.after.as_ref().is_some_and(|after| self.unseen.contains(after))
    }

    /// Where pushes since a time began that no known push had brought the branch to.
    pub(crate) fn gaps(&self, since: Timestamp) -> Gaps {
        if let Some(gaps) = &self.gaps {
            return gaps.clone();
        }
        let known: BTreeSet<CommitId> = self.line.iter().flat_map(|step| commits_of(&step.push)).collect();
        let mut seen = self.line.iter().filter(|step| step.push.pushed_at >= since);
        let unknown_start = |step: &Step| {
            let counts = !step.push.forced && !step.commits.is_empty();
            step.push.before.as_ref().filter(|before| counts && !known.contains(before)).cloned()
        };
        let first = seen.next().and_then(unknown_start);
        let missed = seen.filter_map(unknown_start).filter(|before| Some(before) != first.as_ref()).collect();
        (first, missed)
    }

    /// Drops what a forced push dropped, as far as its end or the parent of its first commit tells.
    fn set_back(&mut self, forced: &PushRecord) {
        let ends = [forced.after.as_ref(), forced.commits.first().and_then(|first| first.parents.first())];
        for end in ends.into_iter().flatten() {
            // Where a known push began is a known place as well.
            if let Some(index) = self.line.iter().position(|step| step.push.before.as_ref() == Some(end)) {
                for later in &mut self.line[index..] {
                    later.commits.clear();
                }
                return;
            }
            let place =
                self.line.iter().enumerate().find_map(|(index, step)| {
                    Some((index, step.commits.iter().position(|known| known == end)?))
                });
            if let Some((index, within)) = place {
                self.line[index].commits.truncate(within + 1);
                for later in &mut self.line[index + 1..] {
                    later.commits.clear();
                }
                return;
            }
        }
        if forced.commits.is_empty() {
            // It only moved back, to before everything that is known.
            self.line.iter_mut().for_each(|step| step.commits.clear());
            return;
        }
        // How far it went back is not known. At least its old head is gone; what came with that head is doubtful, and
        // what lies below is still looked at, so that a forced push launders nothing.
        let Some(head) = &forced.before else { return };
        for step in self.line.iter_mut().filter(|step| step.commits.contains(head)) {
            self.doubtful.extend(step.commits.iter().cloned());
            step.commits.retain(|commit| commit != head);
        }
    }
}

/// Steps in the order of their times; pushes of one time in the order that they tell themselves.
pub(crate) fn in_order(mut steps: Vec<Step>) -> Vec<Step> {
    steps.sort_by_key(|step| step.push.pushed_at);
    let at_one_time = steps.chunk_by(|one, other| one.push.pushed_at == other.push.pushed_at);
    at_one_time.flat_map(one_after_another).cloned().collect()
}

/// Steps of one time: forges state whole seconds, and a push comes after the one that brought the branch to where it begins.
fn one_after_another(steps: &[Step]) -> Vec<&Step> {
    if let [step] = steps {
        return vec![step];
    }
    let ends: BTreeSet<&CommitId> = steps.iter().filter_map(|step| step.push.after.as_ref()).collect();
    let mut begun_at: BTreeMap<&CommitId, Vec<&Step>> = BTreeMap::new();
    let mut next = Vec::new();
    for step in steps.iter().rev() {
        match step.push.before.as_ref().filter(|before| ends.contains(before)) {
            Some(before) => begun_at.entry(before).or_default().push(step),
            None => next.push(step),
        }
    }
    let mut ordered = Vec::with_capacity(steps.len());
    while let Some(step) = next.pop() {
        ordered.push(step);
        let following = step.push.after.as_ref().and_then(|after| begun_at.remove(after));
        next.extend(following.unwrap_or_default());
    }
    // Those that lead in a circle have no first.
    ordered.extend(begun_at.into_values().flatten());
    ordered
}

/// What a merge tells of the push that it must have made.
fn push_of(merge: &Merge, ground: &Ground) -> PushRecord {
    PushRecord {
        repository: merge.repository.clone(),
        git_ref: merge.base.clone(),
        before: None,
        after: Some(merge.merge_commit.clone()),
        forced: false,
        pusher: None,
        commits: Vec::new(),
        commits_cut: false,
        pushed_at: merge.merged_at,
        recorded: merge.merged_at,
        ground: ground.clone(),
    }
}

/// The commits of a push, oldest first, with its end where the list was cut or the branch only moved to it.
pub(crate) fn commits_of(push: &PushRecord) -> Vec<CommitId> {
    let mut commits: Vec<CommitId> = push.commits.iter().map(|commit| commit.id.clone()).collect();
    if let Some(after) = push.after.as_ref().filter(|after| !commits.contains(after))
        && (push.commits.is_empty() || push.commits_cut)
    {
        commits.push(after.clone());
    }
    commits
}

#[cfg(test)]
mod tests {
    use bus_schema::Actor;

    use super::*;

    fn commit(number: u64) -> CommitId {
        format!("{number:040x}").parse().unwrap()
    }

    /// A push of one second, by the places where it begins and ends.
    fn push((before, after): (u64, u64)) -> PushRecord {
        let merge = Merge {
            looked_up: false,
            merge_commit: commit(after),
            head: commit(after),
            base: "refs/heads/main".parse().unwrap(),
            author: Actor::named("alice"),
            last_pusher: None,
            commit_count: 1,
            commits: Vec::new(),
            equivalent_heads: Vec::new(),
            bypassed_rules: None,
            merged_at: Timestamp::UNIX_EPOCH,
            repository: "github.com/acme/api".parse().unwrap(),
        };
        let event = format!("{after:064x}").parse().unwrap();
        let ground = Ground { event, agent: "source-1".to_owned() };
        PushRecord { before: Some(commit(before)), ..push_of(&merge, &ground) }
    }

    /// Where each push ends, in the order of the branch.
    fn check(pushes: &[(u64, u64)], expected: &[u64]) -> Branch {
        let pushes: Vec<Arc<PushRecord>> = pushes.iter().copied().map(push).map(Arc::new).collect();
        let branch = Branch::of(&pushes, std::iter::empty(), &pushes[0].ground);
        let ends: Vec<CommitId> = branch.line.iter().filter_map(|step| step.push.after.clone()).collect();
        assert_eq!(ends, expected.iter().copied().map(commit).collect::<Vec<_>>());
        branch
    }

    #[test]
    fn pushes_of_one_second_follow_each_other_whatever_their_commits_are_called() {
        for pushes in [[(1, 9), (9, 5), (5, 3)], [(5, 3), (9, 5), (1, 9)], [(9, 5), (1, 9), (5, 3)]] {
            let branch = check(&pushes, &[9, 5, 3]);
            // The branch stood at the first when the coverage began; no push was missed.
            assert_eq!(branch.gaps(Timestamp::UNIX_EPOCH), (Some(commit(1)), Vec::new()));
        }
    }

    #[test]
    fn a_push_that_was_missed_within_a_second_is_still_a_gap() {
        let branch = check(&[(7, 3), (1, 9)], &[3, 9]);
        assert_eq!(branch.gaps(Timestamp::UNIX_EPOCH), (Some(commit(7)), vec![commit(1)]));
    }

    #[test]
    fn pushes_of_one_second_that_lead_in_a_circle_are_all_kept() {
        check(&[(1, 2), (2, 1)], &[2, 1]);
    }
}
