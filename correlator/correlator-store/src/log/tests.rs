#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]

mod chain;
mod crash;
mod erasing;
mod full_disk;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::toy::at;

/// A disk that runs full after a number of bytes and whose fsync can fail. It does not really fsync, so that tests
/// which write thousands of times are quick.
#[derive(Debug)]
struct Medium {
    bytes_left: AtomicU64,
    sync_fails: AtomicBool,
}

impl Medium {
    fn endless() -> Arc<Medium> {
        Medium::with_room(u64::MAX)
    }

    fn with_room(bytes: u64) -> Arc<Medium> {
        Arc::new(Medium { bytes_left: AtomicU64::new(bytes), sync_fails: AtomicBool::new(false) })
    }

    fn give(&self, bytes: u64) {
        self.bytes_left.store(bytes, Ordering::SeqCst);
    }

    /// As much of `bytes` as there is room for, and whether that is all.
    fn take<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], io::Result<()>) {
        let left = self.bytes_left.load(Ordering::SeqCst);
        if left >= bytes.len() as u64 {
            self.give(left - bytes.len() as u64);
            return (bytes, Ok(()));
        }
        self.give(0);
        (&bytes[..left as usize], Err(io::Error::from(io::ErrorKind::StorageFull)))
    }
}

impl super::Medium for Arc<Medium> {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (fitting, result) = self.take(bytes);
        file.write_all_at(fitting, offset)?;
        result
    }

    fn sync(&self, _file: &File) -> io::Result<()> {
        match self.sync_fails.load(Ordering::SeqCst) {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => Ok(()),
        }
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let (fitting, result) = self.take(bytes);
        let unfinished = durable::unfinished(path);
        fs::write(&unfinished, fitting)?;
        result?;
        fs::rename(unfinished, path)
    }
}

fn small_segments() -> LogSettings {
    LogSettings { segment_bytes_max: 700, ..LogSettings::default() }
}

fn open_with(medium: &Arc<Medium>, folder: &Path) -> Result<EvidenceLog, LogError> {
    EvidenceLog::open_on(Box::new(medium.clone()), folder, small_segments(), 0)
}

fn open(folder: &Path) -> EvidenceLog {
    open_with(&Medium::endless(), folder).unwrap()
}

fn entry(second: i64, payload: &str) -> NewEntry {
    NewEntry {
        recorded: at(second),
        kind: EntryKind::Input,
        joined: false,
        payload: payload.as_bytes().to_vec(),
    }
}

/// The payload of the entry at this position in the logs of these tests.
fn text(position: u64) -> String {
    format!("entry {position} {}", "x".repeat(position as usize % 23))
}

/// Appends batches of these sizes with the payloads of [`text`].
fn append(log: &EvidenceLog, sizes: &[u64]) {
    for size in sizes {
        let first = log.head().position + 1;
        let batch: Vec<NewEntry> = (first..first + size).map(|p| entry(p as i64, &text(p))).collect();
        assert_eq!(log.append(&batch).unwrap(), (first..first + size).collect::<Vec<_>>());
    }
}

fn payloads(log: &EvidenceLog) -> Vec<String> {
    let present = |entry: Logged| match entry.payload {
        Payload::Present(bytes) => String::from_utf8(bytes).unwrap(),
        Payload::Erased => "(erased)".to_owned(),
    };
    log.read(1).map(|entry| present(entry.unwrap())).collect()
}

fn texts(positions: std::ops::RangeInclusive<u64>) -> Vec<String> {
    positions.map(text).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The file of the last segment.
fn last_segment(folder: &Path) -> PathBuf {
    segment::path(folder, *segment::list(folder).unwrap().last().unwrap())
}

#[test]
fn a_flag_that_this_version_does_not_know_is_refused() {
    let header = |joined| frame::FrameHeader {
        marker: [7; 8],
        position: 1,
        batch_first: 1,
        recorded: at(1),
        kind: EntryKind::Input,
        joined,
        payload_bytes: 0,
        previous: [0; 32],
        payload_hash: [0; 32],
    };
    for joined in [false, true] {
        let plain = header(joined).encode();
        let (decoded, _) =
            frame::FrameHeader::decode(&[&plain[..], &frame::sha256(&[&plain])].concat()).unwrap();
        assert_eq!(decoded, header(joined));
        // The flags are two bytes before the payload's size.
        for bit in 1..16 {
            let mut altered = plain.clone();
            altered[39 - bit / 8] ^= 1 << (bit % 8);
            let framed = [&altered[..], &frame::sha256(&[&altered])].concat();
            let refused = frame::FrameHeader::decode(&framed).unwrap_err().to_string();
            assert!(refused.contains("flags"), "{bit}: {refused}");
        }
    }
}

#[test]
fn entries_come_back_as_they_were_and_positions_count_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    assert_eq!(log.head().position, 0);
    assert_eq!(log.read(1).count(), 0);
    assert_eq!(log.append(&[]).unwrap(), Vec::<u64>::new());
    append(&log, &[1, 4, 2]);
    let odd = NewEntry {
        recorded: "1969-12-31T23:59:59.999999999Z".parse().unwrap(),
        kind: EntryKind::Other(777),
        joined: true,
        payload: Vec::new(),
    };
    assert_eq!(log.append(std::slice::from_ref(&odd)).unwrap(), [8]);
    drop(log);

    let log = open(folder.path());
    assert!(log.notes().is_empty());
    assert_eq!(payloads(&log)[..7], texts(1..=7));
    let last = log.read(8).next().unwrap().unwrap();
    assert_eq!((last.position, last.recorded, last.kind), (8, odd.recorded, odd.kind));
    assert_eq!(last.payload, Payload::Present(Vec::new()));
    assert_eq!(log.head().recorded, Some(odd.recorded));
    assert_eq!(log.read(9).count(), 0);
    let report = log.verify().unwrap();
    assert_eq!((report.entries, report.head, report.erased), (8, log.head(), 0));
    assert!(report.segments > 1, "{report:?}");
}

#[test]
fn reading_may_begin_at_any_position() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[3, 3, 3, 3, 3]);
    for from in 0..=17 {
        let positions: Vec<u64> = log.read(from).map(|entry| entry.unwrap().position).collect();
        assert_eq!(positions, (from.max(1)..=15).collect::<Vec<_>>(), "from {from}");
    }
}

#[test]
fn a_reader_sees_what_was_there_when_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[2]);
    let mut reader = log.read(1);
    assert_eq!(reader.next().unwrap().unwrap().position, 1);
    append(&log, &[1, 5, 5]);
    assert_eq!(reader.map(|entry| entry.unwrap().position).collect::<Vec<_>>(), [2]);
}

#[test]
fn the_key_is_for_the_owner_alone_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mode = fs::metadata(folder.path().join("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(format!("{log:?}").contains("LogKey(***)"));
}

#[test]
fn a_log_keeps_its_key_and_a_new_log_may_use_an_old_one() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open(first.path());
    let settings = LogSettings { key_file: Some(first.path().join("key")), ..LogSettings::default() };
    let other = EvidenceLog::open(second.path(), settings.clone(), 0).unwrap();
    assert_eq!(log.public_key(), other.public_key());
    assert_ne!(log.id(), other.id());
    assert!(other.generation() >= log.generation());
    drop(other);
    let error = EvidenceLog::open(second.path(), LogSettings::default(), 0).unwrap_err();
    assert!(matches!(error, LogError::Incomplete { missing: "log key", .. }), "{error}");
    open(tempfile::tempdir().unwrap().path());
    let third = tempfile::tempdir().unwrap();
    fs::write(second.path().join("key"), fs::read(open_key(third.path())).unwrap()).unwrap();
    let error = EvidenceLog::open(second.path(), LogSettings::default(), 0).unwrap_err();
    assert!(matches!(error, LogError::Key { .. }), "{error}");
}

fn open_key(folder: &Path) -> PathBuf {
    open(folder);
    folder.join("key")
}

#[test]
fn what_is_too_large_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut large = entry(1, "");
    large.payload = vec![b'x'; ENTRY_PAYLOAD_BYTES_MAX + 1];
    let error = log.append(&[entry(1, "a"), large.clone()]).unwrap_err();
    assert!(matches!(error, LogError::EntryTooLarge { .. }), "{error}");
    large.payload.pop();
    let error = log.append(&[large.clone(), large.clone(), large.clone(), large.clone()]).unwrap_err();
    assert!(matches!(error, LogError::BatchTooLarge { .. }), "{error}");
    assert_eq!(log.append(std::slice::from_ref(&large)).unwrap(), [1]);
    assert_eq!(log.read(1).next().unwrap().unwrap().payload, Payload::Present(large.payload));
    assert_eq!(log.verify().unwrap().entries, 1);
}

#[test]
fn a_log_that_is_open_for_reading_refuses_to_change() {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), &[3]);
    let log = EvidenceLog::open_read_only(folder.path(), 3).unwrap();
    assert!(matches!(log.append(&[entry(1, "a")]), Err(LogError::ReadOnly)));
    assert!(matches!(log.sign_head(at(1)), Err(LogError::ReadOnly)));
    assert!(matches!(log.erase(1, "because", at(1)), Err(LogError::ReadOnly)));
    assert_eq!(payloads(&log), texts(1..=3));
}

#[test]
fn an_input_and_a_receipt_come_back_as_what_they_are() {
    use crate::receipt::{Lane, OutboxId, Receipt};
    use correlator_core::input::{Entry, Input};
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let receipt = Receipt::Dispatched { lane: Lane::Bus, through: OutboxId { position: 1, index: 3 } };
    let new = [
        NewEntry::input(at(1), &Input::Tick).unwrap(),
        NewEntry::receipt(at(2), &receipt).unwrap(),
        entry(3, "not an input"),
    ];
    log.append(&new).unwrap();
    let entries: Vec<Logged> = log.read(1).map(Result::unwrap).collect();
    let input = Entry { position: 1, recorded: at(1), input: Input::Tick };
    assert_eq!(entries[0].input().unwrap(), Some(input));
    assert_eq!(entries[0].receipt().unwrap(), None);
    assert_eq!(entries[1].receipt().unwrap(), Some(receipt));
    let error = entries[2].input().unwrap_err();
    assert!(matches!(error, LogError::Decode { position: 3, .. }), "{error}");
}

#[test]
fn readers_and_proofs_are_not_disturbed_by_appends_and_erasures() {
    const ENTRIES: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[1]);
    let writer = log.clone();
    let writing = std::thread::spawn(move || {
        while writer.head().position < ENTRIES {
            append(&writer, &[2]);
            let position = writer.head().position;
            if position.is_multiple_of(3) {
                writer.erase(position - 1, "because", at(1)).unwrap();
            }
            if position % 16 == 1 {
                writer.sign_head(at(1)).unwrap();
            }
        }
    });
    loop {
        let is_done = writing.is_finished();
        let report = log.verify().unwrap();
        assert_eq!(
            log.read(1).map(Result::unwrap).take(report.entries as usize).count() as u64,
            report.entries
        );
        if is_done {
            break;
        }
    }
    writing.join().unwrap();
    let report = log.verify().unwrap();
    assert!(report.erased > 0 && report.signed_heads > 0 && report.notes.is_empty(), "{report:?}");
}
