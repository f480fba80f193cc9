#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gathered;
mod known;
mod layout;
mod memtable;

use std::fs;
use std::path::PathBuf;

use bus_schema::case::Case;
use bus_schema::{CaseId, Digest};
use correlator_core::decision::CaseChange;
use correlator_core::records::{MemoryRecords, Records};

use super::*;
use crate::log::{EvidenceLog, LogSettings};
use crate::receipt::{DeliveryOutcome, OutboxId};
use crate::toy::{apply, at, dump, root};
use correlator_core::input::{Entry, Input};

const CACHE_BYTES: usize = 1024 * 1024;

struct Folder {
    folder: tempfile::TempDir,
    identity: Identity,
}

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let identity = EvidenceLog::identity_for_writing(&log, &LogSettings::default()).unwrap();
        Folder { folder, identity }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("index.redb")
    }

    fn open(&self) -> Index {
        self.open_as(1)
    }

    fn open_as(&self, records_format: u32) -> Index {
        Index::open(&self.path(), &self.identity, records_format, CACHE_BYTES).unwrap()
    }
}

fn put(table: Table, key: &str, value: &str) -> Change {
    Change { table, key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

fn remove(table: Table, key: &str) -> Change {
    Change { table, key: key.to_owned(), value: None }
}

fn tick(position: u64) -> Entry {
    Entry { position, recorded: at(position as i64), input: Input::Tick }
}

fn ids(index: &Index, lane: Lane) -> Vec<(u64, u32)> {
    let queued = index.snapshot().unwrap().outbox(lane, None, usize::MAX).unwrap();
    queued.iter().map(|queued| (queued.id.position, queued.id.index)).collect()
}

#[test]
fn what_is_committed_is_read_and_survives_a_proper_end() {
    let folder = Folder::new();
    let index = folder.open();
    assert_eq!((index.started(), index.position()), (&Started::Absent, 0));
    let before = index.snapshot().unwrap();
    index.commit(1, vec![put(Table::Digests, "a", "1"), put(Table::Cases, "a", "2")], Vec::new()).unwrap();
    index.commit(2, vec![put(Table::Digests, "a", "3"), remove(Table::Cases, "a")], Vec::new()).unwrap();
    assert_eq!(before.get(Table::Digests, "a").unwrap(), None, "a snapshot stays as it is");
    assert_eq!(before.position(), 0);
    drop((before, index));
    let index = folder.open();
    assert_eq!((index.started(), index.position()), (&Started::Continued, 2));
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.get(Table::Digests, "a").unwrap(), Some(b"3".to_vec()));
    assert_eq!(snapshot.get(Table::Cases, "a").unwrap(), None);
}

#[test]
fn reads_answer_as_the_records_in_memory_do() {
    let folder = Folder::new();
    let index = folder.open();
    let mut memory = MemoryRecords::default();
    let keys = ["a", "a\u{1f}", "a\u{1f}1", "a\u{1f}10", "a\u{1f}2", "ab", "b", "ü", ""];
    let first: Vec<Change> = keys.iter().map(|key| put(Table::Runs, key, key)).collect();
    let second = vec![
        remove(Table::Runs, "a\u{1f}1"),
        remove(Table::Runs, "not there"),
        put(Table::Runs, "a\u{1f}3", "new"),
        put(Table::Runs, "ab", "changed"),
        put(Table::Tags, "a", "another table"),
    ];
    memory.commit(first.clone());
    memory.commit(second.clone());
    index.commit(1, first, Vec::new()).unwrap();
    let mut batch = index.begin().unwrap();
    batch.apply(2, second.clone(), Vec::new()).unwrap();
    let check = |records: &dyn Records| {
        for table in [Table::Runs, Table::Tags, Table::Units] {
            for key in keys.iter().chain(&["a\u{1f}3"]) {
                assert_eq!(records.get(table, key).unwrap(), memory.get(table, key).unwrap());
            }
            for prefix in ["", "a", "a\u{1f}", "b", "zz"] {
                for from in ["", "a", "a\u{1f}10", "a\u{1f}2", "c"] {
                    for limit in [0, 1, 2, 3, usize::MAX] {
                        let expected = memory.scan(table, prefix, from, limit).unwrap();
                        let found = records.scan(table, prefix, from, limit).unwrap();
                        assert_eq!(found, expected, "{table:?} {prefix:?} {from:?} {limit}");
                    }
                }
            }
        }
    };
    check(&batch);
    batch.commit().unwrap();
    check(&index.snapshot().unwrap());
}

#[test]
fn a_batch_leads_to_the_same_as_one_commit_per_entry() {
    let (one, many) = (Folder::new(), Folder::new());
    let (one, many) = (one.open(), many.open());
    let mut batch = one.begin().unwrap();
    for position in 1..=20 {
        let input = if position % 3 == 0 { root(&format!("root {}", position % 4)) } else { Input::Tick };
        let entry = Entry { input, ..tick(position) };
        apply(&mut batch, &entry);
        let mut single = many.begin().unwrap();
        apply(&mut single, &entry);
        single.commit().unwrap();
    }
    assert!(batch.weight_bytes() > 0);
    batch.commit().unwrap();
    assert_eq!(dump(&one), dump(&many));
}

#[test]
fn positions_come_one_after_the_other() {
    let folder = Folder::new();
    let index = folder.open();
    let error = index.commit(2, Vec::new(), Vec::new()).unwrap_err();
    assert!(matches!(error, IndexError::OutOfOrder { at: 0, next: 2 }), "{error}");
    let mut late = index.begin().unwrap();
    late.skip(1).unwrap();
    assert!(late.skip(1).is_err());
    index.commit(1, Vec::new(), Vec::new()).unwrap();
    let error = late.commit().unwrap_err();
    assert!(matches!(error, IndexError::Stale { at: 1, began: 0 }), "{error}");
}

#[test]
fn a_receipt_takes_what_it_names_from_its_lane_and_nothing_else() {
    let folder = Folder::new();
    let index = folder.open();
    let mut batch = index.begin().unwrap();
    apply(&mut batch, &tick(1));
    apply(&mut batch, &tick(2));
    apply(&mut batch, &Entry { input: root("r"), ..tick(3) });
    apply(&mut batch, &tick(4));
    batch.commit().unwrap();
    assert_eq!(ids(&index, Lane::Bus), [(1, 0), (2, 0), (4, 0)]);
    assert_eq!(ids(&index, Lane::Delivery), [(1, 1), (2, 1), (4, 1)]);
    assert_eq!(ids(&index, Lane::Verification), [(3, 0)]);
    let snapshot = index.snapshot().unwrap();
    let after = snapshot.outbox(Lane::Bus, Some(OutboxId { position: 1, index: 0 }), 1).unwrap();
    assert_eq!(after.iter().map(|queued| queued.id.position).collect::<Vec<_>>(), [2]);
    assert_eq!(snapshot.outbox_len(Lane::Delivery).unwrap(), 3);
    drop(snapshot);

    let mut batch = index.begin().unwrap();
    let through = OutboxId { position: 2, index: 0 };
    batch.receipt(5, Receipt::Dispatched { lane: Lane::Bus, through }).unwrap();
    batch.commit().unwrap();
    assert_eq!(ids(&index, Lane::Bus), [(4, 0)]);
    assert_eq!(ids(&index, Lane::Delivery).len(), 3);
    assert_eq!(ids(&index, Lane::Verification), [(3, 0)]);
}

#[test]
fn a_delivery_leaves_the_outbox_when_its_last_sink_is_done() {
    let folder = Folder::new();
    let index = folder.open();
    let mut batch = index.begin().unwrap();
    apply(&mut batch, &tick(1));
    apply(&mut batch, &tick(2));
    batch.commit().unwrap();
    let id = OutboxId { position: 1, index: 1 };
    let delivered = |sink: &str, outcome, settled| Receipt::Delivered {
        id,
        told: None,
        sink: sink.to_owned(),
        outcome,
        settled,
    };
    let mut batch = index.begin().unwrap();
    batch.receipt(3, delivered("pager", DeliveryOutcome::Accepted, false)).unwrap();
    let reason = "410 gone".to_owned();
    batch.receipt(4, delivered("chat", DeliveryOutcome::DeadLettered { reason }, false)).unwrap();
    batch.commit().unwrap();
    let sinks: Vec<String> =
        index.snapshot().unwrap().deliveries(id).unwrap().into_iter().map(|delivery| delivery.sink).collect();
    assert_eq!(sinks, ["chat", "pager"]);
    assert_eq!(ids(&index, Lane::Delivery), [(1, 1), (2, 1)]);
    let mut batch = index.begin().unwrap();
    batch.receipt(5, delivered("mail", DeliveryOutcome::Superseded, true)).unwrap();
    // A receipt that comes after the end changes nothing.
    batch.receipt(6, delivered("mail", DeliveryOutcome::Accepted, false)).unwrap();
    batch.commit().unwrap();
    assert_eq!(ids(&index, Lane::Delivery), [(2, 1)]);
    assert!(index.snapshot().unwrap().deliveries(id).unwrap().is_empty());
}

/// A receipt that names a place, and says what was told.
fn delivered(position: u64, index: u32, told: &Case) -> Receipt {
    Receipt::Delivered {
        id: OutboxId { position, index },
        told: Some(Told::of(told)),
        sink: "pager".to_owned(),
        outcome: DeliveryOutcome::Accepted,
        settled: true,
    }
}

fn told_at(index: &Index, position: u64) -> Case {
    let rows = index.snapshot().unwrap().outbox(Lane::Delivery, None, 10).unwrap();
    let row = rows.into_iter().find(|row| row.id.position == position).unwrap();
    let Decision::Deliver { case, .. } = row.decision else { panic!("{row:?}") };
    *case
}

#[test]
fn a_receipt_of_a_build_that_decided_more_before_it_means_what_tells_the_same() {
    let folder = Folder::new();
    let index = folder.open();
    let mut batch = index.begin().unwrap();
    apply(&mut batch, &tick(1));
    apply(&mut batch, &tick(2));
    batch.commit().unwrap();
    let (first, second) = (told_at(&index, 1), told_at(&index, 2));
    // Another input is not meant, whatever tells of its case.
    let mut batch = index.begin().unwrap();
    batch.receipt(3, delivered(1, 1, &second)).unwrap();
    batch.commit().unwrap();
    assert_eq!(ids(&index, Lane::Delivery), [(1, 1), (2, 1)]);
    let mut batch = index.begin().unwrap();
    batch.receipt(4, delivered(1, 7, &first)).unwrap();
    apply(&mut batch, &tick(5));
    batch.receipt(6, delivered(5, 7, &Case { id: CaseId::derive(["tick 2"]), ..second.clone() })).unwrap();
    batch.commit().unwrap();
    assert_eq!(ids(&index, Lane::Delivery), [(2, 1)]);
}

#[test]
fn of_several_deliveries_of_one_case_a_receipt_means_its_own() {
    let folder = Folder::new();
    let index = folder.open();
    let mut batch = index.begin().unwrap();
    apply(&mut batch, &tick(1));
    batch.commit().unwrap();
    let case = told_at(&index, 1);
    let revisions: Vec<Case> = (1..=3).map(|revision| Case { revision, ..case.clone() }).collect();
    let tell = |case: &Case| Decision::Deliver { change: CaseChange::Updated, case: Box::new(case.clone()) };
    let mut batch = index.begin().unwrap();
    batch.apply(2, Vec::new(), revisions.iter().map(tell).collect()).unwrap();
    batch.commit().unwrap();
    let mut batch = index.begin().unwrap();
    batch.receipt(3, delivered(2, 1, &revisions[1])).unwrap();
    batch.commit().unwrap();
    assert_eq!(ids(&index, Lane::Delivery), [(1, 1), (2, 0), (2, 2)]);
    // Said once more, it means nothing else.
    let mut batch = index.begin().unwrap();
    batch.receipt(4, delivered(2, 1, &revisions[1])).unwrap();
    batch.receipt(5, delivered(2, 9, &revisions[0])).unwrap();
    batch.commit().unwrap();
    assert_eq!(ids(&index, Lane::Delivery), [(1, 1), (2, 2)]);
}

fn fill(folder: &Folder) {
    let index = folder.open();
    let mut batch = index.begin().unwrap();
    for position in 1..=200 {
        batch
            .apply(position, vec![put(Table::Units, &position.to_string(), &"x".repeat(200))], Vec::new())
            .unwrap();
    }
    batch.commit().unwrap();
}

fn check_deleted(folder: &Folder, expected: &str) {
    let index = folder.open();
    let Started::Deleted { reason } = index.started() else { panic!("{:?}", index.started()) };
    assert!(reason.contains(expected), "{reason:?}");
    assert_eq!(index.position(), 0);
    assert_eq!(index.snapshot().unwrap().scan(Table::Units, "", "", 10).unwrap(), []);
    drop(index);
    assert_eq!(folder.open().started(), &Started::Continued);
}

#[test]
fn an_index_of_another_format_or_log_is_begun_anew() {
    let folder = Folder::new();
    fill(&folder);
    let index = folder.open_as(2);
    assert!(matches!(index.started(), Started::Deleted { reason } if reason.contains("format")), "{index:?}");
    drop(index);

    let mut other = Folder::new();
    fill(&other);
    fs::copy(folder.path(), other.path()).unwrap();
    check_deleted(&other, "format");
    fill(&folder);
    fill(&other);
    folder.open();
    fs::copy(folder.path(), other.path()).unwrap();
    check_deleted(&other, "log");
    other.identity.generation += 1;
    check_deleted(&other, "log");
}

#[test]
fn a_damaged_index_is_begun_anew() {
    let folder = Folder::new();
    fill(&folder);
    let good = fs::read(folder.path()).unwrap();
    let check = |bytes: &[u8]| {
        fs::write(folder.path(), bytes).unwrap();
        check_deleted(&folder, "");
    };
    check(b"");
    check(b"not a database");
    check(&good[..1]);
    check(&good[..good.len() / 2]);
    let mut zeros = good.clone();
    zeros[..512].fill(0);
    check(&zeros);
    let mut rubbish = good.clone();
    let middle = rubbish.windows(8).position(|window| window == b"xxxxxxxx").unwrap();
    rubbish[middle] = b'y';
    check(&rubbish);
    fs::write(folder.path(), &good).unwrap();
    assert_eq!(folder.open().position(), 200);
}

#[test]
fn damage_that_is_met_while_reading_begins_the_index_anew_at_the_next_start() {
    let folder = Folder::new();
    fill(&folder);
    let index = folder.open();
    index.shared.place.mark_damaged("a page does not decode");
    drop(index);
    let place = Place::new(&folder.path(), &folder.identity, 1, CACHE_BYTES);
    let error = Index::open_read_only(&place.path, &folder.identity, 1, CACHE_BYTES).unwrap_err();
    assert!(matches!(error, IndexError::NeedsRepair { .. }), "{error}");
    check_deleted(&folder, "damage");
}

#[test]
fn a_file_in_the_way_that_cannot_be_read_is_an_error_and_stays() {
    let folder = Folder::new();
    fs::create_dir(folder.path()).unwrap();
    let error = Index::open(&folder.path(), &folder.identity, 1, CACHE_BYTES).unwrap_err();
    assert!(matches!(error, IndexError::Database { .. }), "{error}");
    assert!(folder.path().is_dir());
}

#[test]
fn an_open_index_is_not_opened_twice() {
    let folder = Folder::new();
    let _index = folder.open();
    let error = Index::open(&folder.path(), &folder.identity, 1, CACHE_BYTES).unwrap_err();
    assert!(matches!(error, IndexError::InUse { .. }), "{error}");
}

#[test]
fn a_reader_reads_and_does_not_write() {
    let folder = Folder::new();
    fill(&folder);
    let index = Index::open_read_only(&folder.path(), &folder.identity, 1, CACHE_BYTES).unwrap();
    assert_eq!(index.position(), 200);
    assert_eq!(index.snapshot().unwrap().scan(Table::Units, "", "", 500).unwrap().len(), 200);
    let error = index.commit(201, Vec::new(), Vec::new()).unwrap_err();
    assert!(matches!(error, IndexError::ReadOnly), "{error}");
    assert!(matches!(index.reopen(), Err(IndexError::ReadOnly)));
    assert_eq!(index.position(), 200);
}

#[test]
fn an_index_that_is_opened_again_goes_on() {
    let folder = Folder::new();
    let index = folder.open();
    index.commit(1, vec![put(Table::Units, "a", "1")], Vec::new()).unwrap();
    let old = index.snapshot().unwrap();
    assert_eq!(index.reopen().unwrap(), Started::Continued);
    // A view of the closed file may or may not have in memory what it is asked for.
    let _ = old.get(Table::Runs, "a");
    let position = index.position();
    assert!(position <= 1);
    index.commit(position + 1, vec![put(Table::Units, "b", "2")], Vec::new()).unwrap();
    let value = index.snapshot().unwrap().get(Table::Units, "b").unwrap();
    assert_eq!(value, Some(b"2".to_vec()));
}

#[test]
fn many_commits_and_large_ones_are_written_to_the_file_from_time_to_time() {
    let folder = Folder::new();
    let index = folder.open();
    for position in 1..=u64::from(UNWRITTEN_COMMITS_MAX) {
        assert_eq!(index.state().handed_over, 0);
        index.commit(position, Vec::new(), Vec::new()).unwrap();
    }
    let handed_over = || {
        let state = index.state();
        (state.handed_over, state.unwritten_commits)
    };
    let mut position = index.position();
    assert_eq!(handed_over(), (position, 0));
    let large = || Change {
        table: Table::Units,
        key: "large".to_owned(),
        value: Some(vec![b'0'; UNWRITTEN_BYTES_MAX]),
    };
    position += 1;
    index.commit(position, vec![large()], Vec::new()).unwrap();
    assert_eq!(index.state().handed_over, position);
    index.commit(position + 1, vec![put(Table::Units, "a", "1")], Vec::new()).unwrap();
    assert_eq!(handed_over(), (position, 1));
    index.checkpoint().unwrap();
    assert_eq!(handed_over(), (position + 1, 0));
    assert!(index.shared.view().closed.is_none() && index.shared.view().open.bytes() == 0);
    // What is on the disk now is what a crash would leave.
    let copy = Folder { folder: tempfile::tempdir().unwrap(), identity: folder.identity.clone() };
    fs::copy(folder.path(), copy.path()).unwrap();
    let copied = copy.open();
    assert_eq!((copied.started(), copied.position()), (&Started::Continued, position + 1));
    assert_eq!(Digest::sha256_of(dump(&copied).as_bytes()), Digest::sha256_of(dump(&index).as_bytes()));
}

#[test]
fn a_file_that_cannot_be_written_stops_the_commits_until_it_is_opened_again() {
    let folder = Folder::new();
    let index = folder.open();
    index.commit(1, vec![put(Table::Units, "a", "1")], Vec::new()).unwrap();
    index.checkpoint().unwrap();
    index.commit(2, vec![put(Table::Units, "a", "2")], Vec::new()).unwrap();
    // As if the database had failed under the writer.
    let file = index.shared.file.write().unwrap().take().unwrap();
    file.close().unwrap();
    assert!(matches!(index.checkpoint(), Err(IndexError::Database { .. })));
    let error = index.commit(3, Vec::new(), Vec::new()).unwrap_err();
    assert!(matches!(error, IndexError::Database { .. }), "{error}");
    index.reopen().unwrap();
    assert_eq!(index.position(), 1, "what was not written is in the log");
    index.commit(2, vec![put(Table::Units, "a", "2")], Vec::new()).unwrap();
    index.commit(3, Vec::new(), Vec::new()).unwrap();
}
