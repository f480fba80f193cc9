//! On a full disk nothing is acknowledged, nothing is lost, and the log goes on when there is space.

use super::*;

const SIZES: [u64; 3] = [2, 3, 1];

#[test]
fn a_disk_that_is_full_after_any_byte_keeps_what_was_acknowledged_and_goes_on_later() {
    let template = tempfile::tempdir().unwrap();
    open(template.path());
    let mut room = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(template.path(), folder.path());
        let medium = Medium::with_room(room);
        let log = open_with(&medium, folder.path()).unwrap();
        let acknowledged = append_until_full(&log);
        // While the disk stays full every append fails the same way, and readers are not disturbed.
        if acknowledged.len() < SIZES.len() {
            let error = log.append(&[entry(1, "more")]).unwrap_err();
            assert!(matches!(error, LogError::DiskFull { .. }), "{error}");
        }
        let end: u64 = SIZES.iter().take(acknowledged.len()).sum();
        assert_eq!(log.head().position, end, "room {room}");
        assert_eq!(payloads(&log), texts(1..=end), "room {room}");
        log.verify().unwrap();

        // At every other byte the process dies before it can put things right.
        medium.give(u64::MAX);
        let log = match room % 2 {
            0 => log,
            _ => {
                drop(log);
                open(folder.path())
            }
        };
        // After a crash, whole entries of the batch that failed may be there too; they were never acknowledged.
        let end = log.head().position;
        append(&log, &[2, 5]);
        drop(log);
        let log = open(folder.path());
        assert_eq!(payloads(&log), texts(1..=end + 7), "room {room}");
        log.verify().unwrap();
        if acknowledged.len() == SIZES.len() {
            break;
        }
        room += 1;
    }
    assert!(room > 1100, "{room}");
}

fn append_until_full(log: &EvidenceLog) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    for size in SIZES {
        let first = log.head().position + 1;
        let batch: Vec<NewEntry> = (first..first + size).map(|p| entry(p as i64, &text(p))).collect();
        match log.append(&batch) {
            Ok(positions) => acknowledged.push(*positions.last().unwrap()),
            Err(LogError::DiskFull { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    acknowledged
}

#[test]
fn a_batch_whose_fsync_fails_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let medium = Medium::endless();
    let log = open_with(&medium, folder.path()).unwrap();
    append(&log, &[2]);
    medium.sync_fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = log.append(&[entry(3, "lost"), entry(3, "lost too")]).unwrap_err();
        assert!(matches!(error, LogError::DiskFull { .. }), "{error}");
        assert_eq!(payloads(&log), texts(1..=2));
    }
    medium.sync_fails.store(false, Ordering::SeqCst);
    append(&log, &[3]);
    assert_eq!(payloads(&log), texts(1..=5));
    drop(log);
    let log = open(folder.path());
    assert!(log.notes().is_empty());
    assert_eq!(payloads(&log), texts(1..=5));
}

#[test]
fn a_head_that_cannot_be_kept_is_an_error_and_the_next_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let medium = Medium::endless();
    let log = open_with(&medium, folder.path()).unwrap();
    append(&log, &[1]);
    for room in [0, 1, 100, 300] {
        medium.give(room);
        let error = log.sign_head(at(1)).unwrap_err();
        assert!(matches!(error, LogError::DiskFull { .. }), "{error}");
    }
    medium.give(u64::MAX);
    log.sign_head(at(2)).unwrap();
    let report = log.verify().unwrap();
    assert_eq!((report.signed_heads, report.notes.len()), (1, 0));
}
