//! What is not right: no configuration, wrong settings; and help.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::{custody, err, in_folder, out, run};

#[test]
fn without_configuration_it_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["up"]);
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    for expected in
        ["custody.toml", "[[registry]]", "[[github]]", "[[cluster]]", "[[alert]]", "custody up --sample"]
    {
        assert!(said.contains(expected), "no {expected:?} in:\n{said}");
    }
}

#[test]
fn wrong_settings_are_told_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "[[registry]]\nurl = \"ftp://x\"\n[[github]]\nwatch = []\n[[alert]]\nurl = \"http://example.com\"\n";
    fs::write(folder.path().join("custody.toml"), text).unwrap();
    let output = run(folder.path(), &["up"]);
    assert_eq!(output.status.code(), Some(2));
    for key in ["registry[0]", "github[0].watch", "alert[0].name"] {
        assert!(err(&output).contains(key), "no {key} in:\n{}", err(&output));
    }
    let missing = run(folder.path(), &["up", "--config", "nowhere.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("nowhere.toml"));
}

#[test]
fn a_bus_named_on_the_command_line_needs_no_servers_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[bus.limits]\nevents_mib_max = 64\n[[alert]]\nurl = \"http://example.com\"\n";
    fs::write(folder.path().join("custody.toml"), text).unwrap();
    let alone = err(&run(folder.path(), &["up"]));
    assert!(alone.contains("bus.servers") && alone.contains("alert[0].name"), "{alone}");
    let named = err(&run(folder.path(), &["up", "--bus", "nats://127.0.0.1:4222"]));
    assert!(!named.contains("bus.servers") && named.contains("alert[0].name"), "{named}");
    let wrong = err(&run(folder.path(), &["up", "--bus", "ftp://127.0.0.1"]));
    assert!(wrong.contains("--bus"), "{wrong}");
}

#[test]
fn every_command_has_help_with_examples() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["up"][..],
        &["trace"],
        &["where"],
        &["cases"],
        &["log"],
        &["deadletter"],
        &["policy"],
        &["log", "verify"],
        &["deadletter", "list"],
        &["deadletter", "show"],
        &["deadletter", "replay"],
        &["policy", "check"],
        &["policy", "baseline"],
        &["doctor"],
    ] {
        let output = run(folder.path(), &[command, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(out(&output).contains("Example"), "{command:?} has no example:\n{}", out(&output));
    }
    for group in ["log", "deadletter", "policy"] {
        let output = run(folder.path(), &[group, "--help"]);
        assert!(out(&output).contains("Exits "), "{group} does not say what its exit codes mean");
    }
    let output = run(folder.path(), &["--help"]);
    assert!(out(&output).contains("Exit codes"), "{}", out(&output));
    assert_eq!(run(folder.path(), &["no-such-command"]).status.code(), Some(2));
}

#[test]
fn questions_without_data_say_so() {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["trace", "ghcr.io/a/b:c"][..], &["cases"], &["log", "verify"], &["deadletter", "list"]]
    {
        let output = run(folder.path(), command);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", err(&output));
        assert!(err(&output).contains("no custody data"), "{}", err(&output));
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_not_one_where_nothing_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for part in ["bus", "correlator"] {
        fs::create_dir_all(data.join(part)).unwrap();
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o000)).unwrap();
    // Not even root reads it here: the files belong to nobody whom this namespace knows.
    let as_stranger = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        in_folder(&mut command, folder.path()).args([&["-U"], arguments].concat()).output().unwrap()
    };
    let possible = as_stranger(&["true"]);
    if !possible.status.success() {
        let (test, reason) = ("a_folder_that_cannot_be_read_is_not_one_where_nothing_is", err(&possible));
        let line = format!("skipped: cli refusals::{test}: no user namespace here: {}", reason.trim());
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    } else {
        let ask = |command: &[&str]| {
            let more = ["--data", data.to_str().unwrap()];
            as_stranger(&[&[env!("CARGO_BIN_EXE_custody")], command, &more].concat())
        };
        for command in [&["cases"][..], &["log", "verify"], &["deadletter", "list"], &["fleet"]] {
            let output = ask(command);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {}", err(&output));
            assert!(err(&output).contains("cannot be read: Permission denied"), "{}", err(&output));
        }
        let doctor = out(&ask(&["doctor"]));
        assert!(doctor.contains("cannot be read: Permission denied"), "{doctor}");
        assert!(!doctor.contains("nothing runs"), "{doctor}");
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
}

/// Runs it with nobody who reads what it prints.
fn unread(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = custody(folder);
    let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    child.wait_with_output().unwrap()
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let output = unread(folder.path(), &["--help"]);
    assert!(!err(&output).contains("panic"), "{}", err(&output));
}

#[test]
fn a_reader_that_goes_away_changes_nothing_of_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "nobody signed this").unwrap();
    for form in ["text", "json"] {
        let arguments = ["check", "./file", "--source-uri", "github.com/acme/api", "--output", form];
        let output = unread(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    }
}
