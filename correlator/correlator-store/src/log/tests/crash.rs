//! After a crash everything that was acknowledged is there, and only what was not fsynced is cut.

use super::*;

/// A log whose last batch, of three entries, may be torn: the folder, and the bytes of the last segment before it.
fn before_and_after() -> (tempfile::TempDir, u64, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[2, 4, 1]);
    let path = last_segment(folder.path());
    let before = fs::metadata(&path).unwrap().len();
    append(&log, &[2]);
    assert_eq!(last_segment(folder.path()), path, "the batch fits into the segment");
    (folder, before, fs::read(path).unwrap())
}

/// Opens the folder with these bytes as its last segment, and checks that it goes on from what was acknowledged.
fn check_recovers(folder: &Path, bytes: &[u8], what: &str) {
    let path = last_segment(folder);
    fs::write(&path, bytes).unwrap();
    let read_only = EvidenceLog::open_read_only(folder, 7).unwrap();
    let seen = payloads(&read_only);
    let log = open_with(&Medium::endless(), folder).unwrap_or_else(|error| panic!("{what}: {error}"));
    let position = log.head().position;
    assert!((7..=9).contains(&position), "{what}: {position}");
    assert_eq!(payloads(&log), texts(1..=position), "{what}");
    assert_eq!(payloads(&log), seen, "{what}");
    let report = log.verify().unwrap();
    let cut = fs::metadata(&path).unwrap().len() < bytes.len() as u64;
    assert_eq!(cut, !report.notes.is_empty(), "{what}: {report:?}");
    append(&log, &[1, 1]);
    drop(log);
    let log = open(folder);
    assert!(log.notes().is_empty());
    assert_eq!(payloads(&log), texts(1..=position + 2), "{what}");
    log.verify().unwrap();
    // The next case begins from the same segments.
    for first in segment::list(folder).unwrap() {
        let path_of = segment::path(folder, first);
        if path_of > path {
            fs::remove_file(path_of).unwrap();
        }
    }
}

#[test]
fn a_tail_cut_at_any_length_keeps_what_was_acknowledged() {
    let (folder, before, bytes) = before_and_after();
    for length in before as usize..=bytes.len() {
        check_recovers(folder.path(), &bytes[..length], &format!("cut at {length}"));
    }
}

#[test]
fn a_tail_of_zeros_or_rubbish_from_any_offset_is_cut() {
    let (folder, before, bytes) = before_and_after();
    for from in before as usize..bytes.len() {
        let mut torn = bytes.clone();
        torn[from..].fill(0);
        check_recovers(folder.path(), &torn, &format!("zeros from {from}"));
        if from % 7 == 0 {
            torn[from..].fill(0xa5);
            torn.extend([0xa5; 300]);
            check_recovers(folder.path(), &torn, &format!("rubbish from {from}"));
        }
    }
}

#[test]
fn a_hole_in_the_last_batch_cuts_the_batch_even_when_its_end_is_whole() {
    let (folder, before, bytes) = before_and_after();
    let mut torn = bytes.clone();
    torn[before as usize..before as usize + 40].fill(0);
    check_recovers(folder.path(), &torn, "a hole");
}

#[test]
fn a_bad_entry_before_a_later_batch_is_damage_and_nothing_is_cut() {
    let (folder, before, bytes) = before_and_after();
    let path = last_segment(folder.path());
    for offset in frame::SEGMENT_HEADER_BYTES..before as usize {
        let mut damaged = bytes.clone();
        damaged[offset] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let error = open_with(&Medium::endless(), folder.path()).unwrap_err();
        assert!(matches!(error, LogError::Corrupt { position: 7, .. }), "{offset}: {error}");
        assert!(EvidenceLog::open_read_only(folder.path(), 0).is_err());
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
}

#[test]
fn a_payload_that_looks_like_a_frame_does_not_make_a_torn_write_damage() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[1]);
    let path = last_segment(folder.path());
    let before = fs::read(&path).unwrap();
    // A frame of another segment, which an agent may know and send as a payload.
    let mut forged = before[frame::SEGMENT_HEADER_BYTES..].to_vec();
    forged[0] ^= 1;
    let header = frame::FrameHeader {
        marker: forged[..8].try_into().unwrap(),
        position: 90,
        batch_first: 90,
        recorded: at(1),
        kind: EntryKind::Input,
        joined: false,
        payload_bytes: 0,
        previous: [0; 32],
        payload_hash: [0; 32],
    };
    let encoded = header.encode();
    let payload = [encoded.clone(), frame::sha256(&[&encoded]).to_vec()].concat();
    log.append(&[NewEntry { recorded: at(2), kind: EntryKind::Input, joined: false, payload }]).unwrap();
    drop(log);
    let mut torn = fs::read(&path).unwrap();
    torn[before.len() + 20] ^= 1;
    fs::write(&path, torn).unwrap();
    assert_eq!(payloads(&open(folder.path())), texts(1..=1));
}

#[test]
fn an_unfinished_segment_is_removed_and_an_empty_one_is_used() {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), &[3, 3]);
    let unfinished = durable::unfinished(&segment::path(folder.path(), 7));
    fs::write(&unfinished, b"CUSTLOG1").unwrap();
    // As after a crash between the creation of a segment and the write of its first batch.
    let log = open(folder.path());
    assert!(!unfinished.exists());
    let recorded = log.head().recorded;
    log.shared.writer().begin_segment(folder.path(), &Medium::endless()).unwrap();
    drop(log);
    let log = open(folder.path());
    assert_eq!((log.head().position, log.head().recorded), (6, recorded));
    log.verify().unwrap();
    append(&log, &[2]);
    drop(log);
    assert_eq!(payloads(&open(folder.path())), texts(1..=8));
    open(folder.path()).verify().unwrap();
}

#[test]
fn a_line_of_the_heads_that_was_torn_at_any_length_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[1]);
    log.sign_head(at(1)).unwrap();
    let path = folder.path().join("heads");
    let before = fs::read(&path).unwrap().len();
    append(&log, &[1]);
    log.sign_head(at(2)).unwrap();
    drop(log);
    let bytes = fs::read(&path).unwrap();
    let mut torn: Vec<Vec<u8>> = (0..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
    for from in (before..bytes.len()).step_by(5) {
        let mut zeros = bytes.clone();
        zeros[from..].fill(0);
        torn.push(zeros);
        let mut hole = bytes.clone();
        hole[before..=from].fill(0);
        torn.push(hole);
    }
    for bytes in torn {
        fs::write(&path, &bytes).unwrap();
        let log = open(folder.path());
        log.verify().unwrap();
        log.sign_head(at(3)).unwrap();
        let heads = log.verify().unwrap();
        assert!(heads.signed_heads >= 1 && heads.notes.len() <= 1, "{heads:?}");
        assert!(fs::read(&path).unwrap().ends_with(b"\n"));
    }
}
