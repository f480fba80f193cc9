//! No room for the data folder: a clear end, and nothing lost when there is room again.

use std::path::Path;
use std::process::{Command, Output};

use crate::play::{play, undisturbed};
use crate::{custody, err, in_folder};

/// Limits of a file's size, in KiB, under which the play cannot end: the first is met while the databases are made, the second
/// in the middle of the play, by the index and by the bus.
const FILE_KIB: [u32; 2] = [64, 300];

#[test]
fn a_full_disk_is_told_clearly_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for kib in FILE_KIB {
        let output = play_with_files_of(kib, folder.path(), &data);
        let said = err(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("there is no room for the data folder"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let (found, _) = play(folder.path(), &data, &[]);
    assert_eq!(found.at_the_end(), undisturbed().at_the_end());
}

/// A limit on the size of files stands in for a full disk: the system refuses the same writes at the same places.
fn play_with_files_of(kib: u32, folder: &Path, data: &Path) -> Output {
    // The signal would end the process; without it the write fails, as on a full disk.
    let script = "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"";
    let mut command = Command::new("bash");
    in_folder(&mut command, folder)
        .args(["-c", script, "limited", &kib.to_string(), env!("CARGO_BIN_EXE_custody")])
        .args(["up", "--sample", "--once", "--output", "json", "--data"])
        .arg(data)
        .output()
        .unwrap()
}

#[test]
fn an_output_without_room_is_no_data_folder_without_room() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    play(folder.path(), &data, &[]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = custody(folder.path()).arg("cases").arg("--data").arg(&data).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    assert!(
        err(&output).contains("standard output cannot be written to: no storage space"),
        "{}",
        err(&output)
    );
    assert!(!err(&output).contains("data folder"), "{}", err(&output));
}
