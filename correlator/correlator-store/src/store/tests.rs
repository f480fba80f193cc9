#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kill;

use std::fs;

use correlator_core::input::Input;

use super::*;
use crate::index::Started;
use crate::log::NewEntry;
use crate::receipt::{DeliveryOutcome, Lane, OutboxId, Receipt};
use crate::toy::{self, at, dump, replay, root};

fn settings() -> StoreSettings {
    let log = LogSettings { segment_bytes_max: 4000, ..LogSettings::default() };
    StoreSettings { log, index_cache_bytes: 1024 * 1024, ..StoreSettings::default() }
}

fn open(folder: &Path) -> Store {
    Store::open(folder, settings()).unwrap()
}

/// Inputs, and receipts for some of what they led to.
fn entries() -> Vec<NewEntry> {
    let mut entries = Vec::new();
    for second in 1..=19 {
        let input = if second % 4 == 0 { root(&format!("root {}", second % 3)) } else { Input::Tick };
        entries.push(NewEntry::input(at(second), &input).unwrap());
        let position = entries.len() as u64;
        let receipt = match second % 6 {
            2 => Receipt::Dispatched { lane: Lane::Bus, through: OutboxId { position, index: 0 } },
            1 => Receipt::Delivered {
                told: None,
                id: OutboxId { position, index: 1 },
                sink: "pager".to_owned(),
                outcome: DeliveryOutcome::Accepted,
                settled: second > 9,
            },
            5 => Receipt::Dispatched { lane: Lane::Verification, through: OutboxId { position, index: 0 } },
            _ => continue,
        };
        entries.push(NewEntry::receipt(at(second), &receipt).unwrap());
    }
    entries
}

/// A folder in which all of [`entries`] were appended and applied.
fn filled() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    assert_eq!(replay(&store), 0);
    store.log().append(&entries()).unwrap();
    assert_eq!(replay(&store), entries().len() as u64);
    let state = dump(store.index().unwrap());
    (folder, state)
}

#[test]
fn a_deleted_index_is_built_anew_with_the_same_state_and_the_same_outbox() {
    let (folder, state) = filled();
    assert!(
        state.contains("bus Queued") && state.contains("trace: Some(") && state.contains("Delivery {"),
        "{state}"
    );
    fs::remove_file(folder.path().join("index.redb")).unwrap();
    let store = open(folder.path());
    assert_eq!(store.index().unwrap().started(), &Started::Absent);
    assert_eq!(replay(&store), entries().len() as u64);
    assert_eq!(dump(store.index().unwrap()), state);
    assert_eq!(replay(&store), 0);
}

#[test]
fn a_damaged_index_and_one_of_other_records_are_built_anew() {
    let (folder, state) = filled();
    fs::write(folder.path().join("index.redb"), b"rubbish").unwrap();
    let store = open(folder.path());
    assert!(matches!(store.index().unwrap().started(), Started::Deleted { .. }));
    replay(&store);
    assert_eq!(dump(store.index().unwrap()), state);
    drop(store);
    let settings = StoreSettings { records_format: 2, ..settings() };
    let store = Store::open(folder.path(), settings).unwrap();
    assert!(matches!(store.index().unwrap().started(), Started::Deleted { .. }));
    replay(&store);
    assert_eq!(dump(store.index().unwrap()), state);
}

#[test]
fn a_crash_after_any_step_between_log_and_index_leads_to_the_same_state() {
    let (_folder, state) = filled();
    let entries = entries();
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    // Appended in one go, the index stopped after any number of entries.
    store.log().append(&entries).unwrap();
    let index = store.index().unwrap();
    for applied in 0..=entries.len() {
        index.checkpoint().unwrap();
        let crashed = tempfile::tempdir().unwrap();
        copy_tree(folder.path(), crashed.path());
        let survivor = open(crashed.path());
        assert_eq!(replay(&survivor), (entries.len() - applied) as u64);
        assert_eq!(dump(survivor.index().unwrap()), state, "after {applied}");
        let mut batch = index.begin().unwrap();
        for recorded in store.pending_replay().take(1) {
            toy::apply_recorded(&mut batch, recorded.unwrap());
        }
        batch.commit().unwrap();
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_tree(&entry.path(), &target),
            false => fs::copy(entry.path(), target).map(|_| ()).unwrap(),
        }
    }
}

#[test]
fn entries_that_are_none_of_the_index_are_stepped_over_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let tick = |second| NewEntry::input(at(second), &Input::Tick).unwrap();
    let other =
        NewEntry { kind: crate::EntryKind::Other(9), payload: b"from the future".to_vec(), ..tick(2) };
    store.log().append(&[tick(1), other, tick(3), tick(4)]).unwrap();
    store.log().erase(3, "because", at(5)).unwrap();
    let mut replay = store.pending_replay();
    let kinds: Vec<_> = replay.by_ref().map(|recorded| recorded.unwrap()).collect();
    assert_eq!(replay.skipped(), 3);
    assert!(matches!(
        kinds[1],
        crate::Recorded::Skipped { position: 2, kind: crate::EntryKind::Other(9), .. }
    ));
    assert!(matches!(kinds[2], crate::Recorded::Skipped { position: 3, kind: crate::EntryKind::Input, .. }));
    assert_eq!(toy::replay(&store), 5);
    let ticks = dump(store.index().unwrap());
    assert!(ticks.contains("globals \"ticks\" 2\n"), "{ticks}");
}

#[test]
fn entries_that_are_judged_together_come_together_and_an_error_takes_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let tick = |joined| NewEntry { joined, ..NewEntry::input(at(1), &Input::Tick).unwrap() };
    store.log().append(&[tick(false), tick(true), tick(false), tick(false), tick(true)]).unwrap();
    store.log().erase(2, "because", at(5)).unwrap();
    let groups = |store: &Store| -> Vec<Result<Vec<u64>, LogError>> {
        let together = crate::Together::new(store.pending_replay());
        together.map(|group| Ok(group?.iter().map(crate::Recorded::position).collect())).collect()
    };
    let found: Vec<Vec<u64>> = groups(&store).into_iter().map(Result::unwrap).collect();
    assert_eq!(found, [vec![1, 2], vec![3], vec![4, 5], vec![6]]);
    // What cannot be read may belong to what is before it.
    store.log().append(&[tick(false), NewEntry { payload: b"{}".to_vec(), ..tick(true) }]).unwrap();
    let found = groups(&store);
    assert_eq!(found.len(), 5);
    assert!(matches!(found[4], Err(LogError::Decode { position: 8, .. })), "{found:?}");
}

#[test]
fn an_input_that_does_not_decode_stops_the_replay_by_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let tick = NewEntry::input(at(1), &Input::Tick).unwrap();
    let bad = NewEntry { payload: b"{}".to_vec(), ..tick.clone() };
    store.log().append(&[tick, bad.clone(), bad]).unwrap();
    let replayed: Vec<_> = store.pending_replay().collect();
    assert_eq!(replayed.len(), 2);
    assert!(matches!(replayed[1], Err(LogError::Decode { position: 2, .. })), "{replayed:?}");
}

#[test]
fn a_second_opener_is_told_who_has_the_folder_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Store::holder(folder.path()).unwrap(), None, "nobody began here");
    let store = open(folder.path());
    let holder = Holder { process: Some(std::process::id()) };
    assert_eq!(Store::holder(folder.path()).unwrap(), Some(holder));
    for error in [
        Store::open(folder.path(), settings()).unwrap_err(),
        Store::open_read_only(folder.path(), &settings()).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
        let (text, process) = (error.to_string(), std::process::id().to_string());
        assert!(text.contains(&folder.path().display().to_string()) && text.contains(&process), "{text}");
        assert!(text.contains("--data"), "{text}");
    }
    drop(store);
    let reader = Store::open_read_only(folder.path(), &settings()).unwrap();
    assert_eq!(Store::holder(folder.path()).unwrap(), None, "who reads does not have it");
    Store::open_read_only(folder.path(), &settings()).unwrap();
    let error = Store::open(folder.path(), settings()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(reader);
    open(folder.path());
}

#[test]
fn a_folder_of_another_version_is_refused_and_stays_as_it_is() {
    let (folder, state) = filled();
    let format = folder.path().join("format");
    for (text, found) in [
        ("custody-data 2\n", "2"),
        ("\u{1b}[31mhello", "[31mhello"),
        ("", ""),
        ("custody-data x", "custody-data x"),
    ] {
        fs::write(&format, text).unwrap();
        for error in [
            Store::open(folder.path(), settings()).unwrap_err(),
            Store::open_read_only(folder.path(), &settings()).unwrap_err(),
        ] {
            let StoreError::OtherFormat { found: f, expected: 1, .. } = &error else { panic!("{error}") };
            assert_eq!(f, found);
            assert!(error.to_string().contains(&folder.path().display().to_string()));
        }
    }
    fs::write(&format, "x".repeat(1000)).unwrap();
    assert!(matches!(Store::open(folder.path(), settings()), Err(StoreError::OtherFormat { .. })));
    fs::remove_file(&format).unwrap();
    assert!(matches!(Store::open(folder.path(), settings()), Err(StoreError::OtherFormat { .. })));
    assert!(matches!(Store::open_read_only(folder.path(), &settings()), Err(StoreError::NotAStore { .. })));
    fs::write(&format, "custody-data 1\n").unwrap();
    assert_eq!(dump(open(folder.path()).index().unwrap()), state);
}

#[test]
fn a_log_that_is_gone_or_shorter_than_its_index_is_an_error_and_not_a_new_start() {
    let (folder, _) = filled();
    let kept = tempfile::tempdir().unwrap();
    copy_tree(folder.path(), kept.path());
    let log = folder.path().join("log");
    fs::remove_dir_all(&log).unwrap();
    let error = Store::open(folder.path(), settings()).unwrap_err();
    assert!(matches!(error, StoreError::LogMissing { .. }), "{error}");

    copy_tree(&kept.path().join("log"), &log);
    let last = fs::read_dir(&log)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "segment"))
        .max()
        .unwrap();
    fs::remove_file(last).unwrap();
    let error = Store::open(folder.path(), settings()).unwrap_err();
    let StoreError::Log { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(**source, LogError::Shortened { witness: "the index", .. }), "{source}");
}

#[test]
fn an_index_that_does_not_fit_stays_where_the_log_has_lost_its_beginning() {
    let (folder, _) = filled();
    let store = open(folder.path());
    for entry in entries() {
        store.log().append(&[entry]).unwrap();
    }
    drop(store);
    let index = folder.path().join("index.redb");
    fs::write(&index, b"of another version").unwrap();
    fs::remove_file(folder.path().join(format!("log/{:020}.segment", 1))).unwrap();
    let error = Store::open(folder.path(), settings()).unwrap_err();
    assert!(matches!(error, StoreError::Log { .. }), "{error}");
    assert_eq!(fs::read(&index).unwrap(), b"of another version");
}

#[test]
fn a_reader_sees_everything_and_changes_nothing() {
    let (folder, state) = filled();
    let before = tree(folder.path());
    let store = Store::open_read_only(folder.path(), &settings()).unwrap();
    assert_eq!(dump(store.index().unwrap()), state);
    assert_eq!(store.log().verify().unwrap().entries, entries().len() as u64);
    assert_eq!(store.pending_replay().count(), 0);
    drop(store);
    assert_eq!(tree(folder.path()), before);
    let empty = tempfile::tempdir().unwrap();
    let error = Store::open_read_only(empty.path(), &settings()).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(tree(&entry.path())),
            false => files.push((entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    files.sort();
    files
}

#[test]
fn a_store_can_be_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Store>();
    check::<crate::Snapshot>();
}
