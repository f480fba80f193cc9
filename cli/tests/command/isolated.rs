//! The recording where there is no network but loopback.

use std::process::{Command, Output};

use serde_json::Value;

use crate::fixtures::skipped;
use crate::play::{came, undisturbed};
use crate::{err, in_folder, out};

/// Gives the new namespace its loopback, then runs the rest.
const LOOPBACK_UP: &str = "ip link set lo up && exec \"$@\"";

#[test]
fn the_recording_needs_no_network() {
    let folder = tempfile::tempdir().unwrap();
    let isolated = |arguments: &[&str]| -> Output {
        let mut command = Command::new("unshare");
        let command =
            in_folder(&mut command, folder.path()).args(["-rn", "sh", "-c", LOOPBACK_UP, "isolated"]);
        command.args(arguments).output().unwrap()
    };
    let possible = isolated(&["true"]);
    if !possible.status.success() {
        return skipped(&format!("no network namespace here: {}", err(&possible).trim()));
    }
    let beyond = isolated(&["bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/53"]);
    assert!(
        err(&beyond).contains("unreachable"),
        "something beyond loopback can be called: {}",
        err(&beyond)
    );
    let data = folder.path().join("data");
    let play = ["up", "--sample", "--once", "--output", "json", "--data", data.to_str().unwrap()];
    let output = isolated(&[&[env!("CARGO_BIN_EXE_custody")], &play[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let last: Value = serde_json::from_str(out(&output).lines().last().unwrap()).unwrap();
    assert_eq!(came(&last).at_the_end(), undisturbed().at_the_end());
}
