//! What the records say of how a commit came to its branches: pushes and merges.

use bus_schema::CommitId;

use crate::chain::inquiry::Inquiry;
use crate::contracts::pipeline::SourceContract;
use crate::records::{RecordsError, Table};
use crate::state::source::{self, ChangeRecord, Merge, PushRecord};

/// The most pushes, and merges, of one commit that are looked at.
const OF_COMMIT_MAX: usize = 64;

/// The first pushes that brought a commit to a branch.
pub(super) fn pushes_of(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    commit: &CommitId,
) -> Result<Vec<PushRecord>, RecordsError> {
    let prefix = source::commit_pushes_prefix(&inquiry.source_key(&source.repository)?, commit);
    let mut pushes = Vec::new();
    for (_, key) in inquiry.draft.scan::<String>(Table::Source, &prefix, OF_COMMIT_MAX)? {
        if let Some(push) = inquiry.draft.get::<PushRecord>(Table::Source, &key)?
            && is_same_repository(source, &push)
        {
            pushes.push(push);
        }
    }
    Ok(pushes)
}

/// The merges that made a commit: number of the change, the fullest report of its merge, and the change.
pub(super) fn merges_of(
    inquiry: &Inquiry<'_>,
    source: &SourceContract,
    commit: &CommitId,
) -> Result<Vec<(String, Merge, ChangeRecord)>, RecordsError> {
    let prefix = source::merges_prefix(&inquiry.source_key(&source.repository)?, commit);
    let mut merges = Vec::new();
    for (key, change_key) in inquiry.draft.scan::<String>(Table::Source, &prefix, OF_COMMIT_MAX)? {
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

pub(super) fn is_allowed_base(source: &SourceContract, merge: &Merge) -> bool {
    source.refs.iter().any(|glob| glob.matches(merge.base.as_str()))
}

pub(super) fn is_to_allowed_branch(source: &SourceContract, push: &PushRecord) -> bool {
    let is_allowed = source.refs.iter().any(|glob| glob.matches(push.git_ref.as_str()));
    is_allowed && push.git_ref.as_branch().is_some()
}

pub(super) fn is_same_repository(source: &SourceContract, push: &PushRecord) -> bool {
    source.repository.is_same(&push.repository)
}
