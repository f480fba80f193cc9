//! What one webhook is sent next: each case in its order, and of changes that nobody saw only what still matters.
//!
//! Pure: rows and attempts in, the next row and the superseded ones out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bus_schema::CaseId;
use correlator_core::decision::CaseChange;
use correlator_store::OutboxId;

/// A delivery that has no end result yet.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) case: CaseId,
    pub(super) change: CaseChange,
    /// How often it was sent without success.
    pub(super) attempts: u32,
    /// How often the answer was one that no repetition makes right.
    pub(super) refusals: u32,
    pub(super) first_attempt: Option<Instant>,
    pub(super) not_before: Option<Instant>,
}

/// What to do with the waiting deliveries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// A later delivery of the same case says all that these would have said.
    pub(super) superseded: Vec<OutboxId>,
    /// The first that may be sent now.
    pub(super) next: Option<OutboxId>,
    /// When the next one may be sent, where none may be now.
    pub(super) due: Option<Instant>,
}

/// Plans. Of a case's waiting changes the first is kept when it opens the case or was sent already (it may have arrived), and
/// the last always; what lies between was never sent and is superseded. Only a case's first waiting change may be sent.
pub(super) fn plan(waiting: &BTreeMap<OutboxId, Waiting>, now: Instant) -> Plan {
    let mut by_case: BTreeMap<&CaseId, Vec<(OutboxId, &Waiting)>> = BTreeMap::new();
    for (id, row) in waiting {
        by_case.entry(&row.case).or_default().push((*id, row));
    }
    let mut plan = Plan::default();
    let mut heads = BTreeSet::new();
    for rows in by_case.values() {
        let Some(((first, row), rest)) = rows.split_first() else { continue };
        let Some((last, between)) = rest.split_last() else {
            heads.insert(*first);
            continue;
        };
        plan.superseded.extend(between.iter().map(|(id, _)| *id));
        match row.attempts > 0 || row.change == CaseChange::Opened {
            true => heads.insert(*first),
            false => {
                plan.superseded.push(*first);
                heads.insert(last.0)
            }
        };
    }
    plan.superseded.sort();
    for (id, row) in waiting.iter().filter(|(id, _)| heads.contains(id)) {
        match row.not_before.filter(|at| *at > now) {
            None => {
                plan.next = Some(*id);
                plan.due = None;
                return plan;
            }
            Some(at) => plan.due = Some(plan.due.map_or(at, |due: Instant| due.min(at))),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::time::Duration;

    use CaseChange::{Opened, Resolved, Updated};

    use super::*;

    fn id(position: u64) -> OutboxId {
        OutboxId { position, index: 0 }
    }

    /// Rows as (position, case, change, attempts, waits).
    fn check(rows: &[(u64, &str, CaseChange, u32, bool)], next: Option<u64>, superseded: &[u64]) {
        let now = Instant::now();
        let waiting: BTreeMap<OutboxId, Waiting> = rows
            .iter()
            .map(|(position, case, change, attempts, waits)| {
                let row = Waiting {
                    case: CaseId::derive([*case]),
                    change: *change,
                    attempts: *attempts,
                    refusals: 0,
                    first_attempt: None,
                    not_before: waits.then(|| now + Duration::from_secs(9)),
                };
                (id(*position), row)
            })
            .collect();
        let plan = plan(&waiting, now);
        let superseded: Vec<OutboxId> = superseded.iter().map(|position| id(*position)).collect();
        assert_eq!((plan.next, plan.superseded), (next.map(id), superseded), "{rows:?}");
        assert_eq!(plan.due.is_some(), next.is_none() && !rows.is_empty());
    }

    #[test]
    fn opened_reaches_people_before_resolved_and_what_lies_between_is_left_out() {
        check(&[], None, &[]);
        check(&[(1, "a", Opened, 0, false)], Some(1), &[]);
        check(&[(1, "a", Opened, 0, false), (2, "a", Resolved, 0, false)], Some(1), &[]);
        check(
            &[(1, "a", Opened, 0, false), (2, "a", Updated, 0, false), (3, "a", Updated, 0, false)],
            Some(1),
            &[2],
        );
        check(&[(1, "a", Updated, 0, false), (2, "a", Resolved, 0, false)], Some(2), &[1]);
        check(&[(1, "a", Resolved, 0, false), (2, "a", Opened, 0, false)], Some(2), &[1]);
    }

    #[test]
    fn what_was_sent_without_success_may_have_arrived_and_is_sent_again_first() {
        check(&[(1, "a", Updated, 1, false), (2, "a", Resolved, 0, false)], Some(1), &[]);
        check(&[(1, "a", Updated, 1, true), (2, "a", Resolved, 0, false)], None, &[]);
    }

    #[test]
    fn a_case_that_waits_does_not_hold_back_another() {
        check(&[(1, "a", Opened, 1, true), (2, "b", Opened, 0, false)], Some(2), &[]);
    }
}
