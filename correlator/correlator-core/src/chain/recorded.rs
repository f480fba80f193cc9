//! What is recorded of a branch: the pushes to it, and the merges into it.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use bus_schema::{CommitId, GitRef};
use jiff::Timestamp;

use crate::chain::branch::Branch;
use crate::chain::inquiry::Inquiry;
use crate::chain::lineage::Walk;
use crate::chain::pushed::is_same_repository;
use crate::contracts::pipeline::SourceContract;
use crate::records::{self, RecordsError, Table};
use crate::state::Ground;
use crate::state::source::{self, ChangeRecord, Merge, PushRecord, sortable};

/// The most pushes to one branch that are looked at below a commit: the newest ones.
pub(super) const HISTORY_PUSHES_MAX: usize = 50_000;
/// Merges that are read together.
const MERGES_PAGE: usize = 64;

/// What is recorded of a branch, in the order of time.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(super) pushes: Vec<Arc<PushRecord>>,
    pub(super) merges: Vec<Merge>,
    /// An event that tells of the branch.
    pub(super) ground: Ground,
    /// Made with the first question about it.
    now: OnceCell<Now>,
}

/// The branch as it is now.
#[derive(Debug)]
struct Now {
    holds: BTreeSet<CommitId>,
    last_forced: Option<Arc<PushRecord>>,
}

impl Recorded {
    /// Many images are built from one branch: it is read once for all judgements that are made together.
    pub(super) fn read(
        inquiry: &Inquiry<'_>,
        source: &SourceContract,
        branch: &GitRef,
    ) -> Result<Option<Rc<Recorded>>, RecordsError> {
        let key = inquiry.source_key(&source.repository)?;
        let pushes_prefix = source::pushes_prefix(&key, branch);
        // Two contracts may mean two repositories that had one name in turn.
        let name = records::key([pushes_prefix.as_str(), &source.repository.to_string()]);
        if let Some(known) = inquiry.memo.branch(&name) {
            return Ok(known);
        }
        let pushes: Vec<(String, PushRecord)> =
            inquiry.draft.scan(Table::Source, &pushes_prefix, usize::MAX)?;
        let pushes = pushes.into_iter().map(|(_, push)| push);
        let pushes: Vec<Arc<PushRecord>> =
            pushes.filter(|push| is_same_repository(source, push)).map(Arc::new).collect();
        let (mut merges, mut ground) = (Vec::new(), pushes.first().map(|push| push.ground.clone()));
        let prefix = source::merged_at_prefix(&key, branch);
        for row in inquiry.draft.scan::<String>(Table::Source, &prefix, usize::MAX)? {
            if let Some((merge, of_change)) = merge_of(inquiry, source, &row)? {
                merges.push(merge);
                ground = ground.or(of_change);
            }
        }
        let recorded =
            ground.map(|ground| Rc::new(Recorded { pushes, merges, ground, now: OnceCell::new() }));
        inquiry.memo.keep_branch(name, recorded.clone());
        Ok(recorded)
    }

    /// The branch as it was at a time, and the newest push before what is looked at of it.
    pub(super) fn up_to(&self, until: Timestamp) -> (Branch, Option<&Arc<PushRecord>>) {
        let pushes = &self.pushes[..self.pushes.partition_point(|push| push.pushed_at <= until)];
        let (dropped, pushes) = pushes.split_at(pushes.len().saturating_sub(HISTORY_PUSHES_MAX));
        let from = pushes.first().filter(|_| !dropped.is_empty()).map(|first| first.pushed_at);
        let merges = self.merges.iter().filter(|merge| merge.merged_at <= until);
        let merges = merges.filter(|merge| from.is_none_or(|from| merge.merged_at >= from));
        (Branch::of(pushes, merges, &self.ground), dropped.last())
    }

    /// The same before a time, as of which something of the branch was dropped or made anew.
    pub(super) fn before(&self, time: Timestamp) -> Recorded {
        Recorded {
            pushes: self.pushes.iter().take_while(|push| push.pushed_at < time).cloned().collect(),
            merges: self.merges.iter().filter(|merge| merge.merged_at < time).cloned().collect(),
            ground: self.ground.clone(),
            now: OnceCell::new(),
        }
    }

    /// When the branch was altered first after a time: something of it was dropped or made anew.
    pub(super) fn altered_after(&self, time: Timestamp) -> Option<Timestamp> {
        let later = &self.pushes[self.pushes.partition_point(|push| push.pushed_at <= time)..];
        later.iter().find(|push| alters(push)).map(|push| push.pushed_at)
    }

    /// What dropped a commit from the branch, if a forced push did later.
    pub(super) fn forced_away(&self, walk: &Walk) -> Option<String> {
        if !self.pushes.iter().any(|push| push.pushed_at > walk.up_to && push.forced) {
            return None;
        }
        let now = self.now.get_or_init(|| {
            let (now, _) = self.up_to(Timestamp::MAX);
            Now { holds: now.held(), last_forced: now.last_forced() }
        });
        let forced = now.last_forced.as_ref().filter(|_| !now.holds.contains(&walk.commit))?;
        Some(format!("a forced push to {} at {} dropped it", forced.git_ref, forced.pushed_at))
    }
}

/// Whether a push does not just go on from where the branch was.
pub(super) fn alters(push: &PushRecord) -> bool {
    push.forced || push.before.is_none() || push.after.is_none()
}

/// The pushes to a branch after a time.
pub(super) fn pushes_after(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    branch: &GitRef,
    after: Timestamp,
) -> Result<Vec<Arc<PushRecord>>, RecordsError> {
    let prefix = source::pushes_prefix(&inquiry.source_key(&source.repository)?, branch);
    let from = format!("{prefix}{}", sortable(after));
    let pushes: Vec<(String, PushRecord)> =
        inquiry.draft.scan_from(Table::Source, &prefix, &from, usize::MAX)?;
    let pushes = pushes.into_iter().map(|(_, push)| push);
    let pushes = pushes.filter(|push| push.pushed_at > after && is_same_repository(source, push));
    Ok(pushes.map(Arc::new).collect())
}

/// The merges into a branch that were made between two times, both included.
pub(super) fn merges_within(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    branch: &GitRef,
    (from, until): (Timestamp, Timestamp),
) -> Result<Vec<Merge>, RecordsError> {
    let prefix = source::merged_at_prefix(&inquiry.source_key(&source.repository)?, branch);
    let (from, end) = (format!("{prefix}{}", sortable(from)), format!("{prefix}{}", sortable(until)));
    let mut merges = Vec::new();
    let mut next = from;
    loop {
        let page: Vec<(String, String)> =
            inquiry.draft.scan_from(Table::Source, &prefix, &next, MERGES_PAGE)?;
        for row in &page {
            // A key goes on behind its time.
            if !row.0.starts_with(&end) && row.0 > end {
                return Ok(merges);
            }
            merges.extend(merge_of(inquiry, source, row)?.map(|(merge, _)| merge));
        }
        match page.last().filter(|_| page.len() == MERGES_PAGE) {
            Some((last, _)) => next = format!("{last}\0"),
            None => return Ok(merges),
        }
    }
}

/// The fullest report of the merge that a row of the merges by their time is about, and an event that tells of it.
fn merge_of(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    (key, change_key): &(String, String),
) -> Result<Option<(Merge, Option<Ground>)>, RecordsError> {
    let Some(change) = inquiry.draft.get::<ChangeRecord>(Table::Source, change_key)? else {
        return Ok(None);
    };
    let parts = records::parts(key);
    let merge = change.merges.iter().rfind(|merge| parts.contains(&merge.merge_commit.as_str()));
    let merge = merge.filter(|merge| source.repository.is_same(&merge.repository)).cloned();
    Ok(merge.map(|merge| (merge, change.ground.first().cloned())))
}
