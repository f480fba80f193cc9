//! The recording and evidence of what happened lie apart, whatever the environment names; and what the environment names
//! without a word is not named.

use std::fs;

use crate::fleet::{NOBODY, write_settings};
use crate::formats::tree;
use crate::play::play;
use crate::questions::Running;
use crate::{custody, err, out, run};

#[test]
fn the_recording_is_not_written_into_a_folder_that_watches() {
    let folder = tempfile::tempdir().unwrap();
    write_settings(folder.path(), NOBODY, NOBODY);
    let data = folder.path().join("data");
    let mut up = custody(folder.path());
    drop(Running::start(up.args(["up", "--output", "json", "--data", data.to_str().unwrap()])).0);
    let before = tree(&data);
    let output = custody(folder.path())
        .args(["up", "--sample", "--once"])
        .env("CUSTODY_DATA", &data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}{}", out(&output), err(&output));
    for expected in [data.to_str().unwrap(), "recording", "--data", "CUSTODY_DATA"] {
        assert!(err(&output).contains(expected), "no {expected:?} in {}", err(&output));
    }
    assert_eq!(tree(&data), before, "something in the folder was touched");
}

#[test]
fn nothing_watches_in_the_folder_of_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    write_settings(folder.path(), NOBODY, NOBODY);
    let data = folder.path().join("data");
    play(folder.path(), &data, &[]);
    let before = tree(&data);
    let servers = format!("nats://{NOBODY}");
    for command in
        [&["up"][..], &["correlator", "--bus", &servers], &["agent", "registry", "--bus", &servers]]
    {
        let output = custody(folder.path()).args(command).env("CUSTODY_DATA", &data).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", err(&output));
        assert!(err(&output).contains("recording"), "{command:?}: {}", err(&output));
    }
    assert_eq!(tree(&data), before, "something in the folder was touched");
    play(folder.path(), &data, &[]);
}

#[test]
fn servers_of_the_environment_are_not_the_recordings() {
    let folder = tempfile::tempdir().unwrap();
    let servers = format!("nats://{NOBODY}");
    let sample = ["up", "--sample", "--once"];
    let output = custody(folder.path()).args(sample).env("CUSTODY_BUS", &servers).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let typed = run(folder.path(), &[&sample[..], &["--bus", &servers]].concat());
    assert_eq!(typed.status.code(), Some(2));
    assert!(err(&typed).contains("'--sample' cannot be used with '--bus <URL>'"), "{}", err(&typed));
}

#[test]
fn an_empty_variable_is_as_one_that_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("contracts")).unwrap();
    let with_empty = |arguments: &[&str]| {
        let mut command = custody(folder.path());
        for name in ["CUSTODY_CONFIG", "CUSTODY_DATA", "CUSTODY_BUS"] {
            command.env(name, "");
        }
        command.args(arguments).output().unwrap()
    };
    for arguments in [&["up"][..], &["cases"], &["policy", "check"], &["up", "--config", ""]] {
        let (expected, found) = (run(folder.path(), arguments), with_empty(arguments));
        assert_eq!(found.status.code(), expected.status.code(), "{arguments:?}: {}", err(&found));
        assert_eq!(err(&found), err(&expected), "{arguments:?}");
    }
}
