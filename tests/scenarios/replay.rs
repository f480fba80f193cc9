//! The log is the truth: playing its entries again gives the same state and the same decisions, after any restart; a
//! repeated entry changes nothing, and neither does a tick before something is due.

use correlator_core::input::{Entry, Input};
use correlator_core::ledger::Ledger;
use correlator_core::records::{MemoryRecords, Table};

use crate::played;

#[test]
fn the_entries_replayed_give_the_same_records_and_decisions_byte_for_byte() {
    for (scenario, play) in played() {
        let mut records = MemoryRecords::default();
        for (entry, expected) in play.entries.iter().zip(&play.decisions) {
            // A log holds bytes: the entry is read back from its text, by a process that has just begun.
            let entry: Entry = serde_json::from_str(&serde_json::to_string(entry).unwrap()).unwrap();
            let mut ledger = Ledger::open(&records).unwrap();
            let outcome = ledger.apply(&records, &entry).unwrap();
            records.commit(outcome.changes);
            let found = serde_json::to_string(&outcome.decisions).unwrap();
            assert_eq!(found, serde_json::to_string(expected).unwrap(), "{}", scenario.name);
        }
        assert!(records == play.records, "{}: the replayed state is another", scenario.name);
    }
}

#[test]
fn a_repeated_entry_and_an_early_tick_change_nothing_and_decide_nothing() {
    for (scenario, play) in played() {
        let mut records = MemoryRecords::default();
        let mut ledger = Ledger::open(&records).unwrap();
        for (index, entry) in play.entries.iter().enumerate() {
            let outcome = ledger.apply(&records, entry).unwrap();
            records.commit(outcome.changes);
            let repeated = ledger.apply(&records, entry).unwrap();
            let what = format!("{}: entry {} repeated", scenario.name, entry.position);
            assert!(is_idle(&records, &repeated), "{what} changes {:?}", repeated.changes);
            assert!(repeated.decisions.is_empty(), "{what} decides {:?}", repeated.decisions);

            let until = play.entries.get(index + 1).map_or(entry.recorded, |next| next.recorded);
            if outcome.next_deadline.is_some_and(|due| due <= until) {
                continue;
            }
            let tick = Entry { position: entry.position, recorded: until, input: Input::Tick };
            let early = ledger.apply(&records, &tick).unwrap();
            let what = format!("{}: a tick at {until}", scenario.name);
            assert!(is_idle(&records, &early), "{what} changes {:?}", early.changes);
            assert!(early.decisions.is_empty(), "{what} decides {:?}", early.decisions);
        }
    }
}

/// Whether the changes leave the state as it is. Ids of old events are forgotten by ticks; that counts as idle.
fn is_idle(records: &MemoryRecords, outcome: &correlator_core::decision::Outcome) -> bool {
    use correlator_core::records::Records;
    outcome.changes.iter().filter(|change| change.table != Table::SeenEvents).all(|change| {
        let known = records.get(change.table, &change.key).unwrap();
        known == change.value
    })
}
