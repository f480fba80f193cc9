//! What a branch went through: its pushes in order, and which of their commits are still on it at a time.
//!
//! Pushes in, the line of commits out. A forced push sets the line back; a push that begins where no known push ended
//! tells that one was missed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bus_schema::CommitId;
use jiff::Timestamp;

use crate::state::Ground;
use crate::state::source::{Merge, PushRecord};

/// A branch up to some time.
#[derive(Debug, Default)]
pub(crate) struct Branch {
    /// The pushes with the commits of each that are on the branch, in order.
    pub(crate) line: Vec<Step>,
    /// Commits that a forced push may have dropped: how far back it went is not known.
    doubtful: BTreeSet<CommitId>,
    /// Merges of which no push is known.
    unseen: BTreeSet<CommitId>,
}

/// One push on the line.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) push: Rc<PushRecord>,
    /// Its commits that are on the branch, oldest first.
    pub(crate) commits: Vec<CommitId>,
}

impl Branch {
    /// The branch that these pushes and merges made, in the order of their times. A merge of which no push is known is a
    /// step of its own: its commit was on the branch.
    pub(crate) fn of<'a>(
        pushes: &[Rc<PushRecord>],
        merges: impl Iterator<Item = &'a Merge>,
        ground: &Ground,
    ) -> Branch {
        let brought: BTreeSet<CommitId> = pushes.iter().flat_map(|push| commits_of(push)).collect();
        let mut branch = Branch::default();
        let mut steps = pushes.to_vec();
        for merge in merges.filter(|merge| !brought.contains(&merge.merge_commit)) {
            branch.unseen.insert(merge.merge_commit.clone());
            steps.push(Rc::new(push_of(merge, ground)));
        }
        steps.sort_by_key(|push| push.pushed_at);
        for second in steps.chunk_by(|one, other| one.pushed_at == other.pushed_at) {
            one_after_another(second).into_iter().for_each(|push| branch.add(Rc::clone(push)));
        }
        branch
    }

    /// Adds the next push.
    fn add(&mut self, push: Rc<PushRecord>) {
        if push.after.is_none() || self.makes(&push) {
            self.line.iter_mut().for_each(|step| step.commits.clear());
            self.doubtful.clear();
        } else if push.forced {
            self.set_back(&push);
        }
        let commits = commits_of(&push);
        for commit in &commits {
            self.doubtful.remove(commit);
        }
        self.line.push(Step { push, commits });
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

    /// Whether the commit is on the branch for sure.
    pub(crate) fn holds(&self, commit: &CommitId) -> bool {
        !self.doubtful.contains(commit) && self.line.iter().any(|step| step.commits.contains(commit))
    }

    /// The last forced push that set the branch back.
    pub(crate) fn last_forced(&self) -> Option<&PushRecord> {
        self.line.iter().rev().map(|step| &*step.push).find(|push| push.forced)
    }

    /// Where pushes since a time began that no known push had brought the branch to: the first of them, which may be
    /// where the branch stood at that time, and the others, before which a push was missed for sure.
    pub(crate) fn gaps(&self, since: Timestamp) -> (Option<CommitId>, Vec<CommitId>) {
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

/// Pushes of one time in the order that they tell themselves: forges state whole seconds, and a push comes after the one that
/// brought the branch to where it begins.
fn one_after_another(pushes: &[Rc<PushRecord>]) -> Vec<&Rc<PushRecord>> {
    let ends: BTreeSet<&CommitId> = pushes.iter().filter_map(|push| push.after.as_ref()).collect();
    let mut begun_at: BTreeMap<&CommitId, Vec<&Rc<PushRecord>>> = BTreeMap::new();
    let mut next = Vec::new();
    for push in pushes.iter().rev() {
        match push.before.as_ref().filter(|before| ends.contains(before)) {
            Some(before) => begun_at.entry(before).or_default().push(push),
            None => next.push(push),
        }
    }
    let mut ordered = Vec::with_capacity(pushes.len());
    while let Some(push) = next.pop() {
        ordered.push(push);
        let following = push.after.as_ref().and_then(|after| begun_at.remove(after));
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
        let pushes: Vec<Rc<PushRecord>> = pushes.iter().copied().map(push).map(Rc::new).collect();
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
