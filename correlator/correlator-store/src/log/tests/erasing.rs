//! A payload can be taken out for good, and the chain holds.

use super::*;

#[test]
fn an_erased_payload_is_gone_from_the_disk_and_the_chain_holds() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[2]);
    log.append(&[entry(3, "a secret that slipped in")]).unwrap();
    append(&log, &[3]);
    log.sign_head(at(8)).unwrap();
    let head = log.head();
    assert_eq!(log.erase(3, "it held a secret", at(9)).unwrap(), Some(7));
    assert_eq!(log.erase(3, "again", at(9)).unwrap(), None);
    append(&log, &[1]);
    drop(log);

    let log = open(folder.path());
    let mut expected = texts(1..=8);
    expected[2] = "(erased)".to_owned();
    expected[6] = r#"{"position":3,"reason":"it held a secret"}"#.to_owned();
    assert_eq!(payloads(&log), expected);
    let erased = log.read(3).next().unwrap().unwrap();
    assert_eq!((erased.kind, erased.recorded, erased.payload), (EntryKind::Input, at(3), Payload::Erased));
    let before = log.read(6).next().unwrap().unwrap();
    assert_eq!(bus_schema::Digest::Sha256(before.hash), head.hash, "the hashes are as they were");
    let report = log.verify().unwrap();
    assert_eq!((report.erased, report.signed_heads, report.notes.len()), (1, 1, 0));
    for first in segment::list(folder.path()).unwrap() {
        let bytes = fs::read(segment::path(folder.path(), first)).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret" && first <= 3));
    }
}

#[test]
fn only_inputs_can_be_erased() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[1]);
    log.append(&[NewEntry { kind: EntryKind::Receipt, ..entry(2, "{}") }]).unwrap();
    log.erase(1, "because", at(3)).unwrap();
    for (position, kind) in [(2, EntryKind::Receipt), (3, EntryKind::Erasure)] {
        let error = log.erase(position, "because", at(3)).unwrap_err();
        assert!(matches!(error, LogError::NotErasable { kind: k, .. } if k == kind), "{error}");
    }
    for position in [0, 4] {
        let error = log.erase(position, "because", at(3)).unwrap_err();
        assert!(matches!(error, LogError::NoSuchEntry { end: 3, .. }), "{error}");
    }
    let error = log.erase(1, &"x".repeat(ERASURE_REASON_BYTES_MAX + 1), at(3)).unwrap_err();
    assert!(matches!(error, LogError::ReasonTooLong { .. }), "{error}");
}

#[test]
fn a_payload_that_is_wiped_without_a_record_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[2, 2]);
    let place = erase::find(folder.path(), &log.shared.writer().segments, 2, 4).unwrap();
    erase::overwrite(folder.path(), &place, &Medium::endless()).unwrap();
    let error = log.verify().unwrap_err();
    let LogError::Corrupt { position: 2, fault, .. } = &error else { panic!("{error}") };
    assert_eq!(fault.expected, "a record of its erasure");
}

#[test]
fn an_erasure_that_a_crash_cut_short_at_any_byte_is_finished_at_the_start() {
    for erased in [2, 5] {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path());
        append(&log, &[2, 3]);
        let place = erase::find(folder.path(), &log.shared.writer().segments, erased, 5).unwrap();
        let path = segment::path(
            folder.path(),
            if erased == 2 { 1 } else { *segment::list(folder.path()).unwrap().last().unwrap() },
        );
        log.append(
            &[NewEntry::erasure(at(9), &Erasure { position: erased, reason: String::new() }).unwrap()],
        )
        .unwrap();
        drop(log);
        let present = fs::read(&path).unwrap();
        erase::overwrite(folder.path(), &place, &Medium::endless()).unwrap();
        let gone = fs::read(&path).unwrap();
        fs::write(&path, &present).unwrap();
        let differing: Vec<usize> = (0..gone.len()).filter(|&byte| gone[byte] != present[byte]).collect();
        assert!(differing.len() > 16);
        for cut in 0..=differing.len() {
            for from_the_end in [false, true] {
                let mut bytes = present.clone();
                let written = differing.iter().enumerate();
                for (_, &byte) in written.filter(|(nth, _)| (*nth >= cut) == from_the_end) {
                    bytes[byte] = gone[byte];
                }
                fs::write(&path, &bytes).unwrap();
                let log = open(folder.path());
                assert_eq!(fs::read(&path).unwrap(), gone);
                assert_eq!(payloads(&log)[erased as usize - 1], "(erased)");
                let report = log.verify().unwrap();
                assert_eq!((report.erased, report.notes.len()), (1, 0));
            }
        }
    }
}

#[test]
fn an_erasure_that_failed_is_finished_before_the_next_append() {
    let folder = tempfile::tempdir().unwrap();
    let medium = Medium::endless();
    let log = open_with(&medium, folder.path()).unwrap();
    append(&log, &[2]);
    let record = frame::frame_bytes(r#"{"position":1,"reason":"r"}"#.len()) as u64;
    medium.give(record);
    let error = log.erase(1, "r", at(3)).unwrap_err();
    assert!(matches!(error, LogError::DiskFull { .. }), "{error}");
    assert!(log.append(&[entry(4, "x")]).is_err());
    medium.give(u64::MAX);
    log.append(&[entry(4, "x")]).unwrap();
    assert_eq!(payloads(&log)[0], "(erased)");
    assert_eq!(log.verify().unwrap().erased, 1);
}
