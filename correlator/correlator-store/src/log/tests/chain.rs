//! No change of the files passes unseen.

use bus_schema::Digest;

use super::*;

/// A log with several segments, an erased entry and signed heads, the last of them at its end if `signed`.
fn sample(folder: &Path, signed: bool) -> Vec<String> {
    let log = open(folder);
    append(&log, &[2, 3]);
    log.sign_head(at(10)).unwrap();
    log.erase(2, "it named a person", at(11)).unwrap().unwrap();
    append(&log, &[1, 2]);
    if signed {
        log.sign_head(at(20)).unwrap();
    }
    payloads(&log)
}

/// What a reader of the changed folder learns: the proof's outcome, and the entries.
fn look(folder: &Path) -> (Result<Report, LogError>, Vec<String>) {
    let log = match EvidenceLog::open_read_only(folder, 0) {
        Ok(log) => log,
        Err(error) => return (Err(error), Vec::new()),
    };
    let entries = log.read(1).map_while(Result::ok).map(|entry| match entry.payload {
        Payload::Present(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Payload::Erased => "(erased)".to_owned(),
    });
    let entries = entries.collect();
    (log.verify(), entries)
}

#[test]
fn a_flipped_byte_at_any_offset_of_any_file_is_found() {
    for signed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let original = sample(folder.path(), signed);
        assert!(look(folder.path()).0.unwrap().notes.is_empty());
        let last = last_segment(folder.path());
        for file in fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()) {
            if file.ends_with("key") {
                continue;
            }
            let bytes = fs::read(&file).unwrap();
            let is_text = file.ends_with("heads") || file.ends_with("identity");
            // In text, the second flip is another case of a letter.
            let flips: &[u8] = if is_text { &[0x01, 0x20] } else { &[0x01] };
            // Only one byte is written each time: rewriting whole files makes the disk flush them.
            let disk = fs::OpenOptions::new().write(true).open(&file).unwrap();
            for offset in 0..bytes.len() {
                for flip in flips {
                    disk.write_all_at(&[bytes[offset] ^ flip], offset as u64).unwrap();
                    let (proof, entries) = look(folder.path());
                    let place = format!("{} offset {offset} flip {flip}", file.display());
                    assert!(original.starts_with(&entries), "{place}: other entries");
                    match proof {
                        Err(_) => {}
                        Ok(report) => {
                            // Only where nothing vouches for the bytes may they be taken for a torn write: the last
                            // batch without a signed head, and the line feed of the last head. Both are noted.
                            let torn = (!signed && file == last) || file.ends_with("heads");
                            assert!(torn && !report.notes.is_empty(), "{place}: {report:?}");
                        }
                    }
                }
                disk.write_all_at(&bytes[offset..=offset], offset as u64).unwrap();
            }
        }
        assert!(look(folder.path()).0.unwrap().notes.is_empty());
    }
}

#[test]
fn a_changed_key_is_refused_or_is_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), true);
    let file = folder.path().join("key");
    let bytes = fs::read(&file).unwrap();
    for offset in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[offset] ^= 1;
        fs::write(&file, &changed).unwrap();
        if let Ok(log) = open_with(&Medium::endless(), folder.path()) {
            log.sign_head(at(30)).unwrap();
            log.verify().unwrap();
        }
    }
}

#[test]
fn the_first_bad_entry_is_named_with_expected_and_found() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), true);
    let path = segment::path(folder.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let payload = bytes.windows(7).position(|window| window == b"entry 1").unwrap();
    bytes[payload] = b'E';
    fs::write(&path, bytes).unwrap();
    let error = look(folder.path()).0.unwrap_err();
    let LogError::Corrupt { file, position, offset, fault } = error else { panic!("{error}") };
    assert_eq!((file.as_str(), position, offset), ("00000000000000000001.segment", 1, 112));
    assert_eq!(fault.what, "payload hash");
    assert_ne!(fault.expected, fault.found);
}

#[test]
fn a_removed_segment_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), true);
    let segments = segment::list(folder.path()).unwrap();
    assert!(segments.len() >= 3, "{segments:?}");
    for &first in &segments {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        fs::remove_file(segment::path(copy.path(), first)).unwrap();
        let proof = look(copy.path()).0;
        assert!(proof.is_err(), "without the segment of {first}: {proof:?}");
        assert!(open_with(&Medium::endless(), copy.path()).and_then(|log| log.verify()).is_err());
    }
}

#[test]
fn entries_cut_off_behind_a_signed_head_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[1]);
    let before = fs::read(last_segment(folder.path())).unwrap();
    append(&log, &[1]);
    log.sign_head(at(1)).unwrap();
    drop(log);
    fs::write(last_segment(folder.path()), before).unwrap();
    for error in [
        open_with(&Medium::endless(), folder.path()).unwrap_err(),
        EvidenceLog::open_read_only(folder.path(), 0).unwrap_err(),
    ] {
        assert!(matches!(error, LogError::Shortened { have: 1, expected: 2, .. }), "{error}");
    }
}

#[test]
fn entries_cut_off_behind_the_index_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), &[1, 1]);
    let path = last_segment(folder.path());
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = EvidenceLog::open(folder.path(), small_segments(), 2).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { position: 2, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap().len(), bytes.len() - 1, "nothing was cut");
}

#[test]
fn a_file_of_another_log_does_not_fit() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(one.path(), true);
    sample(other.path(), true);
    for name in ["identity", "heads", "00000000000000000001.segment"] {
        let mixed = tempfile::tempdir().unwrap();
        copy_folder(one.path(), mixed.path());
        fs::copy(other.path().join(name), mixed.path().join(name)).unwrap();
        let proof = look(mixed.path()).0;
        assert!(proof.is_err(), "{name}: {proof:?}");
    }
}

#[test]
fn a_missing_identity_is_an_error_and_no_new_log() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), true);
    fs::remove_file(folder.path().join("identity")).unwrap();
    let error = open_with(&Medium::endless(), folder.path()).unwrap_err();
    assert!(matches!(error, LogError::Incomplete { missing: "identity", .. }), "{error}");
}

#[test]
fn a_signed_head_verifies_until_anything_in_it_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[2]);
    let head = log.sign_head(at(5)).unwrap();
    let (identity, none) = (&log.shared.identity, generations::Generations::default());
    assert_eq!((head.position, head.hash), (2, log.head().hash));
    assert_eq!(head.check(identity, &none), Ok(()));
    assert_eq!(
        SignedHead { at: at(6), ..head.clone() }.check(identity, &none).unwrap_err().what,
        "signature of a signed head"
    );
    assert!(SignedHead { position: 1, ..head.clone() }.check(identity, &none).is_err());
    assert!(SignedHead { hash: Digest::sha256_of(b""), ..head.clone() }.check(identity, &none).is_err());
    assert!(SignedHead { generation: 1, ..head.clone() }.check(identity, &none).is_err());
    // Signing again where nothing was appended gives a fresh time and keeps nothing.
    let kept = fs::read(folder.path().join("heads")).unwrap();
    assert_eq!(log.sign_head(at(7)).unwrap().at, at(7));
    assert_eq!(fs::read(folder.path().join("heads")).unwrap(), kept);
    assert_eq!(log.verify().unwrap().signed_heads, 1);
}

#[test]
fn a_generation_that_was_begun_is_signed_from_then_on_and_the_heads_before_it_hold() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[2]);
    let first = log.sign_head(at(5)).unwrap();
    // Above what was published, whatever the clock says.
    let above = first.generation + 1_000_000;
    let begun = log.begin_generation(above, at(6)).unwrap();
    assert!(begun > above);
    append(&log, &[1]);
    assert_eq!(log.sign_head(at(7)).unwrap().generation, begun);
    assert_eq!(log.verify().unwrap().signed_heads, 2);
    drop(log);
    let log = open(folder.path());
    assert_eq!((log.generation(), log.head().generation), (begun, begun));
    assert_eq!(log.verify().unwrap().signed_heads, 2);
    drop(log);
    // A head of a generation that was never begun is none of this log's.
    fs::remove_file(folder.path().join("generations")).unwrap();
    assert!(open(folder.path()).verify().is_err());
}

#[test]
fn a_log_without_its_first_segments_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[2, 3, 3, 3, 3]);
    drop(log);
    let segments = segment::list(folder.path()).unwrap();
    assert!(segments.len() > 2, "{segments:?}");
    fs::remove_file(segment::path(folder.path(), 1)).unwrap();
    let error = open_with(&Medium::endless(), folder.path()).unwrap_err();
    assert!(error.to_string().contains("first position of the log: expected 1"), "{error}");
}
