//! The real binary, run as people run it: help, refusals, the recording, kills, and the questions after it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "command/allocator.rs"]
mod allocator;
#[path = "command/apart.rs"]
mod apart;
#[path = "command/check.rs"]
mod check;
#[path = "command/conformance.rs"]
mod conformance;
#[path = "command/enroll.rs"]
mod enroll;
#[path = "command/fixtures.rs"]
mod fixtures;
#[path = "command/fleet.rs"]
mod fleet;
#[path = "command/formats.rs"]
mod formats;
#[path = "command/full_disk.rs"]
mod full_disk;
#[path = "command/isolated.rs"]
mod isolated;
#[path = "command/json.rs"]
mod json;
#[path = "command/play.rs"]
mod play;
#[path = "command/policy.rs"]
mod policy;
#[path = "command/questions.rs"]
mod questions;
#[path = "command/refusals.rs"]
mod refusals;
#[path = "command/who_answers.rs"]
mod who_answers;

use std::path::Path;
use std::process::{Command, Output};

/// The binary, in a folder and an environment of its own.
pub(crate) fn custody(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_custody"));
    in_folder(&mut command, folder);
    command
}

/// Gives a command a folder and an environment of its own.
pub(crate) fn in_folder<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command.current_dir(folder).env_clear().env("HOME", folder).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    custody(folder).args(arguments).output().unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
