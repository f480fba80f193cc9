//! A ledger small enough to check by hand, for the tests: it counts ticks, remembers verified evidence, and decides
//! something for every lane.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bus_schema::case::{Case, CaseState, Severity};
use bus_schema::{CaseId, Digest, TraceParent};
use correlator_core::decision::{CaseChange, Decision, Outcome};
use correlator_core::facts::RootVersion;
use correlator_core::input::{Entry, Input};
use correlator_core::records::{Draft, Records, Table};
use jiff::Timestamp;

use crate::{Batch, Index, Recorded, Store};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

pub(crate) fn root(name: &str) -> Input {
    Input::TrustRootLoaded(RootVersion { name: name.to_owned(), content: Digest::sha256_of(name.as_bytes()) })
}

/// What one entry leads to.
pub(crate) fn apply(batch: &mut Batch<'_>, entry: &Entry) {
    let outcome = {
        let mut draft = Draft::new(&*batch as &dyn Records);
        let mut decisions = Vec::new();
        let trace = TraceParent::derive(["toy", &entry.position.to_string()]);
        match &entry.input {
            Input::Tick => {
                let ticks: u64 = draft.get(Table::Globals, "ticks").unwrap().unwrap_or(0);
                draft.put(Table::Globals, "ticks".to_owned(), ticks + 1);
                if ticks % 2 == 1 {
                    draft.remove(Table::Cases, &format!("tick {}", ticks - 1));
                }
                draft.put(Table::Cases, format!("tick {ticks}"), entry.recorded);
                let case = Box::new(case(&format!("tick {ticks}"), entry.recorded));
                decisions.push(Decision::PublishCase { change: CaseChange::Opened, case: case.clone() });
                decisions.push(Decision::Deliver { change: CaseChange::Opened, case });
            }
            Input::TrustRootLoaded(root) => {
                draft.put(Table::Evidence, root.name.clone(), root.content);
                decisions.push(Decision::Verify { evidence: root.content });
            }
            other => panic!("the toy ledger does not know {other:?}"),
        }
        // The first decision of each entry belongs to a trace.
        let traces = [(0, trace)].into();
        Outcome { changes: draft.into_changes().unwrap(), decisions, traces, ..Outcome::default() }
    };
    batch.apply_outcome(entry.position, outcome).unwrap();
}

fn case(subject: &str, at: Timestamp) -> Case {
    Case {
        id: CaseId::derive([subject]),
        rule: "toy".to_owned(),
        subject: subject.to_owned(),
        state: CaseState::Open,
        severity: Severity::Low,
        pipeline: None,
        opened_at: at,
        updated_at: at,
        resolved_at: None,
        resolution: None,
        reopened: 0,
        revision: 1,
        findings: Vec::new(),
        findings_total: 0,
        covered_by: None,
        next_step: String::new(),
        runbook: String::new(),
    }
}

pub(crate) fn apply_recorded(batch: &mut Batch<'_>, recorded: Recorded) {
    match recorded {
        Recorded::Input { entry, .. } => apply(batch, &entry),
        Recorded::Receipt { position, receipt, .. } => batch.receipt(position, receipt).unwrap(),
        Recorded::Skipped { position, .. } => batch.skip(position).unwrap(),
    }
}

/// Brings the index to the end of the log, a few entries per commit. Returns how many it applied.
pub(crate) fn replay(store: &Store) -> u64 {
    let index = store.index().unwrap();
    let mut replay = store.pending_replay().peekable();
    let mut applied = 0;
    while replay.peek().is_some() {
        let mut batch = index.begin().unwrap();
        for recorded in replay.by_ref().take(7) {
            apply_recorded(&mut batch, recorded.unwrap());
            applied += 1;
        }
        batch.commit().unwrap();
    }
    applied
}

/// Everything that an index holds, as text.
pub(crate) fn dump(index: &Index) -> String {
    use std::fmt::Write;
    let snapshot = index.snapshot().unwrap();
    let mut text = format!("position {}\n", snapshot.position());
    for table in Table::ALL {
        for (key, value) in snapshot.scan(table, "", "", usize::MAX).unwrap() {
            writeln!(text, "{} {key:?} {}", table.as_str(), String::from_utf8(value).unwrap()).unwrap();
        }
    }
    for lane in crate::Lane::ALL {
        for queued in snapshot.outbox(lane, None, usize::MAX).unwrap() {
            let deliveries = snapshot.deliveries(queued.id).unwrap();
            writeln!(text, "{} {queued:?} {deliveries:?}", lane.as_str()).unwrap();
        }
    }
    text
}
