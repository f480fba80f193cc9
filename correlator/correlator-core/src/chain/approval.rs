//! Has a change enough approvals that count?

use std::collections::BTreeMap;

use bus_schema::Actor;
use bus_schema::source::ReviewState;
use bus_schema::verdict::Witness;
use jiff::Timestamp;

use crate::contracts::pipeline::SourceContract;
use crate::state::source::{ChangeRecord, Merge, Review};

/// Whether a commit is reviewed, with who says so or what is missing.
#[derive(Debug, Clone)]
pub(crate) enum Reviewed {
    Yes {
        witness: Witness,
        bypassed: Option<String>,
    },
    /// It touches nothing of the pipeline.
    NotNeeded,
    No {
        found: String,
    },
}

/// Whether a change has enough approvals that count.
pub(super) fn judge_change(
    source: &SourceContract,
    number: &str,
    merge: &Merge,
    change: &ChangeRecord,
) -> Reviewed {
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
        // A dismissed review is never approved again, and its dismissal comes with the time of its submission. Of
        // other reports of one review the latest speaks, and of equals the one that knows the permission.
        let dismissal = reports.iter().rfind(|report| report.state == ReviewState::Dismissed);
        let Some(report) = dismissal.or(reports.last()) else { continue };
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
